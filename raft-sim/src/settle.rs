//! The quiet end of a schedule: faults stop, and a world that is left to itself has to get well.
//!
//! It needs no seed and no plan, so that a schedule means the same whatever was taken out of it: in every tick everything that
//! is under way arrives, in order, and everything that was asked for is done.

use crate::action::{Action, HostId, HostSet, Link, PacketName};
use crate::host::Progress;
use crate::oracle::{Need, Violation};
use crate::rig::Rig;
use crate::scheduler::Watch;
use crate::world::{Applied, World};

/// How many times within a tick what is under way arrives. A request, its replication, its answers and the news of the commit are
/// four; what is left waits for the next tick.
const ROUNDS: u32 = 4;

type Checked = Result<(), Box<Violation>>;

struct Settling<'a, R: Rig, W: Watch<R>> {
    world: &'a mut World<R>,
    watch: &'a mut W,
    among: HostSet,
    moment: u64,
    /// How many ticks each machine's node has still to sleep, by its own word.
    sleeping: Vec<u32>,
}

/// Stops all faults among these machines, while the others do nothing any more, and lets them go on until all is well, twice
/// with a new request that commits. Nothing is promised, and all is well, where they hold no quorum, or where one of them can not come
/// up.
///
/// # Errors
/// The rule that was broken, or what is not well after the time for it.
pub(crate) fn settle<R: Rig, W: Watch<R>>(world: &mut World<R>, watch: &mut W, among: HostSet) -> Checked {
    let hosts = world.hosts().len();
    let all: HostSet = (0..hosts).map(HostId::at).collect();
    let among = all.iter().filter(|host| among.contains(*host)).collect::<HostSet>();
    let sleeping = vec![0; hosts];
    let mut settling = Settling { world, watch, among, moment: 0, sleeping };
    if among == all {
        settling.act(Action::Heal)?;
    }
    for host in among.iter() {
        for other in among.iter() {
            settling.act(Action::Mend { link: Link { from: host, to: other } })?;
        }
        settling.bring_up(host)?;
    }
    if among.iter().any(|host| settling.world.host(host).node().is_none()) {
        return Ok(());
    }
    settling.act(Action::Unwatch)?;
    let watch = Action::Watch { clique: among, for_good: true };
    let watched = crate::replay::act(settling.world, settling.watch, settling.moment, watch)?;
    if watched == Applied::Impossible { Ok(()) } else { settling.wait_until_well() }
}

impl<R: Rig, W: Watch<R>> Settling<'_, R, W> {
    /// A machine whose disk has failed or whose node has halted goes down first; one that is down comes up.
    fn bring_up(&mut self, host: HostId) -> Checked {
        self.act(Action::Perform { host })?;
        let machine = self.world.host(host);
        let halted = machine.seen().is_some_and(|seen| seen.fault.is_some());
        if machine.disk().has_failed() || halted {
            self.act(Action::Crash { host, keep: 0, torn: false, stray: 0 })?;
        }
        self.act(Action::Restart { host, tail: u64::MAX })
    }

    fn act(&mut self, action: Action) -> Checked {
        crate::replay::act(self.world, self.watch, self.moment, action).map(|_| ())
    }

    /// When all is well, and whether it is in time, the oracle says that watches them.
    fn wait_until_well(&mut self) -> Checked {
        loop {
            if self.watch.stops() {
                return Ok(());
            }
            self.tick()?;
            self.act(Action::Pass { ticks: 1 })?;
            match self.world.need() {
                (_, Some(what)) => return Err(Violation::of_no_peace(what)),
                (Need::Nothing, None) => return Ok(()),
                (Need::Request, None) => {
                    let leads = |host: &HostId| self.world.host(*host).seen().is_some_and(|seen| seen.leads);
                    if let Some(host) = self.among.iter().find(leads) {
                        let request = self.world.requests() + 1;
                        self.act(Action::Propose { host, request, commands: 1, bytes: 8 })?;
                    }
                }
                (Need::Time, None) => {}
            }
        }
    }

    fn tick(&mut self) -> Checked {
        self.moment += crate::plan::Profile::TICK;
        for host in self.among.iter() {
            let due = match self.world.host(host).sleep() {
                Some(sleep) => sleep <= self.sleeping[host.nth()] + 1,
                None => false,
            };
            self.sleeping[host.nth()] += 1;
            if due {
                self.tell_time(host)?;
            }
        }
        for _ in 0..ROUNDS {
            let inside =
                |name: &PacketName| self.among.contains(name.link.from) && self.among.contains(name.link.to);
            let names: Vec<_> = self.world.network().names().filter(inside).collect();
            for packet in names {
                self.tell_time(packet.link.to)?;
                self.act(Action::Deliver { packet })?;
            }
            for host in self.among.iter() {
                self.serve(host)?;
            }
        }
        Ok(())
    }

    /// A node hears of the time that has passed before what has come with it.
    fn tell_time(&mut self, host: HostId) -> Checked {
        match std::mem::take(&mut self.sleeping[host.nth()]) {
            0 => Ok(()),
            elapsed => self.act(Action::Tick { host, elapsed }),
        }
    }

    /// What one machine has waiting is done.
    fn serve(&mut self, host: HostId) -> Checked {
        let machine = self.world.host(host);
        let (queued, applying, fetching) =
            (machine.disk().queued(), machine.is_applying(), machine.is_fetching());
        if queued != 0 || applying || fetching {
            self.tell_time(host)?;
        }
        if queued != 0 {
            self.act(Action::Sync { host, batches: queued })?;
        }
        if applying {
            self.act(Action::Applied { host })?;
        }
        while self.world.host(host).is_fetching() {
            self.act(Action::Fetched { host })?;
        }
        self.serve_snapshots(host)?;
        if self.world.host(host).has_mail() {
            self.act(Action::Step { host, effects: None })?;
        }
        Ok(())
    }

    /// Snapshots are made and moved; those for machines outside are lost.
    fn serve_snapshots(&mut self, host: HostId) -> Checked {
        if self.world.host(host).is_saving() {
            self.tell_time(host)?;
            self.act(Action::Saved { host })?;
        }
        let sending: Vec<_> = self.world.host(host).sending().collect();
        for (to, progress) in sending {
            let link = Link { from: host, to };
            let inside = self.among.contains(to);
            if inside && self.world.can_move(link) {
                self.act(Action::Move { link })?;
            } else if inside && progress == Progress::Moved && self.world.is_told(link) {
                // The packet is on its way.
            } else {
                self.tell_time(host)?;
                self.act(if progress == Progress::Arrived {
                    Action::Sent { link }
                } else {
                    Action::Lose { link }
                })?;
            }
        }
        if self.world.host(host).is_compactable() {
            self.act(Action::Compact { host })?;
        }
        Ok(())
    }
}
