//! The oracles: what must hold at every step of every run, written from the thesis and the contract, not from the core.
//! They share no code with it beyond the types that its messages are made of.
//!
//! Each file holds one rule, quotes it, and keeps what it needs to check it *incrementally*: a step costs what the step
//! changed, never the length of the log. They see effects and messages, a node's status and the terms in its log; what is
//! durable they know from a model of their own ([`DiskModels`]).

mod answers;
mod append_only;
mod caps;
mod changes;
mod commit;
mod completeness;
mod configurations;
mod disks;
mod disruption;
mod durable;
mod election;
mod health;
mod leases;
mod linearizability;
mod machines;
mod matching;
mod membership;
#[cfg(test)]
mod membership_tests;
mod monotone;
mod observed;
mod peace;
mod progress;
mod promises;
mod reads;
mod recollection;
mod replicas;
mod sessions;
mod snapshots;
#[cfg(test)]
mod snapshots_tests;
mod strangers;
mod term_log;
#[cfg(test)]
mod tests;
mod verdict;
mod votes;
#[cfg(test)]
mod watched;

use raft_core::{
    Answer, Change, Digest, Entry, Event, LogIndex, Membership, NodeId, Outcome, Packet, Pair, Position,
    SendNumber, SessionRefusal, Snapshot, Term, Write,
};

use self::configurations::Configurations;
use self::disks::DiskModels;
use self::observed::digest_entry;
pub use self::observed::{Seen, Step};
pub use self::peace::{Duties, Way};
pub(crate) use self::progress::NAME as PROGRESS;
pub use self::progress::{Demand, Need, Standing};
pub(crate) use self::reads::Kind as Reading;
pub(crate) use self::sessions::Judged;
pub use self::term_log::{LogView, TermLog};
use self::verdict::broken;
pub use self::verdict::{Verdict, Violation};
use crate::action::{Action, HostId, HostSet, Link};
use crate::history::{History, Operation, Registers, Reply};
use crate::own::{Misstep, Own};
use crate::world::Setup;

/// All oracles of one run, and what they tell each other.
#[derive(Clone, Debug)]
pub struct Oracles {
    disks: DiskModels,
    recollection: recollection::Recollection,
    snapshots: snapshots::Snapshots,
    configurations: Configurations,
    memberships: membership::Memberships,
    changes: changes::Changes,
    election: election::ElectionSafety,
    append_only: append_only::AppendOnly,
    matching: matching::LogMatching,
    commit: commit::CommitRule,
    completeness: completeness::LeaderCompleteness,
    votes: votes::Votes,
    leases: leases::Leases,
    monotone: monotone::Monotone,
    machines: machines::StateMachineSafety,
    replicas: replicas::Replicas,
    answers: answers::Answers,
    reads: reads::Reads,
    sessions: sessions::Sessions,
    linearizability: linearizability::Linearizability,
    caps: caps::Caps,
    health: health::Health,
    strangers: strangers::Strangers,
    disruption: disruption::Disruption,
    // The clique that is watched, and how it gets well if it is left in peace for good.
    peace: Option<peace::Peace>,
    progress: progress::Progress,
    apply_before_durable: bool,
}

impl Oracles {
    /// For these machines, in order, of which those in the founding configuration found the cluster.
    pub fn new(pairs: &[Pair], founding: &Membership, setup: &Setup) -> Self {
        let config = &setup.config;
        let hosts = pairs.len();
        let spares = pairs.iter().filter(|pair| !configurations::is_member(founding, **pair));
        Oracles {
            disks: DiskModels::new(pairs),
            recollection: recollection::Recollection::new(hosts),
            snapshots: snapshots::Snapshots::new(hosts, founding),
            configurations: Configurations::new(founding),
            memberships: membership::Memberships::new(hosts),
            changes: changes::Changes::default(),
            election: election::ElectionSafety::default(),
            append_only: append_only::AppendOnly,
            matching: matching::LogMatching::default(),
            commit: commit::CommitRule::default(),
            completeness: completeness::LeaderCompleteness,
            votes: votes::Votes::new(pairs),
            leases: leases::Leases::new(hosts, setup.leases),
            monotone: monotone::Monotone::new(hosts, founding.cluster_id(), setup.leases.is_some()),
            machines: machines::StateMachineSafety::new(hosts),
            replicas: replicas::Replicas::default(),
            answers: answers::Answers::default(),
            reads: reads::Reads::default(),
            sessions: sessions::Sessions::new(setup.sessions),
            linearizability: linearizability::Linearizability::default(),
            caps: caps::Caps::new(hosts, config),
            health: health::Health::default(),
            strangers: strangers::Strangers::new(spares.copied().collect()),
            disruption: disruption::Disruption::new(hosts, config.election_timeout_ticks, config.pre_vote),
            peace: None,
            progress: progress::Progress::new(config.election_timeout_ticks, config.pre_vote),
            apply_before_durable: config.apply_before_durable,
        }
    }

