//! One run: a seed and options in, counts and a digest out, or the rule that broke.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::oracle::Violation;
use crate::plan::{Options, Plan};
use crate::random::Random;
use crate::rig::{Honest, Rig};
use crate::scheduler::{Scheduler, Watch};
use crate::tally::Counts;

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What happened.
    pub counts: Counts,
    /// The digest of all that happened.
    pub digest: u64,
    /// The rule that broke, if one did; the run ended there.
    pub violation: Option<Violation>,
    /// Whether it ended before its end because whoever watched wanted to see no more. The rest is then that of a part.
    pub stopped: bool,
}

/// Draws the plan of this seed.
pub fn plan(seed: u64, options: &Options) -> Plan {
    plan_for(seed, options, &Honest)
}

/// Draws the plan of this seed for a run with this rig.
pub fn plan_for<R: Rig>(seed: u64, options: &Options, rig: &R) -> Plan {
    begin(seed, options, rig).0
}

/// The plan of a seed, and the choices that follow it.
fn begin<R: Rig>(seed: u64, options: &Options, rig: &R) -> (Plan, Random) {
    let mut random = Random::new(seed);
    let mut plan = Plan::draw(&mut random, options);
    rig.adapt(&mut plan);
    (plan, random)
}

/// Runs this seed. A panic, which no message may cause, is a broken rule like any other.
pub fn run<R: Rig, W: Watch<R>>(seed: u64, options: &Options, rig: R, watch: &mut W) -> Report {
    catch_unwind(AssertUnwindSafe(|| run_to_end(seed, options, rig, watch))).unwrap_or_else(|panic| Report {
        seed,
        counts: Counts::default(),
        digest: 0,
        violation: Some(of_panic(&*panic)),
        stopped: false,
    })
}

/// What a panic of a run breaks.
pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Violation {
    let rule = "step takes any message, in any order, without error or panic (the contract of the core)";
    Violation { oracle: "total", rule, what: format!("a panic: {}", text_of(panic)) }
}

/// What a panic says.
pub(crate) fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text")
}

fn run_to_end<R: Rig, W: Watch<R>>(seed: u64, options: &Options, rig: R, watch: &mut W) -> Report {
    let (plan, random) = begin(seed, options, &rig);
    let mut scheduler = match Scheduler::new(plan, random, rig, watch) {
        Ok(scheduler) => scheduler,
        Err(violation) => {
            let violation = Some(*violation);
            return Report { seed, counts: Counts::default(), digest: 0, violation, stopped: false };
        }
    };
    let violation = scheduler.run().err().map(|violation| *violation);
    let counts = Counts { ticks: scheduler.ticks(), ..scheduler.world.counts() };
    let digest = scheduler.world.digest();
    let stopped = violation.is_none() && watch.stops();
    Report { seed, counts, digest, violation, stopped }
}
