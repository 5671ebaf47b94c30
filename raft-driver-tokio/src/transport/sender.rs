//! The sending side: one task for each peer, with a bounded queue. It dials, says hello, and writes what is queued, as much
//! as there is in one go.
//!
//! The queue has two lanes. What carries entries waits in one that is bounded in bytes; everything else (heartbeats, votes,
//! acknowledgements) is small, has a lane of its own, and goes first, so that bulk never keeps a heartbeat waiting for
//! longer than it takes to write what is under way. Raft does not mind that packets overtake each other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use raft_core::{Body, Identity, Packet, Pair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::Limits;
use super::frame::push_frame;
use super::hello::{ANSWER_BYTES, Hello, HelloError, decode_answer};

/// How many small packets may wait.
const SMALL_PACKETS_MAX: usize = 1024;
/// How many packets with entries may wait, however small.
const BULK_PACKETS_MAX: usize = 1024;
/// How much is written at once before small packets are looked for again.
const WRITE_BYTES: usize = 256 << 10;
/// The pause after the first failure; it doubles with every further one.
const RECONNECT_MIN: Duration = Duration::from_millis(20);
/// How long a connection has to last before the failures before it are forgotten.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// The way to one other server. Dropping it ends the connection.
#[derive(Debug)]
pub(crate) struct Peer {
    address: String,
    small: Sender<Packet>,
    bulk: Sender<(Packet, OwnedSemaphorePermit)>,
    bytes: Arc<Semaphore>,
    bytes_max: u32,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    pub(crate) fn spawn(identity: Identity, to: Pair, address: String, own: String, limits: Limits) -> Self {
        let (small, small_queue) = channel(SMALL_PACKETS_MAX);
        let (bulk, bulk_queue) = channel(BULK_PACKETS_MAX);
        let dialer = Dialer {
            hello: Hello { cluster: identity.cluster, from: identity.pair, to, address: own },
            address: address.clone(),
            limits,
            small: small_queue,
            bulk: bulk_queue,
        };
        let bytes_max = limits.queue_bytes_max;
        Peer {
            address,
            small,
            bulk,
            bytes: Arc::new(Semaphore::new(bytes_max as usize)),
            bytes_max,
            task: tokio::spawn(dialer.run()),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Queues a packet, or drops it where the queue is full: the node sends again what matters.
    pub(crate) fn send(&self, packet: Packet) {
        let to = packet.to;
        let queued = match &packet.body {
            Body::Append { entries, .. } => {
                // One packet is let through whatever its size, once nothing else waits.
                let size = u32::try_from(entries.size()).unwrap_or(u32::MAX).min(self.bytes_max);
                match Arc::clone(&self.bytes).try_acquire_many_owned(size) {
                    Ok(permit) => self.bulk.try_send((packet, permit)).is_ok(),
                    Err(_) => false,
                }
            }
            _ => self.small.try_send(packet).is_ok(),
        };
        if !queued {
            tracing::debug!(%to, "a queue is full; a packet is dropped");
        }
    }
}

struct Dialer {
    hello: Hello,
    address: String,
    limits: Limits,
    small: Receiver<Packet>,
    bulk: Receiver<(Packet, OwnedSemaphorePermit)>,
}

/// Why a connection could not be made or has ended.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("refused: {0}")]
    Refused(HelloError),
    #[error("closed by the other side")]
    Closed,
    #[error(
        "closed by the other side soon after its welcome. Where this goes on, another process uses the identity of this \
         server: its folder was copied. Stop one of the two for good"
    )]
    ClosedSoon,
}

/// How long to wait before the next attempt, and how loudly to say that one failed.
#[derive(Debug)]
struct Backoff {
    pause: Duration,
    pause_max: Duration,
    failures: u32,
}

impl Backoff {
    fn new(pause_max: Duration) -> Self {
        Backoff { pause: RECONNECT_MIN.min(pause_max), pause_max, failures: 0 }
    }

    /// A connection has ended that lasted so long. One that ended at once is like one that was never made: two servers of
    /// one identity end each other's connections, and would do so many times a second.
    fn ended_after(&mut self, lasted: Duration) {
        if SETTLED_AFTER <= lasted {
            *self = Backoff::new(self.pause_max);
        }
    }

    /// One more failure: how many came before it, and how long to wait.
    fn failed(&mut self) -> (u32, Duration) {
        let (failures, pause) = (self.failures, self.pause);
        self.failures = failures.saturating_add(1);
        self.pause = (pause * 2).min(self.pause_max);
        (failures, pause)
    }
}

