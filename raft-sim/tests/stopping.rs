//! Commands that are stopped, or whose output nobody can take: what is finished is told, with an exit code that says so.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use raft_sim::canary::{Bench, Canary};

fn raft_sim(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raft-sim"));
    command.current_dir(folder).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(folder: &Path, arguments: &[&str]) -> Output {
    raft_sim(folder, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn last_line(output: &Output) -> String {
    text(&output.stdout).lines().last().unwrap_or_default().to_owned()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits until the command has made this file or folder, which it does when it heeds signals.
fn until_there(child: &mut Child, path: &Path) {
    while !path.exists() {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::yield_now();
    }
}

/// A schedule of a run that breaks a rule in a disk that forgets.
fn failing(folder: &Path) -> String {
    let (canary, bench) = (Canary::named("forgetful-disk").unwrap(), Bench::new(None));
    let seen = canary.fly(&bench).unwrap();
    let schedule = canary.record(&bench, &seen).unwrap();
    std::fs::write(folder.join("forgetful-disk.schedule"), schedule.to_string()).unwrap();
    "forgetful-disk.schedule".to_owned()
}

/// Goal: a campaign stops in the middle of a run, tells what is finished, and how to go on; what it was told to go on with completes it.
/// Method: runs that would take for ever, each signal; then an interrupted report put together with that of the rest.
#[test]
fn run_stops_within_a_run() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let endless = ["run", "--seeds", "3..9", "--actions", "1000000000000", "--json", "report.json"];
        let mut child =
            raft_sim(folder, &[&endless[..], &["--jobs", "2", "--shard", "2/3"]].concat()).spawn().unwrap();
        until_there(&mut child, &folder.join("report.json"));
        signal(&child, name);
        let stopped = child.wait_with_output().unwrap();
        assert_eq!(stopped.status.code(), Some(code), "{}", text(&stopped.stderr));
        let rest = "--seeds 4..9 --shard 1/3 --actions 1000000000000";
        let expected = format!("unfinished: 0 of 2 runs, all clean; stopped by SIG{name}; go on with {rest}");
        assert_eq!(last_line(&stopped), expected);
        let report: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap();
        assert_eq!(report["finished"], false);
        assert_eq!(report["go_on"][0], rest);
    }
}

/// Goal: a shard that was stopped and the rest of it are the shard. Method: a report without its last runs, as if it had been stopped
/// there, the run that it says to go on with, and the other shard; together they are the campaign in one piece.
#[test]
fn rest_completes_a_stopped_shard() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let run = ["run", "--actions", "500", "--seeds"];
    for (seeds, shard, report) in [("5..22", "1/2", "one.json"), ("5..22", "2/2", "two.json")] {
        output(folder, &[&run[..], &[seeds, "--shard", shard, "--json", report]].concat());
    }
    let mut report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("two.json")).unwrap()).unwrap();
    // Of 6, 8, … 20 the runs 6, 8 and 12 are finished, as they can be with two jobs.
    let runs = report["runs"].as_array_mut().unwrap();
    runs.retain(|run| [6, 8, 12].contains(&run[0].as_u64().unwrap()));
    std::fs::write(folder.join("two.json"), report.to_string()).unwrap();
    let stopped = output(folder, &["merge", "one.json", "two.json"]);
    assert_eq!(stopped.status.code(), Some(3));
    let said = "unfinished: 12 of 17 runs, all clean; go on with --seeds 10..22 --shard 1/2 --actions 500";
    assert_eq!(last_line(&stopped), said);
    output(folder, &[&run[..], &["10..22", "--shard", "1/2", "--json", "rest.json"]].concat());
    let whole = output(folder, &[&run[..], &["5..22"]].concat());
    let merged = output(folder, &["merge", "rest.json", "one.json", "two.json"]);
    assert_eq!(merged.status.code(), Some(0), "{}", text(&merged.stderr));
    assert_eq!(text(&merged.stdout), text(&whole.stdout));
    // What nobody said to go on with belongs to nothing.
    output(folder, &[&run[..], &["12..22", "--shard", "1/2", "--json", "other.json"]].concat());
    let refused = output(folder, &["merge", "one.json", "two.json", "other.json"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("shard 1/2 is of another campaign: other.json"));
}

