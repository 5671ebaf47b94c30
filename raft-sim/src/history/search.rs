//! The search for an order that explains every answer: the algorithm of Wing and Gong, which undoes its last choice where it is
//! stuck, with Lowe's two improvements: invocations and answers are a linked list that chosen calls are lifted out of, and
//! what was tried once is remembered and not tried again.
//!
//! Open calls may take effect or not, and at any later time, which makes many choices of each. A third improvement keeps these
//! few: an open call need only be placed right in front of a call whose reply would be another one without it. (In any other
//! order it can be put behind the next call, which its client, who waits for nothing, can not forbid; and so on until such a
//! call comes, or an overwriting one, or the end, where it can be left out.) And of open writes of values that no reply tells
//! apart, the one that was invoked first is the first to be placed.

use super::memo::Memo;
use super::register::{Operation, Reply};
use super::{Call, Outcome};

/// What came of a search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    Order,
    None,
    OutOfBudget,
}

/// A call as the search sees it. Open calls expect no reply.
#[derive(Clone, Copy)]
struct Choice {
    operation: Operation,
    reply: Option<Reply>,
    /// Its place among those of its kind, answered or open.
    bit: usize,
    /// Its places in the list; an open call has no answer there.
    invoked: usize,
    answered: Option<usize>,
    /// Of an open write that is like any other: the place of the one before it among the open calls.
    behind: Option<usize>,
}

/// Which calls have been placed, trimmed at both ends: in front of `low` all bits are set, from `high` on none.
struct Bits {
    words: Vec<u64>,
    low: usize,
    high: usize,
}

impl Bits {
    fn new(bits: usize) -> Self {
        // One word more than needed, which is never full.
        Bits { words: vec![0; bits / 64 + 1], low: 0, high: 0 }
    }

    fn set(&mut self, bit: usize) {
        let word = bit / 64;
        self.words[word] |= 1 << (bit % 64);
        self.high = self.high.max(word + 1);
        while self.words[self.low] == u64::MAX {
            self.low += 1;
        }
    }

    fn has(&self, bit: usize) -> bool {
        self.words[bit / 64] >> (bit % 64) & 1 == 1
    }

    fn unset(&mut self, bit: usize) {
        let word = bit / 64;
        self.words[word] &= !(1 << (bit % 64));
        self.low = self.low.min(word);
        while self.high != 0 && self.words[self.high - 1] == 0 {
            self.high -= 1;
        }
    }

    fn put(&self, list: &mut Vec<u64>) {
        let trimmed = self.words.get(self.low..self.high).unwrap_or_default();
        list.push((self.low as u64) << 32 | trimmed.len() as u64);
        list.extend_from_slice(trimmed);
    }
}

/// What the search has before it: invocations and answers of the calls not yet placed, in the order of time. Entry 0 is the
/// front and the end.
struct List {
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Whose invocation it is; of answers `None`.
    invocation: Vec<Option<usize>>,
}

impl List {
    fn lift(&mut self, entry: usize) {
        let (before, behind) = (self.previous[entry], self.next[entry]);
        self.next[before] = behind;
        self.previous[behind] = before;
    }

    /// Undoes the last `lift` that was not undone yet.
    fn put_back(&mut self, entry: usize) {
        let (before, behind) = (self.previous[entry], self.next[entry]);
        self.next[before] = entry;
        self.previous[behind] = entry;
    }
}

/// What a register may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// This.
    Exactly(Option<u64>),
    /// Nobody knows.
    Anything,
}

impl Held {
    /// What it holds after an operation with this reply, or `None` where that can not be the reply. Of what is not known only
    /// that is learned that can be written down, which accepts too much rather than too little.
    fn after(self, operation: Operation, reply: Option<Reply>) -> Option<Held> {
        let reply = match (reply, operation) {
            (Some(reply), _) => reply,
            // An open swap that changes nothing can be left out, so it is one that does.
            (None, Operation::CompareAndSwap { .. }) => Reply::Swapped(true),
            (None, Operation::Write(_)) => Reply::Written,
            (None, Operation::Read) => return None,
        };
        match (self, operation, reply) {
            (Held::Exactly(value), ..) => {
                let (after, given) = operation.apply(value);
                (given == reply).then_some(Held::Exactly(after))
            }
            (Held::Anything, Operation::Read, Reply::Value(value)) => Some(Held::Exactly(value)),
            (Held::Anything, Operation::Write(new), Reply::Written)
            | (Held::Anything, Operation::CompareAndSwap { new, .. }, Reply::Swapped(true)) => {
                Some(Held::Exactly(Some(new)))
            }
            (Held::Anything, Operation::CompareAndSwap { .. }, Reply::Swapped(false)) => Some(Held::Anything),
            _ => None,
        }
    }

