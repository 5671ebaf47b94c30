//! A state of a space: a number for each server, a number for each packet in flight, what has been used up, and what the rules remember.
//! Of all states that differ in names only there is one that the search looks at, the *canonical* one.

use super::book::Book;
use super::names::{Boots, InUse, Recount, SERVERS_MAX, Told, pair_at};
use super::space::{MESSAGES_MAX, Space};
use super::visited;

/// How much of the bounds is used up, four bits each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Used(pub(super) u32);

/// Something of which there is a bounded number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Of {
    Entries,
    Crashes,
    Drops,
    Duplicates,
    Heartbeats,
    Changes,
    Snapshots,
}

/// Requests have numbers, so that it matters how many there have been; and where nobody goes down any more servers have less to remember.
const TOLD: u32 =
    15 << (4 * Of::Entries as u32) | 15 << (4 * Of::Changes as u32) | 15 << (4 * Of::Crashes as u32);

impl Used {
    pub(super) const fn of(self, what: Of) -> u8 {
        (self.0 >> (4 * what as u32) & 15) as u8
    }

    /// What tells states apart, and what is a limit and nothing more.
    const fn told_and_limited(self, space: &Space) -> (u32, u32) {
        if space.is_thorough() { (self.0, 0) } else { (self.0 & TOLD, self.0 & !TOLD) }
    }

    /// How many requests there have been.
    pub(super) const fn requests(self) -> u8 {
        self.of(Of::Entries) + self.of(Of::Changes)
    }

    pub(super) const fn one_more(self, what: Of) -> Self {
        Used(self.0 + (1 << (4 * what as u32)))
    }
}

/// See the module. The order of packets has no meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct State {
    pub(super) servers: [u32; SERVERS_MAX],
    /// What was committed.
    pub(super) committed: u32,
    /// Who has led which term: for each the place of the server, from 1, in four bits.
    pub(super) leaders: u32,
    pub(super) used: Used,
    pub(super) count: u8,
    pub(super) packets: [u32; MESSAGES_MAX],
}

impl State {
    /// How many words a state of this space is packed into.
    pub(super) const fn width(space: &Space) -> usize {
        space.servers() + 3 + space.bounds().messages as usize
    }

    pub(super) fn pack(&self, space: &Space, words: &mut Vec<u32>) {
        words.extend_from_slice(&self.servers[..space.servers()]);
        words.extend([self.committed, self.leaders, self.used.0]);
        words.extend_from_slice(&self.packets[..usize::from(space.bounds().messages)]);
    }

    pub(super) fn unpack(space: &Space, words: &[u32]) -> Self {
        let (mut servers, mut packets) = ([0; SERVERS_MAX], [0; MESSAGES_MAX]);
        let (of_servers, rest) = words.split_at(space.servers());
        servers[..of_servers.len()].copy_from_slice(of_servers);
        let of_packets = &rest[3..3 + usize::from(space.bounds().messages)];
        packets[..of_packets.len()].copy_from_slice(of_packets);
        let count = of_packets.iter().take_while(|packet| **packet != 0).count() as u8;
        State { servers, committed: rest[0], leaders: rest[1], used: Used(rest[2]), count, packets }
    }

    /// Without the packet at this place.
    pub(super) fn remove(&mut self, nth: u8) {
        let (nth, count) = (usize::from(nth), usize::from(self.count));
        self.packets.copy_within(nth + 1..count, nth);
        self.packets[count - 1] = 0;
        self.count -= 1;
    }

    /// Takes away the packets to this place that have become useless there.
    pub(super) fn remove_useless(&mut self, book: &mut Book, place: usize) {
        for nth in (0..self.count).rev() {
            let packet = self.packets[usize::from(nth)];
            let to = usize::from(book.parcel_facts(packet).to);
            if to == place && !book.is_of_use(packet, self.servers[place]) {
                self.remove(nth);
            }
        }
    }

    /// A snapshot has arrived, or was given up, and is no longer under way. Its sender is there, or the snapshot would not have been: what it is
    /// told; 0: that was no snapshot.
    pub(super) fn tell(&mut self, book: &mut Book, parcel: u32, arrived: bool) -> u32 {
        let Some(report) = book.report(parcel, arrived) else { return 0 };
        // There is room: the snapshot was there.
        self.packets[usize::from(self.count)] = report;
        self.count += 1;
        report
    }

    /// Takes away the snapshots that the server at this place sends: it goes down.
    pub(super) fn abort(&mut self, book: &Book, place: u8) {
        for nth in (0..self.count).rev() {
            let facts = book.parcel_facts(self.packets[usize::from(nth)]);
            if facts.is_snapshot && facts.from == place {
                self.remove(nth);
            }
        }
    }

