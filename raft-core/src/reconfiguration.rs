//! Membership changes (Raft thesis chapter 4). A change is a target: where its voters differ from those of the configuration in
//! force by one at most, every majority of the one meets every majority of the other, and it is appended as it is (§4.1);
//! anything more goes through a joint configuration (§4.3), which whoever leads then leaves by itself.
//!
//! A configuration is in force from the moment it is appended. There is one change at a time, and none before an entry of the
//! leader's own term has committed: else an uncommitted change of an older leader could come back beside it (B32).

use alloc::sync::Arc;

use crate::entry::{Entry, Payload};
use crate::identity::{NodeId, Pair};
use crate::marks::{Mark, reached};
use crate::membership::{Membership, Server, Suffrage};
use crate::message::Change;
use crate::node::Node;
use crate::packet::Body;
use crate::position::{LogIndex, Position, RequestId};
use crate::progress::Progress;
use crate::ready::{Answer, Event, Fault, Outcome, Ready, Refusal};
use crate::role::{Due, Role};
use crate::staging::{Staged, Staging};

/// A change that waits for its answer: on the leader that appended it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct PendingChange {
    pub(crate) id: RequestId,
    /// The first configuration that it appended.
    pub(crate) first: Position,
}

impl Node {
    /// A change of the configuration: appended, refused, or found to be none.
    pub(crate) fn reconfigure(
        &mut self,
        id: RequestId,
        change: Change,
        based_on: Option<LogIndex>,
        ready: &mut Ready,
    ) {
        let outcome = match self.admit_change(change, based_on) {
            Err(refusal) => Outcome::Refused(refusal),
            Ok((index, None)) => Outcome::Unchanged { index },
            Ok((_, Some(membership))) => {
                let first = Position { term: self.hard_state.term, index: self.log.last().index.next() };
                self.change = Some(PendingChange { id, first });
                return self.append_membership(membership, ready);
            }
        };
        ready.answers.push(Answer { id, outcome });
    }

    /// Whether a change is taken: the index of the configuration in force, and what to append, if that is another one.
    fn admit_change(
        &self,
        change: Change,
        based_on: Option<LogIndex>,
    ) -> Result<(LogIndex, Option<Membership>), Refusal> {
        self.admit_anything()?;
        let Some((index, current)) = self.log.membership() else {
            return Err(Refusal::NotLeader { leader: None }); // Who leads has a configuration.
        };
        if self.commit < *index || current.is_joint() {
            return Err(Refusal::ChangeUnderWay { index: *index });
        }
        if self.log.term_at(self.commit) != Some(self.hard_state.term) {
            return Err(Refusal::TermNotCommitted);
        }
        if based_on.is_some_and(|based_on| based_on != *index) {
            return Err(Refusal::Outdated { index: *index });
        }
        let target = target(current, change)?;
        if target == **current {
            return Ok((*index, None));
        }
        // The change itself, and the one that leaves a joint configuration.
        if LogIndex::MAX.since(self.log.last().index) < 2 {
            return Err(Refusal::Busy);
        }
        let direct = target.voters_that_differ(current) <= 1;
        Ok((*index, Some(if direct { target } else { current.joint(&target) })))
    }

    /// Appends a configuration, which is in force at once.
    pub(crate) fn append_membership(&mut self, membership: Membership, ready: &mut Ready) {
        if self.log.last().index == LogIndex::MAX {
            return self.halt(Fault::Exhausted, ready);
        }
        let membership = Arc::new(membership);
        let entry = Entry::new(self.log_time(), Payload::Membership(Arc::clone(&membership)));
        self.log.append(self.hard_state.term, entry);
        let index = self.log.last().index;
        ready.events.push(Event::Membership { index, membership });
        self.note_membership();
        self.note_followers(index);
        // A smaller quorum may have been reached already, and new servers want the log.
        self.due = Due::ALL;
    }

