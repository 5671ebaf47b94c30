//! Goal: the encoding loses nothing, changes nothing, and fears nothing. Method: round trips of arbitrary packets, writes,
//! entries and configurations; entries of a newer version; arbitrary bytes, and valid ones with some bytes changed.

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::{hash_set, vec};
use proptest::prelude::*;
use proptest::sample::Index;
use raft_core::{
    Attempt, Body, Boot, ClusterId, Commands, Compaction, Entry, HardState, Import, Incarnation, Leases,
    LogIndex, LogTime, Membership, NodeId, Outcome, Packet, Pair, Payload, Position, Refusal, Round, Run,
    Runs, Server, Snapshot, Suffrage, Term, Token, Versions, Write, WriteNumber, decode_entry,
    decode_membership, decode_packet, decode_write, encode_entry, encode_membership, encode_packet,
    encode_write,
};

fn pairs() -> impl Strategy<Value = Pair> {
    (1..u64::MAX, any::<u128>()).prop_map(|(id, incarnation)| Pair {
        id: NodeId::new(id).expect("not zero"),
        incarnation: Incarnation::new(incarnation),
    })
}

fn indexes() -> impl Strategy<Value = LogIndex> {
    prop_oneof![0..1000u64, 0..=LogIndex::MAX.raw()].prop_map(LogIndex::new)
}

fn memberships() -> impl Strategy<Value = Membership> {
    let addresses = hash_set("[a-zé.:0-9]{1,12}", 1..5);
    let servers = addresses.prop_flat_map(|addresses| {
        let count = addresses.len();
        (
            Just(Vec::from_iter(addresses)),
            hash_set(1..u64::MAX, count),
            vec((any::<u128>(), 0..3u8, "[a-z]{0,5}"), count),
        )
    });
    servers.prop_map(|(addresses, ids, rest)| {
        let servers = addresses.into_iter().zip(ids).zip(rest).enumerate();
        let one = |(nth, ((raft_address, id), (incarnation, learner, client_address)))| Server {
            pair: Pair { id: NodeId::new(id).expect("not zero"), incarnation: Incarnation::new(incarnation) },
            // The first votes in any case: a configuration without a voter is none.
            suffrage: match learner {
                _ if nth == 0 => Suffrage::Voter,
                0 => Suffrage::Voter,
                1 => Suffrage::Learner,
                _ => Suffrage::Staging,
            },
            raft_address,
            client_address,
        };
        Membership::new(servers.map(one).collect()).expect("valid by construction")
    })
}

fn leases() -> impl Strategy<Value = Option<Leases>> {
    let leases = (3..=1_000_000u32, 0..333_333u32, 1..u64::MAX);
    proptest::option::of(
        leases.prop_map(|(timeout, drift, tick)| Leases::new(timeout, drift, tick).expect("in range")),
    )
}

fn joint_or_not() -> impl Strategy<Value = Membership> {
    let both = (memberships(), proptest::option::of(memberships()), leases());
    both.prop_map(|(membership, before, leases)| match before {
        Some(before) => before.with_leases(leases).joint(&membership),
        None => membership.with_leases(leases),
    })
}

fn entries() -> impl Strategy<Value = Entry> {
    let payload = prop_oneof![
        Just(Payload::Noop),
        vec(any::<u8>(), 0..40).prop_map(|command| Payload::Command(command.into())),
        joint_or_not().prop_map(|membership| Payload::Membership(Arc::new(membership))),
        (any::<u64>(), any::<u128>())
            .prop_map(|(size, digest)| Payload::Import(Import { size, digest: digest.into() })),
    ];
    (any::<u64>(), payload).prop_map(|(time, payload)| Entry::new(LogTime::new(time), payload))
}

/// Runs from `first` on, with terms that rise from `term`.
fn runs(first: LogIndex, term: u64, count: std::ops::Range<usize>) -> impl Strategy<Value = Runs> {
    vec((0..5u64, vec(entries(), 1..4)), count).prop_map(move |pieces| {
        let (mut runs, mut next, mut term) = (Runs::new(), first, term);
        for (step, entries) in pieces {
            term += step;
            let run = Run::new(Term::new(term), next, entries).expect("in range");
            next = run.last().next();
            runs.push(run).expect("consecutive");
        }
        runs
    })
}

fn appends() -> impl Strategy<Value = Body> {
    let previous = (0..100u64, 0..1_000_000u64).prop_map(|(term, index)| Position::new(term, index));
    let body = previous.prop_flat_map(|previous| {
        (Just(previous), indexes(), runs(previous.index.next(), previous.term.raw(), 1..4))
    });
    body.prop_map(|(previous, commit, entries)| Body::Append { previous, commit, entries })
}

fn positions() -> impl Strategy<Value = Position> {
    (0..1000u64, indexes()).prop_map(|(term, index)| Position { term: Term::new(term), index })
}

