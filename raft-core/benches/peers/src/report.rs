//! The figures as a table for people, or as JSON for programs.

use std::fmt;
use std::io::IsTerminal;

use serde::Serialize;

use crate::cluster::Work;
use crate::counted::Counted;
use crate::measure::Timed;
use crate::{Case, System};

/// All that is known of one case.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figures {
    /// Which.
    #[serde(flatten)]
    pub case: Case,
    /// What was measured.
    #[serde(flatten)]
    pub timed: Option<Timed>,
    /// What was counted.
    #[serde(flatten)]
    pub counted: Option<Counted>,
}

/// All cases, in the order in which they were measured: the systems on one kind of work stand together.
#[derive(Default, Debug)]
pub struct Report {
    /// The cases.
    pub figures: Vec<Figures>,
}

impl Report {
    /// Says on a terminal how far it is.
    pub fn progress(&self) {
        if std::io::stderr().is_terminal() {
            eprint!("\r{} cases", self.figures.len());
        }
    }

    /// One object a line for each case.
    pub fn json(&self) -> String {
        let line = |figures: &Figures| serde_json::to_string(figures).expect("plain values");
        let lines: Vec<String> = self.figures.iter().map(line).collect();
        format!("[\n{}\n]", lines.join(",\n"))
    }

    /// How many times as fast as omnipaxos on the same work.
    fn ratio(&self, figures: &Figures) -> Option<f64> {
        let same =
            |other: &&Figures| other.case.work == figures.case.work && other.case.system == System::Omnipaxos;
        let base = self.figures.iter().find(same)?.timed?.entries_per_cpu_second;
        Some(figures.timed?.entries_per_cpu_second as f64 / base as f64)
    }
}

/// Two decimals below ten, none from a hundred on.
fn rounded(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.3}")
    } else if value < 100.0 {
        format!("{value:.1}")
    } else {
        grouped(value.round() as u64)
    }
}

/// With a comma behind every thousand.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth != 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before: Option<Work> = None;
        for figures in &self.figures {
            let Work { batch, calls, in_flight, packets } = figures.case.work;
            let titled = |work: Work| (work.calls, work.in_flight, work.packets);
            if before.map(titled) != Some(titled(figures.case.work)) {
                writeln!(
                    f,
                    "{}packets {packets:?}, {in_flight} in flight, one call per {calls:?}\n",
                    if before.is_some() { "\n" } else { "" }
                )?;
                writeln!(
                    f,
                    "| batch | system | entries per CPU second | least to most | against omnipaxos | instructions | if all is kept | allocations | allocated bytes | packets | wire bytes |"
                )?;
                writeln!(f, "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")?;
            }
            before = Some(figures.case.work);
            let none = || String::from("–");
            let timed = |of: fn(Timed) -> String| figures.timed.map_or_else(none, of);
            let counted =
                |of: fn(Counted) -> f64| figures.counted.map_or_else(none, |counted| rounded(of(counted)));
            let system = match figures.case.system {
                System::Ours => "**raft-core**",
                System::Omnipaxos => "omnipaxos",
                System::OmnipaxosArc => "omnipaxos, `Arc<[u8]>`",
                System::Raft => "raft",
            };
            writeln!(
                f,
                "| {batch} | {system} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                timed(|timed| grouped(timed.entries_per_cpu_second)),
                timed(|timed| format!("{} to {}", grouped(timed.least), grouped(timed.most))),
                self.ratio(figures).map_or_else(none, |ratio| format!("{ratio:.2} ×")),
                counted(|counted| counted.instructions_per_entry),
                counted(|counted| counted.instructions_per_entry_kept),
                counted(|counted| counted.allocations_per_entry),
                counted(|counted| counted.allocated_bytes_per_entry),
                timed(|timed| rounded(timed.packets_per_entry)),
                timed(|timed| if timed.wire_bytes_per_entry == 0.0 {
                    "–".into()
                } else {
                    rounded(timed.wire_bytes_per_entry)
                }),
            )?;
        }
        Ok(())
    }
}
