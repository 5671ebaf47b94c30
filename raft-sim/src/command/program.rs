//! Which program this is: `raft-sim` itself, or that of a user's state machine.

use std::path::Path;

use crate::replicated::Replicated;
use crate::rig::Honest;
use crate::state_machine::StateMachine;
use crate::subject::Subject;

/// What a program runs, and how it speaks of itself.
pub(super) struct Program<'a> {
    /// As one types it.
    pub(super) name: String,
    /// What seeds and schedules are run on.
    pub(super) rig: &'a dyn Subject,
    /// The same in the text of a test.
    pub(super) rig_in_words: String,
}

impl Program<'static> {
    pub(super) fn raft_sim() -> Self {
        let rig_in_words = "raft_sim::Honest".to_owned();
        Program { name: "raft-sim".to_owned(), rig: &Honest, rig_in_words }
    }
}

impl<'a> Program<'a> {
    /// That of a user: it is called as its file is.
    pub(super) fn of<M: StateMachine>(rig: &'a Replicated<M>) -> Self {
        let of_type = std::any::type_name::<M>();
        let short = of_type.rsplit("::").next().unwrap_or(of_type);
        let file = std::env::args_os().next();
        let name = file.as_deref().and_then(|file| Path::new(file).file_stem());
        let name = name.map_or_else(|| short.to_lowercase(), |name| name.to_string_lossy().into_owned());
        Program { name, rig, rig_in_words: format!("raft_sim::Replicated::<{short}>::default()") }
    }
}
