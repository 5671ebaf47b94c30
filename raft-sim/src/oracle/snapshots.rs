//! Snapshots: what they cover, what they replace, who is sent one, and what comes of a state machine that is restored from one.

use std::collections::BTreeMap;

use raft_core::{
    Body, ClusterId, Compaction, Digest, Entry, Event, LogIndex, LogTime, Membership, Pair, Position,
    SendNumber, Snapshot, Write,
};

use super::commit::CommitRule;
use super::configurations::Configurations;
use super::sessions::Effect;
use super::term_log::TermLog;
use super::{LogView, Step, Verdict, broken};
use crate::action::HostId;
use crate::history::Registers;

pub(super) const NAME: &str = "snapshots";
const COVERS: &str = "a snapshot covers what is committed, with the log time and the configuration of its last entry, and is described as its \
                      server described it (Raft thesis §5.1; B34)";
const WRITTEN: &str = "snapshots that are written get newer, and a log begins at or before the end of its snapshot, later and later (the contract \
                       of the core)";
const INSTALLED: &str = "a snapshot takes the place of a log that lacks or contradicts its end; one that has it is kept (Raft thesis §5.1; B44)";
const SENT: &str = "one snapshot at a time is sent to a server, and meanwhile the log is not compacted beyond it (the contract of the core)";
const RESTORED: &str = "what a state machine is restored to is what applying the committed log up to there gives (Raft thesis §5.1)";

#[derive(Clone, Debug, Default)]
struct Host {
    /// The newest snapshot that was written, and behind which index the log begins by that.
    written: LogIndex,
    start: LogIndex,
    sending: Vec<(SendNumber, Pair, LogIndex)>,
}

/// What snapshots have to be, from the history of what was committed and applied.
#[derive(Clone, Debug)]
pub(super) struct Snapshots {
    cluster: ClusterId,
    hosts: Vec<Host>,
    // What drivers said of the snapshots that they took: size and digest.
    taken: BTreeMap<Position, (u64, Digest)>,
    // By index.
    times: Vec<LogTime>,
    registers: Registers,
    // What each register came to hold, and where.
    held: BTreeMap<u64, Vec<(LogIndex, u64)>>,
}

impl Snapshots {
    pub(super) fn new(hosts: usize, founding: &Membership) -> Self {
        Snapshots {
            cluster: founding.cluster_id(),
            hosts: vec![Host::default(); hosts],
            taken: BTreeMap::new(),
            times: Vec::new(),
            registers: Registers::default(),
            held: BTreeMap::new(),
        }
    }

    /// A driver has reported a snapshot.
    pub(super) fn taken(&mut self, last: Position, size: u64, digest: Digest) {
        self.taken.entry(last).or_insert((size, digest));
    }

    /// A driver has reported what came of sending one.
    pub(super) fn sent(&mut self, host: HostId, number: SendNumber) {
        self.hosts[host.nth()].sending.retain(|(known, ..)| *known != number);
    }

    /// A node begins with a log that its disk has begin behind `start`.
    pub(super) fn started(&mut self, host: HostId, start: LogIndex) {
        // What was written last may not have made it to the disk.
        self.hosts[host.nth()] = Host { start, ..Host::default() };
    }

    /// A state machine has applied an entry, which others may have applied before.
    pub(super) fn applied(&mut self, position: Position, entry: &Entry, effect: Option<Effect>) {
        if position.index.raw() != self.times.len() as u64 + 1 {
            return;
        }
        self.times.push(entry.time);
        let Some(Effect { key, operation, .. }) = effect else { return };
        let before = self.registers.value(key);
        self.registers.apply(key, operation);
        if let Some(value) = self.registers.value(key).filter(|value| before != Some(*value)) {
            self.held.entry(key).or_default().push((position.index, value));
        }
    }

    /// A snapshot may have taken the place of a node's log in a step, which was this `before`.
    pub(super) fn installed(step: &Step<'_>, before: &TermLog) -> Verdict {
        for event in &step.ready.events {
            let Event::SnapshotInstalled { last } = event else { continue };
            let commit = step.before.commit;
            if last.index <= commit || before.term_at(last.index) == Some(last.term) {
                return broken(NAME, INSTALLED, || {
                    format!(
                        "{} installs a snapshot up to {last}, which its log has; it is committed up to {commit}",
                        step.pair
                    )
                });
            }
        }
        Ok(())
    }