    pub(super) fn packets(&self) -> &[u32] {
        &self.packets[..usize::from(self.count)]
    }

    /// The places from which or to which something is under way, as bits.
    pub(super) fn busy(&self, book: &Book) -> u8 {
        let facts = self.packets().iter().map(|packet| book.parcel_facts(*packet));
        facts.fold(0, |busy, facts| busy | u8::from(!facts.is_report) << facts.from | 1 << facts.to)
    }

    /// Who has led a term: its place from 1, or 0.
    pub(super) const fn leader_of(&self, term: u8) -> u8 {
        (self.leaders >> (4 * (term as u32 - 1)) & 15) as u8
    }

    pub(super) const fn with_leader(&mut self, term: u8, place: usize) {
        self.leaders |= (place as u32 + 1) << (4 * (term as u32 - 1));
    }

    /// 128 bits that tell this state from others, 96 of them a hash. How much of limits is used up stands in them as it is, in
    /// [`LIMITED`](visited::LIMITED): what is possible in a state is possible in one with the same other bits that has used up less.
    pub(super) fn fingerprint(&self, space: &Space) -> u128 {
        let (told, limited) = self.used.told_and_limited(space);
        let mut bytes = [0_u8; 4 * (SERVERS_MAX + 3 + MESSAGES_MAX)];
        let servers = &self.servers[..space.servers()];
        let words = servers.iter().chain([&self.committed, &self.leaders, &told]).chain(self.packets());
        let mut length = 0;
        for word in words {
            bytes[length..length + 4].copy_from_slice(&word.to_le_bytes());
            length += 4;
        }
        let hash = xxhash_rust::xxh3::xxh3_128(&bytes[..length]);
        hash & !visited::LIMITED | u128::from(limited) << visited::LIMITED.trailing_zeros()
    }

    /// Forgets what nothing depends on any more.
    fn forget(&mut self, book: &mut Book) {
        let servers = &mut self.servers[..book.space.servers()];
        let bounds = book.space.bounds();
        if bounds.crashes != 0 && self.used.of(Of::Crashes) == bounds.crashes {
            for server in &mut *servers {
                *server = book.server_at_ease(*server);
            }
        }
        self.leaders &= u32::MAX << (4 * u32::from(self.terms_over(book)));
    }

    /// Up to which term all are over on all disks: nobody ever comes to lead one of these.
    pub(super) fn terms_over(&self, book: &Book) -> u8 {
        let servers = self.servers[..book.space.servers()].iter();
        let least = servers.map(|server| book.server_facts(*server).durable_term).min().unwrap_or(0);
        if book.space.has_good_disks() { least.saturating_sub(1).min(7) } else { 0 }
    }

    /// Counts anew the boots of all servers: what is told of earlier ones is compared with later ones, and nothing else.
    fn recount_boots(&mut self, book: &mut Book) {
        if self.used.of(Of::Crashes) == 0 {
            return;
        }
        for place in 0..book.space.servers() {
            let mut in_use = InUse::NONE;
            for server in &self.servers[..book.space.servers()] {
                in_use = in_use.and(book.server_facts(*server).boots[place]);
            }
            for packet in self.packets() {
                in_use = in_use.and(book.parcel_facts(*packet).boots_of(place));
            }
            if in_use.is_counted() {
                continue;
            }
            let names = Boots { of: pair_at(place), in_use };
            for server in &mut self.servers[..book.space.servers()] {
                if book.server_facts(*server).boots[place] != InUse::NONE {
                    *server = book.rebooted_server(*server, names);
                }
            }
            for packet in &mut self.packets[..usize::from(self.count)] {
                if book.parcel_facts(*packet).boots_of(place) != InUse::NONE {
                    *packet = book.rebooted_parcel(*packet, names);
                }
            }
        }
    }

    /// Counts anew what servers share with packets.
    fn recount(&mut self, book: &mut Book) {
        for place in 0..book.space.servers() {
            if let Some((names, stale)) = self.names_of(book, place) {
                self.recount_at(book, place, names, stale);
            }
        }
    }

