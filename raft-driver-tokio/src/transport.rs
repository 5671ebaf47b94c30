//! Packets over TCP. Every server dials every other one: a connection carries packets in one direction only, so that a
//! pair of servers has two, and nobody has to agree on who dials.
//!
//! ```text
//!   dialer                                              listener
//!     │── hello: cluster, who I am, whom I mean ──────────▶│
//!     │◀── welcome, or why not ────────────────────────────│   (refused: closed)
//!     │── frame, frame, frame … ──────────────────────────▶│
//!
//!   frame    0  u32  length of the packet in bytes
//!            4  u32  group: 0
//!            8  u32  CRC-32C of bytes 0..8 and the packet
//!           12  …    one Packet in protobuf                  all numbers little-endian
//! ```
//!
//! Raft tolerates loss, so nothing here waits or retries: a packet that finds its queue full is dropped. What a listener
//! does not understand closes the connection and is logged; no input makes it panic, or allocate more than
//! one frame for each connection; what waits for the node is limited in bytes. The one packet that is refused though it is
//! understood is that of a snapshot: it would tell the node that the snapshot's bytes are here, and they do not come this way.

mod asking;
mod frame;
mod hello;
mod receiver;
mod sender;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use raft_core::{Identity, Membership, Packet, Pair};
use tokio::time::Instant;

pub(crate) use asking::other_cluster;
pub(crate) use receiver::{Inbound, Receiver};
use sender::Peer;

/// The only group so far. Frames carry it from the first day, so that many groups can share a connection.
const GROUP: u32 = 0;

/// How many files a server of up to 64 members has open at most: connections of both directions, and some 30 for the log,
/// the folder and the runtime. Where a process may open fewer, strangers who connect to it could keep its log from opening
/// the next file, and a log that can not go on is final.
pub const FILES_MAX: usize = receiver::FILES_MAX + 64 + 31;

/// What the transport can be set to; see [`Options`](crate::Options).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    pub(crate) frame_bytes_max: usize,
    /// How long a hello, a connection attempt or a write may take.
    pub(crate) patience: Duration,
    pub(crate) reconnect_max: Duration,
    /// How much may wait for one peer.
    pub(crate) queue_bytes_max: u32,
}

/// The way to all other servers.
#[derive(Debug)]
pub(crate) struct Network {
    identity: Identity,
    limits: Limits,
    /// Where servers are that no configuration in the log names yet: a server with an empty log answers the founders.
    founders: Arc<Membership>,
    membership: Option<Arc<Membership>>,
    callers: Callers,
    peers: BTreeMap<Pair, Peer>,
    /// Those of the peers that are no members, and when their connections end.
    leaving: BTreeMap<Pair, Instant>,
}

/// Where those who are connected to this server say that they are reached. It is asked only for servers that no known
/// configuration names: a new server has to answer a leader before it has its log, and who was removed while it was away has to
/// be told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Callers(Arc<Mutex<BTreeMap<Pair, String>>>);

impl Callers {
    fn insert(&self, caller: Pair, address: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(caller, address);
    }

    fn remove(&self, caller: Pair) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&caller);
    }

    fn address(&self, caller: Pair) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&caller).cloned()
    }
}

/// How long the connection to a server lasts that is no member: long enough for it to hear that it was removed.
const LEAVING: Duration = Duration::from_secs(30);

impl Network {
    pub(crate) fn new(
        identity: Identity,
        limits: Limits,
        founders: Arc<Membership>,
        callers: Callers,
    ) -> Self {
        let (peers, leaving) = (BTreeMap::new(), BTreeMap::new());
        Network { identity, limits, founders, membership: None, callers, peers, leaving }
    }

    /// Follows a change of the configuration, joint or not: connections to servers that have moved end, and those to
    /// servers that are gone end in a while. Where this server itself has moved, all end, and are made again.
    pub(crate) fn set_membership(&mut self, membership: Arc<Membership>) {
        let until = Instant::now() + LEAVING;
        // Every connection has begun with where this server is reached. If that was wrong, they begin again.
        let here = membership.server(self.identity.pair).map(|own| &own.raft_address);
        if here.is_some_and(|here| *here != self.own_address()) {
            self.peers.clear();
        }
        self.peers.retain(|pair, peer| {
            if let Some(server) = membership.server(*pair) {
                self.leaving.remove(pair);
                return server.raft_address == peer.address();
            }
            // A server that was wiped is another one at the same address, and nobody is left there to be told.
            let taken = membership.members().any(|server| server.raft_address == peer.address());
            if !taken {
                self.leaving.entry(*pair).or_insert(until);
            }
            !taken
        });
        self.leaving.retain(|pair, _| self.peers.contains_key(pair));
        self.membership = Some(membership);
    }

    /// Sends a packet, or drops it where its queue is full or nobody knows where to send it.
    pub(crate) fn send(&mut self, packet: Packet) {
        self.end_connections();
        let to = packet.to;
        if !self.peers.contains_key(&to) {
            let Some(address) = self.address(to) else {
                tracing::debug!(%to, "no address is known; a packet is dropped");
                return;
            };
            let peer = Peer::spawn(self.identity, to, address, self.own_address(), self.limits);
            self.peers.insert(to, peer);
            if self.membership.as_ref().is_some_and(|membership| membership.server(to).is_none()) {
                self.leaving.insert(to, Instant::now() + LEAVING);
            }
        }
        if let Some(peer) = self.peers.get(&to) {
            peer.send(packet);
        }
    }

    /// Ends the connections to those who have left and had their time.
    fn end_connections(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        let now = Instant::now();
        self.leaving.retain(|pair, until| {
            let stays = now < *until;
            if !stays {
                self.peers.remove(pair);
            }
            stays
        });
    }

    /// Where this server is reached; empty where it does not know yet.
    fn own_address(&self) -> String {
        self.address(self.identity.pair).unwrap_or_default()
    }

    fn address(&self, pair: Pair) -> Option<String> {
        let known = |membership: &Arc<Membership>| Some(membership.server(pair)?.raft_address.clone());
        let in_force = self.membership.as_ref().and_then(known);
        in_force.or_else(|| self.callers.address(pair)).or_else(|| known(&self.founders))
    }
}
