//! Packets of a story: from anyone, with terms and indexes that are mostly near those of the node they go to.

use std::sync::Arc;

use arbitrary::Arbitrary;
use bytes::Bytes;
use raft_core::{
    Attempt, Body, Boot, ClusterId, Commands, Entry, Incarnation, LogIndex, LogTime, Node, Outcome, Packet,
    Pair, Payload, Position, Refusal, Round, Run, Runs, Snapshot, Term, Token,
};

#[derive(Arbitrary, Clone, Debug)]
pub struct Letter {
    from: u8,
    to: u8,
    boot: u8,
    term: u8,
    content: Content,
}

#[derive(Arbitrary, Clone, Debug)]
enum Content {
    RequestVote { term: u8, index: Place, transfer: bool },
    Vote { granted: bool, boot: u8 },
    RequestPreVote { attempt: u8, term: u8, index: Place },
    PreVote { granted: bool, boot: u8, attempt: u8 },
    TimeoutNow,
    NewerTerm,
    Removed { index: Place, term: u8 },
    Append { previous: Place, wrong_term: u8, commit: Place, runs: [Piece; 2], odd: u8 },
    Heartbeat { round: u8, commit: Place },
    Commit { commit: Place },
    AskReadIndex { token: u8 },
    Propose { token: u8, commands: u8 },
    Proposed { boot: u8, token: u8, outcome: u8, place: Place },
    ReadIndex { boot: u8, token: u8, index: Place },
    Acknowledge { boot: u8, round: Option<u8>, held: Place, durable: Place },
    Reject { boot: u8, previous: Place, hint: Place, hint_term: u8 },
    Install { last: Place, other_term: u8, servers: u8, odd: u8 },
}

#[derive(Arbitrary, Clone, Debug)]
struct Piece {
    term: u8,
    length: u8,
}

/// An index, relative to where the node is.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Place {
    Commit,
    Durable,
    Last,
    Behind,
    Before(u8),
    After(u8),
    Absurd(u8),
}

impl Place {
    fn index(self, node: &Node) -> LogIndex {
        let status = node.status();
        match self {
            Place::Commit => status.commit,
            Place::Durable => status.durable,
            Place::Last => status.last.index,
            Place::Behind => status.last.index.next(),
            Place::Before(by) => LogIndex::new(status.last.index.raw().saturating_sub(u64::from(by % 8))),
            Place::After(by) => status.commit.plus(u64::from(by % 8)),
            Place::Absurd(sort) => match sort {
                0..=3 => LogIndex::new(u64::MAX),
                4..=7 => LogIndex::MAX,
                8..=11 => LogIndex::MAX.previous(),
                _ => LogIndex::ZERO,
            },
        }
    }
}

/// An entry whose content says where it belongs: leaders that keep to the protocol agree on it.
pub fn entry(term: u64, index: u64) -> Entry {
    let payload = if term.wrapping_add(index).is_multiple_of(5) {
        Payload::Noop
    } else if term.wrapping_add(index) % 16 == 3 {
        Payload::Import(super::imports::state(index as u8))
    } else {
        Payload::Command(Bytes::from(vec![index as u8; (term % 64) as usize]))
    };
    Entry::new(LogTime::new(index), payload)
}

fn configuration(voters: u64) -> Entry {
    Entry::new(LogTime::ZERO, Payload::Membership(Arc::new(super::membership(voters))))
}

impl Letter {
    /// The packet, as it would come to this node now. `None` where the entries can not even be made.
    pub fn packet(&self, node: &Node) -> Option<Packet> {
        let own = node.identity();
        let from = match self.from {
            0 => own.pair,
            1 => super::pair(9),
            2 => Pair { incarnation: Incarnation::new(77), ..super::pair(2) },
            other => super::pair(u64::from(other % 3) + 2),
        };
        let to = if self.to == 0 { super::pair(3) } else { own.pair };
        let cluster = if self.to == 1 { ClusterId::new(5) } else { own.cluster };
        // Where most packets brought a newer term, nobody would lead for long.
        let newer = matches!(self.term % 8, 4..=6) && !self.boot.is_multiple_of(4);
        let term = near(node.status().term, if newer { 0 } else { self.term });
        let body = self.body(node, term)?;
        let boot = Boot::new(if self.boot < 16 { u64::from(self.boot) } else { 1 });
        Some(Packet { cluster, from, boot, to, term, body, versions: raft_core::Versions::OURS })
    }

