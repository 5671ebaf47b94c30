//! Writes down what the node is handed and what it wants, for a replay elsewhere, beside the loop: a thread encodes and writes. The loop
//! hands over shared memory and never waits. A disk that can not keep up ends the recording, with a warning; the server goes on.
//!
//! What is recorded helps to find a bug; it is no part of what the server promises, so nothing here is synced.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use raft_core::{Body, Commands, Fetched, Message, Ready, RecordedStart, RecordedStep};

/// The most steps that wait to be written.
const STEPS_MAX: usize = 4096;

/// The most that those steps keep in memory in commands and entries, in bytes.
const BYTES_MAX: u64 = 64 << 20;

struct Step {
    messages: Vec<Message>,
    ready: Ready,
    size: u64,
}

/// Of one run of one server.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// `None` once the recording has ended.
    steps: Option<SyncSender<Step>>,
    /// How many bytes wait.
    waiting: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Recorder {
    /// Begins a recording in a file that is not there yet: one is never written over, and one of an earlier start says nothing of this.
    ///
    /// # Errors
    /// The file is there or can not be written, or the system has no thread left.
    pub(crate) fn create(path: &Path, start: &RecordedStart) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(path)?;
        tracing::info!(path = %path.display(), "recording");
        Recorder::begin(BufWriter::new(file), start)
    }

    fn begin(mut out: impl Write + Send + 'static, start: &RecordedStart) -> io::Result<Self> {
        out.write_all(&start.to_bytes())?;
        out.flush()?;
        let (steps, queue) = sync_channel(STEPS_MAX);
        let waiting = Arc::new(AtomicU64::new(0));
        let written = Arc::clone(&waiting);
        let thread = std::thread::Builder::new().name("raft-record".into()).spawn(move || {
            if let Err(error) = write_all(out, &queue, &written) {
                tracing::warn!(%error, "the recording ends here: it can not be written. The server goes on");
            }
        })?;
        Ok(Recorder { steps: Some(steps), waiting, thread })
    }

    /// Whether it still goes on.
    pub(crate) const fn goes_on(&self) -> bool {
        self.steps.is_some()
    }

    /// Queues a step. Where too much waits already the recording ends before it.
    pub(crate) fn record(&mut self, messages: Vec<Message>, ready: &Ready) {
        let Some(steps) = &self.steps else {
            return;
        };
        let size = messages.iter().map(size).sum();
        let waiting = self.waiting.fetch_add(size, Ordering::Relaxed);
        // A step alone is always let through.
        let full = 0 < waiting && BYTES_MAX < waiting.saturating_add(size);
        let step = Step { messages, ready: ready.clone(), size };
        let sent = if full { Err(TrySendError::Full(step)) } else { steps.try_send(step) };
        match sent {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => {
                tracing::warn!(
                    "the recording ends here: the disk can not keep up with it. The server goes on"
                );
            }
            // The thread has said why.
            Err(TrySendError::Disconnected(_)) => {}
        }
        self.steps = None;
    }

    /// Waits until what is queued is written.
    pub(crate) fn finish(self) {
        drop(self.steps);
        // A panic in it has been reported by the panic itself.
        let _ = self.thread.join();
    }
}

/// What a message keeps in memory, but for what every message does.
fn size(message: &Message) -> u64 {
    let commands = |commands: &Commands| commands.as_slice().iter().map(|one| one.len() as u64).sum();
    match message {
        Message::Propose { commands: all, .. } | Message::Forward { commands: all, .. } => commands(all),
        Message::Packet(packet) => match &packet.body {
            Body::Append { entries, .. } => entries.size(),
            Body::Propose { commands: all, .. } => commands(all),
            _ => 0,
        },
        Message::Fetched { result: Fetched::Entries(entries), .. } => entries.size(),
        _ => 0,
    }
}

/// Writes steps as they come, and flushes when none waits.
fn write_all(mut out: impl Write, queue: &Receiver<Step>, waiting: &AtomicU64) -> io::Result<()> {
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        while let Some(Step { messages, ready, size }) = next {
            out.write_all(&RecordedStep::new(messages, &ready).to_bytes())?;
            waiting.fetch_sub(size, Ordering::Relaxed);
            next = queue.try_recv().ok();
        }
        out.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use raft_core::{
        Boot, ClusterId, Config, Identity, Incarnation, NodeId, Pair, Recording, Recovered, RequestId,
    };

    use super::*;

    fn start() -> RecordedStart {
        let pair = Pair { id: NodeId::new(1).expect("not zero"), incarnation: Incarnation::new(5) };
        let identity = Identity { cluster: ClusterId::new(7), pair, boot: Boot::new(1) };
        RecordedStart { config: Config::default(), identity, recovered: Recovered::default() }
    }

    /// A disk that writes nothing but the beginning until it is let go, by the end of `go`.
    struct Slow {
        written: Arc<Mutex<Vec<u8>>>,
        go: Receiver<()>,
        fails: bool,
    }

    fn slow(fails: bool) -> (Recorder, Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let (let_go, go) = channel();
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let disk = Slow { written: Arc::clone(&written), go, fails };
        (Recorder::begin(disk, &start()).expect("a thread"), let_go, written)
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.written.lock().expect("nobody panics");
            if !written.is_empty() {
                drop(written);
                let _ = self.go.recv();
                if self.fails {
                    return Err(io::Error::other("as the test wants"));
                }
                written = self.written.lock().expect("nobody panics");
            }
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn step(bytes: usize) -> Vec<Message> {
        vec![Message::Propose { id: RequestId::new(1), commands: vec![0; bytes].into() }]
    }

    /// How many steps are in a recording, all of which is whole.
    fn steps(written: &Mutex<Vec<u8>>) -> usize {
        let written = written.lock().expect("nobody panics").clone();
        let (recorded, steps) = Recording::open(written.into()).expect("a recording");
        assert_eq!(recorded, start());
        steps.collect::<Result<Vec<_>, _>>().expect("whole").len()
    }

    /// Goal: nobody waits for the recording. Method: a disk that writes nothing, and more steps than may wait, in number and in bytes.
    #[test]
    fn recording_that_can_not_keep_up_ends_and_is_whole() {
        for (bytes, least, most) in [(1, STEPS_MAX, STEPS_MAX + 1), (8 << 20, 8, 8)] {
            let (mut recorder, let_go, written) = slow(false);
            let mut taken = 0;
            while recorder.goes_on() {
                recorder.record(step(bytes), &Ready::default());
                taken += usize::from(recorder.goes_on());
            }
            assert!((least..=most).contains(&taken), "{taken} steps of {bytes} bytes wait");
            recorder.record(step(1), &Ready::default());
            drop(let_go);
            recorder.finish();
            assert_eq!(steps(&written), taken, "what was taken is written, and nothing after it");
        }
    }

    /// Goal: a disk that fails ends the recording, not more. Method: one that fails at once, and steps until that is noticed.
    #[test]
    fn recording_that_can_not_be_written_ends() {
        let (mut recorder, let_go, written) = slow(true);
        drop(let_go);
        while recorder.goes_on() {
            recorder.record(step(1), &Ready::default());
        }
        recorder.finish();
        assert_eq!(steps(&written), 0);
    }
}