    fn words(self) -> [u64; 2] {
        match self {
            Held::Exactly(None) => [0, 0],
            Held::Exactly(Some(value)) => [1, value],
            Held::Anything => [2, 0],
        }
    }
}

#[derive(Clone, Copy)]
struct State {
    held: Held,
    /// What was held before the last call, if that was an open one: the next needs the difference.
    before_open: Option<Held>,
}

impl State {
    /// The state after a call; `None` where it can not come next, or need not.
    fn after(self, operation: Operation, reply: Option<Reply>) -> Option<State> {
        let held = self.held.after(operation, reply)?;
        if let Some(before) = self.before_open
            && before.after(operation, reply).is_some()
        {
            return None;
        }
        // Where anything may be held, it may be just what the open call would write.
        let before_open = reply.is_none().then_some(self.held);
        (before_open != Some(held) && before_open != Some(Held::Anything))
            .then_some(State { held, before_open })
    }

    fn words(self) -> [u64; 3] {
        let [kind, value] = self.held.words();
        let [kind_before, value_before] = self.before_open.map_or([3, 0], Held::words);
        [kind << 2 | kind_before, value, value_before]
    }
}

struct Search {
    choices: Vec<Choice>,
    list: List,
    answered: Bits,
    open: Bits,
    state: State,
    memo: Memo,
    /// What was chosen, and the state before it.
    trail: Vec<(usize, State)>,
    key: Vec<u64>,
}

/// Whether an order of these calls, all of one register that holds `first` at first, explains all answers; and how much of the
/// budget it took to know.
pub(super) fn search(calls: &[Call], first: Held, budget: u64) -> (Found, u64) {
    let mut search = Search::new(calls, first);
    let mut left = search.choices.iter().filter(|choice| choice.reply.is_some()).count();
    let mut spent = 0;
    let mut entry = search.list.next[0];
    while left != 0 {
        if budget < spent {
            return (Found::OutOfBudget, spent);
        }
        spent += 1;
        let placed = search.list.invocation[entry].map(|choice| (choice, search.place(choice)));
        match placed {
            Some((choice, true)) => {
                spent += search.key.len() as u64;
                left -= usize::from(search.choices[choice].reply.is_some());
                entry = search.list.next[0];
            }
            Some((_, false)) => entry = search.list.next[entry],
            // Behind this answer nothing may stand before its call was placed, and all before it was tried.
            None => {
                let Some(choice) = search.take_back() else { return (Found::None, spent) };
                left += usize::from(search.choices[choice].reply.is_some());
                entry = search.list.next[search.choices[choice].invoked];
            }
        }
    }
    (Found::Order, spent)
}

