//! What the core knows of its disk: which writes are outstanding, what of the log and of term and vote is durable, and what
//! is still to be written. Everything that promises durability asks here.

use alloc::collections::VecDeque;

use crate::marks::{Mark, reached};
use crate::position::{LogIndex, WriteNumber};
use crate::renaming::Renaming;
use crate::write::HardState;

/// A write that was issued and is not yet known to be durable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Outstanding {
    number: WriteNumber,
    /// Up to where the log, as it is now, will be durable when this write is.
    end: LogIndex,
    hard_state: HardState,
    /// Ticks since it was issued, at most those after which a disk counts as stalled.
    age: u32,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Disk {
    outstanding: VecDeque<Outstanding>,
    last_number: WriteNumber,
    /// What of the log and of term and vote has been issued. Invariant: durable ≤ issued.
    issued_end: LogIndex,
    issued_hard_state: HardState,
    durable_end: LogIndex,
    durable_hard_state: HardState,
    /// Whether the log begins elsewhere, or behind another snapshot, than the last write that was issued has said.
    compacted: bool,
    /// Whether a snapshot has taken the place of the whole log since the last write was issued.
    discards: bool,
}

impl Disk {
    /// A disk on which everything recovered is durable.
    pub(crate) const fn new(end: LogIndex, hard_state: HardState) -> Self {
        Disk {
            outstanding: VecDeque::new(),
            last_number: WriteNumber::ZERO,
            issued_end: end,
            issued_hard_state: hard_state,
            durable_end: end,
            durable_hard_state: hard_state,
            compacted: false,
            discards: false,
        }
    }

    /// With other names, see [`Renaming`].
    pub(crate) fn rename(&mut self, names: &mut impl Renaming) {
        for write in &mut self.outstanding {
            write.number = names.write(write.number);
            write.hard_state.rename(names);
            if names.is_timeless() {
                write.age = 0;
            }
        }
        self.last_number = names.write(self.last_number);
        self.issued_hard_state.rename(names);
        self.durable_hard_state.rename(names);
    }

    /// Up to where the log, as it is now, is durable.
    pub(crate) const fn durable_end(&self) -> LogIndex {
        self.durable_end
    }

    /// The term and vote that a restart would come back with at least.
    pub(crate) const fn durable_hard_state(&self) -> HardState {
        self.durable_hard_state
    }

