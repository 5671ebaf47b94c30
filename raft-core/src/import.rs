//! A state that was made elsewhere takes the place of the state machine: by an entry in the log, so that all servers do so at the
//! same index. The bytes travel beside the log, and a server has them before the entry: a follower leaves an append out from the
//! first import on whose bytes it lacks, asks its embedder for them, and takes it when it is sent again. So what is in a log can
//! always be applied, and a majority that has the entry has the bytes.

use crate::entry::{Entry, Payload, Run, Runs};
use crate::identity::Pair;
use crate::marks::{Mark, reached};
use crate::node::Node;
use crate::position::{LogIndex, Position, RequestId};
use crate::ready::{Answer, Obtain, Outcome, Ready, Refusal};
use crate::role::Due;
use crate::snapshot::Import;

/// What a follower knows of states that its leader wants imported.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Imports {
    /// What the embedder was asked for last, and from whom it was to come.
    asked: Option<(Pair, Import)>,
    /// What it has got last.
    obtained: Option<Import>,
}

impl Node {
    /// Replaces the state machine, on a leader whose embedder has the bytes durable. Proposals that are still waiting are answered:
    /// what they change is replaced.
    #[cold]
    pub(crate) fn import(&mut self, id: RequestId, import: Import, ready: &mut Ready) {
        let room = self.log.last().index < LogIndex::MAX;
        if let Err(refusal) = self.admit_anything().and(if room { Ok(()) } else { Err(Refusal::Busy) }) {
            return ready.answers.push(Answer { id, outcome: Outcome::Refused(refusal) });
        }
        let entry = Entry::new(self.log_time(), Payload::Import(import));
        let bytes = entry.size();
        self.log.append(self.hard_state.term, entry);
        self.due = Due { send: crate::role::Recipients::All, ..self.due };
        let (term, index) = (self.hard_state.term, self.log.last().index);
        while let Some(pending) = self.proposals.pop_up_to(LogIndex::MAX) {
            let (first, last) =
                (Position { term, index: pending.first }, Position { term, index: pending.last });
            ready.answers.push(Answer { id: pending.id, outcome: Outcome::Replaced { first, last } });
        }
        self.proposals.push(crate::proposals::Pending { id, first: index, last: index, bytes });
    }

    /// The embedder has these bytes, durable.
    #[cold]
    pub(crate) fn obtained(&mut self, import: Import) {
        self.imports.obtained = Some(import);
    }

    /// What of these entries can be taken now: all before the first import whose bytes are not here. Asks for those.
    #[inline]
    pub(crate) fn before_import(&mut self, leader: Pair, entries: Runs, ready: &mut Ready) -> Runs {
        // Nearly always there is nothing to look for.
        if entries.iter().any(Run::is_special) {
            self.before_lacking(leader, entries, ready)
        } else {
            entries
        }
    }

    #[cold]
    fn before_lacking(&mut self, leader: Pair, entries: Runs, ready: &mut Ready) -> Runs {
        let Some((position, import)) = self.first_lacking(&entries) else { return entries };
        reached(Mark::ImportAwaited);
        if self.imports.asked != Some((leader, import)) {
            self.imports.asked = Some((leader, import));
            ready.obtain.push(Obtain { from: leader, import });
        }
        entries.up_to(position.index.previous())
    }

    fn first_lacking(&self, entries: &Runs) -> Option<(Position, Import)> {
        let mut imports = entries.iter().flat_map(|run| {
            run.entries().iter().enumerate().filter_map(|(nth, entry)| match entry.payload {
                Payload::Import(import) => {
                    let index = run.first().plus(nth as u64);
                    Some((Position { term: run.term(), index }, import))
                }
                _ => None,
            })
        });
        imports.find(|(position, import)| {
            let there = position.index <= self.commit || self.log.contains(*position);
            !there && self.imports.obtained != Some(*import)
        })
    }
}
