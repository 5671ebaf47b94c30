//! The command `raft-sim`; `raft-sim help` says what it can do.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "commands")]
    return raft_sim::command::raft_sim();
    // Without the command line it is what canaries build.
    #[cfg(not(feature = "commands"))]
    return raft_sim::canary::broken_main();
}
