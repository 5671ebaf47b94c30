//! Forwarding: a server that does not lead passes a proposal on to the leader that it follows, and hands the answer back.
//!
//! The packet names a term, like any, and only the leader of exactly that term takes it: a proposal never wanders from leader to leader.
//! It takes each once: a packet that comes again, or so late that a later one from the same server has moved the window beyond it, is
//! dropped. What the sender is not told of within a bounded time, or before it follows somebody else, it answers as
//! [`Outcome::Unanswered`]: that may have been committed or not. Only what the leader itself has refused is refused.
//!
//! Reads need no forwarding: a follower asks the leader for the index alone, and reads from its own state machine (see `reads`).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::identity::{Boot, Pair};
use crate::marks::{Mark, reached};
use crate::membership::Membership;
use crate::message::Commands;
use crate::node::Node;
use crate::packet::Body;
use crate::position::{LogIndex, Position, RequestId, Term, Token};
use crate::ready::{Answer, Outcome, Ready, Refusal};
use crate::renaming::Renaming;
use crate::role::Role;

/// A proposal that was passed on and is not answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Passed {
    id: RequestId,
    token: Token,
    /// Ticks since it was passed on.
    age: u32,
}

/// A proposal that this leader has appended for another server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Taken {
    from: Pair,
    boot: Boot,
    token: Token,
    first: LogIndex,
    last: LogIndex,
    bytes: u64,
}

/// Which of a server's proposals this leader has seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Window {
    from: Pair,
    boot: Boot,
    /// The latest.
    latest: Token,
    /// Those before it: bit n stands for the one that is n + 1 before the latest.
    before: u64,
}

impl Window {
    /// Takes note of a token. Returns whether it is new.
    fn takes(&mut self, boot: Boot, token: Token) -> bool {
        if boot != self.boot {
            let newer = self.boot < boot;
            if newer {
                *self = Window { boot, latest: token, before: 0, ..*self };
            }
            return newer;
        }
        if self.latest < token {
            let moved = token.raw() - self.latest.raw();
            // The one that was the latest becomes one before.
            self.before = match moved {
                64 => 1 << 63,
                65.. => 0,
                _ => self.before << moved | 1 << (moved - 1),
            };
            self.latest = token;
            return true;
        }
        let back = self.latest.raw() - token.raw();
        if back == 0 || 64 < back || self.before & 1 << (back - 1) != 0 {
            return false;
        }
        self.before |= 1 << (back - 1);
        true
    }
}

/// So many servers have a window at most, those that were members and are gone included. What others pass on is dropped.
const WINDOWS_MAX: usize = 2 * Membership::SERVERS_MAX;

/// All of a node's forwarding, both halves.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Forwards {
    /// In the order in which they were passed on, so that tokens rise and ages fall.
    passed: VecDeque<Passed>,
    /// The latest token of this boot.
    token: Token,
    /// In log order.
    taken: VecDeque<Taken>,
    taken_bytes: u64,
    /// Sorted by server; of the term that this server leads.
    windows: Vec<Window>,
}

impl Forwards {
    /// With other names, see [`Renaming`].
    pub(crate) fn rename(&mut self, names: &mut impl Renaming) {
        for taken in &mut self.taken {
            taken.boot = names.boot(taken.from, taken.boot);
            taken.from = names.pair(taken.from);
        }
        for window in &mut self.windows {
            window.boot = names.boot(window.from, window.boot);
            window.from = names.pair(window.from);
        }
        self.windows.sort_unstable_by_key(|window| window.from);
    }

    /// How much of what this leader has appended for others waits to be committed: how many proposals and how many bytes.
    #[inline]
    pub(crate) fn taken(&self) -> (usize, u64) {
        (self.taken.len(), self.taken_bytes)
    }

