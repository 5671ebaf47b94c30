//! The disk as its driver sees it: what was issued, what is durable. It keeps the log as a plain vector and knows nothing of
//! how the core keeps books; what it gives back after a crash is compared with that vector.

use std::collections::VecDeque;

use raft_core::{Config, Entry, HardState, LogIndex, Ready, Recovered, Run, Runs, Term, Write, WriteNumber};

#[derive(Default)]
pub struct Disk {
    pub hard_state: HardState,
    /// What is durable: the entry with index 1 comes first.
    pub log: Vec<(Term, Entry)>,
    /// The same, as the core puts it together again.
    recovered: Recovered,
    outstanding: VecDeque<Write>,
    /// The last write that was issued in this boot.
    last_number: u64,
    /// How long the log will be once everything outstanding is durable.
    issued_end: u64,
}

impl Disk {
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    pub fn absorb(&mut self, write: &Write) {
        if let Some(first) = write.entries.first() {
            self.log.truncate(first.raw() as usize - 1);
        }
        for (position, entry) in write.entries.entries() {
            assert_eq!(position.index.raw(), self.log.len() as u64 + 1, "a log has no gap");
            self.log.push((position.term, entry.clone()));
        }
        self.hard_state = write.hard_state;
        if let Err(why) = self.recovered.absorb(write) {
            panic!("a disk takes what a node writes: {why} in {write:?}");
        }
        if self.outstanding.is_empty() {
            self.issued_end = self.log.len() as u64;
        }
    }

    /// Looks at what the node wants written, and takes it.
    pub fn issued(&mut self, ready: &Ready, config: &Config) {
        let Some(write) = &ready.write else { return };
        assert_eq!(write.number.raw(), self.last_number + 1, "writes are numbered in order");
        if let (Some(first), Some(last)) = (write.entries.first(), write.entries.last_position()) {
            assert!(first.raw() <= self.issued_end + 1, "a write leaves no gap");
            assert!(last.term <= write.hard_state.term, "no entry has a term above the server's");
            self.issued_end = last.index.raw();
        }
        assert!(write.commit.raw() <= self.issued_end, "what is committed is in the log");
        self.last_number += 1;
        self.outstanding.push_back(write.clone());
        let most = config.writes_outstanding_max as usize;
        assert!(self.outstanding.len() <= most, "writes are outstanding above the limit");
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
        self.outstanding.iter().any(|write| write.number.raw() <= number) && number <= self.last_number
    }

    /// Loses what is not durable. What the core makes of the rest must be what the rest is.
    pub fn crash(&mut self) {
        self.outstanding.clear();
        self.last_number = 0;
        self.issued_end = self.log.len() as u64;
        assert_eq!(self.recovered.hard_state, self.hard_state);
        let recovered = self.recovered.tail.entries();
        let recovered = recovered.map(|(position, entry)| (position.term, entry.clone()));
        assert!(recovered.eq(self.log.iter().cloned()), "what is recovered is what was written");
    }

    /// What the log holds from `first` to `last`, as far as it goes.
    pub fn read(&self, first: LogIndex, last: LogIndex) -> Runs {
        let mut runs = Runs::new();
        for index in first.raw()..=last.raw().min(self.log.len() as u64) {
            let (term, entry) = self.log[index as usize - 1].clone();
            let run = Run::new(term, LogIndex::new(index), [entry]).expect("one entry");
            runs.push(run).expect("terms never fall in a log");
        }
        runs
    }
}
