//! Goal: the checked-in protobuf code is what the published `.proto` says. Method: compile the file anew and compare.
//! `UPDATE_EXPECT=1 cargo test -p raft-core --test generated` writes it anew.

use std::env;
use std::fs;
use std::path::PathBuf;

#[test]
fn generated_code_is_fresh() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let descriptors =
        protox::compile(["raft_core.proto"], [here.join("proto")]).expect("the .proto file is valid");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("generated");
    fs::create_dir_all(&out).expect("the target folder is writable");
    prost_build::Config::new()
        .bytes(["."])
        .out_dir(&out)
        .compile_fds(descriptors)
        .expect("prost takes every valid file");
    let fresh = fs::read_to_string(out.join("raft_core.v1.rs")).expect("named by the package");
    expect_test::expect_file!["../src/encoding/generated.rs"].assert_eq(&fresh);
}
