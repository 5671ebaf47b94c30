//! What servers send each other. Every packet may be lost, doubled, delayed or overtaken; nothing here assumes otherwise.

use alloc::sync::Arc;
use core::fmt;

use crate::entry::Runs;
use crate::identity::{Boot, ClusterId, Identity, Pair};
use crate::message::Commands;
use crate::position::{Attempt, LogIndex, Position, Round, Term, Token};
use crate::ready::Outcome;
use crate::snapshot::Snapshot;

/// The versions of the protocol that a server speaks, from the first to the last. Two servers understand each other where their ranges
/// meet: so a cluster is upgraded one server at a time, as long as each version overlaps with the one before it.
///
/// Within a version fields may be added, which those who do not know them ignore, and entries are kept and passed on as they were
/// encoded. A version of its own is for what must not be ignored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Versions {
    /// The oldest; 0 from a sender that says nothing of versions.
    pub first: u32,
    /// The newest.
    pub last: u32,
}

impl Versions {
    /// What this version of the crate speaks.
    pub const OURS: Versions = Versions { first: 1, last: 1 };

    /// Whether there is a version in both ranges.
    pub const fn meet(self, other: Versions) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.first, self.last)
    }
}

/// One packet from one server to one other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Packet {
    /// The cluster that the sender belongs to.
    pub cluster: ClusterId,
    /// Who sends it.
    pub from: Pair,
    /// Which start of the sender.
    pub boot: Boot,
    /// Whom it is for. A packet for another pair is never answered, nor is its term looked at.
    pub to: Pair,
    /// The sender's term when it sent it.
    pub term: Term,
    /// The versions of the protocol that the sender speaks.
    pub versions: Versions,
    /// The rest.
    pub body: Body,
}

/// What every packet of a server says of it.
#[derive(Clone, Copy)]
pub(crate) struct Sender {
    cluster: ClusterId,
    pair: Pair,
    boot: Boot,
    term: Term,
}

impl Sender {
    pub(crate) const fn of(identity: &Identity, term: Term) -> Self {
        Sender { cluster: identity.cluster, pair: identity.pair, boot: identity.boot, term }
    }

    #[inline]
    pub(crate) const fn packet(&self, to: Pair, body: Body) -> Packet {
        Packet {
            cluster: self.cluster,
            from: self.pair,
            boot: self.boot,
            to,
            term: self.term,
            body,
            versions: Versions::OURS,
        }
    }
}

/// What a packet says.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Body {
    /// A candidate asks for a vote (Raft thesis figure 3.1, RequestVote). It is the sender's durable vote for itself.
    RequestVote {
        /// The end of the candidate's log.
        last: Position,
        /// Whether the leader of the term before has told the candidate to begin this election
        /// ([`TimeoutNow`](Self::TimeoutNow)): then nobody has to keep its vote for that leader's sake.
        transfer: bool,
    },
    /// The answer to [`RequestVote`](Self::RequestVote). Granted, it promises that the vote is durable.
    Vote {
        /// The boot that asked.
        boot: Boot,
        /// Whether the sender voted for it in this term.
        granted: bool,
    },
    /// A server asks whether it could win an election, before it begins one (Raft thesis §9.6). Changes neither the term nor
    /// the vote nor the timers of who is asked; the packet's term is the asker's own, and the election would be for the next.
    RequestPreVote {
        /// Which attempt, so that an answer to an earlier one counts for nothing.
        attempt: Attempt,
        /// The end of the asker's log.
        last: Position,
    },
    /// The answer to [`RequestPreVote`](Self::RequestPreVote). Promises nothing.
    PreVote {
        /// The boot that asked.
        boot: Boot,
        /// The attempt that it answers.
        attempt: Attempt,
        /// Whether the sender would vote for it now.
        granted: bool,
    },
    /// A leader that hands its leadership over tells the server that is to have it to begin an election at once (Raft thesis
    /// §3.10). Holds for the leader's own term only.
    TimeoutNow,
    /// A leader sends entries (Raft thesis figure 3.1, AppendEntries).
    Append {
        /// What stands right before the first entry in the leader's log.
        previous: Position,
        /// How far the leader's log is committed.
        commit: LogIndex,
        /// The entries, at least one; the first has index `previous.index + 1`.
        entries: Runs,
    },
    /// A leader shows that it is there. Answered at once, however slow the disk.
    Heartbeat {
        /// Which round of heartbeats.
        round: Round,
        /// How far the leader's log is committed.
        commit: LogIndex,
    },
    /// A leader says how far its log is committed. Wants no answer.
    Commit {
        /// How far.
        commit: LogIndex,
    },
    /// A follower says how far it has the leader's log: after a heartbeat at once, after an append when that is durable.
    Acknowledge {
        /// The leader's boot.
        boot: Boot,
        /// The round of the heartbeat that it answers, if it answers one.
        round: Option<Round>,
        /// The last index up to which the sender's log is known to equal this leader's.
        held: LogIndex,
        /// The last index up to which, in addition, it is durable. This is the promise that commits entries.
        durable: LogIndex,
    },
    /// A follower could not take an append: what should stand before its first entry is not there.
    Reject {
        /// The leader's boot.
        boot: Boot,
        /// The `previous` of the append, as it came.
        previous: Position,
        /// The sender's greatest position at or before `previous` whose term is at most that of `previous`: where the
        /// logs may agree.
        hint: Position,
        /// The first index of the hint's term in the sender's log, so that the leader can skip all of a term that it does not
        /// have itself.
        hint_first: LogIndex,
    },
    /// The receiver is not in the configuration that the sender knows to be committed, as an answer to its request for votes or
    /// because it has just been removed. It asks for nothing: to be told again does no harm.
    Removed {
        /// The position of that configuration, or a later one at which it was in force and committed.
        last: Position,
    },
    /// A leader sends a snapshot, since its log no longer has what the receiver needs (Raft thesis figure 5.3,
    /// InstallSnapshot). Unlike any other packet this one goes with the bytes of the snapshot, and is handed to the receiver
    /// once it has them durable; see [`SendSnapshot`](crate::SendSnapshot). The packet's term is at least that of the snapshot.
    InstallSnapshot {
        /// What the bytes stand for.
        snapshot: Arc<Snapshot>,
    },
    /// A follower or learner asks how far the log is committed, for reads (Raft thesis §6.4).
    AskReadIndex {
        /// Which question.
        token: Token,
    },
    /// The answer to [`AskReadIndex`](Self::AskReadIndex), after a round of heartbeats that was begun when it had come.
    ReadIndex {
        /// The boot that asked.
        boot: Boot,
        /// The question that it answers, and with it all before.
        token: Token,
        /// Up to where the log was committed then. Who has applied this much can read.
        index: LogIndex,
    },
    /// A server passes a proposal on to the leader of the packet's term. No other takes it, and that one takes it once.
    Propose {
        /// Which one: 1, 2, 3 … within the sender's boot.
        token: Token,
        /// The commands, at least one.
        commands: Commands,
    },
    /// The answer to [`Propose`](Self::Propose).
    Proposed {
        /// The boot that passed it on.
        boot: Boot,
        /// Which one.
        token: Token,
        /// What came of it: [`Committed`](Outcome::Committed), [`Lost`](Outcome::Lost), [`Replaced`](Outcome::Replaced), or
        /// [`Refused`](Outcome::Refused) as busy, empty, too large or because of a transfer.
        outcome: Outcome,
    },
    /// What came is of an older term than the sender's. Says nothing else: least of all something of this term, which the
    /// receiver may come to lead.
    NewerTerm,
}
