//! Log compaction (Raft thesis chapter 5): what is kept, who is sent a snapshot, and that late, older and doubled ones harm
//! nothing.

mod common;

use std::sync::Arc;

use common::{Cluster, config, membership, pair, server};
use raft_core::{
    Body, Change, Config, Event, Fault, Fetched, LogIndex, LogTime, Message, Node, Outcome, Position,
    RoleKind, SendNumber, SendSnapshot, Snapshot, Suffrage, Term,
};

/// Nothing of what a snapshot covers is kept.
fn short() -> Config {
    Config { trailing_entries: 0, ..config() }
}

/// Three voters, led by the first, which have all applied `commands` commands.
fn busy(config: Config, commands: u64) -> Cluster {
    let mut cluster = Cluster::with(3, config);
    cluster.elect(1);
    for number in 1..=commands {
        cluster.propose(1, &format!("c{number}"));
        cluster.deliver_all();
    }
    cluster.run(4);
    cluster
}

fn isolate(cluster: &mut Cluster, id: u64) {
    for other in (1..=cluster.machines.len() as u64).filter(|other| *other != id) {
        cluster.cut.extend([(id, other), (other, id)]);
    }
}

fn commands(count: u64) -> Vec<String> {
    (1..=count).map(|number| format!("c{number}")).collect()
}

fn install(cluster: &Cluster, to: u64, from: u64, term: u64, snapshot: Snapshot) -> Message {
    let body = Body::InstallSnapshot { snapshot: Arc::new(snapshot) };
    Message::Packet(cluster.packet(from, to, Term::new(term), body))
}

/// A snapshot of three voters' cluster.
fn snapshot(term: u64, index: u64) -> Snapshot {
    Snapshot {
        cluster: membership(3).cluster_id(),
        last: Position::new(term, index),
        time: LogTime::new(7),
        membership: Arc::new(membership(3)),
        membership_index: LogIndex::new(1),
        size: 3,
        digest: 3.into(),
    }
}

/// §5.1: entries that a snapshot covers leave the log, but for the trailing ones, in memory and on the disk; a restart
/// begins with the snapshot and replays what stands behind it.
#[test]
fn snapshot_takes_the_place_of_what_it_covers() {
    for (trailing_entries, start) in [(0, 7), (3, 4), (100, 0)] {
        let mut cluster = busy(Config { trailing_entries, ..config() }, 5);
        let covered = cluster.take_snapshot(1);
        assert_eq!(covered, Position::new(1, 7));
        cluster.propose(1, "c6");
        cluster.run(4);
        let status = cluster.node(1).status();
        assert_eq!(status.start.index, LogIndex::new(start));
        assert_eq!(cluster.machines[0].recovered().start, status.start);
        assert_eq!(cluster.node(1).snapshot().map(|snapshot| snapshot.last), Some(covered));
        for (index, known) in [(start.saturating_sub(1), start < 2), (start, true), (8, true), (9, false)] {
            assert_eq!(
                cluster.node(1).term_at(LogIndex::new(index)).is_some(),
                known,
                "{index} of {start}.."
            );
        }
        cluster.restart(1);
        cluster.run(40);
        assert_eq!(cluster.applied(1), commands(6));
        assert_eq!(cluster.machines[0].fetches, 0);
    }
}

/// What does not fit is a fault of the driver; what is late is nothing (B44).
#[test]
fn snapshots_of_what_was_not_applied_are_faults_and_older_ones_nothing() {
    let mut cluster = busy(short(), 5);
    let before = cluster.take_snapshot(1);
    let time = LogTime::ZERO;
    let node = cluster.node(1).clone();
    for last in [before, Position::new(1, 3)] {
        cluster.step(1, Message::SnapshotTaken { last, time, size: 9, digest: 9.into() });
        assert!(*cluster.node(1) == node, "{last} is covered already");
    }
    for last in [Position::new(1, 8), Position::new(2, 8), Position::new(0, 9)] {
        let mut node = node.clone();
        node.step(Message::SnapshotTaken { last, time, size: 9, digest: 9.into() });
        assert_eq!(node.status().fault, Some(Fault::UnknownSnapshot), "{last} was never applied");
    }
    let mut never_sent = node;
    never_sent.step(Message::SnapshotSent { number: SendNumber::new(1), arrived: true });
    assert_eq!(never_sent.status().fault, Some(Fault::UnknownSnapshot));
}

