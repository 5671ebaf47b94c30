//! Reads that do not go through the log, of real servers in one process: they are linearizable wherever they are asked, wait for what
//! they have to, and end in every case.

mod support;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{Change, Config, Leases, LogIndex, LogTime, Position, Refusal, RoleKind, Server, Suffrage};
use raft_driver_tokio::log::Folder;
use raft_driver_tokio::{Handle, ReadError, StartError, StateMachine, StopReason};
use support::cluster::{Cluster, Commands, soon};
use support::filling::Filling;
use support::wires::Wires;
use tokio::sync::mpsc;

const LONG: Duration = Duration::from_secs(30);

/// Whether a future has nothing yet, asked once: what it does first has then been done.
async fn is_pending<T>(mut future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

fn words(commands: &Commands) -> Vec<Bytes> {
    commands.0.iter().map(|(_, command)| command.clone()).collect()
}

/// Reads all commands at a server, again where it was refused: whoever leads may be about to change.
async fn read(server: &Handle<Commands>) -> (Vec<Bytes>, LogIndex) {
    soon("a read", async {
        loop {
            match server.read(LONG, |commands, applied| (words(commands), applied)).await {
                Ok(seen) => return seen,
                Err(ReadError::Refused(Refusal::NotLeader { .. })) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

/// Goal: what is acknowledged is read at once on every server, whatever its role, and reading appends nothing. Method: three voters
/// and a learner; after every command all four are asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_sees_what_was_acknowledged_on_leader_follower_and_learner() {
    let mut cluster: Cluster = Cluster::prepare_with(3, 4);
    for nth in 0..4 {
        cluster.start(nth).await.expect("nothing is wrong");
    }
    let learner = Server { suffrage: Suffrage::Learner, ..cluster.all[3].clone() };
    soon("a learner", async {
        while cluster.leader().await.reconfigure(Change::Add(learner.clone()), None, LONG).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for number in 0..25 {
        let command = Bytes::from(format!("command {number}"));
        let index = cluster.insist(command.clone()).await.position.index;
        let before = cluster.leader().await.status();
        for server in cluster.running() {
            let (seen, applied) = read(server).await;
            assert_eq!(seen.last(), Some(&command));
            assert!(index <= applied);
        }
        let after = cluster.leader().await.status();
        assert!(before.core.last == after.core.last || before.core.term < after.core.term);
    }
    let leader = cluster.leader().await;
    for server in cluster.running() {
        let role = server.status().core.role;
        let leads = role == RoleKind::Leader && server.status().identity == leader.status().identity;
        // Only a leader says that it leads, and only there everything that was proposed is waited for.
        match server.verify_leader(LONG).await {
            Ok(leadership) => assert!(leads && leadership.commit <= server.status().core.last.index),
            Err(error) => assert!(matches!(error, ReadError::Refused(Refusal::NotLeader { .. })), "{error}"),
        }
        match server.barrier(LONG).await {
            Ok(index) => assert!(leads && index <= server.status().core.applied),
            Err(error) => assert!(matches!(error, ReadError::Refused(Refusal::NotLeader { .. })), "{error}"),
        }
    }
    soon("a leader that is sure", async {
        while cluster.leader().await.verify_leader(LONG).await.is_err()
            || cluster.leader().await.barrier(LONG).await.is_err()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Keeps all commands, and stops at one that is `slow` until it is let go.
#[derive(Default)]
struct Slow {
    commands: Vec<Bytes>,
    gate: Option<Gate>,
}

struct Gate {
    reached: mpsc::UnboundedSender<()>,
    open: std::sync::mpsc::Receiver<()>,
}

/// The other side of a [`Gate`]. Dropped, it lets everything go.
struct Keeper {
    reached: mpsc::UnboundedReceiver<()>,
    open: std::sync::mpsc::Sender<()>,
}

impl Slow {
    fn guarded() -> (Slow, Keeper) {
        let (reached, hears) = mpsc::unbounded_channel();
        let (open, opened) = std::sync::mpsc::channel();
        let gate = Gate { reached, open: opened };
        (Slow { commands: Vec::new(), gate: Some(gate) }, Keeper { reached: hears, open })
    }

    fn has(&self, command: &str) -> bool {
        self.commands.iter().any(|known| known == command)
    }
}

impl StateMachine for Slow {
    type Output = ();

    fn apply(&mut self, _: Position, _: LogTime, command: &Bytes) {
        if let Some(gate) = &self.gate
            && command == "slow"
        {
            // Whoever keeps the gate may be gone, which lets everything go.
            let _ = gate.reached.send(());
            let _ = gate.open.recv();
        }
        assert_ne!(command, "panic", "as the test wants");
        self.commands.push(Bytes::copy_from_slice(command));
    }
}

/// Goal: a follower whose state machine is behind answers a read late, and never from what it has. Method: it is kept in the middle
/// of one command while the next is acknowledged; a look at its own state, which asks nobody, shows that it would have been stale.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_on_a_slow_follower_waits_for_what_was_acknowledged() {
    let mut cluster: Cluster<Slow> = Cluster::prepare(3);
    let mut keepers = Vec::new();
    for nth in 0..3 {
        let (slow, keeper) = Slow::guarded();
        cluster.start_as(nth, slow).await.expect("nothing is wrong");
        keepers.push(keeper);
    }
    cluster.insist("before").await;
    let leader = cluster.leader().await.status().identity.pair;
    let behind = (0..3).find(|nth| cluster.pair(*nth) != leader).expect("two follow");
    let mut keeper = keepers.remove(behind);
    // The others are not slow.
    drop(keepers);
    cluster.insist("slow").await;
    soon("the command", keeper.reached.recv()).await.expect("it runs");
    let index = cluster.insist("new").await.position.index;

    let server = cluster.server(behind).clone();
    let mut look = pin!(server.local(|slow, _| slow.has("new")));
    assert!(is_pending(look.as_mut()).await);
    let mut reads = Vec::new();
    for _ in 0..10 {
        reads.push(Box::pin(server.read(LONG, |slow, applied| (slow.has("new"), applied))));
    }
    for read in &mut reads {
        assert!(is_pending(read.as_mut()).await);
    }
    drop(keeper);
    assert!(!soon("a look", look).await.expect("it runs"), "its own state was behind");
    for read in reads {
        match soon("a read", read).await {
            Ok((new, applied)) => assert!(new && index <= applied),
            // On a machine where the leader was not heard for long.
            Err(error) => assert!(matches!(error, ReadError::Refused(Refusal::NotLeader { .. })), "{error}"),
        }
    }
}

/// Goal: on a leader reads and barriers wait for its state machine, and who only asks whether it leads does not; of reads that wait
/// there are no more than the limit. Method: one server, kept in the middle of a command, with room for two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_wait_for_a_slow_leader_and_no_more_than_the_limit() {
    let mut cluster: Cluster<Slow> = Cluster::prepare(1);
    cluster.config = Config { reads_max: 2, ..cluster.config };
    let (slow, mut keeper) = Slow::guarded();
    cluster.start_as(0, slow).await.expect("nothing is wrong");
    cluster.insist("before").await;
    let server = cluster.server(0).clone();
    let mut first = pin!(server.propose("slow".into(), LONG));
    assert!(is_pending(first.as_mut()).await);
    soon("the command", keeper.reached.recv()).await.expect("it runs");
    let mut second = pin!(server.propose("new".into(), LONG));
    assert!(is_pending(second.as_mut()).await);
    let mut barrier = pin!(server.barrier(LONG));
    assert!(is_pending(barrier.as_mut()).await);
    let verified = soon("an answer", server.verify_leader(LONG)).await.expect("alone it is a quorum");
    assert_eq!(verified.term, server.status().core.term);
    assert!(is_pending(barrier.as_mut()).await, "it was asked before, and still waits");
    let mut read = pin!(server.read(LONG, |slow, _| slow.has("slow")));
    assert!(is_pending(read.as_mut()).await);

    let busy = Err(ReadError::Refused(Refusal::Busy));
    assert_eq!(soon("an answer", server.read(LONG, |slow, _| slow.has("slow"))).await, busy);
    assert_eq!(soon("an answer", server.barrier(LONG)).await.map(|_| false), busy);
    assert_eq!(soon("an answer", server.verify_leader(LONG)).await.map(|_| false), busy);
    assert!(is_pending(read.as_mut()).await && is_pending(barrier.as_mut()).await);

    keeper.open.send(()).expect("it waits");
    assert_eq!(soon("a read", read).await, Ok(true));
    let index = soon("a barrier", barrier).await.expect("it leads");
    let second = soon("a command", second).await.expect("it leads");
    assert!(second.position.index <= index, "proposed before the barrier");
    soon("a command", first).await.expect("it leads");
    assert_eq!(soon("a read", server.read(LONG, |slow, _| slow.has("new"))).await, Ok(true));
}

/// Three servers behind wires, and one of them leads that never gives up for want of a quorum.
struct Patient {
    cluster: Cluster,
    wires: Wires,
    leader: usize,
    /// The other one that calls no election.
    other: usize,
    /// Set, the disk of the leader is full.
    full: Arc<AtomicBool>,
}

/// The one that calls elections.
const HASTY: usize = 1;

impl Patient {
    async fn leader() -> Patient {
        let wires = Wires::new();
        let mut cluster: Cluster = Cluster::prepare_reached(3, 3, |id, listens| wires.lead_to(id, listens));
        cluster.drain = Duration::ZERO;
        let hasty = cluster.config;
        cluster.config = Config { election_timeout_ticks: 1_000_000, heartbeat_ticks: 10, ..hasty };
        let full = Arc::new(AtomicBool::new(false));
        for nth in [0, 2] {
            let folder = Folder::new(cluster.path(nth).join("log"));
            cluster.start_with_storage(nth, Arc::new(Filling { folder, full: Arc::clone(&full) })).await;
        }
        (cluster.config, cluster.drain) = (hasty, Duration::from_secs(60));
        cluster.start(HASTY).await.expect("nothing is wrong");
        cluster.insist("before").await;
        // It hands over to one of the others, and then follows.
        cluster.stop(HASTY).await;
        let last = cluster.insist("old").await.position.index;
        cluster.start(HASTY).await.expect("nothing is wrong");
        // Without all of the log nobody would vote for it.
        cluster.commands(HASTY, last).await;
        let leader = cluster.leader().await.status().identity.pair;
        let leader = (0..3).find(|nth| cluster.pair(*nth) == leader).expect("one of them");
        assert_ne!(leader, HASTY);
        cluster.drain = Duration::ZERO;
        Patient { cluster, wires, leader, other: 2 - leader, full }
    }

    fn cut_off_leader(&self) -> Handle<Commands> {
        self.wires.cut_off(Some(self.cluster.pair(self.leader).id.raw()));
        self.cluster.server(self.leader).clone()
    }

    /// The others elect a leader of their own.
    async fn others_go_on(&mut self) -> Handle<Commands> {
        // What has just started has not heard the old leader.
        self.cluster.stop(self.other).await;
        self.cluster.config.election_timeout_ticks = 1_000_000;
        self.cluster.start(self.other).await.expect("nothing is wrong");
        let heir = self.cluster.server(HASTY).clone();
        let mut status = heir.subscribe();
        let leads = status.wait_for(|status| status.core.role == RoleKind::Leader);
        soon("another leader", leads).await.expect("it runs");
        heir
    }
}

type Asked = Pin<Box<dyn Future<Output = Result<(), ReadError>>>>;

/// A read and a question who leads, on their way to the loop.
async fn ask(server: &Handle<Commands>) -> Vec<Asked> {
    let (reader, verifier) = (server.clone(), server.clone());
    let mut asked: Vec<Asked> = vec![
        Box::pin(async move { reader.read(Duration::MAX, |_, _| ()).await }),
        Box::pin(async move { verifier.verify_leader(Duration::MAX).await.map(|_| ()) }),
    ];
    for asked in &mut asked {
        assert!(is_pending(asked.as_mut()).await);
    }
    asked
}

async fn answers(asked: Vec<Asked>) -> Vec<Result<(), ReadError>> {
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(soon("an answer", asked).await);
    }
    answers
}

/// Goal: a deposed leader in a partition, which does not know that it is, answers no read (Raft thesis §6.4). Method: one that never
/// gives up is cut off, and the others go on without it. It is asked before and after; its own state shows what a read would have seen;
/// then it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deposed_leader_in_a_partition_answers_no_read() {
    let mut patient = Patient::leader().await;
    let deposed = patient.cut_off_leader();
    let early = ask(&deposed).await;
    let heir = patient.others_go_on().await;
    soon("a command", heir.propose("new".into(), LONG)).await.expect("it leads");
    let mut asked = ask(&deposed).await;
    assert_eq!(deposed.status().core.role, RoleKind::Leader, "it knows nothing");
    let local = deposed.local(|commands, _| words(commands)).await.expect("it runs");
    assert!(local.contains(&"old".into()) && !local.contains(&"new".into()), "{local:?}");
    // What was asked before this call has been taken when it is answered.
    assert_eq!(deposed.followers(LONG).await.expect("it runs").len(), 2);
    for asked in &mut asked {
        assert!(is_pending(asked.as_mut()).await);
    }

    patient.wires.cut_off(None);
    for answer in answers(asked).await {
        assert!(matches!(answer, Err(ReadError::Refused(Refusal::NotLeader { .. }))), "{answer:?}");
    }
    // These may have had their round before the wires were cut. They have an answer in any case.
    answers(early).await;
    let (seen, _) = read(&deposed).await;
    assert!(seen.contains(&"new".into()), "once it follows, it reads what is new");
}

/// Goal: nothing hangs when a server ends, however it does. Method: reads that no quorum answers, on a leader that is cut off; then it is
/// shut down, its disk becomes full, or its state machine panics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_is_answered_when_a_server_ends() {
    let mut patient = Patient::leader().await;
    let leader = patient.cut_off_leader();
    let asked = ask(&leader).await;
    leader.followers(LONG).await.expect("it runs");
    patient.cluster.servers[patient.leader] = None;
    let stopped = soon("a shutdown", async { tokio::join!(leader.shutdown(), answers(asked)).1 }).await;
    // A round may have been answered before the wires were cut.
    assert!(stopped.iter().all(|answer| [Ok(()), Err(ReadError::Lost)].contains(answer)), "{stopped:?}");
    assert_eq!(leader.read(LONG, |_, _| ()).await, Err(ReadError::Stopped));
    assert_eq!(leader.barrier(LONG).await, Err(ReadError::Stopped));
    assert_eq!(leader.verify_leader(LONG).await, Err(ReadError::Stopped));

    let patient = Patient::leader().await;
    let leader = patient.cut_off_leader();
    let asked = ask(&leader).await;
    leader.followers(LONG).await.expect("it runs");
    patient.full.store(true, Ordering::SeqCst);
    let refused = soon("an answer", leader.propose("too much".into(), LONG)).await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(matches!(soon("the end", leader.stopped()).await, StopReason::Fault { .. }));
    for answer in answers(asked).await {
        let halted = Err(ReadError::Refused(Refusal::Halted));
        let deposed = matches!(answer, Err(ReadError::Refused(Refusal::NotLeader { .. })));
        assert!(deposed || answer == halted || answer == Ok(()), "{answer:?}");
    }

    let mut cluster: Cluster<Slow> = Cluster::prepare(1);
    let (slow, mut keeper) = Slow::guarded();
    cluster.start_as(0, slow).await.expect("nothing is wrong");
    let server = cluster.server(0).clone();
    cluster.insist("before").await;
    let mut first = pin!(server.propose("slow".into(), LONG));
    assert!(is_pending(first.as_mut()).await);
    soon("the command", keeper.reached.recv()).await.expect("it runs");
    let mut second = pin!(server.propose("panic".into(), LONG));
    assert!(is_pending(second.as_mut()).await);
    let mut barrier = pin!(server.barrier(LONG));
    assert!(is_pending(barrier.as_mut()).await);
    drop(keeper);
    assert_eq!(soon("an answer", barrier).await, Err(ReadError::Lost));
    assert!(matches!(soon("the end", server.stopped()).await, StopReason::StateMachine));
}

/// Goal: a read ends at its deadline, and one that nobody waits for any more is not done. Method: one server, kept in the middle of a
/// command; one read whose time is up, and one that is given up; what they would do is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_ends_at_its_deadline_and_is_not_done_for_nobody() {
    let mut cluster: Cluster<Slow> = Cluster::prepare(1);
    let (slow, mut keeper) = Slow::guarded();
    cluster.start_as(0, slow).await.expect("nothing is wrong");
    let server = cluster.server(0).clone();
    cluster.insist("before").await;
    let mut first = pin!(server.propose("slow".into(), LONG));
    assert!(is_pending(first.as_mut()).await);
    soon("the command", keeper.reached.recv()).await.expect("it runs");
    let done = Arc::new(AtomicBool::new(false));
    let late = Arc::clone(&done);
    let look = move |_: &Slow, _| late.store(true, Ordering::SeqCst);
    assert_eq!(server.read(Duration::from_millis(1), look.clone()).await, Err(ReadError::Deadline));
    {
        let mut given_up = pin!(server.read(LONG, look.clone()));
        assert!(is_pending(given_up.as_mut()).await);
    }
    keeper.open.send(()).expect("it waits");
    assert_eq!(soon("a read", server.read(LONG, |slow, _| slow.has("slow"))).await, Ok(true));
    assert!(!done.load(Ordering::SeqCst), "both came before it");
    server.read(LONG, look).await.expect("it leads");
    assert!(done.load(Ordering::SeqCst), "what somebody waits for is done");
}

/// Goal: a cluster with leases reads and writes like any, a restart in between included; and a server whose ticks are not those of the
/// leases does not start. Method: leases in the founding configuration, by the servers' own ticks, and by others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_count_the_ticks_of_the_servers() {
    let mut cluster: Cluster = Cluster::prepare(3);
    let (tick, plain) = (cluster.options(0).tick, cluster.founders.clone());
    let leases = |tick: Duration| Leases::new(10, 10_000, tick.as_nanos() as u64).expect("in range");
    cluster.founders = plain.clone().with_leases(Some(leases(2 * tick)));
    let refused = cluster.start(0).await.expect_err("other ticks");
    assert!(matches!(refused, StartError::Tick { ours, .. } if ours == tick), "{refused}");

    cluster.founders = plain.with_leases(Some(leases(tick)));
    for nth in 0..3 {
        cluster.start(nth).await.expect("nothing is wrong");
    }
    for number in 0..20 {
        if number == 10 {
            // One of them comes back: perhaps the leader.
            cluster.stop(0).await;
            cluster.start(0).await.expect("nothing is wrong");
        }
        let command = Bytes::from(format!("command {number}"));
        cluster.insist(command.clone()).await;
        for server in cluster.running() {
            assert_eq!(read(server).await.0.last(), Some(&command));
        }
    }
}
