//! Three nodes in one thread, without a disk, a network or a clock: a cluster as a value.
//!
//! It shows everything that an embedder does with a `Ready`, on worlds that are as small as can be: a disk is what a restart would
//! recover, a network is a list of packets, time is a number. Three servers elect a leader and take commands; one is cut off while
//! the others replace the beginning of their logs by a snapshot; it comes back, gets the snapshot, and answers a linearizable read.
//! Run it twice: the runs are equal, since nothing in them comes from outside.
//!
//!     cargo run -p raft-core --example three_nodes

use std::collections::VecDeque;

use raft_core::{
    Answer, Boot, Bootstrap, Config, Digest, Event, Fetch, Identity, Incarnation, Membership, Message, Node,
    NodeId, Outcome, Packet, Pair, Payload, Position, Ready, Recovered, RequestId, RoleKind, Runs, Server,
    Snapshot, Suffrage, Write, bootstrap,
};

/// After so many entries the state machine is saved, and the log begins behind them.
const SNAPSHOT_EVERY: u64 = 8;

/// One server: its node, and what the world does for it.
struct Host {
    node: Node,
    /// What has happened to it and was not told yet.
    inbox: VecDeque<Message>,
    /// What a restart would recover. A real disk keeps the writes themselves.
    disk: Recovered,
    /// The state machine: all commands in order.
    applied: Vec<String>,
    /// Where in the log that state is, and the state that was saved last.
    at: Position,
    saved: Vec<String>,
    answers: Vec<Answer>,
}

impl Host {
    fn new(pair: Pair, founding: &Membership) -> Host {
        let mut disk = Recovered::default();
        if let Bootstrap::Write(first) =
            bootstrap(&disk, founding, pair).expect("a founder with an empty disk")
        {
            disk.absorb(&first).expect("the first write");
        }
        let identity = Identity { cluster: founding.cluster_id(), pair, boot: Boot::new(1) };
        // Followers that lack anything of the log need the snapshot, so that this is seen here.
        let config = Config { trailing_entries: 0, ..Config::default() };
        let node = Node::new(config, identity, disk.clone()).expect("a whole disk");
        let (applied, saved) = (Vec::new(), Vec::new());
        Host { node, inbox: VecDeque::new(), disk, applied, at: Position::ZERO, saved, answers: Vec::new() }
    }

    fn leads(&self) -> bool {
        self.node.status().role == RoleKind::Leader
    }

    /// Makes a batch durable, whole.
    fn write(&mut self, write: &Write) {
        self.disk.absorb(write).expect("a node's writes follow one another");
        self.inbox.push_back(Message::Synced(write.number));
    }

    /// Shows committed entries to the state machine, and saves it now and then.
    fn apply(&mut self, entries: &Runs) {
        for (position, entry) in entries.entries() {
            if let Payload::Command(command) = &entry.payload {
                self.applied.push(String::from_utf8_lossy(command).into_owned());
            }
            self.at = position;
            self.inbox.push_back(Message::Applied(position.index));
            if position.index.raw() % SNAPSHOT_EVERY == 0 {
                self.saved = self.applied.clone(); // And sync: only then it is told.
                let (size, digest) = (self.saved.len() as u64, Digest::new(u128::from(position.index.raw())));
                self.inbox.push_back(Message::SnapshotTaken {
                    last: position,
                    time: entry.time,
                    size,
                    digest,
                });
            }
        }
    }

    /// Makes the state machine what it was when the snapshot was taken.
    fn restore(&mut self, snapshot: &Snapshot) {
        self.applied = self.saved.clone();
        self.at = snapshot.last;
        self.inbox.push_back(Message::Applied(snapshot.last.index));
    }

    /// Reads back what the node has no longer in memory.
    fn fetch(&mut self, fetch: &Fetch) {
        self.inbox.push_back(Message::Fetched { number: fetch.number, result: self.disk.read(fetch) });
    }
}

/// The cluster: three hosts and the packets between them.
struct Cluster {
    hosts: Vec<Host>,
    network: VecDeque<Packet>,
    cut_off: Option<Pair>,
}

impl Cluster {
    fn new() -> Cluster {
        // Real incarnations are random bits; real addresses are where the servers are.
        let pair = |id: u64| Pair {
            id: NodeId::new(id).expect("not zero"),
            incarnation: Incarnation::new(u128::from(id) << 64 | 0x5eed),
        };
        let server = |id| Server {
            pair: pair(id),
            suffrage: Suffrage::Voter,
            raft_address: format!("host{id}:1"),
            client_address: String::new(),
        };
        let founding = Membership::new((1..=3).map(server).collect()).expect("a valid configuration");
        let hosts = (1..=3).map(|id| Host::new(pair(id), &founding)).collect();
        Cluster { hosts, network: VecDeque::new(), cut_off: None }
    }

