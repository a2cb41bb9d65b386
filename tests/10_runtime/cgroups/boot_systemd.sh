# Boots systemd as PID 1 of namespaces of its own, with a bus and nothing else, and runs the service check.service.
# Its unit is in the variable CHECK_UNIT. Exits with 0 if the service succeeds.
#
# systemd changes files of the root file system, so this is for a machine whose root is thrown away.
set -eu
mkdir -p /sys/fs/cgroup/kiste-systemd

in_namespaces() {
    # All of its processes are in the cgroup that becomes the top of its view.
    echo 0 >/sys/fs/cgroup/kiste-systemd/cgroup.procs
    exec unshare --cgroup bash -euc "$(declare -f boot); boot"
}

boot() {
    mount -t tmpfs -o mode=755,nosuid,nodev run /run
    umount /sys/fs/cgroup
    mount -t cgroup2 -o nsdelegate,nosuid,nodev,noexec cgroup2 /sys/fs/cgroup
    units=/run/systemd/system
    mkdir -p $units
    echo "$CHECK_UNIT" >$units/check.service
    cat >$units/dbus.socket <<-END
	[Unit]
	DefaultDependencies=no
	[Socket]
	ListenStream=/run/dbus/system_bus_socket
	END
    cat >$units/dbus.service <<-END
	[Unit]
	DefaultDependencies=no
	Requires=dbus.socket
	[Service]
	Type=notify
	NotifyAccess=main
	ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation
	END
    for unit in systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket; do
        ln -s /dev/null $units/$unit
    done
    exec env -i container=kiste PATH="$PATH" /lib/systemd/systemd --system --unit=check.service --log-target=null
}

exec unshare --mount --pid --ipc --uts --fork --kill-child --mount-proc \
    bash -euc "$(declare -f in_namespaces boot); in_namespaces"
