//! The encoding of a session table, for snapshots of the state machine that embeds it. Equal tables have equal encodings.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message as _;

use super::{DecodeError, index, wire};
use crate::position::{LogIndex, LogTime};
use crate::sessions::{Session, SessionId, SessionLimits, Sessions};

/// Encodes a session table.
pub fn encode_sessions(sessions: &Sessions) -> Vec<u8> {
    let limits = sessions.limits();
    let one = |(id, session): (SessionId, &Session)| wire::Session {
        index: id.index().raw(),
        active: session.active.raw(),
        answered: session.answered,
        numbers: session.responses.keys().copied().collect(),
        responses: session.responses.values().cloned().collect(),
    };
    let table = wire::Sessions {
        time: sessions.time().raw(),
        sessions_max: limits.sessions_max,
        responses_max: limits.responses_max,
        response_bytes_max: limits.response_bytes_max,
        idle_ticks: limits.idle_ticks,
        sessions: sessions.sorted().into_iter().map(one).collect(),
    };
    table.encode_to_vec()
}

/// Decodes a session table.
///
/// # Errors
/// Where the bytes are not a table that could have come to be.
pub fn decode_sessions(bytes: Bytes) -> Result<Sessions, DecodeError> {
    let table = wire::Sessions::decode(bytes).map_err(|_| DecodeError::Malformed)?;
    let limits = SessionLimits {
        sessions_max: table.sessions_max,
        responses_max: table.responses_max,
        response_bytes_max: table.response_bytes_max,
        idle_ticks: table.idle_ticks,
    };
    if (limits.sessions_max as usize) < table.sessions.len() {
        return Err(DecodeError::Sessions("more sessions than the limit allows"));
    }
    let mut sessions = Sessions::new(limits);
    sessions.expire(LogTime::new(table.time));
    let mut before = LogIndex::ZERO;
    for session in table.sessions {
        let id = index(session.index)?;
        if id <= before {
            return Err(DecodeError::Sessions("sessions are sorted"));
        }
        before = id;
        if session.numbers.len() != session.responses.len()
            || (limits.responses_max as usize) < session.numbers.len()
            || !session.numbers.is_sorted_by(|a, b| a < b)
            || session.numbers.first().is_some_and(|first| *first < session.answered)
        {
            return Err(DecodeError::Sessions(
                "answers are numbered in order, behind those that are acknowledged",
            ));
        }
        let longest = session.responses.iter().map(Bytes::len).max().unwrap_or(0);
        if (limits.response_bytes_max as usize) < longest || table.time < session.active {
            return Err(DecodeError::Sessions("no answer is too long, and no session of a later time"));
        }
        let responses: BTreeMap<u64, Bytes> = session.numbers.into_iter().zip(session.responses).collect();
        let (active, answered) = (LogTime::new(session.active), session.answered);
        sessions.put(SessionId::new(id), Session { active, answered, responses });
    }
    Ok(sessions)
}
