//! Operators who ask for other configurations, at any moment: also in the middle of elections, transfers and partitions.

use raft_core::{Membership, Server, Suffrage};

use super::{Checked, Event, Scheduler, Watch};
use crate::action::{Action, HostId, HostSet, Role, Wanted};
use crate::rig::Rig;

impl<R: Rig, W: Watch<R>> Scheduler<'_, R, W> {
    pub(super) fn plan_change(&mut self) {
        if let Some(every) = self.plan.faults.changes {
            let after = every.draw(&mut self.random).max(1);
            self.at(after, Event::Change);
        }
    }

    /// An operator asks the leader, or now and then anybody, for a change.
    pub(super) fn change(&mut self) -> Checked {
        if self.settling {
            return Ok(());
        }
        self.plan_change();
        let (any, wanders) = (self.any(), self.random.chance(100));
        let Some(host) = (if wanders { Some(any) } else { self.leader() }) else { return Ok(()) };
        let machine = self.world.host(host);
        let Some(node) = machine.node().filter(|_| !self.peaceful.contains(host)) else { return Ok(()) };
        let Some(current) = node.membership().cloned() else { return Ok(()) };
        let index = node.membership_index().raw();
        // While a change is under way most operators wait.
        let under_way = current.is_joint() || node.status().commit.raw() < index;
        if under_way && self.random.chance(768) {
            return Ok(());
        }
        // One who thinks that it is done lets somebody else lead, who may be about to lose the vote.
        if current.is_joint() && self.random.chance(512) {
            let (request, to) = (self.world.requests() + 1, Some(self.any()));
            return self.input(Action::Transfer { host, request, to }, host);
        }
        // Not everything can be asked for at any time.
        let drawn = (0..6).find_map(|_| self.draw_change(host, &current));
        let Some(wanted) = drawn else { return Ok(()) };
        // What the operator has looked at is what is in force, or what was once.
        let based_on = match self.random.below(16) {
            0 => Some(index.saturating_sub(1)),
            1..8 => Some(index),
            _ => None,
        };
        let request = self.world.requests() + 1;
        self.input(Action::Reconfigure { host, request, wanted, based_on }, host)
    }

    /// Whether this machine is still there, and will be.
    fn is_alive(&self, host: HostId) -> bool {
        !self.machines[host.nth()].lost
    }

    /// Something that does not leave the cluster to servers of which too many are gone for good. Who has lost its disk makes room,
    /// or comes in anew.
    fn draw_change(&mut self, leader: HostId, current: &Membership) -> Option<Wanted> {
        let inside = self.world.members(current);
        let alive: HostSet = self.all().filter(|host| self.is_alive(*host)).collect();
        let outside: Vec<HostId> = alive.iter().filter(|host| !inside.contains(*host)).collect();
        let of = |server: &Server| HostId::new(server.pair.id.raw().min(255) as u8);
        let role = |voter: bool| {
            let chosen = current.servers().iter().filter(move |s| (s.suffrage == Suffrage::Voter) == voter);
            chosen.filter_map(of).collect::<Vec<HostId>>()
        };
        let (voters, learners) = (role(true), role(false));
        let pick = |from: &[HostId], random: &mut crate::random::Random| {
            (!from.is_empty()).then(|| random.pick(from))
        };
        // Those that must not be counted on go first.
        let gone: Vec<HostId> = current
            .servers()
            .iter()
            .filter_map(of)
            .filter(|host| !inside.contains(*host) || !alive.contains(*host))
            .collect();
        let random = &mut self.random;
        let wanted = match random.below(12) {
            0 | 1 => Wanted::Add { server: pick(&outside, random)?, role: Role::Voter },
            2 | 3 => {
                let role = random.pick(&[Role::Learner, Role::Staging]);
                Wanted::Add { server: pick(&outside, random)?, role }
            }
            4 => Wanted::Promote(pick(&learners, random)?),
            5 => Wanted::Demote(pick(&voters, random)?),
            6 if gone.is_empty() => Wanted::Remove(leader),
            6 | 7 if !gone.is_empty() => Wanted::Remove(pick(&gone, random)?),
            7 | 8 => {
                let voter = pick(&voters, random)?;
                Wanted::Remove(random.pick(&[voter, leader]))
            }
            9 => {
                let all: Vec<HostId> = inside.iter().collect();
                Wanted::Readdress { server: pick(&all, random)?, street: random.between(1, 3) as u8 }
            }
            _ => {
                let mut all: Vec<HostId> = alive.iter().collect();
                random.shuffle(&mut all);
                let votes = random.between(1, all.len().min(5) as u64) as usize;
                let more = random.between(0, 1) as usize;
                let learners = all[votes..].iter().take(more).copied().collect();
                Wanted::Set { voters: all[..votes].iter().copied().collect(), learners }
            }
        };
        self.leaves_enough(current, wanted).then_some(wanted)
    }

    /// Whether most of the voters that it leads to are there.
    fn leaves_enough(&self, current: &Membership, wanted: Wanted) -> bool {
        let there = |host: HostId| self.is_alive(host);
        let mut voters: Vec<(HostId, bool)> = Vec::new();
        for server in current.servers().iter().filter(|server| server.suffrage == Suffrage::Voter) {
            if let Some(host) = HostId::new(server.pair.id.raw().min(255) as u8) {
                voters.push((host, there(host) && self.world.host(host).pair() == server.pair));
            }
        }
        match wanted {
            Wanted::Set { voters: set, .. } => voters = set.iter().map(|host| (host, there(host))).collect(),
            Wanted::Add { server, role } => {
                voters.retain(|(host, _)| *host != server);
                if role == Role::Voter {
                    voters.push((server, there(server)));
                }
            }
            Wanted::Remove(gone) | Wanted::Demote(gone) => voters.retain(|(host, _)| *host != gone),
            Wanted::Promote(host) => voters.push((host, there(host))),
            Wanted::Readdress { .. } => {}
        }
        voters.len() < 2 * voters.iter().filter(|(_, there)| *there).count()
    }

    /// Whether every configuration that is in force somewhere can do without the disk of this machine.
    pub(super) fn may_lose(&self, host: HostId) -> bool {
        let others: HostSet = self.all().filter(|other| *other != host && self.is_alive(*other)).collect();
        self.is_alive(host) && self.all().all(|at| self.world.is_quorum(self.world.configuration(at), others))
    }
}
