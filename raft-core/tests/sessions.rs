//! Goal: a command takes effect once, however often its client sends it, for as long as its session lives; and the table is the same
//! wherever the same is done to it. Method: cases, and random calls against a model that forgets nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use raft_core::{
    Applied, DecodeError, LogIndex, LogTime, SessionId, SessionLimits, SessionRefusal, Sessions,
    decode_sessions, encode_sessions,
};

const LIMITS: SessionLimits =
    SessionLimits { sessions_max: 3, responses_max: 2, response_bytes_max: 4, idle_ticks: 10 };

fn at(ticks: u64) -> LogTime {
    LogTime::new(ticks)
}

fn register(sessions: &mut Sessions, index: u64, ticks: u64) -> Result<SessionId, SessionRefusal> {
    sessions.register(LogIndex::new(index), at(ticks))
}

/// Applies a command whose answer is its number; `Ok(true)` where it was executed.
fn apply(
    sessions: &mut Sessions,
    id: SessionId,
    number: u64,
    answered: u64,
    ticks: u64,
) -> Result<bool, SessionRefusal> {
    let mut executed = false;
    let run = || {
        executed = true;
        Bytes::copy_from_slice(&[number as u8])
    };
    let applied = sessions.apply(id, number, answered, at(ticks), run);
    assert_eq!(executed, applied.as_ref().is_ok_and(|applied| !applied.repeated));
    applied.map(|Applied { response, .. }| {
        assert_eq!(response, [number as u8][..], "the answer is that of the command");
        executed
    })
}

#[test]
fn repeated_command_is_answered_and_not_executed() {
    let mut sessions = Sessions::new(LIMITS);
    let one = register(&mut sessions, 5, 0).expect("there is room");
    let two = register(&mut sessions, 6, 0).expect("there is room");
    assert_eq!(apply(&mut sessions, one, 0, 0, 1), Ok(true));
    assert_eq!(apply(&mut sessions, two, 0, 0, 1), Ok(true), "numbers are each session's own");
    assert_eq!(apply(&mut sessions, one, 1, 0, 1), Ok(true), "several may be under way");
    for number in [1, 0, 1] {
        assert_eq!(apply(&mut sessions, one, number, 0, 2), Ok(false));
    }
    assert_eq!(apply(&mut sessions, one, 2, 0, 2), Err(SessionRefusal::TooManyResponses));
    assert_eq!(apply(&mut sessions, one, 2, 1, 2), Ok(true), "the first answer is not needed any more");
    assert_eq!(
        apply(&mut sessions, one, 0, 0, 2),
        Err(SessionRefusal::Acknowledged),
        "a packet that was late"
    );
    assert_eq!(apply(&mut sessions, one, 1, 1, 2), Ok(false));
}

#[test]
fn sessions_expire_by_log_time_only() {
    let mut sessions = Sessions::new(LIMITS);
    let id = register(&mut sessions, 5, 100).expect("there is room");
    assert_eq!(apply(&mut sessions, id, 0, 0, 110), Ok(true), "ten ticks are not more than ten");
    sessions.keep_alive(id, at(120)).expect("it lives");
    assert_eq!(apply(&mut sessions, id, 1, 1, 50), Ok(true), "log time does not run backwards");
    assert!(sessions.contains(id) && !sessions.is_empty());
    sessions.expire(at(131));
    assert!(!sessions.contains(id) && sessions.is_empty());
    assert_eq!(apply(&mut sessions, id, 1, 1, 131), Err(SessionRefusal::Expired));
    assert_eq!(apply(&mut sessions, id, 2, 2, 131), Err(SessionRefusal::Expired), "and it stays so");
    assert_eq!(sessions.keep_alive(id, at(131)), Err(SessionRefusal::Expired));
}

#[test]
fn table_is_bounded() {
    let mut sessions = Sessions::new(LIMITS);
    for index in 1..=3 {
        register(&mut sessions, index, 0).expect("there is room");
    }
    assert_eq!(register(&mut sessions, 4, 10), Err(SessionRefusal::Full));
    assert_eq!(register(&mut sessions, 3, 10), Ok(SessionId::new(LogIndex::new(3))), "it is there");
    assert!(
        sessions.close(SessionId::new(LogIndex::new(2))) && !sessions.close(SessionId::new(LogIndex::new(2)))
    );
    assert!(register(&mut sessions, 4, 10).is_ok());
    assert!(register(&mut sessions, 5, 11).is_ok(), "the first and the third have expired");
    let id = SessionId::new(LogIndex::new(5));
    let long = sessions.apply(id, 0, 0, at(11), || Bytes::from_static(b"much too long"));
    assert_eq!(long.expect("it is done").response, b"much"[..]);
}

