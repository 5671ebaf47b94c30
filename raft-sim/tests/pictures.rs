//! Runs as pictures: what is drawn is what happened, and the page needs nothing but itself.
//!
//! A witness looks at the world after every action, in its own way, and the facts of the picture are held against what it saw. That the
//! comparison can fail is shown by facts that are changed one by one.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use raft_core::{LogIndex, RoleKind};
use raft_sim::canary::{Break, Canary};
use raft_sim::history::{Call, Outcome};
use raft_sim::{
    Action, Honest, HostId, Link, Mix, Options, PacketName, Painter, Picture, Rig, Schedule, Subject, Watch,
    World, run,
};
use serde_json::{Value, json};

/// What a server is: role, term, vote, leader, commit, applied, durable, start.
type Row = [u64; 8];

/// What was to be seen at some moment: every server and the terms in its log by index, as far as it knows them, and the cut ways.
#[derive(Debug, Default)]
struct Look {
    moment: u64,
    rows: Vec<Row>,
    logs: Vec<BTreeMap<u64, u64>>,
    cuts: Vec<Link>,
}

/// What became of a packet: when it was sent, and the end of each copy.
#[derive(Debug, Default, PartialEq)]
struct Flight {
    sent: u64,
    ends: Vec<i64>,
}

/// Looks on beside a painter.
struct Witness {
    painter: Painter,
    actions: Vec<Action>,
    moments: Vec<u64>,
    looks: Vec<Look>,
    flights: BTreeMap<PacketName, Flight>,
    calls: Vec<Call>,
}

impl Witness {
    fn new(painter: Painter) -> Self {
        let (actions, moments, looks) = Default::default();
        Witness { painter, actions, moments, looks, flights: BTreeMap::new(), calls: Vec::new() }
    }

    fn look<R: Rig>(&self, world: &World<R>) -> Look {
        let mut look = Look { moment: self.actions.len() as u64, ..Look::default() };
        for (nth, host) in world.hosts().iter().enumerate() {
            let host_id = HostId::new(nth as u8 + 1).unwrap();
            let standing = world.standings().into_iter().find(|standing| standing.host == host_id);
            let mut log = BTreeMap::new();
            let mut row = [0; 8];
            if let (Some(node), Some(standing)) = (host.node(), standing) {
                let status = node.status();
                let role = match status.role {
                    _ if status.fault.is_some() => 5,
                    RoleKind::Leader => 4,
                    RoleKind::Candidate => 3,
                    RoleKind::PreCandidate => 2,
                    _ => 1,
                };
                let id = |pair: Option<raft_core::Pair>| pair.map_or(0, |pair| pair.id.raw());
                let (commit, applied) = (status.commit.raw(), standing.applied.raw());
                let (durable, start) = (status.durable.raw(), status.start.index.raw());
                row = [
                    role,
                    status.term.raw(),
                    id(status.vote),
                    id(status.leader),
                    commit,
                    applied,
                    durable,
                    start,
                ];
                for index in 1..=status.last.index.raw() {
                    log.extend(node.term_at(LogIndex::new(index)).map(|term| (index, term.raw())));
                }
            }
            look.rows.push(row);
            look.logs.push(log);
        }
        look.cuts = world.network().cuts().collect();
        look
    }
}

impl<R: Rig> Watch<R> for Witness {
    fn starts(&mut self, world: &World<R>) {
        self.painter.starts(world);
        self.looks.push(self.look(world));
    }

    fn begins(&mut self, action: Action) {
        Watch::<R>::begins(&mut self.painter, action);
    }