/// §5.3: a follower that needs what the log lacks is sent the snapshot, along with a heartbeat, and then goes on with entries.
/// While it is under way nothing else is sent but heartbeats, and no second one (B47, B25).
#[test]
fn lagging_follower_is_sent_a_snapshot_and_goes_on() {
    let mut cluster = busy(short(), 2);
    isolate(&mut cluster, 3);
    for number in 3..=6 {
        cluster.propose(1, &format!("c{number}"));
        cluster.deliver_all();
    }
    let covered = cluster.take_snapshot(1);
    cluster.cut.clear();
    cluster.run(12);
    assert_eq!(cluster.machines[0].sending.len(), 1, "one at a time");
    let follower = cluster.node(1).followers().find(|follower| follower.server == pair(3)).expect("a member");
    assert!(follower.snapshot && follower.in_flight == 0);
    assert_eq!(cluster.applied(3), commands(2));
    cluster.propose(1, "c7");
    cluster.deliver_all();
    cluster.deliver_snapshot(1);
    assert!(cluster.machines[2].events.contains(&Event::SnapshotInstalled { last: covered }));
    cluster.run(4);
    assert_eq!(cluster.applied(3), commands(7));
    let follower = cluster.node(1).followers().find(|follower| follower.server == pair(3)).expect("a member");
    assert!(!follower.snapshot && !follower.probing);
    assert_eq!(cluster.node(3).status().start, covered);
    assert_eq!(cluster.machines[0].sending, []);
}

/// A new server gets a log that begins with a snapshot, its configuration with it.
#[test]
fn new_server_learns_the_configuration_from_the_snapshot() {
    let mut cluster = busy(short(), 5);
    let id = cluster.join();
    cluster.take_snapshot(1);
    let change = cluster.change(1, Change::Add(server(id, Suffrage::Staging)));
    cluster.run(4);
    assert_eq!(cluster.node(id).membership(), None, "what it could be sent is not in the log any more");
    cluster.deliver_snapshot(1);
    cluster.run(20);
    assert!(matches!(cluster.outcome(change), Some(Outcome::Committed { .. })));
    assert_eq!(cluster.applied(id), commands(5));
    assert!(cluster.node(id).membership().is_some_and(|membership| membership.is_voter(pair(id))));
    cluster.restart(id);
    cluster.run(20);
    assert_eq!(cluster.applied(id), commands(5));
}

/// A transfer that fails is tried again, along with later heartbeats, and only while the follower is heard.
#[test]
fn failed_transfer_is_tried_again_in_time() {
    let mut cluster = busy(short(), 2);
    isolate(&mut cluster, 3);
    cluster.propose(1, "c3");
    cluster.run(4);
    cluster.take_snapshot(1);
    cluster.cut.clear();
    cluster.run(4);
    for _ in 0..3 {
        let SendSnapshot { number, .. } = cluster.machine(1).sending.remove(0);
        cluster.step(1, Message::SnapshotSent { number, arrived: false });
        cluster.deliver_all();
        assert_eq!(cluster.machines[0].sending, [], "not at once");
        cluster.run(8);
        assert_eq!(cluster.machines[0].sending.len(), 1);
    }
    isolate(&mut cluster, 3);
    cluster.run(12);
    let SendSnapshot { number, .. } = cluster.machine(1).sending.remove(0);
    cluster.step(1, Message::SnapshotSent { number, arrived: false });
    cluster.run(12);
    assert_eq!(cluster.machines[0].sending, [], "there is nobody to send it to");
    cluster.cut.clear();
    cluster.run(8);
    cluster.deliver_snapshot(1);
    cluster.run(4);
    assert_eq!(cluster.applied(3), commands(3));
}

