//! One server of a space as a value: its node, its disk and what its state machine has applied; and what one input makes of it.
//!
//! The same effects are performed here as in the [`World`](crate::World), in the same order; that they come to the same is shown by a
//! test, which walks through spaces and worlds side by side.

use std::collections::VecDeque;

use raft_core::{
    Boot, Bootstrap, Digest, HardState, Identity, LogIndex, LogTime, Membership, Message, Node, Packet, Pair,
    Position, Ready, Recovered, RequestId, RoleKind, Status, Write,
};

use super::names::{Boots, Exchange, Look, Private, Recount, SERVERS_MAX, Timeless, pair_at};
use super::parcel::Parcel;
use super::rules::{self, Broken};
use super::space::Space;
use crate::action::{HostId, HostSet, Wanted};
use crate::client;

/// A server between two inputs: nothing is left to do for it but what inputs bring.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Server {
    /// `None` before it has come up for the first time.
    pub(super) node: Option<Node>,
    pub(super) boot: Boot,
    pub(super) pair: Pair,
    /// Up to where its state machine has applied the log; it is volatile.
    pub(super) applied: LogIndex,
    /// What is durable.
    pub(super) disk: Recovered,
    /// What was handed to the disk and is not durable yet.
    pub(super) queue: VecDeque<Write>,
}

/// What can happen to a server.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Input {
    /// A parcel is delivered.
    Deliver(Parcel),
    /// Its time is up: the election timeout has passed, or on a leader the time to the next heartbeats.
    Timeout,
    /// A whole election timeout passes at once on a leader, in which it hears nobody.
    Silence,
    /// A client proposes a command, as the so-manieth request of all.
    Propose(u8),
    /// An operator asks for another configuration.
    Reconfigure {
        /// As the so-manieth request of all.
        nth: u8,
        /// Whose voters are those at these places, as bits.
        voters: u8,
    },
    /// Its state machine is saved as it is, and that is durable at once.
    Snapshot,
    /// Its disk makes this many of the oldest writes durable.
    Sync(u8),
    /// It goes down, when this many of the oldest writes had made it to the disk, and comes up again. To be down longer is for all others as
    /// if it were up and nothing happened to it, so that nothing is to be found by that.
    Crash(u8),
    /// It comes up for the first time.
    Start,
}

/// What an input has made of a server.
#[derive(Clone, Debug)]
pub(super) struct After {
    pub(super) server: Server,
    /// What was sent, together what is for the same server.
    pub(super) sent: Vec<Parcel>,
    /// The term that it has come to lead.
    pub(super) elected: Option<u64>,
}

impl Server {
    /// A founder that has just come up for the first time, or a server to spare, before it does anything.
    pub(super) fn new(space: &Space, pair: Pair) -> Self {
        let mut disk = Recovered::default();
        if let Ok(Bootstrap::Write(write)) = raft_core::bootstrap(&disk, space.founding(), pair) {
            let founded = disk.absorb(&write);
            debug_assert!(founded.is_ok(), "an empty disk takes a founding write");
        }
        let (applied, queue) = (LogIndex::ZERO, VecDeque::new());
        Server { node: None, boot: Boot::new(0), pair, applied, disk, queue }
    }

    /// What it is, if it is up.
    pub(super) fn status(&self) -> Option<Status> {
        self.node.as_ref().map(Node::status)
    }

    /// Its term, or that on its disk.
    pub(super) fn hard_state(&self) -> HardState {
        match self.status() {
            Some(status) => HardState { term: status.term, vote: status.vote },
            None => self.disk.hard_state,
        }
    }

    /// Its log as it was handed to the disk.
    pub(super) fn log(&self) -> Recovered {
        let mut log = self.disk.clone();
        for write in &self.queue {
            let fits = log.absorb(write);
            debug_assert!(fits.is_ok(), "what was handed to the disk follows on what is there");
        }
        log
    }

    /// Whether a timeout can come: something is due some time.
    pub(super) fn can_time_out(&self) -> bool {
        let Some(status) = self.status() else { return false };
        status.fault.is_none() && (status.role == RoleKind::Leader || self.is_due())
    }

    /// Whether its state machine has applied what no snapshot of it stands for.
    pub(super) fn can_save(&self) -> bool {
        self.node.as_ref().is_some_and(|node| {
            let covered = node.snapshot().map_or(LogIndex::ZERO, |snapshot| snapshot.last.index);
            covered < self.applied
        })
    }

    fn is_due(&self) -> bool {
        // A look without an effect: what would a node that has just been asked say?
        let Some(mut node) = self.node.clone() else { return false };
        node.step(Message::Tick { elapsed: 0 }).sleep.is_some()
    }

