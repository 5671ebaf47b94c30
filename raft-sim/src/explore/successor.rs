//! What can be chosen in a state, and what it leads to.

use super::book::{Book, Change, What, look_of};
use super::rules::{self, Broken};
use super::state::{Of, State};

/// What is taken next in a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Choice {
    pub(super) act: Act,
    /// Which of the packets that are sent then the network keeps, as bits: all of them while there is room.
    pub(super) kept: u8,
}

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// The packet at this place among those in flight.
    Deliver(u8),
    DeliverCopy(u8),
    Drop(u8),
    Timeout(u8),
    Propose(u8),
    /// Server, and number of writes.
    Sync(u8, u8),
    /// Server, and number of writes that are kept.
    Crash(u8, u8),
    Restart(u8),
}

impl Choice {
    /// With room for all packets.
    pub(super) const fn whole(act: Act) -> Self {
        Choice { act, kept: u8::MAX }
    }

    pub(super) const fn pack(self) -> u32 {
        let (kind, place, number) = match self.act {
            Act::Deliver(packet) => (0, packet, 0),
            Act::DeliverCopy(packet) => (1, packet, 0),
            Act::Drop(packet) => (2, packet, 0),
            Act::Timeout(server) => (3, server, 0),
            Act::Propose(server) => (4, server, 0),
            Act::Sync(server, writes) => (5, server, writes),
            Act::Crash(server, kept) => (6, server, kept),
            Act::Restart(server) => (7, server, 0),
        };
        kind << 24 | (place as u32) << 16 | (number as u32) << 8 | self.kept as u32
    }

    pub(super) const fn unpack(packed: u32) -> Self {
        let (place, number) = ((packed >> 16) as u8, (packed >> 8) as u8);
        let act = match packed >> 24 {
            0 => Act::Deliver(place),
            1 => Act::DeliverCopy(place),
            2 => Act::Drop(place),
            3 => Act::Timeout(place),
            4 => Act::Propose(place),
            5 => Act::Sync(place, number),
            6 => Act::Crash(place, number),
            _ => Act::Restart(place),
        };
        Choice { act, kept: packed as u8 }
    }
}

/// What an act has led to, but for the packets that it has sent.
pub(super) struct Taken {
    pub(super) state: State,
    /// Where it happened.
    pub(super) place: usize,
    /// How the action looked.
    pub(super) look: u32,
    /// Whether the log of a server is another one, or more is committed.
    pub(super) rewritten: bool,
    /// What came of it at the server, if anything did.
    pub(super) change: Option<Change>,
}

impl Taken {
    /// How many packets were sent.
    pub(super) fn sent(&self) -> u8 {
        self.change.map_or(0, |change| change.sent)
    }

    /// Which of the packets that were sent the network can keep: all of them, or any as many as there is room for.
    pub(super) fn keeps(&self, messages: u8) -> impl Iterator<Item = u8> + use<> {
        let (sent, room) = (self.sent(), messages - self.state.count);
        let all = ((1_u32 << sent) - 1) as u8;
        let fits = sent <= room;
        (0..=all)
            .rev()
            .filter(move |kept| if fits { *kept == all } else { kept.count_ones() == u32::from(room) })
    }

    /// The state with these packets in flight.
    pub(super) fn with_sent(&self, book: &Book, kept: u8) -> State {
        let mut state = self.state;
        let sent = self.change.as_ref().map_or(&[][..], |change| book.sent_by(change));
        for (_, packet) in sent.iter().enumerate().filter(|(nth, _)| kept >> nth & 1 == 1) {
            state.packets[usize::from(state.count)] = *packet;
            state.count += 1;
        }
        state
    }
}

/// Takes an act that the state has. `None`: that goes beyond a bound.
///
/// # Errors
/// A rule that it breaks.
pub(super) fn take(book: &mut Book, state: &State, act: Act) -> Result<Option<Taken>, Broken> {
    let mut after = *state;
    let (place, what) = match act {
        Act::Drop(nth) => {
            let facts = *book.packet_facts(state.packets[usize::from(nth)]);
            after.remove(nth);
            after.used = after.used.one_more(Of::Drops);
            let look = look_of(&[u64::from(facts.look), 1]);
            let place = usize::from(facts.to);
            return Ok(Some(Taken { state: after, place, look, rewritten: false, change: None }));
        }
        Act::Deliver(nth) | Act::DeliverCopy(nth) => {
            let packet = state.packets[usize::from(nth)];
            if let Act::Deliver(_) = act {
                after.remove(nth);
            } else {
                after.used = after.used.one_more(Of::Duplicates);
            }
            (usize::from(book.packet_facts(packet).to), What::Deliver(packet))
        }
        Act::Timeout(server) => (usize::from(server), What::Timeout),
        Act::Propose(server) => {
            after.used = after.used.one_more(Of::Entries);
            (usize::from(server), What::Propose(after.used.of(Of::Entries)))
        }
        Act::Sync(server, writes) => (usize::from(server), What::Sync(writes)),
        Act::Crash(server, kept) => {
            after.used = after.used.one_more(Of::Crashes);
            (usize::from(server), What::Crash(kept))
        }
        Act::Restart(server) => (usize::from(server), What::Restart),
    };
    let change = book.change(state.servers[place], what)?;
    if change.outside {
        return Ok(None);
    }
    after.servers[place] = change.server;
    if change.elected != 0 {
        elected(book, &mut after, change.elected, place)?;
    }
    if change.committed != 0 {
        after.committed = book.join(after.committed, change.committed)?;
    }
    let rewritten = change.rewritten || change.committed != 0;
    Ok(Some(Taken { state: after, place, look: change.look, rewritten, change: Some(change) }))
}

/// At most one leader is elected in a term (Raft thesis figure 3.2); and it has all that was committed before, unless it comes too late to
/// lead anybody (§3.6.3).
fn elected(book: &mut Book, state: &mut State, term: u8, place: usize) -> Result<(), Broken> {
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
        let (log, committed) = (book.runs(log), book.runs(state.committed));
        let what =
            format!("server {} leads term {term} with {log:?}, but {committed:?} is committed", place + 1);
        return Err(Broken::new(rules::COMPLETENESS, what));
    }
    Ok(())
}

/// What must hold of the logs of a state.
pub(super) fn check(book: &mut Book, state: &State) -> Result<(), Broken> {
    let servers = &state.servers[..book.space.servers()];
    let mut holders = 0;
    for server in servers {
        let durable = book.server_facts(*server).durable;
        holders += usize::from(book.holds(durable, state.committed));
    }
    if 2 * holders <= servers.len() {
        let committed = book.runs(state.committed);
        let what = format!(
            "{committed:?} is committed, which only {holders} of {} servers hold durably",
            servers.len()
        );
        return Err(Broken::new(rules::COMMIT, what));
    }
    for (nth, one) in servers.iter().enumerate() {
        for other in &servers[nth + 1..] {
            let (one, other) = (book.server_facts(*one).log, book.server_facts(*other).log);
            if !book.match_up(one, other) {
                let what = format!("one log is {:?}, another {:?}", book.runs(one), book.runs(other));
                return Err(Broken::new(rules::MATCHING, what));
            }
        }
    }
    Ok(())
}
