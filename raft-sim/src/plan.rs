//! What a seed means: sizes, settings and the mix of faults of its run, all drawn at the start.

use std::fmt;

use raft_core::{Config, Leases, SessionLimits};

use crate::random::{Delay, Random, Spread};
use crate::swarm::{Fault, Faults};
use crate::world::Setup;

/// What a user can set of a run; everything else comes from the seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// How many machines, 1 to 9. `None`: drawn from the seed.
    pub nodes: Option<u8>,
    /// How many actions before the faults stop. At least as many are performed.
    pub actions: u64,
    /// Which faults there are.
    pub mix: Mix,
}

/// Which faults a seed draws from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mix {
    /// The usual ones: packets lost, doubled and late, crashes, partitions, what operators ask for.
    #[default]
    Default,
    /// Each run its own subset of all that can be tolerated or noticed, and operators who change the configuration.
    Swarm,
    /// Like a swarm, with less load, so that the configuration changes more often.
    Changes,
    /// Like a swarm, in clusters whose leaders have leases, with operators who ask for transfers and campaigns all the time, and many
    /// reads.
    Leases,
    /// What no Raft survives: disks that come back without what was synced.
    Hopeless,
}

impl Mix {
    /// Those whose runs break no rule.
    pub const CLEAN: [Mix; 4] = [Mix::Default, Mix::Swarm, Mix::Changes, Mix::Leases];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Mix::CLEAN.into_iter().chain([Mix::Hopeless]).find(|mix| mix.name() == name)
    }

    /// How many actions a run of the usual length has. A swarm has more: much of what it does comes to nothing.
    pub const fn actions(self) -> u64 {
        match self {
            Mix::Default | Mix::Hopeless => 10_000,
            Mix::Swarm | Mix::Changes | Mix::Leases => 25_000,
        }
    }

    /// Whether each run draws its own subset of all faults.
    const fn is_swarm(self) -> bool {
        matches!(self, Mix::Swarm | Mix::Changes | Mix::Leases)
    }

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Mix::Default => "default",
            Mix::Swarm => "swarm",
            Mix::Changes => "changes",
            Mix::Leases => "leases",
            Mix::Hopeless => "hopeless",
        }
    }
}

impl Options {
    /// A run of the usual length with these faults.
    pub const fn of(mix: Mix) -> Self {
        Options { nodes: None, actions: mix.actions(), mix }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options::of(Mix::Default)
    }
}

/// How the network, the disks, the machines and the clients of a run behave. Times are in moments: [`TICK`](Self::TICK) of
/// them are a tick. Chances are out of 1,024.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Profile {
    /// How long a packet takes.
    pub latency: Delay,
    /// How often a packet is lost.
    pub loss: u64,
    /// How often it is doubled.
    pub duplicate: u64,
    /// How much later than the first the second copy comes.
    pub straggle: Delay,
    /// How long a sync takes.
    pub sync: Delay,
    /// How often a sync covers only the oldest batch and not all.
    pub sync_one: u64,
    /// How long the state machine takes.
    pub apply: Delay,
    /// How long a read of the log takes.
    pub fetch: Delay,
    /// How long what has come waits for the node, which then takes all of it at once.
    pub wait: Delay,
    /// Between two requests of clients.
    pub propose: Delay,
    /// Between two times that clients read without an entry in the log; `None`: they never do.
    pub read: Option<Delay>,
    /// Between two requests of clients with sessions; `None`: there are none.
    pub session: Option<Delay>,
    /// How often a client asks any server, and not one that leads.
    pub wander: u64,
    /// How many uncommitted entries of the leader make the other clients wait; they wait for a leader too. `None`: for nothing.
    pub backlog_max: Option<u64>,
    /// The most commands of a request.
    pub commands_max: u64,
    /// The longest command in bytes.
    pub bytes_max: u64,
    /// Between two crashes.
    pub crash: Delay,
    /// How long a machine stays down.
    pub down: Delay,
    /// How often it is the leader that crashes or is cut off, where there is one.
    pub aim: u64,
    /// How often a restarted node gets only the end of its log.
    pub shorten: u64,
    /// Between two partitions.
    pub partition: Delay,
    /// How long they last.
    pub heal: Delay,
    /// Whether nodes are ticked at every tick, or only when they ask for it or something comes.
    pub eager: bool,
}

impl Profile {
    /// How many moments a tick has.
    pub const TICK: u64 = 1024;
}

/// A run as it is set up before its first action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Its world.
    pub setup: Setup,
    /// Its faults and its load.
    pub profile: Profile,
    /// Its rarer faults.
    pub faults: Faults,
    /// How many actions before the faults stop.
    pub actions: u64,
}

/// What leases say of the length of a tick. Nobody in a world looks at it.
const TICK_NANOS: u64 = 10_000_000;

