//! What can happen in a world next.

use super::World;
use crate::action::{Action, HostId, Link};
use crate::client::Asked;
use crate::host::{Host, Progress};
use crate::rig::Rig;

impl<R: Rig> World<R> {
    /// Puts all that can happen now into `actions`, which is emptied before, in an order that depends on the world alone.
    /// Damage to disks is left out, for it leaves nothing that can go on, and so is what only watches. Of actions with a number in
    /// them it lists one: a tick of one, a sync of one batch and of all, a restart with the whole log and with the least, a proposal
    /// of one command, a write to one register, a partition of one machine from the others.
    pub fn enabled(&self, actions: &mut Vec<Action>) {
        actions.clear();
        for name in self.network.names() {
            actions.push(Action::Drop { packet: name });
            actions.push(Action::Duplicate { packet: name });
            if self.network.is_open(name.link) && self.up(name.link.to).is_some() {
                actions.push(Action::Deliver { packet: name });
            }
        }
        for (nth, machine) in self.hosts.iter().enumerate() {
            self.enabled_at(HostId::at(nth), machine, actions);
        }
        if self.network.cuts().next().is_some() {
            actions.extend(self.network.cuts().map(|link| Action::Mend { link }));
            actions.push(Action::Heal);
        }
    }

    fn enabled_at(&self, host: HostId, machine: &Host, actions: &mut Vec<Action>) {
        if machine.up.is_none() {
            actions.extend([1, u64::MAX].map(|tail| Action::Restart { host, tail }));
            return;
        }
        actions.push(Action::Tick { host, elapsed: 1 });
        if machine.has_mail() {
            actions.extend([None, Some(0), Some(1)].map(|effects| Action::Step { host, effects }));
        }
        if machine.is_unfinished() {
            actions.push(Action::Perform { host });
        }
        let queued = machine.disk.queued();
        if 0 < queued && !machine.disk.has_failed() {
            actions.push(Action::Sync { host, batches: 1 });
            if 1 < queued {
                actions.push(Action::Sync { host, batches: queued });
            }
            actions.push(Action::FailWrite { host });
            actions.push(Action::Crash { host, keep: 0, torn: true, stray: 0 });
        }
        if 1 < queued {
            actions.push(Action::Crash { host, keep: 0, torn: false, stray: 1 });
        }
        actions.extend((0..=queued).map(|keep| Action::Crash { host, keep, torn: false, stray: 0 }));
        if machine.is_applying() {
            actions.push(Action::Applied { host });
        }
        if machine.is_fetching() {
            actions.push(Action::Fetched { host });
        }
        self.enabled_of_snapshots(host, machine, actions);
        let request = self.requests + 1;
        actions.push(Action::Propose { host, request, commands: 1, bytes: 8 });
        actions.push(Action::Call { host, request, client: 1, key: 1, asked: Asked::Write });
        actions.push(Action::Read { host, request, client: 1, key: 1 });
        actions.push(Action::ReadWithin { host, request, ticks: 10 });
        actions.push(Action::Forward { host, request, client: 1, key: 1 });
        actions.push(Action::Barrier { host, request });
        actions.push(Action::Verify { host, request });
        let client = 11;
        match self.tenant(client) {
            (false, _) => actions.push(Action::Register { host, request, client }),
            (true, open) => {
                let (key, asked) = (1, Asked::Write);
                let submits = (open < 4).then_some(Action::Submit { host, request, client, key, asked });
                actions.extend(submits);
                actions.extend((open != 0).then_some(Action::Again { host, request, client, nth: 0 }));
            }
        }
        actions.push(Action::Campaign { host });
        actions.push(Action::StepDown { host });
        actions.push(Action::ForgetLeader { host });
        actions.push(Action::Transfer { host, request: self.requests + 1, to: None });
        let others = (0..self.hosts.len()).map(HostId::at).filter(|other| *other != host);
        let cut = others.flat_map(|other| [Link { from: host, to: other }, Link { from: other, to: host }]);
        if cut.clone().any(|link| self.network.is_open(link)) {
            actions.push(Action::Partition { side: [host].into_iter().collect() });
        }
        let open = cut.filter(|link| link.from == host && self.network.is_open(*link));
        actions.extend(open.map(|link| Action::Cut { link }));
    }

    fn enabled_of_snapshots(&self, host: HostId, machine: &Host, actions: &mut Vec<Action>) {
        if machine.is_saving() {
            actions.push(Action::Saved { host });
        } else if machine.machine.last.index.raw() != 0 {
            actions.push(Action::Save { host });
        }
        if machine.is_compactable() {
            actions.push(Action::Compact { host });
        }
        for (to, progress) in machine.sending() {
            let link = Link { from: host, to };
            if self.can_move(link) {
                actions.push(Action::Move { link });
            }
            if progress == Progress::Arrived {
                actions.push(Action::Sent { link });
            }
            actions.push(Action::Lose { link });
        }
    }
}
