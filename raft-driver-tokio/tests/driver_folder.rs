//! A server's folder: formatted once, used by one program at a time, and never taken for new when something is missing.

use std::fs;
use std::path::Path;

use raft_core::{Boot, NodeId};
use raft_driver_tokio::log::{Damage, LogError, inspect};
use raft_driver_tokio::{DataDir, FormatError, OpenError};

fn id(raw: u64) -> NodeId {
    NodeId::new(raw).expect("not zero")
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn refusal(path: &Path) -> OpenError {
    DataDir::open(path).expect_err("it has to be refused")
}

#[test]
fn format_draws_another_incarnation_every_time_and_open_finds_it() {
    let temporary = temporary();
    let (one, other) = (temporary.path().join("a/b"), temporary.path().join("c"));
    let first = DataDir::format(&one, id(7)).expect("an empty folder");
    let second = DataDir::format(&other, id(7)).expect("an empty folder");
    assert_ne!(first.incarnation, second.incarnation);
    let directory = DataDir::open(&one).expect("it is formatted");
    assert_eq!((directory.pair(), directory.boot()), (first, Boot::new(0)));
    assert_eq!(directory.pair().id, id(7));
}

#[test]
fn format_refuses_a_folder_that_holds_anything() {
    let temporary = temporary();
    DataDir::format(temporary.path(), id(1)).expect("an empty folder");
    let again = DataDir::format(temporary.path(), id(1));
    assert!(matches!(again, Err(FormatError::NotEmpty { .. })), "{again:?}");
    DataDir::open(temporary.path()).expect("it is as it was");

    let other = self::temporary();
    fs::write(other.path().join("thesis.pdf"), "precious").expect("a good disk");
    let refused = DataDir::format(other.path(), id(1));
    assert!(matches!(refused, Err(FormatError::NotEmpty { found, .. }) if found == "thesis.pdf"));
    let left: Vec<_> = fs::read_dir(other.path()).expect("it is there").collect();
    assert_eq!(left.len(), 1, "nothing was put into somebody else's folder");
}

/// Goal: a format that was interrupted can be done again. Method: what it leaves, at each of its steps.
#[test]
fn interrupted_format_can_be_repeated() {
    for step in 0..4 {
        let temporary = temporary();
        let path = temporary.path();
        DataDir::format(path, id(1)).expect("an empty folder");
        fs::rename(path.join("identity"), path.join("identity.new")).expect("a good disk");
        if step < 3 {
            fs::rename(path.join("boot"), path.join("boot.new")).expect("a good disk");
        }
        if step < 2 {
            fs::remove_dir_all(path.join("log")).expect("a good disk");
            fs::write(path.join("identity.new"), "raft ser").expect("a good disk");
        }
        if step < 1 {
            fs::remove_file(path.join("boot.new")).expect("a good disk");
        }
        let unfinished = refusal(path);
        assert!(matches!(unfinished, OpenError::NotFormatted { .. }), "{unfinished}");
        let pair = DataDir::format(path, id(2)).expect("nothing was ever made of it");
        assert_eq!(DataDir::open(path).expect("it is formatted").pair(), pair);
    }
}

#[test]
fn folder_in_use_is_refused_to_everybody_else() {
    let temporary = temporary();
    let path = temporary.path();
    DataDir::format(path, id(1)).expect("an empty folder");
    let directory = DataDir::open(path).expect("it is formatted");
    assert!(matches!(refusal(path), OpenError::InUse { .. }));
    assert!(matches!(DataDir::open_read_only(path), Err(OpenError::InUse { .. })));
    drop(directory);
    let reader = DataDir::open_read_only(path).expect("nobody uses it");
    DataDir::open_read_only(path).expect("many may look");
    assert!(matches!(refusal(path), OpenError::InUse { .. }), "not while somebody looks");
    drop(reader);
    DataDir::open(path).expect("nobody uses it");
}

#[test]
fn every_start_is_counted_durably() {
    let temporary = temporary();
    DataDir::format(temporary.path(), id(1)).expect("an empty folder");
    for number in 1..=3 {
        let mut directory = DataDir::open(temporary.path()).expect("it is formatted");
        assert_eq!(directory.start().expect("a good disk"), Boot::new(number));
    }
    let directory = DataDir::open_read_only(temporary.path()).expect("it is formatted");
    assert_eq!(directory.boot(), Boot::new(3), "a look is no start");
}

#[test]
fn folder_without_identity_boot_or_log_is_damaged_or_not_formatted_but_never_new() {
    let temporary = temporary();
    let path = temporary.path();
    assert!(matches!(refusal(path), OpenError::NotFormatted { .. }));
    assert!(matches!(refusal(&path.join("nowhere")), OpenError::NotFormatted { .. }));
    for missing in ["identity", "boot"] {
        let folder = path.join(format!("no-{missing}"));
        DataDir::format(&folder, id(1)).expect("an empty folder");
        fs::remove_file(folder.join(missing)).expect("a good disk");
        let error = refusal(&folder);
        assert!(matches!(&error, OpenError::Damaged { path } if path.ends_with(missing)), "{error}");
        let formatted = DataDir::format(&folder, id(1));
        assert!(matches!(formatted, Err(FormatError::NotEmpty { .. })), "{formatted:?}");
    }
    let folder = path.join("no-log");
    DataDir::format(&folder, id(1)).expect("an empty folder");
    fs::remove_dir_all(folder.join("log")).expect("a good disk");
    assert!(matches!(refusal(&folder), OpenError::Damaged { .. }));
    fs::create_dir(folder.join("log")).expect("a good disk");
    let directory = DataDir::open(&folder).expect("the log is looked into later");
    let inspected = inspect(&directory).map(|_| ());
    assert!(matches!(inspected, Err(LogError::Missing { .. })), "{inspected:?}");
}

/// Goal: no change of a single byte of the small files gets through. Method: all of them.
#[test]
fn identity_and_boot_with_any_byte_changed_are_refused() {
    let temporary = temporary();
    let path = temporary.path();
    DataDir::format(path, id(1)).expect("an empty folder");
    for name in ["identity", "boot"] {
        let file = path.join(name);
        let good = fs::read(&file).expect("it is there");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&file, bad).expect("a good disk");
            let error = refusal(path);
            assert!(matches!(&error, OpenError::Damaged { path } if *path == file), "byte {at}: {error}");
        }
        fs::write(&file, &good[..good.len() - 1]).expect("a good disk");
        assert!(matches!(refusal(path), OpenError::Damaged { .. }));
        fs::write(&file, good).expect("a good disk");
    }
    DataDir::open(path).expect("it is as it was");
}

#[test]
fn inspection_of_a_new_folder_finds_nothing_and_changes_nothing() {
    let temporary = temporary();
    DataDir::format(temporary.path(), id(1)).expect("an empty folder");
    let directory = DataDir::open_read_only(temporary.path()).expect("it is formatted");
    let inspection = inspect(&directory).expect("nothing is wrong");
    let summary = inspection.summary();
    assert_eq!((summary.segments, summary.records, summary.torn_bytes), (1, 0, 0));
    assert_eq!(summary.cluster, None);
    assert_eq!(inspection.digest(raft_core::LogIndex::ZERO).expect("a good disk"), Some(0));
    assert_eq!(inspection.digest(raft_core::LogIndex::new(1)).expect("a good disk"), None);

    // The header is not where a record begins.
    let segment = temporary.path().join("log/00000000000000000001.segment");
    let mut bytes = fs::read(&segment).expect("it is there");
    bytes[20] ^= 1;
    fs::write(&segment, bytes).expect("a good disk");
    let damaged = inspect(&directory).map(|_| ());
    assert!(
        matches!(damaged, Err(LogError::Damaged { offset: 0, damage: Damage::Header, .. })),
        "{damaged:?}"
    );
}
