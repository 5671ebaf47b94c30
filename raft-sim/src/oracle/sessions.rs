//! Sessions: what is sent under one number takes effect once and is answered alike on every server, and what comes for an expired session
//! is refused and has no effect (Raft thesis §6.3).
//!
//! The oracle replays the committed log by a table of its own, written for clearness: it looks at every session at every entry.

use std::collections::BTreeMap;

use raft_core::{Entry, LogIndex, LogTime, Payload, Position, SessionId, SessionLimits, SessionRefusal};

use super::{Verdict, Violation, broken};
use crate::action::HostId;
use crate::client;
use crate::history::{Operation, Registers, Reply};
use crate::session::{Sent, Submission, sent_by};

pub(super) const NAME: &str = "sessions";
const RULE: &str = "if a server receives a command whose serial number has already been executed, it responds immediately without re-executing \
                    the request; servers agree on when to expire a session, and do not process commands of one that has expired (Raft thesis §6.3)";

/// What a session table made of what was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judged {
    /// There is a session now.
    Registered,
    /// It was done, now or before.
    Done {
        /// The answer that is kept; `None` where it can not be read.
        reply: Option<Reply>,
        /// Whether it had been done before.
        repeated: bool,
    },
}

/// What an entry does to the registers, and for which request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Effect {
    pub(super) request: u64,
    pub(super) key: u64,
    pub(super) operation: Operation,
}

#[derive(Clone, Debug, Default)]
struct Session {
    active: LogTime,
    answered: u64,
    replies: BTreeMap<u64, Reply>,
}

/// The committed log, replayed.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    limits: SessionLimits,
    live: BTreeMap<SessionId, Session>,
    registers: Registers,
    replayed: LogIndex,
    // By index: what every server has to make of it.
    judged: BTreeMap<LogIndex, Result<Judged, SessionRefusal>>,
}

impl Sessions {
    pub(super) fn new(limits: SessionLimits) -> Self {
        let (live, registers, replayed, judged) = Default::default();
        Sessions { limits, live, registers, replayed, judged }
    }

    /// A state machine has applied an entry. Says what it does to the registers, the first time.
    pub(super) fn applied(&mut self, position: Position, entry: &Entry) -> Option<Effect> {
        if position.index <= self.replayed {
            return None;
        }
        self.replayed = position.index;
        let Payload::Command(bytes) = &entry.payload else { return None };
        let effect = match sent_by(bytes) {
            Some((_, sent)) => self.sent(position.index, entry.time, sent),
            None => {
                client::call_of(bytes).map(|(request, key, operation)| Effect { request, key, operation })
            }
        }?;
        let reply = self.registers.apply(effect.key, effect.operation);
        if let Some(Ok(Judged::Done { reply: kept, .. })) = self.judged.get_mut(&position.index)
            && let Some((_, Sent::Submit(what))) = sent_by(bytes)
            && let Some(session) = self.live.get_mut(&what.session)
        {
            *kept = Some(reply);
            session.replies.insert(what.number, reply);
        }
        Some(effect)
    }

    fn sent(&mut self, index: LogIndex, time: LogTime, sent: Sent) -> Option<Effect> {
        let idle = self.limits.idle_ticks;
        self.live.retain(|_, session| time.raw() <= session.active.raw().saturating_add(idle));
        let judged = match sent {
            Sent::Register if self.limits.sessions_max as usize <= self.live.len() => {
                Err(SessionRefusal::Full)
            }
            Sent::Register => {
                let session = Session { active: time, ..Session::default() };
                self.live.insert(SessionId::new(index), session);
                Ok(Judged::Registered)
            }
            Sent::Submit(what) => self.submitted(time, &what),
        };
        self.judged.insert(index, judged);
        match (sent, judged) {
            (Sent::Submit(what), Ok(Judged::Done { repeated: false, .. })) => {
                let (request, key, operation) = (what.first, u64::from(what.key), what.operation());
                Some(Effect { request, key, operation })
            }
            _ => None,
        }
    }

