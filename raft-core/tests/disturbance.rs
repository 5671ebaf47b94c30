//! What keeps a leader from being disturbed, and a cluster from keeping a useless one: pre-vote (Raft thesis §9.6), leader
//! stickiness (§4.2.3), check-quorum (§6.2), and requests to campaign, step down and forget.

mod common;

use common::{Cluster, config, pair};
use raft_core::{Body, Message, Node, Outcome, Packet, RequestId, RoleKind, Term};

fn term(cluster: &Cluster, id: u64) -> u64 {
    cluster.node(id).status().term.raw()
}

fn role(cluster: &Cluster, id: u64) -> RoleKind {
    cluster.node(id).status().role
}

/// Cuts a server off from all others, both ways.
fn isolate(cluster: &mut Cluster, id: u64) {
    for other in 1..=cluster.machines.len() as u64 {
        cluster.cut.extend([(id, other), (other, id)]);
    }
}

/// §9.6: a server that was cut off comes back without having raised its term, and the leader stays.
#[test]
fn returning_server_does_not_disturb() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let before = term(&cluster, 1);
    isolate(&mut cluster, 3);
    cluster.run(200);
    assert_eq!(role(&cluster, 3), RoleKind::PreCandidate);
    assert_eq!(term(&cluster, 3), before);
    cluster.cut.clear();
    cluster.run(20);
    assert_eq!((role(&cluster, 1), role(&cluster, 3)), (RoleKind::Leader, RoleKind::Follower));
    assert_eq!(term(&cluster, 1), before);
}

/// B5: being asked for a pre-vote changes neither term, vote nor timer, whatever the answer.
#[test]
fn pre_vote_changes_nothing_at_the_voter() {
    let mut cluster = Cluster::new(3);
    cluster.tick(1, 20);
    assert_eq!(role(&cluster, 1), RoleKind::PreCandidate);
    let before = cluster.node(2).clone();
    let requests: Vec<Packet> = cluster.network.drain(..).collect();
    assert_eq!(requests.len(), 2);
    for request in requests {
        cluster.step(request.to.id.raw(), Message::Packet(request));
    }
    assert_eq!(*cluster.node(2), before);
    assert!(cluster.network.iter().all(|packet| matches!(packet.body, Body::PreVote { granted: true, .. })));
}

/// §4.2.3: who hears a leader refuses, until it has heard nothing for the shortest election timeout.
#[test]
fn pre_vote_is_refused_while_the_leader_is_heard() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.run(3);
    for (silence, granted) in [(9, false), (1, true)] {
        cluster.tick(2, silence);
        cluster.network.clear();
        let mut other = cluster.clone();
        other.step(3, Message::Campaign);
        let request = other.network.iter().find(|packet| packet.to == pair(2)).cloned().expect("asks all");
        other.step(2, Message::Packet(request));
        let answer =
            other.network.iter().find(|packet| packet.from == pair(2)).expect("every request is answered");
        assert!(
            matches!(answer.body, Body::PreVote { granted: now, .. } if now == granted),
            "after {silence} more"
        );
    }
}

/// A server that is in no configuration keeps time too: after an election timeout it no longer claims to hear a leader.
#[test]
fn server_without_a_vote_forgets_a_silent_leader() {
    let mut cluster = Cluster::new(3);
    let machine = cluster.machine(3);
    machine.crash();
    machine.disk.clear();
    machine.start();
    cluster.cut = vec![(1, 3)];
    cluster.elect(1);
    let heartbeat = Body::Heartbeat { round: raft_core::Round::new(1), commit: raft_core::LogIndex::ZERO };
    cluster.say(1, 3, Term::new(1), heartbeat);
    for (silence, granted) in [(9, false), (1, true)] {
        cluster.tick(3, silence);
        let mut other = cluster.clone();
        other.network.clear();
        other.step(2, Message::Campaign);
        let request = other.network.iter().find(|packet| packet.to == pair(3)).cloned().expect("asks all");
        other.step(3, Message::Packet(request));
        let answer = other.network.iter().find(|packet| packet.from == pair(3)).expect("answers");
        assert!(matches!(answer.body, Body::PreVote { granted: now, .. } if now == granted));
    }
}

/// B6: a server that is refused because its term is old learns the newer one from the refusal, and can win then.
#[test]
fn refused_pre_candidate_learns_the_newer_term() {
    let mut cluster = Cluster::new(3);
    isolate(&mut cluster, 3);
    cluster.elect(1);
    cluster.step(1, Message::StepDown);
    cluster.elect(1);
    assert_eq!((term(&cluster, 1), term(&cluster, 3)), (2, 0));
    cluster.cut = vec![(1, 2), (2, 1)];
    cluster.step(3, Message::Campaign);
    cluster.deliver_all();
    assert_eq!(term(&cluster, 3), 2);
    assert_eq!(role(&cluster, 3), RoleKind::Follower, "it follows, or waits; its log is behind");
}

