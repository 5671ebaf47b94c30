//! Any sequence of messages into one node: it stays total and pure, keeps its invariants, promises nothing before it is
//! durable, and answers every proposal once. The stories and who watches them are those of the property tests.
#![no_main]

#[path = "../../raft-core/tests/hostile/mod.rs"]
mod hostile;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|story: hostile::Story| {
    hostile::run(&story);
});
