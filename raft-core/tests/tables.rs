//! Goal: the tables of `docs/capabilities.md`, `docs/known-bugs.md` and `docs/protocol.md` name tests, canaries, oracles and files that
//! exist, one line a label, none missing. Method: the tables are read, and each name is looked for in the sources of the workspace.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A line of a table: the label, and the names in backticks in its last column.
#[derive(Debug, PartialEq)]
struct Row {
    label: String,
    names: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The cells of a line.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split(" | ").map(str::trim).collect()
}

/// What stands in backticks.
fn in_backticks(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// All lines of tables whose first cell is a label, which have exactly three cells.
fn rows(text: &str) -> Vec<Row> {
    let lines = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| label"));
    lines
        .map(|line| {
            let cells = cells(line);
            assert_eq!(cells.len(), 3, "label, API or guard, tests: {line}");
            Row { label: cells[0].to_owned(), names: in_backticks(cells[2]) }
        })
        .collect()
}

/// The names of all tests of a source: functions below `#[test]`, and those in a block of properties.
fn tests_in(source: &str) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    let (mut marked, mut block) = (false, None);
    for line in source.lines() {
        let (text, indent) = (line.trim_start(), line.len() - line.trim_start().len());
        if text.starts_with("proptest! {") || text.starts_with("quickcheck! {") {
            block = Some(indent);
        } else if block == Some(indent) && text == "}" {
            block = None;
        } else if text == "#[test]" {
            marked = true;
        } else if let Some(name) = text.strip_prefix("fn ").and_then(|rest| rest.split('(').next())
            && (std::mem::take(&mut marked) || block.is_some_and(|block| indent == block + 4))
        {
            tests.insert(name.to_owned());
        }
    }
    tests
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder that can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(read(&path));
        }
    }
}

fn all_sources() -> Vec<String> {
    let mut all = Vec::new();
    for folder in ["raft-core/src", "raft-core/tests", "raft-sim/src", "raft-sim/tests"] {
        sources(&root().join(folder), &mut all);
    }
    all
}

fn quoted(line: &str) -> Option<String> {
    line.split('"').nth(1).map(str::to_owned)
}

/// What a table may name: the tests of core and simulator, the canaries, and the oracles.
fn known_names() -> BTreeSet<String> {
    let all = all_sources();
    let mut names: BTreeSet<String> = all.iter().flat_map(|source| tests_in(source)).collect();
    for source in &all {
        let lines = source.lines().map(str::trim_start);
        let named =
            lines.filter(|line| line.starts_with("name: \"") || line.contains("const NAME: &str = \""));
        names.extend(named.filter_map(quoted));
    }
    names
}

/// What is wrong with a table: labels that are missing, there twice, or not asked for; rows that name nothing, or what does not
/// exist.
fn faults(rows: &[Row], labels: &[String], known: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for label in labels {
        let count = rows.iter().filter(|row| row.label == *label).count();
        if count != 1 {
            faults.push(format!("{label} has {count} lines"));
        }
    }
    for row in rows {
        if row.names.is_empty() {
            faults.push(format!("{} names no test", row.label));
        }
        let unknown = row.names.iter().filter(|name| !known.contains(*name));
        faults.extend(unknown.map(|name| format!("{} names `{name}`, which does not exist", row.label)));
    }
    faults
}

fn labels(letter: char, numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("{letter}{number}")).collect()
}

#[test]
fn capabilities_name_tests_that_exist() {
    let mut wanted = labels('C', (1..=13).chain(18..=24));
    wanted.extend(labels('R', 1..=8));
    wanted.extend(labels('M', (1..=10).chain(12..=15)));
    wanted.extend(["S7", "T9", "T10"].map(str::to_owned));
    wanted.extend(["M11", "S3", "S4", "S6", "S8", "S9"].map(str::to_owned));
    let table = rows(&read(&root().join("docs/capabilities.md")));
    assert_eq!(faults(&table, &wanted, &known_names()), [""; 0]);
}

#[test]
fn known_bugs_name_tests_and_canaries_that_exist() {
    let wanted = labels('B', (1..=44).chain([46, 47]).chain(50..=56));
    let table = rows(&read(&root().join("docs/known-bugs.md")));
    assert_eq!(faults(&table, &wanted, &known_names()), [""; 0]);
}

