//! A signal ends a start that waits, and nothing is left.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::with_ranges;

/// The helper's own child must not stay, either: the fixture finds it by its working
/// directory.
#[test]
fn a_signal_ends_a_start_whose_newuidmap_hangs() {
    for (signal, code) in [("TERM", 143), ("HUP", 129)] {
        let Some(mut user) = with_ranges() else { return };
        let helper = user.dir().join("newuidmap");
        fs::write(&helper, "#!/bin/sh\nsleep 1000 & echo >helper-runs\nwait\n")
            .unwrap();
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
        let path =
            format!("PATH={}:/usr/sbin:/usr/bin:/sbin:/bin", user.dir().display());
        let script = format!(
            "\"$@\" & while [ ! -e helper-runs ]; do sleep 0.02; done
             kill -{signal} $!; wait $!"
        );
        user.user_prefix =
            ["env", &path, "bash", "-c", &script, "bash"].map(String::from).into();
        let ran = user.run(&[], &["echo", "it runs"]);
        ran.exits(code).assert_stderr_contains(&format!("interrupted by SIG{signal}"));
        assert_eq!(ran.out, "");
    }
}
