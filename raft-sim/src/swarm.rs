//! Swarm runs: each draws its own subset of faults, how often each comes and how long it lasts.
//!
//! A run with every fault at once hardly gets anywhere, and one fault may hide what another would show; so most runs leave
//! most of them out (Groce et al., Swarm Testing, 2012).

use std::fmt;

use raft_core::Leases;

use crate::plan::Profile;
use crate::random::{Delay, Random, Spread};

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident $text:literal every $every:literal lasts $lasts:literal,)*) => {
        /// A fault that comes again and again.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Fault] = &[$(Fault::$name),*];

            /// Its name in print.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Fault::$name => $text,)*
                }
            }

            /// About how many ticks apart it comes, and how many it lasts.
            const fn ticks(self) -> (u64, u64) {
                match self {
                    $(Fault::$name => ($every, $lasts),)*
                }
            }
        }
    };
}

faults! {
    /// On some ways nearly everything is lost for a while.
    Burst "bursts of loss" every 100 lasts 20,
    /// What is sent on some ways is held back and arrives all at once.
    Hold "held packets" every 150 lasts 40,
    /// Some kinds of packets do not get through, to or from one machine.
    Mute "kinds of packets lost" every 200 lasts 60,
    /// A disk is fifty times slower.
    SlowDisk "slow disks" every 200 lasts 60,
    /// A disk stands still, without an error, until its machine is started anew.
    StallDisk "stalled disks" every 600 lasts 400,
    /// A sync fails.
    FailWrite "failed syncs" every 500 lasts 30,
    /// A disk is full: every sync fails.
    FullDisk "full disks" every 800 lasts 100,
    /// A process stands still, at once or between two effects of its next step.
    Pause "pauses" every 150 lasts 30,
    /// A clock stands still; half of them jump afterwards.
    StallClock "stalled clocks" every 250 lasts 50,
    /// A state machine is fifty times slower.
    SlowMachine "slow state machines" every 250 lasts 100,
    /// An operator asks for a campaign, a step-down, a transfer, or that a leader be forgotten.
    Operator "operators" every 200 lasts 0,
    /// A leader and a quorum around it are left in peace while faults go on around them; it must go on leading.
    Siege "sieges" every 700 lasts 0,
}

/// How often a fault comes and how long it lasts, in moments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recurring {
    /// Which.
    pub fault: Fault,
    /// Between two of them; `None`: it never comes.
    pub every: Option<Delay>,
    /// How long one lasts.
    pub lasts: Delay,
}

/// What besides the profile goes wrong in a run. Chances are out of 1,024.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Faults {
    /// One of each.
    pub recurring: [Recurring; Fault::ALL.len()],
    /// The most packets in flight on one way; more are lost.
    pub queue_max: Option<u32>,
    /// Of the machines' clocks, by how much at most each is faster or slower, out of 1,024.
    pub drift: u64,
    /// How often batches behind a lost one make it to the disk.
    pub stray: u64,
    /// How often a machine that has just come up goes down again at once.
    pub recovery_crash: u64,
    /// How often a partition is of a rarer shape: several groups, a bridge, a ring of majorities.
    pub shapes: u64,
    /// How often a partition comes and goes several times.
    pub flap: u64,
    /// How often a leader that hands over is cut off in the moment in which its word arrives. Unless that is never, a leader that does not
    /// know of another one is read also when something has reached it.
    pub hunt: u64,
    /// How often a machine comes up with damage on its disk, which it must notice.
    pub damage: u64,
    /// How often it comes up with an empty disk.
    pub wipe: u64,
    /// How often it comes up with an old copy of its disk, or without its last batches: what no Raft survives.
    pub roll_back: u64,
    /// Between two requests for another configuration; `None`: nobody asks for one.
    pub changes: Option<Delay>,
    /// Between two snapshots that some state machine is asked for; `None`: there are none.
    pub snapshots: Option<Delay>,
    /// How long a part of a snapshot takes, and until a disk gives up what it stands for.
    pub snapshot_part: Delay,
    /// How often a part of a snapshot is lost, and all of it with it.
    pub snapshot_loss: u64,
}

const NEVER: Delay = Delay { mean: 0, spread: Spread::Constant };

