//! The disk as its driver sees it: what was issued, what is durable. It keeps the log as a plain vector and knows nothing of
//! how the core keeps books; what it gives back after a crash is compared with that vector.

use std::collections::VecDeque;
use std::sync::Arc;

use raft_core::{
    Compaction, Config, Entry, HardState, LogIndex, Membership, Payload, Position, Ready, Recovered, Run,
    Runs, Snapshot, Term, Write, WriteNumber,
};

#[derive(Default)]
pub struct Disk {
    pub hard_state: HardState,
    /// What stands right before the log, as the last compaction has said: all up to it may be deleted.
    pub start: Position,
    pub snapshot: Option<Arc<Snapshot>>,
    /// Whether entries are deleted as soon as they may be, and not when the story says so.
    pub deletes_at_once: bool,
    /// Up to this index entries are deleted; never beyond `start`.
    deleted: u64,
    /// Up to where a durable write says that the log is committed.
    commit: u64,
    /// What is durable and not deleted: the entry with the index after `deleted` comes first.
    log: Vec<(Term, Entry)>,
    /// The same, as the core puts it together again.
    recovered: Recovered,
    outstanding: VecDeque<Write>,
    issued: Issued,
}

/// What the disk will hold once everything outstanding is durable.
#[derive(Clone, Copy, Default)]
struct Issued {
    /// The number of the last write that was issued in this boot.
    number: u64,
    /// Where the log ends.
    end: u64,
    /// Where it begins.
    start: Position,
    /// What the snapshot covers.
    covered: u64,
    /// What is known to be committed.
    commit: u64,
}

impl Disk {
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Where the durable log ends.
    pub fn end(&self) -> u64 {
        self.deleted + self.log.len() as u64
    }

    /// The durable entry at this index, if it is not deleted.
    pub fn entry(&self, index: LogIndex) -> Option<&(Term, Entry)> {
        let nth = index.raw().checked_sub(self.deleted + 1)?;
        self.log.get(usize::try_from(nth).ok()?)
    }

    /// The durable entries with their indexes, less those that are deleted.
    pub fn entries(&self) -> impl Iterator<Item = (LogIndex, &(Term, Entry))> {
        (self.deleted + 1..).map(LogIndex::new).zip(&self.log)
    }