    /// How what the server at this place shares with packets has to be called, for itself and for packets whose rounds nobody looks at any
    /// more; `None` if it is called so already.
    fn names_of(&self, book: &Book, place: usize) -> Option<(Recount, Recount)> {
        let facts = book.server_facts(self.servers[place]);
        let (mut attempts, mut sends) = (facts.shared.attempts, facts.shared.sends);
        let mut told = [Told::NOTHING; SERVERS_MAX];
        let mut is_stale = false;
        for packet in self.packets() {
            let packet = book.parcel_facts(*packet);
            let (borne, other) = match (usize::from(packet.from), usize::from(packet.to)) {
                (from, to) if from == place => (packet.of_sender, to),
                (from, to) if to == place => (packet.of_receiver, from),
                _ => continue,
            };
            attempts = attempts.and(borne.attempts);
            sends = sends.and(borne.sends);
            if facts.has_rounds(packet.term, borne.boot) {
                told[other] = told[other].and(borne.rounds);
            } else {
                is_stale |= !borne.rounds.is_nothing();
            }
        }
        let is_counted = attempts.is_counted() && sends.is_counted();
        if !is_stale && is_counted && facts.shared.is_counted(&told) {
            return None;
        }
        let of = pair_at(place);
        let rounds = (facts.shared.latest != 0).then_some((facts.shared.latest, told));
        let names = Recount { of, rounds, attempts, sends };
        Some((names, Recount { rounds: None, ..names }))
    }

    fn recount_at(&mut self, book: &mut Book, place: usize, names: Recount, stale: Recount) {
        let server = self.servers[place];
        let facts = *book.server_facts(server);
        self.servers[place] = book.recounted_server(server, names);
        for packet in &mut self.packets[..usize::from(self.count)] {
            let of_packet = book.parcel_facts(*packet);
            let borne = match (usize::from(of_packet.from), usize::from(of_packet.to)) {
                (from, _) if from == place => of_packet.of_sender,
                (_, to) if to == place => of_packet.of_receiver,
                _ => continue,
            };
            let names = if facts.has_rounds(of_packet.term, borne.boot) { names } else { stale };
            *packet = book.recounted_parcel(*packet, names);
        }
    }

    /// The same state with servers exchanged in the n-th way.
    pub(super) fn exchanged(&self, book: &mut Book, nth: usize) -> State {
        let exchange = book.exchanges[nth];
        let mut other = *self;
        for place in 0..book.space.servers() {
            other.servers[exchange.of(place)] = book.exchanged_server(self.servers[place], nth);
        }
        for packet in &mut other.packets[..usize::from(self.count)] {
            *packet = book.exchanged_parcel(*packet, nth);
        }
        other.packets[..usize::from(self.count)].sort_unstable();
        other.committed = book.exchanged_log(self.committed, nth);
        other.leaders = 0;
        for term in 1..=book.space.bounds().terms {
            if let Some(place) = usize::from(self.leader_of(term)).checked_sub(1) {
                other.with_leader(term, exchange.of(place));
            }
        }
        other
    }

    /// The canonical state, and the exchange that leads there; `follow` is told what each packet becomes before servers are exchanged. Servers
    /// that can not be the same are ordered by how they look; only where they look alike all ways have to be tried.
    pub(super) fn canonical(
        mut self,
        book: &mut Book,
        symmetry: bool,
        follow: &mut impl Follow,
    ) -> (State, usize) {
        let before = self.packets;
        if !book.space.is_thorough() {
            self.forget(book);
            self.recount_boots(book);
        }
        self.recount(book);
        follow.packets(&before[..usize::from(self.count)], self.packets());
        self.packets[..usize::from(self.count)].sort_unstable();
        if !symmetry {
            return (self, 0);
        }
        let servers = book.space.servers();
        let mut looks = [0; SERVERS_MAX];
        for (look, server) in looks.iter_mut().zip(&self.servers[..servers]) {
            *look = book.server_facts(*server).look;
        }
        let mut least: Option<(State, usize)> = None;
        for nth in 0..book.exchanges.len() {
            let exchange = book.exchanges[nth];
            let mut ordered = [0; SERVERS_MAX];
            for (place, look) in looks[..servers].iter().enumerate() {
                ordered[exchange.of(place)] = *look;
            }
            if !ordered[..servers].is_sorted() {
                continue;
            }
            let other = if nth == 0 { self } else { self.exchanged(book, nth) };
            if least.is_none_or(|(least, _)| other.key() < least.key()) {
                least = Some((other, nth));
            }
        }
        least.unwrap_or((self, 0))
    }

    fn key(&self) -> (&[u32], &[u32], u32, u32) {
        (&self.servers, self.packets(), self.committed, self.leaders)
    }
}

/// Follows packets while a state becomes canonical.
pub(super) trait Follow {
    /// Packets have other numbers now, in the same order.
    fn packets(&mut self, before: &[u32], after: &[u32]);
}

impl Follow for () {
    fn packets(&mut self, _: &[u32], _: &[u32]) {}
}
