//! Puts mutants behind switches. What a mutant changes is found in the syntax tree, and the smallest thing around it that can be chosen
//! at run time stands there twice:
//!
//! ```text
//!   a < b              ──▶  (if on(7) { a <= b } else if on(8) { a > b } else { a < b })
//!   fn f() -> bool {   ──▶  fn f() -> bool { if on(9) { return true; } …
//!   Some(x) => …       ──▶  Some(x) if !on(10) => …
//! ```
//!
//! Only the last of the copies holds the switches of what is inside: no more than one mutant is ever on.

use std::collections::BTreeMap;
use std::ops::Range;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::Numbers;
use crate::list::{Genre, Mutant, Place, Span, Text};

/// A file with switches, and where in it the text of each mutant is.
pub struct Rewritten {
    pub text: String,
    pub ranges: Vec<(Range<usize>, usize)>,
}

/// What stands there twice, or where a condition is put. In the order in which they begin where they begin together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Host {
    /// The statements of a function.
    Body,
    Expression,
    /// The end of the pattern of an arm without a guard.
    Pattern,
}

/// Where mutants can be, by their genre and where they begin.
#[derive(Default)]
struct Hosts(BTreeMap<(Genre, Place), (Host, Span)>);

impl Hosts {
    fn insert(&mut self, genre: Genre, at: &impl Spanned, host: Host, span: Span) {
        self.0.entry((genre, Span::from(at.span()).start)).or_insert((host, span));
    }
}

