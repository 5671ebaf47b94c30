//! Where leaders have leases: whoever has heard a leader, or has started, within the shortest election timeout gives nobody its vote.
//!
//! What a server has heard this oracle knows from packets that came, and how long ago that was from the server's own clock. Where several
//! things came at once, so that their order decides, it demands nothing.

use std::collections::BTreeSet;

use raft_core::{Body, Pair, Term};

use super::{Step, Verdict, broken};
use crate::action::HostId;

pub(super) const NAME: &str = "leases";
const RULE: &str = "if a server receives a RequestVote request within the minimum election timeout of hearing from a current leader, it does \
                    not update its term or grant its vote (Raft thesis §4.2.3, §6.4.1); a start counts as hearing, and only the one \
                    election that the leader itself has asked for is another matter";

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
    /// In which terms leaders have asked it since then to take over.
    urged: Vec<Term>,
}

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    timeout: Option<u64>,
    hosts: Vec<Host>,
    /// Who has been asked to take over by the leader of which term.
    wishes: BTreeSet<(Pair, Term)>,
}

impl Leases {
    pub(super) fn new(hosts: usize, leases: Option<raft_core::Leases>) -> Self {
        let timeout = leases.map(|leases| u64::from(leases.election_timeout_ticks()));
        Leases { timeout, hosts: vec![Host::default(); hosts], wishes: BTreeSet::new() }
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
            Body::TimeoutNow => {
                host.urged.push(packet.term);
                self.wishes.insert((pair, packet.term));
            }
            Body::RequestVote { transfer, .. } => {
                let wished = transfer
                    && follows_a_wish(packet.term, |term| self.wishes.contains(&(packet.from, term)));
                let may_be_granted = wished || timeout <= host.since;
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
            timeout <= longest || follows_a_wish(after.term, |term| urged.contains(&term))
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

/// Whether an election of this term is the one that some leader wanted: that of the term after its own.
fn follows_a_wish(term: Term, wished: impl Fn(Term) -> bool) -> bool {
    term.raw().checked_sub(1).is_some_and(|before| wished(Term::new(before)))
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

    /// What happens before a vote of server 1 in term 2.
    #[derive(Clone, Copy)]
    struct Story {
        /// After 30 ticks it hears the leader of term 1.
        heard: bool,
        /// So many ticks ago it has started or, where it has, heard the leader.
        ticks: u32,
        /// The leader of such a term has asked this server to take over.
        wish: Option<(u8, u64)>,
        /// Server 2 asks for the vote, and says or does not say that the leader wants it.
        asks: Option<bool>,
        vote: u8,
        /// How long its log is.
        last: u64,
    }

    /// Whether that may be. E is 10.
    fn may(story: Story) -> bool {
        let Story { heard, ticks, wish, asks, vote, last } = story;
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
        if let Some((to, term)) = wish {
            let timeout_now = Packet { to: pair(to), ..packet(term, Body::TimeoutNow) };
            assert!(!leases.delivered(host(to), pair(to), &timeout_now));
        }
        if let Some(transfer) = asks {
            let body = Body::RequestVote { last: Position::new(1, 5), transfer };
            assert_eq!(leases.delivered(host(1), pair(1), &packet(2, body)), !transfer && ticks < 10);
        }
        leases.stepped(&step(seen(1, None, last), seen(2, Some(vote), last))).is_ok()
    }

    const STORY: Story = Story { heard: false, ticks: 0, wish: None, asks: Some(false), vote: 2, last: 5 };

    /// Goal: a vote within the shortest election timeout is seen, whoever it is for. Method: both sides of that limit, after a heartbeat
    /// and after a start, and by a server that knows of no leases.
    #[test]
    fn leases_see_votes_that_are_not_kept() {
        for heard in [false, true] {
            for (ticks, free) in [(9, false), (10, true)] {
                assert_eq!(may(Story { heard, ticks, ..STORY }), free);
                assert_eq!(may(Story { heard, ticks, asks: None, vote: 1, ..STORY }), free);
            }
            assert!(may(Story { heard, last: 0, ..STORY }));
        }
    }

    /// Goal: a leader's wish counts for the one election that it wanted. Method: wishes of its term, of another, of another server, and
    /// none, for a candidate that says there was one; and for the vote of who was asked to take over.
    #[test]
    fn leases_see_wishes_that_nobody_had() {
        for heard in [false, true] {
            let told = Story { heard, asks: Some(true), ..STORY };
            let own = Story { heard, asks: None, vote: 1, ..STORY };
            for (wish, of_the_other, of_its_own) in
                [(None, false, false), (Some((2, 1)), true, false), (Some((1, 1)), false, true)]
            {
                assert_eq!(
                    (may(Story { wish, ..told }), may(Story { wish, ..own })),
                    (of_the_other, of_its_own)
                );
            }
            for term in [0, 2] {
                assert!(
                    !may(Story { wish: Some((2, term)), ..told })
                        && !may(Story { wish: Some((1, term)), ..own })
                );
            }
        }
    }
}
