//! The runtime is killed at any moment of each operation, or a hundred containers begin
//! at once: none is lost, and none is left.

use std::fs;
use std::time::{Duration, Instant};

use kiste_tests::eventually;
use serde_json::json;

use crate::conformance::bundle::{Bundle, ID};

/// How often each operation is killed.
const ROUNDS: u32 = 16;

/// Makes a bundle whose container waits.
fn waiting() -> Option<Bundle> {
    let bundle = Bundle::of_script("exec sleep 1000")?;
    bundle.write();
    Some(bundle)
}

fn create(bundle: &Bundle) -> Vec<&str> {
    vec!["create", "--bundle", bundle.dir().to_str().unwrap(), ID]
}

/// Kills a call at moments that are spread over the time that it takes, `before` each of
/// which something is prepared. Afterwards the container can be asked for and removed.
fn kill_at_any_moment(bundle: &Bundle, call: &[&str], before: impl Fn(&Bundle)) {
    before(bundle);
    let begin = Instant::now();
    bundle.call(&["state", ID]);
    let status = bundle.spawn("whole", call).wait().unwrap();
    assert!(status.success(), "{call:?}: {:?}", bundle.printed("whole", 0));
    let whole = begin.elapsed();
    remove(bundle);
    for round in 0..ROUNDS {
        before(bundle);
        let mut runtime = bundle.spawn("killed", call);
        std::thread::sleep(whole * round / ROUNDS);
        let _ = runtime.kill();
        runtime.wait().unwrap();
        // An answer or an error, but it does not hang or panic.
        let state = bundle.call(&["state", ID]);
        assert!(!state.err.contains("panicked"), "{state:?}");
        remove(bundle);
    }
}

#[track_caller]
fn remove(bundle: &Bundle) {
    let deleted = eventually(|| {
        bundle.call(&["delete", "--force", ID]);
        bundle.ids().is_empty().then_some(())
    });
    assert!(deleted.is_some(), "{:?}", bundle.call(&["delete", "--force", ID]));
    bundle.assert_nothing_left();
}

#[test]
fn a_create_that_is_killed_at_any_moment_can_be_removed() {
    let Some(bundle) = waiting() else { return };
    kill_at_any_moment(&bundle, &create(&bundle), |_| {});
}

#[test]
fn a_run_that_is_killed_at_any_moment_can_be_removed() {
    let Some(bundle) = Bundle::of_script("true") else { return };
    bundle.write();
    let run = ["run", "--bundle", bundle.dir().to_str().unwrap(), ID];
    kill_at_any_moment(&bundle, &run, |_| {});
}

#[test]
fn a_start_that_is_killed_at_any_moment_can_be_removed() {
    let Some(bundle) = waiting() else { return };
    kill_at_any_moment(&bundle, &["start", ID], |bundle| {
        bundle.created();
    });
}

#[test]
fn an_exec_that_is_killed_at_any_moment_leaves_the_container_removable() {
    let Some(bundle) = waiting() else { return };
    kill_at_any_moment(&bundle, &["exec", ID, "true"], |bundle| {
        bundle.started();
    });
}

#[test]
fn a_delete_that_is_killed_at_any_moment_can_be_repeated() {
    let Some(bundle) = waiting() else { return };
    kill_at_any_moment(&bundle, &["delete", "--force", ID], |bundle| {
        bundle.started();
    });
}

#[test]
fn a_hundred_containers_are_created_at_once() {
    const COUNT: usize = 100;
    let Some(mut bundle) = waiting() else { return };
    bundle.config["root"]["path"] = json!(bundle.rootfs());
    let parent = bundle.cgroup().to_string();
    let id = |number: usize| format!("number-{number}");
    let begin = Instant::now();
    let mut runtimes = Vec::new();
    for number in 0..COUNT {
        let dir = bundle.dir().join(id(number));
        fs::create_dir(&dir).unwrap();
        bundle.config["linux"]["cgroupsPath"] = json!(format!("/{parent}-{number}"));
        fs::write(dir.join("config.json"), bundle.config.to_string()).unwrap();
        let arguments = ["create", "--bundle", dir.to_str().unwrap(), &id(number)];
        runtimes.push(bundle.spawn(&id(number), &arguments));
    }
    for (number, mut runtime) in runtimes.into_iter().enumerate() {
        let status = runtime.wait().unwrap();
        assert!(status.success(), "{:?}", bundle.printed(&id(number), 0));
    }
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(300), "{took:?}");
    let mut ids = bundle.ids();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), COUNT);
    let state = bundle.call(&["state", &id(COUNT / 2)]);
    assert!(state.out.contains("created"), "{state:?}");
    let deletes: Vec<_> = (0..COUNT)
        .map(|number| bundle.spawn("delete", &["delete", "--force", &id(number)]))
        .collect();
    for mut delete in deletes {
        assert!(delete.wait().unwrap().success(), "{:?}", bundle.printed("delete", 0));
    }
    assert_eq!(bundle.ids(), [""; 0]);
    let cgroups = || -> Vec<_> {
        let named =
            |number| kiste_tests::host::cgroups_named(&format!("{parent}-{number}"));
        (0..COUNT).flat_map(named).collect()
    };
    assert!(
        eventually(|| cgroups().is_empty().then_some(())).is_some(),
        "{:?}",
        cgroups()
    );
}
