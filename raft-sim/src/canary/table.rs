//! The list of canaries.

use super::rigs;
use super::{Break, Canary, Replacement};

/// A canary whose core is broken at one place.
macro_rules! core {
    ($($file:literal: $from:literal => $to:literal),+ $(,)?) => {
        Break::Core(&[$(Replacement { file: concat!("raft-core/src/", $file), from: $from, to: $to }),+])
    };
}

/// All of them: first disks, networks and drivers, then cores.
pub const CANARIES: &[Canary] = &[
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
        name: "stale-reads",
        what: "reads answered from a server's own state",
        oracle: "linearizability",
        how: Break::Rig(&rigs::StaleReads),
    },
    Canary {
        name: "swap-twice",
        what: "a state machine that performs a swap twice",
        oracle: "linearizability",
        how: Break::Rig(&rigs::SwapTwice),
    },
    Canary {
        name: "lost-update",
        what: "a write answered as done and forgotten",
        oracle: "linearizability",
        how: Break::Rig(&rigs::LostUpdate),
    },
    Canary {
        name: "vote-by-index",
        what: "a vote that compares only indexes (B1)",
        oracle: "leader-completeness",
        how: core!("election.rs": "if !free || last < self.log.last() {" => "if !free || last.index < self.log.last().index {"),
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
        oracle: "commit-rule",
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
        what: "a pre-vote that asks for nothing newer is given, and teaches no term (B6)",
        oracle: "progress",
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
        how: core!("election.rs": "self.hard_state.term <= term && !self.hears_leader() && self.log.last() <= last" => "self.hard_state.term <= term && self.log.last() <= last"),
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
        how: core!("replication.rs": "room < self.proposals.bytes() + bytes || room < unsettled + bytes" => "room == 0 && room < unsettled + bytes"),
    },
    Canary {
        name: "stale-votes",
        what: "votes of an older term that are counted (B4)",
        oracle: "election-safety",
        how: core!("step.rs": "        if term < self.hard_state.term {\n" => "        if term < self.hard_state.term && !matches!(body, Body::Vote { .. }) {\n"),
    },
    Canary {
        name: "stale-acknowledgement",
        what: "a stale heartbeat that is acknowledged in the term of who refuses it",
        oracle: "monotone",
        how: core!("step.rs": "            Body::Append { .. } | Body::Heartbeat { .. } => Body::NewerTerm,\n" => "            Body::Append { .. } => Body::NewerTerm,\n            Body::Heartbeat { round, .. } => Body::Acknowledge { boot, round: Some(round), held: LogIndex::ZERO, durable: LogIndex::ZERO },\n"),
    },
];