/// The log is not compacted beyond a snapshot that is on its way: its receiver would need the next one at once, for ever.
#[test]
fn log_keeps_what_follows_a_snapshot_on_its_way() {
    let mut cluster = busy(short(), 2);
    isolate(&mut cluster, 3);
    cluster.propose(1, "c3");
    cluster.run(4);
    let sent = cluster.take_snapshot(1);
    cluster.cut.clear();
    cluster.run(4);
    cluster.propose(1, "c4");
    cluster.run(2);
    let later = cluster.take_snapshot(1);
    assert!(sent < later);
    assert_eq!(cluster.node(1).status().start, sent);
    cluster.deliver_snapshot(1);
    cluster.run(4);
    assert_eq!(cluster.applied(3), commands(4));
    assert_eq!(cluster.machines[0].sending, []);
    cluster.propose(1, "c5");
    cluster.run(2);
    let last = cluster.take_snapshot(1);
    assert_eq!(cluster.node(1).status().start, last);
}

/// B44: an older snapshot, or one whose end is in the log, cuts nothing off and moves nothing back.
#[test]
fn late_and_matching_snapshots_leave_the_log_alone() {
    let mut cluster = busy(short(), 5);
    isolate(&mut cluster, 3);
    cluster.cut.retain(|cut| *cut != (1, 3));
    // Server 3 gets entries, but not the news that they are committed.
    cluster.cut.push((3, 1));
    cluster.propose(1, "c6");
    cluster.deliver_all();
    let before = cluster.node(3).clone();
    let status = before.status();
    assert_eq!((status.commit, status.last.index), (LogIndex::new(7), LogIndex::new(8)));
    for index in [3, 7] {
        let packet = install(&cluster, 3, 1, 1, snapshot(1, index));
        cluster.step(3, packet);
        let now = cluster.node(3).status();
        assert_eq!((now.commit, now.last, now.start), (status.commit, status.last, status.start), "{index}");
    }
    let packet = install(&cluster, 3, 1, 1, snapshot(1, 8));
    cluster.step(3, packet);
    let now = cluster.node(3).status();
    assert_eq!((now.last, now.start), (status.last, status.start), "what matches is kept");
    assert_eq!(now.commit, LogIndex::new(8), "and it is committed");
    assert_eq!(cluster.applied(3), commands(6));
    assert_eq!(cluster.node(3).snapshot(), None);
}

/// A follower whose log ends in what nobody else has: three voters, the third has three entries of term 1 that are in no other
/// log, and its disk makes nothing durable by itself from here on.
fn diverged() -> Cluster {
    let mut cluster = Cluster::with(3, short());
    cluster.elect(3);
    cluster.run(4);
    isolate(&mut cluster, 3);
    for number in 1..=3 {
        cluster.propose(3, &format!("lost{number}"));
    }
    cluster.network.clear();
    cluster.machine(3).sync_at_once = false;
    cluster
}

/// A snapshot that contradicts the log takes its place: it ends there, its configuration is in force, the durable mark falls to
/// what both have, and what is promised leaves when the write is durable. The state machine is restored only then (B46).
#[test]
fn snapshot_replaces_a_log_that_contradicts_it() {
    let mut cluster = diverged();
    let before = cluster.node(3).status();
    assert_eq!(
        (before.commit, before.last.index, before.durable),
        (LogIndex::new(2), LogIndex::new(5), LogIndex::new(5))
    );
    let covered = snapshot(2, 4);
    cluster.machine(3).saved.insert(covered.last, vec![(LogIndex::new(4), common::command("c1"))]);
    let packet = install(&cluster, 3, 1, 2, covered.clone());
    cluster.step(3, packet);
    let now = cluster.node(3).status();
    assert_eq!((now.commit, now.last, now.start), (LogIndex::new(4), covered.last, covered.last));
    assert_eq!(now.durable, LogIndex::new(2), "of what is new nothing is durable");
    assert_eq!(now.applied, LogIndex::new(2));
    assert!(cluster.network.is_empty(), "nothing is promised");
    let write = cluster.machines[2].unsynced.last().expect("it is written").clone();
    let compaction = write.compaction.expect("with the snapshot");
    assert!(compaction.discards && compaction.start == covered.last && write.entries.is_empty());

    let mut crashed = cluster.clone();
    crashed.restart(3);
    let again = crashed.node(3).status();
    assert_eq!((again.last, again.start), (before.last, before.start), "recovered whole or not at all");

    cluster.sync(3);
    let status = cluster.node(3).status();
    assert_eq!((status.durable, status.applied), (LogIndex::new(4), LogIndex::new(4)));
    assert_eq!(cluster.applied(3), ["c1"]);
    let acknowledged = cluster.network.iter().any(
        |packet| matches!(packet.body, Body::Acknowledge { durable, .. } if durable == LogIndex::new(4)),
    );
    assert!(acknowledged, "{:?}", cluster.network);
    cluster.restart(3);
    assert_eq!(cluster.node(3).status().start, covered.last);
    assert_eq!(cluster.applied(3), ["c1"], "restored at the start");
}

