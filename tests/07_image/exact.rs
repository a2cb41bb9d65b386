//! Unpacking is exact: lstat(2) returns for a file what the archive says.

use std::collections::BTreeMap;

use kiste_tests::Tree;
use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::{Compression, Layout, digest};
use kiste_tests::tree::{path, xattrs};

use crate::minimal_layer::{minimal_archive, minimal_layer};
use crate::test_store::{
    TestStore, as_root_and_as_user, root, with_ranges, without_ranges,
};

/// Loads an archive as a layer on the minimal one, and returns the files that a
/// container sees in /data.
#[track_caller]
pub fn data_in_container(store: &TestStore, archive: Archive) -> Tree {
    store.load_on_minimal_layer(&[archive.end()]);
    store.tree_in_container("small:1", "/data")
}

/// Returns an archive with the directory /data, to which a test adds its entries.
pub fn data_dir() -> Archive {
    Archive::new().with(Entry::dir("data"))
}

#[test]
fn owners_and_modes_are_those_of_the_archive() {
    as_root_and_as_user(|store| {
        let tree = data_in_container(
            store,
            data_dir()
                .with(Entry::file("data/plain", "x").mode(0o640).owner(1000, 1001))
                .with(Entry::file("data/mighty", "x").mode(0o4755).owner(33, 34))
                .with(Entry::file("data/of-group", "x").mode(0o2711).owner(0, 65535))
                .with(Entry::file("data/none", "x").mode(0))
                .with(Entry::file("data/all", "x").mode(0o7777).owner(1, 1))
                .with(Entry::dir("data/sticky").mode(0o3770).owner(5, 6))
                .with(Entry::symlink("data/link", "plain").owner(7, 8)),
        );
        for (name, mode, owner) in [
            ("plain", 0o640, (1000, 1001)),
            ("mighty", 0o4755, (33, 34)),
            ("of-group", 0o2711, (0, 65535)),
            ("none", 0, (0, 0)),
            ("all", 0o7777, (1, 1)),
            ("sticky", 0o3770, (5, 6)),
            ("link", 0o777, (7, 8)),
        ] {
            assert_eq!(
                (tree.at(name).mode, tree.at(name).owner),
                (mode, owner),
                "{name}"
            );
        }
    });
}

#[test]
fn as_root_an_owner_can_be_any_number() {
    let Some(store) = root() else { return };
    let tree = data_in_container(
        &store,
        data_dir().with(Entry::file("data/x", "").owner(4_000_000_000, 3_000_000_000)),
    );
    assert_eq!(tree.at("x").owner, (4_000_000_000, 3_000_000_000));
}

#[test]
fn files_of_an_unmapped_owner_belong_to_the_user_and_a_warning_says_so() {
    let Some(store) = with_ranges() else { return };
    let tar = data_dir()
        .with(Entry::file("data/x", "").owner(70_000, 1))
        .with(Entry::file("data/y", "").owner(5, 6));
    store
        .try_import([minimal_archive().without_end(), tar.end()].concat())
        .exits(0)
        .assert_stderr_contains("data/x")
        .assert_stderr_contains("70000");
    store.sh("small:1", &[], "stat -c %u:%g /data/x /data/y").assert_stdout("0:0\n5:6");
}

#[test]
fn without_subuid_ranges_all_files_belong_to_the_user_and_a_warning_says_so() {
    let Some(store) = without_ranges() else { return };
    let tar =
        data_dir().with(Entry::file("data/x", "x").mode(0o4755).owner(33, 34)).end();
    let ran = store.try_import([minimal_archive().without_end(), tar].concat());
    ran.exits(0).assert_stderr_contains("owner");
    store
        .sh("small:1", &[], "stat -c '%u:%g %a' /data/x")
        .exits(0)
        .assert_stdout("0:0 4755");
}

