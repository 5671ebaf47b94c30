//! How many files a server may open. Connections are files too: without room for all of them, strangers who connect could
//! keep the log from opening its next segment, which would end the server.

use raft_driver_tokio::FILES_MAX;

use crate::http::CONNECTIONS_MAX;

/// What a server needs: the driver's files, the clients, and who listens for them.
const NEEDED: u64 = (FILES_MAX + CONNECTIONS_MAX + 1) as u64;

/// The system lets a process open too few files.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "a server needs {NEEDED} open files at most, and the system allows this process {0}. Raise the limit, for instance \
     with \"ulimit -n {NEEDED}\""
)]
pub(crate) struct TooFew(u64);

/// Makes sure that there can be as many open files as a server may need, and raises the limit where that is allowed.
///
/// # Errors
/// It is not allowed.
#[cfg(target_os = "linux")]
pub(crate) fn make_room() -> Result<(), TooFew> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    // `None` is no limit.
    let Some(allowed) = limit.current.filter(|allowed| *allowed < NEEDED) else {
        return Ok(());
    };
    limit.current = Some(NEEDED);
    setrlimit(Resource::Nofile, limit).map_err(|_| TooFew(allowed))
}

/// Elsewhere the limits of connections have to do.
#[cfg(not(target_os = "linux"))]
pub(crate) fn make_room() -> Result<(), TooFew> {
    Ok(())
}
