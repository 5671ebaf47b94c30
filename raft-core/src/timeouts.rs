//! When an election times out: spread over [T, 2T) by a hash, so that the core needs no generator and no clock.

use crate::identity::NodeId;
use crate::position::Term;

/// The election timeout of a server in a term, in ticks: from [T, 2T), T being `least`
/// (Raft thesis §3.4). `attempt` counts the campaigns since the
/// server last heard from a leader, so that two servers whose timeouts fall together once do not stay together.
pub(crate) fn election_timeout(seed: u64, least: u32, id: NodeId, term: Term, attempt: u32) -> u32 {
    let mut hash = mix(seed);
    for word in [id.raw(), term.raw(), u64::from(attempt)] {
        hash = mix(hash ^ word);
    }
    let spread = u64::from(least);
    // The high half times the range, divided by 2³²: even, and below the range, which is below 2³².
    least + (((hash >> 32) * spread) >> 32) as u32
}

/// A bijection of 64 bits in which every bit of the input moves every bit of the output: the finaliser of SplitMix64
/// (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). It must never change: recorded runs and
/// seeds depend on it.
const fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    //! Goal: timeouts lie in [T, 2T), are spread, and never change from one version to the next.

    use super::election_timeout;
    use crate::identity::NodeId;
    use crate::position::Term;
    use alloc::vec::Vec;

    fn timeouts(id: u64, attempt: u32) -> Vec<u32> {
        let id = NodeId::new(id).expect("not zero");
        (0..1000).map(|term| election_timeout(0, 100, id, Term::new(term), attempt)).collect()
    }

    #[test]
    fn timeouts_cover_the_range_and_stay_in_it() {
        let all = timeouts(1, 0);
        assert!(all.iter().all(|ticks| (100..200).contains(ticks)));
        assert!(all.contains(&100) && all.contains(&199), "both ends are reached");
        let low = all.iter().filter(|ticks| **ticks < 150).count();
        assert!((400..600).contains(&low), "{low} of 1000 in the lower half");
    }

    #[test]
    fn timeouts_differ_between_servers_and_attempts() {
        for other in [timeouts(2, 0), timeouts(1, 1)] {
            let alike = timeouts(1, 0).iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(alike < 50, "{alike} of 1000 alike, about 10 expected");
        }
    }

    #[test]
    fn timeouts_have_golden_values() {
        assert_eq!(timeouts(1, 0)[..8], GOLDEN);
    }

    const GOLDEN: [u32; 8] = [181, 197, 149, 177, 134, 132, 139, 181];
}
