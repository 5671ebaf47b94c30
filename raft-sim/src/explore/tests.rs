//! Goal: the search looks at what can really happen, and leaves out nothing that is different. Method: random walks through spaces beside a
//! world of the same cluster; every exchange of servers against what the core does; small spaces with and without each reduction; and
//! a disk that forgets votes, which must be found.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use raft_core::{Digest, Pair, Position, Renaming};

use super::book::Book;
use super::names::{Boots, Exchange, Look, Private, Recount, SERVERS_MAX, Told};
use super::space::Space;
use super::state::{Of, State};
use super::successor::{Act, Choice, take, take_beside};
use super::trace::Trace;
use super::visited::{LIMITED, covers};
use super::what::What;
use super::{Bounds, BoundsError, Limits, Report, ResumeError, explore, explore_resuming};
use crate::action::HostId;
use crate::random::Random;

fn search(bounds: Bounds, limits: Limits) -> Report {
    explore(bounds, limits, &AtomicBool::new(false), &mut |_| {}).expect("these are bounds")
}

fn spaces() -> [Bounds; 7] {
    let small = Bounds { messages: 4, ..Bounds::default() };
    [
        Bounds { crashes: 2, drops: 2, duplicates: 2, terms: 7, entries: 3, ..small },
        Bounds { crashes: 2, drops: 2, duplicates: 2, terms: 7, entries: 3, syncs: true, ..small },
        Bounds { crashes: 1, drops: 2, duplicates: 2, terms: 7, entries: 2, changes: 3, ..small },
        Bounds { crashes: 1, drops: 2, terms: 4, entries: 2, snapshots: 4, ..small },
        Bounds { crashes: 2, drops: 1, terms: 5, changes: 2, snapshots: 4, syncs: true, ..small },
        Bounds { crashes: 1, terms: 5, entries: 2, pre_vote: true, messages: 6, ..small },
        Bounds { nodes: 2, crashes: 3, terms: 7, entries: 4, syncs: true, messages: 2, ..small },
    ]
}

/// Everything that can be chosen in a state, bounds or not.
fn acts(book: &Book, state: &State) -> Vec<Act> {
    let mut acts = Vec::new();
    let bounds = *book.space.bounds();
    for place in 0..book.space.servers() {
        let facts = *book.server_facts(state.servers[place]);
        let place = place as u8;
        acts.extend(facts.can_time_out.then_some(Act::Timeout(place)));
        acts.extend((facts.leads && 1 < bounds.nodes).then_some(Act::Silence(place)));
        let may_save = facts.can_save && state.used.of(Of::Snapshots) < bounds.snapshots;
        acts.extend(may_save.then_some(Act::Snapshot(place)));
        acts.extend((1..=facts.queued).map(|writes| Act::Sync(place, writes)));
        if facts.leads && state.used.of(Of::Entries) < bounds.entries {
            acts.push(Act::Propose(place));
        }
        if facts.leads && state.used.of(Of::Changes) < bounds.changes {
            acts.extend((1..1 << bounds.nodes).map(|voters| Act::Reconfigure(place, voters)));
        }
        if state.used.of(Of::Crashes) < bounds.crashes {
            acts.extend((0..=facts.queued).map(|kept| Act::Crash(place, kept)));
        }
    }
    for nth in 0..state.count {
        let facts = *book.parcel_facts(state.packets[usize::from(nth)]);
        acts.push(Act::Deliver(nth));
        if !facts.is_report && state.used.of(Of::Drops) < bounds.drops {
            acts.push(Act::Drop(nth));
        }
        if facts.is_packets() && state.used.of(Of::Duplicates) < bounds.duplicates {
            acts.push(Act::DeliverCopy(nth));
        }
    }
    acts
}

/// Machines of a world by the places at which they stand.
struct Standing<'a>(&'a [HostId]);

