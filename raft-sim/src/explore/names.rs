//! The names that states are compared under: servers exchanged, numbers counted anew, and no time.
//!
//! Two states that differ in names only have the same future, so the search wants to meet one of them. Which numbers are in use where is
//! kept as a set of bits, so that nothing has to be looked at to see that a state is counted already.

use raft_core::{
    Attempt, Boot, FetchNumber, Pair, Renaming, Round, RoundOf, SendNumber, Server, WriteNumber,
};

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

    /// The one that undoes it.
    pub(super) fn back(self) -> Exchange {
        let mut back = Exchange::NONE;
        for (from, to) in self.0.iter().enumerate() {
            back.0[usize::from(*to)] = from as u8;
        }
        back
    }

    /// Places as bits, exchanged.
    pub(super) fn of_bits(self, places: u8) -> u8 {
        let all = (0..SERVERS_MAX).filter(|place| places >> place & 1 == 1);
        all.fold(0, |image, place| image | 1 << self.of(place))
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
pub(super) struct InUse(u32);

impl InUse {
    pub(super) const NONE: InUse = InUse(1);

    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    pub(super) const fn of_bits(bits: u32) -> Self {
        InUse(bits | 1)
    }

    /// With this one as well. Numbers stay small, since they are counted anew all the time.
    pub(super) fn with(self, number: u64) -> Self {
        assert!(number < 32, "numbers are counted anew before they grow");
        InUse(self.0 | 1 << number)
    }

    pub(super) const fn and(self, other: InUse) -> Self {
        InUse(self.0 | other.0)
    }

    /// Whether they are as small as they can be.
    pub(super) const fn is_counted(self) -> bool {
        self.0 & (self.0 + 1) == 0
    }

    /// What this number is when they are counted anew. One that is not in use becomes what the greatest one below it becomes.
    pub(super) fn counted(self, number: u64) -> u64 {
        let up_to = self.0 & (u32::MAX >> (31 - number.min(31)));
        u64::from(up_to.count_ones()) - 1
    }

    #[cfg(test)]
    const fn has(self, number: u64) -> bool {
        self.0 >> number & 1 == 1
    }
}

/// What the latest round of a leader is called. Those that packets speak of come before it, two apart; so there is room for all.
const LATEST: u64 = 24;

/// Which rounds of a leader packets speak of that are under way between it and one follower.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Told(InUse);

impl Told {
    pub(super) const NOTHING: Told = Told(InUse::NONE);

    pub(super) const fn new(rounds: InUse) -> Self {
        Told(rounds)
    }

    pub(super) const fn in_use(self) -> InUse {
        self.0
    }

    pub(super) const fn and(self, other: Told) -> Self {
        Told(self.0.and(other.0))
    }

    pub(super) fn is_nothing(self) -> bool {
        self == Told::NOTHING
    }

    /// Whether they are what they are called when they are counted anew, where the latest is.
    fn is_counted(self) -> bool {
        let told = self.0.0 & !1 | 1 << LATEST;
        // Every second bit from the lowest to the latest, and none beside.
        let first = told.trailing_zeros();
        let odd = first & 1 == 1;
        let every_second = 0x5555_5555_u32 & (u32::MAX << first) & (u32::MAX >> (31 - LATEST));
        !odd && told == every_second
    }

    /// What a round is called that packets speak of.
    fn renamed(self, latest: u64, round: u64) -> u64 {
        let others = u64::from(self.0.0) | 1 << latest;
        let later = others >> (round + 1) << (round + 1);
        LATEST - 2 * u64::from(later.count_ones())
    }

    /// What a round is called in which entries were sent: the least that is two before the same one.
    fn of_entries(self, latest: u64, round: u64) -> u64 {
        if round == latest {
            return LATEST;
        }
        let later = u64::from(self.0.0) >> (round + 2) << (round + 2);
        // The next round is later than that of the entries by two or more.
        if later == 0 { LATEST - 1 } else { self.renamed(latest, u64::from(later.trailing_zeros())) - 2 }
    }

    /// What a round is called that was answered: the latest one of packets that is not later.
    fn of_answer(self, latest: u64, round: u64) -> u64 {
        let before = self.0.0 & (u32::MAX >> (31 - round)) & !1;
        if before == 0 { 0 } else { self.renamed(latest, 31 - u64::from(before.leading_zeros())) }
    }
}

/// What a leader knows of rounds of one follower.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Kept {
    entries: InUse,
    answers: InUse,
}

