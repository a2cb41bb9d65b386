//! The bus of systemd, for `--systemd-cgroup`.

use cgroups::SessionBus;
use rustix::process::geteuid;

/// Returns the address of the system's bus, and without root that of the user's.
pub(super) fn systemd_bus() -> SessionBus {
    let variable = |name| std::env::var(name).ok().filter(|it| !it.is_empty());
    SessionBus(match geteuid().is_root() {
        true => variable("DBUS_SYSTEM_BUS_ADDRESS")
            .unwrap_or("unix:path=/run/dbus/system_bus_socket".into()),
        false => variable("DBUS_SESSION_BUS_ADDRESS").unwrap_or_else(|| {
            let run_dir = variable("XDG_RUNTIME_DIR")
                .unwrap_or_else(|| format!("/run/user/{}", geteuid().as_raw()));
            format!("unix:path={run_dir}/bus")
        }),
    })
}
