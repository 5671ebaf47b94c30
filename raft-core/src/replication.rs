//! The leader's side of replication and commitment (Raft thesis §3.5 and §3.6.2).
//!
//! Entries go to followers while the leader's own disk still writes them (thesis §10.2.1); the leader counts itself only
//! with what is durable. Everything is formed once, at the end of a step.

use alloc::sync::Arc;

use bytes::Bytes;

use crate::config::Config;
use crate::entry::{Entry, Payload, Runs};
use crate::fetches::{Fetches, Purpose};
use crate::identity::{Boot, Pair};
use crate::log::Log;
use crate::marks::{Mark, reached};
use crate::membership::Votes;
use crate::message::Commands;
use crate::node::Node;
use crate::packet::{Body, Sender};
use crate::position::{LogIndex, LogTime, Position, RequestId, Round};
use crate::progress::{Mode, Progress};
use crate::proposals::Pending;
use crate::quorum;
use crate::ready::{Answer, Event, Fault, Outcome, Ready, Refusal};
use crate::role::{Due, Recipients, Role};
use crate::snapshot::{SendSnapshot, Snapshot, Transfers};

/// So many indexes at the end of all are for what keeps the protocol going: a change of the configuration takes two, an election one.
pub(crate) const INDEXES_KEPT: u64 = 1 << 20;

impl Node {
    /// Lets the leader's clocks run, and gives leadership up when it has become useless: when no quorum has been heard for
    /// an election timeout (Raft thesis §6.2), so that clients look elsewhere and those who still hear it do not keep the
    /// others from electing (B11); or when the disk stands still, since a server with a working one can do better.
    pub(crate) fn tick_leader(&mut self, elapsed: u32, ready: &mut Ready) {
        let Role::Leader { followers, since_heartbeat, since_entry, .. } = &mut self.role else { return };
        *since_heartbeat = since_heartbeat.saturating_add(elapsed).min(self.config.heartbeat_ticks);
        *since_entry = since_entry.saturating_add(u64::from(elapsed));
        for progress in followers.iter_mut() {
            progress.tick(elapsed, &self.config);
        }
        // Looked at when heartbeats are due, so that a node that is ticked as rarely as it asks does what one does that is
        // ticked more often.
        let due = *since_heartbeat == self.config.heartbeat_ticks;
        let quorum = !due || self.is_quorum(|follower| follower.is_heard(&self.config), true);
        // Whoever has been staged for too long is seen then, too.
        self.due.commit |= due && (self.stages_anybody() || self.misses_anybody());
        if !quorum || self.disk.is_stalled(self.config.disk_stall_ticks) {
            reached(if quorum { Mark::LeaderStalled } else { Mark::LeaderLostQuorum });
            self.set_role(Role::IDLE, ready);
            self.election_elapsed = 0;
        }
    }

    /// A client's proposal: appended whole, or refused whole.
    pub(crate) fn propose(&mut self, id: RequestId, commands: Commands, ready: &mut Ready) {
        if let Err(refusal) = self.admit(commands.as_slice()) {
            ready.answers.push(Answer { id, outcome: Outcome::Refused(refusal) });
            return;
        }
        let (first, last, bytes) = self.append_commands(commands);
        self.proposals.push(Pending { id, first, last, bytes });
    }

    /// Appends commands that were admitted. Returns the indexes of the first and the last, and what they count in bytes.
    #[inline]
    pub(crate) fn append_commands(&mut self, commands: Commands) -> (LogIndex, LogIndex, u64) {
        let time = self.log_time();
        let first = self.log.last().index.next();
        let mut bytes = 0;
        let mut append = |command| {
            let entry = Entry::new(time, Payload::Command(command));
            bytes += entry.size();
            self.log.append(self.hard_state.term, entry);
        };
        match commands {
            Commands::One(command) => append(command),
            Commands::Many(commands) => commands.into_iter().for_each(append),
        }
        self.due = Due { send: Recipients::All, ..self.due };
        (first, self.log.last().index, bytes)
    }

    /// The log time of what a leader appends now.
    pub(crate) fn log_time(&mut self) -> LogTime {
        let since_entry = match &mut self.role {
            Role::Leader { since_entry, .. } => core::mem::take(since_entry),
            _ => 0,
        };
        self.log.last_time().plus(since_entry)
    }

    /// Whether this server appends anything for anybody: it leads, and is not about to hand over.
    #[inline]
    pub(crate) fn admit_anything(&self) -> Result<(), Refusal> {
        if self.fault.is_some() {
            return Err(Refusal::Halted);
        }
        if !matches!(self.role, Role::Leader { .. }) {
            return Err(Refusal::NotLeader { leader: self.leader() });
        }
        if let Some(to) = self.transferring() {
            return Err(Refusal::Transferring { to });
        }
        Ok(())
    }

