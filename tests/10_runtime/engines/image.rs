//! The image that all engines run: busybox, and a name for root.

use std::sync::OnceLock;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::host;
use kiste_tests::image::{Compression, Layout, docker_archive};
use serde_json::json;

/// The image's name.
pub const NAME: &str = "localhost/box:1";
/// The name of the image whose container holds the namespaces of a pod.
pub const PAUSE: &str = "localhost/pause:1";

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1001::/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nalice:x:1001:\naudio:x:18:alice\n";

/// Returns both images as an archive of an OCI layout, which containerd imports.
pub fn oci_archive() -> Vec<u8> {
    let mut layout = Layout::new();
    layout.image(NAME, &[layer()], Compression::Plain, &config(&["sh"]));
    layout.image(PAUSE, &[layer()], Compression::Plain, &config(&["sleep", "1000"]));
    layout.tar()
}

/// Returns the image as `docker save` writes it, which Docker and Podman load.
pub fn docker_format_archive() -> Vec<u8> {
    docker_archive(&[NAME], &[layer()], &config(&["sh"]))
}

fn config(command: &[&str]) -> serde_json::Value {
    json!({ "Env": ["PATH=/usr/bin:/bin", "FROM=image"], "Cmd": command })
}

/// The commands of busybox that the tests use. Podman's driver `vfs` copies the whole
/// image for each container, so there is nothing else.
const COMMANDS: [&str; 31] = [
    "awk", "cat", "chroot", "cut", "date", "echo", "env", "grep", "head", "hostname",
    "id", "kill", "ls", "mkdir", "mknod", "mount", "ps", "pwd", "readlink", "sh",
    "sleep", "sort", "stty", "test", "touch", "tr", "true", "tty", "umount", "unshare",
    "wc",
];

/// Returns a layer with the host's static busybox and links for its commands.
fn layer() -> Vec<u8> {
    static LAYER: OnceLock<Vec<u8>> = OnceLock::new();
    LAYER.get_or_init(make_layer).clone()
}

fn make_layer() -> Vec<u8> {
    let busybox = host::find("busybox").expect("require_tool has found it");
    let mut archive = Archive::new();
    for dir in ["bin", "dev", "etc", "proc", "root", "sys", "tmp"] {
        let mode = if dir == "tmp" { 0o1777 } else { 0o755 };
        archive = archive.with(Entry::dir(dir).mode(mode));
    }
    let bytes = std::fs::read(busybox).expect("read busybox");
    archive = archive.with(Entry::file("bin/busybox", bytes).mode(0o755));
    for name in COMMANDS {
        archive = archive.with(Entry::symlink(format!("bin/{name}"), "busybox"));
    }
    archive
        .with(Entry::file("etc/passwd", PASSWD))
        .with(Entry::file("etc/group", GROUP))
        .end()
}
