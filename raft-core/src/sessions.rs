//! Client sessions (Raft thesis §6.3): a table that a state machine embeds, so that a command which its client sends again, because the
//! answer was lost or the leader was, takes effect once.
//!
//! A client registers and is known from then on by the index of that entry. It numbers its commands, and says with each which answers it
//! has got, so that they can be forgotten. The table answers again what was answered before, and refuses what it can not tell from a
//! repetition any more. Sessions expire by log time, which is the same on every server: so is the table.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;
use core::hash::{BuildHasherDefault, Hasher};

use bytes::Bytes;
use hashbrown::HashMap;

use crate::position::{LogIndex, LogTime};

/// A session's name: the index of the entry that registered it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(LogIndex);

impl SessionId {
    /// From the index of the entry that registered it.
    pub const fn new(index: LogIndex) -> Self {
        SessionId(index)
    }

    /// The index of the entry that registered it.
    pub const fn index(self) -> LogIndex {
        self.0
    }
}

/// How large a table may grow. The same on every server, since what is refused for it is refused everywhere: a table keeps them, and a
/// snapshot of it has them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SessionLimits {
    /// The most sessions at once; above it nobody can register. Default 65,536.
    pub sessions_max: u32,
    /// The most answers that are kept for one session, so that a client has to say which it has got. Default 64.
    pub responses_max: u32,
    /// The longest answer, in bytes; what is longer is cut, since that a command was done must not be forgotten. Default 1 MiB.
    pub response_bytes_max: u32,
    /// A session expires when no command of it came for more than so many ticks of log time. Default 360,000: an hour of ticks of 10 ms.
    pub idle_ticks: u64,
}

impl Default for SessionLimits {
    fn default() -> Self {
        SessionLimits {
            sessions_max: 65_536,
            responses_max: 64,
            response_bytes_max: 1 << 20,
            idle_ticks: 360_000,
        }
    }
}

/// What came of a command.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Applied {
    /// The answer.
    pub response: Bytes,
    /// Whether it had been applied before, and was not now.
    pub repeated: bool,
}

/// Why a table refuses. Nothing was executed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum SessionRefusal {
    /// There is no such session, or not any more: whether the command was executed before can not be told.
    Expired,
    /// There are as many sessions as there may be.
    Full,
    /// The client has said that it has the answer to this one.
    Acknowledged,
    /// So many answers are kept for the session that another does not fit: the client has to say which it has got.
    TooManyResponses,
}

impl fmt::Display for SessionRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SessionRefusal::Expired => "the session is not known, or has expired",
            SessionRefusal::Full => "there are too many sessions",
            SessionRefusal::Acknowledged => "the answer to this command was acknowledged before",
            SessionRefusal::TooManyResponses => "too many answers of the session wait to be acknowledged",
        })
    }
}

impl core::error::Error for SessionRefusal {}

/// Spreads the indexes that sessions are named by; fixed, so that a table is the same wherever it is, though nothing depends on its order.
#[derive(Clone, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        // The odd constant is 2⁶⁴ divided by the golden ratio (Knuth, The Art of Computer Programming, §6.4); the rotation brings the
        // better bits to where tables look.
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Session {
    /// When the last command of it came.
    pub(crate) active: LogTime,
    /// The client has the answers to all commands below this number.
    pub(crate) answered: u64,
    /// What was answered, by the number of the command.
    pub(crate) responses: BTreeMap<u64, Bytes>,
}

/// All sessions of a state machine (Raft thesis §6.3): a table that is a part of it, so that a command which its client sends again takes
/// effect once. Equal sequences of calls lead to equal tables, and to equal encodings ([`encode_sessions`](crate::encode_sessions)).
///
/// What a command has to carry is for the embedder to encode: here one registers a client, who learns from the answer that its session is
/// called by the index of that entry ([`Outcome::Committed`](crate::Outcome::Committed)); all others name the session, count the
/// client's commands, and say which answers the client has got. A snapshot of the state machine has the table, too.
///
/// ```
/// use raft_core::{Bytes, LogIndex, LogTime, SessionId, SessionLimits, SessionRefusal, Sessions};
/// use raft_core::{decode_sessions, encode_sessions};
///
/// enum Command {
///     Register,
///     Increment { session: SessionId, number: u64, answered: u64 },
/// }
///
/// struct Counter { count: u8, sessions: Sessions }
///
/// impl Counter {
///     /// Applies the command of the entry at this index and log time; what it returns is for the client.
///     fn apply(&mut self, index: LogIndex, time: LogTime, command: &Command) -> Result<Bytes, SessionRefusal> {
///         match *command {
///             Command::Register => self.sessions.register(index, time).map(|_| Bytes::new()),
///             Command::Increment { session, number, answered } => {
///                 let count = &mut self.count;
///                 let increment = || { *count += 1; Bytes::copy_from_slice(&[*count]) };
///                 self.sessions.apply(session, number, answered, time, increment).map(|applied| applied.response)
///             }
///         }
///     }
/// }
///
/// let mut counter = Counter { count: 0, sessions: Sessions::new(SessionLimits::default()) };
/// let mut apply = |index, command| counter.apply(LogIndex::new(index), LogTime::new(7), &command);
/// apply(5, Command::Register).unwrap();
/// let session = SessionId::new(LogIndex::new(5));
/// assert_eq!(apply(6, Command::Increment { session, number: 0, answered: 0 }).unwrap(), [1][..]);
/// assert_eq!(apply(8, Command::Increment { session, number: 0, answered: 0 }).unwrap(), [1][..], "sent again: done once");
/// assert_eq!(apply(9, Command::Increment { session, number: 1, answered: 1 }).unwrap(), [2][..]);
/// let late = apply(10, Command::Increment { session, number: 0, answered: 0 });
/// assert_eq!(late, Err(SessionRefusal::Acknowledged), "the client has said that it has the answer to number 0");
/// assert_eq!(decode_sessions(encode_sessions(&counter.sessions).into()), Ok(counter.sessions));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sessions {
    limits: SessionLimits,
    /// The latest log time that was told.
    time: LogTime,
    sessions: HashMap<SessionId, Session, BuildHasherDefault<Spread>>,
    /// Every session by when it was active last: those that expire first come first.
    by_activity: BTreeSet<(LogTime, SessionId)>,
}