impl Renaming for Standing<'_> {
    fn snapshot(&mut self, last: Position, _: u64, _: Digest) -> (u64, Digest) {
        (1, super::server::digest_of(last))
    }

    fn pair(&mut self, pair: Pair) -> Pair {
        let place = self.0.iter().position(|host| u64::from(host.raw()) == pair.id.raw());
        place.map_or(pair, super::names::pair_at)
    }

    fn server(&mut self, server: &raft_core::Server) -> raft_core::Server {
        let pair = self.pair(server.pair);
        crate::action::server_of(HostId::at(super::names::place_of(pair)), pair, server.suffrage)
    }
}

/// A node without time, all of its numbers counted from the least.
fn plain(node: raft_core::Node) -> raft_core::Node {
    let own = node.identity().pair;
    let mut look = Look::new(own);
    let node = node.renamed(&mut &mut look);
    let latest = look.writes.pop().unwrap_or(0);
    let writes_before = look.writes.first().map_or(latest, |oldest| oldest - 1);
    let leads = node.status().role == raft_core::RoleKind::Leader;
    let node = node.renamed(&mut Private { writes_before, fetches: look.fetches, leads });
    let mut look = Look::new(own);
    let mut node = node.renamed(&mut &mut look);
    for (place, in_use) in look.boots.into_iter().enumerate() {
        node = node.renamed(&mut Boots { of: super::names::pair_at(place), in_use });
    }
    let rounds = leads.then_some((look.shared.latest, [Told::NOTHING; SERVERS_MAX]));
    node.renamed(&mut Recount { of: own, rounds, attempts: look.shared.attempts, sends: look.shared.sends })
}

/// To which machine of the world a leader hands over, if it does.
fn heir(book: &mut Book, trace: &Trace, choice: Choice) -> Option<HostId> {
    let taken = take(book, &trace.state, choice).ok().flatten()?;
    let mut sent = book.sent_by(&taken.change?).iter();
    let parcel = sent.find(|parcel| book.parcel(**parcel).hands_over())?;
    Some(trace.hosts[usize::from(book.parcel_facts(*parcel).to)])
}

/// Whether the world has followed a run, and its nodes and disks are what the run says.
fn is_as_in_the_world(book: &Book, trace: &Trace) -> bool {
    let world = trace.world.as_ref().expect("an honest world breaks no rule");
    let servers = (0..book.space.servers()).all(|place| {
        let server = book.server(trace.state.servers[place]);
        let machine = world.host(trace.hosts[place]);
        let theirs = machine.node().cloned().map(|node| node.renamed(&mut Standing(&trace.hosts)));
        server.node.clone().map(plain) == theirs.map(plain)
            && server.queue.len() as u32 == machine.disk().queued()
    });
    !trace.strayed && servers && u64::from(trace.state.count) == trace.in_flight()
}

/// The states of a finished search by their numbers, each with how far it is away.
fn states_of(search: &mut super::search::Search) -> Vec<(State, u32)> {
    let first = Trace::new(&mut search.book).state.canonical(&mut search.book, false, &mut ()).0;
    let mut states = vec![(first, 0)];
    for number in 1..search.visited.len() as u32 {
        let (parent, choice) = search.visited.arrival(number);
        let (parent, depth) = states[parent as usize];
        let taken = take(&mut search.book, &parent, Choice::unpack(choice));
        let taken = taken.expect("no rule is broken").expect("it is within the bounds");
        states.push((taken.state.canonical(&mut search.book, true, &mut ()).0, depth + 1));
    }
    states
}