    fn happened(&mut self, moment: u64, action: Action, world: &World<R>) {
        self.painter.happened(moment, action, world);
        self.actions.push(action);
        self.moments.push(moment);
        let now = self.actions.len() as u64;
        for name in world.network().names() {
            self.flights.entry(name).or_insert(Flight { sent: now, ends: Vec::new() });
        }
        if let Action::Deliver { packet } | Action::Drop { packet } = action {
            let end = if matches!(action, Action::Drop { .. }) { -(now as i64) } else { now as i64 };
            self.flights.get_mut(&packet).unwrap().ends.push(end);
        }
        if now.is_multiple_of(7) {
            self.looks.push(self.look(world));
        }
        self.calls.clone_from(&world.history().calls);
    }
}

fn numbers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().filter_map(Value::as_i64).collect()
}

fn list(facts: &Value, name: &str) -> Vec<Value> {
    facts[name].as_array().unwrap().clone()
}

/// The last row of a server up to a moment.
fn row_at(facts: &Value, moment: u64, server: usize) -> Vec<i64> {
    let mut rows = facts["nodes"].as_array().unwrap().iter().map(numbers);
    rows.rfind(|row| row[1] == server as i64 && row[0] <= moment as i64).unwrap_or_default()
}

/// The log of a server at a moment, put together from what changed in it.
fn log_at(facts: &Value, moment: u64, server: usize) -> Vec<u64> {
    let mut log: Vec<u64> = Vec::new();
    for row in facts["logs"].as_array().unwrap().iter().map(numbers) {
        if row[1] == server as i64 && row[0] <= moment as i64 {
            log.truncate(row[2] as usize);
            for run in row[3..].chunks(2) {
                log.extend(std::iter::repeat_n(run[0] as u64, run[1] as usize));
            }
        }
    }
    log
}

/// Whether the facts are those of the run that was witnessed; what differs first.
fn compare(facts: &Value, witness: &Witness) -> Result<(), String> {
    let steps: Vec<String> = witness.actions.iter().map(Action::to_string).collect();
    if facts["steps"] != json!(steps) {
        return Err(format!("{} steps of {}", list(facts, "steps").len(), steps.len()));
    }
    let times: Vec<u64> = witness.moments.iter().map(|moment| moment * 1000 / 1024).collect();
    if facts["times"] != json!(times) {
        return Err("times".to_owned());
    }
    for look in &witness.looks {
        compare_look(facts, look)?;
    }
    compare_packets(facts, witness)?;
    compare_requests(facts, witness)
}

fn compare_look(facts: &Value, look: &Look) -> Result<(), String> {
    let moment = look.moment;
    for (nth, (row, log)) in look.rows.iter().zip(&look.logs).enumerate() {
        let drawn = row_at(facts, moment, nth + 1);
        let is_down = row[0] == 0;
        let seen: Vec<i64> = row.iter().map(|number| *number as i64).collect();
        if drawn[2] != seen[0] || !is_down && drawn[2..] != seen {
            return Err(format!("server {} at {moment}: {drawn:?}, not {seen:?}", nth + 1));
        }
        let terms = log_at(facts, moment, nth + 1);
        let differs = |(index, term): (&u64, &u64)| terms.get(*index as usize - 1) != Some(term);
        let end = log.keys().next_back().copied().unwrap_or(0);
        if !is_down && (terms.len() as u64 != end || log.iter().any(differs)) {
            return Err(format!("log of server {} at {moment}: {terms:?}, not {log:?}", nth + 1));
        }
    }
    let rows = list(facts, "cuts");
    let row = rows.iter().map(numbers).rfind(|row| row[0] <= moment as i64);
    let drawn: Vec<(i64, i64)> =
        row.iter().flat_map(|row| row[1..].chunks(2)).map(|ends| (ends[0], ends[1])).collect();
    let seen: Vec<(i64, i64)> =
        look.cuts.iter().map(|link| (i64::from(link.from.raw()), i64::from(link.to.raw()))).collect();
    if drawn == seen { Ok(()) } else { Err(format!("cuts at {moment}: {drawn:?}, not {seen:?}")) }
}

