//! The log as the core holds it: where each term begins, the configurations in it, and the end of it (the *tail*) as runs
//! of entries. What stands before the tail is on the disk and is fetched when needed.
//!
//! ```text
//!   index    1        5           9      12                  17
//!   terms   │0│  1   │     3     │  4                        │      (first index, term) pairs: the whole log
//!                                        ├───────┬───────┬───┤
//!   tail                                 │  Run  │  Run  │Run│      entries in memory
//!                                        └───────┴───────┴───┘
//! ```
//!
//! A log that has been compacted (thesis §5.1) begins behind a position up to which a snapshot stands for it.
//!
//! A data structure: it knows nothing of roles, disks or commitment.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::config::Config;
use crate::entry::{Entry, Payload, Run, Runs};
use crate::identity::ClusterId;
use crate::marks::{Mark, reached};
use crate::membership::Membership;
use crate::position::{LogIndex, LogTime, Position, Term};
use crate::renaming::Renaming;
use crate::snapshot::Snapshot;

/// Where a term begins in a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct TermStart {
    pub(crate) term: Term,
    /// The index of its first entry.
    pub(crate) first: LogIndex,
}

/// Where terms begin, as far as a log that begins behind `start` has to know it.
pub(crate) fn terms_behind(
    start: Position,
    terms: impl Iterator<Item = TermStart>,
) -> impl Iterator<Item = TermStart> {
    let known = (start != Position::ZERO).then_some(TermStart { term: start.term, first: start.index });
    known.into_iter().chain(terms.filter(move |term| start.index < term.first))
}

/// The cluster that a log is of: that of the recovery which made it so, of the snapshot before it, or of its founding entry.
/// `None` where it is not known yet.
pub(crate) fn log_cluster(
    refounded: Option<(LogIndex, ClusterId)>,
    snapshot: Option<&Snapshot>,
    memberships: &[(LogIndex, Arc<Membership>)],
) -> Option<ClusterId> {
    let founding = || memberships.first().filter(|(index, _)| index.raw() == 1);
    let snapshot = || snapshot.map(|snapshot| snapshot.cluster);
    let refounded = refounded.map(|(_, cluster)| cluster);
    refounded.or_else(snapshot).or_else(|| founding().map(|(_, founding)| founding.cluster_id()))
}

/// The first entry of every log: the founding configuration, at term 0 and index 1.
pub(crate) fn founding_entry(founding: &Membership) -> Runs {
    let entry = Entry::new(LogTime::ZERO, Payload::Membership(Arc::new(founding.clone())));
    // One entry at index 1 is always a run.
    Run::new(Term::ZERO, LogIndex::new(1), [entry]).map(Runs::from).unwrap_or_default()
}

#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// What stands right before the first entry: the place before the log, or where a snapshot stands for what was there.
    start: Position,
    /// Every term in the log with its first index, in order, less the oldest where they were too many. Invariants: terms
    /// and indexes rise strictly.
    terms: VecDeque<TermStart>,
    /// Consecutive runs up to `last`, less what is in `open`.
    tail: VecDeque<Run>,
    /// The sizes of the runs in the tail, summed.
    tail_bytes: u64,
    /// Entries appended one by one since the last [`seal`](Self::seal), so that those of one step share one allocation.
    open: Vec<Entry>,
    /// The sizes of the entries in `open`, summed.
    open_bytes: u64,
    /// Whether a configuration or an import is among the entries in `open`.
    open_special: bool,
    last: Position,
    last_time: LogTime,
    /// Every configuration in the log behind the snapshot, with its index, and the one in force where that ends. Invariant:
    /// indexes rise strictly.
    memberships: Vec<(LogIndex, Arc<Membership>)>,
}

