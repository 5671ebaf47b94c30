//! The two judges of histories, held against each other, against every order there is, and against an independent one.

mod support;

use raft_sim::Random;
use raft_sim::history::{
    BUDGET, Call, History, Judgement, Operation, Outcome, Registers, Reply, WitnessError,
};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use support::histories::{Shape, mutate, right};

const TINY: Shape = Shape { calls: 5, clients: 3, keys: 1, values: 2, lost: 250, refused: 60 };
const SMALL: Shape = Shape { calls: 9, clients: 3, keys: 2, values: 3, lost: 120, refused: 60 };

fn is_linearizable(history: &History) -> bool {
    match history.check(BUDGET) {
        Judgement::Linearizable => true,
        Judgement::Refused(_) => false,
        Judgement::Undecided { key } => panic!("the budget has to suffice for register {key}"),
    }
}

/// The independent one's view of our registers.
#[derive(Clone, Debug, Default)]
struct Specification(Registers);

impl SequentialSpec for Specification {
    type Op = (u64, Operation);
    type Ret = Reply;

    fn invoke(&mut self, (key, operation): &Self::Op) -> Reply {
        self.0.apply(*key, *operation)
    }
}

/// The judgement of stateright's tester, which shares neither code nor algorithm with ours. Every call is a thread of its
/// own, so that calls that stay open block nobody.
fn is_linearizable_to_others(history: &History) -> bool {
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (nth, call) in history.calls.iter().enumerate() {
        match call.outcome {
            Outcome::Refused => continue,
            Outcome::Answered { at, .. } => events.push((at, true, nth)),
            Outcome::Open => {}
        }
        events.push((call.invoked, false, nth));
    }
    events.sort_unstable();
    let mut tester = LinearizabilityTester::new(Specification::default());
    for (_, is_answer, nth) in events {
        let Call { key, operation, outcome, .. } = history.calls[nth];
        let done = match outcome {
            Outcome::Answered { reply, .. } if is_answer => tester.on_return(nth, reply),
            _ => tester.on_invoke(nth, (key, operation)),
        };
        assert!(done.is_ok(), "{done:?}");
    }
    tester.is_consistent()
}

/// Whether some order of the calls is a witness: all are tried, with every choice of the open ones.
fn has_a_witness(history: &History) -> bool {
    fn extended(history: &mut History, position: u64) -> bool {
        let waits = |call: &Call| call.position.is_none() && call.outcome != Outcome::Refused;
        let answered = |call: &Call| matches!(call.outcome, Outcome::Answered { .. });
        if !history.calls.iter().any(|call| waits(call) && answered(call)) && history.by_witness().is_ok() {
            return true;
        }
        for nth in 0..history.calls.len() {
            if waits(&history.calls[nth]) {
                history.calls[nth].position = Some(position);
                if extended(history, position + 1) {
                    return true;
                }
                history.calls[nth].position = None;
            }
        }
        false
    }
    let mut history = history.clone();
    history.calls.iter_mut().for_each(|call| call.position = None);
    extended(&mut history, 1)
}

/// Goal: all judges say the same. Method: thousands of small histories, as they happened and with one to three details
/// changed, of which many are still right; the tiny ones also against every order there is.
#[test]
fn judges_agree_on_thousands_of_histories() {
    let mut random = Random::new(3);
    let (mut accepted, mut refused) = (0, 0);
    for nth in 0..4_000 {
        let tiny = nth % 2 == 0;
        let mut history = right(if tiny { TINY } else { SMALL }, &mut random);
        assert_eq!(history.by_witness(), Ok(()), "{history:?}");
        assert!(is_linearizable(&history), "{history:?}");
        assert!(is_linearizable_to_others(&history), "{history:?}");
        for _ in 0..random.between(1, 3) {
            mutate(&mut history, &mut random);
        }
        let verdict = is_linearizable(&history);
        assert_eq!(verdict, is_linearizable_to_others(&history), "{history:?}");
        assert!(verdict || history.by_witness().is_err(), "{history:?}");
        if tiny {
            assert_eq!(verdict, has_a_witness(&history), "{history:?}");
        }
        if verdict { accepted += 1 } else { refused += 1 }
    }
    assert!(500 < accepted && 500 < refused, "{accepted} accepted, {refused} refused");
}

