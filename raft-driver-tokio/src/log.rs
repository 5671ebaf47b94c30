//! The durable log: what [`Ready::write`](raft_core::Ready::write) asks for, on disk, and found again after a crash.
//!
//! A log is a folder of numbered *segments*, files of a fixed length (16 MiB by default) that are filled with zeros before
//! they are used, so that a sync has no file length to write. A segment holds *records*, one for each
//! [`Write`](raft_core::Write): term and vote, entries and commit index in one stream, recovered whole or not at all.
//!
//! ```text
//!   segment   ┌──────────────┬──────────┬──────────┬─────┬───────────────────────────┐
//!             │ header       │ record   │ record   │  …  │ zeros                     │
//!             └──────────────┴──────────┴──────────┴─────┴───────────────────────────┘
//!               72 bytes       all begin at multiples of 8; all numbers little-endian
//!
//!   header     0  "RAFTLOG\0"                        record     0  checksum
//!              8  u32   version of the format: 1                4  u32   checksum of the record before
//!             12  u32   checksum of the record before           8  u32   length of the payload in bytes, at least 1
//!             16  u64   number of the segment: 1, 2 …          12  u32   group: 0
//!             24  u64   length of the file in bytes            16  u64   sequence number: 1, 2 … over all segments
//!             32  u64   id of the server                       24  u64   synced: all records up to this number were
//!             40  u128  its incarnation                                   durable when this one was written
//!             56  u64   sequence number of its first record    32  …     payload: one Write in protobuf
//!             64  u32   checksum of bytes 0..64                 …  zeros up to a multiple of 8
//!             68  zeros
//! ```
//!
//! Checksums are CRC-32C. That of a record covers everything behind it up to the end of the payload and begins from the
//! checksum of its segment's header: a record from another segment, server or life of this server never fits. Sequence
//! number and the checksum before make the records a chain: old bytes that happen to line up behind a torn batch do not fit
//! either.
//!
//! # What a crash leaves, and what is damage
//!
//! A crash may leave any part of what was written since the last sync. What was synced must be there. `synced` tells the
//! two apart: where a record can not be read, the disk is *damaged* exactly if something behind it says that it was durable:
//! a later record's `synced`, or a later segment, which is made only after all before it is durable. Then
//! [`Log::open`] refuses, names file and offset, and changes nothing: this server may have promised what is missing.
//! Otherwise the end is *torn*: nobody was ever told of it, and it is overwritten with zeros. One damage can not be
//! recognised by any log: that of the very last batch, which looks like one that was never synced.
//!
//! # Crashes in between
//!
//! A segment is prepared under another name, synced, renamed, and its name synced before its first record is written. So
//! a crash leaves a whole segment or a leftover to remove, and a segment without a header is damage. Opening a log makes
//! durable what it found: records that were never synced may be visible only because the system still has them in memory.
//!
//! A failed write or sync is final: everything after it fails too. A second try would find the pages marked clean, and
//! report as durable what the disk does not have.

mod error;
mod index;
mod inspect;
mod reader;
mod record;
mod recovery;
mod storage;
mod thread;
mod writer;

pub use error::{Damage, LogError};
pub use inspect::{Inspection, Summary, inspect};
pub use reader::LogReader;
pub use storage::{Folder, Storage, StorageFile};
pub use writer::{Log, LogOptions};

pub(crate) use storage::sync_directory;
pub(crate) use thread::{FetchThread, LogThread, Report};

/// The only group so far. Records carry it from the first day, so that many groups can share a log.
const GROUP: u32 = 0;
