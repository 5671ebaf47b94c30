//! Goal: what `raftd load` reports as acknowledged is there on every server, whatever was killed meanwhile.
//!
//! Method: three real servers; a file of lines of all sorts is loaded while the leader is killed with SIGKILL and started
//! again, and then a follower; every line is read back linearizably as soon as it is acknowledged, and at the end from every
//! server's own state, twice: by `raftd verify`, and by this test's own look at some lines; at last the chained digests of the three
//! logs are compared.

mod raftd;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::extract::Path;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use raftd::{Three, request, run, stderr, stdout, until, verdict};

const LINES: u64 = 4_000;

/// Lines with keys and without, with umlauts, with bytes that are no UTF-8, with CRLF, empty ones, and keys set twice.
fn lines() -> Vec<u8> {
    let mut text = Vec::new();
    for number in 1..=LINES {
        match number % 8 {
            0 => writeln!(text, "key-{number}\tvalue {number}\twith tabs").unwrap(),
            1 => writeln!(text, "Ångström's größte №{number}").unwrap(),
            2 => {
                text.extend(b"\xff\xfe/");
                write!(text, "{number}\t").unwrap();
                text.extend(b"\x80\x00\x81\n");
            }
            3 => text.extend(b"a line with CRLF\r\n"),
            4 => text.extend(b"\n"),
            // The value is the number, so only the right order of the lines leaves the right value.
            5 => writeln!(text, "twice-{}\t{number}", number / 16).unwrap(),
            6 => writeln!(text, "{number}%2F?&#\t{}", "long ".repeat(200)).unwrap(),
            _ => writeln!(text, "{number}").unwrap(),
        }
    }
    text
}

async fn local(three: &Three, id: usize, key: &str) -> (StatusCode, Vec<u8>) {
    let answer = request(Method::GET, &format!("{}/db/{key}?local=true", three.url(id)), "").await.unwrap();
    (answer.status, answer.body.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_lines_survive_kills_of_leader_and_follower() {
    let mut three = Three::running().await;
    let file = three.folder.path().join("lines");
    let acknowledged = three.folder.path().join("acknowledged");
    std::fs::write(&file, lines()).unwrap();
    let leader = three.leader().await;

    let mut command = raftd::raftd();
    command
        .arg("load")
        .arg(&file)
        .args(["--to", &three.urls(), "--clients", "8", "--read-back", "--acknowledged"])
        .arg(&acknowledged);
    let loading = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let loading = tokio::task::spawn_blocking(move || loading.wait_with_output().unwrap());

    // Each kill waits until the log has grown, so that it falls into the loading.
    let commit = async |three: &Three, id| three.status(id).await?["commit"].as_u64();
    until("the first lines are committed", async || (100 < commit(&three, leader).await?).then_some(()))
        .await;
    three.kill(leader);
    let second = three.leader_but(leader).await;
    three.start(leader);
    let reached = until("the second leader answers", async || commit(&three, second).await).await;
    // Or all are loaded already, on a machine where this test had to wait for its turn.
    until("more lines are committed", async || {
        (loading.is_finished() || reached + 200 < commit(&three, second).await?).then_some(())
    })
    .await;
    let follower = (1..=3).find(|id| *id != leader && *id != second).unwrap();
    three.kill(follower);
    three.start(follower);

    let loaded = loading.await.unwrap();
    assert!(loaded.status.success(), "{}", stderr(&loaded));
    assert_eq!(verdict(&loaded), format!("acknowledged {LINES} of {LINES}, read back {LINES} of {LINES}"));
    // Every server has answered for some.
    let by_server = stdout(&loaded)[0].strip_prefix("read back ").unwrap().to_owned();
    let counts = by_server.split(", ").map(|one| one.split(' ').next().unwrap().parse::<u64>().unwrap());
    assert!(counts.clone().all(|count| 0 < count) && counts.clone().count() == 3, "{by_server}");
    let numbers = std::fs::read_to_string(&acknowledged).unwrap();
    // An attempt at it that was given up may have come late, behind line 13.
    let five_too = numbers.lines().any(|line| line == "5 retried");
    let number = |line: &str| line.strip_suffix(" retried").unwrap_or(line).parse().unwrap();
    let mut numbers: Vec<u64> = numbers.lines().map(number).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=LINES));

    let applied = three.same_applied().await;
    let verified = run(&[
        "verify",
        file.to_str().unwrap(),
        "--at",
        &three.urls(),
        "--acknowledged",
        acknowledged.to_str().unwrap(),
    ])
    .await;
    assert!(verified.status.success(), "{}", stderr(&verified));
    assert_eq!(stdout(&verified), [format!("applied {applied}"), format!("verified {LINES} of {LINES}")]);
    for id in 1..=3 {
        assert_eq!(local(&three, id, "key-8").await, (StatusCode::OK, b"value 8\twith tabs".to_vec()));
        assert_eq!(local(&three, id, "1").await, (StatusCode::OK, "Ångström's größte №1".into()));
        assert_eq!(local(&three, id, "%FF%FE%2F2").await, (StatusCode::OK, b"\x80\x00\x81".to_vec()));
        assert_eq!(local(&three, id, "3").await, (StatusCode::OK, b"a line with CRLF".to_vec()));
        assert_eq!(local(&three, id, "4").await, (StatusCode::OK, Vec::new()));
        let twice = local(&three, id, "twice-0").await.1;
        assert!(twice == b"13" || five_too && twice == b"5", "{twice:?}");
        assert_eq!(local(&three, id, "never").await.0, StatusCode::NOT_FOUND);
    }

    three.stop_all().await;
    let digest = three.digest(1, applied).await;
    assert_eq!(digest.len(), 32);
    assert_eq!(
        [three.digest(2, applied).await, three.digest(3, applied).await],
        [digest.clone(), digest.clone()]
    );
    // A digest that said the same of everything would prove nothing.
    assert_ne!(three.digest(1, applied - 1).await, digest);
}

