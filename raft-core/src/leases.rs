//! Leases (Raft thesis §6.4.1): while a leader is sure that nobody else can have been elected, it lets reads happen without a round of
//! heartbeats. Off unless the founding configuration says otherwise, since unlike everything else here they trust clocks: within a
//! stated bound on their drift no read is stale, beyond it one can be.
//!
//! The leader's half: a lease counts from the *send* of a round that a quorum has answered, and is over at the first `TimeoutNow`, for
//! the rest of the term. The voters' half: whoever has heard a leader within the election timeout, or has started within it, gives nobody
//! its vote and takes over nobody's term for it, except in the one election that the leader itself has asked for.
//!
//! Why that is enough. Let a round be sent at time 0 and answered by a quorum. Each of those voters has heard the leader at 0 or later,
//! and gives no vote for E ticks of its own clock, which are at least E − 1 whole ones and so last (E − 1) ÷ (1 + ρ) at least. Another
//! leader needs one of their votes. This one counts fewer than ⌊(E − 1)(1 − ρ) ÷ (1 + ρ)⌋ ticks since the send; with the one that may have
//! begun since they last no longer than that.

use alloc::collections::VecDeque;
use core::fmt;

use crate::identity::Pair;
use crate::marks::{Mark, reached};
use crate::node::Node;
use crate::position::Round;
use crate::progress::Progress;
use crate::renaming::{Renaming, RoundOf};
use crate::role::Role;

/// The terms of leases, which every server of the cluster keeps to: part of the founding configuration, never changed, and the same in
/// all configurations after it ([`Membership::with_leases`](crate::Membership::with_leases)).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Leases {
    election_timeout_ticks: u32,
    drift_ppm: u32,
    tick_nanos: u64,
}

/// Why leases on such terms can not be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LeasesError {
    /// The election timeout is not from 3 to 1,000,000 ticks.
    ElectionTimeout,
    /// The drift is so large that no lease would last a tick.
    Drift,
    /// A tick has no length.
    Tick,
}

impl fmt::Display for LeasesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LeasesError::ElectionTimeout => "the election timeout of leases must be 3 to 1000000 ticks",
            LeasesError::Drift => "with so much drift no lease would last a tick",
            LeasesError::Tick => "a tick must be at least a nanosecond long",
        })
    }
}

impl core::error::Error for LeasesError {}

const MILLION: u64 = 1_000_000;

impl Leases {
    /// Leases with this shortest election timeout E in ticks, from 3 to 1,000,000; clocks that run too fast or too slow by at most
    /// `drift_ppm` millionths (ρ); and ticks of `tick_nanos` nanoseconds, which every embedder of the cluster has to keep to: the core only
    /// hands the number on.
    ///
    /// # Errors
    /// See [`LeasesError`].
    pub const fn new(
        election_timeout_ticks: u32,
        drift_ppm: u32,
        tick_nanos: u64,
    ) -> Result<Self, LeasesError> {
        if election_timeout_ticks < 3 || 1_000_000 < election_timeout_ticks {
            return Err(LeasesError::ElectionTimeout);
        }
        if tick_nanos == 0 {
            return Err(LeasesError::Tick);
        }
        let leases = Leases { election_timeout_ticks, drift_ppm, tick_nanos };
        if leases.length_ticks() == 0 { Err(LeasesError::Drift) } else { Ok(leases) }
    }

    /// E: for so many ticks after a voter has heard a leader it gives nobody its vote.
    pub const fn election_timeout_ticks(&self) -> u32 {
        self.election_timeout_ticks
    }

    /// ρ, in millionths: in a second of real time every clock shows a second, more or less by so many microseconds at most.
    pub const fn drift_ppm(&self) -> u32 {
        self.drift_ppm
    }

    /// The length of a tick, in nanoseconds.
    pub const fn tick_nanos(&self) -> u64 {
        self.tick_nanos
    }

    /// How long a lease lasts, in ticks of the leader since the send of the round that it counts from: ⌊(E − 1)(1 − ρ) ÷ (1 + ρ)⌋.
    pub const fn length_ticks(&self) -> u32 {
        let drift = self.drift_ppm as u64;
        if MILLION <= drift {
            return 0;
        }
        ((self.election_timeout_ticks as u64 - 1) * (MILLION - drift) / (MILLION + drift)) as u32
    }
}

/// A leader's lease: which rounds it has sent how long ago.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Lease {
    /// Rounds and the ticks since each was sent, the oldest first: of those sent in one tick the first. A round that is not here was
    /// sent together with the last one before it, or after.
    sent: VecDeque<(Round, u32)>,
    /// Whether somebody was told to begin an election: then nobody needs to wait for anything any more.
    ended: bool,
}

/// So many rounds are kept apart at most; what is sent meanwhile counts as sent earlier than it was.
const ROUNDS_MAX: usize = 64;

impl Lease {
    /// With other names, see [`Renaming`], on the server whose old name is `own`.
    pub(crate) fn rename(&mut self, own: Pair, names: &mut impl Renaming) {
        for (round, _) in &mut self.sent {
            *round = names.round(own, RoundOf::Awaited, *round);
        }
    }

    /// Lets time pass; what was sent `forgotten` ticks ago or more is of no use.
    pub(crate) fn tick(&mut self, elapsed: u32, forgotten: u32) {
        for (_, age) in &mut self.sent {
            *age = age.saturating_add(elapsed);
        }
        while self.sent.front().is_some_and(|(_, age)| forgotten <= *age) {
            self.sent.pop_front();
        }
    }

    /// This round is being sent.
    pub(crate) fn round_begun(&mut self, round: Round) {
        if self.sent.len() < ROUNDS_MAX && self.sent.back().is_none_or(|(_, age)| 0 < *age) {
            self.sent.push_back((round, 0));
        }
    }

