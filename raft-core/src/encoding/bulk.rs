//! Runs of entries, written and read directly: they are most of what is sent and stored, and the generated code would
//! allocate and copy for every entry of them.
//!
//! What is written is exactly what the generated code would write. What is read is first taken for that, the shortest form;
//! whatever is anything else (fields that a later version wrote, other orders, longer numbers) is left to the generated
//! code, which knows all of protobuf. So there is one meaning and two speeds, and a property test holds them to it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::{BufMut, Bytes};
use prost::Message as _;
use prost::encoding::{encode_varint, encoded_len_varint};

use super::{DecodeError, import_of, membership, wire, wire_import, wire_membership};
use crate::entry::{Entry, Payload, Run, Runs};
use crate::position::{LogIndex, LogTime, Term};

// The keys of fields: number × 8 + 0 for a number or 2 for bytes with their length before them.
const RUN_TERM: u8 = 8;
const RUN_ENTRY: u8 = 2 * 8 + 2;
const ENTRY_TIME: u8 = 8;
const ENTRY_NOOP: u8 = 2 * 8 + 2;
const ENTRY_COMMAND: u8 = 3 * 8 + 2;
const ENTRY_MEMBERSHIP: u8 = 4 * 8 + 2;
const ENTRY_IMPORT: u8 = 5 * 8 + 2;
const ENTRY_TIMER: u8 = 6 * 8 + 2;

/// How long bytes are with their key, of one byte, and their length before them.
fn field_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

fn put_key_and_len(key: u8, len: usize, out: &mut Vec<u8>) {
    out.put_u8(key);
    encode_varint(len as u64, out);
}

/// A number that is 0 is left out.
fn number_len(number: u64) -> usize {
    if number == 0 { 0 } else { 1 + encoded_len_varint(number) }
}

fn put_number(key: u8, number: u64, out: &mut Vec<u8>) {
    if number != 0 {
        out.put_u8(key);
        encode_varint(number, out);
    }
}

/// How long an entry is when it is encoded, in bytes.
pub(super) fn entry_len(entry: &Entry) -> usize {
    if let Some(original) = &entry.original {
        return original.len();
    }
    let payload = match &entry.payload {
        Payload::Noop | Payload::Timer => 0,
        Payload::Command(command) => command.len(),
        Payload::Membership(_) | Payload::Import(_) => special(&entry.payload).len(),
    };
    number_len(entry.time.raw()) + field_len(payload)
}

/// Encodes an entry: as it came, where it came with fields that this version does not know.
pub(super) fn put_entry(entry: &Entry, out: &mut Vec<u8>) {
    if let Some(original) = &entry.original {
        return out.extend_from_slice(original);
    }
    put_number(ENTRY_TIME, entry.time.raw(), out);
    match &entry.payload {
        Payload::Noop => put_key_and_len(ENTRY_NOOP, 0, out),
        Payload::Timer => put_key_and_len(ENTRY_TIMER, 0, out),
        Payload::Command(command) => {
            put_key_and_len(ENTRY_COMMAND, command.len(), out);
            out.extend_from_slice(command);
        }
        Payload::Membership(_) => put_special(ENTRY_MEMBERSHIP, &entry.payload, out),
        Payload::Import(_) => put_special(ENTRY_IMPORT, &entry.payload, out),
    }
}

/// What the core has to look at is rare and larger to encode than all the rest: apart, so that the rest is not made slower by it.
#[cold]
#[inline(never)]
fn special(payload: &Payload) -> Vec<u8> {
    match payload {
        Payload::Membership(membership) => wire_membership(membership).encode_to_vec(),
        Payload::Import(import) => wire_import(*import).encode_to_vec(),
        Payload::Noop | Payload::Timer | Payload::Command(_) => Vec::new(),
    }
}

#[cold]
#[inline(never)]
fn put_special(key: u8, payload: &Payload, out: &mut Vec<u8>) {
    let encoded = special(payload);
    put_key_and_len(key, encoded.len(), out);
    out.extend_from_slice(&encoded);
}

fn run_len(run: &Run) -> usize {
    let entries = run.entries().iter().map(|entry| field_len(entry_len(entry)));
    number_len(run.term().raw()) + entries.sum::<usize>()
}

/// How long a repeated field of runs is, its keys of one byte included.
pub(super) fn runs_len(runs: &Runs) -> usize {
    runs.iter().map(|run| field_len(run_len(run))).sum()
}

/// Encodes runs as a repeated field with this key.
pub(super) fn put_runs(key: u8, runs: &Runs, out: &mut Vec<u8>) {
    for run in runs.iter() {
        put_key_and_len(key, run_len(run), out);
        put_number(RUN_TERM, run.term().raw(), out);
        for entry in run.entries() {
            put_key_and_len(RUN_ENTRY, entry_len(entry), out);
            put_entry(entry, out);
        }
    }
}

