//! What has to be made durable, and how that is put together again after a restart.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;

use crate::entry::{Payload, Run, Runs};
use crate::identity::{ClusterId, Pair};
use crate::log::{TermStart, log_cluster};
use crate::membership::Membership;
use crate::position::{LogIndex, Position, Term, WriteNumber};
use crate::snapshot::{Compaction, Snapshot};

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
    /// Where a snapshot stands for the beginning of the log from here on. With [`Compaction::discards`] nothing of the log before
    /// this batch is kept; else its entries up to [`Compaction::start`] may be deleted once the batch is durable.
    pub compaction: Option<Box<Compaction>>,
    /// From the end of this batch on the log is that of another cluster: only what [`recover`](crate::recover) makes says so.
    pub refounds: Option<Box<ClusterId>>,
    /// An index that is known to be committed, never behind the end of the log that this batch leaves. A restart can
    /// apply up to here at once.
    pub commit: LogIndex,
}

/// Everything that a node's disk knew when it was started: what [`Node::new`](crate::Node::new) begins from.
///
/// Feed it every recovered [`Write`], in order: through [`absorb`](Self::absorb) one by one, where `Recovered::default()` is an empty
/// disk, or through [`replay`](Self::replay) all at once. Then set [`applied`](Self::applied) to what the state machine has kept.
///
/// It also is how a disk gets rid of what a snapshot stands for ([`Compaction`]), since the writes that are left say too little without
/// those before them. [`encode_recovered`](crate::encode_recovered) writes down what some writes have come to, and takes their place:
///
/// ```text
///   one file    │ what all writes so far have come to │ write │ write │ …          takes the place of the file, by a rename
///
///   many files  │ write │ write │ …    │ what the first file has come to, shortened │ write │ …    │ what the second …
///                       ▲ deleted once the log begins behind it: a start reads from the next file on
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Recovered {
    /// The last term and vote.
    pub hard_state: HardState,
    /// The greatest index known to be committed.
    pub commit: LogIndex,
    /// Up to which index the state machine has applied the log. 0 for one that does not survive a restart; the core then
    /// replays the log to it.
    pub applied: LogIndex,
    /// The latest snapshot that a write has told of. Its bytes have to be there still.
    pub snapshot: Option<Arc<Snapshot>>,
    /// What stands right before the log: at or before the end of the snapshot, and the place before the first entry where
    /// there is none.
    pub start: Position,
    /// The cluster that the log was made to be of by a recovery from a lost quorum, and the index of the entry that did so.
    pub refounded: Option<(LogIndex, ClusterId)>,
    /// What an embedder knows of a log whose end its disk has lost: that it ended here, or before. All zero where nothing is
    /// lost. The server may have acknowledged entries up to here, so until it has them again, or a log that is more up-to-date,
    /// it does not campaign, and votes for nobody who has less ([`Event::Repaired`](crate::Event::Repaired) says when). An
    /// embedder keeps this durable itself, and sets it at every start until then. Where it is not known how far the log
    /// went, or where the term and the vote may be lost too, or nothing of
    /// the log is left, the server has to come back as a stranger; and a state machine that has
    /// applied more than is left has to begin anew.
    pub lost: Position,
    /// Where each term begins in the part of the log before the tail.
    pub(crate) terms: Vec<TermStart>,
    /// Every configuration in the log, the tail included, with its index, and the one in force at the end of the snapshot.
    pub(crate) memberships: Vec<(LogIndex, Arc<Membership>)>,
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
    /// A snapshot that does not fit the log at this index, or is older than the one before it.
    Snapshot(LogIndex),
    /// A recovery from a lost quorum without the entry that it appends.
    Refounding,
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
            RecoverError::Snapshot(index) => {
                write!(f, "the snapshot up to index {index} does not fit the log")
            }
            RecoverError::Refounding => f.write_str("a recovery from a lost quorum appends nothing"),
            RecoverError::Commit(index) => write!(f, "the commit index {index} does not fit the log"),
        }
    }
}

impl core::error::Error for RecoverError {}

impl Recovered {
    /// The position of the last entry; where there is none, what stands right before the log.
    pub fn last(&self) -> Position {
        self.tail.last_position().unwrap_or(self.start)
    }

    /// The configuration in force: the last one, committed or not. `None` on a disk that has not heard of its cluster yet.
    pub fn membership(&self) -> Option<&Arc<Membership>> {
        self.memberships.last().map(|(_, membership)| membership)
    }

    /// The configurations in the log, the tail included, each with its index, and before them the one in force at the end of the
    /// snapshot: the last is in force.
    pub fn memberships(&self) -> &[(LogIndex, Arc<Membership>)] {
        &self.memberships
    }

