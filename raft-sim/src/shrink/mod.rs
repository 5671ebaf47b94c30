//! Shortening a schedule: parts are taken out as long as the same oracle still reports it.
//!
//! It goes through passes again and again, until none of them changes anything any more:
//!
//! ```text
//! kinds      all actions of a kind, everywhere or on one machine
//! servers    one machine or two, with all that happens there
//! settings   settings of the nodes, to plain values
//! chunks     delta debugging: half of the list, quarters, … single actions, from the end to the beginning
//! pairs      any two actions, once the list is short
//! values     ticks, commands, bytes; two ticks in a row become one; of a user's commands those that a new state machine draws
//! ```
//!
//! What an attempt passed over because it could not happen is gone with it, and so is what came after the report. There are no
//! random choices, so the same schedule always becomes the same. The whole state is the best schedule so far and the
//! [`Stage`], which stands in its head: whoever stops it can go on from the file, and gets what would have come out.

mod attempt;
mod simpler;

use core::ops::ControlFlow;
use std::collections::BTreeSet;

use bytes::Bytes;
use raft_core::Config;

use self::attempt::{Attempt, Planned, attempt};
use self::simpler::{hosts_of, renamed, simpler};
use crate::action::{Action, HostId, HostSet};
use crate::rig::Rig;
use crate::schedule::{Ending, Schedule, Shortened, Stage, settings};
use crate::world::Setup;

/// Why a schedule can not be shortened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ShrinkError {
    /// It expects nothing.
    #[error("it expects no oracle to report it")]
    NothingExpected,
    /// It does not do what it says.
    #[error("it expects a report of `{expected}`, but {}", match found {
        Some(oracle) => format!("`{oracle}` reports it"),
        None => "no rule is broken".to_owned(),
    })]
    NotBroken {
        /// What it expects.
        expected: String,
        /// What was first to report it, if anything was.
        found: Option<&'static str>,
    },
}

/// How far shortening is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// How many attempts were made.
    pub tried: u64,
    /// The best schedule so far, with the stage.
    pub best: &'a Schedule,
    /// Whether the last attempt made it better.
    pub better: bool,
}

/// The longest list of which any two actions are tried.
const PAIRS_MAX: u32 = 120;

/// What settings are tried to become: no limit matters, and elections take few ticks.
fn plain() -> Config {
    let limit = 1_000_000;
    Config {
        seed: 0,
        election_timeout_ticks: 10,
        heartbeat_ticks: 1,
        disk_stall_ticks: 1_000_000,
        pre_vote: false,
        dead_after_ticks: 0,
        command_bytes_max: 4096,
        tail_bytes_max: limit,
        terms_max: 1024,
        append_bytes_max: limit,
        append_entries_max: limit,
        in_flight_packets_max: 64,
        in_flight_bytes_max: limit,
        uncommitted_bytes_max: limit,
        proposals_max: 1000,
        reads_max: 1000,
        forward_ticks: 200,
        timer_ticks: 0,
        writes_outstanding_max: 16,
        apply_bytes_max: limit,
        fetch_bytes_max: limit,
        trailing_entries: 10_000,
        apply_before_durable: false,
    }
}

/// Shortens a schedule, or goes on with one that was begun. `watch` hears of every attempt, and can stop it.
///
/// # Errors
/// It does not do what it says, so there is nothing to shorten.
pub fn shrink<R: Rig>(
    schedule: &Schedule,
    rig: &R,
    watch: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<Schedule, ShrinkError> {
    let mut shrinking = Shrinking::begin(schedule, rig)?;
    while let Some(better) = shrinking.advance() {
        let progress = Progress { tried: shrinking.tried, best: &shrinking.best, better };
        if watch(progress).is_break() {
            break;
        }
    }
    Ok(shrinking.best)
}

/// A schedule that could take the place of the best one.
struct Candidate {
    schedule: Schedule,
    plan: Vec<Planned>,
}

struct Shrinking<'a, R: Rig> {
    rig: &'a R,
    /// The commands of a user's state machine that are tried in the place of others, the first ones first.
    simple: Vec<Bytes>,
    oracle: String,
    best: Schedule,
    /// The actions of `best`, with their hints.
    plan: Vec<Planned>,
    source: u64,
    stage: Stage,
    tried: u64,
}

