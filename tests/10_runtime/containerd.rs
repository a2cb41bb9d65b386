//! containerd drives the runtime: `ctr run --runc-binary PATH`.

use kiste_tests::{Ran, eventually};

use crate::engines::{Place, Runtime, Session, containerd, image};

/// Starts containerd, without the plugin for Kubernetes, and imports the image.
fn place() -> Option<Place> {
    let place = Place::with(&containerd::TOOLS)?;
    containerd::start(&place, "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n");
    containerd::import(&place, "default");
    Some(place)
}

fn ctr(place: &Place) -> impl Fn(&Runtime) -> Vec<String> {
    |_| vec!["ctr".into(), "--address".into(), containerd::address(place)]
}

/// Returns the words of `run`: the runtime, a cgroup below the test's own, these
/// options, the image, the container's name and its command.
fn run(session: &Session, options: &[&str], command: &[&str]) -> Vec<String> {
    let path = session.runtime.path.display().to_string();
    let cgroup = format!("{}/one", session.place.cgroup());
    let fixed = ["run", "--runc-binary", &path, "--cgroup", &cgroup];
    let words = [&fixed, options, &[image::NAME, "one"], command].concat();
    words.into_iter().map(String::from).collect()
}

fn call_run(session: &Session, options: &[&str], command: &[&str]) -> Ran {
    let words = run(session, options, command);
    session.call(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn containerd_runs_a_command_as_with_runc() {
    let Some(place) = place() else { return };
    place.compare(ctr(&place), |session| {
        let show = "id; grep -E '^(Cap|NoNew|Seccomp:|Groups|Uid)' /proc/self/status; \
            cat /proc/self/oom_score_adj; pwd; env | sort; ls /proc/self/fd | wc -l; \
            awk '{print $5, substr($6, 1, 2)}' /proc/self/mountinfo | grep -v cgroup | sort";
        let sh = |options: &[&str], script: &str| {
            call_run(session, &[&["--rm"], options].concat(), &["sh", "-c", script])
        };
        sh(&[], show).exits(0);
        sh(&["--cwd", "/tmp", "--env", "A=B"], show).exits(0);
        sh(&["--seccomp"], show).exits(0);
        sh(
            &["--memory-limit", "67108864"],
            "cat /sys/fs/cgroup/memory/memory.limit_in_bytes",
        );
        assert_ne!(sh(&["--read-only"], "echo x > /file").code, 0);
        sh(&[], "exit 7").exits(7);
        for command in ["nosuch", "/etc/passwd"] {
            let ran = call_run(session, &["--rm"], &[command]);
            ran.exits(1).assert_stderr_contains(command);
        }
    });
}

#[test]
fn containerd_controls_a_task() {
    let Some(place) = place() else { return };
    place.compare(ctr(&place), |session| {
        call_run(session, &["-d"], &["sleep", "1000"]).exits(0);
        wait_for_state(session, "RUNNING");
        let exec = ["task", "exec", "--exec-id", "second", "one"];
        session.prints(
            &[&exec[..], &["sh", "-c", "echo $FROM; pwd"]].concat(),
            "image\n/",
        );
        session.call(&[&exec[..], &["sh", "-c", "exit 9"]].concat()).exits(9);
        session.fails(&[&exec[..], &["nosuch"]].concat());
        session.succeeds(&["task", "pause", "one"]);
        wait_for_state(session, "PAUSED");
        session.succeeds(&["task", "resume", "one"]);
        wait_for_state(session, "RUNNING");
        let metrics = session.call_apart(&["task", "metrics", "one"]);
        assert!(metrics.exits(0).out.contains("pids.current"), "{}", metrics.out);
        let processes = session.call_apart(&["task", "ps", "one"]);
        assert_eq!(processes.exits(0).out.lines().count(), 2, "{}", processes.out);
        session.succeeds(&["task", "kill", "--signal", "KILL", "one"]);
        wait_for_state(session, "STOPPED");
        session.call(&["task", "delete", "one"]);
        session.succeeds(&["container", "delete", "one"]);
        session.prints(&["container", "ls", "-q"], "");
    });
}

/// Waits until the only task has this state.
#[track_caller]
fn wait_for_state(session: &Session, state: &str) {
    let tasks = || session.call_apart(&["task", "ls"]).out;
    let reached = eventually(|| tasks().contains(state).then_some(()));
    assert!(reached.is_some(), "{state}: {}", tasks());
}

#[test]
fn containerd_is_told_that_there_are_no_checkpoints() {
    let Some(place) = place() else { return };
    place.compare(ctr(&place), |session| {
        if session.runtime.name == "runc" {
            return; // With CRIU, runc can do it.
        }
        call_run(session, &["-d"], &["sleep", "1000"]);
        let ran = session.call(&["task", "checkpoint", "one"]);
        assert_ne!(ran.code, 0);
        ran.assert_stderr_contains("not supported");
        // The container goes on.
        let exec = ["task", "exec", "--exec-id", "second", "one", "echo", "alive"];
        session.prints(&exec, "alive");
    });
}

#[test]
fn containerd_gives_a_task_a_terminal() {
    let Some(place) = place() else { return };
    place.compare(ctr(&place), |session| {
        let words = run(session, &["--rm", "--tty"], &["sh"]);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let mut terminal = session.at_terminal(&words);
        terminal.type_in("tty; echo $((6*7)) done\n");
        let shown = terminal.shows("42 done");
        assert!(shown.contains("/dev/pts/0") || shown.contains("/dev/console"));
        terminal.type_in("exit 3\n");
        assert_eq!(terminal.wait_for_exit().0, 3);
    });
}
