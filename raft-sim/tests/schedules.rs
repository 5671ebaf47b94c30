//! Runs in files: written, read, run again.

use std::process::{Command, Output};

use raft_sim::canary::{Bench, Break, Canary};
use raft_sim::{
    Action, Counts, Ending, Honest, HostSet, Mix, Options, Schedule, Subject, record, replay, run,
};

fn raft_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_raft-sim")).args(arguments).output().unwrap()
}

fn rig(name: &str) -> &'static dyn Subject {
    match Canary::named(name).unwrap().how {
        Break::Rig(rig) => rig,
        Break::Core(_) => panic!("{name} is no rig"),
    }
}

/// Goal: a schedule is the run that it was written down from. Method: through text and back, the same digest and counts.
#[test]
fn schedule_is_the_run() {
    let options = Options { actions: 2_000, ..Options::default() };
    for seed in 40..44 {
        let report = run(seed, &options, Honest, &mut ());
        let (schedule, violation) = record(seed, &options, &Honest);
        assert_eq!((violation, schedule.expects.clone()), (None, None));
        let read_back: Schedule = schedule.to_string().parse().unwrap();
        let replayed = replay(&read_back, Honest, &mut ());
        assert_eq!(replayed.violation, None);
        assert_eq!(
            (replayed.digest, Counts { ticks: report.counts.ticks, ..replayed.counts }, replayed.impossible),
            (report.digest, report.counts, 0)
        );
    }
}

/// Goal: a run that breaks a rule breaks it again in its schedule, and the same. Method: broken disks and drivers whose oracles
/// report while faults go on.
#[test]
fn schedule_breaks_the_same_rule() {
    for name in ["forgetful-disk", "early-synced", "fed-backwards", "answered-twice"] {
        let report = rig(name).find(20, &Options::default()).unwrap();
        let (schedule, violation) = rig(name).record(report.seed, &Options::default());
        assert_eq!(violation, report.violation);
        let replayed = rig(name).replay(&schedule);
        assert_eq!(replayed.violation, report.violation, "{name}");
        assert_eq!((replayed.digest, replayed.impossible), (report.digest, 0), "{name}");
    }
}

/// Goal: a cluster that does not get well is cut off where its faults stop, so that it can be shortened. Method: a driver whose
/// clocks stand still; and the same schedule with honest clocks gets well.
#[test]
fn schedule_of_no_progress_settles() {
    let stopped = rig("clock-stops-at-heal");
    let report = stopped.find(20, &Options::default()).unwrap();
    let (schedule, _) = stopped.record(report.seed, &Options::default());
    // Those whom faults are over for; perhaps not all.
    let Ending::Settled(among) = schedule.ending else { panic!("{}", schedule.ending) };
    assert!(!among.is_empty());
    let at_peace = |action: &Action| matches!(action, Action::Watch { for_good: true, .. });
    assert!(
        Mix::Default.actions() <= schedule.actions.len() as u64 && !schedule.actions.iter().any(at_peace)
    );
    assert_eq!(stopped.replay(&schedule).violation.map(|violation| violation.oracle), Some("progress"));
    assert_eq!(replay(&schedule, Honest, &mut ()).violation, None);
}

/// Goal: the quiet end of a schedule lets any honest cluster get well. Method: runs cut off wherever they are, of all sizes.
#[test]
fn honest_worlds_settle() {
    for seed in 0..40 {
        let (mut schedule, _) = record(seed, &Options { actions: 700, ..Options::default() }, &Honest);
        schedule.actions.truncate(100 + 13 * seed as usize);
        schedule.ending = Ending::Settled(HostSet::of_bits((1 << schedule.setup.hosts) - 1));
        assert_eq!(replay(&schedule, Honest, &mut ()).violation, None, "seed {seed}");
    }
}

/// Goal: `replay FILE` says again what was broken, with code 1 and the digest last, and runs what is broken in the file. Method: the
/// file that `canaries --save` writes of a broken network.
#[test]
fn replay_shows_a_saved_violation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let canary = Canary::named("damaged-commit").unwrap();
    let seen = canary.fly(&Bench::new(None)).unwrap();
    let schedule = canary.record(&Bench::new(None), &seen).unwrap();
    let file = format!("{path}/run.schedule");
    std::fs::write(&file, schedule.to_string()).unwrap();
    let output = raft_sim(&["replay", &file]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let last: Vec<&str> = text.lines().rev().take(2).collect();
    let digest = rig("damaged-commit").replay(&schedule).digest;
    assert_eq!(last[0], format!("digest {digest:016x}"));
    assert!(last[1].starts_with("violated commit-rule: "), "{}", last[1]);

    // Goal: what does not show again is code 0. Method: the same run with nothing broken.
    std::fs::write(&file, Schedule { broken: None, ..schedule }.to_string()).unwrap();
    assert_eq!(raft_sim(&["replay", &file]).status.code(), Some(0));
}

/// Goal: a bad file is code 2, and stderr names the line. Method: no file, no schedule, a bad line, an unknown canary.
#[test]
fn bad_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (good, _) = record(1, &Options { actions: 5, ..Options::default() }, &Honest);
    let unknown = Schedule { broken: Some("no-such-bird".to_owned()), ..good.clone() };
    let cases = [
        ("hello\n".to_owned(), "line 1: not a schedule"),
        (good.to_string().replace("schedule 1", "schedule 7"), "line 1: version 7"),
        (format!("{good}jump 3\n"), "not an action: `jump 3`"),
        (unknown.to_string(), "no canary `no-such-bird`"),
    ];
    let file = folder.path().join("bad.schedule");
    for (text, expected) in cases {
        std::fs::write(&file, text).unwrap();
        let output = raft_sim(&["replay", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(expected), "{stderr}");
    }
    assert_eq!(raft_sim(&["replay", "/nowhere/at/all"]).status.code(), Some(2));
}
