//! The world: machines, disks, network and clients around production nodes. [`World::apply`] is the only thing that changes
//! it, and an [`Action`] the only thing that can happen.
//!
//! ```text
//!              deliver, tick, sync, applied, fetched, propose
//!                                 │ put a message into
//!                                 ▼
//!     packets in flight ───▶ inbox of a host ──step──▶ Node::step_all ──▶ Ready
//!            ▲                                                             │ performed effect by effect;
//!            └──── send ── answer ── write ── apply ── fetch ◀─────────────┘ a crash can come between any two
//! ```
//!
//! The oracles watch from inside: whatever an action did, they have judged it before `apply` returns.

mod calls;
mod enabled;
mod faults;
mod own;
mod reads;
mod sessions;
mod snapshots;
mod watching;

pub use self::own::Offers;
use self::sessions::{Deed, Tenants};

use raft_core::{
    Answer, Bootstrap, Config, Event, Fetched, Leases, LogIndex, LogTime, Membership, Message, NodeId,
    Outcome as Told, Payload, Recovered, RequestId, Runs, SessionLimits, Suffrage, WriteNumber,
};

pub(crate) use self::calls::Heard;
use crate::action::{Action, HostId, Link, PacketName, Wanted, server_of};
use crate::client;
use crate::disk::pair_of;
use crate::history::Reply;
use crate::host::{Host, Work};
use crate::machine::Machine;
use crate::network::Network;
use crate::oracle::{Oracles, Seen, Step, Violation};
use crate::rig::{Honest, Rig};
use crate::session;
use crate::tally::{Counts, RunDigest};

/// How a world is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setup {
    /// How many machines, 1 to [`HostId::MAX`].
    pub hosts: u8,
    /// How many of them, the last ones, are not founding voters, as all others are, but have empty disks and can be added. At
    /// least one machine is a founder.
    pub spares: u8,
    /// The settings of every node.
    pub config: Config,
    /// Whether state machines keep what they applied over a crash.
    pub durable_machines: bool,
    /// What the session tables of state machines are limited to.
    pub sessions: SessionLimits,
    /// On which terms leaders have leases; `None`: they have none. That clocks keep to it is for whoever chooses the actions.
    pub leases: Option<Leases>,
}

/// Something that an action has brought about and that a scheduler may want to follow up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// A packet is in flight.
    Sent(PacketName),
    /// A batch waits for the disk.
    Written(HostId),
    /// The state machine has something to do.
    Applying(HostId),
    /// A read of the log waits for its answer.
    Fetching(HostId),
    /// A snapshot of the state machine is being made.
    Saving(HostId),
    /// A snapshot is to be sent on this way.
    Sending(Link),
    /// A node has made a step.
    Stepped(HostId),
    /// A client was told what became of its call: the reply, or `None` where it was refused or is lost.
    Told {
        /// The request.
        request: u64,
        /// The reply.
        reply: Option<Reply>,
    },
}

/// What [`World::apply`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applied {
    /// It happened.
    Done,
    /// It can not happen now, and nothing has changed.
    Impossible,
}

/// A whole cluster and all around it.
#[derive(Clone, Debug)]
pub struct World<R: Rig = Honest> {
    setup: Setup,
    founding: Membership,
    hosts: Vec<Host>,
    network: Network,
    requests: u64,
    oracles: Oracles,
    rig: R,
    counts: Counts,
    digest: RunDigest,
    news: Vec<News>,
    /// What clients heard by the last action.
    heard: Vec<Heard>,
    tenants: Tenants,
    offers: Offers,
    /// A list that keeps its memory: what a state machine was fed that it has to do something for.
    deeds: Vec<(LogIndex, LogTime, Deed)>,
    /// Another one: the reads that a node takes in with its next step.
    fresh_reads: Vec<RequestId>,
}

type Outcome = Result<Applied, Box<Violation>>;

