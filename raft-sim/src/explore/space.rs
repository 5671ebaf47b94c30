//! A space: which clusters, which inputs, and how much of each.

use core::fmt;
use core::str::FromStr;

use raft_core::{Config, Membership, SessionLimits};

use super::names::{SERVERS_MAX, pair_at};
use super::server;
use crate::world::Setup;

/// The most packets in flight of a space.
pub(super) const MESSAGES_MAX: usize = 8;

/// What bounds a space. A state is in it if a run leads there that never goes beyond one of the bounds: an input after which more would be
/// used up, a later term be begun, or more packets be in flight, is not taken. Packets that an action sends to the same server travel together
/// and count as one; those that can not say anything to their receiver any more do not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// How many servers found the cluster, 1 to 5.
    pub nodes: u8,
    /// The latest term.
    pub terms: u8,
    /// How many commands clients propose.
    pub entries: u8,
    /// How many packets are in flight at once, 1 to 8.
    pub messages: u8,
    /// How often it is time for the next heartbeats of a leader; `None`: any number of times.
    pub heartbeats: Option<u8>,
    /// How many times a server goes down, and comes up again.
    pub crashes: u8,
    /// How many packets are lost.
    pub drops: u8,
    /// How many packets arrive once more than they were sent.
    pub duplicates: u8,
    /// How often a leader is asked for another configuration: any others of the servers as its voters.
    pub changes: u8,
    /// How often the state machine of a server is saved: then its log begins behind that, and who lacks what stood before is sent the
    /// snapshot.
    pub snapshots: u8,
    /// Whether becoming durable is an action of its own; else every write is durable at once.
    pub syncs: bool,
    /// Whether servers ask for pre-votes before they campaign (Raft thesis §9.6).
    pub pre_vote: bool,
    /// Whether it is time for the next heartbeats of a leader only when nothing is under way from it or to it.
    pub patient: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            nodes: 3,
            terms: 2,
            entries: 1,
            messages: 3,
            heartbeats: None,
            crashes: 0,
            drops: 0,
            duplicates: 0,
            changes: 0,
            snapshots: 0,
            syncs: false,
            pre_vote: false,
            patient: false,
        }
    }
}

impl Bounds {
    /// Whether there is something that a state can have used up more or less of, while it is the same else: what does not tell states apart,
    /// see `Used`.
    pub(super) fn has_limits(&self) -> bool {
        let Bounds { heartbeats, drops, duplicates, snapshots, .. } = *self;
        heartbeats.is_some() || [drops, duplicates, snapshots].iter().any(|most| *most != 0)
    }
}

/// As one would type them behind `raft-sim explore`; what is not bounded, or not there at all, is left out.
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bounds { nodes, terms, entries, messages, .. } = self;
        write!(f, "--nodes {nodes} --terms {terms} --entries {entries} --messages {messages}")?;
        if let Some(heartbeats) = self.heartbeats {
            write!(f, " --heartbeats {heartbeats}")?;
        }
        let Bounds { crashes, drops, duplicates, changes, snapshots, .. } = *self;
        let used = [
            ("crashes", crashes),
            ("drops", drops),
            ("duplicates", duplicates),
            ("changes", changes),
            ("snapshots", snapshots),
        ];
        for (name, most) in used {
            if most != 0 {
                write!(f, " --{name} {most}")?;
            }
        }
        for (name, wanted) in [("syncs", self.syncs), ("pre-vote", self.pre_vote), ("patient", self.patient)]
        {
            if wanted {
                write!(f, " --{name}")?;
            }
        }
        Ok(())
    }
}

/// A text that is not the options of a space.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not the options of a space")]
pub struct ParseBoundsError;

impl FromStr for Bounds {
    type Err = ParseBoundsError;

    fn from_str(text: &str) -> Result<Self, ParseBoundsError> {
        let mut bounds = Bounds::default();
        let mut words = text.split_whitespace();
        while let Some(option) = words.next() {
            let mut number = || words.next().and_then(|word| word.parse::<u8>().ok()).ok_or(ParseBoundsError);
            match option {
                "--nodes" => bounds.nodes = number()?,
                "--terms" => bounds.terms = number()?,
                "--entries" => bounds.entries = number()?,
                "--messages" => bounds.messages = number()?,
                "--heartbeats" => bounds.heartbeats = Some(number()?),
                "--crashes" => bounds.crashes = number()?,
                "--drops" => bounds.drops = number()?,
                "--duplicates" => bounds.duplicates = number()?,
                "--changes" => bounds.changes = number()?,
                "--snapshots" => bounds.snapshots = number()?,
                "--syncs" => bounds.syncs = true,
                "--pre-vote" => bounds.pre_vote = true,
                "--patient" => bounds.patient = true,
                _ => return Err(ParseBoundsError),
            }
        }
        Ok(bounds)
    }
}

