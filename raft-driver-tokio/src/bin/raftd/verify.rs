//! `raftd verify`: reads every acknowledged line of a file back from every server's own state.
//!
//! First it waits until all servers report the same applied index, which it prints; then it compares. A line counts as
//! verified when every server holds its value. Where a file sets a key several times, the value of the last acknowledged
//! line counts; or that of any line that was not acknowledged, or that was retried: such a line may have been written all the
//! same, and also late, behind what was acknowledged after it (see `load`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::client::{ANSWER_WITHIN, Base, Client, ClientError};
use crate::exit::{Exit, Failure, note, say};
use crate::http::key;
use crate::lines::Lines;
use crate::load::RETRIED;

const POLL_EVERY: Duration = Duration::from_millis(100);
/// Reads under way at a time, over all servers.
const CLIENTS: usize = 64;
/// How often a read that got no answer is tried.
const ATTEMPTS_MAX: u32 = 3;
/// How many differences are named one by one.
const NAMED_MAX: u64 = 10;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file that was loaded
    file: PathBuf,
    /// The servers to read from, separated by commas: http://HOST:PORT,…
    #[arg(long, value_name = "URL,…", value_delimiter = ',', required = true)]
    at: Vec<Base>,
    /// Only the lines whose numbers stand in this file, as `load --acknowledged` wrote it
    #[arg(long, value_name = "FILE")]
    acknowledged: Option<PathBuf>,
    /// How many seconds the servers have to reach the same applied index
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    within: u64,
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
enum VerifyError {
    #[error("can not read {0}: {1}")]
    Read(PathBuf, io::Error),
    #[error("{0} does not hold line numbers, one a line")]
    Numbers(PathBuf),
    #[error("{0} has no line that was acknowledged, so there is nothing to verify")]
    Nothing(PathBuf),
    #[error("the servers do not report the same applied index: {0}")]
    Apart(String),
}

/// What may stand under a key.
#[derive(Default)]
struct Expected {
    /// How many of its lines were acknowledged.
    lines: u64,
    /// The value of the last of them.
    last: Bytes,
    /// Those of all lines that may have been written at any time.
    possible: Vec<Bytes>,
}

/// The numbers of the acknowledged lines, and whether an earlier attempt may still have its effect.
type Numbers = BTreeMap<u64, bool>;

type Keys = BTreeMap<Bytes, Expected>;

pub(crate) async fn run(args: Args) -> Result<Exit, Failure> {
    let numbers = args.acknowledged.as_deref().map(numbers).transpose().map_err(Failure::usage)?;
    let keys = keys(&args.file, numbers.as_ref());
    let keys = keys.map_err(|error| Failure::usage(VerifyError::Read(args.file.clone(), error)))?;
    let lines: u64 = keys.values().map(|expected| expected.lines).sum();
    // "0 of 0" would look as if all was well.
    if lines == 0 {
        return Err(Failure::usage(VerifyError::Nothing(args.file)));
    }
    let client = Client::new(CLIENTS);
    let applied = same_applied(&client, &args.at, Duration::from_secs(args.within)).await;
    say(&format!("applied {}", applied.map_err(Failure::violated)?));

    let work = Arc::new(Work {
        client,
        bases: args.at,
        keys: keys.into_iter().collect(),
        next: 0.into(),
        wrong: 0.into(),
    });
    let mut readers = JoinSet::new();
    for _ in 0..CLIENTS {
        readers.spawn(read(Arc::clone(&work)));
    }
    let mut verified = 0;
    while let Some(lines) = readers.join_next().await {
        verified += lines.map_err(Failure::violated)?;
    }
    say(&format!("verified {verified} of {lines}"));
    Ok(if verified == lines { Exit::Clean } else { Exit::Violated })
}

fn numbers(path: &Path) -> Result<Numbers, VerifyError> {
    let read = |error| VerifyError::Read(path.to_owned(), error);
    let file = BufReader::new(File::open(path).map_err(read)?);
    let number = |line: io::Result<String>| {
        let line = line.map_err(read)?;
        let (number, retried) = line.strip_suffix(RETRIED).map_or((&*line, false), |number| (number, true));
        Ok((number.parse().map_err(|_| VerifyError::Numbers(path.to_owned()))?, retried))
    };
    file.lines().map(number).collect()
}

fn keys(path: &Path, acknowledged: Option<&Numbers>) -> io::Result<Keys> {
    let mut keys = Keys::new();
    let mut lines = Lines::new(BufReader::new(File::open(path)?));
    while let Some(line) = lines.next()? {
        // `load` refuses such a line too, so it has no number among the acknowledged.
        let Ok(line) = line else { continue };
        let expected = keys.entry(line.key).or_default();
        // Without numbers every line counts as acknowledged at once.
        let retried = acknowledged.map_or(Some(false), |numbers| numbers.get(&line.number).copied());
        if retried != Some(false) {
            expected.possible.push(line.value.clone());
        }
        if retried.is_some() {
            expected.lines += 1;
            expected.last = line.value;
        }
    }
    keys.retain(|_, expected| expected.lines != 0);
    Ok(keys)
}

