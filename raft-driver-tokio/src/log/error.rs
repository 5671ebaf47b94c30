//! What can be wrong with a log, in words that say which file and where.

use std::io;

use raft_core::{DecodeError, LogIndex, Pair, RecoverError};

use super::storage::{Storage, is_shortage};

/// Why the log can not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The operating system refused or failed: a full disk, a failing one, a missing permission.
    #[error("log: could not {operation} {file}: {source}")]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On which file, as [`Storage::place`](super::Storage::place) names it; so everywhere here.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A part of the log that was durable once is not what was written. Nothing has been changed: what the disk lost may
    /// have been promised to other servers, so this server must not go on with less.
    #[error("log: {file} is damaged at byte {offset}: {damage}")]
    Damaged {
        /// The segment.
        file: String,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong there.
        damage: Damage,
    },
    /// A segment is missing between or before others.
    #[error("log: {file} is missing")]
    Missing {
        /// The segment that should be there.
        file: String,
    },
    /// An entry that the log must hold can not be found in it.
    #[error("log: entry {index} is not there, although the log goes on behind it")]
    Incomplete {
        /// The first such entry.
        index: LogIndex,
    },
    /// The segment belongs to another server, or to another life of this one.
    #[error("log: {file} belongs to server {found}, not to {expected}")]
    OtherServer {
        /// The segment.
        file: String,
        /// Whose it is.
        found: Pair,
        /// Whose folder it is in.
        expected: Pair,
    },
    /// The segment is of a version of the format that this program does not know.
    #[error("log: {file} has format version {version}, which this program does not know")]
    Version {
        /// The segment.
        file: String,
        /// Its version.
        version: u32,
    },
    /// One batch is longer than the 2 GiB that a record can hold.
    #[error("log: a batch of {bytes} bytes does not fit a record")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// An earlier operation failed, so what is on the disk is unknown. There is no second try.
    #[error("log: an earlier write has failed")]
    Failed,
}

/// What is wrong at a place in the log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The segment does not begin with a header.
    #[error("the header of the segment can not be read")]
    Header,
    /// The segment says of itself that it is another one.
    #[error("the segment is in the place of another one")]
    Place,
    /// The file is shorter or longer than its header says.
    #[error("the file is {found} bytes long, and should be {expected}")]
    Length {
        /// Its length in bytes.
        found: u64,
        /// What its header says.
        expected: u64,
    },
    /// A record that was durable can not be read any more.
    #[error("a record that was durable can not be read")]
    Record,
    /// The record belongs to a group that this process does not have.
    #[error("the record belongs to group {0}, which does not exist")]
    Group(u32),
    /// The record is whole, but what is in it is no batch.
    #[error("the record holds no batch: {0}")]
    Batch(DecodeError),
    /// The batch does not follow from those before it.
    #[error("the batch does not follow from those before it: {0}")]
    Order(RecoverError),
}

impl LogError {
    /// Whether too many files were open. Where that was met in reading, nothing is lost, and it can be tried again.
    pub(crate) fn is_shortage(&self) -> bool {
        matches!(self, LogError::Io { source, .. } if is_shortage(source))
    }

    /// The same, and the file by its place instead of its name alone: many servers have files of one name.
    pub(crate) fn placed(mut self, storage: &dyn Storage) -> LogError {
        match &mut self {
            LogError::Io { file, .. }
            | LogError::Damaged { file, .. }
            | LogError::Missing { file }
            | LogError::OtherServer { file, .. }
            | LogError::Version { file, .. } => *file = storage.place(file),
            LogError::Incomplete { .. } | LogError::TooLong { .. } | LogError::Failed => {}
        }
        self
    }

    pub(crate) fn io(operation: &'static str, file: &str) -> impl FnOnce(io::Error) -> LogError {
        let file = file.to_owned();
        move |source| LogError::Io { operation, file, source }
    }

    pub(crate) fn damaged(file: &str, offset: usize, damage: Damage) -> LogError {
        LogError::Damaged { file: file.to_owned(), offset: offset as u64, damage }
    }
}
