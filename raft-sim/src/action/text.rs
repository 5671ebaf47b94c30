//! Actions as text: each is one line, and reads back from it.

use core::fmt;
use core::str::FromStr;

use super::{Action, HostId, HostSet, Link, PacketName, Wanted};
use crate::client::Asked;

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for HostSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, host) in self.iter().enumerate() {
            write!(f, "{}{host}", if nth == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}>{}", self.from, self.to)
    }
}

impl fmt::Display for PacketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.link, self.number)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Tick { host, elapsed } => write!(f, "tick {host} +{elapsed}"),
            Action::Deliver { packet } => write!(f, "deliver {packet}"),
            Action::Drop { packet } => write!(f, "drop {packet}"),
            Action::Duplicate { packet } => write!(f, "duplicate {packet}"),
            Action::Step { host, effects: None } => write!(f, "step {host}"),
            Action::Step { host, effects: Some(effects) } => write!(f, "step {host} effects {effects}"),
            Action::Perform { host } => write!(f, "perform {host}"),
            Action::Sync { host, batches } => write!(f, "sync {host} batches {batches}"),
            Action::Applied { host } => write!(f, "applied {host}"),
            Action::Fetched { host } => write!(f, "fetched {host}"),
            Action::Crash { host, keep, torn, stray } => {
                write!(f, "crash {host} keep {keep}{}", if *torn { " torn" } else { "" })?;
                if *stray == 0 { Ok(()) } else { write!(f, " stray {stray}") }
            }
            Action::FailWrite { host } => write!(f, "fail-write {host}"),
            Action::Damage { host, record } => write!(f, "damage {host} record {record}"),
            Action::Wipe { host } => write!(f, "wipe {host}"),
            Action::RollBack { host, records } => write!(f, "roll-back {host} records {records}"),
            Action::Restart { host, tail } => write!(f, "restart {host} tail {tail}"),
            Action::Cut { link } => write!(f, "cut {link}"),
            Action::Mend { link } => write!(f, "mend {link}"),
            Action::Partition { side } => write!(f, "partition {side}"),
            Action::Heal => f.write_str("heal"),
            Action::Propose { host, request, commands, bytes } => {
                write!(f, "propose {host} request {request} commands {commands} bytes {bytes}")
            }
            Action::Command { host, request } => write!(f, "command {host} request {request}"),
            Action::Call { host, request, client, key, asked } => {
                write!(f, "call {host} request {request} client {client} key {key} {asked}")
            }
            Action::Read { host, request, client, key } => {
                write!(f, "read {host} request {request} client {client} key {key}")
            }
            Action::ReadWithin { host, request, ticks } => {
                write!(f, "read {host} request {request} within {ticks}")
            }
            Action::Forward { host, request, client, key } => {
                write!(f, "forward {host} request {request} client {client} key {key}")
            }
            Action::Barrier { host, request } => write!(f, "barrier {host} request {request}"),
            Action::Verify { host, request } => write!(f, "verify {host} request {request}"),
            Action::Register { host, request, client } => {
                write!(f, "register {host} request {request} client {client}")
            }
            Action::Submit { host, request, client, key, asked } => {
                write!(f, "submit {host} request {request} client {client} key {key} {asked}")
            }
            Action::Again { host, request, client, nth } => {
                write!(f, "again {host} request {request} client {client} nth {nth}")
            }
            Action::Campaign { host } => write!(f, "campaign {host}"),
            Action::StepDown { host } => write!(f, "step-down {host}"),
            Action::ForgetLeader { host } => write!(f, "forget-leader {host}"),
            Action::Transfer { host, request, to } => {
                write!(f, "transfer {host} request {request}")?;
                to.map_or(Ok(()), |to| write!(f, " to {to}"))
            }
            Action::Reconfigure { host, request, wanted, based_on } => {
                write!(f, "change {host} request {request} {wanted}")?;
                based_on.map_or(Ok(()), |index| write!(f, " based-on {index}"))
            }
            Action::Save { host } => write!(f, "save {host}"),
            Action::Saved { host } => write!(f, "saved {host}"),
            Action::Move { link } => write!(f, "move {link}"),
            Action::Sent { link } => write!(f, "sent {link}"),
            Action::Lose { link } => write!(f, "lose {link}"),
            Action::Compact { host } => write!(f, "compact {host}"),
            Action::Watch { clique, for_good } => {
                write!(f, "watch {clique}{}", if *for_good { " for-good" } else { "" })
            }
            Action::Unwatch => f.write_str("unwatch"),
            Action::Pass { ticks } => write!(f, "pass +{ticks}"),
        }
    }
}