impl Log {
    /// A log that begins behind `start`, of log time `start_time`.
    pub(crate) fn new(
        (start, start_time): (Position, LogTime),
        terms: Vec<TermStart>,
        tail: &Runs,
        memberships: Vec<(LogIndex, Arc<Membership>)>,
    ) -> Self {
        let mut terms: VecDeque<_> = terms_behind(start, terms.into_iter()).collect();
        for run in tail.iter() {
            if terms.back().is_none_or(|start| start.term < run.term()) {
                terms.push_back(TermStart { term: run.term(), first: run.first() });
            }
        }
        let last_time = tail.iter().next_back().and_then(|run| run.entries().last()).map(|entry| entry.time);
        Log {
            start,
            terms,
            last: tail.last_position().unwrap_or(start),
            last_time: last_time.unwrap_or(start_time),
            tail: tail.iter().cloned().collect(),
            tail_bytes: tail.size(),
            open: Vec::new(),
            open_bytes: 0,
            open_special: false,
            memberships,
        }
    }

    /// With other names, see [`Renaming`].
    pub(crate) fn rename(&mut self, names: &mut impl Renaming) {
        self.seal();
        self.last_time = crate::renaming::time(names, self.last_time);
        for run in &mut self.tail {
            *run = run.renamed(names);
        }
        for (_, membership) in &mut self.memberships {
            *membership = membership.renamed_or_same(names);
        }
        self.tail_bytes = self.tail.iter().map(Run::size).sum();
    }

    /// What stands right before the first entry of the log.
    pub(crate) const fn start(&self) -> Position {
        self.start
    }

    pub(crate) const fn last(&self) -> Position {
        self.last
    }

    pub(crate) const fn last_time(&self) -> LogTime {
        self.last_time
    }

    /// The first index that is in memory; one behind the end where none is.
    pub(crate) fn tail_first(&self) -> LogIndex {
        self.tail.front().map_or(self.last.index.next(), Run::first)
    }

    /// The configuration in force, with its index: the last one in the log, committed or not (Raft thesis §4.1).
    pub(crate) fn membership(&self) -> Option<&(LogIndex, Arc<Membership>)> {
        self.memberships.last()
    }

    /// Every configuration behind the snapshot and the one in force where that ends, with their indexes, in order.
    pub(crate) fn memberships(&self) -> &[(LogIndex, Arc<Membership>)] {
        &self.memberships
    }

    /// The configuration that is in force at `index`, with its own index.
    pub(crate) fn membership_at(&self, index: LogIndex) -> Option<&(LogIndex, Arc<Membership>)> {
        let nth = self.memberships.partition_point(|(configured, _)| *configured <= index);
        self.memberships.get(nth.checked_sub(1)?)
    }

    /// The position of the entry at `index`, from the one right before the log on; `None` elsewhere, and where its term has
    /// been forgotten.
    pub(crate) fn position_at(&self, index: LogIndex) -> Option<Position> {
        let known = index == self.start.index || self.known_from() <= index;
        let term = self.term_at(index).filter(|_| known && self.start.index <= index)?;
        Some(Position { term, index })
    }

    /// The term of the entry at `index`; 0 for index 0, and where it has been forgotten; `None` behind the end.
    #[inline]
    pub(crate) fn term_at(&self, index: LogIndex) -> Option<Term> {
        if self.last.index < index {
            return None;
        }
        if let Some(start) = self.terms.back()
            && start.first <= index
        {
            return Some(start.term);
        }
        Some(self.older_term_at(index))
    }

    fn older_term_at(&self, index: LogIndex) -> Term {
        if index == self.start.index {
            return self.start.term;
        }
        let nth = self.terms.partition_point(|start| start.first <= index);
        nth.checked_sub(1).map_or(Term::ZERO, |nth| self.terms[nth].term)
    }

    /// The first index of the term that holds `index`, as far as terms are known; 0 where none is.
    pub(crate) fn term_first(&self, index: LogIndex) -> LogIndex {
        let nth = self.terms.partition_point(|start| start.first <= index);
        nth.checked_sub(1).map_or(LogIndex::ZERO, |nth| self.terms[nth].first)
    }

    /// Whether the log holds an entry at this position, or the position is the one before the first entry.
    pub(crate) fn contains(&self, position: Position) -> bool {
        self.term_at(position.index) == Some(position.term)
    }

