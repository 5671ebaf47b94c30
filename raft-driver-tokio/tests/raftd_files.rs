//! Goal: whoever connects, a server keeps enough files for its log: strangers on its ports can not end it.
//!
//! Method: real servers that may open exactly as many files as they say they need; all places for connections are taken on
//! one that leads; then it has to go on to further segments of its log, and to read old ones for a follower that was away.

mod raftd;

use std::process::Command;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use raftd::{Process, Three, files_below, insist, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// The same command, in a shell that first sets its limit of open files by these words.
fn limited(command: &Command, limit: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit {limit} && exec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

/// How many open files a server says that it needs, when it may open only a few.
async fn needed(three: &Three) -> u64 {
    let (code, said) = Process::spawn(&mut limited(&three.command(1), "-n 40")).end().await;
    assert_eq!(code, Some(2), "{said}");
    let number = said.split_once("ulimit -n ").unwrap().1;
    number.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_open_files_is_raised_where_it_may_be() {
    let three = Three::formatted().await;
    let needed = needed(&three).await;
    let mut server = Process::spawn(&mut limited(&three.command(1), "-S -n 40"));
    until("it serves", async || three.status(1).await).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    assert_eq!(soft.split_whitespace().next().unwrap().parse(), Ok(needed));
    assert!(server.is_running());
}

/// What a server says to another one first, made from the documented layout.
fn hello(cluster: u128, from: (u64, u128), to: (u64, u128)) -> Vec<u8> {
    let mut bytes = b"RAFTPEER".to_vec();
    bytes.extend(2u32.to_le_bytes());
    bytes.extend(cluster.to_le_bytes());
    for (id, incarnation) in [from, to] {
        bytes.extend(id.to_le_bytes());
        bytes.extend(incarnation.to_le_bytes());
    }
    // No address.
    bytes.extend([0; 256]);
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// Takes the places for connections of a server: clients that ask nothing, strangers that say nothing, and impostors that
/// say hello as servers that are none. Of the last a few places are left to the real servers.
async fn flood(three: &Three, id: usize) -> Vec<TcpStream> {
    let status = three.status(id).await.unwrap();
    let number = |name: &str| u128::from_str_radix(status[name].as_str().unwrap(), 16).unwrap();
    let me = (id as u64, number("incarnation"));
    let mut connections = Vec::new();
    for nth in 0..60 {
        let mut impostor = TcpStream::connect(three.raft_address(id)).await.unwrap();
        impostor.write_all(&hello(number("cluster"), (1000 + nth, 1), me)).await.unwrap();
        connections.push(impostor);
    }
    for _ in 0..40 {
        connections.push(TcpStream::connect(three.raft_address(id)).await.unwrap());
    }
    for _ in 0..500 {
        connections.push(TcpStream::connect(three.http_address(id)).await.unwrap());
    }
    connections
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_on_all_ports_do_not_keep_the_log_from_its_files() {
    let mut three = Three::formatted().await;
    let limit = format!("-n {}", needed(&three).await);
    for id in 1..=3 {
        three.start_as(id, &mut limited(&three.command(id), &limit));
    }
    let leader = three.leader().await;
    let away = leader % 3 + 1;
    three.kill(away);

    // A connection of its own that is there before all others, so that nobody has to wait for a place.
    let client = legacy::Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let put = async |nth: u32| {
        let request =
            Request::builder().method(Method::PUT).uri(format!("{}/db/big-{nth}", three.url(leader)));
        let request = request.body(Full::new(vec![nth as u8; 1 << 20].into())).unwrap();
        Some(client.request(request).await.ok()?.status().is_success())
    };
    put(0).await;
    let strangers = flood(&three, leader).await;
    for nth in 0..20 {
        // Where another server leads meanwhile, it is asked instead, and has to wait for no place.
        if put(nth).await != Some(true) {
            let url = format!("{}/db/big-{nth}", three.url(leader));
            insist(Method::PUT, &url, vec![nth as u8; 1 << 20]).await;
        }
    }
    three.start_as(away, &mut limited(&three.command(away), &limit));
    three.same_applied().await;
    for id in 1..=3 {
        let segments = files_below(&three.data(id).join("log"));
        assert!(2 <= segments.len(), "{segments:?}");
        assert!(three.process(id).is_running());
    }
    drop(strangers);
    three.stop_all().await;
}

/// Goal: a command whose answer nobody gets says that it has failed. Method: stdout is a disk that is full.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn answers_that_can_not_be_written_are_failures() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    for args in [
        &["format", "--data", data, "--id", "1"][..],
        &["inspect", data],
        &["inspect", data, "--digest", "0"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = raftd::raftd();
        command.args(args).stdout(full).stderr(std::process::Stdio::piped());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(raftd::stderr(&output).contains("could not write to stdout"), "{}", raftd::stderr(&output));
        assert!(raftd::run(&["inspect", data]).await.status.success());
    }
}
