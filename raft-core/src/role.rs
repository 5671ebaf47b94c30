//! The role of a server with what belongs to that role only (Raft thesis figure 3.3). What holds in every role is in the
//! node itself; the role changes in one place, `Node::set_role`.

use alloc::vec::Vec;

use crate::identity::{Boot, Pair};
use crate::leases::Lease;
use crate::position::{Attempt, LogIndex, RequestId, Term};
use crate::progress::Progress;
use crate::ready::RoleKind;
use crate::timers::Timer;

/// The leader that a follower follows, and what is owed to it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Following {
    pub(crate) leader: Pair,
    pub(crate) boot: Boot,
    /// The greatest durable index that was acknowledged to this leader.
    pub(crate) acknowledged: LogIndex,
    /// Whether an append came that is not answered yet.
    pub(crate) owed: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Role {
    Follower {
        following: Option<Following>,
        /// The candidate that has this server's vote and waits to hear of it. The answer leaves when the vote is durable.
        vote_owed: Option<(Pair, Boot)>,
    },
    /// Asks whether it could win an election. Its term and vote are as they were.
    PreCandidate {
        /// Which attempt.
        attempt: Attempt,
        /// Who would vote for it.
        granted: Vec<Pair>,
        /// Ticks since pre-votes were last asked for.
        since_asked: u32,
    },
    Candidate {
        /// Whether votes have been asked for: not before the candidate's own vote is durable.
        announced: bool,
        /// Whether the leader of the term before wants this election.
        transfer: bool,
        /// Who has granted its vote.
        granted: Vec<Pair>,
        /// Ticks since votes were last asked for.
        since_asked: u32,
    },
    Leader {
        /// All other members, sorted by id.
        followers: Vec<Progress>,
        /// Ticks since the last heartbeats.
        since_heartbeat: u32,
        /// Ticks since the last entry was appended; saturating.
        since_entry: u64,
        lease: Lease,
        timer: Timer,
    },
}

impl Role {
    /// A follower that knows no leader.
    pub(crate) const IDLE: Role = Role::Follower { following: None, vote_owed: None };

    pub(crate) const fn kind(&self) -> RoleKind {
        match self {
            Role::Follower { .. } => RoleKind::Follower,
            Role::PreCandidate { .. } => RoleKind::PreCandidate,
            Role::Candidate { .. } => RoleKind::Candidate,
            Role::Leader { .. } => RoleKind::Leader,
        }
    }
}

/// To whom a leader may have something to send.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Recipients {
    Nobody,
    One(Pair),
    All,
}

/// What a leader may have to do at the end of a step. An answer of one follower is not a reason to look at all of them:
/// with many learners that would be most of the work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Due {
    /// Whether something may have become durable on a quorum.
    pub(crate) commit: bool,
    pub(crate) send: Recipients,
}

impl Due {
    pub(crate) const NOTHING: Due = Due { commit: false, send: Recipients::Nobody };
    pub(crate) const ALL: Due = Due { commit: true, send: Recipients::All };

    pub(crate) fn send_to(&mut self, follower: Pair) {
        self.send = match self.send {
            Recipients::Nobody => Recipients::One(follower),
            Recipients::One(same) if same == follower => return,
            Recipients::One(_) | Recipients::All => Recipients::All,
        };
    }
}

/// A transfer that waits for its answer: on the leader, and on after it has given way until the new leader is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Transfer {
    pub(crate) id: RequestId,
    pub(crate) to: Pair,
    /// The term whose leadership is handed over.
    pub(crate) term: Term,
    /// Ticks since it was asked for.
    pub(crate) elapsed: u32,
    /// Whether the target has been told in this round of heartbeats.
    pub(crate) told: bool,
}
