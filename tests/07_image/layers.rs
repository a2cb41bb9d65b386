//! Many layers, shared layers, and store paths with characters that have a meaning in
//! overlayfs's mount options.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::{Compression, Layout};
use kiste_tests::require_tool;
use serde_json::json;

use crate::minimal_layer::minimal_layer;
use crate::test_store::{as_root_and_as_user, root};

fn layer(number: usize) -> Vec<u8> {
    let own = Entry::file(format!("layers/{number}"), number.to_string());
    Archive::new()
        .with(Entry::dir("layers"))
        .with(own)
        .with(Entry::file("top", number.to_string()))
        .end()
}

#[test]
fn a_hundred_and_twenty_eight_layers_make_one_root_file_system() {
    as_root_and_as_user(|store| {
        let layers: Vec<_> = (1..128).map(layer).collect();
        store.load_on_minimal_layer(&layers);
        assert_eq!(store.names_in("layers").len(), 128);
        store.sh(
            "small:1",
            &[],
            "cat /top; echo; ls /layers | wc -l; echo x > /layers/1 && rm /layers/2 && ls /layers | wc -l",
        )
        .assert_stdout("127\n127\n126");
        store.sh("small:1", &[], "cat /layers/1 /layers/127").assert_stdout("1127");
    });
}

#[test]
fn a_layer_that_two_images_share_is_stored_once() {
    as_root_and_as_user(|store| {
        let mut layout = Layout::new();
        layout.image(
            "a:1",
            &[minimal_layer(), layer(1), layer(2)],
            Compression::Gzip,
            &json!({}),
        );
        layout.image(
            "b:1",
            &[minimal_layer(), layer(1), layer(3)],
            Compression::Gzip,
            &json!({}),
        );
        store.load(layout.tar());
        // A layer with another compression is still the same layer.
        store.load(
            Layout::of("c:1", &[minimal_layer(), layer(1)], Compression::Zstd).tar(),
        );
        assert_eq!(store.names_in("layers").len(), 4);
        for (name, top) in [("a:1", "2"), ("b:1", "3"), ("c:1", "1")] {
            store.run(name, &[], &["cat", "/top"]).assert_stdout(top);
        }
        store.call(&["rmi", "a:1"]).exits(0);
        store.gc().exits(0);
        assert_eq!(
            store.names_in("layers").len(),
            3,
            "only the layer that no other image has is gone"
        );
        store.run("b:1", &[], &["cat", "/top"]).assert_stdout("3");
        store.call(&["rmi", "b:1", "c:1"]).exits(0);
        store.gc().exits(0);
        store.assert_empty("rmi of all");
    });
}

#[test]
fn a_stored_layer_is_not_unpacked_again() {
    let Some(store) = root() else { return };
    store.load_on_minimal_layer(&[]);
    let path = store.layer(&[minimal_layer()]);
    let inode = || fs::metadata(&path).unwrap().ino();
    let before = inode();
    store.load(
        Layout::of("other:1", &[minimal_layer(), layer(1)], Compression::Zstd).tar(),
    );
    assert_eq!(inode(), before);
    assert_eq!(store.names_in("tmp"), [""; 0]);
}

/// The kernel then makes the files of a layer where no other layer was removed a moment
/// ago.
#[test]
fn layers_are_spread_over_an_ext4_disk() {
    let Some(store) = root() else { return };
    if !require_tool("stat") || !require_tool("lsattr") {
        return;
    }
    store.import(minimal_layer(), "small:1");
    let output = |program: &mut Command| {
        let output = program.arg(store.path().join("tmp")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    if output(Command::new("stat").args(["-f", "-c", "%T"])) == "ext2/ext3\n" {
        let flags = output(Command::new("lsattr").arg("-d"));
        assert!(flags.split(' ').next().unwrap().contains('T'), "{flags}");
    }
}

/// Builders make images that have the same empty layer several times. Overlayfs refuses
/// to take the same lower directory twice.
#[test]
fn an_image_can_have_the_same_layer_twice() {
    as_root_and_as_user(|store| {
        let empty = Archive::new().end();
        store.load_on_minimal_layer(&[
            layer(1),
            empty.clone(),
            layer(2),
            empty.clone(),
            layer(1),
            empty,
        ]);
        store.sh("small:1", &[], "cat /top; ls /layers").assert_stdout("11\n2");
    });
}

#[test]
fn a_store_can_be_at_any_path() {
    as_root_and_as_user(|store| {
        store.let_others_enter();
        let file = store.file(
            "layout.tar",
            Layout::of(
                "small:1",
                &[minimal_layer(), layer(1), layer(2)],
                Compression::Gzip,
            )
            .tar(),
        );
        for name in [
            "a:b",
            "a,b",
            "a\\b",
            "a b",
            "a\\:b,upperdir=x",
            "caf\u{e9}",
            "new\nline",
            "quo\"te",
            "%",
            "a=b:c",
        ] {
            let parent = store.dir().join(name);
            fs::create_dir(&parent).unwrap();
            store.chown_to_owner(&parent);
            let store_path = parent.join("store");
            let store_path = store_path.to_str().unwrap();
            store
                .call_exactly(&["load", "--store", store_path, file.to_str().unwrap()])
                .assert_stdout("Loaded small:1");
            let script = "cat /top; echo x > /top; ls /layers | wc -l";
            let ran =
                store.run("small:1", &["--store", store_path], &["sh", "-c", script]);
            ran.assert_stdout("22");
            let ran = store.call_exactly(&["images", "--store", store_path]);
            assert!(ran.exits(0).out.contains("small"), "{ran:?}");
        }
        // The path may also be relative.
        store
            .call_exactly(&["load", "--store", "relative", file.to_str().unwrap()])
            .exits(0);
        store
            .run("small:1", &["--store", "./relative"], &["cat", "/top"])
            .assert_stdout("2");
    });
}
