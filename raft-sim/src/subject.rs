//! What a schedule is run on: a rig, whichever it is, around the core that this program was built with.

use core::ops::ControlFlow;
use std::io::{self, Write};

use crate::columns::Columns;
use crate::oracle::Violation;
use crate::plan::Options;
use crate::replay::{Replayed, record, replay};
use crate::rig::Rig;
use crate::run::{Report, run};
use crate::schedule::Schedule;
use crate::shrink::{Progress, ShrinkError, shrink};
use crate::transcript::Transcript;

/// A rig whose type does not matter.
pub trait Subject: Sync {
    /// The first run of a seed below `seeds` that breaks a rule, with these options.
    fn find(&self, seeds: u64, options: &Options) -> Option<Report>;

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
    /// broken, and the digest.
    ///
    /// # Errors
    /// What kept it from being written.
    fn tell(&self, schedule: &Schedule, columns: bool, out: &mut dyn Write) -> io::Result<Replayed>;
}

impl<R: Rig + Sync> Subject for R {
    fn find(&self, seeds: u64, options: &Options) -> Option<Report> {
        let reports = (0..seeds).map(|seed| run(seed, options, self.clone(), &mut ()));
        reports.into_iter().find(|report| report.violation.is_some())
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

    fn tell(&self, schedule: &Schedule, columns: bool, out: &mut dyn Write) -> io::Result<Replayed> {
        for note in &schedule.notes {
            writeln!(out, "# {note}")?;
        }
        let replayed = if columns {
            let mut columns = Columns::new(out, schedule.setup.hosts);
            let replayed = replay(schedule, self.clone(), &mut columns);
            columns.finish()?;
            replayed
        } else {
            let mut transcript = Transcript::untimed(out);
            let replayed = replay(schedule, self.clone(), &mut transcript);
            transcript.finish()?;
            replayed
        };
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
}
