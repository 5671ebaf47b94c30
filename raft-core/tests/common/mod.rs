//! A few nodes in one thread, each with a disk that the test syncs when it likes, and a network that does what the test
//! says. No clock, no randomness: a test reads as the list of what happens.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of it")]

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use raft_core::{
    Answer, Body, Boot, Bootstrap, Change, Config, Event, Fetched, Identity, Incarnation, LogIndex, LogTime,
    Membership, Message, Node, NodeId, Obtain, Outcome, Packet, Pair, Payload, Position, Ready,
    RecordedStart, RecordedStep, Recovered, RequestId, RoleKind, Runs, SendSnapshot, Server, Suffrage, Term,
    Versions, Write, WriteNumber, bootstrap,
};

pub fn pair(id: u64) -> Pair {
    let id = NodeId::new(id).expect("ids of tests are not zero");
    Pair { id, incarnation: Incarnation::new(0x1000 + u128::from(id.raw())) }
}

pub fn server(id: u64, suffrage: Suffrage) -> Server {
    Server {
        pair: pair(id),
        suffrage,
        raft_address: format!("raft{id}"),
        client_address: format!("http{id}"),
    }
}

pub fn voters(ids: impl IntoIterator<Item = u64>) -> Vec<Server> {
    ids.into_iter().map(|id| server(id, Suffrage::Voter)).collect()
}

pub fn membership(count: u64) -> Membership {
    Membership::new(voters(1..=count)).expect("a valid configuration")
}

/// Without pre-votes: for what is about votes.
pub fn plain() -> Config {
    Config { pre_vote: false, ..config() }
}

/// Ticks are tests' own: T = 10, heartbeats every 3.
pub fn config() -> Config {
    Config {
        seed: 1,
        election_timeout_ticks: 10,
        heartbeat_ticks: 3,
        disk_stall_ticks: 40,
        ..Config::default()
    }
}

