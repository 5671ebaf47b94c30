//! What has to be made durable, and how that is put together again after a restart.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::entry::{Payload, Run, Runs};
use crate::identity::Pair;
use crate::log::TermStart;
use crate::membership::Membership;
use crate::position::{LogIndex, Position, Term, WriteNumber};

/// The term and the vote in it. They are always written together: a vote is nothing without its term.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct HardState {
    /// The latest term that the server has seen.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<Pair>,
}

/// One batch for the disk, recovered whole or not at all.
///
/// The driver makes batches durable in the order of their numbers, may join several into one sync, and answers
/// [`Message::Synced`](crate::Message::Synced) with the last number, which covers all before it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Write {
    /// 1, 2, 3 … within one boot. A bootstrap's write, which comes before the first boot, has number 0.
    pub number: WriteNumber,
    /// The term and the vote from here on.
    pub hard_state: HardState,
    /// Entries for the end of the log. Where there are any, the log ends right before the first of them: what stands at
    /// or behind its index is cut off.
    pub entries: Runs,
    /// An index that is known to be committed, never behind the end of the log that this batch leaves. A restart can
    /// apply up to here at once.
    pub commit: LogIndex,
}

/// Everything that a node's disk knew when it was started: what [`Node::new`](crate::Node::new) begins from.
///
/// Feed it every recovered [`Write`], in order, through [`absorb`](Self::absorb); `Recovered::default()` is an empty disk.
/// Then set [`applied`](Self::applied) to what the state machine has kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovered {
    /// The last term and vote.
    pub hard_state: HardState,
    /// The greatest index known to be committed.
    pub commit: LogIndex,
    /// Up to which index the state machine has applied the log. 0 for one that does not survive a restart; the core then
    /// replays the log to it.
    pub applied: LogIndex,
    /// Where each term begins in the part of the log before the tail.
    pub terms: Vec<TermStart>,
    /// Every configuration in the log, the tail included, with its index.
    pub memberships: Vec<(LogIndex, Arc<Membership>)>,
    /// The end of the log. Not empty where the log is not: what stands before its first entry is known by term only, and
    /// is fetched when it is needed.
    pub tail: Runs,
}

/// A write that does not follow from the writes before it: the disk returned something else than was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecoverError {
    /// Entries begin behind the end of the log, at this index.
    Gap(LogIndex),
    /// A batch cuts off entries that an earlier one says are committed, at this index.
    CommittedTruncated(LogIndex),
    /// The term falls, or the vote changes within a term.
    HardState,
    /// The terms of entries fall at this index, or one lies above the server's own term.
    Terms(LogIndex),
    /// The commit index lies behind the end of the log, or before the applied index.
    Commit(LogIndex),
}

impl fmt::Display for RecoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoverError::Gap(index) => write!(f, "the log has a gap before index {index}"),
            RecoverError::CommittedTruncated(index) => {
                write!(f, "the committed entry at index {index} is cut off again")
            }
            RecoverError::HardState => f.write_str("the term falls, or the vote changes within a term"),
            RecoverError::Terms(index) => write!(f, "the term of the entry at index {index} can not be"),
            RecoverError::Commit(index) => write!(f, "the commit index {index} does not fit the log"),
        }
    }
}

impl core::error::Error for RecoverError {}

impl Recovered {
    /// The position of the last entry.
    pub fn last(&self) -> Position {
        self.tail.last_position().unwrap_or(Position::ZERO)
    }

    /// The configuration in force.
    pub fn membership(&self) -> Option<&Arc<Membership>> {
        self.memberships.last().map(|(_, membership)| membership)
    }

    /// Takes the next write from the disk.
    ///
    /// # Errors
    /// Where it does not follow from the writes before; nothing is changed then, and the disk is damaged.
    pub fn absorb(&mut self, write: &Write) -> Result<(), RecoverError> {
        let (old, new) = (self.hard_state, write.hard_state);
        if new.term < old.term || (new.term == old.term && old.vote.is_some() && new.vote != old.vote) {
            return Err(RecoverError::HardState);
        }
        let first = write.entries.first();
        let kept = match first {
            Some(first) if self.last().index.next() < first => return Err(RecoverError::Gap(first)),
            Some(first) if first <= self.commit => return Err(RecoverError::CommittedTruncated(first)),
            Some(first) => self.term_at(first.previous()),
            None => None,
        };
        if let (Some(first), Some(kept)) = (first, kept)
            && write.entries.iter().next().is_some_and(|run| run.term() < kept)
        {
            return Err(RecoverError::Terms(first));
        }
        let last = write.entries.last_position().unwrap_or(self.last());
        if new.term < last.term {
            return Err(RecoverError::Terms(last.index));
        }
        if last.index < write.commit {
            return Err(RecoverError::Commit(write.commit));
        }
        if let Some(first) = first {
            self.truncate(first);
            for run in write.entries.iter() {
                self.tail.push_unchecked(run.clone());
            }
            for (position, entry) in write.entries.entries() {
                if let Payload::Membership(membership) = &entry.payload {
                    self.memberships.push((position.index, Arc::clone(membership)));
                }
            }
        }
        self.hard_state = new;
        self.commit = self.commit.max(write.commit);
        Ok(())
    }

