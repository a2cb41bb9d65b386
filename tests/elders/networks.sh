# shellcheck shell=bash
# shellcheck disable=SC2154 # the variables of run
# Situations with networks. The other host of these is a network namespace with the address 192.0.2.9; this host
# has 192.0.2.1.

# Makes the other host, and the image plain:1.
other_host() {
    [ -z "${other-}" ] || return 0
    image plain
    for program in docker podman kiste; do
        ! is_here "$program" || load "$program" plain.tar >/dev/null
    done
    unshare --net sleep 10000 &
    other=$!
    until [ "$(readlink "/proc/$other/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
    ip link add lan type veth peer name eth0 netns "$other"
    ip address add 192.0.2.1/24 dev lan && ip link set lan up
    on_other_host 'ip link set lo up; ip address add 192.0.2.9/24 dev eth0; ip link set eth0 up'
}

# alone PROGRAM: removes what the other programs have left in this network namespace, and starts this one if it is
# a daemon.
alone() {
    stop_docker
    nft flush ruleset
    for link in docker0 podman0; do ip link delete "$link" 2>/dev/null || true; done
    echo 0 >/proc/sys/net/ipv4/ip_forward
    [ "$1" != docker ] || start_docker
    is_here "$1"
}

on_other_host() {
    nsenter --net="/proc/$other/ns/net" bash -c "$1"
}

# serve PROGRAM OPTION...: starts a container that says hello to whoever connects to its port 80. $address is its
# address.
serve() {
    local program=$1
    shift
    [ "$program" = kiste ] || set -- --name web "$@"
    (engine "$program" "$@" plain:1 sh -c 'hostname -i; exec nc -lk -p 80 -e echo hello' >served 2>&1) &
    served=$!
    address=
    until address=$(grep -oEm1 '^[0-9.]+' served) || ! kill -0 "$served" 2>/dev/null; do sleep 0.1; done
    [ "$address" ]
}

stop_serving() {
    case $1 in
        kiste) pkill -TERM -f '^[^ ]*08-network run' || true ;;
        *) "$1" rm --force web >/dev/null ;;
    esac
    wait "$served" || true
}

# ask ADDRESS PORT: what the other host hears at a port.
ask() {
    on_other_host "timeout 3 bash -c 'cat </dev/tcp/$1/$2'" || echo 'no answer'
}

many-networks() {
    for program in docker podman kiste; do
        is_here "$program" || continue
        made=0
        while [ "$made" -lt 40 ] && "$program" network create "net$made" >/dev/null 2>error; do made=$((made + 1)); done
        try "$program" echo "$made networks; $(cat error)"
        for number in $(seq 0 $((made - 1))); do "$program" network rm "net$number" >/dev/null; done
    done
}

loopback-port() {
    other_host
    for program in docker podman kiste; do
        alone "$program" || continue
        serve "$program" -p 127.0.0.1:8080:80
        on_other_host "ip route replace ${address%.*}.0/24 via 192.0.2.1"
        try "$program" ask "$address" 80
        stop_serving "$program"
    done
}

closed-firewall() {
    other_host
    for program in docker podman kiste; do
        alone "$program" || continue
        nft add table inet strict
        nft add chain inet strict forward '{ type filter hook forward priority 10; policy drop; }'
        if serve "$program" -p 8080:80; then
            try "$program" ask 192.0.2.1 8080
        else
            try "$program" cat served
        fi
        stop_serving "$program"
    done
}

# The container gives itself another address, or, where it may not, opens a raw socket.
forged-source() {
    other_host
    local send='ip address add 198.51.100.7/32 dev eth0; gateway=$(ip route | sed -n "s/^default via \([^ ]*\).*/\1/p")
        echo forged | nc -u -w 1 -s 198.51.100.7 "$gateway" 5353'
    for program in docker podman kiste; do
        alone "$program" || continue
        nft add table inet seen
        nft add chain inet seen input '{ type filter hook input priority 0; }'
        nft add rule inet seen input ip saddr 198.51.100.7 counter
        local options=(--cap-add NET_ADMIN)
        [ "$program" != kiste ] || options=()
        engine "$program" "${options[@]}" plain:1 sh -c "$send" || true
        try "$program" sh -c 'nft list table inet seen | grep -o "packets [0-9]*"'
    done
}

# Starts a name server, and makes it that of the host, with a search domain.
host_with_name_server() {
    other_host
    python3 "$here/name-server.py" &
    name_server=$!
    local file
    file=$(readlink -m /etc/resolv.conf)
    mkdir -p "$(dirname "$file")" && touch -a "$file"
    printf 'nameserver 192.0.2.1\nsearch example.test\n' >resolv.conf
    mount --bind resolv.conf "$file"
}

# in_named_network COMMAND...: runs a command in a container on a network of its own with each program.
in_named_network() {
    for program in docker podman kiste; do
        alone "$program" || continue
        "$program" network create named >/dev/null
        try "$program" engine "$program" --network named plain:1 "$@"
        "$program" network rm named >/dev/null
    done
    kill "$name_server"
    umount "$(readlink -m /etc/resolv.conf)"
}

search-domain() {
    host_with_name_server
    # Nobody is at that address; only that the name is found matters.
    in_named_network sh -c 'ping -c 1 -W 1 db 2>&1 | head -n 1'
}

late-answer() {
    host_with_name_server
    in_named_network sh -c 'nslookup -type=a -timeout=20 late.example.test | grep -A1 Name: || echo "no answer"'
}

port-in-use() {
    other_host
    python3 -m http.server --bind 127.0.0.1 8080 >/dev/null 2>&1 &
    local server=$!
    sleep 1
    for program in docker podman kiste; do
        alone "$program" || continue
        try "$program" engine "$program" -p 127.0.0.1:8080:80 plain:1 true
    done
    kill "$server"
}

# What is left when the last container has ended, on a host that did not forward.
forwarding-host() {
    other_host
    for program in docker podman kiste; do
        alone "$program" || continue
        engine "$program" plain:1 true
        try "$program" sh -c 'echo "ip_forward: $(cat /proc/sys/net/ipv4/ip_forward)"; ip -br link | grep -ve "^lo" -e "^lan"'
    done
}
