//! Election safety, and the list of leaders that other oracles look things up in.

use raft_core::{Boot, LogIndex, Pair, Term};

use super::commit::CommitRule;
use super::configurations::{Configurations, is_quorum};
use super::term_log::{LogView, TermLog};
use super::votes::Votes;
use super::{Step, Verdict, Violation, broken};

pub(super) const NAME: &str = "election-safety";
const RULE: &str = "at most one leader can be elected in a given term (Raft thesis figure 3.2)";
const MAJORITY: &str = "a candidate wins an election if it receives votes from a majority of the servers in the full cluster for the \
                        same term (Raft thesis §3.4)";

/// A leader, as it was when it was elected.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    pub(super) term: Term,
    pub(super) pair: Pair,
    boot: Boot,
    // Below this its log was seen to be what is committed, so that it need not be kept. Else every leader would keep the terms
    // of all leaders before it.
    base: LogIndex,
    log: TermLog,
}

impl Leader {
    /// The term that `index` has in this leader's log, if its log reaches there: what it had when it was elected never
    /// changes in its term, and all that it appends is of its term.
    pub(super) fn term_at(&self, index: LogIndex, commit: &CommitRule) -> Option<Term> {
        if index <= self.base {
            commit.at(index).map(|committed| committed.term)
        } else if index <= self.log.last() {
            self.log.term_at(index)
        } else {
            Some(self.term)
        }
    }
}

/// Term → (pair, boot) of its leader, write-once.
#[derive(Clone, Debug, Default)]
pub(super) struct ElectionSafety {
    leaders: Vec<Leader>,
}

impl ElectionSafety {
    /// Whether the step made a leader.
    pub(super) fn stepped(&mut self, step: &Step<'_>, commit: &CommitRule) -> Result<bool, Box<Violation>> {
        let Step { before, after, .. } = step;
        if !after.leads || (before.leads && before.term == after.term) {
            return Ok(false);
        }
        let nth = self.leaders.partition_point(|leader| leader.term < after.term);
        if let Some(leader) = self.leaders.get(nth)
            && leader.term == after.term
        {
            let what = || {
                let (first, boot) = (leader.pair, leader.boot);
                format!(
                    "{first} (boot {boot}) and {} (boot {}) lead term {}",
                    step.pair, step.boot, after.term
                )
            };
            return broken(NAME, RULE, what).map(|()| false);
        }
        // Leader completeness, which is checked next, says that this is in its log.
        let base = commit.last_below(after.term).map_or(LogIndex::ZERO, |(index, _)| index);
        let log = TermLog::above(step.log, base, after.last.index);
        // The entries of its own term, which it may have appended in the same step, are covered by `Leader::term_at`.
        self.leaders.insert(nth, Leader { term: after.term, pair: step.pair, boot: step.boot, base, log });
        Ok(true)
    }

    /// Whether votes of its own term have made the leader of this step: a majority of its own configuration, and of each half of a
    /// joint one.
    pub(super) fn won(step: &Step<'_>, votes: &Votes, known: &Configurations) -> Verdict {
        let (pair, term) = (step.pair, step.after.term);
        let voters = votes.voters(pair, term);
        if is_quorum(&known.in_force(step.log).membership, |pair| voters.contains(&pair)) {
            return Ok(());
        }
        broken(NAME, MAJORITY, || format!("{pair} leads term {term}, in which only {voters:?} voted for it"))
    }

    /// Leaders of these terms, with empty logs.
    #[cfg(test)]
    pub(super) fn led(terms: &[(u64, Pair)]) -> Self {
        let leader = |(term, pair): &(u64, Pair)| Leader {
            term: Term::new(*term),
            pair: *pair,
            boot: Boot::new(1),
            base: LogIndex::ZERO,
            log: TermLog::default(),
        };
        ElectionSafety { leaders: terms.iter().map(leader).collect() }
    }

    pub(super) fn leader_of(&self, term: Term) -> Option<&Leader> {
        let nth = self.leaders.partition_point(|leader| leader.term < term);
        self.leaders.get(nth).filter(|leader| leader.term == term)
    }

    /// The leaders of later terms.
    pub(super) fn above(&self, term: Term) -> &[Leader] {
        &self.leaders[self.leaders.partition_point(|leader| leader.term <= term)..]
    }

    /// Whether this pair has led any term.
    pub(super) fn has_led(&self, pair: Pair) -> bool {
        self.leaders.iter().rev().any(|leader| leader.pair == pair)
    }

    pub(super) fn elected(&self) -> u64 {
        self.leaders.len() as u64
    }
}
