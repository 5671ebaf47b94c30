//! Reads without an entry in the log, barriers, and who leads: what was answered has to be at least what it was when it was asked for.
//!
//! When a client asks, this oracle takes note of the highest index that any server has committed by then: everything that any client can
//! know of is at or below it. A state machine that is read for the client later must have applied that much, whichever server it is on, and
//! a leader that says so must know that it is committed.

use std::collections::{BTreeMap, VecDeque};

use raft_core::{Answer, LogIndex, Outcome, Pair, Term};

use super::commit::CommitRule;
use super::election::ElectionSafety;
use super::{Seen, Step, Verdict, broken};
use crate::action::HostId;

pub(super) const NAME: &str = "reads";
const RULE: &str = "a linearizable read returns a result that reflects a state of the system sometime after the read was initiated; each \
                    read must at least return the results of the latest committed write (Raft thesis §6.4)";
const BARRIER: &str = "a barrier is answered when the state machine has everything that was in its leader's log before it (the contract of \
                       the core)";
const LEADS: &str = "a leader that a quorum has confirmed knows all that was committed before it was asked, and nobody has committed anything \
                     in a later term (Raft thesis §6.4)";
const STALE: &str = "what is read out of date has all that was committed so many ticks of that server's clock ago, which are no more than were \
                     asked for (the contract of the core)";
const KIND: &str = "reads and barriers are answered as readable or refused, verifications as leading or refused, nothing else is (the \
                    contract of the core)";

/// What is asked for that takes no entry in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// To read the state machine.
    Read,
    /// To be told when all that was proposed before is applied.
    Barrier,
    /// To be told whether the server leads.
    Verify,
    /// To read a state that is out of date by so many ticks at most.
    Within(u32),
}

/// A question, and what an answer must not fall short of.
#[derive(Clone, Copy, Debug)]
struct Asked {
    host: HostId,
    kind: Kind,
    /// Up to there some server had committed or, for a barrier, its leader's log went.
    floor: LogIndex,
    /// The latest term in which anything was committed.
    term: Term,
    /// What the clock showed when it was asked. The node may hear of what comes later in the same step.
    tick: u64,
}

/// How far some server had committed when a clock came to show this tick.
#[derive(Clone, Copy, Debug)]
struct Moment {
    tick: u64,
    floor: LogIndex,
}

/// All questions that are not answered, and by machine the last moments of its clock since it came up.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    asked: BTreeMap<u64, Asked>,
    moments: BTreeMap<HostId, VecDeque<Moment>>,
}

/// For so many moments of a clock it is known what was committed.
const MOMENTS_MAX: usize = 256;

impl Reads {
    /// Somebody asks a node that was seen to be this. What it takes in before its next step may only add to that.
    pub(super) fn asked(&mut self, host: HostId, request: u64, kind: Kind, seen: &Seen, commit: &CommitRule) {
        let committed = LogIndex::new(commit.len());
        let log = if seen.leads { seen.last.index } else { LogIndex::ZERO };
        let floor = if kind == Kind::Barrier { log } else { committed };
        let term = commit.at(committed).map_or(Term::ZERO, |last| last.first_in);
        let tick = self.moments.get(&host).and_then(|moments| moments.back()).map_or(0, |last| last.tick);
        self.asked.insert(request, Asked { host, kind, floor, term, tick });
    }

    /// Which kind of question this is, while it waits for its answer.
    pub(super) fn kind(&self, request: u64) -> Option<Kind> {
        self.asked.get(&request).map(|asked| asked.kind)
    }

    /// The clock of this machine has moved on.
    pub(super) fn ticked(&mut self, host: HostId, elapsed: u32, commit: &CommitRule) {
        let moments = self.moments.entry(host).or_default();
        let tick = moments.back().map_or(0, |last| last.tick) + u64::from(elapsed);
        moments.push_back(Moment { tick, floor: LogIndex::new(commit.len()) });
        if MOMENTS_MAX < moments.len() {
            moments.pop_front();
        }
    }

    /// What is out of date is so by no more than the answer says: what anybody had committed when fewer than so many ticks of this clock
    /// were left to go is there.
    pub(super) fn stepped(&self, step: &Step<'_>) -> Verdict {
        for answer in &step.ready.answers {
            let Outcome::Stale { index, ticks } = answer.outcome else { continue };
            let Some(asked) = self.asked.get(&answer.id.raw()) else { continue };
            // So long ago this server was not up: it claims nothing.
            let Some(since) = asked.tick.checked_sub(u64::from(ticks)) else { continue };
            let floor = self
                .moments
                .get(&step.host)
                .and_then(|moments| moments.iter().find(|moment| since < moment.tick));
            let floor = floor.map_or(LogIndex::ZERO, |moment| moment.floor);
            if index < floor {
                let (pair, request) = (step.pair, answer.id.raw());
                return broken(NAME, STALE, || {
                    format!(
                        "{pair} is read at {index} (request {request}), as of {ticks} ticks ago; then {floor} was committed"
                    )
                });
            }
        }
        Ok(())
    }

