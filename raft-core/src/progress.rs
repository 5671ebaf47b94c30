//! What a leader knows of one follower, and what it has under way to it. Knows nothing of logs or packets.
//!
//! ```text
//!        matched          held                    next
//!   ────────┴───────────────┴───────────────────────┴───────▶ index
//!   durable there   there, in memory   in flight        not sent yet
//! ```
//!
//! After a restart of the follower `held` may be less than `matched`: it has the entries, but does not know any more that
//! they are this leader's, and so would not commit them. The last of them is sent again.

use alloc::collections::VecDeque;

use crate::config::Config;
use crate::identity::{Boot, Pair};
use crate::marks::{Mark, reached};
use crate::membership::Votes;
use crate::position::{LogIndex, Round};
use crate::renaming::{Renaming, RoundOf};
use crate::staging::Staging;
use crate::status::FollowerStatus;

/// One append on its way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct InFlight {
    /// The index before its first entry.
    pub(crate) previous: LogIndex,
    /// The index of its last entry.
    pub(crate) last: LogIndex,
    pub(crate) bytes: u64,
    /// The latest round of heartbeats when it was sent.
    pub(crate) round: Round,
}

/// How entries are sent to a follower.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Mode {
    /// It is not known where the logs agree: one append at a time, until one is taken.
    Probe,
    /// What precedes `next` is there or on its way: as many as the window allows, without waiting.
    Replicate,
    /// The log no longer has what it needs: nothing is sent before it has the snapshot that is on its way.
    Snapshot,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Progress {
    pub(crate) pair: Pair,
    /// In which half of the configuration it counts towards quorums.
    pub(crate) votes: Votes,
    /// How far it has come on its way to a vote, if it is on it.
    pub(crate) staging: Option<Staging>,
    /// The newest boot that answered.
    boot: Option<Boot>,
    /// The last index that is durable there and equal to ours. Never falls: a pair keeps its promises over restarts.
    matched: LogIndex,
    /// The last index that the newest boot has, durable or not.
    held: LogIndex,
    /// The next index to send, at least 1.
    next: LogIndex,
    mode: Mode,
    /// Appends that are not yet known to be durable there, in the order in which they were sent. At most one in a probe.
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: u64,
    /// What `held` was when the last round was answered, and which round that was.
    answered: Option<(Round, LogIndex)>,
    /// The boot that promised the last of what matches.
    promised_by: Option<Boot>,
    /// The latest round that any of its boots has answered in this term.
    answered_round: Round,
    /// Whether its newest boot turned out not to have what was promised.
    broken: bool,
    /// Ticks since its newest boot was last heard, at most those after which nothing more follows from it.
    silent: u32,
    /// The greatest commit index that was sent to it.
    pub(crate) commit_sent: LogIndex,
}

impl Progress {
    /// A follower that nothing is known of, to be probed from `next` on (Raft thesis figure 3.1: nextIndex starts behind
    /// the leader's last entry, matchIndex at 0).
    pub(crate) const fn new(pair: Pair, votes: Votes, next: LogIndex) -> Self {
        Progress {
            pair,
            votes,
            staging: None,
            boot: None,
            matched: LogIndex::ZERO,
            held: LogIndex::ZERO,
            next,
            mode: Mode::Probe,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            answered: None,
            promised_by: None,
            answered_round: Round::ZERO,
            broken: false,
            silent: 0,
            commit_sent: LogIndex::ZERO,
        }
    }

    /// With other names, see [`Renaming`], on the leader whose old name is `own`.
    pub(crate) fn rename(&mut self, own: Pair, names: &mut impl Renaming) {
        let pair = self.pair;
        self.pair = names.pair(pair);
        for boot in [&mut self.boot, &mut self.promised_by].into_iter().flatten() {
            *boot = names.boot(pair, *boot);
        }
        for append in &mut self.in_flight {
            append.round = names.round(own, RoundOf::Entries(pair), append.round);
        }
        if let Some((round, _)) = &mut self.answered {
            *round = names.round(own, RoundOf::Answer(pair), *round);
        }
        // An answer to a round before all that anybody speaks of still, when less was held than now, says no more than none.
        self.answered = self.answered.filter(|(round, held)| *round != Round::ZERO || *held == self.held);
        // Only reads and leases ask for it.
        self.answered_round = if names.is_timeless() {
            Round::ZERO
        } else {
            names.round(own, RoundOf::Answer(pair), self.answered_round)
        };
        if names.is_timeless() {
            self.silent = 0;
            // It is compared with what is held now, which only grows: where it is another already, any other is as good.
            if let Some((_, held)) = self.answered.as_mut().filter(|(_, held)| *held != self.held) {
                *held = LogIndex::ZERO;
            }
            if let Some(staging) = &mut self.staging {
                staging.stop_clock();
            }
        }
    }

