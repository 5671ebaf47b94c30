//! Every broken behaviour is seen, and by the oracle that is there for it.
//!
//! All broken disks, networks and drivers are tried here, and those broken cores that every Raft must never be; `raft-sim
//! canaries` tries all.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use raft_sim::canary::{
    Bench, Break, CANARIES, Canary, CanaryError, HABITATS, Habitat, Hunt, HuntError, Replacement, SEEDS,
};
use raft_sim::explore::Limits;
use raft_sim::{Honest, Mix, Options, Schedule, campaign, replay};

/// Goal: an oracle that sees a canary does not see ghosts. Method: the unbroken world passes the same seeds.
#[test]
fn unbroken_world_passes_the_seeds_of_the_canaries() {
    let stop = AtomicBool::new(false);
    for mix in [Mix::Default, Mix::Swarm] {
        let summary = campaign((0, SEEDS), &Options::of(mix), 2, &Honest, &stop, &|_| {});
        assert_eq!(summary.violations, []);
        assert_eq!(summary.seeds, SEEDS);
    }
}

/// It is seen by its oracle, and where the page says.
fn assert_flies(canary: &Canary, bench: &Bench, page: &Page) {
    let outcome = canary.fly(bench);
    let seen = outcome.unwrap_or_else(|error| panic!("{}: {error}", canary.name));
    let said = page.canaries.iter().find(|line| line.name == canary.name).map(|line| line.seen.as_str());
    let seen = format!("{} {}", seen.profile.name(), seen.seed);
    assert_eq!(said, Some(seen.as_str()), "docs/canaries.md says where {} is seen", canary.name);
}

/// Goal: broken disks, networks and drivers are seen. Method: all rigs.
#[test]
fn broken_rigs_are_seen_by_their_oracles() {
    let (bench, page) = (Bench::new(None), Page::of(&document("canaries.md")));
    let rigs = CANARIES.iter().filter(|canary| matches!(canary.how, Break::Rig(_)));
    assert!(8 <= rigs.clone().count());
    for canary in rigs {
        assert_flies(canary, &bench, &page);
    }
}

/// Goal: broken cores are seen. Method: a copy of the sources with one rule taken out, built and run, for the rules that the
/// figure 3.2 properties rest on.
#[test]
fn broken_cores_are_seen_by_their_oracles() {
    let (bench, page) = (Bench::new(None), Page::of(&document("canaries.md")));
    for name in ["vote-by-index", "commit-by-counting", "empty-acknowledgement"] {
        let canary = CANARIES.iter().find(|canary| canary.name == name).unwrap();
        assert_flies(canary, &bench, &page);
    }
    short_run_of_a_broken_core(&bench);
    // Goal: a canary that no longer applies is a failure, not a success. Method: a text that is nowhere.
    let gone = Replacement { file: "raft-core/src/step.rs", from: "no such text", to: "" };
    assert!(matches!(bench.probe(&[gone]), Err(CanaryError::Stale { found: 0, .. })));
}

/// Goal: the table can be relied on. Method: names differ, and every replacement fits the sources exactly once.
#[test]
fn canaries_fit_the_sources() {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (nth, canary) in CANARIES.iter().enumerate() {
        assert!(CANARIES[..nth].iter().all(|other| other.name != canary.name), "{}", canary.name);
        let Break::Core(replacements) = canary.how else { continue };
        for replacement in replacements {
            let text = std::fs::read_to_string(top.join(replacement.file)).unwrap();
            assert_eq!(text.matches(replacement.from).count(), 1, "{}: {}", canary.name, replacement.from);
        }
    }
}

/// Goal: the table of spaces can be relied on. Method: each is that of a broken core, which is there once, and there is such a space.
#[test]
fn habitats_are_those_of_broken_cores() {
    assert!(12 <= HABITATS.len());
    for (nth, habitat) in HABITATS.iter().enumerate() {
        let Habitat { canary, bounds, .. } = *habitat;
        assert!(HABITATS[..nth].iter().all(|other| other.canary != canary), "{canary}");
        let broken = Canary::named(canary).unwrap_or_else(|| panic!("there is no canary {canary}"));
        assert!(matches!(broken.how, Break::Core(_)), "{canary}");
        assert_eq!(broken.habitat(), Some(habitat));
        assert_eq!(bounds.to_string().parse(), Ok(bounds), "{canary}");
        let limits = Limits { states: Some(1), ..Limits::default() };
        assert!(Hunt::of(bounds, limits, &AtomicBool::new(false)).unwrap().found.is_none(), "{canary}");
    }
    let homeless = Canary::named("equal-timeouts").unwrap();
    assert!(matches!(homeless.hunt(&Bench::new(None)), Err(HuntError::Homeless)));
}

