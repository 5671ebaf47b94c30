//! Everything that can happen to a node.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::entry::Runs;
use crate::identity::NodeId;
use crate::membership::Server;
use crate::packet::Packet;
use crate::position::{FetchNumber, LogIndex, LogTime, Position, RequestId, SendNumber, WriteNumber};
use crate::snapshot::{Digest, Import};

/// One thing that happened, as [`Node::step`](crate::Node::step) takes it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Message {
    /// Time has passed. The embedder picks the length of a tick and may pass many at once. It tells the time that has
    /// passed *before* it hands over what arrived with it.
    Tick {
        /// How many ticks since the last `Tick`.
        elapsed: u32,
    },
    /// A packet has arrived.
    Packet(Packet),
    /// A client wants commands appended. Answered exactly once, see [`Outcome`](crate::Outcome).
    Propose {
        /// The caller's name for it, which comes back in the answer.
        id: RequestId,
        /// The commands, at least one: appended whole and consecutively, or refused whole.
        commands: Commands,
    },
    /// A client wants commands appended, wherever the leader is: as [`Propose`](Self::Propose) on a leader, else passed on to the leader
    /// that this server follows. Answered exactly once, within [`Config::forward_ticks`](crate::Config::forward_ticks) if it was passed
    /// on: then also as [`Outcome::Unanswered`](crate::Outcome::Unanswered).
    Forward {
        /// The caller's name for it.
        id: RequestId,
        /// The commands, at least one; of several as many as fit a packet
        /// ([`Config::append_bytes_max`](crate::Config::append_bytes_max)).
        commands: Commands,
    },
    /// Replace the state machine by a state that was made elsewhere, whose bytes are durable on this server. It is an entry of the
    /// log ([`Payload::Import`](crate::Payload::Import)), which only servers take that have the bytes too. Answered exactly once,
    /// like a proposal; proposals that wait are answered as [`Outcome::Replaced`](crate::Outcome::Replaced).
    Import {
        /// The caller's name for it.
        id: RequestId,
        /// Which state.
        import: Import,
    },
    /// The bytes of this state are durable on this server: the answer to [`Ready::obtain`](crate::Ready::obtain).
    Obtained(Import),
    /// Read, linearizably and without an entry in the log (Raft thesis §6.4), on any server that knows a leader. Answered exactly once:
    /// [`Outcome::Readable`](crate::Outcome::Readable) when the state machine of this server can be read for it, or refused: where no
    /// leader is known, where the leader becomes another one meanwhile, or where too many wait
    /// ([`Config::reads_max`](crate::Config::reads_max)).
    Read {
        /// The caller's name for it.
        id: RequestId,
    },
    /// Read what may be out of date by this much. Answered exactly once: as [`Outcome::Stale`](crate::Outcome::Stale), at once and whoever
    /// leads, where this server knows well enough how far the log was; else like [`Read`](Self::Read), which tells it.
    ReadWithin {
        /// The caller's name for it.
        id: RequestId,
        /// By how many ticks of this server's clock at most; with 0 it is a `Read`.
        ticks: u32,
    },
    /// Wait until the state machine of this server, which leads, has everything that was proposed to it before. Answered exactly once:
    /// [`Outcome::Readable`](crate::Outcome::Readable), or refused where it does not lead, or not long enough.
    Barrier {
        /// The caller's name for it.
        id: RequestId,
    },
    /// Make sure, by a round of heartbeats, that this server still leads. Answered exactly once:
    /// [`Outcome::Leads`](crate::Outcome::Leads), or refused.
    VerifyLeader {
        /// The caller's name for it.
        id: RequestId,
    },
    /// Change the configuration (Raft thesis chapter 4). Answered exactly once: when the configuration that it leads to is
    /// committed, or when it is refused, found to be none, or lost.
    Reconfigure {
        /// The caller's name for it.
        id: RequestId,
        /// What is to be.
        change: Change,
        /// The index of the configuration that the caller has looked at: where another one is in force by now, the change is
        /// refused. `None`: whatever is in force.
        based_on: Option<LogIndex>,
    },
    /// Hand the leadership over (Raft thesis §3.10). Answered exactly once: [`Outcome::Transferred`](crate::Outcome::Transferred),
    /// [`Outcome::NotTransferred`](crate::Outcome::NotTransferred) after an election timeout at the latest, or refused.
    Transfer {
        /// The caller's name for it.
        id: RequestId,
        /// To whom; `None`: to the voter whose log is the most up-to-date.
        to: Option<NodeId>,
    },
    /// Try to become leader now, without waiting for the election timeout. Nothing happens on a leader, on a server that
    /// has no vote or was told that it is removed, or while the disk is stalled; and with leases ([`Leases`](crate::Leases)) within
    /// their election timeout of hearing a leader, or of the start.
    Campaign,
    /// Stop leading, or trying to. Another election timeout passes before this server tries again. Proposals that wait are answered as
    /// [`Outcome::Lost`](crate::Outcome::Lost).
    StepDown,
    /// Forget the leader, and so do not refuse pre-votes for its sake. The election timer goes on. With leases nothing happens.
    ForgetLeader,
    /// All writes up to this one, included, are durable, and will be found whole at the next start. One that was reported before is
    /// ignored; one that was never issued halts the node.
    Synced(WriteNumber),
    /// This write, and with it all after it, could not be made durable. Final: the node promises nothing more and gives
    /// up leadership. A failed sync leaves nobody knowing what is on the disk, so there is no second try.
    WriteFailed(WriteNumber),
    /// The state machine has applied the log up to this index, included, or is what it was there after a
    /// [`Ready::restore`](crate::Ready::restore). It may be reported piece by piece; an index beyond what was handed out halts the node.
    Applied(LogIndex),
    /// The answer to a [`Fetch`](crate::Fetch).
    Fetched {
        /// The fetch that it answers.
        number: FetchNumber,
        /// What came of it.
        result: Fetched,
    },
    /// The state machine, as it was right after an entry that it has applied, is saved as a snapshot, durable. The core
    /// compacts the log, and gives [`Node::snapshot`](crate::Node::snapshot) out for those that need it. Older ones may be
    /// deleted once the write that names this one is durable, not before: but for those that are being sent or restored. One that is older than that is ignored, and so is one that is taken while
    /// the write of an installed one has not been issued.
    SnapshotTaken {
        /// The position of that entry.
        last: Position,
        /// Its log time.
        time: LogTime,
        /// How many bytes the snapshot has.
        size: u64,
        /// The embedder's digest of the bytes.
        digest: Digest,
    },
    /// What came of a [`SendSnapshot`](crate::SendSnapshot). Each is to be answered, in the end: while it is not, no other is sent
    /// to the same server, and the log is not compacted beyond it.
    SnapshotSent {
        /// Which one.
        number: SendNumber,
        /// Whether all of it is durable at the receiver, and it was handed the packet.
        arrived: bool,
    },
}

