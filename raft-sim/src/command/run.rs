//! `raft-sim run`: many seeds.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use raft_sim::{Counts, Honest, Report, Summary, campaign, cpu_time_ms, record};
use serde_json::{Value, json};

use super::{RunOptions, UNFINISHED, VIOLATION, parse_range};

/// From this many seeds on a count of zero is a failure: a simulator in which nothing happens proves nothing.
const SEEDS_THAT_MUST_SHOW: u64 = 100;

/// How many of the runs that break a rule are written down.
const SAVED_MAX: usize = 10;

#[derive(Args)]
pub(super) struct Run {
    /// The seeds to run, `A..B` without B
    #[arg(long, value_parser = parse_range)]
    seeds: (u64, u64),
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
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(Some(to - from), target);
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} runs, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let (began, cpu) = (Instant::now(), cpu_time_ms());
        let options = self.options.options();
        let summary =
            campaign(self.seeds, &options, self.jobs, &Honest, stop, &|done| bar.set_position(done));
        bar.finish_and_clear();
        let quiet = self.quiet_counts(&summary);
        self.print(&summary);
        let unmarked = self.unmarked(&summary);
        if self.timing {
            print_timing(&summary.counts, cpu, began);
        }
        if let Some(file) = &self.json {
            let text = format!("{:#}\n", self.to_json(&summary, &quiet));
            if let Err(error) = std::fs::write(file, text) {
                eprintln!("raft-sim: can not write {}: {error}", file.display());
                return ExitCode::from(UNFINISHED);
            }
        }
        let runs = summary.seeds;
        if let Err(error) = self.save_violations(&summary) {
            eprintln!("raft-sim: can not write to {}: {error}", self.save.display());
            return ExitCode::from(UNFINISHED);
        }
        if !summary.violations.is_empty() {
            let files = self.file_of(summary.violations[0].seed);
            let count = summary.violations.len();
            println!("violated: {count} of {runs} runs broke a rule; see {}", files.display());
            ExitCode::from(VIOLATION)
        } else if summary.stopped {
            println!("unfinished: {runs} of {} runs, all clean", to - from);
            ExitCode::from(UNFINISHED)
        } else if !quiet.is_empty() {
            println!("too quiet: {runs} runs without any {}", quiet.join(" or "));
            ExitCode::from(VIOLATION)
        } else if !unmarked.is_empty() {
            println!("too quiet: {runs} runs never reached: {}", unmarked.join("; "));
            ExitCode::from(VIOLATION)
        } else {
            println!("clean: {runs} runs");
            ExitCode::SUCCESS
        }
    }

    /// The counts that are zero though they must not be. In a cluster of one or two no log is ever cut off: the only other
    /// server's vote, or its absence, always decides for the longer log.
    fn quiet_counts(&self, summary: &Summary) -> Vec<&'static str> {
        let Counts { elections, commits, crashes, truncations, lost_writes, .. } = summary.counts;
        let cuts = if self.options.nodes.is_some_and(|nodes| nodes < 3) { 1 } else { truncations };
        let counts = [
            ("elections", elections),
            ("commits", commits),
            ("crashes", crashes),
            ("truncations", cuts),
            ("lost writes", lost_writes),
        ];
        let enough = SEEDS_THAT_MUST_SHOW <= summary.seeds && !summary.stopped;
        counts.iter().filter(|(_, count)| enough && *count == 0).map(|(name, _)| *name).collect()
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
    #[allow(clippy::unused_self)]
    fn unmarked(&self, _summary: &Summary) -> Vec<&'static str> {
        Vec::new()
    }

    fn replay_command(&self, seed: u64) -> String {
        format!("raft-sim replay --seed {seed}{}", self.options.typed())
    }

    fn print(&self, summary: &Summary) {
        println!("{:<14}{}..{}", "seeds", self.seeds.0, self.seeds.1);
        for (name, count) in summary.counts.named() {
            println!("{:<14}{count}", name.replace('_', " "));
        }
        let Counts { actions, commits, elections, crashes, partitions, cuts, .. } = summary.medians;
        println!(
            "{:<14}{actions} actions, {commits} commits, {elections} elections, {crashes} crashes, {partitions} partitions, {cuts} cuts",
            "median run"
        );
        println!("{:<14}{:016x}", "digest", summary.digest);
        for (nth, report) in summary.violations.iter().enumerate() {
            let Some(violation) = &report.violation else { continue };
            println!("seed {} breaks a rule after {} actions", report.seed, report.counts.actions);
            println!("  oracle  {}", violation.oracle);
            println!("  rule    {}", violation.rule);
            println!("  seen    {}", violation.what);
            println!("  replay  {}", self.replay_command(report.seed));
            if nth < SAVED_MAX {
                println!("  file    {}", self.file_of(report.seed).display());
            }
        }
    }

    fn to_json(&self, summary: &Summary, quiet: &[&str]) -> Value {
        let counts: serde_json::Map<_, _> =
            summary.counts.named().map(|(name, count)| (name.to_owned(), json!(count))).collect();
        let medians: serde_json::Map<_, _> =
            summary.medians.named().map(|(name, count)| (name.to_owned(), json!(count))).collect();
        let violation = |report: &Report| {
            let violation = report.violation.as_ref()?;
            Some(json!({
                "seed": report.seed,
                "actions": report.counts.actions,
                "oracle": violation.oracle,
                "rule": violation.rule,
                "seen": violation.what,
                "replay": self.replay_command(report.seed),
            }))
        };
        json!({
            "seeds": { "from": self.seeds.0, "to": self.seeds.1, "run": summary.seeds },
            "options": { "nodes": self.options.nodes, "actions": self.options.actions, "profile": self.options.profile.name() },
            "counts": counts,
            "medians": medians,
            "digest": format!("{:016x}", summary.digest),
            "violations": summary.violations.iter().filter_map(violation).collect::<Vec<_>>(),
            "too_quiet": quiet,
            "finished": !summary.stopped,
        })
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
