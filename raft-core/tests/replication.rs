//! Log replication and commitment (Raft thesis §3.5, §3.6, §10.2.1). Each test says its rule in its own words; the
//! harness has no clock and no randomness.

mod common;

use common::{Cluster, command, config, pair, plain};
use raft_core::{
    Body, Boot, Commands, Config, Event, Fault, LogIndex, Message, Outcome, Packet, Position, Refusal,
    RequestId, RoleKind, Term,
};

fn committed(cluster: &Cluster, request: RequestId) -> bool {
    matches!(cluster.outcome(request), Some(Outcome::Committed { .. }))
}

/// §3.5: a leader replicates a command, and once a majority has it, it is committed and applied everywhere.
#[test]
fn proposal_reaches_every_state_machine() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let request = cluster.propose(1, "x");
    cluster.deliver_all();
    assert!(committed(&cluster, request));
    for id in 1..=3 {
        assert_eq!(cluster.applied(id), ["x"]);
        assert_eq!(cluster.node(id).status().commit, LogIndex::new(3));
    }
}

/// A single voter needs nobody else, but still its own disk (B19).
#[test]
fn single_voter_commits_only_what_is_durable() {
    let mut cluster = Cluster::new(1);
    cluster.machine(1).sync_at_once = false;
    cluster.tick(1, 20);
    assert_eq!(cluster.node(1).status().role, RoleKind::Candidate, "its vote for itself is not durable yet");
    cluster.sync(1);
    assert_eq!(cluster.node(1).status().role, RoleKind::Leader);
    let request = cluster.propose(1, "x");
    assert_eq!(cluster.outcome(request), None);
    cluster.sync(1);
    cluster.sync(1);
    assert!(committed(&cluster, request));
}

/// §10.2.1: the leader may commit with its followers' disks while its own is still busy.
#[test]
fn leader_commits_without_its_own_disk() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.machine(1).sync_at_once = false;
    let request = cluster.propose(1, "x");
    cluster.deliver_all();
    assert!(committed(&cluster, request));
    assert_eq!(cluster.applied(2), ["x"]);
    assert_eq!(cluster.applied(1), [""; 0], "not durable here, so not applied here");
    cluster.sync(1);
    assert_eq!(cluster.applied(1), ["x"]);
}

/// C8: an acknowledgement leaves only when what it covers is durable; a heartbeat is answered meanwhile.
#[test]
fn follower_acknowledges_only_what_is_durable() {
    let mut cluster = Cluster::new(2);
    cluster.elect(1);
    cluster.machine(2).sync_at_once = false;
    let request = cluster.propose(1, "x");
    cluster.deliver_all();
    assert_eq!(cluster.outcome(request), None);
    cluster.tick(1, 3);
    cluster.deliver_all();
    assert_eq!(cluster.outcome(request), None, "the answer to a heartbeat promises no more");
    cluster.sync(2);
    cluster.deliver_all();
    assert!(committed(&cluster, request));
}

/// §3.6.2 and figure 3.7 (figure 8 of the paper): an entry of an older term does not commit by being on a majority, only
/// along with one of the leader's own term (B14). S1 leads for the second time, its log ends in an entry of its first term
/// and a no-op; three of five have the old entry, and not the no-op.
#[test]
fn older_entries_commit_only_with_one_of_the_own_term() {
    let mut cluster = Cluster::with(5, plain());
    cluster.elect(1);
    cluster.cut = vec![(1, 3), (1, 4), (1, 5)];
    cluster.propose(1, "old");
    cluster.deliver_all();
    cluster.cut.clear();
    cluster.restart(1);
    cluster.tick(1, 20);
    let votes_only = |packet: &Packet| matches!(packet.body, Body::RequestVote { .. } | Body::Vote { .. });
    while let Some(packet) = cluster.network.pop_front() {
        if votes_only(&packet) {
            cluster.step(packet.to.id.raw(), Message::Packet(packet));
        }
    }
    let status = cluster.node(1).status();
    let (old, noop) = (Position::new(1, 3), Position::new(2, 4));
    assert_eq!((status.role, status.last), (RoleKind::Leader, noop));
    let mut acknowledge = |id, index: LogIndex| {
        let body = Body::Acknowledge { boot: Boot::new(2), round: None, held: index, durable: index };
        cluster.say(id, 1, status.term, body);
        cluster.node(1).status().commit
    };
    let before = status.commit;
    assert!(before < old.index);
    assert_eq!(acknowledge(2, old.index), before);
    assert_eq!(
        acknowledge(3, old.index),
        before,
        "the old entry is on a majority, and may still be replaced"
    );
    assert_eq!(acknowledge(2, noop.index), before);
    assert_eq!(acknowledge(3, noop.index), noop.index, "with the no-op, all before it commits");
}

