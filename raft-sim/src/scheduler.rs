//! The random scheduler: what happens next, in virtual time, by the choices of a seed.
//!
//! Everything that a world asks for (a packet to arrive, a batch to be synced, …) becomes an event at a moment that the
//! profile's delays draw. The earliest event is turned into actions, and their news into further events.

mod changes;
mod clients;
mod clock;
mod disturb;
mod partitions;
mod peace;
mod reads;
mod sessions;
mod snapshots;
mod weather;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bytes::Bytes;
use raft_core::Term;

use self::clients::Clients;
use self::clock::Machine;
use self::weather::Weather;
use crate::action::{Action, HostId, HostSet, Link, PacketName};
use crate::oracle::Violation;
use crate::plan::{Plan, Profile};
use crate::random::Random;
use crate::replay;
use crate::rig::Rig;
use crate::schedule::Ending;
use crate::swarm::Fault;
use crate::world::{Applied, News, World};

/// Someone who wants to see every action of a run when it has happened, or has broken a rule.
pub trait Watch<R: Rig> {
    /// The world is made, and nothing has happened in it yet.
    fn starts(&mut self, _world: &World<R>) {}

    /// The action is about to be tried. A panic can keep it from having happened.
    fn begins(&mut self, _action: Action) {}

    /// The last action of a schedule has happened; this follows.
    fn ends(&mut self, _ending: Ending) {}

    /// All has happened; what clients were told is about to be judged as a whole.
    fn closes(&mut self) {}

    /// `moment` is virtual time, see [`Profile::TICK`].
    fn happened(&mut self, moment: u64, action: Action, world: &World<R>);

    /// Whether it wants to see no more: the run ends before its next event, and is not judged as a whole. Once it says so it
    /// has to go on saying so.
    fn stops(&self) -> bool {
        false
    }
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
    /// Some snapshot begins.
    Save,
    Saved(HostId),
    Move(Link),
    Compact(HostId),
    Client,
    /// Somebody reads.
    Read,
    /// A client with a session sends something.
    Session,
    Change,
    Crash,
    Down(HostId),
    Up(HostId),
    Partition,
    Flap(HostId, u8),
    Heal,
    Fault(Fault),
    End(Fault, HostId),
    /// The end of a siege, by its number.
    Peace(u64),
    /// Those around the siege of this number try something else.
    Besiege(u64),
    /// Time passes for those who watch the clique of this number.
    Pass(u64),
}

/// A run in progress.
pub struct Scheduler<'a, R: Rig, W: Watch<R>> {
    /// The world that it drives.
    pub world: World<R>,
    plan: Plan,
    profile: Profile,
    /// The profile of what is left in peace.
    calm: Profile,
    /// The machines that are left in peace, with the ways between them.
    peaceful: HostSet,
    siege: u64,
    /// Who led the clique, and which term, when that was looked at last.
    last_seen_leading: Option<(HostId, Term)>,
    weather: Weather,
    random: Random,
    /// Of the commands of a user's state machine. Apart from the others, so that these may become others and what happens stays as it is.
    commands: Random,
    watch: &'a mut W,
    now: u64,
    count: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    machines: Vec<Machine>,
    news: Vec<News>,
    clients: Clients,
    /// Whether faults have stopped for good.
    settling: bool,
}

type Checked = Result<(), Box<Violation>>;

impl<'a, R: Rig, W: Watch<R>> Scheduler<'a, R, W> {
    /// A run of `plan` with these choices.
    ///
    /// # Errors
    /// A rule that is broken from the start.
    pub fn new(plan: Plan, random: Random, rig: R, watch: &'a mut W) -> Result<Self, Box<Violation>> {
        let world = World::new(plan.setup, rig)?;
        watch.starts(&world);
        let hosts = world.hosts().len();
        let mut scheduler = Scheduler {
            world,
            plan,
            profile: plan.profile,
            calm: plan.calm(),
            peaceful: HostSet::EMPTY,
            siege: 0,
            last_seen_leading: None,
            weather: Weather::new(hosts),
            random,
            commands: Random::new(plan.setup.config.seed),
            watch,
            now: 0,
            count: 0,
            queue: BinaryHeap::new(),
            machines: vec![Machine::default(); hosts],
            news: Vec::new(),
            clients: Clients::default(),
            settling: false,
        };
        scheduler.set_clocks();
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
        for recurring in plan.faults.recurring {
            scheduler.plan_fault(recurring.fault);
        }
        scheduler.plan_read();
        scheduler.plan_session();
        scheduler.plan_change();
        scheduler.plan_save();
        Ok(scheduler)
    }