/// Why there is no such space.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BoundsError {
    /// Too few servers or too many.
    #[error("a space has 1 to 5 servers")]
    Nodes,
    /// No packet could ever be in flight, or too many.
    #[error("a space has 1 to 8 packets in flight")]
    Messages,
    /// A bound is too large to be counted.
    #[error("the latest term of a space is 1 to 7, and of everything else there are at most 15")]
    TooMuch,
}

/// A space, with what all its servers have in common.
#[derive(Clone, Debug)]
pub(super) struct Space {
    bounds: Bounds,
    config: Config,
    founding: Membership,
    // Only tests set these: disks forget terms and votes, and states are told apart by what does not matter.
    forgetful: bool,
    thorough: bool,
}

impl Space {
    pub(super) fn new(bounds: Bounds) -> Result<Self, BoundsError> {
        let Bounds {
            nodes,
            terms,
            entries,
            messages,
            heartbeats,
            crashes,
            drops,
            duplicates,
            changes,
            snapshots,
            ..
        } = bounds;
        let heartbeats = heartbeats.unwrap_or(0);
        if nodes == 0 || SERVERS_MAX < usize::from(nodes) {
            return Err(BoundsError::Nodes);
        }
        if messages == 0 || MESSAGES_MAX < usize::from(messages) {
            return Err(BoundsError::Messages);
        }
        let counted = [entries, heartbeats, crashes, drops, duplicates, changes, snapshots];
        if !(1..=7).contains(&terms) || counted.iter().any(|bound| 15 < *bound) {
            return Err(BoundsError::TooMuch);
        }
        // So many heartbeats fit between two timeouts that no run of a space comes to an end of them: whether a leader hears nobody for that
        // long is an action of its own. And a disk is never so slow that a leader gives up for it.
        let config = Config {
            election_timeout_ticks: 1_000_000,
            heartbeat_ticks: 1,
            disk_stall_ticks: u32::MAX,
            pre_vote: bounds.pre_vote,
            // A log begins right behind its snapshot.
            trailing_entries: 0,
            ..Config::default()
        };
        let pairs: Vec<_> = (0..usize::from(nodes)).map(pair_at).collect();
        Ok(Space { bounds, config, founding: server::founding(&pairs), forgetful: false, thorough: false })
    }

    pub(super) const fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    /// How long it is until the time of a server is up: more than any election timeout, for who waits for one does not count further; or the
    /// time to the next heartbeats.
    pub(super) const fn timeout(&self, leads: bool) -> u32 {
        if leads { self.config.heartbeat_ticks } else { 2 * self.config.election_timeout_ticks }
    }

    pub(super) const fn founding(&self) -> &Membership {
        &self.founding
    }

    pub(super) const fn has_syncs(&self) -> bool {
        self.bounds.syncs
    }

    /// A space whose disks keep the log over a crash, and forget the term and the vote.
    #[cfg(test)]
    pub(super) fn with_a_forgetful_disk(self) -> Self {
        Space { forgetful: true, ..self }
    }

    /// A space whose states are told apart by everything that was ever counted.
    #[cfg(test)]
    pub(super) fn thorough(self) -> Self {
        Space { thorough: true, ..self }
    }

    pub(super) const fn is_thorough(&self) -> bool {
        self.thorough
    }

    /// Whether it is known for good that a term is over where it is over on all disks.
    pub(super) const fn has_good_disks(&self) -> bool {
        !self.forgetful
    }

    /// What a crash does to a disk.
    pub(super) fn crash(&self, disk: &mut raft_core::Recovered) {
        if self.forgetful {
            let term = disk.last().term;
            disk.hard_state = raft_core::HardState { term, vote: None };
        }
    }

    pub(super) const fn servers(&self) -> usize {
        self.bounds.nodes as usize
    }

    /// The world in which runs of this space happen.
    pub(super) fn setup(&self) -> Setup {
        Setup {
            hosts: self.bounds.nodes,
            spares: 0,
            config: self.config,
            durable_machines: false,
            sessions: SessionLimits::default(),
            leases: None,
        }
    }
}
