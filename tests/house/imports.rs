//! The imports of a step's files, read from their `use` lines and paths.
//!
//! `lib.rs` stands above all files, and `a.rs` above those in `a/`: that the upper file uses
//! the lower ones is no part of a circle.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// For each module of a step, the names that it refers to, as paths from the crate.
pub struct Imports {
    /// Every path that a module's code names.
    named: BTreeMap<String, Vec<Path>>,
    /// The names that a module's own `use` lines bring in, or `pub use` hands on.
    brought_in: BTreeMap<String, Vec<Path>>,
}

type Path = Vec<String>;

impl Imports {
    pub fn of<'a>(step: impl IntoIterator<Item = &'a Source>) -> Imports {
        let sources: Vec<_> =
            step.into_iter().filter(|it| it.module() != "main").collect();
        let mut imports =
            Imports { named: BTreeMap::new(), brought_in: BTreeMap::new() };
        for source in sources {
            let module = source.module();
            let (named, brought_in) = read(&module, &source.tokens());
            imports.named.insert(module.clone(), named);
            imports.brought_in.insert(module, brought_in);
        }
        imports
    }

    /// Returns the circles: `a → b → a`.
    pub fn circles(&self) -> Vec<String> {
        let uses: BTreeMap<_, _> = self
            .named
            .keys()
            .map(|module| (module.as_str(), self.uses(module)))
            .collect();
        let mut found = BTreeMap::new();
        for module in uses.keys() {
            if let Some(circle) = way_back(module, &uses) {
                let files: BTreeSet<_> = circle.iter().cloned().collect();
                found.entry(files).or_insert_with(|| circle.join(" → "));
            }
        }
        found.into_values().collect()
    }

    /// Returns the modules that this one uses, save those inside it.
    fn uses(&self, module: &str) -> BTreeSet<String> {
        let owners = self.named[module].iter().map(|path| self.owner(path, 8));
        let inside = format!("{module}::");
        let is_other = |it: &String| !format!("{it}::").starts_with(&inside);
        owners.filter(|it| !it.is_empty() && is_other(it)).collect()
    }

    /// Returns the module that a path leads to, through what other modules hand on of
    /// it.
    fn owner(&self, path: &[String], patience: u8) -> String {
        let is_module = |n: &usize| self.named.contains_key(&path[..*n].join("::"));
        let depth = (0..=path.len()).rev().find(is_module).unwrap_or(0);
        let module = path[..depth].join("::");
        let Some(name) = path.get(depth) else { return module };
        let handed_on = self.brought_in.get(&module).into_iter().flatten();
        match handed_on.into_iter().find(|it| it.last() == Some(name)) {
            Some(elsewhere) if patience > 0 => self.owner(elsewhere, patience - 1),
            _ => module,
        }
    }
}

/// Reads the paths that begin in this crate, and of these the ones in a `use`.
fn read(module: &str, tokens: &[&str]) -> (Vec<Path>, Vec<Path>) {
    let here: Path =
        module.split("::").filter(|it| !it.is_empty()).map(Into::into).collect();
    let (mut named, mut brought_in) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let before = at.checked_sub(1).map(|before| tokens[before]);
        let is_path = before != Some("::") && tokens.get(at + 1) == Some(&"::");
        let start = match tokens[at] {
            "crate" if is_path => Some((vec![], at + 2)),
            "self" | "super" if is_path => Some((here.clone(), at)),
            // A module inside this one, or another crate, of which no module has the name.
            _ if is_path && before == Some("use") => Some((here.clone(), at)),
            _ => None,
        };
        let Some((prefix, first)) = start else {
            at += 1;
            continue;
        };
        let mut paths = Vec::new();
        at = read_tree(prefix, tokens, first, &mut paths);
        if before == Some("use") {
            brought_in.extend(paths.iter().cloned());
        }
        named.extend(paths);
    }
    (named, brought_in)
}

/// Reads `a::b`, `a::{b, c::d}` or `super::a` from here on; returns where it ends.
fn read_tree(
    mut path: Path,
    tokens: &[&str],
    mut at: usize,
    paths: &mut Vec<Path>,
) -> usize {
    while let Some(token) = tokens.get(at) {
        match *token {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|it| *it != "}") {
                    at = match tokens[at] {
                        "," => at + 1,
                        _ => read_tree(path.clone(), tokens, at, paths),
                    };
                }
                return at + 1;
            }
            "super" => drop(path.pop()),
            "self" => {}
            name => path.push(name.into()),
        }
        at += 1;
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    paths.push(path);
    at
}

/// Returns the shortest way from a module to itself, if there is any.
fn way_back(
    from: &str,
    uses: &BTreeMap<&str, BTreeSet<String>>,
) -> Option<Vec<String>> {
    let mut ways = vec![vec![from.to_owned()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in &uses[way.last().unwrap().as_str()] {
                let way = [way.as_slice(), std::slice::from_ref(next)].concat();
                if next == from {
                    return Some(way);
                }
                if seen.insert(next) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    None
}

#[cfg(test)]
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<_> = files
        .iter()
        .map(|(name, text)| Source {
            path: format!("05-x/src/{name}.rs").into(),
            text: (*text).into(),
        })
        .collect();
    Imports::of(&sources).circles()
}

#[test]
fn the_shortest_circle_of_each_file_is_found_once() {
    let circles = circles_of(&[
        ("lib", "mod a; mod b; mod c; pub use c::C;"),
        ("a", "use crate::b::{self, B};"),
        ("b", "fn f() -> crate::C {}"),
        ("c", "use super::{a::deep::A, b};"),
    ]);
    assert_eq!(circles, ["a → b → c → a", "b → c → b"]);
}

#[test]
fn a_file_and_those_inside_it_may_use_each_other_but_no_circle_goes_through_them() {
    let parent = ("a", "mod b; pub use self::b::B; pub struct A;");
    assert_eq!(circles_of(&[parent, ("a/b", "use super::A;")]), [""; 0]);
    let other = ("c", "use crate::a::B;");
    assert_eq!(
        circles_of(&[parent, ("a/b", "use crate::c::C;"), other]),
        ["a::b → c → a::b"]
    );
}

#[test]
fn files_that_use_the_root_each_other_only_one_way_or_in_tests_only_are_no_circle() {
    let files = [
        ("lib", "mod a; mod b; use a::A; pub fn help() {}"),
        ("a", "use crate::{b::B, help}; // crate::a"),
        ("b", "use crate::help;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}"),
    ];
    assert_eq!(circles_of(&files), [""; 0]);
}
