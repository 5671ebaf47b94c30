//! Which states have been met: a fingerprint of 128 bits of each, and how it was reached.

use std::io;

use super::words::{WordReader, WordWriter};

/// So many parts, each of which grows by itself: so hardly any memory is needed for growing.
const PARTS: usize = 256;
const FIRST_ROOM: usize = 64;

/// Where in a fingerprint stands what is used up of limits: eight counts of four bits.
pub(super) const LIMITED: u128 = 0xffff_ffff << 64;

/// A set of fingerprints.
#[derive(Debug)]
pub(super) struct Visited {
    parts: Vec<Part>,
    // By number.
    parents: Vec<Vec<u32>>,
    choices: Vec<Vec<u32>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Part {
    // 0: nothing there. A fingerprint of 0 is taken for 1.
    slots: Vec<u128>,
    used: usize,
}

/// How many states share a piece of memory: what is there never moves.
const PIECE: usize = 1 << 16;

impl Visited {
    pub(super) fn new() -> Self {
        let part = Part { slots: vec![0; FIRST_ROOM], used: 0 };
        Visited { parts: vec![part; PARTS], parents: Vec::new(), choices: Vec::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let slots: usize = self.parts.iter().map(|part| part.slots.len()).sum();
        16 * slots + 8 * PIECE * self.parents.len()
    }

    /// Looks where these belong, and does nothing: so that what is there is at hand when they come.
    pub(super) fn ask_for(&self, fingerprints: impl Iterator<Item = u128>) {
        let there = fingerprints.map(|fingerprint| {
            let slots = &self.parts[(fingerprint >> 120) as usize].slots;
            slots[fingerprint as usize & (slots.len() - 1)] as u64
        });
        std::hint::black_box(there.fold(0, |all, slot| all ^ slot));
    }

    /// Whether another state that is there covers this one.
    pub(super) fn is_covered(&self, fingerprint: u128) -> bool {
        let fingerprint = fingerprint.max(1);
        self.parts[(fingerprint >> 120) as usize].is_covered(fingerprint)
    }

    /// Takes note of a state, unless it is there already, or one that covers it.
    pub(super) fn insert(&mut self, fingerprint: u128, parent: u32, choice: u32) -> bool {
        let fingerprint = fingerprint.max(1);
        if !self.parts[(fingerprint >> 120) as usize].insert(fingerprint) {
            return false;
        }
        if self.len.is_multiple_of(PIECE) {
            self.parents.push(Vec::with_capacity(PIECE));
            self.choices.push(Vec::with_capacity(PIECE));
        }
        if let (Some(parents), Some(choices)) = (self.parents.last_mut(), self.choices.last_mut()) {
            parents.push(parent);
            choices.push(choice);
        }
        self.len += 1;
        true
    }

    /// Writes all of it down.
    pub(super) fn write<W: io::Write>(&self, to: &mut WordWriter<W>) -> io::Result<()> {
        to.long(self.len as u64)?;
        for pieces in [&self.parents, &self.choices] {
            to.words(pieces.iter().flatten().copied())?;
        }
        // How large the parts are: in parts that grow meanwhile, what comes in this order would all be in one place.
        to.words(self.parts.iter().map(|part| part.slots.len() as u32))?;
        let slots = self.parts.iter().flat_map(|part| &part.slots).filter(|slot| **slot != 0);
        to.words(slots.flat_map(|slot| [0, 32, 64, 96].map(|shift| (*slot >> shift) as u32)))
    }

    /// What was written.
    pub(super) fn read<R: io::Read>(from: &mut WordReader<R>) -> io::Result<Self> {
        let mut visited = Visited::new();
        visited.len = from.long()? as usize;
        for pieces in [&mut visited.parents, &mut visited.choices] {
            for first in (0..visited.len).step_by(PIECE) {
                let mut piece = Vec::with_capacity(PIECE);
                for _state in first..visited.len.min(first + PIECE) {
                    piece.push(from.word()?);
                }
                pieces.push(piece);
            }
        }
        for part in &mut visited.parts {
            let len = from.word()? as usize;
            // Never more than twice as many as there are states, and room for the first few.
            if !len.is_power_of_two() || 4 * visited.len + FIRST_ROOM < len {
                return Err(io::ErrorKind::InvalidData.into());
            }
            part.slots = vec![0; len.max(FIRST_ROOM)];
        }
        for _state in 0..visited.len {
            let mut slot = 0;
            for shift in [0, 32, 64, 96] {
                slot |= u128::from(from.word()?) << shift;
            }
            // Some may have been met before those that cover them.
            if slot == 0 || !visited.parts[(slot >> 120) as usize].put(slot, |there| there == slot) {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(visited)
    }

    /// From which state, and by which choice, this one was reached first.
    pub(super) fn arrival(&self, number: u32) -> (u32, u32) {
        let (piece, place) = (number as usize / PIECE, number as usize % PIECE);
        (self.parents[piece][place], self.choices[piece][place])
    }
}

/// Whether what is possible in the other state is possible in this one, too: they differ in nothing but what is used up, and that is no more here
/// in any of the eight counts of four bits.
pub(super) const fn covers(one: u128, other: u128) -> bool {
    if (one ^ other) & !LIMITED != 0 {
        return false;
    }
    let (one, other) = ((one >> 64) as u32, (other >> 64) as u32);
    // Every second count with a bit above it, from which it borrows.
    const COUNTS: u32 = 0x0f0f_0f0f;
    const ABOVE: u32 = 0x1010_1010;
    let even = (other & COUNTS | ABOVE) - (one & COUNTS);
    let odd = (other >> 4 & COUNTS | ABOVE) - (one >> 4 & COUNTS);
    even & odd & ABOVE == ABOVE
}

impl Part {
    /// Takes one in, unless one is there that covers it.
    fn insert(&mut self, fingerprint: u128) -> bool {
        self.put(fingerprint, |there| covers(there, fingerprint))
    }

    /// Takes one in, unless one is there that it can not be beside.
    fn put(&mut self, fingerprint: u128, excludes: impl Fn(u128) -> bool) -> bool {
        let place = self.find(fingerprint, excludes);
        if self.slots[place] != 0 {
            return false;
        }
        self.slots[place] = fingerprint;
        self.used += 1;
        if self.slots.len() * 7 / 8 < self.used {
            let room = vec![0; self.slots.len() * 2];
            for old in std::mem::replace(&mut self.slots, room) {
                if old != 0 {
                    let place = self.find(old, |_| false);
                    self.slots[place] = old;
                }
            }
        }
        true
    }

    fn is_covered(&self, fingerprint: u128) -> bool {
        let covers = |there| there != fingerprint && covers(there, fingerprint);
        self.slots[self.find(fingerprint, covers)] != 0
    }

    /// Where one is that is looked for, or else where this one belongs.
    fn find(&self, fingerprint: u128, is_it: impl Fn(u128) -> bool) -> usize {
        let mask = self.slots.len() - 1;
        let mut place = fingerprint as usize & mask;
        while self.slots[place] != 0 && !is_it(self.slots[place]) {
            place = (place + 1) & mask;
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state covers those that differ from it in nothing but what is used up, and have used up no less of anything. Method: pairs of counts, at
    /// every two places.
    #[test]
    fn less_used_up_covers_more() {
        let state = |one: u32, other: u32, at: u32, beside: u32| {
            7 << 96 | u128::from(one << (4 * at) | other << (4 * beside)) << 64 | 5
        };
        let counts = [0, 1, 7, 8, 15];
        for (at, beside) in (0..8).flat_map(|at| (0..8).map(move |beside| (at, beside))) {
            if at == beside {
                continue;
            }
            for [a, b, c, d] in
                counts.iter().flat_map(|a| counts.map(|b| [[*a, b, 1, 1], [*a, 8, b, 7]])).flatten()
            {
                let (one, other) = (state(a, c, at, beside), state(b, d, at, beside));
                assert_eq!(covers(one, other), a <= b && c <= d, "{a} {b} {c} {d}, {at} {beside}");
                assert!(!covers(one, other ^ 1) && !covers(one, other ^ 1 << 120));
            }
        }
    }

    /// Goal: each is there once, with how it was reached, however many there are. Method: a hundred thousand, each twice.
    #[test]
    fn states_are_there_once() {
        let mut visited = Visited::new();
        let fingerprint = |nth: u32| xxhash_rust::xxh3::xxh3_128(&nth.to_le_bytes());
        for nth in 0..100_000 {
            assert!(visited.insert(fingerprint(nth), nth / 2, nth % 7));
            assert!(!visited.insert(fingerprint(nth / 3), 0, 0));
        }
        assert_eq!(visited.len(), 100_000);
        assert!((0..100_000).all(|nth| visited.arrival(nth) == (nth / 2, nth % 7)));
    }
}
