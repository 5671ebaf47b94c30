//! Linearizable reads that do not go through the log (Raft thesis §6.4). A leader takes note of how far the log is committed, makes
//! sure by a round of heartbeats that a quorum still follows it, and lets the read happen once the state machine is that far. Any number
//! of reads share a round. A follower or learner asks the leader for the index and reads from its own state machine.
//!
//! The round is begun after the read has come, and rounds are counted over the whole boot: a late answer to an earlier one shows
//! nothing about a later read (B41). Before an entry of its own term is committed a leader does not know how far the log is, and reads
//! wait (B40).

use alloc::collections::VecDeque;

use crate::identity::{Boot, Pair};
use crate::marks::{Mark, reached};
use crate::membership::Votes;
use crate::node::Node;
use crate::packet::Body;
use crate::position::{LogIndex, RequestId, Round, Token};
use crate::progress::Progress;
use crate::quorum;
use crate::ready::{Answer, Outcome, Ready, Refusal};
use crate::renaming::{Renaming, RoundOf};
use crate::role::Role;

/// A client of this server that waits for a round.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Reader {
    /// It reads from the state machine of this server.
    Client(RequestId),
    /// It only wants to know that this server leads.
    Verifier(RequestId),
}

/// Another server that waits for a round, for all its reads up to this token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Question {
    pair: Pair,
    boot: Boot,
    token: Token,
}

/// A read on a leader that waits for a round.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Waiting<R> {
    reader: R,
    /// The round that has to be answered; `None` before it has begun.
    round: Option<Round>,
    /// How far the log was committed when the read came; `None` where that was not known.
    index: Option<LogIndex>,
}

/// Reads in the order in which they came, so that rounds and indexes rise.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Queue<R>(VecDeque<Waiting<R>>);

impl<R> Default for Queue<R> {
    fn default() -> Self {
        Queue(VecDeque::new())
    }
}

impl<R> Queue<R> {
    fn wants_round(&self) -> bool {
        self.0.back().is_some_and(|last| last.round.is_none())
    }

    fn is_in_round(&self) -> bool {
        self.0.front().is_some_and(|first| first.round.is_some())
    }

    fn round_begun(&mut self, round: Round) {
        for read in self.0.iter_mut().rev().take_while(|read| read.round.is_none()) {
            read.round = Some(round);
        }
    }

    /// The oldest, if its round is answered.
    fn pop_answered(&mut self, answered: Round) -> Option<Waiting<R>> {
        let is_answered = self.0.front()?.round.is_some_and(|round| round <= answered);
        if is_answered { self.0.pop_front() } else { None }
    }

    fn is_sorted(&self) -> bool {
        self.0.iter().map(|read| read.round.map_or(u64::MAX, Round::raw)).is_sorted()
    }
}

/// A read that waits for the state machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Confirmed {
    id: RequestId,
    index: LogIndex,
}

/// A read on a follower that waits for the leader's answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Asking {
    id: RequestId,
    /// With which question it was asked; `None` before that.
    token: Option<Token>,
}

/// All reads of a node that are not answered.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Reads {
    waiting: Queue<Reader>,
    questions: Queue<Question>,
    /// Sorted by index.
    confirmed: VecDeque<Confirmed>,
    asking: VecDeque<Asking>,
    /// The latest question to a leader.
    token: Token,
    /// Whether a heartbeat has come since.
    heard_since: bool,
    /// Ticks since that question was asked, saturating; `None` where it was given up.
    asked_ago: Option<u32>,
    /// What this server knows of how far the log was when.
    known: Option<Known>,
}

/// Everything that was answered to anybody `ago` ticks ago or earlier stands in the log at `index` or before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Known {
    index: LogIndex,
    ago: u32,
}

