//! Leader election (Raft thesis §3.4, §3.6.1). Each test says its rule in its own words.

mod common;

use common::{Cluster, config, pair, plain};
use raft_core::{
    Body, Boot, Entry, Event, Fault, LogIndex, LogTime, Membership, Message, Packet, Payload, Position,
    RoleKind, Run, Runs, Suffrage, Term,
};

fn packet(cluster: &Cluster, from: u64, to: u64, term: u64, body: Body) -> Message {
    Message::Packet(cluster.packet(from, to, Term::new(term), body))
}

fn request_vote(cluster: &Cluster, from: u64, to: u64, term: u64, last: Position) -> Message {
    packet(cluster, from, to, term, Body::RequestVote { last, transfer: false })
}

/// The votes that wait in the network, as (from, granted).
fn votes(cluster: &mut Cluster) -> Vec<(u64, bool)> {
    let vote = |packet: Packet| match packet.body {
        Body::Vote { granted, .. } => Some((packet.from.id.raw(), granted)),
        _ => None,
    };
    cluster.network.drain(..).filter_map(vote).collect()
}

/// §3.4: a server that hears from no leader for an election timeout campaigns, and wins with a majority.
#[test]
fn silent_cluster_elects_one_leader() {
    for voters in 1..=7 {
        let mut cluster = Cluster::new(voters);
        cluster.run(60);
        let leaders = cluster.machines.iter().filter(|m| m.node().status().role == RoleKind::Leader).count();
        assert_eq!(leaders, 1, "{voters} voters");
        let followed = cluster.machines.iter().map(|m| m.node().status().leader).collect::<Vec<_>>();
        assert!(followed.iter().all(|leader| leader.is_some() && *leader == followed[0]));
    }
}

/// §3.6.1: the vote goes only to a candidate whose log is at least as up-to-date, the last terms compared first (B1).
#[test]
fn vote_compares_term_before_index() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.deliver_all();
    assert_eq!(cluster.node(3).status().last, Position::new(1, 3));
    let cases = [
        (Position::new(1, 2), false),
        (Position::new(0, 99), false),
        (Position::new(1, 3), true),
        (Position::new(1, 4), true),
        (Position::new(2, 1), true),
    ];
    for (last, granted) in cases {
        let mut cluster = cluster.clone();
        let request = request_vote(&cluster, 2, 3, 9, last);
        cluster.step(3, request);
        assert_eq!(votes(&mut cluster), [(3, granted)], "candidate's log ends at {last}");
    }
}

/// §3.4: one vote in a term, first come, first served; asked again by the same candidate, the answer is the same.
#[test]
fn vote_is_given_once_in_a_term() {
    let mut cluster = Cluster::new(3);
    let last = Position::new(0, 1);
    for (from, granted) in [(1, true), (2, false), (1, true)] {
        let request = request_vote(&cluster, from, 3, 5, last);
        cluster.step(3, request);
        assert_eq!(votes(&mut cluster), [(3, granted)]);
    }
}

/// B2: the vote is told only when it is durable, and a restart does not forget it.
#[test]
fn vote_is_durable_before_it_is_told() {
    let mut cluster = Cluster::new(3);
    cluster.machine(3).sync_at_once = false;
    let last = Position::new(0, 1);
    let request = request_vote(&cluster, 1, 3, 5, last);
    cluster.step(3, request);
    assert_eq!(votes(&mut cluster), []);
    cluster.sync(3);
    assert_eq!(votes(&mut cluster), [(3, true)]);
    cluster.restart(3);
    let request = request_vote(&cluster, 2, 3, 5, last);
    cluster.step(3, request);
    assert_eq!(votes(&mut cluster), [(3, false)], "it has voted for server 1 in this term");
}

/// A vote that is owed is forgotten when the term moves on: its candidate can not win any more (B4).
#[test]
fn vote_of_an_older_term_is_not_told() {
    let mut cluster = Cluster::new(3);
    cluster.machine(3).sync_at_once = false;
    let last = Position::new(0, 1);
    for (from, term) in [(1, 5), (2, 6)] {
        let request = request_vote(&cluster, from, 3, term, last);
        cluster.step(3, request);
    }
    cluster.sync(3);
    cluster.sync(3);
    let told: Vec<_> = cluster.network.drain(..).map(|packet| (packet.to, packet.term)).collect();
    assert_eq!(told, [(pair(2), Term::new(6))]);
}

