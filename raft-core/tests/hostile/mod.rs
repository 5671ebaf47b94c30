//! One node in the hands of a hostile world: peers that say anything, a driver that now and then lies, clients that propose.
//! A [`Story`] is made of arbitrary bytes, by the property tests and by the fuzzer alike, and everything the node does in
//! it is checked from outside after every step (see `observer`).
//!
//! Most numbers in a story are relative to where the node is (its term, its commit index, the end of its log), so that short
//! stories reach elections, conflicts, commits and restarts; some are not, and are absurd.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "the property tests and the fuzzer each use their own part of it"
)]

mod disk;
pub mod imports;
mod letter;
pub mod reads;
mod observer;
mod snapshots;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use raft_core::{
    Boot, Bootstrap, Change, Commands, Config, Fetched, Identity, Incarnation, Leases, LogIndex, LogTime,
    Membership, Message, Node, NodeId, Packet, Pair, Position, Ready, RequestId, RoleKind, Run, Runs,
    SendNumber, Server, Suffrage, WriteNumber, bootstrap,
};

pub use self::disk::Disk;
pub use self::letter::Letter;
pub use self::observer::Observer;

/// What happens to one node, from its first start.
#[derive(Clone, Debug)]
pub struct Story {
    pub settings: Settings,
    pub scenes: Vec<Scene>,
}

impl<'a> Arbitrary<'a> for Story {
    /// As many scenes as there are bytes for. (A vector would toss a coin after each, and end after two.)
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let settings = bytes.arbitrary()?;
        let mut scenes = Vec::new();
        while !bytes.is_empty() {
            scenes.push(bytes.arbitrary()?);
        }
        Ok(Story { settings, scenes })
    }
}

/// Who there is, and how tight the limits are.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Settings {
    voters: u8,
    founder: u8,
    limits: u8,
    seed: u8,
    plain: u8,
}

/// One thing that happens. What is `joined` goes into one `step_all` with what follows it.
#[derive(Arbitrary, Clone, Debug)]
pub struct Scene {
    pub action: Action,
    pub joined: bool,
}

#[derive(Arbitrary, Clone, Debug)]
pub enum Action {
    Tick(u8),
    Letter(Letter),
    /// A packet again: peers talk more than anything else happens.
    Reply(Letter),
    /// An honest answer to one of the packets that the node has sent of late.
    Answer {
        nth: u8,
        how: u8,
    },
    /// An honest answer to each packet of the last step that sent any.
    AnswerAll {
        how: u8,
    },
    Propose {
        commands: u8,
        bytes: u8,
    },
    /// What an operator may ask for.
    Transfer {
        to: u8,
    },
    Change {
        what: u8,
        id: u8,
        based_on: Option<u8>,
    },
    /// A state made elsewhere is to be imported, if this server leads.
    Import {
        nth: u8,
    },
    /// The bytes that the node lacks for an import have come.
    Obtain,
    /// A client proposes, wherever the leader is.
    Forward {
        commands: u8,
    },
    /// A client reads, waits for all that was proposed, or asks whether this server leads.
    Read {
        what: u8,
    },
    Campaign,
    /// An election that is won, if it can be: without such ones few stories would have a leader for long.
    Lead {
        rarely: u8,
    },
    /// A follower has nothing of the log, and is heard: it answers the last append and the next heartbeat.
    Lag {
        nth: u8,
    },
    StepDown {
        rarely: u8,
    },
    ForgetLeader,
    SyncOne,
    SyncAll,
    Apply,
    /// The disk answers the oldest fetch: what was asked for, or some more or less of it.
    Fetch {
        length: u8,
    },
    /// The state machine saves itself, as it is or as it was `back` entries ago.
    Save {
        back: u8,
    },
    /// A snapshot has reached its receiver, which says so, or not.
    Sent {
        nth: u8,
        how: u8,
    },
    /// The disk deletes what the log does not hold any more.
    Delete,
    /// A crash and a start, where `rarely` is small. `keep` entries stay in memory.
    Restart {
        rarely: u8,
        keep: u8,
        applied: u8,
    },
    /// Taken seriously only where `rarely` is small, for most lies end the story.
    Lie {
        rarely: u8,
        lie: Lie,
    },
}

