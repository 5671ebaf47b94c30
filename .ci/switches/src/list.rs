//! The mutants, as cargo-mutants lists them; and places in a text.

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize, Debug)]
pub struct Mutant {
    /// Relative to the top folder.
    pub file: String,
    pub genre: Genre,
    /// With file, line and column.
    pub name: String,
    /// What stands in the place of the text at `span`.
    pub replacement: String,
    pub span: Span,
}

/// What is changed.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Genre {
    BinaryOperator,
    UnaryOperator,
    /// The whole body of a function.
    FnValue,
    /// An arm is taken out.
    MatchArm,
    MatchArmGuard,
    /// A field is taken out of a struct expression with a base.
    StructField,
}

/// Both from 1, the column in characters.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// The end is not included.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span {
    pub start: Place,
    pub end: Place,
}

impl From<proc_macro2::Span> for Span {
    fn from(span: proc_macro2::Span) -> Self {
        let place = |at: proc_macro2::LineColumn| Place { line: at.line, column: at.column + 1 };
        Span { start: place(span.start()), end: place(span.end()) }
    }
}

/// A text that can be asked where a place is.
pub struct Text<'a> {
    pub text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'a> Text<'a> {
    pub fn new(text: &'a str) -> Self {
        let later = text.match_indices('\n').map(|(at, _)| at + 1);
        Text { text, lines: std::iter::once(0).chain(later).collect() }
    }

    pub fn at(&self, place: Place) -> usize {
        let line = self.lines[place.line - 1];
        let rest = &self.text[line..];
        line + rest.char_indices().nth(place.column - 1).map_or(rest.len(), |(at, _)| at)
    }

    pub fn range(&self, span: Span) -> Range<usize> {
        self.at(span.start)..self.at(span.end)
    }
}

pub fn read(list: &Path) -> Vec<Mutant> {
    let json = std::fs::read_to_string(list).expect("the list of mutants can be read");
    serde_json::from_str(&json).expect("the list is one of cargo-mutants")
}
