//! Handing leadership over (Raft thesis §3.10): what the one who is to take over believes, and how it ends for whoever asked for it.

mod common;

use common::{Cluster, config, pair, server};
use raft_core::{Body, Change, Message, Outcome, Packet, Refusal, RoleKind, Suffrage};

/// Three voters, of which the first leads.
fn led() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.run(6);
    cluster.network.clear();
    cluster
}

fn role_after_timeout_now(cluster: &mut Cluster, from: u64, to: u64) -> RoleKind {
    let term = cluster.node(1).status().term;
    cluster.say(from, to, term, Body::TimeoutNow);
    cluster.node(to).status().role
}

/// Who campaigns at somebody's word does so only at its leader's, with a vote, and with a disk that works.
#[test]
fn only_the_leader_makes_a_voter_campaign() {
    let cluster = led();
    assert_eq!(role_after_timeout_now(&mut cluster.clone(), 1, 2), RoleKind::Candidate);
    assert_eq!(role_after_timeout_now(&mut cluster.clone(), 3, 2), RoleKind::Follower, "another follower");

    let mut forgot = cluster.clone();
    forgot.step(2, Message::ForgetLeader);
    assert_eq!(role_after_timeout_now(&mut forgot, 1, 2), RoleKind::Follower, "it follows nobody");

    let mut learning = cluster.clone();
    let learner = learning.join();
    learning.change(1, Change::Add(server(learner, Suffrage::Learner)));
    learning.run(12);
    assert_eq!(role_after_timeout_now(&mut learning, 1, learner), RoleKind::Follower, "it has no vote");

    let mut stalled = cluster.clone();
    stalled.machine(2).sync_at_once = false;
    stalled.propose(1, "x");
    stalled.deliver_all();
    let stalls = config().disk_stall_ticks;
    for tick in 1..=stalls {
        stalled.tick(1, 1);
        stalled.tick(2, 1);
        stalled.tick(3, 1);
        stalled.deliver_all();
        let role = if tick < stalls { RoleKind::Candidate } else { RoleKind::Follower };
        assert_eq!(role_after_timeout_now(&mut stalled.clone(), 1, 2), role, "after {tick} ticks");
    }
}

/// A transfer that somebody else than its target has won has not worked; and while nobody is known to have won it is not answered.
#[test]
fn transfer_is_answered_by_who_leads_then() {
    for (winner, outcome) in [(2, Outcome::Transferred { leader: pair(2) }), (3, Outcome::NotTransferred)] {
        let mut cluster = led();
        let transfer = cluster.transfer(1, Some(2));
        cluster.network.clear();
        for other in 2..=3 {
            cluster.step(other, Message::ForgetLeader);
        }
        cluster.tick(winner, 20);
        while cluster.node(winner).status().role != RoleKind::Leader {
            assert_eq!(cluster.outcome(transfer), None);
            let packet: Packet = cluster.network.pop_front().expect("an election is under way");
            cluster.step(packet.to.id.raw(), Message::Packet(packet));
        }
        cluster.deliver_all();
        assert_eq!(cluster.outcome(transfer), Some(outcome), "{winner} has won");
    }
}

/// Proposals are refused because of a transfer by a leader only, and only in the term whose leadership is handed over.
#[test]
fn only_a_leader_refuses_because_of_a_transfer() {
    let mut cluster = led();
    cluster.transfer(1, Some(2));
    let refused = |cluster: &mut Cluster| {
        let request = cluster.propose(1, "x");
        cluster.outcome(request)
    };
    assert_eq!(refused(&mut cluster), Some(Outcome::Refused(Refusal::Transferring { to: pair(2) })));
    // The target has asked for votes: this server follows, and does not know whom.
    cluster.deliver_one_way(1);
    cluster.deliver_one_way(2);
    assert_eq!((cluster.node(1).status().role, cluster.node(1).status().leader), (RoleKind::Follower, None));
    assert_eq!(refused(&mut cluster), Some(Outcome::Refused(Refusal::NotLeader { leader: None })));
    // And if it leads again before the transfer is given up, it leads in full.
    cluster.network.clear();
    cluster.cut.extend([(2, 1), (2, 3)]);
    cluster.step(3, Message::ForgetLeader);
    cluster.step(1, Message::Campaign);
    cluster.deliver_all();
    assert_eq!(cluster.node(1).status().role, RoleKind::Leader);
    assert_eq!(refused(&mut cluster), None);
}

/// Whoever waits for the end of a transfer is woken when it is given up, also where nothing else is due so soon.
#[test]
fn transfer_that_is_given_up_is_due() {
    let mut cluster = led();
    let transfer = cluster.transfer(1, Some(2));
    cluster.network.clear();
    for _ in 1..config().election_timeout_ticks {
        cluster.tick(1, 1);
        cluster.network.retain(|packet| packet.body != Body::TimeoutNow);
        cluster.deliver_all();
    }
    let (term, last) = (cluster.node(1).status().term, cluster.node(1).status().last);
    let term = term.next().expect("not the last");
    cluster.say(2, 1, term, Body::RequestVote { last, transfer: true });
    assert_eq!((cluster.node(1).status().leader, cluster.outcome(transfer)), (None, None));
    assert_eq!(cluster.node(1).clone().step(Message::Tick { elapsed: 0 }).sleep, Some(1));
    cluster.tick(1, 1);
    assert_eq!(cluster.outcome(transfer), Some(Outcome::NotTransferred));
}
