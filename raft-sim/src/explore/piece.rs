//! Logs as the rules compare them: what a server has of one behind its snapshot, and what was committed, from the beginning. Where two have an
//! entry at the same index in hand they can be compared; what a snapshot stands for is committed, and known by its end and its configuration.

use std::fmt;
use std::sync::Arc;

use raft_core::{Entry, LogIndex, Membership, Payload, Position, Recovered, Renaming, Runs};

/// A piece of a log, with what is known of what stands before it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Piece {
    /// What stands right before it.
    pub(super) start: Position,
    pub(super) entries: Runs,
    /// The configuration at its end, with its index. `None` where it has none.
    pub(super) latest: Option<(LogIndex, Arc<Membership>)>,
}

/// By its positions: `…1.3 1.4 2.5`, where all up to the third entry is behind a snapshot.
impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.start != Position::ZERO {
            write!(f, "…{}", self.start)?;
        } else if self.entries.is_empty() {
            return f.write_str("nothing");
        }
        for (nth, (position, entry)) in self.entries.entries().enumerate() {
            let space = if nth == 0 && self.start == Position::ZERO { "" } else { " " };
            let what = match &entry.payload {
                Payload::Command(_) => " command",
                Payload::Membership(_) => " configuration",
                _ => "",
            };
            write!(f, "{space}{position}{what}")?;
        }
        Ok(())
    }
}

impl Piece {
    /// What a disk holds of a log up to an index.
    pub(super) fn of(log: &Recovered, up_to: LogIndex) -> Self {
        let latest = log.memberships().iter().rev().find(|(index, _)| *index <= up_to).cloned();
        Piece { start: log.start, entries: log.tail.slice(LogIndex::ZERO, up_to), latest }
    }

    pub(super) fn renamed(&self, names: &mut impl Renaming) -> Self {
        let latest = self.latest.as_ref();
        Piece {
            start: self.start,
            entries: self.entries.renamed(names),
            latest: latest.map(|(index, membership)| (*index, membership.renamed(names).into())),
        }
    }

    /// The position of its last entry.
    pub(super) fn last(&self) -> Position {
        self.entries.last_position().unwrap_or(self.start)
    }

    /// Whether a command of a client is in it.
    pub(super) fn has_command(&self) -> bool {
        self.entries.entries().any(|(_, entry)| matches!(entry.payload, Payload::Command(_)))
    }

    fn entry(&self, index: LogIndex) -> Option<&Entry> {
        self.entries.iter().find_map(|run| run.get(index))
    }

    /// The term at an index, as far as it is known.
    fn term_at(&self, index: LogIndex) -> Option<raft_core::Term> {
        if index == self.start.index {
            return Some(self.start.term);
        }
        self.entries.iter().find(|run| run.get(index).is_some()).map(raft_core::Run::term)
    }

    /// Whether both have the same at an index, as far as it is known.
    fn is_alike(&self, other: &Piece, index: LogIndex) -> bool {
        let (Some(one), Some(two)) = (self.term_at(index), other.term_at(index)) else { return true };
        let entries = self.entry(index).zip(other.entry(index));
        one == two && entries.is_none_or(|(one, two)| one == two)
    }

    /// Where both know what stands there.
    fn shared(&self, other: &Piece) -> impl DoubleEndedIterator<Item = LogIndex> + use<> {
        let first = self.start.index.max(other.start.index).raw();
        let last = self.last().index.min(other.last().index).raw();
        (first..=last).map(LogIndex::new)
    }

    /// The longer one of two pieces of what was committed, the first of which is known from the beginning; `None` where they are not pieces of
    /// one log.
    pub(super) fn joined(&self, other: &Piece) -> Option<Piece> {
        let fits = other.start.index <= self.last().index
            && self.shared(other).all(|index| self.is_alike(other, index));
        if !fits {
            return None;
        }
        let mut entries = self.entries.clone();
        for run in other.entries.slice(self.last().index.next(), LogIndex::MAX) {
            entries.push(run).ok()?;
        }
        // The configuration that the other one ends with is the last one up to there.
        let latest = latest_of(&entries, other.last().index);
        if other.latest != latest {
            return None;
        }
        if other.last().index <= self.last().index {
            return Some(self.clone());
        }
        Some(Piece { start: self.start, entries, latest })
    }

