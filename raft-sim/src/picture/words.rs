//! Packets, entries, answers and events in a few words, and the names of their kinds.

use bytes::Bytes;
use raft_core::{Answer, Body, Entry, Event, Membership, Outcome, Pair, Payload, Refusal, Server, Suffrage};

use super::facts::outcome;
use crate::client;
use crate::history::{Operation, Reply};
use crate::session::{self, Sent};

/// What kind a packet is of, for who looks at some kinds only.
pub(super) fn kind(body: &Body) -> &'static str {
    match body {
        Body::RequestVote { .. } => "vote request",
        Body::Vote { .. } => "vote",
        Body::RequestPreVote { .. } => "pre-vote request",
        Body::PreVote { .. } => "pre-vote",
        Body::TimeoutNow => "timeout now",
        Body::Append { .. } => "append",
        Body::Heartbeat { .. } => "heartbeat",
        Body::Commit { .. } => "commit",
        Body::Acknowledge { .. } => "acknowledgement",
        Body::Reject { .. } => "rejection",
        Body::InstallSnapshot { .. } => "snapshot",
        Body::AskReadIndex { .. } => "read request",
        Body::ReadIndex { .. } => "read index",
        Body::Propose { .. } => "forwarded proposal",
        Body::Proposed { .. } => "forwarded answer",
        // What ends a term, and what tells a server that it was removed.
        _ => "notice",
    }
}

/// What an entry says. The command of a user's state machine is shown by `own`, which is asked by the number of the request.
pub(super) fn entry(entry: &Entry, own: impl Fn(u64) -> Option<String>) -> String {
    match &entry.payload {
        Payload::Noop => "no-op of a new leader".to_owned(),
        Payload::Timer => "timer".to_owned(),
        Payload::Membership(membership) => format!("configuration {}", members(membership)),
        Payload::Import(import) => format!("import of {} bytes", import.size),
        Payload::Command(bytes) => command(bytes, own),
        _ => "of a later version".to_owned(),
    }
}

fn command(bytes: &Bytes, own: impl Fn(u64) -> Option<String>) -> String {
    if let Some((request, sent)) = session::sent_by(bytes) {
        return match sent {
            Sent::Register => format!("request {request}: a session"),
            Sent::Submit(what) => {
                format!("request {request}: {}, once", operation(u64::from(what.key), what.operation()))
            }
        };
    }
    if let Some((request, key, asked)) = client::call_of(bytes) {
        return format!("request {request}: {}", operation(key, asked));
    }
    let Some((request, nth)) = client::command_of(bytes).map(client::parts_of) else {
        return format!("{} bytes", bytes.len());
    };
    if client::own_of(bytes).is_some() {
        return format!("request {request}: {}", own(request).unwrap_or_default());
    }
    format!("request {request}: command {nth} of {} bytes", bytes.len())
}

/// An operation on a register, as one would write it.
pub(super) fn operation(key: u64, operation: Operation) -> String {
    match operation {
        Operation::Read => format!("read r{key}"),
        Operation::Write(value) => format!("r{key} = {value}"),
        Operation::CompareAndSwap { expected: None, new } => format!("r{key}: nothing to {new}"),
        Operation::CompareAndSwap { expected: Some(old), new } => format!("r{key}: {old} to {new}"),
    }
}

