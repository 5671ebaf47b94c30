//! Canaries: behaviours that are broken on purpose, each of which an oracle must see, and be the first to see. They show that
//! the oracles can fail.
//!
//! Broken disks, networks and drivers are [rigs](crate::Rig). Broken cores are exact-text replacements in a copy of the sources,
//! which is built apart; production code holds no switch for them. A replacement that no longer fits is a failure.

mod copy;
mod rigs;
mod table;

use std::process::ExitCode;

use crate::plan::Options;
use crate::rig::Rig;
use crate::run::{Report, run};

pub use self::copy::Bench;
pub use self::table::CANARIES;

/// Within how many seeds, from 0 on, a canary must be seen.
pub const SEEDS: u64 = 200;

/// A piece of source that is replaced. It has to be there exactly once.
#[derive(Clone, Copy, Debug)]
pub struct Replacement {
    /// The file, below the top of the workspace.
    pub file: &'static str,
    /// What stands there.
    pub from: &'static str,
    /// What takes its place.
    pub to: &'static str,
}

/// What is broken.
#[derive(Clone, Copy, Debug)]
pub enum Break {
    /// A disk, a network or a driver: the search for the first seed, from 0 on and below so many, that breaks a rule.
    Rig(fn(u64) -> Option<Report>),
    /// The core.
    Core(&'static [Replacement]),
}

/// A behaviour that is broken on purpose.
#[derive(Clone, Copy, Debug)]
pub struct Canary {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is broken, in words.
    pub what: &'static str,
    /// The oracle that must see it first.
    pub oracle: &'static str,
    /// How it is broken.
    pub how: Break,
}

/// Why a canary was not seen as it must be.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// No run broke a rule.
    #[error("not seen within {SEEDS} seeds")]
    Unseen,
    /// Another oracle was first.
    #[error("seed {seed} was reported by `{oracle}`: {what}")]
    OtherOracle {
        /// The seed.
        seed: u64,
        /// The oracle that reported it.
        oracle: String,
        /// What it saw.
        what: String,
    },
    /// A replacement does not fit the sources.
    #[error("the text to replace is {found} times in {file}, not once")]
    Stale {
        /// The file.
        file: &'static str,
        /// How often it was found.
        found: usize,
    },
    /// The copy could not be made.
    #[error("can not copy the sources: {0}")]
    Copy(#[from] std::io::Error),
    /// The copy does not build or run.
    #[error("the broken copy does not build or run: {0}")]
    Build(String),
}

impl Canary {
    /// Runs seeds from 0 on until one breaks a rule; the seed, if the expected oracle was the one to report it.
    ///
    /// # Errors
    /// Nothing was seen, another oracle was first, or the broken copy can not be built.
    pub fn fly(&self, bench: &Bench) -> Result<u64, CanaryError> {
        let seen = match self.how {
            Break::Rig(search) => search(SEEDS).and_then(|report| {
                let violation = report.violation?;
                Some((report.seed, violation.oracle.to_owned(), violation.what))
            }),
            Break::Core(replacements) => bench.probe(replacements)?,
        };
        match seen {
            None => Err(CanaryError::Unseen),
            Some((seed, oracle, _)) if oracle == self.oracle => Ok(seed),
            Some((seed, oracle, what)) => Err(CanaryError::OtherOracle { seed, oracle, what }),
        }
    }
}

/// The first seed below `seeds` whose run breaks a rule with this rig.
fn search<R: Rig>(rig: &R, seeds: u64) -> Option<Report> {
    let options = Options::default();
    let reports = (0..seeds).map(|seed| run(seed, &options, rig.clone(), &mut ()));
    reports.into_iter().find(|report| report.violation.is_some())
}

/// What a copy with a broken core runs: prints seed, oracle and what was seen of the first run that breaks a rule,
/// separated by tabs, or nothing.
pub fn probe_main() -> ExitCode {
    // Panics are what is looked for; their text is in the report.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(report) = search(&crate::rig::Honest, SEEDS)
        && let Some(violation) = report.violation
    {
        println!("{}\t{}\t{}", report.seed, violation.oracle, violation.what);
    }
    ExitCode::SUCCESS
}
