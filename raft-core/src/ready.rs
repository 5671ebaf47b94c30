//! Everything that a node wants from the world.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::entry::Runs;
use crate::identity::{ClusterId, NodeId, Pair};
use crate::membership::{Membership, MembershipError};
use crate::packet::{Packet, Versions};
use crate::position::{FetchNumber, LogIndex, Position, RequestId, Term};
use crate::snapshot::{Import, SendSnapshot, Snapshot};
use crate::write::Write;

/// What has to happen in the world after a step. Nothing in it waits for anything else in it: packets may be sent before
/// the write is durable, because what may not is not in here yet.
///
/// Take it apart without `..`, and the compiler says where a later version wants something that the embedder does not do yet.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Ready {
    /// Packets to send, each at once. They may be lost.
    pub send: Vec<Packet>,
    /// A batch to make durable, after those before it. Answer with [`Message::Synced`](crate::Message::Synced) or
    /// [`Message::WriteFailed`](crate::Message::WriteFailed).
    pub write: Option<Write>,
    /// Committed entries for the state machine, in order, each once within a boot. Answer with
    /// [`Message::Applied`](crate::Message::Applied) and the last index; there is no second batch before that.
    pub apply: Option<Runs>,
    /// Entries that the node needs from the disk. Answer each with [`Message::Fetched`](crate::Message::Fetched).
    pub fetch: Vec<Fetch>,
    /// The state machine is to become what it was when this snapshot was taken, whatever it is now: the log has not all that
    /// it lacks. The bytes are durable on this server. Answer with [`Message::Applied`](crate::Message::Applied) and the
    /// last index that it covers; nothing is applied before that. Never together with `apply`.
    pub restore: Option<Arc<Snapshot>>,
    /// Bytes of a state that the leader wants imported, and that this server lacks: to be got from there, or wherever they are,
    /// and made durable, until a write is durable whose [`Compaction::start`](crate::Compaction::start) is at or behind the entry. Answer
    /// with [`Message::Obtained`](crate::Message::Obtained); one of a later step takes the place of those before.
    pub obtain: Vec<Obtain>,
    /// Snapshots to send. Answer each with [`Message::SnapshotSent`](crate::Message::SnapshotSent).
    pub snapshots: Vec<SendSnapshot>,
    /// Answers to requests. That a proposal is committed is said in the step that first may hand it to the state machine, never
    /// in a later one.
    pub answers: Vec<Answer>,
    /// What has changed.
    pub events: Vec<Event>,
    /// For how many ticks the node needs no [`Message::Tick`](crate::Message::Tick), if nothing else happens. `None`: for
    /// ever. Ticking it more often is harmless.
    pub sleep: Option<u32>,
}

impl Ready {
    /// Empties it, keeping memory for the next step.
    pub fn clear(&mut self) {
        self.send.clear();
        // To drop what is not there costs something, too.
        if self.write.is_some() {
            self.write = None;
        }
        self.apply = None;
        self.fetch.clear();
        // Rare, and each of them costs something even where it is empty.
        if self.restore.is_some() || !self.snapshots.is_empty() || !self.obtain.is_empty() {
            self.restore = None;
            self.snapshots.clear();
            self.obtain.clear();
        }
        self.answers.clear();
        self.events.clear();
        self.sleep = None;
    }
}

/// Entries that the node no longer holds in memory and needs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fetch {
    /// 1, 2, 3 … within one boot; the answer carries it.
    pub number: FetchNumber,
    /// The first index wanted: this one has to come.
    pub first: LogIndex,
    /// The last index wanted. Less may come; what comes beyond it is ignored.
    pub last: LogIndex,
    /// About how much to read at most, in bytes ([`Entry::size`](crate::Entry::size)); the first entry comes even if it is larger.
    pub bytes_max: u64,
}

