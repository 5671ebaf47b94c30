//! Schedules as text.

use core::fmt;
use core::str::FromStr;

use bytes::Bytes;
use raft_core::{Config, Leases, SessionLimits};

use super::{Ending, Schedule, Shortened, Stage, settings};
use crate::action::{Action, HostId};
use crate::world::{Offers, Setup};

const FORMAT: &str = "raft-sim schedule ";
const VERSION: u32 = 1;
/// Between a command of a user's state machine and what it says.
const HEX: &str = " hex ";

/// Why a text is no schedule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ScheduleError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: ScheduleProblem,
}

/// What is wrong in a line of a schedule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleProblem {
    /// The first line does not say that this is a schedule.
    #[error("not a schedule: it does not begin with `{FORMAT}{VERSION}`")]
    NotASchedule,
    /// It is of a version that this program does not know.
    #[error("version {0} of the format is not known; this program knows version {VERSION}")]
    UnknownVersion(String),
    /// A line of the head that is not known, or not well formed.
    #[error("not a line of the head: `{0}`")]
    UnknownHead(String),
    /// Something is said twice.
    #[error("`{0}` is said twice")]
    Twice(String),
    /// The head ends without it.
    #[error("the head ends without `{0}`")]
    Missing(&'static str),
    /// The settings contradict each other.
    #[error("these settings do not work: {0}")]
    Settings(String),
    /// A line of the list that is not known.
    #[error("not an action: `{0}`")]
    UnknownAction(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Nothing => f.write_str("nothing"),
            Ending::Settled(among) => write!(f, "settled {among}"),
        }
    }
}

fn ending(words: &[&str]) -> Option<Ending> {
    match words {
        ["nothing"] => Some(Ending::Nothing),
        ["settled", among] => Some(Ending::Settled(among.parse().ok()?)),
        _ => None,
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FORMAT}{VERSION}")?;
        for note in &self.notes {
            writeln!(f, "# {note}")?;
        }
        let Setup { hosts, spares, config, durable_machines, sessions, leases } = &self.setup;
        writeln!(f, "servers {hosts}")?;
        if *spares != 0 {
            writeln!(f, "spares {spares}")?;
        }
        writeln!(f, "machines {}", if *durable_machines { "durable" } else { "volatile" })?;
        if *sessions != SessionLimits::default() {
            let SessionLimits { sessions_max, responses_max, response_bytes_max, idle_ticks } = sessions;
            writeln!(f, "sessions {sessions_max} {responses_max} {response_bytes_max} {idle_ticks}")?;
        }
        if let Some(leases) = leases {
            let (timeout, drift) = (leases.election_timeout_ticks(), leases.drift_ppm());
            writeln!(f, "leases {timeout} {drift} {}", leases.tick_nanos())?;
        }
        settings::write(config, f)?;
        if let Some(name) = &self.broken {
            writeln!(f, "broken {name}")?;
        }
        if let Some(oracle) = &self.expects {
            writeln!(f, "expects {oracle}")?;
        }
        writeln!(f, "afterwards {}", self.ending)?;
        if let Some(shortened) = &self.shortened {
            writeln!(f, "shortened {shortened}")?;
        }
        writeln!(f, "actions")?;
        for action in &self.actions {
            write!(f, "{action}")?;
            if let Action::Command { request, .. } = action {
                write_hex(self.commands.get(request), f)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// What a command says, in hexadecimal digits.
fn write_hex(says: Option<&Bytes>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(HEX)?;
    says.into_iter().flatten().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// What these digits say.
fn read_hex(digits: &str) -> Option<Bytes> {
    let pairs = digits.as_bytes().chunks(2);
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let byte =
        |pair: &[u8]| if let [high, low] = *pair { Some(digit(high)? << 4 | digit(low)?) } else { None };
    pairs.map(byte).collect::<Option<Vec<u8>>>().map(Bytes::from)
}

impl fmt::Display for Shortened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} ", self.source)?;
        match self.stage {
            None => f.write_str("done"),
            Some(Stage { round, pass, size, at, changed }) => {
                write!(f, "{round} {pass} {size} {at} {}", u8::from(changed))
            }
        }
    }
}

fn shortened(words: &[&str]) -> Option<Shortened> {
    let (source, stage) = words.split_first()?;
    let source = u64::from_str_radix(source, 16).ok()?;
    if stage == ["done"] {
        return Some(Shortened { source, stage: None });
    }
    let numbers: Vec<u32> = stage.iter().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let [round, pass, size, at, changed @ (0 | 1)] = numbers[..] else { return None };
    Some(Shortened { source, stage: Some(Stage { round, pass, size, at, changed: changed == 1 }) })
}

fn sessions(limits: &[&str]) -> Option<SessionLimits> {
    let [sessions_max, responses_max, response_bytes_max, idle_ticks] = limits else { return None };
    Some(SessionLimits {
        sessions_max: sessions_max.parse().ok()?,
        responses_max: responses_max.parse().ok()?,
        response_bytes_max: response_bytes_max.parse().ok()?,
        idle_ticks: idle_ticks.parse().ok()?,
    })
}

fn leases(terms: &[&str]) -> Option<Leases> {
    let [timeout, drift, tick] = terms else { return None };
    Leases::new(timeout.parse().ok()?, drift.parse().ok()?, tick.parse().ok()?).ok()
}

/// What of the head has been read so far.
#[derive(Default)]
struct Head {
    hosts: Option<u8>,
    spares: Option<u8>,
    durable_machines: Option<bool>,
    sessions: Option<SessionLimits>,
    leases: Option<Leases>,
    config: Config,
    settings: [bool; settings::COUNT],
    broken: Option<String>,
    expects: Option<String>,
    ending: Option<Ending>,
    shortened: Option<Shortened>,
}

/// Keeps what a line says; a second line that says the same is refused.
fn once<T>(place: &mut Option<T>, value: Option<T>, line: &str) -> Result<(), ScheduleProblem> {
    let value = value.ok_or_else(|| ScheduleProblem::UnknownHead(line.to_owned()))?;
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(ScheduleProblem::Twice(line.to_owned())),
    }
}