    fn nth(&self, pair: Pair) -> usize {
        self.hosts.iter().position(|host| host.node.identity().pair == pair).expect("one of the three")
    }

    /// Tells a host one thing, and does what its node says has to happen.
    fn step(&mut self, nth: usize, message: Message) {
        let Ready { send, write, apply, restore, fetch, obtain, snapshots, answers, events, sleep: _ } =
            self.hosts[nth].node.step(message);
        self.network.extend(send);
        // The bytes of a snapshot travel first; its packet follows once they are durable at the receiver.
        for sending in snapshots {
            let (saved, to) = (self.hosts[nth].saved.clone(), self.nth(sending.packet.to));
            let arrived = self.cut_off != Some(sending.packet.to);
            if arrived {
                self.hosts[to].saved = saved;
                self.hosts[to].inbox.push_back(Message::Packet(sending.packet));
            }
            self.hosts[nth].inbox.push_back(Message::SnapshotSent { number: sending.number, arrived });
        }
        let host = &mut self.hosts[nth];
        if let Some(write) = write {
            host.write(&write);
        }
        if let Some(entries) = apply {
            host.apply(&entries);
        }
        if let Some(snapshot) = restore {
            host.restore(&snapshot);
        }
        for fetch in fetch {
            host.fetch(&fetch);
        }
        assert!(obtain.is_empty(), "nobody here imports a state that was made elsewhere");
        host.answers.extend(answers);
        for event in events {
            assert!(!matches!(event, Event::Fault(_)), "{event:?}");
            println!("server {}: {event:?}", host.node.identity().pair.id);
        }
    }

    /// Delivers everything until nothing is left to do.
    fn settle(&mut self) {
        loop {
            if let Some(nth) = self.hosts.iter().position(|host| !host.inbox.is_empty()) {
                let message = self.hosts[nth].inbox.pop_front().expect("not empty");
                self.step(nth, message);
            } else if let Some(packet) = self.network.pop_front() {
                if ![packet.from, packet.to].map(Some).contains(&self.cut_off) {
                    self.step(self.nth(packet.to), Message::Packet(packet));
                }
            } else {
                return;
            }
        }
    }

    /// Lets time pass, tick by tick, until something is as it should be.
    fn until(&mut self, goal: impl Fn(&Cluster) -> bool) {
        for _ in 0..1_000 {
            if goal(self) {
                return;
            }
            for nth in 0..self.hosts.len() {
                self.step(nth, Message::Tick { elapsed: 1 });
            }
            self.settle();
        }
        panic!("not within 1,000 ticks");
    }

    /// Proposes a command at a host that leads, and returns what became of it.
    fn propose(&mut self, nth: usize, text: &str) -> Outcome {
        let (id, commands) = (RequestId::new(7), text.as_bytes().to_vec().into());
        self.step(nth, Message::Propose { id, commands });
        self.settle();
        self.hosts[nth].answers.pop().expect("every request has one answer").outcome
    }
}

pub(crate) fn main() {
    let mut cluster = Cluster::new();
    cluster.until(|cluster| cluster.hosts.iter().any(Host::leads));
    let leader = cluster.hosts.iter().position(Host::leads).expect("one leads");
    let away = (leader + 1) % 3;

    assert!(matches!(cluster.propose(leader, "hello"), Outcome::Committed { .. }));
    cluster.until(|cluster| cluster.hosts.iter().all(|host| host.applied == ["hello"]));

    // One is cut off. The two others go on, and take snapshots: what the third one lacks is in no log any more.
    cluster.cut_off = Some(cluster.hosts[away].node.identity().pair);
    for nth in 0..20 {
        assert!(matches!(cluster.propose(leader, &format!("command {nth}")), Outcome::Committed { .. }));
    }
    assert!(cluster.hosts[away].at < cluster.hosts[leader].node.status().start);

    // It comes back, is sent the snapshot and what follows it, and knows all that the others know.
    cluster.cut_off = None;
    let all = cluster.hosts[leader].applied.clone();
    cluster.until(|cluster| cluster.hosts[away].applied == all);
    assert!(cluster.hosts[away].node.snapshot().is_some());

    // A linearizable read of its state machine, without an entry in the log: the leader says how far it has to be.
    cluster.step(away, Message::Read { id: RequestId::new(8) });
    cluster.until(|cluster| !cluster.hosts[away].answers.is_empty());
    let outcome = cluster.hosts[away].answers.remove(0).outcome;
    assert!(
        matches!(outcome, Outcome::Readable { index } if index <= cluster.hosts[away].at.index),
        "{outcome:?}"
    );
    println!("all three have {} commands, the last is {:?}", all.len(), all.last());
}
