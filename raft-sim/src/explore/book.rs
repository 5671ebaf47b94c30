//! The book of everything that has been met: servers, packets and logs get small numbers, and what an input makes of a server is looked up
//! instead of computed, once it has been. A space has millions of states but only some ten thousand different servers; so a state is a few
//! numbers, and the core is hardly ever run.

use std::hash::{BuildHasherDefault, Hash};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hashbrown::HashMap;
use raft_core::{Entry, LogIndex, Membership, Packet, Pair, Payload, RoleKind, Runs};
use xxhash_rust::xxh3::Xxh3Default;

use super::names::{Exchange, InUse, Look, Recount, Shared, Told, place_of};
use super::rules::{self, Broken};
use super::server::{After, Input, Server, is_command, prefix};
use super::space::Space;

type Hashed<K, V> = HashMap<K, V, BuildHasherDefault<Xxh3Default>>;
type Quick<V> = HashMap<u64, V, BuildHasherDefault<Mixed>>;

/// For keys that are two small numbers: one multiplication. Nothing is iterated, so that it can not show in any output.
#[derive(Default)]
pub(super) struct Mixed(u64);

impl std::hash::Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        self.0 = mixed as u64 ^ (mixed >> 64) as u64;
    }
}

/// Numbers for things: the first is 1, so that 0 can stand for none.
struct Numbered<T> {
    numbers: Hashed<T, u32>,
    things: Vec<T>,
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn new() -> Self {
        Numbered { numbers: HashMap::default(), things: Vec::new() }
    }

    /// Its number, and whether it is new.
    fn number(&mut self, thing: T) -> (u32, bool) {
        if let Some(number) = self.numbers.get(&thing) {
            return (*number, false);
        }
        let number = self.things.len() as u32 + 1;
        self.things.push(thing.clone());
        self.numbers.insert(thing, number);
        (number, true)
    }

    fn at(&self, number: u32) -> &T {
        &self.things[number as usize - 1]
    }
}

/// What the search wants to know of a server without looking into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerFacts {
    pub(super) shared: Shared,
    pub(super) up: bool,
    pub(super) leads: bool,
    pub(super) campaigns: bool,
    pub(super) can_time_out: bool,
    pub(super) term: u8,
    /// The term on its disk.
    pub(super) durable_term: u8,
    pub(super) boot: u8,
    /// How many writes are not durable.
    pub(super) queued: u8,
    /// Its log, handed to the disk or durable already.
    pub(super) log: u32,
    /// What of it is durable.
    pub(super) durable: u32,
    /// The same for a server with other names: it only says which servers can be the same.
    pub(super) look: u32,
}

/// The same of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketFacts {
    pub(super) from: u8,
    pub(super) to: u8,
    /// Which numbers of its sender it bears, and which of its receiver.
    pub(super) of_sender: Borne,
    pub(super) of_receiver: Borne,
    pub(super) term: u8,
    /// To whom it is of use.
    pub(super) for_whom: For,
    pub(super) look: u32,
}

impl ServerFacts {
    /// Whether it still looks at the rounds that it has begun in this boot as leader of this term.
    pub(super) const fn has_rounds(&self, term: u8, boot: u8) -> bool {
        self.leads && self.term == term && self.boot == boot
    }
}

/// Which numbers of a server a packet bears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Borne {
    pub(super) rounds: Told,
    /// The boot whose rounds these are.
    pub(super) boot: u8,
    pub(super) attempts: InUse,
}

/// To whom a packet is of use. To all others it says nothing, and never will.
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
}

/// What an input makes of a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// What it becomes.
    pub(super) server: u32,
    first_sent: u32,
    pub(super) sent: u8,
    /// The term that it has come to lead; 0: none.
    pub(super) elected: u8,
    /// What it has committed, where that is more than before; 0: nothing.
    pub(super) committed: u32,
    /// Whether something durable is another than before.
    pub(super) rewritten: bool,
    /// Whether it goes beyond the latest term.
    pub(super) outside: bool,
    /// The same for this input to this server with other names.
    pub(super) look: u32,
}

/// A log, or a piece of it from its beginning.
struct History {
    runs: Runs,
    /// Whether a command of a client is in it.
    has_command: bool,
    last_term: u8,
    /// The configuration that it ends with, and whether it is another one than the first.
    membership: Option<Arc<Membership>>,
    is_changed: bool,
}

