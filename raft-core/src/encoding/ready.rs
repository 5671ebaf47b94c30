//! What a node wanted, for a recorded run: one way only, since a replay makes it anew and compares the bytes. Equal readies have equal
//! encodings, so runs of entries are as long as they can be, however they were cut.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message as _;

use super::recording::{wire_entries, wire_joined};
use super::{wire, wire_body, wire_compaction, wire_import, wire_membership, wire_packet, wire_pair};
use super::{wire_cluster, wire_position, wire_snapshot};
use crate::membership::MembershipError;
use crate::packet::{Body, Packet};
use crate::position::{LogIndex, Position};
use crate::ready::{Answer, Event, Fault, Outcome, Ready, Refusal, RoleKind};
use crate::write::Write;

/// Encodes what a node wants: protobuf, the message `RecordedReady` of `proto/raft_core.proto`.
pub(crate) fn encode_ready(ready: &Ready) -> Bytes {
    let Ready { send, write, apply, fetch, restore, obtain, snapshots, answers, events, sleep } = ready;
    let wire = wire::RecordedReady {
        send: send.iter().map(wire_whole_packet).collect(),
        write: write.as_ref().map(wire_write),
        apply: apply.as_ref().and_then(wire_entries),
        fetch: fetch
            .iter()
            .map(|fetch| wire::recorded_ready::Fetch {
                number: fetch.number.raw(),
                first: fetch.first.raw(),
                last: fetch.last.raw(),
                bytes_max: fetch.bytes_max,
            })
            .collect(),
        restore: restore.as_deref().map(wire_snapshot),
        obtain: obtain
            .iter()
            .map(|obtain| wire::recorded_ready::Obtain {
                from: Some(wire_pair(obtain.from)),
                import: Some(wire_import(obtain.import)),
            })
            .collect(),
        snapshots: snapshots
            .iter()
            .map(|send| wire::recorded_ready::SendSnapshot {
                number: send.number.raw(),
                packet: Some(wire_whole_packet(&send.packet)),
            })
            .collect(),
        answers: answers.iter().map(wire_answer).collect(),
        events: events.iter().map(wire_event).collect(),
        sleep: *sleep,
    };
    wire.encode_to_vec().into()
}

/// A packet with its entries.
pub(super) fn wire_whole_packet(packet: &Packet) -> wire::Packet {
    let body = match &packet.body {
        Body::Append { previous, commit, entries } => Some(wire::packet::Body::Append(wire::Append {
            previous: Some(wire_position(*previous)),
            commit: commit.raw(),
            runs: wire_joined(entries),
        })),
        body => wire_body(body),
    };
    wire::Packet { body, ..wire_packet(packet) }
}

fn wire_write(write: &Write) -> wire::Write {
    wire::Write {
        number: write.number.raw(),
        term: write.hard_state.term.raw(),
        vote: write.hard_state.vote.map(wire_pair),
        commit: write.commit.raw(),
        first: write.entries.first().map_or(0, LogIndex::raw),
        runs: wire_joined(&write.entries),
        compaction: write.compaction.as_deref().map(wire_compaction),
        refounds: write.refounds.as_deref().copied().map(wire_cluster),
    }
}

fn wire_answer(answer: &Answer) -> wire::recorded_ready::Answer {
    use wire::recorded_ready::answer::Outcome as Wire;
    let nothing = wire::Noop {};
    let span = |first: &Position, last: &Position| wire::Span {
        first: Some(wire_position(*first)),
        last: Some(wire_position(*last)),
    };
    let outcome = match &answer.outcome {
        Outcome::Committed { first, last } => Wire::Committed(span(first, last)),
        Outcome::Unchanged { index } => Wire::Unchanged(index.raw()),
        Outcome::Refused(refusal) => Wire::Refused(wire_refusal(refusal)),
        Outcome::Lost { first, last } => Wire::Lost(span(first, last)),
        Outcome::Replaced { first, last } => Wire::Replaced(span(first, last)),
        Outcome::Readable { index } => Wire::Readable(index.raw()),
        Outcome::Stale { index, ticks } => {
            Wire::Stale(wire::recorded_ready::Stale { index: index.raw(), ticks: *ticks })
        }
        Outcome::Unanswered => Wire::Unanswered(nothing),
        Outcome::Leads { term, commit } => {
            Wire::Leads(wire::recorded_ready::Leads { term: term.raw(), commit: commit.raw() })
        }
        Outcome::Transferred { leader } => Wire::Transferred(wire_pair(*leader)),
        Outcome::NotTransferred => Wire::NotTransferred(nothing),
    };
    wire::recorded_ready::Answer { id: answer.id.raw(), outcome: Some(outcome) }
}

