//! `raftd format`: draws the incarnation of an empty folder.

use std::path::PathBuf;

use raft_core::NodeId;
use raft_driver_tokio::DataDir;

use crate::exit::{Exit, Failure, print};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder to format: empty, or not there yet
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The id of the server, any number but zero
    #[arg(long, value_name = "N")]
    id: NodeId,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let pair = DataDir::format(&args.data, args.id).map_err(Failure::usage)?;
    print(&pair.to_string())?;
    Ok(Exit::Clean)
}
