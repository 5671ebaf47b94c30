//! `raftd load --read-back`: reads every acknowledged line back at once, linearizably, from one server after the other.
//!
//! A linearizable read that begins after a write was acknowledged sees that write, or one behind it, whichever server is asked (Raft
//! thesis §6.4). The client that has written a line reads its key before it goes on, and all lines of a key go through one client,
//! so nothing may stand there but this line's value: an older value, or none, is a stale read or a lost write. There is one exception:
//! an attempt at an earlier line of the key whose outcome is not known may come late, behind this line (see `load`), so the values of
//! such lines are possible as well. Others must not write the same keys meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use tokio::time::Instant;

use crate::client::{ANSWER_WITHIN, Answer, Base, Client};
use crate::http::key;
use crate::lines::Line;

/// Between two attempts at a read.
const AGAIN: Duration = Duration::from_millis(50);

/// What the clients share.
pub(crate) struct ReadBack {
    client: Client,
    servers: Vec<Base>,
    patience: Duration,
    /// Who is asked next.
    next: AtomicUsize,
    /// How many lines were read as they have to be, by the server that was asked first.
    right: Vec<AtomicU64>,
}

/// What one client knows of the keys that it writes: the values of lines that had attempts whose outcome is not known.
#[derive(Default)]
pub(crate) struct Possible(BTreeMap<Bytes, Vec<Bytes>>);

impl Possible {
    /// An attempt at this line may have its effect at any time from now on.
    pub(crate) fn insert(&mut self, line: &Line) {
        self.0.entry(line.key.clone()).or_default().push(line.value.clone());
    }

    /// What is wrong with an answer to a read of this line's key, if it is an answer at all.
    fn judge(&self, line: &Line, answer: &Answer) -> Option<Result<(), Wrong>> {
        match answer.status {
            StatusCode::OK if answer.body == line.value => Some(Ok(())),
            StatusCode::OK => {
                let known = self.0.get(&line.key).is_some_and(|possible| possible.contains(&answer.body));
                Some(if known { Ok(()) } else { Err(Wrong::Other) })
            }
            StatusCode::NOT_FOUND => Some(Err(Wrong::Missing)),
            _ => None,
        }
    }
}

/// What is wrong with what was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("has nothing")]
    Missing,
    #[error("has an older value, or one that nobody wrote here")]
    Other,
}

/// Why a line was not read back as it has to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadBackError {
    #[error("line {number} was acknowledged, and {from} {wrong} under its key")]
    Wrong { number: u64, from: Base, wrong: Wrong },
    #[error("line {number} was acknowledged, and could not be read: {problem}")]
    Unread { number: u64, problem: String },
}

impl ReadBack {
    pub(crate) fn new(client: Client, servers: Vec<Base>, patience: Duration) -> ReadBack {
        let right = servers.iter().map(|_| AtomicU64::new(0)).collect();
        ReadBack { client, servers, patience, next: AtomicUsize::new(0), right }
    }

    /// Reads the key of a line that was just acknowledged. A server that gives no answer is passed over for the next one: reading again
    /// does no harm.
    pub(crate) async fn read(&self, line: &Line, possible: &Possible) -> Result<(), ReadBackError> {
        let path = key::path(&line.key);
        let until = Instant::now() + self.patience;
        loop {
            let nth = self.next.fetch_add(1, Ordering::Relaxed) % self.servers.len();
            let base = &self.servers[nth];
            let problem =
                match self.client.send(&Method::GET, base, &path, &Bytes::new(), ANSWER_WITHIN).await {
                    Ok(answer) => match possible.judge(line, &answer) {
                        Some(Ok(())) => {
                            self.right[nth].fetch_add(1, Ordering::Relaxed);
                            return Ok(());
                        }
                        Some(Err(wrong)) => {
                            let (number, from) = (line.number, answer.from);
                            return Err(ReadBackError::Wrong { number, from, wrong });
                        }
                        None => format!("{}: {}", answer.from, answer.status),
                    },
                    Err(error) => error.to_string(),
                };
            if until <= Instant::now() {
                return Err(ReadBackError::Unread { number: line.number, problem });
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// How many lines were read as they have to be.
    pub(crate) fn count(&self) -> u64 {
        self.right.iter().map(|right| right.load(Ordering::Relaxed)).sum()
    }

    /// The same for each server, for people.
    pub(crate) fn by_server(&self) -> String {
        let one = |(base, right): (&Base, &AtomicU64)| format!("{} at {base}", right.load(Ordering::Relaxed));
        self.servers.iter().zip(&self.right).map(one).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, value: &'static str) -> Line {
        Line { number, key: Bytes::from_static(b"a"), value: Bytes::from_static(value.as_bytes()) }
    }

    #[test]
    fn nothing_but_the_line_and_what_may_come_late_is_right() {
        let from: Base = "http://127.0.0.1:1".parse().unwrap();
        let answer = |status, body: &'static str| Answer { status, body: body.into(), from: from.clone() };
        let mut possible = Possible::default();
        let judge =
            |possible: &Possible, status, body| possible.judge(&line(3, "new"), &answer(status, body));
        assert_eq!(judge(&possible, StatusCode::OK, "new"), Some(Ok(())));
        assert_eq!(judge(&possible, StatusCode::OK, "old"), Some(Err(Wrong::Other)));
        assert_eq!(judge(&possible, StatusCode::NOT_FOUND, "new"), Some(Err(Wrong::Missing)));
        assert_eq!(judge(&possible, StatusCode::SERVICE_UNAVAILABLE, "new"), None);
        possible.insert(&line(1, "late"));
        possible.insert(&Line { key: Bytes::from_static(b"b"), ..line(2, "old") });
        assert_eq!(judge(&possible, StatusCode::OK, "late"), Some(Ok(())));
        assert_eq!(judge(&possible, StatusCode::OK, "old"), Some(Err(Wrong::Other)), "of another key");
    }
}
