//! Linearizability by witness: the log already says in which order all happened; that order only has to be held against the
//! replies and against time.

use super::register::{Registers, Reply};
use super::{Call, Outcome};

/// What the positions of a history do not explain.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WitnessError {
    /// A call was answered before it was invoked.
    #[error("answered before it was invoked: {call}")]
    Backwards {
        /// The call.
        call: Call,
    },
    /// A refused call is in the log.
    #[error("refused, and in the log: {call}")]
    RefusedInLog {
        /// The call.
        call: Call,
    },
    /// An answered call has no position.
    #[error("answered, and not in the log: {call}")]
    NoPosition {
        /// The call.
        call: Call,
    },
    /// Two calls that may write have one position.
    #[error("two at one position: {first}, and {second}")]
    SharedPosition {
        /// One of them.
        first: Call,
        /// The other.
        second: Call,
    },
    /// The log gives another reply.
    #[error("the log's reply is {expected}: {call}")]
    WrongReply {
        /// The call.
        call: Call,
        /// What replaying the log up to it replies.
        expected: Reply,
    },
    /// A call stands before another one that was answered before it was invoked.
    #[error("{before} was over before {after} began, and does not stand before it")]
    AgainstTime {
        /// The earlier call.
        before: Call,
        /// The later one, whose position is too low.
        after: Call,
    },
}

pub(super) fn check(calls: &[Call]) -> Result<(), Box<WitnessError>> {
    for call in calls {
        match (call.outcome, call.position) {
            (Outcome::Answered { at, .. }, _) if at < call.invoked => {
                return Err(Box::new(WitnessError::Backwards { call: *call }));
            }
            (Outcome::Answered { .. }, None) => {
                return Err(Box::new(WitnessError::NoPosition { call: *call }));
            }
            (Outcome::Refused, Some(_)) => return Err(Box::new(WitnessError::RefusedInLog { call: *call })),
            _ => {}
        }
    }
    replay(calls)?;
    agree_with_time(calls)
}

fn replay(calls: &[Call]) -> Result<(), Box<WitnessError>> {
    let mut log: Vec<(u64, bool, &Call)> = Vec::with_capacity(calls.len());
    log.extend(calls.iter().filter_map(|call| Some((call.position?, !call.operation.writes(), call))));
    // Reads stand behind what may write at their position, and it does not matter in which order.
    log.sort_by_key(|(position, reads, _)| (*position, *reads));
    let mut registers = Registers::default();
    let mut last_writer: Option<(u64, &Call)> = None;
    for (position, reads, call) in log {
        if !reads {
            if let Some((at, first)) = last_writer
                && at == position
            {
                return Err(Box::new(WitnessError::SharedPosition { first: *first, second: *call }));
            }
            last_writer = Some((position, call));
        }
        let expected = registers.apply(call.key, call.operation);
        match call.outcome {
            Outcome::Answered { reply, .. } if reply != expected => {
                return Err(Box::new(WitnessError::WrongReply { call: *call, expected }));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Goes through all invocations and answers in the order of time, and remembers the highest position that was answered.
fn agree_with_time(calls: &[Call]) -> Result<(), Box<WitnessError>> {
    let mut invocations: Vec<(u64, u64, &Call)> = Vec::with_capacity(calls.len());
    invocations.extend(calls.iter().filter_map(|call| Some((call.invoked, call.position?, call))));
    invocations.sort_by_key(|(invoked, ..)| *invoked);
    let mut answers: Vec<(u64, u64, &Call)> = Vec::with_capacity(calls.len());
    answers.extend(calls.iter().filter_map(|call| match call.outcome {
        Outcome::Answered { at, .. } => Some((at, call.position?, call)),
        _ => None,
    }));
    answers.sort_by_key(|(at, ..)| *at);
    let mut over = answers.into_iter().peekable();
    let mut highest: Option<(u64, &Call)> = None;
    for (invoked, position, after) in invocations {
        while let Some((_, of, before)) = over.next_if(|(at, ..)| *at < invoked) {
            if highest.is_none_or(|(highest, _)| highest < of) {
                highest = Some((of, before));
            }
        }
        let Some((highest, before)) = highest else { continue };
        if position < highest || position == highest && after.operation.writes() {
            return Err(Box::new(WitnessError::AgainstTime { before: *before, after: *after }));
        }
    }
    Ok(())
}
