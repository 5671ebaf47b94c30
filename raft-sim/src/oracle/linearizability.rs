//! Linearizability of what clients were told, by witness.
//!
//! The log says where every call took effect. What can be seen at once is reported at once; in the end the history as a
//! whole is judged by [`History::by_witness`], which knows nothing of all this.

use raft_core::{LogIndex, Position};

use super::sessions::Effect;
use super::{Verdict, broken};
use crate::history::{Call, History, Operation, Outcome, Registers, Reply};

pub(super) const NAME: &str = "linearizability";
const RULE: &str = "each operation appears to execute instantaneously, exactly once, at some point between its invocation and \
                    its response (Raft thesis §6.3)";

/// What the oracle knows of a call besides what its client knows.
#[derive(Clone, Copy, Debug)]
struct Known {
    request: u64,
    /// The highest position that was answered when it was invoked.
    floor: u64,
    /// The log's reply.
    reply: Option<Reply>,
    may_be_sent_again: bool,
}

/// The history of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Linearizability {
    history: History,
    // In the same order, so requests rise.
    known: Vec<Known>,
    registers: Registers,
    highest: u64,
}

impl Linearizability {
    pub(super) fn called(&mut self, request: u64, client: u8, key: u8, operation: Operation, invoked: u64) {
        let (client, key) = (u64::from(client), u64::from(key));
        self.history.push(Call { client, key, operation, invoked, outcome: Outcome::Open, position: None });
        self.known.push(Known { request, floor: self.highest, reply: None, may_be_sent_again: false });
    }

    /// Whether this request is a call.
    pub(super) fn place(&self, request: u64) -> Option<usize> {
        self.known.binary_search_by_key(&request, |known| known.request).ok()
    }

    pub(super) fn refused(&mut self, request: u64) -> Verdict {
        let Some(place) = self.place(request) else { return Ok(()) };
        if self.known[place].may_be_sent_again {
            return Ok(());
        }
        self.history.calls[place].outcome = Outcome::Refused;
        let call = self.history.calls[place];
        if call.position.is_some() {
            return broken(NAME, RULE, || format!("refused, and in the log: {call}"));
        }
        Ok(())
    }

    /// A client with a session has asked. What is refused or lost it sends again, as another request but the same call.
    pub(super) fn submitted(
        &mut self,
        request: u64,
        client: u8,
        key: u8,
        operation: Operation,
        invoked: u64,
    ) {
        self.called(request, client, key, operation, invoked);
        if let Some(known) = self.known.last_mut() {
            known.may_be_sent_again = true;
        }
    }

    /// A client with a session was told the reply. It stands where it took effect, not where it was sent again.
    pub(super) fn submission_answered(&mut self, request: u64, reply: Reply, at: u64) -> Verdict {
        let place = self.place(request);
        match place.and_then(|place| self.history.calls[place].position) {
            Some(position) => self.replied(request, reply, LogIndex::new(position), at),
            None => broken(NAME, RULE, || format!("request {request} was answered and had no effect")),
        }
    }

    /// An entry has taken effect, for the first time on any server.
    pub(super) fn applied(&mut self, position: Position, effect: Effect) -> Verdict {
        let Effect { request, key, operation } = effect;
        let reply = self.registers.apply(key, operation);
        let Some(place) = self.place(request) else { return Ok(()) };
        let (call, known) = (&mut self.history.calls[place], &mut self.known[place]);
        if call.position.is_some() || call.outcome == Outcome::Refused {
            let call = *call;
            return broken(NAME, RULE, || format!("at {} (again): {call}", position.index));
        }
        let at = position.index.raw();
        call.position = Some(at);
        known.reply = Some(reply);
        let (call, floor) = (*call, known.floor);
        if at <= floor {
            return broken(NAME, RULE, || format!("position {floor} was answered before this began: {call}"));
        }
        Ok(())
    }

    /// A client was told the reply of a state machine that stands at `position`. A read that did not go through the log has no
    /// position of its own.
    pub(super) fn replied(&mut self, request: u64, reply: Reply, position: LogIndex, at: u64) -> Verdict {
        let Some(place) = self.place(request) else { return Ok(()) };
        let (call, known) = (&mut self.history.calls[place], self.known[place]);
        let position = position.raw();
        call.outcome = Outcome::Answered { at, reply };
        let in_place = *call.position.get_or_insert(position) == position;
        self.highest = self.highest.max(position);
        let call = *call;
        if !in_place || known.reply.is_some_and(|expected| expected != reply) {
            let reply = known.reply;
            return broken(NAME, RULE, || format!("the log's reply is {reply:?}: {call}"));
        }
        if position < known.floor {
            let floor = known.floor;
            return broken(NAME, RULE, || format!("position {floor} was answered before this began: {call}"));
        }
        Ok(())
    }

    /// The last word on the whole history.
    pub(super) fn judge(&self) -> Verdict {
        self.history.by_witness().or_else(|error| broken(NAME, RULE, || error.to_string()))
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }
}