/// §3.5: a leader brings a follower's log to agree with its own, cutting off what conflicts; the proposal that was cut off
/// is answered as lost, not as refused.
#[test]
fn conflicting_entries_are_replaced() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut = vec![(1, 2), (1, 3), (2, 1), (3, 1)];
    let lost = cluster.propose(1, "lost");
    cluster.deliver_all();
    cluster.elect(2);
    let kept = cluster.propose(2, "kept");
    cluster.deliver_all();
    assert!(committed(&cluster, kept));
    assert_eq!(cluster.outcome(lost), None, "the old leader does not know yet");
    cluster.cut.clear();
    cluster.tick(2, 3);
    cluster.deliver_all();
    cluster.tick(2, 3);
    cluster.deliver_all();
    assert_eq!(cluster.applied(1), ["kept"]);
    assert_eq!(
        cluster.outcome(lost),
        Some(Outcome::Lost { first: Position::new(1, 3), last: Position::new(1, 3) })
    );
}

/// B15: an append that is late and overlaps, without a conflict, leaves what it does not speak of.
#[test]
fn late_append_leaves_newer_entries() {
    let mut cluster = Cluster::new(2);
    cluster.elect(1);
    cluster.propose(1, "a");
    let late = cluster.network.iter().find(|packet| packet.to == pair(2)).cloned().expect("an append");
    cluster.deliver_all();
    cluster.propose(1, "b");
    cluster.deliver_all();
    let last = cluster.node(2).status().last;
    cluster.step(2, Message::Packet(late));
    assert_eq!(cluster.node(2).status().last, last);
}

/// B18: what an outstanding write vouches for is clipped by a truncation. Write 1 holds [old]; a new leader replaces it;
/// `Synced(1)` must not acknowledge the new entry at the same index.
#[test]
fn old_write_does_not_vouch_for_a_new_entry() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut = vec![(1, 3), (2, 3), (3, 2)];
    cluster.machine(2).sync_at_once = false;
    cluster.propose(1, "old");
    cluster.deliver_all();
    assert_eq!(cluster.machine(2).unsynced.len(), 1);
    // S1 crashes before its own write is durable, so S3 can win term 2 with its vote.
    cluster.cut = vec![(1, 2), (2, 1), (2, 3), (3, 2)];
    cluster.machine(1).disk.pop();
    cluster.restart(1);
    cluster.elect(3);
    cluster.cut = vec![(1, 2), (2, 1)];
    cluster.tick(3, 3);
    cluster.deliver_all();
    cluster.tick(3, 3);
    cluster.deliver_all();
    let replaced = cluster.node(2).term_at(LogIndex::new(3));
    assert_eq!(replaced, Some(Term::new(2)), "the new leader's no-op stands where the old entry stood");
    cluster.sync_one(2);
    assert_eq!(
        cluster.node(2).status().durable,
        LogIndex::new(2),
        "the old write says nothing of the new entry"
    );
}

/// C9: an idle cluster spreads the commit index, without any new proposal (B29).
#[test]
fn commit_index_spreads_while_idle() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "x");
    // Every notice of the commit index is lost.
    while let Some(packet) = cluster.network.pop_front() {
        if !matches!(packet.body, Body::Commit { .. }) {
            cluster.step(packet.to.id.raw(), Message::Packet(packet));
        }
    }
    assert_eq!(cluster.applied(2), [""; 0]);
    cluster.tick(1, 3);
    cluster.deliver_all();
    assert_eq!(cluster.applied(2), ["x"]);
}

/// A lost append is found out by two rounds of heartbeats without progress, and sent again.
#[test]
fn lost_append_is_sent_again() {
    let mut cluster = Cluster::new(2);
    cluster.elect(1);
    let request = cluster.propose(1, "x");
    cluster.network.clear();
    for _ in 0..4 {
        cluster.tick(1, 3);
        cluster.deliver_all();
    }
    assert!(committed(&cluster, request));
}

/// A follower that comes back with less than it held is sent the rest.
#[test]
fn restarted_follower_catches_up() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.deliver_all();
    cluster.machine(3).sync_at_once = false;
    cluster.propose(1, "b");
    cluster.deliver_all();
    cluster.machine(3).sync_at_once = true;
    cluster.restart(3);
    assert_eq!(cluster.node(3).status().last.index, LogIndex::new(3), "b was not durable there");
    for _ in 0..4 {
        cluster.tick(1, 3);
        cluster.deliver_all();
    }
    assert_eq!(cluster.applied(3), ["a", "b"]);
}

