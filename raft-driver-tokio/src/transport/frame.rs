//! Frames: one packet each, with its length and a checksum. It knows nothing of connections.

use bytes::{Bytes, BytesMut};
use raft_core::{DecodeError, Packet, decode_packet, encode_packet};
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

use super::GROUP;

const HEADER_BYTES: usize = 12;

/// Why a peer's bytes are no frames. It is broken, of another kind, or hostile; the connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame is longer than {max} bytes")]
    TooLong { max: usize },
    #[error("the checksum of a frame is wrong")]
    Checksum,
    #[error("a frame is for group {0}, which does not exist")]
    Group(u32),
    #[error("a frame holds no packet: {0}")]
    Packet(DecodeError),
}

/// Finds the frames in a stream of bytes.
#[derive(Debug)]
pub(crate) struct Frames {
    codec: LengthDelimitedCodec,
    max: usize,
}

impl Frames {
    /// Frames whose packets are at most `max` bytes long.
    pub(crate) fn new(max: usize) -> Self {
        let codec = LengthDelimitedCodec::builder()
            .little_endian()
            .length_field_type::<u32>()
            .length_adjustment(HEADER_BYTES as isize)
            .num_skip(0)
            // It is compared with what the length field says.
            .max_frame_length(max)
            .new_codec();
        Frames { codec, max }
    }

    /// Takes the next packet out of `bytes`, if a whole one is there, and says how many bytes it took.
    ///
    /// # Errors
    /// What stands there is no frame.
    pub(crate) fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<(Packet, usize)>, FrameError> {
        let frame = self.codec.decode(bytes).map_err(|_| FrameError::TooLong { max: self.max })?;
        let Some(frame) = frame.map(BytesMut::freeze) else {
            return Ok(None);
        };
        let number =
            |at: usize| frame[at..at + 4].iter().rev().fold(0u32, |n, byte| n << 8 | u32::from(*byte));
        if checksum(&frame[..8], &frame[HEADER_BYTES..]) != number(8) {
            return Err(FrameError::Checksum);
        }
        if number(4) != GROUP {
            return Err(FrameError::Group(number(4)));
        }
        let packet = decode_packet(frame.slice(HEADER_BYTES..)).map_err(FrameError::Packet)?;
        Ok(Some((packet, frame.len())))
    }
}

/// Appends the frame of `packet` to `out`.
///
/// # Errors
/// The packet is longer than `max` bytes; nothing is appended then.
pub(crate) fn push_frame(out: &mut Vec<u8>, packet: &Packet, max: usize) -> Result<(), FrameError> {
    let packet = Bytes::from(encode_packet(packet));
    let length = u32::try_from(packet.len()).ok().filter(|_| packet.len() <= max);
    let length = length.ok_or(FrameError::TooLong { max })?;
    let mut start = [0; 8];
    start[..4].copy_from_slice(&length.to_le_bytes());
    start[4..].copy_from_slice(&GROUP.to_le_bytes());
    out.extend_from_slice(&start);
    out.extend_from_slice(&checksum(&start, &packet).to_le_bytes());
    out.extend_from_slice(&packet);
    Ok(())
}

fn checksum(start: &[u8], packet: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(start), packet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{Body, Boot, ClusterId, Incarnation, LogIndex, NodeId, Pair, Term};

    fn packet() -> Packet {
        let pair = |id| Pair { id: NodeId::new(id).expect("not zero"), incarnation: Incarnation::new(5) };
        Packet {
            cluster: ClusterId::new(77),
            from: pair(1),
            boot: Boot::new(3),
            to: pair(2),
            term: Term::new(9),
            body: Body::Commit { commit: LogIndex::new(4) },
            versions: raft_core::Versions::OURS,
        }
    }

    fn framed() -> Vec<u8> {
        let mut bytes = Vec::new();
        push_frame(&mut bytes, &packet(), 1000).expect("it is short");
        bytes
    }

    /// Goal: frames are found however the stream is cut. Method: one byte at a time.
    #[test]
    fn frames_come_out_as_they_went_in_however_they_arrive() {
        let mut frames = Frames::new(1000);
        let mut bytes = BytesMut::new();
        for _ in 0..3 {
            let mut found = None;
            for byte in framed() {
                assert_eq!(found, None);
                bytes.extend_from_slice(&[byte]);
                found = frames.next(&mut bytes).expect("all is well");
            }
            assert_eq!(found, Some((packet(), framed().len())));
        }
    }

    /// Goal: no change of a single byte gets through. Method: all of them.
    #[test]
    fn frame_with_any_byte_changed_is_refused_or_waits_for_more() {
        for at in 0..framed().len() {
            let mut bytes = BytesMut::from(&framed()[..]);
            bytes[at] ^= 0x10;
            let found = Frames::new(1000).next(&mut bytes);
            assert!(matches!(found, Err(_) | Ok(None)), "byte {at}: {found:?}");
        }
    }

    #[test]
    fn frame_that_is_too_long_is_refused_before_it_has_arrived() {
        let mut bytes = BytesMut::from(&1001u32.to_le_bytes()[..]);
        let found = Frames::new(1000).next(&mut bytes);
        assert!(matches!(found, Err(FrameError::TooLong { max: 1000 })), "{found:?}");
        let mut bytes = BytesMut::from(&1000u32.to_le_bytes()[..]);
        assert!(matches!(Frames::new(1000).next(&mut bytes), Ok(None)));
        let mut none = Vec::new();
        assert!(push_frame(&mut none, &packet(), 10).is_err());
        assert_eq!(none, []);
    }
}
