//! The folder of one server: who it is, how often it was started, and its log, locked while somebody uses it.
//!
//! ```text
//!   DIR/lock        held by the program that uses the folder; the system lets go of it when the program dies
//!       identity    the pair, drawn when the folder was formatted, never written again
//!       boot        how often the server was started
//!       log/        see the module `log`; a formatted folder has a first segment
//! ```
//!
//! Small files are text with a checksum, written aside, synced and renamed. A formatted folder without a log is damaged and
//! not new: a server that lost its log must not go on under the same pair, for it may have voted.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft_core::{Boot, Incarnation, NodeId, Pair};

use crate::log::{Folder, Log, LogError, LogOptions, Storage, sync_directory};

const LOCK: &str = "lock";
const IDENTITY: &str = "identity";
const BOOT: &str = "boot";
const LOG: &str = "log";
/// What a file is called before it is whole.
const ASIDE: &str = ".new";

/// The first line of every small file.
const TITLE: &str = "raft server folder, format 1";

/// The folder of one server, locked: no other program can use it until this value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    pair: Pair,
    boot: Boot,
    storage: Arc<dyn Storage>,
    /// Its lock ends when it is closed.
    _lock: File,
}

/// Why a folder could not be formatted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The folder holds something. A server's folder is formatted once; formatting it again would let it forget its votes.
    #[error("{path} is not empty: it holds {found}")]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// One of the things in it.
        found: String,
    },
    /// Another program is using the folder.
    #[error(
        "{path} is in use by another program. Stop that one first; it may be a server that is still ending"
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The system refused or failed.
    #[error("could not format {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no random bits.
    #[error("could not draw random bits: {0}")]
    Random(getrandom::Error),
    /// The log could not be made.
    #[error(transparent)]
    Log(LogError),
}

/// Why a folder could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder does not exist or was never formatted.
    #[error("{path} is not formatted as a server's folder")]
    NotFormatted {
        /// The folder.
        path: PathBuf,
    },
    /// Another program is using the folder.
    #[error(
        "{path} is in use by another program. Stop that one first; it may be a server that is still ending"
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A file is missing, or not as it was written.
    #[error("{path} is missing or damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The system refused or failed.
    #[error("could not use {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DataDir {
    /// Makes `path` the folder of a new server: creates it where it is missing, draws the incarnation, and makes an empty
    /// log. Durable when it returns; a crash in between leaves a folder that can be formatted again.
    ///
    /// # Errors
    /// The folder holds something, or the disk fails; see [`FormatError`].
    pub fn format(path: impl AsRef<Path>, id: NodeId) -> Result<Pair, FormatError> {
        Self::format_with(path, id, LogOptions::default())
    }

    /// As [`format`](Self::format), with a first segment of a length of one's own.
    ///
    /// # Errors
    /// As [`format`](Self::format).
    pub fn format_with(path: impl AsRef<Path>, id: NodeId, log: LogOptions) -> Result<Pair, FormatError> {
        let path = path.as_ref();
        let io = |path: &Path| {
            let path = path.to_owned();
            |source| FormatError::Io { path, source }
        };
        fs::create_dir_all(path).map_err(io(path))?;
        // Before anything is put into what may be somebody else's folder.
        leftovers_of_format(path)?;
        let _lock = match lock(path, true) {
            Ok(Some(lock)) => lock,
            Ok(None) => {
                return Err(FormatError::InUse { path: path.to_owned() });
            }
            Err(source) => return Err(io(&path.join(LOCK))(source)),
        };
        for name in leftovers_of_format(path)? {
            let path = path.join(name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(io(&path))?;
        }
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).map_err(FormatError::Random)?;
        let pair = Pair { id, incarnation: Incarnation::new(u128::from_le_bytes(bits)) };

        // The mark of a format under way comes first, and goes last, by becoming the identity.
        let aside = path.join(format!("{IDENTITY}{ASIDE}"));
        write_synced(&aside, &small_file("pair", &pair.to_string())).map_err(io(&aside))?;
        sync_directory(path).map_err(io(path))?;
        let folder = path.join(LOG);
        fs::create_dir(&folder).map_err(io(&folder))?;
        Log::create(&Folder::new(&folder), pair, log).map_err(FormatError::Log)?;
        write_boot(path, Boot::new(0)).map_err(io(&path.join(BOOT)))?;
        fs::rename(&aside, path.join(IDENTITY)).map_err(io(&aside))?;
        sync_directory(path).map_err(io(path))?;
        // The folder itself may be new too.
        if let Some(parent) = path.canonicalize().map_err(io(path))?.parent() {
            sync_directory(parent).map_err(io(parent))?;
        }
        Ok(pair)
    }

    /// Opens a formatted folder and locks it.
    ///
    /// # Errors
    /// It is not formatted, in use, or damaged; see [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<DataDir, OpenError> {
        Self::open_as(path.as_ref(), true)
    }

    /// Opens a formatted folder to look at it, and changes nothing. Several programs may do so at once, but none while a
    /// server uses it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<DataDir, OpenError> {
        Self::open_as(path.as_ref(), false)
    }

    fn open_as(path: &Path, write: bool) -> Result<DataDir, OpenError> {
        let path = path.to_owned();
        let damaged = |name: &str| OpenError::Damaged { path: path.join(name) };
        if !path.join(LOCK).exists() || !(path.join(IDENTITY).exists() || path.join(BOOT).exists()) {
            return Err(OpenError::NotFormatted { path });
        }
        let _lock = match lock(&path, write) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Err(OpenError::InUse { path }),
            Err(source) => {
                return Err(OpenError::Io { path: path.join(LOCK), source });
            }
        };
        if !path.join(IDENTITY).exists() && path.join(format!("{IDENTITY}{ASIDE}")).exists() {
            // Formatting was interrupted. Only under the lock can one know that it is not under way.
            return Err(OpenError::NotFormatted { path });
        }
        let pair = read_small_file(&path, IDENTITY, "pair")?;
        let pair = pair.parse().map_err(|_| damaged(IDENTITY))?;
        let boot = read_small_file(&path, BOOT, "boot")?;
        let boot = Boot::new(boot.parse().map_err(|_| damaged(BOOT))?);
        let log = path.join(LOG);
        if !log.is_dir() {
            return Err(OpenError::Damaged { path: log });
        }
        let folder = if write { Folder::new(log) } else { Folder::read_only(log) };
        Ok(DataDir { path, pair, boot, storage: Arc::new(folder), _lock })
    }

    /// Which server, and which life of its disk.
    pub fn pair(&self) -> Pair {
        self.pair
    }

    /// The latest start; number 0 before the first.
    pub fn boot(&self) -> Boot {
        self.boot
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files of the log.
    pub fn log_storage(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.storage)
    }

    /// The same folder with its log elsewhere. This is where a storage of one's own comes in: another device, an encrypted
    /// one, or one that fills up or fails when a test wants it to. What it has to promise stands at [`Storage`]. A folder has
    /// to be given the same storage at every start: a log that is not the server's own would let it forget its promises.
    #[must_use]
    pub fn with_log_storage(mut self, storage: Arc<dyn Storage>) -> DataDir {
        self.storage = storage;
        self
    }

    /// Counts one more start, durably. A node has to be made after that and before the next.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn start(&mut self) -> Result<Boot, OpenError> {
        let boot = Boot::new(self.boot.raw() + 1);
        write_boot(&self.path, boot)
            .map_err(|source| OpenError::Io { path: self.path.join(BOOT), source })?;
        self.boot = boot;
        Ok(boot)
    }
}

