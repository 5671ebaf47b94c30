//! What the commands that work on schedules have in common: reading them, and finding what they are to be run on.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use raft_sim::canary::{Bench, Break, Canary};
use raft_sim::{Honest, Schedule, Subject};

use super::{UNFINISHED, USAGE};

/// What a schedule is run on.
pub(super) enum Place {
    /// This program.
    Here(&'static dyn Subject),
    /// A copy with a broken core: its program.
    Copy(PathBuf),
}

/// Reads a schedule and sees to what it is to be run on. What is wrong is said on stderr.
pub(super) fn open(file: &Path) -> Result<(Schedule, Place), ExitCode> {
    let refused = |what: &dyn std::fmt::Display| {
        eprintln!("raft-sim: {}: {what}", file.display());
        ExitCode::from(USAGE)
    };
    let text = std::fs::read_to_string(file).map_err(|error| refused(&error))?;
    let schedule: Schedule = text.parse().map_err(|error| refused(&error))?;
    let place = match schedule.broken.as_deref() {
        None => Place::Here(&Honest),
        Some(name) => match Canary::named(name).map(|canary| canary.how) {
            None => return Err(refused(&format!("there is no canary `{name}`"))),
            Some(Break::Rig(rig)) => Place::Here(rig),
            Some(Break::Core(replacements)) => match Bench::new(None).program(replacements) {
                Ok(program) => Place::Copy(program),
                Err(error) => {
                    eprintln!("raft-sim: {name}: {error}");
                    return Err(ExitCode::from(UNFINISHED));
                }
            },
        },
    };
    Ok((schedule, place))
}

/// Lets the program of a broken copy do it; its exit code is ours.
pub(super) fn pass_on(program: &Path, what: &str, file: &Path) -> ExitCode {
    match Command::new(program).arg(what).arg(file).status() {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(UNFINISHED).into(),
        Err(error) => {
            eprintln!("raft-sim: can not run {}: {error}", program.display());
            ExitCode::from(UNFINISHED)
        }
    }
}

/// Writes a schedule to a file, whole or not at all.
pub(super) fn write(schedule: &Schedule, file: &Path) -> std::io::Result<()> {
    let mut half = file.as_os_str().to_owned();
    half.push(".part");
    std::fs::write(&half, schedule.to_string())?;
    std::fs::rename(&half, file)
}