/// Goal: what random walks hardly ever come to happens in a world too: snapshots that arrive, and leaders that hand over to any of those who are as
/// good. Method: small spaces are finished; of the states that are so some, with the runs that have led there.
#[test]
fn rare_runs_of_spaces_are_runs_of_worlds() {
    let small = Bounds { terms: 1, ..Bounds::default() };
    let changed = Bounds { entries: 0, heartbeats: Some(1), changes: 1, ..small };
    let arrived = |book: &Book, state: &State, _: Choice| {
        state.packets().iter().any(|parcel| book.parcel_facts(*parcel).has_arrived)
    };
    let passed_over = |_: &Book, _: &State, choice: Choice| choice.heir != 0;
    type IsRare<'a> = &'a dyn Fn(&Book, &State, Choice) -> bool;
    let spaces: [(Bounds, IsRare); 2] =
        [(Bounds { snapshots: 1, ..small }, &arrived), (changed, &passed_over)];
    for (bounds, is_rare) in spaces {
        let mut search = super::search::Search::new(bounds, Limits::default()).expect("these are bounds");
        assert!(search.run(&AtomicBool::new(false), &mut |_| {}).finished);
        let states = states_of(&mut search);
        let super::search::Search { book, visited, .. } = &mut search;
        let choice_of = |number: u32| Choice::unpack(visited.arrival(number).1);
        let numbers = 1..states.len() as u32;
        let rare = numbers.filter(|number| is_rare(book, &states[*number as usize].0, choice_of(*number)));
        let rare: Vec<u32> = rare.collect();
        assert!(5 < rare.len(), "{} times in {bounds:?}", rare.len());
        for number in rare.iter().step_by(rare.len().div_ceil(30)) {
            let mut choices = Vec::new();
            let mut at = *number;
            while at != 0 {
                choices.push(choice_of(at));
                at = visited.arrival(at).0;
            }
            let follows = (0..book.exchanges.len()).any(|nth| {
                let mut trace = Trace::named(book, nth);
                choices.iter().rev().all(|choice| {
                    trace.take(book, *choice, true);
                    !trace.strayed && is_as_in_the_world(book, &trace)
                })
            });
            assert!(follows, "{bounds:?}: {choices:?}");
        }
    }
}

#[test]
fn walks_through_spaces_are_runs_of_worlds() {
    let (mut steps, mut exchanged) = (0, 0);
    for (nth, bounds) in spaces().into_iter().enumerate() {
        let mut book = Book::new(Space::new(bounds).expect("these are bounds"));
        for seed in 0..40 {
            let mut random = Random::new(seed * 10 + nth as u64);
            let mut trace = Trace::new(&mut book);
            for _ in 0..60 {
                let acts = acts(&book, &trace.state);
                let act = acts[random.below(acts.len() as u64) as usize];
                let Ok((Some(_), heirs)) = take_beside(&mut book, &trace.state, act.into()) else { continue };
                let heirs = (0..=heirs).map(|heir| Choice { act, heir });
                // The core takes the last of those that are as good.
                let choice =
                    heirs.max_by_key(|choice| heir(&mut book, &trace, *choice)).expect("there is one");
                trace.take(&mut book, choice, true);
                steps += 1;
                exchanged += u64::from(trace.hosts[0] != HostId::at(0));
                assert!(is_as_in_the_world(&book, &trace), "space {nth}, seed {seed}: {act:?}");
            }
        }
    }
    assert!(5000 < steps && 1000 < exchanged, "{steps} steps, {exchanged} of them with servers exchanged");
}

