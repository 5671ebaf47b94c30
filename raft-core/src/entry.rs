//! What a log is made of: entries, runs of entries of one term, and sequences of runs.
//!
//! ```text
//!   Runs      a consecutive piece of a log
//!    ├─ Run   term 2, first 5 ──▶ ┌────────────────────────────┐
//!    │        range 0..3          │ Arc<[Entry]>: one          │
//!    │                            │ allocation, shared by log, │
//!    └─ Run   term 3, first 8 ─┐  │ disk, packets and apply    │
//!             range 1..4       │  └────────────────────────────┘
//!                              └▶ another
//! ```
//!
//! The entries of a run share a term, so comparing two logs costs one look per run, and passing entries on copies nothing.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};

use bytes::Bytes;

use crate::membership::Membership;
use crate::position::{LogIndex, LogTime, Position, Term};
use crate::renaming::Renaming;
use crate::snapshot::Import;

/// What an entry is for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Payload {
    /// What a new leader appends first, so that it can commit what came before (Raft thesis §3.6.2).
    Noop,
    /// A command for the state machine: bytes that the core never looks at.
    Command(Bytes),
    /// A configuration of the cluster, in force from the moment it is appended (Raft thesis §4.1).
    Membership(Arc<Membership>),
    /// The state machine becomes, here, what these bytes say, whatever it was. A server has the bytes durable before it takes
    /// the entry into its log.
    Import(Import),
    /// Log time has passed a multiple of [`Config::timer_ticks`](crate::Config::timer_ticks): the leader says so by itself.
    Timer,
}

impl Payload {
    /// Whether the core has to look at it: rare.
    pub(crate) const fn is_special(&self) -> bool {
        matches!(self, Payload::Membership(_) | Payload::Import(_))
    }
}

/// One entry of the log. Its term and index are those of its place in a [`Run`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    /// When, in log time.
    pub time: LogTime,
    /// What.
    pub payload: Payload,
    /// The bytes as they came, where a newer version wrote fields that this one does not know: such an entry is kept and
    /// forwarded as it was encoded. Boxed, because it is rare and entries are many.
    pub(crate) original: Option<Box<Bytes>>,
}

impl Entry {
    /// What every entry counts towards limits in bytes besides its payload, so that many empty ones are bounded too.
    pub const OVERHEAD_BYTES: u64 = 64;

    /// An entry of this version.
    pub const fn new(time: LogTime, payload: Payload) -> Self {
        Entry { time, payload, original: None }
    }

    /// What the entry counts towards limits, in bytes: [`OVERHEAD_BYTES`](Self::OVERHEAD_BYTES) and its payload. A
    /// configuration counts as its encoding would be at most.
    #[inline]
    pub fn size(&self) -> u64 {
        let payload = match &self.payload {
            Payload::Noop | Payload::Timer => 0,
            Payload::Import(_) => core::mem::size_of::<Import>() as u64,
            Payload::Command(bytes) => bytes.len() as u64,
            Payload::Membership(membership) => membership.size(),
        };
        Self::OVERHEAD_BYTES + payload + self.original.as_ref().map_or(0, |bytes| bytes.len() as u64)
    }
}

/// Entries of one term with consecutive indexes, at least one, as a range into a shared allocation. A clone costs one
/// reference count.
#[derive(Clone)]
pub struct Run {
    term: Term,
    first: LogIndex,
    entries: Arc<[Entry]>,
    from: u32,
    to: u32,
    /// The sizes of its entries, summed: whoever takes all of a run, as nearly everybody does, need not look at each.
    size: u64,
    /// Whether a configuration or an import is among the entries of the allocation: rare, and looked for whenever a log grows.
    is_special: bool,
}

/// Entries that can not stand in a log like this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RunError {
    /// A run holds at least one entry.
    Empty,
    /// A run holds at most 2³² − 1 entries.
    TooLong,
    /// The first index is 0, or the last one above [`LogIndex::MAX`].
    Index,
    /// The run does not begin where the one before it ends, or its term is below that one's.
    NotConsecutive,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RunError::Empty => "a run of entries holds at least one",
            RunError::TooLong => "a run of entries holds at most 4294967295",
            RunError::Index => "an entry has an index from 1 to 9223372036854775807",
            RunError::NotConsecutive => "entries follow one another without a gap, their terms never falling",
        })
    }
}