/// Takes the lock of the folder; `None` where another program has it.
fn lock(path: &Path, write: bool) -> io::Result<Option<File>> {
    let file = if write {
        File::options().read(true).write(true).create(true).truncate(false).open(path.join(LOCK))?
    } else {
        File::open(path.join(LOCK))?
    };
    let locked = if write { file.try_lock() } else { file.try_lock_shared() };
    match locked {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What an interrupted format left in the folder. That it was interrupted is certain where its mark is there: no server
/// has ever been made of this folder.
///
/// # Errors
/// There is something else.
fn leftovers_of_format(path: &Path) -> Result<Vec<String>, FormatError> {
    let io = |source| FormatError::Io { path: path.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(io)? {
        names.push(entry.map_err(io)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    let mark = format!("{IDENTITY}{ASIDE}");
    let boot_aside = format!("{BOOT}{ASIDE}");
    let interrupted = names.contains(&mark) && !names.iter().any(|name| name == IDENTITY);
    let ours = |name: &str| name == LOCK || (interrupted && [LOG, BOOT, &mark, &boot_aside].contains(&name));
    if let Some(found) = names.iter().find(|name| !ours(name)) {
        return Err(FormatError::NotEmpty { path: path.to_owned(), found: found.clone() });
    }
    // The lock is held, and the mark stays until it is overwritten: an interruption from here on is seen too.
    names.retain(|name| name != LOCK && *name != mark);
    Ok(names)
}

fn small_file(key: &str, value: &str) -> String {
    let text = format!("{TITLE}\n{key} {value}\n");
    let checksum = crc32c::crc32c(text.as_bytes());
    format!("{text}checksum {checksum:08x}\n")
}

fn read_small_file(directory: &Path, name: &str, key: &str) -> Result<String, OpenError> {
    let path = directory.join(name);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            return Err(OpenError::Damaged { path });
        }
        Err(source) => return Err(OpenError::Io { path, source }),
    };
    let value = text.lines().nth(1).and_then(|line| line.strip_prefix(key)?.strip_prefix(' '));
    match value {
        Some(value) if small_file(key, value) == text => Ok(value.to_owned()),
        _ => Err(OpenError::Damaged { path }),
    }
}

fn write_boot(directory: &Path, boot: Boot) -> io::Result<()> {
    let aside = directory.join(format!("{BOOT}{ASIDE}"));
    write_synced(&aside, &small_file("boot", &boot.to_string()))?;
    fs::rename(&aside, directory.join(BOOT))?;
    sync_directory(directory)
}

fn write_synced(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
