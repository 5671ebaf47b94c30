//! Changing the members with real `raftd` processes and `raftd member`: growing, replacing every server under a writing
//! client, and sending away who does not belong.

mod raftd;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::Method;
use raftd::growing::Growing;
use raftd::{insist, request, run, stderr, stdout, until};
use serde_json::Value;

/// One try to write, at whoever runs at the moment and leads.
async fn write(urls: &[String], number: u32) -> bool {
    for url in urls {
        let mut at = format!("{url}/db/k{number}");
        for _ in 0..3 {
            let Ok(answer) = request(Method::PUT, &at, format!("v{number}")).await else { break };
            if answer.status.is_success() {
                return true;
            }
            if answer.location().is_empty() {
                break;
            }
            answer.location().clone_into(&mut at);
        }
    }
    false
}

/// Goal: a cluster ends with other servers than it began with, and nothing that was acknowledged is lost. Method: one founder,
/// grown to three; each of the three replaced by another one while a client writes; at last every write is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_founder_grows_to_three_that_are_all_replaced() {
    let mut cluster = Growing::new();
    let founders = cluster.format(1).await;
    cluster.start(1, &founders, true);
    cluster.voters(&[1]).await;
    let writing = Arc::new(AtomicBool::new(true));
    let urls: Vec<String> = (1..=6).map(|nth| cluster.url(nth)).collect();
    let writer = tokio::spawn({
        let writing = Arc::clone(&writing);
        async move {
            let mut written = 0_u32;
            while writing.load(Ordering::Relaxed) {
                while !write(&urls, written).await {
                    tokio::task::yield_now().await;
                }
                written += 1;
            }
            written
        }
    });
    for nth in 2..=6 {
        let written = cluster.format(nth).await;
        cluster.start(nth, &founders, false);
        let done = cluster.change(&["add", &written]).await;
        assert!(done.starts_with("done: staging ") && done.contains(", a voter by index "), "{done}");
        let leaving = nth.saturating_sub(3);
        let kept: Vec<u64> = (leaving.max(1) as u64..=nth as u64).collect();
        cluster.voters(&kept).await;
        let again = cluster.change(&["add", &written]).await;
        assert!(again.starts_with("is so already: index "), "{again}");
        if 1 <= leaving {
            cluster.change(&["remove", &leaving.to_string()]).await;
            cluster.voters(&kept[1..]).await;
            until("it hears that it was removed", async || {
                cluster.status(leaving).await?["removed"].as_u64()
            })
            .await;
            let process = cluster.processes[leaving - 1].take().unwrap();
            assert_eq!(process.stop().await, Some(0));
        }
    }
    writing.store(false, Ordering::Relaxed);
    let written = tokio::time::timeout(std::time::Duration::from_secs(120), writer).await;
    let written = written.expect("the last write ends").unwrap();
    assert!(0 < written);
    for number in 0..written {
        let read = insist(Method::GET, &format!("{}/db/k{number}", cluster.url(5)), "").await;
        assert_eq!(read.body, format!("v{number}"));
    }
    // The text for people says the same, and guards hold.
    let listed = stdout(&cluster.member(&["list"]).await);
    assert_eq!(listed.len(), 4, "{listed:?}");
    assert!(listed[0].starts_with(&cluster.written[3]) && listed[0].contains(" voter"), "{listed:?}");
    let refused = cluster.member(&["remove", "4", "--if-index", "1"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("the configuration in force is by now"), "{}", stderr(&refused));
    let refused = cluster.member(&["promote", "77"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("server 77 is no member"), "{}", stderr(&refused));
    assert_eq!(cluster.member(&["add", "nonsense"]).await.status.code(), Some(2));
    // The first comes back, as itself.
    cluster.start(1, &founders, false);
    let first = cluster.written[0].clone();
    cluster.change(&["add", &first]).await;
    cluster.voters(&[1, 4, 5, 6]).await;
    until("it is a member again", async || {
        let status = cluster.status(1).await?;
        (status["removed"].is_null() && status["role"] != "candidate").then_some(())
    })
    .await;
}

/// Goal: who does not belong is sent away, both sides say why, and the operator can put it right. Method: a founder is
/// wiped: it can not bootstrap again; without that it waits; a stranger of another cluster at its address; then it is added.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wiped_founder_and_stranger_are_refused_by_name() {
    let mut cluster = Growing::new();
    let founders = [cluster.format(1).await, cluster.format(2).await, cluster.format(3).await].join(",");
    for nth in 1..=3 {
        cluster.start(nth, &founders, true);
    }
    cluster.voters(&[1, 2, 3]).await;
    insist(Method::PUT, &format!("{}/db/kept", cluster.url(1)), "yes").await;
    cluster.processes[2].take().unwrap().kill();

    // Wiped, and bootstrapped with the old list: it is none of the founders.
    let wiped = cluster.format(3).await;
    cluster.start(3, &founders, true);
    let (code, said) = cluster.processes[2].take().unwrap().end().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("is another server now") && said.contains("without --bootstrap"), "{said}");

    // A stranger that founded another cluster at this address.
    cluster.start(3, &wiped, true);
    let stranger = until("it leads its own cluster", async || {
        cluster.status(3).await.filter(|status| status["role"] == "leader")
    })
    .await;
    let other = cluster.status(1).await.unwrap();
    let leader = until("one of the two leads", async || {
        cluster.status(1).await?["leader"]["id"].as_u64().filter(|leader| *leader != 3)
    })
    .await;
    assert_ne!(stranger["cluster"], other["cluster"]);
    let mut process = cluster.processes[2].take().unwrap();
    process.says("it belongs to another cluster").await;
    process.kill();
    let leader = usize::try_from(leader).unwrap();
    cluster.processes[leader - 1].as_mut().unwrap().says("refused: it belongs to another cluster").await;

    // Wiped once more, and waiting: nobody counts it.
    let wiped = cluster.format(3).await;
    cluster.start(3, &founders, false);
    cluster.processes[2].as_mut().unwrap().says("another server is meant, or another incarnation").await;
    cluster.processes[leader - 1].as_mut().unwrap().says("refused: another server is meant").await;
    let status = cluster.status(3).await.unwrap();
    assert_eq!((status["last"].as_u64(), status["term"].as_u64()), (Some(0), Some(0)), "{status}");
    cluster.change(&["add", &wiped]).await;
    cluster.voters(&[1, 2, 3]).await;
    let kept = until("it has the log", async || {
        let answer =
            request(Method::GET, &format!("{}/db/kept?local=true", cluster.url(3)), "").await.ok()?;
        answer.status.is_success().then_some(answer.body)
    })
    .await;
    assert_eq!(kept, "yes");
}

