//! What several tests use.
#![allow(dead_code, reason = "every test binary uses its own part of it")]

pub(crate) mod cluster;
pub(crate) mod disk;
pub(crate) mod filling;
pub(crate) mod wires;

use raft_core::{
    Entry, HardState, Incarnation, LogIndex, LogTime, NodeId, Pair, Payload, Run, Term, Write, WriteNumber,
};

pub(crate) fn pair(id: u64, incarnation: u128) -> Pair {
    Pair { id: NodeId::new(id).expect("not zero"), incarnation: Incarnation::new(incarnation) }
}

/// A batch with one command of `bytes` bytes at index `number` of term 1.
pub(crate) fn write(number: u64, bytes: usize) -> Write {
    let command = vec![b'a' + (number % 26) as u8; bytes];
    let entry = Entry::new(LogTime::new(number), Payload::Command(command.into()));
    let run = Run::new(Term::new(1), LogIndex::new(number), [entry]).expect("a run of one");
    Write {
        number: WriteNumber::new(number),
        hard_state: HardState { term: Term::new(1), vote: Some(pair(1, 7)) },
        entries: run.into(),
        compaction: None,
        refounds: None,
        commit: LogIndex::new(number.saturating_sub(4)),
    }
}
