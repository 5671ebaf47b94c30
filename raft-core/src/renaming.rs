//! Other names for the same thing: what a node, a packet or a disk speaks of, with its servers and its numbers renamed.
//!
//! Two clusters that differ in nothing but names do the same for ever. Whoever compares states, as an exhaustive search does, wants
//! such states to be one: with servers exchanged, and with numbers that only tell things apart counted anew from the least. The names
//! of a server, of its disk and of the packets that speak of them have to be changed together, since they refer to one another; here is
//! the walk that finds them, and what comes out is a node like any other.
//!
//! Terms, indexes and the ids and tokens of requests keep their names: their order across servers is part of what happens.

use alloc::vec::Vec;

use crate::identity::{Boot, Pair};
use crate::membership::Server;
use crate::node::Node;
use crate::packet::{Body, Packet};
use crate::position::{Attempt, FetchNumber, LogTime, Position, Round, SendNumber, WriteNumber};
use crate::ready::{Outcome, Refusal};
use crate::role::Role;
use crate::snapshot::Digest;
use crate::write::{HardState, Recovered, Write};

/// What things are called. Every method may be asked about the same name many times, in any order, and has to answer alike; no two
/// servers may get one name.
pub trait Renaming {
    /// A server.
    fn pair(&mut self, pair: Pair) -> Pair {
        pair
    }

    /// A server as configurations have it. Its name has to be that of [`pair`](Self::pair).
    fn server(&mut self, server: &Server) -> Server {
        Server { pair: self.pair(server.pair), ..server.clone() }
    }

    /// A boot of the server whose old name is `of`. Their order has to stay, whoever speaks of them, and so does it that the next one is
    /// later than all.
    fn boot(&mut self, of: Pair, boot: Boot) -> Boot {
        let _ = of;
        boot
    }

    /// A round of heartbeats of the server whose old name is `of`. What has to stay depends on what it is named for.
    fn round(&mut self, of: Pair, named: RoundOf, round: Round) -> Round {
        let _ = (of, named);
        round
    }

    /// An attempt of the server whose old name is `of` to become leader. Their order has to stay.
    fn attempt(&mut self, of: Pair, attempt: Attempt) -> Attempt {
        let _ = of;
        attempt
    }

    /// A write of the server at hand. Consecutive ones have to stay consecutive.
    fn write(&mut self, number: WriteNumber) -> WriteNumber {
        number
    }

    /// A fetch of the server at hand. Their order has to stay.
    fn fetch(&mut self, number: FetchNumber) -> FetchNumber {
        number
    }

    /// A snapshot that the server at hand sends. Their order has to stay.
    fn send(&mut self, number: SendNumber) -> SendNumber {
        number
    }

    /// How many bytes a snapshot has that ends there, and the embedder's digest of them. Equal ones have to stay equal, and different ones
    /// different.
    fn snapshot(&mut self, last: Position, size: u64, digest: Digest) -> (u64, Digest) {
        let _ = last;
        (size, digest)
    }

    /// Whether all is put aside that only the passing of time tells apart: log times are 0, every election timeout is the shortest, no write
    /// and no stage has waited, and a leader has just heard of each follower. That decides, too, when sessions, timers and stages end, and which
    /// rounds reads and leases can count on: so a node without time is meant for runs that have none of these, nor transfers and forwarding,
    /// whose ages stay. And it decides when a leader gives up: in such runs that is up to whoever lets time pass. Whether an election has timed
    /// out stays.
    fn is_timeless(&self) -> bool {
        false
    }
}

/// What a round is named for. Servers are those with which it is shared, by their old names. What is shared with one follower is never
/// compared with what is shared with another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoundOf {
    /// It is the latest one; the next one follows right behind it. None of the others may become later.
    Latest,
    /// A packet to or from this server speaks of it. The order of these has to stay, and which is the latest round.
    Packet(Pair),
    /// It was the latest one when entries were sent to this follower that are under way: whether it still is has to stay, and which
    /// rounds of packets are later than the one right behind it.
    Entries(Pair),
    /// This follower has answered it: which rounds of packets are not later has to stay, and nothing else. Where none of them is, 0 says all.
    Answer(Pair),
    /// A read or a lease counts from it. The order of these has to stay, and that with all others.
    Awaited,
}

/// The time of an entry.
pub(crate) fn time(names: &impl Renaming, time: LogTime) -> LogTime {
    if names.is_timeless() { LogTime::ZERO } else { time }
}

impl HardState {
    pub(crate) fn rename(&mut self, names: &mut impl Renaming) {
        self.vote = self.vote.map(|vote| names.pair(vote));
    }
}

