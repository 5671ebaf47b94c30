//! Goal: what is read, forgotten and cut off is exactly what was asked for, at each boundary; and the check of a log sees what is wrong.
//! Method: a small log by hand, and the same with one thing put wrong.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::*;
use crate::identity::{Incarnation, NodeId, Pair};
use crate::membership::{Server, Suffrage};

fn at(index: u64) -> LogIndex {
    LogIndex::new(index)
}

fn command() -> Entry {
    Entry::new(LogTime::ZERO, Payload::Command(Bytes::from_static(b"x")))
}

fn run(term: u64, first: u64, count: usize) -> Run {
    Run::new(Term::new(term), at(first), vec![command(); count]).expect("in range")
}

fn configuration() -> Arc<Membership> {
    let id = NodeId::new(1).expect("not zero");
    let pair = Pair { id, incarnation: Incarnation::new(1) };
    let server =
        Server { pair, suffrage: Suffrage::Voter, raft_address: "a".into(), client_address: String::new() };
    Arc::new(Membership::new(Vec::from([server])).expect("one voter"))
}

/// Begins behind 1.3; 4 and 5 of term 1, and 6 to 8 of term 2. Configurations at 2 and at 6.
fn sealed() -> Log {
    let memberships = Vec::from([(at(2), configuration()), (at(6), configuration())]);
    let tail = Runs::from(run(1, 4, 2));
    let mut log = Log::new((Position::new(1, 3), LogTime::ZERO), Vec::new(), &tail, memberships);
    log.append_run(run(2, 6, 3));
    log
}

/// And 9, which is open.
fn sound() -> Log {
    let mut log = sealed();
    log.append(Term::new(2), command());
    log
}

fn broken(breaks: impl Fn(&mut Log)) -> Result<(), &'static str> {
    let mut log = sound();
    breaks(&mut log);
    log.check()
}

#[test]
fn sound_logs_are_sound() {
    assert_eq!(sound().check(), Ok(()));
    assert_eq!(
        Log::new((Position::ZERO, LogTime::ZERO), Vec::new(), &Runs::new(), Vec::new()).check(),
        Ok(())
    );
    let behind = Log::new((Position::new(3, 7), LogTime::ZERO), Vec::new(), &Runs::new(), Vec::new());
    assert_eq!(behind.check(), Ok(()), "nothing behind a snapshot");
}

#[test]
fn check_sees_a_beginning_that_does_not_fit() {
    let ends = Err("the log ends at or behind where it begins");
    assert_eq!(broken(|log| log.start = Position::new(1, 10)), ends);
    assert_eq!(broken(|log| log.start = Position::new(3, 3)), ends);
    let before = Err("nothing is known of what stands before the log");
    assert_eq!(broken(|log| log.start = Position::new(1, 4)), before, "an entry that a snapshot stands for");
    assert_eq!(broken(|log| log.terms[0].first = at(2)), before);
}

#[test]
fn check_sees_terms_out_of_order() {
    let rise = Err("term pairs rise in term and index");
    assert_eq!(broken(|log| log.terms[0].term = Term::new(2)), rise);
    assert_eq!(broken(|log| log.terms[0].first = at(6)), rise);
    let last = Err("the log ends in its last term");
    assert_eq!(broken(|log| log.last.term = Term::new(3)), last);
    assert_eq!(broken(|log| log.terms[1].first = at(10)), last);
}

#[test]
fn check_sees_a_tail_that_does_not_fit() {
    let runs = Err("runs are consecutive and agree with the term pairs");
    assert_eq!(broken(|log| log.tail[1] = run(2, 7, 3)), runs, "a gap");
    assert_eq!(broken(|log| log.tail[1] = run(1, 6, 3)), runs, "another term");
    let size = Err("the size of the tail is that of its runs");
    assert_eq!(broken(|log| log.tail_bytes += 1), size);
    assert_eq!(broken(|log| log.tail_bytes -= 1), size);
    let end = Err("the runs end where the log ends");
    assert_eq!(broken(|log| log.last.index = at(10)), end);
    assert_eq!(broken(|log| log.open.clear()), end);
}