const SPREADS: [Spread; 4] = [Spread::Constant, Spread::Uniform, Spread::Exponential, Spread::HeavyTail];

fn delay(random: &mut Random, means: &[u64]) -> Delay {
    Delay { mean: random.pick(means), spread: random.pick(&SPREADS) }
}

impl Plan {
    /// What this seed means.
    pub fn draw(random: &mut Random, options: &Options) -> Self {
        let drawn = random.pick(&[1, 2, 3, 3, 3, 4, 5, 5, 5, 5]);
        let hosts = options.nodes.unwrap_or(drawn);
        let mut config = Self::config(random);
        let durable_machines = random.chance(512);
        // A durable state machine could find itself ahead of its own log: see the setting's own warning.
        config.apply_before_durable &= !durable_machines;
        let sessions = Self::sessions(random);
        let mut setup = Setup { hosts, spares: 0, config, durable_machines, sessions, leases: None };
        let mut profile = Self::profile(random);
        let mut faults = match options.mix {
            Mix::Default => Faults::usual(),
            Mix::Swarm | Mix::Changes | Mix::Leases => Faults::swarm(random),
            Mix::Hopeless => Faults::hopeless(),
        };
        if options.mix.is_swarm() {
            Self::vary(random, &mut profile);
            let tick = Profile::TICK;
            if options.mix == Mix::Changes {
                profile.propose = delay(random, &[4 * tick, 8 * tick, 16 * tick]);
                profile.commands_max = random.pick(&[1, 3]);
            }
            let mean = random.pick(&[3, 6, 10]) * tick;
            faults.changes = Some(Delay { mean, spread: Spread::Exponential });
            let fewest = 3_u8.saturating_sub(setup.hosts);
            setup.spares = random.pick(&[0, 1, 2, 3]).max(fewest);
            setup.hosts += setup.spares;
        }
        if random.chance(700) {
            let tick = Profile::TICK;
            let mean = random.pick(&[10, 40, 160]) * tick;
            faults.snapshots = Some(Delay { mean, spread: Spread::Exponential });
            faults.snapshot_part = delay(random, &[tick / 8, tick, 10 * tick, 50 * tick]);
            faults.snapshot_loss = random.pick(&[0, 50, 300]);
        }
        if options.mix.is_swarm() {
            let timeout = setup.config.election_timeout_ticks;
            // A part of the clusters has leases, or all.
            let on = random.chance(350) || options.mix == Mix::Leases;
            setup.leases = Self::leases(random, timeout).filter(|_| on);
            setup.config.forward_ticks = timeout * random.pick(&[1, 2, 5]) as u32;
            setup.config.timer_ticks = random.pick(&[0, 0, 50]);
        }
        if let Some(leases) = setup.leases {
            faults.keep_to(leases);
        }
        if options.mix == Mix::Leases {
            let tick = Profile::TICK;
            faults.recurring[Fault::Operator as usize].every =
                Some(Delay { mean: 40 * tick, spread: Spread::Exponential });
            profile.read = Some(delay(random, &[2 * tick, 4 * tick]));
            faults.hunt = random.pick(&[0, 512, 900]);
        }
        Plan { setup, profile, faults, actions: options.actions }
    }

    /// The leases of a cluster that has some.
    fn leases(random: &mut Random, election_timeout_ticks: u32) -> Option<Leases> {
        let drift_ppm = random.pick(&[0, 10_000, 100_000]);
        Leases::new(election_timeout_ticks, drift_ppm as u32, TICK_NANOS).ok()
    }

    /// Limits are often tiny, so that a run meets all of them.
    fn config(random: &mut Random) -> Config {
        let election_timeout_ticks = random.between(8, 24) as u32;
        Config {
            seed: random.word(),
            election_timeout_ticks,
            heartbeat_ticks: random.between(1, u64::from(election_timeout_ticks - 1) / 2) as u32,
            disk_stall_ticks: election_timeout_ticks * random.between(1, 6) as u32,
            pre_vote: random.chance(700),
            dead_after_ticks: 0,
            command_bytes_max: random.pick(&[64, 4096]),
            tail_bytes_max: random.pick(&[1, 400, 5000, 1_000_000]),
            terms_max: random.pick(&[1, 3, 1024]),
            append_bytes_max: random.pick(&[1, 200, 1000, 100_000]),
            append_entries_max: random.pick(&[1, 2, 8, 1000]),
            in_flight_packets_max: random.pick(&[1, 2, 4, 64]),
            in_flight_bytes_max: random.pick(&[1, 500, 1_000_000]),
            uncommitted_bytes_max: random.pick(&[1000, 5000, 1_000_000]),
            proposals_max: random.pick(&[2, 16, 1000]),
            reads_max: random.pick(&[1, 4, 1000]),
            forward_ticks: 200,
            timer_ticks: 0,
            writes_outstanding_max: random.pick(&[1, 2, 4, 16]),
            apply_bytes_max: random.pick(&[1, 300, 1_000_000]),
            fetch_bytes_max: random.pick(&[1, 300, 1_000_000]),
            trailing_entries: random.pick(&[0, 1, 5, 50, 10_000]),
            apply_before_durable: random.chance(512),
        }
    }

