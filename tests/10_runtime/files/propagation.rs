//! Mount propagation: later mounts that reach the container or the host.

use serde_json::json;

use super::{Bundle, mounted};
use crate::files::fixture_with_source;
use crate::fixture;

const MOUNTINFO: &str = "cat /proc/self/mountinfo";

#[test]
fn every_word_for_propagation_has_its_effect() {
    let Some((fixture, source)) = fixture_with_source() else { return };
    // A peer group of the host's own, with a mount below.
    let on_host = format!(
        "mount -t tmpfs source {0} && mount --make-shared {0} && mkdir {0}/below && \
         mount -t tmpfs below {0}/below && eval \"$RUN\"",
        source.display()
    );
    // Without a word a mount is a slave of the host's: rootfsPropagation.
    let cases: [(&[&str], [&str; 2]); 11] = [
        (&[], ["master", "master"]),
        (&["private"], ["", "master"]),
        (&["rprivate"], ["", ""]),
        (&["slave"], ["master", "master"]),
        (&["rslave"], ["master", "master"]),
        (&["shared"], ["shared master", "master"]),
        (&["rshared"], ["shared master", "shared master"]),
        (&["unbindable"], ["unbindable", "master"]),
        (&["runbindable"], ["unbindable", "unbindable"]),
        (&["rprivate", "rshared"], ["shared", "shared"]),
        (&["rprivate", "shared"], ["shared", ""]),
    ];
    let mut bundle = Bundle::new(&fixture);
    for (number, (words, _)) in cases.iter().enumerate() {
        let options = [&["rbind"], *words].concat();
        bundle = bundle.mount("none", &source, &format!("/b{number}"), &options);
    }
    let ran = bundle.run_in_mount_namespace(&on_host, MOUNTINFO);
    ran.exits(0);
    for (number, (words, shown)) in cases.iter().enumerate() {
        let found = ["", "/below"].map(|below| {
            let mount = mounted(&ran.out, &format!("/b{number}{below}")).unwrap();
            let names = mount.propagation.split(' ');
            let names: Vec<_> = names.filter_map(|it| it.split(':').next()).collect();
            names.join(" ")
        });
        assert_eq!(found, *shown, "{words:?}");
    }
}

#[test]
fn mounts_of_the_container_reach_the_host_only_with_a_shared_root_and_a_shared_mount() {
    let Some((fixture, source)) = fixture_with_source() else { return };
    let on_host = format!(
        "mount -t tmpfs source {0} && mount --make-shared {0} && mkdir {0}/below && \
         eval \"$RUN\"; grep -c {0}/below /proc/self/mountinfo",
        source.display()
    );
    let script = "mount -t tmpfs inside /b/below && echo mounted";
    for (root, word, count) in [
        ("rshared", "rshared", "1"),
        ("shared", "shared", "1"),
        ("rslave", "rshared", "0"),
        ("rshared", "rslave", "0"),
        ("private", "shared", "0"),
    ] {
        let mut bundle = Bundle::new(&fixture)
            .mount("none", &source, "/b", &["rbind", word])
            .set("/linux/rootfsPropagation", json!(root));
        let all = json!(["CAP_SYS_ADMIN"]);
        bundle.config["process"]["capabilities"] =
            json!({"bounding": all, "effective": all, "permitted": all});
        let ran = bundle.run_in_mount_namespace(&on_host, script);
        assert_eq!(
            ran.out,
            format!("mounted\n{count}\n"),
            "{root}, {word}: {}",
            ran.err
        );
    }
}

#[test]
fn the_root_has_its_propagation_and_the_host_sees_none_of_its_mounts() {
    let Some(fixture) = fixture() else { return };
    let shown = |word: &str| {
        let ran = Bundle::new(&fixture)
            .set("/linux/rootfsPropagation", json!(word))
            .run(MOUNTINFO);
        let line = mounted(&ran.exits(0).out, "/").unwrap().propagation;
        let names = line.split(' ').filter_map(|it| it.split(':').next());
        (names.collect::<Vec<_>>().join(" "), ran.out)
    };
    assert_eq!(shown("private").0, "");
    assert_eq!(shown("rprivate").0, "");
    assert_eq!(shown("unbindable").0, "unbindable");
    let (root, mountinfo) = shown("shared");
    assert_eq!(root, "shared");
    assert!(!mounted(&mountinfo, "/dev").unwrap().propagation.contains("shared"));
    let (root, mountinfo) = shown("rshared");
    assert_eq!(root, "shared");
    assert!(mounted(&mountinfo, "/dev").unwrap().propagation.contains("shared"));
    Bundle::new(&fixture)
        .set("/linux/rootfsPropagation", json!("sideways"))
        .assert_refused(&["rootfsPropagation", "sideways"]);
}
