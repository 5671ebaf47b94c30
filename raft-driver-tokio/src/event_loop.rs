//! The loop that owns the node: takes what has happened, tells the node the time and then all of it in one step, and carries
//! out what the node wants. It waits for nothing but the next thing to happen: disk, network and state machine work beside
//! it and report.
//!
//! ```text
//!   peers ──packets──▶┐                          ┌──▶ sending tasks ──▶ peers
//!   callers ──calls──▶├─▶ step_all ─▶ Ready ─────┼──▶ log thread ───┐
//!   reports ─────────▶┘                          ├──▶ fetch thread ─┼─▶ reports
//!      ▲                                         └──▶ apply thread ─┘
//!      └──────────────────────────────────────────────────────────────┘
//! ```
//!
//! Packets and calls come through bounded queues. Reports do not: the node has only so many writes and fetches and one
//! batch to apply outstanding, and a thread that had to wait for the loop while the loop waits for it would be a deadlock.
//!
//! No decision of the protocol is made here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use raft_core::{
    Answer, Event, Fault, FollowerStatus, LogIndex, Message, Node, Outcome, Packet, Ready, RequestId,
    RoleKind, Versions,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::clock::{Clock, Ticks};
use crate::handle::{Applied, Call, Caller, ProposeError, Reconfigured};
use crate::heard::Heard;
use crate::log::{FetchThread, LogError, LogThread, Report};
use crate::reads::{Leadership, Read};
use crate::recorder::Recorder;
use crate::state_machine::{ApplyThread, StateBesideLog, StateMachine, Work};
use crate::status::{Follower, NodeStatus, StopReason};
use crate::transport::{Inbound, Network};

/// The most that is taken of each queue before the node is stepped.
const BATCH_MAX: usize = 1024;

/// What comes in.
pub(crate) struct Inputs<S: StateMachine> {
    pub(crate) reports: mpsc::UnboundedReceiver<Report>,
    pub(crate) packets: mpsc::Receiver<Inbound>,
    pub(crate) calls: mpsc::Receiver<Call<S>>,
    pub(crate) shutdown: Arc<Notify>,
    /// Closed when the state machine's thread has ended, or told that it can not go on.
    pub(crate) state_machine_ended: oneshot::Receiver<StateBesideLog>,
}

pub(crate) struct EventLoop<S: StateMachine> {
    pub(crate) node: Node,
    pub(crate) inputs: Inputs<S>,
    pub(crate) log: LogThread,
    pub(crate) fetch: FetchThread,
    pub(crate) apply: ApplyThread<S>,
    pub(crate) network: Network,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) status: watch::Sender<NodeStatus>,
    pub(crate) clock: Clock,
    pub(crate) ticks: Ticks,
    pub(crate) heard: Heard,
    pub(crate) drain: Duration,
    /// Who waits for the node's answer, by request.
    pub(crate) waiting: BTreeMap<RequestId, Waiting<S>>,
    pub(crate) next_request: u64,
    /// The request to hand the leadership over that has no answer yet.
    pub(crate) handing_over: Option<RequestId>,
    /// Why the disk failed, if it has.
    pub(crate) cause: Option<Arc<LogError>>,
    /// The index of the configuration that this server was told it is not in.
    pub(crate) told_removed: Option<LogIndex>,
}

/// Who waits for the node's answer.
pub(crate) enum Waiting<S: StateMachine> {
    Command(Caller<Applied<S::Output>>),
    Change(Caller<Reconfigured>),
    Read(Read<S>),
    Barrier(Caller<LogIndex>),
    Verification(Caller<Leadership>),
}

impl<S: StateMachine> Waiting<S> {
    fn fail(self, error: ProposeError) {
        match self {
            Waiting::Command(caller) => caller.answer(Err(error)),
            Waiting::Change(caller) => caller.answer(Err(error)),
            Waiting::Read(read) => read(Err(error)),
            Waiting::Barrier(caller) => caller.answer(Err(error)),
            Waiting::Verification(caller) => caller.answer(Err(error)),
        }
    }
}

/// How far a shutdown has come. Each part ends at the latest at its time.
#[derive(Clone, Copy)]
enum Ending {
    /// What is under way gets its answer.
    Draining(Instant),
    /// Whoever leads hands over, so that the others need not wait for an election timeout to notice.
    HandingOver(Instant),
}

/// Whether the node wants a state restored, sent or got. Nobody here takes snapshots or imports anything, so it does not, unless
/// the log was written, or is led, by who does. To pass over that would be to apply the rest of a log to a state that lacks its
/// beginning, or never to go on.
fn wants_state(ready: &Ready) -> bool {
    ready.restore.is_some() || !ready.obtain.is_empty() || !ready.snapshots.is_empty()
}

