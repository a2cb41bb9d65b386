//! Mirrors and digests.

use assert_cmd::assert::OutputAssertExt;
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::fetch::{OLDER_ALPINE, OLDER_DIGEST, alpine};
use crate::test_dir::TestDir;
use kiste_tests::require_tool;

#[test]
fn a_mirror_in_a_directory_needs_no_network() {
    let dir = TestDir::new();
    match alpine().filter(|path| path.ends_with(OLDER_ALPINE)) {
        Some(tarball) => {
            dir.put_in_mirror(&fs::read(tarball).unwrap());
            dir.fetch_older_alpine()
                .assert()
                .success()
                .stderr(contains("Alpine 3.20.3 for x86_64, SHA-512 verified"));
            dir.assert_has(&["bin/sh", "bin/busybox", "etc/alpine-release"]);
        }
        // Without the real tarball, the test only sees that the mirror's file is
        // refused.
        None => {
            dir.put_in_mirror(b"not Alpine");
            dir.fetch_older_alpine().assert().code(1).stderr(contains(OLDER_DIGEST));
        }
    }
}

#[test]
fn a_wrong_digest_unpacks_nothing() {
    let dir = TestDir::new();
    let tarball = fs::read(dir.little_tarball("little.tar.gz")).unwrap();
    dir.put_in_mirror(&tarball);
    let found = sha512(&dir.path("little.tar.gz"));
    // The tarball is the only source, or the first of several, or a file with a pinned
    // name.
    fs::rename(dir.path("little.tar.gz"), dir.path(OLDER_ALPINE)).unwrap();
    for from in ["alpine", "auto", OLDER_ALPINE] {
        dir.fetch_older_alpine().args(["--from", from]).assert().code(1).stderr(
            contains("wrong SHA-512")
                .and(contains(OLDER_DIGEST))
                .and(contains(found.as_str()))
                .and(contains("busybox").not()),
        );
        dir.assert_nothing_else_left(&["fakes", OLDER_ALPINE, "mirror", "tree"]);
    }
}

#[test]
fn curl_and_wget_fetch_over_http() {
    assert_fetches_over_http("curl", "wget");
    assert_fetches_over_http("wget", "curl");
}

fn assert_fetches_over_http(client: &str, absent: &str) {
    if !require_tool(client) {
        return;
    }
    let dir = TestDir::new();
    let tarball = fs::read(dir.little_tarball("little.tar.gz")).unwrap();
    let path = dir.path_without(&[absent]);
    let address = serve_once(tarball);
    dir.fetch()
        .env("PATH", path)
        .args(["--from", &format!("http://{address}/served.tar.gz?now")])
        .assert()
        .success()
        .stderr(contains("the digest of served.tar.gz is not pinned"));
    dir.assert_has(&["bin/sh"]);
}

#[test]
fn a_mirror_that_cannot_be_reached_is_named_with_the_reason() {
    for absent in ["wget", "curl"] {
        let dir = TestDir::new();
        let path = dir.path_without(&[absent]);
        dir.fetch()
            .env("PATH", path)
            .env("KISTE_MIRROR", "http://127.0.0.1:1")
            .args(["--from", "alpine"])
            .assert()
            .code(1)
            .stderr(
                contains("http://127.0.0.1:1/v3.24/releases/").and(contains("hint: ")),
            );
        dir.assert_nothing_else_left(&["path"]);
    }
}

#[test]
fn only_pinned_versions_are_accepted() {
    let dir = TestDir::new();
    dir.fetch().env("KISTE_ALPINE_VERSION", "3.19.0").assert().code(1).stderr(
        contains("KISTE_ALPINE_VERSION=3.19.0").and(contains("3.24.2 or 3.20.3")),
    );
}

fn sha512(file: &Path) -> String {
    let output = Command::new("sha512sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// Answers one HTTP request with these bytes.
fn serve_once(body: Vec<u8>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut request = BufReader::new(connection.try_clone().unwrap()).lines();
        while request.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        connection.write_all(head.as_bytes()).unwrap();
        connection.write_all(&body).unwrap();
    });
    address
}
