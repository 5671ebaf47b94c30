//! What a clique that is watched owes, and when it owes nothing. Steps and looks made by hand.

use raft_core::{Attempt, Body, Boot, ClusterId, LogIndex, Packet, Pair, Position, Ready, Suffrage, Term};

use super::configurations::Configurations;
use super::disruption::Disruption;
use super::peace::Peace;
use super::progress::{Need, Progress};
use super::*;
use crate::disk::pair_of;

const TIMEOUT: u32 = 10;

fn host(number: u8) -> HostId {
    HostId::new(number).unwrap()
}

fn pair(number: u8) -> Pair {
    pair_of(host(number)).unwrap()
}

fn hosts(numbers: &[u8]) -> HostSet {
    numbers.iter().map(|number| host(*number)).collect()
}

fn duties(number: u8) -> Duties {
    Duties { host: host(number), sleep: Some(0), mail: false, writes: false }
}

fn way(newest: u32, oldest: Option<u32>) -> Way {
    Way { link: Link { from: host(1), to: host(2) }, newest, oldest }
}

fn tick(number: u8, elapsed: u32) -> Action {
    Action::Tick { host: host(number), elapsed }
}

/// Ticks pass for servers 1 and 2, whose clocks go and between whom nothing is late.
fn pass(peace: &mut Peace, ticks: u32) {
    for _ in 0..ticks {
        peace.happened(tick(1, 1));
        peace.happened(tick(2, 1));
        peace.pass(1, &[duties(1), duties(2)], &[way(7, None)]);
    }
    assert_eq!(peace.broken(), None);
}

/// Goal: what happens to a clique from outside ends its peace, and what happens elsewhere does not. Method: one action each.
#[test]
fn peace_ends_with_a_fault_in_the_clique() {
    for (line, ends) in [
        ("drop 1>2#8", true),
        ("drop 1>2#7", false),
        ("drop 1>3#8", false),
        ("duplicate 1>2#8", false),
        ("cut 2>1", true),
        ("cut 3>1", false),
        ("partition 2", true),
        ("partition 1,2", false),
        ("partition 3", false),
        ("crash 2 keep 0", true),
        ("crash 3 keep 0", false),
        ("fail-write 1", true),
        ("campaign 2", true),
        ("step-down 1", true),
        ("forget-leader 2", true),
        ("transfer 1 request 8", true),
        ("transfer 3 request 8", false),
        ("change 1 request 8 remove 3", true),
        ("change 3 request 8 remove 1", false),
        ("step-down 3", false),
    ] {
        let mut peace = Peace::new(hosts(&[1, 2]), false, &[way(7, None)]);
        peace.happened(line.parse().unwrap());
        assert_eq!(peace.broken().is_some(), ends, "{line}");
    }
}

/// Goal: what is late ends the peace, and what is only under way does not. Method: looks every two ticks, with one thing that does not
/// go on.
#[test]
fn peace_ends_when_something_is_late() {
    // Whether each is in peace: server 2's clock, its duties, and the oldest packet on its way, look by look.
    let looks = |elapsed: u32, duties: Duties, oldest: &dyn Fn(u32) -> Option<u32>, steps: bool| {
        let mut peace = Peace::new(hosts(&[1, 2]), false, &[way(7, None)]);
        for look in 0..30 {
            peace.happened(tick(1, 2));
            peace.happened(tick(2, elapsed));
            if steps {
                peace.stepped(host(2));
                peace.synced(host(2));
            }
            let one = Duties { host: host(1), sleep: Some(0), mail: false, writes: false };
            peace.pass(2, &[one, duties], &[way(8 + look, oldest(look))]);
        }
        peace.broken().map(str::to_owned)
    };
    let nothing = |_: u32| None;
    assert_eq!(looks(2, duties(2), &nothing, false), None);
    assert!(looks(0, duties(2), &nothing, false).unwrap().contains("stands still"));
    assert_eq!(looks(0, Duties { sleep: None, ..duties(2) }, &nothing, false), None, "it needs no tick");
    assert!(looks(4, duties(2), &nothing, false).unwrap().contains("jumps"));
    for late in [Duties { mail: true, ..duties(2) }, Duties { writes: true, ..duties(2) }] {
        assert!(looks(2, late, &nothing, false).is_some());
        assert_eq!(looks(2, late, &nothing, true), None, "it goes on");
    }
    assert!(looks(2, duties(2), &|_| Some(8), false).unwrap().contains("late"));
    assert_eq!(looks(2, duties(2), &|look| Some(8 + look), false), None, "always another one");
}

