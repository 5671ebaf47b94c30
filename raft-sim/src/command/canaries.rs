//! `raft-sim canaries`: broken behaviours, each with the oracle that must see it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::canary::{Bench, CANARIES, Canary, CanaryError, SEEDS, Sighting};
use crate::{Honest, Mix, Options, Schedule, Subject};
use clap::Args;

use super::failure::{Failure, Out, open_folder};
use super::hunts::Hunts;
use super::schedule::canary;
use super::stop::Stop;
use super::{VIOLATION, parse_shard};

#[derive(Args)]
pub(super) struct Canaries {
    /// Only the canary of this name
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Only every N-th canary, beginning with the I-th, counted from 1: `I/N`
    #[arg(long, value_name = "I/N", value_parser = parse_shard, conflicts_with = "only")]
    shard: Option<(u64, u64)>,
    /// Begin with the canary of this name, to go on where one was stopped; of a shard with its own canary
    #[arg(long, value_name = "NAME", conflicts_with = "only")]
    from: Option<String>,
    /// Print all of them, each with its oracle and what is broken, and try none
    #[arg(long, conflicts_with_all = ["only", "source", "save", "timing"])]
    list: bool,
    /// Look at all states of a small cluster instead, for each canary whose space is known; it has to be found there by its rule, by a
    /// shortest run that breaks a rule in a world too, and of the same length without symmetry and reduction
    #[arg(long)]
    exhaustive: bool,
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

/// How far it is.
#[derive(Clone, Copy, Default)]
pub(super) struct Tried {
    pub(super) tried: usize,
    pub(super) missed: usize,
}

impl Canaries {
    pub(super) fn execute(&self, out: &mut Out, stop: &Stop) -> Result<ExitCode, Failure> {
        let chosen = self.chosen()?;
        if self.list {
            return list(&chosen, out);
        }
        self.source.as_deref().map_or(Ok(()), has_sources)?;
        self.save.as_deref().map_or(Ok(()), open_folder)?;
        let bench = Bench::new(self.source.clone()).until(stop.flag());
        if self.exhaustive {
            let hunts = Hunts { bench: &bench, save: self.save.as_deref(), timing: self.timing };
            return hunts.execute(&chosen, self.source.is_some(), out, stop);
        }
        if let Some(code) = self.unbroken(&bench, &chosen, out, stop)? {
            return Ok(code);
        }
        self.row(out, "canary", "oracle", ["profile", "seed", "CPU s"], "broken")?;
        let mut done = Tried::default();
        for canary in &chosen {
            let seen = canary.fly(&bench).and_then(|seen| Ok((self.recorded(canary, &bench, &seen)?, seen)));
            match seen {
                Err(CanaryError::Stopped) => return unfinished(out, stop, done, canary),
                Ok((schedule, seen)) => {
                    if let Some((schedule, file)) = schedule {
                        super::schedule::write(&schedule, &file).map_err(Failure::write(&file))?;
                    }
                    let (seed, seconds) = (seen.seed.to_string(), tenths(seen.cpu_ms));
                    let seen = [seen.profile.name(), &seed, &seconds];
                    self.row(out, canary.name, canary.oracle, seen, canary.what)?;
                }
                Err(error) => {
                    done.missed += 1;
                    self.row(out, canary.name, canary.oracle, ["-"; 3], &error.to_string())?;
                }
            }
            done.tried += 1;
        }
        verdict(out, done)
    }

    /// Those that are to be tried, at least one.
    fn chosen(&self) -> Result<Vec<&'static Canary>, Failure> {
        if let Some(name) = &self.only {
            let canary = canary(name)?;
            let known = !self.exhaustive || canary.habitat().is_some();
            return if known { Ok(vec![canary]) } else { Err(Failure::NoSpace(name.clone())) };
        }
        let all: Vec<&Canary> =
            CANARIES.iter().filter(|canary| !self.exhaustive || canary.habitat().is_some()).collect();
        let (nth, of) = self.shard.unwrap_or((1, 1));
        let (skipped, step) = (usize::try_from(nth - 1), usize::try_from(of));
        let (skipped, step) = (skipped.unwrap_or(usize::MAX), step.unwrap_or(usize::MAX));
        let mut chosen: Vec<&Canary> = all.iter().copied().skip(skipped).step_by(step).collect();
        if chosen.is_empty() {
            return Err(Failure::EmptyShard { nth, of, count: all.len() as u64 });
        }
        if let Some(name) = &self.from {
            let known = || chosen.iter().map(|canary| canary.name).collect::<Vec<_>>().join(", ");
            let place = chosen.iter().position(|canary| canary.name == name);
            let place = place.ok_or_else(|| Failure::NoCanary { name: name.clone(), known: known() })?;
            chosen.drain(..place);
        }
        Ok(chosen)
    }

