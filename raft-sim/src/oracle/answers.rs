//! What clients are told is true.

use raft_core::{Answer, Outcome, Position};

use super::caps::UnderWay;
use super::commit::CommitRule;
use super::election::ElectionSafety;
use super::matching::LogMatching;
use super::{Verdict, broken};
use crate::action::HostId;
use crate::client;

pub(super) const NAME: &str = "answers";
const ONCE: &str = "every proposal to a live node is answered exactly once (the contract of the core)";
const COMMITTED: &str = "a proposal answered as committed is in the log for good, whole and at these positions (the contract of the core)";
const TRANSFER: &str = "a transfer is answered as carried out, refused or given up, and only who leads is named (the contract of the core)";
const PASSED: &str =
    "only a proposal that may be passed on comes to be unanswered (the contract of the core)";
const REFUSED: &str = "a refused proposal certainly has no effect, now or later (the contract of the core)";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Unknown,
    Waiting(HostId),
    // Its node went down before it answered.
    Orphaned,
    Answered,
    Committed,
    Refused,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    state: State,
    commands: u8,
    bytes: u32,
    in_some_log: bool,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Proposal,
    Transfer,
    // What became of these is judged apart.
    Change,
    Read,
    // One command, wherever the leader is. Its bytes are not those of who passes it on.
    Forward,
}

const UNKNOWN: Request =
    Request { state: State::Unknown, commands: 0, bytes: 0, in_some_log: false, kind: Kind::Proposal };

/// What became of every request.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    // By number, from 1.
    requests: Vec<Request>,
    // By machine: the numbers of those that wait there. Few, since a node limits them.
    waiting: Vec<Vec<u64>>,
    // By machine: the bytes of the entries of these, and how many of them are reads.
    waiting_bytes: Vec<u64>,
    waiting_reads: Vec<u64>,
}

impl Answers {
    /// `bytes` is what its entries count.
    pub(super) fn proposed(&mut self, host: HostId, request: u64, commands: u8, bytes: u32) {
        self.asked(host, request, Request { state: State::Waiting(host), commands, bytes, ..UNKNOWN });
    }

    pub(super) fn forwarded(&mut self, host: HostId, request: u64) {
        let (state, commands) = (State::Waiting(host), 1);
        self.asked(host, request, Request { state, commands, kind: Kind::Forward, ..UNKNOWN });
    }

    pub(super) fn transfer_asked(&mut self, host: HostId, request: u64) {
        self.asked(host, request, Request { state: State::Waiting(host), kind: Kind::Transfer, ..UNKNOWN });
    }

    pub(super) fn change_asked(&mut self, host: HostId, request: u64) {
        self.asked(host, request, Request { state: State::Waiting(host), kind: Kind::Change, ..UNKNOWN });
    }

    pub(super) fn read_asked(&mut self, host: HostId, request: u64) {
        self.asked(host, request, Request { state: State::Waiting(host), kind: Kind::Read, ..UNKNOWN });
    }

    fn asked(&mut self, host: HostId, request: u64, what: Request) {
        let place = request.saturating_sub(1) as usize;
        if self.requests.len() <= place {
            self.requests.resize(place + 1, UNKNOWN);
        }
        self.requests[place] = what;
        self.waiting_at(host).push(request);
        self.waiting_bytes[host.nth()] += u64::from(what.bytes);
        self.waiting_reads[host.nth()] += u64::from(what.kind == Kind::Read);
    }

    pub(super) fn waiting(&self, host: HostId) -> u64 {
        self.waiting.get(host.nth()).map_or(0, |waiting| waiting.len() as u64)
    }

    /// What waits at a machine besides what it answers right now.
    pub(super) fn under_way(&self, host: HostId, answers: &[Answer]) -> UnderWay {
        let place = |answer: &Answer| answer.id.raw().saturating_sub(1) as usize;
        let of = |list: &Vec<u64>| list.get(host.nth()).copied().unwrap_or(0);
        let mut under_way =
            UnderWay { requests: 0, bytes: of(&self.waiting_bytes), reads: of(&self.waiting_reads) };
        let mut all = self.waiting(host);
        for request in answers.iter().filter_map(|answer| self.requests.get(place(answer))) {
            all = all.saturating_sub(1);
            under_way.bytes = under_way.bytes.saturating_sub(u64::from(request.bytes));
            under_way.reads = under_way.reads.saturating_sub(u64::from(request.kind == Kind::Read));
        }
        under_way.requests = all.saturating_sub(under_way.reads);
        under_way
    }

    /// Whether this request was answered as committed.
    pub(super) fn is_committed(&self, request: u64) -> bool {
        let place = request.saturating_sub(1) as usize;
        self.requests.get(place).is_some_and(|request| request.state == State::Committed)
    }

