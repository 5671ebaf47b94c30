//! Where something is: terms, log indexes, log time, and the order of positions by which logs are compared.

use core::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(u64);

        impl $name {
            /// Zero: before the first.
            pub const ZERO: $name = $name(0);

            /// From the plain number.
            pub const fn new(raw: u64) -> Self {
                $name(raw)
            }

            /// The plain number.
            pub const fn raw(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// A term (Raft thesis §3.3): time is divided into terms, each with at most one leader. Term 0 holds the founding
    /// configuration and no election.
    Term
}

number! {
    /// A place in the log. The first entry has index 1; 0 is the place before it.
    LogIndex
}

number! {
    /// Log time, in ticks: what the entry before says, plus the ticks that the leader counted since. It is the only clock
    /// that a state machine sees, it never runs backwards, and it stands still while there is no leader.
    LogTime
}

number! {
    /// The number of a write (see [`Write`](crate::Write)): 1, 2, 3 … within one boot.
    WriteNumber
}

number! {
    /// The number of a fetch (see [`Fetch`](crate::Fetch)): 1, 2, 3 … within one boot.
    FetchNumber
}

number! {
    /// The number of a transfer of a snapshot (see [`SendSnapshot`](crate::SendSnapshot)): 1, 2, 3 … within one boot.
    SendNumber
}

number! {
    /// The number of a question to a leader about how far the log is: 1, 2, 3 … within one boot.
    Token
}

number! {
    /// The number of a round of heartbeats: 1, 2, 3 … within one boot.
    Round
}

number! {
    /// The number of an attempt to become leader that asks for pre-votes: 1, 2, 3 … within one boot.
    Attempt
}

number! {
    /// The caller's own name for a request. It comes back in the [`Answer`](crate::Answer); the core never looks at it, so two requests
    /// under way with one name get two answers that nobody can tell apart.
    RequestId
}

impl Term {
    /// The term after this one, or `None` after the last (2⁶⁴ − 1).
    pub const fn next(self) -> Option<Term> {
        match self.0.checked_add(1) {
            Some(raw) => Some(Term(raw)),
            None => None,
        }
    }
}

impl LogIndex {
    /// The greatest index that a log can have. Far below 2⁶⁴, so that sums of an index and a length can not overflow.
    pub const MAX: LogIndex = LogIndex(u64::MAX >> 1);

    /// The index after this one; saturating at 2⁶⁴ − 1.
    pub const fn next(self) -> LogIndex {
        self.plus(1)
    }

    /// The index before this one; 0 before 0.
    pub const fn previous(self) -> LogIndex {
        LogIndex(self.0.saturating_sub(1))
    }

    /// This index moved on by `count`; saturating.
    pub const fn plus(self, count: u64) -> LogIndex {
        LogIndex(self.0.saturating_add(count))
    }

    /// How many entries lie behind `earlier`, up to this one; 0 where `earlier` is not earlier.
    pub const fn since(self, earlier: LogIndex) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl LogTime {
    /// This time moved on by `ticks`; saturating.
    pub const fn plus(self, ticks: u64) -> LogTime {
        LogTime(self.0.saturating_add(ticks))
    }
}

impl WriteNumber {
    pub(crate) const fn next(self) -> WriteNumber {
        WriteNumber(self.0.saturating_add(1))
    }
}

impl FetchNumber {
    pub(crate) const fn next(self) -> FetchNumber {
        FetchNumber(self.0.saturating_add(1))
    }
}

impl SendNumber {
    pub(crate) const fn next(self) -> SendNumber {
        SendNumber(self.0.saturating_add(1))
    }
}

impl Token {
    pub(crate) const fn next(self) -> Token {
        Token(self.0.saturating_add(1))
    }
}

impl Attempt {
    pub(crate) const fn next(self) -> Attempt {
        Attempt(self.0.saturating_add(1))
    }
}

impl Round {
    pub(crate) const fn next(self) -> Round {
        Round(self.0.saturating_add(1))
    }
}

/// An entry's term and index. By the Log Matching Property (Raft thesis §3.5) a position names one entry and all before
/// it, whatever log it is found in.
///
/// The order of positions is the order of logs (Raft thesis §3.6.1): the log with the greater last term is more
/// up-to-date, and of two with equal last terms the longer one. This is the one place where logs are compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Compared first.
    pub term: Term,
    /// Compared where the terms are equal.
    pub index: LogIndex,
}

impl Position {
    /// The place before the first entry.
    pub const ZERO: Position = Position { term: Term::ZERO, index: LogIndex::ZERO };

    /// From plain numbers, the term first.
    pub const fn new(term: u64, index: u64) -> Self {
        Position { term: Term(term), index: LogIndex(index) }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.index)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
