//! State-machine safety: every state machine is fed the same entries, in order, each once, and only committed ones.

use raft_core::{Entry, LogIndex, Position, Runs};
use xxhash_rust::xxh3::xxh3_64;

use super::commit::CommitRule;
use super::disks::DiskModel;
use super::term_log::LogView;
use super::{Step, Verdict, broken, digest_entry};
use crate::action::HostId;

pub(super) const NAME: &str = "state-machine-safety";
const RULE: &str = "if a server has applied a log entry at a given index to its state machine, no other server will ever apply a \
                    different log entry for the same index (Raft thesis figure 3.2)";
const HANDED: &str = "what is handed to a state machine is committed and, unless the state machine is volatile, durable on its \
                      server (the contract of the core)";

/// The chained digest at every applied index, write-once, and how far each state machine is.
#[derive(Clone, Debug)]
pub(super) struct StateMachineSafety {
    chain: Vec<u64>,
    machines: Vec<(LogIndex, u64)>,
}

impl StateMachineSafety {
    pub(super) fn new(hosts: usize) -> Self {
        StateMachineSafety { chain: Vec::new(), machines: vec![(LogIndex::ZERO, 0); hosts] }
    }

    /// A volatile state machine starts again from nothing.
    pub(super) fn forgot(&mut self, host: HostId) {
        self.machines[host.nth()] = (LogIndex::ZERO, 0);
    }

    pub(super) fn digest(&self) -> u64 {
        self.chain.last().copied().unwrap_or(0)
    }

    pub(super) fn handed(&self, step: &Step<'_>, disk: &DiskModel, before_durable: bool) -> Verdict {
        let applies = step.ready.apply.as_ref().and_then(Runs::last_position);
        let restores = step.ready.restore.as_ref().map(|snapshot| snapshot.last);
        if applies.is_some() && restores.is_some() {
            return broken(NAME, HANDED, || {
                format!("{} applies {applies:?} and restores {restores:?}", step.pair)
            });
        }
        let Some(last) = applies.or(restores) else { return Ok(()) };
        if step.after.commit < last.index {
            return broken(NAME, HANDED, || {
                format!("{} applies up to {last}, its commit index is {}", step.pair, step.after.commit)
            });
        }
        if !before_durable && disk.log.term_at(last.index) != Some(last.term) {
            return broken(NAME, HANDED, || {
                format!("{} applies {last}, which its disk does not hold", step.pair)
            });
        }
        Ok(())
    }

    /// A state machine has become what it was in a snapshot that ends there.
    pub(super) fn restored(&mut self, host: HostId, last: LogIndex) -> Verdict {
        let (applied, _) = self.machines[host.nth()];
        let there = last.raw().checked_sub(1).and_then(|nth| self.chain.get(nth as usize));
        match there.filter(|_| applied < last) {
            Some(digest) => {
                self.machines[host.nth()] = (last, *digest);
                Ok(())
            }
            None => broken(NAME, RULE, || {
                format!(
                    "server {host} is set to index {last} by a snapshot after it has applied up to {applied}"
                )
            }),
        }
    }

    pub(super) fn applied(
        &mut self,
        host: HostId,
        position: Position,
        entry: &Entry,
        commit: &CommitRule,
    ) -> Verdict {
        let (applied, digest) = self.machines[host.nth()];
        if position.index != applied.next() {
            return broken(NAME, RULE, || format!("server {host} applies {position} after index {applied}"));
        }
        if commit.at(position.index).is_none_or(|committed| committed.term != position.term) {
            return broken(NAME, RULE, || {
                format!("server {host} applies {position}, which is not committed")
            });
        }
        let mut link = [0; 24];
        link[..8].copy_from_slice(&digest.to_be_bytes());
        link[8..16].copy_from_slice(&position.term.raw().to_be_bytes());
        link[16..].copy_from_slice(&digest_entry(entry).to_be_bytes());
        let digest = xxh3_64(&link);
        match self.chain.get(applied.raw() as usize) {
            Some(known) if *known != digest => {
                return broken(NAME, RULE, || {
                    format!("server {host} applies another entry at {position} than others")
                });
            }
            Some(_) => {}
            None => self.chain.push(digest),
        }
        self.machines[host.nth()] = (position.index, digest);
        Ok(())
    }
}
