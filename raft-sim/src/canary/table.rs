//! The list of canaries: here those of disks, networks and drivers, of elections, replication, snapshots and membership; those of what
//! clients ask for beside proposals stand in a list of their own.

use super::rigs;
use super::{Break, Canary, Replacement};
use crate::action::HostId;

/// A canary whose core is broken at one place.
macro_rules! core {
    ($($file:literal: $from:literal => $to:literal),+ $(,)?) => {
        Break::Core(&[$(Replacement { file: concat!("raft-core/src/", $file), from: $from, to: $to }),+])
    };
}

mod clients;

/// All of them: first disks, networks and drivers, then cores.
pub const CANARIES: &[Canary] = &joined::<{ OWN.len() + clients::CANARIES.len() }>(OWN, clients::CANARIES);

/// Two lists as one.
const fn joined<const COUNT: usize>(first: &[Canary], second: &[Canary]) -> [Canary; COUNT] {
    let mut all = [first[0]; COUNT];
    let mut nth = 0;
    while nth < COUNT {
        all[nth] = if nth < first.len() { first[nth] } else { second[nth - first.len()] };
        nth += 1;
    }
    all
}

const OWN: &[Canary] = &[
    Canary {
        name: "forgetful-disk",
        what: "a disk that forgets synced writes",
        oracle: "durability",
        how: Break::Rig(&rigs::ForgetfulDisk),
    },
    Canary {
        name: "forgotten-vote",
        what: "a vote forgotten over a restart",
        oracle: "durability",
        how: Break::Rig(&rigs::ForgottenVote),
    },
    Canary {
        name: "early-synced",
        what: "Synced reported before the sync",
        oracle: "promises",
        how: Break::Rig(&rigs::EarlySynced),
    },
    Canary {
        name: "fed-backwards",
        what: "a state machine fed out of order",
        oracle: "state-machine-safety",
        how: Break::Rig(&rigs::FedBackwards),
    },
    Canary {
        name: "applied-too-far",
        what: "Applied reported for an entry that was not handed out",
        oracle: "health",
        how: Break::Rig(&rigs::AppliedTooFar),
    },
    Canary {
        name: "answered-twice",
        what: "a client told twice",
        oracle: "answers",
        how: Break::Rig(&rigs::AnsweredTwice),
    },
    Canary {
        name: "answer-dropped",
        what: "a client never told",
        oracle: "progress",
        how: Break::Rig(&rigs::AnswerDropped),
    },
    Canary {
        name: "damaged-commit",
        what: "a commit index that grows in the network",
        oracle: "commit-rule",
        how: Break::Rig(&rigs::DamagedCommit),
    },
    Canary {
        name: "clock-stops-at-heal",
        what: "a node that never elects again after a heal",
        oracle: "progress",
        how: Break::Rig(&rigs::ClockStopsAtHeal { stopped: false }),
    },
    Canary {
        name: "clock-read-early",
        what: "a clock that is read before its driver waits, and told with what comes then",
        oracle: "reads",
        how: Break::Rig(&rigs::ClockReadBeforeWaiting { untold: [0; HostId::MAX as usize] }),
    },
    Canary {
        name: "stale-reads",
        what: "reads answered from a server's own state",
        oracle: "linearizability",
        how: Break::Rig(&rigs::StaleReads),
    },
    Canary {
        name: "swap-twice",
        what: "a state machine that performs a swap twice",
        oracle: "sessions",
        how: Break::Rig(&rigs::SwapTwice),
    },
    Canary {
        name: "lost-update",
        what: "a write answered as done and forgotten",
        oracle: "sessions",
        how: Break::Rig(&rigs::LostUpdate),
    },
    Canary {
        name: "snapshot-reported-early",
        what: "a snapshot reported as taken before it is durable",
        oracle: "snapshots",
        how: Break::Rig(&rigs::EarlySnapshot),
    },
    Canary {
        name: "snapshot-told-early",
        what: "a snapshot told of before its bytes are there",
        oracle: "snapshots",
        how: Break::Rig(&rigs::EarlyPacket),
    },
    Canary {
        name: "retry-executed",
        what: "a command that is executed again when it is sent again",
        oracle: "sessions",
        how: Break::Rig(&rigs::RetryExecuted),
    },
    Canary {
        name: "sessions-expire-locally",
        what: "sessions that expire by each server's own time",
        oracle: "snapshots",
        how: Break::Rig(&rigs::LocalExpiry),
    },
    Canary {
        name: "sessions-not-in-snapshots",
        what: "a session table that a snapshot does not restore",
        oracle: "sessions",
        how: Break::Rig(&rigs::SessionsNotSaved),
    },
    Canary {
        name: "half-restored",
        what: "a state machine that keeps what it had when it is restored",
        oracle: "snapshots",
        how: Break::Rig(&rigs::HalfRestored),
    },
    Canary {
        name: "forgotten-term-told",
        what: "a term that was forgotten, told as 0 (B24)",
        oracle: "recollection",
        how: core!("log.rs": "let term = self.term_at(index).filter(|_| known && self.start.index <= index)?;" => "let term = self.term_at(index).filter(|_| known || self.start.index <= index)?;"),
    },
    Canary {
        name: "probe-behind-compacted",
        what: "a leader that sends entries from the place where its log was compacted (B24)",
        oracle: "progress",
        how: core!("replication.rs": "progress.next().previous() < self.sent_from" => "progress.next() < LogIndex::ZERO"),
    },
    Canary {
        name: "installed-change-kept",
        what: "an installed snapshot that leaves an uncommitted configuration in force (B33)",
        oracle: "membership",
        how: core!("log.rs": "let memberships = Vec::from([(snapshot.membership_index, Arc::clone(&snapshot.membership))]);" => "let mut memberships = core::mem::take(&mut self.memberships);\n        memberships.retain(|(index, _)| *index <= snapshot.last.index);\n        if memberships.last().is_none_or(|(index, _)| *index <= snapshot.membership_index) {\n            memberships = Vec::from([(snapshot.membership_index, Arc::clone(&snapshot.membership))]);\n        }"),
    },
    Canary {
        name: "joint-lost-in-snapshot",
        what: "a joint configuration of which a snapshot holds one half (B33)",
        oracle: "snapshots",
        how: core!("compaction.rs": "            membership: Arc::clone(membership),\n" => "            membership: Arc::new(membership.incoming()),\n"),
    },
    Canary {
        name: "uncommitted-in-snapshot",
        what: "a snapshot with a configuration that is not committed (B34)",
        oracle: "snapshots",
        how: core!("compaction.rs": "self.log.membership_at(index).filter(" => "self.log.membership().filter("),
    },
    Canary {
        name: "older-snapshot-installed",
        what: "a snapshot that is older than what is committed and moves it back (B44)",
        oracle: "health",
        how: core!("compaction.rs": "        if last.index <= self.commit {\n            return reached(Mark::SnapshotOld);" => "        if last.index < self.log.start().index {\n            return reached(Mark::SnapshotOld);",
            "compaction.rs": "        if self.log.contains(last) {" => "        if self.log.last() == last {",
            "compaction.rs": "        if last.index <= self.verified() {" => "        if last.index <= self.log.start().index {"),
    },
    Canary {
        name: "restored-before-durable",
        what: "a state machine restored from what its log does not hold durably yet (B46)",
        oracle: "state-machine-safety",
        how: core!("step.rs": "        let to = self.apply_to();\n" => "        let to = if self.applying.handed < self.log.start().index { self.commit } else { self.apply_to() };\n"),
    },
    Canary {
        name: "applied-before-restored",
        what: "an applied index that is set before the state machine is restored (B46)",
        oracle: "state-machine-safety",
        how: core!("step.rs": "            self.applying.handed = snapshot.last.index;\n" => "            self.applying.handed = snapshot.last.index;\n            self.applying.applied = snapshot.last.index;\n"),
    },
    Canary {
        name: "failed-snapshot-forgotten",
        what: "a follower that is sent nothing any more once a snapshot did not arrive (B47)",
        oracle: "progress",
        how: core!("progress.rs": "        if self.mode == Mode::Snapshot {\n            self.probe(last.map_or" => "        if self.mode == Mode::Snapshot && last.is_some() {\n            self.probe(last.map_or"),
    },
    Canary {
        name: "no-snapshot-sent",
        what: "a leader that never sends a snapshot to who needs one (B47)",
        oracle: "progress",
        how: core!("replication.rs": "if progress.mode() == Mode::Snapshot || !progress.is_heard(self.config) {" => "if progress.mode() != Mode::Snapshot || !progress.is_heard(self.config) {"),
    },
    Canary {
        name: "compacted-beyond-transfer",
        what: "a log that is compacted beyond a snapshot on its way",
        oracle: "snapshots",
        how: core!("compaction.rs": "let needed = self.transfers.shortest().unwrap_or(LogIndex::MAX);" => "let needed = LogIndex::MAX;"),
    },
    Canary {
        name: "installed-counts-early",
        what: "an installed snapshot that counts before it is written (B19)",
        oracle: "promises",
        how: core!("compaction.rs": "self.disk.restarted(self.verified(), snapshot.last.index);" => "self.disk.restarted(snapshot.last.index, snapshot.last.index);"),
    },
    Canary {
        name: "vote-by-index",
        what: "a vote that compares only indexes (B1)",
        oracle: "leader-completeness",
        how: core!("election.rs": "if !free || last < self.log_end() {" => "if !free || last.index < self.log_end().index {"),
    },
    Canary {
        name: "vote-twice",
        what: "a vote given to every candidate of a term (B3)",
        oracle: "votes",
        how: core!("node.rs": "before.term < hard_state.term || before.vote.is_none() || before.vote == hard_state.vote," => "true,",
            "election.rs": "let free = self.hard_state.vote.is_none_or(|vote| vote == candidate);" => "let free = true;"),
    },
    Canary {
        name: "vote-before-sync",
        what: "a vote sent before it is durable (B2)",
        oracle: "promises",
        how: core!("election.rs": "            && self.disk.durable_hard_state() == self.hard_state\n            && let Some((candidate" => "            && let Some((candidate"),
    },
    Canary {
        name: "commit-by-counting",
        what: "an old term's entry committed by counting (figure 3.7, B14)",
        oracle: "commit-rule",
        how: core!("replication.rs": "if self.log.term_at(index) != Some(self.hard_state.term) {\n            return" => "if false {\n            return"),
    },
    Canary {
        name: "leader-counts-early",
        what: "a leader that counts its own entries before they are durable (B19)",
        oracle: "commit-rule",
        how: core!("replication.rs": "let own = self.disk.durable_end();" => "let own = self.log.last().index;"),
    },
    Canary {
        name: "empty-acknowledgement",
        what: "a follower that acknowledges what it did not append",
        oracle: "promises",
        how: core!("following.rs": "for run in entries {" => "for run in entries.into_iter().take(0) {",
            "following.rs": "self.disk.durable_end().min(self.verified())" => "self.verified()"),
    },
    Canary {
        name: "no-consistency-check",
        what: "a follower that appends behind another entry than the leader's",
        oracle: "log-matching",
        how: core!("following.rs": "self.commit < previous.index && !self.log.contains(previous)" => "self.log.last().index < previous.index"),
    },
    Canary {
        name: "leader-overwrites",
        what: "a leader that puts a proposal in the place of older entries",
        oracle: "leader-append-only",
        how: core!("replication.rs": "let mut bytes = 0;" => "let mut bytes = 0; self.log.seal(); let end = self.log.last().index.raw(); if 20 < end { self.log.truncate(LogIndex::new(end - 12)); self.disk.truncated(LogIndex::new(end - 12)); }"),
    },
    Canary {
        name: "refused-but-appended",
        what: "a proposal that is refused as busy and appended nevertheless",
        oracle: "answers",
        how: core!("replication.rs": "Outcome::Refused(refusal) });\n            return;" => "Outcome::Refused(refusal) });\n            if refusal != Refusal::Busy { return; }"),
    },
    Canary {
        name: "commit-falls",
        what: "a commit index that a late packet sets back",
        oracle: "monotone",
        how: core!("node.rs": "if commit <= self.commit {" => "if commit == self.commit {"),
    },
    Canary {
        name: "half-is-enough",
        what: "half of an even number of votes elects (B13)",
        oracle: "election-safety",
        how: core!("quorum.rs": "all != 0 && majority(all) <= for_it" => "all != 0 && all <= 2 * for_it"),
    },
    Canary {
        name: "commit-beyond-verified",
        what: "a follower that commits up to its own end (B16)",
        oracle: "commit-rule",
        how: core!("following.rs": "self.raise_commit(commit.min(self.verified()), ready);" => "self.raise_commit(commit.min(self.log.last().index), ready);"),
    },
    Canary {
        name: "verified-of-another-term",
        what: "what one leader verified counts for the next (B18)",
        oracle: "promises",
        how: core!("node.rs": "            self.verified = LogIndex::ZERO;\n" => ""),
    },
    Canary {
        name: "restart-not-probed",
        what: "a follower that restarted is told nothing new (B29)",
        oracle: "progress",
        how: core!("progress.rs": "            self.probe(self.matched);\n" => ""),
    },
    Canary {
        name: "window-leaks",
        what: "bytes of a probe that stay in the window (B26)",
        oracle: "health",
        how: core!("progress.rs": "                self.in_flight_bytes -= arrived.map_or(0, |probe| probe.bytes);\n" => "                drop(arrived);\n"),
    },
    Canary {
        name: "lost-append-unnoticed",
        what: "a lost append that is never sent again (B25)",
        oracle: "progress",
        how: core!("progress.rs": "if stuck && missing.is_some_and(|append| append.round.next() < round) {" => "if stuck && missing.is_none() {"),
    },
    Canary {
        name: "no-previous-entry",
        what: "an append of fetched entries that names no entry before them (B51)",
        oracle: "log-matching",
        how: core!("replication.rs": "let previous = Position { term, index };" => "let previous = if self.log.tail_first() <= index { Position { term, index } } else { Position::default() };"),
    },
    Canary {
        name: "powerless-leader",
        what: "a leader that no quorum answers goes on (B11)",
        oracle: "progress",
        how: core!("replication.rs": "if !quorum || self.disk.is_stalled" => "if self.disk.is_stalled"),
    },
    Canary {
        name: "stalled-leader",
        what: "a leader whose disk stands still goes on (B50)",
        oracle: "progress",
        how: core!("replication.rs": "if !quorum || self.disk.is_stalled(self.config.disk_stall_ticks) {" => "if !quorum {"),
    },
    Canary {
        name: "endless-transfer",
        what: "a transfer that is never given up (B37)",
        oracle: "progress",
        how: core!("transfer.rs": "if self.config.election_timeout_ticks <= transfer.elapsed {" => "if u32::MAX == transfer.elapsed {"),
    },
    Canary {
        name: "failed-write-ignored",
        what: "a failed write after which the node goes on (B50)",
        oracle: "health",
        how: core!("step.rs": "self.halt(if known { Fault::WriteFailed } else { Fault::UnknownWrite }, ready);" => "if !known { self.halt(Fault::UnknownWrite, ready); }"),
    },
    Canary {
        name: "equal-timeouts",
        what: "election timeouts that are equal on all servers (B10)",
        oracle: "progress",
        how: core!("timeouts.rs": "for word in [id.raw(), term.raw(), u64::from(attempt)]" => "for word in [term.raw(), u64::from(attempt.min(0)) + u64::from(id.raw() == 0)]"),
    },
    Canary {
        name: "silent-commit",
        what: "heartbeats and notices without the commit index (B29)",
        oracle: "progress",
        how: core!("replication.rs": "            sending.commit(progress);\n" => "",
            "replication.rs": "Body::Heartbeat { round: self.round, commit: self.commit }" => "Body::Heartbeat { round: self.round, commit: LogIndex::ZERO }"),
    },
    Canary {
        name: "applied-before-durable",
        what: "entries handed out before they are durable (B19)",
        oracle: "state-machine-safety",
        how: core!("step.rs": "if self.config.apply_before_durable { self.commit } else" => "if true { self.commit } else"),
    },
    Canary {
        name: "overlap-cuts",
        what: "an append that overlaps cuts the log though nothing conflicts (B15)",
        oracle: "health",
        how: core!("following.rs": "        while self.log.term_at(index) == Some(run.term()) {\n            index = index.next();\n        }\n        Some(index)\n" => "        while self.log.term_at(index) == Some(run.term()) && index <= self.commit {\n            index = index.next();\n        }\n        Some(index)\n",
            "following.rs": "        if self.log.contains(run.last_position()) || run.last()" => "        if run.last()",
            "following.rs": "            if conflict <= self.verified() {" => "            if conflict <= self.commit {"),
    },
    Canary {
        name: "pre-vote-below-term",
        what: "the answer to a pre-vote teaches no newer term (B6)",
        oracle: "monotone",
        how: core!("step.rs": "        if self.hard_state.term < term {\n            if matches!" => "        if self.hard_state.term < term && !matches!(body, Body::PreVote { .. }) {\n            if matches!"),
    },
    Canary {
        name: "one-campaign",
        what: "a candidate that does not campaign again after a lost election (B6)",
        oracle: "progress",
        how: core!("election.rs": "if timeout <= self.election_elapsed && !waits {" => "if self.campaigns == 0 && timeout <= self.election_elapsed && !waits {"),
    },
    Canary {
        name: "fetched-beyond-limit",
        what: "an append of fetched entries that heeds no limit",
        oracle: "caps",
        how: core!("replication.rs": "entries.prefix(config.append_bytes_max, config.append_entries_max)" => "entries.prefix(config.append_bytes_max, u64::MAX)"),
    },
    Canary {
        name: "proposal-bytes-leak",
        what: "bytes of proposals that count as uncommitted for ever (B27)",
        oracle: "progress",
        how: core!("proposals.rs": "        self.bytes -= pending.bytes;\n" => "",
            "proposals.rs": "if self.queue.iter().map(|pending| pending.bytes).sum::<u64>() != self.bytes {" => "if false {"),
    },
    Canary {
        name: "pre-vote-for-anyone",
        what: "pre-votes from servers that hear a leader (B5)",
        oracle: "no-disruption",
        how: core!("election.rs": "self.hard_state.term <= term && !self.hears_leader() && self.log_end() <= last" => "self.hard_state.term <= term && self.log_end() <= last"),
    },
    Canary {
        name: "no-pre-vote",
        what: "a server that campaigns without a pre-vote (B5)",
        oracle: "no-disruption",
        how: core!("election.rs": "if !self.config.pre_vote {" => "if true {"),
    },
    Canary {
        name: "endless-window",
        what: "a window that never closes (B26)",
        oracle: "caps",
        how: core!("progress.rs": "self.in_flight.len() < packets_max as usize && self.in_flight_bytes < bytes_max" => "self.in_flight.len() < usize::MAX && packets_max != 0 && bytes_max != 0"),
    },
    Canary {
        name: "endless-proposals",
        what: "uncommitted bytes without a limit",
        oracle: "caps",
        how: core!("replication.rs": "room < self.proposals.bytes() + taken_bytes + bytes || room < unsettled + bytes" => "room == 0 && room < unsettled + bytes"),
    },
    Canary {
        name: "stale-votes",
        what: "votes of an older term that are counted (B4)",
        oracle: "election-safety",
        how: core!("step.rs": "        if term < self.hard_state.term {\n" => "        if term < self.hard_state.term && !matches!(body, Body::Vote { .. }) {\n"),
    },
    Canary {
        name: "change-before-own-term",
        what: "a change taken before an entry of the own term is committed (B32)",
        oracle: "membership",
        how: core!("reconfiguration.rs": "        if self.log.term_at(self.commit) != Some(self.hard_state.term) {" => "        if self.commit == LogIndex::ZERO {"),
    },
    Canary {
        name: "two-changes",
        what: "a change taken while another one is under way",
        oracle: "membership",
        how: core!("reconfiguration.rs": "if self.commit < *index || current.is_joint() {" => "if current.is_joint() {"),
    },
    Canary {
        name: "joint-lost-on-restart",
        what: "a joint configuration that is half forgotten over a restart (B33)",
        oracle: "membership",
        how: core!("node.rs": "let log = Log::new(" => "let memberships: alloc::vec::Vec<_> = memberships.into_iter().map(|(index, membership)| (index, Arc::new(membership.incoming()))).collect();\n        let log = Log::new("),
    },
    Canary {
        name: "joint-left-early",
        what: "a joint configuration left before it is committed (B35)",
        oracle: "membership",
        how: core!("reconfiguration.rs": "        if self.commit < *index {\n            return;\n        }\n        if membership.is_joint() {" => "        if self.commit < *index && !membership.is_joint() {\n            return;\n        }\n        if membership.is_joint() {"),
    },
    Canary {
        name: "joint-never-left",
        what: "a joint configuration that only the leader leaves who began it (B35)",
        oracle: "progress",
        how: core!("reconfiguration.rs": "            if self.log.term_at(self.commit) == Some(self.hard_state.term) {\n" => "            if self.change.is_some() && self.log.term_at(self.commit) == Some(self.hard_state.term) {\n"),
    },
    Canary {
        name: "half-of-joint-elects",
        what: "votes of the incoming half of a joint configuration that elect alone",
        oracle: "election-safety",
        how: core!("membership.rs": "half(&self.servers) && (!self.is_joint() || half(&self.outgoing))" => "half(&self.servers)"),
    },
    Canary {
        name: "half-of-joint-commits",
        what: "a majority of the incoming half of a joint configuration that commits alone",
        oracle: "commit-rule",
        how: core!("replication.rs": "        if self.joint {\n            index = index.min(half(|votes| votes.outgoing));\n        }\n" => "        index = index.max(LogIndex::ZERO);\n",
            "replication.rs": "half(|votes| votes.incoming) && (!self.joint || half(|votes| votes.outgoing))" => "half(|votes| votes.incoming)"),
    },
    Canary {
        name: "removed-leader-counts",
        what: "a leader without a vote that counts itself (B36)",
        oracle: "commit-rule",
        how: core!("replication.rs": "quorum::quorum_index(followers.map(Progress::matched).chain(counts(self.votes).then_some(own)))" => "quorum::quorum_index(followers.map(Progress::matched).chain(Some(own)))",
            "replication.rs": "quorum::is_quorum(followers.map(&is_for).chain(counts(self.votes).then_some(own)))" => "quorum::is_quorum(followers.map(&is_for).chain(Some(own)))"),
    },
    Canary {
        name: "removed-leader-stays",
        what: "a removed leader that leads on (B36)",
        oracle: "membership",
        how: core!("reconfiguration.rs": "if self.votes.any() || self.joint ||" => "if !self.joint ||"),
    },
    Canary {
        name: "transfer-to-the-demoted",
        what: "a transfer that is not given up when its target loses its vote (B37)",
        oracle: "answers",
        how: core!("transfer.rs": "if !self.membership().is_some_and(|membership| membership.is_voter(transfer.to)) {" => "if self.membership().is_none() {"),
    },
    Canary {
        name: "old-removal",
        what: "an old notice of a removal that is believed by a server which has come back (B38)",
        oracle: "membership",
        how: core!("reconfiguration.rs": "if newer || self.removed ||" => "if self.removed ||"),
    },
    Canary {
        name: "wiped-voter",
        what: "a wiped server that answers in the name of what it was (B39)",
        oracle: "strangers",
        how: core!("step.rs": "if to != self.identity.pair {" => "if to.id != self.identity.pair.id {"),
    },
    Canary {
        name: "configuration-not-undone",
        what: "a configuration that is in force though its entry was cut off (B9)",
        oracle: "membership",
        how: core!("log.rs": "self.memberships.truncate(self.memberships.partition_point(|(index, _)| *index < from));" => "self.memberships.truncate(before);"),
    },
    Canary {
        name: "stale-acknowledgement",
        what: "a stale heartbeat that is acknowledged in the term of who refuses it",
        oracle: "monotone",
        how: core!("step.rs": "            Body::Append { .. } | Body::Heartbeat { .. } | Body::InstallSnapshot { .. } => Body::NewerTerm,\n" => "            Body::Append { .. } | Body::InstallSnapshot { .. } => Body::NewerTerm,\n            Body::Heartbeat { round, .. } => Body::Acknowledge { boot, round: Some(round), held: LogIndex::ZERO, durable: LogIndex::ZERO },\n"),
    },
];
