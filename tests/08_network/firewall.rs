//! The host's firewall drops forwarded packets. Kiste names the chain that drops them,
//! or adjusts the firewall and restores it at the end.

use kiste_tests::{World, net, require_tool};

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
        }
        table ip6 of_no_concern {
            chain forward { type filter hook forward priority 0; policy drop; }
        }",
    );
    world.run(&[], &["ping", "-c1", "-W3", net::OUTSIDE]).exits(0);
    world.sh_on_host("nft flush ruleset").exits(0);
}

/// The check refuses what certainly drops, and no firewall that it does not understand:
/// sets, maps and addresses are not read.
#[test]
fn a_firewall_that_may_let_containers_through_is_accepted() {
    let Some(world) = world() else { return };
    for (input, forward) in [
        (
            "meta l4proto { tcp, udp } th dport 53 accept;",
            "ct state { established, related } accept;",
        ),
        (
            "iifname { \"kiste0\", \"lo\" } udp dport 53 accept;",
            "ct state vmap { established : accept, related : accept, invalid : drop };",
        ),
        (
            "ip saddr 10.0.0.0/8 udp dport { 53, 67 } accept;",
            "ct state { established, related } jump containers;",
        ),
        (
            "jump of_others; ip saddr 10.77.0.0/16 accept;",
            "ct state vmap { established : goto containers, invalid : drop };",
        ),
    ] {
        load(
            &world,
            &format!(
                "table inet fw {{
                    chain containers {{ accept; }}
                    chain of_others {{ ip daddr 10.0.0.0/8 return; drop; }}
                    chain input {{ type filter hook input priority 0; policy drop;
                        {input} }}
                    chain forward {{ type filter hook forward priority 0; policy drop;
                        {forward} iifname \"kiste*\" accept; }}
                }}"
            ),
        );
        world.run(&[], &["ping", "-c1", "-W3", net::OUTSIDE]).exits(0);
        world.sh_on_host("nft flush ruleset").exits(0);
    }
}

/// Rules that other packets than those of containers meet make no difference.
#[test]
fn a_firewall_that_accepts_only_other_packets_is_refused() {
    let Some(world) = world() else { return };
    for rule in [
        "ct state { established, related } accept;",
        "tcp dport { 80, 443 } accept;",
        "ip daddr 192.0.2.1 oifname \"other0\" accept;",
        "meta l4proto { icmp, ipv6-icmp } accept;",
        "ip daddr 192.0.2.1 drop;",
        "meta mark 1 jump stop;",
    ] {
        load(
            &world,
            &format!(
                "table inet fw {{
                    chain stop {{ drop; }}
                    chain forward {{ type filter hook forward priority 0; policy drop; {rule} }}
                }}"
            ),
        );
        world
            .run(&[], &["true"])
            .exits(125)
            .assert_stderr_contains("chain forward (policy drop)");
        world.sh_on_host("nft flush ruleset").exits(0);
    }
}

/// ufw's and firewalld's rules for packets to the host: none is for DNS.
#[test]
fn a_firewall_that_accepts_only_other_packets_to_the_host_is_refused() {
    let Some(world) = world() else { return };
    for rule in [
        "udp sport 67 udp dport 68 accept;",
        "ip daddr 224.0.0.251 udp dport 5353 accept;",
        "ct state { established, related } accept; ct status dnat accept;",
        "fib daddr type local return;",
        "meta l4proto { icmp, ipv6-icmp } accept;",
        "tcp dport { 22, 53 } accept;",
    ] {
        load(
            &world,
            &format!(
                "table inet fw {{
                    chain input {{ type filter hook input priority 0; policy drop; {rule} }}
                }}"
            ),
        );
        world
            .run(&[], &["true"])
            .exits(125)
            .assert_stderr_contains("chain input (policy drop)");
        world.sh_on_host("nft flush ruleset").exits(0);
    }
}

/// A host may have tens of thousands of rules. A start reads the chains that its packets
/// enter, each once; an end reads none of them.
#[test]
fn a_start_reads_only_the_chains_that_packets_of_containers_enter_and_each_once() {
    let Some(world) = world() else { return };
    let before = load(
        &world,
        "table ip big {
            chain entered { ip saddr 192.0.2.200 drop; }
            chain of_others { ip saddr 192.0.2.200 drop; }
            chain unused { ip saddr 192.0.2.200 drop; }
            chain forward { type filter hook forward priority 0;
                iifname \"kiste*\" jump entered; iifname \"other0\" jump of_others; }
            chain output { type filter hook output priority 0; ip saddr 192.0.2.200 drop; }
        }",
    );
    let ran = world.run(&["--explain=08", "--firewall=adjust"], &["true"]);
    let reads = ran.exits(0).err.lines().filter_map(|line| {
        let (_, operands) = line.split_once("NFT_MSG_GETRULE(")?;
        operands.split_once(')').map(|(chain, _)| chain)
    });
    let mut reads: Vec<_> = reads.filter(|chain| chain.contains(" big ")).collect();
    reads.sort_unstable();
    assert_eq!(reads, ["ip big entered", "ip big forward"]);
    assert_eq!(ran.err.matches("NFT_MSG_GETCHAIN").count(), 1, "{}", ran.err);
    assert_eq!(world.sh_on_host("nft list ruleset").out, before);
    world.sh_on_host("nft flush ruleset").exits(0);
}

