//! Docker drives the runtime: `dockerd --add-runtime kiste=PATH`.

use kiste_tests::{Ran, eventually, require_tool};

use crate::engines::{LOOP, Place, RUN, Runtime, Session, image};

/// Starts dockerd, which starts a containerd of its own, and loads the image.
fn place() -> Option<Place> {
    let place = Place::with(&["docker", "dockerd", "containerd", "runc"])?;
    let mut daemon = vec!["dockerd".to_owned()];
    let socket = host(&place);
    for (option, value) in [
        ("-H", socket.as_str()),
        ("--data-root", &place.path("docker")),
        ("--exec-root", "/run/docker"),
        ("--pidfile", "/run/docker.pid"),
        ("--cgroup-parent", &place.cgroup()),
        ("--add-runtime", &format!("kiste={}", place.exe().display())),
    ] {
        daemon.extend([option.to_owned(), value.to_owned()]);
    }
    let network = ["--bridge=none", "--iptables=false", "--ip6tables=false"];
    daemon.extend(network.map(String::from));
    place.start_daemon(&daemon, &["docker", "-H", &socket, "version"]);
    let archive = place.file("image.tar", image::docker_format_archive());
    place.call(&["docker", "-H", &socket, "load", "-q", "-i", &archive]).exits(0);
    Some(place)
}

/// Returns the address of the test's own daemon.
fn host(place: &Place) -> String {
    format!("unix://{}", place.path("docker.sock"))
}

fn docker(place: &Place) -> impl Fn(&Runtime) -> Vec<String> {
    |_| vec!["docker".into(), "-H".into(), host(place)]
}

/// Returns the words of `run` or `create`: the runtime, the common options, these, the
/// image and the command.
fn run<'a>(
    session: &Session<'a>,
    verb: &'a str,
    options: &[&'a str],
    command: &[&'a str],
) -> Vec<&'a str> {
    let runtime = ["--runtime", session.runtime.name];
    [&[verb], &runtime[..], &RUN, options, &[image::NAME], command].concat()
}

/// Runs a command, whose words are the same with every runtime but for its name.
fn call(session: &Session, verb: &str, options: &[&str], command: &[&str]) -> Ran {
    session.call(&run(session, verb, options, command))
}

/// Runs a shell script in a new container.
fn sh(session: &Session, options: &[&str], script: &str) -> Ran {
    call(session, "run", &[&["--rm"], options].concat(), &["sh", "-c", script])
}

/// Shows the rights and limits of a process.
const SHOW: &str = "id; grep -E '^(Cap|NoNew|Seccomp:|Groups|Uid)' /proc/self/status; \
    cat /proc/self/oom_score_adj; umask; pwd; ulimit -n; ls /proc/self/fd | wc -l";

#[test]
fn docker_runs_a_command_with_the_rights_that_it_has_with_runc() {
    let Some(place) = place() else { return };
    place.compare(docker(&place), |session| {
        sh(session, &[], SHOW).exits(0);
        sh(session, &["--user", "alice"], SHOW).exits(0);
        sh(session, &["--user", "7:8", "--group-add", "audio"], SHOW).exits(0);
        sh(session, &["--cap-drop", "all", "--cap-add", "chown"], SHOW).exits(0);
        sh(session, &["--cap-add", "net_admin", "-w", "/tmp"], SHOW).exits(0);
        sh(session, &["--security-opt", "no-new-privileges"], SHOW).exits(0);
        sh(session, &["--security-opt", "seccomp=unconfined"], SHOW).exits(0);
        let masked = "cat /proc/kcore /proc/keys /proc/timer_list 2>&1 | wc -c; \
                      ls -l /dev | awk '{print $1, $3, $4, $NF}'; mkdir /sys/x";
        sh(session, &[], masked);
        let refused =
            "mount -t tmpfs x /tmp; unshare -m true; mknod /tmp/x b 8 0; hostname x";
        sh(session, &[], refused);
    });
}

