//! Step 1: the container has a name of its own, and the host keeps its.

use kiste_tests::{Bench, host, step};

fn bench() -> Option<Bench> {
    Bench::of(step!("01-uts"), &["root"])
}

#[test]
fn the_container_is_called_what_was_asked_for() {
    let Some(bench) = bench() else { return };
    bench.run(&["--hostname", "crate"], &["hostname"]).prints("crate");
}

#[test]
fn it_is_in_a_uts_namespace_of_its_own() {
    let Some(bench) = bench() else { return };
    let running = bench.start(&[], &["sleep", "100"]);
    assert_ne!(host::namespace(running.pid, "uts"), host::namespace("self", "uts"));
}