    /// How long the oldest one that was passed on waits already, in ticks.
    pub(crate) fn oldest_age(&self) -> Option<u32> {
        self.passed.front().map(|passed| passed.age)
    }

    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        !self.passed.is_empty()
    }

    #[inline]
    pub(crate) fn has_taken(&self) -> bool {
        !self.taken.is_empty()
    }

    /// Whether this token has not come before from that boot of that server; it has, from now on.
    fn is_new(&mut self, from: Pair, boot: Boot, token: Token) -> bool {
        match self.windows.binary_search_by(|window| window.from.cmp(&from)) {
            Ok(place) => self.windows[place].takes(boot, token),
            // One that has gone may come back in the same term, with old packets behind it: so none is forgotten before that.
            Err(_) if WINDOWS_MAX <= self.windows.len() => false,
            Err(place) => {
                self.windows.insert(place, Window { from, boot, latest: token, before: 0 });
                true
            }
        }
    }

    /// What must hold; `Err` names what does not.
    pub(crate) fn check(&self, leads: bool, last: LogIndex) -> Result<(), &'static str> {
        let leads_for = !self.taken.is_empty() || !self.windows.is_empty();
        if leads_for && !leads {
            return Err("only a leader takes proposals for others");
        }
        if self.taken.iter().map(|taken| taken.bytes).sum::<u64>() != self.taken_bytes {
            return Err("the bytes of proposals of others are those of the ones that wait");
        }
        if !self.taken.iter().is_sorted_by(|a, b| a.last < b.first)
            || self.taken.back().is_some_and(|taken| last < taken.last)
        {
            return Err("proposals of others wait in log order, and are in the log");
        }
        if !self.passed.iter().is_sorted_by(|a, b| a.token < b.token && b.age <= a.age) {
            return Err("what was passed on later has waited less");
        }
        if !self.windows.is_sorted_by(|a, b| a.from < b.from) {
            return Err("windows are sorted by server");
        }
        Ok(())
    }
}

impl Node {
    /// A client's proposal, for the leader wherever it is.
    #[cold]
    pub(crate) fn forward(&mut self, id: RequestId, commands: Commands, ready: &mut Ready) {
        if matches!(self.role, Role::Leader { .. }) {
            return self.propose(id, commands, ready);
        }
        let admitted = match self.leader() {
            _ if self.fault.is_some() => Err(Refusal::Halted),
            None => Err(Refusal::NotLeader { leader: None }),
            Some(_) if self.config.proposals_max as usize <= self.forwards.passed.len() => Err(Refusal::Busy),
            Some(leader) => self.admit_commands(commands.as_slice()).and_then(|bytes| {
                let fits = commands.as_slice().len() == 1 || bytes <= self.config.append_bytes_max;
                if fits { Ok(leader) } else { Err(Refusal::TooLarge) }
            }),
        };
        let leader = match admitted {
            Ok(leader) => leader,
            Err(refusal) => return ready.answers.push(Answer { id, outcome: Outcome::Refused(refusal) }),
        };
        self.forwards.token = self.forwards.token.next();
        let token = self.forwards.token;
        self.forwards.passed.push_back(Passed { id, token, age: 0 });
        ready.send.push(self.packet(leader, Body::Propose { token, commands }));
    }

    /// Lets time pass for what was passed on, and gives up what has waited for too long.
    #[cold]
    pub(crate) fn tick_forwards(&mut self, elapsed: u32, ready: &mut Ready) {
        for passed in &mut self.forwards.passed {
            passed.age = passed.age.saturating_add(elapsed);
        }
        while let Some(oldest) = self.forwards.passed.front().copied()
            && self.config.forward_ticks <= oldest.age
        {
            self.forwards.passed.pop_front();
            reached(Mark::ForwardUnanswered);
            ready.answers.push(Answer { id: oldest.id, outcome: Outcome::Unanswered });
        }
    }

    /// The leader that it was passed on to is not followed any more, or the node has halted.
    #[cold]
    pub(crate) fn give_up_forwards(&mut self, ready: &mut Ready) {
        for Passed { id, .. } in self.forwards.passed.drain(..) {
            reached(Mark::ForwardUnanswered);
            ready.answers.push(Answer { id, outcome: Outcome::Unanswered });
        }
    }

    /// Another server has passed a proposal on, in the term that this one leads; where it does not, or the token is used up, nothing
    /// happens.
    #[cold]
    pub(crate) fn proposed_by(
        &mut self,
        (from, boot): (Pair, Boot),
        token: Token,
        commands: Commands,
        ready: &mut Ready,
    ) {
        if self.follower(from).is_none() || !self.forwards.is_new(from, boot, token) {
            return reached(Mark::ForwardDropped);
        }
        match self.admit(commands.as_slice()) {
            Ok(()) => {
                reached(Mark::ForwardTaken);
                let (first, last, bytes) = self.append_commands(commands);
                self.forwards.taken_bytes += bytes;
                self.forwards.taken.push_back(Taken { from, boot, token, first, last, bytes });
            }
            Err(refusal) => {
                let outcome = Outcome::Refused(refusal);
                ready.send.push(self.packet(from, Body::Proposed { boot, token, outcome }));
            }
        }
    }

