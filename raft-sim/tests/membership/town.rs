//! A world that goes on by itself while a test asks for other configurations: a load, and faults that come and go, chosen at
//! random tick by tick. All oracles watch.

use raft_core::{Event, Membership, Suffrage};
use raft_sim::{Action, Applied, HostId, HostSet, Link, Random, Rig, Setup, Wanted, World};

/// How often a client asks in a tick, out of 1,024: no more than what goes through one packet at a time, one entry each.
const LOAD: u64 = 60;

/// How often each fault comes in a tick.
const CRASH: u64 = 10;
const PARTITION: u64 = 10;
const SLOW_DISK: u64 = 10;
const LOSS: u64 = 30;

/// A world, what is wrong in it now, and the choices of a seed.
pub(crate) struct Town<R: Rig> {
    /// The world.
    pub(crate) world: World<R>,
    random: Random,
    /// Whether new faults come.
    pub(crate) faults: bool,
    /// Machines that are down, with the ticks that they stay so.
    down: Vec<(HostId, u64)>,
    /// Disks that are slow, likewise.
    slow: Vec<(HostId, u64)>,
    /// For how long the network is still partitioned.
    parted: u64,
    /// What nodes have said to have changed, since this was taken last.
    pub(crate) events: Vec<(HostId, Event)>,
}

/// The machine of this number.
pub(crate) fn host(number: u8) -> HostId {
    HostId::new(number).unwrap()
}

/// The machines of these numbers.
pub(crate) fn hosts(numbers: impl IntoIterator<Item = u8>) -> HostSet {
    numbers.into_iter().map(host).collect()
}

impl<R: Rig> Town<R> {
    /// A world that has just been founded.
    pub(crate) fn new(seed: u64, setup: Setup, rig: R) -> Self {
        let world = World::new(setup, rig).unwrap();
        let (down, slow) = (Vec::new(), Vec::new());
        Town { world, random: Random::new(seed), faults: false, down, slow, parted: 0, events: Vec::new() }
    }

