//! Options accumulate: a step accepts those of every step below it.

use std::fs;

use crate::{Fixture, Running, World, explain};

/// Asserts that the options of the steps below a step with networks still work, all at
/// once and together with `own`.
#[track_caller]
pub fn assert_earlier_options_work_in(world: &World, own: &[&str]) {
    let source = world.fixture.dir().join("source");
    fs::create_dir(&source).unwrap();
    let volume = format!("{}:/volume", source.display());
    let options = [
        "-e",
        "A=1",
        "-w",
        "/usr",
        "--hostname",
        "crate",
        "--domainname",
        "example.org",
        "--init",
        "--propagation",
        "shared",
        "-v",
        &volume,
        "--mount",
        "type=tmpfs,dst=/mount",
        "--tmpfs",
        "/memory",
        "--read-only",
        "-t",
        "-u",
        "0:0",
    ];
    let script = "echo $A $PWD; uname -n; cat /proc/sys/kernel/domainname; [ $$ = 1 ] || echo not PID 1; \
                  for at in volume mount memory; do grep -c \" /$at \" /proc/self/mountinfo; done; \
                  grep -q ' shared:' /proc/self/mountinfo && echo shared; \
                  touch /new 2>/dev/null || echo read-only; : </dev/tty";
    let ran = world.run_sh(&[&options[..], own].concat(), script);
    let lines = "1 /usr\ncrate\nexample.org\nnot PID 1\n1\n1\n1\nshared\nread-only\n";
    assert_eq!(ran.exits(0).out.replace("\r\n", "\n"), lines);
    explain::narrates_each_step_alone(world.fixture.step(), |how| {
        world.run(&[how], &["true"])
    });
    assert_program_is_out_of_reach(&world.start(&["--init"], &["sleep", "300"]));
}

/// Asserts that the options of the steps below still work, all at once.
#[track_caller]
pub fn assert_earlier_options_work(fixture: &Fixture) {
    // From step 4 on these are paths in the root file system, and created there.
    let [volume, mount, memory] = ["volume", "mount", "memory"].map(|name| {
        let path = fixture.dir().join(name);
        fs::create_dir(&path).expect("make a directory to mount on");
        path.to_str().unwrap().to_owned()
    });
    let mounted = format!(
        "for at in {volume} {mount} {memory}; do grep -c \" $at \" /proc/self/mountinfo; done; \
         grep -q ' shared:' /proc/self/mountinfo && echo shared"
    );
    let volume = format!("{volume}:{volume}");
    let mount = format!("type=tmpfs,dst={mount}");

    // A step, its options, a script that shows their effect, and its output.
    let table = [
        (
            0,
            &["-e", "A=1", "-w", "/usr", "--umask", "027", "--pid-file", "pid"][..],
            "echo $A $PWD $(umask)",
            "1 /usr 0027\n",
        ),
        (
            1,
            &["--hostname", "crate", "--domainname", "example.org"],
            "uname -n; cat /proc/sys/kernel/domainname",
            "crate\nexample.org\n",
        ),
        (2, &["--init"], "[ $$ = 1 ] || echo not PID 1", "not PID 1\n"),
        (
            3,
            &[
                "--propagation",
                "shared",
                "-v",
                &volume,
                "--mount",
                &mount,
                "--tmpfs",
                &memory,
            ],
            &mounted,
            "1\n1\n1\nshared\n",
        ),
        (
            4,
            &["--read-only", "--shm-size", "1m", "-t"],
            "touch /new 2>/dev/null || echo read-only; : </dev/tty; df -k /dev/shm | grep -c ' 1024 '",
            "read-only\n1\n",
        ),
    ];
    let (mut options, mut script, mut prints) = (Vec::new(), Vec::new(), String::new());
    for (_, its_options, its_script, its_prints) in
        table.into_iter().filter(|(step, ..)| *step < fixture.step().number())
    {
        options.extend(its_options);
        script.push(its_script);
        prints += its_prints;
    }
    let ran = fixture.sh(&options, &script.join("; "));
    // On a terminal a line ends with \r\n.
    assert_eq!(
        ran.exits(0).out.lines().collect::<Vec<_>>(),
        prints.lines().collect::<Vec<_>>()
    );
    explain::narrates_each_step_alone(fixture.step(), |how| {
        fixture.run(&[how], &["true"])
    });
    if fixture.step().number() >= 2 && fixture.step().is_ours() {
        assert_program_is_out_of_reach(&fixture.start(&["--init"], &["sleep", "300"]));
    }
}

/// Asserts that no process of a running container, which was started by root with
/// `--init`, can open the step's own program, and write to it later (CVE-2019-5736).
/// Steps 6 and above try the attack, too.
#[track_caller]
pub fn assert_program_is_out_of_reach(running: &Running) {
    for pid in [running.pid, running.runtime()] {
        let program = format!("/proc/{pid}/exe");
        let link = fs::read_link(&program).unwrap().display().to_string();
        let mount = rustix::fs::statvfs(&program).unwrap().f_flag;
        let is_read_only = mount.contains(rustix::fs::StatVfsMountFlags::RDONLY);
        let is_sealed_copy = link.starts_with("/memfd:");
        assert!(is_sealed_copy || is_read_only, "{pid} executes {link}, writable");
    }
}
