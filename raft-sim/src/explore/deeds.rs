//! What has given numbers to servers, parcels and logs, in order: done once more, everything has the same number again. So a search can be written
//! down without writing down a single server.

use raft_core::Pair;

use super::book::Book;
use super::names::{Boots, InUse, Recount, SERVERS_MAX, Told, pair_at, place_of};
use super::what::What;

/// Something that was done for the first time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deed {
    Change(u32, What),
    ExchangedServer(u32, u8),
    ExchangedParcel(u32, u8),
    ExchangedLog(u32, u8),
    RecountedServer(u32, Recount),
    RecountedParcel(u32, Recount),
    Report(u32, bool),
    Join(u32, u32),
    RebootedServer(u32, Boots),
    RebootedParcel(u32, Boots),
    ServerAtEase(u32),
}

/// All deeds of a search, packed.
#[derive(Clone, Debug, Default)]
pub(super) struct Deeds(Vec<u32>);

impl Deeds {
    pub(super) fn push(&mut self, deed: Deed) {
        let words = &mut self.0;
        match deed {
            Deed::Change(server, what) => words.extend([0, server, what.number()]),
            Deed::ExchangedServer(number, nth) => words.extend([1, number, u32::from(nth)]),
            Deed::ExchangedParcel(number, nth) => words.extend([2, number, u32::from(nth)]),
            Deed::ExchangedLog(number, nth) => words.extend([3, number, u32::from(nth)]),
            Deed::RecountedServer(number, names) => {
                words.extend([4, number]);
                push_names(words, names);
            }
            Deed::RecountedParcel(number, names) => {
                words.extend([5, number]);
                push_names(words, names);
            }
            Deed::Report(number, arrived) => words.extend([6, number, u32::from(arrived)]),
            Deed::Join(one, other) => words.extend([7, one, other]),
            Deed::RebootedServer(number, Boots { of, in_use }) => {
                words.extend([8, number, place_of(of) as u32, in_use.bits()]);
            }
            Deed::RebootedParcel(number, Boots { of, in_use }) => {
                words.extend([9, number, place_of(of) as u32, in_use.bits()]);
            }
            Deed::ServerAtEase(number) => words.extend([10, number]),
        }
    }

    pub(super) fn words(&self) -> &[u32] {
        &self.0
    }

    pub(super) const fn of_words(words: Vec<u32>) -> Self {
        Deeds(words)
    }

    /// Does them all again. `None` where they can not be what was done in such a space by this core.
    pub(super) fn repeat(&self, book: &mut Book) -> Option<()> {
        let mut words = self.0.iter().copied();
        while let Some(kind) = words.next() {
            let number = words.next()?;
            let (servers, parcels) = book.met();
            let of_parcel = matches!(kind, 2 | 5 | 6 | 9);
            let met = match kind {
                3 | 7 => book.logs_met(),
                _ if of_parcel => parcels,
                _ => servers,
            };
            // A log can be none where it is joined, and nowhere else.
            if met < number as usize || (number == 0 && kind != 7) {
                return None;
            }
            match kind {
                0 => {
                    book.change(number, What::of_number(words.next()?, parcels)?).ok()?;
                }
                1..=3 => {
                    let nth = words.next()? as usize;
                    if book.exchanges.len() <= nth {
                        return None;
                    }
                    match kind {
                        1 => book.exchanged_server(number, nth),
                        2 => book.exchanged_parcel(number, nth),
                        _ => book.exchanged_log(number, nth),
                    };
                }
                4 => {
                    book.recounted_server(number, names_of(&mut words)?);
                }
                5 => {
                    book.recounted_parcel(number, names_of(&mut words)?);
                }
                6 => {
                    book.report(number, words.next()? == 1)?;
                }
                8 => {
                    book.rebooted_server(number, boots_of(&mut words)?);
                }
                9 => {
                    book.rebooted_parcel(number, boots_of(&mut words)?);
                }
                10 => {
                    book.server_at_ease(number);
                }
                _ => {
                    let other = words.next()?;
                    if other == 0 || book.logs_met() < other as usize {
                        return None;
                    }
                    book.join(number, other).ok()?;
                }
            }
        }
        Some(())
    }
}

fn push_names(words: &mut Vec<u32>, names: Recount) {
    let Recount { of, rounds, attempts, sends } = names;
    words.extend([place_of(of) as u32, attempts.bits(), sends.bits()]);
    let (latest, told) = rounds.unwrap_or((0, [Told::NOTHING; SERVERS_MAX]));
    words.push(latest as u32);
    words.extend(told.map(|told| told.in_use().bits()));
}

fn boots_of(words: &mut impl Iterator<Item = u32>) -> Option<Boots> {
    let place = words.next().filter(|place| (*place as usize) < SERVERS_MAX)?;
    Some(Boots { of: pair_at(place as usize), in_use: InUse::of_bits(words.next()?) })
}

fn names_of(words: &mut impl Iterator<Item = u32>) -> Option<Recount> {
    let place = words.next().filter(|place| (*place as usize) < SERVERS_MAX)?;
    let of: Pair = pair_at(place as usize);
    let (attempts, sends) = (InUse::of_bits(words.next()?), InUse::of_bits(words.next()?));
    let latest = u64::from(words.next().filter(|latest| *latest < 32)?);
    let mut told = [Told::NOTHING; SERVERS_MAX];
    for told in &mut told {
        *told = Told::new(InUse::of_bits(words.next()?));
    }
    Some(Recount { of, rounds: (latest != 0).then_some((latest, told)), attempts, sends })
}