impl Head {
    fn take(&mut self, line: &str) -> Result<(), ScheduleProblem> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["servers", count] => {
                let count = count.parse().ok().filter(|count| HostId::new(*count).is_some());
                once(&mut self.hosts, count, line)
            }
            ["spares", count] => once(&mut self.spares, count.parse().ok(), line),
            ["machines", kind] => {
                let durable = ["volatile", "durable"].iter().position(|known| *known == kind);
                once(&mut self.durable_machines, durable.map(|nth| nth == 1), line)
            }
            ["sessions", ref limits @ ..] => once(&mut self.sessions, sessions(limits), line),
            ["leases", ref terms @ ..] => once(&mut self.leases, leases(terms), line),
            ["config", name, value] => {
                let Some(nth) = settings::read(&mut self.config, name, value) else {
                    return Err(ScheduleProblem::UnknownHead(line.to_owned()));
                };
                match std::mem::replace(&mut self.settings[nth], true) {
                    false => Ok(()),
                    true => Err(ScheduleProblem::Twice(line.to_owned())),
                }
            }
            ["broken", name] => once(&mut self.broken, Some(name.to_owned()), line),
            ["expects", oracle] => once(&mut self.expects, Some(oracle.to_owned()), line),
            ["afterwards", ref rest @ ..] => once(&mut self.ending, ending(rest), line),
            ["shortened", ref rest @ ..] => once(&mut self.shortened, shortened(rest), line),
            _ => Err(ScheduleProblem::UnknownHead(line.to_owned())),
        }
    }

    fn finish(self, notes: Vec<String>) -> Result<Schedule, ScheduleProblem> {
        let hosts = self.hosts.ok_or(ScheduleProblem::Missing("servers"))?;
        let spares = self.spares.unwrap_or(0);
        if hosts <= spares {
            return Err(ScheduleProblem::Settings("nobody founds the cluster".to_owned()));
        }
        let durable_machines = self.durable_machines.ok_or(ScheduleProblem::Missing("machines"))?;
        if self.settings.contains(&false) {
            return Err(ScheduleProblem::Missing("config"));
        }
        let config = self.config;
        config.check().map_err(|error| ScheduleProblem::Settings(error.to_string()))?;
        Ok(Schedule {
            notes,
            setup: Setup {
                hosts,
                spares,
                config,
                durable_machines,
                sessions: self.sessions.unwrap_or_default(),
                leases: self.leases,
            },
            broken: self.broken,
            expects: self.expects,
            ending: self.ending.ok_or(ScheduleProblem::Missing("afterwards"))?,
            shortened: self.shortened,
            commands: Offers::new(),
            actions: Vec::new(),
        })
    }
}

