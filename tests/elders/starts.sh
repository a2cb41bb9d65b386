# shellcheck shell=bash
# shellcheck disable=SC2154 # the variables of run
# Situations at the start and at the end of a container.

missing-interpreter() {
    mkdir -p scripts/bin && printf '#!/bin/sh\r\necho hello\r\n' >scripts/bin/hello
    chmod +x scripts/bin/hello && tar -C scripts -cf layer.tar bin && image scripts layer.tar
    for program in docker podman kiste; do try "$program" load_and_run "$program" scripts /bin/hello; done
}

missing-volume() {
    image plain
    for program in docker podman kiste; do
        is_here "$program" || continue
        load "$program" plain.tar >/dev/null
        try "$program" engine "$program" --network none -v "$work/tpyo:/data" plain:1 ls -A /data
        [ ! -d tpyo ] || { echo "    and now there is a directory tpyo" && rmdir tpyo; }
    done
}

out-of-memory() {
    image plain
    for program in docker podman kiste; do
        is_here "$program" || continue
        load "$program" plain.tar >/dev/null
        try "$program" engine "$program" --network none -m 20m plain:1 tail /dev/zero
    done
}

# Makes the directory bundle/, for runtimes, with this command.
bundle_with() {
    mkdir -p bundle/rootfs && tar -C bundle/rootfs -xf base.tar
    rm -f bundle/config.json && runc spec --bundle bundle
    sed -i "s|\"terminal\": true|\"terminal\": false|; s|^\t\t\t\"sh\"|$1|; /\"rlimits\": \[/,/\],/d
        s|\"linux\": {|\"linux\": { \"cgroupsPath\": \"/$parent/x\",|" bundle/config.json
}

# start PROGRAM: starts the command of the bundle, without a terminal.
start() {
    case $1 in
        bwrap) exec bwrap --unshare-pid --bind bundle/rootfs / --proc /proc --dev /dev sleep 4321 ;;
        kiste) exec "$kiste" run --network none --rootfs bundle/rootfs sleep 4321 ;;
        *) exec "$1" run --bundle bundle x ;;
    esac
}

killed-runtime() {
    command -v runc >/dev/null || return 0
    bundle_with '"sleep", "4321"'
    for program in runc crun bwrap kiste; do
        is_here "$program" || continue
        (start "$program") &
        until pgrep -f '^sleep 4321' >/dev/null; do sleep 0.1; done
        kill -KILL $! && wait $! 2>/dev/null || true
        sleep 0.5
        try "$program" sh -c 'pgrep -f "^sleep 4321" >/dev/null && echo "its command still runs"'
        pkill -KILL -f '^sleep 4321' || true
        "$program" delete --force x 2>/dev/null || true
    done
}

# Signals TERM come 0.4, 0.8, 1.2 … 40 ms after the start. The command ends by itself.
interrupted-start() {
    command -v runc >/dev/null || return 0
    bundle_with '"sleep", "0.3"'
    for program in runc crun kiste; do
        is_here "$program" || continue
        left=0
        for step in $(seq 100); do
            run=("$program" run --bundle bundle x)
            [ "$program" != kiste ] || run=("$kiste" run --network none --rootfs bundle/rootfs sleep 0.3)
            timeout --signal TERM "$(printf '0.0%03d' $((step * 4)))" "${run[@]}" >/dev/null 2>&1 || true
            [ -z "$(ls -A "/run/$program" 2>/dev/null)" ] || left=$((left + 1))
            "$program" delete --force x >/dev/null 2>&1 || true
        done
        try "$program" echo "$left of 100 starts have left something in /run/$program"
    done
}
