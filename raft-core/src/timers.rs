//! Timers of a state machine: commands that the leader proposes by itself, whenever log time passes a multiple of an interval
//! ([`Config::timer_ticks`](crate::Config::timer_ticks)). So a state machine can do things in the course of time (expire, retry, bill)
//! that happen at the same place in the log on every server.
//!
//! A new leader goes on from the time of its last entry. Log time stands still without a leader, and what an old leader has not said of it
//! is not made up for: a state machine looks at the time of a timer, and does not count timers.

use crate::entry::{Entry, Payload};
use crate::marks::{Mark, reached};
use crate::node::Node;
use crate::position::{LogIndex, LogTime};
use crate::replication::INDEXES_KEPT;
use crate::role::{Due, Recipients, Role};

/// What a leader keeps in mind of timers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Timer {
    /// The multiple that is to be announced next; 0 where there is none any more.
    due: LogTime,
    /// The last one that was appended; 0 where there is none.
    last: LogIndex,
}

impl Timer {
    /// For a server without time: nothing is ever due.
    pub(crate) const fn stop(&mut self) {
        *self = Timer { due: LogTime::ZERO, last: LogIndex::ZERO };
    }

    /// For a leader whose last entry is of that time.
    pub(crate) const fn behind(time: LogTime, every: u64) -> Self {
        Timer { due: next_multiple(time, every), last: LogIndex::ZERO }
    }
}

const fn next_multiple(time: LogTime, every: u64) -> LogTime {
    match time.raw().checked_rem(every) {
        // Log time ends at its greatest value, and timers with it.
        Some(behind) if every - behind <= u64::MAX - time.raw() => time.plus(every - behind),
        _ => LogTime::ZERO,
    }
}

impl Node {
    /// In how many ticks a leader has to append a timer, 0 where it is overdue; `None` where it does not. It waits for the one before to
    /// commit, since they could pile up; and while it hands over, since the one who is to lead has to come to the end of the log.
    pub(crate) fn timer_due_in(&self) -> Option<u64> {
        let Role::Leader { since_entry, timer, .. } = self.role else { return None };
        let full = LogIndex::MAX.since(self.log.last().index) < INDEXES_KEPT;
        let waits = self.commit < timer.last || self.transferring().is_some();
        if timer.due == LogTime::ZERO || waits || full {
            return None;
        }
        Some(timer.due.raw().saturating_sub(self.log.last_time().plus(since_entry).raw()))
    }

    /// Appends a timer if one is due. Several multiples that were passed at once are one timer.
    #[cold]
    pub(crate) fn derive_timer(&mut self) {
        if self.timer_due_in() != Some(0) {
            return;
        }
        reached(Mark::TimerAppended);
        let time = self.log_time();
        self.log.append(self.hard_state.term, Entry::new(time, Payload::Timer));
        self.due = Due { send: Recipients::All, ..self.due };
        let (due, last) = (next_multiple(time, self.config.timer_ticks), self.log.last().index);
        if let Role::Leader { timer, .. } = &mut self.role {
            *timer = Timer { due, last };
        }
    }
}
