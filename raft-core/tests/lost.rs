//! What is left when disks are: recovery from a lost quorum, and a log whose end is lost.

mod common;

use std::sync::Arc;

use common::{Cluster, config, membership, pair, server, voters};
use raft_core::{
    Boot, Config, Event, Identity, LogIndex, Membership, Message, Outcome, Position, Recovered,
    RecoveryError, RoleKind, StartError, Suffrage, Term, recover,
};

fn of(ids: &[u64]) -> Membership {
    Membership::new(voters(ids.iter().copied())).expect("a valid configuration")
}

/// Five voters of which the last three are gone for good. Server 2 has one command more than server 1 knows to be committed.
fn survivors() -> Cluster {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    for number in 1..=3 {
        cluster.propose(1, &format!("c{number}"));
        cluster.deliver_all();
    }
    cluster.run(4);
    for id in 3..=5 {
        cluster.machine(id).crash();
        cluster.machine(id).disk.clear();
    }
    cluster.propose(1, "perhaps");
    cluster.deliver_all();
    cluster
}

/// The survivor goes on alone as another cluster, with all that it has, in a later term; what it wrote is a log like any other.
#[test]
fn survivor_goes_on_as_another_cluster() {
    let mut cluster = survivors();
    let old = cluster.machines[1].identity;
    let before = cluster.machines[1].recovered();
    let recovery = recover(&before, &of(&[2]), pair(2)).expect("it has a log");
    assert_eq!((recovery.last, recovery.commit), (Position::new(1, 6), LogIndex::new(5)));
    assert_eq!(recovery.membership, Some(Arc::new(membership(5))));
    assert_eq!(cluster.machines[1].recovered(), before, "the dry run is that nothing is written");
    assert_ne!(recovery.cluster, old.cluster);

    let write = recovery.write.clone().expect("there is something to do");
    let nothing =
        raft_core::Write { entries: raft_core::Runs::new(), commit: LogIndex::ZERO, ..write.clone() };
    assert_eq!(before.clone().absorb(&nothing), Err(raft_core::RecoverError::Refounding));
    assert_eq!((write.hard_state.term, write.commit), (Term::new(2), LogIndex::new(7)));
    cluster.machine(1).crash();
    cluster.machine(2).crash();
    cluster.machine(2).disk.push(write);
    let machine = &cluster.machines[1];
    let start = |identity| raft_core::Node::new(machine.config, identity, machine.recovered()).map(|_| ());
    assert!(matches!(start(old), Err(StartError::OtherCluster { .. })), "not as what it was");
    let again = recover(&machine.recovered(), &of(&[2]), pair(2)).expect("it has a log");
    assert_eq!((again.cluster, again.write), (recovery.cluster, None), "done is done");

    cluster.machine(2).identity.cluster = recovery.cluster;
    cluster.machine(2).start();
    cluster.tick(2, 0);
    assert_eq!(cluster.applied(2), ["c1", "c2", "c3", "perhaps"], "all of it counts as committed");
    cluster.elect(2);
    let after = cluster.propose(2, "after");
    cluster.run(2);
    assert!(matches!(cluster.outcome(after), Some(Outcome::Committed { .. })));

    // The old ones are of another cluster, whatever they say.
    cluster.machine(1).start();
    cluster.run(60);
    assert_eq!(cluster.node(2).status().role, RoleKind::Leader);
    assert_eq!(cluster.applied(2).len(), 5);
}