/// Goal: what a refusal shows is itself a contradiction, also to the independent judge, and small. Method: wrong histories of
/// several sizes; what is shown of them is judged alone.
#[test]
fn contradictions_contradict() {
    let mut random = Random::new(5);
    let (mut seen, mut refused, mut small) = (0, 0, 0);
    for nth in 0..400 {
        let calls = random.pick(&[9, 40, 200]);
        let mut history = right(Shape { calls, ..SMALL }, &mut random);
        mutate(&mut history, &mut random);
        let Judgement::Refused(shown) = history.check(BUDGET) else { continue };
        let mut calls = shown.answers.clone();
        calls.extend(shown.others.iter().map(|call| Call { outcome: Outcome::Open, ..*call }));
        let alone = History { calls };
        assert!(!is_linearizable(&alone), "{nth}: {shown}");
        if alone.calls.len() < 9 {
            assert!(!is_linearizable_to_others(&alone), "{nth}: {shown}");
            seen += 1;
        }
        refused += 1;
        small += usize::from(shown.answers.len() <= 4);
    }
    assert!(100 < seen && 9 * refused < 10 * small, "{seen} seen by others, {small} of {refused} small");
}

/// Goal: a wrong history of ten thousand operations is refused by both judges, with a small reason. Method: right ones with
/// lost and refused calls and values that all differ; one read late in it is answered with what was overwritten long before.
#[test]
fn wrong_history_of_ten_thousand_operations_is_refused() {
    for (seed, clients, keys) in [(1, 10, 10), (2, 5, 20), (3, 50, 100)] {
        let shape = Shape { calls: 10_000, clients, keys, values: 0, lost: 40, refused: 40 };
        let mut history = right(shape, &mut Random::new(seed));
        assert!(is_linearizable(&history));
        assert_eq!(history.by_witness(), Ok(()));
        let reads =
            |call: &&mut Call| matches!(call.outcome, Outcome::Answered { reply: Reply::Value(Some(_)), .. });
        let mut reads = history.calls.iter_mut().filter(reads);
        let old = reads.next().map(|call| call.outcome);
        let Some(Outcome::Answered { reply: stale, .. }) = old else { panic!("there are reads") };
        let key = history.calls.iter().find(|call| Some(call.outcome) == old).map(|call| call.key);
        let late = |call: &&mut Call| {
            Some(call.key) == key && matches!(call.outcome, Outcome::Answered { reply: Reply::Value(_), .. })
        };
        let call = history.calls.iter_mut().rev().find(late).unwrap();
        let Outcome::Answered { at, .. } = call.outcome else { panic!("it is answered") };
        call.outcome = Outcome::Answered { at, reply: stale };
        assert!(matches!(*history.by_witness().unwrap_err(), WitnessError::WrongReply { .. }));
        let judgement = history.check(BUDGET);
        let Judgement::Refused(shown) = judgement else { panic!("seed {seed}: {judgement:?}") };
        assert!(shown.answers.len() <= 4, "{shown}");
    }
}

/// Goal: a right history of a million operations is accepted by its witness, and refused with one wrong reply in it. Method:
/// both.
#[test]
fn million_operations_are_judged_by_witness() {
    let shape = Shape { calls: 1_000_000, clients: 50, keys: 1000, values: 0, lost: 20, refused: 20 };
    let mut history = right(shape, &mut Random::new(1));
    assert_eq!(history.by_witness(), Ok(()));
    let late =
        |call: &&mut Call| matches!(call.outcome, Outcome::Answered { reply: Reply::Swapped(true), .. });
    let call = history.calls.iter_mut().rev().find(late).unwrap();
    let Outcome::Answered { at, .. } = call.outcome else { panic!("it is answered") };
    call.outcome = Outcome::Answered { at, reply: Reply::Swapped(false) };
    let wrong = *call;
    let expected = Reply::Swapped(true);
    let wrong = Box::new(WitnessError::WrongReply { call: wrong, expected });
    assert_eq!(history.by_witness(), Err(wrong));
}

