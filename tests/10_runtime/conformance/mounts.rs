//! config.md: "Root" and "Mounts"; config-linux.md: "Masked Paths", "Readonly Paths".

use std::fs;

use kiste_tests::host;
use serde_json::json;

use super::bundle::{Bundle, ID};

/// Returns the options of the mount at this point: those of the mount and those of the
/// file system, with the optional fields between (proc_pid_mountinfo(5)).
#[track_caller]
fn options_at(bundle: &Bundle, point: &str) -> Vec<String> {
    let line = host::mount_at(bundle.pid(), point)
        .unwrap_or_else(|| panic!("{point} is no mount point"));
    let (mount, system) = line.split_once(" - ").unwrap();
    let fields = mount.split(' ').skip(5).chain(system.split(' ').skip(2));
    fields.flat_map(|field| field.split(',')).map(String::from).collect()
}

#[test]
fn the_root_is_read_only_if_it_is_asked_for() {
    let Some(mut bundle) = Bundle::new() else { return };
    assert_eq!(bundle.stdout_of("touch /x && echo written"), "written");
    bundle.config["root"]["readonly"] = json!(true);
    bundle.set_script("touch /y");
    let ran = bundle.run();
    ran.exits(1).assert_stderr_contains("Read-only file system");
    assert!(!bundle.rootfs().join("y").exists());
}

#[test]
fn the_path_of_the_root_is_absolute_or_relative_to_the_bundle() {
    let Some(mut bundle) = Bundle::new() else { return };
    fs::write(bundle.rootfs().join("here"), "the root").unwrap();
    for path in
        ["rootfs", "./rootfs", bundle.rootfs().to_str().unwrap()].map(String::from)
    {
        bundle.config["root"]["path"] = json!(path);
        assert_eq!(bundle.stdout_of("cat /here"), "the root", "{path}");
    }
}

#[test]
fn a_root_that_is_missing_or_no_directory_is_refused() {
    let Some(mut bundle) = Bundle::new() else { return };
    for path in ["nosuch", "config.json"] {
        bundle.config["root"]["path"] = json!(path);
        bundle.assert_config_refused();
    }
    bundle.config.as_object_mut().unwrap().remove("root");
    bundle.assert_config_refused();
}

#[test]
fn mounts_are_made_in_the_order_of_the_list() {
    let Some(mut bundle) = Bundle::new() else { return };
    let volume = bundle.dir().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "bound").unwrap();
    let source = volume.to_str().unwrap();
    // The second is below the first; the last covers the one before.
    bundle.add_mount("/mnt", "tmpfs", "tmpfs", &[]);
    bundle.add_mount("/mnt/a", "none", source, &["bind"]);
    bundle.add_mount("/srv", "none", source, &["bind"]);
    bundle.add_mount("/srv", "tmpfs", "tmpfs", &[]);
    assert_eq!(
        bundle.stdout_of("cat /mnt/a/file; ls /mnt /srv"),
        "bound/mnt:\na\n\n/srv:"
    );
}

#[test]
fn a_relative_destination_is_below_the_root() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.add_mount("mnt/relative", "tmpfs", "tmpfs", &[]);
    let found = bundle.stdout_of("grep -c ' /mnt/relative ' /proc/self/mountinfo");
    assert_eq!(found, "1");
}

#[test]
fn a_bind_mount_is_known_by_its_options_and_its_source_may_be_relative() {
    let Some(mut bundle) = Bundle::new() else { return };
    fs::create_dir(bundle.dir().join("volume")).unwrap();
    fs::write(bundle.dir().join("volume/file"), "bound").unwrap();
    fs::write(bundle.dir().join("single"), "a file").unwrap();
    bundle.add_mount("/mnt/a", "tmpfs", "volume", &["bind"]);
    bundle.add_mount("/mnt/b", "none", "volume", &["rbind", "ro"]);
    bundle.add_mount("/mnt/c", "bind", "single", &["bind"]);
    bundle.add(
        "/mounts",
        json!({ "destination": "/mnt/d", "source": "volume", "options": ["bind"] }),
    );
    let script =
        "cat /mnt/a/file /mnt/b/file /mnt/c /mnt/d/file; touch /mnt/b/x || echo ro";
    assert_eq!(bundle.stdout_of(script), "boundbounda fileboundro");
}

#[test]
fn rbind_takes_the_mounts_below_with_it_and_bind_does_not() {
    let Some(mut bundle) = Bundle::new() else { return };
    // /dev/pts is a mount below /dev on every host.
    bundle.add_mount("/mnt/all", "none", "/dev", &["rbind", "rprivate"]);
    bundle.add_mount("/mnt/one", "none", "/dev", &["bind", "private"]);
    let mounted = |at: &str| {
        format!("grep -q ' /mnt/{at}/pts ' /proc/self/mountinfo && echo yes || echo no")
    };
    assert_eq!(bundle.stdout_of(&mounted("all")), "yes");
    assert_eq!(bundle.stdout_of(&mounted("one")), "no");
}

