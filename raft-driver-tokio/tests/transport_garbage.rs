//! What strangers may send to the peer port: anything. The connection is closed, and the server goes on. The bytes here are
//! made from the documented layout, not by the code under test.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use raft_core::{
    Body, Boot, ClusterId, LogIndex, LogTime, Packet, Pair, Position, Snapshot, Term, encode_packet,
};
use support::cluster::{Cluster, soon};
use support::disk::Random;
use support::pair;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn hello(cluster: ClusterId, from: Pair, to: Pair) -> Vec<u8> {
    let mut bytes = b"RAFTPEER".to_vec();
    bytes.extend(2u32.to_le_bytes());
    bytes.extend(cluster.raw().to_le_bytes());
    for pair in [from, to] {
        bytes.extend(pair.id.raw().to_le_bytes());
        bytes.extend(pair.incarnation.raw().to_le_bytes());
    }
    // No address.
    bytes.extend([0; 256]);
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    assert_eq!(bytes.len(), 336);
    bytes
}

fn frame(length: u32, group: u32, packet: &[u8]) -> Vec<u8> {
    let mut start = length.to_le_bytes().to_vec();
    start.extend(group.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&start), packet);
    start.extend(crc.to_le_bytes());
    start.extend(packet);
    start
}

/// Sends bytes and returns everything that comes back until the server closes the connection.
async fn sent(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // The server may close before everything is sent.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = soon("the connection is closed", stream.read_to_end(&mut answer)).await;
    answer
}

/// Says hello, and is welcomed.
async fn say_hello(stream: &mut TcpStream, hello: &[u8]) {
    let mut welcome = [0; 12];
    stream.write_all(hello).await.expect("it listens");
    stream.read_exact(&mut welcome).await.expect("an answer");
    assert_eq!(verdict(&welcome), 0);
}

/// Waits until the server closes a connection, on which it has nothing to say.
async fn closed(what: &str, mut stream: TcpStream) {
    let read = soon(what, stream.read(&mut [0; 1])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

fn verdict(answer: &[u8]) -> u32 {
    u32::from_le_bytes(answer[..4].try_into().expect("four bytes"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_the_peer_port_is_refused_and_the_server_goes_on() {
    let cluster: Cluster = Cluster::started(1).await;
    let address = cluster.server(0).local_addr();
    let (id, me, caller) = (cluster.founders.cluster_id(), cluster.pair(0), pair(9, 9));

    // No hello at all.
    let answer = sent(address, "GET / HTTP/1.1\r\n".repeat(40).as_bytes()).await;
    assert_eq!(verdict(&answer), 1);
    for (wrong, code) in [
        (hello(ClusterId::new(5), caller, me), 3),
        (hello(id, caller, caller), 4),
        (hello(id, caller, pair(me.id.raw(), 1)), 4),
    ] {
        assert_eq!(verdict(&sent(address, &wrong).await), code);
    }
    // A good hello, and then no frame.
    let good = hello(id, caller, me);
    let mut random = Random(3);
    let noise: Vec<u8> = (0..10_000).map(|_| random.below(256) as u8).collect();
    let too_long = frame(u32::MAX, 0, b"short");
    let mut wrong_sum = frame(5, 0, b"hello");
    wrong_sum[8] ^= 1;
    let no_packet = frame(5, 0, b"hello");
    let no_group = frame(5, 3, b"hello");
    for bad in [noise, too_long, wrong_sum, no_packet, no_group] {
        let answer = sent(address, &[&good[..], &bad].concat()).await;
        assert_eq!((verdict(&answer), answer.len()), (0, 12), "welcome, and then nothing");
    }
    cluster.insist("still there").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_connection_of_a_caller_replaces_the_older() {
    let cluster: Cluster = Cluster::started(1).await;
    let address = cluster.server(0).local_addr();
    let good = hello(cluster.founders.cluster_id(), pair(9, 9), cluster.pair(0));
    let mut older = TcpStream::connect(address).await.expect("it listens");
    say_hello(&mut older, &good).await;
    let mut newer = TcpStream::connect(address).await.expect("it listens");
    say_hello(&mut newer, &good).await;
    closed("the older one is closed", older).await;
    cluster.insist("still there").await;
}

/// The older of two connections may be the last to say hello.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_connection_of_a_caller_makes_way_though_it_says_hello_last() {
    let cluster: Cluster = Cluster::started(1).await;
    let address = cluster.server(0).local_addr();
    let good = hello(cluster.founders.cluster_id(), pair(9, 9), cluster.pair(0));
    let mut older = TcpStream::connect(address).await.expect("it listens");
    let mut newer = TcpStream::connect(address).await.expect("it listens");
    say_hello(&mut newer, &good).await;
    say_hello(&mut older, &good).await;
    closed("the older one is closed", older).await;
    // The newer one is still listened to: what is no frame closes it, and nothing else has.
    newer.write_all(&frame(u32::MAX, 0, b"no frame")).await.expect("it is open");
    closed("the newer one is closed", newer).await;
    cluster.insist("still there").await;
}

/// Goal: a node never hears of a snapshot whose bytes it does not have. Method: a packet that is whole and well-formed in all else
/// comes over the connection for packets, from a term that the node would follow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_without_its_bytes_is_refused_and_the_node_hears_nothing() {
    let cluster: Cluster = Cluster::started(1).await;
    cluster.insist("first").await;
    let server = cluster.server(0);
    let (id, me, caller) = (cluster.founders.cluster_id(), cluster.pair(0), pair(9, 9));
    let before = server.status().core;
    let packet = |body| Packet {
        cluster: id,
        from: caller,
        boot: Boot::new(1),
        to: me,
        term: Term::new(77),
        body,
        versions: raft_core::Versions::OURS,
    };
    let membership = Arc::new(cluster.founders.clone());
    let last = Position { term: Term::new(70), index: LogIndex::new(1000) };
    let membership_index = LogIndex::new(1);
    let time = LogTime::new(5);
    let snapshot =
        Snapshot { cluster: id, last, time, membership, membership_index, size: 3, digest: 4.into() };
    let bad = encode_packet(&packet(Body::InstallSnapshot { snapshot: Arc::new(snapshot) }));
    let framed = frame(bad.len() as u32, 0, &bad);
    let answer = sent(server.local_addr(), &[&hello(id, caller, me)[..], &framed].concat()).await;
    assert_eq!((verdict(&answer), answer.len()), (0, 12), "welcome, and then nothing");
    cluster.insist("still there").await;
    assert_eq!(server.status().core.term, before.term);
}
