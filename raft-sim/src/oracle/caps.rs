//! Every limit that a node was given is kept, at every step.

use raft_core::{Body, Config, Runs};

use super::disks::DiskModel;
use super::{Step, Verdict, broken};

pub(super) const NAME: &str = "caps";
const RULE: &str = "every queue, batch and window has its limit in the settings; one entry is always let through (the contract \
                    of the core)";

/// The limits of every node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps(Config);

impl Caps {
    pub(super) fn new(config: &Config) -> Self {
        Caps(*config)
    }

    /// `under_way` is how many requests wait at the node.
    pub(super) fn stepped(&self, step: &Step<'_>, disk: &DiskModel, under_way: u64) -> Verdict {
        let config = &self.0;
        for packet in &step.ready.send {
            if let Body::Append { entries, .. } = &packet.body {
                within(step, "entries of an append", entries.len(), config.append_entries_max)?;
                bytes(step, "bytes of an append", entries, config.append_bytes_max)?;
            }
        }
        if let Some(entries) = &step.ready.apply {
            // What was fetched for the state machine is handed over as it came.
            bytes(step, "bytes to apply", entries, config.apply_bytes_max.max(config.fetch_bytes_max))?;
        }
        for fetch in &step.ready.fetch {
            let most = config.fetch_bytes_max.max(config.append_bytes_max);
            within(step, "bytes of a fetch", fetch.bytes_max, most)?;
        }
        if step.ready.write.is_some() {
            let outstanding = disk.outstanding() + 1;
            within(step, "outstanding writes", outstanding, u64::from(config.writes_outstanding_max))?;
        }
        // A transfer may wait beside them.
        within(step, "requests under way", under_way, u64::from(config.proposals_max) + 1)
    }
}

fn bytes(step: &Step<'_>, what: &str, entries: &Runs, most: u64) -> Verdict {
    if entries.len() <= 1 { Ok(()) } else { within(step, what, entries.size(), most) }
}

fn within(step: &Step<'_>, what: &str, count: u64, most: u64) -> Verdict {
    if count <= most {
        return Ok(());
    }
    broken(NAME, RULE, || format!("{}: {count} {what}, at most {most} are allowed", step.pair))
}
