//! What can be chosen in a state, and what it leads to.

use raft_core::Membership;

use super::book::{Book, Change};
use super::names::{SERVERS_MAX, place_of};
use super::numbered::look_of;
use super::rules::{self, Broken};
use super::state::{Of, State};
use super::what::What;

/// What is chosen next in a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// The packet at this place among those in flight.
    Deliver(u8),
    DeliverCopy(u8),
    Drop(u8),
    Timeout(u8),
    Silence(u8),
    Propose(u8),
    /// Server, and the voters to be, as bits.
    Reconfigure(u8, u8),
    Snapshot(u8),
    /// Server, and number of writes.
    Sync(u8, u8),
    /// Server, and number of writes that are kept: it goes down, and comes up again.
    Crash(u8, u8),
}

impl Act {
    const fn pack(self) -> u32 {
        let (kind, place, number) = match self {
            Act::Deliver(packet) => (0, packet, 0),
            Act::DeliverCopy(packet) => (1, packet, 0),
            Act::Drop(packet) => (2, packet, 0),
            Act::Timeout(server) => (3, server, 0),
            Act::Propose(server) => (4, server, 0),
            Act::Sync(server, writes) => (5, server, writes),
            Act::Crash(server, kept) => (6, server, kept),
            Act::Silence(server) => (7, server, 0),
            Act::Reconfigure(server, voters) => (8, server, voters),
            Act::Snapshot(server) => (9, server, 0),
        };
        kind << 16 | (place as u32) << 8 | number as u32
    }

    const fn unpack(packed: u32) -> Self {
        let (place, number) = ((packed >> 8) as u8, packed as u8);
        match packed >> 16 {
            0 => Act::Deliver(place),
            1 => Act::DeliverCopy(place),
            2 => Act::Drop(place),
            3 => Act::Timeout(place),
            4 => Act::Propose(place),
            5 => Act::Sync(place, number),
            6 => Act::Crash(place, number),
            7 => Act::Silence(place),
            8 => Act::Reconfigure(place, number),
            _ => Act::Snapshot(place),
        }
    }
}

/// What an act has led to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) state: State,
    /// Where it happened.
    pub(super) place: usize,
    /// How the action looked.
    pub(super) look: u32,
    /// Whether the log of a server is another one.
    pub(super) rewritten: bool,
    /// Which of the packets that were sent are of use to their receivers, as bits.
    pub(super) useful: u8,
    /// What came of it at the server, if anything did.
    pub(super) change: Option<Change>,
    /// What the sender of a snapshot is told by that; 0: nothing.
    pub(super) report: u32,
}

/// What is chosen: an act, and where a leader hands over by it to one of several that are as good, which of them; 0: the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Choice {
    pub(super) act: Act,
    pub(super) heir: u8,
}

impl From<Act> for Choice {
    fn from(act: Act) -> Self {
        Choice { act, heir: 0 }
    }
}

impl Choice {
    pub(super) const fn pack(self) -> u32 {
        self.act.pack() | (self.heir as u32) << 24
    }

    pub(super) const fn unpack(packed: u32) -> Self {
        Choice { act: Act::unpack(packed & 0xff_ffff), heir: (packed >> 24) as u8 }
    }
}

/// Takes what was chosen in a state. `None`: that goes beyond a bound.
///
/// # Errors
/// A rule that it breaks.
pub(super) fn take(
    book: &mut Book,
    state: &State,
    choice: impl Into<Choice>,
) -> Result<Option<Taken>, Broken> {
    take_beside(book, state, choice.into()).map(|(taken, _)| taken)
}

