//! `raftd load`: writes every line of a file into a cluster, by many clients at once, through changes of leader.
//!
//! ```text
//!   reader ──▶ one bounded queue per client, chosen by the key ──▶ clients ──▶ PUT /db/{key}
//!                                                                     └──────▶ numbers of acknowledged lines
//! ```
//!
//! Lines with the same key go through the same client, so they are written in the order of the file. A line is written again
//! until a server acknowledges it. Where a file sets a key once that is harmless, because writing a value twice is like
//! writing it once. Where a file sets a key several times it is not quite: an attempt that was given up can still reach a
//! server and be appended behind a later line of the same key, which was acknowledged meanwhile. Nothing acknowledged is lost
//! then, but an old value comes back. So the journal of acknowledged lines marks those that had such attempts (`retried`),
//! and `verify` takes their values for possible.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::{Method, StatusCode};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::{ANSWER_WITHIN, Base, Client};
use crate::exit::{Exit, Failure, note, say};
use crate::http::key;
use crate::lines::{Line, Lines};
use crate::read_back::{Possible, ReadBack};
use crate::signals::Signals;

/// Lines that wait for one client.
const QUEUE_LINES_MAX: usize = 16;
/// Between two attempts at a line: this long at first, then twice as long each time, up to the other.
const AGAIN_FIRST: Duration = Duration::from_millis(10);
const AGAIN_LAST: Duration = Duration::from_millis(640);
/// What stands behind the number of a line that had attempts whose outcome is not known.
pub(crate) const RETRIED: &str = " retried";
/// How many refused lines are named one by one.
const NAMED_MAX: u64 = 10;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file: lines `key<TAB>value`, or any lines, whose numbers then are their keys
    file: PathBuf,
    /// Servers to write to, separated by commas: http://HOST:PORT,…
    #[arg(long, value_name = "URL,…", value_delimiter = ',', required = true)]
    to: Vec<Base>,
    /// How many lines are under way at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=256))]
    clients: u16,
    /// Give up on a line after this many seconds, and on all when none was acknowledged for as long
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    patience: u64,
    /// Write the numbers of the acknowledged lines to this file, one a line; behind it "retried", where an earlier attempt
    /// may still have its effect
    #[arg(long, value_name = "FILE")]
    acknowledged: Option<PathBuf>,
    /// Read each line back as soon as it is acknowledged, linearizably, from one server after the other; it fails where a line is
    /// missing, or an older one of its key is there. Nobody else may write these keys meanwhile
    #[arg(long)]
    read_back: bool,
}

/// Why loading could not go on.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("can not read {0}: {1}")]
    Read(PathBuf, io::Error),
    #[error("can not write {0}: {1}")]
    Acknowledged(PathBuf, io::Error),
    #[error("a thread of the loader has failed")]
    Thread,
}

pub(crate) async fn run(args: Args) -> Result<Exit, Failure> {
    let mut signals = Signals::install().map_err(Failure::violated)?;
    let read_error = |error| Failure::usage(LoadError::Read(args.file.clone(), error));
    let file = File::open(&args.file).map_err(read_error)?;
    let length = file.metadata().map_err(read_error)?.len();
    let journal = args.acknowledged.as_deref().map(Journal::create).transpose().map_err(Failure::usage)?;
    let client = Client::new(usize::from(args.clients));
    let patience = Duration::from_secs(args.patience);
    let read_back = args.read_back.then(|| ReadBack::new(client.clone(), args.to.clone(), patience));
    let work = Arc::new(Work {
        client,
        read_back,
        target: Mutex::new(Target { base: args.to[0].clone(), nth: 0 }),
        bases: args.to,
        patience,
        began: Instant::now(),
        last_acknowledged: AtomicU64::new(0),
        acknowledged: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        malformed: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        bar: progress_bar(length),
    });

    let mut clients = JoinSet::new();
    let mut queues = Vec::new();
    for _ in 0..args.clients {
        let (queue, lines) = mpsc::channel(QUEUE_LINES_MAX);
        queues.push(queue);
        clients.spawn(write_lines(
            Arc::clone(&work),
            lines,
            journal.as_ref().map(|journal| journal.numbers.clone()),
        ));
    }
    let reader = tokio::task::spawn_blocking({
        let work = Arc::clone(&work);
        move || read_lines(file, &queues, &work)
    });

    let ended = async {
        let read = reader.await;
        while clients.join_next().await.is_some() {}
        match read {
            Ok((lines, read)) => (lines, read.map_err(read_error)),
            Err(_) => (0, Err(Failure::violated(LoadError::Thread))),
        }
    };
    let mut interrupted = false;
    let mut ended = std::pin::pin!(ended);
    let (lines, read) = loop {
        tokio::select! {
            ended = ended.as_mut() => break ended,
            name = signals.next() => {
                work.note(&format!("{name}: ending with the lines that are under way"));
                interrupted = true;
                work.stop.store(true, Ordering::Relaxed);
            }
        }
    };
    work.bar.finish_and_clear();
    let journaled = match journal {
        Some(journal) => journal.finish().await,
        None => Ok(()),
    };
    // Also where something failed: what was acknowledged until then is done.
    let acknowledged = work.acknowledged.load(Ordering::Relaxed);
    let lost = tell(acknowledged, lines, work.read_back.as_ref());
    read?;
    journaled.map_err(Failure::violated)?;
    let malformed = work.malformed.load(Ordering::Relaxed);
    Ok(match () {
        () if lost => Exit::Violated,
        () if acknowledged == lines => Exit::Clean,
        // All is written that could be: what is wrong is the file.
        () if acknowledged + malformed == lines => Exit::Usage,
        () if interrupted => Exit::Unfinished,
        () => Exit::Violated,
    })
}

