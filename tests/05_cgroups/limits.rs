//! Reads every limit back from the kernel's files, on the host.

use kiste_tests::{Fixture, Running, host};

use crate::kernel::{self, by_version};
use crate::{fixture, fixture_with};

fn start(fixture: &Fixture, options: &str) -> Running {
    fixture.start(&options.split(' ').collect::<Vec<_>>(), &["sleep", "100"])
}

#[test]
fn the_kernel_keeps_100m_of_memory_and_half_a_cpu() {
    let Some(fixture) = fixture() else { return };
    let running = start(&fixture, "--memory 100m --cpus 0.5");
    assert_eq!(kernel::memory(running.pid), "104857600");
    assert_eq!(kernel::cpus(running.pid), "50000 100000");
}

#[test]
fn the_kernel_keeps_a_quota_and_its_period() {
    let Some(fixture) = fixture() else { return };
    for (options, expected) in [
        ("--cpu-quota 10000 --cpu-period 20000", "10000 20000"),
        ("--cpu-quota 40000", "40000 100000"),
        ("--cpu-quota 300000 --cpu-period 1000000", "300000 1000000"),
        ("--cpu-period 1000", "max 1000"),
        ("--cpu-quota -1 --cpu-period 20000", "max 20000"),
        ("--cpu-quota 0 --cpu-period 0", "max 100000"),
    ] {
        assert_eq!(kernel::cpus(start(&fixture, options).pid), expected, "{options}");
    }
}

#[test]
fn memory_high_is_set_on_version_2_and_refused_on_version_1() {
    let Some(fixture) = fixture() else { return };
    if !kernel::is_v2() {
        let ran = fixture.run(&["--memory-high", "32m"], &["touch", "/ran"]);
        ran.exits(125)
            .assert_stderr_contains("has no memory.high")
            .assert_stderr_contains("version 1 has no such limit");
        assert!(!fixture.rootfs().join("ran").exists());
        return;
    }
    let running = start(&fixture, "-m 64m --memory-high 32m");
    assert_eq!(kernel::value(running.pid, "memory.high", ""), (32 << 20).to_string());
    let running = start(&fixture, "--memory-high -1");
    assert_eq!(kernel::value(running.pid, "memory.high", ""), "max");
}

#[test]
fn on_version_2_each_limit_is_in_its_file() {
    let Some(fixture) = fixture_with(&["cgroup-v2"]) else { return };
    let running = start(&fixture, "-m 64m --cpus 0.5 --cpu-shares 512 --pids-limit 20");
    for (file, value) in [
        ("memory.max", "67108864"),
        ("cpu.max", "50000 100000"),
        ("cpu.weight", "59"),
        ("pids.max", "20"),
    ] {
        assert_eq!(
            host::cgroup_value(running.pid, file).as_deref(),
            Some(value),
            "{file}"
        );
    }
}

#[test]
fn memory_and_swap_together_are_limited() {
    let Some(fixture) = fixture_with(&["cgroup-swap"]) else { return };
    let running = start(&fixture, "--memory 128m --memory-swap 150m");
    assert_eq!(kernel::memory(running.pid), "134217728");
    assert_eq!(kernel::memory_and_swap(running.pid), "157286400");
}

/// Docker also allows as much swap as memory.
#[test]
fn without_memory_swap_there_is_as_much_swap_as_memory() {
    let Some(fixture) = fixture_with(&["cgroup-swap"]) else { return };
    let running = start(&fixture, "--memory 128m");
    assert_eq!(kernel::memory_and_swap(running.pid), (256 << 20).to_string());
}

#[test]
fn memory_swap_as_much_as_memory_means_no_swap() {
    let Some(fixture) = fixture_with(&["cgroup-swap"]) else { return };
    let running = start(&fixture, "--memory 64m --memory-swap 64m");
    assert_eq!(kernel::memory_and_swap(running.pid), (64 << 20).to_string());
    let unlimited = start(&fixture, "--memory 64m --memory-swap -1");
    assert_eq!(kernel::memory_and_swap(unlimited.pid), "max");
}

#[test]
fn the_kernel_keeps_twenty_processes_512_shares_and_memory() {
    let Some(fixture) = fixture_with(&["cgroup-swap"]) else { return };
    let running =
        start(&fixture, "--pids-limit 20 --cpu-shares 512 -m 256m --memory-swap 512m");
    assert_eq!(kernel::value(running.pid, "pids.max", "pids.max"), "20");
    assert_eq!(kernel::cpu_share(running.pid), by_version("59", "512"));
    assert_eq!(kernel::memory(running.pid), "268435456");
    assert_eq!(kernel::memory_and_swap(running.pid), "536870912");
}