    /// Up to where the log has been issued.
    pub(crate) const fn issued_end(&self) -> LogIndex {
        self.issued_end
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Whether there is something to write that has not been issued.
    pub(crate) fn is_behind(&self, end: LogIndex, hard_state: HardState) -> bool {
        self.issued_end < end || self.issued_hard_state != hard_state || self.compacted
    }

    /// Whether the next write has to say that the log begins elsewhere.
    pub(crate) const fn is_compacted(&self) -> bool {
        self.compacted
    }

    /// A snapshot stands for the beginning of the log.
    pub(crate) const fn compacted(&mut self) {
        self.compacted = true;
    }

    /// Whether it has to say that nothing of the log before it is kept.
    pub(crate) const fn discards(&self) -> bool {
        self.discards
    }

    /// Issues a write that leaves the log with this end, and with everything that it has not said of before.
    pub(crate) fn issue(&mut self, end: LogIndex, hard_state: HardState) -> WriteNumber {
        self.last_number = self.last_number.next();
        self.compacted = false;
        self.discards = false;
        self.issued_end = end;
        self.issued_hard_state = hard_state;
        self.outstanding.push_back(Outstanding { number: self.last_number, end, hard_state, age: 0 });
        self.last_number
    }

    /// The log was cut off at `from`. What is durable is clipped at once, and so is what every outstanding write will
    /// vouch for: else the old write of an entry would acknowledge the new entry at the same index (B18), as in
    /// write 1: [a b], cut at b, write 2: [c], `Synced(1)` ⇒ index 2 durable, though c is not.
    pub(crate) fn truncated(&mut self, from: LogIndex) {
        let end = from.previous();
        self.issued_end = self.issued_end.min(end);
        self.durable_end = self.durable_end.min(end);
        for write in &mut self.outstanding {
            if end < write.end {
                reached(Mark::OutstandingClipped);
            }
            write.end = write.end.min(end);
        }
    }

    /// A snapshot that ends at `end` has taken the place of the whole log, which is in it up to `kept`: so up to there what is
    /// durable stays so, and what lies behind is not before the next write is.
    pub(crate) fn restarted(&mut self, kept: LogIndex, end: LogIndex) {
        self.truncated(kept.next());
        self.issued_end = end;
        (self.compacted, self.discards) = (true, true);
    }

    /// The driver says that all writes up to `number` are durable. Returns false where no such write was ever issued.
    pub(crate) fn synced(&mut self, number: WriteNumber) -> bool {
        if self.last_number < number {
            return false;
        }
        while let Some(write) = self.outstanding.front()
            && write.number <= number
        {
            // Ends may fall from one write to the next only by truncation, which has clipped the earlier ones too.
            self.durable_end = self.durable_end.max(write.end);
            self.durable_hard_state = write.hard_state;
            self.outstanding.pop_front();
        }
        true
    }

    pub(crate) fn was_issued(&self, number: WriteNumber) -> bool {
        WriteNumber::ZERO < number && number <= self.last_number
    }

    /// Lets time pass. Ages stop at `stall_ticks`, so that nothing grows while a disk stands still.
    pub(crate) fn tick(&mut self, elapsed: u32, stall_ticks: u32) {
        for write in &mut self.outstanding {
            write.age = write.age.saturating_add(elapsed).min(stall_ticks);
        }
    }

    /// Whether the oldest outstanding write has waited for `stall_ticks`.
    pub(crate) fn is_stalled(&self, stall_ticks: u32) -> bool {
        self.stalls_in(stall_ticks) == Some(0)
    }

    /// In how many ticks the disk will count as stalled; `None` while nothing is outstanding.
    pub(crate) fn stalls_in(&self, stall_ticks: u32) -> Option<u32> {
        self.outstanding.front().map(|write| stall_ticks - write.age.min(stall_ticks))
    }

    /// What must hold; `Err` names what does not.
    pub(crate) fn check(&self, end: LogIndex, outstanding_max: u32) -> Result<(), &'static str> {
        if self.issued_end < self.durable_end || end < self.issued_end {
            return Err("durable ≤ issued ≤ end of the log");
        }
        if outstanding_max < self.outstanding.len() as u32 {
            return Err("no more writes are outstanding than the limit allows");
        }
        let mut before = (WriteNumber::ZERO, self.durable_end, self.durable_hard_state.term);
        for write in &self.outstanding {
            let now = (write.number, write.end, write.hard_state.term);
            if now.0 <= before.0 || now.1 < before.1 || now.2 < before.2 {
                return Err("outstanding writes rise in number, end and term");
            }
            before = now;
        }
        if self.issued_end < before.1 || self.last_number < before.0 {
            return Err("no outstanding write goes beyond what was issued");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! Goal: what is durable is what the writes say, at each boundary; and the check sees what is wrong. Method: a few writes by hand,
    //! and states with one thing put wrong.

    use super::*;
    use crate::position::Term;

    fn at(index: u64) -> LogIndex {
        LogIndex::new(index)
    }

    fn term(term: u64) -> HardState {
        HardState { term: Term::new(term), vote: None }
    }

    /// Durable up to 3; one write up to 5 and one up to 7 are outstanding.
    fn two_writes() -> Disk {
        let mut disk = Disk::new(at(3), term(1));
        disk.issue(at(5), term(1));
        disk.issue(at(7), term(2));
        disk
    }

    #[test]
    fn check_sees_what_is_wrong() {
        let sound = two_writes();
        assert_eq!(sound.check(at(7), 2), Ok(()));
        assert_eq!(sound.check(at(9), 3), Ok(()), "not all of the log is issued yet");
        let bounds = Err("durable ≤ issued ≤ end of the log");
        assert_eq!(sound.check(at(6), 2), bounds);
        assert_eq!(sound.check(at(7), 1), Err("no more writes are outstanding than the limit allows"));
        let broken = |breaks: fn(&mut Disk)| {
            let mut disk = two_writes();
            breaks(&mut disk);
            disk.check(at(9), 2)
        };
        assert_eq!(broken(|disk| disk.durable_end = at(8)), bounds);
        let order = Err("outstanding writes rise in number, end and term");
        assert_eq!(broken(|disk| disk.outstanding[1].number = disk.outstanding[0].number), order);
        assert_eq!(broken(|disk| disk.outstanding[1].end = at(4)), order);
        assert_eq!(broken(|disk| disk.outstanding[0].end = at(2)), order, "less than what is durable");
        assert_eq!(broken(|disk| disk.outstanding[1].hard_state = term(0)), order);
        assert_eq!(broken(|disk| disk.outstanding[1].end = disk.outstanding[0].end), Ok(()), "no entries");
        let beyond = Err("no outstanding write goes beyond what was issued");
        assert_eq!(broken(|disk| disk.issued_end = at(6)), beyond);
        assert_eq!(broken(|disk| disk.last_number = disk.outstanding[0].number), beyond);
    }
}