struct NoLog;

impl LogView for NoLog {
    fn term_at(&self, _index: LogIndex) -> Option<Term> {
        None
    }
}

/// A step of a server, with what it sends.
fn step(number: u8, (before, after): (Seen, Seen), ready: &Ready) -> Step<'_> {
    Step { host: host(number), pair: pair(number), boot: Boot::new(1), before, after, log: &NoLog, ready }
}

fn seen(leads: bool, term: u64) -> Seen {
    Seen {
        leads,
        campaigns: false,
        term: Term::new(term),
        vote: None,
        commit: LogIndex::ZERO,
        applied: LogIndex::ZERO,
        last: Position::ZERO,
        fault: None,
    }
}

fn packet(from: u8, to: u8, term: u64, body: Body) -> Ready {
    let (cluster, boot) = (ClusterId::new(1), Boot::new(1));
    let packet = Packet {
        cluster,
        from: pair(from),
        boot,
        to: pair(to),
        term: Term::new(term),
        body,
        versions: raft_core::Versions::OURS,
    };
    Ready { send: vec![packet], ..Ready::default() }
}

/// Three servers, of which the first two are watched.
struct Siege {
    disruption: Disruption,
    peace: Peace,
}

impl Siege {
    fn new() -> Self {
        let peace = Peace::new(hosts(&[1, 2]), false, &[way(7, None)]);
        Siege { disruption: Disruption::new(3, TIMEOUT, true), peace }
    }

    fn step(&mut self, number: u8, states: (Seen, Seen), ready: &Ready) -> bool {
        let pairs = [1, 2, 3].map(pair);
        let server = |number| crate::action::server_of(host(number), pair(number), Suffrage::Voter);
        let known = Configurations::new(&Membership::new([1, 2, 3].map(server).into()).unwrap());
        self.disruption.stepped(&step(number, states, ready), Some(&self.peace), &known, &pairs).is_ok()
    }

    /// Server 1 leads this term, for long enough to stay.
    fn leads(&mut self, term: u64, ticks: u32) {
        assert!(self.step(1, (seen(false, term), seen(true, term)), &Ready::default()));
        for _ in 0..ticks {
            pass(&mut self.peace, 1);
            self.disruption.passed(&self.peace);
        }
    }

    /// Server 2 would vote for server 3, in its pre-vote of this number.
    fn pre_vote(&mut self, attempt: u64) {
        let body = Body::PreVote { boot: Boot::new(1), attempt: Attempt::new(attempt), granted: true };
        assert!(self.step(2, (seen(false, 1), seen(false, 1)), &packet(2, 3, 1, body)));
    }

    /// Server 3 begins a term, and server 1 hears of it. Whether that may be.
    fn deposed(&mut self, term: u64) -> bool {
        let candidate = Seen { campaigns: true, ..seen(false, term) };
        assert!(self.step(3, (seen(false, term - 1), candidate), &Ready::default()));
        self.step(1, (seen(true, term - 1), seen(false, term)), &Ready::default())
    }
}

/// Goal: a leader with its quorum around it is deposed once by a server that had won a pre-vote, and by no other. Method: pre-votes
/// before and after it has settled, and none.
#[test]
fn no_disruption_asks_for_a_pre_vote_from_before() {
    let mut siege = Siege::new();
    siege.pre_vote(1);
    siege.leads(2, 40);
    assert!(siege.deposed(3), "it had won its pre-vote");
    siege.leads(4, 40);
    assert!(!siege.deposed(5), "and that counts once");

    let mut siege = Siege::new();
    siege.leads(2, 40);
    siege.pre_vote(1);
    assert!(!siege.deposed(3), "server 2 hears the leader");

    let mut siege = Siege::new();
    siege.leads(2, 20);
    siege.pre_vote(1);
    assert!(siege.deposed(3), "the leader has not stood for long enough");

    let mut siege = Siege::new();
    siege.leads(2, 40);
    assert!(siege.step(1, (seen(true, 2), seen(true, 2)), &packet(1, 3, 2, Body::TimeoutNow)));
    assert!(siege.deposed(3), "it was told to take over");
}

