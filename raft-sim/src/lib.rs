//! A simulator for [`raft_core`]: whole clusters of the production node in one thread, under one seed, with every fault that a
//! network, a disk and a machine can have, watched by oracles at every step.
//!
//! One [`World`] holds machines, disks, network and clients. An [`Action`] is the one thing that can happen next, and
//! [`World::apply`] lets it happen. Everything else is a way to choose actions: the seeded [`Scheduler`] in virtual time, a list in
//! a file, a walk over [`World::enabled`]. The oracles judge every action; a broken rule is a [`Violation`].
//!
//! ```
//! use raft_sim::{Honest, Options, run};
//! let options = Options { nodes: Some(3), actions: 1_000, ..Options::default() };
//! let report = run(7, &options, Honest, &mut ());
//! assert_eq!(report.violation, None);
//! // The same seed is the same run, on any machine.
//! assert_eq!(run(7, &options, Honest, &mut ()), report);
//! ```
//!
//! Nothing here reads a clock, a random source or the environment for a run, no map is iterated whose order is not fixed, and
//! there is no floating point. Digests are taken over our own encoding, so they are equal in every build.

mod action;
mod campaign;
pub mod canary;
mod client;
mod columns;
#[cfg(feature = "commands")]
pub mod command;
mod cpu_time;
mod disk;
mod erased;
pub mod explore;
pub mod history;
mod host;
mod machine;
mod network;
mod oracle;
mod own;
mod picture;
mod plan;
mod random;
pub mod recorded;
mod replay;
mod replicated;
mod rig;
mod run;
mod schedule;
mod scheduler;
mod session;
mod settle;
mod shrink;
mod simulate;
mod state_machine;
mod subject;
mod swarm;
mod tally;
mod transcript;
mod until;
mod world;

pub use crate::action::{Action, HostId, HostSet, Link, PacketName, ParseActionError, Role, Wanted};
pub use crate::campaign::{Ended, Seeds, Summary, campaign};
pub use crate::client::Asked;
pub use crate::columns::Columns;
#[cfg(feature = "commands")]
pub use crate::command::main;
pub use crate::cpu_time::cpu_time_ms;
pub use crate::disk::{Disk, DiskError};
pub use crate::host::Host;
pub use crate::machine::{Machine, Snapshots};
pub use crate::network::Network;
pub use crate::oracle::{
    Demand, Duties, LogView, Need, Oracles, Seen, Standing, Step, TermLog, Verdict, Violation, Way,
};
pub use crate::own::Own;
pub use crate::picture::{Painter, Picture};
pub use crate::plan::{Mix, Options, Plan, Profile};
pub use crate::random::{Delay, Random, Spread};
pub use crate::replay::{Replayed, record, replay};
pub use crate::replicated::Replicated;
pub use crate::rig::{Honest, Rig};
pub use crate::run::{Report, plan, plan_for, run};
pub use crate::schedule::{Ending, Schedule, ScheduleError, ScheduleProblem, Shortened, Stage};
pub use crate::scheduler::{Scheduler, Watch};
pub use crate::session::Submission;
pub use crate::shrink::{Progress, ShrinkError, shrink};
pub use crate::simulate::{Finding, simulate};
pub use crate::state_machine::{At, StateMachine};
pub use crate::subject::Subject;
pub use crate::swarm::{Fault, Faults, Recurring};
pub use crate::tally::{Counts, RunDigest};
pub use crate::transcript::Transcript;
pub use crate::until::Until;
/// What [`At`] is made of: `raw()` of each is a number.
pub use raft_core::{LogIndex, LogTime};

pub use crate::world::{Applied, News, Offers, Setup, World};
