//! Every limit that a node was given is kept, at every step.

use raft_core::{Body, Boot, Config, Packet, Pair, Runs, Term};

use super::disks::DiskModel;
use super::{Step, Verdict, broken};
use crate::action::{HostId, HostSet};

pub(super) const NAME: &str = "caps";
const RULE: &str = "every queue, batch and window has its limit in the settings; one entry is always let through (the contract \
                    of the core)";

/// What a leader has sent to one follower since that has said anything that can make room: at most a window.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    leads: Option<(Boot, Term)>,
    packets: u64,
    bytes: u64,
    // Whether such a word has come since the leader's last step.
    answered: bool,
}

/// What waits at a node: how many requests, and the bytes of their entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnderWay {
    pub(super) requests: u64,
    pub(super) bytes: u64,
    /// How many reads, barriers and the like; not counted as requests.
    pub(super) reads: u64,
}

/// The limits of every node, and what is in its windows.
#[derive(Clone, Debug)]
pub(super) struct Caps {
    config: Config,
    // By leader and follower.
    windows: Vec<Window>,
    hosts: usize,
    // Nodes whose read of the log was answered since their last step: they may have sent for it before they heard an answer.
    fetched: HostSet,
}

impl Caps {
    pub(super) fn new(hosts: usize, config: &Config) -> Self {
        let windows = vec![Window::default(); hosts * hosts];
        Caps { config: *config, windows, hosts, fetched: HostSet::EMPTY }
    }

    fn window(&mut self, leader: HostId, follower: Pair) -> Option<&mut Window> {
        let nth = usize::try_from(follower.id.raw()).ok()?.checked_sub(1).filter(|nth| *nth < self.hosts)?;
        self.windows.get_mut(leader.nth() * self.hosts + nth)
    }

    /// A leader has put a server into its configuration that was not in the one before: nothing is under way to that one, though
    /// there may be to who had its number, or to itself when it was a member before.
    pub(super) fn added(&mut self, leader: HostId, follower: Pair) {
        if let Some(window) = self.window(leader, follower) {
            (window.packets, window.bytes) = (0, 0);
        }
    }

    /// A packet has come to a node, which will take it at its next step.
    pub(super) fn delivered(&mut self, host: HostId, packet: &Packet) {
        if let Body::Acknowledge { .. } | Body::Reject { .. } = packet.body
            && let Some(window) = self.window(host, packet.from)
        {
            window.answered = true;
        }
    }

    /// A driver has told its node what came of sending a snapshot: what had been sent before that is not waited for any more.
    pub(super) fn snapshot_sent(&mut self, host: HostId, to: Pair) {
        if let Some(window) = self.window(host, to) {
            window.answered = true;
        }
    }

    /// A node's read of the log was answered.
    pub(super) fn fetched(&mut self, host: HostId) {
        self.fetched = self.fetched.with(host);
    }

    /// No leader has more under way to a follower than its window: counted from the follower's last answer on, after which at most
    /// the whole window was open. The last append may be the one that fills it.
    fn windows(&mut self, step: &Step<'_>, pairs: &[Pair]) -> Verdict {
        let (host, config) = (step.host, self.config);
        let fetched = self.fetched.contains(host);
        self.fetched = self.fetched.without(host);
        let row = host.nth() * self.hosts;
        let leads = Some((step.boot, step.after.term));
        for window in &mut self.windows[row..row + self.hosts] {
            if std::mem::take(&mut window.answered) || window.leads != leads {
                (window.packets, window.bytes) = (0, 0);
                window.leads = leads;
                // What was sent in this step before the answer was taken counts with what was under way before it.
                window.packets = if fetched { u64::MAX } else { 0 };
            }
        }
        for packet in &step.ready.send {
            let Body::Append { entries, .. } = &packet.body else { continue };
            // In a joint configuration a machine can be two servers: who it was, and who it is.
            let now = pairs.contains(&packet.to);
            let Some(window) =
                self.window(host, packet.to).filter(|window| window.packets != u64::MAX && now)
            else {
                continue;
            };
            let (packets, before) = (window.packets + 1, window.bytes);
            (window.packets, window.bytes) = (packets, before + entries.size());
            within(step, "appends in flight", packets, u64::from(config.in_flight_packets_max))?;
            within(step, "bytes in flight before another append", before + 1, config.in_flight_bytes_max)?;
        }
        for window in &mut self.windows[row..row + self.hosts] {
            if window.packets == u64::MAX {
                window.packets = 0;
            }
        }
        Ok(())
    }

    pub(super) fn stepped(
        &mut self,
        step: &Step<'_>,
        (disk, pairs): (&DiskModel, &[Pair]),
        under_way: UnderWay,
    ) -> Verdict {
        self.windows(step, pairs)?;
        let config = &self.config;
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
        // A transfer and a change may wait beside them.
        within(step, "requests under way", under_way.requests, u64::from(config.proposals_max) + 2)?;
        within(step, "reads under way", under_way.reads, u64::from(config.reads_max))?;
        within(step, "bytes of requests under way", under_way.bytes, config.uncommitted_bytes_max)
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