/// Decodes a run whose first entry is at index `first`.
pub(super) fn run(bytes: &Bytes, first: LogIndex) -> Result<Run, DecodeError> {
    let mut reader = Reader { bytes, at: 0 };
    if let Some(term) = reader.field(RUN_TERM) {
        // A first pass counts and looks at the form, so that nothing is allocated for what is not there.
        let (mut ahead, mut count) = (reader.clone(), Some(0));
        while let Some(so_far) = count
            && !ahead.is_done()
        {
            count = ahead.piece(RUN_ENTRY).map(|_| so_far + 1);
        }
        if let Some(count) = count {
            let mut entries = Vec::with_capacity(count);
            while let Some((from, to)) = reader.piece(RUN_ENTRY) {
                entries.push(entry(bytes, from, to)?);
            }
            return Run::new(Term::new(term), first, entries).map_err(DecodeError::Entries);
        }
    }
    let run = wire::Run::decode(Bytes::clone(bytes)).map_err(|_| DecodeError::Malformed)?;
    let entries = run.entries.iter().map(|bytes| entry(bytes, 0, bytes.len()));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    Run::new(Term::new(run.term), first, entries).map_err(DecodeError::Entries)
}

/// Decodes the entry that takes up `buffer[from..to]`.
pub(super) fn entry(buffer: &Bytes, from: usize, to: usize) -> Result<Entry, DecodeError> {
    match entry_in_shortest_form(buffer, from, to) {
        Some(entry) => Ok(entry),
        None => entry_in_any_form(&buffer.slice(from..to)),
    }
}

/// A no-op or a command; configurations are rare.
fn entry_in_shortest_form(buffer: &Bytes, from: usize, to: usize) -> Option<Entry> {
    let mut reader = Reader { bytes: &buffer[..to], at: from };
    let time = LogTime::new(reader.field(ENTRY_TIME)?);
    let (key, (from, end)) = (*reader.bytes.get(reader.at)?, reader.piece_of_any_kind()?);
    if end != to {
        return None;
    }
    match key {
        ENTRY_COMMAND => Some(Entry::new(time, Payload::Command(buffer.slice(from..to)))),
        ENTRY_NOOP if from == to => Some(Entry::new(time, Payload::Noop)),
        ENTRY_TIMER if from == to => Some(Entry::new(time, Payload::Timer)),
        _ => None,
    }
}

fn entry_in_any_form(bytes: &Bytes) -> Result<Entry, DecodeError> {
    let entry = wire::Entry::decode(Bytes::clone(bytes)).map_err(|_| DecodeError::Malformed)?;
    // Encoding anew what was understood yields the shortest form, so an equal length says that nothing was lost.
    let original = (entry.encoded_len() != bytes.len()).then(|| Box::new(Bytes::clone(bytes)));
    let payload = match entry.payload.ok_or(DecodeError::Unknown("entry"))? {
        wire::entry::Payload::Noop(_) => Payload::Noop,
        wire::entry::Payload::Timer(_) => Payload::Timer,
        wire::entry::Payload::Command(command) => Payload::Command(command),
        wire::entry::Payload::Membership(m) => Payload::Membership(Arc::new(membership(m)?)),
        wire::entry::Payload::Import(import) => Payload::Import(import_of(import)),
    };
    Ok(Entry { time: LogTime::new(entry.time), payload, original })
}

/// Reads the shortest form of protobuf: what says `None` may still be valid in another one.
#[derive(Clone)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    const fn is_done(&self) -> bool {
        self.bytes.len() <= self.at
    }

    /// A number in as few bytes as it needs.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for nth in 0..10 {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            if nth == 9 && 1 < bits {
                return None; // More than 64 bits.
            }
            number |= bits << (7 * nth);
            if byte & 0x80 == 0 {
                return (byte != 0 || nth == 0).then_some(number);
            }
        }
        None
    }

    /// The number under this key, 0 where the key is not next.
    fn field(&mut self, key: u8) -> Option<u64> {
        if self.bytes.get(self.at) != Some(&key) {
            return Some(0);
        }
        self.at += 1;
        self.number().filter(|number| *number != 0)
    }

    /// From where to where the bytes under this key go, if it is next.
    fn piece(&mut self, key: u8) -> Option<(usize, usize)> {
        if self.bytes.get(self.at) != Some(&key) {
            return None;
        }
        self.piece_of_any_kind()
    }

    /// From where to where the bytes under the next key go, if it has bytes and is no longer than one byte.
    fn piece_of_any_kind(&mut self) -> Option<(usize, usize)> {
        let key = *self.bytes.get(self.at)?;
        if key & 0x87 != 2 {
            return None;
        }
        self.at += 1;
        let len = usize::try_from(self.number()?).ok()?;
        let (from, to) = (self.at, self.at.checked_add(len)?);
        self.at = to;
        (to <= self.bytes.len()).then_some((from, to))
    }
}

