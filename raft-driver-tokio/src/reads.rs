//! What an application asks of a running server without writing to the log: to read its state machine linearizably, to wait for
//! what was proposed, and whether it leads (Raft thesis §6.4).
//!
//! ```text
//!   caller ──look──▶ loop ──Message::Read──▶ node        a round of heartbeats, here or by way of the leader
//!                     │ ◀──Outcome::Readable─┘            the state machine has applied that much
//!                     └──look──▶ apply thread ──▶ caller
//! ```
//!
//! The look travels with the question: the thread that owns the state machine runs it once the node allows it, between two batches
//! of commands. What makes it linearizable is the node's business alone.

use std::time::Duration;

use raft_core::{LogIndex, Refusal, Term};

use crate::handle::{Call, Caller, Handle, ProposeError, refusal};
use crate::state_machine::StateMachine;

/// Why there is no answer to a read, a barrier or a question who leads. None of them ever has an effect, so each may be asked again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The node has refused it: it knows no leader, or lost sight of the one it asked; it does not lead, where that is needed; too
    /// many reads wait; or it has halted.
    #[error("refused: {}", refusal(.0))]
    Refused(Refusal),
    /// Its time was up before the node took it.
    #[error("too much is under way")]
    Busy,
    /// Its time was up: no quorum was heard, or the state machine was not that far.
    #[error("no answer in time")]
    Deadline,
    /// The server has stopped before it took it.
    #[error("the server has stopped")]
    Stopped,
    /// The server has stopped meanwhile.
    #[error("the server has stopped meanwhile")]
    Lost,
}

impl ReadError {
    fn of(error: ProposeError) -> ReadError {
        match error {
            ProposeError::Refused(refusal) => ReadError::Refused(refusal),
            ProposeError::Busy => ReadError::Busy,
            ProposeError::Deadline => ReadError::Deadline,
            ProposeError::Stopped => ReadError::Stopped,
            ProposeError::Lost | ProposeError::Interrupted => ReadError::Lost,
        }
    }
}

/// A server leads: a quorum has said so after the question was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leadership {
    /// Its term.
    pub term: Term,
    /// Up to where the log is committed.
    pub commit: LogIndex,
}

/// A read on its way: it is given the state machine and the index up to which that has applied the log, or why it is not.
pub(crate) type Read<S> = Box<dyn FnOnce(Result<(&S, LogIndex), ProposeError>) + Send>;

fn read_for<S: StateMachine, R: Send + 'static>(
    look: impl FnOnce(&S, LogIndex) -> R + Send + 'static,
    caller: Caller<R>,
) -> Read<S> {
    Box::new(move |state: Result<(&S, LogIndex), ProposeError>| match state {
        // Nobody waits any more: a look may be work.
        Ok(_) if caller.has_given_up() => {}
        Ok((state_machine, applied)) => caller.answer(Ok(look(state_machine, applied))),
        Err(error) => caller.answer(Err(error)),
    })
}

impl<S: StateMachine> Handle<S> {
    /// Reads this server's state machine linearizably, without an entry in the log, and waits for that at most for `within`: `look`
    /// sees everything that was acknowledged to anybody before this was called. Any server that knows a leader can be asked, also
    /// a follower or a learner.
    ///
    /// `look` runs on the state machine's thread, between two batches of commands; a panic in it stops the server. It is given the
    /// state machine, and the index up to which that has applied the log.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read<R: Send + 'static>(
        &self,
        within: Duration,
        look: impl FnOnce(&S, LogIndex) -> R + Send + 'static,
    ) -> Result<R, ReadError> {
        let call = |caller| Call::Read(read_for(look, caller));
        self.call(&self.reads, within, call).await.map_err(ReadError::of)
    }

    /// Waits, at most for `within`, until this server's state machine has applied everything that was proposed to it, the leader,
    /// before. The index up to which it has then applied the log.
    ///
    /// # Errors
    /// See [`ReadError`]. A server that does not lead refuses.
    pub async fn barrier(&self, within: Duration) -> Result<LogIndex, ReadError> {
        self.call(&self.reads, within, Call::Barrier).await.map_err(ReadError::of)
    }

    /// Makes sure, at most for `within`, that this server leads: that a quorum follows it after this was called.
    ///
    /// # Errors
    /// See [`ReadError`]. A server that does not lead refuses.
    pub async fn verify_leader(&self, within: Duration) -> Result<Leadership, ReadError> {
        self.call(&self.reads, within, Call::VerifyLeader).await.map_err(ReadError::of)
    }
}
