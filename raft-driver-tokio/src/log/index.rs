//! Where in the segments an entry is found, coarsely: the log that is in force is cut into *pieces*, each of which can be
//! read record by record from where it begins up to where the next one begins.
//!
//! ```text
//!   written      1 2 3 4 5 6 │ 4 5 6 7 │ …        entries 4–6 were cut off and written anew
//!                ▲           ▲     ▲
//!   pieces     first 1    first 4  first 6         in force: 1 2 3 from the first, 4 5 from the second, then the third
//! ```
//!
//! A new piece begins at every truncation, in every segment, and after about 64 KiB, so that a read never goes through
//! more than that in vain. It knows nothing of files.

use raft_core::LogIndex;

/// A place in the log as it was written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct RecordPlace {
    /// The number of the segment: 1, 2, 3 …
    pub(crate) segment: u64,
    /// Where the record begins in it, in bytes.
    pub(crate) offset: u64,
}

/// How many bytes of records a piece holds about.
const PIECE_BYTES: u64 = 64 << 10;

/// Which part of a piece to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// Where its first record stands.
    pub(crate) place: RecordPlace,
    /// What checksums in its segment begin from.
    pub(crate) salt: u32,
    /// Up to which index it is in force.
    pub(crate) last: LogIndex,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// The salts of the segments; the first belongs to segment 1.
    salts: Vec<u32>,
    /// Sorted by `first`.
    pieces: Vec<Piece>,
    last: LogIndex,
    bytes_since_piece: u64,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    first: LogIndex,
    place: RecordPlace,
}

impl Index {
    /// A new segment has begun.
    pub(crate) fn push_segment(&mut self, salt: u32) {
        self.salts.push(salt);
    }

    /// A record of `bytes` bytes stands at `place`, with these entries (first and last).
    pub(crate) fn push_record(
        &mut self,
        place: RecordPlace,
        bytes: u64,
        entries: Option<(LogIndex, LogIndex)>,
    ) {
        self.bytes_since_piece = self.bytes_since_piece.saturating_add(bytes);
        let Some((first, last)) = entries else { return };
        let truncates = first <= self.last;
        if truncates {
            let kept = self.pieces.partition_point(|piece| piece.first < first);
            self.pieces.truncate(kept);
        }
        let other_segment = self.pieces.last().is_none_or(|piece| piece.place.segment != place.segment);
        if truncates || other_segment || PIECE_BYTES <= self.bytes_since_piece {
            self.pieces.push(Piece { first, place });
            self.bytes_since_piece = 0;
        }
        self.last = last;
    }

    /// From where to read the entry at `index`.
    pub(crate) fn find(&self, index: LogIndex) -> Option<Found> {
        if index == LogIndex::ZERO || self.last < index {
            return None;
        }
        let after = self.pieces.partition_point(|piece| piece.first <= index);
        let piece = self.pieces.get(after.checked_sub(1)?)?;
        let last = self.pieces.get(after).map_or(self.last, |next| next.first.previous());
        let salt = *self.salts.get(usize::try_from(piece.place.segment).ok()?.checked_sub(1)?)?;
        Some(Found { place: piece.place, salt, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> RecordPlace {
        RecordPlace { segment: 1, offset }
    }

    fn entries(first: u64, last: u64) -> Option<(LogIndex, LogIndex)> {
        Some((LogIndex::new(first), LogIndex::new(last)))
    }

    /// Goal: what was cut off is never found again. Method: cut twice, the second time deeper than the first.
    #[test]
    fn index_finds_only_what_is_in_force() {
        let mut index = Index::default();
        index.push_segment(9);
        index.push_record(at(100), 10, entries(1, 6));
        index.push_record(at(200), 10, entries(4, 5));
        index.push_record(at(300), 10, None);
        index.push_record(at(400), 10, entries(3, 3));
        index.push_record(at(500), 10, entries(4, 8));
        let find = |i| index.find(LogIndex::new(i)).map(|found| (found.place.offset, found.last.raw()));
        assert_eq!(find(0), None);
        assert_eq!(find(1), Some((100, 2)));
        assert_eq!(find(2), Some((100, 2)));
        assert_eq!(find(3), Some((400, 8)));
        assert_eq!(find(8), Some((400, 8)));
        assert_eq!(find(9), None);
    }

    /// Goal: the index stays coarse, and a read is bounded. Method: many small records.
    #[test]
    fn index_begins_a_piece_after_so_many_bytes_and_in_every_segment() {
        let mut index = Index::default();
        index.push_segment(1);
        for i in 1..=1000u64 {
            index.push_record(at(i * 1024), 1024, entries(i, i));
        }
        assert_eq!(index.pieces.len(), 1 + 999 * 1024 / PIECE_BYTES as usize);
        index.push_segment(2);
        index.push_record(RecordPlace { segment: 2, offset: 72 }, 1024, entries(1001, 1001));
        assert_eq!(index.find(LogIndex::new(1001)).map(|found| found.salt), Some(2));
        assert_eq!(index.find(LogIndex::new(1000)).map(|found| found.last.raw()), Some(1000));
    }
}