/// A follower that restarts with all entries, but an old commit index, learns the commit index in an idle cluster too: it
/// has to be told anew that its entries are this leader's. (Found by the simulator, seed 560.)
#[test]
fn restarted_follower_commits_while_idle() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.propose(1, "b");
    cluster.deliver_all();
    cluster.restart(3);
    let status = cluster.node(3).status();
    assert!(status.commit < status.last.index, "the commit index of b did not come to the disk");
    for _ in 0..4 {
        cluster.tick(1, 3);
        cluster.deliver_all();
    }
    assert_eq!(cluster.applied(3), ["a", "b"]);
}

/// C10: after a restart with a short tail, the state machine is replayed by fetches, and a lagging follower is served by
/// them.
#[test]
fn entries_below_the_tail_are_fetched() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.machine(3).crash();
    let texts: Vec<String> = (0..50).map(|n| format!("c{n}")).collect();
    for text in &texts {
        cluster.propose(1, text);
        cluster.deliver_all();
    }
    for id in [1, 2] {
        cluster.machine(id).tail_entries = Some(1);
        cluster.machine(id).config.fetch_bytes_max = 200;
        cluster.machine(id).config.append_bytes_max = 200;
        cluster.restart(id);
    }
    cluster.network.clear();
    cluster.elect(1);
    assert_eq!(cluster.applied(1), texts);
    cluster.machine(3).start();
    cluster.run(40);
    assert_eq!(cluster.applied(3), texts);
    assert_eq!(cluster.applied(2), texts);
}

/// Group commit: above the limit of outstanding writes, what there is to write gathers into the next one.
#[test]
fn writes_gather_while_the_disk_is_busy() {
    let config = Config { writes_outstanding_max: 2, ..config() };
    let mut cluster = Cluster::with(1, config);
    cluster.elect(1);
    cluster.machine(1).sync_at_once = false;
    let requests: Vec<_> = (0..10).map(|n| cluster.propose(1, &format!("c{n}"))).collect();
    assert_eq!(cluster.machine(1).unsynced.len(), 2);
    cluster.sync(1);
    assert_eq!(cluster.machine(1).unsynced.len(), 1, "the other eight in one write");
    assert_eq!(cluster.machine(1).unsynced[0].entries.len(), 8);
    cluster.sync(1);
    assert!(requests.iter().all(|request| committed(&cluster, *request)));
}

/// C11: what goes beyond a limit is refused as a whole, and nothing is left of it.
#[test]
fn proposals_beyond_limits_are_refused() {
    let config = Config { command_bytes_max: 10, uncommitted_bytes_max: 200, proposals_max: 2, ..config() };
    let mut cluster = Cluster::with(2, config);
    let refused = |cluster: &mut Cluster, commands: Commands| {
        let id = RequestId::new(1000 + cluster.machines[0].answers.len() as u64);
        cluster.step(1, Message::Propose { id, commands });
        cluster.outcome(id)
    };
    let none = Some(Outcome::Refused(Refusal::NotLeader { leader: None }));
    assert_eq!(refused(&mut cluster, command("x").into()), none);
    cluster.elect(1);
    let refusal = |refusal| Some(Outcome::Refused(refusal));
    assert_eq!(refused(&mut cluster, Commands::Many(vec![])), refusal(Refusal::Empty));
    assert_eq!(refused(&mut cluster, command("elevenbytes").into()), refusal(Refusal::TooLarge));
    assert_eq!(refused(&mut cluster, vec![command("x"); 4].into()), refusal(Refusal::TooLarge));
    let last = cluster.node(1).status().last;
    assert_eq!(refused(&mut cluster, command("tenbytes..").into()), None);
    assert_eq!(refused(&mut cluster, vec![command("x"); 2].into()), refusal(Refusal::Busy), "bytes");
    assert_eq!(refused(&mut cluster, command("x").into()), None);
    assert_eq!(refused(&mut cluster, command("x").into()), refusal(Refusal::Busy), "count");
    assert_eq!(cluster.node(1).status().last.index, last.index.plus(2));
    cluster.deliver_all();
    assert_eq!(refused(&mut cluster, command("x").into()), None, "room again once committed (B27)");
}

