//! Canaries: behaviours that are broken on purpose, each of which an oracle must see, and be the first to see. They show that
//! the oracles can fail.
//!
//! Broken disks, networks and drivers are [rigs](crate::Rig). Broken cores are exact-text replacements in a copy of the sources,
//! which is built apart; production code holds no switch for them. A replacement that no longer fits is a failure.

mod child;
mod copy;
mod exhaustive;
mod habitats;
mod program;
mod rigs;
mod sighting;
mod table;

use core::fmt;
use std::sync::atomic::Ordering;

use crate::plan::{Mix, Options};
use crate::schedule::Schedule;
use crate::subject::Subject;

pub use self::copy::{Bench, Lock};
pub use self::exhaustive::{
    Catch, Habitat, Hunt, HuntError, ParseHuntError, STATES_COMPARED_MAX, STATES_MAX, STATES_UNBROKEN,
};
pub use self::habitats::HABITATS;
pub use self::program::main as broken_main;
pub use self::sighting::{ParseSightingError, Sighting};
pub use self::table::CANARIES;

/// Within how many seeds of a profile, from 0 on, a canary must be seen.
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
#[derive(Clone, Copy)]
pub enum Break {
    /// A disk, a network or a driver.
    Rig(&'static dyn Subject),
    /// The core.
    Core(&'static [Replacement]),
}

impl fmt::Debug for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Break::Rig(_) => f.write_str("Rig"),
            Break::Core(replacements) => f.debug_tuple("Core").field(replacements).finish(),
        }
    }
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
    #[error("seed {} of the profile {} was reported by `{}`: {}", .0.seed, .0.profile.name(), .0.oracle, .0.what)]
    OtherOracle(Sighting),
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
    /// The bench was stopped before there was an answer.
    #[error("stopped before it was seen")]
    Stopped,
    /// The copy does not build or run.
    #[error("the broken copy does not build or run: {0}")]
    Build(String),
}

impl Canary {
    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static Canary> {
        CANARIES.iter().find(|canary| canary.name == name)
    }

    /// Looks for a run that breaks a rule, and returns it if the expected oracle was the one to report it.
    ///
    /// # Errors
    /// Nothing was seen, another oracle was first, the broken copy can not be built, or the bench was stopped.
    pub fn fly(&self, bench: &Bench) -> Result<Sighting, CanaryError> {
        let seen = match self.how {
            Break::Rig(rig) => Sighting::look(rig, bench.stop()),
            Break::Core(replacements) => bench.probe(replacements)?,
        };
        match seen {
            None if bench.stop().load(Ordering::Relaxed) => Err(CanaryError::Stopped),
            None => Err(CanaryError::Unseen),
            Some(seen) if seen.oracle == self.oracle => Ok(seen),
            Some(seen) => Err(CanaryError::OtherOracle(seen)),
        }
    }

    /// The run of a sighting as a schedule.
    ///
    /// # Errors
    /// The broken copy can not be built or run.
    pub fn record(&self, bench: &Bench, seen: &Sighting) -> Result<Schedule, CanaryError> {
        match self.how {
            Break::Rig(rig) => Ok(recorded(rig, self.name, seen.seed, seen.profile)),
            Break::Core(replacements) => bench.record(replacements, self.name, seen),
        }
    }
}

/// The run of a seed as a schedule that says what has to be broken for it.
fn recorded(rig: &dyn Subject, name: &str, seed: u64, profile: Mix) -> Schedule {
    let (mut schedule, violation) = rig.record(seed, &Options::of(profile));
    schedule.notes.push(format!("seed {seed} of the profile {} with the canary {name}", profile.name()));
    schedule.notes.extend(violation.map(|violation| violation.to_string()));
    schedule.broken = Some(name.to_owned());
    schedule
}
