//! Actions that say less: without some machines, with smaller numbers.

use crate::action::{Action, HostId, HostSet, Link, Wanted};

/// The machines that an action is about.
pub(super) fn hosts_of(action: Action) -> HostSet {
    let mut hosts = HostSet::EMPTY;
    renamed(action, &mut |host| {
        hosts = hosts.with(host);
        Some(host)
    });
    hosts
}

/// The action with its machines under other names; `None` where one of them has no new name. A partition and a clique forget it.
pub(super) fn renamed(action: Action, name: &mut dyn FnMut(HostId) -> Option<HostId>) -> Option<Action> {
    let mut action = action;
    match &mut action {
        Action::Deliver { packet } | Action::Drop { packet } | Action::Duplicate { packet } => {
            let Link { from, to } = packet.link;
            packet.link = Link { from: name(from)?, to: name(to)? };
        }
        Action::Cut { link }
        | Action::Mend { link }
        | Action::Move { link }
        | Action::Sent { link }
        | Action::Lose { link } => {
            *link = Link { from: name(link.from)?, to: name(link.to)? };
        }
        Action::Partition { side } => {
            *side = side.iter().filter_map(name).collect();
            if side.is_empty() {
                return None;
            }
        }
        Action::Watch { clique, .. } => *clique = clique.iter().filter_map(name).collect(),
        Action::Transfer { host, to, .. } => {
            *host = name(*host)?;
            if let Some(to) = to {
                *to = name(*to)?;
            }
        }
        Action::Reconfigure { host, wanted, .. } => {
            *host = name(*host)?;
            *wanted = wanted.renamed(name)?;
        }
        Action::Tick { host, .. }
        | Action::Step { host, .. }
        | Action::Perform { host }
        | Action::Sync { host, .. }
        | Action::Applied { host }
        | Action::Fetched { host }
        | Action::Crash { host, .. }
        | Action::Restart { host, .. }
        | Action::FailWrite { host }
        | Action::Damage { host, .. }
        | Action::Wipe { host }
        | Action::RollBack { host, .. }
        | Action::Propose { host, .. }
        | Action::Command { host, .. }
        | Action::Call { host, .. }
        | Action::Read { host, .. }
        | Action::Register { host, .. }
        | Action::Submit { host, .. }
        | Action::Again { host, .. }
        | Action::ReadWithin { host, .. }
        | Action::Forward { host, .. }
        | Action::Barrier { host, .. }
        | Action::Verify { host, .. }
        | Action::Campaign { host }
        | Action::StepDown { host }
        | Action::ForgetLeader { host }
        | Action::Save { host }
        | Action::Saved { host }
        | Action::Compact { host } => *host = name(*host)?,
        Action::Heal | Action::Unwatch | Action::Pass { .. } => {}
    }
    Some(action)
}

/// Actions that could stand for this one and say less, the boldest first.
pub(super) fn simpler(action: Action) -> Vec<Action> {
    match action {
        Action::Tick { host, elapsed } => {
            let shorter = [1, elapsed / 2, elapsed - elapsed.min(1)];
            let shorter = shorter.into_iter().filter(|fewer| (1..elapsed).contains(fewer));
            shorter.map(|elapsed| Action::Tick { host, elapsed }).collect()
        }
        Action::Step { host, effects: Some(_) } => vec![Action::Step { host, effects: None }],
        Action::Crash { host, keep, torn, stray } => {
            let mut less = Vec::new();
            if stray != 0 {
                less.push(Action::Crash { host, keep, torn, stray: 0 });
            }
            if torn {
                less.push(Action::Crash { host, keep, torn: false, stray });
            }
            if keep != 0 {
                less.push(Action::Crash { host, keep: keep - 1, torn, stray });
            }
            less
        }
        Action::Restart { host, tail } if tail != u64::MAX => vec![Action::Restart { host, tail: u64::MAX }],
        Action::Propose { host, request, commands, bytes } => {
            let mut less = Vec::new();
            if 1 < commands {
                less.push(Action::Propose { host, request, commands: 1, bytes });
                less.push(Action::Propose { host, request, commands: commands - 1, bytes });
            }
            if 8 < bytes {
                less.push(Action::Propose { host, request, commands, bytes: 8 });
            }
            less
        }
        Action::Reconfigure { host, request, wanted, based_on } => {
            let mut less = Vec::new();
            if based_on.is_some() {
                less.push(Action::Reconfigure { host, request, wanted, based_on: None });
            }
            let mut say = |wanted| less.push(Action::Reconfigure { host, request, wanted, based_on });
            if let Wanted::Set { voters, learners } = wanted {
                if !learners.is_empty() {
                    say(Wanted::Set { voters, learners: HostSet::EMPTY });
                }
                let fewer = voters.iter().filter(|_| 1 < voters.len());
                fewer.for_each(|gone| say(Wanted::Set { voters: voters.without(gone), learners }));
            }
            less
        }
        _ => Vec::new(),
    }
}
