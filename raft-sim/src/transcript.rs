//! A run as text, one line an action.

use std::io::{self, Write};

use crate::action::{Action, HostId};
use crate::plan::Profile;
use crate::rig::Rig;
use crate::schedule::Ending;
use crate::scheduler::Watch;
use crate::world::World;

/// Prints every action with the virtual time in ticks, where there is one, and what it did to the node.
pub struct Transcript<'a> {
    out: &'a mut dyn Write,
    timed: bool,
    failed: Option<io::Error>,
}

impl<'a> Transcript<'a> {
    /// Of a run with virtual time.
    pub fn timed(out: &'a mut dyn Write) -> Self {
        Transcript { out, timed: true, failed: None }
    }

    /// Of a schedule, which has none.
    pub fn untimed(out: &'a mut dyn Write) -> Self {
        Transcript { out, timed: false, failed: None }
    }

    /// Whether all could be written.
    ///
    /// # Errors
    /// Why it could not.
    pub fn finish(self) -> io::Result<()> {
        self.failed.map_or(Ok(()), Err)
    }

    fn line<R: Rig>(&mut self, moment: u64, action: Action, world: &World<R>) -> io::Result<()> {
        if self.timed {
            let (ticks, part) = (moment / Profile::TICK, moment % Profile::TICK * 1000 / Profile::TICK);
            write!(self.out, "{ticks:>6}.{part:03}  ")?;
        }
        write!(self.out, "{action}")?;
        match action {
            Action::Deliver { packet } | Action::Drop { packet } | Action::Duplicate { packet } => {
                if let Some(packet) = world.network().packet(packet) {
                    write!(self.out, "  (another copy stays in flight, term {})", packet.term)?;
                }
            }
            Action::Step { host, .. } | Action::Restart { host, .. } => self.node(host, world)?,
            Action::Command { request, .. } => {
                if let Some(says) = world.says(request) {
                    write!(self.out, "  {says}")?;
                }
            }
            Action::Applied { host } => {
                if let Some(state) = world.host(host).own_state() {
                    write!(self.out, "  ->  {state}")?;
                }
            }
            _ => {}
        }
        writeln!(self.out)
    }

    fn node<R: Rig>(&mut self, host: HostId, world: &World<R>) -> io::Result<()> {
        let Some(seen) = world.host(host).seen() else { return Ok(()) };
        let role = if seen.leads { "leads" } else { "is in" };
        let (term, last, commit) = (seen.term, seen.last, seen.commit);
        write!(self.out, "  ->  {role} term {term}, log to {last}, committed to {commit}")
    }
}

impl<R: Rig> Watch<R> for Transcript<'_> {
    fn ends(&mut self, ending: Ending) {
        if ending != Ending::Nothing && self.failed.is_none() {
            self.failed = writeln!(self.out, "# afterwards {ending}").err();
        }
    }

    fn stops(&self) -> bool {
        self.failed.is_some()
    }

    fn happened(&mut self, moment: u64, action: Action, world: &World<R>) {
        if self.failed.is_none() {
            self.failed = self.line(moment, action, world).err();
        }
    }
}
