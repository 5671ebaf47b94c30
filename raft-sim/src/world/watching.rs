//! A clique in a world that is watched: what the oracles are shown of it.

use raft_core::Node;

use super::{Applied, Outcome, World};
use crate::action::{Action, HostId, HostSet, Link};
use crate::host::Host;
use crate::oracle::{Duties, Need, Seen, Standing, Way};
use crate::rig::Rig;

impl<R: Rig> World<R> {
    /// How far every machine is; those that are down are left out.
    pub fn standings(&self) -> Vec<Standing> {
        let up = self
            .hosts
            .iter()
            .enumerate()
            .filter_map(|(nth, host)| Some((HostId::at(nth), host.node()?, host)));
        let standing = |(host, node, machine): (HostId, &Node, &Host)| {
            let status = node.status();
            Standing {
                host,
                leads: Seen::from(status).leads,
                term: status.term,
                leader: status.leader,
                last: status.last,
                commit: status.commit,
                applied: machine.applied,
                waiting: self.oracles.waiting(host),
            }
        };
        up.map(standing).collect()
    }

    /// What the clique needs that is left in peace for good; with what disturbed it, if something did.
    pub fn need(&self) -> (Need, Option<&str>) {
        (self.oracles.need(), self.oracles.disturbed())
    }

    pub(super) fn watch(&mut self, clique: HostSet, for_good: bool) -> Applied {
        let all: HostSet = (0..self.hosts.len()).map(HostId::at).collect();
        let well = |host: HostId| {
            let machine = &self.hosts[host.nth()];
            machine.up.is_some() && machine.is_founder() && !machine.disk.has_failed()
        };
        let majority = clique.union(all) == all && all.len() < 2 * clique.len();
        if !majority || !clique.iter().all(well) || ways(clique).any(|link| !self.network.is_open(link)) {
            return Applied::Impossible;
        }
        let ways: Vec<Way> = ways(clique)
            .map(|link| Way { link, newest: self.network.newest_on(link), oldest: None })
            .collect();
        self.oracles.watch(clique, for_good, &ways);
        Applied::Done
    }

    pub(super) fn unwatch(&mut self) -> Applied {
        if self.oracles.watched().is_none() {
            return Applied::Impossible;
        }
        self.oracles.watch(HostSet::EMPTY, false, &[]);
        Applied::Done
    }

    pub(super) fn pass(&mut self, ticks: u8) -> Outcome {
        let Some(clique) = self.oracles.watched() else { return Ok(Applied::Impossible) };
        if !(1..=Action::PASS_MAX).contains(&ticks) {
            return Ok(Applied::Impossible);
        }
        let duties: Vec<Duties> = clique.iter().map(|host| self.duties(host)).collect();
        let ways: Vec<Way> = ways(clique).map(|link| self.way(link)).collect();
        let mut standings = self.standings();
        standings.retain(|standing| clique.contains(standing.host));
        self.oracles.passed(ticks, &duties, &ways, &standings)?;
        Ok(Applied::Done)
    }

    fn duties(&self, host: HostId) -> Duties {
        let machine = &self.hosts[host.nth()];
        Duties {
            host,
            sleep: machine.sleep(),
            mail: machine.has_mail() || machine.is_unfinished(),
            writes: machine.disk.queued() != 0,
        }
    }

    fn way(&self, link: Link) -> Way {
        let base = self.oracles.base(link);
        let mut flying = self.network.flying(link).map(|(name, _)| name.number);
        Way { link, newest: self.network.newest_on(link), oldest: flying.find(|number| base < *number) }
    }
}

/// The ways between these machines.
fn ways(clique: HostSet) -> impl Iterator<Item = Link> {
    let from = move |from| clique.iter().map(move |to| Link { from, to });
    clique.iter().flat_map(from).filter(|link| link.from != link.to)
}
