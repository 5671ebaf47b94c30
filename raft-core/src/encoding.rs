//! The encoding: protobuf on the outside, the strong types within. Decoding validates: what comes out can stand in a log
//! or reach a node, what can not be is a typed error, and no input makes it panic. The published schema is
//! `proto/raft_core.proto`; the generated structs stay inside this module.
//!
//! Decoding copies no payload: commands are slices of the buffer that came in.

#[rustfmt::skip]
#[expect(unreachable_pub, reason = "generated code says `pub` and is kept private as a whole")]
mod generated;

mod bulk;
#[cfg(feature = "serde")]
mod json;
mod ready;
mod recording;
mod recovered;
mod sessions;

pub(crate) use self::ready::{differences, encode_ready};
pub(crate) use self::recording::{decode_start, decode_step, encode_start, encode_step};
pub use self::recovered::{decode_recovered, encode_recovered};
pub use self::sessions::{decode_sessions, encode_sessions};

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use prost::Message as _;
use prost::encoding::{encode_varint, encoded_len_varint};

use self::generated as wire;
use crate::entry::{Entry, RunError, Runs};
use crate::identity::{Boot, ClusterId, Incarnation, NodeId, Pair};
use crate::leases::{Leases, LeasesError};
use crate::membership::{Membership, MembershipError, Server, Suffrage};
use crate::message::Commands;
use crate::packet::{Body, Packet, Versions};
use crate::position::{Attempt, LogIndex, LogTime, Position, Round, Term, Token, WriteNumber};
use crate::ready::{Outcome, Refusal};
use crate::snapshot::{Compaction, Digest, Import, Snapshot};
use crate::write::{HardState, Write};