#[test]
fn check_sees_configurations_out_of_order() {
    let order = Err("configurations stand in the log in order");
    assert_eq!(broken(|log| log.memberships[0].0 = at(6)), order);
    assert_eq!(broken(|log| log.memberships[0].0 = at(7)), order);
    assert_eq!(broken(|log| log.memberships[1].0 = at(10)), order);
    assert_eq!(broken(|log| log.memberships[1].0 = at(9)), Ok(()), "the last entry may be one");
}

#[test]
fn read_gives_what_was_asked_for_and_no_more() {
    let log = sealed();
    let all = u64::MAX;
    let read = |from, to, bytes, entries| {
        let (runs, size) = log.read(at(from), at(to), bytes, entries)?;
        assert_eq!(size, runs.size());
        Some((runs.first()?.raw(), runs.last_position()?.index.raw()))
    };
    assert_eq!(read(6, 8, all, all), Some((6, 8)), "all of the last run");
    assert_eq!(read(6, 7, all, all), Some((6, 7)), "not to its end");
    assert_eq!(read(7, 8, all, all), Some((7, 8)), "not from its beginning");
    assert_eq!(read(6, 8, 194, all), Some((6, 7)), "by bytes, three entries of 65");
    assert_eq!(read(6, 8, 195, all), Some((6, 8)));
    assert_eq!(read(6, 8, all, 2), Some((6, 7)), "by entries");
    assert_eq!(read(6, 8, 0, 0), Some((6, 6)), "at least one");
    assert_eq!(read(4, 8, all, all), Some((4, 8)), "of two runs");
    assert_eq!(read(5, 7, all, all), Some((5, 7)));
    assert_eq!(read(4, 8, 259, all), Some((4, 6)));
    assert_eq!(read(4, 8, all, 3), Some((4, 6)));
    assert_eq!(read(3, 8, all, all), None, "not in memory");
    assert_eq!(read(6, 5, all, all), None, "nothing");
    assert_eq!(read(9, 9, all, all), None, "behind the end");
}

#[test]
fn truncation_leaves_what_stands_before() {
    for (from, last, tail, changed) in [
        (9, Position::new(2, 8), 5, false),
        (7, Position::new(2, 6), 3, false),
        (6, Position::new(1, 5), 2, true),
        (5, Position::new(1, 4), 1, true),
        (4, Position::new(1, 3), 0, true),
    ] {
        let mut log = sealed();
        assert_eq!(log.truncate(at(from)), changed, "whether a configuration goes with {from}");
        assert_eq!((log.last(), log.tail_bytes()), (last, tail * 65), "cut at {from}");
        assert_eq!(log.check(), Ok(()));
    }
    for beyond in [0, 9, 10] {
        let mut log = sealed();
        assert!(!log.truncate(at(beyond)));
        assert_eq!(log, sealed(), "there is nothing at {beyond}");
    }
}

#[test]
fn eviction_stops_where_it_has_to() {
    let evicted = |tail_bytes_max, terms_max, up_to| {
        let mut log = sealed();
        log.evict(at(up_to), &Config { tail_bytes_max, terms_max, ..Config::default() });
        assert_eq!(log.check(), Ok(()));
        (log.tail_first().raw(), log.tail_bytes(), log.terms.len())
    };
    assert_eq!(evicted(325, 2, 8), (4, 325, 2), "all of it fits");
    assert_eq!(evicted(324, 2, 8), (5, 260, 2), "one entry makes room");
    assert_eq!(evicted(260, 2, 8), (5, 260, 2));
    assert_eq!(evicted(259, 2, 8), (6, 195, 2));
    assert_eq!(evicted(0, 2, 6), (7, 130, 2), "nothing above what is settled");
    assert_eq!(evicted(0, 2, 3), (4, 325, 2));
    assert_eq!(evicted(0, 2, 8), (9, 0, 2));
    assert_eq!(
        evicted(195, 1, 8),
        (6, 195, 1),
        "the entries of the older term are gone, and so may be the term"
    );
    assert_eq!(evicted(195, 1, 6), (6, 195, 1));
    assert_eq!(evicted(259, 1, 5), (6, 195, 2), "the term of what is settled stays");
    assert_eq!(evicted(260, 1, 8), (5, 260, 2), "it still has an entry in memory");
    assert_eq!(evicted(325, 1, 8), (4, 325, 2));
    // Terms alone are reason enough, where the entries went before.
    let mut log = sealed();
    for (tail_bytes_max, terms_max) in [(195, 2), (1000, 1)] {
        log.evict(at(8), &Config { tail_bytes_max, terms_max, ..Config::default() });
    }
    assert_eq!((log.terms.len(), log.known_from()), (1, at(6)));
}