/// The same, and how many other heirs could have been chosen.
///
/// # Errors
/// A rule that it breaks.
pub(super) fn take_beside(
    book: &mut Book,
    state: &State,
    choice: Choice,
) -> Result<(Option<Taken>, u8), Broken> {
    let Choice { act, heir } = choice;
    let mut after = *state;
    let mut report = 0;
    let (place, what) = match act {
        Act::Drop(nth) => {
            let parcel = state.packets[usize::from(nth)];
            let facts = *book.parcel_facts(parcel);
            after.remove(nth);
            after.used = after.used.one_more(Of::Drops);
            let report = after.tell(book, parcel, false);
            let look = look_of(&[u64::from(facts.look), 1]);
            let place = usize::from(facts.to);
            let (rewritten, useful) = (false, 0);
            let taken = Taken { state: after, place, look, rewritten, useful, change: None, report };
            return Ok((Some(taken), 0));
        }
        Act::Deliver(nth) | Act::DeliverCopy(nth) => {
            let parcel = state.packets[usize::from(nth)];
            if let Act::Deliver(_) = act {
                after.remove(nth);
                report = after.tell(book, parcel, true);
            } else {
                after.used = after.used.one_more(Of::Duplicates);
            }
            (usize::from(book.parcel_facts(parcel).to), What::Deliver(parcel))
        }
        Act::Timeout(server) => {
            let place = usize::from(server);
            let (leads, bounds) = (book.server_facts(state.servers[place]).leads, book.space.bounds());
            if leads && bounds.patient && state.busy(book) >> server & 1 == 1 {
                return Ok((None, 0));
            }
            if let Some(most) = bounds.heartbeats
                && leads
            {
                if state.used.of(Of::Heartbeats) == most {
                    return Ok((None, 0));
                }
                after.used = after.used.one_more(Of::Heartbeats);
            }
            (place, What::Timeout)
        }
        Act::Silence(server) => (usize::from(server), What::Silence),
        Act::Propose(server) => {
            after.used = after.used.one_more(Of::Entries);
            (usize::from(server), What::Propose(after.used.requests()))
        }
        Act::Reconfigure(server, voters) => {
            after.used = after.used.one_more(Of::Changes);
            let nth = after.used.requests();
            (usize::from(server), What::Reconfigure { nth, voters })
        }
        Act::Snapshot(server) => {
            after.used = after.used.one_more(Of::Snapshots);
            (usize::from(server), What::Snapshot)
        }
        Act::Sync(server, writes) => (usize::from(server), What::Sync(writes)),
        Act::Crash(server, kept) => {
            after.used = after.used.one_more(Of::Crashes);
            after.abort(book, server);
            (usize::from(server), What::Crash(kept))
        }
    };
    let mut change = book.change(state.servers[place], what)?;
    let others = if change.hands_over { book.others(state.servers[place], what)? } else { Vec::new() };
    let heirs = others.len() as u8;
    if let Some(other) = usize::from(heir).checked_sub(1) {
        change = others[other];
    }
    if change.outside {
        return Ok((None, heirs));
    }
    after.servers[place] = change.server;
    if change.elected != 0 {
        elected(book, &mut after, change.elected, place)?;
    }
    if change.committed != 0 {
        after.committed = book.join(after.committed, change.committed)?;
    }
    if book.space.bounds().snapshots != 0 && change.rewritten {
        compacted(book, state, place, change.server)?;
    }
    after.remove_useless(book, place);
    let mut useful = 0;
    for nth in 0..change.sent {
        let packet = book.sent_by(&change)[usize::from(nth)];
        let receiver = after.servers[usize::from(book.parcel_facts(packet).to)];
        if !book.is_of_use(packet, receiver) {
            continue;
        }
        if after.count == book.space.bounds().messages {
            return Ok((None, heirs));
        }
        useful |= 1 << nth;
        after.packets[usize::from(after.count)] = packet;
        after.count += 1;
    }
    if after.committed != state.committed {
        committed(book, &after)?;
    }
    let rewritten = change.rewritten;
    let look = change.look;
    let taken = Taken { state: after, place, look, rewritten, useful, change: Some(change), report };
    Ok((Some(taken), heirs))
}

