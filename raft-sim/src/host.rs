//! A simulated machine: a disk for good, and while it is up a node with what its driver holds for it.

use std::collections::VecDeque;

use std::sync::Arc;

use raft_core::{
    Boot, Event, Fetch, LogIndex, Message, Node, Packet, Pair, Position, Ready, Runs, SendNumber, Snapshot,
};

use crate::action::HostId;
use crate::disk::Disk;
use crate::machine::{Machine, Snapshots};
use crate::oracle::Seen;
use crate::own::Replica;

/// One machine of a world.
#[derive(Clone, Debug)]
pub struct Host {
    pub(crate) pair: Pair,
    pub(crate) disk: Disk,
    /// How often its disk was wiped; every time makes it another pair.
    pub(crate) wipes: u32,
    /// Durable, like the disk: how often it was started.
    pub(crate) boot: Boot,
    /// The state machine; a volatile one begins anew after a crash.
    pub(crate) machine: Machine,
    /// Its snapshots.
    pub(crate) snapshots: Snapshots,
    pub(crate) up: Option<Running>,
    /// Lists that keep their memory over restarts.
    pub(crate) spare: Spare,
}

/// What is lost when the machine goes down.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) node: Node,
    pub(crate) seen: Seen,
    pub(crate) applying: Option<Work>,
    pub(crate) fetches: VecDeque<Fetch>,
    /// Committed calls that wait for the state machine, in order.
    pub(crate) expected: VecDeque<(LogIndex, u64)>,
    /// The snapshot that is being made.
    pub(crate) saving: Option<Arc<Machine>>,
    /// Those that are being sent, in the order in which that began.
    pub(crate) sending: Vec<Sending>,
}

/// What a state machine has to do.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// To apply these.
    Apply(Runs),
    /// To become what it was when this snapshot was taken.
    Restore(Arc<Snapshot>),
}

/// A snapshot on its way to another machine.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    pub(crate) number: SendNumber,
    pub(crate) to: HostId,
    pub(crate) packet: Packet,
    /// What is sent.
    pub(crate) last: Position,
    /// How far it is.
    pub(crate) progress: Progress,
}

/// How far a snapshot is on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// A part of its bytes is missing there.
    Moving,
    /// All bytes are durable there, and the packet that tells of them is on its way.
    Moved,
    /// A node was handed that packet.
    Arrived,
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
    pub(crate) fn new(pair: Pair, machine: Machine) -> Self {
        Host {
            pair,
            disk: Disk::default(),
            wipes: 0,
            boot: Boot::new(0),
            machine,
            snapshots: Snapshots::default(),
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

    /// The state of the user's state machine, as its `Debug` shows it, where there is one.
    pub fn own_state(&self) -> Option<String> {
        self.machine.own.live().map(Replica::state)
    }

    /// What the user's state machine has put out last, as `Debug` shows it; `None` where it has put out nothing since it was restored.
    pub fn own_output(&self) -> Option<String> {
        self.machine.own.live().map(Replica::output).filter(|output| !output.is_empty())
    }

    /// Whether its state machine has something to do.
    pub fn is_applying(&self) -> bool {
        self.up.as_ref().is_some_and(|running| running.applying.is_some())
    }

    /// Whether a snapshot is being made.
    pub fn is_saving(&self) -> bool {
        self.up.as_ref().is_some_and(|running| running.saving.is_some())
    }

    /// To which machines it is sending snapshots, and how far each is.
    pub fn sending(&self) -> impl Iterator<Item = (HostId, Progress)> {
        let sending = self.up.iter().flat_map(|running| &running.sending);
        sending.map(|sending| (sending.to, sending.progress))
    }

    /// Whether its disk could give up entries, or snapshots, that newer ones stand for.
    pub fn is_compactable(&self) -> bool {
        self.up.is_some()
            && (self.disk.is_compactable()
                || self
                    .disk
                    .snapshot()
                    .is_some_and(|named| self.snapshots.has_before(named, |last| self.uses(last))))
    }

    /// Whether a snapshot is being sent, or is what its state machine is to become, or will be by an effect of the last step.
    pub(crate) fn uses(&self, last: Position) -> bool {
        let Some(running) = &self.up else { return false };
        let ready = &self.spare.ready;
        let sent = running.sending.iter().any(|sending| sending.last == last);
        let restored = matches!(&running.applying, Some(Work::Restore(snapshot)) if snapshot.last == last);
        let will_be =
            ready.restore.iter().any(|snapshot| snapshot.last == last) || !ready.snapshots.is_empty();
        sent || restored || will_be
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
