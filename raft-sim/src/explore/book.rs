//! The book of everything that has been met: servers, packets and logs get small numbers, and what an input makes of a server is looked up
//! instead of computed, once it has been. A space has millions of states but only some ten thousand different servers; so a state is a few
//! numbers, and the core is hardly ever run.

use std::hash::BuildHasherDefault;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hashbrown::HashMap;
use raft_core::{LogIndex, Membership, RoleKind};

use super::deeds::{Deed, Deeds};
use super::names::{Boots, Exchange, InUse, Recount, SERVERS_MAX, Shared};
use super::numbered::{Mixed, Numbered, Quick, known, look_of, note, two};
use super::parcel::{For, Parcel, ParcelFacts};
use super::piece::Piece;
use super::rules::{self, Broken};
use super::server::{After, Input, Server};
use super::space::Space;
use super::what::{RECONFIGURE, What};

/// What the search wants to know of a server without looking into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerFacts {
    pub(super) shared: Shared,
    /// Of which boots it speaks, by the place of the server: its own, too.
    pub(super) boots: [InUse; SERVERS_MAX],
    pub(super) leads: bool,
    pub(super) campaigns: bool,
    pub(super) can_time_out: bool,
    /// Whether there is something to save.
    pub(super) can_save: bool,
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

impl ServerFacts {
    /// Whether it still looks at the rounds that it has begun in this boot as leader of this term.
    pub(super) const fn has_rounds(&self, term: u8, boot: u8) -> bool {
        self.leads && self.term == term && self.boot == boot
    }
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
    /// Whether a leader hands over by that: see [`Book::others`].
    pub(super) hands_over: bool,
    /// The same for this input to this server with other names.
    pub(super) look: u32,
}

