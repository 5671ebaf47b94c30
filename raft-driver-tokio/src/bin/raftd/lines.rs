//! Files of lines, as `load` and `verify` read them: each line is `key<TAB>value`, or else its number is the key and the
//! whole line the value. Lines are bytes, of any encoding or none.

use std::io::{self, BufRead, Read};

use bytes::Bytes;

use crate::store::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// The longest line that can be loaded: a key, a tab, a value and a line ending.
const LINE_BYTES_MAX: usize = KEY_BYTES_MAX + 1 + VALUE_BYTES_MAX + 2;

/// One line of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// The key that it sets.
    pub(crate) key: Bytes,
    /// The value that it gives to it.
    pub(crate) value: Bytes,
}

/// Why a line can not be loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// Nothing stands before the tab.
    #[error("line {0} has an empty key before its tab")]
    EmptyKey(u64),
    /// The key is longer than a key can be.
    #[error("the key of line {0} is longer than {KEY_BYTES_MAX} bytes")]
    LongKey(u64),
    /// The value is longer than a value can be.
    #[error("the value of line {0} is longer than {VALUE_BYTES_MAX} bytes")]
    LongValue(u64),
}

/// The lines of a reader, one after another. Memory is bounded however long a line is.
pub(crate) struct Lines<R> {
    reader: R,
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `reader`.
    pub(crate) fn new(reader: R) -> Lines<R> {
        Lines { reader, number: 0, bytes: 0 }
    }

    /// How many bytes have been read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// Where the file can not be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<Result<Line, LineError>>> {
        let mut raw = Vec::new();
        let limit = LINE_BYTES_MAX as u64;
        let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut raw)?;
        if read == 0 {
            return Ok(None);
        }
        self.bytes += read as u64;
        self.number += 1;
        if read == LINE_BYTES_MAX && raw.last() != Some(&b'\n') {
            // What was read is too long for any key and value already, so `parse` refuses it; the rest of it goes by.
            self.skip_line()?;
        }
        Ok(Some(parse(self.number, raw)))
    }

    /// Reads on behind the end of the line, keeping nothing.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let end = buffer.iter().position(|b| *b == b'\n');
            let length = end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(length);
            self.bytes += length as u64;
            if end.is_some() || length == 0 {
                return Ok(());
            }
        }
    }
}

fn parse(number: u64, mut raw: Vec<u8>) -> Result<Line, LineError> {
    if raw.last() == Some(&b'\n') {
        raw.pop();
        if raw.last() == Some(&b'\r') {
            raw.pop();
        }
    }
    let raw = Bytes::from(raw);
    let (key, value) = match raw.iter().position(|b| *b == b'\t') {
        Some(tab) => (raw.slice(..tab), raw.slice(tab + 1..)),
        None => (Bytes::from(number.to_string()), raw),
    };
    match (key.len(), value.len()) {
        (0, _) => Err(LineError::EmptyKey(number)),
        (length, _) if KEY_BYTES_MAX < length => Err(LineError::LongKey(number)),
        (_, length) if VALUE_BYTES_MAX < length => Err(LineError::LongValue(number)),
        _ => Ok(Line { number, key, value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<Result<Line, LineError>> {
        let mut lines = Lines::new(io::BufReader::with_capacity(7, bytes));
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(line);
        }
        assert_eq!(lines.bytes(), bytes.len() as u64);
        all
    }

    fn line(number: u64, key: &'static [u8], value: &'static [u8]) -> Result<Line, LineError> {
        Ok(Line { number, key: Bytes::from_static(key), value: Bytes::from_static(value) })
    }

    #[test]
    fn a_line_is_key_and_value_or_number_and_line() {
        let text = b"plain\nkey\tvalue\tmore\r\n\n\xff\xfe\t\x80\ncr\rinside\nlast\r";
        let expected = [
            line(1, b"1", b"plain"),
            line(2, b"key", b"value\tmore"),
            line(3, b"3", b""),
            line(4, b"\xff\xfe", b"\x80"),
            line(5, b"5", b"cr\rinside"),
            line(6, b"6", b"last\r"),
        ];
        assert_eq!(all(text), expected);
        assert_eq!(all(b""), []);
        assert_eq!(all(b"k\t\n"), [line(1, b"k", b"")]);
    }

    #[test]
    fn keys_and_values_have_limits() {
        assert_eq!(all(b"\tvalue\nnext\n"), [Err(LineError::EmptyKey(1)), line(2, b"2", b"next")]);
        let mut text = vec![b'k'; KEY_BYTES_MAX];
        text.push(b'\t');
        text.extend(vec![b'v'; VALUE_BYTES_MAX]);
        assert_eq!(all(&text)[0].as_ref().unwrap().value.len(), VALUE_BYTES_MAX);
        text.extend(b"\r\nnext");
        assert_eq!(all(&text)[1], line(2, b"2", b"next"));
        text.insert(0, b'k');
        assert_eq!(all(&text), [Err(LineError::LongKey(1)), line(2, b"2", b"next")]);
    }

    #[test]
    fn a_line_of_any_length_takes_bounded_memory() {
        for length in
            [VALUE_BYTES_MAX + 1, LINE_BYTES_MAX - 1, LINE_BYTES_MAX, LINE_BYTES_MAX + 1, 3 * LINE_BYTES_MAX]
        {
            let mut text = vec![b'v'; length];
            assert_eq!(all(&text), [Err(LineError::LongValue(1))], "{length}");
            text.extend(b"\nnext\n");
            assert_eq!(all(&text), [Err(LineError::LongValue(1)), line(2, b"2", b"next")], "{length}");
        }
    }
}
