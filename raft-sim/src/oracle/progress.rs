//! Progress once faults stop.

use raft_core::{LogIndex, Pair, Position, Term};

use super::{Verdict, broken};
use crate::action::HostId;

pub(crate) const NAME: &str = "progress";
const RULE: &str = "once faults stop in a quorum it has a leader, its logs become equal, every call is answered and no term rises any \
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

/// Whether terms stand still.
///
/// # Errors
/// One that has risen.
pub(crate) fn terms_rise(before: &[Standing], after: &[Standing]) -> Verdict {
    let risen = before.iter().zip(after).find(|(before, after)| before.term < after.term);
    match risen {
        Some((before, after)) => broken(NAME, RULE, || {
            format!(
                "server {} goes from term {} to {} though all was well",
                before.host, before.term, after.term
            )
        }),
        None => Ok(()),
    }
}

/// Whether all is as it should be in the end; the last word after the stated time. Every machine has to be listed.
///
/// # Errors
/// What is missing.
pub(crate) fn judge(standings: &[Standing]) -> Verdict {
    let fail = |what: String| broken(NAME, RULE, || what);
    let mut leaders = standings.iter().filter(|standing| standing.leads);
    let (Some(leader), None) = (leaders.next(), leaders.next()) else {
        let count = standings.iter().filter(|standing| standing.leads).count();
        return fail(format!("{count} servers lead"));
    };
    for standing in standings {
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
