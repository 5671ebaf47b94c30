//! A connection that does not wait for ever: writing to a client that takes nothing fails after a while, and so does writing to
//! one that takes a byte now and then.
//!
//! Reading needs no such limit here: headers and bodies have deadlines of their own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::{Instant, Sleep, sleep};

/// How long a client may wait with its answer.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// How long it may take no byte.
    pub(crate) stalled: Duration,
    /// How long it may take from the first byte of an answer to the last.
    pub(crate) answer: Duration,
}

/// A stream whose writes fail once the other side has used up our patience.
pub(crate) struct Patient<S> {
    stream: S,
    patience: Patience,
    /// When the first byte was written of what is not all taken yet.
    answering: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    // Whether a write is waiting, so that the timer is set only when waiting begins.
    waiting: bool,
}

impl<S> Patient<S> {
    /// Gives `stream` limits.
    pub(crate) fn new(stream: S, patience: Patience) -> Patient<S> {
        let timer = Box::pin(sleep(patience.stalled));
        Patient { stream, patience, answering: None, timer, waiting: false }
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = false;
            return written;
        }
        if !self.waiting {
            self.waiting = true;
            let now = Instant::now();
            let end = *self.answering.get_or_insert(now) + self.patience.answer;
            self.timer.as_mut().reset(end.min(now + self.patience.stalled));
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
        self.answering.get_or_insert_with(Instant::now);
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.answering.get_or_insert_with(Instant::now);
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            // hyper flushes once all of an answer is written.
            self.answering = None;
        }
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

    const LONG: Duration = Duration::from_secs(3600);

    /// The other end of the pipe reads nothing.
    #[tokio::test]
    async fn writing_to_one_who_takes_nothing_fails() {
        let (ours, _theirs) = tokio::io::duplex(8);
        let patience = Patience { stalled: Duration::from_millis(1), answer: LONG };
        let mut patient = Patient::new(TokioIo::new(ours), patience);
        let mut write = async |bytes: &[u8]| poll_fn(|cx| Pin::new(&mut patient).poll_write(cx, bytes)).await;
        assert_eq!(write(b"12345678").await.unwrap(), 8);
        assert_eq!(write(b"9").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    /// The other end of the pipe reads a byte whenever one was written, so that no single wait is long; in all it is too
    /// slow. Nothing else ends the loop.
    #[tokio::test]
    async fn writing_to_one_who_takes_a_byte_at_a_time_fails() {
        let (ours, mut theirs) = tokio::io::duplex(1);
        let patience = Patience { stalled: LONG, answer: Duration::from_millis(20) };
        let mut patient = Patient::new(TokioIo::new(ours), patience);
        let error = loop {
            // The second byte finds the pipe full, and waits until the other side has read the first.
            let written = poll_fn(|cx| Pin::new(&mut patient).poll_write(cx, b"1")).await;
            if let Err(error) = written {
                break error;
            }
            let written = poll_fn(|cx| Poll::Ready(Pin::new(&mut patient).poll_write(cx, b"2"))).await;
            match written {
                Poll::Ready(Err(error)) => break error,
                Poll::Ready(Ok(_)) => panic!("the pipe is full"),
                Poll::Pending => tokio::io::AsyncReadExt::read_u8(&mut theirs).await.unwrap(),
            };
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// What was flushed is an answer that was taken; the next has all its time again.
    #[tokio::test]
    async fn every_answer_has_its_own_time() {
        let (ours, _theirs) = tokio::io::duplex(8);
        let mut patient = Patient::new(TokioIo::new(ours), Patience { stalled: LONG, answer: LONG });
        poll_fn(|cx| Pin::new(&mut patient).poll_write(cx, b"1")).await.unwrap();
        assert!(patient.answering.is_some());
        poll_fn(|cx| Pin::new(&mut patient).poll_flush(cx)).await.unwrap();
        assert!(patient.answering.is_none());
    }
}
