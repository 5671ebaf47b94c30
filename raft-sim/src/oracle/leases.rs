//! Where leaders have leases: whoever has heard a leader, or has started, within the shortest election timeout gives nobody its vote.
//!
//! What a server has heard this oracle knows from packets that came, and how long ago that was from the server's own clock. Where several
//! things came at once, so that their order decides, it demands nothing.

use raft_core::{Body, Pair, Term};

use super::{Step, Verdict, broken};
use crate::action::HostId;

pub(super) const NAME: &str = "leases";
const RULE: &str = "if a server receives a RequestVote request within the minimum election timeout of hearing from a current leader, it does \
                    not update its term or grant its vote (Raft thesis §4.2.3, §6.4.1); a start counts as hearing, and only what the \
                    leader itself has asked for is another matter";

/// A request for a vote that has come since the last step.
#[derive(Clone, Copy, Debug)]
struct Request {
    candidate: Pair,
    term: Term,
    may_be_granted: bool,
}

/// What a server has heard. Times are in ticks of its clock.
#[derive(Clone, Debug, Default)]
struct Host {
    /// Since it has certainly heard a leader, or started.
    since: u64,
    /// Since it may have heard one.
    since_any: u64,
    /// The greatest `since` after its last step.
    longest: u64,
    /// A leader's packet since its last step: of which term, and how long ago.
    news: Option<(Term, u64)>,
    requests: Vec<Request>,
    /// Whether a leader has asked it since then to take over.
    urged: bool,
}

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    timeout: Option<u64>,
    hosts: Vec<Host>,
}

impl Leases {
    pub(super) fn new(hosts: usize, leases: Option<raft_core::Leases>) -> Self {
        let timeout = leases.map(|leases| u64::from(leases.election_timeout_ticks()));
        Leases { timeout, hosts: vec![Host::default(); hosts] }
    }

    pub(super) fn started(&mut self, host: HostId) {
        self.hosts[host.nth()] = Host::default();
    }

    pub(super) fn ticked(&mut self, host: HostId, elapsed: u32) {
        let (host, elapsed) = (&mut self.hosts[host.nth()], u64::from(elapsed));
        host.since += elapsed;
        host.since_any += elapsed;
        host.longest = host.longest.max(host.since);
        if let Some((_, ago)) = &mut host.news {
            *ago += elapsed;
        }
    }

    /// A packet has come to a machine that is this pair. Returns whether the node may take it as if it had never come.
    pub(super) fn delivered(&mut self, host: HostId, pair: Pair, packet: &raft_core::Packet) -> bool {
        let Some(timeout) = self.timeout else { return false };
        let host = &mut self.hosts[host.nth()];
        if packet.to != pair {
            return false;
        }
        match packet.body {
            Body::Append { .. } | Body::Heartbeat { .. } | Body::Commit { .. } => {
                host.since_any = 0;
                if host.news.is_none_or(|(term, _)| term <= packet.term) {
                    host.news = Some((packet.term, 0));
                }
            }
            Body::InstallSnapshot { .. } => host.since_any = 0,
            Body::TimeoutNow => host.urged = true,
            Body::RequestVote { transfer, .. } => {
                let may_be_granted = transfer || timeout <= host.since;
                host.requests.push(Request { candidate: packet.from, term: packet.term, may_be_granted });
                return !transfer && host.since_any < timeout;
            }
            _ => {}
        }
        false
    }

