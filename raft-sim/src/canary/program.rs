//! What a copy with a broken core does when it is run: this same simulator without its command line, told what to do by a word.
//!
//! ```text
//! raft-sim search            seed, oracle and what was seen of the first run that breaks a rule, with tabs between; or nothing
//! raft-sim record NAME SEED  the schedule of that run, broken as NAME
//! raft-sim replay FILE       the schedule as text
//! ```

use std::io::{self, Write};
use std::process::ExitCode;

use super::{SEEDS, recorded};
use crate::plan::Options;
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
            if let Some(report) = Honest.find(SEEDS)
                && let Some(violation) = report.violation
            {
                writeln!(out, "{}\t{}\t{}", report.seed, violation.oracle, violation.what)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        ["record", name, seed] => {
            let seed = seed.parse().map_err(io::Error::other)?;
            write!(out, "{}", recorded(&Honest, name, seed, &Options::default()))?;
            Ok(ExitCode::SUCCESS)
        }
        ["replay", file] => {
            let replayed = Honest.tell(&read(file)?, &mut out)?;
            Ok(ExitCode::from(u8::from(replayed.violation.is_some())))
        }
        _ => Err(io::Error::other("search, record NAME SEED or replay FILE")),
    }
}

fn read(file: &str) -> io::Result<Schedule> {
    std::fs::read_to_string(file)?.parse().map_err(io::Error::other)
}
