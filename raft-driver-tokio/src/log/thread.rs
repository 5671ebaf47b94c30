//! The threads that wait for the disk, so that nobody else has to: one makes batches durable, one reads old entries, and
//! neither delays the other. A loop that is about to answer a heartbeat never touches a file.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use raft_core::{Fetch, Fetched, Message, Write, WriteNumber};

use super::error::LogError;
use super::reader::LogReader;
use super::writer::Log;
use crate::DataDir;

/// What a disk thread has to say to the node.
#[derive(Debug)]
pub(crate) struct Report {
    /// For the node.
    pub(crate) message: Message,
    /// Why, where it is a failure.
    pub(crate) cause: Option<Arc<LogError>>,
}

impl From<Message> for Report {
    fn from(message: Message) -> Self {
        Report { message, cause: None }
    }
}

/// Where disk threads report to. A node has only so many writes and fetches outstanding, so reports never pile up. `false`
/// ends the thread: nobody listens any more.
pub(crate) trait Reports: Fn(Report) -> bool + Send + 'static {}
impl<F: Fn(Report) -> bool + Send + 'static> Reports for F {}

/// The thread that makes batches durable.
#[derive(Debug)]
pub(crate) struct LogThread {
    batches: Sender<Write>,
    thread: JoinHandle<()>,
}

impl LogThread {
    /// Starts it. The folder stays locked until the thread has ended.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn spawn(log: Log, directory: DataDir, report: impl Reports) -> std::io::Result<Self> {
        let (batches, queue) = channel();
        let thread = std::thread::Builder::new().name("raft-log".into()).spawn(move || {
            write_all(log, &queue, &report);
            drop(directory);
        })?;
        Ok(LogThread { batches, thread })
    }

    /// Queues a batch. After a failure it is dropped: the node has been told.
    pub(crate) fn write(&self, write: Write) {
        // The queue is as long as the node has writes outstanding, which its configuration limits.
        let _ = self.batches.send(write);
    }

    /// Waits until everything queued is durable and the thread is gone.
    pub(crate) fn finish(self) {
        drop(self.batches);
        // A panic in it has been reported by the panic itself; there is nothing left to wait for.
        let _ = self.thread.join();
    }
}

/// Makes batches durable as they come: everything that is queued, then one sync for all of it (group commit).
fn write_all(mut log: Log, queue: &Receiver<Write>, report: &impl Reports) {
    while let Ok(first) = queue.recv() {
        let oldest = first.number;
        let said = match write_queued(&mut log, first, queue) {
            Ok(newest) => report(Message::Synced(newest).into()),
            Err(error) => {
                tracing::error!(%error, "the log failed; this server can promise nothing more");
                let message = Message::WriteFailed(oldest);
                report(Report { message, cause: Some(Arc::new(error)) });
                // A failure is final: what comes now is dropped.
                false
            }
        };
        if !said {
            return;
        }
    }
}

fn write_queued(log: &mut Log, first: Write, queue: &Receiver<Write>) -> Result<WriteNumber, LogError> {
    let mut next = Some(first);
    let mut newest = WriteNumber::ZERO;
    while let Some(write) = next {
        newest = write.number;
        log.append(&write)?;
        next = queue.try_recv().ok();
    }
    log.sync()?;
    Ok(newest)
}

/// The thread that reads old entries.
#[derive(Debug)]
pub(crate) struct FetchThread {
    fetches: Sender<Fetch>,
    thread: JoinHandle<()>,
}

impl FetchThread {
    /// Starts it.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn spawn(reader: LogReader, report: impl Reports) -> std::io::Result<Self> {
        let (fetches, queue) = channel();
        let thread = std::thread::Builder::new().name("raft-fetch".into());
        Ok(FetchThread { fetches, thread: thread.spawn(move || fetch_all(&reader, &queue, &report))? })
    }

    /// Queues a fetch; the answer comes as a report.
    pub(crate) fn fetch(&self, fetch: Fetch) {
        // The node has a bounded number of fetches outstanding.
        let _ = self.fetches.send(fetch);
    }

    /// Waits until the thread is gone.
    pub(crate) fn finish(self) {
        drop(self.fetches);
        let _ = self.thread.join();
    }
}

/// How long reading waits for files to be closed where too many are open.
const AGAIN: Duration = Duration::from_millis(100);

fn fetch_all(reader: &LogReader, queue: &Receiver<Fetch>, report: &impl Reports) {
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            let Ok(fetch) = queue.recv() else { return };
            waiting.push_back(fetch);
        }
        let Some(fetch) = waiting.front() else { continue };
        let (result, cause) = match reader.entries(fetch.first, fetch.last, fetch.bytes_max) {
            Ok(Some(entries)) => (Fetched::Entries(entries), None),
            // The node only fetches what it has made durable: the log that does not have it is not the one it wrote.
            Ok(None) => (Fetched::Failed, None),
            Err(error) if error.is_shortage() => {
                tracing::warn!(%error, "an old part of the log can not be read yet");
                // Waits in the queue, so that a shutdown is heard at once.
                match queue.recv_timeout(AGAIN) {
                    Ok(another) => waiting.push_back(another),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                continue;
            }
            Err(error) => (Fetched::Failed, Some(Arc::new(error))),
        };
        if let Some(error) = &cause {
            tracing::error!(%error, "the log can not be read");
        }
        let number = fetch.number;
        waiting.pop_front();
        if !report(Report { message: Message::Fetched { number, result }, cause }) {
            return;
        }
    }
}
