//! `raftd`: a replicated key-value server over HTTP, and what one needs around it.
//!
//! Each command has a file of its own and prints its verdict as the last line on stdout; progress and troubles go to
//! stderr. Protocol decisions are not made here: they belong in `raft-core`.

mod exit;
mod signals;

mod files;
mod founders;
mod store;

mod http;

mod client;
mod cluster;
mod lines;
mod read_back;

mod measure;

mod bench;
mod demo;
mod format;
mod inspect;
mod load;
mod member;
mod serve;
mod verify;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use exit::{Exit, Failure};

/// A replicated key-value server: what one server has acknowledged, a majority has on disk.
///
/// Exit codes: 0 clean, 1 something was lost or a server could not go on, 2 bad usage or input, 3 stopped before the end.
/// RUST_LOG sets how much is logged to stderr (warn unless set).
#[derive(clap::Parser)]
#[command(name = "raftd", version)]
enum Cli {
    /// Format an empty folder for a server, and print ID@INCARNATION
    Format(format::Args),
    /// Run one server
    Serve(serve::Args),
    /// Run a cluster of three servers on this machine
    Demo(demo::Args),
    /// Write the lines of a file into a cluster
    Load(load::Args),
    /// Read the lines of a file back from every server's own state
    Verify(verify::Args),
    /// Say or change who belongs to a cluster
    #[command(subcommand)]
    Member(member::Args),
    /// Say what the folder of a stopped server holds
    Inspect(inspect::Args),
    /// Measure acknowledged writes per second
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .log_internal_errors(false)
        .init();
    run(cli).unwrap_or_else(|failure| failure.report()).into()
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::violated)?;
    runtime.block_on(async {
        match cli {
            Cli::Format(args) => format::run(&args),
            Cli::Serve(args) => serve::run(args).await,
            Cli::Demo(args) => demo::run(args).await,
            Cli::Load(args) => load::run(args).await,
            Cli::Member(args) => member::run(args).await,
            Cli::Verify(args) => verify::run(args).await,
            Cli::Inspect(args) => inspect::run(&args),
            Cli::Bench(args) => bench::run(args).await,
        }
    })
}