#[test]
fn times_are_exact_to_the_nanosecond() {
    as_root_and_as_user(|store| {
        let time = |number: u32| format!("1234567890.00000000{number}");
        // The archive has directories before their files. The creation of the files
        // must not change the times of the directories.
        let tree = data_in_container(
            store,
            Archive::new()
                .with(Entry::dir("data").mtime_in_full(&time(1)))
                .with(Entry::dir("data/d").mtime_in_full(&time(2)))
                .with(Entry::dir("data/d/e").mode(0o555).mtime_in_full(&time(3)))
                .with(Entry::file("data/d/e/f", "f").mtime_in_full(&time(4)))
                .with(Entry::symlink("data/d/l", "x").mtime_in_full(&time(5)))
                .with(Entry::fifo("data/d/p").mtime_in_full(&time(6)))
                .with(
                    Entry::hard_link("data/d/h", "data/d/e/f").mtime_in_full(&time(4)),
                )
                .with(Entry::file("data/old", "").mtime_in_full("-2.5"))
                .with(Entry::file("data/older", "").mtime(-86400))
                .with(Entry::file("data/coarse", "").mtime_in_full("77.25"))
                .with(Entry::file("data/finer", "").mtime_in_full("77.1234567899"))
                .with(Entry::file("data/late", "").mtime_in_full("5000000000.5"))
                .with(Entry::file("data/later", "").mtime(6_000_000_000)),
        );
        for (number, name) in
            [".", "d", "d/e", "d/e/f", "d/l", "d/p", "d/h"].into_iter().enumerate()
        {
            let nanoseconds = if name == "d/h" { 4 } else { number as i64 + 1 };
            assert_eq!(tree.at(name).mtime, (1_234_567_890, nanoseconds), "{name}");
        }
        for (name, mtime) in [
            ("old", (-3, 500_000_000)),
            ("older", (-86400, 0)),
            ("coarse", (77, 250_000_000)),
            ("finer", (77, 123_456_789)),
            ("late", (5_000_000_000, 500_000_000)),
            ("later", (6_000_000_000, 0)),
        ] {
            assert_eq!(tree.at(name).mtime, mtime, "{name}");
        }
    });
}

#[test]
fn a_read_only_directory_is_filled_before_its_mode_is_set() {
    as_root_and_as_user(|store| {
        let tree = data_in_container(
            store,
            data_dir()
                .with(Entry::dir("data/closed").mode(0o500).owner(9, 9))
                .with(Entry::dir("data/closed/deeper").mode(0).owner(9, 9))
                .with(Entry::file("data/closed/deeper/x", "x").owner(9, 9)),
        );
        assert_eq!((tree.at("closed").mode, tree.at("closed/deeper").mode), (0o500, 0));
        assert_eq!(tree.at("closed/deeper/x").content, Some(digest(b"x")));
    });
}

#[test]
fn hard_links_are_one_file() {
    as_root_and_as_user(|store| {
        let tree = data_in_container(
            store,
            data_dir()
                .with(Entry::file("data/b", "x").mode(0o4711).owner(3, 4))
                .with(Entry::hard_link("data/a", "data/b"))
                .with(Entry::hard_link("data/c", "./data/a"))
                .with(Entry::symlink("data/s", "nowhere"))
                .with(Entry::hard_link("data/t", "data/s"))
                .with(Entry::fifo("data/p"))
                .with(Entry::hard_link("data/q", "data/p"))
                .with(Entry::hard_link("data/r", "data//p")),
        );
        for name in ["a", "b", "c"] {
            let node = tree.at(name);
            assert_eq!(
                (node.nlink, node.first_name.to_str(), node.mode, node.owner),
                (3, Some("a"), 0o4711, (3, 4))
            );
        }
        assert_eq!(
            (tree.at("t").target.clone(), tree.at("t").nlink),
            (Some("nowhere".into()), 2)
        );
        assert_eq!((tree.at("q").kind, tree.at("r").nlink), ("fifo", 3));
    });
}

#[test]
fn symbolic_links_keep_their_targets() {
    as_root_and_as_user(|store| {
        let long = "x/".repeat(700);
        let targets: [&[u8]; 7] = [
            b"x",
            b"/etc/passwd",
            b"../../../../..",
            b"a b\tc\n",
            b"caf\xc3\xa9",
            b"\xff\xfe",
            b"loop",
        ];
        let mut archive =
            data_dir().with(Entry::symlink("data/long", "").gnu_long_link(&long));
        archive = archive.with(Entry::symlink("data/pax", "").pax("linkpath", &long));
        for (number, target) in targets.iter().enumerate() {
            archive = archive.with(Entry::symlink(format!("data/{number}"), target));
        }
        let tree = data_in_container(store, archive);
        for (number, target) in targets.iter().enumerate() {
            assert_eq!(tree.at(number.to_string()).target, Some(path(target)));
        }
        for name in ["long", "pax"] {
            assert_eq!(tree.at(name).target, Some(long.clone().into()), "{name}");
        }
    });
}

#[test]
fn as_root_devices_are_made() {
    let Some(store) = root() else { return };
    let tree = data_in_container(
        &store,
        data_dir()
            .with(Entry::char_device("data/null", 1, 3).mode(0o666))
            .with(Entry::block_device("data/disk", 259, 70_000).mode(0o660).owner(0, 6))
            .with(Entry::fifo("data/fifo").mode(0o622).owner(3, 4)),
    );
    assert_eq!(
        (tree.at("null").kind, tree.at("null").device, tree.at("null").mode),
        ("char", (1, 3), 0o666)
    );
    assert_eq!(
        (tree.at("disk").kind, tree.at("disk").device, tree.at("disk").owner),
        ("block", (259, 70_000), (0, 6))
    );
    assert_eq!(
        (tree.at("fifo").kind, tree.at("fifo").mode, tree.at("fifo").owner),
        ("fifo", 0o622, (3, 4))
    );
}

