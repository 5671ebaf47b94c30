//! The HTTP client of the commands: keeps connections, follows redirects to the leader, and ends every call in time.
//!
//! It says what came back and from where; what to do about it is for the command to decide.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::LOCATION;
use hyper::http::uri::Authority;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use crate::http::Status;
use crate::store::VALUE_BYTES_MAX;

/// A server ends every request within five seconds; what takes longer was lost on the way.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(6);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// A server closes a connection that is idle for five seconds, so ours are given up a little earlier.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// While a leader changes, servers may send a client back and forth; it then rather waits a moment.
const REDIRECTS_MAX: usize = 4;

/// Where a server answers clients: the `HOST:PORT` of `http://HOST:PORT`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Base(Authority);

/// A text that is no base.
#[derive(Clone, Debug, thiserror::Error)]
#[error("\"{0}\" is not the address of a server: write http://HOST:PORT")]
pub(crate) struct BaseError(String);

impl FromStr for Base {
    type Err = BaseError;

    fn from_str(text: &str) -> Result<Base, BaseError> {
        let wrong = || BaseError(text.to_owned());
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let authority: Authority = rest.strip_suffix('/').unwrap_or(rest).parse().map_err(|_| wrong())?;
        if authority.port_u16().is_none_or(|port| port == 0) || authority.as_str().contains('@') {
            return Err(wrong());
        }
        Ok(Base(authority))
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status of the last server asked.
    pub(crate) status: StatusCode,
    /// What it sent.
    pub(crate) body: Bytes,
    /// Which server that was, after all redirects.
    pub(crate) from: Base,
}

/// Why no answer came. A request that was sent may have had its effect all the same.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The path does not make an address.
    #[error("the path does not make an address")]
    Path,
    /// No connection, or one that broke.
    #[error("{0}: {text}", text = innermost(.1))]
    Connection(Base, legacy::Error),
    /// The answer broke off, or is larger than any value.
    #[error("{0}: the answer could not be read: {1}")]
    Body(Base, Box<dyn std::error::Error + Send + Sync>),
    /// No answer within the time given.
    #[error("{0}: no answer in time")]
    Deadline(Base),
    /// A redirect that does not name a server.
    #[error("{0}: a redirect to nowhere")]
    Redirect(Base),
    /// What should be a status is none.
    #[error("{0}: no status, but {1}")]
    Status(Base, StatusCode),
}

fn innermost(error: &legacy::Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A client that shares its connections among all its clones.
#[derive(Clone)]
pub(crate) struct Client {
    inner: legacy::Client<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// A client that keeps up to `connections` idle connections to each server.
    pub(crate) fn new(connections: usize) -> Client {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_WITHIN));
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(connections)
            .build(connector);
        Client { inner }
    }

    /// Sends a request and follows redirects, at most [`REDIRECTS_MAX`] of them and all within `within`. The answer is a
    /// redirect only where there were more.
    pub(crate) async fn send(
        &self,
        method: &Method,
        base: &Base,
        path: &str,
        body: &Bytes,
        within: Duration,
    ) -> Result<Answer, ClientError> {
        let mut at = base.clone();
        let follow = async {
            let mut redirects = 0;
            loop {
                let (answer, location) = self.once(method, &at, path, body).await?;
                if answer.status != StatusCode::TEMPORARY_REDIRECT || redirects == REDIRECTS_MAX {
                    return Ok(answer);
                }
                redirects += 1;
                let location = location.and_then(|uri| uri.authority().cloned());
                at = Base(location.ok_or_else(|| ClientError::Redirect(at.clone()))?);
            }
        };
        timeout(within, follow).await.unwrap_or_else(|_| Err(ClientError::Deadline(base.clone())))
    }

    async fn once(
        &self,
        method: &Method,
        base: &Base,
        path: &str,
        body: &Bytes,
    ) -> Result<(Answer, Option<Uri>), ClientError> {
        let uri = Uri::builder().scheme("http").authority(base.0.clone()).path_and_query(path);
        let uri = uri.build().map_err(|_| ClientError::Path)?;
        let request = Request::builder().method(method).uri(uri).body(Full::new(body.clone()));
        let request = request.map_err(|_| ClientError::Path)?;
        let sent = self.inner.request(request).await;
        let response = sent.map_err(|error| ClientError::Connection(base.clone(), error))?;
        let location =
            response.headers().get(LOCATION).and_then(|location| Uri::try_from(location.as_bytes()).ok());
        let status = response.status();
        // A status may be a little text; nothing that a server answers is larger than a value.
        let body = Limited::new(response.into_body(), VALUE_BYTES_MAX).collect().await;
        let body = body.map_err(|error| ClientError::Body(base.clone(), error))?.to_bytes();
        Ok((Answer { status, body, from: base.clone() }, location))
    }

    /// What a server says about itself.
    pub(crate) async fn status(&self, base: &Base, within: Duration) -> Result<Status, ClientError> {
        let answer = self.send(&Method::GET, base, "/status", &Bytes::new(), within).await?;
        serde_json::from_slice(&answer.body).map_err(|_| ClientError::Status(base.clone(), answer.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_host_and_a_port() {
        for text in ["http://127.0.0.1:4001", "http://127.0.0.1:4001/", "127.0.0.1:4001"] {
            assert_eq!(text.parse::<Base>().unwrap().to_string(), "http://127.0.0.1:4001");
        }
        for text in
            ["", "http://", "https://a:1", "http://a", "http://a:0", "http://a:1/b", "a:x", "http://u@a:1"]
        {
            assert!(text.parse::<Base>().is_err(), "{text}");
        }
    }
}
