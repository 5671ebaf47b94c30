//! Breadth-first over a space: the first run that breaks a rule is a shortest one.
//!
//! # The reduction
//!
//! Two actions at different servers can happen in either order and come to the same: `a` before `b` or `b` before `a`. Where both were possible
//! already before `a`, the search takes them in one order only, the one in which the action that looks greater comes last. How an action
//! looks does not change while others happen elsewhere, nor under other names; so of the ways that lead to a state in a number of actions the one
//! whose last action looks greatest is always taken, and every state is reached, by as few actions as without the reduction.

use std::sync::atomic::{AtomicBool, Ordering};

use super::book::Book;
use super::rules::Broken;
use super::space::{Bounds, BoundsError, Space};
use super::state::{Of, State};
use super::successor::{Act, Taken, check, take};
use super::trace::Trace;
use super::visited::Visited;
use super::{Found, Limits, Marks, Progress, Report};
use crate::schedule::Schedule;

/// How a state was reached, as far as the reduction has to know it.
#[derive(Clone, Copy, Debug, Default)]
struct Arrival {
    /// How the last action looked.
    look: u32,
    /// Where it happened, here.
    place: u8,
    /// How many packets were in flight before.
    before: u8,
    /// Whether it was a request: the next one has another number.
    proposed: bool,
}

/// A state that an act leads to, before it is known whether it was met already.
#[derive(Clone, Copy, Debug)]
struct Reached {
    state: State,
    fingerprint: u128,
    /// From which state, and by which act.
    from: u32,
    act: Act,
    arrival: Arrival,
    rewritten: bool,
}

/// So many are looked up together: the memory is asked for all of them before the first answer is waited for.
const TOGETHER: usize = 128;

/// States have numbers of 32 bits; there is room for what is met until the next look at this.
const NUMBERS_MAX: usize = u32::MAX as usize - (1 << 24);

/// No server is there.
const NOWHERE: u8 = 15;

impl Arrival {
    const FIRST: Arrival = Arrival { look: 0, place: NOWHERE, before: 0, proposed: false };

    const fn pack(self) -> [u32; 2] {
        let rest = self.place as u32 | (self.before as u32) << 8;
        [self.look, rest | (self.proposed as u32) << 16]
    }

    const fn unpack(look: u32, rest: u32) -> Self {
        Arrival { look, place: rest as u8, before: (rest >> 8) as u8, proposed: rest >> 16 & 1 == 1 }
    }
}

/// A search that is under way.
pub(super) struct Search {
    book: Book,
    limits: Limits,
    visited: Visited,
    // States of one depth, packed, each with its arrival.
    level: Vec<u32>,
    next: Vec<u32>,
    reached: Vec<Reached>,
    depth: u32,
    successors: u64,
    cut_off: u64,
    skipped: u64,
    marks: Marks,
}

impl Search {
    pub(super) fn new(bounds: Bounds, limits: Limits) -> Result<Self, BoundsError> {
        Ok(Search::of(Space::new(bounds)?, limits))
    }

