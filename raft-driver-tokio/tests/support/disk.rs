//! A disk in memory that does what disks do: it keeps what was synced, and of the rest whatever it likes; it fills up, it
//! fails, and after a failed sync it pretends that all is well.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use raft_driver_tokio::log::{Storage, StorageFile};

/// What is written or lost as a whole.
pub(crate) const SECTOR: usize = 64;

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

/// How the disk treats an operation that is to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// This operation and all after it fail: the process has died.
    Dead,
    /// From this operation on the disk is full: writes fail after a part, the rest works.
    Full,
    /// This sync fails, and from then on everything works; what should have been synced counts as clean and is not on the
    /// disk.
    Sync,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<File>,
    /// The names as the system shows them.
    names: BTreeMap<String, usize>,
    /// The names that a crash may leave: the durable ones first, then as they were after every change since.
    names_after_crash: Vec<BTreeMap<String, usize>>,
    operations: u64,
    fails: Option<(u64, Failure)>,
}

#[derive(Clone, Debug, Default)]
struct File {
    content: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Debug)]
struct Open(Disk, usize);

/// A small generator with a seed, so that a failing test can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds this")
    }

    pub(crate) fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    /// From the `nth` changing operation on (the next is 0) it fails like this.
    pub(crate) fn fail_at(&self, nth: u64, failure: Failure) {
        let mut state = self.state();
        state.fails = Some((state.operations + nth, failure));
    }

    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The machine loses power: what was synced stays, of the rest whatever `random` says.
    pub(crate) fn crash(&self, random: &mut Random) {
        let mut state = self.state();
        let kept = random.below(state.names_after_crash.len().max(1) as u64) as usize;
        let names = state.names_after_crash.get(kept).cloned().unwrap_or_default();
        state.names_after_crash = vec![names.clone()];
        state.names = names;
        state.fails = None;
        let style = random.below(3);
        for file in &mut state.files {
            for sector in std::mem::take(&mut file.dirty) {
                let survives = match style {
                    0 => false,
                    1 => true,
                    _ => random.below(2) == 0,
                };
                if survives {
                    file.keep(sector);
                }
            }
            file.content = file.durable.clone();
        }
    }

    /// Changes bytes behind everybody's back, durably.
    pub(crate) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let file = state.names[name];
        let file = &mut state.files[file];
        change(&mut file.content);
        file.durable = file.content.clone();
        file.dirty.clear();
    }

    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[state.names[name]].content.clone()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    pub(crate) fn remove_file(&self, name: &str) {
        let mut state = self.state();
        state.names.remove(name);
        state.names_after_crash = vec![state.names.clone()];
    }

    pub(crate) fn swap(&self, one: &str, other: &str) {
        let mut state = self.state();
        let (a, b) = (state.names[one], state.names[other]);
        state.names.insert(one.to_owned(), b);
        state.names.insert(other.to_owned(), a);
        state.names_after_crash = vec![state.names.clone()];
    }

    /// A disk of its own with the same content, all of it durable.
    pub(crate) fn copy(&self) -> Disk {
        let state = self.state();
        let mut files = state.files.clone();
        for file in &mut files {
            file.durable = file.content.clone();
            file.dirty.clear();
        }
        let names = state.names.clone();
        let names_after_crash = vec![names.clone()];
        Disk(Arc::new(Mutex::new(State { files, names, names_after_crash, ..State::default() })))
    }
}

impl State {
    /// Counts an operation that changes something.
    fn operate(&mut self, is_write: bool, is_sync: bool) -> io::Result<()> {
        let now = self.operations;
        self.operations += 1;
        match self.fails {
            Some((at, Failure::Dead)) if at <= now => Err(io::ErrorKind::BrokenPipe.into()),
            Some((at, Failure::Full)) if at <= now && is_write => Err(io::ErrorKind::StorageFull.into()),
            Some((at, Failure::Sync)) if at <= now && is_sync => {
                self.fails = None;
                Err(io::Error::other("the disk failed to sync"))
            }
            _ => Ok(()),
        }
    }

    fn names_changed(&mut self) {
        if self.names_after_crash.is_empty() {
            self.names_after_crash.push(BTreeMap::new());
        }
        self.names_after_crash.push(self.names.clone());
    }
}

impl File {
    /// Makes one sector durable.
    fn keep(&mut self, sector: usize) {
        let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.content.len());
        if self.durable.len() < range.end {
            self.durable.resize(range.end, 0);
        }
        self.durable[range.clone()].copy_from_slice(&self.content[range]);
    }
}

impl Storage for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.state();
        state.operate(false, false)?;
        let file = state.files.len();
        state.files.push(File::default());
        state.names.insert(name.to_owned(), file);
        state.names_changed();
        Ok(Box::new(Open(self.clone(), file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let file = self.state().names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Open(self.clone(), file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operate(false, false)?;
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        state.names_changed();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operate(false, false)?;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.names_changed();
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operate(false, true)?;
        state.names_after_crash = vec![state.names.clone()];
        Ok(())
    }
}

impl StorageFile for Open {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.state().files[self.1].content.len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.0.state();
        let from = &state.files[self.1].content;
        let range = offset as usize..offset as usize + bytes.len();
        bytes.copy_from_slice(from.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.0.state();
        let done = state.operate(true, false);
        // A write that fails has come some way.
        let bytes = if done.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        let file = &mut state.files[self.1];
        let range = offset as usize..offset as usize + bytes.len();
        if file.content.len() < range.end {
            file.content.resize(range.end, 0);
        }
        file.content[range.clone()].copy_from_slice(bytes);
        file.dirty.extend(range.start / SECTOR..range.end.div_ceil(SECTOR));
        done
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.0.state();
        let done = state.operate(false, true);
        let file = &mut state.files[self.1];
        match &done {
            Ok(()) => {
                // Only what it takes for dirty: what a failed sync has made clean stays away from the disk.
                for sector in std::mem::take(&mut file.dirty) {
                    file.keep(sector);
                }
            }
            // The system takes the pages for clean now, and never writes them again of its own accord.
            Err(error) if error.kind() == io::ErrorKind::Other => file.dirty.clear(),
            Err(_) => {}
        }
        done
    }
}
