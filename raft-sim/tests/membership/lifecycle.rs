//! Goal: a cluster can become another one, server by server, while clients go on and faults come and go. Method: worlds with all
//! oracles on, from one founder to seven servers, through the replacement of each, to three others; for several seeds, each with
//! settings of its own.

use raft_core::Config;
use raft_sim::{Counts, Honest, HostSet, Options, Role, Setup, Wanted, plan};

use super::town::{Town, host, hosts};

/// The founder, six that join it, and three that stay in the end.
const MACHINES: u8 = 10;

/// One run, and what has happened in it.
fn life(seed: u64) -> Counts {
    let drawn = plan(seed, &Options::default()).setup;
    // Whoever gets one entry at a time never catches up with those who write them.
    let config = Config { append_bytes_max: 10_000, append_entries_max: 64, ..drawn.config };
    let setup = Setup { hosts: MACHINES, spares: MACHINES - 1, config, ..drawn };
    let mut town = Town::new(seed, setup, Honest);
    let none = HostSet::EMPTY;
    for number in 1..=3 {
        // Alone, or with one other, no fault is survived without a pause.
        let role = if number % 2 == 0 { Role::Staging } else { Role::Voter };
        let wanted = Wanted::Add { server: host(number), role };
        town.reach(wanted, hosts(1..=number), none);
    }
    town.faults = true;
    for number in 4..=7 {
        let role = if number % 2 == 0 { Role::Staging } else { Role::Voter };
        town.reach(Wanted::Add { server: host(number), role }, hosts(1..=number), none);
    }
    let old: Vec<_> = (1..=7).map(|number| town.world.host(host(number)).pair()).collect();
    for number in 1..=7 {
        town.wipe(host(number));
        let role = if number % 2 == 0 { Role::Voter } else { Role::Staging };
        town.reach(Wanted::Add { server: host(number), role }, hosts(1..=7), none);
    }
    for (number, old) in (1..=7).zip(old) {
        let new = town.world.host(host(number)).pair();
        assert!(old.id == new.id && old != new, "server {number} was not replaced");
    }
    for number in 8..=10 {
        let wanted = Wanted::Add { server: host(number), role: Role::Learner };
        town.reach(wanted, hosts(1..=7), hosts(8..=number));
    }
    let wanted = Wanted::Set { voters: hosts(8..=10), learners: none };
    town.reach(wanted, hosts(8..=10), none);
    town.calm();
    // What was removed is nothing but ballast, and the three go on alone.
    for number in 1..=7 {
        town.act(raft_sim::Action::Crash { host: host(number), keep: 0, torn: false, stray: 0 });
    }
    let before = town.world.counts().commits;
    for _ in 0..2_000 {
        town.tick();
    }
    let leader = town.leader().expect("three servers in peace have a leader");
    assert!(hosts(8..=10).contains(leader), "{leader} leads");
    let counts = town.world.counts();
    assert!(before + 100 < counts.commits, "{before} of {} entries were committed before", counts.commits);
    // Every replacement of a voter by a voter is joint, and so is the last change.
    assert!(10 <= counts.changed && 4 <= counts.joint, "{counts:?}");
    counts
}

#[test]
fn cluster_grows_to_seven_is_replaced_and_shrinks_to_three_others() {
    let mut sums = Counts::default();
    for seed in 0..12 {
        sums.add(&life(seed));
    }
    assert!(100 < sums.crashes && 100 < sums.partitions && 1000 < sums.drops, "{sums:?}");
    assert!(sums.lost_writes != 0 && sums.truncations != 0, "{sums:?}");
}
