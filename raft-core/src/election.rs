//! Leader election (Raft thesis §3.4, §3.6.1), and the pre-vote before it (§9.6).
//!
//! A candidate's own vote, like any other, counts for nothing before it is durable: it asks for votes only then. A voter
//! gives its vote at once, but says so only when that is durable. Both are derived at the end of a step from what is durable,
//! never queued, so that no vote can be told twice over or after its term.
//!
//! A pre-vote promises nothing and changes nothing at the server that gives it; so it needs no disk.

use alloc::vec::Vec;

use crate::entry::{Entry, Payload};
use crate::identity::{Boot, Pair};
use crate::leases::Lease;
use crate::marks::{Mark, reached};
use crate::node::Node;
use crate::packet::{Body, Sender};
use crate::position::{Attempt, LogIndex, Position, Term};
use crate::ready::{Event, Fault, Ready};
use crate::role::{Due, Role};
use crate::timeouts::election_timeout;
use crate::timers::Timer;
use crate::write::HardState;

impl Node {
    /// The only writer of the number of campaigns, which together with the term says how long the election timeout is.
    pub(crate) fn set_campaigns(&mut self, campaigns: u32) {
        self.campaigns = campaigns;
        // Nobody campaigns who keeps its vote for the sake of a lease.
        let least = self.leases.map_or(0, |leases| leases.election_timeout_ticks());
        let least = self.config.election_timeout_ticks.max(least);
        let (seed, id) = (self.config.seed, self.identity.pair.id);
        self.election_timeout = election_timeout(seed, least, id, self.hard_state.term, campaigns);
    }

    /// Lets the election timer run, and begins an election when it has run out.
    pub(crate) fn tick_election(&mut self, elapsed: u32, ready: &mut Ready) {
        // The timer runs on a server without a vote too: it says how long ago its leader was heard.
        let timeout = self.election_timeout;
        self.election_elapsed = self.election_elapsed.saturating_add(elapsed).min(timeout);
        // A candidate whose own vote is not durable yet waits for that: with a slow disk it would else begin one election
        // after the other, and never ask anybody.
        let waits = matches!(self.role, Role::Candidate { announced: false, .. });
        if timeout <= self.election_elapsed && !waits {
            self.begin_election(ready);
            // Who does not campaign has lost sight of its leader all the same: whatever waits for that one would wait for ever.
            return self.lose_sight(ready);
        }
        let again = match &mut self.role {
            Role::PreCandidate { since_asked, .. } | Role::Candidate { since_asked, announced: true, .. } => {
                *since_asked = since_asked.saturating_add(elapsed).min(self.config.heartbeat_ticks);
                *since_asked == self.config.heartbeat_ticks
            }
            _ => false,
        };
        if again {
            reached(Mark::TwiceAsked);
            // Requests may be lost. Who has not answered is asked again at the pace of heartbeats.
            self.ask(ready);
        }
    }

    /// Tries to become leader: with pre-votes first, if it is set up so. Nothing happens on a leader, on a server that has no
    /// vote (B8) or was told that it is removed, or while the disk stands still, since the server's vote for itself would never count.
    pub(crate) fn begin_election(&mut self, ready: &mut Ready) {
        let leads = matches!(self.role, Role::Leader { .. });
        if leads || !self.may_campaign() {
            return;
        }
        if self.disk.is_stalled(self.config.disk_stall_ticks) {
            return reached(Mark::StalledVoterWaits);
        }
        if self.keeps_vote() {
            // Its own vote is kept, like anybody's.
            return reached(Mark::VoteKept);
        }
        if !self.config.pre_vote {
            return self.campaign(false, ready);
        }
        self.attempt = self.attempt.next();
        self.set_campaigns(self.campaigns.saturating_add(1));
        self.election_elapsed = 0;
        let granted = Vec::from([self.identity.pair]);
        self.set_role(Role::PreCandidate { attempt: self.attempt, granted, since_asked: 0 }, ready);
        self.ask(ready);
        self.count_votes(ready);
    }

    /// Whether this server may try to become leader: as a voter of the configuration in force, or of one before it as long as
    /// those after it are not committed (Raft thesis §4.2.2). For others may lack the newer one, and need a leader that has
    /// it: who has just taken its own vote away, and lost its leadership before anybody heard of that, would else keep the
    /// cluster without a leader for ever. It counts its own vote only where it has one. And not before it has what its disk has
    /// lost: it may be what only this server and a leader that is gone had acknowledged.
    pub(crate) fn may_campaign(&self) -> bool {
        !self.removed
            && (self.votes.any() || self.had_vote())
            && self.lost.is_none_or(|lost| lost <= self.log.last())
    }