/// B50: a failed write is final. The node gives up leadership, answers what waits, and promises nothing more.
#[test]
fn failed_write_halts_the_node() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.machine(1).sync_at_once = false;
    let request = cluster.propose(1, "x");
    let number = cluster.machine(1).unsynced[0].number;
    cluster.network.clear();
    cluster.step(1, Message::WriteFailed(number));
    assert!(matches!(cluster.outcome(request), Some(Outcome::Lost { .. })));
    assert!(cluster.machine(1).events.contains(&Event::Fault(Fault::WriteFailed)));
    cluster.step(1, Message::Synced(number));
    cluster.tick(1, 100);
    assert!(cluster.network.is_empty(), "not a word from it");
    let after = cluster.propose(1, "y");
    assert_eq!(cluster.outcome(after), Some(Outcome::Refused(Refusal::Halted)));
}

/// Contract rule 1: what a driver can not know, it must not say.
#[test]
fn driver_that_reports_what_never_was_halts_the_node() {
    let cases = [
        (Message::Synced(raft_core::WriteNumber::new(99)), Fault::UnknownWrite),
        (Message::WriteFailed(raft_core::WriteNumber::new(99)), Fault::UnknownWrite),
        (Message::WriteFailed(raft_core::WriteNumber::ZERO), Fault::UnknownWrite),
        (Message::Applied(LogIndex::new(99)), Fault::UnknownApplied),
        (
            Message::Fetched { number: raft_core::FetchNumber::new(9), result: raft_core::Fetched::Failed },
            Fault::UnknownFetch,
        ),
    ];
    for (message, fault) in cases {
        let mut cluster = Cluster::new(1);
        cluster.elect(1);
        cluster.step(1, message);
        assert_eq!(cluster.node(1).status().fault, Some(fault));
    }
}

/// A leader whose disk stands still gives up leadership, and does not campaign before its writes are durable.
#[test]
fn leader_with_a_stalled_disk_steps_down() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.machine(1).sync_at_once = false;
    cluster.propose(1, "x");
    for _ in 0..39 {
        cluster.tick(1, 1);
        cluster.deliver_all();
    }
    assert_eq!(cluster.node(1).status().role, RoleKind::Leader);
    cluster.tick(1, 1);
    assert_eq!(cluster.node(1).status().role, RoleKind::Follower);
    cluster.tick(1, 100);
    assert_eq!(cluster.node(1).status().role, RoleKind::Follower);
    cluster.machine(1).sync_at_once = true;
    cluster.sync(1);
    cluster.tick(1, 20);
    assert_eq!(cluster.node(1).status().role, RoleKind::PreCandidate);
}

/// Rule 12: entries carry log time, which is the ticks that leaders counted, and stands still between leaders.
#[test]
fn log_time_counts_the_leaders_ticks() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    cluster.tick(1, 7);
    cluster.propose(1, "a");
    cluster.tick(1, 5);
    cluster.propose(1, "b");
    cluster.restart(1);
    cluster.tick(1, 9);
    cluster.elect(1);
    cluster.propose(1, "c");
    let last = cluster.node(1).status().last.index;
    let log = cluster.machine(1).read(LogIndex::new(1), last);
    let times: Vec<u64> = log.entries().map(|(_, entry)| entry.time.raw()).collect();
    assert_eq!(times, [0, 0, 7, 12, 12, 12], "founding, no-op, a, b, no-op, c");
}

/// B16, B17: a follower commits up to what it has verified, whatever commit index it is told, and whatever else its log holds.
#[test]
fn follower_commits_no_further_than_it_has_verified() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "x");
    cluster.deliver_one_way(1);
    let status = cluster.node(3).status();
    assert_eq!((status.commit, status.last.index), (LogIndex::new(2), LogIndex::new(3)));
    for (term, commit) in [(1, 3), (7, 2)] {
        // The leader of term 1 has sent all of it; of a new leader's log nothing is known beyond what is committed.
        let mut cluster = cluster.clone();
        let body = Body::Heartbeat { round: raft_core::Round::new(9), commit: LogIndex::new(100) };
        cluster.say(1, 3, Term::new(term), body);
        assert_eq!(cluster.node(3).status().commit, LogIndex::new(commit));
    }
}

