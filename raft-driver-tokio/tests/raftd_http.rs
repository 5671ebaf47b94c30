//! Goal: the HTTP interface answers as promised: any bytes as keys and values, redirects to the leader, an honest status for
//! everything that is refused, and an end to every request.
//!
//! Method: real servers, asked by an HTTP client that follows nothing by itself, and by bare sockets where a client misbehaves.

mod raftd;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::{Method, StatusCode};
use raftd::{Three, insist, request, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_values_are_any_bytes() {
    let three = Three::running().await;
    three.leader().await;
    let url = |id: usize, path: &str| format!("{}{path}", three.url(id));
    let every_byte: Vec<u8> = (0..=255).collect();
    let every_key: String = (0..=255).map(|b| format!("%{b:02x}")).collect();
    let path = format!("/db/{every_key}");
    assert_eq!(insist(Method::PUT, &url(1, &path), every_byte.clone()).await.status, StatusCode::NO_CONTENT);
    for id in 1..=3 {
        let read = insist(Method::GET, &url(id, &path), "").await;
        assert_eq!((read.status, read.body.to_vec()), (StatusCode::OK, every_byte.clone()));
    }
    // A slash is a slash, encoded or not; case in the encoding does not matter; a plus is a plus.
    insist(Method::PUT, &url(2, "/db/a%2Fb+"), "1").await;
    assert_eq!(insist(Method::GET, &url(1, "/db/a/b%2b"), "").await.body, "1");
    assert_eq!(insist(Method::GET, &url(1, "/db/a%2fb%20"), "").await.status, StatusCode::NOT_FOUND);

    let longest = format!("/db/{}", "%ff".repeat(1024));
    let largest = vec![7; 1 << 20];
    assert_eq!(insist(Method::PUT, &url(3, &longest), largest.clone()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(insist(Method::GET, &url(1, &longest), "").await.body, largest);
    assert_eq!(insist(Method::PUT, &url(1, "/db/empty"), "").await.status, StatusCode::NO_CONTENT);
    let empty = insist(Method::GET, &url(1, "/db/empty"), "").await;
    assert_eq!((empty.status, empty.body.len()), (StatusCode::OK, 0));

    assert_eq!(insist(Method::DELETE, &url(2, &path), "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(insist(Method::DELETE, &url(2, &path), "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(insist(Method::GET, &url(2, &path), "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_redirects_and_reads_locally() {
    let three = Three::running().await;
    // Again where the leader changed meanwhile.
    let (leader, answers) = until("redirects under one leader", async || {
        let leader = three.leader().await;
        let term = three.status(leader).await?["term"].as_u64();
        let url = format!("{}/db/a%2Fb?x=%20y", three.url(leader % 3 + 1));
        let mut answers = Vec::new();
        for method in [Method::PUT, Method::DELETE] {
            answers.push(request(method, &url, "v").await.unwrap());
        }
        let same = three.leader().await == leader && three.status(leader).await?["term"].as_u64() == term;
        same.then_some((leader, answers))
    })
    .await;
    for answer in answers {
        assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(answer.location(), format!("{}/db/a%2Fb?x=%20y", three.url(leader)));
    }
    let follower = leader % 3 + 1;
    let put = insist(Method::PUT, &format!("{}/db/k", three.url(follower)), "v").await;
    let position = put.headers["raft-position"].to_str().unwrap().to_owned();
    let index: u64 = position.split_once('.').unwrap().1.parse().unwrap();
    for id in 1..=3 {
        let url = format!("{}/db/k?local=true", three.url(id));
        let read = until("the value reaches a server", async || {
            let read = request(Method::GET, &url, "").await.unwrap();
            (read.status == StatusCode::OK).then_some(read)
        })
        .await;
        assert_eq!(read.body, "v");
        assert!(index <= read.headers["raft-applied"].to_str().unwrap().parse().unwrap());
        let status = until("a status that names a leader", async || {
            let status = three.status(id).await?;
            status["leader"]["id"].is_u64().then_some(status)
        })
        .await;
        assert_eq!(status["id"], id);
        let leader = usize::try_from(status["leader"]["id"].as_u64().unwrap()).unwrap();
        assert_eq!(status["leader"]["http"], three.http_address(leader));
        assert_eq!(status["role"] == "leader", id == leader);
        assert!(index <= status["applied"].as_u64().unwrap());
        for number in ["term", "commit", "last"] {
            assert!(0 < status[number].as_u64().unwrap(), "{number}");
        }
    }
}

/// Goal: every server answers a read itself, with what was acknowledged before, and the log does not grow by it. Method: a value is
/// written again and again and read at once at all three, without following any redirect.
#[tokio::test(flavor = "multi_thread")]
async fn every_server_reads_what_was_acknowledged() {
    let three = Three::running().await;
    let leader = three.leader().await;
    let mut answered = BTreeSet::new();
    for number in 0..20 {
        let put = insist(Method::PUT, &format!("{}/db/k", three.url(leader)), number.to_string()).await;
        let position = put.headers["raft-position"].to_str().unwrap().to_owned();
        let (term, index) = position.split_once('.').unwrap();
        let (term, index): (u64, u64) = (term.parse().unwrap(), index.parse().unwrap());
        for id in 1..=3 {
            let read = request(Method::GET, &format!("{}/db/k", three.url(id)), "").await.unwrap();
            // A server that has lost sight of its leader says so.
            if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TEMPORARY_REDIRECT].contains(&read.status) {
                continue;
            }
            assert_eq!((read.status, read.body), (StatusCode::OK, number.to_string().into()));
            assert!(index <= read.headers["raft-applied"].to_str().unwrap().parse().unwrap());
            answered.insert(id);
            let status = three.status(id).await.unwrap();
            assert!(status["last_term"] != term || status["last"] == index, "a read has appended something");
        }
    }
    assert_eq!(answered.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused() {
    let three = Three::running().await;
    let url = three.url(three.leader().await);
    let long_key = format!("/db/{}", "k".repeat(1025));
    let long_path = format!("/db/{}", "k".repeat(60_000));
    for (method, path, body, status) in [
        (Method::GET, "/db/", 0, StatusCode::BAD_REQUEST),
        (Method::PUT, "/db/", 0, StatusCode::BAD_REQUEST),
        (Method::GET, "/db/%zz", 0, StatusCode::BAD_REQUEST),
        (Method::PUT, "/db/%2", 1, StatusCode::BAD_REQUEST),
        (Method::DELETE, "/db/a%", 0, StatusCode::BAD_REQUEST),
        (Method::GET, "/db/a?local=perhaps", 0, StatusCode::BAD_REQUEST),
        (Method::PUT, "/db/a?local=true", 1, StatusCode::BAD_REQUEST),
        (Method::DELETE, "/db/a?local=true", 0, StatusCode::BAD_REQUEST),
        (Method::GET, &long_key, 0, StatusCode::URI_TOO_LONG),
        (Method::PUT, &long_key, 1, StatusCode::URI_TOO_LONG),
        (Method::GET, &long_path, 0, StatusCode::URI_TOO_LONG),
        (Method::PUT, "/db/a", (1 << 20) + 1, StatusCode::PAYLOAD_TOO_LARGE),
        (Method::PUT, "/db/a", 6 << 20, StatusCode::PAYLOAD_TOO_LARGE),
        (Method::POST, "/db/a", 1, StatusCode::METHOD_NOT_ALLOWED),
        (Method::PATCH, "/db/a", 1, StatusCode::METHOD_NOT_ALLOWED),
        (Method::PUT, "/status", 1, StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/", 0, StatusCode::NOT_FOUND),
        (Method::GET, "/db", 0, StatusCode::NOT_FOUND),
    ] {
        let answer = request(method.clone(), &format!("{url}{path}"), vec![b'v'; body]).await.unwrap();
        assert_eq!(answer.status, status, "{method} {path:.40}");
    }
    assert_eq!(insist(Method::GET, &format!("{url}/db/a"), "").await.status, StatusCode::NOT_FOUND);
}

/// A body that never ends arriving: the headers promise more than comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_answered_and_changes_nothing() {
    let three = Three::running().await;
    let leader = three.leader().await;
    let mut socket = TcpStream::connect(three.http_address(leader)).await.unwrap();
    socket.write_all(b"PUT /db/slow HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
    let mut silent = TcpStream::connect(three.http_address(leader)).await.unwrap();
    silent.write_all(b"PUT /db/slow HT").await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    // Headers that do not come are no request yet; the connection ends, with an answer or without.
    silent.read_to_end(&mut answer).await.unwrap();
    let read = insist(Method::GET, &format!("{}/db/slow", three.url(leader)), "").await;
    assert_eq!(read.status, StatusCode::NOT_FOUND);
}

/// Goal: the two kinds of failure are told apart. Method: one server alone knows no leader, so nothing is ever appended;
/// a leader that loses both followers has appended what it can not commit.
#[tokio::test(flavor = "multi_thread")]
async fn no_effect_is_503_and_perhaps_is_504() {
    let mut three = Three::formatted().await;
    three.start(1);
    let put =
        async |three: &Three, id: usize| request(Method::PUT, &format!("{}/db/k", three.url(id)), "v").await;
    let alone = until("the server answers", async || put(&three, 1).await.ok()).await;
    assert_eq!(alone.status, StatusCode::SERVICE_UNAVAILABLE);
    let read = request(Method::GET, &format!("{}/db/k", three.url(1)), "").await.unwrap();
    assert_eq!(read.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        read.headers.contains_key("retry-after") && read.body.starts_with(b"no leader"),
        "{:?}",
        read.body
    );
    let local = request(Method::GET, &format!("{}/db/k?local=true", three.url(1)), "").await.unwrap();
    assert_eq!(local.status, StatusCode::NOT_FOUND);

    three.start(2);
    three.start(3);
    until("writers are told that it may have happened", async || {
        let leader = three.leader().await;
        insist(Method::PUT, &format!("{}/db/before", three.url(leader)), "v").await;
        let unknown = lose_followers(&mut three, leader).await;
        let local = request(Method::GET, &format!("{}/db/before?local=true", three.url(leader)), "").await;
        let local = local.unwrap();
        assert_eq!((local.status, &local.body[..]), (StatusCode::OK, &b"v"[..]));
        // Where the lead was lost before the followers were, nothing was appended in vain. Then it is done again.
        let told = 0 < unknown;
        for id in (1..=3).filter(|id| *id != leader) {
            three.start(id);
        }
        told.then_some(())
    })
    .await;
}

/// Kills the other two while clients ask the leader, and go on until they are refused after that: what the leader takes
/// between the death of its followers and the moment when it notices that no quorum hears it may have happened. How many
/// writers were told so. Readers never are: a read does nothing.
async fn lose_followers(three: &mut Three, leader: usize) -> usize {
    let killed = Arc::new(AtomicBool::new(false));
    let clients = (0..8).map(|nth| {
        let (url, killed) = (format!("{}/db/k{nth}", three.url(leader)), Arc::clone(&killed));
        let method = if nth % 2 == 0 { Method::PUT } else { Method::GET };
        tokio::spawn(async move {
            let mut seen = BTreeSet::new();
            loop {
                let end = killed.load(Ordering::SeqCst);
                let status = request(method.clone(), &url, "v").await.unwrap().status;
                seen.insert(status);
                if end && status == StatusCode::SERVICE_UNAVAILABLE {
                    return seen;
                }
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    for id in (1..=3).filter(|id| *id != leader) {
        three.kill(id);
    }
    killed.store(true, Ordering::SeqCst);
    let mut unknown = 0;
    for (nth, client) in clients.into_iter().enumerate() {
        let seen = client.await.unwrap();
        // A redirect is what a server says that follows another one, or did a moment ago.
        let mut known = vec![StatusCode::SERVICE_UNAVAILABLE, StatusCode::TEMPORARY_REDIRECT];
        if nth % 2 == 0 {
            known.extend([StatusCode::NO_CONTENT, StatusCode::GATEWAY_TIMEOUT]);
            unknown += usize::from(seen.contains(&StatusCode::GATEWAY_TIMEOUT));
        } else {
            known.push(StatusCode::NOT_FOUND);
        }
        assert!(seen.iter().all(|status| known.contains(status)), "{seen:?}");
    }
    unknown
}