/// Overlayfs would take a device 0:0 in a layer for a whiteout.
#[test]
fn a_device_that_would_be_a_whiteout_is_refused() {
    let Some(store) = root() else { return };
    let tar = data_dir().with(Entry::char_device("data/x", 0, 0)).end();
    let below =
        Archive::new().with(Entry::dir("data")).with(Entry::file("data/x", "x")).end();
    let layout =
        Layout::of("small:1", &[minimal_layer(), below, tar], Compression::Plain);
    store.try_load(layout.tar()).exits(1).assert_stderr_contains("entry \"data/x\"");
    store.assert_empty("a device 0:0");
}

#[test]
fn without_root_devices_are_left_out_and_everything_else_is_unpacked() {
    let Some(store) = with_ranges() else { return };
    let tree = data_in_container(
        &store,
        data_dir()
            .with(Entry::char_device("data/null", 1, 3))
            .with(Entry::block_device("data/disk", 8, 0))
            .with(Entry::fifo("data/fifo").mode(0o622).owner(3, 4))
            .with(Entry::file("data/after", "x")),
    );
    assert!(!tree.has("null") && !tree.has("disk"), "{tree:#?}");
    assert_eq!((tree.at("fifo").kind, tree.at("fifo").owner), ("fifo", (3, 4)));
    assert_eq!(tree.at("after").content, Some(digest(b"x")));
}

