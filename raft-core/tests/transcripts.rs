//! Whole scenarios as text that people read: everything that each server is told and wants, in order, in the files of the folder
//! `transcripts`. A change of behaviour shows there as a change of text, to be read line by line.
//! `UPDATE_EXPECT=1 cargo test -p raft-core --test transcripts` writes them anew.
//!
//! ```text
//! S1 <   S2     t1  acknowledge held 2, durable 2   S1 is told: here a packet from S2, of term 1
//! S1   > S2 S3  t1  commit      commit 2            and wants: here the same packet sent to S2 and to S3
//! S1   > disk   write 3: …                          one batch made durable; `disk fetch`: entries read back
//! S1   > apply  1.2-1.3                             committed entries handed to the state machine; `restore`: a snapshot
//! S1   > send   snapshot 1 to S3: …                 a snapshot to be sent, with its packet
//! S1   > user   request 1: committed at 1.3         a client's answer
//! S1   > event  leader in term 1                    what has changed
//! S2 x   S1     …                                   a packet that never arrives
//! -- text                                           what the test does to the world
//! ```
//!
//! Positions are written term.index. Index 1 is the founding configuration, 0.1. What leads to nothing is left out. Disks are durable at once
//! where nothing else is said. Of a joint configuration `S1 S2 S3 and S1 S2 S4` the outgoing half stands first. T is 10 ticks, heartbeats are sent every 3.

mod common;
#[path = "transcripts/scribe.rs"]
mod scribe;

use common::{config, pair, voters};
use expect_test::expect_file;
use raft_core::{Change, Config, LogIndex, LogTime, Message, Position, RoleKind};
use scribe::{Detail, Scribe};

/// §3.4, §9.6, §3.5: a pre-vote, a vote, the no-op; and a command that is committed with it and applied everywhere.
#[test]
fn first_election_and_first_commit() {
    let mut scribe = Scribe::new(3, config());
    scribe.note("S3 is silent");
    scribe.cluster.machine(3).crash();
    scribe.tick(1, 20);
    scribe.deliver();
    scribe.propose(1, "a");
    scribe.deliver();
    expect_file!["transcripts/first_election_and_first_commit.txt"].assert_eq(&scribe.text());
}

/// §3.5, §3.6: a leader that is cut off goes on appending, is replaced, and has its tail replaced when it comes back.
#[test]
fn isolated_leader_is_replaced_and_repaired() {
    let mut scribe = Scribe::led(config());
    scribe.cut_off(1);
    scribe.propose(1, "lost");
    scribe.deliver();
    scribe.note("S2 and S3 elect S2, which commits b; S1 hears no quorum and steps down");
    scribe.detail = Detail::Changes;
    scribe.step(3, Message::ForgetLeader);
    scribe.tick(2, 20);
    scribe.deliver();
    scribe.propose(2, "b");
    scribe.deliver();
    scribe.tick(1, 10);
    scribe.detail = Detail::All;
    scribe.heal();
    scribe.tick(2, 3);
    scribe.deliver();
    let applied = scribe.cluster.applied(1);
    expect_file!["transcripts/isolated_leader_is_replaced_and_repaired.txt"].assert_eq(&scribe.text());
    assert_eq!(applied, ["a", "b"]);
}

/// §6.2 (B11): S5 alone sees the leader and everybody else; the leader hears no quorum and gives way, so that S5 does not keep the
/// others from electing. Only changes are written down.
#[test]
fn bridge_partition_resolves() {
    let mut scribe = Scribe::new(5, config());
    scribe.detail = Detail::Changes;
    scribe.tick(1, 20);
    scribe.deliver();
    scribe.note("S1 and S5 see each other, and S2, S3, S4 and S5 do");
    for other in 2..=4 {
        scribe.cluster.cut.extend([(1, other), (other, 1)]);
    }
    for ticks in [9, 1, 30] {
        scribe.run(&[1, 2, 3, 4, 5], ticks);
        scribe.note(&format!("{ticks} ticks have passed"));
    }
    let leads = |id: u64| scribe.cluster.node(id).status().role == RoleKind::Leader;
    let leader = (2..=5).find(|id| leads(*id)).expect("a leader that a majority sees");
    scribe.propose(leader, "x");
    scribe.deliver();
    expect_file!["transcripts/bridge_partition_resolves.txt"].assert_eq(&scribe.text());
}

