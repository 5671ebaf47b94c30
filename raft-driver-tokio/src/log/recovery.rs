//! Reads a log from its beginning, tells a torn end from damage, and mends the one. It decides nothing about Raft: what
//! the batches mean is [`Recovered::absorb`](raft_core::Recovered::absorb)'s matter.

use bytes::Bytes;
use raft_core::{Pair, RecoverError, Write, decode_write};

use super::error::{Damage, LogError};
use super::index::RecordPlace;
use super::record::{
    End, HeaderError, Link, Record, SEGMENT_HEADER_BYTES, SegmentHeader, judge_end, next_record,
};
use super::storage::{Storage, StorageFile};

/// What comes before the number is nothing, what comes after it is this.
const SEGMENT_SUFFIX: &str = ".segment";
/// A segment that is being prepared. It takes its real name once it is whole and durable, so one that still has this name
/// after a crash holds nothing.
const NEW_SUFFIX: &str = ".new";

pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:020}{SEGMENT_SUFFIX}")
}

pub(crate) fn new_segment_name(number: u64) -> String {
    format!("{number:020}{NEW_SUFFIX}")
}

/// A record as it was found.
pub(crate) struct FoundRecord<'a> {
    pub(crate) place: RecordPlace,
    /// How many bytes it takes.
    pub(crate) bytes: u64,
    /// What checksums in its segment begin from.
    pub(crate) salt: u32,
    pub(crate) write: &'a Write,
}

/// What was found, beside the records themselves.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) segments: u64,
    /// The length of all segments in bytes.
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    /// The header of the last segment.
    pub(crate) header: SegmentHeader,
    /// Where the chain of records goes on.
    pub(crate) link: Link,
    /// Where in the last segment the next record goes.
    pub(crate) end: usize,
    /// From where on the last segment holds something else than zeros that is no record.
    pub(crate) torn: bool,
    /// The end of the last segment from the first record on that no later record knows to be durable.
    unvouched: Vec<u8>,
    unvouched_from: usize,
    leftovers: Vec<String>,
}

