//! Many layers, shared layers, and paths with characters that overlayfs's options use.

use std::fs;
use std::os::unix::fs::MetadataExt;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::{Layout, Packed};
use serde_json::json;

use crate::shop::{everywhere, root};
use crate::tiny::tiny;

fn layer(number: usize) -> Vec<u8> {
    let own = Entry::file(format!("layers/{number}"), number.to_string());
    Archive::new()
        .with(Entry::dir("layers"))
        .with(own)
        .with(Entry::file("top", number.to_string()))
        .end()
}

#[test]
fn a_hundred_and_twenty_eight_layers_are_one_root_file_system() {
    everywhere(|shop| {
        let layers: Vec<_> = (1..128).map(layer).collect();
        shop.load_on_tiny(&layers);
        assert_eq!(shop.in_store("layers").len(), 128);
        shop.sh(
            "small:1",
            &[],
            "cat /top; echo; ls /layers | wc -l; echo x > /layers/1 && rm /layers/2 && ls /layers | wc -l",
        )
        .prints("127\n127\n126");
        shop.sh("small:1", &[], "cat /layers/1 /layers/127").prints("1127");
    });
}

#[test]
fn a_layer_that_two_images_share_is_stored_once() {
    everywhere(|shop| {
        let mut layout = Layout::new();
        layout.image("a:1", &[tiny(), layer(1), layer(2)], Packed::Gzip, &json!({}));
        layout.image("b:1", &[tiny(), layer(1), layer(3)], Packed::Gzip, &json!({}));
        shop.load(layout.tar());
        // The compression makes no other layer.
        shop.load(Layout::of("c:1", &[tiny(), layer(1)], Packed::Zstd).tar());
        assert_eq!(shop.in_store("layers").len(), 4);
        for (name, top) in [("a:1", "2"), ("b:1", "3"), ("c:1", "1")] {
            shop.run(name, &[], &["cat", "/top"]).prints(top);
        }
        shop.call(&["rmi", "a:1"]).exits(0);
        shop.gc().exits(0);
        assert_eq!(
            shop.in_store("layers").len(),
            3,
            "its own layer is gone, and no other"
        );
        shop.run("b:1", &[], &["cat", "/top"]).prints("3");
        shop.call(&["rmi", "b:1", "c:1"]).exits(0);
        shop.gc().exits(0);
        shop.holds_nothing("rmi of all");
    });
}

#[test]
fn a_stored_layer_is_not_unpacked_again() {
    let Some(shop) = root() else { return };
    shop.load_on_tiny(&[]);
    let path = shop.layer(&[tiny()]);
    let inode = || fs::metadata(&path).unwrap().ino();
    let before = inode();
    shop.load(Layout::of("other:1", &[tiny(), layer(1)], Packed::Zstd).tar());
    assert_eq!(inode(), before);
    assert_eq!(shop.in_store("tmp"), [""; 0]);
}

/// Builders make such images of empty layers. Overlayfs refuses to take the same lower
/// directory twice.
#[test]
fn an_image_can_have_the_same_layer_twice() {
    everywhere(|shop| {
        let empty = Archive::new().end();
        shop.load_on_tiny(&[
            layer(1),
            empty.clone(),
            layer(2),
            empty.clone(),
            layer(1),
            empty,
        ]);
        shop.sh("small:1", &[], "cat /top; ls /layers").prints("11\n2");
    });
}

#[test]
fn a_store_can_be_at_any_path() {
    everywhere(|shop| {
        shop.open();
        let file = shop.file(
            "layout.tar",
            Layout::of("small:1", &[tiny(), layer(1), layer(2)], Packed::Gzip).tar(),
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
            let place = shop.dir().join(name);
            fs::create_dir(&place).unwrap();
            shop.give(&place);
            let store = place.join("store");
            let store = store.to_str().unwrap();
            shop.exactly(&["load", "--store", store, file.to_str().unwrap()])
                .prints("Loaded small:1");
            let script = "cat /top; echo x > /top; ls /layers | wc -l";
            let ran = shop.run("small:1", &["--store", store], &["sh", "-c", script]);
            ran.prints("22");
            let ran = shop.exactly(&["images", "--store", store]);
            assert!(ran.exits(0).out.contains("small"), "{ran:?}");
        }
        // By a relative path.
        shop.exactly(&["load", "--store", "relative", file.to_str().unwrap()]).exits(0);
        shop.run("small:1", &["--store", "./relative"], &["cat", "/top"]).prints("2");
    });
}
