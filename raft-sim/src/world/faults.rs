//! What disks and machines suffer: crashes and starts, failed syncs, damage, empty disks and old copies.

use raft_core::{Boot, Identity, Message, Node, Recovered};

use super::{Applied, Outcome, World, changed};
use crate::action::HostId;
use crate::disk::{DiskError, pair_after};
use crate::host::Running;
use crate::machine::Machine;
use crate::oracle::{Seen, Violation};
use crate::rig::Rig;

impl<R: Rig> World<R> {
    pub(super) fn crash(&mut self, host: HostId, keep: u32, torn: bool, stray: u32) -> Outcome {
        let Some(machine) = self.hosts.get_mut(host.nth()).filter(|machine| machine.up.is_some()) else {
            return Ok(Applied::Impossible);
        };
        let keep = keep.min(machine.disk.queued());
        let lost = self.rig.crash(host, &mut machine.disk, keep, torn, stray);
        self.counts.crashes += 1;
        self.counts.lost_writes += u64::from(lost);
        machine.up = None;
        machine.spare.inbox.clear();
        machine.spare.ready.clear();
        machine.spare.unfinished = false;
        if !self.setup.durable_machines {
            machine.machine = Machine::new(self.setup.sessions, self.rig.own());
        }
        self.oracles.crashed(host, keep, self.setup.durable_machines);
        // What a durable one keeps lies on its disk as bytes.
        self.reopen(host)?;
        Ok(Applied::Done)
    }

    /// The machine comes up and its driver reads the disk. One that finds damage does not start a node: the machine stays
    /// down until its disk is wiped.
    pub(super) fn start(&mut self, host: HostId, tail: u64) -> Result<(), Box<Violation>> {
        let machine = &mut self.hosts[host.nth()];
        let unreadable = |what: String| {
            let rule = "what a disk held can be started from (the contract of the core)";
            Box::new(Violation { oracle: "durability", rule, what: format!("server {host}: {what}") })
        };
        let mut recovered = match self.rig.recover(host, &mut machine.disk) {
            Ok(recovered) => recovered,
            Err(DiskError::Damaged(_)) if self.oracles.is_damaged(host) => {
                self.counts.refused_disks += 1;
                return Ok(());
            }
            Err(error) => return Err(unreadable(error.to_string())),
        };
        self.rig.recover_snapshots(host, &mut machine.snapshots);
        if let Some(snapshot) = &recovered.snapshot {
            self.has_snapshot(host, snapshot)?;
        }
        let machine = &mut self.hosts[host.nth()];
        recovered.applied = machine.machine.last.index;
        recovered.commit = recovered.commit.max(recovered.applied);
        recovered.shorten(tail);
        machine.boot = Boot::new(machine.boot.raw() + 1);
        let identity =
            Identity { cluster: self.founding.cluster_id(), pair: machine.pair, boot: machine.boot };
        let node = Node::new(self.setup.config, identity, recovered);
        let node = node.map_err(|error| unreadable(error.to_string()))?;
        let seen = Seen::from(node.status());
        self.oracles.started(host, &seen, &node)?;
        let (fetches, expected, sending) = Default::default();
        let (applying, saving) = (None, None);
        machine.up = Some(Running { node, seen, applying, fetches, expected, saving, sending });
        // A step of its own tells what the node wants first.
        machine.spare.inbox.push(Message::Tick { elapsed: 0 });
        Ok(())
    }

    pub(super) fn fail_write(&mut self, host: HostId) -> Outcome {
        let Some(machine) = self.hosts.get_mut(host.nth()).filter(|machine| machine.up.is_some()) else {
            return Ok(Applied::Impossible);
        };
        if machine.disk.has_failed() {
            return Ok(Applied::Impossible);
        }
        let Some(number) = machine.disk.fail() else { return Ok(Applied::Impossible) };
        self.counts.failed_writes += 1;
        self.oracles.write_failed(host);
        machine.spare.inbox.push(Message::WriteFailed(number));
        Ok(Applied::Done)
    }

    pub(super) fn damage(&mut self, host: HostId, record: u32) -> Outcome {
        let Some(machine) = self.hosts.get_mut(host.nth()).filter(|machine| machine.up.is_none()) else {
            return Ok(Applied::Impossible);
        };
        let noticed = record < machine.disk.vouched();
        let done = machine.disk.damage(record);
        if done {
            self.counts.damages += 1;
        }
        if done && noticed {
            self.oracles.damaged(host);
        } else if done {
            // It looks like a torn end, so that what was there is as if it had never been.
            self.counts.roll_backs += 1;
            machine.machine = Machine::new(self.setup.sessions, self.rig.own());
            self.oracles.rolled_back(host, machine.disk.batches().take(record as usize));
        }
        Ok(changed(done))
    }

    pub(super) fn wipe(&mut self, host: HostId) -> Outcome {
        let Some(machine) = self.hosts.get_mut(host.nth()).filter(|machine| machine.up.is_none()) else {
            return Ok(Applied::Impossible);
        };
        let Some(pair) = pair_after(host, machine.wipes + 1) else { return Ok(Applied::Impossible) };
        machine.disk.wipe();
        machine.snapshots.wipe();
        machine.wipes += 1;
        machine.pair = pair;
        machine.boot = Boot::new(0);
        machine.machine = Machine::new(self.setup.sessions, self.rig.own());
        self.counts.wipes += 1;
        self.oracles.wiped(host, pair);
        // What founds a cluster must refuse it: an operator who follows the book tries that first.
        if raft_core::bootstrap(&Recovered::default(), &self.founding, pair).is_ok() {
            let rule = "a founder whose disk was wiped is another pair, and can not found again (the contract of the core)";
            let what = format!("server {host} founds its cluster a second time");
            return Err(Box::new(Violation { oracle: "strangers", rule, what }));
        }
        Ok(Applied::Done)
    }

    pub(super) fn roll_back(&mut self, host: HostId, records: u32) -> Outcome {
        let Some(machine) = self.hosts.get_mut(host.nth()).filter(|machine| machine.up.is_none()) else {
            return Ok(Applied::Impossible);
        };
        if records == 0 || machine.disk.records() <= 1 {
            return Ok(Applied::Impossible);
        }
        machine.disk.forget(records);
        // The copy holds the state machine too, as it was then; replaying from the start is the same.
        machine.machine = Machine::new(self.setup.sessions, self.rig.own());
        self.counts.roll_backs += 1;
        self.oracles.rolled_back(host, machine.disk.batches());
        Ok(Applied::Done)
    }
}