    /// Begins an election: the next term, and a vote for itself. With `transfer` it is the one that the leader of this term wants.
    pub(crate) fn campaign(&mut self, transfer: bool, ready: &mut Ready) {
        let Some(term) = self.hard_state.term.next() else {
            return self.halt(Fault::Exhausted, ready);
        };
        self.set_hard_state(HardState { term, vote: Some(self.identity.pair) }, ready);
        let role = Role::Candidate { announced: false, transfer, granted: Vec::new(), since_asked: 0 };
        self.set_role(role, ready);
        self.election_elapsed = 0;
        self.set_campaigns(self.campaigns.saturating_add(1));
    }

    /// Asks for votes once the candidate's own vote is durable, and counts that vote.
    pub(crate) fn derive_candidacy(&mut self, ready: &mut Ready) {
        if let Role::Candidate { announced, granted, .. } = &mut self.role
            && !*announced
            && self.disk.durable_hard_state() == self.hard_state
        {
            *announced = true;
            // The first one, so it stands where it belongs; the others are sorted in.
            granted.push(self.identity.pair);
            self.ask(ready);
            self.count_votes(ready);
        }
    }

    /// Asks every voter for its vote or pre-vote that has not given it.
    fn ask(&mut self, ready: &mut Ready) {
        let last = self.log.last();
        let (body, granted) = match &mut self.role {
            Role::PreCandidate { attempt, granted, since_asked } => {
                *since_asked = 0;
                (Body::RequestPreVote { attempt: *attempt, last }, &*granted)
            }
            Role::Candidate { granted, since_asked, transfer, .. } => {
                *since_asked = 0;
                (Body::RequestVote { last, transfer: *transfer }, &*granted)
            }
            Role::Follower { .. } | Role::Leader { .. } => return,
        };
        let sender = Sender::of(&self.identity, self.hard_state.term);
        let asked = self.log.membership().map(|(_, membership)| membership);
        for voter in asked.into_iter().flat_map(|membership| membership.voters()) {
            if !granted.contains(&voter) && voter != self.identity.pair {
                ready.send.push(sender.packet(voter, body.clone()));
            }
        }
    }

    /// A server of any term asks whether it could win. Answered with this server's own term, from which one that was left
    /// behind learns the newer term (B6). Nothing changes here: no term, no vote, no timer (B5).
    pub(crate) fn pre_vote_requested(
        &self,
        (candidate, boot, term): (Pair, Boot, Term),
        attempt: Attempt,
        last: Position,
        ready: &mut Ready,
    ) {
        // The election would be for the term after the asker's.
        if self.hears_leader() {
            reached(Mark::PreVoteRefusedForLeader);
        }
        let granted = self.hard_state.term <= term && !self.hears_leader() && self.log_end() <= last;
        ready.send.push(self.packet(candidate, Body::PreVote { boot, attempt, granted }));
        self.tell_if_removed(candidate, ready);
    }

    /// Whether a leader is there, as far as this server can see: itself, or one that it has heard within the shortest
    /// election timeout. Who hears a leader helps nobody to disturb it (Raft thesis §4.2.3, §9.6).
    fn hears_leader(&self) -> bool {
        match &self.role {
            Role::Leader { .. } => true,
            Role::Follower { following, .. } => {
                let heard = following.is_some() && self.election_elapsed < self.config.election_timeout_ticks;
                heard || self.keeps_vote()
            }
            Role::PreCandidate { .. } | Role::Candidate { .. } => self.keeps_vote(),
        }
    }

    /// A pre-vote has come, from a server whose term is not above this one's.
    pub(crate) fn pre_vote_received(
        &mut self,
        from: Pair,
        (boot, answered): (Boot, Attempt),
        yes: bool,
        ready: &mut Ready,
    ) {
        if let Role::PreCandidate { attempt, granted, .. } = &mut self.role
            && boot == self.identity.boot
            && answered == *attempt
            && yes
        {
            Self::note_vote(&self.log, granted, from);
            self.count_votes(ready);
        }
    }

    /// How up-to-date the log is that this server has promised to have. What its disk has lost it may have acknowledged, so
    /// that nobody who lacks it is to be elected by this vote.
    fn log_end(&self) -> Position {
        self.lost.map_or(self.log.last(), |lost| lost.max(self.log.last()))
    }

