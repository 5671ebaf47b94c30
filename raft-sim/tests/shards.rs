//! Campaigns on many machines, and what a run must not depend on.

use std::path::Path;
use std::process::{Command, Output};

fn raft_sim(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_raft-sim")).current_dir(folder).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

const RUN: [&str; 5] = ["run", "--seeds", "5..22", "--actions", "1500"];

fn shard(folder: &Path, name: &str, report: &str) -> Output {
    raft_sim(folder, &[&RUN[..], &["--shard", name, "--json", report]].concat())
}

/// Goal: shards are the whole, to the last digit. Method: the merged text and report of three, in another order, equal those of the
/// campaign in one piece.
#[test]
fn merged_shards_are_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, report) in [("1/3", "a.json"), ("2/3", "b.json"), ("3/3", "c.json")] {
        assert_eq!(shard(folder, name, report).status.code(), Some(0));
    }
    let whole = raft_sim(folder, &[&RUN[..], &["--json", "whole.json"]].concat());
    let merged = raft_sim(folder, &["merge", "b.json", "c.json", "a.json", "--json", "merged.json"]);
    assert_eq!(merged.status.code(), Some(0));
    assert_eq!(stdout(&merged), stdout(&whole));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("merged.json"), read("whole.json"));
}

/// Goal: what is missing is not taken for clean, and what does not belong together is refused. Method: one of each.
#[test]
fn merge_wants_all_shards_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    shard(folder, "1/2", "a.json");
    shard(folder, "2/2", "b.json");
    raft_sim(
        folder,
        &["run", "--seeds", "5..22", "--actions", "900", "--shard", "2/2", "--json", "other.json"],
    );
    raft_sim(folder, &[&RUN[..], &["--json", "whole.json"]].concat());
    let alone = raft_sim(folder, &["merge", "a.json"]);
    assert_eq!(alone.status.code(), Some(3));
    let said = "unfinished: 9 of 17 runs, all clean; go on with --seeds 5..22 --shard 2/2 --actions 1500";
    assert_eq!(stdout(&alone).lines().last(), Some(said));
    for (reports, expected) in [
        (["a.json", "a.json"], "shard 1/2 is there twice"),
        (["a.json", "other.json"], "shard 2/2 is of another campaign"),
        (["a.json", "whole.json"], "whole.json: not the report of a shard"),
        (["a.json", "nowhere.json"], "nowhere.json: "),
    ] {
        let refused = raft_sim(folder, &[&["merge"][..], &reports].concat());
        assert_eq!(refused.status.code(), Some(2), "{reports:?}");
        let stderr = String::from_utf8(refused.stderr).unwrap();
        assert!(stderr.contains(expected), "{stderr}");
    }
    assert_eq!(raft_sim(folder, &[&RUN[..], &["--shard", "3/2"]].concat()).status.code(), Some(2));
}

/// Goal: a violation found in a shard is one of the whole. Method: a report that says so.
#[test]
fn merge_keeps_violations() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    shard(folder, "1/1", "a.json");
    let text = std::fs::read_to_string(folder.join("a.json")).unwrap();
    let found = r#""violations": [{ "seed": 7, "actions": 90, "oracle": "votes", "rule": "r", "seen": "s", "replay": "p" }]"#;
    assert!(text.contains(r#""violations": []"#));
    std::fs::write(folder.join("a.json"), text.replace(r#""violations": []"#, found)).unwrap();
    let merged = raft_sim(folder, &["merge", "a.json"]);
    assert_eq!(merged.status.code(), Some(1));
    let text = stdout(&merged);
    assert!(text.contains("seed 7 breaks a rule after 90 actions\n  oracle  votes\n"), "{text}");
    assert_eq!(text.lines().last(), Some("violated: 1 of 17 runs broke a rule"));
}

/// Goal: nothing of a run depends on the environment or the working folder. Method: processes with none, and with one that
/// changes what programs usually ask for.
#[test]
fn runs_do_not_depend_on_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&RUN[..], &["replay", "--seed", "3", "--actions", "1000"]] {
        let usual = Command::new(env!("CARGO_BIN_EXE_raft-sim")).args(arguments).output().unwrap();
        assert_eq!(usual.status.code(), Some(0));
        let mut bare = Command::new(env!("CARGO_BIN_EXE_raft-sim"));
        bare.env_clear().current_dir(folder.path());
        let mut other = Command::new(env!("CARGO_BIN_EXE_raft-sim"));
        other.env_clear().current_dir("/");
        let changed = [
            ("LANG", "tr_TR.UTF-8"),
            ("LC_ALL", "de_DE.UTF-8"),
            ("TZ", "Pacific/Kiritimati"),
            ("HOME", "/nowhere"),
            ("TERM", "xterm-256color"),
            ("COLUMNS", "20"),
            ("RUST_BACKTRACE", "full"),
            ("RUST_LOG", "trace"),
            ("CLICOLOR_FORCE", "1"),
        ];
        other.envs(changed);
        for mut command in [bare, other] {
            let output = command.args(arguments).output().unwrap();
            assert_eq!(output.status.code(), Some(0));
            assert_eq!(output.stdout, usual.stdout, "{command:?}");
            assert_eq!(output.stderr, usual.stderr, "{command:?}");
        }
    }
}
