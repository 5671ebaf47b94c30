//! `raft-sim canaries`: broken behaviours, each with the oracle that must see it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use clap::Args;
use raft_sim::canary::{Bench, CANARIES, Canary, CanaryError, SEEDS, Sighting};
use raft_sim::{Honest, Mix, Options, campaign};

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
    /// Print also how many seconds of CPU time the search took, without building; that column depends on the machine
    #[arg(long)]
    timing: bool,
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
        for profile in [Mix::Default, Mix::Swarm] {
            let options = Options { mix: profile, ..Options::default() };
            let unbroken = campaign((0, SEEDS), &options, 1, &Honest, stop, &|_| {});
            if stopped(stop) {
                return unfinished(0);
            }
            if let Some(report) = unbroken.violations.first() {
                let (seed, profile) = (report.seed, profile.name());
                println!("violated: the unbroken core fails at seed {seed} of the profile {profile}");
                return ExitCode::from(VIOLATION);
            }
        }
        self.row("canary", "oracle", ["profile", "seed", "CPU s"], "broken");
        let bench = Bench::new(self.source.clone());
        let mut missed = 0;
        for (nth, canary) in chosen.iter().enumerate() {
            if stopped(stop) {
                return unfinished(nth);
            }
            match canary.fly(&bench) {
                Ok(seen) => {
                    if let Err(error) = self.save(canary, &bench, &seen) {
                        eprintln!("raft-sim: can not write the run of {}: {error}", canary.name);
                        return unfinished(nth);
                    }
                    let (seed, seconds) = (seen.seed.to_string(), tenths(seen.cpu_ms));
                    let seen = [seen.profile.name(), &seed, &seconds];
                    self.row(canary.name, canary.oracle, seen, canary.what);
                }
                Err(error) => {
                    missed += 1;
                    self.row(canary.name, canary.oracle, ["-"; 3], &error.to_string());
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

/// Milliseconds as seconds, rounded up to tenths.
fn tenths(ms: u64) -> String {
    let tenths = ms.div_ceil(100);
    format!("{}.{}", tenths / 10, tenths % 10)
}

impl Canaries {
    fn row(&self, name: &str, oracle: &str, [profile, seed, seconds]: [&str; 3], what: &str) {
        let seconds = if self.timing { format!("{seconds:>7}") } else { String::new() };
        println!("{name:<26}{oracle:<22}{profile:<8}{seed:>5}{seconds}  {what}");
    }

    fn save(&self, canary: &Canary, bench: &Bench, seen: &Sighting) -> Result<(), CanaryError> {
        let Some(folder) = &self.save else { return Ok(()) };
        let schedule = canary.record(bench, seen)?;
        std::fs::create_dir_all(folder)?;
        super::schedule::write(&schedule, &folder.join(format!("{}.schedule", canary.name)))?;
        Ok(())
    }
}

fn unfinished(done: usize) -> ExitCode {
    println!("unfinished: {done} canaries were tried");
    ExitCode::from(UNFINISHED)
}
