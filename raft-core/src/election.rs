//! Leader election (Raft thesis §3.4 and §3.6.1).
//!
//! A candidate's own vote, like any other, counts for nothing before it is durable: it asks for votes only then. A voter
//! gives its vote at once, but says so only when that is durable. Both are derived at the end of a step from what is durable,
//! never queued, so that no vote can be told twice over or after its term.

use alloc::vec::Vec;

use crate::entry::{Entry, Payload};
use crate::identity::{Boot, Pair};
use crate::node::Node;
use crate::packet::{Body, Packet};
use crate::position::{LogIndex, Position};
use crate::progress::Progress;
use crate::quorum;
use crate::ready::{Fault, Ready};
use crate::role::Role;
use crate::timeouts::election_timeout;
use crate::write::HardState;

impl Node {
    /// The election timeout that runs now, in ticks.
    pub(crate) fn election_timeout(&self) -> u32 {
        election_timeout(&self.config, self.identity.pair.id, self.hard_state.term, self.attempt)
    }

    /// Lets the election timer run, and campaigns when it has run out.
    pub(crate) fn tick_election(&mut self, elapsed: u32, ready: &mut Ready) {
        if !self.is_voter() {
            return;
        }
        let timeout = self.election_timeout();
        self.election_elapsed = self.election_elapsed.saturating_add(elapsed).min(timeout);
        if let Role::Candidate { since_announced, announced: true, .. } = &mut self.role {
            // Requests may be lost. Who has not answered is asked again at the pace of heartbeats.
            *since_announced = since_announced.saturating_add(elapsed).min(self.config.heartbeat_ticks);
            if *since_announced == self.config.heartbeat_ticks {
                self.ask_for_votes(ready);
            }
        }
        // With a disk that stands still the server could not lead: its vote for itself would never count.
        if timeout <= self.election_elapsed && !self.disk.is_stalled(self.config.disk_stall_ticks) {
            self.campaign(ready);
        }
    }

    /// Begins an election: the next term, and a vote for itself.
    fn campaign(&mut self, ready: &mut Ready) {
        let Some(term) = self.hard_state.term.next() else {
            return self.halt(Fault::Exhausted, ready);
        };
        self.set_hard_state(HardState { term, vote: Some(self.identity.pair) }, ready);
        let role = Role::Candidate { announced: false, granted: Vec::new(), since_announced: 0 };
        self.set_role(role, ready);
        self.election_elapsed = 0;
        self.attempt = self.attempt.saturating_add(1);
    }

    /// Asks for votes once the candidate's own vote is durable, and counts that vote.
    pub(crate) fn derive_candidacy(&mut self, ready: &mut Ready) {
        let durable = self.disk.durable_hard_state() == self.hard_state;
        if let Role::Candidate { announced, granted, .. } = &mut self.role
            && !*announced
            && durable
        {
            *announced = true;
            granted.push(self.identity.pair);
            self.ask_for_votes(ready);
            self.count_votes(ready);
        }
    }

    fn ask_for_votes(&mut self, ready: &mut Ready) {
        let last = self.log.last();
        let Role::Candidate { granted, since_announced, .. } = &mut self.role else {
            return;
        };
        *since_announced = 0;
        let asked = self.log.membership().map(|(_, membership)| membership);
        for voter in asked.into_iter().flat_map(|membership| membership.voters()) {
            if !granted.contains(&voter) && voter != self.identity.pair {
                ready.send.push(Packet {
                    cluster: self.identity.cluster,
                    from: self.identity.pair,
                    boot: self.identity.boot,
                    to: voter,
                    term: self.hard_state.term,
                    body: Body::RequestVote { last },
                });
            }
        }
    }

    /// A candidate of this server's term asks for its vote.
    pub(crate) fn vote_requested(&mut self, candidate: Pair, boot: Boot, last: Position, ready: &mut Ready) {
        let free = self.hard_state.vote.is_none_or(|vote| vote == candidate);
        // The voter's log must not be more up-to-date than the candidate's (Raft thesis §3.6.1). Positions are ordered by
        // term and then index; each compared alone would let a candidate win that lacks committed entries (B1).
        let granted = free && self.log.last() <= last;
        match &mut self.role {
            Role::Follower { vote_owed, .. } if granted => {
                *vote_owed = Some((candidate, boot));
                let hard_state = HardState { vote: Some(candidate), ..self.hard_state };
                self.set_hard_state(hard_state, ready);
                self.election_elapsed = 0;
            }
            // A refusal promises nothing.
            _ => {
                let refusal = self.packet(candidate, Body::Vote { boot, granted: false });
                ready.send.push(refusal);
            }
        }
    }

    /// Tells a candidate of its vote, once that is durable.
    pub(crate) fn derive_vote(&mut self, ready: &mut Ready) {
        let durable = self.disk.durable_hard_state() == self.hard_state;
        if let Role::Follower { vote_owed, .. } = &mut self.role
            && durable
            && let Some((candidate, boot)) = vote_owed.take()
        {
            let vote = self.packet(candidate, Body::Vote { boot, granted: true });
            ready.send.push(vote);
        }
    }

    /// A vote of this server's term has come.
    pub(crate) fn vote_received(&mut self, from: Pair, boot: Boot, granted: bool, ready: &mut Ready) {
        if boot != self.identity.boot || !granted {
            return;
        }
        // Nobody can have been asked before the candidate's own vote was durable.
        if let Role::Candidate { granted, announced: true, .. } = &mut self.role {
            if !granted.contains(&from) && self.log.membership().is_some_and(|(_, m)| m.is_voter(from)) {
                granted.push(from);
            }
            self.count_votes(ready);
        }
    }

    fn count_votes(&mut self, ready: &mut Ready) {
        let Role::Candidate { granted, .. } = &self.role else {
            return;
        };
        let Some(membership) = self.membership() else {
            return;
        };
        // Without its own vote, which is not durable before it is announced, there is no win.
        let elected = granted.contains(&self.identity.pair)
            && quorum::is_quorum(membership.voters(), |voter| granted.contains(&voter));
        if elected {
            self.lead(ready);
        }
    }

    /// Becomes leader of its term, and appends the no-op by which it commits what came before (Raft thesis §3.6.2).
    fn lead(&mut self, ready: &mut Ready) {
        if self.log.last().index == LogIndex::MAX {
            return self.halt(Fault::Exhausted, ready);
        }
        let next = self.log.last().index.next();
        let others = self.membership().into_iter().flat_map(|membership| membership.servers());
        let others = others.map(|server| server.pair).filter(|pair| *pair != self.identity.pair);
        let followers = others.map(|pair| Progress::new(pair, next)).collect();
        let role = Role::Leader {
            followers,
            // Heartbeats are due at once: followers whose logs differ do not take the no-op.
            since_heartbeat: self.config.heartbeat_ticks,
            since_entry: 0,
        };
        self.set_role(role, ready);
        self.attempt = 0;
        let noop = Entry::new(self.log.last_time(), Payload::Noop);
        self.log.append(self.hard_state.term, noop);
    }
}
