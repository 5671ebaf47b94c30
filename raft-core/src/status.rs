//! What can be looked up of a node from outside, as plain values.

use crate::identity::Pair;
use crate::position::{LogIndex, Position, Term};
use crate::ready::{Fault, RoleKind};

/// What a node is and how far it is, for people and programs that look at it from outside.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Its role.
    pub role: RoleKind,
    /// Its term.
    pub term: Term,
    /// Whom it voted for in this term.
    pub vote: Option<Pair>,
    /// The leader of this term, if it knows one; itself, if it leads.
    pub leader: Option<Pair>,
    /// How often it has tried to become leader since it last heard of one, or was one; saturating.
    pub campaigns: u32,
    /// Up to where the log is known to be committed.
    pub commit: LogIndex,
    /// Up to where the state machine has applied it.
    pub applied: LogIndex,
    /// What stands right before the first entry of the log: index 0, or further where it was compacted.
    pub start: Position,
    /// The end of the log.
    pub last: Position,
    /// Up to where the log is durable on this server.
    pub durable: LogIndex,
    /// Up to where the disk may have lost a log that was acknowledged, see [`Recovered::lost`](crate::Recovered::lost).
    pub lost: Option<Position>,
    /// Why it has halted, if it has.
    pub fault: Option<Fault>,
}

/// What a leader knows of another member, for people and programs that look at it from outside.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct FollowerStatus {
    /// Which server.
    pub server: Pair,
    /// Up to where the log is durable there and equal to the leader's. What [`Status::last`] has more is its lag.
    pub matched: LogIndex,
    /// The next index that it is sent.
    pub next: LogIndex,
    /// Whether it is still looked for where the logs agree, one append at a time; else appends are sent without waiting for answers.
    pub probing: bool,
    /// How many appends are on their way to it, or not yet known to be durable there.
    pub in_flight: usize,
    /// How many ticks ago it was last heard of; at most the election timeout, after which it counts as gone, or
    /// [`Config::dead_after_ticks`](crate::Config::dead_after_ticks) if that is more.
    pub silent_ticks: u32,
    /// Whether it needs a snapshot, and is sent one; the log goes on from there.
    pub snapshot: bool,
    /// Whether the leader waits for its disk to give it what it needs next.
    pub fetching: bool,
}
