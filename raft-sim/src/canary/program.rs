//! What a copy with a broken core does when it is run: this same simulator without its command line, told what to do by a word.
//!
//! ```text
//! raft-sim search                     the first run that breaks a rule, as a [`Sighting`]; or nothing
//! raft-sim record NAME PROFILE SEED   the schedule of that run, broken as NAME
//! raft-sim explore BOUNDS HOW STATES  a search of this space, as a [`Hunt`]; HOW is `both` reductions, `symmetry`,
//!                                     `reduction` or `neither`, and STATES the most that are looked at
//! raft-sim replay FILE                the schedule as text
//! raft-sim columns FILE               the same, with a column for every server
//! raft-sim draw FILE OUT              a picture of it, as HTML; the text says only how it ends
//! raft-sim shrink FILE                after every attempt to shorten it a line: how many there were, and the length
//!                                     in bytes of the better schedule that follows, or 0
//! ```

use core::ops::ControlFlow;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use super::exhaustive::{Hunt, limits_of};
use super::recorded;
use super::sighting::Sighting;
use crate::plan::Mix;
use crate::rig::Honest;
use crate::schedule::Schedule;
use crate::subject::Subject;

/// Does what the arguments say.
pub fn main() -> ExitCode {
    // Panics are what is looked for; their text is in the report.
    std::panic::set_hook(Box::new(|_| {}));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match obey(&words) {
        Ok(code) => code,
        // Whoever read the output has seen enough of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(2),
        Err(error) => {
            eprintln!("raft-sim: {error}");
            ExitCode::from(2)
        }
    }
}

fn obey(words: &[&str]) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match *words {
        ["search"] => {
            if let Some(sighting) = Sighting::look(&Honest, &AtomicBool::new(false)) {
                writeln!(out, "{sighting}")?;
            }
            Ok(ExitCode::SUCCESS)
        }
        ["record", name, profile, seed] => {
            let mix = Mix::named(profile).ok_or_else(|| io::Error::other("no such profile"))?;
            let seed = seed.parse().map_err(io::Error::other)?;
            write!(out, "{}", recorded(&Honest, name, seed, mix))?;
            Ok(ExitCode::SUCCESS)
        }
        ["explore", bounds, how, states] => {
            let bounds = bounds.parse().map_err(io::Error::other)?;
            let limits = limits_of(how, states.parse().map_err(io::Error::other)?);
            let limits = limits.ok_or_else(|| io::Error::other("no such way to search"))?;
            let hunt = Hunt::of(bounds, limits, &AtomicBool::new(false)).map_err(io::Error::other)?;
            write!(out, "{hunt}")?;
            Ok(ExitCode::SUCCESS)
        }
        [how @ ("replay" | "columns"), file] => {
            let replayed = Honest.tell(&read(file)?, how == "columns", &mut out, &AtomicBool::new(false))?;
            Ok(ExitCode::from(u8::from(replayed.violation.is_some())))
        }
        ["draw", file, html] => {
            let (picture, replayed) = Honest.draw(&read(file)?, &AtomicBool::new(false));
            std::fs::write(html, picture.page())?;
            writeln!(out, "# {} actions, drawn in {html}", picture.actions())?;
            if replayed.stopped {
                writeln!(
                    out,
                    "unfinished: {} actions, and a picture has room for no more",
                    picture.actions()
                )?;
                return Ok(ExitCode::from(3));
            }
            if let Some(violation) = &replayed.violation {
                writeln!(out, "violated {violation}")?;
            }
            writeln!(out, "digest {:016x}", replayed.digest)?;
            Ok(ExitCode::from(u8::from(replayed.violation.is_some())))
        }
        ["shrink", file] => shrink_aloud(&read(file)?, &mut out),
        _ => Err(io::Error::other(
            "search, record NAME PROFILE SEED, replay, columns or shrink FILE, or draw FILE OUT",
        )),
    }
}

fn read(file: &str) -> io::Result<Schedule> {
    std::fs::read_to_string(file)?.parse().map_err(io::Error::other)
}

fn shrink_aloud(schedule: &Schedule, out: &mut dyn Write) -> io::Result<ExitCode> {
    let mut say = |tried: u64, text: &str| {
        writeln!(out, "{tried} {}", text.len())?;
        out.write_all(text.as_bytes())?;
        out.flush()
    };
    let mut failed = Ok(());
    let mut tried = 0;
    let best = Honest.shrink(schedule, &mut |progress| {
        let text = if progress.better { progress.best.to_string() } else { String::new() };
        tried = progress.tried;
        failed = say(tried, &text);
        if failed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    failed?;
    say(tried, &best.map_err(io::Error::other)?.to_string())?;
    Ok(ExitCode::SUCCESS)
}
