//! What an embedder can set, checked once when the node is made. Every queue, batch and window has its limit here.

use core::fmt;

/// The settings of one node. They may differ between the servers of a cluster, and between one start and the next.
///
/// Times are in *ticks*, whose length the embedder picks; the defaults suit a local network with ticks of 10 ms. Start
/// from [`Config::default`] and change what needs changing:
///
/// ```
/// use raft_core::Config;
/// let config = Config { seed: 7, election_timeout_ticks: 50, ..Config::default() };
/// assert_eq!(config.check(), Ok(()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// What election timeouts are spread by, together with server, term and attempt. Any value; servers may share one.
    pub seed: u64,
    /// The shortest election timeout T in ticks: a server that has heard nothing from a leader for a time from [T, 2T)
    /// campaigns (Raft thesis §3.4). 3 to 1,000,000. Default 20.
    pub election_timeout_ticks: u32,
    /// How often a leader sends heartbeats, in ticks: at least 1, and less than half the election timeout, so that one
    /// lost heartbeat costs no leadership. Default 5.
    pub heartbeat_ticks: u32,
    /// A leader whose oldest write is outstanding for this many ticks steps down, and does not campaign until that write
    /// is durable. At least the election timeout. Default 100.
    pub disk_stall_ticks: u32,

    /// Whether a server asks for pre-votes before it begins an election (Raft thesis §9.6), so that one that was cut off does
    /// not disturb the others when it comes back. Default true.
    pub pre_vote: bool,

    /// A member that has not been heard for this many ticks is removed by the leader, as if somebody had asked for it: learners
    /// always, voters as long as at least three are left. At least the election timeout, or 0: never. Default 0.
    pub dead_after_ticks: u32,

    /// The longest command in a proposal, in bytes. 1 to 64 MiB. Default 2 MiB.
    pub command_bytes_max: u64,
    /// The most of the log that is kept in memory once it is committed and durable, in bytes; what is older is fetched when
    /// it is needed. At least 1. Default 4 MiB.
    pub tail_bytes_max: u64,
    /// The most terms whose first index is kept in memory, once they are committed and their entries are not in memory any
    /// more. A follower that has fallen behind further is repaired all the same, in more round trips. At least 1. Default
    /// 1,024.
    pub terms_max: u32,
    /// The most that one packet carries in entries, or in commands of a proposal that is passed on, in bytes; a single one is always let
    /// through. At least 1. Default 256 KiB.
    pub append_bytes_max: u64,
    /// The most entries that one packet carries. At least 1. Default 4,096.
    pub append_entries_max: u64,
    /// The most append packets in flight to one follower. At least 1. Default 64.
    pub in_flight_packets_max: u32,
    /// While this much is in flight to a follower, in bytes, nothing more is sent to it; so at most this and one packet are. At
    /// least 1. Default 4 MiB.
    pub in_flight_bytes_max: u64,
    /// The most that a leader appends before it commits, in bytes; above it proposals are refused as busy. At least 1.
    /// Default 64 MiB.
    pub uncommitted_bytes_max: u64,
    /// The most proposals that wait for their answer; above it proposals are refused as busy. At least 1. Default 65,536.
    pub proposals_max: u32,
    /// For how many ticks a server waits for what the leader says of a proposal that it has passed on. At least 1. Default 200.
    pub forward_ticks: u32,
    /// Whenever log time passes a multiple of so many ticks, the leader appends a [`Payload::Timer`](crate::Payload::Timer), once the
    /// one before it is committed; best the same on all servers. 0: never. Default 0.
    pub timer_ticks: u64,
    /// The most reads that wait for their answer; above it reads are refused as busy. At least 1. Default 65,536.
    pub reads_max: u32,
    /// The most writes outstanding at the disk; above it, what there is to write gathers into the next. At least 1.
    /// Default 4.
    pub writes_outstanding_max: u32,
    /// The most that is handed to the state machine at once, in bytes; one entry is always let through. At least 1.
    /// Default 1 MiB.
    pub apply_bytes_max: u64,
    /// The most that is fetched at once, in bytes; one entry is always let through. At least 1. Default 1 MiB.
    pub fetch_bytes_max: u64,

    /// How many of the entries that a snapshot covers are kept in the log all the same, so that followers which are a little
    /// behind need no snapshot. May be 0. Default 10,000.
    pub trailing_entries: u64,

    /// Whether committed entries may be applied before they are durable on this very server. Only for a state machine
    /// that does not survive a restart: a durable one could find itself ahead of its own log. Default false.
    pub apply_before_durable: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 0,
            election_timeout_ticks: 20,
            heartbeat_ticks: 5,
            disk_stall_ticks: 100,
            pre_vote: true,
            dead_after_ticks: 0,
            command_bytes_max: 2 << 20,
            tail_bytes_max: 4 << 20,
            terms_max: 1024,
            append_bytes_max: 256 << 10,
            append_entries_max: 4096,
            in_flight_packets_max: 64,
            in_flight_bytes_max: 4 << 20,
            uncommitted_bytes_max: 64 << 20,
            proposals_max: 65_536,
            forward_ticks: 200,
            timer_ticks: 0,
            reads_max: 65_536,
            writes_outstanding_max: 4,
            apply_bytes_max: 1 << 20,
            fetch_bytes_max: 1 << 20,
            trailing_entries: 10_000,
            apply_before_durable: false,
        }
    }
}

