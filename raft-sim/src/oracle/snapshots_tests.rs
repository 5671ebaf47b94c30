//! What is wrong with a snapshot is seen. Steps made by hand, each with one thing wrong.

use std::sync::Arc;

use raft_core::{
    Body, Boot, ClusterId, Compaction, Digest, Entry, HardState, LogIndex, LogTime, Packet, Payload,
    Position, Ready, Runs, SendNumber, SendSnapshot, Snapshot, Term, Write, WriteNumber,
};

use super::commit::CommitRule;
use super::configurations::Configurations;
use super::machines::StateMachineSafety;
use super::recollection::Recollection;
use super::snapshots::Snapshots;
use super::tests::{host, pair, voters};
use super::*;

/// The committed log: the founding entry, and four of term 1; the log time of each is ten times its index.
fn committed() -> (CommitRule, Configurations, Snapshots) {
    let commit = CommitRule::of_terms(&[0, 1, 1, 1, 1]);
    let mut snapshots = Snapshots::new(2, &voters([1, 2]));
    for index in 1..=5 {
        let entry = Entry::new(LogTime::new(10 * index), Payload::Noop);
        snapshots.applied(Position::new(u64::from(1 < index), index), &entry, None);
    }
    for index in 2..=5 {
        snapshots.taken(Position::new(1, index), 7, Digest::new(index.into()));
    }
    (commit, Configurations::new(&voters([1, 2])), snapshots)
}

fn snapshot(index: u64) -> Snapshot {
    Snapshot {
        cluster: voters([1, 2]).cluster_id(),
        last: Position::new(1, index),
        time: LogTime::new(10 * index),
        membership: Arc::new(voters([1, 2])),
        membership_index: LogIndex::new(1),
        size: 7,
        digest: Digest::new(index.into()),
    }
}

fn written(number: u64, snapshot: Snapshot, start: Position, discards: bool) -> Ready {
    let commit = snapshot.last.index;
    let compaction = Some(Box::new(Compaction { snapshot: Arc::new(snapshot), start, discards }));
    let hard_state = HardState { term: Term::new(1), vote: None };
    let write = Write {
        number: WriteNumber::new(number),
        hard_state,
        entries: Runs::new(),
        compaction,
        commit,
        refounds: None,
    };
    Ready { write: Some(write), ..Ready::default() }
}

fn sends(number: u64, snapshot: Snapshot) -> Ready {
    let (cluster, term) = (snapshot.cluster, Term::new(1));
    let body = Body::InstallSnapshot { snapshot: Arc::new(snapshot) };
    let packet = Packet {
        cluster,
        from: pair(1),
        boot: Boot::new(1),
        to: pair(2),
        term,
        body,
        versions: raft_core::Versions::OURS,
    };
    Ready { snapshots: vec![SendSnapshot { number: SendNumber::new(number), packet }], ..Ready::default() }
}

fn seen(commit: u64) -> Seen {
    let (commit, last) = (LogIndex::new(commit), Position::new(1, 5));
    let (term, applied) = (Term::new(1), commit);
    Seen { leads: true, campaigns: false, term, vote: None, commit, applied, last, fault: None }
}

fn step<'a>(log: &'a dyn LogView, ready: &'a Ready) -> Step<'a> {
    let (before, after) = (seen(5), seen(5));
    Step { host: host(1), pair: pair(1), boot: Boot::new(1), before, after, log, ready }
}

/// Whether the oracle has nothing to say of these steps, one after the other.
fn is_good(steps: &[Ready]) -> bool {
    let (commit, known, mut snapshots) = committed();
    let log = commit.terms().clone();
    steps.iter().all(|ready| snapshots.stepped(&step(&log, ready), &commit, &known).is_ok())
}

/// Goal: what a snapshot says of what it covers is held against the history. Method: each part of a good one changed.
#[test]
fn snapshot_of_something_else_is_seen() {
    let at = Position::new(1, 3);
    assert!(is_good(&[written(1, snapshot(4), at, false)]));
    for wrong in [
        Snapshot { cluster: ClusterId::new(3), ..snapshot(4) },
        Snapshot { last: Position::new(2, 4), ..snapshot(4) },
        Snapshot { last: Position::new(1, 6), ..snapshot(4) },
        Snapshot { time: LogTime::new(39), ..snapshot(4) },
        Snapshot { membership: Arc::new(voters([1])), ..snapshot(4) },
        Snapshot { membership_index: LogIndex::new(2), ..snapshot(4) },
        Snapshot { size: 8, ..snapshot(4) },
        Snapshot { digest: Digest::new(3), ..snapshot(4) },
    ] {
        assert!(!is_good(&[written(1, wrong.clone(), at, false)]), "{wrong:?}");
        assert!(!is_good(&[sends(1, wrong.clone())]), "{wrong:?}");
        let restores = Ready { restore: Some(Arc::new(wrong.clone())), ..Ready::default() };
        assert!(!is_good(&[restores]), "{wrong:?}");
    }
}

