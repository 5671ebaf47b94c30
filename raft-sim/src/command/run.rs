//! `raft-sim run`: many seeds.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use raft_sim::{Counts, Honest, Seeds, Summary, campaign, cpu_time_ms, record};

use super::report::{Found, Whole};
use super::{RunOptions, UNFINISHED, VIOLATION, parse_range, parse_shard};

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
    /// Where the runs that break a rule are written, each as a schedule; at most the first ten of them
    #[arg(long, value_name = "DIR", default_value = ".")]
    save: PathBuf,
    /// Print also how many steps of nodes a second of CPU time did; that line depends on the machine
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
    pub(super) fn execute(&self, stop: &AtomicBool) -> ExitCode {
        let (from, to) = self.seeds;
        let (nth, of) = self.shard.unwrap_or((1, 1));
        let seeds = Seeds { from, to, nth, of };
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(Some(seeds.count()), target);
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} runs, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let (began, cpu) = (Instant::now(), cpu_time_ms());
        let options = self.options.options();
        let summary = campaign(seeds, &options, self.jobs, &Honest, stop, &|done| bar.set_position(done));
        bar.finish_and_clear();
        let saved = self.save_violations(&summary);
        let found = summary.violations.iter().enumerate().filter_map(|(nth, report)| {
            let file = (nth < SAVED_MAX).then(|| self.file_of(report.seed).display().to_string());
            Found::of(report, &self.options, file)
        });
        let found = found.collect();
        let whole = Whole { seeds, shard: self.shard, options: self.options, summary, found };
        whole.print();
        let unmarked = self.unmarked(&whole.summary);
        if self.timing {
            print_timing(&whole.summary.counts, cpu, began);
        }
        if let Err(error) = saved {
            eprintln!("raft-sim: can not write to {}: {error}", self.save.display());
            return ExitCode::from(UNFINISHED);
        }
        if let Some(code) = whole.write_json(self.json.as_deref()) {
            return code;
        }
        if unmarked.is_empty() || whole.is_bad() {
            return whole.verdict();
        }
        println!("too quiet: {} runs never reached: {}", whole.summary.seeds, unmarked.join("; "));
        ExitCode::from(VIOLATION)
    }

    fn file_of(&self, seed: u64) -> PathBuf {
        self.save.join(format!("seed-{seed}.schedule"))
    }

    /// Runs what broke a rule once more and writes it down.
    fn save_violations(&self, summary: &Summary) -> std::io::Result<()> {
        for report in summary.violations.iter().take(SAVED_MAX) {
            let (mut schedule, violation) = record(report.seed, &self.options.options(), &Honest);
            schedule.notes.push(format!("seed {}{}", report.seed, self.options.typed()));
            schedule.notes.extend(violation.map(|violation| violation.to_string()));
            std::fs::create_dir_all(&self.save)?;
            super::schedule::write(&schedule, &self.file_of(report.seed))?;
        }
        Ok(())
    }

    /// Prints the marks, if that is asked for; those that were not reached though they must be.
    #[cfg(feature = "marks")]
    fn unmarked(&self, summary: &Summary) -> Vec<&'static str> {
        if !self.marks {
            return Vec::new();
        }
        for (name, count) in raft_core::marks::counts() {
            println!("mark {count:>12}  {name}");
        }
        let enough = SEEDS_THAT_MUST_MARK <= summary.seeds && !summary.stopped;
        let missing = raft_core::marks::counts().filter(|(_, count)| enough && *count == 0);
        missing.map(|(name, _)| name).collect()
    }

    #[cfg(not(feature = "marks"))]
    fn unmarked(&self, _summary: &Summary) -> Vec<&'static str> {
        Vec::new()
    }
}

fn print_timing(counts: &Counts, cpu_before: Option<u64>, began: Instant) {
    let (spent, of) = match (cpu_before, cpu_time_ms()) {
        (Some(before), Some(after)) => (after.saturating_sub(before), "CPU"),
        _ => (began.elapsed().as_millis() as u64, "wall-clock"),
    };
    let per_second = counts.steps.saturating_mul(1000) / spent.max(1);
    println!("{:<14}{per_second} node steps per {of} second", "speed");
}
