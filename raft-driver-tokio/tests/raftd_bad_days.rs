//! Goal: whatever is wrong with a port, a folder or a peer, a server says so and ends, or goes on unharmed; it never votes
//! with amnesia, and no data is lost or invented.
//!
//! Method: real servers and real folders, broken on purpose.

mod raftd;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use hyper::{Method, StatusCode};
use raftd::{Process, Three, files_below, insist, run, stderr, until, verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Starts a server that can not serve; what it says on stderr.
async fn refused(command: &mut Command) -> String {
    let (code, said) = Process::spawn(command).end().await;
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {said}");
    let said_alone = said.lines().filter(|line| line.starts_with("raftd: ")).count() == 1;
    assert!(said_alone && !said.contains("panicked"), "{said}");
    said
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let three = Three::formatted().await;
    let taken = TcpListener::bind(three.http_address(1)).unwrap();
    assert!(refused(&mut three.command(1)).await.contains(&three.http_address(1)));
    drop(taken);
    let _taken = TcpListener::bind(three.raft_address(1)).unwrap();
    assert!(refused(&mut three.command(1)).await.contains(&three.raft_address(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_serves_one_process_at_a_time() {
    let mut three = Three::running().await;
    three.leader().await;
    refused(&mut three.command(1)).await;
    let inspected = run(&["inspect", three.data(1).to_str().unwrap()]).await;
    assert_eq!(inspected.status.code(), Some(2), "{}", stderr(&inspected));
    assert!(three.process(1).is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_formatted_once() {
    let three = Three::formatted().await;
    let again = run(&["format", "--data", three.data(1).to_str().unwrap(), "--id", "1"]).await;
    assert_eq!((again.status.code(), verdict(&again)), (Some(2), String::new()));
    let elsewhere = three.folder.path().join("somebody's");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("letter"), "dear").unwrap();
    let foreign = run(&["format", "--data", elsewhere.to_str().unwrap(), "--id", "1"]).await;
    assert_eq!(foreign.status.code(), Some(2));
    assert_eq!(files_below(&elsewhere), [elsewhere.join("letter")]);
    for id in ["0", "-1", "x", "18446744073709551616"] {
        let bad = run(&["format", "--data", elsewhere.to_str().unwrap(), "--id", id]).await;
        assert_eq!(bad.status.code(), Some(2), "{id}");
    }
    let unformatted = run(&["inspect", elsewhere.to_str().unwrap()]).await;
    assert_eq!(unformatted.status.code(), Some(2));
}

/// Another server's folder would make one pair run where another is expected; another cluster's would mix two logs.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_another_server_or_cluster_is_refused() {
    let mut three = Three::running().await;
    let mut others = Three::running().await;
    three.leader().await;
    others.leader().await;
    three.stop_all().await;
    others.stop_all().await;
    // The folder of server 2, where the addresses are those of server 1.
    let mut swapped = replace_data(&three, 1, &three.data(2));
    assert!(refused(&mut swapped).await.contains("2@"));
    let mut foreign = replace_data(&three, 1, &others.data(1));
    refused(&mut foreign).await;
    // Both are as good as before.
    for id in 1..=3 {
        three.start(id);
    }
    three.leader().await;
}

/// The command of a server, with another folder.
fn replace_data(three: &Three, id: usize, data: &Path) -> Command {
    let original = three.command(id);
    let mut command = raftd::raftd();
    let own = three.data(id);
    command.args(original.get_args().map(
        |argument| {
            if argument == own { data.as_os_str() } else { argument }
        },
    ));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_with_another_list_is_refused() {
    let mut three = Three::running().await;
    three.leader().await;
    three.stop(1).await;
    let founders = three.founders.clone();
    let other = founders.replace(&three.http_address(2), "127.0.0.1:9");
    three.founders = other;
    refused(&mut three.command(1)).await;
    let (first_two, _) = founders.rsplit_once(',').unwrap();
    three.founders = first_two.to_owned();
    refused(&mut three.command(1)).await;
    three.founders = "nonsense".to_owned();
    assert!(refused_usage(&mut three.command(1)).await.contains("founder"));
    // The right list again, which is harmless however often.
    three.founders = founders;
    three.start(1);
    three.leader().await;
}

async fn refused_usage(command: &mut Command) -> String {
    let (code, said) = Process::spawn(command).end().await;
    assert_eq!(code, Some(2), "{said}");
    said
}

/// A wiped server comes back as another pair. Were it to vote as the old one, two servers with the old log and it could
/// forget an acknowledged write.
#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_server_neither_founds_nor_votes() {
    let mut three = Three::running().await;
    let leader = three.leader().await;
    insist(Method::PUT, &format!("{}/db/k", three.url(leader)), "v").await;
    three.same_applied().await;
    let wiped = leader % 3 + 1;
    let other = wiped % 3 + 1;
    let survivor = if other == leader { other % 3 + 1 } else { other };
    three.kill(wiped);
    fs::remove_dir_all(three.data(wiped)).unwrap();
    refused(&mut three.command(wiped)).await;
    let formatted =
        run(&["format", "--data", three.data(wiped).to_str().unwrap(), "--id", &wiped.to_string()]).await;
    assert!(formatted.status.success(), "{}", stderr(&formatted));
    let said = refused(&mut three.command(wiped)).await;
    assert!(said.contains(&verdict(&formatted)) && said.contains("Never an older copy"), "{said}");

    // Without --bootstrap it waits to be added; a lone survivor does not become leader by its vote.
    three.kill(leader);
    let mut command = raftd::raftd();
    let original = three.command(wiped);
    command.args(original.get_args().filter(|argument| *argument != "--bootstrap"));
    let mut stranger = Process::spawn(&mut command);
    until("the survivor has campaigned several times", async || {
        let status = three.status(survivor).await?;
        assert_ne!(status["role"], "leader");
        (3 <= status["campaigns"].as_u64()?).then_some(())
    })
    .await;
    assert!(stranger.is_running(), "or its vote was never asked for");
    assert_eq!(three.status(wiped).await.unwrap()["role"], "follower");
    // With the old leader back, the two are a majority, and nothing is lost.
    three.start(leader);
    let read = insist(Method::GET, &format!("{}/db/k", three.url(survivor)), "").await;
    assert_eq!((read.status, &read.body[..]), (StatusCode::OK, &b"v"[..]));
}

/// Damage before the end of the log was synced once, so cutting it off would lose what was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_refused_and_not_cut_off() {
    let mut three = Three::running().await;
    let leader = three.leader().await;
    for nth in 0..20 {
        insist(Method::PUT, &format!("{}/db/key-{nth}", three.url(leader)), format!("MARK-{nth}-MARK")).await;
    }
    three.same_applied().await;
    three.stop_all().await;
    let saved = three.folder.path().join("saved");
    copy(&three.data(1), &saved);
    let (file, at) = files_below(&three.data(1))
        .into_iter()
        .find_map(|file| {
            let bytes = fs::read(&file).unwrap();
            let at = bytes.windows(11).position(|window| window == b"MARK-5-MARK")?;
            Some((file, at))
        })
        .expect("the value is somewhere on the disk");
    let mut bytes = fs::read(&file).unwrap();
    bytes[at] ^= 1;
    fs::write(&file, &bytes).unwrap();

    let said = refused(&mut three.command(1)).await;
    assert!(said.contains("damage"), "{said}");
    let inspected = run(&["inspect", three.data(1).to_str().unwrap()]).await;
    assert_eq!(inspected.status.code(), Some(1), "{}", stderr(&inspected));
    assert_eq!(fs::read(&file).unwrap(), bytes, "nothing was changed");

    // The two others go on; and so does the first with the very bytes that it had when it stopped. An older copy would
    // forget promises, which is what the advice says.
    assert!(said.contains("Never an older copy"), "{said}");
    three.start(2);
    three.start(3);
    let read = insist(Method::GET, &format!("{}/db/key-5", three.url(three.leader().await)), "").await;
    assert_eq!(read.body, "MARK-5-MARK");
    fs::remove_dir_all(three.data(1)).unwrap();
    copy(&saved, &three.data(1));
    three.start(1);
    three.leader().await;
    three.same_applied().await;
}

/// Whatever comes in on the peer port: the sender is cut off, and the cluster works on.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_peer_port_is_survived() {
    let mut three = Three::running().await;
    let leader = three.leader().await;
    let garbage: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        &[0; 4096],
        &[0xff; 4096],
        b"\x7f\xff\xff\xff too long a frame",
        b"\x00\x00\x00\x05short",
        b"",
    ];
    for id in 1..=3 {
        for bytes in garbage {
            let mut socket = TcpStream::connect(three.raft_address(id)).await.unwrap();
            let _ = socket.write_all(bytes).await;
            let _ = socket.shutdown().await;
            // Until the server closes it: a reset is as good as an end.
            let _ = socket.read_to_end(&mut Vec::new()).await;
        }
    }
    insist(Method::PUT, &format!("{}/db/k", three.url(leader)), "v").await;
    assert_eq!(insist(Method::GET, &format!("{}/db/k", three.url(1)), "").await.body, "v");
    for id in 1..=3 {
        assert!(three.process(id).is_running());
    }
    three.same_applied().await;
    three.stop_all().await;
}
