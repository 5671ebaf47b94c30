//! The follower's side of replication (Raft thesis §3.5): takes entries, answers heartbeats, and acknowledges what is
//! durable.

use crate::entry::{Entry, Payload, Run, Runs};
use crate::identity::{Boot, Pair};
use crate::marks::{Mark, reached};
use crate::node::Node;
use crate::packet::Body;
use crate::position::{LogIndex, Position, Round, Term};
use crate::ready::{Event, Fault, Ready};
use crate::role::{Following, Role};

impl Node {
    /// Something came from the leader of this server's term: follows it, and restarts the election timer. Returns false
    /// where there is another leader of the same term already, which no honest majority elects.
    pub(crate) fn follow(&mut self, leader: Pair, boot: Boot, ready: &mut Ready) -> bool {
        let known = match &self.role {
            Role::Leader { .. } => Some((self.identity.pair, self.identity.boot)),
            Role::Follower { following: Some(following), .. } => Some((following.leader, following.boot)),
            _ => None,
        };
        if known.is_some_and(|known| known != (leader, boot)) {
            self.halt(Fault::TwoLeaders, ready);
            return false;
        }
        self.election_elapsed = 0;
        self.since_contact = 0;
        // Leaders talk to members only, whatever this server was told before.
        self.removed = false;
        if self.campaigns != 0 {
            self.set_campaigns(0);
        }
        if known.is_none() {
            if let Role::Candidate { .. } = self.role {
                reached(Mark::CandidateMeetsLeader);
            }
            if self.commit < self.verified {
                reached(Mark::VerifiedKept);
            }
            let following = Following { leader, boot, acknowledged: LogIndex::ZERO, owed: false };
            // A vote that is owed in this term is for a candidate that others have passed over: it can not win any more.
            self.set_role(Role::Follower { following: Some(following), vote_owed: None }, ready);
        }
        true
    }

    /// Entries from the leader.
    pub(crate) fn append_received(
        &mut self,
        leader: Pair,
        boot: Boot,
        previous: Position,
        commit: LogIndex,
        entries: Runs,
        ready: &mut Ready,
    ) {
        if !self.follow(leader, boot, ready) {
            return;
        }
        // Up to the commit index the logs agree, whatever the term of `previous` says.
        if self.commit < previous.index && !self.log.contains(previous) {
            reached(Mark::AppendRejected);
            // Nothing below the commit index can be in conflict.
            let committed = self.log.term_at(self.commit).map(|term| Position { term, index: self.commit });
            let within = self.log.greatest_within(previous);
            let hint = committed.filter(|committed| within.index < committed.index).unwrap_or(within);
            let hint_first = self.log.term_first(hint.index);
            let rejection = self.packet(leader, Body::Reject { boot, previous, hint, hint_first });
            ready.send.push(rejection);
            return;
        }
        let membership_before = self.log.membership().map(|(index, _)| *index);
        let entries = self.before_import(leader, entries, ready);
        let last = entries.last_position().map_or(previous.index, |last| last.index);
        let mut undone = false;
        for run in entries {
            match self.take_run(run) {
                Ok(cut) => undone |= cut,
                Err(fault) => return self.halt(fault, ready),
            }
        }
        // One that was replaced by another at the same index is another one, too.
        self.tell_membership_since(membership_before.filter(|_| !undone), ready);
        if let Role::Follower { following: Some(following), .. } = &mut self.role {
            following.owed = true;
        }
        self.verified = self.verified().max(last);
        self.commit_received(commit, ready);
    }

    /// Appends what of a run is new. Only a real conflict cuts the log: an append that is late or overlaps must leave
    /// what it does not speak of (B15). Returns whether a configuration was undone by that.
    fn take_run(&mut self, run: Run) -> Result<bool, Fault> {
        let Some(conflict) = self.first_conflict(&run) else {
            reached(Mark::AppendOverlaps);
            return Ok(false);
        };
        // What is kept before it may be committed with a greater term than the leader claimed: then that leader can not have
        // been elected by a majority that holds it.
        if conflict <= self.commit
            || self.log.term_at(conflict.previous()).is_some_and(|kept| run.term() < kept)
        {
            return Err(Fault::CommittedConflict);
        }
        if run
            .get(LogIndex::new(1))
            .is_some_and(|first| conflict == run.first() && !self.founds(run.term(), first))
        {
            return Err(Fault::OtherFounding);
        }
        let mut undone = false;
        if conflict <= self.log.last().index {
            if conflict <= self.verified() {
                // A leader only ever appends to its log (Raft thesis §3.5); this entry is its own.
                return Err(Fault::LeaderRewrites);
            }
            reached(Mark::ConflictCut);
            undone = self.log.truncate(conflict);
            self.disk.truncated(conflict);
        }
        if conflict == run.first() {
            self.log.append_run(run);
        } else if let Some(new) = run.slice(conflict, run.last()) {
            self.log.append_run(new);
        }
        Ok(undone)
    }

