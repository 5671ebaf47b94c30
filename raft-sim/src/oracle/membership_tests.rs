//! The oracle of membership changes can fail: configurations put behind one another by hand.

use std::sync::Arc;

use raft_core::{Boot, Change, Incarnation, NodeId, Ready, RequestId};

use super::changes::Changes;
use super::configurations::Known;
use super::tests::{host, log, oracles, pair, run, seen, voters, write};
use super::*;

fn joint(before: &[u8], after: &[u8]) -> Membership {
    voters(before.iter().copied()).joint(&voters(after.iter().copied()))
}

fn one(numbers: &[u8]) -> Membership {
    voters(numbers.iter().copied())
}

/// Goal: what may follow what. Method: direct changes of one and two voters, joint ones of this and of another configuration, and
/// what leaves them.
#[test]
fn membership_sees_what_may_not_follow() {
    let cases = [
        (one(&[1, 2, 3]), one(&[1, 2, 3, 4]), true),
        (one(&[1, 2, 3]), one(&[1, 2]), true),
        (one(&[1, 2, 3]), one(&[1, 2, 4]), false),
        (one(&[1, 2]), one(&[1, 2, 3, 4]), false),
        (one(&[1, 2, 3]), joint(&[1, 2, 3], &[4, 5]), true),
        (one(&[1, 2, 3]), joint(&[1, 2], &[4, 5]), false),
        (joint(&[1, 2, 3], &[4, 5]), one(&[4, 5]), true),
        (joint(&[1, 2, 3], &[4, 5]), one(&[1, 2, 3]), false),
        (joint(&[1, 2, 3], &[4, 5]), one(&[4]), false),
        (joint(&[1, 2, 3], &[4, 5]), joint(&[4, 5], &[6]), false),
    ];
    for (before, now, expected) in cases {
        let verdict = membership::follows(pair(1), &before, &now);
        assert_eq!(verdict.is_ok(), expected, "{before:?} {now:?}");
        assert!(verdict.err().is_none_or(|violation| violation.oracle == membership::NAME));
    }
}

/// What a node says of itself that has the founding entry and a configuration in its log.
struct Says(LogIndex, Option<Membership>);

impl LogView for Says {
    fn term_at(&self, _: LogIndex) -> Option<Term> {
        None
    }

    fn in_force(&self) -> Option<LogIndex> {
        Some(self.0)
    }

    fn membership(&self) -> Option<&Membership> {
        self.1.as_ref()
    }
}

/// Goal: a node uses the last configuration of its log, whole, from when it is made. Method: one that uses it, half of it, the one before it,
/// and none, when it is made and when it makes a step; and one that has nothing.
#[test]
fn membership_sees_what_is_used_instead_of_the_last_configuration() {
    let whole = joint(&[1, 2, 3], &[4, 5]);
    let mut known = Configurations::new(&one(&[1, 2, 3]));
    known.note(Position::new(2, 2), &Arc::new(whole.clone()));
    let (empty, held) = (log(&[]), log(&[run(0, 1, &[0]), run(2, 2, &[0])]));
    for (held, index, used, expected) in [
        (&held, 2, Some(whole.clone()), true),
        (&held, 2, Some(whole.incoming()), false),
        (&held, 1, Some(one(&[1, 2, 3])), false),
        (&held, 0, None, false),
        (&empty, 0, None, true),
        (&empty, 1, Some(one(&[1, 2, 3])), true),
        (&empty, 1, Some(one(&[1, 2])), false),
    ] {
        let last = Position { term: held.last_term(), index: held.last() };
        let (node, seen) = (Says(LogIndex::new(index), used), seen(false, 2, 0, last));
        let started = membership::Memberships::new(1).started(host(1), &seen, &node, known.in_force(held));
        let whole = recollection::Whole { log: held, node: &node };
        let (host, pair, boot, ready) = (host(1), pair(1), Boot::new(1), &Ready::default());
        let step = Step { host, pair, boot, before: seen, after: seen, log: &whole, ready };
        let commit = commit::CommitRule::default();
        let stepped = membership::Memberships::new(1).stepped(&step, &known, &commit);
        for verdict in [started, stepped] {
            assert_eq!(verdict.is_ok(), expected, "{index} {:?}", node.1);
            assert!(verdict.err().is_none_or(|violation| violation.oracle == membership::NAME));
        }
    }
}

