//! Forwarding: what a follower passes on is appended once, by the leader of exactly that term; what came of it is told, and where it is
//! not known it is said so.

mod common;

use common::{Cluster, config, pair};
use raft_core::{Body, Config, Message, Outcome, Packet, Refusal, RequestId, RoleKind, Term, WriteNumber};

struct Forwarding {
    cluster: Cluster,
    next: u64,
}

impl Forwarding {
    fn with(config: Config) -> Self {
        let mut cluster = Cluster::with(3, config);
        cluster.elect(1);
        cluster.run(6);
        cluster.network.clear();
        Forwarding { cluster, next: 7000 }
    }

    fn new() -> Self {
        Forwarding::with(config())
    }

    fn forward(&mut self, id: u64, text: &str) -> RequestId {
        self.next += 1;
        let request = RequestId::new(self.next);
        let commands = common::command(text).into();
        self.cluster.step(id, Message::Forward { id: request, commands });
        request
    }

    fn outcome(&self, request: RequestId) -> Option<Outcome> {
        self.cluster.outcome(request)
    }

    fn passed(&self) -> Packet {
        let on = |packet: &&Packet| matches!(packet.body, Body::Propose { .. });
        self.cluster.network.iter().find(on).expect("it was passed on").clone()
    }
}

/// R7: it is the leader's log that it goes into, and the caller's server that answers. On the leader it is a proposal like any.
#[test]
fn proposals_are_passed_on_and_answered() {
    let mut forwarding = Forwarding::new();
    let requests = [2, 3, 1].map(|id| forwarding.forward(id, &format!("from {id}")));
    forwarding.cluster.run(6);
    for request in requests {
        assert!(
            matches!(forwarding.outcome(request), Some(Outcome::Committed { first, last }) if first == last)
        );
    }
    let applied = forwarding.cluster.applied(3);
    assert_eq!(applied.len(), 3);
    assert!(
        (1..=3)
            .all(|id| applied.contains(&format!("from {id}")) && forwarding.cluster.applied(id) == applied)
    );
}

/// However often a packet comes, it is taken once; and only in the term that it names.
#[test]
fn packets_that_come_again_or_late_are_dropped() {
    let mut forwarding = Forwarding::new();
    let request = forwarding.forward(2, "once");
    let passed = forwarding.passed();
    for _ in 0..3 {
        forwarding.cluster.step(1, Message::Packet(passed.clone()));
    }
    forwarding.cluster.run(6);
    forwarding.cluster.step(1, Message::Packet(passed.clone()));
    assert!(matches!(forwarding.outcome(request), Some(Outcome::Committed { .. })));
    let term = forwarding.cluster.node(1).status().term;
    // The same server leads again, in a later term.
    forwarding.cluster.step(1, Message::StepDown);
    forwarding.cluster.elect(1);
    assert!(term < forwarding.cluster.node(1).status().term);
    forwarding.cluster.step(1, Message::Packet(passed.clone()));
    forwarding.cluster.run(6);
    assert_eq!(forwarding.cluster.applied(1), ["once"]);
    // A server that does not lead takes nothing, of whatever term.
    let last = forwarding.cluster.node(3).status().last;
    for later in 0..2 {
        let term = Term::new(forwarding.cluster.node(3).status().term.raw() + later);
        let packet = Packet { to: pair(3), from: pair(1), term, ..passed.clone() };
        forwarding.cluster.step(3, Message::Packet(packet));
    }
    assert_eq!(forwarding.cluster.node(3).status().last, last);
}

/// Silence is not a refusal: the question or the answer may have been lost.
#[test]
fn silence_is_told_as_what_it_is() {
    for (cut, applied) in [((2, 1), false), ((1, 2), true)] {
        let mut forwarding = Forwarding::with(Config { forward_ticks: 30, ..config() });
        let request = forwarding.forward(2, "perhaps");
        if applied {
            forwarding.cluster.deliver_one_way(2);
        }
        forwarding.cluster.cut.push(cut);
        forwarding.cluster.deliver_all();
        assert_eq!(forwarding.outcome(request), None);
        forwarding.cluster.cut.clear();
        forwarding.cluster.run(29);
        assert_eq!(forwarding.outcome(request), None);
        forwarding.cluster.run(1);
        assert_eq!(forwarding.outcome(request), Some(Outcome::Unanswered));
        assert_eq!(forwarding.cluster.applied(2) == ["perhaps"], applied);
    }
}

/// Nor is the end of the leadership: for the caller's server by its own sight, or by the leader's word.
#[test]
fn end_of_a_leadership_ends_what_was_passed_on() {
    let mut forwarding = Forwarding::new();
    let request = forwarding.forward(2, "a");
    forwarding.cluster.step(2, Message::ForgetLeader);
    assert_eq!(forwarding.outcome(request), Some(Outcome::Unanswered));
    forwarding.cluster.deliver_all();
    let mut forwarding = Forwarding::new();
    forwarding.cluster.cut.extend([(1, 3), (3, 1)]);
    forwarding.cluster.machine(1).sync_at_once = false;
    forwarding.cluster.machine(2).sync_at_once = false;
    let request = forwarding.forward(2, "b");
    forwarding.cluster.deliver_all();
    forwarding.cluster.step(1, Message::StepDown);
    forwarding.cluster.deliver_all();
    assert!(matches!(forwarding.outcome(request), Some(Outcome::Lost { .. })));
}

