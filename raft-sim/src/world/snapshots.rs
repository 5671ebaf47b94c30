//! Snapshots in a world: state machines are saved, what they came to is moved to other machines, and disks give up what it stands for.
//!
//! ```text
//!   save ── saved ──▶ SnapshotTaken          the state as it was at `save`; a crash in between takes it
//!   Ready.snapshots ──▶ move ── move ──▶ packet in flight ── deliver ──▶ the receiver's node, if all bytes are durable there
//!                        │        │              │
//!                        └─ lose ─┴──────────────┴─ lose, or sent once the packet was delivered ──▶ SnapshotSent
//! ```

use std::sync::Arc;

use raft_core::{Body, Message, Packet, Position, Snapshot};

use super::{Applied, News, Outcome, World, changed};
use crate::action::{HostId, Link};
use crate::host::{Progress, Sending};
use crate::oracle::Violation;
use crate::rig::Rig;

const BYTES: &str = "a snapshot's bytes are durable on a server before its node hears of it, and until a newer one stands for it (the contract \
                     of the core)";

impl<R: Rig> World<R> {
    /// The snapshot is of what the state machine is now; what it does until the snapshot is finished is not in it.
    pub(super) fn save(&mut self, host: HostId) -> Outcome {
        let Some(machine) = self.host_of(host) else { return Ok(Applied::Impossible) };
        if machine.up.as_ref().is_none_or(|running| running.saving.is_some()) {
            return Ok(Applied::Impossible);
        }
        if machine.machine.last.index.raw() == 0 {
            return Ok(Applied::Impossible);
        }
        let state = Arc::new(self.frozen(host)?);
        let machine = &mut self.hosts[host.nth()];
        machine.snapshots.begin(&state);
        if let Some(running) = &mut machine.up {
            running.saving = Some(Arc::clone(&state));
        }
        self.news.push(News::Saving(host));
        if self.rig.saves_early() {
            self.taken(host, &state);
        }
        Ok(Applied::Done)
    }

    pub(super) fn saved(&mut self, host: HostId) -> Outcome {
        let Some(machine) = self.hosts.get_mut(host.nth()) else { return Ok(Applied::Impossible) };
        let Some(state) = machine.up.as_mut().and_then(|running| running.saving.take()) else {
            return Ok(Applied::Impossible);
        };
        // A newer one may have come meanwhile, for which the disk gave it up.
        if machine.snapshots.finish(state.last) && !self.rig.saves_early() {
            self.counts.saved += 1;
            self.taken(host, &state);
        }
        Ok(Applied::Done)
    }

    /// The driver says that the snapshot is durable.
    fn taken(&mut self, host: HostId, state: &crate::machine::Machine) {
        let (last, time, size, digest) = (state.last, state.time, state.size(), state.digest());
        self.oracles.snapshot_taken(last, size, digest);
        let message = Message::SnapshotTaken { last, time, size, digest };
        self.hosts[host.nth()].spare.inbox.push(message);
    }

    /// A node wants these snapshots sent.
    pub(super) fn begin_sending(&mut self, from: HostId, wanted: Vec<raft_core::SendSnapshot>) {
        for raft_core::SendSnapshot { number, packet } in wanted {
            let Body::InstallSnapshot { snapshot } = &packet.body else { continue };
            let last = snapshot.last;
            let to = HostId::new(packet.to.id.raw().min(255) as u8);
            let (Some(to), Some(running)) = (to, &mut self.hosts[from.nth()].up) else { continue };
            running.sending.push(Sending { number, to, packet, last, progress: Progress::Moving });
            self.counts.sendings += 1;
            self.news.push(News::Sending(Link { from, to }));
        }
    }

    /// The place of the oldest transfer on this way that is so.
    fn sending(&self, link: Link, is_so: impl Fn(&Sending) -> bool) -> Option<usize> {
        let running = self.host_of(link.from)?.up.as_ref()?;
        running.sending.iter().position(|sending| sending.to == link.to && is_so(sending))
    }

    /// Whether another part of a snapshot can get through on this way now.
    pub fn can_move(&self, link: Link) -> bool {
        let there = self.host_of(link.to).filter(|machine| machine.up.is_some());
        let is_so = |sending: &Sending| {
            sending.progress == Progress::Moving && there.is_some_and(|there| there.pair == sending.packet.to)
        };
        self.network.is_open(link) && self.sending(link, is_so).is_some()
    }

    /// Whether a packet that tells of a snapshot is on its way there.
    pub fn is_told(&self, link: Link) -> bool {
        let tells = |packet: &Packet| matches!(packet.body, Body::InstallSnapshot { .. });
        self.network.flying(link).any(|(_, packet)| tells(packet))
    }

