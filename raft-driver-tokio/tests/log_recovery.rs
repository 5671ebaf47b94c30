//! What the log finds again after crashes, and what it refuses: torn ends are cut off, damage in what was durable is not.

mod support;

use std::sync::Arc;

use raft_core::{LogIndex, Pair, Position, Recovered, Write};
use raft_driver_tokio::log::{Damage, Log, LogError, LogOptions};
use support::disk::{Disk, Failure, Random};
use support::{pair, write};

const SMALL: LogOptions = LogOptions { segment_bytes: 4096, tail_entries: 1_000_000 };
const HEADER: usize = 72;

fn me() -> Pair {
    pair(1, 7)
}

fn open(disk: &Disk) -> Result<(Log, Recovered), LogError> {
    Log::open(disk.storage(), me(), SMALL)
}

fn created() -> Disk {
    let disk = Disk::default();
    Log::create(&*disk.storage(), me(), SMALL).expect("a good disk");
    disk
}

/// Appends batches `from..=to`, all in one sync.
fn append(log: &mut Log, from: u64, to: u64, bytes: usize) -> Result<(), LogError> {
    for number in from..=to {
        log.append(&write(number, bytes))?;
    }
    log.sync()
}

fn segment(number: u64) -> String {
    format!("{number:020}.segment")
}

/// Whether exactly the batches `1..=last` were recovered; all of them, in full.
fn assert_recovered(recovered: &Recovered, last: u64, bytes: usize) {
    let mut expected = Recovered::default();
    for number in 1..=last {
        expected.absorb(&write(number, bytes)).expect("they follow one another");
    }
    assert_eq!(*recovered, expected);
}

/// Where the records of the only segment begin, by walking over their lengths, and where the last one ends.
fn offsets(content: &[u8]) -> Vec<usize> {
    let mut offsets = vec![HEADER];
    loop {
        let at = offsets[offsets.len() - 1];
        let length = u32::from_le_bytes(content[at + 8..at + 12].try_into().expect("four bytes")) as usize;
        if length == 0 {
            return offsets;
        }
        offsets.push((at + 32 + length).next_multiple_of(8));
    }
}

/// Six batches in three syncs: 1, then 2 and 3, then 4, 5 and 6.
fn six_batches() -> Disk {
    let disk = created();
    let (mut log, _) = open(&disk).expect("it is new");
    for (from, to) in [(1, 1), (2, 3), (4, 6)] {
        append(&mut log, from, to, 20).expect("a good disk");
    }
    disk
}

#[test]
fn log_finds_again_what_was_synced() {
    let disk = six_batches();
    disk.crash(&mut Random(1));
    let (_, recovered) = open(&disk).expect("nothing is wrong");
    assert_recovered(&recovered, 6, 20);
}

/// Goal: wherever the last sync was torn, what came before it is found and nothing is refused. Method: cut at every byte.
#[test]
fn torn_end_is_cut_off_wherever_it_tore() {
    let whole = six_batches();
    let content = whole.content(&segment(1));
    let offsets = offsets(&content);
    assert_eq!(offsets.len(), 7);
    for cut in offsets[3]..offsets[6] {
        let disk = whole.copy();
        disk.damage(&segment(1), |bytes| bytes[cut..].fill(0));
        let (mut log, recovered) = open(&disk).expect("only torn");
        // The last bytes of a record may be zero anyway.
        let kept =
            (1..=6).rev().find(|nth| disk.content(&segment(1))[..offsets[*nth]] == content[..offsets[*nth]]);
        let kept = kept.expect("the first three are whole") as u64;
        assert!(
            offsets[kept as usize] <= cut
                || content[cut..offsets[kept as usize]].iter().all(|byte| *byte == 0)
        );
        assert_recovered(&recovered, kept, 20);
        append(&mut log, kept + 1, kept + 1, 20).expect("the log goes on");
        let (_, recovered) = open(&disk).expect("nothing is wrong");
        assert_recovered(&recovered, kept + 1, 20);
    }
}

