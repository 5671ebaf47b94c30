//! Ways between machines that are cut: which, and in which shape.

use raft_core::Body;

use super::{Checked, Event, Scheduler, Watch};
use crate::action::{Action, HostId, HostSet, Link, PacketName};
use crate::rig::Rig;

impl<R: Rig, W: Watch<R>> Scheduler<'_, R, W> {
    pub(super) fn victim(&mut self) -> HostId {
        let any = self.any();
        let aims = self.random.chance(self.profile.aim);
        if aims { self.leader().unwrap_or(any) } else { any }
    }

    pub(super) fn partition(&mut self) -> Checked {
        if self.settling {
            return Ok(());
        }
        let after = self.profile.partition.draw(&mut self.random).max(1);
        self.at(after, Event::Partition);
        let lasts = self.profile.heal.draw(&mut self.random);
        self.at(lasts, Event::Heal);
        let victim = self.victim();
        if self.random.chance(self.plan.faults.shapes) {
            return self.rarer_partition(victim);
        }
        if self.random.chance(self.plan.faults.flap) {
            return self.flap(victim, 6);
        }
        match self.random.below(4) {
            0 => self.split(&[HostSet::EMPTY.with(victim)]),
            1 => {
                let hosts = self.shuffled();
                let half = hosts[..hosts.len() / 2].iter().copied().collect();
                self.split(&[half])
            }
            way => self.cut_one_way(victim, way == 2),
        }
    }

    fn rarer_partition(&mut self, victim: HostId) -> Checked {
        let hosts = self.shuffled();
        match self.random.below(3) {
            // Three groups.
            0 => {
                let third = hosts.len().div_ceil(3);
                let groups: Vec<HostSet> =
                    hosts.chunks(third).map(|group| group.iter().copied().collect()).collect();
                self.split(&groups)
            }
            // Two halves that do not see each other, and one machine that both see.
            1 => {
                let others: Vec<HostId> = hosts.into_iter().filter(|host| *host != victim).collect();
                let (one, two) = others.split_at(others.len() / 2);
                self.cut_ways(|link| one.contains(&link.from) && two.contains(&link.to))?;
                self.cut_ways(|link| two.contains(&link.from) && one.contains(&link.to))
            }
            // Machines in a ring: each sees its nearest ones, just a majority with itself, and no two see the same.
            _ => {
                let count = hosts.len();
                let reach = (count / 2).div_ceil(2);
                let place = |host: HostId| hosts.iter().position(|other| *other == host).unwrap_or(0);
                self.cut_ways(|link| {
                    let ahead = (place(link.to) + count - place(link.from)) % count;
                    reach < ahead && ahead < count - reach
                })
            }
        }
    }

    /// A machine is cut off and comes back, several times.
    pub(super) fn flap(&mut self, victim: HostId, left: u8) -> Checked {
        if self.settling || left == 0 {
            return Ok(());
        }
        let lasts = self.profile.heal.draw(&mut self.random) / 4 + 1;
        self.at(lasts, Event::Flap(victim, left - 1));
        if left.is_multiple_of(2) { self.split(&[HostSet::EMPTY.with(victim)]) } else { self.heal() }
    }

    /// Whether this packet is the word of a leader that hands over, and that leader is not to hear how it ends.
    pub(super) fn hands_over(&mut self, packet: PacketName) -> bool {
        let chance = self.plan.faults.hunt;
        if chance == 0 || self.settling {
            return false;
        }
        let told = self.world.network().packet(packet).is_some_and(|packet| packet.body == Body::TimeoutNow);
        told && self.random.chance(chance)
    }

    /// A machine is cut off for a while.
    pub(super) fn strand(&mut self, host: HostId) -> Checked {
        let lasts = self.profile.heal.draw(&mut self.random);
        self.at(lasts, Event::Heal);
        self.split(&[HostSet::EMPTY.with(host)])
    }

    pub(super) fn heal(&mut self) -> Checked {
        if self.settling {
            return Ok(());
        }
        self.act(Action::Heal).map(|_| ())
    }

    fn shuffled(&mut self) -> Vec<HostId> {
        let mut hosts: Vec<HostId> = self.all().collect();
        self.random.shuffle(&mut hosts);
        hosts
    }

    /// Nothing gets through between these groups, nor between them and the others.
    fn split(&mut self, groups: &[HostSet]) -> Checked {
        if let [side] = groups
            && self.peaceful.is_empty()
        {
            return self.act(Action::Partition { side: *side }).map(|_| ());
        }
        let group = |host: HostId| groups.iter().position(|group| group.contains(host));
        self.cut_ways(|link| group(link.from) != group(link.to))
    }

    fn cut_one_way(&mut self, victim: HostId, outward: bool) -> Checked {
        let others: HostSet = self.all().filter(|_| self.random.chance(768)).collect();
        self.cut_ways(|link| {
            let (end, other) = if outward { (link.from, link.to) } else { (link.to, link.from) };
            end == victim && others.contains(other)
        })
    }

    /// Cuts all of these ways that are not left in peace.
    pub(super) fn cut_ways(&mut self, cut: impl Fn(Link) -> bool) -> Checked {
        for from in self.all() {
            for to in self.all() {
                let link = Link { from, to };
                if from != to && cut(link) && !self.in_peace(link) {
                    self.act(Action::Cut { link })?;
                }
            }
        }
        Ok(())
    }
}
