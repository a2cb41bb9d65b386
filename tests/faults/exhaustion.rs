//! Runs with a resource exhausted or access denied: the error must be clear, and no
//! data may be lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kiste_tests::{Ran, host};

use crate::report::{Outcome, Report};
use crate::scenario::{Scenario, text};

/// The required result of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Required {
    /// It must refuse to start the command.
    Refuse,
    /// It may run the command or refuse.
    RunOrRefuse,
}

/// Runs containers with each resource exhausted in turn.
pub fn exhaust(scenario: &Scenario, report: &mut Report) {
    let mut tests = Tests { scenario, report };
    if scenario.number() >= 4 {
        tests.limits();
    }
    if scenario.number() >= 5 {
        tests.cgroups();
        tests.root_file_systems();
    }
    if scenario.number() >= 7 {
        tests.stores();
    }
}

struct Tests<'a> {
    scenario: &'a Scenario,
    report: &'a mut Report,
}

impl Tests<'_> {
    /// Limits descriptors and address space, from far too little to enough.
    fn limits(&mut self) {
        for descriptors in 3..=40 {
            let limit = format!("--nofile={descriptors}:{descriptors}");
            self.run(
                "no descriptors",
                &["prlimit", &limit],
                &[],
                Required::RunOrRefuse,
            );
        }
        for mebibytes in (4..=80).step_by(4) {
            let limit = format!("--as={}", mebibytes << 20);
            self.run(
                "no address space",
                &["prlimit", &limit],
                &[],
                Required::RunOrRefuse,
            );
        }
    }

    /// Puts the runtime itself into a cgroup with a limit, and makes cgroups read-only.
    fn cgroups(&mut self) {
        for processes in 1..=8 {
            let limits = [("pids.max", processes)];
            self.run_in_cgroup("no processes", "pids", &limits, Required::RunOrRefuse);
        }
        for kibibytes in (256..=4096_u64).step_by(256) {
            let limits = [
                ("memory.limit_in_bytes", kibibytes << 10),
                ("memory.max", kibibytes << 10),
            ];
            self.run_in_cgroup("no memory", "memory", &limits, Required::RunOrRefuse);
        }
        let read_only = "grep -o '/sys/fs/cgroup[^ ]*' /proc/self/mounts | \
                         while read -r it; do mount -o remount,bind,ro \"$it\"; done; exec \"$@\"";
        self.run(
            "cgroups read-only",
            &in_mount_namespace(read_only),
            &[],
            Required::Refuse,
        );
    }

    fn run_in_cgroup(
        &mut self,
        what: &str,
        controller: &str,
        limits: &[(&str, u64)],
        required: Required,
    ) {
        let name = format!("{}-outer", self.scenario.fixture().cgroup_parent());
        let mounts = host::cgroup_mounts();
        let has_controller = |mount: &&PathBuf| {
            mount.ends_with(controller)
                || fs::read_to_string(mount.join("cgroup.subtree_control")).is_ok_and(
                    |names| names.split_whitespace().any(|it| it == controller),
                )
        };
        let Some(mount) = mounts.iter().find(has_controller) else { return };
        let cgroup = mount.join(name);
        fs::create_dir_all(&cgroup).expect("make a cgroup");
        for (file, value) in
            limits.iter().filter(|(file, _)| cgroup.join(file).exists())
        {
            fs::write(cgroup.join(file), value.to_string()).expect("set a limit");
        }
        let script =
            format!("echo $$ > {}/cgroup.procs; exec \"$@\"", cgroup.display());
        self.run(what, &["sh", "-c", &script, "sh"], &[], required);
        let removed = kiste_tests::eventually(|| fs::remove_dir(&cgroup).ok());
        if removed.is_none() {
            self.report.violation(
                what,
                "a process is left in the cgroup of the runtime",
                cgroup.display(),
            );
        }
    }

    /// Uses root file systems that cannot be read or do not exist.
    fn root_file_systems(&mut self) {
        let dir = self.scenario.fixture().dir();
        let closed = dir.join("closed");
        fs::create_dir_all(closed.join("root")).unwrap();
        std::os::unix::fs::chown(&closed, Some(65534), Some(65534)).unwrap();
        fs::set_permissions(
            &closed,
            std::os::unix::fs::PermissionsExt::from_mode(0o700),
        )
        .unwrap();
        fs::write(dir.join("file"), "").unwrap();
        // Without these capabilities, root is refused files of another user:
        // capabilities(7).
        let without = [
            "setpriv",
            "--bounding-set=-dac_override,-dac_read_search",
            "--inh-caps=-all",
        ];
        let unreadable = closed.join("root");
        self.run(
            "root file system unreadable",
            &without,
            &["--rootfs", text(&unreadable)],
            Required::Refuse,
        );
        for (what, name) in [
            ("root file system missing", "nowhere"),
            ("root file system a file", "file"),
        ] {
            let path = dir.join(name);
            self.run(what, &["env"], &["--rootfs", text(&path)], Required::Refuse);
        }
    }

    /// Puts the store on a full disk or a read-only one. The images that it had before
    /// must still run.
    fn stores(&mut self) {
        let fixture = self.scenario.fixture();
        let (store, archive) =
            (fixture.dir().join("small"), fixture.dir().join("rootfs.tar"));
        fs::create_dir_all(&store).unwrap();
        let needed = fs::metadata(&archive).unwrap().len() >> 20;
        for mebibytes in 1..=needed * 3 {
            let what = format!("store of {mebibytes} MiB");
            let script = full_disk(&store, &archive, &format!("size={mebibytes}m"));
            let ran = fixture.call_under(
                &in_mount_namespace(&script),
                ["import", "--store", text(&store)],
            );
            self.judge_store("store on a full disk", &what, &ran);
        }
        for files in [50, 60, 80, 100, 300, 2000] {
            let script =
                full_disk(&store, &archive, &format!("size=1g,nr_inodes={files}"));
            let ran = fixture.call_under(
                &in_mount_namespace(&script),
                ["import", "--store", text(&store)],
            );
            self.judge_store("store without inodes", &format!("{files} inodes"), &ran);
        }
        let read_only = format!(
            "mount --bind {0} {0}; mount -o remount,bind,ro {0}; \"$@\"",
            fixture.store().display()
        );
        self.run(
            "store read-only",
            &in_mount_namespace(&read_only),
            &["--image", "faults"],
            Required::Refuse,
        );
    }

    /// Reports the errors that the script of `full_disk` has found.
    fn judge_store(&mut self, row: &str, what: &str, ran: &Ran) {
        let wrong = ran.out.lines().find(|line| line.starts_with("wrong: "));
        let refused = ran.out.lines().any(|line| line == "refused");
        match wrong {
            Some(wrong) => self.report.violation(
                row,
                format_args!("{what}: {wrong}; {}", ran.err),
                "tests/faults/run exhaustion",
            ),
            None if ran.code != 0 => self.report.violation(
                row,
                format_args!("{what}: {ran:?}"),
                "tests/faults/run exhaustion",
            ),
            None => {}
        }
        let step = self.scenario.fixture().step().name();
        let outcome = match (wrong, refused) {
            (Some(_), _) => Outcome::Violation,
            (None, true) => Outcome::Refused,
            (None, false) => Outcome::FellBack,
        };
        self.report.count(&format!("{step} {row}"), outcome);
    }

    /// Runs a container by way of another program, such as prlimit(1), then `gc`, and
    /// checks that nothing is left.
    fn run(
        &mut self,
        what: &str,
        starter: &[&str],
        options: &[&str],
        required: Required,
    ) {
        let scenario = self.scenario;
        let (fixture, step) = (scenario.fixture(), scenario.fixture().step().name());
        let scenario_starter = scenario.starter();
        let words: Vec<&str> = starter
            .iter()
            .copied()
            .chain(scenario_starter.iter().map(String::as_str))
            .collect();
        // --rootfs and --image exclude each other.
        let usual = if options.is_empty() {
            scenario.options()
        } else {
            scenario.options_without(&["--image"])
        };
        let options = [&usual[..], options].concat();
        let ran = fixture.run_under(&words, &options, &["echo", "it runs"]);
        let row = format!("{step} {what}");
        let mut wrong = Vec::new();
        match (ran.out.contains("it runs"), ran.code) {
            (true, 0) if required == Required::RunOrRefuse => {}
            (true, 0) => wrong.push("the command runs, but must not".to_string()),
            (false, 0) => {
                wrong.push("the command does not run, but the exit code is 0".into())
            }
            // The loader exits with 127. Out of memory, the C library aborts (134) and
            // the kernel kills (137).
            (false, 125 | 126 | 127 | 134) if !ran.err.trim().is_empty() => {}
            (false, 134 | 137 | 139)
                if what.contains("memory") || what.contains("address") => {}
            (command_ran, code) => wrong
                .push(format!("exit code {code}, it ran: {command_ran}; {}", ran.err)),
        }
        if ran.code == 127 && ran.err.contains("hint")
            || ran.err.contains("a bug in Kiste")
        {
            wrong.push(format!("the error is misleading: {}", ran.err));
        }
        if let Some(failed) = scenario.gc().filter(|gc| gc.code != 0) {
            wrong.push(format!("gc fails: {}", failed.err));
        }
        let left = scenario.leftovers_after(Duration::from_secs(5));
        if !left.is_empty() {
            wrong.push(format!("left after gc: {left:?}"));
            scenario.remove_leftovers();
        }
        let outcome = match () {
            () if !wrong.is_empty() => Outcome::Violation,
            () if ran.code == 0 => Outcome::FellBack,
            () => Outcome::Refused,
        };
        self.report.count(&row, outcome);
        for what in wrong {
            self.report.violation(
                &row,
                what,
                format_args!("{} -- {}", starter.join(" "), options.join(" ")),
            );
        }
    }
}