/// A change of the configuration, as a target: done twice, it changes nothing the second time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Exactly these servers, in any order. Where more than one voter differs, by way of a joint configuration.
    Set(Vec<Server>),
    /// This server too. One with the same id is replaced: its suffrage, addresses and incarnation are those given here.
    Add(Server),
    /// Without the server of this id, whatever its incarnation. Where there is none, that is so already.
    Remove(NodeId),
    /// The server of this id, a member already, votes.
    Promote(NodeId),
    /// The server of this id, a member already, is a learner.
    Demote(NodeId),
    /// The server of this id is reached elsewhere.
    Readdress {
        /// Which server.
        id: NodeId,
        /// Where its peers reach it from now on.
        raft_address: String,
        /// Where clients reach it from now on.
        client_address: String,
    },
}

/// What came of a fetch.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Fetched {
    /// Entries from the asked-for index on: at least one, and as many more as the limits of the fetch allow.
    Entries(Runs),
    /// The log begins behind the first index asked for: it was compacted meanwhile, as a write had said. Where the core knows
    /// of no such write, this is a failure.
    Compacted,
    /// The log could not be read. Final, like a failed write.
    Failed,
}

/// The commands of one proposal. One command costs no allocation of its own.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Commands {
    /// A single command.
    One(Bytes),
    /// Several, in order.
    Many(Vec<Bytes>),
}

impl Commands {
    /// The commands in order.
    pub fn as_slice(&self) -> &[Bytes] {
        match self {
            Commands::One(command) => core::slice::from_ref(command),
            Commands::Many(commands) => commands,
        }
    }
}

impl From<Bytes> for Commands {
    fn from(command: Bytes) -> Self {
        Commands::One(command)
    }
}

impl From<Vec<u8>> for Commands {
    fn from(command: Vec<u8>) -> Self {
        Commands::One(command.into())
    }
}

impl From<&'static [u8]> for Commands {
    fn from(command: &'static [u8]) -> Self {
        Commands::One(Bytes::from_static(command))
    }
}

impl From<Vec<Bytes>> for Commands {
    fn from(commands: Vec<Bytes>) -> Self {
        Commands::Many(commands)
    }
}
