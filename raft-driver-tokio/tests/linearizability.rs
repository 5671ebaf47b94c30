//! What clients of real servers are told is linearizable, also while one of these goes down and comes back.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use raft_core::{LogTime, Position};
use raft_driver_tokio::{Handle, StateMachine};
use raft_sim::Random;
use raft_sim::history::{BUDGET, Call, History, Judgement, Operation, Outcome, Registers, Reply};
use support::cluster::{Cluster, soon};
use tokio::sync::watch;
use tokio::task::JoinSet;

const KEYS: u64 = 2;
const CLIENTS: u64 = 4;
/// How long a call may take.
const WITHIN: Duration = Duration::from_secs(2);
/// How many calls of each client have to be answered before the server goes down, between that and its return, and after.
const ANSWERS: u64 = 25;

/// The registers as a state machine: a command is a register and an operation in words.
#[derive(Default)]
struct Map(Registers);

impl StateMachine for Map {
    type Output = Reply;

    fn apply(&mut self, _: Position, _: LogTime, command: &Bytes) -> Reply {
        let (key, operation) = parse(command).expect("clients write nothing else");
        self.0.apply(key, operation)
    }
}

fn command(key: u64, operation: Operation) -> Bytes {
    match operation {
        Operation::Read => unreachable!("reads are no commands"),
        Operation::Write(value) => format!("{key} write {value}"),
        Operation::CompareAndSwap { expected: None, new } => format!("{key} swap {new}"),
        Operation::CompareAndSwap { expected: Some(expected), new } => format!("{key} swap {new} {expected}"),
    }
    .into()
}

fn parse(command: &[u8]) -> Option<(u64, Operation)> {
    let text = std::str::from_utf8(command).ok()?;
    let words: Vec<&str> = text.split(' ').collect();
    let number = |word: &str| word.parse().ok();
    let operation = match words[1..] {
        ["write", value] => Operation::Write(number(value)?),
        ["swap", new] => Operation::CompareAndSwap { expected: None, new: number(new)? },
        ["swap", new, expected] => {
            Operation::CompareAndSwap { expected: Some(number(expected)?), new: number(new)? }
        }
        _ => return None,
    };
    Some((number(words[0])?, operation))
}

/// One client: asks the servers in turn until it is told to stop, and tells how many answers it has.
async fn client(
    id: u64,
    clock: Arc<AtomicU64>,
    mut servers: watch::Receiver<Option<Vec<Handle<Map>>>>,
    answers: watch::Sender<u64>,
) -> Vec<Call> {
    let mut random = Random::new(id);
    let mut calls = Vec::new();
    let mut seen = [None; KEYS as usize];
    let mut turn = id;
    loop {
        let running = servers.borrow_and_update().clone();
        let Some(running) = running else { return calls };
        let server = &running[turn as usize % running.len()];
        let key = random.below(KEYS);
        // Every call draws two numbers, so this value is nobody else's.
        let invoked = clock.fetch_add(1, Ordering::SeqCst);
        let operation = match random.below(3) {
            0 => Operation::Read,
            1 => Operation::Write(invoked),
            _ => Operation::CompareAndSwap { expected: seen[key as usize], new: invoked },
        };
        let answer = match operation {
            // A read at any of them, without an entry in the log.
            Operation::Read => {
                let server = &running[random.below(running.len() as u64) as usize];
                let read = server.read(WITHIN, move |map, _| Reply::Value(map.0.value(key))).await;
                // Whatever became of it, it has no effect.
                read.map_err(|_| Outcome::Refused)
            }
            _ => {
                server.propose(command(key, operation), WITHIN).await.map(|applied| applied.output).map_err(
                    |error| if error.certainly_no_effect() { Outcome::Refused } else { Outcome::Open },
                )
            }
        };
        let at = clock.fetch_add(1, Ordering::SeqCst);
        let outcome = match answer {
            Ok(reply) => {
                match reply {
                    Reply::Value(value) => seen[key as usize] = value,
                    Reply::Written | Reply::Swapped(true) => seen[key as usize] = Some(invoked),
                    Reply::Swapped(false) => {}
                }
                answers.send_modify(|count| *count += 1);
                Outcome::Answered { at, reply }
            }
            Err(outcome) => outcome,
        };
        if !matches!(outcome, Outcome::Answered { .. }) {
            turn += 1;
            tokio::task::yield_now().await;
        }
        // Refusals by servers that do not lead are many, and say nothing.
        if outcome != Outcome::Refused {
            calls.push(Call { client: id, key, operation, invoked, outcome, position: None });
        }
    }
}

async fn until_answered(answers: &mut [watch::Receiver<u64>]) {
    for answers in answers {
        let wanted = *answers.borrow() + ANSWERS;
        soon("answers", answers.wait_for(|count| wanted <= *count)).await.expect("the client goes on");
    }
}

/// Goal: the driver keeps the promise that one log makes. Method: clients of three real servers, which write to the leader and read
/// anywhere; the leader goes down and comes back from its disk meanwhile; what they were told is judged by the general checker. One answer is then falsified,
/// so that the judge is seen to refuse it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_real_servers_see_a_linearizable_history() {
    let mut cluster = Cluster::<Map>::started(3).await;
    let (servers, watched) = watch::channel(Some(cluster.running().cloned().collect()));
    let clock = Arc::new(AtomicU64::new(1));
    let mut clients = JoinSet::new();
    let mut answers = Vec::new();
    for id in 1..=CLIENTS {
        let (sender, receiver) = watch::channel(0);
        answers.push(receiver);
        clients.spawn(client(id, Arc::clone(&clock), watched.clone(), sender));
    }
    until_answered(&mut answers).await;
    let leader = cluster.leader().await.status().identity.pair;
    let down = (0..3).find(|nth| cluster.pair(*nth) == leader).expect("one of them");
    cluster.stop(down).await;
    servers.send_replace(Some(cluster.running().cloned().collect()));
    until_answered(&mut answers).await;
    cluster.start(down).await.expect("nothing is wrong");
    servers.send_replace(Some(cluster.running().cloned().collect()));
    until_answered(&mut answers).await;
    servers.send_replace(None);

    let mut history = History::default();
    while let Some(calls) = soon("the clients end", clients.join_next()).await {
        history.calls.extend(calls.expect("no client panics"));
    }
    assert!(3 * CLIENTS * ANSWERS <= history.calls.len() as u64);
    match history.check(BUDGET) {
        Judgement::Linearizable => {}
        Judgement::Refused(contradiction) => panic!("{contradiction}"),
        Judgement::Undecided { key } => panic!("{} calls, register {key} is undecided", history.calls.len()),
    }
    for call in &mut history.calls {
        if let Outcome::Answered { at, reply: Reply::Value(Some(_)) } = call.outcome {
            call.outcome = Outcome::Answered { at, reply: Reply::Value(Some(0)) };
            break;
        }
    }
    assert!(matches!(history.check(BUDGET), Judgement::Refused(_)));
}