impl Reads {
    /// With other names, see [`Renaming`], on the server whose old name is `own`.
    pub(crate) fn rename(&mut self, own: Pair, names: &mut impl Renaming) {
        for read in &mut self.waiting.0 {
            read.round = read.round.map(|round| names.round(own, RoundOf::Awaited, round));
        }
        for read in &mut self.questions.0 {
            read.round = read.round.map(|round| names.round(own, RoundOf::Awaited, round));
            read.reader.boot = names.boot(read.reader.pair, read.reader.boot);
            read.reader.pair = names.pair(read.reader.pair);
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // Asked in every step: without a branch for each.
        self.waiting.0.len() | self.questions.0.len() | self.confirmed.len() | self.asking.len() == 0
    }

    /// Whether something is to be told how time passes.
    #[inline]
    pub(crate) fn has_clock(&self) -> bool {
        self.known.is_some() || self.asked_ago.is_some()
    }

    #[cold]
    pub(crate) fn tick(&mut self, elapsed: u32) {
        self.asked_ago = self.asked_ago.map(|ago| ago.saturating_add(elapsed));
        if let Some(known) = &mut self.known {
            known.ago = known.ago.saturating_add(elapsed);
        }
        // So long ago that it can not be counted.
        self.known = self.known.filter(|known| known.ago < u32::MAX);
    }

    /// How many of this server's clients wait.
    fn len(&self) -> usize {
        self.waiting.0.len() + self.confirmed.len() + self.asking.len()
    }

    /// Whether reads wait for a round, and none is under way that others wait for.
    pub(crate) fn want_round(&self) -> bool {
        let wanted = self.waiting.wants_round() || self.questions.wants_round();
        wanted && !self.waiting.is_in_round() && !self.questions.is_in_round()
    }

    /// A round has begun: what waits for one waits for this.
    pub(crate) fn round_begun(&mut self, round: Round) {
        self.waiting.round_begun(round);
        self.questions.round_begun(round);
    }

    fn confirm(&mut self, id: RequestId, index: LogIndex) {
        let place = self.confirmed.partition_point(|read| read.index <= index);
        self.confirmed.insert(place, Confirmed { id, index });
    }

    /// Nothing is read any more on a node that has halted.
    pub(crate) fn refuse_all(&mut self, ready: &mut Ready) {
        let asking = self.asking.drain(..).map(|asking| asking.id);
        for id in asking.chain(self.confirmed.drain(..).map(|read| read.id)) {
            ready.answers.push(Answer { id, outcome: Outcome::Refused(Refusal::Halted) });
        }
    }

    /// What must hold; `Err` names what does not.
    pub(crate) fn check(&self, max: u32) -> Result<(), &'static str> {
        if (max as usize) < self.len() {
            return Err("no more reads wait than the limit allows");
        }
        if !self.waiting.is_sorted() || !self.questions.is_sorted() {
            return Err("reads wait for rounds in the order in which they came");
        }
        if !self.confirmed.iter().is_sorted_by_key(|read| read.index) {
            return Err("reads wait for the state machine in the order of their indexes");
        }
        Ok(())
    }
}

/// So many questions of one server wait at most. Who is not answered asks again.
const QUESTIONS_MAX: usize = 4;

impl Node {
    /// A client wants to read. Answered when the state machine of this server may be read for it.
    #[cold]
    pub(crate) fn read(&mut self, id: RequestId, ready: &mut Ready) {
        if let Err(refusal) = self.admit_read() {
            return ready.answers.push(Answer { id, outcome: Outcome::Refused(refusal) });
        }
        if matches!(self.role, Role::Leader { .. }) {
            if self.has_lease() {
                return self.reads.confirm(id, self.commit);
            }
            self.wait_for_round(Reader::Client(id));
        } else {
            self.reads.asking.push_back(Asking { id, token: None });
        }
    }

    /// A client wants to read what is out of date by at most so many ticks. What this server has once been told of the log holds for the
    /// moment when it asked; it is its own clock that says how long ago that was.
    #[cold]
    pub(crate) fn read_within(&mut self, id: RequestId, ticks: u32, ready: &mut Ready) {
        let applied = self.applying.applied;
        match self.reads.known {
            // A tick that has begun counts as a whole one.
            Some(known) if known.ago < ticks && known.index <= applied && self.fault.is_none() => {
                reached(Mark::ReadStale);
                let outcome = Outcome::Stale { index: applied, ticks: known.ago + 1 };
                ready.answers.push(Answer { id, outcome });
            }
            _ => self.read(id, ready),
        }
    }

    /// Somebody wants to know that this server leads, now.
    #[cold]
    pub(crate) fn verify_leader(&mut self, id: RequestId, ready: &mut Ready) {
        match self.admit_read().and(self.leads()) {
            Ok(()) => self.wait_for_round(Reader::Verifier(id)),
            Err(refusal) => ready.answers.push(Answer { id, outcome: Outcome::Refused(refusal) }),
        }
    }

    /// Somebody wants to know when all that was proposed here is applied. It commits with this leadership, or is refused with it.
    #[cold]
    pub(crate) fn barrier(&mut self, id: RequestId, ready: &mut Ready) {
        match self.admit_read().and(self.leads()) {
            Ok(()) => self.reads.confirm(id, self.log.last().index),
            Err(refusal) => ready.answers.push(Answer { id, outcome: Outcome::Refused(refusal) }),
        }
    }

    fn leads(&self) -> Result<(), Refusal> {
        let leads = matches!(self.role, Role::Leader { .. });
        if leads { Ok(()) } else { Err(Refusal::NotLeader { leader: self.leader() }) }
    }