/// Waits until every server has applied everything that any of them knows committed.
async fn same_applied(client: &Client, bases: &[Base], within: Duration) -> Result<u64, VerifyError> {
    let deadline = Instant::now() + within;
    let mut polls = interval(POLL_EVERY);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        polls.tick().await;
        let mut seen = Vec::new();
        for base in bases {
            let status = client.status(base, ANSWER_WITHIN).await;
            seen.push(status.map(|status| (status.applied, status.commit)));
        }
        if let Some(Ok((applied, _))) = seen.first()
            && seen.iter().all(|status| matches!(status, Ok(both) if *both == (*applied, *applied)))
        {
            return Ok(*applied);
        }
        if deadline < Instant::now() {
            return Err(VerifyError::Apart(describe(bases, &seen)));
        }
    }
}

fn describe(bases: &[Base], seen: &[Result<(u64, u64), ClientError>]) -> String {
    let one = |(base, status): (&Base, &Result<(u64, u64), ClientError>)| match status {
        Ok((applied, commit)) => format!("{base} has applied {applied} of {commit}"),
        Err(error) => error.to_string(),
    };
    bases.iter().zip(seen).map(one).collect::<Vec<_>>().join(", ")
}

struct Work {
    client: Client,
    bases: Vec<Base>,
    keys: Vec<(Bytes, Expected)>,
    next: AtomicU64,
    wrong: AtomicU64,
}

/// One reader: takes the next key until there is none; how many lines it has verified.
async fn read(work: Arc<Work>) -> u64 {
    let mut verified = 0;
    loop {
        let nth = usize::try_from(work.next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
        let Some((key, expected)) = work.keys.get(nth) else {
            return verified;
        };
        let mut right = true;
        for base in &work.bases {
            if let Some(difference) = work.difference(base, key, expected).await {
                right = false;
                work.report(&difference);
            }
        }
        if right {
            verified += expected.lines;
        }
    }
}

impl Work {
    /// What is wrong with a key at a server.
    async fn difference(&self, base: &Base, key: &Bytes, expected: &Expected) -> Option<String> {
        let path = format!("{}?local=true", key::path(key));
        let named = String::from_utf8_lossy(key);
        let mut attempt = 1;
        loop {
            match self.client.send(&Method::GET, base, &path, &Bytes::new(), ANSWER_WITHIN).await {
                Ok(answer) if answer.status == StatusCode::OK => {
                    let right = expected.last == answer.body || expected.possible.contains(&answer.body);
                    return (!right).then(|| format!("{base}: \"{named}\" has another value"));
                }
                Ok(answer) if answer.status == StatusCode::NOT_FOUND => {
                    return Some(format!("{base}: \"{named}\" is missing"));
                }
                Ok(answer) if attempt == ATTEMPTS_MAX => {
                    return Some(format!("{base}: \"{named}\": {}", answer.status));
                }
                Err(error) if attempt == ATTEMPTS_MAX => return Some(format!("\"{named}\": {error}")),
                _ => attempt += 1,
            }
        }
    }

    fn report(&self, difference: &str) {
        match self.wrong.fetch_add(1, Ordering::Relaxed) {
            nth if nth < NAMED_MAX => note(difference),
            NAMED_MAX => note("and more differences"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(text: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        file
    }

    /// Key, number of acknowledged lines, value of the last, and further possible values.
    fn expected(text: &[u8], acknowledged: Option<&str>) -> Vec<(String, u64, String, Vec<Bytes>)> {
        let numbers = acknowledged.map(|numbers| super::numbers(file(numbers.as_bytes()).path()).unwrap());
        let keys = keys(file(text).path(), numbers.as_ref()).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let plain = |(key, expected): (Bytes, Expected)| {
            (text(&key), expected.lines, text(&expected.last), expected.possible)
        };
        keys.into_iter().map(plain).collect()
    }

    #[test]
    fn the_last_acknowledged_line_of_a_key_counts_or_what_may_have_been_written() {
        let text = b"a\t1\na\t2\nb\t3\na\t4\n";
        let of = |value: &'static str| Bytes::from_static(value.as_bytes());
        let all = [("a".into(), 3, "4".into(), vec![]), ("b".into(), 1, "3".into(), vec![])];
        assert_eq!(expected(text, None), all);
        assert_eq!(expected(text, Some("1\n2\n3\n4\n")), all);
        assert_eq!(expected(text, Some("1\n")), [("a".into(), 1, "1".into(), vec![of("2"), of("4")])]);
        assert_eq!(expected(text, Some("2\n")), [("a".into(), 1, "2".into(), vec![of("1"), of("4")])]);
        let retried = expected(text, Some("1\n2 retried\n4\n"));
        assert_eq!(retried, [("a".into(), 3, "4".into(), vec![of("2")])]);
        assert_eq!(expected(text, Some("")), []);
        assert!(super::numbers(file(b"1\ntwo\n").path()).is_err());
        assert!(super::numbers(file(b"1 lost\n").path()).is_err());
    }
}
