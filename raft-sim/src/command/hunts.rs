//! `raft-sim canaries --exhaustive`: broken cores, each with the space in which all states are looked at until a rule breaks.

use std::path::Path;
use std::process::ExitCode;

use crate::canary::{Bench, Canary, CanaryError, Catch, Hunt, HuntError, STATES_UNBROKEN};
use crate::explore::{Bounds, Limits};

use super::VIOLATION;
use super::canaries::{Tried, tenths, unfinished, verdict};
use super::failure::{Failure, Out};
use super::stop::Stop;

/// Where canaries are looked for, and what becomes of them.
#[derive(Clone, Copy)]
pub(super) struct Hunts<'a> {
    pub(super) bench: &'a Bench,
    pub(super) save: Option<&'a Path>,
    pub(super) timing: bool,
}

impl Hunts<'_> {
    /// Looks for these canaries. With `copied` the unbroken core is that of a copy too, else that of this program.
    pub(super) fn execute(
        self,
        chosen: &[&Canary],
        copied: bool,
        out: &mut Out,
        stop: &Stop,
    ) -> Result<ExitCode, Failure> {
        if let Some(code) = self.unbroken(chosen, copied, out, stop)? {
            return Ok(code);
        }
        self.row(out, ["canary", "oracle"], ["actions", "states", "CPU s"], "space")?;
        let mut done = Tried::default();
        for canary in chosen {
            let bounds = canary.habitat().map_or_else(String::new, |habitat| habitat.bounds.to_string());
            match canary.hunt(self.bench) {
                Err(HuntError::Bench(CanaryError::Stopped)) => return unfinished(out, stop, done, canary),
                Ok((hunt, caught)) => {
                    self.keep(canary, &caught)?;
                    let (actions, states) = (caught.actions.to_string(), hunt.states.to_string());
                    let numbers = [actions.as_str(), &states, &tenths(hunt.cpu_ms)];
                    self.row(out, [canary.name, &caught.oracle], numbers, &bounds)?;
                }
                Err(error) => {
                    done.missed += 1;
                    let what = format!("{error}; {bounds}");
                    self.row(out, [canary.name, "-"], ["-"; 3], &what)?;
                }
            }
            done.tried += 1;
        }
        verdict(out, done)
    }

    /// What is not broken must break no rule in the same spaces. If it does, or that was stopped, the exit code.
    fn unbroken(
        self,
        chosen: &[&Canary],
        copied: bool,
        out: &mut Out,
        stop: &Stop,
    ) -> Result<Option<ExitCode>, Failure> {
        let limits = Limits { states: Some(STATES_UNBROKEN), ..Limits::default() };
        let mut spaces: Vec<Bounds> = Vec::new();
        for habitat in chosen.iter().filter_map(|canary| canary.habitat()) {
            if !spaces.contains(&habitat.bounds) {
                spaces.push(habitat.bounds);
            }
        }
        for bounds in spaces {
            let hunt = if copied {
                match self.bench.explore(&[], bounds, limits) {
                    Ok(hunt) => Some(hunt),
                    Err(CanaryError::Stopped) => None,
                    Err(error) => {
                        return Err(Failure::Bench { canary: "the unbroken copy".to_owned(), error });
                    }
                }
            } else {
                Some(Hunt::of(bounds, limits, stop.flag()).map_err(Failure::Bounds)?)
            };
            if let Some(Catch { oracle, .. }) = hunt.and_then(|hunt| hunt.found) {
                writeln!(out, "violated: the unbroken core breaks the rule of {oracle} in {bounds}")?;
                return Ok(Some(ExitCode::from(VIOLATION)));
            }
            if stop.is_set() {
                return unfinished(out, stop, Tried::default(), chosen[0]).map(Some);
            }
        }
        Ok(None)
    }

    /// Writes the run that shows it, if there is a folder for such files.
    fn keep(self, canary: &Canary, caught: &Catch) -> Result<(), Failure> {
        let Some(folder) = self.save else { return Ok(()) };
        let file = folder.join(format!("{}.shortest.schedule", canary.name));
        super::schedule::write(&caught.schedule, &file).map_err(Failure::write(&file))
    }

    fn row(
        self,
        out: &mut Out,
        [name, oracle]: [&str; 2],
        [actions, states, seconds]: [&str; 3],
        rest: &str,
    ) -> Result<(), Failure> {
        let seconds = if self.timing { format!("{seconds:>7}") } else { String::new() };
        writeln!(out, "{name:<26}{oracle:<21}{actions:>8}{states:>10}{seconds}  {rest}")?;
        // The next one takes a while.
        out.flush()
    }
}
