//! Clients that read without an entry in the log, wait for what was proposed, or ask who leads. They wait for nothing, so that there can
//! be many of them at once, also on servers that only believe to lead.

use raft_core::Node;

use super::{Checked, Event, Scheduler, Watch};
use crate::action::{Action, HostId};
use crate::rig::Rig;

/// Who they are: a client of their own, behind those that have one call at a time.
const READER: u8 = 9;

impl<R: Rig, W: Watch<R>> Scheduler<'_, R, W> {
    pub(super) fn plan_read(&mut self) {
        if let Some(read) = self.profile.read {
            let after = read.draw(&mut self.random).max(1);
            self.at(after, Event::Read);
        }
    }

    /// One client or several ask the same server, which hears of all at once.
    pub(super) fn read(&mut self) -> Checked {
        if self.settling {
            return Ok(());
        }
        self.plan_read();
        match self.read_by() {
            Some(host) => self.read_at(host),
            None => Ok(()),
        }
    }

    /// This node has made a step. Where it leads, and another one of an earlier term believes to, that one may be read, as no moment is
    /// worse; where leaders are hunted it is read also when it is itself the one of the earlier term.
    pub(super) fn read_of_the_deposed(&mut self, host: HostId) -> Checked {
        if self.settling || self.profile.read.is_none() {
            return Ok(());
        }
        let leads =
            |host: HostId| self.world.host(host).seen().filter(|seen| seen.leads).map(|seen| seen.term);
        let Some(term) = leads(host) else { return Ok(()) };
        if self.plan.faults.hunt != 0
            && self.all().any(|other| leads(other).is_some_and(|other| term < other))
        {
            return if self.random.chance(300) { self.read_at(host) } else { Ok(()) };
        }
        let deposed = self.all().find(|other| leads(*other).is_some_and(|other| other < term));
        match deposed {
            Some(deposed) if self.random.chance(100) => self.read_at(deposed),
            _ => Ok(()),
        }
    }

    fn read_at(&mut self, host: HostId) -> Checked {
        let count = self.random.pick(&[1, 1, 2, 6]);
        if self.world.host(host).node().is_none() || self.now < self.machines[host.nth()].paused_until {
            return Ok(());
        }
        self.tell_time(host)?;
        for _ in 0..count {
            let request = self.world.requests() + 1;
            let key = self.random.below(super::clients::KEYS) as u8;
            let action = match self.random.below(12) {
                0 => Action::Barrier { host, request },
                1 => Action::Verify { host, request },
                2 | 3 => {
                    let ticks = self.random.pick(&[0, 1, 5, 20, 80]) as u32;
                    Action::ReadWithin { host, request, ticks }
                }
                4 => Action::Forward { host, request, client: READER, key },
                _ => Action::Read { host, request, client: READER, key },
            };
            self.act(action)?;
        }
        self.go(host)
    }

    /// The leader, anyone who believes to lead, anyone who knows a leader, or any server. Where there is none like that most clients wait.
    fn read_by(&mut self) -> Option<HostId> {
        let (any, kind) = (self.any(), self.random.below(6));
        let leads = |host: &HostId| self.world.host(*host).seen().is_some_and(|seen| seen.leads);
        let follows = |host: &HostId| {
            let status = self.world.host(*host).node().map(Node::status);
            !leads(host) && status.is_some_and(|status| status.leader.is_some())
        };
        let some: Vec<HostId> = match kind {
            0 | 1 => self.leader().into_iter().collect(),
            2 => self.all().filter(leads).collect(),
            3 | 4 => self.all().filter(follows).collect(),
            _ => vec![any],
        };
        if some.is_empty() { self.random.chance(100).then_some(any) } else { Some(self.random.pick(&some)) }
    }
}
