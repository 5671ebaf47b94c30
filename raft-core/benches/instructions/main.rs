//! Instructions of the core's hottest paths, and how what it does grows with log and cluster: counted by valgrind over this
//! very program, so they are the same on a loaded machine, and nearly the same on another one.
//!
//!     cargo bench -p raft-core --bench instructions                 the paths beside the checked-in table, a minute
//!     cargo bench -p raft-core --bench instructions -- check        fails where one has grown by more than 5 %
//!     cargo bench -p raft-core --bench instructions -- check FILE   against another table
//!     cargo bench -p raft-core --bench instructions -- refresh      writes the table anew: to be looked at, and committed
//!     cargo bench -p raft-core --bench instructions -- scaling      fails where growth is steeper than it may be
//!
//! A count is that of many times less that of few times, divided by the difference: what happens once drops out.

#[path = "../lab/mod.rs"]
mod lab;
mod paths;
mod scaling;
mod table;

use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::scaling::{SCALINGS, Scaling};
use crate::table::Row;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");

const COMMENT: &str = "\
Instructions of the hottest paths of the core, with the allocator's: what `.ci/long` compares new counts with.
Refreshed by: cargo bench -p raft-core --bench instructions -- refresh";

/// How often a path is done in the short and in the long run.
const TIMES: (u64, u64) = (64, 320);

/// Calls of [`measured`] so far.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// What is counted is what happens in here. Valgrind knows it by its name.
#[inline(never)]
pub(crate) fn measured(work: &mut dyn FnMut()) {
    work();
    CALLS.fetch_add(1, Ordering::Relaxed);
}

fn main() -> ExitCode {
    // `cargo bench` adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        [] => shown(),
        ["check"] => checked(TABLE),
        ["check", table] => checked(table),
        ["refresh"] => refreshed(),
        ["scaling"] => scaled(),
        ["path", path, times] => path_done(path, times),
        ["scale", name, size, times] => scale_done(name, size, times),
        _ => Err("one of: check [FILE], refresh, scaling".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("instructions: {why}");
            ExitCode::from(2)
        }
    }
}

/// Whether all is well, or why nothing can be said.
type Done = Result<bool, String>;

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word} is no number"))
}

fn path_done(path: &str, times: &str) -> Done {
    paths::run(path, number(times)?);
    println!("{}", CALLS.load(Ordering::Relaxed));
    Ok(true)
}

fn scale_done(name: &str, size: &str, times: &str) -> Done {
    scaling::run(name, number(size)?, number(times)?);
    println!("{}", CALLS.load(Ordering::Relaxed));
    Ok(true)
}

/// Instructions within [`measured`], and its calls, in a run of this program with these words.
fn counted(words: &[&str]) -> Result<(u64, u64), String> {
    let program = std::env::current_exe().map_err(|why| why.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*::measured*"])
        .arg(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|why| format!("valgrind: {why}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.split_once("Collected :").and_then(|(_, rest)| rest.trim_start().lines().next());
    let instructions = collected.and_then(|digits| digits.trim().parse().ok());
    let calls = String::from_utf8_lossy(&output.stdout).trim().parse().ok();
    match instructions.zip(calls) {
        Some((1.., 1..)) if output.status.success() => Ok(instructions.zip(calls).unwrap_or_default()),
        _ => Err(format!("valgrind says: {said}")),
    }
}

fn count(path: &str) -> Result<u64, String> {
    let few = counted(&["path", path, &TIMES.0.to_string()])?;
    let many = counted(&["path", path, &TIMES.1.to_string()])?;
    Ok((many.0 - few.0).div_ceil(many.1 - few.1))
}

fn count_all() -> Result<Vec<Row>, String> {
    paths::PATHS.iter().map(|(path, _)| Ok(((*path).to_owned(), count(path)?))).collect()
}

fn read(table: &str) -> Result<Vec<Row>, String> {
    table::parse(&std::fs::read_to_string(table).map_err(|why| format!("{table}: {why}"))?)
}

fn what(path: &str) -> &'static str {
    paths::PATHS.iter().find(|(known, _)| *known == path).map_or("", |(_, what)| what)
}

fn shown() -> Done {
    let (table, new) = (read(TABLE)?, count_all()?);
    println!("{:<28} {:>10} {:>10}", "instructions", "table", "now");
    for (name, count) in &new {
        let before = table.iter().find(|(known, _)| known == name).map_or(0, |(_, count)| *count);
        println!("{name:<28} {before:>10} {count:>10}  {}", what(name));
    }
    Ok(true)
}

fn checked(table: &str) -> Done {
    let verdict = table::compare(&read(table)?, &count_all()?);
    for line in verdict.failures.iter().chain(&verdict.notes) {
        println!("{line}");
    }
    println!("{} paths: {} failed", paths::PATHS.len(), verdict.failures.len());
    Ok(verdict.failures.is_empty())
}

fn refreshed() -> Done {
    let rows = count_all()?;
    std::fs::write(TABLE, table::render(COMMENT, &rows, what)).map_err(|why| format!("{TABLE}: {why}"))?;
    println!("{TABLE} is new: look at the difference before it is committed");
    Ok(true)
}

/// Counts of one kind of work at its three sizes, each for one time of doing it.
fn scale(scaling: &Scaling) -> Result<[u64; 3], String> {
    let mut counts = [0; 3];
    for (count, size) in counts.iter_mut().zip(scaling.sizes) {
        let of = |times: u64| {
            let words = ["scale", scaling.name, &size.to_string(), &times.to_string()];
            Ok::<_, String>(counted(&words)?.0)
        };
        *count = (of(TIMES.0 / 4)? - of(TIMES.0 / 8)?) / (TIMES.0 / 8);
    }
    Ok(counts)
}

fn scaled() -> Done {
    let mut all = true;
    for scaling in &SCALINGS {
        let counts = scale(scaling)?;
        let held = scaling.holds(counts);
        all &= held;
        println!("{} ({}): {}", scaling.name, scaling.what, if held { "holds" } else { "FAILS" });
        for (size, count) in scaling.sizes.iter().zip(counts) {
            println!("{size:>12} {count:>12} instructions");
        }
    }
    Ok(all)
}