/// A state made elsewhere whose bytes a server has to get.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Obtain {
    /// The leader that asks for it, and has it.
    pub from: Pair,
    /// Which state.
    pub import: Import,
}

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Answer {
    /// The caller's name for the request.
    pub id: RequestId,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a proposal, a read, a change of the configuration, or a transfer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It is committed, at these positions: it is in the log for good, and reaches every state machine.
    Committed {
        /// Of its first command; of a change, of the first configuration that it appended.
        first: Position,
        /// Of its last command; of a change, of the configuration that it led to.
        last: Position,
    },
    /// The change asks for what is so already. Nothing was appended.
    Unchanged {
        /// The index of the configuration in force.
        index: LogIndex,
    },
    /// It certainly has no effect, now or later.
    Refused(Refusal),
    /// The leadership it was appended under has ended: it, or a prefix of it, may still commit, or not.
    Lost {
        /// Of its first command; of a change, of the first configuration that it appended.
        first: Position,
        /// Of its last command; of a change, of the last configuration that it appended.
        last: Position,
    },
    /// It is in the log of this leader, and a state to be imported stands behind it, which takes the place of all that it changes
    /// ([`Message::Import`](crate::Message::Import)): so nobody waits for it any more. Where the leadership is lost before the import
    /// commits, it may be that only the commands do, or neither.
    Replaced {
        /// Of its first command.
        first: Position,
        /// Of its last command.
        last: Position,
    },
    /// The state machine of this server, which has applied this much, can be read: it has every write that was answered before
    /// the read was asked for.
    Readable {
        /// Up to where it has applied the log.
        index: LogIndex,
    },
    /// The state machine of this server can be read: it has every write that was answered so long ago or earlier.
    Stale {
        /// Up to where it has applied the log.
        index: LogIndex,
        /// How long ago, in ticks of this server's clock; never more than was asked for.
        ticks: u32,
    },
    /// It was passed on to the leader, and what came of it is not known: it may commit, or not
    /// ([`Message::Forward`](crate::Message::Forward)).
    Unanswered,
    /// When it was asked, or later, this server led.
    Leads {
        /// Its term.
        term: Term,
        /// Up to where the log is committed.
        commit: LogIndex,
    },
    /// The leadership was handed over: that server leads.
    Transferred {
        /// The new leader.
        leader: Pair,
    },
    /// The leadership was not handed over within an election timeout, or somebody else has it.
    NotTransferred,
}

/// Why a request certainly has no effect.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// This server is not the leader; that one is, as far as it knows.
    NotLeader {
        /// The leader of this server's term.
        leader: Option<Pair>,
    },
    /// Too much is under way. Try again when some of it is done.
    Busy,
    /// A proposal without commands.
    Empty,
    /// A command is longer than [`Config::command_bytes_max`](crate::Config::command_bytes_max), or the proposal as a whole can
    /// never fit [`Config::uncommitted_bytes_max`](crate::Config::uncommitted_bytes_max).
    TooLarge,
    /// The leader is handing its leadership over to this server, and appends nothing meanwhile.
    Transferring {
        /// To whom.
        to: Pair,
    },
    /// A transfer to a server that is no voter, or to the leader itself, or to nobody because there is no other voter.
    NoSuchVoter,
    /// The configuration in force is not committed yet, or joint: there is one change at a time.
    ChangeUnderWay {
        /// Its index.
        index: LogIndex,
    },
    /// The leader has not committed an entry of its own term yet, and takes no change before that. It will soon.
    TermNotCommitted,
    /// The change was based on another configuration than the one in force.
    Outdated {
        /// The index of the one in force.
        index: LogIndex,
    },
    /// The change is about a server that the configuration does not have.
    NoSuchServer(NodeId),
    /// The change leads to servers that do not make a configuration.
    Membership(MembershipError),
    /// This node has halted, see [`Event::Fault`].
    Halted,
}

/// The role of a server (Raft thesis figure 3.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum RoleKind {
    /// Answers leaders and candidates.
    Follower,
    /// Asks whether it could become leader (Raft thesis §9.6).
    PreCandidate,
    /// Asks to become leader.
    Candidate,
    /// Handles all requests and replicates them.
    Leader,
}

