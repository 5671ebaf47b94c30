//! What the commands that work on schedules have in common: reading them, and finding what they are to be run on.

use std::path::Path;

use crate::canary::{Break, CANARIES, Canary, Replacement};
use crate::schedule::Schedule;
use crate::subject::Subject;

use super::failure::Failure;
use super::program::Program;
use super::read;

/// What a schedule is run on.
pub(super) enum Place<'a> {
    /// This program.
    Here(&'a dyn Subject),
    /// A copy with a broken core.
    Copy { canary: &'static str, replacements: &'static [Replacement] },
}

/// Reads a schedule and finds what it is to be run on.
pub(super) fn open<'a>(file: &Path, program: &Program<'a>) -> Result<(Schedule, Place<'a>), Failure> {
    let text = read::text(file, read::SCHEDULE_BYTES_MAX)?;
    let schedule: Schedule =
        text.parse().map_err(|error| Failure::Schedule { file: file.to_owned(), error })?;
    if !schedule.commands.is_empty() && !program.rig.has_own() {
        return Err(Failure::OtherProgram(file.to_owned()));
    }
    let place = match schedule.broken.as_deref().map(canary).transpose()? {
        None => Place::Here(program.rig),
        Some(Canary { how: Break::Rig(rig), .. }) => Place::Here(*rig),
        Some(Canary { name, how: Break::Core(replacements), .. }) => {
            Place::Copy { canary: name, replacements }
        }
    };
    Ok((schedule, place))
}

/// The canary of this name. Where there is none, those that have a word of it are named.
pub(super) fn canary(name: &str) -> Result<&'static Canary, Failure> {
    Canary::named(name).ok_or_else(|| {
        let names = CANARIES.iter().map(|canary| canary.name);
        let mut known: Vec<&str> = names
            .filter(|known| known.split('-').any(|word| name.split('-').any(|other| word == other)))
            .collect();
        known.push("what else `raft-sim canaries --list` prints");
        Failure::NoCanary { name: name.to_owned(), known: known.join(", ") }
    })
}

/// Writes a schedule to a file, whole or not at all.
pub(super) fn write(schedule: &Schedule, file: &Path) -> std::io::Result<()> {
    let mut half = file.as_os_str().to_owned();
    half.push(".part");
    std::fs::write(&half, schedule.to_string())?;
    std::fs::rename(&half, file)
}

/// Whether two paths name one file.
pub(super) fn same_file(one: &Path, other: &Path) -> bool {
    let real = |file: &Path| std::fs::canonicalize(file).ok();
    one == other || (real(one).is_some() && real(one) == real(other))
}
