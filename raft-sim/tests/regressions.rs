//! Bugs that the simulator found in the core, as its shortened runs. Each breaks its rule for as long as the mend is taken out, which
//! the canary that is named does; with the core as it is, none breaks any.

use raft_sim::{Honest, Schedule, replay};

fn assert_clean(run: &str) {
    let schedule: Schedule = run.parse().unwrap();
    let replayed = replay(&schedule, Honest, &mut ());
    assert_eq!(replayed.violation, None);
}

/// A follower that had acknowledged all of the log and restarted never learnt in an idle cluster how far it is committed: first seen at
/// seed 560 by `progress`. Canary `restart-not-probed`.
#[test]
fn restarted_follower_commits_in_an_idle_cluster() {
    assert_clean(
        r"raft-sim schedule 1
servers 2
machines durable
config seed 0
config election_timeout_ticks 10
config heartbeat_ticks 1
config disk_stall_ticks 1000000
config pre_vote false
config dead_after_ticks 0
config command_bytes_max 4096
config tail_bytes_max 1000000
config terms_max 1024
config append_bytes_max 1000000
config append_entries_max 1000000
config in_flight_packets_max 64
config in_flight_bytes_max 1000000
config uncommitted_bytes_max 1000000
config proposals_max 1000
config reads_max 1000
config forward_ticks 200
config timer_ticks 0
config writes_outstanding_max 16
config apply_bytes_max 1000000
config fetch_bytes_max 1000000
config trailing_entries 10000
config apply_before_durable false
expects progress
afterwards settled 1,2
actions
tick 2 +18
step 2
sync 2 batches 1
step 2
deliver 2>1#1
step 1
sync 1 batches 1
step 1
deliver 1>2#1
step 2
deliver 2>1#3
step 1
crash 1 keep 0
",
    );
}

/// An append of fetched entries did not heed `append_entries_max`: first seen by `caps`, in 38 of 200 seeds. Canary
/// `fetched-beyond-limit`.
#[test]
fn fetched_entries_are_sent_within_limits() {
    assert_clean(
        r"raft-sim schedule 1
servers 3
machines durable
config seed 0
config election_timeout_ticks 10
config heartbeat_ticks 1
config disk_stall_ticks 1000000
config pre_vote false
config dead_after_ticks 0
config command_bytes_max 4096
config tail_bytes_max 1
config terms_max 1024
config append_bytes_max 1000000
config append_entries_max 8
config in_flight_packets_max 64
config in_flight_bytes_max 1000000
config uncommitted_bytes_max 1000000
config proposals_max 1000
config reads_max 1000
config forward_ticks 200
config timer_ticks 0
config writes_outstanding_max 16
config apply_bytes_max 1000000
config fetch_bytes_max 1000000
config trailing_entries 10000
config apply_before_durable false
expects caps
afterwards nothing
actions
tick 3 +10
step 3
sync 3 batches 1
step 3
deliver 3>1#1
step 1
sync 1 batches 1
step 1
deliver 1>3#1
step 3
sync 3 batches 1
deliver 3>1#3
propose 3 request 25 commands 1 bytes 8
propose 3 request 26 commands 1 bytes 8
propose 3 request 27 commands 1 bytes 8
call 3 request 28 client 2 key 1 write
propose 3 request 29 commands 1 bytes 8
call 3 request 31 client 3 key 2 swap nothing
propose 3 request 33 commands 1 bytes 8
propose 3 request 35 commands 1 bytes 8
step 3
sync 3 batches 1
step 1
sync 1 batches 1
deliver 1>3#2
step 3
deliver 3>1#4
tick 3 +1
step 1
sync 1 batches 1
step 1
deliver 1>3#4
step 3
deliver 3>1#5
tick 1 +19
step 1
sync 1 batches 1
step 1
deliver 1>3#6
step 3
sync 3 batches 1
step 3
deliver 3>1#6
step 1
deliver 1>2#3
step 2
deliver 2>1#1
step 1
fetched 1
step 1
",
    );
}

/// A stale heartbeat was acknowledged in the term of who refused it, which its sender may have come to lead: first seen at seed 13 by
/// `monotone`. Canary `stale-acknowledgement`.
#[test]
fn stale_heartbeats_are_not_acknowledged() {
    assert_clean(
        r"raft-sim schedule 1
servers 2
machines durable
config seed 0
config election_timeout_ticks 10
config heartbeat_ticks 1
config disk_stall_ticks 1000000
config pre_vote false
config dead_after_ticks 0
config command_bytes_max 4096
config tail_bytes_max 1000000
config terms_max 1024
config append_bytes_max 1000000
config append_entries_max 1000000
config in_flight_packets_max 64
config in_flight_bytes_max 1000000
config uncommitted_bytes_max 1000000
config proposals_max 1000
config reads_max 1000
config forward_ticks 200
config timer_ticks 0
config writes_outstanding_max 16
config apply_bytes_max 1000000
config fetch_bytes_max 1000000
config trailing_entries 10000
config apply_before_durable false
expects monotone
afterwards nothing
actions
tick 1 +18
step 1
sync 1 batches 1
step 1
deliver 1>2#1
step 2
sync 2 batches 1
step 2
deliver 2>1#1
step 1
tick 1 +10
sync 1 batches 1
tick 1 +19
step 1
sync 1 batches 1
step 1
deliver 1>2#4
step 2
sync 2 batches 1
step 2
deliver 2>1#2
step 1
deliver 1>2#6
step 2
deliver 2>1#3
step 1
deliver 1>2#5
deliver 1>2#7
step 2
deliver 1>2#2
step 2
",
    );
}