    pub(super) fn stepped(&mut self, step: &Step<'_>) -> Verdict {
        let Some(timeout) = self.timeout else { return Ok(()) };
        let host = &mut self.hosts[step.host.nth()];
        let (requests, urged) = (std::mem::take(&mut host.requests), std::mem::take(&mut host.urged));
        let longest = host.longest;
        // What came of the term that the node is in then it has heard, whatever else came.
        if let Some((_, ago)) = host.news.take().filter(|(term, _)| *term == step.after.term) {
            host.since = ago;
        }
        host.longest = host.since;
        let (before, after) = (step.before, step.after);
        let Some(vote) = after.vote.filter(|_| (before.term, before.vote) != (after.term, after.vote)) else {
            return Ok(());
        };
        // Who has nothing of the log knows of no leases, and counts for none.
        let knows = before.last.index.raw() != 0;
        let may = if vote == step.pair {
            urged || timeout <= longest
        } else {
            let asked = |request: &&Request| request.candidate == vote && request.term == after.term;
            requests.len() != 1 || requests.iter().find(asked).is_none_or(|request| request.may_be_granted)
        };
        if may || !knows {
            return Ok(());
        }
        broken(NAME, RULE, || {
            format!(
                "{} gives its vote of term {} to {vote}, {longest} ticks after it heard a leader or started, of {timeout}",
                step.pair, after.term
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{Boot, ClusterId, LogIndex, Packet, Position, Ready, Round};

    use super::super::tests::{host, pair};
    use super::super::{Seen, TermLog};
    use super::*;

    fn packet(term: u64, body: Body) -> Packet {
        Packet {
            cluster: ClusterId::new(1),
            from: pair(2),
            boot: Boot::new(1),
            to: pair(1),
            term: Term::new(term),
            body,
            versions: raft_core::Versions::OURS,
        }
    }

    fn seen(term: u64, vote: Option<u8>, last: u64) -> Seen {
        Seen {
            leads: false,
            campaigns: false,
            term: Term::new(term),
            vote: vote.map(pair),
            commit: LogIndex::ZERO,
            applied: LogIndex::ZERO,
            last: Position::new(1, last),
            fault: None,
        }
    }

    /// Server 1 starts, hears the leader of term 1 if it is to after 30 ticks, and `ticks` later, when this packet has come, votes for
    /// that server in term 2. E is 10.
    fn verdict(heard: bool, ticks: u32, then: Option<Body>, vote: u8, last: u64) -> bool {
        let mut leases = Leases::new(2, raft_core::Leases::new(10, 0, 1).ok());
        let (log, ready) = (TermLog::default(), Ready::default());
        let step = |before, after| Step {
            host: host(1),
            pair: pair(1),
            boot: Boot::new(1),
            before,
            after,
            log: &log,
            ready: &ready,
        };
        leases.started(host(1));
        if heard {
            leases.ticked(host(1), 30);
            let heartbeat = Body::Heartbeat { round: Round::new(1), commit: LogIndex::ZERO };
            assert!(!leases.delivered(host(1), pair(1), &packet(1, heartbeat)));
            assert!(leases.stepped(&step(seen(1, None, last), seen(1, None, last))).is_ok());
        }
        leases.ticked(host(1), ticks);
        if let Some(body) = then {
            let kept = matches!(body, Body::RequestVote { transfer: false, .. }) && ticks < 10;
            let term = if body == Body::TimeoutNow { 1 } else { 2 };
            assert_eq!(leases.delivered(host(1), pair(1), &packet(term, body)), kept);
        }
        leases.stepped(&step(seen(1, None, last), seen(2, Some(vote), last))).is_ok()
    }

    /// Goal: a vote within the shortest election timeout is seen, whoever it is for. Method: both sides of that limit, after a heartbeat
    /// and after a start, with and without the leader's wish, and by a server that knows of no leases.
    #[test]
    fn leases_see_votes_that_are_not_kept() {
        let asks = |transfer| Some(Body::RequestVote { last: Position::new(1, 5), transfer });
        for heard in [false, true] {
            for (ticks, may) in [(9, false), (10, true)] {
                assert_eq!(verdict(heard, ticks, asks(false), 2, 5), may);
                assert_eq!(verdict(heard, ticks, None, 1, 5), may);
            }
            assert!(verdict(heard, 0, asks(true), 2, 5));
            assert!(verdict(heard, 0, Some(Body::TimeoutNow), 1, 5));
            assert!(verdict(heard, 0, asks(false), 2, 0));
        }
    }
}
