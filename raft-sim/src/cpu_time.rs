//! How much CPU time this process has used, for figures that were asked for. Nothing of a run ever depends on it.

/// CPU time of all threads of this process so far, in milliseconds; `None` where the system does not say (it is read
/// from `/proc`, in hundredths of a second).
pub fn cpu_time_ms() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses and may hold blanks; user and system time are the 14th and 15th.
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * 10)
}
