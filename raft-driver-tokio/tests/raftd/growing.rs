//! A cluster that grows: servers that are formatted, started, added and removed one by one.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use hyper::Method;
use serde_json::Value;
use tempfile::TempDir;

use super::{Process, free_ports, raftd, request, run, stderr, until, verdict};

/// Servers that are formatted one by one. The first founds the cluster alone; servers are numbered from 1.
pub struct Growing {
    pub folder: TempDir,
    ports: [u16; 2],
    /// Servers that are on the ports of another number.
    pub moved: BTreeMap<usize, usize>,
    /// As in the list of founders.
    pub written: Vec<String>,
    pub processes: Vec<Option<Process>>,
}

impl Growing {
    pub fn new() -> Growing {
        let folder = tempfile::tempdir().unwrap();
        let (ports, moved) = ([free_ports(8), free_ports(8)], BTreeMap::new());
        Growing { folder, ports, moved, written: vec![], processes: vec![] }
    }

    pub fn address(&self, kind: usize, nth: usize) -> String {
        let moved = self.moved.get(&nth).copied().unwrap_or(nth);
        format!("127.0.0.1:{}", usize::from(self.ports[kind]) + moved - 1)
    }

    pub fn url(&self, nth: usize) -> String {
        format!("http://{}", self.address(1, nth))
    }

    /// All URLs of running servers, separated by commas.
    pub fn urls(&self) -> String {
        let running = (1..=self.processes.len()).filter(|nth| self.processes[nth - 1].is_some());
        running.map(|nth| self.url(nth)).collect::<Vec<_>>().join(",")
    }

    pub fn data(&self, nth: usize) -> String {
        self.folder.path().join(nth.to_string()).to_str().unwrap().to_owned()
    }

    /// Formats the folder of the server with this number, which has that id.
    pub async fn format(&mut self, nth: usize) -> String {
        let data = self.data(nth);
        let _ = std::fs::remove_dir_all(&data);
        let formatted = run(&["format", "--data", &data, "--id", &nth.to_string()]).await;
        assert!(formatted.status.success(), "{}", stderr(&formatted));
        let written = format!("{}={}/{}", verdict(&formatted), self.address(0, nth), self.address(1, nth));
        self.written.resize(self.written.len().max(nth), String::new());
        self.written[nth - 1].clone_from(&written);
        written
    }

    /// What starts a server, without founding anything.
    pub fn command(&self, nth: usize, founders: &str) -> Command {
        let mut command = raftd();
        command.args(["serve", "--data", &self.data(nth), "--listen", &self.address(0, nth)]);
        command.args(["--http", &self.address(1, nth), "--founders", founders]);
        command
    }

    pub fn start(&mut self, nth: usize, founders: &str, bootstrap: bool) {
        self.start_with(nth, founders, bootstrap, &[]);
    }

    pub fn start_with(&mut self, nth: usize, founders: &str, bootstrap: bool, more: &[&str]) {
        let mut command = self.command(nth, founders);
        command.arg("--stop-on-stdin-close").args(more);
        if bootstrap {
            command.arg("--bootstrap");
        }
        self.processes.resize_with(self.processes.len().max(nth), || None);
        self.processes[nth - 1] = Some(Process::spawn(&mut command));
    }

    pub async fn member(&self, args: &[&str]) -> Output {
        let urls = self.urls();
        let mut all = vec!["member", args[0], "--http", &urls];
        all.extend(&args[1..]);
        run(&all).await
    }

    /// A change that has to be made, through whatever is under way.
    pub async fn change(&self, args: &[&str]) -> String {
        until(&args.join(" "), async || {
            let output = self.member(args).await;
            if output.status.success() {
                return Some(verdict(&output));
            }
            // A server that is added may need longer for its vote than is waited for by default.
            if output.status.code() == Some(3) {
                return None;
            }
            let why = stderr(&output);
            assert!(
                why.contains("under way") || why.contains("by now") || why.contains("do it again"),
                "{why}"
            );
            None
        })
        .await
    }

    pub async fn members(&self) -> Value {
        until("a list", async || {
            let output = self.member(&["list", "--json"]).await;
            serde_json::from_str(&verdict(&output)).ok()
        })
        .await
    }

    /// Waits until these and only these vote.
    pub async fn voters(&self, wanted: &[u64]) {
        until(&format!("voters {wanted:?}"), async || {
            let members = self.members().await;
            let servers = members["servers"].as_array()?;
            let voters = servers.iter().filter(|server| server["suffrage"] == "voter");
            let voters: Vec<_> = voters.filter_map(|server| server["id"].as_u64()).collect();
            (voters == wanted && members["committed"] == true && members["joint"] == false).then_some(())
        })
        .await;
    }

    pub async fn status(&self, nth: usize) -> Option<Value> {
        let answer = request(Method::GET, &format!("{}/status", self.url(nth)), "").await.ok()?;
        serde_json::from_slice(&answer.body).ok()
    }
}
