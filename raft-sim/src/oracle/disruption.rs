//! No disruption: who has a quorum around it goes on leading.

use std::sync::Arc;

use raft_core::{Attempt, Body, Boot, Membership, Pair, Term};

use super::configurations::{Configurations, is_quorum_of, is_voter};
use super::peace::Peace;
use super::{Step, Verdict, broken};
use crate::action::{HostId, HostSet};

pub(super) const NAME: &str = "no-disruption";
const RULE: &str = "a leader with a live quorum around it is deposed at most once by each server that had won a pre-vote or was told to \
                    take over (Raft thesis §4.2.3, §9.6: servers that come back disturb nobody)";

/// A leader of the clique.
#[derive(Clone, Copy, Debug)]
struct Leader {
    host: HostId,
    term: Term,
    // For how many ticks the clique was watched when it came to lead.
    since: u64,
    // Whether nothing should depose it any more.
    settled: bool,
}

/// Who would vote for a server, in its newest pre-vote.
#[derive(Clone, Copy, Debug)]
struct PreVotes {
    asked: (Boot, Attempt),
    // Who said so before a leader had settled, and since.
    before: HostSet,
    since: HostSet,
}

/// Who began which term and with whose pre-votes, and which leader is to stay.
#[derive(Clone, Debug)]
pub(super) struct Disruption {
    election_timeout_ticks: u64,
    pre_vote: bool,
    leader: Option<Leader>,
    // How many have settled in a siege.
    count: u64,
    // By machine.
    pre_votes: Vec<Option<PreVotes>>,
    // The newest term that each machine began before a leader had settled, and since.
    campaigns: Vec<[Term; 2]>,
    // The term whose leader has told this machine last to take over.
    told: Vec<Option<Term>>,
    // The configuration in which this machine has campaigned last.
    electorates: Vec<Option<Arc<Membership>>>,
}

impl Disruption {
    pub(super) fn new(hosts: usize, election_timeout_ticks: u32, pre_vote: bool) -> Self {
        Disruption {
            election_timeout_ticks: u64::from(election_timeout_ticks),
            pre_vote,
            leader: None,
            count: 0,
            pre_votes: vec![None; hosts],
            campaigns: vec![[Term::ZERO; 2]; hosts],
            told: vec![None; hosts],
            electorates: vec![None; hosts],
        }
    }

    /// Another clique is watched, or none.
    pub(super) fn watched(&mut self) {
        self.leader = None;
    }

    /// How many leaders have settled in a siege.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// What a machine asked for as the pair that it was is asked no more.
    pub(super) fn wiped(&mut self, host: HostId) {
        self.pre_votes[host.nth()] = None;
        self.campaigns[host.nth()] = [Term::ZERO; 2];
        self.told[host.nth()] = None;
        self.electorates[host.nth()] = None;
    }

    /// Time has passed for the clique. A leader settles once it and the clique have stood for two election timeouts, by the slowest
    /// of clocks. Without pre-votes nobody promises that it goes on.
    pub(super) fn passed(&mut self, peace: &Peace) {
        let stood = 3 * self.election_timeout_ticks;
        let Some(leader) = self.leader.as_mut().filter(|leader| !leader.settled) else { return };
        if !self.pre_vote || peace.broken().is_some() || peace.now() < leader.since + stood {
            return;
        }
        leader.settled = true;
        self.count += u64::from(!peace.for_good());
        for pre_votes in self.pre_votes.iter_mut().flatten() {
            pre_votes.before = pre_votes.before.union(std::mem::take(&mut pre_votes.since));
        }
        for [before, since] in &mut self.campaigns {
            *before = (*before).max(std::mem::take(since));
        }
    }

