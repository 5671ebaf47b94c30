//! Bounded memory (C10), by count: with all followers up to date a log of ten million entries takes the memory of one with a
//! thousand. A test binary of its own, because every allocation of the process is counted.

#[path = "../benches/lab/mod.rs"]
mod lab;

use bytes::Bytes;
use lab::{Lab, append_of, pair};
use raft_core::{Body, Config, LogIndex, Message, Position, Term};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SHORT: u64 = 1_000;
const LONG: u64 = 10_000_000;
const BATCH: u64 = 250;

/// Less than a thousand entries take, so that the short log fills the tail too.
fn config() -> Config {
    Config { tail_bytes_max: 32 << 10, ..Config::default() }
}

/// Bytes on the heap after so many batches more.
fn heap_after(batches: u64, mut batch: impl FnMut()) -> usize {
    (0..batches).for_each(|_| batch());
    dhat::HeapStats::get().curr_bytes
}

#[test]
fn memory_with_a_log_of_ten_million_entries_is_that_with_a_thousand() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let command = Bytes::from_static(b"x");

    // That counting finds what is kept: here by the disk.
    let mut keeper = Lab::leader(3, 0, config());
    let mut batch = || {
        let proposal = keeper.proposal_of(BATCH, &command);
        keeper.step([proposal]);
        keeper.settle();
    };
    let short = heap_after(SHORT / BATCH, &mut batch);
    assert!(short < heap_after(SHORT / BATCH, &mut batch), "what is kept is counted");
    drop(keeper);

    let mut leader = Lab::leader(3, 0, config());
    leader.keeps = false;
    let mut batch = || {
        let proposal = leader.proposal_of(BATCH, &command);
        leader.step([proposal]);
        leader.settle();
    };
    let short = heap_after(SHORT / BATCH, &mut batch);
    let long = heap_after((LONG - SHORT) / BATCH, &mut batch);
    assert_eq!(leader.node.status().applied.raw(), LONG + 2, "with the founding entry and the no-op");
    assert_eq!(long, short, "bytes of a leader");

    let mut follower = Lab::new(2, 3, 0, config());
    follower.keeps = false;
    let (mut previous, term) = (Position { term: Term::ZERO, index: LogIndex::new(1) }, Term::new(1));
    let mut batch = || {
        let last = Position { term, index: previous.index.plus(BATCH) };
        let append = append_of(previous, term, previous.index, BATCH, &command);
        previous = last;
        for body in [append, Body::Commit { commit: last.index }] {
            let message: Message = follower.from(pair(1), term, body);
            follower.step([message]);
            follower.settle();
        }
    };
    let short = heap_after(SHORT / BATCH, &mut batch);
    let long = heap_after((LONG - SHORT) / BATCH, &mut batch);
    assert_eq!(follower.node.status().applied.raw(), LONG + 1, "with the founding entry");
    assert_eq!(long, short, "bytes of a follower");
}
