//! Starting: founding a cluster, putting a disk's writes together again, and refusing what can not be.

mod common;

use std::sync::Arc;

use common::{Cluster, config, membership, pair};
use raft_core::{
    Boot, Bootstrap, BootstrapError, Compaction, Config, ConfigError, Digest, Entry, Fetch, FetchNumber,
    Fetched, HardState, Identity, Incarnation, LogIndex, LogTime, Membership, MembershipError, Node, Pair,
    Payload, Position, RecoverError, Recovered, Run, Runs, Server, Snapshot, StartError, Suffrage, Term,
    Write, WriteNumber, bootstrap, decode_recovered, encode_membership, encode_recovered,
};

fn write(term: u64, entries: &[(u64, u64)], commit: u64) -> Write {
    let mut runs = Runs::new();
    for (index, term) in entries {
        let entry = Entry::new(LogTime::ZERO, Payload::Noop);
        let run = Run::new(Term::new(*term), LogIndex::new(*index), [entry]).expect("one entry");
        runs.push(run).expect("consecutive");
    }
    let hard_state = HardState { term: Term::new(term), vote: None };
    Write {
        number: WriteNumber::ZERO,
        hard_state,
        entries: runs,
        compaction: None,
        refounds: None,
        commit: LogIndex::new(commit),
    }
}

fn recovered(writes: &[Write]) -> Recovered {
    Recovered::replay(writes).expect("these writes follow from one another")
}

fn terms(recovered: &Recovered) -> Vec<u64> {
    recovered.tail.entries().map(|(position, _)| position.term.raw()).collect()
}

/// Every founder writes the same first entry, and its digest is the cluster's id.
#[test]
fn founders_write_the_same_first_entry() {
    let founding = membership(3);
    let writes: Vec<_> = (1..=3).map(|id| bootstrap(&Recovered::default(), &founding, pair(id))).collect();
    assert!(writes.windows(2).all(|two| two[0] == two[1]));
    let Ok(Bootstrap::Write(first)) = &writes[0] else { panic!("an empty disk is bootstrapped") };
    let entries: Vec<_> = first.entries.entries().collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].0, raft_core::Position::new(0, 1));
    assert_eq!(entries[0].1.payload, Payload::Membership(Arc::new(founding.clone())));
    let mut servers: Vec<_> = founding.servers().to_vec();
    servers.reverse();
    assert_eq!(
        Membership::new(servers).expect("valid").cluster_id(),
        founding.cluster_id(),
        "order does not matter"
    );
    assert_ne!(membership(4).cluster_id(), founding.cluster_id());
}

/// The id of a cluster must never change from one version to the next.
#[test]
fn cluster_id_has_a_golden_value() {
    assert_eq!(membership(3).cluster_id().to_string(), GOLDEN_CLUSTER);
}

const GOLDEN_CLUSTER: &str = "15e781453a0e113e669597ebe544cfe2";

/// Doing it again is harmless; another list, a stranger, and a founder whose disk was wiped are refused.
#[test]
fn bootstrap_refuses_what_is_not_a_founding() {
    let founding = membership(3);
    let Ok(Bootstrap::Write(first)) = bootstrap(&Recovered::default(), &founding, pair(1)) else {
        panic!("an empty disk is bootstrapped");
    };
    let disk = recovered(&[first]);
    assert_eq!(bootstrap(&disk, &founding, pair(1)), Ok(Bootstrap::AlreadyDone));
    assert_eq!(bootstrap(&disk, &membership(4), pair(1)), Err(BootstrapError::HasState));
    let empty = Recovered::default();
    assert_eq!(bootstrap(&empty, &founding, pair(9)), Err(BootstrapError::NotAFounder(pair(9))));
    let wiped = Pair { incarnation: Incarnation::new(77), ..pair(1) };
    assert_eq!(bootstrap(&empty, &founding, wiped), Err(BootstrapError::NotAFounder(wiped)));
    let voted = recovered(&[write(3, &[], 0)]);
    assert_eq!(bootstrap(&voted, &founding, pair(1)), Err(BootstrapError::HasState));
}

