//! A new server's way to a vote (Raft thesis §4.2.1), where nothing else happens in the cluster that would remind the leader of it.

mod common;

use common::{Cluster, config, pair, server};
use raft_core::{Change, Event, Outcome, Suffrage};

fn suffrage(cluster: &Cluster, id: u64) -> Suffrage {
    cluster.node(1).membership().expect("known").server(pair(id)).expect("a member").suffrage
}

/// A single voter with a server that is staged, and that never answers.
fn staged_and_silent() -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    cluster.run(4);
    let staged = cluster.change(1, Change::Add(server(2, Suffrage::Staging)));
    assert!(matches!(cluster.outcome(staged), Some(Outcome::Committed { .. })));
    cluster
}

/// A hundred election timeouts are enough, whether or not anything is written or heard meanwhile.
#[test]
fn silent_server_is_given_up_in_an_idle_cluster() {
    let mut cluster = staged_and_silent();
    let timeouts = 100 * config().election_timeout_ticks;
    for _ in 0..timeouts - 1 {
        cluster.tick(1, 1);
    }
    assert_eq!(suffrage(&cluster, 2), Suffrage::Staging);
    // It is looked at when heartbeats are due.
    cluster.tick(1, config().heartbeat_ticks);
    assert_eq!(suffrage(&cluster, 2), Suffrage::Learner);
    assert!(cluster.machines[0].events.contains(&Event::StagingGivenUp { server: pair(2) }));
}
