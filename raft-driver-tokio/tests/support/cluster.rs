//! Real servers in one process: real folders, real sockets on loopback.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{Config, LogIndex, LogTime, Membership, NodeId, Pair, Position, RoleKind, Server, Suffrage};
use raft_driver_tokio::log::{LogOptions, Storage};
use raft_driver_tokio::{Applied, DataDir, Handle, Options, StartError, StateMachine, start};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// Waits for what has to happen; the time limit only fails the test.
pub(crate) async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    let happened = tokio::time::timeout(Duration::from_secs(60), happens).await;
    happened.unwrap_or_else(|_| panic!("it has to happen: {what}"))
}

/// Keeps all commands.
#[derive(Default)]
pub(crate) struct Commands(pub(crate) Vec<(Position, Bytes)>);

impl StateMachine for Commands {
    type Output = usize;

    fn apply(&mut self, position: Position, _: LogTime, command: &Bytes) -> usize {
        assert_ne!(command, "panic", "as the test wants");
        assert!(self.0.last().is_none_or(|(last, _)| last.index < position.index), "in order, each once");
        self.0.push((position, Bytes::copy_from_slice(command)));
        self.0.len()
    }
}

/// Servers with this state machine.
pub(crate) struct Cluster<S: StateMachine = Commands> {
    temporary: TempDir,
    pub(crate) founders: Membership,
    /// The founders, and those who may be added.
    pub(crate) all: Vec<Server>,
    listeners: Vec<TcpListener>,
    pub(crate) servers: Vec<Option<Handle<S>>>,
    /// What the next starts use.
    pub(crate) log: LogOptions,
    pub(crate) config: Config,
    pub(crate) drain: Duration,
}

impl<S: StateMachine + Default> Cluster<S> {
    /// `count` formatted folders and as many addresses; nothing runs yet.
    pub(crate) fn prepare(count: u64) -> Self {
        Cluster::prepare_with(count, count)
    }

    /// The same, of which only the first `founding` found the cluster.
    pub(crate) fn prepare_with(founding: u64, count: u64) -> Self {
        Cluster::prepare_reached(founding, count, |_, listens| listens.to_string())
    }

