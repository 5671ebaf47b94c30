//! Machines that are left in peace: a leader and a quorum around it for a while (a siege), and in the end a quorum for good.
//!
//! What is outside goes on as it was in a siege, and stays broken for ever in the end.

use super::clock::Machine;
use super::{Checked, Event, Scheduler, Watch};
use crate::action::{Action, HostId, HostSet, Link};
use crate::oracle::{Need, Violation};
use crate::plan::Profile;
use crate::rig::Rig;
use crate::world::Applied;

/// How many ticks pass at once for those who watch.
const PASS: u64 = 2;

impl<R: Rig, W: Watch<R>> Scheduler<'_, R, W> {
    fn election_timeouts(&self, count: u64) -> u64 {
        count * u64::from(self.plan.setup.config.election_timeout_ticks) * Profile::TICK
    }

    /// A leader and a quorum around it are left in peace. Without pre-votes nobody promises that it goes on leading.
    pub(super) fn begin_siege(&mut self) -> Checked {
        let Some(leader) =
            self.leader().filter(|_| self.peaceful.is_empty() && self.plan.setup.config.pre_vote)
        else {
            return Ok(());
        };
        let members = self.world.members(self.world.configuration(leader));
        let able = members.iter().filter(|host| *host != leader && self.is_well(*host)).collect();
        let Some(clique) = self.draw_quorum(leader, able, HostSet::EMPTY.with(leader)) else { return Ok(()) };
        self.pacify(clique)?;
        self.last_seen_leading = None;
        if !self.watch(clique, false)? {
            // Its configuration is about to change.
            self.peaceful = HostSet::EMPTY;
            return Ok(());
        }
        self.at(self.election_timeouts(1), Event::Besiege(self.siege));
        self.at(self.election_timeouts(40), Event::Peace(self.siege));
        Ok(())
    }

    /// From here on the oracles watch these machines, if something can be demanded of them. Their nodes hear of the time that has
    /// passed before.
    fn watch(&mut self, clique: HostSet, for_good: bool) -> Result<bool, Box<Violation>> {
        self.siege += 1;
        for host in clique.iter() {
            self.tell_time(host)?;
            self.go(host)?;
        }
        if self.act(Action::Watch { clique, for_good })? == Applied::Impossible {
            return Ok(false);
        }
        self.at(PASS * Profile::TICK, Event::Pass(self.siege));
        Ok(true)
    }

    pub(super) fn pass(&mut self, siege: u64) -> Checked {
        if siege == self.siege && !self.peaceful.is_empty() {
            self.act(Action::Pass { ticks: PASS as u8 })?;
            self.at(PASS * Profile::TICK, Event::Pass(siege));
        }
        Ok(())
    }

    /// Every two election timeouts those outside are made to miss the leader and nobody else, or their clocks jump, which is when they
    /// would disturb it: again and again, with time between to catch up. One that has become the leader is cut off.
    pub(super) fn besiege(&mut self, siege: u64) -> Checked {
        if siege != self.siege || self.peaceful.is_empty() || self.settling {
            return Ok(());
        }
        self.at(self.election_timeouts(2), Event::Besiege(siege));
        let seen = self.leader().and_then(|leader| Some((leader, self.world.host(leader).seen()?.term)));
        let steady = seen.is_some() && self.last_seen_leading == seen;
        self.last_seen_leading = seen;
        let Some((leader, _)) = seen else { return Ok(()) };
        let inside = self.peaceful;
        if !inside.contains(leader) {
            return self.cut_ways(|link| link.from == leader || link.to == leader);
        }
        match self.random.below(4) {
            0 if steady => return self.cut_ways(|link| link.from == leader && !inside.contains(link.to)),
            1 | 2 if steady => self.jump_outside(),
            _ => {}
        }
        for link in self.world.network().cuts().collect::<Vec<_>>() {
            if inside.contains(link.from) || inside.contains(link.to) {
                self.act(Action::Mend { link })?;
            }
        }
        Ok(())
    }

    /// Clocks outside of the clique jump so far that their nodes miss a leader whom they hear, and whose whole log they may have.
    /// Where leaders have leases no clock may jump.
    fn jump_outside(&mut self) {
        if self.plan.setup.leases.is_some() {
            return;
        }
        let jump = self.election_timeouts(2);
        for host in self.all() {
            let machine = &mut self.machines[host.nth()];
            if !self.peaceful.contains(host) && !machine.stands_still() {
                machine.set_clock(self.now, machine.usual_rate, jump);
                self.queue_wake(host);
            }
        }
    }

    pub(super) fn end_siege(&mut self, siege: u64) -> Checked {
        if siege == self.siege && !self.settling {
            self.peaceful = HostSet::EMPTY;
            self.act(Action::Unwatch)?;
        }
        Ok(())
    }

    /// `with` and as many others of `able` as make a quorum of the configuration in force at `head`, or more.
    fn draw_quorum(&mut self, head: HostId, able: HostSet, with: HostSet) -> Option<HostSet> {
        let mut others: Vec<HostId> = able.iter().collect();
        self.random.shuffle(&mut others);
        let first = |count: usize| others[..count].iter().fold(with, |set, host| set.with(*host));
        let asked = self.world.configuration(head);
        let fewest = (0..=others.len()).find(|count| self.world.is_quorum(asked, first(*count)))?;
        let more = self.random.between(fewest as u64, others.len() as u64) as usize;
        Some(first(more))
    }

    /// These machines come up and are well, and the ways between them are open; the others are left as they are.
    fn pacify(&mut self, hosts: HostSet) -> Checked {
        self.peaceful = hosts;
        for host in hosts.iter() {
            let now = self.now;
            let machine = &mut self.machines[host.nth()];
            (machine.doomed, machine.pausing, machine.paused_until) = (None, None, now);
            (machine.stalled, machine.failing, machine.full_until) = (false, false, 0);
            (machine.slow_disk_until, machine.slow_machine_until, machine.syncing) = (0, 0, false);
            // Events that waited for the end of a pause do so still; what they were to wake must not wait for them.
            (machine.queued, machine.going) = (None, false);
            self.start_clock(host, false)?;
            self.queue_wake(host);
            if self.world.host(host).is_unfinished() {
                self.act(Action::Perform { host })?;
            }
            if self.world.host(host).disk().has_failed() {
                self.go_down(host)?;
            }
            self.restart(host)?;
            self.plan_sync(host);
            self.go(host)?;
        }
        for from in hosts.iter() {
            for to in hosts.iter() {
                let link = Link { from, to };
                self.weather.burst(link, 0);
                self.weather.hold(link, 0);
                self.act(Action::Mend { link })?;
            }
        }
        Ok(())
    }

    /// Faults stop for good in a quorum, half of the time in all servers; what is outside stays broken for ever. All has to get well
    /// inside, requests have to commit, and no term may rise any more: when, the oracle that watches it knows.
    pub(super) fn settle(&mut self) -> Checked {
        self.act(Action::Unwatch)?;
        self.settling = true;
        let there: HostSet = self.all().filter(|host| !self.machines[host.nth()].lost).collect();
        let all = self.random.chance(512);
        let Some(head) = self.world.most_up_to_date(there) else { return Ok(()) };
        let able = there.intersection(self.world.members(self.world.configuration(head)));
        let Some(drawn) = self.draw_quorum(head, able, HostSet::EMPTY) else {
            self.world.excuse();
            return Ok(());
        };
        let clique = if all { able } else { drawn };
        // Half of the time one comes back into a cluster in which nothing happens any more, from which it has to learn all.
        let (host, restarts) = (self.any(), self.random.chance(512));
        if restarts && self.world.host(host).node().is_some() {
            self.go_down(host)?;
        }
        self.pacify(clique)?;
        // And half of the time leadership was to be handed over just then, to a server that may be outside.
        let (to, hands_over) = (self.any(), self.random.chance(512));
        if let Some(host) = self.leader_inside().filter(|_| hands_over) {
            let request = self.world.requests() + 1;
            self.input(Action::Transfer { host, request, to: Some(to) }, host)?;
        }
        for host in self.all().filter(|host| !clique.contains(*host)) {
            self.break_for_good(host)?;
        }
        if clique.len() as usize == self.machines.len() {
            self.act(Action::Heal)?;
        }
        if !self.watch(clique, true)? {
            self.world.excuse();
            return Ok(());
        }
        let mut outside = self.now;
        loop {
            if self.watch.stops() {
                return Ok(());
            }
            self.next()?;
            match self.world.need() {
                (_, Some(what)) => return Err(Violation::of_no_peace(what)),
                (Need::Nothing, None) => return Ok(()),
                (Need::Request, None) => {
                    if let Some(leader) = self.leader_inside() {
                        self.propose(leader, 1, 8)?;
                    }
                }
                (Need::Time, None) if outside + self.election_timeouts(1) <= self.now => {
                    outside = self.now;
                    self.wake_outside()?;
                }
                (Need::Time, None) => {}
            }
        }
    }

    /// A leader outside that has nothing to write does not notice that its disk stands still, and may go on leading. One whose clock
    /// stands still too would not notice either: all that it did with a request is to be heard by some of those inside.
    fn wake_outside(&mut self) -> Checked {
        let notices = |machine: &Machine| machine.stalled && !machine.stands_still();
        let leader = self.leader().filter(|leader| notices(&self.machines[leader.nth()]));
        leader.map_or(Ok(()), |leader| self.propose(leader, 1, 8))
    }

    fn leader_inside(&self) -> Option<HostId> {
        let leads = |host: &HostId| self.world.host(*host).seen().is_some_and(|seen| seen.leads);
        self.peaceful.iter().find(leads)
    }

    /// A machine outside of the clique stays broken: down, cut off, deaf, mute, with a disk or a clock that stands still. None of
    /// these can lead those inside for long, with one exception: deaf and without pre-votes it would disturb them for ever.
    fn break_for_good(&mut self, host: HostId) -> Checked {
        let up = self.world.host(host).node().is_some();
        let deaf = self.plan.setup.config.pre_vote;
        match self.random.below(6) {
            0 if up => self.act(Action::Crash { host, keep: 0, torn: false, stray: 0 }).map(|_| ()),
            1 => self.cut_ways(|link| link.from == host),
            2 if deaf => self.cut_ways(|link| link.to == host),
            3 if up => {
                self.machines[host.nth()].stalled = true;
                Ok(())
            }
            4 if up => {
                self.machines[host.nth()].set_clock(self.now, 0, 0);
                Ok(())
            }
            _ => self.cut_ways(|link| link.to == host || link.from == host),
        }
    }
}
