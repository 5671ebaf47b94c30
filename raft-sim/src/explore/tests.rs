//! Goal: the search looks at what can really happen, and leaves out nothing that is different. Method: random walks through spaces beside a
//! world of the same cluster; every exchange of servers against what the core does; small spaces with and without each reduction; and
//! a disk that forgets votes, which must be found.

use std::sync::atomic::AtomicBool;

use raft_core::{Pair, Renaming};

use super::book::{Book, What};
use super::names::{Exchange, Look, Private, Recount, SERVERS_MAX, Told};
use super::space::Space;
use super::state::{Of, State};
use super::successor::{Act, take};
use super::trace::Trace;
use super::{Bounds, BoundsError, Limits, Report, explore};
use crate::action::HostId;
use crate::random::Random;

fn search(bounds: Bounds, limits: Limits) -> Report {
    explore(bounds, limits, &AtomicBool::new(false), &mut |_| {}).expect("these are bounds")
}

fn spaces() -> [Bounds; 5] {
    let small = Bounds { messages: 4, ..Bounds::default() };
    [
        Bounds { crashes: 2, drops: 2, duplicates: 2, terms: 7, entries: 3, ..small },
        Bounds { crashes: 2, drops: 2, duplicates: 2, terms: 7, entries: 3, syncs: true, ..small },
        Bounds { crashes: 1, drops: 2, duplicates: 2, terms: 7, entries: 2, changes: 3, ..small },
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
        if !facts.up {
            acts.push(Act::Restart(place));
            continue;
        }
        acts.extend(facts.can_time_out.then_some(Act::Timeout(place)));
        acts.extend((facts.leads && 1 < bounds.nodes).then_some(Act::Silence(place)));
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
        let to = book.packet_facts(state.packets[usize::from(nth)]).to;
        let up = book.server_facts(state.servers[usize::from(to)]).up;
        acts.extend(up.then_some(Act::Deliver(nth)));
        if state.used.of(Of::Drops) < bounds.drops {
            acts.push(Act::Drop(nth));
        }
        if up && state.used.of(Of::Duplicates) < bounds.duplicates {
            acts.push(Act::DeliverCopy(nth));
        }
    }
    acts
}

/// Machines of a world by the places at which they stand.
struct Standing<'a>(&'a [HostId]);

impl Renaming for Standing<'_> {
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
    let node = node.renamed(&mut Private { writes_before, fetches: look.fetches, sends: look.sends, leads });
    let mut look = Look::new(own);
    let node = node.renamed(&mut &mut look);
    let rounds = leads.then_some((look.shared.latest, [Told::NOTHING; SERVERS_MAX]));
    node.renamed(&mut Recount { of: own, rounds, attempts: look.shared.attempts })
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
                let Ok(Some(_)) = take(&mut book, &trace.state, act) else { continue };
                trace.take(&mut book, act, true);
                steps += 1;
                exchanged += u64::from(trace.hosts[0] != HostId::at(0));
                let world = trace.world.as_ref().expect("an honest world breaks no rule");
                assert!(!trace.strayed, "space {nth}, seed {seed}: {act:?}");
                for place in 0..book.space.servers() {
                    let server = book.server(trace.state.servers[place]);
                    let machine = world.host(trace.hosts[place]);
                    let theirs =
                        machine.node().cloned().map(|node| node.renamed(&mut Standing(&trace.hosts)));
                    assert_eq!(
                        server.node.clone().map(plain),
                        theirs.map(plain),
                        "space {nth}, seed {seed}: {act:?}"
                    );
                    assert_eq!(server.queue.len() as u32, machine.disk().queued());
                }
                assert_eq!(u64::from(trace.state.count), trace.in_flight());
            }
        }
    }
    assert!(5000 < steps && 1000 < exchanged, "{steps} steps, {exchanged} of them with servers exchanged");
}

/// What comes of an input to a server with other names is what comes of it, with other names.
#[test]
fn names_mean_nothing_to_the_core() {
    let (mut compared, mut moved) = (0, 0);
    for bounds in spaces().into_iter().take(4) {
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
                let (one, two) = (take(&mut book, &trace.state, act), take(&mut book, &other, there));
                match (one, two) {
                    (Ok(Some(one)), Ok(Some(two))) => {
                        let (one, two) = (one.state, two.state);
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
        let image = book.exchanged_packet(state.packets[usize::from(at)], nth);
        other.packets().iter().position(|packet| *packet == image).expect("it is in flight there") as u8
    };
    match act {
        Act::Deliver(at) => Act::Deliver(packet(at)),
        Act::DeliverCopy(at) => Act::DeliverCopy(packet(at)),
        Act::Drop(at) => Act::Drop(packet(at)),
        Act::Timeout(at) => Act::Timeout(place(at)),
        Act::Silence(at) => Act::Silence(place(at)),
        Act::Propose(at) => Act::Propose(place(at)),
        Act::Reconfigure(at, voters) => {
            let all = (0..8).filter(|nth| voters >> nth & 1 == 1);
            Act::Reconfigure(place(at), all.fold(0, |image, nth| image | 1 << exchange.of(nth)))
        }
        Act::Sync(at, writes) => Act::Sync(place(at), writes),
        Act::Crash(at, kept) => Act::Crash(place(at), kept),
        Act::Restart(at) => Act::Restart(place(at)),
    }
}

/// Spaces so small that they are finished without any reduction.
fn tiny() -> [Bounds; 3] {
    let two = Bounds { nodes: 2, terms: 1, entries: 0, messages: 3, ..Bounds::default() };
    [two, Bounds { crashes: 1, drops: 1, ..two }, Bounds { nodes: 3, duplicates: 1, ..two }]
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
        assert_eq!(reduction.states, none.states, "the reduction takes fewer actions to the same states");
        assert_eq!(both.states, symmetry.states);
        assert!(reduction.successors < none.successors && 0 < reduction.skipped);
        assert!(both.states < none.states, "servers are exchanged");
    }
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
    for bounds in [small, Bounds { nodes: 2, syncs: true, drops: 1, ..small }] {
        let mut search = super::search::Search::new(bounds, Limits::default()).expect("these are bounds");
        assert!(search.run(&AtomicBool::new(false), &mut |_| {}).finished);
        let book = search.book();
        let (servers, packets) = book.met();
        let changes: Vec<(u32, u32)> = book.changes().collect();
        let mut useless = vec![Vec::new(); servers + 1];
        for server in 1..=servers as u32 {
            let place = super::names::place_of(book.server(server).pair);
            for packet in 1..=packets as u32 {
                if usize::from(book.packet_facts(packet).to) != place || book.is_of_use(packet, server) {
                    continue;
                }
                useless[server as usize].push(packet);
                if book.server_facts(server).up {
                    let change = book.change(server, What::Deliver(packet)).expect("no rule is broken");
                    assert_eq!((change.server, change.sent), (server, 0), "{:?}", book.packet(packet));
                    said_nothing += 1;
                }
            }
        }
        for (before, after) in changes {
            for packet in &useless[before as usize] {
                assert!(!book.is_of_use(*packet, after), "{:?}", book.packet(*packet));
                kept += 1;
            }
        }
    }
    assert!(10_000 < said_nothing && 10_000 < kept, "{said_nothing}, {kept}");
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