    fn admit_read(&self) -> Result<(), Refusal> {
        if self.fault.is_some() {
            return Err(Refusal::Halted);
        }
        if self.leader().is_none() {
            return Err(Refusal::NotLeader { leader: None });
        }
        if self.config.reads_max as usize <= self.reads.len() {
            return Err(Refusal::Busy);
        }
        Ok(())
    }

    fn wait_for_round(&mut self, reader: Reader) {
        let index = self.known_commit();
        self.reads.waiting.0.push_back(Waiting { reader, round: None, index });
    }

    fn known_commit(&self) -> Option<LogIndex> {
        self.commits_own_term().then_some(self.commit)
    }

    /// Whether an entry of the own term is committed: from then on a leader knows how far the log is (Raft thesis §6.4).
    pub(crate) fn commits_own_term(&self) -> bool {
        self.log.term_at(self.commit) == Some(self.hard_state.term)
    }

    /// Another server wants to know how far the log is committed.
    #[cold]
    pub(crate) fn index_asked(&mut self, pair: Pair, boot: Boot, token: Token) {
        if self.follower(pair).is_none() {
            return;
        }
        let (index, queue) = (self.known_commit(), &mut self.reads.questions.0);
        let same = |read: &Waiting<Question>| (read.reader.pair, read.reader.boot) == (pair, boot);
        let mut earlier = queue.iter_mut().filter(|read| same(read));
        // The answer to the later of two answers both, and they are answered by the same round.
        match earlier.next_back() {
            Some(latest) if latest.round.is_none() => {
                latest.reader.token = latest.reader.token.max(token);
                latest.index = index;
            }
            latest if usize::from(latest.is_some()) + earlier.count() < QUESTIONS_MAX => {
                queue.push_back(Waiting { reader: Question { pair, boot, token }, round: None, index });
            }
            _ => {}
        }
    }

    /// The leader has answered: reads that were asked for with this question or before it may happen once that much is applied.
    #[cold]
    pub(crate) fn index_told(&mut self, from: Pair, boot: Boot, token: Token, index: LogIndex) {
        if boot != self.identity.boot || self.leader() != Some(from) {
            return;
        }
        if token == self.reads.token
            && let Some(ago) = self.reads.asked_ago
        {
            // Whatever was answered before the question was asked stood before the index by the time the leader took note of that.
            self.reads.known = Some(Known { index, ago });
            self.reads.asked_ago = None;
        }
        while let Some(asking) = self.reads.asking.front()
            && asking.token.is_some_and(|asked| asked <= token)
        {
            let id = asking.id;
            self.reads.asking.pop_front();
            // Nothing that this server has called committed is ever taken back, whatever it is told.
            self.reads.confirm(id, index.max(self.commit));
        }
    }

    /// Lets reads happen: those whose round is answered, and those whose index is applied.
    #[cold]
    pub(crate) fn derive_reads(&mut self, ready: &mut Ready) {
        if matches!(self.role, Role::Leader { .. }) {
            self.derive_confirmed(ready);
        } else {
            self.derive_question(ready);
        }
        while let Some(read) = self.reads.confirmed.front()
            && read.index <= self.applying.applied
        {
            let (id, index) = (read.id, self.applying.applied);
            self.reads.confirmed.pop_front();
            ready.answers.push(Answer { id, outcome: Outcome::Readable { index } });
        }
    }

    #[cold]
    pub(crate) fn derive_confirmed(&mut self, ready: &mut Ready) {
        if self.reads.waiting.0.is_empty() && self.reads.questions.0.is_empty() {
            return;
        }
        if !self.commits_own_term() {
            return reached(Mark::ReadWaitsForTerm);
        }
        let answered = self.quorum_round(Progress::answered_round);
        while let Some(read) = self.reads.waiting.pop_answered(answered) {
            match read.reader {
                Reader::Client(id) => self.reads.confirm(id, read.index.unwrap_or(self.commit)),
                Reader::Verifier(id) => {
                    let outcome = Outcome::Leads { term: self.hard_state.term, commit: self.commit };
                    ready.answers.push(Answer { id, outcome });
                }
            }
        }
        while let Some(read) = self.reads.questions.pop_answered(answered) {
            let (Question { pair, boot, token }, index) = (read.reader, read.index.unwrap_or(self.commit));
            ready.send.push(self.packet(pair, Body::ReadIndex { boot, token, index }));
        }
    }

    /// The latest round that a quorum of each half of the configuration has answered, each follower as `answered` says.
    pub(crate) fn quorum_round(&self, answered: impl Fn(&Progress) -> Round) -> Round {
        let Role::Leader { followers, .. } = &self.role else { return Round::ZERO };
        let half = |counts: fn(Votes) -> bool| {
            let followers = followers.iter().filter(move |follower| counts(follower.votes));
            let own = counts(self.votes).then_some(self.round);
            quorum::quorum_index(followers.map(&answered).chain(own))
        };
        let incoming = half(|votes| votes.incoming);
        if self.joint { incoming.min(half(|votes| votes.outgoing)) } else { incoming }
    }

