//! Histories: what clients asked of a register map and what they were told, and two judges of whether that is linearizable
//! (Herlihy and Wing 1990): whether every answered operation can be thought to have happened at one moment between its
//! invocation and its answer.
//!
//! ```text
//!     recorded by a simulated world ──┐               ┌──▶ by_witness: the log says the order, O(n log n)
//!                                     ├──▶ History ───┤
//!     by clients of a real cluster ───┘               └──▶ check: looks for an order, within a budget
//! ```
//!
//! Nothing here knows of the simulator. A history from outside needs one clock for all its clients, such as a counter that
//! every invocation and every answer draws a number from:
//!
//! ```
//! use raft_sim::history::{BUDGET, Call, History, Judgement, Operation, Outcome, Reply};
//!
//! let call = |client, operation, invoked, outcome| Call { client, key: 0, operation, invoked, outcome, position: None };
//! let mut history = History::default();
//! history.push(call(1, Operation::Write(7), 1, Outcome::Answered { at: 2, reply: Reply::Written }));
//! // Nobody knows what became of this one: it may have taken effect, may do so later, or never.
//! history.push(call(2, Operation::Write(8), 3, Outcome::Open));
//! history.push(call(1, Operation::Read, 4, Outcome::Answered { at: 5, reply: Reply::Value(Some(8)) }));
//! assert_eq!(history.check(BUDGET), Judgement::Linearizable);
//!
//! history.push(call(1, Operation::Read, 6, Outcome::Answered { at: 7, reply: Reply::Value(Some(7)) }));
//! let Judgement::Refused(contradiction) = history.check(BUDGET) else { unreachable!() };
//! println!("{contradiction}");
//! ```

mod explain;
mod memo;
mod register;
mod search;
mod witness;

use core::fmt;

pub use self::register::{Operation, Registers, Reply};
pub use self::witness::WitnessError;

/// What became of a call, as far as its client knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was answered.
    Answered {
        /// When. Not before it was invoked.
        at: u64,
        /// With what.
        reply: Reply,
    },
    /// It was refused: it certainly has no effect, now or later.
    Refused,
    /// Lost, given up, or not answered yet: it may have taken effect, may do so at any later time, or never.
    Open,
}

/// One operation of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// Whose it is. No rule depends on it: the calls of one client may overlap.
    pub client: u64,
    /// On which register.
    pub key: u64,
    /// What was asked.
    pub operation: Operation,
    /// When, on the clock that all calls share. Its unit is of no importance. What happened at the same moment counts as
    /// concurrent.
    pub invoked: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Where in the log it stands, if that is known: the witness. Of a read that did not go through the log, the last position
    /// whose effects it saw. The general checker does not look at it.
    pub position: Option<u64>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { client, key, operation, invoked, .. } = self;
        match self.outcome {
            Outcome::Answered { at, reply } => {
                write!(f, "[{invoked}, {at}] client {client}: {operation} of {key} -> {reply}")?;
            }
            Outcome::Refused => write!(f, "[{invoked}] client {client}: {operation} of {key}, refused")?,
            Outcome::Open => {
                write!(f, "[{invoked}, ?] client {client}: {operation} of {key}, nobody knows")?;
            }
        }
        self.position.map_or(Ok(()), |position| write!(f, " (position {position})"))
    }
}

/// What some clients asked and were told, of registers that were all empty at first. The order of the calls is of no
/// importance.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    /// The calls.
    pub calls: Vec<Call>,
}

/// A budget for [`History::check`] that suffices for the histories of usual runs: a few hundred megabytes of memory and a
/// few seconds at most.
pub const BUDGET: u64 = 20_000_000;

/// What the general checker says of a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// There is an order that explains every answer.
    Linearizable,
    /// There is none.
    Refused(Contradiction),
    /// The budget was used up before an order was found, or all were tried.
    Undecided {
        /// Of which register.
        key: u64,
    },
}

/// Answers that can not all be true, however the other calls went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contradiction {
    /// The register.
    pub key: u64,
    /// The calls whose answers contradict each other, by invocation. Small where the budget lasted to make it small.
    pub answers: Vec<Call>,
    /// Calls that may explain what those answers saw, and do not: their own answers, if any, play no part.
    pub others: Vec<Call>,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "these answers of register {} contradict each other:", self.key)?;
        for call in &self.answers {
            write!(f, "\n  {call}")?;
        }
        if !self.others.is_empty() {
            f.write_str("\nwhether or not these took effect:")?;
        }
        for call in &self.others {
            write!(f, "\n  {call}")?;
        }
        Ok(())
    }
}

impl History {
    /// Adds a call.
    pub fn push(&mut self, call: Call) {
        self.calls.push(call);
    }

    /// Whether the positions in the log explain every answer, in O(n log n).
    ///
    /// The order by position, reads behind what stands at theirs, has to give all replies, and has to agree with time: of
    /// two calls of which one was answered before the other was invoked, the other's position is not lower, and higher if it
    /// may write. Answered calls need a position, refused ones must not have one, and of the others those that have one
    /// took effect there. What is accepted is linearizable, wherever the positions come from.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn by_witness(&self) -> Result<(), Box<WitnessError>> {
        witness::check(&self.calls)
    }

    /// Whether there is any order that explains every answer, register by register (Wing and Gong 1993, with the memory of Lowe
    /// 2017).
    ///
    /// That can take exponential time and memory where many calls overlap or are open. `budget` limits both, for each
    /// register: it counts calls looked at and eight-byte words remembered.
    pub fn check(&self, budget: u64) -> Judgement {
        let mut order: Vec<&Call> = self.calls.iter().collect();
        // The sort is stable, so what is reported depends on the history alone.
        order.sort_by_key(|call| (call.key, call.invoked));
        let mut undecided = None;
        for calls in order.chunk_by(|one, other| one.key == other.key) {
            let calls: Vec<Call> = calls.iter().map(|call| **call).collect();
            let key = calls[0].key;
            let backwards =
                |call: &&Call| matches!(call.outcome, Outcome::Answered { at, .. } if at < call.invoked);
            if let Some(call) = calls.iter().find(backwards) {
                return Judgement::Refused(Contradiction { key, answers: vec![*call], others: Vec::new() });
            }
            match search::search(&calls, search::Held::Exactly(None), budget).0 {
                search::Found::Order => {}
                search::Found::None => return Judgement::Refused(explain::explain(&calls, budget)),
                search::Found::OutOfBudget => undecided = undecided.or(Some(key)),
            }
        }
        undecided.map_or(Judgement::Linearizable, |key| Judgement::Undecided { key })
    }
}