    /// A server has made a step.
    ///
    /// # Errors
    /// A settled leader was deposed by nobody who may do so.
    pub(super) fn stepped(
        &mut self,
        step: &Step<'_>,
        peace: Option<&Peace>,
        known: &Configurations,
        pairs: &[Pair],
    ) -> Verdict {
        let host = step.host;
        self.note_packets(step);
        let term = step.after.term;
        if step.after.campaigns && step.before.term < term {
            let settled = self.leader.is_some_and(|leader| leader.settled);
            self.campaigns[host.nth()][usize::from(settled)] = term;
            self.electorates[host.nth()] = Some(Arc::clone(&known.in_force(step.log).membership));
        }
        let Some(peace) = peace.filter(|peace| peace.broken().is_none()) else {
            self.leader = None;
            return Ok(());
        };
        let leads = step.after.leads && peace.clique().contains(host);
        if let Some(leader) = self.leader {
            let gives_up = leader.host == host && (!step.after.leads || leader.term < term);
            if gives_up || leads && leader.term < term {
                self.leader = None;
                // Who is removed has to give up.
                let removed =
                    leader.host == host && !is_voter(&known.in_force(step.log).membership, step.pair);
                if leader.settled && !removed {
                    self.deposed(leader, term, peace.clique(), pairs)?;
                }
            }
        }
        if leads && self.leader.is_none_or(|leader| leader.term < term) {
            self.leader = Some(Leader { host, term, since: peace.now(), settled: false });
        }
        Ok(())
    }

    /// Pre-votes that are given, and servers that are told to take over.
    fn note_packets(&mut self, step: &Step<'_>) {
        for packet in &step.ready.send {
            let to = packet.to.id.raw().saturating_sub(1) as usize;
            match packet.body {
                Body::TimeoutNow if to < self.told.len() => self.told[to] = Some(packet.term),
                Body::PreVote { boot, attempt, granted: true } if to < self.pre_votes.len() => {
                    let asked = (boot, attempt);
                    let place = &mut self.pre_votes[to];
                    if place.is_none_or(|known| known.asked < asked) {
                        *place = Some(PreVotes { asked, before: HostSet::EMPTY, since: HostSet::EMPTY });
                    }
                    if let Some(known) = place.as_mut().filter(|known| known.asked == asked) {
                        known.since = known.since.with(step.host);
                    }
                }
                _ => {}
            }
        }
    }

    fn deposed(&mut self, leader: Leader, term: Term, clique: HostSet, pairs: &[Pair]) -> Verdict {
        let Leader { host, term: led, .. } = leader;
        if term == led {
            return broken(NAME, RULE, || {
                format!("server {host} gives up term {led}, though servers [{clique}] are all well")
            });
        }
        // It had begun this term, or a later one, before the leader settled; or it begins it now, and may.
        let machines = 0..self.campaigns.len();
        let begun = self.campaigns.iter().any(|[before, _]| term <= *before);
        let began = machines.clone().find(|nth| self.campaigns[*nth][1] == term);
        if begun
            || machines
                .clone()
                .any(|nth| self.campaigns[nth][1] == term && self.may_campaign(nth, term, clique, pairs))
        {
            return Ok(());
        }
        broken(NAME, RULE, || {
            let by = began.map_or("of nobody".to_owned(), |nth| {
                let votes = self.in_this_clique(nth, clique);
                format!(
                    "of server {}, for which servers [{votes}] would vote though they hear a leader",
                    HostId::at(nth)
                )
            });
            format!(
                "server {host}, leader of term {led} with servers [{clique}] around it, is deposed by term {term} {by}"
            )
        })
    }

    /// Who of the clique said since the leader settled that it would vote for this machine.
    fn in_this_clique(&self, nth: usize, clique: HostSet) -> HostSet {
        let since = self.pre_votes[nth].map_or(HostSet::EMPTY, |pre_votes| pre_votes.since);
        since.iter().filter(|host| clique.contains(*host)).collect()
    }

    /// Whether this machine had won a pre-vote before the leader settled, but for those outside of the clique, or was told to take
    /// over. The pre-vote counts once.
    fn may_campaign(&mut self, nth: usize, term: Term, clique: HostSet, pairs: &[Pair]) -> bool {
        if self.told[nth].and_then(Term::next) == Some(term) {
            return true;
        }
        let Some(pre_votes) = &mut self.pre_votes[nth] else { return false };
        let outside = pre_votes.since.iter().filter(|host| !clique.contains(*host)).collect();
        let for_it = pre_votes.before.union(outside).with(HostId::at(nth));
        let won = self.electorates[nth].as_ref().is_some_and(|asked| is_quorum_of(asked, for_it, pairs));
        if won {
            self.pre_votes[nth] = None;
        }
        won
    }
}
