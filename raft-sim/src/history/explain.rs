//! Makes a refused history small enough to be read, in three ways that can not make a right one wrong.
//!
//! ```text
//!     ────────────────────────────┬──────────────────┬─────────────────────────▶ time
//!     answered before `from`:     │  the window is   │ invoked after `to`: left out
//!     left out, and the register  │  refused still   │ answered after it: open
//!     holds anything at first     │                  │
//! ```
//!
//! The earliest `to` is looked for first, then the latest `from`. Then it forgets answers in the window, many at once and then one
//! by one, as long as the rest is refused still: of a call whose answer is forgotten nobody knows whether it took effect.

use super::search::{Found, Held, Wanted, search};
use super::{Call, Contradiction, Outcome};

/// The most that one attempt to forget answers may cost: where it costs more, it would not be simple to follow either.
const ATTEMPT: u64 = 50_000;

/// Calls of one register, by invocation, and what it holds at first.
#[derive(Clone)]
struct Window {
    first: Held,
    calls: Vec<Call>,
}

/// What remains to be spent on making it small.
struct Purse(u64);

impl Purse {
    /// Whether this is known to be refused. Where the purse or `most` does not suffice, it is not.
    fn refuses(&mut self, window: &Window, most: u64) -> bool {
        let (found, spent) = search(&window.calls, window.first, self.0.min(most));
        // Going through the calls costs something too.
        self.0 = self.0.saturating_sub(spent.saturating_add(window.calls.len() as u64));
        found == Found::None
    }

    /// The first place below `places` from which on it is refused, if it is at the last.
    fn first_refused(&mut self, places: usize, window: impl Fn(usize) -> Window) -> usize {
        let (mut low, mut high) = (0, places.saturating_sub(1));
        while low < high {
            let middle = low.midpoint(high);
            if self.refuses(&window(middle), u64::MAX) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        high
    }
}

fn end(call: &Call) -> Option<u64> {
    match call.outcome {
        Outcome::Answered { at, .. } => Some(at),
        _ => None,
    }
}

fn forgotten(call: &Call) -> Call {
    Call { outcome: Outcome::Open, ..*call }
}

/// The history as it was known at this moment.
fn known_at(calls: &[Call], moment: u64) -> Window {
    let begun = calls.iter().filter(|call| call.invoked <= moment);
    let known = |call: &Call| if end(call).is_some_and(|at| moment < at) { forgotten(call) } else { *call };
    Window { first: Held::Exactly(None), calls: begun.map(known).collect() }
}

/// What someone sees of it who begins to look at this moment.
fn seen_from(calls: &[Call], moment: u64) -> Window {
    let not_over = calls.iter().filter(|call| end(call).is_none_or(|at| moment <= at));
    let seen = |call: &Call| if call.invoked < moment { forgotten(call) } else { *call };
    Window { first: Held::Anything, calls: not_over.map(seen).collect() }
}

/// `calls` are of one register, by invocation, and refused.
pub(super) fn explain(calls: &[Call], budget: u64) -> Contradiction {
    let mut purse = Purse(budget);
    let mut ends: Vec<u64> = calls.iter().filter_map(end).collect();
    ends.sort_unstable();
    ends.dedup();
    let shortest = purse.first_refused(ends.len(), |nth| known_at(calls, ends[nth]));
    let mut window = ends.get(shortest).map_or_else(|| known_at(calls, u64::MAX), |to| known_at(calls, *to));
    let mut starts: Vec<u64> = window.calls.iter().map(|call| call.invoked).collect();
    starts.dedup();
    starts.reverse();
    let latest = purse.first_refused(starts.len(), |nth| seen_from(&window.calls, starts[nth]));
    // Unlike the end of the whole, its start is not known to do: there the register is empty, and holds not just anything.
    let narrow = starts.get(latest).map(|from| seen_from(&window.calls, *from));
    if let Some(narrow) = narrow.filter(|narrow| purse.refuses(narrow, u64::MAX)) {
        window = narrow;
    }
    forget(&mut window, &mut purse);
    let wanted = Wanted::of(&window.calls);
    let is_open = |call: &&Call| call.outcome == Outcome::Open && wanted.finds(call.operation);
    // As they were before their answers were forgotten.
    let original = |of: &Call| {
        let same = |call: &&Call| **call == *of || forgotten(call) == *of;
        calls.iter().find(same).map_or(*of, |call| *call)
    };
    Contradiction {
        key: calls.first().map_or(0, |call| call.key),
        answers: window.calls.iter().filter(|call| end(call).is_some()).copied().collect(),
        others: window.calls.iter().filter(is_open).map(original).collect(),
    }
}

fn forget(window: &mut Window, purse: &mut Purse) {
    let mut size = window.calls.len().next_power_of_two();
    while size != 0 && purse.0 != 0 {
        for start in (0..window.calls.len()).step_by(size) {
            let range = start..window.calls.len().min(start + size);
            if !window.calls[range.clone()].iter().any(|call| end(call).is_some()) {
                continue;
            }
            let mut fewer = window.clone();
            for call in &mut fewer.calls[range] {
                *call = forgotten(call);
            }
            if purse.refuses(&fewer, ATTEMPT) {
                *window = fewer;
            }
        }
        size /= 2;
    }
}