/// New servers get a snapshot, never the entries of the old cluster; the survivor asks for one to be taken.
#[test]
fn new_servers_of_a_recovered_cluster_get_a_snapshot() {
    let mut cluster = survivors();
    let target = Membership::new(vec![
        server(2, Suffrage::Voter),
        server(6, Suffrage::Voter),
        server(7, Suffrage::Voter),
    ]);
    let target = target.expect("a valid configuration");
    let recovery = recover(&cluster.machines[1].recovered(), &target, pair(2)).expect("it has a log");
    cluster.machine(1).crash();
    cluster.machine(2).crash();
    cluster.machine(2).disk.push(recovery.write.expect("there is something to do"));
    cluster.machine(2).identity.cluster = recovery.cluster;
    cluster.machine(2).start();
    for _ in 6..=7 {
        let id = cluster.join();
        cluster.machine(id).identity =
            Identity { cluster: recovery.cluster, pair: pair(id), boot: Boot::new(0) };
        cluster.machine(id).wipe();
    }
    cluster.tick(2, 0);
    cluster.elect(2);
    cluster.run(12);
    for id in 6..=7 {
        assert_eq!(cluster.node(id).status().last, Position::ZERO, "nothing of the old log is for others");
    }
    let wanted = cluster.machines[1].events.iter().filter(|event| **event == Event::SnapshotWanted);
    assert_eq!(wanted.count(), 1);
    cluster.take_snapshot(2);
    cluster.run(4);
    cluster.deliver_snapshot(2);
    cluster.deliver_snapshot(2);
    let after = cluster.propose(2, "after");
    cluster.run(6);
    assert!(matches!(cluster.outcome(after), Some(Outcome::Committed { .. })));
    for id in [2, 6, 7] {
        assert_eq!(cluster.applied(id), ["c1", "c2", "c3", "perhaps", "after"], "server {id}");
        cluster.restart(id);
    }
    cluster.run(60);
    assert_eq!(cluster.applied(6), ["c1", "c2", "c3", "perhaps", "after"]);
}

/// Two survivors that were recovered apart are two clusters, even into the same configuration, unless they were equal.
#[test]
fn recoveries_of_different_logs_make_different_clusters() {
    let mut cluster = survivors();
    let target = of(&[1, 2]);
    let recovered = |cluster: &Cluster, id: u64| {
        recover(&cluster.machines[id as usize - 1].recovered(), &target, pair(id)).expect("it has a log")
    };
    assert_eq!(recovered(&cluster, 1).cluster, recovered(&cluster, 2).cluster, "equal logs in equal terms");
    let mut later = cluster.machines[1].recovered();
    later.hard_state.term = Term::new(7);
    let later = recover(&later, &target, pair(2)).expect("it has a log");
    assert_ne!(recovered(&cluster, 1).cluster, later.cluster, "the entries that recover them differ");
    cluster.propose(1, "more");
    assert!(recovered(&cluster, 2).last < recovered(&cluster, 1).last, "the first is the one to take");
    assert_ne!(recovered(&cluster, 1).cluster, recovered(&cluster, 2).cluster);
}

#[test]
fn recovery_refuses_what_would_lead_nowhere() {
    let cluster = survivors();
    let disk = cluster.machines[0].recovered();
    assert_eq!(recover(&disk, &of(&[2, 3]), pair(1)).err(), Some(RecoveryError::NotAVoter(pair(1))));
    assert_eq!(
        recover(&raft_core::Recovered::default(), &of(&[1]), pair(1)).err(),
        Some(RecoveryError::Empty)
    );
    let joint = of(&[1]).joint(&of(&[1, 2]));
    assert_eq!(recover(&disk, &joint, pair(1)).err(), Some(RecoveryError::Joint));
    let mut last = disk;
    last.hard_state.term = Term::new(u64::MAX);
    assert_eq!(recover(&last, &of(&[1]), pair(1)).err(), Some(RecoveryError::Exhausted));
}

/// Three voters; the first leads, and the third is behind. What only the first two have is committed.
fn third_is_behind(config: Config) -> Cluster {
    let mut cluster = Cluster::with(3, config);
    cluster.elect(1);
    cluster.run(4);
    cluster.cut.extend([(1, 3), (2, 3)]);
    for number in 1..=3 {
        cluster.propose(1, &format!("c{number}"));
        cluster.deliver_all();
    }
    cluster.run(4);
    cluster.cut.clear();
    cluster.network.clear();
    cluster
}

