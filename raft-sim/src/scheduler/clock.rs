//! What the scheduler knows of a machine: its clock, and what is wrong with it.

use crate::plan::Profile;

/// A machine's clock shows `shown` at moment `since`, and goes on from there at `rate` / 1,024.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    rate: u64,
    since: u64,
    shown: u64,
    /// The tick up to which the node was told of the time, by its own clock.
    pub(super) told: u64,
    /// The tick of its own clock at which it wants to be woken.
    pub(super) due: Option<u64>,
    /// The moment for which an event to wake it stands in the queue.
    pub(super) queued: Option<u64>,
    pub(super) going: bool,
    pub(super) syncing: bool,
    /// Whether an event stands in the queue by which its disk gives up what it can.
    pub(super) compacting: bool,
    /// After how many effects of its next step it goes down.
    pub(super) doomed: Option<u32>,
    /// After how many effects of its next step it stands still, and for how long.
    pub(super) pausing: Option<(u32, u64)>,
    pub(super) paused_until: u64,
    /// The rate that its clock has when it does not stand still.
    pub(super) usual_rate: u64,
    pub(super) slow_disk_until: u64,
    pub(super) slow_machine_until: u64,
    /// Its disk stands still.
    pub(super) stalled: bool,
    /// Its disk will fail the next sync.
    pub(super) failing: bool,
    pub(super) full_until: u64,
    /// It will never be the server again that it was: its disk is damaged or wiped.
    pub(super) lost: bool,
}

impl Default for Machine {
    fn default() -> Self {
        Machine {
            rate: 1024,
            since: 0,
            shown: 0,
            told: 0,
            due: None,
            queued: None,
            going: false,
            syncing: false,
            compacting: false,
            doomed: None,
            pausing: None,
            paused_until: 0,
            usual_rate: 1024,
            slow_disk_until: 0,
            slow_machine_until: 0,
            stalled: false,
            failing: false,
            full_until: 0,
            lost: false,
        }
    }
}

impl Machine {
    fn shows(&self, now: u64) -> u64 {
        self.shown + now.saturating_sub(self.since) * self.rate / 1024
    }

    /// The tick of its own clock.
    pub(super) fn tick(&self, now: u64) -> u64 {
        self.shows(now) / Profile::TICK
    }

    /// From now on the clock goes at this rate; it jumps ahead by so much first.
    pub(super) fn set_clock(&mut self, now: u64, rate: u64, jump: u64) {
        self.shown = self.shows(now) + jump;
        (self.since, self.rate) = (now, rate);
        // When it is to be woken is another moment now.
        self.queued = None;
    }

    /// Whether the clock stands still.
    pub(super) fn stands_still(&self) -> bool {
        self.rate == 0
    }

    /// Since when it does what it does now.
    pub(super) fn since(&self) -> u64 {
        self.since
    }

    /// The first moment at which the clock shows this tick; `None` while it stands still before it.
    pub(super) fn moment_of(&self, tick: u64) -> Option<u64> {
        let missing = (tick * Profile::TICK).saturating_sub(self.shown);
        if missing == 0 {
            return Some(self.since);
        }
        (self.rate != 0).then(|| self.since + (missing * 1024).div_ceil(self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a node is woken at the first moment at which its clock shows the tick, and not before. Method: rates around the
    /// usual one, with a standstill and a jump between.
    #[test]
    fn moment_is_the_first_of_its_tick() {
        for rate in [900, 1000, 1024, 1100] {
            let mut machine = Machine::default();
            machine.set_clock(700, 0, 0);
            assert_eq!(machine.moment_of(5), None);
            machine.set_clock(5_000, rate, 100);
            for tick in 1..50 {
                let moment = machine.moment_of(tick).unwrap();
                assert_eq!(machine.tick(moment), tick, "rate {rate}");
                assert_eq!(machine.tick(moment - 1), tick - 1, "rate {rate}");
            }
        }
    }
}