impl Search {
    fn new(calls: &[Call], first: Held) -> Self {
        let wanted = Wanted::of(calls);
        let mut choices = Vec::with_capacity(calls.len());
        let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * calls.len());
        let (mut answered, mut open) = (0, 0);
        let mut last_alike = None;
        for call in calls {
            let (reply, bits) = match call.outcome {
                Outcome::Answered { at, reply } => {
                    // At the same moment invocations come first: what happens at one moment is concurrent.
                    events.push((at, true, choices.len()));
                    (Some(reply), &mut answered)
                }
                Outcome::Open if wanted.sees(call.operation) => (None, &mut open),
                _ => continue,
            };
            events.push((call.invoked, false, choices.len()));
            let alike = reply.is_none() && wanted.tells_nothing_of(call.operation);
            let behind = if alike { last_alike.replace(*bits) } else { None };
            let (operation, bit) = (call.operation, *bits);
            choices.push(Choice { operation, reply, bit, invoked: 0, answered: None, behind });
            *bits += 1;
        }
        events.sort_unstable();
        let length = events.len() + 1;
        let list = List {
            next: (1..length).chain([0]).collect(),
            previous: [length - 1].into_iter().chain(0..length - 1).collect(),
            invocation: [None]
                .into_iter()
                .chain(events.iter().map(|(_, is_answer, of)| (!is_answer).then_some(*of)))
                .collect(),
        };
        for (nth, (_, is_answer, of)) in events.into_iter().enumerate() {
            if is_answer {
                choices[of].answered = Some(nth + 1);
            } else {
                choices[of].invoked = nth + 1;
            }
        }
        Search {
            choices,
            list,
            answered: Bits::new(answered),
            open: Bits::new(open),
            state: State { held: first, before_open: None },
            memo: Memo::default(),
            trail: Vec::new(),
            key: Vec::new(),
        }
    }

    fn bits(&mut self, choice: usize) -> &mut Bits {
        if self.choices[choice].reply.is_some() { &mut self.answered } else { &mut self.open }
    }

    /// Lets a call be the next, if its reply fits and that leads to something new.
    fn place(&mut self, choice: usize) -> bool {
        let Choice { operation, reply, bit, invoked, answered, behind } = self.choices[choice];
        if behind.is_some_and(|behind| !self.open.has(behind)) {
            return false;
        }
        let Some(state) = self.state.after(operation, reply) else { return false };
        self.bits(choice).set(bit);
        self.key.clear();
        self.key.extend(state.words());
        self.answered.put(&mut self.key);
        self.open.put(&mut self.key);
        if !self.memo.insert(&self.key) {
            self.bits(choice).unset(bit);
            return false;
        }
        self.trail.push((choice, self.state));
        self.state = state;
        self.list.lift(invoked);
        if let Some(answered) = answered {
            self.list.lift(answered);
        }
        true
    }

    /// Undoes the last choice.
    fn take_back(&mut self) -> Option<usize> {
        let (choice, state) = self.trail.pop()?;
        let Choice { bit, invoked, answered, .. } = self.choices[choice];
        if let Some(answered) = answered {
            self.list.put_back(answered);
        }
        self.list.put_back(invoked);
        self.bits(choice).unset(bit);
        self.state = state;
        Some(choice)
    }
}

/// What the calls of a history may have seen of each other.
pub(super) struct Wanted {
    /// Values read, or expected and found, or expected by a call that may have found them. Sorted.
    values: Vec<Option<u64>>,
    /// What a swap expected and did not find; anything else can be what it found.
    missed: Vec<Option<u64>>,
}

impl Wanted {
    pub(super) fn of(calls: &[Call]) -> Self {
        let (mut values, mut missed) = (Vec::new(), Vec::new());
        for call in calls {
            let expected = match call.operation {
                Operation::CompareAndSwap { expected, .. } => Some(expected),
                _ => None,
            };
            match call.outcome {
                Outcome::Answered { reply: Reply::Value(value), .. } => values.push(value),
                Outcome::Answered { reply: Reply::Swapped(false), .. } => missed.extend(expected),
                Outcome::Answered { .. } | Outcome::Open => values.extend(expected),
                Outcome::Refused => {}
            }
        }
        values.sort_unstable();
        missed.sort_unstable();
        missed.dedup();
        Wanted { values, missed }
    }

    /// Whether one of them may have seen what this operation writes.
    pub(super) fn sees(&self, operation: Operation) -> bool {
        let (Operation::Write(new) | Operation::CompareAndSwap { new, .. }) = operation else { return false };
        self.finds(operation) || self.missed.iter().any(|expected| *expected != Some(new))
    }

    /// Whether this is a write of a value that none of them names, so that it does not matter which such value it is.
    fn tells_nothing_of(&self, operation: Operation) -> bool {
        let Operation::Write(new) = operation else { return false };
        !self.finds(operation) && self.missed.binary_search(&Some(new)).is_err()
    }

    /// Whether one of them has seen the very value that this operation writes.
    pub(super) fn finds(&self, operation: Operation) -> bool {
        let (Operation::Write(new) | Operation::CompareAndSwap { new, .. }) = operation else { return false };
        self.values.binary_search(&Some(new)).is_ok()
    }
}
