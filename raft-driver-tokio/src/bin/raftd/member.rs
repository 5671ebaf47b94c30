//! `raftd member`: who belongs to the cluster, and changes of that.
//!
//! Every change is a target: what is so already is done. The core decides what is safe; here it is only asked for and told.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use raft_core::{LogIndex, NodeId};
use tokio::time::Instant;

use crate::client::{ANSWER_WITHIN, Answer, Base, Client};
use crate::exit::{Exit, Failure, print, say};
use crate::founders;
use crate::http::members::{Done, Listed, Members, Wanted, WantedChange};

/// How long a change is tried again where it certainly had no effect: while there is no leader, or a new one.
const TRY_FOR: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);

#[derive(clap::Subcommand)]
pub(crate) enum Args {
    /// List the members, as the leader sees them: the vote, how each is sent the log, how far it has it and how much it lacks, and
    /// for how long it has not been heard
    List(List),
    /// Add a server, or put a new incarnation in place of a wiped one, and wait until it has caught up and votes
    Add(Add),
    /// Remove a server
    Remove(One),
    /// Let a server vote
    Promote(Promote),
    /// Take a server's vote, and keep it as a learner
    Demote(One),
    /// Tell where a server is reached from now on, once it has been started there
    Readdress(Readdress),
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// The servers to ask, one after the other until one answers: http://HOST:PORT,…
    #[arg(long, value_name = "URLS", value_delimiter = ',', required = true)]
    http: Vec<Base>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct Ask {
    /// Servers of the cluster, asked one after the other until one answers: http://HOST:PORT,…
    #[arg(long, value_name = "URLS", value_delimiter = ',', required = true)]
    http: Vec<Base>,
    /// Only if N is still the index of the configuration in force, as `raftd member list` shows it
    #[arg(long, value_name = "N")]
    if_index: Option<u64>,
}

#[derive(clap::Args)]
pub(crate) struct Add {
    #[command(flatten)]
    ask: Ask,
    /// It stays without a vote
    #[arg(long)]
    learner: bool,
    /// How many seconds to wait for its vote, 0: not at all. It gets it also when nobody waits any more
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    wait: u32,
    /// The server, as it prints it when it waits: ID@INCARNATION=RAFT_HOST:PORT/HTTP_HOST:PORT
    #[arg(value_name = "SERVER", value_parser = one_server)]
    server: String,
}

#[derive(clap::Args)]
pub(crate) struct One {
    #[command(flatten)]
    ask: Ask,
    /// The id of the server
    #[arg(value_name = "ID")]
    id: NodeId,
}

#[derive(clap::Args)]
pub(crate) struct Promote {
    #[command(flatten)]
    one: One,
    /// Also where the server is not there or has nothing of the log yet. Until it has, its vote makes majorities harder to reach
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args)]
pub(crate) struct Readdress {
    #[command(flatten)]
    ask: Ask,
    /// The id of the server
    #[arg(value_name = "ID")]
    id: NodeId,
    /// Where the other servers reach it: HOST:PORT
    #[arg(value_name = "RAFT_ADDRESS", value_parser = founders::address)]
    raft: String,
    /// Where clients reach it: HOST:PORT. Stays as it is, if not given
    #[arg(value_name = "CLIENT_ADDRESS", value_parser = founders::address)]
    client: Option<String>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
enum MemberError {
    #[error("{0}")]
    Refused(String),
    #[error("{0}. Look with `raftd member list`, and do it again: what is so already is no change")]
    Unknown(String),
    #[error(
        "server {0} has not caught up, and stays a learner. See that it runs, then promote it, or add it again"
    )]
    GivenUp(NodeId),
    #[error("server {0} was removed, or replaced, before it had its vote")]
    Gone(NodeId),
    #[error("{0} answered something else than a server does: {1}")]
    Strange(Base, StatusCode),
}

fn one_server(text: &str) -> Result<String, founders::FoundersError> {
    founders::server(text).map(|_| text.to_owned())
}

pub(crate) async fn run(args: Args) -> Result<Exit, Failure> {
    match args {
        Args::List(args) => list(&args).await,
        Args::Add(args) => add(args).await,
        Args::Remove(One { ask, id }) => change(&ask, WantedChange::Remove { id: id.raw() }).await,
        Args::Promote(Promote { one: One { ask, id }, force }) => {
            change(&ask, WantedChange::Promote { id: id.raw(), force }).await
        }
        Args::Demote(One { ask, id }) => change(&ask, WantedChange::Demote { id: id.raw() }).await,
        Args::Readdress(Readdress { ask, id, raft, client }) => {
            change(&ask, WantedChange::Readdress { id: id.raw(), raft, http: client }).await
        }
    }
}

async fn list(args: &List) -> Result<Exit, Failure> {
    let answer = ask(&args.http, &Method::GET, &Bytes::new()).await?;
    let members: Members = understood(&answer)?;
    if args.json {
        print(String::from_utf8_lossy(&answer.body).trim_end())?;
        return Ok(Exit::Clean);
    }
    for server in &members.servers {
        print(&line(server, ""))?;
    }
    for server in &members.outgoing {
        print(&line(server, " (leaving half)"))?;
    }
    let state = match (members.joint, members.committed) {
        (true, _) => "joint, a change is under way",
        (false, true) => "committed",
        (false, false) => "not committed yet",
    };
    print(&format!("index {}: {} servers, {state}", members.index, members.servers.len()))?;
    Ok(Exit::Clean)
}