    fn submitted(&mut self, time: LogTime, what: &Submission) -> Result<Judged, SessionRefusal> {
        let Some(session) = self.live.get_mut(&what.session) else { return Err(SessionRefusal::Expired) };
        session.active = time;
        session.answered = session.answered.max(what.answered);
        let answered = session.answered;
        session.replies.retain(|number, _| answered <= *number);
        match session.replies.get(&what.number) {
            Some(reply) => Ok(Judged::Done { reply: Some(*reply), repeated: true }),
            None if what.number < answered => Err(SessionRefusal::Acknowledged),
            None if self.limits.responses_max as usize <= session.replies.len() => {
                Err(SessionRefusal::TooManyResponses)
            }
            None => Ok(Judged::Done { reply: None, repeated: false }),
        }
    }

    /// The table of a server has made this of what was sent at `index`.
    pub(super) fn judged(
        &self,
        host: HostId,
        index: LogIndex,
        judged: &Result<Judged, SessionRefusal>,
    ) -> Verdict {
        let expected = self.judged.get(&index);
        if expected == Some(judged) {
            return Ok(());
        }
        broken(NAME, RULE, || format!("server {host} at {index}: {judged:?}, and not {expected:?}"))
    }
}

/// A table that reads back as another from its encoding.
pub(super) fn of_other_table(host: HostId, last: Position) -> Box<Violation> {
    let what = format!(
        "the session table in the snapshot up to {last}, restored on server {host}, reads back as another"
    );
    Box::new(Violation { oracle: NAME, rule: RULE, what })
}

#[cfg(test)]
mod tests {
    use super::super::tests::host;
    use super::*;
    use crate::client::Asked;
    use crate::session;

    const LIMITS: SessionLimits =
        SessionLimits { sessions_max: 1, responses_max: 2, response_bytes_max: 100, idle_ticks: 10 };

    fn feed(
        sessions: &mut Sessions,
        index: u64,
        time: u64,
        commands: &raft_core::Commands,
    ) -> Option<Effect> {
        let entry = Entry::new(LogTime::new(time), Payload::Command(commands.as_slice()[0].clone()));
        sessions.applied(Position::new(1, index), &entry)
    }

    fn submit(
        sessions: &mut Sessions,
        index: u64,
        time: u64,
        (number, answered): (u64, u64),
    ) -> Option<Effect> {
        let session = SessionId::new(LogIndex::new(1));
        let what =
            Submission { session, number, answered, first: 100 + number, key: 1, asked: Asked::Swap(None) };
        feed(sessions, index, time, &session::submit(index, &what))
    }

    /// Goal: a table that executes twice, answers otherwise, or takes what has expired is seen. Method: a log with one of each kind, and for
    /// each entry every answer that another entry has.
    #[test]
    fn sessions_sees_what_differs() {
        let mut sessions = Sessions::new(LIMITS);
        assert_eq!(feed(&mut sessions, 1, 5, &session::register(1)), None);
        assert_eq!(feed(&mut sessions, 2, 5, &session::register(2)), None);
        assert!(submit(&mut sessions, 3, 6, (0, 0)).is_some());
        assert_eq!(submit(&mut sessions, 4, 6, (0, 0)), None, "sent again");
        assert!(submit(&mut sessions, 5, 6, (1, 0)).is_some());
        assert_eq!(submit(&mut sessions, 6, 6, (2, 0)), None, "two answers are kept");
        assert!(submit(&mut sessions, 7, 16, (2, 1)).is_some());
        assert_eq!(submit(&mut sessions, 8, 16, (0, 0)), None, "its client has the answer");
        assert_eq!(submit(&mut sessions, 9, 27, (3, 1)), None, "eleven ticks later");
        let done = |swapped, repeated| Ok(Judged::Done { reply: Some(Reply::Swapped(swapped)), repeated });
        let expected = [
            Ok(Judged::Registered),
            Err(SessionRefusal::Full),
            done(true, false),
            done(true, true),
            done(false, false),
            Err(SessionRefusal::TooManyResponses),
            done(false, false),
            Err(SessionRefusal::Acknowledged),
            Err(SessionRefusal::Expired),
        ];
        for (nth, right) in expected.iter().enumerate() {
            let index = LogIndex::new(nth as u64 + 1);
            for judged in &expected {
                assert_eq!(
                    sessions.judged(host(1), index, judged).is_ok(),
                    judged == right,
                    "{index} {judged:?}"
                );
            }
        }
        assert!(sessions.judged(host(1), LogIndex::new(10), &Ok(Judged::Registered)).is_err());
    }
}
