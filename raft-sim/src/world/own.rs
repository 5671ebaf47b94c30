//! The state machines of whoever uses the simulator in a world: their commands, and how they are fed, saved and restored.

use std::collections::BTreeMap;

use bytes::Bytes;
use raft_core::{LogIndex, LogTime, Message, RequestId};

use super::{Applied, Outcome, World};
use crate::action::HostId;
use crate::client;
use crate::machine::Machine;
use crate::oracle::{Verdict, Violation};
use crate::own::Own;
use crate::random::Random;
use crate::rig::Rig;
use crate::state_machine::At;

/// What the commands of requests say, by the requests' numbers.
pub type Offers = BTreeMap<u64, Bytes>;

impl<R: Rig> World<R> {
    /// Says what commands of a user's state machine these requests are, if they come to be [asked for](crate::Action::Command).
    pub fn offer(&mut self, commands: &Offers) {
        self.offers.extend(commands.iter().map(|(request, command)| (*request, command.clone())));
    }

    /// What the command of this request says.
    pub fn offered(&self, request: u64) -> Option<&Bytes> {
        self.offers.get(&request)
    }

    /// The command of this request as the user's `Debug` shows it.
    pub fn says(&self, request: u64) -> Option<String> {
        let replica = self.hosts.first().and_then(|host| host.machine.own.live())?;
        replica.words(self.offers.get(&request)?)
    }

    /// The next command of a client that has looked at this server's state machine; `None` where there is no state machine of a user.
    pub(crate) fn draw(&self, host: HostId, random: &mut Random) -> Result<Option<Bytes>, Box<Violation>> {
        let own = self.hosts[host.nth()].machine.own.live();
        let drawn = own.map(|replica| replica.draw(random)).transpose();
        drawn.map_err(|misstep| self.oracles.misstep(host, misstep, "draws"))
    }

    pub(super) fn command(&mut self, host: HostId, request: u64) -> Outcome {
        if self.up(host).is_none() || request <= self.requests || u64::MAX >> 8 < request {
            return Ok(Applied::Impossible);
        }
        let Some(says) = self.offers.get(&request) else { return Ok(Applied::Impossible) };
        if let Some(replica) = self.hosts[host.nth()].machine.own.live() {
            let read = replica.read_back(says);
            read.map_err(|misstep| {
                self.oracles.misstep(host, misstep, &format!("is asked by request {request}"))
            })?;
        }
        let commands = client::own(request, says);
        self.requests = request;
        self.counts.proposals += 1;
        let leads = self.host(host).seen().is_some_and(|seen| seen.leads);
        self.oracles.requested(host, request, leads);
        self.oracles.proposed(host, request, 1, client::bytes_of(&commands));
        self.mail(host, Message::Propose { id: RequestId::new(request), commands })
    }

    /// A state machine performs the command that it was fed at `index`.
    pub(super) fn perform_own(
        &mut self,
        host: HostId,
        (index, time): (LogIndex, LogTime),
        command: &Bytes,
    ) -> Verdict {
        let own = &mut self.hosts[host.nth()].machine.own;
        let applied = own.apply(At { index, time }, command);
        self.oracles.own_applied(host, index, command, (applied, own))
    }

    /// The state as it lies in a snapshot. What comes out of it again is looked at at once: so a run that shows a mistake need not
    /// have anybody who needs the snapshot.
    pub(super) fn frozen(&self, host: HostId) -> Result<Machine, Box<Violation>> {
        let machine = &self.hosts[host.nth()].machine;
        let saved = machine.own.saved();
        let again = saved.clone().and_then(|saved| self.rig.own().restored(&saved));
        self.oracles.own_saved(
            host,
            machine.last.index,
            &machine.own,
            again.as_ref().map_err(Clone::clone),
        )?;
        let own = saved.unwrap_or_default();
        Ok(Machine { own, ..machine.clone() })
    }

    /// What was saved runs again.
    pub(super) fn thaw(&mut self, host: HostId, saved: &Own) -> Verdict {
        let restored = self.rig.own().restored(saved);
        let machine = &mut self.hosts[host.nth()].machine;
        self.oracles.own_restored(host, machine.last.index, restored.as_ref().map_err(Clone::clone))?;
        machine.own = restored.unwrap_or_default();
        Ok(())
    }

    /// A state machine that outlived its process is read from its disk.
    pub(super) fn reopen(&mut self, host: HostId) -> Verdict {
        let machine = &self.hosts[host.nth()].machine;
        if machine.last.index == LogIndex::ZERO || machine.own.live().is_none() {
            return Ok(());
        }
        let saved =
            machine.own.saved().map_err(|misstep| self.oracles.misstep(host, misstep, "is reopened"))?;
        self.thaw(host, &saved)
    }
}