/// What woke the loop.
enum Woken<S: StateMachine> {
    Report(Report),
    Packet(Packet),
    Call(Call<S>),
    Time,
    /// Nobody can call any more, or somebody asked for it.
    Shutdown,
    StateMachineEnded(StopReason),
}

impl<S: StateMachine> EventLoop<S> {
    /// Runs the server until it stops, and returns when its threads have ended.
    pub(crate) async fn run(mut self) -> StopReason {
        let reason = self.run_node().await;
        tracing::info!(pair = %self.node.identity().pair, %reason, "stopped");
        self.finish().await;
        reason
    }

    async fn run_node(&mut self) -> StopReason {
        let mut ready = Ready::default();
        // The time comes first: its place is kept until everything that came with it has been taken.
        let mut messages = vec![Message::Tick { elapsed: 0 }];
        let mut ending: Option<Ending> = None;
        loop {
            let now = self.clock.now();
            messages[0] = Message::Tick { elapsed: self.ticks.elapsed(now) };
            self.heard.note(&messages, now);
            self.step(&mut messages, &mut ready);
            if wants_state(&ready) {
                return StopReason::StateBesideLog;
            }
            let fault = self.carry_out(&mut ready);
            self.publish();
            if let Some(fault) = fault {
                return StopReason::Fault { fault, cause: self.cause.take() };
            }
            messages.push(Message::Tick { elapsed: 0 });
            let until = match ending {
                Some(Ending::Draining(until)) if self.waiting.is_empty() || until <= Instant::now() => {
                    let Some(handing_over) = self.hand_over() else { return StopReason::Shutdown };
                    messages.push(handing_over);
                    ending = Some(Ending::HandingOver(Instant::now() + self.drain));
                    continue;
                }
                Some(Ending::HandingOver(until))
                    if self.handing_over.is_none() || until <= Instant::now() =>
                {
                    return StopReason::Shutdown;
                }
                Some(Ending::Draining(until) | Ending::HandingOver(until)) => Some(until),
                None => None,
            };
            let due = ready.sleep.map(|ticks| Instant::now() + self.ticks.until(ticks, now));
            let due = [due, until].into_iter().flatten().min();
            match self.wait(due, ending.is_some()).await {
                Woken::Report(report) => self.take_report(report, &mut messages),
                Woken::Packet(packet) => messages.push(Message::Packet(packet)),
                Woken::Call(call) => self.take_call(call, &mut messages),
                Woken::Time => {}
                Woken::Shutdown => {
                    self.inputs.calls.close();
                    ending = Some(Ending::Draining(Instant::now() + self.drain));
                }
                Woken::StateMachineEnded(reason) => return reason,
            }
            self.take_what_is_there(&mut messages);
        }
    }

    /// Hands everything over to the node, and writes it down where that is wanted.
    fn step(&mut self, messages: &mut Vec<Message>, ready: &mut Ready) {
        let recorder = self.recorder.as_mut().filter(|recorder| recorder.goes_on());
        let handed = recorder.is_some().then(|| messages.clone());
        self.node.step_all(messages.drain(..), ready);
        if let (Some(recorder), Some(handed)) = (recorder, handed) {
            recorder.record(handed, ready);
        }
    }

    /// Asks the node to hand its leadership over, if it leads.
    fn hand_over(&mut self) -> Option<Message> {
        if self.node.status().role != RoleKind::Leader {
            return None;
        }
        let id = RequestId::new(self.next_request);
        self.next_request += 1;
        self.handing_over = Some(id);
        Some(Message::Transfer { id, to: None })
    }

    async fn wait(&mut self, due: Option<Instant>, draining: bool) -> Woken<S> {
        let time = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let inputs = &mut self.inputs;
        tokio::select! {
            // Reports are few and release what others wait for. No branch starves those below it: what is there in all
            // queues is taken before the next step.
            biased;
            Some(report) = inputs.reports.recv() => Woken::Report(report),
            () = inputs.shutdown.notified(), if !draining => Woken::Shutdown,
            ended = &mut inputs.state_machine_ended => Woken::StateMachineEnded(match ended {
                Ok(StateBesideLog) => StopReason::StateBesideLog,
                Err(_) => StopReason::StateMachine,
            }),
            Some(inbound) = inputs.packets.recv() => Woken::Packet(inbound.packet),
            call = inputs.calls.recv(), if !draining => call.map_or(Woken::Shutdown, Woken::Call),
            () = time => Woken::Time,
        }
    }

