//! Holds what a step says about itself to what was recorded.

use crate::{Bench, rootfs};

/// `--help` and `run --help` are as they are in `tests/snapshots`. After a change that was meant:
/// `INSTA_UPDATE=always cargo test`, and look at the difference.
#[track_caller]
pub fn is_as_recorded(bench: &Bench) {
    if !bench.step().is_ours() {
        return;
    }
    let recorded = rootfs::workspace().join("tests/snapshots");
    for (name, arguments) in [("help", &["--help"][..]), ("run-help", &["run", "--help"])] {
        // The lines are as long as the terminal is wide, or 100.
        let ran = bench.call_by(&["env", "-u", "COLUMNS"], arguments);
        ran.exits(0);
        let name = format!("{}-{name}", bench.step().name());
        insta::with_settings!({
            snapshot_path => &recorded, prepend_module_to_snapshot => false, omit_expression => true,
        }, { insta::assert_snapshot!(name, ran.out) });
    }
}
