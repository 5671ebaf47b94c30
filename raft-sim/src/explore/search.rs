//! Breadth-first over a space: the first run that breaks a rule is a shortest one.
//!
//! # The reduction
//!
//! Two actions at different servers can happen in either order and come to the same: `a` before `b` or `b` before `a`. Where both were possible
//! already before `a`, the search takes them in one order only, the one in which the action that looks greater comes last. How an action
//! looks does not change while others happen elsewhere, nor under other names; so of the ways that lead to a state in a number of actions the one
//! whose last action looks greatest is always taken, and every state is reached, by as few actions as without the reduction.
//!
//! # Limits
//!
//! How many losses, copies, heartbeats and snapshots there have been is no part of what servers do: it is a limit and nothing more. Of
//! two states that differ in nothing else the one that has used up less can do all that the other one can; where it is not farther away, it
//! *covers* the other one, which is left out: whatever is to be found behind that is found behind this one, by as few actions. So every state
//! that can be reached is met or covered by one that is not farther away. With the reduction, too: let the last of a shortest run to a state that is
//! neither look greatest; the state before it is covered by one that is looked at, from which the same action is left to another order only if that ends
//! with an action that looks greater still.

use std::sync::atomic::{AtomicBool, Ordering};

use super::book::Book;
use super::rules::Broken;
use super::space::{Bounds, BoundsError, Space};
use super::state::{Of, State};
use super::successor::{Act, Choice, Taken, check, take_beside};
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
    /// Whose snapshot it ended, here: with that server it would have ended before.
    sender: u8,
    /// From whom and to whom something was under way before, here, as bits, where leaders wait for that.
    busy: u8,
    /// Whether a leader had waited for that: what others send comes after it.
    waited: bool,
    /// Whether another state of the same depth covers the one that was reached.
    covered: bool,
}

/// A state that an act leads to, before it is known whether it was met already.
#[derive(Clone, Copy, Debug)]
struct Reached {
    state: State,
    fingerprint: u128,
    /// From which state, and by which act.
    from: u32,
    choice: Choice,
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
    const FIRST: Arrival = Arrival {
        look: 0,
        place: NOWHERE,
        before: 0,
        proposed: false,
        sender: NOWHERE,
        busy: 0,
        waited: false,
        covered: false,
    };

    const fn pack(self) -> [u32; 2] {
        let places = self.place as u32 | (self.sender as u32) << 4 | (self.busy as u32) << 8;
        let flags = (self.proposed as u32) << 24 | (self.covered as u32) << 25 | (self.waited as u32) << 26;
        [self.look, places | (self.before as u32) << 16 | flags]
    }

    const fn unpack(look: u32, rest: u32) -> Self {
        let [places, busy, before, flags] = rest.to_le_bytes();
        let (place, sender) = (places & 15, places >> 4);
        let (proposed, covered, waited) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        Arrival { look, place, before, proposed, sender, busy, waited, covered }
    }
}

/// A search that is under way.
pub(super) struct Search {
    pub(super) book: Book,
    pub(super) limits: Limits,
    pub(super) visited: Visited,
    // States of one depth, packed, each with its arrival; so many of them have been looked at.
    pub(super) level: Vec<u32>,
    pub(super) looked_at: usize,
    pub(super) next: Vec<u32>,
    reached: Vec<Reached>,
    // Whether some states can cover others.
    is_limited: bool,
    pub(super) counts: Counts,
}

/// What a search counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    pub(super) depth: u32,
    /// The number of the state that is looked at next.
    pub(super) number: u32,
    pub(super) successors: u64,
    pub(super) cut_off: u64,
    pub(super) skipped: u64,
    /// How many states turned out to be covered by others of the same depth.
    pub(super) covered: u64,
    pub(super) marks: Marks,
}

/// How a search has ended.
enum Ending {
    Finished,
    Stopped,
    Broken(Broken, (u32, Choice)),
}

impl Search {
    pub(super) fn new(bounds: Bounds, limits: Limits) -> Result<Self, BoundsError> {
        Ok(Search::of(Space::new(bounds)?, limits))
    }

    pub(super) fn of(space: Space, limits: Limits) -> Self {
        let is_limited = space.bounds().has_limits();
        Search {
            is_limited,
            book: Book::new(space),
            limits,
            visited: Visited::new(),
            level: Vec::new(),
            looked_at: 0,
            next: Vec::new(),
            reached: Vec::with_capacity(2 * TOGETHER),
            counts: Counts::default(),
        }
    }

    /// How many words a state takes, with its arrival.
    pub(super) fn width(&self) -> usize {
        State::width(&self.book.space) + 2
    }

    /// Goes on until the space is finished, a rule is broken, a limit is reached or `stop` is set.
    pub(super) fn run(&mut self, stop: &AtomicBool, watch: &mut dyn FnMut(Progress)) -> Report {
        if self.visited.len() == 0 {
            self.begin();
        }
        match self.go_on(stop, watch) {
            Ending::Finished => self.report(None, true),
            Ending::Stopped => self.report(None, false),
            Ending::Broken(broken, last) => {
                let found = self.tell(broken, last);
                self.report(Some(found), true)
            }
        }
    }

