//! Log matching: an index and a term name one entry, and by induction all before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use raft_core::{Body, LogIndex, Membership, Payload, Position, Run, Term};

use super::{Step, Verdict, broken, digest_entry};
use crate::client;

pub(super) const NAME: &str = "log-matching";
const RULE: &str = "if two logs contain an entry with the same index and term, then the logs are identical in all entries up \
                    through the given index (Raft thesis figure 3.2)";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Slot {
    term: Term,
    // Unknown as long as the entry was only seen alone.
    previous: Option<Term>,
    digest: u64,
    command: Option<u64>,
}

/// (index, term) → (digest, term of the entry before), write-once.
#[derive(Clone, Debug, Default)]
pub(super) struct LogMatching {
    // By index: the entry of the greatest term seen there. Others are rare.
    newest: Vec<Slot>,
    older: BTreeMap<(LogIndex, Term), Slot>,
    /// Commands seen in a log for the first time since this was last emptied.
    pub(super) fresh: Vec<u64>,
    /// Configurations seen in a log for the first time, likewise.
    pub(super) configurations: Vec<(Position, Arc<Membership>)>,
}

impl LogMatching {
    pub(super) fn stepped(&mut self, step: &Step<'_>) -> Verdict {
        if let Some(write) = &step.ready.write {
            let mut previous = write.entries.first().and_then(|first| term_before(step, first));
            for run in write.entries.iter() {
                self.observe(previous, run)?;
                previous = Some(run.term());
            }
        }
        for packet in &step.ready.send {
            if let Body::Append { previous, entries, .. } = &packet.body {
                if entries.first().is_some_and(|first| first.previous() != previous.index) {
                    return broken(NAME, RULE, || format!("{} sends entries behind {previous}", step.pair));
                }
                // A leader that has forgotten a term, of what is committed, says 0, which only the founding entry has.
                let forgotten = previous.term == Term::ZERO
                    && LogIndex::new(1) < previous.index
                    && previous.index <= step.after.commit;
                let mut previous = (!forgotten).then_some(previous.term);
                for run in entries.iter() {
                    self.observe(previous, run)?;
                    previous = Some(run.term());
                }
            }
        }
        if let Some(runs) = &step.ready.apply {
            let mut previous = None;
            for run in runs.iter() {
                self.observe(previous, run)?;
                previous = Some(run.term());
            }
        }
        Ok(())
    }

    /// Takes note of entries that are in some log, behind one of term `previous`.
    pub(super) fn observe(&mut self, previous: Option<Term>, run: &Run) -> Verdict {
        let mut previous = previous;
        for (nth, entry) in run.entries().iter().enumerate() {
            let index = run.first().plus(nth as u64);
            let command = match &entry.payload {
                Payload::Command(bytes) => client::command_of(bytes),
                _ => None,
            };
            let slot = Slot { term: run.term(), previous, digest: digest_entry(entry), command };
            if let Payload::Membership(membership) = &entry.payload
                && self.at(Position { term: run.term(), index }).is_none()
            {
                let position = Position { term: run.term(), index };
                self.configurations.push((position, Arc::clone(membership)));
            }
            self.observe_one(index, slot)?;
            previous = Some(run.term());
        }
        Ok(())
    }

    fn observe_one(&mut self, index: LogIndex, slot: Slot) -> Verdict {
        let place = index.previous().raw() as usize;
        let length = self.newest.len();
        let known = match self.newest.get_mut(place) {
            Some(known) if known.term == slot.term => known,
            Some(newest) if newest.term < slot.term => {
                self.older.insert((index, newest.term), *newest);
                *newest = slot;
                self.fresh.extend(slot.command);
                return Ok(());
            }
            Some(_) => match self.older.entry((index, slot.term)) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(free) => {
                    free.insert(slot);
                    self.fresh.extend(slot.command);
                    return Ok(());
                }
            },
            None => {
                // A leader may send a new server an entry behind others that it has neither sent nor written yet.
                let unknown = Slot { term: Term::ZERO, previous: None, digest: 0, command: None };
                self.newest.resize(place.max(length), unknown);
                self.newest.push(slot);
                self.fresh.extend(slot.command);
                return Ok(());
            }
        };
        if known.digest != slot.digest {
            let term = slot.term;
            return broken(NAME, RULE, || format!("two different entries of term {term} at index {index}"));
        }
        match (known.previous, slot.previous) {
            (Some(one), Some(other)) if one != other => broken(NAME, RULE, || {
                let term = slot.term;
                format!(
                    "before the entry of term {term} at index {index} stands one of term {one} here and of term {other} there"
                )
            }),
            (None, Some(other)) => {
                known.previous = Some(other);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The client's command at this position, if an entry was seen there and is one.
    pub(super) fn command_at(&self, position: Position) -> Option<u64> {
        self.at(position)?.command
    }

    fn at(&self, position: Position) -> Option<&Slot> {
        let slot = self.newest.get(position.index.previous().raw() as usize)?;
        if slot.term == position.term {
            return Some(slot);
        }
        self.older.get(&(position.index, position.term))
    }
}

fn term_before(step: &Step<'_>, first: LogIndex) -> Option<Term> {
    if first.previous() == LogIndex::ZERO { Some(Term::ZERO) } else { step.log.term_at(first.previous()) }
}
