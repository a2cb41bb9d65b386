//! config-linux.md, "Network Devices".

use serde_json::json;

use super::bundle::Bundle;

/// A runtime that cannot move them does not run the container without them.
#[test]
fn network_devices_are_refused() {
    let Some(mut bundle) = Bundle::of_ours("runc 1.1 ignores netDevices") else {
        return;
    };
    bundle.config["linux"]["netDevices"] = json!({ "kiste-one": {} });
    let ran = bundle.create();
    bundle.assert_refused(&ran);
    bundle.assert_nothing_left();
}
