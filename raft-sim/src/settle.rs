//! The quiet end of a schedule: faults stop, and a world that is left to itself has to get well.
//!
//! It needs no seed and no plan, so that a schedule means the same whatever was taken out of it: in every tick everything that
//! is under way arrives, in order, and everything that was asked for is done.

use crate::action::{Action, HostId};
use crate::oracle::{Violation, judge_progress};
use crate::rig::Rig;
use crate::scheduler::Watch;
use crate::world::World;

/// How many times within a tick what is under way arrives. A request, its replication, its answers and the news of the commit are
/// four; what is left waits for the next tick.
const ROUNDS: u32 = 4;

type Checked = Result<(), Box<Violation>>;

struct Settling<'a, R: Rig, W: Watch<R>> {
    world: &'a mut World<R>,
    watch: &'a mut W,
    moment: u64,
    /// How many ticks each machine's node has still to sleep, by its own word.
    sleeping: Vec<u32>,
}

/// Stops all faults and lets `world` go on until all is well, twice with a new request.
///
/// # Errors
/// The rule that was broken, or what is not well after the time for it.
pub(crate) fn settle<R: Rig, W: Watch<R>>(world: &mut World<R>, watch: &mut W, moment: u64) -> Checked {
    let sleeping = vec![0; world.hosts().len()];
    let mut settling = Settling { world, watch, moment, sleeping };
    settling.act(Action::Heal)?;
    for host in settling.hosts() {
        settling.act(Action::Restart { host, tail: u64::MAX })?;
        settling.act(Action::Perform { host })?;
    }
    for _ in 0..2 {
        settling.wait_until_well()?;
        let leader =
            settling.hosts().find(|host| settling.world.host(*host).seen().is_some_and(|seen| seen.leads));
        if let Some(host) = leader {
            let request = settling.world.requests() + 1;
            settling.act(Action::Propose { host, request, commands: 1, bytes: 8 })?;
        }
    }
    settling.wait_until_well()
}

impl<R: Rig, W: Watch<R>> Settling<'_, R, W> {
    fn hosts(&self) -> impl Iterator<Item = HostId> + use<R, W> {
        (0..self.world.hosts().len()).map(HostId::at)
    }

    fn act(&mut self, action: Action) -> Checked {
        crate::replay::act(self.world, self.watch, self.moment, action).map(|_| ())
    }

    /// As long as a scheduler with delays of its own would give it.
    fn wait_until_well(&mut self) -> Checked {
        let longest = self.world.standings().iter().map(|standing| standing.last.index.raw()).max();
        let timeout = u64::from(self.world.setup().config.election_timeout_ticks);
        let patience = 60 * timeout + 8 * longest.unwrap_or(0);
        let mut verdict = Ok(());
        for nth in 1..=patience {
            self.tick()?;
            if nth % timeout == 0 {
                verdict = judge_progress(&self.world.standings());
                if verdict.is_ok() {
                    return Ok(());
                }
            }
        }
        verdict
    }

    fn tick(&mut self) -> Checked {
        self.moment += crate::plan::Profile::TICK;
        for host in self.hosts() {
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
            let names: Vec<_> = self.world.network().names().collect();
            for packet in names {
                self.tell_time(packet.link.to)?;
                self.act(Action::Deliver { packet })?;
            }
            for host in self.hosts() {
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
        if self.world.host(host).has_mail() {
            self.act(Action::Step { host, effects: None })?;
        }
        Ok(())
    }
}
