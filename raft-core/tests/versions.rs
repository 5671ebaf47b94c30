//! Versions of the protocol: servers whose ranges meet work together, others refuse each other with a reason; a cluster is upgraded one
//! server at a time.

mod common;

use bytes::Bytes;
use common::{Cluster, config, pair};
use prost::encoding::{WireType, encode_key, encode_varint};
use raft_core::{
    Body, DecodeError, Event, LogIndex, Message, Packet, RoleKind, Versions, decode_packet, encode_packet,
};

/// What a later version would speak: still this one, too.
const NEXT: Versions = Versions { first: 1, last: 2 };
/// And one that has given it up.
const LATER: Versions = Versions { first: 2, last: 3 };

fn cluster() -> Cluster {
    let mut cluster = Cluster::with(3, config());
    cluster.elect(1);
    cluster.run(6);
    cluster
}

/// C23: two versions that overlap make one cluster; a third that does not is an event, and nothing else: not answered, not counted, and
/// its term not taken over.
#[test]
fn versions_that_meet_work_together_and_others_are_refused() {
    let mut cluster = cluster();
    cluster.speaks.extend([(2, NEXT), (3, LATER)]);
    cluster.propose(1, "a");
    cluster.run(6);
    assert_eq!((cluster.applied(1), cluster.applied(2)), (vec!["a".into()], vec!["a".into()]));
    let refused = Event::WrongVersion { from: pair(3), versions: LATER };
    assert!(cluster.machines[0].events.contains(&refused), "said by the leader, of the follower's answers");
    cluster.machine(1).events.clear();
    let before = cluster.node(1).status();
    let packet =
        Packet { versions: LATER, ..cluster.packet(3, 1, raft_core::Term::new(99), Body::NewerTerm) };
    cluster.network.clear();
    cluster.step(1, Message::Packet(packet.clone()));
    assert_eq!((cluster.node(1).status(), cluster.network.len()), (before, 0));
    assert_eq!(cluster.machines[0].events, [refused]);
    cluster.step(1, Message::Packet(Packet { versions: NEXT, ..packet.clone() }));
    assert_eq!(cluster.node(1).status().role, RoleKind::Follower, "the same in words that are understood");
    let silent = Packet { versions: Versions { first: 0, last: 0 }, ..packet };
    cluster.machine(1).events.clear();
    cluster.step(1, Message::Packet(silent));
    assert!(matches!(cluster.machines[0].events[..], [Event::WrongVersion { .. }]));
}

/// A rolling upgrade: one server after the other is restarted as the next version, and writes go on all the while.
#[test]
fn cluster_is_upgraded_one_server_at_a_time() {
    let mut cluster = cluster();
    for id in [2, 3, 1] {
        cluster.restart(id);
        cluster.speaks.insert(id, NEXT);
        cluster.run(40);
        let leader =
            (1..=3).find(|id| cluster.node(*id).status().role == RoleKind::Leader).expect("a leader");
        cluster.propose(leader, &format!("after {id}"));
        cluster.run(6);
    }
    for id in 1..=3 {
        assert_eq!(cluster.applied(id), ["after 2", "after 3", "after 1"]);
        let odd = |event: &&Event| matches!(event, Event::WrongVersion { .. } | Event::Fault(_));
        assert_eq!(cluster.machines[id as usize - 1].events.iter().find(odd), None);
    }
}

/// A kind of packet that this version does not know is refused by its name: as one of another version where it is of one.
#[test]
fn packets_of_later_versions_are_refused_with_the_reason() {
    let mut cluster = cluster();
    cluster.tick(1, 3);
    let packet = cluster.network.pop_back().expect("a heartbeat");
    let unknown = |versions| {
        let known = encode_packet(&Packet { versions, body: Body::NewerTerm, ..packet.clone() });
        // The body comes last, and this one is empty: two bytes of key and one of length.
        let mut bytes = known[..known.len() - 3].to_vec();
        encode_key(1000, WireType::LengthDelimited, &mut bytes);
        encode_varint(0, &mut bytes);
        decode_packet(Bytes::from(bytes))
    };
    assert_eq!(unknown(LATER), Err(DecodeError::Versions(LATER)));
    assert_eq!(unknown(NEXT), Err(DecodeError::Unknown("packet")));
    let words = DecodeError::Versions(LATER).to_string();
    assert_eq!(words, "its sender speaks versions 2 to 3 of the protocol, and this server 1 to 1");
    let read = decode_packet(Bytes::from(encode_packet(&Packet { versions: LATER, ..packet.clone() })));
    assert_eq!(read.map(|read| read.versions), Ok(LATER), "a node says so of what can be read");
    assert!(LogIndex::ZERO < cluster.node(1).status().commit);
}
