//! Which configurations stand in which logs, and what a quorum of each is. Written from the thesis: the configuration in force on
//! a server is the last one in its log, committed or not (§4.1), and of a joint one it takes a majority of each half (§4.3).

use std::sync::Arc;

use raft_core::{LogIndex, Membership, Pair, Position, Server, Suffrage, Term};

use super::term_log::LogView;
use crate::action::{HostId, HostSet};

/// A configuration and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) position: Position,
    pub(super) membership: Arc<Membership>,
}

/// All that were seen in some log, in the order of index and term.
#[derive(Clone, Debug)]
pub(super) struct Configurations {
    founding: Known,
    known: Vec<Known>,
}

impl Configurations {
    /// Every log begins with the founding one.
    pub(super) fn new(founding: &Membership) -> Self {
        let position = Position { term: Term::ZERO, index: LogIndex::new(1) };
        let founding = Known { position, membership: Arc::new(founding.clone()) };
        Configurations { known: vec![founding.clone()], founding }
    }

    /// One was seen there; false where it was known.
    pub(super) fn note(&mut self, position: Position, membership: &Arc<Membership>) -> bool {
        let key = |position: Position| (position.index, position.term);
        match self.known.binary_search_by_key(&key(position), |known| key(known.position)) {
            Ok(_) => false,
            Err(place) => {
                self.known.insert(place, Known { position, membership: Arc::clone(membership) });
                true
            }
        }
    }

    /// The last one in a log; an empty log has none yet, and will begin with the founding one.
    pub(super) fn in_force(&self, log: &dyn LogView) -> &Known {
        self.up_to(log, LogIndex::MAX)
    }

    /// The last one in a log at or before `index`.
    pub(super) fn up_to(&self, log: &dyn LogView, index: LogIndex) -> &Known {
        let end = self.known.partition_point(|known| known.position.index <= index);
        let there = |known: &&Known| log.term_at(known.position.index) == Some(known.position.term);
        self.known[..end].iter().rev().find(there).unwrap_or(&self.founding)
    }

    pub(super) fn at(&self, position: Position) -> Option<&Known> {
        self.known.iter().rev().find(|known| known.position == position)
    }

    /// Whether some of them holds this pair.
    pub(super) fn holds(&self, pair: Pair) -> bool {
        self.known.iter().any(|known| is_member(&known.membership, pair))
    }
}

/// Those of these servers who vote.
pub(super) fn voters(servers: &[Server]) -> impl Iterator<Item = Pair> + Clone {
    servers.iter().filter(|server| server.suffrage == Suffrage::Voter).map(|server| server.pair)
}

/// The voters of each half; of a configuration that is not joint there is one.
pub(super) fn halves(membership: &Membership) -> impl Iterator<Item = Vec<Pair>> {
    let outgoing = Some(membership.outgoing()).filter(|outgoing| !outgoing.is_empty());
    [Some(membership.servers()), outgoing].into_iter().flatten().map(|half| voters(half).collect())
}

/// Whether those of whom `yes` says so hold a majority of each half.
pub(super) fn is_quorum(membership: &Membership, yes: impl Fn(Pair) -> bool) -> bool {
    halves(membership).all(|half| half.len() < 2 * half.iter().filter(|pair| yes(**pair)).count())
}

/// Whether this pair belongs to it, with or without a vote.
pub(super) fn is_member(membership: &Membership, pair: Pair) -> bool {
    membership.servers().iter().chain(membership.outgoing()).any(|server| server.pair == pair)
}

pub(super) fn is_voter(membership: &Membership, pair: Pair) -> bool {
    halves(membership).any(|half| half.contains(&pair))
}

/// The machines, in order, that are these pairs now.
pub(super) fn is_quorum_of(membership: &Membership, hosts: HostSet, pairs: &[Pair]) -> bool {
    is_quorum(membership, |pair| {
        pairs.iter().position(|known| *known == pair).is_some_and(|nth| hosts.contains(HostId::at(nth)))
    })
}
