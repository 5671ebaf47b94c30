//! How segments and records look as bytes, and how to tell a torn end from damage. It knows neither files nor Raft: a
//! segment is a slice here, and a payload is a slice of it. The layout is drawn in the documentation of the
//! [module above](super).

use std::ops::Range;

use raft_core::{Incarnation, NodeId, Pair};

/// What a segment begins with.
const MAGIC: [u8; 8] = *b"RAFTLOG\0";

/// The only version of the format so far.
pub(crate) const VERSION: u32 = 1;

pub(crate) const SEGMENT_HEADER_BYTES: usize = 72;
pub(crate) const RECORD_HEADER_BYTES: usize = 32;

/// Records begin at multiples of this.
const ALIGNMENT: usize = 8;

/// The longest payload of a record in bytes: what a `u32` can say, less a good margin for sums.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1 << 31;

/// The header of a segment. All of it follows from the server and the segment before, so a segment that was put in the
/// place of another is found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    /// 1, 2, 3 …
    pub(crate) number: u64,
    /// The length of the file in bytes.
    pub(crate) size: u64,
    /// Whose log it is.
    pub(crate) pair: Pair,
    /// Where the chain of records goes on.
    pub(crate) start: Link,
}

/// A place in the chain of records: which number the next one has, and the checksum of the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Link {
    pub(crate) sequence: u64,
    pub(crate) previous: u32,
}

impl Link {
    /// Where the very first record stands.
    pub(crate) const START: Link = Link { sequence: 1, previous: 0 };
}

/// Why a slice does not begin with a segment header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeaderError {
    /// Not one of ours, or damaged.
    Damaged,
    /// Of another version of the format.
    Version(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.start.previous.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.size.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.pair.id.raw().to_le_bytes());
        bytes[40..56].copy_from_slice(&self.pair.incarnation.raw().to_le_bytes());
        bytes[56..64].copy_from_slice(&self.start.sequence.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..64]);
        bytes[64..68].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<SegmentHeader, HeaderError> {
        let bytes = bytes.get(..SEGMENT_HEADER_BYTES).ok_or(HeaderError::Damaged)?;
        if bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..64]) != u32_at(bytes, 64) || bytes[68..] != [0; 4] {
            return Err(HeaderError::Damaged);
        }
        if u32_at(bytes, 8) != VERSION {
            return Err(HeaderError::Version(u32_at(bytes, 8)));
        }
        let mut incarnation = [0; 16];
        incarnation.copy_from_slice(&bytes[40..56]);
        let id = NodeId::new(u64_at(bytes, 32)).ok_or(HeaderError::Damaged)?;
        let pair = Pair { id, incarnation: Incarnation::new(u128::from_le_bytes(incarnation)) };
        let start = Link { sequence: u64_at(bytes, 56), previous: u32_at(bytes, 12) };
        Ok(SegmentHeader { number: u64_at(bytes, 16), size: u64_at(bytes, 24), pair, start })
    }

    /// What every checksum in this segment begins from, so that no record fits into another segment, another server's
    /// log, or the log of an earlier life of this server.
    pub(crate) fn salt(&self) -> u32 {
        u32_at(&self.encode(), 64)
    }
}

/// One record within a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    /// Which group of the process it belongs to.
    pub(crate) group: u32,
    /// Which record of the log it is: 1, 2, 3 … over all segments.
    pub(crate) sequence: u64,
    /// All records up to this one were durable when it was written.
    pub(crate) synced: u64,
    /// Where in the segment it begins.
    pub(crate) offset: usize,
    /// Where in the segment its payload stands.
    pub(crate) payload: Range<usize>,
    previous: u32,
    crc: u32,
}

impl Record {
    /// Where the chain goes on behind it.
    pub(crate) fn link(&self) -> Link {
        Link { sequence: self.sequence + 1, previous: self.crc }
    }

    /// Where the next record begins.
    pub(crate) fn end(&self) -> usize {
        self.payload.end.next_multiple_of(ALIGNMENT)
    }
}

/// How many bytes a record takes in a segment.
pub(crate) fn record_bytes(payload: usize) -> usize {
    (RECORD_HEADER_BYTES + payload).next_multiple_of(ALIGNMENT)
}

