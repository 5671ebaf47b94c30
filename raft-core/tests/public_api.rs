//! Goal: nothing of the public interface of the crate changes by accident. Method: the sources are parsed, and everything public that
//! `lib.rs` leads to is printed, without bodies, comments and what is private; `public_api.txt` holds what has been agreed on. After a
//! change on purpose it is written anew by
//!
//!     UPDATE_EXPECT=1 cargo test -p raft-core --test public_api
//!
//! What macros make is held by their text: that of the macro, and that of each call that names something public.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use expect_test::expect_file;
use quote::ToTokens;
use syn::parse::{ParseStream, Parser};
use syn::{
    Attribute, Fields, ImplItem, Item, ItemImpl, ItemMacro, Macro, Type, UseTree, Visibility, parse_quote,
};

/// The files of a crate by their modules: `lib`, `entry`, `encoding/bulk`.
type Sources = BTreeMap<String, syn::File>;

/// The names that a `use` makes known, each with the module that it comes from.
fn used(tree: &UseTree, module: &mut Vec<String>, found: &mut BTreeMap<String, String>) {
    match tree {
        UseTree::Path(path) => {
            module.push(path.ident.to_string());
            used(&path.tree, module, found);
            module.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| used(tree, module, found)),
        UseTree::Name(name) => {
            found.insert(name.ident.to_string(), module[1..].join("/"));
        }
        UseTree::Rename(_) | UseTree::Glob(_) => panic!("what is exported is listed by its own name"),
    }
}

/// Whether a `use` is of this crate. What is another one's is held by its name: the rest is for that crate to keep.
fn is_ours(tree: &UseTree) -> bool {
    matches!(tree, UseTree::Path(path) if path.ident == "crate")
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Only what says something of the interface is kept: what is derived, and what callers have to heed.
fn keep_attributes(attributes: &mut Vec<Attribute>) {
    const KEPT: [&str; 5] = ["cfg", "derive", "must_use", "non_exhaustive", "repr"];
    attributes.retain(|attribute| KEPT.iter().any(|name| attribute.path().is_ident(name)));
}

/// Public fields stay; all others together become one without a type.
fn keep_public_fields(fields: &mut Fields) {
    match fields {
        Fields::Named(named) => {
            let (mut kept, others): (Vec<_>, Vec<_>) =
                std::mem::take(&mut named.named).into_iter().partition(|field| is_public(&field.vis));
            if !others.is_empty() {
                kept.push(parse_quote!(_private: _));
            }
            named.named = kept.into_iter().collect();
        }
        Fields::Unnamed(unnamed) => {
            for field in unnamed.unnamed.iter_mut().filter(|field| !is_public(&field.vis)) {
                field.ty = parse_quote!(_);
            }
        }
        Fields::Unit => {}
    }
    fields.iter_mut().for_each(|field| keep_attributes(&mut field.attrs));
}

/// A public item as its users see it; `None` for what is not public, or has another name.
fn item_named(item: &Item, name: &str) -> Option<Item> {
    let mut item = item.clone();
    let (attributes, visibility, ident) = match &mut item {
        Item::Struct(item) => {
            keep_public_fields(&mut item.fields);
            (&mut item.attrs, &item.vis, &item.ident)
        }
        Item::Enum(item) => {
            for variant in &mut item.variants {
                keep_attributes(&mut variant.attrs);
                variant.fields.iter_mut().for_each(|field| keep_attributes(&mut field.attrs));
            }
            (&mut item.attrs, &item.vis, &item.ident)
        }
        Item::Fn(item) => {
            item.block = parse_quote!({});
            (&mut item.attrs, &item.vis, &item.sig.ident)
        }
        Item::Const(item) => (&mut item.attrs, &item.vis, &item.ident),
        Item::Static(item) => (&mut item.attrs, &item.vis, &item.ident),
        Item::Type(item) => (&mut item.attrs, &item.vis, &item.ident),
        // The items of a public trait are public, bodies and all: there is none, so nothing is left out of one.
        Item::Trait(item) => (&mut item.attrs, &item.vis, &item.ident),
        _ => return None,
    };
    keep_attributes(attributes);
    (is_public(visibility) && ident == name).then_some(item)
}

/// The name of the type that an implementation is for.
fn self_type(item: &ItemImpl) -> Option<String> {
    let Type::Path(path) = &*item.self_ty else { return None };
    path.path
        .segments
        .iter()
        .next()
        .filter(|_| path.path.segments.len() == 1)
        .map(|segment| segment.ident.to_string())
}

/// What an implementation adds to the interface: each public method and constant by itself, or a trait with its types.
fn implemented(item: &ItemImpl) -> Vec<Item> {
    let mut head = item.clone();
    keep_attributes(&mut head.attrs);
    let items = std::mem::take(&mut head.items);
    if head.trait_.is_some() {
        head.items = items.into_iter().filter(|item| matches!(item, ImplItem::Type(_))).collect();
        return vec![Item::Impl(head)];
    }
    let public = items.into_iter().filter_map(|mut item| {
        let (attributes, visibility) = match &mut item {
            ImplItem::Fn(item) => {
                item.block = parse_quote!({});
                (&mut item.attrs, &item.vis)
            }
            ImplItem::Const(item) => (&mut item.attrs, &item.vis),
            _ => return None,
        };
        keep_attributes(attributes);
        is_public(visibility).then(|| Item::Impl(ItemImpl { items: vec![item], ..head.clone() }))
    });
    public.collect()
}

/// One item as text.
fn printed(item: Item) -> String {
    prettyplease::unparse(&syn::File { shebang: None, attrs: Vec::new(), items: vec![item] })
}

/// What a macro is called with, without the comments on it.
fn call_text(call: &Macro) -> String {
    let rest = |input: ParseStream<'_>| {
        Attribute::parse_outer(input)?;
        let text = input.cursor().token_stream().to_string();
        input.step(|cursor| {
            let mut rest = *cursor;
            while let Some((_, next)) = rest.token_tree() {
                rest = next;
            }
            Ok((text, rest))
        })
    };
    rest.parse2(call.tokens.clone()).expect("attributes, and anything")
}

