//! The end of the log: appends batches, syncs them, and goes on to the next segment.

use std::sync::{Arc, Mutex, PoisonError};

use raft_core::{LogIndex, Pair, Recovered, Write, encode_write};

use super::GROUP;
use super::error::LogError;
use super::index::{Index, RecordPlace};
use super::reader::LogReader;
use super::record::{
    Link, PAYLOAD_BYTES_MAX, SEGMENT_HEADER_BYTES, SegmentHeader, push_record, record_bytes,
};
use super::recovery::{FoundRecord, new_segment_name, scan, segment_name};
use super::storage::{Storage, StorageFile};

/// How a log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// The length of a new segment in bytes, from 4 KiB on; a batch that is longer gets a segment of its own length.
    /// Default 16 MiB.
    pub segment_bytes: u64,
    /// How many of the last entries stay in memory after a restart; the node fetches older ones when it needs them. At
    /// least 1. Default 1,024.
    pub tail_entries: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions { segment_bytes: 16 << 20, tail_entries: 1024 }
    }
}

/// How many batches are recovered between two cuts of what is held in memory.
const SHORTEN_EVERY: u64 = 1024;

/// How much memory for queued batches is kept from one sync to the next.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

/// What the writer and the readers share. The lock is held for a look, never while the disk works.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    index: Mutex<Index>,
}

impl Shared {
    pub(crate) fn new(storage: Arc<dyn Storage>, index: Index) -> Self {
        Shared { storage, index: Mutex::new(index) }
    }

