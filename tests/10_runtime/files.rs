//! The files that a container sees: the sections `root`, `mounts` and `linux.devices`.

#[path = "files/bundle.rs"]
mod bundle;
#[path = "files/devices.rs"]
mod devices;
#[path = "files/hostile.rs"]
mod hostile;
#[path = "files/mounts.rs"]
mod mounts;
#[path = "files/options.rs"]
mod options;
#[path = "files/propagation.rs"]
mod propagation;
#[path = "files/root.rs"]
mod root;

use std::fs;
use std::path::PathBuf;

use kiste_tests::{Fixture, require_tool};

use crate::fixture;

pub(crate) use bundle::{Bundle, mounted};

/// Returns a fixture, and a directory with a directory `below`, for a test that mounts
/// file systems on them in a mount namespace of its own.
fn fixture_with_source() -> Option<(Fixture, PathBuf)> {
    let fixture = fixture()?;
    if !require_tool("unshare") {
        return None;
    }
    let source = fixture.dir().join("source");
    fs::create_dir_all(source.join("below")).unwrap();
    Some((fixture, source))
}
