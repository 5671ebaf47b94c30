//! `raft-sim canaries`: broken behaviours, each with the oracle that must see it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use clap::Args;
use raft_sim::canary::{Bench, CANARIES, Canary, CanaryError, SEEDS};
use raft_sim::{Honest, Options, campaign};

use super::{UNFINISHED, VIOLATION, parse_shard, stopped};

#[derive(Args)]
pub(super) struct Canaries {
    /// Only the canary of this name
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Only every N-th canary, beginning with the I-th, counted from 1: `I/N`
    #[arg(long, value_name = "I/N", value_parser = parse_shard, conflicts_with = "only")]
    shard: Option<(u64, u64)>,
    /// The sources to break a copy of; without it those that this command was built from
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// Write the run that shows each to this folder, as a schedule
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
}

impl Canaries {
    pub(super) fn execute(&self, stop: &AtomicBool) -> ExitCode {
        let chosen: Vec<&Canary> = match (&self.only, self.shard) {
            (Some(name), _) => CANARIES.iter().filter(|canary| canary.name == name).collect(),
            (None, Some((nth, of))) => CANARIES.iter().skip(nth as usize - 1).step_by(of as usize).collect(),
            (None, None) => CANARIES.iter().collect(),
        };
        if chosen.is_empty() {
            let names: Vec<&str> = CANARIES.iter().map(|canary| canary.name).collect();
            eprintln!("raft-sim: no such canary; there are {}", names.join(", "));
            return ExitCode::from(2);
        }
        let unbroken = campaign((0, SEEDS), &Options::default(), 1, &Honest, stop, &|_| {});
        if stopped(stop) {
            return unfinished(0);
        }
        if let Some(report) = unbroken.violations.first() {
            println!("violated: the unbroken core fails at seed {}; see `raft-sim run`", report.seed);
            return ExitCode::from(VIOLATION);
        }
        println!("{:<24}{:<22}{:>6}  broken", "canary", "oracle", "seed");
        let bench = Bench::new(self.source.clone());
        let mut missed = 0;
        for (nth, canary) in chosen.iter().enumerate() {
            if stopped(stop) {
                return unfinished(nth);
            }
            match canary.fly(&bench) {
                Ok(seed) => {
                    if let Err(error) = self.save(canary, &bench, seed) {
                        eprintln!("raft-sim: can not write the run of {}: {error}", canary.name);
                        return unfinished(nth);
                    }
                    println!("{:<24}{:<22}{seed:>6}  {}", canary.name, canary.oracle, canary.what);
                }
                Err(error) => {
                    missed += 1;
                    println!("{:<24}{:<22}{:>6}  {error}", canary.name, canary.oracle, "-");
                }
            }
        }
        if missed == 0 {
            println!("clean: all {} canaries are seen, each by its oracle", chosen.len());
            ExitCode::SUCCESS
        } else {
            println!("violated: {missed} of {} canaries are not seen as they must be", chosen.len());
            ExitCode::from(VIOLATION)
        }
    }
}

impl Canaries {
    fn save(&self, canary: &Canary, bench: &Bench, seed: u64) -> Result<(), CanaryError> {
        let Some(folder) = &self.save else { return Ok(()) };
        let schedule = canary.record(bench, seed)?;
        std::fs::create_dir_all(folder)?;
        super::schedule::write(&schedule, &folder.join(format!("{}.schedule", canary.name)))?;
        Ok(())
    }
}

fn unfinished(done: usize) -> ExitCode {
    println!("unfinished: {done} canaries were tried");
    ExitCode::from(UNFINISHED)
}