    /// Whether the durable snapshot stands for the entry at this index.
    pub fn covers(&self, index: LogIndex) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| index <= snapshot.last.index)
    }

    pub fn absorb(&mut self, write: &Write) {
        if let Some(compaction) = write.compaction.as_ref().filter(|compaction| compaction.discards) {
            self.log.clear();
            self.deleted = compaction.snapshot.last.index.raw();
        }
        if let Some(first) = write.entries.first() {
            self.log.truncate((first.raw() - 1 - self.deleted) as usize);
        }
        for (position, entry) in write.entries.entries() {
            assert_eq!(position.index.raw(), self.end() + 1, "a log has no gap");
            self.log.push((position.term, entry.clone()));
        }
        if let Some(compaction) = &write.compaction {
            self.compact(compaction);
        }
        self.commit = self.commit.max(write.commit.raw());
        self.hard_state = write.hard_state;
        if let Err(why) = self.recovered.absorb(write) {
            panic!("a disk takes what a node writes: {why} in {write:?}");
        }
        if self.outstanding.is_empty() {
            self.issued = Issued { number: self.issued.number, ..self.durable() };
        }
    }

    fn compact(&mut self, compaction: &Compaction) {
        let Compaction { snapshot, start, discards } = compaction;
        let there = self.entry(start.index).map(|(term, _)| *term);
        let same = *discards || *start == self.start || there == Some(start.term);
        assert!(same, "the log begins behind an entry of it: {compaction:?}");
        self.start = *start;
        self.snapshot = Some(Arc::clone(snapshot));
        if self.deletes_at_once {
            self.delete();
        }
    }

    /// Deletes what the log does not hold any more.
    pub fn delete(&mut self) {
        let needless = self.start.index.raw().saturating_sub(self.deleted);
        self.log.drain(..needless as usize);
        self.deleted += needless;
    }

    fn durable(&self) -> Issued {
        let covered = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.last.index.raw());
        Issued { number: 0, end: self.end(), start: self.start, covered, commit: self.commit }
    }

    /// Looks at what the node wants written, and takes it.
    pub fn issued(&mut self, ready: &Ready, config: &Config) {
        let Some(write) = &ready.write else { return };
        assert_eq!(write.number.raw(), self.issued.number + 1, "writes are numbered in order");
        if let Some(compaction) = write.compaction.as_ref().filter(|compaction| compaction.discards) {
            let last = compaction.snapshot.last;
            assert_eq!(compaction.start, last, "where all is discarded, the log begins behind the snapshot");
            assert!(self.issued.commit < last.index.raw(), "nothing that is committed is discarded");
            self.issued.end = last.index.raw();
        }
        if let (Some(first), Some(last)) = (write.entries.first(), write.entries.last_position()) {
            assert!(first.raw() <= self.issued.end + 1, "a write leaves no gap");
            assert!(self.issued.commit < first.raw(), "nothing that is committed is cut off");
            assert!(last.term <= write.hard_state.term, "no entry has a term above the server's");
            self.issued.end = last.index.raw();
        }
        assert!(write.commit.raw() <= self.issued.end, "what is committed is in the log");
        self.issued.commit = self.issued.commit.max(write.commit.raw());
        if let Some(compaction) = &write.compaction {
            self.compaction_issued(compaction, config);
        }
        self.issued.number += 1;
        self.outstanding.push_back(write.clone());
        let most = config.writes_outstanding_max as usize;
        assert!(self.outstanding.len() <= most, "writes are outstanding above the limit");
    }

    fn compaction_issued(&mut self, compaction: &Compaction, config: &Config) {
        let Compaction { snapshot, start, discards } = compaction;
        let (last, start) = (snapshot.last.index.raw(), *start);
        assert!(self.issued.covered < last, "snapshots are written in order");
        assert!(last <= self.issued.commit, "a snapshot covers what is committed");
        assert!(start.index.raw() <= last, "a snapshot stands for all that is before the log");
        assert!(self.issued.start.index <= start.index, "what was deleted does not come back");
        // What followers may still need is kept, unless its terms are forgotten.
        let kept = *discards
            || config.terms_max < Config::default().terms_max
            || start == self.issued.start
            || config.trailing_entries <= last - start.index.raw();
        assert!(kept, "what followers may still need is kept");
        (self.issued.covered, self.issued.start) = (last, start);
    }

    /// Makes the oldest writes durable, at most so many.
    pub fn sync(&mut self, writes: usize) -> Option<WriteNumber> {
        let mut last = None;
        for _ in 0..writes.min(self.outstanding.len()) {
            if let Some(write) = self.outstanding.pop_front() {
                last = Some(write.number);
                self.absorb(&write);
            }
        }
        last
    }

    pub fn is_outstanding(&self, number: u64) -> bool {
        self.outstanding.iter().any(|write| write.number.raw() <= number) && number <= self.issued.number
    }

    /// Loses what is not durable. What the core makes of the rest must be what the rest is.
    pub fn crash(&mut self) {
        self.outstanding.clear();
        self.issued = self.durable();
        assert_eq!((self.recovered.hard_state, self.recovered.commit.raw()), (self.hard_state, self.commit));
        assert_eq!((self.recovered.start, &self.recovered.snapshot), (self.start, &self.snapshot));
        let recovered = self.recovered.tail.entries();
        let recovered = recovered.map(|(position, entry)| (position.term, entry));
        let kept = self.entries().filter(|(index, _)| self.start.index < *index);
        let kept = kept.map(|(_, (term, entry))| (*term, entry));
        assert!(recovered.eq(kept), "what is recovered is what was written");
        assert_eq!(self.recovered.memberships(), self.memberships(), "and so are the configurations");
    }

    /// The configuration at the end of the snapshot, and those behind it.
    fn memberships(&self) -> Vec<(LogIndex, Arc<Membership>)> {
        let snapshot = self.snapshot.as_ref();
        let covered = snapshot.map(|snapshot| (snapshot.membership_index, Arc::clone(&snapshot.membership)));
        let behind = self.entries().filter(|(index, _)| !self.covers(*index));
        let behind = behind.filter_map(|(index, (_, entry))| match &entry.payload {
            Payload::Membership(membership) => Some((index, Arc::clone(membership))),
            _ => None,
        });
        covered.into_iter().chain(behind).collect()
    }

    /// What the log holds from `first` to `last`, as far as it goes. `None` where the first is deleted.
    pub fn read(&self, first: LogIndex, last: LogIndex) -> Option<Runs> {
        if first.raw() <= self.deleted {
            return None;
        }
        let mut runs = Runs::new();
        for (index, (term, entry)) in self.entries().filter(|(index, _)| first <= *index && *index <= last) {
            let run = Run::new(*term, index, [entry.clone()]).expect("one entry");
            runs.push(run).expect("terms never fall in a log");
        }
        Some(runs)
    }
}