/// Says what was done, and returns whether something that was acknowledged was not found again.
fn tell(acknowledged: u64, lines: u64, read_back: Option<&ReadBack>) -> bool {
    let Some(read_back) = read_back else {
        say(&format!("acknowledged {acknowledged} of {lines}"));
        return false;
    };
    say(&format!("read back {}", read_back.by_server()));
    let right = read_back.count();
    say(&format!("acknowledged {acknowledged} of {lines}, read back {right} of {acknowledged}"));
    right != acknowledged
}

fn progress_bar(bytes: u64) -> ProgressBar {
    // Only where somebody is looking: in a file or a pipe the redrawn lines would be rubbish.
    let shown = io::stderr().is_terminal();
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(bytes), target);
    match ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}  {msg}  {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// What the clients share.
struct Work {
    client: Client,
    read_back: Option<ReadBack>,
    bases: Vec<Base>,
    /// Who acknowledged last: usually the leader, so the next line goes there.
    target: Mutex<Target>,
    patience: Duration,
    began: Instant,
    /// Milliseconds after `began`.
    last_acknowledged: AtomicU64,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    /// Lines that are none, whoever would be asked.
    malformed: AtomicU64,
    stop: AtomicBool,
    bar: ProgressBar,
}

#[derive(Clone)]
struct Target {
    base: Base,
    /// Which of `bases` was asked last.
    nth: usize,
}

/// Reads the file and hands its lines out; the number of lines, and whether there are no more. After a stop it only counts.
fn read_lines(file: impl Read, queues: &[mpsc::Sender<Line>], work: &Work) -> (u64, io::Result<()>) {
    let mut lines = Lines::new(BufReader::with_capacity(1 << 16, file));
    let mut count = 0;
    loop {
        let line = match lines.next() {
            Ok(Some(line)) => line,
            Ok(None) => return (count, Ok(())),
            Err(error) => return (count, Err(error)),
        };
        count += 1;
        match line {
            _ if work.stop.load(Ordering::Relaxed) => {}
            Ok(line) => {
                let hash = xxhash_rust::xxh3::xxh3_64(&line.key) as usize;
                // A client ends only once its queue does, so this can not fail before that.
                let _ = queues[hash % queues.len()].blocking_send(line);
            }
            Err(error) => {
                work.malformed.fetch_add(1, Ordering::Relaxed);
                work.refuse(&error.to_string());
            }
        }
        if count % 256 == 0 {
            work.bar.set_position(lines.bytes());
            work.bar.set_message(format!("{} acknowledged", work.acknowledged.load(Ordering::Relaxed)));
        }
    }
}

/// One client: writes the lines of its queue, one after another.
async fn write_lines(
    work: Arc<Work>,
    mut lines: mpsc::Receiver<Line>,
    journal: Option<mpsc::Sender<Acknowledged>>,
) {
    let mut possible = Possible::default();
    while let Some(line) = lines.recv().await {
        if work.stop.load(Ordering::Relaxed) {
            continue;
        }
        let Written { acknowledged, retried } = work.write_line(&line).await;
        if retried && work.read_back.is_some() {
            possible.insert(&line);
        }
        if !acknowledged {
            continue;
        }
        work.acknowledged.fetch_add(1, Ordering::Relaxed);
        work.last_acknowledged.fetch_max(work.now(), Ordering::Relaxed);
        if let Some(journal) = &journal {
            // The journal ends only after its senders, or on an error that it reports itself.
            let _ = journal.send(Acknowledged { number: line.number, retried }).await;
        }
        if let Some(read_back) = &work.read_back
            && let Err(error) = read_back.read(&line, &possible).await
        {
            work.refuse(&error.to_string());
        }
    }
}

/// What became of a line.
#[derive(Clone, Copy)]
struct Written {
    acknowledged: bool,
    /// Whether an attempt at it may still have its effect.
    retried: bool,
}

/// A line that was written, for the journal.
#[derive(Clone, Copy)]
struct Acknowledged {
    number: u64,
    /// Whether an earlier attempt at it may still have its effect.
    retried: bool,
}

impl Work {
    /// Writes one line until it is acknowledged, or can not be.
    async fn write_line(&self, line: &Line) -> Written {
        let path = key::path(&line.key);
        let began = Instant::now();
        let mut again = AGAIN_FIRST;
        let mut retried = false;
        loop {
            let target = self.target();
            let sent = self.client.send(&Method::PUT, &target.base, &path, &line.value, ANSWER_WITHIN).await;
            let problem = match sent {
                Ok(answer) if answer.status.is_success() => {
                    self.keep_target(answer.from);
                    return Written { acknowledged: true, retried };
                }
                Ok(answer) if is_final(answer.status) => {
                    let text = String::from_utf8_lossy(&answer.body);
                    self.refuse(&format!(
                        "line {} is refused: {} {}",
                        line.number,
                        answer.status,
                        text.trim()
                    ));
                    return Written { acknowledged: false, retried };
                }
                Ok(answer) => {
                    retried |= !certainly_no_effect(answer.status);
                    format!("{}: {} {}", answer.from, answer.status, String::from_utf8_lossy(&answer.body))
                }
                Err(error) => {
                    retried = true;
                    error.to_string()
                }
            };
            self.change_target(&target);
            if self.stop.load(Ordering::Relaxed) {
                return Written { acknowledged: false, retried };
            }
            if self.patience < began.elapsed() {
                self.give_up(line.number, problem.trim());
                return Written { acknowledged: false, retried };
            }
            tokio::time::sleep(again).await;
            again = (again * 2).min(AGAIN_LAST);
        }
    }

    /// A line on stderr, above the bar where there is one.
    fn note(&self, line: &str) {
        self.bar.suspend(|| note(line));
    }

    fn target(&self) -> Target {
        self.target.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep_target(&self, base: Base) {
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        if target.base != base {
            target.base = base;
        }
    }

    /// Asks the next server, unless another client has changed the target since `used` was read.
    fn change_target(&self, used: &Target) {
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        if target.base == used.base {
            target.nth = (used.nth + 1) % self.bases.len();
            target.base = self.bases[target.nth].clone();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A line that can never be written, or was not found again.
    fn refuse(&self, why: &str) {
        match self.refused.fetch_add(1, Ordering::Relaxed) {
            nth if nth < NAMED_MAX => self.note(why),
            NAMED_MAX => self.note("and so it is with more lines"),
            _ => {}
        }
    }

    /// A line that could not be written in time. Where nothing else could be written in that time either, the cluster is
    /// gone, and trying every other line for as long would not end.
    fn give_up(&self, number: u64, problem: &str) {
        let silent = self.now().saturating_sub(self.last_acknowledged.load(Ordering::Relaxed));
        if self.patience <= Duration::from_millis(silent) && !self.stop.swap(true, Ordering::Relaxed) {
            self.note(&format!("giving up: nothing was acknowledged for {silent} ms; at last {problem}"));
        } else {
            self.refuse(&format!("line {number} was not acknowledged: {problem}"));
        }
    }
}

/// Whether asking again, anywhere, would bring the same answer. A server that was removed says so of itself only.
fn is_final(status: StatusCode) -> bool {
    let elsewhere = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS, StatusCode::GONE];
    status.is_client_error() && !elsewhere.contains(&status)
}

/// Whether an answer says that nothing was changed, now or later.
fn certainly_no_effect(status: StatusCode) -> bool {
    status.is_client_error()
        || status == StatusCode::SERVICE_UNAVAILABLE
        || status == StatusCode::TEMPORARY_REDIRECT
}

/// The file of acknowledged line numbers, written by a thread of its own so that no client waits for a disk.
struct Journal {
    numbers: mpsc::Sender<Acknowledged>,
    thread: tokio::task::JoinHandle<io::Result<()>>,
    path: PathBuf,
}

impl Journal {
    fn create(path: &Path) -> Result<Journal, LoadError> {
        let file = File::create(path).map_err(|error| LoadError::Acknowledged(path.to_owned(), error))?;
        let (numbers, mut incoming) = mpsc::channel::<Acknowledged>(1024);
        let thread = tokio::task::spawn_blocking(move || {
            let mut file = BufWriter::new(file);
            while let Some(Acknowledged { number, retried }) = incoming.blocking_recv() {
                writeln!(file, "{number}{}", if retried { RETRIED } else { "" })?;
            }
            file.flush()
        });
        Ok(Journal { numbers, thread, path: path.to_owned() })
    }

    async fn finish(self) -> Result<(), LoadError> {
        drop(self.numbers);
        let written = self.thread.await.map_err(|_| LoadError::Thread)?;
        written.map_err(|error| LoadError::Acknowledged(self.path, error))
    }
}
