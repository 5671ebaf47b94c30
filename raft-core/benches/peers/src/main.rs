//! This core beside two others on the same work, in one run. `--help` says what is measured, and how.

mod cluster;
mod ours;
mod raft_rs;
mod omni;
mod measure;
mod counted;
mod report;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::cluster::{Calls, Packets, Work};
use crate::report::{Figures, Report};

const ABOUT: &str = "\
This core, raft 0.7.0 and omnipaxos 0.2.4 on the same work, in one run.

The work: three nodes in one thread; a storage in memory that is durable at once; no loss, no timers, no ticks once there is a
leader. A client copies each command of 128 bytes into a buffer of its own (`Bytes`, the same in all three) when it proposes.
How commands are held is up to omnipaxos's users, so it is measured a second time with `Arc<[u8]>`, which suits it better.
The next batch is proposed as soon as all three nodes have applied the one before (or, with four in flight, the one four before).
At the end every node must have applied every command, once and in order, which a checksum over them says.

Calls: `batch` hands a batch over in one proposal, `entry` in one proposal for each command. Either way the leader's output is
asked for once a batch. Packets: `moved` hands them over as values, `encoded` encodes and decodes each.

The heap: every cluster first takes as many entries as are then measured, so its memory is warm and its log as long as it gets:
each storage keeps at least 16,384 entries, and lets go of as many when it has twice as many (--keep). With --keep 0 all are
kept, and no entries are taken before: then pages come fresh from the kernel, as far as runs before have left none.

CPU time is what the kernel accounts to the one thread, so other load disturbs it little; the three take turns, run by run, and
the median counts. Instructions, allocations and allocated bytes are those of a run of this very program under valgrind (tools
callgrind and dhat), a long one less a short one, so that start and end drop out. They are the same from run to run.";

#[derive(Parser)]
#[command(name = "peers", about = "This core beside two others on the same work", long_about = ABOUT)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// Only what has all of these words in its name, as `--only ours,256,batch`: a system, a batch size, a kind of call, a kind
    /// of packets, or `x1` and `x4` for batches in flight.
    #[arg(long, value_delimiter = ',', global = true)]
    only: Vec<String>,

    /// Runs of each, of which the median counts.
    #[arg(long, default_value_t = 7)]
    runs: usize,

    /// Commands in a run; fewer where entries are slow.
    #[arg(long, default_value_t = 1 << 18)]
    entries: u64,

    /// How many entries each storage keeps at least; 0: all.
    #[arg(long, default_value_t = 1 << 14)]
    keep: u64,

    /// Nothing under valgrind: only CPU time and packets.
    #[arg(long)]
    no_counts: bool,

    /// Prints JSON instead of a table.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Only what is counted under valgrind.
    Counts,
    /// One case, once, for a profiler: prints nothing.
    Case {
        /// The system.
        system: System,
        /// Commands in a batch.
        batch: u64,
        /// How they are handed over.
        calls: Calls,
        /// Batches in flight.
        in_flight: u64,
        /// What becomes of packets.
        packets: Packets,
        /// How many commands.
        entries: u64,
    },
}

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// This core.
    Ours,
    /// `omnipaxos` 0.2.4, its commands in `Bytes` like those of the two others.
    Omnipaxos,
    /// `omnipaxos` 0.2.4, its commands in `Arc<[u8]>`, which suits it better.
    OmnipaxosArc,
    /// `raft` 0.7.0.
    Raft,
}

/// One system on one kind of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Case {
    /// The system.
    pub system: System,
    /// The work.
    #[serde(flatten)]
    pub work: Work,
}

impl Case {
    /// The words that `case` takes, less the number of entries.
    pub fn words(&self) -> [String; 5] {
        [
            word(&self.system),
            self.work.batch.to_string(),
            word(&self.work.calls),
            self.work.in_flight.to_string(),
            word(&self.work.packets),
        ]
    }

    fn has(&self, word: &str) -> bool {
        let mut names = self.words();
        names[3] = format!("x{}", self.work.in_flight);
        names.iter().any(|name| name == word)
    }
}

/// The name of a value on the command line.
fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn all_work() -> Vec<Work> {
    let mut all = Vec::new();
    for packets in [Packets::Moved, Packets::Encoded] {
        for in_flight in [1, 4] {
            for calls in [Calls::Batch, Calls::Entry] {
                for batch in [1, 16, 256] {
                    all.push(Work { batch, calls, in_flight, packets });
                }
            }
        }
    }
    all
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut counts = !arguments.no_counts;
    let mut times = true;
    match arguments.command {
        Some(Command::Case { system, batch, calls, in_flight, packets, entries }) => {
            let work = Work { batch, calls, in_flight, packets };
            measure::run(Case { system, work }, arguments.keep, entries);
            return ExitCode::SUCCESS;
        }
        Some(Command::Counts) => (counts, times) = (true, false),
        None => {}
    }
    let systems = [System::Ours, System::Omnipaxos, System::OmnipaxosArc, System::Raft];
    let mut report = Report::default();
    for work in all_work() {
        let cases = systems.map(|system| Case { system, work });
        let chosen = |case: &Case| arguments.only.iter().all(|word| case.has(word));
        let cases: Vec<Case> = cases.into_iter().filter(chosen).collect();
        let timed =
            times.then(|| measure::interleaved(&cases, arguments.keep, arguments.entries, arguments.runs));
        for (nth, case) in cases.into_iter().enumerate() {
            let counted = counts.then(|| counted::counted(case)).transpose();
            let counted = match counted {
                Ok(counted) => counted,
                Err(why) => {
                    eprintln!("peers: {why}; --no-counts measures the rest");
                    return ExitCode::from(2);
                }
            };
            report.figures.push(Figures { case, timed: timed.as_ref().map(|timed| timed[nth]), counted });
        }
        report.progress();
    }
    if report.figures.is_empty() {
        eprintln!("peers: nothing has all of these words in its name: {}", arguments.only.join(", "));
        return ExitCode::from(2);
    }
    if arguments.json {
        println!("{}", report.json())
    } else {
        print!("{report}")
    }
    ExitCode::SUCCESS
}
