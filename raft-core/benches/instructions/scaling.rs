//! What has to cost the same however long the log is, and what may grow with the size of the cluster, and how.

use bytes::Bytes;
use raft_core::{Config, Message};

use crate::lab::Lab;
use crate::measured;

/// How counts may grow from one size to the next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Growth {
    /// Not at all: one hundredth is for the allocator.
    None,
    /// By as much for each one more, or less.
    Linear,
    /// Not held to anything, only shown.
    Any,
}

/// One row: a kind of work, and the sizes that it is counted at.
pub(crate) struct Scaling {
    /// The kind of work.
    pub(crate) name: &'static str,
    /// What it is, and of what the sizes are.
    pub(crate) what: &'static str,
    /// The sizes.
    pub(crate) sizes: [u64; 3],
    /// How it may grow.
    pub(crate) growth: Growth,
}

impl Scaling {
    /// Whether counts at the three sizes grow as they may.
    pub(crate) fn holds(&self, counts: [u64; 3]) -> bool {
        let [small, middle, large] = counts;
        match self.growth {
            Growth::None => counts.iter().all(|count| count.abs_diff(small) * 100 <= small),
            Growth::Linear => {
                // From the middle to the large size no steeper than from the small to the middle one, less a quarter for
                // lists that outgrow the allocator's small sizes.
                let [of_small, of_middle, of_large] = self.sizes;
                let first = middle.saturating_sub(small) * (of_large - of_middle);
                let second = large.saturating_sub(middle) * (of_middle - of_small);
                second * 4 <= first * 5
            }
            Growth::Any => true,
        }
    }
}

/// All of them.
pub(crate) const SCALINGS: [Scaling; 5] = [
    Scaling {
        name: "heartbeat",
        what: "a round of heartbeats of a leader of three, by entries in the log",
        sizes: [100, 10_000, 1_000_000],
        growth: Growth::None,
    },
    Scaling {
        name: "commit",
        what: "one command from its proposal until all have been told, by voters; what came together is taken in one step",
        sizes: [3, 9, 51],
        growth: Growth::Linear,
    },
    Scaling {
        name: "commit-one-by-one",
        what: "the same, each acknowledgement taken in a step of its own",
        sizes: [3, 9, 51],
        growth: Growth::Any,
    },
    Scaling {
        name: "learners",
        what: "one command from its proposal until all have been told, three voters, by learners",
        sizes: [10, 100, 1000],
        growth: Growth::Linear,
    },
    Scaling {
        name: "learners-heartbeat",
        what: "a round of heartbeats and its answers, three voters, by learners",
        sizes: [10, 100, 1000],
        growth: Growth::Linear,
    },
];

/// Does it so many times at this size.
pub(crate) fn run(name: &str, size: u64, times: u64) {
    let config = Config::default();
    let mut lab = match name {
        "heartbeat" => Lab::leader(3, 0, config),
        "commit" | "commit-one-by-one" => Lab::leader(size, 0, config),
        _ => Lab::leader(3, size, config),
    };
    if name == "heartbeat" {
        lab.grow(size, &Bytes::from_static(b"x"));
    }
    for _ in 0..times {
        let mut message = Some(match name {
            "heartbeat" | "learners-heartbeat" => Message::Tick { elapsed: config.heartbeat_ticks },
            _ => lab.proposal(1),
        });
        measured(&mut || lab.step(message.take()));
        loop {
            let mut messages = lab.reports();
            messages.extend(lab.answers());
            if messages.is_empty() {
                break;
            }
            if name == "commit-one-by-one" {
                let mut later = Vec::new();
                for message in messages {
                    let mut message = Some(message);
                    measured(&mut || lab.step(message.take()));
                    later.extend(lab.reports());
                }
                for report in later {
                    lab.step([report]);
                }
            } else {
                measured(&mut || lab.step(messages.drain(..)));
            }
        }
    }
}
