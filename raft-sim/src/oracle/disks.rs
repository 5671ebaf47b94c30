//! What each disk must hold, by the contract alone: batches apply in order; what is synced stays; of the rest a crash keeps a
//! prefix. The simulated disks are not asked, so a broken one differs from this model.

use std::collections::VecDeque;

use raft_core::{LogIndex, Pair, Term, Write};

use super::term_log::TermLog;
use crate::action::HostId;

/// What one disk must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct DiskModel {
    pub(super) term: Term,
    pub(super) vote: Option<Pair>,
    pub(super) log: TermLog,
    // For each term of this disk the last index of that term that was durable while the disk's term was that term. Terms
    // and, within a term, indexes only grow.
    held: Vec<(Term, LogIndex)>,
    queue: VecDeque<Write>,
}

/// What all disks must hold.
#[derive(Clone, Debug)]
pub(super) struct DiskModels(Vec<DiskModel>);

impl DiskModels {
    /// Empty disks.
    pub(super) fn new(hosts: usize) -> Self {
        DiskModels(vec![DiskModel::default(); hosts])
    }

    /// This machine's.
    pub(super) fn of(&self, host: HostId) -> &DiskModel {
        &self.0[host.nth()]
    }

    /// Every machine's.
    pub(super) fn all(&self) -> impl Iterator<Item = (HostId, &DiskModel)> {
        self.0.iter().enumerate().map(|(nth, model)| (HostId::at(nth), model))
    }

    /// A batch is on its way to the disk.
    pub(super) fn written(&mut self, host: HostId, write: &Write) {
        self.0[host.nth()].queue.push_back(write.clone());
    }

    /// The oldest batches are durable.
    pub(super) fn synced(&mut self, host: HostId, batches: u32) {
        let model = &mut self.0[host.nth()];
        for write in model.queue.drain(..model.queue.len().min(batches as usize)) {
            model.term = write.hard_state.term;
            model.vote = write.hard_state.vote;
            for run in write.entries.iter() {
                model.log.put(run);
            }
        }
        // Only what is there after the whole sync counts: in between nobody could have relied on it.
        if model.log.last_term() == model.term {
            let last = model.log.last();
            match model.held.last_mut() {
                Some((term, held)) if *term == model.term => *held = last.max(*held),
                _ => model.held.push((model.term, last)),
            }
        }
    }

    /// All but a prefix of the outstanding batches are gone.
    pub(super) fn crashed(&mut self, host: HostId, keep: u32) {
        self.synced(host, keep);
        self.0[host.nth()].queue.clear();
    }
}

impl DiskModel {
    /// Whether the entry (index, term) was durable here while the disk's term was `term`.
    pub(super) fn has_held(&self, index: LogIndex, term: Term) -> bool {
        let nth = self.held.partition_point(|(held, _)| *held < term);
        self.held.get(nth).is_some_and(|(held, last)| *held == term && index <= *last)
    }
}
