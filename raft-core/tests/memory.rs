//! Bounded memory (C10): what is committed and durable leaves the core when the tail is full, and comes back by fetches.

mod common;

use common::{Cluster, config};
use raft_core::{
    Config, Entry, Event, Fetched, LogIndex, LogTime, Message, Outcome, Payload, Refusal, Run, Term,
};

fn small() -> Config {
    Config { tail_bytes_max: 500, append_bytes_max: 300, fetch_bytes_max: 300, ..config() }
}

/// A follower that was away is served what the leader no longer holds, and its state machine sees everything once.
#[test]
fn lagging_follower_is_served_by_fetches() {
    let mut cluster = Cluster::with(3, small());
    cluster.elect(1);
    cluster.machine(3).crash();
    let texts: Vec<String> = (0..200).map(|n| format!("command {n}")).collect();
    for text in &texts {
        cluster.propose(1, text);
        cluster.deliver_all();
    }
    let fetches = cluster.machines[0].fetches;
    cluster.machine(3).start();
    cluster.run(60);
    assert!(fetches < cluster.machines[0].fetches, "the leader had to fetch");
    for id in 1..=3 {
        assert_eq!(cluster.applied(id), texts, "server {id}");
    }
}

/// With all followers up to date nothing is fetched, however small the tail.
#[test]
fn followers_at_the_end_need_no_fetches() {
    let mut cluster = Cluster::with(3, small());
    cluster.elect(1);
    for n in 0..200 {
        cluster.propose(1, &format!("command {n}"));
        cluster.deliver_all();
    }
    assert_eq!(cluster.machines.iter().map(|machine| machine.fetches).sum::<usize>(), 0);
}

/// C11: more terms than the core may remember. What is below them is still replicated and replayed, a follower that was away
/// through all of them is repaired, and nobody is accused of having broken a promise.
#[test]
fn forgotten_terms_do_no_harm() {
    for terms_max in [1, 2, 5] {
        let mut cluster = Cluster::with(3, Config { terms_max, ..small() });
        cluster.elect(3);
        cluster.propose(3, "first");
        cluster.deliver_all();
        cluster.machine(2).crash();
        for round in 0..40 {
            let (id, other) = if round % 2 == 0 { (1, 3) } else { (3, 1) };
            cluster.step(other, Message::StepDown);
            cluster.elect(id);
            if round % 3 == 0 {
                cluster.propose(id, &format!("round {round}"));
                cluster.deliver_all();
            }
        }
        let expected = cluster.applied(3);
        assert_eq!(expected.len(), 15);
        let status = cluster.node(3).status();
        assert_eq!(cluster.node(3).term_at(LogIndex::new(2)), None, "forgotten, and said so");
        assert_eq!(
            cluster.node(3).term_at(status.commit),
            Some(status.last.term),
            "never that of the commit index"
        );
        cluster.machine(2).start();
        cluster.run(100);
        cluster.restart(1);
        cluster.run(100);
        for id in 1..=3 {
            assert_eq!(cluster.applied(id), expected, "server {id}, {terms_max} terms");
            let events = &cluster.machines[id as usize - 1].events;
            assert!(!events.iter().any(|event| matches!(event, Event::PromiseBroken { .. })), "server {id}");
        }
    }
}

/// What a fetch brings beyond what it was asked for is ignored, even where it is not (or no longer) in the log; and limits in
/// entries hold for what was fetched too.
#[test]
fn surplus_of_a_fetch_is_ignored() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    for n in 0..5 {
        cluster.propose(1, &format!("command {n}"));
    }
    let machine = cluster.machine(1);
    machine.tail_entries = Some(1);
    machine.crash();
    machine.start();
    let node = machine.node.as_mut().expect("runs");
    let fetch = node.step(Message::Tick { elapsed: 0 }).fetch[0];
    let mut entries = machine.read(fetch.first, fetch.last);
    let wrong = Entry::new(LogTime::ZERO, Payload::Noop);
    let wrong = Run::new(Term::new(9), fetch.last.next(), [wrong]).expect("one entry");
    entries.push(wrong).expect("right behind");
    let node = machine.node.as_mut().expect("runs");
    let ready = node.step(Message::Fetched { number: fetch.number, result: Fetched::Entries(entries) });
    assert_eq!(node.status().fault, None);
    let last = ready.apply.and_then(|entries| entries.last_position()).map(|last| last.index);
    assert_eq!(last, Some(fetch.last));
}

/// Entries that are committed by others before they are durable here take memory too: a leader with a slow disk refuses
/// proposals instead of holding ever more of them.
#[test]
fn leader_with_a_slow_disk_takes_no_more_than_its_memory() {
    let config = Config { uncommitted_bytes_max: 2000, ..small() };
    let mut cluster = Cluster::with(3, config);
    cluster.elect(1);
    cluster.machine(1).sync_at_once = false;
    let mut refused = 0;
    for n in 0..100 {
        let request = cluster.propose(1, &format!("command {n}"));
        cluster.deliver_all();
        let outcome = cluster.outcome(request);
        refused += usize::from(outcome == Some(Outcome::Refused(Refusal::Busy)));
        assert!(outcome.is_some(), "the two others commit what is taken");
    }
    assert!((60..90).contains(&refused), "{refused} of 100, where about 2500 bytes hold 33");
    cluster.machine(1).sync_at_once = true;
    cluster.sync(1);
    let request = cluster.propose(1, "again");
    cluster.deliver_all();
    assert!(matches!(cluster.outcome(request), Some(Outcome::Committed { .. })));
}
