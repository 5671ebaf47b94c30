//! What those are told who asked for another configuration, and that nobody changes it unasked.

use std::collections::BTreeMap;

use raft_core::{Answer, Change, Membership, NodeId, Outcome, Position, Server, Suffrage};

use super::answers::NAME;
use super::commit::CommitRule;
use super::configurations::{Configurations, Known, halves};
use super::{Step, Verdict, broken};
use crate::action::HostId;

const ASKED: &str = "a configuration is appended because it was asked for, because a joint one is left, or because of a server that was \
                     to get its vote; a change that is refused or unchanged appends nothing (the contract of the core)";
const COMMITTED: &str = "a change answered as committed has appended the configuration at the first position, and has led to that at the \
                         last, which is committed (the contract of the core)";

const HANDING_OVER: &str =
    "a transfer is given up at once when its target loses its vote (the contract of the core; B37)";

#[derive(Clone, Debug)]
struct Asked {
    host: HostId,
    change: Change,
    /// The first configuration that it appended.
    appended: Option<Position>,
}

/// The changes that wait for their answers, and the transfers to somebody, with where and to whom.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    asked: BTreeMap<u64, Asked>,
    transfers: BTreeMap<u64, (HostId, NodeId)>,
    committed: u64,
    joint: u64,
}

impl Changes {
    pub(super) fn asked(&mut self, host: HostId, request: u64, change: Change) {
        self.asked.insert(request, Asked { host, change, appended: None });
    }

    pub(super) fn transfer_asked(&mut self, host: HostId, request: u64, to: Option<NodeId>) {
        self.transfers.extend(to.map(|to| (request, (host, to))));
    }

    /// A node has made a step. It hands over to nobody who has no vote in the configuration in force, `own`.
    pub(super) fn stepped(&self, step: &Step<'_>, own: &Known) -> Verdict {
        let waits = |request: u64| !step.ready.answers.iter().any(|answer| answer.id.raw() == request);
        let votes = |to: NodeId| halves(&own.membership).any(|half| half.iter().any(|pair| pair.id == to));
        let lost = self
            .transfers
            .iter()
            .find(|(request, (at, to))| *at == step.host && waits(**request) && !votes(*to));
        match lost.filter(|_| step.after.leads) {
            None => Ok(()),
            Some((request, (_, to))) => broken(NAME, HANDING_OVER, || {
                format!(
                    "{} waits to hand over to server {to} for request {request}, which has no vote",
                    step.pair
                )
            }),
        }
    }

    /// What waited there is never answered.
    pub(super) fn crashed(&mut self, host: HostId) {
        self.transfers.retain(|_, (at, _)| *at != host);
        self.asked.retain(|_, asked| asked.host != host);
    }

    /// How many were answered as committed, and how many joint configurations were appended.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.committed, self.joint)
    }

    /// The leader at `host` has appended `now` behind `before`, in a step that gives these answers.
    pub(super) fn appended(
        &mut self,
        host: HostId,
        before: &Known,
        now: &Known,
        answers: &[Answer],
    ) -> Verdict {
        let (before, membership, position) = (&*before.membership, &*now.membership, now.position);
        self.joint += u64::from(!membership.outgoing().is_empty());
        let leaves = !before.outgoing().is_empty() && membership.servers() == before.servers();
        if leaves {
            return Ok(());
        }
        let without_effect = |request: u64| {
            answers.iter().any(|answer| {
                let none = matches!(answer.outcome, Outcome::Refused(_) | Outcome::Unchanged { .. });
                answer.id.raw() == request && none
            })
        };
        let asked = self.asked.iter_mut().find(|(request, asked)| {
            let waits = asked.host == host && asked.appended.is_none() && !without_effect(**request);
            waits && target(before, &asked.change) == membership.servers()
        });
        match asked {
            Some((_, asked)) => {
                asked.appended = Some(position);
                Ok(())
            }
            None if ends_staging(before, membership) => Ok(()),
            None => broken(NAME, ASKED, || {
                format!("server {host} appends {membership:?} at {position}, for which nobody waits there")
            }),
        }
    }

    /// Somebody who asked a node was told something.
    pub(super) fn answered(
        &mut self,
        answer: &Answer,
        known: &Configurations,
        commit: &CommitRule,
    ) -> Verdict {
        let request = answer.id.raw();
        self.transfers.remove(&request);
        let Some(asked) = self.asked.remove(&request) else { return Ok(()) };
        match answer.outcome {
            Outcome::Refused(_) | Outcome::Unchanged { .. } => match asked.appended {
                None => Ok(()),
                Some(position) => broken(NAME, ASKED, || {
                    format!("request {request} is answered {:?}, but has appended {position}", answer.outcome)
                }),
            },
            Outcome::Committed { first, last } => {
                self.committed += 1;
                if asked.appended == Some(first) && led_to(first, last, known, commit) {
                    return Ok(());
                }
                broken(NAME, COMMITTED, || {
                    let appended = asked.appended;
                    format!(
                        "request {request} is said to be committed at {first} to {last}, and appended {appended:?}"
                    )
                })
            }
            Outcome::Lost { .. } => Ok(()),
            _ => broken(NAME, COMMITTED, || {
                format!("request {request} was a change, and is answered {:?}", answer.outcome)
            }),
        }
    }
}

fn led_to(first: Position, last: Position, known: &Configurations, commit: &CommitRule) -> bool {
    let (Some(first), Some(last)) = (known.at(first), known.at(last)) else { return false };
    let is_committed =
        commit.at(last.position.index).is_some_and(|committed| committed.term == last.position.term);
    let direct = first.membership.outgoing().is_empty();
    let leads = if direct {
        first.position == last.position
    } else {
        first.membership.servers() == last.membership.servers()
            && first.position.index < last.position.index
            && last.membership.outgoing().is_empty()
    };
    is_committed && leads
}

/// Whether all that differs is one server that was to get its vote, and now has it or is a learner.
fn ends_staging(before: &Membership, now: &Membership) -> bool {
    let (one, other) = (before.servers(), now.servers());
    let mut differ = one.iter().zip(other).filter(|(one, other)| one != other);
    let (first, more) = (differ.next(), differ.next());
    let same = one.len() == other.len() && now.outgoing().is_empty() && more.is_none();
    same && first.is_some_and(|(one, other)| {
        let staged = Server { suffrage: Suffrage::Staging, ..other.clone() };
        *one == staged && other.suffrage != Suffrage::Staging
    })
}

/// The servers that a change leads to, sorted by id.
fn target(before: &Membership, change: &Change) -> Vec<Server> {
    let mut servers = before.servers().to_vec();
    let mut edit = |id, what: &dyn Fn(&mut Server)| {
        servers.iter_mut().filter(|server| server.pair.id == id).for_each(what);
    };
    match change {
        Change::Set(all) => servers.clone_from(all),
        Change::Add(server) => {
            servers.retain(|known| known.pair.id != server.pair.id);
            servers.push(server.clone());
        }
        Change::Remove(id) => servers.retain(|server| server.pair.id != *id),
        Change::Promote(id) => edit(*id, &|server| server.suffrage = Suffrage::Voter),
        Change::Demote(id) => edit(*id, &|server| server.suffrage = Suffrage::Learner),
        Change::Readdress { id, raft_address, client_address } => edit(*id, &|server| {
            server.raft_address.clone_from(raft_address);
            server.client_address.clone_from(client_address);
        }),
        other => unreachable!("no client asks for {other:?}"),
    }
    servers.sort_by_key(|server| server.pair.id);
    servers
}