    /// Takes an input.
    ///
    /// # Errors
    /// A rule that the server has broken by that.
    pub(super) fn take(&self, space: &Space, input: &Input) -> Result<After, Broken> {
        let mut after = After { server: self.clone(), sent: Vec::new(), elected: None };
        match input {
            Input::Deliver(parcel) => {
                after.settle(space, parcel.messages())?;
                rules::heard(&after.server, parcel.packets())?;
            }
            Input::Timeout => {
                after.settle(space, vec![Message::Tick { elapsed: space.timeout(self.leads()) }])?;
            }
            Input::Silence => {
                let elapsed = space.config().election_timeout_ticks;
                after.settle(space, vec![Message::Tick { elapsed }])?;
            }
            Input::Propose(nth) => {
                let request = u64::from(*nth);
                let commands = client::commands(request, 1, 0);
                after.settle(space, vec![Message::Propose { id: RequestId::new(request), commands }])?;
            }
            Input::Reconfigure { nth, voters } => {
                let id = RequestId::new(u64::from(*nth));
                let change = wanted(*voters).change(|host| Some(pair_at(host.nth())));
                let change = change.unwrap_or_else(|| unreachable!("these servers are there"));
                after.settle(space, vec![Message::Reconfigure { id, change, based_on: None }])?;
            }
            Input::Snapshot => {
                let node = after.server.node.as_ref();
                if let Some(term) = node.and_then(|node| node.term_at(after.server.applied)) {
                    let last = Position { term, index: after.server.applied };
                    let (time, size, digest) = (LogTime::ZERO, 1, digest_of(last));
                    after.settle(space, vec![Message::SnapshotTaken { last, time, size, digest }])?;
                }
            }
            Input::Sync(writes) => {
                let number = after.server.sync(usize::from(*writes))?;
                if let Some(number) = number {
                    after.settle(space, vec![Message::Synced(number)])?;
                }
            }
            Input::Crash(kept) => {
                after.server.sync(usize::from(*kept))?;
                after.server.queue.clear();
                after.server.node = None;
                after.server.applied = LogIndex::ZERO;
                space.crash(&mut after.server.disk);
                after.start(space)?;
            }
            Input::Start => after.start(space)?,
        }
        after.server = after.server.without_time();
        if space.bounds().crashes == 0 && !space.is_thorough() {
            after.server = after.server.at_ease();
        }
        Ok(after)
    }

    /// The oldest writes become durable; the number of the last of them.
    fn sync(&mut self, writes: usize) -> Result<Option<raft_core::WriteNumber>, Broken> {
        let mut last = None;
        for write in self.queue.drain(..writes.min(self.queue.len())) {
            self.disk.absorb(&write).map_err(|error| Broken::new(rules::DURABILITY, error.to_string()))?;
            last = Some(write.number);
        }
        Ok(last)
    }

    fn start(&mut self, space: &Space) -> Result<(), Broken> {
        self.boot = Boot::new(self.boot.raw() + 1);
        let identity = Identity { cluster: space.founding().cluster_id(), pair: self.pair, boot: self.boot };
        let mut recovered = self.disk.clone();
        recovered.applied = self.applied;
        let node = Node::new(*space.config(), identity, recovered);
        self.node = Some(node.map_err(|error| Broken::new(rules::DURABILITY, error.to_string()))?);
        rules::started(self)
    }

    /// The same server without time, and with the numbers that are its own affair counted from the least.
    fn without_time(mut self) -> Server {
        let mut look = Look::new(self.pair);
        if let Some(node) = self.node.take() {
            self.node = Some(node.renamed(&mut &mut look));
        }
        // The latest write comes last; those that are outstanding come before it.
        let latest = look.writes.pop().unwrap_or(0);
        let writes_before = look.writes.first().map_or(latest, |oldest| oldest - 1);
        let leads = self.leads();
        self.renamed(&mut Private { writes_before, fetches: look.fetches, leads })
    }

    pub(super) fn leads(&self) -> bool {
        self.status().is_some_and(|status| status.role == RoleKind::Leader)
    }

    fn renamed(self, names: &mut impl raft_core::Renaming) -> Server {
        Server {
            node: self.node.map(|node| node.renamed(names)),
            boot: names.boot(self.pair, self.boot),
            pair: names.pair(self.pair),
            applied: self.applied,
            disk: self.disk.renamed(names),
            queue: self.queue.into_iter().map(|write| write.renamed(names)).collect(),
        }
    }

    /// With servers exchanged.
    pub(super) fn exchanged(&self, mut exchange: Exchange) -> Server {
        self.clone().renamed(&mut exchange)
    }

    /// With what it shares with packets counted anew.
    pub(super) fn recounted(&self, mut names: Recount) -> Server {
        self.clone().renamed(&mut names)
    }

    /// With the boots of one server counted anew.
    pub(super) fn rebooted(&self, mut names: Boots) -> Server {
        self.clone().renamed(&mut names)
    }