#[test]
fn membership_refuses_what_is_no_cluster() {
    let server = |id| membership(id).servers()[id as usize - 1].clone();
    let of = |servers: &[Server]| Membership::new(servers.to_vec());
    assert_eq!(of(&[]), Err(MembershipError::NoVoter));
    let learner = Server { suffrage: Suffrage::Learner, ..server(1) };
    assert_eq!(of(std::slice::from_ref(&learner)), Err(MembershipError::NoVoter));
    assert!(of(&[learner, server(2)]).is_ok());
    let mut twin = server(1);
    twin.pair.incarnation = Incarnation::new(5);
    twin.raft_address = "elsewhere".into();
    assert_eq!(of(&[server(1), twin]), Err(MembershipError::DuplicateId(pair(1).id)));
    let same = Server { raft_address: server(1).raft_address, ..server(2) };
    assert_eq!(of(&[server(1), same]), Err(MembershipError::DuplicateAddress(pair(1).id, pair(2).id)));
    let many: Vec<Server> =
        (1..=4097).map(|id| Server { pair: pair(id), raft_address: id.to_string(), ..server(1) }).collect();
    assert_eq!(of(&many), Err(MembershipError::TooMany));
    assert!(of(&many[1..]).is_ok());
    let nowhere = Server { raft_address: String::new(), ..server(2) };
    assert_eq!(of(&[server(1), nowhere]), Err(MembershipError::EmptyAddress(pair(2).id)));
}

/// The log ends before the first entry of a batch that carries entries.
#[test]
fn later_writes_cut_off_what_they_replace() {
    let disk = recovered(&[
        write(1, &[(1, 0), (2, 1), (3, 1), (4, 1)], 2),
        write(2, &[], 2),
        write(2, &[(3, 2)], 0),
        write(2, &[(4, 2), (5, 2)], 4),
    ]);
    assert_eq!(terms(&disk), [0, 1, 2, 2, 2]);
    assert_eq!(disk.commit, LogIndex::new(4));
    assert_eq!(disk.hard_state.term, Term::new(2));
}

/// What was shortened is known by term only, and a cut may reach to where it ends, never into it.
#[test]
fn shortened_log_keeps_its_terms() {
    let mut disk = recovered(&[write(3, &[(1, 0), (2, 1), (3, 1), (4, 3), (5, 3), (6, 3)], 5)]);
    disk.shorten(1);
    assert_eq!(disk.tail.first(), Some(LogIndex::new(6)));
    let starts: Vec<_> = disk.term_starts().map(|start| (start.term.raw(), start.index.raw())).collect();
    assert_eq!(starts, [(0, 1), (1, 2), (3, 4)]);
    disk.absorb(&write(4, &[(6, 4)], 6)).expect("index 6 is not committed");
    assert_eq!(terms(&disk), [4]);
    let mut uncommitted = recovered(&[write(3, &[(1, 0), (2, 1), (3, 1)], 1)]);
    uncommitted.shorten(1);
    assert_eq!(uncommitted.tail.first(), Some(LogIndex::new(2)), "what is not known to be committed stays");
}

#[test]
fn writes_that_can_not_follow_are_refused() {
    let base = [write(2, &[(1, 0), (2, 1), (3, 2)], 2)];
    let cases = [
        (write(2, &[(5, 2)], 0), RecoverError::Gap(LogIndex::new(5))),
        (write(2, &[(2, 2)], 0), RecoverError::CommittedTruncated(LogIndex::new(2))),
        (write(1, &[], 0), RecoverError::HardState),
        (write(2, &[(4, 1)], 0), RecoverError::Terms(LogIndex::new(4))),
        (write(2, &[(4, 3)], 0), RecoverError::Terms(LogIndex::new(4))),
        (write(2, &[], 4), RecoverError::Commit(LogIndex::new(4))),
    ];
    for (next, error) in cases {
        let mut disk = recovered(&base);
        let before = disk.clone();
        assert_eq!(disk.absorb(&next), Err(error));
        assert_eq!(disk, before, "nothing is changed by what is refused");
    }
    let vote = |id| HardState { term: Term::new(2), vote: Some(pair(id)) };
    let mut disk = recovered(&base);
    disk.absorb(&Write { hard_state: vote(1), ..write(2, &[], 0) }).expect("a first vote");
    assert_eq!(disk.absorb(&Write { hard_state: vote(2), ..write(2, &[], 0) }), Err(RecoverError::HardState));
    assert_eq!(disk.absorb(&write(2, &[], 0)), Err(RecoverError::HardState), "nor is it taken back");
}

