//! A recording of one node, from a driver or wherever it was made, replayed as text: one line a step, with what was handed to the node
//! (`<` a packet), how it was afterwards, and what it wanted (`>` a packet). Every `Ready` has to be the recorded one, byte for byte.
//!
//! ```text
//!      3  tick +2, < 1 heartbeat 4 c6 t2  ->  is in term 2, log to 2.6, committed to 6; > 1 has 6 durable 6 t2
//! ```
//!
//! Nothing is simulated here: what a node is handed stands in the recording.

use std::io::{self, Write};

use raft_core::{
    Difference, Fetched, Message, Node, Ready, Recording, RecordingError, Replay, RoleKind, StartError,
};

use bytes::Bytes;

use crate::columns::said;

/// What came of replaying a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Replayed {
    /// Every step was as it was recorded.
    Equal {
        /// How many.
        steps: u64,
        /// Whether the recording ends within a record, whose step is not counted.
        torn: bool,
    },
    /// A step was not. It is the last that was made.
    Differs(Box<Difference>),
    /// The recording can not be read, or not to its end: what is whole was replayed, and was as recorded.
    Unreadable(RecordingError),
    /// No node can be made of what is recorded.
    NotStarted(StartError),
    /// Whoever asked for it wanted to see no more after so many steps.
    Stopped(u64),
}

/// Replays a recording and prints every step, until `stop` says so. The verdict is for the caller to print.
///
/// # Errors
/// Where what is printed can not be written.
pub fn replay_recording(
    bytes: Bytes,
    out: &mut dyn Write,
    mut stop: impl FnMut() -> bool,
) -> io::Result<Replayed> {
    let (start, steps) = match Recording::open(bytes) {
        Ok(opened) => opened,
        Err(error) => return Ok(Replayed::Unreadable(error)),
    };
    writeln!(
        out,
        "# {} of cluster {}, boot {}",
        start.identity.pair, start.identity.cluster, start.identity.boot
    )?;
    let mut replay = match Replay::new(start) {
        Ok(replay) => replay,
        Err(error) => return Ok(Replayed::NotStarted(error)),
    };
    for step in steps {
        if stop() {
            return Ok(Replayed::Stopped(replay.steps()));
        }
        let step = match step {
            Ok(step) => step,
            Err(RecordingError::Torn { .. }) => {
                return Ok(Replayed::Equal { steps: replay.steps(), torn: true });
            }
            Err(error) => return Ok(Replayed::Unreadable(error)),
        };
        let wanted = match replay.step(&step) {
            Ok(ready) => Ok(wanted(ready)),
            Err(difference) => Err(difference),
        };
        let handed: Vec<String> = step.messages.iter().map(handed).collect();
        write!(out, "{:>6}  {}  ->  {}", replay.steps(), handed.join(", "), state(replay.node()))?;
        match wanted {
            Ok(wanted) if wanted.is_empty() => writeln!(out)?,
            Ok(wanted) => writeln!(out, "; {}", wanted.join(", "))?,
            Err(difference) => {
                writeln!(out, "\n{difference}")?;
                return Ok(Replayed::Differs(difference));
            }
        }
    }
    Ok(Replayed::Equal { steps: replay.steps(), torn: false })
}

fn state(node: &Node) -> String {
    let status = node.status();
    let role = if status.role == RoleKind::Leader { "leads" } else { "is in" };
    format!("{role} term {}, log to {}, committed to {}", status.term, status.last, status.commit)
}

/// A message in a few words.
fn handed(message: &Message) -> String {
    match message {
        Message::Tick { elapsed } => format!("tick +{elapsed}"),
        Message::Packet(packet) => format!("< {} {}", packet.from.id, said(packet)),
        Message::Propose { id, commands } => format!("propose {id} commands {}", commands.as_slice().len()),
        Message::Forward { id, commands } => format!("forward {id} commands {}", commands.as_slice().len()),
        Message::Import { id, .. } => format!("import {id}"),
        Message::Obtained(_) => "obtained".to_owned(),
        Message::Read { id } => format!("read {id}"),
        Message::ReadWithin { id, ticks } => format!("read {id} within {ticks}"),
        Message::Barrier { id } => format!("barrier {id}"),
        Message::VerifyLeader { id } => format!("verify {id}"),
        Message::Reconfigure { id, .. } => format!("reconfigure {id}"),
        Message::Transfer { id, to: Some(to) } => format!("transfer {id} to {to}"),
        Message::Transfer { id, to: None } => format!("transfer {id}"),
        Message::Campaign => "campaign".to_owned(),
        Message::StepDown => "step down".to_owned(),
        Message::ForgetLeader => "forget the leader".to_owned(),
        Message::Synced(number) => format!("synced {number}"),
        Message::WriteFailed(number) => format!("write {number} failed"),
        Message::Applied(index) => format!("applied {index}"),
        Message::Fetched { number, result: Fetched::Entries(runs) } => {
            format!("fetched {number} entries {}", runs.len())
        }
        Message::Fetched { number, .. } => format!("fetched {number} nothing"),
        Message::SnapshotTaken { last, .. } => format!("snapshot to {last}"),
        Message::SnapshotSent { number, arrived } => format!("snapshot {number} arrived {arrived}"),
        _ => "?".to_owned(),
    }
}

/// What a node wants, in a few words each.
fn wanted(ready: &Ready) -> Vec<String> {
    let mut wanted: Vec<String> =
        ready.send.iter().map(|packet| format!("> {} {}", packet.to.id, said(packet))).collect();
    let write = ready.write.as_ref();
    wanted.extend(write.map(|write| format!("write {} entries {}", write.number, write.entries.len())));
    let apply = ready.apply.as_ref().and_then(|runs| Some((runs.first()?, runs.last_position()?)));
    wanted.extend(apply.map(|(first, last)| format!("apply {first} to {last}")));
    wanted.extend(ready.fetch.iter().map(|fetch| format!("fetch {} from {}", fetch.number, fetch.first)));
    wanted.extend(ready.restore.iter().map(|snapshot| format!("restore {}", snapshot.last)));
    wanted.extend(ready.obtain.iter().map(|obtain| format!("obtain from {}", obtain.from.id)));
    wanted.extend(
        ready.snapshots.iter().map(|send| format!("send snapshot {} to {}", send.number, send.packet.to.id)),
    );
    wanted.extend(ready.answers.iter().map(|answer| format!("answer {}", answer.id)));
    wanted
}
