//! Canaries that are found by looking at all states of a small cluster: in which space, and by which of the rules of a search.
//!
//! What a search says it must prove: the run that it gives has to break a rule in a [`World`](crate::World) too, and where a space is small,
//! searches without symmetry and reduction have to give runs of the same length.

use core::fmt;
use core::str::FromStr;
use std::sync::atomic::AtomicBool;

use super::{Bench, Break, Canary, CanaryError};
use crate::cpu_time::cpu_time_ms;
use crate::explore::{Bounds, BoundsError, Limits, explore};
use crate::replay::replay;
use crate::rig::Honest;
use crate::schedule::Schedule;

/// The most states in which a canary is looked for.
pub const STATES_MAX: u64 = 40_000_000;

/// Up to how many states a search is repeated without symmetry, without reduction, and without both.
pub const STATES_COMPARED_MAX: u64 = 200_000;

/// In how many states of each of these spaces the unbroken core is looked at.
pub const STATES_UNBROKEN: u64 = 1_000_000;

/// A space in which a canary must be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Habitat {
    /// The name of the canary.
    pub canary: &'static str,
    /// The space.
    pub bounds: Bounds,
    /// The rule that breaks first. It may be another than at random: a search sees states, and oracles see runs.
    pub oracle: &'static str,
}

/// A run that a search has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Catch {
    /// Whose rule it is.
    pub oracle: String,
    /// The oracle that reports the same run in a world; `None` if none does.
    pub world: Option<String>,
    /// How many choices it took.
    pub actions: u64,
    /// The run, as one that expects what the world says.
    pub schedule: Schedule,
}

/// What came of a search. As text it is a line with tabs between its parts, and the run that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hunt {
    /// How many states were met.
    pub states: u64,
    /// How much CPU time that took in milliseconds, where the system says.
    pub cpu_ms: u64,
    /// Whether there is nothing more to be met.
    pub finished: bool,
    /// The run that breaks a rule, if one does.
    pub found: Option<Catch>,
}

/// Why a canary was not found as it must be.
#[derive(Debug, thiserror::Error)]
pub enum HuntError {
    /// It is not in the table.
    #[error("no space is known for it")]
    Homeless,
    /// No run of the space breaks a rule.
    #[error("not found among {states} states, {}", if *finished { "which are all" } else { "which are not all" })]
    NotFound {
        /// How many states there are, or were looked at.
        states: u64,
        /// Whether these are all.
        finished: bool,
    },
    /// Another rule was the first to break.
    #[error("found by the rule of `{0}`")]
    OtherOracle(String),
    /// No oracle sees it in a world.
    #[error("the run that was found breaks no rule in a world")]
    Harmless,
    /// A search that leaves out less has found a shorter or a longer run.
    #[error("found after {actions} actions, but after {other:?} {how}")]
    OtherLength {
        /// How many actions it takes.
        actions: u64,
        /// How many the other search says it takes.
        other: Option<u64>,
        /// What the other search did without.
        how: &'static str,
    },
    /// The broken copy can not be built or run, or the bench was stopped.
    #[error("{0}")]
    Bench(#[from] CanaryError),
}

impl Hunt {
    /// Searches a space with the core that this program was built with. A run that is found is replayed in a world.
    ///
    /// # Errors
    /// There is no space with these bounds.
    pub fn of(bounds: Bounds, limits: Limits, stop: &AtomicBool) -> Result<Self, BoundsError> {
        let before = cpu_time_ms().unwrap_or(0);
        let report = explore(bounds, limits, stop, &mut |_| {})?;
        let cpu_ms = cpu_time_ms().unwrap_or(0).saturating_sub(before);
        let found = report.found.map(|found| {
            let mut schedule = found.schedule;
            let violation = replay(&schedule, Honest, &mut ()).violation;
            let world = violation.map(|violation| violation.oracle.to_owned());
            schedule.expects.clone_from(&world);
            Catch { oracle: found.oracle, world, actions: found.choices, schedule }
        });
        Ok(Hunt { states: report.states, cpu_ms, finished: report.finished, found })
    }
}

impl fmt::Display for Hunt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hunt { states, cpu_ms, finished, found } = self;
        write!(f, "{states}\t{cpu_ms}\t{finished}")?;
        if let Some(Catch { oracle, world, actions, schedule }) = found {
            write!(f, "\t{actions}\t{oracle}\t{}\n{schedule}", world.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }
}

/// A text that tells of no search.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a search")]
pub struct ParseHuntError;

impl FromStr for Hunt {
    type Err = ParseHuntError;

