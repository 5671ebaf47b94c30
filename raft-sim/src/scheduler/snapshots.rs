//! When snapshots are made, how long they take and which of them get lost on their way, and when disks give up what they stand for.

use super::{Checked, Event, Scheduler, Watch};
use crate::action::{Action, HostId, Link};
use crate::host::Progress;
use crate::plan::Profile;
use crate::rig::Rig;

impl<R: Rig, W: Watch<R>> Scheduler<'_, R, W> {
    pub(super) fn plan_save(&mut self) {
        if let Some(every) = self.plan.faults.snapshots {
            let after = every.draw(&mut self.random).max(1);
            self.at(after, Event::Save);
        }
    }

    /// How long a part of a snapshot takes, or until a disk gives up what it can.
    fn part(&mut self, calm: bool) -> u64 {
        let drawn = self.plan.faults.snapshot_part.draw(&mut self.random);
        if calm { drawn.min(Profile::TICK / 2) } else { drawn }
    }

    /// Some state machine is saved; of those that are left in peace for good one of these.
    pub(super) fn save(&mut self) -> Checked {
        self.plan_save();
        let (any, leads) = (self.any(), self.random.chance(256));
        let host = self.leader().filter(|_| leads).unwrap_or(any);
        if self.settling && !self.peaceful.contains(host) {
            return Ok(());
        }
        self.act(Action::Save { host }).map(|_| ())
    }

    pub(super) fn plan_saved(&mut self, host: HostId) {
        let after = self.part(self.peaceful.contains(host));
        self.at(after, Event::Saved(host));
    }

    pub(super) fn plan_move(&mut self, link: Link) {
        let after = self.part(self.in_peace(link));
        self.at(after, Event::Move(link));
    }

    /// A snapshot goes on, or is lost because its receiver can not be reached, because the packet behind it was lost, or just so.
    pub(super) fn carry(&mut self, link: Link) -> Checked {
        let on_this_way = |(to, _): &(HostId, Progress)| *to == link.to;
        let under_way: Vec<_> = self.world.host(link.from).sending().filter(on_this_way).collect();
        let Some((_, oldest)) = under_way.first() else { return Ok(()) };
        if under_way.iter().any(|(_, progress)| *progress == Progress::Arrived) {
            return self.input(Action::Sent { link }, link.from);
        }
        let lost = self.random.chance(self.plan.faults.snapshot_loss) && !self.in_peace(link);
        let flies = self.world.is_told(link);
        let goes_on = self.world.can_move(link);
        if goes_on && !lost {
            self.act(Action::Move { link })?;
        }
        let waits = goes_on || *oldest == Progress::Moved && flies || self.random.chance(512);
        if lost || !waits {
            return self.input(Action::Lose { link }, link.from);
        }
        let after = self.part(self.in_peace(link)).max(Profile::TICK / 4);
        self.at(after, Event::Move(link));
        Ok(())
    }

    pub(super) fn plan_compaction(&mut self, host: HostId) {
        let compactable = self.world.host(host).is_compactable();
        if compactable && !std::mem::replace(&mut self.machines[host.nth()].compacting, true) {
            let after = self.part(self.peaceful.contains(host));
            self.at(after, Event::Compact(host));
        }
    }

    pub(super) fn compact(&mut self, host: HostId) -> Checked {
        self.machines[host.nth()].compacting = false;
        self.act(Action::Compact { host }).map(|_| ())
    }
}