/// The macros that are called with a public name, and these calls, as they stand.
fn macros(sources: &Sources, public: &BTreeMap<String, String>) -> BTreeSet<String> {
    let all = || {
        sources.values().flat_map(|file| &file.items).filter_map(|item| match item {
            Item::Macro(item) => Some(item),
            _ => None,
        })
    };
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut printed = BTreeSet::new();
    for call in all().filter(|item| item.ident.is_none()) {
        let text = call_text(&call.mac);
        if text.split(|c| !is_word(c)).any(|word| public.contains_key(word)) {
            let is_called =
                |item: &&ItemMacro| item.ident.as_ref().is_some_and(|name| call.mac.path.is_ident(name));
            printed.insert(format!("{}! {{ {text} }}\n", call.mac.path.to_token_stream()));
            printed.extend(all().find(is_called).map(|item| format!("{}\n", item.to_token_stream())));
        }
    }
    printed
}

/// Everything public: the items, sorted by name, each with what is implemented for it; and what macros make.
fn public_api(sources: &Sources) -> String {
    let mut exported = BTreeMap::new();
    let mut text = String::new();
    for item in &sources["lib"].items {
        match item {
            Item::Use(item) if is_public(&item.vis) && is_ours(&item.tree) => {
                used(&item.tree, &mut Vec::new(), &mut exported);
            }
            Item::Use(item) if is_public(&item.vis) => {
                let mut item = item.clone();
                keep_attributes(&mut item.attrs);
                text += &printed(Item::Use(item));
            }
            Item::Mod(item) if is_public(&item.vis) => {
                let mut item = item.clone();
                keep_attributes(&mut item.attrs);
                let module = item.ident.to_string();
                let names = sources[&module].items.iter().filter_map(public_name);
                exported.extend(names.map(|name| (name, module.clone())));
                text += &printed(Item::Mod(item));
            }
            item => assert!(public_name(item).is_none(), "lib.rs defines nothing itself"),
        }
    }
    let from_macros: String = macros(sources, &exported).into_iter().collect();
    for (name, module) in &exported {
        let is_within = |file: &str| {
            file == module || file.strip_prefix(module).is_some_and(|rest| rest.starts_with('/'))
        };
        let within = sources.iter().filter(|(file, _)| is_within(file)).flat_map(|(_, file)| &file.items);
        let item: String = within.filter_map(|item| item_named(item, name)).map(printed).collect();
        assert!(!item.is_empty() || from_macros.contains(name), "{name} is exported, and defined nowhere");
        let implementations = sources.values().flat_map(|file| &file.items).filter_map(|item| match item {
            Item::Impl(item) if self_type(item).as_ref() == Some(name) => Some(implemented(item)),
            _ => None,
        });
        let implementations: BTreeSet<String> = implementations.flatten().map(printed).collect();
        text.push('\n');
        text.extend([item].into_iter().chain(implementations));
    }
    format!("{text}\n{from_macros}")
}

/// The name of a public item.
fn public_name(item: &Item) -> Option<String> {
    let (visibility, ident) = match item {
        Item::Struct(item) => (&item.vis, &item.ident),
        Item::Enum(item) => (&item.vis, &item.ident),
        Item::Fn(item) => (&item.vis, &item.sig.ident),
        Item::Const(item) => (&item.vis, &item.ident),
        Item::Static(item) => (&item.vis, &item.ident),
        Item::Type(item) => (&item.vis, &item.ident),
        Item::Trait(item) => (&item.vis, &item.ident),
        Item::Union(item) => (&item.vis, &item.ident),
        _ => return None,
    };
    is_public(visibility).then(|| ident.to_string())
}

