//! Numbers for things, and tables of what is known by numbers.

use std::hash::{BuildHasher, BuildHasherDefault, Hash};

use hashbrown::{HashMap, HashTable};
use xxhash_rust::xxh3::Xxh3Default;

pub(super) type Quick<V> = HashMap<u64, V, BuildHasherDefault<Mixed>>;

/// For keys that are two small numbers: one multiplication. Nothing is iterated, so that it can not show in any output.
#[derive(Default)]
pub(super) struct Mixed(u64);

impl std::hash::Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        self.0 = mixed as u64 ^ (mixed >> 64) as u64;
    }
}

/// Numbers for things: the first is 1, so that 0 can stand for none.
pub(super) struct Numbered<T> {
    // The things are in the list only: each by its hash.
    numbers: HashTable<(u64, u32)>,
    pub(super) things: Vec<T>,
}

impl<T: Eq + Hash> Numbered<T> {
    pub(super) const fn new() -> Self {
        Numbered { numbers: HashTable::new(), things: Vec::new() }
    }

    /// Its number, and whether it is new.
    pub(super) fn number(&mut self, thing: T) -> (u32, bool) {
        let hash = hash_of(&thing);
        let is_same =
            |(there, number): &(u64, u32)| *there == hash && self.things[*number as usize - 1] == thing;
        if let Some((_, number)) = self.numbers.find(hash, is_same) {
            return (*number, false);
        }
        let number = self.things.len() as u32 + 1;
        self.things.push(thing);
        self.numbers.insert_unique(hash, (hash, number), |(hash, _)| *hash);
        (number, true)
    }

    /// The same for the same things with the same numbers.
    pub(super) fn digest(&self) -> u64 {
        let mut digest = Mixed::default();
        for thing in &self.things {
            std::hash::Hasher::write_u64(&mut digest, hash_of(thing));
        }
        std::hash::Hasher::finish(&digest)
    }

    pub(super) fn at(&self, number: u32) -> &T {
        &self.things[number as usize - 1]
    }
}

fn hash_of(thing: &impl Hash) -> u64 {
    BuildHasherDefault::<Xxh3Default>::default().hash_one(thing)
}

/// What a number stands for in such a list, if it is known.
pub(super) fn known(images: &[u32], number: u32) -> Option<u32> {
    images.get(number as usize).copied().filter(|image| *image != 0)
}

/// Takes note of it.
pub(super) fn note(images: &mut Vec<u32>, number: u32, image: u32) {
    let place = number as usize;
    if images.len() <= place {
        images.resize(place + 1, 0);
    }
    images[place] = image;
}

/// One key from two numbers.
pub(super) fn two(one: u32, other: u32) -> u64 {
    u64::from(one) << 32 | u64::from(other)
}

/// One number from many.
pub(super) fn look_of(words: &[u64]) -> u32 {
    let mut mixed = Mixed::default();
    for word in words {
        std::hash::Hasher::write_u64(&mut mixed, *word);
    }
    mixed.0 as u32
}
