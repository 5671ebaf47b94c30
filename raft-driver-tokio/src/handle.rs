//! What an application holds of a running server. Every call ends: with its answer, or with an error that says whether it
//! can have had an effect.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender as WorkSender;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{Change, LogIndex, Position, Refusal};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::reads::{Leadership, Read};
use crate::state_machine::{StateMachine, Work};
use crate::status::{Follower, NodeStatus, StopReason};

/// A command that was committed and applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Applied<T> {
    /// Where in the log it stands.
    pub position: Position,
    /// What the state machine answered.
    pub output: T,
}

/// What became of a change of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reconfigured {
    /// The configuration that it leads to is committed.
    Changed {
        /// Where in the log that stands.
        position: Position,
    },
    /// It was so already; nothing was appended.
    Unchanged {
        /// The index of the configuration in force.
        index: LogIndex,
    },
}

/// Why there is no answer to a proposal or to a change of the configuration. [`certainly_no_effect`](Self::certainly_no_effect) says which of them mean that it
/// did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// The node has refused it: certainly no effect.
    #[error("refused: {}", refusal(.0))]
    Refused(Refusal),
    /// Its time was up before the node took it: certainly no effect.
    #[error("too much is under way")]
    Busy,
    /// The server has stopped before it took it: certainly no effect.
    #[error("the server has stopped")]
    Stopped,
    /// The leadership it was appended under has ended: it may still happen, or not.
    #[error("the leader has changed; it may happen, or not")]
    Lost,
    /// Its time was up: it may have happened, or still happen, or not.
    #[error("no answer in time; it may have happened, or not")]
    Deadline,
    /// The server has stopped meanwhile: it may have happened, or still happen, or not.
    #[error("the server has stopped meanwhile; it may have happened, or not")]
    Interrupted,
}

pub(crate) fn refusal(why: &Refusal) -> String {
    match why {
        Refusal::NotLeader { leader: Some(leader) } => format!("the leader is server {leader}"),
        Refusal::NotLeader { leader: None } => "there is no leader at the moment".to_owned(),
        Refusal::Busy => "too much is under way".to_owned(),
        Refusal::Empty => "there is no command".to_owned(),
        Refusal::TooLarge => "the command is too long".to_owned(),
        Refusal::Halted => "the node has halted".to_owned(),
        Refusal::Transferring { to } => format!("the leadership is being handed over to server {to}"),
        Refusal::ChangeUnderWay { index } => {
            format!("another change is under way: the configuration at index {index} is not final yet")
        }
        Refusal::TermNotCommitted => "the leader is new and has committed nothing yet".to_owned(),
        Refusal::Outdated { index } => {
            format!("the configuration in force is by now the one at index {index}")
        }
        Refusal::NoSuchServer(id) => format!("server {id} is no member"),
        Refusal::Membership(error) => error.to_string(),
        other => format!("{other:?}"),
    }
}

impl ProposeError {
    /// Whether the command certainly has no effect, now or later, so that it may be proposed again without harm. Where not,
    /// it may have happened, or may still.
    pub fn certainly_no_effect(&self) -> bool {
        match self {
            ProposeError::Refused(_) | ProposeError::Busy | ProposeError::Stopped => true,
            ProposeError::Lost | ProposeError::Deadline | ProposeError::Interrupted => false,
        }
    }
}

/// The server has stopped; [`Handle::stopped`] says why.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the server has stopped")]
pub struct Stopped;

/// What somebody wants of the node, on its way to the loop.
pub(crate) enum Call<S: StateMachine> {
    /// A command for the log.
    Propose { command: Bytes, caller: Caller<Applied<S::Output>> },
    /// Another configuration.
    Reconfigure { change: Change, based_on: Option<LogIndex>, caller: Caller<Reconfigured> },
    /// What a leader knows of the other members.
    Followers(Caller<Vec<Follower>>),
    /// A look at the state, linearizable.
    Read(Read<S>),
    /// Everything proposed before, applied.
    Barrier(Caller<LogIndex>),
    /// Whether this server leads, now.
    VerifyLeader(Caller<Leadership>),
}

impl<S: StateMachine> Call<S> {
    /// Ends a call that the node has not seen.
    pub(crate) fn refuse(self, error: ProposeError) {
        match self {
            Call::Propose { caller, .. } => caller.answer(Err(error)),
            Call::Reconfigure { caller, .. } => caller.answer(Err(error)),
            Call::Followers(caller) => caller.answer(Err(error)),
            Call::Read(read) => read(Err(error)),
            Call::Barrier(caller) => caller.answer(Err(error)),
            Call::VerifyLeader(caller) => caller.answer(Err(error)),
        }
    }
}

/// Who waits for an answer. It holds its permit for as long as anything here knows of it, also where the one who asked has
/// given up: that is what bounds everything that waits.
pub(crate) struct Caller<R> {
    answer: oneshot::Sender<Result<R, ProposeError>>,
    _permit: OwnedSemaphorePermit,
}

impl<R> Caller<R> {
    pub(crate) fn answer(self, outlook: Result<R, ProposeError>) {
        // Who asked may have given up.
        let _ = self.answer.send(outlook);
    }

    pub(crate) fn has_given_up(&self) -> bool {
        self.answer.is_closed()
    }
}

