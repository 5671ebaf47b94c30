//! Recorded runs. A node is a function, so what it was made of and what was handed to it is all of a run: written down, it can be
//! replayed anywhere, step by step, and each `Ready` has to be the recorded one byte for byte.
//!
//! ```text
//!   "raft-rec" 1 │ frame: RecordedStart │ frame: RecordedStep │ frame: RecordedStep │ …
//!
//!   frame = length (u32) │ its complement (u32) │ XXH3 of the record (u64) │ record      numbers little-endian
//! ```
//!
//! Frames are appended one by one, so a recording can end anywhere: what is there of its last frame then is *torn*, and all before it
//! is whole. The complement tells a length that is damaged from a frame that is cut off.
//!
//! This file reads and writes bytes in memory. Where they come from and where they go is for the embedder.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use bytes::{Buf, BufMut, Bytes};

use crate::config::Config;
use crate::encoding::{
    DecodeError, decode_start, decode_step, differences, encode_ready, encode_start, encode_step,
};
use crate::identity::Identity;
use crate::message::Message;
use crate::node::{Node, StartError};
use crate::ready::Ready;
use crate::write::Recovered;

/// What a recording begins with; the last byte is the version of the frames.
const MAGIC: &[u8] = b"raft-rec\x01";

const FRAME_HEAD_BYTES: usize = 16;

/// What a node was made of: the arguments of [`Node::new`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedStart {
    /// Its settings.
    pub config: Config,
    /// Who it is.
    pub identity: Identity,
    /// What its disk knew.
    pub recovered: Recovered,
}

/// One step: what was handed over in one [`Node::step_all`], and what the node wanted then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedStep {
    /// The messages, in order. A packet is one that [`decode_packet`](crate::decode_packet) let through, else it can not be read back.
    pub messages: Vec<Message>,
    /// The [`Ready`], encoded: the message `RecordedReady` of `proto/raft_core.proto`. Equal ones have equal encodings.
    pub ready: Bytes,
}

impl RecordedStart {
    /// The bytes that a recording begins with; the steps follow ([`RecordedStep::to_bytes`]).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        put_frame(&encode_start(self), &mut bytes);
        bytes
    }
}

impl RecordedStep {
    /// A step as it was made.
    pub fn new(messages: Vec<Message>, ready: &Ready) -> Self {
        RecordedStep { messages, ready: encode_ready(ready) }
    }

    /// The bytes that are appended to a recording for it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_frame(&encode_step(self), &mut bytes);
        bytes
    }
}

fn put_frame(record: &[u8], out: &mut Vec<u8>) {
    // A record holds what one step was handed, which is bounded far below this.
    let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
    debug_assert_eq!(len as usize, record.len(), "a record is shorter than 4 GiB");
    out.reserve(FRAME_HEAD_BYTES + record.len());
    out.put_u32_le(len);
    out.put_u32_le(!len);
    out.put_u64_le(xxhash_rust::xxh3::xxh3_64(record));
    out.extend_from_slice(record);
}

/// Why bytes are not a recording, or only the beginning of one.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecordingError {
    /// They do not begin as one does.
    NotARecording,
    /// The last record is not all there: whoever wrote it was interrupted, or has not finished. All before it is whole.
    Torn {
        /// Where that record begins, in bytes from the beginning.
        offset: u64,
    },
    /// What stands there is not what was written.
    Damaged {
        /// Where the record begins, in bytes from the beginning.
        offset: u64,
    },
    /// What was written is not a record of this version.
    Decode {
        /// Where the record begins, in bytes from the beginning.
        offset: u64,
        /// What is wrong with it.
        error: DecodeError,
    },
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordingError::NotARecording => f.write_str("not a recording of this version"),
            RecordingError::Torn { offset } => write!(f, "the record at byte {offset} is not all there"),
            RecordingError::Damaged { offset } => write!(f, "the record at byte {offset} is damaged"),
            RecordingError::Decode { offset, error } => {
                write!(f, "the record at byte {offset} can not be read: {error}")
            }
        }
    }
}

impl core::error::Error for RecordingError {}

/// The steps of a recording, in order. After an error there are no more.
#[derive(Clone, Debug)]
pub struct Recording {
    bytes: Bytes,
    offset: u64,
}

impl Recording {
    /// Whether bytes begin as a recording does; the first 9 say so.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Opens a recording, of which all bytes are given. Commands are slices of them.
    ///
    /// # Errors
    /// Where it is none, or its beginning is not whole.
    pub fn open(mut bytes: Bytes) -> Result<(RecordedStart, Recording), RecordingError> {
        if !Self::is_one(&bytes) {
            return Err(RecordingError::NotARecording);
        }
        bytes.advance(MAGIC.len());
        let mut recording = Recording { bytes, offset: MAGIC.len() as u64 };
        let offset = recording.offset;
        let record = recording.record()?.ok_or(RecordingError::Torn { offset })?;
        let start = decode_start(record).map_err(|error| RecordingError::Decode { offset, error })?;
        Ok((start, recording))
    }

