//! Clients with sessions: they register, have something done, and send again what they have no answer to, also while it is under way.

use super::{Checked, Event, Scheduler, Watch};
use crate::action::{Action, HostId};
use crate::client::Asked;
use crate::rig::Rig;

/// Who they are: behind the others.
const TENANTS: [u8; 3] = [11, 12, 13];

/// How many commands one has under way before it only sends them again.
const OPEN: usize = 3;

impl<R: Rig, W: Watch<R>> Scheduler<'_, R, W> {
    pub(super) fn plan_session(&mut self) {
        if let Some(session) = self.profile.session {
            let after = session.draw(&mut self.random).max(1);
            self.at(after, Event::Session);
        }
    }

    /// One of them asks the leader, if there is one, or now and then another server.
    pub(super) fn session(&mut self) -> Checked {
        if self.settling {
            return Ok(());
        }
        self.plan_session();
        let any = self.any();
        let wanders = self.random.chance(self.profile.wander);
        let Some(host) = (if wanders { Some(any) } else { self.leader() }) else { return Ok(()) };
        if self.world.host(host).node().is_none() || self.now < self.machines[host.nth()].paused_until {
            return Ok(());
        }
        let client = self.random.pick(&TENANTS);
        let request = self.world.requests() + 1;
        let action = self.wanted_of(host, request, client);
        self.input(action, host)
    }

    fn wanted_of(&mut self, host: HostId, request: u64, client: u8) -> Action {
        let (registered, open) = self.world.tenant(client);
        if !registered {
            return Action::Register { host, request, client };
        }
        if OPEN <= open || open != 0 && self.random.chance(512) {
            let nth = self.random.below(open as u64) as u8;
            return Action::Again { host, request, client, nth };
        }
        let key = self.random.below(super::clients::KEYS) as u8;
        let asked = match self.random.below(4) {
            0 => Asked::Read,
            1 => Asked::Write,
            // Whoever holds something does so by somebody's request: by chance that of the last but some.
            2 => Asked::Swap(request.checked_sub(self.random.between(2, 40))),
            _ => Asked::Swap(None),
        };
        Action::Submit { host, request, client, key, asked }
    }
}
