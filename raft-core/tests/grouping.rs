//! Goal: what goes into one `step_all` together and what goes in step by step lead to the same node, where they have to.
//! Method: both, on the same messages.
//!
//! They need not lead to the same in everything: a write is issued at the end of each step, so other groups are other writes.
//! While the disk has no room for another write, though, nothing that a node is depends on the grouping.

mod hostile;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use hostile::{Letter, hash, membership, pair};
use proptest::collection::vec;
use proptest::prelude::*;
use raft_core::{
    Body, Boot, Bootstrap, Config, Identity, LogIndex, LogTime, Message, Node, Packet, Ready, Recovered,
    RequestId, RoleKind, Round, Term, WriteNumber, bootstrap,
};

fn node(voters: u64, writes: u32) -> Node {
    let founding = membership(voters);
    let identity = Identity { cluster: founding.cluster_id(), pair: pair(1), boot: Boot::new(1) };
    let mut disk = Recovered::default();
    if let Ok(Bootstrap::Write(write)) = bootstrap(&disk, &founding, pair(1)) {
        disk.absorb(&write).expect("the first write");
    }
    let config = Config { writes_outstanding_max: writes, tail_bytes_max: 400, ..Config::default() };
    Node::new(config, identity, disk).expect("a sound disk starts")
}

/// A single server that leads, with one write under way.
fn leader(writes: u32) -> Node {
    let mut node = node(1, writes);
    node.step(Message::Tick { elapsed: 2 * Config::default().election_timeout_ticks });
    node.step(Message::Synced(WriteNumber::new(1)));
    node.step(Message::Synced(WriteNumber::new(2)));
    node.step(propose(0, 1));
    assert_eq!(node.status().role, RoleKind::Leader);
    assert!(node.status().durable < node.status().last.index, "a write is under way");
    node
}

fn propose(id: u64, bytes: u8) -> Message {
    Message::Propose { id: RequestId::new(id), commands: Bytes::from(vec![bytes; bytes.into()]).into() }
}

fn in_groups(node: &mut Node, messages: &[Message], ends: &[bool]) {
    let mut ready = Ready::default();
    let mut from = 0;
    for to in 1..=messages.len() {
        if to == messages.len() || ends.get(to).copied().unwrap_or(false) {
            node.step_all(messages[from..to].to_vec(), &mut ready);
            from = to;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Nodes are equal by what is in their logs, not by how it is cut into runs.
    #[test]
    fn node_is_the_same_however_its_log_is_cut(sizes in vec(any::<u8>(), 1..20), ends in vec(any::<bool>(), 20)) {
        let messages: Vec<_> = (1..).zip(&sizes).map(|(id, bytes)| propose(id, *bytes)).collect();
        let (mut one_by_one, mut grouped) = (leader(1), leader(1));
        in_groups(&mut one_by_one, &messages, &[true; 20]);
        in_groups(&mut grouped, &messages, &ends);
        prop_assert!(one_by_one == grouped);
        prop_assert_eq!(hash(&one_by_one), hash(&grouped));
        // And by what leaves the memory, once it is durable and committed.
        for number in [3, 4] {
            let synced = || Message::Synced(WriteNumber::new(number));
            prop_assert_eq!(one_by_one.clone().step(synced()), grouped.clone().step(synced()));
            one_by_one.step(synced());
            grouped.step(synced());
            prop_assert!(one_by_one == grouped);
        }
        prop_assert_eq!(one_by_one.status().commit, one_by_one.status().last.index);
        // Another byte in the log is another node.
        let mut other = leader(1);
        in_groups(&mut other, &messages[1..], &ends);
        other.step(propose(99, sizes[0].wrapping_add(1)));
        prop_assert!(one_by_one != other);
    }

    /// Whatever peers send to a server whose disk stands still, and whenever it ticks.
    #[test]
    fn status_is_the_same_however_packets_are_grouped(bytes in vec(any::<u8>(), 0..1500), ends in vec(any::<bool>(), 60)) {
        let mut one_by_one = node(3, 1);
        let heartbeat = Packet {
            cluster: one_by_one.identity().cluster,
            from: pair(2),
            boot: Boot::new(1),
            to: pair(1),
            term: Term::new(1),
            body: Body::Heartbeat { round: Round::new(1), commit: LogIndex::new(1) }, versions: raft_core::Versions::OURS };
        let first = one_by_one.step(Message::Packet(heartbeat));
        prop_assert!(first.write.is_some(), "from here on the disk is full");
        let mut grouped = one_by_one.clone();

        let mut bytes = Unstructured::new(&bytes);
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let message = if bytes.ratio(1, 8).unwrap_or(true) {
                Some(Message::Tick { elapsed: u32::from(u8::arbitrary(&mut bytes).unwrap_or(0) % 32) })
            } else {
                let letter = Letter::arbitrary(&mut bytes).expect("any bytes make a letter");
                letter.packet(&one_by_one).map(Message::Packet)
            };
            if let Some(message) = message {
                one_by_one.step(message.clone());
                messages.push(message);
            }
        }
        in_groups(&mut grouped, &messages, &ends);
        prop_assert_eq!(one_by_one.status(), grouped.status());
        prop_assert_eq!(one_by_one.membership(), grouped.membership());
        for index in 0..=one_by_one.status().last.index.raw().min(1000) {
            let index = LogIndex::new(index);
            prop_assert_eq!(one_by_one.term_at(index), grouped.term_at(index));
        }
    }
}

/// The comparison can fail: where there is room for writes, other groups are other writes.
#[test]
fn grouping_shows_in_the_writes() {
    let messages = [propose(1, 1), propose(2, 2)];
    let (mut one_by_one, mut grouped) = (leader(4), leader(4));
    in_groups(&mut one_by_one, &messages, &[true; 2]);
    in_groups(&mut grouped, &messages, &[false; 2]);
    assert!(one_by_one != grouped);
    assert_eq!(one_by_one.status(), grouped.status());
}

/// What is proposed and what looks at the log may come in one step, in any order.
#[test]
fn log_is_whole_when_it_is_looked_at() {
    let mut node = leader(2);
    let last = node.status().last;
    node.step(Message::Synced(WriteNumber::new(3)));
    for applied in [last.index.previous(), last.index] {
        node.step(Message::Applied(applied));
    }
    let saved = Message::SnapshotTaken { last, time: LogTime::ZERO, size: 0, digest: 0.into() };
    let mut ready = Ready::default();
    node.step_all([propose(1, 1), propose(2, 1), saved, propose(3, 1)], &mut ready);
    assert_eq!((node.status().fault, node.status().last.index), (None, last.index.plus(3)));
    assert_eq!(node.snapshot().map(|snapshot| snapshot.last), Some(last));
    let write = ready.write.expect("all of it in one write");
    assert_eq!((write.entries.len(), write.compaction.is_some()), (3, true));
}
