//! The container's terminal: its name, its size, and its keys.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

/// Starts a shell in a container on a terminal. The prompt is the last exit code. No
/// command that a test types contains the prompt, so only the shell can print it.
fn container_shell(fixture: &Fixture) -> Terminal {
    let mut terminal = fixture.at_terminal(&["-e", "PS1=$?> "], &["sh"]);
    terminal.shows("0> ");
    terminal
}

/// Starts a shell of the host on a terminal, with a script. In the script, `"$@"` is
/// our `run`.
fn start_by_script(
    fixture: &Fixture,
    script: &str,
    options: &[&str],
    command: &[&str],
) -> Terminal {
    let mut words = ["sh", "-c", script, "sh"].map(std::ffi::OsString::from).to_vec();
    words.push(fixture.exe().into());
    words.extend(fixture.arguments(options, command));
    Terminal::start_command(fixture.dir(), &words)
}

/// Starts an interactive shell of the host, with job control.
fn shell_with_job_control(fixture: &Fixture) -> Terminal {
    let words = ["bash", "--norc", "--noprofile", "--noediting", "-i"]
        .map(std::ffi::OsString::from);
    let mut terminal = Terminal::start_command(fixture.dir(), &words);
    terminal.shows("$ ");
    let run: Vec<_> = fixture
        .arguments(&[], &[])
        .iter()
        .map(|word| word.to_str().unwrap().to_owned())
        .collect();
    terminal.type_in(&format!(
        "run() {{ {} {} \"$@\"; }}\n",
        fixture.exe().display(),
        run.join(" ")
    ));
    terminal.shows("$ ");
    terminal
}

#[test]
fn after_explain_step_the_command_has_the_terminal() {
    let Some(fixture) = fixture().filter(|it| it.step().is_ours()) else { return };
    let script = "read line; echo read $line";
    let mut terminal = fixture.at_terminal(&["--explain=step"], &["sh", "-c", script]);
    let shown = explain::step_to(&mut terminal, "execve(");
    assert!(shown.contains("* root directory         "), "{shown}");
    terminal.type_in("\n");
    terminal.type_in("typed\n");
    terminal.shows("read typed");
    explain::step_to(&mut terminal, "waitid(");
    terminal.type_in("\n");
    assert_eq!(terminal.wait_for_exit().0, 0);
}

#[test]
fn the_container_has_its_own_terminal() {
    let Some(fixture) = fixture() else { return };
    let mut terminal = fixture.at_terminal(
        &[],
        &["sh", "-c", "tty; stty size; echo /dev/pts/*; : < /dev/tty && echo opened"],
    );
    let (code, shown) = terminal.wait_for_exit();
    assert_eq!(
        (code, shown.as_str()),
        (0, "/dev/pts/0\r\n24 100\r\n/dev/pts/0 /dev/pts/ptmx\r\nopened\r\n")
    );
}

#[test]
fn the_console_is_the_containers_terminal() {
    let Some(fixture) = fixture() else { return };
    let script = "ls -l /dev/console | cut -c1; echo printed > /dev/console; stat -c %t:%T /dev/console /dev/pts/0";
    let (code, shown) = fixture.at_terminal(&[], &["sh", "-c", script]).wait_for_exit();
    assert_eq!((code, shown.as_str()), (0, "c\r\nprinted\r\n88:0\r\n88:0\r\n"));
}

#[test]
fn the_containers_terminal_follows_the_size_of_the_window() {
    let Some(fixture) = fixture() else { return };
    let script = "echo ready; until [ \"$(stty size)\" = '50 120' ]; do sleep 0.05; done; echo followed";
    let mut terminal = fixture.at_terminal(&[], &["sh", "-c", script]);
    terminal.shows("ready");
    terminal.resize(50, 120);
    terminal.shows("followed");
    assert_eq!(terminal.wait_for_exit().0, 0);
}

#[test]
fn ctrl_c_ends_the_job_and_not_the_shell() {
    let Some(fixture) = fixture() else { return };
    let mut terminal = container_shell(&fixture);
    terminal.type_in("sh -c 'echo rea''dy; exec sleep 1000'\n");
    terminal.shows("ready");
    terminal.type_in("\x03");
    terminal.shows("130> ");
    terminal.type_in("exit 7\n");
    assert_eq!(terminal.wait_for_exit().0, 7);
}