    /// Makes the leader's followers those of the configuration in force. What is known of those that stay is kept; new ones are
    /// probed from `next` on.
    pub(crate) fn note_followers(&mut self, next: LogIndex) {
        let own = self.identity.pair;
        let Role::Leader { followers, .. } = &mut self.role else { return };
        let Some((_, membership)) = self.log.membership() else { return };
        followers.retain(|progress| membership.server(progress.pair).is_some());
        for server in membership.members().filter(|server| server.pair != own) {
            let votes = membership.votes(server.pair);
            let place = match followers.binary_search_by(|progress| progress.pair.cmp(&server.pair)) {
                Ok(place) => place,
                Err(place) => {
                    followers.insert(place, Progress::new(server.pair, votes, next));
                    place
                }
            };
            let progress = &mut followers[place];
            progress.votes = votes;
            progress.staging =
                membership.is_staging(server.pair).then(|| progress.staging.unwrap_or(Staging::new(next)));
        }
    }

    /// What follows for a leader from what is committed: a joint configuration is left as soon as it is, whoever began it; and
    /// who waits for a change is answered.
    pub(crate) fn derive_membership(&mut self, ready: &mut Ready) {
        let Some((index, membership)) = self.log.membership() else { return };
        if self.commit < *index {
            return;
        }
        if membership.is_joint() {
            // After an election an entry of the own term has to commit first, as for any change.
            if self.log.term_at(self.commit) == Some(self.hard_state.term) {
                reached(Mark::JointLeft);
                let incoming = membership.incoming();
                self.append_membership(incoming, ready);
            }
            return;
        }
        if let Some(change) = self.change.take() {
            let (first, last) = (change.first, self.position(*index));
            ready.answers.push(Answer { id: change.id, outcome: Outcome::Committed { first, last } });
        }
        self.derive_staging(ready);
        if self.misses_anybody() {
            self.derive_cleanup(ready);
        }
    }

    pub(crate) fn stages_anybody(&self) -> bool {
        matches!(&self.role, Role::Leader { followers, .. } if followers.iter().any(|follower| follower.staging.is_some()))
    }

    /// Gives a server that has caught up its vote, or gives up one that has not: one at a time, as any change, and only when
    /// another one could be taken.
    fn derive_staging(&mut self, ready: &mut Ready) {
        if !self.stages_anybody() {
            return;
        }
        let (last, timeout) = (self.log.last().index, self.config.election_timeout_ticks);
        let free = self.transfer.is_none() && self.log.term_at(self.commit) == Some(self.hard_state.term);
        let Role::Leader { followers, .. } = &mut self.role else { return };
        let staged = followers.iter_mut().filter(|_| free).find_map(|progress| {
            let matched = progress.matched();
            match progress.staging.as_mut()?.look(matched, last, timeout) {
                Staged::NotYet => None,
                Staged::CaughtUp => Some((progress.pair, Suffrage::Voter)),
                Staged::TooSlow => Some((progress.pair, Suffrage::Learner)),
            }
        });
        let (Some((pair, suffrage)), Some((_, membership))) = (staged, self.log.membership()) else { return };
        let mut servers = membership.servers().to_vec();
        for server in servers.iter_mut().filter(|server| server.pair == pair) {
            server.suffrage = suffrage;
        }
        // The same servers as before, and not fewer voters.
        let leases = membership.leases();
        let Ok(membership) = Membership::new(servers) else { return };
        let membership = membership.with_leases(leases);
        if suffrage == Suffrage::Voter {
            reached(Mark::StagedServerVotes);
        } else {
            ready.events.push(Event::StagingGivenUp { server: pair });
        }
        self.append_membership(membership, ready);
    }

    /// A leader that the committed configuration gives no vote steps down: it has led on, without counting itself, until that
    /// was so (Raft thesis §4.2.2). The voter that has the most of the log is told to take over.
    pub(crate) fn derive_departure(&mut self, ready: &mut Ready) {
        if self.votes.any() || self.joint || self.commit < self.membership_index() {
            return;
        }
        reached(Mark::RemovedLeaderLeft);
        if let Role::Leader { followers, .. } = &self.role
            && let Some(heir) = followers
                .iter()
                .filter(|progress| progress.votes.any())
                .max_by_key(|progress| progress.matched())
        {
            ready.send.push(self.packet(heir.pair, Body::TimeoutNow));
        }
        if self.membership().is_some_and(|membership| membership.server(self.identity.pair).is_none()) {
            ready.events.push(Event::Removed { index: self.membership_index() });
        }
        self.set_role(Role::IDLE, ready);
        self.election_elapsed = 0;
    }

