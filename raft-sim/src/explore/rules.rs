//! What must hold of every state of a space and of every step to it. The rules are those of the [oracles](crate::Oracles), and bear their
//! names; but an oracle remembers a run, and a state has no past other than what is in it. So what happens at one server is judged where
//! it happens, once for all states in which the same happens to it; and of what servers have in common each state remembers who has led which
//! term, and what was committed.

use raft_core::{
    Body, Event, LogIndex, Membership, Node, Packet, Pair, Ready, Recovered, RoleKind, Runs, Snapshot,
    Status, Term,
};

use super::server::Server;

pub(super) const DURABILITY: &str = "durability";
pub(super) const ELECTION: &str = "election-safety";
pub(super) const COMPLETENESS: &str = "leader-completeness";
pub(super) const MATCHING: &str = "log-matching";
pub(super) const MACHINES: &str = "state-machine-safety";
pub(super) const COMMIT: &str = "commit-rule";
const APPEND_ONLY: &str = "leader-append-only";
const HEALTH: &str = "health";
pub(super) const SNAPSHOTS: &str = "snapshots";
const MEMBERSHIP: &str = "membership";
const MONOTONE: &str = "monotone";
const PROMISES: &str = "promises";
/// No rule of Raft: the search itself met what it does not know.
pub(super) const SPACE: &str = "space";

/// A rule that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Broken {
    /// The oracle whose rule it is.
    pub(super) oracle: &'static str,
    /// What was seen.
    pub(super) what: String,
}

impl Broken {
    pub(super) const fn new(oracle: &'static str, what: String) -> Self {
        Broken { oracle, what }
    }
}

fn require(holds: bool, oracle: &'static str, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken::new(oracle, what())) }
}

/// The term of the entry there, in what a disk holds.
pub(super) fn term_at(disk: &Recovered, index: LogIndex) -> Option<Term> {
    if index == disk.start.index {
        return Some(disk.start.term);
    }
    disk.tail.iter().find(|run| run.get(index).is_some()).map(raft_core::Run::term)
}

/// Whether a snapshot of the node stands for what it has forgotten there: it is committed, and nothing else can take its place.
fn is_covered(node: &Node, index: LogIndex) -> bool {
    let covered = node.snapshot().map_or(LogIndex::ZERO, |snapshot| snapshot.last.index);
    index <= covered && node.term_at(index).is_none()
}

/// A node was made from what its disk holds (Raft thesis figure 3.1: persistent state).
pub(super) fn started(server: &Server) -> Result<(), Broken> {
    let Some(status) = server.status() else { return Ok(()) };
    let disk = &server.disk;
    let same = status.term == disk.hard_state.term
        && status.vote == disk.hard_state.vote
        && status.last == disk.last();
    require(same, DURABILITY, || {
        format!(
            "{} starts in term {} with a log up to {}, its disk held {:?} and a log up to {}",
            server.pair,
            status.term,
            status.last,
            disk.hard_state,
            disk.last()
        )
    })
}

/// A node has made a step. `after` holds the node after it, and else all as it was before.
pub(super) fn stepped(before: &Server, after: &Server, ready: &Ready) -> Result<(), Broken> {
    let (Some(was), Some(is), Some(node)) = (before.status(), after.status(), &after.node) else {
        return Ok(());
    };
    let who = after.pair;
    let health = node.invariants().map_err(|broken| broken.to_string());
    require(health.is_ok(), HEALTH, || format!("{who}: {health:?} does not hold"))?;
    let fault =
        ready.events.iter().find(|event| matches!(event, Event::Fault(_) | Event::PromiseBroken { .. }));
    require(fault.is_none(), HEALTH, || format!("{who} says {fault:?} in an honest world"))?;
    require(was.term <= is.term && was.commit <= is.commit, MONOTONE, || {
        format!(
            "{who} goes from term {} and commit index {} to {} and {}",
            was.term, was.commit, is.term, is.commit
        )
    })?;
    let durable = after.disk.hard_state.term;
    require(durable <= is.term, MONOTONE, || {
        format!("{who} is in term {}, its disk in term {durable}", is.term)
    })?;
    let voted = was.term < is.term || was.vote.is_none() || was.vote == is.vote;
    require(voted, MONOTONE, || {
        format!("{who} votes for {:?} and {:?} in term {}", was.vote, is.vote, is.term)
    })?;
    let leads = |status: &raft_core::Status| status.role == RoleKind::Leader;
    // Older entries commit along with one of the leader's own term, never by themselves (Raft thesis §3.6.2, figure 3.7).
    let leads_on = leads(&was) && leads(&is) && was.term == is.term;
    let own = !leads_on || was.commit == is.commit || node.term_at(is.commit) == Some(is.term);
    require(own, COMMIT, || {
        format!(
            "{who}, leader of term {}, commits index {}, whose entry is of term {:?}",
            is.term,
            is.commit,
            node.term_at(is.commit)
        )
    })?;
    let kept_up_to = if leads_on { was.last.index } else { was.commit };
    if let Some(old) = &before.node {
        reconfigured(who, old, node, is)?;
        removed(who, old, ready)?;
        let lost = (1..=kept_up_to.raw())
            .map(LogIndex::new)
            .find(|index| old.term_at(*index) != node.term_at(*index) && !is_covered(node, *index));
        let oracle = if kept_up_to == was.commit { MACHINES } else { APPEND_ONLY };
        require(lost.is_none(), oracle, || format!("{who} has another entry at index {lost:?} than before"))?;
    }
    for packet in &ready.send {
        promised(after, packet)?;
    }
    applied(after, is.commit, ready.apply.as_ref())
}

