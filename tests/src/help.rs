//! Holds what a step says about itself to what was recorded.

use crate::{Ran, Step, rootfs};

/// `--help` and `run --help` are as they are in `tests/snapshots`. After a change that
/// was meant: `INSTA_UPDATE=always KISTE_SUDO=never cargo test help_is`, and look at
/// the difference. Nobody needs root for that.
#[track_caller]
pub fn is_as_recorded(step: &Step) {
    if !step.is_ours() {
        return;
    }
    let recorded = rootfs::workspace().join("tests/snapshots");
    for (name, arguments) in
        [("help", &["--help"][..]), ("run-help", &["run", "--help"])]
    {
        let name = format!("{}-{name}", step.name());
        insta::with_settings!({
            snapshot_path => &recorded, prepend_module_to_snapshot => false, omit_expression => true,
        }, { insta::assert_snapshot!(name, help(step, arguments)) });
    }
}

fn help(step: &Step, arguments: &[&str]) -> String {
    // The lines are as long as the terminal is wide, or 100.
    let ran = Ran::of(
        assert_cmd::Command::new(step.exe()).args(arguments).env_remove("COLUMNS"),
    );
    ran.exits(0).out.clone()
}
