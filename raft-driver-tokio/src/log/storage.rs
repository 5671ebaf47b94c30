//! The file layer under the log: the few operations that it needs, each of which can be made to fail by a test.
//!
//! Nothing here knows what a record is.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// A folder of files. The log uses only what stands here, so a test that puts its own storage in can fill the disk, fail
/// a sync, or crash between any two operations.
///
/// What an implementation has to promise: after [`StorageFile::sync`] the content of that file survives a crash, and after
/// [`sync_directory`](Self::sync_directory) so do the names. Without them anything may be lost, in any part.
pub trait Storage: Send + Sync + fmt::Debug + 'static {
    /// The names in the folder, in any order.
    ///
    /// # Errors
    /// The folder can not be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates an empty file, or empties the one that is there.
    ///
    /// # Errors
    /// It can not be created.
    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;

    /// Opens a file that is there.
    ///
    /// # Errors
    /// There is none, or it can not be opened.
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;

    /// Gives a file another name, at once or not at all.
    ///
    /// # Errors
    /// It can not be renamed.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// It can not be removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names in the folder durable.
    ///
    /// # Errors
    /// The disk failed; what is durable is unknown then.
    fn sync_directory(&self) -> io::Result<()>;

    /// Where people find the file of this name. Its name alone, where a storage knows no more.
    fn place(&self, name: &str) -> String {
        name.to_owned()
    }
}

/// One open file.
pub trait StorageFile: Send + Sync + fmt::Debug {
    /// Its length in bytes.
    ///
    /// # Errors
    /// The disk failed.
    fn length(&self) -> io::Result<u64>;

    /// Fills all of `bytes` from `offset` on.
    ///
    /// # Errors
    /// The file ends before that ([`io::ErrorKind::UnexpectedEof`]), or the disk failed.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` from `offset` on, making the file longer where that is needed.
    ///
    /// # Errors
    /// The disk is full or failed; any part may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the content durable.
    ///
    /// # Errors
    /// The disk failed; what is durable is unknown then, and asking again does not tell.
    fn sync(&self) -> io::Result<()>;
}

/// The real thing: a folder of the operating system.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    writable: bool,
}

impl Folder {
    /// The folder at `path`, to read and to write.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Folder { path: path.into(), writable: true }
    }

    /// The folder at `path`, to read only: everything else fails.
    pub fn read_only(path: impl Into<PathBuf>) -> Self {
        Folder { path: path.into(), writable: false }
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl Storage for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is no UTF-8 is none of ours, and is reported like every other that is not.
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.check_writable()?;
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = patiently(|| options.open(self.path.join(name)))?;
        Ok(Box::new(FolderFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(self.writable).open(self.path.join(name))?;
        Ok(Box::new(FolderFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_writable()?;
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_writable()?;
        fs::remove_file(self.path.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        sync_directory(&self.path)
    }

    fn place(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    // Other systems than Unix do not let a program open a folder like a file, and order names by themselves.
    if cfg!(unix) { patiently(|| fs::File::open(path))?.sync_all() } else { Ok(()) }
}

/// How long opening a file waits for others to be closed, and how long it pauses between two attempts.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(50);

/// Whether too many files are open, in this process or on this machine: `ENFILE` and `EMFILE`, the same numbers on every
/// Unix. It passes, and nothing has happened yet.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

/// Opens a file, again for a while where too many are open: an error here would be final for the server, although nothing
/// is wrong with its disk.
fn patiently(open: impl Fn() -> io::Result<fs::File>) -> io::Result<fs::File> {
    let began = Instant::now();
    loop {
        match open() {
            Err(error) if is_shortage(&error) && began.elapsed() < PATIENCE => thread::sleep(AGAIN),
            opened => return opened,
        }
    }
}

#[derive(Debug)]
struct FolderFile(fs::File);

impl StorageFile for FolderFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, bytes, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, offset)
    }

    #[cfg(not(unix))]
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        use std::io::{Read, Seek};
        // The place of a file handle belongs to this one call: every reader opens the file for itself.
        let mut file = &self.0;
        file.seek(io::SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }

    #[cfg(not(unix))]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        use std::io::{Seek, Write};
        let mut file = &self.0;
        file.seek(io::SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
