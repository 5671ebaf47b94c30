//! Goal: the encoding loses nothing, changes nothing, and fears nothing. Method: round trips of arbitrary packets, writes,
//! entries and configurations; entries of a newer version; arbitrary bytes, and valid ones with some bytes changed.

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::{hash_set, vec};
use proptest::prelude::*;
use proptest::sample::Index;
use raft_core::{
    Attempt, Body, Boot, Change, ClusterId, Commands, Compaction, Config, Entry, FetchNumber, Fetched,
    HardState, Identity, Import, Incarnation, Leases, LogIndex, LogTime, Membership, Message, NodeId,
    Outcome, Packet, Pair, Payload, Position, Ready, RecordedStart, RecordedStep, Recording, Recovered,
    Refusal, Replay, RequestId, Round, Run, Runs, SendNumber, Server, Snapshot, Suffrage, Term, Token,
    Versions, Write, WriteNumber, decode_entry, decode_membership, decode_packet, decode_recovered,
    decode_write, encode_entry, encode_membership, encode_packet, encode_recovered, encode_write,
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

fn changes() -> impl Strategy<Value = Change> {
    let id = || (1..u64::MAX).prop_map(|id| NodeId::new(id).expect("not zero"));
    let servers = || memberships().prop_map(|membership| membership.servers().to_vec());
    prop_oneof![
        servers().prop_map(Change::Set),
        servers().prop_map(|servers| Change::Add(servers[0].clone())),
        id().prop_map(Change::Remove),
        id().prop_map(Change::Promote),
        id().prop_map(Change::Demote),
        (id(), ".{0,9}", ".{0,9}").prop_map(|(id, raft_address, client_address)| Change::Readdress {
            id,
            raft_address,
            client_address
        }),
    ]
}

fn requests() -> impl Strategy<Value = Message> {
    let commands = || {
        vec(commands(), 0..4).prop_map(|many| match &many[..] {
            [one] => Commands::One(one.clone()),
            _ => Commands::Many(many),
        })
    };
    let id = || any::<u64>().prop_map(RequestId::new);
    let state =
        || (any::<u64>(), any::<u128>()).prop_map(|(size, digest)| Import { size, digest: digest.into() });
    let to = proptest::option::of(1..u64::MAX).prop_map(|to| to.and_then(NodeId::new));
    prop_oneof![
        (id(), commands()).prop_map(|(id, commands)| Message::Propose { id, commands }),
        (id(), commands()).prop_map(|(id, commands)| Message::Forward { id, commands }),
        (id(), state()).prop_map(|(id, import)| Message::Import { id, import }),
        state().prop_map(Message::Obtained),
        id().prop_map(|id| Message::Read { id }),
        (id(), any::<u32>()).prop_map(|(id, ticks)| Message::ReadWithin { id, ticks }),
        id().prop_map(|id| Message::Barrier { id }),
        id().prop_map(|id| Message::VerifyLeader { id }),
        (id(), changes(), proptest::option::of(indexes()))
            .prop_map(|(id, change, based_on)| Message::Reconfigure { id, change, based_on }),
        (id(), to).prop_map(|(id, to)| Message::Transfer { id, to }),
        Just(Message::Campaign),
        Just(Message::StepDown),
        Just(Message::ForgetLeader),
    ]
}

fn reports() -> impl Strategy<Value = Message> {
    let fetched = prop_oneof![
        runs(LogIndex::new(9), 3, 0..3).prop_map(Fetched::Entries),
        Just(Fetched::Compacted),
        Just(Fetched::Failed),
    ];
    prop_oneof![
        any::<u32>().prop_map(|elapsed| Message::Tick { elapsed }),
        packets().prop_map(Message::Packet),
        any::<u64>().prop_map(|number| Message::Synced(WriteNumber::new(number))),
        any::<u64>().prop_map(|number| Message::WriteFailed(WriteNumber::new(number))),
        any::<u64>().prop_map(|index| Message::Applied(LogIndex::new(index))),
        (any::<u64>(), fetched)
            .prop_map(|(number, result)| Message::Fetched { number: FetchNumber::new(number), result }),
        (positions(), any::<u64>(), any::<u64>(), any::<u128>()).prop_map(|(last, time, size, digest)| {
            Message::SnapshotTaken { last, time: LogTime::new(time), size, digest: digest.into() }
        }),
        (any::<u64>(), any::<bool>())
            .prop_map(|(number, arrived)| Message::SnapshotSent { number: SendNumber::new(number), arrived }),
    ]
}

fn steps() -> impl Strategy<Value = RecordedStep> {
    let messages = vec(prop_oneof![requests(), reports()], 0..5);
    messages.prop_map(|messages| RecordedStep::new(messages, &Ready::default()))
}

/// A recording of these steps.
fn recording(steps: &[RecordedStep]) -> Bytes {
    let pair = Pair { id: NodeId::new(1).expect("not zero"), incarnation: Incarnation::new(1) };
    let identity = Identity { cluster: ClusterId::new(1), pair, boot: Boot::new(1) };
    let start = RecordedStart { config: Config::default(), identity, recovered: Recovered::default() };
    start.to_bytes().into_iter().chain(steps.iter().flat_map(RecordedStep::to_bytes)).collect()
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

        let decoded = decode_entry(bytes.clone()).expect("unknown fields are ignored");
        prop_assert_eq!(&decoded.payload, &entry.payload);
        prop_assert_eq!(decoded.time, entry.time);
        prop_assert_eq!(encode_entry(&decoded), bytes.clone());
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

    /// Every message, and that it is stepped without panic whatever it says.
    #[test]
    fn recorded_steps_survive_the_file(steps in vec(steps(), 1..4)) {
        let (start, read) = Recording::open(recording(&steps)).expect("what was written");
        let read = read.collect::<Result<Vec<_>, _>>().expect("what was written");
        prop_assert_eq!(recording(&read), recording(&steps));
        prop_assert_eq!(&read, &steps);
        let mut replay = Replay::new(start).expect("a new server");
        for step in &read {
            let _ = replay.step(step).map_err(|difference| difference.to_string());
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn recorded_steps_survive_json(step in steps()) {
        let text = serde_json::to_string(&step).expect("it has names for all");
        prop_assert_eq!(serde_json::from_str::<RecordedStep>(&text).expect("what was written"), step);
    }

    /// Digests keep out what the disk has damaged; here they fit whatever stands there.
    #[test]
    fn damaged_records_decode_or_not(steps in vec(steps(), 1..3), damage in vec((any::<Index>(), any::<u8>()), 1..4), nth in 0..3usize) {
        let mut bytes = recording(&steps).to_vec();
        let mut at = 9;
        for _ in 0..nth.min(steps.len()) {
            at += 16 + u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four")) as usize;
        }
        let len = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four")) as usize;
        let (head, record) = bytes[at..at + 16 + len].split_at_mut(16);
        for (place, byte) in &damage {
            if let Some(byte_there) = record.get_mut(place.index(len.max(1))) {
                *byte_there = *byte;
            }
        }
        head[8..].copy_from_slice(&xxhash_rust::xxh3::xxh3_64(record).to_le_bytes());
        if let Ok((start, read)) = Recording::open(bytes.into())
            && let Ok(mut replay) = Replay::new(start)
        {
            for step in read.map_while(Result::ok) {
                let _ = replay.step(&step).map_err(|difference| difference.to_string());
            }
        }
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
    if let Ok(recovered) = decode_recovered(bytes.clone()) {
        assert_eq!(decode_recovered(encode_recovered(&recovered).into()), Ok(recovered));
    }
    if let Ok(membership) = decode_membership(bytes.clone()) {
        assert_eq!(decode_membership(encode_membership(&membership).into()), Ok(membership));
    }
    if let Ok(entry) = decode_entry(bytes) {
        assert_eq!(decode_entry(encode_entry(&entry).into()), Ok(entry));
    }
}

/// The checks above can fail: a single changed byte of a payload is seen, and so is a field that is not carried on.
#[test]
fn round_trips_see_a_difference() {
    let entry =
        |command: &'static [u8]| Entry::new(LogTime::new(3), Payload::Command(Bytes::from_static(command)));
    let bytes = Bytes::from(encode_entry(&entry(b"abc")));
    assert_ne!(decode_entry(bytes.clone()), Ok(entry(b"abd")));
    let newer = Bytes::from([&bytes[..], &varint(16 << 3), &varint(9)].concat());
    let understood = decode_entry(newer.clone()).expect("unknown fields are ignored");
    let forgetful = Entry::new(understood.time, understood.payload.clone());
    assert_ne!(encode_entry(&forgetful), newer);
}

/// What an entry of a newer version carries along is in memory too, and counts towards limits.
#[test]
fn entry_of_a_newer_version_counts_with_all_of_its_bytes() {
    let entry = Entry::new(LogTime::new(3), Payload::Command(Bytes::from_static(b"abc")));
    assert_eq!(entry.size(), Entry::OVERHEAD_BYTES + 3);
    let newer = Bytes::from([&encode_entry(&entry)[..], &varint(16 << 3), &varint(9)].concat());
    let understood = decode_entry(newer.clone()).expect("unknown fields are ignored");
    assert_eq!(understood.size(), Entry::OVERHEAD_BYTES + 3 + newer.len() as u64);
}
