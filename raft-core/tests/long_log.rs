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

/// What does not count, in bytes. The threads of the test framework allocate while the test runs, about a kilobyte, and whatever
/// they have or have not just then is counted too. A byte kept for every hundred entries of the long log is 100,000.
const FRAMEWORK_MAX: usize = 64 << 10;

/// Less than a thousand entries take, so that the short log fills the tail too.
fn config() -> Config {
    Config { tail_bytes_max: 32 << 10, ..Config::default() }
}

/// Bytes on the heap with the short log, and with one of `entries`.
fn heap_with(entries: u64, mut batch: impl FnMut()) -> [usize; 2] {
    [0..SHORT / BATCH, SHORT / BATCH..entries / BATCH].map(|batches| {
        batches.for_each(|_| batch());
        dhat::HeapStats::get().curr_bytes
    })
}

/// Whether both are the same but for what the test framework holds.
fn alike([short, long]: [usize; 2]) -> bool {
    short.abs_diff(long) <= FRAMEWORK_MAX
}

#[test]
fn memory_with_a_log_of_ten_million_entries_is_that_with_a_thousand() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let command = Bytes::from_static(b"x");

    // That counting finds what is kept: here by the disk, and of a hundredth of the long log.
    let mut keeper = Lab::leader(3, 0, config());
    let kept = heap_with(LONG / 100, || {
        let proposal = keeper.proposal_of(BATCH, &command);
        keeper.step([proposal]);
        keeper.settle();
    });
    assert!(!alike(kept), "what is kept is counted: {kept:?}");
    drop(keeper);

    let mut leader = Lab::leader(3, 0, config());
    leader.keeps = false;
    let held = heap_with(LONG, || {
        let proposal = leader.proposal_of(BATCH, &command);
        leader.step([proposal]);
        leader.settle();
    });
    assert_eq!(leader.node.status().applied.raw(), LONG + 2, "with the founding entry and the no-op");
    assert!(alike(held), "bytes of a leader: {held:?}");

    let mut follower = Lab::new(2, 3, 0, config());
    follower.keeps = false;
    let (mut previous, term) = (Position { term: Term::ZERO, index: LogIndex::new(1) }, Term::new(1));
    let held = heap_with(LONG, || {
        let last = Position { term, index: previous.index.plus(BATCH) };
        let append = append_of(previous, term, previous.index, BATCH, &command);
        previous = last;
        for body in [append, Body::Commit { commit: last.index }] {
            let message: Message = follower.from(pair(1), term, body);
            follower.step([message]);
            follower.settle();
        }
    });
    assert_eq!(follower.node.status().applied.raw(), LONG + 1, "with the founding entry");
    assert!(alike(held), "bytes of a follower: {held:?}");
}