    fn from_str(text: &str) -> Result<Self, ParseHuntError> {
        fn number<T: FromStr>(part: &str) -> Result<T, ParseHuntError> {
            part.parse().map_err(|_| ParseHuntError)
        }
        let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
        let parts: Vec<&str> = line.split('\t').collect();
        let (&[states, cpu_ms, finished], found) = parts.split_first_chunk().ok_or(ParseHuntError)?;
        let found = match *found {
            [] => None,
            [actions, oracle, world] => Some(Catch {
                oracle: oracle.to_owned(),
                world: (!world.is_empty()).then(|| world.to_owned()),
                actions: number(actions)?,
                schedule: number(rest)?,
            }),
            _ => return Err(ParseHuntError),
        };
        Ok(Hunt { states: number(states)?, cpu_ms: number(cpu_ms)?, finished: number(finished)?, found })
    }
}

impl Canary {
    /// The space in which it must be found, if it fits into one.
    pub fn habitat(&self) -> Option<&'static Habitat> {
        super::HABITATS.iter().find(|habitat| habitat.canary == self.name)
    }

    /// Searches its space, and returns what was found if that is as it must be; see [`HuntError`].
    ///
    /// # Errors
    /// It was not found as it must be, the broken copy can not be built, or the bench was stopped.
    pub fn hunt(&self, bench: &Bench) -> Result<(Hunt, Catch), HuntError> {
        let (Some(habitat), Break::Core(replacements)) = (self.habitat(), self.how) else {
            return Err(HuntError::Homeless);
        };
        let search = |symmetry, reduction| {
            let limits = Limits { symmetry, reduction, states: Some(STATES_MAX), bytes: None };
            bench.explore(replacements, habitat.bounds, limits)
        };
        let hunt = search(true, true)?;
        let mut caught = habitat.judge(&hunt)?;
        if hunt.states <= STATES_COMPARED_MAX {
            for (symmetry, reduction, how) in LEAVING_OUT_LESS {
                caught.is_as_short_as(&search(symmetry, reduction)?, how)?;
            }
        }
        // In front of what the search says, since the first note is the heading of a picture.
        let note = format!("the canary {}, by a shortest run of the space {}", self.name, habitat.bounds);
        caught.schedule.notes.insert(0, note);
        caught.schedule.broken = Some(self.name.to_owned());
        Ok((hunt, caught))
    }
}

/// With symmetry, with reduction, and what that is called.
const LEAVING_OUT_LESS: [(bool, bool, &str); 3] = [
    (false, true, "without symmetry"),
    (true, false, "without reduction"),
    (false, false, "without symmetry and reduction"),
];

impl Habitat {
    /// What a search of it has found, if that is as it must be.
    fn judge(&self, hunt: &Hunt) -> Result<Catch, HuntError> {
        let Hunt { states, finished, .. } = *hunt;
        let caught = hunt.found.clone().ok_or(HuntError::NotFound { states, finished })?;
        if caught.oracle != self.oracle {
            return Err(HuntError::OtherOracle(caught.oracle));
        }
        if caught.world.is_none() {
            return Err(HuntError::Harmless);
        }
        Ok(caught)
    }
}

impl Catch {
    /// Whether another search of the same space has found something as short. It may be another rule that breaks there: of equally short
    /// runs each search meets another one first.
    fn is_as_short_as(&self, hunt: &Hunt, how: &'static str) -> Result<(), HuntError> {
        let (actions, other) = (self.actions, hunt.found.as_ref().map(|found| found.actions));
        if other == Some(actions) { Ok(()) } else { Err(HuntError::OtherLength { actions, other, how }) }
    }
}

/// How a search is told on a command line what to leave out.
pub(super) const fn word_of(limits: Limits) -> &'static str {
    match (limits.symmetry, limits.reduction) {
        (true, true) => "both",
        (true, false) => "symmetry",
        (false, true) => "reduction",
        (false, false) => "neither",
    }
}

