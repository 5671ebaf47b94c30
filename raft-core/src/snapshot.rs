//! Snapshots as the core sees them (Raft thesis chapter 5): what one covers, never its bytes. And the transfers of them that
//! are under way: at most one to each server.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::identity::{ClusterId, Pair};
use crate::membership::Membership;
use crate::packet::Packet;
use crate::position::{LogIndex, LogTime, Position, SendNumber};
use crate::renaming::Renaming;

/// The embedder's digest of bytes that the core never sees, by which servers know them: a good one is never the same for two
/// different states.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest {
    // Two halves and not one number of 128 bits, whose alignment would make every entry larger.
    high: u64,
    low: u64,
}

impl Digest {
    /// A digest from its bits.
    pub const fn new(bits: u128) -> Self {
        Digest { high: (bits >> 64) as u64, low: bits as u64 }
    }

    /// The bits.
    pub const fn raw(self) -> u128 {
        ((self.high as u128) << 64) | self.low as u128
    }
}

impl From<u128> for Digest {
    fn from(bits: u128) -> Self {
        Digest::new(bits)
    }
}

/// A state that was made elsewhere, for instance saved by another cluster.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Import {
    /// How many bytes it has; the core passes it on.
    pub size: u64,
    /// The embedder's digest of the bytes.
    pub digest: Digest,
}

/// What a snapshot of a state machine stands for: all entries up to `last`, which are committed. It takes their place in the
/// log (Raft thesis §5.1). The embedder keeps the bytes, and finds them by this.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Snapshot {
    /// The cluster whose state it is.
    pub cluster: ClusterId,
    /// The last entry that it covers; its index is at least 1.
    pub last: Position,
    /// The log time of that entry.
    pub time: LogTime,
    /// The configuration in force there. It is committed, as everything that a snapshot covers.
    pub membership: Arc<Membership>,
    /// The index of that configuration, from 1 to that of `last`.
    pub membership_index: LogIndex,
    /// How many bytes it has; the core passes it on.
    pub size: u64,
    /// The embedder's digest of the bytes, by which a receiver knows that it has them all and right; the core passes it on.
    pub digest: Digest,
}

/// From here on a snapshot stands for the beginning of the log: part of a [`Write`](crate::Write).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Compaction {
    /// The snapshot. Its bytes have been durable since before the write was issued.
    pub snapshot: Arc<Snapshot>,
    /// The log begins behind this position, which is at or before the end of the snapshot: once the write is durable, all
    /// up to it may be deleted.
    pub start: Position,
    /// Whether the snapshot takes the place of the whole log: what stood in it behind `start` is not to be kept either.
    /// `start` is the end of the snapshot then.
    pub discards: bool,
}

/// A snapshot to be sent to another server, beside the packets and as slowly as need be. Answer each with
/// [`Message::SnapshotSent`](crate::Message::SnapshotSent).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SendSnapshot {
    /// 1, 2, 3 … within one boot; the answer carries it.
    pub number: SendNumber,
    /// The packet ([`Body::InstallSnapshot`](crate::Body::InstallSnapshot)) that is to be handed to the receiver *once it has all
    /// bytes of the snapshot, and has them durable*: not before, and not without them.
    pub packet: Packet,
}

/// The transfers that are not answered yet.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Transfers {
    last_number: SendNumber,
    pending: Vec<Pending>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Pending {
    number: SendNumber,
    pub(crate) to: Pair,
    /// The last index that the snapshot covers.
    pub(crate) last: LogIndex,
}

/// What a report of a transfer turns out to be.
pub(crate) enum Reported {
    /// Of this one.
    Now(Pending),
    /// It was reported before.
    Before,
    /// There was never such a one.
    Never,
}

impl Snapshot {
    /// With other names, see [`Renaming`].
    pub(crate) fn renamed(&self, names: &mut impl Renaming) -> Arc<Snapshot> {
        let membership = self.membership.renamed_or_same(names);
        let (size, digest) = names.snapshot(self.last, self.size, self.digest);
        let time = crate::renaming::time(names, self.time);
        Arc::new(Snapshot { membership, time, size, digest, ..self.clone() })
    }
}

impl Transfers {
    /// With other names, see [`Renaming`].
    pub(crate) fn rename(&mut self, names: &mut impl Renaming) {
        self.last_number = names.send(self.last_number);
        for pending in &mut self.pending {
            pending.number = names.send(pending.number);
            pending.to = names.pair(pending.to);
        }
    }

    /// The one to this server, if there is one.
    pub(crate) fn to(&self, pair: Pair) -> Option<&Pending> {
        self.pending.iter().find(|pending| pending.to == pair)
    }

    /// Up to which index the shortest snapshot under way reaches: who gets it needs the log from there on.
    pub(crate) fn shortest(&self) -> Option<LogIndex> {
        self.pending.iter().map(|pending| pending.last).min()
    }

    /// Begins a transfer, to a server to which none is under way.
    pub(crate) fn begin(&mut self, to: Pair, last: LogIndex) -> SendNumber {
        self.last_number = self.last_number.next();
        self.pending.push(Pending { number: self.last_number, to, last });
        self.last_number
    }

    /// Takes out the transfer of that number.
    pub(crate) fn reported(&mut self, number: SendNumber) -> Reported {
        match self.pending.iter().position(|pending| pending.number == number) {
            Some(nth) => Reported::Now(self.pending.remove(nth)),
            None if SendNumber::ZERO < number && number <= self.last_number => Reported::Before,
            None => Reported::Never,
        }
    }
}
