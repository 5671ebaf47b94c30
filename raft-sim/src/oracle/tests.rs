//! Every oracle can fail: steps made by hand, each with one thing wrong. What canaries show is not repeated.

use std::sync::Arc;

use raft_core::{
    Body, Boot, ClusterId, Config, Entry, Event, Fault, HardState, LogIndex, LogTime, Packet, Pair, Payload,
    Position, Ready, Run, Runs, Suffrage, Term, Write, WriteNumber,
};

use super::*;
use crate::disk::pair_of;

pub(super) fn host(number: u8) -> HostId {
    HostId::new(number).unwrap()
}

pub(super) fn pair(number: u8) -> Pair {
    pair_of(host(number)).unwrap()
}

pub(super) fn voters(numbers: impl IntoIterator<Item = u8>) -> Membership {
    let server = |number| crate::action::server_of(host(number), pair(number), Suffrage::Voter);
    Membership::new(numbers.into_iter().map(server).collect()).unwrap()
}

fn setup(hosts: u8, config: &Config) -> Setup {
    let (durable_machines, sessions) = (false, raft_core::SessionLimits::default());
    Setup { hosts, spares: 0, config: *config, durable_machines, sessions, leases: None }
}

fn oracles_with(hosts: u8, config: &Config) -> Oracles {
    let pairs: Vec<_> = (1..=hosts).map(pair).collect();
    Oracles::new(&pairs, &voters(1..=hosts), &setup(hosts, config))
}

pub(super) fn oracles(hosts: u8) -> Oracles {
    oracles_with(hosts, &Config::default())
}

pub(super) fn run(term: u64, first: u64, times: &[u64]) -> Run {
    let entries = times.iter().map(|time| Entry::new(LogTime::new(*time), Payload::Noop));
    Run::new(Term::new(term), LogIndex::new(first), entries).unwrap()
}

pub(super) fn log(runs: &[Run]) -> TermLog {
    let mut log = TermLog::default();
    for run in runs {
        log.put(run);
    }
    log
}

pub(super) fn seen(leads: bool, term: u64, commit: u64, last: Position) -> Seen {
    let (term, commit) = (Term::new(term), LogIndex::new(commit));
    Seen { leads, campaigns: false, term, vote: None, commit, applied: LogIndex::ZERO, last, fault: None }
}

/// A step of server `number`, for which all have voted if it comes to lead in it, from `before` to `after`, with this log and these effects.
fn step(
    oracles: &mut Oracles,
    number: u8,
    states: (Seen, Seen),
    log: &TermLog,
    ready: &Ready,
) -> &'static str {
    let (before, after) = states;
    for voter in 1..=9 {
        if after.leads && voter <= oracles.disks.all().count() as u8 {
            // Who has voted for another does not vote again.
            drop(oracles.votes.note(host(voter), pair(voter), after.term, pair(number)));
        }
    }
    let step = Step { host: host(number), pair: pair(number), boot: Boot::new(1), before, after, log, ready };
    oracles.stepped(&step, Ok(())).err().map_or("none", |violation| violation.oracle)
}

fn packet(from: u8, to: u8, term: u64, body: Body) -> Ready {
    let (cluster, boot) = (ClusterId::new(1), Boot::new(1));
    let packet = Packet {
        cluster,
        from: pair(from),
        boot,
        to: pair(to),
        term: Term::new(term),
        body,
        versions: raft_core::Versions::OURS,
    };
    Ready { send: vec![packet], ..Ready::default() }
}

pub(super) fn write(number: u64, term: u64, vote: Option<Pair>, entries: &[Run]) -> Write {
    let mut runs = Runs::new();
    for run in entries {
        runs.push(run.clone()).unwrap();
    }
    let hard_state = HardState { term: Term::new(term), vote };
    Write {
        number: WriteNumber::new(number),
        hard_state,
        entries: runs,
        compaction: None,
        refounds: None,
        commit: LogIndex::ZERO,
    }
}

/// Goal: two leaders of one term are seen, two of two terms are not a fault. Method: both.
#[test]
fn election_safety_sees_two_leaders_of_a_term() {
    for (second, expected) in [(5, election::NAME), (6, "none")] {
        let mut oracles = oracles(3);
        let empty = TermLog::default();
        let elected = |term| (seen(false, term, 0, Position::ZERO), seen(true, term, 0, Position::ZERO));
        assert_eq!(step(&mut oracles, 1, elected(5), &empty, &Ready::default()), "none");
        assert_eq!(step(&mut oracles, 2, elected(second), &empty, &Ready::default()), expected);
    }
}

