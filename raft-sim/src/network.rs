//! The simulated network: packets in flight, each with its copies, and ways that are cut. It decides nothing; what arrives,
//! is lost or doubled is a scheduler's choice.

use std::collections::VecDeque;

use raft_core::Packet;

use crate::action::{HostId, HostSet, Link, PacketName};

#[derive(Clone, Debug)]
struct Flight {
    // None once no copy is left.
    packet: Option<Packet>,
    copies: u32,
}

/// One way: its packets in flight by number, with gaps where one has arrived before an older one.
#[derive(Clone, Debug, Default)]
struct Lane {
    first: u32,
    flights: VecDeque<Flight>,
    cut: bool,
}

/// All that is between the machines.
#[derive(Clone, Debug)]
pub struct Network {
    hosts: usize,
    lanes: Vec<Lane>,
    in_flight: u64,
}

impl Network {
    /// Between so many machines, with all ways open.
    pub fn new(hosts: u8) -> Self {
        let hosts = usize::from(hosts);
        Network { hosts, lanes: vec![Lane::default(); hosts * hosts], in_flight: 0 }
    }

    /// How many packets are in flight, copies not counted.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// How many packets are in flight on this way, copies not counted.
    pub fn in_flight_on(&self, link: Link) -> u32 {
        let flying = |flight: &&Flight| flight.packet.is_some();
        self.lane(link).map_or(0, |lane| lane.flights.iter().filter(flying).count() as u32)
    }

    /// The number of the newest packet that was sent on this way; 0 before the first.
    pub fn newest_on(&self, link: Link) -> u32 {
        self.lane(link).map_or(0, |lane| lane.first + lane.flights.len() as u32)
    }

    /// Whether packets get through.
    pub fn is_open(&self, link: Link) -> bool {
        self.lane(link).is_some_and(|lane| !lane.cut)
    }

    /// Puts a packet on its way and names it.
    pub(crate) fn send(&mut self, link: Link, packet: Packet) -> Option<PacketName> {
        let lane = self.lane_mut(link)?;
        lane.flights.push_back(Flight { packet: Some(packet), copies: 1 });
        let number = lane.first + lane.flights.len() as u32;
        self.in_flight += 1;
        Some(PacketName { link, number })
    }

    /// The packet of this name, while a copy of it is in flight.
    pub fn packet(&self, name: PacketName) -> Option<&Packet> {
        let lane = self.lane(name.link)?;
        lane.flights.get(lane.place(name)?)?.packet.as_ref()
    }

    /// Takes one copy out.
    pub(crate) fn take(&mut self, name: PacketName) -> Option<Packet> {
        let lane = self.lane_mut(name.link)?;
        let place = lane.place(name)?;
        let flight = lane.flights.get_mut(place)?;
        if 1 < flight.copies {
            flight.copies -= 1;
            return flight.packet.clone();
        }
        let packet = flight.packet.take()?;
        flight.copies = 0;
        while lane.flights.front().is_some_and(|flight| flight.packet.is_none()) {
            lane.flights.pop_front();
            lane.first += 1;
        }
        self.in_flight -= 1;
        Some(packet)
    }

    /// Makes one copy more; false where none is in flight.
    pub(crate) fn duplicate(&mut self, name: PacketName) -> bool {
        let flight = self.lane_mut(name.link).and_then(|lane| {
            let place = lane.place(name)?;
            lane.flights.get_mut(place)
        });
        match flight {
            Some(flight) if flight.packet.is_some() => {
                flight.copies += 1;
                true
            }
            _ => false,
        }
    }

    /// Cuts a way or opens it; false where that changes nothing.
    pub(crate) fn set_cut(&mut self, link: Link, cut: bool) -> bool {
        match self.lane_mut(link) {
            Some(lane) if lane.cut != cut => {
                lane.cut = cut;
                true
            }
            _ => false,
        }
    }

    /// Cuts all ways between these and the others, in addition to what is cut already.
    pub(crate) fn partition(&mut self, side: HostSet) -> bool {
        let mut changed = false;
        for from in (0..self.hosts).map(HostId::at) {
            for to in (0..self.hosts).map(HostId::at) {
                if side.contains(from) != side.contains(to) {
                    changed |= self.set_cut(Link { from, to }, true);
                }
            }
        }
        changed
    }