impl Faults {
    /// The usual ones: operators, sieges, and batches behind a lost one.
    pub(crate) fn usual() -> Self {
        let of = |fault: Fault| {
            let on = matches!(fault, Fault::Operator | Fault::Siege);
            let (every, lasts) = fault.ticks();
            let spread = Spread::Exponential;
            let every = on.then_some(Delay { mean: every * Profile::TICK, spread });
            Recurring { fault, every, lasts: Delay { mean: lasts * Profile::TICK, spread } }
        };
        let mut recurring = [Recurring { fault: Fault::Burst, every: None, lasts: NEVER }; Fault::ALL.len()];
        for (place, fault) in recurring.iter_mut().zip(Fault::ALL) {
            *place = of(*fault);
        }
        Faults {
            recurring,
            queue_max: None,
            drift: 0,
            stray: 256,
            recovery_crash: 0,
            shapes: 0,
            flap: 0,
            hunt: 0,
            damage: 0,
            wipe: 0,
            roll_back: 0,
            changes: None,
            snapshots: None,
            snapshot_part: NEVER,
            snapshot_loss: 0,
        }
    }

    /// A subset of all that can be tolerated, or noticed.
    pub(crate) fn swarm(random: &mut Random) -> Self {
        let mut faults = Self::usual();
        // So that there are runs with nearly nothing and runs with nearly everything.
        let density = random.pick(&[100, 250, 250, 500, 750]);
        for recurring in &mut faults.recurring {
            let (every, lasts) = recurring.fault.ticks();
            let scale = random.pick(&[1, 2, 4]);
            let spread =
                random.pick(&[Spread::Constant, Spread::Uniform, Spread::Exponential, Spread::HeavyTail]);
            let every = Delay { mean: every * scale * Profile::TICK, spread: Spread::Exponential };
            recurring.every = random.chance(density).then_some(every);
            recurring.lasts = Delay { mean: lasts * random.pick(&[1, 1, 3]) * Profile::TICK, spread };
        }
        let mut sometimes = |choices: &[u64]| {
            let (on, value) = (random.chance(density), random.pick(choices));
            if on { value } else { 0 }
        };
        faults.drift = sometimes(&[10, 50, 100]);
        faults.stray = sometimes(&[200, 512, 1024]);
        faults.recovery_crash = sometimes(&[100, 300]);
        faults.shapes = sometimes(&[300, 1024]);
        faults.flap = sometimes(&[200, 600]);
        faults.damage = sometimes(&[30, 100]);
        faults.wipe = sometimes(&[30, 100]);
        let queue_max = sometimes(&[1, 3, 10]);
        faults.queue_max = (queue_max != 0).then_some(queue_max as u32);
        faults
    }

    /// Clocks drift by what leases allow for, and neither stand still nor jump.
    pub(crate) fn keep_to(&mut self, leases: Leases) {
        self.drift = u64::from(leases.drift_ppm()) * 1024 / 1_000_000;
        self.recurring[Fault::StallClock as usize].every = None;
    }

    /// What no Raft survives, and nothing else that is rare.
    pub(crate) fn hopeless() -> Self {
        Faults { roll_back: 700, ..Self::usual() }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Recurring { fault, every, lasts } in &self.recurring {
            if let Some(every) = every {
                let (every, lasts) = (every.mean / Profile::TICK, lasts);
                let length = lasts.mean / Profile::TICK;
                let name = fault.name();
                writeln!(f, "# {name} about every {every} ticks, for about {length} ({:?})", lasts.spread)?;
            }
        }
        if let Some(every) = self.changes {
            writeln!(f, "# changes of the configuration about every {} ticks", every.mean / Profile::TICK)?;
        }
        if let Some(every) = self.snapshots {
            let (every, part) = (every.mean / Profile::TICK, self.snapshot_part);
            let loss = self.snapshot_loss;
            writeln!(
                f,
                "# snapshots about every {every} ticks, a part takes {part:?} and is lost {loss} of 1024 times"
            )?;
        }
        if self.hunt != 0 {
            writeln!(f, "# leaders that hand over are cut off {} of 1024 times", self.hunt)?;
        }
        let Faults { queue_max, drift, stray, recovery_crash, shapes, flap, damage, wipe, roll_back, .. } =
            self;
        write!(
            f,
            "# queue_max {queue_max:?}, of 1024: drift {drift}, stray {stray}, recovery_crash {recovery_crash}, shapes {shapes}, \
             flap {flap}, damage {damage}, wipe {wipe}, roll_back {roll_back}"
        )
    }
}
