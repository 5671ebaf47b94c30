//! Goal: whatever a state machine of one's own does wrong is found, under the name of its rule, and a run of it can be kept, shortened and
//! run again. Method: one state machine with a mistake planted in each of its functions.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use raft_sim::{Action, At, Finding, Options, Random, Replicated, Schedule, StateMachine, Subject, simulate};

/// What is wrong with a [`Sum`].
const NOTHING: u8 = 0;
const STATE: u8 = 1;
const OUTPUT: u8 = 2;
const FORGETS: u8 = 3;
const REFUSES: u8 = 4;
const BECOMES_ODD: u8 = 5;
const READS_BACK_WRONG: u8 = 6;
const READS_BACK_NOTHING: u8 = 7;
const RESTORES_THE_LAST_ONLY: u8 = 8;
const PANICS_IN: u8 = 10;
const FUNCTIONS: [&str; 7] = ["draw", "encode", "decode", "apply", "snapshot", "restore", "check"];

/// Never twice the same, like the time of day.
static DIFFERENT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static LAST_SAVED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The sum of all commands, and the last one.
#[derive(Clone, Default, PartialEq, Debug)]
struct Sum<const WRONG: u8> {
    sum: u64,
    last: u64,
}

fn panic_in<const WRONG: u8>(function: &str) {
    if let Some(nth) = WRONG.checked_sub(PANICS_IN) {
        assert_ne!(FUNCTIONS[usize::from(nth)], function, "planted");
    }
}

impl<const WRONG: u8> StateMachine for Sum<WRONG> {
    type Command = u64;
    type Output = u64;

    fn draw(&self, random: &mut Random) -> u64 {
        panic_in::<WRONG>("draw");
        2 * random.between(1, 300)
    }

