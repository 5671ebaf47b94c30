//! Fetches under way: at most one for each purpose, so their number is bounded by that of the servers.

use alloc::vec::Vec;

use crate::identity::Pair;
use crate::message::Fetched;
use crate::position::{FetchNumber, LogIndex};
use crate::ready::Fetch;
use crate::renaming::Renaming;
use crate::write::Recovered;

/// What entries are fetched for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Purpose {
    /// To replay them to the state machine after a restart.
    Apply,
    /// To send them to this lagging follower.
    Follower(Pair),
}

/// A fetch that is not answered yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Pending {
    number: FetchNumber,
    pub(crate) purpose: Purpose,
    pub(crate) first: LogIndex,
    pub(crate) last: LogIndex,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Fetches {
    last_number: FetchNumber,
    pending: Vec<Pending>,
}

/// What an answer to a fetch turns out to be.
pub(crate) enum Answered {
    /// The answer to this one.
    Now(Pending),
    /// It was answered before.
    Before,
    /// It was never asked for.
    Never,
}

impl Fetches {
    /// With other names, see [`Renaming`].
    pub(crate) fn rename(&mut self, names: &mut impl Renaming) {
        self.last_number = names.fetch(self.last_number);
        for pending in &mut self.pending {
            pending.number = names.fetch(pending.number);
            if let Purpose::Follower(pair) = &mut pending.purpose {
                *pair = names.pair(*pair);
            }
        }
    }

    pub(crate) fn is_under_way(&self, purpose: Purpose) -> bool {
        self.pending.iter().any(|pending| pending.purpose == purpose)
    }

    /// Begins a fetch of `first..=last`, unless one for this purpose is under way.
    pub(crate) fn begin(
        &mut self,
        purpose: Purpose,
        first: LogIndex,
        last: LogIndex,
        bytes_max: u64,
    ) -> Option<Fetch> {
        if self.is_under_way(purpose) {
            return None;
        }
        self.last_number = self.last_number.next();
        self.pending.push(Pending { number: self.last_number, purpose, first, last });
        Some(Fetch { number: self.last_number, first, last, bytes_max })
    }

    /// Takes out the fetch of that number.
    pub(crate) fn answered(&mut self, number: FetchNumber) -> Answered {
        match self.pending.iter().position(|pending| pending.number == number) {
            Some(nth) => Answered::Now(self.pending.remove(nth)),
            None if FetchNumber::ZERO < number && number <= self.last_number => Answered::Before,
            None => Answered::Never,
        }
    }
}

impl Recovered {
    /// Reads back what a node asks for: the answer to a fetch, for embedders that keep the whole log in memory, or read all of it to
    /// find a part. What has been [shortened](Self::shorten) is not here, and to ask for it has failed.
    pub fn read(&self, fetch: &Fetch) -> Fetched {
        if fetch.first <= self.start.index {
            return Fetched::Compacted;
        }
        let found = self.tail.slice(fetch.first, fetch.last);
        match found.first() {
            Some(first) if first == fetch.first => Fetched::Entries(found.prefix(fetch.bytes_max, u64::MAX)),
            _ => Fetched::Failed,
        }
    }
}