    pub(crate) const fn end(&mut self) {
        self.ended = true;
    }

    /// For how many ticks at most this round has been on its way; `None` where that is too long ago.
    fn age(&self, round: Round) -> Option<u32> {
        self.sent.iter().rev().find(|(sent, _)| *sent <= round).map(|(_, age)| *age)
    }

    /// What must hold; `Err` names what does not.
    pub(crate) fn check(&self, latest: Round) -> Result<(), &'static str> {
        if !self.sent.iter().is_sorted_by(|a, b| a.0 < b.0 && b.1 < a.1) {
            return Err("of the rounds of a lease the later one was sent later");
        }
        if self.sent.back().is_some_and(|(round, _)| latest < *round) {
            return Err("the rounds of a lease were sent");
        }
        Ok(())
    }
}

impl Node {
    /// Lets the clock of leases run.
    #[cold]
    pub(crate) fn tick_leases(&mut self, leases: Leases, elapsed: u32) {
        let timeout = leases.election_timeout_ticks;
        self.since_contact = self.since_contact.saturating_add(elapsed).min(timeout);
        if let Role::Leader { lease, .. } = &mut self.role {
            lease.tick(elapsed, timeout);
        }
    }

    /// Whether this server keeps its vote to itself, because somebody may have a lease that counts on it. A start counts as having heard
    /// a leader: what was heard before it is forgotten. A leader hears itself.
    #[inline]
    pub(crate) fn keeps_vote(&self) -> bool {
        self.leases.is_some_and(|leases| {
            matches!(self.role, Role::Leader { .. }) || self.since_contact < leases.election_timeout_ticks
        })
    }

    /// For how many ticks more a server that does not lead keeps its vote, if it hears nothing.
    pub(crate) fn vote_kept_for(&self) -> u64 {
        let timeout = self.leases.map_or(0, |leases| leases.election_timeout_ticks);
        u64::from(timeout.saturating_sub(self.since_contact))
    }

    /// Whether this server leads and nobody else can have been elected since a moment that is not over.
    pub(crate) fn has_lease(&self) -> bool {
        let (Some(leases), Role::Leader { lease, .. }) = (self.leases, &self.role) else { return false };
        // Who does not have the first entry for good does not know of leases, or may forget them.
        let knows = |follower: &Progress| {
            if follower.knows_cluster() { follower.answered_round() } else { Round::ZERO }
        };
        let holds = !lease.ended
            && self.commits_own_term()
            && lease.age(self.quorum_round(knows)).is_some_and(|age| age < leases.length_ticks());
        if holds {
            reached(Mark::ReadByLease);
        }
        holds
    }
}

#[cfg(test)]
mod tests {
    //! Goal: how long a lease lasts, and what is remembered of rounds, by hand.

    use super::{Lease, Leases, LeasesError, ROUNDS_MAX};
    use crate::position::Round;

    #[test]
    fn lengths_are_those_of_the_formula() {
        let length = |timeout, drift| Leases::new(timeout, drift, 1).map(|leases| leases.length_ticks());
        assert_eq!(length(20, 0), Ok(19));
        assert_eq!(length(20, 10_000), Ok(18));
        assert_eq!(length(101, 500_000), Ok(33));
        assert_eq!(length(1_000_000, 1), Ok(999_997));
        assert_eq!(length(3, 333_333), Ok(1));
        assert_eq!(length(3, 400_000), Err(LeasesError::Drift));
        assert_eq!(length(3, u32::MAX), Err(LeasesError::Drift));
        assert_eq!(length(2, 0), Err(LeasesError::ElectionTimeout));
        assert_eq!(length(1_000_001, 0), Err(LeasesError::ElectionTimeout));
        assert_eq!(Leases::new(20, 0, 0), Err(LeasesError::Tick));
    }

    #[test]
    fn rounds_are_never_taken_for_younger_than_they_are() {
        let mut lease = Lease::default();
        lease.round_begun(Round::new(3));
        lease.round_begun(Round::new(4));
        lease.tick(2, 10);
        lease.round_begun(Round::new(5));
        let age = |lease: &Lease, round| lease.age(Round::new(round));
        assert_eq!(
            [2, 3, 4, 5, 9].map(|round| age(&lease, round)),
            [None, Some(2), Some(2), Some(0), Some(0)]
        );
        lease.tick(8, 10);
        assert_eq!([3, 4, 5].map(|round| age(&lease, round)), [None, None, Some(8)]);
        for round in 6..200 {
            lease.tick(1, 1000);
            lease.round_begun(Round::new(round));
            assert_eq!(lease.check(Round::new(round)), Ok(()));
        }
        assert_eq!(lease.sent.len(), ROUNDS_MAX);
        assert!(age(&lease, 199) > Some(100), "kept together with an older one");
    }

    #[test]
    fn check_sees_what_is_wrong() {
        let check = |sent: [(u64, u32); 2], latest| {
            let sent = sent.map(|(round, age)| (Round::new(round), age)).into();
            Lease { sent, ended: false }.check(Round::new(latest))
        };
        assert_eq!(check([(3, 5), (4, 2)], 4), Ok(()));
        let order = Err("of the rounds of a lease the later one was sent later");
        for wrong in [[(3, 5), (3, 2)], [(4, 5), (3, 2)], [(3, 2), (4, 2)], [(3, 2), (4, 5)]] {
            assert_eq!(check(wrong, 4), order, "{wrong:?}");
        }
        assert_eq!(check([(3, 5), (4, 2)], 3), Err("the rounds of a lease were sent"));
    }
}