/// A leader appends no configuration before an entry of its own term is committed (the correction of the single-server changes of Raft thesis
/// §4.1).
fn reconfigured(who: Pair, before: &Node, after: &Node, is: Status) -> Result<(), Broken> {
    let index = after.membership_index();
    let has_appended = is.role == RoleKind::Leader
        && before.membership_index() < index
        && after.term_at(index) == Some(is.term);
    require(!has_appended || after.term_at(is.commit) == Some(is.term), MEMBERSHIP, || {
        format!(
            "{who} appends a configuration at index {index} and has committed nothing in term {}",
            is.term
        )
    })
}

/// Who is a member of a configuration as new as that of its removal, or newer, is not removed. One that is not committed may be of an older term
/// than the removal; and where a new one comes in the same step, it can not be said which was first.
fn removed(who: Pair, before: &Node, ready: &Ready) -> Result<(), Broken> {
    let index = before.membership_index();
    let counts = index <= before.status().commit
        && before.membership().is_some_and(|membership| membership.server(who).is_some());
    let old = ready.events.iter().take_while(|event| !matches!(event, Event::Membership { .. }));
    let told = old.filter_map(|event| match event {
        Event::Removed { index } => Some(*index),
        _ => None,
    });
    let wrong = told.min().filter(|told| counts && *told <= index);
    require(wrong.is_none(), MEMBERSHIP, || {
        format!("{who} believes that it was removed at index {wrong:?}, and is a member at index {index}")
    })
}

/// A node has taken in these packets: it takes over the term of who is further (Raft thesis §3.3). A request for a pre-vote changes nothing at who is
/// asked, not even the term (§9.6). With leases, which are in no space, a vote may be kept and the term of who asks for it not be taken over.
pub(super) fn heard(server: &Server, packets: &[Packet]) -> Result<(), Broken> {
    let packets = packets.iter().filter(|packet| !matches!(packet.body, Body::RequestPreVote { .. }));
    let (heard, term) = (packets.map(|packet| packet.term).max(), server.hard_state().term);
    require(heard.is_none_or(|heard| heard <= term), MONOTONE, || {
        format!("{} has heard of term {heard:?}, and stays in term {term}", server.pair)
    })
}

/// Nothing that others build on leaves before the disk holds it (Raft thesis figure 3.1: updated on stable storage before responding).
fn promised(server: &Server, packet: &Packet) -> Result<(), Broken> {
    let disk = &server.disk;
    let (term, hard_state) = (packet.term, disk.hard_state);
    let vote_for = match packet.body {
        Body::RequestVote { .. } => Some(packet.from),
        Body::Vote { granted: true, .. } => Some(packet.to),
        _ => None,
    };
    if let Some(candidate) = vote_for {
        let kept = term < hard_state.term || (term == hard_state.term && hard_state.vote == Some(candidate));
        require(kept, PROMISES, || {
            format!("{} votes for {candidate} in term {term}, its disk holds {hard_state:?}", server.pair)
        })?;
    }
    if let Body::Acknowledge { durable, .. } = packet.body
        && durable != LogIndex::ZERO
    {
        let held = term_at(disk, durable);
        // What stands before the log of the disk was committed.
        let is_before = durable < disk.start.index;
        let is_held = held.is_some()
            && server
                .node
                .as_ref()
                .is_some_and(|node| held == node.term_at(durable) || is_covered(node, durable));
        require(term <= hard_state.term && (is_before || is_held), PROMISES, || {
            let end = disk.last();
            format!(
                "{} acknowledges index {durable} in term {term}, its disk holds a log up to {end}",
                server.pair
            )
        })?;
    }
    Ok(())
}

