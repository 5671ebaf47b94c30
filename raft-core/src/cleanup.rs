//! Members that stay dead are removed, if the embedder wants that: a voter that is gone for good makes every quorum harder to
//! reach. Off by default, for a server that comes back after its removal has to be added again.

use alloc::vec::Vec;

use crate::marks::{Mark, reached};
use crate::membership::Membership;
use crate::node::Node;
use crate::ready::{Event, Ready};
use crate::role::Role;

/// With fewer voters than this, the loss of one more would stop the cluster.
const VOTERS_MIN: usize = 3;

impl Node {
    /// Whether a leader may have to remove a member that is dead.
    #[inline]
    pub(crate) fn misses_anybody(&self) -> bool {
        0 < self.config.dead_after_ticks && self.counts_anybody_as_dead()
    }

    fn counts_anybody_as_dead(&self) -> bool {
        matches!(&self.role, Role::Leader { followers, .. } if followers.iter().any(|follower| follower.is_dead(&self.config)))
    }

    /// Removes the first member that counts as dead and may be removed: one at a time, and only when any other change could be
    /// taken.
    #[cold]
    pub(crate) fn derive_cleanup(&mut self, ready: &mut Ready) {
        let Role::Leader { followers, .. } = &self.role else { return };
        let Some((index, membership)) = self.log.membership() else { return };
        let free = self.transfer.is_none()
            && *index <= self.commit
            && !membership.is_joint()
            && self.log.term_at(self.commit) == Some(self.hard_state.term);
        if !free {
            return;
        }
        let voters_left = membership.voters().count() - 1;
        let dead = followers.iter().filter(|follower| follower.is_dead(&self.config));
        let mut removable = dead
            .filter(|follower| !follower.votes.any() || VOTERS_MIN <= voters_left)
            .map(|follower| follower.pair);
        let Some(server) = removable.next() else { return };
        let leases = membership.leases();
        let stay = membership.servers().iter().filter(|member| member.pair != server);
        // Without one learner, or with three voters at least.
        if let Ok(membership) = Membership::new(stay.cloned().collect::<Vec<_>>()) {
            reached(Mark::DeadRemoved);
            ready.events.push(Event::DeadRemoved { server });
            self.append_membership(membership.with_leases(leases), ready);
        }
    }
}
