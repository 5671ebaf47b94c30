//! Watches a run and writes down what a picture of it shows. It looks at the world after every action and takes a note of what differs; it
//! judges nothing, and changes nothing.

use raft_core::RoleKind;
use std::collections::BTreeMap;

use super::Picture;
use super::facts::{Broken, Facts, Packet, role, wait};
use super::logs::Logs;
use super::requests::Requests;
use super::words;
use crate::action::{Action, HostId, Link, PacketName};
use crate::columns::said;
use crate::oracle::Violation;
use crate::plan::Profile;
use crate::rig::Rig;
use crate::schedule::{Ending, Schedule};
use crate::scheduler::Watch;
use crate::world::World;

/// A server, or its disk, stands still where so many actions for each server happen without one of its own. Where all have their turn by
/// chance, that is one in a million.
const STILL: u64 = 12;

/// Watches a run for a [`Picture`].
#[derive(Clone, Debug)]
pub struct Painter {
    facts: Facts,
    logs: Logs,
    requests: Requests,
    /// Packets of which a copy is on its way, and their rows.
    flying: BTreeMap<PacketName, usize>,
    /// The newest packet of each way.
    newest: BTreeMap<Link, u32>,
    servers: Vec<Server>,
    begun: Option<Action>,
    /// Whether all has happened, and what clients were told is judged as a whole.
    closed: bool,
}

/// What is remembered of a server.
#[derive(Clone, Debug, Default)]
struct Server {
    /// Its last row, without the moment.
    row: [u64; 9],
    /// When something last happened there.
    moved: u64,
    /// What its own state machine says of itself.
    state: Option<String>,
    /// Since when its disk has something to write and has made nothing durable.
    writes: Option<u64>,
}

impl Painter {
    /// How many actions a picture has room for. A run that has more ends there.
    pub const ACTIONS_MAX: usize = 200_000;

    /// For the run of a seed, which has virtual time. `notes` are shown beside the picture.
    pub fn of_seed(seed: u64, notes: Vec<String>) -> Self {
        Painter::new(Facts { title: format!("seed {seed}"), notes, timed: true, ..Facts::default() })
    }

    /// For the run of a schedule.
    pub fn of_schedule(schedule: &Schedule) -> Self {
        let mut notes = schedule.notes.clone();
        // What follows a semicolon says more than a heading has room for; then the whole note stays among the others.
        let title = match notes.first().map(|first| first.split_once("; ")) {
            None => "a schedule".to_owned(),
            Some(None) => notes.remove(0),
            Some(Some((title, _))) => title.to_owned(),
        };
        if let Some(broken) = &schedule.broken {
            notes.insert(0, format!("broken on purpose: {broken}"));
        }
        Painter::new(Facts { title, notes, ..Facts::default() })
    }

    fn new(facts: Facts) -> Self {
        Painter {
            facts,
            logs: Logs::default(),
            requests: Requests::default(),
            flying: BTreeMap::new(),
            newest: BTreeMap::new(),
            servers: Vec::new(),
            begun: None,
            closed: false,
        }
    }

    /// The picture of what was seen: of a run that broke this rule, if one, and that has an end, if `whole`.
    pub fn finish(mut self, violation: Option<&Violation>, whole: bool) -> Picture {
        // A panic keeps an action from having happened; it belongs to the run all the same.
        if let Some(action) = self.begun.take().filter(|_| violation.is_some()) {
            self.facts.steps.push(action.to_string());
            self.facts.times.extend(self.facts.times.last().copied());
        }
        let now = self.facts.now();
        for nth in 0..self.servers.len() {
            self.rest(HostId::at(nth), now);
            self.wrote(HostId::at(nth), now);
        }
        self.facts.waits.sort_unstable();
        self.facts.whole = whole;
        self.facts.broken = violation.map(|violation| {
            let last = self.facts.steps.last().and_then(|step| step.parse::<Action>().ok());
            let at_end = self.closed;
            let server = last.filter(|_| !at_end).and_then(place).map_or(0, |host| u64::from(host.raw()));
            Broken {
                moment: now,
                server,
                at_end,
                oracle: violation.oracle,
                rule: violation.rule,
                seen: violation.what.clone(),
            }
        });
        Picture { facts: self.facts }
    }

