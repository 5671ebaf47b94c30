//! Instructions and allocations of an entry: counted by valgrind over runs of this very program, a long one less a short one.
//! The parts that do not grow with the number of entries drop out: the start, the election, and room made once in lists.

use std::io;
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::Case;

/// What was counted of one case, for each entry.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Counted {
    /// Instructions of all three nodes and of the work around them, where storages let go of old entries.
    pub instructions_per_entry: f64,
    /// The same where all entries are kept, and nothing of them is freed.
    pub instructions_per_entry_kept: f64,
    /// Allocations, the client's copy of the command among them.
    pub allocations_per_entry: f64,
    /// What they asked for, in bytes.
    pub allocated_bytes_per_entry: f64,
}

/// Entries of the short and the long run. Both are multiples of all batch sizes, and the difference is a power of two
/// times them.
const SHORT: u64 = 2048;
const LONG: u64 = 10_240;

/// How many entries a storage keeps here: few, so that letting go of them is counted like everything else.
const FEW: u64 = 512;
const ALL: u64 = 0;

/// Counts one case.
///
/// # Errors
/// Where valgrind is missing, or says something else than expected.
pub fn counted(case: Case) -> io::Result<Counted> {
    let per_entry = |short: u64, long: u64| (long - short) as f64 / (LONG - SHORT) as f64;
    let of_all =
        |keep| Ok::<_, io::Error>((instructions(case, SHORT, keep)?, instructions(case, LONG, keep)?));
    let (few, all) = (of_all(FEW)?, of_all(ALL)?);
    let (short, long) = (heap(case, SHORT)?, heap(case, LONG)?);
    Ok(Counted {
        instructions_per_entry: per_entry(few.0, few.1),
        instructions_per_entry_kept: per_entry(all.0, all.1),
        allocations_per_entry: per_entry(short.1, long.1),
        allocated_bytes_per_entry: per_entry(short.0, long.0),
    })
}

fn instructions(case: Case, entries: u64, keep: u64) -> io::Result<u64> {
    let said = valgrind(&["--tool=callgrind", "--callgrind-out-file=/dev/null"], case, entries, keep)?;
    after(&said, "Collected :").ok_or_else(|| unexpected(&said))
}

/// Bytes and blocks that were allocated.
fn heap(case: Case, entries: u64) -> io::Result<(u64, u64)> {
    let said = valgrind(&["--tool=dhat", "--dhat-out-file=/dev/null"], case, entries, FEW)?;
    let bytes = after(&said, "Total:");
    let blocks = said.lines().find_map(|line| after(line.split_once("Total:")?.1, " in "));
    bytes.zip(blocks).ok_or_else(|| unexpected(&said))
}

fn valgrind(options: &[&str], case: Case, entries: u64, keep: u64) -> io::Result<String> {
    let output = Command::new("valgrind")
        .args(options)
        .arg(std::env::current_exe()?)
        .args(["--keep", &keep.to_string(), "case"])
        .args(case.words())
        .arg(entries.to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(|why| io::Error::new(why.kind(), format!("valgrind: {why}")))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(said) } else { Err(unexpected(&said)) }
}

/// The number that follows these words, without its commas.
fn after(text: &str, words: &str) -> Option<u64> {
    let rest = text.split_once(words)?.1.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(rest.len());
    rest[..end].replace(',', "").parse().ok()
}

fn unexpected(said: &str) -> io::Error {
    io::Error::other(format!("valgrind says: {said}"))
}