#[test]
fn start_refuses_what_contradicts_itself() {
    let founding = membership(1);
    let identity = Identity { cluster: founding.cluster_id(), pair: pair(1), boot: Boot::new(1) };
    let Ok(Bootstrap::Write(first)) = bootstrap(&Recovered::default(), &founding, pair(1)) else { panic!() };
    let good = recovered(&[first, write(2, &[(2, 1), (3, 2)], 3)]);
    let start = |config, recovered| Node::new(config, identity, recovered).map(|_| ());
    assert_eq!(start(config(), good.clone()), Ok(()));
    assert_eq!(start(config(), Recovered::default()), Ok(()), "an empty disk waits to be added");

    let heartbeat = Config { heartbeat_ticks: 5, ..config() };
    assert_eq!(start(heartbeat, good.clone()), Err(StartError::Config(ConfigError::Heartbeat)));
    let stranger = Identity { cluster: membership(2).cluster_id(), ..identity };
    let other = Node::new(config(), stranger, good.clone()).map(|_| ());
    assert!(matches!(other, Err(StartError::OtherCluster { .. })));

    type Contradict = fn(&mut Recovered);
    let without_tail = |recovered: &mut Recovered| recovered.tail = Runs::new();
    let contradictions: [(Recovered, Contradict); 3] = [
        (good.clone(), |recovered| recovered.applied = LogIndex::new(4)),
        (good.clone(), |recovered| recovered.commit = LogIndex::new(4)),
        (good.clone(), |recovered| recovered.hard_state = HardState::default()),
    ];
    for (mut recovered, contradict) in contradictions {
        contradict(&mut recovered);
        assert!(matches!(start(config(), recovered), Err(StartError::Recovered(_))));
    }

    // What is not public can only be wrong on the disk. Repeated fields of a message that stand behind it are added to those in it.
    let with = |field: u8, content: &[u8]| {
        let more = [&[field << 3 | 2, content.len() as u8], content].concat();
        decode_recovered([encode_recovered(&good), more].concat().into()).expect("one by one it can be")
    };
    let mut only_terms = with(9, &[2 << 3, 1]);
    assert_eq!(only_terms.term_starts().collect::<Vec<_>>(), [Position::new(0, 1)]);
    without_tail(&mut only_terms);
    assert!(matches!(start(config(), only_terms), Err(StartError::Recovered(_))));
    let membership = encode_membership(&founding);
    let at_9 = [&[1 << 3, 9, 2 << 3 | 2, membership.len() as u8], &membership[..]].concat();
    let behind_the_end = with(10, &at_9);
    assert_eq!(behind_the_end.memberships().last(), Some(&(LogIndex::new(9), Arc::new(founding.clone()))));
    assert!(matches!(start(config(), behind_the_end), Err(StartError::Recovered(_))));
}

/// What the writes have come to takes the place of them: whatever follows them follows it, to the same state.
#[test]
fn what_writes_have_come_to_takes_their_place() {
    let founding = membership(3);
    let Ok(Bootstrap::Write(first)) = bootstrap(&Recovered::default(), &founding, pair(1)) else { panic!() };
    let vote = HardState { term: Term::new(3), vote: Some(pair(2)) };
    let snapshot = Snapshot {
        cluster: founding.cluster_id(),
        last: Position::new(2, 4),
        time: LogTime::ZERO,
        membership: Arc::new(founding.clone()),
        membership_index: LogIndex::new(1),
        size: 7,
        digest: Digest::new(1),
    };
    let compaction = Compaction { snapshot: Arc::new(snapshot), start: Position::new(1, 2), discards: false };
    let writes = [
        first,
        write(2, &[(2, 1), (3, 2), (4, 2), (5, 2)], 4),
        Write { compaction: Some(Box::new(compaction)), ..write(2, &[], 4) },
        Write { hard_state: vote, ..write(3, &[(5, 3), (6, 3)], 5) },
        Write { hard_state: vote, ..write(3, &[(7, 3)], 7) },
    ];
    let all = recovered(&writes);
    assert_eq!((all.start, all.cluster()), (Position::new(1, 2), Some(founding.cluster_id())));
    for cut in 0..=writes.len() {
        for shortened in [false, true] {
            let mut before = recovered(&writes[..cut]);
            if shortened {
                before.shorten(1);
            }
            let mut after = decode_recovered(encode_recovered(&before).into()).expect("what was encoded");
            assert_eq!(after, before, "{cut} writes");
            for write in &writes[cut..] {
                after.absorb(write).expect("the write after those");
            }
            let (mut after, mut all) = (after, all.clone());
            after.shorten(1);
            all.shorten(1);
            assert_eq!(after, all, "{cut} writes");
        }
    }
    let another = Write { hard_state: HardState { vote: Some(pair(3)), ..vote }, ..write(3, &[], 7) };
    assert_eq!(all.clone().absorb(&another), Err(RecoverError::HardState), "the vote was not forgotten");
    assert_ne!(recovered(&writes[..2]), recovered(&writes[..3]), "the comparison sees a compaction");
}

