//! The mounts of a container: their kinds, their order and their targets.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use serde_json::json;

use super::{Bundle, mounted};
use crate::files::fixture_with_source;
use crate::fixture;

const MOUNTINFO: &str = "cat /proc/self/mountinfo";

#[test]
fn the_mounts_that_every_engine_asks_for_are_made() {
    let Some(fixture) = fixture() else { return };
    let ran = Bundle::new(&fixture).run(MOUNTINFO);
    ran.exits(0);
    for (path, kind, options) in [
        ("/proc", "proc", "rw,relatime"),
        ("/dev", "tmpfs", "rw,nosuid"),
        ("/dev/pts", "devpts", "rw,nosuid,noexec,relatime"),
        ("/dev/shm", "tmpfs", "rw,nosuid,nodev,noexec,relatime"),
        ("/dev/mqueue", "mqueue", "rw,nosuid,nodev,noexec,relatime"),
        ("/sys", "sysfs", "ro,nosuid,nodev,noexec,relatime"),
    ] {
        let mount = mounted(&ran.out, path).expect(path);
        assert_eq!(
            (mount.kind.as_str(), mount.options.as_str()),
            (kind, options),
            "{path}"
        );
    }
    let dev = mounted(&ran.out, "/dev").unwrap();
    assert!(dev.superblock.contains("size=65536k,mode=755"), "{dev:?}");
    let pts = mounted(&ran.out, "/dev/pts").unwrap();
    assert!(pts.superblock.contains("mode=620,ptmxmode=666"), "{pts:?}");
}

#[test]
fn mounts_are_made_in_the_order_of_config_json() {
    let Some(fixture) = fixture() else { return };
    let source = fixture.dir().join("source");
    fs::create_dir_all(source.join("deep")).unwrap();
    fs::write(source.join("file"), "bound").unwrap();
    let ran = Bundle::new(&fixture)
        .mount("tmpfs", "tmpfs", "/top/mid", &[])
        .mount("none", &source, "/top/mid/bound", &["bind"])
        .mount("tmpfs", "tmpfs", "/top/mid/bound/deep", &["size=8k"])
        .run("cat /top/mid/bound/file; grep -c ' /top/mid' /proc/self/mountinfo");
    ran.assert_stdout("bound3");
    // The other way round, the second hides the first.
    let ran = Bundle::new(&fixture)
        .mount("none", &source, "/top/mid/bound", &["bind"])
        .mount("tmpfs", "tmpfs", "/top", &[])
        .run("ls -A /top");
    ran.assert_stdout("");
}

#[test]
fn a_relative_destination_counts_from_the_root_and_a_relative_source_from_the_bundle() {
    let Some(fixture) = fixture() else { return };
    let bundle = Bundle::new(&fixture).mount("bind", "data", "in/side", &["bind"]);
    fs::create_dir_all(bundle.directory().join("data")).unwrap();
    fs::write(bundle.directory().join("data/file"), "of the bundle").unwrap();
    bundle.run("cat /in/side/file").assert_stdout("of the bundle");
}

#[test]
fn a_file_is_mounted_on_a_file_and_its_mount_point_is_made() {
    let Some(fixture) = fixture() else { return };
    let file = fixture.dir().join("file");
    fs::write(&file, "of the host").unwrap();
    symlink("/run/dangling", fixture.rootfs().join("link")).unwrap();
    Bundle::new(&fixture)
        .mount("bind", &file, "/a/new/file", &["rbind", "ro"])
        .mount("bind", &file, "/link", &["bind"])
        .run("cat /a/new/file /run/dangling; echo x 2>/dev/null >/a/new/file || echo read-only")
        .assert_stdout("of the hostof the hostread-only");
    let made = fixture.rootfs().join("a/new/file");
    assert_eq!(fs::metadata(made).unwrap().len(), 0, "only a mount point was made");
}

#[test]
fn a_bind_mount_has_the_mounts_below_its_source_only_with_rbind() {
    let Some((fixture, source)) = fixture_with_source() else { return };
    let on_host = format!(
        "mount -t tmpfs below {0}/below && echo seen >{0}/below/file && eval \"$RUN\"",
        source.display()
    );
    let bundle = Bundle::new(&fixture)
        .mount("none", &source, "/alone", &["bind"])
        .mount("none", &source, "/all", &["rbind"]);
    let script = "ls /alone/below; ls /all/below";
    bundle.run_in_mount_namespace(&on_host, script).assert_stdout("file");
}

#[test]
fn a_tmpfs_has_the_mode_of_the_directory_that_it_covers_unless_an_option_says_another()
{
    let Some(fixture) = fixture() else { return };
    let covered = fixture.rootfs().join("covered");
    fs::create_dir(&covered).unwrap();
    fs::set_permissions(&covered, PermissionsExt::from_mode(0o2751)).unwrap();
    Bundle::new(&fixture)
        .mount("tmpfs", "tmpfs", "/covered", &[])
        .mount("tmpfs", "tmpfs", "/new", &[])
        .run("stat -c %a /covered /new")
        .assert_stdout("2751\n1777");
    Bundle::new(&fixture)
        .mount("tmpfs", "tmpfs", "/covered", &["mode=700"])
        .run("stat -c %a /covered")
        .assert_stdout("700");
}