/// B4: an answer to an earlier attempt counts for nothing.
#[test]
fn pre_votes_of_an_earlier_attempt_do_not_count() {
    let mut cluster = Cluster::new(5);
    cluster.tick(1, 20);
    cluster.deliver_one_way(1);
    let first: Vec<Packet> = cluster.network.drain(..).collect();
    assert_eq!(first.len(), 4);
    cluster.tick(1, 20);
    cluster.network.clear();
    for answer in first {
        cluster.step(1, Message::Packet(answer));
    }
    assert_eq!(role(&cluster, 1), RoleKind::PreCandidate);
}

/// C3: a leader that hears no quorum for an election timeout steps down; so a cluster of two with a dead follower takes no
/// more proposals.
#[test]
fn leader_without_a_quorum_steps_down() {
    let mut cluster = Cluster::new(2);
    cluster.elect(1);
    let pending = cluster.propose(1, "x");
    cluster.network.clear();
    cluster.machine(2).crash();
    for _ in 0..config().election_timeout_ticks - 1 {
        cluster.tick(1, 1);
    }
    assert_eq!(role(&cluster, 1), RoleKind::Leader);
    // At the latest when heartbeats are due again.
    for _ in 0..config().heartbeat_ticks {
        cluster.tick(1, 1);
    }
    assert_eq!(role(&cluster, 1), RoleKind::Follower);
    assert!(matches!(cluster.outcome(pending), Some(Outcome::Lost { .. })));
    let refused = cluster.propose(1, "y");
    assert!(matches!(cluster.outcome(refused), Some(Outcome::Refused(_))));
}

/// A leader that is ticked as rarely as it asks to be steps down in the same tick as one that is ticked every time: the sleep that it
/// announces ends when its quorum is looked at.
#[test]
fn leader_that_sleeps_as_told_steps_down_like_one_that_does_not() {
    let until_it_steps_down = |node: &mut Node, mut sleep: u32, as_told: bool| {
        let mut passed = 0;
        while node.status().role == RoleKind::Leader {
            let elapsed = if as_told { sleep } else { 1 };
            passed += elapsed;
            sleep = node.step(Message::Tick { elapsed }).sleep.expect("something is due");
        }
        passed
    };
    for first in 1..config().election_timeout_ticks {
        let mut cluster = Cluster::new(3);
        cluster.elect(1);
        let node = cluster.machine(1).node.as_mut().expect("runs");
        let sleep = node.step(Message::Tick { elapsed: first }).sleep.expect("something is due");
        let mut other = node.clone();
        let (told, all) =
            (until_it_steps_down(node, sleep, true), until_it_steps_down(&mut other, sleep, false));
        assert_eq!(told, all, "after a first tick of {first}");
    }
}

/// A leader that a quorum answers stays, however long.
#[test]
fn leader_with_a_quorum_stays() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    isolate(&mut cluster, 4);
    isolate(&mut cluster, 5);
    cluster.run(500);
    assert_eq!((role(&cluster, 1), term(&cluster, 1)), (RoleKind::Leader, 1));
}

/// B11: a bridge. S1 leads and is seen by S5 only, which sees everybody: S2, S3, S4 and S5 are a connected majority, and
/// must not be kept from electing by the heartbeats that S5 hears.
#[test]
fn bridge_partition_resolves() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    for other in 2..=4 {
        cluster.cut.extend([(1, other), (other, 1)]);
    }
    cluster.run(100);
    let leaders: Vec<u64> = (1..=5).filter(|id| role(&cluster, *id) == RoleKind::Leader).collect();
    assert_eq!(leaders.len(), 1);
    assert_ne!(leaders[0], 1);
    let request = cluster.propose(leaders[0], "x");
    cluster.deliver_all();
    assert!(matches!(cluster.outcome(request), Some(Outcome::Committed { .. })));
}

/// C13: a server campaigns on request, and wins if nobody hears a leader; a leader and a server without vote do not.
#[test]
fn campaign_on_request() {
    let mut cluster = Cluster::new(3);
    cluster.step(2, Message::Campaign);
    cluster.deliver_all();
    assert_eq!(role(&cluster, 2), RoleKind::Leader);
    cluster.step(2, Message::Campaign);
    assert_eq!((role(&cluster, 2), term(&cluster, 2)), (RoleKind::Leader, 1));
    cluster.step(3, Message::Campaign);
    cluster.deliver_all();
    assert_eq!(role(&cluster, 2), RoleKind::Leader, "the leader is alive and the others know it");
}

/// C13: who forgot its leader does not refuse pre-votes for its sake.
#[test]
fn forgotten_leader_is_no_reason_to_refuse() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.step(2, Message::ForgetLeader);
    assert_eq!(cluster.node(2).status().leader, None);
    cluster.step(3, Message::Campaign);
    cluster.deliver_all();
    assert_eq!(role(&cluster, 3), RoleKind::Leader);
}

