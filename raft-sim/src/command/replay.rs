//! `raft-sim replay`: one run as text.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Args;
use raft_sim::{Action, Honest, HostId, Profile, Watch, World, plan, run};

use super::{RunOptions, VIOLATION};

#[derive(Args)]
pub(super) struct Replay {
    /// Which run
    #[arg(long)]
    seed: u64,
    #[command(flatten)]
    options: RunOptions,
}

/// Prints every action with the virtual time in ticks, and what it did to the node.
struct Printer<W: Write> {
    out: W,
    failed: Option<io::Error>,
}

impl<W: Write> Printer<W> {
    fn line(&mut self, moment: u64, action: Action, world: &World<Honest>) -> io::Result<()> {
        let (ticks, part) = (moment / Profile::TICK, moment % Profile::TICK * 1000 / Profile::TICK);
        write!(self.out, "{ticks:>6}.{part:03}  {action}")?;
        match action {
            Action::Deliver { packet } | Action::Drop { packet } | Action::Duplicate { packet } => {
                if let Some(packet) = world.network().packet(packet) {
                    write!(self.out, "  (another copy stays in flight, term {})", packet.term)?;
                }
            }
            Action::Step { host, .. } | Action::Restart { host, .. } => self.node(host, world)?,
            _ => {}
        }
        writeln!(self.out)
    }

    fn node(&mut self, host: HostId, world: &World<Honest>) -> io::Result<()> {
        let Some(seen) = world.host(host).seen() else { return Ok(()) };
        let role = if seen.leads { "leads" } else { "is in" };
        let (term, last, commit) = (seen.term, seen.last, seen.commit);
        write!(self.out, "  ->  {role} term {term}, log to {last}, committed to {commit}")
    }
}

impl<W: Write> Watch<Honest> for Printer<W> {
    fn happened(&mut self, moment: u64, action: Action, world: &World<Honest>) {
        if self.failed.is_none() {
            self.failed = self.line(moment, action, world).err();
        }
    }
}

impl Replay {
    pub(super) fn execute(&self) -> ExitCode {
        match self.print() {
            Ok(code) => code,
            // Whoever read the output has seen enough of it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("raft-sim: can not write the run: {error}");
                ExitCode::from(super::UNFINISHED)
            }
        }
    }

    fn print(&self) -> io::Result<ExitCode> {
        let options = self.options.options();
        let mut printer = Printer { out: BufWriter::new(io::stdout().lock()), failed: None };
        writeln!(printer.out, "# seed {}", self.seed)?;
        writeln!(printer.out, "{}", plan(self.seed, &options))?;
        let report = run(self.seed, &options, Honest, &mut printer);
        if let Some(error) = printer.failed {
            return Err(error);
        }
        let out = &mut printer.out;
        for (name, count) in report.counts.named() {
            writeln!(out, "# {name} {count}")?;
        }
        if let Some(violation) = &report.violation {
            writeln!(out, "violated {violation}")?;
        }
        writeln!(out, "digest {:016x}", report.digest)?;
        out.flush()?;
        Ok(if report.violation.is_some() { ExitCode::from(VIOLATION) } else { ExitCode::SUCCESS })
    }
}