/// What a pass has to say at a stage.
enum Next {
    /// Try this; then go to the one stage if it is better, and to the other if not.
    Try { candidate: Box<Candidate>, better: Stage, worse: Stage },
    /// Nothing is to be tried here; go on there.
    Skip(Stage),
    /// The pass is through.
    Done,
}

const PASSES: u32 = 6;

impl<'a, R: Rig> Shrinking<'a, R> {
    fn begin(schedule: &Schedule, rig: &'a R) -> Result<Self, ShrinkError> {
        let expected = schedule.expects.clone().ok_or(ShrinkError::NothingExpected)?;
        let plan: Vec<Planned> = schedule.actions.iter().copied().map(Planned::from).collect();
        let Attempt { oracle, happened } = attempt(schedule, &plan, rig);
        if oracle != Some(expected.as_str()) {
            return Err(ShrinkError::NotBroken { expected, found: oracle });
        }
        let begun = Shortened { source: schedule.digest(), stage: Some(Stage::default()) };
        let shortened = schedule.shortened.unwrap_or(begun);
        let mut shrinking = Shrinking {
            rig,
            simple: rig.own().simple(),
            oracle: expected,
            best: schedule.clone(),
            plan: Vec::new(),
            source: shortened.source,
            stage: shortened.stage.unwrap_or(Stage { pass: PASSES, ..Stage::default() }),
            tried: 0,
        };
        shrinking.accept(schedule.clone(), happened);
        shrinking.mark();
        Ok(shrinking)
    }

    fn accept(&mut self, schedule: Schedule, happened: Vec<Planned>) {
        self.best = schedule;
        self.best.actions = happened.iter().map(|planned| planned.action).collect();
        let request_of = |action: &Action| {
            if let Action::Command { request, .. } = action { Some(*request) } else { None }
        };
        let asked: BTreeSet<u64> = self.best.actions.iter().filter_map(request_of).collect();
        self.best.commands.retain(|request, _| asked.contains(request));
        self.plan = happened;
    }

    /// Writes the stage into the head of the best schedule.
    fn mark(&mut self) {
        let stage = (self.stage.pass < PASSES).then_some(self.stage);
        self.best.shortened = Some(Shortened { source: self.source, stage });
    }

    /// Makes one attempt; whether it was better. `None`: there is nothing left to try.
    fn advance(&mut self) -> Option<bool> {
        loop {
            if PASSES <= self.stage.pass {
                self.mark();
                return None;
            }
            match self.next() {
                Next::Skip(stage) => self.stage = stage,
                Next::Done => {
                    let Stage { round, pass, changed, .. } = self.stage;
                    let next = Stage { round, pass: pass + 1, changed, ..Stage::default() };
                    let again = Stage { round: round + 1, ..Stage::default() };
                    self.stage = if pass + 1 == PASSES && changed { again } else { next };
                }
                Next::Try { candidate, better, worse } => {
                    self.tried += 1;
                    let Candidate { schedule, plan } = *candidate;
                    let attempt = attempt(&schedule, &plan, self.rig);
                    let is_better = attempt.oracle == Some(self.oracle.as_str());
                    if is_better {
                        self.accept(schedule, attempt.happened);
                        self.stage = Stage { changed: true, ..better };
                    } else {
                        self.stage = worse;
                    }
                    self.mark();
                    return Some(is_better);
                }
            }
        }
    }

    fn next(&self) -> Next {
        match self.stage.pass {
            0 => self.kinds(),
            1 => self.servers(),
            2 => self.settings(),
            3 => self.chunks(),
            4 => self.pairs(),
            _ => self.values(),
        }
    }

    fn keeping(&self, keep: impl Fn(usize, Action) -> bool) -> Candidate {
        let kept = self.plan.iter().enumerate().filter(|(nth, planned)| keep(*nth, planned.action));
        // The list of the candidate is its plan; that of its schedule is filled in once it is accepted.
        Candidate { schedule: self.without_actions(), plan: kept.map(|(_, planned)| *planned).collect() }
    }

