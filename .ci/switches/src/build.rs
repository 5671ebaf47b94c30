//! Compiles the tree with its switches, and finds the mutants that do not compile.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::Numbers;
use crate::list::{Genre, Mutant};
use crate::rewrite::{Rewritten, rewrite};
use crate::run::Tests;

/// `on` can stand in a constant, where no mutant is on.
const SWITCHES: &str = r#"
const fn never(_number: u32) -> bool {
    false
}

fn is_chosen(number: u32) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<u32>> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| std::env::var("MUTANT").ok()?.parse().ok()) == Some(number)
}

pub(crate) const fn on(number: u32) -> bool {
    core::intrinsics::const_eval_select((number,), never, is_chosen)
}
"#;

/// Cargo in the tree: without debug information, with warnings off, and with what is not stable yet, for constants that switch.
fn cargo(tree: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = Command::new("cargo")
        .args(arguments)
        .args(["--package", "raft-core", "--message-format", "json"])
        .current_dir(tree)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "--cap-lints=allow -Awarnings")
        .env("CARGO_PROFILE_DEV_DEBUG", "none")
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    let messages = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    messages.map(|message| message.expect("cargo speaks JSON")).collect()
}

/// Rewrites the tree until it compiles. Returns the mutants that are in it.
pub fn compile(mutants: &[Mutant], source: &Path, tree: &Path) -> Numbers {
    let mut by_file: BTreeMap<&str, Vec<(usize, &Mutant)>> = BTreeMap::new();
    for (number, mutant) in mutants.iter().enumerate() {
        by_file.entry(&mutant.file).or_default().push((number, mutant));
    }
    add_module(source, tree);
    let mut dropped = Numbers::new();
    loop {
        let mut files: BTreeMap<&str, Rewritten> = BTreeMap::new();
        for (file, mutants) in &by_file {
            let text = std::fs::read_to_string(source.join(file)).expect("a file with mutants can be read");
            let rewritten = rewrite(&text, mutants, &dropped);
            std::fs::write(tree.join(file), &rewritten.text).expect("the tree can be written");
            files.insert(file, rewritten);
        }
        let errors: Vec<Value> = cargo(tree, &["check"]).into_iter().filter(is_error).collect();
        if errors.is_empty() {
            return files.values().flat_map(|file| file.ranges.iter().map(|(_, number)| *number)).collect();
        }
        let before = dropped.len();
        dropped.extend(errors.iter().flat_map(|error| at_fault(error, &files)));
        if dropped.len() == before {
            dropped.extend(errors.iter().filter_map(|error| next_arm(error, &files, mutants)));
        }
        assert!(before < dropped.len(), "no mutant is at fault for {}", errors[0]["message"]["rendered"]);
    }
}

fn is_error(message: &Value) -> bool {
    message["message"]["level"] == "error"
        && !message["message"]["spans"].as_array().is_none_or(Vec::is_empty)
}

/// The mutants in whose text the compiler sees something wrong.
fn at_fault(error: &Value, files: &BTreeMap<&str, Rewritten>) -> Numbers {
    let spans = error["message"]["spans"].as_array().into_iter().flatten();
    let within = spans.filter_map(|span| {
        let file = files.get(span["file_name"].as_str()?)?;
        let (start, end) = (span["byte_start"].as_u64()? as usize, span["byte_end"].as_u64()? as usize);
        Some(file.ranges.iter().filter(move |(range, _)| range.start <= start && end <= range.end))
    });
    within.flatten().map(|(_, number)| *number).collect()
}

/// The first arm behind the place of the error that can be switched off: a match that is not exhaustive is reported where it begins.
fn next_arm(error: &Value, files: &BTreeMap<&str, Rewritten>, mutants: &[Mutant]) -> Option<usize> {
    let span = error["message"]["spans"].as_array()?.iter().find(|span| span["is_primary"] == true)?;
    let file = files.get(span["file_name"].as_str()?)?;
    let start = span["byte_start"].as_u64()? as usize;
    let arms = file.ranges.iter().filter(|(_, number)| mutants[*number].genre == Genre::MatchArm);
    let behind = arms.filter(|(range, _)| start < range.start).min_by_key(|(range, _)| range.start);
    behind.map(|(_, number)| *number)
}

/// Adds the module that knows which mutant is on, to a crate that does without the standard library otherwise.
fn add_module(source: &Path, tree: &Path) {
    let lib = "raft-core/src/lib.rs";
    let text = std::fs::read_to_string(source.join(lib)).expect("the core has a root");
    let features = "#![no_std]\n#![feature(core_intrinsics, const_eval_select)]\n";
    let text = text.replacen("#![no_std]\n", features, 1);
    let text =
        text.replacen("extern crate alloc;\n", "extern crate alloc;\nextern crate std;\nmod switches;\n", 1);
    assert!(text.contains(features) && text.contains("mod switches;"), "the root looks otherwise");
    std::fs::write(tree.join(lib), text).expect("the tree can be written");
    std::fs::write(tree.join("raft-core/src/switches.rs"), SWITCHES).expect("the tree can be written");
}

/// Builds the tests.
pub fn tests(tree: &Path) -> Tests {
    let messages = cargo(tree, &["test", "--lib", "--test", "together", "--no-run"]);
    let executable = |kind: &str| {
        let is = |message: &&Value| message["target"]["kind"][0] == kind && message["executable"].is_string();
        let found = messages.iter().find(is).and_then(|message| message["executable"].as_str());
        found.expect("the tests compile").into()
    };
    Tests {
        unit: executable("lib"),
        together: executable("test"),
        folder: tree.join("raft-core"),
        patience: Duration::MAX,
    }
}
