//! Allocations of the core for each entry, and steps and packets for each batch, as `docs/benchmarks.md` quotes them. Counted,
//! not sampled; equal from run to run.
//! The copy of the command that the client hands over is among them.
//!
//!     cargo bench -p raft-core --bench allocations

mod rig;

use rig::{BATCHES, Rig};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const ENTRIES: u64 = 1 << 14;

fn main() {
    let _profiler = dhat::Profiler::builder().testing().build();
    println!("three nodes, one thread, 128-byte commands, {ENTRIES} entries");
    println!(
        "{:>6} {:>22} {:>16} {:>16} {:>18}",
        "batch", "allocations per entry", "bytes per entry", "steps per batch", "packets per batch"
    );
    for batch in BATCHES {
        let mut rig = Rig::new();
        // The first ones make room in lists that stay.
        for _ in 0..16 {
            rig.propose(batch);
        }
        let before = dhat::HeapStats::get();
        let (turns, packets) = (rig.turns, rig.packets);
        for _ in 0..ENTRIES / batch {
            rig.propose(batch);
        }
        let after = dhat::HeapStats::get();
        rig.check(16 * batch + ENTRIES);
        let thousandths = (after.total_blocks - before.total_blocks) * 1000 / ENTRIES;
        let bytes = (after.total_bytes - before.total_bytes) / ENTRIES;
        let allocations = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
        let batches = ENTRIES / batch;
        let (turns, packets) = ((rig.turns - turns) / batches, (rig.packets - packets) / batches);
        println!("{batch:>6} {allocations:>22} {bytes:>16} {turns:>16} {packets:>18}");
    }
}
