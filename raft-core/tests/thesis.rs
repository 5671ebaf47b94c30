//! Rules of the Raft thesis that the other tests of this folder do not hold, one test a rule, by section. (Elections are in `election`,
//! disturbance in `disturbance`, replication in `replication`, the paper's figures in `figures`.)

mod common;

use common::{Cluster, command, config, pair, plain};
use raft_core::{
    Body, LogIndex, Message, Node, Outcome, Packet, Position, Ready, Refusal, RequestId, RoleKind, Term,
};

fn role(cluster: &Cluster, id: u64) -> RoleKind {
    cluster.node(id).status().role
}

/// The appends on their way to a server: what precedes them, and the index of their last entry.
fn appends(cluster: &Cluster, to: u64) -> Vec<(Position, u64)> {
    let to_server = cluster.network.iter().filter(|packet| packet.to == pair(to));
    let append = |packet: &Packet| match &packet.body {
        Body::Append { previous, entries, .. } => {
            Some((*previous, entries.last_position().expect("never empty").index.raw()))
        }
        _ => None,
    };
    to_server.filter_map(append).collect()
}

/// §3.4: a candidate that hears from a leader of an older term does not accept it as leader: it goes on, and the old leader
/// learns the newer term.
#[test]
fn candidate_goes_on_where_a_leader_of_an_older_term_speaks() {
    let mut cluster = Cluster::with(3, plain());
    cluster.elect(1);
    cluster.tick(1, 3);
    let heartbeat = cluster.network.iter().find(|packet| packet.to == pair(2)).cloned().expect("one to each");
    cluster.network.clear();
    cluster.tick(2, 20);
    assert_eq!(role(&cluster, 2), RoleKind::Candidate);
    cluster.network.clear();
    cluster.step(2, Message::Packet(heartbeat));
    assert_eq!(role(&cluster, 2), RoleKind::Candidate);
    cluster.deliver_all();
    let old = cluster.node(1).status();
    assert_eq!((old.role, old.term), (RoleKind::Follower, Term::new(2)));
}

/// §3.4: where votes are split nobody wins; each candidate times out and begins another election, and since their timeouts differ, one
/// of them soon wins one.
#[test]
fn split_vote_is_followed_by_another_election() {
    let mut cluster = Cluster::with(4, plain());
    for id in [1, 2] {
        cluster.tick(id, 20);
    }
    // S3 votes for S1 and S4 for S2: two votes each, of four.
    cluster.cut = vec![(1, 4), (2, 3)];
    cluster.deliver_all();
    assert_eq!((role(&cluster, 1), role(&cluster, 2)), (RoleKind::Candidate, RoleKind::Candidate));
    cluster.cut.clear();
    cluster.run(100);
    let leaders: Vec<u64> = (1..=4).filter(|id| role(&cluster, *id) == RoleKind::Leader).collect();
    assert_eq!(leaders.len(), 1);
    assert!(Term::new(1) < cluster.node(leaders[0]).status().term);
}

/// §3.6.3: a server without a committed entry can not win an election, however often it tries and however new its term: every
/// majority holds a voter that has the entry.
#[test]
fn candidate_without_a_committed_entry_does_not_win() {
    let mut cluster = Cluster::with(3, plain());
    cluster.elect(1);
    cluster.cut = vec![(1, 3)];
    let request = cluster.propose(1, "x");
    cluster.deliver_all();
    assert!(matches!(cluster.outcome(request), Some(Outcome::Committed { .. })));
    cluster.cut.clear();
    for _ in 0..10 {
        cluster.tick(3, 20);
        cluster.deliver_all();
        assert_ne!(role(&cluster, 3), RoleKind::Leader);
    }
    assert!(Term::new(10) < cluster.node(2).status().term);
    cluster.tick(2, 20);
    cluster.deliver_all();
    assert_eq!(role(&cluster, 2), RoleKind::Leader, "who has it wins");
}

