//! Goal: a recorded run is the run, and anything else is seen. Method: clusters with elections, changes, snapshots and restarts, whose
//! servers are recorded and made again; then recordings that are cut off, damaged, or changed at one place.

mod common;

use bytes::Bytes;
use common::{Cluster, config, server};
use raft_core::{
    Change, Commands, Config, Message, Node, RecordedStart, RecordedStep, Recording, RecordingError, Replay,
    RequestId, Suffrage,
};

/// Recordings of all servers of a cluster that has gone through a good deal, each since its last start.
fn busy() -> Cluster {
    let mut cluster =
        Cluster::with(3, Config { trailing_entries: 0, tail_bytes_max: 1, timer_ticks: 7, ..config() });
    for id in 1..=3 {
        let machine = cluster.machine(id);
        (machine.recording, machine.tail_entries) = (Some(Vec::new()), Some(1));
    }
    cluster.elect(1);
    cluster.propose(1, "before the start");
    cluster.run(9);
    for id in 1..=3 {
        cluster.restart(id);
    }
    cluster.elect(2);
    for text in ["one", "two", "three"] {
        cluster.propose(2, text);
    }
    cluster.propose(3, "refused");
    cluster.step(3, Message::Forward { id: RequestId::new(70), commands: b"forwarded"[..].into() });
    for (id, message) in [
        (2, Message::Read { id: RequestId::new(71) }),
        (3, Message::ReadWithin { id: RequestId::new(72), ticks: 5 }),
        (2, Message::Barrier { id: RequestId::new(73) }),
        (1, Message::VerifyLeader { id: RequestId::new(74) }),
    ] {
        cluster.step(id, message);
    }
    cluster.run(12);
    let fourth = cluster.join();
    cluster.restart(fourth);
    cluster.change(2, Change::Add(server(fourth, Suffrage::Staging)));
    cluster.run(12);
    cluster.take_snapshot(2);
    cluster.cut.extend([(2, 1), (3, 1), (4, 1)]);
    cluster.propose(2, "behind the back of one");
    cluster.run(6);
    cluster.take_snapshot(2);
    cluster.cut.clear();
    cluster.run(12);
    if !cluster.machine(2).sending.is_empty() {
        cluster.deliver_snapshot(2);
    }
    cluster.run(12);
    cluster.transfer(2, Some(3));
    cluster.run(12);
    cluster
}

fn file(cluster: &Cluster, id: usize) -> Bytes {
    cluster.machines[id - 1].recording.clone().expect("it is recorded").into()
}

fn opened(file: &Bytes) -> (RecordedStart, Vec<RecordedStep>) {
    let (start, steps) = Recording::open(file.clone()).expect("a recording");
    (start, steps.collect::<Result<_, _>>().expect("all of it is whole"))
}

/// The step at which the replay differs, if it does, and what it says of that.
fn replay(start: &RecordedStart, steps: &[RecordedStep]) -> Result<Node, (u64, String)> {
    let mut replay = Replay::new(start.clone()).expect("it started before");
    for step in steps {
        replay.step(step).map_err(|difference| (difference.step, difference.to_string()))?;
    }
    assert_eq!(replay.steps(), steps.len() as u64);
    Ok(replay.node().clone())
}

#[test]
fn recorded_runs_are_replayed_byte_for_byte() {
    let cluster = busy();
    let mut kinds = std::collections::BTreeSet::new();
    for (nth, machine) in cluster.machines.iter().enumerate() {
        let (start, steps) = opened(&file(&cluster, nth + 1));
        assert!(50 < steps.len(), "something has happened");
        assert_eq!(replay(&start, &steps).as_ref(), Ok(machine.node()));
        let names = steps.iter().flat_map(|step| &step.messages).map(|message| format!("{message:?}"));
        kinds.extend(names.map(|name| name.split([' ', '(']).next().map(str::to_owned)));
    }
    assert!(12 <= kinds.len(), "few kinds of messages: {kinds:?}");
}

/// The check can fail: wherever one byte of what a node wanted is another one, the replay says so, at that step.
#[test]
fn replay_sees_every_changed_byte_of_a_ready() {
    let (start, steps) = opened(&file(&busy(), 2));
    for (nth, step) in steps.iter().enumerate() {
        // All bytes of a few steps, and one of each.
        let places = if nth % 40 == 0 { step.ready.len() } else { step.ready.len().min(1) };
        for at in 0..places {
            let mut ready = step.ready.to_vec();
            ready[at] ^= 1;
            let changed = RecordedStep { ready: ready.into(), ..step.clone() };
            let mut all = steps[..nth].to_vec();
            all.push(changed);
            let seen = replay(&start, &all).map(|_| ()).expect_err("a byte has changed");
            assert_eq!(seen.0, nth as u64 + 1);
        }
    }
}

