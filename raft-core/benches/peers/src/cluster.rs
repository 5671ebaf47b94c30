//! The work that all are measured on, and how it is driven: the same for every system, which only translates.
//!
//! ```text
//!   while not all applied everything:
//!       while fewer than `in_flight` batches are under way:  propose one at node 1
//!       one round: nodes 2, 3, 1 take, one after the other, all that has arrived for them
//! ```
//!
//! Knows nothing of any system, of clocks and of reports.

use clap::ValueEnum;
use serde::Serialize;

/// Bytes in every command.
pub const COMMAND_BYTES: usize = 128;

/// How the commands of a batch are handed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Calls {
    /// One proposal for all of them.
    Batch,
    /// One proposal for each.
    Entry,
}

/// What becomes of a packet between two nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Packets {
    /// It is handed over as a value.
    Moved,
    /// It is encoded to bytes, and decoded from them.
    Encoded,
}

/// One kind of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Work {
    /// Commands in a batch.
    pub batch: u64,
    /// How they are handed over.
    pub calls: Calls,
    /// How many batches are under way at once.
    pub in_flight: u64,
    /// What becomes of packets.
    pub packets: Packets,
}

/// What a cluster is made with.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The work that it will be given.
    pub work: Work,
    /// Each storage keeps at least so many of the last entries, and lets go of as many once it has twice as many. 0: it keeps
    /// all.
    pub keep: u64,
}

/// Three nodes of one system, in one thread.
pub trait Cluster {
    /// Three nodes with a leader, the first, and nothing under way.
    fn start(options: Options) -> Self;

    /// Hands a batch of commands, numbered from `first` on, to the leader, and does what its output says.
    fn propose(&mut self, first: u64, count: u64);

    /// Nodes 2, 3 and 1 take their turns, each with all that has arrived for it.
    fn round(&mut self);

    /// The state machines of the three.
    fn state_machines(&self) -> [&StateMachine; 3];

    /// What went between them so far.
    fn traffic(&self) -> Traffic;
}

/// What went from node to node.
#[derive(Clone, Copy, Default, Debug)]
pub struct Traffic {
    /// How many packets.
    pub packets: u64,
    /// Their bytes, where they are encoded.
    pub bytes: u64,
}

/// What a node applies commands to.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct StateMachine {
    /// How many commands it has seen.
    pub applied: u64,
    /// Of the commands and their order, so that none can be left out, doubled or mixed up.
    pub checksum: u64,
}

impl StateMachine {
    /// Applies one command.
    pub fn apply(&mut self, command: &[u8]) {
        self.applied += 1;
        self.checksum = self.checksum.rotate_left(5).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number_of(command);
    }
}

/// A command: its number, and filling.
pub fn command(number: u64) -> [u8; COMMAND_BYTES] {
    let mut command = [7; COMMAND_BYTES];
    command[..8].copy_from_slice(&number.to_le_bytes());
    command
}

fn number_of(command: &[u8]) -> u64 {
    assert_eq!(command.len(), COMMAND_BYTES, "a command is applied as it was proposed");
    u64::from_le_bytes(std::array::from_fn(|nth| command[nth]))
}

/// Gives a cluster `entries` commands in batches, numbered from `first` on, and returns when all three have applied them.
///
/// # Panics
/// Where the cluster stands still before that.
pub fn drive<C: Cluster>(cluster: &mut C, work: Work, first: u64, entries: u64) {
    let (mut proposed, mut idle) = (0, 0);
    let mut before = first;
    while before < first + entries {
        while proposed < entries && first + proposed - before < work.batch * work.in_flight {
            cluster.propose(first + proposed, work.batch);
            proposed += work.batch;
        }
        cluster.round();
        let applied = cluster.state_machines().map(|machine| machine.applied);
        let fewest = applied[0].min(applied[1]).min(applied[2]);
        idle = if fewest == before { idle + 1 } else { 0 };
        assert!(idle < 1000, "{work:?} stands still at {applied:?} of {entries}");
        before = fewest;
    }
}

/// That all three have applied `entries` commands, the same in the same order.
///
/// # Panics
/// Where not.
pub fn check(cluster: &impl Cluster, entries: u64) {
    for machine in cluster.state_machines() {
        assert_eq!(machine.applied, entries, "all have applied all of it");
        assert_eq!(machine, cluster.state_machines()[0], "and the same");
    }
}

/// That these were the commands from 0 on, each once and in order.
///
/// # Panics
/// Where not.
pub fn check_commands(cluster: &impl Cluster, entries: u64) {
    let mut expected = StateMachine::default();
    (0..entries).for_each(|number| expected.apply(&command(number)));
    assert_eq!(*cluster.state_machines()[0], expected, "what is applied is what was proposed");
}
