//! A state that was made elsewhere takes the place of the state machine: by an entry in the log, so that all servers do so at the
//! same index. The bytes travel beside the log, and a server has them before the entry: a follower leaves an append out from the
//! first import on whose bytes it lacks, asks its embedder for them, and takes it when it is sent again. So what is in a log can
//! always be applied, and a majority that has the entry has the bytes.

use crate::entry::{Entry, Payload, Run, Runs};
use crate::identity::Pair;
use crate::marks::{Mark, reached};
use crate::node::Node;
use crate::position::{LogIndex, Position, RequestId};
use crate::proposals::Pending;
use crate::ready::{Answer, Obtain, Outcome, Ready};
use crate::renaming::Renaming;
use crate::role::{Due, Recipients};
use crate::snapshot::Import;

/// What a follower knows of states that its leader wants imported.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Imports {
    /// What the embedder was asked for last, and from whom it was to come.
    asked: Option<(Pair, Import)>,
    /// What it has got last.
    obtained: Option<Import>,
}

impl Imports {
    /// With other names, see [`Renaming`].
    pub(crate) fn rename(&mut self, names: &mut impl Renaming) {
        if let Some((from, _)) = &mut self.asked {
            *from = names.pair(*from);
        }
    }
}

impl Node {
    /// Replaces the state machine, on a leader whose embedder has the bytes durable. Proposals that are still waiting are answered:
    /// what they change is replaced.
    #[cold]
    pub(crate) fn import(&mut self, id: RequestId, import: Import, ready: &mut Ready) {
        let bytes = Entry::new(self.log.last_time(), Payload::Import(import)).size();
        if let Err(refusal) = self.admit_anything().and_then(|()| self.admit_bytes(bytes, 1)) {
            return ready.answers.push(Answer { id, outcome: Outcome::Refused(refusal) });
        }
        let entry = Entry::new(self.log_time(), Payload::Import(import));
        self.log.append(self.hard_state.term, entry);
        self.due = Due { send: Recipients::All, ..self.due };
        let (term, index) = (self.hard_state.term, self.log.last().index);
        while let Some(pending) = self.proposals.pop_up_to(LogIndex::MAX) {
            let (first, last) =
                (Position { term, index: pending.first }, Position { term, index: pending.last });
            ready.answers.push(Answer { id: pending.id, outcome: Outcome::Replaced { first, last } });
        }
        let replaced = |first, last| Outcome::Replaced { first, last };
        self.answer_taken(LogIndex::MAX, term, replaced, ready);
        self.proposals.push(Pending { id, first: index, last: index, bytes });
    }

    /// The embedder has these bytes, durable. Of interest are only those that were asked for last: others may be gone again when they
    /// are needed.
    #[cold]
    pub(crate) fn obtained(&mut self, import: Import) {
        if self.imports.asked.is_some_and(|(_, asked)| asked == import) {
            self.imports.obtained = Some(import);
        }
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
        let (first, second) = {
            let mut new = self.new_imports(&entries);
            (new.next(), new.next())
        };
        let Some((index, import)) = first else { return entries };
        if self.imports.obtained == Some(import) {
            // It goes into the log now. Its bytes may be deleted when the log begins behind it, and so have to be asked for again if the
            // same state is imported again. A second one in the same append waits for the next.
            self.imports = Imports::default();
            return match second {
                Some((index, _)) => entries.up_to(index.previous()),
                None => entries,
            };
        }
        reached(Mark::ImportAwaited);
        if self.imports.asked != Some((leader, import)) {
            self.imports.asked = Some((leader, import));
            ready.obtain.push(Obtain { from: leader, import });
        }
        entries.up_to(index.previous())
    }

    /// The imports among these entries that are not in the log: from the first entry on that is not there, none of them is, whatever
    /// a leader says that contradicts itself.
    fn new_imports(&self, entries: &Runs) -> impl Iterator<Item = (LogIndex, Import)> {
        let is_there = |position: Position| position.index <= self.commit || self.log.contains(position);
        let new = entries.entries().skip_while(move |(position, _)| is_there(*position));
        new.filter_map(|(position, entry)| match entry.payload {
            Payload::Import(import) => Some((position.index, import)),
            _ => None,
        })
    }
}
