//! `raft-sim merge`: the reports of all shards become the report of the whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::{Ended, Seeds, Summary};
use clap::Args;

use super::failure::{Failure, Out, Target};
use super::report::{Found, Whole};

#[derive(Args)]
pub(super) struct Merge {
    /// The reports that `run --shard I/N --json FILE` has written, in any order. Of one that was stopped also that of the seeds with
    /// which it says to go on
    #[arg(value_name = "REPORT", required = true)]
    reports: Vec<PathBuf>,
    /// Write the report of the whole to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How many shards are named that are missing.
const NAMED_MAX: usize = 10;

fn read(file: &Path) -> Result<Whole, Failure> {
    let text = super::read::text(file, super::read::BYTES_MAX)?;
    let report =
        serde_json::from_str(&text).map_err(|error| Failure::Json { file: file.to_owned(), error })?;
    Whole::from_json(&report).ok_or_else(|| Failure::NotAShard(file.to_owned()))
}

/// The whole that these are shards of. What is missing of it makes it unfinished.
fn merge(shards: Vec<(&Path, Whole)>) -> Result<Option<Whole>, Failure> {
    // What was stopped and what goes on with it are one shard; the campaign is that of the one that begins first.
    let mut shards = shards;
    shards.sort_by_key(|(_, shard)| shard.seeds.from);
    let Some((_, first)) = shards.first() else { return Ok(None) };
    let (seeds, options) = (first.seeds, first.options);
    let mut rests: Vec<Seeds> = Vec::new();
    let whole = Seeds { nth: 1, of: 1, ..seeds };
    let mut seen = Vec::new();
    let mut runs: BTreeMap<u64, Ended> = BTreeMap::new();
    let mut found: BTreeMap<u64, Found> = BTreeMap::new();
    for (file, shard) in shards {
        let Seeds { nth, of, .. } = shard.seeds;
        let same = (shard.seeds.from, shard.seeds.to, of) == (seeds.from, seeds.to, seeds.of);
        if shard.options != options || !(same || rests.contains(&shard.seeds)) {
            return Err(Failure::OtherCampaign { nth, of, file: file.to_owned() });
        }
        if seen.contains(&shard.seeds) {
            return Err(Failure::Twice { nth, of, file: file.to_owned() });
        }
        seen.push(shard.seeds);
        rests.extend(shard.seeds.rest(&shard.summary.runs));
        runs.extend(shard.summary.runs.into_iter().map(|run| (run.seed, run)));
        found.extend(shard.found.into_iter().map(|found| (found.seed, found)));
    }
    let shards = (1..=seeds.of.min(whole.count())).map(|nth| Seeds { nth, ..seeds });
    rests.extend(shards.filter(|shard| !seen.contains(shard)).take(NAMED_MAX));
    rests.retain(|rest| !seen.contains(rest));
    let (runs, found) = (runs.into_values().collect(), found.into_values().collect());
    let summary = Summary::of(runs, whole.count());
    Ok(Some(Whole { seeds: whole, shard: None, options, summary, found, rests }))
}

impl Merge {
    pub(super) fn execute(&self, out: &mut Out) -> Result<ExitCode, Failure> {
        let shards: Vec<(&Path, Whole)> = self
            .reports
            .iter()
            .map(|file| Ok((file.as_path(), read(file)?)))
            .collect::<Result<_, Failure>>()?;
        let Some(whole) = merge(shards)? else { unreachable!("the command line wants a report") };
        if let Some(json) = &self.json {
            Target::open(json)?.fill(&whole.json())?;
        }
        whole.print(out)?;
        whole.verdict(out, None)
    }
}