impl core::error::Error for RunError {}

impl Run {
    /// A run of `entries` of `term`, the first of them at index `first`. One allocation, if the iterator knows its exact
    /// length.
    ///
    /// # Errors
    /// No entries, too many, or indexes out of range.
    pub fn new(
        term: Term,
        first: LogIndex,
        entries: impl IntoIterator<Item = Entry>,
    ) -> Result<Self, RunError> {
        let entries: Arc<[Entry]> = entries.into_iter().collect();
        if entries.is_empty() {
            return Err(RunError::Empty);
        }
        let to = u32::try_from(entries.len()).map_err(|_| RunError::TooLong)?;
        if first == LogIndex::ZERO || LogIndex::MAX < first.plus(u64::from(to) - 1) {
            return Err(RunError::Index);
        }
        let size = entries.iter().map(Entry::size).sum();
        let is_special = entries.iter().any(|entry| entry.payload.is_special());
        Ok(Run { term, first, entries, from: 0, to, size, is_special })
    }

    /// A run of what is known to be one: at least one entry, at most 2³² − 1, indexes in range, and what else is known of
    /// the entries is said, so that nobody has to look at them.
    pub(crate) fn of_known(
        term: Term,
        first: LogIndex,
        entries: impl ExactSizeIterator<Item = Entry>,
        size: u64,
        is_special: bool,
    ) -> Self {
        let entries: Arc<[Entry]> = entries.collect();
        debug_assert!(!entries.is_empty(), "a run holds at least one entry");
        debug_assert!(
            entries.iter().map(Entry::size).sum::<u64>() == size,
            "the size is that of the entries"
        );
        let to = entries.len() as u32;
        Run { term, first, entries, from: 0, to, size, is_special }
    }

    /// The term of every entry in it.
    pub const fn term(&self) -> Term {
        self.term
    }

    /// The index of its first entry.
    pub const fn first(&self) -> LogIndex {
        self.first
    }

    /// The index of its last entry.
    pub const fn last(&self) -> LogIndex {
        self.first.plus(self.len() - 1)
    }

    /// The position of its last entry.
    pub const fn last_position(&self) -> Position {
        Position { term: self.term, index: self.last() }
    }

    /// How many entries, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a run is never empty")]
    pub const fn len(&self) -> u64 {
        (self.to - self.from) as u64
    }