#[test]
fn tmpcopyup_begins_with_the_files_that_it_covers() {
    let Some(fixture) = fixture() else { return };
    let covered = fixture.rootfs().join("covered");
    fs::create_dir_all(covered.join("dir")).unwrap();
    fs::write(covered.join("dir/file"), "of the image").unwrap();
    fs::set_permissions(covered.join("dir/file"), PermissionsExt::from_mode(0o604))
        .unwrap();
    std::os::unix::fs::chown(covered.join("dir/file"), Some(7), Some(8)).unwrap();
    // It leads out of the root, and is copied as it is.
    let outside = fixture.dir().join("outside");
    fs::write(&outside, "of the host").unwrap();
    symlink(&outside, covered.join("link")).unwrap();
    let options = ["tmpcopyup", "ro", "nosuid"];
    let bundle = Bundle::new(&fixture).mount("tmpfs", "tmpfs", "/covered", &options);
    let ran = bundle.run(
        "cd /covered; cat dir/file; stat -c ' %a %u:%g' dir/file; readlink link; \
         cat link 2>/dev/null; echo x 2>/dev/null >new || echo read-only",
    );
    let link = outside.display();
    ran.assert_stdout(&format!("of the image 604 7:8\n{link}\nread-only"));
    assert_eq!(fs::metadata(covered.join("dir/file")).unwrap().uid(), 7);
    // Every copy is its own.
    let bundle =
        Bundle::new(&fixture).mount("tmpfs", "tmpfs", "/covered", &["tmpcopyup"]);
    bundle.run("rm /covered/dir/file && echo changed >/covered/dir/file").exits(0);
    assert_eq!(fs::read_to_string(covered.join("dir/file")).unwrap(), "of the image");
    let options = ["tmpcopyup", "size=4k", "nr_inodes=2"];
    Bundle::new(&fixture)
        .mount("tmpfs", "tmpfs", "/covered", &options)
        .assert_refused(&["/covered", "No space left", "hint:"]);
}

#[test]
fn an_overlay_with_long_paths_is_mounted() {
    let Some(fixture) = fixture() else { return };
    let names: Vec<_> = (0..12).map(|number| format!("{number}-{:x<40}", "")).collect();
    for (number, name) in names.iter().enumerate() {
        let layer = fixture.dir().join(name);
        fs::create_dir(&layer).unwrap();
        fs::write(layer.join(format!("file{number}")), "").unwrap();
    }
    let upper = fixture.dir().join("upper");
    fs::create_dir(&upper).unwrap();
    fs::create_dir(fixture.dir().join("work")).unwrap();
    let path = |name: &str| fixture.dir().join(name).display().to_string();
    let layers: Vec<_> = names.iter().map(|name| path(name)).collect();
    let options = [
        format!("lowerdir={}", layers.join(":")),
        format!("upperdir={}", path("upper")),
        format!("workdir={}", path("work")),
        "nosuid".into(),
    ];
    let options = options.each_ref().map(String::as_str);
    let ran = Bundle::new(&fixture)
        .mount("overlay", "overlay", "/merged", &options)
        .run("ls /merged | wc -l; echo new >/merged/new; cat /proc/self/mountinfo");
    ran.exits(0);
    assert!(ran.out.starts_with("12\n"), "{}", ran.out);
    assert!(mounted(&ran.out, "/merged").unwrap().has("nosuid"));
    assert!(upper.join("new").is_file());
}

#[test]
fn a_mount_without_a_source_is_an_error_unless_it_only_changes_a_propagation() {
    let Some(fixture) = fixture() else { return };
    let bundle = Bundle::new(&fixture);
    let mut bundle = bundle.mount("tmpfs", "tmpfs", "/t", &[]);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({"destination": "/t", "options": ["rshared"]}));
    let ran = bundle.run(MOUNTINFO);
    let mount = mounted(&ran.exits(0).out, "/t").unwrap();
    assert!(mount.propagation.contains("shared:"), "{mount:?}");
    let mut bundle = Bundle::new(&fixture);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({"destination": "/t", "options": ["ro"]}));
    bundle.assert_refused(&["/t", "type"]);
    // No mount is there to be changed.
    let mut bundle = Bundle::new(&fixture);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({"destination": "/etc", "options": ["private"]}));
    bundle.assert_refused(&["/etc", "EINVAL", "hint:"]);
}

#[test]
fn a_missing_source_and_an_unknown_file_system_are_errors_that_say_so() {
    let Some(fixture) = fixture() else { return };
    let missing = fixture.dir().join("missing");
    Bundle::new(&fixture).mount("bind", &missing, "/x", &["bind"]).assert_refused(&[
        missing.to_str().unwrap(),
        "ENOENT",
        "hint:",
    ]);
    Bundle::new(&fixture)
        .mount("nosuchfs", "x", "/x", &[])
        .assert_refused(&["nosuchfs", "ENODEV", "hint:"]);
    Bundle::new(&fixture).mount("tmpfs", "x", "/x", &["size=much"]).assert_refused(&[
        "size=much",
        "EINVAL",
        "Bad value for 'size'",
    ]);
    Bundle::new(&fixture)
        .mount("tmpfs", "x", "/x", &["nosuchoption"])
        .assert_refused(&["nosuchoption", "EINVAL"]);
}

#[test]
fn owners_are_mapped_with_idmap() {
    let Some(fixture) = fixture() else { return };
    let source = fixture.dir().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "").unwrap();
    std::os::unix::fs::chown(source.join("file"), Some(3), Some(4)).unwrap();
    let mut bundle =
        Bundle::new(&fixture).mount("bind", &source, "/mapped", &["bind", "idmap"]);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    let map = |first| json!([{"containerID": 0, "hostID": first, "size": 100}]);
    let last = mounts.last_mut().unwrap();
    last["uidMappings"] = map(1000);
    last["gidMappings"] = map(2000);
    let ran = bundle.run("stat -c %u:%g /mapped/file; touch /mapped/new 2>&1");
    if ran.lacks_idmapped_mounts() {
        return;
    }
    assert!(ran.out.starts_with("1003:2004\n"), "{}{}", ran.out, ran.err);
}
