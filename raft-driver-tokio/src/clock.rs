//! The clock, and how it becomes ticks. Nothing else in this crate asks what time it is.

use std::time::Duration;

/// A clock that never runs backwards and, where the system has one, goes on while the machine is suspended: a server that
/// wakes up after an hour has not heard of its leader for an hour (Linux: `CLOCK_BOOTTIME`). Elsewhere it is the monotonic
/// clock of the standard library, which on some systems stands still meanwhile; such a server notices its age only when
/// packets tell it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    #[cfg(target_os = "linux")]
    begin: Duration,
    #[cfg(not(target_os = "linux"))]
    begin: std::time::Instant,
}

#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    // Neither is ever negative on this clock.
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl Clock {
    #[cfg(target_os = "linux")]
    pub(crate) fn start() -> Self {
        Clock { begin: since_boot() }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn now(&self) -> Duration {
        since_boot().saturating_sub(self.begin)
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn start() -> Self {
        Clock { begin: std::time::Instant::now() }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn now(&self) -> Duration {
        self.begin.elapsed()
    }
}

/// Cuts time into ticks without losing the rest: what is too short for a tick counts towards the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    length: Duration,
    /// Up to here, since the clock was started, the node has been told.
    told: Duration,
}

impl Ticks {
    /// Ticks of `length`, which is not zero.
    pub(crate) fn new(length: Duration) -> Self {
        Ticks { length, told: Duration::ZERO }
    }

    /// How many whole ticks have passed up to `now` that the node was not told of; it is told with this.
    pub(crate) fn elapsed(&mut self, now: Duration) -> u32 {
        let passed = now.saturating_sub(self.told).as_nanos() / self.length.as_nanos();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        self.told = self.told.saturating_add(self.length.saturating_mul(passed));
        passed
    }

    /// How long after `now` it is until `ticks` more have passed than the node was told of.
    pub(crate) fn until(&self, ticks: u32, now: Duration) -> Duration {
        self.told.saturating_add(self.length.saturating_mul(ticks.max(1))).saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn ticks_lose_no_time_between_calls() {
        let mut ticks = Ticks::new(ms(10));
        assert_eq!(ticks.elapsed(ms(9)), 0);
        assert_eq!(ticks.elapsed(ms(19)), 1);
        assert_eq!(ticks.until(1, ms(19)), ms(1));
        assert_eq!(ticks.elapsed(ms(20)), 1);
        assert_eq!(ticks.until(3, ms(25)), ms(25));
        assert_eq!(ticks.elapsed(ms(3_600_020)), 360_000);
    }

    #[test]
    fn ticks_survive_a_clock_that_seems_to_run_backwards_and_one_that_jumps_far() {
        let mut ticks = Ticks::new(ms(1));
        assert_eq!(ticks.elapsed(ms(5)), 5);
        assert_eq!(ticks.elapsed(ms(3)), 0);
        assert_eq!(ticks.elapsed(Duration::from_secs(1 << 40)), u32::MAX);
    }
}