/// What a broken driver says.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Lie {
    Synced(u8),
    WriteFailed(u8),
    Applied(u8),
    UnknownFetch(u8),
    FetchFailed,
    FetchEmpty,
    FetchElsewhere,
    FetchCompacted,
    SnapshotTaken(u8),
    SnapshotSent(u8),
    /// A long time without a tick.
    Tick(u32),
}

pub fn pair(id: u64) -> Pair {
    Pair {
        id: NodeId::new(id).expect("ids here are not zero"),
        incarnation: Incarnation::new(u128::from(id)),
    }
}

/// How many founding configurations there are: of one to four servers, and of as many with leases.
pub const FOUNDINGS: u64 = 8;

/// The founding configuration of this number, from 1 on.
pub fn membership(nth: u64) -> Membership {
    let voters = (nth - 1) % 4 + 1;
    let leases = (4 < nth).then(|| Leases::new(9, 1000, 1).expect("in range"));
    let server = |id| Server {
        pair: pair(id),
        suffrage: Suffrage::Voter,
        raft_address: format!("raft{id}"),
        client_address: String::new(),
    };
    Membership::new((1..=voters).map(server).collect()).expect("a valid configuration").with_leases(leases)
}

impl Settings {
    fn config(self) -> Config {
        let tight = u64::from(self.limits & 3);
        let default = Config {
            seed: u64::from(self.seed),
            election_timeout_ticks: 10,
            heartbeat_ticks: 3,
            disk_stall_ticks: 40,
            apply_before_durable: self.limits & 4 != 0,
            pre_vote: self.plain % 4 != 1,
            timer_ticks: if self.plain & 128 != 0 { 5 } else { 0 },
            forward_ticks: 12,
            dead_after_ticks: if self.plain & 32 != 0 { 15 } else { 0 },
            ..Config::default()
        };
        if tight == 0 {
            return default;
        }
        Config {
            command_bytes_max: 40 * tight,
            tail_bytes_max: 200 * tight,
            append_bytes_max: 100 * tight,
            append_entries_max: tight,
            in_flight_packets_max: u32::from(self.limits >> 4 & 3) + 1,
            in_flight_bytes_max: 150 * tight,
            uncommitted_bytes_max: 400 * tight,
            proposals_max: u32::from(self.limits >> 6) + 1,
            reads_max: u32::from(self.limits >> 6) + 1,
            writes_outstanding_max: u32::from(self.limits >> 3 & 1) + 1,
            apply_bytes_max: 100 * tight,
            fetch_bytes_max: 100 * tight,
            trailing_entries: u64::from(self.plain >> 2 & 3),
            terms_max: if self.plain & 64 != 0 { 1 } else { 1024 },
            ..default
        }
    }
}

/// The node, what surrounds it, and who watches it.
pub struct World {
    pub node: Node,
    pub disk: Disk,
    pub observer: Observer,
    /// Reused from step to step, full of what the step before left in it.
    ready: Ready,
    together: Vec<Message>,
    /// The packets of the last step that sent any: what peers can answer.
    sent: Vec<Packet>,
    next_request: u64,
}

/// Lets a story happen. Panics where the node does anything that it must not.
pub fn run(story: &Story) -> World {
    let mut world = World::new(story.settings);
    for scene in &story.scenes {
        world.perform(&scene.action);
        if !scene.joined {
            world.step();
        }
    }
    world.step();
    world
}

impl World {
    pub fn new(settings: Settings) -> Self {
        let voters = u64::from(settings.voters % 4) + 1;
        // One cluster in eight has leases.
        let founding = membership(if settings.voters < 224 { voters } else { voters + 4 });
        let identity = Identity { cluster: founding.cluster_id(), pair: pair(1), boot: Boot::new(1) };
        let mut disk = Disk::default();
        disk.deletes_at_once = settings.plain & 16 != 0;
        // One server in eight begins with an empty disk, and hears of its cluster from others.
        if !settings.founder.is_multiple_of(8) {
            match bootstrap(disk.recovered(), &founding, pair(1)) {
                Ok(Bootstrap::Write(write)) => disk.absorb(&write),
                other => panic!("an empty disk of a founder takes the bootstrap: {other:?}"),
            }
        }
        let config = settings.config();
        let node = Node::new(config, identity, disk.recovered().clone()).expect("a sound disk starts");
        let mut world = World {
            observer: Observer::new(&node, &disk),
            node,
            disk,
            ready: Ready::default(),
            together: vec![Message::Tick { elapsed: 0 }],
            sent: Vec::new(),
            next_request: 1,
        };
        world.step();
        world
    }