/// iptables-nft(8) lists a table only if it can read every rule.
#[test]
fn the_rules_of_an_adjusted_firewall_can_be_listed_and_saved_by_iptables() {
    let Some(world) = world() else { return };
    if !require_tool("iptables-nft") {
        return;
    }
    let sample = "iptables-nft -A OUTPUT -m conntrack --ctstate NEW && iptables-nft -F";
    if world.sh_on_host(sample).code != 0 {
        return kiste_tests::report_missing(
            "xt-conntrack",
            "the kernel has no xt_conntrack",
        );
    }
    world
        .sh_on_host(
            "iptables-nft -P INPUT DROP && iptables-nft -P FORWARD DROP &&
             iptables-nft -N OTHERS && iptables-nft -A FORWARD -j OTHERS",
        )
        .exits(0);
    // Without the chains' counters: the host may send a packet of its own at any time.
    let saved = "iptables-nft-save | sed '/^#/d; s/ .[0-9]*:[0-9]*.$//'";
    let before = world.sh_on_host(saved).out;
    let options = ["--firewall=adjust", "-p", "8080:80", "--hostname", "web"];
    let running = world.serve(&options, "hello");
    let fetch = format!("curl -sS -m5 http://{}:8080/i", net::HOST);
    world.sh_on_other_host(&fetch).assert_stdout("hello");
    world.run(&["--firewall=adjust"], &["ping", "-c1", "-W3", "web"]).exits(0);
    world.run(&["--firewall=adjust"], &["ping", "-c1", "-W3", net::OUTSIDE]).exits(0);
    let listed =
        world.sh_on_host("iptables-nft -S && iptables-nft -L -n").exits(0).out.clone();
    let during = world.sh_on_host(saved).exits(0).out.clone();
    for rule in [
        "-A FORWARD -i kiste0 -o out0 -m comment --comment \"kiste: kiste\" -j ACCEPT",
        "-A FORWARD -o kiste0 -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment \"kiste: kiste\" -j ACCEPT",
        "-A FORWARD -o kiste0 -m conntrack --ctstate DNAT -m comment --comment \"kiste: kiste\" -j ACCEPT",
        "-A INPUT -d 10.77.0.1/32 -i kiste0 -p udp -m udp --dport 53 -m comment --comment \"kiste: kiste\" -j ACCEPT",
    ] {
        assert!(during.contains(rule) && listed.contains(rule), "{rule}:\n{during}");
    }
    // Our rules are found again after iptables-restore has made them anew.
    world
        .sh_on_host(
            "rules=$(iptables-nft-save) && echo \"$rules\" | iptables-nft-restore",
        )
        .exits(0);
    assert_eq!(world.sh_on_host(saved).out, during);
    world.sh_on_other_host(&fetch).assert_stdout("hello");
    drop(running);
    assert_eq!(world.sh_on_host(saved).out, before);
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

/// firewalld's and ufw's layouts: the base chain jumps to the chain that rejects all.
const NESTED: [(&str, &str); 4] = [
    (
        "ct state { established, related } accept; jump zones; reject",
        "chain public { jump deny; reject; }\nchain deny { }\nchain zones { goto public; }",
    ),
    ("jump zones; ct state invalid drop", "chain zones { drop; }"),
    (
        "iifname \"other0\" accept; jump zones; jump others; return",
        "chain zones { iifname \"kiste*\" reject; }",
    ),
    ("iifname \"kiste*\" drop; jump DOCKER-USER", "chain zones { }"),
];

/// Loads a firewall whose chains for incoming and for forwarded packets have these rules.
fn load_nested(world: &World, rules: &str, others: &str) -> String {
    load(
        world,
        &format!(
            "table inet fw {{
                chain DOCKER-USER {{ }}
                chain others {{ }}
                {others}
                chain in {{ type filter hook input priority 0; {rules}; }}
                chain forward {{ type filter hook forward priority 0; {rules}; }}
            }}"
        ),
    )
}

#[test]
fn an_adjusted_firewall_lets_containers_through_before_the_jump_to_a_chain_that_drops()
{
    let Some(world) = world() else { return };
    for (rules, others) in NESTED {
        let before = load_nested(&world, rules, others);
        let options = ["--firewall=adjust", "-p", "8080:80", "--hostname", "web"];
        let running = world.serve(&options, "hello");
        world
            .sh_on_other_host(&format!("curl -sS -m5 http://{}:8080/i", net::HOST))
            .assert_stdout("hello");
        world.run(&[], &["ping", "-c1", "-W3", net::OUTSIDE]).exits(0);
        world.run(&[], &["ping", "-c1", "-W3", "web"]).exits(0);
        drop(running);
        assert_eq!(world.sh_on_host("nft list ruleset").out, before, "{rules}");
        world.sh_on_host("nft flush ruleset").exits(0);
    }
    world.assert_unchanged();
}

