//! Writes down what happens to the servers of a test: what each is told, and what it wants. The notation is explained at the top of
//! `transcripts.rs`. Knows nothing of what the scenarios are about.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use raft_core::{
    Answer, Body, Change, Config, Event, Fetched, LogIndex, Membership, Message, Outcome, Packet, Pair,
    Payload, Position, Ready, Refusal, RequestId, RoleKind, Runs, SendSnapshot, Server, Suffrage, Term,
};

use crate::common::{Cluster, command};

/// How much is written down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Everything but a step that leads to nothing.
    All,
    /// What has changed, and what clients are answered; not how.
    Changes,
    /// Nothing: what leads up to a scenario.
    Nothing,
}

/// A cluster, and what was written down of it.
pub(crate) struct Scribe {
    pub(crate) cluster: Cluster,
    pub(crate) detail: Detail,
    text: String,
    next_request: u64,
}

impl Scribe {
    pub(crate) fn new(voters: u64, config: Config) -> Self {
        Scribe {
            cluster: Cluster::with(voters, config),
            detail: Detail::All,
            text: String::new(),
            next_request: 1,
        }
    }

    /// A cluster of three that server 1 leads, with an entry `a` that all have applied. How it came to that is not written down.
    pub(crate) fn led(config: Config) -> Self {
        let mut scribe = Scribe::new(3, config);
        scribe.detail = Detail::Nothing;
        scribe.tick(1, 20);
        scribe.deliver();
        scribe.propose(1, "a");
        scribe.deliver();
        assert_eq!(scribe.cluster.applied(3), ["a"]);
        scribe.detail = Detail::All;
        scribe
    }

    pub(crate) fn text(self) -> String {
        self.text
    }

    /// A line of the test's own.
    pub(crate) fn note(&mut self, what: &str) {
        writeln!(self.text, "-- {what}").expect("a string takes everything");
    }

    pub(crate) fn tick(&mut self, id: u64, elapsed: u32) {
        self.step(id, Message::Tick { elapsed });
    }

    pub(crate) fn propose(&mut self, id: u64, text: &str) {
        let request = self.request();
        self.step(id, Message::Propose { id: request, commands: command(text).into() });
    }

    pub(crate) fn transfer(&mut self, id: u64, to: Option<Pair>) {
        let request = self.request();
        self.step(id, Message::Transfer { id: request, to: to.map(|pair| pair.id) });
    }

    pub(crate) fn change(&mut self, id: u64, change: Change) {
        let request = self.request();
        self.step(id, Message::Reconfigure { id: request, change, based_on: None });
    }

