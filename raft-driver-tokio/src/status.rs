//! What can be seen of a server from outside.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use raft_core::{Fault, FollowerStatus, Identity, LogIndex, Membership, Status};

use crate::log::LogError;

/// What a server is, and how far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeStatus {
    /// Who it is.
    pub identity: Identity,
    /// What the node says of itself.
    pub core: Status,
    /// The configuration in force; `None` on a server that has not heard of its cluster yet.
    pub membership: Option<Arc<Membership>>,
    /// The index of that configuration; 0 where there is none.
    pub membership_index: LogIndex,
    /// The index of the committed configuration that this server is not in any more, once it knows so. It goes on
    /// answering, since others may not have heard of it, and may be stopped for good.
    pub removed: Option<LogIndex>,
}

/// What a leader knows of another member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Follower {
    /// What its node says of it.
    pub node: FollowerStatus,
    /// How long ago the leader has last taken a packet of it, however long that is and whoever led then; counted while the
    /// machine is suspended too. `None` if there was none since the leader was started, or since the other became a member.
    pub heard: Option<Duration>,
}

/// Why a server has stopped.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StopReason {
    /// It was asked to, by [`Handle::shutdown`](crate::Handle::shutdown) or by dropping the last handle.
    Shutdown,
    /// The node has halted: going on could have broken promises.
    Fault {
        /// Why.
        fault: Fault,
        /// What the disk said, where it was the disk.
        cause: Option<Arc<LogError>>,
    },
    /// The log begins with a snapshot, or imports a state, and this driver keeps neither: another program has written it, or
    /// leads.
    StateBesideLog,
    /// The state machine has panicked.
    StateMachine,
    /// The driver itself has panicked: a bug.
    Driver,
}

impl StopReason {
    /// Whether all is well, and the server can be started again without a look at it.
    pub fn is_clean(&self) -> bool {
        matches!(self, StopReason::Shutdown)
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopReason::Shutdown => f.write_str("it was asked to"),
            StopReason::Fault { fault, cause: None } => write!(f, "{fault}"),
            StopReason::Fault { fault, cause: Some(cause) } => write!(f, "{fault}: {cause}"),
            StopReason::StateBesideLog => f.write_str(
                "its log needs a state that is kept beside it, a snapshot or an import, which it can not restore, get or send",
            ),
            StopReason::StateMachine => f.write_str("the state machine panicked"),
            StopReason::Driver => f.write_str("the driver panicked, which is a bug in it"),
        }
    }
}