    /// A machine was formatted with this founding batch.
    ///
    /// # Errors
    /// A broken rule.
    pub fn founded(&mut self, host: HostId, write: &Write) -> Verdict {
        for run in write.entries.iter() {
            self.matching.observe(Some(Term::ZERO), run)?;
        }
        self.disks.written(host, write);
        self.disks.synced(host, 1, self.commit.terms());
        Ok(())
    }

    /// A node was made from what its disk holds.
    ///
    /// # Errors
    /// A broken rule.
    pub fn started(&mut self, host: HostId, seen: &Seen, log: &dyn LogView) -> Verdict {
        self.leases.started(host);
        self.monotone.started(host);
        self.health.started(host);
        self.strangers.started(host, seen)?;
        self.snapshots.started(host, log.start().unwrap_or_default().index);
        self.recollection.started(host, &self.disks.of(host).log);
        let disk = self.disks.of(host);
        durable::started(disk, host, seen, log)?;
        self.memberships.started(host, seen, log, self.configurations.in_force(&disk.log))
    }

    /// A node has made a step. `health` is what it says of its own invariants.
    ///
    /// # Errors
    /// A broken rule.
    pub fn stepped(&mut self, step: &Step<'_>, health: Result<(), String>) -> Verdict {
        snapshots::Snapshots::installed(step, self.recollection.of(step.host))?;
        self.recollection.follow(step, &self.commit);
        self.recollection.stepped(step, &self.commit)?;
        self.snapshots.stepped(step, &self.commit, &self.configurations)?;
        // A node forgets terms; who judges it does not.
        let log = self.recollection.take(step.host);
        let whole = recollection::Whole { log: &log, node: step.log };
        let verdict = self.judge(&Step { log: &whole, ..*step }, health);
        self.recollection.put_back(step.host, log);
        verdict
    }

    fn judge(&mut self, step: &Step<'_>, health: Result<(), String>) -> Verdict {
        self.votes.stepped(step)?;
        let mut fresh = self.note_said(step);
        self.strangers.stepped(step, &self.configurations)?;
        if self.election.stepped(step, &self.commit)? {
            election::ElectionSafety::won(step, &self.votes, &self.configurations)?;
            self.completeness.elected(step, &self.commit)?;
        }
        self.append_only.stepped(step)?;
        self.matching.stepped(step)?;
        self.note_written(&mut fresh);
        for command in self.matching.fresh.drain(..) {
            self.answers.appended(command)?;
        }
        self.reads.stepped(step)?;
        let known = self.commit.len();
        self.commit.stepped(step, &self.disks, &self.configurations)?;
        self.appended(step, &fresh)?;
        self.memberships.stepped(step, &self.configurations, &self.commit)?;
        self.changes.stepped(step, self.configurations.in_force(step.log))?;
        if known < self.commit.len() {
            self.completeness.committed(step, &self.commit, &self.election)?;
        }
        promises::stepped(step, self.disks.of(step.host), &self.election, &self.commit)?;
        self.machines.handed(step, self.disks.of(step.host), self.apply_before_durable)?;
        self.leases.stepped(step)?;
        self.monotone.stepped(step)?;
        let under_way = self.answers.under_way(step.host, &step.ready.answers);
        self.caps.stepped(step, (self.disks.of(step.host), self.disks.pairs()), under_way)?;
        self.health.stepped(step, health)?;
        if let Some(peace) = &mut self.peace {
            peace.stepped(step.host);
        }
        self.disruption.stepped(step, self.peace.as_ref(), &self.configurations, self.disks.pairs())?;
        match self.in_peace_for_good() {
            Some(peace) if peace.clique().contains(step.host) => self.progress.stepped(step),
            _ => Ok(()),
        }
    }