    fn body(&self, node: &Node, term: Term) -> Option<Body> {
        // Answers mostly name this boot.
        let asked = |boot: u8| match boot {
            0..=3 => Boot::new(u64::from(boot)),
            _ => node.identity().boot,
        };
        let round = |round: u8| Round::new(u64::from(round % 8));
        Some(match self.content.clone() {
            Content::RequestVote { term, index, transfer } => Body::RequestVote {
                transfer,
                last: Position { term: near(node.status().last.term, term), index: index.index(node) },
            },
            Content::Vote { granted, boot } => Body::Vote { boot: asked(boot), granted },
            Content::RequestPreVote { attempt, term, index } => Body::RequestPreVote {
                attempt: Attempt::new(u64::from(attempt)),
                last: Position { term: near(node.status().last.term, term), index: index.index(node) },
            },
            Content::PreVote { granted, boot, attempt } => {
                let attempt = Attempt::new(u64::from(attempt % 8));
                Body::PreVote { boot: asked(boot), attempt, granted }
            }
            Content::TimeoutNow => Body::TimeoutNow,
            Content::NewerTerm => Body::NewerTerm,
            Content::Removed { index, term } => Body::Removed {
                last: Position { term: near(node.status().last.term, term), index: index.index(node) },
            },
            Content::Append { previous, wrong_term, commit, runs, odd } => {
                let index = previous.index(node);
                let there = node.term_at(index).unwrap_or(node.status().last.term);
                let previous = Position {
                    // Mostly the term that stands there, so that the logs fit.
                    term: if wrong_term < 48 { near(there, wrong_term) } else { there },
                    index,
                };
                let entries = entries(node, previous, term, &runs, odd)?;
                Body::Append { previous, commit: commit.index(node), entries }
            }
            Content::Heartbeat { round: nth, commit } => {
                Body::Heartbeat { round: round(nth), commit: commit.index(node) }
            }
            Content::Commit { commit } => Body::Commit { commit: commit.index(node) },
            Content::Propose { token, commands } => Body::Propose {
                token: Token::new(if token == 255 { u64::MAX } else { u64::from(token) }),
                commands: Commands::Many(vec![Bytes::from_static(b"another's"); usize::from(commands % 4)]),
            },
            Content::Proposed { boot, token, outcome, place } => {
                let last = Position { term: node.status().last.term, index: place.index(node) };
                Body::Proposed {
                    boot: asked(boot),
                    token: Token::new(u64::from(token % 8)),
                    outcome: match outcome % 8 {
                        0 => Outcome::Committed { first: last, last },
                        1 => Outcome::Lost { first: last, last },
                        2 => Outcome::Replaced { first: last, last },
                        3 => Outcome::Refused(Refusal::TermNotCommitted),
                        4 => Outcome::Unanswered,
                        _ => Outcome::Refused(Refusal::Busy),
                    },
                }
            }
            Content::AskReadIndex { token } => Body::AskReadIndex { token: Token::new(u64::from(token % 8)) },
            Content::ReadIndex { boot, token, index } => Body::ReadIndex {
                boot: asked(boot),
                token: Token::new(u64::from(token % 8)),
                index: index.index(node),
            },
            Content::Acknowledge { boot, round: nth, held, durable } => {
                let (held, durable) = (held.index(node), durable.index(node));
                // An impossible acknowledgement halts a leader, so most are made possible.
                let impossible = boot == 255;
                Body::Acknowledge {
                    boot: asked(boot),
                    round: nth.map(round),
                    held: if impossible { held } else { held.min(node.status().last.index) },
                    durable: if impossible {
                        durable
                    } else {
                        durable.min(held).min(node.status().last.index)
                    },
                }
            }
            Content::Install { last, other_term, servers, odd } => {
                let snapshot = Arc::new(snapshot(node, term, last.index(node), (other_term, servers, odd)));
                Body::InstallSnapshot { snapshot }
            }
            Content::Reject { boot, previous, hint, hint_term } => {
                let position =
                    |index: LogIndex| Position { term: node.term_at(index).unwrap_or(Term::ZERO), index };
                let mut hint = position(hint.index(node));
                hint.term = if hint_term < 128 { near(hint.term, hint_term) } else { hint.term };
                Body::Reject {
                    boot: asked(boot),
                    previous: position(previous.index(node)),
                    hint,
                    hint_first: LogIndex::new(hint.index.raw().saturating_sub(u64::from(hint_term % 4))),
                }
            }
        })
    }
}

/// How a peer answers that has nothing of the log.
pub const NOTHING: u8 = 252;