/// §3.7: requests have the same effect once and twice, so that who gets no answer just asks again: the node is the same afterwards, and
/// so is the answer.
#[test]
fn doubled_requests_do_nothing_more() {
    let mut cluster = Cluster::new(3);
    cluster.step(1, Message::Campaign);
    let mut kinds = Vec::new();
    while let Some(packet) = cluster.network.pop_front() {
        let to = packet.to.id.raw();
        cluster.step(to, Message::Packet(packet.clone()));
        let request = matches!(
            packet.body,
            Body::RequestPreVote { .. }
                | Body::RequestVote { .. }
                | Body::Heartbeat { .. }
                | Body::Append { .. }
        );
        if to == 3 && request {
            let (once, sent) = (cluster.node(3).clone(), cluster.network.len());
            let first = cluster.network.back().cloned();
            cluster.step(3, Message::Packet(packet.clone()));
            assert!(once == *cluster.node(3), "{packet:?}");
            let again: Vec<Packet> = cluster.network.drain(sent..).collect();
            assert_eq!(again.last(), first.as_ref(), "{packet:?}");
            let kind = core::mem::discriminant(&packet.body);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        if role(&cluster, 1) == RoleKind::Leader && cluster.node(1).status().last == Position::new(1, 2) {
            cluster.propose(1, "x");
        }
    }
    assert!(4 <= kinds.len(), "a pre-vote, a vote, a heartbeat and appends were doubled");
    assert_eq!(cluster.applied(3), ["x"]);
}

/// §3.8: term, vote and log survive a restart, and with them everything that the server has promised; what leadership and commitment were is
/// learnt anew.
#[test]
fn restart_keeps_term_vote_and_log() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.deliver_all();
    for id in 1..=3 {
        let before = cluster.node(id).status();
        cluster.restart(id);
        let after = cluster.node(id).status();
        assert_eq!((after.term, after.vote, after.last), (before.term, before.vote, before.last));
        assert_eq!((after.durable, after.role, after.leader), (before.last.index, RoleKind::Follower, None));
        assert!(after.commit <= before.commit);
    }
    assert_eq!(cluster.node(3).status().vote, Some(pair(1)));
}

/// §6.2: a server that is not the leader refuses, and names the leader if it knows one, so that clients find it.
#[test]
fn followers_name_the_leader() {
    let mut cluster = Cluster::new(3);
    for leader in [None, Some(pair(1))] {
        let request = cluster.propose(2, "x");
        assert_eq!(cluster.outcome(request), Some(Outcome::Refused(Refusal::NotLeader { leader })));
        if leader.is_none() {
            cluster.elect(1);
        }
    }
}

/// §10.2.1: appends are pipelined: once a follower has taken one, the leader sends the next without waiting for the answer to the one
/// before. §10.2.2: what comes together goes out together.
#[test]
fn appends_are_pipelined_and_batched() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for text in ["a", "b", "c"] {
        cluster.propose(1, text);
    }
    let at = |index| Position::new(1, index);
    assert_eq!(appends(&cluster, 2), [(at(2), 3), (at(3), 4), (at(4), 5)]);
    let propose = |id| Message::Propose { id: RequestId::new(id), commands: command("x").into() };
    let mut ready = Ready::default();
    let node: &mut Node = cluster.machine(1).node.as_mut().expect("runs");
    node.step_all((100..150).map(propose), &mut ready);
    cluster.network = ready.send.into();
    for id in [2, 3] {
        assert_eq!(appends(&cluster, id), [(at(5), 55)], "one append to each follower in a step");
    }
    assert_eq!(ready.write.map(|write| write.entries.len()), Some(50), "and one write");
}

/// §3.4, on request: a leader that is asked to step down does so at once, its proposals are lost, and it waits for a whole election
/// timeout; whoever does not lead or campaign is not disturbed by being asked.
#[test]
fn step_down_on_request_waits_for_an_election_timeout() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let before = cluster.node(2).clone();
    cluster.step(2, Message::StepDown);
    assert!(before == *cluster.node(2), "a follower has nothing to step down from");
    let pending = cluster.propose(1, "x");
    cluster.step(1, Message::StepDown);
    assert_eq!(role(&cluster, 1), RoleKind::Follower);
    assert!(matches!(cluster.outcome(pending), Some(Outcome::Lost { .. })));
    cluster.tick(1, config().election_timeout_ticks - 1);
    assert_eq!(role(&cluster, 1), RoleKind::Follower);
    cluster.tick(1, config().election_timeout_ticks);
    assert_eq!(role(&cluster, 1), RoleKind::PreCandidate);
    cluster.step(1, Message::StepDown);
    assert_eq!(role(&cluster, 1), RoleKind::Follower, "nor does it go on trying");
}

/// §3.5, §10.2.1: answers that come late, twice or in another order than they were sent move nothing back and commit nothing twice.
#[test]
fn reordered_and_doubled_answers_are_harmless() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let requests: Vec<_> = ["a", "b", "c"].map(|text| cluster.propose(1, text)).into();
    cluster.deliver_one_way(1);
    let answers: Vec<Packet> = cluster.network.drain(..).collect();
    assert_eq!(answers.len(), 6);
    for answer in answers.iter().rev().chain(&answers) {
        cluster.step(1, Message::Packet(answer.clone()));
    }
    // `outcome` sees to it that each is answered once.
    assert!(requests.iter().all(|id| matches!(cluster.outcome(*id), Some(Outcome::Committed { .. }))));
    assert!(appends(&cluster, 2).is_empty(), "nothing is sent again");
    assert_eq!(cluster.node(1).status().commit, LogIndex::new(5));
}
