//! Archives that are compressed by xz and bzip2, as many root file systems are.

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image;
use serde_json::json;

use crate::test_store::{as_root_and_as_user, root};

/// The archive of [`uncompressed`], after xz(1).
const XZ: &str = "\
    fd377a585a000004e6d6b446020021010c0000008f98419ce007ff00495d00331a49d6b63821\
    af01ee6e0214890636ae8cf8c5d82fe310621793e682d2dbdcf68a2bfce727eda4f31161f566\
    5676039251e068ff8f8b0cf99ba70630c488efa06cd9fa07f79ce200000000000ff07e78a579\
    8019000165801000000039ad937ab1c467fb020000000004595a";
/// The archive of [`uncompressed`], after bzip2(1).
const BZIP2: &str = "\
    425a6839314159265359faf1fae40000365b90c9004000678400046b259e0004000018200054\
    568000000d062804d07a9a0034193ff23c880453b8d566a8240840a58e4e25e812ce64055426\
    5638ee4266b3047da30eb78ef383e128c803e2ee48a70a121f5e3f5c80";
/// The bytes of [`XZ`], with a header that asks for 1.5 GiB of memory.
const XZ_OF_1536_MIB: &str = "\
    fd377a585a000004e6d6b44602002101250000003b787b41e007ff00495d00331a49d6b63821\
    af01ee6e0214890636ae8cf8c5d82fe310621793e682d2dbdcf68a2bfce727eda4f31161f566\
    5676039251e068ff8f8b0cf99ba70630c488efa06cd9fa07f79ce200000000000ff07e78a579\
    8019000165801000000039ad937ab1c467fb020000000004595a";

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn uncompressed() -> Vec<u8> {
    Archive::new().with(Entry::file("file", "content")).end()
}

#[test]
fn a_root_file_system_may_be_compressed_by_xz_or_bzip2() {
    as_root_and_as_user(|store| {
        let layer = store.layer(&[uncompressed()]);
        for hex in [XZ, BZIP2] {
            store.import(bytes(hex), "small:1");
            assert_eq!(std::fs::read(layer.join("file")).unwrap(), b"content");
            // No media type says xz or bzip2, so the layer is saved without
            // compression.
            let file = store.dir().join("saved.tar");
            store.call(&["save", "-o", file.to_str().unwrap(), "small:1"]).exits(0);
            let saved = std::fs::read(&file).unwrap();
            let plain = uncompressed();
            assert!(saved.windows(plain.len()).any(|window| window == plain));
            store.call(&["rmi", "small:1"]).exits(0);
            store.gc().exits(0);
        }
    });
}

#[test]
fn an_archive_of_images_may_be_compressed_by_xz_or_bzip2() {
    let Some(store) = root() else { return };
    for hex in [XZ, BZIP2] {
        store
            .try_load(bytes(hex))
            .exits(1)
            .assert_stderr_contains("there is no image in it");
    }
}

/// `docker load` takes a layer however it is compressed.
#[test]
fn a_layer_of_a_docker_archive_may_be_compressed_by_xz() {
    let Some(store) = root() else { return };
    let archive = image::docker_archive(&["small:1"], &[uncompressed()], &json!({}));
    let (at, plain) = (position(&archive, &uncompressed()), uncompressed());
    // The tar header of the layer needs the size of the compressed layer.
    let layer = Entry::file("layer.tar", bytes(XZ)).bytes();
    let mut header = archive[at - 512..at].to_vec();
    header[124..136].copy_from_slice(&layer[124..136]);
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let whole = [
        &archive[..at - 512],
        &header,
        &layer[512..],
        &archive[at + plain.len().next_multiple_of(512)..],
    ]
    .concat();
    assert_eq!(store.load(whole), ["Loaded small:1"]);
}

fn position(all: &[u8], part: &[u8]) -> usize {
    all.windows(part.len()).position(|window| window == part).unwrap()
}

#[test]
fn a_damaged_archive_or_one_that_needs_much_memory_is_refused() {
    let Some(store) = root() else { return };
    let half = |hex: &str| bytes(hex)[..hex.len() / 4].to_vec();
    for archive in [half(XZ), half(BZIP2), bytes(XZ_OF_1536_MIB)] {
        store.try_import(archive).exits(1);
        store.assert_empty("a damaged archive");
    }
}
