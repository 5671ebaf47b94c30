//! What must hold of every node at every moment (of one state), and from one step to the next (of two), after the page of
//! invariants in LogCabin. Checked after every step in debug builds, in the simulator and under fuzzing.

use core::fmt;

use crate::node::Node;
use crate::position::{LogIndex, Term};
use crate::ready::RoleKind;
use crate::role::Role;
use crate::write::HardState;

/// An invariant that does not hold: a bug in this crate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken(&'static str);

impl Broken {
    /// What should hold, in words.
    pub const fn rule(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it does not hold that {}", self.0)
    }
}

impl core::error::Error for Broken {}

const fn hold(condition: bool, rule: &'static str) -> Result<(), Broken> {
    if condition { Ok(()) } else { Err(Broken(rule)) }
}

impl Node {
    /// Checks everything that must hold of a node at any moment. Costs time in proportion to the log in memory.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn invariants(&self) -> Result<(), Broken> {
        let last = self.log.last();
        self.log.check().map_err(Broken)?;
        self.disk.check(last.index, self.config.writes_outstanding_max).map_err(Broken)?;
        self.reads.check(self.config.reads_max).map_err(Broken)?;
        self.proposals.check(self.commit, last.index).map_err(Broken)?;
        hold(last.term <= self.hard_state.term, "no entry has a term above the server's")?;
        hold(self.commit <= last.index, "what is committed is in the log")?;
        hold(self.verified <= last.index, "what is verified is in the log")?;
        let own = self.identity.pair;
        let votes = self.membership().map(|membership| membership.votes(own)).unwrap_or_default();
        hold(self.votes == votes, "a server knows whether it is a voter")?;
        let joint = self.membership().is_some_and(|membership| membership.is_joint());
        hold(self.joint == joint, "a server knows whether its configuration is joint")?;
        let covered = self.snapshot.as_ref().map_or(LogIndex::ZERO, |snapshot| snapshot.last.index);
        hold(self.log.start().index <= covered, "a snapshot stands for what is before the log")?;
        hold(covered <= self.commit, "what a snapshot covers is committed")?;
        let applying = self.applying;
        hold(applying.applied <= applying.handed, "what is applied was handed out")?;
        hold(applying.handed <= self.commit, "what is handed out is committed")?;
        let durable = self.disk.durable_hard_state();
        hold(durable.term <= self.hard_state.term, "no durable term is above the server's")?;
        let same_vote = durable.vote.is_none() || durable.vote == self.hard_state.vote;
        hold(durable.term < self.hard_state.term || same_vote, "a durable vote of the term is the vote")?;
        self.role_invariants(last.index)?;
        let leads = matches!(self.role, Role::Leader { .. });
        self.forwards.check(leads, last.index).map_err(Broken)?;
        hold(leads || self.proposals.len() == 0, "only a leader has proposals that wait")?;
        hold(leads || self.change.is_none(), "only a leader has a change that waits")?;
        let idle = matches!(self.role, Role::Follower { following: None, .. });
        hold(self.fault.is_none() || idle, "a halted node follows nobody and leads nobody")
    }

    fn role_invariants(&self, last: LogIndex) -> Result<(), Broken> {
        let own = self.identity.pair;
        match &self.role {
            Role::Follower { following, vote_owed } => {
                let owed = vote_owed.map(|(candidate, _)| candidate);
                hold(owed.is_none() || owed == self.hard_state.vote, "an owed vote is the vote")?;
                let Some(following) = following else { return Ok(()) };
                hold(following.leader != own, "nobody follows itself")?;
                hold(following.acknowledged <= self.verified(), "what is acknowledged is verified")?;
                let durable = self.disk.durable_end();
                hold(following.acknowledged <= durable, "what is acknowledged is durable")
            }
            Role::PreCandidate { granted, .. } => {
                hold(granted.is_sorted(), "votes are sorted by pair")?;
                hold(granted.contains(&own), "a pre-candidate is for itself")?;
                hold(self.votes.any() || self.had_vote(), "only voters try to become leader")
            }
            Role::Candidate { announced, granted, .. } => {
                hold(granted.is_sorted(), "votes are sorted by pair")?;
                hold(self.hard_state.vote == Some(own), "a candidate votes for itself")?;
                hold(*announced || granted.is_empty(), "no vote comes before votes are asked for")?;
                let durable = self.disk.durable_hard_state() == self.hard_state;
                hold(!announced || durable, "votes are asked for once the own vote is durable")
            }
            Role::Leader { followers, lease, .. } => {
                lease.check(self.round).map_err(Broken)?;
                hold(self.hard_state.vote == Some(own), "a leader has voted for itself")?;
                let sorted = followers.windows(2).all(|two| two[0].pair < two[1].pair);
                hold(sorted, "a leader's followers are sorted by id")?;
                let members = || self.membership().into_iter().flat_map(|membership| membership.members());
                let others = members().filter(|server| server.pair != own).count();
                hold(others == followers.len(), "a leader's followers are the other members")?;
                let known = followers.iter().all(|follower| {
                    let votes = self.membership().map(|membership| membership.votes(follower.pair));
                    votes == Some(follower.votes)
                });
                hold(known, "a leader knows whose votes count")?;
                let packets_max = self.config.in_flight_packets_max;
                followers.iter().try_for_each(|p| p.check(last, packets_max).map_err(Broken))
            }
        }
    }
}

/// What of a node must be kept in mind to compare it with itself one step later.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    hard_state: HardState,
    durable_term: Term,
    role: RoleKind,
    commit: LogIndex,
    applied: LogIndex,
    last: LogIndex,
    halted: bool,
}

impl Before {
    pub(crate) fn of(node: &Node) -> Self {
        Before {
            hard_state: node.hard_state,
            durable_term: node.disk.durable_hard_state().term,
            role: node.role.kind(),
            commit: node.commit,
            applied: node.applying.applied,
            last: node.log.last().index,
            halted: node.fault.is_some(),
        }
    }

    /// Checks what must hold between a node and itself after a step.
    pub(crate) fn invariants(self, after: &Node) -> Result<(), Broken> {
        let now = Before::of(after);
        hold(self.hard_state.term <= now.hard_state.term, "terms never fall")?;
        let same_term = self.hard_state.term == now.hard_state.term;
        let vote_kept = self.hard_state.vote.is_none() || self.hard_state.vote == now.hard_state.vote;
        hold(!same_term || vote_kept, "a vote is given once in a term")?;
        hold(self.durable_term <= now.durable_term, "durable terms never fall")?;
        hold(self.commit <= now.commit, "the commit index never falls")?;
        hold(self.applied <= now.applied, "the applied index never falls")?;
        let led = self.role == RoleKind::Leader && now.role == RoleKind::Leader && same_term;
        hold(!led || self.last <= now.last, "a leader never shortens its log")?;
        hold(!self.halted || now.halted, "a halted node stays so")
    }
}