    fn encode(command: &u64) -> Vec<u8> {
        panic_in::<WRONG>("encode");
        command.to_be_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<u64> {
        panic_in::<WRONG>("decode");
        let command = u64::from_be_bytes(bytes.try_into().ok()?);
        match WRONG {
            READS_BACK_WRONG => Some(command ^ 2),
            READS_BACK_NOTHING => None,
            _ => Some(command),
        }
    }

    fn apply(&mut self, at: At, command: u64) -> u64 {
        panic_in::<WRONG>("apply");
        assert_ne!(at.index.raw(), 0);
        self.sum += command;
        self.last = if WRONG == STATE { DIFFERENT.fetch_add(1, Ordering::Relaxed) } else { command };
        if WRONG == OUTPUT { DIFFERENT.fetch_add(1, Ordering::Relaxed) } else { self.sum }
    }

    fn snapshot(&self) -> Vec<u8> {
        panic_in::<WRONG>("snapshot");
        let bytes = [self.sum.to_be_bytes(), self.last.to_be_bytes()].concat();
        LAST_SAVED.replace(bytes.clone());
        bytes
    }

    fn restore(bytes: &[u8]) -> Result<Self, String> {
        panic_in::<WRONG>("restore");
        let (words, []) = bytes.as_chunks::<8>() else { return Err("not words".to_owned()) };
        let [sum, last] = *words else { return Err("not two words".to_owned()) };
        let sum = u64::from_be_bytes(sum);
        match WRONG {
            FORGETS => Ok(Sum { sum, last: 0 }),
            REFUSES => Err("it will not".to_owned()),
            RESTORES_THE_LAST_ONLY if LAST_SAVED.with_borrow(|saved| saved != bytes) => {
                Ok(Sum { sum, last: 0 })
            }
            _ => Ok(Sum { sum, last: u64::from_be_bytes(last) }),
        }
    }

    fn check(&self) -> Result<(), String> {
        panic_in::<WRONG>("check");
        let bound = if WRONG == BECOMES_ODD { 500 } else { u64::MAX };
        if self.sum <= bound { Ok(()) } else { Err(format!("{} is too much", self.sum)) }
    }
}

fn found<const WRONG: u8>() -> Finding {
    *simulate::<Sum<WRONG>>(0..50, &Options::default()).unwrap_err()
}

fn assert_found<const WRONG: u8>(oracle: &str, seen: &str, most: usize) {
    let finding = found::<WRONG>();
    let Finding { violation, schedule, .. } = &finding;
    assert_eq!(violation.oracle, oracle, "{finding}");
    assert!(violation.what.contains(seen), "{finding}");
    assert!(schedule.actions.len() <= most, "{} actions\n{finding}", schedule.actions.len());
    assert_eq!(schedule.expects.as_deref(), Some(oracle));
    // The file alone shows it again.
    let again: Schedule = schedule.to_string().parse().unwrap();
    assert_eq!(again, *schedule);
    let replayed = Subject::replay(&Replicated::<Sum<WRONG>>::default(), &again);
    assert_eq!(replayed.violation.map(|violation| violation.oracle), Some(oracle));
    assert!(finding.to_string().contains(&format!("violated {oracle}: ")), "{finding}");
}

#[test]
fn sound_state_machine_is_clean() {
    let summary = simulate::<Sum<NOTHING>>(0..40, &Options::default()).unwrap();
    let counts = summary.counts;
    assert_eq!((summary.seeds, summary.stopped), (40, false));
    assert!(counts.committed > 4_000 && counts.crashes > 100 && counts.restored > 20, "{counts:?}");
    assert_eq!((counts.calls, counts.sessions, counts.reads), (0, 0, 0));
}

#[test]
fn states_that_differ_are_found() {
    assert_found::<STATE>("determinism", "and server ", 24);
}

#[test]
fn outputs_that_differ_are_found() {
    assert_found::<OUTPUT>("determinism", " puts out ", 24);
}

#[test]
fn snapshot_that_lacks_something_is_found() {
    assert_found::<FORGETS>("restore", "of which Sum { sum: ", 21);
    assert_found::<REFUSES>("restore", "nothing is restored: it will not", 21);
}

/// A restore that works in the moment in which the snapshot is taken, and not later.
#[test]
fn restore_that_fails_later_is_found() {
    assert_found::<RESTORES_THE_LAST_ONLY>("restore", ", restored up to ", 70);
}

#[test]
fn invariant_that_breaks_is_found() {
    assert_found::<BECOMES_ODD>("invariant", " is too much", 21);
}

#[test]
fn command_that_does_not_read_back_is_found() {
    assert_found::<READS_BACK_WRONG>("encoding", "does not read back", 2);
    assert_found::<READS_BACK_NOTHING>("encoding", "does not read back", 2);
}

/// What panics before there is a command is in no action: its seed shows it.
#[test]
fn panics_before_there_is_a_command_are_found_by_their_seed() {
    for (finding, function) in [(found::<{ PANICS_IN }>(), "draw"), (found::<{ PANICS_IN + 1 }>(), "encode")]
    {
        assert_eq!((finding.violation.oracle, finding.seed), ("panic", 0));
        let text = finding.to_string();
        assert!(text.contains(&format!("`{function}` panics: ")) && text.lines().count() < 10, "{text}");
        assert_eq!(finding.schedule.shortened, None);
    }
}

#[test]
fn campaign_is_the_same_with_any_number_of_threads() {
    let options = Options { actions: 3_000, ..Options::default() };
    let rig = Replicated::<Sum<NOTHING>>::default();
    let many =
        |jobs| Subject::campaign(&rig, (0, 12).into(), &options, jobs, &AtomicBool::new(false), &|_| {});
    assert_eq!(many(1), many(3));
}

/// A run of a seed is written down with what its commands say, and replays to the same digest without drawing any.
#[test]
fn recorded_run_replays_to_the_same_digest() {
    let options = Options { actions: 2_000, ..Options::default() };
    for seed in 0..5 {
        let rig = Replicated::<Sum<NOTHING>>::default();
        let (schedule, violation) = Subject::record(&rig, seed, &options);
        assert_eq!(violation, None);
        let is_command = |action: &&Action| matches!(action, Action::Command { .. });
        assert_eq!(schedule.actions.iter().filter(is_command).count(), schedule.commands.len());
        let again: Schedule = schedule.to_string().parse().unwrap();
        assert_eq!(again, schedule);
        let replayed = Subject::replay(&rig, &again);
        let run = raft_sim::run(seed, &options, rig, &mut ());
        assert_eq!((replayed.digest, replayed.impossible), (run.digest, 0));
    }
}

/// Of commands those are left in a short run that a new state machine draws, the smallest ones where any does; stopped anywhere and gone on
/// with, it ends the same.
#[test]
fn commands_become_small() {
    let Finding { schedule, seed, .. } = found::<FORGETS>();
    let rig = Replicated::<Sum<FORGETS>>::default();
    let smallest = rig.simple_commands().first().cloned().unwrap();
    assert!(schedule.commands.values().all(|says| *says == smallest), "{schedule}");
    let (mut stopped, _) = Subject::record(&rig, seed, &Options::default());
    while stopped.shortened.is_none_or(|shortened| shortened.stage.is_some()) {
        stopped = Subject::shrink(&rig, &stopped, &mut |progress| {
            if progress.tried % 7 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap()
        .to_string()
        .parse()
        .unwrap();
    }
    assert_eq!(stopped, schedule);
}

#[test]
fn panics_are_found_by_their_function() {
    assert_found::<{ PANICS_IN + 2 }>("panic", "`decode` panics: ", 2);
    assert_found::<{ PANICS_IN + 3 }>("panic", "`apply` panics: ", 20);
    assert_found::<{ PANICS_IN + 4 }>("panic", "`snapshot` panics: ", 22);
    assert_found::<{ PANICS_IN + 5 }>("panic", "`restore` panics: ", 22);
    assert_found::<{ PANICS_IN + 6 }>("panic", "`check` panics: ", 20);
}