fn compare_packets(facts: &Value, witness: &Witness) -> Result<(), String> {
    let mut drawn = BTreeMap::new();
    for packet in list(facts, "packets") {
        let number = |nth: usize| packet[nth].as_u64().unwrap();
        let host = |nth| HostId::new(number(nth) as u8).unwrap();
        let name = PacketName { link: Link { from: host(0), to: host(1) }, number: number(2) as u32 };
        drawn.insert(name, Flight { sent: number(5), ends: numbers(&packet[6]) });
    }
    // A packet that was sent and lost by the same action nobody has seen.
    let differs = witness.flights.iter().find(|(name, flight)| drawn.get(name) != Some(flight));
    match differs {
        Some((name, flight)) => Err(format!("packet {name}: {:?}, not {flight:?}", drawn.get(name))),
        None if drawn.len() != witness.flights.len() => Err("more packets than were sent".to_owned()),
        None => Ok(()),
    }
}

/// What clients were told of registers, by the history that the oracles judge. It counts events of the world.
fn compare_requests(facts: &Value, witness: &Witness) -> Result<(), String> {
    let requests = list(facts, "requests");
    let asks = witness.actions.iter().filter(|action| action.to_string().contains(" request ")).count();
    if requests.len() != asks {
        return Err(format!("{} requests, not {asks}", requests.len()));
    }
    let events_before = |moment: u64| {
        witness.actions[..moment as usize - 1].iter().filter(|action| action.is_event()).count() as u64
    };
    let told = |call: &Call| {
        // Nobody else asks at the same moment.
        requests.iter().find(|row| {
            let asked = row[0].as_u64().unwrap();
            let action = witness.actions[asked as usize - 1].to_string();
            events_before(asked) == call.invoked && action.contains(&format!("client {} key", call.client))
        })
    };
    for call in &witness.calls {
        let row = told(call).ok_or_else(|| format!("nobody asks what {call} asks"))?;
        let (at, outcome) = (row[5].as_u64().unwrap(), row[6].as_u64().unwrap());
        let fits = match call.outcome {
            Outcome::Answered { at: answered, .. } => outcome == 1 && events_before(at) == answered,
            Outcome::Refused => outcome == 2,
            Outcome::Open => outcome != 1 && outcome != 2,
        };
        if !fits {
            return Err(format!("{row} is not {call}"));
        }
    }
    Ok(())
}

fn witnessed(seed: u64, options: &Options) -> (Witness, Value) {
    let mut witness = Witness::new(Painter::of_seed(seed, Vec::new()));
    let report = run(seed, options, Honest, &mut witness);
    assert_eq!(report.violation, None);
    let picture = witness.painter.clone().finish(None, true);
    let facts = serde_json::from_str(&picture.json()).unwrap();
    (witness, facts)
}

/// Goal: what is drawn is what happened. Method: runs of all profiles, with every kind of fault, beside a witness.
#[test]
fn pictures_show_what_happened() {
    for (mix, seeds) in [
        (Mix::Default, 0..4),
        (Mix::named("swarm").unwrap(), 4..10),
        (Mix::named("changes").unwrap(), 10..13),
        (Mix::named("leases").unwrap(), 13..15),
    ] {
        for seed in seeds {
            let options = Options { actions: 1_500, nodes: None, mix };
            let (witness, facts) = witnessed(seed, &options);
            assert_eq!(compare(&facts, &witness), Ok(()), "seed {seed} of {}", mix.name());
        }
    }
}

