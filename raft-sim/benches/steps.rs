//! How fast the simulator is: whole runs of five servers, with all oracles.
//! The printed throughput is steps of nodes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use raft_sim::{Honest, Options, run};

fn runs_of_five(criterion: &mut Criterion) {
    let options = Options { nodes: Some(5), ..Options::default() };
    let mut group = criterion.benchmark_group("run");
    for seed in [1, 2, 3] {
        let steps = run(seed, &options, Honest, &mut ()).counts.steps;
        group.throughput(Throughput::Elements(steps));
        group.bench_function(format!("five servers, seed {seed}"), |bencher| {
            bencher.iter(|| run(seed, &options, Honest, &mut ()));
        });
    }
    group.finish();
}

criterion_group!(benches, runs_of_five);
criterion_main!(benches);
