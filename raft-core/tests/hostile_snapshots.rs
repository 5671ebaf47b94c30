//! Goal: every rule about snapshots by which random stories are watched (see `hostile_world`) can be broken, and is then seen.
//! Method: what a node would have to want to break it is shown to the observer, or to the disk.

mod hostile;

use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};
use hostile::{Action, Disk, Observer, Story, World};
use raft_core::{
    Body, Boot, Change, Compaction, Config, Entry, Event, HardState, LogIndex, LogTime, Message, Packet,
    Payload, Position, Ready, RequestId, Run, Runs, SendNumber, SendSnapshot, Snapshot, Status, Term, Write,
    WriteNumber,
};

/// A founder alone that leads, has applied some entries, and keeps `trailing` of those that a snapshot covers.
fn leader(trailing: u8) -> World {
    let story = Story::arbitrary(&mut Unstructured::new(&[0, 1, 11, 0, trailing << 2])).expect("a story");
    let mut world = World::new(story.settings);
    world.perform(&Action::Lead { rarely: 0 });
    for _ in 0..4 {
        world.perform(&Action::Propose { commands: 1, bytes: 1 });
        settle(&mut world);
    }
    assert_eq!(world.node.status().applied, LogIndex::new(6));
    world
}

fn settle(world: &mut World) {
    for _ in 0..8 {
        world.perform(&Action::SyncAll);
        world.step();
        world.perform(&Action::Apply);
        world.step();
    }
}

/// The same, after it has taken a snapshot of all.
fn saved(trailing: u8) -> World {
    let mut world = leader(trailing);
    world.perform(&Action::Save { back: 255 });
    world.step();
    settle(&mut world);
    assert_eq!(world.observer.seen.taken, 1);
    world
}

fn latest(world: &World) -> Snapshot {
    (**world.node.snapshot().expect("it was taken")).clone()
}

/// The snapshot is in force on the disk, and a restart is restored from it.
#[test]
fn snapshot_outlives_a_restart() {
    for applied in [0, 255] {
        let mut world = saved(0);
        assert_eq!(world.disk.start, Position::new(1, 6));
        world.perform(&Action::Restart { rarely: 0, keep: 1, applied });
        world.step();
        settle(&mut world);
        assert_eq!(world.observer.seen.restored, u32::from(applied == 0));
        assert_eq!(world.node.status().applied, LogIndex::new(6));
    }
}

/// Lets an observer that has seen nothing yet see a `Ready` that the node did not make, after the state machine was handed
/// all up to `handed`.
fn observe(world: &World, handed: u64, before: impl FnOnce(&mut Status), ready: &Ready) {
    let mut observer = Observer::new(&world.node, &world.disk);
    observer.handed = LogIndex::new(handed);
    let mut status = world.node.status();
    before(&mut status);
    observer.observe(&status, &world.node, ready, &world.disk, true);
}

fn restoring(snapshot: Snapshot) -> Ready {
    Ready { restore: Some(Arc::new(snapshot)), ..Ready::default() }
}

#[test]
fn restoration_to_a_durable_snapshot_may_be() {
    let world = saved(0);
    observe(&world, 0, |_| (), &restoring(latest(&world)));
}

#[test]
#[should_panic(expected = "restored to something newer")]
fn restoration_backwards_is_seen() {
    let world = saved(0);
    observe(&world, 6, |_| (), &restoring(latest(&world)));
}

#[test]
#[should_panic(expected = "restored where the log lacks what is next")]
fn restoration_for_nothing_is_seen() {
    let world = saved(3);
    observe(&world, 5, |_| (), &restoring(latest(&world)));
}

#[test]
#[should_panic(expected = "what is restored is committed")]
fn restoration_to_what_is_not_committed_is_seen() {
    let world = saved(0);
    observe(&world, 0, |_| (), &restoring(Snapshot { last: Position::new(1, 7), ..latest(&world) }));
}

#[test]
#[should_panic(expected = "what is restored is durable")]
fn restoration_to_what_is_not_durable_is_seen() {
    let world = saved(0);
    observe(&world, 0, |_| (), &restoring(Snapshot { digest: 99.into(), ..latest(&world) }));
}

#[test]
#[should_panic(expected = "does one thing at a time")]
fn restoration_along_with_entries_is_seen() {
    let world = saved(3);
    let apply = world.disk.read(LogIndex::new(6), LogIndex::new(6));
    observe(&world, 5, |_| (), &Ready { apply, ..restoring(latest(&world)) });
}

