//! A log as the oracles remember it: which term each index has. Content is compared elsewhere, once per (index, term).

use raft_core::{LogIndex, Membership, Position, Run, Term};

/// Anything that can say which term an index has in its log.
pub trait LogView {
    /// The term of the entry at `index`; `None` behind the end.
    fn term_at(&self, index: LogIndex) -> Option<Term>;

    /// Where the configuration stands that its server uses, 0 where it has none; `None` where there is no server that uses one.
    fn in_force(&self) -> Option<LogIndex> {
        None
    }

    /// The configuration that its server uses; `None` where it has none, or there is no server that uses one.
    fn membership(&self) -> Option<&Membership> {
        None
    }

    /// What its server says stands right before its first entry; `None` where there is no server that says so.
    fn start(&self) -> Option<Position> {
        None
    }
}

/// The terms of a log, as where each begins. Small, because terms change rarely.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TermLog {
    starts: Vec<(LogIndex, Term)>,
    last: LogIndex,
}

impl TermLog {
    /// The terms in `log` up to `last`: a binary search per term, as terms never fall along a log.
    pub fn of(log: &dyn LogView, last: LogIndex) -> Self {
        Self::above(log, LogIndex::ZERO, last)
    }

    /// The terms in `log` from behind `base` up to `last`; what is said of `base` and before means nothing.
    pub fn above(log: &dyn LogView, base: LogIndex, last: LogIndex) -> Self {
        let mut starts = Vec::new();
        let mut end = last;
        while base < end {
            let Some(term) = log.term_at(end) else { break };
            let (mut low, mut high) = (base.raw() + 1, end.raw());
            while low < high {
                let middle = low + (high - low) / 2;
                if log.term_at(LogIndex::new(middle)) == Some(term) {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
            starts.push((LogIndex::new(low), term));
            end = LogIndex::new(low).previous();
        }
        starts.reverse();
        TermLog { starts, last }
    }

    /// The last index, 0 when empty.
    pub fn last(&self) -> LogIndex {
        self.last
    }

    /// The term of the last entry, 0 when empty.
    pub fn last_term(&self) -> Term {
        self.starts.last().map_or(Term::ZERO, |(_, term)| *term)
    }

    /// Where each term begins.
    pub fn starts(&self) -> &[(LogIndex, Term)] {
        &self.starts
    }

    /// The same up to `last`, which is in it.
    pub(super) fn up_to(&self, last: LogIndex) -> TermLog {
        let count = self.starts.partition_point(|(first, _)| *first <= last);
        TermLog { starts: self.starts[..count].to_vec(), last: last.min(self.last) }
    }

    /// One more entry of this term, which is not below the last one's.
    pub(super) fn push(&mut self, term: Term) {
        self.last = self.last.next();
        self.begin(self.last, term);
    }

    fn begin(&mut self, first: LogIndex, term: Term) {
        if self.starts.last().is_none_or(|(_, last)| *last != term) {
            self.starts.push((first, term));
        }
    }

    /// Becomes what `log` is now, that ends at `last`. From the end back to the first position that was known before, since a position
    /// names all that stands before it. What the server does not know any more is as it was, or, where that ended before, it is what
    /// is committed.
    pub(super) fn follow(&mut self, log: &dyn LogView, last: LogIndex, committed: &TermLog) {
        let mut fresh = Vec::new();
        let mut end = last;
        while end != LogIndex::ZERO {
            let Some(term) = log.term_at(end) else { break };
            if end <= self.last && self.term_at(end) == Some(term) {
                break;
            }
            let (mut low, mut high) = (1, end.raw());
            while low < high {
                let middle = low + (high - low) / 2;
                if log.term_at(LogIndex::new(middle)) == Some(term) {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
            fresh.push((LogIndex::new(low), term));
            end = LogIndex::new(low).previous();
        }
        let known = end <= self.last && (log.term_at(end).is_some() || committed.last < end);
        *self = if known { self.up_to(end) } else { committed.up_to(end) };
        for (first, term) in fresh.into_iter().rev() {
            self.begin(first, term);
        }
        self.last = last;
    }

    /// Puts a run where it belongs: what stood there and behind is cut off.
    pub fn put(&mut self, run: &Run) {
        self.last = self.last.min(run.first().previous());
        while self.starts.last().is_some_and(|(first, _)| run.first() <= *first) {
            self.starts.pop();
        }
        if self.starts.last().is_none_or(|(_, term)| *term != run.term()) {
            self.starts.push((run.first(), run.term()));
        }
        self.last = run.last();
    }
}

impl LogView for TermLog {
    fn term_at(&self, index: LogIndex) -> Option<Term> {
        if self.last < index {
            return None;
        }
        let start = self.starts.iter().rev().find(|(first, _)| *first <= index);
        start.map(|(_, term)| *term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{Entry, LogTime, Payload};

    fn run(term: u64, first: u64, len: u64) -> Run {
        let entries = (0..len).map(|_| Entry::new(LogTime::ZERO, Payload::Noop));
        Run::new(Term::new(term), LogIndex::new(first), entries).unwrap()
    }

    /// Goal: the short form says the same as the long one. Method: puts with truncations against a list of terms.
    #[test]
    fn term_log_is_like_a_list_of_terms() {
        let mut log = TermLog::default();
        let mut list: Vec<u64> = Vec::new();
        for (term, first, len) in
            [(0, 1, 1), (1, 2, 3), (1, 5, 2), (3, 4, 1), (4, 5, 3), (4, 6, 1), (7, 2, 2)]
        {
            log.put(&run(term, first, len));
            list.truncate(first as usize - 1);
            list.extend((0..len).map(|_| term));
            for index in 1..=10 {
                let expected = list.get(index - 1).map(|term| Term::new(*term));
                assert_eq!(log.term_at(LogIndex::new(index as u64)), expected);
            }
            assert_eq!(TermLog::of(&log, log.last()), log);
        }
    }

    /// A log of which only what stands from some index on is known.
    struct Forgetful(TermLog, u64);

    impl LogView for Forgetful {
        fn term_at(&self, index: LogIndex) -> Option<Term> {
            self.0.term_at(index).filter(|_| self.1 <= index.raw())
        }
    }

    /// Goal: a log is followed through everything that can happen to it. Method: it grows, is cut off and replaced, forgets its beginning, and
    /// begins anew behind a snapshot, beside the whole of it.
    #[test]
    fn log_is_followed() {
        let whole = |runs: &[(u64, u64, u64)]| {
            let mut log = TermLog::default();
            runs.iter().for_each(|(term, first, len)| log.put(&run(*term, *first, *len)));
            log
        };
        let committed = whole(&[(0, 1, 1), (1, 2, 2), (4, 4, 5)]);
        let mut followed = TermLog::default();
        for (log, known_from) in [
            (whole(&[(0, 1, 1)]), 1),
            (whole(&[(0, 1, 1), (1, 2, 3)]), 1),
            (whole(&[(0, 1, 1), (1, 2, 3), (2, 5, 2)]), 3),
            (whole(&[(0, 1, 1), (1, 2, 2), (3, 4, 1)]), 3),
            (whole(&[(0, 1, 1), (1, 2, 2), (3, 4, 1)]), 4),
            (whole(&[(0, 1, 1), (1, 2, 2), (4, 4, 3)]), 5),
            (whole(&[(0, 1, 1), (1, 2, 2), (4, 4, 5), (5, 9, 1)]), 8),
        ] {
            let last = log.last();
            followed.follow(&Forgetful(log.clone(), known_from), last, &committed);
            assert_eq!(followed, log);
        }
    }
}
