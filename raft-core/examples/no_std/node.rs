//! A device with a node in it: `core` and `alloc`, a flash memory of a few kilobytes, and a counter of its clock. Nothing else.
//!
//! What must not be known here: a standard library. `.ci/no-std` links this very file into a program without one.

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use raft_core::{
    Boot, Bootstrap, Config, Event, Identity, Incarnation, Membership, Message, Node, NodeId, Outcome, Pair,
    Payload, Recovered, RequestId, Server, Suffrage, Write, bootstrap, decode_write, encode_packet,
    encode_write,
};

/// The memory that keeps what it has when the device is switched off: records, each behind two bytes of its length, up to the
/// first length of 0. (Real flash wants a checksum too: see `docs/embedding.md`.)
pub(crate) struct Flash {
    cells: [u8; Flash::BYTES],
    used: usize,
    boots: u64,
}

impl Flash {
    const BYTES: usize = 4096;

    pub(crate) const fn new() -> Self {
        Flash { cells: [0; Flash::BYTES], used: 0, boots: 0 }
    }

    /// Makes a batch durable. `None` where there is no room: the node is told that, and halts.
    fn write(&mut self, write: &Write) -> Option<()> {
        let record = encode_write(write);
        let length = u16::try_from(record.len()).ok()?.to_le_bytes();
        let room = self.cells.get_mut(self.used..)?.get_mut(..record.len() + 2)?;
        room[2..].copy_from_slice(&record);
        // The length comes last: a record that was being written when the power went is none.
        room[..2].copy_from_slice(&length);
        self.used += room.len();
        Some(())
    }

    fn recover(&self) -> Option<Recovered> {
        let (mut recovered, mut rest) = (Recovered::default(), &self.cells[..self.used]);
        while let Some((length, behind)) = rest.split_first_chunk::<2>() {
            let (record, next) = behind.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            recovered.absorb(&decode_write(Bytes::copy_from_slice(record)).ok()?).ok()?;
            rest = next;
        }
        Some(recovered)
    }
}

/// What a device has done between being switched on and off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// The sum of all numbers that were ever committed: the state machine.
    pub(crate) sum: u64,
    /// How many requests of this time were committed, and how many were not.
    pub(crate) committed: usize,
    pub(crate) failed: usize,
    /// How many bytes would have gone over the air.
    pub(crate) sent: usize,
    pub(crate) halted: bool,
}

/// Switches the device on, adds the numbers, and switches it off. `None` where the flash does not hold what was written.
pub(crate) fn run(flash: &mut Flash, numbers: &[u8]) -> Option<Report> {
    let pair = Pair { id: NodeId::new(1)?, incarnation: Incarnation::new(0xd1ce) }; // drawn when the flash was erased
    let (raft_address, client_address) = ("radio 1".into(), "".into());
    let server = Server { pair, suffrage: Suffrage::Voter, raft_address, client_address };
    let founding = Membership::new(Vec::from([server])).ok()?;
    if let Bootstrap::Write(first) = bootstrap(&flash.recover()?, &founding, pair).ok()? {
        flash.write(&first)?;
    }
    flash.boots += 1;
    let identity = Identity { cluster: founding.cluster_id(), pair, boot: Boot::new(flash.boots) };
    // A small device has small limits, on everything.
    let config = Config {
        tail_bytes_max: 1024,
        append_bytes_max: 256,
        uncommitted_bytes_max: 1024,
        proposals_max: 8,
        command_bytes_max: 16,
        ..Config::default()
    };
    let mut node = Node::new(config, identity, flash.recover()?).ok()?;
    let mut report = Report { sum: 0, committed: 0, failed: 0, sent: 0, halted: false };
    let mut inbox = VecDeque::from([Message::Tick { elapsed: 0 }, Message::Tick { elapsed: 40 }]); // its clock
    let mut left = numbers.iter();
    loop {
        // What the flash and the state machine have done is told first, then what comes from outside, one at a time.
        let message = match (inbox.pop_front(), left.len()) {
            (Some(message), _) => message,
            (None, 0) => return Some(report),
            (None, more) => {
                let commands = Bytes::copy_from_slice(&[*left.next()?]).into();
                Message::Propose { id: RequestId::new(more as u64), commands }
            }
        };
        let ready = node.step(message);
        report.sent += ready.send.iter().map(|packet| encode_packet(packet).len()).sum::<usize>();
        if let Some(write) = ready.write {
            let done = flash.write(&write);
            inbox.push_back(
                done.map_or(Message::WriteFailed(write.number), |()| Message::Synced(write.number)),
            );
        }
        if let Some(entries) = ready.apply {
            report.sum += entries.entries().map(|(_, entry)| number_in(&entry.payload)).sum::<u64>();
            inbox.push_back(Message::Applied(entries.last_position()?.index));
        }
        for fetch in ready.fetch {
            let result = flash.recover()?.read(&fetch);
            inbox.push_back(Message::Fetched { number: fetch.number, result });
        }
        let committed = |outcome: &Outcome| matches!(outcome, Outcome::Committed { .. });
        report.committed += ready.answers.iter().filter(|answer| committed(&answer.outcome)).count();
        report.failed += ready.answers.iter().filter(|answer| !committed(&answer.outcome)).count();
        report.halted |= ready.events.iter().any(|event| matches!(event, Event::Fault(_)));
    }
}

fn number_in(payload: &Payload) -> u64 {
    match payload {
        Payload::Command(command) => command.first().copied().map_or(0, u64::from),
        _ => 0,
    }
}
