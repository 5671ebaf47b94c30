//! The state machines of whoever uses the simulator: servers that have applied the same log are equal, whatever way they took.
//!
//! The first server that applies a command says what everybody is behind it, and what was put out. Who gets there later, from the
//! beginning or by way of a snapshot, is compared with that.

use std::collections::BTreeMap;

use raft_core::LogIndex;

use super::{Verdict, Violation, broken};
use crate::action::HostId;
use crate::own::{Misstep, Own};

/// Servers become different, or put out something different.
const DETERMINISM: &str = "determinism";
const EQUAL: &str = "state machines that process the same commands in the same order are in the same state and put out the same (Raft \
                     thesis §2.1)";
/// What was saved is not what comes out of it.
const RESTORE: &str = "restore";
const WHOLE: &str = "what is restored from a snapshot is what the snapshot was taken of (Raft thesis §5.1)";
/// A state machine is not as its user says that it always has to be.
const INVARIANT: &str = "invariant";
const CHECKED: &str = "`StateMachine::check` has nothing to say after any command and any restore";
/// A command is not what was encoded.
const ENCODING: &str = "encoding";
const READ_BACK: &str = "`StateMachine::decode` gives for the bytes of a command one that has the same bytes";
/// A state machine panicked.
const PANIC: &str = "panic";
const CALM: &str = "a state machine does not panic: all servers would, at the same command, again and again";

/// What state machines were, behind every command.
#[derive(Clone, Debug, Default)]
pub(super) struct Replicas(BTreeMap<LogIndex, (HostId, Own)>);

impl Replicas {
    /// That of a server has applied the command at this index, which are these bytes, or has failed to.
    pub(super) fn applied(
        &mut self,
        host: HostId,
        index: LogIndex,
        command: &[u8],
        (applied, own): (Result<(), Misstep>, &Own),
    ) -> Verdict {
        let words = || own.live().and_then(|replica| replica.words(command)).unwrap_or_default();
        let checked = |outcome: Result<(), Misstep>| {
            outcome.map_err(|misstep| of(misstep, host, &format!("at {index}, {}", words())))
        };
        checked(applied)?;
        let Some(now) = own.live() else { return Ok(()) };
        let Some((first, known)) = self.0.get(&index) else {
            self.0.insert(index, (host, own.clone()));
            return checked(now.check());
        };
        let Some(known) = known.live() else { return Ok(()) };
        if !now.is_equal(known) {
            return broken(DETERMINISM, EQUAL, || {
                let (now, known) = (now.state(), known.state());
                format!("after {index}, {}, server {host} is {now}, and server {first} was {known}", words())
            });
        }
        if !now.has_said_the_same(known) {
            return broken(DETERMINISM, EQUAL, || {
                let (now, known) = (now.output(), known.output());
                format!(
                    "at {index}, {}, server {host} puts out {now}, and server {first} did {known}",
                    words()
                )
            });
        }
        checked(now.check())
    }

    /// That of a server stands for all up to this index, restored from a snapshot or from its disk.
    pub(super) fn restored(&self, host: HostId, last: LogIndex, restored: Result<&Own, Misstep>) -> Verdict {
        let place = format!("with all up to {last}");
        let own = restored.map_err(|misstep| of(misstep, host, &place))?;
        let Some(now) = own.live() else { return Ok(()) };
        if let Some((index, (first, known))) = self.0.range(..=last).next_back()
            && let Some(known) = known.live()
            && !now.is_equal(known)
        {
            return broken(RESTORE, WHOLE, || {
                let (now, known) = (now.state(), known.state());
                format!(
                    "server {host}, restored up to {last}, is {now}, and server {first} was {known} after {index}"
                )
            });
        }
        now.check().map_err(|misstep| of(misstep, host, &place))
    }

    /// Of a snapshot up to this index, `again` was restored.
    pub(super) fn saved(host: HostId, last: LogIndex, own: &Own, again: Result<&Own, Misstep>) -> Verdict {
        let again = again.map_err(|misstep| of(misstep, host, &format!("with all up to {last}")))?;
        if own == again {
            return Ok(());
        }
        broken(RESTORE, WHOLE, || {
            format!("server {host} saves {own:?} at {last}, of which {again:?} is restored")
        })
    }
}

/// The rule that a misstep breaks.
pub(super) fn of(misstep: Misstep, host: HostId, place: &str) -> Box<Violation> {
    let (oracle, rule, what) = match misstep {
        Misstep::Panic(function, text) => (PANIC, CALM, format!("`{function}` panics: {text}")),
        Misstep::Encoding(bytes) => {
            (ENCODING, READ_BACK, format!("the command {bytes:02x?} does not read back"))
        }
        Misstep::Restore(why) => (RESTORE, WHOLE, format!("nothing is restored: {why}")),
        Misstep::Invariant(why) => (INVARIANT, CHECKED, why),
    };
    Box::new(Violation { oracle, rule, what: format!("server {host} {place}: {what}") })
}
