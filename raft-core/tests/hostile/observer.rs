//! Who looks at the node from outside. Written from the contract of the crate, not from its code: what may leave when, what
//! is answered how often, what is applied in which order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use raft_core::{
    Answer, Body, Config, Event, Fault, Fetch, LogIndex, Membership, Node, Outcome, Packet, Position, Ready,
    Refusal, RequestId, RoleKind, Runs, Status, Term,
};

use super::Disk;
use super::imports::Imports;
use super::reads::Reads;
use super::snapshots::{Snapshots, installs};

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
    /// Up to where the state machine was handed entries, or restored.
    pub handed: LogIndex,
    /// Up to where the node has called its log committed in this boot, and the terms of the entries, as far as it said them.
    committed: (LogIndex, BTreeMap<LogIndex, Term>),
    /// Up to where at most the node has acknowledged the log of the leader of a term in this boot, and the term.
    promised: (Term, LogIndex),
    /// The configuration in force, as events have told.
    membership: (LogIndex, Option<Arc<Membership>>),
    pub snapshots: Snapshots,
    pub imports: Imports,
    pub reads: Reads,
    /// Proposals for whoever leads that are not answered.
    pub forwards: BTreeSet<RequestId>,
    /// Whether the driver has lied in this story.
    pub lied: bool,
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
    /// How many proposals for whoever leads were not refused.
    pub forwards: u32,
    /// How many reads were not refused.
    pub reads: u32,
    /// How many imports were taken into the log.
    pub imports: u32,
    /// How many members were removed because they stayed dead.
    pub dead: u32,
    /// How many snapshots of the own state machine the node has taken over.
    pub taken: u32,
    /// How many snapshots it was to send.
    pub sent: u32,
    /// How many took the place of a log that was shorter.
    pub installed_shorter: u32,
    /// How many took the place of a log that contradicted them.
    pub installed_against: u32,
    /// How many its state machine was restored from.
    pub restored: u32,
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
            committed: (status.commit, terms(disk, status.start.index, status.commit)),
            promised: (Term::ZERO, LogIndex::ZERO),
            membership: (node.membership_index(), node.membership().cloned()),
            snapshots: Snapshots::of(node),
            imports: Imports::default(),
            reads: Reads::default(),
            forwards: BTreeSet::new(),
            lied: false,
            seen: Seen { roles: vec![status.role], ..Seen::default() },
        }
    }

    /// Goes on with a node that was started again.
    pub fn restarted(&mut self, node: &Node, disk: &Disk) {
        let before = std::mem::replace(self, Observer::new(node, disk));
        (self.lied, self.seen, self.snapshots) = (before.lied, before.seen, before.snapshots);
        self.imports = before.imports;
        self.snapshots.restarted(node);
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
        self.blamed(before, &now);
        for packet in &ready.send {
            promise_is_kept(packet, node, disk, single);
        }
        self.promises_stay(ready, disk);
        for answer in &ready.answers {
            self.answered(answer, node, installs(ready).next().is_some());
        }
        let waiting = now.role == RoleKind::Leader || self.proposals.is_empty();
        assert!(waiting, "who does not lead leaves no proposal without an answer");
        assert!(self.transfers.len() <= 1, "one transfer at a time");
        let joint =
            |event: &&Event| matches!(event, Event::Membership { membership, .. } if membership.is_joint());
        self.seen.imports += self.imports.observe(ready);
        let dead = |event: &&Event| matches!(event, Event::DeadRemoved { .. });
        self.seen.dead += ready.events.iter().filter(dead).count() as u32;
        self.seen.joint += ready.events.iter().filter(joint).count() as u32;
        assert!(self.changes.len() <= 1, "one change at a time");
        let changing = now.role == RoleKind::Leader || self.changes.is_empty();
        assert!(changing, "who does not lead leaves no change without an answer");
        self.fetched(ready, node, disk);
        self.committed(before, node);
        if let Some(entries) = &ready.apply {
            self.applied(entries, node, disk);
        }
        self.snapshots_seen(before, node, ready, disk, single);
        self.changed(before, &now, ready);
        self.configured(node, ready);
    }

    /// A driver that does what it is told is not blamed for anything.
    fn blamed(&self, before: &Status, now: &Status) {
        use Fault::{FetchFailed, UnknownApplied, UnknownFetch, UnknownSnapshot, UnknownWrite, WriteFailed};
        let blamed = now.fault.filter(|fault| {
            matches!(
                fault,
                WriteFailed | FetchFailed | UnknownWrite | UnknownApplied | UnknownFetch | UnknownSnapshot
            )
        });
        let honest = before.fault.is_some() || self.lied;
        assert!(blamed.is_none() || honest, "an honest driver is blamed: {blamed:?}");
    }

    /// What was acknowledged to the leader of a term stays on the disk while the term lasts, in the log or in a snapshot.
    fn promises_stay(&mut self, ready: &Ready, disk: &Disk) {
        for packet in &ready.send {
            if let Body::Acknowledge { durable, .. } = packet.body
                && self.promised < (packet.term, durable)
            {
                self.promised = (packet.term, durable);
            }
        }
        let (term, durable) = self.promised;
        let kept = disk.hard_state.term != term || durable.raw() <= disk.end();
        assert!(kept, "what was acknowledged stays durable");
    }

    fn snapshots_seen(&mut self, before: &Status, node: &Node, ready: &Ready, disk: &Disk, single: bool) {
        self.snapshots.compacted(before, node, ready);
        self.snapshots.installed(before, node, ready, single);
        self.seen.taken += u32::from(self.snapshots.taken_over(node, ready));
        self.snapshots.sent(node, ready);
        self.seen.sent += ready.snapshots.len() as u32;
        for last in installs(ready) {
            let shorter = before.last.index < last.index;
            self.seen.installed_shorter += u32::from(shorter);
            self.seen.installed_against += u32::from(!shorter);
        }
        if let Some(snapshot) = &ready.restore {
            assert_eq!(ready.apply, None, "the state machine does one thing at a time");
            assert_eq!(self.applying, None, "the state machine is restored when it has nothing to do");
            self.snapshots.restored(snapshot, self.handed, node, disk);
            self.handed = snapshot.last.index;
            self.applying = Some(self.handed);
            self.seen.restored += 1;
        }
    }

    /// The configuration in force is the last that was told.
    fn configured(&mut self, node: &Node, ready: &Ready) {
        for event in &ready.events {
            if let Event::Membership { index, membership } = event {
                self.membership = (*index, Some(Arc::clone(membership)));
            }
        }
        let now = (node.membership_index(), node.membership().cloned());
        assert!(self.membership == now, "an event tells of another configuration");
    }

    fn halted(&self, ready: &Ready) {
        let refusals = Ready { answers: ready.answers.clone(), ..Ready::default() };
        assert_eq!(*ready, refusals, "a halted node only refuses");
        let halted = Outcome::Refused(Refusal::Halted);
        let all = ready.answers.iter().all(|answer| answer.outcome == halted);
        assert!(all, "a halted node says that it has halted");
    }

    fn answered(&mut self, answer: &Answer, node: &Node, installed: bool) {
        if self.reads.answered(answer, node) {
            self.seen.reads += u32::from(!matches!(answer.outcome, Outcome::Refused(_)));
            return;
        }
        if self.forwards.remove(&answer.id) {
            // What a leader says of another log can not be judged here.
            let known = match &answer.outcome {
                Outcome::Committed { first, last }
                | Outcome::Lost { first, last }
                | Outcome::Replaced { first, last } => first.index <= last.index,
                outcome => matches!(outcome, Outcome::Refused(_) | Outcome::Unanswered),
            };
            assert!(known, "{answer:?} is no answer to a proposal");
            self.seen.forwards += u32::from(!matches!(answer.outcome, Outcome::Refused(_)));
            return;
        }
        if self.transfers.remove(&answer.id) {
            return self.transfer_answered(&answer.outcome, node);
        }
        if self.changes.remove(&answer.id) {
            return self.change_answered(&answer.outcome, node, installed);
        }
        let Some(commands) = self.proposals.remove(&answer.id) else {
            panic!("the answer {answer:?} to no question");
        };
        let (first, last) = match answer.outcome {
            Outcome::Committed { first, last }
            | Outcome::Lost { first, last }
            | Outcome::Replaced { first, last } => (first, last),
            Outcome::Refused(_) => return,
            ref other => panic!("{other:?} is no answer to a proposal"),
        };
        assert_eq!(last.index.since(first.index) + 1, commands, "a proposal is appended whole");
        assert_eq!(first.term, last.term, "a proposal is appended in one term");
        if let Outcome::Committed { .. } = answer.outcome {
            assert!(last.index <= node.status().commit, "committed means committed");
            let there = node.term_at(last.index) == Some(last.term) || is_forgotten(node, last.index);
            assert!(there, "and is in the log");
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

    fn change_answered(&mut self, outcome: &Outcome, node: &Node, installed: bool) {
        match outcome {
            Outcome::Refused(_) | Outcome::Lost { .. } => {}
            Outcome::Unchanged { index } => {
                // More may have come in the same step, and the snapshot of a peer that lies have undone it.
                assert!(installed || *index <= node.membership_index(), "it is so already");
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
            let there = node.status().start.index < fetch.first && fetch.last.raw() <= disk.end();
            assert!(there && fetch.first <= fetch.last, "{fetch:?} is of what the disk has");
            assert!(fetch.bytes_max <= node.config().fetch_bytes_max, "{fetch:?} is within its limit");
            self.fetches.push_back(*fetch);
        }
    }

    fn committed(&mut self, before: &Status, node: &Node) {
        let Status { commit, start, .. } = node.status();
        assert!(before.commit <= commit, "the commit index never falls");
        let (known, terms) = &mut self.committed;
        // Of what an installed snapshot covers only the term of its end is known.
        for index in known.next().max(start.index).raw()..=commit.raw() {
            let index = LogIndex::new(index);
            if !is_forgotten(node, index) {
                terms.insert(index, node.term_at(index).expect("what is committed is in the log"));
            }
        }
        *known = commit;
        let same = |(index, term): (&LogIndex, &Term)| match node.term_at(*index) {
            Some(now) => now == *term,
            None => *index < start.index || is_forgotten(node, *index),
        };
        assert!(terms.iter().all(same), "committed entries stay");
        terms.retain(|index, _| start.index <= *index);
    }

    fn applied(&mut self, entries: &Runs, node: &Node, disk: &Disk) {
        assert_eq!(self.applying, None, "one batch is applied at a time");
        assert!(!entries.is_empty(), "a batch to apply is not empty");
        for (position, entry) in entries.entries() {
            assert_eq!(position.index, self.handed.next(), "entries are applied in order, each once");
            assert!(position.index <= node.status().commit, "what is applied is committed");
            self.handed = position.index;
            self.snapshots.handed_out(position, entry.time);
            if !node.config().apply_before_durable {
                let durable = disk.entry(position.index);
                let same = durable.is_some_and(|(term, durable)| (*term, durable) == (position.term, entry));
                assert!(same || disk.covers(position.index), "what is applied at {position} is durable");
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

/// The terms of the durable entries from one index to another.
fn terms(disk: &Disk, from: LogIndex, to: LogIndex) -> BTreeMap<LogIndex, Term> {
    let entries = disk.entries().filter(|(index, _)| from <= *index && *index <= to);
    entries.map(|(index, (term, _))| (index, *term)).collect()
}

/// Whether the node may have forgotten the term of this entry: where it keeps few of them, and the entry is committed.
fn is_forgotten(node: &Node, index: LogIndex) -> bool {
    node.config().terms_max < Config::default().terms_max
        && index <= node.status().commit
        && node.term_at(index).is_none()
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
            assert!(durable.raw() <= disk.end(), "what is acknowledged is durable");
            // Later messages of the same step may have moved on to another leader's log.
            let mut log = disk.entries().take_while(|(index, _)| index <= durable);
            let same = |(index, (term, _)): (LogIndex, &(Term, _))| match node.term_at(index) {
                Some(now) => now == *term,
                None => index < node.status().start.index || is_forgotten(node, index),
            };
            assert!(!single || log.all(same), "what is acknowledged is what is durable");
        }
        Body::Append { previous, entries, .. } => {
            assert!(!entries.is_empty(), "an append carries entries");
            let there = |position: Position| {
                // A later message of the same step may have compacted it away.
                let compacted = !single && position.index < node.status().start.index;
                compacted
                    || node.term_at(position.index) == Some(position.term)
                    || is_forgotten(node, position.index)
            };
            let all = entries.entries().all(|(position, _)| there(position));
            assert!(all && there(*previous), "leaders send their log");
        }
        _ => {}
    }
}
