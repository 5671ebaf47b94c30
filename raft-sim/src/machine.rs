//! The replicated state machine of a simulated server, and the snapshots of it that lie on its disk (Raft thesis chapter 5).
//!
//! A snapshot is the whole state, as it was right after one entry. It is made in two parts, by the server's own state machine or by what
//! another server sends: after the first a crash takes it, after the second it stays. What is left of one that was not finished is
//! thrown away when the server starts, as a driver does that finds no digest at the end of a file.
//!
//! Nothing here knows of the core, nor of who is to have which snapshot when.

use std::sync::Arc;

use raft_core::{Digest, LogTime, Position, SessionLimits, Sessions, encode_sessions};
use xxhash_rust::xxh3::xxh3_64;

use crate::history::Registers;
use crate::own::Own;
use crate::tally::RunDigest;

/// A state machine: what it has come to, and by which entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    pub(crate) registers: Registers,
    pub(crate) sessions: Sessions,
    /// That of whoever uses the simulator, if they have one.
    pub(crate) own: Own,
    /// The last entry that it was fed.
    pub(crate) last: Position,
    /// The log time of that.
    pub(crate) time: LogTime,
}

impl Machine {
    /// One that has not been fed anything, with a session table of these limits.
    pub(crate) fn new(limits: SessionLimits, own: Own) -> Self {
        Machine {
            registers: Registers::default(),
            sessions: Sessions::new(limits),
            own,
            last: Position::ZERO,
            time: LogTime::ZERO,
        }
    }

    /// How many bytes a snapshot of it has. Those of a user's state machine are not among them, and not in the digest: equal ones may have
    /// different bytes.
    pub(crate) fn size(&self) -> u64 {
        24 + 16 * self.registers.iter().count() as u64 + encode_sessions(&self.sessions).len() as u64
    }

    /// The digest of these bytes.
    pub(crate) fn digest(&self) -> Digest {
        let mut digest = RunDigest::default();
        digest.add(&[self.last.term.raw(), self.last.index.raw(), self.time.raw()]);
        for (key, value) in self.registers.iter() {
            digest.add(&[key, value]);
        }
        digest.add(&[xxh3_64(&encode_sessions(&self.sessions))]);
        Digest::new(u128::from(digest.value()))
    }
}

#[derive(Clone, Debug)]
struct Stored {
    state: Arc<Machine>,
    whole: bool,
}

/// The snapshots on one disk, whole and unfinished ones.
#[derive(Clone, Debug, Default)]
pub struct Snapshots(Vec<Stored>);

impl Snapshots {
    /// The first part of this state is there. What is whole already stays so.
    pub(crate) fn begin(&mut self, state: &Arc<Machine>) {
        if self.0.iter().all(|stored| stored.state.last != state.last) {
            self.0.push(Stored { state: Arc::clone(state), whole: false });
        }
    }

    /// All of it is there, and durable. False where its first part is gone.
    pub(crate) fn finish(&mut self, last: Position) -> bool {
        let begun = self.0.iter_mut().find(|stored| stored.state.last == last);
        begun.map(|stored| stored.whole = true).is_some()
    }

    /// The whole snapshot that ends there.
    pub(crate) fn whole(&self, last: Position) -> Option<&Arc<Machine>> {
        let stored = self.0.iter().find(|stored| stored.whole && stored.state.last == last);
        stored.map(|stored| &stored.state)
    }

    /// Whether the first part of it is there, or all.
    pub(crate) fn is_begun(&self, last: Position) -> bool {
        self.0.iter().any(|stored| stored.state.last == last)
    }

    /// Throws away what was not finished.
    pub fn recover(&mut self) {
        self.0.retain(|stored| stored.whole);
    }

    /// Deletes those that end before `last`, but for those that are used. Says how many.
    pub(crate) fn drop_before(&mut self, last: Position, is_used: impl Fn(Position) -> bool) -> usize {
        let before = self.0.len();
        self.0.retain(|stored| last.index <= stored.state.last.index || is_used(stored.state.last));
        before - self.0.len()
    }

    /// Whether there is one that ends before `last` and is not used.
    pub(crate) fn has_before(&self, last: Position, is_used: impl Fn(Position) -> bool) -> bool {
        self.0.iter().any(|stored| stored.state.last.index < last.index && !is_used(stored.state.last))
    }

    /// Loses the newest whole one. No honest disk does so.
    pub fn forget(&mut self) {
        let newest = self.0.iter().filter(|stored| stored.whole).map(|stored| stored.state.last.index).max();
        self.0.retain(|stored| Some(stored.state.last.index) != newest);
    }

    /// Everything is gone.
    pub fn wipe(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Machine {
        Machine::new(SessionLimits::default(), Own::default())
    }

    fn state(index: u64) -> Arc<Machine> {
        Arc::new(Machine { last: Position::new(1, index), ..empty() })
    }

    /// Goal: a finished snapshot stays, an unfinished one goes with the first start, and none is whole before it was finished. Method:
    /// one of each, and one begun twice.
    #[test]
    fn unfinished_snapshot_is_none() {
        let mut disk = Snapshots::default();
        disk.begin(&state(3));
        assert!(disk.finish(Position::new(1, 3)));
        disk.begin(&state(3));
        disk.begin(&state(5));
        assert!(disk.is_begun(Position::new(1, 5)) && disk.whole(Position::new(1, 5)).is_none());
        disk.recover();
        assert!(disk.whole(Position::new(1, 3)).is_some());
        assert!(!disk.is_begun(Position::new(1, 5)) && !disk.finish(Position::new(1, 5)));
    }

    /// Goal: older ones go, used ones and the one itself stay. Method: three, of which the oldest is used.
    #[test]
    fn older_snapshots_are_dropped() {
        let mut disk = Snapshots::default();
        for index in [1, 3, 5] {
            disk.begin(&state(index));
            assert!(disk.finish(Position::new(1, index)));
        }
        let is_used = |last: Position| last.index.raw() == 1;
        assert!(disk.has_before(Position::new(1, 5), is_used));
        assert_eq!(disk.drop_before(Position::new(1, 5), is_used), 1);
        assert!(!disk.has_before(Position::new(1, 5), is_used));
        assert!([1, 5].iter().all(|index| disk.whole(Position::new(1, *index)).is_some()));
    }

    /// Goal: the digest tells states apart. Method: each part of one changed.
    #[test]
    fn states_that_differ_have_other_digests() {
        let one = empty();
        let mut written = one.clone();
        written.registers.apply(1, crate::history::Operation::Write(1));
        let mut registered = one.clone();
        registered.sessions.register(raft_core::LogIndex::new(1), LogTime::ZERO).unwrap();
        let later = Machine { time: LogTime::new(1), ..one.clone() };
        let digests = [&one, &written, &registered, &later, &*state(1)].map(Machine::digest);
        assert!((0..5).all(|nth| !digests[..nth].contains(&digests[nth])));
    }
}
