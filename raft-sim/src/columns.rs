//! A run as text with a column for every server: what happens there stands in its column, from top to bottom.
//!
//! ```text
//! server 1              server 2              server 3
//! tick +12
//! step: term 1
//!   > 2 vote? 0.1
//!   > 3 vote? 0.1
//!                       < 1 vote? 0.1
//!                       step: term 1
//! ```
//!
//! A packet is named where it leaves (`>`), arrives (`<`), is lost (`x`) or doubled (`=`), with the other end of its way.

use std::collections::BTreeMap;
use std::io::{self, Write};

use raft_core::{Body, Packet};

use crate::action::{Action, HostId, Link, PacketName};
use crate::host::Host;
use crate::oracle::Seen;
use crate::rig::Rig;
use crate::schedule::Ending;
use crate::scheduler::Watch;
use crate::world::World;

/// How wide a column is. What is longer is not cut off, but goes on to the right.
const WIDTH: usize = 34;

/// Prints a run in columns.
pub struct Columns<'a> {
    out: &'a mut dyn Write,
    /// What the packets in flight say; one that has arrived can no longer be asked.
    packets: BTreeMap<PacketName, String>,
    seen: Vec<Option<Seen>>,
    /// Whether only steps that change something are printed, without their packets.
    brief: bool,
    failed: Option<io::Error>,
}

impl<'a> Columns<'a> {
    /// Of so many servers.
    pub fn new(out: &'a mut dyn Write, hosts: u8) -> Self {
        let seen = vec![None; usize::from(hosts)];
        let mut columns = Columns { out, packets: BTreeMap::new(), seen, brief: false, failed: None };
        let heads: Vec<String> =
            (1..=hosts).map(|host| format!("{:<WIDTH$}", format!("server {host}"))).collect();
        columns.failed = writeln!(columns.out, "{}", heads.concat().trim_end()).err();
        columns
    }

    /// Whether all could be written.
    ///
    /// # Errors
    /// Why it could not.
    pub fn finish(self) -> io::Result<()> {
        self.failed.map_or(Ok(()), Err)
    }

    fn cell(&mut self, host: HostId, text: &str) -> io::Result<()> {
        writeln!(self.out, "{:indent$}{text}", "", indent = host.nth() * WIDTH)
    }

    fn packet(&mut self, sign: char, name: PacketName) -> io::Result<()> {
        let what = self.packets.get(&name).cloned().unwrap_or_default();
        self.cell(name.link.to, &format!("{sign} {} {what}", name.link.from))
    }

    fn action<R: Rig>(&mut self, action: Action, world: &World<R>) -> io::Result<()> {
        match action {
            Action::Step { host, .. } | Action::Restart { host, .. } => self.node(action, host, world),
            _ if self.brief => Ok(()),
            Action::Deliver { packet } => self.packet('<', packet),
            Action::Drop { packet } => self.packet('x', packet),
            Action::Duplicate { packet } => self.packet('=', packet),
            Action::Cut { .. }
            | Action::Mend { .. }
            | Action::Partition { .. }
            | Action::Heal
            | Action::Move { .. }
            | Action::Sent { .. }
            | Action::Lose { .. } => {
                writeln!(self.out, "-- {action} --")
            }
            Action::Command { host, request } => {
                self.cell(host, &format!("asked {}", world.says(request).unwrap_or_default()))
            }
            Action::Applied { host } => self.cell(host, &applied(world.host(host))),
            Action::Perform { host } => {
                self.cell(host, "performs the rest")?;
                self.sent(host, world)
            }
            _ => {
                let line = action.to_string();
                let words: Vec<&str> = line.split(' ').collect();
                let place = words.get(1).and_then(|word| word.parse().ok()).and_then(HostId::new);
                let said = words.iter().enumerate().filter(|(nth, _)| *nth != 1).map(|(_, word)| *word);
                let said = said.collect::<Vec<_>>().join(" ");
                place.map_or(Ok(()), |host| self.cell(host, &said))
            }
        }
    }