    /// Moves all but the last `entries` (at least 1) out of the tail, so that recovering a long log takes little memory:
    /// what moved out is known by term only from then on. What is not known to be committed stays.
    pub fn shorten(&mut self, entries: u64) {
        let last = self.last().index;
        let keep_from = LogIndex::new(last.raw().saturating_sub(entries.max(1)) + 1).min(self.commit.next());
        let keep_from = keep_from.min(last);
        let mut tail = Runs::new();
        for run in self.tail.iter() {
            if run.first() < keep_from && self.terms.last().is_none_or(|start| start.term < run.term()) {
                self.terms.push(TermStart { term: run.term(), first: run.first() });
            }
            if let Some(run) = run.slice(keep_from, last) {
                tail.push_unchecked(run);
            }
        }
        self.tail = tail;
    }

    fn term_at(&self, index: LogIndex) -> Option<Term> {
        // From the end, where what is asked for nearly always is: a recovery asks once for each of its writes.
        let in_tail =
            self.tail.iter().rev().find(|run| run.first() <= index).filter(|run| index <= run.last());
        let before = || self.terms.iter().rev().find(|start| start.first <= index).map(|start| start.term);
        in_tail.map(Run::term).or_else(before)
    }

    fn truncate(&mut self, first: LogIndex) {
        if self.last().index < first {
            return;
        }
        let mut tail = Runs::new();
        for run in self.tail.iter() {
            if let Some(run) = run.slice(run.first(), first.previous()) {
                tail.push_unchecked(run);
            }
        }
        self.tail = tail;
        while self.terms.last().is_some_and(|start| first <= start.first) {
            self.terms.pop();
        }
        while self.memberships.last().is_some_and(|(index, _)| first <= *index) {
            self.memberships.pop();
        }
    }
}

/// What [`bootstrap`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bootstrap {
    /// The disk was empty: make this batch durable before the first node is made.
    Write(Write),
    /// The same founding configuration is there already; there is nothing to do.
    AlreadyDone,
}

/// Why a bootstrap was refused. Nothing has been changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BootstrapError {
    /// This pair is not among the founding voters. A founder whose disk was wiped is another pair, and can not found
    /// again: it has to be added by a membership change.
    NotAFounder(Pair),
    /// The disk holds a log that begins with another configuration, or a term or vote without one.
    HasState,
}

impl fmt::Display for BootstrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootstrapError::NotAFounder(pair) => write!(f, "{pair} is not among the founding voters"),
            BootstrapError::HasState => f.write_str("this server has state of another founding already"),
        }
    }
}

impl core::error::Error for BootstrapError {}

/// Founds a cluster on one of its founders: makes the write that puts the founding configuration into the first entry, at
/// term 0 and index 1. Every founder does so with the same `founding` configuration; doing it again is harmless.
///
/// # Errors
/// Where `pair` is no voter of `founding`, or the disk has other state.
pub fn bootstrap(disk: &Recovered, founding: &Membership, pair: Pair) -> Result<Bootstrap, BootstrapError> {
    if !founding.is_voter(pair) {
        return Err(BootstrapError::NotAFounder(pair));
    }
    if disk.last() != Position::ZERO {
        let founded = disk.memberships.first();
        let same = founded.is_some_and(|(index, m)| index.raw() == 1 && **m == *founding);
        return if same { Ok(Bootstrap::AlreadyDone) } else { Err(BootstrapError::HasState) };
    }
    if disk.hard_state != HardState::default() {
        return Err(BootstrapError::HasState);
    }
    Ok(Bootstrap::Write(Write {
        number: WriteNumber::ZERO,
        hard_state: HardState::default(),
        entries: crate::log::founding_entry(founding),
        commit: LogIndex::ZERO,
    }))
}