#[test]
fn attributes_of_a_mount_are_set_and_cleared() {
    let Some(mut bundle) = Bundle::of_script("exec sleep 1000") else { return };
    let set = [
        ("ro", "ro"),
        ("nosuid", "nosuid"),
        ("nodev", "nodev"),
        ("noexec", "noexec"),
        ("noatime", "noatime"),
        ("nodiratime", "nodiratime"),
        ("relatime", "relatime"),
    ];
    let cleared = [
        ("rw", "ro"),
        ("suid", "nosuid"),
        ("dev", "nodev"),
        ("exec", "noexec"),
        ("atime", "noatime"),
        ("diratime", "nodiratime"),
        ("strictatime", "relatime"),
    ];
    for (option, _) in set {
        bundle.add_mount(&format!("/mnt/{option}"), "tmpfs", "tmpfs", &[option]);
    }
    for (option, attribute) in cleared {
        // The option that comes last decides.
        let options = [attribute, option];
        bundle.add_mount(&format!("/mnt/{option}"), "tmpfs", "tmpfs", &options);
    }
    bundle.created();
    for (option, attribute) in set {
        let found = options_at(&bundle, &format!("/mnt/{option}"));
        assert!(found.iter().any(|it| it == attribute), "{option}: {found:?}");
    }
    for (option, attribute) in cleared {
        let found = options_at(&bundle, &format!("/mnt/{option}"));
        assert!(!found.iter().any(|it| it == attribute), "{option}: {found:?}");
    }
}

#[test]
fn attributes_hold_on_bind_mounts_too() {
    let Some(mut bundle) = Bundle::of_script("exec sleep 1000") else { return };
    fs::create_dir(bundle.dir().join("volume")).unwrap();
    let options = ["rbind", "ro", "nosuid", "nodev", "noexec", "noatime"];
    bundle.add_mount("/mnt/a", "none", "volume", &options);
    bundle.created();
    let found = options_at(&bundle, "/mnt/a");
    for option in &options[1..] {
        assert!(found.iter().any(|it| it == option), "{option}: {found:?}");
    }
}

#[test]
fn options_of_the_file_system_are_set() {
    let Some(mut bundle) = Bundle::of_script("exec sleep 1000") else { return };
    for option in ["sync", "dirsync"] {
        bundle.add_mount(&format!("/mnt/{option}"), "tmpfs", "tmpfs", &[option]);
    }
    bundle.add_mount("/mnt/async", "tmpfs", "tmpfs", &["sync", "async"]);
    bundle.add_mount("/mnt/data", "tmpfs", "tmpfs", &["size=128k", "mode=0700"]);
    bundle.created();
    for option in ["sync", "dirsync"] {
        let found = options_at(&bundle, &format!("/mnt/{option}"));
        assert!(found.iter().any(|it| it == option), "{option}: {found:?}");
    }
    let found = options_at(&bundle, "/mnt/async");
    assert!(!found.iter().any(|it| it == "sync"), "{found:?}");
    let found = options_at(&bundle, "/mnt/data");
    assert!(found.iter().any(|it| it == "size=128k"), "{found:?}");
}

#[test]
fn every_option_that_a_runtime_must_implement_is_accepted() {
    let Some(mut bundle) = Bundle::new() else { return };
    let mut options = vec![
        "async",
        "atime",
        "dev",
        "diratime",
        "dirsync",
        "exec",
        "iversion",
        "lazytime",
        "loud",
        "noatime",
        "nodev",
        "nodiratime",
        "noexec",
        "noiversion",
        "nolazytime",
        "norelatime",
        "nostrictatime",
        "nosuid",
        "private",
        "relatime",
        "ro",
        "rprivate",
        "rshared",
        "rslave",
        "runbindable",
        "rw",
        "shared",
        "silent",
        "slave",
        "strictatime",
        "suid",
        "sync",
        "unbindable",
    ];
    if bundle.is_ours() {
        options.push("defaults"); // runc 1.1 passes it to the file system
    }
    for option in &options {
        bundle.add_mount(&format!("/mnt/{option}"), "tmpfs", "tmpfs", &[option]);
    }
    let found = bundle.stdout_of("grep -c ' /mnt/' /proc/self/mountinfo");
    assert_eq!(found, options.len().to_string());
}

#[test]
fn the_propagation_of_a_mount_is_that_of_its_options() {
    let Some(mut bundle) = Bundle::of_script("exec sleep 1000") else { return };
    for option in ["private", "shared", "slave", "unbindable"] {
        bundle.add_mount(&format!("/mnt/{option}"), "tmpfs", "tmpfs", &[option]);
        bundle.add_mount(
            &format!("/mnt/r{option}"),
            "tmpfs",
            "tmpfs",
            &[&format!("r{option}")],
        );
    }
    bundle.created();
    for at in ["", "r"] {
        let tags =
            |option: &str| options_at(&bundle, &format!("/mnt/{at}{option}")).join(" ");
        assert!(tags("shared").contains("shared:"), "{}", tags("shared"));
        assert!(tags("unbindable").contains("unbindable"), "{}", tags("unbindable"));
        for option in ["private", "slave"] {
            assert!(!tags(option).contains("shared:"), "{}", tags(option));
        }
    }
}