/// A line that is no action.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an action: `{0}`")]
pub struct ParseActionError(String);

fn link(text: &str) -> Option<Link> {
    let (from, to) = text.split_once('>')?;
    Some(Link { from: host(from)?, to: host(to)? })
}

fn packet(text: &str) -> Option<PacketName> {
    let (way, number) = text.split_once('#')?;
    Some(PacketName { link: link(way)?, number: number.parse().ok()? })
}

impl FromStr for HostSet {
    type Err = ParseActionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hosts: Option<HostSet> = text.split(',').map(host).collect();
        hosts.ok_or_else(|| ParseActionError(text.to_owned()))
    }
}

pub(super) fn host(text: &str) -> Option<HostId> {
    text.parse().ok().and_then(HostId::new)
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn parse(line: &str) -> Option<Action> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Some(match words[..] {
        ["tick", at, elapsed] => {
            Action::Tick { host: host(at)?, elapsed: number(elapsed.strip_prefix('+')?)? }
        }
        ["deliver", name] => Action::Deliver { packet: packet(name)? },
        ["drop", name] => Action::Drop { packet: packet(name)? },
        ["duplicate", name] => Action::Duplicate { packet: packet(name)? },
        ["step", at] => Action::Step { host: host(at)?, effects: None },
        ["step", at, "effects", effects] => Action::Step { host: host(at)?, effects: Some(number(effects)?) },
        ["perform", at] => Action::Perform { host: host(at)? },
        ["sync", at, "batches", batches] => Action::Sync { host: host(at)?, batches: number(batches)? },
        ["applied", at] => Action::Applied { host: host(at)? },
        ["fetched", at] => Action::Fetched { host: host(at)? },
        ["crash", at, "keep", keep, ref rest @ ..] => {
            let (torn, stray) = match rest {
                [] => (false, 0),
                ["torn"] => (true, 0),
                ["stray", bits] => (false, number(bits)?),
                ["torn", "stray", bits] => (true, number(bits)?),
                _ => return None,
            };
            Action::Crash { host: host(at)?, keep: number(keep)?, torn, stray }
        }
        ["fail-write", at] => Action::FailWrite { host: host(at)? },
        ["damage", at, "record", record] => Action::Damage { host: host(at)?, record: number(record)? },
        ["wipe", at] => Action::Wipe { host: host(at)? },
        ["roll-back", at, "records", count] => Action::RollBack { host: host(at)?, records: number(count)? },
        ["command", at, "request", request] => Action::Command { host: host(at)?, request: number(request)? },
        ["call", at, "request", request, "client", client, "key", key, ref asked @ ..] => Action::Call {
            host: host(at)?,
            request: number(request)?,
            client: number(client)?,
            key: number(key)?,
            asked: Asked::parse(asked)?,
        },
        ["read", at, "request", request, "client", client, "key", key] => Action::Read {
            host: host(at)?,
            request: number(request)?,
            client: number(client)?,
            key: number(key)?,
        },
        ["read", at, "request", request, "within", ticks] => {
            Action::ReadWithin { host: host(at)?, request: number(request)?, ticks: number(ticks)? }
        }
        ["forward", at, "request", request, "client", client, "key", key] => Action::Forward {
            host: host(at)?,
            request: number(request)?,
            client: number(client)?,
            key: number(key)?,
        },
        ["barrier", at, "request", request] => Action::Barrier { host: host(at)?, request: number(request)? },
        ["verify", at, "request", request] => Action::Verify { host: host(at)?, request: number(request)? },
        ["register", at, "request", request, "client", client] => {
            Action::Register { host: host(at)?, request: number(request)?, client: number(client)? }
        }
        ["submit", at, "request", request, "client", client, "key", key, ref asked @ ..] => Action::Submit {
            host: host(at)?,
            request: number(request)?,
            client: number(client)?,
            key: number(key)?,
            asked: Asked::parse(asked)?,
        },
        ["again", at, "request", request, "client", client, "nth", nth] => Action::Again {
            host: host(at)?,
            request: number(request)?,
            client: number(client)?,
            nth: number(nth)?,
        },
        ["campaign", at] => Action::Campaign { host: host(at)? },
        ["step-down", at] => Action::StepDown { host: host(at)? },
        ["forget-leader", at] => Action::ForgetLeader { host: host(at)? },
        ["transfer", at, "request", request] => {
            Action::Transfer { host: host(at)?, request: number(request)?, to: None }
        }
        ["transfer", at, "request", request, "to", to] => {
            Action::Transfer { host: host(at)?, request: number(request)?, to: Some(host(to)?) }
        }
        ["change", at, "request", request, ref rest @ ..] => {
            let (wanted, based_on) = match rest {
                [wanted @ .., "based-on", index] => (wanted, Some(number(index)?)),
                wanted => (wanted, None),
            };
            let wanted = Wanted::parse(wanted)?;
            Action::Reconfigure { host: host(at)?, request: number(request)?, wanted, based_on }
        }
        ["restart", at, "tail", tail] => Action::Restart { host: host(at)?, tail: number(tail)? },
        ["cut", way] => Action::Cut { link: link(way)? },
        ["mend", way] => Action::Mend { link: link(way)? },
        ["partition", side] => Action::Partition { side: number(side)? },
        ["heal"] => Action::Heal,
        ["save", at] => Action::Save { host: host(at)? },
        ["saved", at] => Action::Saved { host: host(at)? },
        ["move", way] => Action::Move { link: link(way)? },
        ["sent", way] => Action::Sent { link: link(way)? },
        ["lose", way] => Action::Lose { link: link(way)? },
        ["compact", at] => Action::Compact { host: host(at)? },
        ["watch", clique] => Action::Watch { clique: number(clique)?, for_good: false },
        ["watch", clique, "for-good"] => Action::Watch { clique: number(clique)?, for_good: true },
        ["unwatch"] => Action::Unwatch,
        ["pass", ticks] => Action::Pass { ticks: number(ticks.strip_prefix('+')?)? },
        ["propose", at, "request", request, "commands", commands, "bytes", bytes] => Action::Propose {
            host: host(at)?,
            request: number(request)?,
            commands: number(commands)?,
            bytes: number(bytes)?,
        },
        _ => return None,
    })
}