#[test]
fn docker_runs_a_command_with_the_files_that_it_has_with_runc() {
    let Some(place) = place() else { return };
    let volume = format!("{}:/data", place.path("volume"));
    place.file("volume/x", "from the host\n");
    place.compare(docker(&place), |session| {
        let mounts = "awk '{print $5, substr($6, 1, 2)}' /proc/self/mountinfo | grep -v cgroup | sort";
        sh(session, &[], mounts).exits(0);
        sh(session, &[], "echo x > /file && cat /file; touch /dev/shm/x && echo shm")
            .assert_stdout("x\nshm");
        assert_ne!(sh(session, &["--read-only"], "echo x > /file").code, 0);
        let tmpfs = ["--read-only", "--tmpfs", "/scratch:size=1m"];
        sh(session, &tmpfs, mounts).exits(0);
        sh(session, &["-v", &volume], "cat /data/x; echo y > /data/y; cat /data/y")
            .assert_stdout("from the host\ny");
        let read_only = format!("{volume}:ro");
        assert_ne!(sh(session, &["-v", &read_only], "echo > /data/z").code, 0);
        sh(session, &["--hostname", "box"], "hostname; cat /etc/hostname; echo $FROM")
            .assert_stdout("box\nbox\nimage");
        if require_tool("docker-init") {
            sh(session, &["--init"], "tr '\\0' ' ' < /proc/1/cmdline").exits(0);
        }
    });
}

#[test]
fn docker_passes_exit_codes_on_and_names_what_failed() {
    let Some(place) = place() else { return };
    place.compare(docker(&place), |session| {
        sh(session, &[], "exit 7").exits(7);
        sh(session, &[], "sh -c 'kill -9 $$'; exit $?").exits(137);
        for (command, code) in [("nosuch", 127), ("/nosuch", 127), ("/etc/passwd", 126)]
        {
            call(session, "run", &["--rm"], &[command])
                .exits(code)
                .assert_stderr_contains(command);
        }
        call(session, "run", &["--rm", "-w", "/etc/passwd"], &["pwd"]);
        call(session, "run", &["--rm", "--nosuch"], &["true"]).exits(125);
    });
}

#[test]
fn docker_controls_a_container_in_the_background() {
    let Some(place) = place() else { return };
    place.compare(docker(&place), |session| {
        start_in_background(session);
        exec(session);
        pause(session);
        update(session);
        numbers(session);
        end(session);
    });
}

fn start_in_background(session: &Session) {
    call(session, "run", &["-d", "--name", "one"], &["sh", "-c", LOOP]).exits(0);
    let logs = || session.call_apart(&["logs", "one"]).out;
    assert!(eventually(|| logs().contains("ready").then_some(())).is_some());
    session.prints(&["logs", "one"], "ready");
    session.succeeds(&["ps", "--format", "{{.Names}} {{.State}}"]);
}

fn exec(session: &Session) {
    session.prints(&["exec", "one", "sh", "-c", "echo $FROM; pwd"], "image\n/");
    let options = ["exec", "-u", "alice", "-w", "/tmp", "-e", "A=B", "one"];
    let show = ["sh", "-c", "id; pwd; echo $A; grep ^Cap /proc/self/status"];
    session.succeeds(&[&options[..], &show].concat());
    session.call(&["exec", "one", "sh", "-c", "exit 9"]).exits(9);
    // Its versions do not agree on the code of a missing command: 126 or 127.
    for command in ["nosuch", "/etc/passwd"] {
        session.fails(&["exec", "one", command]);
    }
    session.succeeds(&["exec", "-d", "one", "sh", "-c", "echo done > /tmp/done"]);
    let done = || session.call_apart(&["exec", "one", "cat", "/tmp/done"]).code == 0;
    assert!(eventually(|| done().then_some(())).is_some(), "exec -d ran its command");
    session.prints(&["exec", "one", "cat", "/tmp/done"], "done");
}

fn pause(session: &Session) {
    session.succeeds(&["pause", "one"]);
    session.prints(&["inspect", "--format", "{{.State.Status}}", "one"], "paused");
    session.fails(&["exec", "one", "true"]);
    session.succeeds(&["unpause", "one"]);
    session.prints(&["exec", "one", "echo", "awake"], "awake");
}

/// The limits of the container's own cgroup, on v1 or on v2.
const LIMITS: &str = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max pids/pids.max pids.max \
    cpu/cpu.shares cpu.weight cpu/cpu.cfs_quota_us cpu.max 2> /dev/null; true";

