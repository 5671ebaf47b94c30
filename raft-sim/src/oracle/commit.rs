//! The commit rule, and the list of what is committed.

use raft_core::{LogIndex, Term};

use super::disks::DiskModels;
use super::{Step, Verdict, broken, is_quorum};
use crate::action::HostSet;

pub(super) const NAME: &str = "commit-rule";
const RULE: &str = "only log entries from the leader's current term are committed by counting replicas (Raft thesis §3.6.2): a \
                    majority has held the entry durably in that term";
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
#[derive(Clone, Debug)]
pub(super) struct CommitRule {
    // One set of voters, or two in a joint configuration.
    halves: Vec<HostSet>,
    committed: Vec<Committed>,
}

impl CommitRule {
    pub(super) fn new(halves: Vec<HostSet>) -> Self {
        CommitRule { halves, committed: Vec::new() }
    }

    /// Whether these hold a majority of each half of the configuration.
    pub(super) fn is_quorum(&self, hosts: HostSet) -> bool {
        is_quorum(hosts, &self.halves)
    }

    pub(super) fn len(&self) -> u64 {
        self.committed.len() as u64
    }

    pub(super) fn at(&self, index: LogIndex) -> Option<Committed> {
        self.committed.get(index.raw().checked_sub(1)? as usize).copied()
    }

    /// The last entry that was first committed in a term below `term`, with its index.
    pub(super) fn last_below(&self, term: Term) -> Option<(LogIndex, Committed)> {
        let nth = self.committed.iter().rposition(|committed| committed.first_in < term)?;
        Some((LogIndex::new(nth as u64 + 1), self.committed[nth]))
    }

    pub(super) fn stepped(&mut self, step: &Step<'_>, disks: &DiskModels) -> Verdict {
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
        self.raise(step, disks, leading, index, term)
    }

    fn raise(
        &mut self,
        step: &Step<'_>,
        disks: &DiskModels,
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
        let holders: HostSet =
            disks.all().filter(|(_, disk)| disk.has_held(index, term)).map(|(host, _)| host).collect();
        if !is_quorum(holders, &self.halves) {
            return broken(NAME, RULE, || {
                format!(
                    "{} commits {term}.{index}, which only servers [{holders}] have held durably",
                    step.pair
                )
            });
        }
        for next in self.len() + 1..=index.raw() {
            let Some(term) = step.log.term_at(LogIndex::new(next)) else {
                return broken(NAME, RULE, || {
                    format!("{} commits a log with a gap at index {next}", step.pair)
                });
            };
            self.committed.push(Committed { term, first_in: leading });
        }
        Ok(())
    }
}
