//! How far a new server has come on its way to a vote (Raft thesis §4.2.1). A server that lacks much of the log would, with a
//! vote, keep entries from committing until it has them. So it is a learner first, and the leader replicates to it in
//! *rounds*: each brings all that the log held when the round began. Once a round takes less than an election timeout, the
//! rest will not take longer either, and it is given its vote.
//!
//! A data structure: it knows nothing of configurations.

use crate::position::LogIndex;

/// After so many rounds a server is not going to catch up.
const ROUNDS_MAX: u32 = 10;

/// And if a round takes so many election timeouts, neither.
const TIMEOUTS_MAX: u32 = 100;

/// The round of one server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Staging {
    /// Which round: 1, 2, 3 …
    round: u32,
    /// The end of the log when the round began.
    target: LogIndex,
    /// Ticks since then, at most those after which it is given up.
    elapsed: u32,
}

/// What is to become of a server that is staged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Staged {
    /// It has to go on.
    NotYet,
    /// It has caught up.
    CaughtUp,
    /// It will not catch up.
    TooSlow,
}

impl Staging {
    /// For a server without time: the round has just begun.
    pub(crate) const fn stop_clock(&mut self) {
        self.elapsed = 0;
    }

    pub(crate) const fn new(last: LogIndex) -> Self {
        Staging { round: 1, target: last, elapsed: 0 }
    }

    pub(crate) fn tick(&mut self, elapsed: u32, timeout: u32) {
        self.elapsed = self.elapsed.saturating_add(elapsed).min(timeout.saturating_mul(TIMEOUTS_MAX));
    }

    /// What has become of the round: the server has the log up to `matched`, which ends at `last`.
    pub(crate) fn look(&mut self, matched: LogIndex, last: LogIndex, timeout: u32) -> Staged {
        if matched < self.target {
            let too_long = timeout.saturating_mul(TIMEOUTS_MAX) <= self.elapsed;
            return if too_long { Staged::TooSlow } else { Staged::NotYet };
        }
        if self.elapsed < timeout {
            return Staged::CaughtUp;
        }
        if ROUNDS_MAX <= self.round {
            return Staged::TooSlow;
        }
        *self = Staging { round: self.round + 1, target: last, elapsed: 0 };
        Staged::NotYet
    }
}

#[cfg(test)]
mod tests {
    //! Goal: who keeps pace is let in, who does not is given up in bounded time.

    use super::*;

    const TIMEOUT: u32 = 10;

    fn at(index: u64) -> LogIndex {
        LogIndex::new(index)
    }

    #[test]
    fn quick_round_is_the_last() {
        let mut staging = Staging::new(at(100));
        staging.tick(50, TIMEOUT);
        assert_eq!(staging.look(at(99), at(200), TIMEOUT), Staged::NotYet);
        assert_eq!(
            staging.look(at(100), at(200), TIMEOUT),
            Staged::NotYet,
            "that took too long, and more has come"
        );
        staging.tick(9, TIMEOUT);
        assert_eq!(staging.look(at(199), at(300), TIMEOUT), Staged::NotYet);
        assert_eq!(staging.look(at(200), at(300), TIMEOUT), Staged::CaughtUp);
    }

    #[test]
    fn slow_server_is_given_up_after_ten_rounds() {
        let mut staging = Staging::new(at(0));
        for round in 1..=9 {
            staging.tick(TIMEOUT, TIMEOUT);
            assert_eq!(staging.look(at(round), at(round + 1), TIMEOUT), Staged::NotYet, "round {round}");
        }
        staging.tick(TIMEOUT, TIMEOUT);
        assert_eq!(staging.look(at(10), at(11), TIMEOUT), Staged::TooSlow);
    }

    #[test]
    fn silent_server_is_given_up_in_time() {
        let mut staging = Staging::new(at(5));
        staging.tick(999, TIMEOUT);
        assert_eq!(staging.look(at(0), at(5), TIMEOUT), Staged::NotYet);
        staging.tick(u32::MAX, TIMEOUT);
        assert_eq!(staging.look(at(0), at(5), TIMEOUT), Staged::TooSlow);
    }
}
