//! Leadership transfer (Raft thesis §3.10): the leader stops taking proposals, brings the target's log up to date, and tells
//! it to begin an election at once. Given up after an election timeout, so that a target that is gone costs no more.

use crate::identity::{NodeId, Pair};
use crate::marks::{Mark, reached};
use crate::node::Node;
use crate::packet::Body;
use crate::position::RequestId;
use crate::progress::Progress;
use crate::ready::{Answer, Outcome, Ready, Refusal};
use crate::role::{Role, Transfer};

impl Node {
    pub(crate) fn transfer_requested(&mut self, id: RequestId, to: Option<NodeId>, ready: &mut Ready) {
        match self.transfer_target(to) {
            Ok(to) => {
                let term = self.hard_state.term;
                self.transfer = Some(Transfer { id, to, term, elapsed: 0, told: false });
            }
            Err(refusal) => ready.answers.push(Answer { id, outcome: Outcome::Refused(refusal) }),
        }
    }

    fn transfer_target(&self, to: Option<NodeId>) -> Result<Pair, Refusal> {
        if self.fault.is_some() {
            return Err(Refusal::Halted);
        }
        let Role::Leader { followers, .. } = &self.role else {
            return Err(Refusal::NotLeader { leader: self.leader() });
        };
        if let Some(transfer) = &self.transfer {
            return Err(Refusal::Transferring { to: transfer.to });
        }
        let voter = |pair: Pair| self.membership().is_some_and(|membership| membership.is_voter(pair));
        let voters = followers.iter().filter(|progress| voter(progress.pair));
        // Who votes in the incoming half goes before who is about to leave, or was replaced under its id.
        let stays = |progress: &&Progress| progress.votes.incoming;
        let target = match to {
            Some(id) => {
                let mut named = voters.clone().filter(|progress| progress.pair.id == id);
                named.clone().find(stays).or_else(|| named.next())
            }
            // Of those that were heard of last, the one that has the most of the log.
            None => voters.max_by_key(|progress| {
                (progress.votes.incoming, progress.is_heard(&self.config), progress.matched())
            }),
        };
        target.map(|progress| progress.pair).ok_or(Refusal::NoSuchVoter)
    }

    /// Whether the leader takes no proposals because it is about to hand over.
    pub(crate) fn transferring(&self) -> Option<Pair> {
        let leads = matches!(self.role, Role::Leader { .. });
        self.transfer.filter(|transfer| leads && transfer.term == self.hard_state.term).map(|t| t.to)
    }

    pub(crate) fn tick_transfer(&mut self, elapsed: u32, ready: &mut Ready) {
        let Some(transfer) = &mut self.transfer else { return };
        transfer.elapsed = transfer.elapsed.saturating_add(elapsed);
        if self.config.election_timeout_ticks <= transfer.elapsed {
            reached(Mark::TransferGivenUp);
            self.end_transfer(Outcome::NotTransferred, ready);
        }
    }

    /// In how many ticks a transfer is given up.
    pub(crate) fn transfer_ends_in(&self) -> Option<u32> {
        self.transfer.map(|transfer| self.config.election_timeout_ticks.saturating_sub(transfer.elapsed))
    }

    /// Tells the target to begin its election, once it has the whole log; again with every round of heartbeats, since the
    /// packet may be lost. And finds out how the transfer has ended.
    pub(crate) fn derive_transfer(&mut self, heartbeat: bool, ready: &mut Ready) {
        let Some(transfer) = self.transfer else { return };
        if self.hard_state.term != transfer.term {
            match self.leader() {
                Some(leader) if leader == transfer.to => {
                    reached(Mark::TransferDone);
                    self.end_transfer(Outcome::Transferred { leader }, ready);
                }
                Some(_) => self.end_transfer(Outcome::NotTransferred, ready),
                None => {}
            }
            return;
        }
        let Role::Leader { followers, .. } = &self.role else {
            // Stepped down for another reason, in the same term.
            return self.end_transfer(Outcome::NotTransferred, ready);
        };
        let last = self.log.last().index;
        if !self.membership().is_some_and(|membership| membership.is_voter(transfer.to)) {
            // Demoted or removed meanwhile (B37).
            return self.end_transfer(Outcome::NotTransferred, ready);
        }
        let target = followers.iter().find(|progress| progress.pair == transfer.to);
        let ready_to_lead = target.is_some_and(|progress| progress.matched() == last);
        if ready_to_lead && (heartbeat || !transfer.told) {
            self.transfer = Some(Transfer { told: true, ..transfer });
            ready.send.push(self.packet(transfer.to, Body::TimeoutNow));
            // From here on votes may be given that this leader knows nothing of, also if it gives up and leads on.
            if let Role::Leader { lease, .. } = &mut self.role {
                lease.end();
            }
        }
    }

    pub(crate) fn end_transfer(&mut self, outcome: Outcome, ready: &mut Ready) {
        if let Some(transfer) = self.transfer.take() {
            ready.answers.push(Answer { id: transfer.id, outcome });
        }
    }

    /// The leader wants this server to take over: begins an election without asking for pre-votes, which those who hear the
    /// leader would refuse. Only if it comes from the leader of the very term; a late one is of an older term.
    pub(crate) fn timeout_now_received(&mut self, from: Pair, ready: &mut Ready) {
        let follows = matches!(&self.role, Role::Follower { following: Some(f), .. } if f.leader == from);
        if follows && self.may_campaign() && !self.disk.is_stalled(self.config.disk_stall_ticks) {
            self.campaign(true, ready);
        }
    }
}