    /// What an action did to packets.
    fn packets<R: Rig>(&mut self, action: Action, world: &World<R>) {
        let now = self.facts.now();
        match action {
            Action::Deliver { packet } | Action::Drop { packet } => {
                let lost = matches!(action, Action::Drop { .. });
                if let Some(row) = self.flying.get(&packet) {
                    self.facts.packets[*row].ends.push((now, lost));
                }
                if world.network().packet(packet).is_none() {
                    self.flying.remove(&packet);
                }
            }
            Action::Step { host, .. } | Action::Perform { host } => {
                for to in (0..self.servers.len()).map(HostId::at) {
                    self.sent(Link { from: host, to }, world);
                }
            }
            Action::Move { link } => self.sent(link, world),
            _ => {}
        }
    }

    /// Takes note of packets that were not on this way before.
    fn sent<R: Rig>(&mut self, link: Link, world: &World<R>) {
        let newest = world.network().newest_on(link);
        let before = self.newest.insert(link, newest).unwrap_or(0);
        for number in before + 1..=newest {
            let name = PacketName { link, number };
            let Some(packet) = world.network().packet(name) else { continue };
            let kind = words::kind(&packet.body);
            let known = self.facts.kinds.iter().position(|known| *known == kind);
            let kind = known.unwrap_or_else(|| {
                self.facts.kinds.push(kind);
                self.facts.kinds.len() - 1
            });
            let way = [u64::from(link.from.raw()), u64::from(link.to.raw()), u64::from(number)];
            self.flying.insert(name, self.facts.packets.len());
            let (text, sent) = (said(packet), self.facts.now());
            self.facts.packets.push(Packet { way, kind, text, sent, ends: Vec::new() });
        }
    }

    /// What a server is now.
    fn node<R: Rig>(&mut self, host: HostId, world: &World<R>) {
        let machine = world.host(host);
        let id = |pair: Option<raft_core::Pair>| pair.map_or(0, |pair| pair.id.raw());
        let applied = machine.machine.last.index.raw();
        let server = u64::from(host.raw());
        let row = match machine.node().map(raft_core::Node::status) {
            None => {
                let (durable, start) = (world.terms(host).last().raw(), machine.disk().start().raw());
                [server, role::DOWN, 0, 0, 0, 0, applied, durable, start]
            }
            Some(status) => {
                let role = match status.role {
                    _ if status.fault.is_some() => role::HALTED,
                    RoleKind::Leader => role::LEADER,
                    RoleKind::Candidate => role::CANDIDATE,
                    RoleKind::PreCandidate => role::PRE_CANDIDATE,
                    _ => role::FOLLOWER,
                };
                let (term, commit) = (status.term.raw(), status.commit.raw());
                let (durable, start) = (status.durable.raw(), status.start.index.raw());
                [server, role, term, id(status.vote), id(status.leader), commit, applied, durable, start]
            }
        };
        if std::mem::replace(&mut self.servers[host.nth()].row, row) != row {
            let mut full = [self.facts.now(); 10];
            full[1..].copy_from_slice(&row);
            self.facts.nodes.push(full);
        }
        self.logs.look(host, world, &mut self.facts);
    }

    /// What the state machine of a user says of itself. It is asked only where it may have become another.
    fn own<R: Rig>(&mut self, host: HostId, world: &World<R>) {
        let state = world.host(host).own_state();
        let server = &mut self.servers[host.nth()];
        if server.state != state {
            let row = (self.facts.now(), u64::from(host.raw()), state.clone().unwrap_or_default());
            self.facts.states.push(row);
            server.state = state;
        }
    }

    /// How long servers and their disks stand still.
    fn waiting<R: Rig>(&mut self, action: Action, world: &World<R>) {
        let now = self.facts.now();
        if let Some(host) = place(action) {
            self.rest(host, now);
            if matches!(action, Action::Sync { .. } | Action::FailWrite { .. } | Action::Crash { .. }) {
                self.wrote(host, now);
            }
        }
        for nth in 0..self.servers.len() {
            let machine = &world.hosts()[nth];
            let server = &mut self.servers[nth];
            if machine.node().is_none() {
                server.moved = now;
            }
            let writes =
                machine.node().is_some() && machine.disk().queued() != 0 && !machine.disk().has_failed();
            server.writes = server.writes.filter(|_| writes).or(writes.then_some(now));
        }
    }

    /// Something happens at a server again.
    fn rest(&mut self, host: HostId, now: u64) {
        let since = std::mem::replace(&mut self.servers[host.nth()].moved, now);
        self.wait(wait::STILL, host, since, now);
    }