/// The check can fail: a line that is missing, one that is there twice, one that names nothing, and one that names a function that
/// is no test are all seen.
#[test]
fn wrong_tables_are_seen() {
    let source = "#[test]\nfn real() {\n}\nfn helper() {\n}\nproptest! {\n    #[test]\n    fn property(a in 0..1) {\n    }\n}\nfn late() {\n}\n";
    let known = tests_in(source);
    assert_eq!(known, BTreeSet::from(["real".to_owned(), "property".to_owned()]));
    let table = rows(
        "| label | API | test |\n|---|---|---|\n| A1 | x | `real`, `property` |\n| A2 | x | `helper` |\n| A3 | x | none |\n| A3 | x | `real` |\n",
    );
    let expected =
        ["A3 has 2 lines", "A4 has 0 lines", "A2 names `helper`, which does not exist", "A3 names no test"];
    assert_eq!(faults(&table, &labels('A', 1..=4), &known), expected);
}

/// What `docs/protocol.md` may name, and what it has to.
#[derive(Default)]
struct Protocol {
    files: BTreeSet<String>,
    tests: BTreeSet<String>,
    oracles: BTreeSet<String>,
    /// The sections that are cited, as `§3.5`.
    sections: BTreeSet<String>,
}

/// The sections of the thesis that a text cites.
fn sections_in(text: &str) -> impl Iterator<Item = String> {
    text.split('§').skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        format!("§{}", rest[..end].trim_end_matches('.'))
    })
}

/// The oracles that a source of the simulator defines.
fn oracles_in(source: &str) -> impl Iterator<Item = String> {
    source.lines().filter(|line| line.contains("const NAME: &str = \"")).filter_map(quoted)
}

impl Protocol {
    fn of_sources() -> Protocol {
        let mut core = Vec::new();
        sources(&root().join("raft-core/src"), &mut core);
        let all = all_sources();
        let stem = |entry: std::io::Result<fs::DirEntry>| {
            let path = entry.expect("a folder that can be read").path();
            path.file_stem().map(|stem| stem.to_string_lossy().into_owned())
        };
        Protocol {
            files: fs::read_dir(root().join("raft-core/src")).expect("a folder").filter_map(stem).collect(),
            tests: all.iter().flat_map(|source| tests_in(source)).collect(),
            oracles: all.iter().flat_map(|source| oracles_in(source)).collect(),
            sections: core.iter().flat_map(|source| sections_in(source)).collect(),
        }
    }

    /// What is wrong with the table: names of nothing, cells that name nothing, and sections and oracles without a line.
    fn faults(&self, table: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let (mut sections, mut oracles) = (BTreeSet::new(), BTreeSet::new());
        for line in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| section")) {
            let cells = cells(line);
            let [section, rule, file, test, oracle] = cells[..] else {
                faults.push(format!("not section, rule, file, test, oracle: {line}"));
                continue;
            };
            sections.insert(section.to_owned());
            // Where no oracle sees a rule, the cell says why; what it names then are tests.
            let excused = oracle.strip_prefix("none: ");
            let kinds = [
                ("file", file, &self.files),
                ("test", test, &self.tests),
                ("oracle", oracle, if excused.is_some() { &self.tests } else { &self.oracles }),
            ];
            for (kind, cell, known) in kinds {
                let names = in_backticks(cell);
                if names.is_empty() && !(kind == "oracle" && excused.is_some()) {
                    faults.push(format!("{section} ({rule}) names no {kind}"));
                }
                let unknown = names.iter().filter(|name| !known.contains(*name));
                faults.extend(unknown.map(|name| format!("{section} names `{name}`, which is no {kind}")));
            }
            if excused.is_none() {
                oracles.extend(in_backticks(oracle));
            }
        }
        faults.extend(self.sections.difference(&sections).map(|section| format!("{section} has no line")));
        faults.extend(self.oracles.difference(&oracles).map(|oracle| format!("`{oracle}` has no line")));
        faults
    }
}

#[test]
fn protocol_names_files_tests_and_oracles_that_exist() {
    let known = Protocol::of_sources();
    assert!(10 < known.sections.len() && 10 < known.oracles.len(), "the sources were found");
    assert_eq!(known.faults(&read(&root().join("docs/protocol.md"))), [""; 0]);
}

/// The check can fail: names of nothing, a name of another kind, cells without a name, a section and an oracle without a line.
#[test]
fn wrong_protocol_is_seen() {
    let known = Protocol {
        files: BTreeSet::from(["disk".to_owned()]),
        tests: BTreeSet::from(["real".to_owned()]),
        oracles: oracles_in("pub const NAME: &str = \"votes\";\nconst NAME: &str = \"caps\";").collect(),
        sections: sections_in("(Raft thesis §3.5), and §3.6.1. Or §10").collect(),
    };
    let table = "| section | rule | file | test | oracle |\n|---|---|---|---|---|\n\
        | §3.5 | good | `disk` | `real` | `votes` |\n| §10 | excused | `disk` | `real` | none: see `real` |\n";
    assert_eq!(known.faults(table), ["§3.6.1 has no line", "`caps` has no line"]);
    let wrong = "| §3.6.1 | a | `disc` | `unreal` | `real` |\n| b | c | none | none | nobody |\n| d | e | `disk` | `caps` |\n\
        | f | g | `disk` | `real` | none: see `caps` |\n";
    let expected = [
        "§3.6.1 names `disc`, which is no file",
        "§3.6.1 names `unreal`, which is no test",
        "§3.6.1 names `real`, which is no oracle",
        "b (c) names no file",
        "b (c) names no test",
        "b (c) names no oracle",
        "not section, rule, file, test, oracle: | d | e | `disk` | `caps` |",
        "f names `caps`, which is no oracle",
        "`caps` has no line",
    ];
    // An excuse that names what is no test counts for nothing, so that `caps` has no line but that one.
    assert_eq!(known.faults(&format!("{table}{wrong}")), expected);
}

