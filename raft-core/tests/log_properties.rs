//! Goal: runs, sequences of runs and recovery are what they mean: a log as a plain vector. Method: random cuts, slices and
//! writes, done to both.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use raft_core::{
    Compaction, Entry, HardState, Incarnation, LogIndex, LogTime, Membership, NodeId, Pair, Payload,
    Position, RecoverError, Recovered, Run, Runs, Server, Snapshot, Suffrage, Term, Write, WriteNumber,
    decode_recovered, encode_recovered,
};

/// An entry as the model has it: its term and its content.
type Plain = (u64, u8);

fn entry(content: u8) -> Entry {
    let command = Bytes::from(vec![content; usize::from(content % 50)]);
    Entry::new(LogTime::new(u64::from(content)), Payload::Command(command))
}

/// Contents from index `first` on, as runs that end where the term changes and wherever `cuts` says so.
fn cut(first: u64, plain: &[Plain], cuts: &[bool]) -> Runs {
    let mut runs = Runs::new();
    let mut from = 0;
    for to in 1..=plain.len() {
        let ends =
            to == plain.len() || plain[to].0 != plain[from].0 || cuts.get(to).copied().unwrap_or(false);
        if ends {
            let entries = plain[from..to].iter().map(|(_, content)| entry(*content));
            let run = Run::new(Term::new(plain[from].0), LogIndex::new(first + from as u64), entries);
            runs.push(run.expect("in range")).expect("consecutive");
            from = to;
        }
    }
    runs
}

