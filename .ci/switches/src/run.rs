//! Runs the tests with one mutant on.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What the tests say of a mutant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    Caught,
    /// They ran for ever.
    Timeout,
    /// It does not compile.
    Unviable,
    /// They pass.
    Missed,
}

pub struct Tests {
    /// The unit tests of the core.
    pub unit: PathBuf,
    /// All other tests of the protocol.
    pub together: PathBuf,
    /// The folder of the crate.
    pub folder: PathBuf,
    /// How long they may take: for ever, until that is known.
    pub patience: Duration,
}

/// Tests that tell many random stories: what finds a mutant by chance is nothing to rely on.
const LEFT_OUT: [&str; 2] =
    ["hostile_world::node_keeps_its_contract_in_any_story", "hostile_world::stories_are_eventful"];

/// What takes nine tenths of the time, and comes last.
const SLOW: [&str; 6] = [
    "encoding_properties",
    "figures::conflicts_cost_a_round_trip_a_term",
    "grouping",
    "log_properties",
    "membership::cluster_grows_is_replaced_and_shrinks",
    "sessions",
];

/// What runs so many times as long as all tests do without a mutant runs for ever; but not before so long.
const TIMES: u32 = 4;
const AT_LEAST: Duration = Duration::from_secs(10);

impl Tests {
    /// Without a mutant, to see whether they pass, and how long they take.
    pub fn pass(&mut self) -> bool {
        let began = Instant::now();
        let passed = self.run(None) == Outcome::Missed;
        self.patience = AT_LEAST.max(TIMES * began.elapsed());
        passed
    }

    /// With this mutant on, or none.
    pub fn run(&self, mutant: Option<usize>) -> Outcome {
        let skip =
            |names: &[&'static str]| names.iter().flat_map(|name| ["--skip", name]).collect::<Vec<_>>();
        let quick = [skip(&LEFT_OUT), skip(&SLOW)].concat();
        let slow = [skip(&LEFT_OUT), SLOW.to_vec()].concat();
        let stages = [(&self.together, quick), (&self.unit, Vec::new()), (&self.together, slow)];
        let outcomes = stages.iter().map(|(program, arguments)| self.stage(program, arguments, mutant));
        outcomes.into_iter().find(|outcome| *outcome != Outcome::Missed).unwrap_or(Outcome::Missed)
    }

    fn stage(&self, program: &PathBuf, arguments: &[&str], mutant: Option<usize>) -> Outcome {
        let mut command = Command::new(program);
        // The first failure is enough, which the test framework does not take for stable.
        command.args(["-Zunstable-options", "--fail-fast"]).args(arguments).current_dir(&self.folder);
        command.env("RUSTC_BOOTSTRAP", "1").env("RUST_BACKTRACE", "0");
        command.env("CARGO_MANIFEST_DIR", &self.folder).env_remove("MUTANT");
        command.envs(mutant.map(|number| ("MUTANT", number.to_string())));
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the tests can be run");
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                return if status.success() { Outcome::Missed } else { Outcome::Caught };
            }
            if self.patience < began.elapsed() {
                child.kill().expect("a child can be ended");
                child.wait().expect("a child that was ended has ended");
                return Outcome::Timeout;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
