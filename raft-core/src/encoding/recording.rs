//! The encoding of recorded runs: what a node was made of, and what was handed to it. What is read back is as strong as what comes from
//! a peer or a disk.

use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message as _;

use super::ready::wire_whole_packet;
use super::recovered::{recovered, wire_recovered};
use super::{DecodeError, bulk, import_of, index, join, packet, pair, runs, server};
use super::{split, wire, wire_cluster, wire_import, wire_pair, wire_position, wire_server};
use crate::config::Config;
use crate::entry::{RunError, Runs};
use crate::identity::{Boot, ClusterId, Identity, NodeId};
use crate::message::{Change, Commands, Fetched, Message};
use crate::position::{FetchNumber, LogIndex, LogTime, Position, RequestId, SendNumber, Term, WriteNumber};
use crate::recording::{RecordedStart, RecordedStep};
use crate::snapshot::{Digest, Import};

/// Encodes what a node was made of: the message `RecordedStart` of `proto/raft_core.proto`.
pub(crate) fn encode_start(start: &RecordedStart) -> Vec<u8> {
    wire_start(start).encode_to_vec()
}

pub(crate) fn decode_start(bytes: Bytes) -> Result<RecordedStart, DecodeError> {
    start(wire::RecordedStart::decode(bytes).map_err(|_| DecodeError::Malformed)?)
}

/// Encodes a step: the message `RecordedStep` of `proto/raft_core.proto`.
pub(crate) fn encode_step(step: &RecordedStep) -> Vec<u8> {
    wire_step(step).encode_to_vec()
}

pub(crate) fn decode_step(bytes: Bytes) -> Result<RecordedStep, DecodeError> {
    step(wire::RecordedStep::decode(bytes).map_err(|_| DecodeError::Malformed)?)
}

// From the strong types to the wire.

pub(super) fn wire_start(start: &RecordedStart) -> wire::RecordedStart {
    wire::RecordedStart {
        config: Some(wire_config(&start.config)),
        cluster: Some(wire_cluster(start.identity.cluster)),
        pair: Some(wire_pair(start.identity.pair)),
        boot: start.identity.boot.raw(),
        recovered: Some(wire_recovered(&start.recovered)),
    }
}

pub(super) fn wire_step(step: &RecordedStep) -> wire::RecordedStep {
    let messages =
        step.messages.iter().map(|message| wire::RecordedMessage { message: Some(wire_message(message)) });
    wire::RecordedStep { messages: messages.collect(), ready: Bytes::clone(&step.ready) }
}

/// Both ways, so that neither can forget a setting: without `..` a setting that is added does not compile.
macro_rules! config_fields {
    ($from:path, $to:path, $config:expr) => {{
        config_fields!($from, $to, $config,
            seed election_timeout_ticks heartbeat_ticks disk_stall_ticks pre_vote dead_after_ticks command_bytes_max
            tail_bytes_max terms_max append_bytes_max append_entries_max in_flight_packets_max in_flight_bytes_max
            uncommitted_bytes_max proposals_max forward_ticks timer_ticks reads_max writes_outstanding_max
            apply_bytes_max fetch_bytes_max trailing_entries apply_before_durable)
    }};
    ($from:path, $to:path, $config:expr, $($field:ident)*) => {{
        let $from { $($field),* } = $config;
        $to { $($field),* }
    }};
}

fn wire_config(config: &Config) -> wire::RecordedConfig {
    config_fields!(Config, wire::RecordedConfig, *config)
}

/// `None` where there are no entries.
pub(super) fn wire_entries(runs: &Runs) -> Option<wire::RecordedEntries> {
    runs.first().map(|first| wire::RecordedEntries { first: first.raw(), runs: wire_joined(runs) })
}

/// Encoded runs, as long as they can be.
pub(super) fn wire_joined(runs: &Runs) -> Vec<Bytes> {
    let mut joined: Vec<wire::Run> = Vec::new();
    for run in runs.iter() {
        let entries = run.entries().iter().map(|entry| {
            let mut bytes = Vec::with_capacity(bulk::entry_len(entry));
            bulk::put_entry(entry, &mut bytes);
            Bytes::from(bytes)
        });
        match joined.last_mut().filter(|last| last.term == run.term().raw()) {
            Some(last) => last.entries.extend(entries),
            None => joined.push(wire::Run { term: run.term().raw(), entries: entries.collect() }),
        }
    }
    joined.iter().map(|run| run.encode_to_vec().into()).collect()
}