    fn take_what_is_there(&mut self, messages: &mut Vec<Message>) {
        while let Ok(report) = self.inputs.reports.try_recv() {
            self.take_report(report, messages);
        }
        for _ in 0..BATCH_MAX {
            let Ok(inbound) = self.inputs.packets.try_recv() else {
                break;
            };
            messages.push(Message::Packet(inbound.packet));
        }
        // Also while draining: what was let in before gets its answer.
        for _ in 0..BATCH_MAX {
            let Ok(call) = self.inputs.calls.try_recv() else {
                break;
            };
            self.take_call(call, messages);
        }
    }

    fn take_report(&mut self, report: Report, messages: &mut Vec<Message>) {
        self.cause = self.cause.take().or(report.cause);
        messages.push(report.message);
    }

    fn take_call(&mut self, call: Call<S>, messages: &mut Vec<Message>) {
        let id = RequestId::new(self.next_request);
        self.next_request += 1;
        let (caller, message) = match call {
            Call::Propose { command, caller } => {
                (Waiting::Command(caller), Message::Propose { id, commands: command.into() })
            }
            Call::Reconfigure { change, based_on, caller } => {
                (Waiting::Change(caller), Message::Reconfigure { id, change, based_on })
            }
            Call::Read(read) => (Waiting::Read(read), Message::Read { id }),
            Call::Barrier(caller) => (Waiting::Barrier(caller), Message::Barrier { id }),
            Call::VerifyLeader(caller) => (Waiting::Verification(caller), Message::VerifyLeader { id }),
            Call::Followers(caller) => return caller.answer(Ok(self.followers())),
        };
        self.waiting.insert(id, caller);
        messages.push(message);
    }

    fn followers(&self) -> Vec<Follower> {
        let now = self.clock.now();
        let follower = |node: FollowerStatus| Follower { node, heard: self.heard.ago(node.server, now) };
        self.node.followers().map(follower).collect()
    }

    /// Does what the node wants, and says whether it has halted. The packets go first: most of them are what somebody waits
    /// for.
    fn carry_out(&mut self, ready: &mut Ready) -> Option<Fault> {
        // Before the packets: some may be for servers that have just been added.
        for event in &ready.events {
            if let Event::Membership { membership, .. } = event {
                self.network.set_membership(Arc::clone(membership));
                self.heard.set_membership(membership);
            }
        }
        for packet in ready.send.drain(..) {
            self.network.send(packet);
        }
        if let Some(write) = ready.write.take() {
            self.log.write(write);
        }
        for fetch in ready.fetch.drain(..) {
            self.fetch.fetch(fetch);
        }
        // A proposal is answered no later than it is handed out to be applied, so who waits for its output is known to the
        // state machine's thread in time.
        for answer in ready.answers.drain(..) {
            self.pass_on(&answer);
        }
        if let Some(entries) = ready.apply.take() {
            self.apply.work(Work::Apply(entries));
        }
        let mut fault = None;
        for event in ready.events.drain(..) {
            self.tell(&event);
            match event {
                Event::Removed { index } => self.told_removed = Some(index),
                // A leader counts this server among its own again.
                Event::Membership { membership, .. }
                    if membership.server(self.node.identity().pair).is_some() =>
                {
                    self.told_removed = None;
                }
                Event::Fault(why) => fault = Some(why),
                _ => {}
            }
        }
        fault
    }

    fn pass_on(&mut self, answer: &Answer) {
        // Whatever became of it: nobody waits any more.
        self.handing_over = self.handing_over.filter(|id| *id != answer.id);
        let Some(caller) = self.waiting.remove(&answer.id) else {
            return;
        };
        match (&answer.outcome, caller) {
            (Outcome::Committed { last, .. }, Waiting::Command(caller)) => {
                self.apply.work(Work::Expect(last.index, caller));
            }
            (Outcome::Committed { last, .. }, Waiting::Change(caller)) => {
                caller.answer(Ok(Reconfigured::Changed { position: *last }));
            }
            (Outcome::Unchanged { index }, Waiting::Change(caller)) => {
                caller.answer(Ok(Reconfigured::Unchanged { index: *index }));
            }
            // What the node counts as applied, the state machine's thread has applied and reported before.
            (Outcome::Readable { .. }, Waiting::Read(read)) => self.apply.work(Work::Read(read)),
            (Outcome::Readable { index }, Waiting::Barrier(caller)) => caller.answer(Ok(*index)),
            (Outcome::Leads { term, commit }, Waiting::Verification(caller)) => {
                caller.answer(Ok(Leadership { term: *term, commit: *commit }));
            }
            (Outcome::Refused(refusal), caller) => caller.fail(ProposeError::Refused(*refusal)),
            // Also what a newer node might answer: the least that can be said.
            (_, caller) => caller.fail(ProposeError::Lost),
        }
    }