/// Goal: nobody gives up a term by itself, and a campaign from before is nobody's fault; without peace or pre-votes nothing is
/// promised. Method: one of each.
#[test]
fn no_disruption_knows_who_began_a_term() {
    let gives_up = (seen(true, 2), seen(false, 2));
    let mut siege = Siege::new();
    siege.leads(2, 40);
    assert!(!siege.step(1, gives_up, &Ready::default()));

    let mut siege = Siege::new();
    let candidate = Seen { campaigns: true, ..seen(false, 9) };
    assert!(siege.step(3, (seen(false, 8), candidate), &Ready::default()));
    siege.leads(2, 40);
    assert!(siege.step(1, (seen(true, 2), seen(false, 9)), &Ready::default()));

    let mut siege = Siege::new();
    siege.leads(2, 40);
    siege.peace.happened(Action::StepDown { host: host(1) });
    assert!(siege.step(1, gives_up, &Ready::default()));

    let mut siege = Siege { disruption: Disruption::new(3, TIMEOUT, false), ..Siege::new() };
    siege.leads(2, 40);
    assert!(siege.step(1, gives_up, &Ready::default()));
}

fn good(number: u8) -> Standing {
    Standing {
        host: host(number),
        leads: number == 1,
        term: Term::new(4),
        leader: Some(pair(1)),
        last: Position::new(4, 9),
        commit: LogIndex::new(9),
        applied: LogIndex::new(9),
        waiting: 0,
    }
}

/// A clique that is left in peace for good, and how far it got.
struct End {
    peace: Peace,
    progress: Progress,
    joint: bool,
}

impl End {
    fn new() -> Self {
        let peace = Peace::new(hosts(&[1, 2]), true, &[way(7, None)]);
        End { peace, progress: Progress::new(TIMEOUT, true), joint: false }
    }

    /// Ticks pass with these standings. Whether no rule is broken.
    fn pass(&mut self, ticks: u32, standings: &[Standing], committed: bool) -> bool {
        (0..ticks).all(|_| {
            pass(&mut self.peace, 1);
            let demand = Demand { of: hosts(&[1, 2]), joint: self.joint };
            self.progress.passed(&self.peace, standings, Some(demand), |_| committed).is_ok()
        })
    }

    fn request(&mut self) {
        assert_eq!(self.progress.need(), Need::Request);
        self.progress.proposed(1, true, self.peace.now());
        assert_eq!(self.progress.need(), Need::Time);
    }
}

/// Something that is made wrong.
type Change<'a> = &'a dyn Fn(&mut Vec<Standing>);

/// Goal: progress is judged by every word of its rule, and in the time that is stated. Method: a good end, and one thing wrong at a
/// time, for as long as it may be, and for a tick longer.
#[test]
fn progress_sees_what_is_missing() {
    let judged = |change: Change<'_>| {
        let mut standings = vec![good(1), good(2)];
        change(&mut standings);
        let mut end = End::new();
        let in_time = end.pass(60 * TIMEOUT + 8 * 9 - 1, &standings, true);
        (in_time, end.pass(1, &standings, true))
    };
    assert_eq!(judged(&|_| {}), (true, true));
    let wrong: [Change<'_>; 10] = [
        &|standings| standings[1].leads = true,
        &|standings| standings[0].leads = false,
        &|standings| standings[1].term = Term::new(5),
        &|standings| standings[1].leader = None,
        &|standings| standings[1].last = Position::new(4, 8),
        &|standings| standings[1].commit = LogIndex::new(8),
        &|standings| standings[1].applied = LogIndex::new(8),
        &|standings| standings[1].waiting = 1,
        &|standings| standings.truncate(1),
        &|standings| standings.retain(|standing| standing.host != host(1)),
    ];
    for change in wrong {
        assert_eq!(judged(change), (true, false));
    }
    let mut joint = End { joint: true, ..End::new() };
    assert!(joint.pass(60 * TIMEOUT + 8 * 9 - 1, &[good(1), good(2)], true));
    assert!(!joint.pass(1, &[good(1), good(2)], true), "a joint configuration has to be left (B35)");
}