    /// A node has made a step.
    pub(super) fn stepped(
        &mut self,
        step: &Step<'_>,
        commit: &CommitRule,
        known: &Configurations,
    ) -> Verdict {
        let ready = step.ready;
        if let Some(write) = &ready.write
            && let Some(compaction) = &write.compaction
        {
            self.covers(step, &compaction.snapshot, commit, known)?;
            self.written(step, write, compaction, commit)?;
        }
        if let Some(snapshot) = &ready.restore {
            self.covers(step, snapshot, commit, known)?;
        }
        for wanted in &ready.snapshots {
            let Body::InstallSnapshot { snapshot } = &wanted.packet.body else {
                return broken(NAME, SENT, || format!("{} sends {:?}", step.pair, wanted.packet.body));
            };
            self.covers(step, snapshot, commit, known)?;
            let (to, sending) = (wanted.packet.to, &mut self.hosts[step.host.nth()].sending);
            let leads = step.before.leads || step.after.leads;
            if !leads || sending.iter().any(|(_, other, _)| *other == to) {
                return broken(NAME, SENT, || format!("{} sends {to} a snapshot once more", step.pair));
            }
            sending.push((wanted.number, to, snapshot.last.index));
        }
        Ok(())
    }

    fn covers(
        &self,
        step: &Step<'_>,
        snapshot: &Snapshot,
        commit: &CommitRule,
        known: &Configurations,
    ) -> Verdict {
        let Snapshot { cluster, last, time, membership, membership_index, size, digest } = snapshot;
        let is_committed = commit.at(last.index).is_some_and(|there| there.term == last.term);
        let in_force = known.up_to(commit.terms(), last.index);
        let configured = in_force.position.index == *membership_index && in_force.membership == *membership;
        let at = self.times.get(last.index.previous().raw() as usize);
        let wrong = match () {
            () if !is_committed => "ends where nothing like that is committed".to_owned(),
            () if *cluster != self.cluster => format!("is of cluster {cluster}"),
            () if !configured => {
                format!(
                    "has {membership:?} of index {membership_index}, in force is that at {}",
                    in_force.position
                )
            }
            () if at != Some(time) => format!("has the log time {time:?}, its last entry {at:?}"),
            () if self.taken.get(last) != Some(&(*size, *digest)) => "is described as another".to_owned(),
            () => return Ok(()),
        };
        broken(NAME, COVERS, || format!("the snapshot of {} up to {last} {wrong}", step.pair))
    }

    fn written(
        &mut self,
        step: &Step<'_>,
        write: &Write,
        compaction: &Compaction,
        commit: &CommitRule,
    ) -> Verdict {
        let host = &mut self.hosts[step.host.nth()];
        let Compaction { snapshot, start, discards } = compaction;
        let last = snapshot.last;
        let there = if start.index == LogIndex::ZERO { None } else { commit.at(start.index) };
        let fits = start.index == LogIndex::ZERO || there.is_some_and(|there| there.term == start.term);
        let behind = write.entries.first().is_none_or(|first| first == last.index.next());
        if last.index <= host.written
            || last.index < start.index
            || start.index < host.start
            || write.commit < last.index
            || !fits
            || *discards && (*start != last || !behind)
        {
            return broken(NAME, WRITTEN, || {
                format!("{} writes the snapshot up to {last}, the log begins behind {start}", step.pair)
            });
        }
        let shortest = host.sending.iter().map(|(.., last)| *last).min();
        if !discards && host.start < start.index && shortest.is_some_and(|shortest| shortest < start.index) {
            return broken(NAME, SENT, || {
                format!("{} has its log begin behind {start} while it sends snapshots from there", step.pair)
            });
        }
        (host.written, host.start) = (last.index, start.index);
        Ok(())
    }

    /// A state machine is now what it was in a snapshot.
    pub(super) fn restored(&self, host: HostId, snapshot: &Snapshot, registers: &Registers) -> Verdict {
        let last = snapshot.last.index;
        let value = |held: &Vec<(LogIndex, u64)>| {
            let count = held.partition_point(|(index, _)| *index <= last);
            count.checked_sub(1).map(|nth| held[nth].1)
        };
        let expected = self.held.iter().filter_map(|(key, held)| Some((*key, value(held)?)));
        if expected.eq(registers.iter()) {
            return Ok(());
        }
        broken(NAME, RESTORED, || format!("server {host} is restored to something else at {}", snapshot.last))
    }
}
