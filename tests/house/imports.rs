//! The imports of a step's files, read from their `use` lines and paths.
//!
//! `lib.rs` is the parent of all files, and `a.rs` of the files in `a/`. A parent that
//! uses its children is no part of a cycle.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// The names to which each module of a step refers, as paths from the crate.
pub struct Imports {
    /// Every path in a module's code.
    paths: BTreeMap<String, Vec<Path>>,
    /// The paths in a module's `use` and `pub use` lines.
    imported: BTreeMap<String, Vec<Path>>,
}

type Path = Vec<String>;

impl Imports {
    pub fn of<'a>(step: impl IntoIterator<Item = &'a Source>) -> Imports {
        let sources: Vec<_> =
            step.into_iter().filter(|it| it.module() != "main").collect();
        let mut imports = Imports { paths: BTreeMap::new(), imported: BTreeMap::new() };
        for source in sources {
            let module = source.module();
            let (paths, imported) = read_paths(&module, &source.tokens());
            imports.paths.insert(module.clone(), paths);
            imports.imported.insert(module, imported);
        }
        imports
    }

    /// Returns the cycles: `a → b → a`.
    pub fn cycles(&self) -> Vec<String> {
        let uses: BTreeMap<_, _> = self
            .paths
            .keys()
            .map(|module| (module.as_str(), self.uses(module)))
            .collect();
        let mut found = BTreeMap::new();
        for module in uses.keys() {
            if let Some(cycle) = shortest_cycle(module, &uses) {
                let files: BTreeSet<_> = cycle.iter().cloned().collect();
                found.entry(files).or_insert_with(|| cycle.join(" → "));
            }
        }
        found.into_values().collect()
    }

    /// Returns the other modules that a module uses, except its children.
    fn uses(&self, module: &str) -> BTreeSet<String> {
        let modules =
            self.paths[module].iter().map(|path| self.defining_module(path, 8));
        let inside = format!("{module}::");
        let is_other = |it: &String| !format!("{it}::").starts_with(&inside);
        modules.filter(|it| !it.is_empty() && is_other(it)).collect()
    }

    /// Returns the module in which the item at a path is defined. Follows at most
    /// `max_reexports` re-exports.
    fn defining_module(&self, path: &[String], max_reexports: u8) -> String {
        let is_module = |n: &usize| self.paths.contains_key(&path[..*n].join("::"));
        let depth = (0..=path.len()).rev().find(is_module).unwrap_or(0);
        let module = path[..depth].join("::");
        let Some(name) = path.get(depth) else { return module };
        let imported = self.imported.get(&module).into_iter().flatten();
        match imported.into_iter().find(|it| it.last() == Some(name)) {
            Some(elsewhere) if max_reexports > 0 => {
                self.defining_module(elsewhere, max_reexports - 1)
            }
            _ => module,
        }
    }
}

/// Returns the paths in a module that begin in this crate, and again those in a `use`.
fn read_paths(module: &str, tokens: &[&str]) -> (Vec<Path>, Vec<Path>) {
    let this_module: Path =
        module.split("::").filter(|it| !it.is_empty()).map(Into::into).collect();
    let (mut paths, mut imported) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let before = at.checked_sub(1).map(|before| tokens[before]);
        let is_path = before != Some("::") && tokens.get(at + 1) == Some(&"::");
        let start = match tokens[at] {
            "crate" if is_path => Some((vec![], at + 2)),
            "self" | "super" if is_path => Some((this_module.clone(), at)),
            // The first name is a child of this module, or another crate, which has no
            // module in the map.
            _ if is_path && before == Some("use") => Some((this_module.clone(), at)),
            _ => None,
        };
        let Some((prefix, first)) = start else {
            at += 1;
            continue;
        };
        let mut tree = Vec::new();
        at = read_tree(prefix, tokens, first, &mut tree);
        if before == Some("use") {
            imported.extend(tree.iter().cloned());
        }
        paths.extend(tree);
    }
    (paths, imported)
}

/// Reads `a::b`, `a::{b, c::d}` or `super::a` from token `at` on. Returns the index of
/// the token after it.
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

/// Returns the shortest cycle from a module to itself, if there is any.
fn shortest_cycle(
    from: &str,
    uses: &BTreeMap<&str, BTreeSet<String>>,
) -> Option<Vec<String>> {
    let mut routes = vec![vec![from.to_owned()]];
    let mut seen = BTreeSet::new();
    while !routes.is_empty() {
        let mut longer = Vec::new();
        for route in routes {
            for next in &uses[route.last().unwrap().as_str()] {
                let route = [route.as_slice(), std::slice::from_ref(next)].concat();
                if next == from {
                    return Some(route);
                }
                if seen.insert(next) {
                    longer.push(route);
                }
            }
        }
        routes = longer;
    }
    None
}

#[cfg(test)]
fn cycles_of(files: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<_> = files
        .iter()
        .map(|(name, text)| Source {
            path: format!("05-x/src/{name}.rs").into(),
            text: (*text).into(),
        })
        .collect();
    Imports::of(&sources).cycles()
}

#[test]
fn the_shortest_cycle_of_each_file_is_found_once() {
    let cycles = cycles_of(&[
        ("lib", "mod a; mod b; mod c; pub use c::C;"),
        ("a", "use crate::b::{self, B};"),
        ("b", "fn f() -> crate::C {}"),
        ("c", "use super::{a::deep::A, b};"),
    ]);
    assert_eq!(cycles, ["a → b → c → a", "b → c → b"]);
}

#[test]
fn a_file_and_its_children_may_use_each_other_without_being_in_a_cycle_with_others() {
    let parent = ("a", "mod b; pub use self::b::B; pub struct A;");
    assert_eq!(cycles_of(&[parent, ("a/b", "use super::A;")]), [""; 0]);
    let other = ("c", "use crate::a::B;");
    assert_eq!(
        cycles_of(&[parent, ("a/b", "use crate::c::C;"), other]),
        ["a::b → c → a::b"]
    );
}

#[test]
fn uses_of_lib_uses_in_one_direction_and_uses_in_tests_are_no_cycle() {
    let files = [
        ("lib", "mod a; mod b; use a::A; pub fn help() {}"),
        ("a", "use crate::{b::B, help}; // crate::a"),
        ("b", "use crate::help;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}"),
    ];
    assert_eq!(cycles_of(&files), [""; 0]);
}