/// A state machine is handed the log once and in order, and nothing that could still change (Raft thesis §3.6.3).
fn applied(server: &Server, commit: LogIndex, runs: Option<&Runs>) -> Result<(), Broken> {
    let Some((first, last)) = runs.and_then(|runs| Some((runs.first()?, runs.last_position()?))) else {
        return Ok(());
    };
    let durable = server.disk.last().index;
    let fits = first == server.applied.next() && last.index <= commit && last.index <= durable;
    require(fits, MACHINES, || {
        format!(
            "{} hands over {first} to {last} behind {}, with commit index {commit} and a log that is durable up to {durable}",
            server.pair, server.applied
        )
    })
}

/// The configuration in force is the last one in the log (Raft thesis §4.1), and a snapshot holds the one in force at its end (§5.1).
pub(super) fn configured(server: &Server) -> Result<(), Broken> {
    let log = server.log();
    let in_force = server.node.as_ref().map(Node::membership);
    require(in_force.is_none_or(|in_force| in_force == log.membership()), MEMBERSHIP, || {
        format!("{} acts by another configuration than the last in its log", server.pair)
    })?;
    has_a_vote(server)?;
    let Some((snapshot, (index, membership))) = log.snapshot.as_ref().zip(log.memberships().first()) else {
        return Ok(());
    };
    let same = snapshot.membership_index == *index && snapshot.membership == *membership;
    require(same, SNAPSHOTS, || {
        format!(
            "{} has a snapshot up to {} with the configuration of index {}, there that of index {index} is in force",
            server.pair, snapshot.last, snapshot.membership_index
        )
    })
}

/// A leader has a vote, or its configuration is not committed yet (Raft thesis §4.2.2).
fn has_a_vote(server: &Server) -> Result<(), Broken> {
    let Some((node, status)) = server.node.as_ref().zip(server.status()) else { return Ok(()) };
    let is_committed = node.membership_index() <= status.commit;
    let has_left = |membership: &Membership| !membership.is_joint() && !membership.is_voter(server.pair);
    let stays = status.role == RoleKind::Leader && is_committed;
    let stays = stays && node.membership().is_some_and(|membership| has_left(membership));
    require(!stays, MEMBERSHIP, || {
        format!("{} leads on, and has no vote in the configuration that is committed", server.pair)
    })
}

/// A state machine becomes what a snapshot says that it was, and never goes back by that (Raft thesis §5.1).
pub(super) fn restored(server: &Server, snapshot: &Snapshot) -> Result<(), Broken> {
    let known = server.node.as_ref().and_then(raft_core::Node::snapshot);
    let is_durable = server.disk.snapshot.as_ref().is_some_and(|held| snapshot.last <= held.last);
    let fits = server.applied < snapshot.last.index && known.is_some_and(|known| **known == *snapshot);
    let fits = fits && is_durable;
    require(fits, MACHINES, || {
        format!("{} restores {} behind {}", server.pair, snapshot.last, server.applied)
    })
}

#[cfg(test)]
mod tests {
    use raft_core::{
        Attempt, Boot, Compaction, Digest, HardState, LogTime, Position, Round, Runs, Snapshot, Versions,
        Write, WriteNumber,
    };

    use super::*;
    use crate::explore::Bounds;
    use crate::explore::names::pair_at;
    use crate::explore::server::Input;
    use crate::explore::space::Space;

    /// A disk is never ahead of its node. Method: a node of term 0 beside a disk of term 1.
    #[test]
    fn disks_are_not_ahead_of_nodes() {
        let space = Space::new(Bounds::default()).unwrap();
        let server = Server::new(&space, pair_at(0)).take(&space, &Input::Start).unwrap().server;
        let mut ahead = server.clone();
        let said =
            |after: &Server| stepped(&server, after, &Ready::default()).map_err(|broken| broken.oracle);
        assert_eq!(said(&ahead), Ok(()));
        ahead.disk.hard_state.term = Term::new(1);
        assert_eq!(said(&ahead), Err(MONOTONE));
    }