fn plain(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Plain>> {
    vec((0..10u8, any::<u8>()), length).prop_map(|steps| {
        let mut term = 1;
        let one = |(step, content): (u8, u8)| {
            term += u64::from(step / 8);
            (term, content)
        };
        steps.into_iter().map(one).collect()
    })
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn contents(runs: &Runs) -> Vec<(Position, Entry)> {
    runs.entries().map(|(position, entry)| (position, entry.clone())).collect()
}

fn expected(first: u64, plain: &[Plain]) -> Vec<(Position, Entry)> {
    let one = |(index, (term, content)): (u64, &Plain)| (Position::new(*term, index), entry(*content));
    (first..).zip(plain).map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Where a sequence is cut into runs says nothing; everything else does.
    #[test]
    fn runs_are_what_they_hold(plain in plain(1..20), one in vec(any::<bool>(), 20), two in vec(any::<bool>(), 20), first in 1..100u64) {
        let (one, two) = (cut(first, &plain, &one), cut(first, &plain, &two));
        prop_assert_eq!(contents(&one), expected(first, &plain));
        prop_assert_eq!(hash(&one), hash(&two));
        prop_assert_eq!(one.len(), plain.len() as u64);
        prop_assert_eq!(one.size(), two.size());
        prop_assert_eq!(&one, &two);
        let other = cut(first + 1, &plain, &[]);
        prop_assert_ne!(&one, &other, "another place");
        let mut changed = plain.clone();
        changed[0].1 = changed[0].1.wrapping_add(1);
        prop_assert_ne!(&one, &cut(first, &changed, &[]), "another content");
        prop_assert_ne!(&one, &cut(first, &plain[1..], &[]), "another length");
    }

    #[test]
    fn slice_is_that_of_a_vector(contents in vec(any::<u8>(), 1..20), first in 1..50u64, from in 0..80u64, to in 0..80u64, again in 0..80u64) {
        let run = Run::new(Term::new(1), LogIndex::new(first), contents.iter().copied().map(entry)).expect("in range");
        let inside = |from: u64, to: u64| {
            let indexed = (first..).zip(&contents).filter(|(index, _)| from <= *index && *index <= to);
            indexed.map(|(index, content)| (LogIndex::new(index), entry(*content))).collect::<Vec<_>>()
        };
        let found = |run: Option<Run>| {
            let run = run.into_iter();
            run.flat_map(|run| (run.first().raw()..).map(LogIndex::new).zip(run.entries().to_vec()).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        let slice = run.slice(LogIndex::new(from), LogIndex::new(to));
        prop_assert_eq!(found(slice.clone()), inside(from, to));
        // A slice of a slice is one of the whole.
        let twice = slice.and_then(|slice| slice.slice(LogIndex::new(again), LogIndex::new(to)));
        prop_assert_eq!(found(twice), inside(from.max(again), to));
        let index = LogIndex::new(from);
        prop_assert_eq!(run.get(index).cloned(), inside(from, from).pop().map(|(_, entry)| entry));
    }

    #[test]
    fn prefix_is_the_longest_that_fits(contents in vec(any::<u8>(), 1..20), bytes in 0..3000u64, entries in 1..20u64) {
        let run = Run::new(Term::new(1), LogIndex::new(7), contents.iter().copied().map(entry)).expect("in range");
        let (prefix, size) = run.prefix(bytes, entries);
        prop_assert_eq!(prefix.entries(), &run.entries()[..prefix.len() as usize]);
        prop_assert_eq!(prefix.first(), run.first());
        prop_assert_eq!(prefix.size(), size);
        prop_assert!(prefix.len() <= entries);
        prop_assert!(size <= bytes || prefix.len() == 1, "one entry is always let through");
        if let Some(next) = run.entries().get(prefix.len() as usize) {
            prop_assert!(prefix.len() == entries || bytes < size + next.size(), "one more would have fitted");
        }
    }

    #[test]
    fn run_is_pushed_only_behind_the_end(term in 1..4u64, first in 1..5u64, next_term in 1..4u64, next in 1..9u64, length in 1..4usize) {
        let run = |term, first, length| Run::new(Term::new(term), LogIndex::new(first), vec![entry(1); length]).expect("in range");
        let mut runs = Runs::from(run(term, first, length));
        let before = runs.clone();
        let fits = next == first + length as u64 && term <= next_term;
        prop_assert_eq!(runs.push(run(next_term, next, 1)).is_ok(), fits);
        prop_assert_eq!(runs == before, !fits, "nothing is changed by a refusal");
    }
}

/// One write of a disk's history, from which both the model and the core are fed.
#[derive(Clone, Debug)]
struct Step {
    /// How many entries back from the end the batch begins.
    back: u64,
    /// Shifts the batch behind the end: a gap.
    gap: bool,
    term_step: u64,
    contents: Vec<Plain>,
    commit_back: u64,
    compacts: Compacts,
}

/// What a batch says of snapshots.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Compacts {
    Nothing,
    /// A snapshot that ends so many entries before what is committed, of which the log keeps so many entries.
    Keeping(u64, u64),
    /// The same, but the log is to begin behind an entry of another term, or behind the snapshot.
    Wrong(u64, u64),
    /// A snapshot that ends so many entries behind what was committed, instead of the log.
    Discarding(u64),
    /// The same, but the log is to begin earlier.
    DiscardingHalf(u64),
}

fn compacts() -> impl Strategy<Value = Compacts> {
    (0..24u8, 0..4u64, 0..4u64).prop_map(|(which, last, start)| match which {
        0..=7 => Compacts::Keeping(last, start),
        8 => Compacts::Wrong(last, start),
        9 | 10 => Compacts::Discarding(last),
        11 => Compacts::DiscardingHalf(last),
        _ => Compacts::Nothing,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..6u64, 0..20u8, 0..3u64, plain(0..6), 0..8u64, compacts()).prop_map(
        |(back, gap, term_step, contents, commit_back, compacts)| Step {
            compacts,
            back,
            gap: gap == 0,
            term_step,
            contents,
            commit_back,
        },
    );
    vec(step, 0..20)
}

/// A disk as a plain vector.
#[derive(Clone, Default)]
struct Model {
    term: u64,
    /// All entries from the first on, also those that a snapshot stands for: of an installed one only the last term is right.
    log: Vec<Plain>,
    commit: u64,
    /// The index behind which the log begins.
    start: u64,
    /// What the snapshot covers.
    covered: u64,
}

/// Why a write can not be taken.
#[derive(PartialEq, Debug)]
enum Unsound {
    /// Its snapshot alone.
    Snapshot(u64),
    Otherwise,
}

fn snapshot(term: u64, index: u64) -> Arc<Snapshot> {
    let pair = Pair { id: NodeId::new(1).expect("not zero"), incarnation: Incarnation::new(1) };
    let (raft_address, client_address) = ("raft1".to_owned(), String::new());
    let server = Server { pair, suffrage: Suffrage::Voter, raft_address, client_address };
    let membership = Arc::new(Membership::new(vec![server]).expect("a configuration"));
    Arc::new(Snapshot {
        cluster: membership.cluster_id(),
        last: Position::new(term, index),
        time: LogTime::ZERO,
        membership,
        membership_index: LogIndex::new(1),
        size: 0,
        digest: 0.into(),
    })
}

impl Model {
    /// Makes the write of a step, and what the log is after it if it can be taken.
    fn write(&self, step: &Step) -> (Write, Result<Model, Unsound>) {
        match step.compacts {
            Compacts::Nothing => self.batch(step),
            Compacts::Keeping(..) | Compacts::Wrong(..) => self.keeping(step),
            Compacts::Discarding(ahead) => self.discarding(step, ahead, true),
            Compacts::DiscardingHalf(ahead) => self.discarding(step, ahead, false),
        }
    }

    /// The term of an entry, 0 before the first.
    fn term_at(&self, index: u64) -> u64 {
        index.checked_sub(1).and_then(|nth| self.log.get(nth as usize)).map_or(0, |entry| entry.0)
    }

    /// Along with a batch the log begins later.
    fn keeping(&self, step: &Step) -> (Write, Result<Model, Unsound>) {
        let (mut write, next) = self.batch(step);
        let (back, kept, wrong) = match step.compacts {
            Compacts::Wrong(back, kept) => (back, kept, true),
            Compacts::Keeping(back, kept) => (back, kept, false),
            _ => (0, 0, false),
        };
        let last = self.commit.max(write.commit.raw()).saturating_sub(back);
        let mut start = last.saturating_sub(kept);
        let mut term = self.term_at(start);
        if wrong {
            (start, term) = if kept == 0 { (last + 1, term) } else { (start, term + 1) };
        }
        let after = next.as_ref().ok();
        let last_term = after.map_or(1, |after| after.term_at(last));
        let compaction = Compaction {
            snapshot: snapshot(last_term, last),
            start: Position::new(term, start),
            discards: false,
        };
        write.compaction = Some(Box::new(compaction));
        // Only what was in the log before can be what it begins behind.
        let before = write.entries.first().map_or(self.log.len() as u64 + 1, LogIndex::raw);
        let within = self.start <= start && start < before && start <= self.log.len() as u64;
        let fits = !wrong && self.covered < last && (within || start == self.start);
        let next = next.and_then(|next| {
            if fits { Ok(Model { start, covered: last, ..next }) } else { Err(Unsound::Snapshot(last)) }
        });
        (write, next)
    }

    /// A snapshot takes the place of the log, along with a batch behind it.
    fn discarding(&self, step: &Step, ahead: u64, whole: bool) -> (Write, Result<Model, Unsound>) {
        let (last, term) = (self.commit + ahead, self.log.last().map_or(1, |entry| entry.0));
        let restarted = Model {
            log: vec![(term, 0); last as usize],
            commit: last,
            start: last,
            covered: last,
            ..self.clone()
        };
        let (mut write, next) = restarted.batch(&Step { back: step.back / 5, ..step.clone() });
        let snapshot = snapshot(term, last);
        let start = if whole { snapshot.last } else { Position::new(term, last + 1) };
        write.compaction = Some(Box::new(Compaction { snapshot, start, discards: true }));
        let fits = self.commit < last && whole;
        (write, if fits { next } else { Err(Unsound::Snapshot(last)) })
    }

    fn batch(&self, step: &Step) -> (Write, Result<Model, Unsound>) {
        let mut next = self.clone();
        next.term += step.term_step;
        let end = self.log.len() as u64;
        let first = if step.gap { end + 2 } else { end.saturating_sub(step.back) + 1 };
        let base = self.log.last().map_or(1, |last| last.0);
        let contents: Vec<Plain> =
            step.contents.iter().map(|(term, content)| (base + term - 1, *content)).collect();
        let mut sound = true;
        if !contents.is_empty() {
            sound = first <= end + 1 && self.commit < first;
            if sound {
                next.log.truncate(first as usize - 1);
            }
            next.log.extend(&contents);
        }
        sound &= next.log.last().is_none_or(|last| last.0 <= next.term);
        let commit = (next.log.len() as u64).saturating_sub(step.commit_back);
        next.commit = self.commit.max(commit);
        let write = Write {
            number: WriteNumber::new(1),
            hard_state: HardState { term: Term::new(next.term), vote: None },
            entries: cut(first, &contents, &[]),
            compaction: None,
            refounds: None,
            commit: LogIndex::new(commit),
        };
        (write, if sound { Ok(next) } else { Err(Unsound::Otherwise) })
    }

    fn terms_before(&self, index: u64) -> Vec<Position> {
        let mut starts = Vec::<Position>::new();
        // Where it begins behind a snapshot, the log knows the term of that from there on.
        let from = (self.start as usize).saturating_sub(1);
        for (nth, (term, _)) in self.log[..index as usize - 1].iter().enumerate().skip(from) {
            if starts.last().is_none_or(|start| start.term.raw() < *term) {
                starts.push(Position::new(*term, nth as u64 + 1));
            }
        }
        starts
    }
}

fn agrees(recovered: &Recovered, model: &Model) {
    assert_eq!(recovered.hard_state.term.raw(), model.term);
    assert_eq!(recovered.commit.raw(), model.commit);
    assert_eq!(recovered.start, Position::new(model.term_at(model.start), model.start));
    let covered = recovered.snapshot.as_ref().map_or(0, |snapshot| snapshot.last.index.raw());
    assert_eq!(covered, model.covered);
    let first = recovered.tail.first().map_or(model.log.len() as u64 + 1, LogIndex::raw);
    let none = model.log.len() as u64 == model.start;
    assert_eq!(recovered.tail.is_empty(), none, "the tail is empty only if the log is");
    assert!(model.start < first, "nothing is left of what was compacted");
    assert_eq!(contents(&recovered.tail), expected(first, &model.log[first as usize - 1..]));
    assert_eq!(recovered.term_starts().collect::<Vec<_>>(), model.terms_before(first));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Every write that follows from those before is taken, and every other one refused without a trace.
    #[test]
    fn recovery_is_that_of_a_vector(steps in steps(), keep in 0..6u64, shorten_at in 0..20usize) {
        let (mut recovered, mut model) = (Recovered::default(), Model::default());
        for (nth, step) in steps.iter().enumerate() {
            let (write, next) = model.write(step);
            let before = recovered.clone();
            match (recovered.absorb(&write), next) {
                (Ok(()), Ok(next)) => model = next,
                (Err(why), Err(unsound)) => {
                    if let Unsound::Snapshot(index) = unsound {
                        prop_assert_eq!(why, RecoverError::Snapshot(LogIndex::new(index)));
                    }
                    prop_assert_eq!(&recovered, &before, "a refusal changes nothing");
                }
                (taken, _) => panic!("{taken:?} for {write:?}"),
            }
            agrees(&recovered, &model);
            let again = decode_recovered(encode_recovered(&recovered).into());
            prop_assert_eq!(again, Ok(recovered.clone()), "it survives the disk");
            if nth == shorten_at {
                recovered.shorten(keep);
                let length = model.log.len() as u64;
                let first = (length + 1).saturating_sub(keep.max(1)).max(1).min(model.commit + 1).min(length.max(1));
                let first = first.max(model.start + 1);
                prop_assert_eq!(recovered.tail.first().map_or(length + 1, LogIndex::raw), first.min(length + 1));
                agrees(&recovered, &model);
            }
        }
    }
}

/// The comparison above can fail: a model that forgets a truncation does not agree.
#[test]
#[should_panic(expected = "left == right")]
fn recovery_without_truncation_is_seen() {
    let step = |back, content| Step {
        back,
        gap: false,
        term_step: 1,
        contents: vec![(1, content)],
        commit_back: 9,
        compacts: Compacts::Nothing,
    };
    let (mut recovered, model) = (Recovered::default(), Model::default());
    let (write, next) = model.write(&step(0, 1));
    assert_eq!(recovered.absorb(&write), Ok(()));
    let model = next.expect("the first write");
    let (write, _) = model.write(&step(1, 2));
    assert_eq!(recovered.absorb(&write), Ok(()));
    let mut forgetful = model;
    forgetful.term += 1;
    forgetful.log.push((1, 2));
    agrees(&recovered, &forgetful);
}

#[test]
fn recovery_names_what_is_wrong() {
    let write = |term, first, commit, entries| Write {
        number: WriteNumber::new(1),
        hard_state: HardState { term: Term::new(term), vote: None },
        entries: cut(first, entries, &[]),
        compaction: None,
        refounds: None,
        commit: LogIndex::new(commit),
    };
    let mut recovered = Recovered::default();
    assert_eq!(recovered.absorb(&write(3, 1, 1, &[(2, 7), (2, 8)])), Ok(()));
    let index = LogIndex::new;
    assert_eq!(recovered.absorb(&write(3, 4, 0, &[(3, 1)])), Err(RecoverError::Gap(index(4))));
    assert_eq!(recovered.absorb(&write(3, 1, 0, &[(3, 1)])), Err(RecoverError::CommittedTruncated(index(1))));
    assert_eq!(recovered.absorb(&write(2, 3, 0, &[(2, 1)])), Err(RecoverError::HardState));
    assert_eq!(recovered.absorb(&write(3, 3, 0, &[(1, 1)])), Err(RecoverError::Terms(index(3))));
    assert_eq!(recovered.absorb(&write(3, 3, 0, &[(4, 1)])), Err(RecoverError::Terms(index(3))));
    assert_eq!(recovered.absorb(&write(3, 3, 4, &[(3, 1)])), Err(RecoverError::Commit(index(4))));
}

/// The histories above would show little if their snapshots were hardly ever taken.
#[test]
fn histories_compact() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut kept, mut discarded, mut refused) = (0, 0, 0);
    for _ in 0..200 {
        let steps = steps().new_tree(&mut runner).expect("nothing is rejected").current();
        let mut model = Model::default();
        for step in steps {
            let (write, next) = model.write(&step);
            let discards = write.compaction.map(|compaction| compaction.discards);
            refused += u32::from(matches!(next, Err(Unsound::Snapshot(_))));
            kept += u32::from(discards == Some(false) && next.is_ok());
            discarded += u32::from(discards == Some(true) && next.is_ok());
            model = next.unwrap_or(model);
        }
    }
    assert!(50 < kept && 50 < discarded && 100 < refused, "{kept}, {discarded}, {refused}");
}

#[test]
#[should_panic(expected = "left == right")]
fn recovery_without_compaction_is_seen() {
    let contents = vec![(1, 7), (1, 8), (1, 9)];
    let mut step =
        Step { back: 0, gap: false, term_step: 1, contents, commit_back: 0, compacts: Compacts::Nothing };
    let (mut recovered, model) = (Recovered::default(), Model::default());
    let (write, next) = model.write(&step);
    assert_eq!(recovered.absorb(&write), Ok(()));
    let model = next.expect("the first write");
    (step.contents, step.compacts) = (Vec::new(), Compacts::Keeping(0, 1));
    let (write, next) = model.write(&step);
    assert_eq!(recovered.absorb(&write), Ok(()));
    agrees(&recovered, &Model { start: 0, ..next.expect("it fits") });
}

fn run_of(first: u64, entries: &[Entry]) -> Run {
    Run::new(Term::new(1), LogIndex::new(first), entries.to_vec()).expect("in range")
}

/// A part of a run is not the run, though both share their entries; and what differs does not hash alike.
#[test]
fn parts_of_a_run_are_other_runs() {
    let whole = run_of(5, &[entry(1), entry(2), entry(3)]);
    let part = whole.prefix(u64::MAX, 2).0;
    assert_ne!(part, whole);
    assert_eq!(part, run_of(5, &[entry(1), entry(2)]));
    let runs = [
        whole.clone(),
        part,
        run_of(6, &[entry(1), entry(2), entry(3)]),
        run_of(5, &[entry(3), entry(2), entry(1)]),
    ];
    for (nth, run) in runs.iter().enumerate() {
        for other in &runs[..nth] {
            assert_ne!(run, other);
            assert_ne!(hash(run), hash(other));
            assert_ne!(hash(&Runs::from(run.clone())), hash(&Runs::from(other.clone())));
        }
    }
}

/// The longest part of several runs that fits goes to the last byte and the last entry, over the end of a run and not beyond.
#[test]
fn prefix_of_runs_ends_where_the_limit_is() {
    let noop = || Entry::new(LogTime::ZERO, Payload::Noop);
    let mut runs = Runs::from(run_of(1, &[noop(), noop()]));
    runs.push(run_of(3, &[noop()])).expect("consecutive");
    runs.push(run_of(4, &[entry(1)])).expect("consecutive");
    let (one, larger) = (noop().size(), entry(1).size());
    assert!(one == Entry::OVERHEAD_BYTES && one < larger);
    let count = |bytes, entries| runs.prefix(bytes, entries).len();
    for entries in 1..=4 {
        assert_eq!(count(u64::MAX, entries), entries);
    }
    assert_eq!(
        [2 * one, 3 * one - 1, 3 * one, 4 * one, 3 * one + larger].map(|bytes| count(bytes, 9)),
        [2, 2, 3, 3, 4]
    );
    assert_eq!(count(0, 9), 1, "at least one");
}
