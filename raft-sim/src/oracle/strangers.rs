//! A server whose disk was wiped is a stranger, and a damaged disk is not started from.

use raft_core::{Body, Pair};

use super::configurations::Configurations;
use super::{Seen, Step, Verdict, broken};
use crate::action::{HostId, HostSet};

pub(super) const NAME: &str = "strangers";
const STRANGER: &str = "a server whose disk was wiped comes back as another pair, which promises nothing to anybody and leads \
                        nobody until it is added (the contract of the core; B39)";
const DAMAGED: &str = "damage in the synced part of a disk is noticed, and no node starts from it (B53)";

/// Which machines were wiped, and whose disks are damaged.
#[derive(Clone, Debug, Default)]
pub(super) struct Strangers {
    pairs: Vec<Pair>,
    damaged: HostSet,
}

impl Strangers {
    /// These have empty disks and are in no configuration.
    pub(super) fn new(pairs: Vec<Pair>) -> Self {
        Strangers { pairs, ..Strangers::default() }
    }

    pub(super) fn damaged(&mut self, host: HostId) {
        self.damaged = self.damaged.with(host);
    }

    pub(super) fn is_damaged(&self, host: HostId) -> bool {
        self.damaged.contains(host)
    }

    pub(super) fn wiped(&mut self, host: HostId, pair: Pair) {
        self.damaged = self.damaged.without(host);
        self.pairs.push(pair);
    }

    pub(super) fn started(&self, host: HostId, seen: &Seen) -> Verdict {
        if !self.is_damaged(host) {
            return Ok(());
        }
        broken(NAME, DAMAGED, || {
            format!("server {host} starts from a damaged disk, with a log up to {}", seen.last)
        })
    }

    pub(super) fn stepped(&mut self, step: &Step<'_>, known: &Configurations) -> Verdict {
        if !self.pairs.contains(&step.pair) {
            return Ok(());
        }
        if known.holds(step.pair) {
            self.pairs.retain(|pair| *pair != step.pair);
            return Ok(());
        }
        let promise = step.ready.send.iter().find(|packet| {
            !matches!(packet.body, Body::PreVote { .. } | Body::Vote { granted: false, .. } | Body::NewerTerm)
        });
        if step.after.leads || promise.is_some() {
            return broken(NAME, STRANGER, || {
                let sends = promise.map(|packet| &packet.body);
                format!("{} leads: {}, sends: {sends:?}", step.pair, step.after.leads)
            });
        }
        Ok(())
    }
}
