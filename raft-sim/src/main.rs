//! The command `raft-sim`; `raft-sim help` says what it can do.

#[cfg(feature = "commands")]
mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "commands")]
    return command::main();
    // Without the command line it is what canaries build.
    #[cfg(not(feature = "commands"))]
    return raft_sim::canary::broken_main();
}