/// Goal: whichever part of the last sync arrived, in whatever order, the log stands up to the first batch that is missing.
/// Method: all subsets.
#[test]
fn torn_end_with_holes_is_cut_off_at_the_first() {
    let whole = six_batches();
    let offsets = offsets(&whole.content(&segment(1)));
    for missing in 0u32..8 {
        let disk = whole.copy();
        disk.damage(&segment(1), |bytes| {
            for nth in (0..3).filter(|nth| missing & (1 << nth) != 0) {
                bytes[offsets[3 + nth]..offsets[4 + nth]].fill(0);
            }
        });
        let (_, recovered) = open(&disk).expect("only torn");
        assert_recovered(&recovered, 3 + u64::from(missing.trailing_zeros().min(3)), 20);
        let behind = &disk.content(&segment(1))[offsets[3 + missing.trailing_zeros().min(3) as usize]..];
        assert!(behind.iter().all(|byte| *byte == 0), "what is torn is gone from the disk too");
    }
}

/// Goal: a damaged byte in what was durable is refused, with its place, and one in the last sync costs that sync at most.
/// Method: change every single byte of the file that is in use, and some behind.
#[test]
fn changed_byte_is_refused_unless_only_the_last_sync_is_lost() {
    let whole = six_batches();
    let content = whole.content(&segment(1));
    let offsets = offsets(&content);
    for at in 0..offsets[6] + 200 {
        for bit in [0x01, 0x80] {
            let disk = whole.copy();
            disk.damage(&segment(1), |bytes| bytes[at] ^= bit);
            let damaged = disk.content(&segment(1));
            let opened = open(&disk);
            if at < HEADER {
                assert!(opened.is_err(), "byte {at}");
                assert_eq!(disk.content(&segment(1)), damaged, "a log that is refused is left alone");
                continue;
            }
            let record = (0..6).find(|nth| at < offsets[nth + 1]);
            match record {
                Some(nth @ 0..3) => {
                    let Err(LogError::Damaged { file, offset, damage }) = opened else {
                        panic!("byte {at} of a durable record changed, and the log opens: {opened:?}");
                    };
                    assert_eq!((file, offset, damage), (segment(1), offsets[nth] as u64, Damage::Record));
                    assert_eq!(disk.content(&segment(1)), damaged, "a log that is refused is left alone");
                }
                Some(nth) => assert_recovered(&opened.expect("it looks torn").1, nth as u64, 20),
                None => assert_recovered(&opened.expect("nothing is lost").1, 6, 20),
            }
        }
    }
}

/// Goal (B48): old bytes behind a torn batch are not taken for its successors, although they line up. Method: batch 5 is
/// lost and 6 is not; 5 is written anew with other content of the same length; then the disk even brings back the old 6.
#[test]
fn old_bytes_that_line_up_are_not_recovered() {
    let disk = six_batches();
    let old = disk.content(&segment(1));
    let offsets = offsets(&old);
    disk.damage(&segment(1), |bytes| bytes[offsets[4]..offsets[5]].fill(0));
    let (mut log, recovered) = open(&disk).expect("only torn");
    assert_recovered(&recovered, 4, 20);
    let mut other = write(5, 20);
    other.commit = LogIndex::new(3);
    log.append(&other).expect("a good disk");
    log.sync().expect("a good disk");
    for brings_back in [false, true] {
        if brings_back {
            let content = disk.content(&segment(1));
            assert_eq!(self::offsets(&content)[5], offsets[5], "the new batch ends where the old one ended");
            disk.damage(&segment(1), |bytes| {
                bytes[offsets[5]..offsets[6]].copy_from_slice(&old[offsets[5]..offsets[6]]);
            });
        }
        let (_, recovered) = open(&disk).expect("nothing durable is lost");
        assert_eq!(recovered.last(), Position::new(1, 5));
        assert_eq!(recovered.commit, LogIndex::new(3));
    }
}

/// Goal: what a restarted process finds is durable from then on, even where the system had it only in memory, or takes it
/// for clean after a failed sync (B50). Method: restart without a crash, then crash.
#[test]
fn records_that_were_never_synced_are_durable_once_they_were_recovered() {
    for failure in [Failure::Dead, Failure::Sync] {
        let disk = created();
        let (mut log, _) = open(&disk).expect("it is new");
        append(&mut log, 1, 2, 20).expect("a good disk");
        // The next operation writes, the one after it syncs.
        disk.fail_at(1, failure);
        append(&mut log, 3, 4, 20).expect_err("the sync fails");
        assert!(matches!(log.sync(), Err(LogError::Failed)), "there is no second try");
        assert!(matches!(log.append(&write(5, 20)), Err(LogError::Failed)), "there is no second try");
        drop(log);
        disk.fail_at(u64::MAX / 2, Failure::Dead);
        let (_, recovered) = open(&disk).expect("the system still shows them");
        assert_recovered(&recovered, 4, 20);
        for seed in 0..6 {
            let disk = disk.clone();
            disk.crash(&mut Random(seed));
            let (_, recovered) = open(&disk).expect("nothing is wrong");
            assert_recovered(&recovered, 4, 20);
        }
    }
}

