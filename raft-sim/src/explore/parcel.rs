//! What is under way: packets that travel together, a snapshot, or the news of what has become of one. To whom it is of use, and which numbers it
//! shares with servers.
//!
//! A snapshot is under way from when its leader begins to send it until it is handed to its receiver, whole, or given up; then what became of it
//! is under way back to the leader's own driver, which nothing can lose. With the leader both are gone.

use raft_core::{Body, Boot, LogIndex, Message, Packet, Pair, SendNumber};

use super::names::{Boots, InUse, Look, Recount, Told, place_of};

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Parcel {
    /// Packets of one step to one server, at least one.
    Packets(Vec<Packet>),
    /// A snapshot, by the packet that tells of it.
    Snapshot(SendNumber, Packet),
    /// What has become of a snapshot, for this boot of the server that has sent it.
    Report { to: Pair, boot: Boot, about: Pair, number: SendNumber, arrived: bool },
}

/// What the search wants to know of a parcel without looking into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParcelFacts {
    pub(super) from: u8,
    pub(super) to: u8,
    /// Which numbers of its sender it bears, and which of its receiver.
    pub(super) of_sender: Borne,
    pub(super) of_receiver: Borne,
    pub(super) term: u8,
    pub(super) is_snapshot: bool,
    pub(super) is_report: bool,
    /// Whether it reports that a snapshot has arrived.
    pub(super) has_arrived: bool,
    /// To whom it is of use.
    pub(super) for_whom: For,
    /// The same for a parcel with other names.
    pub(super) look: u32,
}

/// Which numbers of a server a parcel bears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Borne {
    pub(super) rounds: Told,
    pub(super) boots: InUse,
    /// The boot whose rounds these are.
    pub(super) boot: u8,
    pub(super) attempts: InUse,
    pub(super) sends: InUse,
}

/// To whom a parcel is of use. To all others it says nothing, and never will.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum For {
    /// To anybody, as far as is known.
    Anybody,
    /// To who is in an earlier term.
    EarlierTerms,
    /// And to the candidate of its term, in this boot.
    Candidate(u8),
    /// And to the leader of its term, in this boot.
    Leader(u8),
    /// To its receiver in this boot, and to nobody else.
    Boot(u8),
}

impl ParcelFacts {
    /// Of which boots of the server at this place it speaks.
    pub(super) fn boots_of(&self, place: usize) -> InUse {
        match (usize::from(self.from), usize::from(self.to)) {
            (from, _) if from == place => self.of_sender.boots,
            (_, to) if to == place => self.of_receiver.boots,
            _ => InUse::NONE,
        }
    }

    /// Whether these are packets, which can arrive twice.
    pub(super) const fn is_packets(&self) -> bool {
        !self.is_snapshot && !self.is_report
    }
}

impl Parcel {
    fn ends(&self) -> (Pair, Pair) {
        match self {
            Parcel::Packets(packets) => (packets[0].from, packets[0].to),
            Parcel::Snapshot(_, packet) => (packet.from, packet.to),
            Parcel::Report { to, about, .. } => (*about, *to),
        }
    }

    /// What its receiver is told.
    pub(super) fn messages(&self) -> Vec<Message> {
        match self {
            Parcel::Packets(packets) => packets.iter().cloned().map(Message::Packet).collect(),
            Parcel::Snapshot(_, packet) => vec![Message::Packet(packet.clone())],
            Parcel::Report { number, arrived, .. } => {
                vec![Message::SnapshotSent { number: *number, arrived: *arrived }]
            }
        }
    }

    /// Whether a leader hands over by it.
    pub(super) fn hands_over(&self) -> bool {
        self.packets().iter().any(|packet| packet.body == Body::TimeoutNow)
    }

    /// Where a snapshot ends.
    pub(super) fn snapshot_end(&self) -> Option<LogIndex> {
        match self {
            Parcel::Snapshot(_, Packet { body: Body::InstallSnapshot { snapshot }, .. }) => {
                Some(snapshot.last.index)
            }
            _ => None,
        }
    }

    /// What the sender of a snapshot is told when it has arrived, or was given up.
    pub(super) fn report(&self, arrived: bool) -> Option<Parcel> {
        let Parcel::Snapshot(number, packet) = self else { return None };
        Some(Parcel::Report {
            to: packet.from,
            boot: packet.boot,
            about: packet.to,
            number: *number,
            arrived,
        })
    }

    /// With other names. What is counted is counted for the sender of packets and for who is told of a snapshot.
    pub(super) fn renamed(self, names: &mut impl Names) -> Parcel {
        match self {
            Parcel::Packets(packets) => {
                Parcel::Packets(packets.into_iter().map(|packet| packet.renamed(names)).collect())
            }
            Parcel::Snapshot(number, packet) => {
                let number = names.send_of(packet.from, number);
                Parcel::Snapshot(number, packet.renamed(names))
            }
            Parcel::Report { to, boot, about, number, arrived } => {
                let (number, boot) = (names.send_of(to, number), names.boot(to, boot));
                let (to, about) = (names.pair(to), names.pair(about));
                Parcel::Report { to, boot, about, number, arrived }
            }
        }
    }

