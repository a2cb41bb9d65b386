//! The caller's keys (keyrings(7)), such as passwords of file systems, stay outside.

use std::path::Path;
use std::process::Command;

use kiste_tests::require_tool;

use crate::{root, with_ranges};

#[cfg(target_arch = "x86_64")]
const CALLS: (&str, &str) = ("248", "250"); // add_key(2), keyctl(2)
#[cfg(not(target_arch = "x86_64"))]
const CALLS: (&str, &str) = ("217", "219");

/// Returns a command line that joins a new session keyring, adds a key, and executes
/// its arguments.
fn add_key_and_execute() -> [String; 3] {
    let (add_key, keyctl) = CALLS;
    let script = format!(
        r#"my ($type, $name, $text) = ("user", "kiste-test", "secret");
        syscall({keyctl}, 1, 0) > 0 or die $!;
        syscall({add_key}, $type, $name, $text, 6, -3) > 0 or die $!;
        exec @ARGV or die $!;"#
    );
    ["perl".into(), "-e".into(), script]
}

/// Returns a Perl script that prints the content of that key, or `none` if it does not
/// find the key.
fn print_key() -> String {
    let (_, keyctl) = CALLS;
    format!(
        r#"my ($type, $name, $text) = ("user", "kiste-test", " " x 64);
        my $key = syscall({keyctl}, 10, -3, $type, $name, 0);
        print $key > 0 && syscall({keyctl}, 11, $key, $text, 64) > 0 ? substr($text, 0, 6) : "none";"#
    )
}

#[test]
fn the_container_does_not_have_the_callers_keys() {
    if !require_tool("perl") {
        return;
    }
    let Some(fixture) = root() else { return };
    fixture.install(Path::new("/usr/bin/perl"), "perl");
    let (caller, print) = (add_key_and_execute(), print_key());
    let outside = Command::new("perl")
        .args(&caller[1..])
        .args(["perl", "-e", &print])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&outside.stdout), "secret", "{outside:?}");

    let caller = caller.each_ref().map(String::as_str);
    fixture.run_under(&caller, &[], &["/perl", "-e", &print]).assert_stdout("none");
    fixture
        .run_under(&caller, &["-u", "bin"], &["/perl", "-e", &print])
        .assert_stdout("none");

    let Some(mut user) = with_ranges() else { return };
    user.install(Path::new("/usr/bin/perl"), "perl");
    user.user_prefix = caller.map(String::from).to_vec();
    user.run(&[], &["/perl", "-e", &print]).assert_stdout("none");
}
