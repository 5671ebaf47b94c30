//! Leader append-only.

use super::{Step, Verdict, broken};

pub(super) const NAME: &str = "leader-append-only";
const RULE: &str = "a leader never overwrites or deletes entries in its log; it only appends new entries (Raft thesis figure 3.2)";

/// A log whose old end is still in its place has only grown: by log matching, which is checked apart, a position names all
/// that stands before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct AppendOnly;

impl AppendOnly {
    pub(super) fn stepped(self, step: &Step<'_>) -> Verdict {
        let Step { before, after, .. } = step;
        if !before.leads || !after.leads || before.term != after.term {
            return Ok(());
        }
        let at_old_end = step.log.term_at(before.last.index);
        if before.last <= after.last && at_old_end == Some(before.last.term) {
            return Ok(());
        }
        broken(NAME, RULE, || {
            let (old, new) = (before.last, after.last);
            format!(
                "{}, leader of term {}, had a log up to {old} and has one up to {new}",
                step.pair, after.term
            )
        })
    }
}
