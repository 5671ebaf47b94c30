//! A file of words: 32 bits each, in blocks with checksums, so that nothing of a damaged or shortened one is taken for good.

use std::io::{self, Read, Write};

use xxhash_rust::xxh3::xxh3_64;

/// So many words are a block, but for the last one.
const BLOCK: usize = 1 << 16;

/// Writes words.
pub(super) struct WordWriter<W> {
    to: W,
    block: Vec<u8>,
}

impl<W: Write> WordWriter<W> {
    pub(super) fn new(to: W) -> Self {
        WordWriter { to, block: Vec::with_capacity(4 * BLOCK) }
    }

    pub(super) fn word(&mut self, word: u32) -> io::Result<()> {
        self.block.extend_from_slice(&word.to_le_bytes());
        if self.block.len() == 4 * BLOCK { self.flush() } else { Ok(()) }
    }

    pub(super) fn words(&mut self, words: impl IntoIterator<Item = u32>) -> io::Result<()> {
        words.into_iter().try_for_each(|word| self.word(word))
    }

    /// So many words follow, and here they are.
    pub(super) fn list(&mut self, words: &[u32]) -> io::Result<()> {
        self.long(words.len() as u64)?;
        self.words(words.iter().copied())
    }

    pub(super) fn long(&mut self, number: u64) -> io::Result<()> {
        self.words([number as u32, (number >> 32) as u32])
    }

    fn flush(&mut self) -> io::Result<()> {
        let words = (self.block.len() / 4) as u32;
        self.to.write_all(&words.to_le_bytes())?;
        self.to.write_all(&xxh3_64(&self.block).to_le_bytes())?;
        self.to.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.to)
    }
}

/// Reads them again.
pub(super) struct WordReader<R> {
    from: R,
    block: Vec<u8>,
    at: usize,
}

impl<R: Read> WordReader<R> {
    pub(super) const fn new(from: R) -> Self {
        WordReader { from, block: Vec::new(), at: 0 }
    }

    /// The next one.
    ///
    /// # Errors
    /// Those of reading; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where there is none, and [`InvalidData`](io::ErrorKind::InvalidData)
    /// where the block does not have its checksum.
    pub(super) fn word(&mut self) -> io::Result<u32> {
        if self.at == self.block.len() {
            self.fill()?;
        }
        let word = self.block[self.at..self.at + 4].try_into().unwrap_or_default();
        self.at += 4;
        Ok(u32::from_le_bytes(word))
    }

    pub(super) fn long(&mut self) -> io::Result<u64> {
        Ok(u64::from(self.word()?) | u64::from(self.word()?) << 32)
    }

    /// A list, of which as much is in memory at once as really is there.
    pub(super) fn list(&mut self) -> io::Result<Vec<u32>> {
        let len = self.long()?;
        (0..len).map(|_| self.word()).collect()
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut head = [0; 12];
        self.from.read_exact(&mut head)?;
        let words = u32::from_le_bytes(head[..4].try_into().unwrap_or_default()) as usize;
        let sum = u64::from_le_bytes(head[4..].try_into().unwrap_or_default());
        if words == 0 || BLOCK < words {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.block.resize(4 * words, 0);
        self.from.read_exact(&mut self.block)?;
        self.at = 0;
        if xxh3_64(&self.block) == sum { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(count: u32) -> Vec<u8> {
        let mut writer = WordWriter::new(Vec::new());
        writer.list(&(0..count).collect::<Vec<_>>()).unwrap();
        writer.long(u64::MAX - 7).unwrap();
        writer.finish().unwrap()
    }

    /// Goal: what is read is what was written, or nothing. Method: a file of a few blocks, whole; shortened anywhere near the ends of blocks;
    /// with single bits changed.
    #[test]
    fn words_come_back_or_do_not() {
        let count = 2 * BLOCK as u32 + 10;
        let file = written(count);
        let read = |file: &[u8]| -> io::Result<(Vec<u32>, u64)> {
            let mut reader = WordReader::new(file);
            Ok((reader.list()?, reader.long()?))
        };
        assert_eq!(read(&file).unwrap(), ((0..count).collect(), u64::MAX - 7));
        let block = 12 + 4 * BLOCK;
        for end in [0, 1, 11, 12, 13, block - 1, block, block + 1, 2 * block, file.len() - 1] {
            assert!(read(&file[..end]).is_err(), "{end} bytes");
        }
        for byte in [0, 3, 4, 11, 12, block - 1, block, block + 5, block + 700, file.len() - 1] {
            let mut damaged = file.clone();
            damaged[byte] ^= 16;
            assert!(read(&damaged).is_err(), "byte {byte}");
        }
    }
}