/// Goal: a bug in the core goes from a seed to a short run and a test by two commands. Method: votes of an older term that count;
/// the short run breaks the same rule in the broken core, and none in the unbroken one.
fn short_run_of_a_broken_core(bench: &Bench) {
    let canary = Canary::named("stale-votes").unwrap();
    let seen = canary.fly(bench).unwrap();
    let schedule = canary.record(bench, &seen).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("run.schedule"), schedule.to_string()).unwrap();
    let raft_sim =
        |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_raft-sim")).args(arguments).output().unwrap();
    let shrunk = raft_sim(&["shrink", &path("run.schedule"), "--test", &path("test.rs")]);
    assert_eq!(shrunk.status.code(), Some(0), "{}", String::from_utf8_lossy(&shrunk.stderr));
    let short: Schedule = std::fs::read_to_string(path("run.short.schedule")).unwrap().parse().unwrap();
    assert!(short.actions.len() <= 40, "{short}");
    assert_eq!(replay(&short, Honest, &mut ()).violation, None);
    assert!(std::fs::read_to_string(path("test.rs")).unwrap().contains("#[test]"));
    let again = raft_sim(&["replay", "--columns", &path("run.short.schedule")]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stdout).contains("\nviolated election-safety: "));
}

/// A line of `docs/canaries.md` that tells of a canary.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Line {
    name: String,
    what: String,
    bugs: Vec<String>,
    oracle: String,
    /// The profile and the seed that show it first.
    seen: String,
    /// The rule that a search of its space breaks; `–` where it fits into none.
    rule: String,
    /// Whether there is a length and a number of states.
    counted: bool,
}

/// A line there that tells of a bug of others: its canaries that are found exhaustively, the others, and why not those.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Bug {
    label: String,
    found: Vec<String>,
    others: Vec<String>,
    why: String,
}

#[derive(Clone, Debug)]
struct Page {
    canaries: Vec<Line>,
    bugs: Vec<Bug>,
}

fn document(name: &str) -> String {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(file).unwrap()
}

/// The cells of each line of a table.
fn table(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with("| "));
    lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
}

fn in_backticks(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn is_label(word: &str) -> bool {
    word.strip_prefix('B').is_some_and(|digits| digits.parse::<u8>().is_ok())
}

/// The labels in a text, and the text without them and the brackets that hold nothing else.
fn without_labels(text: &str) -> (Vec<String>, String) {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_label(word));
    let labels: Vec<String> = words.map(str::to_owned).collect();
    let rest = labels.iter().fold(text.to_owned(), |rest, label| {
        rest.replace(&format!(" ({label})"), "").replace(&format!(", {label}"), "")
    });
    (labels, rest)
}

impl Page {
    fn of(text: &str) -> Page {
        let mut page = Page { canaries: Vec::new(), bugs: Vec::new() };
        for cells in table(text) {
            match cells[..] {
                [name, what, bugs, oracle, profile, seed, _, rule, actions, states]
                    if name.starts_with('`') =>
                {
                    page.canaries.push(Line {
                        name: in_backticks(name).concat(),
                        what: what.to_owned(),
                        bugs: without_labels(bugs).0,
                        oracle: oracle.to_owned(),
                        seen: format!("{profile} {seed}"),
                        rule: rule.to_owned(),
                        counted: [actions, states].iter().all(|count| count.parse::<u64>().is_ok()),
                    });
                }
                [label, found, others, why] if is_label(label) => page.bugs.push(Bug {
                    label: label.to_owned(),
                    found: in_backticks(found),
                    others: in_backticks(others),
                    why: why.to_owned(),
                }),
                _ => {}
            }
        }
        page
    }

