//! Clients of the registers: each has at most one call that it waits for. What is refused, lost or not answered in time it tries
//! again elsewhere, as a call of its own: nothing yet keeps both from taking effect.

use super::Scheduler;
use crate::action::{Action, HostId};
use crate::client::Asked;
use crate::history::Reply;
use crate::oracle::Violation;
use crate::plan::Profile;
use crate::random::Random;
use crate::rig::Rig;
use crate::scheduler::Watch;

/// How often a client's request is a call, and not some commands that say nothing to the registers.
pub(super) const CALLS: u64 = 200;

const CLIENTS: usize = 6;
pub(super) const KEYS: u64 = 3;

/// After how many election timeouts a client gives up.
const PATIENCE: u64 = 6;

/// What a client waits for.
#[derive(Clone, Copy)]
struct Waiting {
    request: u64,
    since: u64,
}

#[derive(Clone, Copy, Default)]
struct Client {
    waiting: Option<Waiting>,
    /// What was asked last, and where; tried again elsewhere if it was not answered.
    last: Option<(u8, Asked, HostId)>,
    again: bool,
    /// What it has last read of each register or written to it.
    seen: [Option<u64>; KEYS as usize],
}

impl Client {
    fn draw(&self, random: &mut Random) -> (u8, Asked) {
        let key = random.below(KEYS) as u8;
        let asked = match random.below(5) {
            0 | 1 => Asked::Read,
            2 => Asked::Write,
            _ => Asked::Swap(self.seen[usize::from(key)]),
        };
        (key, asked)
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Clients([Client; CLIENTS]);

impl Clients {
    /// One of them was told what became of its call. Who has given up no longer listens.
    pub(super) fn told(&mut self, request: u64, reply: Option<Reply>) {
        let waits = |client: &&mut Client| client.waiting.is_some_and(|waiting| waiting.request == request);
        let Some(client) = self.0.iter_mut().find(waits) else { return };
        client.waiting = None;
        client.again = reply.is_none();
        let Some((key, ..)) = client.last else { return };
        let seen = &mut client.seen[usize::from(key)];
        match reply {
            Some(Reply::Value(value)) => *seen = value,
            Some(Reply::Written | Reply::Swapped(true)) => *seen = Some(request),
            Some(Reply::Swapped(false)) | None => {}
        }
    }

    /// One that may ask: the first that has something to try again, or any that does not wait.
    fn free(&mut self, now: u64, patience: u64, random: &mut Random) -> Option<usize> {
        for client in &mut self.0 {
            if client.waiting.is_some_and(|waiting| waiting.since + patience <= now) {
                (client.waiting, client.again) = (None, true);
            }
        }
        let again = self.0.iter().position(|client| client.waiting.is_none() && client.again);
        let any = random.below(CLIENTS as u64) as usize;
        again.or((0..CLIENTS).map(|nth| (any + nth) % CLIENTS).find(|nth| self.0[*nth].waiting.is_none()))
    }
}

impl<R: Rig, W: Watch<R>> Scheduler<'_, R, W> {
    /// A client asks this server for something; what it tries again it asks of the next one.
    pub(super) fn call(&mut self, host: HostId) -> Result<(), Box<Violation>> {
        let timeout = u64::from(self.plan.setup.config.election_timeout_ticks);
        let patience = PATIENCE * timeout * Profile::TICK;
        let Some(nth) = self.clients.free(self.now, patience, &mut self.random) else {
            return Ok(());
        };
        let mine = &mut self.clients.0[nth];
        let (key, asked, host) = match mine.last {
            Some((key, asked, before)) if mine.again => {
                let hosts = self.world.hosts().len();
                let next = if host == before { HostId::at((host.nth() + 1) % hosts) } else { host };
                (key, asked, next)
            }
            _ => {
                let (key, asked) = mine.draw(&mut self.random);
                (key, asked, host)
            }
        };
        mine.last = Some((key, asked, host));
        if self.world.host(host).node().is_none() || self.now < self.machines[host.nth()].paused_until {
            mine.again = true;
            return Ok(());
        }
        let request = self.world.requests() + 1;
        mine.again = false;
        mine.waiting = Some(Waiting { request, since: self.now });
        self.input(Action::Call { host, request, client: nth as u8 + 1, key, asked }, host)
    }
}