    /// A disk has made something durable again, or has lost it.
    fn wrote(&mut self, host: HostId, now: u64) {
        if let Some(since) = self.servers[host.nth()].writes.take() {
            self.wait(wait::DISK, host, since, now);
        }
    }

    fn wait(&mut self, kind: u64, host: HostId, from: u64, to: u64) {
        if 1 < self.servers.len() && STILL * self.servers.len() as u64 <= to - from {
            self.facts.waits.push([kind, u64::from(host.raw()), from, to]);
        }
    }
}

/// Where an action happens, if it is at one server.
fn place(action: Action) -> Option<HostId> {
    match action {
        Action::Deliver { packet } => Some(packet.link.to),
        Action::Move { link } | Action::Sent { link } | Action::Lose { link } => Some(link.from),
        Action::Drop { .. }
        | Action::Duplicate { .. }
        | Action::Cut { .. }
        | Action::Mend { .. }
        | Action::Partition { .. }
        | Action::Heal
        | Action::Watch { .. }
        | Action::Unwatch
        | Action::Pass { .. } => None,
        Action::Tick { host, .. }
        | Action::Step { host, .. }
        | Action::Perform { host }
        | Action::Sync { host, .. }
        | Action::Applied { host }
        | Action::Fetched { host }
        | Action::Crash { host, .. }
        | Action::Restart { host, .. }
        | Action::FailWrite { host }
        | Action::Damage { host, .. }
        | Action::Wipe { host }
        | Action::RollBack { host, .. }
        | Action::Propose { host, .. }
        | Action::Command { host, .. }
        | Action::Call { host, .. }
        | Action::Read { host, .. }
        | Action::ReadWithin { host, .. }
        | Action::Forward { host, .. }
        | Action::Barrier { host, .. }
        | Action::Verify { host, .. }
        | Action::Register { host, .. }
        | Action::Submit { host, .. }
        | Action::Again { host, .. }
        | Action::Campaign { host }
        | Action::StepDown { host }
        | Action::ForgetLeader { host }
        | Action::Transfer { host, .. }
        | Action::Reconfigure { host, .. }
        | Action::Save { host }
        | Action::Saved { host }
        | Action::Compact { host } => Some(host),
    }
}

impl<R: Rig> Watch<R> for Painter {
    fn starts(&mut self, world: &World<R>) {
        let hosts = world.hosts().len();
        self.facts.servers = hosts as u64;
        self.servers = vec![Server::default(); hosts];
        self.logs = Logs::new(hosts);
        for host in (0..hosts).map(HostId::at) {
            self.node(host, world);
            self.own(host, world);
        }
    }

    fn begins(&mut self, action: Action) {
        self.begun = Some(action);
    }

    fn ends(&mut self, ending: Ending) {
        self.facts.ending = Some((self.facts.now(), ending.to_string()));
    }

    fn closes(&mut self) {
        self.closed = true;
    }

    fn stops(&self) -> bool {
        Self::ACTIONS_MAX <= self.facts.steps.len()
    }

    fn happened(&mut self, moment: u64, action: Action, world: &World<R>) {
        self.begun = None;
        self.facts.steps.push(action.to_string());
        if self.facts.timed {
            self.facts.times.push(moment * 1000 / Profile::TICK);
        }
        let now = self.facts.now();
        self.packets(action, world);
        self.requests.follow(action, world, &mut self.facts);
        if matches!(
            action,
            Action::Cut { .. } | Action::Mend { .. } | Action::Partition { .. } | Action::Heal
        ) {
            let cut = |link: Link| [u64::from(link.from.raw()), u64::from(link.to.raw())];
            let row = [now].into_iter().chain(world.network().cuts().flat_map(cut)).collect();
            self.facts.cuts.push(row);
        }
        if let Action::Step { host, .. } = action {
            let said = world.host(host).events().iter().filter_map(words::event);
            let server = u64::from(host.raw());
            self.facts.says.extend(said.map(|text| (now, server, text)));
        }
        for host in (0..world.hosts().len()).map(HostId::at) {
            self.node(host, world);
        }
        if let Action::Applied { host }
        | Action::Crash { host, .. }
        | Action::Restart { host, .. }
        | Action::Damage { host, .. }
        | Action::Wipe { host }
        | Action::RollBack { host, .. } = action
        {
            self.own(host, world);
        }
        self.waiting(action, world);
    }
}