/// Entries that came behind the snapshot before it was written are in the same write.
#[test]
fn entries_behind_an_unwritten_snapshot_are_written_with_it() {
    let mut cluster = diverged();
    let config = Config { writes_outstanding_max: 1, ..short() };
    cluster.machine(3).config = config;
    cluster.restart(3);
    // The one write that may be outstanding is that of the new term.
    let heartbeat = |cluster: &Cluster, body| Message::Packet(cluster.packet(1, 3, Term::new(2), body));
    let body = Body::Heartbeat { round: raft_core::Round::new(1), commit: LogIndex::new(2) };
    let message = heartbeat(&cluster, body);
    cluster.step(3, message);
    assert_eq!(cluster.machines[2].unsynced.len(), 1);
    cluster.machine(3).saved.insert(Position::new(2, 4), Vec::new());
    let packet = install(&cluster, 3, 1, 2, snapshot(2, 4));
    cluster.step(3, packet);
    let entry = raft_core::Entry::new(LogTime::ZERO, raft_core::Payload::Noop);
    let run = raft_core::Run::new(Term::new(2), LogIndex::new(5), [entry]).expect("a run");
    let body = Body::Append { previous: Position::new(2, 4), commit: LogIndex::new(4), entries: run.into() };
    let message = heartbeat(&cluster, body);
    cluster.step(3, message);
    assert_eq!(cluster.machines[2].unsynced.len(), 1, "the disk takes no more");
    cluster.sync_one(3);
    let write = cluster.machines[2].unsynced.last().expect("what has gathered").clone();
    assert!(write.compaction.is_some_and(|compaction| compaction.discards));
    assert_eq!(write.entries.last_position(), Some(Position::new(2, 5)));
    cluster.sync(3);
    assert_eq!(cluster.node(3).status().durable, LogIndex::new(5));
    cluster.restart(3);
    let status = cluster.node(3).status();
    assert_eq!((status.start, status.last), (Position::new(2, 4), Position::new(2, 5)));
}

/// A snapshot of a deposed leader: what it covers is committed all the same. The sender learns of the newer term, and nobody
/// is followed for it. A leader has it all, and leaves its log alone.
#[test]
fn snapshot_of_an_older_term_is_of_use() {
    let mut cluster = diverged();
    cluster.say(1, 3, Term::new(5), Body::NewerTerm);
    cluster.machine(3).saved.insert(Position::new(2, 4), Vec::new());
    let packet = install(&cluster, 3, 1, 2, snapshot(2, 4));
    cluster.step(3, packet);
    let status = cluster.node(3).status();
    assert_eq!((status.commit, status.leader, status.term), (LogIndex::new(4), None, Term::new(5)));
    assert!(cluster.network.iter().any(|packet| packet.body == Body::NewerTerm));

    let mut cluster = busy(short(), 5);
    cluster.machine(1).config = short();
    let before = cluster.node(1).clone();
    let packet = install(&cluster, 1, 2, 0, snapshot(0, 1));
    cluster.step(1, packet);
    assert!(*cluster.node(1) == before);
}