fn update(session: &Session) {
    session.succeeds(&["exec", "one", "sh", "-c", LIMITS]);
    let limits = ["--memory", "64m", "--memory-swap", "64m", "--pids-limit", "50"];
    let words = [&["update", "--cpus", "0.5"], &limits[..], &["one"]].concat();
    session.prints(&words, "one");
    let ran = session.succeeds(&["exec", "one", "sh", "-c", LIMITS]);
    assert!(ran.out.contains("67108864") && ran.out.contains("50"), "{}", ran.out);
}

fn numbers(session: &Session) {
    let top = session.call_apart(&["top", "one"]);
    top.exits(0);
    assert!(top.out.contains("trap"), "{}", top.out);
    let format = "{{.Name}} {{.MemUsage}} {{.PIDs}}";
    let stats =
        session.call_apart(&["stats", "--no-stream", "--format", format, "one"]);
    stats.exits(0);
    assert!(stats.out.starts_with("one ") && stats.out.contains("64MiB"));
    assert!(!stats.out.contains("0B /"), "it uses memory: {}", stats.out);
}

fn end(session: &Session) {
    let exit_code = ["inspect", "--format", "{{.State.ExitCode}}", "one"];
    session.prints(&["restart", "-t", "20", "one"], "one");
    session.prints(&["exec", "one", "echo", "again"], "again");
    session.prints(&["stop", "-t", "20", "one"], "one");
    session.prints(&exit_code, "5");
    session.succeeds(&["start", "one"]);
    session.prints(&["kill", "one"], "one");
    session.prints(&["wait", "one"], "137");
    session.succeeds(&["rm", "one"]);
    call(session, "run", &["-d", "--name", "two"], &["sleep", "1000"]).exits(0);
    session.succeeds(&["rm", "--force", "two"]);
    session.prints(&["ps", "--all", "--quiet"], "");
    call(session, "create", &["--name", "three"], &["true"]).exits(0);
    session.succeeds(&["rm", "three"]);
}

#[test]
fn docker_limits_a_container() {
    let Some(place) = place() else { return };
    place.compare(docker(&place), |session| {
        let limits = ["--memory", "64m", "--pids-limit", "20", "--cpus", "0.5"];
        let ran =
            sh(session, &[&limits[..], &["--cpu-shares", "512"]].concat(), LIMITS);
        ran.exits(0);
        assert!(ran.out.contains("67108864") && ran.out.contains("20"), "{}", ran.out);
        let bomb = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 5 & done";
        assert_ne!(sh(session, &["--pids-limit", "10"], bomb).code, 0);
        let eat = "x=x; while :; do x=$x$x; done";
        let memory = ["--memory", "16m", "--memory-swap", "16m", "--name", "eater"];
        call(session, "run", &memory, &["sh", "-c", eat]).exits(137);
        session
            .prints(&["inspect", "--format", "{{.State.OOMKilled}}", "eater"], "true");
        session.succeeds(&["rm", "eater"]);
    });
}

#[test]
fn docker_gives_a_container_a_terminal() {
    let Some(place) = place() else { return };
    place.compare(docker(&place), |session| {
        let words = run(session, "run", &["--rm", "-it", "--name", "tty"], &["sh"]);
        let mut terminal = session.at_terminal(&words);
        terminal.type_in("tty; echo $((6*7)) done\n");
        let shown = terminal.shows("42 done");
        assert!(shown.contains("/dev/pts/0") || shown.contains("/dev/console"));
        let until = |size: &str| {
            format!("until [ \"$(stty size)\" = '{size}' ]; do sleep 0.05; done")
        };
        terminal.type_in(&format!("{}; echo first s''ize\n", until("24 100")));
        terminal.shows("first size");
        terminal.resize(33, 111);
        terminal.type_in(&format!("{}; echo re''sized\n", until("33 111")));
        terminal.shows("resized");
        let mut other = session.at_terminal(&["exec", "-it", "tty", "sh"]);
        other.type_in("test -t 0 && echo on a ter''minal; exit 6\n");
        other.shows("on a terminal");
        assert_eq!(other.wait_for_exit().0, 6);
        terminal.type_in("exit 3\n");
        assert_eq!(terminal.wait_for_exit().0, 3);
    });
}
