//! Simulating a state machine of one's own from a test: many seeds, up to the first that breaks a rule, which is shortened and drawn.

use core::fmt;
use core::ops::ControlFlow;
use core::sync::atomic::AtomicBool;

use crate::campaign::{Ended, Seeds, Summary};
use crate::oracle::Violation;
use crate::own;
use crate::plan::Options;
use crate::replicated::Replicated;
use crate::run::run;
use crate::schedule::Schedule;
use crate::state_machine::StateMachine;
use crate::subject::Subject;

/// A run that breaks a rule. Its `Display` says which and shows the short run, with a column for every server.
#[derive(Clone, PartialEq, Eq)]
pub struct Finding {
    /// The first seed that does.
    pub seed: u64,
    /// The rule, and what was seen in the short run.
    pub violation: Violation,
    /// The run, as short as it gets. Where its actions alone do not show what is wrong, as with a panic in [`StateMachine::draw`], it is the
    /// whole run of the seed.
    pub schedule: Schedule,
    /// The picture of a short one.
    columns: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { seed, violation: Violation { oracle, rule, what }, schedule, columns } = self;
        write!(f, "seed {seed} breaks a rule")?;
        if columns.is_some() {
            write!(f, ", and so do {} actions", schedule.actions.len())?;
        }
        write!(f, "\n  oracle  {oracle}\n  rule    {rule}\n  seen    {what}\n")?;
        columns.as_ref().map_or(Ok(()), |columns| write!(f, "\n{columns}"))
    }
}

/// As [`Display`](fmt::Display): it is what a test prints that unwraps it.
impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::error::Error for Finding {}

/// Runs these seeds with clusters that replicate `M`, and says what happened in all of them.
///
/// ```
/// # use raft_sim::{At, Options, Random, StateMachine, simulate};
/// # #[derive(Clone, Default, PartialEq, Debug)]
/// # struct Counter(u64);
/// # impl StateMachine for Counter {
/// #     type Command = u8;
/// #     type Output = u64;
/// #     fn draw(&self, random: &mut Random) -> u8 { random.below(3) as u8 }
/// #     fn encode(command: &u8) -> Vec<u8> { vec![*command] }
/// #     fn decode(bytes: &[u8]) -> Option<u8> { if let [byte] = bytes { Some(*byte) } else { None } }
/// #     fn apply(&mut self, _at: At, command: u8) -> u64 { self.0 += u64::from(command); self.0 }
/// #     fn snapshot(&self) -> Vec<u8> { self.0.to_be_bytes().to_vec() }
/// #     fn restore(bytes: &[u8]) -> Result<Self, String> {
/// #         bytes.try_into().map(|bytes| Counter(u64::from_be_bytes(bytes))).map_err(|_| "not eight bytes".to_owned())
/// #     }
/// # }
/// let options = Options { actions: 1_000, ..Options::default() };
/// let summary = simulate::<Counter>(0..3, &options).unwrap();
/// assert!(summary.counts.committed > 0);
/// ```
///
/// # Errors
/// The first run that breaks a rule, shortened: that takes seconds, and longer with longer runs.
pub fn simulate<M: StateMachine>(
    seeds: core::ops::Range<u64>,
    options: &Options,
) -> Result<Summary, Box<Finding>> {
    own::hush();
    let rig = Replicated::<M>::default();
    let mut runs = Vec::new();
    let expected = Seeds::from((seeds.start, seeds.end)).count();
    for seed in seeds {
        let report = run(seed, options, rig.clone(), &mut ());
        runs.push(Ended { seed, digest: report.digest, counts: report.counts });
        if let Some(violation) = report.violation {
            return Err(Box::new(finding(seed, violation, options, &rig)));
        }
    }
    Ok(Summary::of(runs, expected))
}

/// The run of this seed, which broke a rule, made short.
fn finding<M: StateMachine>(
    seed: u64,
    violation: Violation,
    options: &Options,
    rig: &Replicated<M>,
) -> Finding {
    let (recorded, _) = Subject::record(rig, seed, options);
    let Ok(schedule) = Subject::shrink(rig, &recorded, &mut |_| ControlFlow::Continue(())) else {
        // Its actions alone do not show it: nobody asks for a command whose drawing panicked, and a state machine that is not the same
        // twice may draw something else.
        return Finding { seed, violation, schedule: recorded, columns: None };
    };
    let mut columns = Vec::new();
    let told = rig.tell(&schedule, true, &mut columns, &AtomicBool::new(false));
    let seen = told.ok().and_then(|replayed| replayed.violation);
    let columns = Some(String::from_utf8_lossy(&columns).into_owned());
    Finding { seed, violation: seen.unwrap_or(violation), schedule, columns }
}