/// See the module.
pub(super) struct Book {
    pub(super) space: Space,
    pub(super) exchanges: Vec<Exchange>,
    servers: Numbered<Server>,
    server_facts: Vec<ServerFacts>,
    packets: Numbered<Vec<Packet>>,
    packet_facts: Vec<PacketFacts>,
    logs: Numbered<Runs>,
    histories: Vec<History>,
    changes: Quick<Change>,
    sent: Vec<u32>,
    exchanged_servers: Vec<Vec<u32>>,
    exchanged_packets: Vec<Vec<u32>>,
    exchanged_logs: Vec<Vec<u32>>,
    recounted_servers: HashMap<(u32, Recount), u32, BuildHasherDefault<Mixed>>,
    recounted_packets: HashMap<(u32, Recount), u32, BuildHasherDefault<Mixed>>,
    agreeing: Quick<bool>,
    matching: Quick<bool>,
    holding: Quick<bool>,
    /// How many times a node was really stepped.
    pub(super) steps: u64,
}

const DELIVER: u32 = 0;
const TIMEOUT: u32 = 1 << 28;
const SILENCE: u32 = 6 << 28;
const PROPOSE: u32 = 2 << 28;
const SYNC: u32 = 3 << 28;
const CRASH: u32 = 4 << 28;
const RESTART: u32 = 5 << 28;
const RECONFIGURE: u32 = 7 << 28;

/// What can happen to a server, with a packet by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Deliver(u32),
    Timeout,
    Silence,
    Propose(u8),
    Reconfigure { nth: u8, voters: u8 },
    Sync(u8),
    Crash(u8),
    Restart,
}

impl What {
    fn number(self) -> u32 {
        match self {
            What::Deliver(packet) => DELIVER | packet,
            What::Timeout => TIMEOUT,
            What::Silence => SILENCE,
            What::Propose(nth) => PROPOSE | u32::from(nth),
            What::Reconfigure { nth, voters } => RECONFIGURE | u32::from(nth) << 8 | u32::from(voters),
            What::Sync(writes) => SYNC | u32::from(writes),
            What::Crash(kept) => CRASH | u32::from(kept),
            What::Restart => RESTART,
        }
    }
}

fn two(one: u32, other: u32) -> u64 {
    u64::from(one) << 32 | u64::from(other)
}

pub(super) fn look_of(words: &[u64]) -> u32 {
    let mut mixed = Mixed::default();
    for word in words {
        std::hash::Hasher::write_u64(&mut mixed, *word);
    }
    mixed.0 as u32
}

impl Book {
    pub(super) fn new(space: Space) -> Self {
        let exchanges = Exchange::all(space.servers());
        let images = vec![Vec::new(); exchanges.len()];
        Book {
            space,
            exchanges,
            servers: Numbered::new(),
            server_facts: Vec::new(),
            packets: Numbered::new(),
            packet_facts: Vec::new(),
            logs: Numbered::new(),
            histories: Vec::new(),
            changes: HashMap::default(),
            sent: Vec::new(),
            exchanged_servers: images.clone(),
            exchanged_packets: images.clone(),
            exchanged_logs: images,
            recounted_servers: HashMap::default(),
            recounted_packets: HashMap::default(),
            agreeing: HashMap::default(),
            matching: HashMap::default(),
            holding: HashMap::default(),
            steps: 0,
        }
    }

    /// How many different servers and packets have been met.
    pub(super) fn met(&self) -> (usize, usize) {
        (self.servers.things.len(), self.packets.things.len())
    }

    pub(super) fn server(&self, number: u32) -> &Server {
        self.servers.at(number)
    }

    pub(super) fn packet(&self, number: u32) -> &[Packet] {
        self.packets.at(number)
    }

    pub(super) fn server_facts(&self, number: u32) -> &ServerFacts {
        &self.server_facts[number as usize - 1]
    }

    pub(super) fn packet_facts(&self, number: u32) -> &PacketFacts {
        &self.packet_facts[number as usize - 1]
    }

    pub(super) fn sent_by(&self, change: &Change) -> &[u32] {
        &self.sent[change.first_sent as usize..][..usize::from(change.sent)]
    }

    /// Which server has become which.
    #[cfg(test)]
    pub(super) fn changes(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.changes.iter().map(|(key, change)| ((key >> 32) as u32, change.server))
    }

    /// Whether a log, or a piece of it, holds a command of a client.
    pub(super) fn has_command(&self, log: u32) -> bool {
        log != 0 && self.histories[log as usize - 1].has_command
    }

    /// The term of the last entry of a log.
    pub(super) fn last_term(&self, log: u32) -> u8 {
        if log == 0 { 0 } else { self.histories[log as usize - 1].last_term }
    }