pub fn command(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A server: its node, what its disk holds, and what waits for the disk.
#[derive(Clone)]
pub struct Machine {
    pub node: Option<Node>,
    pub config: Config,
    pub identity: Identity,
    /// What is durable, in order. Number 0 is the bootstrap.
    pub disk: Vec<Write>,
    /// Issued, and lost by a crash.
    pub unsynced: Vec<Write>,
    /// Every command that was applied since the start, or is in the snapshot that it was restored from, with its index.
    pub applied: Vec<(LogIndex, Bytes)>,
    /// The position and time of the last entry that was applied.
    pub applied_at: (Position, LogTime),
    /// What is in the snapshots that this server has, taken or received, by what they cover.
    pub saved: BTreeMap<Position, Vec<(LogIndex, Bytes)>>,
    /// The states made elsewhere whose bytes it has, by digest.
    pub imports: BTreeMap<u128, Vec<(LogIndex, Bytes)>>,
    /// Those that it is to get.
    pub obtain: Vec<Obtain>,
    /// Snapshots that it is to send.
    pub sending: Vec<SendSnapshot>,
    pub answers: Vec<Answer>,
    pub events: Vec<Event>,
    /// How many fetches it asked for.
    pub fetches: usize,
    /// How many entries a restart keeps in memory; all of them if `None`.
    pub tail_entries: Option<u64>,
    /// Whether writes are durable at once.
    pub sync_at_once: bool,
    /// What it has done since its start, where that is wanted.
    pub recording: Option<Vec<u8>>,
}

impl Machine {
    pub fn recovered(&self) -> Recovered {
        let mut recovered = Recovered::replay(&self.disk).expect("a disk gives back what was written");
        if let Some(entries) = self.tail_entries {
            recovered.shorten(entries);
        }
        recovered
    }

    pub fn start(&mut self) {
        self.identity.boot = Boot::new(self.identity.boot.raw() + 1);
        self.applied.clear();
        self.sending.clear();
        let (config, identity, recovered) = (self.config, self.identity, self.recovered());
        let node = Node::new(config, identity, recovered.clone());
        if let Some(recording) = &mut self.recording {
            *recording = RecordedStart { config, identity, recovered }.to_bytes();
        }
        self.node = Some(node.expect("a disk that kept its promises starts"));
    }

    /// Starts on an empty disk, as whoever its identity says.
    pub fn wipe(&mut self) {
        self.crash();
        self.disk.clear();
        self.saved.clear();
        self.answers.clear();
        self.events.clear();
        self.start();
    }

    pub fn crash(&mut self) {
        self.node = None;
        self.unsynced.clear();
    }

    pub fn node(&self) -> &Node {
        self.node.as_ref().expect("the server runs")
    }

    /// The entries from `first` on that the disk holds.
    pub fn read(&self, first: LogIndex, last: LogIndex) -> Runs {
        let all = Recovered::replay(&self.disk).expect("a disk gives back what was written");
        all.tail.slice(first, last)
    }
}

/// Servers and the packets between them.
#[derive(Clone)]
pub struct Cluster {
    pub machines: Vec<Machine>,
    pub network: VecDeque<Packet>,
    /// Pairs of server numbers between which nothing passes, in this direction.
    pub cut: Vec<(u64, u64)>,
    /// What this server says that it speaks, where that is not what this version of the crate does.
    pub speaks: BTreeMap<u64, Versions>,
    next_request: u64,
}

impl Cluster {
    /// `voters` servers, bootstrapped and started, with disks that are durable at once.
    pub fn new(voters: u64) -> Self {
        Cluster::with(voters, config())
    }

    pub fn with(voters: u64, config: Config) -> Self {
        Cluster::founded(&membership(voters), config)
    }

    /// The servers of this founding configuration, whose ids are 1, 2, 3 and so on.
    pub fn founded(founding: &Membership, config: Config) -> Self {
        let machine = |id| {
            let identity = Identity { cluster: founding.cluster_id(), pair: pair(id), boot: Boot::new(0) };
            let Ok(Bootstrap::Write(first)) = bootstrap(&Recovered::default(), founding, pair(id)) else {
                panic!("an empty disk of a founder takes the bootstrap");
            };
            let mut machine = Machine {
                node: None,
                config,
                identity,
                disk: vec![first],
                unsynced: Vec::new(),
                applied: Vec::new(),
                applied_at: (Position::ZERO, LogTime::ZERO),
                saved: BTreeMap::new(),
                imports: BTreeMap::new(),
                obtain: Vec::new(),
                sending: Vec::new(),
                answers: Vec::new(),
                events: Vec::new(),
                fetches: 0,
                tail_entries: None,
                sync_at_once: true,
                recording: None,
            };
            machine.start();
            machine
        };
        let machines = founding.servers().iter().map(|server| machine(server.pair.id.raw())).collect();
        Cluster {
            machines,
            network: VecDeque::new(),
            cut: Vec::new(),
            speaks: BTreeMap::new(),
            next_request: 1,
        }
    }

    /// One more server, with an empty disk, that waits to be added.
    pub fn join(&mut self) -> u64 {
        let mut machine = self.machines[0].clone();
        let id = self.machines.len() as u64 + 1;
        machine.identity = Identity { pair: pair(id), boot: Boot::new(0), ..machine.identity };
        machine.wipe();
        self.machines.push(machine);
        id
    }

    pub fn change(&mut self, id: u64, change: Change) -> RequestId {
        self.change_based_on(id, change, None)
    }

    pub fn change_based_on(&mut self, id: u64, change: Change, based_on: Option<LogIndex>) -> RequestId {
        let request = RequestId::new(self.next_request);
        self.next_request += 1;
        self.step(id, Message::Reconfigure { id: request, change, based_on });
        request
    }

    pub fn machine(&mut self, id: u64) -> &mut Machine {
        &mut self.machines[id as usize - 1]
    }

    pub fn node(&self, id: u64) -> &Node {
        self.machines[id as usize - 1].node()
    }

    /// Steps one server and does what its `Ready` asks for, the disk's part only if it is durable at once.
    pub fn step(&mut self, id: u64, message: Message) {
        let mut todo = VecDeque::from([message]);
        while let Some(message) = todo.pop_front() {
            let machine = self.machine(id);
            let Some(node) = &mut machine.node else {
                return;
            };
            let recorded = machine.recording.is_some().then(|| vec![message.clone()]);
            let ready = node.step(message);
            if let (Some(recording), Some(messages)) = (&mut machine.recording, recorded) {
                recording.extend(RecordedStep::new(messages, &ready).to_bytes());
            }
            self.perform(id, ready, &mut todo);
        }
    }

    fn perform(&mut self, id: u64, ready: Ready, todo: &mut VecDeque<Message>) {
        let versions = self.speaks.get(&id).copied().unwrap_or(Versions::OURS);
        self.network.extend(ready.send.into_iter().map(|packet| Packet { versions, ..packet }));
        let machine = self.machine(id);
        machine.answers.extend(ready.answers);
        machine.events.extend(ready.events);
        if let Some(write) = ready.write {
            let number = write.number;
            machine.unsynced.push(write);
            if machine.sync_at_once {
                machine.disk.append(&mut machine.unsynced);
                todo.push_back(Message::Synced(number));
            }
        }
        machine.sending.extend(ready.snapshots);
        machine.obtain.extend(ready.obtain);
        if let Some(snapshot) = ready.restore {
            assert_eq!(ready.apply, None, "the state machine does one thing at a time");
            machine.applied.clone_from(&machine.saved[&snapshot.last]);
            machine.applied_at = (snapshot.last, snapshot.time);
            todo.push_back(Message::Applied(snapshot.last.index));
        }
        if let Some(entries) = ready.apply {
            for (position, entry) in entries.entries() {
                machine.applied_at = (position, entry.time);
                match &entry.payload {
                    Payload::Command(command) => machine.applied.push((position.index, command.clone())),
                    Payload::Import(import) => {
                        let bytes = machine.imports.get(&import.digest.raw());
                        machine.applied = bytes.expect("the bytes were there before the entry").clone();
                    }
                    _ => {}
                }
            }
            let last = entries.last_position().expect("a batch to apply is not empty");
            todo.push_back(Message::Applied(last.index));
        }
        machine.fetches += ready.fetch.len();
        for fetch in ready.fetch {
            let entries = machine.read(fetch.first, fetch.last);
            todo.push_back(Message::Fetched { number: fetch.number, result: Fetched::Entries(entries) });
        }
    }

    /// Saves the state machine of a server as a snapshot, and tells its node. Returns what it covers.
    pub fn take_snapshot(&mut self, id: u64) -> Position {
        let machine = self.machine(id);
        let (last, time) = machine.applied_at;
        machine.saved.insert(last, machine.applied.clone());
        let size = machine.applied.len() as u64;
        self.step(id, Message::SnapshotTaken { last, time, size, digest: u128::from(size).into() });
        last
    }

    /// Brings the oldest snapshot that this server is to send to its receiver.
    pub fn deliver_snapshot(&mut self, from: u64) {
        let SendSnapshot { number, packet } = self.machine(from).sending.remove(0);
        let Body::InstallSnapshot { snapshot } = &packet.body else { panic!("{packet:?} is no snapshot") };
        let saved = self.machine(from).saved[&snapshot.last].clone();
        let to = packet.to.id.raw();
        self.machine(to).saved.insert(snapshot.last, saved);
        self.step(to, Message::Packet(packet));
        self.step(from, Message::SnapshotSent { number, arrived: true });
    }

    /// Makes everything durable that this server has written.
    pub fn sync(&mut self, id: u64) {
        let machine = self.machine(id);
        if let Some(last) = machine.unsynced.last().map(|write| write.number) {
            machine.disk.append(&mut machine.unsynced);
            self.step(id, Message::Synced(last));
        }
    }

    /// Makes only the oldest write durable.
    pub fn sync_one(&mut self, id: u64) -> WriteNumber {
        let machine = self.machine(id);
        let write = machine.unsynced.remove(0);
        let number = write.number;
        machine.disk.push(write);
        self.step(id, Message::Synced(number));
        number
    }

    /// A packet as this server, or a stranger, might send it in that term, whatever it is.
    pub fn packet(&self, from: u64, to: u64, term: Term, body: Body) -> Packet {
        let cluster = self.machines[to as usize - 1].identity.cluster;
        // A stranger is in its first boot.
        let boot = self.machines.get(from as usize - 1).map_or(Boot::new(1), |machine| machine.identity.boot);
        Packet { cluster, from: pair(from), boot, to: pair(to), term, versions: Versions::OURS, body }
    }

    /// Hands such a packet over.
    pub fn say(&mut self, from: u64, to: u64, term: Term, body: Body) {
        let packet = self.packet(from, to, term, body);
        self.step(to, Message::Packet(packet));
    }

    pub fn tick(&mut self, id: u64, elapsed: u32) {
        self.step(id, Message::Tick { elapsed });
    }

    fn passes(&self, packet: &Packet) -> bool {
        !self.cut.contains(&(packet.from.id.raw(), packet.to.id.raw()))
    }

    /// Delivers packets in the order in which they were sent, until none is left. What crosses a cut is lost.
    pub fn deliver_all(&mut self) {
        while let Some(packet) = self.network.pop_front() {
            if self.passes(&packet) {
                self.step(packet.to.id.raw(), Message::Packet(packet));
            }
        }
    }

    /// Delivers what this server has sent, and leaves what comes back.
    pub fn deliver_one_way(&mut self, from: u64) {
        let (sent, left) = self.network.drain(..).partition(|packet: &Packet| packet.from == pair(from));
        self.network = left;
        let sent: VecDeque<Packet> = sent;
        for packet in sent {
            self.step(packet.to.id.raw(), Message::Packet(packet));
        }
    }

    pub fn transfer(&mut self, id: u64, to: Option<u64>) -> RequestId {
        let request = RequestId::new(self.next_request);
        self.next_request += 1;
        let to = to.and_then(NodeId::new);
        self.step(id, Message::Transfer { id: request, to });
        request
    }

    /// Lets this server's election time out and delivers what follows. The others have forgotten whom they followed, as if
    /// they had heard nothing for as long.
    pub fn elect(&mut self, id: u64) {
        for other in (1..=self.machines.len() as u64).filter(|other| *other != id) {
            self.step(other, Message::ForgetLeader);
        }
        self.tick(id, 2 * config().election_timeout_ticks);
        self.deliver_all();
        assert_eq!(self.node(id).status().role, RoleKind::Leader, "server {id} was to win");
    }

    /// Lets time pass for all servers, delivering after every tick.
    pub fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            for id in 1..=self.machines.len() as u64 {
                self.tick(id, 1);
            }
            self.deliver_all();
        }
    }

    pub fn propose(&mut self, id: u64, text: &str) -> RequestId {
        let request = RequestId::new(self.next_request);
        self.next_request += 1;
        self.step(id, Message::Propose { id: request, commands: command(text).into() });
        request
    }

    /// The answer to a request, if it came.
    pub fn outcome(&self, request: RequestId) -> Option<Outcome> {
        let mut answers = self.machines.iter().flat_map(|machine| &machine.answers);
        let outcome = answers.find(|answer| answer.id == request).map(|answer| answer.outcome.clone());
        assert!(answers.all(|answer| answer.id != request), "a request is answered once");
        outcome
    }

    pub fn applied(&self, id: u64) -> Vec<String> {
        let machine = &self.machines[id as usize - 1];
        machine.applied.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    pub fn restart(&mut self, id: u64) {
        let machine = self.machine(id);
        machine.crash();
        machine.start();
        self.tick(id, 0);
    }
}