/// Returns the words that run a shell script in a mount namespace of its own. The
/// script's `"$@"` is the program.
fn in_mount_namespace(script: &str) -> [&str; 6] {
    ["unshare", "-m", "sh", "-c", script, "sh"]
}

/// Returns a script that imports a small image, then a large one that might not fit.
/// Afterwards the store must still have the small image, and no part of the large one.
/// `$1` is the program.
fn full_disk(store: &Path, archive: &Path, size: &str) -> String {
    let (store, archive) = (store.display(), archive.display());
    format!(
        "mount -t tmpfs -o mode=700,{size} tmpfs {store} || exit 1
         mkdir -p {store}/../empty; tar -C {store}/../empty -cf {store}/../empty.tar .
         \"$@\" {store}/../empty.tar small >&2 || {{ echo 'wrong: not even the small one fits'; exit 0; }}
         before=$(du -s {store} | cut -f1)
         if output=$(\"$@\" {archive} large 2>&1); then exit 0; fi
         echo refused
         case $output in *ENOSPC* | *\"room for\"*) ;; *) echo \"wrong: it says $output\";; esac
         \"$1\" images --store {store} | grep -q small || echo 'wrong: the small image is lost'
         \"$1\" images --store {store} | grep -q large && echo 'wrong: the large image is listed'
         \"$1\" gc --store {store} --run-dir {store}/../run >&2 || echo 'wrong: gc fails'
         ls {store}/tmp 2>/dev/null | grep . && echo 'wrong: something is left in tmp'
         after=$(du -s {store} | cut -f1); [ \"$after\" -le $((before + 64)) ] || echo \"wrong: it holds $after KiB, and held $before\"
         exit 0"
    )
}