    /// Forgets what was lost once it is there again, or a log that is more up-to-date.
    #[cold]
    pub(crate) fn derive_repair(&mut self, lost: Position, ready: &mut Ready) {
        if self.log.position_at(self.disk.durable_end()).is_some_and(|durable| lost <= durable) {
            reached(Mark::Repaired);
            self.lost = None;
            ready.events.push(Event::Repaired);
        }
    }

    /// A candidate of this server's term asks for its vote.
    pub(crate) fn vote_requested(&mut self, candidate: Pair, boot: Boot, last: Position, ready: &mut Ready) {
        self.tell_if_removed(candidate, ready);
        let free = self.hard_state.vote.is_none_or(|vote| vote == candidate);
        // The voter's log must not be more up-to-date than the candidate's (Raft thesis §3.6.1). Positions are ordered by
        // term and then index; each compared alone would let a candidate win that lacks committed entries (B1).
        if !free || last < self.log_end() {
            // A refusal promises nothing.
            reached(if free { Mark::VoteRefusedForLog } else { Mark::VoteRefusedForVote });
            return ready.send.push(self.packet(candidate, Body::Vote { boot, granted: false }));
        }
        if let Role::PreCandidate { .. } = self.role {
            // Another was faster. What this server wanted to begin is the election of a later term.
            self.set_role(Role::IDLE, ready);
        }
        // A candidate or leader has voted for itself, so it was not free.
        if let Role::Follower { vote_owed, .. } = &mut self.role {
            if self.hard_state.vote.is_some() {
                reached(Mark::VoteRepeated);
            }
            *vote_owed = Some((candidate, boot));
            self.set_hard_state(HardState { vote: Some(candidate), ..self.hard_state }, ready);
            self.election_elapsed = 0;
        }
    }

    /// Tells a candidate of its vote, once that is durable.
    pub(crate) fn derive_vote(&mut self, ready: &mut Ready) {
        if let Role::Follower { vote_owed, .. } = &mut self.role
            && vote_owed.is_some()
            && self.disk.durable_hard_state() == self.hard_state
            && let Some((candidate, boot)) = vote_owed.take()
        {
            ready.send.push(self.packet(candidate, Body::Vote { boot, granted: true }));
        }
    }

    /// A vote of this server's term has come.
    pub(crate) fn vote_received(&mut self, from: Pair, boot: Boot, yes: bool, ready: &mut Ready) {
        // Nobody can have been asked before the candidate's own vote was durable.
        if let Role::Candidate { granted, announced: true, .. } = &mut self.role
            && boot == self.identity.boot
            && yes
        {
            Self::note_vote(&self.log, granted, from);
            self.count_votes(ready);
        }
    }

    /// Votes count once each, and only from voters of the configuration in force.
    fn note_vote(log: &crate::log::Log, granted: &mut Vec<Pair>, from: Pair) {
        // In order, so that it does not matter in which order they came.
        if let Err(place) = granted.binary_search(&from)
            && log.membership().is_some_and(|(_, m)| m.is_voter(from))
        {
            granted.insert(place, from);
        }
    }

    /// Goes on to the election, or to leading, if a majority is for it.
    fn count_votes(&mut self, ready: &mut Ready) {
        let (Role::PreCandidate { granted, .. } | Role::Candidate { granted, .. }) = &self.role else {
            return;
        };
        // A candidate's own vote is not among these before it is durable; without it there is no win.
        let majority = granted.contains(&self.identity.pair)
            && self.membership().is_some_and(|membership| {
                membership.is_quorum(|voter| granted.binary_search(&voter).is_ok())
            });
        match self.role {
            Role::PreCandidate { .. } if majority => self.campaign(false, ready),
            Role::Candidate { .. } if majority => self.lead(ready),
            _ => {}
        }
    }

    /// Becomes leader of its term, and appends the no-op by which it commits what came before (Raft thesis §3.6.2).
    fn lead(&mut self, ready: &mut Ready) {
        if self.log.last().index == LogIndex::MAX {
            return self.halt(Fault::Exhausted, ready);
        }
        let next = self.log.last().index.next();
        let role = Role::Leader {
            followers: Vec::new(),
            // Heartbeats are due at once: followers whose logs differ do not take the no-op.
            since_heartbeat: self.config.heartbeat_ticks,
            since_entry: 0,
            lease: Lease::default(),
            timer: Timer::behind(self.log.last_time(), self.config.timer_ticks),
        };
        self.set_role(role, ready);
        self.note_followers(next);
        self.removed = false;
        self.set_campaigns(0);
        self.due = Due::ALL;
        let noop = Entry::new(self.log.last_time(), Payload::Noop);
        self.log.append(self.hard_state.term, noop);
    }
}
