//! `raft-sim explore`: all states of a small cluster.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use crate::cpu_time_ms;
use crate::explore::{Bounds, Found, Limits, Progress, Report, ResumeError, explore, explore_resuming};
use clap::Args;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::failure::{Failure, Out, Target, open_folder};
use super::stop::Stop;
use super::{UNFINISHED, VIOLATION};

/// Searches all states of a small cluster: every order of deliveries, losses, crashes and timeouts within these bounds. Exits with 0 where the
/// space was finished and no rule breaks, with 1 where one does, with 3 where a limit ended the search before, and with 130 or 143 where a
/// signal did.
#[derive(Args)]
pub(super) struct Explore {
    /// How many servers, 1 to 5
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    nodes: u8,
    /// The latest term, 1 to 7
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=7))]
    terms: u8,
    /// How many commands clients propose, at most 15
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=15))]
    entries: u8,
    /// How many packets are in flight at once, 1 to 8
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=8))]
    messages: u8,
    /// How often it is time for the next heartbeats of a leader; without this any number of times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=15))]
    heartbeats: Option<u8>,
    /// How many times a server goes down
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=15))]
    crashes: u8,
    /// How many packets are lost
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=15))]
    drops: u8,
    /// How many packets arrive twice
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=15))]
    duplicates: u8,
    /// How often a leader is asked for another configuration
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=15))]
    changes: u8,
    /// How often the state machine of a server is saved as a snapshot
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=15))]
    snapshots: u8,
    /// Becoming durable is an action of its own; without this every write is durable at once
    #[arg(long)]
    syncs: bool,
    /// Servers ask for pre-votes before they campaign
    #[arg(long)]
    pre_vote: bool,
    /// It is time for the next heartbeats of a leader only when nothing is under way from it or to it
    #[arg(long)]
    patient: bool,
    /// Tell servers apart that could change places
    #[arg(long)]
    no_symmetry: bool,
    /// Take actions at different servers in every order
    #[arg(long)]
    no_reduction: bool,
    /// End unfinished once so many states were met; those that are looked at together are finished before, some thousands more
    #[arg(long, value_name = "N")]
    max_states: Option<u64>,
    /// End unfinished when the states take so many bytes; what is known of servers and packets comes on top of that. K, M and G
    /// stand for 2^10, 2^20 and 2^30
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    memory: Option<u64>,
    /// Go on with the search in this file, if it is there; one that ends unfinished is put there, also by a signal, but
    /// not by what ends this program at once. A finished one deletes the file
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Write the report to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the run that breaks a rule is written, as a schedule. Without it: here
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// Print also how many states a second of CPU time were met, and how many bytes each took; those lines depend on the machine
    #[arg(long)]
    timing: bool,
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.strip_suffix(['K', 'M', 'G']) {
        Some(digits) if text.ends_with('K') => (digits, 10),
        Some(digits) if text.ends_with('M') => (digits, 20),
        Some(digits) => (digits, 30),
        None => (text, 0),
    };
    let number = digits.parse::<u64>().map_err(|_| {
        "a whole number of bytes is wanted, or one with K, M or G behind it, as `8G`".to_owned()
    })?;
    number.checked_mul(1 << shift).ok_or_else(|| "so many bytes there are not".to_owned())
}

impl Explore {
    fn bounds(&self) -> Bounds {
        Bounds {
            nodes: self.nodes,
            terms: self.terms,
            entries: self.entries,
            messages: self.messages,
            heartbeats: self.heartbeats,
            crashes: self.crashes,
            drops: self.drops,
            duplicates: self.duplicates,
            changes: self.changes,
            snapshots: self.snapshots,
            syncs: self.syncs,
            pre_vote: self.pre_vote,
            patient: self.patient,
        }
    }

