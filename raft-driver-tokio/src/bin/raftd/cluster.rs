//! Three servers as processes of their own on this machine: their folder, and keeping them running.
//!
//! ```text
//!   FOLDER/cluster.json   who the three are and where they listen; decided once, as it is part of the cluster's identity
//!   FOLDER/cluster.lock   held while they run, so that nobody else starts them
//!   FOLDER/1 … FOLDER/3   one server's data each
//! ```
//!
//! A server is ended by closing its stdin. That also happens when this process dies, however it dies, so none stays behind.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use raft_core::{NodeId, Pair};
use raft_driver_tokio::{DataDir, FormatError, OpenError};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::Base;
use crate::founders;
use crate::signals::told_to_stop;

/// How many servers.
const SERVERS: u16 = 3;
/// How long a server that died stays down.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// How long a server has to end by itself: longer than any request, and than a shutdown waits for what is under way.
const END_WITHIN: Duration = Duration::from_secs(15);
/// How far above the HTTP ports the search for free peer ports begins, and how many are looked at. They are kept for good,
/// so they should not be among those that the system hands out for outgoing connections (from 32,768 on, usually).
const PEER_PORTS_ABOVE: u16 = 1000;
const PEER_PORTS_TRIED: u16 = 2000;

/// Why three servers could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// The folder can not be read or written.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Folder(PathBuf, io::Error),
    /// Another process runs the servers of this folder.
    #[error("the servers of {} are running already. Stop them first, or give another folder", .0.display())]
    Running(PathBuf),
    /// The file that says who the servers are is not readable as such.
    #[error("{path} does not describe a cluster: {error}", path = .0.display(), error = .1)]
    Description(PathBuf, serde_json::Error),
    /// It is readable, and what it says can not be.
    #[error("{} does not describe a cluster of three servers: \"{wrong}\" is not what a server has there", path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        wrong: String,
    },
    /// Something else is in the folder.
    #[error("{} holds something, but no cluster. Give an empty folder", .0.display())]
    Foreign(PathBuf),
    /// The folder's cluster has other ports.
    #[error("the cluster of {} was founded with the HTTP ports from {kept} on; leave --http-port away", folder.display())]
    OtherPorts {
        /// The folder.
        folder: PathBuf,
        /// The first of its ports.
        kept: u16,
    },
    /// There are not three ports from this one on.
    #[error("there are no three ports from {0} on: choose a lower one with --http-port")]
    Ports(u16),
    /// A port is taken.
    #[error("port {port} is not free: {error}. Stop what listens there, or {instead}")]
    PortInUse {
        /// Which.
        port: u16,
        /// What the system says.
        error: io::Error,
        /// What else could be done.
        instead: &'static str,
    },
    /// No three ports for the servers among themselves.
    #[error("there are no free ports for the servers among themselves from {0} on")]
    NoPeerPorts(u16),
    /// A server's folder can not be formatted.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A server's folder can not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A server's folder is not the one that founded this cluster.
    #[error(
        "{} belongs to {found}, but this cluster was founded by {expected}. A server whose folder was lost or wiped can not \
         come back as a founder. Give the very folder that it last ran with, never an older copy, which would forget what \
         the server has promised; or begin anew in an empty folder",
        folder.display()
    )]
    Another {
        /// The folder of the server.
        folder: PathBuf,
        /// Whose it is.
        found: Pair,
        /// Whose it should be.
        expected: Pair,
    },
    /// This very program can not be started again.
    #[error("can not start a server process: {0}")]
    Spawn(io::Error),
}

/// Who the three servers are: the content of `cluster.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Description {
    http_port: u16,
    servers: Vec<Place>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Place {
    /// `ID@INCARNATION`.
    server: String,
    raft: String,
    http: String,
}

impl Description {
    /// Where the servers answer clients, in the order of their ids; `path` is the file, for the error.
    fn bases(&self, path: &Path) -> Result<Vec<Base>, ClusterError> {
        let wrong = |wrong: &str| ClusterError::Place { path: path.to_owned(), wrong: wrong.to_owned() };
        if self.servers.len() != usize::from(SERVERS) {
            return Err(wrong(&format!("{} servers", self.servers.len())));
        }
        for (id, place) in (1..).zip(&self.servers) {
            if place.pair(path)?.id.raw() != id {
                return Err(wrong(&place.server));
            }
        }
        self.servers.iter().map(|place| place.http.parse().map_err(|_| wrong(&place.http))).collect()
    }
}

impl Place {
    fn pair(&self, path: &Path) -> Result<Pair, ClusterError> {
        let wrong = || ClusterError::Place { path: path.to_owned(), wrong: self.server.clone() };
        self.server.parse().map_err(|_| wrong())
    }
}