    /// The greatest position at or before `limit.index` whose term is at most `limit.term`. Both sides of a conflict look
    /// for it in turn, so each answer skips a whole term (Raft thesis §3.5, "the follower can include the term …").
    pub(crate) fn greatest_within(&self, limit: Position) -> Position {
        let bound = limit.index.min(self.last.index);
        let nth = self.terms.partition_point(|start| start.term <= limit.term);
        // Where the term after those begins, they end.
        let end = self.terms.get(nth).map_or(bound, |next| next.first.previous().min(bound));
        Position { term: self.term_at(end).unwrap_or(Term::ZERO), index: end }
    }

    /// Appends one entry of `term`, which must not be below the last one's. It is in no run before [`seal`](Self::seal).
    pub(crate) fn append(&mut self, term: Term, entry: Entry) {
        debug_assert!(self.last.term <= term, "terms never fall in a log");
        debug_assert!(
            self.open.is_empty() || self.last.term == term,
            "what is open is sealed before a new term begins"
        );
        let index = self.last.index.next();
        self.note_term(term, index);
        if let Payload::Membership(membership) = &entry.payload {
            self.memberships.push((index, Arc::clone(membership)));
        }
        self.open_special |= entry.payload.is_special();
        self.last_time = entry.time;
        self.open_bytes += entry.size();
        self.open.push(entry);
        self.last = Position { term, index };
    }

    /// Makes one run of what was appended one by one.
    #[inline]
    pub(crate) fn seal(&mut self) {
        if !self.open.is_empty() {
            self.seal_open();
        }
    }

    fn seal_open(&mut self) {
        let first = LogIndex::new(self.last.index.raw() + 1 - self.open.len() as u64);
        let (term, size) = (self.last.term, core::mem::take(&mut self.open_bytes));
        let configures = core::mem::take(&mut self.open_special);
        let run = Run::of_known(term, first, self.open.drain(..), size, configures);
        self.push_run(run);
    }

    /// Appends a run right behind the end.
    pub(crate) fn append_run(&mut self, run: Run) {
        debug_assert!(self.open.is_empty(), "runs come from leaders, single entries are the leader's own");
        debug_assert!(run.first() == self.last.index.next() && self.last.term <= run.term());
        self.note_term(run.term(), run.first());
        if run.is_special() {
            self.note_memberships(&run);
        }
        self.last_time = run.entries().last().map_or(self.last_time, |entry| entry.time);
        self.last = run.last_position();
        self.push_run(run);
    }

    fn push_run(&mut self, run: Run) {
        self.tail_bytes += run.size();
        self.tail.push_back(run);
    }

    /// Lets go of the oldest entries while the tail is larger than it may be, but of none above `up_to`. They can be
    /// fetched. And of the oldest term pairs, where they are too many, and the entries that they speak of are gone; never of
    /// that of `up_to`.
    #[inline]
    pub(crate) fn evict(&mut self, up_to: LogIndex, config: &Config) {
        if config.tail_bytes_max < self.tail_bytes || (config.terms_max as usize) < self.terms.len() {
            self.evict_oldest(up_to, config);
        }
    }

    fn evict_oldest(&mut self, up_to: LogIndex, config: &Config) {
        while config.tail_bytes_max < self.tail_bytes
            && let Some(run) = self.tail.front_mut()
            && run.first() <= up_to
        {
            reached(Mark::TailEvicted);
            // By entries and not by runs: two logs with equal entries keep the same, however they are cut.
            let (count, bytes) = run.leading(self.tail_bytes - config.tail_bytes_max, up_to);
            self.tail_bytes -= bytes;
            if count == run.len() {
                self.tail.pop_front();
            } else {
                run.advance(count, bytes);
            }
        }
        let known_from = up_to.min(self.tail_first());
        while (config.terms_max as usize) < self.terms.len() && self.terms[1].first <= known_from {
            self.terms.pop_front();
        }
    }

    /// Lets the log begin behind `start`, which is in it and committed.
    pub(crate) fn compact(&mut self, start: Position) {
        debug_assert!(self.open.is_empty(), "compact after seal");
        while let Some(run) = self.tail.front_mut()
            && run.first() <= start.index
        {
            let (count, bytes) = run.leading(u64::MAX, start.index);
            self.tail_bytes -= bytes;
            if count == run.len() {
                self.tail.pop_front();
            } else {
                run.advance(count, bytes);
            }
        }
        // Where the oldest terms have been forgotten anyway, this is not the place to learn them again.
        let known_from = self.known_from();
        if known_from <= start.index {
            self.terms = terms_behind(start, self.terms.drain(..)).collect();
        }
        self.start = start;
    }

