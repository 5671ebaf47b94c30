//! Linearizable reads without an entry in the log (Raft thesis §6.4): on leaders, followers and learners; what they wait for, and that
//! nothing late releases them.

mod common;

use common::{Cluster, config, pair, server};
use raft_core::{
    Body, Boot, Change, Config, Event, LogIndex, Message, Outcome, Packet, Refusal, RequestId, RoleKind,
    Suffrage, Token, WriteNumber,
};

struct Readers {
    cluster: Cluster,
    next: u64,
}

impl Readers {
    fn new(voters: u64) -> Self {
        let mut cluster = Cluster::with(voters, config());
        cluster.elect(1);
        cluster.propose(1, "a");
        cluster.run(6);
        cluster.network.clear();
        Readers { cluster, next: 5000 }
    }

    fn ask(&mut self, id: u64, message: impl Fn(RequestId) -> Message) -> RequestId {
        self.next += 1;
        let request = RequestId::new(self.next);
        self.cluster.step(id, message(request));
        request
    }

    fn read(&mut self, id: u64) -> RequestId {
        self.ask(id, |id| Message::Read { id })
    }

    fn readable(&self, request: RequestId) -> Option<u64> {
        match self.cluster.outcome(request) {
            Some(Outcome::Readable { index }) => Some(index.raw()),
            Some(other) => panic!("{other:?}"),
            None => None,
        }
    }

    fn is_refused(&self, request: RequestId) -> bool {
        matches!(self.cluster.outcome(request), Some(Outcome::Refused(Refusal::NotLeader { .. })))
    }

    fn heartbeats(&self) -> usize {
        self.cluster.network.iter().filter(|packet| matches!(packet.body, Body::Heartbeat { .. })).count()
    }
}

/// §6.4, steps 2 to 4: a round that a quorum answers; nothing is appended; any number of reads share it.
#[test]
fn reads_share_a_round_and_append_nothing() {
    let mut readers = Readers::new(3);
    let last = readers.cluster.node(1).status().last;
    let first = readers.read(1);
    assert_eq!(readers.heartbeats(), 2, "the round begins at once");
    let others: Vec<_> = (0..100).map(|_| readers.read(1)).collect();
    assert_eq!(readers.heartbeats(), 2, "the next one waits until this is answered");
    readers.cluster.deliver_one_way(1);
    assert_eq!(readers.readable(first), None);
    readers.cluster.deliver_one_way(2);
    assert_eq!(readers.readable(first), Some(3), "one follower of two is a quorum");
    assert_eq!(readers.readable(others[0]), None, "it came when that round had begun");
    assert_eq!(readers.heartbeats(), 2);
    readers.cluster.deliver_all();
    assert!(others.iter().all(|read| readers.readable(*read) == Some(3)));
    assert_eq!(readers.cluster.node(1).status().last, last);
}

/// A single voter is a quorum; a leader whose followers are silent answers nothing and refuses in the end.
#[test]
fn reads_need_a_quorum() {
    let mut readers = Readers::new(1);
    let read = readers.read(1);
    assert_eq!(readers.readable(read), Some(3));

    let mut readers = Readers::new(3);
    readers.cluster.cut.extend([(2, 1), (3, 1)]);
    let read = readers.read(1);
    readers.cluster.run(5);
    assert_eq!(readers.readable(read), None);
    readers.cluster.run(20);
    assert!(readers.is_refused(read), "it does not lead any more");
}

/// What a read waits for is applied on this very server.
#[test]
fn read_waits_for_the_state_machine() {
    let mut readers = Readers::new(3);
    // A step by hand: the commit is there, and the state machine has not said that it has applied it.
    readers.cluster.machine(1).sync_at_once = false;
    readers.cluster.propose(1, "b");
    readers.cluster.deliver_all();
    assert_eq!(readers.cluster.node(1).status().commit, LogIndex::new(4));
    let read = readers.read(1);
    readers.cluster.deliver_all();
    assert_eq!(readers.readable(read), None, "not durable here, and so not applied");
    readers.cluster.sync(1);
    assert_eq!(readers.readable(read), Some(4));
}

