//! `raft-sim replay`: one run as text, of a seed or of a file.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use raft_sim::{Honest, Subject, Transcript, plan, run};

use super::schedule::{self, Place};
use super::{RunOptions, UNFINISHED, VIOLATION};

#[derive(Args)]
pub(super) struct Replay {
    /// A schedule, as `run`, `canaries` and `shrink` write them
    #[arg(value_name = "FILE", required_unless_present = "seed", conflicts_with = "seed")]
    file: Option<PathBuf>,
    /// Which run
    #[arg(long)]
    seed: Option<u64>,
    /// Print a column for every server
    #[arg(long, requires = "file")]
    columns: bool,
    #[command(flatten)]
    options: RunOptions,
}

impl Replay {
    pub(super) fn execute(&self) -> ExitCode {
        let outcome = match (&self.file, self.seed) {
            (Some(file), _) => return replay_file(file, self.columns),
            (None, seed) => self.print(seed.unwrap_or_default()),
        };
        written(outcome)
    }

    fn print(&self, seed: u64) -> io::Result<ExitCode> {
        let options = self.options.options();
        let mut out = BufWriter::new(io::stdout().lock());
        writeln!(out, "# seed {seed}")?;
        writeln!(out, "{}", plan(seed, &options))?;
        let mut transcript = Transcript::timed(&mut out);
        let report = run(seed, &options, Honest, &mut transcript);
        transcript.finish()?;
        for (name, count) in report.counts.named() {
            writeln!(out, "# {name} {count}")?;
        }
        if let Some(violation) = &report.violation {
            writeln!(out, "violated {violation}")?;
        }
        writeln!(out, "digest {:016x}", report.digest)?;
        out.flush()?;
        Ok(if report.violation.is_some() { ExitCode::from(VIOLATION) } else { ExitCode::SUCCESS })
    }
}

fn written(outcome: io::Result<ExitCode>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        // Whoever read the output has seen enough of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raft-sim: can not write the run: {error}");
            ExitCode::from(UNFINISHED)
        }
    }
}

fn replay_file(file: &Path, columns: bool) -> ExitCode {
    let (opened, place) = match schedule::open(file) {
        Ok(opened) => opened,
        Err(code) => return code,
    };
    let tell = |rig: &dyn Subject| -> io::Result<ExitCode> {
        let replayed = rig.tell(&opened, columns, &mut BufWriter::new(io::stdout().lock()))?;
        Ok(if replayed.violation.is_some() { ExitCode::from(VIOLATION) } else { ExitCode::SUCCESS })
    };
    match place {
        Place::Here(rig) => written(tell(rig)),
        Place::Copy(program) => schedule::pass_on(&program, if columns { "columns" } else { "replay" }, file),
    }
}
