//! CVE-2024-9676, CVE-2026-135844: the runtime reads /etc/passwd or /etc/group of the
//! image, which has no end, or is a FIFO, or a link to a file of the host.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::conformance::bundle::{Bundle, ID};

/// The address space that the runtime may use: much less than the file has.
const MEMORY: u64 = 1 << 30;
/// The size of the file.
const SIZE: u64 = 64 << 30;

/// Makes a bundle whose runtime has little memory, without these two files.
fn bundle() -> Option<Bundle> {
    let mut bundle = Bundle::of_script("echo up; exec sleep 1000")?;
    bundle.starter = vec!["prlimit".into(), format!("--as={MEMORY}")];
    for file in ["etc/passwd", "etc/group"] {
        fs::remove_file(bundle.rootfs().join(file)).unwrap();
    }
    Some(bundle)
}

/// Runs a container and a command in it. Whether they work or are refused is up to the
/// runtime; they end, and within their memory.
#[track_caller]
fn assert_ends(bundle: &Bundle) {
    let created = bundle.create();
    assert!(!created.err.contains("memory"), "{created:?}");
    if created.code == 0 {
        bundle.call(&["start", ID]).exits(0);
        bundle.wait_for_output("up");
        for user in ["0", "1000"] {
            let ran = bundle.exec(&["--user", user], &["sh", "-c", "echo $HOME"]);
            assert!(!ran.err.contains("memory"), "{ran:?}");
            assert!(!ran.out.contains("of-the-host"), "{ran:?}");
        }
    }
    let _ = bundle.call(&["delete", "--force", ID]);
}

#[test]
fn a_huge_passwd_takes_no_memory() {
    let Some(bundle) = bundle() else { return };
    for file in ["etc/passwd", "etc/group"] {
        File::create(bundle.rootfs().join(file)).unwrap().set_len(SIZE).unwrap();
    }
    assert_ends(&bundle);
}

#[test]
fn a_passwd_that_is_a_fifo_or_a_device_is_not_waited_for() {
    let Some(bundle) = bundle() else { return };
    for file in ["etc/passwd", "etc/group"] {
        mkfifo(&bundle.rootfs().join(file), Mode::S_IRWXU).unwrap();
    }
    assert_ends(&bundle);
    for file in ["etc/passwd", "etc/group"] {
        fs::remove_file(bundle.rootfs().join(file)).unwrap();
        symlink("/dev/zero", bundle.rootfs().join(file)).unwrap();
    }
    assert_ends(&bundle);
}

#[test]
fn a_passwd_that_is_a_link_to_the_host_is_not_read() {
    let Some(bundle) = bundle() else { return };
    let of_host = bundle.dir().join("passwd-of-the-host");
    fs::write(
        &of_host,
        "root:x:0:0::/of-the-host:/bin/sh\nu:x:1000:0::/of-the-host:\n",
    )
    .unwrap();
    symlink(Path::new(&of_host), bundle.rootfs().join("etc/passwd")).unwrap();
    assert_ends(&bundle);
}