    /// The configuration that a log ends with.
    pub(super) fn membership(&self, log: u32) -> Option<&Membership> {
        self.histories.get((log as usize).checked_sub(1)?)?.membership.as_deref()
    }

    /// Whether a log has another configuration than the first.
    pub(super) fn is_changed(&self, log: u32) -> bool {
        log != 0 && self.histories[log as usize - 1].is_changed
    }

    pub(super) fn log(&mut self, runs: Runs) -> u32 {
        let (number, new) = self.logs.number(runs);
        if new {
            let runs = self.logs.at(number).clone();
            let has_command = runs.entries().any(|(_, entry)| is_command(entry));
            let last_term = runs.last_position().map_or(0, |last| last.term.raw() as u8);
            let mut memberships = runs.entries().filter_map(|(_, entry)| membership_of(entry)).cloned();
            let first = memberships.next();
            let latest = memberships.last();
            let is_changed = latest.is_some();
            let membership = latest.or(first);
            self.histories.push(History { runs, has_command, last_term, membership, is_changed });
        }
        number
    }

    pub(super) fn server_number(&mut self, server: Server) -> u32 {
        let (number, new) = self.servers.number(server);
        if new {
            let facts = self.facts_of(number);
            self.server_facts.push(facts);
        }
        number
    }

    fn facts_of(&mut self, number: u32) -> ServerFacts {
        let server = self.server(number).clone();
        let written = server.log();
        let log = self.log(prefix(&written, LogIndex::MAX));
        let durable = self.log(prefix(&server.disk, LogIndex::MAX));
        let status = server.status();
        let role = status.map(|status| status.role);
        let hard_state = server.hard_state();
        let voted = hard_state.vote.map_or(0, |vote| 1 + u64::from(vote == server.pair));
        let (last, end) = (written.last(), server.disk.last());
        let look = look_of(&[
            role.map_or(9, |role| role as u64),
            hard_state.term.raw(),
            voted,
            last.term.raw() << 32 | last.index.raw(),
            end.term.raw() << 32 | end.index.raw(),
            status.map_or(0, |status| status.commit.raw()),
            u64::from(status.is_some_and(|status| status.leader.is_some())),
            server.boot.raw(),
            server.queue.len() as u64,
            server.disk.commit.raw(),
            server.applied.raw(),
        ]);
        ServerFacts {
            shared: server.shared(),
            up: status.is_some(),
            leads: role == Some(RoleKind::Leader),
            campaigns: role == Some(RoleKind::Candidate),
            can_time_out: server.can_time_out(),
            term: hard_state.term.raw().min(255) as u8,
            durable_term: server.disk.hard_state.term.raw().min(255) as u8,
            boot: server.boot.raw() as u8,
            queued: server.queue.len() as u8,
            log,
            durable,
            look,
        }
    }

    pub(super) fn packet_number(&mut self, packets: Vec<Packet>) -> u32 {
        let (number, new) = self.packets.number(packets);
        if new {
            let packets = self.packet(number).to_vec();
            let (from, to) = (packets[0].from, packets[0].to);
            let mut looks = vec![packets.len() as u64];
            looks.extend(
                packets.iter().flat_map(|packet| [packet.term.raw(), packet.boot.raw(), kind_of(packet)]),
            );
            let borne = |of| {
                let mut look = Look::new(of);
                for packet in packets.iter().cloned() {
                    drop(packet.renamed(&mut &mut look));
                }
                let boot = packets.iter().find_map(|packet| boot_of(packet, of)).unwrap_or(0);
                Borne { rounds: look.told, boot, attempts: look.shared.attempts }
            };
            self.packet_facts.push(PacketFacts {
                from: place_of(from) as u8,
                to: place_of(to) as u8,
                of_sender: borne(from),
                of_receiver: borne(to),
                term: packets[0].term.raw().min(255) as u8,
                for_whom: for_whom(&packets),
                look: look_of(&looks),
            });
        }
        number
    }

    /// Whether a packet can still say anything to this server. The core is asked, too: where it makes anything of it, or breaks a rule by that,
    /// the packet is of use, whatever was expected.
    pub(super) fn is_of_use(&mut self, packet: u32, receiver: u32) -> bool {
        if self.may_be_of_use(packet, receiver) {
            return true;
        }
        if !self.server_facts(receiver).up {
            return false;
        }
        let change = self.change(receiver, What::Deliver(packet));
        !change.is_ok_and(|change| change.server == receiver && change.sent == 0)
    }

