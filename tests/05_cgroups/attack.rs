//! Attacks by the image before the command runs: the descriptors of the runtime must
//! not lead out of the container.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::fixture;

/// CVE-2024-21626. The runtime has directories of the host open until shortly before
/// the exec: the run directory and the cgroup.
#[test]
fn no_link_in_the_image_leads_out_through_a_descriptor_of_the_runtime() {
    let Some(fixture) = fixture() else { return };
    let outside = fixture.dir().join("outside");
    fs::write(&outside, "#!/bin/sh\necho outside\n").unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o755)).unwrap();
    let link = fixture.rootfs().join("bin/way-out");
    for number in 3..12 {
        let _ = fs::remove_file(&link);
        symlink(
            format!("/proc/self/fd/{number}/{}{}", "../".repeat(12), outside.display()),
            &link,
        )
        .unwrap();
        let ran = fixture.run(&[], &["way-out"]);
        assert!(
            ran.code == 127 && !ran.out.contains("outside"),
            "descriptor {number}: {ran:?}"
        );
    }
}

/// The caller may pass a directory of the host as stdin. The command must not start in
/// it.
#[test]
fn a_directory_that_the_caller_passes_as_stdin_cannot_be_the_workdir() {
    let Some(fixture) = fixture() else { return };
    let arguments = fixture.arguments(&["-w", "/proc/self/fd/0"], &["pwd"]);
    let quoted: Vec<_> =
        arguments.iter().map(|word| format!("'{}'", word.display())).collect();
    // The rootfs as well: the descriptor reaches it through a mount of the host.
    for directory in [fixture.rootfs(), fixture.dir()] {
        // `$0` is the runtime.
        let ran = fixture.run_through_shell(&format!(
            "exec \"$0\" {} <{}",
            quoted.join(" "),
            directory.display()
        ));
        ran.exits(125).assert_stderr_contains("it leads out of the container");
    }
}

#[test]
fn a_fifo_in_place_of_a_program_does_not_block_the_start() {
    let Some(fixture) = fixture() else { return };
    let fifo = fixture.rootfs().join("bin/fifo");
    mkfifo(&fifo, Mode::from_bits_truncate(0o755)).unwrap();
    fixture.run(&[], &["/bin/fifo"]).exits(126);
    let script = fixture.rootfs().join("bin/script");
    fs::write(&script, "#!/bin/fifo\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    fixture.run(&[], &["script"]).exits(126);
}
