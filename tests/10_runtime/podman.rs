//! Podman drives the runtime, as root and without root.

use std::time::Duration;

use kiste_tests::{eventually, require_tool};

use crate::engines::{LOOP, Place, RUN, Runtime, Session, image};

/// Makes a place with the image in Podman's own storage.
fn place() -> Option<Place> {
    let place = Place::with(&["podman", "conmon"])?;
    load_image(&place);
    Some(place)
}

fn load_image(place: &Place) {
    let archive = place.file("image.tar", image::docker_format_archive());
    let runtime = Runtime { name: "", path: place.exe().into() };
    let mut load = podman(place)(&runtime);
    load.extend(["load".into(), "-q".into(), "-i".into(), archive]);
    place.call(&load).exits(0);
}

/// Returns Podman with storage and run directories of the test's own.
fn podman(place: &Place) -> impl Fn(&Runtime) -> Vec<String> {
    |runtime| {
        let directories =
            [("--root", "storage"), ("--runroot", "runroot"), ("--tmpdir", "tmp")];
        let mut words = vec!["podman".to_owned()];
        for (option, name) in directories {
            words.extend([option.into(), place.path(name)]);
        }
        let options = ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"];
        words.extend(options.map(String::from));
        words.extend(["--events-backend", "file", "--runtime"].map(String::from));
        words.push(runtime.path.display().to_string());
        words
    }
}

/// Returns the words of `run` or `create`: the common options, these, the image and the
/// command.
fn run<'a>(
    session: &Session,
    verb: &'a str,
    options: &[&'a str],
    command: &[&'a str],
) -> Vec<&'a str> {
    let parent: &'static str = session.place.cgroup().leak();
    let mut words = vec![verb];
    if session.place.starter.is_empty() {
        words.extend(["--cgroup-parent", parent]);
    }
    if options.contains(&"--pod") {
        words.extend(&RUN[2..]);
    } else {
        words.extend(RUN);
    }
    words.extend(options);
    words.push(image::NAME);
    words.extend(command);
    words
}

/// Runs a shell script in a new container.
fn sh(session: &Session, options: &[&str], script: &str) -> kiste_tests::Ran {
    let options = [&["--rm"], options].concat();
    session.call(&run(session, "run", &options, &["sh", "-c", script]))
}

/// Waits until `podman inspect` prints this for a container.
#[track_caller]
fn wait_for(session: &Session, container: &str, format: &str, text: &str) {
    let inspect = ["inspect", "--format", format, container];
    let state =
        eventually(|| (session.call_apart(&inspect).out.trim() == text).then_some(()));
    assert!(state.is_some(), "{container} has {format} {text}");
}

#[test]
fn podman_runs_a_command_with_the_rights_that_it_has_with_runc() {
    let Some(place) = place() else { return };
    place.compare(podman(&place), |session| {
        users(session);
        rights(session);
    });
}

/// Shows the rights and limits of a process. Our runtime always has the primary
/// group among the supplementary groups, as newer engines ask for it (CVE-2022-36109),
/// so the groups are compared without the order and without repetitions.
const SHOW: &str = "id -u; id -G | tr ' ' '\\n' | sort -u; \
    grep -E '^(Cap|NoNew|Seccomp:|Uid|Gid)' /proc/self/status; \
    cat /proc/self/oom_score_adj; umask; pwd; ulimit -n; ls /proc/self/fd | wc -l";

fn users(session: &Session) {
    sh(session, &[], SHOW).exits(0);
    sh(session, &["--user", "alice"], SHOW).exits(0);
    sh(session, &["--user", "7:8", "--group-add", "audio"], SHOW).exits(0);
    sh(session, &["--cap-drop", "all", "--cap-add", "chown"], SHOW).exits(0);
}

fn rights(session: &Session) {
    sh(session, &["--cap-add", "net_admin"], SHOW).exits(0);
    sh(session, &["--security-opt", "no-new-privileges"], SHOW).exits(0);
    sh(session, &["--security-opt", "seccomp=unconfined"], SHOW).exits(0);
    sh(session, &["--umask", "0077", "--workdir", "/tmp"], SHOW).exits(0);
    let masked = "cat /proc/kcore /proc/keys /proc/timer_list 2>&1 | wc -c; echo 1 > /proc/sys/kernel/hostname; \
                  ls -l /dev | awk '{print $1, $3, $4, $NF}'; mkdir /sys/x";
    sh(session, &[], masked);
    let refused = "mount -t tmpfs x /tmp; chroot / true; unshare -m true; mknod /tmp/x b 8 0; hostname x; date -s 0 > /dev/null";
    sh(session, &[], refused);
}

