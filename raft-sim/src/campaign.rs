//! Many seeds, on several threads, with one result that does not depend on how many.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::plan::Options;
use crate::rig::Rig;
use crate::run::{Report, run};
use crate::tally::{Counts, RunDigest};

/// What came of a range of seeds. Equal for equal seeds and options, whatever the machine and the number of threads.
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
    /// The runs that broke a rule, in order.
    pub violations: Vec<Report>,
    /// Whether it was stopped before the end; then what it says depends on when.
    pub stopped: bool,
}

/// What is kept while runs end out of order.
#[derive(Default)]
struct Collected {
    digests: Vec<(u64, u64)>,
    counts: Counts,
    // Of every run, since a median needs all of them.
    of_runs: Vec<Counts>,
    violations: Vec<Report>,
}

fn lock(collected: &Mutex<Collected>) -> MutexGuard<'_, Collected> {
    // Runs do not panic while they hold it; and if one did, what is there is still whole.
    collected.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs seeds `from..to` on `jobs` threads (at least one). Begins no further run once `stop` is set.
/// `progress` is told after every run how many have ended.
pub fn campaign<R: Rig + Sync>(
    (from, to): (u64, u64),
    options: &Options,
    jobs: u32,
    rig: &R,
    stop: &AtomicBool,
    progress: &(dyn Fn(u64) + Sync),
) -> Summary {
    let next = AtomicU64::new(from);
    let collected = Mutex::new(Collected::default());
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if to <= seed {
                break;
            }
            let report = run(seed, options, rig.clone(), &mut ());
            let mut collected = lock(&collected);
            collected.digests.push((seed, report.digest));
            collected.counts.add(&report.counts);
            collected.of_runs.push(report.counts);
            if report.violation.is_some() {
                collected.violations.push(report);
            }
            progress(collected.digests.len() as u64);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs {
            scope.spawn(work);
        }
        work();
    });
    let mut collected = std::mem::take(&mut *lock(&collected));
    collected.digests.sort_unstable();
    collected.violations.sort_unstable_by_key(|report| report.seed);
    let mut digest = RunDigest::default();
    for (seed, of_run) in &collected.digests {
        digest.add(&[*seed, *of_run]);
    }
    let seeds = collected.digests.len() as u64;
    Summary {
        seeds,
        counts: collected.counts,
        medians: Counts::medians(&collected.of_runs),
        digest: digest.value(),
        violations: collected.violations,
        stopped: seeds < to.saturating_sub(from),
    }
}
