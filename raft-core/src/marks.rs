//! Marks in rare branches: counters that show a campaign of simulations where it has been (feature `marks`). Without the
//! feature they are nothing at all; with it they are the one thing in this crate that is outside of the nodes, and nothing
//! in a node depends on them.

macro_rules! marks {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)*) => {
        /// A rare branch.
        #[derive(Clone, Copy)]
        pub(crate) enum Mark {
            $($(#[$doc])* $name,)*
        }

        #[cfg(feature = "marks")]
        const NAMES: &[&str] = &[$($text,)*];
    };
}

marks! {
    AcknowledgedByOldBoot: "an answer came from an older boot of a follower",
    AppendOverlaps: "an append overlapped what was there, and nothing was cut off",
    AppendRejected: "an append did not fit",
    BusyBytes: "a proposal was refused because too much was uncommitted",
    BusyCount: "a proposal was refused because too many waited",
    CandidateMeetsLeader: "a candidate met the leader of its own term",
    CommitsBeforeOwnDisk: "a leader committed what was not durable on its own disk",
    CommitNotice: "the commit index went out alone",
    ConflictCut: "a conflicting entry was cut off",
    DeadRemoved: "a member that stayed dead was removed",
    FetchedCompacted: "a fetch found that the log had been compacted",
    FetchedForApply: "entries were fetched for the state machine",
    FetchedForFollower: "entries were fetched for a follower and sent",
    FetchedTooLate: "entries were fetched for a follower that did not need them any more",
    FollowerRestarted: "a leader noticed that a follower had restarted",
    ForwardDropped: "a proposal of another server was dropped",
    ForwardTaken: "a proposal of another server was appended",
    ForwardUnanswered: "a proposal that was passed on stayed without an answer",
    ImportAwaited: "entries were left out because the bytes of an import were missing",
    JointLeft: "a joint configuration was left",
    LeaderLostQuorum: "a leader heard no quorum and stepped down",
    LeaderStalled: "a leader's disk stood still and it stepped down",
    LossConcluded: "two rounds without progress: appends were taken for lost",
    OlderTermWaits: "an older term's entry was on a majority and did not commit by that",
    OutstandingClipped: "a truncation took from what outstanding writes vouch for",
    PreVoteRefusedForLeader: "a pre-vote was refused because a leader is heard",
    PreVoteTeachesTerm: "a pre-candidate learnt a newer term",
    ProbeMovedBack: "a rejection moved a probe back",
    ProposalLost: "a proposal was lost with leadership",
    ReadAskedAgain: "a follower asked again how far the log is",
    ReadByLease: "a leader with a lease let a read happen at once",
    ReadRefused: "a read was refused because the leader was another one",
    ReadStale: "a read was answered from what was known of an earlier moment",
    ReadWaitsForTerm: "a read waited for the first commit of the term",
    RejectionDisbelieved: "a rejection fitted nothing in flight",
    RemovedLeaderLeft: "a leader without a vote stepped down",
    RemovedTold: "a server that was removed was told so",
    Repaired: "what a disk had lost was there again",
    SnapshotConflicts: "a snapshot took the place of a log that contradicted it",
    SnapshotEarly: "a snapshot was taken before an installed one was written",
    SnapshotFailed: "a snapshot did not arrive",
    SnapshotInstalled: "a snapshot took the place of a log that was shorter",
    SnapshotMatches: "a snapshot came whose end was in the log",
    SnapshotOld: "a snapshot came that was older than what is committed or saved",
    SnapshotSent: "a snapshot arrived at a follower",
    StagedServerVotes: "a server had caught up and was given its vote",
    StaleRequest: "a request of an older term was answered with the newer one",
    StalledVoterWaits: "a server did not campaign because its disk stood still",
    StateRestored: "the state machine was restored from a snapshot",
    TailEvicted: "entries left the memory",
    TimerAppended: "a timer was appended",
    TransferDone: "leadership was handed over",
    TransferGivenUp: "a transfer was given up",
    TwiceAsked: "a candidate asked again for votes",
    VerifiedKept: "a server found the leader of its term again, and knew what it had verified",
    VoteKept: "a voter kept its vote for the sake of a lease",
    VoteRefusedForLog: "a vote was refused for the candidate's log",
    VoteRefusedForVote: "a vote was refused because it was given to another",
    VoteRepeated: "a vote was asked for again and given again",
    WriteGathered: "a write waited for the outstanding ones",
}

/// Counts that this branch was reached.
#[inline(always)]
pub(crate) fn reached(mark: Mark) {
    #[cfg(feature = "marks")]
    counting::COUNTS[mark as usize].fetch_add(1, core::sync::atomic::Ordering::Relaxed);
    #[cfg(not(feature = "marks"))]
    let _ = mark;
}

#[cfg(feature = "marks")]
mod counting {
    use core::sync::atomic::{AtomicUsize, Ordering};

    use super::NAMES;

    pub(super) static COUNTS: [AtomicUsize; NAMES.len()] = [const { AtomicUsize::new(0) }; NAMES.len()];

    /// Every mark with how often it was reached since the program began, by all nodes together; in a fixed order.
    pub fn counts() -> impl Iterator<Item = (&'static str, usize)> {
        NAMES.iter().zip(&COUNTS).map(|(name, count)| (*name, count.load(Ordering::Relaxed)))
    }
}

#[cfg(feature = "marks")]
pub use counting::counts;
