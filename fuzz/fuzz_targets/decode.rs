//! Any bytes into the decoders: never a panic; and what is decoded, encoded and decoded again is the same, in the same bytes.
//! The first byte picks the decoder, so that one corpus serves all.
#![no_main]

use std::fmt::Debug;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use raft_core::{
    DecodeError, decode_entry, decode_membership, decode_packet, decode_recovered, decode_write,
    encode_entry, encode_membership, encode_packet, encode_recovered, encode_write,
};

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let bytes = Bytes::copy_from_slice(rest);
    match first % 5 {
        0 => round_trip(bytes, decode_packet, encode_packet),
        1 => round_trip(bytes, decode_write, encode_write),
        2 => round_trip(bytes, decode_membership, encode_membership),
        3 => round_trip(bytes, decode_recovered, encode_recovered),
        _ => {
            // An entry is kept as it came, so not even the first encoding may lose anything of it.
            if let Ok(entry) = decode_entry(bytes.clone()) {
                let kept = encode_entry(&entry);
                assert_eq!(kept.len(), bytes.len(), "nothing of an entry is lost");
            }
            round_trip(bytes, decode_entry, encode_entry);
        }
    }
});

fn round_trip<T: PartialEq + Debug>(
    bytes: Bytes,
    decode: impl Fn(Bytes) -> Result<T, DecodeError>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    let Ok(value) = decode(bytes) else { return };
    let encoded = encode(&value);
    let again = decode(Bytes::from(encoded.clone())).expect("what was encoded decodes");
    assert_eq!(value, again);
    assert_eq!(encoded, encode(&again));
}
