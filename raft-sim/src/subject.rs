//! What a schedule is run on: a rig, whichever it is, around the core that this program was built with.

use core::ops::ControlFlow;
use std::io::{self, Write};
use std::sync::atomic::AtomicBool;

use crate::campaign::{Seeds, Summary, campaign};
use crate::columns::Columns;
use crate::erased::Erased;
use crate::oracle::Violation;
use crate::picture::{Painter, Picture};
use crate::plan::Options;
use crate::replay::{Replayed, record, replay};
use crate::rig::Rig;
use crate::run::{Report, plan_for, run};
use crate::schedule::Schedule;
use crate::shrink::{Progress, ShrinkError, shrink};
use crate::transcript::Transcript;
use crate::until::Until;

/// A rig whose type does not matter.
pub trait Subject: Sync {
    /// The first run of a seed below `seeds` that breaks a rule, with these options; none either where `stop` was set before.
    fn find_until(&self, seeds: u64, options: &Options, stop: &AtomicBool) -> Option<Report>;

    /// The same, to the end.
    fn find(&self, seeds: u64, options: &Options) -> Option<Report> {
        self.find_until(seeds, options, &AtomicBool::new(false))
    }

    /// Runs many seeds, see [`campaign`].
    fn campaign(
        &self,
        seeds: Seeds,
        options: &Options,
        jobs: u32,
        stop: &AtomicBool,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Summary;

    /// Whether servers replicate a state machine of a user.
    fn has_own(&self) -> bool;

    /// Runs a seed and writes it down, one line an action, behind its plan; the last lines are what was counted, what was broken, and the
    /// digest. Once `stop` is set it ends, without such lines.
    ///
    /// # Errors
    /// What kept it from being written.
    fn tell_run(
        &self,
        seed: u64,
        options: &Options,
        out: &mut dyn Write,
        stop: &AtomicBool,
    ) -> io::Result<Report>;

    /// The schedule of a seed's run, see [`record`].
    fn record(&self, seed: u64, options: &Options) -> (Schedule, Option<Violation>);

    /// Runs a schedule.
    fn replay(&self, schedule: &Schedule) -> Replayed;

    /// Shortens a schedule, see [`shrink`].
    ///
    /// # Errors
    /// It does not do what it says.
    fn shrink(
        &self,
        schedule: &Schedule,
        watch: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Schedule, ShrinkError>;

    /// Runs a schedule and writes it down, one line an action, or with a column for every server; the last lines say what was
    /// broken, and the digest. Once `stop` is set it ends, without such lines.
    ///
    /// # Errors
    /// What kept it from being written.
    fn tell(
        &self,
        schedule: &Schedule,
        columns: bool,
        out: &mut dyn Write,
        stop: &AtomicBool,
    ) -> io::Result<Replayed>;

    /// Runs a seed and makes a picture of it; once `stop` is set, of what has happened until then.
    fn draw_run(&self, seed: u64, options: &Options, stop: &AtomicBool) -> (Picture, Report);

    /// Runs a schedule and makes a picture of it; once `stop` is set, of what has happened until then.
    fn draw(&self, schedule: &Schedule, stop: &AtomicBool) -> (Picture, Replayed);
}

impl<R: Rig + Sync> Subject for R {
    fn find_until(&self, seeds: u64, options: &Options, stop: &AtomicBool) -> Option<Report> {
        Erased::of(self).find_until(seeds, options, stop)
    }

    fn campaign(
        &self,
        seeds: Seeds,
        options: &Options,
        jobs: u32,
        stop: &AtomicBool,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Summary {
        Erased::of(self).campaign(seeds, options, jobs, stop, progress)
    }

    fn has_own(&self) -> bool {
        self.own().live().is_some()
    }

    fn tell_run(
        &self,
        seed: u64,
        options: &Options,
        out: &mut dyn Write,
        stop: &AtomicBool,
    ) -> io::Result<Report> {
        Erased::of(self).tell_run(seed, options, out, stop)
    }

    fn record(&self, seed: u64, options: &Options) -> (Schedule, Option<Violation>) {
        Erased::of(self).record(seed, options)
    }

    fn replay(&self, schedule: &Schedule) -> Replayed {
        Erased::of(self).replay(schedule)
    }

    fn shrink(
        &self,
        schedule: &Schedule,
        watch: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Schedule, ShrinkError> {
        Erased::of(self).shrink(schedule, watch)
    }

    fn tell(
        &self,
        schedule: &Schedule,
        columns: bool,
        out: &mut dyn Write,
        stop: &AtomicBool,
    ) -> io::Result<Replayed> {
        Erased::of(self).tell(schedule, columns, out, stop)
    }

    fn draw_run(&self, seed: u64, options: &Options, stop: &AtomicBool) -> (Picture, Report) {
        Erased::of(self).draw_run(seed, options, stop)
    }

    fn draw(&self, schedule: &Schedule, stop: &AtomicBool) -> (Picture, Replayed) {
        Erased::of(self).draw(schedule, stop)
    }
}

/// The same for all rigs, whose types are forgotten: compiled once.
impl Erased<'_> {
    fn find_until(&self, seeds: u64, options: &Options, stop: &AtomicBool) -> Option<Report> {
        let mut watch = Until::new(stop, ());
        let mut reports = (0..seeds).map(|seed| run(seed, options, self.clone(), &mut watch));
        reports.find(|report| report.violation.is_some() || report.stopped).filter(|report| !report.stopped)
    }

    fn campaign(
        &self,
        seeds: Seeds,
        options: &Options,
        jobs: u32,
        stop: &AtomicBool,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Summary {
        campaign(seeds, options, jobs, self, stop, progress)
    }

    fn tell_run(
        &self,
        seed: u64,
        options: &Options,
        out: &mut dyn Write,
        stop: &AtomicBool,
    ) -> io::Result<Report> {
        writeln!(out, "{}", plan_for(seed, options, self))?;
        let mut transcript = Until::new(stop, Transcript::timed(out));
        let report = run(seed, options, self.clone(), &mut transcript);
        transcript.into_inner().finish()?;
        if report.stopped {
            return Ok(report);
        }
        for (name, count) in report.counts.named() {
            writeln!(out, "# {name} {count}")?;
        }
        if let Some(violation) = &report.violation {
            writeln!(out, "violated {violation}")?;
        }
        writeln!(out, "digest {:016x}", report.digest)?;
        Ok(report)
    }

    fn record(&self, seed: u64, options: &Options) -> (Schedule, Option<Violation>) {
        record(seed, options, self)
    }

    fn replay(&self, schedule: &Schedule) -> Replayed {
        replay(schedule, self.clone(), &mut ())
    }

    fn shrink(
        &self,
        schedule: &Schedule,
        watch: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Schedule, ShrinkError> {
        shrink(schedule, self, watch)
    }

    fn tell(
        &self,
        schedule: &Schedule,
        columns: bool,
        out: &mut dyn Write,
        stop: &AtomicBool,
    ) -> io::Result<Replayed> {
        for note in &schedule.notes {
            writeln!(out, "# {note}")?;
        }
        let replayed = if columns {
            let mut columns = Until::new(stop, Columns::new(out, schedule.setup.hosts));
            let replayed = replay(schedule, self.clone(), &mut columns);
            columns.into_inner().finish()?;
            replayed
        } else {
            let mut transcript = Until::new(stop, Transcript::untimed(out));
            let replayed = replay(schedule, self.clone(), &mut transcript);
            transcript.into_inner().finish()?;
            replayed
        };
        if replayed.stopped {
            out.flush()?;
            return Ok(replayed);
        }
        if replayed.impossible != 0 {
            writeln!(out, "# {} actions could not happen and were passed over", replayed.impossible)?;
        }
        if let Some(violation) = &replayed.violation {
            writeln!(out, "violated {violation}")?;
        }
        writeln!(out, "digest {:016x}", replayed.digest)?;
        out.flush()?;
        Ok(replayed)
    }

    fn draw_run(&self, seed: u64, options: &Options, stop: &AtomicBool) -> (Picture, Report) {
        let plan = plan_for(seed, options, self).to_string();
        let notes = plan.lines().map(|line| line.trim_start_matches("# ").to_owned()).collect();
        let mut painter = Until::new(stop, Painter::of_seed(seed, notes));
        let report = run(seed, options, self.clone(), &mut painter);
        let picture = painter.into_inner().finish(report.violation.as_ref(), !report.stopped);
        (picture, report)
    }

    fn draw(&self, schedule: &Schedule, stop: &AtomicBool) -> (Picture, Replayed) {
        let mut painter = Until::new(stop, Painter::of_schedule(schedule));
        let replayed = replay(schedule, self.clone(), &mut painter);
        let picture = painter.into_inner().finish(replayed.violation.as_ref(), !replayed.stopped);
        (picture, replayed)
    }
}
