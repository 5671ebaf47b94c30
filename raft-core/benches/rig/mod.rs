//! Three nodes in one thread, as every benchmark here drives them: through the public `step_all`, a reused `Ready` for
//! each step, disks in memory that are durable at once, no loss and no time but what elects the first leader.
//!
//! A batch is proposed in one step, one proposal for each entry, and has been applied by all three before the next one is
//! proposed. What is measured is the core alone: packets are handed over as values, not encoded.
#![allow(dead_code, unreachable_pub, reason = "every benchmark uses its own part of it")]

use bytes::Bytes;
use raft_core::{
    Boot, Bootstrap, Config, Identity, Incarnation, LogIndex, Membership, Message, Node, NodeId, Outcome,
    Pair, Payload, Ready, Recovered, RequestId, RoleKind, Server, Suffrage, bootstrap,
};

/// The batch sizes that are measured.
pub const BATCHES: [u64; 3] = [1, 16, 256];

/// Bytes in every entry's command.
pub const PAYLOAD: [u8; 128] = [7; 128];

pub struct Rig {
    machines: Vec<Machine>,
    ready: Ready,
    /// Emptied into a node and swapped back, so that its memory is reused too.
    taken: Vec<Message>,
    next_request: u64,
    committed: u64,
    /// Calls of `step_all` so far.
    pub turns: u64,
    /// Packets sent so far.
    pub packets: u64,
}

struct Machine {
    node: Node,
    inbox: Vec<Message>,
    applied: LogIndex,
    commands: u64,
    /// A sum over all that was applied, so that nothing of it can be left out.
    checksum: u64,
}

fn pair(id: u64) -> Pair {
    Pair { id: NodeId::new(id).expect("not zero"), incarnation: Incarnation::new(u128::from(id)) }
}

impl Rig {
    /// Three servers with a leader, the first, and nothing under way.
    pub fn new() -> Self {
        let server = |id| Server {
            pair: pair(id),
            suffrage: Suffrage::Voter,
            raft_address: format!("raft{id}"),
            client_address: String::new(),
        };
        let founding = Membership::new((1..=3).map(server).collect()).expect("a valid configuration");
        let machine = |id| {
            let mut disk = Recovered::default();
            let Ok(Bootstrap::Write(write)) = bootstrap(&disk, &founding, pair(id)) else {
                panic!("an empty disk of a founder takes the bootstrap");
            };
            disk.absorb(&write).expect("the first write");
            let identity = Identity { cluster: founding.cluster_id(), pair: pair(id), boot: Boot::new(1) };
            Machine {
                node: Node::new(Config::default(), identity, disk).expect("a sound disk starts"),
                inbox: Vec::new(),
                applied: LogIndex::ZERO,
                commands: 0,
                checksum: 0,
            }
        };
        let mut rig = Rig {
            machines: (1..=3).map(machine).collect(),
            ready: Ready::default(),
            taken: Vec::new(),
            next_request: 1,
            committed: 0,
            turns: 0,
            packets: 0,
        };
        let elapsed = 2 * Config::default().election_timeout_ticks;
        rig.machines[0].inbox.push(Message::Tick { elapsed });
        rig.settle();
        let role = rig.machines[0].node.status().role;
        assert_eq!(role, RoleKind::Leader, "the first to time out leads");
        rig
    }

    /// Proposes this many entries, and returns when all three servers have applied them.
    pub fn propose(&mut self, entries: u64) {
        for _ in 0..entries {
            let id = RequestId::new(self.next_request);
            self.next_request += 1;
            let commands = Bytes::copy_from_slice(&PAYLOAD).into();
            self.machines[0].inbox.push(Message::Propose { id, commands });
        }
        self.settle();
    }

    /// Lets the servers take turns, each with all that has gathered for it, until nothing is under way.
    fn settle(&mut self) {
        while self.machines.iter().any(|machine| !machine.inbox.is_empty()) {
            for nth in 0..self.machines.len() {
                if !self.machines[nth].inbox.is_empty() {
                    self.turn(nth);
                }
            }
        }
    }

    fn turn(&mut self, nth: usize) {
        self.turns += 1;
        let machine = &mut self.machines[nth];
        std::mem::swap(&mut machine.inbox, &mut self.taken);
        machine.node.step_all(self.taken.drain(..), &mut self.ready);
        if let Some(write) = self.ready.write.take() {
            machine.inbox.push(Message::Synced(write.number));
        }
        if let Some(entries) = self.ready.apply.take() {
            for (position, entry) in entries.entries() {
                if let Payload::Command(command) = &entry.payload {
                    machine.commands += 1;
                    machine.checksum = machine.checksum.wrapping_mul(31).wrapping_add(u64::from(command[0]));
                }
                machine.applied = position.index;
            }
            machine.inbox.push(Message::Applied(machine.applied));
        }
        for answer in self.ready.answers.drain(..) {
            self.committed += u64::from(matches!(answer.outcome, Outcome::Committed { .. }));
        }
        self.packets += self.ready.send.len() as u64;
        for packet in self.ready.send.drain(..) {
            let to = packet.to.id.raw() as usize - 1;
            self.machines[to].inbox.push(Message::Packet(packet));
        }
    }

    /// Panics where not all three have applied the same `entries` commands, or not all were answered.
    pub fn check(&self, entries: u64) {
        assert_eq!(self.committed, entries, "every proposal is answered as committed");
        for machine in &self.machines {
            assert_eq!(machine.commands, entries, "all have applied all");
            assert_eq!(machine.checksum, self.machines[0].checksum, "and the same");
        }
    }
}
