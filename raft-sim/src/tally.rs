//! What is counted in a run, and its digest.

use core::fmt;

use raft_core::{Answer, Body, Outcome, Packet, Position, Ready, Refusal, Round, Runs, Snapshot};
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
            /// Nothing has happened.
            pub const NONE: Counts = Counts { $($name: 0,)* };

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
    /// Ticks of virtual time that passed; none in a schedule, which has no time of its own.
    ticks,
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
    /// Cliques around a leader that were left in peace for a while.
    sieges,
    /// Leaders in them that had stood for long enough to stay.
    settled,
    /// Operators' requests for another configuration.
    changes,
    /// Of these: answered as committed.
    changed,
    /// Joint configurations that a leader appended.
    joint,
    /// Snapshots that a state machine has finished.
    saved,
    /// Snapshots that began to be sent.
    sendings,
    /// Of these: reported as sent.
    sent,
    /// Snapshots that took the place of a log.
    installed,
    /// State machines that became what they were in a snapshot.
    restored,
    /// Times that a disk gave up entries or snapshots.
    compactions,
    /// Reads without an entry in the log.
    reads,
    /// Of these: answered by a leader.
    leader_reads,
    /// Of these: answered by a follower with a vote.
    voter_reads,
    /// Of these: answered by a server without a vote.
    learner_reads,
    /// Of these, where leaders have leases: answered in the step that took them in.
    lease_reads,
    /// Requests to be told when all that was proposed before is applied.
    barriers,
    /// Of these: told so.
    passed,
    /// Reads of what may be out of date.
    loose_reads,
    /// Of these: answered at once by what is.
    stale_reads,
    /// Writes by way of any server, passed on to the leader.
    forwards,
    /// Of these: what came of them is not known.
    unanswered,
    /// Requests to be told whether a server leads.
    verifications,
    /// Of these: it does.
    verified,
    /// Sessions of clients that know of them.
    sessions,
    /// Commands of clients with sessions.
    submissions,
    /// Times that such a command was sent again.
    retries,
    /// Answers to such commands that had been done before.
    repeated,
    /// Commands refused because their session had expired.
    expired,
    /// Runs in whose end nothing could be demanded, because no quorum was to be had.
    excused,
}

impl Counts {
    pub(crate) fn answered(&mut self, answer: &Answer) {
        match answer.outcome {
            Outcome::Committed { .. } => self.committed += 1,
            Outcome::Lost { .. } => self.lost += 1,
            Outcome::Transferred { .. } => self.transferred += 1,
            Outcome::Leads { .. } => self.verified += 1,
            Outcome::Stale { .. } => self.stale_reads += 1,
            Outcome::Unanswered => self.unanswered += 1,
            // Those are counted where it is known who has answered.
            Outcome::Readable { .. } | Outcome::NotTransferred | Outcome::Unchanged { .. } => {}
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
            ready.restore.as_ref().map_or(0, |snapshot| snapshot.last.index.raw()),
            ready.snapshots.len() as u64,
            write_of_snapshot(ready),
        ]);
        for packet in &ready.send {
            self.add(&words_of(packet));
        }
    }
}

/// Behind which index the log begins from this write on, if it says so.
fn write_of_snapshot(ready: &Ready) -> u64 {
    let compaction = ready.write.as_ref().and_then(|write| write.compaction.as_ref());
    compaction
        .map_or(0, |compaction| compaction.start.index.raw() << 2 | u64::from(compaction.discards) << 1 | 1)
}

