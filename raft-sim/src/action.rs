//! The one way in which anything happens in a [`World`](crate::World). Schedulers choose actions, a file of them is a run,
//! and shrinking a run is deleting lines from it.
//!
//! Each action is one readable line, and reads back from it:
//!
//! ```
//! use raft_sim::Action;
//! for line in [
//!     "tick 2 +5", "deliver 1>2#17", "drop 1>2#17", "duplicate 1>2#17", "step 2", "step 2 effects 3", "perform 2",
//!     "sync 2 batches 1", "applied 2", "fetched 2", "crash 2 keep 1", "crash 2 keep 0 torn", "crash 2 keep 0 torn stray 5",
//!     "restart 2 tail 10", "fail-write 2", "damage 2 record 3", "wipe 2", "roll-back 2 records 4",
//!     "cut 1>2", "mend 1>2", "partition 1,3", "heal", "propose 2 request 7 commands 3 bytes 64", "command 2 request 7",
//!     "call 2 request 9 client 1 key 3 read", "call 2 request 9 client 1 key 3 write",
//!     "call 2 request 9 client 1 key 3 swap 4", "call 2 request 9 client 1 key 3 swap nothing",
//!     "campaign 2", "step-down 2", "forget-leader 2", "transfer 2 request 8", "transfer 2 request 8 to 3",
//!     "change 2 request 9 set 1,2,4", "change 2 request 9 set 1,2 learners 3 based-on 7", "change 2 request 9 add 4 voter",
//!     "change 2 request 9 add 4 learner", "change 2 request 9 add 4 staging", "change 2 request 9 remove 1",
//!     "change 2 request 9 promote 4", "change 2 request 9 demote 1 based-on 7", "change 2 request 9 readdress 3 2",
//!     "save 2", "saved 2", "move 1>3", "sent 1>3", "lose 1>3", "compact 2",
//!     "watch 1,3", "watch 1,3 for-good", "unwatch", "pass +2",
//! ] {
//!     let action: Action = line.parse().unwrap();
//!     assert_eq!(action.to_string(), line);
//! }
//! ```
//!
//! An action says what happens, never when: virtual time belongs to the scheduler. Only who watches a clique is told how it passes.

mod text;
mod wanted;

use core::fmt;

pub use self::text::ParseActionError;
pub(crate) use self::wanted::server_of;
pub use self::wanted::{Role, Wanted};
use crate::client::Asked;

/// A simulated machine, numbered from 1: it has a disk for good, and a node while it is up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(u8);

impl HostId {
    /// The most machines that a world can have.
    pub const MAX: u8 = 64;

    /// The machine of this number, from 1 to [`MAX`](Self::MAX).
    pub const fn new(number: u8) -> Option<Self> {
        if number == 0 || Self::MAX < number { None } else { Some(HostId(number)) }
    }

    /// The machine at this place in a list, which must be below [`MAX`](Self::MAX).
    pub(crate) const fn at(nth: usize) -> Self {
        HostId(nth as u8 + 1)
    }

    /// Its place in a list.
    pub const fn nth(self) -> usize {
        self.0 as usize - 1
    }

    /// Its number.
    pub const fn raw(self) -> u8 {
        self.0
    }
}

/// A set of machines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HostSet(u64);

impl HostSet {
    /// None.
    pub const EMPTY: HostSet = HostSet(0);

    /// With this one.
    pub const fn with(self, host: HostId) -> Self {
        HostSet(self.0 | 1 << host.nth())
    }

    /// Without this one.
    pub const fn without(self, host: HostId) -> Self {
        HostSet(self.0 & !(1 << host.nth()))
    }

    /// With all of those.
    pub const fn union(self, other: HostSet) -> Self {
        HostSet(self.0 | other.0)
    }

    /// Those that are in both.
    pub const fn intersection(self, other: HostSet) -> Self {
        HostSet(self.0 & other.0)
    }

    /// Whether this one is in it.
    pub const fn contains(self, host: HostId) -> bool {
        self.0 >> host.nth() & 1 == 1
    }

    /// How many.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In order.
    pub fn iter(self) -> impl Iterator<Item = HostId> {
        (0..HostId::MAX as usize).map(HostId::at).filter(move |host| self.contains(*host))
    }

    /// The set of these bits, the first machine lowest.
    pub const fn of_bits(bits: u64) -> Self {
        HostSet(bits)
    }

    /// The set as bits, the first machine lowest.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl FromIterator<HostId> for HostSet {
    fn from_iter<I: IntoIterator<Item = HostId>>(hosts: I) -> Self {
        hosts.into_iter().fold(HostSet::EMPTY, HostSet::with)
    }
}

/// The way from one machine to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// From where.
    pub from: HostId,
    /// To where.
    pub to: HostId,
}

