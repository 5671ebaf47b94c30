//! Criterion's view of the core: entries per second of wall time, for watching changes. The figures that the documentation
//! quotes are those of `figures`, in CPU time.

mod rig;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rig::{BATCHES, Rig};

/// Few enough that a log in memory does not dominate what is measured.
const ENTRIES: u64 = 16_384;

fn replicate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("three nodes until all have applied");
    group.throughput(Throughput::Elements(ENTRIES));
    group.sample_size(20);
    for batch in BATCHES {
        group.bench_function(format!("batches of {batch}"), |bencher| {
            bencher.iter_batched_ref(
                Rig::new,
                |rig| {
                    for _ in 0..ENTRIES / batch {
                        rig.propose(batch);
                    }
                    rig.check(ENTRIES);
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, replicate);
criterion_main!(benches);
