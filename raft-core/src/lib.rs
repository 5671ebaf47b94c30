//! Raft as a pure function.
#![no_std]
#![warn(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::alloc_instead_of_core
)]

extern crate alloc;

mod identity;
mod position;
mod entry;
mod membership;
mod config;
mod packet;
mod write;
mod message;
mod ready;

mod quorum;
mod timeouts;
mod log;
mod disk;
mod progress;
mod proposals;
mod fetches;
mod role;

mod node;
mod election;
mod following;
mod replication;
mod step;
mod invariants;

mod encoding;

pub use crate::config::{Config, ConfigError};
pub use crate::encoding::{
    DecodeError, decode_entry, decode_membership, decode_packet, decode_write, encode_entry,
    encode_membership, encode_packet, encode_write,
};
pub use crate::entry::{Entry, Payload, Run, RunError, Runs};
pub use crate::identity::{Boot, ClusterId, Identity, Incarnation, NodeId, Pair, ParseIdentityError};
pub use crate::invariants::Broken;
pub use crate::log::TermStart;
pub use crate::membership::{Membership, MembershipError, Server, Suffrage};
pub use crate::message::{Commands, Fetched, Message};
pub use crate::node::{Node, StartError, Status};
pub use crate::packet::{Body, Packet};
pub use crate::position::{FetchNumber, LogIndex, LogTime, Position, RequestId, Round, Term, WriteNumber};
pub use crate::ready::{Answer, Event, Fault, Fetch, Outcome, Ready, Refusal, RoleKind};
pub use crate::write::{Bootstrap, BootstrapError, HardState, RecoverError, Recovered, Write, bootstrap};
