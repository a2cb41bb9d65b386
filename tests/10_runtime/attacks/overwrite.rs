//! CVE-2019-5736: a container opens the runtime's program through /proc/PID/exe, waits
//! until no process executes it any more, and overwrites it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use kiste_tests::{eventually, host};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

use crate::conformance::bundle::{Bundle, ID, write_script};

/// Starts the program `./victim` in place of the step's.
const START_VICTIM: [&str; 4] = ["sh", "-c", r#"shift; exec ./victim "$@""#, "sh"];

/// Makes a bundle whose runtime is a copy, the victim, and whose root file system has a
/// script that executes it again: /proc/self/exe is the runtime at that moment. LD_PRELOAD
/// makes the runtime's dynamic linker open a FIFO, and so wait.
fn with_victim() -> Option<(Bundle, PathBuf)> {
    let mut bundle = Bundle::new()?;
    let victim = bundle.dir().join("victim");
    host::copy_program(bundle.exe(), &victim);
    bundle.install(&victim, "libraries-of-this-program");
    write_script(bundle.rootfs().join("script"), "#!/proc/self/exe\n");
    mkfifo(&bundle.rootfs().join("fifo"), Mode::S_IRWXU).unwrap();
    bundle.starter = START_VICTIM.map(Into::into).into();
    Some((bundle, victim))
}

#[test]
fn an_entrypoint_that_is_the_runtime_itself_cannot_be_overwritten() {
    let Some((mut bundle, victim)) = with_victim() else { return };
    if !bundle.is_ours() {
        return; // runc is static, and does not wait for a FIFO
    }
    let before = fs::read(&victim).unwrap();
    bundle.config["process"]["args"] = json!(["/script"]);
    bundle.config["process"]["env"] = json!(["PATH=/bin", "LD_PRELOAD=/fifo"]);
    bundle.started();
    // The container's process is the runtime's program. This test has more rights than
    // the container to overwrite it.
    let program = File::open(format!("/proc/{}/exe", bundle.pid())).unwrap();
    bundle.call(&["kill", ID, "KILL"]).exits(0);
    bundle.wait_for("stopped");
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    let opened = OpenOptions::new().write(true).open(path);
    let written = opened.and_then(|mut file| file.write_all(b"#!/bin/attacker\n"));
    assert!(written.is_err(), "it was written to");
    assert!(fs::read(&victim).unwrap() == before, "the program was overwritten");
}

#[test]
fn an_executed_command_that_is_the_runtime_itself_cannot_be_overwritten() {
    let Some((mut bundle, victim)) = with_victim() else { return };
    if !bundle.is_ours() {
        return;
    }
    let before = fs::read(&victim).unwrap();
    bundle.set_script(
        "echo up
        while :; do
            for process in /proc/[0-9]*; do
                case $(readlink $process/exe) in '' | */busybox) continue ;; esac
                true < $process/exe || continue
                exec 3< $process/exe
                kill -9 ${process#/proc/}
                while [ -e $process/exe ]; do sleep 0.01; done
                if echo '#!/bin/attacker' > /proc/self/fd/3
                then echo overwritten; else echo refused; fi
                exec sleep 1000
            done
            sleep 0.01
        done 2> /dev/null",
    );
    bundle.started();
    bundle.wait_for_output("up");
    let run = ["exec", "--detach", "--env", "LD_PRELOAD=/fifo", ID, "/script"];
    let mut exec = bundle.spawn("exec", &run);
    let _ = exec.wait();
    let tried = |word: &str| bundle.output().contains(word).then_some(());
    let tried = eventually(|| tried("refused").or_else(|| tried("overwritten")));
    assert!(tried.is_some(), "the attack was not tried: {}", bundle.output());
    assert!(fs::read(&victim).unwrap() == before, "the program was overwritten");
    assert!(bundle.output().contains("refused"), "{}", bundle.output());
}