/// A running server. Cheap to clone; when the last clone is dropped, the server shuts down.
pub struct Handle<S: StateMachine> {
    pub(crate) calls: mpsc::Sender<Call<S>>,
    /// How many proposals may be between here and the state machine.
    pub(crate) proposals: Arc<Semaphore>,
    /// How many reads may be; apart, so that neither of the two takes the other's places.
    pub(crate) reads: Arc<Semaphore>,
    pub(crate) work: WorkSender<Work<S>>,
    pub(crate) looks: Arc<Semaphore>,
    pub(crate) status: watch::Receiver<NodeStatus>,
    pub(crate) shutdown: Arc<Notify>,
    pub(crate) stopped: watch::Receiver<Option<StopReason>>,
    pub(crate) local_addr: SocketAddr,
}

impl<S: StateMachine> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Handle {
            calls: self.calls.clone(),
            proposals: Arc::clone(&self.proposals),
            reads: Arc::clone(&self.reads),
            work: self.work.clone(),
            looks: Arc::clone(&self.looks),
            status: self.status.clone(),
            shutdown: Arc::clone(&self.shutdown),
            stopped: self.stopped.clone(),
            local_addr: self.local_addr,
        }
    }
}

impl<S: StateMachine> std::fmt::Debug for Handle<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("status", &*self.status.borrow()).finish_non_exhaustive()
    }
}

impl<S: StateMachine> Handle<S> {
    /// Proposes a command and waits, at most for `within`, until it is committed and the state machine of this server has
    /// applied it.
    ///
    /// Giving up (dropping the future) does not take a command back.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(
        &self,
        command: Bytes,
        within: Duration,
    ) -> Result<Applied<S::Output>, ProposeError> {
        self.call(&self.proposals, within, |caller| Call::Propose { command, caller }).await
    }

    /// Changes the configuration of the cluster (Raft thesis chapter 4) and waits, at most for `within`, until the
    /// configuration that the change leads to is committed. Only the leader does so.
    ///
    /// `based_on` is the index of the configuration that the caller has looked at ([`NodeStatus::membership_index`]): where
    /// another one is in force by now, nothing is changed.
    ///
    /// Giving up (dropping the future) does not take a change back. A change is a target, so that doing it again where it is
    /// not known whether it happened does no harm; a guard tells whether anybody else came in between.
    ///
    /// # Errors
    /// See [`ProposeError`]; of the refusals those for changes.
    pub async fn reconfigure(
        &self,
        change: Change,
        based_on: Option<LogIndex>,
        within: Duration,
    ) -> Result<Reconfigured, ProposeError> {
        self.call(&self.proposals, within, |caller| Call::Reconfigure { change, based_on, caller }).await
    }

    /// What this server, if it leads, knows of each other member, sorted by id; nothing if it does not lead.
    ///
    /// # Errors
    /// The server has stopped, or its time was up.
    pub async fn followers(&self, within: Duration) -> Result<Vec<Follower>, ProposeError> {
        self.call(&self.proposals, within, Call::Followers).await
    }

    /// Hands a call to the loop, once there is one of these `places` for it, and waits for its answer.
    pub(crate) async fn call<R>(
        &self,
        places: &Arc<Semaphore>,
        within: Duration,
        call: impl FnOnce(Caller<R>) -> Call<S>,
    ) -> Result<R, ProposeError> {
        let deadline = Instant::now().checked_add(within);
        let deadline = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(86400 * 365));
        let permit = permit(places, deadline).await?;
        let place = match timeout_at(deadline, self.calls.reserve()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Err(ProposeError::Stopped),
            Err(_) => return Err(ProposeError::Busy),
        };
        let (caller, answer) = oneshot::channel();
        place.send(call(Caller { answer: caller, _permit: permit }));
        match timeout_at(deadline, answer).await {
            Ok(Ok(outlook)) => outlook,
            Ok(Err(_)) => Err(ProposeError::Interrupted),
            Err(_) => Err(ProposeError::Deadline),
        }
    }

    /// Runs `look` on this server's own state and applied index, between two batches of commands. What it sees may be old:
    /// this asks no other server. [`Handle::read`] does.
    ///
    /// # Errors
    /// The server has stopped.
    pub async fn local<R: Send + 'static>(
        &self,
        look: impl FnOnce(&S, LogIndex) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        let permit = Arc::clone(&self.looks).acquire_owned().await.map_err(|_| Stopped)?;
        if self.stopped.borrow().is_some() {
            return Err(Stopped);
        }
        let (caller, answer) = oneshot::channel();
        let look = Box::new(move |state_machine: &S, applied: LogIndex| {
            let _permit: OwnedSemaphorePermit = permit;
            // Who asked may have given up.
            let _ = caller.send(look(state_machine, applied));
        });
        self.work.send(Work::Look(look)).map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// What the server is, and how far.
    pub fn status(&self) -> NodeStatus {
        self.status.borrow().clone()
    }

    /// Follows the status: the receiver sees the newest one, and is woken by every change.
    pub fn subscribe(&self) -> watch::Receiver<NodeStatus> {
        self.status.clone()
    }

    /// Where it listens for its peers.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops the server: takes no more proposals, waits a little for those under way, hands over where it leads, and makes
    /// durable what is queued. When this returns, the folder can be opened again.
    pub async fn shutdown(&self) {
        self.shutdown.notify_one();
        self.stopped().await;
    }

    /// Waits until the server has stopped, and says why.
    pub async fn stopped(&self) -> StopReason {
        let mut stopped = self.stopped.clone();
        // The sender is only dropped after it has said so, unless the runtime itself goes down.
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(StopReason::Driver),
            Err(_) => StopReason::Driver,
        }
    }
}

async fn permit(from: &Arc<Semaphore>, deadline: Instant) -> Result<OwnedSemaphorePermit, ProposeError> {
    match timeout_at(deadline, Arc::clone(from).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) => Err(ProposeError::Stopped),
        Err(_) => Err(ProposeError::Busy),
    }
}
