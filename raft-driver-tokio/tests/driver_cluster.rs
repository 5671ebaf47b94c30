//! Three servers in one process, with real folders and real sockets: they elect, replicate, restart, and refuse what can
//! not be right.

mod support;

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use raft_core::{
    Bootstrap, BootstrapError, Compaction, Config, Entry, Fault, Import, LogIndex, LogTime, Membership,
    Payload, Position, Refusal, RoleKind, Run, Runs, Snapshot, Term, Write, WriteNumber, bootstrap,
};
use raft_driver_tokio::log::{Folder, Log, LogError, inspect};
use raft_driver_tokio::{DataDir, Options, ProposeError, StartError, StopReason, start};
use support::cluster::{Cluster, Commands, soon};
use support::filling::Filling;

const LONG: Duration = Duration::from_secs(30);

/// Goal: the whole way of a write, and the way back from disk. Method: three servers, commands over many segments, all
/// stopped and started, so that everything is replayed by fetches; then more commands; then the disks are compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_replicate_and_replay_everything_after_a_restart() {
    let mut cluster: Cluster = Cluster::started(3).await;
    let mut acknowledged = Vec::new();
    let mut last = LogIndex::ZERO;
    for round in 0..2 {
        for number in 0..40 {
            let command = Bytes::from(format!("{round}/{number} {}", "x".repeat(300)));
            let applied = cluster.insist(command.clone()).await;
            acknowledged.push((applied.position, command));
            last = applied.position.index;
        }
        let first = cluster.commands(0, last).await;
        for nth in 0..3 {
            let commands = cluster.commands(nth, last).await;
            let common = commands.len().min(first.len());
            assert_eq!(commands[..common], first[..common], "one order on all servers");
            for wanted in &acknowledged {
                assert!(commands.contains(wanted), "server {nth} lost {wanted:?}");
            }
        }
        for nth in 0..3 {
            cluster.stop(nth).await;
        }
        if round == 0 {
            for nth in 0..3 {
                cluster.start(nth).await.expect("nothing is wrong");
            }
        }
    }
    let mut digests = Vec::new();
    for nth in 0..3 {
        let directory = DataDir::open_read_only(cluster.path(nth)).expect("it is stopped");
        let inspection = inspect(&directory).expect("nothing is wrong");
        assert!(4 < inspection.summary().segments);
        assert_eq!(inspection.summary().cluster, Some(cluster.founders.cluster_id()));
        assert_eq!(directory.boot().raw(), 2);
        digests.push(inspection.digest(last).expect("a good disk").expect("the log reaches there"));
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:x?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn follower_refuses_a_proposal_and_names_the_leader() {
    let cluster: Cluster = Cluster::started(3).await;
    cluster.propose("one").await;
    let leader = cluster.leader().await.status().identity.pair;
    let follower = (0..3).find(|nth| cluster.pair(*nth) != leader).expect("three are more than one");
    let mut status = cluster.server(follower).subscribe();
    let knows =
        status.wait_for(|status| status.core.leader.is_some() && status.core.role == RoleKind::Follower);
    soon("a follower", knows).await.expect("it runs");
    let refused = cluster.server(follower).propose("two".into(), LONG).await.expect_err("it does not lead");
    assert!(matches!(refused, ProposeError::Refused(Refusal::NotLeader { .. })), "{refused}");
    assert!(refused.certainly_no_effect());
    let long = Bytes::from(vec![0; 3 << 20]);
    let refused = cluster.leader().await.propose(long, LONG).await.expect_err("it is too long");
    assert!(refused.certainly_no_effect(), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_that_is_stopped_is_replaced_and_catches_up_later() {
    let mut cluster: Cluster = Cluster::started(3).await;
    cluster.propose("before").await;
    let leader = cluster.leader().await.status().identity.pair;
    let nth = (0..3).find(|nth| cluster.pair(*nth) == leader).expect("one of them");
    let stale = cluster.server(nth).clone();
    cluster.stop(nth).await;
    assert_eq!(stale.propose("late".into(), LONG).await, Err(ProposeError::Stopped));
    assert!(stale.local(|_, _| ()).await.is_err());
    let mut last = LogIndex::ZERO;
    for number in 0..10 {
        last = cluster.insist(format!("meanwhile {number}")).await.position.index;
    }
    cluster.start(nth).await.expect("nothing is wrong");
    let commands = cluster.commands(nth, last).await;
    assert!(commands.iter().any(|(_, command)| command == "meanwhile 9"));
    assert!(commands.iter().all(|(_, command)| command != "late"));
}

/// Goal: a leader that is shut down hands over, so that nobody waits for an election timeout. Method: the others would not
/// call an election of themselves for days.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_that_is_shut_down_hands_over() {
    let mut cluster: Cluster = Cluster::prepare(3);
    let patient = Config { election_timeout_ticks: 1_000_000, heartbeat_ticks: 10, ..cluster.config };
    // The first two elections are called by the one that is in a hurry; then it is patient too.
    cluster.config = patient;
    cluster.drain = Duration::from_secs(60);
    cluster.start(1).await.expect("nothing is wrong");
    cluster.start(2).await.expect("nothing is wrong");
    cluster.config = Config { election_timeout_ticks: 100, ..patient };
    cluster.start(0).await.expect("nothing is wrong");
    cluster.insist("before").await;
    assert_eq!(cluster.leader().await.status().identity.pair, cluster.pair(0));
    let term = cluster.server(0).status().core.term;
    cluster.stop(0).await;
    let leader = cluster.leader().await.status();
    assert_ne!(leader.identity.pair, cluster.pair(0));
    assert!(term < leader.core.term);
    cluster.insist("after").await;
}

/// Goal: a wiped disk never votes or acknowledges under its old name (M14). Method: wipe a follower, format it anew, bring
/// it back; it can not found again, and while the others go on it hears nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wiped_founder_can_not_found_again_and_nobody_counts_it() {
    let mut cluster: Cluster = Cluster::started(3).await;
    cluster.propose("before").await;
    cluster.stop(2).await;
    fs::remove_dir_all(cluster.path(2)).expect("a good disk");
    let wiped = DataDir::format(cluster.path(2), cluster.pair(2).id).expect("it is empty");
    assert_ne!(wiped, cluster.pair(2));

    let refused = cluster.start(2).await.expect_err("it is no founder any more");
    let expected = BootstrapError::NotAFounder(wiped);
    assert!(matches!(&refused, StartError::Bootstrap { error, .. } if *error == expected), "{refused}");

    let mut options = cluster.options(2);
    options.bootstrap = false;
    let directory = DataDir::open(cluster.path(2)).expect("it is formatted");
    let stranger = start(directory, options, Commands::default()).await.expect("it may wait to be added");
    for number in 0..20 {
        cluster.propose(format!("after {number}")).await;
    }
    // The others dial its address all the time and mean its old self.
    let status = stranger.status();
    assert_eq!(
        (status.core.term, status.core.vote, status.core.last.index),
        (Term::ZERO, None, LogIndex::ZERO)
    );
    soon("a shutdown", stranger.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_refuses_another_cluster_another_list_another_servers_folder_and_a_port_in_use() {
    let mut cluster: Cluster = Cluster::started(3).await;
    cluster.propose("one").await;
    for nth in 0..3 {
        cluster.stop(nth).await;
    }
    let other: Cluster = Cluster::prepare(3);
    let open = |nth| DataDir::open(cluster.path(nth)).expect("it is formatted");
    for bootstrap in [false, true] {
        let mut options = Options::new("127.0.0.1:0", other.founders.clone());
        options.bootstrap = bootstrap;
        let refused = start(open(0), options, Commands::default()).await.expect_err("another cluster");
        assert!(matches!(refused, StartError::OtherCluster { .. }), "{refused}");
    }
    // The same servers, one of them left out.
    let fewer = raft_core::Membership::new(cluster.founders.servers()[..2].to_vec()).expect("valid");
    let mut options = Options::new("127.0.0.1:0", fewer);
    options.bootstrap = true;
    let refused = start(open(0), options, Commands::default()).await.expect_err("another list");
    assert!(matches!(refused, StartError::OtherCluster { .. }), "{refused}");

    let address = cluster.founders.servers()[1].raft_address.clone();
    let options = Options::new(address.clone(), cluster.founders.clone());
    let refused = start(open(0), options, Commands::default()).await.expect_err("the folder of server 1");
    assert!(matches!(refused, StartError::OtherServer { .. }), "{refused}");
    // The test holds this port.
    let options = Options::new(address, cluster.founders.clone());
    let refused = start(open(1), options, Commands::default()).await.expect_err("the port is in use");
    assert!(
        matches!(&refused, StartError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    );
    // A refusal is no start, and leaves the folder free.
    assert_eq!(open(0).boot().raw(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_log_is_refused_with_file_and_place() {
    let mut cluster: Cluster = Cluster::started(1).await;
    for number in 0..30 {
        cluster.insist(format!("{number} {}", "x".repeat(200))).await;
    }
    cluster.stop(0).await;
    let file = cluster.path(0).join("log/00000000000000000002.segment");
    let mut bytes = fs::read(&file).expect("it is there");
    bytes[600] ^= 0x20;
    fs::write(&file, bytes).expect("a good disk");
    let refused = cluster.start(0).await.expect_err("damage in the middle");
    assert!(matches!(&refused, StartError::Log(LogError::Damaged { .. })), "{refused}");
    // With its folder: every server has a file of this name.
    assert!(refused.to_string().contains(&*file.display().to_string()), "{refused}");
}

/// Goal: a full disk stops its server, which says why; the others go on; nothing acknowledged is lost (D3). Method: the
/// leader's disk becomes full between two proposals, and has room again for the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_stops_its_server_and_nothing_acknowledged_is_lost() {
    let mut cluster: Cluster = Cluster::prepare(3);
    let mut full = Vec::new();
    for nth in 0..3 {
        let switch = Arc::new(AtomicBool::new(false));
        let folder = Folder::new(cluster.path(nth).join("log"));
        cluster.start_with_storage(nth, Arc::new(Filling { folder, full: Arc::clone(&switch) })).await;
        full.push(switch);
    }
    let mut acknowledged = Vec::new();
    acknowledged.extend(cluster.propose("before").await.map(|_| Bytes::from("before")));
    let leader = cluster.leader().await;
    let pair = leader.status().identity.pair;
    let nth = (0..3).find(|nth| cluster.pair(*nth) == pair).expect("one of them");
    full[nth].store(true, Ordering::SeqCst);
    // It may commit by the others' disks, or be lost with the leadership; either way there is an answer.
    if soon("an answer", leader.propose("during".into(), LONG)).await.is_ok() {
        acknowledged.push("during".into());
    }
    let reason = soon("the server stops", leader.stopped()).await;
    assert!(!reason.is_clean());
    let StopReason::Fault { fault: Fault::WriteFailed, cause: Some(cause) } = &reason else {
        panic!("{reason}");
    };
    assert!(matches!(&**cause, LogError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull));
    assert_eq!(leader.status().core.fault, Some(Fault::WriteFailed));
    assert_ne!(leader.status().core.role, RoleKind::Leader, "it has given up leadership");
    assert_eq!(leader.propose("late".into(), LONG).await, Err(ProposeError::Stopped));
    cluster.servers[nth] = None;

    acknowledged.extend(cluster.propose("after").await.map(|_| Bytes::from("after")));
    let last = cluster.insist("last").await.position.index;
    cluster.start(nth).await.expect("there is room again");
    let commands = cluster.commands(nth, last).await;
    for wanted in acknowledged {
        assert!(commands.iter().any(|(_, command)| *command == wanted), "{wanted:?} is lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panic_of_the_state_machine_stops_the_server() {
    let cluster: Cluster = Cluster::started(1).await;
    cluster.propose("one").await;
    let server = cluster.server(0).clone();
    let answer = soon("an answer", server.propose("panic".into(), LONG)).await;
    assert_eq!(answer, Err(ProposeError::Interrupted));
    assert!(matches!(soon("the end", server.stopped()).await, StopReason::StateMachine));
}

/// What a log may hold that another program wrote.
fn state_beside_the_log(founding: &Write, founders: &Membership, imported: bool) -> Write {
    let mut write = Write { number: WriteNumber::new(1), entries: Runs::new(), ..founding.clone() };
    if imported {
        let import = Entry::new(LogTime::ZERO, Payload::Import(Import { size: 3, digest: 4.into() }));
        write.hard_state.term = Term::new(1);
        write.entries = Run::new(Term::new(1), LogIndex::new(2), [import]).expect("one entry").into();
        write.commit = LogIndex::new(2);
    } else {
        let last = Position::new(0, 1);
        let snapshot = Snapshot {
            cluster: founders.cluster_id(),
            last,
            time: LogTime::ZERO,
            membership: Arc::new(founders.clone()),
            membership_index: last.index,
            size: 3,
            digest: 4.into(),
        };
        let compaction = Compaction { snapshot: Arc::new(snapshot), start: last, discards: false };
        write.compaction = Some(Box::new(compaction));
        write.commit = last.index;
    }
    write
}

/// Goal: nothing is applied to a state that lacks what is kept beside the log. Method: a folder whose log begins with a snapshot, and
/// one whose log imports a state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_that_needs_a_state_beside_it_stops_its_server() {
    for imported in [false, true] {
        let mut cluster: Cluster = Cluster::prepare(1);
        let directory = DataDir::open(cluster.path(0)).expect("it is formatted");
        let (mut log, recovered) =
            Log::open(directory.log_storage(), cluster.pair(0), cluster.log).expect("it is new");
        let founding = bootstrap(&recovered, &cluster.founders, cluster.pair(0)).expect("it is a founder");
        let Bootstrap::Write(founding) = founding else { panic!("nothing is founded yet") };
        for write in [&founding, &state_beside_the_log(&founding, &cluster.founders, imported)] {
            log.append(write).expect("a good disk");
        }
        log.sync().expect("a good disk");
        drop((log, directory));

        cluster.start(0).await.expect("the log is whole");
        let reason = soon("it stops", cluster.server(0).stopped()).await;
        assert!(matches!(reason, StopReason::StateBesideLog) && !reason.is_clean(), "{reason}");
        let refused = cluster.server(0).propose("never".into(), LONG).await;
        assert_eq!(refused.map(|_| ()), Err(ProposeError::Stopped));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proposal_without_a_quorum_ends_at_its_deadline_and_may_have_happened() {
    let mut cluster: Cluster = Cluster::started(2).await;
    let error = soon("an answer that is no refusal", async {
        loop {
            cluster.insist("one").await;
            let leader = cluster.leader().await;
            let other = (0..2).find(|nth| cluster.pair(*nth) != leader.status().identity.pair).expect("two");
            cluster.stop(other).await;
            let answer = leader.propose("two".into(), Duration::from_millis(50)).await;
            let error = answer.expect_err("nobody is there to commit it");
            if !error.certainly_no_effect() {
                return error;
            }
            // It had noticed already that nobody hears it.
            cluster.start(other).await.expect("nothing is wrong");
        }
    })
    .await;
    assert!(matches!(error, ProposeError::Deadline | ProposeError::Lost), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_handle_frees_the_folder() {
    let mut cluster: Cluster = Cluster::started(1).await;
    cluster.propose("one").await;
    let server = cluster.servers[0].take().expect("it runs");
    let mut status = server.subscribe();
    drop(server);
    soon("the end", async { while status.changed().await.is_ok() {} }).await;
    // The status ends with the loop; the folder is free a moment later, when the log's thread has ended.
    soon("the folder", async {
        while DataDir::open(cluster.path(0)).is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