/// B40: a new leader does not know how far the log is committed before an entry of its own term is.
#[test]
fn read_waits_for_the_first_commit_of_the_term() {
    let mut readers = Readers::new(3);
    readers.cluster.cut.extend([(1, 2), (1, 3)]);
    for id in 2..=3 {
        readers.cluster.step(id, Message::ForgetLeader);
    }
    for id in 2..=3 {
        readers.cluster.machine(id).sync_at_once = true;
    }
    readers.cluster.tick(2, 20);
    while readers.cluster.node(2).status().role != RoleKind::Leader {
        readers.cluster.deliver_one_way(2);
        readers.cluster.deliver_one_way(3);
    }
    // Heartbeats are answered, and appends do not get through.
    let read = readers.read(2);
    for _ in 0..8 {
        readers.cluster.network.retain(|packet| !matches!(packet.body, Body::Append { .. }));
        readers.cluster.deliver_one_way(2);
        readers.cluster.deliver_one_way(3);
        readers.cluster.tick(2, 1);
        readers.cluster.tick(3, 1);
        assert_eq!(readers.readable(read), None, "the round is answered, and no entry of its term committed");
    }
    readers.cluster.run(12);
    assert_eq!(readers.readable(read), Some(4));
}

/// B41: what answers an earlier round says nothing of a later read, whenever it comes, and a deposed leader reads nothing.
#[test]
fn late_answers_release_no_later_read() {
    let mut readers = Readers::new(3);
    let first = readers.read(1);
    readers.cluster.deliver_one_way(1);
    let answers: Vec<Packet> = readers.cluster.network.drain(..).collect();
    assert_eq!(answers.len(), 2);
    readers.cluster.cut.extend([(1, 2), (1, 3), (2, 1), (3, 1)]);
    readers.cluster.tick(1, 3);
    let second = readers.read(1);
    for answer in answers.iter().chain(&answers) {
        readers.cluster.step(1, Message::Packet(answer.clone()));
    }
    assert_eq!(readers.readable(first), Some(3));
    assert_eq!(readers.readable(second), None, "its round has not been answered");
    // Meanwhile another leads, and commits.
    readers.cluster.elect(2);
    readers.cluster.propose(2, "newer");
    readers.cluster.deliver_all();
    for answer in &answers {
        readers.cluster.step(1, Message::Packet(answer.clone()));
    }
    assert_eq!(readers.readable(second), None);
    readers.cluster.cut.clear();
    readers.cluster.run(3);
    assert!(readers.is_refused(second));
}

/// R3: followers and learners ask the leader and read from their own state machine, in one round for all that has come.
#[test]
fn followers_and_learners_read() {
    let mut readers = Readers::new(3);
    let learner = readers.cluster.join();
    readers.cluster.change(1, Change::Add(server(learner, Suffrage::Learner)));
    readers.cluster.run(12);
    for id in [2, learner] {
        readers.cluster.propose(1, "b");
        readers.cluster.deliver_all();
        let reads: Vec<_> = (0..10).map(|_| readers.read(id)).collect();
        let asks = |packet: &&Packet| matches!(packet.body, Body::AskReadIndex { .. });
        assert_eq!(readers.cluster.network.iter().filter(asks).count(), 1, "one question at a time");
        readers.cluster.deliver_all();
        let commit = readers.cluster.node(1).status().commit.raw();
        for read in reads {
            assert!(Some(commit) <= readers.readable(read), "server {id}");
        }
    }
}

/// A question or an answer that is lost is asked again, and one that is doubled does no harm.
#[test]
fn lost_questions_are_asked_again() {
    for (cut, what) in [((2, 1), "the question"), ((1, 2), "the answer")] {
        let mut readers = Readers::new(3);
        let read = readers.read(2);
        if cut == (1, 2) {
            readers.cluster.deliver_one_way(2);
        }
        readers.cluster.cut.push(cut);
        readers.cluster.deliver_all();
        assert_eq!(readers.readable(read), None);
        readers.cluster.cut.clear();
        readers.cluster.run(9);
        assert_eq!(readers.readable(read), Some(3), "{what} was lost");
    }
}

