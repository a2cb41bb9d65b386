//! The host's firewall drops forwarded packets. Kiste names the chain that drops them,
//! or adjusts the firewall and restores it at the end.

use kiste_tests::{World, net};

use crate::world;

const DOCKER: &str = "table ip filter {
    chain FORWARD { type filter hook forward priority filter; policy drop; jump DOCKER-USER; }
    chain DOCKER-USER { return; }
}";
const UFW: &str = "table ip filter {
    chain INPUT { type filter hook input priority filter; policy drop; ct state established,related accept; }
    chain FORWARD { type filter hook forward priority filter; policy drop; }
}";
const FIREWALLD: &str = "table inet firewalld {
    chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept; \
        ct state established,related accept; reject with icmpx type admin-prohibited; }
}";

/// Loads a firewall, and returns the ruleset that nft(8) then lists.
fn load(world: &World, rules: &str) -> String {
    let file = world.fixture.dir().join("firewall.nft");
    std::fs::write(&file, rules).unwrap();
    world.sh_on_host(&format!("nft -f {}", file.display())).exits(0);
    world.sh_on_host("nft list ruleset").out
}

#[test]
fn a_firewall_that_would_drop_the_containers_packets_is_named_before_the_start() {
    let Some(world) = world() else { return };
    for (rules, chains) in [
        (DOCKER, &["table ip filter, chain FORWARD (policy drop)"][..]),
        (UFW, &["chain INPUT (policy drop)", "chain FORWARD (policy drop)"]),
        (FIREWALLD, &["table inet firewalld, chain filter_FORWARD"]),
    ] {
        let before = load(&world, rules);
        let ran = world.run(&[], &["echo", "it runs"]);
        ran.exits(125).assert_stderr_contains("--firewall=adjust");
        for chain in chains {
            ran.assert_stderr_contains(chain);
        }
        assert_eq!(ran.out, "");
        assert_eq!(world.sh_on_host("nft list ruleset").out, before);
        world.run(&["--network", "none"], &["true"]).exits(0);
        world.sh_on_host("nft flush ruleset").exits(0);
    }
    world.assert_unchanged();
}

#[test]
fn a_chain_that_a_firewall_jumps_to_is_named() {
    let Some(world) = world() else { return };
    load(
        &world,
        "table inet fw {
            chain stop { counter drop; }
            chain forward { type filter hook forward priority 0; iifname \"kis*\" jump stop; }
        }",
    );
    let ran = world.run(&[], &["true"]);
    ran.exits(125)
        .assert_stderr_contains("chain forward (it jumps to stop, which drops all)");
    world.sh_on_host("nft flush ruleset").exits(0);
}

#[test]
fn a_firewall_that_lets_containers_through_is_accepted() {
    let Some(world) = world() else { return };
    load(
        &world,
        "table inet fw {
            chain containers { iifname != \"lo\" accept; }
            chain input { type filter hook input priority 0; policy drop;
                iifname \"kiste*\" udp dport 53 accept; }
            chain forward { type filter hook forward priority 0; policy drop;
                ct state established,related accept; iifname \"kiste*\" goto containers; }
        }",
    );
    world.run(&[], &["ping", "-c1", "-W3", net::OUTSIDE]).exits(0);
    world.sh_on_host("nft flush ruleset").exits(0);
}

#[test]
fn an_adjusted_firewall_lets_containers_through_and_is_restored_afterwards() {
    let Some(world) = world() else { return };
    for (rules, chain) in
        [(DOCKER, "DOCKER-USER"), (UFW, "FORWARD"), (FIREWALLD, "filter_FORWARD")]
    {
        let before = load(&world, rules);
        let running = world.serve(&["--firewall=adjust", "-p", "8080:80"], "hello");
        world
            .sh_on_other_host(&format!("curl -sS -m5 http://{}:8080/i", net::HOST))
            .assert_stdout("hello");
        // The next container needs no change.
        world.run(&[], &["ping", "-c1", "-W3", net::OUTSIDE]).exits(0);
        let listed = world.sh_on_host("nft list ruleset").out;
        assert!(listed.contains("comment \"kiste: kiste\""), "{chain}:\n{listed}");
        drop(running);
        assert_eq!(world.sh_on_host("nft list ruleset").out, before, "{chain}");
        world.sh_on_host("nft flush ruleset").exits(0);
    }
    world.assert_unchanged();
}

/// An adjusted firewall still drops the packets that the host's own rules drop, and the
/// packets to the host's other bridges. A rule with a comment like ours is not removed.
#[test]
fn an_adjusted_firewall_overrules_nothing_but_the_policy() {
    let Some(world) = world() else { return };
    let before = load(
        &world,
        &DOCKER.replace(
            "{ return; }",
            &format!(
                "{{ ip daddr {} icmp type echo-request drop comment \"kiste: block bad guy\"; return; }}",
                net::OUTSIDE
            ),
        ),
    );
    let running = world.serve(&["--firewall=adjust", "-p", "8080:80"], "hello");
    world
        .sh_on_other_host(&format!("curl -sS -m5 http://{}:8080/i", net::HOST))
        .assert_stdout("hello");
    assert_ne!(world.run(&[], &["ping", "-c1", "-W1", net::OUTSIDE]).code, 0);
    let listed = world.sh_on_host("nft list chain ip filter DOCKER-USER").out;
    assert!(
        !listed.contains("iifname \"kiste0\" accept")
            && listed.contains("oifname \"out0\" accept"),
        "{listed}"
    );
    drop(running);
    assert_eq!(world.sh_on_host("nft list ruleset").out, before);
    world.sh_on_host("nft flush ruleset").exits(0);
    world.assert_unchanged();
}

#[test]
fn the_responder_answers_through_an_adjusted_firewall() {
    let Some(world) = world() else { return };
    load(&world, UFW);
    let running =
        world.start(&["--firewall=adjust", "--hostname", "web"], &["sleep", "1000"]);
    world.run(&["--firewall=adjust"], &["ping", "-c1", "-W3", "web"]).exits(0);
    let input_chain = world.sh_on_host("nft list chain ip filter INPUT").out;
    assert_eq!(input_chain.matches("ip daddr 10.77.0.1").count(), 2, "{input_chain}");
    assert_eq!(input_chain.matches("iifname").count(), 2, "{input_chain}");
    drop(running);
    world.sh_on_host("nft flush ruleset").exits(0);
}