/// Server 2 comes back without the last `entries` entries of its log, and knows where that had ended.
fn damage(cluster: &mut Cluster, writes: usize) {
    let machine = cluster.machine(2);
    let lost = machine.recovered().last();
    machine.crash();
    machine.disk.truncate(machine.disk.len() - writes);
    let mut recovered = machine.recovered();
    recovered.lost = lost;
    // The term and vote are kept: they are small and written anew with every batch.
    machine.identity.boot = Boot::new(machine.identity.boot.raw() + 1);
    machine.applied.clear();
    let node = raft_core::Node::new(machine.config, machine.identity, recovered);
    machine.node = Some(node.expect("what is left is a log"));
}

/// S9: a server whose disk has lost what it acknowledged helps nobody to be elected who lacks that, and does not campaign itself;
/// the leader sends it again, and then it is as before. Without the note of what was lost, the third would win, and committed
/// entries be gone.
#[test]
fn lost_end_of_a_log_is_fetched_again_and_not_forgotten_in_votes() {
    for noted in [true, false] {
        let mut cluster = third_is_behind(common::plain());
        cluster.machine(1).crash();
        damage(&mut cluster, 3);
        if !noted {
            cluster.machine(2).start();
        }
        assert_eq!(cluster.node(2).status().lost.is_some(), noted);
        for _ in 0..60 {
            cluster.tick(3, 1);
            cluster.deliver_all();
        }
        let role = cluster.node(3).status().role;
        assert_eq!(role == RoleKind::Leader, !noted, "committed entries are missing in server 3");
        if noted {
            for _ in 0..60 {
                cluster.tick(2, 1);
            }
            assert_eq!(cluster.node(2).status().role, RoleKind::Follower, "nor does it campaign");
            cluster.network.clear();
            cluster.machine(1).start();
            cluster.run(120);
            assert_eq!(cluster.node(2).status().lost, None);
            assert!(cluster.machines[1].events.contains(&Event::Repaired));
            for id in 1..=3 {
                assert_eq!(cluster.applied(id), ["c1", "c2", "c3"], "server {id}");
            }
        }
    }
}

/// What is there again only in memory is not there again.
#[test]
fn repair_waits_for_the_disk() {
    let mut cluster = third_is_behind(config());
    damage(&mut cluster, 2);
    cluster.machine(2).sync_at_once = false;
    cluster.run(20);
    let status = cluster.node(2).status();
    assert!(status.lost.is_some_and(|lost| lost <= status.last));
    assert!(!cluster.machines[1].events.contains(&Event::Repaired));
    cluster.sync(2);
    cluster.run(2);
    cluster.sync(2);
    assert_eq!(cluster.node(2).status().lost, None);
}

/// A transfer does not make a leader of a server that lacks what it had acknowledged.
#[test]
fn server_that_lost_entries_takes_over_only_when_it_has_them() {
    let mut cluster = third_is_behind(config());
    damage(&mut cluster, 2);
    cluster.cut.push((1, 2));
    let transfer = cluster.transfer(1, Some(2));
    cluster.step(2, Message::Campaign);
    cluster.run(5);
    assert_eq!(cluster.outcome(transfer), None);
    assert_eq!(cluster.node(2).status().role, RoleKind::Follower);
}

/// Where the log may have been of a later term than what is left says, the vote in that may be lost as well: it is no such server that
/// starts.
#[test]
fn server_that_may_have_lost_its_vote_does_not_start() {
    let cluster = third_is_behind(config());
    let machine = &cluster.machines[1];
    let mut recovered = machine.recovered();
    recovered.lost = Position::new(2, 1);
    let start = raft_core::Node::new(machine.config, machine.identity, recovered);
    assert!(matches!(start, Err(StartError::Recovered(_))));
}

/// Who has lost all of the log does not know any more on what terms it has promised things.
#[test]
fn server_that_has_lost_the_founding_configuration_does_not_start() {
    let cluster = third_is_behind(config());
    let machine = &cluster.machines[1];
    let before = machine.recovered();
    let mut recovered = Recovered::default();
    (recovered.hard_state, recovered.lost) = (before.hard_state, before.last());
    let start = raft_core::Node::new(machine.config, machine.identity, recovered);
    assert!(matches!(start, Err(StartError::Recovered(_))));
}
