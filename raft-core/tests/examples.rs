//! Goal: the examples do what they say. Method: they are run as they stand. Each of them asserts what it shows, and panics
//! where something is otherwise; there is nothing in them that waits for a time to pass.

#[path = "../examples/embedding/main.rs"]
mod embedding;
#[path = "../examples/no_std/main.rs"]
mod no_std;
#[path = "../examples/three_nodes.rs"]
mod three_nodes;

#[test]
fn three_nodes_in_one_thread_bring_one_back_by_a_snapshot() {
    three_nodes::main();
}

#[test]
fn threads_with_files_recover_what_was_durable() {
    embedding::main();
}

#[test]
fn device_without_std_recovers_and_fills_up() {
    no_std::main();
}