    /// The same by what packets and servers are. Once it can not it never will: terms on disks and boots only grow, and nobody becomes candidate
    /// or leader of the same term twice.
    fn may_be_of_use(&self, packet: u32, receiver: u32) -> bool {
        let (packet, server) = (self.packet_facts(packet), self.server_facts(receiver));
        let here = packet.term == server.term;
        match packet.for_whom {
            For::Anybody => true,
            _ if server.durable_term < packet.term => true,
            For::EarlierTerms => false,
            For::Candidate(boot) => here && server.campaigns && boot == server.boot,
            For::Leader(boot) => here && (server.leads || server.campaigns) && boot == server.boot,
        }
    }

    /// What an input makes of a server.
    ///
    /// # Errors
    /// A rule that it breaks.
    pub(super) fn change(&mut self, server: u32, what: What) -> Result<Change, Broken> {
        let key = two(server, what.number());
        if let Some(change) = self.changes.get(&key) {
            return Ok(*change);
        }
        let change = self.make_change(server, what)?;
        self.changes.insert(key, change);
        Ok(change)
    }

    #[cold]
    fn make_change(&mut self, number: u32, what: What) -> Result<Change, Broken> {
        let input = match what {
            What::Deliver(packet) => Input::Deliver(self.packet(packet).to_vec()),
            What::Timeout => Input::Timeout,
            What::Silence => Input::Silence,
            What::Propose(nth) => Input::Propose(nth),
            What::Reconfigure { nth, voters } => Input::Reconfigure { nth, voters },
            What::Sync(writes) => Input::Sync(writes),
            What::Crash(kept) => Input::Crash(kept),
            What::Restart => Input::Restart,
        };
        self.steps += 1;
        let before = self.server(number).clone();
        let taken = catch_unwind(AssertUnwindSafe(|| before.take(&self.space, &input)));
        let taken = taken.unwrap_or_else(|panic| {
            let violation = crate::run::of_panic(&*panic);
            Err(Broken::new(violation.oracle, violation.what))
        });
        let After { server, sent, elected } = taken?;
        let first_sent = self.sent.len() as u32;
        for packet in sent {
            let packet = self.packet_number(packet);
            self.sent.push(packet);
        }
        let commit = |server: &Server| server.status().map_or(LogIndex::ZERO, |status| status.commit);
        let committed = commit(&server);
        let committed =
            if commit(&before) < committed { self.log(prefix(&server.log(), committed)) } else { 0 };
        let after = self.server_number(server);
        let (was, is) = (*self.server_facts(number), *self.server_facts(after));
        let of_input = match what {
            What::Deliver(packet) => self.packet_facts(packet).look,
            // Only how many they are: which has to do with names.
            What::Reconfigure { nth, voters } => RECONFIGURE | u32::from(nth) << 8 | voters.count_ones(),
            other => other.number(),
        };
        Ok(Change {
            server: after,
            first_sent,
            sent: (self.sent.len() as u32 - first_sent) as u8,
            elected: elected.map_or(0, |term| term.min(255) as u8),
            committed,
            rewritten: was.durable != is.durable || was.log != is.log,
            outside: self.space.bounds().terms < is.term,
            look: look_of(&[u64::from(was.look), u64::from(of_input)]),
        })
    }

    /// A server with servers exchanged.
    pub(super) fn exchanged_server(&mut self, number: u32, nth: usize) -> u32 {
        if let Some(known) = known(&self.exchanged_servers[nth], number) {
            return known;
        }
        let exchanged = self.server(number).exchanged(self.exchanges[nth]);
        let exchanged = self.server_number(exchanged);
        note(&mut self.exchanged_servers[nth], number, exchanged);
        exchanged
    }

    /// A packet with servers exchanged.
    pub(super) fn exchanged_packet(&mut self, number: u32, nth: usize) -> u32 {
        if let Some(known) = known(&self.exchanged_packets[nth], number) {
            return known;
        }
        let mut exchange = self.exchanges[nth];
        let packets = self.packet(number).iter().cloned();
        let exchanged = packets.map(|packet| packet.renamed(&mut exchange)).collect();
        let exchanged = self.packet_number(exchanged);
        note(&mut self.exchanged_packets[nth], number, exchanged);
        exchanged
    }

    /// A log with servers exchanged.
    pub(super) fn exchanged_log(&mut self, number: u32, nth: usize) -> u32 {
        if number == 0 {
            return 0;
        }
        if let Some(known) = known(&self.exchanged_logs[nth], number) {
            return known;
        }
        let mut exchange = self.exchanges[nth];
        let exchanged = self.logs.at(number).renamed(&mut exchange);
        let exchanged = self.log(exchanged);
        note(&mut self.exchanged_logs[nth], number, exchanged);
        exchanged
    }