/// See the module.
pub(super) struct Book {
    pub(super) space: Space,
    pub(super) exchanges: Vec<Exchange>,
    servers: Numbered<Server>,
    server_facts: Vec<ServerFacts>,
    parcels: Numbered<Parcel>,
    parcel_facts: Vec<ParcelFacts>,
    logs: Numbered<Piece>,
    changes: Quick<Change>,
    sent: Vec<u32>,
    others: Quick<Vec<Change>>,
    exchanged_servers: Vec<Vec<u32>>,
    exchanged_parcels: Vec<Vec<u32>>,
    exchanged_logs: Vec<Vec<u32>>,
    recounted_servers: HashMap<(u32, Recount), u32, BuildHasherDefault<Mixed>>,
    recounted_parcels: HashMap<(u32, Recount), u32, BuildHasherDefault<Mixed>>,
    rebooted_servers: HashMap<(u32, Boots), u32, BuildHasherDefault<Mixed>>,
    rebooted_parcels: HashMap<(u32, Boots), u32, BuildHasherDefault<Mixed>>,
    servers_at_ease: Vec<u32>,
    // By whether it has arrived: what its sender is told of a snapshot.
    reports: [Vec<u32>; 2],
    joined: Quick<Option<u32>>,
    matching: Quick<bool>,
    holding: Quick<bool>,
    /// How many times a node was really stepped.
    pub(super) steps: u64,
    /// What has given numbers; `None` where nobody wants to know.
    pub(super) deeds: Option<Deeds>,
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
            parcels: Numbered::new(),
            parcel_facts: Vec::new(),
            logs: Numbered::new(),
            changes: HashMap::default(),
            sent: Vec::new(),
            others: HashMap::default(),
            exchanged_servers: images.clone(),
            exchanged_parcels: images.clone(),
            exchanged_logs: images,
            recounted_servers: HashMap::default(),
            recounted_parcels: HashMap::default(),
            rebooted_servers: HashMap::default(),
            rebooted_parcels: HashMap::default(),
            servers_at_ease: Vec::new(),
            reports: [const { Vec::new() }; 2],
            joined: HashMap::default(),
            matching: HashMap::default(),
            holding: HashMap::default(),
            steps: 0,
            deeds: None,
        }
    }

    /// How many different servers and parcels have been met.
    pub(super) fn met(&self) -> (usize, usize) {
        (self.servers.things.len(), self.parcels.things.len())
    }

    /// How many different logs.
    pub(super) fn logs_met(&self) -> usize {
        self.logs.things.len()
    }

    /// The same for every book that has given the same numbers to the same.
    pub(super) fn digest(&self) -> u64 {
        let mut digest = Mixed::default();
        for part in [self.servers.digest(), self.parcels.digest(), self.logs.digest()] {
            std::hash::Hasher::write_u64(&mut digest, part);
        }
        std::hash::Hasher::finish(&digest)
    }

    fn note_deed(&mut self, deed: Deed) {
        if let Some(deeds) = &mut self.deeds {
            deeds.push(deed);
        }
    }

    pub(super) fn server(&self, number: u32) -> &Server {
        self.servers.at(number)
    }

    pub(super) fn parcel(&self, number: u32) -> &Parcel {
        self.parcels.at(number)
    }

    pub(super) fn server_facts(&self, number: u32) -> &ServerFacts {
        &self.server_facts[number as usize - 1]
    }

    pub(super) fn parcel_facts(&self, number: u32) -> &ParcelFacts {
        &self.parcel_facts[number as usize - 1]
    }

    pub(super) fn sent_by(&self, change: &Change) -> &[u32] {
        &self.sent[change.first_sent as usize..][..usize::from(change.sent)]
    }

    /// Which server has become which.
    #[cfg(test)]
    pub(super) fn changes(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.changes.iter().map(|(key, change)| ((key >> 32) as u32, change.server))
    }

    /// What a log holds.
    pub(super) fn piece(&self, log: u32) -> Option<&Piece> {
        self.logs.things.get((log as usize).checked_sub(1)?)
    }

    /// A log by its positions.
    pub(super) fn log_text(&self, log: u32) -> String {
        self.piece(log).cloned().unwrap_or_default().to_string()
    }

    /// Whether a log holds a command of a client.
    pub(super) fn has_command(&self, log: u32) -> bool {
        self.piece(log).is_some_and(Piece::has_command)
    }

    /// The term of the last entry of a log.
    pub(super) fn last_term(&self, log: u32) -> u8 {
        self.piece(log).map_or(0, |piece| piece.last().term.raw() as u8)
    }

    /// The configuration that a log ends with.
    pub(super) fn membership(&self, log: u32) -> Option<&Membership> {
        self.piece(log)?.latest.as_ref().map(|(_, membership)| &**membership)
    }

    /// Whether the last entry of a log is a configuration.
    pub(super) fn ends_with_membership(&self, log: u32) -> bool {
        let piece = self.piece(log);
        piece
            .is_some_and(|piece| piece.latest.as_ref().is_some_and(|(index, _)| *index == piece.last().index))
    }

    /// Whether a log has another configuration than the first.
    pub(super) fn is_changed(&self, log: u32) -> bool {
        let latest = self.piece(log).and_then(|piece| piece.latest.as_ref());
        latest.is_some_and(|(index, _)| 1 < index.raw())
    }

    /// Whether a log begins behind a snapshot.
    pub(super) fn is_behind_snapshot(&self, log: u32) -> bool {
        self.start_of(log) != LogIndex::ZERO
    }

    /// What stands right before a log.
    pub(super) fn start_of(&self, log: u32) -> LogIndex {
        self.piece(log).map_or(LogIndex::ZERO, |piece| piece.start.index)
    }

    #[cfg(test)]
    pub(super) fn log_number(&mut self, log: Piece) -> u32 {
        self.logs.number(log).0
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
        let (log, _) = self.logs.number(Piece::of(&written, LogIndex::MAX));
        let (durable, _) = self.logs.number(Piece::of(&server.disk, LogIndex::MAX));
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
            server.queue.len() as u64,
            server.applied.raw(),
            server.disk.start.index.raw(),
        ]);
        let names = server.look();
        ServerFacts {
            shared: names.shared,
            boots: names.boots,
            leads: role == Some(RoleKind::Leader),
            campaigns: role == Some(RoleKind::Candidate),
            can_time_out: server.can_time_out(),
            can_save: server.can_save(),
            term: hard_state.term.raw().min(255) as u8,
            durable_term: server.disk.hard_state.term.raw().min(255) as u8,
            boot: server.boot.raw() as u8,
            queued: server.queue.len() as u8,
            log,
            durable,
            look,
        }
    }

    pub(super) fn parcel_number(&mut self, parcel: Parcel) -> u32 {
        let (number, new) = self.parcels.number(parcel);
        if new {
            let facts = self.parcel(number).facts();
            self.parcel_facts.push(facts);
        }
        number
    }

    /// Where the sender of a snapshot stands; `None` where the parcel is none.
    pub(super) fn snapshot_from(&self, parcel: u32) -> Option<usize> {
        let facts = self.parcel_facts(parcel);
        facts.is_snapshot.then_some(usize::from(facts.from))
    }

    /// Where a snapshot ends; `None` where the parcel is none.
    pub(super) fn snapshot_end(&self, parcel: u32) -> Option<LogIndex> {
        self.parcel(parcel).snapshot_end()
    }

    /// What the sender of a snapshot is told of it; `None` where the parcel is none.
    pub(super) fn report(&mut self, parcel: u32, arrived: bool) -> Option<u32> {
        if !self.parcel_facts(parcel).is_snapshot {
            return None;
        }
        if let Some(known) = known(&self.reports[usize::from(arrived)], parcel) {
            return Some(known);
        }
        let report = self.parcel(parcel).report(arrived)?;
        let report = self.parcel_number(report);
        note(&mut self.reports[usize::from(arrived)], parcel, report);
        self.note_deed(Deed::Report(parcel, arrived));
        Some(report)
    }

    /// Whether a parcel can still say anything to this server. The core is asked, too: where it makes anything of it, or breaks a rule by that,
    /// the parcel is of use, whatever was expected.
    pub(super) fn is_of_use(&mut self, parcel: u32, receiver: u32) -> bool {
        if let For::Boot(boot) = self.parcel_facts(parcel).for_whom {
            return self.server_facts(receiver).boot == boot;
        }
        if self.may_be_of_use(parcel, receiver) {
            return true;
        }
        let change = self.change(receiver, What::Deliver(parcel));
        !change.is_ok_and(|change| change.server == receiver && change.sent == 0)
    }

    /// The same by what parcels and servers are. Once it can not it never will: terms on disks and boots only grow, and nobody becomes candidate
    /// or leader of the same term twice.
    fn may_be_of_use(&self, parcel: u32, receiver: u32) -> bool {
        let (parcel, server) = (self.parcel_facts(parcel), self.server_facts(receiver));
        let here = parcel.term == server.term;
        match parcel.for_whom {
            For::Anybody | For::Boot(_) => true,
            _ if server.durable_term < parcel.term => true,
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
        self.note_deed(Deed::Change(server, what));
        Ok(change)
    }

    /// What else could come of an input to a leader that hands over: of servers that are as far it chooses one by their names. In a state names
    /// mean nothing, so that every one of those has to be looked at that it would choose if they had each other's names.
    ///
    /// # Errors
    /// A rule that is broken by the same input under other names.
    pub(super) fn others(&mut self, server: u32, what: What) -> Result<Vec<Change>, Broken> {
        let key = two(server, what.number());
        if let Some(others) = self.others.get(&key) {
            return Ok(others.clone());
        }
        let mut all = vec![self.change(server, what)?];
        for nth in 0..self.exchanges.len() {
            let back = self.exchanges[nth].back();
            let Some(back) = self.exchanges.iter().position(|exchange| *exchange == back) else { continue };
            let (there, input) = (self.exchanged_server(server, nth), self.exchanged_what(what, nth));
            let change = self.change(there, input)?;
            let sent = self.sent_by(&change).to_vec();
            let mut sent: Vec<u32> = sent.iter().map(|parcel| self.exchanged_parcel(*parcel, back)).collect();
            sent.sort_unstable();
            let is_known = all.iter().any(|known| {
                let mut known = self.sent_by(known).to_vec();
                known.sort_unstable();
                known == sent
            });
            if !is_known {
                let first_sent = self.sent.len() as u32;
                let count = sent.len() as u8;
                self.sent.extend(sent);
                let server = self.exchanged_server(change.server, back);
                all.push(Change { server, first_sent, sent: count, ..all[0] });
            }
        }
        let others = all.split_off(1);
        self.others.insert(key, others.clone());
        Ok(others)
    }

    fn exchanged_what(&mut self, what: What, nth: usize) -> What {
        match what {
            What::Deliver(parcel) => What::Deliver(self.exchanged_parcel(parcel, nth)),
            What::Reconfigure { nth: request, voters } => {
                What::Reconfigure { nth: request, voters: self.exchanges[nth].of_bits(voters) }
            }
            other => other,
        }
    }

    #[cold]
    fn make_change(&mut self, number: u32, what: What) -> Result<Change, Broken> {
        let input = match what {
            What::Deliver(parcel) => Input::Deliver(self.parcel(parcel).clone()),
            What::Timeout => Input::Timeout,
            What::Silence => Input::Silence,
            What::Propose(nth) => Input::Propose(nth),
            What::Reconfigure { nth, voters } => Input::Reconfigure { nth, voters },
            What::Snapshot => Input::Snapshot,
            What::Sync(writes) => Input::Sync(writes),
            What::Crash(kept) => Input::Crash(kept),
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
        for parcel in sent {
            let parcel = self.parcel_number(parcel);
            self.sent.push(parcel);
        }
        let commit = |server: &Server| server.status().map_or(LogIndex::ZERO, |status| status.commit);
        // A snapshot says something about what was committed, too.
        let covered =
            |server: &Server| server.node.as_ref().and_then(|node| node.snapshot().map(|of| of.last));
        rules::configured(&server)?;
        let says_more = commit(&before) < commit(&server) || covered(&before) < covered(&server);
        let committed =
            if says_more { self.logs.number(Piece::of(&server.log(), commit(&server))).0 } else { 0 };
        let after = self.server_number(server);
        let (was, is) = (*self.server_facts(number), *self.server_facts(after));
        let of_input = match what {
            What::Deliver(parcel) => self.parcel_facts(parcel).look,
            // Only how many they are: which has to do with names.
            What::Reconfigure { nth, voters } => RECONFIGURE | u32::from(nth) << 8 | voters.count_ones(),
            other => other.number(),
        };
        let sent = &self.sent[first_sent as usize..];
        let hands_over = sent.iter().any(|parcel| self.parcel(*parcel).hands_over());
        Ok(Change {
            server: after,
            hands_over,
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
        self.note_deed(Deed::ExchangedServer(number, nth as u8));
        exchanged
    }

    /// A parcel with servers exchanged.
    pub(super) fn exchanged_parcel(&mut self, number: u32, nth: usize) -> u32 {
        if let Some(known) = known(&self.exchanged_parcels[nth], number) {
            return known;
        }
        let exchanged = self.parcel(number).clone().renamed(&mut self.exchanges[nth].clone());
        let exchanged = self.parcel_number(exchanged);
        note(&mut self.exchanged_parcels[nth], number, exchanged);
        self.note_deed(Deed::ExchangedParcel(number, nth as u8));
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
        let (exchanged, _) = self.logs.number(exchanged);
        note(&mut self.exchanged_logs[nth], number, exchanged);
        self.note_deed(Deed::ExchangedLog(number, nth as u8));
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
        self.note_deed(Deed::RecountedServer(number, names));
        recounted
    }

    /// A parcel with what it shares with a server counted anew.
    pub(super) fn recounted_parcel(&mut self, number: u32, mut names: Recount) -> u32 {
        if let Some(known) = self.recounted_parcels.get(&(number, names)) {
            return *known;
        }
        let recounted = self.parcel(number).clone().renamed(&mut names);
        let recounted = self.parcel_number(recounted);
        self.recounted_parcels.insert((number, names), recounted);
        self.note_deed(Deed::RecountedParcel(number, names));
        recounted
    }

    /// A server with the boots of one server counted anew.
    pub(super) fn rebooted_server(&mut self, number: u32, names: Boots) -> u32 {
        if let Some(known) = self.rebooted_servers.get(&(number, names)) {
            return *known;
        }
        let rebooted = self.server(number).rebooted(names);
        let rebooted = self.server_number(rebooted);
        self.rebooted_servers.insert((number, names), rebooted);
        self.note_deed(Deed::RebootedServer(number, names));
        rebooted
    }

    /// A parcel with the boots of one server counted anew.
    pub(super) fn rebooted_parcel(&mut self, number: u32, mut names: Boots) -> u32 {
        if let Some(known) = self.rebooted_parcels.get(&(number, names)) {
            return *known;
        }
        let rebooted = self.parcel(number).clone().renamed(&mut names);
        let rebooted = self.parcel_number(rebooted);
        self.rebooted_parcels.insert((number, names), rebooted);
        self.note_deed(Deed::RebootedParcel(number, names));
        rebooted
    }

    /// A server as far as it matters where nobody goes down any more.
    pub(super) fn server_at_ease(&mut self, number: u32) -> u32 {
        if let Some(known) = known(&self.servers_at_ease, number) {
            return known;
        }
        let at_ease = self.server(number).at_ease();
        let at_ease = self.server_number(at_ease);
        note(&mut self.servers_at_ease, number, at_ease);
        self.note_deed(Deed::ServerAtEase(number));
        at_ease
    }

    /// All that was committed, where this was and this other piece is now.
    ///
    /// # Errors
    /// They are not pieces of one log.
    pub(super) fn join(&mut self, one: u32, other: u32) -> Result<u32, Broken> {
        if one == other {
            return Ok(other);
        }
        let joined = match self.joined.get(&two(one, other)) {
            Some(joined) => *joined,
            None => {
                let before = self.piece(one).cloned().unwrap_or_default();
                let joined = before.joined(self.logs.at(other)).map(|piece| self.logs.number(piece).0);
                self.joined.insert(two(one, other), joined);
                if joined.is_some() {
                    self.note_deed(Deed::Join(one, other));
                }
                joined
            }
        };
        joined.ok_or_else(|| {
            let what = format!("{} is committed, and {}", self.log_text(one), self.log_text(other));
            Broken::new(rules::MACHINES, what)
        })
    }

    /// Whether a log begins with all that was committed.
    pub(super) fn holds(&mut self, log: u32, committed: u32) -> bool {
        if committed == 0 || log == committed {
            return true;
        }
        let (one, other) = (self.logs.at(log), self.logs.at(committed));
        *self.holding.entry(two(log, committed)).or_insert_with(|| one.holds(other))
    }

    /// Whether two logs are equal up to each position that is in both.
    pub(super) fn match_up(&mut self, one: u32, other: u32) -> bool {
        if one == other {
            return true;
        }
        let (first, second) = (self.logs.at(one), self.logs.at(other));
        *self.matching.entry(two(one, other)).or_insert_with(|| first.matches(second))
    }
}
