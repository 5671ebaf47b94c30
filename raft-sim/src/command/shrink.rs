//! `raft-sim shrink`: a failing run becomes a short one, and a test.

use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::AtomicBool;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use raft_sim::{Progress, Schedule, Subject};

use super::schedule::{self, Place};
use super::{UNFINISHED, USAGE, stopped};

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
    pub(super) fn execute(&self, stop: &AtomicBool) -> ExitCode {
        let (given, place) = match schedule::open(&self.file) {
            Ok(opened) => opened,
            Err(code) => return code,
        };
        // What is half done already is gone on with in place.
        let own = if given.shortened.is_some() { self.file.clone() } else { short_name(&self.file) };
        let out = self.out.clone().unwrap_or(own);
        let from = match begun(&given, &out) {
            Ok(from) => from,
            Err(what) => {
                eprintln!("raft-sim: {}: {what}", out.display());
                return ExitCode::from(USAGE);
            }
        };
        let bar = ProgressBar::new_spinner();
        bar.set_style(
            ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        let mut keeper = Keeper { out, bar, best: from.clone(), tried: 0, failed: None };
        let outcome = match place {
            Place::Here(rig) => here(rig, &from, stop, &mut keeper),
            Place::Copy(program) => in_copy(&program, &from, stop, &mut keeper),
        };
        keeper.bar.finish_and_clear();
        if let Err(what) = outcome {
            eprintln!("raft-sim: {}: {what}", self.file.display());
            return ExitCode::from(USAGE);
        }
        self.report(&given, keeper)
    }

    fn report(&self, given: &Schedule, mut keeper: Keeper) -> ExitCode {
        keeper.write();
        let test = test_of(&keeper.best);
        let written = match &self.test {
            Some(file) => std::fs::write(file, &test),
            None => {
                print!("{test}");
                Ok(())
            }
        };
        if let Err(error) = keeper.failed.map_or(written, Err) {
            eprintln!("raft-sim: can not write: {error}");
            return ExitCode::from(UNFINISHED);
        }
        let (before, after) = (given.actions.len(), keeper.best.actions.len());
        let (servers, left) = (given.setup.hosts, keeper.best.setup.hosts);
        let done = keeper.best.shortened.is_some_and(|shortened| shortened.stage.is_none());
        let verdict = if done { "shortened" } else { "unfinished" };
        let file = keeper.out.display();
        println!("{verdict}: {before} actions of {servers} servers to {after} of {left}; see {file}");
        if done { ExitCode::SUCCESS } else { ExitCode::from(UNFINISHED) }
    }
}

fn short_name(file: &Path) -> PathBuf {
    file.with_extension("short.schedule")
}

/// What to begin with: the given schedule, or what an earlier attempt has made of it.
fn begun(given: &Schedule, out: &Path) -> Result<Schedule, String> {
    let Ok(text) = std::fs::read_to_string(out) else { return Ok(given.clone()) };
    let there: Schedule = text.parse().map_err(|error| format!("is there, and {error}"))?;
    let source = given.shortened.map_or(given.digest(), |shortened| shortened.source);
    match there.shortened {
        Some(shortened) if shortened.source == source => Ok(there),
        _ => Err("is there, and was not made from this schedule".to_owned()),
    }
}

fn here(rig: &dyn Subject, from: &Schedule, stop: &AtomicBool, keeper: &mut Keeper) -> Result<(), String> {
    let mut watch = |progress: Progress<'_>| {
        keeper.keep(progress.tried, progress.best, progress.better);
        if stopped(stop) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let best = rig.shrink(from, &mut watch).map_err(|error| error.to_string())?;
    keeper.best = best;
    Ok(())
}

/// The program of a broken copy shortens its own runs, and tells what it found: after every attempt a line with the number
/// of attempts and the length in bytes of a schedule that follows, 0 where nothing has changed.
fn in_copy(program: &Path, from: &Schedule, stop: &AtomicBool, keeper: &mut Keeper) -> Result<(), String> {
    // Written first, so that the program finds it, and whoever stops this too.
    keeper.best.clone_from(from);
    keeper.write();
    let mut child = Command::new(program)
        .arg("shrink")
        .arg(&keeper.out)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let heard = hear(&mut child, stop, keeper);
    if heard.is_err() || stopped(stop) {
        // It may have ended by itself, which is as well.
        drop(child.kill());
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    heard?;
    if status.success() || stopped(stop) { Ok(()) } else { Err("it can not be shortened".to_owned()) }
}

fn hear(child: &mut Child, stop: &AtomicBool, keeper: &mut Keeper) -> Result<(), String> {
    let Some(stdout) = child.stdout.take() else { return Ok(()) };
    let mut told = BufReader::new(stdout);
    let mut line = String::new();
    while !stopped(stop) {
        line.clear();
        if told.read_line(&mut line).map_err(|error| error.to_string())? == 0 {
            break;
        }
        let numbers: Option<(u64, usize)> = line
            .trim_end()
            .split_once(' ')
            .and_then(|(tried, length)| Some((tried.parse().ok()?, length.parse().ok()?)));
        let (tried, length) = numbers.ok_or("its program says what nobody understands")?;
        let best = if length == 0 {
            keeper.best.clone()
        } else {
            let mut text = vec![0; length];
            told.read_exact(&mut text).map_err(|error| error.to_string())?;
            String::from_utf8_lossy(&text).parse().map_err(|error| format!("its program says: {error}"))?
        };
        keeper.keep(tried, &best, length != 0);
    }
    Ok(())
}

/// A test that fails for as long as the schedule breaks a rule.
fn test_of(schedule: &Schedule) -> String {
    let oracle = schedule.expects.as_deref().unwrap_or("nothing");
    let name = oracle.replace('-', "_");
    let origin = schedule.notes.first().map_or("a run", String::as_str);
    let schedule = Schedule { broken: None, shortened: None, ..schedule.clone() };
    format!(
        "/// Regression: {origin}, shortened; `{oracle}` reported it.\n\
         #[test]\n\
         fn {name}_holds_in_shortened_run() {{\n    \
             let schedule: raft_sim::Schedule = r\"{schedule}\"\n        .parse()\n        .unwrap();\n    \
             let replayed = raft_sim::replay(&schedule, raft_sim::Honest, &mut ());\n    \
             assert_eq!(replayed.violation, None);\n\
         }}\n"
    )
}