    /// Lets something happen, if it can.
    ///
    /// # Panics
    /// Where it breaks a rule.
    pub(crate) fn act(&mut self, action: Action) {
        match (self.world.apply(action), action) {
            (Err(violation), _) => panic!("`{action}`: {violation}"),
            (Ok(Applied::Done), Action::Step { host, .. }) => {
                let events = self.world.host(host).events().iter().cloned();
                self.events.extend(events.map(|event| (host, event)));
            }
            (Ok(_), _) => {}
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = HostId> + use<R> {
        (1..=self.world.setup().hosts).map(host)
    }

    /// Who leads the latest term.
    pub(crate) fn leader(&self) -> Option<HostId> {
        let term =
            |host: HostId| self.world.host(host).seen().filter(|seen| seen.leads).map(|seen| seen.term);
        self.all().filter(|host| term(*host).is_some()).max_by_key(|host| term(*host))
    }

    fn up(&self, host: HostId) -> bool {
        self.world.host(host).node().is_some()
    }

    fn strike(&mut self) {
        let all: Vec<HostId> = self.all().collect();
        let victim = self.random.pick(&all);
        if self.random.chance(CRASH) && self.up(victim) {
            let (keep, torn) = (self.random.below(4) as u32, self.random.chance(512));
            self.act(Action::Crash { host: victim, keep, torn, stray: 0 });
            self.down.push((victim, self.random.between(1, 60)));
        }
        if self.random.chance(PARTITION) && self.parted == 0 {
            let side = all.iter().copied().filter(|_| self.random.chance(300)).collect();
            self.act(Action::Partition { side });
            self.parted = self.random.between(5, 60);
        }
        if self.random.chance(SLOW_DISK) {
            self.slow.push((victim, self.random.between(10, 100)));
        }
    }

    /// Faults come to their ends.
    fn mend(&mut self) {
        for (_, left) in self.down.iter_mut().chain(&mut self.slow) {
            *left = left.saturating_sub(1);
        }
        self.slow.retain(|(_, left)| *left != 0);
        let ended: Vec<HostId> =
            self.down.iter().filter(|(_, left)| *left == 0).map(|(host, _)| *host).collect();
        self.down.retain(|(_, left)| *left != 0);
        for host in ended {
            self.act(Action::Restart { host, tail: u64::MAX });
        }
        if self.parted != 0 {
            self.parted -= 1;
            if self.parted == 0 {
                self.act(Action::Heal);
            }
        }
    }

    /// A tick passes on every machine that is up.
    pub(crate) fn tick(&mut self) {
        if self.faults {
            self.strike();
        }
        self.mend();
        for host in self.all() {
            self.act(Action::Tick { host, elapsed: 1 });
            self.act(Action::Step { host, effects: None });
        }
        for _ in 0..2 {
            self.deliver();
            for host in self.all() {
                self.serve(host);
            }
        }
        if let Some(host) = self.leader().filter(|_| self.random.chance(LOAD)) {
            let (request, commands) = (self.world.requests() + 1, self.random.between(1, 3) as u8);
            self.act(Action::Propose { host, request, commands, bytes: 16 });
        }
    }

    fn deliver(&mut self) {
        for packet in self.world.network().names().collect::<Vec<_>>() {
            let Link { to, .. } = packet.link;
            let lost = !self.world.network().is_open(packet.link) || !self.up(to);
            if lost || self.faults && self.random.chance(LOSS) {
                self.act(Action::Drop { packet });
            } else if self.random.chance(700) {
                self.act(Action::Deliver { packet });
            }
        }
    }

    fn serve(&mut self, host: HostId) {
        let slow = self.slow.iter().any(|(slow, _)| *slow == host);
        if self.random.chance(if slow { 50 } else { 800 }) {
            self.act(Action::Sync { host, batches: u32::MAX });
        }
        self.act(Action::Applied { host });
        while self.world.host(host).is_fetching() {
            self.act(Action::Fetched { host });
        }
        self.act(Action::Step { host, effects: None });
    }

    /// The configuration that the leader has committed and that is not joint, if there is one.
    fn settled(&self) -> Option<&Membership> {
        let node = self.world.host(self.leader()?).node()?;
        let committed = node.membership_index() <= node.status().commit;
        node.membership().map(|membership| &**membership).filter(|m| committed && !m.is_joint())
    }

    /// Whether exactly these machines, as the pairs that they are now, are voters of a committed configuration, and no other machine is
    /// in it.
    pub(crate) fn is(&self, voters: HostSet, learners: HostSet) -> bool {
        let pair_of = |host| self.world.host(host).pair();
        let of = |set: HostSet, suffrage| set.iter().map(move |host| (pair_of(host), suffrage));
        let wanted = of(voters, Suffrage::Voter).chain(of(learners, Suffrage::Learner));
        let mut wanted: Vec<_> = wanted.collect();
        wanted.sort_by_key(|(pair, _)| *pair);
        self.settled().is_some_and(|membership| {
            membership.servers().iter().map(|server| (server.pair, server.suffrage)).eq(wanted)
        })
    }

    /// Asks the leader of the day for this until the configuration is as it should be, while the world goes on.
    ///
    /// # Panics
    /// Where it is not reached within 20,000 ticks, or where nothing of the load has committed meanwhile.
    pub(crate) fn reach(&mut self, wanted: Wanted, voters: HostSet, learners: HostSet) {
        let before = self.world.counts();
        for _ in 0..self.random.between(20, 150) {
            self.tick();
        }
        for tick in 0..20_000_u64 {
            if self.is(voters, learners) {
                let after = self.world.counts();
                assert!(before.commits < after.commits, "nothing has committed on the way to {wanted}");
                return;
            }
            if let Some(host) = self.leader().filter(|_| tick % 20 == 0) {
                let request = self.world.requests() + 1;
                self.act(Action::Reconfigure { host, request, wanted, based_on: None });
            }
            self.tick();
        }
        panic!("{wanted} is not reached: {:?}", self.settled());
    }

    /// The machine loses its disk and comes up as another pair.
    pub(crate) fn wipe(&mut self, host: HostId) {
        self.down.retain(|(down, _)| *down != host);
        self.act(Action::Crash { host, keep: 0, torn: false, stray: 0 });
        self.act(Action::Wipe { host });
        self.act(Action::Restart { host, tail: u64::MAX });
    }

    /// Faults stop, and those that there are end.
    pub(crate) fn calm(&mut self) {
        self.faults = false;
        while !self.down.is_empty() || !self.slow.is_empty() || self.parted != 0 {
            self.tick();
        }
    }
}