impl Dialer {
    async fn run(mut self) {
        let to = self.hello.to;
        let mut backoff = Backoff::new(self.limits.reconnect_max);
        // Why it was sent away last: that, too, is worth a warning once.
        let mut refused = None;
        loop {
            let error = match self.dial().await {
                Ok(mut stream) => {
                    tracing::info!(%to, address = self.address, "connected");
                    refused = None;
                    let began = Instant::now();
                    let Err(error) = self.write_packets(&mut stream).await else {
                        return;
                    };
                    backoff.ended_after(began.elapsed());
                    // Once or twice is a server that was started again.
                    let soon = began.elapsed() < SETTLED_AFTER && 3 <= backoff.failures;
                    if soon && matches!(error, DialError::Closed) { DialError::ClosedSoon } else { error }
                }
                Err(error) => error,
            };
            let (failures, pause) = backoff.failed();
            // That a server went away is worth a warning once. Of one that is away for hours the log need not speak every
            // second.
            let why = if let DialError::Refused(why) = error { Some(why) } else { None };
            let other = why.is_some() && why != refused;
            refused = why.or(refused);
            if failures == 0 || other || failures == 8 && matches!(error, DialError::ClosedSoon) {
                tracing::warn!(%to, address = self.address, %error, failures, "not connected");
            } else if failures.is_power_of_two() {
                tracing::info!(%to, address = self.address, %error, failures, "not connected");
            }
            if !self.discard_for(pause).await {
                return;
            }
        }
    }

    async fn dial(&self) -> Result<TcpStream, DialError> {
        timeout(self.limits.patience, self.connect()).await.map_err(|_| DialError::Timeout)?
    }

    async fn connect(&self) -> Result<TcpStream, DialError> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        give_up_after(&stream, self.limits.patience)?;
        stream.write_all(&self.hello.encode()).await?;
        let mut answer = [0; ANSWER_BYTES];
        stream.read_exact(&mut answer).await?;
        decode_answer(&answer).map_err(DialError::Refused)?;
        Ok(stream)
    }

    /// Writes what is queued until the connection ends, with an error, or nobody sends any more, without one.
    async fn write_packets(&mut self, stream: &mut TcpStream) -> Result<(), DialError> {
        let (mut reading, mut writing) = stream.split();
        let mut bytes = Vec::new();
        let mut nothing = [0; 1];
        loop {
            let mut permits = Vec::new();
            tokio::select! {
                biased;
                packet = self.small.recv() => match packet {
                    Some(packet) => push(&mut bytes, &packet, self.limits),
                    None => return Ok(()),
                },
                packet = self.bulk.recv() => match packet {
                    Some((packet, permit)) => {
                        push(&mut bytes, &packet, self.limits);
                        permits.push(permit);
                    }
                    None => return Ok(()),
                },
                // The other side has nothing to say; this only tells that it is gone.
                read = reading.read(&mut nothing) => {
                    read?;
                    return Err(DialError::Closed);
                }
            }
            while bytes.len() < WRITE_BYTES
                && let Ok(packet) = self.small.try_recv()
            {
                push(&mut bytes, &packet, self.limits);
            }
            while bytes.len() < WRITE_BYTES
                && let Ok((packet, permit)) = self.bulk.try_recv()
            {
                push(&mut bytes, &packet, self.limits);
                permits.push(permit);
            }
            let written = timeout(self.limits.patience, writing.write_all(&bytes)).await;
            written.map_err(|_| DialError::Timeout)??;
            bytes.clear();
            bytes.shrink_to(4 * WRITE_BYTES);
        }
    }

    /// Waits for `pause` and drops what is queued meanwhile: it would be stale. `false` once nobody sends any more.
    async fn discard_for(&mut self, pause: Duration) -> bool {
        let pause = sleep(pause);
        tokio::pin!(pause);
        loop {
            let going_on = tokio::select! {
                () = &mut pause => return true,
                packet = self.small.recv() => packet.is_some(),
                packet = self.bulk.recv() => packet.is_some(),
            };
            if !going_on {
                return false;
            }
        }
    }
}

fn push(bytes: &mut Vec<u8>, packet: &Packet, limits: Limits) {
    if let Err(error) = push_frame(bytes, packet, limits.frame_bytes_max) {
        tracing::error!(to = %packet.to, %error, "a packet can not be sent");
    }
}

/// Lets the system end a connection whose bytes nobody acknowledges. Without it a connection that was cut off goes on
/// trying at ever longer intervals, and is silent for a minute after the network is whole again.
fn give_up_after(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let milliseconds = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(stream, milliseconds)?;
    }
    // Elsewhere only the time limit of a write ends it.
    let _ = (stream, patience);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_a_connection_has_lasted() {
        let mut backoff = Backoff::new(Duration::from_millis(100));
        let ms = |(failures, pause): (u32, Duration)| (failures, pause.as_millis());
        assert_eq!([ms(backoff.failed()), ms(backoff.failed())], [(0, 20), (1, 40)]);
        backoff.ended_after(SETTLED_AFTER - Duration::from_millis(1));
        assert_eq!([ms(backoff.failed()), ms(backoff.failed())], [(2, 80), (3, 100)]);
        backoff.ended_after(SETTLED_AFTER);
        assert_eq!(ms(backoff.failed()), (0, 20));
    }
}
