//! Membership changes (Raft thesis chapter 4): one server at a time directly, anything more through a joint configuration, and
//! what keeps each of them safe.

mod common;

use common::{Cluster, config, pair, server, voters};
use raft_core::{
    Body, Change, Config, Event, Incarnation, MembershipError, Message, NodeId, Outcome, Packet, Pair,
    Position, Refusal, RequestId, RoleKind, Suffrage,
};

fn id(id: u64) -> NodeId {
    NodeId::new(id).expect("not zero")
}

/// Three founders with a leader, the first, and two more servers with empty disks.
fn three_and_two() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.run(10);
    cluster.join();
    cluster.join();
    cluster
}

fn role(cluster: &Cluster, id: u64) -> RoleKind {
    cluster.node(id).status().role
}

fn leaders(cluster: &Cluster) -> Vec<u64> {
    let runs = |id: &u64| cluster.machines[*id as usize - 1].node.is_some();
    let all = 1..=cluster.machines.len() as u64;
    all.filter(|id| runs(id) && role(cluster, *id) == RoleKind::Leader).collect()
}

fn members(cluster: &Cluster, id: u64) -> Vec<u64> {
    let membership = cluster.node(id).membership().expect("it knows its cluster");
    assert!(!membership.is_joint(), "server {id} knows {membership:?}");
    membership.servers().iter().map(|server| server.pair.id.raw()).collect()
}

fn is_committed(cluster: &Cluster, request: RequestId) -> bool {
    matches!(cluster.outcome(request), Some(Outcome::Committed { .. }))
}

fn refusal(cluster: &Cluster, request: RequestId) -> Refusal {
    match cluster.outcome(request) {
        Some(Outcome::Refused(refusal)) => refusal,
        other => panic!("{other:?} is no refusal"),
    }
}

/// Packets between this server and all others are lost.
fn isolate(cluster: &mut Cluster, id: u64) {
    for other in (1..=cluster.machines.len() as u64).filter(|other| *other != id) {
        cluster.cut.extend([(id, other), (other, id)]);
    }
}

/// How many configurations this server has been told of.
fn configurations(cluster: &Cluster, id: u64) -> Vec<bool> {
    let events = cluster.machines[id as usize - 1].events.iter();
    let joint = |event: &Event| match event {
        Event::Membership { membership, .. } => Some(membership.is_joint()),
        _ => None,
    };
    events.filter_map(joint).collect()
}

/// §4.1, §4.2.1: a server is added as a learner, gets the log, and is promoted; each in one entry, in force at once.
#[test]
fn server_is_added_as_a_learner_and_promoted() {
    let mut cluster = three_and_two();
    let before = cluster.propose(1, "before");
    cluster.run(10);
    let added = cluster.change(1, Change::Add(server(4, Suffrage::Learner)));
    assert_eq!(members(&cluster, 1), [1, 2, 3, 4], "in force when it is appended");
    assert_eq!(cluster.outcome(added), None);
    cluster.run(20);
    assert!(is_committed(&cluster, before) && is_committed(&cluster, added));
    assert_eq!(cluster.applied(4), ["before"]);
    assert!(!cluster.node(4).membership().expect("known").is_voter(pair(4)));
    let promoted = cluster.change(1, Change::Promote(id(4)));
    cluster.run(20);
    assert!(is_committed(&cluster, promoted));
    assert!(cluster.node(4).membership().expect("known").is_voter(pair(4)));
    assert!(configurations(&cluster, 4).iter().all(|joint| !joint), "never joint");
    // It counts: with two of the four gone nothing commits.
    isolate(&mut cluster, 2);
    isolate(&mut cluster, 3);
    let stuck = cluster.propose(1, "stuck");
    cluster.run(5);
    assert_eq!(cluster.outcome(stuck), None);
}