/// The number of batches that were durable when the disk began to fail.
fn run_until_failure(disk: &Disk) -> u64 {
    let mut synced = 0;
    let Ok(()) = Log::create(&*disk.storage(), me(), SMALL) else { return 0 };
    let Ok((mut log, _)) = open(disk) else { return 0 };
    for sync in 0..12u64 {
        // Three batches a sync, long enough for a new segment every few syncs.
        if append(&mut log, sync * 3 + 1, sync * 3 + 3, 400).is_err() {
            break;
        }
        synced = sync * 3 + 3;
    }
    synced
}

/// Goal (B49): a crash between any two operations leaves a log that opens, has everything that was synced, nothing that was
/// not written, and goes on. Method: every operation, several ways for the disk to forget.
#[test]
fn crash_between_any_two_operations_leaves_a_log_that_goes_on() {
    let disk = Disk::default();
    assert_eq!(run_until_failure(&disk), 36);
    let operations = disk.operations();
    assert!(4 < disk.names().len(), "the run goes through several segments: {:?}", disk.names());
    let mut recovered_more = 0;
    for nth in 0..operations {
        for seed in 0..8 {
            let disk = Disk::default();
            disk.fail_at(nth, Failure::Dead);
            let synced = run_until_failure(&disk);
            disk.crash(&mut Random(nth * 100 + seed));
            if !disk.names().iter().any(|name| name.ends_with(".segment")) {
                // The very first segment never got its name: the folder was not formatted yet.
                assert_eq!(synced, 0);
                assert!(matches!(open(&disk), Err(LogError::Missing { .. })));
                continue;
            }
            let (mut log, recovered) =
                open(&disk).unwrap_or_else(|error| panic!("operation {nth}, seed {seed}: {error}"));
            let last = recovered.last().index.raw();
            assert!(synced <= last && last <= synced + 3, "operation {nth}, seed {seed}: {synced} {last}");
            recovered_more += u64::from(synced < last);
            assert_recovered(&recovered, last, 400);
            append(&mut log, last + 1, last + 20, 400).expect("the log goes on");
            drop(log);
            disk.crash(&mut Random(seed));
            assert_recovered(&open(&disk).expect("nothing is wrong").1, last + 20, 400);
        }
    }
    assert!(0 < recovered_more, "some unsynced batches survived, so that case was tried");
}

/// Goal: a full disk, and a disk that fails a sync, are final at any operation, and lose nothing that was durable.
#[test]
fn full_or_failing_disk_is_final_and_loses_nothing_durable() {
    let disk = Disk::default();
    run_until_failure(&disk);
    let operations = disk.operations();
    let mut failed = [0, 0];
    for nth in 4..operations {
        for (way, failure) in [Failure::Full, Failure::Sync].into_iter().enumerate() {
            let disk = Disk::default();
            disk.fail_at(nth, failure);
            let synced = run_until_failure(&disk);
            failed[way] += u64::from(synced < 36);
            disk.crash(&mut Random(nth));
            if disk.names().iter().any(|name| name.ends_with(".segment")) {
                let (_, recovered) = open(&disk).expect("nothing durable is damaged");
                assert!(synced <= recovered.last().index.raw());
            }
        }
    }
    assert!(failed.iter().all(|count| 10 < *count), "{failed:?}");
}

fn many_segments() -> Disk {
    let disk = Disk::default();
    assert_eq!(run_until_failure(&disk), 36);
    disk
}

fn refusal(disk: &Disk) -> LogError {
    open(disk).expect_err("it has to be refused")
}

#[test]
fn damage_in_an_older_segment_is_refused_even_at_its_end() {
    let whole = many_segments();
    for number in 1..=3 {
        let name = segment(number);
        let offsets = offsets(&whole.content(&name));
        for nth in 0..offsets.len() - 1 {
            let disk = whole.copy();
            disk.damage(&name, |bytes| bytes[offsets[nth] + 40] ^= 4);
            let error = refusal(&disk);
            let LogError::Damaged { file, offset, damage: Damage::Record } = &error else {
                panic!("{error}")
            };
            assert_eq!((file, *offset), (&name, offsets[nth] as u64));
            assert!(error.to_string().contains(&name), "{error}");
        }
        let disk = whole.copy();
        disk.damage(&name, |bytes| bytes[HEADER..].fill(0));
        assert!(matches!(refusal(&disk), LogError::Damaged { damage: Damage::Record, .. }));
    }
}