/// Goal: a picture that is wrong in any of its facts is noticed. Method: the facts of a run, each kind of them changed in one place.
#[test]
fn wrong_pictures_are_noticed() {
    let options = Options { actions: 1_500, nodes: Some(3), mix: Mix::named("swarm").unwrap() };
    let (witness, facts) = witnessed(6, &options);
    assert_eq!(compare(&facts, &witness), Ok(()));
    let mut tried = 0;
    let mut change = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut wrong = facts.clone();
        change(&mut wrong);
        assert_ne!(wrong, facts, "{name}: nothing was changed");
        assert!(compare(&wrong, &witness).is_err(), "{name}: nobody has noticed");
        tried += 1;
    };
    let middle = |list: &Value| list.as_array().unwrap().len() / 2;
    let place = |facts: &Value, name: &str, fits: &dyn Fn(&Value) -> bool| {
        facts[name].as_array().unwrap().iter().position(fits).unwrap()
    };
    change("a step less", &|facts| drop(facts["steps"].as_array_mut().unwrap().pop()));
    change("another time", &|facts| {
        let nth = middle(&facts["times"]);
        facts["times"][nth] = json!(0);
    });
    for (column, what) in [
        (2, "role"),
        (3, "term"),
        (4, "vote"),
        (5, "leader"),
        (6, "commit"),
        (7, "applied"),
        (8, "durable"),
        (9, "start"),
    ] {
        change(what, &|facts| {
            // Of the last row of a server, which holds to the end.
            let nth = facts["nodes"].as_array().unwrap().len() - 1;
            facts["nodes"][nth][column] = json!(77);
        });
    }
    change("a log that is longer", &|facts| {
        let nth = facts["logs"].as_array().unwrap().len() - 1;
        facts["logs"][nth].as_array_mut().unwrap().extend([json!(99), json!(1)]);
    });
    change("a log that keeps what was cut off", &|facts| {
        let nth = place(facts, "logs", &|row| row[2].as_u64().unwrap() != 0);
        facts["logs"][nth][2] = json!(0);
    });
    change("an arrow that ends later", &|facts| {
        let nth = place(facts, "packets", &|packet| !packet[6].as_array().unwrap().is_empty());
        facts["packets"][nth][6][0] = json!(facts["packets"][nth][6][0].as_i64().unwrap() + 1);
    });
    change("a lost packet that arrives", &|facts| {
        let nth = place(facts, "packets", &|packet| packet[6][0].as_i64().is_some_and(|end| end < 0));
        facts["packets"][nth][6][0] = json!(-facts["packets"][nth][6][0].as_i64().unwrap());
    });
    change("an arrow that begins earlier", &|facts| {
        let nth = middle(&facts["packets"]);
        facts["packets"][nth][5] = json!(1);
    });
    change("an arrow to another server", &|facts| {
        let nth = place(facts, "packets", &|packet| packet[0] == json!(1) && packet[1] == json!(2));
        facts["packets"][nth][1] = json!(3);
    });
    change("a packet less", &|facts| drop(facts["packets"].as_array_mut().unwrap().remove(0)));
    change("no cuts", &|facts| facts["cuts"] = json!([]));
    change("a request less", &|facts| drop(facts["requests"].as_array_mut().unwrap().pop()));
    change("a refused call that is done", &|facts| {
        let is_refused = |row: &Value| {
            row[3] != json!(0) && row[6] == json!(2) && row[4].as_str().unwrap().starts_with('r')
        };
        let nth = place(facts, "requests", &is_refused);
        facts["requests"][nth][6] = json!(1);
    });
    assert_eq!(tried, 20);
}

fn broken_rig(name: &str) -> &'static dyn Subject {
    match Canary::named(name).unwrap().how {
        Break::Rig(rig) => rig,
        Break::Core(_) => panic!("{name} is no rig"),
    }
}

/// A run that a broken disk spoils.
fn spoilt() -> Schedule {
    let rig = broken_rig("forgetful-disk");
    let seed = rig.find(50, &Options::default()).unwrap().seed;
    Schedule { broken: Some("forgetful-disk".to_owned()), ..rig.record(seed, &Options::default()).0 }
}

