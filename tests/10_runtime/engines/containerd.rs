//! A containerd of the test's own.

use super::{Place, image};

/// The programs that a test with containerd needs.
pub const TOOLS: [&str; 3] = ["containerd", "ctr", "containerd-shim-runc-v2"];

/// Starts containerd with these lines in its configuration.
#[track_caller]
pub fn start(place: &Place, config: &str) {
    let opt = place.path("opt");
    let config = format!(
        "version = 2\n{config}\n[plugins.\"io.containerd.internal.v1.opt\"]\npath = \"{opt}\"\n"
    );
    let config = place.file("containerd.toml", config);
    let address = address(place);
    let mut daemon = vec!["containerd".to_owned()];
    for (option, value) in [
        ("--config", config.as_str()),
        ("--root", &place.path("containerd")),
        ("--state", "/run/containerd"),
        ("--address", &address),
    ] {
        daemon.extend([option.to_owned(), value.to_owned()]);
    }
    place.start_daemon(&daemon, &["ctr", "--address", &address, "version"]);
}

/// Imports the image into a namespace of containerd.
#[track_caller]
pub fn import(place: &Place, namespace: &str) {
    let archive = place.file("image.tar", image::oci_archive());
    let ctr = ["ctr", "--address", &address(place), "--namespace", namespace];
    place.call(&[&ctr[..], &["images", "import", &archive]].concat()).exits(0);
}

/// Returns the path of its socket.
pub fn address(place: &Place) -> String {
    place.path("containerd.sock")
}