/// A candidate asks for votes only once its own vote is durable; it asks again while it waits.
#[test]
fn candidate_asks_once_its_own_vote_is_durable() {
    let mut cluster = Cluster::with(3, plain());
    cluster.machine(1).sync_at_once = false;
    cluster.tick(1, 20);
    assert_eq!(cluster.network.len(), 0);
    cluster.sync(1);
    assert_eq!(cluster.network.drain(..).count(), 2);
    cluster.tick(1, config().heartbeat_ticks);
    assert_eq!(cluster.network.drain(..).count(), 2, "requests may be lost");
}

/// Requests may be lost, so they are sent again; but not to those whose vote has come.
#[test]
fn candidate_asks_only_those_again_whose_vote_it_lacks() {
    let mut cluster = Cluster::with(5, plain());
    cluster.tick(1, 20);
    cluster.network.clear();
    let vote = packet(&cluster, 2, 1, 1, Body::Vote { boot: Boot::new(1), granted: true });
    cluster.step(1, vote);
    cluster.tick(1, config().heartbeat_ticks);
    let asked: Vec<_> = cluster.network.drain(..).map(|packet| packet.to).collect();
    assert_eq!(asked, [3, 4, 5].map(pair));
}

/// A candidate whose disk is slower than the election timeout waits for its own vote, in one and the same term, instead of
/// beginning one election after the other without ever asking anybody.
#[test]
fn candidate_with_a_slow_disk_waits_for_its_vote() {
    let mut cluster = Cluster::with(3, plain());
    cluster.machine(1).sync_at_once = false;
    for _ in 0..5 {
        cluster.tick(1, 20);
        assert_eq!(cluster.node(1).status().term, Term::new(1));
    }
    cluster.sync(1);
    assert_eq!(cluster.network.len(), 2, "asks both others");
}

/// Votes count once each, only of this term and this boot, and only from voters.
#[test]
fn votes_count_once_and_only_from_voters() {
    let mut cluster = Cluster::with(5, plain());
    cluster.tick(1, 20);
    cluster.network.clear();
    let term = cluster.node(1).status().term.raw();
    let vote = |boot| Body::Vote { boot: Boot::new(boot), granted: true };
    for message in [
        packet(&cluster, 2, 1, term, vote(1)),
        packet(&cluster, 2, 1, term, vote(1)),
        packet(&cluster, 3, 1, term - 1, vote(1)),
        packet(&cluster, 4, 1, term, vote(7)),
        packet(&cluster, 9, 1, term, vote(1)),
    ] {
        cluster.step(1, message);
        assert_eq!(cluster.node(1).status().role, RoleKind::Candidate);
    }
    let third = packet(&cluster, 5, 1, term, vote(1));
    cluster.step(1, third);
    assert_eq!(cluster.node(1).status().role, RoleKind::Leader);
}

/// §3.3: a higher term makes a follower of anybody, whatever packet it comes in; the old leader's requests are refused
/// with the newer term.
#[test]
fn higher_term_ends_leadership() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let append = {
        cluster.propose(1, "x");
        cluster.network.pop_front().expect("an append")
    };
    let reject = packet(&cluster, 3, 1, 9, Body::Commit { commit: raft_core::LogIndex::ZERO });
    cluster.step(1, reject);
    let status = cluster.node(1).status();
    assert_eq!((status.role, status.term), (RoleKind::Follower, Term::new(9)));
    let ahead = request_vote(&cluster, 3, 2, 9, Position::new(0, 0));
    cluster.step(2, ahead);
    cluster.network.clear();
    cluster.step(2, Message::Packet(append));
    assert_eq!(cluster.network[0].term, Term::new(9), "the answer carries the newer term");
}

/// B3: stepping down within a term keeps the vote.
#[test]
fn candidate_that_meets_a_leader_keeps_its_vote() {
    let mut cluster = Cluster::with(3, plain());
    cluster.tick(1, 20);
    cluster.network.clear();
    let term = cluster.node(1).status().term;
    let heartbeat = Body::Heartbeat { round: raft_core::Round::new(1), commit: raft_core::LogIndex::ZERO };
    let message = packet(&cluster, 2, 1, term.raw(), heartbeat);
    cluster.step(1, message);
    let status = cluster.node(1).status();
    assert_eq!((status.role, status.vote), (RoleKind::Follower, Some(pair(1))));
}