    pub(crate) fn with_index<R>(&self, look: impl FnOnce(&mut Index) -> R) -> R {
        // A panic within the few lines that hold the lock leaves nothing half done that matters: the index only says where
        // to look, and every record is checked when it is read.
        look(&mut self.index.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A log that is open for writing.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    options: LogOptions,
    file: Box<dyn StorageFile>,
    header: SegmentHeader,
    /// Where in the segment `buffer` begins.
    written: u64,
    /// Where the chain goes on behind `buffer`.
    link: Link,
    /// The number of the last record that is durable.
    synced: u64,
    /// Records that are not on the disk yet.
    buffer: Vec<u8>,
    /// What the index learns once they are durable.
    queued: Vec<Queued>,
    failed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Queued {
    place: RecordPlace,
    bytes: u64,
    entries: Option<(LogIndex, LogIndex)>,
}

fn entries_of(write: &Write) -> Option<(LogIndex, LogIndex)> {
    Some((write.entries.first()?, write.entries.last_position()?.index))
}

/// Tells the index of a record that was found on the disk.
pub(crate) fn index_found(index: &mut Index, segments: &mut u64, found: &FoundRecord<'_>) {
    while *segments < found.place.segment {
        *segments += 1;
        // A segment without a record before this one was never looked into; its salt is never asked for.
        index.push_segment(if *segments == found.place.segment { found.salt } else { 0 });
    }
    index.push_record(found.place, found.bytes, entries_of(found.write));
}

impl Log {
    /// Makes the first segment of a new log in an empty folder, durably.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn create(storage: &dyn Storage, pair: Pair, options: LogOptions) -> Result<(), LogError> {
        let size = options.segment_bytes.max(4096);
        let header = SegmentHeader { number: 1, size, pair, start: Link::START };
        make_segment(storage, &header).map_err(|error| error.placed(storage))?;
        Ok(())
    }

    /// Opens the log of `pair`: finds everything that was made durable, cuts off a torn end, and makes durable what it
    /// found.
    ///
    /// # Errors
    /// The log is missing, damaged, or another server's, and is left as it is then; or the disk fails.
    pub fn open(
        storage: Arc<dyn Storage>,
        pair: Pair,
        options: LogOptions,
    ) -> Result<(Log, Recovered), LogError> {
        let place = Arc::clone(&storage);
        Log::open_unplaced(storage, pair, options).map_err(|error| error.placed(&*place))
    }

    fn open_unplaced(
        storage: Arc<dyn Storage>,
        pair: Pair,
        options: LogOptions,
    ) -> Result<(Log, Recovered), LogError> {
        let mut recovered = Recovered::default();
        let mut index = Index::default();
        let (mut segments, mut records) = (0, 0u64);
        let mut scanned = scan(&*storage, pair, &mut |found| {
            recovered.absorb(found.write)?;
            index_found(&mut index, &mut segments, &found);
            records += 1;
            if records.is_multiple_of(SHORTEN_EVERY) {
                recovered.shorten(options.tail_entries);
            }
            Ok(())
        })?;
        recovered.shorten(options.tail_entries);
        while segments < scanned.segments {
            segments += 1;
            index.push_segment(if segments == scanned.segments { scanned.header.salt() } else { 0 });
        }
        if scanned.torn {
            let file = segment_name(scanned.header.number);
            tracing::warn!(
                file,
                offset = scanned.end,
                bytes = scanned.torn_bytes(),
                "cut off a torn end of the log"
            );
        }
        let file = scanned.mend(&*storage)?;
        let log = Log {
            shared: Arc::new(Shared::new(storage, index)),
            options,
            file,
            header: scanned.header,
            written: scanned.end as u64,
            link: scanned.link,
            synced: scanned.link.sequence - 1,
            buffer: Vec::new(),
            queued: Vec::new(),
            failed: false,
        };
        Ok((log, recovered))
    }

    /// Reads what this log has made durable; may be used in another thread.
    pub fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.shared))
    }

    /// Queues a batch. It is durable after the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// A new segment was needed and could not be made, or something failed before. Final.
    pub fn append(&mut self, write: &Write) -> Result<(), LogError> {
        self.final_errors(|log| log.append_record(write))
    }

    /// Makes everything that was queued durable, with one write and one sync.
    ///
    /// # Errors
    /// The disk is full or failed, or did so before. Final: nobody knows what is on the disk then.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.final_errors(Log::sync_records)
    }

    fn final_errors(&mut self, run: impl FnOnce(&mut Log) -> Result<(), LogError>) -> Result<(), LogError> {
        if self.failed {
            return Err(LogError::Failed);
        }
        let result = run(self).map_err(|error| error.placed(&*self.shared.storage));
        self.failed = result.is_err();
        result
    }

    fn append_record(&mut self, write: &Write) -> Result<(), LogError> {
        let payload = encode_write(write);
        if PAYLOAD_BYTES_MAX < payload.len() {
            return Err(LogError::TooLong { bytes: payload.len() });
        }
        let bytes = record_bytes(payload.len()) as u64;
        if self.header.size < self.written + self.buffer.len() as u64 + bytes {
            self.sync_records()?;
            self.begin_segment(bytes)?;
        }
        let place =
            RecordPlace { segment: self.header.number, offset: self.written + self.buffer.len() as u64 };
        let salt = self.header.salt();
        self.link = push_record(&mut self.buffer, salt, self.link, self.synced, GROUP, &payload);
        self.queued.push(Queued { place, bytes, entries: entries_of(write) });
        Ok(())
    }

    fn sync_records(&mut self) -> Result<(), LogError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let name = segment_name(self.header.number);
        self.file.write_at(&self.buffer, self.written).map_err(LogError::io("write", &name))?;
        self.file.sync().map_err(LogError::io("sync", &name))?;
        self.written += self.buffer.len() as u64;
        self.synced = self.link.sequence - 1;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        let queued = &mut self.queued;
        self.shared.with_index(|index| {
            for record in queued.drain(..) {
                index.push_record(record.place, record.bytes, record.entries);
            }
        });
        Ok(())
    }

    /// Goes on to a new segment that has room for a record of `bytes` bytes. Everything before it has to be durable: the
    /// new segment says so.
    fn begin_segment(&mut self, bytes: u64) -> Result<(), LogError> {
        let size = self.options.segment_bytes.max(4096).max(SEGMENT_HEADER_BYTES as u64 + bytes);
        let header =
            SegmentHeader { number: self.header.number + 1, size, pair: self.header.pair, start: self.link };
        self.file = make_segment(&*self.shared.storage, &header)?;
        self.header = header;
        self.written = SEGMENT_HEADER_BYTES as u64;
        self.shared.with_index(|index| index.push_segment(header.salt()));
        Ok(())
    }
}

/// Makes a segment: fills it under another name, syncs it, names it, and syncs the name.
fn make_segment(storage: &dyn Storage, header: &SegmentHeader) -> Result<Box<dyn StorageFile>, LogError> {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    let (new, name) = (new_segment_name(header.number), segment_name(header.number));
    let file = storage.create(&new).map_err(LogError::io("create", &new))?;
    let bytes = header.encode();
    file.write_at(&bytes, 0).map_err(LogError::io("write", &new))?;
    let mut filled = bytes.len() as u64;
    while filled < header.size {
        // The first piece is shorter, so that all others begin at a multiple of their length.
        let piece = (ZEROS.len() as u64 - filled % ZEROS.len() as u64).min(header.size - filled);
        file.write_at(&ZEROS[..piece as usize], filled).map_err(LogError::io("fill", &new))?;
        filled += piece;
    }
    file.sync().map_err(LogError::io("sync", &new))?;
    storage.rename(&new, &name).map_err(LogError::io("rename", &new))?;
    storage.sync_directory().map_err(LogError::io("sync the folder of", &name))?;
    Ok(file)
}