/// Goal: a node is judged by its configuration when it is made, and before that by what its disk held. Method: a disk with a joint one, and a node
/// that uses it, half of it, and half of it with less of the log.
#[test]
fn membership_is_judged_from_the_start_of_a_node() {
    let whole = joint(&[1, 2, 3], &[4, 5]);
    let entries = [run(0, 1, &[0]), run(2, 2, &[0])];
    for (used, kept, expected) in [
        (whole.clone(), 2, "none"),
        (whole.incoming(), 2, membership::NAME),
        (whole.incoming(), 1, durable::NAME),
    ] {
        let mut oracles = oracles(3);
        oracles.configurations.note(Position::new(2, 2), &Arc::new(whole.clone()));
        oracles.written(host(1), &write(1, 2, None, &entries));
        oracles.crashed(host(1), 1, true);
        let held = log(&entries[..kept]);
        let last = Position { term: held.last_term(), index: held.last() };
        let says = Says(LogIndex::new(2), Some(used));
        let node = recollection::Whole { log: &held, node: &says };
        let verdict = oracles.started(host(1), &seen(false, 2, 0, last), &node);
        assert_eq!(verdict.err().map_or("none", |violation| violation.oracle), expected);
    }
}

/// Goal: a quorum of a joint configuration is one of both halves, and of pairs. Method: sets of pairs; another incarnation counts
/// for nothing.
#[test]
fn quorums_are_of_both_halves_and_of_pairs() {
    let joint = joint(&[1, 2, 3], &[3, 4]);
    let is_quorum = |numbers: &[u8]| {
        configurations::is_quorum(&joint, |voter| numbers.iter().any(|number| pair(*number) == voter))
    };
    assert!(is_quorum(&[1, 3, 4]));
    assert!(!is_quorum(&[1, 2, 3]) && !is_quorum(&[3, 4]));
    let other = |voter: Pair| Pair { incarnation: Incarnation::new(7), ..voter } == voter;
    assert!(!configurations::is_quorum(&one(&[1]), other));
}

/// Goal: nobody changes the configuration unasked, and a refused change has changed nothing. Method: configurations appended with
/// and without somebody who waits for them.
#[test]
fn answers_sees_changes_that_nobody_asked_for() {
    let known = |membership: Membership, index| Known {
        position: Position::new(1, index),
        membership: Arc::new(membership),
    };
    let (before, now) = (known(one(&[1, 2, 3]), 1), known(one(&[1, 2]), 2));
    let remove = |number| Change::Remove(NodeId::new(number).unwrap());
    let refused =
        Answer { id: RequestId::new(7), outcome: Outcome::Refused(raft_core::Refusal::TermNotCommitted) };
    let all = Configurations::new(&one(&[1, 2, 3]));
    let commit = commit::CommitRule::default();
    for (asked, at, answers, expected) in [
        (remove(3), 1, vec![], true),
        (remove(2), 1, vec![], false),
        (remove(3), 2, vec![], false),
        (remove(3), 1, vec![refused.clone()], false),
    ] {
        let mut changes = Changes::default();
        changes.asked(host(at), 7, asked);
        assert_eq!(changes.appended(host(1), &before, &now, &answers).is_ok(), expected);
        // Later on it is too late to refuse it.
        assert_eq!(changes.answered(&refused, &all, &commit).is_ok(), !expected);
    }
    let done = Outcome::Committed { first: Position::new(1, 2), last: Position::new(1, 2) };
    let mut changes = Changes::default();
    changes.asked(host(1), 7, remove(3));
    assert!(changes.answered(&Answer { id: RequestId::new(7), outcome: done }, &all, &commit).is_err());
}