/// The rules of a start are no proof for the next one: another program may have put
/// a drop before them.
#[test]
fn rules_of_an_earlier_start_that_no_longer_help_are_added_anew() {
    let Some(world) = world() else { return };
    let before = load_nested(&world, "accept", "chain zones { drop; }");
    let first = world.start(&[], &["sleep", "1000"]);
    for chain in ["in", "forward"] {
        world
            .sh_on_host(&format!("nft insert rule inet fw {chain} jump zones"))
            .exits(0);
    }
    for _ in 0..2 {
        world
            .run(&["--firewall=adjust"], &["ping", "-c1", "-W3", net::OUTSIDE])
            .exits(0);
        let count = world.sh_on_host("nft list ruleset | grep -c 'kiste: kiste'").out;
        assert_eq!(count.trim(), "6");
        for chain in ["in", "forward"] {
            let drop = format!("nft insert rule inet fw {chain} iifname kiste0 drop");
            world.sh_on_host(&drop).exits(0);
        }
        world.run(&[], &["true"]).exits(125).assert_stderr_contains("chain forward");
    }
    drop(first);
    let listed = world.sh_on_host("nft list ruleset").out;
    assert!(!listed.contains("kiste: kiste") && listed != before, "{listed}");
    world.sh_on_host("nft flush ruleset").exits(0);
}

/// The chain that Docker leaves to its users is where our rules go. What the users drop
/// there is still dropped.
#[test]
fn an_adjusted_firewall_that_still_drops_the_packets_is_refused_and_restored() {
    let Some(world) = world() else { return };
    let rules = DOCKER.replace("{ return; }", "{ iifname \"kiste*\" drop; return; }");
    let before = load(&world, &rules);
    world
        .run(&["--firewall=adjust"], &["true"])
        .exits(125)
        .assert_stderr_contains("chain FORWARD (it jumps to DOCKER-USER")
        .assert_stderr_contains("let kiste0 through yourself");
    assert_eq!(world.sh_on_host("nft list ruleset").out, before);
    world.sh_on_host("nft flush ruleset").exits(0);
    world.assert_unchanged();
}

#[test]
fn a_firewall_of_a_host_without_uplinks_is_adjusted_as_well() {
    let Some(world) = world() else { return };
    world.sh_on_host("ip route flush default").exits(0);
    load(&world, DOCKER);
    world.run(&[], &["true"]).exits(125);
    let running = world.start(&["--firewall=adjust"], &["sleep", "1000"]);
    world.run(&[], &["true"]).exits(0);
    drop(running);
    world.sh_on_host("nft flush ruleset").exits(0);
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

/// nf_tables does not list the rules of the old iptables.
#[test]
fn a_firewall_of_the_old_iptables_is_examined_and_named() {
    let Some(world) = world() else { return };
    if !require_tool("iptables-legacy") {
        return;
    }
    if world.sh_on_host("iptables-legacy -S").code != 0 {
        return kiste_tests::report_missing(
            "iptables-legacy",
            "the kernel has no iptable_filter",
        );
    }
    let rules = |script: &str| {
        let reset =
            "filter -F; filter -X; filter -P INPUT ACCEPT; filter -P FORWARD ACCEPT";
        let script = format!("{reset}; {script}").replace("filter", "iptables-legacy");
        world.sh_on_host(&script).exits(0);
    };
    for (script, named) in [
        ("filter -P FORWARD DROP", "chain FORWARD (policy drop)"),
        ("filter -P INPUT DROP", "chain INPUT (policy drop)"),
        (
            "filter -N stop; filter -A stop -j REJECT; filter -A FORWARD -i kis+ -j stop",
            "chain FORWARD (it jumps to stop, which drops all)",
        ),
    ] {
        rules(script);
        for options in [&[][..], &["--firewall=adjust"]] {
            world
                .run(options, &["true"])
                .exits(125)
                .assert_stderr_contains("table ip filter of the old iptables")
                .assert_stderr_contains(named);
        }
    }
    rules(
        "filter -P INPUT DROP; filter -A INPUT -i kiste+ -p udp --dport 53 -j ACCEPT
         filter -P FORWARD DROP; filter -N others; filter -A others -i kiste0 -j ACCEPT
         filter -A FORWARD -o kiste0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
         filter -A FORWARD ! -i lo -m comment --comment containers -g others
         filter -A FORWARD -s 10.0.0.0/8 -j DROP",
    );
    world.run(&[], &["ping", "-c1", "-W3", net::OUTSIDE]).exits(0);
    world.sh_on_host("ip6tables-legacy -P FORWARD DROP").exits(0);
    world.run_kiste(&["network", "create", "six", "--ipv6"]).exits(0);
    world.run(&[], &["true"]).exits(0);
    world.run(&["--network", "six"], &["true"]).exits(125).assert_stderr_contains(
        "table ip6 filter of the old iptables, chain FORWARD (policy drop)",
    );
}