fn wire_message(message: &Message) -> wire::recorded_message::Message {
    use wire::recorded_message as on;
    use wire::recorded_message::Message as Wire;
    let nothing = wire::Noop {};
    let propose = |id: &RequestId, commands: &Commands| on::Propose {
        id: id.raw(),
        commands: commands.as_slice().to_vec(),
    };
    match message {
        Message::Tick { elapsed } => Wire::Tick(*elapsed),
        Message::Packet(packet) => Wire::Packet(wire_whole_packet(packet)),
        Message::Propose { id, commands } => Wire::Propose(propose(id, commands)),
        Message::Forward { id, commands } => Wire::Forward(propose(id, commands)),
        Message::Import { id, import } => {
            Wire::Import(on::Import { id: id.raw(), import: Some(wire_import(*import)) })
        }
        Message::Obtained(import) => Wire::Obtained(wire_import(*import)),
        Message::Read { id } => Wire::Read(id.raw()),
        Message::ReadWithin { id, ticks } => Wire::ReadWithin(on::ReadWithin { id: id.raw(), ticks: *ticks }),
        Message::Barrier { id } => Wire::Barrier(id.raw()),
        Message::VerifyLeader { id } => Wire::VerifyLeader(id.raw()),
        Message::Reconfigure { id, change, based_on } => Wire::Reconfigure(on::Reconfigure {
            id: id.raw(),
            based_on: based_on.map(LogIndex::raw),
            change: Some(wire_change(change)),
        }),
        Message::Transfer { id, to } => {
            Wire::Transfer(on::Transfer { id: id.raw(), to: to.map(NodeId::raw) })
        }
        Message::Campaign => Wire::Campaign(nothing),
        Message::StepDown => Wire::StepDown(nothing),
        Message::ForgetLeader => Wire::ForgetLeader(nothing),
        Message::Synced(number) => Wire::Synced(number.raw()),
        Message::WriteFailed(number) => Wire::WriteFailed(number.raw()),
        Message::Applied(index) => Wire::Applied(index.raw()),
        Message::Fetched { number, result } => {
            let result = match result {
                Fetched::Entries(runs) => {
                    on::fetched::Result::Entries(wire_entries(runs).unwrap_or_default())
                }
                Fetched::Compacted => on::fetched::Result::Compacted(nothing),
                Fetched::Failed => on::fetched::Result::Failed(nothing),
            };
            Wire::Fetched(on::Fetched { number: number.raw(), result: Some(result) })
        }
        Message::SnapshotTaken { last, time, size, digest } => {
            let (digest_high, digest_low) = split(digest.raw());
            let (last, time) = (Some(wire_position(*last)), time.raw());
            Wire::SnapshotTaken(on::SnapshotTaken { last, time, size: *size, digest_high, digest_low })
        }
        Message::SnapshotSent { number, arrived } => {
            Wire::SnapshotSent(on::SnapshotSent { number: number.raw(), arrived: *arrived })
        }
    }
}

fn wire_change(change: &Change) -> wire::recorded_message::reconfigure::Change {
    use wire::recorded_message::reconfigure::Change as Wire;
    use wire::recorded_message::{Readdress, Servers};
    match change {
        Change::Set(servers) => Wire::Set(Servers { servers: servers.iter().map(wire_server).collect() }),
        Change::Add(server) => Wire::Add(wire_server(server)),
        Change::Remove(id) => Wire::Remove(id.raw()),
        Change::Promote(id) => Wire::Promote(id.raw()),
        Change::Demote(id) => Wire::Demote(id.raw()),
        Change::Readdress { id, raft_address, client_address } => Wire::Readdress(Readdress {
            id: id.raw(),
            raft_address: raft_address.to_string(),
            client_address: client_address.to_string(),
        }),
    }
}

// From the wire to the strong types.

pub(super) fn start(start: wire::RecordedStart) -> Result<RecordedStart, DecodeError> {
    let config = start.config.ok_or(DecodeError::Missing("config"))?;
    Ok(RecordedStart {
        config: config_fields!(wire::RecordedConfig, Config, config),
        identity: Identity {
            cluster: cluster(start.cluster)?,
            pair: pair(start.pair.as_ref().ok_or(DecodeError::Missing("pair"))?)?,
            boot: Boot::new(start.boot),
        },
        recovered: recovered(start.recovered.ok_or(DecodeError::Missing("recovered"))?)?,
    })
}

pub(super) fn step(step: wire::RecordedStep) -> Result<RecordedStep, DecodeError> {
    let messages = step.messages.into_iter().map(|one| {
        // Also one of a newer version.
        message(one.message.ok_or(DecodeError::Unknown("message"))?)
    });
    Ok(RecordedStep { messages: messages.collect::<Result<_, _>>()?, ready: step.ready })
}

pub(super) fn cluster(cluster: Option<wire::ClusterId>) -> Result<ClusterId, DecodeError> {
    let cluster = cluster.ok_or(DecodeError::Missing("cluster"))?;
    Ok(ClusterId::new(join(cluster.high, cluster.low)))
}

