//! Clients of the registers in a world: their calls, and the replies of the replicated state machines.

use raft_core::{Answer, LogIndex, Message, Outcome as Told, RequestId};

use super::{Applied, News, Outcome, World};
use crate::action::HostId;
use crate::client::{self, Asked};
use crate::history::{History, Operation, Reply};
use crate::oracle::{Reading, Violation};
use crate::rig::Rig;

/// What a client heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// What a node says of its request. Of a call that is committed the reply is still to come.
    Answer(Answer),
    /// The reply of a state machine.
    Reply {
        /// To which request; of what was sent more than once, the first.
        request: u64,
        /// What it says.
        reply: Reply,
    },
}

impl<R: Rig> World<R> {
    pub(super) fn call(
        &mut self,
        host: HostId,
        request: u64,
        (client, key): (u8, u8),
        asked: Asked,
    ) -> Outcome {
        if self.up(host).is_none() || request <= self.requests || u64::MAX >> 8 < request {
            return Ok(Applied::Impossible);
        }
        self.requests = request;
        self.counts.calls += 1;
        let (operation, moment) = (asked.operation(request), self.counts.actions);
        self.oracles.called(request, client, key, operation, moment);
        if asked == Asked::Read && self.rig.reads_locally() {
            let machine = &self.hosts[host.nth()];
            let reply = Reply::Value(machine.machine.registers.value(u64::from(key)));
            let position = machine.machine.last.index;
            self.reply(request, reply, position)?;
            return Ok(Applied::Done);
        }
        self.counts.proposals += 1;
        let commands = client::call(request, key, asked);
        self.oracles.proposed(host, request, 1, client::bytes_of(&commands));
        self.mail(host, Message::Propose { id: RequestId::new(request), commands })
    }

    /// A client writes a register by way of any server, which passes that on to the leader.
    pub(super) fn forward(&mut self, host: HostId, request: u64, (client, key): (u8, u8)) -> Outcome {
        if self.up(host).is_none() || request <= self.requests || u64::MAX >> 8 < request {
            return Ok(Applied::Impossible);
        }
        self.requests = request;
        self.counts.forwards += 1;
        let operation = Asked::Write.operation(request);
        self.oracles.called(request, client, key, operation, self.counts.actions);
        self.oracles.forwarded(host, request);
        let commands = client::call(request, key, Asked::Write);
        self.mail(host, Message::Forward { id: RequestId::new(request), commands })
    }

    /// The driver hands an answer to its client.
    pub(super) fn tell(&mut self, host: HostId, answer: &Answer) -> Result<(), Box<Violation>> {
        let machine = &mut self.hosts[host.nth()];
        let (pair, position) = (machine.pair, machine.machine.last.index);
        self.counts.answered(answer);
        self.heard.push(Heard::Answer(answer.clone()));
        self.oracles.answered(host, answer)?;
        let reading = self.oracles.reading(answer.id.raw());
        self.oracles.read_answered(pair, position, answer)?;
        let request = answer.id.raw();
        let register = self.oracles.register_of(request);
        if self.tenants.has_sent(request) {
            match (&answer.outcome, &mut machine.up) {
                (Told::Committed { first, .. }, Some(running)) => {
                    running.expected.push_back((first.index, request));
                }
                _ => self.tenants.forget(request),
            }
            return Ok(());
        }
        match (register, &answer.outcome) {
            // The reply comes when its state machine is there.
            (Some(_), Told::Committed { first, .. }) => {
                // The answer to what was passed on may come late, when the state machine is there, or beyond what others wait for.
                if first.index <= position {
                    return self.reply(request, Reply::Written, first.index);
                }
                if let Some(running) = &mut machine.up {
                    let place = running.expected.partition_point(|(index, _)| *index <= first.index);
                    running.expected.insert(place, (first.index, request));
                }
                Ok(())
            }
            (Some(key), Told::Readable { .. }) => {
                let reply = Reply::Value(machine.machine.registers.value(key));
                self.count_read(host);
                self.reply(request, reply, position)
            }
            (Some(_), _) => {
                self.news.push(News::Told { request, reply: None });
                Ok(())
            }
            (None, Told::Readable { .. }) if reading == Some(Reading::Barrier) => {
                self.counts.passed += 1;
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    fn reply(&mut self, request: u64, reply: Reply, position: LogIndex) -> Result<(), Box<Violation>> {
        self.counts.replies += 1;
        self.news.push(News::Told { request, reply: Some(reply) });
        self.heard.push(Heard::Reply { request, reply });
        self.oracles.replied(request, reply, position, self.counts.actions)
    }

    /// What clients heard by the last action, in order.
    pub(crate) fn heard(&self) -> &[Heard] {
        &self.heard
    }

    /// What clients of registers asked and were told so far. Times are numbers of actions.
    pub fn history(&self) -> &History {
        self.oracles.history()
    }

    /// Judges that history as a whole; what can be seen of it earlier was reported earlier.
    ///
    /// # Errors
    /// A broken rule.
    pub fn judge_history(&self) -> Result<(), Box<Violation>> {
        self.oracles.judge_history()
    }

    /// A state machine performs the operation that it was fed at `index`; who waits for that is told the reply.
    pub(super) fn perform_operation(
        &mut self,
        host: HostId,
        index: LogIndex,
        key: u64,
        operation: Operation,
    ) -> Result<(), Box<Violation>> {
        let machine = &mut self.hosts[host.nth()];
        let reply = self.rig.perform(host, &mut machine.machine.registers, key, operation);
        let Some(running) = &mut machine.up else { return Ok(()) };
        if let Some((expected, request)) = running.expected.front().copied()
            && expected == index
        {
            running.expected.pop_front();
            self.reply(request, reply, index)?;
        }
        Ok(())
    }
}