/// Goal: a clique without a quorum owes nothing, and that is counted once; who does not belong to the configuration is not judged.
/// Method: no demand, and a demand of the other server only.
#[test]
fn progress_demands_nothing_without_a_quorum() {
    let mut end = End::new();
    let ill = [Standing { leads: false, ..good(1) }, good(2)];
    for _ in 0..1000 {
        pass(&mut end.peace, 1);
        assert!(end.progress.passed(&end.peace, &ill, None, |_| false).is_ok());
    }
    assert_eq!((end.progress.need(), end.progress.excused()), (Need::Nothing, 1));
    let mut end = End::new();
    let behind = [good(1), Standing { last: Position::new(1, 1), ..good(2) }];
    for _ in 0..1000 {
        pass(&mut end.peace, 1);
        let demand = Demand { of: hosts(&[1]), joint: false };
        assert!(end.progress.passed(&end.peace, &behind, Some(demand), |_| true).is_ok());
        assert_ne!(end.progress.need(), Need::Nothing);
    }
}

/// Goal: two requests have to commit, which may be refused or lost now and then, but not for ever; then no term rises. Method: both.
#[test]
fn progress_asks_for_requests_that_commit() {
    let all_well = [good(1), good(2)];
    let mut end = End::new();
    for committed in [true, false, true] {
        assert!(end.pass(3, &all_well, true));
        end.progress.proposed(1, false, 0);
        end.request();
        assert!(end.pass(1, &all_well, committed));
    }
    let rises = step_of_risen_term;
    assert!(rises(&mut end.progress), "four election timeouts begin here");
    assert!(end.pass(4 * TIMEOUT - 1, &all_well, true));
    assert_eq!(end.progress.need(), Need::Time);
    assert!(end.pass(1, &all_well, true));
    assert_eq!(end.progress.need(), Need::Nothing);
    assert!(!rises(&mut End::new().progress), "before all is well terms may rise");

    let mut end = End::new();
    let refused = (0..100).find(|_| {
        assert!(end.pass(1, &all_well, false));
        end.request();
        !end.pass(1, &all_well, false)
    });
    assert_eq!(refused, Some(7));
}

/// Goal: a term that rises though all is well is excused where somebody had begun it before the peace, and without pre-votes where
/// there is somebody inside who is no member; and without pre-votes it may come from outside, but not again and again. Method: the same
/// rise, as often as it takes, with each of these.
#[test]
fn progress_knows_who_may_begin_a_term() {
    for (begun, pre_vote, members, breaks) in [
        (4, true, &[1, 2][..], Some(0)),
        (5, true, &[1, 2], None),
        (4, false, &[1, 2], Some(7)),
        (4, false, &[2], None),
        (4, true, &[2], Some(0)),
    ] {
        let mut end = End { progress: Progress::new(TIMEOUT, pre_vote), ..End::new() };
        end.progress.watched(Term::new(begun));
        let demand = Some(Demand { of: hosts(members), joint: false });
        let broken = (0..20).find(|_| {
            for _ in 0..10 {
                pass(&mut end.peace, 1);
                assert!(end.progress.passed(&end.peace, &[good(1), good(2)], demand, |_| true).is_ok());
                end.progress.proposed(1, true, end.peace.now());
            }
            step_of_risen_term(&mut end.progress)
        });
        assert_eq!(broken, breaks, "{begun} {pre_vote} {members:?}");
    }
}

/// Whether a rule is broken by a term that rises now.
fn step_of_risen_term(progress: &mut Progress) -> bool {
    progress.stepped(&step(2, (seen(false, 4), seen(false, 5)), &Ready::default())).is_err()
}