fn commands() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let span = || {
        (0..1000u64, indexes(), indexes()).prop_map(|(term, one, other)| {
            let at = |index: LogIndex| Position::new(term, index.raw());
            (at(one.min(other)), at(one.max(other)))
        })
    };
    prop_oneof![
        span().prop_map(|(first, last)| Outcome::Committed { first, last }),
        span().prop_map(|(first, last)| Outcome::Lost { first, last }),
        span().prop_map(|(first, last)| Outcome::Replaced { first, last }),
        Just(Outcome::Refused(Refusal::Busy)),
        Just(Outcome::Refused(Refusal::Empty)),
        Just(Outcome::Refused(Refusal::TooLarge)),
        pairs().prop_map(|to| Outcome::Refused(Refusal::Transferring { to })),
    ]
}

fn bodies() -> impl Strategy<Value = Body> {
    let boot = any::<u64>().prop_map(Boot::new);
    let round = any::<u64>().prop_map(Round::new);
    let attempt = any::<u64>().prop_map(Attempt::new);
    prop_oneof![
        (positions(), any::<bool>()).prop_map(|(last, transfer)| Body::RequestVote { last, transfer }),
        (boot.clone(), any::<bool>()).prop_map(|(boot, granted)| Body::Vote { boot, granted }),
        (attempt.clone(), positions()).prop_map(|(attempt, last)| Body::RequestPreVote { attempt, last }),
        (boot.clone(), attempt, any::<bool>()).prop_map(|(boot, attempt, granted)| Body::PreVote {
            boot,
            attempt,
            granted
        }),
        Just(Body::TimeoutNow),
        Just(Body::NewerTerm),
        positions().prop_map(|last| Body::Removed { last }),
        snapshots().prop_map(|snapshot| Body::InstallSnapshot { snapshot: Arc::new(snapshot) }),
        appends(),
        (any::<u64>(), vec(commands(), 1..4)).prop_map(|(token, many)| Body::Propose {
            token: Token::new(token),
            commands: match &many[..] {
                [one] => Commands::One(one.clone()),
                _ => Commands::Many(many),
            },
        }),
        (boot.clone(), any::<u64>(), outcomes()).prop_map(|(boot, token, outcome)| Body::Proposed {
            boot,
            token: Token::new(token),
            outcome,
        }),
        any::<u64>().prop_map(|token| Body::AskReadIndex { token: Token::new(token) }),
        (boot.clone(), any::<u64>(), indexes()).prop_map(|(boot, token, index)| Body::ReadIndex {
            boot,
            token: Token::new(token),
            index
        }),
        (round.clone(), indexes()).prop_map(|(round, commit)| Body::Heartbeat { round, commit }),
        indexes().prop_map(|commit| Body::Commit { commit }),
        (boot.clone(), proptest::option::of(round), indexes(), indexes())
            .prop_map(|(boot, round, held, durable)| Body::Acknowledge { boot, round, held, durable }),
        (boot, positions(), positions(), indexes()).prop_map(|(boot, previous, hint, hint_first)| {
            Body::Reject { boot, previous, hint, hint_first }
        }),
    ]
}

fn packets() -> impl Strategy<Value = Packet> {
    let names = (any::<u128>(), pairs(), any::<u64>(), pairs());
    // Above every term in the body, as the decoder demands.
    let versions = (any::<u32>(), any::<u32>()).prop_map(|(first, last)| Versions { first, last });
    let all = (names, 1000..u64::MAX, bodies(), versions);
    all.prop_map(|((cluster, from, boot, to), term, body, versions)| Packet {
        cluster: ClusterId::new(cluster),
        from,
        boot: Boot::new(boot),
        to,
        term: Term::new(term),
        body,
        versions,
    })
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    let last = (0..1000u64, 1..=LogIndex::MAX.raw()).prop_map(|(term, index)| Position::new(term, index));
    let names = (any::<u128>(), any::<u64>(), any::<u64>(), any::<u128>());
    (names, last, 0..1000u64, joint_or_not()).prop_map(
        |((cluster, time, size, digest), last, back, membership)| Snapshot {
            cluster: ClusterId::new(cluster),
            last,
            time: LogTime::new(time),
            membership: Arc::new(membership),
            membership_index: LogIndex::new(last.index.raw().saturating_sub(back).max(1)),
            size,
            digest: digest.into(),
        },
    )
}

fn compactions() -> impl Strategy<Value = Compaction> {
    (snapshots(), 0..1000u64, any::<bool>()).prop_map(|(snapshot, back, discards)| {
        let back = if discards { 0 } else { back };
        let index = LogIndex::new(snapshot.last.index.raw().saturating_sub(back));
        Compaction { start: Position { index, ..snapshot.last }, snapshot: Arc::new(snapshot), discards }
    })
}