    /// Makes messages of an action; the next [`step`](Self::step) takes them.
    pub fn perform(&mut self, action: &Action) {
        match action {
            Action::Tick(elapsed) => self.tell(Message::Tick { elapsed: u32::from(elapsed % 32) }),
            Action::Letter(letter) | Action::Reply(letter) => {
                if let Some(packet) = letter.packet(&self.node) {
                    self.tell(Message::Packet(packet));
                }
            }
            Action::Answer { nth, how } => {
                let nth = usize::from(*nth) % self.sent.len().max(1);
                self.answer(nth..(nth + 1).min(self.sent.len()), *how);
            }
            Action::AnswerAll { how } => self.answer(0..self.sent.len(), *how),
            Action::Propose { commands, bytes } => self.propose(*commands, *bytes),
            Action::Transfer { to } => self.transfer(*to),
            Action::Change { what, id, based_on } => self.change(*what, *id, *based_on),
            Action::Import { nth } => {
                let id = RequestId::new(self.next_request);
                self.next_request += 1;
                self.observer.proposed(id, 1);
                let message = self.observer.imports.wanted(id, *nth);
                self.tell(message);
            }
            Action::Obtain => self.together.extend(self.observer.imports.obtained()),
            Action::Forward { commands } => {
                let id = RequestId::new(self.next_request);
                self.next_request += 1;
                self.observer.forwards.insert(id);
                let commands = vec![Bytes::from_static(b"ours"); usize::from(commands % 4)].into();
                self.tell(Message::Forward { id, commands });
            }
            Action::Read { what } => {
                let id = RequestId::new(self.next_request);
                self.next_request += 1;
                let message = self.observer.reads.asked(id, *what, &self.node);
                self.tell(message);
            }
            Action::Campaign => self.tell(Message::Campaign),
            Action::Lead { rarely } if *rarely < 64 => self.lead(),
            Action::Lead { .. } => {}
            Action::Lag { nth } => self.lag(usize::from(*nth)),
            Action::StepDown { rarely } if *rarely < 64 => self.tell(Message::StepDown),
            Action::StepDown { .. } => {}
            Action::ForgetLeader => self.tell(Message::ForgetLeader),
            Action::SyncOne => self.sync(1),
            Action::SyncAll => self.sync(usize::MAX),
            Action::Apply => {
                if let Some(last) = self.observer.applying.take() {
                    self.tell(Message::Applied(last));
                }
            }
            Action::Fetch { length } => self.fetch(*length),
            Action::Save { back } => {
                // Mostly as it is. An older one, or the same again, changes nothing.
                let back = usize::from(if *back < 64 { back % 8 } else { 0 });
                self.together.extend(self.observer.snapshots.taken(self.node.status().applied, back));
            }
            Action::Sent { nth, how } => self.sent(*nth, *how),
            Action::Delete => self.disk.delete(),
            Action::Restart { rarely, keep, applied } if *rarely < 64 => self.restart(*keep, *applied),
            Action::Restart { .. } => {}
            Action::Lie { rarely, lie } if *rarely < 16 => self.lie(*lie),
            Action::Lie { .. } => {}
        }
    }

    fn lead(&mut self) {
        self.tell(Message::Campaign);
        for _ in 0..3 {
            self.step();
            self.sync(usize::MAX);
            self.step();
            self.answer(0..self.sent.len(), 9);
        }
    }

    fn lag(&mut self, nth: usize) {
        for _ in 0..2 {
            let nth = nth % self.sent.len().max(1);
            self.answer(nth..(nth + 1).min(self.sent.len()), letter::NOTHING);
            self.step();
            self.tell(Message::Tick { elapsed: 3 });
        }
    }

    pub fn tell(&mut self, message: Message) {
        self.together.push(message);
    }

    fn propose(&mut self, commands: u8, bytes: u8) {
        let id = RequestId::new(self.next_request);
        self.next_request += 1;
        let command = Bytes::from(vec![self.next_request as u8; usize::from(bytes)]);
        let commands = match commands % 8 {
            1 => Commands::One(command),
            count => Commands::Many(vec![command; usize::from(count)]),
        };
        self.observer.proposed(id, commands.as_slice().len() as u64);
        self.tell(Message::Propose { id, commands });
    }

