//! What is counted in a run, and its digest.

use raft_core::{Answer, Body, Outcome, Packet, Round, Runs};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::oracle::Step;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What has happened, in numbers. Those of several runs add up.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counts {
            /// Every number with its name, in a fixed order.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }

            /// The numbers of these names; `None` where one is missing.
            pub fn of_named(of: impl Fn(&str) -> Option<u64>) -> Option<Counts> {
                Some(Counts { $($name: of(stringify!($name))?,)* })
            }

            /// The median of each number; where their count is even, the lower of the two in the middle.
            pub fn medians(runs: &[Counts]) -> Counts {
                let median = |of: &dyn Fn(&Counts) -> u64| {
                    let mut numbers: Vec<u64> = runs.iter().map(of).collect();
                    let middle = numbers.len().checked_sub(1).map(|last| last / 2);
                    middle.map_or(0, |middle| *numbers.select_nth_unstable(middle).1)
                };
                Counts { $($name: median(&|counts| counts.$name),)* }
            }

            /// Adds those of another run.
            pub fn add(&mut self, other: &Counts) {
                $(self.$name = self.$name.saturating_add(other.$name);)*
            }
        }
    };
}

counts! {
    /// Actions that happened.
    actions,
    /// Steps of nodes.
    steps,
    /// Leaders elected.
    elections,
    /// Entries committed, the founding ones not counted.
    commits,
    /// Requests of clients.
    proposals,
    /// Operations of clients on registers, which are requests too.
    calls,
    /// Replies to these.
    replies,
    /// Requests answered as committed.
    committed,
    /// Requests refused.
    refused,
    /// Requests lost with leadership.
    lost,
    /// Packets that arrived.
    deliveries,
    /// Packets lost.
    drops,
    /// Packets doubled.
    duplicates,
    /// Partitions of the network.
    partitions,
    /// Machines that went down.
    crashes,
    /// Machines that came up again.
    restarts,
    /// Syncs of a disk.
    syncs,
    /// Batches that a crash took.
    lost_writes,
    /// Writes that cut off a part of a log.
    truncations,
    /// Reads of the log.
    fetches,
    /// Ways between two machines that were cut one by one.
    cuts,
    /// Operators' requests to hand leadership over.
    transfers,
    /// Of these: carried out.
    transferred,
    /// Syncs that failed.
    failed_writes,
    /// Records of a disk that became unreadable.
    damages,
    /// Starts that were refused because of that.
    refused_disks,
    /// Disks that were wiped.
    wipes,
    /// Disks in whose place an old copy was put.
    roll_backs,
}

impl Counts {
    pub(crate) fn answered(&mut self, answer: &Answer) {
        match answer.outcome {
            Outcome::Committed { .. } => self.committed += 1,
            Outcome::Lost { .. } => self.lost += 1,
            Outcome::Transferred { .. } => self.transferred += 1,
            Outcome::NotTransferred => {}
            _ => self.refused += 1,
        }
    }
}

/// A digest over numbers with fixed encoding: equal on every machine, in every build.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RunDigest(u64);

impl RunDigest {
    /// Takes numbers in.
    pub fn add(&mut self, words: &[u64]) {
        let mut bytes = [0; 128];
        let mut state = self.0;
        for words in words.chunks(bytes.len() / 8) {
            for (word, place) in words.iter().zip(bytes.chunks_exact_mut(8)) {
                place.copy_from_slice(&word.to_le_bytes());
            }
            state = xxh3_64_with_seed(&bytes[..words.len() * 8], state);
        }
        self.0 = state;
    }

    /// The digest of all so far.
    pub fn value(self) -> u64 {
        self.0
    }

    pub(crate) fn stepped(&mut self, step: &Step<'_>) {
        let after = &step.after;
        let ready = step.ready;
        let vote = after.vote.map_or(0, |pair| pair.id.raw());
        let write = ready.write.as_ref().map_or([0; 3], |write| {
            let last = write.entries.last_position().unwrap_or_default();
            [write.number.raw(), last.term.raw(), last.index.raw()]
        });
        let apply = ready.apply.as_ref().and_then(Runs::last_position).map_or(0, |last| last.index.raw());
        self.add(&[
            u64::from(after.leads) << 8 | u64::from(step.host.raw()),
            after.term.raw(),
            vote,
            after.commit.raw(),
            after.last.term.raw(),
            after.last.index.raw(),
            write[0],
            write[1],
            write[2],
            apply,
            ready.sleep.map_or(u64::MAX, u64::from),
            ready.answers.len() as u64,
            ready.events.len() as u64,
            ready.fetch.len() as u64,
        ]);
        for packet in &ready.send {
            self.add(&words_of(packet));
        }
    }
}

fn words_of(packet: &Packet) -> [u64; 7] {
    let (to, term) = (packet.to.id.raw(), packet.term.raw());
    match &packet.body {
        Body::RequestVote { last } => [1, to, term, last.term.raw(), last.index.raw(), 0, 0],
        Body::Vote { boot, granted } => [2, to, term, boot.raw(), u64::from(*granted), 0, 0],
        Body::Append { previous, commit, entries } => {
            let last = entries.last_position().unwrap_or_default();
            let previous = previous.term.raw() << 32 ^ previous.index.raw();
            [3, to, term, previous, last.term.raw(), last.index.raw(), commit.raw()]
        }
        Body::Heartbeat { round, commit } => [4, to, term, round.raw(), commit.raw(), 0, 0],
        Body::Commit { commit } => [5, to, term, commit.raw(), 0, 0, 0],
        Body::Acknowledge { boot, round, held, durable } => {
            let round = round.map_or(0, Round::raw);
            [6, to, term, boot.raw(), round, held.raw(), durable.raw()]
        }
        Body::Reject { boot, previous, hint } => {
            [7, to, term, boot.raw(), previous.index.raw(), hint.term.raw(), hint.index.raw()]
        }
        Body::RequestPreVote { attempt, last } => {
            [8, to, term, attempt.raw(), last.term.raw(), last.index.raw(), 0]
        }
        Body::PreVote { boot, attempt, granted } => {
            [9, to, term, boot.raw(), attempt.raw(), u64::from(*granted), 0]
        }
        Body::TimeoutNow => [10, to, term, 0, 0, 0, 0],
        Body::NewerTerm => [11, to, term, 0, 0, 0, 0],
        _ => [12, to, term, 0, 0, 0, 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: medians are those of each number by itself. Method: three runs, and the lower middle of four.
    #[test]
    fn medians_are_of_each_number() {
        let of = |commits, crashes| Counts { commits, crashes, ..Counts::default() };
        let mut runs = vec![of(5, 1), of(1, 9), of(3, 2)];
        assert_eq!(Counts::medians(&runs), of(3, 2));
        runs.push(of(100, 100));
        assert_eq!(Counts::medians(&runs), of(3, 2));
        assert_eq!(Counts::medians(&[]), Counts::default());
    }
}