/// §4.3: where more than one vote changes there is a joint configuration first, which is left without anyone asking.
#[test]
fn several_servers_change_through_a_joint_configuration() {
    let mut cluster = three_and_two();
    let changed = cluster.change(1, Change::Set(voters([1, 4, 5])));
    let joint = cluster.node(1).membership().expect("known").clone();
    assert!(joint.is_joint());
    assert_eq!(joint.members().map(|server| server.pair.id.raw()).collect::<Vec<_>>(), [1, 4, 5, 2, 3]);
    cluster.run(30);
    let Some(Outcome::Committed { first, last }) = cluster.outcome(changed) else {
        panic!("{:?}", cluster.outcome(changed))
    };
    assert_eq!(last.index, first.index.next(), "the joint configuration, and the one that it led to");
    for server in [1, 4, 5] {
        assert_eq!(members(&cluster, server), [1, 4, 5]);
        assert_eq!(configurations(&cluster, server).last_chunk(), Some(&[true, false]));
    }
    isolate(&mut cluster, 2);
    isolate(&mut cluster, 3);
    let after = cluster.propose(1, "after");
    cluster.run(10);
    assert!(is_committed(&cluster, after), "the old servers are not needed any more");
}

/// §4.3: while a configuration is joint, a majority of one half decides nothing.
#[test]
fn joint_configuration_needs_a_majority_of_each_half() {
    for (cut, half) in [([4, 5], "the incoming half"), ([2, 3], "the outgoing half")] {
        let mut cluster = three_and_two();
        cut.iter().for_each(|server| isolate(&mut cluster, *server));
        let changed = cluster.change(1, Change::Set(voters([1, 4, 5])));
        let proposed = cluster.propose(1, "in between");
        // Shorter than it takes the leader to notice that it has lost its quorum.
        cluster.run(8);
        assert_eq!((cluster.outcome(changed), cluster.outcome(proposed)), (None, None), "without {half}");
        cluster.cut.clear();
        cluster.run(60);
        assert_eq!(leaders(&cluster).len(), 1, "without {half}, and with it again");
        for request in [changed, proposed] {
            let outcome = cluster.outcome(request);
            assert!(matches!(outcome, Some(Outcome::Committed { .. } | Outcome::Lost { .. })), "{outcome:?}");
        }
    }
}

/// §4.3: no election is won in a joint configuration without a majority of each half.
#[test]
fn election_in_a_joint_configuration_needs_each_half() {
    let mut cluster = three_and_two();
    isolate(&mut cluster, 1);
    cluster.cut.retain(|cut| *cut != (1, 2) && *cut != (2, 1));
    cluster.change(1, Change::Set(voters([1, 4, 5])));
    cluster.deliver_all();
    assert!(cluster.node(2).membership().expect("known").is_joint());
    cluster.cut.clear();
    // Two and three are a majority of the outgoing half, and nobody of the incoming half hears them.
    for other in [1, 4, 5] {
        isolate(&mut cluster, other);
    }
    let told = cluster.machines[1].events.len();
    cluster.run(200);
    let roles = |kind| {
        let is = move |event: &&Event| matches!(event, Event::Role { role, .. } if *role == kind);
        cluster.machines[1].events[told..].iter().filter(is).count()
    };
    assert!(0 < roles(RoleKind::PreCandidate), "it tries");
    assert_eq!(roles(RoleKind::Leader), 0, "and knows of the joint configuration");
    cluster.cut.clear();
    cluster.run(200);
    assert_eq!(leaders(&cluster).len(), 1);
}

/// B32: no change before an entry of the leader's own term has committed.
#[test]
fn change_waits_for_the_first_commit_of_the_term() {
    let mut cluster = three_and_two();
    cluster.elect(2);
    cluster.cut.extend([(1, 2), (3, 2)]);
    cluster.step(2, Message::StepDown);
    cluster.cut.clear();
    cluster.elect(3);
    // Elected, and nothing it has appended has come back yet.
    let mut fresh = cluster.clone();
    for other in [1, 3] {
        fresh.step(other, Message::ForgetLeader);
    }
    fresh.tick(2, 20);
    while role(&fresh, 2) != RoleKind::Leader {
        let packet: Packet = fresh.network.pop_front().expect("an election is under way");
        fresh.step(packet.to.id.raw(), Message::Packet(packet));
    }
    let early = fresh.change(2, Change::Add(server(4, Suffrage::Voter)));
    assert_eq!(refusal(&fresh, early), Refusal::TermNotCommitted);
    fresh.deliver_all();
    let later = fresh.change(2, Change::Add(server(4, Suffrage::Voter)));
    fresh.run(20);
    assert!(is_committed(&fresh, later));
}

