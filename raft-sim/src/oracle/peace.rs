//! A clique that is left in peace, as far as the world shows it: its servers stay up, their clocks go, what is sent between them
//! arrives, what they write is synced. What such a clique owes to the world, other oracles say.
//!
//! Whoever chooses actions says only *who* is to be watched, and how time passes. That the clique really is in peace is looked at
//! here, so that a list of actions from which some were taken out breaks no rule merely because a packet or a tick is missing in it.

use crate::action::{Action, HostId, HostSet, Link};

/// The slack in ticks that clocks are given: what is late by this much may have been told a little later.
const SLACK: u64 = 5;

/// One way between two servers of the clique, by the numbers of its packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// Which.
    pub link: Link,
    /// The number of the newest packet that was sent on it.
    pub newest: u32,
    /// That of the oldest one that is in flight and was sent since the clique is watched.
    pub oldest: Option<u32>,
}

/// What a machine of the clique has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Duties {
    /// Which machine.
    pub host: HostId,
    /// For how many ticks its node wants to sleep, by its own word; `None`: for good.
    pub sleep: Option<u32>,
    /// Whether something has come that its node has not taken, or has not finished with.
    pub mail: bool,
    /// Whether a batch waits for its disk.
    pub writes: bool,
}

#[derive(Clone, Copy, Debug)]
struct Lane {
    link: Link,
    // The newest packet when the clique came to be watched, at the last look but one, and at the last.
    base: u32,
    before: u32,
    last: u32,
}

#[derive(Clone, Copy, Debug)]
struct Machine {
    host: HostId,
    // How many ticks its node was told of.
    told: u64,
    // For how many looks its node has not stepped though there was something to take, and its disk not synced though …
    idle: u32,
    unsynced: u32,
}

/// A clique, and whether nothing went wrong in it so far.
#[derive(Clone, Debug)]
pub(super) struct Peace {
    clique: HostSet,
    for_good: bool,
    now: u64,
    machines: Vec<Machine>,
    lanes: Vec<Lane>,
    stepped: HostSet,
    synced: HostSet,
    broken: Option<String>,
}

impl Peace {
    pub(super) fn new(clique: HostSet, for_good: bool, ways: &[Way]) -> Self {
        let machine = |host| Machine { host, told: 0, idle: 0, unsynced: 0 };
        let lane =
            |way: &Way| Lane { link: way.link, base: way.newest, before: way.newest, last: way.newest };
        Peace {
            clique,
            for_good,
            now: 0,
            machines: clique.iter().map(machine).collect(),
            lanes: ways.iter().map(lane).collect(),
            stepped: HostSet::EMPTY,
            synced: HostSet::EMPTY,
            broken: None,
        }
    }

    /// Who.
    pub(super) fn clique(&self) -> HostSet {
        self.clique
    }

    /// Whether it is left in peace from here to the end.
    pub(super) fn for_good(&self) -> bool {
        self.for_good
    }

    /// How many ticks it is watched by now.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// What went wrong in it first. From then on nobody owes anything.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// The newest packet on this way when the clique came to be watched; what was sent before may do what it wants.
    pub(super) fn base(&self, link: Link) -> Option<u32> {
        self.lanes.iter().find(|lane| lane.link == link).map(|lane| lane.base)
    }

    pub(super) fn stepped(&mut self, host: HostId) {
        self.stepped = self.stepped.with(host);
    }

    /// A server has appended another configuration, as its leader. What a siege was laid around is another cluster then.
    pub(super) fn changed(&mut self, host: HostId) {
        if self.clique.contains(host) && !self.for_good {
            self.breaks(|| format!("server {host} changes the configuration"));
        }
    }

    pub(super) fn synced(&mut self, host: HostId) {
        self.synced = self.synced.with(host);
    }

    /// Something has happened in the world.
    pub(super) fn happened(&mut self, action: Action) {
        let inside = |link: Link| self.clique.contains(link.from) && self.clique.contains(link.to);
        let wrong = match action {
            Action::Tick { host, elapsed } => {
                if let Some(machine) = self.machines.iter_mut().find(|machine| machine.host == host) {
                    machine.told += u64::from(elapsed);
                }
                false
            }
            Action::Drop { packet } => self.base(packet.link).is_some_and(|base| base < packet.number),
            Action::Cut { link } => inside(link),
            Action::Partition { side } => {
                let here = self.clique.iter().filter(|host| side.contains(*host)).count() as u32;
                here != 0 && here != self.clique.len()
            }
            Action::Crash { host, .. }
            | Action::FailWrite { host }
            | Action::Campaign { host }
            | Action::StepDown { host }
            | Action::ForgetLeader { host }
            | Action::Transfer { host, .. }
            | Action::Reconfigure { host, .. } => self.clique.contains(host),
            _ => false,
        };
        if wrong {
            self.breaks(|| format!("`{action}`"));
        }
    }

    fn breaks(&mut self, what: impl FnOnce() -> String) {
        if self.broken.is_none() {
            self.broken = Some(what());
        }
    }

    /// Time passes, and everything in the clique is looked at. What lies for two looks is late: calm machines and ways need less
    /// than a tick.
    pub(super) fn pass(&mut self, ticks: u8, duties: &[Duties], ways: &[Way]) {
        self.now += u64::from(ticks);
        for way in ways {
            let Some(lane) = self.lanes.iter_mut().find(|lane| lane.link == way.link) else { continue };
            let late = way.oldest.is_some_and(|oldest| oldest <= lane.before);
            (lane.before, lane.last) = (lane.last, way.newest);
            if late {
                let link = way.link;
                self.breaks(|| format!("a packet on the way {link} is late"));
            }
        }
        for duties in duties {
            self.look_at(duties);
        }
        (self.stepped, self.synced) = (HostSet::EMPTY, HostSet::EMPTY);
    }

    fn look_at(&mut self, duties: &Duties) {
        let (now, host) = (self.now, duties.host);
        let (stepped, synced) = (self.stepped.contains(host), self.synced.contains(host));
        let Some(machine) = self.machines.iter_mut().find(|machine| machine.host == host) else { return };
        machine.idle = if duties.mail && !stepped { machine.idle + 1 } else { 0 };
        machine.unsynced = if duties.writes && !synced { machine.unsynced + 1 } else { 0 };
        // Clocks drift by at most a tenth, and a node is told of the time when it asks for that or something comes.
        let fast = now + now / 8 + SLACK < machine.told;
        let wakes = duties.sleep.map(|sleep| machine.told + u64::from(sleep) + SLACK);
        let slow = !duties.mail && wakes.is_some_and(|wakes| wakes < now - now / 8);
        let wrong = match (2 < machine.idle, 2 < machine.unsynced) {
            (true, _) => Some("stands still"),
            (_, true) => Some("has a disk that stands still"),
            _ if fast => Some("has a clock that jumps"),
            _ if slow => Some("has a clock that stands still"),
            _ => None,
        };
        if let Some(wrong) = wrong {
            self.breaks(|| format!("server {host} {wrong}"));
        }
    }
}