/// Goal: `replay` of a seed or a schedule stops in the middle. Method: a run that would take for ever, once its text has begun.
#[test]
fn replay_stops_within_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut child =
        raft_sim(folder.path(), &["replay", "--seed", "4", "--actions", "1000000000000"]).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut seen = vec![0; 10_000];
    stdout.read_exact(&mut seen).unwrap();
    signal(&child, "TERM");
    stdout.read_to_end(&mut seen).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let seen = text(&seen);
    let last = seen.lines().last().unwrap();
    assert!(last.starts_with("unfinished: ") && last.contains("stopped by SIGTERM"), "{last}");
}

/// Goal: a picture of a run that was stopped shows what had happened until then; one that is full says so. Method: a run that would take for
/// ever, stopped once its file is there, until that was in time; and one that nobody stops.
#[test]
fn stopped_runs_are_drawn_as_far_as_they_came() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("run.html");
    let arguments =
        ["replay", "--seed", "4", "--nodes", "3", "--actions", "1000000000000", "--html", "run.html"];
    let is_whole = || std::fs::read_to_string(&page).unwrap().contains("\"whole\":true");
    loop {
        drop(std::fs::remove_file(&page));
        let mut child = raft_sim(folder.path(), &arguments).spawn().unwrap();
        until_there(&mut child, &page);
        signal(&child, "TERM");
        let stopped = child.wait_with_output().unwrap();
        let last = last_line(&stopped);
        assert!(last.starts_with("unfinished: ") && !is_whole(), "{last}");
        if stopped.status.code() == Some(143) {
            assert!(
                last.ends_with("actions, then stopped by SIGTERM; the same command begins anew"),
                "{last}"
            );
            break;
        }
    }
    let full = output(folder.path(), &arguments);
    assert_eq!(full.status.code(), Some(3));
    assert_eq!(last_line(&full), "unfinished: 200000 actions, and a picture has room for no more");
    assert!(!is_whole());
    let arguments = ["replay", "--seed", "4", "--nodes", "3", "--actions", "100", "--html", "run.html"];
    assert_eq!(output(folder.path(), &arguments).status.code(), Some(0));
    assert!(is_whole());
}

/// Goal: `canaries` stops in the middle of a run, and says with which to go on. Method: the first runs, which show that the unbroken core
/// is not reported.
#[test]
fn canaries_stop_within_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["canaries", "--shard", "2/3", "--from", "applied-too-far", "--save", "saved"];
    let mut child = raft_sim(folder.path(), &arguments).spawn().unwrap();
    until_there(&mut child, &folder.path().join("saved"));
    signal(&child, "INT");
    let stopped = child.wait_with_output().unwrap();
    assert_eq!(stopped.status.code(), Some(130), "{}", text(&stopped.stderr));
    let expected = "unfinished: 0 canaries were tried, each seen by its oracle; stopped by SIGINT; go on with --from applied-too-far";
    assert_eq!(last_line(&stopped), expected);
}

/// Goal: a search stops, tells what it has met, and that it does not go on by itself. Method: a space that takes hours.
#[test]
fn explore_stops_within_a_space() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["explore", "--terms", "7", "--crashes", "9", "--json", "report.json"];
    let mut child = raft_sim(folder.path(), &arguments).spawn().unwrap();
    let report = folder.path().join("report.json");
    until_there(&mut child, &report);
    signal(&child, "INT");
    let stopped = child.wait_with_output().unwrap();
    assert_eq!(stopped.status.code(), Some(130), "{}", text(&stopped.stderr));
    let last = last_line(&stopped);
    let expected = "states, no rule breaks in them; stopped by SIGINT; the same command begins anew; with --resume it would go on";
    assert!(last.starts_with("unfinished: ") && last.ends_with(expected), "{last}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!(report["finished"], false);
}

