//! The members of the cluster over HTTP: `GET /members` lists them, `POST /members` changes them.
//!
//! ```text
//!   200                done, or so already                409  another change is under way, the guard does not hold, or
//!   307                the leader does it                      nobody can mean this: the text says what to ask for instead
//!   400 404            it can not be, or no such member   503  certainly no effect: try again
//!   410                this server was removed            504  it may have happened, or may still happen
//! ```
//!
//! What a change leads to and whether it is safe is decided by the core. What is safe and yet hardly meant is refused here.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use raft_core::{Change, FollowerStatus, LogIndex, NodeId, Refusal, RoleKind, Server, Suffrage};
use raft_driver_tokio::{Follower, NodeStatus, ProposeError, Reconfigured};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::db::{redirect, unavailable};
use super::status::Member;
use super::{Arrived, key, plain};
use crate::founders;

/// When the configuration has to be committed, counted from the headers of the request.
const CHANGED_WITHIN: Duration = Duration::from_millis(4500);
/// A change names one server.
const BODY_BYTES_MAX: usize = 64 << 10;
/// When a body has to be there, counted from the headers.
const BODY_WITHIN: Duration = Duration::from_millis(3500);

/// Who was not heard for so long is not there: twice the time after which a leader counts a server as gone.
const SILENT: Duration = Duration::from_secs(1);

/// The body of `POST /members`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// What is to be.
    #[serde(flatten)]
    pub(crate) change: WantedChange,
    /// Only if this is still the index of the configuration in force.
    #[serde(default)]
    pub(crate) if_index: Option<u64>,
}

/// What is to be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub(crate) enum WantedChange {
    /// This server too, or this incarnation of it, or at these addresses.
    Add {
        /// As in a list of founders: `ID@INCARNATION=RAFT_HOST:PORT/HTTP_HOST:PORT`.
        server: String,
        /// Whether it stays without a vote. Else it votes once it has caught up.
        #[serde(default)]
        learner: bool,
    },
    /// Without this server.
    Remove { id: NodeIdNumber },
    /// This server votes.
    Promote {
        id: NodeIdNumber,
        /// Also where it is not there or has nothing of the log: until it has, its vote makes majorities harder to reach.
        #[serde(default)]
        force: bool,
    },
    /// This server does not vote.
    Demote { id: NodeIdNumber },
    /// This server is reached elsewhere.
    Readdress {
        id: NodeIdNumber,
        /// `HOST:PORT`, for its peers.
        raft: String,
        /// `HOST:PORT`, for clients. Where it is not given, it stays as it is.
        #[serde(default)]
        http: Option<String>,
    },
}

/// An id as it stands in JSON.
pub(crate) type NodeIdNumber = u64;

/// What `POST /members` answers where all is well.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Whether anything was changed; else it was so already.
    pub(crate) changed: bool,
    /// The index of the configuration in force.
    pub(crate) index: u64,
    /// Whether the server that was added is staged by that configuration: its vote comes with a later one.
    #[serde(default)]
    pub(crate) staging: bool,
}

/// The answer to `GET /members`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Members {
    /// The index of the configuration in force: what a change can be guarded by.
    pub(crate) index: u64,
    /// Whether that configuration is committed.
    pub(crate) committed: bool,
    /// Whether it is a joint one, on the way from one set of servers to another.
    pub(crate) joint: bool,
    /// The servers; of a joint configuration those that are to be.
    pub(crate) servers: Vec<Listed>,
    /// Of a joint configuration the servers that were.
    pub(crate) outgoing: Vec<Listed>,
}

/// A member with what the leader knows of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    #[serde(flatten)]
    pub(crate) member: Member,
    /// `voter`, `learner`, or `staging`: a voter as soon as it has caught up.
    pub(crate) suffrage: String,
    /// Whether it leads.
    pub(crate) leads: bool,
    /// Up to which index the log is durable there. Only the leader knows.
    pub(crate) matched: Option<u64>,
    /// How many entries it lacks or has not made durable. Only the leader knows.
    pub(crate) lag: Option<u64>,
    /// Whether the leader has heard of it at all, since the leader was started or this server was added. Only the leader knows.
    pub(crate) heard: Option<bool>,
    /// How many milliseconds ago that was last. Only the leader knows, and only of whom it has heard.
    pub(crate) silent_ms: Option<u64>,
    /// How it is sent the log: `probing` while it is looked for where the logs agree, `replicating`, `snapshot` while it needs one,
    /// `fetching` while the leader reads from its disk what it needs. Only the leader knows.
    pub(crate) state: Option<String>,
}