fn writes() -> impl Strategy<Value = Write> {
    let entries = (1..1_000_000u64).prop_flat_map(|first| runs(LogIndex::new(first), 0, 0..4));
    let rest = (any::<u64>(), 1000..u64::MAX, proptest::option::of(pairs()), indexes());
    let compactions = (proptest::option::of(compactions()), proptest::option::of(any::<u128>()));
    (rest, entries, compactions).prop_map(
        |((number, term, vote, commit), entries, (compaction, refounds))| Write {
            number: WriteNumber::new(number),
            hard_state: HardState { term: Term::new(term), vote },
            entries,
            compaction: compaction.map(Box::new),
            refounds: refounds.map(|cluster| Box::new(ClusterId::new(cluster))),
            commit,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packet_survives_the_wire(packet in packets()) {
        let bytes = encode_packet(&packet);
        let decoded = decode_packet(bytes.clone().into()).expect("what was encoded decodes");
        prop_assert_eq!(encode_packet(&decoded), bytes);
        prop_assert_eq!(decoded, packet);
    }

    #[test]
    fn write_survives_the_disk(write in writes()) {
        let bytes = encode_write(&write);
        let decoded = decode_write(bytes.clone().into()).expect("what was encoded decodes");
        prop_assert_eq!(encode_write(&decoded), bytes);
        prop_assert_eq!(decoded, write);
    }

    #[test]
    fn membership_has_one_encoding(membership in joint_or_not()) {
        let bytes = encode_membership(&membership);
        let decoded = decode_membership(bytes.clone().into()).expect("what was encoded decodes");
        prop_assert_eq!(encode_membership(&decoded), bytes);
        prop_assert_eq!(decoded.cluster_id(), membership.cluster_id());
        prop_assert_eq!(decoded, membership);
    }

    /// A newer version adds fields, at any place and of any kind; this one forwards the entry exactly as it came.
    #[test]
    fn entry_of_a_newer_version_stays_as_it_was(entry in entries(), field in 16..1000u64, value in any::<u64>(), front in any::<bool>()) {
        let known = encode_entry(&entry);
        let mut unknown = varint(field << 3);
        unknown.extend(varint(value));
        let bytes = Bytes::from(if front { [&unknown[..], &known].concat() } else { [&known, &unknown[..]].concat() });

        let decoded = decode_entry(&bytes).expect("unknown fields are ignored");
        prop_assert_eq!(&decoded.payload, &entry.payload);
        prop_assert_eq!(decoded.time, entry.time);
        prop_assert_eq!(encode_entry(&decoded), &bytes);
        prop_assert_ne!(&decoded, &entry, "what one carries on and the other does not makes them differ");

        // On its way through a packet too.
        let term = Term::new(5);
        let run = Run::new(term, LogIndex::new(8), [decoded.clone()]).expect("in range");
        let body = Body::Append { previous: Position::new(5, 7), commit: LogIndex::ZERO, entries: run.into() };
        let pair = Pair { id: NodeId::new(1).expect("not zero"), incarnation: Incarnation::new(1) };
        let packet = Packet { cluster: ClusterId::new(1), from: pair, boot: Boot::new(1), to: pair, term, body, versions: raft_core::Versions::OURS };
        let arrived = decode_packet(encode_packet(&packet).into()).expect("what was encoded decodes");
        let Body::Append { entries, .. } = arrived.body else { panic!("an append stays one") };
        let (_, arrived) = entries.entries().next().expect("one entry");
        prop_assert_eq!(encode_entry(arrived), bytes);
    }

    #[test]
    fn arbitrary_bytes_decode_or_not(bytes in vec(any::<u8>(), 0..200)) {
        decode_all(&bytes);
    }

    #[test]
    fn damaged_bytes_decode_or_not(packet in packets(), write in writes(), damage in vec((any::<Index>(), any::<u8>()), 1..4), cut in any::<Index>()) {
        for mut bytes in [encode_packet(&packet), encode_write(&write)] {
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            decode_all(&bytes);
            decode_all(&bytes[..cut.index(bytes.len())]);
        }
    }
}

/// Protobuf's encoding of a number: seven bits a byte, the lowest first.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while 127 < value {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Nothing panics; and what is taken is taken the same way again.
fn decode_all(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(packet) = decode_packet(bytes.clone()) {
        assert_eq!(decode_packet(encode_packet(&packet).into()), Ok(packet));
    }
    if let Ok(write) = decode_write(bytes.clone()) {
        assert_eq!(decode_write(encode_write(&write).into()), Ok(write));
    }
    if let Ok(membership) = decode_membership(bytes.clone()) {
        assert_eq!(decode_membership(encode_membership(&membership).into()), Ok(membership));
    }
    if let Ok(entry) = decode_entry(&bytes) {
        assert_eq!(decode_entry(&encode_entry(&entry)), Ok(entry));
    }
}

/// The checks above can fail: a single changed byte of a payload is seen, and so is a field that is not carried on.
#[test]
fn round_trips_see_a_difference() {
    let entry =
        |command: &'static [u8]| Entry::new(LogTime::new(3), Payload::Command(Bytes::from_static(command)));
    let bytes = encode_entry(&entry(b"abc"));
    assert_ne!(decode_entry(&bytes), Ok(entry(b"abd")));
    let newer = Bytes::from([&bytes[..], &varint(16 << 3), &varint(9)].concat());
    let understood = decode_entry(&newer).expect("unknown fields are ignored");
    let forgetful = Entry::new(understood.time, understood.payload.clone());
    assert_ne!(encode_entry(&forgetful), newer);
}
