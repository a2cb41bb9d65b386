//! An archive that Kiste accepts is the same files to all programs: GNU tar, libarchive
//! and umoci, which is written in Go. If they differ among themselves, Kiste refuses
//! it: a scanner might see other files than those that run. The same holds for
//! documents, which skopeo reads.
//!
//! The archives are mutated at random, but the same ones in each run;
//! `KISTE_CASES=N` tries so many.

#[path = "differential/documents.rs"]
mod documents;
#[path = "differential/mutations.rs"]
mod mutations;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiste_tests::image::{Compression, Layout, digest};
use kiste_tests::{Tree, require_tool};

use crate::test_store::{TestStore, root};
use mutations::Random;

/// How many archives are tried.
const CASES: usize = 100;

/// Larger files, which are nothing but holes, are not compared.
const LARGEST: u64 = 1 << 20;

fn case_count(default: usize) -> usize {
    let asked = std::env::var("KISTE_CASES").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(default)
}

/// Runs a program in a directory. Returns whether it succeeded.
fn succeeds(directory: &Path, program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env("LC_ALL", "C");
    let streams = command.stdin(Stdio::null()).stdout(Stdio::null());
    streams.stderr(Stdio::null()).status().unwrap().success()
}

/// Returns the files of a directory, without what programs set in their own way: the
/// times of directories, and attributes.
fn files(top: &Path) -> Tree {
    let is_small = |path: &Path| {
        fs::symlink_metadata(top.join(path)).is_ok_and(|it| it.len() < LARGEST)
    };
    let tree = Tree::filtered(top, is_small).only(|path| path != Path::new("."));
    tree.map_nodes(|_, node| {
        node.xattrs.clear();
        if node.kind == "dir" {
            node.mtime = (0, 0);
        }
    })
}

/// Unpacks an archive with a program of the tar family.
fn unpack_with_tar(directory: &Path, program: &str) -> Option<Tree> {
    let out = directory.join(program);
    fs::create_dir(&out).unwrap();
    let arguments =
        ["--numeric-owner", "-p", "-x", "-f", "case.tar", "-C", out.to_str().unwrap()];
    succeeds(directory, program, &arguments).then(|| files(&out))
}

/// Unpacks an archive with umoci, as the only layer of an image.
fn unpack_with_umoci(directory: &Path, archive: &[u8]) -> Option<Tree> {
    let layers = [archive.to_vec()];
    Layout::of("1", &layers, Compression::Plain).write(&directory.join("layout"));
    succeeds(directory, "umoci", &["unpack", "--image", "layout:1", "bundle"])
        .then(|| files(&directory.join("bundle/rootfs")))
}

/// Returns the first file that two trees do not have in the same form.
fn difference(theirs: &Tree, ours: &Tree) -> Option<String> {
    let mut paths = theirs.0.keys().chain(ours.0.keys());
    let path = paths.find(|path| theirs.0.get(*path) != ours.0.get(*path))?;
    let (their, our) = (theirs.0.get(path), ours.0.get(path));
    Some(format!("{}: {their:?}\nand in Kiste: {our:?}", path.display()))
}

/// Returns what is wrong with Kiste's reading of an archive; None if it is refused, or
/// the same files to every program that accepts it.
fn disagreement(store: &TestStore, archive: &[u8]) -> Option<String> {
    if store.try_import(archive).code != 0 {
        return None;
    }
    let ours = files(&layer_of(store, archive));
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("case.tar"), archive).unwrap();
    let others = [
        ("tar", unpack_with_tar(directory.path(), "tar")),
        ("bsdtar", unpack_with_tar(directory.path(), "bsdtar")),
        ("umoci", unpack_with_umoci(directory.path(), archive)),
    ];
    let differs = |(name, theirs): (&str, Option<Tree>)| {
        let difference = difference(&theirs?, &ours)?;
        Some(format!("{name}: {difference}"))
    };
    let found: Vec<_> = others.into_iter().filter_map(differs).collect();
    (!found.is_empty()).then(|| found.join("\n"))
}

#[test]
fn an_archive_that_is_accepted_is_the_same_files_to_all_programs() {
    if !require_tool("tar") || !require_tool("bsdtar") || !require_tool("umoci") {
        return;
    }
    let Some(store) = root() else { return };
    let whole = mutations::pieces().concat();
    assert_eq!(store.try_import([&whole[..], &[0; 1024]].concat()).code, 0);
    let mut random = Random::new();
    let (mut accepted, mut wrong) = (0, Vec::new());
    for number in 0..case_count(CASES) {
        let (archive, description) = mutations::mutate(&mut random);
        let found = disagreement(&store, &archive);
        accepted += usize::from(layer_of(&store, &archive).exists());
        wrong.extend(found.map(|found| format!("{number}, {description}: {found}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(accepted > CASES / 10, "only {accepted} were accepted");
}

/// Returns the store's directory of an archive that is the only layer of an image.
fn layer_of(store: &TestStore, archive: &[u8]) -> PathBuf {
    store.path().join("layers").join(&digest(archive)["sha256:".len()..])
}