/// §3.10: a transfer brings the target up to date, refuses proposals meanwhile, and lets it campaign without a pre-vote.
#[test]
fn transfer_hands_over() {
    let mut scribe = Scribe::led(config());
    scribe.cluster.machine(2).crash();
    scribe.note("S2 is silent");
    scribe.propose(1, "b");
    scribe.transfer(1, Some(pair(3)));
    scribe.propose(1, "c");
    scribe.deliver();
    expect_file!["transcripts/transfer_hands_over.txt"].assert_eq(&scribe.text());
}

/// §3.10: a transfer to a server that is gone refuses proposals for an election timeout, and then is given up.
#[test]
fn transfer_is_given_up() {
    let mut scribe = Scribe::led(config());
    scribe.cut_off(3);
    scribe.transfer(1, Some(pair(3)));
    scribe.propose(1, "refused");
    for ticks in [3, 3, 3, 1] {
        scribe.tick(1, ticks);
        scribe.deliver();
    }
    scribe.propose(1, "b");
    scribe.deliver();
    expect_file!["transcripts/transfer_is_given_up.txt"].assert_eq(&scribe.text());
}

/// §10.2.1: a leader whose disk stands still commits with the disks of the others, applies nothing that is not durable on its own,
/// gives way after `disk_stall_ticks`, and does not campaign before its write is durable.
/// §4.3: a joint configuration, in which each half has to agree, and the one that it leads to.
#[test]
fn joint_configuration_is_entered_and_left() {
    let mut scribe = Scribe::led(config());
    scribe.cluster.join();
    scribe.note("S4 is new, and S3 is silent");
    scribe.cluster.machine(3).crash();
    scribe.change(1, Change::Set(voters([1, 2, 4])));
    scribe.deliver();
    expect_file!["transcripts/joint_configuration_is_entered_and_left.txt"].assert_eq(&scribe.text());
}

/// §4.2.2: a leader that is removed leads until that has committed, and hands over.
#[test]
fn removed_leader_hands_over() {
    let mut scribe = Scribe::led(config());
    scribe.change(1, Change::Remove(pair(1).id));
    scribe.deliver();
    expect_file!["transcripts/removed_leader_hands_over.txt"].assert_eq(&scribe.text());
}

#[test]
fn leader_with_a_stalled_disk_gives_way() {
    let mut scribe = Scribe::led(Config { disk_stall_ticks: 12, ..config() });
    scribe.note("S1's disk stands still");
    scribe.cluster.machine(1).sync_at_once = false;
    scribe.propose(1, "b");
    scribe.deliver();
    scribe.note("heartbeats go on");
    scribe.tick(1, 6);
    scribe.deliver();
    scribe.detail = Detail::Changes;
    scribe.run(&[1], 6);
    scribe.detail = Detail::All;
    scribe.note("its election timeout passes, and it is asked to campaign");
    scribe.tick(1, 20);
    scribe.step(1, Message::Campaign);
    scribe.note("S1's disk works again");
    scribe.sync(1);
    scribe.tick(1, 1);
    expect_file!["transcripts/leader_with_a_stalled_disk_gives_way.txt"].assert_eq(&scribe.text());
}

/// Bounded memory: a follower that was away is sent what the leader no longer holds, which it has to read back.
#[test]
fn evicted_entries_are_fetched_for_a_lagging_follower() {
    let limits = Config { tail_bytes_max: 140, append_bytes_max: 200, fetch_bytes_max: 200, ..config() };
    let mut scribe = Scribe::led(limits);
    scribe.note("S3 is down while b, c, d, e and f are committed, and only the last of them stay in memory");
    scribe.cluster.machine(3).crash();
    scribe.detail = Detail::Nothing;
    for text in ["b", "c", "d", "e", "f"] {
        scribe.propose(1, text);
        scribe.deliver();
    }
    scribe.detail = Detail::All;
    scribe.note("S2 has all and says nothing from here on");
    scribe.cluster.machine(2).crash();
    scribe.restart(3);
    scribe.tick(1, 3);
    scribe.deliver();
    assert_eq!(scribe.cluster.applied(3), ["a", "b", "c", "d", "e", "f"]);
    expect_file!["transcripts/evicted_entries_are_fetched_for_a_lagging_follower.txt"]
        .assert_eq(&scribe.text());
}

