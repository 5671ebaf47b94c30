//! No disruption: who has a quorum around it goes on leading.

use raft_core::Term;

use super::{Seen, Verdict, broken};
use crate::action::{HostId, HostSet};

pub(super) const NAME: &str = "no-disruption";
const RULE: &str = "a leader with a live quorum around it is deposed at most once by each server that had won a pre-vote or was told to \
                    take over (Raft thesis §4.2.3, §9.6: servers that come back disturb nobody)";

/// A leader that nothing should depose: its clique has stood for two election timeouts, and so has its leadership.
#[derive(Clone, Copy, Debug)]
struct Settled {
    clique: HostSet,
    leader: HostId,
    term: Term,
    // How many campaigns there were when it settled.
    campaigns: usize,
}

/// Who began which term, and what leader is being watched. Like progress it depends on time, which the scheduler knows.
#[derive(Clone, Debug, Default)]
pub struct Disruption {
    // Every campaign: a term that was begun, and by whom.
    campaigns: Vec<(Term, HostId)>,
    settled: Option<Settled>,
    // Who has deposed a settled leader of the clique by a campaign that it began after that had settled.
    charged: HostSet,
}

impl Disruption {
    /// From here on this leader of `term` is to stay, while nothing goes wrong in `clique`.
    pub fn settled(&mut self, clique: HostSet, leader: HostId, term: Term) {
        if self.settled.is_some_and(|settled| settled.leader == leader && settled.term == term) {
            return;
        }
        self.settled = Some(Settled { clique, leader, term, campaigns: self.campaigns.len() });
    }

    /// From here on anything may go wrong.
    pub fn lifted(&mut self) {
        self.settled = None;
        self.charged = HostSet::EMPTY;
    }

    /// A server has made a step.
    ///
    /// # Errors
    /// A settled leader was deposed by nobody who may do so.
    pub fn stepped(&mut self, host: HostId, seen: &Seen) -> Verdict {
        if seen.campaigns
            && !self.campaigns.iter().rev().take(64).any(|campaign| *campaign == (seen.term, host))
        {
            self.campaigns.push((seen.term, host));
        }
        let Some(settled) = self.settled.filter(|settled| settled.leader == host) else { return Ok(()) };
        if seen.leads && seen.term == settled.term {
            return Ok(());
        }
        self.settled = None;
        self.deposed(settled, seen.term)
    }

    fn deposed(&mut self, settled: Settled, term: Term) -> Verdict {
        let Settled { clique, leader, term: led, campaigns } = settled;
        if term == led {
            return broken(NAME, RULE, || {
                format!("server {leader} gives up term {led}, though servers [{clique}] are all well")
            });
        }
        let began = |campaign: &&(Term, HostId)| campaign.0 == term;
        if self.campaigns[..campaigns].iter().any(|campaign| campaign.0 == term) {
            return Ok(());
        }
        let mut causes = self.campaigns[campaigns..].iter().filter(began).map(|(_, host)| *host);
        match causes.find(|host| !self.charged.contains(*host)) {
            Some(host) => {
                self.charged = self.charged.with(host);
                Ok(())
            }
            None => broken(NAME, RULE, || {
                format!(
                    "server {leader}, leader of term {led} with servers [{clique}] around it, is deposed by term {term}, which \
                     was begun by a server that has deposed a leader here before, or by nobody"
                )
            }),
        }
    }
}