#[test]
fn podman_runs_a_command_with_the_files_that_it_has_with_runc() {
    let Some(place) = place() else { return };
    place.compare(podman(&place), files);
}

fn files(session: &Session) {
    let mounts = "awk '{print $5, substr($6, 1, 2)}' /proc/self/mountinfo | grep -vE ' /dev/|/run|/etc|/cgroup' | sort";
    sh(session, &[], mounts).exits(0);
    let write =
        "echo x > /file && cat /file; echo x > /tmp/file; touch /dev/shm/x && echo shm";
    sh(session, &[], write).assert_stdout("x\nshm");
    assert_ne!(sh(session, &["--read-only"], "echo x > /file").code, 0);
    sh(session, &["--read-only", "--tmpfs", "/scratch:size=1m"], mounts).exits(0);
    let volume = format!("{}:/data", session.place.dir().join("volume").display());
    std::fs::create_dir_all(session.place.dir().join("volume")).unwrap();
    std::fs::write(session.place.dir().join("volume/x"), "from the host\n").unwrap();
    sh(session, &["-v", &volume], "cat /data/x; echo y > /data/y; cat /data/y")
        .assert_stdout("from the host\ny");
    let read_only = format!("{volume}:ro");
    assert_ne!(sh(session, &["-v", &read_only], "cat /data/x; echo > /data/z").code, 0);
    sh(
        session,
        &["--hostname", "box"],
        "hostname; cat /etc/hostname; echo; echo $FROM",
    )
    .assert_stdout("box\nbox\nimage");
    sh(session, &["--init"], "tr '\\0' ' ' < /proc/1/cmdline").exits(0);
}

#[test]
fn podman_passes_exit_codes_on_and_names_what_failed() {
    let Some(place) = place() else { return };
    place.compare(podman(&place), exit_codes);
}

fn exit_codes(session: &Session) {
    sh(session, &[], "exit 7").exits(7);
    sh(session, &[], "sh -c 'kill -9 $$'; exit $?").exits(137);
    for (command, code) in [("nosuch", 127), ("/nosuch", 127), ("/etc/passwd", 126)] {
        let ran = session.call(&run(session, "run", &["--rm"], &[command]));
        ran.exits(code).assert_stderr_contains(command);
    }
    let ran =
        session.call(&run(session, "run", &["--rm", "-w", "/nosuch/x"], &["pwd"]));
    assert!([0, 126, 127].contains(&ran.code));
    session.call(&["run", "--nosuch"]).exits(125);
}

#[test]
fn podman_controls_a_container_in_the_background() {
    let Some(place) = place() else { return };
    place.compare(podman(&place), |session| {
        start_in_background(session);
        exec(session);
        pause(session);
        numbers(session);
        end(session);
    });
}

fn start_in_background(session: &Session) {
    let command = ["sh", "-c", LOOP];
    session.succeeds(&run(session, "run", &["-d", "--name", "one"], &command));
    let logs = || session.call_apart(&["logs", "one"]).out;
    assert!(eventually(|| logs().contains("ready").then_some(())).is_some());
    session.prints(&["logs", "one"], "ready");
    session.succeeds(&["ps", "--format", "{{.Names}}"]);
}

fn exec(session: &Session) {
    session.prints(&["exec", "one", "sh", "-c", "echo $FROM; pwd"], "image\n/");
    let options = ["exec", "-u", "alice", "-w", "/tmp", "-e", "A=B", "one"];
    let show = ["sh", "-c", "id -un; pwd; echo $A; grep ^Cap /proc/self/status"];
    session.succeeds(&[&options[..], &show].concat());
    session.call(&["exec", "one", "sh", "-c", "exit 9"]).exits(9);
    session.call(&["exec", "one", "nosuch"]).exits(127);
    session.call(&["exec", "one", "/etc/passwd"]).exits(126);
    session.succeeds(&["exec", "-d", "one", "sh", "-c", "echo done > /tmp/done"]);
    let done = || session.call_apart(&["exec", "one", "cat", "/tmp/done"]).code == 0;
    assert!(eventually(|| done().then_some(())).is_some(), "exec -d ran its command");
    session.prints(&["exec", "one", "cat", "/tmp/done"], "done");
    let privileged = "grep ^CapEff /proc/self/status";
    session.succeeds(&["exec", "one", "sh", "-c", privileged]);
}

