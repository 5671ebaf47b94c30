//! The figures of the Raft paper (*In Search of an Understandable Consensus Algorithm*, extended version) that show hard cases
//! of replication; figure 8 of the paper is figure 3.7 of the thesis. Method: disks that hold the logs of the figures, servers
//! that start from them, and a network that counts.

mod common;

use std::collections::BTreeSet;

use common::{Cluster, pair, plain};
use proptest::collection::vec;
use proptest::prelude::*;
use raft_core::{
    Body, Entry, HardState, LogIndex, LogTime, Message, Packet, Payload, Position, RoleKind, Run, Runs, Term,
    Write, WriteNumber,
};

/// Servers whose logs hold, behind the founding entry, entries of these terms; and which are in these terms. An index of a
/// figure is one more here.
fn cluster(logs: &[&[u64]], terms: &[u64]) -> Cluster {
    let mut cluster = Cluster::with(logs.len() as u64, plain());
    for (id, (log, term)) in (1..).zip(logs.iter().zip(terms)) {
        let machine = cluster.machine(id);
        machine.crash();
        let mut entries = Runs::new();
        for (index, term) in (2..).zip(log.iter()) {
            let noop = Entry::new(LogTime::ZERO, Payload::Noop);
            let run = Run::new(Term::new(*term), LogIndex::new(index), [noop]).expect("one entry");
            entries.push(run).expect("terms of a log never fall");
        }
        let hard_state = HardState { term: Term::new(*term), vote: None };
        machine.disk.push(Write {
            number: WriteNumber::new(1),
            hard_state,
            entries,
            compaction: None,
            refounds: None,
            commit: LogIndex::ZERO,
        });
        machine.start();
    }
    cluster
}

fn log(cluster: &Cluster, id: u64) -> Vec<u64> {
    let last = cluster.node(id).status().last.index.raw();
    let terms = (2..=last).map(|index| cluster.node(id).term_at(LogIndex::new(index)));
    terms.map(|term| term.expect("in the log").raw()).collect()
}

/// Delivers everything, and counts the appends to each server until it has the whole log of the leader: each is a round trip.
fn repair(cluster: &mut Cluster, leader: u64) -> Vec<usize> {
    let mut trips = vec![0; cluster.machines.len()];
    while let Some(packet) = cluster.network.pop_front() {
        let to = packet.to.id.raw();
        if cluster.machine(to).node.is_none() {
            continue;
        }
        let behind = cluster.node(to).status().last != cluster.node(leader).status().last;
        if behind && matches!(packet.body, Body::Append { .. }) {
            trips[to as usize - 1] += 1;
        }
        cluster.step(to, Message::Packet(packet));
    }
    trips
}

/// In how many terms a log differs from a leader's: those of its own entries behind the last one that both have.
fn diverging_terms(log: &[u64], leader: &[u64]) -> usize {
    let common = log.iter().zip(leader).take_while(|(a, b)| a == b).count();
    log[common..].iter().collect::<BTreeSet<_>>().len()
}

/// Figure 7: when the leader at the top comes to power, followers may lack entries (a, b), have extra ones (c, d), or both
/// (e, f). The leader repairs each of them, in at most one round trip for each term in which it diverged, and one more.
#[test]
fn figure_7_every_follower_is_repaired_in_a_round_trip_a_term() {
    let leader: &[u64] = &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    let followers: [(&str, &[u64], usize); 6] = [
        ("a", &[1, 1, 1, 4, 4, 5, 5, 6, 6], 2),
        ("b", &[1, 1, 1, 4], 2),
        ("c", &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6], 1),
        ("d", &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7], 1),
        ("e", &[1, 1, 1, 4, 4, 4, 4], 2),
        ("f", &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], 2),
    ];
    let logs: Vec<&[u64]> = std::iter::once(leader).chain(followers.iter().map(|(_, log, _)| *log)).collect();
    // (d) has seen term 7; the leader needs a majority of the seven, which (a), (b), (e) and (f) are with it.
    let mut cluster = cluster(&logs, &[7, 7, 7, 7, 7, 7, 7]);
    cluster.tick(1, 20);
    let trips = repair(&mut cluster, 1);
    let status = cluster.node(1).status();
    assert_eq!((status.role, status.term), (RoleKind::Leader, Term::new(8)));
    for (id, (name, before, expected)) in (2..).zip(followers) {
        assert_eq!(log(&cluster, id), log(&cluster, 1), "({name})");
        let trips = trips[id as usize - 1];
        assert_eq!(trips, expected, "({name})");
        // What is only missing costs the one rejection that says so.
        let diverged = diverging_terms(before, leader);
        assert!(trips <= diverged.max(1) + 1, "({name}): {trips} for {diverged} terms");
    }
    assert_eq!(log(&cluster, 1), [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8]);
}

