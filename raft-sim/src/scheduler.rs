//! The random scheduler: what happens next, in virtual time, by the choices of a seed.
//!
//! Everything that a world asks for (a packet to arrive, a batch to be synced, …) becomes an event at a moment that the
//! profile's delays draw. The earliest event is turned into actions, and their news into further events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::action::{Action, HostId, HostSet, Link, PacketName};
use crate::oracle::{Violation, judge_progress};
use crate::plan::{Plan, Profile};
use crate::random::Random;
use crate::replay;
use crate::rig::Rig;
use crate::world::{Applied, News, World};

/// Someone who wants to see every action of a run when it has happened, or has broken a rule.
pub trait Watch<R: Rig> {
    /// The action is about to be tried. A panic can keep it from having happened.
    fn begins(&mut self, _action: Action) {}

    /// `moment` is virtual time, see [`Profile::TICK`].
    fn happened(&mut self, moment: u64, action: Action, world: &World<R>);
}

/// Nobody watches.
impl<R: Rig> Watch<R> for () {
    fn happened(&mut self, _moment: u64, _action: Action, _world: &World<R>) {}
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    Wake(HostId),
    Arrive(PacketName),
    Lose(PacketName),
    Go(HostId),
    Sync(HostId),
    Applied(HostId),
    Fetched(HostId),
    Client,
    Crash,
    Up(HostId),
    Partition,
    Heal,
    Check,
}

/// What the scheduler knows of a machine.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    /// The tick up to which the node was told of the time.
    told: u64,
    /// The tick at which it wants to be woken, and the one for which an event stands in the queue.
    due: Option<u64>,
    queued: Option<u64>,
    going: bool,
    syncing: bool,
    /// After how many effects of its next step it goes down.
    doomed: Option<u32>,
}

/// A run in progress.
pub struct Scheduler<'a, R: Rig, W: Watch<R>> {
    /// The world that it drives.
    pub world: World<R>,
    plan: Plan,
    profile: Profile,
    random: Random,
    watch: &'a mut W,
    now: u64,
    count: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    clocks: Vec<Clock>,
    news: Vec<News>,
    calm: bool,
}

type Checked = Result<(), Box<Violation>>;

impl<'a, R: Rig, W: Watch<R>> Scheduler<'a, R, W> {
    /// A run of `plan` with these choices.
    ///
    /// # Errors
    /// A rule that is broken from the start.
    pub fn new(plan: Plan, random: Random, rig: R, watch: &'a mut W) -> Result<Self, Box<Violation>> {
        let world = World::new(plan.setup, rig)?;
        let clocks = vec![Clock::default(); world.hosts().len()];
        let mut scheduler = Scheduler {
            world,
            plan,
            profile: plan.profile,
            random,
            watch,
            now: 0,
            count: 0,
            queue: BinaryHeap::new(),
            clocks,
            news: Vec::new(),
            calm: false,
        };
        for host in scheduler.all() {
            scheduler.at(0, Event::Go(host));
        }
        for (delay, event) in [
            (plan.profile.propose, Event::Client),
            (plan.profile.crash, Event::Crash),
            (plan.profile.partition, Event::Partition),
        ] {
            let after = delay.draw(&mut scheduler.random);
            scheduler.at(after, event);
        }
        Ok(scheduler)
    }

