//! `raft-sim merge`: the reports of all shards become the report of the whole.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use raft_sim::{Seeds, Summary};

use super::USAGE;
use super::report::Whole;

#[derive(Args)]
pub(super) struct Merge {
    /// The reports that `run --shard I/N --json FILE` has written, in any order
    #[arg(value_name = "REPORT", required = true)]
    reports: Vec<PathBuf>,
    /// Write the report of the whole to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn read(file: &Path) -> Result<Whole, String> {
    let said = |what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| said(&error))?;
    let report = serde_json::from_str(&text).map_err(|error| said(&error))?;
    Whole::from_json(&report).ok_or_else(|| said(&"not the report of a shard"))
}

/// The whole that these are shards of. What is missing of it makes it unfinished.
fn merge(shards: Vec<Whole>) -> Result<Whole, String> {
    let Some(first) = shards.first() else { return Err("there are no reports".to_owned()) };
    let (seeds, options) = (first.seeds, first.options);
    let whole = Seeds { nth: 1, of: 1, ..seeds };
    let mut seen = Vec::new();
    let (mut runs, mut found) = (Vec::new(), Vec::new());
    for shard in shards {
        let Seeds { nth, of, .. } = shard.seeds;
        let same = (shard.seeds.from, shard.seeds.to, of) == (seeds.from, seeds.to, seeds.of);
        if !same || shard.options != options {
            return Err(format!("shard {nth}/{of} is of another campaign"));
        }
        if seen.contains(&nth) {
            return Err(format!("shard {nth}/{of} is there twice"));
        }
        seen.push(nth);
        runs.extend(shard.summary.runs);
        found.extend(shard.found);
    }
    found.sort_by_key(|found| found.seed);
    Ok(Whole { seeds: whole, shard: None, options, summary: Summary::of(runs, whole.count()), found })
}

impl Merge {
    pub(super) fn execute(&self) -> ExitCode {
        let shards: Result<Vec<Whole>, String> = self.reports.iter().map(|file| read(file)).collect();
        match shards.and_then(merge) {
            Ok(whole) => {
                whole.print();
                whole.write_json(self.json.as_deref()).unwrap_or_else(|| whole.verdict())
            }
            Err(what) => {
                eprintln!("raft-sim: {what}");
                ExitCode::from(USAGE)
            }
        }
    }
}
