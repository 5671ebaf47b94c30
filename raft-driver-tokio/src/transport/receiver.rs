//! The receiving side: accepts connections, hears who is calling, and passes packets on.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use raft_core::{Body, Identity, Packet, Pair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::Limits;
use super::frame::{FrameError, Frames};
use super::hello::{HELLO_BYTES, Hello, HelloError, encode_answer};

/// How many connections that have said hello are open at once: one for each other server, and room for those that are
/// being replaced. Few, because each is an open file, and the log needs some too.
const CALLERS_MAX: usize = 64;
/// How many connections may be open that have not said hello yet. Of strangers who say nothing, the oldest makes way, so
/// that they do not keep the other servers out.
const STRANGERS_MAX: usize = 32;
/// How many files the receiving side may have open.
pub(crate) const FILES_MAX: usize = CALLERS_MAX + STRANGERS_MAX + 1;
/// How much of all callers may wait for the loop, counted in packets of the longest kind; of one caller, one such packet.
const FRAMES_WAITING_MAX: usize = 4;
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
    #[error("no hello, and others are waiting")]
    MakesWay,
    #[error("{CALLERS_MAX} servers are connected already")]
    Full,
    #[error("sent away: {0}")]
    Hello(#[from] HelloError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{said} sent a packet of {from}")]
    OtherSender { said: Pair, from: Pair },
    #[error("a snapshot was announced without its bytes")]
    SnapshotAlone,
}

/// A packet on its way to the loop. It holds its bytes until it is dropped, and while they are held no more come in.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) packet: Packet,
    _bytes: [OwnedSemaphorePermit; 2],
}

/// What the connections share.
#[derive(Debug)]
struct Shared {
    identity: Identity,
    /// What the sending side is told.
    told: super::Callers,
    limits: Limits,
    packets: Sender<Inbound>,
    /// How many bytes of packets may wait for the loop, from all connections together.
    bytes: Arc<Semaphore>,
    /// Places for connections that have said hello.
    places: Arc<Semaphore>,
    /// The newest connection of every caller, by its number among all that were accepted. The lock is held for a look, never
    /// while anything is waited for.
    newest: Mutex<BTreeMap<Pair, (u64, oneshot::Sender<()>)>>,
}

impl Receiver {
    pub(crate) fn spawn(
        listener: TcpListener,
        identity: Identity,
        limits: Limits,
        packets: Sender<Inbound>,
        told: super::Callers,
    ) -> Self {
        let (newest, places) = (Mutex::default(), Arc::new(Semaphore::new(CALLERS_MAX)));
        let bytes = limits.frame_bytes_max.saturating_mul(FRAMES_WAITING_MAX).min(Semaphore::MAX_PERMITS);
        let bytes = Arc::new(Semaphore::new(bytes));
        let shared = Arc::new(Shared { identity, told, limits, packets, bytes, places, newest });
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
    // Dropping the set, with this task, ends all connections.
    let mut connections = JoinSet::new();
    // Those that may not have said hello yet, the oldest first: each hears by its sender being dropped that it has to end.
    let mut strangers: VecDeque<oneshot::Sender<()>> = VecDeque::new();
    let mut number = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    // Who has said hello, or is gone, does not listen any more.
                    strangers.retain(|stranger| !stranger.is_closed());
                    if strangers.len() == STRANGERS_MAX {
                        strangers.pop_front();
                        tracing::debug!("too many connections without a hello; the oldest is closed");
                    }
                    let (stay, make_way) = oneshot::channel();
                    strangers.push_back(stay);
                    number += 1;
                    connections.spawn(serve(stream, address, number, Arc::clone(&shared), make_way));
                }
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
    number: u64,
    shared: Arc<Shared>,
    make_way: oneshot::Receiver<()>,
) {
    let heard = tokio::select! {
        heard = timeout(shared.limits.patience, hear_hello(&mut stream, &shared)) => {
            heard.unwrap_or(Err(ConnectionError::Timeout))
        }
        _ = make_way => Err(ConnectionError::MakesWay),
    };
    let (Hello { from, address: reached_at, .. }, _place) = match heard {
        Ok(heard) => heard,
        Err(error) => {
            tracing::warn!(%address, %error, "a connection was refused");
            return;
        }
    };
    tracing::info!(%from, %address, "accepted");
    let replaced = shared.enter(from, number, reached_at);
    let ended = tokio::select! {
        biased;
        _ = replaced => Ok(()),
        ended = read_packets(&mut stream, from, &shared) => ended,
    };
    shared.leave(from, number);
    match ended {
        Err(error) => tracing::warn!(%from, %address, %error, "a connection was closed"),
        Ok(()) => tracing::info!(%from, %address, "a connection has ended"),
    }
}

impl Shared {
    /// A caller has said hello on a connection: the older ones of the same caller end, each by its receiver hearing that its
    /// sender is gone. A caller calls again when it has lost its connection, which this side may not know yet, so the newest is
    /// the real one. Which of those that are open that is, the order of accepting tells: each connection is served by a task of
    /// its own, and one that was accepted first may come here last.
    fn enter(&self, from: Pair, number: u64, reached_at: String) -> oneshot::Receiver<()> {
        let (stay, replaced) = oneshot::channel();
        self.with_newest(|newest| {
            if newest.get(&from).is_none_or(|(known, _)| *known < number) {
                // Under the same lock as the rest, so that both always tell of the same connection.
                if reached_at.is_empty() {
                    self.told.remove(from);
                } else {
                    self.told.insert(from, reached_at);
                }
                newest.insert(from, (number, stay));
            }
        });
        replaced
    }