/// Goal: who leads has votes of its term from a majority, its own among them. Method: a leader with the votes of one other server of
/// four and of two, of this term and of one before.
#[test]
fn election_safety_counts_votes_of_the_term() {
    for (voters, term, expected) in [(1, 5, election::NAME), (2, 5, "none"), (2, 4, election::NAME)] {
        let mut oracles = oracles(4);
        for voter in 2..2 + voters {
            assert!(oracles.votes.note(host(voter), pair(voter), Term::new(term), pair(1)).is_ok());
        }
        let (before, after) = (seen(false, 5, 0, Position::ZERO), seen(true, 5, 0, Position::ZERO));
        let (log, ready) = (TermLog::default(), Ready::default());
        let step = Step {
            host: host(1),
            pair: pair(1),
            boot: Boot::new(1),
            before,
            after,
            log: &log,
            ready: &ready,
        };
        let verdict = oracles.stepped(&step, Ok(()));
        assert_eq!(verdict.err().map_or("none", |violation| violation.oracle), expected);
    }
}

/// Goal: the same position with another entry, or behind another term, is seen. Method: appends that differ in one of them.
#[test]
fn log_matching_sees_content_and_predecessor() {
    let append = |previous: Position, entries: Run| {
        let entries = Runs::from(entries);
        packet(1, 2, 3, Body::Append { previous, commit: LogIndex::ZERO, entries })
    };
    let states = (seen(false, 3, 0, Position::ZERO), seen(false, 3, 0, Position::ZERO));
    let first = append(Position::ZERO, run(2, 1, &[10]));
    let second = append(Position::new(2, 1), run(3, 2, &[20]));
    for (third, expected) in [
        (append(Position::new(2, 1), run(3, 2, &[20])), "none"),
        (append(Position::new(2, 1), run(3, 2, &[21])), matching::NAME),
        (append(Position::new(1, 1), run(3, 2, &[20])), matching::NAME),
        // What stands between them was neither sent nor written yet.
        (append(Position::new(3, 3), run(3, 4, &[20])), "none"),
    ] {
        let mut oracles = oracles(2);
        let empty = TermLog::default();
        assert_eq!(step(&mut oracles, 1, states, &empty, &first), "none");
        assert_eq!(step(&mut oracles, 1, states, &empty, &second), "none");
        assert_eq!(step(&mut oracles, 2, states, &empty, &third), expected);
    }
}

/// Goal: a majority counts only where it has held the entry durably in the leader's own term. Method: a leader that commits
/// with one, two and two other holders, the last of an older term.
#[test]
fn commit_rule_counts_durable_holders_of_the_term() {
    let entries = [run(0, 1, &[0]), run(2, 2, &[0])];
    for (holders, disk_term, expected) in [(1, 2, commit::NAME), (2, 2, "none"), (2, 3, commit::NAME)] {
        let mut oracles = oracles(3);
        let log = log(&entries);
        let elected = (seen(false, 2, 0, Position::new(0, 1)), seen(true, 2, 0, Position::new(2, 2)));
        assert_eq!(step(&mut oracles, 1, elected, &log, &Ready::default()), "none");
        for number in 1..=holders {
            oracles.written(host(number), &write(1, disk_term, None, &entries));
            oracles.synced(host(number), 1);
        }
        let raised = (seen(true, 2, 0, Position::new(2, 2)), seen(true, 2, 2, Position::new(2, 2)));
        assert_eq!(step(&mut oracles, 1, raised, &log, &Ready::default()), expected);
    }
}

/// Goal: what follows a configuration counts for nothing where that is committed, not even in the same step. Method: a leader that commits a
/// joint configuration and leaves it for a lone voter; one that has appended both in the step in which it commits an entry behind them.
#[test]
fn commit_rule_takes_a_configuration_by_itself() {
    let entries = [run(0, 1, &[0]), run(2, 2, &[0, 0, 0])];
    let log = log(&entries);
    let alone = voters([1]);
    for (index, holders, expected) in [(3, 1, commit::NAME), (3, 2, "none"), (4, 1, "none"), (2, 1, "none")] {
        let mut oracles = oracles(3);
        for number in 1..=holders {
            oracles.written(host(number), &write(1, 2, None, &entries));
            oracles.synced(host(number), 1);
        }
        let mut known = Configurations::new(&voters([1, 2, 3]));
        known.note(Position::new(2, 3), &Arc::new(voters([1, 2, 3]).joint(&alone)));
        known.note(Position::new(2, 4), &Arc::new(alone.clone()));
        let before = seen(true, 2, 1, Position::new(0, 1));
        let after = seen(true, 2, index, Position::new(2, 4));
        let (host, pair, boot, ready) = (host(1), pair(1), Boot::new(1), &Ready::default());
        let step = Step { host, pair, boot, before, after, log: &log, ready };
        let verdict = commit::CommitRule::default().stepped(&step, &oracles.disks, &known);
        assert_eq!(verdict.err().map_or("none", |violation| violation.oracle), expected, "{index} {holders}");
    }
}

