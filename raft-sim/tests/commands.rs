//! The command line: output, exit codes, and that neither depends on anything but the arguments.

use std::process::{Command, Output};

use raft_sim::canary::{CANARIES, HABITATS};

fn raft_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_raft-sim")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Goal: a clean range ends with code 0 and the same text with any number of threads. Method: one and two.
#[test]
fn run_prints_the_same_with_any_number_of_jobs() {
    let arguments = ["run", "--seeds", "0..8", "--actions", "2000", "--jobs"];
    let one = raft_sim(&[&arguments[..], &["1"]].concat());
    let two = raft_sim(&[&arguments[..], &["2"]].concat());
    assert_eq!(one.status.code(), Some(0));
    assert_eq!(stdout(&one), stdout(&two));
    assert_eq!(stdout(&one).lines().last(), Some("clean: 8 runs"));
    assert!(one.stderr.is_empty(), "no progress bar where nobody looks");
}

/// Goal: the report can be read by a program, and says what the text says. Method: the file of a small range.
#[test]
fn run_writes_json() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let output = raft_sim(&["run", "--seeds", "3..5", "--actions", "1000", "--json", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(report["seeds"]["run"], 2);
    assert_eq!(report["finished"], true);
    assert_eq!(report["violations"].as_array().map(Vec::len), Some(0));
    let digest = report["digest"].as_str().unwrap();
    assert!(stdout(&output).contains(&format!("digest        {digest}")));
}

/// Goal: a simulator in which nothing happens does not pass. Method: a hundred runs that end before anything can; ninety-nine
/// may.
#[test]
fn run_fails_when_nothing_happens() {
    let quiet = raft_sim(&["run", "--seeds", "0..100", "--actions", "1", "--nodes", "3"]);
    assert_eq!(quiet.status.code(), Some(1));
    assert!(
        stdout(&quiet).lines().last().unwrap().starts_with("too quiet: 100 runs without any truncations")
    );
    let few = raft_sim(&["run", "--seeds", "0..99", "--actions", "1", "--nodes", "3"]);
    assert_eq!(few.status.code(), Some(0));
}

/// Goal: a run as text ends with its digest, which is that of the same run within a range. Method: twice the same seed.
#[test]
fn replay_ends_with_the_digest() {
    let arguments = ["replay", "--seed", "7", "--nodes", "3", "--actions", "1500"];
    let (one, two) = (raft_sim(&arguments), raft_sim(&arguments));
    assert_eq!(one.status.code(), Some(0));
    assert_eq!(one.stdout, two.stdout);
    let text = stdout(&one);
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("digest ") && last.len() == "digest ".len() + 16, "{last}");
    let actions = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(1500 < actions);
}

