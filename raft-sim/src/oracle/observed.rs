//! What an oracle sees of a node: its status before and after a step, the terms in its log, and what came out; and the digest of an
//! entry, by which contents are compared.

use raft_core::{
    Boot, Entry, Fault, LogIndex, Membership, Node, Pair, Position, Ready, RoleKind, Status, Suffrage, Term,
};

use super::LogView;
use crate::action::HostId;

/// What an oracle can know of a node by looking at its status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Whether it leads its term.
    pub leads: bool,
    /// Whether it is a candidate in it.
    pub campaigns: bool,
    /// Its term.
    pub term: Term,
    /// Its vote in it.
    pub vote: Option<Pair>,
    /// Its commit index.
    pub commit: LogIndex,
    /// Up to where it knows its log applied.
    pub applied: LogIndex,
    /// The end of its log.
    pub last: Position,
    /// Why it has halted, if it has.
    pub fault: Option<Fault>,
}

impl From<Status> for Seen {
    fn from(status: Status) -> Self {
        Seen {
            leads: status.role == RoleKind::Leader,
            campaigns: status.role == RoleKind::Candidate,
            term: status.term,
            vote: status.vote,
            commit: status.commit,
            applied: status.applied,
            last: status.last,
            fault: status.fault,
        }
    }
}

impl LogView for Node {
    fn term_at(&self, index: LogIndex) -> Option<Term> {
        Node::term_at(self, index)
    }

    fn in_force(&self) -> Option<LogIndex> {
        Some(self.membership_index())
    }

    fn membership(&self) -> Option<&Membership> {
        Node::membership(self).map(|membership| &**membership)
    }

    fn start(&self) -> Option<Position> {
        Some(self.status().start)
    }
}

/// A step of a node, as the oracles see it.
pub struct Step<'a> {
    /// Where.
    pub host: HostId,
    /// Who.
    pub pair: Pair,
    /// Which start of it.
    pub boot: Boot,
    /// Before the step.
    pub before: Seen,
    /// After it.
    pub after: Seen,
    /// The log after it.
    pub log: &'a dyn LogView,
    /// What it wants of the world.
    pub ready: &'a Ready,
}

/// The digest of an entry's content, by our own encoding. The position is not part of it.
pub(super) fn digest_entry(entry: &Entry) -> u64 {
    use raft_core::Payload;
    use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};
    let seed = entry.time.raw() << 2;
    match &entry.payload {
        Payload::Noop => xxh3_64_with_seed(&[], seed),
        Payload::Timer => xxh3_64_with_seed(&[], seed | 3),
        Payload::Command(bytes) => xxh3_64_with_seed(bytes, seed | 1),
        Payload::Membership(membership) => {
            let mut bytes = Vec::new();
            // A configuration that is not joint has the same bytes as before there were joint ones.
            let joint = Some(membership.outgoing()).filter(|outgoing| !outgoing.is_empty());
            for server in membership.servers().iter().chain(joint.into_iter().flatten()) {
                bytes.extend(server.pair.id.raw().to_be_bytes());
                bytes.extend(server.pair.incarnation.raw().to_be_bytes());
                bytes.push(match server.suffrage {
                    Suffrage::Voter => 1,
                    Suffrage::Learner => 0,
                    _ => 2,
                });
                bytes.extend(xxh3_64(server.raft_address.as_bytes()).to_be_bytes());
                bytes.extend(xxh3_64(server.client_address.as_bytes()).to_be_bytes());
            }
            // Where the halves meet.
            bytes.extend(joint.map(|_| membership.servers().len() as u8));
            xxh3_64_with_seed(&bytes, seed | 2)
        }
        // A payload of a later version is told apart by nothing but its time until an oracle learns to read it.
        _ => xxh3_64_with_seed(&[0xff], seed | 3),
    }
}