#[test]
fn segments_that_are_missing_cut_swapped_or_foreign_are_refused() {
    let whole = many_segments();
    let disk = whole.copy();
    disk.remove_file(&segment(2));
    assert!(matches!(refusal(&disk), LogError::Missing { file } if file == segment(2)));
    let disk = whole.copy();
    disk.remove_file(&segment(1));
    assert!(matches!(refusal(&disk), LogError::Missing { file } if file == segment(1)));
    let disk = whole.copy();
    disk.swap(&segment(1), &segment(2));
    assert!(matches!(refusal(&disk), LogError::Damaged { damage: Damage::Place, .. }));
    let disk = whole.copy();
    disk.damage(&segment(2), |bytes| bytes.truncate(3000));
    let expected = Damage::Length { found: 3000, expected: 4096 };
    assert!(matches!(refusal(&disk), LogError::Damaged { damage, .. } if damage == expected));
    let disk = whole.copy();
    disk.damage(&segment(2), |bytes| bytes.truncate(10));
    assert!(matches!(refusal(&disk), LogError::Damaged { damage: Damage::Header, .. }));
    let stranger = Log::open(whole.copy().storage(), pair(1, 8), SMALL).map(|_| ());
    assert!(matches!(stranger, Err(LogError::OtherServer { found, .. }) if found == me()));
    assert!(matches!(open(&Disk::default()), Err(LogError::Missing { .. })));
}

/// Goal: entries come back as they are in force, through truncations, over segments, within the limits asked for.
#[test]
fn reader_returns_what_is_in_force_within_its_limits() {
    let disk = created();
    let (mut log, _) = open(&disk).expect("it is new");
    for number in 1..=30 {
        // None of them is committed.
        log.append(&Write { commit: LogIndex::ZERO, ..write(number, 300) }).expect("a good disk");
    }
    // A new leader replaces entries 11 … 30 by 11 … 15.
    for number in 11..=15 {
        log.append(&Write { commit: LogIndex::new(10), ..write(number, 77) }).expect("a good disk");
    }
    log.sync().expect("a good disk");
    let index = LogIndex::new;
    let (reopened, _) = Log::open(Arc::new(disk.copy()), me(), SMALL).expect("nothing is wrong");
    for reader in [log.reader(), reopened.reader()] {
        let sizes = |first, last, bytes| {
            let runs = reader.entries(index(first), index(last), bytes).expect("a good disk")?;
            assert_eq!(runs.first(), Some(index(first)));
            Some(runs.entries().map(|(_, entry)| entry.size() - 64).collect::<Vec<_>>())
        };
        assert_eq!(sizes(9, 12, u64::MAX), Some(vec![300, 300, 77, 77]));
        assert_eq!(sizes(1, 99, u64::MAX).map(|all| all.len()), Some(15));
        assert_eq!(sizes(1, 15, 0), Some(vec![300]), "one always comes");
        assert_eq!(sizes(1, 15, 2 * 364), Some(vec![300, 300]));
        assert_eq!(sizes(1, 15, 2 * 364 + 1), Some(vec![300, 300]));
        assert_eq!(sizes(15, 15, u64::MAX), Some(vec![77]));
        assert_eq!(sizes(16, 20, u64::MAX), None);
        assert_eq!(sizes(30, 30, u64::MAX), None, "it was cut off");
    }
}

#[test]
fn batch_longer_than_a_segment_gets_one_of_its_own() {
    let disk = created();
    let (mut log, _) = open(&disk).expect("it is new");
    append(&mut log, 1, 1, 10).expect("a good disk");
    append(&mut log, 2, 2, 50_000).expect("a good disk");
    append(&mut log, 3, 3, 10).expect("a good disk");
    assert!(50_000 < disk.content(&segment(2)).len());
    let (log, recovered) = open(&disk).expect("nothing is wrong");
    assert_eq!(recovered.last(), Position::new(1, 3));
    let all = log.reader().entries(LogIndex::new(1), LogIndex::new(3), u64::MAX).expect("a good disk");
    assert_eq!(all.map(|runs| runs.len()), Some(3));
}
