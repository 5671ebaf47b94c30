//! How a server is run.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use raft_core::{Config, Entry, Membership};

use crate::log::LogOptions;
use crate::transport::Limits;

/// Where a server listens for its peers.
#[derive(Debug)]
#[non_exhaustive]
pub enum Listen {
    /// On this address, as `HOST:PORT`.
    Address(String),
    /// On a socket that is listening already.
    Bound(TcpListener),
}

impl From<String> for Listen {
    fn from(address: String) -> Self {
        Listen::Address(address)
    }
}

impl From<&str> for Listen {
    fn from(address: &str) -> Self {
        Listen::Address(address.to_owned())
    }
}

impl From<TcpListener> for Listen {
    fn from(listener: TcpListener) -> Self {
        Listen::Bound(listener)
    }
}

/// How a server is run. Start from [`Options::new`] and change what needs changing.
#[derive(Debug)]
#[non_exhaustive]
pub struct Options {
    /// Where to listen for peers.
    pub listen: Listen,
    /// The configuration that founded, or founds, the cluster. Its digest is the cluster id, so it has to be the same on
    /// every server and at every start.
    pub founders: Membership,
    /// Whether to found the cluster, if this has not been done. Default false.
    pub bootstrap: bool,
    /// How long a server that is about to found the cluster waits for the other founders to say whether they belong to another
    /// one; where one does, nothing is founded ([`StartError::FoundedBefore`](crate::StartError::FoundedBefore)). Who does not answer in
    /// time stops nobody. Zero: nobody is asked. Default 1 s.
    pub ask_founders: Duration,
    /// The settings of the node. Default: [`Config::default`] with longer times, for a real disk on a machine that does other
    /// things too. Without a leader for half a second to a second there is an election: well above what such a machine makes
    /// a heartbeat wait, which comes every 100 ms, and well below what a client waits. And a leader whose disk has not
    /// finished a write for 3 s leaves the lead to others.
    pub config: Config,
    /// The length of a tick. Not zero. Default 10 ms.
    pub tick: Duration,
    /// The length of segments, and how much of the log stays in memory over a restart.
    pub log: LogOptions,
    /// The longest packet that is taken from a peer, in bytes. At least what this server itself may send. Default 16 MiB.
    pub frame_bytes_max: usize,
    /// How much may wait to be sent to one peer, in bytes; one packet is always let through. Default 16 MiB.
    pub peer_queue_bytes_max: u32,
    /// How long a peer may take to accept a connection, to say hello, or to take bytes. Default 3 s.
    pub peer_patience: Duration,
    /// The longest pause between two attempts to reach a peer. Default 1 s.
    pub reconnect_max: Duration,
    /// The most proposals, the most reads, and the most looks at the state that wait at once; further callers wait for their
    /// turn. At least 1. Default 4,096.
    pub calls_max: usize,
    /// How long a shutdown waits for proposals that are under way, and then, where this server leads, until another one has
    /// taken over. Default 500 ms.
    pub drain: Duration,
    /// Where to write down all that the node of this start is handed, and what it wants, for `raft-sim replay`: a file that is not there
    /// yet. It holds every command, and grows as long as the server runs. What can not be written in time ends the recording, never the
    /// server. Default: nowhere.
    pub record: Option<PathBuf>,
}

/// What is wrong with options.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// [`Options::tick`] is zero.
    #[error("a tick must be longer than nothing")]
    Tick,
    /// [`Options::calls_max`] is zero.
    #[error("at least one call must be let in")]
    Calls,
    /// [`Options::frame_bytes_max`] is less than what this server may send.
    #[error("the longest packet must be let through: at least {needed} bytes")]
    Frame {
        /// What it must be at least, in bytes.
        needed: u64,
    },
}

/// What a packet and its entries may take beside what counts towards limits, in bytes.
const FRAME_MARGIN_BYTES: u64 = 64 << 10;

impl Options {
    /// The defaults, for a server that listens there and belongs to the cluster of these founders.
    pub fn new(listen: impl Into<Listen>, founders: Membership) -> Self {
        Options {
            listen: listen.into(),
            founders,
            bootstrap: false,
            ask_founders: Duration::from_secs(1),
            config: Config {
                election_timeout_ticks: 50,
                heartbeat_ticks: 10,
                disk_stall_ticks: 300,
                ..Config::default()
            },
            tick: Duration::from_millis(10),
            log: LogOptions::default(),
            frame_bytes_max: 16 << 20,
            peer_queue_bytes_max: 16 << 20,
            peer_patience: Duration::from_secs(3),
            reconnect_max: Duration::from_secs(1),
            calls_max: 4096,
            drain: Duration::from_millis(500),
            record: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        if self.tick.is_zero() {
            return Err(OptionsError::Tick);
        }
        if self.calls_max == 0 {
            return Err(OptionsError::Calls);
        }
        // One entry is always let through, so the longest packet has the longest command in it.
        let entry = self.config.command_bytes_max.saturating_add(Entry::OVERHEAD_BYTES);
        let needed = self.config.append_bytes_max.max(entry).saturating_add(FRAME_MARGIN_BYTES);
        if (self.frame_bytes_max as u64) < needed {
            return Err(OptionsError::Frame { needed });
        }
        Ok(())
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            frame_bytes_max: self.frame_bytes_max.min(u32::MAX as usize / 2),
            patience: self.peer_patience,
            reconnect_max: self.reconnect_max,
            queue_bytes_max: self.peer_queue_bytes_max.max(1),
        }
    }
}