    fn request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId::new(self.next_request - 1)
    }

    /// Saves the state machine of a server as a snapshot.
    pub(crate) fn save(&mut self, id: u64) {
        let machine = self.cluster.machine(id);
        let (last, time) = machine.applied_at;
        machine.saved.insert(last, machine.applied.clone());
        self.step(id, Message::SnapshotTaken { last, time, size: 1, digest: 1.into() });
    }

    /// Brings the oldest snapshot that a server is to send to its receiver, once or more often.
    pub(crate) fn bring_snapshot(&mut self, from: u64, times: u32) {
        let machine = self.cluster.machine(from);
        let SendSnapshot { number, packet } = machine.sending.remove(0);
        let Body::InstallSnapshot { snapshot } = &packet.body else { panic!("{packet:?} is no snapshot") };
        let saved = machine.saved[&snapshot.last].clone();
        let to = packet.to.id.raw();
        self.cluster.machine(to).saved.insert(snapshot.last, saved);
        for _ in 0..times {
            self.step(to, Message::Packet(packet.clone()));
        }
        self.step(from, Message::SnapshotSent { number, arrived: true });
    }

    /// Makes everything durable that a server has written.
    pub(crate) fn sync(&mut self, id: u64) {
        let machine = self.cluster.machine(id);
        if let Some(last) = machine.unsynced.last().map(|write| write.number) {
            machine.disk.append(&mut machine.unsynced);
            self.step(id, Message::Synced(last));
        }
    }

    pub(crate) fn restart(&mut self, id: u64) {
        self.note(&format!("S{id} restarts"));
        let machine = self.cluster.machine(id);
        machine.crash();
        machine.start();
        self.step(id, Message::Tick { elapsed: 0 });
    }

    /// Delivers packets in the order in which they were sent, until none is left. What crosses a cut is lost.
    pub(crate) fn deliver(&mut self) {
        while let Some(packet) = self.cluster.network.pop_front() {
            let way = (packet.from.id.raw(), packet.to.id.raw());
            if !self.cluster.cut.contains(&way) {
                self.step(way.1, Message::Packet(packet));
            } else if self.detail == Detail::All {
                writeln!(self.text, "S{} x   S{:<5} {}", way.1, way.0, body(&packet))
                    .expect("takes everything");
            }
        }
    }

    /// Loses the first packet from one server to another that is on its way and carries entries.
    pub(crate) fn lose_append(&mut self, from: u64, to: u64) {
        let is_it = |packet: &Packet| {
            let way = (packet.from.id.raw(), packet.to.id.raw());
            way == (from, to) && matches!(packet.body, Body::Append { .. })
        };
        let nth = self.cluster.network.iter().position(is_it).expect("an append is on its way");
        let packet = self.cluster.network.remove(nth).expect("it was just found");
        writeln!(self.text, "S{to} x   S{from:<5} {}", body(&packet)).expect("takes everything");
    }

    /// Lets so many ticks pass on each of these servers, one after the other, delivering after each.
    pub(crate) fn run(&mut self, ids: &[u64], ticks: u32) {
        for _ in 0..ticks {
            for id in ids {
                self.tick(*id, 1);
            }
            self.deliver();
        }
    }

    pub(crate) fn cut_off(&mut self, id: u64) {
        self.note(&format!("S{id} is cut off from all others"));
        for other in 1..=self.cluster.machines.len() as u64 {
            self.cluster.cut.extend([(id, other), (other, id)]);
        }
    }

    pub(crate) fn heal(&mut self) {
        self.note("all ways are open again");
        self.cluster.cut.clear();
    }

    /// Steps one server, writes it down, and does what its `Ready` asks for; the disk's part only if it is durable at once.
    pub(crate) fn step(&mut self, id: u64, message: Message) {
        let what = told(&message);
        let machine = self.cluster.machine(id);
        let Some(node) = &mut machine.node else { return };
        let ready = node.step(message);
        self.write(id, &what, &ready);
        self.perform(id, ready);
    }

    fn write(&mut self, id: u64, what: &str, ready: &Ready) {
        let wanted = match self.detail {
            Detail::All => wishes(ready),
            Detail::Changes => changes(ready),
            Detail::Nothing => return,
        };
        let client = what.starts_with("user");
        if wanted.is_empty() && !client {
            return;
        }
        if self.detail == Detail::All || client {
            writeln!(self.text, "S{id} <   {what}").expect("a string takes everything");
        }
        for wish in wanted {
            writeln!(self.text, "S{id}   > {wish}").expect("a string takes everything");
        }
    }

    fn perform(&mut self, id: u64, ready: Ready) {
        self.cluster.network.extend(ready.send);
        let machine = self.cluster.machine(id);
        let mut next = Vec::new();
        if let Some(write) = ready.write {
            let number = write.number;
            machine.unsynced.push(write);
            if machine.sync_at_once {
                machine.disk.append(&mut machine.unsynced);
                next.push(Message::Synced(number));
            }
        }
        machine.sending.extend(ready.snapshots);
        if let Some(snapshot) = ready.restore {
            machine.applied.clone_from(&machine.saved[&snapshot.last]);
            machine.applied_at = (snapshot.last, snapshot.time);
            next.push(Message::Applied(snapshot.last.index));
        }
        if let Some(entries) = ready.apply {
            for (position, entry) in entries.entries() {
                machine.applied_at = (position, entry.time);
                if let Payload::Command(command) = &entry.payload {
                    machine.applied.push((position.index, command.clone()));
                }
            }
            next.extend(entries.last_position().map(|last| Message::Applied(last.index)));
        }
        for fetch in ready.fetch {
            let entries = machine.read(fetch.first, fetch.last).prefix(fetch.bytes_max, u64::MAX);
            next.push(Message::Fetched { number: fetch.number, result: Fetched::Entries(entries) });
        }
        for message in next {
            self.step(id, message);
        }
    }
}