#[test]
fn ctrl_z_stops_the_job_and_fg_continues_it() {
    let Some(fixture) = fixture() else { return };
    let mut terminal = container_shell(&fixture);
    terminal.type_in("sh -c 'echo rea''dy; read line; echo got $line'\n");
    terminal.shows("ready");
    terminal.type_in("\x1a");
    terminal.shows("Stopped");
    terminal.type_in("fg\n");
    terminal.type_in("something\n");
    terminal.shows("got something");
    terminal.type_in("exit 0\n");
    assert_eq!(terminal.wait_for_exit().0, 0);
}

#[test]
fn ctrl_d_ends_the_shell() {
    let Some(fixture) = fixture() else { return };
    let mut terminal = container_shell(&fixture);
    terminal.type_in("\x04");
    assert_eq!(terminal.wait_for_exit().0, 0);
}

#[test]
fn the_settings_of_the_callers_terminal_are_restored_however_the_run_ends() {
    let Some(fixture) = fixture() else { return };
    let script = "echo be''fore; read go; \"$@\"; echo code=$?; read go";
    for (options, inside, code) in [
        (&[][..], "echo inside; read end; exit 3", 3),
        (&["--init"], "echo inside; read end; kill -9 $$", 137),
        (&["--init"], "echo inside; exec sleep 1000", 143),
    ] {
        let pid_file = fixture.dir().join("pid");
        let options = [options, &["--pid-file", pid_file.to_str().unwrap()]].concat();
        let mut terminal =
            start_by_script(&fixture, script, &options, &["sh", "-c", inside]);
        terminal.shows("before");
        let before = terminal.settings();
        terminal.type_in("go\n");
        terminal.shows("inside");
        assert_ne!(terminal.settings(), before, "the terminal is in raw mode");
        if code == 143 {
            let pid = eventually(|| fs::read_to_string(&pid_file).ok()).unwrap();
            let runtime = host::status_field(pid.trim(), "PPid").parse().unwrap();
            kill(Pid::from_raw(runtime), Signal::SIGTERM).unwrap();
        } else {
            terminal.type_in("end\n");
        }
        terminal.shows(&format!("code={code}"));
        assert_eq!(terminal.settings(), before, "{inside}");
        terminal.type_in("end\n");
        terminal.wait_for_exit();
    }
}

#[test]
fn a_run_that_fails_does_not_change_the_settings_of_the_terminal() {
    let Some(fixture) = fixture() else { return };
    let mut terminal = start_by_script(
        &fixture,
        "echo be''fore; read go; \"$@\"; echo code=$?; read go",
        &[],
        &["nosuch"],
    );
    terminal.shows("before");
    let before = terminal.settings();
    terminal.type_in("go\n");
    terminal.shows("code=127");
    assert_eq!(terminal.settings(), before);
}

#[test]
fn closing_the_window_ends_the_shell() {
    let Some(fixture) = fixture() else { return };
    let pid_file = fixture.dir().join("pid");
    let options = ["--pid-file", pid_file.to_str().unwrap(), "-e", "PS1=$?> "];
    for script in ["exec \"$@\"", "\"$@\"; :"] {
        let mut terminal = start_by_script(&fixture, script, &options, &["sh"]);
        terminal.shows("0> ");
        let pid = eventually(|| fs::read_to_string(&pid_file).ok()).unwrap();
        terminal.close();
        host::assert_exits(pid.trim());
        terminal.wait_for_exit();
    }
}

#[test]
fn closing_the_window_also_ends_a_command_that_does_not_read_the_terminal() {
    let Some(fixture) = fixture() else { return };
    // With an init, the command dies of SIGHUP. Without an init, the command is PID 1:
    // it ignores the signal, and ends because its terminal hangs up.
    for (init, inside) in
        [(Some("--init"), "exec sleep 1000"), (None, "read line < /dev/tty")]
    {
        let pid_file = fixture.dir().join(format!("pid-{}", host::unique()));
        let options =
            [init.as_slice(), &["--pid-file", pid_file.to_str().unwrap()]].concat();
        let command = format!("echo rea''dy; {inside}");
        let mut terminal = start_by_script(
            &fixture,
            "exec \"$@\" < /dev/null",
            &options,
            &["sh", "-c", &command],
        );
        terminal.shows("ready");
        let pid = eventually(|| fs::read_to_string(&pid_file).ok()).unwrap();
        terminal.close();
        host::assert_exits(pid.trim());
        terminal.wait_for_exit();
    }
}

