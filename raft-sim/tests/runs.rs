//! Runs of the whole simulator over the production core.

use std::sync::atomic::AtomicBool;

use raft_sim::{
    Action, Applied, Counts, Honest, Mix, Options, Random, Setup, Watch, World, campaign, plan, run,
};

fn short() -> Options {
    Options { nodes: None, actions: 2_000, ..Options::default() }
}

/// Goal: a seed is the same run for ever, in every build, on every machine. Method: digests written down once. Whoever
/// changes the core's behaviour, or what a seed means, has to write new ones, knowingly.
#[test]
fn digests_of_seeds_are_golden() {
    let digests: Vec<String> = (0..6)
        .map(|seed| format!("{:016x}", run(seed, &Options::default(), Honest, &mut ()).digest))
        .collect();
    let golden = [
        "b42a083e0715144e",
        "908a6c190caa6617",
        "f8f901e21070923c",
        "7a689e78b0641eff",
        "7df32b882cf416b7",
        "bd9ffaa0f49bb7ec",
    ];
    assert_eq!(digests, golden);
}

/// Goal: what comes out of many seeds does not depend on how many threads ran them. Method: the same seeds with one, two and
/// five.
#[test]
fn campaign_is_equal_with_any_number_of_jobs() {
    let stop = AtomicBool::new(false);
    let of = |jobs| campaign((10, 30), &short(), jobs, &Honest, &stop, &|_| {});
    let one = of(1);
    assert_eq!(one.violations, []);
    assert_eq!(one.seeds, 20);
    assert_eq!(of(2), one);
    assert_eq!(of(5), one);
}

/// Goal: nothing is broken, in clusters of every size, and nothing that must happen is missing. Method: seeds of every
/// size, and their counts.
#[test]
fn runs_of_every_size_are_clean() {
    let stop = AtomicBool::new(false);
    for nodes in 1..=7 {
        let options = Options { nodes: Some(nodes), actions: 4_000, ..Options::default() };
        let summary = campaign((0, 12), &options, 2, &Honest, &stop, &|_| {});
        assert_eq!(summary.violations, [], "{nodes} servers");
        let counts = summary.counts;
        assert!(counts.elections != 0 && counts.commits != 0 && counts.crashes != 0, "{nodes}: {counts:?}");
        assert!(counts.committed != 0 && counts.refused != 0 && counts.fetches != 0, "{nodes}: {counts:?}");
    }
}

/// Goal: a campaign that is told to stop does so and says so. Method: it is told before it begins.
#[test]
fn campaign_stops_when_told() {
    let stop = AtomicBool::new(true);
    let summary = campaign((0, 1000), &short(), 2, &Honest, &stop, &|_| {});
    assert_eq!(summary.seeds, 0);
    assert!(summary.stopped);
}

/// Writes down every action.
#[derive(Default)]
struct Recorder(Vec<Action>);

impl Watch<Honest> for Recorder {
    fn happened(&mut self, _moment: u64, action: Action, _world: &World<Honest>) {
        self.0.push(action);
    }
}

/// Goal: a run is nothing but its actions. Method: the actions of a run, written as text and read back, in a fresh world give
/// the same digest.
#[test]
fn actions_of_a_run_are_the_run() {
    for seed in 40..44 {
        let mut recorder = Recorder::default();
        let report = run(seed, &short(), Honest, &mut recorder);
        assert_eq!(report.violation, None);
        let mut world = World::new(plan(seed, &short()).setup, Honest).unwrap();
        for action in recorder.0 {
            let read_back: Action = action.to_string().parse().unwrap();
            assert_eq!(world.apply(read_back).unwrap(), Applied::Done, "{action}");
        }
        assert_eq!(world.digest(), report.digest, "seed {seed}");
        // Virtual time is the scheduler's.
        let counts = Counts { ticks: report.counts.ticks, ..world.counts() };
        assert_eq!(counts, report.counts, "seed {seed}");
    }
}

/// Goal: all that a world lists as possible is possible, and breaks nothing, in whatever order. Method: a walk that picks among
/// them at random, with no regard to time.
#[test]
fn enabled_actions_happen() {
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let drawn = plan(seed, &Options { nodes: Some(3), actions: 1, ..Options::default() });
        let mut world = World::new(Setup { hosts: 3, ..drawn.setup }, Honest).unwrap();
        let mut actions = Vec::new();
        for _ in 0..3_000 {
            world.enabled(&mut actions);
            let action = random.pick(&actions);
            // Else the walk drowns in copies and in requests.
            let tame = matches!(
                action,
                Action::Duplicate { .. }
                    | Action::Propose { .. }
                    | Action::Call { .. }
                    | Action::Read { .. }
                    | Action::ReadWithin { .. }
                    | Action::Forward { .. }
                    | Action::Barrier { .. }
                    | Action::Verify { .. }
                    | Action::Register { .. }
                    | Action::Submit { .. }
                    | Action::Again { .. }
                    | Action::Crash { .. }
            );
            if tame && random.chance(900) {
                continue;
            }
            assert_eq!(world.apply(action).unwrap(), Applied::Done, "{action}");
        }
        assert_ne!(world.counts().steps, 0);
    }
}

