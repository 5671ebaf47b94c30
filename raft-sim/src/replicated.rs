//! Worlds whose servers replicate the [`StateMachine`] of whoever uses the simulator, on honest disks and an honest network.

use core::fmt;
use core::marker::PhantomData;

use bytes::Bytes;

use crate::own::Own;
use crate::plan::Plan;
use crate::rig::Rig;
use crate::state_machine::StateMachine;

/// What a user's command may have in bytes; the settings that a seed draws often allow less than anybody's commands need.
const COMMAND_BYTES_MAX: u64 = 2 << 20;

/// Servers that replicate `M`. Clients send its commands, and nothing else that needs an entry in the log.
pub struct Replicated<M>(PhantomData<fn() -> M>);

impl<M> Default for Replicated<M> {
    fn default() -> Self {
        Replicated(PhantomData)
    }
}

impl<M: StateMachine> Replicated<M> {
    /// The commands that others are tried to become when a run is shortened, the first ones first: some that a new state machine draws, the
    /// shortest and smallest of them.
    pub fn simple_commands(&self) -> Vec<Bytes> {
        self.own().simple()
    }
}

impl<M> Clone for Replicated<M> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<M> fmt::Debug for Replicated<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replicated<{}>", core::any::type_name::<M>())
    }
}

impl<M: StateMachine> Rig for Replicated<M> {
    fn own(&self) -> Own {
        Own::of::<M>()
    }

    /// The load is the user's: what else clients do says something of the core, which others look after.
    fn adapt(&self, plan: &mut Plan) {
        plan.setup.config.command_bytes_max = COMMAND_BYTES_MAX;
        plan.profile.session = None;
        plan.profile.read = None;
    }
}
