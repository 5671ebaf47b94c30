//! Failing runs become short ones.

use std::ops::ControlFlow;
use std::process::{Command, Output};

use raft_sim::canary::{Break, Canary};
use raft_sim::{Honest, Options, Progress, Schedule, ShrinkError, Subject, record};

fn raft_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_raft-sim")).args(arguments).output().unwrap()
}

fn rig(name: &str) -> &'static dyn Subject {
    match Canary::named(name).unwrap().how {
        Break::Rig(rig) => rig,
        Break::Core(_) => panic!("{name} is no rig"),
    }
}

fn failing(name: &str) -> Schedule {
    let report = rig(name).find(20, &Options::default()).unwrap();
    let (schedule, _) = rig(name).record(report.seed, &Options::default());
    Schedule { broken: Some(name.to_owned()), ..schedule }
}

fn to_the_end(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Goal: what comes out is short, breaks the same rule, and nothing in it is without effect. Method: broken disks, networks and
/// drivers that different oracles report, also one that gets not well in the end.
#[test]
fn shortened_runs_break_the_same_rule() {
    let most = [
        ("forgetful-disk", 20),
        ("early-synced", 12),
        ("fed-backwards", 25),
        ("damaged-commit", 25),
        ("answered-twice", 25),
        ("answer-dropped", 60),
        ("clock-stops-at-heal", 12),
    ];
    for (name, most) in most {
        let long = failing(name);
        let short = rig(name).shrink(&long, &mut to_the_end).unwrap();
        assert!(short.actions.len() <= most, "{name}: {} actions\n{short}", short.actions.len());
        assert!(short.setup.hosts <= long.setup.hosts);
        let replayed = rig(name).replay(&short);
        assert_eq!(replayed.violation.map(|violation| violation.oracle), long.expects.as_deref(), "{name}");
        assert_eq!(replayed.impossible, 0, "{name}");
    }
}

/// Goal: shortening can be stopped anywhere, and gives in the end what it would have given. Method: stopped again and again,
/// and gone on with from the text of what there was.
#[test]
fn shortening_goes_on_where_it_was_stopped() {
    for name in ["damaged-commit", "clock-stops-at-heal"] {
        let long = failing(name);
        let whole = rig(name).shrink(&long, &mut to_the_end).unwrap();
        for patience in [1, 7] {
            let mut best = long.clone();
            let mut stops = 0;
            while best.shortened.is_none_or(|shortened| shortened.stage.is_some()) {
                let few = &mut |progress: Progress<'_>| {
                    if progress.tried < patience { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                };
                best = rig(name).shrink(&best, few).unwrap().to_string().parse().unwrap();
                stops += 1;
            }
            assert!(1 < stops);
            assert_eq!(best, whole, "{name}, {patience} attempts at a time");
        }
    }
}

/// Goal: only what breaks its rule is shortened. Method: a run that breaks none, and one that expects another oracle.
#[test]
fn shortening_needs_a_broken_rule() {
    let (clean, _) = record(3, &Options { actions: 200, ..Options::default() }, &Honest);
    assert_eq!(Honest.shrink(&clean, &mut to_the_end), Err(ShrinkError::NothingExpected));
    let expecting = Schedule { expects: Some("votes".to_owned()), ..clean };
    let error = ShrinkError::NotBroken { expected: "votes".to_owned(), found: None };
    assert_eq!(Honest.shrink(&expecting, &mut to_the_end), Err(error));
    let other = Schedule { expects: Some("votes".to_owned()), ..failing("early-synced") };
    let error = ShrinkError::NotBroken { expected: "votes".to_owned(), found: Some("promises") };
    assert_eq!(rig("early-synced").shrink(&other, &mut to_the_end), Err(error));
}

/// Goal: one command makes of a file a short file, a test and a picture. Method: the command line, twice: the second time there
/// is nothing left to do, and what does not belong to the file is not overwritten.
#[test]
fn shrink_writes_a_short_run_and_a_test() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let long = failing("damaged-commit");
    std::fs::write(path("run.schedule"), long.to_string()).unwrap();
    let output = raft_sim(&["shrink", &path("run.schedule"), "--test", &path("test.rs")]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(output.stderr.is_empty());
    let short: Schedule = std::fs::read_to_string(path("run.short.schedule")).unwrap().parse().unwrap();
    let (before, after) = (long.actions.len(), short.actions.len());
    let verdict = format!(
        "shortened: {before} actions of {} servers to {after} of {}; see {}\n",
        long.setup.hosts,
        short.setup.hosts,
        path("run.short.schedule")
    );
    assert_eq!(text, verdict);
    let test = std::fs::read_to_string(path("test.rs")).unwrap();
    assert!(test.contains("#[test]\nfn commit_rule_holds_in_shortened_run() {"), "{test}");
    for action in &short.actions {
        assert!(test.contains(&format!("\n{action}\n")), "{action}");
    }
    let again = raft_sim(&["shrink", &path("run.schedule"), "--test", &path("again.rs")]);
    assert_eq!(String::from_utf8(again.stdout).unwrap(), verdict);
    assert_eq!(std::fs::read_to_string(path("again.rs")).unwrap(), test);

    let picture = raft_sim(&["replay", "--columns", &path("run.short.schedule")]);
    assert_eq!(picture.status.code(), Some(1));
    let picture = String::from_utf8(picture.stdout).unwrap();
    assert!(picture.contains("server 1 ") && picture.contains("violated commit-rule: "), "{picture}");

    std::fs::write(path("other.schedule"), failing("early-synced").to_string()).unwrap();
    let refused = raft_sim(&["shrink", &path("other.schedule"), "--out", &path("run.short.schedule")]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("was not made from this schedule"));
    assert_eq!(raft_sim(&["shrink", "/nowhere/at/all"]).status.code(), Some(2));
}
