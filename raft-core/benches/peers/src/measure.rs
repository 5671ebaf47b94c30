//! CPU time of runs, and what goes over the wire in them.

use crate::cluster::{self, Cluster, Options};
use crate::omni::{InArc, InBytes, Omni};
use crate::ours::Ours;
use crate::raft_rs::RaftRs;
use crate::{Case, System};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// What was measured of one case.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Timed {
    /// Entries per second of CPU time: the median, the least and the most of the runs.
    pub entries_per_cpu_second: u64,
    /// The least.
    pub least: u64,
    /// The most.
    pub most: u64,
    /// Packets between nodes.
    pub packets_per_entry: f64,
    /// Their bytes, where they are encoded.
    pub wire_bytes_per_entry: f64,
}

/// Gives the case to a new cluster once.
pub fn run(case: Case, keep: u64, entries: u64) {
    fn drive<C: Cluster>(case: Case, keep: u64, entries: u64) {
        let mut cluster = C::start(Options { work: case.work, keep });
        let entries = whole(case, entries);
        cluster::drive(&mut cluster, case.work, 0, entries);
        cluster::check(&cluster, entries);
        if keep == 0 {
            // Who keeps everything frees nothing: neither at the end, where it would be counted.
            std::mem::forget(cluster);
        }
    }
    match case.system {
        System::Ours => drive::<Ours>(case, keep, entries),
        System::Omnipaxos => drive::<Omni<InBytes>>(case, keep, entries),
        System::OmnipaxosArc => drive::<Omni<InArc>>(case, keep, entries),
        System::Raft => drive::<RaftRs>(case, keep, entries),
    }
}

/// Runs each of the cases so many times, in turn, and reports the median of each.
pub fn interleaved(cases: &[Case], keep: u64, entries: u64, runs: usize) -> Vec<Timed> {
    let mut all = vec![Vec::new(); cases.len()];
    for _ in 0..runs.max(1) {
        for (case, timed) in cases.iter().zip(&mut all) {
            timed.push(match case.system {
                System::Ours => once::<Ours>(*case, keep, entries),
                System::Omnipaxos => once::<Omni<InBytes>>(*case, keep, entries),
                System::OmnipaxosArc => once::<Omni<InArc>>(*case, keep, entries),
                System::Raft => once::<RaftRs>(*case, keep, entries),
            });
        }
    }
    all.into_iter().map(median).collect()
}

fn median(mut runs: Vec<Timed>) -> Timed {
    runs.sort_unstable_by_key(|timed| timed.entries_per_cpu_second);
    let (least, most) = (runs[0].entries_per_cpu_second, runs[runs.len() - 1].entries_per_cpu_second);
    Timed { least, most, ..runs[runs.len() / 2] }
}

/// Whole batches only.
fn whole(case: Case, entries: u64) -> u64 {
    entries.div_ceil(case.work.batch) * case.work.batch
}

fn once<C: Cluster>(case: Case, keep: u64, entries: u64) -> Timed {
    let work = case.work;
    // Small batches take longer, and have settled sooner.
    let entries = whole(case, if work.batch == 1 { entries / 4 } else { entries });
    let mut cluster = C::start(Options { work, keep });
    let warm = if keep == 0 { 0 } else { entries };
    cluster::drive(&mut cluster, work, 0, warm);
    let (before, began) = (cluster.traffic(), cpu_nanoseconds());
    cluster::drive(&mut cluster, work, warm, entries);
    let (after, nanoseconds) = (cluster.traffic(), cpu_nanoseconds() - began);
    cluster::check(&cluster, warm + entries);
    cluster::check_commands(&cluster, warm + entries);
    let rate = entries * 1_000_000_000 / nanoseconds.max(1);
    Timed {
        entries_per_cpu_second: rate,
        least: rate,
        most: rate,
        packets_per_entry: (after.packets - before.packets) as f64 / entries as f64,
        wire_bytes_per_entry: (after.bytes - before.bytes) as f64 / entries as f64,
    }
}

/// What this thread has used of a processor so far. By the clock of the thread: what `/proc` shows of it grows by whole ticks of
/// the kernel, which are as long as a short run.
fn cpu_nanoseconds() -> u64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64
}