/// §5.3: a follower that needs what the log no longer has is sent a snapshot along with a heartbeat, is restored from it, and goes on
/// with the entries behind it. The same snapshot again, and an older one of its own, change nothing.
#[test]
fn lagging_follower_gets_a_snapshot() {
    let mut scribe = Scribe::led(Config { trailing_entries: 0, ..config() });
    scribe.note("S3 is down while b and c are committed, and S1 saves its state machine");
    scribe.cluster.machine(3).crash();
    scribe.detail = Detail::Nothing;
    for text in ["b", "c"] {
        scribe.propose(1, text);
        scribe.deliver();
    }
    scribe.note("S2 has all and says nothing from here on");
    scribe.cluster.machine(2).crash();
    scribe.detail = Detail::All;
    scribe.save(1);
    scribe.propose(1, "d");
    scribe.restart(3);
    for _ in 0..2 {
        scribe.tick(1, 3);
        scribe.deliver();
    }
    scribe.note("the bytes have come; the packet comes twice");
    scribe.bring_snapshot(1, 2);
    scribe.deliver();
    assert_eq!(scribe.cluster.applied(3), ["a", "b", "c", "d"]);
    scribe.note("a snapshot that S3 took before, and that comes late");
    let (last, time) = (Position::new(1, 3), LogTime::ZERO);
    scribe.step(3, Message::SnapshotTaken { last, time, size: 1, digest: 1.into() });
    scribe.restart(3);
    expect_file!["transcripts/lagging_follower_gets_a_snapshot.txt"].assert_eq(&scribe.text());
}

/// A window of two packets: it closes, a packet is lost, heartbeats that overtake nothing conclude so, and it opens again.
#[test]
fn window_closes_and_opens_after_a_lost_append() {
    let mut scribe = Scribe::led(Config { in_flight_packets_max: 2, append_entries_max: 1, ..config() });
    scribe.note("S3 is silent; S2's disk is slow");
    scribe.cluster.machine(3).crash();
    scribe.cluster.machine(2).sync_at_once = false;
    for text in ["b", "c", "d"] {
        scribe.propose(1, text);
    }
    scribe.note("the window is full: d waits");
    scribe.lose_append(1, 2);
    for _ in 0..3 {
        scribe.deliver();
        scribe.tick(1, 3);
    }
    scribe.deliver();
    scribe.note("S2's disk is done");
    scribe.sync(2);
    scribe.deliver();
    scribe.sync(2);
    scribe.deliver();
    assert_eq!(scribe.cluster.node(2).status().durable, LogIndex::new(6));
    expect_file!["transcripts/window_closes_and_opens_after_a_lost_append.txt"].assert_eq(&scribe.text());
}

/// §9.6, §4.2.3: who hears a leader refuses a pre-vote; and a pre-candidate of an older term learns the newer one from the refusal (B6).
#[test]
fn pre_vote_is_refused_and_teaches_the_term() {
    let mut scribe = Scribe::led(config());
    scribe.cut_off(3);
    scribe.note("S1 is led out and in again: term 2");
    scribe.detail = Detail::Changes;
    scribe.step(1, Message::StepDown);
    scribe.step(2, Message::ForgetLeader);
    scribe.tick(1, 20);
    scribe.deliver();
    scribe.detail = Detail::All;
    scribe.tick(3, 20);
    scribe.deliver();
    scribe.heal();
    scribe.note("S3 asks again");
    scribe.tick(3, 3);
    scribe.deliver();
    scribe.tick(1, 3);
    scribe.deliver();
    expect_file!["transcripts/pre_vote_is_refused_and_teaches_the_term.txt"].assert_eq(&scribe.text());
}

/// A follower that restarts has its entries and its promises, but does not know that they are the leader's: it is sent the last one
/// again, and commits.
#[test]
fn restarted_follower_is_sent_its_last_entry_again() {
    let mut scribe = Scribe::led(config());
    scribe.note("S2 is silent");
    scribe.cluster.machine(2).crash();
    scribe.restart(3);
    scribe.tick(1, 3);
    scribe.deliver();
    assert_eq!(scribe.cluster.applied(3), ["a"]);
    expect_file!["transcripts/restarted_follower_is_sent_its_last_entry_again.txt"].assert_eq(&scribe.text());
}