    /// Whether a proposal is taken. Nothing has been changed where it is not.
    pub(crate) fn admit(&self, commands: &[Bytes]) -> Result<(), Refusal> {
        self.admit_anything()?;
        let bytes = self.admit_commands(commands)?;
        self.admit_bytes(bytes, commands.len() as u64)
    }

    /// Whether these commands can be appended when there is room; and what they count in bytes.
    #[inline]
    pub(crate) fn admit_commands(&self, commands: &[Bytes]) -> Result<u64, Refusal> {
        if commands.is_empty() {
            return Err(Refusal::Empty);
        }
        let limit = self.config.command_bytes_max;
        if commands.iter().any(|command| limit < command.len() as u64) {
            return Err(Refusal::TooLarge);
        }
        let bytes = commands.iter().map(|command| Entry::OVERHEAD_BYTES + command.len() as u64).sum::<u64>();
        if self.config.uncommitted_bytes_max < bytes {
            return Err(Refusal::TooLarge);
        }
        Ok(bytes)
    }

    /// Whether so many more entries of so many bytes may wait to be committed. What keeps the protocol going always finds room behind
    /// them.
    pub(crate) fn admit_bytes(&self, bytes: u64, entries: u64) -> Result<(), Refusal> {
        // Not only this leadership's own proposals take memory: what a quorum has committed before this server's disk can
        // not leave it either, nor what earlier leaders have left uncommitted.
        let room = self.config.uncommitted_bytes_max;
        let unsettled = self.log.tail_bytes().saturating_sub(self.config.tail_bytes_max);
        let (taken, taken_bytes) = self.forwards.taken();
        if room < self.proposals.bytes() + taken_bytes + bytes || room < unsettled + bytes {
            reached(Mark::BusyBytes);
            return Err(Refusal::Busy);
        }
        if self.config.proposals_max as usize <= self.proposals.len() + taken {
            reached(Mark::BusyCount);
            return Err(Refusal::Busy);
        }
        if LogIndex::MAX.since(self.log.last().index) < entries + INDEXES_KEPT {
            return Err(Refusal::Busy);
        }
        Ok(())
    }

    /// A follower says how far it has the log.
    pub(crate) fn acknowledged(
        &mut self,
        (from, from_boot): (Pair, Boot),
        boot: Boot,
        round: Option<Round>,
        held: LogIndex,
        durable: LogIndex,
        ready: &mut Ready,
    ) {
        let last = self.log.last().index;
        if boot != self.identity.boot {
            return;
        }
        // What was never asked is not answered: a lease or a read would count on it.
        let round = round.filter(|round| *round <= self.round);
        let Some(progress) = self.follower(from) else {
            return;
        };
        // The leader's log never shrinks in its term, so nobody can have more of it.
        if last < held || held < durable {
            return self.halt(Fault::ImpossibleAcknowledgement, ready);
        }
        progress.acknowledged(from_boot, round, held, durable);
        let counts = progress.votes.any() || progress.staging.is_some();
        self.due.commit |= counts;
        self.due.send_to(from);
    }

    /// A follower could not take an append.
    pub(crate) fn rejected(
        &mut self,
        (from, from_boot): (Pair, Boot),
        boot: Boot,
        previous: Position,
        (hint, hint_first): (Position, LogIndex),
        ready: &mut Ready,
    ) {
        if boot != self.identity.boot || !self.log.contains(previous) {
            return;
        }
        self.due.send_to(from);
        // The follower's hint is the greatest position that it has at or before `previous`, in index and term. If this log
        // has that term there, the logs agree at that position or before the end of the term here. Else none of the
        // follower's entries of the term are here, and all of them are skipped: so each rejection is of another of the terms
        // in which the follower diverged (Raft thesis §3.5).
        let mut agreed = self.log.greatest_within(hint);
        if agreed.term != hint.term {
            let index = hint.index.min(hint_first.previous());
            agreed = self.log.greatest_within(Position { index, ..hint });
        }
        let next = agreed.index.next();
        let known = self.log.known_from() <= previous.index;
        if let Some(progress) = self.follower(from)
            && progress.rejected(from_boot, previous.index)
        {
            // A rejection that leads nowhere new would be probed for ever: one entry back is always progress.
            reached(Mark::ProbeMovedBack);
            if known && progress.is_broken(hint.index) {
                let (server, acknowledged) = (progress.pair, progress.matched());
                ready.events.push(Event::PromiseBroken { server, acknowledged, held: hint.index });
            }
            progress.probe(next.min(previous.index));
        } else {
            reached(Mark::RejectionDisbelieved);
        }
    }

