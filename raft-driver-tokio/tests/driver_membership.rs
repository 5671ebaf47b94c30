//! Changes of the configuration with real servers in one process: growing, replacing every server while it is written to, a
//! leader that is removed, one that comes back, and what a guard says.

mod support;

use std::time::Duration;

use bytes::Bytes;
use raft_core::{Change, LogIndex, NodeId, Refusal, Server, Suffrage};
use raft_driver_tokio::{Handle, NodeStatus, ProposeError, Reconfigured};
use support::cluster::{Cluster, Commands, soon};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

const LONG: Duration = Duration::from_secs(30);

/// Makes a change at whoever leads, through whatever is under way.
async fn change(cluster: &Cluster, change: Change) -> Reconfigured {
    soon("a change", async {
        loop {
            match cluster.leader().await.reconfigure(change.clone(), None, LONG).await {
                Ok(done) => return done,
                Err(
                    ProposeError::Refused(
                        Refusal::NotLeader { .. }
                        | Refusal::TermNotCommitted
                        | Refusal::ChangeUnderWay { .. }
                        | Refusal::Transferring { .. },
                    )
                    | ProposeError::Lost,
                ) => tokio::task::yield_now().await,
                Err(error) => panic!("{change:?}: {error}"),
            }
        }
    })
    .await
}

fn staging(server: &Server) -> Change {
    Change::Add(Server { suffrage: Suffrage::Staging, ..server.clone() })
}

fn voters(status: &NodeStatus) -> Vec<u64> {
    status.membership.iter().flat_map(|all| all.voters()).map(|pair| pair.id.raw()).collect()
}

/// Waits until a server knows that these vote.
async fn knows(server: &Handle<Commands>, wanted: &[u64]) {
    let mut status = server.subscribe();
    let known =
        status.wait_for(|status| voters(status) == wanted && status.membership_index <= status.core.commit);
    soon("the voters", known).await.expect("it runs");
}

fn id(raw: u64) -> NodeId {
    NodeId::new(raw).expect("not zero")
}

/// Goal: none of the first servers is left, and everything acknowledged is there. Method: one to five, each of the five
/// replaced (the leader too, when it is its turn), with a command between any two steps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_grows_to_five_that_are_all_replaced() {
    let mut cluster: Cluster = Cluster::prepare_with(1, 10);
    cluster.start(0).await.expect("nothing is wrong");
    let mut acknowledged = Vec::new();
    for nth in 1..10 {
        cluster.start(nth).await.expect("nothing is wrong");
        let added = change(&cluster, staging(&cluster.all[nth])).await;
        assert!(matches!(added, Reconfigured::Changed { .. }));
        let first = nth.saturating_sub(5) as u64 + 1;
        let with: Vec<u64> = (first..=nth as u64 + 1).collect();
        knows(cluster.server(nth), &with).await;
        let command = Bytes::from(format!("with {}", nth + 1));
        acknowledged.push((cluster.insist(command.clone()).await.position, command));
        if 5 <= nth {
            let leaving = nth - 5;
            change(&cluster, Change::Remove(id(first))).await;
            let mut status = cluster.server(leaving).subscribe();
            soon("it hears of it", status.wait_for(|status| status.removed.is_some()))
                .await
                .expect("it runs");
            cluster.stop(leaving).await;
            knows(cluster.server(nth), &with[1..]).await;
        }
    }
    let again = change(&cluster, Change::Remove(id(1))).await;
    assert!(matches!(again, Reconfigured::Unchanged { .. }), "{again:?}");
    change(&cluster, Change::Remove(id(5))).await;
    knows(cluster.server(9), &[6, 7, 8, 9, 10]).await;
    let last = cluster.insist("last").await.position.index;
    for nth in 5..10 {
        let commands = cluster.commands(nth, last).await;
        for wanted in &acknowledged {
            assert!(commands.contains(wanted), "server {nth} lacks {wanted:?}");
        }
    }
}

/// Goal: who leads and is removed hands over and says so, and comes back as itself. Also what is answered to a change at a
/// follower, to an outdated one, and to one that can not be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_is_removed_and_comes_back() {
    let cluster: Cluster = Cluster::started(3).await;
    cluster.insist("before").await;
    let leader = cluster.leader().await;
    let status = leader.status();
    let (own, index) = (status.identity.pair, status.membership_index);
    assert_eq!((index, voters(&status)), (LogIndex::new(1), vec![1, 2, 3]));
    let outdated = leader.reconfigure(Change::Demote(id(2)), Some(index.next()), LONG).await;
    assert_eq!(outdated, Err(ProposeError::Refused(Refusal::Outdated { index })));
    let nobody = leader.reconfigure(Change::Promote(id(9)), Some(index), LONG).await;
    assert_eq!(nobody, Err(ProposeError::Refused(Refusal::NoSuchServer(id(9)))));
    let none = leader.reconfigure(Change::Set(vec![]), None, LONG).await;
    assert!(matches!(none, Err(ProposeError::Refused(Refusal::Membership(_)))), "{none:?}");
    assert_eq!(leader.followers(LONG).await.expect("it runs").len(), 2);

    change(&cluster, Change::Remove(own.id)).await;
    let mut told = leader.subscribe();
    soon("it knows", told.wait_for(|status| status.removed.is_some())).await.expect("it runs");
    let others: Vec<u64> = (1..=3).filter(|other| *other != own.id.raw()).collect();
    let nth = (0..3).find(|nth| cluster.pair(*nth) == own).expect("one of them");
    let heir = (0..3).find(|other| *other != nth).expect("two are left");
    knows(cluster.server(heir), &others).await;
    let refused = leader.reconfigure(Change::Add(cluster.all[nth].clone()), None, LONG).await;
    assert!(matches!(refused, Err(ProposeError::Refused(Refusal::NotLeader { .. }))), "{refused:?}");
    cluster.insist("without it").await;
    change(&cluster, staging(&cluster.all[nth])).await;
    knows(&leader, &[1, 2, 3]).await;
    soon("it is back", told.wait_for(|status| status.removed.is_none())).await.expect("it runs");
    let last = cluster.insist("with it").await.position.index;
    assert_eq!(
        cluster.commands(nth, last).await.last().map(|(_, command)| command.clone()),
        Some("with it".into())
    );
}