    /// The head of the best schedule.
    fn without_actions(&self) -> Schedule {
        let Schedule { notes, setup, broken, expects, ending, shortened, commands, actions: _ } = &self.best;
        Schedule {
            notes: notes.clone(),
            setup: *setup,
            broken: broken.clone(),
            expects: expects.clone(),
            ending: *ending,
            shortened: *shortened,
            commands: commands.clone(),
            actions: Vec::new(),
        }
    }

    fn kinds(&self) -> Next {
        let stage = self.stage;
        let hosts = u32::from(self.best.setup.hosts);
        let kind = |action: Action| action.words()[0];
        let last = self.plan.iter().map(|planned| kind(planned.action)).max().unwrap_or(0);
        let (wanted, on) = (u64::from(stage.at / (hosts + 1)) + 1, stage.at % (hosts + 1));
        if last < wanted {
            return Next::Done;
        }
        let on = (on != 0).then(|| HostId::at(on as usize - 1));
        let candidate = self.keeping(|_, action| {
            kind(action) != wanted || on.is_some_and(|host| !hosts_of(action).contains(host))
        });
        let next = Stage { at: stage.at + 1, ..stage };
        if candidate.plan.len() == self.plan.len() {
            return Next::Skip(next);
        }
        Next::Try { candidate: Box::new(candidate), better: next, worse: next }
    }

    /// `at` names the machines; with `size` 1 all long ticks are as long as an election may need, because under its new number a
    /// machine may have to wait longer.
    fn servers(&self) -> Next {
        let stage = self.stage;
        let hosts = usize::from(self.best.setup.hosts);
        let (one, other) = (stage.at as usize / hosts, stage.at as usize % hosts);
        if hosts <= one {
            return Next::Done;
        }
        let next = Stage { at: stage.at + 1, size: 0, ..stage };
        let gone = HostSet::EMPTY.with(HostId::at(one)).with(HostId::at(other));
        if other < one || hosts <= gone.len() as usize {
            return Next::Skip(next);
        }
        let stretched = stage.size == 1;
        let candidate = Box::new(self.without_servers(gone, stretched));
        // With fewer machines the rest of them is numbered anew.
        let better = Stage { at: 0, size: 0, ..stage };
        let worse = if stretched { next } else { Stage { size: 1, ..stage } };
        Next::Try { candidate, better, worse }
    }

    fn without_servers(&self, gone: HostSet, stretched: bool) -> Candidate {
        let hosts_before = usize::from(self.best.setup.hosts);
        let hosts = (0..hosts_before).map(HostId::at);
        let kept: Vec<HostId> = hosts.filter(|host| !gone.contains(*host)).collect();
        let mut name = |host: HostId| kept.iter().position(|other| *other == host).map(HostId::at);
        let mut schedule = self.without_actions();
        let spare = |host: &HostId| hosts_before - usize::from(schedule.setup.spares) <= host.nth();
        let spares = kept.iter().filter(|host| spare(host)).count();
        schedule.setup.hosts = kept.len() as u8;
        // Somebody has to found the cluster.
        schedule.setup.spares = spares.min(kept.len() - 1) as u8;
        if let Ending::Settled(among) = schedule.ending {
            schedule.ending = Ending::Settled(among.iter().filter_map(&mut name).collect());
        }
        let timeout = schedule.setup.config.election_timeout_ticks;
        let plan = self.plan.iter().filter_map(|planned| {
            let mut action = renamed(planned.action, &mut name)?;
            if let Action::Tick { elapsed, .. } = &mut action
                && stretched
                && timeout / 2 < *elapsed
            {
                *elapsed = (*elapsed).max(timeout.saturating_mul(2));
            }
            Some(Planned { action, ..*planned })
        });
        Candidate { plan: plan.collect(), schedule }
    }

    fn settings(&self) -> Next {
        let stage = self.stage;
        let setup = self.best.setup;
        let mut setups: Vec<_> = settings::plainer(&setup.config, &plain())
            .into_iter()
            .filter(|config| config.check().is_ok())
            .map(|config| Setup { config, ..setup })
            .collect();
        if !setup.durable_machines && !setup.config.apply_before_durable {
            setups.push(Setup { durable_machines: true, ..setup });
        }
        if setup.leases.is_some() {
            setups.insert(0, Setup { leases: None, ..setup });
        }
        let Some(setup) = setups.get(stage.at as usize) else { return Next::Done };
        let mut candidate = self.keeping(|_, _| true);
        candidate.schedule.setup = *setup;
        Next::Try {
            candidate: Box::new(candidate),
            better: stage,
            worse: Stage { at: stage.at + 1, ..stage },
        }
    }

