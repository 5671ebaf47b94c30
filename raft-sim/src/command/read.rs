//! Reading files that somebody names: whole, and bounded, since what is named may be anything: a device, or a pipe that never ends.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::failure::Failure;

/// A schedule is a line for each action; the longest that was ever of use had some 10,000.
pub(super) const SCHEDULE_BYTES_MAX: u64 = 64 << 20;
/// A recording has all that a node was handed, and a report a line for each seed that failed.
pub(super) const BYTES_MAX: u64 = 1 << 30;

/// All bytes of a file, of which there may be so many.
///
/// # Errors
/// It can not be read, or is longer: then no more than that much of it was.
pub(super) fn bytes(file: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(Failure::read(file))?;
    opened.take(bytes_max + 1).read_to_end(&mut bytes).map_err(Failure::read(file))?;
    if bytes_max < bytes.len() as u64 {
        return Err(Failure::TooLong { file: file.to_owned(), bytes_max });
    }
    Ok(bytes)
}

/// The text of a file, of which there may be so many bytes.
///
/// # Errors
/// As those of [`bytes`]; or it is not UTF-8.
pub(super) fn text(file: &Path, bytes_max: u64) -> Result<String, Failure> {
    let not_text = |error| Failure::Read { file: file.to_owned(), error: io::Error::other(error) };
    String::from_utf8(bytes(file, bytes_max)?).map_err(|error| not_text(error.utf8_error()))
}

#[cfg(test)]
mod tests {
    //! Goal: whatever is read is whole, or refused. Method: both sides of the boundary.

    use super::*;

    #[test]
    fn file_is_read_whole_or_not_at_all() {
        let file = std::env::temp_dir().join(format!("raft-sim-read-{}", std::process::id()));
        std::fs::write(&file, "four").expect("a folder for files");
        let read = |bytes_max| text(&file, bytes_max).map_err(|failure| failure.to_string());
        let too_long = |bytes_max| Err(format!("{}: longer than {bytes_max} bytes", file.display()));
        assert_eq!([read(5), read(4)], [Ok("four".to_owned()), Ok("four".to_owned())]);
        assert_eq!([read(3), read(0)], [too_long(3), too_long(0)]);
        std::fs::write(&file, b"\xff").expect("a folder for files");
        assert!(matches!(text(&file, 4), Err(Failure::Read { .. })));
        assert!(bytes(&file, 4).is_ok_and(|bytes| bytes == b"\xff"));
        std::fs::remove_file(&file).expect("it was there");
        assert!(matches!(bytes(&file, 4), Err(Failure::Read { .. })));
    }
}
