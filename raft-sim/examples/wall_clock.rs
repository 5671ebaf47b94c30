//! A state machine with a mistake: a lock that is held for a while, by the time of day. Every server looks at its own clock when it applies
//! the command, so the servers do not agree until when the lock is held. The simulator finds it, as `determinism`:
//!
//!     cargo run --release --example wall_clock -- run --seeds 0..10 --save failures
//!     cargo run --release --example wall_clock -- shrink failures/seed-0.schedule
//!     cargo run --release --example wall_clock -- replay failures/seed-0.short.schedule --columns
//!
//! What a state machine may look at is [`At::time`], the log time of the command, which is the same on every server.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use raft_sim::{At, Random, StateMachine};

/// How long the lock is held, in nanoseconds.
const HELD: u128 = 1_000_000_000;

/// Who holds the lock, and until when.
#[derive(Clone, Default, PartialEq, Debug)]
struct Lock {
    held: Option<(u8, u128)>,
}

/// Somebody wants the lock.
#[derive(Debug)]
struct Acquire {
    who: u8,
}

impl StateMachine for Lock {
    type Command = Acquire;
    /// Whether it was given.
    type Output = bool;

    fn draw(&self, random: &mut Random) -> Acquire {
        Acquire { who: random.below(3) as u8 }
    }

    fn encode(command: &Acquire) -> Vec<u8> {
        vec![command.who]
    }

    fn decode(bytes: &[u8]) -> Option<Acquire> {
        if let [who] = *bytes { Some(Acquire { who }) } else { None }
    }

    fn apply(&mut self, _at: At, Acquire { who }: Acquire) -> bool {
        // The mistake.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let is_free = self.held.is_none_or(|(_, until)| until <= now);
        if is_free {
            self.held = Some((who, now + HELD));
        }
        is_free
    }

    fn snapshot(&self) -> Vec<u8> {
        self.held.map_or_else(Vec::new, |(who, until)| [&[who][..], &until.to_be_bytes()].concat())
    }

    fn restore(bytes: &[u8]) -> Result<Self, String> {
        let Some((who, until)) = bytes.split_first() else { return Ok(Lock::default()) };
        let until = until.try_into().map_err(|_| "not a time".to_owned())?;
        Ok(Lock { held: Some((*who, u128::from_be_bytes(until))) })
    }
}

fn main() -> ExitCode {
    raft_sim::main::<Lock>()
}

#[cfg(test)]
mod tests {
    use raft_sim::{Options, simulate};

    use super::*;

    /// Goal: the mistake is found, shortened and drawn, every time in the same run. Method: twice.
    #[test]
    fn time_of_day_is_found() {
        let [one, two] = [(); 2].map(|()| simulate::<Lock>(0..10, &Options::default()).unwrap_err());
        assert_eq!(one.violation.oracle, "determinism");
        assert!(one.schedule.actions.len() < 25, "{one}");
        assert_eq!(one.schedule, two.schedule);
        let columns = one.to_string();
        assert!(
            columns.contains("asked Acquire { who: 0 }") && columns.contains("applied: Lock { held: Some(")
        );
    }
}
