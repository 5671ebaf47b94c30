//! Limits hold exactly where they are said to be: what just fits is taken, and one more is not. Bytes and counts of proposals, and the end
//! of all indexes.

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::{Cluster, config, membership, server};
use raft_core::{
    Change, Commands, Compaction, Config, Entry, Fault, HardState, LogIndex, LogTime, Message, Outcome,
    Position, Refusal, RequestId, RoleKind, Snapshot, Suffrage, Term, Write, WriteNumber,
};

/// A command of one byte counts so much.
const ONE: u64 = Entry::OVERHEAD_BYTES + 1;

fn propose(cluster: &mut Cluster, id: u64, count: usize) -> Option<Outcome> {
    let commands = Commands::Many(vec![Bytes::from_static(b"x"); count]);
    cluster.step(1, Message::Propose { id: RequestId::new(id), commands });
    cluster.outcome(RequestId::new(id))
}

const BUSY: Option<Outcome> = Some(Outcome::Refused(Refusal::Busy));

#[test]
fn proposals_fill_their_room_to_the_last_byte() {
    for (room, alone, together) in
        [(2 * ONE, None, None), (2 * ONE - 1, Some(Refusal::TooLarge), Some(Refusal::Busy))]
    {
        let mut cluster = Cluster::with(2, Config { uncommitted_bytes_max: room, ..config() });
        cluster.elect(1);
        assert_eq!(
            propose(&mut cluster.clone(), 501, 2),
            alone.map(Outcome::Refused),
            "{room}: one of two commands"
        );
        assert_eq!(propose(&mut cluster, 502, 1), None);
        assert_eq!(propose(&mut cluster, 503, 1), together.map(Outcome::Refused), "{room}: two of one");
        assert_eq!(propose(&mut cluster, 504, 1), BUSY);
    }
}

/// What is committed, and not durable on the leader itself, takes room too: beyond what the tail may hold anyway.
#[test]
fn what_the_own_disk_lacks_fills_the_room_to_the_last_byte() {
    for (room, taken) in [(3 * ONE - 1, 3), (3 * ONE - 2, 2), (ONE, 1)] {
        let config = Config { uncommitted_bytes_max: room, tail_bytes_max: 1, ..config() };
        let mut cluster = Cluster::with(3, config);
        cluster.elect(1);
        cluster.run(6);
        cluster.machine(1).sync_at_once = false;
        for id in 500..510 {
            propose(&mut cluster, id, 1);
            cluster.deliver_all();
        }
        let outcomes = (500..510).filter_map(|id| cluster.outcome(RequestId::new(id)));
        assert_eq!(outcomes.filter(|outcome| matches!(outcome, Outcome::Committed { .. })).count(), taken);
    }
}

/// A single voter whose log begins behind a snapshot that ends here, and which leads.
fn near_the_end(last: LogIndex) -> Cluster {
    let mut cluster = Cluster::new(1);
    let last = Position { term: Term::new(1), index: last };
    let snapshot = Snapshot {
        cluster: membership(1).cluster_id(),
        last,
        time: LogTime::ZERO,
        membership: Arc::new(membership(1)),
        membership_index: LogIndex::new(1),
        size: 0,
        digest: 0.into(),
    };
    let machine = cluster.machine(1);
    machine.saved.insert(last, Vec::new());
    machine.disk.push(Write {
        number: WriteNumber::new(1),
        hard_state: HardState { term: Term::new(1), vote: None },
        entries: Default::default(),
        compaction: Some(Box::new(Compaction { snapshot: Arc::new(snapshot), start: last, discards: true })),
        refounds: None,
        commit: last.index,
    });
    cluster.restart(1);
    cluster.tick(1, 20);
    cluster
}

fn before_max(count: u64) -> LogIndex {
    LogIndex::new(LogIndex::MAX.raw() - count)
}

/// The last indexes are kept for what keeps the protocol going: 2²⁰ of them, which no command takes.
#[test]
fn last_indexes_are_not_for_commands() {
    const KEPT: u64 = 1 << 20;
    // The no-op of the election is the first of the three that are left.
    let mut cluster = near_the_end(before_max(KEPT + 3));
    assert_eq!(cluster.node(1).status().role, RoleKind::Leader);
    assert_eq!(propose(&mut cluster, 501, 3), BUSY, "of three there is no room for the last");
    assert!(matches!(propose(&mut cluster, 502, 2), Some(Outcome::Committed { .. })));
    assert_eq!(cluster.node(1).status().last.index, before_max(KEPT));
    assert_eq!(propose(&mut cluster, 503, 1), BUSY);
    let changed = cluster.change(1, Change::Add(server(2, Suffrage::Learner)));
    assert!(matches!(cluster.outcome(changed), Some(Outcome::Committed { .. })));
    assert_eq!(cluster.applied(1), ["x", "x"]);
}

/// A change needs two indexes, since it may be joint; an election one.
#[test]
fn very_last_indexes_are_for_changes_and_elections() {
    let add = |id| Change::Add(server(id, Suffrage::Learner));
    let mut cluster = near_the_end(before_max(3));
    let (taken, refused) = (cluster.change(1, add(2)), cluster.change(1, add(3)));
    assert!(matches!(cluster.outcome(taken), Some(Outcome::Committed { .. })), "two were left");
    assert_eq!(cluster.outcome(refused), BUSY, "one is left");
    assert_eq!(near_the_end(before_max(1)).node(1).status().role, RoleKind::Leader);
    assert_eq!(near_the_end(LogIndex::MAX).node(1).status().fault, Some(Fault::Exhausted));
}
