//! A node in an honest world never halts, and its own invariants hold; one whose disk has failed does halt.

use raft_core::{Event, Fault};

use super::{Step, Verdict, broken};
use crate::action::{HostId, HostSet};

pub(super) const NAME: &str = "health";
const FAULT: &str = "a node halts only where its driver or a peer is broken (the contract of the core)";
const FAILED: &str =
    "a failed write is final: the node halts and promises nothing more (the contract of the core; B50)";
const PROMISE: &str = "a leader says that a promise was broken only where a disk has forgotten it (the contract of the core; B23)";
const INVARIANTS: &str = "a node's own invariants hold after every step (the contract of the core)";

/// Whose disk has failed since its node started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    failed: HostSet,
    // Whether some disk has forgotten what it held: then promises may well be broken.
    forgetful: bool,
}

impl Health {
    pub(super) fn write_failed(&mut self, host: HostId) {
        self.failed = self.failed.with(host);
    }

    pub(super) fn started(&mut self, host: HostId) {
        self.failed = self.failed.without(host);
    }

    pub(super) fn rolled_back(&mut self) {
        self.forgetful = true;
    }

    pub(super) fn stepped(self, step: &Step<'_>, health: Result<(), String>) -> Verdict {
        let failed = self.failed.contains(step.host);
        match step.after.fault {
            None if failed => broken(NAME, FAILED, || format!("{} goes on after a failed write", step.pair)),
            Some(Fault::WriteFailed) if failed => after_failure(step),
            Some(fault) if step.before.fault.is_none() => {
                broken(NAME, FAULT, || format!("{} has halted: {fault}", step.pair))
            }
            _ => Ok(()),
        }?;
        let accuses = |event: &&Event| matches!(event, Event::PromiseBroken { .. });
        if let Some(event) = step.ready.events.iter().find(accuses).filter(|_| !self.forgetful) {
            return broken(NAME, PROMISE, || format!("{} says {event:?}", step.pair));
        }
        health.or_else(|what| broken(NAME, INVARIANTS, || format!("{}: {what}", step.pair)))
    }
}

fn after_failure(step: &Step<'_>) -> Verdict {
    let busy = step.before.fault.is_some() && (!step.ready.send.is_empty() || step.ready.write.is_some());
    if !busy && !step.after.leads {
        return Ok(());
    }
    broken(NAME, FAILED, || format!("{} sends, writes or leads after a failed write", step.pair))
}