    /// Takes note of configurations that stand in a log for the first time; where. What a node has appended it says at once, and
    /// writes or sends it later on; what it says last is what stands there.
    fn note_said(&mut self, step: &Step<'_>) -> Vec<Position> {
        let mut said: Vec<(LogIndex, &std::sync::Arc<Membership>)> = Vec::new();
        for event in &step.ready.events {
            if let Event::Membership { index, membership } = event {
                while said.last().is_some_and(|(before, _)| index <= before) {
                    said.pop();
                }
                said.push((*index, membership));
            }
        }
        let mut fresh = Vec::new();
        for (index, membership) in said {
            let Some(term) = step.log.term_at(index) else { continue };
            let position = Position { term, index };
            if self.configurations.note(position, membership) {
                fresh.push(position);
            }
        }
        fresh
    }

    fn note_written(&mut self, fresh: &mut Vec<Position>) {
        for (position, membership) in self.matching.configurations.drain(..) {
            if self.configurations.note(position, &membership) {
                fresh.push(position);
            }
        }
        fresh.sort_unstable_by_key(|position| position.index);
    }

    /// Judges configurations that the leader of this step has appended.
    fn appended(&mut self, step: &Step<'_>, fresh: &[Position]) -> Verdict {
        let led = [step.after, step.before].into_iter().find(|seen| seen.leads).map(|seen| seen.term);
        for position in fresh.iter().filter(|position| Some(position.term) == led) {
            let Some(now) = self.configurations.at(*position) else { continue };
            membership::appended(step, position.term, now, &self.configurations, &self.commit)?;
            let before = self.configurations.up_to(step.log, position.index.previous());
            self.changes.appended(step.host, before, now, &step.ready.answers)?;
            for pair in self.disks.pairs() {
                let is_member =
                    |known: &configurations::Known| configurations::is_member(&known.membership, *pair);
                if !is_member(before) && is_member(now) {
                    self.caps.added(step.host, *pair);
                }
            }
            if let Some(peace) = &mut self.peace {
                peace.changed(step.host);
            }
        }
        Ok(())
    }

    /// The log of this machine's node, if it is up.
    pub fn log(&self, host: HostId) -> &TermLog {
        self.recollection.of(host)
    }

    /// The configuration in force on a server with this log.
    pub fn configuration(&self, log: &dyn LogView) -> &Membership {
        &self.configurations.in_force(log).membership
    }

    /// What of a machine's log is durable.
    pub fn durable_log(&self, host: HostId) -> &TermLog {
        &self.disks.of(host).log
    }

    /// Whether that is committed which is in force on a server with this log, by its own knowledge.
    pub fn is_in_force_for_good(&self, log: &dyn LogView, commit: LogIndex) -> bool {
        self.configurations.in_force(log).position.index <= commit
    }

    /// Whether these machines, as the pairs that they are now, hold a quorum.
    pub fn is_quorum(&self, membership: &Membership, hosts: HostSet) -> bool {
        configurations::is_quorum_of(membership, hosts, self.disks.pairs())
    }

    /// Which machines, as the pairs that they are now, belong to it.
    pub fn members(&self, membership: &Membership) -> HostSet {
        let pairs = self.disks.pairs().iter().enumerate();
        let members = pairs.filter(|(_, pair)| configurations::is_member(membership, **pair));
        members.map(|(nth, _)| HostId::at(nth)).collect()
    }

    /// Whether this machine, as the pair that it is now, votes in it.
    pub fn is_voter(&self, membership: &Membership, host: HostId) -> bool {
        configurations::is_voter(membership, self.disks.pairs()[host.nth()])
    }

    fn in_peace_for_good(&self) -> Option<&peace::Peace> {
        self.peace.as_ref().filter(|peace| peace.for_good() && peace.broken().is_none())
    }

    /// From here on this clique is watched, or none. The ways are those between its servers; `begun` is the latest term that anybody has
    /// begun, inside or outside.
    pub fn watch(&mut self, clique: HostSet, for_good: bool, ways: &[Way], begun: Term) {
        self.disruption.watched();
        self.progress.watched(begun);
        self.peace = (!clique.is_empty()).then(|| peace::Peace::new(clique, for_good, ways));
    }

