//! `raft-sim replay`: one run as text, of a seed or of a file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::failure::{Failure, Out};
use super::program::Program;
use super::schedule::{self, Place};
use super::stop::Stop;
use super::{RunOptions, UNFINISHED, VIOLATION, recording};
use crate::canary::{Bench, CanaryError};
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
        match &self.file {
            Some(file) if recording::is_one(file)? => {
                recording::replay(file, self.json.as_deref(), out, stop)
            }
            Some(file) if self.json.is_some() => Err(Failure::NotARecording(file.to_owned())),
            Some(file) => replay_file(program, file, self.columns, out, stop),
            None => self.print(program, self.seed.unwrap_or_default(), out, stop),
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
}

/// The last line of a run that has no end.
fn stopped(counts: Counts, out: &mut Out, stop: &Stop) -> Result<ExitCode, Failure> {
    let (actions, name) = (counts.actions, stop.name());
    writeln!(out, "unfinished: {actions} actions, then stopped by {name}; the same command begins anew")?;
    Ok(stop.code())
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
            let bench = Bench::new(None).until(stop.flag());
            match bench.show(replacements, if columns { "columns" } else { "replay" }, file) {
                // Its exit code is ours.
                Ok(status) => {
                    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(UNFINISHED).into())
                }
                Err(CanaryError::Stopped) => {
                    writeln!(out, "unfinished: stopped by {}; the same command begins anew", stop.name())?;
                    Ok(stop.code())
                }
                Err(error) => Err(Failure::Bench { canary: canary.to_owned(), error }),
            }
        }
    }
}
