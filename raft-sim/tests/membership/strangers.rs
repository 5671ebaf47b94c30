//! Goal: who is not who the cluster knows is refused, with a reason that is named, and counts for nothing. Method: worlds of three
//! founders with all oracles on; one of them becomes a stranger, and the second goes down: with the stranger two of three are up, and
//! nothing may come of it.

use raft_core::{BootstrapError, ClusterId, Event, Packet, Recovered};
use raft_sim::{Action, Honest, HostSet, Options, Rig, Role, Setup, Wanted, plan};

use super::town::{Town, host, hosts};

fn founded<R: Rig>(seed: u64, rig: R) -> Town<R> {
    let drawn = plan(seed, &Options::default()).setup;
    let mut town = Town::new(seed, Setup { hosts: 3, spares: 0, ..drawn }, rig);
    town.reach(Wanted::Add { server: host(1), role: Role::Voter }, hosts(1..=3), HostSet::EMPTY);
    town
}

/// The second of three goes down, and servers 1 and 3 are left. Nothing commits, and in the end nobody leads.
fn counts_for_nothing<R: Rig>(town: &mut Town<R>) {
    town.act(Action::Crash { host: host(2), keep: u32::MAX, torn: false, stray: 0 });
    // What had been acknowledged before may still commit.
    for _ in 0..200 {
        town.tick();
    }
    let before = town.world.counts().commits;
    for _ in 0..2_000 {
        town.tick();
    }
    assert_eq!((town.world.counts().commits, town.leader()), (before, None));
    town.act(Action::Restart { host: host(2), tail: u64::MAX });
    for _ in 0..2_000 {
        town.tick();
    }
}

/// A disk is wiped: the same id comes back as another pair. What is meant for the old one is refused by name, until one change
/// replaces it.
#[test]
fn wiped_server_is_a_stranger_until_it_is_replaced() {
    for seed in 0..6 {
        let mut town = founded(seed, Honest);
        let old = town.world.host(host(3)).pair();
        town.wipe(host(3));
        town.events.clear();
        for _ in 0..500 {
            town.tick();
        }
        let refused = |(at, event): &(_, Event)| {
            *at == host(3) && matches!(event, Event::WrongIncarnation { to, .. } if *to == old)
        };
        assert!(town.events.iter().any(refused), "seed {seed}");
        counts_for_nothing(&mut town);
        town.reach(Wanted::Add { server: host(3), role: Role::Voter }, hosts(1..=3), HostSet::EMPTY);
    }
}

/// A founder is wiped, and an operator founds the cluster on it once more: that is refused by name, and it stays a stranger.
#[test]
fn wiped_founder_can_not_found_again() {
    let mut town = founded(1, Honest);
    let founding = town.world.host(host(1)).node().unwrap().membership().unwrap().clone();
    town.wipe(host(3));
    let pair = town.world.host(host(3)).pair();
    let again = raft_core::bootstrap(&Recovered::default(), &founding, pair);
    assert_eq!(again.err(), Some(BootstrapError::NotAFounder(pair)));
    let other = raft_core::bootstrap(&Recovered::default(), &founding, town.world.host(host(2)).pair());
    assert!(other.is_ok(), "who is on the list could");
    for _ in 0..500 {
        town.tick();
    }
    let wiped = town.world.host(host(3)).node().unwrap();
    assert_eq!((wiped.status().last.index.raw(), wiped.membership()), (0, None), "it waits to be added");
    counts_for_nothing(&mut town);
}

/// A server whose packets are of another cluster than those of the others.
#[derive(Clone, Copy)]
struct Stranger;

const OTHER: ClusterId = ClusterId::new(7);

impl Rig for Stranger {
    fn send(&mut self, packet: &mut Packet) {
        if packet.from.id.raw() == 3 {
            packet.cluster = OTHER;
        }
    }
}

/// Somebody at a known address, with a known pair, is of another cluster: refused by name by who it talks to.
#[test]
fn stranger_of_another_cluster_is_refused() {
    for seed in 0..6 {
        let mut town = founded(seed, Stranger);
        for _ in 0..500 {
            town.tick();
        }
        let third = town.world.host(host(3)).pair();
        let refused = |(at, event): &(_, Event)| {
            let named =
                matches!(event, Event::WrongCluster { from, cluster } if *from == third && *cluster == OTHER);
            *at != host(3) && named
        };
        assert!(town.events.iter().any(refused), "seed {seed}");
        counts_for_nothing(&mut town);
        let leader = town.leader().expect("servers 1 and 2 are a quorum");
        let followers = town.world.host(leader).node().unwrap().followers();
        let matched: Vec<_> = followers.filter(|follower| follower.server == third).collect();
        assert_eq!(matched[0].matched.raw(), 0, "nothing of what it acknowledges counts");
    }
}