/// Who is who: packets for another incarnation or of another cluster are events, and their term is ignored.
#[test]
fn strangers_are_events_only() {
    let mut cluster = Cluster::new(3);
    let before = cluster.node(1).clone();
    let Message::Packet(ours) = request_vote(&cluster, 2, 1, 9, Position::new(0, 1)) else { unreachable!() };
    let mut other_life = ours.clone();
    other_life.to.incarnation = raft_core::Incarnation::new(1);
    let mut other_cluster = ours;
    other_cluster.cluster = raft_core::ClusterId::new(1);
    cluster.step(1, Message::Packet(other_life));
    cluster.step(1, Message::Packet(other_cluster));
    assert_eq!(*cluster.node(1), before);
    assert!(matches!(
        cluster.machine(1).events[..],
        [Event::WrongIncarnation { .. }, Event::WrongCluster { .. }]
    ));
    assert!(cluster.network.is_empty());
}

/// A server that is in no configuration never campaigns, but votes and follows (§4.2.2).
#[test]
fn server_without_a_configuration_does_not_campaign() {
    let mut cluster = Cluster::new(3);
    let machine = cluster.machine(3);
    machine.crash();
    machine.disk.clear();
    machine.start();
    cluster.tick(3, 1000);
    assert_eq!(cluster.node(3).status().role, RoleKind::Follower);
    cluster.elect(1);
    cluster.run(5);
    assert_eq!(cluster.node(3).status().last, cluster.node(1).status().last);
}

/// §4.1: a server uses the latest configuration in its log, also where a new leader has replaced one by another at the very
/// same index: that is told, and the server knows whether it votes (B33).
#[test]
fn replaced_configuration_is_in_force() {
    let mut cluster = Cluster::new(3);
    let mut servers = common::membership(3).servers().to_vec();
    servers[2].suffrage = Suffrage::Learner;
    let demoted = Membership::new(servers).expect("valid");
    for (leader, term, configuration) in [(1, 1, demoted), (2, 2, common::membership(3))] {
        let payload = Payload::Membership(std::sync::Arc::new(configuration.clone()));
        let entry = Entry::new(LogTime::ZERO, payload);
        let entries = Run::new(Term::new(term), LogIndex::new(2), [entry]).expect("one entry").into();
        let body = Body::Append { previous: Position::new(0, 1), commit: LogIndex::new(1), entries };
        let append = packet(&cluster, leader, 3, term, body);
        cluster.machine(3).events.clear();
        cluster.step(3, append);
        let event = Event::Membership { index: LogIndex::new(2), membership: configuration.clone().into() };
        assert!(cluster.machine(3).events.contains(&event), "term {term}");
        let campaigns = |mut cluster: Cluster| {
            cluster.step(3, Message::Campaign);
            cluster.node(3).status().role == RoleKind::PreCandidate
        };
        assert!(campaigns(cluster.clone()), "term {term}: as long as it is not committed, it may be needed");
        let mut later = cluster.clone();
        later.step(3, packet(&cluster, leader, 3, term, Body::Commit { commit: LogIndex::new(2) }));
        assert_eq!(campaigns(later), configuration.is_voter(pair(3)), "term {term}");
    }
}

/// The sleep that a step announces is the time to the next election or heartbeat, no longer and no shorter.
#[test]
fn sleep_ends_when_something_is_due() {
    let mut cluster = Cluster::with(3, plain());
    for id in 1..=3 {
        let node = cluster.machine(id).node.as_mut().expect("runs");
        let sleep = node.step(Message::Tick { elapsed: 0 }).sleep.expect("a voter waits for its election");
        assert!((10..20).contains(&sleep));
        node.step(Message::Tick { elapsed: sleep - 1 });
        assert_eq!(node.status().role, RoleKind::Follower);
        node.step(Message::Tick { elapsed: 1 });
        assert_eq!(node.status().role, RoleKind::Candidate);
    }
}

