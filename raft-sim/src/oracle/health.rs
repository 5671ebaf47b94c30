//! A node in an honest world never halts, and its own invariants hold.

use super::{Step, Verdict, broken};

pub(super) const NAME: &str = "health";
const FAULT: &str = "a node halts only where its driver or a peer is broken (the contract of the core)";
const INVARIANTS: &str = "a node's own invariants hold after every step (the contract of the core)";

pub(super) fn stepped(step: &Step<'_>, health: Result<(), String>) -> Verdict {
    if let Some(fault) = step.after.fault
        && step.before.fault.is_none()
    {
        return broken(NAME, FAULT, || format!("{} has halted: {fault}", step.pair));
    }
    health.or_else(|what| broken(NAME, INVARIANTS, || format!("{}: {what}", step.pair)))
}