/// Goal: a server moves to another address, and catches up there. Method: a follower is stopped, something is written, it is started
/// on other ports; the cluster is told, first only where its peers reach it, then where clients do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_was_started_elsewhere_is_readdressed_and_catches_up() {
    let mut cluster = Growing::new();
    let founders = [cluster.format(1).await, cluster.format(2).await, cluster.format(3).await].join(",");
    for nth in 1..=3 {
        cluster.start(nth, &founders, true);
    }
    cluster.voters(&[1, 2, 3]).await;
    let process = cluster.processes[1].take().unwrap();
    assert_eq!(process.stop().await, Some(0));
    insist(Method::PUT, &format!("{}/db/kept", cluster.url(1)), "yes").await;
    let before = [cluster.address(0, 2), cluster.address(1, 2)];
    cluster.moved.insert(2, 5);
    let now = [cluster.address(0, 2), cluster.address(1, 2)];
    cluster.start(2, &founders, true);

    let refused = cluster.member(&["readdress", "2", "nowhere"]).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("is not an address"), "{}", stderr(&refused));
    let refused = cluster.member(&["readdress", "77", &now[0]]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("server 77 is no member"), "{}", stderr(&refused));
    let taken = cluster.member(&["readdress", "2", &cluster.address(0, 3)]).await;
    assert_eq!(taken.status.code(), Some(1));

    let done = cluster.change(&["readdress", "2", &now[0]]).await;
    assert!(done.starts_with("done: index "), "{done}");
    let kept = until("it has the log", async || {
        let url = format!("{}/db/kept?local=true", cluster.url(2));
        let answer = request(Method::GET, &url, "").await.ok()?;
        answer.status.is_success().then_some(answer.body)
    })
    .await;
    assert_eq!(kept, "yes");
    let listed = cluster.members().await["servers"][1].clone();
    assert_eq!((listed["raft"].as_str(), listed["http"].as_str()), (Some(&*now[0]), Some(&*before[1])));
    cluster.change(&["readdress", "2", &now[0], &now[1]]).await;
    let again = cluster.change(&["readdress", "2", &now[0]]).await;
    assert!(again.starts_with("is so already: index "), "{again}");
    let listed = cluster.members().await["servers"][1].clone();
    assert_eq!((listed["raft"].as_str(), listed["http"].as_str()), (Some(&*now[0]), Some(&*now[1])));
    cluster.voters(&[1, 2, 3]).await;
}

