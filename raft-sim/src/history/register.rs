//! The register map: what the operations do. It serves as the replicated state machine of simulated worlds and as the
//! specification that histories are held against.

use std::collections::BTreeMap;
use std::fmt;

/// What a client asks of a register. An empty register holds `None`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operation {
    /// What does it hold?
    Read,
    /// From now on it holds this.
    Write(u64),
    /// If it holds `expected`, it holds `new` from now on.
    CompareAndSwap {
        /// What it has to hold.
        expected: Option<u64>,
        /// What it then holds.
        new: u64,
    },
}

/// What a client is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reply {
    /// To a read: what the register holds.
    Value(Option<u64>),
    /// To a write: it is done.
    Written,
    /// To a compare-and-swap: whether it held what was expected, and so was changed.
    Swapped(bool),
}

impl Operation {
    /// What a register that holds `value` holds afterwards, and the reply.
    pub fn apply(self, value: Option<u64>) -> (Option<u64>, Reply) {
        match self {
            Operation::Read => (value, Reply::Value(value)),
            Operation::Write(new) => (Some(new), Reply::Written),
            Operation::CompareAndSwap { expected, new } if value == expected => {
                (Some(new), Reply::Swapped(true))
            }
            Operation::CompareAndSwap { .. } => (value, Reply::Swapped(false)),
        }
    }

    /// Whether it may change a register.
    pub fn writes(self) -> bool {
        !matches!(self, Operation::Read)
    }
}

/// A map of registers, all empty at first. Deterministic.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registers(BTreeMap<u64, u64>);

impl Registers {
    /// Performs an operation.
    pub fn apply(&mut self, key: u64, operation: Operation) -> Reply {
        let before = self.value(key);
        let (after, reply) = operation.apply(before);
        if let Some(after) = after
            && before != Some(after)
        {
            self.0.insert(key, after);
        }
        reply
    }

    /// What a register holds.
    pub fn value(&self, key: u64) -> Option<u64> {
        self.0.get(&key).copied()
    }

    /// Every register that holds something, in order, with what it holds.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(key, value)| (*key, *value))
    }
}

struct Shown(Option<u64>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{value}"),
            None => f.write_str("nothing"),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Read => f.write_str("read"),
            Operation::Write(value) => write!(f, "write {value}"),
            Operation::CompareAndSwap { expected, new } => write!(f, "swap {} for {new}", Shown(*expected)),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Value(value) => write!(f, "{}", Shown(*value)),
            Reply::Written => f.write_str("done"),
            Reply::Swapped(true) => f.write_str("swapped"),
            Reply::Swapped(false) => f.write_str("not swapped"),
        }
    }
}
