//! The rates at which a container may read and write a block device.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kiste_tests::{Running, host};

use crate::fixture;
use crate::kernel::by_version;

/// Returns the path of a disk in /dev, and its number as the kernel writes it. It is
/// the smallest disk, such as a loop device without a file, since a limit makes the
/// kernel count all I/O of the disk from then on.
fn disk() -> Option<(PathBuf, String)> {
    let mut disks: Vec<_> = fs::read_dir("/sys/block").ok()?.flatten().collect();
    let size = |disk: &fs::DirEntry| {
        let sectors = fs::read_to_string(disk.path().join("size"));
        sectors.ok().and_then(|text| text.trim().parse::<u64>().ok())
    };
    disks.sort_by_key(size);
    disks.into_iter().find_map(|disk| {
        let number = fs::read_to_string(disk.path().join("dev")).ok()?;
        let path = Path::new("/dev").join(disk.file_name());
        path.exists().then(|| (path, number.trim().to_string()))
    })
}

/// Reads the rate of a device back from the kernel. `key` names the kind of rate in
/// io.max, and `file` does so on version 1.
fn rate(running: &Running, number: &str, key: &str, file: &str) -> Option<String> {
    let file = by_version("io.max".into(), format!("blkio.throttle.{file}_device"));
    let text = host::cgroup_value(running.pid, &file)?;
    let line =
        text.lines().find_map(|line| line.strip_prefix(&format!("{number} ")))?;
    let of_key = |word: &str| Some(word.strip_prefix(key)?.strip_prefix('=')?.into());
    by_version(line.split(' ').find_map(of_key), Some(line.to_string()))
}

#[test]
fn the_kernel_keeps_each_rate_of_a_device() {
    let Some(fixture) = fixture() else { return };
    let Some((path, number)) = disk() else { return };
    let kinds = [
        ("bps", "5m", "5242880", "rbps", "read_bps", "--device-read-bps"),
        ("bps", "1024", "1024", "wbps", "write_bps", "--device-write-bps"),
        ("iops", "900", "900", "riops", "read_iops", "--device-read-iops"),
        ("iops", "80", "80", "wiops", "write_iops", "--device-write-iops"),
    ];
    let mut options = Vec::new();
    for (_, rate, _, _, _, option) in kinds {
        options.extend([option.to_string(), format!("{}:{rate}", path.display())]);
    }
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let running = fixture.start(&options, &["sleep", "100"]);
    for (_, _, expected, key, file, option) in kinds {
        let kept = rate(&running, &number, key, file);
        assert_eq!(kept.as_deref(), Some(expected), "{option}");
    }
    drop(running);
    let unlimited = format!("{}:0", path.display());
    let running = fixture.start(&["--device-read-bps", &unlimited], &["sleep", "100"]);
    let kept = rate(&running, &number, "rbps", "read_bps");
    assert!(matches!(kept.as_deref(), None | Some("max")), "{kept:?}");
}

/// A partition is refused too: it shares the queue of its disk.
#[test]
fn a_rate_for_a_path_that_is_no_disk_is_refused_and_nothing_is_made() {
    let Some(fixture) = fixture() else { return };
    for (rate, words) in [
        ("/dev/null:1m", "/dev/null is no block device"),
        ("/dev/no-such-disk:1m", "stat /dev/no-such-disk"),
    ] {
        let ran = fixture.run(&["--device-read-bps", rate], &["touch", "/ran"]);
        ran.exits(125).assert_stderr_contains(words).assert_stderr_contains("lsblk");
    }
    if let Some(partition) = partition() {
        let rate = format!("{}:1m", partition.display());
        let ran = fixture.run(&["--device-write-bps", &rate], &["touch", "/ran"]);
        ran.exits(125)
            .assert_stderr_contains("ENODEV")
            .assert_stderr_contains("not for a partition");
    }
    assert!(!fixture.rootfs().join("ran").exists());
    assert!(!fixture.run_dirs().exists(), "nothing is left");
}

fn partition() -> Option<PathBuf> {
    let all = fs::read_dir("/sys/class/block").ok()?.flatten();
    let partitions = all.into_iter().filter(|it| it.path().join("partition").exists());
    let path = partitions.map(|it| Path::new("/dev").join(it.file_name())).next()?;
    path.metadata().is_ok_and(|it| it.rdev() != 0).then_some(path)
}
