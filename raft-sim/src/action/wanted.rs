//! Changes of the configuration as an operator asks for them: by machines, whatever pairs these are by then.

use core::fmt;

use raft_core::{Change, NodeId, Pair, Server, Suffrage};

use super::{HostId, HostSet};

/// What an operator wants of the configuration. A machine stands for the pair that it is when the change is asked for, so a
/// wiped one comes in as its new incarnation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Wanted {
    /// Exactly these, some as voters and some as learners; who is in both votes.
    Set {
        /// Who votes.
        voters: HostSet,
        /// Who does not.
        learners: HostSet,
    },
    /// This one too, or as another pair or with another suffrage than now.
    Add {
        /// Which.
        server: HostId,
        /// Whether it votes.
        role: Role,
    },
    /// Without this one.
    Remove(HostId),
    /// This one votes.
    Promote(HostId),
    /// This one is a learner.
    Demote(HostId),
    /// This one is reached elsewhere.
    Readdress {
        /// Which.
        server: HostId,
        /// Where: its addresses end with this number.
        street: u8,
    },
}

/// As what a server is added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// With a vote.
    Voter,
    /// Without one.
    Learner,
    /// Without one until it has caught up.
    Staging,
}

const ROLES: [(Role, &str); 3] =
    [(Role::Voter, "voter"), (Role::Learner, "learner"), (Role::Staging, "staging")];

/// A server with the addresses that all have at first.
pub(crate) fn server_of(host: HostId, pair: Pair, suffrage: Suffrage) -> Server {
    Server { pair, suffrage, raft_address: format!("raft-{host}"), client_address: format!("http-{host}") }
}

impl Wanted {
    /// The change that a node is asked for. `pair` says who a machine is.
    pub(crate) fn change(self, pair: impl Fn(HostId) -> Option<Pair>) -> Option<Change> {
        let id = |host: HostId| NodeId::new(u64::from(host.raw()));
        let server = |host, suffrage| Some(server_of(host, pair(host)?, suffrage));
        Some(match self {
            Wanted::Set { voters, learners } => {
                let learners = learners.iter().filter(|host| !voters.contains(*host));
                let all = voters.iter().map(|host| server(host, Suffrage::Voter));
                let all = all.chain(learners.map(|host| server(host, Suffrage::Learner)));
                Change::Set(all.collect::<Option<_>>()?)
            }
            Wanted::Add { server: host, role } => {
                let suffrage = match role {
                    Role::Voter => Suffrage::Voter,
                    Role::Learner => Suffrage::Learner,
                    Role::Staging => Suffrage::Staging,
                };
                Change::Add(server(host, suffrage)?)
            }
            Wanted::Remove(host) => Change::Remove(id(host)?),
            Wanted::Promote(host) => Change::Promote(id(host)?),
            Wanted::Demote(host) => Change::Demote(id(host)?),
            Wanted::Readdress { server, street } => Change::Readdress {
                id: id(server)?,
                raft_address: format!("raft-{server}-{street}"),
                client_address: format!("http-{server}-{street}"),
            },
        })
    }

    /// As numbers, for digests.
    pub(super) fn words(self) -> [u64; 3] {
        let at = |host: HostId| u64::from(host.raw());
        match self {
            Wanted::Set { voters, learners } => [1, voters.bits(), learners.bits()],
            Wanted::Add { server, role } => [2, at(server), role as u64],
            Wanted::Remove(host) => [3, at(host), 0],
            Wanted::Promote(host) => [4, at(host), 0],
            Wanted::Demote(host) => [5, at(host), 0],
            Wanted::Readdress { server, street } => [6, at(server), u64::from(street)],
        }
    }

    /// With its machines under other names; `None` where a single one has no new name. A set forgets it.
    pub(crate) fn renamed(self, name: &mut dyn FnMut(HostId) -> Option<HostId>) -> Option<Self> {
        Some(match self {
            Wanted::Set { voters, learners } => Wanted::Set {
                voters: voters.iter().filter_map(&mut *name).collect(),
                learners: learners.iter().filter_map(name).collect(),
            },
            Wanted::Add { server, role } => Wanted::Add { server: name(server)?, role },
            Wanted::Remove(host) => Wanted::Remove(name(host)?),
            Wanted::Promote(host) => Wanted::Promote(name(host)?),
            Wanted::Demote(host) => Wanted::Demote(name(host)?),
            Wanted::Readdress { server, street } => Wanted::Readdress { server: name(server)?, street },
        })
    }

    pub(super) fn parse(words: &[&str]) -> Option<Self> {
        let host = super::text::host;
        let set = |text: &str| text.parse::<HostSet>().ok();
        Some(match *words {
            ["set", voters] => Wanted::Set { voters: set(voters)?, learners: HostSet::EMPTY },
            ["set", voters, "learners", learners] => {
                Wanted::Set { voters: set(voters)?, learners: set(learners)? }
            }
            ["add", at, role] => {
                let role = ROLES.iter().find(|(_, name)| *name == role)?.0;
                Wanted::Add { server: host(at)?, role }
            }
            ["remove", at] => Wanted::Remove(host(at)?),
            ["promote", at] => Wanted::Promote(host(at)?),
            ["demote", at] => Wanted::Demote(host(at)?),
            ["readdress", at, street] => {
                Wanted::Readdress { server: host(at)?, street: street.parse().ok()? }
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Set { voters, learners } if learners.is_empty() => write!(f, "set {voters}"),
            Wanted::Set { voters, learners } => write!(f, "set {voters} learners {learners}"),
            Wanted::Add { server, role } => {
                let name = ROLES.iter().find(|(known, _)| known == role).map_or("", |(_, name)| name);
                write!(f, "add {server} {name}")
            }
            Wanted::Remove(host) => write!(f, "remove {host}"),
            Wanted::Promote(host) => write!(f, "promote {host}"),
            Wanted::Demote(host) => write!(f, "demote {host}"),
            Wanted::Readdress { server, street } => write!(f, "readdress {server} {street}"),
        }
    }
}
