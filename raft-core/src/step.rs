//! The only router: takes messages one by one, then derives once what follows from them.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::entry::Runs;
use crate::fetches::{Answered, Purpose};
use crate::identity::{Boot, ClusterId, Pair};
use crate::invariants::Before;
use crate::marks::{Mark, reached};
use crate::message::{Fetched, Message};
use crate::node::Node;
use crate::packet::{Body, Packet, Versions};
use crate::position::{FetchNumber, LogIndex, Term, WriteNumber};
use crate::ready::{Event, Fault, Outcome, Ready, Refusal};
use crate::role::{Due, Role};
use crate::snapshot::Compaction;
use crate::write::{HardState, Write};

impl Node {
    /// Takes one message and says what has to happen in the world because of it.
    ///
    /// Total: any message, in any order, from anyone, is taken without an error or a panic. Pure: equal nodes and equal
    /// messages give equal nodes and equal answers.
    pub fn step(&mut self, message: Message) -> Ready {
        let mut ready = Ready::default();
        self.step_all([message], &mut ready);
        ready
    }

    /// Takes several messages in order, and says what has to happen because of all of them: one write, one batch to
    /// apply, appends formed once. Clears `ready` first and reuses its memory.
    pub fn step_all(&mut self, messages: impl IntoIterator<Item = Message>, ready: &mut Ready) {
        ready.clear();
        let before = cfg!(debug_assertions).then(|| Before::of(self));
        for message in messages {
            self.take(message, ready);
        }
        if self.fault.is_none() {
            self.derive(ready);
        }
        self.due = Due::NOTHING;
        ready.sleep = self.sleep();
        if let Some(before) = before {
            let held = self.invariants().and_then(|()| before.invariants(self));
            assert!(held.is_ok(), "{held:?} broken at {}: {self:#?}", self.identity.pair);
        }
    }

    fn take(&mut self, message: Message, ready: &mut Ready) {
        if self.fault.is_some()
            && !matches!(
                message,
                Message::Propose { .. }
                    | Message::Reconfigure { .. }
                    | Message::Transfer { .. }
                    | Message::Import { .. }
                    | Message::Forward { .. }
                    | Message::ReadWithin { .. }
                    | Message::Read { .. }
                    | Message::Barrier { .. }
                    | Message::VerifyLeader { .. }
            )
        {
            return;
        }
        if !matches!(message, Message::Propose { .. } | Message::Tick { .. }) {
            // What was proposed in this step becomes one run before anything looks at the log.
            self.log.seal();
        }
        match message {
            Message::Tick { elapsed } => self.tick(elapsed, ready),
            Message::Packet(packet) => self.packet_received(packet, ready),
            Message::Propose { id, commands } => self.propose(id, commands, ready),
            Message::Forward { id, commands } => self.forward(id, commands, ready),
            Message::Read { id } => self.read(id, ready),
            Message::ReadWithin { id, ticks } => self.read_within(id, ticks, ready),
            Message::Barrier { id } => self.barrier(id, ready),
            Message::VerifyLeader { id } => self.verify_leader(id, ready),
            Message::Import { id, import } => self.import(id, import, ready),
            Message::Obtained(import) => self.obtained(import),
            Message::Reconfigure { id, change, based_on } => self.reconfigure(id, change, based_on, ready),
            Message::Transfer { id, to } => self.transfer_requested(id, to, ready),
            Message::Campaign => self.begin_election(ready),
            Message::StepDown => self.step_down(ready),
            Message::ForgetLeader => self.forget_leader(ready),
            Message::Synced(number) => self.synced(number, ready),
            Message::WriteFailed(number) => {
                let known = self.disk.was_issued(number);
                self.halt(if known { Fault::WriteFailed } else { Fault::UnknownWrite }, ready);
            }
            Message::Applied(index) => self.applied(index, ready),
            Message::Fetched { number, result } => self.fetched(number, result, ready),
            Message::SnapshotTaken { last, time, size, digest } => {
                self.snapshot_taken(last, time, (size, digest), ready);
            }
            Message::SnapshotSent { number, arrived } => self.snapshot_sent(number, arrived, ready),
        }
    }