/// The numbers that a server shares with packets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Shared {
    /// Its latest round; 0 while it does not lead.
    pub(super) latest: u64,
    /// By the place of the follower.
    kept: [Kept; SERVERS_MAX],
    pub(super) attempts: InUse,
    /// Of snapshots that it sends.
    pub(super) sends: InUse,
}

impl Shared {
    const NOTHING: Shared = {
        let nothing = Kept { entries: InUse::NONE, answers: InUse::NONE };
        let none = InUse::NONE;
        Shared { latest: 0, kept: [nothing; SERVERS_MAX], attempts: none, sends: none }
    };

    /// Whether all rounds are what they are called when they are counted anew, with what packets speak of.
    pub(super) fn is_counted(&self, told: &[Told; SERVERS_MAX]) -> bool {
        if self.latest != LATEST {
            return self.latest == 0;
        }
        self.kept.iter().zip(told).all(|(kept, told)| {
            let before = (told.0.0 & !1) >> 2 | 1 << (LATEST - 1) | 1 << LATEST;
            told.is_counted() && kept.answers.0 & !told.0.0 == 0 && (kept.entries.0 & !1) & !before == 0
        })
    }
}

/// Finds out which numbers are in use, and changes nothing.
#[derive(Debug)]
pub(super) struct Look {
    /// Those that packets share with this server.
    pub(super) of: Pair,
    pub(super) shared: Shared,
    pub(super) told: Told,
    /// Boots of each server, by its place.
    pub(super) boots: [InUse; SERVERS_MAX],
    pub(super) writes: Vec<u64>,
    pub(super) fetches: InUse,
}

impl Look {
    pub(super) const fn new(of: Pair) -> Self {
        let none = InUse::NONE;
        let (shared, told, boots) = (Shared::NOTHING, Told::NOTHING, [none; SERVERS_MAX]);
        Look { of, shared, told, boots, writes: Vec::new(), fetches: none }
    }

    fn kept(&mut self, follower: Pair) -> Option<&mut Kept> {
        self.shared.kept.get_mut(place_of(follower))
    }
}

impl Renaming for &mut Look {
    fn boot(&mut self, of: Pair, boot: Boot) -> Boot {
        if let Some(boots) = self.boots.get_mut(place_of(of)) {
            *boots = boots.with(boot.raw());
        }
        boot
    }

    fn round(&mut self, of: Pair, named: RoundOf, round: Round) -> Round {
        if of == self.of {
            let number = round.raw();
            match named {
                RoundOf::Latest => self.shared.latest = number,
                RoundOf::Packet(_) => self.told.0 = self.told.0.with(number),
                RoundOf::Entries(follower) => {
                    if let Some(kept) = self.kept(follower) {
                        kept.entries = kept.entries.with(number);
                    }
                }
                RoundOf::Answer(follower) => {
                    if let Some(kept) = self.kept(follower) {
                        kept.answers = kept.answers.with(number);
                    }
                }
                RoundOf::Awaited => {}
            }
        }
        round
    }

    fn attempt(&mut self, of: Pair, attempt: Attempt) -> Attempt {
        if of == self.of {
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
        self.shared.sends = self.shared.sends.with(number.raw());
        number
    }
}

/// Counts anew what nobody but a server itself and its disk knows of, and takes time away.
pub(super) struct Private {
    /// How many writes there have been before the oldest that is outstanding.
    pub(super) writes_before: u64,
    pub(super) fetches: InUse,
    /// Whether it leads. Else nobody looks at its rounds any more: it begins its next leadership in another term.
    pub(super) leads: bool,
}

impl Renaming for Private {
    fn round(&mut self, _: Pair, _: RoundOf, round: Round) -> Round {
        if self.leads { round } else { Round::ZERO }
    }

    fn write(&mut self, number: WriteNumber) -> WriteNumber {
        WriteNumber::new(number.raw().saturating_sub(self.writes_before))
    }

    fn fetch(&mut self, number: FetchNumber) -> FetchNumber {
        FetchNumber::new(self.fetches.counted(number.raw()))
    }

    fn is_timeless(&self) -> bool {
        true
    }
}

/// Counts anew what a server shares with packets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Recount {
    pub(super) of: Pair,
    /// Its latest round, and those of which packets speak, by the place of the follower; `None`: nobody looks at its rounds any more.
    pub(super) rounds: Option<(u64, [Told; SERVERS_MAX])>,
    pub(super) attempts: InUse,
    pub(super) sends: InUse,
}

