//! Exhaustive search: every order of deliveries, losses, crashes and timeouts of a small cluster within stated bounds, on the production
//! core.
//!
//! ```
//! use raft_sim::explore::{Bounds, Limits, explore};
//! use std::sync::atomic::AtomicBool;
//! let bounds = Bounds { nodes: 2, terms: 1, ..Bounds::default() };
//! let report = explore(bounds, Limits::default(), &AtomicBool::new(false), &mut |_| {}).unwrap();
//! assert!(report.finished && report.found.is_none());
//! ```
//!
//! A state is what the servers, their disks and the network are. Of states that differ only in names (servers exchanged, numbers counted from
//! elsewhere) one is looked at. What a finished space proves, and what it does not, is in `docs/exhaustive.md`.

mod book;
mod deeds;
mod names;
mod numbered;
mod parcel;
mod piece;
mod rules;
mod saved;
mod search;
mod server;
mod space;
mod state;
mod successor;
#[cfg(test)]
mod tests;
mod trace;
mod visited;
mod what;
mod words;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use self::book::Book;
use self::deeds::Deeds;
use self::saved::Place;
pub use self::saved::ResumeError;
use self::search::Search;
pub use self::space::{Bounds, BoundsError, ParseBoundsError};
use self::state::State;
use self::successor::Act;
use crate::schedule::Schedule;

/// How a search goes about it, and how far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Whether of states that differ in which server is which only one is looked at.
    pub symmetry: bool,
    /// Whether of two orders of actions at different servers only one is taken.
    pub reduction: bool,
    /// After how many states it ends unfinished.
    pub states: Option<u64>,
    /// At how many bytes of states it ends unfinished. What it knows of servers and packets is not counted.
    pub bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { symmetry: true, reduction: true, states: None, bytes: None }
    }
}

/// How far a search is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// How many states were met.
    pub states: u64,
    /// How many actions it is from the beginning to those it looks at.
    pub depth: u32,
    /// How many of these are still to be looked at.
    pub left: u64,
}

/// A run that breaks a rule. None of the same space is shorter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Whose rule it is.
    pub oracle: String,
    /// What was seen.
    pub what: String,
    /// How many choices it took; each is a few actions of a world.
    pub choices: u64,
    /// The run, for `replay`.
    pub schedule: Schedule,
}

/// What came of a search.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// How many different states were met, without those that are left out for others.
    pub states: u64,
    /// How many of them were in the file that the search went on from.
    pub met_before: u64,
    /// How many times an action has led to one.
    pub successors: u64,
    /// How many actions were left to another order of the same.
    pub skipped: u64,
    /// How many actions went beyond a bound.
    pub cut_off: u64,
    /// How many actions it is to the state that is farthest away.
    pub depth: u32,
    /// How many times the core was really run.
    pub steps: u64,
    /// How many different servers were met.
    pub servers: u64,
    /// How many different packets, snapshots under way, and reports of those.
    pub packets: u64,
    /// What was reached, in the states that were looked at.
    pub marks: Marks,
    /// Whether there is nothing more to be met.
    pub finished: bool,
    /// The rule that breaks, if one does.
    pub found: Option<Found>,
}

/// What has to be reached for a space to say something: each of these with the number of states in which it is so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Marks {
    counts: [u64; MARKS.len()],
}

const MARKS: [&str; 11] = [
    "a leader",
    "two leaders at once, of different terms",
    "two candidates of one term",
    "a committed entry",
    "a committed command of a client",
    "a leader after a commit in an earlier term",
    "a server has just gone down and come up, after a commit",
    "another configuration than the first in a log",
    "another configuration than the first committed",
    "a log that begins behind a snapshot",
    "the news that a snapshot has arrived",
];

impl Marks {
    /// `last` is the act by which the state was met first.
    fn note(&mut self, book: &Book, state: &State, last: Act) {
        let servers =
            || state.servers[..book.space.servers()].iter().map(|server| book.server_facts(*server));
        let leaders = servers().filter(|facts| facts.leads).count();
        let candidates = servers().filter(|facts| facts.campaigns);
        let terms: Vec<u8> = candidates.map(|facts| facts.term).collect();
        let same = terms.iter().enumerate().any(|(nth, term)| terms[..nth].contains(term));
        let committed = state.committed != 0;
        let later = servers().any(|facts| facts.leads && book.last_term(state.committed) < facts.term);
        let reached = [
            leaders != 0,
            1 < leaders,
            same,
            committed,
            book.has_command(state.committed),
            committed && later,
            committed && matches!(last, Act::Crash(..)),
            servers().any(|facts| book.is_changed(facts.log)),
            book.is_changed(state.committed),
            servers().any(|facts| book.is_behind_snapshot(facts.log)),
            state.packets().iter().any(|parcel| book.parcel_facts(*parcel).has_arrived),
        ];
        for (count, reached) in self.counts.iter_mut().zip(reached) {
            *count += u64::from(reached);
        }
    }

    /// Each with its name, and the number of states in which it is so.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        MARKS.into_iter().zip(self.counts)
    }
}

/// Looks at all states of a space, until it is finished, a rule is broken, a limit is reached, or `stop` is set. `watch` is told how far it is.
///
/// # Errors
/// There is no space with these bounds.
pub fn explore(
    bounds: Bounds,
    limits: Limits,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(Progress),
) -> Result<Report, BoundsError> {
    Ok(Search::new(bounds, limits)?.run(stop, watch))
}

/// Goes on with the search that `file` holds, if there is such a file, and else begins one. Where it ends unfinished, `file` holds it then, for
/// the next time; where the space is finished, the file is deleted; where a rule breaks, it stays as it was. What comes of it in the end is
/// what would have come of it at one go.
///
/// Nothing is written before the end; until it is whole, it is in a file beside this one, whose name ends with `.half`.
///
/// # Errors
/// There is no space with these bounds, or the file can not be read or written, or holds something else.
pub fn explore_resuming(
    bounds: Bounds,
    limits: Limits,
    file: &Path,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(Progress),
) -> Result<Report, ResumeError> {
    let mut search = Search::new(bounds, limits)?;
    // The place first: what is read is not written by another search meanwhile.
    let place = Place::open(file).map_err(|source| ResumeError::Write { source, report: None })?;
    if !saved::read(&mut search, file).inspect_err(|_| place.forget())? {
        search.book.deeds = Some(Deeds::default());
    }
    let met_before = search.states();
    let report = Report { met_before, ..search.run(stop, watch) };
    let written = if report.finished {
        place.finish()
    } else if report.found.is_some() {
        place.forget();
        Ok(())
    } else {
        place.write(&search)
    };
    match written {
        Ok(()) => Ok(report),
        Err(source) => Err(ResumeError::Write { source, report: Some(Box::new(report)) }),
    }
}
