//! One real node, and peers that answer from a script: so that what one node costs can be counted alone, in clusters of any
//! size. Its disk is durable and its state machine done as soon as somebody looks.
#![allow(dead_code, unreachable_pub, reason = "every benchmark and test uses its own part of it")]

use bytes::Bytes;
use raft_core::{
    Body, Boot, Bootstrap, Config, Entry, Identity, Incarnation, LogIndex, LogTime, Membership, Message,
    Node, NodeId, Packet, Pair, Payload, Position, Ready, Recovered, RequestId, RoleKind, Run, Runs, Server,
    Suffrage, Term, bootstrap,
};

/// A command of 128 bytes, as a client would copy it.
pub fn command() -> Bytes {
    Bytes::copy_from_slice(&[7; 128])
}

pub fn pair(id: u64) -> Pair {
    Pair { id: NodeId::new(id).expect("not zero"), incarnation: Incarnation::new(u128::from(id)) }
}

pub struct Lab {
    pub node: Node,
    pub ready: Ready,
    identity: Identity,
    /// By id less 1: how far each peer has the log.
    held: Vec<LogIndex>,
    next_request: u64,
    /// Whether what is written is kept, as a disk would: then nothing of it is freed when the core lets go of it.
    pub keeps: bool,
    disk: Vec<Runs>,
}

impl Lab {
    /// Server `id` of so many voters and, behind them, learners.
    pub fn new(id: u64, voters: u64, learners: u64, config: Config) -> Self {
        let server = |id| Server {
            pair: pair(id),
            suffrage: if id <= voters { Suffrage::Voter } else { Suffrage::Learner },
            raft_address: format!("raft{id}"),
            client_address: String::new(),
        };
        let founding = Membership::new((1..=voters + learners).map(server).collect()).expect("valid");
        let mut disk = Recovered::default();
        let Ok(Bootstrap::Write(write)) = bootstrap(&disk, &founding, pair(id)) else {
            panic!("an empty disk of a founder takes the bootstrap");
        };
        disk.absorb(&write).expect("the first write");
        let identity = Identity { cluster: founding.cluster_id(), pair: pair(id), boot: Boot::new(1) };
        Lab {
            node: Node::new(config, identity, disk).expect("a sound disk starts"),
            ready: Ready::default(),
            identity,
            held: vec![LogIndex::new(1); (voters + learners) as usize],
            next_request: 1,
            keeps: true,
            disk: Vec::new(),
        }
    }

    /// Server 1 of so many, as a leader whose peers are all up to date.
    pub fn leader(voters: u64, learners: u64, config: Config) -> Self {
        let mut lab = Lab::new(1, voters, learners, config);
        lab.step([Message::Tick { elapsed: 2 * config.election_timeout_ticks }]);
        lab.settle();
        assert_eq!(lab.node.status().role, RoleKind::Leader, "all vote for it");
        lab
    }

    pub fn step(&mut self, messages: impl IntoIterator<Item = Message>) {
        self.node.step_all(messages, &mut self.ready);
    }

    /// What becomes of the last output: the reports of this server's own disk and state machine.
    pub fn reports(&mut self) -> Vec<Message> {
        let mut reports = Vec::new();
        if let Some(write) = self.ready.write.take() {
            reports.push(Message::Synced(write.number));
            if self.keeps {
                self.disk.push(write.entries);
            }
        }
        if let Some(entries) = self.ready.apply.take() {
            let last = entries.last_position().expect("never empty");
            reports.push(Message::Applied(last.index));
        }
        assert!(self.ready.fetch.is_empty(), "nothing has to be fetched with all up to date");
        reports
    }

    /// What the peers answer to the last output, in the order in which it was sent.
    pub fn answers(&mut self) -> Vec<Message> {
        let mut answers = Vec::with_capacity(self.ready.send.len());
        for packet in std::mem::take(&mut self.ready.send) {
            let held = &mut self.held[packet.to.id.raw() as usize - 1];
            let boot = packet.boot;
            let body = match packet.body {
                Body::RequestPreVote { attempt, .. } => Body::PreVote { boot, attempt, granted: true },
                Body::RequestVote { .. } => Body::Vote { boot, granted: true },
                Body::Append { entries, .. } => {
                    *held = entries.last_position().expect("never empty").index;
                    Body::Acknowledge { boot, round: None, held: *held, durable: *held }
                }
                Body::Heartbeat { round, .. } => {
                    Body::Acknowledge { boot, round: Some(round), held: *held, durable: *held }
                }
                _ => continue,
            };
            answers.push(self.from(packet.to, packet.term, body));
        }
        answers
    }

    /// Everything that follows, until nothing does.
    pub fn settle(&mut self) {
        loop {
            let mut messages = self.reports();
            messages.extend(self.answers());
            if messages.is_empty() {
                return;
            }
            self.step(messages);
        }
    }

    /// A packet for this server.
    pub fn from(&self, from: Pair, term: Term, body: Body) -> Message {
        let Identity { cluster, pair: to, .. } = self.identity;
        Message::Packet(Packet {
            cluster,
            from,
            boot: Boot::new(1),
            to,
            term,
            body,
            versions: raft_core::Versions::OURS,
        })
    }

    /// A proposal of so many commands.
    pub fn proposal(&mut self, commands: u64) -> Message {
        self.proposal_of(commands, &command())
    }

    pub fn proposal_of(&mut self, commands: u64, command: &Bytes) -> Message {
        let id = RequestId::new(self.next_request);
        self.next_request += 1;
        let commands = match commands {
            1 => command.clone().into(),
            many => vec![command.clone(); many as usize].into(),
        };
        Message::Propose { id, commands }
    }

    /// Makes the log of a leader so long, all of it committed and applied everywhere.
    pub fn grow(&mut self, entries: u64, command: &Bytes) {
        let mut length = self.node.status().last.index.raw();
        while length < entries {
            let batch = (entries - length).min(1024);
            let proposal = self.proposal_of(batch, command);
            self.step([proposal]);
            self.settle();
            length += batch;
        }
        assert_eq!(self.node.status().last.index.raw(), entries);
    }
}

/// Entries with a command each, from right behind `previous` on.
pub fn append(previous: Position, term: Term, commit: LogIndex, entries: u64) -> Body {
    let entry = |_| Entry::new(LogTime::ZERO, Payload::Command(command()));
    append_entries(previous, term, commit, (0..entries).map(entry))
}

/// The same with this command, which they share.
pub fn append_of(previous: Position, term: Term, commit: LogIndex, entries: u64, command: &Bytes) -> Body {
    let entry = |_| Entry::new(LogTime::ZERO, Payload::Command(command.clone()));
    append_entries(previous, term, commit, (0..entries).map(entry))
}

fn append_entries(
    previous: Position,
    term: Term,
    commit: LogIndex,
    entries: impl Iterator<Item = Entry>,
) -> Body {
    let run = Run::new(term, previous.index.next(), entries).expect("a run");
    Body::Append { previous, commit, entries: Runs::from(run) }
}
