//! Progress once faults stop.

use raft_core::{LogIndex, Pair, Position, Term};

use super::peace::Peace;
use super::{Step, Verdict, broken};
use crate::action::{HostId, HostSet};

pub(crate) const NAME: &str = "progress";
pub(super) const RULE: &str = "once faults stop in a quorum it has a leader, its logs become equal, every call is answered and no term rises any \
                    more, whatever stays broken outside (Raft thesis §3.9: a steady leader as long as timing suffices)";

/// How far one machine is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Which.
    pub host: HostId,
    /// Whether it leads.
    pub leads: bool,
    /// Its term.
    pub term: Term,
    /// The leader it follows.
    pub leader: Option<Pair>,
    /// The end of its log.
    pub last: Position,
    /// How far that is committed.
    pub commit: LogIndex,
    /// How far that is applied.
    pub applied: LogIndex,
    /// How many requests wait there.
    pub waiting: u64,
}

/// What can be demanded of a clique now: it holds a quorum of its leader's configuration, or, where none leads, of that of the
/// member with the most up-to-date log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Demand {
    /// Those of it that belong to that configuration. The others are not told of what happens.
    pub of: HostSet,
    /// Whether that configuration is joint, and so has to be left.
    pub joint: bool,
}

/// What a clique that is left in peace for good needs now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Time.
    Time,
    /// All is well: its leader is to be asked for something, which has to commit.
    Request,
    /// Nothing: it has shown all that it has to.
    Nothing,
}

/// How many requests in a row have to commit, each in the time that is stated for it.
const REQUESTS: u32 = 2;

/// How often one of them may be refused or lost though all was well: what comes late from outside can depose a leader, but not
/// again and again.
const TRIES: u32 = 8;

/// Progress of the clique that is left in peace for good: it gets well, requests commit, it is well again, and then no term rises
/// any more for four election timeouts.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    election_timeout_ticks: u64,
    pre_vote: bool,
    need: Need,
    // When the time began in which all has to be well, and when no term could rise any more; by the ticks that it is watched.
    began: u64,
    steady: Option<u64>,
    // Of whom all this was demanded at the last look, and whether there were others inside then.
    demanded: HostSet,
    strangers: bool,
    // The latest term that somebody had begun anywhere when the peace began.
    begun: Term,
    excused: u64,
    asked: Option<u64>,
    committed: u32,
    failed: u32,
    risen: u32,
}

impl Progress {
    pub(super) fn new(election_timeout_ticks: u32, pre_vote: bool) -> Self {
        Progress {
            election_timeout_ticks: u64::from(election_timeout_ticks),
            pre_vote,
            need: Need::Time,
            began: 0,
            steady: None,
            demanded: HostSet::EMPTY,
            strangers: false,
            begun: Term::ZERO,
            excused: 0,
            asked: None,
            committed: 0,
            failed: 0,
            risen: 0,
        }
    }

    /// Another clique is watched, or none. `begun` is the latest term that anybody has begun by now, inside or outside.
    pub(super) fn watched(&mut self, begun: Term) {
        let Progress { election_timeout_ticks, pre_vote, excused, .. } = *self;
        *self = Progress { election_timeout_ticks, begun, excused, ..Progress::new(0, pre_vote) };
    }

    /// How often nothing could be demanded any more.
    pub(super) fn excused(&self) -> u64 {
        self.excused
    }

    /// What it needs.
    pub(super) fn need(&self) -> Need {
        self.need
    }

    /// A server of the clique is asked for something. It counts if all was well, and this one led.
    pub(super) fn proposed(&mut self, request: u64, leads: bool, now: u64) {
        if self.need == Need::Request && leads {
            (self.need, self.asked, self.began) = (Need::Time, Some(request), now);
        }
    }

    /// How many ticks a clique gets to recover: sixty election timeouts, and eight ticks for every entry of the longest log, since
    /// limits may have them sent, fetched and applied one by one.
    fn patience(&self, standings: &[Standing]) -> u64 {
        let longest = standings.iter().map(|standing| standing.last.index.raw()).max();
        60 * self.election_timeout_ticks + 8 * longest.unwrap_or(0)
    }

