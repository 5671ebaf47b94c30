//! `raftd serve`: one server of a cluster, until a signal, a closed stdin (where asked for) or a fault ends it.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use raft_core::{BootstrapError, Leases, Membership};
use raft_driver_tokio::{DataDir, NodeStatus, Options, StartError, StopReason};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::exit::{Exit, Failure, say};
use crate::files;
use crate::founders;
use crate::http;
use crate::signals::Signals;
use crate::store::Store;

/// How long a tick is: what the node counts as ticks is told to people in milliseconds.
const TICK: Duration = Duration::from_millis(10);
const TICKS_PER_SECOND: u32 = 100;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder, formatted before by `raftd format`
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where to listen for the other servers
    #[arg(long, value_name = "HOST:PORT")]
    listen: String,
    /// Where to listen for clients
    #[arg(long, value_name = "HOST:PORT")]
    http: String,
    /// The servers that found the cluster, the same list on each: 1@INCARNATION=RAFT_HOST:PORT/HTTP_HOST:PORT,…
    #[arg(long, value_name = "LIST", value_parser = founders::parse)]
    founders: Membership,
    /// Let leaders read without asking the others, on the word that no clock of the cluster runs too fast or too slow by more than this
    /// many millionths; beyond it a read can be out of date. The same on every server, for ever: it is part of the cluster's identity
    #[arg(long, value_name = "MILLIONTHS", value_parser = clap::value_parser!(u32).range(0..=500_000))]
    lease_drift: Option<u32>,
    /// Found the cluster, if this folder has not done so yet
    #[arg(long)]
    bootstrap: bool,
    /// Remove members that were not heard for this many seconds, when this server leads: learners always, voters while at least
    /// three are left. 0: never
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=31_536_000))]
    dead_after: u32,
    /// Write down all that this server is handed, commands and all, to a new file, which `raft-sim replay` replays
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// End as on SIGTERM when stdin is closed: how a parent ends its servers, also by dying
    #[arg(long, hide = true)]
    stop_on_stdin_close: bool,
}

/// Why a server could not begin, or could not go on.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(
        "can not listen for clients on {0}: {1}. Stop what listens there, or choose another port with --http"
    )]
    Http(String, io::Error),
    #[error("{0}. {advice}", advice = advice(.0))]
    Start(StartError),
    #[error(
        "the server can not go on: {0}. What it has acknowledged is on disk; find the cause, then start it again"
    )]
    Stopped(StopReason),
}

pub(crate) async fn run(args: Args) -> Result<Exit, Failure> {
    let mut signals = Signals::install().map_err(Failure::violated)?;
    let parent = args.stop_on_stdin_close.then(stdin_closed);
    files::make_room().map_err(Failure::usage)?;
    let directory = DataDir::open(&args.data).map_err(Failure::usage)?;
    let pair = directory.pair();
    // Before the node starts, so that a port in use is found while there is still nothing to undo.
    let listener = TcpListener::bind(&args.http).await;
    let listener = listener.map_err(|error| Failure::usage(ServeError::Http(args.http.clone(), error)))?;
    let own = founders::write(&pair, &args.listen, &args.http);
    let founders = args.founders.clone();
    let mut options = Options::new(args.listen, args.founders);
    if let Some(drift) = args.lease_drift {
        let leases = Leases::new(options.config.election_timeout_ticks, drift, TICK.as_nanos() as u64);
        options.founders = options.founders.with_leases(Some(leases.map_err(Failure::usage)?));
    }
    options.bootstrap = args.bootstrap;
    options.tick = TICK;
    options.config.dead_after_ticks = args.dead_after * TICKS_PER_SECOND;
    options.record = args.record;
    let handle = raft_driver_tokio::start(directory, options, Store::default()).await.map_err(not_started)?;
    let http_address = listener.local_addr().map_err(Failure::violated)?;
    say(&format!("{pair} serves clients on {http_address} and servers on {}", handle.local_addr()));
    if let Some(line) = waits(&handle.status(), &founders, &own, &args.http) {
        say(&line);
    }

    let (stop, stopping) = watch::channel(false);
    let clients = tokio::spawn(http::serve(listener, handle.clone(), stopping));
    let why = tokio::select! {
        name = signals.next() => Ok(name),
        () = closed(parent) => Ok("the end of stdin"),
        reason = handle.stopped() => Err(reason),
    };
    // First the clients: what is under way may still be answered, and nothing new comes in.
    let _ = stop.send(true);
    let _ = clients.await;
    match why {
        Ok(cause) => {
            tracing::info!(cause, "stopping");
            handle.shutdown().await;
            let reason = handle.stopped().await;
            if !reason.is_clean() {
                return Err(Failure::violated(ServeError::Stopped(reason)));
            }
            say("stopped");
            Ok(Exit::Clean)
        }
        Err(reason) => Err(Failure::violated(ServeError::Stopped(reason))),
    }
}

