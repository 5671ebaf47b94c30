//! A simulated disk: batches in order, of which a prefix is durable. A crash takes any of the others, and may leave a torn one;
//! recovery keeps what is whole and consecutive.
//!
//! ```text
//!   record      1   2   3   4   5 | 6   7   8   9        5 are synced, 4 are not
//!   after a crash                 | 6   ~   .   9        kept, torn, lost, and one that made it all the same
//!   recovered   1   2   3   4   5   6
//! ```
//!
//! A batch can say that a snapshot stands for the beginning of the log. Once it is durable, the disk may give up the entries that the
//! log begins behind, which it does at a moment of its own: all records up to that batch become one, its *base*.
//!
//! Every record says how many were durable when it was written. So a record that can not be read and that a later one knows to
//! have been synced is *damage*: it is not taken for the torn end of the log, and the disk is not started from (B53).
//! Damage that no later record vouches for looks like a torn end, to any disk format.
//!
//! It keeps what it is told to keep and knows nothing of the protocol. The oracles do not look here: they hold a model of
//! their own of what must be durable.

use std::collections::VecDeque;

use raft_core::{LogIndex, Pair, Position, RecoverError, Recovered, Run, Runs, Write, WriteNumber};

use crate::action::HostId;

/// A record of the disk: a batch, or `None` where it can not be read, because it is torn, missing or damaged.
#[derive(Clone, Debug)]
struct Record {
    batch: Option<Write>,
    // How many records were durable when this one was written.
    synced: u32,
}

/// Why a disk is not started from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DiskError {
    /// A record can not be read that was durable before a later one was written.
    #[error("record {0} of the disk is damaged")]
    Damaged(u32),
    /// What is on it does not fit together.
    #[error("{0}")]
    Contradiction(RecoverError),
}

/// The disk of one machine.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    // What the oldest records have come to that are records no more, and how many those were.
    base: Option<Box<Recovered>>,
    folded: u32,
    durable: Vec<Record>,
    queue: VecDeque<Record>,
    // A sync has failed: nothing more becomes durable before the machine goes down.
    failed: bool,
    // The log as reads find it: all batches applied, durable or not. Runs share memory with the batches.
    log: Vec<Run>,
    // Up to here it has no entries to read.
    start: LogIndex,
}

impl Disk {
    /// Takes a batch, to be made durable after those before.
    pub fn write(&mut self, write: Write) {
        self.take_into_log(&write);
        let synced = self.folded + self.durable.len() as u32;
        self.queue.push_back(Record { batch: Some(write), synced });
    }

    /// How many batches are not durable yet.
    pub fn queued(&self) -> u32 {
        self.queue.len() as u32
    }

    /// The number of the newest batch that is not durable yet.
    pub fn newest(&self) -> Option<WriteNumber> {
        self.queue.back().and_then(Record::number)
    }

    /// How many records are durable, readable or not, behind the base.
    pub fn records(&self) -> u32 {
        self.durable.len() as u32
    }

    /// How many of the oldest records a later one knows to have been durable: damage to these is noticed.
    pub fn vouched(&self) -> u32 {
        let readable = self.durable.iter().filter(|record| record.batch.is_some());
        readable.map(|record| record.synced).max().unwrap_or(0).saturating_sub(self.folded)
    }

    /// The end of the snapshot that the base tells of: older ones are needed by nothing on this disk.
    pub(crate) fn snapshot(&self) -> Option<Position> {
        self.base.as_ref()?.snapshot.as_ref().map(|snapshot| snapshot.last)
    }

    /// How many of the oldest records can become one with the base: those up to the newest durable one that tells of a snapshot.
    fn foldable(&self) -> usize {
        let tells = |record: &Record| record.batch.as_ref().is_some_and(|batch| batch.compaction.is_some());
        self.durable.iter().rposition(tells).map_or(0, |nth| nth + 1)
    }

    /// Whether it can give up entries.
    pub fn is_compactable(&self) -> bool {
        self.foldable() != 0
    }

