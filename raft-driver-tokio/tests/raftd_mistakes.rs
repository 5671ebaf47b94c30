//! What an operator can get wrong with the members of a cluster, with real `raftd` processes: it is refused with what to do
//! instead, and servers that wait or are of no use any more say so.

mod raftd;

use hyper::{Method, StatusCode};
use raftd::growing::Growing;
use raftd::{Talking, insist, request, run, stderr, stdout, until, verdict};

/// A cluster of three founders, and their list.
async fn three() -> (Growing, String) {
    let mut cluster = Growing::new();
    let founders = [cluster.format(1).await, cluster.format(2).await, cluster.format(3).await].join(",");
    for nth in 1..=3 {
        cluster.start(nth, &founders, true);
    }
    cluster.voters(&[1, 2, 3]).await;
    (cluster, founders)
}

/// What the list says of the server with an id, once that is so.
async fn listed(cluster: &Growing, id: u64, so: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    until("the list says so", async || {
        let members = cluster.members().await;
        members["servers"].as_array()?.iter().find(|server| server["id"] == id && so(server)).cloned()
    })
    .await
}

/// Goal: nobody gives a vote to who is not there, or takes one, without knowing it. Method: a server is added that does not run, and
/// promoted; it is started; it is made a learner by the wrong command and by the right one; it is killed and promoted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_are_given_and_taken_only_where_that_is_meant() {
    let (mut cluster, founders) = three().await;
    let fourth = cluster.format(4).await;
    // On the way the leader may change, which is no matter here: then it is so already.
    let waited = until("it is added", async || {
        let output = cluster.member(&["add", "--wait", "1", &fourth]).await;
        (output.status.code() == Some(3)).then_some(output)
    })
    .await;
    let said = stdout(&waited);
    assert!(said[0].starts_with(&fourth) && said[0].ends_with(" never heard"), "{said:?}");
    assert!(said[1].starts_with("unfinished: staging ") && said[1].contains("votes once it has"), "{said:?}");
    let never = listed(&cluster, 4, |server| server["heard"] == false).await;
    assert_eq!((&never["suffrage"], never["silent_ms"].is_null()), (&"staging".into(), true), "{never}");
    let promoted = cluster.member(&["promote", "4"]).await;
    assert_eq!(promoted.status.code(), Some(1));
    let why = stderr(&promoted);
    assert!(why.contains("server 4 has never been heard of") && why.contains("by force"), "{why}");
    assert!(cluster.change(&["promote", "--force", "4"]).await.starts_with("done: index "));
    cluster.voters(&[1, 2, 3, 4]).await;

    cluster.start(4, &founders, false);
    listed(&cluster, 4, |server| server["heard"] == true && server["lag"] == 0).await;
    let lowered = until("a leader says what it is", async || {
        let why = stderr(&cluster.member(&["add", "--learner", &fourth]).await);
        (!why.contains("do it again")).then_some(why)
    })
    .await;
    assert!(lowered.contains("server 4 is a voter; use demote"), "{lowered}");
    cluster.change(&["demote", "4"]).await;
    cluster.voters(&[1, 2, 3]).await;
    let again = cluster.change(&["add", "--learner", &fourth]).await;
    assert!(again.starts_with("is so already: index "), "{again}");

    // A learner that died: silence is told as long as it is, and not up to where the leader counts it as gone.
    cluster.processes[3].take().unwrap().kill();
    listed(&cluster, 4, |server| server["silent_ms"].as_u64().is_some_and(|ms| 1_500 < ms)).await;
    let why = until("a leader refuses", async || {
        let why = stderr(&cluster.member(&["promote", "4"]).await);
        why.contains("majorities harder to reach").then_some(why)
    })
    .await;
    assert!(why.contains("server 4 "), "{why}");
    cluster.voters(&[1, 2, 3]).await;
    cluster.start(4, &founders, false);
    let promoted = until("it is there", async || {
        let output = cluster.member(&["promote", "4"]).await;
        output.status.success().then(|| verdict(&output))
    })
    .await;
    assert!(promoted.contains("index "), "{promoted}");
    cluster.voters(&[1, 2, 3, 4]).await;
}

