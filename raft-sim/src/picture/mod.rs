//! A run as a picture: one HTML file that needs nothing else, to be stepped through, searched and shown.
//!
//! ```text
//!   World ──▶ Painter, which watches ──▶ Facts, as rows ──▶ JSON ─┐
//!                                   page.html, page.css, *.js ────┴──▶ one file
//! ```
//!
//! Everything that is to be seen is in the facts: the page draws, and knows nothing of Raft but the names of roles. Nothing is loaded from
//! elsewhere, which the page forbids itself too, and no text of a run can become markup: all of it is in one block of JSON, in which no `<`
//! is left, and comes into the page as text only.

mod facts;
mod logs;
mod painter;
mod requests;
mod words;

use self::facts::Facts;
pub use self::painter::Painter;

/// The parts of the program of the page, in the order in which they need each other.
const SCRIPTS: [&str; 6] = [
    include_str!("run.js"),
    include_str!("layout.js"),
    include_str!("chart.js"),
    include_str!("overview.js"),
    include_str!("panel.js"),
    include_str!("page.js"),
];

/// What the browser is told to keep to: nothing comes from anywhere but this file.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// A run that was watched, ready to be written down as a page.
#[derive(Clone, Debug)]
pub struct Picture {
    facts: Facts,
}

impl Picture {
    /// How many actions are in it.
    pub fn actions(&self) -> usize {
        self.facts.steps.len()
    }

    /// Whether it ends before its run because there is no room for more, see [`Painter::ACTIONS_MAX`].
    pub fn is_full(&self) -> bool {
        Painter::ACTIONS_MAX <= self.facts.steps.len()
    }

    /// The facts, as one object in JSON, in which no `<` is left. `docs/simulator.md` says what is in it.
    pub fn json(&self) -> String {
        self.facts.json()
    }

    /// The whole page, as HTML.
    pub fn page(&self) -> String {
        let (style, body) = (include_str!("page.css"), include_str!("page.html"));
        let (json, script) = (self.json(), SCRIPTS.concat());
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <link rel=\"icon\" href=\"data:,\">\n<title>A run of raft-sim</title>\n\
             <style>\n{style}</style>\n</head>\n<body>\n{body}\
             <script type=\"application/json\" id=\"facts\">{json}</script>\n\
             <script>\n\"use strict\";\n{script}</script>\n</body>\n</html>\n"
        )
    }
}