/// Of an answer that is too long the table keeps a copy of what it may keep, and not the memory of the whole; a short one is not copied.
#[test]
fn cut_answer_lets_go_of_its_buffer() {
    let mut sessions = Sessions::new(LIMITS);
    let id = register(&mut sessions, 5, 0).expect("there is room");
    let (long, short) = (Bytes::from(vec![7; 5]), Bytes::from(vec![8; 4]));
    let cut = sessions.apply(id, 0, 0, at(0), || long.clone()).expect("applied").response;
    assert_eq!(cut, [7; 4][..]);
    assert!(long.is_unique(), "nobody else holds the five bytes");
    sessions.apply(id, 1, 0, at(0), || short.clone()).expect("applied");
    assert!(!short.is_unique(), "the table shares what is not cut");
}

#[test]
fn wrong_tables_are_refused() {
    let mut sessions = Sessions::new(LIMITS);
    for index in [7, 9] {
        let id = register(&mut sessions, index, 5).expect("there is room");
        assert_eq!(apply(&mut sessions, id, 3, 2, 6), Ok(true));
    }
    let good = encode_sessions(&sessions);
    assert_eq!(decode_sessions(good.clone().into()), Ok(sessions));
    let (mut refused, mut taken) = (0, 0);
    for place in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[place] ^= 1 << bit;
            match decode_sessions(bad.into()) {
                Err(DecodeError::Sessions(_) | DecodeError::Malformed | DecodeError::Index) => refused += 1,
                Err(other) => panic!("{other:?}"),
                Ok(table) => {
                    taken += 1;
                    assert_eq!(decode_sessions(encode_sessions(&table).into()), Ok(table));
                }
            }
        }
    }
    assert!(20 < refused && 0 < taken, "{refused} refused, {taken} are other tables");
}

/// What a client may do: which session, which number and how much acknowledged, relative to what it has done before.
#[derive(Clone, Debug)]
enum Call {
    Register,
    Apply { session: usize, number: u64, answered: u64 },
    Wait(u64),
    Close(usize),
    Snapshot,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let apply = (0..6usize, 0..8u64, 0..8u64).prop_map(|(session, number, answered)| Call::Apply {
        session,
        number,
        answered,
    });
    let call = prop_oneof![
        2 => Just(Call::Register),
        10 => apply,
        1 => (0..15u64).prop_map(Call::Wait),
        1 => (0..6usize).prop_map(Call::Close),
        1 => Just(Call::Snapshot),
    ];
    vec(call, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// No command of a session is executed twice; what is answered again is what was answered; a table that went through its
    /// encoding, however its memory came about, does the same as one that did not.
    #[test]
    fn every_command_takes_effect_once(calls in calls()) {
        let (mut sessions, mut twin) = (Sessions::new(LIMITS), Sessions::new(LIMITS));
        let (mut executed, mut ids) = (BTreeMap::new(), Vec::new());
        let (mut time, mut index, mut count) = (0, 0, 0u8);
        for call in calls {
            index += 1;
            match call {
                Call::Register => {
                    let registered = register(&mut sessions, index, time);
                    prop_assert_eq!(registered, register(&mut twin, index, time));
                    ids.extend(registered);
                }
                Call::Apply { session, number, answered } => {
                    let id = ids.get(session).copied().unwrap_or(SessionId::new(LogIndex::MAX));
                    let mut run = || {
                        count = count.wrapping_add(1);
                        Bytes::copy_from_slice(&[count])
                    };
                    let applied = sessions.apply(id, number, answered, at(time), &mut run);
                    if let Ok(Applied { response, repeated }) = &applied {
                        let before = executed.insert((id, number), response.clone());
                        prop_assert_eq!(before.is_some(), *repeated, "once, and never again");
                        prop_assert!(before.is_none_or(|before| before == *response));
                    }
                    let response = applied.as_ref().map_or(Bytes::new(), |applied| applied.response.clone());
                    prop_assert_eq!(applied, twin.apply(id, number, answered, at(time), || response));
                }
                Call::Wait(ticks) => time += ticks,
                Call::Close(session) => {
                    let id = ids.get(session).copied().unwrap_or(SessionId::new(LogIndex::MAX));
                    prop_assert_eq!(sessions.close(id), twin.close(id));
                }
                Call::Snapshot => {
                    let bytes = encode_sessions(&twin);
                    prop_assert_eq!(&bytes, &encode_sessions(&sessions));
                    twin = decode_sessions(bytes.into()).expect("what was encoded");
                }
            }
            prop_assert!(sessions == twin && sessions.len() <= 3);
        }
    }
}
