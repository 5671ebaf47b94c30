//! Stopping by signals: what is finished is told, and how to go on.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::failure::Failure;

/// Set by SIGINT and SIGTERM, also where the parent had them ignored. A second one ends the process at once.
pub(super) struct Stop {
    flag: Arc<AtomicBool>,
    /// The number of the signal.
    signal: Arc<AtomicUsize>,
}

impl Stop {
    pub(super) fn on_signals() -> Result<Self, Failure> {
        let stop = Stop { flag: Arc::default(), signal: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop.flag))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&stop.signal), signal as usize))
                .and_then(|_| flag::register(signal, Arc::clone(&stop.flag)))
                .map_err(Failure::Signals)?;
        }
        Ok(stop)
    }

    pub(super) fn flag(&self) -> &Arc<AtomicBool> {
        &self.flag
    }

    pub(super) fn is_set(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    fn signal(&self) -> i32 {
        if self.signal.load(Ordering::Relaxed) == SIGTERM as usize { SIGTERM } else { SIGINT }
    }

    /// How shells say that a signal has ended a program.
    pub(super) fn code(&self) -> ExitCode {
        ExitCode::from(128 + self.signal() as u8)
    }

    /// The signal in words.
    pub(super) fn name(&self) -> &'static str {
        if self.signal() == SIGTERM { "SIGTERM" } else { "SIGINT" }
    }
}
