//! Who was removed is told once that is committed, and believes it once (Raft thesis §4.2.3, B38).

mod common;

use common::{Cluster, pair, voters};
use raft_core::{Body, Change, Event, LogIndex, Outcome, Packet, Position, RoleKind};

/// Three voters, of which the first leads, all with the same log.
fn three() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.run(6);
    cluster.network.clear();
    cluster
}

fn told(packet: &&Packet) -> bool {
    packet.to == pair(3) && matches!(packet.body, Body::Removed { .. })
}

/// Not when an entry before it is committed, and also where one behind it is committed along with it.
#[test]
fn removed_server_is_told_when_that_is_committed() {
    let mut cluster = three();
    cluster.propose(1, "before");
    let before: Vec<Packet> = cluster.network.drain(..).collect();
    let removed = cluster.change(1, Change::Remove(pair(3).id));
    cluster.propose(1, "behind");
    let behind: Vec<Packet> = cluster.network.drain(..).collect();
    let index = cluster.node(1).membership_index();
    cluster.network.extend(before);
    cluster.deliver_one_way(1);
    cluster.deliver_one_way(2);
    assert_eq!(cluster.node(1).status().commit, LogIndex::new(index.raw() - 1));
    assert_eq!(cluster.network.iter().filter(told).count(), 0);

    // Two appends, of which the acknowledgement of the first is lost.
    cluster.network.clear();
    cluster.network.extend(behind);
    cluster.deliver_one_way(1);
    let acknowledged =
        cluster.network.drain(..).rfind(|packet| packet.from == pair(2)).expect("by the second");
    cluster.step(1, raft_core::Message::Packet(acknowledged));
    assert_eq!(cluster.node(1).status().commit, index.next());
    assert!(matches!(cluster.outcome(removed), Some(Outcome::Committed { .. })));
    assert_eq!(cluster.network.iter().filter(told).count(), 1);
}

/// It says so once, however often it is told; and whoever leads knows better.
#[test]
fn removal_is_believed_once_and_by_no_leader() {
    let mut cluster = three();
    let term = cluster.node(1).status().term;
    let last = Position { term, index: cluster.node(1).status().last.index.next() };
    for listener in [1, 2, 2] {
        cluster.say(3, listener, term, Body::Removed { last });
    }
    let removals = |id: u64| {
        let events = cluster.machines[id as usize - 1].events.iter();
        events.filter(|event| matches!(event, Event::Removed { .. })).count()
    };
    assert_eq!((removals(1), removals(2)), (0, 1));
    assert_eq!(cluster.node(1).status().role, RoleKind::Leader);
}

/// §4.3: only leaders leave a joint configuration. A follower that learns that it is committed, and whose disk then says that it has it,
/// appends nothing by itself.
#[test]
fn follower_never_leaves_a_joint_configuration() {
    let mut cluster = three();
    cluster.join();
    cluster.machine(2).sync_at_once = false;
    cluster.change(1, Change::Set(voters([1, 2, 4])));
    cluster.deliver_one_way(1);
    let joint = cluster.node(2).status().last.index;
    assert!(cluster.node(2).membership().is_some_and(|membership| membership.is_joint()));
    let term = cluster.node(1).status().term;
    cluster.say(1, 2, term, Body::Commit { commit: joint });
    assert_eq!(cluster.node(2).status().commit, joint);
    cluster.sync(2);
    assert_eq!((cluster.node(2).status().durable, cluster.node(2).status().last.index), (joint, joint));
}
