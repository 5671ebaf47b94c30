//! A server: one thread that owns a node, its disk and its state machine, and a queue of what happens to it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use raft_core::{
    Config, Event, Fetched, Identity, Membership, Message, Node, Outcome, Pair, Payload, Ready, RequestId,
    Runs, decode_packet, encode_packet,
};

use super::disk::Disk;

/// How long a tick is. All times in `Config` count these.
const TICK: Duration = Duration::from_millis(10);
/// How much is handed to the node at once.
const BATCH: usize = 256;

/// What comes to a server from outside.
pub(crate) enum Input {
    /// A packet, as it travels.
    Packet(Vec<u8>),
    /// `key=value`, and whom to tell what became of it.
    Put(String, Sender<Outcome>),
    /// All that was put. `None` where this server can not say.
    Get(Sender<Option<BTreeMap<String, String>>>),
    /// The process ends, at once.
    Kill,
}

/// Where servers are reached. The queues are bounded: what does not fit is lost, as in any network.
pub(crate) type Network = Arc<Mutex<HashMap<Pair, SyncSender<Input>>>>;

/// Who waits for an answer.
enum Caller {
    Put(Sender<Outcome>),
    Get(Sender<Option<BTreeMap<String, String>>>),
}

pub(crate) struct Server {
    node: Node,
    disk: Disk,
    network: Network,
    /// Whoever wants to know what has changed.
    listener: Sender<(Pair, Event)>,
    /// The state machine. It does not survive a restart: the log is replayed to it.
    map: BTreeMap<String, String>,
    callers: HashMap<RequestId, Caller>,
    requests: u64,
    /// What the node is told next.
    messages: Vec<Message>,
}

impl Server {
    pub(crate) fn start(
        path: &std::path::Path,
        founding: &Membership,
        network: Network,
        listener: Sender<(Pair, Event)>,
    ) -> io::Result<Server> {
        let (mut disk, mut recovered) = Disk::open(path)?;
        recovered.shorten(1_000); // Of a long log only the end is kept in memory; the node fetches the rest if it needs it.
        let boot = disk.count_boot()?;
        let identity = Identity { cluster: founding.cluster_id(), pair: disk.pair(), boot };
        let node = Node::new(Config::default(), identity, recovered).map_err(io::Error::other)?;
        let (map, callers, requests, messages) = Default::default();
        Ok(Server { node, disk, network, listener, map, callers, requests, messages })
    }

    /// Runs until it is killed, or halts.
    pub(crate) fn run(mut self, inbox: &Receiver<Input>) {
        let (began, mut told) = (Instant::now(), 0);
        let mut ready = Ready { sleep: Some(0), ..Ready::default() };
        loop {
            // Wait for something to happen, but no longer than the node can go without a tick. What the node has yet to be told about
            // its own disk and state machine waits for nothing.
            let sleep = if self.messages.is_empty() { ready.sleep.unwrap_or(1_000) } else { 0 };
            let first = match inbox.recv_timeout(TICK * sleep) {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // The time that has passed is told before what arrived meanwhile: so the clock is read now, and not before waiting.
            let now = (began.elapsed().as_millis() / TICK.as_millis()) as u64;
            let elapsed = u32::try_from(now - told).unwrap_or(u32::MAX);
            told = now;
            self.messages.push(Message::Tick { elapsed });
            // All that has come is handed over in one step: one write, and one packet of entries for each follower.
            for input in first.into_iter().chain(inbox.try_iter().take(BATCH)) {
                if matches!(input, Input::Kill) {
                    return;
                }
                self.take(input);
            }
            let messages = std::mem::take(&mut self.messages);
            self.node.step_all(messages, &mut ready);
            if !self.carry_out(&mut ready) {
                return;
            }
        }
    }

    /// Makes a message of what came.
    fn take(&mut self, input: Input) {
        self.requests += 1;
        let id = RequestId::new(self.requests);
        match input {
            // Bytes that are no packet are dropped, like one that the network has lost.
            Input::Packet(bytes) => self.messages.extend(decode_packet(bytes.into()).map(Message::Packet)),
            Input::Put(text, caller) => {
                self.callers.insert(id, Caller::Put(caller));
                self.messages.push(Message::Propose { id, commands: text.into_bytes().into() });
            }
            Input::Get(caller) => {
                self.callers.insert(id, Caller::Get(caller));
                self.messages.push(Message::Read { id });
            }
            Input::Kill => {}
        }
    }

    /// Does what has to happen in the world. Returns whether the server can go on.
    fn carry_out(&mut self, ready: &mut Ready) -> bool {
        for packet in ready.send.drain(..) {
            let bytes = encode_packet(&packet);
            // The lock is held for a look into a table, and for nothing else.
            let network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
            let queue = network.get(&packet.to).cloned();
            drop(network);
            if let Some(queue) = queue {
                let _lost_when_full = queue.try_send(Input::Packet(bytes));
            }
        }
        if let Some(write) = ready.write.take() {
            let number = write.number;
            let done = self.disk.write(&write);
            self.messages.push(done.map_or(Message::WriteFailed(number), |()| Message::Synced(number)));
        }
        if let Some(entries) = ready.apply.take() {
            self.apply(&entries);
        }
        for fetch in ready.fetch.drain(..) {
            let result = self.disk.read().map_or(Fetched::Failed, |on_disk| on_disk.read(&fetch));
            self.messages.push(Message::Fetched { number: fetch.number, result });
        }
        // These two come only where snapshots are taken, and the third where a state is imported: see the last section.
        assert!(ready.restore.is_none() && ready.snapshots.is_empty() && ready.obtain.is_empty());
        for answer in ready.answers.drain(..) {
            // A caller may have gone: then nobody wants to know.
            let _gone = match self.callers.remove(&answer.id) {
                Some(Caller::Put(caller)) => caller.send(answer.outcome).is_ok(),
                Some(Caller::Get(caller)) => {
                    let readable = matches!(answer.outcome, Outcome::Readable { .. });
                    caller.send(readable.then(|| self.map.clone())).is_ok()
                }
                None => false,
            };
        }
        let pair = self.disk.pair();
        let mut halted = false;
        for event in ready.events.drain(..) {
            halted |= matches!(event, Event::Fault(_));
            let _nobody_listens = self.listener.send((pair, event));
        }
        !halted
    }

    fn apply(&mut self, entries: &Runs) {
        for (position, entry) in entries.entries() {
            if let Payload::Command(command) = &entry.payload
                && let Some((key, value)) = String::from_utf8_lossy(command).split_once('=')
            {
                self.map.insert(key.to_owned(), value.to_owned());
            }
            self.messages.push(Message::Applied(position.index));
        }
    }
}