/// B24: an append whose previous entry has been compacted away is not sent, and a probe that needs one turns into a snapshot.
#[test]
fn nothing_is_sent_behind_a_compacted_position() {
    let mut cluster = busy(short(), 4);
    isolate(&mut cluster, 3);
    cluster.propose(1, "c5");
    cluster.run(4);
    cluster.take_snapshot(1);
    // A new leader, which probes everybody from its end on.
    cluster.cut.clear();
    cluster.restart(1);
    cluster.elect(1);
    cluster.network.clear();
    for _ in 0..12 {
        cluster.tick(1, 1);
        let start = cluster.node(1).status().start;
        for packet in &cluster.network {
            if let Body::Append { previous, .. } = &packet.body {
                assert!(start <= *previous, "{previous} is before {start}");
            }
        }
        cluster.deliver_all();
    }
    assert_eq!(cluster.machines[0].sending.len(), 1);
    cluster.deliver_snapshot(1);
    cluster.run(4);
    assert_eq!(cluster.applied(3), commands(5));
}

/// B34, B33: a snapshot holds the configuration that is in force where it ends, not a later one that may still be undone; and
/// a joint one comes back from it.
#[test]
fn snapshot_holds_the_configuration_of_its_end() {
    let mut cluster = busy(short(), 3);
    cluster.join();
    cluster.join();
    let (before, index) = (cluster.node(1).membership().cloned(), cluster.node(1).membership_index());
    isolate(&mut cluster, 1);
    let target = vec![server(1, Suffrage::Voter), server(4, Suffrage::Voter), server(5, Suffrage::Voter)];
    cluster.change(1, Change::Set(target));
    assert!(cluster.node(1).membership().is_some_and(|membership| membership.is_joint()));
    cluster.take_snapshot(1);
    let snapshot = cluster.node(1).snapshot().expect("it was taken").clone();
    assert_eq!((Some(&snapshot.membership), snapshot.membership_index), (before.as_ref(), index));
    cluster.restart(1);
    let joint = cluster.node(1).membership().expect("it knows one").clone();
    assert!(joint.is_joint(), "what stands behind the snapshot is in force again");

    // Once the joint one is committed and applied, a snapshot holds that, and whoever installs it is in it.
    cluster.cut.clear();
    cluster.network.clear();
    cluster.elect(1);
    isolate(&mut cluster, 2);
    let (at, joint) = (cluster.node(1).membership_index(), cluster.node(1).membership().cloned());
    let committed = Snapshot {
        last: Position::new(2, at.raw() + 3),
        membership: joint.clone().expect("one is in force"),
        membership_index: at,
        ..(*snapshot).clone()
    };
    cluster.machine(2).saved.insert(committed.last, Vec::new());
    let packet = install(&cluster, 2, 1, 3, committed);
    cluster.step(2, packet);
    assert_eq!(cluster.node(2).membership().cloned(), joint);
    assert_eq!(cluster.node(2).membership_index(), at);
    cluster.restart(2);
    assert_eq!(cluster.node(2).membership().cloned(), joint);
}

/// B33: an installation undoes newer configurations that were never committed.
#[test]
fn installation_undoes_uncommitted_configurations() {
    let mut cluster = busy(short(), 3);
    isolate(&mut cluster, 1);
    cluster.change(1, Change::Demote(pair(3).id));
    assert_eq!(cluster.node(1).membership_index(), LogIndex::new(6));
    let covered = snapshot(2, 6);
    cluster.machine(1).saved.insert(covered.last, Vec::new());
    let packet = install(&cluster, 1, 2, 2, covered.clone());
    cluster.step(1, packet);
    assert_eq!(cluster.node(1).membership(), Some(&covered.membership));
    let told = cluster.machines[0].events.iter().rev().find_map(|event| match event {
        Event::Membership { index, .. } => Some(*index),
        _ => None,
    });
    assert_eq!(told, Some(LogIndex::new(1)));
}

