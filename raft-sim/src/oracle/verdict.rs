//! What an oracle says of a run: nothing, or which rule was broken and how.

use core::fmt;

use super::progress;

/// A rule that a run has broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The oracle that reports it.
    pub oracle: &'static str,
    /// Its rule, quoted.
    pub rule: &'static str,
    /// What was seen.
    pub what: String,
}

impl Violation {
    /// A clique that was to be left in peace was not: a fault of whoever chooses actions, without which nothing can be said of
    /// progress.
    pub(crate) fn of_no_peace(what: &str) -> Box<Self> {
        let what = format!("it was not left in peace: {what}");
        Box::new(Violation { oracle: progress::NAME, rule: progress::RULE, what })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (the rule: {})", self.oracle, self.what, self.rule)
    }
}

impl std::error::Error for Violation {}

/// Whether a rule holds. Boxed, because it nearly always does.
pub type Verdict = Result<(), Box<Violation>>;

pub(super) fn broken(oracle: &'static str, rule: &'static str, what: impl FnOnce() -> String) -> Verdict {
    Err(Box::new(Violation { oracle, rule, what: what() }))
}
