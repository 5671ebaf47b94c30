//! The application's state machine and the thread that runs it, beside the loop: a slow one delays neither heartbeats nor
//! the log.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use raft_core::{LogIndex, LogTime, Message, Payload, Position, Runs};
use tokio::sync::oneshot;

use crate::handle::{Applied, Caller};
use crate::log::Report;
use crate::reads::Read;

/// What the log is for: it is shown every committed command, in the same order on every server.
///
/// It starts empty with every start of the server and is shown the log from the beginning. It has to be deterministic: what
/// a command does may depend on the commands before it and on the arguments, and on nothing else: no clock, no random
/// source, no order of a hash map.
pub trait StateMachine: Send + 'static {
    /// What the caller of [`Handle::propose`](crate::Handle::propose) gets back.
    type Output: Send + 'static;

    /// Applies one command. Called on a thread of its own, and may take its time.
    ///
    /// `position` is where in the log the command stands; positions grow, and have gaps where entries of other kinds stand.
    /// `time` is the entry's log time in ticks. `command` may be a slice of a much larger buffer: what is to be kept should
    /// be copied (`Bytes::copy_from_slice`), not cloned.
    ///
    /// A panic stops the server.
    fn apply(&mut self, position: Position, time: LogTime, command: &Bytes) -> Self::Output;
}

type Look<S> = Box<dyn FnOnce(&S, LogIndex) + Send>;

/// What the thread does.
pub(crate) enum Work<S: StateMachine> {
    /// Shows the state machine these entries, and reports.
    Apply(Runs),
    /// Somebody waits for the output of the command at this index, which is committed and not applied yet.
    Expect(LogIndex, Caller<Applied<S::Output>>),
    /// Somebody may look at the state: the node has seen to it that it is new enough.
    Read(Read<S>),
    /// Somebody wants to look at the state, as old as it may be.
    Look(Look<S>),
    /// Ends the thread, after everything before.
    Stop,
}

/// The thread that runs the state machine.
pub(crate) struct ApplyThread<S: StateMachine> {
    work: Sender<Work<S>>,
    thread: JoinHandle<()>,
}

impl<S: StateMachine> ApplyThread<S> {
    /// Starts it. `report` says whether anybody listens any more. What is returned beside it is closed when the thread
    /// ends, be it by a panic of the state machine.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn spawn(
        state_machine: S,
        report: impl Fn(Report) -> bool + Send + 'static,
    ) -> std::io::Result<(Self, oneshot::Receiver<StateBesideLog>)> {
        let (work, queue) = channel();
        let (alive, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("raft-apply".into()).spawn(move || {
            // Dropped also by a panic.
            let alive: oneshot::Sender<StateBesideLog> = alive;
            if let Err(stopped) = run(state_machine, &queue, &report) {
                // The loop may be gone.
                let _ = alive.send(stopped);
            }
        })?;
        Ok((ApplyThread { work, thread }, ended))
    }

    /// Gives it work. Dropped where the thread has ended, which the loop hears of.
    ///
    /// What can be queued is bounded elsewhere: the node has one batch outstanding, and who waits or looks holds a permit.
    pub(crate) fn work(&self, work: Work<S>) {
        let _ = self.work.send(work);
    }

    /// A way to give it work from elsewhere.
    pub(crate) fn sender(&self) -> Sender<Work<S>> {
        self.work.clone()
    }

    /// Waits until it has done what is queued and is gone.
    pub(crate) fn finish(self) {
        self.work(Work::Stop);
        // A panic in it has been reported by the panic itself; there is nothing left to wait for.
        let _ = self.thread.join();
    }
}

/// An entry says that the state machine is to become what stands beside the log, where nobody here keeps anything.
#[derive(Debug)]
pub(crate) struct StateBesideLog;

fn run<S: StateMachine>(
    mut state_machine: S,
    queue: &Receiver<Work<S>>,
    report: &impl Fn(Report) -> bool,
) -> Result<(), StateBesideLog> {
    let mut applied = LogIndex::ZERO;
    let mut expected = BTreeMap::new();
    while let Ok(work) = queue.recv() {
        match work {
            Work::Expect(index, caller) => {
                expected.insert(index, caller);
            }
            Work::Read(read) => read(Ok((&state_machine, applied))),
            Work::Look(look) => look(&state_machine, applied),
            Work::Stop => return Ok(()),
            Work::Apply(entries) => {
                for (position, entry) in entries.entries() {
                    match &entry.payload {
                        Payload::Command(command) => {
                            let output = state_machine.apply(position, entry.time, command);
                            if let Some(caller) = expected.remove(&position.index) {
                                caller.answer(Ok(Applied { position, output }));
                            }
                        }
                        Payload::Import(_) => return Err(StateBesideLog),
                        _ => {}
                    }
                    applied = position.index;
                }
                if !report(Message::Applied(applied).into()) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