    /// The same, where the server of an id, which listens there, is reached at the address that `reach` gives.
    pub(crate) fn prepare_reached(
        founding: u64,
        count: u64,
        mut reach: impl FnMut(u64, SocketAddr) -> String,
    ) -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let mut listeners = Vec::new();
        let mut servers = Vec::new();
        // Segments as short as they can be, and next to nothing in memory after a restart.
        let log = LogOptions { segment_bytes: 4096, tail_entries: 1 };
        for id in 1..=count {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let path = temporary.path().join(id.to_string());
            let raft_address = reach(id, listener.local_addr().expect("it listens"));
            let id = NodeId::new(id).expect("not zero");
            let pair = DataDir::format_with(path, id, log).expect("a good disk");
            servers.push(Server {
                pair,
                suffrage: Suffrage::Voter,
                raft_address,
                client_address: String::new(),
            });
            listeners.push(listener);
        }
        let all = servers.clone();
        servers.truncate(usize::try_from(founding).expect("few"));
        let founders = Membership::new(servers).expect("valid");
        let servers = (0..count).map(|_| None).collect();
        // A machine that has much else to do should not take a busy leader for a dead one, nor a slow disk for a stalled
        // one: no test waits for either.
        let config = Config { election_timeout_ticks: 100, disk_stall_ticks: 1_000_000, ..Config::default() };
        Cluster {
            temporary,
            founders,
            all,
            listeners,
            servers,
            log,
            config,
            drain: Duration::from_millis(500),
        }
    }

    pub(crate) async fn started(count: u64) -> Self {
        let mut cluster = Cluster::prepare(count);
        for nth in 0..count as usize {
            cluster.start(nth).await.expect("nothing is wrong");
        }
        cluster
    }

    pub(crate) fn path(&self, nth: usize) -> PathBuf {
        self.temporary.path().join((nth + 1).to_string())
    }

    pub(crate) fn pair(&self, nth: usize) -> Pair {
        self.all[nth].pair
    }

    pub(crate) fn options(&self, nth: usize) -> Options {
        // The test keeps the sockets open, so that nobody else gets the ports while a server is down.
        let listener = self.listeners[nth].try_clone().expect("a socket");
        let mut options = Options::new(listener, self.founders.clone());
        options.bootstrap = self.founders.is_voter(self.pair(nth));
        // Servers that were not started yet are connected to, and say nothing.
        options.ask_founders = Duration::ZERO;
        options.log = self.log;
        options.config = self.config;
        options.drain = self.drain;
        options
    }

    /// Lets a server that is down listen on another port from its next start on. Nobody is told.
    pub(crate) fn moves(&mut self, nth: usize) -> String {
        assert!(self.servers[nth].is_none(), "it is down");
        self.listeners[nth] = TcpListener::bind("127.0.0.1:0").expect("a free port");
        self.listeners[nth].local_addr().expect("it listens").to_string()
    }

    pub(crate) async fn start(&mut self, nth: usize) -> Result<(), StartError> {
        self.start_as(nth, S::default()).await
    }

    /// Starts a server with this state machine.
    pub(crate) async fn start_as(&mut self, nth: usize, state_machine: S) -> Result<(), StartError> {
        let directory = DataDir::open(self.path(nth)).expect("it is formatted");
        self.servers[nth] = Some(start(directory, self.options(nth), state_machine).await?);
        Ok(())
    }

    pub(crate) async fn start_with_storage(&mut self, nth: usize, storage: Arc<dyn Storage>) {
        let directory = DataDir::open(self.path(nth)).expect("it is formatted").with_log_storage(storage);
        let server = start(directory, self.options(nth), S::default()).await;
        self.servers[nth] = Some(server.expect("nothing is wrong yet"));
    }

    pub(crate) async fn stop(&mut self, nth: usize) {
        let server = self.servers[nth].take().expect("it runs");
        soon("a clean shutdown", server.shutdown()).await;
        assert!(server.stopped().await.is_clean());
    }

    pub(crate) fn server(&self, nth: usize) -> &Handle<S> {
        self.servers[nth].as_ref().expect("it runs")
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Handle<S>> {
        self.servers.iter().flatten()
    }

    /// A server that leads, once there is one.
    pub(crate) async fn leader(&self) -> Handle<S> {
        let mut candidates = JoinSet::new();
        for server in self.running().cloned() {
            candidates.spawn(async move {
                let mut status = server.subscribe();
                let leads = status.wait_for(|status| status.core.role == RoleKind::Leader).await.is_ok();
                leads.then_some(server)
            });
        }
        soon("a leader", async {
            loop {
                match candidates.join_next().await {
                    Some(Ok(Some(leader))) => return leader,
                    Some(_) => {}
                    None => panic!("no server runs any more"),
                }
            }
        })
        .await
    }

    /// Proposes at whoever leads, again where it certainly had no effect. `None` where it may have happened or not.
    pub(crate) async fn propose(&self, command: impl Into<Bytes>) -> Option<Applied<S::Output>> {
        let command = command.into();
        soon("an answer", async {
            loop {
                let leader = self.leader().await;
                match leader.propose(command.clone(), Duration::from_secs(10)).await {
                    Ok(applied) => return Some(applied),
                    Err(error) if error.certainly_no_effect() => tokio::task::yield_now().await,
                    Err(_) => return None,
                }
            }
        })
        .await
    }

    /// Proposes until it is certain that it happened, through whatever change of leader. It may then have happened twice.
    pub(crate) async fn insist(&self, command: impl Into<Bytes>) -> Applied<S::Output> {
        let command = command.into();
        soon("a command that happens", async {
            loop {
                if let Some(applied) = self.propose(command.clone()).await {
                    return applied;
                }
            }
        })
        .await
    }
}

impl Cluster {
    /// Waits until a server has applied the log up to `index`, and returns the commands it then has.
    pub(crate) async fn commands(&self, nth: usize, index: LogIndex) -> Vec<(Position, Bytes)> {
        let server = self.server(nth);
        let mut status = server.subscribe();
        let applied = status.wait_for(|status| index <= status.core.applied);
        soon("applying", applied).await.expect("it runs");
        server.local(|commands, _| commands.0.clone()).await.expect("it runs")
    }
}
