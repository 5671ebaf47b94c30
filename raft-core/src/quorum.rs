//! What a majority is, in one place: it serves elections, commitment, and whatever else waits for a quorum.

use alloc::vec::Vec;

/// More than half of `voters` (Raft thesis §3.2): two majorities of one set always share a server.
pub(crate) const fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// Whether a majority of the voters says yes. No voters make no majority.
pub(crate) fn is_quorum(voters: impl Iterator<Item = bool>) -> bool {
    let (mut all, mut for_it) = (0, 0);
    for yes in voters {
        all += 1;
        for_it += usize::from(yes);
    }
    all != 0 && majority(all) <= for_it
}

/// The greatest value that a majority of the voters has reached, of what each of them has; the least one without voters.
pub(crate) fn quorum_index<T: Copy + Ord + Default>(voters: impl Iterator<Item = T>) -> T {
    // Clusters are small: what fits here costs no allocation.
    const SMALL: usize = 9;
    let mut small = [T::default(); SMALL];
    let mut large = Vec::new();
    let mut count = 0;
    for index in voters {
        if count < SMALL {
            small[count] = index;
        } else {
            if count == SMALL {
                large.extend_from_slice(&small);
            }
            large.push(index);
        }
        count += 1;
    }
    if count == 0 {
        return T::default();
    }
    // The index in this place from the top has been reached by a majority.
    let nth = count - majority(count);
    if count <= SMALL {
        // So few are sorted fastest by putting each in its place among those before it.
        for sorted in 1..count {
            let mut at = sorted;
            while 0 < at && small[at] < small[at - 1] {
                small.swap(at, at - 1);
                at -= 1;
            }
        }
        return small[nth];
    }
    *large.select_nth_unstable(nth).1
}

#[cfg(test)]
mod tests {
    //! Goal: the arithmetic of majorities is right. Method: brute force over all subsets.

    use super::{is_quorum, majority, quorum_index};
    use crate::position::LogIndex;
    use alloc::vec::Vec;
    use quickcheck::quickcheck;

    #[test]
    fn majorities_of_one_set_always_meet() {
        for count in 1..=9u32 {
            let sets =
                || (0..1u32 << count).filter(|set| majority(count as usize) <= set.count_ones() as usize);
            assert!(sets().all(|a| sets().all(|b| a & b != 0)), "{count} voters");
            // One server less would not do.
            let short = majority(count as usize) - 1;
            let minorities = || (0..1u32 << count).filter(|set| set.count_ones() as usize == short);
            assert!(minorities().any(|a| minorities().any(|b| a & b == 0)), "{count} voters");
        }
    }

    #[test]
    fn quorum_of_nobody_is_never_reached() {
        assert!(!is_quorum(core::iter::empty()));
        assert_eq!(quorum_index(core::iter::empty::<LogIndex>()), LogIndex::ZERO);
    }

    quickcheck! {
        fn quorum_is_more_than_half(votes: Vec<bool>) -> bool {
            let yes = votes.iter().filter(|vote| **vote).count();
            is_quorum(votes.iter().copied()) == (votes.len() < 2 * yes)
        }

        fn quorum_index_is_the_greatest_that_a_quorum_has_reached(reached: Vec<u8>) -> bool {
            let at = || reached.iter().map(|index| LogIndex::new(u64::from(*index)));
            let index = quorum_index(at());
            let has = |index: LogIndex| is_quorum(at().map(|at| index <= at));
            let brute = (0..=255).rev().map(LogIndex::new).find(|index| has(*index));
            brute.unwrap_or(LogIndex::ZERO) == index
        }
    }
}