    /// Opens all ways.
    pub(crate) fn heal(&mut self) -> bool {
        let cut = self.lanes.iter().any(|lane| lane.cut);
        for lane in &mut self.lanes {
            lane.cut = false;
        }
        cut
    }

    /// The names of all packets in flight, in order.
    pub fn names(&self) -> impl Iterator<Item = PacketName> {
        self.lanes.iter().enumerate().flat_map(|(nth, lane)| {
            let link = Link { from: HostId::at(nth / self.hosts), to: HostId::at(nth % self.hosts) };
            lane.flying(link).map(|(name, _)| name)
        })
    }

    /// What is in flight on one way, the oldest first.
    pub fn flying(&self, link: Link) -> impl Iterator<Item = (PacketName, &Packet)> {
        self.lane(link).into_iter().flat_map(move |lane| lane.flying(link))
    }

    /// The ways that are cut.
    pub fn cuts(&self) -> impl Iterator<Item = Link> {
        let cut = self.lanes.iter().enumerate().filter(|(_, lane)| lane.cut);
        cut.map(|(nth, _)| Link { from: HostId::at(nth / self.hosts), to: HostId::at(nth % self.hosts) })
    }

    fn lane(&self, link: Link) -> Option<&Lane> {
        let inside = link.from.nth() < self.hosts && link.to.nth() < self.hosts;
        if inside { self.lanes.get(link.from.nth() * self.hosts + link.to.nth()) } else { None }
    }

    fn lane_mut(&mut self, link: Link) -> Option<&mut Lane> {
        let inside = link.from.nth() < self.hosts && link.to.nth() < self.hosts;
        if inside { self.lanes.get_mut(link.from.nth() * self.hosts + link.to.nth()) } else { None }
    }
}

impl Lane {
    fn flying(&self, link: Link) -> impl Iterator<Item = (PacketName, &Packet)> {
        let flights = self.flights.iter().enumerate();
        flights.filter_map(move |(place, flight)| {
            let number = self.first + place as u32 + 1;
            Some((PacketName { link, number }, flight.packet.as_ref()?))
        })
    }

    fn place(&self, name: PacketName) -> Option<usize> {
        Some(name.number.checked_sub(self.first + 1)? as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{Body, Boot, ClusterId, LogIndex, Term};

    fn packet(commit: u64) -> Packet {
        let pair = |nth| crate::disk::pair_of(HostId::at(nth)).unwrap();
        let body = Body::Commit { commit: LogIndex::new(commit) };
        let (from, to) = (pair(0), pair(1));
        Packet {
            cluster: ClusterId::new(1),
            from,
            boot: Boot::new(1),
            to,
            term: Term::new(1),
            body,
            versions: raft_core::Versions::OURS,
        }
    }

    /// Goal: every copy comes out once, in any order, under a name that stays. Method: three packets taken crosswise.
    #[test]
    fn copies_come_out_once() {
        let link = Link { from: HostId::at(0), to: HostId::at(1) };
        let mut network = Network::new(2);
        let names: Vec<_> = (1..=3).map(|nth| network.send(link, packet(nth)).unwrap()).collect();
        assert!(network.duplicate(names[1]));
        assert_eq!(network.take(names[2]), Some(packet(3)));
        assert_eq!(network.take(names[0]), Some(packet(1)));
        assert_eq!(network.take(names[0]), None);
        assert_eq!(network.names().collect::<Vec<_>>(), [names[1]]);
        assert_eq!(network.take(names[1]), Some(packet(2)));
        assert_eq!(network.take(names[1]), Some(packet(2)));
        assert_eq!(network.take(names[1]), None);
        assert!(!network.duplicate(names[1]));
        assert_eq!(network.in_flight(), 0);
        assert_eq!(network.send(link, packet(4)).unwrap().number, 4);
    }

    /// Goal: a partition cuts both directions between its sides and nothing else. Method: three machines, all ways.
    #[test]
    fn partition_cuts_between_sides() {
        let mut network = Network::new(3);
        assert!(network.partition(HostSet::EMPTY.with(HostId::at(1))));
        for from in 0..3 {
            for to in 0..3 {
                let link = Link { from: HostId::at(from), to: HostId::at(to) };
                assert_eq!(network.is_open(link), (from == 1) == (to == 1));
            }
        }
        assert_eq!(network.cuts().count(), 4);
        assert!(network.heal());
        assert!(!network.heal());
    }
}