    /// The clique that is watched.
    pub fn watched(&self) -> Option<HostSet> {
        self.peace.as_ref().map(peace::Peace::clique)
    }

    /// What went wrong in it, if it was not left in peace.
    pub fn disturbed(&self) -> Option<&str> {
        self.peace.as_ref().and_then(peace::Peace::broken)
    }

    /// The newest packet on this way when the clique came to be watched.
    pub fn base(&self, link: Link) -> u32 {
        self.peace.as_ref().and_then(|peace| peace.base(link)).unwrap_or(0)
    }

    /// What the clique needs that is left in peace for good.
    pub fn need(&self) -> Need {
        self.progress.need()
    }

    /// Something has happened in the world.
    pub fn happened(&mut self, action: Action) {
        if let Action::Tick { host, elapsed } = action {
            self.leases.ticked(host, elapsed);
            self.reads.ticked(host, elapsed, &self.commit);
        }
        if let Some(peace) = &mut self.peace {
            peace.happened(action);
        }
    }

    /// Time has passed for the clique that is watched, and this is how its machines, its ways and its nodes are, and what can be
    /// demanded of them.
    ///
    /// # Errors
    /// A broken rule.
    pub fn passed(
        &mut self,
        ticks: u8,
        duties: &[Duties],
        ways: &[Way],
        (standings, demand): (&[Standing], Option<Demand>),
    ) -> Verdict {
        let Some(peace) = &mut self.peace else { return Ok(()) };
        peace.pass(ticks, duties, ways);
        self.disruption.passed(peace);
        if !peace.for_good() || peace.broken().is_some() {
            return Ok(());
        }
        self.progress.passed(peace, standings, demand, |request| self.answers.is_committed(request))
    }

    /// A batch was handed to a disk.
    pub fn written(&mut self, host: HostId, write: &Write) {
        self.disks.written(host, write);
    }

    /// A disk has made its oldest batches durable.
    pub fn synced(&mut self, host: HostId, batches: u32) {
        self.disks.synced(host, batches, self.commit.terms());
        if let Some(peace) = &mut self.peace {
            peace.synced(host);
        }
    }

    /// A sync has failed, and the node will be told.
    pub fn write_failed(&mut self, host: HostId) {
        self.health.write_failed(host);
    }

    /// A record of a disk became unreadable.
    pub fn damaged(&mut self, host: HostId) {
        self.strangers.damaged(host);
    }

    /// Whether that has happened since the disk was formatted.
    pub fn is_damaged(&self, host: HostId) -> bool {
        self.strangers.is_damaged(host)
    }

    /// A machine got an empty disk and is this pair from now on. What the old pair has promised and held stays true.
    pub fn wiped(&mut self, host: HostId, pair: Pair) {
        self.disks.wiped(host, pair);
        self.votes.wiped(host, pair);
        self.monotone.wiped(host);
        self.machines.forgot(host);
        self.disruption.wiped(host);
        self.strangers.wiped(host, pair);
    }

