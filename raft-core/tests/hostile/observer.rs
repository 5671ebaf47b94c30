//! Who looks at the node from outside. Written from the contract of the crate, not from its code: what may leave when, what
//! is answered how often, what is applied in which order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use raft_core::{
    Answer, Body, Event, Fetch, LogIndex, Node, Outcome, Packet, Ready, Refusal, RequestId, RoleKind, Runs,
    Status, Term,
};

use super::Disk;

pub struct Observer {
    /// Proposals that are not answered yet, with how many commands they have.
    proposals: BTreeMap<RequestId, u64>,
    /// Transfers that are not answered yet.
    transfers: BTreeSet<RequestId>,
    /// Changes of the configuration that are not answered yet.
    changes: BTreeSet<RequestId>,
    fetches: VecDeque<Fetch>,
    fetch_number: u64,
    /// The end of the batch that the state machine works on.
    pub applying: Option<LogIndex>,
    /// Up to where the state machine was handed entries.
    handed: LogIndex,
    /// The terms of the entries that the node has called committed in this boot.
    committed: Vec<Term>,
    pub seen: Seen,
}

/// What has happened in a story, over all boots.
#[derive(Clone, Default)]
pub struct Seen {
    /// Every role that the node has had.
    pub roles: Vec<RoleKind>,
    /// How many transfers were begun and have ended.
    pub transfers: u32,
    /// How many of them with the leadership handed over.
    pub handed_over: u32,
    /// How many changes were committed.
    pub changes: u32,
    /// How many joint configurations came into force.
    pub joint: u32,
    /// How many fetches were asked for.
    pub fetches: u32,
}

impl Observer {
    pub fn new(node: &Node, disk: &Disk) -> Self {
        let status = node.status();
        Observer {
            proposals: BTreeMap::new(),
            transfers: BTreeSet::new(),
            changes: BTreeSet::new(),
            fetches: VecDeque::new(),
            fetch_number: 0,
            applying: None,
            handed: status.applied,
            committed: disk.log[..status.commit.raw() as usize].iter().map(|(term, _)| *term).collect(),
            seen: Seen { roles: vec![status.role], ..Seen::default() },
        }
    }

    pub fn proposed(&mut self, id: RequestId, commands: u64) {
        self.proposals.insert(id, commands);
    }

    pub fn transfer_asked(&mut self, id: RequestId) {
        self.transfers.insert(id);
    }

    pub fn change_asked(&mut self, id: RequestId) {
        self.changes.insert(id);
    }

    pub fn take_fetch(&mut self) -> Option<Fetch> {
        self.fetches.pop_front()
    }

    /// Looks at one step. `single` says that it was one message's alone.
    pub fn observe(&mut self, before: &Status, node: &Node, ready: &Ready, disk: &Disk, single: bool) {
        let now = node.status();
        if before.fault.is_some() {
            self.halted(ready);
        }
        for packet in &ready.send {
            promise_is_kept(packet, node, disk, single);
        }
        for answer in &ready.answers {
            self.answered(answer, node);
        }
        let waiting = now.role == RoleKind::Leader || self.proposals.is_empty();
        assert!(waiting, "who does not lead leaves no proposal without an answer");
        assert!(self.transfers.len() <= 1, "one transfer at a time");
        let joint =
            |event: &&Event| matches!(event, Event::Membership { membership, .. } if membership.is_joint());
        self.seen.joint += ready.events.iter().filter(joint).count() as u32;
        assert!(self.changes.len() <= 1, "one change at a time");
        let changing = now.role == RoleKind::Leader || self.changes.is_empty();
        assert!(changing, "who does not lead leaves no change without an answer");
        self.fetched(ready, node, disk);
        self.committed(before, node);
        if let Some(entries) = &ready.apply {
            self.applied(entries, node, disk);
        }
        self.changed(before, &now, ready);
    }

    fn halted(&self, ready: &Ready) {
        let refusals = Ready { answers: ready.answers.clone(), ..Ready::default() };
        assert_eq!(*ready, refusals, "a halted node only refuses");
        let halted = Outcome::Refused(Refusal::Halted);
        let all = ready.answers.iter().all(|answer| answer.outcome == halted);
        assert!(all, "a halted node says that it has halted");
    }

    fn answered(&mut self, answer: &Answer, node: &Node) {
        if self.transfers.remove(&answer.id) {
            return self.transfer_answered(&answer.outcome, node);
        }
        if self.changes.remove(&answer.id) {
            return self.change_answered(&answer.outcome, node);
        }
        let Some(commands) = self.proposals.remove(&answer.id) else {
            panic!("the answer {answer:?} to no question");
        };
        let (first, last) = match answer.outcome {
            Outcome::Committed { first, last } | Outcome::Lost { first, last } => (first, last),
            Outcome::Refused(_) => return,
            ref other => panic!("{other:?} is no answer to a proposal"),
        };
        assert_eq!(last.index.since(first.index) + 1, commands, "a proposal is appended whole");
        assert_eq!(first.term, last.term, "a proposal is appended in one term");
        if let Outcome::Committed { .. } = answer.outcome {
            assert!(last.index <= node.status().commit, "committed means committed");
            assert_eq!(node.term_at(last.index), Some(last.term), "and is in the log");
        }
    }

