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
