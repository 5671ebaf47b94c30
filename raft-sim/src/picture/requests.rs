//! What clients and operators ask for, from the moment they ask to the moment they are told. Who asks a server that goes down is told
//! nothing; who asked for an operation on a register is told by the state machine, once it has performed it.

use std::collections::BTreeMap;

use super::facts::{Facts, Request, outcome};
use super::words;
use crate::action::{Action, HostId};
use crate::rig::Rig;
use crate::world::{Heard, World};

/// A request, as its action says it.
struct Asked {
    host: HostId,
    number: u64,
    client: Option<u8>,
    text: String,
    /// Whether the reply comes from the state machine, and not with what its node says.
    replied: bool,
    /// Whether the client sends it again to whoever is up.
    resent: bool,
}

/// A request without an answer: its row, and what its action said of it.
#[derive(Clone, Copy, Debug)]
struct Open {
    row: usize,
    host: HostId,
    replied: bool,
    resent: bool,
}

/// The requests that nobody has answered yet, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests {
    open: BTreeMap<u64, Open>,
}

impl Requests {
    /// An action has happened, by which somebody may have asked, or been told, or lost whom he asked.
    pub(super) fn follow<R: Rig>(&mut self, action: Action, world: &World<R>, facts: &mut Facts) {
        if let Some(asked) = asked(action, world) {
            let Asked { host, number, client, text, replied, resent } = asked;
            self.open.insert(number, Open { row: facts.requests.len(), host, replied, resent });
            let (asked, server, answer) = (facts.now(), u64::from(host.raw()), String::new());
            let (told, outcome) = (0, outcome::OPEN);
            facts.requests.push(Request { asked, server, number, client, text, told, outcome, answer });
        }
        for heard in world.heard() {
            match heard {
                Heard::Answer(answer) => {
                    let number = answer.id.raw();
                    let Some(open) = self.open.get(&number) else { continue };
                    let (way, text) = words::answer(answer);
                    if !(open.replied && way == outcome::DONE || open.resent) {
                        self.tell(number, (way, text), facts);
                    }
                }
                Heard::Reply { request, reply } => {
                    self.tell(*request, (outcome::DONE, words::reply(*reply)), facts);
                }
            }
        }
        if let Action::Crash { host, .. } = action {
            let asked_it =
                |(number, open): (&u64, &Open)| (open.host == host && !open.resent).then_some(*number);
            let lost: Vec<u64> = self.open.iter().filter_map(asked_it).collect();
            for number in lost {
                self.tell(
                    number,
                    (outcome::UNKNOWN, "nobody answers, the server went down".to_owned()),
                    facts,
                );
            }
        }
    }

    fn tell(&mut self, number: u64, (way, answer): (u64, String), facts: &mut Facts) {
        let now = facts.now();
        if let Some(row) = self.open.remove(&number).and_then(|open| facts.requests.get_mut(open.row)) {
            (row.told, row.outcome, row.answer) = (now, way, answer);
        }
    }
}

fn asked<R: Rig>(action: Action, world: &World<R>) -> Option<Asked> {
    let plain = |host, number, text: &str| {
        Some(Asked { host, number, client: None, text: text.to_owned(), replied: false, resent: false })
    };
    let of = |host, number, client, text: String, replied| {
        Some(Asked { host, number, client: Some(client), text, replied, resent: false })
    };
    match action {
        Action::Propose { host, request, commands, .. } => {
            let plural = if commands == 1 { "" } else { "s" };
            plain(host, request, &format!("{commands} command{plural}"))
        }
        Action::Command { host, request } => plain(host, request, &world.says(request).unwrap_or_default()),
        Action::Call { host, request, client, key, asked } => {
            of(host, request, client, words::operation(key.into(), asked.operation(request)), true)
        }
        Action::Read { host, request, client, key } => {
            of(host, request, client, format!("read r{key}, not by the log"), true)
        }
        Action::ReadWithin { host, request, ticks } => {
            plain(host, request, &format!("read, at most {ticks} ticks old"))
        }
        Action::Forward { host, request, client, key } => {
            of(host, request, client, format!("r{key} = {request}, by way of any server"), true)
        }
        Action::Barrier { host, request } => plain(host, request, "barrier"),
        Action::Verify { host, request } => plain(host, request, "does it lead?"),
        Action::Register { host, request, client } => {
            of(host, request, client, "a session".to_owned(), false)
        }
        Action::Submit { host, request, client, key, asked } => {
            let text = format!("{}, once", words::operation(key.into(), asked.operation(request)));
            of(host, request, client, text, true).map(|asked| Asked { resent: true, ..asked })
        }
        Action::Again { host, request, client, nth } => {
            of(host, request, client, format!("its open command {nth} again"), false)
        }
        Action::Transfer { host, request, to } => {
            let whom = to.map_or_else(|| "somebody".to_owned(), |to| format!("server {to}"));
            plain(host, request, &format!("hand leadership to {whom}"))
        }
        Action::Reconfigure { host, request, wanted, .. } => {
            plain(host, request, &format!("configuration: {wanted}"))
        }
        _ => None,
    }
}