impl Node {
    /// This node with other names. What is sorted by names is sorted anew.
    #[must_use]
    pub fn renamed(mut self, names: &mut impl Renaming) -> Node {
        let own = self.identity.pair;
        self.identity.pair = names.pair(own);
        self.identity.boot = names.boot(own, self.identity.boot);
        self.hard_state.rename(names);
        self.rename_role(own, names);
        self.log.rename(names);
        self.disk.rename(names);
        if let Some(snapshot) = &mut self.snapshot {
            *snapshot = snapshot.renamed(names);
        }
        self.transfers.rename(names);
        self.imports.rename(names);
        self.fetches.rename(names);
        self.reads.rename(own, names);
        self.forwards.rename(names);
        self.attempt = names.attempt(own, self.attempt);
        self.round = names.round(own, RoundOf::Latest, self.round);
        if let Some(transfer) = &mut self.transfer {
            transfer.to = names.pair(transfer.to);
        }
        if names.is_timeless() {
            self.stop_clock();
        }
        self
    }

    fn rename_role(&mut self, own: Pair, names: &mut impl Renaming) {
        match &mut self.role {
            Role::Follower { following, vote_owed } => {
                if let Some(following) = following {
                    following.boot = names.boot(following.leader, following.boot);
                    following.leader = names.pair(following.leader);
                }
                if let Some((candidate, boot)) = vote_owed {
                    *boot = names.boot(*candidate, *boot);
                    *candidate = names.pair(*candidate);
                }
            }
            Role::PreCandidate { attempt, granted, .. } => {
                *attempt = names.attempt(own, *attempt);
                rename_pairs(granted, names);
            }
            Role::Candidate { granted, .. } => rename_pairs(granted, names),
            Role::Leader { followers, lease, .. } => {
                for follower in &mut *followers {
                    follower.rename(own, names);
                }
                followers.sort_unstable_by_key(|follower| follower.pair);
                lease.rename(own, names);
            }
        }
    }

    /// See [`Renaming::is_timeless`].
    fn stop_clock(&mut self) {
        let timed_out = self.election_timeout <= self.election_elapsed;
        self.campaigns = 0;
        self.election_timeout = self.config.election_timeout_ticks;
        self.election_elapsed = if timed_out {
            self.election_timeout
        } else {
            self.election_elapsed.min(self.election_timeout - 1)
        };
        match &mut self.role {
            Role::Follower { .. } => {}
            Role::PreCandidate { since_asked, .. } | Role::Candidate { since_asked, .. } => *since_asked = 0,
            Role::Leader { since_entry, timer, .. } => {
                *since_entry = 0;
                timer.stop();
            }
        }
    }
}

fn rename_pairs(pairs: &mut Vec<Pair>, names: &mut impl Renaming) {
    for pair in &mut *pairs {
        *pair = names.pair(*pair);
    }
    pairs.sort_unstable();
}

impl Packet {
    /// This packet with other names.
    #[must_use]
    pub fn renamed(mut self, names: &mut impl Renaming) -> Packet {
        let (from, to) = (self.from, self.to);
        (self.from, self.to) = (names.pair(from), names.pair(to));
        self.boot = names.boot(from, self.boot);
        match &mut self.body {
            Body::RequestPreVote { attempt, .. } => *attempt = names.attempt(from, *attempt),
            Body::PreVote { boot, attempt, .. } => {
                *boot = names.boot(to, *boot);
                *attempt = names.attempt(to, *attempt);
            }
            Body::Heartbeat { round, .. } => *round = names.round(from, RoundOf::Packet(to), *round),
            Body::Acknowledge { boot, round, .. } => {
                *boot = names.boot(to, *boot);
                *round = round.map(|round| names.round(to, RoundOf::Packet(from), round));
            }
            Body::Vote { boot, .. } | Body::Reject { boot, .. } | Body::ReadIndex { boot, .. } => {
                *boot = names.boot(to, *boot);
            }
            Body::Append { entries, .. } => *entries = entries.renamed(names),
            Body::InstallSnapshot { snapshot } => *snapshot = snapshot.renamed(names),
            Body::Proposed { boot, outcome, .. } => {
                *boot = names.boot(to, *boot);
                match outcome {
                    Outcome::Refused(Refusal::Transferring { to }) => *to = names.pair(*to),
                    Outcome::Refused(Refusal::NotLeader { leader: Some(leader) }) => {
                        *leader = names.pair(*leader);
                    }
                    _ => {}
                }
            }
            Body::RequestVote { .. }
            | Body::TimeoutNow
            | Body::Commit { .. }
            | Body::Removed { .. }
            | Body::AskReadIndex { .. }
            | Body::Propose { .. }
            | Body::NewerTerm => {}
        }
        self
    }
}

impl Write {
    /// This write with other names.
    #[must_use]
    pub fn renamed(mut self, names: &mut impl Renaming) -> Write {
        self.number = names.write(self.number);
        self.hard_state.rename(names);
        self.entries = self.entries.renamed(names);
        if let Some(compaction) = &mut self.compaction {
            compaction.snapshot = compaction.snapshot.renamed(names);
        }
        self
    }
}

impl Recovered {
    /// What a disk holds, with other names.
    #[must_use]
    pub fn renamed(mut self, names: &mut impl Renaming) -> Recovered {
        self.hard_state.rename(names);
        if let Some(snapshot) = &mut self.snapshot {
            *snapshot = snapshot.renamed(names);
        }
        for (_, membership) in &mut self.memberships {
            *membership = membership.renamed_or_same(names);
        }
        self.tail = self.tail.renamed(names);
        self
    }
}