    /// Runs to the end: the planned number of actions with faults, then without, until all is well or the time for it is
    /// over; or until whoever watches wants to see no more.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn run(&mut self) -> Checked {
        while self.world.counts().actions < self.plan.actions {
            if self.watch.stops() {
                return Ok(());
            }
            self.next()?;
        }
        self.settle()?;
        if self.watch.stops() {
            return Ok(());
        }
        self.watch.closes();
        self.world.judge_history()
    }

    /// How much virtual time has passed, in ticks.
    pub fn ticks(&self) -> u64 {
        self.now / Profile::TICK
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
            News::Sent(packet) => self.sent(packet)?,
            News::Written(host) => self.plan_sync(host),
            News::Applying(host) => {
                let delay = self.profile_at(host).apply;
                let after = delay.draw(&mut self.random) * self.slowness_of_machine(host);
                self.at(after, Event::Applied(host));
            }
            News::Fetching(host) => {
                let delay = self.profile_at(host).fetch;
                let after = delay.draw(&mut self.random);
                self.at(after, Event::Fetched(host));
            }
            News::Saving(host) => self.plan_saved(host),
            News::Sending(link) => self.plan_move(link),
            News::Stepped(host) => self.plan_wake(host),
            News::Told { request, reply } => self.clients.told(request, reply),
        }
        Ok(())
    }

    fn sent(&mut self, packet: PacketName) -> Checked {
        let profile = *self.profile_of(packet.link);
        let after = profile.latency.draw(&mut self.random);
        let lost = self.random.chance(profile.loss) || self.weather_takes(packet);
        self.at(after, if lost { Event::Lose(packet) } else { Event::Arrive(packet) });
        if self.random.chance(profile.duplicate) && !lost {
            self.act(Action::Duplicate { packet })?;
            let later = after + profile.straggle.draw(&mut self.random);
            self.at(later, Event::Arrive(packet));
        }
        Ok(())
    }

    fn profile_of(&self, link: Link) -> &Profile {
        if self.is_fair(link) { &self.calm } else { &self.profile }
    }

    fn profile_at(&self, host: HostId) -> &Profile {
        if self.peaceful.contains(host) { &self.calm } else { &self.profile }
    }

    /// Whether the weather is fair there: where machines are left in peace, and everywhere once faults stop. What is broken
    /// then is broken altogether; a way that lets only heartbeats through would keep a leader that can do nothing.
    fn is_fair(&self, link: Link) -> bool {
        self.settling || self.in_peace(link)
    }

    fn in_peace(&self, link: Link) -> bool {
        self.peaceful.contains(link.from) && self.peaceful.contains(link.to)
    }

    fn plan_sync(&mut self, host: HostId) {
        if self.machines[host.nth()].stalled {
            return;
        }
        if !std::mem::replace(&mut self.machines[host.nth()].syncing, true) {
            let delay = self.profile_at(host).sync;
            let after = delay.draw(&mut self.random) * self.slowness_of_disk(host);
            self.at(after, Event::Sync(host));
        }
    }

    fn plan_wake(&mut self, host: HostId) {
        let sleep = self.world.host(host).sleep();
        let machine = &mut self.machines[host.nth()];
        let sleep = if self.profile.eager { Some(1) } else { sleep };
        machine.due = sleep.map(|ticks| machine.told + u64::from(ticks.max(1)));
        self.queue_wake(host);
    }

    fn queue_wake(&mut self, host: HostId) {
        let machine = &mut self.machines[host.nth()];
        let moment = machine.due.and_then(|due| machine.moment_of(due)).map(|moment| moment.max(self.now));
        if let Some(moment) = moment
            && machine.queued.is_none_or(|queued| moment < queued)
        {
            machine.queued = Some(moment);
            self.at(moment - self.now, Event::Wake(host));
        }
    }

    /// The earliest event happens.
    fn next(&mut self) -> Checked {
        let Some(Reverse((moment, _, event))) = self.queue.pop() else {
            // Clients and faults come again and again, so the queue of an unfinished run is never empty.
            unreachable!("a run has no end of events");
        };
        self.now = moment;
        if let Some(until) = self.paused_until(event) {
            self.at(until - moment, event);
            return Ok(());
        }
        match event {
            Event::Wake(host) => self.wake(host),
            Event::Arrive(packet) => self.arrive(packet),
            Event::Lose(packet) => self.act(Action::Drop { packet }).map(|_| ()),
            Event::Go(host) => {
                self.machines[host.nth()].going = false;
                self.step(host)
            }
            Event::Sync(host) => self.sync(host),
            Event::Applied(host) => self.input(Action::Applied { host }, host),
            Event::Fetched(host) => self.input(Action::Fetched { host }, host),
            Event::Save => self.save(),
            Event::Saved(host) => self.input(Action::Saved { host }, host),
            Event::Move(link) => self.carry(link),
            Event::Compact(host) => self.compact(host),
            Event::Client => self.client(),
            Event::Read => self.read(),
            Event::Session => self.session(),
            Event::Change => self.change(),
            Event::Crash => self.crash(),
            Event::Down(host) => self.take_down(host),
            Event::Up(host) => self.come_up(host),
            Event::Partition => self.partition(),
            Event::Flap(victim, left) => self.flap(victim, left),
            Event::Heal => self.heal(),
            Event::Fault(fault) => self.fault(fault),
            Event::End(fault, host) => self.end_fault(fault, host),
            Event::Peace(siege) => self.end_siege(siege),
            Event::Besiege(siege) => self.besiege(siege),
            Event::Pass(siege) => self.pass(siege),
        }
    }

    fn wake(&mut self, host: HostId) -> Checked {
        let machine = &mut self.machines[host.nth()];
        if machine.queued.is_some_and(|queued| queued <= self.now) {
            machine.queued = None;
        }
        match machine.due {
            Some(due) if due <= machine.tick(self.now) => {
                machine.due = None;
                self.tell_time(host)?;
                self.go(host)
            }
            Some(_) if machine.queued.is_none() => {
                self.queue_wake(host);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A node hears of the time that has passed before what has come with it.
    fn tell_time(&mut self, host: HostId) -> Checked {
        let machine = &mut self.machines[host.nth()];
        let now = machine.tick(self.now);
        let elapsed = now.saturating_sub(machine.told);
        if elapsed != 0 {
            machine.told = now;
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
        let delay = self.profile_at(host).wait;
        let after = delay.draw(&mut self.random);
        if after == 0 {
            return self.step(host);
        }
        if !std::mem::replace(&mut self.machines[host.nth()].going, true) {
            self.at(after, Event::Go(host));
        }
        Ok(())
    }

    fn step(&mut self, host: HostId) -> Checked {
        if !self.world.host(host).has_mail() {
            return Ok(());
        }
        let machine = &mut self.machines[host.nth()];
        let (doomed, pausing) = (machine.doomed.take(), machine.pausing.take());
        let effects = doomed.or(pausing.map(|(effects, _)| effects));
        self.act(Action::Step { host, effects })?;
        match (doomed, pausing) {
            (Some(_), _) => self.go_down(host),
            (None, Some((_, lasts))) => {
                self.pause(host, lasts);
                Ok(())
            }
            (None, None) => self.read_of_the_deposed(host),
        }
    }

    fn arrive(&mut self, packet: PacketName) -> Checked {
        if self.world.network().packet(packet).is_none() {
            return Ok(());
        }
        let host = packet.link.to;
        // What was held back outside of a clique that is left in peace for good stays away: let go at once, and long after it was
        // sent, it would disturb those inside.
        let outside = self.settling && !self.in_peace(packet.link);
        if outside && self.weather.held_until(packet.link, self.now.saturating_sub(1)).is_some() {
            return self.act(Action::Drop { packet }).map(|_| ());
        }
        if let Some(until) = self.weather.held_until(packet.link, self.now) {
            self.at(until - self.now, Event::Arrive(packet));
            return Ok(());
        }
        if !self.world.network().is_open(packet.link) || self.world.host(host).node().is_none() {
            return self.act(Action::Drop { packet }).map(|_| ());
        }
        let hands_over = self.hands_over(packet);
        self.input(Action::Deliver { packet }, host)?;
        if hands_over { self.strand(packet.link.from) } else { Ok(()) }
    }

    fn sync(&mut self, host: HostId) -> Checked {
        let machine = &mut self.machines[host.nth()];
        if machine.stalled {
            return Ok(());
        }
        machine.syncing = false;
        let disk = self.world.host(host).disk();
        let (queued, failed) = (disk.queued(), disk.has_failed());
        if queued == 0 || failed {
            return Ok(());
        }
        if machine.failing || self.now < machine.full_until {
            return self.fail_sync(host);
        }
        let batches = if self.random.chance(self.profile_at(host).sync_one) { 1 } else { queued };
        if batches < queued {
            self.plan_sync(host);
        }
        self.input(Action::Sync { host, batches }, host)?;
        self.plan_compaction(host);
        Ok(())
    }

    fn leader(&self) -> Option<HostId> {
        let leads = |host: &HostId| self.world.host(*host).seen().is_some_and(|seen| seen.leads);
        // Of several that believe to lead, the one of the latest term does.
        self.all().filter(leads).max_by_key(|host| self.world.host(*host).seen().map(|seen| seen.term))
    }

    /// Whether this node can do anything.
    fn is_well(&self, host: HostId) -> bool {
        self.world.host(host).node().is_some() && !self.world.host(host).disk().has_failed()
    }

    fn any(&mut self) -> HostId {
        HostId::at(self.random.below(self.world.hosts().len() as u64) as usize)
    }

    fn client(&mut self) -> Checked {
        if self.settling {
            return Ok(());
        }
        let after = self.profile.propose.draw(&mut self.random).max(1);
        self.at(after, Event::Client);
        let wanders = self.random.chance(self.profile.wander);
        let any = self.any();
        let leader = self.leader();
        if !wanders && self.profile.backlog_max.is_some_and(|max| self.is_busy(leader, max)) {
            return Ok(());
        }
        let host = if wanders { any } else { leader.unwrap_or(any) };
        if let Some(says) = self.world.draw(host, &mut self.commands)? {
            return self.command(host, says);
        }
        if self.random.chance(clients::CALLS) {
            return self.call(host);
        }
        let empty = self.random.chance(10);
        let drawn = self.random.between(1, self.profile.commands_max);
        let commands = if empty { 0 } else { drawn };
        let bytes = self.random.between(8, self.profile.bytes_max) as u32;
        self.propose(host, commands as u8, bytes)
    }

    /// Whether nobody leads, or as many entries wait there to be committed.
    fn is_busy(&self, leader: Option<HostId>, backlog_max: u64) -> bool {
        let status = leader.and_then(|leader| Some(self.world.host(leader).node()?.status()));
        status.is_none_or(|status| backlog_max <= status.last.index.raw().saturating_sub(status.commit.raw()))
    }

    /// A client asks for a command of a user's state machine.
    fn command(&mut self, host: HostId, says: Bytes) -> Checked {
        if self.world.host(host).node().is_none() || self.now < self.machines[host.nth()].paused_until {
            return Ok(());
        }
        let request = self.world.requests() + 1;
        self.world.offer(&[(request, says)].into());
        self.input(Action::Command { host, request }, host)
    }

    fn propose(&mut self, host: HostId, commands: u8, bytes: u32) -> Checked {
        if self.world.host(host).node().is_none() || self.now < self.machines[host.nth()].paused_until {
            return Ok(());
        }
        let request = self.world.requests() + 1;
        self.input(Action::Propose { host, request, commands, bytes }, host)
    }
}
