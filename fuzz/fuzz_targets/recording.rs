//! Any bytes as a recording: read, replayed and compared, or refused. What is done with them, and a test that they come that far, is with
//! the tests of the core.
#![no_main]

#[path = "../../raft-core/tests/hostile/recordings.rs"]
mod recordings;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    recordings::run(bytes);
});