/// The conditions of `if let` chains are no expressions that could be chosen.
fn has_let(expression: &syn::Expr) -> bool {
    match expression {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

impl<'a> Visit<'a> for Hosts {
    fn visit_expr_binary(&mut self, binary: &'a syn::ExprBinary) {
        if !has_let(&binary.left) && !has_let(&binary.right) {
            self.insert(Genre::BinaryOperator, &binary.op, Host::Expression, binary.span().into());
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'a syn::ExprUnary) {
        self.insert(Genre::UnaryOperator, &unary.op, Host::Expression, unary.span().into());
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_struct(&mut self, made: &'a syn::ExprStruct) {
        for field in &made.fields {
            self.insert(Genre::StructField, field, Host::Expression, made.span().into());
        }
        visit::visit_expr_struct(self, made);
    }

    fn visit_arm(&mut self, arm: &'a syn::Arm) {
        match &arm.guard {
            Some((_, guard)) if !has_let(guard) => {
                self.insert(Genre::MatchArm, arm, Host::Expression, guard.span().into());
                self.insert(Genre::MatchArmGuard, guard, Host::Expression, guard.span().into());
            }
            Some(_) => {}
            None => {
                let end = Span::from(arm.pat.span()).end;
                self.insert(Genre::MatchArm, arm, Host::Pattern, Span { start: end, end });
            }
        }
        visit::visit_arm(self, arm);
    }

    // What a constant is has been decided when the program runs.
    fn visit_item_const(&mut self, _: &'a syn::ItemConst) {}
    fn visit_impl_item_const(&mut self, _: &'a syn::ImplItemConst) {}

    fn visit_block(&mut self, block: &'a syn::Block) {
        if let (Some(first), Some(last)) = (block.stmts.first(), block.stmts.last()) {
            let span = Span { start: Span::from(first.span()).start, end: Span::from(last.span()).end };
            self.insert(Genre::FnValue, first, Host::Body, span);
        }
        visit::visit_block(self, block);
    }
}

type Numbered<'a> = Vec<(usize, &'a Mutant)>;

/// A piece of text to be put in somewhere, and the mutant that it is of.
type Piece = (Option<usize>, String);

/// Switches for the mutants of one file, less those in `dropped`.
pub fn rewrite(source: &str, mutants: &[(usize, &Mutant)], dropped: &Numbers) -> Rewritten {
    let mut hosts = Hosts::default();
    hosts.visit_file(&syn::parse_file(source).expect("the core is Rust"));
    let text = Text::new(source);
    let mut chosen: BTreeMap<(usize, usize, Host), Numbered<'_>> = BTreeMap::new();
    // The core does not know the standard library, though the tree does: what names it would compile here only.
    let kept = |(number, mutant): &&(usize, &Mutant)| {
        !dropped.contains(number) && !mutant.replacement.contains("::std::")
    };
    for (number, mutant) in mutants.iter().filter(kept) {
        if let Some((host, span)) = hosts.0.get(&(mutant.genre, mutant.span.start)) {
            let at = text.range(*span);
            chosen.entry((at.start, at.end, *host)).or_default().push((*number, mutant));
        }
    }
    // What ends at a place comes before what begins there; of what ends the shorter comes first, of what begins the longer.
    let mut put_in: Vec<((usize, i64, Host), Vec<Piece>)> = Vec::new();
    for ((start, end, host), mutants) in chosen {
        let length = (end - start) as i64;
        match host {
            Host::Body => put_in.push(((start, i64::MIN, host), before_body(&mutants))),
            Host::Pattern => put_in.push(((start, 1, host), behind_pattern(&mutants))),
            Host::Expression => {
                let head = before_expression(&text, start..end, &mutants);
                put_in.push(((start, i64::MAX - length, host), head));
                put_in.push(((end, i64::MIN + length, host), vec![(None, "})".into())]));
            }
        }
    }
    put_in.sort_by_key(|(at, _)| *at);
    join(source, put_in)
}

fn join(source: &str, put_in: Vec<((usize, i64, Host), Vec<Piece>)>) -> Rewritten {
    let (mut text, mut ranges, mut from) = (String::new(), Vec::new(), 0);
    for ((at, ..), pieces) in put_in {
        text += &source[from..at];
        from = at;
        for (number, piece) in pieces {
            let start = text.len();
            text += &piece;
            ranges.extend(number.map(|number| (start..text.len(), number)));
        }
    }
    text += &source[from..];
    Rewritten { text, ranges }
}

fn on(number: usize) -> String {
    format!("crate::switches::on({number})")
}

fn before_body(mutants: &[(usize, &Mutant)]) -> Vec<Piece> {
    let returns =
        |number: usize, mutant: &Mutant| format!("if {} {{ return {}; }} ", on(number), mutant.replacement);
    mutants.iter().map(|(number, mutant)| (Some(*number), returns(*number, mutant))).collect()
}

fn behind_pattern(mutants: &[(usize, &Mutant)]) -> Vec<Piece> {
    mutants.iter().map(|(number, _)| (Some(*number), format!(" if !{}", on(*number)))).collect()
}

/// All but the last of the copies.
fn before_expression(text: &Text<'_>, host: Range<usize>, mutants: &[(usize, &Mutant)]) -> Vec<Piece> {
    let arms = mutants.iter().filter(|(_, mutant)| mutant.genre == Genre::MatchArm);
    let mut pieces: Vec<Piece> =
        arms.map(|(number, _)| (Some(*number), format!("!{} && ", on(*number)))).collect();
    pieces.push((None, "(".into()));
    for (number, mutant) in mutants.iter().filter(|(_, mutant)| mutant.genre != Genre::MatchArm) {
        let changed = text.range(mutant.span);
        let (before, behind) = (&text.text[host.start..changed.start], &text.text[changed.end..host.end]);
        let copy = format!("{before} {} {behind}", mutant.replacement);
        pieces.push((Some(*number), format!("if {} {{ {copy} }} else ", on(*number))));
    }
    pieces.push((None, "{".into()));
    pieces
}

#[cfg(test)]
mod tests {
    //! Goal: what is changed is the mutant, and nothing else. Method: a function with one mutant of each kind, by hand.

    use super::*;

    const SOURCE: &str = "fn f(a: u8) -> bool {\n    a < 3 && !g(a)\n}\nfn h(a: S) -> u8 {\n    match a {\n        S { b: 1 } => 2,\n        S { b } if b < 4 => b,\n        _ => 0,\n    }\n}\n";

    fn mutant(genre: Genre, replacement: &str, line: usize, columns: Range<usize>) -> Mutant {
        let place = |column| Place { line, column };
        let span = Span { start: place(columns.start), end: place(columns.end) };
        Mutant { file: String::new(), genre, name: String::new(), replacement: replacement.into(), span }
    }

    fn rewritten(mutants: &[Mutant], dropped: &[usize]) -> Rewritten {
        let numbered: Vec<_> = mutants.iter().enumerate().collect();
        rewrite(SOURCE, &numbered, &dropped.iter().copied().collect())
    }

    /// All switches in their order, and what stands where each of them is on.
    fn changed(mutants: &[Mutant]) -> String {
        rewritten(mutants, &[]).text.replace("crate::switches::", "")
    }

    #[test]
    fn each_kind_of_mutant_is_put_behind_a_switch() {
        let body = mutant(Genre::FnValue, "true", 2, 5..19);
        assert!(changed(&[body]).contains("{\n    if on(0) { return true; } a < 3 && !g(a)\n}"));
        let operators = [
            mutant(Genre::BinaryOperator, "||", 2, 11..13),
            mutant(Genre::BinaryOperator, "<=", 2, 7..8),
            mutant(Genre::BinaryOperator, "==", 2, 7..8),
            mutant(Genre::UnaryOperator, "", 2, 14..15),
        ];
        let expected = "(if on(0) { a < 3  ||  !g(a) } else {(if on(1) { a  <=  3 } else if on(2) { a  ==  3 } else {a < 3}) && (if on(3) {   g(a) } else {!g(a)})})";
        assert!(changed(&operators).contains(expected), "{}", changed(&operators));
        let arms = [
            mutant(Genre::MatchArm, "", 6, 9..25),
            mutant(Genre::MatchArm, "", 7, 9..31),
            mutant(Genre::MatchArmGuard, "true", 7, 20..25),
        ];
        let text = changed(&arms);
        assert!(text.contains("S { b: 1 } if !on(0) => 2"), "{text}");
        assert!(text.contains("S { b } if !on(1) && (if on(2) {  true  } else {b < 4}) => b"), "{text}");
    }

    /// The text of each mutant is known, so that an error in it is laid to it; and what was dropped is as it was.
    #[test]
    fn mutants_are_found_by_their_text_and_taken_out() {
        let mutants = [mutant(Genre::FnValue, "true", 2, 5..19), mutant(Genre::UnaryOperator, "", 2, 14..15)];
        let both = rewritten(&mutants, &[]);
        let texts: Vec<_> =
            both.ranges.iter().map(|(range, number)| (*number, &both.text[range.clone()])).collect();
        assert!(
            matches!(texts[..], [(0, first), (1, second)] if first.contains("true") && second.contains("on(1)"))
        );
        let one = rewritten(&mutants, &[0]);
        assert!(one.ranges.iter().all(|(_, number)| *number == 1) && !one.text.contains("true"));
        assert_eq!(rewritten(&mutants, &[0, 1]).text, SOURCE);
    }
}