/// Something that has changed, said once.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The role or the term is another one.
    Role {
        /// The role from here on.
        role: RoleKind,
        /// The term from here on.
        term: Term,
    },
    /// The server follows another leader, or none.
    Leader {
        /// The leader of `term`, if known.
        leader: Option<Pair>,
        /// The term.
        term: Term,
    },
    /// Another configuration is in force.
    Membership {
        /// The index of its entry.
        index: LogIndex,
        /// The configuration.
        membership: Arc<Membership>,
    },
    /// A snapshot has taken the place of this server's log, which ends there now. What the state machine has to do about it
    /// comes as [`Ready::restore`].
    SnapshotInstalled {
        /// The last entry that it covers.
        last: Position,
    },
    /// The log is again as far as the disk had lost it ([`Recovered::lost`](crate::Recovered::lost)), durably: what the embedder
    /// has noted of that can be forgotten.
    Repaired,
    /// The node would like a snapshot to be taken soon: many changes of the configuration have been applied since the last
    /// one, and it has to keep all of them; or a follower of a recovered cluster needs one. Said once for each snapshot.
    SnapshotWanted,
    /// A server that was to become a voter has not caught up, and stays a learner.
    StagingGivenUp {
        /// Which server.
        server: Pair,
    },
    /// A member has not been heard for [`Config::dead_after_ticks`](crate::Config::dead_after_ticks), and the leader is removing it.
    DeadRemoved {
        /// Which server.
        server: Pair,
    },
    /// This server is not in the committed configuration any more. It goes on answering, but campaigns no more unless a
    /// leader sends it entries again; it may be stopped for good.
    Removed {
        /// The index of that configuration.
        index: LogIndex,
    },
    /// A packet came for another incarnation of this server, or for another server. Its sender should look at its
    /// configuration, or this server's disk was wiped and it has to be added again.
    WrongIncarnation {
        /// Who sent it.
        from: Pair,
        /// Whom it was for.
        to: Pair,
    },
    /// A packet came from another cluster.
    WrongCluster {
        /// Who sent it.
        from: Pair,
        /// Which cluster it belongs to.
        cluster: ClusterId,
    },
    /// A packet came from a server that speaks no version of the protocol that this one does. It was not looked at: one of the two has to
    /// be upgraded, by way of a version that both speak.
    WrongVersion {
        /// Who sent it.
        from: Pair,
        /// What it speaks; this server speaks [`Versions::OURS`].
        versions: Versions,
    },
    /// A follower does not have what it acknowledged: its disk has lost what was durable, or an old copy of it was put back. It
    /// is sent again what it lacks, but it may have forgotten votes too: nothing that was acknowledged is safe with it, and it
    /// should be taken out of the cluster.
    PromiseBroken {
        /// Which server.
        server: Pair,
        /// Up to where it had acknowledged this leader's log.
        acknowledged: LogIndex,
        /// Up to where at most it has it now.
        held: LogIndex,
    },
    /// The node has halted: it answers nothing but refusals from now on.
    Fault(Fault),
}

/// Why a node has halted. All of them say that something else is broken, and that going on could break promises.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The driver said that a write has failed.
    WriteFailed,
    /// The driver said that the log can not be read.
    FetchFailed,
    /// The driver reported a write that was never issued.
    UnknownWrite,
    /// The driver reported an index as applied that was not handed out.
    UnknownApplied,
    /// The driver answered a fetch that was never asked for.
    UnknownFetch,
    /// Two servers lead in one term: some server voted twice.
    TwoLeaders,
    /// A leader wants to replace an entry that is committed here; or a snapshot that an older one has sent covers another entry
    /// than the one that the leader of this term has sent, so that one of the two has lost what was committed.
    CommittedConflict,
    /// A leader sends a first entry, or a snapshot with one, that is not the founding configuration of this cluster.
    OtherFounding,
    /// A leader replaces an entry that it has sent or confirmed itself.
    LeaderRewrites,
    /// A follower acknowledges what was never sent to it.
    ImpossibleAcknowledgement,
    /// The driver reported a snapshot of what was not applied, or the sending of one that was never to be sent.
    UnknownSnapshot,
    /// There is no term after the last (2⁶⁴ − 1), or no index.
    Exhausted,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::WriteFailed => "the disk failed to make a write durable",
            Fault::FetchFailed => "the disk failed to read the log",
            Fault::UnknownWrite => "a write was reported that was never issued",
            Fault::UnknownApplied => "entries were reported as applied that were never handed out",
            Fault::UnknownFetch => "a fetch was answered that was never asked for",
            Fault::TwoLeaders => "two servers lead in one term",
            Fault::CommittedConflict => "a leader wants to replace a committed entry",
            Fault::OtherFounding => "a leader sends the founding configuration of another cluster",
            Fault::LeaderRewrites => "a leader replaces an entry of its own log",
            Fault::ImpossibleAcknowledgement => "a follower acknowledged what it was never sent",
            Fault::UnknownSnapshot => "a snapshot was reported that can not be",
            Fault::Exhausted => "there are no more terms or log indexes",
        })
    }
}

impl core::error::Error for Fault {}