/// §4.1: one change at a time, and a refused one leaves no trace.
#[test]
fn second_change_waits_for_the_first() {
    let mut cluster = three_and_two();
    let first = cluster.change(1, Change::Add(server(4, Suffrage::Voter)));
    let index = cluster.node(1).membership_index();
    let before = cluster.node(1).clone();
    let second = cluster.change(1, Change::Add(server(5, Suffrage::Voter)));
    assert_eq!(refusal(&cluster, second), Refusal::ChangeUnderWay { index });
    assert_eq!(*cluster.node(1), before);
    cluster.run(20);
    assert!(is_committed(&cluster, first));
    let third = cluster.change(1, Change::Add(server(5, Suffrage::Voter)));
    cluster.run(20);
    assert!(is_committed(&cluster, third));
    assert_eq!(members(&cluster, 5), [1, 2, 3, 4, 5]);
}

/// M8, M13: what can not be is refused by name, and what is so already is no change.
#[test]
fn impossible_and_idle_changes_are_told_apart() {
    let mut cluster = three_and_two();
    let index = cluster.node(1).membership_index();
    let mut ask = |change| {
        let request = cluster.change(1, change);
        cluster.outcome(request).expect("answered at once")
    };
    assert_eq!(ask(Change::Set(voters([1, 2, 3]))), Outcome::Unchanged { index });
    assert_eq!(ask(Change::Promote(id(2))), Outcome::Unchanged { index });
    assert_eq!(ask(Change::Add(server(2, Suffrage::Voter))), Outcome::Unchanged { index });
    assert_eq!(ask(Change::Remove(id(9))), Outcome::Unchanged { index }, "it is not there already");
    assert_eq!(ask(Change::Demote(id(9))), Outcome::Refused(Refusal::NoSuchServer(id(9))));
    let invalid = |error| Outcome::Refused(Refusal::Membership(error));
    assert_eq!(ask(Change::Set(vec![])), invalid(MembershipError::NoVoter));
    let mut twin = server(4, Suffrage::Voter);
    twin.raft_address = "raft2".into();
    assert_eq!(ask(Change::Add(twin)), invalid(MembershipError::DuplicateAddress(id(2), id(4))));
    let other = cluster.change_based_on(1, Change::Remove(id(3)), Some(index.next()));
    assert_eq!(refusal(&cluster, other), Refusal::Outdated { index });
    let elsewhere = cluster.change(2, Change::Remove(id(3)));
    assert_eq!(refusal(&cluster, elsewhere), Refusal::NotLeader { leader: Some(pair(1)) });
    let same = cluster.change_based_on(1, Change::Remove(id(3)), Some(index));
    cluster.run(20);
    assert!(is_committed(&cluster, same));
}

/// §4.1: a configuration that is cut off was never in force; who lost its leadership says so of the change.
#[test]
fn truncated_configuration_is_undone() {
    let mut cluster = three_and_two();
    isolate(&mut cluster, 1);
    let lost = cluster.change(1, Change::Remove(id(3)));
    assert_eq!(members(&cluster, 1), [1, 2]);
    cluster.run(60);
    cluster.cut.clear();
    cluster.run(60);
    assert!(matches!(cluster.outcome(lost), Some(Outcome::Lost { .. })), "{:?}", cluster.outcome(lost));
    for server in 1..=3 {
        assert_eq!(members(&cluster, server), [1, 2, 3]);
    }
    let after = cluster.machines[0].events.iter().rev().find_map(|event| match event {
        Event::Membership { membership, .. } => Some(membership.servers().len()),
        _ => None,
    });
    assert_eq!(after, Some(3), "the old configuration is in force again, and that is told");
}