    pub(super) fn crashed(&mut self, host: HostId) {
        self.moments.remove(&host);
        self.asked.retain(|_, asked| asked.host != host);
    }

    /// A client of server `pair`, whose state machine has applied this much, gets an answer.
    pub(super) fn answered(
        &mut self,
        answer: &Answer,
        (pair, applied): (Pair, LogIndex),
        (commit, election): (&CommitRule, &ElectionSafety),
    ) -> Verdict {
        let request = answer.id.raw();
        let asked = self.asked.remove(&request);
        match (asked, &answer.outcome) {
            (_, Outcome::Refused(_)) => Ok(()),
            (Some(asked), &Outcome::Readable { index }) if asked.kind != Kind::Verify => {
                readable(request, pair, asked, (index, applied))
            }
            (Some(asked), &Outcome::Leads { term, commit: known }) if asked.kind == Kind::Verify => {
                let led = election.leader_of(term).is_some_and(|leader| leader.pair == pair);
                let known_here = asked.floor <= known && known.raw() <= commit.len();
                if led && known_here && asked.term <= term {
                    return Ok(());
                }
                let Asked { floor, term: latest, .. } = asked;
                broken(NAME, LEADS, || {
                    format!(
                        "{pair} says that it leads term {term} and has committed up to {known} (request {request}); when it was asked, \
                         {floor} was committed, in term {latest}"
                    )
                })
            }
            (Some(Asked { kind: Kind::Within(most), .. }), &Outcome::Stale { index, ticks }) => {
                if ticks <= most && index <= applied {
                    return Ok(());
                }
                broken(NAME, STALE, || {
                    format!(
                        "{pair} is read at {applied} as {index}, {ticks} ticks out of date (request {request}, {most} asked for)"
                    )
                })
            }
            (None, Outcome::Readable { .. } | Outcome::Leads { .. } | Outcome::Stale { .. })
            | (Some(_), _) => {
                broken(NAME, KIND, || format!("request {request} is answered as {:?}", answer.outcome))
            }
            (None, _) => Ok(()),
        }
    }
}