/// Goal: a commit below a leader that lacks the entry is seen, though that leader was elected before. Method: leaders of two
/// terms, the older one commits last.
#[test]
fn leader_completeness_sees_a_late_commit() {
    let entries = [run(0, 1, &[0]), run(2, 2, &[0])];
    let mut oracles = oracles(3);
    let (old, new) = (log(&entries), log(&entries[..1]));
    let elected = (seen(false, 2, 0, Position::new(0, 1)), seen(true, 2, 0, Position::new(2, 2)));
    assert_eq!(step(&mut oracles, 1, elected, &old, &Ready::default()), "none");
    for number in [1, 2] {
        oracles.written(host(number), &write(1, 2, None, &entries));
        oracles.synced(host(number), 1);
    }
    let later = (seen(false, 3, 0, Position::new(0, 1)), seen(true, 3, 0, Position::new(0, 1)));
    assert_eq!(step(&mut oracles, 3, later, &new, &Ready::default()), "none");
    let raised = (seen(true, 2, 0, Position::new(2, 2)), seen(true, 2, 2, Position::new(2, 2)));
    assert_eq!(step(&mut oracles, 1, raised, &old, &Ready::default()), completeness::NAME);
}

/// Goal: the acknowledgement of an entry that is on its way to the disk is seen, and that of one that is there is none.
/// Method: the same acknowledgement before and after the sync.
#[test]
fn promises_sees_an_acknowledgement_before_the_sync() {
    for (synced, expected) in [(false, promises::NAME), (true, "none")] {
        let mut oracles = oracles(2);
        let entries = [run(0, 1, &[0]), run(2, 2, &[0])];
        let log = log(&entries);
        let elected = (seen(false, 2, 0, Position::new(0, 1)), seen(true, 2, 0, Position::new(2, 2)));
        assert_eq!(step(&mut oracles, 1, elected, &log, &Ready::default()), "none");
        oracles.written(host(2), &write(1, 2, None, &entries));
        if synced {
            oracles.synced(host(2), 1);
        }
        let (held, durable) = (LogIndex::new(2), LogIndex::new(2));
        let acknowledge = Body::Acknowledge { boot: Boot::new(1), round: None, held, durable };
        let states = (seen(false, 2, 0, Position::new(2, 2)), seen(false, 2, 0, Position::new(2, 2)));
        assert_eq!(step(&mut oracles, 2, states, &log, &packet(2, 1, 2, acknowledge)), expected);
    }
}

/// Goal: a disk that comes back with less, or with another vote, is seen. Method: starts that differ in one thing.
#[test]
fn durability_sees_what_is_missing() {
    let entries = [run(0, 1, &[0]), run(2, 2, &[0, 0])];
    for (term, vote, kept, expected) in [
        (2, Some(pair(1)), 3, "none"),
        (1, Some(pair(1)), 3, durable::NAME),
        (2, None, 3, durable::NAME),
        (2, Some(pair(1)), 2, durable::NAME),
    ] {
        let mut oracles = oracles(1);
        oracles.written(host(1), &write(1, 2, Some(pair(1)), &entries));
        oracles.crashed(host(1), 1, true);
        let mut log = log(&entries[..1]);
        log.put(&run(2, 2, &vec![0; kept - 1]));
        let last = Position { term: log.last_term(), index: log.last() };
        let now = Seen { vote, ..seen(false, term, 0, last) };
        let verdict = oracles.started(host(1), &now, &log);
        assert_eq!(verdict.err().map_or("none", |violation| violation.oracle), expected);
    }
}

/// An append from server 1 to server 2 with so many entries behind `previous`.
fn append(previous: u64, entries: u64) -> Ready {
    let times = vec![0; entries as usize];
    let entries = Runs::from(run(1, previous + 1, &times));
    packet(
        1,
        2,
        1,
        Body::Append {
            previous: Position::new(u64::from(previous != 0), previous),
            commit: LogIndex::ZERO,
            entries,
        },
    )
}

