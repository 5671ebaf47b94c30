//! The node: what a server knows, how it is started, and what can be looked up. Everything that changes it is in `step`
//! and the files below it; here are the single writers of role, term and vote, and commit index.

use alloc::sync::Arc;
use core::fmt;

use crate::config::{Config, ConfigError};
use crate::disk::Disk;
use crate::fetches::{Fetches, Purpose};
use crate::forwarding::Forwards;
use crate::identity::{ClusterId, Identity, Pair};
use crate::import::Imports;
use crate::leases::Leases;
use crate::log::{Log, log_cluster};
use crate::marks::{Mark, reached};
use crate::membership::{Membership, Votes};
use crate::packet::{Body, Packet, Sender};
use crate::position::{Attempt, LogIndex, LogTime, Position, Round, Term};
use crate::proposals::Proposals;
use crate::reads::Reads;
use crate::ready::{Answer, Event, Fault, Outcome, Ready, RoleKind};
use crate::reconfiguration::PendingChange;
use crate::role::{Due, Role, Transfer};
use crate::snapshot::{Snapshot, Transfers};
use crate::status::{FollowerStatus, Status};
use crate::write::{HardState, Recovered};

/// A server of a Raft cluster, as a value: see the [crate documentation](crate) for how it is driven.
///
/// Two nodes are equal when they would do the same with every message from now on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Node {
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    pub(crate) hard_state: HardState,
    pub(crate) role: Role,
    pub(crate) log: Log,
    pub(crate) disk: Disk,
    pub(crate) commit: LogIndex,
    /// What appends of this term's leader have verified of the log; see `Node::verified`.
    pub(crate) verified: LogIndex,
    pub(crate) applying: Applying,
    /// The latest snapshot: it reaches at least to where the log begins.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    /// Snapshots on their way to followers.
    pub(crate) transfers: Transfers,
    /// Whether a snapshot was asked for since the latest.
    pub(crate) snapshot_wanted: bool,
    /// States made elsewhere that are to be imported.
    pub(crate) imports: Imports,
    /// The index of the entry by which a recovery has made the log that of another cluster: what stands up to it is not for
    /// others. 0 where there was none.
    pub(crate) refounded: LogIndex,
    /// Up to where the disk may have lost a log that was acknowledged, until that is there again.
    pub(crate) lost: Option<Position>,
    pub(crate) fetches: Fetches,
    pub(crate) proposals: Proposals,
    pub(crate) reads: Reads,
    pub(crate) forwards: Forwards,
    /// In which half of the configuration in force this server's vote counts: without a vote it does not campaign.
    pub(crate) votes: Votes,
    /// Whether the configuration in force is joint.
    pub(crate) joint: bool,
    /// Whether this server was told that it is no member any more, and no leader has sent it entries since.
    pub(crate) removed: bool,
    /// The change of the configuration that waits for its answer.
    pub(crate) change: Option<PendingChange>,
    /// The election timeout of this term and attempt, in ticks.
    pub(crate) election_timeout: u32,
    /// Ticks since the election timer was last restarted, at most the election timeout.
    pub(crate) election_elapsed: u32,
    /// The terms of leases in this cluster, once they are known.
    pub(crate) leases: Option<Leases>,
    /// With leases: ticks since a leader was heard or the node was made, at most their election timeout. Else 0.
    pub(crate) since_contact: u32,
    /// Attempts to become leader since a leader was last heard of; saturating.
    pub(crate) campaigns: u32,
    /// The latest attempt that asked for pre-votes.
    pub(crate) attempt: Attempt,
    pub(crate) transfer: Option<Transfer>,
    /// The latest round of heartbeats.
    pub(crate) round: Round,
    pub(crate) fault: Option<Fault>,
    /// What a leader may have to do at the end of the step. Set while messages are taken; nothing between steps.
    pub(crate) due: Due,
}

/// How far the state machine is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Applying {
    /// Up to here it has said that it is.
    pub(crate) applied: LogIndex,
    /// Up to here it was handed entries.
    pub(crate) handed: LogIndex,
}

/// Why a node can not be made of what was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is out of its range.
    Config(ConfigError),
    /// The recovered log is of another cluster.
    OtherCluster {
        /// The cluster of the log.
        log: ClusterId,
        /// The cluster of the identity.
        identity: ClusterId,
    },
    /// What was recovered contradicts itself; the text says in what.
    Recovered(&'static str),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(why) => write!(f, "{why}"),
            StartError::OtherCluster { log, identity } => {
                write!(f, "the log is of cluster {log}, the server of cluster {identity}")
            }
            StartError::Recovered(why) => write!(f, "the recovered state does not hold that {why}"),
        }
    }
}

impl core::error::Error for StartError {}

