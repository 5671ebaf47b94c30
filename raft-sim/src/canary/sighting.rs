//! Where a canary is seen.

use core::fmt;
use core::str::FromStr;
use std::sync::atomic::AtomicBool;

use super::SEEDS;
use crate::cpu_time::cpu_time_ms;
use crate::plan::{Mix, Options};
use crate::subject::Subject;

/// The first run that broke a rule. As text its parts stand with tabs between them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sighting {
    /// Its seed.
    pub seed: u64,
    /// The faults that it drew from: the usual ones, or those of a swarm where the usual ones show nothing.
    pub profile: Mix,
    /// How much CPU time the search took in milliseconds, where the system says.
    pub cpu_ms: u64,
    /// The oracle that reported it.
    pub oracle: String,
    /// What it saw.
    pub what: String,
}

impl Sighting {
    /// Looks for the first until `stop` is set: all seeds with the usual faults, then all with those of a swarm, then all with
    /// changes of the configuration, then all with leases.
    pub(super) fn look(subject: &dyn Subject, stop: &AtomicBool) -> Option<Self> {
        let before = cpu_time_ms().unwrap_or(0);
        Mix::CLEAN.into_iter().find_map(|profile| {
            let report = subject.find_until(SEEDS, &Options::of(profile), stop)?;
            let violation = report.violation?;
            let cpu_ms = cpu_time_ms().unwrap_or(0).saturating_sub(before);
            let (oracle, what) = (violation.oracle.to_owned(), violation.what);
            Some(Sighting { seed: report.seed, profile, cpu_ms, oracle, what })
        })
    }
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sighting { seed, profile, cpu_ms, oracle, what } = self;
        write!(f, "{seed}\t{}\t{cpu_ms}\t{oracle}\t{what}", profile.name())
    }
}

/// A line that tells of no sighting.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a sighting")]
pub struct ParseSightingError;

impl FromStr for Sighting {
    type Err = ParseSightingError;

    fn from_str(line: &str) -> Result<Self, ParseSightingError> {
        let parts: Vec<&str> = line.splitn(5, '\t').collect();
        let [seed, profile, cpu_ms, oracle, what] = parts[..] else { return Err(ParseSightingError) };
        Ok(Sighting {
            seed: seed.parse().map_err(|_| ParseSightingError)?,
            profile: Mix::named(profile).ok_or(ParseSightingError)?,
            cpu_ms: cpu_ms.parse().map_err(|_| ParseSightingError)?,
            oracle: oracle.to_owned(),
            what: what.to_owned(),
        })
    }
}