    fn waiting_at(&mut self, host: HostId) -> &mut Vec<u64> {
        if self.waiting.len() <= host.nth() {
            self.waiting.resize(host.nth() + 1, Vec::new());
            self.waiting_bytes.resize(host.nth() + 1, 0);
            self.waiting_reads.resize(host.nth() + 1, 0);
        }
        &mut self.waiting[host.nth()]
    }

    pub(super) fn crashed(&mut self, host: HostId) {
        for list in [&mut self.waiting_bytes, &mut self.waiting_reads] {
            if let Some(number) = list.get_mut(host.nth()) {
                *number = 0;
            }
        }
        for number in std::mem::take(self.waiting_at(host)) {
            if let Some(request) = self.requests.get_mut(number.saturating_sub(1) as usize) {
                request.state = State::Orphaned;
            }
        }
    }

    /// A command was seen in some log for the first time at its position.
    pub(super) fn appended(&mut self, command: u64) -> Verdict {
        let (number, _) = client::parts_of(command);
        let request = number.checked_sub(1).and_then(|place| self.requests.get_mut(place as usize));
        match request {
            Some(request) if request.state == State::Refused => {
                broken(NAME, REFUSED, || format!("request {number} was refused, and its command is in a log"))
            }
            Some(request) => {
                request.in_some_log = true;
                Ok(())
            }
            None => broken(NAME, ONCE, || {
                format!("a command of request {number}, which was never made, is in a log")
            }),
        }
    }

    pub(super) fn answered(
        &mut self,
        host: HostId,
        answer: &Answer,
        matching: &LogMatching,
        commit: &CommitRule,
        election: &ElectionSafety,
    ) -> Verdict {
        let number = answer.id.raw();
        let place = number.saturating_sub(1) as usize;
        let Some(request) =
            self.requests.get_mut(place).filter(|request| request.state == State::Waiting(host))
        else {
            return broken(NAME, ONCE, || {
                format!("server {host} answers request {number}, which does not wait there")
            });
        };
        request.state = State::Answered;
        let Request { in_some_log, commands, bytes, kind, .. } = *request;
        let transfer = kind == Kind::Transfer;
        match answer.outcome {
            Outcome::Refused(_) => request.state = State::Refused,
            Outcome::Committed { .. } => request.state = State::Committed,
            _ => {}
        }
        self.waiting_at(host).retain(|waiting| *waiting != number);
        self.waiting_bytes[host.nth()] -= u64::from(bytes);
        self.waiting_reads[host.nth()] -= u64::from(kind == Kind::Read);
        match answer.outcome {
            Outcome::Refused(why) if in_some_log => {
                broken(NAME, REFUSED, || format!("request {number} is refused ({why:?}), but it is in a log"))
            }
            Outcome::Transferred { leader } if !transfer || !election.has_led(leader) => {
                broken(NAME, TRANSFER, || {
                    format!("request {number} made {leader} the leader, which it is not")
                })
            }
            Outcome::NotTransferred if !transfer => {
                broken(NAME, TRANSFER, || format!("request {number} was no transfer"))
            }
            Outcome::Committed { .. } | Outcome::Lost { .. } if transfer => broken(NAME, TRANSFER, || {
                format!("request {number} was a transfer, and is answered as a proposal")
            }),
            Outcome::Unchanged { .. } if kind != Kind::Change => {
                broken(NAME, COMMITTED, || format!("request {number} was no change"))
            }
            Outcome::Unanswered if kind != Kind::Forward => {
                broken(NAME, PASSED, || format!("request {number} was not to be passed on"))
            }
            Outcome::Committed { first, last } if matches!(kind, Kind::Proposal | Kind::Forward) => {
                committed(number, commands, first, last, matching, commit)
            }
            _ => Ok(()),
        }
    }
}

fn committed(
    request: u64,
    commands: u8,
    first: Position,
    last: Position,
    matching: &LogMatching,
    commit: &CommitRule,
) -> Verdict {
    let whole =
        first.term == last.term && last.index == first.index.plus(u64::from(commands).saturating_sub(1));
    let in_place = |nth: u8| {
        let position = Position { term: first.term, index: first.index.plus(u64::from(nth)) };
        matching.command_at(position) == Some(client::command(request, nth))
            && commit.at(position.index).is_some_and(|committed| committed.term == position.term)
    };
    if whole && (0..commands).all(in_place) {
        return Ok(());
    }
    broken(NAME, COMMITTED, || {
        format!("request {request} is said to be committed at {first} to {last}, and is not")
    })
}
