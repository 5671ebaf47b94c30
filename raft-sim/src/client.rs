//! What clients write: commands that no two requests share, so that an oracle can tell where each one went.

use bytes::Bytes;
use raft_core::Commands;

/// The name of a command: its request's number and its place in the request.
pub(crate) const fn command(request: u64, nth: u8) -> u64 {
    request << 8 | nth as u64
}

/// Request number and place.
pub(crate) const fn parts_of(command: u64) -> (u64, u8) {
    (command >> 8, command as u8)
}

/// Whose command these bytes are.
pub(crate) fn command_of(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.first_chunk::<8>().copied()?))
}

/// The commands of a request, each `bytes` long but at least as long as its name.
pub(crate) fn commands(request: u64, count: u8, bytes: u32) -> Commands {
    let one = |nth: u8| {
        let mut payload = vec![0; (bytes as usize).max(8)];
        payload[..8].copy_from_slice(&command(request, nth).to_be_bytes());
        Bytes::from(payload)
    };
    if count == 1 { Commands::One(one(0)) } else { Commands::Many((0..count).map(one).collect()) }
}