/// A fetch is answered from the log in memory: with what is there, with what a snapshot stands for, or not at all.
#[test]
fn fetch_is_read_back() {
    let mut disk = recovered(&[write(3, &[(1, 0), (2, 1), (3, 1), (4, 3), (5, 3), (6, 3)], 5)]);
    let fetch = |first, last, bytes_max| Fetch {
        number: FetchNumber::new(1),
        first: LogIndex::new(first),
        last: LogIndex::new(last),
        bytes_max,
    };
    let found = |result| match result {
        Fetched::Entries(entries) => entries.entries().map(|(at, _)| at.index.raw()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(found(disk.read(&fetch(2, 5, u64::MAX))), [2, 3, 4, 5]);
    assert_eq!(found(disk.read(&fetch(2, 9, 2 * Entry::OVERHEAD_BYTES))), [2, 3], "no more than wanted");
    assert_eq!(found(disk.read(&fetch(6, 6, 0))), [6], "the first comes in any case");
    assert_eq!(disk.read(&fetch(7, 9, u64::MAX)), Fetched::Failed);
    disk.shorten(2);
    assert_eq!(disk.read(&fetch(4, 6, u64::MAX)), Fetched::Failed, "it is on the disk, but not here");
    assert_eq!(found(disk.read(&fetch(5, 6, u64::MAX))), [5, 6]);
    assert_eq!(disk.read(&fetch(0, 6, u64::MAX)), Fetched::Compacted, "there never is an entry at index 0");
    disk.start = Position::new(1, 3);
    assert_eq!(disk.read(&fetch(3, 6, u64::MAX)), Fetched::Compacted);
}

#[test]
fn config_names_what_is_out_of_range() {
    let c = Config::default();
    let cases = [
        (Config { election_timeout_ticks: 2, ..c }, ConfigError::ElectionTimeout),
        (Config { election_timeout_ticks: 1_000_001, ..c }, ConfigError::ElectionTimeout),
        (Config { heartbeat_ticks: 0, ..c }, ConfigError::Heartbeat),
        (Config { heartbeat_ticks: 10, ..c }, ConfigError::Heartbeat),
        (Config { disk_stall_ticks: 19, ..c }, ConfigError::DiskStall),
        (Config { dead_after_ticks: 19, ..c }, ConfigError::DeadAfter),
        (Config { command_bytes_max: 0, ..c }, ConfigError::CommandBytes),
        (Config { command_bytes_max: (64 << 20) + 1, ..c }, ConfigError::CommandBytes),
        (Config { fetch_bytes_max: 0, ..c }, ConfigError::ZeroLimit("fetch_bytes_max")),
        (Config { writes_outstanding_max: 0, ..c }, ConfigError::ZeroLimit("writes_outstanding_max")),
    ];
    for (config, error) in cases {
        assert_eq!(config.check(), Err(error));
    }
    assert_eq!(Config { election_timeout_ticks: 3, heartbeat_ticks: 1, ..c }.check(), Ok(()));
}

/// S7: a restart applies at once what it knows to be committed, and not more.
#[test]
fn restart_applies_only_what_is_known_to_be_committed() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.deliver_all();
    cluster.propose(1, "b");
    cluster.network.clear();
    cluster.restart(1);
    assert_eq!(cluster.applied(1), ["a"], "the commit index came to the disk along with b");
    assert_eq!(cluster.node(1).status().last.index, LogIndex::new(4));
}