    /// `at` counts from the end, so that it stays when the list gets shorter.
    fn chunks(&self) -> Next {
        let stage = self.stage;
        let len = self.plan.len() as u32;
        let size = if stage.size == 0 { (len / 2).max(1) } else { stage.size };
        let stage = Stage { size, ..stage };
        if len <= stage.at {
            let smaller = Stage { size: size / 2, at: 0, ..stage };
            return if size <= 1 { Next::Done } else { Next::Skip(smaller) };
        }
        let end = len - stage.at;
        let gone = end.saturating_sub(size) as usize..end as usize;
        let candidate = self.keeping(|nth, _| !gone.contains(&nth));
        Next::Try {
            candidate: Box::new(candidate),
            better: stage,
            worse: Stage { at: stage.at + size, ..stage },
        }
    }

    /// `size` is the place of the first, `at` how far behind it the second is.
    fn pairs(&self) -> Next {
        let stage = self.stage;
        let len = self.plan.len() as u32;
        if PAIRS_MAX < len || len <= stage.size + 1 {
            return Next::Done;
        }
        let (first, second) = (stage.size, stage.size + 1 + stage.at);
        if len <= second {
            return Next::Skip(Stage { size: first + 1, at: 0, ..stage });
        }
        let candidate = self.keeping(|nth, _| nth != first as usize && nth != second as usize);
        Next::Try {
            candidate: Box::new(candidate),
            better: stage,
            worse: Stage { at: stage.at + 1, ..stage },
        }
    }

    /// `at` is the place of the action, `size` which of its simpler forms is tried.
    fn values(&self) -> Next {
        let stage = self.stage;
        let place = stage.at as usize;
        if self.plan.len() <= place {
            return Next::Done;
        }
        let next = Stage { at: stage.at + 1, size: 0, ..stage };
        let worse = Stage { size: stage.size + 1, ..stage };
        let better = Stage { size: 0, ..stage };
        let candidate = match stage.size.checked_sub(1) {
            None => match self.joined(place) {
                Some(candidate) => candidate,
                None => return Next::Skip(worse),
            },
            Some(nth) => match self.simplified(place, nth as usize) {
                Some(candidate) => candidate,
                None => return Next::Skip(next),
            },
        };
        Next::Try { candidate: Box::new(candidate), better, worse }
    }

    /// With the how-manieth simpler form of an action. A command of a user's state machine becomes one of those that stand for all, and
    /// never one that stands behind it among them: so this comes to an end.
    fn simplified(&self, place: usize, nth: usize) -> Option<Candidate> {
        let planned = self.plan[place];
        let mut candidate = self.keeping(|_, _| true);
        if let Action::Command { request, .. } = planned.action {
            let says = self.best.commands.get(&request)?;
            let simple = self.simple.get(nth).filter(|_| !self.simple[..=nth].contains(says))?;
            candidate.schedule.commands.insert(request, simple.clone());
        } else {
            let action = *simpler(planned.action).get(nth)?;
            candidate.plan[place] = Planned { action, ..planned };
        }
        Some(candidate)
    }

    /// A tick takes in the next one of the same machine, before which the node makes no step.
    fn joined(&self, place: usize) -> Option<Candidate> {
        let Action::Tick { host, elapsed } = self.plan[place].action else { return None };
        let behind = self.plan[place + 1..].iter().enumerate();
        let (nth, more) = behind
            .map_while(|(nth, planned)| match planned.action {
                Action::Step { host: other, .. } | Action::Crash { host: other, .. } if other == host => None,
                Action::Tick { host: other, elapsed } if other == host => Some(Some((nth, elapsed))),
                _ => Some(None),
            })
            .flatten()
            .next()?;
        let gone = place + 1 + nth;
        let mut candidate = self.keeping(|nth, _| nth != gone);
        let elapsed = elapsed.checked_add(more)?;
        candidate.plan[place] = Planned::from(Action::Tick { host, elapsed });
        Some(candidate)
    }
}
