//! Names and sparse files in every format that tar archives have for them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use kiste_tests::archive::Entry;
use kiste_tests::image::digest;
use kiste_tests::{Tree, require_tool};

use crate::exact::{data_dir, data_in_container};
use crate::test_store::{as_root_and_as_user, root};

/// GNU tar wrote these formats until 2006. A program that does not know them takes the
/// file for an ordinary one and unpacks wrong data, so the file is refused.
#[test]
fn a_sparse_file_of_an_older_format_is_refused() {
    as_root_and_as_user(|store| {
        for version in ["0.0", "0.1"] {
            let entry = Entry::sparse_pax(version, "data/x", &[(9, b"x")], 20);
            store
                .try_import(data_dir().with(entry).end())
                .exits(1)
                .assert_stderr_contains(
                    "entry \"data/x\": it is a sparse file in a format",
                )
                .assert_stderr_contains("--sparse-version=1.0");
            store.assert_empty("a sparse file of an older format");
        }
    });
}

#[test]
fn sparse_files_have_their_holes_and_their_data() {
    as_root_and_as_user(|store| {
        const SIZE: u64 = 64 << 20;
        let pieces: [(u64, &[u8]); 3] =
            [(0, b"begin"), (1 << 20, &[7; 5000]), (SIZE - 3, b"end")];
        let mut content = vec![0; SIZE as usize];
        for (offset, data) in pieces {
            content[offset as usize..][..data.len()].copy_from_slice(data);
        }
        let content = digest(&content);
        let hole: [(u64, &[u8]); 1] = [(SIZE, b"")];
        let mut archive = data_dir()
            .with(Entry::sparse_gnu("data/gnu", &pieces, SIZE))
            .with(Entry::sparse_gnu("data/gnu-hole", &hole, SIZE));
        archive = archive
            .with(Entry::sparse_pax("1.0", "data/pax", &pieces, SIZE))
            .with(Entry::sparse_pax("1.0", "data/pax-hole", &hole, SIZE));
        let tree =
            data_in_container(store, archive.with(Entry::file("data/after", "after")));
        let zeros = digest(&vec![0; SIZE as usize]);
        let layer = store.names_in("layers").into_iter().find_map(|name| {
            let path = store.path().join("layers").join(name).join("data");
            path.exists().then_some(path)
        });
        for name in ["gnu", "pax", "gnu-hole", "pax-hole"] {
            let node = tree.at(name);
            let expected = if name.contains("hole") { &zeros } else { &content };
            assert_eq!(
                (node.size, node.content.as_ref()),
                (SIZE, Some(expected)),
                "{name}"
            );
            let blocks =
                fs::metadata(layer.as_ref().unwrap().join(name)).unwrap().blocks();
            assert!(
                blocks * 512 < 1 << 20,
                "{name} takes {} KiB of the disk",
                blocks / 2
            );
        }
        assert_eq!(tree.at("after").content, Some(digest(b"after")));
    });
}

#[test]
fn long_names_of_every_format_are_unpacked_whole() {
    as_root_and_as_user(|store| {
        let long = |letter: &str| {
            format!("data/{0}/{0}{1}", letter.repeat(150), letter.repeat(100))
        };
        fn prefix(header: &mut [u8; 512]) {
            header[345..345 + 104]
                .copy_from_slice(&[b"data/".as_slice(), &[b'u'; 99]].concat());
        }
        let tree = data_in_container(
            store,
            data_dir()
                .with(Entry::file("", "gnu").gnu_long_name(long("g")))
                .with(Entry::file("x", "pax").pax("path", long("p")))
                .with(Entry::file("u".repeat(98), "ustar").edit(prefix))
                .with(Entry::file(
                    format!("data/{}", "n".repeat(95)),
                    "100 bytes, and no zero",
                ))
                .with(Entry::file("", "").gnu_long_name(long("t")))
                .with(Entry::hard_link("data/short", "").gnu_long_link(long("t"))),
        );
        let long = |letter: &str| long(letter)["data/".len()..].to_owned();
        let ustar = format!("{}/{}", "u".repeat(99), "u".repeat(98));
        for (name, content) in [
            (long("g"), "gnu"),
            (long("p"), "pax"),
            (ustar, "ustar"),
            ("n".repeat(95), "100 bytes, and no zero"),
        ] {
            assert_eq!(
                tree.at(&name).content,
                Some(digest(content.as_bytes())),
                "{name}"
            );
        }
        assert_eq!(tree.at("short").nlink, 2);
    });
}

