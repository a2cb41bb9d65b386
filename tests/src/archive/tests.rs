use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

/// Returns the lines that GNU tar lists: type and permissions, owner, size, name.
fn listed(archive: Vec<u8>) -> Vec<String> {
    let mut tar = Command::new("tar")
        .args(["--numeric-owner", "--quoting-style=escape", "-tvf", "-"])
        .envs([("TZ", "UTC"), ("LC_ALL", "C")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start tar");
    tar.stdin.take().unwrap().write_all(&archive).unwrap();
    let output = tar.wait_with_output().unwrap();
    assert!(output.status.success());
    let tidy = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    String::from_utf8(output.stdout).unwrap().lines().map(tidy).collect()
}

#[test]
fn gnu_tar_lists_the_entries_as_they_were_made() {
    let long = "l".repeat(150);
    let archive = Archive::new()
        .with(Entry::dir("d").mode(0o2750).owner(5, 6))
        .with(Entry::file("d/x", "abc").mode(0o4755).mtime(86400))
        .with(Entry::symlink("d/s", "x"))
        .with(Entry::hard_link("d/h", "d/x"))
        .with(Entry::fifo("p"))
        .with(Entry::char_device("null", 1, 3))
        .with(Entry::file("large-ids", "").owner(4_000_000_000, 7))
        .with(Entry::file("", "x").gnu_long_name(&long))
        .with(Entry::file("x", "").pax("path", "caf\u{e9}"))
        .with(Entry::whiteout("d/x"));
    let expected = [
        "drwxr-s--- 5/6 0 1970-01-01 00:16 d".to_owned(),
        "-rwsr-xr-x 0/0 3 1970-01-02 00:00 d/x".into(),
        "lrwxrwxrwx 0/0 0 1970-01-01 00:16 d/s -> x".into(),
        "hrw-r--r-- 0/0 0 1970-01-01 00:16 d/h link to d/x".into(),
        "prw-r--r-- 0/0 0 1970-01-01 00:16 p".into(),
        "crw-r--r-- 0/0 1,3 1970-01-01 00:16 null".into(),
        "-rw-r--r-- 4000000000/7 0 1970-01-01 00:16 large-ids".into(),
        format!("-rw-r--r-- 0/0 1 1970-01-01 00:16 {long}"),
        "-rw-r--r-- 0/0 0 1970-01-01 00:16 caf\\303\\251".into(),
        "-rw-r--r-- 0/0 0 1970-01-01 00:16 d/.wh.x".into(),
    ];
    assert_eq!(listed(archive.end()), expected);
}

#[test]
fn gnu_tar_sees_the_whole_size_of_sparse_files_of_every_format() {
    let pieces: [(u64, &[u8]); 2] = [(0, b"begin"), (1 << 20, b"end")];
    let mut archive = Archive::new().with(Entry::sparse_gnu("gnu", &pieces, 2 << 20));
    for version in ["0.0", "0.1", "1.0"] {
        archive = archive.with(Entry::sparse_pax(
            version,
            &format!("pax-{version}"),
            &pieces,
            2 << 20,
        ));
    }
    for line in listed(archive.end()) {
        assert!(line.contains(" 2097152 "), "{line}");
    }
}

#[test]
fn the_length_of_a_pax_record_includes_its_own_digits() {
    assert_eq!(pax_record("path", b"x"), b"9 path=x\n");
    assert_eq!(pax_record("path", b"xy"), b"11 path=xy\n");
    let long = pax_record("k", &[b'v'; 93]);
    assert_eq!((long.len(), &long[..5]), (99, &b"99 k="[..]));
    let longer = pax_record("k", &[b'v'; 94]);
    assert_eq!((longer.len(), &longer[..6]), (101, &b"101 k="[..]));
}

#[test]
fn a_claimed_size_and_a_wrong_checksum_are_in_the_header_only() {
    let bytes = Entry::file("x", "abc").claims(1 << 40).bytes();
    assert_eq!((bytes.len(), bytes[124]), (1024, 0x80));
    let (right, wrong) = (
        Entry::file("x", "").bytes(),
        Entry::file("x", "").with_wrong_checksum().bytes(),
    );
    assert_ne!(right[148..156], wrong[148..156]);
}