    /// Tells the servers whose proposals end at `end` or before what came of them, at positions of `term`.
    #[cold]
    pub(crate) fn answer_taken(
        &mut self,
        end: LogIndex,
        term: Term,
        outcome: impl Fn(Position, Position) -> Outcome,
        ready: &mut Ready,
    ) {
        while let Some(taken) = self.forwards.taken.front().copied()
            && taken.last <= end
        {
            self.forwards.taken.pop_front();
            self.forwards.taken_bytes -= taken.bytes;
            let outcome =
                outcome(Position { term, index: taken.first }, Position { term, index: taken.last });
            let body = Body::Proposed { boot: taken.boot, token: taken.token, outcome };
            ready.send.push(self.packet(taken.from, body));
        }
    }

    /// This server leads no more.
    pub(crate) fn lose_taken(&mut self, ready: &mut Ready) {
        if self.forwards.has_taken() {
            let term = self.log.last().term;
            self.answer_taken(LogIndex::MAX, term, |first, last| Outcome::Lost { first, last }, ready);
        }
        self.forwards.windows.clear();
    }

    /// The leader says what came of a proposal that this server has passed on.
    #[cold]
    pub(crate) fn proposed(
        &mut self,
        from: Pair,
        (boot, token): (Boot, Token),
        outcome: Outcome,
        ready: &mut Ready,
    ) {
        let led = self.leader() == Some(from);
        let passed = &mut self.forwards.passed;
        if led
            && boot == self.identity.boot
            && let Ok(place) = passed.binary_search_by(|passed| passed.token.cmp(&token))
            && let Some(Passed { id, .. }) = passed.remove(place)
        {
            ready.answers.push(Answer { id, outcome });
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a token is taken once, whatever order and however often it comes. Method: random sequences against a set.

    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    use super::{Forwards, WINDOWS_MAX, Window};
    use crate::identity::{Boot, Incarnation, NodeId, Pair};
    use crate::position::Token;
    use proptest::prelude::*;

    fn pair(id: usize) -> Pair {
        Pair { id: NodeId::new(id as u64).expect("not zero"), incarnation: Incarnation::new(1) }
    }

    fn window() -> Window {
        Window { from: pair(1), boot: Boot::new(1), latest: Token::new(1), before: 0 }
    }

    proptest! {
        #[test]
        fn tokens_are_taken_once(steps in proptest::collection::vec((0..3u8, 0..200u64), 1..300)) {
            let (mut window, mut taken, mut latest) = (window(), BTreeSet::from([1]), 1u64);
            for (kind, by) in steps {
                let token = if kind == 0 { latest + by % 80 } else { latest.saturating_sub(by).max(1) };
                let within = latest < token || latest - token <= 64;
                let expected = within && !taken.contains(&token);
                prop_assert_eq!(window.takes(Boot::new(1), Token::new(token)), expected, "{} of {}", token, latest);
                if expected {
                    taken.insert(token);
                    latest = latest.max(token);
                }
            }
        }
    }

    /// However many servers come and go while one leads, it remembers no more than so many, and those it does not forget.
    #[test]
    fn windows_are_bounded_and_none_is_forgotten() {
        let mut forwards = Forwards::default();
        let mut is_new = |id, token| forwards.is_new(pair(id), Boot::new(1), Token::new(token));
        assert!((1..=WINDOWS_MAX).rev().all(|id| is_new(id, 1)), "there is room for each");
        assert!(!is_new(WINDOWS_MAX + 1, 1), "there is no room for another one");
        assert!((1..=WINDOWS_MAX).all(|id| !is_new(id, 1)), "what they passed on is used up");
        assert!(is_new(1, 2) && is_new(WINDOWS_MAX, 2), "and they go on");
        assert_eq!(forwards.windows.len(), WINDOWS_MAX);
        assert_eq!(forwards.check(true, crate::position::LogIndex::ZERO), Ok(()));
    }

    #[test]
    fn newer_boot_begins_anew_and_an_older_one_is_over() {
        let mut window = window();
        let mut take = |boot, token| window.takes(Boot::new(boot), Token::new(token));
        assert_eq!(
            [(2, 1), (1, 9), (2, 1), (2, 2)].map(|(boot, token)| take(boot, token)),
            [true, false, false, true]
        );
        let all: Vec<bool> = (0..4).map(|back| take(2, 66 - back)).collect();
        assert_eq!(all, [true; 4]);
        assert!(!take(2, 2) && !take(2, 1), "used up, and beyond the window");
    }
}
