//! What a real server does can be recorded, and made again elsewhere.

mod support;

use std::fs;

use raft_core::{Message, RecordedStart, RecordedStep, Recording};
use raft_driver_tokio::{DataDir, StartError, start};
use raft_sim::recorded::{Replayed, replay_recording};
use support::cluster::{Cluster, Commands};

/// Replays and returns the verdict and what was printed.
fn replay(start: &RecordedStart, steps: &[RecordedStep]) -> (Replayed, String) {
    let steps = steps.iter().flat_map(RecordedStep::to_bytes);
    let bytes: Vec<u8> = start.to_bytes().into_iter().chain(steps).collect();
    replay_bytes(bytes)
}

fn replay_bytes(bytes: Vec<u8>) -> (Replayed, String) {
    let mut out = Vec::new();
    let replayed = replay_recording(bytes.into(), &mut out, || false).expect("memory takes all");
    (replayed, String::from_utf8(out).expect("it is text"))
}

/// Starts one server of a cluster that records to `recording` in its folder's place.
async fn start_recording(cluster: &mut Cluster, nth: usize) -> Result<(), StartError> {
    let directory = DataDir::open(cluster.path(nth)).expect("it is formatted");
    let mut options = cluster.options(nth);
    options.record = Some(cluster.path(nth).with_extension("recording"));
    cluster.servers[nth] = Some(start(directory, options, Commands::default()).await?);
    Ok(())
}

/// Goal: a recording of a real server is replayed to the same result, byte for byte, and the replay sees where it is not. Method: one of
/// three servers, which was stopped and is started again with a log on its disk, records; then one byte of a `Ready` is changed, and
/// one message is left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_of_a_server_is_replayed_byte_for_byte() {
    let mut cluster: Cluster = Cluster::started(3).await;
    cluster.insist("before").await;
    cluster.stop(0).await;
    cluster.insist("meanwhile").await;
    start_recording(&mut cluster, 0).await.expect("nothing is wrong");
    let mut last = cluster.insist("after").await.position.index;
    for number in 0..20 {
        last = cluster.insist(format!("{number}")).await.position.index;
    }
    let commands = cluster.commands(0, last).await;
    assert!(commands.iter().any(|(_, command)| command == "meanwhile"));
    let status = cluster.server(0).status();
    cluster.stop(0).await;

    let file = cluster.path(0).with_extension("recording");
    let (recorded, steps) =
        Recording::open(fs::read(&file).expect("it was written").into()).expect("it is one");
    let steps: Vec<RecordedStep> =
        steps.collect::<Result<_, _>>().expect("a server that is stopped leaves nothing torn");
    assert_eq!(recorded.identity, status.identity);
    let (replayed, text) = replay_bytes(fs::read(&file).expect("it is there"));
    assert_eq!(replayed, Replayed::Equal { steps: steps.len() as u64, torn: false }, "{text}");
    assert_eq!(text.lines().count(), steps.len() + 1, "a line a step");
    assert!(text.contains(&format!("committed to {last}")), "{text}");

    // A file that ends within a record: what is whole is replayed.
    let mut bytes = fs::read(&file).expect("it is there");
    bytes.pop();
    assert_eq!(replay_bytes(bytes).0, Replayed::Equal { steps: steps.len() as u64 - 1, torn: true });

    // The canaries.
    let nth = steps.len() / 2;
    let mut changed = steps.clone();
    let mut ready = changed[nth].ready.to_vec();
    let at = ready.len() / 2;
    ready[at] ^= 1;
    changed[nth].ready = ready.into();
    let (replayed, text) = replay(&recorded, &changed);
    let Replayed::Differs(difference) = replayed else { panic!("a byte has changed: {replayed:?}") };
    assert_eq!(difference.step, nth as u64 + 1);
    assert!(text.contains(&format!("step {} differs", nth + 1)), "{text}");

    let packet = |message: &Message| matches!(message, Message::Packet(_));
    let mut without = steps;
    let nth = without.iter().position(|step| step.messages.iter().any(packet)).expect("it heard the others");
    without[nth].messages.retain(|message| !packet(message));
    let (replayed, _) = replay(&recorded, &without);
    assert!(matches!(replayed, Replayed::Differs(_)), "a packet was left out: {replayed:?}");
}

/// Goal: nothing is written over. Method: a server that is to record where a file is already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_is_never_written_over() {
    let mut cluster: Cluster = Cluster::prepare(1);
    let file = cluster.path(0).with_extension("recording");
    fs::write(&file, "precious").expect("a good disk");
    let refused = start_recording(&mut cluster, 0).await.expect_err("there is a file");
    assert!(matches!(&refused, StartError::Record { path, .. } if *path == file), "{refused}");
    assert_eq!(fs::read(&file).expect("it is there"), b"precious");
}
