//! What a world is built of besides the node: the behaviour of its disks, its network and its driver, where a broken one can
//! be put in its place. [`Honest`] does what it should; the canaries wrap it.
//!
//! Every method's default is honest. The oracles never ask a rig: they see what the world claims and what the nodes do.

use raft_core::{
    Answer, Applied, Entry, LogIndex, LogTime, Packet, Position, Recovered, Runs, SessionRefusal, Sessions,
    WriteNumber,
};

use crate::action::HostId;
use crate::disk::{Disk, DiskError};
use crate::history::{Operation, Registers, Reply};
use crate::machine::{Machine, Snapshots};
use crate::own::Own;
use crate::plan::Plan;
use crate::session::{self, Submission};

/// The behaviour of disks, network and driver.
pub trait Rig: Clone {
    /// The state machine that each server replicates besides the simulator's own ones, before anything was applied.
    fn own(&self) -> Own {
        Own::default()
    }

    /// Fits the plan of a run to what this is.
    fn adapt(&self, _plan: &mut Plan) {}

    /// The disk makes batches durable; what the driver reports as durable to the node then.
    fn sync(&mut self, _host: HostId, disk: &mut Disk, batches: u32) -> Option<WriteNumber> {
        disk.sync(batches)
    }

    /// The driver has handed a batch to the disk; what it reports as durable at once, if anything.
    fn written(&mut self, _host: HostId, _disk: &Disk) -> Option<WriteNumber> {
        None
    }

    /// The machine goes down; how many batches are lost.
    fn crash(&mut self, _host: HostId, disk: &mut Disk, keep: u32, torn: bool, stray: u32) -> u32 {
        disk.crash(keep, torn, stray)
    }

    /// The driver reads its disk at a start.
    ///
    /// # Errors
    /// What is on the disk does not fit together.
    fn recover(&mut self, _host: HostId, disk: &mut Disk) -> Result<Recovered, DiskError> {
        disk.recover()
    }

    /// The driver hands committed entries to the state machine, one after the other.
    fn feed(&mut self, _host: HostId, entries: &Runs, machine: &mut dyn FnMut(Position, &Entry)) {
        for (position, entry) in entries.entries() {
            machine(position, entry);
        }
    }

    /// The state machine performs an operation.
    fn perform(&mut self, _host: HostId, registers: &mut Registers, key: u64, operation: Operation) -> Reply {
        registers.apply(key, operation)
    }

    /// The state machine is fed a command of a client with a session.
    ///
    /// # Errors
    /// Why its table refuses it.
    fn submit(
        &mut self,
        host: HostId,
        sessions: &mut Sessions,
        registers: &mut Registers,
        what: &Submission,
        time: LogTime,
    ) -> Result<Applied, SessionRefusal> {
        let run = || session::bytes_of(self.perform(host, registers, what.key.into(), what.operation()));
        sessions.apply(what.session, what.number, what.answered, time, run)
    }

    /// The driver looks at the snapshots on its disk at a start.
    fn recover_snapshots(&mut self, _host: HostId, snapshots: &mut Snapshots) {
        snapshots.recover();
    }

    /// The state machine becomes what it was when a snapshot was taken.
    fn restore(&mut self, _host: HostId, machine: &mut Machine, snapshot: &Machine) {
        machine.clone_from(snapshot);
    }

    /// Whether the driver says that a snapshot is taken when that has only begun.
    fn saves_early(&self) -> bool {
        false
    }

    /// Whether the driver hands over the packet that tells of a snapshot before its bytes are there.
    fn hands_over_early(&self) -> bool {
        false
    }

    /// Whether the driver answers reads from its own state machine as it is, without asking anybody.
    fn reads_locally(&self) -> bool {
        false
    }

    /// What the driver reports as applied, once the state machine is done up to `last`.
    fn applied(&mut self, _host: HostId, last: LogIndex) -> LogIndex {
        last
    }

    /// The driver hands an answer to its client: how many times.
    fn answers(&mut self, _host: HostId, _answer: &Answer) -> u32 {
        1
    }

    /// How much of the time that has passed the driver tells the node.
    fn tick(&mut self, _host: HostId, elapsed: u32) -> u32 {
        elapsed
    }

    /// The network takes a packet.
    fn send(&mut self, _packet: &mut Packet) {}

    /// A way or all ways are open again.
    fn healed(&mut self) {}
}

/// Disks, network and driver as they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Honest;

impl Rig for Honest {}
