//! `raftd inspect`: what the disk of a stopped server holds.

use std::path::PathBuf;

use raft_core::LogIndex;
use raft_driver_tokio::{DataDir, log};

use crate::exit::{Exit, Failure, print};
use crate::founders;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder of a server that is not running
    directory: PathBuf,
    /// Print only the digest of the log up to this index: each entry's digest covers all entries before it
    #[arg(long, value_name = "INDEX")]
    digest: Option<u64>,
}

/// Why there is no digest.
#[derive(Debug, thiserror::Error)]
#[error("the log of {directory} ends at index {last}, before {index}")]
struct Shorter {
    directory: String,
    last: LogIndex,
    index: LogIndex,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let directory = DataDir::open_read_only(&args.directory).map_err(Failure::usage)?;
    // A log that can not be read is damaged: something is lost, whoever asks.
    let inspection = log::inspect(&directory).map_err(Failure::violated)?;
    let summary = inspection.summary();
    if let Some(index) = args.digest.map(LogIndex::new) {
        let digest = inspection.digest(index).map_err(Failure::violated)?;
        let shorter =
            || Shorter { directory: args.directory.display().to_string(), last: summary.last.index, index };
        let digest = digest.ok_or_else(|| Failure::usage(shorter()))?;
        print(&format!("{digest:032x}"))?;
        return Ok(Exit::Clean);
    }
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    print(&format!("server      {}", directory.pair()))?;
    print(&format!("cluster     {}", or_none(summary.cluster.map(|cluster| cluster.to_string()))))?;
    print(&format!("boot        {}", directory.boot()))?;
    print(&format!("term        {}", summary.hard_state.term))?;
    print(&format!("vote        {}", or_none(summary.hard_state.vote.map(|pair| pair.to_string()))))?;
    print(&format!("commit      {}", summary.commit))?;
    print(&format!("last        {} (term {})", summary.last.index, summary.last.term))?;
    print(&format!(
        "files       {} with {} records, {} bytes",
        summary.segments, summary.records, summary.bytes
    ))?;
    print(&format!("torn bytes  {}", summary.torn_bytes))?;
    for server in summary.membership.iter().flat_map(|membership| membership.servers()) {
        print(&format!(
            "member      {}",
            founders::write(&server.pair, &server.raft_address, &server.client_address)
        ))?;
    }
    let digest = inspection.digest(summary.last.index).map_err(Failure::violated)?;
    print(&format!("digest      {}", or_none(digest.map(|digest| format!("{digest:032x}")))))?;
    Ok(Exit::Clean)
}