impl Renaming for Recount {
    fn round(&mut self, of: Pair, named: RoundOf, round: Round) -> Round {
        if of != self.of {
            return round;
        }
        let Some((latest, told)) = &self.rounds else { return Round::ZERO };
        let number = round.raw();
        let told = |follower: Pair| told.get(place_of(follower)).copied().unwrap_or(Told::NOTHING);
        Round::new(match named {
            RoundOf::Latest => LATEST,
            RoundOf::Packet(follower) => told(follower).renamed(*latest, number),
            RoundOf::Entries(follower) => told(follower).of_entries(*latest, number),
            RoundOf::Answer(follower) => told(follower).of_answer(*latest, number),
            RoundOf::Awaited => number,
        })
    }

    fn attempt(&mut self, of: Pair, attempt: Attempt) -> Attempt {
        if of != self.of {
            return attempt;
        }
        Attempt::new(self.attempts.counted(attempt.raw()))
    }

    fn send(&mut self, number: SendNumber) -> SendNumber {
        SendNumber::new(self.sends.counted(number.raw()))
    }
}

/// Counts anew the boots of one server, for everybody who speaks of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Boots {
    pub(super) of: Pair,
    pub(super) in_use: InUse,
}

impl Renaming for Boots {
    fn boot(&mut self, of: Pair, boot: Boot) -> Boot {
        if of == self.of { Boot::new(self.in_use.counted(boot.raw())) } else { boot }
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

    /// Goal: counting anew keeps the order, and leaves no gaps. Method: all sets of numbers up to seven.
    #[test]
    fn counting_anew_keeps_the_order() {
        for bits in (0..1_u32 << 8).map(|bits| bits | 1) {
            let set = InUse(bits);
            let numbers: Vec<u64> = (0..8).filter(|number| set.has(*number)).collect();
            let counted: Vec<u64> = numbers.iter().map(|number| set.counted(*number)).collect();
            assert_eq!(counted, (0..numbers.len() as u64).collect::<Vec<_>>());
            assert_eq!(set.is_counted(), counted == numbers, "{numbers:?}");
        }
    }

    /// Goal: every comparison that a leader makes of rounds comes out with the new names as with the old ones, now and after the next
    /// rounds; and there is one way to call them. Method: all sets of rounds of packets up to a latest one of six, with all rounds of
    /// entries and of answers.
    #[test]
    fn rounds_compare_alike_by_their_new_names() {
        for latest in 1..=6_u64 {
            for bits in 0..1_u32 << latest {
                let told = Told(InUse(bits << 1 | 1));
                let packets: Vec<u64> = (1..=latest).filter(|round| told.0.has(*round)).collect();
                let new = |round| told.renamed(latest, round);
                for (one, other) in
                    packets.iter().flat_map(|one| packets.iter().map(move |other| (*one, *other)))
                {
                    assert_eq!(one < other, new(one) < new(other));
                }
                for round in 0..=latest {
                    let (entries, answer) = (told.of_entries(latest, round), told.of_answer(latest, round));
                    assert_eq!(round == latest, entries == LATEST);
                    for packet in &packets {
                        assert_eq!(
                            round + 1 < *packet,
                            entries + 1 < new(*packet),
                            "{told:?} {round} {packet}"
                        );
                        assert_eq!(*packet <= round, new(*packet) <= answer);
                    }
                    for next in 1..=2 {
                        assert_eq!(round + 1 < latest + next, entries + 1 < LATEST + next);
                        assert!(answer < LATEST + next);
                    }
                }
                // What is counted stays as it is.
                let again = packets.iter().fold(InUse::NONE, |all, round| all.with(new(*round)));
                assert!(Told(again).is_counted());
                assert_eq!(told.is_counted(), packets.is_empty());
                for round in 0..=latest {
                    let mut shared = Shared { latest: LATEST, ..Shared::NOTHING };
                    let (entries, answer) = (told.of_entries(latest, round), told.of_answer(latest, round));
                    shared.kept[1].entries = InUse::NONE.with(entries);
                    shared.kept[1].answers = InUse::NONE.with(answer);
                    let mut others = [Told::NOTHING; SERVERS_MAX];
                    others[1] = Told(again);
                    assert!(shared.is_counted(&others), "{shared:?} {others:?}");
                    assert_eq!(Told(again).of_entries(LATEST, entries), entries);
                    assert_eq!(Told(again).of_answer(LATEST, answer), answer);
                    shared.kept[1].entries = InUse::NONE.with(LATEST - 3);
                    assert_eq!(shared.is_counted(&others), again.has(LATEST - 1));
                }
            }
        }
    }
}
