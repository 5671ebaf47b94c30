//! How a command ends: the exit codes that all commands share, and what is said on stderr before a bad one.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Everything asked for was done. Code 0.
    Clean,
    /// Something was lost or violated, or a server could not go on. Code 1.
    Violated,
    /// Bad usage or bad input: nothing was done, or all but what the input has wrong. Code 2, which clap uses for a bad command line too.
    Usage,
    /// Stopped before the end. Code 3.
    Unfinished,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Clean => 0,
            Exit::Violated => 1,
            Exit::Usage => 2,
            Exit::Unfinished => 3,
        })
    }
}

/// An error that ends a command, and the code that it ends with.
pub(crate) struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// A failure that comes from bad usage or bad input.
    pub(crate) fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { exit: Exit::Usage, error: error.into() }
    }

    /// A failure of something that was under way.
    pub(crate) fn violated(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { exit: Exit::Violated, error: error.into() }
    }

    /// Says on stderr what went wrong, with its causes, in one paragraph.
    pub(crate) fn report(&self) -> Exit {
        let mut text = format!("raftd: {}", self.error);
        let mut source = self.error.source();
        while let Some(cause) = source {
            // Many errors already say their cause; saying it twice only makes the paragraph longer.
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                let _ = write!(text, ": {cause_text}");
            }
            source = cause.source();
        }
        note(&text);
        self.exit
    }
}

/// Prints a line on stdout that is what the command was for: where nobody gets it, the command has failed. That the reader has
/// gone away once it has seen enough (`raftd inspect | head`) is no failure.
///
/// # Errors
/// The line could not be written, for instance to a disk that is full.
pub(crate) fn print(line: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::violated(PrintError(error))),
        _ => Ok(()),
    }
}

/// The answer could not be written.
#[derive(Debug, thiserror::Error)]
#[error("could not write to stdout what there is to say: {0}")]
struct PrintError(std::io::Error);

/// Prints a line on stdout beside what a command does. A reader that has gone away (`raftd demo | head`) must not end a server with a panic, so an
/// error is passed over.
pub(crate) fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Prints a line on stderr; an error is passed over as in [`say`].
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
