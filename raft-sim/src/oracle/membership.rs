//! Membership changes: what has to hold when a leader appends a configuration, and which one is in force.

use core::fmt;

use raft_core::{Event, LogIndex, Membership, Pair, Position, Term};

use super::commit::CommitRule;
use super::configurations::{Configurations, Known, halves, is_member, is_quorum, is_voter, voters};
use super::{LogView, Seen, Step, Verdict, broken};
use crate::action::HostId;

pub(super) const NAME: &str = "membership";
const IN_FORCE: &str = "a server always uses the latest configuration in its log, committed or not, and falls back to the one before \
                        it where that is removed from the log (Raft thesis §4.1)";
const ONE_AT_A_TIME: &str = "a new configuration is appended only when the one before it is committed (Raft thesis §4.1: a leader can \
                             not begin a change while another one is under way)";
const OWN_TERM: &str = "a leader appends no configuration before an entry of its own term is committed (the correction of the \
                        single-server changes of Raft thesis §4.1; B32)";
const OVERLAP: &str =
    "any majority of the old configuration overlaps with any majority of the new one (Raft thesis §4.1)";
const ONE_SERVER: &str =
    "without a joint configuration at most one voter is added or removed at a time (Raft thesis §4.1)";
const JOINT: &str = "a joint configuration is of the one before it and leads to its own incoming half, once it is committed (Raft \
                     thesis §4.3; B35)";
const REMOVED: &str =
    "who is a member of a configuration as new as that of its removal, or newer, is not removed (B38)";

const LEFT: &str = "a leader without a vote steps down once the configuration that gives it none is committed (Raft thesis §4.2.2; \
                    B36)";

/// Of how many voters at most all quorums are looked at.
const BRUTE_FORCE_MAX: usize = 8;

/// The configuration in force on each machine after its last step, by index.
#[derive(Clone, Debug)]
pub(super) struct Memberships {
    in_force: Vec<LogIndex>,
}

impl Memberships {
    pub(super) fn new(hosts: usize) -> Self {
        Memberships { in_force: vec![LogIndex::ZERO; hosts] }
    }

    /// A node was made from what its disk holds, of which this is the last configuration. What was in force before may not be in its log any
    /// more.
    pub(super) fn started(&mut self, host: HostId, seen: &Seen, node: &dyn LogView, own: &Known) -> Verdict {
        self.in_force[host.nth()] = LogIndex::ZERO;
        uses_the_last(&format_args!("server {host}"), seen, node, own)
    }

    /// A node has made a step. What it has committed in it is known already.
    pub(super) fn stepped(
        &mut self,
        step: &Step<'_>,
        known: &Configurations,
        commit: &CommitRule,
    ) -> Verdict {
        self.told_removed(step, known, commit)?;
        let Some(index) = step.log.in_force() else { return Ok(()) };
        self.in_force[step.host.nth()] = index;
        let own = known.in_force(step.log);
        leads_with_a_vote(step, own)?;
        uses_the_last(&step.pair, &step.after, step.log, own)
    }