/// Goal: where that is wanted, a dead server is removed without anybody asking, and told so when it comes back. Method: four servers;
/// the list says how each is; one that follows is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_stays_dead_is_removed_where_that_is_wanted() {
    let mut cluster = Growing::new();
    let mut founders = Vec::new();
    for nth in 1..=4 {
        founders.push(cluster.format(nth).await);
    }
    let founders = founders.join(",");
    for seconds in ["soon", "-1", "31536001"] {
        let data = cluster.data(1);
        let wrong = ["serve", "--data", &data, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let wrong = [&wrong[..], &["--founders", &founders, "--dead-after", seconds]].concat();
        assert_eq!(run(&wrong).await.status.code(), Some(2), "{seconds}");
    }
    for nth in 1..=4 {
        cluster.start_with(nth, &founders, true, &["--dead-after", "4"]);
    }
    cluster.voters(&[1, 2, 3, 4]).await;
    let leader = until("the list says how each is", async || {
        let members = cluster.members().await;
        let servers = members["servers"].as_array()?;
        let leader = servers.iter().find(|server| server["leads"] == true)?;
        assert_eq!((&leader["state"], &leader["silent_ms"]), (&Value::Null, &Value::Null));
        let well = servers.iter().filter(|server| {
            server["state"] == "replicating"
                && server["lag"] == 0
                && server["matched"] == leader["matched"]
                && server["silent_ms"].as_u64().is_some_and(|ms| ms < 500)
        });
        (well.count() == 3).then_some(leader["id"].as_u64()?)
    })
    .await;
    let listed = stdout(&cluster.member(&["list"]).await);
    assert!(listed.iter().any(|line| line.contains(" voter leads match ")), "{listed:?}");
    assert!(listed.iter().any(|line| line.contains(" replicating match ")), "{listed:?}");

    let dead = (1..=4).find(|nth| *nth != leader).unwrap();
    let others: Vec<u64> = (1..=4).filter(|nth| *nth != dead).collect();
    let dead = usize::try_from(dead).unwrap();
    cluster.processes[dead - 1].take().unwrap().kill();
    cluster.voters(&others).await;
    cluster.start_with(dead, &founders, true, &["--dead-after", "4"]);
    until("it hears that it was removed", async || cluster.status(dead).await?["removed"].as_u64()).await;
    // Whoever led then has said so; by now it may be another one.
    let mut said = String::new();
    for nth in others {
        let mut process = cluster.processes[usize::try_from(nth).unwrap() - 1].take().unwrap();
        process.kill();
        said += &process.end().await.1;
    }
    assert!(said.contains("a member that is silent for long is being removed"), "{said}");
}