/// B28: entries are applied in small batches, and the commit index does not wait for that.
#[test]
fn small_apply_batches_do_not_hold_back_the_commit_index() {
    let config = Config { apply_bytes_max: 1, ..config() };
    let mut cluster = Cluster::with(1, config);
    cluster.elect(1);
    let node = cluster.machine(1).node.as_mut().expect("runs");
    let mut handed = 0;
    for id in 0..5 {
        let propose = Message::Propose { id: RequestId::new(id), commands: command("x").into() };
        let write = node.step(propose).write.expect("an entry to write");
        let ready = node.step(Message::Synced(write.number));
        handed += ready.apply.map_or(0, |entries| entries.len());
    }
    assert_eq!(handed, 1, "one at a time, and the first is not reported as applied yet");
    assert_eq!(node.status().commit, node.status().last.index);
    let mut seen = 1;
    while let Some(entries) = node.step(Message::Applied(LogIndex::new(2 + seen))).apply {
        assert_eq!(entries.len(), 1);
        seen += 1;
    }
    assert_eq!(seen, 5);
}

/// B51: a log that can not be read is final; it never becomes "there is nothing before this".
#[test]
fn failed_fetch_halts_the_node() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    cluster.propose(1, "x");
    cluster.machine(1).tail_entries = Some(1);
    cluster.machine(1).crash();
    cluster.machine(1).start();
    let node = cluster.machine(1).node.as_mut().expect("runs");
    let number = node.step(Message::Tick { elapsed: 0 }).fetch[0].number;
    node.step(Message::Fetched { number, result: raft_core::Fetched::Failed });
    assert_eq!(node.status().fault, Some(Fault::FetchFailed));
}

/// A disk that has lost what was durable is no part of Raft, but it happens: the leader says so, and sends again what is
/// missing instead of waiting for ever for a server that can not have less than it promised.
#[test]
fn follower_that_lost_what_it_promised_is_named_and_served() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for text in ["a", "b", "c"] {
        cluster.propose(1, text);
        cluster.deliver_all();
    }
    cluster.machine(3).disk.truncate(2);
    cluster.restart(3);
    assert_eq!(cluster.node(3).status().last.index, LogIndex::new(1));
    for _ in 0..6 {
        cluster.tick(1, 3);
        cluster.deliver_all();
    }
    assert_eq!(cluster.applied(3), ["a", "b", "c"]);
    let events = &cluster.machines[0].events;
    let broken: Vec<_> = events.iter().filter(|event| matches!(event, Event::PromiseBroken { .. })).collect();
    let (server, acknowledged) = (pair(3), LogIndex::new(5));
    assert_eq!(broken, [&Event::PromiseBroken { server, acknowledged, held: LogIndex::new(1) }]);
}

/// The leader's log never shrinks in its term, so nobody has more of it; and nobody has more durable than it has.
#[test]
fn impossible_acknowledgement_halts_the_leader() {
    for (held, durable) in [(9, 2), (9, 9), (2, 3)] {
        let mut cluster = Cluster::new(3);
        cluster.elect(1);
        cluster.propose(1, "x");
        let (term, last) = (cluster.node(1).status().term, cluster.node(1).status().last.index);
        assert_eq!(last, LogIndex::new(3));
        let boot = cluster.node(1).identity().boot;
        let (held, durable) = (LogIndex::new(held), LogIndex::new(durable));
        cluster.say(2, 1, term, Body::Acknowledge { boot, round: None, held, durable });
        assert_eq!(
            cluster.node(1).status().fault,
            Some(Fault::ImpossibleAcknowledgement),
            "{held} {durable}"
        );
    }
}

/// B23: a rejection of what an earlier boot of the leader has sent moves nothing, and nor does one of what is not in its log.
#[test]
fn rejection_of_what_was_never_sent_is_ignored() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.run(6);
    cluster.restart(1);
    cluster.cut = vec![(1, 3), (3, 1)];
    cluster.elect(1);
    let next = |cluster: &Cluster| cluster.node(1).followers().nth(1).expect("the third server").next;
    let (term, boot, probed) =
        (cluster.node(1).status().term, cluster.node(1).identity().boot, next(&cluster));
    assert_eq!(probed, LogIndex::new(3), "its no-op");
    let rejects = |cluster: &mut Cluster, boot, previous| {
        let (hint, hint_first) = (Position::new(0, 1), LogIndex::new(1));
        cluster.say(3, 1, term, Body::Reject { boot, previous, hint, hint_first });
        next(cluster)
    };
    assert_eq!(rejects(&mut cluster, Boot::new(boot.raw() - 1), Position::new(1, 2)), probed);
    assert_eq!(rejects(&mut cluster, boot, Position::new(9, 2)), probed);
    assert_eq!(rejects(&mut cluster, boot, Position::new(1, 2)), LogIndex::new(2), "the one that was");
}
