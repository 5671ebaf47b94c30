//! One node per thread, over channels, with a file as disk: three servers, of which one is killed in the middle of a write and
//! started again, and then all of them.
//!
//! It shows a whole embedder: a disk that makes batches durable and puts them together again after a crash, a loop that tells
//! the time before what arrived, proposals and linearizable reads of clients. `docs/embedding.md` builds it up step by step.
//!
//!     cargo run -p raft-core --example embedding

mod disk;
mod server;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use raft_core::{
    Bootstrap, Event, Membership, NodeId, Outcome, Pair, Recovered, RoleKind, Suffrage, bootstrap,
};

use self::disk::Disk;
use self::server::{Input, Network, Server};

/// Nothing here takes this long: it only ends a run that hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// Three servers in one process, and the clients' side of them.
struct Cluster {
    founding: Membership,
    files: BTreeMap<Pair, PathBuf>,
    network: Network,
    running: HashMap<Pair, (SyncSender<Input>, JoinHandle<()>)>,
    listener: Sender<(Pair, Event)>,
    events: Receiver<(Pair, Event)>,
}

impl Cluster {
    /// Formats three disks, and writes the same founding configuration to each.
    fn found(folder: &Path) -> io::Result<Cluster> {
        let mut disks = Vec::new();
        for id in (1..=3).filter_map(NodeId::new) {
            let path = folder.join(format!("server-{id}"));
            disks.push((Disk::format(&path, id)?, path));
        }
        let server = |disk: &Disk| raft_core::Server {
            pair: disk.pair(),
            suffrage: Suffrage::Voter,
            raft_address: format!("channel {}", disk.pair().id),
            client_address: String::new(),
        };
        let servers = disks.iter().map(|(disk, _)| server(disk)).collect();
        let founding = Membership::new(servers).map_err(io::Error::other)?;
        let mut files = BTreeMap::new();
        for (mut disk, path) in disks {
            let first = bootstrap(&Recovered::default(), &founding, disk.pair()).map_err(io::Error::other)?;
            if let Bootstrap::Write(first) = first {
                disk.write(&first)?;
            }
            files.insert(disk.pair(), path);
        }
        let (listener, events) = mpsc::channel();
        let (network, running) = Default::default();
        Ok(Cluster { founding, files, network, running, listener, events })
    }

    /// Starts a server from its file, for the first time or again.
    fn start(&mut self, pair: Pair) -> io::Result<()> {
        let (network, listener) = (Arc::clone(&self.network), self.listener.clone());
        let server = Server::start(&self.files[&pair], &self.founding, network, listener)?;
        let (queue, inbox) = mpsc::sync_channel(1_000);
        self.network.lock().unwrap_or_else(PoisonError::into_inner).insert(pair, queue.clone());
        self.running.insert(pair, (queue, thread::spawn(move || server.run(&inbox))));
        Ok(())
    }

    /// Ends a server at once, with whatever it was doing. Only its file is left.
    fn kill(&mut self, pair: Pair) {
        let (queue, thread) = self.running.remove(&pair).expect("it runs");
        queue.send(Input::Kill).expect("it listens");
        thread.join().expect("it ends without a panic");
    }

    /// Waits until some server leads.
    fn leader(&self) -> Pair {
        loop {
            let (pair, event) = self.events.recv_timeout(DEADLINE).expect("somebody is elected");
            if matches!(event, Event::Role { role: RoleKind::Leader, .. }) && self.running.contains_key(&pair)
            {
                return pair;
            }
        }
    }

    /// Puts something, at whoever leads. What is lost with a leadership may have been done: to put it again does no harm.
    fn put(&self, mut leader: Pair, text: &str) -> Pair {
        loop {
            let (caller, answer) = mpsc::channel();
            self.running[&leader].0.send(Input::Put(text.to_owned(), caller)).expect("it listens");
            match answer.recv_timeout(DEADLINE).expect("every request has one answer") {
                Outcome::Committed { .. } => return leader,
                _ => leader = self.leader(),
            }
        }
    }

    /// Reads at any server, linearizably. It is refused where the server knows no leader: then there will be another event.
    fn get(&self, server: Pair) -> BTreeMap<String, String> {
        loop {
            let (caller, answer) = mpsc::channel();
            self.running[&server].0.send(Input::Get(caller)).expect("it listens");
            if let Some(map) = answer.recv_timeout(DEADLINE).expect("every request has one answer") {
                return map;
            }
            self.events.recv_timeout(DEADLINE).expect("a leader is found");
        }
    }
}

pub(crate) fn main() {
    let folder = std::env::temp_dir().join(format!("raft-core-embedding-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for the files");
    let mut cluster = Cluster::found(&folder).expect("three new disks");
    let all: Vec<Pair> = cluster.files.keys().copied().collect();
    for pair in &all {
        cluster.start(*pair).expect("a new disk");
    }
    let leader = cluster.leader();
    let killed = cluster.put(leader, "colour=green");

    // The leader dies in the middle of a write: its file ends with half a record. The two others elect another and go on.
    cluster.kill(killed);
    let mut file = OpenOptions::new().append(true).open(&cluster.files[&killed]).expect("its file");
    file.write_all(&[200, 0, 0, 0, 1, 2, 3]).expect("room for seven bytes");
    let leader = cluster.leader();
    cluster.put(leader, "shape=round");

    // It comes back, and answers for what it had as well as for what it missed.
    cluster.start(killed).expect("a torn record at the end is no damage");
    let map = cluster.get(killed);
    assert_eq!((map["colour"].as_str(), map["shape"].as_str()), ("green", "round"));

    // All die. What they have answered for is on their disks.
    for pair in &all {
        cluster.kill(*pair);
    }
    while cluster.events.try_recv().is_ok() {}
    for pair in &all {
        cluster.start(*pair).expect("a whole disk");
    }
    let leader = cluster.leader();
    cluster.put(leader, "size=small");
    assert_eq!(cluster.get(leader).len(), 3);
    println!("three servers, started twice, have {:?}", cluster.get(leader));
    for pair in &all {
        cluster.kill(*pair);
    }
    fs::remove_dir_all(&folder).expect("the folder of the files");
}