/// VFS_CAP_REVISION_2 with CAP_NET_BIND_SERVICE; see capabilities(7).
const CAPABILITY: [u8; 20] =
    [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn extended_attributes_and_capabilities_are_kept() {
    as_root_and_as_user(|store| {
        // A chown(2) after the setxattr(2) would remove the capability.
        let tree = data_in_container(
            store,
            data_dir()
                .with(
                    Entry::file("data/x", "x")
                        .mode(0o755)
                        .owner(33, 34)
                        .xattr("user.text", "value")
                        .xattr("user.bytes", b"\0=\n\xff")
                        .xattr("user.empty", "")
                        .xattr("security.capability", CAPABILITY),
                )
                .with(Entry::dir("data/d").xattr("user.of-dir", "1"))
                .with(
                    Entry::file("data/libarchive", "")
                        .pax("LIBARCHIVE.xattr.user.b64", "dmFsdWU="),
                ),
        );
        let mut found = tree.at("x").xattrs.clone();
        let capability = found.remove("security.capability").expect("a capability");
        match store {
            TestStore::Root(_) => assert_eq!(capability, CAPABILITY),
            // Revision 3: the kernel adds the id that root of the user namespace has
            // outside.
            TestStore::User(user) => {
                assert_eq!((capability[3], capability.len()), (3, 24));
                assert_eq!(capability[20..], user.uid.to_le_bytes());
            }
        }
        let user: BTreeMap<String, Vec<u8>> = [
            ("user.bytes".to_owned(), b"\0=\n\xff".to_vec()),
            ("user.empty".to_owned(), Vec::new()),
            ("user.text".to_owned(), b"value".to_vec()),
        ]
        .into();
        assert_eq!(found, user);
        assert_eq!(tree.at("d").xattrs["user.of-dir"], b"1");
    });
}

/// Overlayfs would take these attributes of an image for ones that it has set.
#[test]
fn overlayfs_attributes_of_an_image_are_left_out() {
    as_root_and_as_user(|store| {
        let below =
            data_dir().with(Entry::file("data/below", "")).with(Entry::dir("data/d"));
        let below = below.with(Entry::file("data/d/kept", "")).end();
        let above = Archive::new()
            .with(
                Entry::dir("data/d")
                    .xattr("user.overlay.opaque", "y")
                    .xattr("trusted.overlay.opaque", "y"),
            )
            .with(
                Entry::file("data/x", "x")
                    .xattr("user.overlay.redirect", "/etc")
                    .xattr("trusted.overlay.redirect", "/etc")
                    .xattr("user.overlay.metacopy", "")
                    .xattr("trusted.overlay.metacopy", ""),
            )
            .end();
        let layers = [minimal_layer(), below, above];
        let layout = Layout::of("small:1", &layers, Compression::Gzip);
        let ran = store.try_load(layout.tar());
        ran.exits(0).assert_stderr_contains("overlay");
        let tree = store.tree_in_container("small:1", "/data");
        assert!(tree.has("d/kept") && tree.has("below"), "{tree:#?}");
        assert_eq!(tree.at("x").content, Some(digest(b"x")));
        let on_disk = xattrs(&store.layer(&layers).join("data/x"));
        assert!(!on_disk.keys().any(|name| name.contains("overlay.")), "{on_disk:?}");
    });
}

#[test]
fn a_later_entry_replaces_an_earlier_one() {
    as_root_and_as_user(|store| {
        let tree = data_in_container(
            store,
            data_dir()
                .with(Entry::file("data/twice", "first").mode(0o4755).owner(1, 1))
                .with(Entry::file("data/twice", "second").mode(0o600).owner(2, 2))
                .with(Entry::dir("data/was-dir"))
                .with(Entry::file("data/was-dir/x", ""))
                .with(Entry::file("data/was-dir", "now a file"))
                .with(Entry::file("data/was-file", ""))
                .with(Entry::dir("data/was-file"))
                .with(Entry::file("data/was-file/x", "in it"))
                .with(Entry::symlink("data/was-link", "/etc"))
                .with(Entry::dir("data/was-link"))
                .with(Entry::file("data/was-link/x", "in it"))
                .with(Entry::file("data/one", "shared"))
                .with(Entry::hard_link("data/other", "data/one"))
                .with(Entry::file("data/one", "alone"))
                .with(Entry::file("data/in/of-nobody", ""))
                .with(Entry::dir("data/in").mode(0o700).owner(4, 5)),
        );
        let content = |name: &str| tree.at(name).content.clone();
        assert_eq!(
            (content("twice"), tree.at("twice").mode),
            (Some(digest(b"second")), 0o600)
        );
        assert_eq!(tree.at("twice").owner, (2, 2));
        assert_eq!(
            (content("was-dir"), tree.has("was-dir/x")),
            (Some(digest(b"now a file")), false)
        );
        assert_eq!(
            (content("was-file/x"), content("was-link/x")),
            (Some(digest(b"in it")), Some(digest(b"in it")))
        );
        assert_eq!(
            (content("one"), content("other")),
            (Some(digest(b"alone")), Some(digest(b"shared")))
        );
        assert_eq!(tree.at("other").nlink, 1);
        assert_eq!((tree.at("in").mode, tree.at("in").owner), (0o700, (4, 5)));
    });
}

#[test]
fn an_implied_directory_belongs_to_root_and_has_mode_755() {
    as_root_and_as_user(|store| {
        let tree = data_in_container(
            store,
            Archive::new().with(Entry::file("data/a/b/c", "x").owner(7, 7).mode(0o600)),
        );
        for name in [".", "a", "a/b"] {
            assert_eq!(
                (tree.at(name).owner, tree.at(name).mode),
                ((0, 0), 0o755),
                "{name}"
            );
        }
    });
}

/// The archive lists a file in the directory, and not the directory.
#[test]
fn an_implied_directory_has_the_metadata_of_the_layer_below() {
    as_root_and_as_user(|store| {
        let below = data_dir()
            .with(
                Entry::dir("data/d")
                    .mode(0o3750)
                    .owner(5, 6)
                    .mtime_in_full("77.5")
                    .xattr("user.a", "b"),
            )
            .with(Entry::file("data/d/below", ""))
            .with(Entry::dir("./").mode(0o751));
        let middle = Archive::new().with(Entry::file("unrelated", ""));
        let above = Archive::new().with(Entry::file("data/d/above", "x"));
        let more = Archive::new().with(Entry::whiteout("data/d/below"));
        let layers = [below, middle, above, more].map(Archive::end);
        store.load_on_minimal_layer(&layers);
        let tree = store.tree_in_container("small:1", "/data");
        let node = tree.at("d");
        assert_eq!((node.mode, node.owner), (0o3750, (5, 6)));
        assert_eq!(node.xattrs.get("user.a").map(Vec::as_slice), Some(&b"b"[..]));
        assert!(tree.has("d/above") && !tree.has("d/below"));
        store
            .sh("small:1", &[], "stat -c %a /tmp; stat -c %a:%u /")
            .assert_stdout("1777\n751:0");
    });
}

#[test]
fn the_root_directory_has_the_mode_and_the_owner_of_the_archive() {
    as_root_and_as_user(|store| {
        let top = Archive::new()
            .with(Entry::dir("./").mode(0o751).owner(11, 12).mtime_in_full("99.5"));
        store.import([top.without_end(), minimal_layer()].concat(), "small:1");
        store
            .sh("small:1", &[], "stat -c '%a %u:%g %Y' /")
            .assert_stdout("751 11:12 99");
    });
}
