//! `raftd bench`: acknowledged writes and linearizable reads per second of three servers on this machine, next to what their
//! disk can do.
//!
//! The disk: append a record, `fdatasync`, again; by one writer alone, and by three with a file each, as the three servers
//! are. On some virtual machines one alone is several times slower, because nobody is there to wake it. Then the cluster,
//! with 1 client and with 64, each of which writes a value and waits for the answer, and the disk again after each. The
//! best of all those figures of the disk is what the cluster is compared with: whatever else the machine does can only make
//! the disk look slower, and the cluster better than it is.
//!
//! With one client every write costs at least two syncs, the leader's and a follower's, side by side; with many clients,
//! writes share them. Reads cost no sync: those at the leader a round of heartbeats, those at followers a question to the leader
//! before, and many share both.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::client::{ANSWER_WITHIN, Base, Client};
use crate::cluster::{Cluster, Event, Folder};
use crate::demo::{Temporary, leader};
use crate::exit::{Exit, Failure, note, say};
use crate::http::key;
use crate::measure::measure_syncs;
use crate::signals::Signals;

/// The first HTTP port, where none is given: not those of a demo that may be running.
const HTTP_PORT: u16 = 4101;
const VALUE_BYTES: usize = 128;
const CLIENTS: [u16; 2] = [1, 64];
/// Different keys that are written; as many for every number of clients.
const KEYS: u64 = 10_000;
const LEADER_WITHIN: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(50);
/// After so long without an acknowledgement there is nothing to measure. Well above an election or two.
const SILENT_MAX: Duration = Duration::from_secs(60);
/// The pause before a write is tried again.
const AGAIN: Duration = Duration::from_millis(50);
/// Latencies that one client keeps; beyond that the first ones speak for all.
const LATENCIES_MAX: usize = 1 << 16;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure on the disk of this folder, in a new folder within that is removed at the end
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The HTTP port of the first server; the others take the two behind it
    #[arg(long, value_name = "P")]
    http_port: Option<u16>,
    /// How long each of the measurements takes
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Print the figures as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error("the three servers have no leader after {} s", LEADER_WITHIN.as_secs())]
    NoLeader,
    #[error("server {0} died ({1}), so the figures would mean nothing")]
    Died(u16, String),
    #[error("nothing was acknowledged for {seconds} s; at last: {0}", seconds = SILENT_MAX.as_secs())]
    Silent(String),
    #[error("can not make a folder in {0}: {1}")]
    Folder(PathBuf, std::io::Error),
    #[error("the disk alone could not be measured: {0}")]
    Disk(std::io::Error),
    #[error("a task of the measurement has failed")]
    Task,
}

/// All figures.
#[derive(Serialize)]
struct Figures {
    value_bytes: usize,
    /// The best of all measurements of the disk, for one file.
    raw_syncs_per_second: f64,
    /// Of one file alone, before, between and after the runs.
    raw_syncs_per_second_alone: Vec<f64>,
    /// Of each of three files at a time, on average.
    raw_syncs_per_second_of_three: Vec<f64>,
    runs: Vec<Run>,
    reads: Vec<Reads>,
}

/// The figures for reads by one number of clients.
#[derive(Serialize)]
struct Reads {
    /// `leader` or `followers`.
    at: &'static str,
    clients: u16,
    answered: u64,
    /// As those of writes.
    retries: u64,
    seconds: f64,
    answered_per_second: f64,
    median_microseconds: u64,
    p99_microseconds: u64,
}

/// The figures for writes by one number of clients.
#[derive(Serialize)]
struct Run {
    clients: u16,
    acknowledged: u64,
    /// How many requests were sent again, because the leader changed or an answer did not come. Where there are any, the
    /// figures are those of a cluster in trouble.
    retries: u64,
    seconds: f64,
    acknowledged_per_second: f64,
    fraction_of_raw_syncs: f64,
    median_microseconds: u64,
    p99_microseconds: u64,
}

pub(crate) async fn run(args: Args) -> Result<Exit, Failure> {
    let mut signals = Signals::install().map_err(Failure::violated)?;
    let parent = args.data.unwrap_or_else(std::env::temp_dir);
    let temporary = Temporary::create("bench", &parent)
        .map_err(|error| Failure::usage(BenchError::Folder(parent.clone(), error)))?;
    let within = Duration::from_secs(args.seconds);
    let mut disk = Disk { path: temporary.path.clone(), within, alone: Vec::new(), of_three: Vec::new() };
    disk.measure().await.map_err(Failure::violated)?;
    let folder =
        Folder::open(&temporary.path.join("cluster"), args.http_port, HTTP_PORT).map_err(Failure::usage)?;
    let mut cluster = Cluster::start(folder).map_err(Failure::violated)?;
    let bases = cluster.folder().bases();
    let measured = tokio::select! {
        figures = measure(&bases, within, disk) => Some(figures),
        error = death(&mut cluster) => Some(Err(error)),
        name = signals.next() => {
            note(name);
            None
        }
    };
    cluster.stop().await;
    drop(temporary);
    let Some(figures) = measured else {
        say("stopped before the end");
        return Ok(Exit::Unfinished);
    };
    report(&figures.map_err(Failure::violated)?, args.json).map_err(Failure::violated)?;
    Ok(Exit::Clean)
}

