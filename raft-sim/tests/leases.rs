//! Leases trust clocks, and nothing else here does: within the stated bound on their drift no read is stale, beyond it one can be, and is
//! seen.

use raft_core::{Config, Leases, SessionLimits};
use raft_sim::{Action, Applied, Honest, HostId, HostSet, Setup, Violation, World};

/// E in ticks; clocks may not drift at all, so that a lease lasts one tick less.
const TIMEOUT: u32 = 10;

fn host(number: u8) -> HostId {
    HostId::new(number).unwrap()
}

fn setup() -> Setup {
    let config =
        Config { election_timeout_ticks: TIMEOUT, heartbeat_ticks: 1, pre_vote: false, ..Config::default() };
    Setup {
        hosts: 3,
        spares: 0,
        config,
        durable_machines: false,
        sessions: SessionLimits::default(),
        leases: Leases::new(TIMEOUT, 0, 1).ok(),
    }
}

/// Three machines without faults.
struct Cluster(World<Honest>);

impl Cluster {
    fn act(&mut self, action: Action) -> Result<Applied, Box<Violation>> {
        self.0.apply(action)
    }

    /// So many ticks pass on these machines, and none on the others; everywhere disks and state machines do their work, and what gets
    /// through arrives.
    fn pass(&mut self, ticks: u32, clocks: &[u8]) -> Result<(), Box<Violation>> {
        for _ in 0..ticks {
            for number in clocks {
                self.act(Action::Tick { host: host(*number), elapsed: 1 })?;
            }
            for _ in 0..6 {
                for host in (1..=3).map(host) {
                    self.act(Action::Step { host, effects: None })?;
                    self.act(Action::Sync { host, batches: u32::MAX })?;
                    self.act(Action::Applied { host })?;
                }
                for packet in self.0.network().names().collect::<Vec<_>>() {
                    self.act(Action::Deliver { packet })?;
                }
            }
        }
        Ok(())
    }

    fn leaders(&self) -> Vec<HostId> {
        let leads = |host: &HostId| self.0.host(*host).seen().is_some_and(|seen| seen.leads);
        (1..=3).map(host).filter(leads).collect()
    }

    /// A client reads there, and the node takes that in.
    fn read(&mut self, host: HostId) -> Result<(), Box<Violation>> {
        let request = self.0.requests() + 1;
        self.act(Action::Read { host, request, client: 1, key: 1 })?;
        self.act(Action::Step { host, effects: None }).map(|_| ())
    }

    fn write(&mut self, host: HostId) -> Result<(), Box<Violation>> {
        let request = self.0.requests() + 1;
        self.act(Action::Propose { host, request, commands: 1, bytes: 8 }).map(|_| ())
    }
}

/// A leader is cut off, the others elect another one, which commits something, and then the first is read, whose clock has gone all that
/// time or has not. How many reads it answered by its lease, and what was broken.
fn read_of_the_deposed(its_clock_goes: bool) -> (u64, Option<Box<Violation>>) {
    let mut cluster = Cluster(World::new(setup(), Honest).unwrap());
    cluster.pass(4 * TIMEOUT, &[1, 2, 3]).unwrap();
    let leader = cluster.leaders()[0];
    cluster.write(leader).unwrap();
    cluster.pass(2, &[1, 2, 3]).unwrap();
    cluster.read(leader).unwrap();
    assert_eq!(cluster.0.counts().lease_reads, 1, "in the step that took it in");
    cluster.act(Action::Partition { side: HostSet::EMPTY.with(leader) }).unwrap();
    let others: Vec<u8> = (1..=3).filter(|number| host(*number) != leader).collect();
    let clocks = if its_clock_goes { vec![1, 2, 3] } else { others };
    cluster.pass(4 * TIMEOUT, &clocks).unwrap();
    let next = cluster.leaders().into_iter().find(|other| *other != leader).expect("the others elect one");
    cluster.write(next).unwrap();
    cluster.pass(2, &clocks).unwrap();
    let violation = cluster.read(leader).err();
    (cluster.0.counts().lease_reads, violation)
}

/// Goal: a stale read by lease is seen, so that runs which show none say something. Method: the clock of a deposed leader stands still,
/// which is far more drift than the founding configuration allows for; and the same run with a clock that goes.
#[test]
fn drift_beyond_the_bound_shows_a_stale_read() {
    let (reads, violation) = read_of_the_deposed(false);
    assert_eq!(violation.map(|violation| violation.oracle), Some("reads"));
    assert_eq!(reads, 2);
    let (reads, violation) = read_of_the_deposed(true);
    assert_eq!((reads, violation), (1, None));
}