/// A packet as numbers: of every kind every field, so that no two packets that differ have the same ones. (What entries hold is
/// told by the position of the last of them, since logs match.) A kind that is not known here counts by how it is shown.
fn words_of(packet: &Packet) -> [u64; 9] {
    let (to, term) = (packet.to.id.raw(), packet.term.raw());
    match &packet.body {
        Body::RequestVote { last, transfer } => {
            [1, to, term, last.term.raw(), last.index.raw(), u64::from(*transfer), 0, 0, 0]
        }
        Body::Vote { boot, granted } => [2, to, term, boot.raw(), u64::from(*granted), 0, 0, 0, 0],
        Body::Append { previous, commit, entries } => {
            let last = entries.last_position().unwrap_or_default();
            let (before, index) = (previous.term.raw(), previous.index.raw());
            [3, to, term, before, index, last.term.raw(), last.index.raw(), commit.raw(), entries.size()]
        }
        Body::Heartbeat { round, commit } => [4, to, term, round.raw(), commit.raw(), 0, 0, 0, 0],
        Body::Commit { commit } => [5, to, term, commit.raw(), 0, 0, 0, 0, 0],
        Body::Acknowledge { boot, round, held, durable } => {
            let answers = u64::from(round.is_some());
            let round = round.map_or(0, Round::raw);
            [6, to, term, boot.raw(), answers, round, held.raw(), durable.raw(), 0]
        }
        Body::Reject { boot, previous, hint, hint_first } => {
            let (before, index) = (previous.term.raw(), previous.index.raw());
            let (agreed, first) = (hint.index.raw(), hint_first.raw());
            [7, to, term, boot.raw(), before, index, hint.term.raw(), agreed, first]
        }
        Body::RequestPreVote { attempt, last } => {
            [8, to, term, attempt.raw(), last.term.raw(), last.index.raw(), 0, 0, 0]
        }
        Body::PreVote { boot, attempt, granted } => {
            [9, to, term, boot.raw(), attempt.raw(), u64::from(*granted), 0, 0, 0]
        }
        Body::TimeoutNow => [10, to, term, 0, 0, 0, 0, 0, 0],
        Body::NewerTerm => [11, to, term, 0, 0, 0, 0, 0, 0],
        Body::Removed { last } => [12, to, term, last.term.raw(), last.index.raw(), 0, 0, 0, 0],
        Body::InstallSnapshot { snapshot } => {
            let Snapshot { last, time, membership_index, size, digest, .. } = &**snapshot;
            let (before, index, at) = (last.term.raw(), last.index.raw(), membership_index.raw());
            [13, to, term, before, index, time.raw(), at, *size, digest.raw() as u64]
        }
        Body::AskReadIndex { token } => [14, to, term, token.raw(), 0, 0, 0, 0, 0],
        Body::ReadIndex { boot, token, index } => {
            [15, to, term, boot.raw(), token.raw(), index.raw(), 0, 0, 0]
        }
        Body::Propose { token, commands } => {
            let commands = commands.as_slice();
            let digest = commands.iter().fold(0, |state, command| xxh3_64_with_seed(command, state));
            [16, to, term, token.raw(), commands.len() as u64, digest, 0, 0, 0]
        }
        Body::Proposed { boot, token, outcome } => {
            let (kind, digest) = words_of_outcome(outcome);
            [17, to, term, boot.raw(), token.raw(), kind, digest, 0, 0]
        }
        body => [u64::MAX, to, term, shown(body), 0, 0, 0, 0, 0],
    }
}

/// What came of a proposal that was passed on: of which kind, and all else as a digest.
fn words_of_outcome(outcome: &Outcome) -> (u64, u64) {
    let digest = |words: &[u64]| {
        let mut digest = RunDigest::default();
        digest.add(words);
        digest.value()
    };
    let positions = |first: &Position, last: &Position| {
        digest(&[first.term.raw(), first.index.raw(), last.term.raw(), last.index.raw()])
    };
    match outcome {
        Outcome::Committed { first, last } => (1, positions(first, last)),
        Outcome::Lost { first, last } => (2, positions(first, last)),
        Outcome::Replaced { first, last } => (3, positions(first, last)),
        Outcome::Refused(Refusal::Busy) => (4, 0),
        Outcome::Refused(Refusal::Empty) => (5, 0),
        Outcome::Refused(Refusal::TooLarge) => (6, 0),
        Outcome::Refused(Refusal::Transferring { to }) => (7, to.id.raw()),
        outcome => (u64::MAX, shown(outcome)),
    }
}

