//! What the end-to-end tests share: real `raftd` processes in temporary folders, and waiting for what they do.
//!
//! Nothing here sleeps and hopes. [`until`] asks again and again whether something has happened, because an HTTP status
//! can only be asked for; its pause between two questions is there to leave the processor to the servers, and no test
//! depends on its length. Its deadline does nothing but fail a test that would otherwise hang.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of this one")]

pub mod growing;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HeaderMap, LOCATION};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(120);

/// The program under test.
pub fn raftd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftd"));
    command.env_remove("RUST_LOG");
    command
}

/// Runs a command of the program to its end, off the runtime's threads.
pub async fn run(args: &[&str]) -> Output {
    let mut command = raftd();
    command.args(args).stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// The lines on stdout.
pub fn stdout(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// The last line on stdout.
pub fn verdict(output: &Output) -> String {
    stdout(output).pop().unwrap_or_default()
}

/// All of stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asks until the answer is there.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        let mut turns = tokio::time::interval(Duration::from_millis(20));
        loop {
            turns.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    match tokio::time::timeout(DEADLINE, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

/// The first of `count` (at most 8) ports in a row that nobody listens on.
///
/// They lie below those that the system hands out for outgoing connections: a port of that kind may be taken by anybody
/// while its server is down, also by what is left of a connection of this very test, and the server would not come back.
///
/// A block of ports belongs to this process until it ends: a file for each block is locked, so that two tests never take
/// the same ports, also not while neither listens on them.
pub fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static LOCKS: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let locks = std::env::temp_dir().join("raftd-test-ports");
    std::fs::create_dir_all(&locks).unwrap();
    for _ in 0..2_500 {
        // Where to begin is of no importance; it only spreads the processes.
        let nth = std::process::id().wrapping_mul(61).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let first = 10_000 + 8 * u16::try_from(nth % 2_500).unwrap();
        let lock = File::create(locks.join(first.to_string())).unwrap();
        if lock.try_lock().is_err() {
            continue;
        }
        let row = (first..first + count).map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        if row.collect::<Result<Vec<_>, _>>().is_ok() {
            LOCKS.lock().unwrap().push(lock);
            return first;
        }
    }
    panic!("no {count} free ports in a row from 10,000 to 30,000");
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn location(&self) -> &str {
        self.headers.get(LOCATION).map_or("", |location| location.to_str().unwrap())
    }
}

/// One request, without following redirects.
pub async fn request(method: Method, url: &str, body: impl Into<Bytes>) -> Result<Answer, legacy::Error> {
    let client = legacy::Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::builder().method(method).uri(url).body(Full::new(body.into())).unwrap();
    let response = client.request(request).await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body =
        response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Ok(Answer { status, headers, body })
}

/// One request until it has its effect, through whatever change of leader.
pub async fn insist(method: Method, url: &str, body: impl Into<Bytes>) -> Answer {
    let body = body.into();
    until(url, async || {
        let answer = follow_once(&method, url, &body).await?;
        (!answer.status.is_server_error()).then_some(answer)
    })
    .await
}

async fn follow_once(method: &Method, url: &str, body: &Bytes) -> Option<Answer> {
    let mut url = url.to_owned();
    for _ in 0..4 {
        let answer = request(method.clone(), &url, body.clone()).await.ok()?;
        if answer.status != StatusCode::TEMPORARY_REDIRECT {
            return Some(answer);
        }
        answer.location().clone_into(&mut url);
    }
    None
}

/// A running `raftd serve`. Killed when dropped.
pub struct Process {
    child: Child,
    // Closing it ends the server.
    stdin: Option<ChildStdin>,
    // What `says` has not read yet.
    errors: Option<BufReader<ChildStderr>>,
}

impl Process {
    pub fn spawn(command: &mut Command) -> Process {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        Process { child, stdin, errors: None }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it by closing stdin; its exit code.
    pub async fn stop(mut self) -> Option<i32> {
        drop(self.stdin.take());
        until("a server ends once its stdin is closed", async || self.child.try_wait().unwrap()).await.code()
    }

    /// Waits for it to end by itself; its exit code and stderr.
    pub async fn end(mut self) -> (Option<i32>, String) {
        let status = until("a server that can not go on ends", async || self.child.try_wait().unwrap()).await;
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (status.code(), stderr)
    }

    /// Waits for the next line on stderr that says `part`.
    pub async fn says(&mut self, part: &str) {
        let part = part.to_owned();
        let mut stderr =
            self.errors.take().unwrap_or_else(|| BufReader::new(self.child.stderr.take().unwrap()));
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).unwrap() != 0 && !line.contains(&part) {
                line.clear();
            }
            assert!(line.contains(&part), "ended without saying \"{part}\"");
            stderr
        });
        let read = tokio::time::timeout(DEADLINE, reading).await;
        self.errors = Some(read.expect("it says so before long").unwrap());
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three servers that the test starts and ends one by one. Servers are numbered from 1.
pub struct Three {
    pub folder: TempDir,
    pub founders: String,
    ports: u16,
    servers: [Option<Process>; 3],
}

impl Three {
    /// Formats three folders; nothing runs yet.
    pub async fn formatted() -> Three {
        let folder = tempfile::tempdir().unwrap();
        let ports = free_ports(6);
        let mut founders = Vec::new();
        for id in 1..=3_u16 {
            let data = folder.path().join(id.to_string());
            let formatted = run(&["format", "--data", data.to_str().unwrap(), "--id", &id.to_string()]).await;
            assert!(formatted.status.success(), "{}", stderr(&formatted));
            let pair = verdict(&formatted);
            founders.push(format!("{pair}=127.0.0.1:{}/127.0.0.1:{}", ports + 2 + id, ports + id - 1));
        }
        Three { folder, founders: founders.join(","), ports, servers: [None, None, None] }
    }

    /// Three running servers.
    pub async fn running() -> Three {
        let mut three = Three::formatted().await;
        for id in 1..=3 {
            three.start(id);
        }
        three
    }

    pub fn data(&self, id: usize) -> PathBuf {
        self.folder.path().join(id.to_string())
    }

    pub fn raft_address(&self, id: usize) -> String {
        format!("127.0.0.1:{}", usize::from(self.ports) + 2 + id)
    }

    pub fn http_address(&self, id: usize) -> String {
        format!("127.0.0.1:{}", usize::from(self.ports) - 1 + id)
    }

    pub fn url(&self, id: usize) -> String {
        format!("http://{}", self.http_address(id))
    }

    /// All URLs, separated by commas.
    pub fn urls(&self) -> String {
        (1..=3).map(|id| self.url(id)).collect::<Vec<_>>().join(",")
    }

    /// What starts a server.
    pub fn command(&self, id: usize) -> Command {
        let mut command = raftd();
        command.arg("serve").arg("--data").arg(self.data(id)).args(["--listen", &self.raft_address(id)]);
        command.args(["--http", &self.http_address(id), "--founders", &self.founders]);
        command.args(["--bootstrap", "--stop-on-stdin-close"]);
        command
    }

    pub fn start(&mut self, id: usize) {
        self.start_as(id, &mut self.command(id));
    }

    /// Starts it by another command.
    pub fn start_as(&mut self, id: usize, command: &mut Command) {
        self.servers[id - 1] = Some(Process::spawn(command));
    }

    pub fn kill(&mut self, id: usize) {
        self.servers[id - 1].take().unwrap().kill();
    }

    pub async fn stop(&mut self, id: usize) -> Option<i32> {
        self.servers[id - 1].take().unwrap().stop().await
    }

    pub async fn stop_all(&mut self) {
        for id in 1..=3 {
            assert_eq!(self.stop(id).await, Some(0), "server {id}");
        }
    }

    pub fn process(&mut self, id: usize) -> &mut Process {
        self.servers[id - 1].as_mut().unwrap()
    }

    pub async fn status(&self, id: usize) -> Option<Value> {
        let answer = request(Method::GET, &format!("{}/status", self.url(id)), "").await.ok()?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// The server that leads and that all running servers follow.
    pub async fn leader(&self) -> usize {
        self.leader_but(0).await
    }

    /// The same, once it is another one than `old`: for a while after a leader has died, the others still name it.
    pub async fn leader_but(&self, old: usize) -> usize {
        let running: Vec<usize> = (1..=3).filter(|id| self.servers[id - 1].is_some()).collect();
        until("a leader that all running servers follow", async || {
            let mut leaders = Vec::new();
            for id in &running {
                let status = self.status(*id).await?;
                leaders.push((status["leader"]["id"].as_u64()?, status["term"].as_u64()?));
            }
            let leader = usize::try_from(leaders[0].0).ok()?;
            (leader != old && leaders.iter().all(|seen| *seen == leaders[0])).then_some(leader)
        })
        .await
    }

    /// Waits until all three report one applied index that is also committed everywhere, and returns it.
    pub async fn same_applied(&self) -> u64 {
        until("all three have applied the same", async || {
            let mut seen = Vec::new();
            for id in 1..=3 {
                let status = self.status(id).await?;
                seen.push((
                    status["applied"].as_u64()?,
                    status["commit"].as_u64()?,
                    status["last"].as_u64()?,
                ));
            }
            let (applied, ..) = seen[0];
            seen.iter().all(|all| *all == (applied, applied, applied)).then_some(applied)
        })
        .await
    }

    /// `raftd inspect --digest` of a stopped server.
    pub async fn digest(&self, id: usize, index: u64) -> String {
        let data = self.data(id);
        let inspected = run(&["inspect", data.to_str().unwrap(), "--digest", &index.to_string()]).await;
        assert!(inspected.status.success(), "{}", stderr(&inspected));
        verdict(&inspected)
    }
}

/// A program whose stdout is read line by line while it runs. Killed when dropped.
pub struct Talking {
    child: Child,
    lines: tokio::sync::mpsc::UnboundedReceiver<String>,
    heard: Vec<String>,
}

impl Talking {
    pub fn spawn(command: &mut Command) -> Talking {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        Talking { child, lines, heard: Vec::new() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line that says `part`.
    pub async fn says(&mut self, part: &str) -> String {
        let listening = async {
            while let Some(line) = self.lines.recv().await {
                self.heard.push(line.clone());
                if line.contains(part) {
                    return line;
                }
            }
            panic!("ended without saying \"{part}\": {:#?}", self.heard);
        };
        match tokio::time::timeout(DEADLINE, listening).await {
            Ok(line) => line,
            Err(_) => panic!("never said \"{part}\": {:#?}", self.heard),
        }
    }

    /// Sends a signal by name, as `kill` does.
    pub fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Waits for the end; exit code and last line.
    pub async fn end(&mut self) -> (Option<i32>, String) {
        let status = until("the program ends", async || self.child.try_wait().unwrap()).await;
        while let Some(line) = self.lines.recv().await {
            self.heard.push(line);
        }
        (status.code(), self.heard.last().cloned().unwrap_or_default())
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
pub fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap();
    assert!(sent.success(), "kill -s {name} {process}");
}

/// Whether a process is there and no zombie.
pub fn exists(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// All files in a folder and the folders within, sorted.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}
