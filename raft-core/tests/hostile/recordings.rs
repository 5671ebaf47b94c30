//! Bytes as a recording. Who replays a file knows nothing of who wrote it, so whatever stands in it is taken or refused: no panic, no state
//! that can not be, and what was read is written and read again the same.
//!
//! A checksum keeps random bytes from ever being a record, and a start is a large thing to guess; so the bytes become records here, each in a
//! frame of its own, and the first of them stands behind the record of a good start, whose fields it then adds to or takes the place of.

use std::fmt::Write as _;

use bytes::Bytes;
use raft_core::{
    Boot, Bootstrap, Config, Identity, Incarnation, Membership, NodeId, Pair, RecordedStart, RecordedStep,
    Recording, Recovered, Replay, Server, Suffrage, bootstrap,
};
use xxhash_rust::xxh3::xxh3_64;

/// What a recording begins with, and the frame of a record before what is in it: the format as `raft_core` documents it.
const MAGIC: &[u8] = b"raft-rec\x01";
const HEAD_BYTES: usize = 16;

/// How far bytes came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Reached {
    /// The start could be read.
    pub(crate) opened: bool,
    /// A node was made of it.
    pub(crate) started: bool,
    /// How many steps were read and made.
    pub(crate) steps: u64,
    /// How many of them were as recorded.
    pub(crate) equal: u64,
    /// Whether something could not be read.
    pub(crate) refused: bool,
}

/// The founder of a cluster of one, on the disk that it founded it on.
pub(crate) fn good_start() -> RecordedStart {
    let pair = Pair { id: NodeId::new(1).expect("not zero"), incarnation: Incarnation::new(7) };
    let (suffrage, raft_address) = (Suffrage::Voter, "a".to_owned());
    let server = Server { pair, suffrage, raft_address, client_address: String::new() };
    let founding = Membership::new(vec![server]).expect("a valid configuration");
    let Ok(Bootstrap::Write(first)) = bootstrap(&Recovered::default(), &founding, pair) else {
        panic!("an empty disk takes it");
    };
    let recovered = Recovered::replay([first]).expect("the first write");
    let identity = Identity { cluster: founding.cluster_id(), pair, boot: Boot::new(1) };
    RecordedStart { config: Config::default(), identity, recovered }
}

/// The records in the bytes of a recording that is whole, without their frames.
pub(crate) fn records_in(recording: &[u8]) -> Vec<Vec<u8>> {
    let (mut records, mut rest) = (Vec::new(), recording.strip_prefix(MAGIC).expect("a recording"));
    while let Some((head, behind)) = rest.split_first_chunk::<HEAD_BYTES>() {
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        records.push(behind[..len].to_vec());
        rest = &behind[len..];
    }
    records
}

fn framed(records: &[Vec<u8>]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    for record in records {
        let len = record.len() as u32;
        file.extend(len.to_le_bytes().into_iter().chain((!len).to_le_bytes()));
        file.extend(xxh3_64(record).to_le_bytes().into_iter().chain(record.iter().copied()));
    }
    file
}

/// Replays any bytes: as a file, and as records.
pub(crate) fn run(bytes: &[u8]) -> Reached {
    replay(Bytes::copy_from_slice(bytes));
    let mut records = Vec::new();
    let mut rest = bytes;
    while let Some((len, behind)) = rest.split_first_chunk::<2>() {
        let (record, next) = behind.split_at(behind.len().min(u16::from_le_bytes(*len).into()));
        records.push(record.to_vec());
        rest = next;
    }
    let mut start = records_in(&good_start().to_bytes()).remove(0);
    if !records.is_empty() {
        start.extend(records.remove(0));
    }
    records.insert(0, start);
    replay(framed(&records).into())
}

/// Replays a recording to its end, and checks what it comes by.
pub(crate) fn replay(file: Bytes) -> Reached {
    let mut reached = Reached::default();
    let Ok((start, steps)) = Recording::open(file) else {
        return Reached { refused: true, ..reached };
    };
    reached.opened = true;
    let mut again = start.to_bytes();
    let mut node = Replay::new(start.clone());
    reached.started = node.is_ok();
    let mut read = Vec::new();
    for step in steps {
        let Ok(step) = step else {
            reached.refused = true;
            break;
        };
        again.extend(step.to_bytes());
        if let Ok(node) = &mut node {
            reached.steps += 1;
            match node.step(&step) {
                Ok(_) => reached.equal += 1,
                Err(difference) => write!(String::new(), "{difference}").expect("it can be said"),
            }
            node.node().invariants().expect("a state that can be");
        }
        read.push(step);
    }
    assert_same(&start, &read, again.into());
    reached
}

/// What was read, written and read again, is the same.
fn assert_same(start: &RecordedStart, steps: &[RecordedStep], again: Bytes) {
    let (start_again, steps_again) = Recording::open(again).expect("what was written");
    assert_eq!(&start_again, start);
    let steps_again: Vec<RecordedStep> = steps_again.collect::<Result<_, _>>().expect("what was written");
    assert_eq!(steps_again, steps);
}
