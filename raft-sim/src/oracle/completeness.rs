//! Leader completeness.

use raft_core::{LogIndex, Term};

use super::commit::CommitRule;
use super::election::ElectionSafety;
use super::{Step, Verdict, broken};

pub(super) const NAME: &str = "leader-completeness";
const RULE: &str = "if a log entry is committed in a given term, then that entry will be present in the logs of the leaders for \
                    all higher-numbered terms (Raft thesis figure 3.2)";

/// Checked from both ends: when a leader is elected, and when an entry is committed below a leader that already is. One
/// position is enough, since by log matching, which is checked apart, it names all that stands before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaderCompleteness;

impl LeaderCompleteness {
    pub(super) fn elected(self, step: &Step<'_>, commit: &CommitRule) -> Verdict {
        let term = step.after.term;
        match commit.last_below(term) {
            Some((index, committed)) if step.log.term_at(index) != Some(committed.term) => {
                let (pair, of, by) = (step.pair, committed.term, committed.first_in);
                broken(NAME, RULE, || {
                    format!("{pair} leads term {term} without {of}.{index}, which was committed in term {by}")
                })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn committed(
        self,
        step: &Step<'_>,
        commit: &CommitRule,
        election: &ElectionSafety,
    ) -> Verdict {
        let index = LogIndex::new(commit.len());
        let Some(committed) = commit.at(index) else { return Ok(()) };
        let term: Term = committed.first_in;
        match election.above(term).iter().find(|later| later.term_at(index, commit) != Some(committed.term)) {
            Some(later) => broken(NAME, RULE, || {
                let (of, who, later_term) = (committed.term, later.pair, later.term);
                format!(
                    "{} commits {of}.{index} in term {term}; {who} leads term {later_term} without it",
                    step.pair
                )
            }),
            None => Ok(()),
        }
    }
}