impl FromStr for Action {
    type Err = ParseActionError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        parse(line).ok_or_else(|| ParseActionError(line.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is no action is refused, not guessed. Method: lines with one thing wrong each.
    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "tick",
            "tick 0 +1",
            "tick 1 1",
            "tick 65 +1",
            "deliver 1>2",
            "deliver 1>2#x",
            "crash 1",
            "crash 1 keep 0 stray",
            "transfer 1 request 1 to 0",
            "command 1",
            "command 1 request 1 hex 00",
            "call 1 request 1 client 1 key 1",
            "call 1 request 1 client 1 key 1 swap",
            "read 1 request 1 client 1",
            "read 1 request 1 within",
            "forward 1 request 1 client 1",
            "barrier 1",
            "register 1 request 1",
            "submit 1 request 1 client 1 key 1 swap",
            "again 1 request 1 client 1",
            "verify request 1",
            "wipe",
            "partition ",
            "partition 1,,2",
            "heal 1",
            "step 1 effects",
            "propose 1 request 1 commands 256 bytes 1",
            "restart 1 tail -1",
            "save",
            "move 1",
            "sent 1>2#3",
            "compact 1 2",
            "watch",
            "watch 1,2 for good",
            "pass 2",
            "pass +256",
            "change 1 request 1",
            "change 1 request 1 add 2",
            "change 1 request 1 add 2 boss",
            "change 1 request 1 set ",
            "change 1 request 1 remove 2 based-on",
            "change 1 request 1 remove 2 based-on x",
        ] {
            assert_eq!(line.parse::<Action>(), Err(ParseActionError(line.to_owned())), "{line}");
        }
    }
}
