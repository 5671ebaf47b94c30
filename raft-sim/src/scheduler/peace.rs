//! Machines that are left in peace: a leader and a quorum around it for a while (a siege), and in the end a quorum for good.
//!
//! What is outside goes on as it was in a siege, and stays broken for ever in the end.

use super::{Checked, Event, Scheduler, Watch};
use crate::action::{Action, HostId, HostSet, Link};
use crate::oracle::{Standing, judge_progress, terms_rise};
use crate::plan::Profile;
use crate::rig::Rig;

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
        let able = self.all().filter(|host| *host != leader && self.is_well(*host)).collect();
        let Some(clique) = self.draw_quorum(able, HostSet::EMPTY.with(leader)) else { return Ok(()) };
        self.siege += 1;
        self.pacify(clique)?;
        self.last_seen_leading = None;
        self.at(self.election_timeouts(1), Event::Settled(self.siege));
        self.at(self.election_timeouts(40), Event::Peace(self.siege));
        Ok(())
    }

    /// Looks who leads, every three election timeouts: who did so the last time too has stood, with its clique, for two election
    /// timeouts by any clock, and is to stay.
    pub(super) fn settled(&mut self, siege: u64) -> Checked {
        if siege != self.siege || self.peaceful.is_empty() || self.settling {
            return Ok(());
        }
        self.at(self.election_timeouts(3), Event::Settled(siege));
        let leader = self.leader().filter(|leader| self.peaceful.contains(*leader));
        let seen = leader.and_then(|leader| Some((leader, self.world.host(leader).seen()?.term)));
        if let Some((leader, term)) = seen
            && self.last_seen_leading == seen
        {
            self.disruption.settled(self.peaceful, leader, term);
        }
        let steady = seen.is_some() && self.last_seen_leading == seen;
        self.last_seen_leading = seen;
        self.besiege(steady)
    }

    /// Those outside are made to miss the leader and nobody else, which is when they would disturb it: again and again, with time
    /// between to catch up. One that has become the leader is cut off.
    fn besiege(&mut self, steady: bool) -> Checked {
        let Some(leader) = self.leader() else { return Ok(()) };
        let inside = self.peaceful;
        if !inside.contains(leader) {
            return self.cut_ways(|link| link.from == leader || link.to == leader);
        }
        if steady && self.random.chance(512) {
            return self.cut_ways(|link| link.from == leader && !inside.contains(link.to));
        }
        for link in self.world.network().cuts().collect::<Vec<_>>() {
            if inside.contains(link.from) || inside.contains(link.to) {
                self.act(Action::Mend { link })?;
            }
        }
        Ok(())
    }

    pub(super) fn end_siege(&mut self, siege: u64) -> Checked {
        if siege == self.siege && !self.settling {
            self.peaceful = HostSet::EMPTY;
            self.disruption.lifted();
        }
        Ok(())
    }

    /// `with` and as many others of `able` as make a quorum, or more.
    fn draw_quorum(&mut self, able: HostSet, with: HostSet) -> Option<HostSet> {
        let quorum = self.machines.len() / 2 + 1;
        let mut others: Vec<HostId> = able.iter().collect();
        self.random.shuffle(&mut others);
        let size = self.random.between(quorum as u64, (others.len() + with.len() as usize) as u64) as usize;
        let more = size - with.len() as usize;
        if others.len() < more {
            return None;
        }
        Some(others[..more].iter().fold(with, |set, host| set.with(*host)))
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

    /// How many ticks a clique gets to recover: sixty election timeouts, and eight ticks for every entry of the longest log,
    /// since the limits of a plan may send, fetch and apply them one by one.
    fn patience_ticks(&self) -> u64 {
        let longest = self.world.standings().iter().map(|standing| standing.last.index.raw()).max();
        60 * u64::from(self.plan.setup.config.election_timeout_ticks) + 8 * longest.unwrap_or(0)
    }

    /// Faults stop for good in a quorum, half of the time in all servers; what is outside stays broken for ever. Within the
    /// time for it all has to be well inside; then further requests have to commit, and no term may rise any more.
    pub(super) fn settle(&mut self) -> Checked {
        self.disruption.lifted();
        self.settling = true;
        let able: HostSet = self.all().filter(|host| !self.machines[host.nth()].lost).collect();
        let all = self.random.chance(512);
        let drawn = self.draw_quorum(able, HostSet::EMPTY).unwrap_or(able);
        let clique = if all { able } else { drawn };
        self.pacify(clique)?;
        for host in self.all().filter(|host| !clique.contains(*host)) {
            self.break_for_good(host)?;
        }
        if clique.len() as usize == self.machines.len() {
            self.act(Action::Heal)?;
        }
        for _ in 0..2 {
            self.wait_until_well()?;
            if let Some(leader) = self.leader_inside() {
                self.propose(leader, 1, 8)?;
            }
        }
        self.wait_until_well()?;
        if self.watch.stops() {
            return Ok(());
        }
        let before = self.inside();
        let end = self.now + self.election_timeouts(4);
        self.at(self.election_timeouts(4), Event::Check);
        while self.now < end {
            self.next()?;
        }
        terms_rise(&before, &self.inside())
    }

    fn inside(&self) -> Vec<Standing> {
        let standings = self.world.standings();
        standings.into_iter().filter(|standing| self.peaceful.contains(standing.host)).collect()
    }

    fn leader_inside(&self) -> Option<HostId> {
        self.inside().into_iter().find(|standing| standing.leads).map(|standing| standing.host)
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

    fn wait_until_well(&mut self) -> Checked {
        let end = self.now + self.patience_ticks() * Profile::TICK;
        let often = self.election_timeouts(1);
        loop {
            let next_check = self.now + often;
            self.at(often, Event::Check);
            while self.now < next_check {
                self.next()?;
            }
            if self.watch.stops() {
                return Ok(());
            }
            let verdict = judge_progress(&self.inside());
            if verdict.is_ok() || end <= self.now {
                return verdict;
            }
            // A leader outside that has nothing to write does not notice that its disk stands still, and may go on leading.
            let outside = self.leader().filter(|leader| self.machines[leader.nth()].stalled);
            if let Some(leader) = outside {
                self.propose(leader, 1, 8)?;
            }
        }
    }
}
