//! The encoding of what a disk knows: of a start that was recorded, and of the beginning of a log whose first writes are gone.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message as _;

use super::recording::{cluster, entries, wire_entries};
use super::{DecodeError, index, membership, pair, position, snapshot};
use super::{wire, wire_cluster, wire_membership, wire_pair, wire_position, wire_snapshot};
use crate::entry::Runs;
use crate::log::TermStart;
use crate::position::Term;
use crate::write::{HardState, Recovered};

/// Encodes what a disk knows, all of it: protobuf, the message `Recovered` of `proto/raft_core.proto`. It stands for all writes
/// that it was made of, so a disk can begin with it in their place ([`Recovered`] says how). It has neither a length nor a
/// checksum. [`decode_recovered`] is the way back.
pub fn encode_recovered(recovered: &Recovered) -> Vec<u8> {
    wire_recovered(recovered).encode_to_vec()
}

/// Decodes what a disk knew. Its commands are slices of `bytes`, and keep them in memory. How far the state machine is
/// ([`Recovered::applied`]) and what is lost ([`Recovered::lost`]) are those of the time when it was encoded: set them anew.
///
/// # Errors
/// Where the bytes are not such a state: the disk is damaged, or was written by a newer version. What is decoded may still
/// contradict itself, and [`Node::new`](crate::Node::new) refuses it then.
pub fn decode_recovered(bytes: Bytes) -> Result<Recovered, DecodeError> {
    recovered(wire::Recovered::decode(bytes).map_err(|_| DecodeError::Malformed)?)
}

pub(super) fn wire_recovered(recovered: &Recovered) -> wire::Recovered {
    let Recovered { hard_state, commit, applied, snapshot, start, refounded, lost, terms, memberships, tail } =
        recovered;
    wire::Recovered {
        term: hard_state.term.raw(),
        vote: hard_state.vote.map(wire_pair),
        commit: commit.raw(),
        applied: applied.raw(),
        snapshot: snapshot.as_deref().map(wire_snapshot),
        start: Some(wire_position(*start)),
        refounded: refounded.map(|(index, cluster)| wire::recovered::Refounded {
            index: index.raw(),
            cluster: Some(wire_cluster(cluster)),
        }),
        lost: Some(wire_position(*lost)),
        terms: terms
            .iter()
            .map(|start| wire::Position { term: start.term.raw(), index: start.first.raw() })
            .collect(),
        memberships: memberships
            .iter()
            .map(|(index, membership)| wire::MembershipAt {
                index: index.raw(),
                membership: Some(wire_membership(membership)),
            })
            .collect(),
        tail: wire_entries(tail),
    }
}

pub(super) fn recovered(state: wire::Recovered) -> Result<Recovered, DecodeError> {
    let term = Term::new(state.term);
    let refounded = |refounded: wire::recovered::Refounded| {
        Ok::<_, DecodeError>((index(refounded.index)?, cluster(refounded.cluster)?))
    };
    let term_start = |position: wire::Position| {
        Ok::<_, DecodeError>(TermStart { term: Term::new(position.term), first: index(position.index)? })
    };
    let membership_at = |at: wire::MembershipAt| {
        let membership = membership(at.membership.ok_or(DecodeError::Missing("membership"))?)?;
        Ok::<_, DecodeError>((index(at.index)?, Arc::new(membership)))
    };
    Ok(Recovered {
        hard_state: HardState { term, vote: state.vote.as_ref().map(pair).transpose()? },
        commit: index(state.commit)?,
        applied: index(state.applied)?,
        snapshot: state.snapshot.map(|one| snapshot(Some(one), term)).transpose()?,
        start: position(state.start)?,
        refounded: state.refounded.map(refounded).transpose()?,
        lost: position(state.lost)?,
        terms: state.terms.into_iter().map(term_start).collect::<Result<_, _>>()?,
        memberships: state.memberships.into_iter().map(membership_at).collect::<Result<_, _>>()?,
        tail: state.tail.as_ref().map_or(Ok(Runs::new()), |tail| entries(tail, term))?,
    })
}