/// B35: whoever leads leaves a joint configuration, also one that another leader has appended.
#[test]
fn next_leader_leaves_the_joint_configuration() {
    let mut cluster = three_and_two();
    let lost = cluster.change(1, Change::Set(voters([2, 3, 4])));
    // The others have the joint configuration, and their leader is gone before it hears so.
    cluster.deliver_one_way(1);
    cluster.network.clear();
    cluster.machine(1).crash();
    cluster.run(100);
    for server in [2, 3, 4] {
        assert_eq!(members(&cluster, server), [2, 3, 4]);
    }
    for server in [2, 3] {
        assert_eq!(configurations(&cluster, server), [true, false]);
    }
    assert_eq!(cluster.outcome(lost), None, "who would answer is gone");
}

/// B36, §4.2.2: a leader that is removed leads until that has committed, without counting itself, and then somebody else does.
#[test]
fn removed_leader_leads_on_and_then_steps_down() {
    let mut cluster = three_and_two();
    cluster.cut.extend([(2, 1), (3, 1)]);
    let removed = cluster.change(1, Change::Remove(id(1)));
    let command = cluster.propose(1, "led on");
    cluster.cut.retain(|cut| *cut != (2, 1));
    cluster.run(5);
    assert_eq!(role(&cluster, 1), RoleKind::Leader);
    assert_eq!(cluster.outcome(removed), None, "one of two is no majority, whatever the leader has itself");
    cluster.cut.clear();
    cluster.run(6);
    assert!(is_committed(&cluster, removed) && is_committed(&cluster, command));
    assert_eq!(role(&cluster, 1), RoleKind::Follower);
    let heir = [2, 3].into_iter().find(|id| role(&cluster, *id) == RoleKind::Leader);
    assert!(heir.is_some(), "it was told to take over, and did not wait for a timeout");
    cluster.run(100);
    assert_eq!(role(&cluster, 1), RoleKind::Follower, "it does not campaign");
    let after = cluster.propose(heir.expect("seen"), "after");
    cluster.run(10);
    assert!(is_committed(&cluster, after));
}

/// B43, B36: what waited for a larger quorum commits when the quorum shrinks.
#[test]
fn smaller_quorum_commits_what_waited() {
    let mut cluster = Cluster::new(2);
    cluster.elect(1);
    cluster.run(10);
    isolate(&mut cluster, 2);
    let waiting = cluster.propose(1, "waiting");
    cluster.run(2);
    assert_eq!(cluster.outcome(waiting), None);
    let removed = cluster.change(1, Change::Remove(id(2)));
    assert!(is_committed(&cluster, waiting) && is_committed(&cluster, removed));
}

/// B37: a transfer ends when its target loses its vote.
#[test]
fn transfer_ends_when_its_target_is_removed() {
    let mut cluster = three_and_two();
    cluster.change(1, Change::Set(voters([1, 4, 5])));
    isolate(&mut cluster, 3);
    let transfer = cluster.transfer(1, Some(3));
    assert_eq!(cluster.outcome(transfer), None, "while it is joint, the third server has a vote");
    cluster.run(6);
    assert_eq!(members(&cluster, 1), [1, 4, 5]);
    assert_eq!(cluster.outcome(transfer), Some(Outcome::NotTransferred));
    let taken = cluster.propose(1, "taken again");
    cluster.run(10);
    assert!(is_committed(&cluster, taken));
}