impl<R: Rig> World<R> {
    /// A cluster that has just been founded: every machine is formatted, bootstrapped if it is a founder, and started once, and no
    /// node has made a step yet.
    ///
    /// # Errors
    /// A node that does not start. With a valid configuration and an honest rig that does not happen.
    ///
    /// # Panics
    /// With no founder, or more machines than [`HostId::MAX`].
    pub fn new(setup: Setup, rig: R) -> Result<Self, Box<Violation>> {
        let ids = 0..usize::from(setup.hosts);
        let machines: Vec<_> = ids.map(HostId::at).filter_map(|host| Some((host, pair_of(host)?))).collect();
        let pairs: Vec<_> = machines.iter().map(|(_, pair)| *pair).collect();
        let founders = &machines[..usize::from(setup.hosts.saturating_sub(setup.spares))];
        let servers = founders.iter().map(|(host, pair)| server_of(*host, *pair, Suffrage::Voter));
        let founding = Membership::new(servers.collect());
        let founding = founding.expect("machines have different numbers, and there is at least one");
        let founding = founding.with_leases(setup.leases);
        let fresh = || Machine::new(setup.sessions, rig.own());
        let mut world = World {
            oracles: Oracles::new(&pairs, &founding, &setup),
            hosts: pairs.iter().map(|pair| Host::new(*pair, fresh())).collect(),
            network: Network::new(setup.hosts),
            founding,
            setup,
            requests: 0,
            rig,
            counts: Counts::default(),
            digest: RunDigest::default(),
            news: Vec::new(),
            heard: Vec::new(),
            tenants: Tenants::default(),
            offers: Offers::new(),
            deeds: Vec::new(),
            fresh_reads: Vec::new(),
        };
        for (host, pair) in machines {
            let empty = Recovered::default();
            if let Ok(Bootstrap::Write(write)) = raft_core::bootstrap(&empty, &world.founding, pair) {
                world.oracles.founded(host, &write)?;
                let disk = &mut world.hosts[host.nth()].disk;
                disk.write(write);
                disk.sync(1);
            }
            world.start(host, u64::MAX)?;
        }
        Ok(world)
    }

