//! The maps from ids inside to ids outside.

use kiste_tests::user::{GIDS, NAME, UIDS};
use kiste_tests::{User, host};

use crate::kernel::{self, tidy};
use crate::{root, root_with_idmapped_mounts, this_step, with_ranges, without_ranges};

const SLEEP: [&str; 2] = ["sleep", "100"];

#[test]
fn without_subordinate_ids_only_root_is_mapped_to_the_caller() {
    let Some(user) = without_ranges() else { return };
    let running = user.start(&[], &SLEEP);
    assert_eq!(kernel::map(running.pid, "uid"), format!("0 {} 1", user.uid));
    assert_eq!(kernel::map(running.pid, "gid"), format!("0 {} 1", user.gid));
    assert_eq!(kernel::setgroups(running.pid), "deny");
    assert_eq!(kernel::ids(running.pid, "Uid"), [user.uid; 4]);
    assert_eq!(kernel::ids(running.pid, "Gid"), [user.gid; 4]);
    assert_ne!(host::namespace(running.pid, "user"), host::namespace("self", "user"));
    drop(running);
    let script = "id -u; id -g; cat /proc/self/uid_map";
    assert_eq!(
        tidy(&user.sh(&[], script).exits(0).out),
        format!("0\n0\n0 {} 1", user.uid)
    );
}

#[test]
fn with_subordinate_ids_the_other_ids_are_also_mapped() {
    let Some(user) = with_ranges() else { return };
    let running = user.start(&[], &SLEEP);
    assert_eq!(
        kernel::map(running.pid, "uid"),
        format!("0 {} 1\n1 {UIDS} 65536", user.uid)
    );
    assert_eq!(
        kernel::map(running.pid, "gid"),
        format!("0 {} 1\n1 {GIDS} 65536", user.gid)
    );
    assert_eq!(kernel::setgroups(running.pid), "allow");
    assert_eq!(kernel::ids(running.pid, "Uid"), [user.uid; 4]);
    assert_eq!(kernel::ids(running.pid, "Gid"), [user.gid; 4]);
    assert_eq!(
        host::status_field(running.pid, "Groups"),
        user.gid.to_string(),
        "the command has only the user's own group"
    );
    drop(running);
    let ran = user.run(&[], &["true"]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (0, ""),
        "a user with ranges gets no note"
    );
}

#[test]
fn a_note_says_that_only_the_callers_id_is_mapped_with_the_reason_and_a_hint() {
    let Some(user) = without_ranges() else { return };
    // usermod(8) knows no user without a name.
    let hint = format!("as root: add the line {}:", user.uid);
    let ran = user.run(&[], &["echo", "runs"]);
    ran.assert_stdout("runs")
        .assert_stderr_contains("note: only your own id is mapped into the container: ")
        .assert_stderr_contains(&hint);
    assert_eq!(ran.err.lines().count(), 2, "a note and a hint: {}", ran.err);
}

#[test]
fn the_note_says_what_is_missing() {
    let step = || this_step();
    let users = format!("{NAME}:{UIDS}:65536\n");
    for (subuid, subgid, why) in [
        ("", &*users, "/etc/subuid has no ids for you"),
        (&*users, "", "/etc/subgid has no ids for you"),
        (
            "somebody:200000:65536\n# kiste-tester:1:2\n",
            &*users,
            "/etc/subuid has no ids for you",
        ),
        (
            "kiste-tester:x:65536\nkiste-tester:200000\nkiste-tester\n\n",
            &*users,
            "/etc/subuid has no ids for you",
        ),
    ] {
        let Some(user) = User::with_files(step(), &["pivot-root"], subuid, subgid)
        else {
            return;
        };
        let ran = user.sh(&[], "cat /proc/self/uid_map");
        ran.exits(0)
            .assert_stderr_contains(why)
            .assert_stderr_contains(&format!("100000-165535 {NAME}"));
        assert_eq!(tidy(&ran.out), format!("0 {} 1", user.uid));
    }
}

#[test]
fn without_newuidmap_the_note_names_it() {
    let Some(mut user) = with_ranges() else { return };
    user.user_prefix = ["env".into(), "PATH=/nonexistent".into()].into();
    let ran = user.sh(&[], "cat /proc/self/uid_map");
    ran.exits(0)
        .assert_stderr_contains("newuidmap is not installed")
        .assert_stderr_contains("install the package uidmap");
    assert_eq!(tidy(&ran.out), format!("0 {} 1", user.uid));
}

