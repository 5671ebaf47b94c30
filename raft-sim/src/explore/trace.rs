//! From choices in canonical states back to a run: what happened to which machine of a [`World`](crate::World), as its actions.
//!
//! A canonical state has its servers exchanged and its packets counted anew. So the run is gone through once more from its beginning, beside
//! a world, and for each place and each packet in flight it is noted which machine and which packet of the world that is.

use super::book::Book;
use super::names::SERVERS_MAX;
use super::parcel::Parcel;
use super::rules::Broken;
use super::server::{Server, wanted};
use super::space::Space;
use super::state::{Follow, State, Used};
use super::successor::{Act, Choice, take};
use crate::action::{Action, HostId, Link, PacketName};
use crate::rig::Honest;
use crate::schedule::{Ending, Schedule};
use crate::world::{News, Offers, World};

/// A run so far: in the space, and in a world.
pub(super) struct Trace {
    pub(super) state: State,
    /// Which machine stands at a place.
    pub(super) hosts: [HostId; SERVERS_MAX],
    /// Which packets of the world each parcel in flight is. A snapshot, and what has become of one, is none.
    names: Vec<(u32, Vec<PacketName>)>,
    /// How many packets are still in flight in the world that nobody has a use for any more.
    spent: usize,
    pub(super) world: Option<World<Honest>>,
    actions: Vec<Action>,
    /// Whether the world did not follow.
    pub(super) strayed: bool,
}

struct Renamed<'a>(&'a mut Vec<(u32, Vec<PacketName>)>);

impl Follow for Renamed<'_> {
    fn packets(&mut self, before: &[u32], after: &[u32]) {
        let mut left: Vec<(u32, u32)> = before.iter().copied().zip(after.iter().copied()).collect();
        for (number, _) in &mut *self.0 {
            // Of equal packets it does not matter which is which.
            if let Some(place) = left.iter().position(|(before, _)| before == number) {
                *number = left.swap_remove(place).1;
            }
        }
    }
}

impl Trace {
    /// A cluster that has just been founded, and whose nodes have all made their first step.
    pub(super) fn new(book: &mut Book) -> Self {
        Trace::named(book, 0)
    }

    /// The same with machines exchanged in the n-th way.
    pub(super) fn named(book: &mut Book, nth: usize) -> Self {
        let mut servers = [0; SERVERS_MAX];
        for (place, number) in servers.iter_mut().enumerate().take(book.space.servers()) {
            let server = Server::new(&book.space, super::names::pair_at(place));
            let started = server.take(&book.space, &super::server::Input::Start);
            *number = book.server_number(started.map_or(server, |after| after.server));
        }
        let packets = [0; super::space::MESSAGES_MAX];
        let state = State { servers, committed: 0, leaders: 0, used: Used::default(), count: 0, packets };
        let exchange = book.exchanges[nth];
        let hosts = std::array::from_fn(|place| HostId::at(exchange.of(place)));
        let world = World::new(book.space.setup(), Honest).ok();
        let (names, actions) = (Vec::new(), Vec::new());
        let mut trace = Trace { state, hosts, names, spent: 0, world, actions, strayed: false };
        for place in 0..book.space.servers() {
            trace.act(Action::Step { host: HostId::at(place), effects: None });
        }
        trace
    }

    /// Lets something happen in the world. What breaks a rule there ends the world, but not the list of actions.
    fn act(&mut self, action: Action) {
        self.actions.push(action);
        match self.world.as_mut().map(|world| world.apply(action)) {
            Some(Ok(crate::world::Applied::Done)) | None => {}
            Some(Ok(crate::world::Applied::Impossible)) => self.strayed = true,
            Some(Err(_)) => self.world = None,
        }
    }