    fn tick(&mut self, elapsed: u32, ready: &mut Ready) {
        if let Some(leases) = self.leases {
            self.tick_leases(leases, elapsed);
        }
        self.disk.tick(elapsed, self.config.disk_stall_ticks);
        self.tick_transfer(elapsed, ready);
        if self.forwards.is_waiting() {
            self.tick_forwards(elapsed, ready);
        }
        if self.reads.has_clock() {
            self.reads.tick(elapsed);
        }
        if let Role::Leader { .. } = self.role {
            self.tick_leader(elapsed, ready);
        } else {
            self.tick_election(elapsed, ready);
        }
    }

    fn packet_received(&mut self, packet: Packet, ready: &mut Ready) {
        let Packet { cluster, from, boot, to, term, versions, body } = packet;
        if cluster != self.identity.cluster {
            return ready.events.push(Event::WrongCluster { from, cluster });
        }
        if to != self.identity.pair {
            return ready.events.push(Event::WrongIncarnation { from, to });
        }
        if !Versions::OURS.meet(versions) {
            return ready.events.push(Event::WrongVersion { from, versions });
        }
        if from == self.identity.pair || !is_well_formed(cluster, term, &body) {
            return;
        }
        if let Body::RequestPreVote { attempt, last } = body {
            return self.pre_vote_requested((from, boot, term), attempt, last, ready);
        }
        if let Body::RequestVote { transfer: false, .. } = body
            && self.hard_state.term <= term
            && self.keeps_vote()
        {
            // As if it had never come: its term is not taken over either.
            reached(Mark::VoteKept);
            return self.tell_if_removed(from, ready);
        }
        if self.hard_state.term < term {
            if matches!((&self.role, &body), (Role::PreCandidate { .. }, Body::PreVote { .. })) {
                reached(Mark::PreVoteTeachesTerm);
            }
            self.set_hard_state(HardState { term, vote: None }, ready);
        }
        if let Body::PreVote { boot: asked, attempt, granted } = body {
            return self.pre_vote_received(from, (asked, attempt), granted, ready);
        }
        if let Body::Removed { last } = body {
            return self.removed_received(last, ready);
        }
        if term < self.hard_state.term {
            self.answer_stale(from, boot, &body, ready);
            if let Body::InstallSnapshot { snapshot } = body {
                self.snapshot_received(None, snapshot, ready);
            }
            return;
        }
        match body {
            Body::RequestVote { last, .. } => self.vote_requested(from, boot, last, ready),
            Body::Vote { boot, granted } => self.vote_received(from, boot, granted, ready),
            Body::TimeoutNow => self.timeout_now_received(from, ready),
            Body::RequestPreVote { .. } | Body::PreVote { .. } => {} // Answered above, whatever the terms.
            Body::Append { previous, commit, entries } => {
                self.append_received(from, boot, previous, commit, entries, ready);
            }
            Body::AskReadIndex { token } => self.index_asked(from, boot, token),
            Body::ReadIndex { boot, token, index } => self.index_told(from, boot, token, index),
            Body::Propose { token, commands } => self.proposed_by((from, boot), token, commands, ready),
            Body::Proposed { boot, token, outcome } => self.proposed(from, (boot, token), outcome, ready),
            Body::InstallSnapshot { snapshot } => self.snapshot_received(Some((from, boot)), snapshot, ready),
            Body::Heartbeat { round, commit } => self.heartbeat_received(from, boot, round, commit, ready),
            Body::Commit { commit } => {
                if self.follow(from, boot, ready) {
                    self.commit_received(commit, ready);
                }
            }
            Body::Acknowledge { boot: asked, round, held, durable } => {
                self.acknowledged((from, boot), asked, round, held, durable, ready);
            }
            Body::Removed { .. } => {} // Taken above, whatever the terms.
            Body::NewerTerm => {}      // All that it says is its term.
            Body::Reject { boot: asked, previous, hint, hint_first } => {
                self.rejected((from, boot), asked, previous, (hint, hint_first), ready);
            }
        }
    }