/// What comes of an input to a server with other names is what comes of it, with other names.
#[test]
fn names_mean_nothing_to_the_core() {
    let (mut compared, mut moved) = (0, 0);
    for bounds in spaces().into_iter().take(6) {
        let mut book = Book::new(Space::new(bounds).expect("these are bounds"));
        for seed in 0..20 {
            let mut random = Random::new(seed);
            let mut trace = Trace::new(&mut book);
            trace.world = None;
            for _ in 0..60 {
                let acts = acts(&book, &trace.state);
                let act = acts[random.below(acts.len() as u64) as usize];
                let nth = random.below(book.exchanges.len() as u64) as usize;
                let exchange: Exchange = book.exchanges[nth];
                let other = trace.state.exchanged(&mut book, nth);
                let there = of_exchanged(&mut book, &trace.state, &other, act, exchange, nth);
                let one = take(&mut book, &trace.state, act);
                let two = take_beside(&mut book, &other, there.into());
                match (one, two) {
                    (Ok(Some(one)), Ok((Some(two), heirs))) => {
                        // One of those that it could hand over to is the image of the one that it does hand over to.
                        let heirs = (0..=heirs).map(|heir| Choice { act: there, heir });
                        let mut image = one.state.exchanged(&mut book, nth);
                        let count = usize::from(image.count);
                        image.packets[..count].sort_unstable();
                        let same = heirs.map(|choice| take(&mut book, &other, choice)).find_map(|taken| {
                            let mut two = taken.ok().flatten()?.state;
                            two.packets[..count].sort_unstable();
                            (two == image).then_some(two)
                        });
                        let (one, two) = (one.state, same.unwrap_or(two.state));
                        let (canonical, _) = one.canonical(&mut book, true, &mut ());
                        assert_eq!(canonical, two.canonical(&mut book, true, &mut ()).0, "{act:?}");
                        let mut image = one.exchanged(&mut book, nth);
                        let mut two = two;
                        image.packets[..usize::from(image.count)].sort_unstable();
                        two.packets[..usize::from(two.count)].sort_unstable();
                        assert_eq!(image, two, "{act:?} with servers exchanged as {exchange:?}");
                        compared += 1;
                        moved += u64::from(nth != 0);
                        trace.take(&mut book, act, true);
                    }
                    (one, two) => assert_eq!(one.is_ok(), two.is_ok(), "{act:?}"),
                }
            }
        }
    }
    assert!(2000 < compared && 1000 < moved, "{compared} inputs compared, {moved} with servers exchanged");
}

/// The same act where servers are exchanged.
fn of_exchanged(
    book: &mut Book,
    state: &State,
    other: &State,
    act: Act,
    exchange: Exchange,
    nth: usize,
) -> Act {
    let place = |place: u8| exchange.of(usize::from(place)) as u8;
    let mut packet = |at: u8| {
        let image = book.exchanged_parcel(state.packets[usize::from(at)], nth);
        other.packets().iter().position(|packet| *packet == image).expect("it is in flight there") as u8
    };
    match act {
        Act::Deliver(at) => Act::Deliver(packet(at)),
        Act::DeliverCopy(at) => Act::DeliverCopy(packet(at)),
        Act::Drop(at) => Act::Drop(packet(at)),
        Act::Timeout(at) => Act::Timeout(place(at)),
        Act::Silence(at) => Act::Silence(place(at)),
        Act::Propose(at) => Act::Propose(place(at)),
        Act::Reconfigure(at, voters) => Act::Reconfigure(place(at), exchange.of_bits(voters)),
        Act::Snapshot(at) => Act::Snapshot(place(at)),
        Act::Sync(at, writes) => Act::Sync(place(at), writes),
        Act::Crash(at, kept) => Act::Crash(place(at), kept),
    }
}

/// Spaces so small that they are finished without any reduction.
fn tiny() -> [Bounds; 6] {
    let two = Bounds { nodes: 2, terms: 1, entries: 0, messages: 3, ..Bounds::default() };
    let faulty = Bounds { crashes: 1, drops: 1, ..two };
    let snapshots = Bounds { entries: 1, messages: 2, heartbeats: Some(1), snapshots: 1, ..faulty };
    let patient = Bounds { patient: true, duplicates: 1, ..faulty };
    let slow = Bounds { syncs: true, drops: 0, ..snapshots };
    [two, faulty, Bounds { nodes: 3, duplicates: 1, ..two }, snapshots, patient, slow]
}

#[test]
fn reductions_leave_out_nothing() {
    for bounds in tiny() {
        let with = |symmetry, reduction| search(bounds, Limits { symmetry, reduction, ..Limits::default() });
        let (none, both) = (with(false, false), with(true, true));
        let (symmetry, reduction) = (with(true, false), with(false, true));
        for report in [&none, &both, &symmetry, &reduction] {
            assert!(report.finished && report.found.is_none(), "{bounds:?}: {report:?}");
            assert_eq!(report.depth, none.depth);
            let reached =
                |report: &Report| report.marks.iter().map(|(_, count)| count != 0).collect::<Vec<_>>();
            assert_eq!(reached(report), reached(&none));
        }
        let arrived = none.marks.iter().any(|(mark, count)| mark.contains("has arrived") && count != 0);
        assert_eq!(arrived, bounds.snapshots != 0, "snapshots are sent where there are any");
        assert_eq!(reduction.states, none.states, "the reduction takes fewer actions to the same states");
        assert_eq!(both.states, symmetry.states);
        assert!(reduction.successors < none.successors && 0 < reduction.skipped);
        assert!(both.states < none.states, "servers are exchanged");
    }
}

