//! Random choices that never change meaning: one seed gives the same choices on any machine, in any version.
//!
//! Only raw 64-bit words come from outside (`rand_xoshiro`); ranges, chances, picks and delays are our own and hold no
//! floating point. Golden values in the tests pin all of them, because a seed that found a bug is worth keeping. Nothing
//! here knows what the choices are for.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256StarStar;

/// A stream of choices.
#[derive(Clone, Debug)]
pub struct Random(Xoshiro256StarStar);

impl Random {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Random(Xoshiro256StarStar::seed_from_u64(seed))
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from `0..bound`; 0 where `bound` is 0. By multiplication, so one word is always enough; the bias is below
    /// `bound`/2⁶⁴.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.word()) * u128::from(bound);
        (product >> 64) as u64
    }

    /// A number from `low..=high`; `low` where `high` is below it.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True `parts` times out of 1,024 on average.
    pub fn chance(&mut self, parts: u64) -> bool {
        self.below(1024) < parts
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Brings `items` into a random order (Fisher–Yates from the end).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = self.below(end as u64 + 1) as usize;
            items.swap(end, other);
        }
    }
}

/// How delays are spread around their mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spread {
    /// Always the mean.
    Constant,
    /// Anything from nothing to twice the mean, all alike.
    Uniform,
    /// Many short ones and few long ones, as between independent events.
    Exponential,
    /// Nearly always far below the mean, and sometimes very far above.
    HeavyTail,
}

/// Quantiles of the exponential distribution with mean 64, the last moved so that the mean is exact with the parts between them.
const EXPONENTIAL: [u64; 32] = [
    1, 3, 5, 7, 10, 12, 15, 17, 20, 22, 25, 28, 32, 35, 39, 42, 46, 50, 55, 60, 65, 70, 77, 84, 91, 100, 111,
    123, 139, 160, 192, 624,
];

/// Quantiles of a heavy-tailed distribution with mean 64: three quarters at less than a third of it, one in 32 at up to 26 times.
const HEAVY_TAIL: [u64; 32] = [
    8, 8, 8, 8, 8, 8, 8, 8, 16, 16, 16, 16, 16, 16, 16, 16, 24, 24, 24, 24, 24, 24, 24, 24, 40, 40, 56, 72,
    112, 184, 312, 1696,
];

/// A length of time that is drawn anew each time it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delay {
    /// The mean, in the caller's unit.
    pub mean: u64,
    /// How it varies.
    pub spread: Spread,
}

impl Delay {
    /// Draws one. Takes exactly one word from the stream, whatever the spread.
    pub fn draw(&self, random: &mut Random) -> u64 {
        match self.spread {
            Spread::Constant => {
                random.word();
                self.mean
            }
            Spread::Uniform => random.below(2 * self.mean + 1),
            Spread::Exponential => Self::between_quantiles(&EXPONENTIAL, self.mean, random),
            Spread::HeavyTail => Self::between_quantiles(&HEAVY_TAIL, self.mean, random),
        }
    }

    /// The upper five bits of the word name a quantile, the next eight go a part of the way to the one below, so that
    /// values are not lumped.
    fn between_quantiles(table: &[u64; 32], mean: u64, random: &mut Random) -> u64 {
        let word = random.word();
        let nth = (word >> 59) as usize;
        let part = (word >> 51) & 0xff;
        let high = table[nth];
        let low = if nth == 0 { 0 } else { table[nth - 1] };
        mean * (low * (256 - part) + high * part) / (256 * 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a seed means the same choices for ever. Method: values written down once.
    #[test]
    fn choices_of_a_seed_never_change() {
        let mut random = Random::new(7);
        let mut drawn: Vec<Vec<u64>> = Vec::new();
        drawn.push((0..3).map(|_| random.word()).collect());
        drawn.push((0..8).map(|_| random.below(100)).collect());
        drawn.push((0..8).map(|_| random.between(10, 12)).collect());
        let mut items = vec![1, 2, 3, 4, 5, 6, 7, 8];
        random.shuffle(&mut items);
        drawn.push(items);
        for spread in [Spread::Constant, Spread::Uniform, Spread::Exponential, Spread::HeavyTail] {
            let delay = Delay { mean: 1000, spread };
            drawn.push((0..6).map(|_| delay.draw(&mut random)).collect());
        }
        let golden: [&[u64]; 8] = [
            &[12923355070828475994, 5142052590334782674, 15488392906492639638],
            &[98, 99, 87, 6, 10, 40, 15, 54],
            &[12, 12, 12, 11, 11, 10, 11, 10],
            &[5, 1, 3, 7, 6, 4, 8, 2],
            &[1000, 1000, 1000, 1000, 1000, 1000],
            &[1647, 1969, 1837, 850, 709, 1376],
            &[2317, 6111, 2017, 229, 774, 176],
            &[375, 125, 375, 690, 557, 375],
        ];
        assert_eq!(drawn, golden);
    }

    /// Goal: the bounds of every range are reached and never left. Method: many draws of small ranges.
    #[test]
    fn ranges_are_whole() {
        let mut random = Random::new(1);
        let mut seen = [false; 5];
        for _ in 0..1000 {
            seen[random.below(5) as usize] = true;
            let between = random.between(3, 4);
            assert!((3..=4).contains(&between));
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.below(0), 0);
        assert_eq!(random.between(9, 3), 9);
        assert!(!(0..1000).any(|_| random.chance(0)));
        assert!((0..1000).all(|_| random.chance(1024)));
    }

    /// Goal: every spread keeps its mean, within a tenth. Method: the sum of many draws.
    #[test]
    fn delays_keep_their_mean() {
        for spread in [Spread::Constant, Spread::Uniform, Spread::Exponential, Spread::HeavyTail] {
            let mut random = Random::new(3);
            let delay = Delay { mean: 10_000, spread };
            let sum: u64 = (0..20_000).map(|_| delay.draw(&mut random)).sum();
            let mean = sum / 20_000;
            assert!((8_000..=11_000).contains(&mean), "{spread:?}: {mean}");
        }
    }
}