    /// Asks the leader, for all that has come since it was last asked. One question at a time: the next one leaves when this is answered
    /// or, where it was lost, with the leader's next heartbeat.
    fn derive_question(&mut self, ready: &mut Ready) {
        let Some(last) = self.reads.asking.back() else { return };
        let first = self.reads.asking.front().and_then(|first| first.token);
        if last.token.is_some() || first.is_some() {
            return;
        }
        self.ask_for_index(ready);
    }

    /// A heartbeat has come. Who has not been answered since the one before asks again: one of the two may have been sent because of
    /// the question.
    #[cold]
    pub(crate) fn heartbeat_while_asking(&mut self, ready: &mut Ready) {
        if core::mem::replace(&mut self.reads.heard_since, true) {
            reached(Mark::ReadAskedAgain);
            self.ask_for_index(ready);
        }
    }

    fn ask_for_index(&mut self, ready: &mut Ready) {
        let Some(leader) = self.leader() else { return };
        if self.reads.asking.is_empty() {
            return;
        }
        self.reads.token = self.reads.token.next();
        self.reads.heard_since = false;
        self.reads.asked_ago = Some(0);
        let token = self.reads.token;
        for asking in &mut self.reads.asking {
            asking.token = Some(asking.token.unwrap_or(token));
        }
        ready.send.push(self.packet(leader, Body::AskReadIndex { token }));
    }

    /// The leader is another one, or none: reads that wait for one are refused. They have no effect, so that is certain.
    #[cold]
    pub(crate) fn refuse_reads(&mut self, ready: &mut Ready) {
        let leader = self.leader();
        self.reads.asked_ago = None;
        self.reads.questions.0.clear();
        let waiting = self.reads.waiting.0.drain(..).map(|read| match read.reader {
            Reader::Client(id) | Reader::Verifier(id) => id,
        });
        let asking = self.reads.asking.drain(..).map(|asking| asking.id);
        // What is committed here will be applied; of the rest it is not known whether that ever comes.
        let known = self.reads.confirmed.partition_point(|read| read.index <= self.commit);
        let confirmed = self.reads.confirmed.drain(known..).map(|read| read.id);
        for id in waiting.chain(asking).chain(confirmed) {
            reached(Mark::ReadRefused);
            ready.answers.push(Answer { id, outcome: Outcome::Refused(Refusal::NotLeader { leader }) });
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: the check sees what is wrong. Method: reads of every kind, and the same with one thing put wrong.

    use super::*;
    use crate::identity::{Incarnation, NodeId};

    fn waiting(rounds: [Option<u64>; 2]) -> Queue<Reader> {
        let read = |round: Option<u64>| Waiting {
            reader: Reader::Client(RequestId::new(1)),
            round: round.map(Round::new),
            index: None,
        };
        Queue(rounds.map(read).into())
    }

    fn several() -> Reads {
        let mut reads = Reads { waiting: waiting([Some(3), None]), ..Reads::default() };
        reads.confirm(RequestId::new(2), LogIndex::new(7));
        reads.confirm(RequestId::new(3), LogIndex::new(5));
        reads.asking.push_back(Asking { id: RequestId::new(4), token: None });
        reads
    }

    #[test]
    fn check_sees_what_is_wrong() {
        assert_eq!(several().check(5), Ok(()));
        assert_eq!(several().check(4), Err("no more reads wait than the limit allows"));
        let broken = |breaks: fn(&mut Reads)| {
            let mut reads = several();
            breaks(&mut reads);
            reads.check(5)
        };
        let rounds = Err("reads wait for rounds in the order in which they came");
        assert_eq!(broken(|reads| reads.waiting = waiting([None, Some(3)])), rounds);
        assert_eq!(broken(|reads| reads.waiting = waiting([Some(4), Some(3)])), rounds);
        let question = Question { pair: pair(), boot: Boot::new(1), token: Token::new(1) };
        let of = |round| Waiting { reader: question, round: Some(Round::new(round)), index: None };
        let mut reads = several();
        reads.questions.0.extend([of(2), of(1)]);
        assert_eq!(reads.check(5), rounds);
        let indexes = Err("reads wait for the state machine in the order of their indexes");
        assert_eq!(broken(|reads| reads.confirmed.swap(0, 1)), indexes);
    }

    fn pair() -> Pair {
        let id = NodeId::new(2).expect("not zero");
        Pair { id, incarnation: Incarnation::new(2) }
    }
}