#[test]
fn a_sighup_sent_by_kill_reaches_the_command_and_the_terminal_stays_open() {
    let Some(fixture) = fixture() else { return };
    let pid_file = fixture.dir().join("pid");
    let script =
        "trap 'echo got it; exit 5' HUP; echo rea''dy; while :; do sleep 0.05; done";
    let mut terminal = fixture.at_terminal(
        &["--pid-file", pid_file.to_str().unwrap()],
        &["sh", "-c", script],
    );
    terminal.shows("ready");
    let pid = eventually(|| fs::read_to_string(&pid_file).ok()).unwrap();
    let runtime = host::status_field(pid.trim(), "PPid").parse().unwrap();
    kill(Pid::from_raw(runtime), Signal::SIGHUP).unwrap();
    terminal.shows("got it");
    assert_eq!(terminal.wait_for_exit().0, 5);
}

#[test]
fn a_paste_that_nobody_reads_does_not_block_the_output() {
    let Some(fixture) = fixture() else { return };
    let script = "stty raw -echo; echo ready; i=0; while [ $i -lt 200 ]; do echo line $i; sleep 0.01; i=$((i+1)); done; \
                  echo printed all";
    let mut terminal = fixture.at_terminal(&[], &["sh", "-c", script]);
    terminal.shows("ready");
    let taken = terminal.paste(&"x".repeat(200_000));
    assert!(taken > 4096 && taken < 200_000, "{taken} bytes were taken");
    terminal.shows("line 199");
    terminal.shows("printed all");
    assert_eq!(terminal.wait_for_exit().0, 0);
}

#[test]
fn a_paste_arrives_completely() {
    let Some(fixture) = fixture() else { return };
    let script =
        "stty raw -echo; echo ready; head -c 200000 | tr -d x | wc -c; echo end";
    let mut terminal = fixture.at_terminal(&[], &["sh", "-c", script]);
    terminal.shows("ready");
    assert_eq!(terminal.paste(&"x".repeat(200_000)), 200_000);
    let shown = terminal.shows("end");
    assert_eq!(shown.trim_end_matches("end").trim(), "0");
}

#[test]
fn the_output_arrives_completely() {
    let Some(fixture) = fixture() else { return };
    let mut terminal = fixture.at_terminal(
        &[],
        &["sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo end"],
    );
    let (code, shown) = terminal.wait_for_exit();
    assert_eq!((code, shown.matches('x').count()), (0, 5_000_000));
    assert!(shown.ends_with("x\r\nend\r\n"), "{:?}", &shown[shown.len() - 20..]);
}

