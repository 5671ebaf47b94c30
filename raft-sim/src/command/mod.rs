//! The command line: of `raft-sim` itself, and of a program that simulates a state machine of one's own. The last line on stdout is the verdict;
//! nothing on stdout depends on time or machine, unless asked for.

mod canaries;
mod explore;
mod failure;
mod hunts;
mod merge;
mod program;
mod read;
mod recording;
mod replay;
mod report;
mod run;
mod schedule;
mod shrink;
mod stop;

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use self::failure::{Failure, Out};
use self::program::Program;
use self::stop::Stop;
use crate::plan::{Mix, Options};
use crate::replicated::Replicated;
use crate::state_machine::StateMachine;

/// Exit codes, alike for all commands; that for wrong usage is the command line parser's own. Who was stopped by a signal exits with
/// 128 and its number.
const VIOLATION: u8 = 1;
const USAGE: u8 = 2;
const UNFINISHED: u8 = 3;

#[derive(Parser)]
#[command(name = "raft-sim", version, about = "Simulated Raft clusters under one seed, watched by oracles")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Runs(Runs),
    /// Search all states of a small cluster
    Explore(explore::Explore),
    /// Break disks, networks, drivers and the core on purpose, and see that the right oracle reports each
    Canaries(canaries::Canaries),
}

/// The command line of a program that simulates a state machine.
#[derive(Parser)]
#[command(
    about = "Simulated Raft clusters that replicate a state machine, under one seed, watched by oracles"
)]
struct Own {
    #[command(subcommand)]
    command: Runs,
}

/// What can be done with runs, whatever is replicated in them.
#[derive(Subcommand)]
enum Runs {
    /// Run many seeds and report what happened in all of them
    Run(run::Run),
    /// Put the reports of all shards of a campaign together
    Merge(merge::Merge),
    /// Print one run as text, of a seed or of a file, one line an action; its last line is its digest
    Replay(replay::Replay),
    /// Shorten a run that breaks a rule, and make a test of it
    Shrink(shrink::Shrink),
}

/// What sets up a run besides its seed.
#[derive(Args, Clone, Copy, PartialEq, Eq)]
struct RunOptions {
    /// How many servers, 1 to 9; without it each seed draws its own number
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: Option<u8>,
    /// How many actions of a run before its faults stop; without it 10,000, or 25,000 in a swarm, with changes or with leases
    #[arg(
        long,
        default_value = "10000",
        default_value_ifs = [
            ("profile", "swarm", "25000"),
            ("profile", "changes", "25000"),
            ("profile", "leases", "25000"),
        ],
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    actions: u64,
    /// Which faults: the usual ones; in each run its own subset of all; or such that no Raft survives
    #[arg(long, default_value = "default", value_parser = parse_mix)]
    profile: Mix,
}

impl RunOptions {
    fn options(self) -> Options {
        Options { nodes: self.nodes, actions: self.actions, mix: self.profile }
    }

    /// The options as one would type them, where they are not the usual ones.
    fn typed(self) -> String {
        let nodes = self.nodes.map_or_else(String::new, |nodes| format!(" --nodes {nodes}"));
        let usual = self.actions == self.profile.actions();
        let actions = if usual { String::new() } else { format!(" --actions {}", self.actions) };
        let usual = self.profile == Mix::Default;
        let profile = if usual { String::new() } else { format!(" --profile {}", self.profile.name()) };
        nodes + &actions + &profile
    }
}

fn parse_mix(text: &str) -> Result<Mix, String> {
    Mix::named(text).ok_or_else(|| "one of default, swarm, changes, leases, hopeless".to_owned())
}

/// A half-open range `A..B`.
fn parse_range(text: &str) -> Result<(u64, u64), String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
    let (from, to) = text.split_once("..").ok_or("a range is written A..B")?;
    let (from, to) = (number(from)?, number(to)?);
    if to < from {
        return Err(format!("a range goes upwards, as {to}..{from}"));
    }
    if from < to { Ok((from, to)) } else { Err("the range is empty; B is not in it".to_owned()) }
}

/// The I-th of N parts, `I/N`.
fn parse_shard(text: &str) -> Result<(u64, u64), String> {
    let parts = text.split_once('/').and_then(|(nth, of)| Some((nth.parse().ok()?, of.parse().ok()?)));
    match parts {
        Some((nth, of)) if (1..=of).contains(&nth) => Ok((nth, of)),
        _ => Err("a shard is written I/N, with I from 1 to N".to_owned()),
    }
}

/// The command `raft-sim`: what it was told by its arguments, to its exit code.
pub fn raft_sim() -> ExitCode {
    keep_quiet();
    let code = match Cli::try_parse() {
        Ok(Cli { command }) => execute(|out| {
            let program = Program::raft_sim();
            match command {
                Command::Runs(runs) => runs.execute(&program, out),
                Command::Explore(explore) => explore.execute(out, &Stop::on_signals()?),
                Command::Canaries(canaries) => canaries.execute(out, &Stop::on_signals()?),
            }
        }),
        Err(said) => help(&said),
    };
    code.unwrap_or_else(|failure| failure.end())
}

/// The whole `main` of a program that simulates a state machine: with the commands `run`, `merge`, `replay` and `shrink` of `raft-sim`, and
/// with their exit codes, for clusters that replicate `M`.
///
/// ```text
/// fn main() -> std::process::ExitCode {
///     raft_sim::main::<Bank>()
/// }
/// ```
pub fn main<M: StateMachine>() -> ExitCode {
    keep_quiet();
    let rig = Replicated::<M>::default();
    let program = Program::of(&rig);
    let command = Own::command().bin_name(program.name.clone());
    let parsed = command.try_get_matches().and_then(|matches| Own::from_arg_matches(&matches));
    let code = match parsed {
        Ok(Own { command }) => execute(|out| command.execute(&program, out)),
        Err(said) => help(&said),
    };
    code.unwrap_or_else(|failure| failure.end())
}

/// A panic inside a run is reported as a broken rule of that run; elsewhere it still ends the process with code 101.
fn keep_quiet() {
    std::panic::set_hook(Box::new(|panic| {
        if let Some(place) = panic.location().filter(|place| place.file().contains("command")) {
            // Where stderr is gone too, the exit code has to do.
            drop(writeln!(std::io::stderr(), "raft-sim: {panic} at {place}"));
        }
    }));
}

/// Help is said on stdout and ends with 0, wrong usage on stderr, with 2.
fn help(said: &clap::Error) -> Result<ExitCode, Failure> {
    let code = ExitCode::from(said.exit_code().unsigned_abs() as u8);
    said.print().and_then(|()| std::io::stdout().flush()).map(|()| code).map_err(Failure::Stdout)
}

/// What was written is out before the command ends.
fn execute(command: impl FnOnce(&mut Out) -> Result<ExitCode, Failure>) -> Result<ExitCode, Failure> {
    let mut out = Out::new();
    let code = command(&mut out)?;
    out.flush()?;
    Ok(code)
}

impl Runs {
    fn execute(&self, program: &Program<'_>, out: &mut Out) -> Result<ExitCode, Failure> {
        match self {
            // It is over in a moment, and has nothing to go on with.
            Runs::Merge(merge) => merge.execute(out),
            Runs::Run(run) => run.execute(program, out, &Stop::on_signals()?),
            Runs::Replay(replay) => replay.execute(program, out, &Stop::on_signals()?),
            Runs::Shrink(shrink) => shrink.execute(program, out, &Stop::on_signals()?),
        }
    }
}
