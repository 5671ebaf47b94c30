//! What clients ask of a node that takes no entry in the log: to read its state machine, to be told when that has all that was proposed
//! before, and whether the node leads.

use raft_core::{Message, RequestId};

use super::{Applied, Outcome, World};
use crate::action::HostId;
use crate::history::Operation;
use crate::oracle::Reading;
use crate::rig::Rig;

impl<R: Rig> World<R> {
    /// The reply is what the state machine of that server holds when its node says that it can be read.
    pub(super) fn read(&mut self, host: HostId, request: u64, (client, key): (u8, u8)) -> Outcome {
        let id = RequestId::new(request);
        let outcome = self.ask_to_read(host, request, Reading::Read, Message::Read { id })?;
        if outcome == Applied::Done {
            self.counts.reads += 1;
            self.oracles.called(request, client, key, Operation::Read, self.counts.actions);
        }
        Ok(outcome)
    }

    pub(super) fn barrier(&mut self, host: HostId, request: u64) -> Outcome {
        let id = RequestId::new(request);
        let outcome = self.ask_to_read(host, request, Reading::Barrier, Message::Barrier { id })?;
        self.counts.barriers += u64::from(outcome == Applied::Done);
        Ok(outcome)
    }

    pub(super) fn verify(&mut self, host: HostId, request: u64) -> Outcome {
        let id = RequestId::new(request);
        let outcome = self.ask_to_read(host, request, Reading::Verify, Message::VerifyLeader { id })?;
        self.counts.verifications += u64::from(outcome == Applied::Done);
        Ok(outcome)
    }

    pub(super) fn read_within(&mut self, host: HostId, request: u64, ticks: u32) -> Outcome {
        let id = RequestId::new(request);
        let message = Message::ReadWithin { id, ticks };
        let outcome = self.ask_to_read(host, request, Reading::Within(ticks), message)?;
        self.counts.loose_reads += u64::from(outcome == Applied::Done);
        Ok(outcome)
    }

    fn ask_to_read(&mut self, host: HostId, request: u64, kind: Reading, message: Message) -> Outcome {
        let Some(seen) = self.host_of(host).and_then(|machine| machine.seen()).copied() else {
            return Ok(Applied::Impossible);
        };
        if request <= self.requests || u64::MAX >> 8 < request {
            return Ok(Applied::Impossible);
        }
        self.requests = request;
        self.oracles.read_asked(host, request, kind, &seen);
        self.mail(host, message)
    }

    /// A read was answered on this server: takes note of what it is.
    pub(super) fn count_read(&mut self, host: HostId) {
        let votes = self.oracles.is_voter(self.configuration(host), host);
        let leads = self.host(host).seen().is_some_and(|seen| seen.leads);
        let counts = &mut self.counts;
        match (leads, votes) {
            (true, _) => counts.leader_reads += 1,
            (false, true) => counts.voter_reads += 1,
            (false, false) => counts.learner_reads += 1,
        }
    }
}