/// Transfers. §3.10: the leader brings the target up to date, then tells it to begin an election at once.
#[test]
fn transfer_moves_leadership() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let late = cluster.propose(1, "x");
    let transfer = cluster.transfer(1, Some(3));
    assert!(cluster.network.iter().all(|packet| packet.body != Body::TimeoutNow), "S3 does not have x yet");
    let refused = cluster.propose(1, "y");
    assert!(matches!(cluster.outcome(refused), Some(Outcome::Refused(_))));
    cluster.deliver_all();
    assert_eq!(role(&cluster, 3), RoleKind::Leader);
    assert_eq!(cluster.outcome(transfer), Some(Outcome::Transferred { leader: pair(3) }));
    assert!(matches!(cluster.outcome(late), Some(Outcome::Committed { .. })));
}

/// The answer comes also where the old leader, in the new term, has nothing else to wait for: its disk stands still.
#[test]
fn transfer_is_answered_by_a_server_with_a_stalled_disk() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let transfer = cluster.transfer(1, Some(3));
    cluster.machine(1).sync_at_once = false;
    cluster.cut = vec![(3, 1)];
    cluster.deliver_all();
    cluster.say(3, 1, Term::new(2), Body::NewerTerm);
    let node = cluster.machine(1).node.as_mut().expect("runs");
    let sleep = node.step(Message::Tick { elapsed: 0 }).sleep.expect("an answer is due");
    assert!(sleep <= config().election_timeout_ticks);
    cluster.tick(1, sleep);
    assert_eq!(cluster.outcome(transfer), Some(Outcome::NotTransferred));
}

/// To nobody in particular: the voter with the most of the log.
#[test]
fn transfer_chooses_the_most_up_to_date() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut = vec![(1, 2)];
    cluster.propose(1, "x");
    cluster.deliver_all();
    cluster.cut.clear();
    let transfer = cluster.transfer(1, None);
    cluster.deliver_all();
    assert_eq!(cluster.outcome(transfer), Some(Outcome::Transferred { leader: pair(3) }));
}

/// B37: given up after an election timeout; the leader takes proposals again.
#[test]
fn transfer_to_a_dead_server_is_given_up() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.machine(3).crash();
    let transfer = cluster.transfer(1, Some(3));
    cluster.run(config().election_timeout_ticks);
    assert_eq!(cluster.outcome(transfer), Some(Outcome::NotTransferred));
    let request = cluster.propose(1, "x");
    cluster.deliver_all();
    assert!(matches!(cluster.outcome(request), Some(Outcome::Committed { .. })));
}

/// B37: a transfer does not outlive the leadership that it was to hand over.
#[test]
fn transfer_ends_with_the_leadership() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut = vec![(1, 3)];
    let transfer = cluster.transfer(1, Some(3));
    cluster.step(1, Message::StepDown);
    assert_eq!(cluster.outcome(transfer), Some(Outcome::NotTransferred));
}

#[test]
fn transfer_to_nobody_is_refused() {
    let mut cluster = Cluster::new(3);
    let refusal = |cluster: &mut Cluster, to| {
        let id: RequestId = cluster.transfer(1, to);
        matches!(cluster.outcome(id), Some(Outcome::Refused(_)))
    };
    assert!(refusal(&mut cluster, Some(2)), "not leader");
    cluster.elect(1);
    assert!(refusal(&mut cluster, Some(1)), "itself");
    assert!(refusal(&mut cluster, Some(9)), "a stranger");
    assert!(!refusal(&mut cluster, Some(2)));
    assert!(refusal(&mut cluster, Some(3)), "one at a time");
}

/// A late `TimeoutNow`, of a term that is over, starts nothing.
#[test]
fn late_timeout_now_starts_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.transfer(1, Some(3));
    let late =
        cluster.network.iter().find(|packet| packet.body == Body::TimeoutNow).cloned().expect("S3 has all");
    cluster.network.clear();
    cluster.elect(2);
    let before = cluster.node(3).clone();
    cluster.step(3, Message::Packet(late));
    assert_eq!(*cluster.node(3), before);
    assert_eq!(before.status().term, Term::new(2));
}

/// What a follower has verified is a fact about the term: it loses sight of its leader, finds it again in the same term,
/// and still knows how far their logs agree, although nothing new is sent.
#[test]
fn follower_that_finds_its_leader_again_commits_while_idle() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "x");
    cluster.step(3, Message::Tick { elapsed: 0 });
    // S3 takes the entry, but no news of the commit index, and then hears nothing until it is a pre-candidate.
    while let Some(packet) = cluster.network.pop_front() {
        if !(packet.to == pair(3) && matches!(packet.body, Body::Commit { .. })) {
            cluster.step(packet.to.id.raw(), Message::Packet(packet));
        }
    }
    cluster.tick(3, 20);
    assert_eq!(role(&cluster, 3), RoleKind::PreCandidate);
    cluster.network.clear();
    assert_eq!(cluster.applied(3), [""; 0]);
    for _ in 0..4 {
        cluster.tick(1, 3);
        cluster.deliver_all();
    }
    assert_eq!(cluster.applied(3), ["x"]);
}
