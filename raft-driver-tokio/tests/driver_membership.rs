//! Changes of the configuration with real servers in one process: growing, replacing every server while it is written to, a
//! leader that is removed, one that comes back, and what a guard says.

mod support;

use std::time::Duration;

use bytes::Bytes;
use raft_core::{Change, LogIndex, NodeId, Refusal, Server, Suffrage};
use raft_driver_tokio::{Handle, NodeStatus, ProposeError, Reconfigured};
use support::cluster::{Cluster, Commands, soon};

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
