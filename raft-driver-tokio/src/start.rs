//! Starts a server: finds what its disk knows, refuses what can not be right before anything is changed, and sets the
//! threads and tasks going.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use raft_core::{
    Boot, Bootstrap, BootstrapError, ClusterId, ConfigError, Identity, Membership, Node, Pair, Position,
    RecordedStart, RecoverError, Recovered, bootstrap,
};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use crate::clock::{Clock, Ticks};
use crate::directory::{DataDir, OpenError};
use crate::event_loop::{EventLoop, Inputs};
use crate::handle::Handle;
use crate::heard::Heard;
use crate::log::{FetchThread, Log, LogError, LogThread, Report};
use crate::options::{Listen, Options, OptionsError};
use crate::recorder::Recorder;
use crate::state_machine::{ApplyThread, StateMachine};
use crate::status::{NodeStatus, StopReason};
use crate::transport::{Callers, Network, Receiver, other_cluster};

/// How many packets may wait for the loop, however small; then the connections wait. The receiving side limits their bytes.
const PACKETS_MAX: usize = 4096;

/// Why a server was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An option is out of its range.
    #[error("{0}")]
    Options(#[from] OptionsError),
    /// A setting of the node is out of its range.
    #[error("{0}")]
    Config(ConfigError),
    /// The folder belongs to another cluster than the one that the founders founded. So does a folder whose cluster was
    /// founded with another list.
    #[error("{path} belongs to cluster {found}, and the founders given make cluster {expected}")]
    OtherCluster {
        /// The folder.
        path: PathBuf,
        /// Its cluster.
        found: ClusterId,
        /// The cluster of [`Options::founders`].
        expected: ClusterId,
    },
    /// By the founders, the address to listen on belongs to another server than the folder does.
    #[error(
        "{path} belongs to server {found}, and by the founders {address} is the address of server {expected}"
    )]
    OtherServer {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        found: Pair,
        /// The address to listen on.
        address: String,
        /// Whose that is.
        expected: Pair,
    },
    /// The leases of the cluster count ticks of another length than this server's.
    #[error("the leases of the cluster count ticks of {leases:?}, and this server's ticks are {ours:?} long")]
    Tick {
        /// The length of a tick by the founding configuration.
        leases: Duration,
        /// [`Options::tick`].
        ours: Duration,
    },
    /// The cluster can not be founded from this folder.
    #[error("the cluster can not be founded from {path}: {error}")]
    Bootstrap {
        /// The folder.
        path: PathBuf,
        /// Why not. [`BootstrapError::NotAFounder`] is what a founder hears whose disk was wiped.
        error: BootstrapError,
    },
    /// Another founder belongs to another cluster: this founder was wiped, or the other one was founded with another list.
    #[error(
        "{path} is empty, and {founder} at {address}, another founder by the list given, belongs to another cluster already"
    )]
    FoundedBefore {
        /// The folder.
        path: PathBuf,
        /// The other founder, as the list has it.
        founder: Pair,
        /// Where it was asked.
        address: String,
    },
    /// The log is damaged, or the disk fails.
    #[error(transparent)]
    Log(LogError),
    /// What the log holds is not what a node can start from.
    #[error("{path} does not hold what a server can start from: {error}")]
    Node {
        /// The folder.
        path: PathBuf,
        /// Why not.
        error: raft_core::StartError,
    },
    /// What was just written can not be read back: a bug.
    #[error("the founding entry does not fit the log: {0}")]
    Founding(RecoverError),
    /// The start could not be counted.
    #[error(transparent)]
    Directory(OpenError),
    /// The address can not be listened on: another program does, or it is none of this machine.
    #[error("could not listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The recording can not be begun.
    #[error("can not record to {path}: {source}")]
    Record {
        /// The file, [`Options::record`].
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no thread left.
    #[error("could not start a thread: {0}")]
    Thread(io::Error),
}

/// Starts a server from its folder. It runs in tasks of the current tokio runtime and threads of its own, until it is shut
/// down, the last handle is dropped, or it halts.
///
/// # Errors
/// See [`StartError`]. Where the folder is refused, nothing in it has been changed that matters.
///
/// # Panics
/// Not within a tokio runtime whose I/O and time are enabled.
pub async fn start<S: StateMachine>(
    directory: DataDir,
    options: Options,
    state_machine: S,
) -> Result<Handle<S>, StartError> {
    options.check()?;
    options.config.check().map_err(StartError::Config)?;
    check_address(&directory, &options)?;
    let (listener, local_addr, options) = listen(options).await?;
    let found = beside(move || open_log(directory, options)).await?;
    found.ask_founders(&listener).await?;
    let opened = beside(move || open(found)).await?;
    run(opened, listener, local_addr, state_machine)
}

