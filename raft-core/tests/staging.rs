//! A new server's way to a vote (Raft thesis §4.2.1), where nothing else happens in the cluster that would remind the leader of it.

mod common;

use common::{Cluster, config, pair, server};
use raft_core::{Change, Event, Message, Outcome, RoleKind, Suffrage};

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

/// Three voters, and a fourth server that is staged and can not be reached.
fn staged_and_away() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.run(4);
    cluster.join();
    cluster.cut.extend((1..=3).flat_map(|id| [(id, 4), (4, id)]));
    cluster.change(1, Change::Add(server(4, Suffrage::Staging)));
    cluster.run(4);
    cluster
}

/// A vote is given like any change: not while leadership is being handed over, since the target would lack one more entry.
#[test]
fn vote_waits_for_the_end_of_a_transfer() {
    let mut cluster = staged_and_away();
    cluster.cut.extend([(1, 3), (3, 1)]);
    cluster.propose(1, "what the target lacks");
    let transfer = cluster.transfer(1, Some(3));
    cluster.cut.retain(|(from, to)| *from != 4 && *to != 4);
    cluster.run(9);
    assert_eq!((suffrage(&cluster, 4), cluster.outcome(transfer)), (Suffrage::Staging, None));
    cluster.run(4);
    assert_eq!(cluster.outcome(transfer), Some(Outcome::NotTransferred));
    assert_eq!(suffrage(&cluster, 4), Suffrage::Voter);
}

/// B32: nor before an entry of the leader's own term is committed, however much of the log the new server has.
#[test]
fn vote_waits_for_the_first_commit_of_the_term() {
    let mut cluster = staged_and_away();
    // The no-op of a second leadership comes to the new server only.
    cluster.step(1, Message::StepDown);
    cluster.step(2, Message::ForgetLeader);
    cluster.step(3, Message::ForgetLeader);
    cluster.network.clear();
    cluster.tick(1, 20);
    while cluster.node(1).status().role != RoleKind::Leader {
        let packet = cluster.network.pop_front().expect("an election is under way");
        cluster.step(packet.to.id.raw(), Message::Packet(packet));
    }
    cluster.network.clear();
    cluster.cut = vec![(1, 2), (1, 3)];
    for _ in 0..9 {
        cluster.tick(1, 1);
        cluster.deliver_all();
    }
    let last = cluster.node(1).status().last;
    assert_eq!(cluster.node(4).status().last, last, "the new server has all of it");
    assert!(cluster.node(1).status().commit < last.index);
    assert_eq!(suffrage(&cluster, 4), Suffrage::Staging);
    cluster.cut.clear();
    cluster.run(60);
    assert_eq!(suffrage(&cluster, 4), Suffrage::Voter);
}
