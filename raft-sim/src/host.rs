//! A simulated machine: a disk for good, and while it is up a node with what its driver holds for it.

use std::collections::VecDeque;

use raft_core::{Boot, Event, Fetch, LogIndex, Message, Node, Pair, Ready, Runs};

use crate::disk::Disk;
use crate::history::Registers;
use crate::oracle::Seen;

/// One machine of a world.
#[derive(Clone, Debug)]
pub struct Host {
    pub(crate) pair: Pair,
    pub(crate) disk: Disk,
    /// How often its disk was wiped; every time makes it another pair.
    pub(crate) wipes: u32,
    /// Durable, like the disk: how often it was started.
    pub(crate) boot: Boot,
    /// How far the state machine is; of a volatile one it goes back to 0 at a crash.
    pub(crate) applied: LogIndex,
    /// The state machine, as far as that.
    pub(crate) registers: Registers,
    pub(crate) up: Option<Running>,
    /// Lists that keep their memory over restarts.
    pub(crate) spare: Spare,
}

/// What is lost when the machine goes down.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) node: Node,
    pub(crate) seen: Seen,
    pub(crate) applying: Option<Runs>,
    pub(crate) fetches: VecDeque<Fetch>,
    /// Committed calls that wait for the state machine, in order.
    pub(crate) expected: VecDeque<(LogIndex, u64)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Spare {
    /// What has come since the last step.
    pub(crate) inbox: Vec<Message>,
    /// What the last step wants; packets from the back, what is performed is taken out.
    pub(crate) ready: Ready,
    /// Whether there is something left in `ready`.
    pub(crate) unfinished: bool,
}

impl Host {
    pub(crate) fn new(pair: Pair) -> Self {
        Host {
            pair,
            disk: Disk::default(),
            wipes: 0,
            boot: Boot::new(0),
            applied: LogIndex::ZERO,
            registers: Registers::default(),
            up: None,
            spare: Spare::default(),
        }
    }

    /// Who it is.
    pub fn pair(&self) -> Pair {
        self.pair
    }

    /// Its node, while it is up.
    pub fn node(&self) -> Option<&Node> {
        self.up.as_ref().map(|running| &running.node)
    }

    /// What its node was seen to be after its last step, while it is up.
    pub fn seen(&self) -> Option<&Seen> {
        self.up.as_ref().map(|running| &running.seen)
    }

    /// Its disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Whether its state machine has something to do.
    pub fn is_applying(&self) -> bool {
        self.up.as_ref().is_some_and(|running| running.applying.is_some())
    }

    /// Whether reads of its log wait for an answer.
    pub fn is_fetching(&self) -> bool {
        self.up.as_ref().is_some_and(|running| !running.fetches.is_empty())
    }

    /// Whether something has come that its node has not taken yet.
    pub fn has_mail(&self) -> bool {
        self.up.is_some() && !self.spare.inbox.is_empty()
    }

    /// Whether effects of its last step are still to be performed.
    pub fn is_unfinished(&self) -> bool {
        self.up.is_some() && self.spare.unfinished
    }

    /// What its node said in its last step that has changed.
    pub fn events(&self) -> &[Event] {
        &self.spare.ready.events
    }

    /// For how many ticks its node needs no tick, as it said after its last step.
    pub fn sleep(&self) -> Option<u32> {
        self.spare.ready.sleep
    }
}
