//! Proposals that wait for their answer: appended by this leader, in log order, not yet committed.

use alloc::collections::VecDeque;

use crate::position::{LogIndex, RequestId};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Pending {
    pub(crate) id: RequestId,
    /// The indexes of its first and last command.
    pub(crate) first: LogIndex,
    pub(crate) last: LogIndex,
    /// What its entries count towards the limit on what is uncommitted.
    pub(crate) bytes: u64,
}

/// The queue. Its size in bytes is a sum over what is in it, taken and given back in one place, so that it can not leak
/// (B27).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Proposals {
    queue: VecDeque<Pending>,
    bytes: u64,
}

impl Proposals {
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn push(&mut self, pending: Pending) {
        self.bytes += pending.bytes;
        self.queue.push_back(pending);
    }

    /// Takes out the oldest one, if its last entry is at or below `end`.
    pub(crate) fn pop_up_to(&mut self, end: LogIndex) -> Option<Pending> {
        let pending = {
            if end < self.queue.front()?.last {
                return None;
            }
            self.queue.pop_front()?
        };
        self.bytes -= pending.bytes;
        Some(pending)
    }

    /// What must hold; `Err` names what does not.
    pub(crate) fn check(&self, commit: LogIndex, last: LogIndex) -> Result<(), &'static str> {
        if self.queue.iter().map(|pending| pending.bytes).sum::<u64>() != self.bytes {
            return Err("the bytes of proposals are those of the proposals that wait");
        }
        let mut before = LogIndex::ZERO;
        for pending in &self.queue {
            if pending.first <= before || pending.last < pending.first || pending.last <= commit {
                return Err("proposals wait in log order, and none that is committed");
            }
            before = pending.last;
        }
        if last < before {
            return Err("proposals that wait are in the log");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! Goal: the check sees what is wrong. Method: a sound queue, and one with one thing put wrong.

    use super::*;

    fn at(index: u64) -> LogIndex {
        LogIndex::new(index)
    }

    /// Two proposals, of the entries 4 to 5 and 6, behind what is committed.
    fn two_wait() -> Proposals {
        let mut proposals = Proposals::default();
        for (id, first, last) in [(1, 4, 5), (2, 6, 6)] {
            proposals.push(Pending { id: RequestId::new(id), first: at(first), last: at(last), bytes: 10 });
        }
        proposals
    }

    #[test]
    fn check_sees_what_is_wrong() {
        assert_eq!(two_wait().check(at(3), at(6)), Ok(()));
        assert_eq!(two_wait().check(at(4), at(6)), Ok(()), "a part of the first is committed");
        let broken = |breaks: fn(&mut Proposals)| {
            let mut proposals = two_wait();
            breaks(&mut proposals);
            proposals.check(at(3), at(6))
        };
        let bytes = Err("the bytes of proposals are those of the proposals that wait");
        assert_eq!(broken(|proposals| proposals.bytes = 19), bytes);
        assert_eq!(broken(|proposals| proposals.bytes = 21), bytes);
        let order = Err("proposals wait in log order, and none that is committed");
        assert_eq!(broken(|proposals| proposals.queue[1].first = at(5)), order, "one overlaps the other");
        assert_eq!(broken(|proposals| proposals.queue[1].last = at(5)), order, "it ends before it begins");
        assert_eq!(two_wait().check(at(5), at(6)), order, "the first is committed");
        assert_eq!(two_wait().check(at(3), at(5)), Err("proposals that wait are in the log"));
    }
}
