//! What a picture shows, as rows of numbers and texts, and their JSON. Moment 0 is the beginning; moment *n* is right after the *n*-th
//! action. Rows are in the order of their moments, and a fact holds from its moment until a later row says otherwise.
//!
//! ```text
//! steps     text of each action                    times     of each, in thousandths of a tick; none in a schedule
//! nodes     [moment, server, role, term, vote, leader, commit, applied, durable, start]
//! logs      [moment, server, kept, term, count, …] the log is its first `kept` entries and then these
//! entries   [index, term, text] or [… , server]    what stands there; with a server: there it is something else
//! packets   [from, to, number, kind, text, sent, [end of each copy, …]]      an end is when it arrived, or less than 0: -when it was lost
//! requests  [asked, server, number, client, text, told, outcome, text]
//! cuts      [moment, from, to, from, to, …]        all ways that are cut from then on
//! says      [moment, server, text]                 what a node said that has changed
//! states    [moment, server, text]                 what the state machine of a user is, as its `Debug` shows it
//! waits     [kind, server, from, to]               0: its disk stands still, 1: nothing happens there at all
//! ending    [moment, text]                         what a schedule says of what follows its last action
//! broken    [moment, server, at end, oracle, rule, seen]
//! ```
//!
//! Servers are numbered from 1; 0 is none. Nothing here knows how rows come about, or how they are drawn.

/// The role of a server as a number, which the page knows too.
pub(super) mod role {
    pub(in crate::picture) const DOWN: u64 = 0;
    pub(in crate::picture) const FOLLOWER: u64 = 1;
    pub(in crate::picture) const PRE_CANDIDATE: u64 = 2;
    pub(in crate::picture) const CANDIDATE: u64 = 3;
    pub(in crate::picture) const LEADER: u64 = 4;
    pub(in crate::picture) const HALTED: u64 = 5;
}

/// What became of a request, as a number.
pub(super) mod outcome {
    pub(in crate::picture) const OPEN: u64 = 0;
    pub(in crate::picture) const DONE: u64 = 1;
    pub(in crate::picture) const REFUSED: u64 = 2;
    pub(in crate::picture) const UNKNOWN: u64 = 3;
}

/// Why a server waits, as a number.
pub(super) mod wait {
    pub(in crate::picture) const DISK: u64 = 0;
    pub(in crate::picture) const STILL: u64 = 1;
}

/// A packet: where from, where to, the how-manieth on its way, its kind as a place in the list of kinds, and what it says; when it was
/// sent, and what became of each copy: the moment in which it arrived, or was lost, and which of the two.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) way: [u64; 3],
    pub(super) kind: usize,
    pub(super) text: String,
    pub(super) sent: u64,
    pub(super) ends: Vec<(u64, bool)>,
}

/// What a client asked for: when, whom, by which number, which client it is, and what; when it was told what.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) asked: u64,
    pub(super) server: u64,
    pub(super) number: u64,
    pub(super) client: Option<u8>,
    pub(super) text: String,
    pub(super) told: u64,
    pub(super) outcome: u64,
    pub(super) answer: String,
}

/// The rule that a run broke: in which moment, at which server if it was an action of one, and whether that was only seen at the end.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub(super) moment: u64,
    pub(super) server: u64,
    pub(super) at_end: bool,
    pub(super) oracle: &'static str,
    pub(super) rule: &'static str,
    pub(super) seen: String,
}

/// All facts of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) title: String,
    pub(super) notes: Vec<String>,
    pub(super) servers: u64,
    pub(super) timed: bool,
    pub(super) steps: Vec<String>,
    pub(super) times: Vec<u64>,
    pub(super) nodes: Vec<[u64; 10]>,
    pub(super) logs: Vec<Vec<u64>>,
    pub(super) entries: Vec<(u64, u64, String, Option<u64>)>,
    pub(super) kinds: Vec<&'static str>,
    pub(super) packets: Vec<Packet>,
    pub(super) requests: Vec<Request>,
    pub(super) cuts: Vec<Vec<u64>>,
    pub(super) says: Vec<(u64, u64, String)>,
    pub(super) states: Vec<(u64, u64, String)>,
    pub(super) waits: Vec<[u64; 4]>,
    pub(super) ending: Option<(u64, String)>,
    pub(super) broken: Option<Broken>,
    pub(super) whole: bool,
}

/// Numbers and texts always have a JSON; were it otherwise, the page would say that it has no run.
macro_rules! json {
    ($value:expr) => {
        serde_json::to_string($value).unwrap_or_default()
    };
}

fn rows<T>(rows: &[T], row: impl Fn(&T) -> String) -> String {
    format!("[{}]", rows.iter().map(row).collect::<Vec<_>>().join(",\n"))
}

impl Facts {
    /// The moment after the last action so far.
    pub(super) fn now(&self) -> u64 {
        self.steps.len() as u64
    }

    pub(super) fn json(&self) -> String {
        let fields = [
            ("title", json!(&self.title)),
            ("notes", json!(&self.notes)),
            ("servers", json!(&self.servers)),
            ("timed", json!(&self.timed)),
            ("whole", json!(&self.whole)),
            ("steps", json!(&self.steps)),
            ("times", json!(&self.times)),
            ("nodes", json!(&self.nodes)),
            ("logs", json!(&self.logs)),
            ("entries", rows(&self.entries, entry)),
            ("kinds", json!(&self.kinds)),
            ("packets", rows(&self.packets, packet)),
            ("requests", rows(&self.requests, request)),
            ("cuts", json!(&self.cuts)),
            ("says", json!(&self.says)),
            ("states", json!(&self.states)),
            ("waits", json!(&self.waits)),
            ("ending", json!(&self.ending)),
            ("broken", self.broken.as_ref().map_or_else(|| "null".to_owned(), broken)),
        ];
        let fields = fields.map(|(name, value)| format!("\"{name}\":{value}"));
        // A browser looks for the end of the block before it reads any JSON, in which `<` can stand in texts only.
        format!("{{{}}}", fields.join(",\n")).replace('<', "\\u003c")
    }
}

fn entry((index, term, text, server): &(u64, u64, String, Option<u64>)) -> String {
    server.map_or_else(|| json!(&(index, term, text)), |server| json!(&(index, term, text, server)))
}

/// A row: the way, the kind, the text, when it was sent, and for each copy when it arrived, or less than 0 when it was lost.
fn packet(Packet { way: [from, to, number], kind, text, sent, ends }: &Packet) -> String {
    let ends: Vec<i64> =
        ends.iter().map(|(at, lost)| if *lost { -(*at as i64) } else { *at as i64 }).collect();
    json!(&(from, to, number, kind, text, sent, ends))
}

fn request(request: &Request) -> String {
    let Request { asked, server, number, client, text, told, outcome, answer } = request;
    json!(&(asked, server, number, client.unwrap_or(0), text, told, outcome, answer))
}

fn broken(Broken { moment, server, at_end, oracle, rule, seen }: &Broken) -> String {
    json!(&(moment, server, at_end, oracle, rule, seen))
}