    pub(crate) fn status(&self) -> FollowerStatus {
        FollowerStatus {
            server: self.pair,
            matched: self.matched,
            next: self.next,
            probing: self.mode == Mode::Probe,
            snapshot: self.mode == Mode::Snapshot,
            in_flight: self.in_flight.len(),
            silent_ticks: self.silent,
            fetching: false,
        }
    }

    pub(crate) const fn matched(&self) -> LogIndex {
        self.matched
    }

    pub(crate) const fn next(&self) -> LogIndex {
        self.next
    }

    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    /// The latest round that it has answered, in whatever boot.
    pub(crate) const fn answered_round(&self) -> Round {
        self.answered_round
    }

    /// Whether it has the founding configuration for good, and so knows what that says.
    pub(crate) fn knows_cluster(&self) -> bool {
        LogIndex::ZERO < self.matched
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, elapsed: u32, config: &Config) {
        let most = config.election_timeout_ticks.max(config.dead_after_ticks);
        self.silent = self.silent.saturating_add(elapsed).min(most);
        if let Some(staging) = &mut self.staging {
            staging.tick(elapsed, config.election_timeout_ticks);
        }
    }

    /// Whether it was heard of within the shortest election timeout.
    pub(crate) const fn is_heard(&self, config: &Config) -> bool {
        self.silent < config.election_timeout_ticks
    }

    /// Whether it has been silent for so long that it counts as dead.
    pub(crate) const fn is_dead(&self, config: &Config) -> bool {
        0 < config.dead_after_ticks && config.dead_after_ticks <= self.silent
    }

    /// Whether another append may be sent now.
    pub(crate) fn may_send(&self, packets_max: u32, bytes_max: u64) -> bool {
        match self.mode {
            Mode::Probe => self.in_flight.is_empty(),
            Mode::Snapshot => false,
            Mode::Replicate => {
                self.in_flight.len() < packets_max as usize && self.in_flight_bytes < bytes_max
            }
        }
    }

    /// An append from `next` to `last` was sent.
    pub(crate) fn sent(&mut self, last: LogIndex, bytes: u64, round: Round) {
        let previous = self.next.previous();
        self.in_flight.push_back(InFlight { previous, last, bytes, round });
        self.in_flight_bytes += bytes;
        if self.mode == Mode::Replicate {
            self.next = last.next();
        }
    }

    /// Takes note of the boot that an answer came from. Returns whether it is the newest one; what older boots held is no
    /// longer so.
    fn heard(&mut self, boot: Boot) -> bool {
        if self.boot.is_some_and(|newest| boot < newest) {
            reached(Mark::AcknowledgedByOldBoot);
            return false;
        }
        self.silent = 0;
        if self.boot.replace(boot).is_some_and(|before| before < boot) {
            reached(Mark::FollowerRestarted);
            // It restarted: what was not durable is gone, and nothing that was in flight can be counted on. Of what is
            // durable the last entry is sent again, even if there is nothing else to send: by taking it the follower
            // learns that its log is this leader's up to there. Without that it would answer with the commit index of
            // its restart for ever, and commit no further while the cluster is idle.
            self.held = LogIndex::ZERO;
            self.answered = None;
            self.broken = false;
            // A snapshot that is on its way is not lost by that, or its sender will say so.
            if self.mode != Mode::Snapshot {
                self.probe(self.matched);
            }
        }
        true
    }