impl Sessions {
    /// An empty table.
    pub fn new(limits: SessionLimits) -> Self {
        let (sessions, by_activity) = (HashMap::default(), BTreeSet::new());
        Sessions { limits, time: LogTime::ZERO, sessions, by_activity }
    }

    /// How large it may grow.
    pub const fn limits(&self) -> SessionLimits {
        self.limits
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Whether there is such a session.
    pub fn contains(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Registers a client, by the entry at `index` with log time `time`. Doing so again for the same entry changes nothing.
    ///
    /// # Errors
    /// [`SessionRefusal::Full`] where there are [`SessionLimits::sessions_max`] of them.
    pub fn register(&mut self, index: LogIndex, time: LogTime) -> Result<SessionId, SessionRefusal> {
        self.expire(time);
        let id = SessionId(index);
        if !self.contains(id) {
            if self.limits.sessions_max as usize <= self.len() {
                return Err(SessionRefusal::Full);
            }
            self.put(id, Session { active: self.time, answered: 0, responses: BTreeMap::new() });
        }
        Ok(id)
    }

    /// Applies the command with this number, from 0, in an entry of log time `time`: `run` does it, and is called once for each number
    /// of a session, whatever its client sends how often. The client has the answers to all commands below `answered`. What `run` returns
    /// is kept, cut to [`SessionLimits::response_bytes_max`], until the client has said so or the session ends.
    ///
    /// # Errors
    /// [`SessionRefusal::Expired`] where there is no such session, [`SessionRefusal::Acknowledged`] where the client has said that it has
    /// the answer, [`SessionRefusal::TooManyResponses`] where so many are kept; `run` is not called then.
    pub fn apply(
        &mut self,
        session: SessionId,
        number: u64,
        answered: u64,
        time: LogTime,
        run: impl FnOnce() -> Bytes,
    ) -> Result<Applied, SessionRefusal> {
        self.keep_alive(session, time)?;
        let (responses_max, bytes_max) =
            (self.limits.responses_max as usize, self.limits.response_bytes_max as usize);
        let Some(found) = self.sessions.get_mut(&session) else { return Err(SessionRefusal::Expired) };
        if found.answered < answered {
            found.answered = answered;
            found.responses = found.responses.split_off(&answered);
        }
        if let Some(response) = found.responses.get(&number) {
            return Ok(Applied { response: response.clone(), repeated: true });
        }
        if number < found.answered {
            return Err(SessionRefusal::Acknowledged);
        }
        if responses_max <= found.responses.len() {
            return Err(SessionRefusal::TooManyResponses);
        }
        let mut response = run();
        // What is too long is cut: that it was done is what must not be forgotten.
        if bytes_max < response.len() {
            // A copy, so that the rest does not stay in memory.
            response = Bytes::copy_from_slice(&response[..bytes_max]);
        }
        found.responses.insert(number, response.clone());
        Ok(Applied { response, repeated: false })
    }

    /// Says that a client is still there, without a command, in an entry of log time `time`.
    ///
    /// # Errors
    /// [`SessionRefusal::Expired`] where there is no such session.
    pub fn keep_alive(&mut self, session: SessionId, time: LogTime) -> Result<(), SessionRefusal> {
        self.expire(time);
        let now = self.time;
        let found = self.sessions.get_mut(&session).ok_or(SessionRefusal::Expired)?;
        let before = core::mem::replace(&mut found.active, now);
        self.by_activity.remove(&(before, session));
        self.by_activity.insert((now, session));
        Ok(())
    }

    /// Ends a session, so that it need not expire. Returns whether there was one.
    pub fn close(&mut self, session: SessionId) -> bool {
        let closed = self.sessions.remove(&session);
        closed.is_some_and(|closed| self.by_activity.remove(&(closed.active, session)))
    }

    /// Lets log time pass: whoever was idle for too long is forgotten. Every other call does so too. Log time never runs backwards; an
    /// earlier one is as good as the latest.
    pub fn expire(&mut self, time: LogTime) {
        self.time = self.time.max(time);
        while let Some((active, session)) = self.by_activity.first().copied()
            && active.plus(self.limits.idle_ticks) < self.time
        {
            self.close(session);
        }
    }

    pub(crate) fn put(&mut self, id: SessionId, session: Session) {
        self.by_activity.insert((session.active, id));
        self.sessions.insert(id, session);
    }

    pub(crate) const fn time(&self) -> LogTime {
        self.time
    }

    /// The sessions, sorted by name.
    pub(crate) fn sorted(&self) -> Vec<(SessionId, &Session)> {
        let mut ids: Vec<SessionId> = self.by_activity.iter().map(|(_, id)| *id).collect();
        ids.sort_unstable();
        ids.into_iter().filter_map(|id| self.sessions.get(&id).map(|session| (id, session))).collect()
    }
}