    pub(super) fn facts(&self) -> ParcelFacts {
        let (from, to) = self.ends();
        let borne = |of| {
            let mut look = Look::new(of);
            drop(self.clone().renamed(&mut &mut look));
            let boot = match self {
                Parcel::Packets(packets) => packets.iter().find_map(|packet| boot_of(packet, of)),
                _ => None,
            };
            let Look { told: rounds, shared, boots, .. } = look;
            let boots = boots[place_of(of)];
            Borne { rounds, boots, boot: boot.unwrap_or(0), attempts: shared.attempts, sends: shared.sends }
        };
        ParcelFacts {
            from: place_of(from) as u8,
            to: place_of(to) as u8,
            of_sender: borne(from),
            of_receiver: borne(to),
            term: self.packets().first().map_or(0, |packet| packet.term.raw().min(255) as u8),
            is_snapshot: matches!(self, Parcel::Snapshot(..)),
            is_report: matches!(self, Parcel::Report { .. }),
            has_arrived: matches!(self, Parcel::Report { arrived: true, .. }),
            for_whom: self.for_whom(),
            look: self.look(),
        }
    }

    /// The packets in it.
    pub(super) fn packets(&self) -> &[Packet] {
        match self {
            Parcel::Packets(packets) => packets,
            Parcel::Snapshot(_, packet) => std::slice::from_ref(packet),
            Parcel::Report { .. } => &[],
        }
    }

    /// Answers of an older term are dropped, and those of this term are for who asked.
    fn for_whom(&self) -> For {
        if let Parcel::Report { boot, .. } = self {
            return For::Boot(boot.raw() as u8);
        }
        let one = |packet: &Packet| match packet.body {
            Body::Vote { boot, granted: true } => For::Candidate(boot.raw() as u8),
            Body::Vote { granted: false, .. } | Body::NewerTerm => For::EarlierTerms,
            Body::Acknowledge { boot, .. } | Body::Reject { boot, .. } => For::Leader(boot.raw() as u8),
            _ => For::Anybody,
        };
        let packets = self.packets();
        let first = one(&packets[0]);
        let same = packets.iter().all(|packet| one(packet) == first && packet.term == packets[0].term);
        if same { first } else { For::Anybody }
    }

    fn look(&self) -> u32 {
        let packets = self.packets();
        let mut looks = vec![packets.len() as u64];
        looks.extend(packets.iter().flat_map(|packet| [packet.term.raw(), kind_of(packet)]));
        if let Parcel::Report { arrived, .. } = self {
            looks.push(u64::from(*arrived));
        }
        super::numbered::look_of(&looks)
    }
}

/// Names of what servers share with parcels: those of snapshots that are under way, too.
pub(super) trait Names: raft_core::Renaming {
    /// A snapshot that the server whose old name is `of` sends.
    fn send_of(&mut self, of: Pair, number: SendNumber) -> SendNumber;
}

impl Names for &mut Look {
    fn send_of(&mut self, of: Pair, number: SendNumber) -> SendNumber {
        if of == self.of { raft_core::Renaming::send(self, number) } else { number }
    }
}

impl Names for Recount {
    fn send_of(&mut self, of: Pair, number: SendNumber) -> SendNumber {
        if of == self.of { raft_core::Renaming::send(self, number) } else { number }
    }
}

impl Names for Boots {
    fn send_of(&mut self, _: Pair, number: SendNumber) -> SendNumber {
        number
    }
}

impl Names for super::names::Exchange {
    fn send_of(&mut self, _: Pair, number: SendNumber) -> SendNumber {
        number
    }
}

/// The boot of this server whose round a packet speaks of.
fn boot_of(packet: &Packet, of: Pair) -> Option<u8> {
    match packet.body {
        Body::Heartbeat { .. } if packet.from == of => Some(packet.boot.raw() as u8),
        Body::Acknowledge { boot, round: Some(_), .. } if packet.to == of => Some(boot.raw() as u8),
        _ => None,
    }
}

/// A number for each kind of packet, and for what of it has nothing to do with names.
fn kind_of(packet: &Packet) -> u64 {
    match &packet.body {
        Body::RequestVote { last, .. } => 1 << 56 | last.term.raw() << 28 | last.index.raw(),
        Body::Vote { granted, .. } => 2 << 56 | u64::from(*granted),
        Body::RequestPreVote { last, .. } => 3 << 56 | last.term.raw() << 28 | last.index.raw(),
        Body::PreVote { granted, .. } => 4 << 56 | u64::from(*granted),
        Body::Append { previous, commit, .. } => 5 << 56 | previous.index.raw() << 28 | commit.raw(),
        Body::Heartbeat { commit, .. } => 6 << 56 | commit.raw(),
        Body::Commit { commit } => 7 << 56 | commit.raw(),
        Body::Acknowledge { held, durable, .. } => 8 << 56 | held.raw() << 28 | durable.raw(),
        Body::Reject { previous, hint, .. } => 9 << 56 | previous.index.raw() << 28 | hint.index.raw(),
        Body::NewerTerm => 10 << 56,
        Body::InstallSnapshot { snapshot } => {
            11 << 56 | snapshot.last.term.raw() << 28 | snapshot.last.index.raw()
        }
        _ => 12 << 56,
    }
}
