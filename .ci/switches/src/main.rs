//! Mutation testing with one build for all mutants: each stands behind a switch, which a variable of the environment turns on. To compile
//! takes most of the time otherwise.
//!
//!     switches LIST SOURCE TREE       as .ci/mutants calls it, in the top folder of the repository
//!
//! `LIST` is what `cargo mutants --list --json` says, `SOURCE` the folder that its files are relative to, and `TREE` a copy of it, which is
//! written over and built. A mutant that does not compile is found by compiling, and taken out.

mod build;
mod list;
mod rewrite;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

use list::Mutant;
use run::Outcome;

/// Exit codes are those of cargo-mutants.
const MISSED: u8 = 2;
const BASELINE_FAILS: u8 = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [list, source, tree] = &arguments[..] else { panic!("usage: switches LIST SOURCE TREE") };
    let (source, tree) = (Path::new(source), Path::new(tree));
    let mutants = list::read(Path::new(list));
    let switched = build::compile(&mutants, source, tree);
    let mut tests = build::tests(tree);
    if !tests.pass() {
        eprintln!("the tests fail without a mutant");
        return ExitCode::from(BASELINE_FAILS);
    }
    let mut counts: BTreeMap<&str, BTreeMap<Outcome, usize>> = BTreeMap::new();
    for (number, mutant) in mutants.iter().enumerate() {
        let outcome = if switched.contains(&number) { tests.run(Some(number)) } else { Outcome::Unviable };
        if outcome == Outcome::Missed || outcome == Outcome::Timeout {
            println!("{outcome:?} {}", mutant.name);
        }
        *counts.entry(mutant.file_name()).or_default().entry(outcome).or_default() += 1;
    }
    print_table(&counts)
}

/// As it stands in docs/testing.md.
fn print_table(counts: &BTreeMap<&str, BTreeMap<Outcome, usize>>) -> ExitCode {
    println!("| file | mutants | caught | timeout | unviable | missed |\n|---|---|---|---|---|---|");
    let mut missed = 0;
    for (file, outcomes) in counts {
        let count = |outcome| outcomes.get(&outcome).copied().unwrap_or(0);
        let all: usize = outcomes.values().sum();
        missed += count(Outcome::Missed);
        println!(
            "| `{file}` | {all} | {} | {} | {} | {} |",
            count(Outcome::Caught),
            count(Outcome::Timeout),
            count(Outcome::Unviable),
            count(Outcome::Missed)
        );
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::from(MISSED) }
}

/// The numbers of mutants.
type Numbers = BTreeSet<usize>;

impl Mutant {
    /// `disk`, or `encoding/bulk`.
    fn file_name(&self) -> &str {
        let name = self.file.split_once("src/").map_or(self.file.as_str(), |(_, name)| name);
        name.trim_end_matches(".rs")
    }
}
