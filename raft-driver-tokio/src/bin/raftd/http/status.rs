//! What a server says about itself, as JSON, and how the commands read it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use raft_core::{LogIndex, Pair, RoleKind, Server as MemberServer};
use raft_driver_tokio::NodeStatus;
use serde::{Deserialize, Serialize};

use super::{Server, plain};

/// The answer to `GET /status`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The server's id.
    pub(crate) id: u64,
    /// The incarnation of its disk, 32 hexadecimal digits.
    pub(crate) incarnation: String,
    /// The cluster that it belongs to, 32 hexadecimal digits.
    pub(crate) cluster: String,
    /// Which start of it this is.
    pub(crate) boot: u64,
    /// `follower`, `pre-candidate`, `candidate` or `leader`.
    pub(crate) role: String,
    /// Its term.
    pub(crate) term: u64,
    /// The leader of that term, as far as it knows.
    pub(crate) leader: Option<Member>,
    /// How often it has tried to become leader since it last heard of one.
    pub(crate) campaigns: u32,
    /// Up to which index its log is known to be committed.
    pub(crate) commit: u64,
    /// Up to which index its state machine has applied the log.
    pub(crate) applied: u64,
    /// The index of the last entry of its log.
    pub(crate) last: u64,
    /// The term of the last entry of its log.
    pub(crate) last_term: u64,
    /// Up to which index its log is durable.
    pub(crate) durable: u64,
    /// Why it has halted, if it has.
    pub(crate) fault: Option<String>,
    /// The index of the committed configuration that it is not in any more, once it knows so.
    pub(crate) removed: Option<u64>,
    /// The index of the configuration in force.
    pub(crate) membership_index: u64,
    /// The members of the configuration in force; of a joint one those of both halves.
    pub(crate) servers: Vec<Member>,
}

/// A member of the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Its id.
    pub(crate) id: u64,
    /// The incarnation of its disk.
    pub(crate) incarnation: String,
    /// Where its peers reach it. Empty where the configuration does not hold it.
    pub(crate) raft: String,
    /// Where clients reach it. Empty where the configuration does not hold it.
    pub(crate) http: String,
}

impl From<&NodeStatus> for Status {
    fn from(status: &NodeStatus) -> Status {
        let (identity, core) = (status.identity, &status.core);
        let servers = status.membership.iter().flat_map(|membership| membership.members());
        let servers: Vec<Member> = servers.map(Member::from).collect();
        let member = |pair: Pair| {
            let member = Member::from(pair);
            let known = servers.iter().find(|s| s.id == member.id && s.incarnation == member.incarnation);
            known.cloned().unwrap_or(member)
        };
        Status {
            id: identity.pair.id.raw(),
            incarnation: identity.pair.incarnation.to_string(),
            cluster: identity.cluster.to_string(),
            boot: identity.boot.raw(),
            role: role(core.role).to_owned(),
            term: core.term.raw(),
            leader: core.leader.map(member),
            campaigns: core.campaigns,
            commit: core.commit.raw(),
            applied: core.applied.raw(),
            last: core.last.index.raw(),
            last_term: core.last.term.raw(),
            durable: core.durable.raw(),
            fault: core.fault.map(|fault| fault.to_string()),
            removed: status.removed.map(LogIndex::raw),
            membership_index: status.membership_index.raw(),
            servers,
        }
    }
}

impl From<&MemberServer> for Member {
    fn from(server: &MemberServer) -> Member {
        Member {
            http: server.client_address.clone(),
            raft: server.raft_address.clone(),
            ..Member::from(server.pair)
        }
    }
}

impl From<Pair> for Member {
    fn from(pair: Pair) -> Member {
        Member {
            id: pair.id.raw(),
            incarnation: pair.incarnation.to_string(),
            raft: String::new(),
            http: String::new(),
        }
    }
}

fn role(role: RoleKind) -> &'static str {
    match role {
        RoleKind::Leader => "leader",
        RoleKind::PreCandidate => "pre-candidate",
        RoleKind::Candidate => "candidate",
        // Whatever roles are added: one that is neither only follows.
        _ => "follower",
    }
}

pub(super) async fn status(State(handle): Server) -> Response {
    match serde_json::to_string(&Status::from(&handle.status())) {
        Ok(json) => ([(CONTENT_TYPE, "application/json")], json + "\n").into_response(),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
