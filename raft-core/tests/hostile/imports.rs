//! What the observer knows of states that are imported. Written from the contract of the crate: no server has the entry without the
//! bytes, and those that it lacks are asked for.

use std::collections::BTreeSet;

use raft_core::{Digest, Import, Message, Payload, Ready, RequestId};

/// The `nth` of the few states that there are.
pub fn state(nth: u8) -> Import {
    Import { size: 9, digest: Digest::new(u128::from(nth % 3)) }
}

#[derive(Default)]
pub struct Imports {
    /// Those whose bytes are durable on the server, in whatever boot they came.
    here: BTreeSet<Digest>,
    /// What was asked for last.
    asked: Option<Import>,
}

impl Imports {
    /// An operator wants a state imported, and brings the bytes.
    pub fn wanted(&mut self, id: RequestId, nth: u8) -> Message {
        let import = state(nth);
        self.here.insert(import.digest);
        Message::Import { id, import }
    }

    /// The bytes that were asked for last have come.
    pub fn obtained(&mut self) -> Option<Message> {
        let import = self.asked.take()?;
        self.here.insert(import.digest);
        Some(Message::Obtained(import))
    }

    /// Looks at what the node wants written and got. Returns how many imports it has taken into its log.
    pub fn observe(&mut self, ready: &Ready) -> u32 {
        let mut taken = 0;
        for (position, entry) in ready.write.iter().flat_map(|write| write.entries.entries()) {
            if let Payload::Import(import) = &entry.payload {
                assert!(self.here.contains(&import.digest), "the bytes of the import at {position} are here");
                taken += 1;
            }
        }
        if let Some(obtain) = ready.obtain.last() {
            self.asked = Some(obtain.import);
        }
        taken
    }
}
