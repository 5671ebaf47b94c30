//! The names that states are compared under: servers exchanged, numbers counted anew, and no time.
//!
//! Two states that differ in names only have the same future, so the search wants to meet one of them. Which numbers are in use where is
//! kept as a set of bits, so that nothing has to be looked at to see that a state is counted already.

use raft_core::{Attempt, FetchNumber, Pair, Renaming, Round, RoundOf, SendNumber, Server, WriteNumber};

use crate::action::{HostId, server_of};
use crate::disk::pair_of;

/// The most servers of a space.
pub(super) const SERVERS_MAX: usize = 5;

/// Which server takes the place of which: the n-th becomes the `self.0[n]`-th.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Exchange(pub(super) [u8; SERVERS_MAX]);

impl Exchange {
    pub(super) const NONE: Exchange = Exchange([0, 1, 2, 3, 4]);

    /// All ways in which the first `founders` of the servers can be exchanged among themselves; the first is that nobody is.
    pub(super) fn all(founders: usize) -> Vec<Exchange> {
        let mut all = vec![Exchange::NONE];
        for nth in 1..founders {
            let shorter = std::mem::take(&mut all);
            for exchange in shorter {
                for other in (0..=nth).rev() {
                    let mut longer = exchange;
                    longer.0.swap(nth, other);
                    all.push(longer);
                }
            }
        }
        all
    }

    /// Where the server at this place goes.
    pub(super) const fn of(self, place: usize) -> usize {
        self.0[place] as usize
    }
}

/// The place of a server.
pub(super) fn place_of(pair: Pair) -> usize {
    (pair.id.raw() as usize).wrapping_sub(1)
}

/// The server at a place.
pub(super) fn pair_at(place: usize) -> Pair {
    let pair = pair_of(HostId::at(place));
    pair.unwrap_or_else(|| unreachable!("machines are numbered from 1"))
}

impl Renaming for Exchange {
    fn pair(&mut self, pair: Pair) -> Pair {
        self.0.get(place_of(pair)).map_or(pair, |place| pair_at(usize::from(*place)))
    }

    fn server(&mut self, server: &Server) -> Server {
        let pair = self.pair(server.pair);
        server_of(HostId::at(place_of(pair)), pair, server.suffrage)
    }
}

/// Numbers that are in use, as bits. 0 always is: it stands for none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct InUse(u64);

impl InUse {
    pub(super) const NONE: InUse = InUse(1);

    /// With this one as well. Numbers stay small, since they are counted anew all the time.
    pub(super) fn with(self, number: u64) -> Self {
        assert!(number < 64, "numbers are counted anew before they grow");
        InUse(self.0 | 1 << number)
    }

    pub(super) const fn and(self, other: InUse) -> Self {
        InUse(self.0 | other.0)
    }

    /// Whether they are as small as they can be, where only behind those in `apart` a gap of one is left.
    pub(super) const fn is_counted(self, apart: InUse) -> bool {
        let highest = 63 - self.0.leading_zeros();
        let holes = !self.0 & ((1_u64 << highest) - 1);
        holes & !(apart.0 << 1) == 0
    }

    /// What this number is when they are counted anew, with a gap of one left behind those in `apart`. One that is not in use becomes what the
    /// greatest one below it becomes.
    pub(super) fn counted(self, number: u64, apart: InUse) -> u64 {
        let (mut old, mut new) = (0, 0);
        for bit in (1..=number.min(63)).filter(|bit| self.0 >> bit & 1 == 1) {
            let gap = if apart.0 >> old & 1 == 1 { 2 } else { 1 };
            new += gap.min(bit - old);
            old = bit;
        }
        new
    }

    const fn is_within(self, other: InUse) -> bool {
        self.0 & !other.0 == 0
    }
}

/// What of the numbers that packets share with a server is in use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Shared {
    /// Rounds that are told of, or in which entries were sent that are under way.
    rounds: InUse,
    /// The latter.
    sent: InUse,
    /// Rounds that were answered.
    answered: InUse,
    attempts: InUse,
}

impl Shared {
    pub(super) const NONE: Shared =
        Shared { rounds: InUse::NONE, sent: InUse(0), answered: InUse::NONE, attempts: InUse::NONE };

    pub(super) const fn and(self, other: Shared) -> Self {
        Shared {
            rounds: self.rounds.and(other.rounds),
            sent: self.sent.and(other.sent),
            answered: self.answered.and(other.answered),
            attempts: self.attempts.and(other.attempts),
        }
    }

    pub(super) const fn is_counted(self) -> bool {
        self.rounds.is_counted(self.sent)
            && self.answered.is_within(self.rounds)
            && self.attempts.is_counted(InUse(0))
    }
}

/// Finds out which numbers are in use, and changes nothing.
#[derive(Debug)]
pub(super) struct Look {
    /// Those that packets share with this server, or with any if it is `None`.
    pub(super) of: Option<Pair>,
    pub(super) shared: Shared,
    pub(super) writes: Vec<u64>,
    pub(super) fetches: InUse,
    pub(super) sends: InUse,
}

