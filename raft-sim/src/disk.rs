//! A simulated disk: batches in order, of which a prefix is durable. A crash takes the others, or all but a few of them, and
//! may leave a torn one, which recovery throws away.
//!
//! It keeps what it is told to keep and knows nothing of the protocol. The oracles do not look here: they hold a model of
//! their own of what must be durable.

use std::collections::VecDeque;

use raft_core::{LogIndex, Pair, RecoverError, Recovered, Run, Runs, Write, WriteNumber};

/// A record of the disk: a batch, or what a crash has left of one.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Batch(Write),
    Torn,
}

/// The disk of one machine.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    durable: Vec<Record>,
    queue: VecDeque<Write>,
    // The log as reads find it: all batches applied, durable or not. Runs share memory with the batches.
    log: Vec<Run>,
}

impl Disk {
    /// Takes a batch, to be made durable after those before.
    pub fn write(&mut self, write: Write) {
        self.take_into_log(&write);
        self.queue.push_back(write);
    }

    /// How many batches are not durable yet.
    pub fn queued(&self) -> u32 {
        self.queue.len() as u32
    }

    /// The number of the newest batch that is not durable yet.
    pub fn newest(&self) -> Option<WriteNumber> {
        self.queue.back().map(|write| write.number)
    }

    /// Makes the oldest `batches` durable; the number of the last of them, or `None` if there was none.
    pub fn sync(&mut self, batches: u32) -> Option<WriteNumber> {
        let mut last = None;
        for write in self.queue.drain(..self.queue.len().min(batches as usize)) {
            last = Some(write.number);
            self.durable.push(Record::Batch(write));
        }
        last
    }

    /// Loses what is not durable, but for the oldest `keep` batches, which had made it to the disk. A torn one leaves a
    /// record that is no batch. Says how many are lost.
    pub fn crash(&mut self, keep: u32, torn: bool) -> u32 {
        self.sync(keep);
        let lost = self.queue.len() as u32;
        if torn && lost != 0 {
            self.durable.push(Record::Torn);
        }
        self.queue.clear();
        lost
    }

    /// Forgets the newest `batches` of what was durable. No honest disk does so.
    pub fn forget(&mut self, batches: u32) {
        let kept = self.durable.len().saturating_sub(batches as usize);
        // The founding batch came before the first boot; forgetting it would be another fault, a wiped disk.
        self.durable.truncate(kept.max(1));
    }

    /// What is on it after a crash, put together as a driver does. A torn record can only be the last; it is cut off.
    ///
    /// # Errors
    /// What is on it does not fit together.
    pub fn recover(&mut self) -> Result<Recovered, RecoverError> {
        if let Some(Record::Torn) = self.durable.last() {
            self.durable.pop();
        }
        let mut recovered = Recovered::default();
        self.log.clear();
        for nth in 0..self.durable.len() {
            if let Record::Batch(write) = &self.durable[nth] {
                let write = write.clone();
                recovered.absorb(&write)?;
                self.take_into_log(&write);
            }
        }
        Ok(recovered)
    }

    /// Entries of the log from `first` to at most `last`, of about `bytes_max` bytes at most, but at least one. Empty where the log
    /// does not hold the first one.
    pub fn read(&self, first: LogIndex, last: LogIndex, bytes_max: u64) -> Runs {
        let mut runs = Runs::new();
        let mut room = bytes_max;
        let start = self.log.partition_point(|run| run.last() < first);
        for run in &self.log[start..] {
            let Some(part) = run.slice(first, last) else { break };
            if !runs.is_empty() && room < part.entries()[0].size() {
                break;
            }
            let (part, size) = part.prefix(room, u64::MAX);
            let cut = part.last() < run.last().min(last);
            if runs.push(part).is_err() || cut {
                break;
            }
            room = room.saturating_sub(size);
        }
        runs
    }

    /// The end of the log, durable or not.
    pub fn last(&self) -> LogIndex {
        self.log.last().map_or(LogIndex::ZERO, Run::last)
    }

    fn take_into_log(&mut self, write: &Write) {
        let Some(first) = write.entries.first() else { return };
        while self.log.last().is_some_and(|run| first <= run.last()) {
            // The loop condition says that there is one.
            let Some(run) = self.log.pop() else { break };
            if let Some(kept) = run.slice(run.first(), first.previous()) {
                self.log.push(kept);
            }
        }
        self.log.extend(write.entries.iter().cloned());
    }
}

/// Which server a machine is: the pair that was drawn when its disk was formatted. In a world the bits come from its number.
pub(crate) fn pair_of(host: crate::action::HostId) -> Option<Pair> {
    let id = raft_core::NodeId::new(u64::from(host.raw()))?;
    let bits = u128::from(host.raw()) * 0x0101_0101_0101_0101_0101_0101_0101_0101;
    Some(Pair { id, incarnation: raft_core::Incarnation::new(bits) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use raft_core::{Entry, HardState, LogTime, Payload, Term};

    fn batch(number: u64, term: u64, first: u64, entries: u64) -> Write {
        let entry = |nth: u64| {
            let payload = Payload::Command(Bytes::copy_from_slice(&nth.to_be_bytes()));
            Entry::new(LogTime::ZERO, payload)
        };
        let run = Run::new(Term::new(term), LogIndex::new(first), (0..entries).map(entry)).unwrap();
        Write {
            number: WriteNumber::new(number),
            hard_state: HardState { term: Term::new(term), vote: None },
            entries: Runs::from(run),
            commit: LogIndex::ZERO,
        }
    }

    /// Goal: what was synced stays, the rest goes, a torn batch is no batch. Method: every number of kept batches.
    #[test]
    fn crash_keeps_a_prefix() {
        for torn in [false, true] {
            for keep in 0..4 {
                let mut disk = Disk::default();
                for nth in 1..=3 {
                    disk.write(batch(nth, 1, nth, 1));
                }
                assert_eq!(disk.sync(1), Some(WriteNumber::new(1)));
                let lost = disk.crash(keep, torn);
                assert_eq!(lost, 2_u32.saturating_sub(keep));
                let recovered = disk.recover().unwrap();
                assert_eq!(recovered.last().index.raw(), 3 - u64::from(lost));
                assert_eq!(disk.last(), recovered.last().index);
            }
        }
    }

    /// Goal: reads find the log as it is after truncations, within the limits. Method: an overwritten suffix, read in parts.
    #[test]
    fn reads_find_the_log() {
        let mut disk = Disk::default();
        disk.write(batch(1, 1, 1, 5));
        disk.write(batch(2, 2, 4, 3));
        let all = disk.read(LogIndex::new(1), LogIndex::new(9), u64::MAX);
        let terms: Vec<u64> = all.entries().map(|(position, _)| position.term.raw()).collect();
        assert_eq!(terms, [1, 1, 1, 2, 2, 2]);
        let size = Entry::OVERHEAD_BYTES + 8;
        assert_eq!(disk.read(LogIndex::new(2), LogIndex::new(9), 1).len(), 1);
        assert_eq!(disk.read(LogIndex::new(2), LogIndex::new(9), 2 * size).len(), 2);
        assert_eq!(disk.read(LogIndex::new(2), LogIndex::new(9), 3 * size).len(), 3);
        assert_eq!(disk.read(LogIndex::new(2), LogIndex::new(4), u64::MAX).len(), 3);
        assert!(disk.read(LogIndex::new(7), LogIndex::new(9), u64::MAX).is_empty());
    }
}
