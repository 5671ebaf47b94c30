//! Goal: a mutant of the core is built and tested in seconds. Method: the tests of the protocol are one binary here, since linking each of
//! its own takes most of the time otherwise. `.ci/mutants` runs it (see `docs/testing.md`); what checks documents, memory or
//! generated sources is left out. No other run of the tests comes here, where each would run a second time.

#![expect(
    clippy::duplicate_mod,
    reason = "the files share their helpers, and here they stand beside one another"
)]

mod common;
#[path = "compaction.rs"]
mod compaction;
#[path = "disturbance.rs"]
mod disturbance;
#[path = "election.rs"]
mod election;
#[path = "encoding_properties.rs"]
mod encoding_properties;
#[path = "fetching.rs"]
mod fetching;
#[path = "figures.rs"]
mod figures;
#[path = "following.rs"]
mod following;
#[path = "forwarding.rs"]
mod forwarding;
#[path = "grouping.rs"]
mod grouping;
#[path = "hostile_snapshots.rs"]
mod hostile_snapshots;
#[path = "hostile_world.rs"]
mod hostile_world;
#[path = "identity.rs"]
mod identity;
#[path = "imports.rs"]
mod imports;
#[path = "leases.rs"]
mod leases;
#[path = "limits.rs"]
mod limits;
#[path = "log_properties.rs"]
mod log_properties;
#[path = "lost.rs"]
mod lost;
#[path = "malformed.rs"]
mod malformed;
#[path = "membership.rs"]
mod membership;
#[path = "memory.rs"]
mod memory;
#[path = "reads.rs"]
mod reads;
#[path = "recovery.rs"]
mod recovery;
#[path = "removal.rs"]
mod removal;
#[path = "replication.rs"]
mod replication;
#[path = "sessions.rs"]
mod sessions;
#[path = "sleep.rs"]
mod sleep;
#[path = "snapshots.rs"]
mod snapshots;
#[path = "staging.rs"]
mod staging;
#[path = "thesis.rs"]
mod thesis;
#[path = "timers.rs"]
mod timers;
#[path = "transcripts.rs"]
mod transcripts;
#[path = "transfer.rs"]
mod transfer;
#[path = "versions.rs"]
mod versions;
