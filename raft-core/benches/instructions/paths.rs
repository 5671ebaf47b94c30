//! The paths that a cluster spends its days on, each as something that can be done over and over.

use bytes::Bytes;
use raft_core::{
    Body, Boot, ClusterId, Config, LogIndex, Message, Packet, Position, Round, Term, decode_packet,
    encode_packet,
};

use crate::lab::{Lab, append, pair};
use crate::measured;

/// Every path, with what it is.
pub(crate) const PATHS: [(&str, &str); 18] = [
    ("propose", "the leader of three takes one command: a write, and an append to each follower"),
    ("propose-256", "256 commands in one proposal, the same way"),
    ("synced-leader", "the leader's own write is durable, and nothing commits yet"),
    ("acknowledge-commits", "the acknowledgement that commits: answer, apply, commit notice"),
    ("acknowledge-late", "the one after it: a commit notice to who sent it"),
    ("applied", "the state machine is done"),
    ("heartbeat-sent", "time for heartbeats: one to each of two"),
    ("heartbeat-answered", "the answer to one"),
    ("append-received", "a follower takes one entry: a write"),
    ("append-received-256", "256 entries, the same way"),
    ("synced-follower", "a follower's write is durable: an acknowledgement leaves"),
    ("commit-received", "a follower learns that an entry is committed: apply"),
    ("heartbeat-received", "a follower takes a heartbeat, and answers"),
    ("vote-requested", "a voter takes a request of a new term: a write"),
    ("vote-given", "term and vote are durable: the vote leaves"),
    ("encode-append-16", "an append of 16 entries to bytes"),
    ("decode-append-16", "and back"),
    ("encode-decode-acknowledge", "an acknowledgement to bytes and back"),
];

/// Does the path so many times, with everything around it that has to happen between one time and the next. Only what goes
/// through [`measured`] counts.
pub(crate) fn run(path: &str, times: u64) {
    match path {
        "propose-256" => leading(path, times, 256),
        "append-received-256" => following(path, times, 256),
        "append-received" | "synced-follower" | "commit-received" | "heartbeat-received" => {
            following(path, times, 1);
        }
        "vote-requested" | "vote-given" => voting(path, times),
        "encode-append-16" | "decode-append-16" | "encode-decode-acknowledge" => encoding(path, times),
        _ => leading(path, times, 1),
    }
}

/// One step, measured if it is the path that is asked for.
fn step(lab: &mut Lab, asked: &str, path: &str, message: Message) {
    let mut message = Some(message);
    let mut step = || lab.step(message.take());
    if path == asked { measured(&mut step) } else { step() }
}

fn leading(asked: &str, times: u64, commands: u64) {
    let config = Config::default();
    let mut lab = Lab::leader(3, 0, config);
    let propose = if commands == 1 { "propose" } else { "propose-256" };
    for _ in 0..times {
        let proposal = lab.proposal(commands);
        step(&mut lab, asked, propose, proposal);
        let (synced, mut acknowledgements) = (lab.reports(), lab.answers().into_iter());
        for synced in synced {
            step(&mut lab, asked, "synced-leader", synced);
        }
        for path in ["acknowledge-commits", "acknowledge-late"] {
            let acknowledgement = acknowledgements.next().expect("from both");
            step(&mut lab, asked, path, acknowledgement);
            for applied in lab.reports() {
                step(&mut lab, asked, "applied", applied);
            }
        }
        step(&mut lab, asked, "heartbeat-sent", Message::Tick { elapsed: config.heartbeat_ticks });
        for answer in lab.answers() {
            step(&mut lab, asked, "heartbeat-answered", answer);
        }
    }
}

fn following(asked: &str, times: u64, entries: u64) {
    let mut lab = Lab::new(2, 3, 0, Config::default());
    let (leader, term) = (pair(1), Term::new(1));
    let mut previous = Position { term: Term::ZERO, index: LogIndex::new(1) };
    let received = if entries == 1 { "append-received" } else { "append-received-256" };
    for round in 0..times {
        let message = lab.from(leader, term, append(previous, term, previous.index, entries));
        step(&mut lab, asked, received, message);
        for report in lab.reports() {
            step(&mut lab, asked, "synced-follower", report);
        }
        previous = Position { term, index: previous.index.plus(entries) };
        let commit = previous.index;
        let message = lab.from(leader, term, Body::Commit { commit });
        step(&mut lab, asked, "commit-received", message);
        for report in lab.reports() {
            step(&mut lab, asked, "applied-follower", report);
        }
        let message = lab.from(leader, term, Body::Heartbeat { round: Round::new(round + 1), commit });
        step(&mut lab, asked, "heartbeat-received", message);
    }
}

fn voting(asked: &str, times: u64) {
    let mut lab = Lab::new(2, 3, 0, Config::default());
    for nth in 0..times {
        let last = Position { term: Term::new(nth + 1), index: LogIndex::new(9) };
        let request = lab.from(pair(1), Term::new(nth + 2), Body::RequestVote { last, transfer: false });
        step(&mut lab, asked, "vote-requested", request);
        for synced in lab.reports() {
            step(&mut lab, asked, "vote-given", synced);
        }
        assert_eq!(lab.ready.send.len(), 1, "the vote");
    }
}

fn encoding(asked: &str, times: u64) {
    let term = Term::new(3);
    let body = if asked == "encode-decode-acknowledge" {
        let held = LogIndex::new(1_000_016);
        Body::Acknowledge { boot: Boot::new(2), round: None, held, durable: held }
    } else {
        let previous = Position { term, index: LogIndex::new(1_000_000) };
        append(previous, term, previous.index, 16)
    };
    // An incarnation is 128 random bits, which are encoded longer than small numbers are.
    let random = |id| raft_core::Pair { incarnation: raft_core::Incarnation::new(u128::MAX / 3), ..pair(id) };
    let cluster = ClusterId::new(u128::MAX / 5);
    let packet = Packet {
        cluster,
        from: random(1),
        boot: Boot::new(2),
        to: random(2),
        term,
        body,
        versions: raft_core::Versions::OURS,
    };
    for _ in 0..times {
        let mut bytes = Bytes::new();
        let mut decoded = None;
        counted_unless(asked == "decode-append-16", || bytes = encode_packet(&packet).into());
        counted_unless(asked == "encode-append-16", || decoded = Some(decode_packet(bytes.clone())));
        assert_eq!(decoded, Some(Ok(packet.clone())), "what was encoded");
    }
}

/// Does it, and counts it unless it is another half of the way that is asked for.
fn counted_unless(other: bool, mut work: impl FnMut()) {
    if other {
        work();
    } else {
        measured(&mut work);
    }
}
