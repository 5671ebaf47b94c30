//! Leases (Raft thesis §6.4.1): what they save, what they count from, and the runs by which they would let a stale read through if one
//! of their rules were missing.

mod common;

use common::{Cluster, config, membership, pair, server};
use raft_core::{Body, Change, Leases, Message, Outcome, Packet, RequestId, RoleKind, Round, Suffrage, Term};

/// E = 10 as in [`config`], no drift: a lease lasts 9 ticks.
fn leases() -> Leases {
    Leases::new(10, 0, 10_000_000).expect("in range")
}

struct Leased {
    cluster: Cluster,
    next: u64,
}

impl Leased {
    fn new(voters: u64) -> Self {
        let founding = membership(voters).with_leases(Some(leases()));
        let mut leased = Leased { cluster: Cluster::founded(&founding, config()), next: 5000 };
        leased.elect(1);
        leased.cluster.propose(1, "a");
        leased.cluster.run(6);
        leased.cluster.network.clear();
        leased
    }

    /// Lets all that the voters have heard be over, and then this server win.
    fn elect(&mut self, id: u64) {
        for other in (1..=self.cluster.machines.len() as u64).filter(|other| *other != id) {
            self.cluster.tick(other, 10);
        }
        self.cluster.network.clear();
        self.cluster.tick(id, 20);
        self.cluster.deliver_all();
        assert_eq!(self.role(id), RoleKind::Leader);
    }

    fn role(&self, id: u64) -> RoleKind {
        self.cluster.node(id).status().role
    }

    fn term(&self, id: u64) -> Term {
        self.cluster.node(id).status().term
    }

    /// Whether a read of this server is answered in the very step that asks for it.
    fn reads_at_once(&mut self, id: u64) -> bool {
        self.next += 1;
        let request = RequestId::new(self.next);
        self.cluster.step(id, Message::Read { id: request });
        match self.cluster.outcome(request) {
            Some(Outcome::Readable { .. }) => true,
            None => false,
            Some(other) => panic!("{other:?}"),
        }
    }

    /// From here on nothing reaches this server and nothing leaves it.
    fn isolate(&mut self, id: u64) {
        for other in (1..=self.cluster.machines.len() as u64).filter(|other| *other != id) {
            self.cluster.cut.extend([(id, other), (other, id)]);
        }
    }

    /// Lets a round of the leader be sent and answered, so that a lease of full length begins now.
    fn round(&mut self) {
        let heartbeat = |packet: &Packet| matches!(packet.body, Body::Heartbeat { .. });
        while !self.cluster.network.iter().any(heartbeat) {
            self.cluster.tick(1, 1);
        }
        self.cluster.deliver_all();
    }

    /// A request for the real vote of `to`, from a server that has the same log and `later` more terms.
    fn vote_request(&self, from: u64, to: u64, later: u64, transfer: bool) -> Message {
        let status = self.cluster.node(to).status();
        let term = Term::new(status.term.raw() + later);
        let body = Body::RequestVote { last: status.last, transfer };
        Message::Packet(self.cluster.packet(from, to, term, body))
    }

    /// Whether this server gives its vote to that candidate of the next term.
    fn votes(&mut self, id: u64, candidate: u64, transfer: bool) -> bool {
        let before = self.term(id);
        let request = self.vote_request(candidate, id, 1, transfer);
        self.cluster.step(id, request);
        let voted = self.cluster.node(id).status().vote == Some(pair(candidate));
        assert_eq!(voted, before < self.term(id), "a term is taken over with the vote or not at all");
        voted
    }
}