/// Goal: who asks a server that was removed is told that, and asks another one. Method: a follower is removed, and asked for
/// everything; then clients are given it first, and another server second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_server_says_so_to_clients() {
    let (mut cluster, _founders) = three().await;
    insist(Method::PUT, &format!("{}/db/kept", cluster.url(1)), "yes").await;
    cluster.change(&["remove", "3"]).await;
    cluster.voters(&[1, 2]).await;
    let index =
        until("it hears that it was removed", async || cluster.status(3).await?["removed"].as_u64()).await;
    let gone = cluster.url(3);
    let text = format!("removed from the cluster by the configuration at index {index}");
    for (method, path) in [
        (Method::PUT, "/db/kept"),
        (Method::GET, "/db/kept"),
        (Method::GET, "/members"),
        (Method::POST, "/members"),
    ] {
        let body = if path == "/members" { r#"{"change":"remove","id":3}"# } else { "no" };
        let answer = until("it has lost sight of the leader", async || {
            let answer = request(method.clone(), &format!("{gone}{path}"), body).await.ok()?;
            (answer.status != StatusCode::TEMPORARY_REDIRECT).then_some(answer)
        })
        .await;
        assert_eq!(answer.status, StatusCode::GONE, "{method} {path}");
        assert!(String::from_utf8_lossy(&answer.body).contains(&text), "{:?}", answer.body);
    }
    let local = request(Method::GET, &format!("{gone}/db/kept?local=true"), "").await.unwrap();
    assert_eq!((local.status, &*local.body), (StatusCode::OK, &b"yes"[..]));

    let alone = run(&["member", "list", "--http", &gone]).await;
    assert_eq!(alone.status.code(), Some(1));
    assert!(stderr(&alone).contains(&text), "{}", stderr(&alone));
    let both = format!("{gone},{}", cluster.url(1));
    let list = run(&["member", "list", "--http", &both]).await;
    assert!(list.status.success() && verdict(&list).contains("2 servers"), "{}", stderr(&list));
    let file = cluster.folder.path().join("lines");
    std::fs::write(&file, "a\t1\nb\t2\n").unwrap();
    let loaded = run(&["load", file.to_str().unwrap(), "--to", &both]).await;
    assert_eq!((loaded.status.code(), verdict(&loaded)), (Some(0), "acknowledged 2 of 2".into()));
    assert!(cluster.processes[2].as_mut().unwrap().is_running());
}

/// Goal: a server that waits says for what, and whom to ask names servers that can answer. Method: a founder that is started without
/// `--bootstrap`; it is wiped; a sole founder that is wiped; an address left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_wait_say_for_what() {
    let mut cluster = Growing::new();
    let founders = [cluster.format(1).await, cluster.format(2).await, cluster.format(3).await].join(",");
    let mut third = Talking::spawn(&mut cluster.command(3, &founders));
    let line = third.says("is a founder").await;
    assert!(line.contains("waits: for founders that were started with --bootstrap"), "{line}");
    cluster.start(1, &founders, true);
    cluster.start(2, &founders, true);
    cluster.voters(&[1, 2, 3]).await;
    insist(Method::PUT, &format!("{}/db/kept", cluster.url(1)), "yes").await;
    until("what it waited for has come", async || {
        (cluster.status(3).await?["last"].as_u64()? != 0).then_some(())
    })
    .await;
    third.kill();
    third.end().await;

    let wiped = cluster.format(3).await;
    let mut third = Talking::spawn(&mut cluster.command(3, &founders));
    let line = third.says("waits to be added").await;
    let hint = format!("raftd member add --http {},{} {wiped}", cluster.url(1), cluster.url(2));
    assert!(line.ends_with(&hint), "{line}\n{hint}");
    let words: Vec<&str> = hint.split(' ').skip(1).collect();
    let added = run(&words).await;
    assert!(added.status.success(), "{}", stderr(&added));
    cluster.voters(&[1, 2, 3]).await;

    let alone = cluster.format(4).await;
    cluster.format(4).await;
    let mut fourth = Talking::spawn(&mut cluster.command(4, &alone));
    let line = fourth.says("waits to be added").await;
    assert!(
        line.contains("--http http://HOST:PORT of a member") && !line.contains(&cluster.url(4)),
        "{line}"
    );

    let (short, _) = wiped.rsplit_once('/').unwrap();
    let refused = cluster.member(&["add", short]).await;
    assert_eq!(refused.status.code(), Some(2));
    let why = stderr(&refused);
    assert!(why.contains("lacks where clients reach the server") && why.contains("/HTTP_HOST:PORT"), "{why}");
}

/// Goal: a founder that was wiped founds no second cluster while another founder of its list can say that it belongs to the first.
/// Method: the list is written anew with the new pair; then with nobody there to say so, which shows who it was that kept it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wiped_founder_with_a_new_list_founds_nothing_beside_its_cluster() {
    let (mut cluster, founders) = three().await;
    cluster.processes[2].take().unwrap().kill();
    let wiped = cluster.format(3).await;
    let written = [cluster.written[0].clone(), cluster.written[1].clone(), wiped.clone()].join(",");
    cluster.start(3, &written, true);
    let (code, said) = cluster.processes[2].take().unwrap().end().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("belongs to another cluster already"), "{said}");
    assert!(
        said.contains("with the very list that the cluster was founded with, without --bootstrap"),
        "{said}"
    );

    // What it says to do is possible: nothing was written.
    let mut waiting = Talking::spawn(&mut cluster.command(3, &founders));
    waiting.says("waits to be added").await;
    waiting.kill();
    waiting.end().await;
    for nth in [1, 2] {
        cluster.processes[nth - 1].take().unwrap().kill();
    }
    cluster.start(3, &written, true);
    let status = until("it has founded", async || cluster.status(3).await).await;
    assert_eq!(status["last"], 1, "{status}");
}
