//! What comes back for a fetch (contract of the crate, bounded memory): entries that the log holds, or the word that they are gone from it,
//! where that can be; anything else is a disk that can not be relied on.

mod common;

use std::sync::Arc;

use common::{Cluster, config, membership, pair};
use raft_core::{
    Body, Config, Entry, Fault, Fetch, Fetched, LogIndex, LogTime, Message, Node, Payload, Position, Run,
    Runs, Snapshot, Term,
};

/// A leader in its second term that has just asked its disk for what the third server lacks, from entry 5 of term 1 on.
fn asking() -> (Cluster, Node, Fetch) {
    let config = Config { tail_bytes_max: 1, trailing_entries: 0, ..config() };
    let mut cluster = Cluster::with(3, config);
    cluster.elect(1);
    for command in ["a", "b"] {
        cluster.propose(1, command);
        cluster.run(1);
    }
    cluster.cut.extend([(1, 3), (2, 3), (3, 1), (3, 2)]);
    for command in ["c", "d", "e"] {
        cluster.propose(1, command);
        cluster.run(1);
    }
    cluster.restart(1);
    cluster.elect(1);
    cluster.run(4);
    let mut node = cluster.node(1).clone();
    let boot = node.identity().boot;
    let (previous, hint, hint_first) = (Position::new(1, 7), Position::new(1, 4), LogIndex::new(2));
    let packet = cluster.packet(3, 1, Term::new(2), Body::Reject { boot, previous, hint, hint_first });
    let fetch = node.step(Message::Packet(packet)).fetch;
    let [fetch] = fetch[..] else { panic!("it asks for one run: {fetch:?}") };
    assert_eq!(fetch.first, LogIndex::new(5));
    (cluster, node, fetch)
}

fn noops(term: u64, first: LogIndex, count: u64) -> Runs {
    let entries = (0..count).map(|_| Entry::new(LogTime::ZERO, Payload::Noop)).collect::<Vec<_>>();
    Run::new(Term::new(term), first, entries).expect("in range").into()
}

#[test]
fn fetched_entries_are_sent() {
    let (cluster, mut node, fetch) = asking();
    let fetching = |node: &Node| node.followers().map(|follower| follower.fetching).collect::<Vec<_>>();
    assert_eq!(fetching(&node), [false, true]);
    let entries = cluster.machines[0].read(fetch.first, fetch.last);
    let sent =
        node.step(Message::Fetched { number: fetch.number, result: Fetched::Entries(entries.clone()) }).send;
    assert_eq!(fetching(&node), [false, false]);
    let [packet] = &sent[..] else { panic!("one append: {sent:?}") };
    let Body::Append { previous, entries: appended, .. } = &packet.body else {
        panic!("{packet:?} is no append")
    };
    assert_eq!((packet.to, *previous, appended), (pair(3), Position::new(1, 4), &entries));
}

/// B51: entries of another term than the log holds there, or from another index on, come from a disk that has changed.
#[test]
fn other_entries_than_the_logs_are_a_fault() {
    let (_, node, fetch) = asking();
    let count = fetch.last.since(fetch.first) + 1;
    for wrong in [
        noops(2, fetch.first, count),
        noops(1, fetch.first.next(), count - 1),
        noops(1, fetch.first.previous(), count),
        Runs::new(),
    ] {
        let mut node = node.clone();
        node.step(Message::Fetched { number: fetch.number, result: Fetched::Entries(wrong.clone()) });
        assert_eq!(node.status().fault, Some(Fault::FetchFailed), "{wrong:?}");
    }
}

/// What was compacted meanwhile is gone, and a snapshot is what the follower needs; what was not can not be gone.
#[test]
fn only_what_was_compacted_may_be_gone() {
    let (cluster, node, fetch) = asking();
    let gone = Message::Fetched { number: fetch.number, result: Fetched::Compacted };
    let mut broken = node.clone();
    broken.step(gone.clone());
    assert_eq!(broken.status().fault, Some(Fault::FetchFailed));
    for (index, fault) in [(4, Some(Fault::FetchFailed)), (5, None), (7, None)] {
        let mut node = node.clone();
        let last = Position::new(1, index);
        node.step(Message::SnapshotTaken { last, time: LogTime::ZERO, size: 1, digest: 1.into() });
        assert_eq!(node.status().start, last);
        node.step(gone.clone());
        assert_eq!(node.status().fault, fault, "compacted up to {index}");
    }
    assert_eq!(cluster.node(1).status().fault, None);
}

/// B46: what was fetched for the state machine is of no use where a snapshot has taken its place meanwhile.
#[test]
fn entries_fetched_before_a_restoration_are_not_applied() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for command in ["a", "b", "c"] {
        cluster.propose(1, command);
        cluster.run(3);
    }
    cluster.machine(3).crash();
    cluster.propose(1, "d");
    cluster.run(3);
    let (last, time) = cluster.machines[0].applied_at;
    let machine = cluster.machine(3);
    machine.tail_entries = Some(1);
    machine.start();
    let node = machine.node.as_mut().expect("it runs");
    // It is as far as it was told, and has nothing of it in memory.
    let term = node.status().term;
    let durable = node.status().last;
    assert!(durable.index < last.index);
    let snapshot = Snapshot {
        cluster: machine.identity.cluster,
        last,
        time,
        membership: Arc::new(membership(3)),
        membership_index: LogIndex::new(1),
        size: 1,
        digest: 1.into(),
    };
    let fetch = node.step(Message::Tick { elapsed: 0 }).fetch;
    let [fetch] = fetch[..] else { panic!("it asks for one run: {fetch:?}") };
    let entries = cluster.machines[2].read(fetch.first, fetch.last);
    let packet = cluster.packet(1, 3, term, Body::InstallSnapshot { snapshot: Arc::new(snapshot) });
    let node = cluster.machine(3).node.as_mut().expect("it runs");
    let write = node.step(Message::Packet(packet)).write.expect("the installation");
    let ready = node.step(Message::Synced(write.number));
    assert_eq!(ready.restore.map(|snapshot| snapshot.last), Some(last));
    let late = Message::Fetched { number: fetch.number, result: Fetched::Entries(entries) };
    assert_eq!((node.step(late).apply, node.status().fault), (None, None));
}