    fn packet(space: &Space, term: u64, body: Body) -> Packet {
        Packet {
            cluster: space.founding().cluster_id(),
            from: pair_at(0),
            boot: Boot::new(1),
            to: pair_at(1),
            term: Term::new(term),
            versions: Versions::OURS,
            body,
        }
    }

    /// Goal: a newer term is taken over, but not that of a request for a pre-vote. Method: a server of term 0 and packets of two terms.
    #[test]
    fn newer_terms_are_heard() {
        let space = Space::new(Bounds::default()).unwrap();
        let server = Server::new(&space, pair_at(1)).take(&space, &Input::Start).unwrap().server;
        let beat = Body::Heartbeat { round: Round::new(1), commit: LogIndex::ZERO };
        let ask = Body::RequestPreVote { attempt: Attempt::new(1), last: Position::ZERO };
        for (term, body, expected) in
            [(0, &beat, Ok(())), (1, &beat, Err(MONOTONE)), (1, &ask, Ok(())), (0, &ask, Ok(()))]
        {
            let packets = [packet(&space, 0, beat.clone()), packet(&space, term, body.clone())];
            assert_eq!(heard(&server, &packets).map_err(|broken| broken.oracle), expected, "{term} {body:?}");
        }
    }

    /// Goal: a removal is believed unless it is no newer than a committed configuration with the server in it. Method: a founder that has committed
    /// the founding configuration, or not; removals at and behind it, and one that another configuration comes before.
    #[test]
    fn removals_are_older_or_newer() {
        let space = Space::new(Bounds::default()).unwrap();
        let index = LogIndex::new;
        for (commit, told, expected) in
            [(1, 1, Err(MEMBERSHIP)), (1, 2, Ok(())), (0, 1, Ok(())), (1, 0, Err(MEMBERSHIP))]
        {
            let mut server = Server::new(&space, pair_at(0));
            server.disk.commit = index(commit);
            let server = server.take(&space, &Input::Start).unwrap().server;
            let node = server.node.as_ref().unwrap();
            assert_eq!(node.status().commit, index(commit));
            let told = Event::Removed { index: index(told) };
            let said = |events| {
                let ready = Ready { events, ..Ready::default() };
                removed(pair_at(0), node, &ready).map_err(|broken| broken.oracle)
            };
            assert_eq!(said(vec![told.clone()]), expected, "{commit} {told:?}");
            let membership = space.founding().clone().into();
            let other = Event::Membership { index: index(2), membership };
            assert_eq!(said(vec![other, told]), Ok(()));
        }
    }

    /// Goal: a promise of what an installed snapshot stands for holds while the disk still has the entries themselves, and no promise holds of
    /// what neither has. Method: a node that has installed a snapshot, beside the disk as it was before.
    #[test]
    fn promises_hold_behind_a_snapshot() {
        let space = Space::new(Bounds::default()).unwrap();
        let mut server = Server::new(&space, pair_at(0));
        let hard_state = HardState { term: Term::new(1), vote: None };
        server.disk.hard_state = hard_state;
        let before = server.disk.clone();
        let snapshot = Snapshot {
            cluster: space.founding().cluster_id(),
            last: Position::new(1, 4),
            time: LogTime::ZERO,
            membership: space.founding().clone().into(),
            membership_index: LogIndex::new(1),
            size: 1,
            digest: Digest::new(1),
        };
        let start = snapshot.last;
        let compaction = Some(Box::new(Compaction { snapshot: snapshot.into(), start, discards: true }));
        let (number, entries, refounds) = (WriteNumber::new(1), Runs::new(), None);
        let commit = start.index;
        server.disk.absorb(&Write { number, hard_state, entries, compaction, refounds, commit }).unwrap();
        let mut server = server.take(&space, &Input::Start).unwrap().server;
        server.disk = before;
        let promise = |durable| {
            let (boot, round, held) = (Boot::new(1), None, LogIndex::new(4));
            packet(&space, 1, Body::Acknowledge { boot, round, held, durable: LogIndex::new(durable) })
        };
        assert_eq!(promised(&server, &promise(1)), Ok(()));
        for durable in 2..=4 {
            assert_eq!(promised(&server, &promise(durable)).map_err(|broken| broken.oracle), Err(PROMISES));
        }
    }
}
