//! Before a cluster is founded: asks the other founders whether one of them belongs to another cluster already. That is how a
//! founder looks that was wiped and is given a list with its new pair in it: with others that were wiped too, or alone, it
//! would be a second cluster that takes writes, beside the one that it belonged to.
//!
//! Nothing but hellos is said, so that any server understands the question, and answers it as it answers every caller. Who does
//! not answer stops nobody: founders are started one after the other. So this keeps mistakes from happening and proves nothing;
//! it knows nothing of logs.

use std::time::Duration;

use raft_core::{Identity, Membership, Pair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::hello::{ANSWER_BYTES, HELLO_BYTES, Hello, HelloError, decode_answer, encode_answer};

/// How many callers are answered at a time while this server asks; more wait in the system's queue.
const CALLERS_MAX: usize = 32;

/// One of the founders but `identity` that answers `within` the time given that it belongs to another cluster; `None` if there is none.
/// Meanwhile others that ask are answered on `listener`: founders that are started together would else wait for each other.
pub(crate) async fn other_cluster(
    listener: &TcpListener,
    identity: Identity,
    founders: &Membership,
    within: Duration,
) -> Option<(Pair, String)> {
    let own = founders.server(identity.pair).map(|own| own.raft_address.clone()).unwrap_or_default();
    let mut asked = JoinSet::new();
    for founder in founders.servers().iter().filter(|founder| founder.pair != identity.pair) {
        let (to, address) = (founder.pair, founder.raft_address.clone());
        let hello = Hello { cluster: identity.cluster, from: identity.pair, to, address: own.clone() };
        asked.spawn(async move {
            let answer = timeout(within, ask(&hello, &address)).await;
            matches!(answer, Ok(Some(Err(HelloError::WrongCluster)))).then_some((to, address))
        });
    }
    let heard = async {
        while let Some(answer) = asked.join_next().await {
            if let Ok(Some(other)) = answer {
                return Some(other);
            }
        }
        None
    };
    tokio::select! {
        heard = heard => heard,
        never = answer_others(listener, identity, within) => match never {},
    }
}

/// What the server at `address` answers to a hello; `None` without one.
async fn ask(hello: &Hello, address: &str) -> Option<Result<(), HelloError>> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(&hello.encode()).await.ok()?;
    let mut answer = [0; ANSWER_BYTES];
    stream.read_exact(&mut answer).await.ok()?;
    Some(decode_answer(&answer))
}

async fn answer_others(
    listener: &TcpListener,
    identity: Identity,
    within: Duration,
) -> std::convert::Infallible {
    let mut callers = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if callers.len() < CALLERS_MAX => match accepted {
                Ok((stream, _)) => {
                    callers.spawn(timeout(within, answer(stream, identity)));
                }
                // Whatever it is, it will be said once this server serves.
                Err(_) => std::future::pending().await,
            },
            Some(_) = callers.join_next() => {}
        }
    }
}

async fn answer(mut stream: TcpStream, identity: Identity) -> std::io::Result<()> {
    let mut bytes = [0; HELLO_BYTES];
    stream.read_exact(&mut bytes).await?;
    let checked = Hello::decode(&bytes).and_then(|hello| hello.check(identity));
    stream.write_all(&encode_answer(checked)).await
}

#[cfg(test)]
mod tests {
    //! Goal: one founder that belongs to another cluster is found, whatever the others are; and nobody waits for who answers.

    use raft_core::{Boot, ClusterId, Incarnation, NodeId, Server, Suffrage};

    use super::*;

    /// So long that a test that had to wait for it would be seen to hang.
    const LONG: Duration = Duration::from_secs(3600);

    fn pair(id: u64) -> Pair {
        Pair { id: NodeId::new(id).expect("not zero"), incarnation: Incarnation::new(5) }
    }

    async fn listening(count: u64) -> (Vec<TcpListener>, Membership) {
        let (mut listeners, mut servers) = (Vec::new(), Vec::new());
        for id in 1..=count {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let raft_address = listener.local_addr().expect("it listens").to_string();
            let (pair, suffrage) = (pair(id), Suffrage::Voter);
            servers.push(Server { pair, suffrage, raft_address, client_address: String::new() });
            listeners.push(listener);
        }
        (listeners, Membership::new(servers).expect("valid"))
    }

    fn identity(cluster: ClusterId, id: u64) -> Identity {
        Identity { cluster, pair: pair(id), boot: Boot::new(0) }
    }

    #[tokio::test]
    async fn founders_that_are_started_together_answer_each_other() {
        let (listeners, founders) = listening(2).await;
        let [one, two] = [1, 2].map(|id| identity(founders.cluster_id(), id));
        // The first to have its answer goes on at once, and answers whoever asks still.
        let second = answer_others(&listeners[1], two, LONG);
        let first = other_cluster(&listeners[0], one, &founders, LONG);
        tokio::select! {
            found = first => assert_eq!(found, None),
            never = second => match never {},
        }
    }

    #[tokio::test]
    async fn founder_of_another_cluster_is_found_and_who_is_silent_is_not_waited_for() {
        let (mut listeners, founders) = listening(4).await;
        let me = identity(founders.cluster_id(), 1);
        // The second accepts and says nothing, the third is gone, the fourth belongs to another cluster.
        drop(listeners.remove(2));
        let other = identity(ClusterId::new(77), 4);
        let address = founders.server(pair(4)).expect("it is one").raft_address.clone();
        tokio::select! {
            found = other_cluster(&listeners[0], me, &founders, LONG) => assert_eq!(found, Some((pair(4), address))),
            never = answer_others(&listeners[2], other, LONG) => match never {},
        }
        let soon = Duration::from_millis(1);
        assert_eq!(other_cluster(&listeners[0], me, &founders, soon).await, None, "nobody answers");
    }
}
