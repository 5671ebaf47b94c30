//! Goal: any bytes can be replayed as a recording, and are refused or taken without harm. Method: the function that the fuzz target
//! `recording` calls, on a real recording and on what random damage makes of it; and that it does come to where the harm would be.

#[path = "hostile/recordings.rs"]
mod recordings;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use raft_core::{Message, Node, RecordedStep, RequestId};
use recordings::{Reached, good_start, records_in, replay, run};

/// Elects itself and takes a proposal; the recording of that.
fn recording() -> Vec<u8> {
    let start = good_start();
    let mut file = start.to_bytes();
    let mut node = Node::new(start.config, start.identity, start.recovered).expect("a good start");
    let propose = Message::Propose { id: RequestId::new(5), commands: b"hello"[..].into() };
    for message in [Message::Tick { elapsed: 0 }, Message::Tick { elapsed: 40 }, propose] {
        let mut next = Some(message);
        while let Some(message) = next {
            let ready = node.step(message.clone());
            next = ready.write.as_ref().map(|write| Message::Synced(write.number));
            file.extend(RecordedStep::new(vec![message], &ready).to_bytes());
        }
    }
    file
}

/// The records of its steps, behind nothing that changes the start.
fn records() -> Vec<Vec<u8>> {
    let mut records = records_in(&recording());
    records[0] = Vec::new();
    records
}

/// Bytes that `run` makes these records of: what comes behind those of the good start, and then one for each step.
fn bytes_of(records: &[Vec<u8>]) -> Vec<u8> {
    let len = |record: &Vec<u8>| u16::try_from(record.len()).expect("a short record").to_le_bytes();
    records.iter().flat_map(|record| len(record).into_iter().chain(record.iter().copied())).collect()
}

/// The whole way is gone: read, started, every step made and compared. And the comparison sees another byte.
#[test]
fn recording_is_replayed_from_its_records() {
    let records = records();
    let steps = records.len() as u64 - 1;
    let whole = Reached { opened: true, started: true, steps, equal: steps, refused: false };
    assert_eq!(run(&bytes_of(&records)), whole);
    assert_eq!(replay(recording().into()), whole, "as a file, too");

    let mut changed = records.clone();
    *changed[1].last_mut().expect("a step") ^= 1;
    assert_eq!(run(&bytes_of(&changed)), Reached { equal: steps - 1, ..whole });
    changed[1] = vec![0xff];
    assert_eq!(
        run(&bytes_of(&changed)),
        Reached { opened: true, started: true, refused: true, ..Reached::default() }
    );
    assert_eq!(replay(Bytes::from_static(b"raft-rec")), Reached { refused: true, ..Reached::default() });
}

/// What stands behind the good start counts: here a configuration whose election timeout is 1 tick, and then one of 30.
#[test]
fn start_is_what_the_first_record_makes_of_it() {
    let mut records = records();
    let config = |election_timeout_ticks| vec![1 << 3 | 2, 2, 2 << 3, election_timeout_ticks];
    records[0] = config(1);
    let not_started = run(&bytes_of(&records));
    assert_eq!((not_started.opened, not_started.started, not_started.steps), (true, false, 0));
    records[0] = config(30);
    let other = run(&bytes_of(&records));
    assert!(other.started && other.equal < other.steps, "it waits for longer: {other:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_records_are_refused_or_taken(damage in vec((any::<Index>(), any::<u8>()), 0..8), more in vec(any::<u8>(), 0..40)) {
        let mut records = records();
        records[0] = more;
        let mut bytes = bytes_of(&records);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        run(&bytes);
    }
}