    /// The same as far as it matters where nobody goes down any more: who is up never asks its disk how far the log was committed. So let that be
    /// all of it that is committed and that no write under way takes away, which is what later writes must not touch.
    pub(super) fn at_ease(&self) -> Server {
        let mut server = self.clone();
        if let Some(node) = &server.node {
            let disk = &mut server.disk;
            let touched = server.queue.iter().flat_map(|write| {
                let replaced = write.compaction.iter().filter(|compaction| compaction.discards);
                write.entries.first().into_iter().chain(replaced.map(|compaction| compaction.start.index))
            });
            let kept = touched.min().map_or(LogIndex::MAX, LogIndex::previous);
            let least = disk.start.index.raw();
            let most = node.status().commit.min(disk.last().index).min(kept).raw();
            let same = |index: &LogIndex| rules::term_at(disk, *index) == node.term_at(*index);
            let committed = (least + 1..=most).rev().map(LogIndex::new).find(same);
            disk.commit = committed.unwrap_or(disk.start.index);
        }
        server
    }

    /// Which numbers it shares with packets and other servers.
    pub(super) fn look(&self) -> Look {
        let mut look = Look::new(self.pair);
        drop(self.clone().renamed(&mut &mut look));
        look
    }
}

impl After {
    /// It comes up, and makes its first step.
    fn start(&mut self, space: &Space) -> Result<(), Broken> {
        self.server.start(space)?;
        self.settle(space, vec![Message::Tick { elapsed: 0 }])
    }

    /// Steps the node until nothing is left to do at once: what it wants applied is applied, and where the disk takes no time what it
    /// wants written is durable.
    fn settle(&mut self, space: &Space, mut inbox: Vec<Message>) -> Result<(), Broken> {
        let mut ready = Ready::default();
        while !inbox.is_empty() {
            let before = self.server.clone();
            let Some(node) = &mut self.server.node else { return Ok(()) };
            node.step_all(inbox.drain(..), &mut ready);
            rules::stepped(&before, &self.server, &ready)?;
            self.note_role(&before);
            self.send(ready.send.drain(..));
            if let Some(write) = ready.write.take() {
                self.server.queue.push_back(write);
                if !space.has_syncs() {
                    let written = self.server.queue.len();
                    inbox.extend(self.server.sync(written)?.map(Message::Synced));
                }
            }
            if let Some(last) = ready.apply.take().and_then(|runs| runs.last_position()) {
                self.server.applied = last.index;
                inbox.push(Message::Applied(last.index));
            }
            if let Some(snapshot) = ready.restore.take() {
                rules::restored(&self.server, &snapshot)?;
                self.server.applied = snapshot.last.index;
                inbox.push(Message::Applied(snapshot.last.index));
            }
            for raft_core::SendSnapshot { number, packet } in ready.snapshots.drain(..) {
                self.sent.push(Parcel::Snapshot(number, packet.renamed(&mut Timeless)));
            }
            if !ready.fetch.is_empty() || !ready.obtain.is_empty() {
                return Err(Broken::new(rules::SPACE, "a node wants what is not in the space".to_owned()));
            }
        }
        Ok(())
    }

    fn send(&mut self, packets: impl Iterator<Item = Packet>) {
        for packet in packets {
            let packet = packet.renamed(&mut Timeless);
            let together = self.sent.iter_mut().find_map(|parcel| match parcel {
                Parcel::Packets(packets) if packets[0].to == packet.to => Some(packets),
                _ => None,
            });
            match together {
                Some(together) => together.push(packet),
                None => self.sent.push(Parcel::Packets(vec![packet])),
            }
        }
    }

    fn note_role(&mut self, before: &Server) {
        let leads = |server: &Server| {
            let status = server.status().filter(|status| status.role == RoleKind::Leader);
            status.map(|status| status.term.raw())
        };
        let led = leads(&self.server);
        if led.is_some() && led != leads(before) {
            self.elected = led;
        }
    }
}

/// The configuration whose voters are the servers at these places, as bits.
pub(super) fn wanted(voters: u8) -> Wanted {
    let voters = (0..SERVERS_MAX).filter(|place| voters >> place & 1 == 1).map(HostId::at).collect();
    Wanted::Set { voters, learners: HostSet::EMPTY }
}

/// What the bytes of a snapshot are known by. What was committed up to a position is one and the same in every run that breaks no rule.
pub(super) fn digest_of(last: Position) -> Digest {
    Digest::new(u128::from(last.term.raw()) << 64 | u128::from(last.index.raw()))
}

/// The founding configuration of the first servers.
pub(super) fn founding(pairs: &[Pair]) -> Membership {
    use raft_core::Suffrage;
    let servers = pairs.iter().enumerate().map(|(place, pair)| {
        crate::action::server_of(crate::action::HostId::at(place), *pair, Suffrage::Voter)
    });
    Membership::new(servers.collect()).unwrap_or_else(|_| unreachable!("servers have different numbers"))
}
