//! The logs of a run as what changes in them, and what their entries say.
//!
//! A log is where each of its terms begins, and its end. Two positions of one index and term hold the same (Raft thesis §3.5, log
//! matching), so entries are written down once; where that does not hold, which is what some runs are about, the other content is written
//! down with the server that has it. What stands in an entry the disk is asked for, as nodes do not keep it.

use std::collections::BTreeMap;

use raft_core::LogIndex;

use super::facts::Facts;
use super::words;
use crate::action::HostId;
use crate::oracle::{LogView, TermLog};
use crate::rig::Rig;
use crate::world::World;

/// How much is read at once from a disk. One that has more to say is asked again.
const READ_BYTES: u64 = 1 << 16;

/// The logs as they were looked at last.
#[derive(Clone, Debug, Default)]
pub(super) struct Logs {
    seen: Vec<TermLog>,
    /// Up to where the contents of each are known.
    read: Vec<u64>,
    contents: BTreeMap<(u64, u64), String>,
}

impl Logs {
    pub(super) fn new(hosts: usize) -> Self {
        Logs { seen: vec![TermLog::default(); hosts], read: vec![0; hosts], contents: BTreeMap::new() }
    }

    /// Writes down what has changed in the log of a machine.
    pub(super) fn look<R: Rig>(&mut self, host: HostId, world: &World<R>, facts: &mut Facts) {
        let now = world.terms(host);
        let before = &mut self.seen[host.nth()];
        if before != now {
            let kept = common(before, now);
            let mut row = vec![facts.now(), u64::from(host.raw()), kept];
            row.extend(behind(now, kept));
            facts.logs.push(row);
            before.clone_from(now);
            self.read[host.nth()] = self.read[host.nth()].min(kept);
        }
        if self.read[host.nth()] < now.last().raw() {
            self.read_on(host, world, facts);
        }
    }

    /// Reads from the disk what was not known yet. What the node has not handed to it, or what is to be cut off there, waits.
    fn read_on<R: Rig>(&mut self, host: HostId, world: &World<R>, facts: &mut Facts) {
        let (disk, log) = (world.host(host).disk(), world.terms(host));
        let read = &mut self.read[host.nth()];
        *read = (*read).max(disk.start().raw()).min(log.last().raw());
        loop {
            let before = *read;
            let found = disk.read(LogIndex::new(before + 1), log.last(), READ_BYTES);
            for (position, entry) in found.entries() {
                if log.term_at(position.index) != Some(position.term) {
                    return;
                }
                *read = position.index.raw();
                let (index, term) = (position.index.raw(), position.term.raw());
                let text = words::entry(entry, |request| world.says(request));
                match self.contents.get(&(index, term)) {
                    None => {
                        facts.entries.push((index, term, text.clone(), None));
                        self.contents.insert((index, term), text);
                    }
                    Some(known) if *known != text => {
                        facts.entries.push((index, term, text, Some(u64::from(host.raw()))));
                    }
                    Some(_) => {}
                }
            }
            if *read == before {
                return;
            }
        }
    }
}

/// Up to where two logs have the same terms.
fn common(one: &TermLog, other: &TermLog) -> u64 {
    let equal = one.starts().iter().zip(other.starts()).take_while(|(one, other)| one == other).count();
    let next = |log: &TermLog| log.starts().get(equal).map_or(log.last().raw(), |(first, _)| first.raw() - 1);
    next(one).min(next(other))
}

/// What stands behind an index: each term, and how many entries it has there.
fn behind(log: &TermLog, kept: u64) -> Vec<u64> {
    let mut runs = Vec::new();
    for (nth, (first, term)) in log.starts().iter().enumerate() {
        let end = log.starts().get(nth + 1).map_or(log.last().raw(), |(next, _)| next.raw() - 1);
        let from = first.raw().max(kept + 1);
        if from <= end {
            runs.extend([term.raw(), end + 1 - from]);
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{Entry, LogTime, Payload, Run, Term};

    fn log(runs: &[(u64, u64)]) -> TermLog {
        let mut log = TermLog::default();
        for (term, count) in runs {
            let entries = (0..*count).map(|_| Entry::new(LogTime::ZERO, Payload::Noop));
            log.put(&Run::new(Term::new(*term), log.last().next(), entries).unwrap());
        }
        log
    }

    /// Goal: what is kept of a log and what follows it is the log after. Method: logs that grow, shrink, diverge within a term and at
    /// the border of two, and none.
    #[test]
    fn kept_part_and_the_rest_make_the_log() {
        for (before, after, kept, rest) in [
            (&[][..], &[(0, 1)][..], 0, vec![0, 1]),
            (&[(0, 1)], &[(0, 1), (1, 3)], 1, vec![1, 3]),
            (&[(0, 1), (1, 3)], &[(0, 1), (1, 5)], 4, vec![1, 2]),
            (&[(0, 1), (1, 5)], &[(0, 1), (1, 3)], 4, vec![]),
            (&[(0, 1), (1, 5)], &[(0, 1), (1, 3), (4, 2)], 4, vec![4, 2]),
            (&[(0, 1), (2, 2)], &[(0, 1), (1, 1), (3, 1)], 1, vec![1, 1, 3, 1]),
            (&[(0, 1), (2, 2)], &[], 0, vec![]),
        ] {
            let (before, after) = (log(before), log(after));
            assert_eq!((common(&before, &after), behind(&after, kept)), (kept, rest));
        }
    }
}