#[test]
#[should_panic(expected = "restored when it has nothing to do")]
fn restoration_of_a_busy_state_machine_is_seen() {
    let mut world = saved(0);
    world.observer.applying = Some(LogIndex::new(6));
    let ready = restoring(latest(&world));
    world.observer.observe(&world.node.status(), &world.node, &ready, &world.disk, true);
}

fn sending(world: &World, number: u64, snapshot: Snapshot) -> SendSnapshot {
    let own = world.node.identity();
    let packet = Packet {
        cluster: own.cluster,
        from: own.pair,
        boot: own.boot,
        to: hostile::pair(2),
        term: world.node.status().term,
        body: Body::InstallSnapshot { snapshot: Arc::new(snapshot) },
        versions: raft_core::Versions::OURS,
    };
    SendSnapshot { number: SendNumber::new(number), packet }
}

fn sends(world: &World, snapshots: Vec<SendSnapshot>) {
    observe(world, 6, |_| (), &Ready { snapshots, ..Ready::default() });
}

#[test]
fn latest_snapshot_may_be_sent() {
    let world = saved(0);
    sends(&world, vec![sending(&world, 1, latest(&world))]);
}

#[test]
#[should_panic(expected = "snapshots to send are numbered in order")]
fn snapshot_out_of_order_is_seen() {
    let world = saved(0);
    sends(&world, vec![sending(&world, 2, latest(&world))]);
}

#[test]
#[should_panic(expected = "one snapshot at a time is sent to a server")]
fn second_snapshot_to_a_server_is_seen() {
    let world = saved(0);
    sends(&world, vec![sending(&world, 1, latest(&world)), sending(&world, 2, latest(&world))]);
}

#[test]
#[should_panic(expected = "the latest snapshot is sent")]
fn other_snapshot_than_the_latest_is_seen() {
    let world = saved(0);
    sends(&world, vec![sending(&world, 1, Snapshot { size: 99, ..latest(&world) })]);
}

#[test]
#[should_panic(expected = "can be")]
fn snapshot_that_can_not_be_is_seen() {
    let world = saved(0);
    sends(&world, vec![sending(&world, 1, Snapshot { membership_index: LogIndex::ZERO, ..latest(&world) })]);
}

#[test]
#[should_panic(expected = "is no snapshot")]
fn other_packet_in_the_place_of_a_snapshot_is_seen() {
    let world = saved(0);
    let mut send = sending(&world, 1, latest(&world));
    send.packet.body = Body::NewerTerm;
    sends(&world, vec![send]);
}

fn installed(index: u64) -> Ready {
    let last = Position::new(1, index);
    Ready { events: vec![Event::SnapshotInstalled { last }], ..Ready::default() }
}

fn had_nothing(before: &mut Status) {
    (before.commit, before.start) = (LogIndex::new(1), Position::ZERO);
}

#[test]
fn installation_may_be_told() {
    observe(&saved(0), 6, had_nothing, &installed(6));
}

#[test]
#[should_panic(expected = "an installation is told once")]
fn installation_that_is_told_twice_is_seen() {
    let mut ready = installed(6);
    ready.events.extend(installed(6).events);
    observe(&saved(0), 6, had_nothing, &ready);
}

#[test]
#[should_panic(expected = "what is committed is not installed again")]
fn installation_of_what_is_committed_is_seen() {
    observe(&saved(0), 6, |_| (), &installed(6));
}

#[test]
#[should_panic(expected = "what is installed is committed")]
fn installation_that_commits_nothing_is_seen() {
    observe(&saved(0), 6, had_nothing, &installed(7));
}

#[test]
#[should_panic(expected = "the log ends with what is installed")]
fn installation_before_other_entries_is_seen() {
    observe(&saved(3), 6, had_nothing, &installed(6));
}

#[test]
#[should_panic(expected = "the log never begins earlier again")]
fn log_that_begins_earlier_is_seen() {
    observe(&saved(3), 6, |before| before.start = before.last, &Ready::default());
}

#[test]
#[should_panic(expected = "snapshots of what it has applied")]
fn compaction_of_what_is_not_applied_is_seen() {
    let mut world = saved(0);
    world.perform(&Action::Restart { rarely: 0, keep: 1, applied: 0 });
    world.step();
    observe(&world, 6, had_nothing, &Ready::default());
}