/// A follower that loses its leader refuses what waits: it had no effect. One that knows none refuses at once.
#[test]
fn reads_end_with_the_leader() {
    let mut readers = Readers::new(3);
    readers.cluster.cut.extend([(1, 2), (2, 1)]);
    let read = readers.read(2);
    readers.cluster.run(25);
    assert!(readers.is_refused(read));
    let mut readers = Readers::new(3);
    readers.cluster.restart(2);
    let read = readers.read(2);
    assert!(readers.is_refused(read));
}

/// B43: when the quorum shrinks, what waits for it is looked at again.
#[test]
fn smaller_quorum_releases_reads() {
    let mut readers = Readers::new(2);
    readers.cluster.machine(2).crash();
    let read = readers.read(1);
    readers.cluster.run(3);
    assert_eq!(readers.readable(read), None);
    readers.cluster.change(1, Change::Remove(pair(2).id));
    assert!(readers.readable(read).is_some());
}

/// R5: a barrier waits for all that was proposed before, and a leader can be asked whether it leads.
#[test]
fn barrier_and_verification() {
    let mut readers = Readers::new(3);
    readers.cluster.propose(1, "b");
    let barrier = readers.ask(1, |id| Message::Barrier { id });
    assert_eq!(readers.readable(barrier), None);
    readers.cluster.deliver_all();
    assert_eq!(readers.readable(barrier), Some(4));
    assert_eq!(readers.cluster.applied(1), ["a", "b"]);

    let verify = readers.ask(1, |id| Message::VerifyLeader { id });
    assert_eq!(readers.cluster.outcome(verify), None);
    readers.cluster.deliver_all();
    assert!(matches!(readers.cluster.outcome(verify), Some(Outcome::Leads { .. })));
    for message in [|id| Message::Barrier { id }, |id| Message::VerifyLeader { id }] {
        let refused = readers.ask(2, message);
        assert!(readers.is_refused(refused), "only leaders can say");
    }

    // A barrier behind what is lost is refused with it.
    readers.cluster.cut.extend([(1, 2), (1, 3)]);
    readers.cluster.propose(1, "lost");
    let barrier = readers.ask(1, |id| Message::Barrier { id });
    readers.cluster.run(40);
    assert!(readers.is_refused(barrier));
}

/// Limits hold, and a node that halts answers everything.
#[test]
fn reads_beyond_the_limit_and_on_a_halted_node_are_refused() {
    let mut readers = Readers::new(3);
    readers.cluster.machine(1).config = Config { reads_max: 2, ..config() };
    readers.cluster.restart(1);
    readers.cluster.elect(1);
    readers.cluster.network.clear();
    readers.cluster.cut.extend([(2, 1), (3, 1)]);
    let waiting = [readers.read(1), readers.read(1)];
    let refused = readers.read(1);
    assert_eq!(readers.cluster.outcome(refused), Some(Outcome::Refused(Refusal::Busy)));
    readers.cluster.step(1, Message::WriteFailed(WriteNumber::new(1)));
    assert!(readers.cluster.machines[0].events.iter().any(|event| matches!(event, Event::Fault(_))));
    assert!(waiting.iter().all(|read| matches!(readers.cluster.outcome(*read), Some(Outcome::Refused(_)))));
    let refused = readers.read(1);
    assert_eq!(readers.cluster.outcome(refused), Some(Outcome::Refused(Refusal::Halted)));
}

impl Readers {
    fn read_within(&mut self, id: u64, ticks: u32) -> RequestId {
        self.ask(id, |id| Message::ReadWithin { id, ticks })
    }

    fn stale(&self, request: RequestId) -> Option<(u64, u32)> {
        match self.cluster.outcome(request) {
            Some(Outcome::Stale { index, ticks }) => Some((index.raw(), ticks)),
            _ => None,
        }
    }
}

