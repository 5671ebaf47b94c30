//! Canaries of what clients ask for beside proposals: cores whose reads, leases, forwarding or sessions are broken.

use super::{Break, Canary, Replacement};

/// All of them.
pub(super) const CANARIES: &[Canary] = &[
    Canary {
        name: "read-before-own-term",
        what: "a leader that lets reads happen before it knows how far the log is committed (B40)",
        oracle: "reads",
        how: core!("reads.rs": "        self.commits_own_term().then_some(self.commit)\n" => "        Some(self.commit)\n",
            "reads.rs": "        if !self.commits_own_term() {\n            return reached(Mark::ReadWaitsForTerm);\n        }\n" => "        if !self.commits_own_term() {\n            reached(Mark::ReadWaitsForTerm);\n        }\n"),
    },
    Canary {
        name: "read-by-older-round",
        what: "a read that an answer to an earlier round releases (B41)",
        oracle: "reads",
        how: core!("reads.rs": "        self.reads.waiting.0.push_back(Waiting { reader, round: None, index });\n" => "        let round = Some(self.quorum_round(Progress::answered_round));\n        self.reads.waiting.0.push_back(Waiting { reader, round, index });\n"),
    },
    Canary {
        name: "reads-wait-when-alone",
        what: "reads that wait for others on a leader that is alone, or is so by now (B43)",
        oracle: "progress",
        how: core!("reads.rs": "        if self.reads.waiting.0.is_empty() && self.reads.questions.0.is_empty() {\n            return;\n        }\n        if !self.commits" => "        if self.reads.waiting.0.is_empty() && self.reads.questions.0.is_empty() || matches!(&self.role, Role::Leader { followers, .. } if followers.is_empty()) {\n            return;\n        }\n        if !self.commits"),
    },
    Canary {
        name: "follower-reads-its-own-commit",
        what: "a follower that lets reads happen without asking the leader",
        oracle: "reads",
        how: core!("reads.rs": "            self.reads.asking.push_back(Asking { id, token: None });\n" => "            self.reads.confirm(id, self.commit);\n"),
    },
    Canary {
        name: "read-before-applied",
        what: "a read that happens before the state machine is there",
        oracle: "reads",
        how: core!("reads.rs": "            && read.index <= self.applying.applied\n" => "            && read.index <= self.commit\n"),
    },
    Canary {
        name: "read-index-of-another-boot",
        what: "the answer to a question of an earlier start that releases a read of this one",
        oracle: "reads",
        how: core!("reads.rs": "if boot != self.identity.boot || self.leader() != Some(from) {" => "if boot < Boot::new(1) || self.leader() != Some(from) {"),
    },
    Canary {
        name: "read-index-asked-once",
        what: "a question for the read index that is lost and never asked again",
        oracle: "progress",
        how: core!("reads.rs": "        if core::mem::replace(&mut self.reads.heard_since, true) {\n" => "        if core::mem::replace(&mut self.reads.heard_since, true) && self.reads.asking.is_empty() {\n"),
    },
    Canary {
        name: "leader-by-role",
        what: "a leader that says it leads without asking anybody",
        oracle: "reads",
        how: core!("reads.rs": "            Ok(()) => self.wait_for_round(Reader::Verifier(id)),\n" => "            Ok(()) => ready.answers.push(Answer { id, outcome: Outcome::Leads { term: self.hard_state.term, commit: self.commit } }),\n"),
    },
    Canary {
        name: "barrier-at-commit",
        what: "a barrier that waits only for what is committed already",
        oracle: "reads",
        how: core!("reads.rs": "Ok(()) => self.reads.confirm(id, self.log.last().index)," => "Ok(()) => self.reads.confirm(id, self.commit),"),
    },
    Canary {
        name: "endless-reads",
        what: "reads without a limit",
        oracle: "caps",
        how: core!("reads.rs": "if self.config.reads_max as usize <= self.reads.len() {" => "if usize::MAX <= self.reads.len() {"),
    },
    Canary {
        name: "contact-forgotten",
        what: "a voter that starts and gives its vote at once, though somebody may have a lease that counts on it",
        oracle: "leases",
        how: core!("node.rs": "            since_contact: 0,\n" => "            since_contact: u32::MAX,\n"),
    },
    Canary {
        name: "vote-within-lease",
        what: "a voter that gives a real vote to who has an old pre-vote, though it has heard the leader since",
        oracle: "leases",
        how: core!("step.rs": "            && self.hard_state.term <= term\n            && self.keeps_vote()\n" => "            && self.hard_state.term < Term::ZERO\n"),
    },
    Canary {
        name: "campaign-within-lease",
        what: "a campaign on request by a server that has just heard its leader",
        oracle: "leases",
        how: core!("election.rs": "        if self.keeps_vote() {\n" => "        if false {\n"),
    },
    Canary {
        name: "leader-forgotten",
        what: "a leader that is forgotten on request, though its lease counts on it",
        oracle: "leases",
        how: core!("step.rs": "        if self.leases.is_none() {\n            self.lose_sight(ready);\n" => "        {\n            self.since_contact = u32::MAX;\n            self.lose_sight(ready);\n"),
    },
    Canary {
        name: "lease-through-transfer",
        what: "a leader that keeps its lease when it has told another to begin an election (B42)",
        oracle: "reads",
        how: core!("transfer.rs": "                lease.end();\n" => "                let _ = lease;\n"),
    },
    Canary {
        name: "transfer-again",
        what: "a candidate that says of its next elections, too, that the leader wanted them",
        oracle: "leases",
        how: core!("election.rs": "        if !self.config.pre_vote {\n            return self.campaign(false, ready);" => "        let again = matches!(self.role, Role::Candidate { transfer: true, .. });\n        if again || !self.config.pre_vote {\n            return self.campaign(again, ready);"),
    },
    Canary {
        name: "endless-lease",
        what: "a lease without an end, on a leader that leads on though no quorum answers (B42)",
        oracle: "reads",
        how: core!("leases.rs": "is_some_and(|age| age < leases.length_ticks())" => "is_some_and(|age| age < u32::MAX)",
            "leases.rs": "            lease.tick(elapsed, timeout);\n" => "            lease.tick(elapsed, u32::MAX);\n",
            "replication.rs": "if !quorum || self.disk.is_stalled" => "if self.disk.is_stalled"),
    },
    Canary {
        name: "stale-read-of-now",
        what: "a read of what was true when the leader was asked that passes for one of now",
        oracle: "reads",
        how: core!("reads.rs": "Some(Known { index, ago });" => "Some(Known { index, ago: 0 * ago });"),
    },
    Canary {
        name: "forward-taken-twice",
        what: "a proposal that its leader takes as often as its packet comes",
        oracle: "linearizability",
        how: core!("forwarding.rs": "if self.follower(from).is_none() || !self.forwards.is_new(from, boot, token) {" => "if self.follower(from).is_none() || !self.forwards.is_new(from, boot, token) && false {"),
    },
    Canary {
        name: "session-revived",
        what: "a command of an expired session that is executed",
        oracle: "sessions",
        how: core!("sessions.rs": "        self.keep_alive(session, time)?;\n" => "        if self.keep_alive(session, time).is_err() { self.put(session, Session { active: self.time, answered: 0, responses: BTreeMap::new() }); }\n"),
    },
    Canary {
        name: "answer-forgotten-early",
        what: "a session table that forgets an answer which its client has not got",
        oracle: "sessions",
        how: core!("sessions.rs": "found.responses.split_off(&answered)" => "found.responses.split_off(&answered.saturating_add(1))"),
    },
    Canary {
        name: "session-half-encoded",
        what: "a session table in a snapshot without what its clients have got",
        oracle: "sessions",
        how: core!("encoding/sessions.rs": "        answered: session.answered,\n        numbers" => "        answered: 0,\n        numbers"),
    },
];
