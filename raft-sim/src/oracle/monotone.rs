//! What never goes back, and that a newer term is taken over from whoever is in it: within a boot the term, the commit index, the applied index, the numbers of writes, and what is
//! acknowledged as durable to one leader; over restarts the term that is written.
//!
//! What a *leader* knows to match grows over restarts of the follower too, for it keeps the greatest acknowledgement. On the
//! wire a follower that has restarted begins with its commit index again, since it does not know yet what of its log is this
//! leader's; so acknowledgements are compared within a boot.

use raft_core::{Body, ClusterId, LogIndex, Packet, Pair, Term};

use super::{Step, Verdict, broken};
use crate::action::HostId;

pub(super) const NAME: &str = "monotone";
const RULE: &str =
    "term, commit index, applied index and match index increase monotonically (Raft thesis figure 3.1)";
const WRITES: &str =
    "writes are numbered 1, 2, 3 … within a boot, and their terms never fall (the contract of the core)";

const NEWER: &str = "if one server's current term is smaller than the other's, then it updates its current term to the larger value (Raft \
                     thesis §3.3; B6)";

#[derive(Clone, Copy, Debug, Default)]
struct Host {
    /// The latest term of a packet that has come since its last step.
    heard: Term,
    /// That of a request for its vote, where leaders have leases: they keep theirs.
    asked: Term,
    written: u64,
    written_term: Term,
    /// To whom, in which term and up to where it has acknowledged entries as durable.
    acknowledged: Option<(Pair, Term, LogIndex)>,
}

/// The greatest values so far, by machine.
#[derive(Clone, Debug)]
pub(super) struct Monotone {
    cluster: ClusterId,
    leases: bool,
    hosts: Vec<Host>,
}

impl Monotone {
    pub(super) fn new(hosts: usize, cluster: ClusterId, leases: bool) -> Self {
        Monotone { cluster, leases, hosts: vec![Host::default(); hosts] }
    }

    /// A packet has come to a machine that is this pair. A request for a pre-vote changes nothing at who is
    /// asked, not even the term (§9.6).
    pub(super) fn delivered(&mut self, host: HostId, pair: Pair, packet: &Packet) {
        let counts = packet.to == pair && packet.cluster == self.cluster;
        if counts && !matches!(packet.body, Body::RequestPreVote { .. }) {
            let host = &mut self.hosts[host.nth()];
            let asks = self.leases && matches!(packet.body, Body::RequestVote { transfer: false, .. });
            let heard = if asks { &mut host.asked } else { &mut host.heard };
            *heard = (*heard).max(packet.term);
        }
    }

    pub(super) fn started(&mut self, host: HostId) {
        let written_term = self.hosts[host.nth()].written_term;
        self.hosts[host.nth()] = Host { written_term, ..Host::default() };
    }

    /// The disk is another pair's.
    pub(super) fn wiped(&mut self, host: HostId) {
        self.hosts[host.nth()] = Host::default();
    }

    /// What was written last is gone: the disk is at this term.
    pub(super) fn back_at(&mut self, host: HostId, term: Term) {
        self.hosts[host.nth()].written_term = term;
    }

    pub(super) fn stepped(&mut self, step: &Step<'_>) -> Verdict {
        let Step { before, after, .. } = step;
        for (what, old, new) in [
            ("term", before.term.raw(), after.term.raw()),
            ("commit index", before.commit.raw(), after.commit.raw()),
            ("applied index", before.applied.raw(), after.applied.raw()),
        ] {
            if new < old {
                return broken(NAME, RULE, || {
                    format!("the {what} of {} falls from {old} to {new}", step.pair)
                });
            }
        }
        let host = &mut self.hosts[step.host.nth()];
        let (heard, asked) = (std::mem::take(&mut host.heard), std::mem::take(&mut host.asked));
        let heard = if before.leads || after.leads { heard } else { heard.max(asked) };
        if after.term < heard && after.fault.is_none() {
            return broken(NAME, NEWER, || {
                format!("{} has heard of term {heard}, and stays in term {}", step.pair, after.term)
            });
        }
        if let Some(write) = &step.ready.write {
            let (number, term) = (write.number.raw(), write.hard_state.term);
            if number != host.written + 1 || term < host.written_term {
                return broken(NAME, WRITES, || {
                    let (last, last_term) = (host.written, host.written_term);
                    format!(
                        "{} writes number {number} at term {term} after number {last} at term {last_term}",
                        step.pair
                    )
                });
            }
            (host.written, host.written_term) = (number, term);
        }
        for packet in &step.ready.send {
            let Body::Acknowledge { held, durable, .. } = packet.body else { continue };
            if held < durable {
                return broken(NAME, RULE, || {
                    format!("{} acknowledges {durable} as durable and only {held} as held", step.pair)
                });
            }
            let last = host.acknowledged.filter(|(to, term, _)| *to == packet.to && *term == packet.term);
            match last {
                Some((_, term, last)) if durable < last => {
                    return broken(NAME, RULE, || {
                        format!("{} acknowledges index {durable} in term {term}, after {last}", step.pair)
                    });
                }
                _ => host.acknowledged = Some((packet.to, packet.term, durable)),
            }
        }
        Ok(())
    }
}