    /// Who believes to be removed had no newer configuration with itself in it before the step. One that is not committed may be
    /// of an older term than the removal, and then says nothing.
    fn told_removed(&self, step: &Step<'_>, known: &Configurations, commit: &CommitRule) -> Verdict {
        for event in &step.ready.events {
            match event {
                // Then it can not be said which came first.
                Event::Membership { .. } => break,
                Event::Removed { index } => {
                    let before = self.in_force[step.host.nth()];
                    let own = known.up_to(step.log, before);
                    let Position { term, index: at } = own.position;
                    let is_committed = commit.at(at).is_some_and(|there| there.term == term);
                    let holds = at == before && is_committed && is_member(&own.membership, step.pair);
                    if *index <= before && holds {
                        return broken(NAME, REMOVED, || {
                            format!(
                                "{} believes that it was removed at index {index}, and is a member at index {before}",
                                step.pair
                            )
                        });
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The configuration that a node uses is the last one in its log, in all that it says.
fn uses_the_last(who: &dyn fmt::Display, seen: &Seen, node: &dyn LogView, own: &Known) -> Verdict {
    let Some(index) = node.in_force() else { return Ok(()) };
    let last = own.position.index;
    if index == LogIndex::ZERO && seen.last.index == LogIndex::ZERO {
        return Ok(());
    }
    if index != last {
        return broken(NAME, IN_FORCE, || {
            format!("{who} uses the configuration at index {index}; the last in its log is at {last}")
        });
    }
    match node.membership() {
        Some(used) if !std::ptr::eq(used, &*own.membership) && *used != *own.membership => {
            broken(NAME, IN_FORCE, || {
                format!(
                    "{who} uses {used:?}, the last configuration in its log, at {index}, is {:?}",
                    own.membership
                )
            })
        }
        _ => Ok(()),
    }
}

/// A leader has a vote, or its configuration is not committed yet.
fn leads_with_a_vote(step: &Step<'_>, own: &Known) -> Verdict {
    let Known { position, membership } = own;
    let left = position.index <= step.after.commit && membership.outgoing().is_empty();
    if !step.after.leads || !left || is_voter(membership, step.pair) {
        return Ok(());
    }
    broken(NAME, LEFT, || {
        format!("{} leads on, and has no vote at {position}, which is committed", step.pair)
    })
}

/// A leader of `term` has appended `now` in this step.
pub(super) fn appended(
    step: &Step<'_>,
    term: Term,
    now: &Known,
    known: &Configurations,
    commit: &CommitRule,
) -> Verdict {
    let (who, index) = (step.pair, now.position.index);
    let before = known.up_to(step.log, index.previous());
    let is_committed = |index: LogIndex, term: Term| commit.at(index).is_some_and(|there| there.term == term);
    if !is_committed(before.position.index, before.position.term) {
        let rule = if before.membership.outgoing().is_empty() { ONE_AT_A_TIME } else { JOINT };
        return broken(NAME, rule, || {
            format!(
                "{who} appends a configuration at index {index}, but that at {} is not committed",
                before.position
            )
        });
    }
    if !is_committed(step.after.commit, term) || step.log.term_at(step.after.commit) != Some(term) {
        return broken(NAME, OWN_TERM, || {
            format!("{who} appends a configuration at index {index} and has committed nothing in term {term}")
        });
    }
    follows(who, &before.membership, &now.membership)
}

/// Whether the one may follow the other.
pub(super) fn follows(who: Pair, before: &Membership, now: &Membership) -> Verdict {
    let (leaves, enters) = (!before.outgoing().is_empty(), !now.outgoing().is_empty());
    let fits = match (leaves, enters) {
        (true, true) => false,
        (true, false) => now.servers() == before.servers(),
        (false, true) => now.outgoing() == before.servers(),
        (false, false) => true,
    };
    if !fits {
        return broken(NAME, JOINT, || format!("{who} appends {now:?} behind {before:?}"));
    }
    let differ = |one: &Membership, other: &Membership| {
        let other: Vec<Pair> = voters(other.servers()).collect();
        voters(one.servers()).filter(|pair| !other.contains(pair)).count()
    };
    if !leaves && !enters && 1 < differ(before, now) + differ(now, before) {
        return broken(NAME, ONE_SERVER, || format!("{who} appends {now:?} behind {before:?}"));
    }
    if always_meet(before, now) {
        return Ok(());
    }
    broken(NAME, OVERLAP, || format!("{who} appends {now:?} behind {before:?}"))
}

/// Whether every quorum of the one meets every quorum of the other, tried one by one. Two that do not meet exist exactly where some
/// set is a quorum of the one and all the others are one of the other. Of many voters nothing is said.
fn always_meet(one: &Membership, other: &Membership) -> bool {
    let mut all: Vec<Pair> = halves(one).chain(halves(other)).flatten().collect();
    all.sort_unstable();
    all.dedup();
    if BRUTE_FORCE_MAX < all.len() {
        return true;
    }
    let inside = |set: u32, pair: Pair| {
        all.iter().position(|known| *known == pair).is_some_and(|nth| set >> nth & 1 == 1)
    };
    (0..1_u32 << all.len())
        .all(|set| !is_quorum(one, |pair| inside(set, pair)) || !is_quorum(other, |pair| inside(!set, pair)))
}
