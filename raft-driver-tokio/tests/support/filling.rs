//! A real folder on a disk that becomes full.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use raft_driver_tokio::log::{Folder, Storage, StorageFile};

/// A folder on a disk that becomes full.
#[derive(Debug)]
pub(crate) struct Filling {
    pub(crate) folder: Folder,
    /// From when this is true on.
    pub(crate) full: Arc<AtomicBool>,
}

#[derive(Debug)]
struct FillingFile {
    file: Box<dyn StorageFile>,
    full: Arc<AtomicBool>,
}

impl Filling {
    fn wrap(&self, file: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        Box::new(FillingFile { file, full: Arc::clone(&self.full) })
    }
}

impl Storage for Filling {
    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.wrap(self.folder.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.wrap(self.folder.open(name)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.folder.sync_directory()
    }
}

impl StorageFile for FillingFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(bytes, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            self.file.write_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}