fn told(message: &Message) -> String {
    match message {
        Message::Tick { elapsed } => format!("clock  {elapsed} ticks"),
        Message::Packet(packet) => format!("S{:<5} {}", packet.from.id, body(packet)),
        Message::Propose { id, commands } => {
            let texts: Vec<_> =
                commands.as_slice().iter().map(|text| String::from_utf8_lossy(text)).collect();
            format!("user   request {id}: propose {}", texts.join(", "))
        }
        Message::Transfer { id, to } => {
            let to = to.map_or("the most up-to-date".to_owned(), |to| format!("S{to}"));
            format!("user   request {id}: transfer to {to}")
        }
        Message::Reconfigure { id, change, .. } => format!("user   request {id}: {}", wanted(change)),
        Message::Campaign => "user   campaign".to_owned(),
        Message::StepDown => "user   step down".to_owned(),
        Message::ForgetLeader => "user   forget the leader".to_owned(),
        Message::Synced(number) => format!("disk   write {number} is durable"),
        Message::Applied(index) => format!("apply  done to {index}"),
        Message::Fetched { number, result: Fetched::Entries(entries) } => {
            format!("disk   fetch {number}: {}", range(entries))
        }
        Message::SnapshotTaken { last, .. } => format!("apply  saved up to {last}"),
        Message::SnapshotSent { number, arrived } => {
            format!("send   snapshot {number} {}", if *arrived { "has arrived" } else { "has not arrived" })
        }
        other => format!("{other:?}"),
    }
}

/// Everything that a step wants, one line each. Packets that say the same are one line.
fn wishes(ready: &Ready) -> Vec<String> {
    let mut all = changes(ready);
    if let Some(write) = &ready.write {
        let vote = write.hard_state.vote.map_or("none".to_owned(), server);
        let (number, term, commit) = (write.number, write.hard_state.term, write.commit);
        let entries = range(&write.entries);
        let compaction = write.compaction.as_ref().map_or(String::new(), |compaction| {
            let instead = if compaction.discards { " instead of the log" } else { "" };
            format!(", snapshot to {}{instead}, log from {}", compaction.snapshot.last, compaction.start)
        });
        all.push(format!(
            "disk   write {number}: term {term}, vote {vote}, entries {entries}, commit {commit}{compaction}"
        ));
    }
    let mut packets: Vec<(String, Vec<u64>)> = Vec::new();
    for packet in &ready.send {
        let text = body(packet);
        match packets.iter_mut().find(|(same, _)| *same == text) {
            Some((_, to)) => to.push(packet.to.id.raw()),
            None => packets.push((text, vec![packet.to.id.raw()])),
        }
    }
    for (text, to) in packets {
        let to: Vec<String> = to.iter().map(|id| format!("S{id}")).collect();
        all.push(format!("{:<6} {text}", to.join(" ")));
    }
    for SendSnapshot { number, packet } in &ready.snapshots {
        all.push(format!("send   snapshot {number} to {}: {}", server(packet.to), body(packet)));
    }
    if let Some(snapshot) = &ready.restore {
        all.push(format!("apply  restore to {}", snapshot.last));
    }
    if let Some(entries) = &ready.apply {
        all.push(format!("apply  {}", range(entries)));
    }
    for fetch in &ready.fetch {
        all.push(format!("disk   fetch {}: {} to {}", fetch.number, fetch.first, fetch.last));
    }
    all
}

/// What has changed, and the answers.
fn changes(ready: &Ready) -> Vec<String> {
    let events = ready.events.iter().map(|event| match event {
        Event::Role { role, term } => format!("event  {} in term {term}", role_name(*role)),
        Event::Leader { leader, term } => {
            format!("event  leader of term {term}: {}", leader.map_or("unknown".to_owned(), server))
        }
        Event::Membership { index, membership } => {
            format!("event  configuration at {index}: {}", configuration(membership))
        }
        Event::SnapshotInstalled { last } => format!("event  snapshot to {last} installed"),
        Event::Removed { index } => format!("event  removed by the configuration at {index}"),
        other => format!("event  {other:?}"),
    });
    events.chain(ready.answers.iter().map(answer)).collect()
}