    /// Gives up all entries that the newest durable batch with a snapshot has the log begin behind. False where there is nothing to
    /// give up.
    pub(crate) fn compact(&mut self) -> bool {
        let foldable = self.foldable();
        if foldable == 0 {
            return false;
        }
        let Ok(base) = self.absorbed(foldable) else { return false };
        let start = base.start.index;
        self.base = Some(Box::new(base));
        self.folded += foldable as u32;
        self.durable.drain(..foldable);
        self.begin_behind(start);
        true
    }

    /// What the base and the oldest `records` have come to.
    fn absorbed(&self, records: usize) -> Result<Recovered, RecoverError> {
        let mut recovered = self.base.as_deref().cloned().unwrap_or_default();
        for batch in self.durable[..records].iter().filter_map(|record| record.batch.as_ref()) {
            recovered.absorb(batch)?;
        }
        Ok(recovered)
    }

    /// Reads find nothing up to here any more.
    fn begin_behind(&mut self, start: LogIndex) {
        if start <= self.start {
            return;
        }
        self.start = start;
        let gone = self.log.partition_point(|run| run.last() <= start);
        self.log.drain(..gone);
        if let Some(first) = self.log.first_mut()
            && let Some(kept) = first.slice(start.next(), first.last())
        {
            *first = kept;
        }
    }

    /// Up to where the log has been given up.
    pub fn start(&self) -> LogIndex {
        self.start
    }

    /// Whether a sync has failed since the machine came up.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Makes the oldest `batches` durable; the number of the last of them, or `None` if there was none.
    pub fn sync(&mut self, batches: u32) -> Option<WriteNumber> {
        let mut last = None;
        for record in self.queue.drain(..self.queue.len().min(batches as usize)) {
            last = record.number();
            self.durable.push(record);
        }
        last
    }

    /// Fails to make the oldest batch durable, and all after it; its number, or `None` if there was none.
    pub fn fail(&mut self) -> Option<WriteNumber> {
        let oldest = self.queue.front().and_then(Record::number);
        self.failed |= oldest.is_some();
        oldest
    }

    /// Loses what is not durable, but for the oldest `keep` batches, which had made it to the disk. Of the one behind those a torn
    /// part is left, if so said; of the others those whose bit in `stray` is set are there. Says how many are lost.
    pub fn crash(&mut self, keep: u32, torn: bool, stray: u32) -> u32 {
        self.sync(keep);
        self.failed = false;
        let lost = self.queue.len() as u32;
        let any = torn || stray != 0;
        if any && let Some(first) = self.queue.pop_front() {
            self.durable.push(Record { batch: None, ..first });
        }
        for (nth, record) in self.queue.drain(..).enumerate().take(32) {
            if stray >> nth != 0 {
                let made_it = stray >> nth & 1 == 1;
                let batch = record.batch.filter(|_| made_it);
                self.durable.push(Record { batch, ..record });
            }
        }
        lost
    }

    /// A record becomes unreadable; false where there is none, or it already was.
    pub fn damage(&mut self, record: u32) -> bool {
        self.durable.get_mut(record as usize).is_some_and(|record| record.batch.take().is_some())
    }

    /// Everything is gone.
    pub fn wipe(&mut self) {
        *self = Disk::default();
    }

    /// The batches that are durable and readable, in order.
    pub(crate) fn batches(&self) -> impl Iterator<Item = &Write> {
        self.durable.iter().filter_map(|record| record.batch.as_ref())
    }

    /// Forgets the newest `batches` of what was durable, but for the base. No honest disk does so.
    pub fn forget(&mut self, batches: u32) {
        let kept = self.durable.len().saturating_sub(batches as usize);
        // The founding batch came before the first boot; forgetting it would be another fault, a wiped disk.
        self.durable.truncate(kept.max(usize::from(self.base.is_none())));
    }