    /// A follower said how far it has the log. The caller has checked both against the end of the log.
    pub(crate) fn acknowledged(
        &mut self,
        boot: Boot,
        round: Option<Round>,
        held: LogIndex,
        durable: LogIndex,
    ) {
        let newest = self.heard(boot);
        // Whatever boot it was: it has followed this leader after that round began.
        self.answered_round = self.answered_round.max(round.unwrap_or(Round::ZERO));
        // A promise of any boot binds the pair. It only grows, whatever order answers come in (B21).
        if self.matched < durable {
            (self.matched, self.promised_by) = (durable, Some(boot));
        }
        if newest {
            self.held = self.held.max(held);
        }
        while let Some(first) = self.in_flight.front()
            && first.last <= self.matched.min(self.held)
        {
            self.in_flight_bytes -= first.bytes;
            self.in_flight.pop_front();
        }
        match self.mode {
            // The follower has what the probe was to find out, or more.
            Mode::Probe if self.next <= self.held.next() => {
                let arrived = self.in_flight.pop_front();
                self.in_flight_bytes -= arrived.map_or(0, |probe| probe.bytes);
                self.mode = Mode::Replicate;
                self.next = self.held.next();
            }
            Mode::Probe => {}
            // `next` is right behind the snapshot. Whoever has that, or more, goes on from what it has.
            Mode::Snapshot if self.next <= self.held.next() => {
                self.mode = Mode::Replicate;
                self.next = self.held.next();
            }
            Mode::Snapshot => {}
            Mode::Replicate => self.next = self.next.max(self.held.next()),
        }
        if let (true, Some(round)) = (newest, round) {
            self.round_answered(round);
        }
    }

    /// Concludes that appends were lost, if `held` has made no progress over a whole round of heartbeats although one is
    /// missing that was sent before that round began. One answer alone says nothing: heartbeats may overtake entries.
    fn round_answered(&mut self, round: Round) {
        if self.answered.is_some_and(|(before, _)| round <= before) {
            return;
        }
        let stuck = self.answered.is_some_and(|(_, held)| held == self.held);
        self.answered = Some((round, self.held));
        if stuck && self.mode == Mode::Probe && self.in_flight.is_empty() && self.held.next() < self.next {
            // There is nothing to probe with there: the follower was thought to have the log up to its end, and has not.
            self.next = self.held.next();
        }
        let missing = self.in_flight.iter().find(|append| self.held < append.last);
        if stuck && missing.is_some_and(|append| append.round.next() < round) {
            reached(Mark::LossConcluded);
            if self.mode == Mode::Replicate {
                self.next = self.held.next();
            }
            // What has arrived stays in the window until it is durable there: else a follower whose disk stands still
            // would be sent another window's worth after each loss, and hold ever more in memory (B26).
            while let Some(lost) = self.in_flight.back()
                && self.held < lost.last
            {
                self.in_flight_bytes -= lost.bytes;
                self.in_flight.pop_back();
            }
        }
    }

    /// A follower could not take an append behind `previous`. Returns whether that is to be believed: only in a probe, and
    /// only of the very append that is in flight to the boot that answers (B23). While replicating, a rejection says no
    /// more than that packets were reordered or lost, which the rounds find out.
    pub(crate) fn rejected(&mut self, boot: Boot, previous: LogIndex) -> bool {
        self.heard(boot)
            && self.mode == Mode::Probe
            && self.in_flight.front().is_some_and(|probe| probe.previous == previous)
    }

    /// A rejection of the newest boot says that the follower agrees with this leader at most up to `agreed`. Returns true the first time
    /// in a boot that this is less than an earlier one had promised. Of one and the same boot a rejection may be older than what it
    /// has promised since: another leader may have brought it a snapshot, or it may have been removed and added again.
    pub(crate) fn is_broken(&mut self, agreed: LogIndex) -> bool {
        let earlier = self.promised_by.is_some_and(|by| Some(by) < self.boot);
        let broken = earlier && agreed < self.matched;
        broken && !core::mem::replace(&mut self.broken, true)
    }

    /// Whether nothing is on its way to it.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// It is sent a snapshot that ends at `last`.
    pub(crate) fn snapshot_begun(&mut self, last: LogIndex) {
        self.probe(last.next());
        self.mode = Mode::Snapshot;
    }

    /// The snapshot has arrived, and it covers all up to `last`; or it has not (`None`). Either way it is for a probe to find out
    /// what the follower has, if it has not said so already.
    pub(crate) fn snapshot_ended(&mut self, last: Option<LogIndex>) {
        if self.mode == Mode::Snapshot {
            self.probe(last.map_or(self.matched.next(), LogIndex::next));
        }
    }

    /// Probes from `next` on.
    pub(crate) fn probe(&mut self, next: LogIndex) {
        self.mode = Mode::Probe;
        self.next = next.max(LogIndex::new(1));
        self.in_flight.clear();
        self.in_flight_bytes = 0;
    }