/// Goal: snapshots that are written get newer, and what is left of the log begins later and later. Method: two writes each.
#[test]
fn written_snapshots_that_do_not_follow_are_seen() {
    let at = |index| Position::new(1, index);
    for (second, start, discards, good) in [
        (5, at(4), false, true),
        (5, at(3), false, true),
        (5, at(5), true, true),
        (4, at(4), false, false),
        (5, at(2), false, false),
        (5, Position::new(2, 4), false, false),
        (5, at(4), true, false),
    ] {
        let first = written(1, snapshot(4), at(3), false);
        let second = written(2, snapshot(second), start, discards);
        assert_eq!(is_good(&[first, second]), good, "{start} {discards}");
    }
}

/// Goal: a server is sent one snapshot at a time, behind which the log goes on. Method: a second one before and after the report of the
/// first, and compactions meanwhile.
#[test]
fn snapshots_that_overtake_each_other_are_seen() {
    assert!(!is_good(&[sends(1, snapshot(3)), sends(2, snapshot(4))]));
    assert!(is_good(&[sends(1, snapshot(3)), written(1, snapshot(5), Position::new(1, 3), false)]));
    assert!(!is_good(&[sends(1, snapshot(3)), written(1, snapshot(5), Position::new(1, 4), false)]));
    let (commit, known, mut snapshots) = committed();
    let log = commit.terms().clone();
    for number in 1..=2 {
        let ready = sends(number, snapshot(4));
        assert!(snapshots.stepped(&step(&log, &ready), &commit, &known).is_ok());
        snapshots.sent(host(1), SendNumber::new(number));
    }
}

/// Goal: a state machine is restored forwards only, and to what is known. Method: forwards, to the same, back, and beyond.
#[test]
fn restoring_backwards_is_seen() {
    let commit = CommitRule::of_terms(&[0, 1, 1, 1, 1]);
    let mut machines = StateMachineSafety::new(2);
    for index in 1..=4 {
        let entry = Entry::new(LogTime::new(index), Payload::Noop);
        let position = Position::new(u64::from(1 < index), index);
        assert!(machines.applied(host(1), position, &entry, &commit).is_ok());
    }
    for (last, good) in [(3, true), (3, false), (2, false), (4, true), (5, false)] {
        assert_eq!(machines.restored(host(2), LogIndex::new(last)).is_ok(), good, "{last}");
    }
}

struct Forgetful(TermLog, u64, Position);

impl LogView for Forgetful {
    fn term_at(&self, index: LogIndex) -> Option<Term> {
        self.0.term_at(index).filter(|_| self.1 <= index.raw())
    }

    fn start(&self) -> Option<Position> {
        Some(self.2)
    }
}

/// Goal: a node that forgets what is not committed, or begins its log behind something else, is seen. Method: one of each, and a good
/// one.
#[test]
fn forgetting_too_much_is_seen() {
    let commit = CommitRule::of_terms(&[0, 1, 1]);
    let log = CommitRule::of_terms(&[0, 1, 1, 1, 1]).terms().clone();
    for (known_from, start, good) in [
        (3, Position::new(1, 3), true),
        (4, Position::ZERO, true),
        (5, Position::ZERO, false),
        (4, Position::new(1, 4), false),
        (3, Position::new(0, 3), false),
    ] {
        let node = Forgetful(log.clone(), known_from, start);
        let ready = Ready::default();
        let mut recollection = Recollection::new(1);
        recollection.started(host(1), &log);
        let (before, after) = (seen(3), seen(3));
        let step = Step {
            host: host(1),
            pair: pair(1),
            boot: Boot::new(1),
            before,
            after,
            log: &node,
            ready: &ready,
        };
        // In the course of some steps every index is looked at.
        let all = (0..6).all(|_| recollection.stepped(&step, &commit).is_ok());
        assert_eq!(all, good, "{known_from} {start}");
    }
}
