//! `raft-sim shrink`: a failing run becomes a short one, and a test.

use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use crate::canary::{Bench, CanaryError, Replacement};
use crate::{Progress, Schedule, Subject};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::failure::{Failure, Out, Target};
use super::program::Program;
use super::read;
use super::schedule::{self, Place, same_file};
use super::stop::Stop;

#[derive(Args)]
pub(super) struct Shrink {
    /// The schedule to shorten, as `run` and `canaries` write them
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where the short one is written, every time that it got shorter; begun there, it goes on. Without it: FILE with
    /// `.short` before its extension
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the test to this file; without it, it is printed
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
}

/// Keeps the best schedule in its file.
struct Keeper {
    out: PathBuf,
    bar: ProgressBar,
    best: Schedule,
    tried: u64,
    failed: Option<std::io::Error>,
}

impl Keeper {
    fn keep(&mut self, tried: u64, best: &Schedule, better: bool) {
        self.tried = tried;
        self.bar.set_message(format!("{} actions after {tried} attempts", best.actions.len()));
        self.bar.tick();
        if better {
            self.best.clone_from(best);
            self.write();
        }
    }

    fn write(&mut self) {
        if self.failed.is_none() {
            self.failed = schedule::write(&self.best, &self.out).err();
        }
    }
}

impl Shrink {
    pub(super) fn execute(
        &self,
        program: &Program<'_>,
        out: &mut Out,
        stop: &Stop,
    ) -> Result<ExitCode, Failure> {
        let (given, place) = schedule::open(&self.file, program)?;
        // What is half done already is gone on with in place.
        let own = if given.shortened.is_some() { self.file.clone() } else { short_name(&self.file) };
        let short = self.out.clone().unwrap_or(own);
        if given.shortened.is_none() && same_file(&self.file, &short) {
            return Err(Failure::SameFile(short));
        }
        let from = begun(&given, &short)?;
        let test = self.test.as_deref().map(|test| open_test(test, &[&self.file, &short])).transpose()?;
        let bar = ProgressBar::new_spinner();
        bar.set_style(
            ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        let mut keeper = Keeper { out: short, bar, best: from.clone(), tried: 0, failed: None };
        // Where it can not be written, that is found out now. And a copy finds it there, and whoever stops this too.
        keeper.write();
        let outcome = match (keeper.failed.is_none(), place) {
            (false, _) => Ok(()),
            (true, Place::Here(rig)) => self.here(rig, &from, stop, &mut keeper),
            (true, Place::Copy { canary, replacements }) => {
                self.in_copy(canary, replacements, stop, &mut keeper)
            }
        };
        keeper.bar.finish_and_clear();
        outcome?;
        keeper.write();
        if let Some(error) = keeper.failed {
            return Err(Failure::Write { file: keeper.out, error });
        }
        let text = test_of(&keeper.best, program);
        match test {
            Some(test) => test.fill(&text)?,
            None => write!(out, "{text}")?,
        }
        verdict(&given, &keeper, out, stop)
    }

    fn here(
        &self,
        rig: &dyn Subject,
        from: &Schedule,
        stop: &Stop,
        keeper: &mut Keeper,
    ) -> Result<(), Failure> {
        let mut watch = |progress: Progress<'_>| {
            keeper.keep(progress.tried, progress.best, progress.better);
            let ends = stop.is_set() || keeper.failed.is_some();
            if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let best = rig.shrink(from, &mut watch);
        keeper.best = best.map_err(|error| Failure::NotShortened { file: self.file.clone(), error })?;
        Ok(())
    }

    /// The program of a broken copy shortens its own runs, and tells what it found: after every attempt a line with the number
    /// of attempts and the length in bytes of a schedule that follows, 0 where nothing has changed.
    fn in_copy(
        &self,
        canary: &str,
        replacements: &[Replacement],
        stop: &Stop,
        keeper: &mut Keeper,
    ) -> Result<(), Failure> {
        let failed = |error| Failure::Bench { canary: canary.to_owned(), error };
        let bench = Bench::new(None).until(stop.flag());
        let locked = bench.lock().and_then(|lock| Ok((lock, bench.program(replacements)?)));
        let (_lock, program) = match locked {
            Err(CanaryError::Stopped) => return Ok(()),
            locked => locked.map_err(failed)?,
        };
        let mut command = Command::new(&program);
        let mut child = command
            .arg("shrink")
            .arg(&keeper.out)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.into()))?;
        let heard = hear(&mut child, canary, stop, keeper);
        if heard.is_err() || stop.is_set() || keeper.failed.is_some() {
            // It may have ended by itself, which is as well.
            drop(child.kill());
        }
        let status = child.wait().map_err(|error| failed(error.into()))?;
        heard?;
        let given_up = stop.is_set() || keeper.failed.is_some();
        if status.success() || given_up { Ok(()) } else { Err(Failure::CopyFailed(self.file.clone())) }
    }
}