/// Reads the whole log, changing nothing, and shows every segment and every record to `visit` in order.
///
/// # Errors
/// The log is damaged, or `visit` found that a batch does not follow from those before it.
pub(crate) fn scan(
    storage: &dyn Storage,
    pair: Pair,
    visit: &mut dyn FnMut(FoundRecord<'_>) -> Result<(), RecoverError>,
) -> Result<Scanned, LogError> {
    let (segments, leftovers) = list(storage)?;
    let mut walk = Walk { link: Link::START, end: SEGMENT_HEADER_BYTES, records: 0, bytes: 0, vouched: 0 };
    let mut newest: Option<(SegmentHeader, Vec<u8>)> = None;
    for number in 1..=segments {
        let (header, content) = load(storage, pair, number)?;
        if let Some((before, _)) = &newest
            && header.start != walk.link
        {
            // The next segment was made only after everything in this one was durable.
            return Err(LogError::damaged(&segment_name(before.number), walk.end, Damage::Record));
        }
        if newest.is_none() && header.start != Link::START {
            return Err(LogError::damaged(&segment_name(number), 0, Damage::Place));
        }
        // Making this segment came after everything before it was durable.
        walk.vouched = header.start.sequence - 1;
        walk.segment(&header, &content, visit)?;
        newest = Some((header, content));
    }
    let Some((header, mut content)) = newest else {
        return Err(LogError::Missing { file: segment_name(1) });
    };
    let torn = match judge_end(&content, header.salt(), walk.link, walk.end) {
        End::Clean => false,
        End::Torn => true,
        End::Damaged => {
            return Err(LogError::damaged(&segment_name(header.number), walk.end, Damage::Record));
        }
    };
    let unvouched_from = walk.unvouched_from(&header, &content);
    Ok(Scanned {
        segments,
        bytes: walk.bytes,
        records: walk.records,
        header,
        link: walk.link,
        end: walk.end,
        torn,
        unvouched: content.split_off(unvouched_from),
        unvouched_from,
        leftovers,
    })
}

impl Scanned {
    /// How many bytes stand behind the last record that are neither zero nor a record.
    pub(crate) fn torn_bytes(&self) -> u64 {
        let behind = &self.unvouched[self.end - self.unvouched_from..];
        behind.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
    }

    /// Makes the disk hold durably what was found, and nothing else; returns the last segment to go on with.
    pub(crate) fn mend(&mut self, storage: &dyn Storage) -> Result<Box<dyn StorageFile>, LogError> {
        for name in &self.leftovers {
            storage.remove(name).map_err(LogError::io("remove", name))?;
        }
        let name = segment_name(self.header.number);
        let file = storage.open(&name).map_err(LogError::io("open", &name))?;
        // The last records may never have been synced, and stand here only because the system still holds them in memory;
        // or their sync failed, and the system takes them for clean although the disk does not have them. The node is about
        // to rely on them, so they are written again and synced. What is torn becomes zeros in the same go: were it left,
        // and the next record ended where an old one begins, the old one could pass for its successor.
        let keep = self.end - self.unvouched_from;
        self.unvouched[keep..].fill(0);
        let again = if self.torn { &self.unvouched[..] } else { &self.unvouched[..keep] };
        if !again.is_empty() {
            file.write_at(again, self.unvouched_from as u64).map_err(LogError::io("write", &name))?;
        }
        file.sync().map_err(LogError::io("sync", &name))?;
        storage.sync_directory().map_err(LogError::io("sync the folder of", &name))?;
        self.unvouched = Vec::new();
        Ok(file)
    }
}

/// The number of segments, and files that only an interrupted preparation leaves.
fn list(storage: &dyn Storage) -> Result<(u64, Vec<String>), LogError> {
    let mut numbers = Vec::new();
    let mut leftovers = Vec::new();
    for name in storage.list().map_err(LogError::io("list the files of", "."))? {
        if let Some(number) = name.strip_suffix(SEGMENT_SUFFIX).and_then(|digits| digits.parse::<u64>().ok())
        {
            numbers.push(number);
        } else if name.ends_with(NEW_SUFFIX) {
            leftovers.push(name);
        } else {
            tracing::warn!(file = name, "a file in the log folder that does not belong there; left alone");
        }
    }
    numbers.sort_unstable();
    for (expected, number) in (1..).zip(&numbers) {
        if *number != expected {
            return Err(LogError::Missing { file: segment_name(expected) });
        }
    }
    Ok((numbers.len() as u64, leftovers))
}

/// Reads one segment as a whole and checks its header.
fn load(storage: &dyn Storage, pair: Pair, number: u64) -> Result<(SegmentHeader, Vec<u8>), LogError> {
    let name = segment_name(number);
    let file = storage.open(&name).map_err(LogError::io("open", &name))?;
    let length = file.length().map_err(LogError::io("measure", &name))?;
    let mut start = [0; SEGMENT_HEADER_BYTES];
    if length < SEGMENT_HEADER_BYTES as u64 {
        return Err(LogError::damaged(&name, 0, Damage::Header));
    }
    file.read_at(&mut start, 0).map_err(LogError::io("read", &name))?;
    let header = SegmentHeader::decode(&start).map_err(|error| match error {
        HeaderError::Damaged => LogError::damaged(&name, 0, Damage::Header),
        HeaderError::Version(version) => LogError::Version { file: name.clone(), version },
    })?;
    if header.pair != pair {
        return Err(LogError::OtherServer { file: name, found: header.pair, expected: pair });
    }
    if header.number != number {
        return Err(LogError::damaged(&name, 0, Damage::Place));
    }
    if header.size != length {
        let damage = Damage::Length { found: length, expected: header.size };
        return Err(LogError::damaged(&name, usize::try_from(length).unwrap_or(usize::MAX), damage));
    }
    let mut content = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_at(&mut content, 0).map_err(LogError::io("read", &name))?;
    Ok((header, content))
}

/// How far the reading has come.
struct Walk {
    link: Link,
    end: usize,
    records: u64,
    bytes: u64,
    /// The greatest sequence number that something later says is durable.
    vouched: u64,
}

impl Walk {
    fn segment(
        &mut self,
        header: &SegmentHeader,
        content: &[u8],
        visit: &mut dyn FnMut(FoundRecord<'_>) -> Result<(), RecoverError>,
    ) -> Result<(), LogError> {
        let salt = header.salt();
        self.bytes += content.len() as u64;
        self.end = SEGMENT_HEADER_BYTES;
        while let Some(record) = next_record(content, salt, self.link, self.end) {
            let damaged = |damage| LogError::damaged(&segment_name(header.number), record.offset, damage);
            let write = decode(content, &record).map_err(damaged)?;
            let place = RecordPlace { segment: header.number, offset: record.offset as u64 };
            let bytes = (record.end() - record.offset) as u64;
            visit(FoundRecord { place, bytes, salt, write: &write })
                .map_err(|error| damaged(Damage::Order(error)))?;
            self.vouched = self.vouched.max(record.synced);
            self.link = record.link();
            self.end = record.end();
            self.records += 1;
        }
        Ok(())
    }

    /// Where in the last segment the first record stands that nothing later knows to be durable.
    fn unvouched_from(&self, header: &SegmentHeader, content: &[u8]) -> usize {
        let (salt, mut link, mut offset) = (header.salt(), header.start, SEGMENT_HEADER_BYTES);
        while link.sequence <= self.vouched
            && let Some(record) = next_record(content, salt, link, offset)
        {
            (link, offset) = (record.link(), record.end());
        }
        offset
    }
}

/// The batch in a record, in memory of its own, so that it does not keep the whole segment alive.
pub(crate) fn decode(segment: &[u8], record: &Record) -> Result<Write, Damage> {
    if record.group != super::GROUP {
        return Err(Damage::Group(record.group));
    }
    decode_write(Bytes::copy_from_slice(&segment[record.payload.clone()])).map_err(Damage::Batch)
}
