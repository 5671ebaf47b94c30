//! `raft-sim run`: many seeds.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::failure::{Failure, Out, Target, open_folder};
use super::program::Program;
use super::report::{Found, Whole};
use super::stop::Stop;
use super::{RunOptions, VIOLATION, parse_range, parse_shard};
use crate::campaign::{Seeds, Summary};
use crate::cpu_time::cpu_time_ms;
use crate::tally::Counts;

/// How many of the runs that break a rule are written down.
const SAVED_MAX: usize = 10;

#[derive(Args)]
pub(super) struct Run {
    /// The seeds to run, `A..B` without B
    #[arg(long, value_parser = parse_range)]
    seeds: (u64, u64),
    /// Only every N-th seed, beginning with the I-th, counted from 1: `I/N`. The JSON report then holds every run, for `merge`
    #[arg(long, value_name = "I/N", value_parser = parse_shard)]
    shard: Option<(u64, u64)>,
    #[command(flatten)]
    options: RunOptions,
    /// How many threads; the output is the same with any number
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    jobs: u32,
    /// Write the report to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the runs that break a rule are written, each as a schedule; at most the first ten of them. Without it: here
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// Print also how many steps of nodes a second of CPU time did, and how much simulated time that was where a tick is a
    /// millisecond; those lines depend on the machine
    #[arg(long)]
    timing: bool,
    /// Print also how often every marked branch of the core was reached; from 1000 seeds on one that never was is a failure
    #[cfg(feature = "marks")]
    #[arg(long)]
    marks: bool,
}

/// From this many seeds on every marked branch of the core must have been reached.
#[cfg(feature = "marks")]
const SEEDS_THAT_MUST_MARK: u64 = 1000;

impl Run {
    pub(super) fn execute(
        &self,
        program: &Program<'_>,
        out: &mut Out,
        stop: &Stop,
    ) -> Result<ExitCode, Failure> {
        let (from, to) = self.seeds;
        let (nth, of) = self.shard.unwrap_or((1, 1));
        let seeds = Seeds { from, to, nth, of };
        if seeds.count() == 0 {
            return Err(Failure::EmptyShard { nth, of, count: to - from });
        }
        let json = self.json.as_deref().map(Target::open).transpose()?;
        self.save.as_deref().map_or(Ok(()), open_folder)?;
        let bar = ProgressBar::with_draw_target(Some(seeds.count()), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} runs, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let (began, cpu) = (Instant::now(), cpu_time_ms());
        let options = self.options.options();
        let progress = |done| bar.set_position(done);
        let summary = program.rig.campaign(seeds, &options, self.jobs, stop.flag(), &progress);
        bar.finish_and_clear();
        let spent = Spent::since(cpu, began);
        self.save_violations(program, &summary)?;
        let found = summary.violations.iter().enumerate().filter_map(|(nth, report)| {
            let file = (nth < SAVED_MAX).then(|| self.file_of(report.seed).display().to_string());
            Found::of(report, program, &self.options, file)
        });
        let found = found.collect();
        let rests = seeds.rest(&summary.runs).into_iter().collect();
        let whole = Whole { seeds, shard: self.shard, options: self.options, summary, found, rests };
        if let Some(json) = json {
            json.fill(&whole.json())?;
        }
        whole.print(out)?;
        let unmarked = self.unmarked(&whole.summary, out)?;
        if self.timing {
            spent.print(&whole.summary.counts, out)?;
        }
        if unmarked.is_empty() || whole.is_bad() {
            return whole.verdict(out, Some(stop));
        }
        writeln!(out, "too quiet: {} runs never reached: {}", whole.summary.seeds, unmarked.join("; "))?;
        Ok(ExitCode::from(VIOLATION))
    }

    fn folder(&self) -> &Path {
        self.save.as_deref().unwrap_or(Path::new("."))
    }

    fn file_of(&self, seed: u64) -> PathBuf {
        self.folder().join(format!("seed-{seed}.schedule"))
    }

    /// Runs what broke a rule once more and writes it down.
    fn save_violations(&self, program: &Program<'_>, summary: &Summary) -> Result<(), Failure> {
        for report in summary.violations.iter().take(SAVED_MAX) {
            let (mut schedule, violation) = program.rig.record(report.seed, &self.options.options());
            schedule.notes.push(format!("seed {}{}", report.seed, self.options.typed()));
            schedule.notes.extend(violation.map(|violation| violation.to_string()));
            let file = self.file_of(report.seed);
            super::schedule::write(&schedule, &file).map_err(Failure::write(&file))?;
        }
        Ok(())
    }

    /// Prints the marks, if that is asked for; those that were not reached though they must be.
    #[cfg(feature = "marks")]
    fn unmarked(&self, summary: &Summary, out: &mut Out) -> Result<Vec<&'static str>, Failure> {
        if !self.marks {
            return Ok(Vec::new());
        }
        for (name, count) in raft_core::marks::counts() {
            writeln!(out, "mark {count:>12}  {name}")?;
        }
        let enough = SEEDS_THAT_MUST_MARK <= summary.seeds && !summary.stopped;
        let missing = raft_core::marks::counts().filter(|(_, count)| enough && *count == 0);
        Ok(missing.map(|(name, _)| name).collect())
    }

    #[cfg(not(feature = "marks"))]
    fn unmarked(&self, _summary: &Summary, _out: &mut Out) -> Result<Vec<&'static str>, Failure> {
        Ok(Vec::new())
    }
}

/// How much time a campaign took.
struct Spent {
    ms: u64,
    of: &'static str,
}

impl Spent {
    /// CPU time, where the system says.
    fn since(cpu_before: Option<u64>, began: Instant) -> Self {
        match (cpu_before, cpu_time_ms()) {
            (Some(before), Some(after)) => Spent { ms: after.saturating_sub(before), of: "CPU" },
            _ => Spent { ms: began.elapsed().as_millis() as u64, of: "wall-clock" },
        }
    }

    fn print(&self, counts: &Counts, out: &mut Out) -> Result<(), Failure> {
        let Spent { ms, of } = self;
        let (ms, ticks) = ((*ms).max(1), counts.ticks);
        let steps_per_second = counts.steps.saturating_mul(1000) / ms;
        writeln!(out, "{:<14}{steps_per_second} node steps per {of} second", "speed")?;
        let (simulated, spent, times) = (seconds(ticks), seconds(ms), ticks / ms);
        writeln!(
            out,
            "{:<14}with a tick of 1 ms {simulated} s were simulated in {spent} {of} seconds: {times} times real time",
            "real time"
        )
    }
}

/// Milliseconds as seconds.
fn seconds(ms: u64) -> String {
    format!("{}.{:02}", ms / 1000, ms % 1000 / 10)
}