    /// The first entry of each term in the part of the log before the tail. Where the log begins behind a snapshot, what stands right
    /// before it counts as the first of its term.
    pub fn term_starts(&self) -> impl Iterator<Item = Position> + '_ {
        self.terms.iter().map(|start| Position { term: start.term, index: start.first })
    }

    /// The cluster that the log is of. `None` on a disk that has not heard of one yet.
    pub fn cluster(&self) -> Option<ClusterId> {
        log_cluster(self.refounded, self.snapshot.as_deref(), &self.memberships)
    }

    /// What a disk knows that holds these writes, in order.
    ///
    /// # Errors
    /// As those of [`absorb`](Self::absorb).
    pub fn replay<W: Borrow<Write>>(writes: impl IntoIterator<Item = W>) -> Result<Self, RecoverError> {
        let mut recovered = Recovered::default();
        for write in writes {
            recovered.absorb(write.borrow())?;
        }
        Ok(recovered)
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
        if let Some(compaction) = write.compaction.as_ref().filter(|compaction| compaction.discards) {
            let (mut rest, mut restarted) = (write.clone(), self.clone());
            if compaction.start != compaction.snapshot.last {
                return Err(RecoverError::Snapshot(compaction.snapshot.last.index));
            }
            restarted.restart(&compaction.snapshot)?;
            rest.compaction = None;
            restarted.absorb(&rest)?;
            *self = restarted;
            return Ok(());
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
        if write.refounds.is_some() && write.entries.is_empty() {
            return Err(RecoverError::Refounding);
        }
        let last = write.entries.last_position().unwrap_or(self.last());
        if new.term < last.term {
            return Err(RecoverError::Terms(last.index));
        }
        if last.index < write.commit {
            return Err(RecoverError::Commit(write.commit));
        }
        if let Some(compaction) = &write.compaction {
            self.check_compaction(compaction, write)?;
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
        if let (Some(cluster), Some(last)) =
            (write.refounds.as_deref().copied(), write.entries.last_position())
        {
            self.refounded = Some((last.index, cluster));
        }
        if let Some(compaction) = &write.compaction {
            self.compact(compaction);
        }
        self.hard_state = new;
        self.commit = self.commit.max(write.commit);
        Ok(())
    }

    /// Begins anew behind a snapshot.
    fn restart(&mut self, snapshot: &Arc<Snapshot>) -> Result<(), RecoverError> {
        let last = snapshot.last;
        if last.index <= self.commit || self.snapshot.as_ref().is_some_and(|old| last.index <= old.last.index)
        {
            return Err(RecoverError::Snapshot(last.index));
        }
        (self.start, self.commit) = (last, last.index);
        self.terms = crate::log::terms_behind(last, core::iter::empty()).collect();
        self.memberships = Vec::from([(snapshot.membership_index, Arc::clone(&snapshot.membership))]);
        self.tail = Runs::new();
        self.snapshot = Some(Arc::clone(snapshot));
        self.forget_refounding();
        Ok(())
    }

    /// Whether a snapshot fits the log that a write leaves.
    fn check_compaction(&self, compaction: &Compaction, write: &Write) -> Result<(), RecoverError> {
        let Compaction { snapshot, start, .. } = compaction;
        let behind = write.entries.last_position().unwrap_or(self.last());
        let covered = self.snapshot.as_ref().map_or(LogIndex::ZERO, |old| old.last.index);
        let newer = covered < snapshot.last.index;
        // What the log begins behind was in it before.
        let known = *start == self.start
            || write.entries.first().is_none_or(|first| start.index < first)
                && self.start.index <= start.index
                && start.index <= self.last().index
                && self.term_at(start.index) == Some(start.term);
        let there = write
            .entries
            .iter()
            .find(|run| run.first() <= snapshot.last.index && snapshot.last.index <= run.last());
        let term = there.map_or_else(|| self.term_at(snapshot.last.index), |run| Some(run.term()));
        let within = start.index <= snapshot.last.index
            && term == Some(snapshot.last.term)
            && snapshot.last.index <= behind.index
            && snapshot.last.index <= write.commit.max(self.commit);
        if newer && known && within { Ok(()) } else { Err(RecoverError::Snapshot(snapshot.last.index)) }
    }

    /// Lets the log begin later, and forgets the configurations that the snapshot makes needless.
    fn compact(&mut self, compaction: &Compaction) {
        let Compaction { snapshot, start, .. } = compaction;
        self.snapshot = Some(Arc::clone(snapshot));
        self.start = *start;
        self.keep_tail_from(start.index.next());
        self.terms = crate::log::terms_behind(*start, self.terms.drain(..)).collect();
        let covered = self.memberships.partition_point(|(index, _)| *index <= snapshot.last.index);
        self.memberships.drain(..covered.saturating_sub(1));
        self.forget_refounding();
    }

    /// Once a snapshot stands for the entry that refounded the cluster, it says what cluster it is of.
    fn forget_refounding(&mut self) {
        self.refounded = self.refounded.filter(|(index, _)| self.start.index < *index);
    }

    /// Moves all but the last `entries` (at least 1) out of the tail, so that recovering a long log takes little memory:
    /// what moved out is known by term only from then on. What is not known to be committed stays.
    pub fn shorten(&mut self, entries: u64) {
        let last = self.last().index;
        let keep_from = LogIndex::new(last.raw().saturating_sub(entries.max(1)) + 1).min(self.commit.next());
        self.keep_tail_from(keep_from.min(last));
    }

    /// Of the entries before this index only the terms are known from now on.
    fn keep_tail_from(&mut self, keep_from: LogIndex) {
        let last = self.last().index;
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
        let same = disk.cluster() == Some(founding.cluster_id());
        return if same { Ok(Bootstrap::AlreadyDone) } else { Err(BootstrapError::HasState) };
    }
    if disk.hard_state != HardState::default() {
        return Err(BootstrapError::HasState);
    }
    Ok(Bootstrap::Write(Write {
        number: WriteNumber::ZERO,
        hard_state: HardState::default(),
        entries: crate::log::founding_entry(founding),
        compaction: None,
        refounds: None,
        commit: LogIndex::ZERO,
    }))
}