    /// Tells a server that asks for votes, and that the committed configuration does not know, that it was removed.
    pub(crate) fn tell_if_removed(&self, server: Pair, ready: &mut Ready) {
        if let Some((index, membership)) = self.log.membership()
            && *index <= self.commit
            && membership.server(server).is_none()
        {
            reached(Mark::RemovedTold);
            ready.send.push(self.packet(server, Body::Removed { last: self.position(*index) }));
        }
    }

    /// Somebody says that the committed configuration at `last` does not hold this server. It campaigns no more, until it
    /// hears a leader again; whatever it is asked it goes on answering (B38). Positions are compared and not indexes: this
    /// server may have entries of an older term that nobody else has.
    pub(crate) fn removed_received(&mut self, last: Position, ready: &mut Ready) {
        let own = self.identity.pair;
        let newer = self.log.membership().is_some_and(|(index, membership)| {
            last <= self.position(*index) && membership.server(own).is_some()
        });
        if newer || self.removed || matches!(self.role, Role::Leader { .. }) {
            return;
        }
        self.removed = true;
        ready.events.push(Event::Removed { index: last.index });
        if !matches!(self.role, Role::Follower { .. }) {
            self.set_role(Role::IDLE, ready);
        }
    }

    /// Whether this server has a vote in a configuration before the one in force, and none that gives it none is committed.
    pub(crate) fn had_vote(&self) -> bool {
        let own = self.identity.pair;
        let mut configurations = self.log.memberships().iter().rev();
        let mut later = configurations.next();
        configurations.any(|before| {
            let committed = later.is_none_or(|(index, _)| *index <= self.commit);
            later = if committed { None } else { Some(before) };
            !committed && before.1.is_voter(own)
        })
    }

    /// Tells those that the configuration which has just been committed leaves out, if one has.
    pub(crate) fn tell_removed(&self, committed_before: LogIndex, ready: &mut Ready) {
        let [.., (_, before), (index, membership)] = self.log.memberships() else { return };
        if *index <= committed_before || self.commit < *index {
            return;
        }
        for server in before.members().filter(|server| membership.server(server.pair).is_none()) {
            if server.pair != self.identity.pair {
                reached(Mark::RemovedTold);
                ready.send.push(self.packet(server.pair, Body::Removed { last: self.position(*index) }));
            }
        }
    }

    /// Where the configuration at this index stands; or, where that has been forgotten, where the log is known from: it is
    /// still the one in force there, and all of it is committed.
    fn position(&self, index: LogIndex) -> Position {
        self.log.position_at(index).unwrap_or(self.log.first_known())
    }

    /// Answers the change that waits as lost: the leadership that it was appended under is over.
    pub(crate) fn lose_change(&mut self, ready: &mut Ready) {
        if let Some(change) = self.change.take() {
            let first = change.first;
            let last = self.log.membership().map_or(first, |(index, _)| self.position(*index));
            ready.answers.push(Answer { id: change.id, outcome: Outcome::Lost { first, last } });
        }
    }
}

/// The configuration that a change leads to.
fn target(current: &Membership, change: Change) -> Result<Membership, Refusal> {
    let known = |id: NodeId| current.by_id(id).ok_or(Refusal::NoSuchServer(id));
    let mut servers = current.servers().to_vec();
    let mut put = |server: Server| match servers.iter_mut().find(|known| known.pair.id == server.pair.id) {
        Some(known) => *known = server,
        None => servers.push(server),
    };
    match change {
        Change::Set(all) => servers = all,
        Change::Add(server) => put(server),
        Change::Remove(id) => servers.retain(|server| server.pair.id != id),
        Change::Promote(id) => put(Server { suffrage: Suffrage::Voter, ..known(id)?.clone() }),
        Change::Demote(id) => put(Server { suffrage: Suffrage::Learner, ..known(id)?.clone() }),
        Change::Readdress { id, raft_address, client_address } => {
            put(Server { raft_address, client_address, ..known(id)?.clone() });
        }
    }
    let target = Membership::new(servers).map_err(Refusal::Membership)?;
    Ok(target.with_leases(current.leases()))
}