/// Takes a line of the list.
fn take_action(schedule: &mut Schedule, line: &str) -> Result<(), ScheduleProblem> {
    let unknown = || ScheduleProblem::UnknownAction(line.to_owned());
    // Of an empty command the space behind the word is gone.
    let (action, digits) =
        match line.split_once(HEX).or_else(|| Some((line.strip_suffix(HEX.trim_end())?, ""))) {
            Some((action, digits)) => (action, Some(digits)),
            None => (line, None),
        };
    let action = action.parse().map_err(|_| unknown())?;
    match (action, digits) {
        (Action::Command { request, .. }, Some(digits)) => {
            schedule.commands.insert(request, read_hex(digits).ok_or_else(unknown)?);
        }
        (Action::Command { .. }, None) | (_, Some(_)) => return Err(unknown()),
        (_, None) => {}
    }
    schedule.actions.push(action);
    Ok(())
}

/// The first line has to name the format and a version that is known.
fn check_version(line: &str) -> Result<(), ScheduleProblem> {
    match line.strip_prefix(FORMAT).map(str::trim_end) {
        None => Err(ScheduleProblem::NotASchedule),
        Some(version) if version.parse() == Ok(VERSION) => Ok(()),
        Some(version) => Err(ScheduleProblem::UnknownVersion(version.to_owned())),
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let mut line = 1;
        let at = |line: usize| move |problem| ScheduleError { line, problem };
        let mut lines = text.lines();
        check_version(lines.next().unwrap_or_default()).map_err(at(1))?;
        let mut head = Head::default();
        let mut notes = Vec::new();
        let mut schedule: Option<Schedule> = None;
        for content in lines {
            line += 1;
            let content = content.trim();
            if let Some(note) = content.strip_prefix('#') {
                notes.push(note.strip_prefix(' ').unwrap_or(note).to_owned());
            } else if content.is_empty() {
                continue;
            } else if let Some(schedule) = &mut schedule {
                take_action(schedule, content).map_err(at(line))?;
            } else if content == "actions" {
                schedule = Some(std::mem::take(&mut head).finish(Vec::new()).map_err(at(line))?);
            } else {
                head.take(content).map_err(at(line))?;
            }
        }
        let mut schedule = schedule.ok_or(ScheduleProblem::Missing("actions")).map_err(at(line))?;
        schedule.notes = notes;
        Ok(schedule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::HostSet;
    use crate::plan::Options;
    use crate::run::plan;

    fn sample(seed: u64) -> Schedule {
        Schedule {
            notes: vec!["one".to_owned(), "two words".to_owned()],
            setup: plan(seed, &Options::default()).setup,
            broken: Some("vote-by-index".to_owned()),
            expects: Some("votes".to_owned()),
            ending: Ending::Settled(HostSet::of_bits(5)),
            shortened: Some(Shortened { source: seed, stage: seed.is_multiple_of(2).then(Stage::default) }),
            commands: [(4, &b"\x00\xa7"[..]), (5, b"")].map(|(request, says)| (request, says.into())).into(),
            actions: ["tick 1 +3", "command 1 request 4", "command 1 request 5", "step 1 effects 2", "heal"]
                .map(|line| line.parse().unwrap())
                .into(),
        }
    }

    /// Goal: what is written reads back, with every setting. Method: the setups of many seeds, which draw all settings.
    #[test]
    fn schedules_read_back() {
        for seed in 0..50 {
            let schedule = sample(seed);
            assert_eq!(schedule.to_string().parse(), Ok(schedule.clone()), "seed {seed}");
            let bare =
                Schedule { broken: None, expects: None, shortened: None, notes: Vec::new(), ..schedule };
            assert_eq!(bare.to_string().parse(), Ok(bare), "seed {seed}");
        }
    }

    /// Goal: whatever is wrong is named with its line. Method: one thing wrong each.
    #[test]
    fn bad_schedules_are_refused() {
        let good = sample(0).to_string();
        let head_at = |text: &str| good.lines().position(|line| line.starts_with(text)).unwrap() + 1;
        let without = |text: &str| {
            good.lines()
                .filter(|line| !line.starts_with(text))
                .map(|line| format!("{line}\n"))
                .collect::<String>()
        };
        let unknown_head = |line: &str| ScheduleProblem::UnknownHead(line.to_owned());
        let unknown_action = |line: &str| ScheduleProblem::UnknownAction(line.to_owned());
        let (end, commands) = (head_at("actions"), head_at("command "));
        let cases: Vec<(String, usize, ScheduleProblem)> = vec![
            (String::new(), 1, ScheduleProblem::NotASchedule),
            (format!("#\n{good}"), 1, ScheduleProblem::NotASchedule),
            (good.replace("schedule 1", "schedule 2"), 1, ScheduleProblem::UnknownVersion("2".to_owned())),
            (without("servers"), end - 1, ScheduleProblem::Missing("servers")),
            (without("config pre_vote"), end - 1, ScheduleProblem::Missing("config")),
            (without("afterwards"), end - 1, ScheduleProblem::Missing("afterwards")),
            (without("actions"), head_at("actions"), unknown_head("tick 1 +3")),
            (good.replace("broken ", "breaks "), head_at("broken"), unknown_head("breaks vote-by-index")),
            (
                good.replace("heal", "heel"),
                good.lines().count(),
                ScheduleProblem::UnknownAction("heel".to_owned()),
            ),
            (good.replace("00a7", "0a7"), commands, unknown_action("command 1 request 4 hex 0a7")),
            (good.replace("00a7", "00a+"), commands, unknown_action("command 1 request 4 hex 00a+")),
            (good.replace(" hex 00a7", ""), commands, unknown_action("command 1 request 4")),
            (good.replace("heal", "heal hex 00"), good.lines().count(), unknown_action("heal hex 00")),
            (
                good.replace("afterwards settled 1,3", "afterwards settled 1,3\nafterwards nothing"),
                head_at("afterwards") + 1,
                ScheduleProblem::Twice("afterwards nothing".to_owned()),
            ),
        ];
        for (text, line, problem) in cases {
            assert_eq!(text.parse::<Schedule>(), Err(ScheduleError { line, problem }), "{text}");
        }
        for (from, to) in
            [("servers ", "servers 9"), ("machines ", "machines un"), ("shortened ", "shortened x")]
        {
            let error = good.replace(from, to).parse::<Schedule>().unwrap_err();
            assert!(
                error.line == head_at(from) && matches!(error.problem, ScheduleProblem::UnknownHead(_)),
                "{error}"
            );
        }
        let timeout = good.lines().find(|line| line.starts_with("config heartbeat_ticks")).unwrap();
        let error = good.replace(timeout, "config heartbeat_ticks 0").parse::<Schedule>().unwrap_err();
        assert!(matches!(error.problem, ScheduleProblem::Settings(_)), "{error}");
    }
}
