//! What a leader does for one heartbeat and one command, by count: the same however long the log is, and no more than linear
//! in the members. Packets and allocations are counted here; instructions in the benchmark `instructions`. A test binary of
//! its own, with one test, because every allocation of the process is counted.

#[path = "../benches/lab/mod.rs"]
mod lab;

use bytes::Bytes;
use lab::Lab;
use raft_core::{Config, Message};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Packets that the leader sent, and allocations of its steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cost {
    packets: u64,
    allocations: u64,
}

/// What the leader's steps cost from one message on, until all that follows from it is done.
fn cost(lab: &mut Lab, message: Message) -> Cost {
    let mut cost = Cost { packets: 0, allocations: 0 };
    let mut messages = vec![message];
    while !messages.is_empty() {
        let before = dhat::HeapStats::get().total_blocks;
        lab.step(messages.drain(..));
        cost.allocations += dhat::HeapStats::get().total_blocks - before;
        cost.packets += lab.ready.send.len() as u64;
        messages = lab.reports();
        messages.extend(lab.answers());
    }
    cost
}

fn heartbeat(lab: &mut Lab) -> Cost {
    cost(lab, Message::Tick { elapsed: Config::default().heartbeat_ticks })
}

fn command(lab: &mut Lab) -> Cost {
    // Once before, so that lists have their room.
    for _ in 0..4 {
        let proposal = lab.proposal(1);
        cost(lab, proposal);
    }
    let proposal = lab.proposal(1);
    cost(lab, proposal)
}

#[test]
fn costs_do_not_grow_with_the_log_and_no_more_than_linearly_with_the_members() {
    let _profiler = dhat::Profiler::builder().testing().build();

    let mut lab = Lab::leader(3, 0, Config::default());
    let mut heartbeats = Vec::new();
    for entries in [100, 10_000, 1_000_000] {
        lab.grow(entries, &Bytes::from_static(b"x"));
        heartbeat(&mut lab);
        heartbeats.push(heartbeat(&mut lab));
    }
    assert_eq!(heartbeats[0].packets, 2, "one to each follower");
    assert!(heartbeats.iter().all(|cost| *cost == heartbeats[0]), "by entries in the log: {heartbeats:?}");

    let commits = [3, 9, 51].map(|voters| command(&mut Lab::leader(voters, 0, Config::default())));
    for (cost, voters) in commits.iter().zip([3, 9, 51]) {
        assert_eq!(cost.packets, 2 * (voters - 1), "an append and a commit notice to each");
        assert!(cost.allocations * 3 <= commits[0].allocations * voters, "by voters: {commits:?}");
    }

    let learners = [10, 100, 1000].map(|learners| command(&mut Lab::leader(3, learners, Config::default())));
    for (cost, learners_count) in learners.iter().zip([10, 100, 1000]) {
        assert_eq!(cost.packets, 2 * (2 + learners_count), "an append and a commit notice to each");
        assert!(
            cost.allocations * 10 <= learners[0].allocations * learners_count,
            "by learners: {learners:?}"
        );
    }
}