fn shown(what: &dyn fmt::Debug) -> u64 {
    xxh3_64_with_seed(format!("{what:?}").as_bytes(), 0)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use raft_core::{Attempt, Boot, ClusterId, Entry, LogIndex, LogTime, Payload, Run, Term, Token};

    use super::*;
    use crate::action::HostId;
    use crate::disk::pair_of;

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

    /// Goal: digests are blind to no kind of packet and to none of its fields. Method: packets of every kind, each with one field
    /// after the other changed, have words of their own.
    #[test]
    fn packets_that_differ_have_other_words() {
        let (one, two) = (Position::new(1, 1), Position::new(2, 2));
        let entry = |bytes| Entry::new(LogTime::new(0), Payload::Command(bytes));
        let run = |first, bytes: &'static [u8]| {
            Runs::from(Run::new(Term::new(1), LogIndex::new(first), [entry(bytes.into())]).unwrap())
        };
        let (boot, index) = (Boot::new, LogIndex::new);
        let append = |previous, at, entries| Body::Append { previous, commit: index(at), entries };
        let acknowledge = |at, round: Option<u64>, held, durable| Body::Acknowledge {
            boot: boot(at),
            round: round.map(Round::new),
            held: index(held),
            durable: index(durable),
        };
        let pre_vote =
            |at, nth, granted| Body::PreVote { boot: boot(at), attempt: Attempt::new(nth), granted };
        let reject = |at, previous, hint| Body::Reject {
            boot: boot(at),
            previous,
            hint,
            hint_first: LogIndex::new(1),
        };
        let pair = |host| pair_of(HostId::new(host).unwrap()).unwrap();
        let server = crate::action::server_of(HostId::new(1).unwrap(), pair(1), raft_core::Suffrage::Voter);
        let membership = std::sync::Arc::new(raft_core::Membership::new(vec![server]).unwrap());
        let installs = |(last, time, at, size, digest)| Body::InstallSnapshot {
            snapshot: std::sync::Arc::new(Snapshot {
                cluster: ClusterId::new(1),
                last,
                time: LogTime::new(time),
                membership: std::sync::Arc::clone(&membership),
                membership_index: LogIndex::new(at),
                size,
                digest: raft_core::Digest::new(digest),
            }),
        };
        let token = Token::new;
        let told = |at, nth, to| Body::ReadIndex { boot: boot(at), token: token(nth), index: index(to) };
        let mut bodies = vec![
            vec![
                Body::RequestVote { last: one, transfer: false },
                Body::RequestVote { last: two, transfer: false },
                Body::RequestVote { last: one, transfer: true },
            ],
            vec![Body::Vote { boot: boot(1), granted: true }, Body::Vote { boot: boot(2), granted: true }],
            vec![Body::Vote { boot: boot(1), granted: false }],
            vec![append(one, 0, run(2, b"a")), append(one, 1, run(2, b"a")), append(one, 0, run(2, b"ab"))],
            vec![append(two, 0, run(2, b"a")), append(one, 0, run(3, b"a"))],
            vec![Body::Heartbeat { round: Round::new(1), commit: index(1) }],
            vec![Body::Heartbeat { round: Round::new(1), commit: index(2) }],
            vec![Body::Heartbeat { round: Round::new(2), commit: index(1) }],
            vec![Body::Commit { commit: index(1) }, Body::Commit { commit: index(2) }],
            vec![acknowledge(1, None, 1, 1), acknowledge(2, None, 1, 1), acknowledge(1, Some(0), 1, 1)],
            vec![acknowledge(1, Some(1), 1, 1), acknowledge(1, None, 2, 1), acknowledge(1, None, 2, 2)],
            vec![reject(1, one, one), reject(2, one, one), reject(1, two, one), reject(1, two, two)],
            vec![reject(1, Position::new(2, 1), one), reject(1, one, Position::new(2, 1))],
            vec![Body::RequestPreVote { attempt: Attempt::new(1), last: one }],
            vec![Body::RequestPreVote { attempt: Attempt::new(2), last: one }],
            vec![Body::RequestPreVote { attempt: Attempt::new(1), last: two }],
            vec![pre_vote(1, 1, true), pre_vote(2, 1, true), pre_vote(1, 2, true), pre_vote(1, 1, false)],
            vec![Body::TimeoutNow, Body::NewerTerm],
            vec![Body::Removed { last: one }, Body::Removed { last: two }],
            [(one, 1, 1, 1, 1), (two, 1, 1, 1, 1), (one, 2, 1, 1, 1), (one, 1, 2, 1, 1), (one, 1, 1, 2, 1)]
                .map(installs)
                .into(),
            vec![installs((one, 1, 1, 1, 2))],
            vec![Body::AskReadIndex { token: token(1) }, Body::AskReadIndex { token: token(2) }],
            vec![told(1, 1, 1), told(2, 1, 1), told(1, 2, 1), told(1, 1, 2)],
        ];
        let propose = |nth, commands: &[&'static [u8]]| Body::Propose {
            token: token(nth),
            commands: commands.iter().map(|command| Bytes::from_static(command)).collect::<Vec<_>>().into(),
        };
        let came = |at, nth, outcome| Body::Proposed { boot: boot(at), token: token(nth), outcome };
        let refused = |why| came(1, 1, Outcome::Refused(why));
        bodies.extend([
            vec![propose(1, &[b"a"]), propose(2, &[b"a"]), propose(1, &[b"b"]), propose(1, &[b"a", b"a"])],
            [(one, one), (one, two), (two, two)]
                .map(|(first, last)| came(1, 1, Outcome::Committed { first, last }))
                .into(),
            vec![came(2, 1, Outcome::Committed { first: one, last: one }), came(1, 1, Outcome::Unanswered)],
            vec![came(1, 2, Outcome::Committed { first: one, last: one }), refused(Refusal::Halted)],
            vec![came(1, 1, Outcome::Lost { first: one, last: one })],
            vec![came(1, 1, Outcome::Replaced { first: one, last: one })],
            vec![refused(Refusal::Busy), refused(Refusal::Empty), refused(Refusal::TooLarge)],
            [1, 2].map(|to| refused(Refusal::Transferring { to: pair(to) })).into(),
        ]);
        let packet = |to, term, body: &Body| Packet {
            cluster: ClusterId::new(1),
            from: pair(1),
            boot: boot(1),
            to: pair(to),
            term: Term::new(term),
            body: body.clone(),
            versions: raft_core::Versions::OURS,
        };
        let bodies = bodies.iter().flatten();
        let packets =
            bodies.flat_map(|body| [(2, 7), (3, 7), (2, 8)].map(|(to, term)| packet(to, term, body)));
        let words: Vec<_> = packets.map(|packet| words_of(&packet)).collect();
        let mut distinct = words.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), words.len());
    }
}
