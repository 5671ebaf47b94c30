//! Broken disks, networks and drivers.

use raft_core::{
    Answer, Applied, Body, Entry, LogIndex, LogTime, Outcome, Packet, Position, Recovered, Runs,
    SessionRefusal, Sessions, WriteNumber,
};

use crate::action::HostId;
use crate::disk::{Disk, DiskError};
use crate::history::{Operation, Registers, Reply};
use crate::machine::Machine;
use crate::rig::{Honest, Rig};
use crate::session::{self, Submission};

/// A disk that loses its newest synced batch in a crash.
#[derive(Clone)]
pub(super) struct ForgetfulDisk;

impl Rig for ForgetfulDisk {
    fn crash(&mut self, _host: HostId, disk: &mut Disk, keep: u32, torn: bool, stray: u32) -> u32 {
        let lost = disk.crash(keep, torn, stray);
        disk.forget(1);
        lost
    }
}

/// A driver that comes back from a restart without the vote.
#[derive(Clone)]
pub(super) struct ForgottenVote;

impl Rig for ForgottenVote {
    fn recover(&mut self, _host: HostId, disk: &mut Disk) -> Result<Recovered, DiskError> {
        let mut recovered = disk.recover()?;
        recovered.hard_state.vote = None;
        Ok(recovered)
    }
}

/// A driver that reports a batch as durable when it has handed it to the disk.
#[derive(Clone)]
pub(super) struct EarlySynced;

impl Rig for EarlySynced {
    fn written(&mut self, _host: HostId, disk: &Disk) -> Option<WriteNumber> {
        disk.newest()
    }
}

/// A driver that feeds the state machine a batch from its end.
#[derive(Clone)]
pub(super) struct FedBackwards;

impl Rig for FedBackwards {
    fn feed(&mut self, _host: HostId, entries: &Runs, machine: &mut dyn FnMut(Position, &Entry)) {
        let entries: Vec<_> = entries.entries().collect();
        for (position, entry) in entries.into_iter().rev() {
            machine(position, entry);
        }
    }
}

/// A driver that says one entry more is applied than is.
#[derive(Clone)]
pub(super) struct AppliedTooFar;

impl Rig for AppliedTooFar {
    fn applied(&mut self, _host: HostId, last: LogIndex) -> LogIndex {
        last.next()
    }
}

/// A driver that tells its client twice.
#[derive(Clone)]
pub(super) struct AnsweredTwice;

impl Rig for AnsweredTwice {
    fn answers(&mut self, _host: HostId, _answer: &Answer) -> u32 {
        2
    }
}

/// A driver that drops the answers to some requests, few enough that they do not seem to be too many that wait.
#[derive(Clone)]
pub(super) struct AnswerDropped;

impl Rig for AnswerDropped {
    fn answers(&mut self, _host: HostId, answer: &Answer) -> u32 {
        let committed = matches!(answer.outcome, Outcome::Committed { .. });
        u32::from(!committed || !answer.id.raw().is_multiple_of(64))
    }
}

/// A network that lets a commit index through as one more than was sent.
#[derive(Clone)]
pub(super) struct DamagedCommit;

impl Rig for DamagedCommit {
    fn send(&mut self, packet: &mut Packet) {
        match &mut packet.body {
            Body::Append { commit, .. } | Body::Heartbeat { commit, .. } | Body::Commit { commit } => {
                *commit = commit.next();
            }
            _ => {}
        }
    }
}

/// A driver whose clocks stand still once the network has healed: its node never elects again.
#[derive(Clone)]
pub(super) struct ClockStopsAtHeal {
    pub(super) stopped: bool,
}

impl Rig for ClockStopsAtHeal {
    fn tick(&mut self, _host: HostId, elapsed: u32) -> u32 {
        if self.stopped { 0 } else { elapsed }
    }

    fn healed(&mut self) {
        self.stopped = true;
    }
}

/// A driver that reads its clock, waits for what comes, and then tells the time that it has read, with what has come since.
#[derive(Clone)]
pub(super) struct ClockReadBeforeWaiting {
    /// By machine, what it has not told yet.
    pub(super) untold: [u32; HostId::MAX as usize],
}