impl Node {
    /// A node as it is after a start: a follower that knows no leader. Step it with `Tick { elapsed: 0 }` once to learn
    /// what it wants first.
    ///
    /// The boot of `identity` is greater than that of any node made for this pair before, and durable. Nothing is read from anywhere:
    /// `recovered` is all that the node knows of its disk, and of how far its state machine is.
    ///
    /// # Errors
    /// A setting out of range, a log of another cluster, or recovered state that contradicts itself. No node is to run then: see
    /// [`StartError`].
    pub fn new(config: Config, identity: Identity, recovered: Recovered) -> Result<Self, StartError> {
        config.check().map_err(StartError::Config)?;
        let Recovered { hard_state, commit, applied, snapshot, start, terms, memberships, tail, .. } =
            recovered;
        let Recovered { refounded, lost, .. } = recovered;
        if let Some(log) = log_cluster(refounded, snapshot.as_deref(), &memberships)
            && log != identity.cluster
        {
            return Err(StartError::OtherCluster { log, identity: identity.cluster });
        }
        let covered = snapshot.as_ref().map_or(Position::ZERO, |snapshot| snapshot.last);
        if covered.index < start.index {
            return Err(StartError::Recovered("a snapshot stands for what is before the log"));
        }
        if tail.is_empty() && terms.iter().any(|term| start.index < term.first) {
            return Err(StartError::Recovered("the tail is empty only if the log is"));
        }
        let start_time = snapshot.as_ref().map_or(LogTime::ZERO, |snapshot| snapshot.time);
        let log = Log::new((start, start_time), terms, &tail, memberships);
        log.check().map_err(StartError::Recovered)?;
        // A durable state machine may be ahead of the commit index on the disk: what it applied was committed.
        let commit = commit.max(applied).max(covered.index);
        let last = log.last();
        if last.index < commit {
            return Err(StartError::Recovered("what is committed and applied is in the log"));
        }
        if commit.next() < log.tail_first() {
            return Err(StartError::Recovered("all that is not known to be committed is in the tail"));
        }
        if hard_state.term < last.term {
            return Err(StartError::Recovered("no entry has a term above the server's"));
        }
        if hard_state.term < lost.term {
            return Err(StartError::Recovered("the term and the vote are not lost"));
        }
        if lost != Position::ZERO && log.membership().is_none() {
            // It would not know on what terms it has promised things: whether somebody's lease counts on it, for one.
            return Err(StartError::Recovered(
                "who has lost the founding configuration comes back as another server",
            ));
        }
        let mut node = Node {
            config,
            identity,
            hard_state,
            role: Role::IDLE,
            disk: Disk::new(last.index, hard_state),
            log,
            commit,
            verified: LogIndex::ZERO,
            applying: Applying { applied, handed: applied },
            snapshot,
            transfers: Transfers::default(),
            snapshot_wanted: false,
            imports: Imports::default(),
            refounded: refounded.map_or(LogIndex::ZERO, |(index, _)| index),
            lost: (lost != Position::ZERO).then_some(lost),
            fetches: Fetches::default(),
            proposals: Proposals::default(),
            reads: Reads::default(),
            forwards: Forwards::default(),
            votes: Votes::default(),
            joint: false,
            removed: false,
            change: None,
            election_timeout: 0,
            election_elapsed: 0,
            leases: None,
            since_contact: 0,
            campaigns: 0,
            attempt: Attempt::ZERO,
            transfer: None,
            round: Round::ZERO,
            fault: None,
            due: Due::NOTHING,
        };
        node.set_campaigns(0);
        node.note_membership();
        node.invariants().map_err(|broken| StartError::Recovered(broken.rule()))?;
        Ok(node)
    }

    /// Who it is.
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// The settings that it was made with.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What it is and how far it is.
    pub fn status(&self) -> Status {
        Status {
            role: self.role.kind(),
            term: self.hard_state.term,
            vote: self.hard_state.vote,
            leader: self.leader(),
            campaigns: self.campaigns,
            commit: self.commit,
            applied: self.applying.applied,
            start: self.log.start(),
            last: self.log.last(),
            durable: self.disk.durable_end(),
            lost: self.lost,
            fault: self.fault,
        }
    }

    /// What this server, if it leads, knows of each other member, sorted by id; nothing if it does not lead.
    pub fn followers(&self) -> impl Iterator<Item = FollowerStatus> {
        let followers = match &self.role {
            Role::Leader { followers, .. } => &followers[..],
            _ => &[],
        };
        followers.iter().map(|progress| FollowerStatus {
            fetching: self.fetches.is_under_way(Purpose::Follower(progress.pair)),
            ..progress.status()
        })
    }

