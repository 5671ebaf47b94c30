//! The configuration of the cluster as a value (Raft thesis chapter 4): who belongs to it, and who of them votes.
//!
//! A configuration is either one set of servers, or *joint* (thesis §4.3): the set that is to be, and the one that was. While
//! it is joint, whatever takes a majority takes a majority of the voters of each of the two.
//!
//! The first entry of every log, at term 0 and index 1, is the *founding* configuration. It is the same on every founder,
//! bit for bit, and its digest is the cluster id.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::identity::{NodeId, Pair};
use crate::leases::Leases;
use crate::quorum;
use crate::renaming::Renaming;

/// Whether a server's vote counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Suffrage {
    /// Votes, campaigns and counts towards commitment.
    Voter,
    /// Receives the log and nothing else (a *non-voting member*, Raft thesis §4.2.1).
    Learner,
    /// A learner that the leader of the day makes a voter once it has caught up, or a plain learner if it does not within a
    /// bounded number of rounds (thesis §4.2.1).
    Staging,
}

/// A member of the cluster.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Server {
    /// Which server, and which life of its disk.
    pub pair: Pair,
    /// Whether its vote counts.
    pub suffrage: Suffrage,
    /// Where its peers reach it. The core only checks that it is unique and not empty.
    pub raft_address: String,
    /// Where clients reach it, for redirects. May be empty; the core never looks at it.
    pub client_address: String,
}

/// A configuration of the cluster, sorted by server id. It can only be made valid: at least one voter, no id or address
/// twice, no empty peer address; and so is each half of a joint one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Membership {
    servers: Vec<Server>,
    /// In a joint configuration the servers of the one before it; else empty.
    outgoing: Vec<Server>,
    /// The same in every configuration of a cluster.
    leases: Option<Leases>,
}

/// In which half of a configuration a server's vote counts; one that is not joint has the incoming half only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Votes {
    pub(crate) incoming: bool,
    pub(crate) outgoing: bool,
}

impl Votes {
    pub(crate) const fn any(self) -> bool {
        self.incoming || self.outgoing
    }
}

/// Why servers do not make a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum MembershipError {
    /// No server of it votes, so nothing could ever be decided.
    NoVoter,
    /// More than [`Membership::SERVERS_MAX`] servers.
    TooMany,
    /// Two servers have this id.
    DuplicateId(NodeId),
    /// These two servers have the same peer address.
    DuplicateAddress(NodeId, NodeId),
    /// This server has no peer address.
    EmptyAddress(NodeId),
}

impl fmt::Display for MembershipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MembershipError::TooMany => {
                write!(f, "a cluster has at most {} servers", Membership::SERVERS_MAX)
            }
            MembershipError::NoVoter => f.write_str("a cluster needs at least one voter"),
            MembershipError::DuplicateId(id) => write!(f, "server id {id} is listed twice"),
            MembershipError::DuplicateAddress(one, other) => {
                write!(f, "servers {one} and {other} have the same peer address")
            }
            MembershipError::EmptyAddress(id) => write!(f, "server {id} has no peer address"),
        }
    }
}

impl core::error::Error for MembershipError {}

impl Membership {
    /// The most servers of a configuration, voters and learners together.
    pub const SERVERS_MAX: usize = 4096;