fn line(server: &Listed, half: &str) -> String {
    let Listed { member, suffrage, .. } = server;
    let pair = format!("{}@{}", member.id, member.incarnation);
    let written = founders::write(&pair, &member.raft, &member.http);
    let leads = if server.leads { " leads" } else { "" };
    let known =
        |name: &str, value: Option<String>| value.map(|value| format!(" {name}{value}")).unwrap_or_default();
    let state = known("", server.state.clone());
    let matched = known("match ", server.matched.map(|matched| matched.to_string()));
    let lag = known("lag ", server.lag.map(|lag| lag.to_string()));
    let silent = known("silent ", server.silent_ms.map(|ms| format!("{ms} ms")));
    let never = if server.heard == Some(false) { " never heard" } else { "" };
    format!("{written} {suffrage}{leads}{state}{matched}{lag}{silent}{never}{half}")
}

async fn change(how: &Ask, change: WantedChange) -> Result<Exit, Failure> {
    Ok(tell(changed(how, change).await?))
}

async fn changed(how: &Ask, change: WantedChange) -> Result<Done, Failure> {
    let wanted = Wanted { change, if_index: how.if_index };
    let body = serde_json::to_vec(&wanted).map_err(Failure::usage)?.into();
    understood(&ask(&how.http, &Method::POST, &body).await?)
}

fn tell(Done { changed, index, .. }: Done) -> Exit {
    let index = LogIndex::new(index);
    say(&if changed { format!("done: index {index}") } else { format!("is so already: index {index}") });
    Exit::Clean
}

/// Adds a server. One that is to vote is staged first, and gets its vote by another change that the leader makes by itself: only
/// then what was asked for is done.
async fn add(Add { ask: how, learner, wait, server }: Add) -> Result<Exit, Failure> {
    let pair = founders::server(&server).map_err(Failure::usage)?.pair;
    let done = changed(&how, WantedChange::Add { server, learner }).await?;
    if !done.staging {
        return Ok(tell(done));
    }
    let staged = format!("staging {} index {}", if done.changed { "since" } else { "by" }, done.index);
    if wait == 0 {
        say(&format!("done: {staged}; it votes once it has caught up"));
        return Ok(Exit::Clean);
    }
    let until = Instant::now() + Duration::from_secs(wait.into());
    loop {
        // The change is made: that nobody answers for a while does not undo it.
        let answer = match ask(&how.http, &Method::GET, &Bytes::new()).await {
            Ok(answer) => answer,
            Err(_) if Instant::now() < until => continue,
            Err(_) => {
                say(&format!(
                    "unfinished: {staged}, and then nobody answered; it votes once it has caught up"
                ));
                return Ok(Exit::Unfinished);
            }
        };
        let members: Members = understood(&answer)?;
        let incarnation = pair.incarnation.to_string();
        let mut servers = members.servers.iter().map(|listed| (listed, &listed.member));
        let found = servers.find(|(_, one)| one.id == pair.id.raw() && one.incarnation == incarnation);
        // A server that has not heard of the change yet may have answered.
        if done.index <= members.index && members.committed && !members.joint {
            match found {
                Some((listed, _)) if listed.suffrage == "voter" => {
                    say(&format!("done: {staged}, a voter by index {}", members.index));
                    return Ok(Exit::Clean);
                }
                Some((listed, _)) if listed.suffrage == "learner" => {
                    return Err(Failure::violated(MemberError::GivenUp(pair.id)));
                }
                Some(_) => {}
                None => return Err(Failure::violated(MemberError::Gone(pair.id))),
            }
        }
        if until <= Instant::now() {
            let known = found.map(|(listed, _)| line(listed, "")).unwrap_or_default();
            say(&known);
            say(&format!("unfinished: {staged}, and not caught up yet; it votes once it has"));
            return Ok(Exit::Unfinished);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks one server after the other, and again after a pause, until there is an answer that stands or the time is up. An answer
/// that was lost may have been to a change that was made: asked again, that one is found to be so already, as changes are
/// targets, or with an index to be based on another configuration, which says to look.
async fn ask(servers: &[Base], method: &Method, body: &Bytes) -> Result<Answer, Failure> {
    let client = Client::new(1);
    let until = Instant::now() + TRY_FOR;
    let again = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TEMPORARY_REDIRECT];
    loop {
        let (mut why, mut removed) = (String::new(), Vec::new());
        for base in servers {
            match client.send(method, base, "/members", body, ANSWER_WITHIN).await {
                Ok(answer) if answer.status == StatusCode::GONE => removed.push(answer),
                Ok(answer) if !again.contains(&answer.status) => return Ok(answer),
                Ok(answer) => why = String::from_utf8_lossy(&answer.body).trim_end().to_owned(),
                Err(error) => why = error.to_string(),
            }
        }
        // Of servers that are no members any more there is nothing to wait for.
        if removed.len() == servers.len()
            && let Some(answer) = removed.pop()
        {
            return Ok(answer);
        }
        if until <= Instant::now() {
            return Err(Failure::violated(MemberError::Unknown(why)));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn understood<T: serde::de::DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    let text = || String::from_utf8_lossy(&answer.body).trim_end().to_owned();
    match answer.status {
        StatusCode::OK => serde_json::from_slice(&answer.body)
            .map_err(|_| Failure::violated(MemberError::Strange(answer.from.clone(), answer.status))),
        StatusCode::GATEWAY_TIMEOUT => Err(Failure::violated(MemberError::Unknown(text()))),
        _ => Err(Failure::violated(MemberError::Refused(text()))),
    }
}
