//! A node on a device without a standard library: all of it is in `node.rs`, which uses `core` and `alloc` only.
//!
//! Here the device is switched on, off and on again on this machine, until its memory is full. That the same file makes a program
//! for a target without `std` is checked by `.ci/no-std`, which links it into one (`raft-core/tests/no_std`).
//!
//!     cargo run -p raft-core --example no_std

mod node;

use self::node::{Flash, Report, run};

pub(crate) fn main() {
    let mut flash = Flash::new();
    let first = run(&mut flash, &[1, 2, 3]).expect("whole flash");
    assert_eq!(first, Report { sum: 6, committed: 3, failed: 0, sent: 0, halted: false });

    // What was committed is there again when the device is switched on the next time.
    let second = run(&mut flash, &[10]).expect("whole flash");
    assert_eq!(second, Report { sum: 16, committed: 1, failed: 0, sent: 0, halted: false });

    // No room is left some day: the node says so and halts. What it has promised stays true.
    let full = run(&mut flash, &[1; 200]).expect("whole flash");
    assert!(full.halted && full.committed < 200 && full.committed + full.failed == 200, "{full:?}");
    let after = run(&mut flash, &[]).expect("whole flash");
    println!("a flash memory that is full: {full:?}, and once more switched on: {after:?}");
    assert!(full.sum <= 16 + 200 && after.failed == 0);
}