/// Why bytes are not what they should be. All of them say that the sender or the disk is broken, or newer than this.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not protobuf of this schema.
    Malformed,
    /// This field is missing.
    Missing(&'static str),
    /// A server id is 0.
    ZeroId,
    /// A kind of packet, entry or suffrage that this version does not know.
    Unknown(&'static str),
    /// A packet that this version does not know, from a sender that speaks these versions only.
    Versions(Versions),
    /// A configuration that is not sorted, or not valid.
    Membership(Option<MembershipError>),
    /// A configuration with leases that can not be.
    Leases(LeasesError),
    /// Entries that can not stand in a log.
    Entries(RunError),
    /// A session table that can not have come to be; the text says what does not hold.
    Sessions(&'static str),
    /// An index is above [`LogIndex::MAX`].
    Index,
    /// An entry's term is above the term of what carries it, or below the term of what it follows.
    EntryTerm,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Malformed => f.write_str("not protobuf of this schema"),
            DecodeError::Missing(field) => write!(f, "the field {field} is missing"),
            DecodeError::ZeroId => f.write_str("a server id is 0"),
            DecodeError::Unknown(what) => write!(f, "a {what} that this version does not know"),
            DecodeError::Versions(theirs) => {
                write!(
                    f,
                    "its sender speaks versions {theirs} of the protocol, and this server {}",
                    Versions::OURS
                )
            }
            DecodeError::Membership(Some(why)) => write!(f, "an invalid configuration: {why}"),
            DecodeError::Membership(None) => f.write_str("a configuration that is not sorted by id"),
            DecodeError::Leases(why) => write!(f, "{why}"),
            DecodeError::Entries(why) => write!(f, "{why}"),
            DecodeError::Sessions(why) => write!(f, "a session table of which it does not hold that {why}"),
            DecodeError::Index => f.write_str("an index above 9223372036854775807"),
            DecodeError::EntryTerm => f.write_str("the term of an entry does not fit where it stands"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Encodes a packet: protobuf, the message `Packet` of `proto/raft_core.proto`. It does not say how long it is: a stream needs frames
/// around it. [`decode_packet`] is the way back.
pub fn encode_packet(packet: &Packet) -> Vec<u8> {
    let head = wire_packet(packet);
    let Body::Append { previous, commit, entries } = &packet.body else {
        return head.encode_to_vec();
    };
    let (previous, commit) = (Some(wire_position(*previous)), commit.raw());
    let body = wire::Append { previous, commit, runs: Vec::new() };
    let body_len = body.encoded_len() + bulk::runs_len(entries);
    let lens = encoded_len_varint(PACKET_APPEND) + encoded_len_varint(body_len as u64);
    let mut out = Vec::with_capacity(head.encoded_len() + lens + body_len);
    // Protobuf writes fields in the order of their numbers: the body of a packet comes last, and so do the runs in it.
    put(&head, &mut out);
    encode_varint(PACKET_APPEND, &mut out);
    encode_varint(body_len as u64, &mut out);
    put(&body, &mut out);
    bulk::put_runs(APPEND_RUN, entries, &mut out);
    out
}

// The keys of fields that hold bytes with their length before them: number × 8 + 2.
const PACKET_APPEND: u64 = 18 * 8 + 2;
const APPEND_RUN: u8 = 3 * 8 + 2;
const WRITE_RUN: u8 = 6 * 8 + 2;

fn put(message: &impl prost::Message, out: &mut Vec<u8>) {
    let encoded = message.encode(out);
    debug_assert!(encoded.is_ok(), "a vector has room for everything");
}

/// Decodes a packet. Its commands are slices of `bytes`, and keep them in memory.
///
/// # Errors
/// Where the bytes are not a valid packet. They are to be dropped then, like a packet that was lost.
pub fn decode_packet(bytes: Bytes) -> Result<Packet, DecodeError> {
    packet(wire::Packet::decode(bytes).map_err(|_| DecodeError::Malformed)?)
}

fn packet(packet: wire::Packet) -> Result<Packet, DecodeError> {
    let term = Term::new(packet.term);
    let versions = Versions { first: packet.version_first, last: packet.version_last };
    if packet.body.is_none() && !Versions::OURS.meet(versions) {
        return Err(DecodeError::Versions(versions));
    }
    Ok(Packet {
        cluster: ClusterId::new(join(packet.cluster_high, packet.cluster_low)),
        from: pair(packet.from.as_ref().ok_or(DecodeError::Missing("from"))?)?,
        boot: Boot::new(packet.boot),
        to: pair(packet.to.as_ref().ok_or(DecodeError::Missing("to"))?)?,
        term,
        body: body(packet.body.ok_or(DecodeError::Unknown("packet"))?, term)?,
        versions,
    })
}

/// Encodes an entry, without its position: as it came, where it came with fields that this version does not know.
pub fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(bulk::entry_len(entry));
    bulk::put_entry(entry, &mut out);
    out
}

/// Decodes an entry. A command is a slice of `bytes`, and keeps them in memory.
///
/// # Errors
/// Where the bytes are not a valid entry. One with fields of a newer version is valid, and keeps them.
#[expect(clippy::needless_pass_by_value, reason = "all decoders take the bytes that they are to keep alive")]
pub fn decode_entry(bytes: Bytes) -> Result<Entry, DecodeError> {
    bulk::entry(&bytes, 0, bytes.len())
}

/// Encodes a configuration. Equal configurations have equal encodings, and the digest of the founding one's is the cluster
/// id.
pub fn encode_membership(membership: &Membership) -> Vec<u8> {
    wire_membership(membership).encode_to_vec()
}

impl Membership {
    /// The id of the cluster that this configuration founds: the digest (XXH3, 128 bits) of its encoding.
    pub fn cluster_id(&self) -> ClusterId {
        ClusterId::new(xxhash_rust::xxh3::xxh3_128(&encode_membership(self)))
    }
}

/// The id of the cluster that a recovery makes of a log of `cluster`, by an entry at `position`.
pub(crate) fn refounded_id(cluster: ClusterId, position: Position, membership: &Membership) -> ClusterId {
    let refounding = wire::Refounding {
        cluster: Some(wire_cluster(cluster)),
        position: Some(wire_position(position)),
        membership: Some(wire_membership(membership)),
    };
    ClusterId::new(xxhash_rust::xxh3::xxh3_128(&refounding.encode_to_vec()))
}

/// Decodes a configuration, joint or not.
///
/// # Errors
/// Where the bytes are not a valid configuration: sorted by id, and each half as [`Membership::new`] would take it.
pub fn decode_membership(bytes: Bytes) -> Result<Membership, DecodeError> {
    membership(wire::Membership::decode(bytes).map_err(|_| DecodeError::Malformed)?)
}

/// Encodes a write batch, for a disk: protobuf, the message `Write` of `proto/raft_core.proto`. It has neither a length nor a checksum:
/// whoever writes it to a file puts both before it. [`decode_write`] is the way back.
pub fn encode_write(write: &Write) -> Vec<u8> {
    let head = wire::Write {
        number: write.number.raw(),
        term: write.hard_state.term.raw(),
        vote: write.hard_state.vote.map(wire_pair),
        commit: write.commit.raw(),
        first: write.entries.first().map_or(0, LogIndex::raw),
        runs: Vec::new(),
        compaction: None,
        refounds: None,
    };
    let mut out = Vec::with_capacity(head.encoded_len() + bulk::runs_len(&write.entries));
    put(&head, &mut out);
    bulk::put_runs(WRITE_RUN, &write.entries, &mut out);
    if write.compaction.is_some() || write.refounds.is_some() {
        let compaction = write.compaction.as_deref().map(wire_compaction);
        let refounds = write.refounds.as_deref().copied().map(wire_cluster);
        put(&wire::Write { compaction, refounds, ..Default::default() }, &mut out);
    }
    out
}

/// Decodes a write batch. Its commands are slices of `bytes`, and keep them in memory.
///
/// # Errors
/// Where the bytes are not a valid write batch: the disk is damaged, or was written by a newer version.
pub fn decode_write(bytes: Bytes) -> Result<Write, DecodeError> {
    let write = wire::Write::decode(bytes).map_err(|_| DecodeError::Malformed)?;
    let hard_state =
        HardState { term: Term::new(write.term), vote: write.vote.as_ref().map(pair).transpose()? };
    let entries = if write.runs.is_empty() {
        Runs::new()
    } else {
        runs(&write.runs, index(write.first)?, Term::ZERO, hard_state.term)?
    };
    let compaction = write.compaction.map(|one| compaction(one, hard_state.term)).transpose()?.map(Box::new);
    let (number, commit) = (WriteNumber::new(write.number), index(write.commit)?);
    let refounds = write.refounds.map(|cluster| Box::new(ClusterId::new(join(cluster.high, cluster.low))));
    Ok(Write { number, hard_state, entries, compaction, refounds, commit })
}

// From the strong types to the wire.

const fn split(bits: u128) -> (u64, u64) {
    ((bits >> 64) as u64, bits as u64)
}

const fn join(high: u64, low: u64) -> u128 {
    ((high as u128) << 64) | low as u128
}

const fn wire_cluster(cluster: ClusterId) -> wire::ClusterId {
    let (high, low) = split(cluster.raw());
    wire::ClusterId { high, low }
}

const fn wire_pair(pair: Pair) -> wire::Pair {
    let (incarnation_high, incarnation_low) = split(pair.incarnation.raw());
    wire::Pair { id: pair.id.raw(), incarnation_high, incarnation_low }
}

const fn wire_import(import: Import) -> wire::Import {
    let (digest_high, digest_low) = split(import.digest.raw());
    wire::Import { size: import.size, digest_high, digest_low }
}

const fn wire_position(position: Position) -> wire::Position {
    wire::Position { term: position.term.raw(), index: position.index.raw() }
}

fn wire_server(server: &Server) -> wire::Server {
    let suffrage = match server.suffrage {
        Suffrage::Voter => wire::Suffrage::Voter,
        Suffrage::Learner => wire::Suffrage::Learner,
        Suffrage::Staging => wire::Suffrage::Staging,
    };
    wire::Server {
        pair: Some(wire_pair(server.pair)),
        suffrage: suffrage.into(),
        raft_address: server.raft_address.clone(),
        client_address: server.client_address.clone(),
    }
}

fn wire_membership(membership: &Membership) -> wire::Membership {
    wire::Membership {
        servers: membership.servers().iter().map(wire_server).collect(),
        outgoing: membership.outgoing().iter().map(wire_server).collect(),
        leases: membership.leases().map(|leases| wire::Leases {
            election_timeout_ticks: leases.election_timeout_ticks(),
            drift_ppm: leases.drift_ppm(),
            tick_nanos: leases.tick_nanos(),
        }),
    }
}

fn wire_snapshot(snapshot: &Snapshot) -> wire::Snapshot {
    let (cluster_high, cluster_low) = split(snapshot.cluster.raw());
    let (digest_high, digest_low) = split(snapshot.digest.raw());
    wire::Snapshot {
        cluster_high,
        cluster_low,
        last: Some(wire_position(snapshot.last)),
        time: snapshot.time.raw(),
        membership_index: snapshot.membership_index.raw(),
        membership: Some(wire_membership(&snapshot.membership)),
        size: snapshot.size,
        digest_high,
        digest_low,
    }
}

fn wire_compaction(compaction: &Compaction) -> wire::Compaction {
    wire::Compaction {
        snapshot: Some(wire_snapshot(&compaction.snapshot)),
        start: Some(wire_position(compaction.start)),
        discards: compaction.discards,
    }
}

/// A packet but for the entries of an append.
fn wire_packet(packet: &Packet) -> wire::Packet {
    let (cluster_high, cluster_low) = split(packet.cluster.raw());
    wire::Packet {
        cluster_high,
        cluster_low,
        from: Some(wire_pair(packet.from)),
        boot: packet.boot.raw(),
        to: Some(wire_pair(packet.to)),
        term: packet.term.raw(),
        version_first: packet.versions.first,
        version_last: packet.versions.last,
        body: wire_body(&packet.body),
    }
}

/// A body; `None` for an append, which is written behind the rest without a copy.
fn wire_body(body: &Body) -> Option<wire::packet::Body> {
    use wire::packet::Body as WireBody;
    Some(match body {
        Body::RequestVote { last, transfer } => {
            WireBody::RequestVote(wire::RequestVote { last: Some(wire_position(*last)), transfer: *transfer })
        }
        Body::Vote { boot, granted } => WireBody::Vote(wire::Vote { boot: boot.raw(), granted: *granted }),
        Body::RequestPreVote { attempt, last } => WireBody::RequestPreVote(wire::RequestPreVote {
            attempt: attempt.raw(),
            last: Some(wire_position(*last)),
        }),
        Body::PreVote { boot, attempt, granted } => {
            let (boot, attempt) = (boot.raw(), attempt.raw());
            WireBody::PreVote(wire::PreVote { boot, attempt, granted: *granted })
        }
        Body::TimeoutNow => WireBody::TimeoutNow(wire::TimeoutNow {}),
        Body::Append { .. } => return None,
        Body::Heartbeat { round, commit } => {
            WireBody::Heartbeat(wire::Heartbeat { round: round.raw(), commit: commit.raw() })
        }
        Body::Commit { commit } => WireBody::Commit(wire::Commit { commit: commit.raw() }),
        Body::Acknowledge { boot, round, held, durable } => WireBody::Acknowledge(wire::Acknowledge {
            boot: boot.raw(),
            round: round.map(Round::raw),
            held: held.raw(),
            durable: durable.raw(),
        }),
        Body::Removed { last } => WireBody::Removed(wire::Removed { last: Some(wire_position(*last)) }),
        Body::AskReadIndex { token } => WireBody::AskReadIndex(wire::AskReadIndex { token: token.raw() }),
        Body::ReadIndex { boot, token, index } => {
            WireBody::ReadIndex(wire::ReadIndex { boot: boot.raw(), token: token.raw(), index: index.raw() })
        }
        Body::InstallSnapshot { snapshot } => {
            WireBody::InstallSnapshot(wire::InstallSnapshot { snapshot: Some(wire_snapshot(snapshot)) })
        }
        Body::Propose { token, commands } => {
            let commands = commands.as_slice().to_vec();
            WireBody::Propose(wire::Propose { token: token.raw(), commands })
        }
        Body::Proposed { boot, token, outcome } => WireBody::Proposed(wire::Proposed {
            boot: boot.raw(),
            token: token.raw(),
            outcome: wire_proposed(outcome),
        }),
        Body::NewerTerm => WireBody::NewerTerm(wire::NewerTerm {}),
        Body::Reject { boot, previous, hint, hint_first } => WireBody::Reject(wire::Reject {
            boot: boot.raw(),
            previous: Some(wire_position(*previous)),
            hint: Some(wire_position(*hint)),
            hint_first: hint_first.raw(),
        }),
    })
}

/// What came of a proposal of another server; `None` for what is never said of one.
fn wire_proposed(outcome: &Outcome) -> Option<wire::proposed::Outcome> {
    use wire::proposed::Outcome as WireOutcome;
    let span = |first: &Position, last: &Position| wire::Span {
        first: Some(wire_position(*first)),
        last: Some(wire_position(*last)),
    };
    Some(match outcome {
        Outcome::Committed { first, last } => WireOutcome::Committed(span(first, last)),
        Outcome::Lost { first, last } => WireOutcome::Lost(span(first, last)),
        Outcome::Replaced { first, last } => WireOutcome::Replaced(span(first, last)),
        Outcome::Refused(refusal) => {
            let (why, to) = match refusal {
                Refusal::Busy => (wire::Refusal::Busy, None),
                Refusal::Empty => (wire::Refusal::Empty, None),
                Refusal::TooLarge => (wire::Refusal::TooLarge, None),
                Refusal::Transferring { to } => (wire::Refusal::Transferring, Some(wire_pair(*to))),
                _ => return None,
            };
            WireOutcome::Refused(wire::Refused { why: why.into(), to })
        }
        _ => return None,
    })
}

// From the wire to the strong types.

fn outcome(outcome: wire::proposed::Outcome, term: Term) -> Result<Outcome, DecodeError> {
    use wire::proposed::Outcome as WireOutcome;
    let span = |span: wire::Span| -> Result<(Position, Position), DecodeError> {
        let (first, last) = (position(span.first)?, position(span.last)?);
        if last.index < first.index {
            return Err(DecodeError::Index);
        }
        if term < last.term {
            return Err(DecodeError::EntryTerm);
        }
        Ok((first, last))
    };
    Ok(match outcome {
        WireOutcome::Committed(one) => span(one).map(|(first, last)| Outcome::Committed { first, last })?,
        WireOutcome::Lost(one) => span(one).map(|(first, last)| Outcome::Lost { first, last })?,
        WireOutcome::Replaced(one) => span(one).map(|(first, last)| Outcome::Replaced { first, last })?,
        WireOutcome::Refused(refused) => Outcome::Refused(match refused.why() {
            wire::Refusal::Busy => Refusal::Busy,
            wire::Refusal::Empty => Refusal::Empty,
            wire::Refusal::TooLarge => Refusal::TooLarge,
            wire::Refusal::Transferring => {
                Refusal::Transferring { to: pair(refused.to.as_ref().ok_or(DecodeError::Missing("to"))?)? }
            }
            wire::Refusal::Unspecified => return Err(DecodeError::Unknown("refusal")),
        }),
    })
}

fn pair(pair: &wire::Pair) -> Result<Pair, DecodeError> {
    let id = NodeId::new(pair.id).ok_or(DecodeError::ZeroId)?;
    Ok(Pair { id, incarnation: Incarnation::new(join(pair.incarnation_high, pair.incarnation_low)) })
}

const fn import_of(import: wire::Import) -> Import {
    Import { size: import.size, digest: Digest::new(join(import.digest_high, import.digest_low)) }
}

const fn index(raw: u64) -> Result<LogIndex, DecodeError> {
    if LogIndex::MAX.raw() < raw { Err(DecodeError::Index) } else { Ok(LogIndex::new(raw)) }
}

/// A message field that is all zeros may be left out by other encoders, so a missing position is the zero one.
fn position(position: Option<wire::Position>) -> Result<Position, DecodeError> {
    let position = position.unwrap_or_default();
    Ok(Position { term: Term::new(position.term), index: index(position.index)? })
}

/// Entries from `first` on, their terms from `lowest` to `highest`.
fn runs(runs: &[Bytes], first: LogIndex, lowest: Term, highest: Term) -> Result<Runs, DecodeError> {
    let mut all = Runs::new();
    let mut next = first;
    for bytes in runs {
        let run = bulk::run(bytes, next)?;
        if run.term() < lowest || highest < run.term() {
            return Err(DecodeError::EntryTerm);
        }
        next = run.last().next();
        all.push(run).map_err(DecodeError::Entries)?;
    }
    Ok(all)
}

fn server(server: wire::Server) -> Result<Server, DecodeError> {
    let suffrage = match server.suffrage() {
        wire::Suffrage::Voter => Suffrage::Voter,
        wire::Suffrage::Learner => Suffrage::Learner,
        wire::Suffrage::Staging => Suffrage::Staging,
        wire::Suffrage::Unspecified => return Err(DecodeError::Unknown("suffrage")),
    };
    Ok(Server {
        pair: pair(server.pair.as_ref().ok_or(DecodeError::Missing("pair"))?)?,
        suffrage,
        raft_address: server.raft_address,
        client_address: server.client_address,
    })
}

fn membership(membership: wire::Membership) -> Result<Membership, DecodeError> {
    let half = |servers: Vec<wire::Server>| {
        let servers = servers.into_iter().map(server).collect::<Result<Vec<_>, _>>()?;
        if !servers.is_sorted_by(|a, b| a.pair.id < b.pair.id) {
            return Err(DecodeError::Membership(None));
        }
        Membership::new(servers).map_err(|why| DecodeError::Membership(Some(why)))
    };
    let leases = membership.leases.map(|leases| {
        Leases::new(leases.election_timeout_ticks, leases.drift_ppm, leases.tick_nanos)
            .map_err(DecodeError::Leases)
    });
    let leases = leases.transpose()?;
    let incoming = half(membership.servers)?.with_leases(leases);
    if membership.outgoing.is_empty() {
        Ok(incoming)
    } else {
        Ok(half(membership.outgoing)?.with_leases(leases).joint(&incoming))
    }
}

fn snapshot(snapshot: Option<wire::Snapshot>, highest: Term) -> Result<Arc<Snapshot>, DecodeError> {
    let snapshot = snapshot.ok_or(DecodeError::Missing("snapshot"))?;
    let (last, membership_index) = (position(snapshot.last)?, index(snapshot.membership_index)?);
    if membership_index == LogIndex::ZERO || last.index < membership_index {
        return Err(DecodeError::Index);
    }
    if highest < last.term {
        return Err(DecodeError::EntryTerm);
    }
    Ok(Arc::new(Snapshot {
        cluster: ClusterId::new(join(snapshot.cluster_high, snapshot.cluster_low)),
        last,
        time: LogTime::new(snapshot.time),
        membership: Arc::new(membership(snapshot.membership.ok_or(DecodeError::Missing("membership"))?)?),
        membership_index,
        size: snapshot.size,
        digest: Digest::new(join(snapshot.digest_high, snapshot.digest_low)),
    }))
}

fn compaction(compaction: wire::Compaction, highest: Term) -> Result<Compaction, DecodeError> {
    let snapshot = snapshot(compaction.snapshot, highest)?;
    let (start, discards) = (position(compaction.start)?, compaction.discards);
    if snapshot.last < start || snapshot.last.index < start.index || discards && start != snapshot.last {
        return Err(DecodeError::Index);
    }
    Ok(Compaction { snapshot, start, discards })
}

fn body(body: wire::packet::Body, term: Term) -> Result<Body, DecodeError> {
    use wire::packet::Body as WireBody;
    Ok(match body {
        WireBody::RequestVote(vote) => {
            let last = position(vote.last)?;
            if term <= last.term {
                return Err(DecodeError::EntryTerm);
            }
            Body::RequestVote { last, transfer: vote.transfer }
        }
        WireBody::Vote(vote) => Body::Vote { boot: Boot::new(vote.boot), granted: vote.granted },
        WireBody::RequestPreVote(vote) => {
            let last = position(vote.last)?;
            if term < last.term {
                return Err(DecodeError::EntryTerm);
            }
            Body::RequestPreVote { attempt: Attempt::new(vote.attempt), last }
        }
        WireBody::PreVote(vote) => Body::PreVote {
            boot: Boot::new(vote.boot),
            attempt: Attempt::new(vote.attempt),
            granted: vote.granted,
        },
        WireBody::TimeoutNow(_) => Body::TimeoutNow,
        WireBody::Append(append) => {
            let previous = position(append.previous)?;
            if append.runs.is_empty() {
                return Err(DecodeError::Entries(RunError::Empty));
            }
            let entries = runs(&append.runs, previous.index.next(), previous.term, term)?;
            Body::Append { previous, commit: index(append.commit)?, entries }
        }
        WireBody::Heartbeat(heartbeat) => {
            Body::Heartbeat { round: Round::new(heartbeat.round), commit: index(heartbeat.commit)? }
        }
        WireBody::Commit(commit) => Body::Commit { commit: index(commit.commit)? },
        WireBody::Acknowledge(acknowledge) => Body::Acknowledge {
            boot: Boot::new(acknowledge.boot),
            round: acknowledge.round.map(Round::new),
            held: index(acknowledge.held)?,
            durable: index(acknowledge.durable)?,
        },
        WireBody::Removed(removed) => Body::Removed { last: position(removed.last)? },
        WireBody::AskReadIndex(ask) => Body::AskReadIndex { token: Token::new(ask.token) },
        WireBody::ReadIndex(told) => Body::ReadIndex {
            boot: Boot::new(told.boot),
            token: Token::new(told.token),
            index: index(told.index)?,
        },
        WireBody::InstallSnapshot(install) => {
            Body::InstallSnapshot { snapshot: snapshot(install.snapshot, term)? }
        }
        WireBody::Propose(propose) => {
            let mut commands = propose.commands;
            let commands = match commands.pop() {
                Some(one) if commands.is_empty() => Commands::One(one),
                Some(last) => {
                    commands.push(last);
                    Commands::Many(commands)
                }
                None => return Err(DecodeError::Missing("commands")),
            };
            Body::Propose { token: Token::new(propose.token), commands }
        }
        WireBody::Proposed(proposed) => Body::Proposed {
            boot: Boot::new(proposed.boot),
            token: Token::new(proposed.token),
            outcome: outcome(proposed.outcome.ok_or(DecodeError::Missing("outcome"))?, term)?,
        },
        WireBody::NewerTerm(_) => Body::NewerTerm,
        WireBody::Reject(reject) => Body::Reject {
            boot: Boot::new(reject.boot),
            previous: position(reject.previous)?,
            hint: position(reject.hint)?,
            hint_first: index(reject.hint_first)?,
        },
    })
}