/// What a leader refuses is refused, with its reason; what nobody can take is refused where it came.
#[test]
fn refusals_are_told() {
    let limits = Config { command_bytes_max: 10, proposals_max: 1, ..config() };
    let mut forwarding = Forwarding::with(limits);
    let too_large = forwarding.forward(2, "eleven bytes");
    assert_eq!(forwarding.outcome(too_large), Some(Outcome::Refused(Refusal::TooLarge)));
    forwarding.cluster.cut.extend([(1, 3), (3, 1), (1, 2)]);
    let waits = forwarding.forward(1, "waits");
    let busy = forwarding.forward(2, "busy");
    let here = forwarding.forward(2, "here too");
    assert_eq!(forwarding.outcome(here), Some(Outcome::Refused(Refusal::Busy)));
    forwarding.cluster.deliver_one_way(2);
    forwarding.cluster.cut.clear();
    forwarding.cluster.deliver_all();
    assert_eq!(forwarding.outcome(busy), Some(Outcome::Refused(Refusal::Busy)));
    forwarding.cluster.run(9);
    assert!(matches!(forwarding.outcome(waits), Some(Outcome::Committed { .. })));
    // Of another server's proposals, too, no more wait than may.
    forwarding.cluster.cut.push((3, 1));
    let first = forwarding.forward(2, "first");
    forwarding.cluster.machine(1).sync_at_once = false;
    forwarding.cluster.machine(2).sync_at_once = false;
    forwarding.cluster.deliver_all();
    let second = forwarding.forward(1, "second");
    assert_eq!(forwarding.outcome(second), Some(Outcome::Refused(Refusal::Busy)));
    forwarding.cluster.sync(1);
    forwarding.cluster.sync(2);
    forwarding.cluster.deliver_all();
    assert!(matches!(forwarding.outcome(first), Some(Outcome::Committed { .. })));

    let mut forwarding = Forwarding::new();
    forwarding.cluster.transfer(1, Some(3));
    let transferring = forwarding.forward(2, "a");
    forwarding.cluster.network.retain(|packet| !matches!(packet.body, Body::TimeoutNow));
    forwarding.cluster.deliver_all();
    let refused = Outcome::Refused(Refusal::Transferring { to: pair(3) });
    assert_eq!(forwarding.outcome(transferring), Some(refused));
    forwarding.cluster.restart(2);
    let nobody = forwarding.forward(2, "a");
    assert_eq!(forwarding.outcome(nobody), Some(Outcome::Refused(Refusal::NotLeader { leader: None })));
    let waits = forwarding.forward(3, "a");
    forwarding.cluster.step(3, Message::WriteFailed(WriteNumber::new(1)));
    assert_eq!(forwarding.outcome(waits), Some(Outcome::Unanswered));
    let halted = forwarding.forward(3, "a");
    assert_eq!(forwarding.outcome(halted), Some(Outcome::Refused(Refusal::Halted)));
    assert_eq!(forwarding.cluster.node(1).status().role, RoleKind::Leader);
}

/// Only the leader that it was passed on to can say what came of a proposal; and what is passed on fits a packet.
#[test]
fn answers_are_believed_of_the_leader_alone_and_packets_are_bounded() {
    let mut forwarding = Forwarding::new();
    let request = forwarding.forward(2, "a");
    let passed = forwarding.passed();
    let at = raft_core::Position::new(1, 2);
    let (boot, outcome) = (passed.boot, Outcome::Committed { first: at, last: at });
    let body = Body::Proposed { boot, token: raft_core::Token::new(1), outcome };
    let lie = Packet { from: pair(3), to: pair(2), body, ..passed };
    forwarding.cluster.step(2, Message::Packet(lie));
    assert_eq!(forwarding.outcome(request), None);
    forwarding.cluster.deliver_all();
    assert!(matches!(forwarding.outcome(request), Some(Outcome::Committed { .. })));

    let many = |count| Message::Forward {
        id: RequestId::new(count),
        commands: vec![common::command(&"x".repeat(100 << 10)); count as usize].into(),
    };
    forwarding.cluster.step(2, many(3));
    assert_eq!(forwarding.outcome(RequestId::new(3)), Some(Outcome::Refused(Refusal::TooLarge)));
    forwarding.cluster.step(2, many(2));
    forwarding.cluster.deliver_all();
    assert!(matches!(forwarding.outcome(RequestId::new(2)), Some(Outcome::Committed { .. })));
}