#[test]
fn a_path_of_almost_4096_bytes_is_created() {
    let Some(store) = root() else { return };
    let part = "d".repeat(200);
    let names: Vec<&str> = std::iter::repeat_n(part.as_str(), 19).collect();
    let deep = names.join("/");
    let tree = data_in_container(
        &store,
        data_dir().with(Entry::file("x", "deep").pax("path", format!("data/{deep}/x"))),
    );
    assert_eq!(tree.at(format!("{deep}/x")).content, Some(digest(b"deep")));
    store.call(&["rmi", "small:1"]).exits(0);
    store.gc().exits(0);
    store.assert_empty("a deep path");
    // PATH_MAX is 4096 bytes.
    let deeper = format!("{deep}/{deep}/x");
    let tar = store.file(
        "deep.tar",
        data_dir().with(Entry::file("x", "deep").pax("path", deeper)).end(),
    );
    store
        .call(&["import", tar.to_str().unwrap(), "deep"])
        .exits(1)
        .assert_stderr_contains("dddd")
        .assert_stderr_contains("a name of 7639 bytes: the most is 4096");
    store.assert_empty("a deeper path");
}

#[test]
fn names_keep_all_their_characters() {
    as_root_and_as_user(|store| {
        let names = [
            "caf\u{e9}",
            "two words",
            "tab\there",
            "new\nline",
            "\\",
            "*?[",
            "-rf",
            "...",
            "..a",
            " ",
            "a:b,c",
            "\u{1b}[31m",
        ];
        let archive = names.iter().fold(data_dir(), |archive, name| {
            archive.with(Entry::file(format!("data/{name}"), name))
        });
        let tree = data_in_container(
            store,
            archive.with(Entry::file("data//a/./b//c", "tidy")),
        );
        for name in names {
            assert_eq!(
                tree.at(name).content,
                Some(digest(name.as_bytes())),
                "{name:?}"
            );
        }
        assert_eq!(tree.at("a/b/c").content, Some(digest(b"tidy")));
    });
}

/// GNU tar packs the same files in each of its formats.
#[test]
fn kiste_and_gnu_tar_unpack_an_archive_alike() {
    if !require_tool("tar") {
        return;
    }
    let Some(store) = root() else { return };
    let (from, to) = (store.dir().join("from"), store.dir().join("to"));
    let script = "set -e; mkdir \"$1\" \"$2\"; cd \"$1\"; mkdir -m 2750 dir; echo text > dir/file; chown 5:6 dir/file
        chmod 4711 dir/file; ln dir/file link; ln -s ../x dir/symlink; chown -h 7:8 dir/symlink; mkfifo fifo
        mknod null c 1 3; truncate -s 5M sparse; echo end >> sparse; echo in | dd of=sparse bs=1 seek=1M conv=notrunc status=none
        long=$(printf 'l%.0s' $(seq 90))/$(printf 'm%.0s' $(seq 90)); mkdir -p $long
        touch -d @1234567.123456789 $long/time dir";
    let made = Command::new("bash")
        .args(["-c", script, "bash"])
        .args([&from, &to])
        .status()
        .unwrap();
    assert!(made.success());
    for format in ["gnu", "pax", "ustar"] {
        let tar = store.dir().join("x.tar");
        let mut pack = Command::new("tar");
        pack.arg(format!("--format={format}"))
            .args(["--numeric-owner", "-cf"])
            .arg(&tar)
            .arg("-C")
            .arg(&from);
        // ustar has no sparse files.
        let pack = if format == "ustar" { &mut pack } else { pack.arg("--sparse") };
        assert!(pack.arg(".").status().unwrap().success());
        fs::remove_dir_all(&to).unwrap();
        fs::create_dir(&to).unwrap();
        let mut unpack = Command::new("tar");
        unpack.args(["--numeric-owner", "-xpf"]).arg(&tar).arg("-C").arg(&to);
        assert!(unpack.status().unwrap().success());
        let bytes = fs::read(&tar).unwrap();
        store.import(&bytes, format);
        Tree::of(&store.layer(&[bytes])).assert_equal(&Tree::of(&to));
    }
}
