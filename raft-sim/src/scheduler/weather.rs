//! The weather in the network: bursts of loss, packets held back, kinds of packets that do not get through, full queues.

use raft_core::Body;

use super::{Scheduler, Watch};
use crate::action::{HostId, Link, PacketName};
use crate::rig::Rig;

/// What is wrong on which way, and until when.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    hosts: usize,
    bursts: Vec<u64>,
    holds: Vec<u64>,
    mute: Option<Mute>,
}

/// Kinds of packets that do not get through, to or from one machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mute {
    pub(super) host: HostId,
    pub(super) outward: bool,
    /// As bits, by [`kind`].
    pub(super) kinds: u64,
    pub(super) until: u64,
}

impl Weather {
    pub(super) fn new(hosts: usize) -> Self {
        Weather { hosts, bursts: vec![0; hosts * hosts], holds: vec![0; hosts * hosts], mute: None }
    }

    fn place(&self, link: Link) -> usize {
        link.from.nth() * self.hosts + link.to.nth()
    }

    pub(super) fn burst(&mut self, link: Link, until: u64) {
        let place = self.place(link);
        self.bursts[place] = until;
    }

    pub(super) fn hold(&mut self, link: Link, until: u64) {
        let place = self.place(link);
        self.holds[place] = until;
    }

    pub(super) fn mute(&mut self, mute: Mute) {
        self.mute = Some(mute);
    }

    pub(super) fn held_until(&self, link: Link, now: u64) -> Option<u64> {
        Some(self.holds[self.place(link)]).filter(|until| now < *until)
    }

    fn bursts(&self, link: Link, now: u64) -> bool {
        now < self.bursts[self.place(link)]
    }

    fn mutes(&self, link: Link, body: &Body, now: u64) -> bool {
        self.mute.is_some_and(|mute| {
            let end = if mute.outward { link.from } else { link.to };
            now < mute.until && mute.host == end && mute.kinds >> kind(body) & 1 == 1
        })
    }
}

/// How many kinds there are.
pub(super) const KINDS: u64 = 17;

fn kind(body: &Body) -> u64 {
    match body {
        Body::RequestVote { .. } => 0,
        Body::Vote { .. } => 1,
        Body::RequestPreVote { .. } => 2,
        Body::PreVote { .. } => 3,
        Body::TimeoutNow => 4,
        Body::Append { .. } => 5,
        Body::Heartbeat { .. } => 6,
        Body::Commit { .. } => 7,
        Body::Acknowledge { .. } => 8,
        Body::Reject { .. } => 9,
        Body::NewerTerm => 10,
        Body::InstallSnapshot { .. } => 12,
        Body::AskReadIndex { .. } => 13,
        Body::ReadIndex { .. } => 14,
        Body::Propose { .. } => 15,
        Body::Proposed { .. } => 16,
        // And what tells a server that it was removed.
        _ => 11,
    }
}

impl<R: Rig, W: Watch<R>> Scheduler<'_, R, W> {
    /// Whether a packet that was just sent will be lost.
    pub(super) fn weather_takes(&mut self, packet: PacketName) -> bool {
        let link = packet.link;
        if self.is_fair(link) {
            return false;
        }
        let network = self.world.network();
        let full = self.plan.faults.queue_max.is_some_and(|most| most < network.in_flight_on(link));
        let muted =
            network.packet(packet).is_some_and(|packet| self.weather.mutes(link, &packet.body, self.now));
        let bursts = self.weather.bursts(link, self.now) && self.random.chance(900);
        full || muted || bursts
    }
}
