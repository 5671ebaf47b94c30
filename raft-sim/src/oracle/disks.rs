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
    // What is put there is an old copy, and proves nothing.
    copying: bool,
    // What the newest batch with a snapshot has left, and that of them up to which the disk has given up its batches.
    marked: Option<Box<Held>>,
    base: Option<Box<Held>>,
}

/// What a disk can not lose by forgetting its newest batches.
#[derive(Clone, Debug)]
struct Held {
    term: Term,
    vote: Option<Pair>,
    log: TermLog,
}

/// What all disks must hold.
#[derive(Clone, Debug)]
pub(super) struct DiskModels {
    models: Vec<DiskModel>,
    // Whose they are.
    pairs: Vec<Pair>,
    // Those of pairs that are no more, for what they have held.
    past: Vec<(Pair, DiskModel)>,
}

impl DiskModels {
    /// Empty disks.
    pub(super) fn new(pairs: &[Pair]) -> Self {
        DiskModels {
            models: vec![DiskModel::default(); pairs.len()],
            pairs: pairs.to_vec(),
            past: Vec::new(),
        }
    }

    /// This machine's.
    pub(super) fn of(&self, host: HostId) -> &DiskModel {
        &self.models[host.nth()]
    }

    /// Who the machines are now.
    pub(super) fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Every pair that ever was, with the disk that it has, or had.
    pub(super) fn all(&self) -> impl Iterator<Item = (Pair, &DiskModel)> {
        let past = self.past.iter().map(|(pair, model)| (*pair, model));
        self.pairs.iter().copied().zip(&self.models).chain(past)
    }

    /// A batch is on its way to the disk.
    pub(super) fn written(&mut self, host: HostId, write: &Write) {
        self.models[host.nth()].queue.push_back(write.clone());
    }

    /// The oldest batches are durable. A snapshot that takes the place of the log stands for what is `committed`.
    pub(super) fn synced(&mut self, host: HostId, batches: u32, committed: &TermLog) {
        let model = &mut self.models[host.nth()];
        for write in model.queue.drain(..model.queue.len().min(batches as usize)) {
            model.term = write.hard_state.term;
            model.vote = write.hard_state.vote;
            if let Some(compaction) = write.compaction.as_ref().filter(|compaction| compaction.discards) {
                model.log = committed.up_to(compaction.start.index);
            }
            for run in write.entries.iter() {
                model.log.put(run);
            }
            if write.compaction.is_some() {
                let (term, vote, log) = (model.term, model.vote, model.log.clone());
                model.marked = Some(Box::new(Held { term, vote, log }));
            }
        }
        // Only what is there after the whole sync counts: in between nobody could have relied on it.
        if model.log.last_term() == model.term && !model.copying {
            let last = model.log.last();
            match model.held.last_mut() {
                Some((term, held)) if *term == model.term => *held = last.max(*held),
                _ => model.held.push((model.term, last)),
            }
        }
    }

    /// The disk has given up its batches up to the newest durable one with a snapshot.
    pub(super) fn compacted(&mut self, host: HostId) {
        let model = &mut self.models[host.nth()];
        model.base = model.marked.clone();
    }

    /// The disk is empty, and belongs to another pair. What the pair before has held, it has held.
    pub(super) fn wiped(&mut self, host: HostId, pair: Pair) {
        let held = std::mem::take(&mut self.models[host.nth()]).held;
        let before = std::mem::replace(&mut self.pairs[host.nth()], pair);
        self.past.push((before, DiskModel { held, ..DiskModel::default() }));
    }

    /// The disk holds no more than these batches, behind those that it has given up.
    pub(super) fn rolled_back<'a>(
        &mut self,
        host: HostId,
        batches: impl Iterator<Item = &'a Write>,
        committed: &TermLog,
    ) {
        let DiskModel { held, base, .. } = std::mem::take(&mut self.models[host.nth()]);
        let model = &mut self.models[host.nth()];
        model.copying = true;
        if let Some(Held { term, vote, log }) = base.as_deref().cloned() {
            (model.term, model.vote, model.log) = (term, vote, log);
            (model.base, model.marked) = (base.clone(), base);
        }
        for write in batches {
            self.written(host, write);
            self.synced(host, 1, committed);
        }
        (self.models[host.nth()].held, self.models[host.nth()].copying) = (held, false);
    }

    /// All but a prefix of the outstanding batches are gone.
    pub(super) fn crashed(&mut self, host: HostId, keep: u32, committed: &TermLog) {
        self.synced(host, keep, committed);
        self.models[host.nth()].queue.clear();
    }
}

impl DiskModel {
    /// How many batches are on their way.
    pub(super) fn outstanding(&self) -> u64 {
        self.queue.len() as u64
    }

    /// Whether the entry (index, term) was durable here while the disk's term was `term`.
    pub(super) fn has_held(&self, index: LogIndex, term: Term) -> bool {
        let nth = self.held.partition_point(|(held, _)| *held < term);
        self.held.get(nth).is_some_and(|(held, last)| *held == term && index <= *last)
    }
}