fn answer(Answer { id, outcome }: &Answer) -> String {
    let range = |first: &Position, last: &Position| match first == last {
        true => format!("at {first}"),
        false => format!("from {first} to {last}"),
    };
    let what = match outcome {
        Outcome::Committed { first, last } => format!("committed {}", range(first, last)),
        Outcome::Lost { first, last } => format!("lost {}", range(first, last)),
        Outcome::Transferred { leader } => format!("{} leads", server(*leader)),
        Outcome::NotTransferred => "not transferred".to_owned(),
        Outcome::Refused(Refusal::NotLeader { leader: Some(leader) }) => {
            format!("refused, {} leads", server(*leader))
        }
        Outcome::Refused(Refusal::NotLeader { leader: None }) => "refused, not the leader".to_owned(),
        Outcome::Refused(Refusal::Transferring { to }) => format!("refused, handing over to {}", server(*to)),
        other => format!("{other:?}"),
    };
    format!("user   request {id}: {what}")
}

fn body(packet: &Packet) -> String {
    let (kind, fields) = match &packet.body {
        Body::RequestVote { last, .. } => ("vote?", format!("last {last}")),
        Body::Vote { granted, .. } => ("vote", yes(*granted)),
        Body::RequestPreVote { attempt, last } => ("pre-vote?", format!("attempt {attempt}, last {last}")),
        Body::PreVote { attempt, granted, .. } => {
            ("pre-vote", format!("attempt {attempt}, {}", yes(*granted)))
        }
        Body::TimeoutNow => ("timeout now", String::new()),
        Body::Append { previous, commit, entries } => {
            ("append", format!("previous {previous}, entries {}, commit {commit}", range(entries)))
        }
        Body::Heartbeat { round, commit } => ("heartbeat", format!("round {round}, commit {commit}")),
        Body::Commit { commit } => ("commit", format!("commit {commit}")),
        Body::Acknowledge { round, held, durable, .. } => {
            let round = round.map_or(String::new(), |round| format!("round {round}, "));
            ("acknowledge", format!("{round}held {held}, durable {durable}"))
        }
        Body::Reject { previous, hint, hint_first, .. } => {
            ("reject", format!("previous {previous}, hint {hint}, its term from {hint_first}"))
        }
        Body::Removed { last } => ("removed", format!("by the configuration at {last}")),
        Body::InstallSnapshot { snapshot } => ("install", format!("snapshot to {}", snapshot.last)),
        Body::NewerTerm => ("newer term", String::new()),
        other => panic!("the scribe does not know {other:?}"),
    };
    format!("t{:<2} {kind:<11} {fields}", packet.term).trim_end().to_owned()
}

/// The servers, learners in brackets; of a joint configuration first the half that leaves.
fn configuration(membership: &Membership) -> String {
    let half = |servers: &[Server]| {
        let name = |one: &Server| match one.suffrage {
            Suffrage::Voter => server(one.pair),
            _ => format!("({})", server(one.pair)),
        };
        servers.iter().map(name).collect::<Vec<_>>().join(" ")
    };
    let incoming = half(membership.servers());
    if membership.is_joint() { format!("{} and {incoming}", half(membership.outgoing())) } else { incoming }
}

fn wanted(change: &Change) -> String {
    match change {
        Change::Set(servers) => {
            let membership = Membership::new(servers.clone()).expect("a valid configuration");
            format!("change to {}", configuration(&membership))
        }
        Change::Remove(id) => format!("remove S{id}"),
        other => panic!("the scribe does not know {other:?}"),
    }
}

fn yes(granted: bool) -> String {
    if granted { "granted" } else { "refused" }.to_owned()
}

fn server(pair: Pair) -> String {
    format!("S{}", pair.id)
}

const fn role_name(role: RoleKind) -> &'static str {
    match role {
        RoleKind::Follower => "follower",
        RoleKind::PreCandidate => "pre-candidate",
        RoleKind::Candidate => "candidate",
        RoleKind::Leader => "leader",
        _ => "unknown",
    }
}

/// The positions of entries: `1.2`, `1.2-1.4` for one term, and pieces of several terms one after the other.
fn range(entries: &Runs) -> String {
    let mut terms: BTreeMap<Term, (LogIndex, LogIndex)> = BTreeMap::new();
    for (position, _) in entries.entries() {
        terms.entry(position.term).or_insert((position.index, position.index)).1 = position.index;
    }
    let piece = |(term, (first, last)): (&Term, &(LogIndex, LogIndex))| match first == last {
        true => format!("{term}.{first}"),
        false => format!("{term}.{first}-{term}.{last}"),
    };
    let pieces: Vec<String> = terms.iter().map(piece).collect();
    if pieces.is_empty() { "none".to_owned() } else { pieces.join(" ") }
}