/// Does what waits for the disk where no other task waits for it.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// A folder that belongs to this cluster as far as its log says so. Nothing in it has been changed.
struct Found {
    directory: DataDir,
    options: Options,
    founders: Arc<Membership>,
    log: Log,
    recovered: Recovered,
}

impl Found {
    /// Before the cluster is founded: makes sure that no other founder is known to belong to another one.
    async fn ask_founders(&self, listener: &TcpListener) -> Result<(), StartError> {
        let (pair, within) = (self.directory.pair(), self.options.ask_founders);
        let founds = self.options.bootstrap && self.recovered.last() == Position::ZERO;
        // Who is none of the founders is told so instead.
        if !founds || !self.founders.is_voter(pair) || within.is_zero() {
            return Ok(());
        }
        let identity = Identity { cluster: self.founders.cluster_id(), pair, boot: Boot::new(0) };
        match other_cluster(listener, identity, &self.founders, within).await {
            Some((founder, address)) => {
                Err(StartError::FoundedBefore { path: self.directory.path().to_owned(), founder, address })
            }
            None => Ok(()),
        }
    }
}

/// A folder that was found to be in order, with one more start counted.
struct Opened {
    directory: DataDir,
    options: Options,
    founders: Arc<Membership>,
    log: Log,
    node: Node,
    recorder: Option<Recorder>,
}

fn check_address(directory: &DataDir, options: &Options) -> Result<(), StartError> {
    let Listen::Address(address) = &options.listen else {
        return Ok(());
    };
    let found = directory.pair();
    let here = options.founders.servers().iter().find(|server| server.raft_address == *address);
    match here {
        Some(server) if server.pair.id != found.id => Err(StartError::OtherServer {
            path: directory.path().to_owned(),
            found,
            address: address.clone(),
            expected: server.pair,
        }),
        _ => Ok(()),
    }
}

async fn listen(mut options: Options) -> Result<(TcpListener, SocketAddr, Options), StartError> {
    // What is left in the options is only a name.
    let listen = std::mem::replace(&mut options.listen, Listen::Address(String::new()));
    let (bound, address) = match listen {
        Listen::Address(address) => (TcpListener::bind(&address).await, address),
        Listen::Bound(listener) => {
            let address =
                listener.local_addr().map_or_else(|_| "the given socket".to_owned(), |a| a.to_string());
            (listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)), address)
        }
    };
    let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (local_addr, listener) = bound.map_err(|source| StartError::Listen { address, source })?;
    Ok((listener, local_addr, options))
}

/// Reads what the disk knows.
fn open_log(directory: DataDir, options: Options) -> Result<Found, StartError> {
    let path = directory.path().to_owned();
    let founders = Arc::new(options.founders.clone());
    // What the log says of leases is what its founders have said.
    if let Some(leases) = founders.leases().map(|leases| Duration::from_nanos(leases.tick_nanos()))
        && leases != options.tick
    {
        return Err(StartError::Tick { leases, ours: options.tick });
    }
    let cluster = founders.cluster_id();
    let (log, recovered) =
        Log::open(directory.log_storage(), directory.pair(), options.log).map_err(StartError::Log)?;
    if let Some(found) = recovered.cluster()
        && found != cluster
    {
        return Err(StartError::OtherCluster { path, found, expected: cluster });
    }
    Ok(Found { directory, options, founders, log, recovered })
}