    pub(crate) fn follower(&mut self, pair: Pair) -> Option<&mut Progress> {
        let Role::Leader { followers, .. } = &mut self.role else {
            return None;
        };
        let place = followers.binary_search_by(|progress| progress.pair.cmp(&pair)).ok()?;
        followers.get_mut(place)
    }

    /// Commits what a majority has made durable, if it is of this term: older entries commit only along with one of the
    /// leader's own term, since a majority alone does not keep them from being replaced (Raft thesis §3.6.2, figure 3.7).
    pub(crate) fn derive_commit(&mut self, ready: &mut Ready) {
        let Role::Leader { followers, .. } = &self.role else { return };
        if self.commit == self.log.last().index {
            return;
        }
        // The leader counts itself like any voter: with what is durable (B19).
        let own = self.disk.durable_end();
        // Mostly there is nothing new yet, and whether there is takes less than where it ends.
        if !self.is_quorum(|follower| self.commit < follower.matched(), self.commit < own) {
            return;
        }
        let half = |counts: fn(Votes) -> bool| {
            let followers = followers.iter().filter(move |follower| counts(follower.votes));
            quorum::quorum_index(followers.map(Progress::matched).chain(counts(self.votes).then_some(own)))
        };
        let mut index = half(|votes| votes.incoming);
        if self.joint {
            index = index.min(half(|votes| votes.outgoing));
        }
        if self.log.term_at(index) != Some(self.hard_state.term) {
            return reached(Mark::OlderTermWaits);
        }
        if own < index {
            reached(Mark::CommitsBeforeOwnDisk);
        }
        let before = self.commit;
        self.raise_commit(index, ready);
        self.due.send = Recipients::All;
        self.tell_removed(before, ready);
    }

    /// Whether the followers that are for it are a quorum, with this leader itself if it is `own`: a majority of the voters,
    /// and of each half of a joint configuration. A leader without a vote does not count itself (B36).
    fn is_quorum(&self, is_for: impl Fn(&Progress) -> bool, own: bool) -> bool {
        let Role::Leader { followers, .. } = &self.role else { return false };
        let half = |counts: fn(Votes) -> bool| {
            let followers = followers.iter().filter(move |follower| counts(follower.votes));
            quorum::is_quorum(followers.map(&is_for).chain(counts(self.votes).then_some(own)))
        };
        half(|votes| votes.incoming) && (!self.joint || half(|votes| votes.outgoing))
    }

    /// Sends what is due: heartbeats, entries as far as the windows allow, and the commit index where nothing carries it.
    pub(crate) fn derive_replication(&mut self, heartbeat: bool, ready: &mut Ready) {
        let Role::Leader { followers, since_heartbeat, lease, .. } = &mut self.role else { return };
        if heartbeat {
            *since_heartbeat = 0;
            self.round = self.round.next();
            if !self.reads.is_empty() {
                self.reads.round_begun(self.round);
            }
            if self.leases.is_some() {
                lease.round_begun(self.round);
            }
            self.due.send = Recipients::All;
        }
        let recipients = match self.due.send {
            Recipients::Nobody => return,
            Recipients::One(pair) => {
                let place = followers.binary_search_by(|progress| progress.pair.cmp(&pair));
                place.map_or(0..0, |place| place..place + 1)
            }
            Recipients::All => 0..followers.len(),
        };
        let mut sending = Sending {
            sender: Sender::of(&self.identity, self.hard_state.term),
            config: &self.config,
            log: &self.log,
            sent_from: self.log.start().index.max(self.refounded),
            commit: self.commit,
            round: self.round,
            fetches: &mut self.fetches,
            transfers: &mut self.transfers,
            ready,
        };
        let mut wanted = false;
        for progress in &mut followers[recipients] {
            if heartbeat {
                sending.heartbeat(progress);
                if sending.needs_snapshot(progress) {
                    wanted |= sending.snapshot(progress, self.snapshot.as_ref());
                }
            }
            sending.entries(progress);
            sending.commit(progress);
        }
        if wanted {
            self.want_snapshot(ready);
        }
    }

    /// Entries that were fetched for a lagging follower have come: sends them, if they are still what it needs next.
    pub(crate) fn fetched_for(&mut self, follower: Pair, entries: &Runs, ready: &mut Ready) {
        let (config, sent_from) = (&self.config, self.log.start().index.max(self.refounded));
        let sender = Sender::of(&self.identity, self.hard_state.term);
        if let Role::Leader { followers, .. } = &mut self.role
            && let Some(progress) = followers.iter_mut().find(|progress| progress.pair == follower)
            && entries.first() == Some(progress.next())
            && sent_from < progress.next()
            && progress.may_send(config.in_flight_packets_max, config.in_flight_bytes_max)
        {
            reached(Mark::FetchedForFollower);
            let (log, commit, round) = (&self.log, self.commit, self.round);
            let (fetches, transfers) = (&mut self.fetches, &mut self.transfers);
            let entries = entries.prefix(config.append_bytes_max, config.append_entries_max);
            let bytes = entries.size();
            let mut sending =
                Sending { sender, config, log, sent_from, commit, round, fetches, transfers, ready };
            sending.append(progress, entries, bytes);
        } else {
            reached(Mark::FetchedTooLate);
        }
    }
}