/// The last line.
fn verdict(given: &Schedule, keeper: &Keeper, out: &mut Out, stop: &Stop) -> Result<ExitCode, Failure> {
    let (before, after) = (given.actions.len(), keeper.best.actions.len());
    let (servers, left) = (given.setup.hosts, keeper.best.setup.hosts);
    let file = keeper.out.display();
    let lengths = format!("{before} actions of {servers} servers to {after} of {left}; see {file}");
    if keeper.best.shortened.is_some_and(|shortened| shortened.stage.is_none()) {
        writeln!(out, "shortened: {lengths}")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "unfinished: {lengths}; stopped by {}; the same command goes on", stop.name())?;
    Ok(stop.code())
}

/// The file for the test, which must be no schedule.
fn open_test(test: &Path, schedules: &[&Path]) -> Result<Target, Failure> {
    if schedules.iter().any(|file| same_file(file, test)) {
        return Err(Failure::SameFile(test.to_owned()));
    }
    Target::open(test)
}

fn short_name(file: &Path) -> PathBuf {
    file.with_extension("short.schedule")
}

/// What to begin with: the given schedule, or what an earlier attempt has made of it.
fn begun(given: &Schedule, out: &Path) -> Result<Schedule, Failure> {
    let text = match read::text(out, read::SCHEDULE_BYTES_MAX) {
        Ok(text) => text,
        Err(Failure::Read { .. }) => return Ok(given.clone()),
        Err(other) => return Err(other),
    };
    let there: Schedule = text.parse().map_err(|error| Failure::Schedule { file: out.to_owned(), error })?;
    let source = given.shortened.map_or(given.digest(), |shortened| shortened.source);
    // It is the given one still where it was stopped before the first attempt.
    let made_from = there.shortened.map_or(there.digest(), |shortened| shortened.source);
    if made_from == source { Ok(there) } else { Err(Failure::OtherSchedule(out.to_owned())) }
}

fn hear(child: &mut Child, canary: &str, stop: &Stop, keeper: &mut Keeper) -> Result<(), Failure> {
    let Some(stdout) = child.stdout.take() else { return Ok(()) };
    let broken = |error: std::io::Error| Failure::Bench { canary: canary.to_owned(), error: error.into() };
    let strange = |said: &str| Failure::CopySays { canary: canary.to_owned(), said: said.to_owned() };
    let mut told = BufReader::new(stdout);
    let mut line = String::new();
    while !stop.is_set() && keeper.failed.is_none() {
        line.clear();
        if told.read_line(&mut line).map_err(broken)? == 0 {
            break;
        }
        let numbers: Option<(u64, usize)> = line
            .trim_end()
            .split_once(' ')
            .and_then(|(tried, length)| Some((tried.parse().ok()?, length.parse().ok()?)));
        let (tried, length) = numbers.ok_or_else(|| strange(line.trim_end()))?;
        let best = if length == 0 {
            keeper.best.clone()
        } else {
            let mut text = vec![0; length];
            told.read_exact(&mut text).map_err(broken)?;
            let text = String::from_utf8_lossy(&text);
            text.parse().map_err(|_| strange(text.lines().next().unwrap_or_default()))?
        };
        keeper.keep(tried, &best, length != 0);
    }
    Ok(())
}

/// A test that fails for as long as the schedule breaks a rule.
fn test_of(schedule: &Schedule, program: &Program<'_>) -> String {
    let oracle = schedule.expects.as_deref().unwrap_or("nothing");
    let (name, rig) = (oracle.replace('-', "_"), &program.rig_in_words);
    let origin = schedule.notes.first().map_or("a run", String::as_str);
    let schedule = Schedule { broken: None, shortened: None, ..schedule.clone() };
    format!(
        "/// Regression: {origin}, shortened; `{oracle}` reported it.\n\
         #[test]\n\
         fn {name}_holds_in_shortened_run() {{\n    \
             let schedule: raft_sim::Schedule = r\"{schedule}\"\n        .parse()\n        .unwrap();\n    \
             let replayed = raft_sim::replay(&schedule, {rig}, &mut ());\n    \
             assert_eq!(replayed.violation, None);\n\
         }}\n"
    )
}