/// The rules of `docs/embedding.md`: each heading below that of the rules, and what is in backticks behind "Shown by".
fn embedding_rules(page: &str) -> Vec<Row> {
    let (_, rules) = page.split_once("## The rules").expect("the page has rules");
    let sections = rules.split("\n### ").skip(1);
    sections
        .map(|section| {
            let label = section.lines().next().unwrap_or_default().to_owned();
            let shown = section.split_once("Shown by").map_or("", |(_, shown)| shown);
            Row { label, names: in_backticks(shown) }
        })
        .collect()
}

#[test]
fn embedding_names_what_shows_each_rule() {
    let rules = embedding_rules(&read(&root().join("docs/embedding.md")));
    let labels: Vec<String> = rules.iter().map(|rule| rule.label.clone()).collect();
    assert!(10 < labels.len());
    assert_eq!(faults(&rules, &labels, &known_names()), [""; 0]);
    // The check can fail: of two rules one names nothing, and the other what does not exist.
    let page = "## The rules\n\n### 1. a\n\nDo `b`.\n\n### 2. c\n\nDo `d`. Shown by `real`,\n`unreal`.\n";
    let wrong = faults(&embedding_rules(page), &[], &BTreeSet::from(["real".to_owned()]));
    assert_eq!(wrong, ["1. a names no test", "2. c names `unreal`, which does not exist"]);
}

/// The files that a page does not name in the first cell of any line of a table.
fn files_without_a_line<'a>(page: &str, files: &'a BTreeSet<String>) -> Vec<&'a str> {
    let lines = page.lines().filter(|line| line.starts_with("| "));
    let named: BTreeSet<String> = lines.flat_map(|line| in_backticks(cells(line)[0])).collect();
    files.iter().filter(|file| !named.contains(*file)).map(String::as_str).collect()
}

#[test]
fn architecture_names_every_file_of_the_core() {
    let files = Protocol::of_sources().files;
    let known = ["lib", "marks"]; // What it is made of, and the counters for campaigns.
    let page = read(&root().join("docs/architecture.md"));
    assert_eq!(files_without_a_line(&page, &files), known);
    // The check can fail: a file that is named elsewhere only has no line.
    let one = BTreeSet::from(["disk".to_owned(), "log".to_owned()]);
    assert_eq!(files_without_a_line("| `disk` | and `log` |\n`log` |\n", &one), ["log"]);
}

/// Words that stand for what the core must not know: the world outside, and what differs between two machines.
const FORBIDDEN: [&str; 14] = [
    "std::",
    "unsafe",
    "f32",
    "f64",
    "Instant",
    "SystemTime",
    "thread",
    "RandomState",
    "DefaultHashBuilder",
    "foldhash",
    "rand::",
    "static mut",
    "println!",
    "env!",
];

/// The lines of code, comments and tests left out, that name something forbidden.
fn impurities(source: &str) -> Vec<&str> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.filter(|line| FORBIDDEN.iter().any(|word| line.contains(word))).collect()
}

/// Contract rules 1 and 2: the core is a function. It names no clock, thread, file, random source, floating point number, hasher with a
/// seed of its own (`hashbrown` comes without one: its tables have to name theirs), nor `unsafe` code. (That it links without `std` is checked by building it so.)
#[test]
fn core_names_nothing_of_the_world() {
    let mut all = Vec::new();
    sources(&root().join("raft-core/src"), &mut all);
    assert!(20 < all.len());
    let found: Vec<&str> = all.iter().flat_map(|source| impurities(source)).collect();
    assert_eq!(found, [""; 0]);
    assert!(all.iter().any(|source| source.lines().any(|line| line == "#![no_std]")));
    for word in FORBIDDEN {
        assert_eq!(impurities(&format!("use {word};")).len(), 1, "{word}");
        assert_eq!(impurities(&format!("// {word}")).len(), 0, "{word}");
    }
}