    pub(super) fn move_snapshot(&mut self, link: Link) -> Outcome {
        if !self.can_move(link) {
            return Ok(Applied::Impossible);
        }
        let to = self.hosts[link.to.nth()].pair;
        let is_so = |sending: &Sending| sending.progress == Progress::Moving && sending.packet.to == to;
        let Some(nth) = self.sending(link, is_so) else { return Ok(Applied::Impossible) };
        let sender = &self.hosts[link.from.nth()];
        let Some(sending) = sender.up.as_ref().map(|running| &running.sending[nth]) else {
            return Ok(Applied::Impossible);
        };
        let (last, packet) = (sending.last, sending.packet.clone());
        let Some(state) = sender.snapshots.whole(last).cloned() else {
            return Err(lacking(link.from, last, "is to send"));
        };
        let hurries = self.rig.hands_over_early();
        let receiver = &mut self.hosts[link.to.nth()].snapshots;
        if !receiver.is_begun(last) && !hurries {
            receiver.begin(&state);
            return Ok(Applied::Done);
        }
        if !hurries {
            receiver.finish(last);
        }
        if let Some(running) = &mut self.hosts[link.from.nth()].up {
            running.sending[nth].progress = Progress::Moved;
        }
        if let Some(name) = self.network.send(link, packet) {
            self.news.push(News::Sent(name));
        }
        Ok(Applied::Done)
    }

    /// Whether a driver hands this packet to the node of `host`: one that tells of a snapshot only with all its bytes there. Takes note that
    /// it has arrived.
    pub(super) fn takes(&mut self, link: Link, packet: &Packet) -> bool {
        let Body::InstallSnapshot { snapshot } = &packet.body else { return true };
        let whole = self.hosts[link.to.nth()].snapshots.whole(snapshot.last);
        let fits = whole.is_some_and(|state| state.digest() == snapshot.digest);
        if !fits && !self.rig.hands_over_early() {
            return false;
        }
        let running = self.hosts[link.from.nth()].up.as_mut();
        let sending = running.into_iter().flat_map(|running| &mut running.sending);
        for sending in sending.filter(|sending| sending.packet == *packet) {
            sending.progress = Progress::Arrived;
        }
        true
    }

    pub(super) fn sent(&mut self, link: Link, arrived: bool) -> Outcome {
        let is_so = |sending: &Sending| !arrived || sending.progress == Progress::Arrived;
        let Some(nth) = self.sending(link, is_so) else { return Ok(Applied::Impossible) };
        let machine = &mut self.hosts[link.from.nth()];
        let Some(running) = &mut machine.up else { return Ok(Applied::Impossible) };
        let Sending { number, packet, .. } = running.sending.remove(nth);
        self.counts.sent += u64::from(arrived);
        self.oracles.snapshot_sent(link.from, number, packet.to);
        machine.spare.inbox.push(Message::SnapshotSent { number, arrived });
        Ok(Applied::Done)
    }

    /// The state machine becomes what it was when the snapshot was taken.
    pub(super) fn restore(&mut self, host: HostId, snapshot: &Snapshot) -> Result<(), Box<Violation>> {
        let machine = &mut self.hosts[host.nth()];
        let Some(state) = machine.snapshots.whole(snapshot.last) else {
            return Err(lacking(host, snapshot.last, "is to be restored from"));
        };
        // A snapshot is bytes: what is restored has to be what was encoded.
        let bytes = raft_core::encode_sessions(&state.sessions).into();
        if raft_core::decode_sessions(bytes).as_ref() != Ok(&state.sessions) {
            return Err(self.oracles.of_other_table(host, snapshot.last));
        }
        let state = Arc::clone(state);
        self.rig.restore(host, &mut machine.machine, &state);
        self.counts.restored += 1;
        // Whom it has to answer by what it skips now learns nothing.
        if let Some(running) = &mut machine.up {
            let skipped =
                running.expected.iter().take_while(|(index, _)| *index <= snapshot.last.index).count();
            for (_, request) in running.expected.drain(..skipped) {
                self.news.push(News::Told { request, reply: None });
                self.tenants.forget(request);
            }
        }
        self.oracles.restored(host, snapshot, &machine.machine.registers)?;
        self.thaw(host, &state.own)
    }

    pub(super) fn compact(&mut self, host: HostId) -> Outcome {
        let Some(machine) = self.hosts.get_mut(host.nth()).filter(|machine| machine.up.is_some()) else {
            return Ok(Applied::Impossible);
        };
        let folded = machine.disk.compact();
        if folded {
            self.oracles.compacted(host);
        }
        let named = machine.disk.snapshot();
        let mut snapshots = std::mem::take(&mut machine.snapshots);
        let dropped = named.map_or(0, |named| snapshots.drop_before(named, |last| machine.uses(last)));
        machine.snapshots = snapshots;
        let done = folded || dropped != 0;
        self.counts.compactions += u64::from(done);
        Ok(changed(done))
    }

    /// Whether the snapshot is there that stands for the beginning of a recovered log.
    pub(super) fn has_snapshot(&self, host: HostId, snapshot: &Snapshot) -> Result<(), Box<Violation>> {
        let whole = self.hosts[host.nth()].snapshots.whole(snapshot.last);
        if whole.is_some_and(|state| state.digest() == snapshot.digest) {
            return Ok(());
        }
        Err(lacking(host, snapshot.last, "starts from a log that begins with"))
    }
}

fn lacking(host: HostId, last: Position, does: &str) -> Box<Violation> {
    let what = format!("server {host} {does} the snapshot up to {last}, which it does not have");
    Box::new(Violation { oracle: "snapshots", rule: BYTES, what })
}
