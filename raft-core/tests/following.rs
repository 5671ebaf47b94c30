//! The follower's side of replication (Raft thesis §3.5): what it takes, what it refuses and with which hint, and what it believes of
//! whoever says that it leads.

mod common;

use common::{Cluster, config, pair};
use raft_core::{
    Body, Config, Entry, Event, Fault, LogIndex, LogTime, Message, Payload, Position, RoleKind, Round, Run,
    Runs, Term,
};

/// Entries that do nothing.
fn noops(term: u64, first: u64, count: usize) -> Runs {
    let entries = vec![Entry::new(LogTime::ZERO, Payload::Noop); count];
    Run::new(Term::new(term), LogIndex::new(first), entries).expect("in range").into()
}

fn append(previous: Position, entries: Runs) -> Body {
    Body::Append { previous, commit: LogIndex::ZERO, entries }
}

/// Three servers, of which the first leads; entries 3 and 4 are committed everywhere.
fn led() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.propose(1, "b");
    cluster.run(6);
    cluster.network.clear();
    assert_eq!(cluster.node(2).status().commit, LogIndex::new(4));
    cluster
}

/// §3.4: a term has one leader. Who leads itself, or follows one, halts rather than believe in a second.
#[test]
fn second_leader_of_a_term_is_a_fault() {
    for (second, listener) in [(2, 1), (3, 2)] {
        let mut cluster = led();
        let term = cluster.node(1).status().term;
        let body = Body::Heartbeat { round: Round::new(1), commit: LogIndex::ZERO };
        cluster.say(second, listener, term, body);
        let machine = &cluster.machines[listener as usize - 1];
        assert_eq!(machine.node().status().fault, Some(Fault::TwoLeaders));
        assert!(machine.events.contains(&Event::Fault(Fault::TwoLeaders)));
    }
}

/// Campaigns are counted since a leader was last heard.
#[test]
fn follower_has_no_campaigns_behind_it() {
    let mut cluster = led();
    cluster.cut.extend([(1, 2), (3, 2), (2, 1), (2, 3)]);
    cluster.run(60);
    assert_eq!(cluster.node(2).status().role, RoleKind::PreCandidate);
    assert!(1 < cluster.node(2).status().campaigns);
    cluster.cut.clear();
    cluster.run(12);
    assert_eq!((cluster.node(2).status().leader, cluster.node(2).status().campaigns), (Some(pair(1)), 0));
}

/// §3.5: what a follower that refuses an append says of its log is never below its commit index, where nothing can be in conflict.
#[test]
fn rejection_points_at_or_behind_the_commit_index() {
    let mut cluster = led();
    let term = cluster.node(1).status().term.raw();
    for (previous, hint) in [
        // No such leader can be elected; it is answered all the same.
        (Position::new(0, 9), Position::new(term, 4)),
        (Position::new(term, 9), Position::new(term, 4)),
    ] {
        cluster.say(1, 2, Term::new(term), append(previous, noops(term, previous.index.raw() + 1, 1)));
        let packet = cluster.network.pop_back().expect("an answer");
        let Body::Reject { previous: refused, hint: said, hint_first, .. } = packet.body else {
            panic!("{packet:?} is no rejection")
        };
        assert_eq!((refused, said, hint_first), (previous, hint, LogIndex::new(2)));
    }
}

/// C11: of entries whose terms a follower has forgotten it knows that they are committed. A late append of them is nothing new; one that
/// contradicts what it still knows of what is committed is a fault.
#[test]
fn late_append_of_forgotten_terms_is_nothing_new() {
    let config = Config { tail_bytes_max: 1, terms_max: 1, ..config() };
    let mut cluster = Cluster::with(3, config);
    for id in [1, 2, 1, 2, 1] {
        cluster.elect(id);
        cluster.propose(id, "x");
        cluster.run(3);
        cluster.step(id, Message::StepDown);
    }
    cluster.elect(2);
    cluster.run(6);
    let status = cluster.node(3).status();
    let (last, term) = (status.last.index.raw(), status.last.term);
    assert_eq!((status.commit.raw(), last), (last, 12), "the no-op of the sixth term");
    assert_eq!(cluster.node(3).term_at(LogIndex::new(last - 1)), None, "forgotten");
    let late = cluster.machine(2).read(LogIndex::new(4), LogIndex::new(7));
    let previous = Position::new(1, 3);
    cluster.say(2, 3, term, append(previous, late));
    assert_eq!(cluster.node(3).status().fault, None);
    assert_eq!(cluster.node(3).status().last, status.last);
    cluster.say(2, 3, term, append(Position::new(4, last - 1), noops(5, last, 1)));
    assert_eq!(cluster.node(3).status().fault, Some(Fault::CommittedConflict));
}