fn wire_refusal(refusal: &Refusal) -> wire::RecordedRefusal {
    use wire::recorded_refusal::{NotLeader, TwoServers, Why};
    let nothing = wire::Noop {};
    let why = match refusal {
        Refusal::NotLeader { leader } => Why::NotLeader(NotLeader { leader: leader.map(wire_pair) }),
        Refusal::Busy => Why::Busy(nothing),
        Refusal::Empty => Why::Empty(nothing),
        Refusal::TooLarge => Why::TooLarge(nothing),
        Refusal::Transferring { to } => Why::Transferring(wire_pair(*to)),
        Refusal::NoSuchVoter => Why::NoSuchVoter(nothing),
        Refusal::ChangeUnderWay { index } => Why::ChangeUnderWay(index.raw()),
        Refusal::TermNotCommitted => Why::TermNotCommitted(nothing),
        Refusal::Outdated { index } => Why::Outdated(index.raw()),
        Refusal::NoSuchServer(id) => Why::NoSuchServer(id.raw()),
        Refusal::Membership(MembershipError::NoVoter) => Why::NoVoter(nothing),
        Refusal::Membership(MembershipError::TooMany) => Why::TooMany(nothing),
        Refusal::Membership(MembershipError::DuplicateId(id)) => Why::DuplicateId(id.raw()),
        Refusal::Membership(MembershipError::DuplicateAddress(one, other)) => {
            Why::DuplicateAddress(TwoServers { one: one.raw(), other: other.raw() })
        }
        Refusal::Membership(MembershipError::EmptyAddress(id)) => Why::EmptyAddress(id.raw()),
        Refusal::Halted => Why::Halted(nothing),
    };
    wire::RecordedRefusal { why: Some(why) }
}

fn wire_event(event: &Event) -> wire::RecordedEvent {
    use wire::recorded_event as on;
    use wire::recorded_event::Event as Wire;
    let nothing = wire::Noop {};
    let event = match event {
        Event::Role { role, term } => {
            Wire::Role(on::Role { role: wire_role(*role).into(), term: term.raw() })
        }
        Event::Leader { leader, term } => {
            Wire::Leader(on::Leader { leader: leader.map(wire_pair), term: term.raw() })
        }
        Event::Membership { index, membership } => {
            let membership = Some(wire_membership(membership));
            Wire::Membership(wire::MembershipAt { index: index.raw(), membership })
        }
        Event::SnapshotInstalled { last } => Wire::SnapshotInstalled(wire_position(*last)),
        Event::Repaired => Wire::Repaired(nothing),
        Event::SnapshotWanted => Wire::SnapshotWanted(nothing),
        Event::StagingGivenUp { server } => Wire::StagingGivenUp(wire_pair(*server)),
        Event::DeadRemoved { server } => Wire::DeadRemoved(wire_pair(*server)),
        Event::Removed { index } => Wire::Removed(index.raw()),
        Event::WrongIncarnation { from, to } => Wire::WrongIncarnation(on::WrongIncarnation {
            from: Some(wire_pair(*from)),
            to: Some(wire_pair(*to)),
        }),
        Event::WrongCluster { from, cluster } => Wire::WrongCluster(on::WrongCluster {
            from: Some(wire_pair(*from)),
            cluster: Some(wire_cluster(*cluster)),
        }),
        Event::WrongVersion { from, versions } => Wire::WrongVersion(on::WrongVersion {
            from: Some(wire_pair(*from)),
            version_first: versions.first,
            version_last: versions.last,
        }),
        Event::PromiseBroken { server, acknowledged, held } => Wire::PromiseBroken(on::PromiseBroken {
            server: Some(wire_pair(*server)),
            acknowledged: acknowledged.raw(),
            held: held.raw(),
        }),
        Event::Fault(fault) => Wire::Fault(wire_fault(*fault).into()),
    };
    wire::RecordedEvent { event: Some(event) }
}

const fn wire_role(role: RoleKind) -> wire::recorded_event::RoleKind {
    use wire::recorded_event::RoleKind as Wire;
    match role {
        RoleKind::Follower => Wire::Follower,
        RoleKind::PreCandidate => Wire::PreCandidate,
        RoleKind::Candidate => Wire::Candidate,
        RoleKind::Leader => Wire::Leader,
    }
}

const fn wire_fault(fault: Fault) -> wire::recorded_event::Fault {
    use wire::recorded_event::Fault as Wire;
    match fault {
        Fault::WriteFailed => Wire::WriteFailed,
        Fault::FetchFailed => Wire::FetchFailed,
        Fault::UnknownWrite => Wire::UnknownWrite,
        Fault::UnknownApplied => Wire::UnknownApplied,
        Fault::UnknownFetch => Wire::UnknownFetch,
        Fault::TwoLeaders => Wire::TwoLeaders,
        Fault::CommittedConflict => Wire::CommittedConflict,
        Fault::OtherFounding => Wire::OtherFounding,
        Fault::LeaderRewrites => Wire::LeaderRewrites,
        Fault::ImpossibleAcknowledgement => Wire::ImpossibleAcknowledgement,
        Fault::UnknownSnapshot => Wire::UnknownSnapshot,
        Fault::Exhausted => Wire::Exhausted,
    }
}

/// What two encoded readies differ in: of each such field its name and how it is in the one and in the other. `None` where one of them
/// is no ready at all. Nothing, though the bytes differ, where one is not in the shortest form.
pub(crate) fn differences(one: &Bytes, other: &Bytes) -> Option<Vec<(&'static str, String, String)>> {
    let decode = |bytes: &Bytes| wire::RecordedReady::decode(Bytes::clone(bytes)).ok();
    let (one, other) = (decode(one)?, decode(other)?);
    let mut found = Vec::new();
    macro_rules! compare {
        ($($field:ident)*) => {
            // Without `..`: a field that is added is compared too, or this does not compile.
            let wire::RecordedReady { $($field),* } = one;
            $(if $field != other.$field {
                found.push((stringify!($field), format!("{:?}", $field), format!("{:?}", other.$field)));
            })*
        };
    }
    compare!(send write apply fetch restore obtain snapshots answers events sleep);
    Some(found)
}
