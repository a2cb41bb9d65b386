//! The part that runs in the virtual machine: mounts each subject over the step's
//! program, and tests it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use crate::plan::{Check, Message, Outcome, Plan, Subject, Until};

/// The directory for temporary files of a subject.
const TMP: &str = "/tmp/kiste-mutant";

fn read(plan: &Path) -> Result<Plan> {
    ensure!(
        std::env::var_os("KISTE_VM").is_some(),
        "a mutant may do anything, so it runs in the virtual machine only"
    );
    Ok(serde_json::from_slice(&fs::read(plan)?)?)
}

fn send(word: &Message) -> Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    std::io::stdout().write_all(&line).context("write to stdout")
}

/// Tests each subject of the plan in namespaces of its own, until one has changed the
/// machine.
pub fn all(file: &Path) -> Result<()> {
    let plan = read(file)?;
    fs::create_dir_all(TMP)?;
    let require = passing_checks(&plan.program_path)?;
    let before = state();
    for nth in 0..plan.subjects.len() {
        send(&Message::Begin(nth))?;
        let status = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--mount-proc"])
            .args(["--pid", "--fork", "--kill-child"])
            // A shell as PID 1 reaps orphaned processes.
            .args(["--uts", "--ipc", "bash", "-c", r#""$0" "$@"; exit $?"#])
            .arg(std::env::current_exe()?)
            .arg("--inside")
            .arg(file)
            .args(["--subject", &nth.to_string()])
            // A mutant must not make a test skip itself: a check that passes now must
            // pass for the test, too.
            .env("KISTE_REQUIRE", &require)
            .env("TMPDIR", TMP)
            .env("KISTE_SKIP_LOG", format!("{TMP}/skipped"))
            .stdin(Stdio::null())
            .status()
            .context("run unshare, of util-linux")?;
        if !status.success() {
            // Without an end message, the subject is tested again, alone in a machine.
            eprintln!("subject {nth} has broken its tester: {status}");
            return Ok(());
        }
        remove_cgroups()?;
        send(&Message::End(nth))?;
        let after = state();
        if let Some((what, _)) =
            after.iter().zip(&before).find(|(after, before)| after != before)
        {
            return send(&Message::Changed(what.clone()));
        }
    }
    Ok(())
}

/// Returns the names of the checks that `doctor` passes in this machine, joined by
/// commas.
fn passing_checks(program: &Path) -> Result<String> {
    let output = Command::new(program).args(["doctor", "--format", "json"]).output()?;
    // Without the checks, a mutant could make the tests skip.
    let checks: Vec<Value> = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{} doctor lists no checks", program.display()))?;
    let passing = checks.iter().filter(|check| check["verdict"] == "ok");
    Ok(passing.filter_map(|check| check["name"].as_str()).collect::<Vec<_>>().join(","))
}

/// Returns the state of the machine that no subject may change, as texts.
fn state() -> Vec<String> {
    let null = fs::metadata("/dev/null").map(|it| it.rdev());
    let mut state = vec![format!("/dev/null: {null:?}")];
    for file in [
        "self/mountinfo",
        "sys/kernel/hostname",
        "sys/kernel/domainname",
        "sys/net/ipv4/ip_forward",
    ] {
        state.push(
            fs::read_to_string(Path::new("/proc").join(file)).unwrap_or_default(),
        );
    }
    state.push(
        fs::read_to_string("/sys/fs/cgroup/cgroup.subtree_control").unwrap_or_default(),
    );
    for dir in ["/sys/class/net", "/sys/fs/cgroup", "/run"] {
        state.push(format!("{dir}: {:?}", paths_in(Path::new(dir))));
    }
    state
}

fn paths_in(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|it| it.path()).collect();
    paths.sort();
    paths
}

/// Removes the cgroups that a subject has left, and the processes in them.
fn remove_cgroups() -> Result<()> {
    let cgroups = paths_in(Path::new("/sys/fs/cgroup"));
    for cgroup in cgroups.iter().filter(|path| path.is_dir()) {
        fs::write(cgroup.join("cgroup.kill"), "1")?;
        remove_cgroup(cgroup);
    }
    Ok(())
}

/// Removes a cgroup. Waits, since killed processes stay in it for a moment. If the
/// cgroup cannot be removed, the comparison of the states finds it.
fn remove_cgroup(cgroup: &Path) {
    paths_in(cgroup)
        .iter()
        .filter(|path| path.is_dir())
        .for_each(|below| remove_cgroup(below));
    let start = Instant::now();
    while fs::remove_dir(cgroup).is_err() && start.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Tests one subject, in its namespaces.
pub fn one(file: &Path, nth: usize) -> Result<()> {
    let plan = read(file)?;
    ensure!(
        nix::unistd::getpid() == Pid::from_raw(2),
        "not in a PID namespace of its own"
    );
    let subject = &plan.subjects[nth];
    replace_program(subject, &plan.program_path)?;
    for &number in &subject.order {
        let check = &plan.checks[number];
        let (mut outcome, seconds, message) = run(check, subject)?;
        if plan.until == Until::Caught && outcome == Outcome::Failed {
            // A flaky test will probably pass the second time.
            outcome = run(check, subject)?.0;
        }
        send(&Message::Checked { check: number, outcome, seconds, message })?;
        if plan.until == Until::Caught
            && matches!(outcome, Outcome::Failed | Outcome::TimedOut)
        {
            break;
        }
    }
    Ok(())
}

fn replace_program(subject: &Subject, program_path: &Path) -> Result<()> {
    // Shared propagation, as on distributions. No mount outside this namespace is in
    // the same peer group.
    mount_with("/", "/", None, MsFlags::MS_SHARED | MsFlags::MS_REC)?;
    for dir in [TMP, "/run"] {
        mount_with(
            "tmpfs",
            dir,
            Some("tmpfs"),
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        )?;
    }
    mount_with(&subject.program, program_path, None, MsFlags::MS_BIND)
}

fn mount_with(
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    kind: Option<&str>,
    flags: MsFlags,
) -> Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    mount(Some(from), to, kind, flags, None::<&str>)
        .with_context(|| format!("mount {}", to.display()))
}

/// Runs a test, with a time limit.
fn run(check: &Check, subject: &Subject) -> Result<(Outcome, f64, String)> {
    let log = Path::new(TMP).join("skipped");
    let _ = fs::remove_file(&log);
    let output = Path::new(TMP).join("output");
    let (start, file) = (Instant::now(), File::create(&output)?);
    let binary = check
        .binary
        .as_ref()
        .or(subject.unit.as_ref())
        .context("no unit tests were built")?;
    let mut command = Command::new(binary);
    if check.binary.is_some() {
        command.args(["--exact", &check.name]);
    }
    let mut test = command
        .current_dir(&check.dir)
        .env("CARGO_MANIFEST_DIR", &check.dir)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {}", binary.display()))?;
    let pid = i32::try_from(test.id()).expect("a PID fits");
    let ended = ends_within(pid, check.limit())?;
    if !ended {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let status = test.wait()?;
    let outcome = match (ended, status.success(), log.exists()) {
        (false, ..) => Outcome::TimedOut,
        (_, false, _) => Outcome::Failed,
        (_, _, true) => Outcome::Skipped,
        _ => Outcome::Passed,
    };
    let message = if outcome == Outcome::Passed {
        String::new()
    } else {
        failure_message(&output, &log)?
    };
    Ok((outcome, start.elapsed().as_secs_f64(), message))
}

fn ends_within(pid: i32, seconds: u64) -> Result<bool> {
    let pid = rustix::process::Pid::from_raw(pid).context("a child has a PID")?;
    let fd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
    let timeout = PollTimeout::try_from(seconds * 1000).unwrap_or(PollTimeout::MAX);
    Ok(poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], timeout)? > 0)
}

/// Returns the message of the first panic, or the reason why the test was skipped.
fn failure_message(output: &Path, log: &Path) -> Result<String> {
    let mut text = String::new();
    for file in [log, output] {
        if let Ok(file) = File::open(file) {
            let mut bytes = Vec::new();
            file.take(100_000).read_to_end(&mut bytes)?;
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    let lines: Vec<&str> = text.lines().collect();
    let first = lines
        .iter()
        .position(|line| line.contains("panicked at"))
        .map_or(0, |at| at + 1);
    let words = lines
        .iter()
        .skip(first)
        .take(3)
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join(" | ");
    Ok(words.chars().take(250).collect())
}