/// What a peer that keeps to the protocol may answer to a packet of the node: yes, or no where `how` is a multiple of four.
/// Without such answers no story of several voters would ever have a leader.
pub fn answer(packet: &Packet, node: &Node, how: u8) -> Option<Packet> {
    let (yes, boot) = (!how.is_multiple_of(4), packet.boot);
    let position = |index: LogIndex| Position { term: node.term_at(index).unwrap_or(Term::ZERO), index };
    let mut term = packet.term;
    let body = match &packet.body {
        Body::RequestPreVote { attempt, .. } => Body::PreVote { boot, attempt: *attempt, granted: yes },
        Body::RequestVote { .. } => Body::Vote { boot, granted: yes },
        Body::Append { previous, entries, .. } if yes => {
            let held = entries.last_position()?.index;
            let durable = if how.is_multiple_of(3) { previous.index } else { held };
            Body::Acknowledge { boot, round: None, held, durable }
        }
        Body::Append { previous, .. } => {
            // A little behind, or with nothing at all.
            let behind = if how == NOTHING { u64::MAX } else { u64::from(how % 16 / 4) };
            let hint = previous.index.raw().saturating_sub(behind);
            Body::Reject {
                boot,
                previous: *previous,
                hint: position(LogIndex::new(hint)),
                hint_first: LogIndex::new(hint),
            }
        }
        Body::Heartbeat { round, commit } => {
            // Or it is behind, and nothing of it is durable.
            let behind = commit.raw().saturating_sub(u64::from(how / 4));
            let (held, durable) =
                if yes { (*commit, *commit) } else { (LogIndex::new(behind), LogIndex::ZERO) };
            Body::Acknowledge { boot, round: Some(*round), held, durable }
        }
        Body::InstallSnapshot { snapshot } => {
            let held = snapshot.last.index;
            Body::Acknowledge { boot, round: None, held, durable: held }
        }
        Body::AskReadIndex { token } => Body::ReadIndex { boot, token: *token, index: node.status().commit },
        Body::TimeoutNow => {
            term = term.next()?;
            Body::RequestVote { last: node.status().last, transfer: false }
        }
        // The candidate has won.
        Body::Vote { granted: true, .. } => {
            Body::Heartbeat { round: Round::new(1), commit: node.status().commit }
        }
        // The leader has more.
        Body::Acknowledge { held, .. } => {
            let run = Run::new(term, held.next(), [entry(term.raw(), held.next().raw())]).ok()?;
            let commit = if yes { *held } else { LogIndex::ZERO };
            Body::Append { previous: position(*held), commit, entries: run.into() }
        }
        _ => return None,
    };
    // Now and then by a server that has restarted since.
    let boot = Boot::new(if how < 8 { 2 } else { 1 });
    Some(Packet {
        cluster: packet.cluster,
        from: packet.to,
        boot,
        to: packet.from,
        term,
        body,
        versions: raft_core::Versions::OURS,
    })
}

/// A snapshot that ends at this index, sent in this term: mostly one that can be.
fn snapshot(node: &Node, term: Term, index: LogIndex, (other_term, servers, odd): (u8, u8, u8)) -> Snapshot {
    let absurd = 248 < odd;
    let index = if absurd { index } else { index.max(LogIndex::new(1)) };
    let there = node.term_at(index).filter(|_| other_term < 128);
    let last = there.unwrap_or_else(|| {
        let near = near(term, other_term);
        if absurd { near } else { near.min(term) }
    });
    // Mostly a configuration of the founders.
    let configuration = |nth: u8| super::membership(u64::from(nth) % super::FOUNDINGS + 1);
    let membership = match servers % 8 {
        0 => configuration(servers / 8).joint(&configuration(servers / 32)),
        1 | 2 => configuration(servers / 8),
        _ => (0..8)
            .map(configuration)
            .find(|founders| founders.cluster_id() == node.identity().cluster)
            .unwrap_or_else(|| configuration(0)),
    };
    let membership_index = match odd {
        255 => LogIndex::ZERO,
        254 => index.next(),
        _ => LogIndex::new(u64::from(servers) % index.raw().max(1) + 1),
    };
    Snapshot {
        cluster: if odd == 253 { ClusterId::new(5) } else { node.identity().cluster },
        last: Position { term: last, index },
        time: LogTime::new(index.raw()),
        membership: Arc::new(membership),
        membership_index,
        size: u64::from(odd),
        digest: u128::from(servers).into(),
    }
}

/// A term at or near another one, and seldom an absurd one.
fn near(term: Term, choice: u8) -> Term {
    Term::new(match choice {
        255 => u64::MAX,
        254 => u64::MAX - 1,
        _ => match choice % 8 {
            0..=3 => term.raw(),
            4 | 5 => term.raw().saturating_add(1),
            6 => term.raw().saturating_add(2),
            _ => term.raw().saturating_sub(1),
        },
    })
}

/// Runs behind `previous`, whose terms mostly lie between its term and that of the packet.
fn entries(node: &Node, previous: Position, term: Term, pieces: &[Piece; 2], odd: u8) -> Option<Runs> {
    let cluster = node.identity().cluster;
    let founders =
        (1..=super::FOUNDINGS).find(|voters| super::membership(*voters).cluster_id() == cluster)?;
    let mut runs = Runs::new();
    let mut next = previous.index.next();
    let mut lowest = previous.term.raw();
    for piece in pieces {
        let span = term.raw().saturating_sub(lowest).saturating_add(1);
        let piece_term = if piece.term == 255 {
            lowest.saturating_sub(1)
        } else {
            lowest.saturating_add(u64::from(piece.term) % span)
        };
        let all = (0..u64::from(piece.length % 4)).map(|nth| {
            let index = next.raw().wrapping_add(nth);
            // Every log of a cluster begins with the same entry, or a leader lies about it.
            if odd < 8 && nth == 0 {
                return configuration(u64::from(odd) % super::FOUNDINGS + 1);
            }
            if index == 1 {
                return configuration(founders);
            }
            entry(piece_term, index)
        });
        let Ok(run) = Run::new(Term::new(piece_term), next, all.collect::<Vec<_>>()) else {
            continue;
        };
        next = run.last().next();
        lowest = piece_term;
        runs.push(run).ok()?;
    }
    // A packet without entries is not what a leader sends. It may come all the same.
    Some(runs)
}