    fn begin(&mut self) {
        let (first, _) = Trace::new(&mut self.book).state.canonical(&mut self.book, false, &mut ());
        self.visited.insert(first.fingerprint(&self.book.space), 0, 0);
        first.pack(&self.book.space, &mut self.level);
        self.level.extend(Arrival::FIRST.pack());
    }

    fn go_on(&mut self, stop: &AtomicBool, watch: &mut dyn FnMut(Progress)) -> Ending {
        let width = self.width();
        loop {
            let states = self.level.len() / width;
            while self.looked_at < states {
                if let Err((broken, last)) = self.look_at_next(width) {
                    return Ending::Broken(broken, last);
                }
                if self.counts.number.is_multiple_of(1 << 12) {
                    watch(self.progress(states - self.looked_at));
                    if stop.load(Ordering::Relaxed) || self.is_over() {
                        let noted = self.take_note();
                        return noted.map_or_else(
                            |(broken, last)| Ending::Broken(broken, last),
                            |()| Ending::Stopped,
                        );
                    }
                }
            }
            if self.next.is_empty() {
                return Ending::Finished;
            }
            std::mem::swap(&mut self.level, &mut self.next);
            self.next.clear();
            self.looked_at = 0;
            self.counts.depth += 1;
            if self.is_limited {
                self.leave_out_covered(width);
            }
        }
    }

    /// Finds out which states of this depth are covered by others of it, before any that is farther away is met.
    fn leave_out_covered(&mut self, width: usize) {
        for together in self.level.chunks_mut(TOGETHER * width) {
            let of = |words: &[u32]| State::unpack(&self.book.space, words).fingerprint(&self.book.space);
            let fingerprints: Vec<u128> = together.chunks_exact(width).map(of).collect();
            self.visited.ask_for(fingerprints.iter().copied());
            for (words, fingerprint) in together.chunks_exact_mut(width).zip(fingerprints) {
                if self.visited.is_covered(fingerprint) {
                    let arrival = Arrival::unpack(words[width - 2], words[width - 1]);
                    words[width - 2..].copy_from_slice(&Arrival { covered: true, ..arrival }.pack());
                    self.counts.covered += 1;
                }
            }
        }
    }

    fn look_at_next(&mut self, width: usize) -> Result<(), (Broken, (u32, Choice))> {
        let at = self.looked_at * width;
        let words = &self.level[at..at + width];
        let state = State::unpack(&self.book.space, words);
        let arrival = Arrival::unpack(words[width - 2], words[width - 1]);
        let number = self.counts.number;
        if !arrival.covered {
            let (_, choice) = self.visited.arrival(number);
            self.counts.marks.note(&self.book, &state, Choice::unpack(choice).act);
            self.expand(&state, arrival, number).map_err(|(broken, choice)| (broken, (number, choice)))?;
        }
        self.counts.number += 1;
        self.looked_at += 1;
        let is_last = at + width == self.level.len();
        if TOGETHER <= self.reached.len() || is_last { self.take_note() } else { Ok(()) }
    }

    fn is_over(&self) -> bool {
        let frontier = 4 * (self.level.capacity() + self.next.capacity());
        self.limits.states.is_some_and(|states| states <= self.states())
            || self.limits.bytes.is_some_and(|bytes| bytes <= (self.visited.bytes() + frontier) as u64)
            || NUMBERS_MAX <= self.visited.len()
    }

    /// How many states were met, without those that are left out for others.
    pub(super) fn states(&self) -> u64 {
        self.visited.len() as u64 - self.counts.covered
    }

    fn progress(&self, left: usize) -> Progress {
        Progress { states: self.states(), depth: self.counts.depth, left: left as u64 }
    }

    fn report(&self, found: Option<Found>, finished: bool) -> Report {
        let (servers, packets) = self.book.met();
        Report {
            states: self.states(),
            met_before: 0,
            successors: self.counts.successors,
            skipped: self.counts.skipped,
            cut_off: self.counts.cut_off,
            depth: self.counts.depth,
            steps: self.book.steps,
            servers: servers as u64,
            packets: packets as u64,
            marks: self.counts.marks,
            finished: finished && found.is_none(),
            found,
        }
    }

    /// The run that has led to a state, and the choice that broke a rule there.
    fn tell(&mut self, broken: Broken, (number, choice): (u32, Choice)) -> Found {
        let mut choices = vec![choice];
        let mut at = number;
        while at != 0 {
            let (parent, choice) = self.visited.arrival(at);
            choices.push(Choice::unpack(choice));
            at = parent;
        }
        choices.reverse();
        let symmetry = self.limits.symmetry;
        let mut runs = Vec::new();
        // Where a leader has handed over, it depends on the names of the servers which of them are as good.
        for nth in 0..self.book.exchanges.len() {
            let mut trace = Trace::named(&mut self.book, nth);
            for choice in &choices {
                trace.take(&mut self.book, *choice, symmetry);
            }
            let strayed = trace.strayed;
            runs.push(trace);
            if !strayed {
                break;
            }
        }
        let place = runs.iter().position(|trace| !trace.strayed).unwrap_or(0);
        let schedule: Schedule = runs.swap_remove(place).schedule(&self.book.space, &broken);
        Found { oracle: broken.oracle.to_owned(), what: broken.what, choices: choices.len() as u64, schedule }
    }