    pub(super) fn of(space: Space, limits: Limits) -> Self {
        Search {
            book: Book::new(space),
            limits,
            visited: Visited::new(),
            level: Vec::new(),
            next: Vec::new(),
            reached: Vec::with_capacity(2 * TOGETHER),
            depth: 0,
            successors: 0,
            cut_off: 0,
            skipped: 0,
            marks: Marks::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn book(&mut self) -> &mut Book {
        &mut self.book
    }

    /// Goes on until the space is finished, a rule is broken, a limit is reached or `stop` is set.
    pub(super) fn run(&mut self, stop: &AtomicBool, watch: &mut dyn FnMut(Progress)) -> Report {
        let mut trace = Trace::new(&mut self.book);
        let (first, _) = trace.state.canonical(&mut self.book, false, &mut ());
        trace.state = first;
        self.visited.insert(first.fingerprint(&self.book.space), 0, 0);
        first.pack(&self.book.space, &mut self.next);
        self.next.extend(Arrival::FIRST.pack());
        let mut number = 0_u32;
        while !self.next.is_empty() {
            std::mem::swap(&mut self.level, &mut self.next);
            self.next.clear();
            let width = State::width(&self.book.space) + 2;
            let states = self.level.len() / width;
            for nth in 0..states {
                let words = &self.level[nth * width..(nth + 1) * width];
                let state = State::unpack(&self.book.space, words);
                let arrival = Arrival::unpack(words[width - 2], words[width - 1]);
                let mut went =
                    self.expand(&state, arrival, number).map_err(|(broken, act)| (broken, (number, act)));
                if went.is_ok() && (TOGETHER <= self.reached.len() || nth + 1 == states) {
                    went = self.take_note();
                }
                if let Err((broken, last)) = went {
                    let found = self.tell(broken, last);
                    return self.report(Some(found), true);
                }
                number += 1;
                if number.is_multiple_of(1 << 12) {
                    watch(self.progress(states - nth));
                    if stop.load(Ordering::Relaxed) || self.is_over() {
                        return self.report(None, false);
                    }
                }
            }
            self.depth += u32::from(!self.next.is_empty());
        }
        self.report(None, true)
    }

    fn is_over(&self) -> bool {
        let frontier = 4 * (self.level.capacity() + self.next.capacity());
        self.limits.states.is_some_and(|states| states <= self.visited.len() as u64)
            || self.limits.bytes.is_some_and(|bytes| bytes <= (self.visited.bytes() + frontier) as u64)
            || NUMBERS_MAX <= self.visited.len()
    }

    fn progress(&self, left: usize) -> Progress {
        Progress { states: self.visited.len() as u64, depth: self.depth, left: left as u64 }
    }

    fn report(&self, found: Option<Found>, finished: bool) -> Report {
        let (servers, packets) = self.book.met();
        Report {
            states: self.visited.len() as u64,
            successors: self.successors,
            skipped: self.skipped,
            cut_off: self.cut_off,
            depth: self.depth,
            steps: self.book.steps,
            servers: servers as u64,
            packets: packets as u64,
            marks: self.marks,
            finished: finished && found.is_none(),
            found,
        }
    }

    /// The run that has led to a state, and the choice that broke a rule there.
    fn tell(&mut self, broken: Broken, (number, choice): (u32, Act)) -> Found {
        let mut choices = vec![choice];
        let mut at = number;
        while at != 0 {
            let (parent, choice) = self.visited.arrival(at);
            choices.push(Act::unpack(choice));
            at = parent;
        }
        choices.reverse();
        let mut trace = Trace::new(&mut self.book);
        let symmetry = self.limits.symmetry;
        for choice in &choices {
            trace.take(&mut self.book, *choice, symmetry);
        }
        let schedule: Schedule = trace.schedule(&self.book.space, &broken);
        Found { oracle: broken.oracle.to_owned(), what: broken.what, choices: choices.len() as u64, schedule }
    }

    /// Looks at everything that can happen in a state.
    fn expand(&mut self, state: &State, arrival: Arrival, number: u32) -> Result<(), (Broken, Act)> {
        let space = &self.book.space;
        let bounds = *space.bounds();
        for place in 0..space.servers() {
            let facts = *self.book.server_facts(state.servers[place]);
            let place = place as u8;
            if !facts.up {
                self.consider(state, arrival, number, Act::Restart(place))?;
                continue;
            }
            if facts.can_time_out {
                self.consider(state, arrival, number, Act::Timeout(place))?;
            }
            if facts.leads && 1 < bounds.nodes {
                self.consider(state, arrival, number, Act::Silence(place))?;
            }
            if facts.leads && state.used.of(Of::Entries) < bounds.entries {
                self.consider(state, arrival, number, Act::Propose(place))?;
            }
            if facts.leads && state.used.of(Of::Changes) < bounds.changes {
                for voters in 1..1 << bounds.nodes {
                    self.consider(state, arrival, number, Act::Reconfigure(place, voters))?;
                }
            }
            for writes in 1..=facts.queued {
                self.consider(state, arrival, number, Act::Sync(place, writes))?;
            }
            if state.used.of(Of::Crashes) < bounds.crashes {
                for kept in 0..=facts.queued {
                    self.consider(state, arrival, number, Act::Crash(place, kept))?;
                }
            }
        }
        for nth in 0..usize::from(state.count) {
            // Equal packets are as good as one another.
            if 0 < nth && state.packets[nth] == state.packets[nth - 1] {
                continue;
            }
            let receiver = state.servers[usize::from(self.book.packet_facts(state.packets[nth]).to)];
            let up = self.book.server_facts(receiver).up;
            let nth = nth as u8;
            if up {
                self.consider(state, arrival, number, Act::Deliver(nth))?;
                if state.used.of(Of::Duplicates) < bounds.duplicates {
                    self.consider(state, arrival, number, Act::DeliverCopy(nth))?;
                }
            }
            if state.used.of(Of::Drops) < bounds.drops {
                self.consider(state, arrival, number, Act::Drop(nth))?;
            }
        }
        Ok(())
    }

    fn consider(
        &mut self,
        state: &State,
        arrival: Arrival,
        number: u32,
        act: Act,
    ) -> Result<(), (Broken, Act)> {
        let taken = match take(&mut self.book, state, act) {
            Ok(Some(taken)) => taken,
            Ok(None) => {
                self.cut_off += 1;
                return Ok(());
            }
            Err(broken) => return Err((broken, act)),
        };
        if self.limits.reduction && self.is_taken_before(state, arrival, act, &taken) {
            self.skipped += 1;
            return Ok(());
        }
        self.reach(state, number, act, &taken);
        Ok(())
    }

    fn reach(&mut self, before: &State, from: u32, act: Act, taken: &Taken) {
        self.successors += 1;
        let (state, exchange) = taken.state.canonical(&mut self.book, self.limits.symmetry, &mut ());
        let fingerprint = state.fingerprint(&self.book.space);
        let place = self.book.exchanges[exchange].of(taken.place) as u8;
        let proposed = matches!(act, Act::Propose(_) | Act::Reconfigure(..));
        let arrival = Arrival { look: taken.look, place, before: before.count, proposed };
        self.reached.push(Reached { state, fingerprint, from, act, arrival, rewritten: taken.rewritten });
    }

    /// Takes note of the states that were reached, as far as they are new.
    fn take_note(&mut self) -> Result<(), (Broken, (u32, Act))> {
        self.visited.ask_for(self.reached.iter().map(|reached| reached.fingerprint));
        let mut reached = std::mem::take(&mut self.reached);
        for Reached { state, fingerprint, from, act, arrival, rewritten } in reached.drain(..) {
            if !self.visited.insert(fingerprint, from, act.pack()) {
                continue;
            }
            if rewritten {
                check(&mut self.book, &state).map_err(|broken| (broken, (from, act)))?;
            }
            self.marks.note(&self.book, &state);
            state.pack(&self.book.space, &mut self.next);
            self.next.extend(arrival.pack());
        }
        self.reached = reached;
        Ok(())
    }

    /// Whether what follows on this action and the one before it is also reached by taking this one first, see the module.
    fn is_taken_before(&self, state: &State, arrival: Arrival, act: Act, taken: &Taken) -> bool {
        let elsewhere = arrival.place != NOWHERE && usize::from(arrival.place) != taken.place;
        if !elsewhere || arrival.look <= taken.look {
            return false;
        }
        let was_there = match act {
            Act::Deliver(nth) | Act::DeliverCopy(nth) | Act::Drop(nth) => {
                self.book.packet_facts(state.packets[usize::from(nth)]).from != arrival.place
            }
            Act::Propose(_) | Act::Reconfigure(..) => !arrival.proposed,
            _ => true,
        };
        // Were this one first, there would be room for what it sends, whether or not the other one makes that useless.
        let sent = taken.change.map_or(0, |change| change.sent);
        let arrived = u8::from(matches!(act, Act::Deliver(_)));
        was_there && arrival.before + sent - arrived <= self.book.space.bounds().messages
    }
}
