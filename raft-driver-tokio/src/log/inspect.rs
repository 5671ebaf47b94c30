//! Looks into the log of a stopped server and changes nothing.

use std::sync::Arc;

use raft_core::{ClusterId, Entry, HardState, LogIndex, Membership, Position, Recovered, encode_entry};

use super::error::LogError;
use super::index::Index;
use super::reader::LogReader;
use super::recovery::scan;
use super::writer::{Shared, index_found};
use crate::DataDir;

/// How much is read at once.
const READ_BYTES: u64 = 1 << 20;

/// What the log of a stopped server holds.
#[derive(Clone, Debug)]
pub struct Summary {
    /// How many segments.
    pub segments: u64,
    /// Their length in bytes, zeros included.
    pub bytes: u64,
    /// How many batches were written, those included whose entries were cut off later.
    pub records: u64,
    /// The term and the vote in it.
    pub hard_state: HardState,
    /// The greatest index that the log knows to be committed. More may be.
    pub commit: LogIndex,
    /// The last entry.
    pub last: Position,
    /// The cluster that the first entry founds; `None` for an empty log.
    pub cluster: Option<ClusterId>,
    /// The configuration in force; `None` for an empty log.
    pub membership: Option<Arc<Membership>>,
    /// How many bytes of a torn end the next start will cut off.
    pub torn_bytes: u64,
}

/// A log that was read as a whole and found to be in order.
#[derive(Debug)]
pub struct Inspection {
    summary: Summary,
    reader: LogReader,
}

/// Reads the log in a folder. A torn end is not damage; the summary tells of it.
///
/// # Errors
/// The log is missing, damaged, or another server's, or the disk fails.
pub fn inspect(directory: &DataDir) -> Result<Inspection, LogError> {
    let (storage, pair) = (directory.log_storage(), directory.pair());
    let mut recovered = Recovered::default();
    let mut index = Index::default();
    let (mut segments, mut records) = (0, 0u64);
    let scanned = scan(&*storage, pair, &mut |found| {
        recovered.absorb(found.write)?;
        index_found(&mut index, &mut segments, &found);
        records += 1;
        if records.is_multiple_of(1024) {
            recovered.shorten(1);
        }
        Ok(())
    });
    let scanned = scanned.map_err(|error| error.placed(&*storage))?;
    let summary = Summary {
        segments: scanned.segments,
        bytes: scanned.bytes,
        records: scanned.records,
        hard_state: recovered.hard_state,
        commit: recovered.commit,
        last: recovered.last(),
        cluster: recovered.cluster(),
        membership: recovered.membership().cloned(),
        torn_bytes: scanned.torn_bytes(),
    };
    let reader = LogReader::new(Arc::new(Shared::new(storage, index)));
    Ok(Inspection { summary, reader })
}

impl Inspection {
    /// What it holds, in short.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Shows every entry that is in force, up to index `last`, in order.
    ///
    /// # Errors
    /// The disk fails, or does not hold any more what it held when the inspection began.
    pub fn for_each_entry(
        &self,
        last: LogIndex,
        mut show: impl FnMut(Position, &Entry),
    ) -> Result<(), LogError> {
        let mut next = LogIndex::new(1);
        while let Some(runs) = self.reader.entries(next, last, READ_BYTES)? {
            for (position, entry) in runs.entries() {
                show(position, entry);
                next = position.index.next();
            }
        }
        // The reader says "nothing there" also of entries that the log must have.
        if next <= last.min(self.summary.last.index) {
            return Err(LogError::Incomplete { index: next });
        }
        Ok(())
    }

    /// The chained digest of the log up to `index`: equal on two servers exactly if they hold the same entries up to
    /// there. `None` where the log does not reach it.
    ///
    /// It begins with 0; every entry takes it to the XXH3 (128 bits) of what it was (16 bytes, little-endian), the entry's
    /// term and index (8 bytes each, little-endian), and the entry as it is encoded.
    ///
    /// # Errors
    /// As [`for_each_entry`](Self::for_each_entry): a digest of less than was asked for is never returned.
    pub fn digest(&self, index: LogIndex) -> Result<Option<u128>, LogError> {
        if self.summary.last.index < index {
            return Ok(None);
        }
        let mut digest = 0u128;
        let mut bytes = Vec::new();
        self.for_each_entry(index, |position, entry| {
            bytes.clear();
            bytes.extend_from_slice(&digest.to_le_bytes());
            bytes.extend_from_slice(&position.term.raw().to_le_bytes());
            bytes.extend_from_slice(&position.index.raw().to_le_bytes());
            bytes.extend_from_slice(&encode_entry(entry));
            digest = xxhash_rust::xxh3::xxh3_128(&bytes);
        })?;
        Ok(Some(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Folder, Storage};
    use raft_core::Term;

    /// Goal: entries that can not be found are an error, and never a digest of fewer. Method: an inspection whose summary
    /// says more than its index knows.
    #[test]
    fn digest_of_a_log_that_ends_early_is_refused() {
        let storage: Arc<dyn Storage> = Arc::new(Folder::read_only("."));
        let last = Position { term: Term::new(1), index: LogIndex::new(5) };
        let summary = Summary {
            segments: 1,
            bytes: 0,
            records: 0,
            hard_state: HardState::default(),
            commit: LogIndex::ZERO,
            last,
            cluster: None,
            membership: None,
            torn_bytes: 0,
        };
        let reader = LogReader::new(Arc::new(Shared::new(storage, Index::default())));
        let inspection = Inspection { summary, reader };
        let digest = inspection.digest(LogIndex::new(3));
        assert!(matches!(digest, Err(LogError::Incomplete { index }) if index.raw() == 1), "{digest:?}");
        assert!(matches!(inspection.digest(LogIndex::new(6)), Ok(None)));
    }
}