    fn leave(&self, from: Pair, number: u64) {
        self.with_newest(|newest| {
            if newest.get(&from).is_some_and(|(known, _)| *known == number) {
                newest.remove(&from);
                self.told.remove(from);
            }
        });
    }

    fn with_newest(&self, look: impl FnOnce(&mut BTreeMap<Pair, (u64, oneshot::Sender<()>)>)) {
        look(&mut self.newest.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Hears who is calling, and gives it a place.
async fn hear_hello(
    stream: &mut TcpStream,
    shared: &Shared,
) -> Result<(Hello, OwnedSemaphorePermit), ConnectionError> {
    stream.set_nodelay(true)?;
    let mut bytes = [0; HELLO_BYTES];
    stream.read_exact(&mut bytes).await?;
    let hello = Hello::decode(&bytes);
    let checked = hello.as_ref().map_err(|error| *error).and_then(|hello| hello.check(shared.identity));
    let place = Arc::clone(&shared.places).try_acquire_owned();
    if checked.is_ok() && place.is_err() {
        // There is no answer for it: it dials again, as after any other loss.
        return Err(ConnectionError::Full);
    }
    stream.write_all(&encode_answer(checked)).await?;
    checked?;
    Ok((hello?, place.map_err(|_| ConnectionError::Full)?))
}

async fn read_packets(stream: &mut TcpStream, from: Pair, shared: &Shared) -> Result<(), ConnectionError> {
    let max = shared.limits.frame_bytes_max;
    let mut frames = Frames::new(max);
    let own = Arc::new(Semaphore::new(max));
    let mut bytes = BytesMut::new();
    loop {
        while let Some((packet, length)) = frames.next(&mut bytes)? {
            if packet.from != from {
                return Err(ConnectionError::OtherSender { said: from, from: packet.from });
            }
            // The node takes this packet to mean that it has the bytes, durably, and lets the snapshot stand for its log.
            // They do not come this way.
            if matches!(packet.body, Body::InstallSnapshot { .. }) {
                return Err(ConnectionError::SnapshotAlone);
            }
            // Where the node is busy the connection waits, and after it the sender, which then drops what is stale.
            // First its own share, so that one caller alone never takes what is there for all.
            let length = u32::try_from(length.min(max)).unwrap_or(u32::MAX);
            let Ok(own) = Arc::clone(&own).acquire_many_owned(length).await else { return Ok(()) };
            let Ok(all) = Arc::clone(&shared.bytes).acquire_many_owned(length).await else { return Ok(()) };
            if shared.packets.send(Inbound { packet, _bytes: [own, all] }).await.is_err() {
                return Ok(());
            }
        }
        bytes.reserve(READ_BYTES);
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use raft_core::{Boot, ClusterId, Incarnation, NodeId};
    use tokio::sync::mpsc;
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    fn pair(id: u64) -> Pair {
        Pair { id: NodeId::new(id).expect("not zero"), incarnation: Incarnation::new(1) }
    }

    fn shared() -> Shared {
        let second = Duration::from_secs(1);
        let limits =
            Limits { frame_bytes_max: 1, patience: second, reconnect_max: second, queue_bytes_max: 1 };
        let identity = Identity { cluster: ClusterId::new(1), pair: pair(1), boot: Boot::new(1) };
        let semaphore = || Arc::new(Semaphore::new(1));
        let (bytes, places) = (semaphore(), semaphore());
        let told = super::super::Callers::default();
        Shared {
            identity,
            told,
            limits,
            packets: mpsc::channel(1).0,
            bytes,
            places,
            newest: Mutex::default(),
        }
    }

    #[test]
    fn connection_that_was_accepted_last_stays_whichever_says_hello_last() {
        for order in [[1, 2], [2, 1]] {
            let shared = shared();
            let mut replaced: BTreeMap<u64, _> = order
                .into_iter()
                .map(|number| (number, shared.enter(pair(9), number, format!("at {number}"))))
                .collect();
            let mut heard = |number| replaced.get_mut(&number).expect("it has entered").try_recv();
            assert_eq!(heard(1), Err(TryRecvError::Closed), "the older one ends");
            assert_eq!(heard(2), Err(TryRecvError::Empty), "the newer one stays");
            // That the older one leaves changes nothing.
            shared.leave(pair(9), 1);
            assert_eq!(heard(2), Err(TryRecvError::Empty));
            assert_eq!(shared.told.address(pair(9)).as_deref(), Some("at 2"));
            shared.leave(pair(9), 2);
            assert_eq!(shared.told.address(pair(9)), None);
        }
    }

    #[test]
    fn newest_connection_is_the_one_that_tells_where_its_caller_is_reached() {
        for order in [[1, 2], [2, 1]] {
            let shared = shared();
            for number in order {
                let reached_at = if number == 1 { "at 1" } else { "" };
                drop(shared.enter(pair(9), number, reached_at.to_owned()));
            }
            assert_eq!(shared.told.address(pair(9)), None, "the newest one says nothing");
        }
        // Of those that are open: who comes late is not too late where the newer one is gone already.
        let shared = shared();
        drop(shared.enter(pair(9), 2, "at 2".to_owned()));
        shared.leave(pair(9), 2);
        let mut replaced = shared.enter(pair(9), 1, "at 1".to_owned());
        assert_eq!(replaced.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(shared.told.address(pair(9)).as_deref(), Some("at 1"));
    }

    #[test]
    fn connections_of_other_callers_do_not_end_each_other() {
        let shared = shared();
        let mut replaced = [(8, 2), (9, 1)].map(|(id, number)| shared.enter(pair(id), number, String::new()));
        assert!(replaced.iter_mut().all(|replaced| replaced.try_recv() == Err(TryRecvError::Empty)));
    }
}