/// Goal: what can not happen changes nothing and says so. Method: one impossible action of each kind in a fresh world.
#[test]
fn impossible_actions_change_nothing() {
    let setup = plan(1, &Options { nodes: Some(2), actions: 1, ..Options::default() }).setup;
    let mut world = World::new(setup, Honest).unwrap();
    let before = (world.digest(), world.counts());
    for line in [
        "tick 3 +1",
        "deliver 1>2#1",
        "drop 1>2#1",
        "duplicate 1>2#1",
        "step 9",
        "perform 1",
        "sync 1 batches 1",
        "applied 1",
        "fetched 1",
        "crash 3 keep 0",
        "restart 1 tail 1",
        "mend 1>2",
        "heal",
        "propose 1 request 0 commands 1 bytes 8",
        "read 1 request 0 client 1 key 1",
        "read 3 request 1 within 5",
        "forward 1 request 0 client 1 key 1",
        "barrier 3 request 1",
        "register 3 request 1 client 1",
        "submit 1 request 1 client 1 key 1 write",
        "again 1 request 1 client 1 nth 0",
        "verify 1 request 0",
        "cut 1>3",
        "watch 1",
        "watch 1,2,3",
        "unwatch",
        "pass +1",
    ] {
        let action: Action = line.parse().unwrap();
        assert_eq!(world.apply(action).unwrap(), Applied::Impossible, "{line}");
    }
    assert_eq!((world.digest(), world.counts()), before);
}

/// Goal: faults of the network do what they say. Method: a partition by hand, and what is open after it.
#[test]
fn partition_holds_packets_back() {
    let mut setup = plan(1, &Options { nodes: Some(3), actions: 1, ..Options::default() }).setup;
    setup.config.pre_vote = false;
    let mut world = World::new(setup, Honest).unwrap();
    for line in ["step 1", "tick 1 +1000", "step 1", "sync 1 batches 1", "step 1", "partition 1"] {
        assert_eq!(world.apply(line.parse().unwrap()).unwrap(), Applied::Done, "{line}");
    }
    let names: Vec<_> = world.network().names().collect();
    assert_eq!(names.len(), 2, "a candidate asks both others");
    for packet in &names {
        assert_eq!(world.apply(Action::Deliver { packet: *packet }).unwrap(), Applied::Impossible);
    }
    assert_eq!(world.apply(Action::Heal).unwrap(), Applied::Done);
    assert_eq!(world.apply(Action::Deliver { packet: names[0] }).unwrap(), Applied::Done);
    assert!(world.host(names[0].link.to).has_mail());
}

/// Goal: swarm runs are clean, draw every fault, and something happens in most of them. Method: many seeds, their sums and
/// medians.
#[test]
fn swarm_runs_are_clean_and_busy() {
    let stop = AtomicBool::new(false);
    let options = Options::of(Mix::Swarm);
    let summary = campaign((0, 300), &options, 2, &Honest, &stop, &|_| {});
    assert_eq!(summary.violations, []);
    let (sums, medians) = (summary.counts, summary.medians);
    assert!(sums.failed_writes != 0 && sums.refused_disks != 0 && sums.wipes != 0, "{sums:?}");
    assert!(sums.transferred != 0 && sums.lost_writes != 0 && sums.cuts != 0, "{sums:?}");
    assert_eq!(sums.roll_backs, 0, "what no Raft survives is not drawn");
    let enough = 10_000 <= medians.actions && 200 <= medians.commits && 3 <= medians.elections;
    assert!(enough && 2 <= medians.crashes && 1 <= medians.partitions, "{medians:?}");
    // Somebody reads on servers of every kind.
    assert!(
        20 <= medians.leader_reads && 10 <= medians.voter_reads && sums.learner_reads != 0,
        "{medians:?}"
    );
    assert!(sums.passed != 0 && sums.verified != 0, "{sums:?}");
    assert!(medians.stale_reads != 0 && medians.forwards != 0 && sums.unanswered != 0, "{sums:?}");
    // Where leaders have leases they use them.
    assert!(2_000 <= sums.lease_reads, "{sums:?}");
    // Commands are sent again when they were done, and when their session has expired.
    assert!(medians.sessions != 0 && sums.repeated != 0 && sums.expired != 0, "{sums:?}");
    // Most of the leaders that are left in peace get as far as that nothing may depose them.
    assert!(sums.sieges != 0 && sums.sieges / 2 < sums.settled, "{sums:?}");
}

/// Goal: where all leaders have leases they use them, and hand over, without a stale read. Method: seeds of that profile, and their sums.
#[test]
fn runs_with_leases_are_clean_and_busy() {
    let stop = AtomicBool::new(false);
    let options = Options::of(Mix::Leases);
    let summary = campaign((0, 60), &options, 2, &Honest, &stop, &|_| {});
    assert_eq!(summary.violations, []);
    let sums = summary.counts;
    assert!(1_000 <= sums.lease_reads && 30 <= sums.transferred && sums.changed != 0, "{sums:?}");
    let leases = (0..60).filter(|seed| plan(*seed, &options).setup.leases.is_some()).count();
    assert_eq!(leases, 60);
}

/// Goal: what no Raft survives is seen to break what it must. Method: seeds with disks that come back without what was synced,
/// until two leaders, a leader without what is committed, and a second vote were each seen.
#[test]
fn hopeless_runs_break() {
    let stop = AtomicBool::new(false);
    let options = Options::of(Mix::Hopeless);
    let summary = campaign((0, 600), &options, 2, &Honest, &stop, &|_| {});
    for oracle in ["election-safety", "leader-completeness", "votes"] {
        let seen = |report: &raft_sim::Report| report.violation.as_ref().is_some_and(|v| v.oracle == oracle);
        assert!(summary.violations.iter().any(seen), "{oracle}");
    }
}
