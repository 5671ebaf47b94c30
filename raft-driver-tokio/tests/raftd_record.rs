//! Goal: what a real server writes down with `raftd serve --record` can be made again elsewhere, also where the server was killed in
//! the middle of it.
//!
//! Method: three real servers, of which one records while it is written to; the leader is killed with SIGKILL and another elected; then the
//! one that records is killed, started again with its log on its disk, and stopped. Both recordings are replayed, as
//! `raft-sim replay FILE` does it, byte for byte.

mod raftd;

use std::fs;
use std::path::Path;

use hyper::Method;
use raft_core::{RecordedStep, Recording};
use raft_sim::recorded::{Replayed, replay_recording};
use raftd::{Three, insist, stderr, until};

/// Replays a file, and returns the verdict and what was printed.
fn replay(bytes: Vec<u8>) -> (Replayed, String) {
    let mut out = Vec::new();
    let replayed = replay_recording(bytes.into(), &mut out, || false).expect("memory takes all");
    (replayed, String::from_utf8(out).expect("it is text"))
}

/// Waits until the recording tells of this commit index: it is written behind the server, and what was not written when the server is
/// killed is lost.
async fn tells(file: &Path, commit: u64) {
    until("the recording has come so far", async || {
        let (_, text) = replay(fs::read(file).ok()?);
        text.contains(&format!("committed to {commit}")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recordings_of_a_server_that_was_killed_are_replayed_byte_for_byte() {
    let mut three = Three::formatted().await;
    let recordings = ["first", "second"].map(|name| three.folder.path().join(name));
    let recording = |three: &Three, nth: usize| {
        let mut command = three.command(1);
        command.arg("--record").arg(&recordings[nth]);
        command
    };
    three.start_as(1, &mut recording(&three, 0));
    three.start(2);
    three.start(3);
    let write = async |three: &Three, by: usize, number: u32| {
        insist(Method::PUT, &format!("{}/db/k{number}", three.url(by)), format!("v{number}")).await;
    };
    for number in 0..20 {
        write(&three, 1, number).await;
    }
    let dead = three.leader().await;
    // The one that records goes on, as a follower, a candidate or a leader, or is started anew with another file below.
    if dead != 1 {
        three.kill(dead);
        three.leader_but(dead).await;
        for number in 20..40 {
            write(&three, 1, number).await;
        }
        three.start(dead);
    }
    let commit = three.same_applied().await;
    tells(&recordings[0], commit).await;
    three.kill(1);
    let killed = fs::read(&recordings[0]).unwrap();
    let (replayed, text) = replay(killed.clone());
    let Replayed::Equal { steps, .. } = replayed else { panic!("{replayed:?}: {text}") };
    assert!(steps >= 20, "{steps} steps");
    assert!(text.contains(&format!("committed to {commit}")), "{text}");

    // A recording is of one start; the next has a file of its own.
    let mut command = recording(&three, 0);
    let refused = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("can not record to"), "{}", stderr(&refused));
    assert_eq!(fs::read(&recordings[0]).unwrap(), killed);
    three.start_as(1, &mut recording(&three, 1));
    for number in 40..60 {
        write(&three, 1, number).await;
    }
    three.same_applied().await;
    assert_eq!(three.stop(1).await, Some(0));
    let stopped = fs::read(&recordings[1]).unwrap();
    let (start, _) = Recording::open(stopped.clone().into()).unwrap();
    assert!(start.identity.boot.raw() > 1 && start.recovered.last().index.raw() >= commit);
    let (replayed, text) = replay(stopped.clone());
    assert!(
        matches!(replayed, Replayed::Equal { torn: false, steps } if 20 <= steps),
        "{replayed:?}: {text}"
    );

    // It can fail: of one step the node wanted another byte.
    let (start, steps) = Recording::open(stopped.into()).unwrap();
    let mut steps: Vec<RecordedStep> = steps.collect::<Result<_, _>>().unwrap();
    let nth = steps.len() / 2;
    let mut ready = steps[nth].ready.to_vec();
    ready.push(0);
    steps[nth].ready = ready.into();
    let bytes = start.to_bytes().into_iter().chain(steps.iter().flat_map(RecordedStep::to_bytes));
    let (replayed, _) = replay(bytes.collect());
    assert!(matches!(replayed, Replayed::Differs(_)), "{replayed:?}");
}
