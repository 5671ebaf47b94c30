//! How long a driver may leave a node alone: until the earliest thing that is due, and for ever where nothing is.

mod common;

use common::{Cluster, config, server};
use raft_core::{Change, Config, Event, Message, RoleKind, Suffrage};

fn sleep(cluster: &Cluster, id: u64) -> Option<u32> {
    cluster.node(id).clone().step(Message::Tick { elapsed: 0 }).sleep
}

/// Three voters, of which the first leads, and a learner.
fn with_learner(config: Config) -> Cluster {
    let mut cluster = Cluster::with(3, config);
    cluster.elect(1);
    cluster.join();
    cluster.change(1, Change::Add(server(4, Suffrage::Learner)));
    cluster.run(6);
    cluster.network.clear();
    cluster
}

/// A leader sleeps until its next heartbeat, or until its disk counts as stalled; a follower until its election.
#[test]
fn nodes_sleep_until_something_is_due() {
    let mut cluster = with_learner(config());
    cluster.tick(1, config().heartbeat_ticks);
    assert_eq!(sleep(&cluster, 1), Some(config().heartbeat_ticks));
    cluster.tick(1, 1);
    assert_eq!(sleep(&cluster, 1), Some(config().heartbeat_ticks - 1));
    cluster.machine(1).sync_at_once = false;
    cluster.propose(1, "x");
    cluster.deliver_all();
    let stalls = config().disk_stall_ticks;
    for _ in 0..stalls - 1 {
        cluster.tick(1, 1);
        cluster.deliver_all();
    }
    assert_eq!((cluster.node(1).status().role, sleep(&cluster, 1)), (RoleKind::Leader, Some(1)));

    // With the timeout that its seed, term and attempts give it; in some tick before that there is nothing to do.
    let waits = sleep(&cluster, 2).expect("an election");
    assert!((1..2 * config().election_timeout_ticks).contains(&waits));
    cluster.tick(2, waits - 1);
    assert_eq!((cluster.node(2).status().leader.is_some(), sleep(&cluster, 2)), (true, Some(1)));
    cluster.tick(2, 1);
    assert_eq!(cluster.node(2).status().role, RoleKind::PreCandidate);
}

/// Who has no vote, and follows nobody, has nothing to do by itself; and nor has who has halted.
#[test]
fn nodes_with_nothing_to_do_sleep_for_ever() {
    let mut cluster = with_learner(config());
    assert!(sleep(&cluster, 4).is_some(), "it loses sight of its leader");
    cluster.tick(4, 30);
    assert_eq!((cluster.node(4).status().leader, sleep(&cluster, 4)), (None, None));
    let number = raft_core::WriteNumber::new(1);
    cluster.step(3, Message::WriteFailed(number));
    assert!(cluster.machines[2].events.iter().any(|event| matches!(event, Event::Fault(_))));
    assert_eq!(sleep(&cluster, 3), None);
}

/// Who asks for votes asks again, as often as a leader would send heartbeats.
#[test]
fn candidates_sleep_until_they_ask_again() {
    for (pre_vote, role) in [(true, RoleKind::PreCandidate), (false, RoleKind::Candidate)] {
        let mut cluster = Cluster::with(3, Config { pre_vote, ..config() });
        cluster.tick(1, 20);
        assert_eq!(cluster.node(1).status().role, role);
        assert_eq!(sleep(&cluster, 1), Some(config().heartbeat_ticks));
        cluster.network.clear();
        cluster.tick(1, config().heartbeat_ticks);
        assert_eq!(cluster.network.len(), 2, "of both others");
    }
}