/// Logs that differ after some common entries as they can in Raft: no term begins in both.
fn diverged_logs() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
    let pieces = || vec((0..2u8, 1..4usize), 0..12);
    (1..4usize, pieces()).prop_map(|(common, pieces)| {
        let (mut leader, mut follower) = (vec![1; common], vec![1; common]);
        for (term, (whose, length)) in (2..).zip(pieces) {
            let log = if whose == 0 { &mut leader } else { &mut follower };
            log.extend(vec![term; length]);
        }
        leader.push(20);
        (leader, follower)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// §3.5: each rejection skips at least one of the terms in which the follower diverged, however their lengths and the leader's lie, so
    /// that it is repaired in at most as many round trips as it has such terms, and one more.
    #[test]
    fn conflicts_cost_a_round_trip_a_term((leader, follower) in diverged_logs()) {
        let mut cluster = cluster(&[&leader, &leader, &follower], &[20, 20, 20]);
        cluster.tick(1, 20);
        let trips = repair(&mut cluster, 1)[2];
        prop_assert_eq!(log(&cluster, 3), log(&cluster, 1));
        let diverged = diverging_terms(&follower, &leader);
        // What is only missing costs the one rejection that says so.
        prop_assert!(trips <= diverged.max(1) + 1, "{trips} for {diverged} terms");
    }
}

/// The same with the logs at hand for which it is not enough that each answer skips a term of either log: the follower's one diverging
/// term begins before the leader's terms that it is compared with.
#[test]
fn term_that_begins_earlier_is_skipped_as_a_whole() {
    let mut cluster = cluster(&[&[1, 2, 2, 2, 2, 5], &[1, 2, 2, 2, 2, 5], &[1, 3, 3]], &[5, 5, 5]);
    cluster.tick(1, 20);
    assert_eq!(repair(&mut cluster, 1)[2], 2);
    assert_eq!(log(&cluster, 3), log(&cluster, 1));
}

/// Delivers only what belongs to elections; the rest stays on its way.
fn deliver_votes(cluster: &mut Cluster) {
    let is_vote = |packet: &Packet| matches!(packet.body, Body::RequestVote { .. } | Body::Vote { .. });
    while let Some(nth) = cluster.network.iter().position(is_vote) {
        let packet = cluster.network.remove(nth).expect("it was just found");
        if !cluster.cut.contains(&(packet.from.id.raw(), packet.to.id.raw())) {
            cluster.step(packet.to.id.raw(), Message::Packet(packet));
        }
    }
}

/// (a) to (c) of figure 8: S1, leader of term 2, has entry 2 on S2; S5, leader of term 3, has another entry in its place on
/// itself; S1, leader again in term 4, has brought its entry 2 to S3, a majority, and not its own entry of term 4.
fn figure_8_c() -> Cluster {
    let mut cluster = cluster(&[&[1, 2], &[1, 2], &[1], &[1], &[1, 3]], &[3, 3, 3, 3, 3]);
    cluster.tick(1, 20);
    deliver_votes(&mut cluster);
    let status = cluster.node(1).status();
    assert_eq!(
        (status.role, status.term, status.last),
        (RoleKind::Leader, Term::new(4), Position::new(4, 4))
    );
    for to in [2, 3] {
        // They say that they have S1's entry 2 for good: S2 had it, and to S3 it was brought without the one behind it.
        let from = cluster.node(to).identity();
        let (held, durable) = (LogIndex::new(3), LogIndex::new(3));
        let body = Body::Acknowledge { boot: cluster.node(1).identity().boot, round: None, held, durable };
        let term = Term::new(4);
        let packet = Packet { from: from.pair, boot: from.boot, ..cluster.packet(1, 1, term, body) };
        if from.pair == pair(3) {
            let entry = Entry::new(LogTime::ZERO, Payload::Noop);
            let entries = Run::new(Term::new(2), LogIndex::new(3), [entry]).expect("one entry").into();
            let previous = Position::new(1, 2);
            let body = Body::Append { previous, commit: LogIndex::ZERO, entries };
            cluster.say(1, 3, term, body);
        }
        cluster.step(1, Message::Packet(packet));
    }
    cluster.network.clear();
    assert_eq!(log(&cluster, 3), [1, 2], "entry 2 is on S1, S2 and S3");
    cluster
}

/// Figure 8 (c) and (d), §3.6.2: an entry of an older term that is on a majority is not committed by that; for S5 can still be
/// elected, by S2, S3 and S4, and replace it.
#[test]
fn figure_8_old_entry_on_a_majority_is_not_committed_and_may_be_replaced() {
    let mut cluster = figure_8_c();
    assert_eq!(cluster.node(1).status().commit, LogIndex::ZERO);
    cluster.machine(1).crash();
    cluster.tick(5, 20);
    deliver_votes(&mut cluster);
    assert_eq!(cluster.node(5).status().role, RoleKind::Leader, "its last term is 3, theirs is 2");
    repair(&mut cluster, 5);
    for id in 2..=5 {
        assert_eq!(log(&cluster, id), [1, 3, 5], "S{id}");
    }
    assert_eq!(cluster.node(5).status().commit, LogIndex::new(4));
}

/// Figure 8 (e), §3.6.2: once an entry of S1's own term is on a majority too, both are committed, and S5 can not win.
#[test]
fn figure_8_old_entry_commits_with_one_of_the_leaders_term() {
    let mut cluster = figure_8_c();
    cluster.cut = [4, 5].into_iter().flat_map(|id| [(1, id), (id, 1)]).collect();
    for _ in 0..4 {
        cluster.tick(1, 3);
        cluster.deliver_all();
    }
    assert_eq!(cluster.node(1).status().commit, LogIndex::new(4));
    cluster.machine(1).crash();
    for _ in 0..3 {
        cluster.tick(5, 20);
        deliver_votes(&mut cluster);
        assert_ne!(cluster.node(5).status().role, RoleKind::Leader, "S2 and S3 have entries of term 4");
    }
}