/// Goal: a search that was stopped goes on from its file, and comes to what it would have come to. Method: stopped as soon as its report is opened,
/// and at a limit; then without either; beside one at a go.
#[test]
fn explore_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let space = ["explore", "--terms", "1", "--entries", "1", "--messages", "3", "--snapshots", "1"];
    let whole = output(folder, &space);
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole.stderr));
    let resuming = [&space[..], &["--resume", "search"]].concat();
    let limited = output(folder, &[&resuming[..], &["--max-states", "1000"]].concat());
    assert_eq!(limited.status.code(), Some(3), "{}", text(&limited.stderr));
    assert!(last_line(&limited).contains("ended by --max-states"), "{}", last_line(&limited));
    assert!(folder.join("search").exists());
    let other = output(folder, &["explore", "--terms", "2", "--resume", "search"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(
        text(&other.stderr).contains("search: it holds a search with `--nodes 3 --terms 1"),
        "{}",
        text(&other.stderr)
    );
    let mut child = raft_sim(folder, &[&resuming[..], &["--json", "report.json"]].concat()).spawn().unwrap();
    until_there(&mut child, &folder.join("report.json"));
    signal(&child, "INT");
    let stopped = child.wait_with_output().unwrap();
    // On a fast machine it may have been finished by then.
    assert!([Some(130), Some(0)].contains(&stopped.status.code()), "{}", text(&stopped.stderr));
    let end = if stopped.status.code() == Some(0) { stopped } else { output(folder, &resuming) };
    assert_eq!(end.status.code(), Some(0), "{}", text(&end.stderr));
    assert_eq!(text(&end.stdout), text(&whole.stdout));
    assert!(!folder.join("search").exists(), "there is nothing left to go on with");
}

/// Goal: `shrink` stops between two attempts, and the same command ends where it would have ended. Method: stopped as soon as its file is
/// there, again and again; compared with one that was not.
#[test]
fn shrink_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let failing = failing(folder);
    let whole = output(folder, &["shrink", &failing, "--out", "whole.schedule", "--test", "whole.rs"]);
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole.stderr));
    let arguments = ["shrink", &failing, "--out", "part.schedule", "--test", "part.rs"];
    let mut stops = 0;
    loop {
        drop(std::fs::remove_file(folder.join("part.rs")));
        let mut child = raft_sim(folder, &arguments).spawn().unwrap();
        while !folder.join("part.rs").exists() {
            std::thread::yield_now();
        }
        // From the third time on it is left alone.
        if stops < 2 {
            signal(&child, "INT");
        }
        match child.wait().unwrap().code() {
            Some(0) => break,
            code => assert_eq!(code, Some(130)),
        }
        stops += 1;
    }
    assert_eq!(stops, 2);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("part.schedule"), read("whole.schedule"));
    assert_eq!(read("part.rs"), read("whole.rs"));
    // Goal: nothing is written over that is a source of it.
    for arguments in [["--out", &failing], ["--test", &failing], ["--test", "whole.schedule"]] {
        let refused =
            output(folder, &[&["shrink", &failing, "--out", "whole.schedule"][..], &arguments].concat());
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
    }
}

/// Goal: stdout that is full or closed ends every command with code 2, in one line or quietly, and never by a panic. Method: each
/// command, with the device that is always full, and with a pipe that nobody reads.
#[test]
fn failed_stdout_ends_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let failing = failing(folder);
    output(folder, &["run", "--seeds", "0..2", "--actions", "500", "--shard", "1/1", "--json", "a.json"]);
    for arguments in [
        &["help"][..],
        &["run", "--help"],
        &["--version"],
        &["run", "--seeds", "0..2", "--actions", "500", "--timing"],
        &["run", "--seeds", "0..2", "--actions", "500", "--json", "full.json"],
        &["merge", "a.json"],
        &["replay", "--seed", "1", "--actions", "1000000000000"],
        &["replay", &failing],
        &["replay", "--columns", &failing],
        &["shrink", &failing],
        &["explore", "--nodes", "2", "--terms", "1", "--entries", "0", "--messages", "2"],
        &["canaries", "--only", "forgetful-disk"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let refused = raft_sim(folder, arguments).stdout(full).output().unwrap();
        let stderr = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("raft-sim: can not write to stdout: "), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let closed = raft_sim(folder, arguments).stdout(writer).output().unwrap();
        assert_eq!(closed.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&closed.stderr), "", "{arguments:?}");
    }
    // The report is there, whoever could not read the text.
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("full.json")).unwrap()).unwrap();
    assert_eq!(report["finished"], true);
}