    /// The latest snapshot, taken here or installed: it stands for all that the log lacks at its beginning. What is older may
    /// be deleted once a write with a [`Compaction`](crate::Compaction) that names this one is durable, but for what is being sent or
    /// restored.
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.snapshot.as_ref()
    }

    /// The configuration in force: the last one in the log, committed or not (Raft thesis §4.1). `None` on a server that
    /// has not heard of its cluster yet.
    pub fn membership(&self) -> Option<&Arc<Membership>> {
        self.log.membership().map(|(_, membership)| membership)
    }

    /// The index of the configuration in force; 0 on a server that has not heard of its cluster yet. A change can be based on
    /// it: see [`Message::Reconfigure`](crate::Message::Reconfigure).
    pub fn membership_index(&self) -> LogIndex {
        self.log.membership().map_or(LogIndex::ZERO, |(index, _)| *index)
    }

    /// The term of the entry at `index` in its log; 0 for index 0. `None` behind the end, and where it has been forgotten: of
    /// what is committed and no longer in memory the latest [`Config::terms_max`] terms are known.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        self.log.position_at(index).map(|position| position.term)
    }

    /// The leader of the node's term, if it knows one.
    pub(crate) fn leader(&self) -> Option<Pair> {
        match &self.role {
            Role::Follower { following, .. } => following.as_ref().map(|following| following.leader),
            Role::PreCandidate { .. } | Role::Candidate { .. } => None,
            Role::Leader { .. } => Some(self.identity.pair),
        }
    }

    /// Takes note of what the configuration in force says of this server.
    pub(crate) fn note_membership(&mut self) {
        let own = self.identity.pair;
        let in_force = self.membership().map(|membership| (membership.votes(own), membership.is_joint()));
        (self.votes, self.joint) = in_force.unwrap_or_default();
        let leases = self.membership().and_then(|membership| membership.leases());
        if self.leases != leases {
            self.leases = leases;
            // No election timeout is shorter than that of leases.
            self.set_campaigns(self.campaigns);
        }
    }

    /// A packet from this server, of its term.
    #[inline]
    pub(crate) fn packet(&self, to: Pair, body: Body) -> Packet {
        Sender::of(&self.identity, self.hard_state.term).packet(to, body)
    }

    /// The only writer of the role. Ends what belonged to the old one: proposals of a leadership that is over are lost.
    pub(crate) fn set_role(&mut self, role: Role, ready: &mut Ready) {
        let (kind_before, leader_before) = (self.role.kind(), self.leader());
        self.role = role;
        if kind_before == RoleKind::Leader {
            self.log.seal();
            self.lose_proposals(ready);
            self.lose_taken(ready);
            self.lose_change(ready);
        }
        let (kind, term) = (self.role.kind(), self.hard_state.term);
        if kind != kind_before {
            ready.events.push(Event::Role { role: kind, term });
        }
        if self.leader() != leader_before {
            if !self.reads.is_empty() {
                self.refuse_reads(ready);
            }
            if self.forwards.is_waiting() {
                self.give_up_forwards(ready);
            }
            ready.events.push(Event::Leader { leader: self.leader(), term });
        }
    }

    /// The only writer of term and vote. A higher term makes a follower without a vote and without a leader of it (Raft
    /// thesis §3.3); within a term a vote is given once and never taken back (B3).
    pub(crate) fn set_hard_state(&mut self, hard_state: HardState, ready: &mut Ready) {
        let before = self.hard_state;
        debug_assert!(before.term <= hard_state.term, "terms never fall");
        debug_assert!(
            before.term < hard_state.term || before.vote.is_none() || before.vote == hard_state.vote,
            "a vote is given once in a term"
        );
        if before.term < hard_state.term {
            // The old role ends in the old term, so that whoever listens hears of both.
            self.set_role(Role::IDLE, ready);
        }
        self.hard_state = hard_state;
        if before.term < hard_state.term {
            self.verified = LogIndex::ZERO;
            self.set_campaigns(self.campaigns);
            ready.events.push(Event::Role { role: RoleKind::Follower, term: hard_state.term });
        }
    }

    /// The only writer of the commit index. Answers the proposals that it covers.
    pub(crate) fn raise_commit(&mut self, commit: LogIndex, ready: &mut Ready) {
        if commit <= self.commit {
            return;
        }
        self.commit = commit;
        while let Some(pending) = self.proposals.pop_up_to(commit) {
            // Proposals wait only under the leadership that appended them, so all their entries are of its term.
            let (term, id) = (self.hard_state.term, pending.id);
            let first = Position { term, index: pending.first };
            let last = Position { term, index: pending.last };
            ready.answers.push(Answer { id, outcome: Outcome::Committed { first, last } });
        }
        if self.forwards.has_taken() {
            let committed = |first, last| Outcome::Committed { first, last };
            self.answer_taken(commit, self.hard_state.term, committed, ready);
        }
    }

    fn lose_proposals(&mut self, ready: &mut Ready) {
        while let Some(pending) = self.proposals.pop_up_to(LogIndex::MAX) {
            let term = self.log.last().term;
            let first = Position { term, index: pending.first };
            let last = Position { term, index: pending.last };
            reached(Mark::ProposalLost);
            ready.answers.push(Answer { id: pending.id, outcome: Outcome::Lost { first, last } });
        }
    }

    /// Halts for good: gives up leadership, answers what waits, promises nothing more.
    pub(crate) fn halt(&mut self, fault: Fault, ready: &mut Ready) {
        if self.fault.is_some() {
            return;
        }
        self.set_role(Role::IDLE, ready);
        self.end_transfer(Outcome::NotTransferred, ready);
        self.fault = Some(fault);
        self.reads.refuse_all(ready);
        self.give_up_forwards(ready);
        ready.events.push(Event::Fault(fault));
    }
}
