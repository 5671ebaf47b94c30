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
        how: core!("election.rs": "let durable = self.disk.durable_hard_state() == self.hard_state;\n        if let Role::Follower" => "let durable = true;\n        if let Role::Follower"),
    },
    Canary {
        name: "commit-by-counting",
        what: "an old term's entry committed by counting (figure 3.7, B14)",
        oracle: "commit-rule",
        how: core!("replication.rs": "self.commit < index && self.log.term_at(index) == Some(self.hard_state.term)" => "self.commit < index"),
    },
    Canary {
        name: "leader-counts-early",
        what: "a leader that counts its own entries before they are durable (B19)",
        oracle: "commit-rule",
        how: core!("replication.rs": "durable.chain([self.disk.durable_end()])" => "durable.chain([self.log.last().index])"),
    },
    Canary {
        name: "empty-acknowledgement",
        what: "a follower that acknowledges what it did not append",
        oracle: "promises",
        how: core!("following.rs": "for run in entries.iter() {" => "for run in entries.iter().take(0) {",
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
];
