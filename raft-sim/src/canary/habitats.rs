//! The list of spaces in which canaries must be found: for each the smallest that shows it, as far as that was tried.
//!
//! Packets are lost only where a space says so. What nobody takes stays in flight and keeps others from being sent, so that a space with one loss
//! and few packets can show what one without losses needs many packets for.

use super::Habitat;
use crate::explore::Bounds;

/// No commands, no faults, and every write durable at once.
const PLAIN: Bounds = Bounds {
    nodes: 2,
    terms: 1,
    entries: 0,
    messages: 2,
    heartbeats: None,
    crashes: 0,
    drops: 0,
    duplicates: 0,
    changes: 0,
    snapshots: 0,
    syncs: false,
    pre_vote: false,
    patient: false,
};

/// All of them, in the order of the canaries.
pub const HABITATS: &[Habitat] = &[
    Habitat {
        canary: "installed-change-kept",
        bounds: Bounds {
            nodes: 3,
            terms: 2,
            messages: 3,
            heartbeats: Some(1),
            drops: 1,
            changes: 1,
            snapshots: 1,
            ..PLAIN
        },
        oracle: "membership",
    },
    Habitat {
        canary: "joint-lost-in-snapshot",
        bounds: Bounds { nodes: 3, messages: 3, heartbeats: Some(1), changes: 1, snapshots: 1, ..PLAIN },
        oracle: "snapshots",
    },
    Habitat {
        canary: "uncommitted-in-snapshot",
        bounds: Bounds { nodes: 3, messages: 3, heartbeats: Some(1), changes: 1, snapshots: 1, ..PLAIN },
        oracle: "snapshots",
    },
    Habitat {
        canary: "older-snapshot-installed",
        bounds: Bounds {
            nodes: 3,
            terms: 2,
            messages: 3,
            heartbeats: Some(1),
            drops: 1,
            snapshots: 1,
            ..PLAIN
        },
        oracle: "health",
    },
    Habitat {
        canary: "restored-before-durable",
        bounds: Bounds {
            nodes: 3,
            messages: 3,
            heartbeats: Some(1),
            drops: 1,
            snapshots: 1,
            syncs: true,
            ..PLAIN
        },
        oracle: "state-machine-safety",
    },
    Habitat {
        canary: "compacted-beyond-transfer",
        bounds: Bounds { nodes: 3, entries: 1, messages: 3, drops: 1, snapshots: 2, ..PLAIN },
        oracle: "snapshots",
    },
    Habitat {
        canary: "vote-by-index",
        bounds: Bounds { nodes: 3, terms: 3, entries: 1, heartbeats: Some(0), drops: 1, ..PLAIN },
        oracle: "leader-completeness",
    },
    Habitat { canary: "vote-twice", bounds: Bounds { nodes: 3, messages: 4, ..PLAIN }, oracle: "health" },
    Habitat { canary: "vote-before-sync", bounds: Bounds { syncs: true, ..PLAIN }, oracle: "promises" },
    Habitat {
        canary: "commit-by-counting",
        bounds: Bounds { terms: 2, syncs: true, ..PLAIN },
        oracle: "commit-rule",
    },
    Habitat { canary: "leader-counts-early", bounds: Bounds { syncs: true, ..PLAIN }, oracle: "commit-rule" },
    Habitat { canary: "empty-acknowledgement", bounds: PLAIN, oracle: "health" },
    Habitat {
        canary: "no-consistency-check",
        bounds: Bounds { nodes: 3, terms: 3, messages: 3, heartbeats: Some(0), drops: 1, ..PLAIN },
        oracle: "log-matching",
    },
    Habitat { canary: "commit-falls", bounds: Bounds { messages: 3, ..PLAIN }, oracle: "health" },
    Habitat { canary: "half-is-enough", bounds: PLAIN, oracle: "election-safety" },
    Habitat {
        canary: "commit-beyond-verified",
        bounds: Bounds { nodes: 3, terms: 2, messages: 4, heartbeats: Some(1), ..PLAIN },
        oracle: "state-machine-safety",
    },
    Habitat {
        canary: "verified-of-another-term",
        bounds: Bounds { nodes: 3, terms: 2, heartbeats: Some(1), crashes: 1, syncs: true, ..PLAIN },
        oracle: "health",
    },
    Habitat { canary: "window-leaks", bounds: PLAIN, oracle: "health" },
    Habitat {
        canary: "applied-before-durable",
        bounds: Bounds { nodes: 3, syncs: true, ..PLAIN },
        oracle: "state-machine-safety",
    },
    Habitat {
        canary: "overlap-cuts",
        bounds: Bounds { entries: 1, duplicates: 1, ..PLAIN },
        oracle: "health",
    },
    Habitat { canary: "pre-vote-below-term", bounds: Bounds { pre_vote: true, ..PLAIN }, oracle: "monotone" },
    Habitat {
        canary: "stale-votes",
        bounds: Bounds { nodes: 3, terms: 2, messages: 5, heartbeats: Some(0), ..PLAIN },
        oracle: "election-safety",
    },
    Habitat {
        canary: "change-before-own-term",
        bounds: Bounds { terms: 2, heartbeats: Some(0), changes: 1, ..PLAIN },
        oracle: "membership",
    },
    Habitat {
        canary: "two-changes",
        bounds: Bounds { nodes: 3, heartbeats: Some(0), changes: 2, ..PLAIN },
        oracle: "commit-rule",
    },
    Habitat {
        canary: "joint-lost-on-restart",
        bounds: Bounds { nodes: 3, heartbeats: Some(0), crashes: 1, changes: 1, ..PLAIN },
        oracle: "membership",
    },
    Habitat {
        canary: "joint-left-early",
        bounds: Bounds { nodes: 3, terms: 2, messages: 3, heartbeats: Some(0), changes: 1, ..PLAIN },
        oracle: "leader-completeness",
    },
    Habitat {
        canary: "half-of-joint-elects",
        bounds: Bounds { nodes: 3, terms: 2, messages: 4, heartbeats: Some(0), changes: 1, ..PLAIN },
        oracle: "election-safety",
    },
    Habitat {
        canary: "half-of-joint-commits",
        bounds: Bounds { nodes: 3, heartbeats: Some(0), changes: 1, syncs: true, ..PLAIN },
        oracle: "commit-rule",
    },
    Habitat {
        canary: "removed-leader-counts",
        bounds: Bounds { nodes: 3, messages: 3, heartbeats: Some(1), changes: 1, ..PLAIN },
        oracle: "commit-rule",
    },
    Habitat {
        canary: "removed-leader-stays",
        bounds: Bounds { heartbeats: Some(1), changes: 1, ..PLAIN },
        oracle: "membership",
    },
    Habitat {
        canary: "old-removal",
        bounds: Bounds { nodes: 3, messages: 3, heartbeats: Some(0), changes: 2, ..PLAIN },
        oracle: "membership",
    },
    Habitat {
        canary: "configuration-not-undone",
        bounds: Bounds { nodes: 3, terms: 2, messages: 3, heartbeats: Some(0), changes: 1, ..PLAIN },
        oracle: "membership",
    },
];