    /// A configuration of `servers`, in any order.
    ///
    /// # Errors
    /// Where the servers do not make a valid configuration; see [`MembershipError`].
    pub fn new(mut servers: Vec<Server>) -> Result<Self, MembershipError> {
        if Self::SERVERS_MAX < servers.len() {
            return Err(MembershipError::TooMany);
        }
        if let Some(server) = servers.iter().find(|server| server.raft_address.is_empty()) {
            return Err(MembershipError::EmptyAddress(server.pair.id));
        }
        let mut addresses: Vec<_> =
            servers.iter().map(|server| (server.raft_address.as_str(), server.pair.id)).collect();
        addresses.sort_unstable();
        if let Some(two) = addresses.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(MembershipError::DuplicateAddress(two[0].1, two[1].1));
        }
        servers.sort_by_key(|server| server.pair);
        if let Some(two) = servers.windows(2).find(|two| two[0].pair.id == two[1].pair.id) {
            return Err(MembershipError::DuplicateId(two[0].pair.id));
        }
        if !servers.iter().any(|server| server.suffrage == Suffrage::Voter) {
            return Err(MembershipError::NoVoter);
        }
        Ok(Membership { servers, outgoing: Vec::new(), leases: None })
    }

    /// The same servers, in a cluster with leases on these terms, or without. Of use for a founding configuration only: later ones take
    /// over what that says, whatever is asked for.
    #[must_use]
    pub fn with_leases(self, leases: Option<Leases>) -> Membership {
        Membership { leases, ..self }
    }

    /// With other names, see [`Renaming`].
    #[must_use]
    pub fn renamed(&self, names: &mut impl Renaming) -> Membership {
        let mut half = |servers: &[Server]| {
            let mut servers: Vec<_> = servers.iter().map(|server| names.server(server)).collect();
            servers.sort_unstable_by_key(|server| server.pair);
            servers
        };
        Membership { servers: half(&self.servers), outgoing: half(&self.outgoing), leases: self.leases }
    }

    /// The same, and not copied where nothing has another name.
    pub(crate) fn renamed_or_same(self: &Arc<Self>, names: &mut impl Renaming) -> Arc<Self> {
        let renamed = self.renamed(names);
        if renamed == **self { Arc::clone(self) } else { Arc::new(renamed) }
    }

    /// The terms of leases in this cluster, if there are any.
    pub const fn leases(&self) -> Option<Leases> {
        self.leases
    }

    /// The joint configuration on the way from `self` to `incoming` (Raft thesis §4.3). Neither may be joint itself: what a
    /// joint one leads to is left out.
    #[must_use]
    pub fn joint(&self, incoming: &Membership) -> Membership {
        Membership { servers: incoming.servers.clone(), outgoing: self.servers.clone(), leases: self.leases }
    }

    /// Where a joint configuration leads to: the incoming half. A configuration that is not joint leads to itself.
    #[must_use]
    pub fn incoming(&self) -> Membership {
        Membership { servers: self.servers.clone(), outgoing: Vec::new(), leases: self.leases }
    }

    /// Whether this is a joint configuration.
    pub const fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The servers, sorted by id; of a joint configuration those of the incoming half.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The servers of the outgoing half of a joint configuration, sorted by id; none where it is not joint.
    pub fn outgoing(&self) -> &[Server] {
        &self.outgoing
    }

    /// All members, each pair once: the servers, and behind them those that are in the outgoing half only.
    pub fn members(&self) -> impl Iterator<Item = &Server> + Clone {
        let leaving = |server: &&Server| find(&self.servers, server.pair).is_none();
        self.servers.iter().chain(self.outgoing.iter().filter(leaving))
    }

    /// The member that is this pair; as it is to be, if it is in both halves.
    pub fn server(&self, pair: Pair) -> Option<&Server> {
        find(&self.servers, pair).or_else(|| find(&self.outgoing, pair))
    }

    /// The server with this id, whatever its incarnation; of a joint configuration the one of the incoming half.
    pub fn by_id(&self, id: NodeId) -> Option<&Server> {
        by_id(&self.servers, id)
    }

    /// The members whose votes count, each once: those of the incoming half, sorted by id, and then those of the outgoing
    /// half only.
    pub fn voters(&self) -> impl Iterator<Item = Pair> + Clone {
        let only_outgoing = |pair: &Pair| !votes(&self.servers, *pair);
        voters(&self.servers).chain(voters(&self.outgoing).filter(only_outgoing))
    }

    /// Whether this pair's vote counts.
    pub fn is_voter(&self, pair: Pair) -> bool {
        self.votes(pair).any()
    }

    /// Whether those of whom `yes` says so are a quorum: a majority of the voters, and in a joint configuration a majority of
    /// the voters of each half.
    pub fn is_quorum(&self, yes: impl Fn(Pair) -> bool) -> bool {
        let half = |servers| quorum::is_quorum(voters(servers).map(&yes));
        half(&self.servers) && (!self.is_joint() || half(&self.outgoing))
    }

    /// Whether this pair is to become a voter once it has caught up.
    pub(crate) fn is_staging(&self, pair: Pair) -> bool {
        find(&self.servers, pair).is_some_and(|server| server.suffrage == Suffrage::Staging)
    }

    pub(crate) fn votes(&self, pair: Pair) -> Votes {
        Votes { incoming: votes(&self.servers, pair), outgoing: votes(&self.outgoing, pair) }
    }

    /// How many voters are in the one but not in the other, both ways; learners do not count.
    pub(crate) fn voters_that_differ(&self, other: &Membership) -> usize {
        let lacks = |has: &Membership, lacks: &Membership| {
            voters(&has.servers).filter(|pair| !votes(&lacks.servers, *pair)).count()
        };
        lacks(self, other) + lacks(other, self)
    }

    /// What it counts towards limits, in bytes: at least as many as its encoding has.
    pub fn size(&self) -> u64 {
        let addresses = |server: &Server| (server.raft_address.len() + server.client_address.len()) as u64;
        self.servers.iter().chain(&self.outgoing).map(|server| 64 + addresses(server)).sum()
    }
}

