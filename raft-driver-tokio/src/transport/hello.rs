//! What two servers say first: which cluster, who is calling, and who is meant.
//!
//! ```text
//!   hello    0  "RAFTPEER"                      answer   0  u32  0: welcome; else why not
//!            8  u32   version: 2                         4  u32  version
//!           12  u128  cluster                            8  u32  CRC-32C of bytes 0..8
//!           28  u64   id, 36  u128  incarnation of the caller
//!           52  u64   id, 60  u128  incarnation of the one who is meant
//!           76  u8    length of the address, 77  255 bytes  where the caller is reached, filled up with zeros
//!          332  u32   CRC-32C of bytes 0..332
//! ```

use raft_core::{ClusterId, Identity, Incarnation, NodeId, Pair};

const MAGIC: [u8; 8] = *b"RAFTPEER";
const VERSION: u32 = 2;
/// Where the address stands, and where it ends at the latest.
const ADDRESS: usize = 77;
const ADDRESS_END: usize = ADDRESS + 255;
pub(crate) const HELLO_BYTES: usize = ADDRESS_END + 4;
pub(crate) const ANSWER_BYTES: usize = 12;

/// What a caller says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    pub(crate) cluster: ClusterId,
    pub(crate) from: Pair,
    pub(crate) to: Pair,
    /// Where the caller is reached; empty where it does not know, or where it is longer than 255 bytes.
    pub(crate) address: String,
}

/// Why a caller is sent away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum HelloError {
    #[error("it is no server of this kind")]
    Malformed,
    #[error("it speaks another version of the protocol")]
    Version,
    #[error("it belongs to another cluster")]
    WrongCluster,
    #[error("another server is meant, or another incarnation: a disk was wiped, or an address is wrong")]
    WrongServer,
}

impl HelloError {
    const ALL: [(HelloError, u32); 4] = [
        (HelloError::Malformed, 1),
        (HelloError::Version, 2),
        (HelloError::WrongCluster, 3),
        (HelloError::WrongServer, 4),
    ];
}

impl Hello {
    pub(crate) fn encode(&self) -> [u8; HELLO_BYTES] {
        let mut bytes = [0; HELLO_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..28].copy_from_slice(&self.cluster.raw().to_le_bytes());
        bytes[28..36].copy_from_slice(&self.from.id.raw().to_le_bytes());
        bytes[36..52].copy_from_slice(&self.from.incarnation.raw().to_le_bytes());
        bytes[52..60].copy_from_slice(&self.to.id.raw().to_le_bytes());
        bytes[60..76].copy_from_slice(&self.to.incarnation.raw().to_le_bytes());
        let address = self.address.as_bytes();
        if let Ok(length @ 1..) = u8::try_from(address.len()) {
            bytes[ADDRESS - 1] = length;
            bytes[ADDRESS..ADDRESS + address.len()].copy_from_slice(address);
        }
        let crc = crc32c::crc32c(&bytes[..ADDRESS_END]);
        bytes[ADDRESS_END..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// # Errors
    /// It is no hello, or of another version.
    pub(crate) fn decode(bytes: &[u8; HELLO_BYTES]) -> Result<Hello, HelloError> {
        let pair = |at: usize| {
            let id = NodeId::new(u64::from_le_bytes(array(bytes, at))).ok_or(HelloError::Malformed)?;
            Ok(Pair { id, incarnation: Incarnation::new(u128::from_le_bytes(array(bytes, at + 8))) })
        };
        if array(bytes, 0) != MAGIC
            || crc32c::crc32c(&bytes[..ADDRESS_END]) != u32::from_le_bytes(array(bytes, ADDRESS_END))
        {
            return Err(HelloError::Malformed);
        }
        if u32::from_le_bytes(array(bytes, 8)) != VERSION {
            return Err(HelloError::Version);
        }
        let cluster = ClusterId::new(u128::from_le_bytes(array(bytes, 12)));
        let address = &bytes[ADDRESS..][..usize::from(bytes[ADDRESS - 1])];
        let address = std::str::from_utf8(address).map_err(|_| HelloError::Malformed)?.to_owned();
        Ok(Hello { cluster, from: pair(28)?, to: pair(52)?, address })
    }

    /// Whether this server, `identity`, is the one that is meant.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn check(&self, identity: Identity) -> Result<(), HelloError> {
        if self.cluster != identity.cluster {
            return Err(HelloError::WrongCluster);
        }
        if self.to != identity.pair {
            return Err(HelloError::WrongServer);
        }
        Ok(())
    }
}

pub(crate) fn encode_answer(answer: Result<(), HelloError>) -> [u8; ANSWER_BYTES] {
    let code = answer.err().map_or(0, |error| {
        HelloError::ALL.iter().find(|(known, _)| *known == error).map_or(1, |(_, code)| *code)
    });
    let mut bytes = [0; ANSWER_BYTES];
    bytes[..4].copy_from_slice(&code.to_le_bytes());
    bytes[4..8].copy_from_slice(&VERSION.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..8]);
    bytes[8..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// # Errors
/// Why the caller was sent away; [`HelloError::Malformed`] also where the answer is none.
pub(crate) fn decode_answer(bytes: &[u8; ANSWER_BYTES]) -> Result<(), HelloError> {
    if crc32c::crc32c(&bytes[..8]) != u32::from_le_bytes(array(bytes, 8)) {
        return Err(HelloError::Malformed);
    }
    match u32::from_le_bytes(array(bytes, 0)) {
        0 => Ok(()),
        code => {
            let known = HelloError::ALL.iter().find(|(_, known)| *known == code);
            Err(known.map_or(HelloError::Malformed, |(error, _)| *error))
        }
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::Boot;

    fn pair(id: u64, incarnation: u128) -> Pair {
        Pair { id: NodeId::new(id).expect("not zero"), incarnation: Incarnation::new(incarnation) }
    }

    const CLUSTER: ClusterId = ClusterId::new(0xc1);

    fn hello() -> Hello {
        Hello { cluster: CLUSTER, from: pair(1, 10), to: pair(2, 20), address: "one:4701".to_owned() }
    }

    #[test]
    fn hello_comes_out_as_it_went_in_and_no_other_way() {
        assert_eq!(Hello::decode(&hello().encode()), Ok(hello()));
        for at in 0..HELLO_BYTES {
            let mut bytes = hello().encode();
            bytes[at] ^= 1;
            assert_eq!(Hello::decode(&bytes), Err(HelloError::Malformed), "byte {at}");
        }
    }

    #[test]
    fn hello_for_another_cluster_server_or_incarnation_is_refused() {
        let me = |cluster, pair| Identity { cluster, pair, boot: Boot::new(1) };
        assert_eq!(hello().check(me(CLUSTER, pair(2, 20))), Ok(()));
        assert_eq!(hello().check(me(ClusterId::new(2), pair(2, 20))), Err(HelloError::WrongCluster));
        assert_eq!(hello().check(me(CLUSTER, pair(3, 20))), Err(HelloError::WrongServer));
        assert_eq!(hello().check(me(CLUSTER, pair(2, 21))), Err(HelloError::WrongServer));
    }

    #[test]
    fn answers_come_out_as_they_went_in() {
        for answer in HelloError::ALL.map(|(error, _)| Err(error)).into_iter().chain([Ok(())]) {
            assert_eq!(decode_answer(&encode_answer(answer)), answer);
        }
        assert_eq!(decode_answer(b"HTTP/1.1 400"), Err(HelloError::Malformed));
    }
}
