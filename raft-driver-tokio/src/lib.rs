//! A thin driver for [`raft_core`]: a real disk, a real network and a real clock around the pure node, on tokio.
//!
//! ```text
//!   application ─▶ Handle ─▶ EventLoop (owns the Node) ─▶ log thread ─▶ segments
//!                              ▲      │      │
//!                 peers ──▶ Receiver  │      └──▶ apply thread ─▶ StateMachine
//!                                     └──▶ one sending task for each peer ──▶ peers
//! ```
//!
//! A server lives in a folder ([`DataDir`]), which is formatted once, and is run by [`start`]:
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use raft_core::{LogTime, Membership, NodeId, Position, Server, Suffrage};
//! use raft_driver_tokio::{DataDir, Options, StateMachine, start};
//!
//! /// Counts the bytes of all commands.
//! struct Length(u64);
//!
//! impl StateMachine for Length {
//!     type Output = u64;
//!     fn apply(&mut self, _: Position, _: LogTime, command: &Bytes) -> u64 {
//!         self.0 += command.len() as u64;
//!         self.0
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path().join("server-1");
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let pair = DataDir::format(&folder, NodeId::new(1).ok_or("zero")?)?;
//! let founders = Membership::new(vec![Server {
//!     pair,
//!     suffrage: Suffrage::Voter,
//!     raft_address: listener.local_addr()?.to_string(),
//!     client_address: String::new(),
//! }])?;
//! let mut options = Options::new(listener, founders);
//! options.bootstrap = true;
//! let server = start(DataDir::open(&folder)?, options, Length(0)).await?;
//!
//! let mut status = server.subscribe();
//! status.wait_for(|status| status.core.leader.is_some()).await?;
//! let applied = server.propose(Bytes::from("hello"), Duration::from_secs(5)).await?;
//! assert_eq!(applied.output, 5);
//! assert_eq!(server.read(Duration::from_secs(5), |length, _| length.0).await?, 5);
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! The driver makes no decision of the protocol: it carries out what the node wants, in any order, and reports. A disk that
//! fails is final for a server: it stops, and [`Handle::stopped`] says why.

mod directory;
pub mod log;

mod clock;
mod transport;
mod state_machine;

mod options;
mod status;
mod handle;
mod heard;
mod reads;
mod recorder;
mod event_loop;
mod start;

pub use directory::{DataDir, FormatError, OpenError};
pub use handle::{Applied, Handle, ProposeError, Reconfigured, Stopped};
pub use options::{Listen, Options, OptionsError};
pub use reads::{Leadership, ReadError};
pub use start::{StartError, start};
pub use state_machine::StateMachine;
pub use status::{Follower, NodeStatus, StopReason};
pub use transport::FILES_MAX;
