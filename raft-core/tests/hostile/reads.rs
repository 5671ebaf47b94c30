//! What the observer knows of reads. Written from the contract of the crate: each is answered once, and what may be read then has all
//! that was committed here when it was asked for.

use std::collections::BTreeMap;

use raft_core::{Answer, LogIndex, Message, Node, Outcome, RequestId};

/// What was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Read,
    ReadWithin(u32),
    Barrier,
    Verification,
}

#[derive(Default)]
pub struct Reads {
    /// Those that are not answered yet, with what has to be applied at least.
    waiting: BTreeMap<RequestId, (Kind, LogIndex)>,
}

impl Reads {
    pub fn asked(&mut self, id: RequestId, what: u8, node: &Node) -> Message {
        let status = node.status();
        let (kind, least, message) = match what % 6 {
            0 => (Kind::Barrier, status.commit, Message::Barrier { id }),
            1 => (Kind::Verification, LogIndex::ZERO, Message::VerifyLeader { id }),
            2 | 3 => {
                let ticks = u32::from(what / 6);
                (Kind::ReadWithin(ticks), status.commit, Message::ReadWithin { id, ticks })
            }
            _ => (Kind::Read, status.commit, Message::Read { id }),
        };
        self.waiting.insert(id, (kind, least));
        message
    }

    /// Looks at an answer; whether it is one to a read.
    pub fn answered(&mut self, answer: &Answer, node: &Node) -> bool {
        let Some((kind, least)) = self.waiting.remove(&answer.id) else { return false };
        let status = node.status();
        match (kind, &answer.outcome) {
            (_, Outcome::Refused(_)) => {}
            (Kind::Verification, Outcome::Leads { term, commit }) => {
                // A leader that leaves may do so in the same step.
                assert!(*term <= status.term, "who has led says in which term");
                assert!(*commit <= status.commit, "what it says of the log is so");
            }
            (Kind::ReadWithin(within), Outcome::Stale { index, ticks }) => {
                assert!(*ticks <= within, "no older than was asked for");
                assert!(*index <= status.applied, "what may be read is applied");
            }
            (Kind::Read | Kind::ReadWithin(_) | Kind::Barrier, Outcome::Readable { index }) => {
                assert!(*index <= status.applied, "what may be read is applied");
                assert!(least <= *index, "what was committed when it was asked for can be read");
            }
            other => panic!("{other:?} is no answer"),
        }
        true
    }
}
