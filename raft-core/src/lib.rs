//! Raft as a pure function: a consensus core without I/O, clocks, threads or randomness.
//!
//! A [`Node`] takes one [`Message`] and answers with a [`Ready`], which says what has to happen in the world:
//!
//! ```text
//!   time passing ──────┐                                  ┌──▶ send     packets, each at once
//!   packets ───────────┤                                  ├──▶ write    one batch for the disk
//!   proposals, reads ──┼──▶ Message ─▶ Node::step ─▶ Ready┼──▶ apply    committed entries
//!   writes now durable ┤                                  ├──▶ restore  the state machine from a snapshot
//!   entries applied ───┤                                  ├──▶ fetch    entries to read back
//!   entries fetched ───┤                                  ├──▶ answers  to proposals, reads and all other requests
//!   snapshots ─────────┘                                  ├──▶ snapshots, obtain   bytes to move
//!                                                         ├──▶ events   what has changed
//!                                                         └──▶ sleep    when to tick at the latest
//! ```
//!
//! Nothing else goes in or out, so the same core runs under a simulator, a fuzzer, a tokio driver or a plain loop, and a
//! run is nothing but a list of messages. The algorithm is that of Diego Ongaro's thesis *Consensus: Bridging Theory and
//! Practice* (2014), whose words the names follow.
//!
//! # What an embedder has to do
//!
//! 1. Draw an [`Incarnation`] when it formats an empty directory, and count a durable [`Boot`] up at every start.
//! 2. [`bootstrap`] the founders of a cluster once, each with the same [`Membership`].
//! 3. At a start, make a [`Recovered`] of all writes on the disk, in order, and a [`Node`] of that.
//! 4. Loop: hand messages to [`Node::step`] and do what the [`Ready`] says. The parts of a `Ready` do not depend on one
//!    another: whatever must not be sent before a write is durable is not in it yet. So there is no order to get wrong.
//!
//! Here is a complete one. It founds a cluster of a single server and restarts it; a snapshot and the log behind it bring the state
//! machine back. A cluster of several differs in what happens to `send` and `snapshots`, and in that packets arrive as
//! [`Message::Packet`]. The repository has it as an example (`three_nodes`), another with threads and files (`embedding`), one for a
//! device without `std` (`no_std`), and `docs/embedding.md`, which says what goes wrong where a rule is not kept.
//!
//! ```
//! use raft_core::*;
//! use std::collections::VecDeque;
//!
//! /// What survives a restart. A real one writes `encode_write(&write)` to a file, with a checksum, and syncs.
//! #[derive(Default)]
//! struct Disk { boot: u64, writes: Vec<Write>, saved: Vec<String>, full: bool }
//!
//! impl Disk {
//!     fn recover(&self) -> Recovered {
//!         Recovered::replay(&self.writes).expect("the disk returns what was written")
//!     }
//! }
//!
//! /// Runs a server until nothing is left to do; returns what its state machine has seen, and the answers.
//! fn run(disk: &mut Disk, pair: Pair, founding: &Membership, clients: &[&'static str]) -> (Vec<String>, Vec<Outcome>) {
//!     disk.boot += 1; // Durable, before the node exists.
//!     let identity = Identity { cluster: founding.cluster_id(), pair, boot: Boot::new(disk.boot) };
//!     let mut recovered = disk.recover();
//!     recovered.shorten(1); // Keeps a long log out of memory: what is needed of it will be fetched.
//!     let config = Config { trailing_entries: 0, ..Config::default() };
//!     let mut node = Node::new(config, identity, recovered).expect("the disk is whole");
//!     let (mut state_machine, mut answers) = (Vec::new(), Vec::new());
//!     let mut inbox = VecDeque::from([Message::Tick { elapsed: 0 }, Message::Tick { elapsed: 40 }]); // its clock
//!     for (id, text) in (0..).map(RequestId::new).zip(clients) {
//!         // Clients: these wait until the server leads, that is until two writes are durable.
//!         inbox.push_back(match *text {
//!             "?" => Message::Read { id }, // Linearizable, and nothing is appended for it.
//!             command => Message::Propose { id, commands: command.as_bytes().into() },
//!         });
//!     }
//!     while let Some(message) = inbox.pop_front() {
//!         let ready = node.step(message);
//!         for packet in ready.send {
//!             unreachable!("a single server has nobody to send {packet:?} to"); // Else: encode_packet, and off it goes.
//!         }
//!         if let Some(write) = ready.write {
//!             let number = write.number;
//!             if disk.full {
//!                 inbox.push_front(Message::WriteFailed(number)); // Final: the node halts.
//!             } else {
//!                 disk.writes.push(write); // And sync.
//!                 inbox.push_front(Message::Synced(number));
//!             }
//!         }
//!         if let Some(snapshot) = ready.restore {
//!             state_machine = disk.saved.clone();
//!             inbox.push_front(Message::Applied(snapshot.last.index));
//!         }
//!         if let Some(entries) = ready.apply {
//!             for (position, entry) in entries.entries() {
//!                 if let Payload::Command(command) = &entry.payload {
//!                     state_machine.push(format!("{position} {}", String::from_utf8_lossy(command)));
//!                 }
//!                 if position.index.raw() % 4 == 0 {
//!                     disk.saved = state_machine.clone(); // And sync: then the log can begin behind this entry.
//!                     let (size, digest) = (disk.saved.len() as u64, Digest::new(position.index.raw().into()));
//!                     inbox.push_front(Message::SnapshotTaken { last: position, time: entry.time, size, digest });
//!                 }
//!                 inbox.push_front(Message::Applied(position.index));
//!             }
//!         }
//!         for fetch in ready.fetch {
//!             let result = disk.recover().read(&fetch); // A real one knows where in the file which entry stands.
//!             inbox.push_front(Message::Fetched { number: fetch.number, result });
//!         }
//!         // Bytes to move from one server to another: there is no other one here.
//!         assert!(ready.snapshots.is_empty() && ready.obtain.is_empty());
//!         answers.extend(ready.answers.into_iter().map(|answer| answer.outcome)); // Each goes to whoever gave its id.
//!         // ready.events: tell whoever wants to know. ready.sleep: tick again after that many ticks at the latest.
//!     }
//!     (state_machine, answers)
//! }
//!
//! let pair = Pair { id: NodeId::new(1).unwrap(), incarnation: Incarnation::new(0x1234_5678) }; // random bits
//! let server = Server { pair, suffrage: Suffrage::Voter, raft_address: "host:1".into(), client_address: "".into() };
//! let founding = Membership::new(vec![server]).unwrap();
//! let mut disk = Disk::default();
//! if let Bootstrap::Write(first) = bootstrap(&disk.recover(), &founding, pair).unwrap() {
//!     disk.writes.push(first); // And sync.
//! }
//!
//! let (seen, answers) = run(&mut disk, pair, &founding, &["hello", "world", "and", "more", "?"]);
//! assert_eq!(seen, ["1.3 hello", "1.4 world", "1.5 and", "1.6 more"]);
//! assert!(answers[..4].iter().all(|outcome| matches!(outcome, Outcome::Committed { .. })));
//! assert!(matches!(answers[4], Outcome::Readable { index } if index == LogIndex::new(6)));
//!
//! let (seen, _) = run(&mut disk, pair, &founding, &["again"]); // 1.4 comes from the snapshot, 1.5 from the log
//! assert_eq!(seen, ["1.3 hello", "1.4 world", "1.5 and", "1.6 more", "2.8 again"]); // 2.7 is the no-op of the new term
//!
//! disk.full = true;
//! let (_, answers) = run(&mut disk, pair, &founding, &["no room"]);
//! assert_eq!(answers, [Outcome::Refused(Refusal::Halted)]);
//! ```
//!
//! # What else there is to know
//!
//! - **Several servers**: send each packet of `ready.send` to the server that it is for: [`Packet::to`] names it, and
//!   [`Node::membership`] has its address. [`encode_packet`] and [`decode_packet`] are the wire format. Packets may be lost,
//!   doubled and reordered at will.
//! - **Ticks** have the length that you choose; all times in [`Config`] count them. 10 ms suit a local network. After a step
//!   wait for the next message, but no longer than [`Ready::sleep`] ticks; then say with one `Tick` how many have passed. Say
//!   it before what has arrived meanwhile.
//! - **Under load** collect what has come and hand it over in one [`Node::step_all`]: one write, one packet of entries for
//!   each follower, one batch to apply, and a `Ready` whose memory is reused.
//! - **Answers** to proposals come in the step that first hands the entries to the state machine, or before, and say where in the log they
//!   are. So take [`Ready::answers`] before [`Ready::apply`]: then whoever waits for the state machine's response to the entry at some
//!   index is known by the time that it is applied.
//! - **Refused** proposals certainly had no effect: try again, elsewhere if the refusal names a leader. **Lost** ones may have:
//!   try again only what may happen twice. [`Message::Forward`] is for callers who do not care who leads: a follower passes it on, and
//!   what it does not hear of is [`Outcome::Unanswered`], which is as good as lost.
//! - **Reads** need no entry: [`Message::Read`] is answered [`Outcome::Readable`] when the state machine of this very server has all that was
//!   committed when it was asked for, on the leader, a follower or a learner. [`Message::Barrier`] waits for all that was proposed to this
//!   leader, and [`Message::VerifyLeader`] asks whether it still leads.
//!   They cost a round of heartbeats, shared by all that wait; where clocks can be trusted within a bound, a cluster may be founded with
//!   [`Leases`], which save it. What may be out of date by a stated number of ticks is read by [`Message::ReadWithin`].
//! - **Commands that must not be done twice** carry a session: [`Sessions`] is a table that the state machine embeds, and saves in its
//!   snapshots by [`encode_sessions`]; it shows how.
//! - **Time** as a state machine may see it is the log time of entries ([`Entry::time`]), which is the same on every server; with
//!   [`Config::timer_ticks`] the leader appends a [`Payload::Timer`] whenever it passes a multiple of an interval.
//! - **Leadership** moves by [`Message::Transfer`], [`Message::Campaign`] and [`Message::StepDown`]; [`Node::status`] and
//!   [`Node::followers`] say who and how far everybody is.
//! - **Changing the servers**: [`Message::Reconfigure`] with a [`Change`]; a new server has an empty disk, starts with the identity of
//!   the cluster and waits, best as [`Suffrage::Staging`]: it gets its vote once it has caught up. [`Event::Membership`] says whom to
//!   be connected to from then on: all of [`Membership::members`].
//! - **Snapshots** keep the log short: save the state machine as it is right after an entry that it has applied, make that durable, and
//!   step [`Message::SnapshotTaken`]. The write that follows says what the log lacks from then on ([`Compaction`]); what is before that
//!   may be deleted once the write is durable, and reading it answers [`Fetched::Compacted`]. What is deleted of the disk itself is for
//!   it to say: [`encode_recovered`] puts what many writes have come to in the place of them ([`Recovered`] has a drawing). A server whose log lacks what its state
//!   machine needs asks for [`Ready::restore`], at a start too. Where a follower needs what is gone, [`Ready::snapshots`] asks for the
//!   bytes to be sent; its packet is handed to the receiver when it has them all, durable.
//! - **A state made elsewhere** takes the place of the state machine by [`Message::Import`]: an entry that only servers take which have the
//!   bytes. Those that lack them are told where to get them, by [`Ready::obtain`].
//! - **When most disks are gone**, [`recover`] makes another cluster of what one has, and [`Recovered::lost`] keeps one that has lost the
//!   end of its log from doing harm until it has it back.
//! - **Recorded runs**: [`RecordedStart`] and a [`RecordedStep`] for each step are all of a run; [`Recording`] and [`Replay`] make it again
//!   elsewhere, and compare byte for byte. With the feature `serde` they can be JSON too.
//! - **Upgrades** go one server at a time: every packet says which [`Versions`] its sender speaks, and those whose ranges meet understand
//!   each other; of others there is an [`Event::WrongVersion`].
//! - **[`Event::Fault`]** is the end of this node: say why, stop the process, and look at the disk before starting it again.
//!   Never start it from an older copy of its disk: it would have forgotten what it promised.
//!
//! # What is promised
//!
//! - **Total.** `step` takes any message, in any order, without error or panic. Refusals are values; a driver or peer that
//!   contradicts itself halts the node with an [`Event::Fault`]. A panic is a bug of this crate.
//! - **Pure.** Equal nodes and equal messages give equal nodes and equal answers: [`Node`] is `Clone + Eq + Hash`.
//! - **Bounded.** Every queue, batch and window has its limit in [`Config`].
//! - **Every request gets exactly one answer** ([`Outcome`]), as long as the node is stepped: committed, readable, refused and certainly
//!   without effect, or lost with leadership …
//! - `no_std`, with `alloc`; no `unsafe`. Debug builds check the [invariants](Node::invariants) after every step.
#![no_std]
#![warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core)]