/// A disk gives back the configurations that a snapshot has made needless no more, and the node asks for a snapshot when there
/// are many.
#[test]
fn many_configurations_ask_for_a_snapshot_once() {
    let mut cluster = busy(short(), 1);
    let wanted = |cluster: &Cluster| {
        cluster.machines[0].events.iter().filter(|event| **event == Event::SnapshotWanted).count()
    };
    for number in 0..70 {
        assert_eq!(wanted(&cluster), usize::from(64 <= number), "after {number} changes");
        let (id, client) = (pair(2).id, format!("client{number}"));
        cluster.change(1, Change::Readdress { id, raft_address: "raft2".into(), client_address: client });
        cluster.run(1);
    }
    cluster.take_snapshot(1);
    cluster.run(2);
    assert_eq!(cluster.machines[0].recovered().memberships().len(), 1);
    assert_eq!(wanted(&cluster), 1);
}

/// A node does not start on a log without the snapshot that stands for its beginning, nor on one of another cluster.
#[test]
fn start_needs_the_snapshot_before_the_log() {
    let mut cluster = busy(short(), 3);
    cluster.take_snapshot(1);
    let machine = &cluster.machines[0];
    let start = |recovered| Node::new(machine.config, machine.identity, recovered).map(|_| ());
    let good = machine.recovered();
    assert_eq!(start(good.clone()), Ok(()));
    let again = raft_core::bootstrap(&good, &membership(3), pair(1));
    assert_eq!(again, Ok(raft_core::Bootstrap::AlreadyDone), "though the founding entry is gone");
    let mut without = good.clone();
    without.snapshot = None;
    assert!(start(without).is_err());
    let other = Snapshot { cluster: membership(2).cluster_id(), ..snapshot(1, 5) };
    let mut of_another = good;
    of_another.snapshot = Some(Arc::new(other));
    assert!(matches!(start(of_another), Err(raft_core::StartError::OtherCluster { .. })));
}

/// A peer that contradicts what it has sent, or what makes the cluster, halts the node instead of leaving it with a log that
/// can not be; and what no log can hold is dropped.
#[test]
fn snapshots_that_can_not_be_are_not_installed() {
    let mut cluster = busy(short(), 5);
    isolate(&mut cluster, 3);
    cluster.cut.retain(|cut| *cut != (1, 3));
    cluster.cut.push((3, 1));
    cluster.propose(1, "c6");
    cluster.deliver_all();
    // Verified against the leader of term 1, and not known to be committed.
    assert_eq!(cluster.node(3).status().last, Position::new(1, 8));
    let take = |packet| {
        let mut node = cluster.node(3).clone();
        node.step(packet);
        node
    };
    let against = snapshot(0, 8);
    let fault = |packet| take(packet).status().fault;
    assert_eq!(fault(install(&cluster, 3, 1, 1, against.clone())), Some(Fault::LeaderRewrites));
    assert_eq!(fault(install(&cluster, 3, 1, 0, against)), Some(Fault::CommittedConflict));
    let other = Snapshot { membership: Arc::new(membership(2)), ..snapshot(1, 20) };
    assert_eq!(fault(install(&cluster, 3, 1, 1, other.clone())), Some(Fault::OtherFounding));
    let later = Snapshot { membership_index: LogIndex::new(2), ..other };
    assert_eq!(fault(install(&cluster, 3, 1, 1, later)), None, "configurations change");
    for index in [LogIndex::MAX.next(), LogIndex::new(u64::MAX)] {
        let endless = Snapshot { last: Position { index, ..Position::new(1, 1) }, ..snapshot(1, 1) };
        assert!(take(install(&cluster, 3, 1, 1, endless)) == *cluster.node(3), "no log is so long");
    }
}

/// A log that begins where an installed snapshot ends keeps what followers may still need of it, as any other.
#[test]
fn trailing_entries_are_kept_behind_an_installed_snapshot() {
    let mut cluster = busy(Config { trailing_entries: 4, ..config() }, 2);
    isolate(&mut cluster, 3);
    for number in 3..=12 {
        cluster.propose(1, &format!("c{number}"));
        cluster.deliver_all();
    }
    let installed = cluster.take_snapshot(1);
    cluster.cut.clear();
    cluster.run(12);
    cluster.deliver_snapshot(1);
    cluster.propose(1, "c13");
    cluster.run(8);
    assert_eq!(cluster.node(3).status().start, installed);
    cluster.take_snapshot(3);
    assert_eq!(cluster.node(3).status().start, installed);
    assert_eq!(cluster.machines[2].recovered().start, installed);
}