/// Goal: wrong usage is code 2, on stderr. Method: one of each.
#[test]
fn wrong_usage_is_refused() {
    for arguments in [
        &["run"][..],
        &["run", "--seeds", "5"],
        &["run", "--seeds", "5..5"],
        &["run", "--seeds", "7..5"],
        &["run", "--seeds", "0..18446744073709551616"],
        &["run", "--seeds", "-1..5"],
        &["run", "--seeds", "0..1", "--nodes", "0"],
        &["run", "--seeds", "0..1", "--nodes", "10"],
        &["run", "--seeds", "0..1", "--actions", "0"],
        &["run", "--seeds", "0..1", "--jobs", "0"],
        &["run", "--seeds", "0..1", "--jobs", "1025"],
        &["run", "--seeds", "0..1", "--profile", "sunny"],
        &["run", "--seeds", "0..2", "--shard", "0/2"],
        &["run", "--seeds", "0..2", "--shard", "3/3"],
        &["run", "--seeds", "0..2", "--shard", "18446744073709551615/18446744073709551615"],
        &["merge"],
        &["merge", "no-such-report.json"],
        &["replay"],
        &["replay", "--seed", "1", "no-such.schedule"],
        &["replay", "--seed", "1", "--columns"],
        &["replay", "no-such.schedule", "--nodes", "3"],
        &["replay", "no-such.schedule"],
        &["replay", "Cargo.toml"],
        &["shrink", "no-such.schedule"],
        &["canaries", "--only", "no-such-bird"],
        &["canaries", "--from", "no-such-bird"],
        &["canaries", "--shard", "3/2"],
        &["canaries", "--shard", "1001/2000"],
        &["canaries", "--source", "/no-such-folder"],
        &["canaries", "--list", "--timing"],
        &["canaries", "--exhaustive", "--only", "forgetful-disk"],
        &["canaries", "--exhaustive", "--from", "equal-timeouts"],
        &["canaries", "--exhaustive", "--shard", "1001/2000"],
    ] {
        let output = raft_sim(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

/// Goal: canaries are found by those who do not know their names. Method: the list, that of those which fit into a space, and a name of which only
/// a word is right.
#[test]
fn canaries_can_be_listed() {
    let lines = |arguments: &[&str]| {
        let output = raft_sim(&[&["canaries", "--list"][..], arguments].concat());
        assert_eq!(output.status.code(), Some(0));
        stdout(&output).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (all, fitting) = (lines(&[]), lines(&["--exhaustive"]));
    for (list, count) in [(&all, CANARIES.len()), (&fitting, HABITATS.len())] {
        assert_eq!((list.len(), list.last().unwrap()), (count + 1, &format!("canaries: {count}")));
    }
    let line =
        "vote-twice                     votes                 a vote given to every candidate of a term (B3)";
    assert!(all.contains(&line.to_owned()));
    assert!(fitting.iter().all(|line| all.contains(line) || line.starts_with("canaries: ")));
    let wrong = raft_sim(&["canaries", "--only", "twice-vote"]);
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(
        said.contains("there are ") && said.contains("vote-twice, ") && !said.contains("half-is-enough"),
        "{said}"
    );
    assert!(said.ends_with("what else `raft-sim canaries --list` prints\n"), "{said}");
}

/// Goal: seeds at the end of their range are seeds like others. Method: the last there is, also in a shard.
#[test]
fn run_knows_the_greatest_seeds() {
    let last = ["run", "--seeds", "18446744073709551613..18446744073709551615", "--actions", "100"];
    let whole = raft_sim(&last);
    assert_eq!(whole.status.code(), Some(0));
    assert_eq!(stdout(&whole).lines().last(), Some("clean: 2 runs"));
    let shard = raft_sim(&[&last[..], &["--shard", "2/2"]].concat());
    assert_eq!(stdout(&shard).lines().last(), Some("clean: 1 runs"));
}

/// Goal: what can not be written is said before the first run, and not after hours. Method: runs that would take for ever, and targets
/// of every kind below a file that is no folder.
#[test]
fn unwritable_targets_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("below");
    let (file, below) = (file.to_str().unwrap(), below.to_str().unwrap());
    let folder = folder.path().to_str().unwrap();
    let endless = ["run", "--seeds", "0..9", "--actions", "1000000000000"];
    for (arguments, expected) in [
        ([&endless[..], &["--json", below]].concat(), below),
        ([&endless[..], &["--json", folder]].concat(), folder),
        ([&endless[..], &["--save", below]].concat(), below),
        ([&endless[..], &["--save", file]].concat(), file),
        (vec!["canaries", "--save", below], below),
    ] {
        let output = raft_sim(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with(&format!("raft-sim: can not write {expected}: ")), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

/// Goal: `--timing` says how fast it was, in steps and in simulated time. Method: the lines, which are there only when asked for.
#[test]
fn timing_is_printed_when_asked_for() {
    let arguments = ["run", "--seeds", "0..4", "--actions", "2000"];
    assert!(!stdout(&raft_sim(&arguments)).contains("second"));
    let text = stdout(&raft_sim(&[&arguments[..], &["--timing"]].concat()));
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("speed").contains(" node steps per "), "{text}");
    assert!(line("real time").ends_with(" times real time"), "{text}");
}

/// Goal: a search says whether its space is finished, and ends alike. Method: one that is, one that is not, and bounds that are none.
#[test]
fn explore_says_whether_it_has_finished() {
    let last = |output: &Output| stdout(output).lines().last().map(str::to_owned);
    let small = ["explore", "--nodes", "2", "--terms", "1", "--entries", "0", "--messages", "2"];
    let (finished, again) = (raft_sim(&small), raft_sim(&small));
    assert_eq!(finished.status.code(), Some(0));
    assert_eq!(finished.stdout, again.stdout);
    let verdict = last(&finished).unwrap();
    assert!(verdict.starts_with("finished: ") && verdict.ends_with(" states, no rule breaks"), "{verdict}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let cut = raft_sim(&["explore", "--max-states", "5000", "--json", file.to_str().unwrap()]);
    assert_eq!(cut.status.code(), Some(3));
    let verdict = last(&cut).unwrap();
    assert!(
        verdict.starts_with("unfinished: ")
            && verdict.ends_with("; ended by --max-states; the same command with more of it begins anew; with --resume it would go on"),
        "{verdict}"
    );
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(report["finished"], false);
    assert!(5000 <= report["states"].as_u64().unwrap());
    let cut = raft_sim(&["explore", "--memory", "1M"]);
    assert_eq!(cut.status.code(), Some(3));
    assert!(
        last(&cut).unwrap().contains("; ended by --memory; the same command with more of it begins anew")
    );
    let silent = raft_sim(&["explore", "--messages", "1"]);
    assert!(last(&silent).unwrap().ends_with("; no server leads in any of them, so that it proves nothing"));
    // What was reported before stays until there is something else to report.
    let before = std::fs::read(&file).unwrap();
    let name = file.to_str().unwrap();
    let same = raft_sim(&["explore", "--nodes", "2", "--resume", name, "--json", name]);
    assert!(String::from_utf8_lossy(&same.stderr).contains("it would be written over"));
    let other = folder.path().join("other");
    std::fs::write(&other, "no search").unwrap();
    let refused = raft_sim(&["explore", "--nodes", "2", "--resume", other.to_str().unwrap(), "--json", name]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(std::fs::read(&file).unwrap(), before);
    // The bounds are printed as the options that make them.
    let line = stdout(&finished).lines().next().unwrap().to_owned();
    assert_eq!(line, "bounds        --nodes 2 --terms 1 --entries 0 --messages 2");
    let wrong = raft_sim(&["explore", "--memory", "8GiB"]);
    let hint = "a whole number of bytes is wanted, or one with K, M or G behind it, as `8G`";
    assert!(String::from_utf8_lossy(&wrong.stderr).contains(hint));
    for wrong in [["--nodes", "6"], ["--messages", "0"], ["--memory", "1T"]] {
        assert_eq!(raft_sim(&[&["explore"][..], &wrong].concat()).status.code(), Some(2), "{wrong:?}");
    }
}