/// Goal: a picture says which rule broke, where and when. Method: a run with a broken disk, whose last action breaks it; and the same
/// on an honest disk, which breaks none.
#[test]
fn pictures_show_the_broken_rule() {
    let schedule = spoilt();
    let never = std::sync::atomic::AtomicBool::new(false);
    let (picture, replayed) = broken_rig("forgetful-disk").draw(&schedule, &never);
    let violation = replayed.violation.unwrap();
    let facts: Value = serde_json::from_str(&picture.json()).unwrap();
    let steps = list(&facts, "steps");
    assert_eq!(steps.len(), schedule.actions.len());
    let broken = &facts["broken"];
    assert_eq!(broken[0], json!(steps.len()));
    let Some(Action::Restart { host, .. }) = schedule.actions.last() else {
        panic!("a disk that forgets is seen when its machine comes up")
    };
    assert_eq!(broken[1], json!(host.raw()));
    assert_eq!(broken[2], json!(false));
    assert_eq!([&broken[3], &broken[4], &broken[5]], [violation.oracle, violation.rule, &violation.what]);
    assert_eq!(facts["notes"][0], "broken on purpose: forgetful-disk");
    let (picture, replayed) = (&Honest as &dyn Subject).draw(&schedule, &never);
    assert_eq!(replayed.violation, None);
    let facts: Value = serde_json::from_str(&picture.json()).unwrap();
    assert_eq!(facts["broken"], Value::Null);
}

/// The block of facts in a page.
fn facts_in(page: &str) -> Value {
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"facts\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// What in a page is loaded from elsewhere, or could be.
fn elsewhere(page: &str) -> Vec<&'static str> {
    let signs = [
        "http:",
        "https:",
        "//cdn",
        "src=",
        "src =",
        "url(",
        "@import",
        "fetch(",
        "XMLHttpRequest",
        "import(",
        "WebSocket",
        "sendBeacon",
        "eval(",
        "innerHTML",
        "document.write",
        "srcset",
        "<iframe",
        "<object",
        "<embed",
    ];
    signs.into_iter().filter(|sign| page.contains(sign)).collect()
}

/// Goal: a page needs nothing but itself, and says so to the browser. Method: what would load something is looked for, and is found
/// where it is put in.
#[test]
fn page_is_one_file() {
    let picture = drawn(3);
    let page = picture.page();
    assert_eq!(elsewhere(&page), [""; 0]);
    assert!(page.contains("default-src 'none'"));
    for sign in ["src=", "url(", "https:", "fetch("] {
        assert_eq!(elsewhere(&page.replace("</style>", &format!("{sign}x)</style>"))), [sign]);
    }
    assert_eq!(page.matches("</html>").count(), 1);
    assert_eq!(facts_in(&page)["title"], "seed 3");
}

fn drawn(seed: u64) -> Picture {
    let options = Options { actions: 300, nodes: Some(3), ..Options::default() };
    let mut painter = Painter::of_seed(seed, vec!["a note".to_owned()]);
    run(seed, &options, Honest, &mut painter);
    painter.finish(None, true)
}

/// Goal: no text of a run becomes markup. Method: notes that would end the block of facts, or begin a comment in it, come out of it as
/// they went in, and the page has as many blocks as any other.
#[test]
fn texts_do_not_become_markup() {
    let evil = ["</script><script>alert(1)</script>", "<!-- <script>", "\u{2028}\"\\", "&lt;b&gt; <b>"];
    let schedule = Schedule { notes: evil.map(str::to_owned).to_vec(), ..spoilt() };
    let (picture, _) =
        broken_rig("forgetful-disk").draw(&schedule, &std::sync::atomic::AtomicBool::new(false));
    let page = picture.page();
    let facts = facts_in(&page);
    assert_eq!(facts["title"], evil[0]);
    assert_eq!(facts["notes"], json!(["broken on purpose: forgetful-disk", evil[1], evil[2], evil[3]]));
    for sign in ["<script", "</script", "<!--"] {
        assert_eq!(page.matches(sign).count(), drawn(3).page().matches(sign).count(), "{sign}");
    }
}