/// Goal: states that are taken for one are one, and what is left out for a limit is covered. Method: every state of small spaces, told apart by
/// everything that was ever counted, becomes one that the search has met or that is covered by one; and every one that it has met is that of
/// such a state.
#[test]
fn nothing_is_forgotten_that_matters() {
    let mut forgotten = 0;
    for bounds in tiny().into_iter().chain([Bounds { syncs: true, crashes: 2, messages: 2, ..tiny()[0] }]) {
        let space = Space::new(bounds).expect("these are bounds");
        let mut thorough = super::search::Search::of(space.clone().thorough(), Limits::default());
        let mut search = super::search::Search::of(space, Limits::default());
        for search in [&mut thorough, &mut search] {
            assert!(search.run(&AtomicBool::new(false), &mut |_| {}).finished);
        }
        // By what they are but for what is used up: how much that is, and how far away they are.
        let mut there: BTreeMap<u128, Vec<(u128, u32)>> = BTreeMap::new();
        for (state, depth) in states_of(&mut search) {
            let fingerprint = state.fingerprint(&search.book.space);
            there.entry(fingerprint & !LIMITED).or_default().push((fingerprint, depth));
        }
        let mut met = std::collections::BTreeSet::new();
        for (state, depth) in states_of(&mut thorough) {
            let state = moved(&thorough.book, &state, &mut search.book);
            let state = state.canonical(&mut search.book, true, &mut ()).0;
            let fingerprint = state.fingerprint(&search.book.space);
            let others = there.get(&(fingerprint & !LIMITED)).map_or(&[][..], Vec::as_slice);
            let is_met = |(other, nearer): &(u128, u32)| covers(*other, fingerprint) && *nearer <= depth;
            assert!(others.iter().any(is_met), "{depth}: {state:?}");
            met.insert(fingerprint);
        }
        assert!(there.values().flatten().all(|(fingerprint, _)| met.contains(fingerprint)));
        assert!(search.visited.len() <= thorough.visited.len());
        forgotten += thorough.visited.len() - search.visited.len();
    }
    assert!(10_000 < forgotten, "{forgotten}");
}

/// A state of one book in another one.
fn moved(from: &Book, state: &State, to: &mut Book) -> State {
    let mut moved = *state;
    for server in &mut moved.servers[..from.space.servers()] {
        let there = from.server(*server);
        let never_down = to.space.bounds().crashes == 0;
        *server = to.server_number(if never_down { there.at_ease() } else { there.clone() });
    }
    for packet in &mut moved.packets[..usize::from(state.count)] {
        *packet = to.parcel_number(from.parcel(*packet).clone());
    }
    moved.committed = from.piece(state.committed).map_or(0, |piece| to.log_number(piece.clone()));
    moved
}

/// With a disk that forgets votes two leaders of one term are elected, and every search finds a shortest run to that.
#[test]
fn forgotten_votes_are_found_in_every_way() {
    let bounds = Bounds { terms: 1, entries: 0, crashes: 1, messages: 4, ..Bounds::default() };
    let mut lengths = Vec::new();
    for (symmetry, reduction) in [(true, true), (true, false), (false, true), (false, false)] {
        let space = Space::new(bounds).expect("these are bounds").with_a_forgetful_disk();
        let limits = Limits { symmetry, reduction, ..Limits::default() };
        let report = super::search::Search::of(space, limits).run(&AtomicBool::new(false), &mut |_| {});
        let found = report.found.expect("two leaders of one term");
        assert_eq!(found.oracle, "election-safety", "{}", found.what);
        assert!(!report.finished);
        lengths.push(found.choices);
    }
    assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
}