/// At most one leader is elected in a term (Raft thesis figure 3.2); and it has all that was committed before, unless it comes too late to
/// lead anybody (§3.6.3).
fn elected(book: &mut Book, state: &mut State, term: u8, place: usize) -> Result<(), Broken> {
    let over = state.terms_over(book);
    if term <= over {
        let what = format!("server {} leads term {term}, which is over on all disks", place + 1);
        return Err(Broken::new(rules::ELECTION, what));
    }
    let before = usize::from(state.leader_of(term));
    if before != 0 && before != place + 1 {
        let what = format!("servers {before} and {} both lead term {term}", place + 1);
        return Err(Broken::new(rules::ELECTION, what));
    }
    state.with_leader(term, place);
    let log = book.server_facts(state.servers[place]).log;
    let is_latest = (term + 1..=7).all(|later| state.leader_of(later) == 0);
    // What was committed in this term was committed by this very server, in this step at the earliest.
    if is_latest && !book.holds(log, state.committed) {
        let (log, committed) = (book.log_text(log), book.log_text(state.committed));
        let what = format!("server {} leads term {term} with {log}, but {committed} is committed", place + 1);
        return Err(Broken::new(rules::COMPLETENESS, what));
    }
    Ok(())
}

/// A leader does not compact its log beyond a snapshot that it sends: whoever has that would need another one at once.
fn compacted(book: &Book, state: &State, place: usize, after: u32) -> Result<(), Broken> {
    let (before, after) = (book.server_facts(state.servers[place]), book.server_facts(after));
    let start = book.start_of(after.log);
    if !before.leads || !after.leads || start == book.start_of(before.log) {
        return Ok(());
    }
    let own = state.packets().iter().filter(|packet| book.snapshot_from(**packet) == Some(place));
    let end = own.filter_map(|packet| book.snapshot_end(*packet)).min();
    if end.is_some_and(|end| end < start) {
        let what = format!("the log of server {} begins behind {start} while it sends less", place + 1);
        return Err(Broken::new(rules::SNAPSHOTS, what));
    }
    Ok(())
}

/// What was just committed is durable on a quorum. Later that need not be so: the configuration by which it was committed may not have been durable
/// anywhere, and be lost with a crash.
fn committed(book: &mut Book, state: &State) -> Result<(), Broken> {
    let servers = &state.servers[..book.space.servers()];
    let mut holds = [false; SERVERS_MAX];
    for (holds, server) in holds.iter_mut().zip(servers) {
        let durable = book.server_facts(*server).durable;
        *holds = book.holds(durable, state.committed);
    }
    if is_held(book, state, servers, &holds) {
        return Ok(());
    }
    let (committed, holders) = (book.log_text(state.committed), holds.iter().filter(|holds| **holds).count());
    let what =
        format!("{committed} is committed, which only {holders} of {} servers hold durably", servers.len());
    Err(Broken::new(rules::COMMIT, what))
}

/// What must hold of the logs of a state.
pub(super) fn check(book: &mut Book, state: &State) -> Result<(), Broken> {
    let servers = &state.servers[..book.space.servers()];
    for (nth, one) in servers.iter().enumerate() {
        for other in &servers[nth + 1..] {
            let (one, other) = (book.server_facts(*one).log, book.server_facts(*other).log);
            if !book.match_up(one, other) {
                let what = format!("one log is {}, another {}", book.log_text(one), book.log_text(other));
                return Err(Broken::new(rules::MATCHING, what));
            }
        }
    }
    Ok(())
}

/// Whether a quorum holds what was committed: of the configuration that was committed last, or of one behind it, which may have been in force
/// already when that was committed (Raft thesis §4.1). None was, where what was committed ends with a configuration: there is one change at
/// a time.
fn is_held(book: &mut Book, state: &State, servers: &[u32], holds: &[bool]) -> bool {
    let is_quorum = |membership: &Membership| {
        membership.is_quorum(|pair| holds.get(place_of(pair)).copied().unwrap_or(false))
    };
    if state.committed == 0 || book.membership(state.committed).is_none_or(is_quorum) {
        return true;
    }
    state.used.of(Of::Changes) != 0
        && !book.ends_with_membership(state.committed)
        && servers.iter().any(|server| {
            let log = book.server_facts(*server).log;
            book.holds(log, state.committed) && book.membership(log).is_some_and(is_quorum)
        })
}
