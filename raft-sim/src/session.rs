//! Commands of clients with sessions (Raft thesis §6.3), as bytes in the log: to register, and to perform an operation once, however
//! often it is sent.
//!
//! ```text
//!   name 8 │ 16 register
//!   name 8 │ 17 submit │ kind 1 │ key 1 │ expected 8 │ session 8 │ number 8 │ answered 8 │ first 8
//! ```
//!
//! Every time that a command is sent it is another request and has another name; *first* is the request by which it was sent first, and what
//! it writes.

use bytes::Bytes;
use raft_core::{Commands, LogIndex, SessionId};

use crate::client::{Asked, command, command_of, parts_of};
use crate::history::{Operation, Reply};

const REGISTER: u8 = 16;
const SUBMIT: u8 = 17;

/// An operation that a client with a session wants done once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Submission {
    /// Its session.
    pub session: SessionId,
    /// Which of its commands, from 0.
    pub number: u64,
    /// It has the answers to all below this.
    pub answered: u64,
    /// The request by which it was sent first.
    pub first: u64,
    /// On which register.
    pub key: u8,
    /// What is asked of that.
    pub asked: Asked,
}

impl Submission {
    /// What is to be done.
    pub fn operation(&self) -> Operation {
        self.asked.operation(self.first)
    }
}

/// What a client with a session has sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sent {
    /// It wants a session.
    Register,
    /// It wants something done.
    Submit(Submission),
}

/// The command by which a request registers.
pub(crate) fn register(request: u64) -> Commands {
    let mut payload = command(request, 0).to_be_bytes().to_vec();
    payload.push(REGISTER);
    Commands::One(Bytes::from(payload))
}

/// The command by which a request has that done.
pub(crate) fn submit(request: u64, what: &Submission) -> Commands {
    let [kind, expected] = what.asked.words();
    let mut payload = command(request, 0).to_be_bytes().to_vec();
    payload.extend([SUBMIT, kind as u8, what.key]);
    for word in [expected, what.session.index().raw(), what.number, what.answered, what.first] {
        payload.extend(word.to_be_bytes());
    }
    Commands::One(Bytes::from(payload))
}

/// The request and what it sends, where these bytes are a command of a session.
pub(crate) fn sent_by(bytes: &[u8]) -> Option<(u64, Sent)> {
    let (request, _) = parts_of(command_of(bytes)?);
    match bytes.get(8..)? {
        [REGISTER] => Some((request, Sent::Register)),
        [SUBMIT, kind, key, words @ ..] => {
            let mut words =
                words.chunks_exact(8).filter_map(|word| Some(u64::from_be_bytes(*word.first_chunk()?)));
            let mut word = || words.next();
            let asked = Asked::from_words([u64::from(*kind), word()?])?;
            let session = SessionId::new(LogIndex::new(word()?));
            let (number, answered, first) = (word()?, word()?, word()?);
            Some((request, Sent::Submit(Submission { session, number, answered, first, key: *key, asked })))
        }
        _ => None,
    }
}

/// A reply, as a session table keeps it.
pub(crate) fn bytes_of(reply: Reply) -> Bytes {
    let mut bytes = Vec::new();
    match reply {
        Reply::Written => bytes.push(0),
        Reply::Swapped(swapped) => bytes.push(1 + u8::from(swapped)),
        Reply::Value(None) => bytes.push(3),
        Reply::Value(Some(value)) => {
            bytes.push(4);
            bytes.extend(value.to_be_bytes());
        }
    }
    Bytes::from(bytes)
}

/// The reply that was kept as these bytes; `None` where they are none.
pub(crate) fn reply_of(bytes: &[u8]) -> Option<Reply> {
    Some(match bytes {
        [0] => Reply::Written,
        [1] => Reply::Swapped(false),
        [2] => Reply::Swapped(true),
        [3] => Reply::Value(None),
        [4, value @ ..] => Reply::Value(Some(u64::from_be_bytes(value.try_into().ok()?))),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is sent and what is kept reads back. Method: one of each kind, and bytes that are none.
    #[test]
    fn commands_and_replies_read_back() {
        let session = SessionId::new(LogIndex::new(9));
        let asked = Asked::Swap(Some(4));
        let what = Submission { session, number: 3, answered: 2, first: 5, key: 1, asked };
        assert_eq!(sent_by(&submit(7, &what).as_slice()[0]), Some((7, Sent::Submit(what))));
        assert_eq!(sent_by(&register(8).as_slice()[0]), Some((8, Sent::Register)));
        assert_eq!(sent_by(&register(8).as_slice()[0][..8]), None);
        assert_eq!(crate::client::call_of(&submit(7, &what).as_slice()[0]), None);
        for reply in [
            Reply::Written,
            Reply::Swapped(false),
            Reply::Swapped(true),
            Reply::Value(None),
            Reply::Value(Some(1 << 40)),
        ] {
            assert_eq!(reply_of(&bytes_of(reply)), Some(reply));
        }
        assert_eq!(reply_of(&[4, 1]), None);
    }
}
