//! Who is who. A server is a *pair* of an id and an incarnation: the id is a name that people choose, the incarnation is
//! 128 random bits drawn when its empty disk was formatted. A wiped disk comes back as another pair, which nobody counts,
//! so a pair never forgets a promise, and Raft's proofs hold with pairs as servers.
//!
//! Nothing here knows of terms, logs or packets.

use core::fmt;
use core::num::NonZeroU64;
use core::str::FromStr;

/// The name of a server within its cluster: any number but zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(NonZeroU64);

impl NodeId {
    /// `None` for zero, which stands for "no server" in the wire format.
    pub const fn new(raw: u64) -> Option<Self> {
        match NonZeroU64::new(raw) {
            Some(raw) => Some(NodeId(raw)),
            None => None,
        }
    }

    /// The number itself, at least 1.
    pub const fn raw(self) -> u64 {
        self.0.get()
    }
}

/// The life of one disk: 128 random bits, drawn by the embedder when it formats an empty directory and made durable
/// before a node of it exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    // Two halves and not one number of 128 bits, whose alignment would make every packet larger.
    high: u64,
    low: u64,
}

impl Incarnation {
    /// An incarnation from its bits. They have to come from a good random source: two disks with equal bits would pass
    /// for one another.
    pub const fn new(bits: u128) -> Self {
        Incarnation { high: (bits >> 64) as u64, low: bits as u64 }
    }

    /// The bits.
    pub const fn raw(self) -> u128 {
        ((self.high as u128) << 64) | self.low as u128
    }
}

/// A server as the protocol knows it: votes and acknowledgements count for a pair, never for an id alone.
///
/// Written `ID@INCARNATION`, the incarnation as 32 hexadecimal digits:
///
/// ```
/// use raft_core::{Incarnation, NodeId, Pair};
/// let pair = Pair { id: NodeId::new(7).unwrap(), incarnation: Incarnation::new(0xabc) };
/// assert_eq!(pair.to_string(), "7@00000000000000000000000000000abc");
/// assert_eq!(pair.to_string().parse(), Ok(pair));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// The name within the cluster.
    pub id: NodeId,
    /// Which life of that server's disk.
    pub incarnation: Incarnation,
}

/// One start of one pair: durable, and one greater at every start. It tells answers to this run of the program from
/// answers to an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot(u64);

impl Boot {
    /// The boot with that number; the first start of a pair is number 1. 0 is before it.
    pub const fn new(raw: u64) -> Self {
        Boot(raw)
    }

    /// The number.
    pub const fn raw(self) -> u64 {
        self.0
    }
}

/// Which cluster: the digest of the founding configuration, so two clusters that were founded apart can not be mixed up.
/// [`Membership::cluster_id`](crate::Membership::cluster_id) computes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId {
    high: u64,
    low: u64,
}

impl ClusterId {
    /// A cluster id from its bits.
    pub const fn new(bits: u128) -> Self {
        ClusterId { high: (bits >> 64) as u64, low: bits as u64 }
    }

    /// The bits.
    pub const fn raw(self) -> u128 {
        ((self.high as u128) << 64) | self.low as u128
    }
}

/// What a node is told about itself at every start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Identity {
    /// The cluster that it belongs to. Packets of another cluster are events, nothing more.
    pub cluster: ClusterId,
    /// Itself.
    pub pair: Pair,
    /// This start of it: made durable, and one greater than at the start before.
    pub boot: Boot,
}

/// A text that does not name a server or a cluster, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ParseIdentityError {
    /// The id is not a decimal number from 1 to 2⁶⁴ − 1.
    Id,
    /// An incarnation or cluster id is exactly 32 hexadecimal digits.
    Digits,
    /// A pair is written `ID@INCARNATION`; the `@` is missing.
    At,
}

impl fmt::Display for ParseIdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParseIdentityError::Id => "an id is a decimal number from 1 to 18446744073709551615",
            ParseIdentityError::Digits => "an incarnation or cluster id is exactly 32 hexadecimal digits",
            ParseIdentityError::At => "a server is written ID@INCARNATION",
        })
    }
}

impl core::error::Error for ParseIdentityError {}

fn parse_bits(text: &str) -> Result<u128, ParseIdentityError> {
    // `from_str_radix` alone would also take a sign.
    if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(ParseIdentityError::Digits);
    }
    u128::from_str_radix(text, 16).map_err(|_| ParseIdentityError::Digits)
}

impl FromStr for NodeId {
    type Err = ParseIdentityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseIdentityError::Id);
        }
        text.parse().map(NodeId).map_err(|_| ParseIdentityError::Id)
    }
}

impl FromStr for Incarnation {
    type Err = ParseIdentityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_bits(text).map(Incarnation::new)
    }
}

impl FromStr for ClusterId {
    type Err = ParseIdentityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_bits(text).map(ClusterId::new)
    }
}

impl FromStr for Pair {
    type Err = ParseIdentityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, incarnation) = text.split_once('@').ok_or(ParseIdentityError::At)?;
        Ok(Pair { id: id.parse()?, incarnation: incarnation.parse()? })
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.raw())
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.raw())
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.incarnation)
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

macro_rules! debug_like_display {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

debug_like_display!(NodeId, Incarnation, ClusterId, Pair, Boot);
