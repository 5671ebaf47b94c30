//! Why a command ends without a verdict, and what becomes of its output.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::canary::CanaryError;
use crate::explore::{BoundsError, ResumeError};
use crate::{ScheduleError, ShrinkError};
use raft_core::{RecordingError, StartError};

use super::{UNFINISHED, USAGE};

/// Why a command ends without a verdict: one line on stderr.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Stdout is full, or was closed by whoever has seen enough.
    #[error("can not write to stdout: {0}")]
    Stdout(io::Error),
    #[error("can not write {}: {error}", file.display())]
    Write { file: PathBuf, error: io::Error },
    #[error("can not read {}: {error}", file.display())]
    Read { file: PathBuf, error: io::Error },
    #[error("{}: longer than {bytes_max} bytes", file.display())]
    TooLong { file: PathBuf, bytes_max: u64 },
    #[error("can not handle signals: {0}")]
    Signals(io::Error),
    #[error("{}: {error}", file.display())]
    Schedule { file: PathBuf, error: ScheduleError },
    #[error("{}: {error}", file.display())]
    Json { file: PathBuf, error: serde_json::Error },
    #[error("{}: {error}", file.display())]
    Recording { file: PathBuf, error: RecordingError },
    #[error("{}: no node can be made of it: {error}", file.display())]
    NotStarted { file: PathBuf, error: StartError },
    #[error("{}: a schedule has no JSON, only a recording has", .0.display())]
    NotARecording(PathBuf),
    #[error("{}: it has commands of a state machine that this program does not run", .0.display())]
    OtherProgram(PathBuf),
    #[error("{}: a recording is of one node, and only runs of whole clusters can be drawn", .0.display())]
    NoPicture(PathBuf),
    #[error("{}: not the report of a shard", .0.display())]
    NotAShard(PathBuf),
    #[error("shard {nth}/{of} is of another campaign: {}", file.display())]
    OtherCampaign { nth: u64, of: u64, file: PathBuf },
    #[error("shard {nth}/{of} is there twice: {}", file.display())]
    Twice { nth: u64, of: u64, file: PathBuf },
    #[error("shard {nth}/{of} is empty: there {} only {count}", if *count == 1 { "is" } else { "are" })]
    EmptyShard { nth: u64, of: u64, count: u64 },
    #[error("{0}")]
    Bounds(BoundsError),
    #[error("{}: {error}", file.display())]
    Resume { file: PathBuf, error: ResumeError },
    #[error("there is no canary `{name}`; there are {known}")]
    NoCanary { name: String, known: String },
    #[error("the canary `{0}` fits into no space that is known")]
    NoSpace(String),
    #[error("{} holds no sources to break: there is no {missing} in it", folder.display())]
    NoSources { folder: PathBuf, missing: &'static str },
    #[error("{}: it would be written over", .0.display())]
    SameFile(PathBuf),
    #[error("{} is there, and was not made from this schedule", .0.display())]
    OtherSchedule(PathBuf),
    #[error("{}: {error}", file.display())]
    NotShortened { file: PathBuf, error: ShrinkError },
    #[error("{}: its own program can not shorten it", .0.display())]
    CopyFailed(PathBuf),
    #[error("the program of the copy with {canary} can not be understood: {said:?}")]
    CopySays { canary: String, said: String },
    #[error("{canary}: {error}")]
    Bench { canary: String, error: CanaryError },
}

impl Failure {
    /// Says it, once, and quietly where nobody reads on; the exit code of the command.
    pub(super) fn end(&self) -> ExitCode {
        if matches!(self, Failure::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return ExitCode::from(USAGE);
        }
        // Where stderr is gone too, the exit code has to do.
        drop(writeln!(io::stderr(), "raft-sim: {self}"));
        ExitCode::from(if matches!(self, Failure::Bench { .. }) { UNFINISHED } else { USAGE })
    }

    /// A file that can not be written.
    pub(super) fn write(file: &Path) -> impl FnOnce(io::Error) -> Failure {
        |error| Failure::Write { file: file.to_owned(), error }
    }

    /// A file that can not be read.
    pub(super) fn read(file: &Path) -> impl FnOnce(io::Error) -> Failure {
        |error| Failure::Read { file: file.to_owned(), error }
    }
}

/// Stdout, whose failure ends the command. Made for `writeln!`.
pub(super) struct Out(BufWriter<Stdout>);

impl Out {
    pub(super) fn new() -> Self {
        Out(BufWriter::new(io::stdout()))
    }

    /// Called by `write!` and `writeln!`.
    pub(super) fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> Result<(), Failure> {
        self.0.write_fmt(text).map_err(Failure::Stdout)
    }

    /// What was written so far is to be seen now.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.0.flush().map_err(Failure::Stdout)
    }

    /// For what writes by itself; its errors are [`Failure::Stdout`].
    pub(super) fn plain(&mut self) -> &mut dyn Write {
        &mut self.0
    }
}

/// A file that is opened at the start of a command and filled at its end, so that one that can not be written costs no run.
pub(super) struct Target {
    path: PathBuf,
    file: File,
}

impl Target {
    /// Makes the file; what is there stays until it is filled.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::options().write(true).create(true).truncate(false).open(path);
        Ok(Target { path: path.to_owned(), file: file.map_err(Failure::write(path))? })
    }

    pub(super) fn fill(mut self, text: &str) -> Result<(), Failure> {
        // A pipe has nothing that could be left of before.
        let emptied = match self.file.metadata() {
            Ok(there) if there.is_file() => self.file.set_len(0),
            _ => Ok(()),
        };
        emptied.and_then(|()| self.file.write_all(text.as_bytes())).map_err(Failure::write(&self.path))
    }
}

/// Makes a folder, and sees that files can be made in it.
pub(super) fn open_folder(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(Failure::write(folder))?;
    let probe = folder.join(format!(".raft-sim-{}", std::process::id()));
    File::create(&probe).and_then(|_| std::fs::remove_file(&probe)).map_err(Failure::write(folder))
}