    /// Takes a choice in both.
    pub(super) fn take(&mut self, book: &mut Book, choice: impl Into<Choice>, symmetry: bool) {
        let before = self.state;
        let choice = choice.into();
        let (taken, act) = (take(book, &before, choice), choice.act);
        self.perform(book, act);
        // Whatever broke a rule was the last choice.
        let Ok(Some(taken)) = taken else { return };
        self.forget_spent(&taken.state);
        let sent: Vec<u32> = taken.change.map_or_else(Vec::new, |change| book.sent_by(&change).to_vec());
        self.name_sent(book, &sent, taken.useful);
        self.names.extend((taken.report != 0).then(|| (taken.report, Vec::new())));
        let (state, exchange) = taken.state.canonical(book, symmetry, &mut Renamed(&mut self.names));
        self.state = state;
        for (number, _) in &mut self.names {
            *number = book.exchanged_parcel(*number, exchange);
        }
        let hosts = self.hosts;
        for (place, host) in hosts.iter().enumerate() {
            self.hosts[book.exchanges[exchange].of(place)] = *host;
        }
    }

    /// Nobody has a use any more for the packets that are not in this state.
    fn forget_spent(&mut self, state: &State) {
        let mut packets = state.packets().to_vec();
        self.names.retain(|(number, names)| {
            let place = packets.iter().position(|packet| packet == number);
            if let Some(place) = place {
                packets.swap_remove(place);
            } else {
                self.spent += names.len();
            }
            place.is_some()
        });
    }

    /// Finds the packets in the world that were just sent: to each machine in the same order.
    fn name_sent(&mut self, book: &Book, sent: &[u32], useful: u8) {
        let mut news = Vec::new();
        if let Some(world) = &mut self.world {
            world.take_news(&mut news);
        }
        let names =
            news.iter().filter_map(|news| if let News::Sent(name) = news { Some(*name) } else { None });
        let mut together: Vec<Vec<PacketName>> = Vec::new();
        for name in names {
            match together.iter_mut().find(|names| names[0].link == name.link) {
                Some(names) => names.push(name),
                None => together.push(vec![name]),
            }
        }
        for (nth, number) in sent.iter().enumerate() {
            if book.snapshot_from(*number).is_some() {
                self.names.push((*number, Vec::new()));
                continue;
            }
            let to = self.receiver_of(book, *number);
            let Some(place) = together.iter().position(|names| names[0].link.to == to) else {
                self.strayed |= self.world.is_some();
                continue;
            };
            let names = together.remove(place);
            if useful >> nth & 1 == 1 {
                self.names.push((*number, names));
            } else {
                self.spent += names.len();
            }
        }
        self.strayed |= !together.is_empty();
    }

    fn receiver_of(&self, book: &Book, packet: u32) -> HostId {
        self.hosts[usize::from(book.parcel_facts(packet).to)]
    }

    fn receiver(&self, book: &Book, nth: u8) -> HostId {
        self.receiver_of(book, self.state.packets[usize::from(nth)])
    }

    /// What a choice comes to in the world.
    fn perform(&mut self, book: &Book, act: Act) {
        let settles = match act {
            Act::Drop(nth) => {
                for packet in self.names_of(nth, true) {
                    self.act(Action::Drop { packet });
                }
                return;
            }
            Act::Deliver(nth) => {
                let to = self.receiver(book, nth);
                self.deliver(book, nth);
                to
            }
            Act::DeliverCopy(nth) => {
                let to = self.receiver(book, nth);
                for packet in self.names_of(nth, false) {
                    self.act(Action::Duplicate { packet });
                    self.act(Action::Deliver { packet });
                }
                to
            }
            Act::Timeout(place) => {
                let host = self.hosts[usize::from(place)];
                let leads = book.server_facts(self.state.servers[usize::from(place)]).leads;
                self.act(Action::Tick { host, elapsed: book.space.timeout(leads) });
                host
            }
            Act::Silence(place) => {
                let host = self.hosts[usize::from(place)];
                self.act(Action::Tick { host, elapsed: book.space.config().election_timeout_ticks });
                host
            }
            Act::Propose(place) => {
                let host = self.hosts[usize::from(place)];
                let request = u64::from(self.state.used.requests()) + 1;
                self.act(Action::Propose { host, request, commands: 1, bytes: 0 });
                host
            }
            Act::Reconfigure(place, voters) => {
                let host = self.hosts[usize::from(place)];
                let request = u64::from(self.state.used.requests()) + 1;
                let wanted = wanted(voters).renamed(&mut |at| Some(self.hosts[at.nth()]));
                if let Some(wanted) = wanted {
                    self.act(Action::Reconfigure { host, request, wanted, based_on: None });
                }
                host
            }
            Act::Snapshot(place) => {
                let host = self.hosts[usize::from(place)];
                self.act(Action::Save { host });
                self.act(Action::Saved { host });
                host
            }
            Act::Sync(place, writes) => {
                let host = self.hosts[usize::from(place)];
                self.act(Action::Sync { host, batches: u32::from(writes) });
                host
            }
            Act::Crash(place, kept) => {
                let host = self.hosts[usize::from(place)];
                self.act(Action::Crash { host, keep: u32::from(kept), torn: false, stray: 0 });
                self.act(Action::Restart { host, tail: u64::MAX });
                host
            }
        };
        self.settle(&book.space, settles);
    }