    /// Looks at everything that can happen in a state.
    fn expand(&mut self, state: &State, arrival: Arrival, number: u32) -> Result<(), (Broken, Choice)> {
        let space = &self.book.space;
        let bounds = *space.bounds();
        for place in 0..space.servers() {
            let facts = *self.book.server_facts(state.servers[place]);
            let place = place as u8;
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
            if facts.can_save && state.used.of(Of::Snapshots) < bounds.snapshots {
                self.consider(state, arrival, number, Act::Snapshot(place))?;
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
            let facts = *self.book.parcel_facts(state.packets[nth]);
            let nth = nth as u8;
            self.consider(state, arrival, number, Act::Deliver(nth))?;
            if facts.is_packets() && state.used.of(Of::Duplicates) < bounds.duplicates {
                self.consider(state, arrival, number, Act::DeliverCopy(nth))?;
            }
            if !facts.is_report && state.used.of(Of::Drops) < bounds.drops {
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
    ) -> Result<(), (Broken, Choice)> {
        let mut choice = Choice::from(act);
        loop {
            let (taken, heirs) =
                take_beside(&mut self.book, state, choice).map_err(|broken| (broken, choice))?;
            match taken {
                None => self.counts.cut_off += 1,
                Some(taken) if self.limits.reduction && self.is_taken_before(state, arrival, act, &taken) => {
                    self.counts.skipped += 1;
                }
                Some(taken) => self.reach(state, number, choice, &taken),
            }
            if choice.heir == heirs {
                return Ok(());
            }
            choice.heir += 1;
        }
    }

    fn reach(&mut self, before: &State, from: u32, choice: Choice, taken: &Taken) {
        let act = choice.act;
        self.counts.successors += 1;
        let (state, exchange) = taken.state.canonical(&mut self.book, self.limits.symmetry, &mut ());
        let fingerprint = state.fingerprint(&self.book.space);
        let place = self.book.exchanges[exchange].of(taken.place) as u8;
        let proposed = matches!(act, Act::Propose(_) | Act::Reconfigure(..));
        let sender = match act {
            Act::Deliver(nth) | Act::Drop(nth) => self.book.snapshot_from(before.packets[usize::from(nth)]),
            _ => None,
        };
        let sender = sender.map_or(NOWHERE, |sender| self.book.exchanges[exchange].of(sender) as u8);
        let patient = self.book.space.bounds().patient;
        let busy = if patient { before.busy(&self.book) } else { 0 };
        let leads = |place: u8| self.book.server_facts(before.servers[usize::from(place)]).leads;
        let arrival = Arrival {
            look: taken.look,
            place,
            before: before.count,
            proposed,
            sender,
            busy: self.book.exchanges[exchange].of_bits(busy),
            waited: patient && matches!(act, Act::Timeout(place) if leads(place)),
            covered: false,
        };
        self.reached.push(Reached { state, fingerprint, from, choice, arrival, rewritten: taken.rewritten });
    }

    /// Takes note of the states that were reached, as far as they are new.
    fn take_note(&mut self) -> Result<(), (Broken, (u32, Choice))> {
        self.visited.ask_for(self.reached.iter().map(|reached| reached.fingerprint));
        let mut reached = std::mem::take(&mut self.reached);
        for Reached { state, fingerprint, from, choice, arrival, rewritten } in reached.drain(..) {
            if !self.visited.insert(fingerprint, from, choice.pack()) {
                continue;
            }
            if rewritten {
                check(&mut self.book, &state).map_err(|broken| (broken, (from, choice)))?;
            }
            state.pack(&self.book.space, &mut self.next);
            self.next.extend(arrival.pack());
        }
        self.reached = reached;
        Ok(())
    }

    /// Whether what follows on this action and the one before it is also reached by taking this one first, see the module.
    fn is_taken_before(&self, state: &State, arrival: Arrival, act: Act, taken: &Taken) -> bool {
        let elsewhere = arrival.place != NOWHERE && usize::from(arrival.place) != taken.place;
        if !elsewhere || arrival.waited || arrival.look <= taken.look {
            return false;
        }
        let was_there = match act {
            Act::Deliver(nth) | Act::DeliverCopy(nth) | Act::Drop(nth) => {
                self.book.parcel_facts(state.packets[usize::from(nth)]).from != arrival.place
            }
            Act::Propose(_) | Act::Reconfigure(..) => !arrival.proposed,
            Act::Crash(place, _) => arrival.sender != place,
            Act::Timeout(place) => arrival.busy >> place & 1 == 0,
            _ => true,
        };
        // Were this one first, there would be room for what it sends, whether or not the other one makes that useless.
        let sent = taken.change.map_or(0, |change| change.sent);
        let arrived = u8::from(matches!(act, Act::Deliver(_)));
        let reported = u8::from(taken.report != 0);
        was_there && arrival.before + sent + reported - arrived <= self.book.space.bounds().messages
    }
}
