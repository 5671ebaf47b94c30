//! Many seeds, on several threads, with one result that does not depend on how many.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::plan::Options;
use crate::rig::Rig;
use crate::run::{Report, run};
use crate::tally::{Counts, RunDigest};
use crate::until::Until;

/// Seeds `from..to`, or of them a shard: every `of`-th, beginning with the `nth`, counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seeds {
    /// The first.
    pub from: u64,
    /// The first that is no longer in it.
    pub to: u64,
    /// Which shard, from 1.
    pub nth: u64,
    /// Of how many, at least 1.
    pub of: u64,
}

impl From<(u64, u64)> for Seeds {
    fn from((from, to): (u64, u64)) -> Self {
        Seeds { from, to, nth: 1, of: 1 }
    }
}

impl Seeds {
    /// How many there are.
    pub fn count(&self) -> u64 {
        let behind = self.to.saturating_sub(self.from).saturating_sub(self.nth.saturating_sub(1));
        behind.div_ceil(self.of.max(1))
    }

    /// One of them by its place, from 0.
    fn at(&self, place: u64) -> Option<u64> {
        let first = self.from.checked_add(self.nth.saturating_sub(1))?;
        let seed = first.checked_add(place.checked_mul(self.of.max(1))?)?;
        (seed < self.to).then_some(seed)
    }

    /// Of these the rest that begins with the first that is not among `runs`, which stand in order; `None` where all are.
    pub fn rest(&self, runs: &[Ended]) -> Option<Seeds> {
        let done = runs.iter().zip(0..).take_while(|(run, place)| self.at(*place) == Some(run.seed)).count();
        let from = self.at(done as u64)?;
        Some(Seeds { from, nth: 1, ..*self })
    }
}

/// What came of one run, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Its seed.
    pub seed: u64,
    /// Its digest.
    pub digest: u64,
    /// What happened.
    pub counts: Counts,
}

/// What came of many seeds. Equal for equal seeds and options, whatever the machine and the number of threads.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// How many seeds were run.
    pub seeds: u64,
    /// What happened in all of them.
    pub counts: Counts,
    /// Of each of these numbers the median of all runs: half of them have at least as many.
    pub medians: Counts,
    /// The digest of their digests, in order.
    pub digest: u64,
    /// Every run, in order of the seeds. That of several shards together is the whole.
    pub runs: Vec<Ended>,
    /// The runs that broke a rule, in order.
    pub violations: Vec<Report>,
    /// Whether it was stopped before the end; then what it says depends on when.
    pub stopped: bool,
}

impl Summary {
    /// Of these runs, in whatever order they are, when there should be `expected`.
    pub fn of(mut runs: Vec<Ended>, expected: u64) -> Self {
        runs.sort_unstable_by_key(|run| run.seed);
        let mut digest = RunDigest::default();
        let mut counts = Counts::default();
        for run in &runs {
            digest.add(&[run.seed, run.digest]);
            counts.add(&run.counts);
        }
        let of_runs: Vec<Counts> = runs.iter().map(|run| run.counts).collect();
        let (seeds, digest, medians) = (runs.len() as u64, digest.value(), Counts::medians(&of_runs));
        Summary { seeds, counts, medians, digest, runs, violations: Vec::new(), stopped: seeds < expected }
    }
}

/// What is kept while runs end out of order.
#[derive(Default)]
struct Collected {
    runs: Vec<Ended>,
    violations: Vec<Report>,
}

fn lock(collected: &Mutex<Collected>) -> MutexGuard<'_, Collected> {
    // Runs do not panic while they hold it; and if one did, what is there is still whole.
    collected.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs these seeds on `jobs` threads (at least one). Once `stop` is set, runs that have not ended are given up and no further one
/// is begun. `progress` is told after every run how many have ended.
pub fn campaign<R: Rig + Sync>(
    seeds: impl Into<Seeds>,
    options: &Options,
    jobs: u32,
    rig: &R,
    stop: &AtomicBool,
    progress: &(dyn Fn(u64) + Sync),
) -> Summary {
    let seeds: Seeds = seeds.into();
    let next = AtomicU64::new(0);
    let collected = Mutex::new(Collected::default());
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let Some(seed) = seeds.at(next.fetch_add(1, Ordering::Relaxed)) else { break };
            let report = run(seed, options, rig.clone(), &mut Until::new(stop, ()));
            if report.stopped {
                break;
            }
            let mut collected = lock(&collected);
            collected.runs.push(Ended { seed, digest: report.digest, counts: report.counts });
            if report.violation.is_some() {
                collected.violations.push(report);
            }
            progress(collected.runs.len() as u64);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs {
            scope.spawn(work);
        }
        work();
    });
    let mut collected = std::mem::take(&mut *lock(&collected));
    collected.violations.sort_unstable_by_key(|report| report.seed);
    Summary { violations: collected.violations, ..Summary::of(collected.runs, seeds.count()) }
}