/// Without a packet; as long as the lease lasts and not a tick longer. (What is asked for behind that waits for a round as ever.)
#[test]
fn lease_saves_the_round_and_ends() {
    let mut leased = Leased::new(3);
    leased.round();
    leased.isolate(1);
    assert!(leased.reads_at_once(1) && leased.cluster.network.is_empty());
    leased.cluster.tick(1, 8);
    assert!(leased.reads_at_once(1));
    leased.cluster.tick(1, 1);
    assert!(!leased.reads_at_once(1), "that is the ninth tick");
    let mut plain = Cluster::new(3);
    plain.elect(1);
    plain.run(6);
    plain.step(1, Message::Read { id: RequestId::new(1) });
    assert_eq!(plain.outcome(RequestId::new(1)), None, "they are off by default");
}

/// An answer says that the voter heard what was sent: so much time has passed for it since then, too.
#[test]
fn lease_counts_from_the_send_and_not_from_the_arrival_of_the_answer() {
    let mut leased = Leased::new(3);
    leased.round();
    leased.isolate(1);
    leased.cluster.tick(1, 3);
    leased.cluster.cut.clear();
    let sent = std::mem::take(&mut leased.cluster.network);
    assert!(sent.iter().any(|packet| matches!(packet.body, Body::Heartbeat { .. })));
    for packet in sent {
        leased.cluster.step(packet.to.id.raw(), Message::Packet(packet));
    }
    // The answers wait for five ticks.
    let answers = std::mem::take(&mut leased.cluster.network);
    leased.cluster.tick(1, 5);
    leased.cluster.network.clear();
    for packet in answers {
        leased.cluster.step(1, Message::Packet(packet));
    }
    leased.cluster.tick(1, 3);
    assert!(leased.reads_at_once(1), "the eighth tick since the send");
    leased.cluster.tick(1, 1);
    assert!(!leased.reads_at_once(1), "the ninth; the fourth since the answers");
}

/// One answer of three voters is a quorum with the leader; of five it is none.
#[test]
fn lease_needs_a_quorum() {
    for (voters, holds) in [(3, true), (5, false)] {
        let mut leased = Leased::new(voters);
        leased.cluster.tick(1, 9);
        leased.cluster.network.retain(|packet| packet.to == pair(2));
        leased.cluster.deliver_all();
        assert_eq!(leased.reads_at_once(1), holds, "{voters} voters");
    }
}

/// Within E nobody is given a real vote, nor is its term taken over, whatever pre-votes said; then it is.
#[test]
fn voter_that_hears_a_leader_keeps_its_vote() {
    let mut leased = Leased::new(3);
    leased.round();
    assert!(!leased.votes(2, 3, false));
    leased.cluster.tick(2, 9);
    assert!(!leased.votes(2, 3, false));
    leased.cluster.tick(2, 1);
    assert!(leased.votes(2, 3, false));
    assert!(!leased.votes(1, 3, false), "the leader hears itself");
}

/// A voter that restarts has forgotten what it heard: a start counts as having heard it.
#[test]
fn voter_that_restarts_keeps_its_vote() {
    let mut leased = Leased::new(3);
    leased.round();
    leased.cluster.restart(2);
    leased.isolate(1);
    assert!(!leased.votes(2, 3, false) && leased.reads_at_once(1));
    leased.cluster.tick(2, 10);
    assert!(leased.votes(2, 3, false));
}

/// A pre-vote promises nothing: who has heard a leader since keeps its real vote.
#[test]
fn old_pre_vote_is_not_worth_a_vote() {
    let mut leased = Leased::new(3);
    leased.isolate(1);
    leased.cluster.tick(2, 10);
    leased.cluster.network.clear();
    leased.cluster.tick(3, 20);
    assert_eq!(leased.role(3), RoleKind::PreCandidate);
    leased.cluster.deliver_one_way(3);
    let promised = leased.cluster.network.pop_back().expect("an answer");
    assert!(matches!(promised.body, Body::PreVote { granted: true, .. }));
    leased.cluster.cut.clear();
    leased.cluster.network.clear();
    leased.cluster.cut.push((1, 3));
    leased.round();
    assert!(leased.reads_at_once(1), "server 2 has heard the leader again");
    leased.cluster.step(3, Message::Packet(promised));
    assert_eq!(leased.role(3), RoleKind::Candidate);
    leased.cluster.deliver_all();
    assert_eq!((leased.role(3), leased.term(2) < leased.term(3)), (RoleKind::Candidate, true));
    assert!(leased.reads_at_once(1));
}

