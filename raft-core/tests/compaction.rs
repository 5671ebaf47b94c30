//! Snapshots at the edges (Raft thesis chapter 5): reports of what was and was not sent, what does not fit the log, and where a log begins
//! that has forgotten its oldest terms.

mod common;

use std::sync::Arc;

use common::{Cluster, config, membership, pair};
use raft_core::{
    Body, Config, Fault, LogIndex, LogTime, Message, Position, RoleKind, SendNumber, Snapshot, Term,
};

/// Three voters, led by the first, and the third of them lacks what the leader's log no longer has.
fn lagging() -> Cluster {
    let mut cluster = Cluster::with(3, Config { trailing_entries: 0, ..config() });
    cluster.elect(1);
    cluster.run(4);
    cluster.cut.extend([(1, 3), (2, 3), (3, 1), (3, 2)]);
    for command in ["a", "b", "c"] {
        cluster.propose(1, command);
        cluster.run(1);
    }
    cluster.take_snapshot(1);
    cluster.cut.clear();
    cluster.run(8);
    assert_eq!(cluster.machines[0].sending.len(), 1);
    cluster
}

/// A report that is doubled is nothing; one of what was never sent is a fault of the driver.
#[test]
fn transfers_are_reported_once_and_only_if_they_were() {
    let cluster = lagging();
    let sent = cluster.machines[0].sending[0].number;
    let after = |reports: &[SendNumber]| {
        let mut node = cluster.node(1).clone();
        for number in reports {
            node.step(Message::SnapshotSent { number: *number, arrived: true });
        }
        node.status().fault
    };
    assert_eq!(after(&[sent, sent]), None);
    assert_eq!(after(&[SendNumber::ZERO]), Some(Fault::UnknownSnapshot));
    assert_eq!(after(&[SendNumber::new(sent.raw() + 1)]), Some(Fault::UnknownSnapshot));
}

/// What a server sends as leader of one term goes on in the next: no second transfer is begun beside it.
#[test]
fn transfer_outlives_a_leadership() {
    let mut cluster = lagging();
    cluster.step(1, Message::StepDown);
    cluster.elect(1);
    cluster.run(8);
    let follower = cluster.node(1).followers().find(|follower| follower.server == pair(3)).expect("a member");
    assert!(follower.snapshot);
    assert_eq!(cluster.machines[0].sending.len(), 1);
    cluster.deliver_snapshot(1);
    cluster.run(8);
    assert_eq!(cluster.applied(3), ["a", "b", "c"]);
}

/// What is said of a snapshot has to fit the entry that it ends with: its term, and its log time.
#[test]
fn snapshot_has_to_fit_the_entry_that_it_ends_with() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    cluster.tick(1, 7);
    cluster.propose(1, "a");
    let (last, time) = cluster.machines[0].applied_at;
    assert_eq!((last, time), (Position::new(1, 3), LogTime::new(7)));
    for (last, time, fault) in [
        (last, time, None),
        (last, LogTime::new(6), Some(Fault::UnknownSnapshot)),
        (Position::new(0, 3), time, Some(Fault::UnknownSnapshot)),
    ] {
        let mut node = cluster.node(1).clone();
        node.step(Message::SnapshotTaken { last, time, size: 1, digest: 1.into() });
        assert_eq!(node.status().fault, fault, "{last} {time}");
    }
}

/// C11: a log that has forgotten the terms of its trailing entries begins where terms are known, or behind the snapshot.
#[test]
fn log_with_forgotten_terms_begins_where_they_are_known() {
    let config = Config { tail_bytes_max: 1, terms_max: 1, trailing_entries: 5, ..config() };
    let mut cluster = Cluster::with(3, config);
    for id in [1, 2, 1, 2] {
        cluster.elect(id);
        cluster.propose(id, "x");
        cluster.run(3);
        cluster.step(id, Message::StepDown);
    }
    cluster.elect(1);
    cluster.propose(1, "y");
    cluster.propose(1, "z");
    cluster.run(6);
    let (last, time) = cluster.machines[2].applied_at;
    assert_eq!((last, cluster.node(3).term_at(LogIndex::new(9))), (Position::new(5, 12), None));
    for (last, start) in [(last, Position::new(5, 10)), (Position::new(4, 9), Position::new(4, 9))] {
        let mut node = cluster.node(3).clone();
        node.step(Message::SnapshotTaken { last, time, size: 1, digest: 1.into() });
        assert_eq!((node.status().fault, node.status().start), (None, start));
    }
}

/// A snapshot that the log has all of is news of what is committed, and no more: a follower goes on to follow, and a candidate to try.
#[test]
fn matching_snapshot_changes_no_role() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.deliver_one_way(1);
    let status = cluster.node(2).status();
    assert!(status.commit < status.last.index);
    let snapshot = Snapshot {
        cluster: membership(3).cluster_id(),
        last: status.last,
        time: LogTime::ZERO,
        membership: Arc::new(membership(3)),
        membership_index: LogIndex::new(1),
        size: 1,
        digest: 1.into(),
    };
    let install = |cluster: &mut Cluster| {
        let body = Body::InstallSnapshot { snapshot: Arc::new(snapshot.clone()) };
        cluster.say(1, 2, Term::new(1), body);
        let status = cluster.node(2).status();
        assert_eq!(status.commit, status.last.index);
        (status.role, status.leader)
    };
    assert_eq!(install(&mut cluster.clone()), (RoleKind::Follower, Some(pair(1))));
    cluster.network.clear();
    cluster.step(2, Message::ForgetLeader);
    cluster.step(2, Message::Campaign);
    cluster.step(3, Message::ForgetLeader);
    cluster.deliver_one_way(2);
    cluster.deliver_one_way(3);
    assert_eq!(install(&mut cluster), (RoleKind::Candidate, None), "of an older term by now");
}
