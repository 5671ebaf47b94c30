//! A connection that does not wait for ever: writing to a client that takes nothing fails after a while.
//!
//! Reading needs no such limit here: headers and bodies have deadlines of their own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::{Instant, Sleep, sleep};

/// A stream whose writes fail once no byte has been taken for `within`.
pub(crate) struct Patient<S> {
    stream: S,
    within: Duration,
    timer: Pin<Box<Sleep>>,
    // Whether a write is waiting, so that the timer is set only when waiting begins.
    waiting: bool,
}

impl<S> Patient<S> {
    /// Gives `stream` a limit.
    pub(crate) fn new(stream: S, within: Duration) -> Patient<S> {
        Patient { stream, within, timer: Box::pin(sleep(within)), waiting: false }
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = false;
            return written;
        }
        if !self.waiting {
            self.waiting = true;
            self.timer.as_mut().reset(Instant::now() + self.within);
        }
        ready!(self.timer.as_mut().poll(cx));
        self.waiting = false;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: Read + Unpin> Read for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: Write + Unpin> Write for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper_util::rt::TokioIo;
    use std::future::poll_fn;

    /// The other end of the pipe reads nothing.
    #[tokio::test]
    async fn writing_to_one_who_takes_nothing_fails() {
        let (ours, _theirs) = tokio::io::duplex(8);
        let mut patient = Patient::new(TokioIo::new(ours), Duration::from_millis(1));
        let mut write = async |bytes: &[u8]| poll_fn(|cx| Pin::new(&mut patient).poll_write(cx, bytes)).await;
        assert_eq!(write(b"12345678").await.unwrap(), 8);
        assert_eq!(write(b"9").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
