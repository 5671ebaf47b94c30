//! Goal: who follows the steps of `docs/embedding.md` literally gets a program that compiles and does what the page says. Method: what
//! the page puts into each file is that file of the example `embedding`, byte for byte, which `examples.rs` compiles and runs; and what it
//! puts into the manifest is what the workspace is built with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// What a page puts into each file: its code blocks whose first line names one, in order, an empty line between two of a file. Who reads
/// the page sees no such first line, so the sentence before names the file as well: where it does not, there is an `Err` with the file.
fn files(page: &str) -> Result<BTreeMap<String, String>, String> {
    let mut files = BTreeMap::<String, String>::new();
    let (mut sentence, mut lines) = (String::new(), page.lines());
    while let Some(line) = lines.next() {
        let Some(fence) = line.strip_prefix("```") else {
            sentence = if line.is_empty() { sentence } else { format!("{sentence} {line}") };
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if let Some((_, file)) = fence.split_once(' ') {
            if !sentence.contains(&format!("`{file}`")) {
                return Err(file.to_owned());
            }
            let text = files.entry(file.to_owned()).or_default();
            if !text.is_empty() {
                text.push('\n');
            }
            text.extend(block.iter().flat_map(|line| [*line, "\n"]));
        }
        sentence.clear();
    }
    Ok(files)
}

/// The first line, from 1, in which two texts differ, and what the two have there.
fn difference<'a>(one: &'a str, other: &'a str) -> Option<(usize, Option<&'a str>, Option<&'a str>)> {
    let (mut ones, mut others) = (one.split('\n'), other.split('\n'));
    for nth in 1.. {
        match (ones.next(), others.next()) {
            (None, None) => break,
            (a, b) if a == b => {}
            (a, b) => return Some((nth, a, b)),
        }
    }
    None
}

/// The name and the version of each dependency of a manifest that has one.
fn versions(manifest: &str, table: &str) -> BTreeMap<String, String> {
    let lines = manifest.lines().skip_while(|line| *line != table).skip(1);
    let entries = lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once(" = "));
    let version = |value: &str| value.split('"').nth(1).map(str::to_owned);
    entries
        .filter(|(_, value)| value.starts_with('"') || value.starts_with("{ version"))
        .filter_map(|(name, value)| Some((name.to_owned(), version(value)?)))
        .collect()
}

#[test]
fn steps_of_the_page_are_the_example() {
    let files = files(&read("docs/embedding.md")).expect("each block says what file it is of");
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["Cargo.toml", "src/disk.rs", "src/main.rs", "src/server.rs"]);
    for (file, text) in &files {
        if let Some(name) = file.strip_prefix("src/") {
            let example = read(&format!("raft-core/examples/embedding/{name}"));
            assert_eq!(difference(text, &example), None, "{file}: the page, and the example");
        }
    }
}

#[test]
fn manifest_of_the_page_is_what_is_tested_here() {
    let manifest =
        &files(&read("docs/embedding.md")).expect("each block says what file it is of")["Cargo.toml"];
    let (page, workspace) =
        (versions(manifest, "[dependencies]"), versions(&read("Cargo.toml"), "[workspace.dependencies]"));
    assert_eq!(page.len(), 2);
    for (name, version) in page {
        assert_eq!(workspace.get(&name), Some(&version), "{name}");
    }
}

/// The checks can fail: a line that differs, one that is missing, and a block that does not say to its reader what file it is of.
#[test]
fn page_that_differs_is_seen() {
    let page = "In `a.rs`:\n\n```rust a.rs\none\n\ntwo\n```\n\nMore, in\n`a.rs`:\n\n```rust a.rs\nthree\n```\n\n```text\nno file\n```\n";
    let found = files(page).expect("both blocks say so");
    assert_eq!(found, BTreeMap::from([("a.rs".to_owned(), "one\n\ntwo\n\nthree\n".to_owned())]));
    assert_eq!(difference(&found["a.rs"], "one\n\ntwo\n\nthree\n"), None);
    assert_eq!(difference(&found["a.rs"], "one\n\n2\n\nthree\n"), Some((3, Some("two"), Some("2"))));
    assert_eq!(difference(&found["a.rs"], "one\n\ntwo\n"), Some((5, Some("three"), None)));
    assert_eq!(files("Here:\n\n```rust a.rs\none\n```\n"), Err("a.rs".to_owned()));
    let manifest =
        "[dependencies]\na = \"1.2\"\nb = { version = \"3\" }\nc = { path = \"..\" }\n[other]\nd = \"4\"\n";
    let expected = BTreeMap::from([("a", "1.2"), ("b", "3")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(versions(manifest, "[dependencies]"), expected);
}
