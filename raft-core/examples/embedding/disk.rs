//! A disk: one file of records, each with its length and a checksum.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::Path;

use raft_core::{Boot, Incarnation, NodeId, Pair, Recovered, Write, decode_write, encode_write};

/// What a record begins with: four bytes of length, four of checksum. Then a kind and the rest.
const HEAD: usize = 8;
const PAIR: u8 = 0;
const BOOT: u8 = 1;
const WRITE: u8 = 2;

/// A kind, and what it holds.
type Record = (u8, Vec<u8>);

/// The file of one server. Whoever sees an error of it stops using it: after a failed sync nobody knows what is there.
pub(crate) struct Disk {
    file: File,
    pair: Pair,
    boot: u64,
}

fn damaged(what: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Disk {
    /// Makes the disk of server `id` where there is none yet, with an incarnation that no disk had before.
    pub(crate) fn format(path: &Path, id: NodeId) -> io::Result<Disk> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).map_err(io::Error::other)?;
        let pair = Pair { id, incarnation: Incarnation::new(u128::from_le_bytes(bits)) };
        let file = OpenOptions::new().create_new(true).read(true).append(true).open(path)?;
        let mut disk = Disk { file, pair, boot: 0 };
        disk.append(PAIR, pair.to_string().as_bytes())?;
        // A file is there for good once the folder that names it is synced, too.
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(disk)
    }

    /// Opens a disk for the next start of its server, and says what is on it.
    pub(crate) fn open(path: &Path) -> io::Result<(Disk, Recovered)> {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        let (records, whole) = records(&mut file)?;
        // A crash while a record was written leaves a torn one at the end. It was never synced, so nothing rests on it.
        file.set_len(whole)?;
        file.sync_all()?;
        let Some((PAIR, pair)) = records.first().map(|(kind, rest)| (*kind, rest)) else {
            return Err(damaged("formatting this disk was not finished"));
        };
        let pair = String::from_utf8_lossy(pair).parse().map_err(damaged)?;
        let boot = records.iter().filter(|(kind, _)| *kind == BOOT).count() as u64;
        Ok((Disk { file, pair, boot }, recovered(records)?))
    }

    /// Who the server is.
    pub(crate) fn pair(&self) -> Pair {
        self.pair
    }

    /// Counts another start of the server. Durable when it returns, and so before the node exists.
    pub(crate) fn count_boot(&mut self) -> io::Result<Boot> {
        self.append(BOOT, &[])?;
        self.boot += 1;
        Ok(Boot::new(self.boot))
    }

    /// Makes a batch durable: whole, or not at all.
    pub(crate) fn write(&mut self, write: &Write) -> io::Result<()> {
        self.append(WRITE, &encode_write(write))
    }

    /// Reads everything again. A real one remembers where in the file which entry stands.
    pub(crate) fn read(&mut self) -> io::Result<Recovered> {
        recovered(records(&mut self.file)?.0)
    }

    fn append(&mut self, kind: u8, rest: &[u8]) -> io::Result<()> {
        let body = [&[kind], rest].concat();
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        let record = [&length.to_le_bytes(), &crc32c::crc32c(&body).to_le_bytes(), &body[..]].concat();
        self.file.write_all(&record)?;
        self.file.sync_data()
    }
}

/// All records that are whole, each with its kind, and where they end.
fn records(file: &mut File) -> io::Result<(Vec<Record>, u64)> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let (mut records, mut rest) = (Vec::new(), &bytes[..]);
    while let Some((head, behind)) = rest.split_first_chunk::<HEAD>() {
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let Some((body, next)) = behind.split_at_checked(number(0) as usize) else { break };
        let Some((kind, content)) = body.split_first().filter(|_| crc32c::crc32c(body) == number(4)) else {
            // Only the last record can be torn. Damage before others is another thing: what they say was promised.
            if next.is_empty() { break } else { return Err(damaged("a record in the middle of the file")) }
        };
        records.push((*kind, content.to_vec()));
        rest = next;
    }
    Ok((records, (bytes.len() - rest.len()) as u64))
}

/// The state that all writes lead to, one after the other.
fn recovered(records: Vec<Record>) -> io::Result<Recovered> {
    let mut recovered = Recovered::default();
    for (_, bytes) in records.into_iter().filter(|(kind, _)| *kind == WRITE) {
        recovered.absorb(&decode_write(bytes.into()).map_err(damaged)?).map_err(damaged)?;
    }
    Ok(recovered)
}