/// B38, M6, M7: who is removed is told, campaigns no more, still answers, and comes back when it is added again.
#[test]
fn removed_server_is_told_and_can_come_back() {
    let mut cluster = three_and_two();
    isolate(&mut cluster, 3);
    let removed = cluster.change(1, Change::Remove(id(3)));
    cluster.run(20);
    assert!(is_committed(&cluster, removed));
    let index = cluster.node(1).membership_index();
    assert_eq!(role(&cluster, 3), RoleKind::PreCandidate, "it has not heard of it");
    cluster.cut.clear();
    cluster.run(10);
    let told = |cluster: &Cluster| cluster.machines[2].events.contains(&Event::Removed { index });
    assert!(told(&cluster), "{:?}", cluster.machines[2].events);
    assert_eq!(role(&cluster, 3), RoleKind::Follower);
    let term = cluster.node(3).status().term;
    cluster.run(200);
    assert_eq!((role(&cluster, 3), cluster.node(3).status().term), (RoleKind::Follower, term));
    assert_eq!(role(&cluster, 1), RoleKind::Leader, "and disturbs nobody (M12)");
    // It answers: who has not heard of the removal may need its vote.
    let last = cluster.node(2).status().last;
    let body = Body::RequestVote { last, transfer: false };
    cluster.say(2, 3, term.next().expect("not the last"), body);
    assert!(cluster.network.iter().any(|packet| matches!(packet.body, Body::Vote { granted: true, .. })));
    cluster.network.clear();
    cluster.run(60);
    // Back again, as itself, and a late word of the old removal changes nothing.
    let leader = (1..=2).find(|id| role(&cluster, *id) == RoleKind::Leader).expect("one of two leads");
    let back = cluster.change(leader, Change::Add(server(3, Suffrage::Voter)));
    cluster.run(30);
    assert!(is_committed(&cluster, back));
    let before = cluster.node(3).clone();
    let term = cluster.node(leader).status().term;
    let last = Position { term: cluster.node(leader).term_at(index).expect("known"), index };
    cluster.say(leader, 3, term, Body::Removed { last });
    assert_eq!(*cluster.node(3), before);
    for other in 1..=2 {
        cluster.machine(other).crash();
        cluster.machine(other).start();
    }
    cluster.elect(3);
}

/// M9: another address is one entry, and no vote changes.
#[test]
fn address_changes_without_any_vote() {
    let mut cluster = three_and_two();
    let (raft_address, client_address) = ("elsewhere".to_owned(), String::new());
    let moved = cluster.change(1, Change::Readdress { id: id(2), raft_address, client_address });
    cluster.run(20);
    assert!(is_committed(&cluster, moved));
    let membership = cluster.node(3).membership().expect("known");
    assert_eq!(membership.server(pair(2)).expect("a member").raft_address, "elsewhere");
    assert_eq!(configurations(&cluster, 3), [false], "not joint");
}

/// M14, B39: a server whose disk was wiped is a stranger that nobody counts, until one change puts it in the old one's place.
#[test]
fn wiped_server_is_replaced_by_one_change() {
    let mut cluster = three_and_two();
    let proposed = cluster.propose(1, "before");
    cluster.run(10);
    assert!(is_committed(&cluster, proposed));
    let wiped = Pair { incarnation: Incarnation::new(0xbeef), ..pair(3) };
    cluster.machine(3).identity.pair = wiped;
    cluster.machine(3).wipe();
    cluster.run(10);
    assert!(cluster.applied(3).is_empty(), "what is sent to the old pair is not for this one");
    // As a learner first, so that it does not count before it has the log; then with a vote.
    let mut stranger = server(3, Suffrage::Learner);
    stranger.pair = wiped;
    let replaced = cluster.change(1, Change::Add(stranger));
    assert!(!cluster.node(1).membership().expect("known").is_joint(), "one vote less is one change");
    cluster.run(20);
    let promoted = cluster.change(1, Change::Promote(id(3)));
    cluster.run(20);
    assert!(is_committed(&cluster, replaced) && is_committed(&cluster, promoted));
    assert_eq!(cluster.applied(3), ["before"]);
    // At once it is two votes that change: the old one and the new one.
    let second = Pair { incarnation: Incarnation::new(0xfeed), ..pair(2) };
    cluster.machine(2).identity.pair = second;
    cluster.machine(2).wipe();
    let mut stranger = server(2, Suffrage::Voter);
    stranger.pair = second;
    let replaced = cluster.change(1, Change::Add(stranger));
    assert!(cluster.node(1).membership().expect("known").is_joint());
    cluster.run(40);
    assert!(is_committed(&cluster, replaced));
    assert_eq!(cluster.applied(2), ["before"]);
}

