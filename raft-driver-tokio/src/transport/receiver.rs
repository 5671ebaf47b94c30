//! The receiving side: accepts connections, hears who is calling, and passes packets on.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use raft_core::{Identity, Packet, Pair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::Limits;
use super::frame::{FrameError, Frames};
use super::hello::{HELLO_BYTES, Hello, HelloError, encode_answer};

/// How many connections are open at once, those included that have not said hello yet.
const CONNECTIONS_MAX: usize = 1024;
/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// Accepts connections for as long as it exists.
#[derive(Debug)]
pub(crate) struct Receiver {
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why a connection was ended.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no hello in time")]
    Timeout,
    #[error("sent away: {0}")]
    Hello(#[from] HelloError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{said} sent a packet of {from}")]
    OtherSender { said: Pair, from: Pair },
}

/// What the connections share.
#[derive(Debug)]
struct Shared {
    identity: Identity,
    limits: Limits,
    packets: Sender<Packet>,
    /// The newest connection of every caller. The lock is held for a look, never while anything is waited for.
    callers: Mutex<Callers>,
}

#[derive(Debug, Default)]
struct Callers {
    /// Counts connections.
    next: u64,
    newest: BTreeMap<Pair, (u64, oneshot::Sender<()>)>,
}

impl Receiver {
    pub(crate) fn spawn(
        listener: TcpListener,
        identity: Identity,
        limits: Limits,
        packets: Sender<Packet>,
    ) -> Self {
        let callers = Mutex::default();
        let shared = Arc::new(Shared { identity, limits, packets, callers });
        Receiver { task: tokio::spawn(accept(listener, shared)) }
    }

    /// Ends all connections. When this returns, the address is free again.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        // That it was aborted is no news.
        let _ = (&mut self.task).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Dropping the set, with this task, ends all connections.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => match Arc::clone(&permits).try_acquire_owned() {
                    Ok(permit) => { connections.spawn(serve(stream, address, Arc::clone(&shared), permit)); }
                    Err(_) => tracing::warn!(%address, "too many connections; one is closed"),
                },
                Err(error) => {
                    // For instance too many open files: trying again at once would only burn time.
                    tracing::warn!(%error, "could not accept a connection");
                    sleep(shared.limits.reconnect_max).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(
    mut stream: TcpStream,
    address: SocketAddr,
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
) {
    let heard = timeout(shared.limits.patience, hear_hello(&mut stream, &shared)).await;
    let from = match heard.unwrap_or(Err(ConnectionError::Timeout)) {
        Ok(from) => from,
        Err(error) => {
            tracing::warn!(%address, %error, "a connection was refused");
            return;
        }
    };
    tracing::info!(%from, %address, "accepted");
    let (number, mut replaced) = shared.enter(from);
    let ended = tokio::select! {
        ended = read_packets(&mut stream, from, &shared) => ended,
        _ = &mut replaced => Ok(()),
    };
    shared.leave(from, number);
    match ended {
        Err(error) => tracing::warn!(%from, %address, %error, "a connection was closed"),
        Ok(()) => tracing::info!(%from, %address, "a connection has ended"),
    }
}

impl Shared {
    /// A caller has said hello: ends its older connection. A caller calls again when it has lost its connection, which this
    /// side may not know yet, so the newest is the real one.
    fn enter(&self, from: Pair) -> (u64, oneshot::Receiver<()>) {
        let (newest, replaced) = oneshot::channel();
        self.with_callers(|callers| {
            callers.next += 1;
            // The older connection hears of it by its sender being dropped.
            callers.newest.insert(from, (callers.next, newest));
            (callers.next, replaced)
        })
    }

    fn leave(&self, from: Pair, number: u64) {
        self.with_callers(|callers| {
            if callers.newest.get(&from).is_some_and(|(newest, _)| *newest == number) {
                callers.newest.remove(&from);
            }
        });
    }

    fn with_callers<R>(&self, look: impl FnOnce(&mut Callers) -> R) -> R {
        look(&mut self.callers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn hear_hello(stream: &mut TcpStream, shared: &Shared) -> Result<Pair, ConnectionError> {
    stream.set_nodelay(true)?;
    let mut bytes = [0; HELLO_BYTES];
    stream.read_exact(&mut bytes).await?;
    let hello = Hello::decode(&bytes);
    let checked = hello.and_then(|hello| hello.check(shared.identity));
    stream.write_all(&encode_answer(checked)).await?;
    checked?;
    Ok(hello?.from)
}

async fn read_packets(stream: &mut TcpStream, from: Pair, shared: &Shared) -> Result<(), ConnectionError> {
    let mut frames = Frames::new(shared.limits.frame_bytes_max);
    let mut bytes = BytesMut::new();
    loop {
        while let Some(packet) = frames.next(&mut bytes)? {
            if packet.from != from {
                return Err(ConnectionError::OtherSender { said: from, from: packet.from });
            }
            // Where the node is busy the connection waits, and after it the sender, which then drops what is stale.
            if shared.packets.send(packet).await.is_err() {
                return Ok(());
            }
        }
        bytes.reserve(READ_BYTES);
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}
