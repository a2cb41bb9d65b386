//! The standard streams, opened by name as another user than the caller.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::*;

const BY_NAME: &str =
    "echo one > /dev/stdout; echo two > /dev/stderr; cat < /dev/stdin";

#[test]
fn every_user_can_open_the_callers_pipes_by_name() {
    let Some(fixture) = root() else { return };
    let script = format!("echo three | \"$@\" | cat; echo {}", "$?");
    for options in [&[][..], &["-u", "nobody"], &["--userns", "auto"]] {
        let starter = ["sh", "-c", &script, "sh"];
        let ran = fixture.run_under(&starter, options, &["sh", "-c", BY_NAME]);
        assert_eq!(ran.exits(0).out, "one\nthree\n0\n", "{options:?}: {}", ran.err);
        assert!(ran.err.contains("two\n"), "{options:?}: {}", ran.err);
    }
}

#[test]
fn without_root_every_user_can_open_the_callers_pipes_by_name() {
    let Some(mut user) = with_ranges() else { return };
    // The pipe belongs to the user, and the caller also opens it by name afterwards.
    let script = "echo three | { \"$@\"; echo $? > /dev/stdout; } 2>&1 | cat";
    user.user_prefix = ["sh", "-c", script, "sh"].map(String::from).into();
    for options in [&[][..], &["-u", "nobody"]] {
        let ran = user.sh(options, BY_NAME);
        assert_eq!(
            ran.exits(0).out,
            "one\ntwo\nthree\n0\n",
            "{options:?}: {}",
            ran.err
        );
    }
}

#[test]
fn the_callers_files_and_named_pipes_stay_as_they_are() {
    let Some(fixture) = root() else { return };
    let (file, fifo) = (fixture.dir().join("file"), fixture.dir().join("fifo"));
    fs::write(&file, "").unwrap();
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let state = || {
        [&file, &fifo].map(|path| {
            let metadata = fs::metadata(path).unwrap();
            (metadata.mode(), metadata.uid(), metadata.gid())
        })
    };
    let before = state();
    let starter = ["sh", "-c", "exec \"$@\" < /dev/null > file 2<> fifo", "sh"];
    fixture.run_under(&starter, &["-u", "nobody"], &["echo", "text"]).exits(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "text\n");
    assert_eq!(state(), before);
}
