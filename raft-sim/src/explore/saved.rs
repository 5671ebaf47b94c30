//! A search that was stopped, in a file: what gave everything its number ([`Deeds`]), which states were met, and which are to be looked at next.

use std::fs::{File, TryLockError};
use std::io::{self, BufReader, BufWriter, ErrorKind, Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::deeds::Deeds;
use super::search::{Counts, Search};
use super::space::{Bounds, BoundsError};
use super::trace::Trace;
use super::visited::Visited;
use super::words::{WordReader, WordWriter};
use super::{Limits, Marks, Report};

/// Why a search does not go on from a file, or could not be put there.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// There is no such space.
    #[error(transparent)]
    Bounds(#[from] BoundsError),
    /// The file can not be read.
    #[error("it can not be read: {0}")]
    Read(#[source] io::Error),
    /// What has come of the search was not written. Everything that was found out by then is in the report.
    #[error("it can not be written: {source}")]
    Write {
        /// Why not.
        #[source]
        source: io::Error,
        /// What has come of the search; `None` where it was not begun.
        report: Option<Box<Report>>,
    },
    /// It is something else.
    #[error("it holds no search, or one of another version of this program")]
    NotASearch,
    /// It is a search that was damaged.
    #[error("it is damaged, or only a part of a file")]
    Damaged,
    /// It is a search of another space, or one that goes about it in another way.
    #[error("it holds a search with `{0}`")]
    OtherSpace(String),
    /// It was made by another version of the core, or by a broken one.
    #[error("the core does not do what it did when this was written")]
    OtherCore,
}

const MAGIC: [u32; 2] = [u32::from_le_bytes(*b"raft"), u32::from_le_bytes(*b"sim\n")];
/// Grows with whatever changes the meaning of a file: its form, but also rules, marks and bounds.
const FORMAT: u32 = 2;

/// The options of a search, as one would type them.
fn options(bounds: &Bounds, limits: Limits) -> String {
    let mut options = bounds.to_string();
    for (flag, given) in [(" --no-symmetry", !limits.symmetry), (" --no-reduction", !limits.reduction)] {
        if given {
            options.push_str(flag);
        }
    }
    options
}

/// The file that a search is written to, beside the one whose place it takes when it is whole.
#[derive(Debug)]
pub(super) struct Place {
    file: PathBuf,
    half: PathBuf,
    open: File,
}

impl Place {
    /// Makes sure that something can be written there, and that nobody else does.
    pub(super) fn open(file: &Path) -> io::Result<Self> {
        let mut half = file.as_os_str().to_owned();
        half.push(".half");
        let half = PathBuf::from(half);
        let open = File::options().create(true).truncate(false).write(true).open(&half)?;
        open.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(ErrorKind::ResourceBusy, "another search is under way there")
            }
            TryLockError::Error(error) => error,
        })?;
        open.set_len(0)?;
        Ok(Place { file: file.to_owned(), half, open })
    }

    pub(super) fn write(mut self, search: &Search) -> io::Result<()> {
        self.open.rewind()?;
        let written = write(search, BufWriter::with_capacity(1 << 20, &self.open));
        let written = written.and_then(|()| self.open.sync_all());
        written.and_then(|()| std::fs::rename(&self.half, &self.file)).inspect_err(|_| self.forget())
    }

    /// Nothing is to be written.
    pub(super) fn forget(&self) {
        // Whoever looks there finds an empty file at worst.
        let _ = std::fs::remove_file(&self.half);
    }

    /// There is nothing left to go on with.
    pub(super) fn finish(self) -> io::Result<()> {
        self.forget();
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn write(search: &Search, to: impl Write) -> io::Result<()> {
    let mut to = WordWriter::new(to);
    to.words(MAGIC)?;
    to.word(FORMAT)?;
    let options = options(search.book.space.bounds(), search.limits);
    to.list(&env!("CARGO_PKG_VERSION").chars().map(u32::from).collect::<Vec<_>>())?;
    to.list(&options.chars().map(u32::from).collect::<Vec<_>>())?;
    let none = Deeds::default();
    to.list(search.book.deeds.as_ref().unwrap_or(&none).words())?;
    to.long(search.book.digest())?;
    to.long(search.book.steps)?;
    let Counts { depth, number, successors, cut_off, skipped, covered, marks } = search.counts;
    to.words([depth, number])?;
    for count in
        [successors, cut_off, skipped, covered].into_iter().chain(marks.iter().map(|(_, count)| count))
    {
        to.long(count)?;
    }
    to.list(&search.level[search.looked_at * search.width()..])?;
    to.list(&search.next)?;
    search.visited.write(&mut to)?;
    to.word(FORMAT)?;
    to.finish()?.flush()
}

/// Goes on with the search that a file holds; false where there is no file.
pub(super) fn read(search: &mut Search, file: &Path) -> Result<bool, ResumeError> {
    let file = match File::open(file) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(ResumeError::Read(error)),
    };
    let mut from = WordReader::new(BufReader::with_capacity(1 << 20, file));
    for known in MAGIC.into_iter().chain([FORMAT]) {
        match from.word() {
            Ok(word) if word == known => {}
            Err(error) if !is_damage(&error) => return Err(ResumeError::Read(error)),
            _ => return Err(ResumeError::NotASearch),
        }
    }
    let mut text = || Ok::<String, io::Error>(from.list()?.into_iter().filter_map(char::from_u32).collect());
    if text()? != env!("CARGO_PKG_VERSION") {
        return Err(ResumeError::NotASearch);
    }
    let there = text()?;
    if there != options(search.book.space.bounds(), search.limits) {
        return Err(ResumeError::OtherSpace(there));
    }
    Trace::new(&mut search.book);
    let deeds = Deeds::of_words(from.list()?);
    // Another core may do what nobody here expects.
    let repeated = catch_unwind(AssertUnwindSafe(|| deeds.repeat(&mut search.book)));
    if !matches!(repeated, Ok(Some(()))) || from.long()? != search.book.digest() {
        return Err(ResumeError::OtherCore);
    }
    search.book.deeds = Some(deeds);
    search.book.steps = from.long()?;
    let (depth, number) = (from.word()?, from.word()?);
    let (successors, cut_off) = (from.long()?, from.long()?);
    let (skipped, covered) = (from.long()?, from.long()?);
    let mut marks = Marks::default();
    for count in &mut marks.counts {
        *count = from.long()?;
    }
    search.counts = Counts { depth, number, successors, cut_off, skipped, covered, marks };
    (search.level, search.next) = (from.list()?, from.list()?);
    search.visited = Visited::read(&mut from)?;
    if from.word()? != FORMAT {
        return Err(ResumeError::Damaged);
    }
    Ok(true)
}

/// Whether a file is shorter than it was, or something else is in it.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData)
}

impl From<io::Error> for ResumeError {
    fn from(error: io::Error) -> Self {
        if is_damage(&error) { ResumeError::Damaged } else { ResumeError::Read(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: two searches do not write one file, and none leaves half of one behind. Method: a place that is taken, given up, and taken again.
    #[test]
    fn place_is_for_one_search() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("search");
        let first = Place::open(&file).unwrap();
        let second = Place::open(&file).map_err(|error| error.kind());
        assert_eq!(second.err(), Some(ErrorKind::ResourceBusy));
        first.forget();
        drop(first);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(Place::open(&file).is_ok());
    }
}
