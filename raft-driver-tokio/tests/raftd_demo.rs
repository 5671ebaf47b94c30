//! Goal: `raftd demo` gives a working cluster by one command, keeps its data over a restart, starts a server that died again,
//! and leaves nothing running behind.
//!
//! Method: the real command, listened to line by line.

mod raftd;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use hyper::{Method, StatusCode};
use raftd::{Talking, exists, free_ports, insist, raftd as program, signal, until};

fn demo(data: &Path, port: u16) -> Command {
    let mut command = program();
    command.arg("demo").arg("--data").arg(data).args(["--http-port", &port.to_string()]);
    command
}

/// Waits for the three processes; their ids.
async fn processes(demo: &mut Talking) -> Vec<u32> {
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(process(&demo.says("runs as process").await));
    }
    processes
}

fn process(line: &str) -> u32 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn gone(processes: &[u32]) {
    until("all processes have ended", async || processes.iter().all(|id| !exists(*id)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_survives_an_end_and_a_second_start() {
    let folder = tempfile::tempdir().unwrap();
    let (data, port) = (folder.path().join("new/demo"), free_ports(3));
    let url = |nth: u16, path: &str| format!("http://127.0.0.1:{}{path}", port + nth);
    let mut first = Talking::spawn(&mut demo(&data, port));
    let servers = processes(&mut first).await;
    first.says("leads in term").await;
    first.says(&format!("curl -L -X PUT --data-binary 'hello' {}", url(0, "/db/greeting"))).await;
    insist(Method::PUT, &url(0, "/db/greeting"), "hello").await;

    let mut second = Talking::spawn(&mut demo(&data, port));
    assert_eq!(second.end().await.0, Some(2), "the folder is in use");

    first.signal("INT");
    assert_eq!(first.end().await, (Some(0), "all three ended cleanly".into()));
    gone(&servers).await;

    // Without a port it takes those that the folder was founded with.
    let mut again = Talking::spawn(program().arg("demo").arg("--data").arg(&data));
    let servers = processes(&mut again).await;
    again.says("leads in term").await;
    let read = insist(Method::GET, &url(2, "/db/greeting"), "").await;
    assert_eq!((read.status, &read.body[..]), (StatusCode::OK, &b"hello"[..]));
    again.signal("TERM");
    assert_eq!(again.end().await, (Some(0), "all three ended cleanly".into()));
    gone(&servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_is_reported_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_ports(3);
    let mut demo = Talking::spawn(&mut demo(folder.path(), port));
    let servers = processes(&mut demo).await;
    demo.says("leads in term").await;
    let url = format!("http://127.0.0.1:{port}/db/k");
    insist(Method::PUT, &url, "v").await;
    signal("KILL", servers[1]);
    demo.says("died").await;
    let restarted = process(&demo.says("runs as process").await);
    assert_eq!(insist(Method::GET, &url, "").await.body, "v");

    // SIGKILL leaves no time for anything; the servers end all the same.
    demo.kill();
    gone(&[servers[0], servers[2], restarted]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_work_is_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_ports(3);
    let taken = TcpListener::bind(("127.0.0.1", port + 2)).unwrap();
    let refused = async |command: &mut Command, part: &str| {
        let command = command.stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        let said = raftd::stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(part), "{said}");
    };
    refused(&mut demo(&folder.path().join("a"), port), &format!("port {} is not free", port + 2)).await;
    drop(taken);
    refused(&mut demo(&folder.path().join("c"), 65535), "no three ports").await;
    std::fs::write(folder.path().join("letter"), "dear").unwrap();
    refused(&mut demo(folder.path(), port), "holds something").await;

    let data = folder.path().join("b");
    let mut first = Talking::spawn(&mut demo(&data, port));
    first.says("leads in term").await;
    first.signal("TERM");
    assert_eq!(first.end().await.0, Some(0));
    refused(&mut demo(&data, port + 3), "leave --http-port away").await;
    let described = data.join("cluster.json");
    let description = std::fs::read_to_string(&described).unwrap();
    for (right, wrong) in [(format!("127.0.0.1:{}", port + 1), "nowhere"), ("\"2@".into(), "\"4@")] {
        std::fs::write(&described, description.replacen(&right, wrong, 1)).unwrap();
        refused(&mut demo(&data, port), "does not describe a cluster").await;
    }
    std::fs::write(&described, description).unwrap();
    // A server's folder that was wiped and formatted again is not the founder any more.
    std::fs::remove_dir_all(data.join("2")).unwrap();
    refused(&mut demo(&data, port), "2").await;
    let formatted = raftd::run(&["format", "--data", data.join("2").to_str().unwrap(), "--id", "2"]).await;
    assert!(formatted.status.success());
    refused(&mut demo(&data, port), &raftd::verdict(&formatted)).await;
}