    /// What is wrong with it, where `known` are the canaries that known-bugs.md names for each label, in the order of its lines.
    fn faults(&self, known: &[(String, Vec<String>)]) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.canaries.iter().map(|line| line.name.as_str()).eq(CANARIES.iter().map(|canary| canary.name))
        {
            faults.push("there are other canaries, or they are in another order".to_owned());
        }
        for (line, canary) in self.canaries.iter().zip(CANARIES) {
            let (labels, what) = without_labels(canary.what);
            let bugs: Vec<_> = known.iter().filter(|(_, names)| names.contains(&line.name)).collect();
            let rule = canary.habitat().map_or("–", |habitat| habitat.oracle);
            let right = [
                ("words", line.what == what),
                ("oracle", line.oracle == canary.oracle),
                ("bugs", line.bugs.iter().eq(bugs.iter().map(|(label, _)| label))),
                ("bugs of the source", labels.iter().all(|label| line.bugs.contains(label))),
                ("rule", line.rule == rule && line.counted == (rule != "–")),
            ];
            faults.extend(
                right.iter().filter(|(_, right)| !right).map(|(part, _)| format!("{}: {part}", line.name)),
            );
        }
        if !self.bugs.iter().map(|bug| &bug.label).eq(known.iter().map(|(label, _)| label)) {
            faults.push("there are other bugs, or they are in another order".to_owned());
        }
        for (bug, (_, names)) in self.bugs.iter().zip(known) {
            let fits = |name: &&&str| HABITATS.iter().any(|habitat| habitat.canary == **name);
            let named = CANARIES
                .iter()
                .map(|canary| canary.name)
                .filter(|name| names.iter().any(|other| other == name));
            let named: Vec<&str> = named.collect();
            let (found, others): (Vec<&str>, Vec<&str>) = named.iter().partition(|name| fits(name));
            if bug.found != found || bug.others != others {
                faults.push(format!("{}: canaries", bug.label));
            }
            if (bug.why == "–") != (!found.is_empty() && others.is_empty()) {
                faults.push(format!("{}: why", bug.label));
            }
        }
        faults
    }
}

/// The canaries that known-bugs.md names for each label.
fn known_bugs() -> Vec<(String, Vec<String>)> {
    let text = document("known-bugs.md");
    let lines = table(&text).filter(|cells| is_label(cells[0]));
    let canaries =
        |cell: &str| in_backticks(cell).into_iter().filter(|name| Canary::named(name).is_some()).collect();
    lines.map(|cells| (cells[0].to_owned(), canaries(cells[2]))).collect()
}

/// Goal: the page of canaries can be relied on. Method: names, words, oracles, labels, and which are found exhaustively are those of the tables
/// of the source and of the bugs of others; a page in which one of these is wrong is seen.
#[test]
fn page_says_what_the_tables_say() {
    let (text, known) = (document("canaries.md"), known_bugs());
    let page = Page::of(&text);
    assert!(50 <= known.len() && known.iter().any(|(_, names)| 1 < names.len()));
    assert_eq!(page.faults(&known), [""; 0]);
    let count = |holds: &dyn Fn(&Bug) -> bool| page.bugs.iter().filter(|bug| holds(bug)).count();
    let (found, none) =
        (count(&|bug| !bug.found.is_empty()), count(&|bug| bug.found.is_empty() && bug.others.is_empty()));
    let rigs = CANARIES.iter().filter(|canary| matches!(canary.how, Break::Rig(_))).count();
    for counts in [
        format!(
            "{rigs} are disks, networks, drivers and state machines, {} are cores",
            CANARIES.len() - rigs
        ),
        format!("Of the {} bugs of [known-bugs.md](known-bugs.md), {found} have a canary", known.len()),
        format!("{} one that is found at\nrandom only, and {none} have none", known.len() - found - none),
    ] {
        assert!(text.contains(&counts), "{counts}");
    }
    let vote = page.canaries.iter().position(|line| line.name == "vote-twice").unwrap();
    let timeouts = page.canaries.iter().position(|line| line.name == "equal-timeouts").unwrap();
    let places: BTreeMap<&str, usize> =
        page.bugs.iter().enumerate().map(|(nth, bug)| (bug.label.as_str(), nth)).collect();
    let with = |change: &dyn Fn(&mut Page)| {
        let mut page = page.clone();
        change(&mut page);
        page.faults(&known)
    };
    assert_eq!(with(&|page| page.canaries[vote].what.push('s')), ["vote-twice: words"]);
    assert_eq!(with(&|page| "health".clone_into(&mut page.canaries[vote].oracle)), ["vote-twice: oracle"]);
    assert_eq!(with(&|page| page.canaries[vote].bugs.push("B1".to_owned())), ["vote-twice: bugs"]);
    assert_eq!(
        with(&|page| page.canaries[vote].bugs.clear()),
        ["vote-twice: bugs", "vote-twice: bugs of the source"]
    );
    assert_eq!(with(&|page| "votes".clone_into(&mut page.canaries[vote].rule)), ["vote-twice: rule"]);
    assert_eq!(with(&|page| page.canaries[timeouts].counted = true), ["equal-timeouts: rule"]);
    assert!(
        with(&|page| drop(page.canaries.pop()))
            .contains(&"there are other canaries, or they are in another order".to_owned())
    );
    assert!(
        with(&|page| drop(page.bugs.pop()))
            .contains(&"there are other bugs, or they are in another order".to_owned())
    );
    assert_eq!(with(&|page| page.bugs[places["B3"]].found.clear()), ["B3: canaries"]);
    assert_eq!(with(&|page| "–".clone_into(&mut page.bugs[places["B10"]].why)), ["B10: why"]);
}
