//! A copy of the sources under `target/`, to be broken and built. All canaries share one, so that only what differs is compiled
//! again.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::exhaustive::{Hunt, ParseHuntError, word_of};
use super::{CanaryError, ParseSightingError, Replacement, Sighting, child};
use crate::explore::{Bounds, Limits};
use crate::schedule::{Schedule, ScheduleError};

/// Where broken copies are made and built.
#[derive(Clone, Debug)]
pub struct Bench {
    source: PathBuf,
    target: PathBuf,
    stop: Arc<AtomicBool>,
}

/// While it is there nobody else builds or runs a broken copy in the same place.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is held, not looked at")] File);

/// What a copy consists of, below the top of the workspace.
const COPIED: [&str; 3] = ["Cargo.lock", "raft-core/src", "raft-sim/src"];

impl Bench {
    /// Breaks copies of the workspace at `source`; without it, of the one that this crate was built in. They are made below
    /// `CARGO_TARGET_DIR`, or `target` in the workspace.
    pub fn new(source: Option<PathBuf>) -> Self {
        let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let source = source.unwrap_or_else(own);
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| source.join("target"), PathBuf::from);
        Bench { source, target: target.join("canaries"), stop: Arc::default() }
    }

    /// One that builds, runs and looks only until `stop` is set.
    #[must_use]
    pub fn until(self, stop: &Arc<AtomicBool>) -> Self {
        Bench { stop: Arc::clone(stop), ..self }
    }

    /// Until when it works.
    pub(super) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// Builds a copy with these replacements and lets it do what these arguments say, with our own stdout and stderr.
    ///
    /// # Errors
    /// A replacement that does not fit exactly once, or a copy that can not be made, built or run; or the bench was stopped.
    pub fn show(&self, replacements: &[Replacement], what: &[&OsStr]) -> Result<ExitStatus, CanaryError> {
        let _lock = self.lock()?;
        child::status(Command::new(self.program(replacements)?).args(what), &self.stop)
    }

    /// Builds a copy with these replacements and lets it look for a run that breaks a rule.
    ///
    /// # Errors
    /// A replacement that does not fit exactly once, or a copy that can not be made, built or run; or the bench was stopped.
    pub fn probe(&self, replacements: &[Replacement]) -> Result<Option<Sighting>, CanaryError> {
        let line = self.output(replacements, &["search"])?;
        if line.is_empty() {
            return Ok(None);
        }
        let seen = line.trim_end().parse();
        seen.map(Some).map_err(|error: ParseSightingError| CanaryError::Build(error.to_string()))
    }

    /// Builds a copy with these replacements and lets it write down the run of a sighting, as that of the canary `name`.
    ///
    /// # Errors
    /// A replacement that does not fit exactly once, or a copy that can not be made, built or run; or the bench was stopped.
    pub fn record(
        &self,
        replacements: &[Replacement],
        name: &str,
        seen: &Sighting,
    ) -> Result<Schedule, CanaryError> {
        let text =
            self.output(replacements, &["record", name, seen.profile.name(), &seen.seed.to_string()])?;
        text.parse().map_err(|error: ScheduleError| CanaryError::Build(error.to_string()))
    }

    /// Builds a copy with these replacements and lets it search a space. Of the limits that in bytes is not kept.
    ///
    /// # Errors
    /// A replacement that does not fit exactly once, or a copy that can not be made, built or run; or the bench was stopped.
    pub fn explore(
        &self,
        replacements: &[Replacement],
        bounds: Bounds,
        limits: Limits,
    ) -> Result<Hunt, CanaryError> {
        let states = limits.states.unwrap_or(u64::MAX);
        let arguments = ["explore", &bounds.to_string(), word_of(limits), &states.to_string()];
        let text = self.output(replacements, &arguments)?;
        text.parse().map_err(|error: ParseHuntError| CanaryError::Build(error.to_string()))
    }

    fn output(&self, replacements: &[Replacement], arguments: &[&str]) -> Result<String, CanaryError> {
        let _lock = self.lock()?;
        let output = child::output(Command::new(self.program(replacements)?).args(arguments), &self.stop)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(CanaryError::Build(String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// Waits until nobody else builds and runs a copy there: what they run would be another one than they have built.
    ///
    /// # Errors
    /// There is no such place, or the bench was stopped.
    pub fn lock(&self) -> Result<Lock, CanaryError> {
        fs::create_dir_all(&self.target)?;
        let file = File::create(self.target.join("lock"))?;
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock => child::pause(&self.stop)?,
                TryLockError::Error(error) => return Err(error.into()),
            }
        }
        Ok(Lock(file))
    }

    /// Builds a copy with these replacements; the program, which is there until the next is built: [`lock`](Self::lock) keeps others from
    /// that.
    ///
    /// # Errors
    /// A replacement that does not fit exactly once, or a copy that can not be made or built; or the bench was stopped.
    pub fn program(&self, replacements: &[Replacement]) -> Result<PathBuf, CanaryError> {
        let copy = self.target.join("copy");
        let mut broken = Vec::new();
        for replacement in replacements {
            let file = self.source.join(replacement.file);
            let there = broken.iter().position(|(name, _)| *name == file);
            let nth = match there {
                Some(nth) => nth,
                None => {
                    let text = fs::read_to_string(&file)?;
                    broken.push((file, text));
                    broken.len() - 1
                }
            };
            let text = &mut broken[nth].1;
            let found = text.matches(replacement.from).count();
            if found != 1 {
                return Err(CanaryError::Stale { file: replacement.file, found });
            }
            *text = text.replacen(replacement.from, replacement.to, 1);
        }
        self.copy_sources(&copy, &broken)?;
        self.build(&copy)?;
        Ok(self.target.join("build").join("debug").join("raft-sim"))
    }

    fn build(&self, copy: &Path) -> Result<(), CanaryError> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(copy).args([
            "build",
            "--offline",
            "--quiet",
            "-p",
            "raft-sim",
            "--no-default-features",
        ]);
        // The core's own assertions are off, so that the oracles get to see what is broken. Lints are for the original.
        let assertions = ("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", "false");
        for (name, value) in
            [assertions, ("CARGO_PROFILE_DEV_DEBUG", "false"), ("RUSTFLAGS", "--cap-lints=allow")]
        {
            command.env(name, value);
        }
        // What the calling cargo says about its own build must not reach this one.
        command.env_remove("CARGO_ENCODED_RUSTFLAGS");
        command.env("CARGO_TARGET_DIR", self.target.join("build"));
        let output = child::output(&mut command, &self.stop)?;
        if output.status.success() {
            return Ok(());
        }
        Err(CanaryError::Build(String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    fn copy_sources(&self, copy: &Path, broken: &[(PathBuf, String)]) -> io::Result<()> {
        for part in COPIED {
            copy_tree(&self.source.join(part), &copy.join(part), broken)?;
        }
        let manifest = fs::read_to_string(self.source.join("Cargo.toml"))?;
        let lines = manifest.lines().map(|line| {
            if line.starts_with("members = ") { r#"members = ["raft-core", "raft-sim"]"# } else { line }
        });
        let manifest = lines.collect::<Vec<_>>().join("\n") + "\n";
        for member in ["raft-core/Cargo.toml", "raft-sim/Cargo.toml"] {
            let text = fs::read_to_string(self.source.join(member))?;
            write_if_changed(&copy.join(member), without_targets(&text).as_bytes())?;
        }
        write_if_changed(&copy.join("Cargo.toml"), manifest.as_bytes())
    }
}

/// A manifest without its lists of benchmarks, tests and examples, whose files are not copied.
fn without_targets(manifest: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = ["[[bench]]", "[[test]]", "[[example]]"].contains(&line.trim());
        }
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Copies a file or a folder. What is equal already is left alone, so that it is not compiled again; what is there and
/// should not be is removed. Of broken files there are their texts.
fn copy_tree(from: &Path, to: &Path, broken: &[(PathBuf, String)]) -> io::Result<()> {
    if let Some((_, text)) = broken.iter().find(|(file, _)| file == from) {
        return write_if_changed(to, text.as_bytes());
    }
    if !from.is_dir() {
        return write_if_changed(to, &fs::read(from)?);
    }
    fs::create_dir_all(to)?;
    for old in fs::read_dir(to)? {
        let old = old?;
        if !from.join(old.file_name()).exists() {
            if old.file_type()?.is_dir() {
                fs::remove_dir_all(old.path())?;
            } else {
                fs::remove_file(old.path())?;
            }
        }
    }
    for file in fs::read_dir(from)? {
        let name = file?.file_name();
        copy_tree(&from.join(&name), &to.join(&name), broken)?;
    }
    Ok(())
}

fn write_if_changed(to: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(to).is_ok_and(|old| old == content) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(to, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(target: &Path, stopped: bool) -> Bench {
        let stop = Arc::new(AtomicBool::new(stopped));
        Bench { source: PathBuf::new(), target: target.to_owned(), stop }
    }

    /// Goal: of two that want to break copies in one place one waits. Method: one that is told to stop instead of waiting.
    #[test]
    fn copies_are_broken_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let first = bench(folder.path(), false).lock().unwrap();
        assert!(matches!(bench(folder.path(), true).lock(), Err(CanaryError::Stopped)));
        drop(first);
        assert!(bench(folder.path(), true).lock().is_ok());
    }

    /// Goal: a copy is what it is a copy of, but for what is broken, and what is as it was is not written again. Method: a folder with three
    /// files, one of which is broken and later is not, and one of which goes.
    #[test]
    fn copies_differ_in_what_is_broken_only() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("deep")).unwrap();
        for (name, text) in [("a", "one"), ("b", "two"), ("deep/c", "three")] {
            fs::write(from.join(name), text).unwrap();
        }
        let broken = [(from.join("deep/c"), "broken".to_owned())];
        copy_tree(&from, &to, &broken).unwrap();
        let read = |name: &str| fs::read_to_string(to.join(name)).unwrap();
        assert_eq!([read("a"), read("b"), read("deep/c")], ["one", "two", "broken"]);
        fs::remove_file(from.join("b")).unwrap();
        copy_tree(&from, &to, &[]).unwrap();
        assert_eq!([read("a"), read("deep/c")], ["one", "three"]);
        assert!(!to.join("b").exists());
        let before = fs::metadata(to.join("a")).unwrap().modified().unwrap();
        copy_tree(&from, &to, &[]).unwrap();
        assert_eq!(fs::metadata(to.join("a")).unwrap().modified().unwrap(), before);
    }
}
