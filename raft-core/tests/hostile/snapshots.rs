//! What the observer knows of snapshots. Written from the contract of the crate: which are sent to whom, what the state machine
//! is restored from, and what stands for the beginning of the log from when on.

use std::collections::BTreeMap;

use raft_core::{
    Body, Event, LogIndex, LogTime, Message, Node, Position, Ready, SendNumber, SendSnapshot, Snapshot,
    Status,
};

use super::Disk;

pub struct Snapshots {
    /// Those that the node wants sent, and that are not answered.
    pub sending: Vec<SendSnapshot>,
    last_number: u64,
    /// Up to where the latest that was installed reaches.
    installed: LogIndex,
    /// Up to where the latest reaches, installed or taken.
    covered: LogIndex,
    /// What the state machine was handed, so that it can say where it is: the position and log time of each entry, and of
    /// the ends of snapshots.
    history: BTreeMap<LogIndex, (Position, LogTime)>,
}

impl Snapshots {
    pub fn of(node: &Node) -> Self {
        Snapshots {
            sending: Vec::new(),
            last_number: 0,
            installed: LogIndex::ZERO,
            covered: covered(node),
            history: BTreeMap::new(),
        }
    }

    /// Goes on with a node that was started again, with what its state machine has kept.
    pub fn restarted(&mut self, node: &Node) {
        let mut history = std::mem::take(&mut self.history);
        history.retain(|index, _| *index <= node.status().applied);
        *self = Snapshots { history, ..Snapshots::of(node) };
    }

    pub fn handed_out(&mut self, position: Position, time: LogTime) {
        self.history.insert(position.index, (position, time));
    }

    /// The state machine saves itself as it was some entries before the last that it has applied.
    pub fn taken(&self, applied: LogIndex, back: usize) -> Option<Message> {
        let (last, time) = *self.history.range(..=applied).rev().nth(back)?.1;
        let index = last.index.raw();
        Some(Message::SnapshotTaken { last, time, size: index, digest: u128::from(index).into() })
    }

    /// Looks at which snapshot is the latest. Whether the node has taken one over from its own state machine.
    pub fn taken_over(&mut self, node: &Node, ready: &Ready) -> bool {
        let now = covered(node);
        assert!(self.covered <= now, "the latest snapshot is the latest");
        let newer = self.covered < now;
        self.covered = now;
        newer && installs(ready).next().is_none()
    }

    /// The report of a transfer: of one under way, or again of an earlier one.
    pub fn report(&mut self, nth: u8, arrived: bool) -> Option<(Message, Option<SendSnapshot>)> {
        if nth.is_multiple_of(16) && self.last_number != 0 {
            let number = SendNumber::new(u64::from(nth / 16) % self.last_number + 1);
            if self.sending.iter().all(|sending| sending.number != number) {
                return Some((Message::SnapshotSent { number, arrived }, None));
            }
        }
        let nth = usize::from(nth).checked_rem(self.sending.len())?;
        let sent = self.sending.remove(nth);
        Some((Message::SnapshotSent { number: sent.number, arrived }, Some(sent)))
    }

    /// What a node wants sent.
    pub fn sent(&mut self, node: &Node, ready: &Ready) {
        for send in &ready.snapshots {
            self.last_number += 1;
            assert_eq!(send.number.raw(), self.last_number, "snapshots to send are numbered in order");
            let (packet, own) = (&send.packet, node.identity());
            let twice = self.sending.iter().any(|before| before.packet.to == packet.to);
            assert!(!twice, "one snapshot at a time is sent to a server");
            assert_eq!((packet.cluster, packet.from, packet.boot), (own.cluster, own.pair, own.boot));
            assert_ne!(packet.to, own.pair, "nobody sends itself a snapshot");
            assert_eq!(packet.term, node.status().term);
            let Body::InstallSnapshot { snapshot } = &packet.body else {
                panic!("{packet:?} is no snapshot");
            };
            assert!(is_possible(snapshot, node), "{snapshot:?} can be");
            assert_eq!(Some(snapshot), node.snapshot(), "the latest snapshot is sent");
            self.sending.push(send.clone());
        }
    }

    /// The log begins later only where a snapshot says so, and not beyond one that is on its way.
    pub fn compacted(&self, before: &Status, node: &Node, ready: &Ready) {
        let (now, start) = (node.status(), before.start.index);
        assert!(start <= now.start.index, "the log never begins earlier again");
        if start == now.start.index || installs(ready).next().is_some() {
            return;
        }
        assert!(covered(node) <= now.applied, "a server takes snapshots of what it has applied");
        let needed = |send: &SendSnapshot| match &send.packet.body {
            Body::InstallSnapshot { snapshot } => snapshot.last.index,
            _ => LogIndex::MAX,
        };
        // Those of this very step come later, and are of what the log has now.
        let needed = self.sending.iter().map(needed).min().unwrap_or(LogIndex::MAX);
        assert!(now.start.index <= needed, "the log keeps what follows a snapshot on its way");
    }

    /// Every installation is told once, and is of what the log did not have.
    pub fn installed(&mut self, before: &Status, node: &Node, ready: &Ready, single: bool) {
        let now = node.status();
        for last in installs(ready) {
            assert!(self.installed < last.index, "an installation is told once");
            assert!(before.commit < last.index, "what is committed is not installed again");
            assert!(last.index <= now.commit, "what is installed is committed");
            self.installed = last.index;
            if single {
                assert_eq!((now.start, now.last), (last, last), "the log ends with what is installed");
            }
        }
    }

    /// The state machine is to become what it was at a snapshot, after it was handed all up to `handed`.
    pub fn restored(&mut self, snapshot: &Snapshot, handed: LogIndex, node: &Node, disk: &Disk) {
        let last = snapshot.last;
        assert!(handed < last.index, "a state machine is restored to something newer");
        assert!(
            handed < node.status().start.index,
            "a state machine is restored where the log lacks what is next"
        );
        assert!(last.index <= node.status().commit, "what is restored is committed");
        let durable = disk.snapshot.as_deref() == Some(snapshot);
        assert!(durable || node.config().apply_before_durable, "what is restored is durable");
        self.handed_out(last, snapshot.time);
    }
}

/// Up to where the latest snapshot of a node reaches.
fn covered(node: &Node) -> LogIndex {
    node.snapshot().map_or(LogIndex::ZERO, |snapshot| snapshot.last.index)
}

/// What was installed in a step.
pub fn installs(ready: &Ready) -> impl Iterator<Item = Position> + '_ {
    ready.events.iter().filter_map(|event| match event {
        Event::SnapshotInstalled { last } => Some(*last),
        _ => None,
    })
}

fn is_possible(snapshot: &Snapshot, node: &Node) -> bool {
    snapshot.cluster == node.identity().cluster
        && snapshot.last.term <= node.status().term
        && LogIndex::ZERO < snapshot.membership_index
        && snapshot.membership_index <= snapshot.last.index
}