/// From one founder to seven servers, all of them replaced one by one, and down to three others, with a command in between
/// each time.
#[test]
fn cluster_grows_is_replaced_and_shrinks() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    for _ in 2..=14 {
        cluster.join();
    }
    let mut expected = Vec::new();
    let mut change = |cluster: &mut Cluster, what: Change| {
        let leader = |cluster: &Cluster| (1..=14).find(|id| role(cluster, *id) == RoleKind::Leader);
        for _ in 0..200 {
            if leader(cluster).is_some() {
                break;
            }
            cluster.run(1);
        }
        let leader = leader(cluster).expect("somebody leads before long");
        let text = format!("{}", expected.len());
        let (proposed, changed) = (cluster.propose(leader, &text), cluster.change(leader, what));
        cluster.run(40);
        assert!(is_committed(cluster, changed), "{text}: {:?}", cluster.outcome(changed));
        assert!(is_committed(cluster, proposed), "{text}: {:?}", cluster.outcome(proposed));
        expected.push(text);
    };
    for new in 2..=7 {
        change(&mut cluster, Change::Add(server(new, Suffrage::Voter)));
    }
    for (old, new) in (1..=7).zip(8..=14) {
        change(&mut cluster, Change::Add(server(new, Suffrage::Learner)));
        change(&mut cluster, Change::Promote(id(new)));
        change(&mut cluster, Change::Remove(id(old)));
    }
    change(&mut cluster, Change::Set(voters([8, 11, 14])));
    cluster.run(50);
    for server in [8, 11, 14] {
        assert_eq!(members(&cluster, server), [8, 11, 14]);
        assert_eq!(cluster.applied(server), expected);
    }
    assert_eq!((1..=7).filter(|id| role(&cluster, *id) == RoleKind::Leader).count(), 0);
}

/// M1: what is in force after a restart is what the log says, committed or not, joint or not (B33).
#[test]
fn configuration_in_force_survives_a_restart() {
    let mut cluster = three_and_two();
    cluster.deliver_all();
    cluster.change(1, Change::Set(voters([1, 4, 5])));
    let in_force = cluster.node(1).membership().expect("known").clone();
    assert!(in_force.is_joint());
    for tail in [None, Some(1)] {
        let mut restarted = cluster.clone();
        restarted.machine(1).tail_entries = tail;
        restarted.restart(1);
        assert_eq!(restarted.node(1).membership(), Some(&in_force));
        assert_eq!(restarted.node(1).membership_index(), cluster.node(1).membership_index());
    }
}

/// A change is taken where a proposal is refused for lack of room: with what is stuck it may be what helps.
#[test]
fn change_is_not_refused_for_lack_of_room() {
    let mut cluster = Cluster::with(3, Config { proposals_max: 1, uncommitted_bytes_max: 100, ..config() });
    cluster.elect(1);
    cluster.run(10);
    let waiting = cluster.propose(1, "waits");
    let busy = cluster.propose(1, "finds no room");
    assert_eq!(refusal(&cluster, busy), Refusal::Busy);
    let changed = cluster.change(1, Change::Demote(id(3)));
    cluster.run(20);
    assert!(is_committed(&cluster, waiting) && is_committed(&cluster, changed));
    assert_eq!(cluster.applied(3), ["waits"], "a learner receives the log");
}

/// §4.2.2: who has taken its own vote away, and then lost its leadership before anybody heard of that, still campaigns, without
/// counting itself: nobody else may be able to win.
#[test]
fn leader_whose_removal_is_not_committed_campaigns_again() {
    for demoted in [false, true] {
        let mut cluster = Cluster::new(2);
        cluster.elect(1);
        cluster.run(10);
        isolate(&mut cluster, 1);
        let change = if demoted { Change::Demote(id(1)) } else { Change::Remove(id(1)) };
        cluster.change(1, change);
        cluster.run(60);
        assert_eq!(leaders(&cluster), Vec::<u64>::new());
        cluster.cut.clear();
        cluster.run(200);
        assert_eq!(leaders(&cluster), [2], "the first has led until its removal was committed");
        let membership = cluster.node(2).membership().expect("known");
        assert!(!membership.is_voter(pair(1)) && !membership.is_joint());
        assert_eq!(cluster.machines[0].events.iter().any(|e| matches!(e, Event::Removed { .. })), !demoted);
    }
    // In a joint configuration too, after a restart.
    let mut cluster = three_and_two();
    isolate(&mut cluster, 3);
    cluster.change(1, Change::Set(voters([2, 3, 4])));
    while cluster.node(1).membership().expect("known").is_joint() {
        let packet: Packet = cluster.network.pop_front().expect("the joint configuration commits");
        if packet.to != pair(3) {
            cluster.step(packet.to.id.raw(), Message::Packet(packet));
        }
    }
    cluster.network.clear();
    cluster.restart(1);
    cluster.run(300);
    assert_eq!(members(&cluster, 2), [2, 3, 4], "without the third server, which has a vote");
    assert_eq!(leaders(&cluster).len(), 1);
}

