//! Other programs, run until they end or are no longer wanted.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::CanaryError;

/// How long the time between two looks at a child is. The system tells of the end of one only who waits for it alone.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until it ends, or kills it once `stop` is set.
fn wait(child: &mut Child, stop: &AtomicBool) -> Result<ExitStatus, CanaryError> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if stop.load(Ordering::Relaxed) {
            // It may have ended in this moment, which is as well.
            drop(child.kill());
            child.wait()?;
            return Err(CanaryError::Stopped);
        }
        thread::sleep(LOOK);
    }
}

/// Lets others go on for a moment.
///
/// # Errors
/// `stop` was set.
pub(super) fn pause(stop: &AtomicBool) -> Result<(), CanaryError> {
    if stop.load(Ordering::Relaxed) {
        return Err(CanaryError::Stopped);
    }
    thread::sleep(LOOK);
    Ok(())
}

/// Runs a program with our own stdout and stderr.
///
/// # Errors
/// It can not be run, or `stop` was set before its end.
pub(super) fn status(command: &mut Command, stop: &AtomicBool) -> Result<ExitStatus, CanaryError> {
    wait(&mut command.spawn()?, stop)
}

/// Runs a program and keeps what it writes.
///
/// # Errors
/// It can not be run, or `stop` was set before its end.
pub(super) fn output(command: &mut Command, stop: &AtomicBool) -> Result<Output, CanaryError> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (child.stdout.take().map(listen), child.stderr.take().map(listen));
    // What a killed program has started itself may still hold the pipes, so nobody waits for their ends then.
    let status = wait(&mut child, stop)?;
    let heard = |listener: Option<Listener>| match listener.map(thread::JoinHandle::join) {
        None => Ok(Vec::new()),
        Some(Ok(read)) => read,
        Some(Err(_)) => Err(io::Error::other("what it wrote could not be read")),
    };
    Ok(Output { status, stdout: heard(stdout)?, stderr: heard(stderr)? })
}

type Listener = thread::JoinHandle<io::Result<Vec<u8>>>;

/// Reads to the end. Both pipes of a child need somebody who does, or it would stand still once one is full.
fn listen(mut pipe: impl Read + Send + 'static) -> Listener {
    thread::spawn(move || {
        let mut text = Vec::new();
        pipe.read_to_end(&mut text).map(|_| text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a child that is no longer wanted does not keep anybody waiting. Method: one that would never end, and a flag that is set.
    #[test]
    fn child_is_killed_once_stopped() {
        let outcome = output(Command::new("sh").args(["-c", "while :; do :; done"]), &AtomicBool::new(true));
        assert!(matches!(outcome, Err(CanaryError::Stopped)));
        let outcome = status(Command::new("cat").stdin(Stdio::piped()), &AtomicBool::new(true));
        assert!(matches!(outcome, Err(CanaryError::Stopped)));
    }

    /// Goal: what a child writes is kept, however much it is. Method: more than a pipe holds, on both.
    #[test]
    fn output_is_kept_whole() {
        let script = "i=0; while [ $i -lt 9000 ]; do echo 0123456789; echo abcdefghij >&2; i=$((i+1)); done";
        let heard = output(Command::new("sh").args(["-c", script]), &AtomicBool::new(false)).unwrap();
        assert!(heard.status.success());
        assert_eq!((heard.stdout.len(), heard.stderr.len()), (99_000, 99_000));
    }
}