    fn answer(&mut self, which: Range<usize>, how: u8) {
        let answers = self.sent[which].iter().filter_map(|packet| letter::answer(packet, &self.node, how));
        self.together.extend(answers.map(Message::Packet));
    }

    fn transfer(&mut self, to: u8) {
        let id = RequestId::new(self.next_request);
        self.next_request += 1;
        self.observer.transfer_asked(id);
        self.tell(Message::Transfer { id, to: NodeId::new(u64::from(to % 6)) });
    }

    fn change(&mut self, what: u8, id: u8, based_on: Option<u8>) {
        let request = RequestId::new(self.next_request);
        self.next_request += 1;
        self.observer.change_asked(request);
        let suffrage = [Suffrage::Voter, Suffrage::Learner, Suffrage::Staging][usize::from(what / 8 % 3)];
        // Few servers, so that changes meet one another; mostly under their own name.
        let mut pair = pair(u64::from(id % 6) + 1);
        if id >= 240 {
            pair.incarnation = Incarnation::new(99);
        }
        let (id, raft_address) = (pair.id, format!("raft{}", pair.id));
        let server = Server { pair, suffrage, raft_address, client_address: String::new() };
        let change = match what % 8 {
            0 => Change::Set(membership(u64::from(what / 8 % 5) + 1).servers().to_vec()),
            1 | 2 => Change::Add(server),
            3 => Change::Remove(id),
            4 => Change::Promote(id),
            5 => Change::Demote(id),
            6 => Change::Readdress { id, raft_address: "elsewhere".into(), client_address: "x".into() },
            _ => Change::Set(vec![server]),
        };
        let based_on = based_on.map(|index| LogIndex::new(u64::from(index % 8)));
        self.tell(Message::Reconfigure { id: request, change, based_on });
    }

    pub fn sync(&mut self, writes: usize) {
        if let Some(number) = self.disk.sync(writes) {
            self.tell(Message::Synced(number));
        }
    }

    fn fetch(&mut self, length: u8) {
        let Some(fetch) = self.observer.take_fetch() else {
            return;
        };
        // More than was asked for is not what the contract says, but it is what the log holds, and must harm nothing.
        let last = match length {
            0..16 => fetch.last.plus(u64::from(length)),
            16..128 => fetch.last,
            _ => fetch.last.min(fetch.first.plus(u64::from(length % 4))),
        };
        let entries = self.disk.read(fetch.first, last);
        // What may be deleted may still be there.
        let compacted = fetch.first <= self.disk.start.index && !length.is_multiple_of(4);
        let entries = entries.filter(|_| !compacted);
        let result = entries.map_or(Fetched::Compacted, Fetched::Entries);
        self.tell(Message::Fetched { number: fetch.number, result });
    }

    /// Reports a transfer. Where it has arrived, the receiver may have answered already.
    fn sent(&mut self, nth: u8, how: u8) {
        let arrived = !how.is_multiple_of(4);
        let Some((report, sent)) = self.observer.snapshots.report(nth, arrived) else { return };
        self.tell(report);
        if let Some(sent) = sent.filter(|_| arrived && how % 2 == 1) {
            self.together.extend(letter::answer(&sent.packet, &self.node, how).map(Message::Packet));
        }
    }

    fn lie(&mut self, lie: Lie) {
        self.observer.lied = true;
        let fetched = |world: &mut World, result| {
            let fetch = world.observer.take_fetch();
            let told = fetch.map(|fetch| Message::Fetched { number: fetch.number, result });
            world.together.extend(told);
        };
        match lie {
            // What was synced long ago, or what never was: never what is outstanding, for then the disk itself would lie.
            Lie::Synced(number) if !self.disk.is_outstanding(u64::from(number)) => {
                self.tell(Message::Synced(WriteNumber::new(number.into())));
            }
            Lie::Synced(_) => {}
            Lie::WriteFailed(number) => self.tell(Message::WriteFailed(WriteNumber::new(number.into()))),
            Lie::Applied(index) => {
                let index = LogIndex::new(index.into());
                // Where it happens to be true it is no lie, and nobody can tell.
                self.observer.applying = self.observer.applying.filter(|last| index < *last);
                self.tell(Message::Applied(index));
            }
            Lie::UnknownFetch(number) => self.tell(Message::Fetched {
                number: raft_core::FetchNumber::new(1 << 32 | u64::from(number)),
                result: Fetched::Failed,
            }),
            Lie::FetchFailed => fetched(self, Fetched::Failed),
            Lie::FetchEmpty => fetched(self, Fetched::Entries(Runs::new())),
            Lie::FetchElsewhere => {
                let index = self.node.status().last.index.next();
                let run = Run::new(self.node.status().term, index, [letter::entry(1, 1)]);
                fetched(self, Fetched::Entries(run.map(Runs::from).unwrap_or_default()));
            }
            Lie::FetchCompacted => fetched(self, Fetched::Compacted),
            Lie::SnapshotTaken(by) => {
                let index = self.observer.handed.plus(1 + u64::from(by));
                let last = Position { term: self.node.status().term, index };
                self.tell(Message::SnapshotTaken { last, time: LogTime::ZERO, size: 0, digest: 0.into() });
            }
            Lie::SnapshotSent(number) => self.tell(Message::SnapshotSent {
                number: SendNumber::new(1 << 32 | u64::from(number)),
                arrived: true,
            }),
            Lie::Tick(elapsed) => self.tell(Message::Tick { elapsed }),
        }
    }