/// The disk alone.
struct Disk {
    path: PathBuf,
    within: Duration,
    alone: Vec<f64>,
    of_three: Vec<f64>,
}

impl Disk {
    /// Measures one more time, half of the time each way.
    async fn measure(&mut self) -> Result<(), BenchError> {
        note(&format!("{} s of append and fdatasync in {}", self.within.as_secs(), self.path.display()));
        self.alone.push(self.syncs(1).await?);
        self.of_three.push(self.syncs(3).await? / 3.0);
        Ok(())
    }

    /// Syncs per second of so many writers together.
    async fn syncs(&self, writers: u32) -> Result<f64, BenchError> {
        let mut measurements = JoinSet::new();
        for writer in 0..writers {
            let (folder, within) = (self.path.join(format!("disk-{writer}")), self.within / 2);
            std::fs::create_dir_all(&folder).map_err(BenchError::Disk)?;
            measurements.spawn_blocking(move || measure_syncs(&folder, VALUE_BYTES, within));
        }
        let mut sum = 0.0;
        while let Some(measured) = measurements.join_next().await {
            sum += measured.map_err(|_| BenchError::Task)?.map_err(BenchError::Disk)?.per_second();
        }
        Ok(sum)
    }

    fn best(&self) -> f64 {
        self.alone.iter().chain(&self.of_three).copied().fold(0.0, f64::max)
    }
}

fn report(figures: &Figures, json: bool) -> serde_json::Result<()> {
    if json {
        say(&serde_json::to_string(figures)?);
        return Ok(());
    }
    let best = |figures: &[f64]| figures.iter().copied().fold(0.0, f64::max);
    say(&format!(
        "append and fdatasync of {VALUE_BYTES} bytes: {:.0} per second alone, {:.0} in each of three files at a time",
        best(&figures.raw_syncs_per_second_alone),
        best(&figures.raw_syncs_per_second_of_three)
    ));
    for run in &figures.runs {
        let clients = in_words(run.clients);
        say(&format!(
            "{clients}: {:.0} acknowledged writes per second, {:.2} of the better of these; median {} us, 99% within {} us",
            run.acknowledged_per_second,
            run.fraction_of_raw_syncs,
            run.median_microseconds,
            run.p99_microseconds
        ));
        say_retries(&clients, run.retries);
    }
    for reads in &figures.reads {
        let clients = in_words(reads.clients);
        say(&format!(
            "{clients}: {:.0} linearizable reads per second at the {}; median {} us, 99% within {} us",
            reads.answered_per_second, reads.at, reads.median_microseconds, reads.p99_microseconds
        ));
        say_retries(&clients, reads.retries);
    }
    Ok(())
}

fn in_words(clients: u16) -> String {
    if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") }
}

fn say_retries(clients: &str, retries: u64) {
    if retries != 0 {
        say(&format!("{clients}: {retries} requests were sent again; the cluster was not quiet"));
    }
}

/// The first server that dies. A figure with a restart in it would measure something else.
async fn death(cluster: &mut Cluster) -> BenchError {
    loop {
        match cluster.next_event().await {
            Event::Started { .. } => {}
            Event::Died { id, status } => return BenchError::Died(id, status),
            Event::Failed { id, error } => return BenchError::Died(id, error.to_string()),
        }
    }
}

async fn measure(bases: &[Base], within: Duration, mut disk: Disk) -> Result<Figures, BenchError> {
    let most = CLIENTS.into_iter().max().unwrap_or(1);
    let client = Client::new(usize::from(most));
    let leader = wait_for_leader(&client, bases).await?;
    // The leader first, so that in a quiet run no write takes a detour.
    let mut bases = bases.to_vec();
    bases.sort_by_key(|base| *base != leader);
    let mut runs = Vec::new();
    for clients in CLIENTS {
        note(&format!("{} s of {clients} writes at a time, to {leader}", within.as_secs()));
        let done = ask(&client, &bases, Kind::Write, clients, within).await?;
        runs.push(Run {
            clients,
            acknowledged: done.answered,
            retries: done.retries,
            seconds: done.elapsed.as_secs_f64(),
            acknowledged_per_second: done.per_second(),
            // Known only once the disk was measured for the last time.
            fraction_of_raw_syncs: 0.0,
            median_microseconds: done.microseconds(50),
            p99_microseconds: done.microseconds(99),
        });
        disk.measure().await?;
    }
    let mut reads = Vec::new();
    for clients in CLIENTS {
        for (kind, at) in [(Kind::ReadAtLeader, "leader"), (Kind::ReadAtFollowers, "followers")] {
            note(&format!("{} s of {clients} reads at a time, at the {at}", within.as_secs()));
            let done = ask(&client, &bases, kind, clients, within).await?;
            reads.push(Reads {
                at,
                clients,
                answered: done.answered,
                retries: done.retries,
                seconds: done.elapsed.as_secs_f64(),
                answered_per_second: done.per_second(),
                median_microseconds: done.microseconds(50),
                p99_microseconds: done.microseconds(99),
            });
        }
    }
    let best = disk.best();
    for run in &mut runs {
        run.fraction_of_raw_syncs = run.acknowledged_per_second / best;
    }
    Ok(Figures {
        value_bytes: VALUE_BYTES,
        raw_syncs_per_second: best,
        raw_syncs_per_second_alone: disk.alone,
        raw_syncs_per_second_of_three: disk.of_three,
        runs,
        reads,
    })
}