/// A file, with what is in modules of its own along with the rest. Tests are no part of the interface.
fn parsed(text: &str) -> syn::File {
    let mut file = syn::parse_file(text).unwrap_or_else(|why| panic!("{why}: {text}"));
    let is_test =
        |attribute: &Attribute| attribute.meta.to_token_stream().to_string().replace(' ', "") == "cfg(test)";
    let mut within = Vec::new();
    for item in &file.items {
        if let Item::Mod(item) = item
            && !item.attrs.iter().any(is_test)
        {
            within.extend(item.content.iter().flat_map(|(_, items)| items.clone()));
        }
    }
    file.items.extend(within);
    file
}

/// All files below a folder. What `prost` has generated is private as a whole.
fn sources(folder: &Path, module: &str, found: &mut Sources) {
    for entry in fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display())) {
        let path = entry.expect("a folder that can be read").path();
        let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let name = if module.is_empty() { stem } else { format!("{module}/{stem}") };
        if path.is_dir() {
            sources(&path, &name, found);
        } else if name != "encoding/generated" {
            found.insert(name, parsed(&fs::read_to_string(&path).expect("a source")));
        }
    }
}

#[test]
fn public_interface_is_as_agreed() {
    let mut found = Sources::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut found);
    expect_file!["public_api.txt"].assert_eq(&public_api(&found));
}

/// A crate with a bit of everything.
const LIB: &str = "mod a; mod b; pub use crate::a::{S, E, f}; pub use crate::b::N; pub use other::Their; #[cfg(feature = \"x\")] pub mod extra;";
const A: &str = "/// A struct.\n#[derive(Clone)] pub struct S { pub shown: u8, hidden: u8 }\n\
    impl S { pub const fn get(&self) -> u8 { self.hidden } fn private(&self) {} pub(crate) fn inner(&self) {} }\n\
    #[non_exhaustive] pub enum E { /// One.\nOne(u8), Two { name: u8 } }\n\
    pub fn f(x: u8) -> u8 { x } pub fn not_exported() {}\n\
    impl Iterator for S { type Item = u8; fn next(&mut self) -> Option<u8> { None } }";
const B: &str = "macro_rules! number { ($name:ident) => { pub struct $name(u64); }; }\n\
    number! {\n/// A number.\nN }\nnumber! { Private }\nimpl N { pub fn zero() {} }";
const EXTRA: &str = "mod within { pub fn count() -> u64 { 1 } fn none() {} } pub use within::count;\n\
    #[cfg(test)] mod tests { pub fn helper() {} }";

fn api_of(files: [&str; 4]) -> String {
    public_api(&["lib", "a", "b", "extra"].map(str::to_owned).into_iter().zip(files.map(parsed)).collect())
}

/// The check can fail, and not only can it: every change that a user of the crate could notice is seen.
#[test]
fn changes_of_the_interface_are_seen() {
    let before = api_of([LIB, A, B, EXTRA]);
    let seen = |file: usize, from: &str, to: &str| {
        let mut files = [LIB, A, B, EXTRA].map(str::to_owned);
        assert!(files[file].contains(from), "{from}");
        files[file] = files[file].replacen(from, to, 1);
        api_of(files.each_ref().map(String::as_str)) != before
    };
    for (file, from, to) in [
        (0, "S, E", "E"),
        (0, "other::Their", "other::Theirs"),
        (0, "pub use other", "use other"),
        (0, "feature = \"x\"", "feature = \"y\""),
        (1, "shown: u8", "shown: u16"),
        (1, "Clone", "Clone, Copy"),
        (1, "pub const fn get", "pub fn get"),
        (1, "-> u8 { self", "-> u16 { self"),
        (1, "fn private", "pub fn private"),
        (1, ", hidden: u8", ""),
        (1, "#[non_exhaustive]", ""),
        (1, "One(u8)", "One"),
        (1, "name: u8", "name: u16"),
        (1, "f(x: u8)", "f(y: u8)"),
        (1, "type Item = u8", "type Item = u16"),
        (2, "u64", "u32"),
        (2, "zero()", "zero(x: u8)"),
        (3, "-> u64", "-> u32"),
        (3, "fn none", "pub fn none"),
    ] {
        assert!(seen(file, from, to), "{from} to {to}");
    }
    for (file, from, to) in [
        (1, "A struct", "A thing"),
        (1, "hidden: u8", "hidden: u16"),
        (1, "{ x }", "{ x + 1 }"),
        (1, "fn private(&self)", "fn private(self)"),
        (1, "pub fn not_exported", "pub fn no_matter"),
        (1, "None", "Some(1)"),
        (2, "A number", "One number"),
        (3, "{ 1 }", "{ 2 }"),
        (3, "helper", "other"),
    ] {
        assert!(!seen(file, from, to), "{from} to {to}");
    }
}