#[test]
#[should_panic(expected = "the log keeps what follows a snapshot on its way")]
fn compaction_beyond_a_snapshot_on_its_way_is_seen() {
    let mut world = saved(0);
    let earlier = Snapshot { last: Position::new(1, 5), ..latest(&world) };
    world.observer.snapshots.sending.push(sending(&world, 1, earlier));
    let mut before = world.node.status();
    had_nothing(&mut before);
    world.observer.observe(&before, &world.node, &Ready::default(), &world.disk, true);
}

/// Lets an observer of one world see another, as if the one had become the other in a step.
fn becomes(one: &World, other: &World) {
    let mut observer = Observer::new(&one.node, &one.disk);
    observer.observe(&other.node.status(), &other.node, &Ready::default(), &other.disk, true);
}

#[test]
#[should_panic(expected = "the latest snapshot is the latest")]
fn forgotten_snapshot_is_seen() {
    becomes(&saved(0), &leader(0));
}

#[test]
#[should_panic(expected = "committed entries stay")]
fn other_committed_entries_are_seen() {
    let story = Story::arbitrary(&mut Unstructured::new(&[0, 1, 11, 0, 0])).expect("a story");
    let mut other = World::new(story.settings);
    let own = other.node.identity();
    let (from, boot, term) = (hostile::pair(2), Boot::new(1), Term::new(5));
    let packet = Packet {
        cluster: own.cluster,
        from,
        boot,
        to: own.pair,
        term,
        body: Body::NewerTerm,
        versions: raft_core::Versions::OURS,
    };
    other.tell(Message::Packet(packet));
    other.perform(&Action::Lead { rarely: 0 });
    for _ in 0..4 {
        other.perform(&Action::Propose { commands: 1, bytes: 1 });
        settle(&mut other);
    }
    becomes(&saved(0), &other);
}

#[test]
#[should_panic(expected = "an event tells of another configuration")]
fn configuration_without_an_event_is_seen() {
    let mut world = leader(0);
    let mut observer = Observer::new(&world.node, &world.disk);
    let servers = hostile::membership(2).servers().to_vec();
    let change = Change::Add(servers[1].clone());
    world.node.step(Message::Reconfigure { id: RequestId::new(99), change, based_on: None });
    observer.observe(&world.node.status(), &world.node, &Ready::default(), &world.disk, true);
}

#[test]
#[should_panic(expected = "an honest driver is blamed")]
fn fault_of_an_honest_driver_is_seen() {
    let mut world = leader(0);
    world.tell(Message::SnapshotSent { number: SendNumber::new(9), arrived: true });
    world.step();
}

/// An installation that leaves less than was acknowledged, say.
#[test]
#[should_panic(expected = "what was acknowledged stays durable")]
fn promise_that_is_broken_later_is_seen() {
    let mut world = leader(0);
    let body = Body::Acknowledge {
        boot: Boot::new(1),
        round: None,
        held: LogIndex::new(6),
        durable: LogIndex::new(6),
    };
    let send = vec![Packet { body, ..sending(&saved(0), 1, latest(&saved(0))).packet }];
    let status = world.node.status();
    let ready = Ready { send, ..Ready::default() };
    world.observer.observe(&status, &world.node, &ready, &world.disk, true);
    let mut lost = Disk::default();
    lost.hard_state = world.disk.hard_state;
    world.observer.observe(&status, &world.node, &Ready::default(), &lost, true);
}

// What the disk is told.

fn snapshot(index: u64) -> Snapshot {
    let membership = Arc::new(hostile::membership(1));
    Snapshot {
        cluster: membership.cluster_id(),
        last: Position::new(1, index),
        time: LogTime::ZERO,
        membership,
        membership_index: LogIndex::new(1),
        size: 0,
        digest: 0.into(),
    }
}

fn write(number: u64, commit: u64, compaction: Option<(u64, u64, bool)>) -> Write {
    let compaction = compaction.map(|(last, start, discards)| Compaction {
        snapshot: Arc::new(snapshot(last)),
        start: if start == 0 { Position::ZERO } else { Position::new(1, start) },
        discards,
    });
    Write {
        number: WriteNumber::new(number),
        hard_state: HardState { term: Term::new(1), vote: None },
        entries: Runs::new(),
        compaction: compaction.map(Box::new),
        refounds: None,
        commit: LogIndex::new(commit),
    }
}

/// Entries of term 1 from this index to 4.
fn entries(first: u64) -> Runs {
    let entry = raft_core::Entry::new(LogTime::ZERO, raft_core::Payload::Noop);
    let count = (5 - first) as usize;
    Run::new(Term::new(1), LogIndex::new(first), vec![entry; count]).expect("a run").into()
}