    fn transfer_answered(&mut self, outcome: &Outcome, node: &Node) {
        match outcome {
            Outcome::Refused(_) => return,
            Outcome::Transferred { leader } => {
                assert_ne!(*leader, node.identity().pair, "who hands over is not the one who has it then");
                self.seen.handed_over += 1;
            }
            Outcome::NotTransferred => {}
            other => panic!("{other:?} is no answer to a transfer"),
        }
        self.seen.transfers += 1;
    }

    fn change_answered(&mut self, outcome: &Outcome, node: &Node) {
        match outcome {
            Outcome::Refused(_) | Outcome::Lost { .. } => {}
            Outcome::Unchanged { index } => {
                // More may have come in the same step.
                assert!(*index <= node.membership_index(), "it is so already");
            }
            Outcome::Committed { first, last } => {
                assert!(last.index <= node.status().commit, "committed means committed");
                assert_eq!(first.term, last.term, "a change is appended in one term");
                self.seen.changes += 1;
            }
            other => panic!("{other:?} is no answer to a change"),
        }
    }

    fn fetched(&mut self, ready: &Ready, node: &Node, disk: &Disk) {
        for fetch in &ready.fetch {
            self.fetch_number += 1;
            self.seen.fetches += 1;
            assert_eq!(fetch.number.raw(), self.fetch_number, "fetches are numbered in order");
            let there = LogIndex::ZERO < fetch.first && fetch.last.raw() <= disk.log.len() as u64;
            assert!(there && fetch.first <= fetch.last, "{fetch:?} is of what the disk has");
            assert!(fetch.bytes_max <= node.config().fetch_bytes_max, "{fetch:?} is within its limit");
            self.fetches.push_back(*fetch);
        }
    }

    fn committed(&mut self, before: &Status, node: &Node) {
        let commit = node.status().commit;
        assert!(before.commit <= commit, "the commit index never falls");
        for index in self.committed.len() as u64 + 1..=commit.raw() {
            let term = node.term_at(LogIndex::new(index));
            self.committed.push(term.expect("what is committed is in the log"));
        }
        let same = |(nth, term): (usize, &Term)| node.term_at(LogIndex::new(nth as u64 + 1)) == Some(*term);
        assert!(self.committed.iter().enumerate().all(same), "committed entries stay");
    }

    fn applied(&mut self, entries: &Runs, node: &Node, disk: &Disk) {
        assert_eq!(self.applying, None, "one batch is applied at a time");
        assert!(!entries.is_empty(), "a batch to apply is not empty");
        for (position, entry) in entries.entries() {
            assert_eq!(position.index, self.handed.next(), "entries are applied in order, each once");
            assert!(position.index <= node.status().commit, "what is applied is committed");
            self.handed = position.index;
            if !node.config().apply_before_durable {
                let durable = disk.log.get(position.index.raw() as usize - 1);
                let same = durable.is_some_and(|(term, durable)| (*term, durable) == (position.term, entry));
                assert!(same, "what is applied at {position} is durable");
            }
        }
        self.applying = Some(self.handed);
    }

    /// Events tell what has changed: the last of a kind says how it is now, and without one it is as before.
    fn changed(&mut self, before: &Status, now: &Status, ready: &Ready) {
        let role = ready.events.iter().rev().find_map(|event| match event {
            Event::Role { role, term } => Some((*role, *term)),
            _ => None,
        });
        assert_eq!(role.unwrap_or((before.role, before.term)), (now.role, now.term));
        let leader = ready.events.iter().rev().find_map(|event| match event {
            Event::Leader { leader, .. } => Some(*leader),
            _ => None,
        });
        assert_eq!(leader.unwrap_or(before.leader), now.leader);
        if !self.seen.roles.contains(&now.role) {
            self.seen.roles.push(now.role);
        }
    }
}

/// A vote, a request for votes and an acknowledgement are promises: what they say is durable before they leave.
pub fn promise_is_kept(packet: &Packet, node: &Node, disk: &Disk, single: bool) {
    let own = node.identity();
    assert_eq!((packet.cluster, packet.from, packet.boot), (own.cluster, own.pair, own.boot));
    assert_ne!(packet.to, own.pair, "nobody writes to itself");
    let vote = (disk.hard_state.term, disk.hard_state.vote);
    match &packet.body {
        Body::Vote { granted: true, .. } => {
            assert_eq!(vote, (packet.term, Some(packet.to)), "a vote that leaves is durable");
        }
        Body::RequestVote { .. } => {
            assert_eq!(
                vote,
                (packet.term, Some(own.pair)),
                "the own vote is durable before others are asked"
            );
        }
        Body::Acknowledge { durable, held, .. } => {
            assert!(durable <= held, "what is acknowledged is verified");
            if LogIndex::ZERO < *durable {
                assert!(packet.term <= disk.hard_state.term, "the term of an acknowledgement is durable");
            }
            let end = durable.raw() as usize;
            assert!(end <= disk.log.len(), "what is acknowledged is durable");
            // Later messages of the same step may have moved on to another leader's log.
            let log = disk.log[..end].iter().enumerate();
            let same = |(nth, (term, _)): (usize, &(Term, _))| {
                node.term_at(LogIndex::new(nth as u64 + 1)) == Some(*term)
            };
            assert!(!single || log.into_iter().all(same), "what is acknowledged is what is durable");
        }
        Body::Append { previous, entries, .. } => {
            assert!(!entries.is_empty(), "an append carries entries");
            let all =
                entries.entries().all(|(position, _)| node.term_at(position.index) == Some(position.term));
            assert!(all && node.term_at(previous.index) == Some(previous.term), "leaders send their log");
        }
        _ => {}
    }
}