/// R4: what a follower was told for one read holds for later ones, as of the moment when it asked, by its own clock; also without a leader.
/// What is wanted newer is asked for.
#[test]
fn stale_reads_are_within_their_bound() {
    let mut readers = Readers::new(3);
    let first = readers.read_within(2, 100);
    assert_eq!(readers.stale(first), None, "it knows nothing yet, and asks");
    // The answer takes its time, and counts from the question.
    readers.cluster.tick(2, 4);
    readers.cluster.deliver_all();
    assert_eq!(readers.readable(first), Some(3));
    let again = readers.read_within(2, 100);
    assert_eq!(readers.stale(again), Some((3, 5)), "four ticks, and the one that has begun");
    assert!(readers.cluster.network.is_empty());
    for (within, served) in [(5, true), (4, false), (0, false)] {
        let read = readers.read_within(2, within);
        assert_eq!(readers.stale(read).is_some(), served, "{within}");
        readers.cluster.network.clear();
    }
    // A write that this server has not heard of: a stale read may miss it, and says by how much.
    readers.cluster.cut.extend([(1, 2), (3, 2), (2, 1), (2, 3)]);
    readers.cluster.propose(1, "b");
    readers.cluster.deliver_all();
    readers.cluster.tick(2, 40);
    assert_eq!(readers.cluster.node(2).status().leader, None);
    let alone = readers.read_within(2, 45);
    assert_eq!(readers.stale(alone), Some((3, 45)));
    let refused = readers.read_within(2, 44);
    assert!(readers.is_refused(refused), "nobody is there to ask");
    readers.cluster.restart(2);
    let forgotten = readers.read_within(2, u32::MAX);
    assert!(readers.is_refused(forgotten), "a start knows nothing of time");
}

/// A question that was given up with its leader says nothing later: nobody has counted since when.
#[test]
fn answers_to_questions_that_were_given_up_bound_nothing() {
    let mut readers = Readers::new(3);
    let read = readers.read(2);
    readers.cluster.deliver_one_way(2);
    readers.cluster.tick(2, 3);
    readers.cluster.step(2, Message::ForgetLeader);
    assert!(readers.is_refused(read));
    readers.cluster.tick(2, 2);
    readers.cluster.deliver_all();
    readers.cluster.tick(1, 3);
    readers.cluster.deliver_all();
    assert!(readers.cluster.node(2).status().leader.is_some(), "the same leader again, and its late answer");
    let stale = readers.read_within(2, 100);
    assert_eq!(readers.stale(stale), None);
}

/// What was told is of no use before it is applied here: such a read waits like any.
#[test]
fn stale_read_waits_for_what_it_was_told() {
    let mut readers = Readers::new(3);
    readers.cluster.machine(2).sync_at_once = false;
    readers.cluster.propose(1, "b");
    readers.cluster.deliver_all();
    let first = readers.read(2);
    readers.cluster.deliver_all();
    let second = readers.read_within(2, 100);
    assert_eq!((readers.readable(first), readers.stale(second)), (None, None));
    readers.cluster.sync(2);
    readers.cluster.deliver_all();
    assert!(readers.readable(first) == Some(4) && readers.readable(second) == Some(4));
}

/// Contract 8: a server that has lost its leader, and does not campaign, refuses what waits all the same: here a learner that is cut off,
/// and one that was removed.
#[test]
fn reads_end_on_servers_that_do_not_campaign() {
    let mut readers = Readers::new(3);
    let learner = readers.cluster.join();
    readers.cluster.change(1, Change::Add(server(learner, Suffrage::Learner)));
    readers.cluster.run(12);
    readers.cluster.cut.extend((1..=3).flat_map(|id| [(id, learner), (learner, id)]));
    let cut_off = readers.read(learner);
    readers.cluster.run(25);
    assert!(readers.is_refused(cut_off));
    readers.cluster.cut.clear();
    readers.cluster.run(12);
    assert!(readers.cluster.node(learner).status().leader.is_some());
    readers.cluster.change(1, Change::Remove(pair(learner).id));
    readers.cluster.run(6);
    let removed = readers.read(learner);
    readers.cluster.run(25);
    assert!(readers.is_refused(removed));
}