/// A disk with four entries, of which three are committed, that is told this.
fn told(config: &Config, writes: impl IntoIterator<Item = Write>) -> Disk {
    let mut disk = Disk::default();
    disk.absorb(&Write { entries: entries(1), ..write(0, 3, None) });
    for write in writes {
        disk.issued(&Ready { write: Some(write), ..Ready::default() }, config);
    }
    disk
}

fn short() -> Config {
    Config { trailing_entries: 0, ..Config::default() }
}

#[test]
fn compactions_that_fit_are_taken() {
    let later =
        [write(1, 3, Some((2, 1, false))), write(2, 4, Some((4, 4, false))), write(3, 9, Some((9, 9, true)))];
    let mut disk = told(&short(), later);
    assert_eq!(disk.sync(1), Some(WriteNumber::new(1)));
    assert!(disk.read(LogIndex::new(1), LogIndex::new(4)).is_some(), "not deleted yet");
    disk.delete();
    assert!(disk.read(LogIndex::new(1), LogIndex::new(4)).is_none());
    disk.sync(2);
    disk.crash();
    assert_eq!((disk.start, disk.end()), (Position::new(1, 9), 9));
}

#[test]
#[should_panic(expected = "a snapshot covers what is committed")]
fn compaction_of_what_is_not_committed_is_seen() {
    told(&short(), [write(1, 3, Some((4, 3, false)))]);
}

#[test]
#[should_panic(expected = "a snapshot stands for all that is before the log")]
fn compaction_beyond_the_snapshot_is_seen() {
    told(&short(), [write(1, 3, Some((2, 3, false)))]);
}

#[test]
#[should_panic(expected = "snapshots are written in order")]
fn older_snapshot_is_seen() {
    told(&short(), [write(1, 3, Some((3, 1, false))), write(2, 3, Some((2, 2, false)))]);
}

#[test]
#[should_panic(expected = "what was deleted does not come back")]
fn earlier_beginning_is_seen() {
    told(&short(), [write(1, 3, Some((2, 2, false))), write(2, 3, Some((3, 1, false)))]);
}

#[test]
#[should_panic(expected = "what followers may still need is kept")]
fn compaction_of_trailing_entries_is_seen() {
    told(&Config { trailing_entries: 2, ..Config::default() }, [write(1, 3, Some((3, 2, false)))]);
}

#[test]
#[should_panic(expected = "where all is discarded, the log begins behind the snapshot")]
fn discard_of_half_is_seen() {
    told(&short(), [write(1, 4, Some((4, 3, true)))]);
}

#[test]
#[should_panic(expected = "nothing that is committed is discarded")]
fn discard_of_what_is_committed_is_seen() {
    told(&short(), [write(1, 3, Some((3, 3, true)))]);
}

#[test]
#[should_panic(expected = "nothing that is committed is cut off")]
fn cut_of_what_is_committed_is_seen() {
    told(&short(), [Write { entries: entries(3), ..write(1, 3, None) }]);
}

#[test]
#[should_panic(expected = "the log begins behind an entry of it")]
fn compaction_to_another_entry_is_seen() {
    let mut other = write(1, 3, Some((3, 2, false)));
    if let Some(compaction) = &mut other.compaction {
        compaction.start = Position::new(0, 2);
    }
    told(&short(), [other]).sync(1);
}

#[test]
#[should_panic(expected = "left == right")]
fn recovery_to_another_beginning_is_seen() {
    let mut disk = told(&short(), [write(1, 3, Some((3, 2, false)))]);
    disk.sync(1);
    disk.start = Position::new(1, 1);
    disk.crash();
}

#[test]
#[should_panic(expected = "the bytes of the import at 1.2 are here")]
fn import_without_its_bytes_is_seen() {
    let entry = Entry::new(LogTime::ZERO, Payload::Import(hostile::imports::state(1)));
    let run = Run::new(Term::new(1), LogIndex::new(2), [entry]).expect("a run");
    let hard_state = HardState { term: Term::new(1), vote: None };
    let number = WriteNumber::new(1);
    let (compaction, refounds, commit) = (None, None, LogIndex::ZERO);
    let write = Some(Write { number, hard_state, entries: run.into(), compaction, refounds, commit });
    hostile::imports::Imports::default().observe(&Ready { write, ..Ready::default() });
}