/// A folder of three servers, none of them running yet, that is ours alone until this is dropped.
pub(crate) struct Folder {
    path: PathBuf,
    description: Description,
    /// Where the servers answer clients, in the order of their ids.
    bases: Vec<Base>,
    _lock: File,
}

impl Folder {
    /// Opens the folder of a cluster, or makes one in an empty folder or one that is not there. `http_port` is the first of
    /// three in a row; without it the ones of the folder are taken, or those from `default_port` on.
    pub(crate) fn open(
        path: &Path,
        http_port: Option<u16>,
        default_port: u16,
    ) -> Result<Folder, ClusterError> {
        let at = |error| ClusterError::Folder(path.to_owned(), error);
        fs::create_dir_all(path).map_err(at)?;
        let path = path.canonicalize().map_err(at)?;
        let described = path.join("cluster.json");
        if !described.exists() && !only_ours(&path).map_err(at)? {
            return Err(ClusterError::Foreign(path));
        }
        let lock = File::create(path.join("cluster.lock")).map_err(at)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ClusterError::Running(path)),
            Err(TryLockError::Error(error)) => return Err(at(error)),
        }
        let description = if described.exists() {
            let text = fs::read(&described).map_err(at)?;
            serde_json::from_slice(&text).map_err(|error| ClusterError::Description(described, error))?
        } else {
            create(&path, http_port.unwrap_or(default_port))?
        };
        let bases = description.bases(&path.join("cluster.json"))?;
        let folder = Folder { path, description, bases, _lock: lock };
        folder.check(http_port)?;
        Ok(folder)
    }

    /// Where the servers answer clients, in the order of their ids.
    pub(crate) fn bases(&self) -> Vec<Base> {
        self.bases.clone()
    }

    /// Looks before anything starts whether it can: the right folders, and free ports.
    fn check(&self, http_port: Option<u16>) -> Result<(), ClusterError> {
        let kept = self.description.http_port;
        if http_port.is_some_and(|port| port != kept) {
            return Err(ClusterError::OtherPorts { folder: self.path.clone(), kept });
        }
        for (id, place) in (1..).zip(&self.description.servers) {
            let folder = self.path.join(id.to_string());
            let found = DataDir::open_read_only(&folder)?.pair();
            let expected = place.pair(&self.path.join("cluster.json"))?;
            if expected != found {
                return Err(ClusterError::Another { folder, found, expected });
            }
        }
        for place in &self.description.servers {
            free(port(&place.http), "choose others with --http-port and another folder")?;
            free(port(&place.raft), "give another folder: these ports are part of this one's cluster")?;
        }
        Ok(())
    }

    fn founders(&self) -> String {
        let one = |place: &Place| founders::write(&place.server, &place.raft, &place.http);
        self.description.servers.iter().map(one).collect::<Vec<_>>().join(",")
    }

    fn command(&self, program: &Path, id: u16) -> Command {
        let place = &self.description.servers[usize::from(id) - 1];
        let mut command = Command::new(program);
        command.arg("serve").arg("--data").arg(self.path.join(id.to_string()));
        command.args(["--listen", &place.raft, "--http", &place.http, "--founders", &self.founders()]);
        // Founding again is harmless, and after a crash on the first start it is needed.
        command.args(["--bootstrap", "--stop-on-stdin-close"]);
        // A group of its own: Ctrl-C in a terminal then reaches only the parent, which ends its servers in its own way.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// Whether a folder without a description holds nothing but what a creation that was broken off left behind.
fn only_ours(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if !["cluster.lock", "cluster.json.new", "1", "2", "3"].iter().any(|ours| name == *ours) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn create(path: &Path, http_port: u16) -> Result<Description, ClusterError> {
    let at = |error| ClusterError::Folder(path.to_owned(), error);
    let last = http_port
        .checked_add(SERVERS - 1)
        .filter(|_| http_port != 0)
        .ok_or(ClusterError::Ports(http_port))?;
    for port in http_port..=last {
        free(port, "choose others with --http-port")?;
    }
    let raft_ports = peer_ports(http_port)?;
    let mut servers = Vec::new();
    for (nth, raft_port) in (0..SERVERS).zip(raft_ports) {
        let id = nth + 1;
        let folder = path.join(id.to_string());
        // A creation that was broken off may have formatted it already.
        let pair = match DataDir::open_read_only(&folder) {
            Ok(directory) => directory.pair(),
            Err(_) => DataDir::format(&folder, NodeId::new(u64::from(id)).expect("ids begin at 1"))?,
        };
        servers.push(Place {
            server: pair.to_string(),
            raft: format!("{}:{raft_port}", Ipv4Addr::LOCALHOST),
            http: format!("{}:{}", Ipv4Addr::LOCALHOST, http_port + nth),
        });
    }
    let description = Description { http_port, servers };
    // Written aside and renamed: the description is there whole or not at all, and only once all it names is there.
    let (new, name) = (path.join("cluster.json.new"), path.join("cluster.json"));
    let text = serde_json::to_vec_pretty(&description);
    let text = text.map_err(|error| ClusterError::Description(name.clone(), error))?;
    let mut file = File::create(&new).map_err(at)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(at)?;
    fs::rename(&new, &name).map_err(at)?;
    File::open(path).and_then(|folder| folder.sync_all()).map_err(at)?;
    Ok(description)
}

fn peer_ports(http_port: u16) -> Result<Vec<u16>, ClusterError> {
    let first = http_port.checked_add(PEER_PORTS_ABOVE).unwrap_or(http_port / 2);
    let last = first.saturating_add(PEER_PORTS_TRIED);
    let http_ports = http_port..=http_port.saturating_add(SERVERS - 1);
    let candidates = (first..=last).filter(|port| !http_ports.contains(port));
    let ports: Vec<u16> = candidates.filter(|port| bind(*port).is_ok()).take(usize::from(SERVERS)).collect();
    if ports.len() == usize::from(SERVERS) { Ok(ports) } else { Err(ClusterError::NoPeerPorts(first)) }
}

fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

fn free(port: u16, instead: &'static str) -> Result<(), ClusterError> {
    bind(port).map(drop).map_err(|error| ClusterError::PortInUse { port, error, instead })
}

fn port(address: &str) -> u16 {
    address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0)
}

/// What happens to the servers.
#[derive(Debug)]
pub(crate) enum Event {
    /// A process runs.
    Started {
        /// Of which server.
        id: u16,
        /// Its process id.
        process: u32,
    },
    /// A process has ended without being asked to; it is started again after a second.
    Died {
        /// Of which server.
        id: u16,
        /// How.
        status: String,
    },
    /// A process could not be started; that is tried again after a second.
    Failed {
        /// Of which server.
        id: u16,
        /// Why.
        error: ClusterError,
    },
}

/// Three running servers.
pub(crate) struct Cluster {
    folder: Folder,
    keepers: JoinSet<bool>,
    stop: watch::Sender<bool>,
    events: mpsc::Receiver<Event>,
}

impl Cluster {
    /// Starts the servers, and starts each again whenever it dies.
    pub(crate) fn start(folder: Folder) -> Result<Cluster, ClusterError> {
        let program = std::env::current_exe().map_err(ClusterError::Spawn)?;
        let (stop, stopping) = watch::channel(false);
        let (tell, events) = mpsc::channel(64);
        let mut keepers = JoinSet::new();
        for id in 1..=SERVERS {
            keepers.spawn(keep(folder.command(&program, id), id, stopping.clone(), tell.clone()));
        }
        Ok(Cluster { folder, keepers, stop, events })
    }

    /// The folder of these servers.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Waits for the next event. May be dropped and called again without losing one.
    pub(crate) async fn next_event(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            // The keepers end only after they are told to, and nobody asks for events after that.
            None => std::future::pending().await,
        }
    }

    /// Ends all servers; whether each ended cleanly.
    pub(crate) async fn stop(mut self) -> bool {
        let _ = self.stop.send(true);
        // What they still have to tell is not wanted any more, and nobody should wait with it.
        self.events.close();
        let mut clean = true;
        while let Some(ended) = self.keepers.join_next().await {
            clean &= ended.unwrap_or(false);
        }
        clean
    }
}