impl Rig for ClockReadBeforeWaiting {
    fn tick(&mut self, host: HostId, elapsed: u32) -> u32 {
        std::mem::replace(&mut self.untold[host.nth()], elapsed)
    }

    fn recover(&mut self, host: HostId, disk: &mut Disk) -> Result<Recovered, DiskError> {
        self.untold[host.nth()] = 0;
        disk.recover()
    }
}

/// A driver that answers reads from its own state machine, though others may have gone on.
#[derive(Clone)]
pub(super) struct StaleReads;

impl Rig for StaleReads {
    fn reads_locally(&self) -> bool {
        true
    }
}

/// A state machine that performs every swap twice, and replies what the second time gives.
#[derive(Clone)]
pub(super) struct SwapTwice;

impl Rig for SwapTwice {
    fn perform(&mut self, _host: HostId, registers: &mut Registers, key: u64, operation: Operation) -> Reply {
        if let Operation::CompareAndSwap { .. } = operation {
            registers.apply(key, operation);
        }
        registers.apply(key, operation)
    }
}

/// A state machine that forgets every eighth write and says that it is done.
#[derive(Clone)]
pub(super) struct LostUpdate;

impl Rig for LostUpdate {
    fn perform(&mut self, _host: HostId, registers: &mut Registers, key: u64, operation: Operation) -> Reply {
        match operation {
            Operation::Write(value) if value.is_multiple_of(8) => Reply::Written,
            _ => registers.apply(key, operation),
        }
    }
}

/// A driver that says that a snapshot is taken while it is still being made.
#[derive(Clone)]
pub(super) struct EarlySnapshot;

impl Rig for EarlySnapshot {
    fn saves_early(&self) -> bool {
        true
    }
}

/// A driver that hands over the packet which tells of a snapshot before it has the bytes.
#[derive(Clone)]
pub(super) struct EarlyPacket;

impl Rig for EarlyPacket {
    fn hands_over_early(&self) -> bool {
        true
    }
}

/// A state machine that keeps what it had when it is restored from a snapshot.
#[derive(Clone)]
pub(super) struct HalfRestored;

impl Rig for HalfRestored {
    fn restore(&mut self, _host: HostId, machine: &mut Machine, snapshot: &Machine) {
        (machine.last, machine.time) = (snapshot.last, snapshot.time);
    }
}

/// A state machine that executes a command again, and answers by that.
#[derive(Clone)]
pub(super) struct RetryExecuted;

impl Rig for RetryExecuted {
    fn submit(
        &mut self,
        _host: HostId,
        sessions: &mut Sessions,
        registers: &mut Registers,
        what: &Submission,
        time: LogTime,
    ) -> Result<Applied, SessionRefusal> {
        let mut run = || session::bytes_of(registers.apply(what.key.into(), what.operation()));
        let done = sessions.apply(what.session, what.number, what.answered, time, &mut run)?;
        Ok(if done.repeated { Applied { response: run(), repeated: false } } else { done })
    }
}

/// A state machine whose sessions expire by a clock of its own, which is ahead on every server by another time.
#[derive(Clone)]
pub(super) struct LocalExpiry;

impl Rig for LocalExpiry {
    fn submit(
        &mut self,
        host: HostId,
        sessions: &mut Sessions,
        registers: &mut Registers,
        what: &Submission,
        time: LogTime,
    ) -> Result<Applied, SessionRefusal> {
        let own = LogTime::new(time.raw() + 10 * u64::from(host.raw()));
        Honest.submit(host, sessions, registers, what, own)
    }
}

/// A state machine that is restored from a snapshot without its session table.
#[derive(Clone)]
pub(super) struct SessionsNotSaved;

impl Rig for SessionsNotSaved {
    fn restore(&mut self, _host: HostId, machine: &mut Machine, snapshot: &Machine) {
        let limits = machine.sessions.limits();
        machine.clone_from(snapshot);
        machine.sessions = Sessions::new(limits);
    }
}