    /// The next record, `None` at the end.
    fn record(&mut self) -> Result<Option<Bytes>, RecordingError> {
        let (offset, there) = (self.offset, self.bytes.len());
        if there == 0 {
            return Ok(None);
        }
        if there < FRAME_HEAD_BYTES {
            return Err(RecordingError::Torn { offset });
        }
        let mut head = &self.bytes[..FRAME_HEAD_BYTES];
        let (len, complement, digest) = (head.get_u32_le(), head.get_u32_le(), head.get_u64_le());
        if complement != !len {
            return Err(RecordingError::Damaged { offset });
        }
        if there - FRAME_HEAD_BYTES < len as usize {
            return Err(RecordingError::Torn { offset });
        }
        self.bytes.advance(FRAME_HEAD_BYTES);
        let record = self.bytes.split_to(len as usize);
        self.offset += FRAME_HEAD_BYTES as u64 + u64::from(len);
        if xxhash_rust::xxh3::xxh3_64(&record) == digest {
            Ok(Some(record))
        } else {
            Err(RecordingError::Damaged { offset })
        }
    }
}

impl Iterator for Recording {
    type Item = Result<RecordedStep, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset;
        let step = self
            .record()
            .transpose()?
            .and_then(|record| decode_step(record).map_err(|error| RecordingError::Decode { offset, error }));
        if step.is_err() {
            self.bytes.clear();
        }
        Some(step)
    }
}

/// A node that is made again from a recording, and compared step by step.
///
/// ```
/// use raft_core::{
///     ClusterId, Config, Identity, Incarnation, Message, Node, NodeId, Pair, Boot, RecordedStart, RecordedStep, Recording,
///     Recovered, Replay,
/// };
/// let pair = Pair { id: NodeId::new(1).unwrap(), incarnation: Incarnation::new(0x1234) };
/// let identity = Identity { cluster: ClusterId::new(7), pair, boot: Boot::new(1) };
/// let start = RecordedStart { config: Config::default(), identity, recovered: Recovered::default() };
///
/// // While it runs: the start, then every step.
/// let mut file = start.to_bytes();
/// let mut node = Node::new(start.config, start.identity, start.recovered).unwrap();
/// for elapsed in [0, 40] {
///     let message = Message::Tick { elapsed };
///     let ready = node.step(message.clone());
///     file.extend(RecordedStep::new(vec![message], &ready).to_bytes());
/// }
///
/// // Later, anywhere.
/// let (start, steps) = Recording::open(file.into()).unwrap();
/// let mut replay = Replay::new(start).unwrap();
/// for step in steps {
///     replay.step(&step.unwrap()).unwrap();
/// }
/// assert_eq!(replay.node(), &node);
/// ```
#[derive(Clone, Debug)]
pub struct Replay {
    node: Node,
    ready: Ready,
    steps: u64,
}

impl Replay {
    /// The node as it was made.
    ///
    /// # Errors
    /// As those of [`Node::new`].
    pub fn new(start: RecordedStart) -> Result<Replay, StartError> {
        let node = Node::new(start.config, start.identity, start.recovered)?;
        Ok(Replay { node, ready: Ready::default(), steps: 0 })
    }

    /// Makes a step again, and returns what the node wants.
    ///
    /// # Errors
    /// Where it wants something else than it did. The replay may go on from there; every later step may differ too.
    pub fn step(&mut self, step: &RecordedStep) -> Result<&Ready, Box<Difference>> {
        self.steps += 1;
        self.node.step_all(step.messages.iter().cloned(), &mut self.ready);
        let replayed = encode_ready(&self.ready);
        if replayed == step.ready {
            return Ok(&self.ready);
        }
        Err(Box::new(Difference { step: self.steps, recorded: Bytes::clone(&step.ready), replayed }))
    }

    /// The node as it is after the last step.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// How many steps were made.
    pub const fn steps(&self) -> u64 {
        self.steps
    }
}

/// A step whose `Ready` is not the recorded one. Its text shows both, as far as they differ, a field a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Which step: 1, 2, 3 …
    pub step: u64,
    /// The recorded `Ready`, encoded.
    pub recorded: Bytes,
    /// What the node wants now, encoded.
    pub replayed: Bytes,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} differs", self.step)?;
        match differences(&self.recorded, &self.replayed) {
            None => write!(f, "\n  what is recorded is no Ready"),
            Some(fields) if fields.is_empty() => write!(f, "\n  in how it is encoded"),
            Some(fields) => fields.iter().try_for_each(|(name, recorded, replayed)| {
                write!(f, "\n  {name}\n    recorded {recorded}\n    replayed {replayed}")
            }),
        }
    }
}

impl core::error::Error for Difference {}