/// B38: who was removed believes it also where its own log has a later index, of an older term.
#[test]
fn removed_server_believes_it_whatever_its_own_log_says() {
    let mut cluster = three_and_two();
    isolate(&mut cluster, 1);
    // Alone, the old leader appends much, and a configuration that holds it.
    for n in 0..9 {
        cluster.propose(1, &format!("{n}"));
    }
    let (raft_address, client_address) = ("elsewhere".to_owned(), String::new());
    cluster.change(1, Change::Readdress { id: id(2), raft_address, client_address });
    cluster.run(60);
    let [leader] = leaders(&cluster)[..] else { panic!("one of two leads") };
    let removed = cluster.change(leader, Change::Remove(id(1)));
    cluster.run(20);
    assert!(is_committed(&cluster, removed));
    let index = cluster.node(leader).membership_index();
    assert!(index < cluster.node(1).membership_index());
    cluster.cut.clear();
    cluster.run(60);
    assert!(cluster.machines[0].events.contains(&Event::Removed { index }));
    cluster.network.clear();
    cluster.tick(1, 30);
    assert!(cluster.network.is_empty(), "it asks nobody any more");
}

/// B38: and where its term is higher than theirs, from a candidacy that nobody heard of.
#[test]
fn removed_server_of_a_higher_term_believes_it() {
    let mut cluster = three_and_two();
    isolate(&mut cluster, 3);
    cluster.run(60);
    let asked = cluster.node(3).clone().step(Message::Tick { elapsed: 3 }).send;
    let Body::RequestPreVote { attempt, .. } = asked[0].body else { panic!("it asks for pre-votes") };
    let body = Body::PreVote { boot: asked[0].boot, attempt, granted: true };
    let (from, to) = (asked[0].to, asked[0].from);
    cluster.step(3, Message::Packet(Packet { from, to, body, ..asked[0].clone() }));
    assert_eq!(role(&cluster, 3), RoleKind::Candidate);
    let removed = cluster.change(1, Change::Remove(id(3)));
    cluster.run(40);
    assert!(is_committed(&cluster, removed));
    assert!(cluster.node(1).status().term < cluster.node(3).status().term);
    assert_eq!(role(&cluster, 3), RoleKind::PreCandidate, "again, for nobody answered");
    cluster.cut.clear();
    cluster.run(20);
    let index = cluster.node(1).membership_index();
    assert!(cluster.machines[2].events.contains(&Event::Removed { index }));
}

/// §4.2.1, M5: a server is staged, and has its vote by itself once it has caught up; the next leader goes on with it.
#[test]
fn staged_server_gets_its_vote_when_it_has_caught_up() {
    let mut cluster = three_and_two();
    for n in 0..50 {
        cluster.propose(1, &format!("{n}"));
    }
    isolate(&mut cluster, 4);
    let staged = cluster.change(1, Change::Add(server(4, Suffrage::Staging)));
    cluster.run(30);
    assert!(is_committed(&cluster, staged), "it counts for nothing yet");
    let vote = |cluster: &Cluster| cluster.node(2).membership().expect("known").is_voter(pair(4));
    assert!(!vote(&cluster));
    cluster.machine(1).crash();
    cluster.run(60);
    cluster.machine(1).start();
    assert!(!vote(&cluster));
    cluster.cut.clear();
    cluster.run(30);
    assert!(vote(&cluster), "whoever leads gives it");
    assert_eq!(cluster.applied(4).len(), 50);
}

