//! `raft-sim replay`: one run as text or as a picture, of a seed or of a file.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::failure::{Failure, Out, Target};
use super::program::Program;
use super::schedule::{self, Place, same_file};
use super::stop::Stop;
use super::{RunOptions, UNFINISHED, VIOLATION, recording};
use crate::canary::{Bench, CanaryError, Replacement};
use crate::oracle::Violation;
use crate::picture::Picture;
use crate::tally::Counts;

#[derive(Args)]
pub(super) struct Replay {
    /// A schedule, as `run`, `canaries` and `shrink` write them; or a recording of one node, as `raftd serve --record` writes it
    #[arg(value_name = "FILE", required_unless_present = "seed", conflicts_with_all = ["seed", "RunOptions"])]
    file: Option<PathBuf>,
    /// Which run
    #[arg(long)]
    seed: Option<u64>,
    /// Print a column for every server
    #[arg(long, requires = "file", conflicts_with = "seed")]
    columns: bool,
    /// Write a recording to this file as JSON too, one line a record
    #[arg(long, value_name = "FILE", requires = "file", conflicts_with = "seed")]
    json: Option<PathBuf>,
    /// Draw the run, as one HTML file that needs nothing else, instead of printing it
    #[arg(long, value_name = "OUT", conflicts_with_all = ["columns", "json"])]
    html: Option<PathBuf>,
    #[command(flatten)]
    options: RunOptions,
}

impl Replay {
    pub(super) fn execute(
        &self,
        program: &Program<'_>,
        out: &mut Out,
        stop: &Stop,
    ) -> Result<ExitCode, Failure> {
        let seed = self.seed.unwrap_or_default();
        match (&self.file, &self.html) {
            (Some(file), Some(_)) if recording::is_one(file)? => Err(Failure::NoPicture(file.to_owned())),
            (Some(file), Some(html)) => draw_file(program, (file, html), out, stop),
            (Some(file), None) if recording::is_one(file)? => {
                recording::replay(file, self.json.as_deref(), out, stop)
            }
            (Some(file), None) if self.json.is_some() => Err(Failure::NotARecording(file.to_owned())),
            (Some(file), None) => replay_file(program, file, self.columns, out, stop),
            (None, Some(html)) => self.draw(program, (seed, html), out, stop),
            (None, None) => self.print(program, seed, out, stop),
        }
    }

    fn print(
        &self,
        program: &Program<'_>,
        seed: u64,
        out: &mut Out,
        stop: &Stop,
    ) -> Result<ExitCode, Failure> {
        let options = self.options.options();
        writeln!(out, "# seed {seed}")?;
        let report =
            program.rig.tell_run(seed, &options, out.plain(), stop.flag()).map_err(Failure::Stdout)?;
        if report.stopped {
            return stopped(report.counts, out, stop);
        }
        Ok(if report.violation.is_some() { ExitCode::from(VIOLATION) } else { ExitCode::SUCCESS })
    }

    fn draw(
        &self,
        program: &Program<'_>,
        (seed, html): (u64, &Path),
        out: &mut Out,
        stop: &Stop,
    ) -> Result<ExitCode, Failure> {
        let target = Target::open(html)?;
        writeln!(out, "# seed {seed}")?;
        let (picture, report) = program.rig.draw_run(seed, &self.options.options(), stop.flag());
        drawn(&picture, target, html, out)?;
        if report.stopped {
            return cut_short(&picture, report.counts, out, stop);
        }
        verdict(report.violation.as_ref(), report.digest, out)
    }
}

/// The last lines of a run that was drawn to its end.
fn verdict(violation: Option<&Violation>, digest: u64, out: &mut Out) -> Result<ExitCode, Failure> {
    if let Some(violation) = violation {
        writeln!(out, "violated {violation}")?;
    }
    writeln!(out, "digest {digest:016x}")?;
    Ok(if violation.is_some() { ExitCode::from(VIOLATION) } else { ExitCode::SUCCESS })
}

/// The last line of a run that has no end.
fn stopped(counts: Counts, out: &mut Out, stop: &Stop) -> Result<ExitCode, Failure> {
    let (actions, name) = (counts.actions, stop.name());
    writeln!(out, "unfinished: {actions} actions, then stopped by {name}; the same command begins anew")?;
    Ok(stop.code())
}

/// The last line of a picture that has no end: because of a signal, or because it is full.
fn cut_short(picture: &Picture, counts: Counts, out: &mut Out, stop: &Stop) -> Result<ExitCode, Failure> {
    if !picture.is_full() {
        return stopped(counts, out, stop);
    }
    writeln!(out, "unfinished: {} actions, and a picture has room for no more", picture.actions())?;
    Ok(ExitCode::from(UNFINISHED))
}

/// Writes a picture to its file, and says so.
fn drawn(picture: &Picture, target: Target, html: &Path, out: &mut Out) -> Result<(), Failure> {
    target.fill(&picture.page())?;
    writeln!(out, "# {} actions, drawn in {}", picture.actions(), html.display())
}

fn replay_file(
    program: &Program<'_>,
    file: &Path,
    columns: bool,
    out: &mut Out,
    stop: &Stop,
) -> Result<ExitCode, Failure> {
    let (opened, place) = schedule::open(file, program)?;
    match place {
        Place::Here(rig) => {
            let replayed = rig.tell(&opened, columns, out.plain(), stop.flag()).map_err(Failure::Stdout)?;
            if replayed.stopped {
                return stopped(replayed.counts, out, stop);
            }
            Ok(if replayed.violation.is_some() { ExitCode::from(VIOLATION) } else { ExitCode::SUCCESS })
        }
        Place::Copy { canary, replacements } => {
            let how = if columns { "columns" } else { "replay" };
            in_copy(canary, replacements, &[how.as_ref(), file.as_os_str()], out, stop)
        }
    }
}

fn draw_file(
    program: &Program<'_>,
    (file, html): (&Path, &Path),
    out: &mut Out,
    stop: &Stop,
) -> Result<ExitCode, Failure> {
    let (opened, place) = schedule::open(file, program)?;
    if same_file(file, html) {
        return Err(Failure::SameFile(html.to_owned()));
    }
    let target = Target::open(html)?;
    match place {
        Place::Here(rig) => {
            let (picture, replayed) = rig.draw(&opened, stop.flag());
            drawn(&picture, target, html, out)?;
            if replayed.stopped {
                return cut_short(&picture, replayed.counts, out, stop);
            }
            verdict(replayed.violation.as_ref(), replayed.digest, out)
        }
        Place::Copy { canary, replacements } => {
            // The copy writes it; here it was only seen that this can be done.
            drop(target);
            in_copy(canary, replacements, &["draw".as_ref(), file.as_os_str(), html.as_os_str()], out, stop)
        }
    }
}

/// Lets a copy with a broken core do something, and ends as it does.
fn in_copy(
    canary: &str,
    replacements: &[Replacement],
    what: &[&OsStr],
    out: &mut Out,
    stop: &Stop,
) -> Result<ExitCode, Failure> {
    match Bench::new(None).until(stop.flag()).show(replacements, what) {
        // Its exit code is ours.
        Ok(status) => Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(UNFINISHED).into()),
        Err(CanaryError::Stopped) => {
            writeln!(out, "unfinished: stopped by {}; the same command begins anew", stop.name())?;
            Ok(stop.code())
        }
        Err(error) => Err(Failure::Bench { canary: canary.to_owned(), error }),
    }
}