fn pause(session: &Session) {
    if !session.place.starter.is_empty() {
        return; // Without root, Podman pauses only on cgroup v2.
    }
    session.succeeds(&["pause", "one"]);
    session.prints(&["inspect", "--format", "{{.State.Status}}", "one"], "paused");
    session.fails(&["exec", "one", "true"]);
    session.succeeds(&["unpause", "one"]);
    session.prints(&["exec", "one", "echo", "awake"], "awake");
}

fn numbers(session: &Session) {
    let top = session.call_apart(&["top", "one", "user", "pid", "comm"]);
    assert!(top.out.contains("sh"), "{}", top.out);
    if session.place.starter.is_empty() {
        let stats = ["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "one"];
        let ran = session.call_apart(&stats);
        ran.exits(0);
        assert!(ran.out.starts_with("one "), "{}", ran.out);
    }
}

fn end(session: &Session) {
    session.prints(&["stop", "--time", "20", "one"], "one");
    session.prints(&["inspect", "--format", "{{.State.ExitCode}}", "one"], "5");
    session.prints(&["logs", "one"], "ready\nbye");
    session.succeeds(&["start", "one"]);
    wait_for(session, "one", "{{.State.Status}}", "running");
    session.prints(&["kill", "--signal", "KILL", "one"], "one");
    session.prints(&["wait", "one"], "137");
    session.succeeds(&["rm", "one"]);
    session.succeeds(&run(
        session,
        "run",
        &["-d", "--name", "two"],
        &["sleep", "1000"],
    ));
    session.succeeds(&["rm", "--force", "--time", "0", "two"]);
    session.prints(&["ps", "--all", "--quiet"], "");
    session.succeeds(&run(session, "create", &["--name", "three"], &["true"]));
    session.succeeds(&["rm", "three"]);
}

#[test]
fn podman_limits_a_container() {
    let Some(place) = place() else { return };
    place.compare(podman(&place), |session| {
        let limits = ["--memory", "64m", "--pids-limit", "20", "--cpus", "0.5"];
        let files = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max \
                     /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max \
                     /sys/fs/cgroup/cpu.max 2> /dev/null; true";
        let ran = sh(session, &limits, files);
        ran.exits(0);
        assert!(ran.out.contains("67108864") && ran.out.contains("20"), "{}", ran.out);
        let bomb = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21; do sleep 5 & done";
        assert_ne!(sh(session, &["--pids-limit", "10"], bomb).code, 0);
        let eat = "x=x; while :; do x=$x$x; done";
        let ran = sh(session, &["--memory", "16m", "--memory-swap", "16m"], eat);
        ran.exits(137);
    });
}

#[test]
fn podman_gives_a_container_a_terminal() {
    let Some(place) = place() else { return };
    place.compare(podman(&place), terminal);
}

fn terminal(session: &Session) {
    let words = run(session, "run", &["--rm", "-it", "--name", "tty"], &["sh"]);
    let mut terminal = session.at_terminal(&words);
    terminal.type_in("tty; echo $((6*7)) done\n");
    let shown = terminal.shows("42 done");
    assert!(shown.contains("/dev/pts/0") || shown.contains("/dev/console"), "{shown}");
    let until = |size: &str| {
        format!("until [ \"$(stty size)\" = '{size}' ]; do sleep 0.05; done")
    };
    terminal.type_in(&format!("{}; echo first s''ize\n", until("24 100")));
    terminal.shows("first size");
    terminal.type_in(&format!("{}; echo re''sized\n", until("33 111")));
    // Podman passes sizes on in threads of its own, and may end with an older one.
    for columns in [110, 111, 110, 111] {
        terminal.resize(33, columns);
        std::thread::sleep(Duration::from_millis(300));
    }
    terminal.shows("resized");
    let mut other = session.at_terminal(&["exec", "-it", "tty", "sh"]);
    other.type_in("test -t 0 && echo on a ter''minal; exit 6\n");
    other.shows("on a terminal");
    assert_eq!(other.wait_for_exit().0, 6);
    terminal.type_in("exit 3\n");
    assert_eq!(terminal.wait_for_exit().0, 3);
}

#[test]
fn podman_builds_an_image() {
    let Some(place) = place() else { return };
    let file = "FROM localhost/box:1\nRUN id -un > /who && echo built > /what\nUSER alice\nRUN id -un > /tmp/who\nCMD cat /who /what /tmp/who\n";
    let file = place.file("context/Containerfile", file);
    place.compare(podman(&place), |session| {
        // Buildah runs the command in this very cgroup, which may have no other below it.
        let build_cgroup =
            format!("{}/{}", session.place.cgroup(), session.runtime.name);
        let parent = session.place.cgroup();
        let mut build = vec!["build", "-q", "--no-cache", "--network", "none"];
        build.extend(&RUN[2..]);
        build.extend(["--cgroup-parent", &build_cgroup, "-t", "built:1", "-f", &file]);
        let context = session.place.path("context");
        build.push(&context);
        session.call_apart(&build).exits(0);
        let mut run = vec!["run", "--rm", "--cgroup-parent", &parent];
        run.extend(RUN);
        run.push("localhost/built:1");
        session.succeeds(&run);
        session.call_apart(&["rmi", "localhost/built:1"]).exits(0);
    });
}

#[test]
fn the_containers_of_a_pod_share_namespaces() {
    let Some(place) = place() else { return };
    place.compare(podman(&place), |session| {
        let parent = session.place.cgroup();
        let infra = ["--infra-image", image::NAME, "--infra-command", "sleep 1000"];
        let create = ["pod", "create", "--name", "pod", "--network", "none"];
        let share = ["--share", "net,ipc,uts", "--cgroup-parent", &parent];
        session.succeeds(&[&create[..], &infra, &share].concat());
        session.succeeds(&["pod", "start", "pod"]);
        let first = ["-d", "--name", "first", "--pod", "pod"];
        session.succeeds(&run(session, "run", &first, &["sleep", "1000"]));
        let namespaces =
            "for kind in net ipc uts; do readlink /proc/self/ns/$kind; done";
        let of = |words: &[&str]| session.call_apart(words).exits(0).out.clone();
        let ours = of(&["exec", "first", "sh", "-c", namespaces]);
        let second = ["--rm", "--pod", "pod"];
        let theirs = of(&run(session, "run", &second, &["sh", "-c", namespaces]));
        assert_eq!(ours, theirs);
        session
            .prints(&["pod", "ps", "--format", "{{.Name}} {{.Status}}"], "pod Running");
        session.succeeds(&["pod", "stop", "--time", "0", "pod"]);
        session.succeeds(&["pod", "rm", "--force", "pod"]);
    });
}

#[test]
fn podman_checks_the_health_of_a_container() {
    let Some(place) = place() else { return };
    place.compare(podman(&place), |session| {
        let health =
            ["--health-cmd", "test -e /tmp/well", "--health-interval", "disable"];
        let options = [&["-d", "--name", "one"], &health[..]].concat();
        session.succeeds(&run(session, "run", &options, &["sleep", "1000"]));
        session.call(&["healthcheck", "run", "one"]).exits(1);
        session.succeeds(&["exec", "one", "touch", "/tmp/well"]);
        session.call(&["healthcheck", "run", "one"]).exits(0);
        session.succeeds(&["rm", "--force", "--time", "0", "one"]);
    });
}

/// An ordinary user with subordinate ids, known in the sandbox only.
const USER: &str = "
printf 'root:x:0:0::/root:/bin/sh\\nkiste-tester:x:59711:59811::%s:/bin/sh\\n' \"$DIR\" > /run/passwd
printf 'root:x:0:\\nkiste-tester:x:59811:\\n' > /run/group
echo kiste-tester:200000:65536 > /run/subuid
echo kiste-tester:300000:65536 > /run/subgid
for name in passwd group subuid subgid; do mount --bind /run/$name /etc/$name; done
mkdir -m 700 /run/user; mkdir \"$DIR/volume\"
chown 59711:59811 /run/user \"$DIR\" \"$DIR/volume\"";

/// Makes a place in which an ordinary user starts everything.
fn place_of_a_user() -> Option<Place> {
    if !["newuidmap", "newgidmap", "setpriv"].into_iter().all(require_tool) {
        return None;
    }
    let mut place = Place::prepared(&["podman", "conmon"], USER)?;
    let home = format!("HOME={}", place.dir().display());
    let setpriv = ["setpriv", "--reuid=59711", "--regid=59811", "--clear-groups"];
    place.starter = setpriv.map(String::from).into();
    place.starter.extend(["env", &home, "XDG_RUNTIME_DIR=/run/user"].map(String::from));
    load_image(&place);
    Some(place)
}

#[test]
fn podman_runs_containers_without_root() {
    let Some(place) = place_of_a_user() else { return };
    place.compare(podman(&place), |session| {
        users(session);
        files(session);
    });
}

#[test]
fn podman_controls_a_container_without_root() {
    let Some(place) = place_of_a_user() else { return };
    place.compare(podman(&place), |session| {
        start_in_background(session);
        exec(session);
        numbers(session);
        end(session);
        terminal(session);
    });
}