/// Configurations that a snapshot makes needless are forgotten even where all entries stay for followers: else they would
/// gather, and the node would ask for the next snapshot at once.
#[test]
fn configurations_are_forgotten_where_entries_stay() {
    let mut cluster = busy(config(), 1);
    for number in 0..70 {
        let (id, client) = (pair(2).id, format!("client{number}"));
        cluster.change(1, Change::Readdress { id, raft_address: "raft2".into(), client_address: client });
        cluster.run(1);
    }
    cluster.take_snapshot(1);
    cluster.run(2);
    assert_eq!(cluster.node(1).status().start, Position::ZERO);
    let wanted = cluster.machines[0].events.iter().filter(|event| **event == Event::SnapshotWanted);
    assert_eq!(wanted.count(), 1);
    let mut started = cluster.clone();
    started.restart(1);
    assert_eq!(started.node(1).membership(), cluster.node(1).membership());
}

/// B24: entries that were asked for before the log was compacted, and come after, are not sent: what stands before them is not
/// known any more.
#[test]
fn entries_fetched_before_a_compaction_are_not_sent() {
    let mut cluster = busy(Config { tail_bytes_max: 1, ..short() }, 2);
    isolate(&mut cluster, 3);
    for number in 3..=6 {
        cluster.propose(1, &format!("c{number}"));
        cluster.deliver_all();
    }
    cluster.run(4);
    // A new leadership, whose first append to server 3 is lost.
    cluster.restart(1);
    cluster.elect(1);
    cluster.run(4);
    let (last, time) = cluster.machines[0].applied_at;
    let mut node = cluster.node(1).clone();
    let boot = node.identity().boot;
    let (previous, hint, hint_first) = (Position::new(1, 8), Position::new(1, 4), LogIndex::new(2));
    let body = Body::Reject { boot, previous, hint, hint_first };
    let packet = cluster.packet(3, 1, Term::new(2), body);
    let ready = node.step(Message::Packet(packet));
    assert_eq!(ready.fetch.len(), 1, "{:?}", node.followers().collect::<Vec<_>>());
    let fetch = ready.fetch[0];
    let entries = cluster.machines[0].read(fetch.first, fetch.last);
    // The log begins behind all that was fetched, or behind the first of it.
    for last in [last, Position { term: Term::new(1), index: fetch.first }] {
        let mut node = node.clone();
        node.step(Message::SnapshotTaken { last, time, size: 1, digest: 1.into() });
        let result = Fetched::Entries(entries.clone());
        let ready = node.step(Message::Fetched { number: fetch.number, result });
        assert_eq!((node.status().start, node.status().fault), (last, None));
        assert_eq!(ready.send, []);
    }
}

/// A state machine that forgets with its server may be ahead of the disk, and save itself before an installed snapshot is
/// written: the write is that of the installation all the same.
#[test]
fn snapshot_taken_before_an_installation_is_written_is_ignored() {
    let mut cluster = diverged();
    cluster.machine(3).config = Config { writes_outstanding_max: 1, apply_before_durable: true, ..short() };
    cluster.restart(3);
    let step = |cluster: &mut Cluster, body| cluster.say(1, 3, Term::new(2), body);
    step(&mut cluster, Body::Heartbeat { round: raft_core::Round::new(1), commit: LogIndex::new(2) });
    assert_eq!(cluster.machines[2].unsynced.len(), 1, "the disk takes no more");
    cluster.machine(3).saved.insert(Position::new(2, 4), Vec::new());
    let packet = install(&cluster, 3, 1, 2, snapshot(2, 4));
    cluster.step(3, packet);
    let entry = raft_core::Entry::new(LogTime::ZERO, raft_core::Payload::Noop);
    let run = raft_core::Run::new(Term::new(2), LogIndex::new(5), [entry]).expect("a run");
    let (previous, commit) = (Position::new(2, 4), LogIndex::new(5));
    step(&mut cluster, Body::Append { previous, commit, entries: run.into() });
    assert_eq!(cluster.take_snapshot(3), Position::new(2, 5), "it is applied");
    cluster.sync_one(3);
    cluster.sync(3);
    assert_eq!(cluster.machines[2].recovered().start, Position::new(2, 4));
    let taken = cluster.take_snapshot(3);
    cluster.sync(3);
    assert_eq!(cluster.machines[2].recovered().start, taken, "later it is taken");
}