    /// The entries in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries[self.from as usize..self.to as usize]
    }

    /// The entry at `index`, if it is in the run.
    pub fn get(&self, index: LogIndex) -> Option<&Entry> {
        if index < self.first {
            return None;
        }
        self.entries().get(usize::try_from(index.since(self.first)).ok()?)
    }

    /// The part from index `from` to index `to`, both included, without copying. `None` where there is no overlap.
    pub fn slice(&self, from: LogIndex, to: LogIndex) -> Option<Run> {
        let (from, to) = (from.max(self.first), to.min(self.last()));
        if to < from {
            return None;
        }
        // Both differences are below `len`, which is a u32.
        let skip = from.since(self.first) as u32;
        let take = to.since(from) as u32 + 1;
        let mut run = self.clone();
        if skip != 0 || u64::from(take) != self.len() {
            run.first = from;
            run.from += skip;
            run.to = run.from + take;
            run.size = run.entries().iter().map(Entry::size).sum();
        }
        Some(run)
    }

    /// The longest part from the beginning whose sizes sum to at most `bytes`, but at least one entry and at most
    /// `entries` (at least 1); with its size.
    pub fn prefix(&self, bytes: u64, entries: u64) -> (Run, u64) {
        let prefix = self.clone().into_prefix(bytes, entries);
        let size = prefix.size;
        (prefix, size)
    }

    pub(crate) fn into_prefix(mut self, bytes: u64, entries: u64) -> Run {
        if self.size <= bytes && self.len() <= entries {
            return self;
        }
        let (mut taken, mut size) = (0u64, 0u64);
        for entry in self.entries() {
            let with = size.saturating_add(entry.size());
            if taken != 0 && (entries <= taken || bytes < with) {
                break;
            }
            size = with;
            taken += 1;
        }
        // At most the length, which is a u32.
        self.to = self.from + taken as u32;
        self.size = size;
        self
    }

    /// What its entries count towards limits, in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// How many of the first entries make up at least `bytes`, and how many bytes they are; none of those above `up_to`, which
    /// is not before the first.
    pub(crate) fn leading(&self, bytes: u64, up_to: LogIndex) -> (u64, u64) {
        if self.size <= bytes && self.last() <= up_to {
            return (self.len(), self.size);
        }
        // At most the length, which is a u32.
        let count_max = (up_to.since(self.first) + 1).min(self.len()) as usize;
        let (mut count, mut size) = (0, 0);
        for entry in &self.entries()[..count_max] {
            if bytes <= size {
                break;
            }
            count += 1;
            size += entry.size();
        }
        (count, size)
    }

    /// Leaves out the first `count` entries, less than all, which are `bytes` together.
    pub(crate) fn advance(&mut self, count: u64, bytes: u64) {
        debug_assert!(count < self.len(), "a run is never empty");
        self.first = self.first.plus(count);
        // Less than the length, which is a u32.
        self.from += count as u32;
        self.size -= bytes;
    }

    /// Whether a configuration or an import may be among its entries.
    pub(crate) const fn is_special(&self) -> bool {
        self.is_special
    }

    /// With other names, see [`Renaming`]. Where nothing has another name, nothing is copied.
    pub(crate) fn renamed(&self, names: &mut impl Renaming) -> Run {
        let mut renamed = Vec::with_capacity(self.entries().len());
        let mut differs = false;
        for entry in self.entries() {
            let time = crate::renaming::time(names, entry.time);
            let payload = match &entry.payload {
                Payload::Membership(membership) => {
                    let other = membership.renamed_or_same(names);
                    differs |= !Arc::ptr_eq(membership, &other);
                    Payload::Membership(other)
                }
                other => other.clone(),
            };
            differs |= time != entry.time || entry.original.is_some();
            // What was encoded under the old names is not this any more.
            renamed.push(Entry { time, payload, original: None });
        }
        if !differs {
            return self.clone();
        }
        let size = renamed.iter().map(Entry::size).sum();
        Run { from: 0, to: renamed.len() as u32, entries: renamed.into(), size, ..*self }
    }

    fn same_allocation(&self, other: &Run) -> bool {
        Arc::ptr_eq(&self.entries, &other.entries) && self.from == other.from && self.to == other.to
    }
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.term == other.term
            && self.first == other.first
            && (self.same_allocation(other) || self.entries() == other.entries())
    }
}

impl Eq for Run {}

impl Hash for Run {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.term.hash(state);
        self.first.hash(state);
        self.entries().hash(state);
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}..={} ", self.term, self.first, self.last())?;
        f.debug_list().entries(self.entries()).finish()
    }
}

/// A consecutive piece of a log: runs that follow one another without a gap, with terms that never fall. May be empty.
/// Two are equal when they hold the same entries at the same positions, however they are cut into runs.
#[derive(Clone, Default)]
pub struct Runs {
    // One run is by far the most common, and costs no allocation of its own.
    head: Option<Run>,
    rest: Vec<Run>,
}

impl Runs {
    /// No entries.
    pub const fn new() -> Self {
        Runs { head: None, rest: Vec::new() }
    }

    /// Adds a run at the end.
    ///
    /// # Errors
    /// [`RunError::NotConsecutive`] where it does not begin right behind the end, or its term is below the last one's;
    /// nothing is changed then.
    pub fn push(&mut self, run: Run) -> Result<(), RunError> {
        if let Some(last) = self.last_position()
            && (run.first != last.index.next() || run.term < last.term)
        {
            return Err(RunError::NotConsecutive);
        }
        self.push_unchecked(run);
        Ok(())
    }