/// Who is in a configuration; where it is joint, both halves.
pub(super) fn members(membership: &Membership) -> String {
    let half = |servers: &[Server]| {
        let one = |server: &Server| match server.suffrage {
            Suffrage::Voter => server.pair.id.to_string(),
            Suffrage::Learner => format!("{} (learner)", server.pair.id),
            _ => format!("{} (staging)", server.pair.id),
        };
        servers.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let incoming = half(membership.servers());
    match membership.outgoing() {
        [] => incoming,
        outgoing => format!("{} and {incoming}, jointly", half(outgoing)),
    }
}

/// What a client was told by a node: which way it went, and in words.
pub(super) fn answer(answer: &Answer) -> (u64, String) {
    match &answer.outcome {
        Outcome::Committed { first, last } if first == last => {
            (outcome::DONE, format!("committed at {first}"))
        }
        Outcome::Committed { first, last } => (outcome::DONE, format!("committed at {first} to {last}")),
        Outcome::Unchanged { index } => (outcome::DONE, format!("so already, since index {index}")),
        Outcome::Readable { index } => (outcome::DONE, format!("can be read, applied to {index}")),
        Outcome::Stale { index, ticks } => (outcome::DONE, format!("applied to {index}, {ticks} ticks old")),
        Outcome::Leads { term, commit } => {
            (outcome::DONE, format!("leads term {term}, committed to {commit}"))
        }
        Outcome::Transferred { leader } => (outcome::DONE, format!("{} leads", server(*leader))),
        Outcome::NotTransferred => (outcome::REFUSED, "leadership was not handed over".to_owned()),
        Outcome::Refused(refusal) => (outcome::REFUSED, format!("refused: {}", refused(*refusal))),
        Outcome::Lost { first, last } => {
            (outcome::UNKNOWN, format!("lost with leadership, {first} to {last} may commit or not"))
        }
        Outcome::Replaced { .. } => (outcome::UNKNOWN, "replaced by an import".to_owned()),
        Outcome::Unanswered => (outcome::UNKNOWN, "passed on, and nobody knows".to_owned()),
        _ => (outcome::UNKNOWN, "of a later version".to_owned()),
    }
}

fn refused(refusal: Refusal) -> String {
    match refusal {
        Refusal::NotLeader { leader: Some(leader) } => format!("{} leads", server(leader)),
        Refusal::NotLeader { leader: None } => "does not lead, and knows nobody who does".to_owned(),
        Refusal::Busy => "too much is under way".to_owned(),
        Refusal::Empty => "there is no command in it".to_owned(),
        Refusal::TooLarge => "too large".to_owned(),
        Refusal::Transferring { to } => format!("leadership is being handed to {}", server(to)),
        Refusal::NoSuchVoter => "no such voter".to_owned(),
        Refusal::ChangeUnderWay { index } => format!("the change at {index} is under way"),
        Refusal::TermNotCommitted => "nothing of this term is committed yet".to_owned(),
        Refusal::Outdated { index } => format!("the configuration at {index} is newer"),
        Refusal::NoSuchServer(id) => format!("there is no server {id}"),
        Refusal::Membership(error) => error.to_string(),
        Refusal::Halted => "the node has halted".to_owned(),
        _ => "for a reason of a later version".to_owned(),
    }
}

/// What a state machine replied.
pub(super) fn reply(reply: Reply) -> String {
    match reply {
        Reply::Written => "written".to_owned(),
        Reply::Value(None) => "read nothing".to_owned(),
        Reply::Value(Some(value)) => format!("read {value}"),
        Reply::Swapped(true) => "swapped".to_owned(),
        Reply::Swapped(false) => "not swapped, it held something else".to_owned(),
    }
}

/// What has changed, where the rows of nodes do not show it.
pub(super) fn event(event: &Event) -> Option<String> {
    Some(match event {
        Event::Role { .. } | Event::Leader { .. } => return None,
        Event::Membership { index, membership } => {
            format!("configuration at {index}: {}", members(membership))
        }
        Event::SnapshotInstalled { last } => format!("snapshot up to {last} takes the place of the log"),
        Event::Repaired => "has again what its disk had lost".to_owned(),
        Event::SnapshotWanted => "would like a snapshot to be taken".to_owned(),
        Event::StagingGivenUp { server: pair } => format!("{} has not caught up", server(*pair)),
        Event::DeadRemoved { server: pair } => format!("{} stays silent and is removed", server(*pair)),
        Event::Removed { index } => format!("is removed by the configuration at {index}"),
        Event::WrongIncarnation { from, to } => format!("a packet of {from} for {to}, who it is not"),
        Event::WrongCluster { from, .. } => format!("a packet of {from}, of another cluster"),
        Event::WrongVersion { from, .. } => format!("a packet of {from}, of no version that it speaks"),
        Event::PromiseBroken { server: pair, acknowledged, held } => {
            format!("{} had acknowledged up to {acknowledged} and has only {held}", server(*pair))
        }
        Event::Fault(fault) => format!("halts: {fault}"),
        _ => "says something of a later version".to_owned(),
    })
}

fn server(pair: Pair) -> String {
    format!("server {}", pair.id)
}