/// Appends a record to `out` and says where the chain goes on.
///
/// # Panics
/// The payload is empty or longer than [`PAYLOAD_BYTES_MAX`].
pub(crate) fn push_record(
    out: &mut Vec<u8>,
    salt: u32,
    link: Link,
    synced: u64,
    group: u32,
    payload: &[u8],
) -> Link {
    assert!(!payload.is_empty() && payload.len() <= PAYLOAD_BYTES_MAX, "payload of {} bytes", payload.len());
    let begin = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&link.previous.to_le_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&group.to_le_bytes());
    out.extend_from_slice(&link.sequence.to_le_bytes());
    out.extend_from_slice(&synced.to_le_bytes());
    out.extend_from_slice(payload);
    let crc = crc32c::crc32c_append(salt, &out[begin + 4..]);
    out[begin..begin + 4].copy_from_slice(&crc.to_le_bytes());
    out.resize(begin + record_bytes(payload.len()), 0);
    Link { sequence: link.sequence + 1, previous: crc }
}

/// The record that follows `link` at `offset`, if a whole one stands there.
pub(crate) fn next_record(segment: &[u8], salt: u32, link: Link, offset: usize) -> Option<Record> {
    let record = candidate(segment, link.sequence..=link.sequence, offset)?;
    (record.previous == link.previous && is_whole(segment, salt, &record)).then_some(record)
}

/// The record at `offset`, whichever it is, if a whole one stands there.
pub(crate) fn record_at(segment: &[u8], salt: u32, offset: usize) -> Option<Record> {
    candidate(segment, 1..=u64::MAX, offset).filter(|record| is_whole(segment, salt, record))
}

/// How many bytes the record takes whose header stands at `offset`, by what the header says, unchecked.
///
/// # Panics
/// The header is not in the slice.
pub(crate) fn record_bytes_at(segment: &[u8], offset: usize) -> usize {
    record_bytes(u32_at(segment, offset + 8) as usize)
}

/// The record at `offset`, unchecked: cheap, and `None` for nearly everything that is none.
fn candidate(segment: &[u8], sequences: std::ops::RangeInclusive<u64>, offset: usize) -> Option<Record> {
    let header = segment.get(offset..offset.checked_add(RECORD_HEADER_BYTES)?)?;
    let sequence = u64_at(header, 16);
    let synced = u64_at(header, 24);
    let length = u32_at(header, 8) as usize;
    let begin = offset + RECORD_HEADER_BYTES;
    let payload = begin..begin.checked_add(length)?;
    if length == 0
        || !sequences.contains(&sequence)
        || sequence <= synced
        || segment.len() < payload.end.next_multiple_of(ALIGNMENT)
    {
        return None;
    }
    let (crc, previous, group) = (u32_at(header, 0), u32_at(header, 4), u32_at(header, 12));
    Some(Record { group, sequence, synced, offset, payload, previous, crc })
}

fn is_whole(segment: &[u8], salt: u32, record: &Record) -> bool {
    let padding_is_zero = || segment[record.payload.end..record.end()].iter().all(|byte| *byte == 0);
    crc32c::crc32c_append(salt, &segment[record.offset + 4..record.payload.end]) == record.crc
        && padding_is_zero()
}

/// What stands behind the last record that could be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Nothing: zeros.
    Clean,
    /// Something that was never known to be durable.
    Torn,
    /// A record that was known to be durable is missing here: some record behind it says so.
    Damaged,
}

/// Judges what stands from `offset` on, where the record that follows `link` should stand and does not.
///
/// A crash leaves any part of what was written since the last sync: the first of three unsynced records may be missing
/// while the other two stand. Every record says up to which one all were durable when it was written; so the missing record
/// was durable, and the disk is damaged, exactly if some record behind it says that it was.
pub(crate) fn judge_end(segment: &[u8], salt: u32, link: Link, offset: usize) -> End {
    let rest = &segment[offset..];
    let Some(nonzero) = rest.iter().position(|byte| *byte != 0) else {
        return End::Clean;
    };
    // No more records than fit can stand there, which keeps the search for them from computing checksums of garbage.
    let sequences = link.sequence..=link.sequence + (rest.len() / RECORD_HEADER_BYTES) as u64;
    let from = offset + nonzero / ALIGNMENT * ALIGNMENT;
    // A header may begin with zeros, but no header is all zeros: none begins more than its length before the first byte
    // that is not zero.
    let from = from.saturating_sub(RECORD_HEADER_BYTES).max(offset);
    for at in (from..segment.len()).step_by(ALIGNMENT) {
        if let Some(record) = candidate(segment, sequences.clone(), at)
            && link.sequence <= record.synced
            && is_whole(segment, salt, &record)
        {
            return End::Damaged;
        }
    }
    End::Torn
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}
