//! Goal: `docs/state-machines.md` alone suffices. Method: what it says is done, word by word, in an empty folder: files are written and
//! changed, commands are run, and what they print is compared.
//!
//! Only what stands in no page differs: builds are kept below the target folder, work offline, with the versions of this workspace, and are
//! less optimized, which takes less time; and the checkout is named as the one it is, so that the next time finds it built already.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The file that blocks of Rust and differences are about.
const FILE: &str = "src/main.rs";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Where somebody is who does what a page says.
struct Reader {
    folder: PathBuf,
    target: PathBuf,
}

/// The language of every block of a page, and its lines.
fn blocks(page: &str) -> Vec<(&str, Vec<&str>)> {
    let mut blocks: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match (line.strip_prefix("```"), inside) {
            (Some(language), false) => blocks.push((language, Vec::new())),
            (None, true) => blocks.last_mut().unwrap().1.push(line),
            _ => {}
        }
        inside ^= line.starts_with("```");
    }
    blocks
}

/// The commands of a block, each with what it prints.
fn commands(lines: &[&str]) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in lines {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command.to_owned(), Vec::new())),
            None => commands.last_mut().expect("a command comes first").1.push((*line).to_owned()),
        }
    }
    commands
}

/// Whether these lines are those that a page promises: `…` alone stands for any number of them, and at an end of one for the rest of it.
fn fits(printed: &[&str], promised: &[String]) -> bool {
    let Some((first, rest)) = promised.split_first() else { return printed.is_empty() };
    if first == "…" {
        return (0..=printed.len()).any(|skipped| fits(&printed[skipped..], rest));
    }
    let Some((line, others)) = printed.split_first() else { return false };
    let same = match first.strip_suffix('…') {
        Some(begin) => line.starts_with(begin),
        None => line == first,
    };
    same && fits(others, rest)
}

/// A text with the one place changed that has the lines of a difference without those of `+`.
fn changed(text: &str, difference: &[&str]) -> Result<String, String> {
    let side = |gone: char| -> String {
        let lines = difference.iter().filter(|line| !line.starts_with(gone));
        lines.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
    };
    let (before, after) = (side('+'), side('-'));
    match text.matches(&before).count() {
        1 => Ok(text.replace(&before, &after)),
        count => Err(format!("{count} places have\n{before}")),
    }
}

impl Reader {
    fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// A block with `main` is the whole file, any other comes behind what is there.
    fn writes(&self, lines: &[&str]) {
        let text = lines.join("\n") + "\n";
        let before =
            if text.contains("fn main()") { String::new() } else { fs::read_to_string(self.file()).unwrap() };
        fs::write(self.file(), before + &text).unwrap();
    }

    fn changes(&self, lines: &[&str]) {
        let text = fs::read_to_string(self.file()).unwrap();
        let after = changed(&text, lines).unwrap_or_else(|why| panic!("{why}in {FILE}:\n{text}"));
        fs::write(self.file(), after).unwrap();
    }

    /// Runs a command. One whose output says that a rule is violated ends with code 1, any other with 0.
    fn runs(&mut self, command: &str, promised: &[String]) {
        if let Some(folder) = command.strip_prefix("cd ") {
            self.folder.push(folder);
            fs::copy(root().join("Cargo.lock"), self.folder.join("Cargo.lock")).unwrap();
            return;
        }
        let here = command.replace(" ../raft/", &format!(" {}/", root().display()));
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(&here).current_dir(&self.folder).env("CARGO_TARGET_DIR", &self.target);
        for (name, value) in [("NET_OFFLINE", "true"), ("PROFILE_RELEASE_OPT_LEVEL", "0")] {
            shell.env(format!("CARGO_{name}"), value);
        }
        // What the calling cargo says about its own build must not reach this one.
        for name in ["CARGO_ENCODED_RUSTFLAGS", "CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "RUSTFLAGS"] {
            shell.env_remove(name);
        }
        let output = shell.output().unwrap();
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let lines: Vec<&str> = said.lines().collect();
        assert!(
            fits(&lines, promised),
            "`{command}` prints\n{said}{errors}\nand the page says\n{}",
            promised.join("\n")
        );
        let code = i32::from(promised.iter().any(|line| line.starts_with("violated")));
        assert_eq!(output.status.code(), Some(code), "`{command}`: {errors}");
    }
}

#[test]
fn page_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("state-machines-page");
    let mut reader = Reader { folder: folder.path().to_owned(), target };
    let page = fs::read_to_string(root().join("docs/state-machines.md")).unwrap();
    let mut count = 0;
    for (language, lines) in blocks(&page) {
        match language {
            "console" => {
                for (command, promised) in commands(&lines) {
                    reader.runs(&command, &promised);
                    count += 1;
                }
            }
            "rust" => reader.writes(&lines),
            "diff" => reader.changes(&lines),
            other => panic!("a block of {other:?}, which nobody follows"),
        }
    }
    assert!(8 <= count, "only {count} commands in the page");
}

/// The page's state machine is the example, so that who looks there finds the same.
#[test]
fn example_is_that_of_the_page() {
    let page = fs::read_to_string(root().join("docs/state-machines.md")).unwrap();
    let code = blocks(&page).into_iter().find(|(language, _)| *language == "rust").unwrap().1.join("\n");
    let example = fs::read_to_string(root().join("raft-sim/examples/tickets.rs")).unwrap();
    assert!(example.ends_with(&(code.clone() + "\n")) && code.contains("fn main()"));
}

/// The check can fail: what is printed and what is promised are told apart, and a difference that fits nowhere, or twice, is none.
#[test]
fn other_outputs_and_differences_do_not_fit() {
    let promised = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(fits(&["a", "b", "c 1"], &promised("…\nb\nc …")));
    assert!(fits(&["a"], &promised("a\n…")));
    for (printed, said) in [
        (&["a", "b"][..], "a"),
        (&["a"], "a\nb"),
        (&["a", "x"], "…\nb"),
        (&["b", "a"], "a\n…"),
        (&["ab"], "b…"),
        (&[], "a"),
        (&["a"], ""),
    ] {
        assert!(!fits(printed, &promised(said)), "{printed:?} {said:?}");
    }
    assert_eq!(changed("a\nb\nc\n", &[" a", "-b", "+d"]), Ok("a\nd\nc\n".to_owned()));
    assert!(changed("a\nb\n", &["-c", "+d"]).is_err());
    assert!(changed("b\nb\n", &["-b", "+d"]).is_err());
    assert_eq!(blocks("x\n```sh\ny\n```\nz\n```\n```\n"), [("sh", vec!["y"]), ("", vec![])]);
}