    /// Small tables, and in most runs sessions expire.
    fn sessions(random: &mut Random) -> SessionLimits {
        SessionLimits {
            sessions_max: random.pick(&[2, 4, 100]),
            responses_max: random.pick(&[1, 2, 64]),
            idle_ticks: random.pick(&[20, 60, 200, 100_000]),
            ..SessionLimits::default()
        }
    }

    fn profile(random: &mut Random) -> Profile {
        let tick = Profile::TICK;
        Profile {
            latency: delay(random, &[tick / 8, tick / 2, tick, 2 * tick]),
            loss: random.pick(&[0, 0, 10, 50, 150]),
            duplicate: random.pick(&[0, 0, 10, 100]),
            straggle: delay(random, &[tick, 10 * tick, 100 * tick]),
            sync: delay(random, &[0, tick / 8, tick, 3 * tick]),
            sync_one: random.pick(&[0, 512, 1024]),
            apply: delay(random, &[0, tick / 8, tick]),
            fetch: delay(random, &[0, tick / 8, tick]),
            wait: delay(random, &[0, 0, 0, tick / 8, tick / 2]),
            propose: delay(random, &[tick, 2 * tick, 4 * tick, 8 * tick]),
            read: random.chance(900).then(|| delay(random, &[4 * tick, 6 * tick, 10 * tick])),
            session: random.chance(900).then(|| delay(random, &[4 * tick, 6 * tick, 10 * tick])),
            wander: random.pick(&[20, 100, 500]),
            backlog_max: None,
            commands_max: random.pick(&[1, 3, 10]),
            bytes_max: random.pick(&[8, 64, 100]),
            crash: delay(random, &[60 * tick, 120 * tick, 300 * tick]),
            down: delay(random, &[2 * tick, 20 * tick, 60 * tick]),
            aim: random.pick(&[0, 512, 900]),
            shorten: random.pick(&[0, 512, 1024]),
            partition: delay(random, &[60 * tick, 150 * tick, 400 * tick]),
            heal: delay(random, &[10 * tick, 40 * tick, 100 * tick]),
            eager: random.chance(300),
        }
    }

    /// Swarm runs leave out crashes, partitions or most of the load more often, or have more of them, and have copies from long
    /// ago.
    fn vary(random: &mut Random, profile: &mut Profile) {
        let tick = Profile::TICK;
        if random.chance(256) {
            profile.straggle = delay(random, &[300 * tick, 1000 * tick]);
        }
        if random.chance(256) {
            profile.crash.mean *= random.pick(&[4, 16]);
        }
        if random.chance(128) {
            profile.partition.mean *= random.pick(&[2, 4]);
        }
        if random.chance(850) {
            profile.propose = delay(random, &[tick, 2 * tick]);
        }
        // A change waits for all entries before it: where clients wait for nothing, and the limits are narrow, hardly any commits.
        profile.backlog_max = random.chance(900).then(|| random.pick(&[2, 3, 4]));
        profile.commands_max = random.pick(&[1, 5, 5, 10]);
    }

    /// The profile from the moment on when faults stop: nothing is lost, and everything takes at most a tick.
    pub fn calm(&self) -> Profile {
        let short =
            |delay: Delay| Delay { mean: delay.mean.min(Profile::TICK / 2), spread: Spread::Constant };
        let profile = self.profile;
        Profile {
            latency: short(profile.latency),
            loss: 0,
            duplicate: 0,
            sync: short(profile.sync),
            apply: short(profile.apply),
            fetch: short(profile.fetch),
            wait: short(profile.wait),
            ..profile
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { setup, profile, faults, actions } = self;
        let machines = if setup.durable_machines { "durable" } else { "volatile" };
        writeln!(
            f,
            "# {} servers, {machines} state machines, faults stop after {actions} actions",
            setup.hosts - setup.spares
        )?;
        if setup.spares != 0 {
            writeln!(f, "# {} machines to spare", setup.spares)?;
        }
        if let Some(leases) = setup.leases {
            let (timeout, drift) = (leases.election_timeout_ticks(), leases.drift_ppm());
            writeln!(f, "# leases: election timeout {timeout} ticks, clocks drift by {drift} millionths")?;
        }
        writeln!(f, "# {:?}", setup.config)?;
        writeln!(f, "# {profile:?}")?;
        write!(f, "{faults}")
    }
}
