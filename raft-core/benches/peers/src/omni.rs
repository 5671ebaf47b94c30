//! `omnipaxos` 0.2.4, driven as its documentation says, with the storage that its authors publish: `MemoryStorage`.
//!
//! Its `batch_size` is that of the batches; then entries that are appended one by one leave together, as soon as the batch is
//! full. A batch in one call is handed over as followers hand proposals on, since there is no other call that takes many. Packets
//! are encoded with `serde` and `bincode`.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use omnipaxos::messages::Message;
use omnipaxos::messages::sequence_paxos::{PaxosMessage, PaxosMsg};
use omnipaxos::storage::{Entry, NoSnapshot};
use omnipaxos::util::LogEntry;
use omnipaxos::{ClusterConfig, OmniPaxos, OmniPaxosConfig, ServerConfig};
use omnipaxos_storage::memory_storage::MemoryStorage;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cluster::{Calls, Cluster, Options, Packets, StateMachine, Traffic, command};

/// How a command is held, which omnipaxos leaves to its users.
pub trait Command: Entry<Snapshot = NoSnapshot> + AsRef<[u8]> + Serialize + for<'a> Deserialize<'a> {
    /// A copy of it.
    fn copied(command: &[u8]) -> Self;
}

/// As the two others hold it. A second allocation is made when it is first cloned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InBytes(Bytes);

impl Entry for InBytes {
    type Snapshot = NoSnapshot;
}

impl AsRef<[u8]> for InBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Command for InBytes {
    fn copied(command: &[u8]) -> Self {
        InBytes(Bytes::copy_from_slice(command))
    }
}

/// In one allocation, with its reference count. What suits omnipaxos best.
#[derive(Clone, Debug)]
pub struct InArc(Arc<[u8]>);

impl Entry for InArc {
    type Snapshot = NoSnapshot;
}

impl AsRef<[u8]> for InArc {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Command for InArc {
    fn copied(command: &[u8]) -> Self {
        InArc(Arc::from(command))
    }
}

impl Serialize for InArc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'a> Deserialize<'a> for InArc {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Copying;
        impl Visitor<'_> for Copying {
            type Value = InArc;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<InArc, E> {
                Ok(InArc::copied(bytes))
            }
        }
        deserializer.deserialize_bytes(Copying)
    }
}

/// Three nodes of omnipaxos.
pub struct Omni<T: Command> {
    options: Options,
    machines: [Machine<T>; 3],
    sent: Vec<Message<T>>,
    traffic: Traffic,
}

struct Machine<T: Command> {
    node: OmniPaxos<T, MemoryStorage<T>>,
    inbox: Vec<Message<T>>,
    state_machine: StateMachine,
}

fn machine<T: Command>(pid: u64, batch_size: u64) -> Machine<T> {
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

impl<T: Command> Cluster for Omni<T> {
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
        let copied = |number| T::copied(&command(number));
        match self.options.work.calls {
            Calls::Entry => {
                for number in first..first + count {
                    node.append(copied(number)).expect("there is no reconfiguration");
                }
            }
            Calls::Batch if count == 1 => {
                node.append(copied(first)).expect("there is no reconfiguration");
            }
            Calls::Batch => {
                let commands = (first..first + count).map(copied).collect();
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

impl<T: Command> Omni<T> {
    fn output(&mut self, nth: usize) {
        let machine = &mut self.machines[nth];
        let (applied, keep) = (machine.state_machine.applied as usize, self.options.keep as usize);
        if applied < machine.node.get_decided_idx() {
            for entry in machine.node.read_decided_suffix(applied).into_iter().flatten() {
                let LogEntry::Decided(command) = entry else { panic!("decided, and not trimmed") };
                machine.state_machine.apply(command.as_ref());
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
