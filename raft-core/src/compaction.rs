//! Log compaction (Raft thesis chapter 5): a snapshot that the state machine has taken stands for the beginning of the log; a
//! follower that needs what the log no longer has is sent one; and a server that gets one installs it.
//!
//! The bytes never come here. The embedder says that it has them, durable, and the core says what they stand for from then on.

use alloc::sync::Arc;

use crate::identity::{Boot, Pair};
use crate::marks::{Mark, reached};
use crate::node::Node;
use crate::position::{LogIndex, LogTime, Position, SendNumber};
use crate::ready::{Event, Fault, Ready};
use crate::role::Role;
use crate::snapshot::{Digest, Reported, Snapshot};

/// With so many configurations in memory a node asks for a snapshot, so that it can forget all but the last that it covers.
const MEMBERSHIPS_MANY: usize = 64;

impl Node {
    /// The state machine has been saved as it was after the entry at `index`. The log goes on from there, less what followers
    /// that are a little behind may still need.
    #[cold]
    pub(crate) fn snapshot_taken(
        &mut self,
        last: Position,
        time: LogTime,
        (size, digest): (u64, Digest),
        ready: &mut Ready,
    ) {
        let index = last.index;
        let covered = self.snapshot.as_ref().map_or(LogIndex::ZERO, |snapshot| snapshot.last.index);
        if index <= covered {
            // A newer one was installed while this one was taken (B44).
            return reached(Mark::SnapshotOld);
        }
        if self.disk.discards() {
            // The disk has not been told yet that an installed snapshot takes the place of its log. The entries between the two
            // are not in that log, so that this one can not stand for the beginning of it; the next one can.
            return reached(Mark::SnapshotEarly);
        }
        // Where the term of the entry has been forgotten, whoever has applied it knows better.
        let fits = self.log.position_at(index).is_none_or(|known| known == last);
        let in_memory = self.log.read(index, index, u64::MAX, 1);
        let fits =
            fits && in_memory.is_none_or(|(entry, _)| entry.entries().all(|(_, entry)| entry.time == time));
        let applied = index <= self.applying.applied && last.term <= self.log.last().term;
        let Some((membership_index, membership)) = self.log.membership_at(index).filter(|_| fits && applied)
        else {
            return self.halt(Fault::UnknownSnapshot, ready);
        };
        let snapshot = Snapshot {
            cluster: self.identity.cluster,
            last,
            time,
            membership: Arc::clone(membership),
            membership_index: *membership_index,
            size,
            digest,
        };
        self.snapshot = Some(Arc::new(snapshot));
        self.disk.compacted();
        self.snapshot_wanted = false;
        // What this server's own disk does not have yet stays, and so does what followers need that are being sent a snapshot:
        // else each of them would need the next snapshot when it has this one, for ever.
        let trailing = LogIndex::new(index.raw().saturating_sub(self.config.trailing_entries));
        let needed = self.transfers.shortest().unwrap_or(LogIndex::MAX);
        let bound = needed.min(self.disk.durable_end());
        let begins = trailing.min(bound);
        if self.log.start().index < begins {
            // Where the terms there have been forgotten, the log begins where they are known, or behind the snapshot.
            let known = self.log.first_known();
            let known = if known.index < index { known } else { last };
            let start = self.log.position_at(begins).unwrap_or(known);
            if start.index <= bound {
                self.log.compact(start);
            }
        }
        self.log.forget_memberships(index);
    }

    /// Whether configurations have become many.
    #[inline]
    pub(crate) fn has_many_memberships(&self) -> bool {
        MEMBERSHIPS_MANY < self.log.memberships().len()
    }

    /// Asks for a snapshot, once.
    #[cold]
    pub(crate) fn want_snapshot(&mut self, ready: &mut Ready) {
        if !core::mem::replace(&mut self.snapshot_wanted, true) {
            ready.events.push(Event::SnapshotWanted);
        }
    }

