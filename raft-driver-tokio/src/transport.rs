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
//! one frame for each connection; what waits for the node is limited in bytes.

mod frame;
mod hello;
mod receiver;
mod sender;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use raft_core::{Identity, Membership, Packet, Pair};

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
    peers: BTreeMap<Pair, Peer>,
}

impl Network {
    pub(crate) fn new(identity: Identity, limits: Limits, founders: Arc<Membership>) -> Self {
        Network { identity, limits, founders, membership: None, peers: BTreeMap::new() }
    }

    /// Follows a change of the configuration: connections to servers that are gone or have moved end.
    pub(crate) fn set_membership(&mut self, membership: Arc<Membership>) {
        self.membership = Some(membership);
        let mut peers = std::mem::take(&mut self.peers);
        peers.retain(|pair, peer| self.address(*pair).is_some_and(|address| address == peer.address()));
        self.peers = peers;
    }

    /// Sends a packet, or drops it where its queue is full or nobody knows where to send it.
    pub(crate) fn send(&mut self, packet: Packet) {
        let to = packet.to;
        if !self.peers.contains_key(&to) {
            let Some(address) = self.address(to) else {
                tracing::debug!(%to, "no address is known; a packet is dropped");
                return;
            };
            let peer = Peer::spawn(self.identity, to, address.to_owned(), self.limits);
            self.peers.insert(to, peer);
        }
        if let Some(peer) = self.peers.get(&to) {
            peer.send(packet);
        }
    }

    fn address(&self, pair: Pair) -> Option<&str> {
        let known = self.membership.iter().chain([&self.founders]);
        known.filter_map(|membership| membership.server(pair)).map(|server| &*server.raft_address).next()
    }
}