/// A packet's name: the how-manieth on its link, from 1. Its copies share it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketName {
    /// The way that it takes.
    pub link: Link,
    /// Which of those on that way.
    pub number: u32,
}

/// One thing that happens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The clock of a machine moves on. The node hears of it at its next step.
    Tick {
        /// Whose clock.
        host: HostId,
        /// By how many ticks.
        elapsed: u32,
    },
    /// A copy of a packet arrives at its machine. The node hears of it at its next step.
    Deliver {
        /// Which.
        packet: PacketName,
    },
    /// A copy of a packet is lost.
    Drop {
        /// Which.
        packet: PacketName,
    },
    /// A packet in flight becomes one copy more.
    Duplicate {
        /// Which.
        packet: PacketName,
    },
    /// The node takes all that has come to its machine since its last step; then the first so many effects of that are
    /// performed, or all. What was left over of an earlier step is performed before.
    Step {
        /// Whose node.
        host: HostId,
        /// How many of the effects; `None`: all.
        effects: Option<u32>,
    },
    /// The effects left over from the last step are performed.
    Perform {
        /// Whose.
        host: HostId,
    },
    /// The disk makes its oldest batches durable and reports that.
    Sync {
        /// Whose disk.
        host: HostId,
        /// How many batches.
        batches: u32,
    },
    /// The state machine has finished what it was given, and reports that.
    Applied {
        /// Whose.
        host: HostId,
    },
    /// The oldest read of the log is answered.
    Fetched {
        /// Whose.
        host: HostId,
    },
    /// The machine goes down with all that is not durable.
    Crash {
        /// Which.
        host: HostId,
        /// How many of the batches that were not yet synced made it to the disk nevertheless: the oldest ones.
        keep: u32,
        /// Whether of the batch behind these a part made it, which recovery has to throw away.
        torn: bool,
        /// Which of the batches behind that one made it, though one before them did not: as bits, the first lowest. Recovery
        /// has to throw them away too.
        stray: u32,
    },
    /// The machine comes up again with what its disk holds.
    Restart {
        /// Which.
        host: HostId,
        /// How many entries the node is given at most; the rest it has to fetch.
        tail: u64,
    },
    /// The disk fails to make its oldest batch durable, and reports that. What is on it of the outstanding ones only the
    /// next crash decides.
    FailWrite {
        /// Whose disk.
        host: HostId,
    },
    /// A record on the disk of a machine that is down becomes unreadable.
    Damage {
        /// Whose disk.
        host: HostId,
        /// The how-manieth record, from 0; the first is that of the founding.
        record: u32,
    },
    /// A machine that is down gets an empty disk: it comes back as another pair, which nobody knows.
    Wipe {
        /// Which.
        host: HostId,
    },
    /// On a machine that is down an old copy of its disk is put back, without its newest records. No Raft survives that, so
    /// it is drawn by the profile `hopeless` alone.
    RollBack {
        /// Which.
        host: HostId,
        /// How many records are gone.
        records: u32,
    },
    /// Nothing gets through on this way any more.
    Cut {
        /// Which.
        link: Link,
    },
    /// The way is open again.
    Mend {
        /// Which.
        link: Link,
    },
    /// Nothing gets through between these machines and the others any more, in either direction.
    Partition {
        /// One side.
        side: HostSet,
    },
    /// All ways are open again.
    Heal,
    /// A client asks a node to append commands.
    Propose {
        /// Whom.
        host: HostId,
        /// The request's number, which the commands carry too. Every request has another.
        request: u64,
        /// How many commands, at most 255.
        commands: u8,
        /// The length of each command in bytes; it is never shorter than the eight bytes that tell them apart.
        bytes: u32,
    },
    /// A client asks for a command of the state machine of whoever uses the simulator. What it says stands beside the list of actions,
    /// by the request's number.
    Command {
        /// Whom.
        host: HostId,
        /// The request's number; it shares the row of numbers with proposals.
        request: u64,
    },
    /// A client asks for an operation on a register of the replicated state machine.
    Call {
        /// Whom.
        host: HostId,
        /// The request's number; it shares the row of numbers with proposals.
        request: u64,
        /// Who asks.
        client: u8,
        /// On which register.
        key: u8,
        /// For what.
        asked: Asked,
    },
    /// A client reads a register without an entry in the log: from the state machine of the server that it asks.
    Read {
        /// Whom.
        host: HostId,
        /// The request's number; it shares the row of numbers with proposals.
        request: u64,
        /// Who asks.
        client: u8,
        /// Which register.
        key: u8,
    },
    /// A client reads what may be out of date.
    ReadWithin {
        /// Whom it asks.
        host: HostId,
        /// The request's number; it shares the row of numbers with proposals.
        request: u64,
        /// By how many ticks at most.
        ticks: u32,
    },
    /// A client writes a register by way of any server, which passes that on to the leader.
    Forward {
        /// Whom it asks.
        host: HostId,
        /// The request's number; it shares the row of numbers with proposals.
        request: u64,
        /// Who asks.
        client: u8,
        /// Which register.
        key: u8,
    },
    /// A client waits until all is applied that was proposed to a leader.
    Barrier {
        /// Whom it asks.
        host: HostId,
        /// The request's number; it shares the row of numbers with proposals.
        request: u64,
    },
    /// A client wants to know whether a server leads, now.
    Verify {
        /// Whom it asks.
        host: HostId,
        /// The request's number; it shares the row of numbers with proposals.
        request: u64,
    },
    /// A client asks for a session.
    Register {
        /// Whom it asks.
        host: HostId,
        /// The request's number; it shares the row of numbers with proposals.
        request: u64,
        /// Who asks.
        client: u8,
    },
    /// A client with a session asks for another operation on a register.
    Submit {
        /// Whom it asks.
        host: HostId,
        /// The request's number; it shares the row of numbers with proposals.
        request: u64,
        /// Who asks.
        client: u8,
        /// On which register.
        key: u8,
        /// For what.
        asked: Asked,
    },
    /// A client with a session sends a command again that it has no answer to.
    Again {
        /// To whom.
        host: HostId,
        /// The request's number; it shares the row of numbers with proposals.
        request: u64,
        /// Who sends.
        client: u8,
        /// The how-manieth of those without an answer, from 0.
        nth: u8,
    },
    /// An operator asks a node to try to become leader.
    Campaign {
        /// Whom.
        host: HostId,
    },
    /// An operator asks a node not to lead any more.
    StepDown {
        /// Whom.
        host: HostId,
    },
    /// An operator asks a node to forget its leader.
    ForgetLeader {
        /// Whom.
        host: HostId,
    },
    /// An operator asks a node to hand its leadership over.
    Transfer {
        /// Whom.
        host: HostId,
        /// The request's number; it shares the row of numbers with proposals.
        request: u64,
        /// To whom; `None`: to whoever the node picks.
        to: Option<HostId>,
    },
    /// An operator asks a node to change the configuration.
    Reconfigure {
        /// Whom.
        host: HostId,
        /// The request's number; it shares the row of numbers with proposals.
        request: u64,
        /// What is to be.
        wanted: Wanted,
        /// The index of the configuration that the operator has looked at, if it is to be that one.
        based_on: Option<u64>,
    },
    /// A snapshot of the state machine begins to be made, of what it is now.
    Save {
        /// Whose.
        host: HostId,
    },
    /// The snapshot that was begun is durable, and that is reported.
    Saved {
        /// Whose.
        host: HostId,
    },
    /// A snapshot that is being sent goes on: its first part gets to the receiver, or the rest of it. Then all is durable there, and
    /// the packet that tells of it is on its way.
    Move {
        /// From whom to whom. One may send another two of them where it was replaced; then it is the oldest that is for who it is
        /// now.
        link: Link,
    },
    /// A snapshot was sent: the node of the receiver was handed the packet. That is reported.
    Sent {
        /// From whom to whom.
        link: Link,
    },
    /// Sending a snapshot fails, or seems to have failed: of those on this way the oldest. That is reported.
    Lose {
        /// From whom to whom.
        link: Link,
    },
    /// A disk gives up entries and snapshots that a newer snapshot stands for.
    Compact {
        /// Whose.
        host: HostId,
    },
    /// From here on the oracles watch a clique, which is to be left in peace: nothing that goes wrong in it comes from outside of
    /// its nodes. Changes nothing but what is judged. Happens only while all of them are up and the ways between them open, and only
    /// with a majority.
    Watch {
        /// Who.
        clique: HostSet,
        /// Whether this is the end: all has to get well in it.
        for_good: bool,
    },
    /// The clique that is watched is watched no longer.
    Unwatch,
    /// So much time has passed for those who watch, by a clock of their own.
    Pass {
        /// How many ticks, 1 to [`Action::PASS_MAX`].
        ticks: u8,
    },
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

