//! A clique in a world that is watched: what the oracles are shown of it.

use raft_core::{Membership, Node, Position, Term};

use super::{Applied, Outcome, World};
use crate::action::{Action, HostId, HostSet, Link};
use crate::host::Host;
use crate::oracle::{Demand, Duties, Need, Seen, Standing, TermLog, Way};
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
                applied: machine.machine.last.index,
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
            machine.up.is_some() && !machine.disk.has_failed()
        };
        let there = !clique.is_empty() && clique.union(all) == all && clique.iter().all(well);
        let Some(head) = self.most_up_to_date(clique).filter(|_| there) else { return Applied::Impossible };
        // A siege is laid around what nothing is about to change.
        let changes = !for_good && !self.is_settled(head);
        if self.demand(clique).is_none() || changes || ways(clique).any(|link| !self.network.is_open(link)) {
            return Applied::Impossible;
        }
        let ways: Vec<Way> = ways(clique)
            .map(|link| Way { link, newest: self.network.newest_on(link), oldest: None })
            .collect();
        let begun = self.latest_term();
        self.oracles.watch(clique, for_good, &ways, begun);
        Applied::Done
    }

    /// The latest term that a node that is up is in, or that a packet on its way is of.
    fn latest_term(&self) -> Term {
        let nodes = self.hosts.iter().filter_map(|host| Some(host.seen()?.term));
        let packets = self.network.names().filter_map(|name| Some(self.network.packet(name)?.term));
        nodes.chain(packets).max().unwrap_or(Term::ZERO)
    }

    pub(super) fn unwatch(&mut self) -> Applied {
        if self.oracles.watched().is_none() {
            return Applied::Impossible;
        }
        self.oracles.watch(HostSet::EMPTY, false, &[], Term::ZERO);
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
        let demand = self.demand(clique);
        self.oracles.passed(ticks, &duties, &ways, (&standings, demand))?;
        Ok(Applied::Done)
    }

    /// The terms in the log of a machine; of one that is down those on its disk.
    pub fn terms(&self, host: HostId) -> &TermLog {
        match &self.hosts[host.nth()].up {
            Some(_) => self.oracles.log(host),
            None => self.oracles.durable_log(host),
        }
    }

    /// The configuration in force on a machine; of one that is down by what its disk holds.
    pub fn configuration(&self, host: HostId) -> &Membership {
        self.oracles.configuration(self.terms(host))
    }

    /// Which machines, as the pairs that they are now, belong to a configuration.
    pub fn members(&self, membership: &Membership) -> HostSet {
        self.oracles.members(membership)
    }

    /// Whether these machines, as the pairs that they are now, hold a quorum of it.
    pub fn is_quorum(&self, membership: &Membership, hosts: HostSet) -> bool {
        self.oracles.is_quorum(membership, hosts)
    }

    /// Who of these has the most up-to-date log; of machines that are down by what their disks hold.
    pub fn most_up_to_date(&self, hosts: HostSet) -> Option<HostId> {
        let last = |host: &HostId| match self.hosts[host.nth()].seen() {
            Some(seen) => seen.last,
            None => {
                let log = self.oracles.durable_log(*host);
                Position { term: log.last_term(), index: log.last() }
            }
        };
        hosts.iter().filter(|host| host.nth() < self.hosts.len()).max_by_key(last)
    }

    /// Whether what is in force on a machine is committed, and not joint.
    fn is_settled(&self, host: HostId) -> bool {
        self.hosts[host.nth()].up.as_ref().is_some_and(|running| {
            let log = self.oracles.log(host);
            let joint = !self.configuration(host).outgoing().is_empty();
            self.oracles.is_in_force_for_good(log, running.seen.commit) && !joint
        })
    }

    /// What can be demanded of a clique, if it holds a quorum of the configuration of its leader, or of that of its member with the
    /// most up-to-date log, who can be elected by the others if it has a vote.
    fn demand(&self, clique: HostSet) -> Option<Demand> {
        let led = |host: &HostId| self.host(*host).seen().filter(|seen| seen.leads).map(|seen| seen.term);
        let leader = clique.iter().filter(|host| led(host).is_some()).max_by_key(led);
        let head = leader.or_else(|| self.most_up_to_date(clique))?;
        let membership = self.configuration(head);
        let electable = leader.is_some() || self.oracles.is_voter(membership, head);
        let joint = !membership.outgoing().is_empty();
        (electable && self.is_quorum(membership, clique))
            .then(|| Demand { of: clique.intersection(self.members(membership)), joint })
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