    /// A snapshot has been received, and its bytes are durable here: from the `leader` of this server's term, or from one of an
    /// older term.
    #[cold]
    pub(crate) fn snapshot_received(
        &mut self,
        leader: Option<(Pair, Boot)>,
        snapshot: Arc<Snapshot>,
        ready: &mut Ready,
    ) {
        match leader {
            Some((leader, boot)) => {
                if !self.follow(leader, boot, ready) {
                    return;
                }
                if let Role::Follower { following: Some(following), .. } = &mut self.role {
                    following.owed = true;
                }
            }
            // Of an older term. What it covers is committed, and so in the log of every later leader (Raft thesis §3.6.3).
            None if matches!(self.role, Role::Leader { .. }) => return,
            None => {}
        }
        let last = snapshot.last;
        if last.index <= self.commit {
            return reached(Mark::SnapshotOld);
        }
        let (index, membership) = (snapshot.membership_index, &snapshot.membership);
        if index.raw() == 1 && membership.cluster_id() != self.identity.cluster {
            return self.halt(Fault::OtherFounding, ready);
        }
        if self.log.contains(last) {
            // The log has it all, and what stands behind it is to be kept (Raft thesis §5.1). That it is committed is news.
            reached(Mark::SnapshotMatches);
            self.raise_commit(last.index, ready);
            if !matches!(self.role, Role::Follower { .. }) && !self.may_campaign() {
                // What it tries to be elected by is a configuration that is now over.
                self.set_role(Role::IDLE, ready);
            }
            return;
        }
        if last.index <= self.verified() {
            // The leader of this term has sent another entry there, which so can not be committed; or this one can not.
            let fault = if leader.is_some() { Fault::LeaderRewrites } else { Fault::CommittedConflict };
            return self.halt(fault, ready);
        }
        self.install(snapshot, ready);
    }

    /// Puts a snapshot in the place of the whole log, which lacks or contradicts what it covers.
    #[cold]
    fn install(&mut self, snapshot: Arc<Snapshot>, ready: &mut Ready) {
        reached(if snapshot.last.index <= self.log.last().index {
            Mark::SnapshotConflicts
        } else {
            Mark::SnapshotInstalled
        });
        if !matches!(self.role, Role::Follower { .. }) {
            // Whoever asks for votes has said how its log ends.
            self.set_role(Role::IDLE, ready);
        }
        let before = self.log.membership().cloned();
        // What is verified is in the snapshot as well: of that nothing is ever missing, whatever of the two a crash leaves.
        self.disk.restarted(self.verified(), snapshot.last.index);
        self.log.restart(&snapshot);
        let last = snapshot.last;
        self.snapshot = Some(snapshot);
        self.snapshot_wanted = false;
        self.raise_commit(last.index, ready);
        ready.events.push(Event::SnapshotInstalled { last });
        if let Some((index, membership)) = self.log.membership().cloned()
            && before.as_ref() != Some(&(index, Arc::clone(&membership)))
        {
            ready.events.push(Event::Membership { index, membership });
        }
        self.note_membership();
    }

    /// A transfer of a snapshot has ended.
    #[cold]
    pub(crate) fn snapshot_sent(&mut self, number: SendNumber, arrived: bool, ready: &mut Ready) {
        let pending = match self.transfers.reported(number) {
            Reported::Now(pending) => pending,
            Reported::Before => return,
            Reported::Never => return self.halt(Fault::UnknownSnapshot, ready),
        };
        let start = self.log.start().index.max(self.refounded);
        if let Some(progress) = self.follower(pending.to) {
            reached(if arrived { Mark::SnapshotSent } else { Mark::SnapshotFailed });
            // What was sent before it may since have gone from the log.
            progress.snapshot_ended(arrived.then_some(pending.last).filter(|last| start <= *last));
            self.due.send_to(pending.to);
        }
    }
}