    /// What must hold; `Err` names what does not.
    pub(crate) fn check(&self, last: LogIndex, packets_max: u32) -> Result<(), &'static str> {
        if last < self.matched || last < self.held {
            return Err("nobody has more of the leader's log than the leader");
        }
        if self.next == LogIndex::ZERO || last.next() < self.next {
            return Err("1 ≤ next ≤ end of the leader's log + 1");
        }
        if self.mode == Mode::Replicate && self.next <= self.held {
            return Err("what is held is not sent again");
        }
        let packets_max = match self.mode {
            Mode::Probe => 1,
            Mode::Snapshot => 0,
            Mode::Replicate => packets_max as usize,
        };
        if packets_max < self.in_flight.len() {
            return Err("a window holds no more appends than its limit");
        }
        if self.in_flight.iter().map(|append| append.bytes).sum::<u64>() != self.in_flight_bytes {
            return Err("the bytes in flight are those of the appends in flight");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! Goal: late, doubled and reordered answers are harmless, and windows close and open again.

    use super::{Mode, Progress};
    use crate::identity::{Boot, Incarnation, NodeId, Pair};
    use crate::membership::Votes;
    use crate::position::{LogIndex, Round};

    const BOOT: Boot = Boot::new(1);
    const VOTES: Votes = Votes { incoming: true, outgoing: false };

    fn at(index: u64) -> LogIndex {
        LogIndex::new(index)
    }

    /// A follower that has taken its probe, so that everything up to `index` is durable there.
    fn replicating(index: u64) -> Progress {
        let id = NodeId::new(2).expect("not zero");
        let mut progress = Progress::new(Pair { id, incarnation: Incarnation::new(2) }, VOTES, at(index));
        progress.sent(at(index), 10, Round::ZERO);
        progress.acknowledged(BOOT, None, at(index), at(index));
        assert_eq!((progress.mode(), progress.next()), (Mode::Replicate, at(index + 1)));
        progress
    }

    fn send(progress: &mut Progress, last: u64, round: u64) {
        progress.sent(at(last), 10, Round::new(round));
    }

    /// B21: matched never moves back, and next never to or below it.
    #[test]
    fn late_acknowledgements_move_nothing_back() {
        let mut progress = replicating(5);
        for last in 6..=9 {
            send(&mut progress, last, 0);
        }
        progress.acknowledged(BOOT, None, at(8), at(8));
        for late in [5, 6, 8, 7] {
            progress.acknowledged(BOOT, None, at(late), at(late));
            assert_eq!((progress.matched(), progress.next()), (at(8), at(10)));
        }
    }

    /// B23: a rejection may be older than an acknowledgement that came first, of what another leader has brought meanwhile or of what was
    /// sent before the server was removed and added again: it accuses nobody. That of a later boot does.
    #[test]
    fn rejections_accuse_by_what_an_earlier_boot_has_promised() {
        let id = NodeId::new(2).expect("not zero");
        let mut progress = Progress::new(Pair { id, incarnation: Incarnation::new(2) }, VOTES, at(10));
        for _ in 0..2 {
            send(&mut progress, 12, 0);
            progress.acknowledged(BOOT, None, at(7), at(7));
            assert!(progress.rejected(BOOT, at(9)));
            assert!(!progress.is_broken(at(5)), "it may be of a probe before");
            progress.probe(at(10));
        }
        progress.acknowledged(Boot::new(2), None, at(5), at(5));
        send(&mut progress, 12, 0);
        assert!(!progress.is_broken(at(7)), "it has all that was promised");
        assert!(progress.is_broken(at(5)));
        assert!(!progress.is_broken(at(5)), "once a boot");
    }

    /// An answer from before all rounds that are named still is not told from none, where less was held then: whatever is answered next, they
    /// come to the same. Where as much was held as now they do not, and it stays.
    #[test]
    fn answers_before_all_rounds_are_told_apart_where_it_matters() {
        struct Same;
        impl crate::renaming::Renaming for Same {}
        let mut kept = 0;
        for (before, held, round) in
            (0..=6).flat_map(|before| [(before, 5, 1), (before, 7, 1), (before, 9, 4)])
        {
            let mut progress = replicating(5);
            send(&mut progress, 9, 1);
            progress.answered = Some((Round::ZERO, at(before)));
            let own = progress.pair;
            let mut renamed = progress.clone();
            renamed.rename(own, &mut Same);
            assert_eq!(renamed.answered.is_some(), before == 5);
            kept += usize::from(renamed.answered.is_some());
            for progress in [&mut progress, &mut renamed] {
                progress.acknowledged(BOOT, Some(Round::new(round)), at(held), at(held));
            }
            assert_eq!(progress, renamed, "{before} was held, then {held} in round {round}");
        }
        assert_eq!(kept, 3);
        let mut answered = replicating(5);
        answered.answered = Some((Round::ZERO, at(5)));
        let mut never = replicating(5);
        for progress in [&mut answered, &mut never] {
            send(progress, 9, 1);
            progress.acknowledged(BOOT, Some(Round::new(3)), at(5), at(5));
        }
        assert_ne!(answered.is_idle(), never.is_idle(), "it is concluded that the append was lost");
    }

    /// B22: what an older boot held is gone, what it promised is not.
    #[test]
    fn answers_of_an_older_boot_count_for_what_they_promise_only() {
        let mut progress = replicating(5);
        progress.acknowledged(Boot::new(2), None, at(3), at(3));
        assert_eq!(
            (progress.mode(), progress.next()),
            (Mode::Probe, at(5)),
            "sent from the last that matches"
        );
        progress.acknowledged(BOOT, None, at(9), at(7));
        assert_eq!(progress.matched(), at(7));
        assert_eq!(progress.next(), at(5), "nothing was held by the newer boot because of that");
    }

    /// B23: a rejection is believed in a probe, of the append in flight, from the boot that it was sent to; never twice.
    #[test]
    fn only_the_rejection_of_the_probe_in_flight_is_believed() {
        let id = NodeId::new(2).expect("not zero");
        let mut progress = Progress::new(Pair { id, incarnation: Incarnation::new(2) }, VOTES, at(8));
        assert!(!progress.rejected(BOOT, at(7)), "nothing is in flight");
        send(&mut progress, 9, 0);
        assert!(!progress.rejected(BOOT, at(6)), "of another append");
        assert!(progress.rejected(BOOT, at(7)));
        progress.probe(at(4));
        send(&mut progress, 9, 0);
        assert!(!progress.rejected(BOOT, at(7)), "of the round before");
        assert!(!progress.rejected(Boot::new(0), at(3)), "of an older boot");
        let mut progress = replicating(5);
        send(&mut progress, 6, 0);
        assert!(!progress.rejected(BOOT, at(5)), "while replicating, rounds find out what was lost");
    }

    /// B26: a window closes at its limits, in packets and in bytes, and opens when answers come.
    #[test]
    fn window_closes_and_opens_again() {
        for (packets_max, bytes_max) in [(3, 1000), (1000, 30)] {
            let mut progress = replicating(5);
            for round in 0..4 {
                let first = 6 + 3 * round;
                for last in first..first + 3 {
                    assert!(progress.may_send(packets_max, bytes_max));
                    send(&mut progress, last, 0);
                }
                assert!(!progress.may_send(packets_max, bytes_max), "full");
                progress.acknowledged(BOOT, None, at(first + 2), at(first + 1));
                assert!(progress.may_send(packets_max, bytes_max), "two of three are durable");
                progress.acknowledged(BOOT, None, at(first + 2), at(first + 2));
            }
            assert_eq!(progress.check(at(100), 1000), Ok(()));
        }
    }

    /// B26: an append that is lost opens the window no further than that: what has arrived before it and is not durable yet
    /// still counts, in packets and in bytes, however often something is lost.
    #[test]
    fn loss_opens_no_new_window() {
        for (packets_max, bytes_max) in [(3, 1000), (1000, 30)] {
            let mut progress = replicating(5);
            for last in 6..=8 {
                send(&mut progress, last, 1);
            }
            for round in 2..=4 {
                progress.acknowledged(BOOT, Some(Round::new(round)), at(7), at(5));
            }
            assert_eq!(progress.next(), at(8), "8 is lost");
            assert!(progress.may_send(packets_max, bytes_max));
            send(&mut progress, 8, 4);
            assert!(!progress.may_send(packets_max, bytes_max), "6 and 7 are there, and not durable");
            assert_eq!(progress.check(at(8), packets_max), Ok(()));
        }
    }

    /// B25: a probe that was lost is sent again, and so is what was lost while replicating, from what is held.
    #[test]
    fn rounds_without_progress_conclude_that_appends_were_lost() {
        let mut progress = replicating(5);
        for last in 6..=8 {
            send(&mut progress, last, 1);
        }
        progress.acknowledged(BOOT, Some(Round::new(2)), at(6), at(5));
        progress.acknowledged(BOOT, Some(Round::new(3)), at(7), at(5));
        assert_eq!(progress.next(), at(9), "there is progress, though slow");
        progress.acknowledged(BOOT, Some(Round::new(4)), at(7), at(5));
        assert_eq!(progress.next(), at(8), "8 is lost, 7 is not");

        let mut probing = Progress::new(progress.pair, VOTES, at(8));
        send(&mut probing, 8, 1);
        for round in 2..=3 {
            assert!(!probing.may_send(9, 9));
            probing.acknowledged(BOOT, Some(Round::new(round)), at(3), at(3));
        }
        assert_eq!((probing.mode(), probing.next()), (Mode::Probe, at(8)));
        assert!(probing.may_send(9, 9), "the probe is lost");
    }

    /// Heartbeats may overtake entries: one answer without them says nothing, nor does one round after it was sent.
    #[test]
    fn heartbeat_that_overtakes_entries_concludes_nothing() {
        let mut progress = replicating(5);
        progress.acknowledged(BOOT, Some(Round::new(1)), at(5), at(5));
        send(&mut progress, 6, 1);
        progress.acknowledged(BOOT, Some(Round::new(2)), at(5), at(5));
        assert_eq!(progress.next(), at(7));
        progress.acknowledged(BOOT, Some(Round::new(3)), at(5), at(5));
        assert_eq!(progress.next(), at(6), "a whole round later it is lost");
    }

    #[test]
    fn check_sees_what_is_wrong() {
        let sound = || {
            let mut progress = replicating(5);
            send(&mut progress, 6, 0);
            send(&mut progress, 8, 0);
            progress
        };
        assert_eq!(sound().check(at(8), 2), Ok(()));
        let broken = |breaks: fn(&mut Progress)| {
            let mut progress = sound();
            breaks(&mut progress);
            progress.check(at(8), 2)
        };
        let more = Err("nobody has more of the leader's log than the leader");
        assert_eq!(broken(|progress| progress.matched = at(9)), more);
        assert_eq!(broken(|progress| progress.held = at(9)), more);
        assert_eq!(broken(|progress| (progress.matched, progress.held) = (at(8), at(8))), Ok(()));
        let range = Err("1 ≤ next ≤ end of the leader's log + 1");
        assert_eq!(broken(|progress| progress.next = at(0)), range);
        assert_eq!(broken(|progress| progress.next = at(10)), range);
        let again = Err("what is held is not sent again");
        assert_eq!(broken(|progress| (progress.held, progress.next) = (at(7), at(7))), again);
        let window = Err("a window holds no more appends than its limit");
        assert_eq!(sound().check(at(8), 1), window);
        assert_eq!(broken(|progress| progress.mode = Mode::Probe), window);
        assert_eq!(broken(|progress| progress.mode = Mode::Snapshot), window);
        let bytes = Err("the bytes in flight are those of the appends in flight");
        assert_eq!(broken(|progress| progress.in_flight_bytes += 1), bytes);
        assert_eq!(broken(|progress| progress.in_flight_bytes -= 1), bytes);
        let mut probing = Progress::new(sound().pair, VOTES, at(8));
        send(&mut probing, 8, 0);
        assert_eq!(probing.check(at(8), 2), Ok(()), "one append in a probe");
    }

    /// What has arrived and is not durable yet is not lost, and nor is what was sent behind it since.
    #[test]
    fn append_that_has_arrived_is_not_taken_for_lost() {
        let mut progress = replicating(5);
        send(&mut progress, 6, 1);
        progress.acknowledged(BOOT, Some(Round::new(2)), at(6), at(5));
        send(&mut progress, 7, 3);
        progress.acknowledged(BOOT, Some(Round::new(3)), at(6), at(5));
        assert_eq!(progress.next(), at(8));
    }

    /// B25: whoever has what a snapshot covers, or more, is sent what follows; that its sender has said so is not waited for.
    #[test]
    fn follower_that_has_its_snapshot_goes_on() {
        for (held, goes_on) in [(7, false), (8, true), (9, true)] {
            let mut progress = replicating(5);
            progress.snapshot_begun(at(8));
            progress.acknowledged(BOOT, None, at(held), at(held));
            let mode = if goes_on { Mode::Replicate } else { Mode::Snapshot };
            assert_eq!((progress.mode(), progress.next()), (mode, at(held.max(8) + 1)));
        }
    }
}