    /// A server with what it shares with packets counted anew.
    pub(super) fn recounted_server(&mut self, number: u32, names: Recount) -> u32 {
        if let Some(known) = self.recounted_servers.get(&(number, names)) {
            return *known;
        }
        let recounted = self.server(number).recounted(names);
        let recounted = self.server_number(recounted);
        self.recounted_servers.insert((number, names), recounted);
        recounted
    }

    /// A packet with what it shares with a server counted anew.
    pub(super) fn recounted_packet(&mut self, number: u32, mut names: Recount) -> u32 {
        if let Some(known) = self.recounted_packets.get(&(number, names)) {
            return *known;
        }
        let packets = self.packet(number).iter().cloned();
        let recounted = packets.map(|packet| packet.renamed(&mut names)).collect();
        let recounted = self.packet_number(recounted);
        self.recounted_packets.insert((number, names), recounted);
        recounted
    }

    /// The longer one of two committed pieces of the log.
    ///
    /// # Errors
    /// They are not pieces of one log.
    pub(super) fn join(&mut self, one: u32, other: u32) -> Result<u32, Broken> {
        if one == 0 || one == other {
            return Ok(other);
        }
        let (runs, others) =
            (&self.histories[one as usize - 1].runs, &self.histories[other as usize - 1].runs);
        let agree = *self.agreeing.entry(two(one, other)).or_insert_with(|| rules::agree(runs, others));
        if !agree {
            let what = format!("{runs:?} is committed, and {others:?}");
            return Err(Broken::new(rules::MACHINES, what));
        }
        Ok(if runs.last_position() < others.last_position() { other } else { one })
    }

    /// Whether a log begins with all that was committed.
    pub(super) fn holds(&mut self, log: u32, committed: u32) -> bool {
        if committed == 0 || log == committed {
            return true;
        }
        if log == 0 {
            return false;
        }
        let (runs, others) =
            (&self.histories[log as usize - 1].runs, &self.histories[committed as usize - 1].runs);
        *self.holding.entry(two(log, committed)).or_insert_with(|| rules::holds(runs, others))
    }

    /// Whether two logs are equal up to each position that is in both.
    pub(super) fn match_up(&mut self, one: u32, other: u32) -> bool {
        if one == 0 || other == 0 || one == other {
            return true;
        }
        let (runs, others) =
            (&self.histories[one as usize - 1].runs, &self.histories[other as usize - 1].runs);
        *self.matching.entry(two(one, other)).or_insert_with(|| rules::match_up(runs, others))
    }

    /// What a log holds.
    pub(super) fn runs(&self, log: u32) -> Option<&Runs> {
        Some(&self.histories.get((log as usize).checked_sub(1)?)?.runs)
    }
}

fn membership_of(entry: &Entry) -> Option<&Arc<Membership>> {
    if let Payload::Membership(membership) = &entry.payload { Some(membership) } else { None }
}

fn known(images: &[u32], number: u32) -> Option<u32> {
    images.get(number as usize).copied().filter(|image| *image != 0)
}

fn note(images: &mut Vec<u32>, number: u32, image: u32) {
    let place = number as usize;
    if images.len() <= place {
        images.resize(place + 1, 0);
    }
    images[place] = image;
}

/// The boot of this server whose round a packet speaks of.
fn boot_of(packet: &Packet, of: Pair) -> Option<u8> {
    use raft_core::Body;
    match packet.body {
        Body::Heartbeat { .. } if packet.from == of => Some(packet.boot.raw() as u8),
        Body::Acknowledge { boot, round: Some(_), .. } if packet.to == of => Some(boot.raw() as u8),
        _ => None,
    }
}

/// To whom packets that travel together are of use: answers of an older term are dropped, and those of this term are for who asked.
fn for_whom(packets: &[Packet]) -> For {
    use raft_core::Body;
    let one = |packet: &Packet| match packet.body {
        Body::Vote { boot, granted: true } => For::Candidate(boot.raw() as u8),
        Body::Vote { granted: false, .. } | Body::NewerTerm => For::EarlierTerms,
        Body::Acknowledge { boot, .. } | Body::Reject { boot, .. } => For::Leader(boot.raw() as u8),
        _ => For::Anybody,
    };
    let first = one(&packets[0]);
    let same = packets.iter().all(|packet| one(packet) == first && packet.term == packets[0].term);
    if same { first } else { For::Anybody }
}

/// A number for each kind of packet, and for what of it has nothing to do with names.
fn kind_of(packet: &Packet) -> u64 {
    use raft_core::Body;
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
        _ => 11 << 56,
    }
}
