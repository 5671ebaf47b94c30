//! Every broken behaviour is seen, and by the oracle that is there for it.
//!
//! All broken disks, networks and drivers are tried here, and those broken cores that every Raft must never be; `raft-sim
//! canaries` tries all.

use std::process::Command;
use std::sync::atomic::AtomicBool;

use raft_sim::canary::{
    Bench, Break, CANARIES, Canary, CanaryError, HABITATS, Habitat, Hunt, HuntError, Replacement, SEEDS,
};
use raft_sim::explore::Limits;
use raft_sim::{Honest, Mix, Options, Schedule, campaign, replay};

/// Goal: an oracle that sees a canary does not see ghosts. Method: the unbroken world passes the same seeds.
#[test]
fn unbroken_world_passes_the_seeds_of_the_canaries() {
    let stop = AtomicBool::new(false);
    for mix in [Mix::Default, Mix::Swarm] {
        let summary = campaign((0, SEEDS), &Options::of(mix), 2, &Honest, &stop, &|_| {});
        assert_eq!(summary.violations, []);
        assert_eq!(summary.seeds, SEEDS);
    }
}

fn assert_flies(canary: &Canary, bench: &Bench) {
    let outcome = canary.fly(bench);
    assert!(outcome.is_ok(), "{}: {}", canary.name, outcome.unwrap_err());
}

/// Goal: broken disks, networks and drivers are seen. Method: all rigs.
#[test]
fn broken_rigs_are_seen_by_their_oracles() {
    let bench = Bench::new(None);
    let rigs = CANARIES.iter().filter(|canary| matches!(canary.how, Break::Rig(_)));
    assert!(8 <= rigs.clone().count());
    for canary in rigs {
        assert_flies(canary, &bench);
    }
}

/// Goal: broken cores are seen. Method: a copy of the sources with one rule taken out, built and run, for the rules that the
/// figure 3.2 properties rest on.
#[test]
fn broken_cores_are_seen_by_their_oracles() {
    let bench = Bench::new(None);
    for name in ["vote-by-index", "commit-by-counting", "empty-acknowledgement"] {
        let canary = CANARIES.iter().find(|canary| canary.name == name).unwrap();
        assert_flies(canary, &bench);
    }
    short_run_of_a_broken_core(&bench);
    // Goal: a canary that no longer applies is a failure, not a success. Method: a text that is nowhere.
    let gone = Replacement { file: "raft-core/src/step.rs", from: "no such text", to: "" };
    assert!(matches!(bench.probe(&[gone]), Err(CanaryError::Stale { found: 0, .. })));
}

/// Goal: the table can be relied on. Method: names differ, and every replacement fits the sources exactly once.
#[test]
fn canaries_fit_the_sources() {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (nth, canary) in CANARIES.iter().enumerate() {
        assert!(CANARIES[..nth].iter().all(|other| other.name != canary.name), "{}", canary.name);
        let Break::Core(replacements) = canary.how else { continue };
        for replacement in replacements {
            let text = std::fs::read_to_string(top.join(replacement.file)).unwrap();
            assert_eq!(text.matches(replacement.from).count(), 1, "{}: {}", canary.name, replacement.from);
        }
    }
}

/// Goal: the table of spaces can be relied on. Method: each is that of a broken core, which is there once, and there is such a space.
#[test]
fn habitats_are_those_of_broken_cores() {
    assert!(12 <= HABITATS.len());
    for (nth, habitat) in HABITATS.iter().enumerate() {
        let Habitat { canary, bounds, .. } = *habitat;
        assert!(HABITATS[..nth].iter().all(|other| other.canary != canary), "{canary}");
        let broken = Canary::named(canary).unwrap_or_else(|| panic!("there is no canary {canary}"));
        assert!(matches!(broken.how, Break::Core(_)), "{canary}");
        assert_eq!(broken.habitat(), Some(habitat));
        assert_eq!(bounds.to_string().parse(), Ok(bounds), "{canary}");
        let limits = Limits { states: Some(1), ..Limits::default() };
        assert!(Hunt::of(bounds, limits, &AtomicBool::new(false)).unwrap().found.is_none(), "{canary}");
    }
    let homeless = Canary::named("two-changes").unwrap();
    assert!(matches!(homeless.hunt(&Bench::new(None)), Err(HuntError::Homeless)));
}

/// Goal: a bug in the core goes from a seed to a short run and a test by two commands. Method: votes of an older term that count;
/// the short run breaks the same rule in the broken core, and none in the unbroken one.
fn short_run_of_a_broken_core(bench: &Bench) {
    let canary = Canary::named("stale-votes").unwrap();
    let seen = canary.fly(bench).unwrap();
    let schedule = canary.record(bench, &seen).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("run.schedule"), schedule.to_string()).unwrap();
    let raft_sim =
        |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_raft-sim")).args(arguments).output().unwrap();
    let shrunk = raft_sim(&["shrink", &path("run.schedule"), "--test", &path("test.rs")]);
    assert_eq!(shrunk.status.code(), Some(0), "{}", String::from_utf8_lossy(&shrunk.stderr));
    let short: Schedule = std::fs::read_to_string(path("run.short.schedule")).unwrap().parse().unwrap();
    assert!(short.actions.len() <= 40, "{short}");
    assert_eq!(replay(&short, Honest, &mut ()).violation, None);
    assert!(std::fs::read_to_string(path("test.rs")).unwrap().contains("#[test]"));
    let again = raft_sim(&["replay", "--columns", &path("run.short.schedule")]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stdout).contains("\nviolated election-safety: "));
}
