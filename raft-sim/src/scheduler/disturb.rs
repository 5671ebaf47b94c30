//! What goes wrong with machines, their disks and clocks, and what operators ask for.

use super::weather::{KINDS, Mute};
use super::{Checked, Event, Scheduler, Watch};
use crate::action::{Action, HostId, Link};
use crate::rig::Rig;
use crate::swarm::Fault;

/// How much slower a slow disk or a slow state machine is.
const SLOWER: u64 = 50;

impl<R: Rig, W: Watch<R>> Scheduler<'_, R, W> {
    /// Machines' clocks go a little faster or slower for the whole run.
    pub(super) fn set_clocks(&mut self) {
        let drift = self.plan.faults.drift;
        for host in self.all() {
            let rate = if drift == 0 { 1024 } else { self.random.between(1024 - drift, 1024 + drift) };
            let machine = &mut self.machines[host.nth()];
            machine.usual_rate = rate;
            machine.set_clock(0, rate, 0);
        }
    }

    pub(super) fn plan_fault(&mut self, fault: Fault) {
        if let Some(every) = self.plan.faults.recurring[fault as usize].every {
            let after = every.draw(&mut self.random).max(1);
            self.at(after, Event::Fault(fault));
        }
    }

    /// How late this event is to happen, if its machine's process stands still.
    pub(super) fn paused_until(&self, event: Event) -> Option<u64> {
        let host = match event {
            Event::Wake(host) | Event::Go(host) | Event::Sync(host) => host,
            Event::Applied(host) | Event::Fetched(host) => host,
            Event::Saved(host) | Event::Compact(host) => host,
            Event::Move(link) => link.from,
            Event::Arrive(packet) => packet.link.to,
            _ => return None,
        };
        let until = self.machines[host.nth()].paused_until;
        (self.now < until).then_some(until)
    }

    pub(super) fn slowness_of_disk(&self, host: HostId) -> u64 {
        if self.now < self.machines[host.nth()].slow_disk_until { SLOWER } else { 1 }
    }

    pub(super) fn slowness_of_machine(&self, host: HostId) -> u64 {
        if self.now < self.machines[host.nth()].slow_machine_until { SLOWER } else { 1 }
    }

    pub(super) fn fault(&mut self, fault: Fault) -> Checked {
        if self.settling {
            return Ok(());
        }
        self.plan_fault(fault);
        let lasts = self.plan.faults.recurring[fault as usize].lasts.draw(&mut self.random).max(1);
        let until = self.now + lasts;
        let host = self.victim();
        match fault {
            Fault::Burst | Fault::Hold => {
                self.blow(fault, host, until);
                return Ok(());
            }
            Fault::Mute => {
                let (outward, kinds) = (self.random.chance(512), self.random.below(1 << KINDS));
                self.weather.mute(Mute { host, outward, kinds, until });
                return Ok(());
            }
            Fault::Siege => return self.begin_siege(),
            Fault::Operator => return self.operate(host),
            _ => {}
        }
        if self.peaceful.contains(host) || self.world.host(host).node().is_none() {
            return Ok(());
        }
        let machine = &mut self.machines[host.nth()];
        match fault {
            Fault::SlowDisk => machine.slow_disk_until = until,
            Fault::SlowMachine => machine.slow_machine_until = until,
            Fault::StallDisk => machine.stalled = true,
            Fault::FailWrite => machine.failing = true,
            Fault::FullDisk => machine.full_until = until,
            Fault::Pause if self.random.chance(512) => {
                machine.pausing = Some((self.random.below(6) as u32, lasts));
            }
            Fault::Pause => self.pause(host, lasts),
            Fault::StallClock if !machine.stands_still() => {
                machine.set_clock(self.now, 0, 0);
                self.at(lasts, Event::End(fault, host));
            }
            _ => {}
        }
        if fault == Fault::StallDisk {
            self.at(lasts, Event::Down(host));
        }
        Ok(())
    }

    pub(super) fn end_fault(&mut self, fault: Fault, host: HostId) -> Checked {
        match fault {
            // What stands still in the end does so for ever.
            Fault::StallClock if !self.settling => {
                let jumps = self.random.chance(512);
                self.start_clock(host, jumps)
            }
            // The process goes on where it stood still.
            Fault::Pause if self.world.host(host).is_unfinished() => {
                self.act(Action::Perform { host }).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// A clock that stood still goes on, and may show at once what it has missed.
    pub(super) fn start_clock(&mut self, host: HostId, jumps: bool) -> Checked {
        let machine = &mut self.machines[host.nth()];
        if machine.stands_still() {
            let missed = self.now - machine.since();
            machine.set_clock(self.now, machine.usual_rate, if jumps { missed } else { 0 });
            self.queue_wake(host);
        }
        Ok(())
    }

    /// Its process stands still. What comes meanwhile waits, and time goes on.
    pub(super) fn pause(&mut self, host: HostId, lasts: u64) {
        let machine = &mut self.machines[host.nth()];
        machine.paused_until = machine.paused_until.max(self.now + lasts);
        self.at(lasts, Event::End(Fault::Pause, host));
    }

    /// Weather on one way, on all ways of a machine, or everywhere.
    fn blow(&mut self, fault: Fault, host: HostId, until: u64) {
        let (choice, other) = (self.random.below(3), self.any());
        for from in self.all() {
            for to in self.all() {
                let hit = match choice {
                    0 => from == host && to == other,
                    1 => from == host || to == host,
                    _ => true,
                };
                let link = Link { from, to };
                match fault {
                    _ if !hit || self.in_peace(link) => {}
                    Fault::Hold => self.weather.hold(link, until),
                    _ => self.weather.burst(link, until),
                }
            }
        }
    }

    fn operate(&mut self, host: HostId) -> Checked {
        let host = if self.random.chance(512) { self.leader().unwrap_or(host) } else { host };
        let (what, to) = (self.random.below(6), self.any());
        if self.peaceful.contains(host) || self.world.host(host).node().is_none() {
            return Ok(());
        }
        let to = Some(to).filter(|_| what != 3);
        let request = self.world.requests() + 1;
        let action = match what {
            0 => Action::Campaign { host },
            1 => Action::StepDown { host },
            2 => Action::ForgetLeader { host },
            _ => Action::Transfer { host, request, to },
        };
        self.input(action, host)
    }

    /// A sync fails, so the node halts; somebody starts its machine anew later on.
    pub(super) fn fail_sync(&mut self, host: HostId) -> Checked {
        self.machines[host.nth()].failing = false;
        self.input(Action::FailWrite { host }, host)?;
        let after = self.profile.down.draw(&mut self.random).max(1);
        self.at(after, Event::Down(host));
        Ok(())
    }

    pub(super) fn crash(&mut self) -> Checked {
        if self.settling {
            return Ok(());
        }
        let after = self.profile.crash.draw(&mut self.random).max(1);
        self.at(after, Event::Crash);
        let host = self.victim();
        if self.world.host(host).node().is_none() || self.peaceful.contains(host) {
            return Ok(());
        }
        if self.random.chance(512) {
            let effects = self.random.below(8) as u32;
            self.machines[host.nth()].doomed = Some(effects);
            return Ok(());
        }
        self.go_down(host)
    }

    /// Somebody starts a machine anew because something is wrong with it.
    pub(super) fn take_down(&mut self, host: HostId) -> Checked {
        if self.world.host(host).node().is_none() || self.peaceful.contains(host) {
            return Ok(());
        }
        self.go_down(host)
    }

    pub(super) fn go_down(&mut self, host: HostId) -> Checked {
        let queued = u64::from(self.world.host(host).disk().queued());
        let keep = self.random.between(0, queued) as u32;
        let torn = self.random.chance(512) && u64::from(keep) < queued;
        let bits = self.random.word() as u32;
        let behind = queued.saturating_sub(u64::from(keep) + 1).min(32);
        let strays = self.random.chance(self.plan.faults.stray);
        let stray = if strays { u64::from(bits) & ((1 << behind) - 1) } else { 0 };
        self.act(Action::Crash { host, keep, torn, stray: stray as u32 })?;
        let after = self.profile.down.draw(&mut self.random);
        self.at(after, Event::Up(host));
        Ok(())
    }

    /// A machine that is down comes up, perhaps with another disk than it went down with.
    pub(super) fn come_up(&mut self, host: HostId) -> Checked {
        if self.world.host(host).node().is_some() || self.settling && !self.peaceful.contains(host) {
            return Ok(());
        }
        if !self.settling {
            self.change_disk(host)?;
        }
        self.restart(host)?;
        let again = self.random.chance(self.plan.faults.recovery_crash) && !self.settling;
        let up = self.world.host(host).node().is_some();
        if again && up && !self.peaceful.contains(host) { self.go_down(host) } else { Ok(()) }
    }

    /// Never takes so many disks that no quorum is left.
    fn change_disk(&mut self, host: HostId) -> Checked {
        let faults = self.plan.faults;
        let may_lose = self.may_lose(host);
        let disk = self.world.host(host).disk();
        let (records, vouched) = (disk.records(), disk.vouched());
        if self.random.chance(faults.roll_back) {
            let gone = self.random.between(1, 5) as u32;
            // The last record that nothing vouches for, or an old copy.
            let damaged = vouched < records && self.random.chance(300);
            let action = match damaged {
                true => Action::Damage { host, record: records - 1 },
                false => Action::RollBack { host, records: gone },
            };
            self.act(action)?;
        }
        let (damages, wipes) = (self.random.chance(faults.damage), self.random.chance(faults.wipe));
        let record = self.random.below(u64::from(vouched)) as u32;
        if damages && may_lose && vouched != 0 {
            self.act(Action::Damage { host, record })?;
            // It is tried, and refused; then half of them get an empty disk.
            self.restart(host)?;
            if self.random.chance(512) {
                self.act(Action::Wipe { host })?;
            } else {
                self.machines[host.nth()].lost = true;
            }
            return Ok(());
        }
        if wipes && may_lose {
            self.act(Action::Wipe { host })?;
        }
        Ok(())
    }

    pub(super) fn restart(&mut self, host: HostId) -> Checked {
        if self.world.host(host).node().is_some() {
            return Ok(());
        }
        let shortens = self.random.chance(self.profile.shorten);
        let length = self.random.between(1, 20);
        let tail = if shortens { length } else { u64::MAX };
        let now = self.now;
        let machine = &mut self.machines[host.nth()];
        (machine.told, machine.due, machine.doomed) = (machine.tick(now), None, None);
        (machine.pausing, machine.paused_until, machine.stalled, machine.failing) = (None, 0, false, false);
        // An event that was due while the disk stood still has gone.
        machine.syncing = false;
        self.act(Action::Restart { host, tail })?;
        if self.world.host(host).node().is_some() { self.go(host) } else { Ok(()) }
    }
}
