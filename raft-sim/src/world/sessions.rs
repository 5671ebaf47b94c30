//! Clients with sessions in a world: what each has sent and not been answered, and what the session tables of the state machines make
//! of it (Raft thesis §6.3). What is under way, lost or refused such a client sends again, to any server, under the same number.

use std::collections::BTreeMap;

use bytes::Bytes;
use raft_core::{LogIndex, LogTime, Message, RequestId, SessionId, SessionRefusal};

use super::{Applied, Heard, News, Outcome, World};
use crate::action::HostId;
use crate::client::{self, Asked};
use crate::history::{Operation, Reply};
use crate::oracle::{Judged, Violation};
use crate::rig::Rig;
use crate::session::{self, Sent, Submission};

/// How many commands a client has under way at most.
const OPEN_MAX: usize = 4;

/// A command without an answer.
#[derive(Clone, Copy, Debug)]
struct Open {
    number: u64,
    first: u64,
    key: u8,
    asked: Asked,
}

/// A client, as it knows itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenant {
    session: Option<SessionId>,
    next: u64,
    open: Vec<Open>,
}

/// All of them, and whose request is whose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenants {
    clients: BTreeMap<u8, Tenant>,
    requests: BTreeMap<u64, u8>,
}

impl Tenants {
    /// Whether this request is of a client with a session that still listens.
    pub(super) fn has_sent(&self, request: u64) -> bool {
        self.requests.contains_key(&request)
    }

    /// The client hears nothing more of this request; whether it was done it does not know.
    pub(super) fn forget(&mut self, request: u64) {
        self.requests.remove(&request);
    }
}

impl<R: Rig> World<R> {
    /// Whether a client has a session, as far as it knows, and how many of its commands have no answer.
    pub fn tenant(&self, client: u8) -> (bool, usize) {
        let tenant = self.tenants.clients.get(&client);
        tenant.map_or((false, 0), |tenant| (tenant.session.is_some(), tenant.open.len()))
    }

    pub(super) fn register(&mut self, host: HostId, request: u64, client: u8) -> Outcome {
        if self.tenant(client).0 {
            return Ok(Applied::Impossible);
        }
        self.send_for(host, request, client, session::register(request))
    }

    pub(super) fn submit(
        &mut self,
        host: HostId,
        request: u64,
        client: u8,
        (key, asked): (u8, Asked),
    ) -> Outcome {
        let Some(tenant) =
            self.tenants.clients.get_mut(&client).filter(|tenant| tenant.open.len() < OPEN_MAX)
        else {
            return Ok(Applied::Impossible);
        };
        let Some(session) = tenant.session else { return Ok(Applied::Impossible) };
        let number = tenant.next;
        let answered = tenant.open.first().map_or(number, |open| open.number);
        let what = Submission { session, number, answered, first: request, key, asked };
        let outcome = self.send_for(host, request, client, session::submit(request, &what))?;
        if outcome == Applied::Done {
            if let Some(tenant) = self.tenants.clients.get_mut(&client) {
                tenant.next += 1;
                tenant.open.push(Open { number, first: request, key, asked });
            }
            self.counts.submissions += 1;
            self.oracles.submitted(request, client, key, what.operation(), self.counts.actions);
        }
        Ok(outcome)
    }

    /// The how-manieth command without an answer is sent again.
    pub(super) fn submit_again(&mut self, host: HostId, request: u64, client: u8, nth: u8) -> Outcome {
        let Some(tenant) = self.tenants.clients.get(&client) else { return Ok(Applied::Impossible) };
        let (Some(session), Some(open)) = (tenant.session, tenant.open.get(usize::from(nth)).copied()) else {
            return Ok(Applied::Impossible);
        };
        let answered = tenant.open.first().map_or(open.number, |open| open.number);
        let Open { number, first, key, asked } = open;
        let what = Submission { session, number, answered, first, key, asked };
        let outcome = self.send_for(host, request, client, session::submit(request, &what))?;
        self.counts.retries += u64::from(outcome == Applied::Done);
        Ok(outcome)
    }

    fn send_for(&mut self, host: HostId, request: u64, client: u8, commands: raft_core::Commands) -> Outcome {
        if self.up(host).is_none() || request <= self.requests || u64::MAX >> 8 < request {
            return Ok(Applied::Impossible);
        }
        self.requests = request;
        self.counts.proposals += 1;
        self.tenants.clients.entry(client).or_default();
        self.tenants.requests.insert(request, client);
        self.oracles.proposed(host, request, 1, client::bytes_of(&commands));
        self.mail(host, Message::Propose { id: RequestId::new(request), commands })
    }

    /// A state machine performs what it was fed at `index`; who waits for that is told.
    pub(super) fn perform_for_session(
        &mut self,
        host: HostId,
        (index, time): (LogIndex, LogTime),
        sent: Sent,
    ) -> Result<(), Box<Violation>> {
        let machine = &mut self.hosts[host.nth()];
        let (sessions, registers) = (&mut machine.machine.sessions, &mut machine.machine.registers);
        let judged = match sent {
            Sent::Register => sessions.register(index, time).map(|_| Judged::Registered),
            Sent::Submit(what) => {
                let rig = &mut self.rig;
                let done = rig.submit(host, sessions, registers, &what, time);
                done.map(|done| Judged::Done {
                    reply: session::reply_of(&done.response),
                    repeated: done.repeated,
                })
            }
        };
        self.oracles.judged(host, index, &judged)?;
        let Some(running) = &mut machine.up else { return Ok(()) };
        match running.expected.front().copied() {
            Some((expected, request)) if expected == index => {
                running.expected.pop_front();
                self.tell_tenant(request, index, sent, &judged)
            }
            _ => Ok(()),
        }
    }

    fn tell_tenant(
        &mut self,
        request: u64,
        index: LogIndex,
        sent: Sent,
        judged: &Result<Judged, SessionRefusal>,
    ) -> Result<(), Box<Violation>> {
        let client = self.tenants.requests.remove(&request);
        let Some(tenant) = client.and_then(|client| self.tenants.clients.get_mut(&client)) else {
            return Ok(());
        };
        match (sent, judged) {
            (Sent::Register, Ok(_)) if tenant.session.is_none() => {
                *tenant = Tenant { session: Some(SessionId::new(index)), ..Tenant::default() };
                self.counts.sessions += 1;
                Ok(())
            }
            (Sent::Submit(what), Ok(Judged::Done { reply: Some(reply), repeated })) => {
                self.counts.repeated += u64::from(*repeated);
                let waits = tenant.session == Some(what.session);
                let open = tenant.open.iter().position(|open| waits && open.number == what.number);
                let Some(place) = open else { return Ok(()) };
                tenant.open.remove(place);
                self.reply_for_session(what.first, *reply)
            }
            (Sent::Submit(what), Err(SessionRefusal::Expired)) => {
                self.counts.expired += 1;
                if tenant.session == Some(what.session) {
                    // Whether the commands without an answer were done nobody can tell it any more.
                    *tenant = Tenant::default();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn reply_for_session(&mut self, first: u64, reply: Reply) -> Result<(), Box<Violation>> {
        self.counts.replies += 1;
        self.news.push(News::Told { request: first, reply: Some(reply) });
        self.heard.push(Heard::Reply { request: first, reply });
        self.oracles.submission_answered(first, reply, self.counts.actions)
    }
}

/// What a state machine does with an entry.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// An operation that a call asks for.
    Call(u64, Operation),
    /// What a client with a session has sent.
    Session(Sent),
    /// A command for the state machine of a user.
    Own(Bytes),
}