/// An answer to something of an older term says nothing of the newer one: whoever sent the old heartbeat may have come to
/// lead the newer term meanwhile, and would take an acknowledgement for one of what it sends now.
#[test]
fn stale_requests_are_answered_with_the_term_only() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.tick(1, 3);
    cluster.propose(1, "x");
    let stale: Vec<Packet> = cluster.network.drain(..).filter(|packet| packet.to == pair(2)).collect();
    assert_eq!(stale.len(), 2, "a heartbeat and an append");
    let newer = request_vote(&cluster, 3, 2, 7, Position::ZERO);
    cluster.step(2, newer);
    cluster.network.clear();
    for packet in stale {
        cluster.step(2, Message::Packet(packet));
    }
    assert!(
        cluster.network.iter().all(|packet| packet.body == Body::NewerTerm && packet.term == Term::new(7))
    );
    assert_eq!(cluster.network.len(), 2);
}

/// A leader that breaks the protocol halts who follows it, and nothing of what it sent is taken.
#[test]
fn broken_leaders_are_faults() {
    let entries = |term: u64, first: u64, payload: Payload| {
        let entry = Entry::new(LogTime::ZERO, payload);
        Run::new(Term::new(term), LogIndex::new(first), [entry]).expect("one entry").into()
    };
    let append = |cluster: &Cluster, to, previous, entries: Runs| {
        packet(cluster, 2, to, 5, Body::Append { previous, commit: LogIndex::ZERO, entries })
    };
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "x");
    cluster.deliver_all();
    assert_eq!(cluster.node(3).status().commit, LogIndex::new(3));
    let foreign = Payload::Membership(std::sync::Arc::new(common::membership(5)));
    let cases = [
        (
            "another entry where one is committed",
            3,
            Position::new(1, 2),
            entries(5, 3, Payload::Noop),
            Fault::CommittedConflict,
        ),
        (
            "a lie about what precedes",
            3,
            Position::new(0, 3),
            entries(0, 4, Payload::Noop),
            Fault::CommittedConflict,
        ),
        ("another cluster's founding", 4, Position::ZERO, entries(0, 1, foreign), Fault::OtherFounding),
    ];
    for (what, to, previous, entries, fault) in cases {
        let mut cluster = cluster.clone();
        if to == 4 {
            // A server that waits to be added.
            let mut empty = cluster.machine(3).clone();
            empty.crash();
            empty.disk.clear();
            empty.identity.pair = pair(4);
            empty.start();
            cluster.machines.push(empty);
        }
        let before = cluster.node(to).status().last;
        let message = append(&cluster, to, previous, entries);
        cluster.step(to, message);
        let status = cluster.node(to).status();
        assert_eq!((status.fault, status.last), (Some(fault), before), "{what}");
    }
}

/// B7: a vote that comes with a higher term makes a follower, and is not counted, whatever it says.
#[test]
fn vote_of_a_higher_term_is_not_counted() {
    let mut cluster = Cluster::with(3, plain());
    cluster.tick(1, 20);
    let term = cluster.node(1).status().term.raw();
    let vote = packet(&cluster, 2, 1, term + 1, Body::Vote { boot: Boot::new(1), granted: true });
    cluster.step(1, vote);
    let status = cluster.node(1).status();
    assert_eq!((status.role, status.term.raw(), status.vote), (RoleKind::Follower, term + 1, None));
}

/// §3.3: a request for a vote of an older term is refused, with the newer one, so that the candidate gives up.
#[test]
fn stale_request_for_a_vote_is_refused_with_the_newer_term() {
    let mut cluster = Cluster::with(3, plain());
    cluster.elect(1);
    cluster.elect(2);
    cluster.network.clear();
    let stale = Body::RequestVote { last: Position::new(0, 1), transfer: false };
    let term = cluster.node(3).status().term;
    assert_eq!(term, Term::new(2));
    cluster.say(1, 3, Term::new(1), stale);
    let sent: Vec<_> = cluster.network.iter().map(|packet| (packet.to, packet.term, &packet.body)).collect();
    let boot = cluster.machines[0].identity.boot;
    assert_eq!(sent, [(pair(1), term, &Body::Vote { boot, granted: false })]);
}