    /// Of the configurations up to `covered`, which is committed and at or behind the beginning of the log, keeps only the last.
    pub(crate) fn forget_memberships(&mut self, covered: LogIndex) {
        let covered = self.memberships.partition_point(|(index, _)| *index <= covered);
        self.memberships.drain(..covered.saturating_sub(1));
    }

    /// Begins anew behind a snapshot, without any entry.
    pub(crate) fn restart(&mut self, snapshot: &Snapshot) {
        let memberships = Vec::from([(snapshot.membership_index, Arc::clone(&snapshot.membership))]);
        *self = Log::new((snapshot.last, snapshot.time), Vec::new(), &Runs::new(), memberships);
    }

    /// The size of the entries in memory, less what was appended since the last [`seal`](Self::seal), in bytes.
    pub(crate) const fn tail_bytes(&self) -> u64 {
        self.tail_bytes
    }

    /// From which index on terms are known. What stands before is committed.
    pub(crate) fn known_from(&self) -> LogIndex {
        self.terms.front().map_or(LogIndex::ZERO, |start| start.first)
    }

    /// The first position whose term is known.
    pub(crate) fn first_known(&self) -> Position {
        match self.terms.front() {
            Some(known) if self.start.index < known.first => {
                Position { term: known.term, index: known.first }
            }
            _ => self.start,
        }
    }

    /// What term pairs have to know of new entries at the end.
    fn note_term(&mut self, term: Term, first: LogIndex) {
        if self.terms.is_empty() || self.last.term < term {
            self.terms.push_back(TermStart { term, first });
        }
    }

    fn note_memberships(&mut self, run: &Run) {
        for (nth, entry) in run.entries().iter().enumerate() {
            if let Payload::Membership(membership) = &entry.payload {
                self.memberships.push((run.first().plus(nth as u64), Arc::clone(membership)));
            }
        }
    }

    /// Cuts off the entry at `from` and all behind it. At least one more entry has to be appended in the same step: the
    /// disk learns of the cut from what follows it. Returns whether a configuration was undone by it.
    pub(crate) fn truncate(&mut self, from: LogIndex) -> bool {
        debug_assert!(self.open.is_empty(), "a leader never truncates its own log");
        if self.last.index < from || from == LogIndex::ZERO {
            return false;
        }
        while let Some(run) = self.tail.pop_back() {
            self.tail_bytes -= run.size();
            if run.first() < from {
                if let Some(kept) = run.slice(run.first(), from.previous()) {
                    self.push_run(kept);
                }
                break;
            }
        }
        self.last.index = from.previous();
        self.terms.truncate(self.terms.partition_point(|start| start.first < from));
        self.last.term = self.terms.back().map_or(Term::ZERO, |start| start.term);
        let before = self.memberships.len();
        self.memberships.truncate(self.memberships.partition_point(|(index, _)| *index < from));
        if let Some(entry) = self.tail.back().and_then(|run| run.entries().last()) {
            self.last_time = entry.time;
        }
        self.memberships.len() != before
    }

    /// The place in the tail of the run that holds `index`. What is read is nearly always at the end, where what was
    /// appended is written, sent and applied; a search through all of the tail would touch memory that nobody has used for
    /// long.
    fn run_at(&self, index: LogIndex) -> Option<usize> {
        const NEAR: usize = 4;
        let near = self.tail.iter().rev().take(NEAR).position(|run| run.first() <= index);
        match near {
            Some(back) => Some(self.tail.len() - 1 - back),
            None => self.tail.partition_point(|run| run.first() <= index).checked_sub(1),
        }
    }

