//! What clients write: commands that no two requests share, so that an oracle can tell where each one went. Some are
//! operations on the registers of the replicated state machine, the others say nothing to it.

use core::fmt;

use bytes::Bytes;
use raft_core::{Commands, Entry};

use crate::history::Operation;

/// What a client asks of a register. What it writes is its request's number, so that every value that is read says who wrote
/// it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Asked {
    /// What does it hold?
    Read,
    /// It is to hold the request's number.
    Write,
    /// It is to hold the request's number if it holds this.
    Swap(Option<u64>),
}

impl Asked {
    /// The operation that a request of this number asks for.
    pub fn operation(self, request: u64) -> Operation {
        match self {
            Asked::Read => Operation::Read,
            Asked::Write => Operation::Write(request),
            Asked::Swap(expected) => Operation::CompareAndSwap { expected, new: request },
        }
    }

    pub(crate) fn words(self) -> [u64; 2] {
        match self {
            Asked::Read => [1, 0],
            Asked::Write => [2, 0],
            Asked::Swap(None) => [3, 0],
            Asked::Swap(Some(expected)) => [4, expected],
        }
    }

    pub(crate) fn from_words(words: [u64; 2]) -> Option<Self> {
        Some(match words {
            [1, 0] => Asked::Read,
            [2, 0] => Asked::Write,
            [3, 0] => Asked::Swap(None),
            [4, expected] => Asked::Swap(Some(expected)),
            _ => return None,
        })
    }

    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        Some(match words {
            ["read"] => Asked::Read,
            ["write"] => Asked::Write,
            ["swap", "nothing"] => Asked::Swap(None),
            ["swap", expected] => Asked::Swap(Some(expected.parse().ok()?)),
            _ => return None,
        })
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asked::Read => f.write_str("read"),
            Asked::Write => f.write_str("write"),
            Asked::Swap(None) => f.write_str("swap nothing"),
            Asked::Swap(Some(expected)) => write!(f, "swap {expected}"),
        }
    }
}

/// The command of a call: its name, then register and operation.
pub(crate) fn call(request: u64, key: u8, asked: Asked) -> Commands {
    let [kind, expected] = asked.words();
    let mut payload = command(request, 0).to_be_bytes().to_vec();
    payload.extend([kind as u8, key]);
    payload.extend(expected.to_be_bytes());
    Commands::One(Bytes::from(payload))
}

/// Says that the command of a user's state machine follows.
const OWN: u8 = 18;

/// The command of a request for a user's state machine: its name, then what it says.
pub(crate) fn own(request: u64, says: &[u8]) -> Commands {
    let name = command(request, 0).to_be_bytes();
    Commands::One(Bytes::from([&name[..], &[OWN], says].concat()))
}

/// What the command of a user's state machine says, where these bytes are one.
pub(crate) fn own_of(bytes: &Bytes) -> Option<Bytes> {
    (bytes.get(8) == Some(&OWN)).then(|| bytes.slice(9..))
}

/// What the entries of these commands count towards limits.
pub(crate) fn bytes_of(commands: &Commands) -> u32 {
    let entry = |command: &Bytes| Entry::OVERHEAD_BYTES as u32 + command.len() as u32;
    commands.as_slice().iter().map(entry).sum()
}

/// Request, register and operation, where these bytes are the command of a call.
pub(crate) fn call_of(bytes: &[u8]) -> Option<(u64, u64, Operation)> {
    let (request, _) = parts_of(command_of(bytes)?);
    let [kind, key, expected @ ..] = bytes.get(8..)? else { return None };
    let expected = u64::from_be_bytes(expected.first_chunk::<8>().copied()?);
    let asked = Asked::from_words([u64::from(*kind), expected])?;
    Some((request, u64::from(*key), asked.operation(request)))
}

/// The name of a command: its request's number and its place in the request.
pub(crate) const fn command(request: u64, nth: u8) -> u64 {
    request << 8 | nth as u64
}

/// Request number and place.
pub(crate) const fn parts_of(command: u64) -> (u64, u8) {
    (command >> 8, command as u8)
}

/// Whose command these bytes are.
pub(crate) fn command_of(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.first_chunk::<8>().copied()?))
}

/// The commands of a request, each `bytes` long but at least as long as its name.
pub(crate) fn commands(request: u64, count: u8, bytes: u32) -> Commands {
    let one = |nth: u8| {
        let mut payload = vec![0; (bytes as usize).max(8)];
        payload[..8].copy_from_slice(&command(request, nth).to_be_bytes());
        Bytes::from(payload)
    };
    if count == 1 { Commands::One(one(0)) } else { Commands::Many((0..count).map(one).collect()) }
}