    /// Time has passed. Without a demand the clique has not what it needs, and nothing is asked of it any more. `is_committed` says whether a request was answered as committed.
    ///
    /// # Errors
    /// What is not well after the time for it.
    pub(super) fn passed(
        &mut self,
        peace: &Peace,
        standings: &[Standing],
        demand: Option<Demand>,
        is_committed: impl Fn(u64) -> bool,
    ) -> Verdict {
        let now = peace.now();
        let Some(demand) = demand else {
            self.excused += u64::from(self.need != Need::Nothing);
            self.need = Need::Nothing;
            return Ok(());
        };
        self.demanded = demand.of;
        self.strangers = demand.of != peace.clique();
        if let Err(ill) = judge(standings, demand) {
            if self.need == Need::Request {
                self.need = Need::Time;
            }
            let late = self.began + self.patience(standings) <= now;
            return if late { Err(ill) } else { Ok(()) };
        }
        self.began = now;
        if let Some(steady) = self.steady {
            let done = steady + 4 * self.election_timeout_ticks <= now;
            self.need = if done { Need::Nothing } else { Need::Time };
            return Ok(());
        }
        let Some(request) = self.asked.take() else {
            self.need = Need::Request;
            return Ok(());
        };
        if !is_committed(request) {
            self.failed += 1;
            self.need = Need::Request;
            return if self.failed < TRIES { Ok(()) } else { self.refused(request) };
        }
        (self.committed, self.failed) = (self.committed + 1, 0);
        if self.committed < REQUESTS {
            self.need = Need::Request;
        } else {
            self.steady = Some(now);
        }
        Ok(())
    }

    fn refused(&self, request: u64) -> Verdict {
        let tries = self.failed;
        broken(NAME, RULE, || {
            format!("{tries} requests in a row, the last of them {request}, do not commit though all is well")
        })
    }

    /// A server of the clique has made a step.
    ///
    /// What was sent from outside before the peace began may arrive late, and bring a term that had been begun by then. And without
    /// pre-votes a server inside that is no member, and does not know it, begins terms as long as it likes (Raft thesis §4.2.3):
    /// one that was added by a change which was lost can not even be told, for its configuration is the newer one. Nor do others outside
    /// know that they should keep still: what was sent to one of them before may be answered, with a term that it has begun since. That
    /// deposes a leader, but not again and again: all has to get well anew.
    ///
    /// # Errors
    /// Its term has risen though all was well.
    pub(super) fn stepped(&mut self, step: &Step<'_>) -> Verdict {
        let (before, after) = (step.before.term, step.after.term);
        let binds = self.steady.is_some() && self.need != Need::Nothing && self.demanded.contains(step.host);
        let excused = after <= self.begun || self.strangers && !self.pre_vote;
        if !binds || after <= before || excused {
            return Ok(());
        }
        self.risen += 1;
        if !self.pre_vote && self.risen < TRIES {
            (self.need, self.steady, self.committed) = (Need::Time, None, 0);
            return Ok(());
        }
        broken(NAME, RULE, || {
            format!("server {} goes from term {before} to {after} though all was well", step.host)
        })
    }
}

/// Whether all is as it should be. Every machine of the clique has to be listed: one that is down is not well.
fn judge(standings: &[Standing], demand: Demand) -> Verdict {
    let fail = |what: String| broken(NAME, RULE, || what);
    let listed = |host: &HostId| standings.iter().any(|standing| standing.host == *host);
    if demand.joint {
        return fail("a joint configuration is still in force".to_owned());
    }
    if let Some(missing) = demand.of.iter().find(|host| !listed(host)) {
        return fail(format!("server {missing} is down"));
    }
    let mut leaders = standings.iter().filter(|standing| standing.leads);
    let (Some(leader), None) = (leaders.next(), leaders.next()) else {
        let count = standings.iter().filter(|standing| standing.leads).count();
        return fail(format!("{count} servers lead"));
    };
    for standing in standings.iter().filter(|standing| demand.of.contains(standing.host)) {
        let host = standing.host;
        if standing.term != leader.term || standing.leader != leader.leader {
            return fail(format!(
                "server {host} does not follow server {}, leader of term {}",
                leader.host, leader.term
            ));
        }
        if standing.last != leader.last {
            return fail(format!(
                "the log of server {host} ends at {}, the leader's at {}",
                standing.last, leader.last
            ));
        }
        if standing.commit != leader.last.index || standing.applied != leader.last.index {
            let (commit, applied, last) = (standing.commit, standing.applied, leader.last);
            return fail(format!(
                "server {host} has committed up to {commit} and applied up to {applied} of {last}"
            ));
        }
        if standing.waiting != 0 {
            return fail(format!("{} requests to server {host} were not answered", standing.waiting));
        }
    }
    Ok(())
}