#[test]
fn the_kernel_keeps_block_io_weight_20_and_333_processes() {
    let Some(fixture) = fixture_with(&["cgroup-blkio-weight"]) else { return };
    let running = start(
        &fixture,
        "--cpu-shares 512 --blkio-weight 20 --pids-limit 333 -m 1073741824",
    );
    assert_eq!(kernel::cpu_share(running.pid), by_version("59", "512"));
    // The option goes from 10 to 1000. Without bfq, the scale of version 2 goes from 1
    // to 10000.
    let has_bfq = host::cgroup_file(running.pid, "io.bfq.weight").is_some();
    assert_eq!(
        kernel::io_share(running.pid),
        by_version(if has_bfq { "20" } else { "102" }, "20")
    );
    assert_eq!(kernel::value(running.pid, "pids.max", "pids.max"), "333");
    assert_eq!(kernel::memory(running.pid), "1073741824");
}

#[test]
fn the_kernel_keeps_the_reservation_and_the_cpus() {
    let Some(fixture) = fixture() else { return };
    let running = start(&fixture, "-m 64m --memory-reservation 32m --cpuset-cpus 0");
    assert_eq!(kernel::reservation(running.pid), (32 << 20).to_string());
    assert_eq!(kernel::value(running.pid, "cpuset.cpus", "cpuset.cpus"), "0");
    assert_eq!(host::status_field(running.pid, "Cpus_allowed_list"), "0");
}

/// `--help` says that there is no limit by default.
#[test]
fn a_limit_that_is_not_asked_for_is_not_set() {
    let Some(fixture) = fixture() else { return };
    let minus_ones = "-m -1 --memory-swap -1 --memory-reservation -1 --pids-limit max";
    let zeros = "-m 0 --memory-swap 0 --pids-limit 0 --cpus 0 --cpu-shares 0";
    for running in [
        fixture.start(&[], &["sleep", "100"]),
        start(&fixture, minus_ones),
        start(&fixture, zeros),
    ] {
        let has_file =
            |v2, v1| host::cgroup_file(running.pid, by_version(v2, v1)).is_some();
        assert!(
            has_file("memory.max", "memory.limit_in_bytes"),
            "memory is counted, though not limited"
        );
        assert_eq!(kernel::memory(running.pid), "max");
        assert_eq!(kernel::memory_and_swap(running.pid), "max");
        assert_eq!(kernel::reservation(running.pid), by_version("0", "max"));
        assert_eq!(kernel::value(running.pid, "pids.max", "pids.max"), "max");
        assert_eq!(kernel::cpus(running.pid), "max 100000");
        assert_eq!(kernel::cpu_share(running.pid), by_version("100", "1024"));
    }
}

#[test]
fn a_size_may_be_in_bytes_kilobytes_megabytes_or_gigabytes() {
    let Some(fixture) = fixture() else { return };
    for size in
        ["8388608", "8388608b", "8192k", "8m", "8M", "8MiB", "8Mi", "0.0078125g"]
    {
        let running = fixture.start(&["--memory", size], &["sleep", "100"]);
        assert_eq!(kernel::memory(running.pid), "8388608", "{size}");
    }
}

/// The tests in `options` check that values outside the ranges are refused.
#[test]
fn limits_at_both_ends_of_their_ranges_are_set() {
    let Some(fixture) = fixture_with(&["cgroup-blkio-weight"]) else { return };
    let cpus = std::fs::read_to_string("/proc/cpuinfo")
        .unwrap()
        .matches("processor\t")
        .count();
    let lowest = start(
        &fixture,
        "--cpu-shares 2 --pids-limit 1 --blkio-weight 10 --memory-reservation 4k",
    );
    let all_cpus = format!("--cpus {cpus}");
    let highest = start(
        &fixture,
        &format!(
            "{all_cpus} --cpu-shares 262144 --pids-limit 4194304 --blkio-weight 1000 -m 4096g"
        ),
    );
    let pids = |running: &Running| kernel::value(running.pid, "pids.max", "pids.max");
    let bfq = host::cgroup_file(lowest.pid, "io.bfq.weight").is_some();
    assert_eq!(pids(&lowest), "1");
    assert_eq!(pids(&highest), "4194304");
    assert_eq!(kernel::cpu_share(lowest.pid), by_version("1", "2"));
    assert_eq!(kernel::cpu_share(highest.pid), by_version("10000", "262144"));
    assert_eq!(
        kernel::io_share(lowest.pid),
        by_version(if bfq { "10" } else { "1" }, "10")
    );
    assert_eq!(
        kernel::io_share(highest.pid),
        by_version(if bfq { "1000" } else { "10000" }, "1000")
    );
    assert_eq!(kernel::reservation(lowest.pid), "4096");
    assert_eq!(kernel::cpus(highest.pid), format!("{}00000 100000", cpus));
    assert_eq!(kernel::memory(highest.pid), (4096u64 << 30).to_string());
}
