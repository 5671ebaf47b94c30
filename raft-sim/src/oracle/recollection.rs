//! What a node says of the terms in its log. It may forget them once they are committed, so the oracles keep a log of their own for each
//! node, which forgets nothing: made of what the node said when it still knew.

use raft_core::{LogIndex, Membership, Position, Term};

use super::commit::CommitRule;
use super::term_log::{LogView, TermLog};
use super::{Step, Verdict, broken};
use crate::action::HostId;

pub(super) const NAME: &str = "recollection";
const RULE: &str = "what a node knows of the terms in its log is so for ever, and what it has forgotten is committed (the contract of the \
                    core; B24)";

/// The log of every node, whole.
#[derive(Clone, Debug)]
pub(super) struct Recollection {
    logs: Vec<TermLog>,
    looks: u64,
}

/// A whole log, with what its node says of itself.
pub(super) struct Whole<'a> {
    pub(super) log: &'a TermLog,
    pub(super) node: &'a dyn LogView,
}

impl LogView for Whole<'_> {
    fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == LogIndex::ZERO { Some(Term::ZERO) } else { self.log.term_at(index) }
    }

    fn in_force(&self) -> Option<LogIndex> {
        self.node.in_force()
    }

    fn membership(&self) -> Option<&Membership> {
        self.node.membership()
    }

    fn start(&self) -> Option<Position> {
        self.node.start()
    }
}

impl Recollection {
    pub(super) fn new(hosts: usize) -> Self {
        Recollection { logs: vec![TermLog::default(); hosts], looks: 0 }
    }

    /// The log of this machine's node.
    pub(super) fn of(&self, host: HostId) -> &TermLog {
        &self.logs[host.nth()]
    }

    /// A node begins with this log.
    pub(super) fn started(&mut self, host: HostId, log: &TermLog) {
        self.logs[host.nth()].clone_from(log);
    }

    /// Follows a node through a step.
    pub(super) fn follow(&mut self, step: &Step<'_>, commit: &CommitRule) {
        self.logs[step.host.nth()].follow(step.log, step.after.last.index, commit.terms());
    }

    /// Takes the log of a node out, to be put back.
    pub(super) fn take(&mut self, host: HostId) -> TermLog {
        std::mem::take(&mut self.logs[host.nth()])
    }

    pub(super) fn put_back(&mut self, host: HostId, log: TermLog) {
        self.logs[host.nth()] = log;
    }

    /// Judges what the node says now. All of a log is looked at in the course of time, one index at a step.
    pub(super) fn stepped(&mut self, step: &Step<'_>, commit: &CommitRule) -> Verdict {
        let node = step.log;
        self.looks += 1;
        let (log, last) = (&self.logs[step.host.nth()], step.after.last.index);
        let start = node.start().unwrap_or_default();
        let any = LogIndex::new(self.looks % (last.raw() + 1));
        // A log that ends before what is committed is for other rules to judge.
        for index in [start.index, step.after.commit.min(last), last, any] {
            let known = if index == LogIndex::ZERO { Some(Term::ZERO) } else { log.term_at(index) };
            let fits = match node.term_at(index) {
                None if index == LogIndex::ZERO => true,
                None => index <= step.after.commit && index < last,
                term => term == known,
            };
            if !fits {
                let said = node.term_at(index);
                return broken(NAME, RULE, || {
                    format!("{} says {said:?} of index {index}, where its log has {known:?}", step.pair)
                });
            }
        }
        let committed = commit.at(start.index).map(|there| there.term);
        if start == Position::ZERO || committed == Some(start.term) && start.index <= step.after.commit {
            return Ok(());
        }
        broken(NAME, RULE, || {
            format!("the log of {} begins behind {start}, which is not committed", step.pair)
        })
    }
}
