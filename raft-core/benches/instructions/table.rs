//! The checked-in table of instruction counts, and how new counts are compared with it. Knows nothing of how they are counted.

use std::fmt::Write as _;

/// A path and its instructions.
pub(crate) type Row = (String, u64);

/// By how many hundredths a count may differ from the table.
const TOLERANCE: u64 = 5;

/// What a comparison found, in sentences.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What must not be.
    pub(crate) failures: Vec<String>,
    /// What should be looked at.
    pub(crate) notes: Vec<String>,
}

/// The rows of a table.
///
/// # Errors
/// The line that is none.
pub(crate) fn parse(text: &str) -> Result<Vec<Row>, String> {
    let rows = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    rows.map(|line| {
        let row = line.split_once(' ').and_then(|(name, rest)| {
            let digits: String = rest.split("  ").next()?.replace(',', "");
            Some((name.to_owned(), digits.trim().parse().ok()?))
        });
        row.ok_or_else(|| format!("not a row of the table: {line}"))
    })
    .collect()
}

/// A table of these rows under these lines of comment, each row with what its path is.
pub(crate) fn render(comment: &str, rows: &[Row], what: impl Fn(&str) -> &'static str) -> String {
    let mut text = String::new();
    for line in comment.lines() {
        let _ = writeln!(text, "# {line}");
    }
    for (name, count) in rows {
        let _ = writeln!(text, "{name} {count}  {}", what(name));
    }
    text
}

/// Compares new counts with the table.
pub(crate) fn compare(table: &[Row], new: &[Row]) -> Verdict {
    let mut verdict = Verdict::default();
    for (name, count) in new {
        let Some((_, before)) = table.iter().find(|(known, _)| known == name) else {
            verdict.failures.push(format!("{name} is not in the table: refresh it"));
            continue;
        };
        let change = format!("{name}: {before} instructions before, {count} now");
        if before * (100 + TOLERANCE) < count * 100 {
            verdict.failures.push(format!("{change}: more than {TOLERANCE} % more"));
        } else if count * 100 < before * (100 - TOLERANCE) {
            verdict.notes.push(format!("{change}: more than {TOLERANCE} % less: refresh the table"));
        }
    }
    for (name, _) in table {
        if !new.iter().any(|(counted, _)| counted == name) {
            verdict.failures.push(format!("{name} is in the table and was not counted: refresh it"));
        }
    }
    verdict
}