/// Founds the cluster, if that is wanted, and makes the node.
fn open(found: Found) -> Result<Opened, StartError> {
    let Found { mut directory, options, founders, mut log, mut recovered } = found;
    let (path, pair, cluster) = (directory.path().to_owned(), directory.pair(), founders.cluster_id());
    if options.bootstrap {
        bootstrap_folder(&mut log, &mut recovered, &founders, pair, &path)?;
    } else if recovered.last() == Position::ZERO && !founders.is_voter(pair) {
        tracing::warn!(%pair, "this server is no founder; it waits until a leader adds it");
    }
    let boot = directory.start().map_err(StartError::Directory)?;
    let identity = Identity { cluster, pair, boot };
    tracing::info!(%pair, %boot, %cluster, last = %recovered.last(), term = %recovered.hard_state.term, "starting");
    let start = options.record.is_some().then(|| recovered.clone());
    let config = options.config;
    let node = Node::new(config, identity, recovered).map_err(|error| StartError::Node { path, error })?;
    let recorder = match (&options.record, start) {
        (Some(path), Some(recovered)) => {
            let recorder = Recorder::create(path, &RecordedStart { config, identity, recovered });
            Some(recorder.map_err(|source| StartError::Record { path: path.clone(), source })?)
        }
        _ => None,
    };
    Ok(Opened { directory, options, founders, log, node, recorder })
}

fn bootstrap_folder(
    log: &mut Log,
    recovered: &mut Recovered,
    founders: &Membership,
    pair: Pair,
    path: &std::path::Path,
) -> Result<(), StartError> {
    let founding = bootstrap(recovered, founders, pair)
        .map_err(|error| StartError::Bootstrap { path: path.to_owned(), error })?;
    match founding {
        Bootstrap::AlreadyDone => tracing::info!(%pair, "the cluster was founded before; nothing to do"),
        Bootstrap::Write(write) => {
            recovered.absorb(&write).map_err(StartError::Founding)?;
            log.append(&write).and_then(|()| log.sync()).map_err(StartError::Log)?;
            tracing::info!(%pair, cluster = %founders.cluster_id(), "founded the cluster");
        }
    }
    Ok(())
}

/// Sets everything going.
fn run<S: StateMachine>(
    opened: Opened,
    listener: TcpListener,
    local_addr: SocketAddr,
    state_machine: S,
) -> Result<Handle<S>, StartError> {
    let Opened { directory, options, founders, log, node, recorder } = opened;
    let (identity, limits) = (node.identity(), options.limits());
    let (reporter, reports) = mpsc::unbounded_channel::<Report>();
    let report = move || {
        let reporter = reporter.clone();
        move |report| reporter.send(report).is_ok()
    };
    let fetch = FetchThread::spawn(log.reader(), report()).map_err(StartError::Thread)?;
    let (apply, state_machine_ended) =
        ApplyThread::spawn(state_machine, report()).map_err(StartError::Thread)?;
    let log = LogThread::spawn(log, directory, report()).map_err(StartError::Thread)?;

    let (packet_sender, packets) = mpsc::channel(PACKETS_MAX);
    let (call_sender, calls) = mpsc::channel(options.calls_max);
    let shutdown = Arc::new(Notify::new());
    let callers = Callers::default();
    let mut network = Network::new(identity, limits, founders, callers.clone());
    if let Some(membership) = node.membership() {
        network.set_membership(Arc::clone(membership));
    }
    let heard = Heard::new(node.membership().map(AsRef::as_ref));
    let status = NodeStatus {
        identity,
        core: node.status(),
        membership: node.membership().cloned(),
        membership_index: node.membership_index(),
        removed: None,
    };
    let (status_sender, status) = watch::channel(status);
    let (stopped_sender, stopped) = watch::channel(None);
    let handle = Handle {
        calls: call_sender,
        proposals: Arc::new(Semaphore::new(options.calls_max)),
        reads: Arc::new(Semaphore::new(options.calls_max)),
        work: apply.sender(),
        looks: Arc::new(Semaphore::new(options.calls_max)),
        status,
        shutdown: Arc::clone(&shutdown),
        stopped,
        local_addr,
    };
    let event_loop = EventLoop {
        node,
        inputs: Inputs { reports, packets, calls, shutdown, state_machine_ended },
        log,
        fetch,
        apply,
        network,
        recorder,
        status: status_sender,
        clock: Clock::start(),
        heard,
        ticks: Ticks::new(options.tick),
        drain: options.drain,
        waiting: BTreeMap::new(),
        next_request: 1,
        handing_over: None,
        cause: None,
        told_removed: None,
    };
    let receiver = Receiver::spawn(listener, identity, limits, packet_sender, callers);
    tokio::spawn(async move {
        let reason = tokio::spawn(event_loop.run()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the loop panicked");
            StopReason::Driver
        });
        receiver.stop().await;
        stopped_sender.send_replace(Some(reason));
    });
    Ok(handle)
}
