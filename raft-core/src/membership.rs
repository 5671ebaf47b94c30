//! The configuration of the cluster as a value (Raft thesis chapter 4): who belongs to it, and who of them votes.
//!
//! The first entry of every log, at term 0 and index 1, is the *founding* configuration. It is the same on every founder,
//! bit for bit, and its digest is the cluster id.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::identity::{NodeId, Pair};

/// Whether a server's vote counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Suffrage {
    /// Votes, campaigns and counts towards commitment.
    Voter,
    /// Receives the log and nothing else (a *non-voting member*, Raft thesis §4.2.1).
    Learner,
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
/// twice, no empty peer address.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Membership {
    servers: Vec<Server>,
}

/// Why servers do not make a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MembershipError {
    /// No server of it votes, so nothing could ever be decided.
    NoVoter,
    /// More than [`Membership::SERVERS_MAX`] servers.
    TooMany,
    /// Two servers have this id.
    DuplicateId(NodeId),
    /// Two servers have this peer address.
    DuplicateAddress(String),
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
            MembershipError::DuplicateAddress(address) => write!(f, "peer address {address} is listed twice"),
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
        let mut addresses: Vec<&str> = servers.iter().map(|server| server.raft_address.as_str()).collect();
        addresses.sort_unstable();
        if let Some(two) = addresses.windows(2).find(|two| two[0] == two[1]) {
            return Err(MembershipError::DuplicateAddress(String::from(two[0])));
        }
        servers.sort_by_key(|server| server.pair);
        if let Some(two) = servers.windows(2).find(|two| two[0].pair.id == two[1].pair.id) {
            return Err(MembershipError::DuplicateId(two[0].pair.id));
        }
        if !servers.iter().any(|server| server.suffrage == Suffrage::Voter) {
            return Err(MembershipError::NoVoter);
        }
        Ok(Membership { servers })
    }

    /// All members, sorted by id.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The member that is this pair.
    pub fn server(&self, pair: Pair) -> Option<&Server> {
        self.by_id(pair.id).filter(|server| server.pair == pair)
    }

    /// The member with this id, whatever its incarnation.
    pub fn by_id(&self, id: NodeId) -> Option<&Server> {
        let nth = self.servers.binary_search_by_key(&id, |server| server.pair.id).ok()?;
        self.servers.get(nth)
    }

    /// The members whose votes count, sorted by id.
    pub fn voters(&self) -> impl Iterator<Item = Pair> + Clone {
        self.servers.iter().filter(|server| server.suffrage == Suffrage::Voter).map(|server| server.pair)
    }

    /// Whether this pair's vote counts.
    pub fn is_voter(&self, pair: Pair) -> bool {
        self.server(pair).is_some_and(|server| server.suffrage == Suffrage::Voter)
    }

    /// An upper bound of its encoding in bytes: what it counts towards limits.
    pub fn size(&self) -> u64 {
        let addresses = |server: &Server| (server.raft_address.len() + server.client_address.len()) as u64;
        self.servers.iter().map(|server| 64 + addresses(server)).sum()
    }
}
