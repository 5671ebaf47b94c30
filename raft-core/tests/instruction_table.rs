//! The table of instruction counts, and that comparing with it finds what it is there to find. Counting itself is done by the
//! benchmark `instructions`.

#[path = "../benches/instructions/table.rs"]
mod table;

use table::{Row, compare, parse, render};

fn rows(counts: [(&str, u64); 3]) -> Vec<Row> {
    counts.map(|(name, count)| (name.to_owned(), count)).to_vec()
}

/// The growth that is let through is one of five hundredths, to the instruction.
#[test]
fn growth_above_five_hundredths_fails_by_name() {
    let table = rows([("propose", 1000), ("applied", 200), ("vote", 40)]);
    assert_eq!(compare(&table, &table).failures, [""; 0]);
    let just = rows([("propose", 1050), ("applied", 210), ("vote", 42)]);
    assert_eq!(compare(&table, &just).failures, [""; 0]);
    for (name, count) in [("propose", 1051), ("applied", 211), ("vote", 43)] {
        let mut grown = table.clone();
        grown.iter_mut().filter(|row| row.0 == name).for_each(|row| row.1 = count);
        let failures = compare(&table, &grown).failures;
        assert_eq!(failures.len(), 1);
        assert!(failures[0].starts_with(name) && failures[0].contains("more than 5 % more"), "{failures:?}");
    }
}

#[test]
fn shrinking_asks_for_a_new_table_and_fails_nothing() {
    let table = rows([("propose", 1000), ("applied", 200), ("vote", 40)]);
    let verdict = compare(&table, &rows([("propose", 949), ("applied", 190), ("vote", 40)]));
    assert_eq!(verdict.failures, [""; 0]);
    assert_eq!(verdict.notes.len(), 1);
    assert!(verdict.notes[0].starts_with("propose") && verdict.notes[0].contains("refresh"));
}

#[test]
fn missing_and_unknown_paths_fail() {
    let table = rows([("propose", 1000), ("applied", 200), ("vote", 40)]);
    let verdict = compare(&table[1..], &table[..2]);
    assert_eq!(verdict.failures.len(), 2, "{verdict:?}");
}

/// What `refresh` writes is what `check` reads, and the checked-in table is such a one.
#[test]
fn tables_are_read_as_they_are_written() {
    let table = rows([("propose", 1000), ("applied", 200), ("vote", 40)]);
    let text = render("two lines\nof comment", &table, |_| "what it is");
    assert_eq!(parse(&text), Ok(table));
    assert!(parse("propose many").is_err());
    let checked_in = parse(include_str!("../benches/instructions.txt")).expect("a table");
    assert!(10 <= checked_in.len(), "the ten hottest paths");
}