/// A packet that is of no use says nothing to its receiver, whatever happens to that one. Method: all servers and packets of small spaces;
/// what each input that was met makes of each server.
#[test]
fn useless_packets_say_nothing_for_ever() {
    let (mut said_nothing, mut kept) = (0, 0);
    let small = Bounds { entries: 0, messages: 2, crashes: 1, ..Bounds::default() };
    let two = Bounds { nodes: 2, drops: 1, ..small };
    let snapshots = Bounds { terms: 1, entries: 1, heartbeats: Some(1), snapshots: 1, ..two };
    for bounds in [small, Bounds { syncs: true, ..two }, snapshots] {
        let mut search = super::search::Search::new(bounds, Limits::default()).expect("these are bounds");
        assert!(search.run(&AtomicBool::new(false), &mut |_| {}).finished);
        let book = &mut search.book;
        let (servers, packets) = book.met();
        let changes: Vec<(u32, u32)> = book.changes().collect();
        let mut useless = vec![Vec::new(); servers + 1];
        for server in 1..=servers as u32 {
            let place = super::names::place_of(book.server(server).pair);
            for packet in 1..=packets as u32 {
                if usize::from(book.parcel_facts(packet).to) != place || book.is_of_use(packet, server) {
                    continue;
                }
                useless[server as usize].push(packet);
                if !book.parcel_facts(packet).is_report {
                    let change = book.change(server, What::Deliver(packet)).expect("no rule is broken");
                    assert_eq!((change.server, change.sent), (server, 0), "{:?}", book.parcel(packet));
                    said_nothing += 1;
                }
            }
        }
        for (before, after) in changes {
            for packet in &useless[before as usize] {
                assert!(!book.is_of_use(*packet, after), "{:?}", book.parcel(*packet));
                kept += 1;
            }
        }
    }
    assert!(10_000 < said_nothing && 10_000 < kept, "{said_nothing}, {kept}");
}

/// Goal: what was committed by a configuration that was not durable yet is committed, though the crash of the leader takes the configuration. Method:
/// the smallest space in which that happens; one of the two servers has the entry then, and both have to vote.
#[test]
fn committed_by_a_configuration_that_is_lost() {
    let small = Bounds { nodes: 2, terms: 1, messages: 2, heartbeats: Some(0), ..Bounds::default() };
    let report = search(Bounds { changes: 1, crashes: 1, syncs: true, ..small }, Limits::default());
    assert!(report.finished, "{:?}", report.found);
    let down = report.marks.iter().find(|(mark, _)| mark.contains("gone down"));
    assert!(down.is_some_and(|(_, count)| count != 0));
}

#[test]
fn a_limit_leaves_a_space_unfinished() {
    let report = search(Bounds::default(), Limits { states: Some(10_000), ..Limits::default() });
    assert!(!report.finished && report.found.is_none());
    assert!((10_000..60_000).contains(&report.states), "{}", report.states);
}

#[test]
fn bounds_have_bounds() {
    let of = |bounds| Space::new(bounds).err();
    assert_eq!(of(Bounds { nodes: 0, ..Bounds::default() }), Some(BoundsError::Nodes));
    assert_eq!(of(Bounds { nodes: 6, ..Bounds::default() }), Some(BoundsError::Nodes));
    assert_eq!(of(Bounds { messages: 9, ..Bounds::default() }), Some(BoundsError::Messages));
    assert_eq!(of(Bounds { terms: 8, ..Bounds::default() }), Some(BoundsError::TooMuch));
    assert_eq!(of(Bounds { drops: 16, ..Bounds::default() }), Some(BoundsError::TooMuch));
}

fn spaces_to_stop_in() -> [Bounds; 2] {
    let small = Bounds { terms: 1, messages: 3, ..Bounds::default() };
    let changed = Bounds { entries: 0, heartbeats: Some(1), changes: 1, ..small };
    [Bounds { entries: 1, snapshots: 1, crashes: 1, heartbeats: Some(1), ..small }, changed]
}