/// §4.2.1: who does not catch up stays a learner, in bounded time, and an event says so.
#[test]
fn staged_server_that_never_answers_stays_a_learner() {
    let mut cluster = three_and_two();
    isolate(&mut cluster, 4);
    let staged = cluster.change(1, Change::Add(server(4, Suffrage::Staging)));
    cluster.run(900);
    assert!(is_committed(&cluster, staged));
    let suffrage = |cluster: &Cluster| {
        cluster.node(1).membership().expect("known").server(pair(4)).expect("a member").suffrage
    };
    assert_eq!(suffrage(&cluster), Suffrage::Staging);
    cluster.run(200);
    assert_eq!(suffrage(&cluster), Suffrage::Learner);
    assert!(cluster.machines[0].events.contains(&Event::StagingGivenUp { server: pair(4) }));
    // It can be tried again.
    cluster.cut.clear();
    cluster.run(10);
    cluster.change(1, Change::Add(server(4, Suffrage::Staging)));
    cluster.run(30);
    assert_eq!(suffrage(&cluster), Suffrage::Voter);
}

/// M15: a leader says of every other member how far it is; who does not lead knows nothing of the kind.
#[test]
fn leader_tells_how_far_its_followers_are() {
    let mut cluster = three_and_two();
    isolate(&mut cluster, 3);
    for n in 0..5 {
        cluster.propose(1, &format!("{n}"));
        cluster.run(1);
    }
    let last = cluster.node(1).status().last.index;
    let [two, three] = cluster.node(1).followers().collect::<Vec<_>>()[..] else { panic!("two others") };
    assert_eq!((two.server, two.matched, two.next, two.in_flight), (pair(2), last, last.next(), 0));
    assert_eq!((two.probing, two.silent_ticks, two.fetching), (false, 0, false));
    assert_eq!((three.server, last.since(three.matched), three.silent_ticks), (pair(3), 5, 6));
    assert!(0 < three.in_flight);
    assert_eq!(cluster.node(2).followers().count(), 0);
}

/// Members that stay dead are removed where the embedder wants that: learners, and voters while three are left. One that
/// comes back is told.
#[test]
fn members_that_stay_dead_are_removed_if_wanted() {
    for wanted in [false, true] {
        let dead_after_ticks = if wanted { 30 } else { 0 };
        let mut cluster = Cluster::with(5, Config { dead_after_ticks, ..config() });
        cluster.elect(1);
        let learner = cluster.join();
        cluster.change(1, Change::Add(server(learner, Suffrage::Learner)));
        cluster.run(10);
        for id in [4, 5, learner] {
            cluster.machine(id).crash();
        }
        let crashed = |cluster: &mut Cluster, ticks| {
            for _ in 0..ticks {
                for id in 1..=3 {
                    cluster.tick(id, 1);
                }
                cluster.deliver_all();
            }
        };
        crashed(&mut cluster, 25);
        assert_eq!(members(&cluster, 1), [1, 2, 3, 4, 5, 6], "not yet");
        crashed(&mut cluster, 20);
        let left: &[u64] = if wanted { &[1, 2, 3] } else { &[1, 2, 3, 4, 5, 6] };
        for id in 1..=3 {
            assert_eq!(members(&cluster, id), left);
        }
        let told =
            cluster.machines[0].events.iter().filter(|event| matches!(event, Event::DeadRemoved { .. }));
        assert_eq!(told.count(), if wanted { 3 } else { 0 });
        cluster.machine(2).crash();
        for _ in 0..100 {
            cluster.tick(1, 1);
            cluster.tick(3, 1);
            cluster.deliver_all();
        }
        assert_eq!(members(&cluster, 1), left, "of three voters none is taken away");
        cluster.machine(4).start();
        cluster.run(60);
        assert_eq!(
            cluster.machines[3].events.iter().any(|event| matches!(event, Event::Removed { .. })),
            wanted
        );
    }
}