/// Goal: the heading of a picture is short. Method: of a first note with more behind a semicolon only what stands before it is the heading, and
/// the whole note is there too; one without is the heading as it is.
#[test]
fn heading_is_the_beginning_of_the_first_note() {
    let heading = |notes: &[&str]| {
        let notes = notes.iter().map(|note| (*note).to_owned()).collect();
        let schedule = Schedule { notes, broken: None, ..spoilt() };
        let facts = facts_in(&Painter::of_schedule(&schedule).finish(None, true).page());
        (facts["title"].clone(), facts["notes"].clone())
    };
    assert_eq!(heading(&[]), (json!("a schedule"), json!([])));
    assert_eq!(heading(&["a run", "of two"]), (json!("a run"), json!(["of two"])));
    assert_eq!(heading(&["a run; long", "of two"]), (json!("a run"), json!(["a run; long", "of two"])));
}

/// Goal: a long run makes a page that a browser takes. Method: a swarm run of twenty-five thousand actions is some megabytes at most.
#[test]
fn long_runs_make_small_pages() {
    let options = Options { actions: 25_000, nodes: Some(5), mix: Mix::named("swarm").unwrap() };
    let mut painter = Painter::of_seed(8, Vec::new());
    run(8, &options, Honest, &mut painter);
    let picture = painter.finish(None, true);
    assert!(25_000 < picture.actions());
    let bytes = picture.page().len();
    assert!((500_000..4_000_000).contains(&bytes), "{bytes}");
}

fn raft_sim(folder: &std::path::Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_raft-sim")).current_dir(folder).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Goal: a seed and a file are drawn by the command, and it ends as it does when they are printed. Method: both, with the same digest
/// and code as without `--html`.
#[test]
fn replay_draws_what_it_replays() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("spoilt.schedule"), spoilt().to_string()).unwrap();
    for (arguments, code) in [
        (&["replay", "--seed", "5", "--nodes", "3", "--actions", "400"][..], 0),
        (&["replay", "spoilt.schedule"], 1),
    ] {
        let printed = raft_sim(folder, arguments);
        let drawn = raft_sim(folder, &[arguments, &["--html", "run.html"]].concat());
        assert_eq!((printed.status.code(), drawn.status.code()), (Some(code), Some(code)));
        let (printed, drawn) = (text(&printed.stdout), text(&drawn.stdout));
        assert_eq!(printed.lines().last(), drawn.lines().last());
        let facts = facts_in(&std::fs::read_to_string(folder.join("run.html")).unwrap());
        let is_action =
            |line: &&str| !["# ", "violated ", "digest "].iter().any(|other| line.starts_with(other));
        assert_eq!(printed.lines().filter(is_action).count(), list(&facts, "steps").len());
        assert_eq!(facts["broken"].is_null(), code == 0);
    }
}

/// Goal: what can not be drawn, or not be written, is refused with code 2 before anything runs. Method: a file below one that is no folder
/// and a run that would take for ever; the schedule itself as target; and `--columns` besides.
#[test]
fn impossible_pictures_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("spoilt.schedule"), spoilt().to_string()).unwrap();
    for (arguments, said) in [
        (
            &["replay", "--seed", "1", "--actions", "1000000000000", "--html", "spoilt.schedule/x"][..],
            "can not write",
        ),
        (&["replay", "spoilt.schedule", "--html", "none/x.html"], "can not write"),
        (&["replay", "spoilt.schedule", "--html", "./spoilt.schedule"], "it would be written over"),
        (&["replay", "spoilt.schedule", "--html", "x.html", "--columns"], "cannot be used with"),
        (&["replay", "--seed", "1", "--html", "x.html", "--json", "y.json"], "cannot be used with"),
    ] {
        let refused = raft_sim(folder, arguments);
        let stderr = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said) && refused.stdout.is_empty(), "{arguments:?}: {stderr}");
        assert!(!folder.join("x.html").exists());
    }
    let schedule = std::fs::read_to_string(folder.join("spoilt.schedule")).unwrap();
    assert_eq!(schedule, spoilt().to_string());
}
