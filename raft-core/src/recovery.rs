//! Recovery from a lost quorum: where most of the voters are gone for good, no vote can bring the cluster back, and an operator
//! has to say that what one survivor has is what there is. The survivor's log goes on as that of *another* cluster, with another
//! id and in a later term, so that those which were lost can not come back as a quorum and contradict it.
//!
//! This breaks the promise that acknowledged entries are never lost, if the survivor does not have them all. Take the one whose
//! last position is the greatest, and look at what [`recover`] says before it is written: that is the dry run.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use crate::encoding::refounded_id;
use crate::entry::{Entry, Payload, Run, Runs};
use crate::identity::{ClusterId, Pair};
use crate::membership::Membership;
use crate::position::{LogIndex, LogTime, Position, WriteNumber};
use crate::write::{HardState, Recovered, Write};

/// What a recovery would do, or has done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// The id of the cluster that the log is of from then on. The server's identity has to have it, and so have the servers
    /// that are added: they start with empty disks.
    pub cluster: ClusterId,
    /// The batch to make durable before the next start. `None` where it is there already.
    pub write: Option<Write>,
    /// The end of the log, before what the recovery appends.
    pub last: Position,
    /// Up to where the log was known to be committed. What stands behind it was perhaps acknowledged to clients and perhaps
    /// not; the recovery commits all of it.
    pub commit: LogIndex,
    /// The configuration so far.
    pub membership: Option<Arc<Membership>>,
}

/// Why a recovery is refused. Nothing has been changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecoveryError {
    /// This disk has never heard of a cluster.
    Empty,
    /// The server itself is not to vote in the new cluster, so nobody there would have the log.
    NotAVoter(Pair),
    /// The new configuration is joint.
    Joint,
    /// There is no term after the last, or no index.
    Exhausted,
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoveryError::Empty => f.write_str("this disk holds no log"),
            RecoveryError::NotAVoter(pair) => {
                write!(f, "{pair} is to recover the cluster, but would have no vote in it")
            }
            RecoveryError::Joint => f.write_str("a cluster can not be recovered into a joint configuration"),
            RecoveryError::Exhausted => f.write_str("there are no more terms or log indexes"),
        }
    }
}

impl core::error::Error for RecoveryError {}

/// Makes of what a survivor's disk holds the beginning of another cluster, of the servers in `membership`: all of the log is taken
/// for committed, and the configuration is appended to it in the next term, as if the survivor had been elected in that.
///
/// Voters other than the survivor start with empty disks, and the new cluster's id; they are sent a snapshot, which the survivor
/// asks its embedder for ([`Event::SnapshotWanted`](crate::Event::SnapshotWanted)), since the old log is of another cluster. Leases
/// are as they were.
///
/// # Errors
/// See [`RecoveryError`].
pub fn recover(disk: &Recovered, membership: &Membership, survivor: Pair) -> Result<Recovery, RecoveryError> {
    let cluster = disk.cluster().ok_or(RecoveryError::Empty)?;
    if membership.is_joint() {
        return Err(RecoveryError::Joint);
    }
    if !membership.is_voter(survivor) {
        return Err(RecoveryError::NotAVoter(survivor));
    }
    let (last, commit, before) = (disk.last(), disk.commit, disk.membership().cloned());
    let leases = before.as_ref().and_then(|before| before.leases());
    let membership = &membership.clone().with_leases(leases);
    let recovery = Recovery { cluster, write: None, last, commit, membership: before };
    if let Some((index, _)) = disk.refounded
        && index == last.index
        && disk.membership().is_some_and(|there| **there == *membership)
    {
        return Ok(recovery);
    }
    let term = disk.hard_state.term.next().ok_or(RecoveryError::Exhausted)?;
    // With the term: two survivors with equal logs may have seen different ones, and would make different logs of them.
    let cluster = refounded_id(cluster, Position { term, index: last.index.next() }, membership);
    let time = disk.tail.entries().last().map(|(_, entry)| entry.time);
    let time = time.or(disk.snapshot.as_ref().map(|snapshot| snapshot.time)).unwrap_or(LogTime::ZERO);
    let entry = Entry::new(time, Payload::Membership(Arc::new(membership.clone())));
    let run = Run::new(term, last.index.next(), [entry]).map_err(|_| RecoveryError::Exhausted)?;
    let write = Write {
        number: WriteNumber::ZERO,
        hard_state: HardState { term, vote: Some(survivor) },
        commit: run.last(),
        entries: Runs::from(run),
        compaction: None,
        refounds: Some(Box::new(cluster)),
    };
    Ok(Recovery { cluster, write: Some(write), ..recovery })
}