    /// What is on it after a crash, put together as a driver does: the records up to the first that can not be read; that one
    /// and all behind it are cut off.
    ///
    /// # Errors
    /// A record that can not be read was durable once, or what is there does not fit together.
    pub fn recover(&mut self) -> Result<Recovered, DiskError> {
        if let Some(end) = self.durable.iter().position(|record| record.batch.is_none()) {
            if (end as u32) < self.vouched() {
                return Err(DiskError::Damaged(end as u32));
            }
            self.durable.truncate(end);
        }
        self.start = LogIndex::ZERO;
        self.log.clear();
        if let Some(base) = &self.base {
            self.start = base.start.index;
            self.log.extend(base.tail.iter().cloned());
        }
        for nth in 0..self.durable.len() {
            if let Some(write) = self.durable[nth].batch.clone() {
                self.take_into_log(&write);
            }
        }
        self.absorbed(self.durable.len()).map_err(DiskError::Contradiction)
    }

    /// Entries of the log from `first` to at most `last`, of about `bytes_max` bytes at most, but at least one. Empty where the log
    /// does not hold the first one.
    pub fn read(&self, first: LogIndex, last: LogIndex, bytes_max: u64) -> Runs {
        let mut runs = Runs::new();
        if first <= self.start {
            return runs;
        }
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
        self.log.last().map_or(self.start, Run::last)
    }

