//! Users other than root in a container: they listen at low ports, and ping.

use std::path::Path;

use kiste_tests::require_tool;

use crate::world;

#[test]
fn every_user_of_a_container_listens_at_port_80_and_pings() {
    let Some(world) = world() else { return };
    world.fixture.install(Path::new("/usr/bin/perl"), "perl");
    // Debian's busybox pings with a raw socket only. The kernel checks the group when a
    // socket for echo requests is made: icmp(7).
    let script = "/busybox-full nc -l -p 80 -e echo served &
        for i in 1 2 3 4 5 6 7 8 9; do
            /busybox-full nc -w 5 127.0.0.1 80 && break; sleep 0.5
        done && /perl -e 'socket(S, 2, 2, 1) or die \"socket: $!\n\"' && id -u";
    let mut options = vec![vec![], vec!["--network", "none"]];
    if require_tool("newuidmap") {
        options.push(vec!["--userns", "auto"]);
    }
    let settings =
        "cd /proc/sys/net/ipv4; cat ip_unprivileged_port_start ping_group_range";
    let before = world.sh_on_host(settings).out;
    for options in options {
        let ran = world.run_sh(&[&["-u", "4242"], &options[..]].concat(), script);
        assert_eq!(ran.out, "served\n4242\n", "{options:?} {ran:?}");
    }
    assert_eq!(world.sh_on_host(settings).out, before, "the host has its own settings");
}
