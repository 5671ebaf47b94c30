//! SIGINT and SIGTERM, always handled: also where the parent had them ignored, as shells do for commands in the
//! background. And how the news that it is time to stop spreads within the process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The handlers, in force from the moment this exists.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Installs both handlers.
    ///
    /// # Errors
    /// Where the system refuses one.
    pub(crate) fn install() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for either signal and says which it was. May be dropped and called again without losing one.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Waits until `stop` becomes true, or its sender is gone.
pub(crate) async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // What `wait_for` returns holds a lock, so it must not live on in the caller.
    let _ = stop.wait_for(|stop| *stop).await;
}
