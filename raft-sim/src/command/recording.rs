//! `raft-sim replay` of a recording: what a node was handed, made again, and compared byte for byte.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::recorded::{Replayed, replay_recording};
use raft_core::Recording;

use super::VIOLATION;
use super::failure::{Failure, Out};
use super::read;
use super::stop::Stop;

/// Whether a file begins as a recording does.
pub(super) fn is_one(file: &Path) -> Result<bool, Failure> {
    let mut head = Vec::new();
    let opened = File::open(file).map_err(Failure::read(file))?;
    opened.take(16).read_to_end(&mut head).map_err(Failure::read(file))?;
    Ok(Recording::is_one(&head))
}

pub(super) fn replay(
    file: &Path,
    json: Option<&Path>,
    out: &mut Out,
    stop: &Stop,
) -> Result<ExitCode, Failure> {
    let bytes = bytes::Bytes::from(read::bytes(file, read::BYTES_MAX)?);
    let unreadable = |error| Failure::Recording { file: file.to_owned(), error };
    if let Some(json) = json {
        let (start, steps) = Recording::open(bytes.clone()).map_err(unreadable)?;
        let mut lines = BufWriter::new(File::create(json).map_err(Failure::write(json))?);
        let not_json = |error| Failure::Json { file: json.to_owned(), error };
        lines
            .write_all(serde_json::to_string(&start).map_err(not_json)?.as_bytes())
            .map_err(Failure::write(json))?;
        // Up to where it can be read; what is wrong with the rest is said below.
        for step in steps.map_while(Result::ok) {
            write!(lines, "\n{}", serde_json::to_string(&step).map_err(not_json)?)
                .map_err(Failure::write(json))?;
        }
        writeln!(lines).and_then(|()| lines.flush()).map_err(Failure::write(json))?;
    }
    let replayed = replay_recording(bytes, out.plain(), || stop.is_set());
    Ok(match replayed.map_err(Failure::Stdout)? {
        Replayed::Equal { steps, torn } => {
            let rest = if torn { ", then a record that is not all there" } else { "" };
            writeln!(out, "equal: {steps} steps{rest}")?;
            ExitCode::SUCCESS
        }
        Replayed::Differs(difference) => {
            writeln!(out, "differs: step {}", difference.step)?;
            ExitCode::from(VIOLATION)
        }
        Replayed::Stopped(steps) => {
            let name = stop.name();
            writeln!(out, "unfinished: {steps} steps, then stopped by {name}; the same command begins anew")?;
            stop.code()
        }
        Replayed::NotStarted(error) => {
            out.flush()?;
            return Err(Failure::NotStarted { file: file.to_owned(), error });
        }
        Replayed::Unreadable(error) => {
            out.flush()?;
            return Err(unreadable(error));
        }
    })
}
