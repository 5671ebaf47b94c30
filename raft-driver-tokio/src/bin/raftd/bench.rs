//! `raftd bench`: acknowledged writes per second of three servers on this machine, next to what their disk can do.
//!
//! First the disk alone: append a record, `fdatasync`, again. Then the cluster with 1 client and with 64, each of which
//! writes a value and waits for the answer. All three servers sync to that one disk, so with one client every write costs at
//! least two syncs, the leader's and a follower's, side by side; with many clients, writes share them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use raft_driver_tokio::log;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::client::{ANSWER_WITHIN, Base, Client, ClientError};
use crate::cluster::{Cluster, Event, Folder};
use crate::demo::{Temporary, leader};
use crate::exit::{Exit, Failure, note, say};
use crate::http::key;
use crate::signals::Signals;

/// The first HTTP port, where none is given: not those of a demo that may be running.
const HTTP_PORT: u16 = 4101;
const VALUE_BYTES: usize = 128;
const CLIENTS: [u16; 2] = [1, 64];
/// Different keys that are written; as many for every number of clients.
const KEYS: u64 = 10_000;
const LEADER_WITHIN: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(50);
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
    #[error("a write was not acknowledged, so the figures would mean nothing: {0}")]
    Write(String),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("a task of the measurement has failed")]
    Task,
}

/// All figures.
#[derive(Serialize)]
struct Figures {
    value_bytes: usize,
    raw_syncs_per_second: f64,
    runs: Vec<Run>,
}

/// The figures for one number of clients.
#[derive(Serialize)]
struct Run {
    clients: u16,
    acknowledged: u64,
    seconds: f64,
    acknowledged_per_second: f64,
    fraction_of_raw_syncs: f64,
    median_microseconds: u64,
    p99_microseconds: u64,
}

pub(crate) async fn run(args: Args) -> Result<Exit, Failure> {
    let mut signals = Signals::install().map_err(Failure::violated)?;
    let parent = args.data.unwrap_or_else(std::env::temp_dir);
    let temporary = Temporary::create("bench", &parent).map_err(Failure::violated)?;
    let within = Duration::from_secs(args.seconds);
    note(&format!("{} s of append and fdatasync in {}", args.seconds, temporary.path.display()));
    let raw = measure_disk(temporary.path.clone(), within).await?;
    let folder =
        Folder::open(&temporary.path.join("cluster"), args.http_port, HTTP_PORT).map_err(Failure::usage)?;
    let mut cluster = Cluster::start(folder).map_err(Failure::violated)?;
    let bases = cluster.folder().bases();
    let measured = tokio::select! {
        runs = measure(&bases, within, raw) => Some(runs),
        error = death(&mut cluster) => Some(Err(error)),
        name = signals.next() => {
            note(name);
            None
        }
    };
    cluster.stop().await;
    drop(temporary);
    let Some(runs) = measured else {
        say("stopped before the end");
        return Ok(Exit::Unfinished);
    };
    let runs = runs.map_err(Failure::violated)?;
    report(&Figures { value_bytes: VALUE_BYTES, raw_syncs_per_second: raw, runs }, args.json)
        .map_err(Failure::violated)?;
    Ok(Exit::Clean)
}

async fn measure_disk(path: PathBuf, within: Duration) -> Result<f64, Failure> {
    let measured =
        tokio::task::spawn_blocking(move || log::measure_syncs(Path::new(&path), VALUE_BYTES, within)).await;
    let figures = measured.map_err(|_| Failure::violated(BenchError::Task))?.map_err(Failure::violated)?;
    Ok(figures.per_second())
}

fn report(figures: &Figures, json: bool) -> serde_json::Result<()> {
    if json {
        say(&serde_json::to_string(figures)?);
        return Ok(());
    }
    say(&format!(
        "append and fdatasync of {VALUE_BYTES} bytes: {:.0} per second",
        figures.raw_syncs_per_second
    ));
    for run in &figures.runs {
        let clients =
            if run.clients == 1 { "1 client".to_owned() } else { format!("{} clients", run.clients) };
        say(&format!(
            "{clients}: {:.0} acknowledged writes per second, {:.2} of the above; median {} us, 99% within {} us",
            run.acknowledged_per_second,
            run.fraction_of_raw_syncs,
            run.median_microseconds,
            run.p99_microseconds
        ));
    }
    Ok(())
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

async fn measure(bases: &[Base], within: Duration, raw: f64) -> Result<Vec<Run>, BenchError> {
    let most = CLIENTS.into_iter().max().unwrap_or(1);
    let client = Client::new(usize::from(most));
    let leader = wait_for_leader(&client, bases).await?;
    let mut runs = Vec::new();
    for clients in CLIENTS {
        note(&format!("{} s with {clients} at a time, to {leader}", within.as_secs()));
        let (mut latencies, elapsed, acknowledged) = write(&client, &leader, clients, within).await?;
        latencies.sort_unstable();
        let at = |percent: usize| {
            latencies.get(latencies.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0)
        };
        let per_second = acknowledged as f64 / elapsed.as_secs_f64();
        runs.push(Run {
            clients,
            acknowledged,
            seconds: elapsed.as_secs_f64(),
            acknowledged_per_second: per_second,
            fraction_of_raw_syncs: per_second / raw,
            median_microseconds: at(50),
            p99_microseconds: at(99),
        });
    }
    Ok(runs)
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
        let first =
            client.send(&Method::PUT, &base, &key::path(b"first"), &Bytes::new(), ANSWER_WITHIN).await?;
        if first.status.is_success() {
            return Ok(first.from);
        }
    }
    Err(BenchError::NoLeader)
}

/// Writes with so many clients for so long: latencies in microseconds, the time it took, and the number of writes.
async fn write(
    client: &Client,
    leader: &Base,
    clients: u16,
    within: Duration,
) -> Result<(Vec<u64>, Duration, u64), BenchError> {
    let next = Arc::new(AtomicU64::new(0));
    let value = Bytes::from(vec![b'v'; VALUE_BYTES]);
    let mut writers = JoinSet::new();
    let began = Instant::now();
    for _ in 0..clients {
        let (client, leader, next, value) =
            (client.clone(), leader.clone(), Arc::clone(&next), value.clone());
        writers.spawn(async move {
            let (mut latencies, mut acknowledged) = (Vec::new(), 0);
            while began.elapsed() < within {
                let path =
                    key::path(format!("{:08}", next.fetch_add(1, Ordering::Relaxed) % KEYS).as_bytes());
                let sent = Instant::now();
                let answer = client.send(&Method::PUT, &leader, &path, &value, ANSWER_WITHIN).await?;
                if !answer.status.is_success() {
                    return Err(BenchError::Write(format!("{} says {}", answer.from, answer.status)));
                }
                acknowledged += 1;
                if latencies.len() < LATENCIES_MAX {
                    latencies.push(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
                }
            }
            Ok((latencies, acknowledged))
        });
    }
    let (mut latencies, mut acknowledged) = (Vec::new(), 0);
    while let Some(writer) = writers.join_next().await {
        let (more, count) = writer.map_err(|_| BenchError::Task)??;
        latencies.extend(more);
        acknowledged += count;
    }
    Ok((latencies, began.elapsed(), acknowledged))
}