/// Goal: a search that is stopped again and again comes to the same. Method: it is told to stop from the beginning, so that it looks at a few
/// thousand states each time.
#[test]
fn search_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("search");
    for bounds in spaces_to_stop_in() {
        let whole = search(bounds, Limits::default());
        let mut times = 0;
        let pieces = loop {
            times += 1;
            let stop = AtomicBool::new(true);
            let report = explore_resuming(bounds, Limits::default(), &file, &stop, &mut |_| {});
            let report = report.expect("the file is good");
            if report.finished {
                break report;
            }
            assert!(file.exists(), "it can go on");
        };
        assert!(1 < times, "{} states", whole.states);
        assert!(0 < pieces.met_before);
        assert_eq!(Report { met_before: 0, ..pieces }, whole, "after {times} times");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing is left to do");
    }
}

/// Goal: what is not the search that is wanted is not taken for it. Method: a good file, beside other bounds, a space whose disks forget, damage
/// everywhere, and files of other kinds.
#[test]
fn search_goes_on_with_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("search");
    let bounds = spaces_to_stop_in()[0];
    let try_with = |bounds, limits| {
        let before = std::fs::read(&file).expect("it is there");
        let result = explore_resuming(bounds, limits, &file, &AtomicBool::new(true), &mut |_| {});
        assert!(result.is_ok() || std::fs::read(&file).expect("it stays") == before);
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            1,
            "nothing is left beside it"
        );
        result
    };
    std::fs::write(&file, "").expect("written");
    assert!(matches!(try_with(bounds, Limits::default()), Err(ResumeError::NotASearch)));
    std::fs::write(&file, "no search, but as long as the first words of one, and longer").expect("written");
    assert!(matches!(try_with(bounds, Limits::default()), Err(ResumeError::NotASearch)));
    std::fs::remove_file(&file).expect("removed");
    let stopped = explore_resuming(bounds, Limits::default(), &file, &AtomicBool::new(true), &mut |_| {});
    assert!(!stopped.expect("begun").finished);
    let other = Bounds { messages: 4, ..bounds };
    let error = try_with(other, Limits::default()).expect_err("another space").to_string();
    assert!(error.contains("--messages 3"), "{error}");
    let unreduced = Limits { reduction: false, ..Limits::default() };
    assert!(matches!(try_with(bounds, unreduced), Err(ResumeError::OtherSpace(_))));
    let space = Space::new(bounds).expect("these are bounds").with_a_forgetful_disk();
    let mut search = super::search::Search::of(space, Limits::default());
    assert!(matches!(super::saved::read(&mut search, &file), Err(ResumeError::OtherCore)));
    let good = std::fs::read(&file).expect("it is there");
    for byte in (12..good.len()).step_by(good.len() / 20) {
        let mut damaged = good.clone();
        damaged[byte] ^= 1;
        std::fs::write(&file, &damaged).expect("written");
        let error = try_with(bounds, Limits::default()).expect_err("damaged");
        assert!(matches!(error, ResumeError::Damaged | ResumeError::NotASearch), "byte {byte}: {error:?}");
        std::fs::write(&file, &good[..byte]).expect("written");
        assert!(try_with(bounds, Limits::default()).is_err(), "{byte} bytes of it");
    }
    std::fs::write(&file, good).expect("written");
    assert!(try_with(bounds, Limits::default()).is_ok());
}

#[test]
fn inputs_are_known_by_their_numbers() {
    let all = [
        What::Deliver(1),
        What::Deliver(7),
        What::Timeout,
        What::Silence,
        What::Propose(30),
        What::Reconfigure { nth: 15, voters: 31 },
        What::Snapshot,
        What::Sync(3),
        What::Crash(0),
    ];
    for what in all {
        assert_eq!(What::of_number(what.number(), 7), Some(what));
    }
    for number in [0, 8, What::Timeout.number() + 1, What::Sync(3).number() + 256, u32::MAX] {
        assert_eq!(What::of_number(number, 7), None, "{number:x}");
    }
}