/// Keeps one server running until told to stop; whether it then ended cleanly.
async fn keep(
    mut command: Command,
    id: u16,
    mut stop: watch::Receiver<bool>,
    tell: mpsc::Sender<Event>,
) -> bool {
    loop {
        match command.spawn() {
            Ok(mut child) => {
                let _ = tell.send(Event::Started { id, process: child.id().unwrap_or(0) }).await;
                // Taken out, because waiting for a child closes the stdin that it holds, and that ends a server.
                let stdin = child.stdin.take();
                let ended = tokio::select! {
                    ended = child.wait() => ended,
                    () = told_to_stop(&mut stop) => {
                        drop(stdin);
                        return end(child).await;
                    }
                };
                let status =
                    ended.map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string());
                let _ = tell.send(Event::Died { id, status }).await;
            }
            Err(error) => {
                let _ = tell.send(Event::Failed { id, error: ClusterError::Spawn(error) }).await;
            }
        }
        tokio::select! {
            () = sleep(RESTART_AFTER) => {}
            // It is down already, and what it had acknowledged is on its disk.
            () = told_to_stop(&mut stop) => return true,
        }
    }
}

/// Waits for a server whose stdin is closed, and ends it by force only if that does not help; whether it ended cleanly.
async fn end(mut child: Child) -> bool {
    match timeout(END_WITHIN, child.wait()).await {
        Ok(ended) => ended.is_ok_and(|status| status.success()),
        Err(_) => {
            let _ = child.kill().await;
            false
        }
    }
}
