//! A rig whose type is forgotten: what runs it is compiled once, not again for every broken disk, network, driver and state machine.
//!
//! A world with everything around it takes seconds to compile, and there are many rigs. That a method is called through a table
//! costs a run nothing to speak of: between two such calls a node makes a step.
//!
//! What a rig does is not known here, only which methods there are.

use raft_core::{
    Answer, Applied, Entry, LogIndex, LogTime, Packet, Position, Recovered, Runs, SessionRefusal, Sessions,
    WriteNumber,
};

use crate::action::HostId;
use crate::disk::{Disk, DiskError};
use crate::history::{Operation, Registers, Reply};
use crate::machine::{Machine, Snapshots};
use crate::own::Own;
use crate::plan::Plan;
use crate::rig::Rig;
use crate::session::Submission;

/// Any rig.
pub(crate) struct Erased<'a>(Box<dyn Behaviour + 'a>);

impl<'a> Erased<'a> {
    pub(crate) fn of<R: Rig + Sync + 'a>(rig: &R) -> Self {
        Erased(Box::new(rig.clone()))
    }
}

impl Clone for Erased<'_> {
    fn clone(&self) -> Self {
        Erased(self.0.duplicate())
    }
}

/// Writes the methods of [`Rig`] down once: as [`Behaviour`], the same without a clone that has to know its type; for all rigs; and for
/// [`Erased`], which hands them on.
macro_rules! handed_on {
    (
        looks { $(fn $look:ident($($seen:ident: $seen_type:ty),*) -> $looked:ty;)* }
        acts { $(fn $act:ident($($given:ident: $given_type:ty),*) -> $done:ty;)* }
    ) => {
        trait Behaviour: Sync {
            fn duplicate<'a>(&self) -> Box<dyn Behaviour + 'a> where Self: 'a;
            $(fn $look(&self, $($seen: $seen_type),*) -> $looked;)*
            $(fn $act(&mut self, $($given: $given_type),*) -> $done;)*
        }

        impl<R: Rig + Sync> Behaviour for R {
            fn duplicate<'a>(&self) -> Box<dyn Behaviour + 'a> where Self: 'a {
                Box::new(self.clone())
            }
            $(fn $look(&self, $($seen: $seen_type),*) -> $looked {
                Rig::$look(self, $($seen),*)
            })*
            $(fn $act(&mut self, $($given: $given_type),*) -> $done {
                Rig::$act(self, $($given),*)
            })*
        }

        impl Rig for Erased<'_> {
            $(fn $look(&self, $($seen: $seen_type),*) -> $looked {
                self.0.$look($($seen),*)
            })*
            $(fn $act(&mut self, $($given: $given_type),*) -> $done {
                self.0.$act($($given),*)
            })*
        }

        /// The names of the methods that are handed on.
        #[cfg(test)]
        const HANDED_ON: &[&str] = &[$(stringify!($look),)* $(stringify!($act),)*];
    };
}

handed_on! {
    looks {
        fn own() -> Own;
        fn adapt(plan: &mut Plan) -> ();
        fn saves_early() -> bool;
        fn hands_over_early() -> bool;
        fn reads_locally() -> bool;
    }
    acts {
        fn sync(host: HostId, disk: &mut Disk, batches: u32) -> Option<WriteNumber>;
        fn written(host: HostId, disk: &Disk) -> Option<WriteNumber>;
        fn crash(host: HostId, disk: &mut Disk, keep: u32, torn: bool, stray: u32) -> u32;
        fn recover(host: HostId, disk: &mut Disk) -> Result<Recovered, DiskError>;
        fn feed(host: HostId, entries: &Runs, machine: &mut dyn FnMut(Position, &Entry)) -> ();
        fn perform(host: HostId, registers: &mut Registers, key: u64, operation: Operation) -> Reply;
        fn submit(
            host: HostId,
            sessions: &mut Sessions,
            registers: &mut Registers,
            what: &Submission,
            time: LogTime
        ) -> Result<Applied, SessionRefusal>;
        fn recover_snapshots(host: HostId, snapshots: &mut Snapshots) -> ();
        fn restore(host: HostId, machine: &mut Machine, snapshot: &Machine) -> ();
        fn applied(host: HostId, last: LogIndex) -> LogIndex;
        fn answers(host: HostId, answer: &Answer) -> u32;
        fn tick(host: HostId, elapsed: u32) -> u32;
        fn send(packet: &mut Packet) -> ();
        fn healed() -> ();
    }
}

#[cfg(test)]
mod tests {
    use super::HANDED_ON;

    /// The names of the methods of the trait in this text.
    fn methods(text: &str) -> Vec<&str> {
        let body = text.split("pub trait Rig: Clone {").nth(1).and_then(|rest| rest.split("\n}\n").next());
        let lines = body.expect("the trait is there").lines();
        let names = lines.filter_map(|line| line.strip_prefix("    fn ")?.split('(').next());
        names.collect()
    }

    /// Goal: no method is forgotten, which would be honest again in every rig. Method: the names in the text of the trait; one more
    /// than are handed on is noticed.
    #[test]
    fn every_method_of_a_rig_is_handed_on() {
        let text = include_str!("rig.rs");
        let sorted = |mut names: Vec<&'static str>| {
            names.sort_unstable();
            names
        };
        assert_eq!(sorted(methods(text)), sorted(HANDED_ON.to_vec()));
        let more = text.replace("    /// The network takes a packet.", "    fn another(&mut self) {}\n");
        assert_eq!(methods(&more).len(), HANDED_ON.len() + 1);
    }
}