    /// Requests of an older term are refused, in an answer that carries the newer one (Raft thesis §3.3). Answers of an
    /// older term are dropped: what they answer is over (B4).
    fn answer_stale(&self, from: Pair, boot: Boot, body: &Body, ready: &mut Ready) {
        reached(Mark::StaleRequest);
        let refusal = match *body {
            Body::RequestVote { .. } => Body::Vote { boot, granted: false },
            // Not as an acknowledgement or rejection: those would be of the new term, and if the sender of what is stale
            // came to lead that term, it would take them for answers to what it sends then.
            Body::Append { .. } | Body::Heartbeat { .. } | Body::InstallSnapshot { .. } => Body::NewerTerm,
            _ => return,
        };
        ready.send.push(self.packet(from, refusal));
    }

    /// Stops leading or trying to, on request.
    fn step_down(&mut self, ready: &mut Ready) {
        if !matches!(self.role, Role::Follower { .. }) {
            self.set_role(Role::IDLE, ready);
            self.election_elapsed = 0;
        }
    }

    /// Forgets the leader on request; what is owed to a candidate is owed on. With leases nobody may: somebody's lease counts on it.
    fn forget_leader(&mut self, ready: &mut Ready) {
        if self.leases.is_none() {
            self.lose_sight(ready);
        }
    }

    /// A follower knows no leader from here on; what is owed to a candidate is owed on.
    pub(crate) fn lose_sight(&mut self, ready: &mut Ready) {
        if let Role::Follower { following: Some(_), vote_owed } = self.role {
            self.set_role(Role::Follower { following: None, vote_owed }, ready);
        }
    }

    fn synced(&mut self, number: WriteNumber, ready: &mut Ready) {
        self.due.commit = true;
        if !self.disk.synced(number) {
            self.halt(Fault::UnknownWrite, ready);
        }
    }

    fn applied(&mut self, index: LogIndex, ready: &mut Ready) {
        if self.applying.handed < index {
            return self.halt(Fault::UnknownApplied, ready);
        }
        self.applying.applied = self.applying.applied.max(index);
    }

    fn fetched(&mut self, number: FetchNumber, result: Fetched, ready: &mut Ready) {
        let pending = match self.fetches.answered(number) {
            Answered::Now(pending) => pending,
            Answered::Before => return,
            Answered::Never => return self.halt(Fault::UnknownFetch, ready),
        };
        // What is fetched is committed, so nothing can have changed it meanwhile: other entries are a broken disk.
        let entries = match result {
            Fetched::Entries(entries) => entries.up_to(pending.last),
            Fetched::Compacted if pending.first <= self.log.start().index => {
                if let Purpose::Follower(pair) = pending.purpose {
                    self.due.send_to(pair);
                }
                return reached(Mark::FetchedCompacted);
            }
            Fetched::Compacted => return self.halt(Fault::FetchFailed, ready),
            Fetched::Failed => return self.halt(Fault::FetchFailed, ready),
        };
        if entries.first() != Some(pending.first) || !self.log.confirms(&entries) {
            return self.halt(Fault::FetchFailed, ready);
        }
        match pending.purpose {
            // A snapshot may have taken the place of the log meanwhile (B46).
            Purpose::Apply if pending.first != self.applying.handed.next() => reached(Mark::FetchedTooLate),
            Purpose::Apply => {
                reached(Mark::FetchedForApply);
                self.hand_over(entries.prefix(self.config.apply_bytes_max, u64::MAX), ready);
            }
            Purpose::Follower(pair) => {
                self.due.send_to(pair);
                self.fetched_for(pair, &entries, ready);
            }
        }
    }