    /// The entries from index `from` to at most index `to`, as many as the limits allow but at least one, with their size.
    /// `None` where `from` stands before the tail, or nothing is asked for.
    pub(crate) fn read(
        &self,
        from: LogIndex,
        to: LogIndex,
        bytes_max: u64,
        entries_max: u64,
    ) -> Option<(Runs, u64)> {
        debug_assert!(self.open.is_empty(), "read after seal");
        if to < from {
            return None;
        }
        if let Some(run) = self.tail.back()
            && run.first() <= from
        {
            // All of it is in the last run, and mostly it is all of that run.
            if run.first() == from && run.last() <= to && run.size() <= bytes_max && run.len() <= entries_max
            {
                return Some((Runs::from(run.clone()), run.size()));
            }
            let part = run.slice(from, to)?.into_prefix(bytes_max, entries_max);
            let size = part.size();
            return Some((Runs::from(part), size));
        }
        let nth = self.run_at(from)?;
        // No more runs than can be taken: each holds at least one entry, and each entry counts its overhead.
        let runs_max = (bytes_max / Entry::OVERHEAD_BYTES).min(entries_max).max(1);
        let mut runs = Runs::new();
        for run in self.tail.range(nth..).take(usize::try_from(runs_max).unwrap_or(usize::MAX)) {
            let Some(part) = run.slice(from, to) else { break };
            runs.push_unchecked(part);
        }
        let runs = runs.prefix(bytes_max, entries_max);
        let size = runs.size();
        Some((runs, size)).filter(|(runs, _)| !runs.is_empty())
    }

    /// Whether these entries are exactly what the log holds there. By log matching (Raft thesis §3.5) the positions at
    /// both ends of a run say so of all of it.
    pub(crate) fn confirms(&self, runs: &Runs) -> bool {
        let mut known = runs.iter().filter(|run| self.known_from() <= run.first());
        known.all(|run| {
            let first = Position { term: run.term(), index: run.first() };
            self.contains(first) && self.contains(run.last_position())
        })
    }

    /// What must hold of the structure itself; `Err` names what does not.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.last.index < self.start.index || self.last.term < self.start.term {
            return Err("the log ends at or behind where it begins");
        }
        if self.tail_first() <= self.start.index
            || self.terms.front().is_some_and(|term| term.first < self.start.index)
        {
            return Err("nothing is known of what stands before the log");
        }
        let pairs = || self.terms.iter().zip(self.terms.iter().skip(1));
        if !pairs().all(|(a, b)| a.term < b.term && a.first < b.first) {
            return Err("term pairs rise in term and index");
        }
        if self
            .terms
            .back()
            .is_some_and(|start| self.last.term != start.term || self.last.index < start.first)
        {
            return Err("the log ends in its last term");
        }
        let mut next = self.tail_first();
        for run in &self.tail {
            if run.first() != next || self.term_at(run.first()) != Some(run.term()) {
                return Err("runs are consecutive and agree with the term pairs");
            }
            next = run.last().next();
        }
        if self.tail_bytes != self.tail.iter().map(Run::size).sum::<u64>() {
            return Err("the size of the tail is that of its runs");
        }
        if next.plus(self.open.len() as u64) != self.last.index.next() {
            return Err("the runs end where the log ends");
        }
        if !self.memberships.windows(2).all(|two| two[0].0 < two[1].0)
            || self.memberships.last().is_some_and(|(index, _)| self.last.index < *index)
        {
            return Err("configurations stand in the log in order");
        }
        Ok(())
    }

    fn tail_entries(&self) -> impl Iterator<Item = &Entry> {
        self.tail.iter().flat_map(Run::entries).chain(&self.open)
    }
}

/// By meaning: the same entries at the same places, however they are cut into runs.
impl PartialEq for Log {
    fn eq(&self, other: &Self) -> bool {
        self.start == other.start
            && self.last == other.last
            && self.last_time == other.last_time
            && self.terms == other.terms
            && self.memberships == other.memberships
            && self.tail_first() == other.tail_first()
            && (self.tail == other.tail && self.open == other.open
                || self.tail_entries().eq(other.tail_entries()))
    }
}

impl Eq for Log {}

impl Hash for Log {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.start.hash(state);
        self.last.hash(state);
        self.terms.hash(state);
        self.memberships.hash(state);
        self.tail_first().hash(state);
        for entry in self.tail_entries() {
            entry.hash(state);
        }
    }
}

#[cfg(test)]
mod tests;