    /// An old copy was put in place of a disk, with these batches.
    pub fn rolled_back<'a>(&mut self, host: HostId, batches: impl Iterator<Item = &'a Write>) {
        self.health.rolled_back();
        self.disks.rolled_back(host, batches, self.commit.terms());
        self.monotone.back_at(host, self.disks.of(host).term);
        self.machines.forgot(host);
    }

    /// A machine went down; `keep` of its outstanding batches made it to the disk.
    pub fn crashed(&mut self, host: HostId, keep: u32, machine_is_durable: bool) {
        self.disks.crashed(host, keep, self.commit.terms());
        self.monotone.back_at(host, self.disks.of(host).term);
        self.answers.crashed(host);
        self.changes.crashed(host);
        self.reads.crashed(host);
        if !machine_is_durable {
            self.machines.forgot(host);
        }
    }

    /// A state machine has applied an entry.
    ///
    /// # Errors
    /// A broken rule.
    pub fn applied(&mut self, host: HostId, position: Position, entry: &Entry) -> Verdict {
        self.machines.applied(host, position, entry, &self.commit)?;
        let effect = self.sessions.applied(position, entry);
        self.snapshots.applied(position, entry, effect);
        effect.map_or(Ok(()), |effect| self.linearizability.applied(position, effect))
    }

    /// A state machine is now what it was in this snapshot, with these registers.
    ///
    /// # Errors
    /// A broken rule.
    pub fn restored(&mut self, host: HostId, snapshot: &Snapshot, registers: &Registers) -> Verdict {
        self.machines.restored(host, snapshot.last.index)?;
        self.snapshots.restored(host, snapshot, registers)
    }

    /// The state machine of a user has applied the command at this index, or has failed to.
    ///
    /// # Errors
    /// A broken rule.
    pub(crate) fn own_applied(
        &mut self,
        host: HostId,
        index: LogIndex,
        command: &[u8],
        outcome: (Result<(), Misstep>, &Own),
    ) -> Verdict {
        self.replicas.applied(host, index, command, outcome)
    }

    /// The state machine of a user was restored and stands for all up to this index, or could not be.
    ///
    /// # Errors
    /// A broken rule.
    pub(crate) fn own_restored(
        &self,
        host: HostId,
        last: LogIndex,
        restored: Result<&Own, Misstep>,
    ) -> Verdict {
        self.replicas.restored(host, last, restored)
    }

    /// The state machine of a user was saved, and `again` is what comes out of that.
    ///
    /// # Errors
    /// A broken rule.
    pub(crate) fn own_saved(
        &self,
        host: HostId,
        last: LogIndex,
        own: &Own,
        again: Result<&Own, Misstep>,
    ) -> Verdict {
        replicas::Replicas::saved(host, last, own, again)
    }

    /// What a misstep of a user's state machine breaks.
    pub(crate) fn misstep(&self, host: HostId, misstep: Misstep, place: &str) -> Box<Violation> {
        replicas::of(misstep, host, place)
    }

    /// A driver has told its node of a snapshot that it took.
    pub fn snapshot_taken(&mut self, last: Position, size: u64, digest: Digest) {
        self.snapshots.taken(last, size, digest);
    }

    /// A driver has told its node what came of sending this snapshot to that server.
    pub fn snapshot_sent(&mut self, host: HostId, number: SendNumber, to: Pair) {
        self.snapshots.sent(host, number);
        self.caps.snapshot_sent(host, to);
    }

    /// A disk has given up what a snapshot stands for.
    pub fn compacted(&mut self, host: HostId) {
        self.disks.compacted(host);
    }

    /// A client has asked for an operation, at this moment.
    pub fn called(&mut self, request: u64, client: u8, key: u8, operation: Operation, moment: u64) {
        self.linearizability.called(request, client, key, operation, moment);
    }

    /// A client with a session has asked for an operation that is to take effect once, by this request or a later one.
    pub fn submitted(&mut self, request: u64, client: u8, key: u8, operation: Operation, moment: u64) {
        self.linearizability.submitted(request, client, key, operation, moment);
    }

    /// Such a client was told the reply to what it had asked for by the request `first`.
    ///
    /// # Errors
    /// A broken rule.
    pub fn submission_answered(&mut self, first: u64, reply: Reply, moment: u64) -> Verdict {
        self.linearizability.submission_answered(first, reply, moment)
    }

    /// The session table of a server has made this of what was sent at `index`.
    ///
    /// # Errors
    /// A broken rule.
    pub fn judged(&self, host: HostId, index: LogIndex, judged: &Result<Judged, SessionRefusal>) -> Verdict {
        self.sessions.judged(host, index, judged)
    }

    /// A session table in a snapshot does not read back from its encoding.
    pub fn of_other_table(&self, host: HostId, last: Position) -> Box<Violation> {
        sessions::of_other_table(host, last)
    }

    /// Which register this request is an operation on, if it is one.
    pub fn register_of(&self, request: u64) -> Option<u64> {
        let place = self.linearizability.place(request)?;
        self.linearizability.history().calls.get(place).map(|call| call.key)
    }

    /// A client has asked a node, which was seen to be this, for something that takes no entry in the log.
    pub fn read_asked(&mut self, host: HostId, request: u64, kind: Reading, seen: &Seen) {
        self.answers.read_asked(host, request);
        self.reads.asked(host, request, kind, seen, &self.commit);
    }

    /// A client of server `pair`, whose state machine has applied this much, was told what became of its request.
    ///
    /// # Errors
    /// A broken rule.
    pub fn read_answered(&mut self, pair: Pair, applied: LogIndex, answer: &Answer) -> Verdict {
        self.reads.answered(answer, (pair, applied), (&self.commit, &self.election))
    }

    /// A client was told the reply of a state machine that stands at `position`, at this moment.
    ///
    /// # Errors
    /// A broken rule.
    pub fn replied(&mut self, request: u64, reply: Reply, position: LogIndex, moment: u64) -> Verdict {
        self.linearizability.replied(request, reply, position, moment)
    }

    /// What clients asked and were told. Times are numbers of actions.
    pub fn history(&self) -> &History {
        self.linearizability.history()
    }

    /// Judges the history as a whole.
    ///
    /// # Errors
    /// A broken rule.
    pub fn judge_history(&self) -> Verdict {
        self.linearizability.judge()
    }

    /// A client has handed a request of so many commands to a node, whose entries count so many bytes.
    pub fn proposed(&mut self, host: HostId, request: u64, commands: u8, bytes: u32) {
        self.answers.proposed(host, request, commands, bytes);
    }

    /// A client has asked a node for one command, wherever the leader is.
    pub fn forwarded(&mut self, host: HostId, request: u64) {
        self.answers.forwarded(host, request);
    }

    /// What this request is, if it waits and takes no entry in the log.
    pub fn reading(&self, request: u64) -> Option<Reading> {
        self.reads.kind(request)
    }

    /// A packet has come to a node, which will take it at its next step.
    pub fn delivered(&mut self, host: HostId, packet: &Packet) {
        self.caps.delivered(host, packet);
        let pair = self.disks.pairs()[host.nth()];
        if !self.leases.delivered(host, pair, packet) {
            self.monotone.delivered(host, pair, packet);
        }
    }

    /// A node's read of the log was answered.
    pub fn fetched(&mut self, host: HostId) {
        self.caps.fetched(host);
    }

    /// It was a request to this clique's leader, if the node leads; one like that has to commit.
    pub fn requested(&mut self, host: HostId, request: u64, leads: bool) {
        if let Some(peace) = self.peace.as_ref().filter(|peace| peace.clique().contains(host)) {
            self.progress.proposed(request, leads, peace.now());
        }
    }

    /// An operator has asked a node to hand its leadership over.
    pub fn transfer_asked(&mut self, host: HostId, request: u64, to: Option<NodeId>) {
        self.answers.transfer_asked(host, request);
        self.changes.transfer_asked(host, request, to);
    }

    /// An operator has asked a node for another configuration.
    pub fn change_asked(&mut self, host: HostId, request: u64, change: Change) {
        self.answers.change_asked(host, request);
        self.changes.asked(host, request, change);
    }

    /// A client was told what became of its request.
    ///
    /// # Errors
    /// A broken rule.
    pub fn answered(&mut self, host: HostId, answer: &Answer) -> Verdict {
        self.answers.answered(host, answer, &self.matching, &self.commit, &self.election)?;
        self.changes.answered(answer, &self.configurations, &self.commit)?;
        match answer.outcome {
            Outcome::Refused(_) => self.linearizability.refused(answer.id.raw()),
            _ => Ok(()),
        }
    }

    /// How many requests wait for an answer at this machine.
    pub fn waiting(&self, host: HostId) -> u64 {
        self.answers.waiting(host)
    }

    /// How many leaders were elected so far.
    pub fn elections(&self) -> u64 {
        self.election.elected()
    }

    /// How many changes were answered as committed so far, and how many joint configurations were appended.
    pub fn changes(&self) -> (u64, u64) {
        self.changes.counts()
    }

    /// How often nothing could be demanded of a clique any more that was left in peace for good.
    pub fn excused(&self) -> u64 {
        self.progress.excused()
    }

    /// How many leaders in a siege have settled so far, which nothing may depose from then on.
    pub fn settled(&self) -> u64 {
        self.disruption.count()
    }

    /// How many entries were committed so far, the founding one not counted.
    pub fn commits(&self) -> u64 {
        self.commit.len().saturating_sub(1)
    }

    /// The digest of all that was applied: equal state machines have equal ones.
    pub fn machine_digest(&self) -> u64 {
        self.machines.digest()
    }
}