/// The check can fail: without one of its messages a run is another one, and so it is with a message changed, or another setting.
#[test]
fn replay_sees_what_was_left_out() {
    let (start, steps) = opened(&file(&busy(), 2));
    let proposal = |step: &RecordedStep| matches!(step.messages[..], [Message::Propose { .. }]);
    let nth = steps.iter().position(proposal).expect("it was the leader");
    let mut without = steps.clone();
    without[nth].messages.clear();
    let (step, text) = replay(&start, &without).expect_err("a proposal is missing");
    assert_eq!(step, nth as u64 + 1);
    assert!(text.contains("\n  write\n    recorded Some(") && text.contains("\n    replayed None"), "{text}");

    let mut without = steps.clone();
    without.remove(nth);
    replay(&start, &without).expect_err("a step is missing");

    let mut changed = steps.clone();
    let Message::Propose { commands, .. } = &mut changed[nth].messages[0] else {
        panic!("the step of a proposal");
    };
    *commands = Commands::from(b"another"[..].to_vec());
    replay(&start, &changed).expect_err("a proposal is another one");

    let config = Config { heartbeat_ticks: 2, ..start.config };
    replay(&RecordedStart { config, ..start }, &steps).expect_err("a setting is another one");
}

/// Equal readies have equal encodings, however the entries in them are cut.
#[test]
fn encoding_of_a_ready_does_not_show_how_runs_are_cut() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    let node = cluster.machine(1).node.as_mut().expect("it runs");
    let commands = Commands::Many(vec![b"a"[..].into(), b"b"[..].into()]);
    let whole = node.step(Message::Propose { id: RequestId::new(1), commands });
    let mut cut = whole.clone();
    let entries = cut.write.as_ref().map(|write| write.entries.clone()).expect("two entries to write");
    let (first, last) = (entries.first().expect("two"), entries.last_position().expect("two").index);
    let parts =
        [(first, first), (last, last)].map(|(from, to)| entries.iter().find_map(|r| r.slice(from, to)));
    let mut pieces = raft_core::Runs::new();
    for part in parts {
        pieces.push(part.expect("within")).expect("consecutive");
    }
    assert_eq!((entries.iter().count(), pieces.iter().count()), (1, 2));
    cut.write.as_mut().expect("it writes").entries = pieces;
    assert_eq!(whole, cut);
    assert_eq!(RecordedStep::new(Vec::new(), &whole), RecordedStep::new(Vec::new(), &cut));
}

/// A recording may end anywhere: what is whole is read, and what is not is torn, not damaged.
#[test]
fn torn_recordings_are_read_as_far_as_they_go() {
    let file = file(&busy(), 1);
    let (start, steps) = opened(&file);
    let frames = |count: usize| {
        let steps = steps[..count].iter().flat_map(RecordedStep::to_bytes);
        start.to_bytes().into_iter().chain(steps).collect::<Bytes>()
    };
    assert_eq!(frames(steps.len()), file, "what was read is written alike");
    let (two, three) = (frames(2).len(), frames(3).len());
    for end in two..=three {
        let (_, mut rest) = Recording::open(file.slice(..end)).expect("the beginning is whole");
        for _ in 0..if end == three { 3 } else { 2 } {
            assert!(matches!(rest.next(), Some(Ok(_))));
        }
        match rest.next() {
            None => assert!(end == two || end == three),
            Some(torn) => assert_eq!(torn, Err(RecordingError::Torn { offset: two as u64 })),
        }
        assert_eq!(rest.next(), None, "after an error there is nothing");
    }
    for end in 0..start.to_bytes().len() {
        let error = Recording::open(file.slice(..end)).expect_err("the start is not whole");
        assert!(matches!(error, RecordingError::NotARecording | RecordingError::Torn { .. }), "{error}");
    }
}

/// The check can fail: no change of a single byte gets through.
#[test]
fn damaged_recordings_are_refused() {
    let file = file(&busy(), 1);
    for at in 0..file.len().min(6000) {
        let mut bytes = file.to_vec();
        bytes[at] ^= 0x10;
        let read = Recording::open(bytes.into()).and_then(|(_, steps)| steps.collect::<Result<Vec<_>, _>>());
        let error = read.expect_err("a byte has changed");
        assert!(
            matches!(error, RecordingError::NotARecording | RecordingError::Damaged { .. }),
            "byte {at}: {error}"
        );
    }
}

/// A recording in JSON is read back as it was: every byte of every message and ready.
#[cfg(feature = "serde")]
#[test]
fn recordings_survive_json() {
    for id in 1..=4 {
        let (start, steps) = opened(&file(&busy(), id));
        let text = serde_json::to_string(&start).expect("it has names for all");
        assert_eq!(serde_json::from_str::<RecordedStart>(&text).expect("what was written"), start);
        for step in &steps {
            let text = serde_json::to_string(step).expect("it has names for all");
            assert_eq!(&serde_json::from_str::<RecordedStep>(&text).expect("what was written"), step);
        }
    }
    let wrong = serde_json::from_str::<RecordedStep>(
        r#"{"messages":[{"message":{"transfer":{"id":1,"to":0}}}],"ready":""}"#,
    );
    assert!(wrong.expect_err("no server has id 0").to_string().contains("a server id is 0"));
}

/// JSON is for people: bytes are hexadecimal digits, and entries are taken apart.
#[cfg(feature = "serde")]
#[test]
fn json_can_be_read() {
    let message = Message::Propose { id: RequestId::new(7), commands: b"hi"[..].into() };
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    let node = cluster.machine(1).node.as_mut().expect("it runs");
    let ready = node.step(message.clone());
    let json = serde_json::to_value(RecordedStep::new(vec![message], &ready)).expect("it has names for all");
    assert_eq!(json["messages"][0]["message"]["propose"]["commands"][0], "6869");
    let entry = &json["ready"]["write"]["runs"][0]["entries"][0];
    assert_eq!(entry["payload"]["command"], "6869", "{json}");
}