    /// What follows from the state. The order matters: a candidacy may be won here, which appends; what is appended is
    /// written; and what commits is applied and told.
    fn derive(&mut self, ready: &mut Ready) {
        self.derive_candidacy(ready);
        self.log.seal();
        if matches!(self.role, Role::Leader { .. }) && self.due.commit {
            // Before the write, so that the configuration that leaves a joint one is written in this step: with a disk that takes
            // no more writes for a while, the next one could be far.
            self.derive_commit(ready);
            self.derive_membership(ready);
            self.log.seal();
        }
        if 0 < self.config.timer_ticks {
            self.derive_timer();
            self.log.seal();
        }
        self.derive_write(ready);
        if let Role::Leader { since_heartbeat, .. } = self.role {
            let mut heartbeat = since_heartbeat == self.config.heartbeat_ticks;
            if !self.reads.is_empty() {
                self.derive_confirmed(ready);
                heartbeat |= self.reads.want_round();
            }
            self.derive_replication(heartbeat, ready);
            // A leader that leaves ends what it was handing over, in this very step.
            self.derive_departure(ready);
            self.derive_transfer(heartbeat, ready);
        } else {
            self.derive_vote(ready);
            self.derive_acknowledgement(ready);
            self.derive_transfer(false, ready);
        }
        if !self.reads.is_empty() {
            self.derive_reads(ready);
        }
        self.derive_apply(ready);
        if self.has_many_memberships() {
            self.want_snapshot(ready);
        }
        if let Some(lost) = self.lost {
            self.derive_repair(lost, ready);
        }
        let settled = self.commit.min(self.disk.durable_end());
        self.log.evict(settled, &self.config);
    }

    /// Issues one write with everything that has gathered, if the disk has room for another.
    fn derive_write(&mut self, ready: &mut Ready) {
        let last = self.log.last().index;
        if !self.disk.is_behind(last, self.hard_state) {
            return;
        }
        if self.config.writes_outstanding_max as usize <= self.disk.outstanding() {
            return reached(Mark::WriteGathered);
        }
        let from = self.disk.issued_end().next();
        let entries = self.log.read(from, last, u64::MAX, u64::MAX).map(|(entries, _)| entries);
        let compaction = self.snapshot.as_ref().filter(|_| self.disk.is_compacted());
        let compaction = compaction.map(|snapshot| {
            Box::new(Compaction {
                snapshot: Arc::clone(snapshot),
                start: self.log.start(),
                discards: self.disk.discards(),
            })
        });
        let number = self.disk.issue(last, self.hard_state);
        let (hard_state, commit) = (self.hard_state, self.commit);
        ready.write = Some(Write {
            number,
            hard_state,
            entries: entries.unwrap_or_default(),
            compaction,
            refounds: None,
            commit,
        });
    }

    /// Hands committed entries to the state machine, one batch at a time, in order.
    fn derive_apply(&mut self, ready: &mut Ready) {
        let to = self.apply_to();
        if self.applying.applied < self.applying.handed || to <= self.applying.handed || ready.apply.is_some()
        {
            return;
        }
        if self.applying.handed < self.log.start().index {
            return self.derive_restore(to, ready);
        }
        let (from, bytes_max) = (self.applying.handed.next(), self.config.apply_bytes_max);
        if let Some((entries, _)) = self.log.read(from, to, bytes_max, u64::MAX) {
            self.hand_over(entries, ready);
        } else {
            let to = to.min(self.log.tail_first().previous());
            let bytes_max = bytes_max.min(self.config.fetch_bytes_max);
            ready.fetch.extend(self.fetches.begin(Purpose::Apply, from, to, bytes_max));
        }
    }

    /// The log lacks what the state machine needs next: the snapshot has it.
    #[cold]
    fn derive_restore(&mut self, to: LogIndex, ready: &mut Ready) {
        if let Some(snapshot) = self.snapshot.as_ref().filter(|snapshot| snapshot.last.index <= to) {
            reached(Mark::StateRestored);
            self.applying.handed = snapshot.last.index;
            ready.restore = Some(Arc::clone(snapshot));
        }
    }

