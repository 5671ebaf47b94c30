//! The settings of a node by name, to be written and read. A setting that is added to the core has to be added here: the
//! compiler sees to that.

use core::fmt::{self, Display};

use raft_core::Config;

macro_rules! settings {
    ($($name:ident),* $(,)?) => {
        /// Writes every setting with its name, one a line.
        pub(super) fn write(config: &Config, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let Config { $($name),* } = config;
            $(line(f, stringify!($name), $name)?;)*
            Ok(())
        }

        /// How many settings there are.
        pub(super) const COUNT: usize = [$(stringify!($name)),*].len();

        /// Reads one of them into `config`; which one it is, or `None` where the name is not known or the value is none.
        pub(super) fn read(config: &mut Config, name: &str, value: &str) -> Option<usize> {
            let names = [$(stringify!($name)),*];
            $(if name == stringify!($name) {
                config.$name = value.parse().ok()?;
            })*
            names.iter().position(|known| *known == name)
        }

        /// For each setting that differs: `config` with this one as in `plain`.
        pub(crate) fn plainer(config: &Config, plain: &Config) -> Vec<Config> {
            let mut plainer = Vec::new();
            $(if config.$name != plain.$name {
                plainer.push(Config { $name: plain.$name, ..*config });
            })*
            plainer
        }
    };
}

settings! {
    seed,
    election_timeout_ticks,
    heartbeat_ticks,
    disk_stall_ticks,
    pre_vote,
    dead_after_ticks,
    command_bytes_max,
    tail_bytes_max,
    terms_max,
    append_bytes_max,
    append_entries_max,
    in_flight_packets_max,
    in_flight_bytes_max,
    uncommitted_bytes_max,
    proposals_max,
    reads_max,
    forward_ticks,
    timer_ticks,
    writes_outstanding_max,
    apply_bytes_max,
    fetch_bytes_max,
    trailing_entries,
    apply_before_durable,
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: &dyn Display) -> fmt::Result {
    writeln!(f, "config {name} {value}")
}
