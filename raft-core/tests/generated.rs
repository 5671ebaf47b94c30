//! Goal: the checked-in protobuf code is what the published `.proto` says. Method: compile the file anew and compare.
//! `UPDATE_EXPECT=1 cargo test -p raft-core --test generated` writes it anew.

use std::env;
use std::fs;
use std::path::PathBuf;

/// How fields are written in JSON that would be numbers or lists of numbers: the name of the function pair, and the fields.
const JSON_FIELDS: [(&str, &[&str]); 9] = [
    ("hex", &["Entry.payload.command"]),
    ("hex_list", &["Propose.commands", "RecordedMessage.Propose.commands", "Session.responses"]),
    ("runs", &["Append.runs", "Write.runs", "RecordedEntries.runs"]),
    ("entries", &["Run.entries"]),
    ("ready", &["RecordedStep.ready"]),
    ("suffrage", &["Server.suffrage"]),
    ("refusal", &["Refused.why"]),
    ("role", &["RecordedEvent.Role.role"]),
    ("fault", &["RecordedEvent.event.fault"]),
];

fn config() -> prost_build::Config {
    let mut config = prost_build::Config::new();
    config.bytes(["."]).type_attribute(
        ".",
        "#[cfg_attr(feature = \"serde\", derive(serde::Serialize, serde::Deserialize), serde(rename_all = \"snake_case\"))]",
    );
    for (with, fields) in JSON_FIELDS {
        for field in fields {
            config.field_attribute(
                format!(".raft_core.v1.{field}"),
                format!("#[cfg_attr(feature = \"serde\", serde(with = \"crate::encoding::json::{with}\"))]"),
            );
        }
    }
    config
}

#[test]
fn generated_code_is_fresh() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let descriptors =
        protox::compile(["raft_core.proto"], [here.join("proto")]).expect("the .proto file is valid");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("generated");
    fs::create_dir_all(&out).expect("the target folder is writable");
    config().out_dir(&out).compile_fds(descriptors).expect("prost takes every valid file");
    let fresh = fs::read_to_string(out.join("raft_core.v1.rs")).expect("named by the package");
    expect_test::expect_file!["../src/encoding/generated.rs"].assert_eq(&fresh);
}
