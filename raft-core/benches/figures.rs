//! Entries per CPU second of the core, as `docs/benchmarks.md` quotes them: the median of several runs, each with nodes of
//! its own. CPU time is what the kernel has accounted to the one thread (`/proc/thread-self/schedstat`), so a loaded machine
//! disturbs it little. It grows by whole ticks of the kernel, of 4 milliseconds mostly, so a run takes some hundreds of them.
//!
//!     cargo bench -p raft-core --bench figures            a few seconds
//!     cargo bench -p raft-core --bench figures -- 256 20  only batches of 256, 20 runs: for a profiler

mod rig;

use rig::{BATCHES, Rig};

/// In a run with batches of one; larger batches are faster, and take up to 16 times as many.
const ENTRIES: u64 = 1 << 18;
const RUNS: usize = 9;

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let batches = numbers.first().map_or(&BATCHES[..], std::slice::from_ref);
    let runs = numbers.get(1).map_or(RUNS, |runs| *runs as usize);

    println!("three nodes, one thread, 128-byte commands, {runs} runs");
    println!("{:>6} {:>26} {:>26}", "batch", "entries per CPU second", "least to most");
    for &batch in batches {
        let mut rates: Vec<u64> = (0..runs).map(|_| rate(batch)).collect();
        rates.sort_unstable();
        let spread = format!("{} to {}", rates[0], rates[rates.len() - 1]);
        println!("{batch:>6} {:>26} {spread:>26}", rates[rates.len() / 2]);
    }
}

fn rate(batch: u64) -> u64 {
    let batches = ENTRIES * batch.min(16) / batch;
    let mut rig = Rig::new();
    let before = cpu_nanoseconds();
    for _ in 0..batches {
        rig.propose(batch);
    }
    let elapsed = cpu_nanoseconds() - before;
    rig.check(batches * batch);
    batches * batch * 1_000_000_000 / elapsed.max(1)
}

/// What this thread has used of a processor so far.
fn cpu_nanoseconds() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat");
    let nanoseconds = schedstat.ok().and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.expect("Linux accounts CPU time to threads")
}
