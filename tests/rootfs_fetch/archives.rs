//! Archives that nobody should unpack.

use assert_cmd::assert::OutputAssertExt;
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::os::unix::fs::symlink;

use crate::place::Place;

#[test]
fn an_archive_that_names_its_parent_is_refused() {
    let place = Place::new();
    place.write("outside/canary", "alive");
    place.write("outside/evil", "dead");
    place.tar(&["-cPf", "evil.tar", "--transform=s,.*,../canary,", "outside/evil"]);
    place.refuses_unsafe("evil.tar", "../canary");
}

#[test]
fn an_archive_with_absolute_names_is_refused() {
    let place = Place::new();
    place.write("outside/canary", "alive");
    let canary = place.path("outside/canary");
    place.tar(&["-cPf", "evil.tar", canary.to_str().unwrap()]);
    place.refuses_unsafe("evil.tar", canary.to_str().unwrap());
}

#[test]
fn an_archive_cannot_write_through_its_own_symlink() {
    let place = Place::new();
    place.write("outside/canary", "alive");
    fs::create_dir_all(place.path("tree")).unwrap();
    symlink(place.path("outside"), place.path("tree/way")).unwrap();
    place.tar(&["-cf", "evil.tar", "-C", "tree", "way"]);
    place.write("second/way/canary", "dead");
    place.tar(&["-rf", "evil.tar", "-C", "second", "way/canary"]);
    place
        .fetch()
        .args(["--from", "evil.tar"])
        .assert()
        .code(1)
        .stderr(contains("cannot unpack"));
    assert_eq!(fs::read_to_string(place.path("outside/canary")).unwrap(), "alive");
    place.assert_nothing_else_left(&["evil.tar", "outside", "second", "tree"]);
}

#[test]
fn an_archive_without_a_shell_is_no_root_file_system() {
    let place = Place::new();
    place.write("tree/layer.tar", "");
    place.tar(&["-cf", "image.tar", "-C", "tree", "."]);
    place.fetch().args(["--from", "image.tar"]).assert().code(1).stderr(
        contains("image.tar is no root file system").and(contains("docker export")),
    );
    place.assert_nothing_else_left(&["image.tar", "tree"]);
}

#[test]
fn a_file_that_is_no_tarball_is_refused_with_the_reason_that_tar_gives() {
    let place = Place::new();
    place.write("story.tar.gz", "once upon a time");
    place.fetch().args(["--from", "story.tar.gz"]).assert().code(1).stderr(contains(
        "cannot read story.tar.gz as a tarball: tar: This does not look like a tar archive",
    ));
    place.assert_nothing_else_left(&["story.tar.gz"]);
}