    pub(crate) fn push_unchecked(&mut self, run: Run) {
        if self.head.is_none() {
            self.head = Some(run);
        } else {
            self.rest.push(run);
        }
    }

    /// With other names, see [`Renaming`].
    #[must_use]
    pub fn renamed(&self, names: &mut impl Renaming) -> Runs {
        let mut runs = Runs::new();
        for run in self.iter() {
            runs.push_unchecked(run.renamed(names));
        }
        runs
    }

    /// The entries from index `first` to index `last`, both included, as far as they are here, without copying.
    pub fn slice(&self, first: LogIndex, last: LogIndex) -> Runs {
        let mut runs = Runs::new();
        for run in self.iter().filter_map(|run| run.slice(first, last)) {
            runs.push_unchecked(run);
        }
        runs
    }

    pub(crate) fn up_to(&self, last: LogIndex) -> Runs {
        self.slice(LogIndex::ZERO, last)
    }

    /// The longest part from the beginning whose sizes sum to at most `bytes`, but at least one entry and at most `entries`
    /// (at least 1), without copying. Empty only where this is.
    pub fn prefix(&self, bytes: u64, entries: u64) -> Runs {
        let mut runs = Runs::new();
        let (mut size, mut count) = (0u64, 0u64);
        for run in self.iter() {
            let left = bytes.saturating_sub(size);
            if count != 0 && (entries <= count || left < Entry::OVERHEAD_BYTES) {
                break;
            }
            let part = run.clone().into_prefix(left, entries.saturating_sub(count));
            if count != 0 && left < part.size() {
                break; // The one entry that a prefix always holds does not fit any more.
            }
            let whole = part.len() == run.len();
            size += part.size();
            count += part.len();
            runs.push_unchecked(part);
            if !whole {
                break;
            }
        }
        runs
    }

    /// Whether there are no entries.
    pub const fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// The runs in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Run> + Clone {
        self.head.iter().chain(&self.rest)
    }

    /// The index of the first entry.
    pub fn first(&self) -> Option<LogIndex> {
        self.head.as_ref().map(Run::first)
    }

    /// The position of the last entry.
    pub fn last_position(&self) -> Option<Position> {
        self.rest.last().or(self.head.as_ref()).map(Run::last_position)
    }

    /// How many entries.
    pub fn len(&self) -> u64 {
        self.iter().map(Run::len).sum()
    }

    /// What the entries count towards limits, in bytes.
    pub fn size(&self) -> u64 {
        self.iter().map(Run::size).sum()
    }

    /// Every entry with its position, in order.
    pub fn entries(&self) -> impl Iterator<Item = (Position, &Entry)> {
        self.iter().flat_map(|run| {
            let (term, first) = (run.term, run.first);
            let at = move |nth: usize| Position { term, index: first.plus(nth as u64) };
            run.entries().iter().enumerate().map(move |(nth, entry)| (at(nth), entry))
        })
    }
}

/// The runs in order.
impl IntoIterator for Runs {
    type Item = Run;
    type IntoIter = core::iter::Chain<core::option::IntoIter<Run>, alloc::vec::IntoIter<Run>>;

    fn into_iter(self) -> Self::IntoIter {
        self.head.into_iter().chain(self.rest)
    }
}

impl From<Run> for Runs {
    fn from(run: Run) -> Self {
        Runs { head: Some(run), rest: Vec::new() }
    }
}

impl PartialEq for Runs {
    fn eq(&self, other: &Self) -> bool {
        // The same cuts at the same places are common, and then shared allocations need no look inside.
        self.iter().eq(other.iter()) || self.entries().eq(other.entries())
    }
}

impl Eq for Runs {}

impl Hash for Runs {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (position, entry) in self.entries() {
            position.hash(state);
            entry.hash(state);
        }
        self.last_position().hash(state);
    }
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
