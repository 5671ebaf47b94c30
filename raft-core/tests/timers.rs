//! Timers: the leader says by itself that log time has passed a multiple of an interval.

mod common;

use common::{Cluster, config};
use raft_core::{
    Config, Entry, HardState, LogIndex, LogTime, Message, Outcome, Packet, Payload, RequestId, Run, Runs,
    Term, Write, WriteNumber,
};

/// The log times of the timers in the log of server 1, and of the entry before each.
fn timers(cluster: &Cluster) -> Vec<(u64, u64)> {
    let recovered = cluster.machines[0].recovered();
    let entries: Vec<_> = recovered.tail.entries().map(|(_, entry)| entry.clone()).collect();
    let timer = |two: &[raft_core::Entry]| {
        matches!(two[1].payload, Payload::Timer).then_some((two[0].time.raw(), two[1].time.raw()))
    };
    entries.windows(2).filter_map(timer).collect()
}

fn cluster(every: u64) -> Cluster {
    let mut cluster = Cluster::with(3, Config { timer_ticks: every, ..config() });
    cluster.elect(1);
    cluster.deliver_all();
    cluster
}

/// R8: one each time a multiple is passed, idle or not; none where they are off. And no node sleeps over one.
#[test]
fn leader_appends_a_timer_at_every_multiple() {
    let mut idle = cluster(7);
    idle.run(100);
    let expected: Vec<(u64, u64)> = (0..14).map(|nth| (7 * nth, 7 * nth + 7)).collect();
    assert_eq!(timers(&idle), expected);

    let mut busy = cluster(7);
    for nth in 0..100 {
        busy.propose(1, &format!("{nth}"));
        busy.run(1);
    }
    let all = timers(&busy);
    assert_eq!(all.len(), 14);
    assert!(all.iter().enumerate().all(|(nth, (_, at))| *at == 7 * nth as u64 + 7), "{all:?}");
    assert_eq!(timers(&cluster(0)), []);

    let mut asleep = cluster(1000);
    let mut slept = 0;
    while timers(&asleep).is_empty() {
        // As an embedder does: never longer than the node says.
        let ready = asleep.machine(1).node.as_mut().expect("it runs").step(Message::Tick { elapsed: 0 });
        let ticks = ready.sleep.expect("a leader has something to do").max(1);
        slept += ticks;
        for id in 1..=3 {
            asleep.tick(id, ticks);
        }
        asleep.deliver_all();
    }
    assert_eq!((slept, timers(&asleep)), (1000, vec![(0, 1000)]));
}

/// Many multiples passed at once are one timer, and another leader goes on where log time stands.
#[test]
fn timers_go_on_under_another_leader() {
    let mut cluster = cluster(10);
    cluster.run(25);
    assert_eq!(timers(&cluster), [(0, 10), (10, 20)]);
    cluster.step(1, Message::StepDown);
    cluster.elect(2);
    cluster.run(12);
    let all = timers(&cluster);
    assert_eq!(all.len(), 3, "{all:?}");
    assert_eq!(all[2], (20, 30), "what was counted since the last entry of the old leader is forgotten");
}

/// One at a time: where nothing commits, they do not pile up, and what was passed meanwhile is one timer.
#[test]
fn timers_wait_for_one_another() {
    let mut cluster = cluster(2);
    cluster.run(2);
    let before = timers(&cluster).len();
    cluster.cut.extend([(1, 2), (1, 3)]);
    for _ in 0..8 {
        cluster.tick(1, 1);
    }
    assert_eq!(timers(&cluster).len(), before + 1);
    cluster.network.clear();
    cluster.cut.clear();
    cluster
        .step(1, Message::Propose { id: RequestId::new(9000), commands: common::command("between").into() });
    cluster.run(9);
    let all = timers(&cluster);
    assert!(before + 3 < all.len());
    let gaps: Vec<u64> = all.windows(2).map(|two| two[1].1 - two[0].1).collect();
    assert_eq!(gaps.iter().filter(|gap| 2 < **gap).count(), 1, "{all:?}");
}

/// A target that is slower than the interval would never come to the end of the log: no timers while leadership is handed over.
#[test]
fn timers_do_not_keep_a_leader_from_handing_over() {
    let mut cluster = cluster(1);
    let transfer = cluster.transfer(1, Some(3));
    // What goes to server 3 or comes from there takes a tick.
    let mut late = Vec::new();
    for _ in 0..20 {
        (1..=3).for_each(|id| cluster.tick(id, 1));
        for packet in std::mem::take(&mut late) {
            cluster.step(id_of(&packet), Message::Packet(packet));
        }
        while let Some(packet) = cluster.network.pop_front() {
            if packet.from == common::pair(3) || packet.to == common::pair(3) {
                late.push(packet);
            } else {
                cluster.step(id_of(&packet), Message::Packet(packet));
            }
        }
    }
    assert!(matches!(cluster.outcome(transfer), Some(Outcome::Transferred { .. })));
}

fn id_of(packet: &Packet) -> u64 {
    packet.to.id.raw()
}

/// Log time ends at its greatest value, and timers with it.
#[test]
fn timers_end_with_log_time() {
    let mut cluster = Cluster::with(1, Config { timer_ticks: 7, ..config() });
    let machine = cluster.machine(1);
    machine.crash();
    let hard_state = HardState { term: Term::new(1), vote: None };
    let last = Entry::new(LogTime::new(u64::MAX - 3), Payload::Noop);
    let entries = Runs::from(Run::new(hard_state.term, LogIndex::new(2), [last]).expect("in range"));
    let write = Write { number: WriteNumber::ZERO, hard_state, entries, ..machine.disk[0].clone() };
    machine.disk.push(write);
    machine.start();
    cluster.tick(1, 20);
    for _ in 0..50 {
        cluster.tick(1, 1);
    }
    let last = cluster.node(1).status().last.index;
    assert!(last <= LogIndex::new(4), "{last}: the no-op, and one timer at most");
}
