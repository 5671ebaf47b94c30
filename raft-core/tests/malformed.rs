//! Packets that nobody who keeps to the protocol can have sent. Decoding refuses them; an embedder that passes packets by other means
//! hands them to the node, which takes no notice: not of their term, and not of their sender.

mod common;

use std::sync::Arc;

use common::{Cluster, command, membership, pair};
use raft_core::{
    Attempt, Body, ClusterId, Entry, LogIndex, LogTime, Message, Outcome, Payload, Position, Ready, Refusal,
    RequestId, Run, Runs, Snapshot, Term,
};

fn noops(term: u64, first: u64, count: usize) -> Runs {
    let entries = vec![Entry::new(LogTime::ZERO, Payload::Noop); count];
    Run::new(Term::new(term), LogIndex::new(first), entries).expect("in range").into()
}

fn two_terms(first: u64, terms: [u64; 2]) -> Runs {
    let mut runs = noops(terms[0], first, 1);
    let Some(next) = noops(terms[1], first + 1, 1).into_iter().next() else { panic!("one run") };
    runs.push(next).expect("consecutive");
    runs
}

fn append(previous: Position, entries: Runs) -> Body {
    Body::Append { previous, commit: LogIndex::ZERO, entries }
}

/// Whether the second server takes any notice of what the first says in term 5.
fn is_noticed(body: Body) -> bool {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.run(6);
    cluster.network.clear();
    let before = cluster.node(2).clone();
    let mut node = before.clone();
    let ready = node.step(Message::Packet(cluster.packet(1, 2, Term::new(5), body)));
    node != before || Ready { sleep: None, ..ready } != Ready::default()
}

#[test]
fn requests_for_votes_say_how_an_earlier_term_ended() {
    let vote = |term| Body::RequestVote { last: Position::new(term, 2), transfer: true };
    let pre_vote = |term| Body::RequestPreVote { attempt: Attempt::new(1), last: Position::new(term, 2) };
    assert!(is_noticed(vote(4)) && !is_noticed(vote(5)) && !is_noticed(vote(6)));
    assert!(is_noticed(pre_vote(5)) && !is_noticed(pre_vote(6)), "of the term that it has");
}

#[test]
fn appends_are_consecutive_and_of_no_later_term() {
    let previous = Position::new(1, 2);
    assert!(is_noticed(append(previous, noops(5, 3, 1))));
    assert!(is_noticed(append(previous, two_terms(3, [1, 5]))));
    assert!(!is_noticed(append(previous, Runs::new())), "no entries");
    assert!(!is_noticed(append(previous, noops(5, 4, 1))), "a gap");
    assert!(!is_noticed(append(previous, noops(5, 2, 1))), "an overlap");
    assert!(!is_noticed(append(Position::new(4, 2), noops(3, 3, 1))), "terms that fall");
    assert!(!is_noticed(append(previous, noops(6, 3, 1))), "of a later term");
    assert!(!is_noticed(append(previous, two_terms(3, [5, 6]))), "and be it the last one");
}

/// Whether the second server, which has passed a proposal on, believes what it is told has become of it.
fn is_believed(outcome: Outcome) -> bool {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.run(6);
    cluster.network.clear();
    let id = RequestId::new(500);
    cluster.step(2, Message::Forward { id, commands: command("x").into() });
    let asked = cluster.network.pop_front().expect("it is passed on");
    assert_eq!(asked.to, pair(1));
    let Body::Propose { token, .. } = asked.body else { panic!("{asked:?} is no proposal") };
    let body = Body::Proposed { boot: asked.boot, token, outcome };
    cluster.say(1, 2, asked.term, body);
    cluster.outcome(id).is_some()
}

#[test]
fn proposals_end_where_they_can() {
    let at = Position::new;
    for made in [
        |first, last| Outcome::Committed { first, last },
        |first, last| Outcome::Lost { first, last },
        |first, last| Outcome::Replaced { first, last },
    ] {
        assert!(is_believed(made(at(1, 3), at(1, 3))));
        assert!(!is_believed(made(at(1, 4), at(1, 3))), "it ends before it begins");
        assert!(!is_believed(made(at(1, 3), at(2, 3))), "in a later term");
    }
    for refusal in [Refusal::Busy, Refusal::Empty, Refusal::TooLarge, Refusal::Transferring { to: pair(3) }] {
        assert!(is_believed(Outcome::Refused(refusal)));
    }
    assert!(
        !is_believed(Outcome::Refused(Refusal::NotLeader { leader: None })),
        "who does not lead says nothing"
    );
    assert!(!is_believed(Outcome::Readable { index: LogIndex::new(3) }), "it was no read");
}

#[test]
fn snapshots_are_of_the_cluster_and_hold_a_configuration() {
    let sound = Snapshot {
        cluster: membership(3).cluster_id(),
        last: Position::new(5, 9),
        time: LogTime::ZERO,
        membership: Arc::new(membership(3)),
        membership_index: LogIndex::new(1),
        size: 0,
        digest: 0.into(),
    };
    let noticed = |changes: fn(&mut Snapshot)| {
        let mut snapshot = sound.clone();
        changes(&mut snapshot);
        is_noticed(Body::InstallSnapshot { snapshot: Arc::new(snapshot) })
    };
    assert!(noticed(|_| {}));
    assert!(noticed(|snapshot| snapshot.membership_index = LogIndex::new(9)), "its last entry");
    assert!(noticed(|snapshot| snapshot.last.index = LogIndex::MAX));
    assert!(!noticed(|snapshot| snapshot.cluster = ClusterId::new(7)));
    assert!(!noticed(|snapshot| snapshot.membership_index = LogIndex::ZERO));
    assert!(!noticed(|snapshot| snapshot.membership_index = LogIndex::new(10)));
    assert!(!noticed(|snapshot| snapshot.last.index = LogIndex::MAX.next()));
    assert!(!noticed(|snapshot| snapshot.last.term = Term::new(6)));
}
