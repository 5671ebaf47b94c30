//! What was synced is there after a restart.

use raft_core::{LogIndex, Term};

use super::disks::DiskModel;
use super::term_log::LogView;
use super::{Seen, Verdict, broken};
use crate::action::HostId;

pub(super) const NAME: &str = "durability";
const RULE: &str = "term, vote and log are persistent state (Raft thesis figure 3.1): a server starts with all that was durable";

pub(super) fn started(disk: &DiskModel, host: HostId, seen: &Seen, log: &dyn LogView) -> Verdict {
    if seen.term != disk.term || seen.vote != disk.vote {
        return broken(NAME, RULE, || {
            let (term, vote) = (disk.term, disk.vote);
            format!(
                "server {host} starts with {:?} in term {}, its disk held {vote:?} in term {term}",
                seen.vote, seen.term
            )
        });
    }
    let end = disk.log.last();
    // What it has forgotten was committed.
    let agrees = |(first, term): &(LogIndex, Term)| match log.term_at(*first) {
        Some(there) => there == *term,
        None => *first <= seen.commit,
    };
    let terms_agree = disk.log.starts().iter().all(agrees);
    if seen.last.index != end
        || (end != LogIndex::ZERO && log.term_at(end) != disk.log.term_at(end))
        || !terms_agree
    {
        return broken(NAME, RULE, || {
            let term = disk.log.last_term();
            format!(
                "server {host} starts with a log up to {}, its disk held one up to {term}.{end}",
                seen.last
            )
        });
    }
    Ok(())
}