/// Entries, at least one, with terms up to `highest`.
pub(super) fn entries(entries: &wire::RecordedEntries, highest: Term) -> Result<Runs, DecodeError> {
    if entries.runs.is_empty() {
        return Err(DecodeError::Entries(RunError::Empty));
    }
    runs(&entries.runs, index(entries.first)?, Term::ZERO, highest)
}

fn node_id(id: u64) -> Result<NodeId, DecodeError> {
    NodeId::new(id).ok_or(DecodeError::ZeroId)
}

fn import(import: Option<wire::Import>) -> Import {
    // A message that is all zeros may be left out.
    import_of(import.unwrap_or_default())
}

fn commands(mut commands: Vec<Bytes>) -> Commands {
    match commands.len() {
        1 => Commands::One(commands.swap_remove(0)),
        _ => Commands::Many(commands),
    }
}

fn message(message: wire::recorded_message::Message) -> Result<Message, DecodeError> {
    use wire::recorded_message::Message as Wire;
    Ok(match message {
        Wire::Tick(elapsed) => Message::Tick { elapsed },
        Wire::Packet(one) => Message::Packet(packet(one)?),
        Wire::Propose(one) => {
            Message::Propose { id: RequestId::new(one.id), commands: commands(one.commands) }
        }
        Wire::Forward(one) => {
            Message::Forward { id: RequestId::new(one.id), commands: commands(one.commands) }
        }
        Wire::Import(one) => Message::Import { id: RequestId::new(one.id), import: import(one.import) },
        Wire::Obtained(import) => Message::Obtained(import_of(import)),
        Wire::Read(id) => Message::Read { id: RequestId::new(id) },
        Wire::ReadWithin(one) => Message::ReadWithin { id: RequestId::new(one.id), ticks: one.ticks },
        Wire::Barrier(id) => Message::Barrier { id: RequestId::new(id) },
        Wire::VerifyLeader(id) => Message::VerifyLeader { id: RequestId::new(id) },
        Wire::Reconfigure(one) => Message::Reconfigure {
            id: RequestId::new(one.id),
            change: change(one.change.ok_or(DecodeError::Unknown("change"))?)?,
            based_on: one.based_on.map(LogIndex::new),
        },
        Wire::Transfer(one) => {
            Message::Transfer { id: RequestId::new(one.id), to: one.to.map(node_id).transpose()? }
        }
        Wire::Campaign(_) => Message::Campaign,
        Wire::StepDown(_) => Message::StepDown,
        Wire::ForgetLeader(_) => Message::ForgetLeader,
        Wire::Synced(number) => Message::Synced(WriteNumber::new(number)),
        Wire::WriteFailed(number) => Message::WriteFailed(WriteNumber::new(number)),
        // An embedder may say any index, and a node takes it.
        Wire::Applied(applied) => Message::Applied(LogIndex::new(applied)),
        Wire::Fetched(one) => Message::Fetched {
            number: FetchNumber::new(one.number),
            result: fetched(one.result.ok_or(DecodeError::Unknown("result of a fetch"))?)?,
        },
        Wire::SnapshotTaken(one) => Message::SnapshotTaken {
            last: one.last.map_or(Position::ZERO, |last| Position::new(last.term, last.index)),
            time: LogTime::new(one.time),
            size: one.size,
            digest: Digest::new(join(one.digest_high, one.digest_low)),
        },
        Wire::SnapshotSent(one) => {
            Message::SnapshotSent { number: SendNumber::new(one.number), arrived: one.arrived }
        }
    })
}

fn fetched(result: wire::recorded_message::fetched::Result) -> Result<Fetched, DecodeError> {
    use wire::recorded_message::fetched::Result as Wire;
    Ok(match result {
        // No disk says so, but a node takes it.
        Wire::Entries(none) if none.runs.is_empty() => Fetched::Entries(Runs::new()),
        // The node checks the terms.
        Wire::Entries(runs) => Fetched::Entries(entries(&runs, Term::new(u64::MAX))?),
        Wire::Compacted(_) => Fetched::Compacted,
        Wire::Failed(_) => Fetched::Failed,
    })
}

fn change(change: wire::recorded_message::reconfigure::Change) -> Result<Change, DecodeError> {
    use wire::recorded_message::reconfigure::Change as Wire;
    Ok(match change {
        Wire::Set(all) => Change::Set(all.servers.into_iter().map(server).collect::<Result<_, _>>()?),
        Wire::Add(one) => Change::Add(server(one)?),
        Wire::Remove(id) => Change::Remove(node_id(id)?),
        Wire::Promote(id) => Change::Promote(node_id(id)?),
        Wire::Demote(id) => Change::Demote(node_id(id)?),
        Wire::Readdress(one) => Change::Readdress {
            id: node_id(one.id)?,
            raft_address: one.raft_address,
            client_address: one.client_address,
        },
    })
}