    /// What a step or a start has changed.
    fn node<R: Rig>(&mut self, action: Action, host: HostId, world: &World<R>) -> io::Result<()> {
        let now = world.host(host).seen().copied();
        let before = std::mem::replace(&mut self.seen[host.nth()], now);
        let mut news = Vec::new();
        if let Some(now) = now {
            let differs = |of: fn(&Seen) -> u64| before.as_ref().map(of) != Some(of(&now));
            if differs(|seen| seen.term.raw()) {
                news.push(format!("term {}", now.term));
            }
            if differs(|seen| u64::from(seen.leads)) && (now.leads || before.is_some()) {
                news.push(if now.leads { "leads" } else { "leads no more" }.to_owned());
            }
            if before.is_none_or(|before| before.last != now.last) {
                news.push(format!("log to {}", now.last));
            }
            if differs(|seen| seen.commit.raw()) {
                news.push(format!("commit {}", now.commit));
            }
        }
        if self.brief && news.is_empty() {
            return Ok(());
        }
        let what = match action {
            Action::Step { effects: Some(effects), .. } => format!("step, {effects} effects"),
            Action::Restart { tail, .. } if tail != u64::MAX => format!("restart, tail {tail}"),
            Action::Restart { .. } => "restart".to_owned(),
            _ => "step".to_owned(),
        };
        let colon = if news.is_empty() { "" } else { ": " };
        self.cell(host, &format!("{what}{colon}{}", news.join(", ")))?;
        if self.brief { Ok(()) } else { self.sent(host, world) }
    }

    /// Packets that are on their way from here and were not before.
    fn sent<R: Rig>(&mut self, from: HostId, world: &World<R>) -> io::Result<()> {
        for to in (0..self.seen.len()).map(HostId::at) {
            let link = Link { from, to };
            for (name, packet) in world.network().flying(link) {
                let what = said(packet);
                if self.packets.insert(name, what.clone()).is_none() {
                    self.cell(from, &format!("  > {to} {what}"))?;
                }
            }
        }
        Ok(())
    }
}

/// What a state machine of a user has come to, and what it has put out last.
fn applied(host: &Host) -> String {
    let part =
        |before: &str, text: Option<String>| text.map_or_else(String::new, |text| before.to_owned() + &text);
    format!("applied{}{}", part(": ", host.own_state()), part(", says ", host.own_output()))
}

/// A packet in a few words, with its term.
pub(crate) fn said(packet: &Packet) -> String {
    let what = match &packet.body {
        Body::RequestVote { last, .. } => format!("vote? {last}"),
        Body::Vote { granted, .. } => (if *granted { "vote" } else { "no vote" }).to_owned(),
        Body::RequestPreVote { last, .. } => format!("pre-vote? {last}"),
        Body::PreVote { granted, .. } => (if *granted { "pre-vote" } else { "no pre-vote" }).to_owned(),
        Body::TimeoutNow => "timeout now".to_owned(),
        Body::Append { previous, commit, entries } => {
            let last = entries.last_position().unwrap_or_default();
            format!("append {previous} to {last} c{commit}")
        }
        Body::Heartbeat { round, commit } => format!("heartbeat {round} c{commit}"),
        Body::Commit { commit } => format!("commit {commit}"),
        Body::Acknowledge { held, durable, .. } => format!("has {held} durable {durable}"),
        Body::Reject { previous, hint, .. } => format!("not {previous}, hint {hint}"),
        Body::NewerTerm => "newer term".to_owned(),
        Body::Removed { last } => format!("removed at {last}"),
        Body::InstallSnapshot { snapshot } => format!("snapshot to {}", snapshot.last),
        Body::AskReadIndex { token } => format!("read index? {token}"),
        Body::ReadIndex { token, index, .. } => format!("read index {index} for {token}"),
        Body::Propose { token, commands } => {
            format!("propose {token}: {} commands", commands.as_slice().len())
        }
        Body::Proposed { token, outcome, .. } => format!("proposal {token} {outcome:?}"),
        _ => "?".to_owned(),
    };
    format!("{what} t{}", packet.term)
}

impl<R: Rig> Watch<R> for Columns<'_> {
    fn ends(&mut self, ending: Ending) {
        if ending != Ending::Nothing && self.failed.is_none() {
            self.failed =
                writeln!(self.out, "-- afterwards {ending}; from here on only what changes --").err();
            self.brief = true;
        }
    }

    fn stops(&self) -> bool {
        self.failed.is_some()
    }

    fn happened(&mut self, _moment: u64, action: Action, world: &World<R>) {
        if let Action::Crash { host, .. } = action {
            self.seen[host.nth()] = None;
        }
        if self.failed.is_none() {
            self.failed = self.action(action, world).err();
        }
    }
}