/// Goal: a search without an end ends. Method: many overlapping writes of values that all fit, and a read of none of them.
#[test]
fn search_out_of_budget_is_undecided() {
    let call = |client, operation, invoked, at, reply| {
        let outcome = Outcome::Answered { at, reply };
        Call { client, key: 4, operation, invoked, outcome, position: None }
    };
    let writes = (0..40).map(|nth| call(nth, Operation::Write(nth), nth, 100 + nth, Reply::Written));
    let mut history = History { calls: writes.collect() };
    history.push(call(99, Operation::Read, 50, 60, Reply::Value(Some(77))));
    assert_eq!(history.check(100_000), Judgement::Undecided { key: 4 });
    // Now the first order that is tried is one.
    history.calls[39].operation = Operation::Write(77);
    assert_eq!(history.check(100_000), Judgement::Linearizable);
}

/// Goal: every kind of wrong witness is seen. Method: a good one, and one thing wrong at a time.
#[test]
fn witness_is_judged_by_every_word_of_its_rule() {
    let call = |operation, invoked, at, reply, position| {
        let outcome = Outcome::Answered { at, reply };
        Call { client: 1, key: 1, operation, invoked, outcome, position: Some(position) }
    };
    let good = History {
        calls: vec![
            call(Operation::Write(5), 1, 2, Reply::Written, 3),
            call(Operation::Read, 3, 4, Reply::Value(Some(5)), 3),
            call(Operation::Read, 5, 6, Reply::Value(Some(5)), 3),
            call(Operation::CompareAndSwap { expected: Some(5), new: 6 }, 7, 9, Reply::Swapped(true), 8),
            Call { outcome: Outcome::Open, ..call(Operation::Write(7), 8, 0, Reply::Written, 9) },
            Call {
                outcome: Outcome::Refused,
                position: None,
                ..call(Operation::Write(8), 9, 0, Reply::Written, 0)
            },
            Call {
                outcome: Outcome::Open,
                position: None,
                ..call(Operation::Write(9), 9, 0, Reply::Written, 0)
            },
        ],
    };
    assert_eq!(good.by_witness(), Ok(()));
    let judged = |change: &dyn Fn(&mut Vec<Call>)| {
        let mut history = good.clone();
        change(&mut history.calls);
        *history.by_witness().unwrap_err()
    };
    use WitnessError as E;
    assert!(matches!(judged(&|calls| calls[1].invoked = 5), E::Backwards { .. }));
    assert!(matches!(judged(&|calls| calls[5].position = Some(20)), E::RefusedInLog { .. }));
    assert!(matches!(judged(&|calls| calls[3].position = None), E::NoPosition { .. }));
    assert!(matches!(judged(&|calls| calls[4].position = Some(8)), E::SharedPosition { .. }));
    assert!(matches!(judged(&|calls| calls[2].position = Some(9)), E::WrongReply { .. }));
    assert!(matches!(judged(&|calls| calls[2].position = Some(2)), E::WrongReply { .. }));
    // A read that is no lower than another that was over, and one that is.
    let stale = |calls: &mut Vec<Call>| {
        calls[1].position = Some(2);
        calls[1].outcome = Outcome::Answered { at: 4, reply: Reply::Value(None) };
    };
    assert!(matches!(judged(&stale), E::AgainstTime { .. }));
    // A write can not stand where a read was over before it.
    assert!(matches!(judged(&|calls| calls[1].position = Some(8)), E::WrongReply { .. }));
    let squeezed = |calls: &mut Vec<Call>| {
        calls.truncate(4);
        calls[2].position = Some(8);
        calls[2].outcome = Outcome::Answered { at: 6, reply: Reply::Value(Some(6)) };
    };
    assert!(matches!(judged(&squeezed), E::AgainstTime { .. }));
    // An open call takes effect after its invocation too.
    assert!(matches!(
        judged(&|calls| {
            calls[4].position = Some(7);
            calls[4].invoked = 20;
            calls[3].operation = Operation::Write(6);
            calls[3].outcome = Outcome::Answered { at: 9, reply: Reply::Written };
        }),
        E::AgainstTime { .. }
    ));
}
