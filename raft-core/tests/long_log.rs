//! Bounded memory (C10), by count: with all followers up to date a log of ten million entries takes the memory of one with a
//! thousand; and so do ten thousands of configurations, if snapshots are taken now and then. A test binary of its own, because every allocation of the process is counted.

#[path = "../benches/lab/mod.rs"]
mod lab;

use bytes::Bytes;
use lab::{Lab, append_of, pair};
use raft_core::{Body, Change, Config, LogIndex, LogTime, Message, Position, RequestId, Term};

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

/// Bytes on the heap of a leader after a few hundred changes of the configuration, and after many, with a snapshot after every
/// hundred or with none.
fn heap_with_changes(saves: bool) -> [usize; 2] {
    let mut leader = Lab::leader(3, 0, config());
    leader.keeps = false;
    heap_with(LONG / 100, || {
        for _ in 0..100 {
            let nth = leader.node.status().last.index;
            let (raft_address, client_address) = ("raft2".to_owned(), format!("{nth:09}"));
            let change = Change::Readdress { id: pair(2).id, raft_address, client_address };
            leader.step([Message::Reconfigure { id: RequestId::new(0), change, based_on: None }]);
            leader.settle();
            assert_eq!(leader.node.membership_index(), nth.next(), "each changes something");
        }
        if saves {
            let (last, time) = (leader.node.status().last, LogTime::ZERO);
            leader.step([Message::SnapshotTaken { last, time, size: 0, digest: 0.into() }]);
            leader.settle();
        }
    })
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

    // All configurations behind the latest snapshot are held, and so none before it.
    let kept = heap_with_changes(false);
    assert!(!alike(kept), "without snapshots all configurations are held: {kept:?}");
    let held = heap_with_changes(true);
    assert!(alike(held), "bytes of a leader that changes its configuration: {held:?}");
}
