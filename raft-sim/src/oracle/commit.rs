//! The commit rule, and the list of what is committed.

use raft_core::{LogIndex, Pair, Term};

use super::configurations::{Configurations, is_quorum};
use super::disks::DiskModels;
use super::term_log::TermLog;
use super::{Step, Verdict, broken};

pub(super) const NAME: &str = "commit-rule";
const RULE: &str = "only log entries from the leader's current term are committed by counting replicas (Raft thesis §3.6.2): a \
                    majority of the leader's own configuration, and of each half of a joint one (§4.3), has held the entry durably in \
                    that term";
const SPREAD: &str =
    "a server other than the leader commits only what a leader has committed (Raft thesis figure 3.1)";

/// A committed entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Committed {
    /// The entry's own term.
    pub(super) term: Term,
    /// The term whose leader committed it first.
    pub(super) first_in: Term,
}

/// Index → what is committed there, write-once.
#[derive(Clone, Debug, Default)]
pub(super) struct CommitRule {
    committed: Vec<Committed>,
    /// The terms of these, as of a log.
    terms: TermLog,
}

impl CommitRule {
    pub(super) fn len(&self) -> u64 {
        self.committed.len() as u64
    }

    /// Committed entries of these terms, each by a leader of its own.
    #[cfg(test)]
    pub(super) fn of_terms(terms: &[u64]) -> Self {
        let mut rule = CommitRule::default();
        for term in terms.iter().copied().map(Term::new) {
            rule.committed.push(Committed { term, first_in: term });
            rule.terms.push(term);
        }
        rule
    }

    /// What is committed, as a log.
    pub(super) fn terms(&self) -> &TermLog {
        &self.terms
    }

    pub(super) fn at(&self, index: LogIndex) -> Option<Committed> {
        self.committed.get(index.raw().checked_sub(1)? as usize).copied()
    }

    /// The last entry that was first committed in a term below `term`, with its index.
    pub(super) fn last_below(&self, term: Term) -> Option<(LogIndex, Committed)> {
        let nth = self.committed.iter().rposition(|committed| committed.first_in < term)?;
        Some((LogIndex::new(nth as u64 + 1), self.committed[nth]))
    }

    pub(super) fn stepped(&mut self, step: &Step<'_>, disks: &DiskModels, known: &Configurations) -> Verdict {
        let Step { before, after, .. } = step;
        let index = after.commit;
        if index <= before.commit {
            return Ok(());
        }
        let Some(term) = step.log.term_at(index) else {
            return broken(NAME, SPREAD, || {
                format!("{} commits index {index} behind the end of its log", step.pair)
            });
        };
        let led_all_along = before.leads && after.leads && before.term == after.term;
        // One step can take several messages, so that a server may have followed in one part of it and led in another.
        if !led_all_along && self.at(index).is_some_and(|committed| committed.term == term) {
            return Ok(());
        }
        if !before.leads && !after.leads {
            return broken(NAME, SPREAD, || {
                format!("{} commits index {index} of term {term}, which no leader has committed", step.pair)
            });
        }
        let leading = if after.leads { after.term } else { before.term };
        self.raise(step, (disks, known), leading, index, term)
    }

    fn raise(
        &mut self,
        step: &Step<'_>,
        (disks, known): (&DiskModels, &Configurations),
        leading: Term,
        index: LogIndex,
        term: Term,
    ) -> Verdict {
        if term != leading {
            return broken(NAME, RULE, || {
                format!(
                    "{}, leader of term {leading}, commits index {index}, whose entry is of term {term}",
                    step.pair
                )
            });
        }
        let holders: Vec<Pair> =
            disks.all().filter(|(_, disk)| disk.has_held(index, term)).map(|(pair, _)| pair).collect();
        // What is in force is the last configuration in its log: that of the end of the step, or one before it which another one
        // has followed in this very step. But a configuration is committed by itself: no other one stands behind it before that, since there
        // is one change at a time (§4.1).
        let here = known.up_to(step.log, index);
        let is_configuration = here.position.index == index;
        let mut in_force = if is_configuration { here } else { known.in_force(step.log) };
        while !is_quorum(&in_force.membership, |pair| holders.contains(&pair)) {
            let before = known.up_to(step.log, in_force.position.index.previous());
            let followed =
                step.before.last.index < in_force.position.index && before.position != in_force.position;
            if is_configuration || !followed {
                return broken(NAME, RULE, || {
                    format!("{} commits {term}.{index}, which only {holders:?} have held durably", step.pair)
                });
            }
            in_force = before;
        }
        for next in self.len() + 1..=index.raw() {
            let Some(term) = step.log.term_at(LogIndex::new(next)) else {
                return broken(NAME, RULE, || {
                    format!("{} commits a log with a gap at index {next}", step.pair)
                });
            };
            self.committed.push(Committed { term, first_in: leading });
            self.terms.push(term);
        }
        Ok(())
    }
}