#[test]
fn the_last_output_also_arrives_at_a_slow_terminal() {
    let Some(fixture) = fixture() else { return };
    let pid_file = fixture.dir().join("pid");
    // A pty holds more or less, depending on the size of each write. So the command
    // prints until its write blocks, and notes in a file the lines that it has printed.
    let script = "pad=$(head -c 990 /dev/zero | tr '\\0' x); i=0; \
                  while :; do i=$((i+1)); echo $i $pad; echo $i >> /host/printed; done";
    let volume = format!("{}:/host", fixture.dir().display());
    let mut terminal = fixture.at_terminal(
        &["-v", &volume, "--pid-file", pid_file.to_str().unwrap()],
        &["sh", "-c", script],
    );
    let pid =
        eventually(|| fs::read_to_string(&pid_file).ok()).expect("the container runs");
    streams::wait_until_full(&terminal.tty);
    kill(Pid::from_raw(pid.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    host::assert_exits(pid.trim());
    let printed = fs::read_to_string(fixture.dir().join("printed")).unwrap();
    let (code, shown) = terminal.wait_for_exit();
    assert_eq!(code, 137);
    let pad = "x".repeat(990);
    let expected: String =
        printed.lines().map(|line| format!("{line} {pad}\r\n")).collect();
    assert!(expected.len() > 8192, "only {} bytes were printed", expected.len());
    assert!(
        shown.starts_with(&expected),
        "{} bytes of {} were shown",
        shown.len(),
        expected.len()
    );
}

#[test]
fn a_signal_ends_the_runtime_although_nobody_reads_the_terminal() {
    let Some(fixture) = fixture() else { return };
    // The first run is in raw mode. The second one has its stdin redirected, so it does
    // not change the settings: each line is one write(2), and one of them is written
    // only in part.
    for (number, script) in
        ["exec \"$@\"", "exec \"$@\" < /dev/null"].into_iter().enumerate()
    {
        let pid_file = fixture.dir().join(format!("pid-{number}"));
        let mut terminal = start_by_script(
            &fixture,
            script,
            &["--init", "--pid-file", pid_file.to_str().unwrap()],
            &["yes"],
        );
        let pid = eventually(|| fs::read_to_string(&pid_file).ok())
            .expect("the container runs");
        let runtime = host::status_field(pid.trim(), "PPid");
        streams::wait_until_full(&terminal.tty);
        kill(Pid::from_raw(runtime.parse().unwrap()), Signal::SIGTERM).unwrap();
        host::assert_exits(&runtime);
        assert_eq!(terminal.wait_for_exit().0, 143, "{script}");
    }
}

#[test]
fn a_command_in_the_background_keeps_running() {
    let Some(fixture) = fixture().filter(|_| require_tool("bash")) else { return };
    let mut terminal = shell_with_job_control(&fixture);
    let before = terminal.settings();
    let volume = format!("{}:/host", fixture.dir().display());
    let script = "echo to the terminal; tty; until [ -e /host/go ]; do sleep 0.05; done; echo fin''ished";
    terminal.type_in(&format!("run -v {volume} sh -c \"{script}\" &\n"));
    terminal.shows("to the terminal\r\n");
    terminal.shows("/dev/pts/0");
    assert_eq!(terminal.settings(), before, "while the command runs");
    fs::write(fixture.dir().join("go"), "").unwrap();
    terminal.shows("finished");
    terminal.type_in("wait; jobs; echo rea''dy\n");
    let shown = terminal.shows("ready");
    assert!(!shown.contains("Stopped"), "{shown}");
    assert_eq!(terminal.settings(), before);
}

#[test]
fn a_command_that_fg_brings_to_the_foreground_has_the_keyboard() {
    let Some(fixture) = fixture().filter(|_| require_tool("bash")) else { return };
    let mut terminal = shell_with_job_control(&fixture);
    let volume = format!("{}:/host", fixture.dir().display());
    let script = "echo rea''dy; until [ -e /host/go ]; do sleep 0.05; done; read line; echo got $line";
    terminal.type_in(&format!(
        "run -v {volume} sh -c \"{}\" &\n",
        script.replace('$', "\\$")
    ));
    terminal.shows("ready");
    terminal.type_in("fg\n");
    terminal.shows("read line; echo"); // the shell prints the job that it continues
    fs::write(fixture.dir().join("go"), "").unwrap();
    terminal.type_in("something\n");
    terminal.shows("got something");
    assert_shell_has_terminal(&mut terminal);
}

/// Checks that the shell has the terminal again.
fn assert_shell_has_terminal(terminal: &mut Terminal) {
    terminal.shows("$ ");
    terminal.type_in("echo al''ive\n");
    terminal.shows("alive");
}

#[test]
fn with_stdin_redirected_the_keys_of_the_terminal_go_to_the_runtime() {
    let Some(fixture) = fixture().filter(|_| require_tool("bash")) else { return };
    let mut terminal = shell_with_job_control(&fixture);
    let volume = format!("{}:/host", fixture.dir().display());
    let script =
        "echo rea''dy; until [ -e /host/go ]; do sleep 0.05; done; echo fin''ished";
    terminal.type_in(&format!("run -v {volume} sh -c \"{script}\" < /dev/null\n"));
    terminal.shows("ready");
    terminal.type_in("\x1a");
    terminal.shows("Stopped");
    terminal.type_in("fg\n");
    fs::write(fixture.dir().join("go"), "").unwrap();
    terminal.shows("finished");
}

#[test]
fn the_command_also_has_the_keyboard_on_a_terminal_of_another_session() {
    let Some(fixture) = fixture() else { return };
    // The terminal on stdin is not the session's controlling terminal, as under some
    // supervisors.
    let mut terminal = start_by_script(
        &fixture,
        "setsid --wait \"$@\"; echo code=$?",
        &[],
        &["sh", "-c", "echo rea''dy; read line; echo got $line"],
    );
    terminal.shows("ready");
    terminal.type_in("something\n");
    terminal.shows("got something");
    terminal.shows("code=0");
}

#[test]
fn option_t_gives_the_container_a_terminal_if_the_caller_has_none() {
    let Some(fixture) = fixture() else { return };
    let ran = fixture.sh(
        &["-t"],
        "tty; test -t 0 && test -t 1 && test -t 2 && echo all; echo error >&2",
    );
    assert_eq!(
        (ran.exits(0).out.as_str(), ran.err.as_str()),
        ("/dev/pts/0\r\nall\r\nerror\r\n", "")
    );
    let ran = fixture.sh(&[], "tty");
    assert_eq!((ran.code, ran.out.as_str()), (1, "not a tty\n"));
}

#[test]
fn a_command_at_a_terminal_has_the_variable_term() {
    let Some(fixture) = fixture() else { return };
    let term = |caller: &[&str], options: &[&str]| {
        let starter = [&["env", "-u", "TERM"], caller].concat();
        fixture
            .run_under(&starter, options, &["sh", "-c", "echo \"[$TERM]\""])
            .exits(0)
            .out
            .clone()
    };
    assert_eq!(term(&[], &["-t"]), "[xterm]\r\n");
    assert_eq!(term(&["TERM=vt100"], &["-t"]), "[vt100]\r\n");
    assert_eq!(term(&[], &["-t", "-e", "TERM=linux"]), "[linux]\r\n");
    assert_eq!(term(&[], &["-t", "-e", "TERM="]), "[]\r\n");
    assert_eq!(term(&[], &[]), "[]\n");
}

#[test]
fn options_i_and_t_together_are_refused_without_a_terminal() {
    let Some(fixture) = fixture() else { return };
    for options in [&["-it"][..], &["-i", "-t"], &["--interactive", "--tty"]] {
        let ran = fixture.run(options, &["echo", "it runs"]);
        ran.exits(125)
            .assert_stderr_contains("stdin is not a terminal")
            .assert_stderr_contains("hint: leave out -t");
        assert_eq!(ran.out, "");
    }
    fixture.run(&["-i"], &["echo", "it runs"]).assert_stdout("it runs");
    let mut terminal = fixture.at_terminal(&["-it"], &["tty"]);
    assert_eq!(terminal.wait_for_exit(), (0, "/dev/pts/0\r\n".into()));
}

/// A line to type into a shell with job control. It waits until a job is stopped.
const UNTIL_STOPPED: &str =
    "until [ \"$(jobs -s)\" ]; do sleep 0.01; done; echo sto''pped\n";

#[test]
fn a_run_in_the_background_stops_once_a_program_inside_reads_the_terminal() {
    let Some(fixture) = fixture().filter(|_| require_tool("bash")) else { return };
    let mut terminal = shell_with_job_control(&fixture);
    for reader in ["(read line; echo got: $line)", "head -1 | sed s/^/got:\\ /"] {
        terminal.type_in(&format!("run sh -c '{reader}' | cat &\n"));
        terminal.type_in(UNTIL_STOPPED);
        terminal.shows("stopped");
        terminal.type_in("fg\n");
        terminal.shows("| cat\r\n");
        terminal.type_in("a line\n");
        terminal.shows("got: a line");
        assert_shell_has_terminal(&mut terminal);
    }
}

#[test]
fn a_run_in_the_background_stops_once_a_program_inside_reads_single_keys() {
    let Some(fixture) = fixture().filter(|_| require_tool("bash")) else { return };
    let mut terminal = shell_with_job_control(&fixture);
    let volume = format!("{}:/host", fixture.dir().display());
    let script =
        "stty -icanon; until [ -e /host/go ]; do sleep 0.05; done; echo fin''ished";
    terminal.type_in(&format!("run -v {volume} sh -c \"{script}\" &\n"));
    terminal.type_in(UNTIL_STOPPED);
    terminal.shows("stopped");
    fs::write(fixture.dir().join("go"), "").unwrap();
    terminal.type_in("fg\n");
    terminal.shows("finished");
    assert_shell_has_terminal(&mut terminal);
}

#[test]
fn a_command_in_a_pipeline_below_sudo_has_the_keyboard() {
    let Some(fixture) = fixture() else { return };
    keys::a_command_in_a_pipeline_below_sudo_has_the_keyboard(&fixture, &[]);
}