debug_like_display!(HostId, HostSet, Link, PacketName, Action);

impl Action {
    /// The most time in ticks that passes at once for those who watch: they see no better than that.
    pub const PASS_MAX: u8 = 4;

    /// Whether something happens in the world, and not only to those who watch it.
    pub fn is_event(&self) -> bool {
        !matches!(self, Action::Watch { .. } | Action::Unwatch | Action::Pass { .. })
    }

    /// The change that it asks for as numbers, for digests, if it does.
    pub fn change_words(&self) -> Option<[u64; 3]> {
        match self {
            Action::Reconfigure { wanted, .. } => Some(wanted.words()),
            _ => None,
        }
    }

    /// The action as numbers, for digests: which kind, and what it says, but for what [`change_words`](Self::change_words) has.
    /// Equal on every machine.
    pub fn words(&self) -> [u64; 4] {
        let at = |host: HostId| u64::from(host.raw());
        let way = |link: Link| at(link.from) << 8 | at(link.to);
        let name = |packet: &PacketName| way(packet.link) << 32 | u64::from(packet.number);
        match self {
            Action::Tick { host, elapsed } => [1, at(*host), u64::from(*elapsed), 0],
            Action::Deliver { packet } => [2, name(packet), 0, 0],
            Action::Drop { packet } => [3, name(packet), 0, 0],
            Action::Duplicate { packet } => [4, name(packet), 0, 0],
            Action::Step { host, effects } => [5, at(*host), effects.map_or(u64::MAX, u64::from), 0],
            Action::Perform { host } => [6, at(*host), 0, 0],
            Action::Sync { host, batches } => [7, at(*host), u64::from(*batches), 0],
            Action::Applied { host } => [8, at(*host), 0, 0],
            Action::Fetched { host } => [9, at(*host), 0, 0],
            Action::Crash { host, keep, torn, stray } => {
                [10, at(*host), u64::from(*keep), u64::from(*torn) | u64::from(*stray) << 1]
            }
            Action::Restart { host, tail } => [11, at(*host), *tail, 0],
            Action::Cut { link } => [12, way(*link), 0, 0],
            Action::Mend { link } => [13, way(*link), 0, 0],
            Action::Partition { side } => [14, side.bits(), 0, 0],
            Action::Heal => [15, 0, 0, 0],
            Action::Propose { host, request, commands, bytes } => {
                [16, at(*host) << 8 | u64::from(*commands), *request, u64::from(*bytes)]
            }
            Action::Call { host, request, client, key, asked } => {
                let [kind, expected] = asked.words();
                let who = at(*host) | u64::from(*client) << 8 | u64::from(*key) << 16 | kind << 24;
                [25, who, *request, expected]
            }
            Action::Campaign { host } => [17, at(*host), 0, 0],
            Action::StepDown { host } => [18, at(*host), 0, 0],
            Action::ForgetLeader { host } => [19, at(*host), 0, 0],
            Action::Transfer { host, request, to } => [20, at(*host), *request, to.map_or(0, at)],
            Action::FailWrite { host } => [21, at(*host), 0, 0],
            Action::Damage { host, record } => [22, at(*host), u64::from(*record), 0],
            Action::Wipe { host } => [23, at(*host), 0, 0],
            Action::RollBack { host, records } => [24, at(*host), u64::from(*records), 0],
            Action::Watch { clique, for_good } => [26, clique.bits(), u64::from(*for_good), 0],
            Action::Unwatch => [27, 0, 0, 0],
            Action::Pass { ticks } => [28, u64::from(*ticks), 0, 0],
            Action::Reconfigure { host, request, based_on, .. } => {
                [29, at(*host), *request, based_on.map_or(0, |index| index.saturating_add(1))]
            }
            Action::Save { host } => [30, at(*host), 0, 0],
            Action::Saved { host } => [31, at(*host), 0, 0],
            Action::Move { link } => [32, way(*link), 0, 0],
            Action::Sent { link } => [33, way(*link), 0, 0],
            Action::Lose { link } => [34, way(*link), 0, 0],
            Action::Compact { host } => [35, at(*host), 0, 0],
            Action::Read { host, request, client, key } => {
                [36, at(*host) | u64::from(*client) << 8 | u64::from(*key) << 16, *request, 0]
            }
            Action::Barrier { host, request } => [37, at(*host), *request, 0],
            Action::Verify { host, request } => [38, at(*host), *request, 0],
            Action::Register { host, request, client } => {
                [39, at(*host) | u64::from(*client) << 8, *request, 0]
            }
            Action::Submit { host, request, client, key, asked } => {
                let [kind, expected] = asked.words();
                let who = at(*host) | u64::from(*client) << 8 | u64::from(*key) << 16 | kind << 24;
                [40, who, *request, expected]
            }
            Action::Again { host, request, client, nth } => {
                [41, at(*host) | u64::from(*client) << 8 | u64::from(*nth) << 16, *request, 0]
            }
            Action::ReadWithin { host, request, ticks } => [42, at(*host), *request, u64::from(*ticks)],
            Action::Forward { host, request, client, key } => {
                [43, at(*host) | u64::from(*client) << 8 | u64::from(*key) << 16, *request, 0]
            }
            Action::Command { host, request } => [44, at(*host), *request, 0],
        }
    }
}
