//! One vote per server and term, for ever.

use raft_core::{Body, Pair, Term};

use super::{Step, Verdict, broken};
use crate::action::HostId;

pub(super) const NAME: &str = "votes";
const RULE: &str = "each server will vote for at most one candidate in a given term (Raft thesis §3.4), also across restarts";

/// (pair, term) → candidate, write-once. A request for votes is the sender's vote for itself.
#[derive(Clone, Debug)]
pub(super) struct Votes {
    // By machine, terms rising.
    given: Vec<Vec<(Term, Pair)>>,
    // Who the machines are.
    pairs: Vec<Pair>,
    // Those of pairs that are no more.
    before: Vec<(Pair, Term, Pair)>,
}

impl Votes {
    pub(super) fn new(pairs: &[Pair]) -> Self {
        Votes { given: vec![Vec::new(); pairs.len()], pairs: pairs.to_vec(), before: Vec::new() }
    }

    /// The machine is another pair, which has voted for nobody.
    pub(super) fn wiped(&mut self, host: HostId, pair: Pair) {
        let given = self.given[host.nth()].drain(..);
        let voter = std::mem::replace(&mut self.pairs[host.nth()], pair);
        self.before.extend(given.map(|(term, candidate)| (voter, term, candidate)));
    }

    pub(super) fn stepped(&mut self, step: &Step<'_>) -> Verdict {
        for packet in &step.ready.send {
            let candidate = match packet.body {
                Body::RequestVote { .. } => packet.from,
                Body::Vote { granted: true, .. } => packet.to,
                _ => continue,
            };
            self.note(step.host, packet.from, packet.term, candidate)?;
        }
        // In memory too a vote stays as long as the server runs. One that was never durable, and so never left, may be given
        // anew after a restart.
        let (before, after) = (&step.before, &step.after);
        if before.term == after.term && before.vote.is_some() && before.vote != after.vote {
            return broken(NAME, RULE, || {
                format!(
                    "{} changes its vote in term {} from {:?} to {:?}",
                    step.pair, after.term, before.vote, after.vote
                )
            });
        }
        Ok(())
    }

    /// Who has said that it voted for this server in this term; the server itself is one of them.
    pub(super) fn voters(&self, candidate: Pair, term: Term) -> Vec<Pair> {
        let gave = |given: &Vec<(Term, Pair)>| given.binary_search(&(term, candidate)).is_ok();
        let given = self.pairs.iter().zip(&self.given).filter(|(_, given)| gave(given));
        let before = self.before.iter().filter(|(_, at, other)| (*at, *other) == (term, candidate));
        let voters = given.map(|(voter, _)| *voter).chain(before.map(|(voter, ..)| *voter));
        voters.chain([candidate]).collect()
    }

    pub(super) fn note(&mut self, host: HostId, voter: Pair, term: Term, candidate: Pair) -> Verdict {
        let given = &mut self.given[host.nth()];
        let nth = given.partition_point(|(given, _)| *given < term);
        match given.get(nth) {
            Some((at, other)) if *at == term && *other != candidate => {
                broken(NAME, RULE, || format!("{voter} votes for {other} and for {candidate} in term {term}"))
            }
            Some((at, _)) if *at == term => Ok(()),
            _ => {
                given.insert(nth, (term, candidate));
                Ok(())
            }
        }
    }
}
