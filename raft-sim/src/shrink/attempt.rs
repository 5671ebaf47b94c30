//! One attempt: actions are tried one after the other in a fresh world, and what could happen of them is a run of its own.
//!
//! A packet's name counts those before it on its way, so after a deletion the names behind it mean other packets. Each action on a
//! packet therefore carries a [`Hint`], by which the one is found that plays its part: of the same kind, and with as many newer
//! ones of that kind in flight. What is found is written down under the name that it has now.

use std::panic::{AssertUnwindSafe, catch_unwind};

use raft_core::Body;

use crate::action::{Action, PacketName};
use crate::network::Network;
use crate::replay::finish;
use crate::rig::Rig;
use crate::schedule::Schedule;
use crate::world::{Applied, World};

/// What a packet is by, other than its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hint {
    kind: u8,
    newer: u32,
}

/// An action, and for one on a packet what that packet is by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Planned {
    pub(super) action: Action,
    pub(super) hint: Option<Hint>,
}

impl From<Action> for Planned {
    /// The packet is the one of that name.
    fn from(action: Action) -> Self {
        Planned { action, hint: None }
    }
}

/// What an attempt has come to.
pub(super) struct Attempt {
    /// The oracle that reported it.
    pub(super) oracle: Option<&'static str>,
    /// What happened up to there, without what follows the last action.
    pub(super) happened: Vec<Planned>,
}

const fn kind_of(body: &Body) -> u8 {
    match body {
        Body::RequestVote { .. } => 1,
        Body::Vote { .. } => 2,
        Body::RequestPreVote { .. } => 3,
        Body::PreVote { .. } => 4,
        Body::TimeoutNow => 5,
        Body::Append { .. } => 6,
        Body::Heartbeat { .. } => 7,
        Body::Commit { .. } => 8,
        Body::Acknowledge { .. } => 9,
        Body::Reject { .. } => 10,
        Body::NewerTerm => 11,
        Body::Removed { .. } => 12,
        Body::InstallSnapshot { .. } => 13,
        Body::AskReadIndex { .. } => 14,
        Body::ReadIndex { .. } => 15,
        Body::Propose { .. } => 16,
        Body::Proposed { .. } => 17,
        // Kinds of a later core are told apart by nothing until they are listed here.
        _ => 0,
    }
}

fn packet_of(action: &mut Action) -> Option<&mut PacketName> {
    match action {
        Action::Deliver { packet } | Action::Drop { packet } | Action::Duplicate { packet } => Some(packet),
        _ => None,
    }
}

/// The action as it is to be tried now, with the hint that finds its packet again; `None` where there is no such packet.
fn resolve(network: &Network, planned: Planned) -> Option<Planned> {
    let mut action = planned.action;
    let Some(name) = packet_of(&mut action) else { return Some(planned) };
    let kind = match planned.hint {
        Some(hint) => hint.kind,
        None => kind_of(&network.packet(*name)?.body),
    };
    let same: Vec<PacketName> = network
        .flying(name.link)
        .filter(|(_, packet)| kind_of(&packet.body) == kind)
        .map(|(name, _)| name)
        .collect();
    let oldest = same.len().checked_sub(1)?;
    let place = match planned.hint {
        Some(hint) => oldest.saturating_sub(hint.newer as usize),
        None => same.iter().position(|other| other == name)?,
    };
    *name = same[place];
    let newer = (oldest - place) as u32;
    Some(Planned { action, hint: Some(Hint { kind, newer }) })
}

/// Tries `plan` with the setup and the ending of `schedule`.
pub(super) fn attempt<R: Rig>(schedule: &Schedule, plan: &[Planned], rig: &R) -> Attempt {
    let mut happened = Vec::with_capacity(plan.len());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(schedule.setup, rig.clone())?;
        world.offer(&schedule.commands);
        for planned in plan {
            let Some(planned) = resolve(world.network(), *planned) else { continue };
            happened.push(planned);
            if world.apply(planned.action)? == Applied::Impossible {
                happened.pop();
            }
        }
        finish(schedule.ending, &mut world, &mut ())
    }));
    let oracle = match outcome {
        Ok(verdict) => verdict.err().map(|violation| violation.oracle),
        Err(_) => Some("total"),
    };
    Attempt { oracle, happened }
}