fn readable(request: u64, pair: Pair, asked: Asked, (index, applied): (LogIndex, LogIndex)) -> Verdict {
    if applied < index {
        return broken(NAME, RULE, || {
            format!("{pair} says that {index} is applied (request {request}), it is {applied}")
        });
    }
    if asked.floor <= applied {
        return Ok(());
    }
    let floor = asked.floor;
    match asked.kind {
        Kind::Barrier => broken(NAME, BARRIER, || {
            format!("{pair} has applied up to {applied} (request {request}), its log went to {floor} before")
        }),
        _ => broken(NAME, RULE, || {
            format!(
                "{pair} is read at {applied} (request {request}), when that was asked for, {floor} was committed"
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{Boot, Position, Ready, RequestId};

    use super::super::TermLog;
    use super::super::tests::{host, pair};
    use super::*;

    fn seen(leads: bool, last: u64) -> Seen {
        let (term, last) = (Term::new(2), Position::new(2, last));
        let (vote, fault) = (None, None);
        Seen {
            leads,
            campaigns: false,
            term,
            vote,
            commit: LogIndex::ZERO,
            applied: LogIndex::ZERO,
            last,
            fault,
        }
    }

    /// The oracle that reports this answer to a question of this kind to server 1, which leads with a log up to 7. Committed is up to 4,
    /// the last of them in term 2.
    fn verdict(kind: Option<Kind>, outcome: Outcome, applied: u64) -> &'static str {
        let (commit, election) = (
            CommitRule::of_terms(&[0, 1, 1, 2]),
            ElectionSafety::led(&[(1, pair(1)), (2, pair(1)), (3, pair(2))]),
        );
        let mut reads = Reads::default();
        if let Some(kind) = kind {
            reads.asked(host(1), 5, kind, &seen(true, 7), &commit);
        }
        let answer = Answer { id: RequestId::new(5), outcome };
        let verdict = reads.answered(&answer, (pair(1), LogIndex::new(applied)), (&commit, &election));
        verdict.err().map_or("none", |violation| violation.rule)
    }

    /// Goal: a read that misses what was committed before it was asked for is seen, and so is a barrier that misses what its leader had.
    /// Method: state machines on both sides of each limit.
    #[test]
    fn reads_sees_what_is_missing() {
        let readable = |index| Outcome::Readable { index: LogIndex::new(index) };
        assert_eq!(verdict(Some(Kind::Read), readable(4), 4), "none");
        assert_eq!(verdict(Some(Kind::Read), readable(3), 3), RULE);
        assert_eq!(verdict(Some(Kind::Read), readable(5), 4), RULE, "says more than there is");
        assert_eq!(verdict(Some(Kind::Barrier), readable(7), 7), "none");
        assert_eq!(verdict(Some(Kind::Barrier), readable(6), 6), BARRIER);
    }

    /// Goal: who does not lead any more is seen. Method: a term of another, one before the latest with something committed, a commit index
    /// that falls short, and one that is not committed.
    #[test]
    fn reads_sees_false_leaders() {
        let leads = |term, commit| Outcome::Leads { term: Term::new(term), commit: LogIndex::new(commit) };
        assert_eq!(verdict(Some(Kind::Verify), leads(2, 4), 0), "none");
        for (term, commit) in [(3, 4), (1, 4), (2, 3), (2, 5), (4, 4)] {
            assert_eq!(verdict(Some(Kind::Verify), leads(term, commit), 9), LEADS, "{term} {commit}");
        }
    }

    /// Goal: a read that is further out of date than it says is seen, and so is one that is further than was asked for. Method: a clock
    /// that shows 3, 4 and 9 when 1, 2 and 4 entries are committed; and answers on both sides of each limit.
    #[test]
    fn reads_sees_what_is_too_old() {
        let mut reads = Reads::default();
        for (elapsed, terms) in [(3, &[0][..]), (1, &[0, 1]), (5, &[0, 1, 1, 1])] {
            reads.ticked(host(1), elapsed, &CommitRule::of_terms(terms));
        }
        let (log, state) = (TermLog::default(), seen(false, 7));
        reads.asked(host(1), 5, Kind::Within(9), &state, &CommitRule::default());
        // That is later.
        reads.ticked(host(1), 1, &CommitRule::of_terms(&[0, 1, 1, 1, 1]));
        let is_known = |index, ticks| {
            let outcome = Outcome::Stale { index: LogIndex::new(index), ticks };
            let answers = vec![Answer { id: RequestId::new(5), outcome }];
            let ready = Ready { answers, ..Ready::default() };
            let (host, pair, boot) = (host(1), pair(1), Boot::new(1));
            reads
                .stepped(&Step { host, pair, boot, before: state, after: state, log: &log, ready: &ready })
                .is_ok()
        };
        for (ticks, floor) in [(1, 4), (5, 4), (6, 2), (7, 1), (9, 1)] {
            assert!(is_known(floor, ticks) && !is_known(floor - 1, ticks), "{ticks} ticks");
        }
        let stale = |index, ticks| Outcome::Stale { index: LogIndex::new(index), ticks };
        assert_eq!(verdict(Some(Kind::Within(3)), stale(2, 3), 2), "none");
        assert_eq!(verdict(Some(Kind::Within(2)), stale(2, 3), 2), STALE);
        assert_eq!(verdict(Some(Kind::Within(3)), stale(3, 3), 2), STALE);
        assert_eq!(verdict(Some(Kind::Read), stale(2, 3), 2), KIND);
        assert_eq!(verdict(None, stale(2, 3), 2), KIND);
    }

    /// Goal: answers fit their questions. Method: each that does not, and a crash after which nothing is waited for.
    #[test]
    fn reads_sees_answers_to_other_questions() {
        let readable = || Outcome::Readable { index: LogIndex::new(7) };
        let leads = || Outcome::Leads { term: Term::new(2), commit: LogIndex::new(4) };
        let committed = || Outcome::Committed { first: Position::new(2, 4), last: Position::new(2, 4) };
        for (kind, outcome) in [
            (Some(Kind::Verify), readable()),
            (Some(Kind::Read), leads()),
            (Some(Kind::Barrier), leads()),
            (Some(Kind::Read), committed()),
            (None, readable()),
            (None, leads()),
        ] {
            let shown = format!("{kind:?} {outcome:?}");
            assert_eq!(verdict(kind, outcome, 7), KIND, "{shown}");
        }
        assert_eq!(verdict(None, committed(), 7), "none");
        let mut reads = Reads::default();
        reads.asked(host(1), 5, Kind::Read, &seen(true, 7), &CommitRule::default());
        reads.crashed(host(2));
        assert_eq!(reads.asked.len(), 1);
        reads.crashed(host(1));
        assert!(reads.asked.is_empty());
    }
}