    /// Lets the node take everything that has gathered, and looks at what it does.
    pub fn step(&mut self) {
        let messages = std::mem::take(&mut self.together);
        let single = messages.len() == 1;
        let before = self.node.status();
        let mut twin = self.node.clone();
        self.node.step_all(messages.clone(), &mut self.ready);

        // Pure: an equal node and equal messages give an equal node and equal wishes, whether by `step` or by `step_all`,
        // and whatever a reused `Ready` held before.
        let mut again = Ready::default();
        match <[Message; 1]>::try_from(messages) {
            Ok([message]) => again = twin.step(message),
            Err(messages) => twin.step_all(messages, &mut again),
        }
        assert_eq!(self.ready, again, "equal steps of equal nodes give equal wishes");
        assert!(self.node == twin, "equal steps leave equal nodes");
        assert_eq!(hash(&self.node), hash(&twin), "equal nodes have equal hashes");
        if let Err(broken) = self.node.invariants() {
            panic!("{broken}");
        }

        // All that follows from a step is in its `Ready`: without news there is nothing more to wish, or to change.
        twin.step_all([], &mut again);
        assert_eq!(again.sleep, self.ready.sleep, "nothing has happened, so the sleep is the same");
        assert_quiet(&again, "a step without messages");
        assert!(self.node == twin, "a step without messages changes nothing");
        // A sleep of no ticks at all asks for a tick now.
        if let Some(slept) = self.ready.sleep.map_or(Some(u32::MAX), |ticks| ticks.checked_sub(1)) {
            assert_quiet(&twin.step(Message::Tick { elapsed: slept }), "the time that may be slept");
        }

        if !self.ready.send.is_empty() {
            self.sent.clone_from(&self.ready.send);
        }
        self.disk.issued(&self.ready, self.node.config());
        self.observer.observe(&before, &self.node, &self.ready, &self.disk, single);
    }

    fn restart(&mut self, keep: u8, applied: u8) {
        self.step();
        self.disk.crash();
        let mut recovered = self.disk.recovered().clone();
        recovered.shorten(u64::from(keep));
        if !self.node.config().apply_before_durable {
            let most = self.node.status().applied.min(recovered.last().index);
            let applied = u128::from(most.raw()) * u128::from(applied) / 255;
            recovered.applied = LogIndex::new(applied as u64);
        }
        let identity =
            Identity { boot: Boot::new(self.node.identity().boot.raw() + 1), ..self.node.identity() };
        self.node = match Node::new(*self.node.config(), identity, recovered) {
            Ok(node) => node,
            Err(why) => panic!("a disk that kept its promises starts: {why}"),
        };
        self.observer.restarted(&self.node, &self.disk);
        self.sent.clear();
        self.tell(Message::Tick { elapsed: 0 });
    }

    /// Whether the node has ever had this role.
    pub fn has_been(&self, role: RoleKind) -> bool {
        self.observer.seen.roles.contains(&role)
    }
}

pub fn hash(node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    node.hash(&mut hasher);
    hasher.finish()
}

fn assert_quiet(ready: &Ready, what: &str) {
    let quiet = Ready { sleep: ready.sleep, ..Ready::default() };
    assert_eq!(*ready, quiet, "{what} leads to nothing");
}
