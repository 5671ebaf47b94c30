//! Keys over HTTP: which answer stands for what became of a request.
//!
//! ```text
//!   200 204            done                     404  no such key
//!   307                a change, and this server does not lead, or a read whose leader has changed meanwhile; `Location` is
//!                      the same path at the one that leads
//!   400 405 408 411 413 414   the request is wrong, too slow or too large: certainly no effect
//!   410                this server was removed from the cluster: certainly no effect, ask another one
//!   503                certainly no effect: no leader is known, too much is under way, or the server is stopping
//!   504                it may have happened, or may still happen; never said of a read
//! ```
//!
//! Any server answers a read from its own state, once it knows from the leader that this is new enough.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use raft_core::{Pair, Refusal};
use raft_driver_tokio::{Applied, Handle, NodeStatus, ProposeError, ReadError};
use tokio::time::{Instant, timeout_at};

use super::key::{self, AddressError};
use super::{Arrived, Server, plain};
use crate::store::{Command, Reply, Store, VALUE_BYTES_MAX};

/// When a body has to be there, counted from the headers: early enough that the write behind it has time left.
const BODY_WITHIN: Duration = Duration::from_millis(3500);
/// When a command has to be applied, or a read done, counted from the headers.
const APPLIED_WITHIN: Duration = Duration::from_millis(4500);
/// How much of a body that is too large is read and thrown away. A client that is still sending when the connection is
/// closed would not get to see the answer.
const THROWN_AWAY_MAX: usize = 8 << 20;
/// At which position in the log, as `TERM.INDEX`, the command of this request stands.
const POSITION: HeaderName = HeaderName::from_static("raft-position");
/// Up to which index the state that a read was answered from has applied the log.
const APPLIED: HeaderName = HeaderName::from_static("raft-applied");

pub(super) async fn get(State(handle): Server, request: Request) -> Response {
    let asked = Asked::from(request.into_parts().0);
    match (key::key(asked.uri.path()), key::local(asked.uri.query())) {
        (Ok(key), Ok(true)) => read_local(&handle, key.into_owned()).await,
        (Ok(key), Ok(false)) => read(&handle, &asked, key.into_owned()).await,
        (Err(error), _) | (_, Err(error)) => refuse(error),
    }
}

pub(super) async fn delete(State(handle): Server, request: Request) -> Response {
    let asked = Asked::from(request.into_parts().0);
    match changed_key(&asked.uri) {
        Ok(key) => propose(&handle, &asked, Command::Delete.encode(&key)).await,
        Err(error) => refuse(error),
    }
}

pub(super) async fn put(State(handle): Server, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let asked = Asked::from(parts);
    let key = match changed_key(&asked.uri) {
        Ok(key) => key,
        Err(error) => return refuse(error),
    };
    // The body is read also where the answer will be a redirect: a client that is still sending when the connection is
    // closed would not get to see it.
    match timeout_at(asked.arrived + BODY_WITHIN, value(body)).await {
        Ok(Ok(value)) => propose(&handle, &asked, Command::Put(value).encode(&key)).await,
        Ok(Err(refusal)) => refusal,
        Err(_) => plain(StatusCode::REQUEST_TIMEOUT, "the value did not arrive in time; nothing was changed"),
    }
}

/// What is left of a request once its body is taken: what was asked for, and when.
struct Asked {
    uri: Uri,
    arrived: Instant,
}

impl Asked {
    /// How long the node may take.
    fn left(&self) -> Duration {
        (self.arrived + APPLIED_WITHIN).saturating_duration_since(Instant::now())
    }
}

impl From<Parts> for Asked {
    fn from(parts: Parts) -> Asked {
        let arrived = parts.extensions.get::<Arrived>().map_or_else(Instant::now, |arrived| arrived.0);
        Asked { uri: parts.uri, arrived }
    }
}

/// The key of a request that changes something, which can not be local.
fn changed_key(uri: &Uri) -> Result<Cow<'_, [u8]>, AddressError> {
    let key = key::key(uri.path())?;
    if key::local(uri.query())? { Err(AddressError::LocalChange) } else { Ok(key) }
}

fn refuse(error: AddressError) -> Response {
    let status = match error {
        AddressError::TooLong => StatusCode::URI_TOO_LONG,
        AddressError::Empty | AddressError::Encoding | AddressError::Local | AddressError::LocalChange => {
            StatusCode::BAD_REQUEST
        }
    };
    plain(status, &error.to_string())
}