    /// What is not broken must not be reported. If it is, or that was stopped, the exit code.
    fn unbroken(
        &self,
        bench: &Bench,
        chosen: &[&Canary],
        out: &mut Out,
        stop: &Stop,
    ) -> Result<Option<ExitCode>, Failure> {
        let seen = if self.source.is_some() {
            // A copy in which nothing is replaced.
            match bench.probe(&[]) {
                Ok(seen) => seen.map(|seen| (seen.seed, seen.profile)),
                Err(CanaryError::Stopped) => None,
                Err(error) => return Err(Failure::Bench { canary: "the unbroken copy".to_owned(), error }),
            }
        } else {
            Mix::CLEAN.into_iter().find_map(|mix| {
                let options = Options::of(mix);
                Honest.find_until(SEEDS, &options, stop.flag()).map(|report| (report.seed, mix))
            })
        };
        if let Some((seed, mix)) = seen {
            writeln!(out, "violated: the unbroken core fails at seed {seed} of the profile {}", mix.name())?;
            return Ok(Some(ExitCode::from(VIOLATION)));
        }
        if stop.is_set() { unfinished(out, stop, Tried::default(), chosen[0]).map(Some) } else { Ok(None) }
    }

    /// The run that shows it and the file for it, if there is a folder for such files.
    fn recorded(
        &self,
        canary: &Canary,
        bench: &Bench,
        seen: &Sighting,
    ) -> Result<Option<(Schedule, PathBuf)>, CanaryError> {
        let Some(folder) = &self.save else { return Ok(None) };
        let file = folder.join(format!("{}.schedule", canary.name));
        Ok(Some((canary.record(bench, seen)?, file)))
    }

    fn row(
        &self,
        out: &mut Out,
        name: &str,
        oracle: &str,
        [profile, seed, seconds]: [&str; 3],
        what: &str,
    ) -> Result<(), Failure> {
        let seconds = if self.timing { format!("{seconds:>7}") } else { String::new() };
        writeln!(out, "{name:<31}{oracle:<22}{profile:<8}{seed:>5}{seconds}  {what}")?;
        // The next one takes a while.
        out.flush()
    }
}

/// What there is, with the oracle that sees it at random.
fn list(chosen: &[&Canary], out: &mut Out) -> Result<ExitCode, Failure> {
    for Canary { name, oracle, what, .. } in chosen {
        writeln!(out, "{name:<31}{oracle:<22}{what}")?;
    }
    writeln!(out, "canaries: {}", chosen.len())?;
    Ok(ExitCode::SUCCESS)
}

/// The last line once all were tried.
pub(super) fn verdict(out: &mut Out, done: Tried) -> Result<ExitCode, Failure> {
    let Tried { tried, missed } = done;
    if missed == 0 {
        match tried {
            1 => writeln!(out, "clean: the canary is seen, by its oracle")?,
            count => writeln!(out, "clean: all {count} canaries are seen, each by its oracle")?,
        }
        Ok(ExitCode::SUCCESS)
    } else {
        writeln!(out, "violated: {missed} of {tried} canaries are not seen as they must be")?;
        Ok(ExitCode::from(VIOLATION))
    }
}

/// A folder without sources is refused before anything is run.
fn has_sources(folder: &Path) -> Result<(), Failure> {
    let parts = [
        "Cargo.toml",
        "Cargo.lock",
        "raft-core/src",
        "raft-core/Cargo.toml",
        "raft-sim/src",
        "raft-sim/Cargo.toml",
    ];
    match parts.into_iter().find(|part| !folder.join(part).exists()) {
        Some(missing) => Err(Failure::NoSources { folder: folder.to_owned(), missing }),
        None => Ok(()),
    }
}

/// Milliseconds as seconds, rounded up to tenths.
pub(super) fn tenths(ms: u64) -> String {
    let tenths = ms.div_ceil(100);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// The last line of what was stopped before `next`.
pub(super) fn unfinished(
    out: &mut Out,
    stop: &Stop,
    done: Tried,
    next: &Canary,
) -> Result<ExitCode, Failure> {
    let Tried { tried, missed } = done;
    let then = format!("; stopped by {}; go on with --from {}", stop.name(), next.name);
    if missed == 0 {
        writeln!(out, "unfinished: {tried} canaries were tried, each seen by its oracle{then}")?;
        Ok(stop.code())
    } else {
        writeln!(out, "violated: {missed} of {tried} canaries are not seen as they must be{then}")?;
        Ok(ExitCode::from(VIOLATION))
    }
}
