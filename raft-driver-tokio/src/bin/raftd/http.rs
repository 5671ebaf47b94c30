//! The HTTP interface of a server.
//!
//! ```text
//!   PUT|DELETE     /db/{key}                through the log, by the leader; others answer 307
//!   GET            /db/{key}                linearizable, by any server: it asks the leader how new its own state has to be
//!   GET            /db/{key}?local=true     this server's own state, which may be behind
//!   GET|POST       /members                 who belongs to the cluster, and changes of that; see `members`
//!   GET            /status                  role, term, leader, commit, applied, last index … as JSON
//! ```
//!
//! Nothing a client does holds a server's resources for long: connections have a limit in number, a request has a limit in
//! time from its first byte to its answer, and a connection whose client takes nothing is cut off.

mod db;
pub(crate) mod key;
pub(crate) mod members;
mod patience;
mod status;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use raft_driver_tokio::Handle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

pub(crate) use status::Status;

use crate::signals::told_to_stop;
use crate::store::Store;
use patience::{Patience, Patient};

/// Every request is answered within this time, counted from the moment its headers have arrived: some less than the five
/// seconds that are promised, so that the answer can still travel.
const REQUEST_WITHIN: Duration = Duration::from_millis(4800);
/// How long the headers of a request may take, and how long a connection may stay without one.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
/// How long a client may take no byte of its answer, and how long it may take for all of it: an answer is a value of 1 MiB at
/// most, which takes half a minute at 35 kB a second.
const PATIENCE: Patience = Patience { stalled: Duration::from_secs(5), answer: Duration::from_secs(30) };
/// Connections at a time; more wait in the system's queue. Together with those of the driver well below the 1,024 open files
/// that a process commonly may have, because the log needs some too.
pub(crate) const CONNECTIONS_MAX: usize = 256;
/// A pause after an `accept` that failed, because the usual reason is that there are no more file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// When a request came, so that everything done for it can share one deadline.
#[derive(Clone, Copy)]
struct Arrived(Instant);

/// Serves clients until `stop` becomes true or its sender is gone; then lets requests under way end.
pub(crate) async fn serve(listener: TcpListener, handle: Handle<Store>, mut stop: watch::Receiver<bool>) {
    let service = TowerToHyperService::new(router(handle));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = told_to_stop(&mut stop) => break,
            accepted = accept(&listener, &places) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a client's connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let connection =
            builder.serve_connection(Patient::new(TokioIo::new(stream), PATIENCE), service.clone());
        let mut stop = stop.clone();
        connections.spawn(async move {
            let _place = place;
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = told_to_stop(&mut stop) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a client's connection ended");
            }
        });
    }
    drop(listener);
    // Each request has its own deadline; this one is for connections that do not even read their answer.
    let _ = timeout(REQUEST_WITHIN, async { while connections.join_next().await.is_some() {} }).await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Answers are small and wanted at once.
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

fn router(handle: Handle<Store>) -> Router {
    let keys = get(db::get).put(db::put).delete(db::delete);
    Router::new()
        .route("/status", get(status::status))
        .route("/members", get(members::get).post(members::post))
        .route("/db/{*key}", keys.clone())
        .route("/db/", keys)
        .fallback(any(|| async {
            plain(StatusCode::NOT_FOUND, "there are /db/KEY, /members and /status here")
        }))
        .with_state(handle)
        .layer(middleware::from_fn(within))
}

/// The last resort: an answer also where what answers hangs. By then a write may have been handed on.
async fn within(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Arrived(Instant::now()));
    timeout(REQUEST_WITHIN, next.run(request)).await.unwrap_or_else(|_| {
        plain(
            StatusCode::GATEWAY_TIMEOUT,
            "no answer in time; a change may have happened, or may still happen",
        )
    })
}

/// An answer that is one line of text, for people.
fn plain(status: StatusCode, line: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{line}\n")).into_response()
}

/// What handlers are given.
type Server = State<Handle<Store>>;