#[test]
fn ranges_are_found_by_name_and_by_uid_and_all_are_used() {
    let by_uid_and_by_name = |first: u32| {
        format!("59711:{first}:10\n{NAME}:{}:65536\nsomebody:900000:5\n", first + 1000)
    };
    let (subuid, subgid) = (by_uid_and_by_name(UIDS), by_uid_and_by_name(GIDS));
    let Some(user) = User::with_files(this_step(), &["pivot-root"], &subuid, &subgid)
    else {
        return;
    };
    let running = user.start(&[], &SLEEP);
    let map = |own: u32, first: u32| {
        format!("0 {own} 1\n1 {first} 10\n11 {} 65536", first + 1000)
    };
    assert_eq!(kernel::map(running.pid, "uid"), map(user.uid, UIDS));
    assert_eq!(kernel::map(running.pid, "gid"), map(user.gid, GIDS));
}

/// Administrators list a user's own id for Docker's userns-remap, and some tools add a
/// line for a range that the file has already.
#[test]
fn an_id_that_is_listed_twice_or_is_the_users_own_is_mapped_once() {
    let line = |first: u32, count: u32| format!("{NAME}:{first}:{count}\n");
    for (lines, second_range) in [
        (line(59_711, 1) + &line(59_811, 1) + &line(UIDS, 65_536), None),
        (
            line(UIDS, 65_536) + &line(700_000, 10) + &line(UIDS, 65_536),
            Some((700_000, 10)),
        ),
        (
            line(UIDS, 65_536) + &line(UIDS + 50_000, 65_536),
            Some((UIDS + 65_536, 50_000)),
        ),
        (line(UIDS, 65_536) + &line(UIDS + 10, 10), None),
    ] {
        let Some(user) = User::with_files(this_step(), &["pivot-root"], &lines, &lines)
        else {
            return;
        };
        let ran = user.sh(&["-u", "1000:1000"], "cat /proc/self/uid_map; id -u");
        assert_eq!(ran.exits(0).err, "", "{lines}");
        let map = tidy(&ran.out);
        assert!(map.contains(&format!("0 {} 1", user.uid)), "{lines}: {map}");
        assert!(map.contains(&UIDS.to_string()), "{lines}: {map}");
        let has = |(first, count): (u32, u32)| {
            // Adjacent ranges are merged into one.
            map.contains(&format!("{first} {count}"))
                || map.contains(&format!("{UIDS} {}", first + count - UIDS))
        };
        assert!(second_range.is_none_or(has), "{lines}: {map}");
    }
}

/// The kernel takes 340 ranges, and less than 4096 bytes.
#[test]
fn if_there_are_more_ranges_than_a_map_takes_the_largest_are_used() {
    let single_ids = |count: u32| -> String {
        let line = |n: u32| format!("{NAME}:{}:1\n", 1_000_000_000 + 2 * n);
        (0..count).map(line).collect()
    };
    for count in [200, 400] {
        let lines = single_ids(count) + &format!("{NAME}:{UIDS}:65536\n");
        let Some(user) = User::with_files(this_step(), &["pivot-root"], &lines, &lines)
        else {
            return;
        };
        let ran = user.sh(&["--userns", "keep-id"], "cat /proc/self/uid_map");
        assert_eq!(ran.exits(0).err, "");
        let map = tidy(&ran.out);
        let mapped = map.lines().filter(|line| line.ends_with(" 1")).count();
        assert!((100..340).contains(&mapped), "{mapped} of {count}");
        let (ids, own) = (65_536 + mapped as u32, user.uid);
        assert!(map.contains(&format!("{own} {own} 1")), "{map}");
        let sum = |line: &str| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap();
        assert_eq!(map.lines().map(sum).sum::<u32>(), ids, "{map}");
    }
}