impl Look {
    pub(super) const fn new(of: Option<Pair>) -> Self {
        Look { of, shared: Shared::NONE, writes: Vec::new(), fetches: InUse::NONE, sends: InUse::NONE }
    }
}

impl Renaming for &mut Look {
    fn round(&mut self, of: Pair, named: RoundOf, round: Round) -> Round {
        if self.of.is_none_or(|wanted| wanted == of) {
            let shared = &mut self.shared;
            match named {
                RoundOf::Heartbeats => shared.rounds = shared.rounds.with(round.raw()),
                RoundOf::Entries => {
                    shared.rounds = shared.rounds.with(round.raw());
                    shared.sent = shared.sent.with(round.raw());
                }
                RoundOf::Answer => shared.answered = shared.answered.with(round.raw()),
            }
        }
        round
    }

    fn attempt(&mut self, of: Pair, attempt: Attempt) -> Attempt {
        if self.of.is_none_or(|wanted| wanted == of) {
            self.shared.attempts = self.shared.attempts.with(attempt.raw());
        }
        attempt
    }

    fn write(&mut self, number: WriteNumber) -> WriteNumber {
        self.writes.push(number.raw());
        number
    }

    fn fetch(&mut self, number: FetchNumber) -> FetchNumber {
        self.fetches = self.fetches.with(number.raw());
        number
    }

    fn send(&mut self, number: SendNumber) -> SendNumber {
        self.sends = self.sends.with(number.raw());
        number
    }
}

/// Counts anew what nobody but a server itself and its disk knows of, and takes time away.
pub(super) struct Private {
    /// How many writes there have been before the oldest that is outstanding.
    pub(super) writes_before: u64,
    pub(super) fetches: InUse,
    pub(super) sends: InUse,
}

impl Renaming for Private {
    fn write(&mut self, number: WriteNumber) -> WriteNumber {
        WriteNumber::new(number.raw().saturating_sub(self.writes_before))
    }

    fn fetch(&mut self, number: FetchNumber) -> FetchNumber {
        FetchNumber::new(self.fetches.counted(number.raw(), InUse(0)))
    }

    fn send(&mut self, number: SendNumber) -> SendNumber {
        SendNumber::new(self.sends.counted(number.raw(), InUse(0)))
    }

    fn is_timeless(&self) -> bool {
        true
    }
}

/// Counts anew what a server shares with packets, of which these are in use.
pub(super) struct Recount {
    pub(super) of: Pair,
    pub(super) shared: Shared,
}

impl Renaming for Recount {
    fn round(&mut self, of: Pair, _: RoundOf, round: Round) -> Round {
        if of != self.of {
            return round;
        }
        Round::new(self.shared.rounds.counted(round.raw(), self.shared.sent))
    }

    fn attempt(&mut self, of: Pair, attempt: Attempt) -> Attempt {
        if of != self.of {
            return attempt;
        }
        Attempt::new(self.shared.attempts.counted(attempt.raw(), InUse(0)))
    }
}

/// Takes time away from what is under way.
pub(super) struct Timeless;

impl Renaming for Timeless {
    fn is_timeless(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_use(numbers: &[u64]) -> InUse {
        numbers.iter().fold(InUse::NONE, |in_use, number| in_use.with(*number))
    }

    /// Goal: every exchange is there once, and nobody but founders is exchanged. Method: one to four founders.
    #[test]
    fn exchanges_are_all_there() {
        for (founders, count) in [(1, 1), (2, 2), (3, 6), (4, 24)] {
            let mut all = Exchange::all(founders);
            assert_eq!(all[0], Exchange::NONE);
            all.sort();
            all.dedup();
            assert_eq!(all.len(), count);
            assert!(all.iter().all(|exchange| exchange.0[founders..] == Exchange::NONE.0[founders..]));
        }
    }

    /// Goal: counting anew keeps the order, and which number is the next after one that is kept apart. Method: all sets of numbers up to
    /// seven, and all parts of them to be kept apart.
    #[test]
    fn counting_anew_keeps_what_is_compared() {
        for bits in 0..1_u64 << 7 {
            let numbers: Vec<u64> = (0..8).filter(|bit| (bits << 1 | 1) >> bit & 1 == 1).collect();
            let set = in_use(&numbers);
            for apart in (0..1_u64 << 8).filter(|apart| apart & !(bits << 1 | 1) == 0) {
                let counted: Vec<u64> =
                    numbers.iter().map(|number| set.counted(*number, InUse(apart))).collect();
                for (old, new) in numbers.windows(2).zip(counted.windows(2)) {
                    let kept = if apart >> old[0] & 1 == 1 { 2 } else { 1 };
                    assert_eq!(new[1] - new[0], kept.min(old[1] - old[0]));
                }
                assert_eq!(set.is_counted(InUse(apart)), counted == numbers, "{numbers:?} {apart:b}");
            }
        }
    }
}