async fn wait_for_leader(client: &Client, bases: &[Base]) -> Result<Base, BenchError> {
    let deadline = Instant::now() + LEADER_WITHIN;
    let mut asks = interval(ASK_EVERY);
    asks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < deadline {
        asks.tick().await;
        let Some(status) = leader(client, bases).await else {
            continue;
        };
        // It leads for good once it has committed an entry of its own term, which the first write shows.
        let base = usize::try_from(status.id).ok().and_then(|id| bases.get(id.checked_sub(1)?)).cloned();
        let Some(base) = base else { continue };
        let path = key::path(b"first");
        let first = client.send(&Method::PUT, &base, &path, &Bytes::new(), ANSWER_WITHIN).await;
        if let Ok(first) = first
            && first.status.is_success()
        {
            return Ok(first.from);
        }
    }
    Err(BenchError::NoLeader)
}

/// What clients ask, and whom first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Write,
    ReadAtLeader,
    /// Each client at one of the two.
    ReadAtFollowers,
}

impl Kind {
    fn method(self) -> Method {
        if self == Kind::Write { Method::PUT } else { Method::GET }
    }

    /// Whether this is an answer to it. A key may not have been written before it is read.
    fn is_answered(self, status: StatusCode) -> bool {
        status.is_success() || self != Kind::Write && status == StatusCode::NOT_FOUND
    }

    /// Which of the servers, of which the first leads, the nth client asks first.
    fn first(self, nth: u16, servers: usize) -> usize {
        if self == Kind::ReadAtFollowers { 1 + usize::from(nth) % (servers - 1) } else { 0 }
    }
}

/// What one client, or all of them, have measured.
#[derive(Default)]
struct Done {
    /// In microseconds, each from the first attempt to the answer.
    latencies: Vec<u64>,
    answered: u64,
    retries: u64,
    elapsed: Duration,
}

impl Done {
    fn per_second(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    /// Within how many microseconds so many percent were answered. The latencies are sorted.
    fn microseconds(&self, percent: usize) -> u64 {
        self.latencies.get(self.latencies.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0)
    }
}

/// Asks with so many clients for so long.
async fn ask(
    client: &Client,
    bases: &[Base],
    kind: Kind,
    clients: u16,
    within: Duration,
) -> Result<Done, BenchError> {
    let next = Arc::new(AtomicU64::new(0));
    let mut askers = JoinSet::new();
    let began = Instant::now();
    for nth in 0..clients {
        let (client, bases, next) = (client.clone(), bases.to_vec(), Arc::clone(&next));
        askers.spawn(async move {
            let value = Bytes::from(if kind == Kind::Write { vec![b'v'; VALUE_BYTES] } else { Vec::new() });
            let mut done = Done::default();
            let mut at = bases[kind.first(nth, bases.len())].clone();
            while began.elapsed() < within {
                let key = format!("{:08}", next.fetch_add(1, Ordering::Relaxed) % KEYS);
                let sent = Instant::now();
                let request = (kind, &*key::path(key.as_bytes()), &value);
                at = insist(&client, &bases, at, request, &mut done.retries).await?;
                done.answered += 1;
                if done.latencies.len() < LATENCIES_MAX {
                    done.latencies.push(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
                }
            }
            Ok(done)
        });
    }
    let mut all = Done::default();
    while let Some(asker) = askers.join_next().await {
        let done: Done = asker.map_err(|_| BenchError::Task)??;
        all.latencies.extend(done.latencies);
        all.answered += done.answered;
        all.retries += done.retries;
    }
    all.elapsed = began.elapsed();
    all.latencies.sort_unstable();
    Ok(all)
}

/// Asks until there is an answer, and counts further attempts; who has answered. The first of `bases` leads, or did when the
/// measurement began.
async fn insist(
    client: &Client,
    bases: &[Base],
    mut at: Base,
    (kind, path, value): (Kind, &str, &Bytes),
    retries: &mut u64,
) -> Result<Base, BenchError> {
    let began = Instant::now();
    let mut others = bases.iter().cycle();
    loop {
        let problem = match client.send(&kind.method(), &at, path, value, ANSWER_WITHIN).await {
            Ok(answer) if kind.is_answered(answer.status) => return Ok(answer.from),
            Ok(answer) => format!("{} says {}", answer.from, answer.status),
            Err(error) => error.to_string(),
        };
        if SILENT_MAX < began.elapsed() {
            return Err(BenchError::Silent(problem));
        }
        *retries += 1;
        at = others.next().unwrap_or(&at).clone();
        sleep(AGAIN).await;
    }
}