/// The other way.
pub(super) fn limits_of(word: &str, states: u64) -> Option<Limits> {
    let ways = [(true, true), (true, false), (false, true), (false, false)];
    let all =
        ways.map(|(symmetry, reduction)| Limits { symmetry, reduction, states: Some(states), bytes: None });
    all.into_iter().find(|limits| word_of(*limits) == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Ending;
    use crate::world::Offers;

    const HABITAT: Habitat = Habitat {
        canary: "vote-twice",
        bounds: Bounds { nodes: 2, terms: 1, entries: 0, messages: 2, ..HERE },
        oracle: "monotone",
    };
    const HERE: Bounds = Bounds {
        nodes: 3,
        terms: 2,
        entries: 1,
        messages: 3,
        heartbeats: Some(1),
        crashes: 0,
        drops: 2,
        duplicates: 0,
        changes: 3,
        snapshots: 0,
        syncs: true,
        pre_vote: false,
        patient: false,
    };

    /// A search that has found something.
    fn found() -> Hunt {
        let mut hunt = Hunt::of(HABITAT.bounds, Limits::default(), &AtomicBool::new(false)).unwrap();
        assert!(hunt.finished && hunt.found.is_none(), "the core is not broken");
        let schedule = Schedule {
            notes: vec!["found".to_owned()],
            setup: crate::run::plan(0, &crate::plan::Options::default()).setup,
            broken: None,
            expects: Some("votes".to_owned()),
            ending: Ending::Nothing,
            shortened: None,
            commands: Offers::new(),
            actions: Vec::new(),
        };
        let (oracle, world) = ("monotone".to_owned(), Some("votes".to_owned()));
        hunt.found = Some(Catch { oracle, world, actions: 7, schedule });
        hunt
    }

    #[test]
    fn searches_are_read_as_they_were_written() {
        let found = found();
        let nothing = Hunt { found: None, ..found.clone() };
        let mut harmless = found.clone();
        harmless.found.as_mut().unwrap().world = None;
        for hunt in [found, nothing, harmless] {
            assert_eq!(hunt.to_string().parse(), Ok(hunt));
        }
        for text in ["", "1\t2", "1\t2\tyes", "1\t2\ttrue\t7", "1\t2\ttrue\t7\tvotes\tvotes\nno schedule"] {
            assert_eq!(text.parse::<Hunt>(), Err(ParseHuntError), "{text:?}");
        }
    }

    #[test]
    fn ways_to_search_have_words() {
        for (symmetry, reduction) in [(true, true), (true, false), (false, true), (false, false)] {
            let limits = Limits { symmetry, reduction, states: Some(5), bytes: None };
            assert_eq!(limits_of(word_of(limits), 5), Some(limits));
        }
        assert_eq!(limits_of("all", 5), None);
    }

    /// Goal: a canary that is not found as it must be is a failure. Method: all that can be wrong with what a search says.
    #[test]
    fn what_is_not_found_as_it_must_be_is_refused() {
        let hunt = found();
        let caught = HABITAT.judge(&hunt).unwrap();
        assert!(caught.is_as_short_as(&hunt, "").is_ok());
        let with = |change: fn(&mut Catch)| {
            let mut other = hunt.clone();
            change(other.found.as_mut().unwrap());
            other
        };
        let nothing = Hunt { found: None, ..hunt.clone() };
        assert!(matches!(HABITAT.judge(&nothing), Err(HuntError::NotFound { finished: true, .. })));
        let other = with(|caught| caught.oracle = "health".to_owned());
        assert!(matches!(HABITAT.judge(&other), Err(HuntError::OtherOracle(_))));
        let harmless = with(|caught| caught.world = None);
        assert!(matches!(HABITAT.judge(&harmless), Err(HuntError::Harmless)));
        for other in [nothing, with(|caught| caught.actions = 8), with(|caught| caught.actions = 6)] {
            assert!(matches!(caught.is_as_short_as(&other, ""), Err(HuntError::OtherLength { .. })));
        }
    }

    #[test]
    fn bounds_are_read_as_they_were_written() {
        for bounds in [HERE, HABITAT.bounds, Bounds { heartbeats: None, pre_vote: true, ..HERE }] {
            assert_eq!(bounds.to_string().parse(), Ok(bounds));
        }
        for text in ["--nodes", "--nodes x", "nodes 2", "--sync"] {
            assert!(text.parse::<Bounds>().is_err(), "{text}");
        }
    }
}
