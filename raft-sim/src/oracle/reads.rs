//! Reads without an entry in the log, barriers, and who leads: what was answered has to be at least what it was when it was asked for.
//!
//! When a client asks, this oracle takes note of the highest index that any server has committed by then: everything that any client can
//! know of is at or below it. A state machine that is read for the client later must have applied that much, whichever server it is on, and
//! a leader that says so must know that it is committed.

use std::collections::BTreeMap;

use raft_core::{Answer, LogIndex, Outcome, Pair, Term};

use super::commit::CommitRule;
use super::election::ElectionSafety;
use super::{Seen, Verdict, broken};
use crate::action::HostId;

pub(super) const NAME: &str = "reads";
const RULE: &str = "a linearizable read returns a result that reflects a state of the system sometime after the read was initiated; each \
                    read must at least return the results of the latest committed write (Raft thesis §6.4)";
const BARRIER: &str = "a barrier is answered when the state machine has everything that was in its leader's log before it (the contract of \
                       the core)";
const LEADS: &str = "a leader that a quorum has confirmed knows all that was committed before it was asked, and nobody has committed anything \
                     in a later term (Raft thesis §6.4)";
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
}

/// All questions that are not answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    asked: BTreeMap<u64, Asked>,
}

impl Reads {
    /// Somebody asks a node that was seen to be this. What it takes in before its next step may only add to that.
    pub(super) fn asked(&mut self, host: HostId, request: u64, kind: Kind, seen: &Seen, commit: &CommitRule) {
        let committed = LogIndex::new(commit.len());
        let log = if seen.leads { seen.last.index } else { LogIndex::ZERO };
        let floor = if kind == Kind::Barrier { log } else { committed };
        let term = commit.at(committed).map_or(Term::ZERO, |last| last.first_in);
        self.asked.insert(request, Asked { host, kind, floor, term });
    }

    pub(super) fn crashed(&mut self, host: HostId) {
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
            (None, Outcome::Readable { .. } | Outcome::Leads { .. }) | (Some(_), _) => {
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
    use raft_core::{Position, RequestId};

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
