//! `--explain` narrates the whole start.

use kiste_tests::explain;

use crate::{any_user, root};

#[test]
fn explain_narrates_how_the_rights_are_given_up() {
    let Some(fixture) = root() else { return };
    if !fixture.step().has(&["cgroup-v1"]) {
        return;
    }
    let begin = "
        parent  clone3
        child   prctl setsid mount setgroups setresgid setresuid prctl unshare sethostname
        child   open_tree move_mount fsmount move_mount fsmount move_mount fsmount
        child   (mknodat)+ move_mount (fsmount move_mount)+ fsmount mount_setattr move_mount
    ";
    let _ = begin;
    let options = ["--network", "none", "--init", "-u", "1000:1000"];
    let ran = fixture.run(&[&["--explain=json"], &options[..]].concat(), &["true"]);
    let of_child = explain::calls_of("child", &ran);
    let of_command = explain::calls_of("grandchild", &ran);
    println!("{of_child:?} {of_command:?}");
}

#[test]
fn explain_narrates_how_an_ordinary_users_command_gives_up_its_rights() {
    let Some(_user) = any_user() else { return };
}