#[test]
fn the_hint_proposes_a_range_that_no_user_has() {
    let others = "somebody:100000:65536\nanother:165536:65536\n";
    let Some(user) = User::with_files(this_step(), &["pivot-root"], others, "") else {
        return;
    };
    user.run(&[], &["true"]).exits(0).assert_stderr_contains(&format!(
        "usermod --add-subuids 231072-296607 --add-subgids 231072-296607 {NAME}"
    ));
    let all = "somebody:1:4294967294\n";
    let Some(user) = User::with_files(this_step(), &["pivot-root"], all, all) else {
        return;
    };
    let ran = user.run(&[], &["true"]);
    assert!(!ran.exits(0).err.contains("usermod"), "{}", ran.err);
}

/// A mistake in /etc/subuid must not cause a panic.
#[test]
fn a_range_beyond_the_last_id_causes_no_panic() {
    for range in ["4294967000:65536", "4294967295:1", "200000:4294967295", "200000:0"] {
        let text = format!("{NAME}:{range}\n");
        let Some(user) = User::with_files(this_step(), &["pivot-root"], &text, &text)
        else {
            return;
        };
        let ran = user.sh(&[], "cat /proc/self/uid_map");
        assert!(ran.code == 0 || ran.code == 125, "{range}: {ran:?}");
        assert!(!ran.err.contains("panic"), "{range}: {}", ran.err);
    }
}

#[test]
fn keep_id_maps_the_callers_id_to_itself() {
    let Some(user) = without_ranges() else { return };
    let running = user.start(&["--userns", "keep-id"], &SLEEP);
    assert_eq!(kernel::map(running.pid, "uid"), format!("{0} {0} 1", user.uid));
    assert_eq!(kernel::map(running.pid, "gid"), format!("{0} {0} 1", user.gid));
    drop(running);
    user.sh(&["--userns=keep-id"], "id -u; id -g")
        .assert_stdout(&format!("{}\n{}", user.uid, user.gid));
}

#[test]
fn keep_id_with_subordinate_ids_maps_the_other_ids_around_it() {
    let Some(user) = with_ranges() else { return };
    let running = user.start(&["--userns", "keep-id"], &SLEEP);
    let map = |own: u32, first: u32| {
        format!(
            "0 {first} {own}\n{own} {own} 1\n{} {} {}",
            own + 1,
            first + own,
            65536 - own
        )
    };
    assert_eq!(kernel::map(running.pid, "uid"), map(user.uid, UIDS));
    assert_eq!(kernel::map(running.pid, "gid"), map(user.gid, GIDS));
    assert_eq!(kernel::ids(running.pid, "Uid"), [user.uid; 4]);
    drop(running);
    user.sh(&["--userns=keep-id", "-u", "0"], "id -u").assert_stdout("0");
}

#[test]
fn maps_can_be_given_by_options() {
    let Some(user) = with_ranges() else { return };
    let map_root_to = |id: u32| format!("0:{id}:1");
    let (uid, gid) = (map_root_to(user.uid), map_root_to(user.gid));
    let (uids, gids) = (format!("1:{}:9", UIDS + 5), format!("1:{}:8", GIDS + 5));
    let options =
        ["--uid-map", &uid, "--uid-map", &uids, "--gid-map", &gid, "--gid-map", &gids];
    let running = user.start(&options, &SLEEP);
    assert_eq!(
        kernel::map(running.pid, "uid"),
        format!("0 {} 1\n1 {} 9", user.uid, UIDS + 5)
    );
    assert_eq!(
        kernel::map(running.pid, "gid"),
        format!("0 {} 1\n1 {} 8", user.gid, GIDS + 5)
    );
    assert_eq!(kernel::ids(running.pid, "Uid"), [user.uid; 4]);
}

/// The kernel lets every user map their own id, even without subordinate ids.
#[test]
fn any_user_can_map_their_own_id_by_options() {
    let Some(user) = without_ranges() else { return };
    let (uid, gid) = (format!("7:{}:1", user.uid), format!("8:{}:1", user.gid));
    let ran = user.sh(&["--uid-map", &uid, "--gid-map", &gid], "id -u; id -g");
    assert_eq!(ran.exits(0).out, "7\n8\n");
    assert_eq!(ran.err, "", "the user asked for these maps, so there is no note");
}