/// Its own vote is a vote, too; and nobody may forget whom it has heard.
#[test]
fn campaign_on_request_waits_for_the_lease() {
    let mut leased = Leased::new(3);
    leased.round();
    for id in 2..=3 {
        leased.cluster.step(id, Message::ForgetLeader);
        assert!(leased.cluster.node(id).status().leader.is_some());
    }
    leased.cluster.step(2, Message::Campaign);
    assert_eq!(leased.role(2), RoleKind::Follower);
    leased.cluster.tick(2, 9);
    leased.cluster.step(2, Message::Campaign);
    assert_eq!(leased.role(2), RoleKind::Follower);
    leased.cluster.tick(2, 1);
    leased.cluster.step(2, Message::Campaign);
    assert_eq!(leased.role(2), RoleKind::PreCandidate);
}

/// The leader's own wish overrides, at once; and so it has no lease from then on, also if it gives up and the word arrives later.
#[test]
fn transfer_overrides_and_ends_the_leases_of_the_term() {
    let mut leased = Leased::new(3);
    leased.round();
    let transfer = leased.cluster.transfer(1, Some(2));
    assert!(!leased.reads_at_once(1), "somebody was told to begin an election");
    let told = |packet: &Packet| matches!(packet.body, Body::TimeoutNow);
    let late = leased.cluster.network.iter().find(|packet| told(packet)).expect("told").clone();
    for _ in 0..12 {
        leased.cluster.tick(1, 1);
        leased.cluster.network.retain(|packet| !told(packet));
        leased.cluster.deliver_all();
    }
    assert_eq!(leased.cluster.outcome(transfer), Some(Outcome::NotTransferred), "given up");
    leased.round();
    assert_eq!(leased.role(1), RoleKind::Leader);
    assert!(!leased.reads_at_once(1), "answered rounds do not help in this term");
    leased.cluster.network.clear();
    leased.isolate(1);
    leased.cluster.step(2, Message::Packet(late));
    leased.cluster.deliver_all();
    assert_eq!((leased.role(1), leased.role(2)), (RoleKind::Leader, RoleKind::Leader), "two, of two terms");
    leased.cluster.propose(2, "b");
    leased.cluster.deliver_all();
    assert!(!leased.reads_at_once(1), "it would miss the write");
}

/// The override holds for the one election that the leader wanted: who does not win that goes on like anybody.
#[test]
fn timeout_now_is_for_one_term_only() {
    let mut leased = Leased::new(3);
    leased.round();
    leased.cluster.transfer(1, Some(2));
    leased.cluster.deliver_one_way(1);
    let requests = |leased: &Leased| -> Vec<Body> {
        let from = leased.cluster.network.iter().filter(|packet| packet.from == pair(2));
        let bodies = from.map(|packet| packet.body.clone());
        bodies.filter(|body| matches!(body, Body::RequestVote { .. } | Body::RequestPreVote { .. })).collect()
    };
    let first = requests(&leased);
    assert!(
        !first.is_empty()
            && first.iter().all(|body| matches!(body, Body::RequestVote { transfer: true, .. }))
    );
    leased.cluster.network.clear();
    // Asked again in the same term it is the same election.
    leased.cluster.tick(2, 3);
    assert_eq!(requests(&leased), first);
    leased.cluster.network.clear();
    leased.cluster.tick(2, 20);
    let second = requests(&leased);
    assert!(!second.is_empty() && second.iter().all(|body| matches!(body, Body::RequestPreVote { .. })));
}

