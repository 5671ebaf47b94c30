//! Goal: the contract of `step` (total, pure, promises only after `Synced`, one answer for each request) holds whatever
//! happens to a node. Method: random stories about one node among hostile peers, looked at from outside after every step;
//! the fuzzer goes on where this leaves off.

mod hostile;

use arbitrary::{Arbitrary, Unstructured};
use hostile::{Action, Observer, Story, World};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use raft_core::{Body, Fetch, FetchNumber, LogIndex, Message, Packet, Position, Ready, RoleKind, Term};

fn stories() -> impl Strategy<Value = Story> {
    vec(any::<u8>(), 0..3000)
        .prop_map(|bytes| Story::arbitrary(&mut Unstructured::new(&bytes)).expect("any bytes make a story"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn node_keeps_its_contract_in_any_story(story in stories()) {
        hostile::run(&story);
    }
}

/// A generator whose stories are all dull would find nothing: some have to win elections among several voters, commit, hand
/// over, halt, fetch and start again.
#[test]
fn stories_are_eventful() {
    const STORIES: u32 = 2500;
    let mut runner = TestRunner::deterministic();
    let (mut counts, mut handed_over, mut joint) = ([0; 18], 0, 0);
    let mut dead = 0;
    for _ in 0..STORIES {
        let story = stories().new_tree(&mut runner).expect("nothing is rejected").current();
        let world = hostile::run(&story);
        let status = world.node.status();
        let several = world.node.membership().is_some_and(|membership| 1 < membership.voters().count());
        let happened = [
            world.has_been(RoleKind::Leader),
            several && world.has_been(RoleKind::Leader),
            world.has_been(RoleKind::PreCandidate),
            LogIndex::new(3) <= status.commit,
            several && LogIndex::new(3) <= status.commit && world.has_been(RoleKind::Leader),
            status.fault.is_some(),
            1 < world.node.identity().boot.raw(),
            0 < world.observer.seen.transfers,
            0 < world.observer.seen.fetches,
            0 < world.observer.seen.changes,
            0 < world.observer.seen.taken,
            0 < world.observer.seen.sent,
            0 < world.observer.seen.installed_shorter,
            0 < world.observer.seen.installed_against,
            0 < world.observer.seen.restored,
            0 < world.observer.seen.imports,
            0 < world.observer.seen.reads,
            0 < world.observer.seen.forwards,
        ];
        dead += world.observer.seen.dead;
        joint += world.observer.seen.joint;
        handed_over += world.observer.seen.handed_over;
        for (count, happened) in counts.iter_mut().zip(happened) {
            *count += u32::from(happened);
        }
    }
    let rare = (handed_over, joint, dead);
    assert!(
        counts.iter().all(|count| 10 < *count) && 0 < handed_over && 0 < joint && 0 < dead,
        "{counts:?} of {STORIES}, {rare:?}"
    );
}

/// Three voters, the default limits.
fn world() -> World {
    let story = Story::arbitrary(&mut Unstructured::new(&[2, 1, 0, 0])).expect("any bytes make a story");
    assert!(story.scenes.is_empty());
    World::new(story.settings)
}

fn from_second(world: &World, term: u64, body: Body) -> Message {
    Message::Packet(Packet {
        cluster: world.node.identity().cluster,
        from: hostile::pair(2),
        boot: raft_core::Boot::new(1),
        to: hostile::pair(1),
        term: Term::new(term),
        body,
        versions: raft_core::Versions::OURS,
    })
}

/// A world in which server 2 has asked for the vote, and it is not durable yet.
fn world_with_a_vote_under_way() -> World {
    let mut world = world();
    let last = Position::new(0, 1);
    let request = from_second(&world, 1, Body::RequestVote { last, transfer: false });
    world.tell(request);
    world.step();
    world
}

fn promise(world: &World, body: Body) -> Ready {
    let identity = world.node.identity();
    let packet = Packet {
        cluster: identity.cluster,
        from: identity.pair,
        boot: identity.boot,
        to: hostile::pair(2),
        term: world.node.status().term,
        body,
        versions: raft_core::Versions::OURS,
    };
    Ready { send: vec![packet], ..Ready::default() }
}

/// Lets the observer see a `Ready` that the node did not make.
fn observe(world: &World, ready: &Ready) {
    let mut observer = Observer::new(&world.node, &world.disk);
    observer.observe(&world.node.status(), &world.node, ready, &world.disk, true);
}

fn granted(world: &World) -> Ready {
    let boot = world.node.identity().boot;
    promise(world, Body::Vote { boot, granted: true })
}

// Each rule of the observer can be broken, and is then seen.

#[test]
fn durable_vote_may_leave() {
    let mut world = world_with_a_vote_under_way();
    world.perform(&Action::SyncAll);
    world.step();
    observe(&world, &granted(&world));
}

#[test]
#[should_panic(expected = "a vote that leaves is durable")]
fn vote_before_its_sync_is_seen() {
    let world = world_with_a_vote_under_way();
    observe(&world, &granted(&world));
}

fn acknowledgement(world: &World, durable: u64) -> Ready {
    let (held, durable) = (LogIndex::new(durable), LogIndex::new(durable));
    promise(world, Body::Acknowledge { boot: world.node.identity().boot, round: None, held, durable })
}

#[test]
#[should_panic(expected = "the term of an acknowledgement is durable")]
fn acknowledgement_before_its_term_is_seen() {
    let world = world_with_a_vote_under_way();
    observe(&world, &acknowledgement(&world, 1));
}

#[test]
#[should_panic(expected = "what is acknowledged is durable")]
fn acknowledgement_beyond_the_disk_is_seen() {
    let mut world = world_with_a_vote_under_way();
    world.perform(&Action::SyncAll);
    world.step();
    observe(&world, &acknowledgement(&world, 1));
    observe(&world, &acknowledgement(&world, 2));
}

#[test]
#[should_panic(expected = "to no question")]
fn second_answer_is_seen() {
    let mut world = world();
    world.perform(&Action::Propose { commands: 1, bytes: 1 });
    let mut twin = world.node.clone();
    world.step();
    let commands = bytes::Bytes::new().into();
    let ready = twin.step(Message::Propose { id: raft_core::RequestId::new(1), commands });
    assert_eq!(ready.answers.len(), 1);
    observe(&world, &ready);
}

#[test]
#[should_panic(expected = "is within its limit")]
fn fetch_beyond_its_limit_is_seen() {
    let world = world();
    let (first, bytes_max) = (LogIndex::new(1), world.node.config().fetch_bytes_max + 1);
    let fetch = Fetch { number: FetchNumber::new(1), first, last: first, bytes_max };
    observe(&world, &Ready { fetch: vec![fetch], ..Ready::default() });
}

#[test]
#[should_panic(expected = "what is applied is committed")]
fn application_of_what_is_not_committed_is_seen() {
    let world = world();
    let entries = world.disk.read(LogIndex::new(1), LogIndex::new(1));
    let ready = Ready { apply: entries, ..Ready::default() };
    observe(&world, &ready);
}

#[test]
#[should_panic(expected = "left == right")]
fn change_without_an_event_is_seen() {
    let mut world = world();
    let before = world.node.status();
    world.tell(Message::Tick { elapsed: 20 });
    world.step();
    let mut observer = Observer::new(&world.node, &world.disk);
    observer.observe(&before, &world.node, &Ready::default(), &world.disk, true);
}
