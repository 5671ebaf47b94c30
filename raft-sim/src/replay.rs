//! Running a [`Schedule`], and writing down the one of a run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::action::{Action, HostSet};
use crate::oracle::{PROGRESS, Violation};
use crate::plan::Options;
use crate::rig::Rig;
use crate::run::{of_panic, plan_for, run};
use crate::schedule::{Ending, Schedule};
use crate::scheduler::Watch;
use crate::settle::settle;
use crate::tally::Counts;
use crate::world::{Applied, Offers, World};

/// What came of running a schedule.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Replayed {
    /// The rule that broke, if one did; it ended there.
    pub violation: Option<Violation>,
    /// What happened.
    pub counts: Counts,
    /// The digest of all that happened.
    pub digest: u64,
    /// How many actions could not happen and were passed over.
    pub impossible: u64,
    /// Whether it ended before its end because whoever watched wanted to see no more. The rest is then that of a part.
    pub stopped: bool,
}

/// Lets one thing happen and tells `watch`.
pub(crate) fn act<R: Rig, W: Watch<R>>(
    world: &mut World<R>,
    watch: &mut W,
    moment: u64,
    action: Action,
) -> Result<Applied, Box<Violation>> {
    watch.begins(action);
    let outcome = world.apply(action);
    if !matches!(outcome, Ok(Applied::Impossible)) {
        watch.happened(moment, action, world);
    }
    outcome
}

/// Runs a schedule from its first action to its end, or to the first rule that breaks. A panic is a broken rule like any other.
pub fn replay<R: Rig, W: Watch<R>>(schedule: &Schedule, rig: R, watch: &mut W) -> Replayed {
    let mut replayed = Replayed::default();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(schedule.setup, rig)?;
        world.offer(&schedule.commands);
        let verdict = play(schedule, &mut world, watch, &mut replayed.impossible);
        (replayed.counts, replayed.digest) = (world.counts(), world.digest());
        verdict
    }));
    replayed.violation = match outcome {
        Ok(verdict) => verdict.err().map(|violation| *violation),
        Err(panic) => Some(of_panic(&*panic)),
    };
    replayed.stopped = replayed.violation.is_none() && watch.stops();
    replayed
}

fn play<R: Rig, W: Watch<R>>(
    schedule: &Schedule,
    world: &mut World<R>,
    watch: &mut W,
    impossible: &mut u64,
) -> Result<(), Box<Violation>> {
    watch.starts(world);
    for action in &schedule.actions {
        if watch.stops() {
            return Ok(());
        }
        let outcome = act(world, watch, 0, *action)?;
        *impossible += u64::from(outcome == Applied::Impossible);
    }
    finish(schedule.ending, world, watch)
}

/// What follows the last action, and in the end the history of the clients.
pub(crate) fn finish<R: Rig, W: Watch<R>>(
    ending: Ending,
    world: &mut World<R>,
    watch: &mut W,
) -> Result<(), Box<Violation>> {
    watch.ends(ending);
    match ending {
        Ending::Nothing => Ok(()),
        Ending::Settled(among) => settle(world, watch, among),
    }?;
    if watch.stops() {
        return Ok(());
    }
    watch.closes();
    world.judge_history()
}

/// Writes down every action, and how many of them came before the faults stopped.
#[derive(Default)]
struct Recorder {
    actions: Vec<Action>,
    commands: Offers,
    begun: Option<Action>,
}

impl<R: Rig> Watch<R> for Recorder {
    fn begins(&mut self, action: Action) {
        self.begun = Some(action);
    }

    fn happened(&mut self, _moment: u64, action: Action, world: &World<R>) {
        self.begun = None;
        self.actions.push(action);
        if let Action::Command { request, .. } = action
            && let Some(command) = world.offered(request)
        {
            self.commands.insert(request, command.clone());
        }
    }
}

/// The schedule of a seed's run, with what it broke; without notes and without the name of a canary.
///
/// A run that gets not well once its faults have stopped is cut off there where that can be, and then *settles*: so it can be
/// shortened, which the rest of it, action by action, could not.
pub fn record<R: Rig>(seed: u64, options: &Options, rig: &R) -> (Schedule, Option<Violation>) {
    let mut recorder = Recorder::default();
    let report = run(seed, options, rig.clone(), &mut recorder);
    // An action that a panic ended has not happened, but belongs to the run. What a command says is only known of one that has.
    let begun = recorder.begun.filter(|action| !matches!(action, Action::Command { .. }));
    recorder.actions.extend(begun.filter(|_| report.counts == Counts::default()));
    let expects = report.violation.as_ref().map(|violation| violation.oracle.to_owned());
    let setup = plan_for(seed, options, rig).setup;
    let mut schedule = Schedule {
        notes: Vec::new(),
        setup,
        broken: None,
        expects,
        ending: Ending::Nothing,
        shortened: None,
        commands: recorder.commands,
        actions: recorder.actions,
    };
    if schedule.expects.as_deref() == Some(PROGRESS)
        && let Some(settled) = settled(&schedule, rig)
    {
        schedule = settled;
    }
    (schedule, report.violation)
}

/// The schedule without what came after its faults had stopped, if it then does not get well either: in the clique that was left in
/// peace, in all machines, or in the first majority for which that holds.
fn settled<R: Rig>(schedule: &Schedule, rig: &R) -> Option<Schedule> {
    let hosts = schedule.setup.hosts;
    let all = (1 << hosts) - 1_u64;
    let (faulty, clique) =
        schedule.actions.iter().enumerate().rev().find_map(|(nth, action)| match action {
            Action::Watch { clique, for_good: true } => Some((nth, *clique)),
            _ => None,
        })?;
    let mut settled = Schedule { actions: schedule.actions[..faulty].to_vec(), ..schedule.clone() };
    // Beyond nine machines there are too many majorities to try.
    let few = if hosts <= 9 { 1 } else { all };
    let spares = schedule.setup.spares != 0;
    let majorities =
        (few..=all).rev().map(HostSet::of_bits).filter(|among| spares || u32::from(hosts) < 2 * among.len());
    [clique].into_iter().chain(majorities).find_map(|among| {
        settled.ending = Ending::Settled(among);
        let again = replay(&settled, rig.clone(), &mut ());
        again.violation.filter(|violation| violation.oracle == PROGRESS).map(|_| settled.clone())
    })
}