/// Reads the whole value, up to its limit.
async fn value(mut body: Body) -> Result<Bytes, Response> {
    let mut value = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|_| plain(StatusCode::BAD_REQUEST, "the value ended early; nothing was changed"))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if VALUE_BYTES_MAX + THROWN_AWAY_MAX < length {
            break;
        }
        if length <= VALUE_BYTES_MAX {
            value.extend_from_slice(&data);
        }
    }
    if VALUE_BYTES_MAX < length {
        return Err(plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the value is larger than 1 MiB; nothing was changed",
        ));
    }
    Ok(value.freeze())
}

async fn read_local(handle: &Handle<Store>, key: Vec<u8>) -> Response {
    match handle.local(move |store, applied| (store.read(&key), applied)).await {
        Ok((value, applied)) => with(found(value), APPLIED, &applied.to_string()),
        Err(_) => unavailable("this server is stopping"),
    }
}

async fn read(handle: &Handle<Store>, asked: &Asked, key: Vec<u8>) -> Response {
    match handle.read(asked.left(), move |store, applied| (store.read(&key), applied)).await {
        Ok((value, applied)) => with(found(value), APPLIED, &applied.to_string()),
        Err(ReadError::Refused(Refusal::NotLeader { leader })) => {
            redirect(leader, &handle.status(), &asked.uri)
        }
        Err(error) => unavailable(&error.to_string()),
    }
}

async fn propose(handle: &Handle<Store>, asked: &Asked, command: Bytes) -> Response {
    match handle.propose(command, asked.left()).await {
        Ok(Applied { position, output }) => with(answer(output), POSITION, &position.to_string()),
        Err(error) => failed(&error, &handle.status(), &asked.uri),
    }
}

fn answer(reply: Reply) -> Response {
    match reply {
        Reply::Stored | Reply::Deleted { existed: true } => StatusCode::NO_CONTENT.into_response(),
        Reply::Deleted { existed: false } => found(None),
        Reply::Unreadable => {
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the command was not understood; nothing was changed")
        }
    }
}

fn found(value: Option<Bytes>) -> Response {
    match value {
        Some(value) => ([(CONTENT_TYPE, "application/octet-stream")], value).into_response(),
        None => plain(StatusCode::NOT_FOUND, "no such key"),
    }
}

fn failed(error: &ProposeError, status: &NodeStatus, uri: &Uri) -> Response {
    match error {
        ProposeError::Refused(Refusal::NotLeader { leader }) => redirect(*leader, status, uri),
        ProposeError::Refused(Refusal::TooLarge) => {
            plain(StatusCode::PAYLOAD_TOO_LARGE, "the command is too large")
        }
        error if error.certainly_no_effect() => unavailable(&format!("{error}; nothing was changed")),
        error => plain(
            StatusCode::GATEWAY_TIMEOUT,
            &format!("{error}; a change may have happened, or may still happen"),
        ),
    }
}

/// Sends the client to the leader, by the address that the configuration in force gives for it.
pub(super) fn redirect(leader: Option<Pair>, status: &NodeStatus, uri: &Uri) -> Response {
    let own = status.identity.pair;
    // A server that has just lost its leadership may still name itself; sending the client in a circle helps nobody.
    let leader = leader.filter(|leader| *leader != own);
    let Some(leader) = leader else {
        return leaderless(status, "no leader is known; nothing was changed");
    };
    let server = status.membership.as_ref().and_then(|membership| membership.server(leader).cloned());
    let Some(server) = server.filter(|server| !server.client_address.is_empty()) else {
        let line = format!("server {} leads, whose address is not known; nothing was changed", leader.id);
        return leaderless(status, &line);
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let location = format!("http://{}{path}", server.client_address);
    match HeaderValue::try_from(location) {
        Ok(location) => {
            let text = format!("server {} leads", server.pair.id);
            with_value(plain(StatusCode::TEMPORARY_REDIRECT, &text), LOCATION, location)
        }
        Err(_) => unavailable("the leader has no address that fits a redirect; nothing was changed"),
    }
}

/// An answer where nobody can be named who leads. A server that was removed will not hear of one either.
fn leaderless(status: &NodeStatus, line: &str) -> Response {
    match status.removed {
        Some(index) => plain(
            StatusCode::GONE,
            &format!(
                "this server was removed from the cluster by the configuration at index {index}: ask another server; nothing \
                 was changed"
            ),
        ),
        None => unavailable(line),
    }
}

pub(super) fn unavailable(line: &str) -> Response {
    with(plain(StatusCode::SERVICE_UNAVAILABLE, line), RETRY_AFTER, "1")
}

fn with(response: Response, name: HeaderName, value: &str) -> Response {
    match HeaderValue::from_str(value) {
        Ok(value) => with_value(response, name, value),
        Err(_) => response,
    }
}

fn with_value(mut response: Response, name: HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}