/// Questions of other servers take nothing from this one's clients, and those of one server nothing from another's.
#[test]
fn questions_of_others_have_their_own_room() {
    let mut readers = Readers::new(3);
    readers.cluster.machine(1).config = Config { reads_max: 2, ..config() };
    readers.cluster.restart(1);
    readers.cluster.elect(1);
    readers.cluster.run(6);
    readers.cluster.network.clear();
    let term = readers.cluster.node(1).status().term;
    let asks = |readers: &mut Readers, from: u64, token: u64| {
        readers.cluster.say(from, 1, term, Body::AskReadIndex { token: Token::new(token) });
    };
    for token in 1..=5000 {
        asks(&mut readers, 2, token);
    }
    asks(&mut readers, 3, 1);
    let own = readers.read(1);
    let told = |readers: &Readers, to: u64| {
        let is = |packet: &&Packet| packet.to == pair(to) && matches!(packet.body, Body::ReadIndex { .. });
        readers.cluster.network.iter().filter(is).count()
    };
    for _ in 0..2 {
        readers.cluster.deliver_one_way(1);
        readers.cluster.network.retain(|packet| packet.to == pair(1));
        readers.cluster.deliver_one_way(2);
        assert!(told(&readers, 2) <= 1, "the latest question answers those before it");
    }
    assert_eq!(told(&readers, 3), 1);
    assert!(readers.readable(own).is_some());
}

/// A client's read and another server's question, both of one round, are each answered; and so is a read that waits for the state machine
/// beside one that waits for a round.
#[test]
fn reads_of_several_kinds_wait_side_by_side() {
    let mut readers = Readers::new(3);
    let (own, others) = (readers.read(1), readers.read(2));
    readers.cluster.deliver_one_way(2);
    readers.cluster.deliver_all();
    assert_eq!((readers.readable(own), readers.readable(others)), (Some(3), Some(3)));

    readers.cluster.machine(1).sync_at_once = false;
    readers.cluster.propose(1, "b");
    readers.cluster.deliver_all();
    let confirmed = readers.read(1);
    readers.cluster.deliver_all();
    let waiting = readers.read(1);
    assert_eq!(readers.heartbeats(), 2, "the second wants a round though the first does not any more");
    readers.cluster.sync(1);
    assert_eq!((readers.readable(confirmed), readers.readable(waiting)), (Some(4), None));
    readers.cluster.deliver_all();
    assert_eq!(readers.readable(waiting), Some(4));
}

/// What was committed when a read came is enough for it: what is committed while it waits for its round is not waited for.
#[test]
fn read_waits_for_no_more_than_was_committed_when_it_came() {
    let mut readers = Readers::new(3);
    readers.cluster.machine(1).sync_at_once = false;
    let read = readers.read(1);
    let round: Vec<Packet> = readers.cluster.network.drain(..).collect();
    readers.cluster.propose(1, "b");
    readers.cluster.deliver_all();
    let status = readers.cluster.node(1).status();
    assert_eq!((status.commit, status.applied), (LogIndex::new(4), LogIndex::new(3)));
    assert_eq!(readers.readable(read), None);
    readers.cluster.network.extend(round);
    readers.cluster.deliver_all();
    assert_eq!(readers.readable(read), Some(3));
}

/// Reads become possible in the order of their indexes, whatever order they came in: a barrier is behind what is not committed.
#[test]
fn barrier_holds_up_no_read() {
    let mut readers = Readers::new(3);
    readers.cluster.propose(1, "b");
    readers.cluster.network.clear();
    let barrier = readers.ask(1, |id| Message::Barrier { id });
    let read = readers.read(1);
    readers.cluster.deliver_all();
    assert_eq!((readers.readable(read), readers.readable(barrier)), (Some(3), None));
    readers.cluster.run(12);
    assert_eq!(readers.readable(barrier), Some(4));
}

