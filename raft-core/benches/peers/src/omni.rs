//! `omnipaxos` 0.2.4, driven as its documentation says, with the storage that its authors publish: `MemoryStorage`.
//!
//! Its `batch_size` is that of the batches; then entries that are appended one by one leave together, as soon as the batch is
//! full. A batch in one call is handed over as followers hand proposals on, since there is no other call that takes many. Packets
//! are encoded with `serde` and `bincode`.

use bytes::Bytes;
use omnipaxos::messages::Message;
use omnipaxos::messages::sequence_paxos::{PaxosMessage, PaxosMsg};
use omnipaxos::storage::{Entry, NoSnapshot};
use omnipaxos::util::LogEntry;
use omnipaxos::{ClusterConfig, OmniPaxos, OmniPaxosConfig, ServerConfig};
use omnipaxos_storage::memory_storage::MemoryStorage;
use serde::{Deserialize, Serialize};

use crate::cluster::{Calls, Cluster, Options, Packets, StateMachine, Traffic, command};

/// A command, as the two others hold it: shared, so that a clone copies nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Command(Bytes);

impl Entry for Command {
    type Snapshot = NoSnapshot;
}

impl Command {
    fn new(number: u64) -> Self {
        Command(Bytes::copy_from_slice(&command(number)))
    }
}

/// Three nodes of omnipaxos.
pub struct Omni {
    options: Options,
    machines: [Machine; 3],
    sent: Vec<Message<Command>>,
    traffic: Traffic,
}

struct Machine {
    node: OmniPaxos<Command, MemoryStorage<Command>>,
    inbox: Vec<Message<Command>>,
    state_machine: StateMachine,
}

fn machine(pid: u64, batch_size: u64) -> Machine {
    let config = OmniPaxosConfig {
        cluster_config: ClusterConfig { configuration_id: 1, nodes: vec![1, 2, 3], flexible_quorum: None },
        server_config: ServerConfig { pid, batch_size: batch_size as usize, ..ServerConfig::default() },
    };
    Machine {
        node: config.build(MemoryStorage::default()).expect("a valid configuration"),
        inbox: Vec::new(),
        state_machine: StateMachine::default(),
    }
}

impl Cluster for Omni {
    fn start(options: Options) -> Self {
        let mut cluster = Omni {
            options,
            machines: [1, 2, 3].map(|pid| machine(pid, options.work.batch)),
            sent: Vec::new(),
            traffic: Traffic::default(),
        };
        cluster.machines[0].node.try_become_leader();
        cluster.output(0);
        while cluster.machines.iter().any(|machine| !machine.inbox.is_empty()) {
            cluster.round();
        }
        for machine in &cluster.machines {
            assert_eq!(machine.node.get_current_leader(), Some((1, true)), "all follow the first");
        }
        cluster
    }

    fn propose(&mut self, first: u64, count: u64) {
        let node = &mut self.machines[0].node;
        match self.options.work.calls {
            Calls::Entry => {
                for number in first..first + count {
                    node.append(Command::new(number)).expect("there is no reconfiguration");
                }
            }
            Calls::Batch if count == 1 => {
                node.append(Command::new(first)).expect("there is no reconfiguration");
            }
            Calls::Batch => {
                let commands = (first..first + count).map(Command::new).collect();
                let msg = PaxosMsg::ProposalForward(commands);
                node.handle_incoming(Message::SequencePaxos(PaxosMessage { from: 1, to: 1, msg }));
            }
        }
        self.output(0);
    }

    fn round(&mut self) {
        for nth in [1, 2, 0] {
            let machine = &mut self.machines[nth];
            if machine.inbox.is_empty() {
                continue;
            }
            for packet in machine.inbox.drain(..) {
                machine.node.handle_incoming(packet);
            }
            self.output(nth);
        }
    }

    fn state_machines(&self) -> [&StateMachine; 3] {
        [0, 1, 2].map(|nth| &self.machines[nth].state_machine)
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }
}

impl Omni {
    fn output(&mut self, nth: usize) {
        let machine = &mut self.machines[nth];
        let (applied, keep) = (machine.state_machine.applied as usize, self.options.keep as usize);
        if applied < machine.node.get_decided_idx() {
            for entry in machine.node.read_decided_suffix(applied).into_iter().flatten() {
                let LogEntry::Decided(Command(command)) = entry else { panic!("decided, and not trimmed") };
                machine.state_machine.apply(&command);
            }
        }
        if nth == 0 && keep != 0 && machine.node.get_compacted_idx() + 2 * keep < applied {
            // A follower that has not decided so far yet is not asked to trim.
            machine.node.trim(Some(applied - keep)).expect("accepted by all");
        }
        machine.node.take_outgoing_messages(&mut self.sent);
        for packet in self.sent.drain(..) {
            self.traffic.packets += 1;
            let packet = match self.options.work.packets {
                Packets::Moved => packet,
                Packets::Encoded => {
                    let configuration = bincode::config::standard();
                    let bytes = bincode::serde::encode_to_vec(&packet, configuration).expect("complete");
                    self.traffic.bytes += bytes.len() as u64;
                    let decoded = bincode::serde::decode_from_slice(&bytes, configuration);
                    decoded.expect("what was encoded").0
                }
            };
            self.machines[packet.get_receiver() as usize - 1].inbox.push(packet);
        }
    }
}