/// What a server says that can do nothing before others have, which is to be reached like `own` says, by clients at `http`.
fn waits(status: &NodeStatus, founders: &Membership, own: &str, http: &str) -> Option<String> {
    let pair = status.identity.pair;
    match &status.membership {
        Some(membership) if membership.server(pair).is_some() => return None,
        None if founders.is_voter(pair) => {
            return Some(format!(
                "{pair} is a founder, has no log yet, and waits: for founders that were started with --bootstrap to find it, \
                 or to be started with --bootstrap itself"
            ));
        }
        _ => {}
    }
    // Any of them may be gone by now; this server itself, also in an earlier life, can not add anybody.
    let others = founders.servers().iter().filter(|founder| founder.pair.id != pair.id);
    let others = others.map(|founder| &*founder.client_address).filter(|address| *address != http);
    let mut others: Vec<String> = others.map(|address| format!("http://{address}")).collect();
    if others.is_empty() {
        others.push("http://HOST:PORT of a member".to_owned());
    }
    let others = others.join(",");
    Some(format!("{pair} is no member yet and waits to be added: raftd member add --http {others} {own}"))
}

/// Whether a server that was not started has lost something, or was only asked for what can not be.
fn not_started(error: StartError) -> Failure {
    let lost = matches!(error, StartError::Log(_) | StartError::Node { .. } | StartError::Founding(_));
    let error = ServeError::Start(error);
    if lost { Failure::violated(error) } else { Failure::usage(error) }
}

/// What can be done about it.
fn advice(error: &StartError) -> &'static str {
    match error {
        StartError::OtherCluster { .. } => {
            "Give the folder that belongs to this cluster, or exactly the list of founders, and the --lease-drift, that its cluster \
             was founded with"
        }
        StartError::OtherServer { .. } => "Give this server's own folder, or its own address",
        StartError::Bootstrap { error: BootstrapError::NotAFounder(_), .. } => {
            "A founder whose folder was lost or wiped is another server now and can not found the cluster again. Give the \
             very folder that it last ran with, if it still exists. Never an older copy of it: that would forget what the \
             server has promised, and acknowledged writes could be lost. Without the folder start it without --bootstrap: it \
             then waits, and tells how to put it in the place of the old one"
        }
        StartError::FoundedBefore { .. } => {
            "A founder whose folder was lost or wiped can not found its cluster again, also not with its new name in the list: \
             start it with the very list that the cluster was founded with, without --bootstrap. It then waits, and tells how \
             to put it in the place of the old one. Where a new cluster is meant, all its founders need the same list, and \
             folders and addresses that no other cluster uses"
        }
        StartError::Bootstrap { .. } => "Leave --bootstrap away, or give an empty folder",
        StartError::Log(_) | StartError::Node { .. } | StartError::Founding(_) => {
            "Nothing was cut off or changed. Only the very disk will do, read again once its fault is mended. Never an older \
             copy of the folder: that would forget what this server has promised, and acknowledged writes could be lost. \
             Where the disk can not be mended, leave this server off; the others go on without it"
        }
        StartError::Tick { .. } => {
            "Leases are for servers that all count time alike: this one can not be part of that cluster"
        }
        StartError::Listen { .. } => "Stop what listens there, or choose another address with --listen",
        StartError::Record { .. } => "Give a file that is not there yet, in a folder that can be written",
        _ => "Nothing was started",
    }
}

/// Tells when stdin ends. A plain thread, because one that hangs in a read must not keep the process from ending.
fn stdin_closed() -> oneshot::Receiver<()> {
    let (closed, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        let mut stdin = io::stdin().lock();
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::Interrupted => break,
                _ => {}
            }
        }
        let _ = closed.send(());
    });
    receiver
}

async fn closed(parent: Option<oneshot::Receiver<()>>) {
    match parent {
        Some(receiver) => {
            let _ = receiver.await;
        }
        None => std::future::pending().await,
    }
}