    /// Runs to the end: the planned number of actions with faults, then without, until all is well or the time for it is
    /// over.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn run(&mut self) -> Checked {
        while self.world.counts().actions < self.plan.actions {
            self.next()?;
        }
        self.settle()
    }

    fn all(&self) -> impl Iterator<Item = HostId> + use<R, W> {
        (0..self.world.hosts().len()).map(HostId::at)
    }

    fn at(&mut self, after: u64, event: Event) {
        self.count += 1;
        self.queue.push(Reverse((self.now + after, self.count, event)));
    }

    fn act(&mut self, action: Action) -> Result<Applied, Box<Violation>> {
        let outcome = replay::act(&mut self.world, self.watch, self.now, action)?;
        let mut news = std::mem::take(&mut self.news);
        self.world.take_news(&mut news);
        for item in &news {
            self.follow(*item)?;
        }
        self.news = news;
        Ok(outcome)
    }

    fn follow(&mut self, news: News) -> Checked {
        match news {
            News::Sent(packet) => {
                let after = self.profile.latency.draw(&mut self.random);
                let lost = self.random.chance(self.profile.loss);
                self.at(after, if lost { Event::Lose(packet) } else { Event::Arrive(packet) });
                if self.random.chance(self.profile.duplicate) && !lost {
                    self.world.apply(Action::Duplicate { packet })?;
                    self.watch.happened(self.now, Action::Duplicate { packet }, &self.world);
                    let later = after + self.profile.straggle.draw(&mut self.random);
                    self.at(later, Event::Arrive(packet));
                }
            }
            News::Written(host) => self.plan_sync(host),
            News::Applying(host) => {
                let after = self.profile.apply.draw(&mut self.random);
                self.at(after, Event::Applied(host));
            }
            News::Fetching(host) => {
                let after = self.profile.fetch.draw(&mut self.random);
                self.at(after, Event::Fetched(host));
            }
            News::Stepped(host) => self.plan_wake(host),
        }
        Ok(())
    }

    fn plan_sync(&mut self, host: HostId) {
        if !std::mem::replace(&mut self.clocks[host.nth()].syncing, true) {
            let after = self.profile.sync.draw(&mut self.random);
            self.at(after, Event::Sync(host));
        }
    }

    fn plan_wake(&mut self, host: HostId) {
        let sleep = self.world.host(host).sleep();
        let clock = &mut self.clocks[host.nth()];
        let sleep = if self.profile.eager { Some(1) } else { sleep };
        clock.due = sleep.map(|ticks| clock.told + u64::from(ticks.max(1)));
        if let Some(due) = clock.due
            && clock.queued.is_none_or(|queued| due < queued)
        {
            clock.queued = Some(due);
            let after = (due * Profile::TICK).saturating_sub(self.now);
            self.at(after, Event::Wake(host));
        }
    }

    /// The earliest event happens.
    fn next(&mut self) -> Checked {
        let Some(Reverse((moment, _, event))) = self.queue.pop() else {
            // Clients and faults come again and again, so the queue of an unfinished run is never empty.
            unreachable!("a run has no end of events");
        };
        self.now = moment;
        match event {
            Event::Wake(host) => self.wake(host),
            Event::Arrive(packet) => self.arrive(packet),
            Event::Lose(packet) => self.act(Action::Drop { packet }).map(|_| ()),
            Event::Go(host) => {
                self.clocks[host.nth()].going = false;
                self.step(host)
            }
            Event::Sync(host) => self.sync(host),
            Event::Applied(host) => self.input(Action::Applied { host }, host),
            Event::Fetched(host) => self.input(Action::Fetched { host }, host),
            Event::Client => self.client(),
            Event::Crash => self.crash(),
            Event::Up(host) => self.restart(host),
            Event::Partition => self.partition(),
            Event::Heal => self.act(Action::Heal).map(|_| ()),
            Event::Check => Ok(()),
        }
    }

    fn tick_of(&self) -> u64 {
        self.now / Profile::TICK
    }

    fn wake(&mut self, host: HostId) -> Checked {
        let now = self.tick_of();
        let clock = &mut self.clocks[host.nth()];
        if clock.queued.is_some_and(|queued| queued <= now) {
            clock.queued = None;
        }
        match clock.due {
            Some(due) if due <= now => {
                clock.due = None;
                self.tell_time(host)?;
                self.go(host)
            }
            Some(due) if clock.queued.is_none() => {
                clock.queued = Some(due);
                self.at((due * Profile::TICK).saturating_sub(self.now), Event::Wake(host));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A node hears of the time that has passed before what has come with it.
    fn tell_time(&mut self, host: HostId) -> Checked {
        let now = self.tick_of();
        let elapsed = now.saturating_sub(self.clocks[host.nth()].told);
        if elapsed != 0 {
            self.clocks[host.nth()].told = now;
            self.act(Action::Tick { host, elapsed: elapsed.min(u64::from(u32::MAX)) as u32 })?;
        }
        Ok(())
    }

    fn input(&mut self, action: Action, host: HostId) -> Checked {
        self.tell_time(host)?;
        self.act(action)?;
        self.go(host)
    }

    fn go(&mut self, host: HostId) -> Checked {
        let after = self.profile.wait.draw(&mut self.random);
        if after == 0 {
            return self.step(host);
        }
        if !std::mem::replace(&mut self.clocks[host.nth()].going, true) {
            self.at(after, Event::Go(host));
        }
        Ok(())
    }

    fn step(&mut self, host: HostId) -> Checked {
        if !self.world.host(host).has_mail() {
            return Ok(());
        }
        let effects = self.clocks[host.nth()].doomed.take();
        self.act(Action::Step { host, effects })?;
        if effects.is_some() { self.go_down(host) } else { Ok(()) }
    }

    fn arrive(&mut self, packet: PacketName) -> Checked {
        if self.world.network().packet(packet).is_none() {
            return Ok(());
        }
        let host = packet.link.to;
        if !self.world.network().is_open(packet.link) || self.world.host(host).node().is_none() {
            return self.act(Action::Drop { packet }).map(|_| ());
        }
        self.input(Action::Deliver { packet }, host)
    }

    fn sync(&mut self, host: HostId) -> Checked {
        self.clocks[host.nth()].syncing = false;
        let queued = self.world.host(host).disk().queued();
        let batches = if self.random.chance(self.profile.sync_one) { 1 } else { queued };
        if batches < queued {
            self.plan_sync(host);
        }
        if queued == 0 { Ok(()) } else { self.input(Action::Sync { host, batches }, host) }
    }

    fn leader(&self) -> Option<HostId> {
        let leads = |host: &HostId| self.world.host(*host).seen().is_some_and(|seen| seen.leads);
        // Of several that believe to lead, the one of the latest term does.
        self.all().filter(leads).max_by_key(|host| self.world.host(*host).seen().map(|seen| seen.term))
    }

    fn any(&mut self) -> HostId {
        HostId::at(self.random.below(self.world.hosts().len() as u64) as usize)
    }

    fn client(&mut self) -> Checked {
        if self.calm {
            return Ok(());
        }
        let after = self.profile.propose.draw(&mut self.random).max(1);
        self.at(after, Event::Client);
        let wanders = self.random.chance(self.profile.wander);
        let any = self.any();
        let host = if wanders { any } else { self.leader().unwrap_or(any) };
        let empty = self.random.chance(10);
        let drawn = self.random.between(1, self.profile.commands_max);
        let commands = if empty { 0 } else { drawn };
        let bytes = self.random.between(8, self.profile.bytes_max) as u32;
        self.propose(host, commands as u8, bytes)
    }

    fn propose(&mut self, host: HostId, commands: u8, bytes: u32) -> Checked {
        if self.world.host(host).node().is_none() {
            return Ok(());
        }
        let request = self.world.requests() + 1;
        self.input(Action::Propose { host, request, commands, bytes }, host)
    }

    fn victim(&mut self) -> HostId {
        let any = self.any();
        let aims = self.random.chance(self.profile.aim);
        if aims { self.leader().unwrap_or(any) } else { any }
    }

    fn crash(&mut self) -> Checked {
        if self.calm {
            return Ok(());
        }
        let after = self.profile.crash.draw(&mut self.random).max(1);
        self.at(after, Event::Crash);
        let host = self.victim();
        if self.world.host(host).node().is_none() {
            return Ok(());
        }
        if self.random.chance(512) {
            let effects = self.random.below(8) as u32;
            self.clocks[host.nth()].doomed = Some(effects);
            return Ok(());
        }
        self.go_down(host)
    }

    fn go_down(&mut self, host: HostId) -> Checked {
        let queued = u64::from(self.world.host(host).disk().queued());
        let keep = self.random.between(0, queued) as u32;
        let torn = self.random.chance(512) && u64::from(keep) < queued;
        self.act(Action::Crash { host, keep, torn, stray: 0 })?;
        let after = self.profile.down.draw(&mut self.random);
        self.at(after, Event::Up(host));
        Ok(())
    }

    fn restart(&mut self, host: HostId) -> Checked {
        if self.world.host(host).node().is_some() {
            return Ok(());
        }
        let shortens = self.random.chance(self.profile.shorten);
        let length = self.random.between(1, 20);
        let tail = if shortens { length } else { u64::MAX };
        let now = self.tick_of();
        let clock = &mut self.clocks[host.nth()];
        (clock.told, clock.due, clock.doomed) = (now, None, None);
        self.act(Action::Restart { host, tail })?;
        self.go(host)
    }

    fn partition(&mut self) -> Checked {
        if self.calm {
            return Ok(());
        }
        let after = self.profile.partition.draw(&mut self.random).max(1);
        self.at(after, Event::Partition);
        let lasts = self.profile.heal.draw(&mut self.random);
        self.at(lasts, Event::Heal);
        let victim = self.victim();
        match self.random.below(4) {
            0 => self.act(Action::Partition { side: HostSet::EMPTY.with(victim) }).map(|_| ()),
            1 => {
                let mut hosts: Vec<HostId> = self.all().collect();
                self.random.shuffle(&mut hosts);
                let half = hosts[..hosts.len() / 2].iter().copied().collect();
                self.act(Action::Partition { side: half }).map(|_| ())
            }
            way => self.cut_one_way(victim, way == 2),
        }
    }

    fn cut_one_way(&mut self, victim: HostId, outward: bool) -> Checked {
        for other in self.all().filter(|other| *other != victim) {
            if self.random.chance(768) {
                let (from, to) = if outward { (victim, other) } else { (other, victim) };
                self.act(Action::Cut { link: Link { from, to } })?;
            }
        }
        Ok(())
    }

    /// How many ticks a cluster gets to recover once faults have stopped: sixty election timeouts, and eight ticks for
    /// every entry of the longest log, since the limits of a plan may send, fetch and apply them one by one.
    fn patience_ticks(&self) -> u64 {
        let longest = self.world.standings().iter().map(|standing| standing.last.index.raw()).max();
        60 * u64::from(self.plan.setup.config.election_timeout_ticks) + 8 * longest.unwrap_or(0)
    }

    /// Faults stop for good. Within the time for it all has to be well; then one more request has to commit.
    fn settle(&mut self) -> Checked {
        self.calm = true;
        self.profile = self.plan.calm();
        self.act(Action::Heal)?;
        for host in self.all() {
            self.clocks[host.nth()].doomed = None;
            self.restart(host)?;
        }
        for _ in 0..2 {
            self.wait_until_well()?;
            if let Some(leader) = self.leader() {
                self.propose(leader, 1, 8)?;
            }
        }
        self.wait_until_well()
    }

    fn wait_until_well(&mut self) -> Checked {
        let end = self.now + self.patience_ticks() * Profile::TICK;
        let often = u64::from(self.plan.setup.config.election_timeout_ticks) * Profile::TICK;
        loop {
            let next_check = self.now + often;
            self.at(often, Event::Check);
            while self.now < next_check {
                self.next()?;
            }
            let verdict = judge_progress(&self.world.standings());
            if verdict.is_ok() || end <= self.now {
                return verdict;
            }
        }
    }
}