#[test]
fn a_mount_can_be_mounted_again_with_other_options() {
    let Some(mut bundle) = Bundle::of_script("exec sleep 1000") else { return };
    bundle.add_mount("/mnt", "tmpfs", "tmpfs", &["rw"]);
    bundle.add_mount("/mnt", "tmpfs", "tmpfs", &["remount", "ro", "nosuid"]);
    bundle.created();
    let found = options_at(&bundle, "/mnt");
    assert!(found.iter().any(|it| it == "ro"), "{found:?}");
    let mounted = host::mounts_of(bundle.pid());
    let count = mounted.iter().filter(|line| host::mount_point(line) == "/mnt").count();
    assert_eq!(count, 1, "it is the same mount");
}

#[test]
fn an_idmapped_mount_shows_the_mapped_owner() {
    let why = "runc 1.1 does not know idmap";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    fs::create_dir(bundle.dir().join("volume")).unwrap();
    let file = bundle.dir().join("volume/file");
    fs::write(&file, "x").unwrap();
    std::os::unix::fs::chown(&file, Some(1234), Some(2345)).unwrap();
    for option in ["idmap", "ridmap"] {
        let mut mount = json!({
            "destination": "/mnt", "source": "volume", "options": ["rbind", option],
        });
        let mapping = |from: u32, to: u32| json!([{ "containerID": from, "hostID": to, "size": 100 }]);
        mount["uidMappings"] = mapping(1200, 5000);
        mount["gidMappings"] = mapping(2300, 6000);
        bundle.add("/mounts", mount);
        assert_eq!(
            bundle.stdout_of("stat -c %u:%g /mnt/file"),
            "5034:6045",
            "{option}"
        );
        bundle.at("/mounts").as_array_mut().unwrap().pop();
    }
}

#[test]
fn an_idmapped_mount_without_a_mapping_is_refused() {
    let why = "runc 1.1 does not know idmap";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    fs::create_dir(bundle.dir().join("volume")).unwrap();
    let ids = json!([{ "containerID": 0, "hostID": 1000, "size": 10 }]);
    let mount = |options: &[&str]| json!({ "destination": "/mnt", "source": "volume", "options": options });
    let mut only_uids = mount(&["bind", "idmap"]);
    only_uids["uidMappings"] = ids.clone();
    let mut only_gids = mount(&["bind", "idmap"]);
    only_gids["gidMappings"] = ids;
    let wrong =
        [mount(&["bind", "idmap"]), mount(&["rbind", "ridmap"]), only_uids, only_gids];
    for mount in wrong {
        bundle.add("/mounts", mount);
        bundle.assert_config_refused();
        bundle.at("/mounts").as_array_mut().unwrap().pop();
    }
}

#[test]
fn masked_paths_cannot_be_read_and_read_only_paths_cannot_be_written() {
    let Some(mut bundle) = Bundle::new() else { return };
    fs::write(bundle.rootfs().join("secret"), "x").unwrap();
    fs::create_dir(bundle.rootfs().join("secrets")).unwrap();
    fs::write(bundle.rootfs().join("secrets/one"), "x").unwrap();
    for path in ["/secret", "/secrets", "/nosuch"] {
        bundle.add("/linux/maskedPaths", json!(path));
        bundle.add("/linux/readonlyPaths", json!("/etc"));
    }
    let script = "cat /secret; ls -A /secrets; touch /etc/x 2>/dev/null || echo refused
        echo 1 > /proc/sys/kernel/printk 2>/dev/null || echo refused";
    assert_eq!(bundle.stdout_of(script), "refused\nrefused");
}

#[test]
fn masked_and_read_only_paths_must_be_absolute() {
    let why = "runc 1.1 does not check";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    for list in ["/linux/maskedPaths", "/linux/readonlyPaths"] {
        bundle.add(list, json!("etc/passwd"));
        bundle.assert_config_refused();
        bundle.at(list).as_array_mut().unwrap().pop();
    }
}

#[test]
fn the_file_systems_of_the_specification_are_mounted_where_it_says() {
    let Some(bundle) = Bundle::of_script("exec sleep 1000") else { return };
    bundle.created();
    let pid = bundle.pid();
    for (point, kind) in [
        ("/proc", "proc"),
        ("/sys", "sysfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
    ] {
        let line = host::mount_at(pid, point).unwrap_or_default();
        assert!(line.contains(&format!(" - {kind} ")), "{point}: {line}");
    }
    bundle.call(&["kill", ID, "KILL"]).exits(0);
}