// Of servers that are sorted by id.

fn by_id(servers: &[Server], id: NodeId) -> Option<&Server> {
    let nth = servers.binary_search_by_key(&id, |server| server.pair.id).ok()?;
    servers.get(nth)
}

fn find(servers: &[Server], pair: Pair) -> Option<&Server> {
    by_id(servers, pair.id).filter(|server| server.pair == pair)
}

fn votes(servers: &[Server], pair: Pair) -> bool {
    find(servers, pair).is_some_and(|server| server.suffrage == Suffrage::Voter)
}

fn voters(servers: &[Server]) -> impl Iterator<Item = Pair> + Clone {
    servers.iter().filter(|server| server.suffrage == Suffrage::Voter).map(|server| server.pair)
}

#[cfg(test)]
mod tests {
    //! Goal: quorums that follow one another always meet. Method: brute force over all configurations of up to four servers
    //! on each side, and all sets of servers.

    use alloc::format;
    use alloc::vec::Vec;

    use super::{Membership, Server, Suffrage};
    use crate::identity::{Incarnation, NodeId, Pair};

    const SERVERS: u32 = 5;

    fn pair(id: u32) -> Pair {
        Pair {
            id: NodeId::new(u64::from(id)).expect("not zero"),
            incarnation: Incarnation::new(u128::from(id)),
        }
    }

    /// The voters whose bits are set, of at most four.
    fn of(voters: u32) -> Option<Membership> {
        let server = |id| Server {
            pair: pair(id),
            suffrage: Suffrage::Voter,
            raft_address: format!("{id}"),
            client_address: "".into(),
        };
        let servers = (1..=SERVERS).filter(|id| voters & 1 << (id - 1) != 0).map(server).collect::<Vec<_>>();
        (servers.len() <= 4).then(|| Membership::new(servers).ok()).flatten()
    }

    fn quorums(membership: &Membership) -> Vec<u32> {
        let is_quorum = |set: &u32| membership.is_quorum(|pair| set & 1 << (pair.id.raw() - 1) != 0);
        (0..1u32 << SERVERS).filter(is_quorum).collect()
    }

    fn always_meet(a: &Membership, b: &Membership) -> bool {
        let theirs = quorums(b);
        quorums(a).iter().all(|a| theirs.iter().all(|b| a & b != 0))
    }

    #[test]
    fn quorums_of_consecutive_configurations_meet() {
        let all = || (0..1u32 << SERVERS).filter_map(of);
        let (mut direct, mut apart) = (0, 0);
        for before in all() {
            for after in all() {
                let joint = before.joint(&after);
                assert!(always_meet(&before, &joint) && always_meet(&joint, &after), "{before:?} {after:?}");
                assert!(always_meet(&joint, &joint));
                if before.voters_that_differ(&after) <= 1 {
                    direct += 1;
                    assert!(always_meet(&before, &after), "{before:?} {after:?}");
                } else if !always_meet(&before, &after) {
                    apart += 1;
                }
            }
        }
        assert!(30 < direct && 100 < apart, "{direct} direct, {apart} that need a joint configuration");
    }

    #[test]
    fn joint_configurations_know_both_halves() {
        let (before, after) = (of(0b00111).expect("valid"), of(0b11001).expect("valid"));
        let joint = before.joint(&after);
        assert_eq!(joint.incoming(), after);
        assert!(joint.is_joint() && !after.is_joint());
        let ids = |pairs: &mut dyn Iterator<Item = Pair>| pairs.map(|pair| pair.id.raw()).collect::<Vec<_>>();
        assert_eq!(ids(&mut joint.voters()), [1, 4, 5, 2, 3]);
        assert_eq!(ids(&mut joint.members().map(|server| server.pair)), [1, 4, 5, 2, 3]);
        assert!((1..=5).all(|id| joint.is_voter(pair(id)) && joint.server(pair(id)).is_some()));
        assert_eq!(joint.votes(pair(2)), super::Votes { incoming: false, outgoing: true });
        assert_eq!(before.voters_that_differ(&after), 4);
    }

    #[test]
    fn size_counts_every_server_and_every_address() {
        let (before, after) = (of(0b00111).expect("valid"), of(0b11001).expect("valid"));
        assert_eq!(before.size(), 3 * (64 + 1));
        assert_eq!(before.joint(&after).size(), 6 * (64 + 1), "who is in both halves is encoded twice");
        let mut servers = before.servers().to_vec();
        servers[0].client_address = "four".into();
        servers[1].raft_address = "sixsix".into();
        assert_eq!(Membership::new(servers).expect("valid").size(), (64 + 5) + (64 + 6) + (64 + 1));
    }
}