    /// Whether it begins with all that was committed.
    pub(super) fn holds(&self, committed: &Piece) -> bool {
        committed.last() <= self.last()
            && self.start.index <= committed.last().index
            && self.shared(committed).all(|index| self.is_alike(committed, index))
    }

    /// Whether two logs are equal up to each position that is in both (Raft thesis §3.5).
    pub(super) fn matches(&self, other: &Piece) -> bool {
        let common = self.shared(other).rev().find(|index| self.term_at(*index) == other.term_at(*index));
        common.is_none_or(|common| {
            let mut before = self.shared(other).take_while(|index| *index <= common);
            before.all(|index| self.is_alike(other, index))
        })
    }
}

/// The last configuration of a log from its beginning, up to an index.
fn latest_of(entries: &Runs, up_to: LogIndex) -> Option<(LogIndex, Arc<Membership>)> {
    let memberships = entries.entries().filter_map(|(position, entry)| match &entry.payload {
        Payload::Membership(membership) if position.index <= up_to => Some((position.index, membership)),
        _ => None,
    });
    memberships.last().map(|(index, membership)| (index, Arc::clone(membership)))
}

#[cfg(test)]
mod tests {
    use raft_core::{LogTime, Run, Term};

    use super::*;

    fn piece(start: (u64, u64), terms: &[u64]) -> Piece {
        let mut entries = Runs::new();
        for (nth, term) in terms.iter().enumerate() {
            let entry = Entry::new(LogTime::ZERO, Payload::Command(format!("{term}").into()));
            let first = LogIndex::new(start.1 + 1 + nth as u64);
            let run = Run::new(Term::new(*term), first, vec![entry]).expect("one entry");
            entries.push(run).expect("terms do not fall");
        }
        Piece { start: Position::new(start.0, start.1), entries, latest: None }
    }

    /// Goal: pieces behind a snapshot are compared where both have something, and the place right before one counts. Method: one log, and
    /// pieces of it and of others.
    #[test]
    fn pieces_are_compared_where_they_overlap() {
        let all = piece((0, 0), &[1, 1, 2, 3]);
        let (behind, other, other_start) =
            (piece((1, 2), &[2, 3]), piece((1, 2), &[2, 2]), piece((2, 2), &[2, 3]));
        assert!(behind.holds(&all) && all.matches(&behind) && behind.matches(&all));
        assert!(!other.holds(&all) && other.matches(&all), "it was cut off");
        assert!(
            !other_start.holds(&all) && !other_start.matches(&all),
            "equal entries behind different ones"
        );
        assert!(!piece((1, 2), &[2]).holds(&all), "it is too short");
        assert!(!piece((3, 5), &[3]).holds(&all), "nobody knows what stands between");
    }

    #[test]
    fn pieces_are_told_by_their_positions() {
        assert_eq!(piece((0, 0), &[1, 2]).to_string(), "1.1 command 2.2 command");
        assert_eq!(piece((1, 2), &[2]).to_string(), "…1.2 2.3 command");
        assert_eq!(piece((0, 0), &[]).to_string(), "nothing");
    }

    /// Goal: what was committed grows by what is behind it, and by nothing else.
    #[test]
    fn pieces_of_one_log_are_joined() {
        let all = piece((0, 0), &[1, 1, 2, 3]);
        let first = piece((0, 0), &[1, 1]);
        assert_eq!(first.joined(&piece((1, 1), &[1, 2, 3])), Some(all.clone()));
        assert_eq!(first.joined(&piece((1, 2), &[2, 3])), Some(all.clone()));
        assert_eq!(all.joined(&piece((1, 1), &[1])), Some(all.clone()));
        assert_eq!(all.joined(&piece((1, 1), &[2])), None);
        assert_eq!(first.joined(&piece((1, 3), &[])), None, "what stands between is not known");
        assert_eq!(first.joined(&piece((2, 2), &[2])), None);
        let invented = Piece {
            latest: Some((
                LogIndex::new(1),
                crate::explore::server::founding(&[crate::explore::names::pair_at(0)]).into(),
            )),
            ..piece((1, 2), &[2])
        };
        assert_eq!(first.joined(&invented), None, "nobody has such a configuration");
    }
}
