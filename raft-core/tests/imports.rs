//! A state that was made elsewhere takes the place of the state machine, at the same index on all servers, and no server has the
//! entry without the bytes.

mod common;

use common::{Cluster, command, config};
use raft_core::{
    Config, Digest, Entry, Import, LogIndex, LogTime, Message, Obtain, Outcome, Payload, Position, Refusal,
    RequestId, Run, Term, decode_entry, encode_entry,
};

const STATE: Import = Import { size: 2, digest: Digest::new(77) };

fn busy() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "old");
    cluster.run(4);
    cluster
}

fn has_bytes(cluster: &mut Cluster, id: u64) {
    let bytes = ["x", "y"].map(|text| (LogIndex::ZERO, command(text)));
    cluster.machine(id).imports.insert(STATE.digest.raw(), bytes.to_vec());
}

fn import(cluster: &mut Cluster, id: u64) -> RequestId {
    has_bytes(cluster, id);
    let request = RequestId::new(9000 + id);
    cluster.step(id, Message::Import { id: request, import: STATE });
    request
}

fn obtain(cluster: &mut Cluster, id: u64) {
    has_bytes(cluster, id);
    cluster.step(id, Message::Obtained(STATE));
}

/// It commits once a majority has the bytes, is applied by everybody at the same index, and a server without them lacks it.
#[test]
fn import_commits_where_the_bytes_are() {
    let mut cluster = busy();
    let request = import(&mut cluster, 1);
    let after = cluster.propose(1, "new");
    cluster.run(12);
    assert_eq!(
        (cluster.outcome(request), cluster.outcome(after)),
        (None, None),
        "only the leader has the bytes"
    );
    let leader = common::pair(1);
    for id in 2..=3 {
        assert_eq!(cluster.machine(id).obtain, [Obtain { from: leader, import: STATE }], "asked once");
        assert_eq!(cluster.node(id).status().last, Position::new(1, 3));
    }
    obtain(&mut cluster, 2);
    cluster.run(12);
    for request in [request, after] {
        assert!(matches!(cluster.outcome(request), Some(Outcome::Committed { .. })));
    }
    assert_eq!(cluster.applied(1), ["x", "y", "new"]);
    assert_eq!(cluster.applied(2), ["x", "y", "new"]);
    assert_eq!(cluster.applied(3), ["old"]);
    obtain(&mut cluster, 3);
    cluster.run(12);
    assert_eq!(cluster.applied(3), ["x", "y", "new"]);
    for id in 1..=3 {
        cluster.restart(id);
    }
    cluster.elect(3);
    for id in 1..=3 {
        assert_eq!(cluster.applied(id), ["x", "y", "new"], "server {id} has it after a restart");
    }
}

/// Who waits is told that what it changes is replaced; and the import itself is refused where a proposal would be.
#[test]
fn proposals_that_wait_are_answered() {
    let mut cluster = busy();
    cluster.cut.extend([(1, 2), (1, 3)]);
    let waits = cluster.propose(1, "waits");
    let request = import(&mut cluster, 1);
    let position = |index| Position::new(1, index);
    let replaced = Outcome::Replaced { first: position(4), last: position(4) };
    assert_eq!((cluster.outcome(waits), cluster.outcome(request)), (Some(replaced), None));
    cluster.run(2 * config().election_timeout_ticks);
    assert!(matches!(cluster.outcome(request), Some(Outcome::Lost { .. })));
    let refused = import(&mut cluster, 2);
    assert!(matches!(cluster.outcome(refused), Some(Outcome::Refused(Refusal::NotLeader { .. }))));
}

/// Another leader, and another start, ask anew; bytes that are here already are not asked for.
#[test]
fn bytes_are_asked_for_by_each_leader_and_boot() {
    let mut cluster = busy();
    import(&mut cluster, 1);
    cluster.run(4);
    assert_eq!(cluster.machine(3).obtain.len(), 1);
    cluster.restart(3);
    cluster.run(12);
    assert_eq!(cluster.machine(3).obtain.len(), 2);
    obtain(&mut cluster, 2);
    cluster.run(12);
    cluster.elect(2);
    cluster.run(12);
    assert_eq!(cluster.machine(3).obtain.last().map(|obtain| obtain.from), Some(common::pair(2)));
    assert_eq!(cluster.machine(3).obtain.len(), 3);
    obtain(&mut cluster, 3);
    cluster.run(12);
    assert_eq!(cluster.applied(3), ["x", "y"]);
}

/// What stands before the import in the same append is taken, and what stands behind it is not.
#[test]
fn append_is_taken_up_to_the_import() {
    let mut cluster = busy();
    cluster.cut.push((1, 3));
    cluster.propose(1, "before");
    cluster.deliver_all();
    import(&mut cluster, 1);
    cluster.propose(1, "behind");
    cluster.run(2);
    cluster.cut.clear();
    cluster.run(12);
    assert_eq!(cluster.node(3).status().last, Position::new(1, 4));
    assert_eq!(cluster.applied(3), ["old", "before"]);
}

/// What was asked for last counts, whatever comes late; and the same state is asked for again when it is imported again, since its bytes
/// may be gone by then.
#[test]
fn only_what_is_asked_for_is_obtained_and_only_once() {
    let other = Import { digest: Digest::new(78), ..STATE };
    let mut cluster = busy();
    cluster.cut.extend([(1, 2), (2, 1)]);
    cluster.machine(1).imports.insert(78, Vec::new());
    cluster.step(1, Message::Import { id: RequestId::new(1), import: other });
    cluster.run(6);
    cluster.machine(1).crash();
    cluster.cut.clear();
    cluster.network.clear();
    cluster.elect(2);
    let request = import(&mut cluster, 2);
    cluster.run(6);
    cluster.machine(3).imports.insert(78, Vec::new());
    obtain(&mut cluster, 3);
    cluster.step(3, Message::Obtained(other));
    cluster.run(20);
    assert!(matches!(cluster.outcome(request), Some(Outcome::Committed { .. })));

    let asked = cluster.machine(3).obtain.len();
    let again = RequestId::new(9);
    cluster.step(2, Message::Import { id: again, import: STATE });
    cluster.run(6);
    assert_eq!(cluster.machine(3).obtain.len(), asked + 1);
    assert_eq!(cluster.outcome(again), None);
}

/// As many may wait as proposals, and no more.
#[test]
fn imports_beyond_the_limits_are_refused() {
    let mut cluster = Cluster::with(3, Config { uncommitted_bytes_max: 100, ..config() });
    cluster.elect(1);
    cluster.run(4);
    cluster.cut.extend([(1, 2), (1, 3)]);
    assert_eq!(
        (import(&mut cluster, 1), cluster.outcome(RequestId::new(9001))),
        (RequestId::new(9001), None)
    );
    cluster.step(1, Message::Import { id: RequestId::new(1), import: STATE });
    assert_eq!(cluster.outcome(RequestId::new(1)), Some(Outcome::Refused(Refusal::Busy)));
}

#[test]
fn imports_are_encoded() {
    let entry = Entry::new(LogTime::new(7), Payload::Import(STATE));
    assert_eq!(decode_entry(encode_entry(&entry).into()), Ok(entry.clone()));
    let run = Run::new(Term::new(1), LogIndex::new(1), [entry]).expect("a run");
    assert!(Entry::OVERHEAD_BYTES < run.size());
}