extern crate alloc;

mod identity;
mod position;
mod quorum;
mod entry;
mod membership;
mod config;
mod snapshot;
mod packet;
mod write;
mod message;
mod ready;
mod status;

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
mod compaction;
mod leases;
mod reads;
mod replication;
mod forwarding;
mod timers;
mod transfer;
mod staging;
mod import;
mod sessions;
mod recovery;
mod cleanup;
mod reconfiguration;
mod renaming;
mod step;
mod invariants;

mod encoding;
mod recording;

#[cfg(feature = "marks")]
pub mod marks;
#[cfg(not(feature = "marks"))]
mod marks;

/// Shared bytes, as commands and responses are made of: the type of the crate `bytes`.
pub use bytes::Bytes;

pub use crate::config::{Config, ConfigError};
pub use crate::encoding::{
    DecodeError, decode_entry, decode_membership, decode_packet, decode_recovered, decode_sessions,
    decode_write, encode_entry, encode_membership, encode_packet, encode_recovered, encode_sessions,
    encode_write,
};
pub use crate::entry::{Entry, Payload, Run, RunError, Runs};
pub use crate::identity::{Boot, ClusterId, Identity, Incarnation, NodeId, Pair, ParseIdentityError};
pub use crate::invariants::Broken;
pub use crate::leases::{Leases, LeasesError};
pub use crate::membership::{Membership, MembershipError, Server, Suffrage};
pub use crate::message::{Change, Commands, Fetched, Message};
pub use crate::node::{Node, StartError};
pub use crate::packet::{Body, Packet, Versions};
pub use crate::position::{
    Attempt, FetchNumber, LogIndex, LogTime, Position, RequestId, Round, SendNumber, Term, Token, WriteNumber,
};
pub use crate::ready::{Answer, Event, Fault, Fetch, Obtain, Outcome, Ready, Refusal, RoleKind};
pub use crate::recording::{Difference, RecordedStart, RecordedStep, Recording, RecordingError, Replay};
pub use crate::recovery::{Recovery, RecoveryError, recover};
pub use crate::renaming::{Renaming, RoundOf};
pub use crate::sessions::{Applied, SessionId, SessionLimits, SessionRefusal, Sessions};
pub use crate::snapshot::{Compaction, Digest, Import, SendSnapshot, Snapshot};
pub use crate::status::{FollowerStatus, Status};
pub use crate::write::{Bootstrap, BootstrapError, HardState, RecoverError, Recovered, Write, bootstrap};