/// A log from its very beginning, of which the terms before index 4 are forgotten.
fn forgetful() -> Log {
    let known =
        [TermStart { term: Term::new(1), first: at(4) }, TermStart { term: Term::new(2), first: at(6) }];
    let tail = Runs::from(run(2, 7, 2));
    Log::new((Position::ZERO, LogTime::ZERO), known.into(), &tail, Vec::new())
}

#[test]
fn forgotten_terms_are_not_made_up() {
    let log = forgetful();
    let positions: Vec<_> = (0..=9).map(|index| log.position_at(at(index))).collect();
    let known = |term, index| Some(Position::new(term, index));
    let expected = [
        known(0, 0),
        None,
        None,
        None,
        known(1, 4),
        known(1, 5),
        known(2, 6),
        known(2, 7),
        known(2, 8),
        None,
    ];
    assert_eq!(positions, expected);
    assert_eq!(log.first_known(), Position::new(1, 4));
    assert_eq!(sound().first_known(), Position::new(1, 3), "where the log begins");
    assert_eq!(sound().position_at(at(2)), None, "before the log");
    let nothing = Log::new((Position::new(3, 7), LogTime::ZERO), Vec::new(), &Runs::new(), Vec::new());
    assert_eq!(nothing.first_known(), Position::new(3, 7));
}

#[test]
fn entries_are_confirmed_by_both_ends_of_each_run() {
    let log = forgetful();
    let confirms = |runs: &[Run]| {
        let mut all = Runs::new();
        runs.iter().for_each(|run| all.push(run.clone()).expect("consecutive"));
        log.confirms(&all)
    };
    assert!(confirms(&[run(1, 4, 2), run(2, 6, 3)]));
    assert!(!confirms(&[run(1, 4, 3)]), "the last of them is of term 2");
    assert!(!confirms(&[run(2, 5, 2)]), "the first of them is of term 1");
    assert!(!confirms(&[run(1, 4, 2), run(3, 6, 1)]));
    assert!(!confirms(&[run(2, 8, 2)]), "beyond the end");
    assert!(confirms(&[run(0, 2, 2)]), "what is forgotten can not be compared");
}

/// Every word that is hashed, in order: logs that are equal hash the same ones.
#[derive(Default)]
struct Words(Vec<u8>);

impl Hasher for Words {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

fn hashed(log: &Log) -> Vec<u8> {
    let mut words = Words::default();
    log.hash(&mut words);
    words.0
}

#[test]
fn logs_are_equal_by_what_they_hold() {
    let mut cut = sealed();
    cut.truncate(at(6));
    cut.append_run(run(2, 6, 1));
    cut.append_run(run(2, 7, 2));
    cut.memberships.push((at(6), configuration()));
    assert_eq!(cut, sealed(), "however it is cut into runs");
    assert_eq!(hashed(&cut), hashed(&sealed()));
    let mut open = cut.clone();
    open.append(Term::new(2), command());
    assert_eq!(open, sound());
    assert_eq!(hashed(&open), hashed(&sound()));
    open.seal();
    assert_eq!(open, sound(), "sealed or open");
    let other = |term, first, count| {
        Run::new(Term::new(term), at(first), vec![Entry::new(LogTime::ZERO, Payload::Noop); count])
            .expect("in range")
    };
    let differs = |changes: &dyn Fn(&mut Log)| {
        let mut log = sound();
        changes(&mut log);
        assert_ne!(log, sound());
        log
    };
    for log in [
        differs(&|log| log.start.index = at(2)),
        differs(&|log| log.last.index = at(10)),
        differs(&|log| log.terms[1].first = at(7)),
        differs(&|log| log.memberships[0].0 = at(1)),
        differs(&|log| log.tail[1] = other(2, 6, 3)),
        differs(&|log| log.open = vec![Entry::new(LogTime::ZERO, Payload::Noop)]),
    ] {
        assert_ne!(hashed(&log), hashed(&sound()));
    }
    differs(&|log| log.last_time = LogTime::new(1));
    // The same entries, of which one log still holds more in memory.
    differs(&|log| drop(log.tail.pop_front()));
}