/// Goal: who was removed while it was down is told when it comes back, though nobody else's log names it any more. Method: the
/// change is final before it starts again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_was_removed_while_it_was_down_hears_of_it() {
    let mut cluster: Cluster = Cluster::started(3).await;
    cluster.insist("before").await;
    let leader = cluster.leader().await.status().identity.pair;
    let away = (0..3).find(|nth| cluster.pair(*nth) != leader).expect("two follow");
    cluster.stop(away).await;
    change(&cluster, Change::Remove(cluster.pair(away).id)).await;
    let others: Vec<u64> = (1..=3).filter(|other| *other != away as u64 + 1).collect();
    for nth in (0..3).filter(|nth| *nth != away) {
        knows(cluster.server(nth), &others).await;
    }
    let index = cluster.leader().await.status().membership_index;
    cluster.start(away).await.expect("nothing is wrong");
    let mut status = cluster.server(away).subscribe();
    let told = soon("it hears of it", status.wait_for(|status| status.removed.is_some())).await;
    // It does not have that configuration itself: it was told of it, or of a later position at which it was in force.
    let told = told.expect("it runs").clone();
    assert!(told.membership_index < index && Some(index) <= told.removed, "{:?}", told.removed);
    cluster.insist("without it").await;
}

/// Goal: a server that has moved is reached again. Method: it comes back on another port, where nobody looks for it; then the
/// cluster is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_has_moved_is_connected_again_by_its_new_address() {
    let mut cluster: Cluster = Cluster::started(3).await;
    cluster.insist("before").await;
    let leader = cluster.leader().await.status().identity.pair;
    let moving = (0..3).find(|nth| cluster.pair(*nth) != leader).expect("two follow");
    cluster.stop(moving).await;
    let raft_address = cluster.moves(moving);
    cluster.start(moving).await.expect("nothing is wrong");
    let last = cluster.insist("while nobody finds it").await.position.index;
    assert!(cluster.server(moving).status().core.last.index < last);
    let readdress = Change::Readdress {
        id: cluster.pair(moving).id,
        raft_address: raft_address.clone(),
        client_address: "host:1".to_owned(),
    };
    change(&cluster, readdress.clone()).await;
    let last = cluster.insist("after").await.position.index;
    let commands = cluster.commands(moving, last).await;
    assert_eq!(commands.last().map(|(_, command)| command.clone()), Some("after".into()));
    for server in cluster.running() {
        let mut status = server.subscribe();
        let known = status.wait_for(|status| {
            let known = status.membership.as_ref().and_then(|all| all.server(cluster.pair(moving)));
            known.is_some_and(|known| known.raft_address == raft_address && known.client_address == "host:1")
        });
        soon("everybody knows", known).await.expect("it runs");
    }
    let again = change(&cluster, readdress).await;
    assert!(matches!(again, Reconfigured::Unchanged { .. }), "{again:?}");
}

/// The address at which a server that connects says that it is reached, read by the documented layout.
async fn said_address(listener: &TcpListener) -> String {
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut hello = [0; 336];
        // It may be replaced by a newer one before it has said anything.
        if stream.read_exact(&mut hello).await.is_ok() {
            let length = usize::from(hello[76]);
            return String::from_utf8(hello[77..77 + length].to_vec()).expect("an address");
        }
    }
}

/// Goal: others know where to answer a server that has moved, also when it is no member any more. Method: a member that is only a
/// listener hears what the server says of itself when it connects, before and after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_has_moved_says_so_to_everybody() {
    let cluster: Cluster = Cluster::started(1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let learner = Server {
        pair: support::pair(9, 9),
        suffrage: Suffrage::Learner,
        raft_address: listener.local_addr().expect("it listens").to_string(),
        client_address: String::new(),
    };
    change(&cluster, Change::Add(learner)).await;
    let before = &cluster.all[0].raft_address;
    assert_eq!(soon("a connection", said_address(&listener)).await, *before);
    let (raft_address, client_address) = ("127.0.0.1:1".to_owned(), String::new());
    change(&cluster, Change::Readdress { id: id(1), raft_address, client_address }).await;
    soon("it says so", async { while said_address(&listener).await != "127.0.0.1:1" {} }).await;
}