/// Goal: windows are kept, in packets and in bytes, from one answer of the follower to the next. Method: appends up to the limit, an
/// answer, and one too many; answers of others and packets that are none make no room.
#[test]
fn caps_sees_more_in_flight_than_a_window() {
    let size = Entry::OVERHEAD_BYTES;
    for (packets_max, bytes_max, fit) in [(3, 1_000_000, 3), (1000, 2 * size + 1, 3), (1000, 2 * size, 2)] {
        let config = Config {
            in_flight_packets_max: packets_max,
            in_flight_bytes_max: bytes_max,
            ..Config::default()
        };
        let mut oracles = oracles_with(3, &config);
        let (leads, log) = (seen(true, 1, 0, Position::new(0, 1)), log(&[run(0, 1, &[0])]));
        let answer = |from, body| {
            let mut ready = packet(from, 1, 1, body);
            ready.send.remove(0)
        };
        let (boot, at) = (Boot::new(1), LogIndex::ZERO);
        let says = Body::Acknowledge { boot, round: None, held: at, durable: at };
        let mut sent = 0;
        for round in 0..3 {
            for nth in 0..fit {
                let verdict = step(&mut oracles, 1, (leads, leads), &log, &append(sent, 1));
                sent += 1;
                assert_eq!(verdict, "none", "round {round}, append {nth}");
            }
            if round < 2 {
                oracles.delivered(host(1), &answer(2, says.clone()));
            }
        }
        oracles.delivered(host(1), &answer(3, says.clone()));
        oracles.delivered(host(1), &answer(2, Body::NewerTerm));
        assert_eq!(step(&mut oracles, 1, (leads, leads), &log, &append(sent, 1)), caps::NAME);
    }
}

/// Goal: what is uncommitted is limited in bytes. Method: requests that wait, up to the limit; one is answered; and one too many.
#[test]
fn caps_sees_more_uncommitted_than_the_limit() {
    let config = Config { uncommitted_bytes_max: 1000, ..Config::default() };
    let now = seen(true, 1, 0, Position::new(0, 1));
    for (last, expected) in [(400, "none"), (401, caps::NAME)] {
        let mut oracles = oracles_with(3, &config);
        let log = log(&[run(0, 1, &[0])]);
        oracles.proposed(host(1), 1, 1, 600);
        oracles.proposed(host(1), 2, 1, 400);
        let refused =
            Answer { id: raft_core::RequestId::new(1), outcome: Outcome::Refused(raft_core::Refusal::Busy) };
        let ready = Ready { answers: vec![refused], ..Ready::default() };
        assert_eq!(step(&mut oracles, 1, (now, now), &log, &ready), "none");
        assert!(oracles.answered(host(1), &ready.answers[0]).is_ok());
        oracles.proposed(host(1), 3, 1, 200);
        oracles.proposed(host(1), 4, 1, last);
        assert_eq!(step(&mut oracles, 1, (now, now), &log, &Ready::default()), expected);
    }
}

/// Goal: nobody says of another server that it has broken a promise, unless a disk has forgotten it. Method: both.
#[test]
fn health_sees_false_reproaches() {
    for (forgets, expected) in [(false, health::NAME), (true, "none")] {
        let mut oracles = oracles(2);
        if forgets {
            oracles.rolled_back(host(2), [].into_iter());
        }
        let (acknowledged, held) = (LogIndex::new(5), LogIndex::new(3));
        let event = Event::PromiseBroken { server: pair(2), acknowledged, held };
        let ready = Ready { events: vec![event], ..Ready::default() };
        let now = seen(true, 1, 0, Position::new(0, 1));
        assert_eq!(step(&mut oracles, 1, (now, now), &log(&[run(0, 1, &[0])]), &ready), expected);
    }
}

/// Goal: a failed write is final. Method: a node that goes on after it, and one that halts.
#[test]
fn health_sees_a_node_that_goes_on_after_a_failed_write() {
    for (fault, expected) in [(None, health::NAME), (Some(Fault::WriteFailed), "none")] {
        let mut oracles = oracles(1);
        oracles.write_failed(host(1));
        let before = seen(false, 2, 0, Position::ZERO);
        let after = Seen { fault, ..before };
        assert_eq!(step(&mut oracles, 1, (before, after), &TermLog::default(), &Ready::default()), expected);
    }
}

/// Goal: a wiped server that promises something is seen, and so is a start from a damaged disk. Method: one of each, and the
/// same of a server that is neither.
#[test]
fn strangers_sees_promises_and_damage() {
    for (wiped, expected) in [(true, strangers::NAME), (false, "none")] {
        // One that was wiped is in no configuration.
        let founders = if wiped { voters([1]) } else { voters([1, 2]) };
        let mut oracles = Oracles::new(&[pair(1), pair(2)], &founders, &setup(2, &Config::default()));
        if wiped {
            oracles.wiped(host(2), pair(2));
        }
        oracles.written(host(2), &write(1, 2, Some(pair(1)), &[]));
        oracles.synced(host(2), 1);
        let now = Seen { vote: Some(pair(1)), ..seen(false, 2, 0, Position::ZERO) };
        let vote = packet(2, 1, 2, Body::Vote { boot: Boot::new(1), granted: true });
        assert_eq!(step(&mut oracles, 2, (now, now), &TermLog::default(), &vote), expected);
        oracles.damaged(host(1));
        let start = oracles.started(host(1), &seen(false, 0, 0, Position::ZERO), &TermLog::default());
        assert_eq!(start.err().map(|violation| violation.oracle), Some(strangers::NAME));
    }
}