#[test]
fn a_single_map_applies_to_users_and_groups() {
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    for option in ["--uid-map", "--gid-map"] {
        let running = fixture.start(&[option, "0:700000:100"], &SLEEP);
        assert_eq!(kernel::map(running.pid, "uid"), "0 700000 100", "{option}");
        assert_eq!(kernel::map(running.pid, "gid"), "0 700000 100", "{option}");
        assert_eq!(kernel::ids(running.pid, "Uid"), [700_000; 4]);
        assert_eq!(kernel::ids(running.pid, "Gid"), [700_000; 4]);
    }
}

#[test]
fn an_invalid_map_is_a_usage_error_with_the_rule() {
    let Some(user) = without_ranges() else { return };
    for (maps, rule) in [
        (&["0:1000:10", "5:2000:10"][..], "overlap: an id is mapped once"),
        (&["0:1000:10", "20:1005:10"], "overlap: an id is mapped once"),
        (&["0:1000"], "three numbers"),
        (&["0:1000:0"], "at least one id"),
        (&["0:4294967295:1"], "none above 4294967294"),
        (&["-1:0:1"], "three numbers"),
        (&["a:b:c"], "three numbers"),
        (&[""], "three numbers"),
    ] {
        for option in ["--uid-map", "--gid-map"] {
            let options: Vec<_> =
                maps.iter().map(|map| format!("{option}={map}")).collect();
            let options: Vec<_> = options.iter().map(String::as_str).collect();
            let ran = user.run(&options, &["echo", "it runs"]);
            ran.exits(2).assert_stderr_contains(option).assert_stderr_contains(rule);
            assert_eq!(ran.out, "");
        }
    }
    let many: Vec<_> =
        (0..341).map(|n| format!("--uid-map={0}:{0}:1", n * 2)).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    user.run(&many, &["true"]).exits(2).assert_stderr_contains("the kernel takes 340");
}

#[test]
fn maps_and_a_mode_contradict_each_other() {
    let Some(user) = without_ranges() else { return };
    for mode in ["host", "auto", "keep-id"] {
        for map in ["--uid-map", "--gid-map"] {
            let ran = user.run(&["--userns", mode, map, "0:1:1"], &["echo", "it runs"]);
            ran.exits(2).assert_stderr_contains("--userns").assert_stderr_contains(map);
        }
    }
    user.run(&["--userns", "nomad"], &["true"])
        .exits(2)
        .assert_stderr_contains("keep-id");
}

#[test]
fn ids_that_are_not_the_callers_are_refused_with_the_helpers_message() {
    let Some(user) = with_ranges() else { return };
    let map_root_to = |id: u32| format!("0:{id}:1");
    let (uid, gid) = (map_root_to(user.uid), map_root_to(user.gid));
    let one_too_many = |first: u32| format!("1:{first}:65537");
    let (uids, gids) = (one_too_many(UIDS), one_too_many(GIDS));
    for (maps, helper) in [
        (
            &["--uid-map", &*uid, "--uid-map", &*uids, "--gid-map", &*gid][..],
            "newuidmap",
        ),
        (&["--uid-map", &*uid, "--gid-map", &*gid, "--gid-map", &*gids], "newgidmap"),
        (&["--uid-map", "0:0:1", "--gid-map", &*gid], "newuidmap"),
        (&["--uid-map", &*uid, "--gid-map", "0:0:1"], "newgidmap"),
    ] {
        let ran = user.run(maps, &["echo", "it runs"]);
        ran.exits(125)
            .assert_stderr_contains(&format!("{helper}: "))
            .assert_stderr_contains("not allowed")
            .assert_stderr_contains("hint: ");
        assert_eq!(ran.out, "");
        assert!(ran.err.lines().count() <= 3, "{}", ran.err);
    }
}

#[test]
fn only_root_can_use_the_hosts_ids() {
    let Some(user) = without_ranges() else { return };
    let ran = user.run(&["--userns", "host"], &["echo", "it runs"]);
    ran.exits(125)
        .assert_stderr_contains("--userns host")
        .assert_stderr_contains("needs root")
        .assert_stderr_contains("hint: ");
    assert_eq!(ran.out, "");
}

#[test]
fn keep_id_is_refused_for_root() {
    let Some(fixture) = root() else { return };
    let ran = fixture.run(&["--userns", "keep-id"], &["echo", "it runs"]);
    ran.exits(125)
        .assert_stderr_contains("keep-id")
        .assert_stderr_contains("root's")
        .assert_stderr_contains("--userns auto");
    assert_eq!(ran.out, "");
}
