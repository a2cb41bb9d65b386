//! Step 7: Kiste unpacks, runs and packs images exactly, and a container of an image
//! leaves nothing behind.
//!
//! Most tests run twice: as root, and as a user with ranges of ids
//! (`test_store::as_root_and_as_user`). Each run has its own store. The tests make
//! images byte by byte (`kiste_tests::archive`), and compare everything that lstat(2)
//! returns for the unpacked files (`kiste_tests::Tree`).

use kiste_tests::{Step, step};

#[path = "07_image/ambiguous.rs"]
mod ambiguous;
#[path = "07_image/as_in_docker.rs"]
mod as_in_docker;
#[path = "07_image/below.rs"]
mod below;
#[path = "07_image/changes.rs"]
mod changes;
#[path = "07_image/check.rs"]
mod check;
#[path = "07_image/commands.rs"]
mod commands;
#[path = "07_image/concurrent.rs"]
mod concurrent;
#[path = "07_image/config.rs"]
mod config;
#[path = "07_image/corpus.rs"]
mod corpus;
#[path = "07_image/damaged.rs"]
mod damaged;
#[path = "07_image/differential.rs"]
mod differential;
#[path = "07_image/doctor.rs"]
mod doctor;
#[path = "07_image/documents.rs"]
mod documents;
#[path = "07_image/ends.rs"]
mod ends;
#[path = "07_image/exact.rs"]
mod exact;
#[path = "07_image/explain.rs"]
mod explain;
#[path = "07_image/formats.rs"]
mod formats;
#[path = "07_image/full_disk.rs"]
mod full_disk;
#[path = "07_image/hostile.rs"]
mod hostile;
#[path = "07_image/ids.rs"]
mod ids;
#[path = "07_image/interrupted.rs"]
mod interrupted;
#[path = "07_image/killed.rs"]
mod killed;
#[path = "07_image/layers.rs"]
mod layers;
#[path = "07_image/limits.rs"]
mod limits;
#[path = "07_image/liveness.rs"]
mod liveness;
#[path = "07_image/malformed.rs"]
mod malformed;
#[path = "07_image/memory.rs"]
mod memory;
#[path = "07_image/minimal_layer.rs"]
mod minimal_layer;
#[path = "07_image/options.rs"]
mod options;
#[path = "07_image/other_users.rs"]
mod other_users;
#[path = "07_image/output.rs"]
mod output;
#[path = "07_image/peers.rs"]
mod peers;
#[path = "07_image/power_cut.rs"]
mod power_cut;
#[path = "07_image/power_cut_moments.rs"]
mod power_cut_moments;
#[path = "07_image/round_trip.rs"]
mod round_trip;
#[path = "07_image/run.rs"]
mod run;
#[path = "07_image/sources.rs"]
mod sources;
#[path = "07_image/test_store.rs"]
mod test_store;
#[path = "07_image/tolerated.rs"]
mod tolerated;
#[path = "07_image/unusual_stores.rs"]
mod unusual_stores;
#[path = "07_image/whiteouts.rs"]
mod whiteouts;
#[path = "07_image/xz_and_bzip2.rs"]
mod xz_and_bzip2;

fn this_step() -> Step {
    step!("07-image")
}

#[test]
fn every_test_that_a_task_names_exists() {
    kiste_tests::tasks::assert_all_tests_exist(&kiste_tests::step!("07-image"));
}