/// What a leader sends its followers by: the parts of the node that are looked at, while the followers are changed.
struct Sending<'a> {
    sender: Sender,
    config: &'a Config,
    log: &'a Log,
    /// What stands behind this index can be sent as entries; who lacks what stands before needs a snapshot.
    sent_from: LogIndex,
    commit: LogIndex,
    round: Round,
    fetches: &'a mut Fetches,
    transfers: &'a mut Transfers,
    ready: &'a mut Ready,
}

impl Sending<'_> {
    #[inline]
    fn send(&mut self, progress: &mut Progress, body: Body) {
        // Whatever goes to a follower carries the commit index.
        progress.commit_sent = self.commit;
        self.ready.send.push(self.sender.packet(progress.pair, body));
    }

    #[inline]
    fn heartbeat(&mut self, progress: &mut Progress) {
        self.send(progress, Body::Heartbeat { round: self.round, commit: self.commit });
    }

    /// Sends the commit index alone. Only who holds something new of what is committed can use the news.
    #[inline]
    fn commit(&mut self, progress: &mut Progress) {
        if progress.commit_sent < self.commit.min(progress.matched()) {
            reached(Mark::CommitNotice);
            self.send(progress, Body::Commit { commit: self.commit });
        }
    }

    /// Begins to send a snapshot to a follower that needs what the log no longer has. Only along with a heartbeat and only to
    /// one that is heard, so that one that can not be reached is not tried over and over. Returns whether there is none to send.
    #[cold]
    fn snapshot(&mut self, progress: &mut Progress, snapshot: Option<&Arc<Snapshot>>) -> bool {
        if progress.mode() == Mode::Snapshot || !progress.is_heard(self.config) {
            return false;
        }
        if self.sent_from <= progress.matched() && self.sent_from < self.log.last().index {
            // It has restarted, and has what is gone here: what follows shows it that its log is this one's. What is still on its way
            // counts until it is answered or taken for lost.
            if progress.is_idle() {
                progress.probe(self.sent_from.next());
            }
            return false;
        }
        let Some(snapshot) = snapshot.filter(|snapshot| self.sent_from <= snapshot.last.index) else {
            return true;
        };
        if let Some(under_way) = self.transfers.to(progress.pair) {
            // Of an earlier leadership: what it brings is as good.
            progress.snapshot_begun(under_way.last);
            return false;
        }
        progress.snapshot_begun(snapshot.last.index);
        let number = self.transfers.begin(progress.pair, snapshot.last.index);
        let body = Body::InstallSnapshot { snapshot: Arc::clone(snapshot) };
        let packet = self.sender.packet(progress.pair, body);
        self.ready.snapshots.push(SendSnapshot { number, packet });
        false
    }

    /// Whether the follower lacks what can not be sent as entries: its next one, or what stands right before that, is gone from
    /// the log (B24).
    #[inline]
    fn needs_snapshot(&self, progress: &Progress) -> bool {
        progress.next().previous() < self.sent_from
    }

    fn entries(&mut self, progress: &mut Progress) {
        let (last, config) = (self.log.last().index, self.config);
        while progress.next() <= last
            && progress.may_send(config.in_flight_packets_max, config.in_flight_bytes_max)
            && !self.needs_snapshot(progress)
        {
            let (bytes_max, entries_max) = (config.append_bytes_max, config.append_entries_max);
            let Some((entries, bytes)) = self.log.read(progress.next(), last, bytes_max, entries_max) else {
                let (purpose, to) = (Purpose::Follower(progress.pair), self.log.tail_first().previous());
                let bytes_max = bytes_max.min(config.fetch_bytes_max);
                self.ready.fetch.extend(self.fetches.begin(purpose, progress.next(), to, bytes_max));
                return;
            };
            self.append(progress, entries, bytes);
            if progress.mode() == Mode::Probe {
                return;
            }
        }
    }

    /// Sends one append, from the follower's next index on.
    fn append(&mut self, progress: &mut Progress, entries: Runs, bytes: u64) {
        let index = progress.next().previous();
        if let (Some(last), Some(term)) = (entries.last_position(), self.log.term_at(index)) {
            progress.sent(last.index, bytes, self.round);
            let previous = Position { term, index };
            self.send(progress, Body::Append { previous, commit: self.commit, entries });
        }
    }
}
