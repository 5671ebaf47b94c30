//! `raft` 0.7.0, driven as its examples are, with the storage that it brings: `MemStorage`.
//!
//! Settings other than its defaults: appends of up to 1 MiB (the default is one entry in each), and appends that have not
//! left yet take up further entries (`batch_append`), without which a batch of 256 calls would be 256 packets. As in the
//! others the leader's packets leave before its write, and what is committed is applied at once.

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{Entry, Message, MessageType};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};

use crate::cluster::{Calls, Cluster, Options, Packets, StateMachine, Traffic, command};

/// Three nodes of raft-rs.
pub struct RaftRs {
    options: Options,
    machines: [Machine; 3],
    sent: Vec<Message>,
    traffic: Traffic,
}

struct Machine {
    node: RawNode<MemStorage>,
    inbox: Vec<Message>,
    state_machine: StateMachine,
    /// The last index that was applied, and the first that the storage still has.
    applied: u64,
    kept_from: u64,
}

fn machine(id: u64) -> Machine {
    let config = Config { id, max_size_per_msg: 1 << 20, batch_append: true, ..Config::default() };
    let storage = MemStorage::new_with_conf_state((vec![1, 2, 3], vec![]));
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    Machine {
        node: RawNode::new(&config, storage, &logger).expect("a valid configuration"),
        inbox: Vec::new(),
        state_machine: StateMachine::default(),
        applied: 0,
        kept_from: 1,
    }
}

impl Machine {
    fn apply(&mut self, entries: &[Entry], keep: u64) {
        for entry in entries {
            // The entry that a new leader appends is empty.
            if !entry.data.is_empty() {
                self.state_machine.apply(&entry.data);
            }
            self.applied = entry.index;
        }
        if keep != 0 && self.kept_from + 2 * keep < self.applied {
            self.kept_from = self.applied - keep;
            self.node.store().wl().compact(self.kept_from).expect("applied");
        }
    }

    /// Does what the node's output says, until there is none.
    fn output(&mut self, sent: &mut Vec<Message>, keep: u64) {
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            sent.extend(ready.take_messages());
            let committed = ready.take_committed_entries();
            self.apply(&committed, keep);
            let store = self.node.store().clone();
            store.wl().append(ready.entries()).expect("follows the log");
            if let Some(hard_state) = ready.hs() {
                store.wl().set_hardstate(hard_state.clone());
            }
            sent.extend(ready.take_persisted_messages());
            let mut light = self.node.advance(ready);
            if let Some(commit) = light.commit_index() {
                store.wl().mut_hard_state().set_commit(commit);
            }
            sent.extend(light.take_messages());
            let committed = light.take_committed_entries();
            self.apply(&committed, keep);
            self.node.advance_apply();
        }
    }
}

impl Cluster for RaftRs {
    fn start(options: Options) -> Self {
        let mut cluster = RaftRs {
            options,
            machines: [1, 2, 3].map(machine),
            sent: Vec::new(),
            traffic: Traffic::default(),
        };
        cluster.machines[0].node.campaign().expect("a voter");
        cluster.output(0);
        while cluster.machines.iter().any(|machine| !machine.inbox.is_empty()) {
            cluster.round();
        }
        assert_eq!(cluster.machines[0].node.raft.state, StateRole::Leader, "the only one to campaign leads");
        cluster
    }

    fn propose(&mut self, first: u64, count: u64) {
        let node = &mut self.machines[0].node;
        match self.options.work.calls {
            Calls::Entry => {
                for number in first..first + count {
                    node.propose(Vec::new(), command(number).to_vec()).expect("the leader takes it");
                }
            }
            Calls::Batch => {
                let entry = |number| {
                    let data = Bytes::copy_from_slice(&command(number));
                    Entry { data, ..Entry::default() }
                };
                let entries: Vec<Entry> = (first..first + count).map(entry).collect();
                let mut proposal = Message { from: 1, ..Message::default() };
                proposal.set_msg_type(MessageType::MsgPropose);
                proposal.set_entries(entries.into());
                node.step(proposal).expect("the leader takes it");
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
                machine.node.step(packet).expect("of a member");
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

impl RaftRs {
    fn output(&mut self, nth: usize) {
        self.machines[nth].output(&mut self.sent, self.options.keep);
        for packet in self.sent.drain(..) {
            self.traffic.packets += 1;
            let packet = match self.options.work.packets {
                Packets::Moved => packet,
                Packets::Encoded => {
                    let bytes = Bytes::from(packet.write_to_bytes().expect("complete"));
                    self.traffic.bytes += bytes.len() as u64;
                    Message::parse_from_carllerche_bytes(&bytes).expect("what was encoded")
                }
            };
            self.machines[packet.to as usize - 1].inbox.push(packet);
        }
    }
}
