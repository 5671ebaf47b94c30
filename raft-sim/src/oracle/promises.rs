//! Durability before promises: nothing that others build on leaves before the disk holds it.

use raft_core::{Body, LogIndex, Pair, Term};

use super::commit::CommitRule;
use super::disks::DiskModel;
use super::election::ElectionSafety;
use super::term_log::LogView;
use super::{Step, Verdict, broken};

pub(super) const NAME: &str = "promises";
const VOTE: &str = "a vote leaves only when the disk holds it (Raft thesis figure 3.1: updated on stable storage before responding)";
const ACKNOWLEDGEMENT: &str = "an acknowledgement leaves only when the disk holds what it covers, and its term (Raft thesis figure 3.1: \
                               updated on stable storage before responding)";

pub(super) fn stepped(
    step: &Step<'_>,
    disk: &DiskModel,
    election: &ElectionSafety,
    commit: &CommitRule,
) -> Verdict {
    for packet in &step.ready.send {
        match packet.body {
            Body::RequestVote { .. } => vote(step.pair, packet.term, packet.from, disk)?,
            Body::Vote { granted: true, .. } => vote(step.pair, packet.term, packet.to, disk)?,
            Body::Acknowledge { durable, .. } if durable != LogIndex::ZERO => {
                if disk.term < packet.term {
                    return broken(NAME, ACKNOWLEDGEMENT, || {
                        let (from, term) = (step.pair, packet.term);
                        format!("{from} acknowledges in term {term}, its disk is at term {}", disk.term)
                    });
                }
                let Some(leader) = election.leader_of(packet.term).filter(|leader| leader.pair == packet.to)
                else {
                    return broken(NAME, ACKNOWLEDGEMENT, || {
                        let (from, to, term) = (step.pair, packet.to, packet.term);
                        format!(
                            "{from} acknowledges index {durable} to {to}, which does not lead term {term}"
                        )
                    });
                };
                let there = leader.term_at(durable, commit);
                acknowledgement(step.pair, (packet.term, packet.to), durable, disk, there)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn vote(voter: Pair, term: Term, candidate: Pair, disk: &DiskModel) -> Verdict {
    if term < disk.term || (term == disk.term && disk.vote == Some(candidate)) {
        return Ok(());
    }
    broken(NAME, VOTE, || {
        let on_disk = disk.vote.map_or_else(|| "no vote".to_owned(), |vote| format!("a vote for {vote}"));
        format!("{voter} votes for {candidate} in term {term}, its disk says {on_disk} in term {}", disk.term)
    })
}

/// `there` is what the leader has at the index that is acknowledged.
fn acknowledgement(
    from: Pair,
    (term, to): (Term, Pair),
    durable: LogIndex,
    disk: &DiskModel,
    there: Option<Term>,
) -> Verdict {
    let here = disk.log.term_at(durable);
    if here.is_some() && here == there {
        return Ok(());
    }
    broken(NAME, ACKNOWLEDGEMENT, || {
        let name = |term: Option<Term>| {
            term.map_or_else(|| "no entry".to_owned(), |term| format!("one of term {term}"))
        };
        let (here, there) = (name(here), name(there));
        format!(
            "{from} acknowledges index {durable} to {to} in term {term}: its disk has {here} there, the leader {there}"
        )
    })
}