    /// Whether this is the founding entry of this server's cluster.
    fn founds(&self, term: Term, first: &Entry) -> bool {
        let cluster = self.identity.cluster;
        matches!(&first.payload, Payload::Membership(m) if term == Term::ZERO && m.cluster_id() == cluster)
    }

    /// The first index of the run that the log does not hold with the same term; `None` where it holds all of it. By log
    /// matching, where the last entry of a run is there all of it is.
    fn first_conflict(&self, run: &Run) -> Option<LogIndex> {
        if run.first() == self.log.last().index.next() {
            return Some(run.first());
        }
        if self.log.contains(run.last_position()) || run.last() < self.log.known_from() {
            return None;
        }
        // Entries at or below the commit index are compared too: a difference there is a broken leader.
        let mut index = run.first().max(self.log.known_from());
        while self.log.term_at(index) == Some(run.term()) {
            index = index.next();
        }
        Some(index)
    }

    /// Takes note of another configuration in force, and says so.
    fn tell_membership_since(&mut self, before: Option<LogIndex>, ready: &mut Ready) {
        if let Some((index, membership)) = self.log.membership()
            && Some(*index) != before
        {
            ready.events.push(Event::Membership { index: *index, membership: membership.clone() });
            self.note_membership();
        }
    }

    /// A heartbeat is answered at once, so that a slow disk costs no leadership. It promises no more than what is durable.
    pub(crate) fn heartbeat_received(
        &mut self,
        leader: Pair,
        boot: Boot,
        round: Round,
        commit: LogIndex,
        ready: &mut Ready,
    ) {
        if !self.follow(leader, boot, ready) {
            return;
        }
        self.commit_received(commit, ready);
        self.acknowledge(Some(round), ready);
        if !self.reads.is_empty() {
            self.heartbeat_while_asking(ready);
        }
    }

    /// The leader says how far its log is committed: so is this one, but only as far as it is known to be the same (B16).
    pub(crate) fn commit_received(&mut self, commit: LogIndex, ready: &mut Ready) {
        self.raise_commit(commit.min(self.verified()), ready);
    }

    /// The last index up to which the log is known to equal that of the leader of this term: at least up to the commit index
    /// (leader completeness, Raft thesis §3.6.3), and further with every append of the term that fitted. A fact about the
    /// term, so it outlives a server's losing sight of the leader and finding it again.
    pub(crate) fn verified(&self) -> LogIndex {
        self.verified.max(self.commit)
    }

    /// Up to where this server promises its leader to have the log for good: what is verified and durable, and nothing
    /// before the term is durable too. Else it could come back in an older term and take entries of an older leader over
    /// those that it has acknowledged.
    fn promised(&self) -> LogIndex {
        if self.disk.durable_hard_state().term == self.hard_state.term {
            self.disk.durable_end().min(self.verified())
        } else {
            LogIndex::ZERO
        }
    }

    #[inline]
    fn acknowledge(&mut self, round: Option<Round>, ready: &mut Ready) {
        let Role::Follower { following: Some(following), .. } = &self.role else {
            return;
        };
        let (leader, boot, held) = (following.leader, following.boot, self.verified());
        let durable = self.promised();
        if let Role::Follower { following: Some(following), .. } = &mut self.role {
            following.acknowledged = following.acknowledged.max(durable);
            if durable == held {
                following.owed = false;
            }
        }
        let body = Body::Acknowledge { boot, round, held, durable };
        let acknowledgement = self.packet(leader, body);
        ready.send.push(acknowledgement);
    }

    /// Acknowledges appends: when more has become durable, and again when nothing is missing but an answer is owed (the
    /// one before may have been lost).
    pub(crate) fn derive_acknowledgement(&mut self, ready: &mut Ready) {
        let Role::Follower { following: Some(following), .. } = &self.role else {
            return;
        };
        let durable = self.promised();
        let answer = following.owed && durable == self.verified();
        if following.acknowledged < durable || answer {
            self.acknowledge(None, ready);
        }
    }
}
