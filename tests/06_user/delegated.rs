//! Limits without root, in a cgroup that is delegated to the user. These tests need
//! cgroups of version 2, so they run in the virtual machine.

use std::fs;
use std::path::PathBuf;

use kiste_tests::{User, eventually, host};

use crate::this_step;

/// A user, and a cgroup that root has delegated to that user. The user's processes
/// start in the child cgroup `leaf`. When this is dropped, both cgroups are removed.
struct Delegated {
    user: User,
    cgroup: PathBuf,
}

impl Delegated {
    fn make() -> Option<Self> {
        let needs = ["pivot-root", "cgroup-v2", "cgroup-memory", "cgroup-pids"];
        let mut user = User::with_ranges(this_step(), &needs)?;
        let mount = host::cgroup_mounts()
            .into_iter()
            .find(|mount| mount.join("cgroup.controllers").exists())?;
        fs::write(mount.join("cgroup.subtree_control"), "+memory +pids").unwrap();
        let cgroup = mount.join(format!("{}-user", user.fixture().cgroup_parent()));
        fs::create_dir(&cgroup).unwrap();
        fs::create_dir(cgroup.join("leaf")).unwrap();
        for file in [
            "",
            "cgroup.procs",
            "cgroup.subtree_control",
            "cgroup.threads",
            "leaf",
            "leaf/cgroup.procs",
        ] {
            user.chown_to_user(&cgroup.join(file));
        }
        let script =
            format!("echo $$ > {}/leaf/cgroup.procs && exec \"$@\"", cgroup.display());
        user.root_prefix = ["sh", "-c", &script, "sh"].map(String::from).to_vec();
        Some(Delegated { user, cgroup })
    }

    /// Returns the names of the cgroups in the delegated cgroup.
    fn cgroups(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.cgroup).unwrap().map(Result::unwrap);
        let directories = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        directories.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for cgroup in [self.cgroup.join("leaf"), self.cgroup.clone()] {
            let removed = eventually(|| fs::remove_dir(&cgroup).ok());
            assert!(
                removed.is_some() || std::thread::panicking(),
                "rmdir {}",
                cgroup.display()
            );
        }
    }
}

const LIMITS: [&str; 4] = ["-m", "32m", "--pids-limit", "20"];

#[test]
fn a_limit_holds_in_a_delegated_cgroup_and_the_containers_cgroup_is_removed() {
    let Some(delegated) = Delegated::make() else { return };
    let user = &delegated.user;
    for more in [&[][..], &["-u", "bin"], &["--userns", "keep-id"]] {
        let running = user.start(&[&LIMITS[..], more].concat(), &["sleep", "100"]);
        assert_eq!(
            host::cgroup_value(running.pid, "memory.max").as_deref(),
            Some("33554432")
        );
        assert_eq!(host::cgroup_value(running.pid, "pids.max").as_deref(), Some("20"));
        let file = host::cgroup_file(running.pid, "memory.max").unwrap();
        assert!(file.starts_with(&delegated.cgroup), "{}", file.display());
        drop(running);
        assert_eq!(delegated.cgroups(), ["leaf"], "{more:?}");
    }
    let hog = ["dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"];
    user.run(&["-m", "32m"], &hog)
        .exits(137)
        .assert_stderr_contains("killed: out of memory (limit 32MiB");
    user.sh(&LIMITS, "cat /sys/fs/cgroup/pids.max; cut -d: -f3 /proc/self/cgroup")
        .assert_stdout("20\n/");
    assert_eq!(delegated.cgroups(), ["leaf"]);
}

#[test]
fn doctor_says_which_limits_are_delegated() {
    let Some(delegated) = Delegated::make() else { return };
    let ran = delegated.user.call(["doctor"]);
    let at = delegated.cgroup.display();
    for name in ["cgroup-memory", "cgroup-pids", "cgroup-freeze"] {
        let line = ran.exits(0).out.lines().find(|line| line.contains(name)).unwrap();
        let end = format!("delegated to you at {at}");
        assert!(line.starts_with("ok") && line.ends_with(&end), "{line}");
    }
}

#[test]
fn a_limit_of_a_controller_that_is_not_delegated_is_refused() {
    let Some(delegated) = Delegated::make() else { return };
    let ran = delegated.user.run(&["--cpuset-cpus", "0"], &["echo", "it runs"]);
    // The virtual machine may have delegated every controller.
    if ran.code != 0 {
        ran.exits(125).assert_stderr_contains("cpuset");
        assert_eq!(ran.out, "");
    }
    assert_eq!(delegated.cgroups(), ["leaf"]);
}

#[test]
fn gc_removes_what_a_killed_runtime_left_in_a_delegated_cgroup() {
    let Some(delegated) = Delegated::make() else { return };
    let user = &delegated.user;
    let running = user.start(&LIMITS, &["sleep", "100"]);
    let pid = running.pid;
    running.kill_runtime();
    host::assert_exits(pid);
    assert_eq!(delegated.cgroups().len(), 2, "the cgroup of the container is left");
    let ran =
        user.call(["gc", "--run-dir", user.fixture().run_dirs().to_str().unwrap()]);
    assert_eq!(ran.exits(0).out.lines().count(), 1, "{ran:?}");
    assert_eq!(delegated.cgroups(), ["leaf"]);
    assert!(!user.fixture().run_dirs().exists());
}
