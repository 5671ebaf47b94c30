//! The key-value state machine, and how its commands stand in the log.
//!
//! ```text
//!   ┌────┬────────────┬─────────┬───────────┐
//!   │ op │ key length │   key   │   value   │     op: 1 put, 2 delete
//!   │ u8 │ u16, big e.│ 1..1024 │ 0..1 MiB  │     a value only behind a put
//!   └────┴────────────┴─────────┴───────────┘
//! ```
//!
//! What is none of these changes nothing. Older logs hold reads, as op 3.
//! This file knows nothing of HTTP, servers or terms.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use raft_core::{LogTime, Position};
use raft_driver_tokio::StateMachine;

/// The longest key, in bytes. The shortest has one byte.
pub(crate) const KEY_BYTES_MAX: usize = 1024;
/// The longest value, in bytes.
pub(crate) const VALUE_BYTES_MAX: usize = 1 << 20;

const PUT: u8 = 1;
const DELETE: u8 = 2;

/// What a client wants done with a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    /// Sets the value of the key.
    Put(Bytes),
    /// Takes the key away.
    Delete,
}

impl Command {
    /// The command for `key` as bytes for the log.
    pub(crate) fn encode(&self, key: &[u8]) -> Bytes {
        let (op, value): (u8, &[u8]) = match self {
            Command::Put(value) => (PUT, value),
            Command::Delete => (DELETE, &[]),
        };
        let key_length = u16::try_from(key.len()).expect("keys are at most 1,024 bytes long");
        let mut bytes = BytesMut::with_capacity(3 + key.len() + value.len());
        bytes.put_u8(op);
        bytes.put_u16(key_length);
        bytes.put_slice(key);
        bytes.put_slice(value);
        bytes.freeze()
    }
}

/// What applying a command came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// The value is set.
    Stored,
    /// The key is not there any more; whether it was before.
    Deleted {
        /// Whether there was something to take away.
        existed: bool,
    },
    /// The bytes are no command. Nothing has changed, on any server.
    Unreadable,
}

/// The keys and their values.
#[derive(Default)]
pub(crate) struct Store {
    values: BTreeMap<Box<[u8]>, Bytes>,
}

impl Store {
    /// The value of `key`.
    pub(crate) fn read(&self, key: &[u8]) -> Option<Bytes> {
        self.values.get(key).cloned()
    }
}

impl StateMachine for Store {
    type Output = Reply;

    fn apply(&mut self, _position: Position, _time: LogTime, command: &Bytes) -> Reply {
        let [op, high, low, rest @ ..] = &command[..] else {
            return Reply::Unreadable;
        };
        let Some((key, value)) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low]))) else {
            return Reply::Unreadable;
        };
        match (*op, value) {
            (PUT, value) => {
                // A copy, because a slice would keep the whole packet or disk record alive that the command came in.
                self.values.insert(key.into(), Bytes::copy_from_slice(value));
                Reply::Stored
            }
            (DELETE, []) => Reply::Deleted { existed: self.values.remove(key).is_some() },
            _ => Reply::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(store: &mut Store, command: &Bytes) -> Reply {
        store.apply(Position::new(1, 1), LogTime::ZERO, command)
    }

    #[test]
    fn commands_do_what_they_say() {
        let (mut store, key) = (Store::default(), &b"\xff/\0"[..]);
        let put = Command::Put(Bytes::from_static(b"\x80value"));
        assert_eq!(store.read(key), None);
        assert_eq!(apply(&mut store, &put.encode(key)), Reply::Stored);
        assert_eq!(store.read(key), Some(Bytes::from_static(b"\x80value")));
        assert_eq!(store.read(b"other"), None);
        assert_eq!(apply(&mut store, &Command::Delete.encode(key)), Reply::Deleted { existed: true });
        assert_eq!(apply(&mut store, &Command::Delete.encode(key)), Reply::Deleted { existed: false });
    }

    #[test]
    fn an_empty_value_is_a_value() {
        let mut store = Store::default();
        apply(&mut store, &Command::Put(Bytes::new()).encode(b"k"));
        assert_eq!(store.read(b"k"), Some(Bytes::new()));
    }

    #[test]
    fn what_is_no_command_changes_nothing() {
        let mut store = Store::default();
        let whole = Command::Put(Bytes::from_static(b"v")).encode(b"key");
        for cut in 0..3 + b"key".len() {
            assert_eq!(apply(&mut store, &whole.slice(..cut)), Reply::Unreadable, "cut at {cut}");
        }
        for bytes in [&b"\x04\0\x01k"[..], b"\0\0\x01k", b"\x02\0\x01kv", b"\x03\0\x01k"] {
            assert_eq!(apply(&mut store, &Bytes::copy_from_slice(bytes)), Reply::Unreadable, "{bytes:?}");
        }
        assert!(store.values.is_empty());
    }
}