    fn hand_over(&mut self, entries: Runs, ready: &mut Ready) {
        if let Some(last) = entries.last_position() {
            self.applying.handed = last.index;
            ready.apply = Some(entries);
        }
    }

    /// Up to where the state machine may go: what is committed, and durable on this very server unless the embedder has
    /// said that the state machine forgets with it.
    fn apply_to(&self) -> LogIndex {
        if self.config.apply_before_durable { self.commit } else { self.commit.min(self.disk.durable_end()) }
    }

    /// For how many ticks nothing is due.
    fn sleep(&self) -> Option<u32> {
        // One more than any number of ticks stands for never, so that the earliest is the least.
        const NEVER: u64 = 1 << 32;
        if self.fault.is_some() {
            return None;
        }
        let ticks = |ticks: Option<u32>| ticks.map_or(NEVER, u64::from);
        let stall = ticks(self.disk.stalls_in(self.config.disk_stall_ticks));
        // A stalled disk keeps the server from campaigning: the time is up, and it is the disk that is waited for.
        let timeout = u64::from(self.election_timeout.saturating_sub(self.election_elapsed));
        let election = if stall != 0 && self.may_campaign() {
            timeout.max(self.vote_kept_for())
        } else if matches!(self.role, Role::Follower { following: Some(_), .. }) {
            // It loses sight of its leader then.
            timeout
        } else {
            NEVER
        };
        let pace = |since: u32| u64::from(self.config.heartbeat_ticks.saturating_sub(since));
        let due = match self.role {
            Role::Follower { .. } => election,
            Role::PreCandidate { .. } | Role::Candidate { announced: true, .. } if election == NEVER => NEVER,
            Role::PreCandidate { since_asked, .. } | Role::Candidate { announced: true, since_asked, .. } => {
                election.min(pace(since_asked))
            }
            // Its own vote is not durable: it is the disk that is waited for.
            Role::Candidate { announced: false, .. } => NEVER,
            Role::Leader { since_heartbeat, .. } if self.config.timer_ticks == 0 => {
                pace(since_heartbeat).min(stall)
            }
            Role::Leader { since_heartbeat, .. } => {
                pace(since_heartbeat).min(stall).min(self.timer_due_in().unwrap_or(NEVER))
            }
        };
        // Only never does not fit.
        let mut due = due.min(ticks(self.transfer_ends_in()));
        if let Some(age) = self.forwards.oldest_age() {
            due = due.min(u64::from(self.config.forward_ticks.saturating_sub(age)));
        }
        u32::try_from(due).ok()
    }
}

/// Whether a packet can have been sent by a server that keeps to the protocol. Decoding sees to it too; an embedder that
/// passes packets by other means is held to the same.
fn is_well_formed(cluster: ClusterId, term: Term, body: &Body) -> bool {
    match body {
        Body::RequestVote { last, .. } => last.term < term,
        Body::RequestPreVote { last, .. } => last.term <= term,
        Body::Append { previous, entries, .. } => {
            let first = entries.iter().next();
            let last = entries.last_position();
            first.is_some_and(|run| run.first() == previous.index.next() && previous.term <= run.term())
                && last.is_some_and(|last| last.term <= term)
        }
        Body::Proposed { outcome, .. } => match outcome {
            Outcome::Committed { first, last }
            | Outcome::Lost { first, last }
            | Outcome::Replaced { first, last } => first.index <= last.index && last.term <= term,
            Outcome::Refused(
                Refusal::Busy | Refusal::Empty | Refusal::TooLarge | Refusal::Transferring { .. },
            ) => true,
            _ => false,
        },
        Body::InstallSnapshot { snapshot } => {
            snapshot.cluster == cluster
                && LogIndex::ZERO < snapshot.membership_index
                && snapshot.membership_index <= snapshot.last.index
                && snapshot.last.index <= LogIndex::MAX
                && snapshot.last.term <= term
        }
        _ => true,
    }
}