#[cfg(test)]
mod tests {
    //! Goal: two speeds, one meaning. Method: arbitrary runs are written as by the generated code; arbitrary and damaged
    //! bytes are read as by the generated code.

    use alloc::vec;
    use proptest::collection::vec as vec_of;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::encoding::wire_position;
    use crate::position::Position;

    fn entries() -> impl Strategy<Value = Entry> {
        let time = prop_oneof![Just(0), 0..300u64, any::<u64>()].prop_map(LogTime::new);
        let payload = prop_oneof![
            Just(Payload::Noop),
            Just(Payload::Timer),
            vec_of(any::<u8>(), 0..300).prop_map(|command| Payload::Command(command.into())),
        ];
        (time, payload).prop_map(|(time, payload)| Entry::new(time, payload))
    }

    fn runs() -> impl Strategy<Value = Run> {
        (prop_oneof![Just(0), any::<u64>()], vec_of(entries(), 1..20)).prop_map(|(term, entries)| {
            Run::new(Term::new(term), LogIndex::new(1), entries).expect("at least one entry")
        })
    }

    fn generated_entry(entry: &Entry) -> Bytes {
        let payload = match &entry.payload {
            Payload::Noop => wire::entry::Payload::Noop(wire::Noop {}),
            Payload::Timer => wire::entry::Payload::Timer(wire::Noop {}),
            Payload::Command(command) => wire::entry::Payload::Command(command.clone()),
            Payload::Membership(m) => wire::entry::Payload::Membership(wire_membership(m)),
            Payload::Import(import) => wire::entry::Payload::Import(wire_import(*import)),
        };
        wire::Entry { time: entry.time.raw(), payload: Some(payload) }.encode_to_vec().into()
    }

    fn generated_run(run: &Run) -> Bytes {
        let entries = run.entries().iter().map(generated_entry).collect();
        wire::Run { term: run.term().raw(), entries }.encode_to_vec().into()
    }

    fn read_as_generated(bytes: &Bytes) -> Result<Run, DecodeError> {
        let run = wire::Run::decode(bytes.clone()).map_err(|_| DecodeError::Malformed)?;
        let entries = run.entries.iter().map(entry_in_any_form).collect::<Result<Vec<_>, _>>()?;
        Run::new(Term::new(run.term), LogIndex::new(1), entries).map_err(DecodeError::Entries)
    }

    proptest! {
        #[test]
        fn runs_are_written_as_the_generated_code_writes_them(run in runs(), commit in 0..1000u64) {
            let mut out = Vec::new();
            put_runs(26, &Runs::from(run.clone()), &mut out);
            prop_assert_eq!(out.len(), runs_len(&Runs::from(run.clone())));
            let previous = Some(wire_position(Position::new(0, 0)));
            let head = wire::Append { previous, commit, runs: vec![] };
            let all = wire::Append { runs: vec![generated_run(&run)], ..head.clone() };
            prop_assert_eq!([head.encode_to_vec(), out].concat(), all.encode_to_vec());
        }

        #[test]
        fn whole_and_damaged_runs_are_read_as_the_generated_code_reads_them(
            run in runs(),
            damage in vec_of((any::<Index>(), any::<u8>()), 0..3),
            cut in any::<Index>(),
            is_cut in any::<bool>(),
        ) {
            let mut bytes = generated_run(&run).to_vec();
            prop_assert_eq!(super::run(&bytes.clone().into(), LogIndex::new(1)), Ok(run));
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if is_cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let bytes = Bytes::from(bytes);
            prop_assert_eq!(super::run(&bytes, LogIndex::new(1)), read_as_generated(&bytes));
        }
    }

    /// The shortest form is what nearly everybody sends; else the direct way would be of no use, and nobody would notice.
    #[test]
    fn shortest_form_is_read_directly() {
        let time = LogTime::new(70_000);
        for payload in [Payload::Noop, Payload::Command(Bytes::from_static(b"set x"))] {
            let bytes = generated_entry(&Entry::new(time, payload.clone()));
            assert_eq!(entry_in_shortest_form(&bytes, 0, bytes.len()), Some(Entry::new(time, payload)));
        }
    }

    /// A number that is longer than it has to be is another form, which has to be forwarded as it came.
    #[test]
    fn longer_forms_are_kept() {
        let bytes = Bytes::from_static(&[ENTRY_TIME, 0x81, 0x00, ENTRY_NOOP, 0]);
        assert_eq!(entry_in_shortest_form(&bytes, 0, bytes.len()), None);
        let entry = entry(&bytes, 0, bytes.len()).expect("valid protobuf");
        assert_eq!((entry.time, entry.payload.clone()), (LogTime::new(1), Payload::Noop));
        let mut out = Vec::new();
        put_entry(&entry, &mut out);
        assert_eq!(out, bytes);
    }
}
