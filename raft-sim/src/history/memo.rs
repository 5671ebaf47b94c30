//! A set of short lists of words, with a hash that is the same in every process and an exact comparison.

use hashbrown::HashTable;

#[derive(Clone, Copy)]
struct Place {
    start: usize,
    length: usize,
}

/// What a search has been through.
#[derive(Default)]
pub(super) struct Memo {
    // All lists, one behind the other.
    words: Vec<u64>,
    table: HashTable<Place>,
}

/// A multiplier and a shift for every word, in the manner of the finalizers of splitmix64, which spread every bit over all.
fn hash(words: &[u64]) -> u64 {
    words.iter().fold(words.len() as u64, |state, word| {
        let mixed = (state ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    })
}

impl Memo {
    /// Remembers a list; `false` if it was there already.
    pub(super) fn insert(&mut self, list: &[u64]) -> bool {
        let of =
            |words: &[u64], place: &Place| -> u64 { hash(&words[place.start..place.start + place.length]) };
        let digest = hash(list);
        let words = &self.words;
        let known = |place: &Place| words[place.start..place.start + place.length] == *list;
        if self.table.find(digest, known).is_some() {
            return false;
        }
        let place = Place { start: self.words.len(), length: list.len() };
        self.words.extend_from_slice(list);
        let words = &self.words;
        self.table.insert_unique(digest, place, |place| of(words, place));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: lists are told apart, also those that begin alike, and known again. Method: many, twice.
    #[test]
    fn lists_are_known_again() {
        let mut memo = Memo::default();
        let lists = |length: usize| (0..500_u64).map(move |nth| vec![nth; length]);
        for length in 1..4 {
            assert!(lists(length).all(|list| memo.insert(&list)));
        }
        for length in 1..4 {
            assert!(lists(length).all(|list| !memo.insert(&list)));
        }
        assert!(memo.insert(&[]));
        assert!(memo.insert(&[0, 0, 1]));
    }
}