    fn take_into_log(&mut self, write: &Write) {
        if let Some(compaction) = write.compaction.as_ref().filter(|compaction| compaction.discards) {
            self.log.clear();
            self.start = compaction.start.index;
        }
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

impl Record {
    fn number(&self) -> Option<WriteNumber> {
        self.batch.as_ref().map(|write| write.number)
    }
}

/// Which server a machine is when it is founded.
pub(crate) fn pair_of(host: HostId) -> Option<Pair> {
    pair_after(host, 0)
}

/// Which server a machine is: the pair that was drawn when its disk was formatted. In a world the bits come from its number and
/// from how often it was formatted anew.
pub(crate) fn pair_after(host: HostId, wipes: u32) -> Option<Pair> {
    let id = raft_core::NodeId::new(u64::from(host.raw()))?;
    let first = u128::from(host.raw()) * 0x0101_0101_0101_0101_0101_0101_0101_0101;
    let bits = first ^ (u128::from(wipes) << 96);
    Some(Pair { id, incarnation: raft_core::Incarnation::new(bits) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use raft_core::{
        ClusterId, Compaction, Entry, HardState, LogTime, Membership, NodeId, Payload, Server, Snapshot,
        Suffrage, Term,
    };

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
            compaction: None,
            refounds: None,
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
                let lost = disk.crash(keep, torn, 0);
                assert_eq!(lost, 2_u32.saturating_sub(keep));
                let recovered = disk.recover().unwrap();
                assert_eq!(recovered.last().index.raw(), 3 - u64::from(lost));
                assert_eq!(disk.last(), recovered.last().index);
            }
        }
    }

    /// Goal: any of the unsynced batches can be lost, and what is behind a lost one is not recovered. Method: every subset of
    /// three that makes it to the disk.
    #[test]
    fn crash_keeps_any_and_recovery_what_is_consecutive() {
        for torn in [false, true] {
            for stray in 0..8 {
                let mut disk = Disk::default();
                for nth in 1..=4 {
                    disk.write(batch(nth, 1, nth, 1));
                }
                assert_eq!(disk.crash(0, torn, stray), 4);
                assert_eq!(disk.recover().unwrap().last().index, LogIndex::ZERO, "{torn} {stray}");
                assert_eq!(disk.records(), 0);
            }
        }
    }

    /// Goal: damage in the synced part is told apart from a torn end, wherever that can be done. Method: each of three records
    /// damaged, the last of which nothing vouches for; and unsynced ones behind.
    #[test]
    fn damage_is_not_a_torn_end() {
        for record in 0..3 {
            for stray in 0..2 {
                let mut disk = Disk::default();
                for nth in 1..=3 {
                    disk.write(batch(nth, 1, nth, 1));
                    disk.sync(1);
                }
                assert_eq!(disk.vouched(), 2);
                if stray == 1 {
                    disk.write(batch(4, 1, 4, 1));
                    disk.write(batch(5, 1, 5, 1));
                    // The record behind a lost one says that three were durable when it was written.
                    disk.crash(0, false, 1);
                    assert_eq!(disk.vouched(), 3);
                }
                assert!(disk.damage(record));
                assert!(!disk.damage(record));
                let recovered = disk.recover().map(|recovered| recovered.last().index.raw());
                let noticed = record < 2 || stray == 1;
                let expected = if noticed { Err(DiskError::Damaged(record)) } else { Ok(2) };
                assert_eq!(recovered, expected);
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

    /// A batch without entries that tells of a snapshot up to `last`, behind whose `start` the log begins.
    fn snapshot(number: u64, (start, last): (u64, u64), discards: bool) -> Write {
        let id = NodeId::new(1).unwrap();
        let pair = Pair { id, incarnation: raft_core::Incarnation::new(1) };
        let server = Server {
            pair,
            suffrage: Suffrage::Voter,
            raft_address: "raft".to_owned(),
            client_address: "client".to_owned(),
        };
        let snapshot = Snapshot {
            cluster: ClusterId::new(1),
            last: Position::new(1, last),
            time: LogTime::ZERO,
            membership: std::sync::Arc::new(Membership::new(vec![server]).unwrap()),
            membership_index: LogIndex::new(1),
            size: 0,
            digest: raft_core::Digest::new(0),
        };
        let start = Position::new(1, start);
        let compaction = Compaction { snapshot: std::sync::Arc::new(snapshot), start, discards };
        let compaction = Some(Box::new(compaction));
        Write { entries: Runs::new(), compaction, commit: LogIndex::new(last), ..batch(number, 1, 1, 1) }
    }

    /// Goal: entries that a durable snapshot stands for can be given up, and no others; a recovery is the same before and after. Method: a
    /// snapshot whose batch is not durable yet, then is, and a crash behind it.
    #[test]
    fn compaction_gives_up_what_the_log_begins_behind() {
        let mut disk = Disk::default();
        for nth in 1..=4 {
            disk.write(batch(nth, 1, nth, 1));
        }
        disk.write(snapshot(5, (2, 3), false));
        disk.sync(4);
        assert!(!disk.is_compactable() && !disk.compact() && disk.base.is_none());
        disk.sync(1);
        disk.write(batch(6, 1, 5, 1));
        disk.sync(1);
        disk.write(batch(7, 1, 6, 1));
        let before = disk.clone().recover().unwrap();
        assert_eq!(disk.vouched(), 5);
        assert!(disk.is_compactable() && disk.compact() && !disk.is_compactable());
        assert_eq!((disk.start(), disk.records(), disk.vouched()), (LogIndex::new(2), 1, 0));
        assert_eq!(disk.snapshot(), Some(Position::new(1, 3)));
        assert!(disk.read(LogIndex::new(2), LogIndex::new(9), u64::MAX).is_empty());
        assert_eq!(disk.read(LogIndex::new(3), LogIndex::new(9), u64::MAX).len(), 4);
        assert_eq!(disk.clone().recover().unwrap(), before);
        disk.crash(0, false, 0);
        assert_eq!(disk.recover().unwrap().last().index, LogIndex::new(5));
        assert_eq!(disk.read(LogIndex::new(3), LogIndex::new(9), u64::MAX).len(), 3);
    }

    /// Goal: a snapshot that takes the place of the log leaves nothing of it, and a crash before it is durable all. Method: both.
    #[test]
    fn discarded_log_is_gone_once_that_is_durable() {
        let mut disk = Disk::default();
        disk.write(batch(1, 1, 1, 5));
        disk.sync(1);
        disk.write(snapshot(2, (4, 4), true));
        assert_eq!(disk.last(), LogIndex::new(4));
        let mut crashed = disk.clone();
        crashed.crash(0, true, 0);
        assert_eq!(crashed.recover().unwrap().last().index, LogIndex::new(5));
        disk.sync(1);
        assert_eq!(disk.recover().unwrap().start, Position::new(1, 4));
        assert_eq!((disk.start(), disk.last()), (LogIndex::new(4), LogIndex::new(4)));
    }
}