/// The check has to be able to fail: one value is changed behind its back.
#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_a_changed_and_a_missing_value() {
    let three = Three::running().await;
    three.leader().await;
    let file = three.folder.path().join("lines");
    std::fs::write(&file, "a\t1\nb\t2\nc\t3\n").unwrap();
    let file = file.to_str().unwrap();
    let loaded = run(&["load", file, "--to", &three.url(1)]).await;
    assert_eq!((loaded.status.code(), verdict(&loaded)), (Some(0), "acknowledged 3 of 3".into()));
    raftd::insist(Method::PUT, &format!("{}/db/b", three.url(1)), "other").await;
    raftd::insist(Method::DELETE, &format!("{}/db/c", three.url(1)), "").await;
    let verified = run(&["verify", file, "--at", &three.urls()]).await;
    assert_eq!((verified.status.code(), verdict(&verified)), (Some(1), "verified 1 of 3".into()));
    let said = stderr(&verified);
    assert!(said.contains("\"b\" has another value") && said.contains("\"c\" is missing"), "{said}");
    let none = three.folder.path().join("none");
    std::fs::write(&none, "").unwrap();
    let none = none.to_str().unwrap();
    for empty in [&["verify", none, "--at"][..], &["verify", file, "--acknowledged", none, "--at"]] {
        let verified = run(&[empty, &[&three.urls()]].concat()).await;
        assert_eq!((verified.status.code(), verdict(&verified)), (Some(2), String::new()));
        assert!(stderr(&verified).contains("nothing to verify"), "{}", stderr(&verified));
    }
}

/// Reading back has to be able to fail: a server that keeps the first value of each key, and loses one key.
#[tokio::test(flavor = "multi_thread")]
async fn load_finds_an_older_and_a_missing_value() {
    let values = Arc::<Mutex<BTreeMap<String, Bytes>>>::default();
    let kept = Arc::clone(&values);
    let put = async move |Path(key): Path<String>, value: Bytes| {
        kept.lock().unwrap().entry(key).or_insert(value);
        StatusCode::NO_CONTENT
    };
    let get = async move |Path(key): Path<String>| {
        let value = values.lock().unwrap().get(&key).cloned().filter(|_| key != "lost");
        value.ok_or(StatusCode::NOT_FOUND)
    };
    let router = axum::Router::new().route("/db/{key}", axum::routing::get(get).put(put));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lines");
    std::fs::write(&file, "a\t1\na\t2\nlost\t3\nb\t4\n").unwrap();
    let loaded = run(&["load", file.to_str().unwrap(), "--to", &url, "--read-back"]).await;
    assert_eq!(verdict(&loaded), "acknowledged 4 of 4, read back 2 of 4");
    assert_eq!(loaded.status.code(), Some(1));
    let said = stderr(&loaded);
    assert!(said.contains("line 2 was acknowledged") && said.contains("has an older value"), "{said}");
    assert!(said.contains("line 3 was acknowledged") && said.contains("has nothing under its key"), "{said}");
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn load_says_what_it_could_not_write() {
    let three = Three::running().await;
    three.leader().await;
    let file = three.folder.path().join("lines");
    let mut text = String::from("\tno key\n");
    writeln!(text, "{}\tlong key", "k".repeat(1025)).unwrap();
    writeln!(text, "big\t{}", "v".repeat((1 << 20) + 1)).unwrap();
    writeln!(text, "fits\t{}", "v".repeat(1 << 20)).unwrap();
    std::fs::write(&file, text).unwrap();
    let loaded = run(&["load", file.to_str().unwrap(), "--to", &three.urls()]).await;
    assert_eq!((loaded.status.code(), verdict(&loaded)), (Some(2), "acknowledged 1 of 4".into()));
    for part in ["line 1 has an empty key", "key of line 2", "value of line 3"] {
        assert!(stderr(&loaded).contains(part), "{}", stderr(&loaded));
    }
}

/// A file that can not be read to its end: what was read before is written, and the verdict says so.
#[tokio::test]
async fn load_says_what_was_acknowledged_before_the_file_could_not_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("acknowledged");
    let arguments = ["load", "/proc/self/mem", "--to", "http://127.0.0.1:1", "--acknowledged"];
    let loaded = run(&[&arguments[..], &[journal.to_str().unwrap()]].concat()).await;
    assert_eq!((loaded.status.code(), verdict(&loaded)), (Some(2), "acknowledged 0 of 0".into()));
    assert!(stderr(&loaded).contains("can not read /proc/self/mem"), "{}", stderr(&loaded));
    assert_eq!(std::fs::read(journal).unwrap(), b"");
}

#[tokio::test]
async fn load_gives_up_on_a_cluster_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lines");
    std::fs::write(&file, "one\ntwo\n").unwrap();
    let nobody = format!("http://127.0.0.1:{}", raftd::free_ports(1));
    let loaded = run(&["load", file.to_str().unwrap(), "--to", &nobody, "--patience", "1"]).await;
    assert_eq!((loaded.status.code(), verdict(&loaded)), (Some(1), "acknowledged 0 of 2".into()));
    assert!(stderr(&loaded).contains("giving up"), "{}", stderr(&loaded));
}

#[tokio::test]
async fn load_refuses_what_is_no_file_and_no_address() {
    let missing = run(&["load", "/no/such/file", "--to", "http://127.0.0.1:1"]).await;
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("/no/such/file"), "{}", stderr(&missing));
    let nowhere = run(&["load", "/dev/null", "--to", "https://127.0.0.1:1"]).await;
    assert_eq!(nowhere.status.code(), Some(2));
}