    /// How it was set up.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The machines, in order.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// This machine.
    ///
    /// # Panics
    /// Where there is none of this number.
    pub fn host(&self, host: HostId) -> &Host {
        &self.hosts[host.nth()]
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What has happened so far, in numbers.
    pub fn counts(&self) -> Counts {
        let mut counts = self.counts;
        counts.elections = self.oracles.elections();
        counts.commits = self.oracles.commits();
        counts.settled = self.oracles.settled();
        (counts.changed, counts.joint) = self.oracles.changes();
        counts.excused += self.oracles.excused();
        counts
    }

    /// The digest of all that has happened so far.
    pub fn digest(&self) -> u64 {
        self.digest.value() ^ self.oracles.machine_digest()
    }

    /// The greatest number of a request so far. The next has to be greater.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Takes note that nothing can be demanded in the end of a run.
    pub(crate) fn excuse(&mut self) {
        self.counts.excused += 1;
    }

    /// Moves what the last actions have brought about into `news`, which is emptied before.
    pub fn take_news(&mut self, news: &mut Vec<News>) {
        news.clear();
        std::mem::swap(&mut self.news, news);
    }

    /// Lets one thing happen. Those that only watch are not counted as actions.
    ///
    /// # Errors
    /// The rule that it broke. The world is of no use after that but to be looked at.
    pub fn apply(&mut self, action: Action) -> Outcome {
        self.heard.clear();
        let outcome = self.perform_action(action)?;
        if outcome == Applied::Done {
            self.counts.actions += u64::from(action.is_event());
            self.digest.add(&action.words());
            if let Some(words) = action.change_words() {
                self.digest.add(&words);
            }
            self.oracles.happened(action);
        }
        Ok(outcome)
    }

    fn perform_action(&mut self, action: Action) -> Outcome {
        match action {
            Action::Tick { host, elapsed } => {
                let Some(()) = self.up(host) else { return Ok(Applied::Impossible) };
                let elapsed = self.rig.tick(host, elapsed);
                self.mail(host, Message::Tick { elapsed })
            }
            Action::Deliver { packet } => self.deliver(packet),
            Action::Drop { packet } => match self.network.take(packet) {
                Some(_) => {
                    self.counts.drops += 1;
                    Ok(Applied::Done)
                }
                None => Ok(Applied::Impossible),
            },
            Action::Duplicate { packet } => {
                let done = self.network.duplicate(packet);
                self.counts.duplicates += u64::from(done);
                Ok(changed(done))
            }
            Action::Step { host, effects } => self.step(host, effects),
            Action::Perform { host } => {
                let unfinished = self.host_of(host).is_some_and(Host::is_unfinished);
                if unfinished {
                    self.perform(host, u32::MAX)?;
                }
                Ok(changed(unfinished))
            }
            Action::Sync { host, batches } => self.sync(host, batches),
            Action::Applied { host } => self.applied(host),
            Action::Fetched { host } => self.fetched(host),
            Action::Crash { host, keep, torn, stray } => self.crash(host, keep, torn, stray),
            Action::Restart { host, tail } => match self.host_of(host) {
                Some(machine) if machine.up.is_none() => {
                    self.start(host, tail)?;
                    self.counts.restarts += 1;
                    Ok(Applied::Done)
                }
                _ => Ok(Applied::Impossible),
            },
            Action::FailWrite { host } => self.fail_write(host),
            Action::Damage { host, record } => self.damage(host, record),
            Action::Wipe { host } => self.wipe(host),
            Action::RollBack { host, records } => self.roll_back(host, records),
            Action::Cut { link } => {
                let done = self.network.set_cut(link, true);
                self.counts.cuts += u64::from(done);
                Ok(changed(done))
            }
            Action::Mend { link } => {
                let mended = self.network.set_cut(link, false);
                if mended {
                    self.rig.healed();
                }
                Ok(changed(mended))
            }
            Action::Partition { side } => {
                let done = self.network.partition(side);
                self.counts.partitions += u64::from(done);
                Ok(changed(done))
            }
            Action::Heal => {
                let healed = self.network.heal();
                if healed {
                    self.rig.healed();
                }
                Ok(changed(healed))
            }
            Action::Propose { host, request, commands, bytes } => {
                self.propose(host, request, commands, bytes)
            }
            Action::Command { host, request } => self.command(host, request),
            Action::Call { host, request, client, key, asked } => {
                self.call(host, request, (client, key), asked)
            }
            Action::Read { host, request, client, key } => self.read(host, request, (client, key)),
            Action::ReadWithin { host, request, ticks } => self.read_within(host, request, ticks),
            Action::Forward { host, request, client, key } => self.forward(host, request, (client, key)),
            Action::Barrier { host, request } => self.barrier(host, request),
            Action::Verify { host, request } => self.verify(host, request),
            Action::Register { host, request, client } => self.register(host, request, client),
            Action::Submit { host, request, client, key, asked } => {
                self.submit(host, request, client, (key, asked))
            }
            Action::Again { host, request, client, nth } => self.submit_again(host, request, client, nth),
            Action::Save { host } => self.save(host),
            Action::Saved { host } => self.saved(host),
            Action::Move { link } => self.move_snapshot(link),
            Action::Sent { link } => self.sent(link, true),
            Action::Lose { link } => self.sent(link, false),
            Action::Compact { host } => self.compact(host),
            Action::Campaign { host } => self.ask(host, Message::Campaign),
            Action::StepDown { host } => self.ask(host, Message::StepDown),
            Action::ForgetLeader { host } => self.ask(host, Message::ForgetLeader),
            Action::Transfer { host, request, to } => self.transfer(host, request, to),
            Action::Reconfigure { host, request, wanted, based_on } => {
                self.reconfigure(host, request, wanted, based_on)
            }
            Action::Watch { clique, for_good } => {
                let watched = self.watch(clique, for_good);
                self.counts.sieges += u64::from(watched == Applied::Done && !for_good);
                Ok(watched)
            }
            Action::Unwatch => Ok(self.unwatch()),
            Action::Pass { ticks } => self.pass(ticks),
        }
    }

    fn host_of(&self, host: HostId) -> Option<&Host> {
        self.hosts.get(host.nth())
    }

    fn up(&self, host: HostId) -> Option<()> {
        self.host_of(host)?.up.as_ref().map(|_| ())
    }

    fn mail(&mut self, host: HostId, message: Message) -> Outcome {
        self.hosts[host.nth()].spare.inbox.push(message);
        Ok(Applied::Done)
    }

    fn deliver(&mut self, name: PacketName) -> Outcome {
        if !self.network.is_open(name.link) || self.up(name.link.to).is_none() {
            return Ok(Applied::Impossible);
        }
        match self.network.take(name) {
            Some(packet) => {
                self.counts.deliveries += 1;
                if !self.takes(name.link, &packet) {
                    return Ok(Applied::Done);
                }
                self.oracles.delivered(name.link.to, &packet);
                self.mail(name.link.to, Message::Packet(packet))
            }
            None => Ok(Applied::Impossible),
        }
    }

    fn propose(&mut self, host: HostId, request: u64, commands: u8, bytes: u32) -> Outcome {
        if self.up(host).is_none() || request <= self.requests || u64::MAX >> 8 < request {
            return Ok(Applied::Impossible);
        }
        self.requests = request;
        self.counts.proposals += 1;
        let leads = self.host(host).seen().is_some_and(|seen| seen.leads);
        self.oracles.requested(host, request, leads);
        let count = commands;
        let commands = client::commands(request, commands, bytes);
        self.oracles.proposed(host, request, count, client::bytes_of(&commands));
        self.mail(host, Message::Propose { id: RequestId::new(request), commands })
    }

    /// An operator asks for something that has no answer.
    fn ask(&mut self, host: HostId, message: Message) -> Outcome {
        match self.up(host) {
            Some(()) => self.mail(host, message),
            None => Ok(Applied::Impossible),
        }
    }

    fn transfer(&mut self, host: HostId, request: u64, to: Option<HostId>) -> Outcome {
        if self.up(host).is_none() || request <= self.requests || u64::MAX >> 8 < request {
            return Ok(Applied::Impossible);
        }
        self.requests = request;
        self.counts.transfers += 1;
        let to = to.and_then(|to| NodeId::new(u64::from(to.raw())));
        self.oracles.transfer_asked(host, request, to);
        self.mail(host, Message::Transfer { id: RequestId::new(request), to })
    }

    fn reconfigure(&mut self, host: HostId, request: u64, wanted: Wanted, based_on: Option<u64>) -> Outcome {
        if self.up(host).is_none() || request <= self.requests || u64::MAX >> 8 < request {
            return Ok(Applied::Impossible);
        }
        let pair = |host: HostId| Some(self.host_of(host)?.pair);
        let Some(change) = wanted.change(pair) else { return Ok(Applied::Impossible) };
        self.requests = request;
        self.counts.changes += 1;
        self.oracles.change_asked(host, request, change.clone());
        let (id, based_on) = (RequestId::new(request), based_on.map(LogIndex::new));
        self.mail(host, Message::Reconfigure { id, change, based_on })
    }

    fn step(&mut self, host: HostId, effects: Option<u32>) -> Outcome {
        if !self.host_of(host).is_some_and(Host::has_mail) {
            return Ok(Applied::Impossible);
        }
        self.perform(host, u32::MAX)?;
        let machine = &mut self.hosts[host.nth()];
        let Some(running) = &mut machine.up else { return Ok(Applied::Impossible) };
        let spare = &mut machine.spare;
        if self.setup.leases.is_some() {
            let read = |message: &Message| if let Message::Read { id } = message { Some(*id) } else { None };
            self.fresh_reads.clear();
            self.fresh_reads.extend(spare.inbox.iter().filter_map(read));
        }
        running.node.step_all(spare.inbox.drain(..), &mut spare.ready);
        let after = Seen::from(running.node.status());
        let before = std::mem::replace(&mut running.seen, after);
        let log = &running.node;
        let health = running.node.invariants().map_err(|broken| broken.to_string());
        let (pair, boot, ready) = (machine.pair, machine.boot, &spare.ready);
        let step = Step { host, pair, boot, before, after, log, ready };
        self.counts.steps += 1;
        let installed = |event: &&Event| matches!(event, Event::SnapshotInstalled { .. });
        self.counts.installed += ready.events.iter().filter(installed).count() as u64;
        let by_lease = |answer: &&Answer| {
            after.leads
                && matches!(answer.outcome, Told::Readable { .. })
                && self.fresh_reads.contains(&answer.id)
        };
        self.counts.lease_reads += ready.answers.iter().filter(by_lease).count() as u64;
        self.digest.stepped(&step);
        self.oracles.stepped(&step, health)?;
        // Effects are taken from the back, so that the rest of them keeps its place.
        spare.ready.send.reverse();
        spare.unfinished = true;
        self.perform(host, effects.unwrap_or(u32::MAX))?;
        self.news.push(News::Stepped(host));
        Ok(Applied::Done)
    }

    /// Performs effects of the last step, at most so many: packets, answers, the write, the state machine, reads.
    fn perform(&mut self, host: HostId, effects: u32) -> Result<(), Box<Violation>> {
        let machine = &mut self.hosts[host.nth()];
        let spare = &mut machine.spare;
        if machine.up.is_none() || !spare.unfinished {
            return Ok(());
        }
        let mut left = effects;
        while left != 0 {
            let Some(mut packet) = spare.ready.send.pop() else { break };
            left -= 1;
            self.rig.send(&mut packet);
            let to = HostId::new(packet.to.id.raw().min(255) as u8);
            let link = to.map(|to| Link { from: host, to });
            if let Some(name) = link.and_then(|link| self.network.send(link, packet)) {
                self.news.push(News::Sent(name));
            }
        }
        if left != 0 && !spare.ready.answers.is_empty() {
            left -= 1;
            let mut answers = std::mem::take(&mut spare.ready.answers);
            for answer in answers.drain(..) {
                for _ in 0..self.rig.answers(host, &answer) {
                    self.tell(host, &answer)?;
                }
            }
            self.hosts[host.nth()].spare.ready.answers = answers;
        }
        let machine = &mut self.hosts[host.nth()];
        let Some(running) = &mut machine.up else { return Ok(()) };
        let spare = &mut machine.spare;
        if left != 0
            && let Some(write) = spare.ready.write.take()
        {
            left -= 1;
            let cuts = write.entries.first().is_some_and(|first| first <= machine.disk.last());
            self.counts.truncations += u64::from(cuts);
            self.oracles.written(host, &write);
            machine.disk.write(write);
            self.news.push(News::Written(host));
            if let Some(number) = self.rig.written(host, &machine.disk) {
                spare.inbox.push(Message::Synced(number));
            }
        }
        if left != 0
            && let Some(runs) = spare.ready.apply.take()
        {
            left -= 1;
            running.applying = Some(Work::Apply(runs));
            self.news.push(News::Applying(host));
        }
        if left != 0
            && let Some(snapshot) = spare.ready.restore.take()
        {
            left -= 1;
            running.applying = Some(Work::Restore(snapshot));
            self.news.push(News::Applying(host));
        }
        if left != 0 && !spare.ready.fetch.is_empty() {
            left -= 1;
            for fetch in spare.ready.fetch.drain(..) {
                running.fetches.push_back(fetch);
                self.news.push(News::Fetching(host));
            }
        }
        let wanted = if left != 0 { std::mem::take(&mut spare.ready.snapshots) } else { Vec::new() };
        left -= u32::from(!wanted.is_empty());
        spare.unfinished = left == 0;
        self.begin_sending(host, wanted);
        Ok(())
    }

    fn sync(&mut self, host: HostId, batches: u32) -> Outcome {
        let Some(machine) = self.hosts.get_mut(host.nth()).filter(|machine| machine.up.is_some()) else {
            return Ok(Applied::Impossible);
        };
        let batches = batches.min(machine.disk.queued());
        if batches == 0 || machine.disk.has_failed() {
            return Ok(Applied::Impossible);
        }
        self.counts.syncs += 1;
        let number: Option<WriteNumber> = self.rig.sync(host, &mut machine.disk, batches);
        self.oracles.synced(host, batches);
        if let Some(number) = number {
            machine.spare.inbox.push(Message::Synced(number));
        }
        Ok(Applied::Done)
    }

    fn applied(&mut self, host: HostId) -> Outcome {
        let Some(machine) = self.hosts.get_mut(host.nth()) else { return Ok(Applied::Impossible) };
        let last = match machine.up.as_mut().and_then(|running| running.applying.take()) {
            Some(Work::Apply(runs)) => {
                self.feed(host, &runs)?;
                runs.last_position().map_or(LogIndex::ZERO, |position| position.index)
            }
            Some(Work::Restore(snapshot)) => {
                self.restore(host, &snapshot)?;
                snapshot.last.index
            }
            None => return Ok(Applied::Impossible),
        };
        let applied = self.rig.applied(host, last);
        self.mail(host, Message::Applied(applied))
    }

    fn feed(&mut self, host: HostId, runs: &Runs) -> Result<(), Box<Violation>> {
        let mut verdict = Ok(());
        let oracles = &mut self.oracles;
        let mut deeds = std::mem::take(&mut self.deeds);
        let mut time = LogTime::ZERO;
        self.rig.feed(host, runs, &mut |position, entry| {
            if verdict.is_ok() {
                verdict = oracles.applied(host, position, entry);
            }
            time = entry.time;
            let Payload::Command(bytes) = &entry.payload else { return };
            let deed = match session::sent_by(bytes) {
                Some((_, sent)) => Some(Deed::Session(sent)),
                None => client::call_of(bytes)
                    .map(|(_, key, operation)| Deed::Call(key, operation))
                    .or_else(|| client::own_of(bytes).map(Deed::Own)),
            };
            deeds.extend(deed.map(|deed| (position.index, time, deed)));
        });
        verdict?;
        for (index, time, deed) in deeds.drain(..) {
            match deed {
                Deed::Call(key, operation) => self.perform_operation(host, index, key, operation)?,
                Deed::Session(sent) => self.perform_for_session(host, (index, time), sent)?,
                Deed::Own(command) => self.perform_own(host, (index, time), &command)?,
            }
        }
        self.deeds = deeds;
        let machine = &mut self.hosts[host.nth()].machine;
        (machine.last, machine.time) = (runs.last_position().unwrap_or_default(), time);
        Ok(())
    }

    fn fetched(&mut self, host: HostId) -> Outcome {
        let Some(machine) = self.hosts.get_mut(host.nth()) else { return Ok(Applied::Impossible) };
        let Some(fetch) = machine.up.as_mut().and_then(|running| running.fetches.pop_front()) else {
            return Ok(Applied::Impossible);
        };
        self.counts.fetches += 1;
        self.oracles.fetched(host);
        let entries = machine.disk.read(fetch.first, fetch.last, fetch.bytes_max);
        let result = match entries.is_empty() {
            _ if fetch.first <= machine.disk.start() => Fetched::Compacted,
            true => Fetched::Failed,
            false => Fetched::Entries(entries),
        };
        machine.spare.inbox.push(Message::Fetched { number: fetch.number, result });
        Ok(Applied::Done)
    }
}

fn changed(changed: bool) -> Applied {
    if changed { Applied::Done } else { Applied::Impossible }
}