pub(super) async fn get(State(handle): super::Server, request: Request) -> Response {
    let local = match key::local(request.uri().query()) {
        Ok(local) => local,
        Err(error) => return plain(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let status = handle.status();
    let leader = status.core.leader.filter(|leader| *leader != status.identity.pair);
    // What a removed server knows of the members is over.
    if !local && (leader.is_some() || status.removed.is_some()) {
        return redirect(leader, &status, request.uri());
    }
    match handle.followers(CHANGED_WITHIN).await {
        Ok(followers) => json(&list(&status, &followers)),
        Err(error) => unavailable(&error.to_string()),
    }
}

pub(super) async fn post(State(handle): super::Server, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let arrived = parts.extensions.get::<Arrived>().map_or_else(Instant::now, |arrived| arrived.0);
    let body = match timeout_at(arrived + BODY_WITHIN, axum::body::to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return plain(StatusCode::BAD_REQUEST, "a change is a short JSON text; nothing was changed");
        }
        Err(_) => {
            return plain(
                StatusCode::REQUEST_TIMEOUT,
                "the change did not arrive in time; nothing was changed",
            );
        }
    };
    let status = handle.status();
    let Understood { change, based_on, force } = match understand(&body, &status) {
        Ok(understood) => understood,
        Err(why) => return plain(StatusCode::BAD_REQUEST, &format!("{why}; nothing was changed")),
    };
    // What anybody can mean is for the leader to judge, who alone has the members before its eyes.
    if status.core.role != RoleKind::Leader {
        return redirect(status.core.leader, &status, &parts.uri);
    }
    let left = || (arrived + CHANGED_WITHIN).saturating_duration_since(Instant::now());
    let followers = match handle.followers(left()).await {
        Ok(followers) => followers,
        Err(error) => return failed(&error),
    };
    // If it has lost its leadership meanwhile, it knows nobody any more, and that says nothing of them.
    let status = handle.status();
    if status.core.role != RoleKind::Leader {
        return redirect(status.core.leader, &status, &parts.uri);
    }
    if let Some(why) = objection(&change, force, &status, &followers) {
        return plain(StatusCode::CONFLICT, &format!("{why}; nothing was changed"));
    }
    let staging = matches!(&change, Change::Add(Server { suffrage: Suffrage::Staging, .. }));
    match handle.reconfigure(change, based_on, left()).await {
        Ok(Reconfigured::Changed { position }) => {
            json(&Done { changed: true, index: position.index.raw(), staging })
        }
        Ok(Reconfigured::Unchanged { index }) => json(&Done { changed: false, index: index.raw(), staging }),
        Err(ProposeError::Refused(Refusal::NotLeader { leader })) => {
            redirect(leader, &handle.status(), &parts.uri)
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &ProposeError) -> Response {
    let status = match error {
        ProposeError::Refused(Refusal::ChangeUnderWay { .. } | Refusal::Outdated { .. }) => {
            StatusCode::CONFLICT
        }
        ProposeError::Refused(Refusal::NoSuchServer(_)) => StatusCode::NOT_FOUND,
        ProposeError::Refused(Refusal::Membership(_)) => StatusCode::BAD_REQUEST,
        error if error.certainly_no_effect() => return unavailable(&format!("{error}; nothing was changed")),
        error => return plain(StatusCode::GATEWAY_TIMEOUT, &error.to_string()),
    };
    plain(status, &format!("{error}; nothing was changed"))
}

/// Why a change that the core would make is hardly what anybody means.
fn objection(change: &Change, force: bool, status: &NodeStatus, followers: &[Follower]) -> Option<String> {
    let membership = status.membership.as_ref()?;
    match change {
        Change::Add(Server { pair, suffrage: Suffrage::Learner, .. }) if membership.is_voter(*pair) => {
            Some(format!("server {} is a voter; use demote to take its vote", pair.id))
        }
        Change::Promote(id) if !force => {
            let server = membership.by_id(*id).filter(|server| server.suffrage != Suffrage::Voter)?;
            let known = followers.iter().find(|follower| follower.node.server == server.pair);
            let why = match known {
                Some(Follower { heard: Some(ago), .. }) if SILENT <= *ago => {
                    format!("was last heard {} ms ago", ago.as_millis())
                }
                Some(Follower { heard: Some(_), node }) if LogIndex::ZERO < node.matched => return None,
                Some(Follower { heard: Some(_), .. }) => "has nothing of the log yet".to_owned(),
                Some(Follower { heard: None, .. }) | None => "has never been heard of".to_owned(),
            };
            Some(format!(
                "server {id} {why}: until it is there its vote would only make majorities harder to reach. See that it runs, or \
                 promote it by force"
            ))
        }
        _ => None,
    }
}

/// A change, the index of the configuration that it is based on, and whether it is to be made against all advice.
struct Understood {
    change: Change,
    based_on: Option<LogIndex>,
    force: bool,
}

/// What a body asks for.
fn understand(body: &[u8], status: &NodeStatus) -> Result<Understood, String> {
    let wanted: Wanted = serde_json::from_slice(body).map_err(|error| format!("not understood: {error}"))?;
    let id = |id: u64| NodeId::new(id).ok_or_else(|| "0 is no server id".to_owned());
    let guard = wanted.if_index.map(LogIndex::new);
    // Where something was looked at for a change, that is what is changed.
    let looked_at = guard.or(Some(status.membership_index));
    let force = matches!(wanted.change, WantedChange::Promote { force: true, .. });
    let (change, based_on) = match wanted.change {
        WantedChange::Add { server, learner } => {
            let server = founders::server(&server).map_err(|error| error.to_string())?;
            let known = status.membership.as_ref().and_then(|membership| membership.server(server.pair));
            let suffrage = match known.map(|known| known.suffrage) {
                _ if learner => Suffrage::Learner,
                // A voter does not lose its vote by being added once more.
                Some(Suffrage::Voter) => Suffrage::Voter,
                _ => Suffrage::Staging,
            };
            (Change::Add(Server { suffrage, ..server }), looked_at)
        }
        WantedChange::Remove { id: number } => (Change::Remove(id(number)?), guard),
        WantedChange::Promote { id: number, .. } => (Change::Promote(id(number)?), looked_at),
        WantedChange::Demote { id: number } => (Change::Demote(id(number)?), guard),
        WantedChange::Readdress { id: number, raft, http } => {
            let (id, address) =
                (id(number)?, |text: &str| founders::address(text).map_err(|e| e.to_string()));
            let raft_address = address(&raft)?;
            if let Some(http) = http {
                (Change::Readdress { id, raft_address, client_address: address(&http)? }, guard)
            } else {
                let members = status.membership.iter().flat_map(|membership| membership.servers());
                let known = members.into_iter().find(|server| server.pair.id == id);
                // Of an id that is no member there is none, and the change will be refused for that.
                let client_address = known.map(|known| known.client_address.clone()).unwrap_or_default();
                (Change::Readdress { id, raft_address, client_address }, looked_at)
            }
        }
    };
    Ok(Understood { change, based_on, force })
}

fn list(status: &NodeStatus, followers: &[Follower]) -> Members {
    let last = status.core.last.index;
    let listed = |server: &Server| {
        let own = server.pair == status.identity.pair && status.core.role == RoleKind::Leader;
        let known = followers.iter().find(|follower| follower.node.server == server.pair);
        let matched = known.map(|known| known.node.matched).or(own.then_some(status.core.durable));
        Listed {
            member: Member::from(server),
            suffrage: suffrage(server.suffrage).to_owned(),
            leads: status.core.leader == Some(server.pair),
            matched: matched.map(LogIndex::raw),
            lag: matched.map(|matched| last.raw().saturating_sub(matched.raw())),
            heard: known.map(|known| known.heard.is_some()),
            silent_ms: known.and_then(|known| known.heard).map(|ago| ago.as_millis() as u64),
            state: known.map(|known| state(&known.node).to_owned()),
        }
    };
    let membership = status.membership.as_ref();
    Members {
        index: status.membership_index.raw(),
        committed: membership.is_some() && status.membership_index <= status.core.commit,
        joint: membership.is_some_and(|membership| membership.is_joint()),
        servers: membership.into_iter().flat_map(|membership| membership.servers()).map(listed).collect(),
        outgoing: membership.into_iter().flat_map(|membership| membership.outgoing()).map(listed).collect(),
    }
}

/// What holds a follower up most stands first: without a snapshot there is nothing to look for, and what is fetched is what is sent.
fn state(follower: &FollowerStatus) -> &'static str {
    match follower {
        FollowerStatus { snapshot: true, .. } => "snapshot",
        FollowerStatus { fetching: true, .. } => "fetching",
        FollowerStatus { probing: true, .. } => "probing",
        _ => "replicating",
    }
}

pub(super) fn suffrage(suffrage: Suffrage) -> &'static str {
    match suffrage {
        Suffrage::Voter => "voter",
        Suffrage::Staging => "staging",
        // Whatever is added: who has no vote only learns.
        _ => "learner",
    }
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(json) => ([(CONTENT_TYPE, "application/json")], json + "\n").into_response(),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