    pub(super) fn execute(&self, out: &mut Out, stop: &Stop) -> Result<ExitCode, Failure> {
        if let Some(same) = self.json.as_ref().filter(|json| Some(*json) == self.resume.as_ref()) {
            return Err(Failure::SameFile(same.clone()));
        }
        let json = self.json.as_deref().map(Target::open).transpose()?;
        self.save.as_deref().map_or(Ok(()), open_folder)?;
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let limits = Limits {
            symmetry: !self.no_symmetry,
            reduction: !self.no_reduction,
            states: self.max_states,
            bytes: self.memory,
        };
        let (began, cpu) = (Instant::now(), cpu_time_ms());
        let mut watch = |progress: Progress| {
            let (states, left) = (HumanCount(progress.states), HumanCount(progress.left));
            bar.set_message(format!("{states} states, depth {}, {left} left of it", progress.depth));
            bar.tick();
        };
        let report = match &self.resume {
            None => explore(self.bounds(), limits, stop.flag(), &mut watch).map_err(Failure::Bounds),
            Some(file) => {
                if file.exists() {
                    bar.set_message(format!("reading {}", file.display()));
                    bar.tick();
                }
                let report = explore_resuming(self.bounds(), limits, file, stop.flag(), &mut watch);
                report.map_err(|error| Failure::Resume { file: file.clone(), error })
            }
        };
        bar.finish_and_clear();
        let report = match report {
            // What was found out is not lost with what could not be written.
            Err(Failure::Resume { file, error: ResumeError::Write { source, report: Some(report) } }) => {
                if let Some(json) = json {
                    json.fill(&format!("{:#}\n", json_of(&report)))?;
                }
                self.print(&report, out)?;
                self.verdict(&report, out, stop)?;
                let error = ResumeError::Write { source, report: None };
                return Err(Failure::Resume { file, error });
            }
            report => report?,
        };
        let spent = match (cpu, cpu_time_ms()) {
            (Some(before), Some(after)) => after.saturating_sub(before),
            _ => began.elapsed().as_millis() as u64,
        };
        if let Some(json) = json {
            json.fill(&format!("{:#}\n", json_of(&report)))?;
        }
        self.print(&report, out)?;
        if self.timing {
            let per_second =
                report.states.saturating_sub(report.met_before).saturating_mul(1000) / spent.max(1);
            writeln!(out, "{:<14}{per_second} states per CPU second", "speed")?;
            if let Some(bytes) = peak_bytes() {
                writeln!(
                    out,
                    "{:<14}{} bytes per state; {bytes} in all, when it was most",
                    "memory",
                    bytes / report.states
                )?;
            }
        }
        self.verdict(&report, out, stop)
    }

    fn print(&self, report: &Report, out: &mut Out) -> Result<(), Failure> {
        writeln!(out, "{:<14}{}", "bounds", self.bounds())?;
        writeln!(out, "{:<14}{}, the farthest {} actions away", "states", report.states, report.depth)?;
        let Report { successors, skipped, cut_off, .. } = report;
        writeln!(
            out,
            "{:<14}{successors} taken, {skipped} left to another order, {cut_off} beyond a bound",
            "actions"
        )?;
        let Report { steps, servers, packets, .. } = report;
        writeln!(out, "{:<14}{steps} of the core, {servers} different servers, {packets} packets", "inputs")?;
        for (mark, states) in report.marks.iter() {
            writeln!(out, "mark {states:>12}  {mark}")?;
        }
        Ok(())
    }

    fn verdict(&self, report: &Report, out: &mut Out, stop: &Stop) -> Result<ExitCode, Failure> {
        if let Some(found) = &report.found {
            let file = self.save.as_deref().unwrap_or(Path::new(".")).join("explored.schedule");
            super::schedule::write(&found.schedule, &file).map_err(Failure::write(&file))?;
            let Found { oracle, what, choices, .. } = found;
            writeln!(
                out,
                "broken after {choices} actions: {oracle}: {what}; raft-sim replay {}",
                file.display()
            )?;
            return Ok(ExitCode::from(VIOLATION));
        }
        if report.finished {
            let leads = report.marks.iter().next().is_some_and(|(_, states)| states != 0);
            let note = if leads { "" } else { "; no server leads in any of them, so that it proves nothing" };
            writeln!(out, "finished: {} states, no rule breaks{note}", report.states)?;
            return Ok(ExitCode::SUCCESS);
        }
        let why = self.why_unfinished(report, stop);
        writeln!(out, "unfinished: {} states, no rule breaks in them; {why}", report.states)?;
        Ok(if stop.is_set() { stop.code() } else { ExitCode::from(UNFINISHED) })
    }

    /// What ended a search before its space was finished, and what to do about it.
    fn why_unfinished(&self, report: &Report, stop: &Stop) -> String {
        let then =
            if self.resume.is_some() { "goes on" } else { "begins anew; with --resume it would go on" };
        if stop.is_set() {
            return format!("stopped by {}; the same command {then}", stop.name());
        }
        let limit = match self.max_states {
            Some(most) if most <= report.states => "--max-states",
            _ if self.memory.is_none() => return "there are no numbers left for more states".to_owned(),
            _ => "--memory",
        };
        format!("ended by {limit}; the same command with more of it {then}")
    }
}

fn json_of(report: &Report) -> serde_json::Value {
    let marks: serde_json::Map<_, _> =
        report.marks.iter().map(|(mark, states)| (mark.to_owned(), json!(states))).collect();
    let found = report.found.as_ref().map(|found| {
        json!({ "oracle": found.oracle, "what": found.what, "actions": found.choices, "schedule": found.schedule.to_string() })
    });
    json!({
        "states": report.states, "successors": report.successors, "skipped": report.skipped,
        "cut_off": report.cut_off, "depth": report.depth, "steps": report.steps, "servers": report.servers,
        "packets": report.packets, "marks": marks, "finished": report.finished, "found": found,
    })
}

/// The most memory that this process has had at once, where the system says.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}