/// A server that tries to be elected by a configuration which a late snapshot shows to be over stops trying.
#[test]
fn snapshot_that_ends_a_configuration_ends_a_candidacy_by_it() {
    let mut cluster = busy(short(), 3);
    cluster.cut.push((3, 1));
    cluster.change(1, Change::Demote(pair(3).id));
    cluster.deliver_one_way(1);
    isolate(&mut cluster, 3);
    let index = cluster.node(3).membership_index();
    assert!(
        cluster.node(3).status().commit < index,
        "it has the change, and does not know that it is committed"
    );
    let newer = install(&cluster, 3, 2, 5, snapshot(1, 1));
    cluster.step(3, newer);
    cluster.step(3, Message::ForgetLeader);
    cluster.tick(3, 40);
    assert_eq!(cluster.node(3).status().role, RoleKind::PreCandidate);
    let late = Snapshot { last: Position { term: Term::new(1), index }, ..snapshot(1, 1) };
    let packet = install(&cluster, 3, 1, 1, late);
    cluster.step(3, packet);
    let status = cluster.node(3).status();
    assert_eq!((status.role, status.commit), (RoleKind::Follower, index));
}

/// A report that a snapshot has arrived may come after its receiver has crashed and forgotten it: it is sent again.
#[test]
fn snapshot_that_was_lost_by_a_crash_after_its_arrival_is_sent_again() {
    let mut cluster = busy(short(), 1);
    isolate(&mut cluster, 3);
    cluster.propose(1, "c2");
    cluster.run(4);
    cluster.take_snapshot(1);
    cluster.cut.clear();
    cluster.run(6);
    let SendSnapshot { number, packet } = cluster.machine(1).sending.remove(0);
    let saved = cluster.machine(1).saved.clone();
    cluster.machine(3).saved.extend(saved);
    cluster.machine(3).sync_at_once = false;
    cluster.step(3, Message::Packet(packet));
    cluster.network.clear();
    cluster.machine(3).crash();
    cluster.machine(3).sync_at_once = true;
    cluster.machine(3).start();
    cluster.run(8);
    cluster.step(1, Message::SnapshotSent { number, arrived: true });
    cluster.run(20);
    assert_eq!(cluster.machine(1).sending.len(), 1);
    cluster.deliver_snapshot(1);
    cluster.run(4);
    assert_eq!(cluster.applied(3), commands(2));
}

/// A follower that restarts in an idle cluster has all that is gone from the leader's log, and needs no snapshot where anything
/// follows that; where nothing does, a transfer that fails is not the end.
#[test]
fn restarted_follower_of_a_compacted_log_learns_what_is_committed() {
    for (behind, durable) in [(true, true), (true, false), (false, true)] {
        let mut cluster = busy(short(), 2);
        if behind {
            cluster.take_snapshot(1);
            // What follows may have come to its disk or not: it has all that is gone from the leader's.
            cluster.machine(3).sync_at_once = durable;
            cluster.propose(1, "c3");
            cluster.deliver_all();
            cluster.machine(3).sync_at_once = true;
            cluster.restart(3);
            cluster.run(12);
            assert_eq!(cluster.machine(1).sending, []);
            assert_eq!(cluster.applied(3), commands(3));
            continue;
        }
        cluster.take_snapshot(1);
        cluster.restart(3);
        cluster.run(8);
        for _ in 0..3 {
            let SendSnapshot { number, .. } = cluster.machine(1).sending.remove(0);
            cluster.step(1, Message::SnapshotSent { number, arrived: false });
            cluster.run(20);
        }
        cluster.deliver_snapshot(1);
        cluster.run(4);
        assert_eq!(cluster.applied(3), commands(2));
    }
}
