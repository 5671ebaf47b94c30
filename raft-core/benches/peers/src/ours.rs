//! This core, driven as an embedder would: `step_all` with a `Ready` whose memory is reused, the default configuration and
//! the default features.
//!
//! A write is durable as soon as it is issued; `Synced` lies in the inbox then, and a node whose turn it is takes it at
//! once. `Applied` lies there too, and goes in with whatever comes next.

use std::collections::VecDeque;

use bytes::Bytes;
use raft_core::{
    Boot, Bootstrap, Commands, Config, Identity, Incarnation, LogIndex, Membership, Message, Node, NodeId,
    Outcome, Pair, Payload, Ready, Recovered, RequestId, RoleKind, Run, Server, Suffrage, bootstrap,
    decode_packet, encode_packet,
};

use crate::cluster::{Calls, Cluster, Options, Packets, StateMachine, Traffic, command};

/// Three nodes of this core.
pub struct Ours {
    options: Options,
    machines: [Machine; 3],
    /// The output of the node that has just taken its step; its memory serves all.
    ready: Ready,
    traffic: Traffic,
    committed: u64,
}

struct Machine {
    node: Node,
    inbox: Vec<Message>,
    /// Whether the inbox holds more than a report that the node can wait for.
    due: bool,
    disk: Disk,
    state_machine: StateMachine,
}

/// The entries on the disk, as they were written: shared, not copied.
#[derive(Default)]
struct Disk {
    runs: VecDeque<Run>,
    entries: u64,
}

impl Disk {
    fn append(&mut self, run: &Run, keep: u64) {
        self.entries += run.len();
        self.runs.push_back(run.clone());
        if keep != 0 && 2 * keep < self.entries {
            while let Some(first) = self.runs.front()
                && keep <= self.entries - first.len()
            {
                self.entries -= first.len();
                self.runs.pop_front();
            }
        }
    }
}

fn pair(id: u64) -> Pair {
    Pair { id: NodeId::new(id).expect("not zero"), incarnation: Incarnation::new(u128::from(id)) }
}

fn machine(id: u64, founding: &Membership) -> Machine {
    let mut recovered = Recovered::default();
    let Ok(Bootstrap::Write(write)) = bootstrap(&recovered, founding, pair(id)) else {
        panic!("an empty disk of a founder takes the bootstrap");
    };
    recovered.absorb(&write).expect("the first write");
    let identity = Identity { cluster: founding.cluster_id(), pair: pair(id), boot: Boot::new(1) };
    Machine {
        node: Node::new(Config::default(), identity, recovered).expect("a sound disk starts"),
        inbox: Vec::new(),
        due: false,
        disk: Disk::default(),
        state_machine: StateMachine::default(),
    }
}

impl Cluster for Ours {
    fn start(options: Options) -> Self {
        let server = |id| Server {
            pair: pair(id),
            suffrage: Suffrage::Voter,
            raft_address: format!("raft{id}"),
            client_address: String::new(),
        };
        let founding = Membership::new((1..=3).map(server).collect()).expect("a valid configuration");
        let mut cluster = Ours {
            options,
            machines: [1, 2, 3].map(|id| machine(id, &founding)),
            ready: Ready::default(),
            traffic: Traffic::default(),
            committed: 0,
        };
        // The founders have started at the same time, so by then nobody else hears a leader.
        let elapsed = 2 * Config::default().election_timeout_ticks;
        cluster.machines[0].inbox.push(Message::Tick { elapsed });
        cluster.machines[0].due = true;
        while cluster.machines.iter().any(|machine| machine.due) {
            cluster.round();
        }
        assert_eq!(cluster.machines[0].node.status().role, RoleKind::Leader, "the first to time out leads");
        cluster
    }

    fn propose(&mut self, first: u64, count: u64) {
        let copied = |number| Bytes::copy_from_slice(&command(number));
        let inbox = &mut self.machines[0].inbox;
        match self.options.work.calls {
            Calls::Entry => inbox.extend((first..first + count).map(|number| Message::Propose {
                id: RequestId::new(number),
                commands: copied(number).into(),
            })),
            Calls::Batch => {
                let commands: Commands = if count == 1 {
                    copied(first).into()
                } else {
                    (first..first + count).map(copied).collect::<Vec<_>>().into()
                };
                inbox.push(Message::Propose { id: RequestId::new(first), commands });
            }
        }
        self.step(0);
    }

    fn round(&mut self) {
        for nth in [1, 2, 0] {
            while self.machines[nth].due {
                self.step(nth);
            }
        }
    }

    fn state_machines(&self) -> [&StateMachine; 3] {
        [0, 1, 2].map(|nth| &self.machines[nth].state_machine)
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }
}

impl Ours {
    /// One call of `step_all` with all that lies in the inbox, and what follows from it in the world.
    fn step(&mut self, nth: usize) {
        let machine = &mut self.machines[nth];
        let ready = &mut self.ready;
        machine.node.step_all(machine.inbox.drain(..), ready);
        machine.due = false;
        if let Some(write) = ready.write.take() {
            for run in write.entries.iter() {
                machine.disk.append(run, self.options.keep);
            }
            machine.inbox.push(Message::Synced(write.number));
            machine.due = true;
        }
        if let Some(entries) = ready.apply.take() {
            let mut last = LogIndex::ZERO;
            for run in entries.iter() {
                for entry in run.entries() {
                    if let Payload::Command(command) = &entry.payload {
                        machine.state_machine.apply(command);
                    }
                }
                last = run.last();
            }
            machine.inbox.push(Message::Applied(last));
        }
        assert!(ready.fetch.is_empty(), "with all up to date, nothing has to be fetched");
        for answer in &ready.answers {
            let Outcome::Committed { first, last, .. } = &answer.outcome else {
                panic!("{answer:?} to a proposal");
            };
            self.committed += last.index.since(first.index) + 1;
        }
        for packet in ready.send.drain(..) {
            self.traffic.packets += 1;
            let packet = match self.options.work.packets {
                Packets::Moved => packet,
                Packets::Encoded => {
                    let bytes = Bytes::from(encode_packet(&packet));
                    self.traffic.bytes += bytes.len() as u64;
                    decode_packet(bytes).expect("what was encoded")
                }
            };
            let to = &mut self.machines[packet.to.id.raw() as usize - 1];
            to.inbox.push(Message::Packet(packet));
            to.due = true;
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let applied = self.machines[0].state_machine.applied;
        if !std::thread::panicking() {
            assert_eq!(self.committed, applied, "every proposal is answered as committed");
        }
    }
}
