//! What the disk itself can do, so that a server's figures can be read as a part of it.

use std::fs;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How many syncs in which time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SyncFigures {
    /// How many appends, each followed by a sync of its own.
    pub(crate) syncs: u64,
    /// How long they took.
    pub(crate) elapsed: Duration,
}

impl SyncFigures {
    /// Syncs per second.
    pub(crate) fn per_second(&self) -> f64 {
        self.syncs as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Appends `record_bytes` bytes and syncs, again and again for as long as `within`, to a file in `directory` that was
/// filled with zeros before, as the log's segments are, and that is removed afterwards.
///
/// # Errors
/// The disk is full or fails.
pub(crate) fn measure_syncs(
    directory: &Path,
    record_bytes: usize,
    within: Duration,
) -> io::Result<SyncFigures> {
    const FILE_BYTES: u64 = 16 << 20;
    let path = directory.join("measure-syncs.tmp");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
    let measured = (|| {
        let record = vec![0x5a; record_bytes.max(1)];
        file.write_all(&vec![0; FILE_BYTES as usize])?;
        file.sync_all()?;
        let begin = Instant::now();
        file.seek(SeekFrom::Start(0))?;
        let (mut syncs, mut offset) = (0, 0);
        while begin.elapsed() < within {
            if FILE_BYTES < offset + record.len() as u64 {
                offset = file.seek(SeekFrom::Start(0))?;
            }
            file.write_all(&record)?;
            file.sync_data()?;
            offset += record.len() as u64;
            syncs += 1;
        }
        Ok(SyncFigures { syncs, elapsed: begin.elapsed() })
    })();
    drop(file);
    fs::remove_file(&path)?;
    measured
}