/// B41 between servers: a round that was sent before a question came says nothing of it, also where the same server's earlier question
/// waits for that round.
#[test]
fn question_is_not_answered_by_an_earlier_round() {
    let mut readers = Readers::new(3);
    let term = readers.cluster.node(1).status().term;
    let asks = |readers: &mut Readers, token: u64| {
        readers.cluster.say(2, 1, term, Body::AskReadIndex { token: Token::new(token) });
    };
    asks(&mut readers, 1);
    readers.cluster.deliver_one_way(1);
    asks(&mut readers, 2);
    readers.cluster.deliver_one_way(2);
    let told: Vec<_> = readers.cluster.network.iter().filter_map(|packet| told_token(packet, 2)).collect();
    assert_eq!(told, [Token::new(1)]);
}

/// The token of the question that a packet answers, if it is one to this server.
fn told_token(packet: &Packet, to: u64) -> Option<Token> {
    match packet.body {
        Body::ReadIndex { token, .. } if packet.to == pair(to) => Some(token),
        _ => None,
    }
}

/// So many questions of one server wait at most, each for a round of its own: four, whatever its clients want.
#[test]
fn questions_of_one_server_are_bounded() {
    let mut cluster = Cluster::with(3, Config { election_timeout_ticks: 30, ..config() });
    cluster.step(1, Message::Campaign);
    cluster.deliver_all();
    assert_eq!(cluster.node(1).status().role, RoleKind::Leader);
    let term = cluster.node(1).status().term;
    let mut rounds = Vec::new();
    for token in 1..=6 {
        cluster.say(2, 1, term, Body::AskReadIndex { token: Token::new(token) });
        cluster.tick(1, 3);
        rounds.extend(cluster.network.drain(..).filter(|packet| packet.to == pair(3)));
    }
    cluster.network.extend(rounds);
    cluster.deliver_one_way(1);
    cluster.deliver_one_way(3);
    let told: Vec<_> = cluster.network.iter().filter_map(|packet| told_token(packet, 2)).collect();
    assert_eq!(told, [1, 2, 3, 4].map(Token::new));
}

/// What another server than the leader says of the log, or the leader to an earlier boot, releases nothing.
#[test]
fn follower_reads_by_the_word_of_its_leader_only() {
    let mut readers = Readers::new(3);
    let read = readers.read(2);
    let asked = readers.cluster.network.pop_back().expect("a question");
    let Body::AskReadIndex { token } = asked.body else { panic!("{asked:?} is no question") };
    let says = |readers: &mut Readers, from: u64, boot: Boot| {
        let body = Body::ReadIndex { boot, token, index: LogIndex::new(3) };
        readers.cluster.say(from, 2, asked.term, body);
        readers.readable(read)
    };
    assert_eq!(says(&mut readers, 3, asked.boot), None, "a server that does not lead");
    assert_eq!(says(&mut readers, 1, Boot::new(asked.boot.raw() + 1)), None, "to another boot");
    assert_eq!(says(&mut readers, 1, asked.boot), Some(3));
}

/// A follower's limit is on all that wait there, for the leader or for the state machine; a node that halts refuses both.
#[test]
fn limit_of_a_follower_counts_all_that_wait() {
    let mut readers = Readers::new(3);
    readers.cluster.machine(2).config = Config { reads_max: 2, ..config() };
    readers.cluster.restart(2);
    readers.cluster.run(6);
    readers.cluster.machine(2).sync_at_once = false;
    readers.cluster.propose(1, "b");
    readers.cluster.deliver_all();
    let for_state = readers.read(2);
    readers.cluster.deliver_all();
    let for_leader = readers.read(2);
    let refused = readers.read(2);
    assert_eq!(readers.cluster.outcome(refused), Some(Outcome::Refused(Refusal::Busy)));
    // The first waits for an entry that is committed; it is not this leader that it depends on.
    readers.cluster.step(2, Message::ForgetLeader);
    assert!(readers.is_refused(for_leader));
    assert_eq!(readers.cluster.outcome(for_state), None);
    let number = readers.cluster.machine(2).unsynced[0].number;
    readers.cluster.step(2, Message::WriteFailed(number));
    assert_eq!(readers.cluster.outcome(for_state), Some(Outcome::Refused(Refusal::Halted)));
}
