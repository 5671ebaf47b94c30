//! When each other member was last heard of, for people: the node itself counts silence only up to where something follows
//! from it. It knows nothing of leaders or of what was said.

use std::collections::BTreeMap;
use std::time::Duration;

use raft_core::{Membership, Message, Pair};

/// The members, and the moment of the last packet of each since this server was started; so it is as small as the configuration.
#[derive(Debug, Default)]
pub(crate) struct Heard(BTreeMap<Pair, Option<Duration>>);

impl Heard {
    pub(crate) fn new(membership: Option<&Membership>) -> Self {
        let mut heard = Heard::default();
        if let Some(membership) = membership {
            heard.set_membership(membership);
        }
        heard
    }

    /// Forgets who is no member any more. New ones were not heard yet.
    pub(crate) fn set_membership(&mut self, membership: &Membership) {
        let members = membership.members().map(|server| server.pair);
        self.0 = members.map(|pair| (pair, self.0.get(&pair).copied().flatten())).collect();
    }

    /// Takes note of all that came up to `now`.
    pub(crate) fn note(&mut self, messages: &[Message], now: Duration) {
        for message in messages {
            if let Message::Packet(packet) = message
                && let Some(last) = self.0.get_mut(&packet.from)
            {
                *last = Some(now);
            }
        }
    }

    /// How long ago it was at `now`; `None` of whom nothing came, or who is no member.
    pub(crate) fn ago(&self, pair: Pair, now: Duration) -> Option<Duration> {
        let last = self.0.get(&pair).copied().flatten()?;
        Some(now.saturating_sub(last))
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{Body, Boot, ClusterId, Incarnation, NodeId, Packet, Server, Suffrage, Term, Versions};

    use super::*;

    fn pair(id: u64) -> Pair {
        Pair { id: NodeId::new(id).expect("not zero"), incarnation: Incarnation::new(5) }
    }

    fn membership(ids: &[u64]) -> Membership {
        let server = |id: &u64| Server {
            pair: pair(*id),
            suffrage: Suffrage::Voter,
            raft_address: format!("host-{id}:1"),
            client_address: String::new(),
        };
        Membership::new(ids.iter().map(server).collect()).expect("valid")
    }

    fn packet(id: u64) -> Message {
        Message::Packet(Packet {
            cluster: ClusterId::new(77),
            from: pair(id),
            boot: Boot::new(3),
            to: pair(1),
            term: Term::new(9),
            body: Body::TimeoutNow,
            versions: Versions::OURS,
        })
    }

    #[test]
    fn silence_counts_from_the_last_packet_for_as_long_as_it_lasts() {
        let seconds = Duration::from_secs;
        let mut heard = Heard::new(Some(&membership(&[1, 2, 3])));
        heard.note(&[Message::Tick { elapsed: 7 }, packet(2), packet(4)], seconds(5));
        assert_eq!(heard.ago(pair(2), seconds(3600)), Some(seconds(3595)));
        assert_eq!(heard.ago(pair(3), seconds(3600)), None, "nothing came");
        assert_eq!(heard.ago(pair(4), seconds(3600)), None, "it is no member");
        heard.note(&[packet(2)], seconds(3601));
        heard.set_membership(&membership(&[1, 2, 4]));
        assert_eq!(heard.ago(pair(2), seconds(3601)), Some(seconds(0)), "it stays a member");
        assert_eq!(heard.ago(pair(4), seconds(3601)), None, "what came before it was one is forgotten");
        heard.set_membership(&membership(&[1, 4]));
        heard.set_membership(&membership(&[1, 2, 4]));
        assert_eq!(heard.ago(pair(2), seconds(3601)), None, "it was away");
    }
}