/// A setting out of its range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// [`Config::election_timeout_ticks`] is not from 3 to 1,000,000.
    ElectionTimeout,
    /// [`Config::heartbeat_ticks`] is 0, or twice of it is not less than the election timeout.
    Heartbeat,
    /// [`Config::disk_stall_ticks`] is less than the election timeout.
    DiskStall,
    /// [`Config::dead_after_ticks`] is neither 0 nor at least the election timeout.
    DeadAfter,
    /// [`Config::command_bytes_max`] is not from 1 to 64 MiB.
    CommandBytes,
    /// The limit of this name is 0.
    ZeroLimit(&'static str),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::ElectionTimeout => f.write_str("the election timeout must be 3 to 1000000 ticks"),
            ConfigError::Heartbeat => f.write_str(
                "heartbeats must be at least 1 tick and less than half the election timeout apart",
            ),
            ConfigError::DiskStall => {
                f.write_str("a disk can not count as stalled within an election timeout")
            }
            ConfigError::DeadAfter => {
                f.write_str("a member can not count as dead within an election timeout")
            }
            ConfigError::CommandBytes => f.write_str("the longest command must be 1 to 67108864 bytes"),
            ConfigError::ZeroLimit(name) => write!(f, "{name} must be at least 1"),
        }
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Whether every setting is in its range; [`Node::new`](crate::Node::new) asks too.
    ///
    /// # Errors
    /// The first setting that is not.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(3..=1_000_000).contains(&self.election_timeout_ticks) {
            return Err(ConfigError::ElectionTimeout);
        }
        if self.heartbeat_ticks == 0 || self.election_timeout_ticks <= self.heartbeat_ticks.saturating_mul(2)
        {
            return Err(ConfigError::Heartbeat);
        }
        if self.disk_stall_ticks < self.election_timeout_ticks {
            return Err(ConfigError::DiskStall);
        }
        if (1..self.election_timeout_ticks).contains(&self.dead_after_ticks) {
            return Err(ConfigError::DeadAfter);
        }
        if !(1..=64 << 20).contains(&self.command_bytes_max) {
            return Err(ConfigError::CommandBytes);
        }
        for (limit, name) in [
            (self.tail_bytes_max, "tail_bytes_max"),
            (u64::from(self.terms_max), "terms_max"),
            (self.append_bytes_max, "append_bytes_max"),
            (self.append_entries_max, "append_entries_max"),
            (u64::from(self.in_flight_packets_max), "in_flight_packets_max"),
            (self.in_flight_bytes_max, "in_flight_bytes_max"),
            (self.uncommitted_bytes_max, "uncommitted_bytes_max"),
            (u64::from(self.proposals_max), "proposals_max"),
            (u64::from(self.forward_ticks), "forward_ticks"),
            (u64::from(self.reads_max), "reads_max"),
            (u64::from(self.writes_outstanding_max), "writes_outstanding_max"),
            (self.apply_bytes_max, "apply_bytes_max"),
            (self.fetch_bytes_max, "fetch_bytes_max"),
        ] {
            if limit == 0 {
                return Err(ConfigError::ZeroLimit(name));
            }
        }
        Ok(())
    }
}
