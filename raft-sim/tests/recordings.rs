//! `raft-sim replay` of a recording: what it prints, its verdicts, and JSON.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use raft_core::{
    Boot, Bootstrap, Config, Identity, Incarnation, Membership, Message, Node, NodeId, Pair, RecordedStart,
    RecordedStep, Recording, Recovered, RequestId, Server, Suffrage, bootstrap,
};
use tempfile::TempDir;

/// A single server that becomes the leader and takes a proposal.
fn recorded() -> (RecordedStart, Vec<RecordedStep>) {
    let pair = Pair { id: NodeId::new(1).unwrap(), incarnation: Incarnation::new(0x77) };
    let (suffrage, raft_address) = (Suffrage::Voter, "here".to_owned());
    let server = Server { pair, suffrage, raft_address, client_address: String::new() };
    let founding = Membership::new(vec![server]).unwrap();
    let mut recovered = Recovered::default();
    let Ok(Bootstrap::Write(first)) = bootstrap(&recovered, &founding, pair) else {
        panic!("an empty disk takes it");
    };
    recovered.absorb(&first).unwrap();
    let identity = Identity { cluster: founding.cluster_id(), pair, boot: Boot::new(1) };
    let start = RecordedStart { config: Config::default(), identity, recovered };
    let mut node = Node::new(start.config, identity, start.recovered.clone()).unwrap();
    let mut steps = Vec::new();
    let mut step = |message: Message| {
        let ready = node.step(message.clone());
        steps.push(RecordedStep::new(vec![message], &ready));
        ready.write.map(|write| write.number)
    };
    for message in [
        Message::Tick { elapsed: 0 },
        Message::Tick { elapsed: 40 },
        Message::Propose { id: RequestId::new(5), commands: b"hello"[..].into() },
    ] {
        let mut written = step(message);
        while let Some(number) = written {
            written = step(Message::Synced(number));
        }
    }
    (start, steps)
}

struct Case {
    folder: TempDir,
    file: PathBuf,
}

impl Case {
    fn of(start: &RecordedStart, steps: &[RecordedStep]) -> Case {
        let steps = steps.iter().flat_map(RecordedStep::to_bytes);
        Case::of_bytes(start.to_bytes().into_iter().chain(steps).collect())
    }

    fn of_bytes(bytes: Vec<u8>) -> Case {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("one.recording");
        fs::write(&file, bytes).unwrap();
        Case { folder, file }
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.file).unwrap()
    }

    fn replay(&self) -> Output {
        replay(&[&self.file])
    }
}

fn replay(arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_raft-sim")).arg("replay").args(arguments).output().unwrap()
}

/// The exit code, stdout and its last line.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let last = text.lines().last().unwrap_or_default().to_owned();
    (output.status.code(), text, last)
}

#[test]
fn recording_is_replayed_line_by_line() {
    let (start, steps) = recorded();
    let (code, text, last) = said(&Case::of(&start, &steps).replay());
    assert_eq!((code, last), (Some(0), format!("equal: {} steps", steps.len())));
    assert_eq!(
        text.lines().count(),
        steps.len() + 2,
        "a line a step, one for the server, one for the verdict"
    );
    assert!(text.contains("     1  tick +0  ->  is in term 0, log to 0.1, committed to 0"), "{text}");
    assert!(
        text.contains("propose 5 commands 1  ->  leads term 1, log to 1.3, committed to 2; write"),
        "{text}"
    );
}

/// The check can fail: another byte, and a message less.
#[test]
fn replay_of_a_recording_says_where_it_differs() {
    let (start, steps) = recorded();
    for nth in [0, steps.len() - 1] {
        let mut changed = steps.clone();
        let mut ready = changed[nth].ready.to_vec();
        *ready.last_mut().unwrap() ^= 1;
        changed[nth].ready = ready.into();
        let (code, text, last) = said(&Case::of(&start, &changed).replay());
        assert_eq!((code, last), (Some(1), format!("differs: step {}", nth + 1)));
        assert!(text.contains("recorded") && text.contains("replayed"), "both are shown: {text}");
    }
    let mut without = steps;
    without.remove(1);
    assert_eq!(said(&Case::of(&start, &without).replay()).0, Some(1));
}

/// What is named may be anything: a file without an end is read so far and no further.
#[cfg(unix)]
#[test]
fn file_without_an_end_is_refused() {
    let output = replay(&[Path::new("/dev/zero")]);
    assert_eq!(said(&output), (Some(2), String::new(), String::new()));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(message, "raft-sim: /dev/zero: longer than 67108864 bytes\n");
}

#[test]
fn torn_recordings_are_replayed_and_damaged_ones_refused() {
    let (start, steps) = recorded();
    let whole = Case::of(&start, &steps).bytes();
    let torn = Case::of_bytes(whole[..whole.len() - 1].to_vec());
    let (code, _, last) = said(&torn.replay());
    let expected = format!("equal: {} steps, then a record that is not all there", steps.len() - 1);
    assert_eq!((code, last), (Some(0), expected));

    let mut damaged = whole;
    *damaged.last_mut().unwrap() ^= 1;
    let output = Case::of_bytes(damaged).replay();
    let (code, text, _) = said(&output);
    assert_eq!(code, Some(2));
    assert_eq!(text.lines().count(), steps.len(), "what is whole is replayed: {text}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("is damaged"));

    let start = Case::of_bytes(start.to_bytes()[..30].to_vec()).replay();
    assert_eq!(said(&start).0, Some(2), "there is nothing to replay");
}

/// Goal: a recording is not taken for the run of a cluster. Method: a picture of one is refused, and nothing is written.
#[test]
fn recordings_are_not_drawn() {
    let (start, steps) = recorded();
    let case = Case::of(&start, &steps);
    let page = case.folder.path().join("run.html");
    let refused = Command::new(env!("CARGO_BIN_EXE_raft-sim"))
        .args(["replay".as_ref(), case.file.as_os_str(), "--html".as_ref(), page.as_os_str()])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(stderr.contains("a recording is of one node"), "{stderr}");
    assert!(!page.exists());
}

/// Goal: JSON is the same recording. Method: read back, and compared by what it is in a file.
#[test]
fn recording_is_written_as_json() {
    let (start, steps) = recorded();
    let case = Case::of(&start, &steps);
    let json = case.folder.path().join("one.json");
    let output = replay(&[&case.file, Path::new("--json"), &json]);
    assert_eq!(said(&output).0, Some(0));
    let text = fs::read_to_string(&json).unwrap();
    let mut lines = text.lines();
    let start_again: RecordedStart = serde_json::from_str(lines.next().unwrap()).unwrap();
    let steps_again: Vec<RecordedStep> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(Case::of(&start_again, &steps_again).bytes(), case.bytes());
    let (start_read, _) = Recording::open(case.bytes().into()).unwrap();
    assert_eq!(start_read, start_again);

    let schedule = case.folder.path().join("a.schedule");
    fs::write(&schedule, "raft-sim schedule 1\n").unwrap();
    let refused = replay(&[&schedule, Path::new("--json"), &json]);
    assert_eq!(said(&refused).0, Some(2));
}
