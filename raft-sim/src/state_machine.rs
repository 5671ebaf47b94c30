//! A state machine of one's own in the simulator: what it has to say of itself. `docs/state-machines.md` goes through it step by step.
//!
//! Nothing here knows of worlds, schedules or oracles.

use core::fmt;

use raft_core::{LogIndex, LogTime};

use crate::random::Random;

/// Where and when a command is applied. Equal on every server, so a state machine may make use of it; its clock, its random numbers and
/// its environment are not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At {
    /// The index of its entry in the log. Indexes grow, and have gaps where entries of other kinds stand.
    pub index: LogIndex,
    /// The log time of its entry, in ticks: the only clock that a state machine has.
    pub time: LogTime,
}

/// A state machine that every server of a simulated cluster replicates.
///
/// The simulator draws commands by [`draw`](Self::draw), has them committed by production nodes through whatever a seed does to network,
/// disks and machines, and lets each server [`apply`](Self::apply) them; it saves and restores by [`snapshot`](Self::snapshot) and
/// [`restore`](Self::restore) when a server compacts its log, starts again, or is sent a snapshot. What it demands at every step:
///
/// - servers that have applied the same log are equal, and have put out the same (`determinism`);
/// - what is restored from a snapshot is equal to what was saved (`restore`);
/// - [`check`](Self::check) has nothing to say (`invariant`);
/// - a command reads back from its bytes (`encoding`), and nothing panics (`panic`).
///
/// Equality is its own `PartialEq`, so it has to compare all that matters. A run keeps a copy of the state for every command, so
/// that servers which lag or begin anew have something to be compared with: a few accounts serve better than thousands.
pub trait StateMachine: Clone + Default + PartialEq + fmt::Debug + Send + Sync + 'static {
    /// What clients ask for. Its `Debug` is how runs show it.
    type Command: fmt::Debug;

    /// What a client is answered.
    type Output: Clone + PartialEq + fmt::Debug + Send + Sync;

    /// The next command of a client that has just looked at this state machine, which may be out of date. Values from small ranges
    /// meet each other more often.
    fn draw(&self, random: &mut Random) -> Self::Command;

    /// A command as bytes in the log.
    fn encode(command: &Self::Command) -> Vec<u8>;

    /// The command that was encoded as these bytes; `None` where it is none.
    fn decode(bytes: &[u8]) -> Option<Self::Command>;

    /// Performs a committed command. Commands come in the order of the log, each once.
    fn apply(&mut self, at: At, command: Self::Command) -> Self::Output;

    /// All of the state as bytes. Equal states may have different bytes.
    fn snapshot(&self) -> Vec<u8>;

    /// The state that these bytes are of.
    ///
    /// # Errors
    /// Why they are none, which of a snapshot of one's own is a broken rule.
    fn restore(bytes: &[u8]) -> Result<Self, String>;

    /// Looks whether the state is as it always has to be. Called after every command and every restore.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