/// What a voter does not know of it can not keep to: whoever lacks the founding configuration, or may forget it, counts for no lease.
#[test]
fn lease_counts_on_nobody_who_does_not_know_of_it() {
    let mut leased = Leased::new(1);
    assert!(leased.reads_at_once(1));
    let new = leased.cluster.join();
    leased.cluster.change(1, Change::Add(server(new, Suffrage::Voter)));
    for _ in 0..6 {
        leased.cluster.tick(1, 1);
        leased.cluster.network.retain(|packet| !matches!(packet.body, Body::Append { .. }));
        leased.cluster.deliver_one_way(1);
        leased.cluster.deliver_one_way(new);
    }
    let contact = leased.cluster.node(1).followers().next().expect("a follower").silent_ticks;
    assert!(contact < 3, "it answers heartbeats");
    assert!(!leased.reads_at_once(1), "but has nothing of the log");
    leased.cluster.run(12);
    assert!(leased.reads_at_once(1));
}

/// The founding configuration says so once and for all, bit by bit: another cluster with other leases, and no change of the
/// configuration, snapshot or restart alters them.
#[test]
fn leases_are_of_the_cluster() {
    let plain = membership(3);
    let with = plain.clone().with_leases(Some(leases()));
    assert_ne!(plain.cluster_id(), with.cluster_id());
    let mut leased = Leased::new(3);
    let new = leased.cluster.join();
    let servers = [2, 3, new].map(|id| server(id, Suffrage::Voter)).to_vec();
    leased.cluster.change(1, Change::Set(servers));
    assert!(leased.cluster.node(1).membership().is_some_and(|membership| membership.is_joint()));
    for _ in 0..2 {
        let known = leased.cluster.node(1).membership().and_then(|membership| membership.leases());
        assert_eq!(known, Some(leases()));
        leased.cluster.run(12);
    }
    assert!((2..=new).all(|id| {
        leased.cluster.node(id).membership().is_some_and(|m| !m.is_joint() && m.leases() == Some(leases()))
    }));
}

/// An answer to a round that was never begun is none.
#[test]
fn answers_to_rounds_that_never_were_make_no_lease() {
    let mut leased = Leased::new(3);
    leased.isolate(1);
    let node = leased.cluster.node(1);
    let durable = node.status().commit;
    let body = Body::Acknowledge {
        boot: node.identity().boot,
        round: Some(Round::new(u64::MAX)),
        held: durable,
        durable,
    };
    leased.cluster.say(2, 1, leased.term(1), body);
    leased.cluster.tick(1, 9);
    assert!(!leased.reads_at_once(1), "nobody has answered for nine ticks");
}

/// A server may hear of leases after its election timer has run out: it waits, and does not say that something is due meanwhile.
#[test]
fn server_that_keeps_its_vote_sleeps() {
    let mut leased = Leased::new(3);
    let new = leased.cluster.join();
    leased.cluster.cut.extend([(1, new), (new, 1)]);
    leased.cluster.change(1, Change::Add(server(new, Suffrage::Voter)));
    leased.cluster.run(6);
    leased.cluster.take_snapshot(1);
    let snapshot = leased.cluster.node(1).snapshot().expect("taken").clone();
    let saved = leased.cluster.machine(1).saved[&snapshot.last].clone();
    leased.cluster.machine(new).saved.insert(snapshot.last, saved);
    let term = leased.term(1);
    leased.cluster.say(2, new, term.next().expect("there is one"), Body::NewerTerm);
    leased.cluster.tick(new, 20);
    leased.cluster.say(1, new, term, Body::InstallSnapshot { snapshot });
    assert!(leased.cluster.node(new).membership().is_some());
    let node = leased.cluster.machine(new).node.as_mut().expect("it runs");
    let slept = node.step(Message::Tick { elapsed: 0 }).sleep.expect("an election");
    assert_eq!(slept, 10);
    node.step(Message::Tick { elapsed: slept });
    assert_eq!(leased.role(new), RoleKind::PreCandidate);
}
