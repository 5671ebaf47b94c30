//! A run as a list of actions, in a file that people read: what a failing run becomes, what is shortened, and what is kept as
//! a regression test.
//!
//! ```text
//! raft-sim schedule 1                  the format and its version, always the first line
//! # seed 26 of `raft-sim run`          comments, anywhere
//! servers 3
//! machines durable
//! config election_timeout_ticks 12     every setting of the nodes, one a line
//! …
//! expects leader-completeness          the oracle that reports this run
//! afterwards nothing                   what follows the last action
//! actions
//! tick 1 +12                           one action a line, to the end of the file
//! step 1
//! command 1 request 3 hex 0205         behind a command of a user's state machine: what it says
//! ```
//!
//! What is not known in a file of a known version is an error, never skipped; what a later program wants to add, it adds
//! with a new version.

pub(crate) mod settings;
mod text;

use crate::action::{Action, HostSet};
use crate::world::{Offers, Setup};

pub use self::text::{ScheduleError, ScheduleProblem};

/// A run, or a part of one, as a list of actions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// Comments, one a line, about where it comes from. They have no meaning.
    pub notes: Vec<String>,
    /// How its world is set up.
    pub setup: Setup,
    /// The [canary](crate::canary) that it needs to break a rule; `None`: the production core on honest disks.
    pub broken: Option<String>,
    /// The oracle that reports it. `None`: it breaks no rule.
    pub expects: Option<String>,
    /// What follows the last action.
    pub ending: Ending,
    /// How far it has been shortened, if it is the result of that.
    pub shortened: Option<Shortened>,
    /// What the commands of a user's state machine say, by the numbers of the requests in `actions`.
    pub commands: Offers,
    /// What happens, in order. What can not happen when its turn comes is passed over.
    pub actions: Vec<Action>,
}

/// What follows the last action of a schedule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ending {
    /// Nothing.
    #[default]
    Nothing,
    /// Faults stop among these machines, they come up, and within the time for it all has to be well there. The others do
    /// nothing any more.
    Settled(HostSet),
}

/// How far shortening has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shortened {
    /// The digest of the schedule that it began with.
    pub source: u64,
    /// Where it stands; `None`: it is done.
    pub stage: Option<Stage>,
}

/// The next thing that shortening tries. Together with the schedule so far this is all of its state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stage {
    /// How many times all passes were gone through.
    pub round: u32,
    /// Which pass.
    pub pass: u32,
    /// The size of the chunks that it tries to take out, where it has one.
    pub size: u32,
    /// How far the pass is.
    pub at: u32,
    /// Whether this round has changed anything.
    pub changed: bool,
}

impl Schedule {
    /// A digest of what happens in it: setup, what is broken, what is expected, and the actions.
    pub fn digest(&self) -> u64 {
        let bare = Schedule { notes: Vec::new(), shortened: None, ..self.clone() };
        xxhash_rust::xxh3::xxh3_64(bare.to_string().as_bytes())
    }
}
