//! `raftd demo`: three servers on this machine, watched: says who leads, what to try, and which server has died.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{Base, Client};
use crate::cluster::{Cluster, Event, Folder};
use crate::exit::{Exit, Failure, note, say};
use crate::http::Status;
use crate::signals::Signals;

/// The first of the three HTTP ports, where none is given and the folder has none.
const HTTP_PORT: u16 = 4001;
/// How often the servers are asked who leads, and how long one may take to say so.
const ASK_EVERY: Duration = Duration::from_millis(200);
const ASK_WITHIN: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder of the cluster: its data stays there. Without it the data is gone at the end
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The HTTP port of the first server; the others take the two behind it [default: 4001, or the folder's own]
    #[arg(long, value_name = "P")]
    http_port: Option<u16>,
}

pub(crate) async fn run(args: Args) -> Result<Exit, Failure> {
    let mut signals = Signals::install().map_err(Failure::violated)?;
    let temporary = match args.data {
        Some(_) => None,
        None => Some(Temporary::create("demo", &std::env::temp_dir()).map_err(Failure::violated)?),
    };
    let path = temporary.as_ref().map(|temporary| temporary.path.clone()).or(args.data).unwrap_or_default();
    let folder = Folder::open(&path, args.http_port, HTTP_PORT).map_err(Failure::usage)?;
    say(&format!("three servers in {}", path.display()));
    let mut cluster = Cluster::start(folder).map_err(Failure::violated)?;
    let cause = watch(&mut cluster, &mut signals).await;
    note(&format!("{cause}: ending all three"));
    let clean = cluster.stop().await;
    drop(temporary);
    say(if clean { "all three ended cleanly" } else { "not all three ended cleanly" });
    Ok(if clean { Exit::Clean } else { Exit::Violated })
}

/// Tells what happens until a signal comes, and returns its name.
async fn watch(cluster: &mut Cluster, signals: &mut Signals) -> &'static str {
    let client = Client::new(1);
    let bases = cluster.folder().bases();
    let mut asks = interval(ASK_EVERY);
    asks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut leads, mut explained) = (None, false);
    loop {
        // Asking is part of a branch's wait, so a signal or a death is heard at once also while a server is silent.
        let asked = async {
            asks.tick().await;
            leader(&client, &bases).await
        };
        tokio::select! {
            name = signals.next() => return name,
            event = cluster.next_event() => tell(&event),
            leader = asked => {
                let Some(leader) = leader else { continue };
                if leads.replace((leader.id, leader.term)) != Some((leader.id, leader.term)) {
                    say(&format!("server {} leads in term {}", leader.id, leader.term));
                }
                if !std::mem::replace(&mut explained, true) {
                    explain(&bases);
                }
            }
        }
    }
}

fn tell(event: &Event) {
    match event {
        Event::Started { id, process } => say(&format!("server {id} runs as process {process}")),
        Event::Died { id, status } => {
            say(&format!("server {id} died ({status}); starting it again in a second"));
        }
        Event::Failed { id, error } => say(&format!("server {id}: {error}; trying again in a second")),
    }
}

fn explain(bases: &[Base]) {
    let [first, second, third] = bases else { return };
    say("");
    say("try, from another terminal:");
    say(&format!("  curl -L -X PUT --data-binary 'hello' {first}/db/greeting"));
    say(&format!("  curl -L {second}/db/greeting"));
    say(&format!("  curl '{third}/db/greeting?local=true'"));
    say(&format!("  curl -L -X DELETE {third}/db/greeting"));
    say(&format!("  curl {first}/status"));
    say("kill -9 any of the processes above: it is started again, and no acknowledged write is lost");
    say("");
}

/// Asks all servers at a time; the status of the one that leads in the greatest term.
pub(crate) async fn leader(client: &Client, bases: &[Base]) -> Option<Status> {
    let mut asks = JoinSet::new();
    for base in bases {
        let (client, base) = (client.clone(), base.clone());
        asks.spawn(async move { client.status(&base, ASK_WITHIN).await });
    }
    let mut leader: Option<Status> = None;
    while let Some(asked) = asks.join_next().await {
        let Ok(Ok(status)) = asked else { continue };
        if status.role == "leader" && leader.as_ref().is_none_or(|leader| leader.term < status.term) {
            leader = Some(status);
        }
    }
    leader
}

/// A folder that is removed with all that is in it when this is dropped.
pub(crate) struct Temporary {
    /// Where it is.
    pub(crate) path: PathBuf,
}

impl Temporary {
    /// Makes a new folder within `parent`, which has to be there: only what is made here is removed.
    pub(crate) fn create(purpose: &str, parent: &Path) -> std::io::Result<Temporary> {
        let random = getrandom::u64().map_err(std::io::Error::other)?;
        let path = parent.join(format!("raftd-{purpose}-{random:016x}"));
        std::fs::create_dir(&path)?;
        Ok(Temporary { path })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            note(&format!("can not remove {}: {error}", self.path.display()));
        }
    }
}