    fn tell(&self, event: &Event) {
        let me = self.node.identity().pair;
        match event {
            Event::Role { role, term } => tracing::info!(%me, ?role, %term, "role"),
            Event::Leader { leader: Some(leader), term } => tracing::info!(%me, %leader, %term, "leader"),
            Event::Leader { leader: None, term } => tracing::info!(%me, %term, "no leader"),
            Event::Membership { index, .. } => tracing::info!(%me, %index, "another configuration"),
            Event::WrongIncarnation { from, to } => {
                tracing::warn!(%me, %from, %to, "a packet for another server");
            }
            Event::WrongCluster { from, cluster } => {
                tracing::warn!(%me, %from, %cluster, "a packet of another cluster");
            }
            Event::WrongVersion { from, versions } => {
                tracing::warn!(%me, %from, theirs = %versions, ours = %Versions::OURS, "no version of the protocol in common");
            }
            Event::PromiseBroken { server, acknowledged, held } => tracing::error!(
                %me, %server, %acknowledged, %held,
                "a server does not have what it acknowledged: its disk lost it, or an old copy was put back"
            ),
            Event::StagingGivenUp { server } => {
                tracing::warn!(%me, %server, "a new server has not caught up, and stays a learner");
            }
            Event::DeadRemoved { server } => {
                tracing::warn!(%me, %server, "a member that is silent for long is being removed");
            }
            Event::SnapshotWanted => tracing::info!(%me, "a snapshot would be welcome"),
            Event::SnapshotInstalled { last } => {
                tracing::info!(%me, %last, "a snapshot stands for the log up to here");
            }
            Event::Repaired => tracing::info!(%me, "the log has again what the disk had lost"),
            // The status says it too, and what can be done; see `publish`.
            Event::Removed { index } => tracing::info!(%me, %index, "removed"),
            Event::Fault(fault) => tracing::error!(%me, %fault, "halted"),
            other => tracing::info!(%me, ?other, "event"),
        }
    }

    fn publish(&self) {
        let core = self.node.status();
        let (index, membership) = (self.node.membership_index(), self.node.membership());
        let own = self.node.identity().pair;
        // Told so, or seen in the own log.
        let seen = index <= core.commit && membership.is_some_and(|all| all.server(own).is_none());
        let removed = if seen { Some(index) } else { self.told_removed };
        let mut news = false;
        self.status.send_if_modified(|status| {
            news = status.removed.is_none() && removed.is_some();
            let changed = status.core != core
                || status.membership_index != index
                || status.removed != removed
                || status.membership.as_ref() != membership;
            if changed {
                status.core = core;
                status.membership = membership.cloned();
                status.membership_index = index;
                status.removed = removed;
            }
            changed
        });
        if news {
            tracing::warn!(
                me = %own, index = removed.unwrap_or_default().raw(),
                "this server was removed from the cluster. It goes on answering the others, for some may not have heard of \
                 it, and campaigns no more. It may be stopped for good, or added again"
            );
        }
    }

    /// Ends everything: who was not let in hears that nothing has happened, who waits hears that it is not known, and what
    /// is queued becomes durable.
    async fn finish(mut self) {
        self.inputs.calls.close();
        while let Ok(call) = self.inputs.calls.try_recv() {
            call.refuse(ProposeError::Stopped);
        }
        for (_, caller) in std::mem::take(&mut self.waiting) {
            caller.fail(ProposeError::Interrupted);
        }
        drop(self.network);
        let (log, fetch, apply, recorder) = (self.log, self.fetch, self.apply, self.recorder);
        let finished = tokio::task::spawn_blocking(move || {
            log.finish();
            fetch.finish();
            apply.finish();
            if let Some(recorder) = recorder {
                recorder.finish();
            }
        });
        // It can fail only where the runtime itself is going down.
        let _ = finished.await;
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{
        Body, Boot, ClusterId, Import, Incarnation, NodeId, Obtain, Packet, Pair, SendNumber, SendSnapshot,
        Term,
    };

    use super::*;

    #[test]
    fn nothing_about_states_beside_the_log_is_passed_over() {
        assert!(!wants_state(&Ready::default()));
        let pair = |id| Pair { id: NodeId::new(id).expect("not zero"), incarnation: Incarnation::new(5) };
        let packet = Packet {
            cluster: ClusterId::new(77),
            from: pair(1),
            boot: Boot::new(3),
            to: pair(2),
            term: Term::new(9),
            body: Body::TimeoutNow,
            versions: raft_core::Versions::OURS,
        };
        let snapshots = vec![SendSnapshot { number: SendNumber::new(1), packet }];
        assert!(wants_state(&Ready { snapshots, ..Ready::default() }));
        let obtain = vec![Obtain { from: pair(1), import: Import { size: 3, digest: 4.into() } }];
        assert!(wants_state(&Ready { obtain, ..Ready::default() }));
    }
}
