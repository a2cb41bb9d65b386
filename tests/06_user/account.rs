//! `-u` names the user that the command runs as. The user is looked up in /etc/passwd
//! and /etc/group of the root file system.

use std::fs;

use kiste_tests::host;
use kiste_tests::user::{GIDS, NAME, UIDS};

use crate::kernel::ids;
use crate::{root, root_with_idmapped_mounts, with_ranges, without_ranges};

/// Prints the user, the group, all groups, and the home directory.
const WHO: &str = "echo $(id -u) $(id -g) : $(id -G) : $HOME";

/// Values of `-u`, and the output of [`WHO`] for them with Alpine's files.
const USERS: [(&str, &str); 12] = [
    ("bin", "1 1 : 1 2 3 : /bin"),
    ("1", "1 1 : 1 2 3 : /bin"),
    ("mail", "8 12 : 12 : /var/mail"),
    ("games", "35 35 : 35 100 : /usr/games"),
    ("bin:mail", "1 12 : 12 : /bin"),
    ("bin:7", "1 7 : 7 : /bin"),
    ("1:mail", "1 12 : 12 : /bin"),
    ("sync", "5 0 : 0 : /sbin"),
    ("1234", "1234 0 : 0 : /"),
    ("1234:99", "1234 99 : 99 : /"),
    ("1234:mail", "1234 12 : 12 : /"),
    ("nobody", "65534 65534 : 65534 : /"),
];

#[test]
fn a_user_has_the_ids_groups_and_home_that_the_image_says() {
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    for (asked, who) in USERS {
        fixture.sh(&["-u", asked], WHO).assert_stdout(who);
    }
    fixture
        .sh(&["--userns", "auto", "--user", "games"], WHO)
        .assert_stdout("35 35 : 35 100 : /usr/games");
}

#[test]
fn without_root_a_user_has_the_ids_groups_and_home_that_the_image_says() {
    let Some(user) = with_ranges() else { return };
    for (asked, who) in USERS {
        user.sh(&["-u", asked], WHO).assert_stdout(who);
    }
    user.sh(&["-u", "games", "--init"], WHO)
        .assert_stdout("35 35 : 35 100 : /usr/games");
}

#[test]
fn the_user_root_has_the_images_groups() {
    let Some(user) = with_ranges() else { return };
    let ran = user.sh(&["-u", "root"], WHO);
    assert!(ran.exits(0).out.starts_with("0 0 : 0 1 2 3 "), "{}", ran.out);
    user.sh(&[], WHO).assert_stdout("0 0 : 0 : /root");
}

#[test]
fn outside_the_user_has_the_mapped_id_and_no_capability() {
    let Some(user) = with_ranges() else { return };
    for options in [&["-u", "bin"][..], &["-u", "bin", "--init"]] {
        let running = user.start(options, &["sleep", "100"]);
        assert_eq!(ids(running.pid, "Uid"), [UIDS; 4]);
        assert_eq!(ids(running.pid, "Gid"), [GIDS; 4]);
        assert_eq!(
            host::status_field(running.pid, "Groups"),
            format!("{GIDS} {} {}", GIDS + 1, GIDS + 2)
        );
        for set in ["CapEff", "CapPrm", "CapAmb"] {
            assert_eq!(
                host::status_field(running.pid, set),
                "0000000000000000",
                "{set}"
            );
        }
    }
}

#[test]
fn groups_that_are_not_mapped_are_left_out() {
    let Some(user) = with_ranges() else { return };
    let (uid, gid) = (format!("0:{}:1", user.uid), format!("0:{}:1", user.gid));
    let (uids, gids) = (format!("1:{UIDS}:100"), format!("1:{GIDS}:2"));
    let options = [
        "--uid-map",
        &uid,
        "--uid-map",
        &uids,
        "--gid-map",
        &gid,
        "--gid-map",
        &gids,
        "-u",
        "bin",
    ];
    user.sh(&options, WHO).assert_stdout("1 1 : 1 2 : /bin");
}

#[test]
fn an_option_overrides_the_home_of_the_user() {
    let Some(fixture) = root() else { return };
    fixture
        .sh(&["-u", "games", "-e", "HOME=/elsewhere"], "echo $HOME")
        .assert_stdout("/elsewhere");
    fs::write(fixture.rootfs().join("etc/passwd"), "homeless:x:9:9:::\nshort:x:9:9\n")
        .unwrap();
    fixture.sh(&["-u", "homeless"], "echo $HOME").assert_stdout("/");
    fixture.sh(&["-u", "short"], "echo $HOME").assert_stdout("/");
}

#[test]
fn a_user_who_is_not_in_the_image_is_refused_with_name_and_file() {
    let Some(fixture) = root() else { return };
    let refused = |user: &str, what: &str| {
        let ran = fixture.run(&["-u", user], &["echo", "it runs"]);
        ran.exits(125)
            .assert_stderr_contains(what)
            .assert_stderr_contains("of the root file system")
            .assert_stderr_contains("hint: -u takes numbers");
        assert_eq!(ran.out, "");
    };
    refused("alice", "user \"alice\": not in /etc/passwd");
    refused("bin:staff", "group \"staff\": not in /etc/group");
    refused("1234:staff", "group \"staff\": not in /etc/group");
    refused("root ", "user \"root \"");
    fs::remove_file(fixture.rootfs().join("etc/passwd")).unwrap();
    fs::remove_file(fixture.rootfs().join("etc/group")).unwrap();
    refused("bin", "not in /etc/passwd");
    refused("1:bin", "not in /etc/group");
    fixture.sh(&["-u", "1:2"], WHO).assert_stdout("1 2 : 2 : /");
}

/// A user of the host is not a user of the image. This name is in the host's
/// /etc/passwd.
#[test]
fn a_name_that_only_the_host_knows_is_unknown() {
    let Some(user) = with_ranges() else { return };
    user.run(&["-u", NAME], &["true"])
        .exits(125)
        .assert_stderr_contains("not in /etc/passwd of the root file system");
    user.run(&["-u", &format!("0:{NAME}")], &["true"])
        .exits(125)
        .assert_stderr_contains("not in /etc/group of the root");
}

#[test]
fn an_id_that_is_not_mapped_is_refused_and_the_maps_are_named() {
    let Some(user) = without_ranges() else { return };
    for (asked, what) in [
        ("nobody", "uid 65534 is not mapped"),
        ("1234", "uid 1234"),
        ("0:5", "gid 5 is not mapped"),
    ] {
        let ran = user.run(&["-u", asked], &["echo", "it runs"]);
        ran.exits(125).assert_stderr_contains(what);
        ran.assert_stderr_contains(&format!(
            "hint: the maps are: uids 0 {} 1; gids 0 {} 1",
            user.uid, user.gid
        ));
        assert_eq!(ran.out, "");
    }
    user.sh(&["-u", "0"], "id -u").assert_stdout("0");
    user.sh(&["-u", "root"], "id -u; echo $HOME").assert_stdout("0\n/root");
    let own = user.uid.to_string();
    user.sh(&["--userns", "keep-id", "-u", &format!("{own}:{}", user.gid)], "id -u")
        .assert_stdout(&own);
}

#[test]
fn an_invalid_user_is_a_usage_error() {
    let Some(fixture) = root() else { return };
    for asked in [
        "",
        ":",
        "a:",
        ":b",
        "a:b:c",
        "4294967295",
        "1:4294967295",
        "99999999999",
        "a/b",
    ] {
        let ran = fixture.run(&[&format!("--user={asked}")], &["echo", "it runs"]);
        ran.exits(2).assert_stderr_contains("--user");
        assert_eq!(ran.out, "");
    }
}