    /// What a parcel comes to in the world when it arrives.
    fn deliver(&mut self, book: &Book, nth: u8) {
        let number = self.state.packets[usize::from(nth)];
        let names = self.names_of(nth, true);
        let facts = *book.parcel_facts(number);
        let (from, to) = (self.hosts[usize::from(facts.from)], self.hosts[usize::from(facts.to)]);
        match book.parcel(number) {
            Parcel::Packets(_) => {
                for packet in names {
                    self.act(Action::Deliver { packet });
                }
            }
            Parcel::Snapshot(..) => {
                if let Some(packet) = self.moved(Link { from, to }) {
                    self.act(Action::Deliver { packet });
                }
            }
            Parcel::Report { arrived, .. } => {
                let link = Link { from: to, to: from };
                self.act(if *arrived { Action::Sent { link } } else { Action::Lose { link } });
            }
        }
    }

    /// Moves a snapshot on this way; the packet that tells of it then. The first part of it is there already where the receiver has such a
    /// snapshot of its own.
    fn moved(&mut self, link: Link) -> Option<PacketName> {
        for _part in 0..2 {
            self.act(Action::Move { link });
            let mut news = Vec::new();
            self.world.as_mut()?.take_news(&mut news);
            let sent = news.iter().find_map(|news| match news {
                News::Sent(name) => Some(*name),
                _ => None,
            });
            if sent.is_some() {
                return sent;
            }
        }
        self.strayed = true;
        None
    }

    /// What follows at once.
    fn settle(&mut self, space: &Space, host: HostId) {
        loop {
            self.act(Action::Step { host, effects: None });
            let Some(world) = &self.world else { return };
            let machine = world.host(host);
            let (queued, applies) = (machine.disk().queued(), machine.is_applying());
            let syncs = !space.has_syncs() && queued != 0;
            if !syncs && !applies {
                return;
            }
            if syncs {
                self.act(Action::Sync { host, batches: queued });
            }
            if applies {
                self.act(Action::Applied { host });
            }
        }
    }

    /// The packets of the world that this one stands for.
    fn names_of(&mut self, nth: u8, takes: bool) -> Vec<PacketName> {
        let packet = self.state.packets[usize::from(nth)];
        let found = self.names.iter().position(|(number, _)| *number == packet);
        match found {
            Some(nth) if takes => self.names.remove(nth).1,
            Some(nth) => self.names[nth].1.clone(),
            None => {
                self.strayed = true;
                Vec::new()
            }
        }
    }

    /// How many packets there are that the world holds too.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> u64 {
        let in_world = self.world.as_ref().map_or(0, |world| world.network().in_flight());
        let named: usize = self.names.iter().map(|(_, names)| names.len()).sum();
        assert_eq!(in_world, (named + self.spent) as u64);
        self.names.len() as u64
    }

    /// The run as a file holds it.
    pub(super) fn schedule(self, space: &Space, broken: &Broken) -> Schedule {
        Schedule {
            notes: vec![format!("a shortest run of its space; {}: {}", broken.oracle, broken.what)],
            setup: space.setup(),
            broken: None,
            expects: Some(broken.oracle.to_owned()),
            ending: Ending::Nothing,
            shortened: None,
            commands: Offers::new(),
            actions: self.actions,
        }
    }
}
