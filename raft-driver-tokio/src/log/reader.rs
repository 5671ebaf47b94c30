//! Reads entries back: for a node that fetches them, and for an inspection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::{LogIndex, Run, Runs, Write};

use super::error::{Damage, LogError};
use super::record::{RECORD_HEADER_BYTES, record_at, record_bytes_at};
use super::recovery::{decode, segment_name};
use super::storage::StorageFile;
use super::writer::Shared;

/// How much is read from the disk at once.
const READ_BYTES: usize = 128 << 10;

/// Reads entries that are in force and durable. Cheap to clone; the clones may be used in different threads.
#[derive(Debug)]
pub struct LogReader {
    shared: Arc<Shared>,
    /// The segment that was read last: who reads through the log opens each file once. Taken out while it is read from, so
    /// the lock is never held while the disk works.
    open: Mutex<Option<OpenSegment>>,
}

/// A segment that is open for reading.
#[derive(Debug)]
struct OpenSegment {
    number: u64,
    file: Box<dyn StorageFile>,
    length: u64,
}

impl Clone for LogReader {
    fn clone(&self) -> Self {
        LogReader::new(Arc::clone(&self.shared))
    }
}

impl LogReader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        LogReader { shared, open: Mutex::new(None) }
    }

    /// The entries from index `first` to index `last`, or as many of them as `bytes_max` lets through (counted by
    /// [`Entry::size`](raft_core::Entry::size)), but at least the first. `None` where the log does not reach `first`.
    ///
    /// # Errors
    /// The disk fails, or what it returns is not what was written.
    pub fn entries(&self, first: LogIndex, last: LogIndex, bytes_max: u64) -> Result<Option<Runs>, LogError> {
        self.read(first, last, bytes_max).map_err(|error| error.placed(&*self.shared.storage))
    }

    fn read(&self, first: LogIndex, last: LogIndex, bytes_max: u64) -> Result<Option<Runs>, LogError> {
        let mut taken = Taken { runs: Runs::new(), bytes: 0, bytes_max, next: first, full: false };
        while taken.next <= last && !taken.full {
            let Some(found) = self.shared.with_index(|index| index.find(taken.next)) else {
                break;
            };
            let last = found.last.min(last);
            let segment = self.open(found.place.segment)?;
            let mut piece = PieceReader::new(segment, found.place.offset);
            while taken.next <= last && !taken.full {
                let write = piece.next(found.salt)?;
                for run in write.entries.iter() {
                    if let Some(run) = run.slice(taken.next, last) {
                        taken.take(&run).map_err(|damage| piece.damaged(damage))?;
                    }
                }
            }
            *self.kept() = Some(piece.segment);
        }
        Ok((!taken.runs.is_empty()).then_some(taken.runs))
    }

    fn open(&self, number: u64) -> Result<OpenSegment, LogError> {
        if let Some(segment) = self.kept().take().filter(|segment| segment.number == number) {
            return Ok(segment);
        }
        let name = segment_name(number);
        let file = self.shared.storage.open(&name).map_err(LogError::io("open", &name))?;
        let length = file.length().map_err(LogError::io("measure", &name))?;
        Ok(OpenSegment { number, file, length })
    }

    fn kept(&self) -> MutexGuard<'_, Option<OpenSegment>> {
        // Nothing can panic while it is held.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a read has come to.
struct Taken {
    runs: Runs,
    bytes: u64,
    bytes_max: u64,
    next: LogIndex,
    full: bool,
}

impl Taken {
    fn take(&mut self, run: &Run) -> Result<(), Damage> {
        if self.full {
            return Ok(());
        }
        let (part, size) = run.prefix(self.bytes_max.saturating_sub(self.bytes), u64::MAX);
        let bytes = self.bytes.saturating_add(size);
        // A prefix always has at least one entry; where it is not the first of all, it can be one too many.
        if !self.runs.is_empty() && self.bytes_max < bytes {
            self.full = true;
            return Ok(());
        }
        self.full = part.len() < run.len() || self.bytes_max <= bytes;
        self.next = part.last().next();
        self.bytes = bytes;
        // The index says that these entries follow one another; where they do not, the record is another one.
        self.runs.push(part).map_err(|_| Damage::Record)
    }
}

/// Reads records one after the other.
struct PieceReader {
    segment: OpenSegment,
    /// Where the next record begins.
    offset: u64,
    /// Some bytes of the file, from `buffer_from` on.
    buffer: Vec<u8>,
    buffer_from: u64,
}

impl PieceReader {
    fn new(segment: OpenSegment, offset: u64) -> Self {
        PieceReader { segment, offset, buffer: Vec::new(), buffer_from: offset }
    }

    fn damaged(&self, damage: Damage) -> LogError {
        LogError::Damaged { file: segment_name(self.segment.number), offset: self.offset, damage }
    }

    fn next(&mut self, salt: u32) -> Result<Write, LogError> {
        self.fill(RECORD_HEADER_BYTES)?;
        let bytes = record_bytes_at(&self.buffer, self.at());
        self.fill(bytes)?;
        let record = record_at(&self.buffer, salt, self.at()).ok_or_else(|| self.damaged(Damage::Record))?;
        let write = decode(&self.buffer, &record).map_err(|damage| self.damaged(damage))?;
        self.offset += bytes as u64;
        Ok(write)
    }

    /// Where in the buffer the next record begins.
    fn at(&self) -> usize {
        (self.offset - self.buffer_from) as usize
    }

    /// Has at least `bytes` bytes of the next record in the buffer.
    fn fill(&mut self, bytes: usize) -> Result<(), LogError> {
        let available = self.segment.length.saturating_sub(self.offset);
        if available < bytes as u64 {
            return Err(self.damaged(Damage::Record));
        }
        if self.buffer.len() - self.at() < bytes {
            let want = bytes.max(READ_BYTES.min(usize::try_from(available).unwrap_or(READ_BYTES)));
            self.buffer.resize(want, 0);
            self.buffer_from = self.offset;
            let name = segment_name(self.segment.number);
            self.segment.file.read_at(&mut self.buffer, self.offset).map_err(LogError::io("read", &name))?;
        }
        Ok(())
    }
}
