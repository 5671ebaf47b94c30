//! Servers and clusters as text and as bits: what is written can be read again, and nothing else can.

use raft_core::{ClusterId, Incarnation, LogIndex, NodeId, Pair, ParseIdentityError};

const BITS: u128 = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210;
const DIGITS: &str = "0123456789abcdeffedcba9876543210";

#[test]
fn bits_are_those_that_went_in() {
    for bits in [0, 1, BITS, u128::MAX, 1 << 64, u128::from(u64::MAX)] {
        assert_eq!(Incarnation::new(bits).raw(), bits);
        assert_eq!(ClusterId::new(bits).raw(), bits);
    }
}

#[test]
fn texts_are_read_as_they_are_written() {
    assert_eq!(DIGITS.parse(), Ok(Incarnation::new(BITS)));
    assert_eq!(DIGITS.parse(), Ok(ClusterId::new(BITS)));
    assert_eq!(DIGITS.to_uppercase().parse(), Ok(ClusterId::new(BITS)));
    let id = NodeId::new(u64::MAX).expect("not zero");
    let pair = Pair { id, incarnation: Incarnation::new(BITS) };
    assert_eq!(pair.to_string(), format!("18446744073709551615@{DIGITS}"));
    assert_eq!(pair.to_string().parse(), Ok(pair));
    assert_eq!(ClusterId::new(7).to_string(), format!("{:0>32}", 7));
}

#[test]
fn texts_of_nobody_are_refused() {
    for text in ["", "0", "-1", "+1", " 1", "1x", "18446744073709551616"] {
        assert_eq!(text.parse::<NodeId>(), Err(ParseIdentityError::Id), "{text:?}");
    }
    // One digit too few, one too many, a sign in the place of a digit, and what is no digit.
    for text in ["", &DIGITS[1..], &format!("0{DIGITS}"), &format!("+{}", &DIGITS[1..]), &"g".repeat(32)] {
        assert_eq!(text.parse::<Incarnation>(), Err(ParseIdentityError::Digits), "{text:?}");
        assert_eq!(text.parse::<ClusterId>(), Err(ParseIdentityError::Digits), "{text:?}");
    }
    assert_eq!("1".parse::<Pair>(), Err(ParseIdentityError::At));
    assert_eq!(format!("0@{DIGITS}").parse::<Pair>(), Err(ParseIdentityError::Id));
    assert_eq!("1@2".parse::<Pair>(), Err(ParseIdentityError::Digits));
}

/// What `LogIndex::MAX` says of itself: sums of an index and a length do not overflow.
#[test]
fn greatest_index_leaves_room_for_a_length() {
    assert_eq!(LogIndex::MAX.raw(), u64::MAX / 2);
}
