//! Device rules in the words of systemd: DevicePolicy= and DeviceAllow= of
//! systemd.resource-control(5). When systemd is reloaded, it writes the rules that it knows
//! for a scope once more, and would replace ours by none at all.

use anyhow::{Context, Result};
use kit::Failure;

use crate::device_list::DeviceList;
use crate::device_rules::{DeviceKind, DeviceRule, DeviceRules, DeviceVerdict};
use crate::scope::Property;

/// The kernel's list of drivers, by their numbers: proc_devices(5).
const DRIVERS: &str = "/proc/devices";

/// Returns the rules as properties of a unit.
///
/// # Errors
/// When systemd cannot express them.
pub(crate) fn properties(rules: &DeviceRules) -> Result<Vec<(String, Property)>> {
    let drivers =
        kit::read_kernel_file(DRIVERS).with_context(|| format!("read {DRIVERS}"))?;
    let (policy, allowed) = policy(rules, &drivers)?;
    Ok(vec![
        ("DevicePolicy".into(), Property::Text(policy.into())),
        ("DeviceAllow".into(), Property::Pairs(allowed)),
    ])
}

/// Returns the policy, and the devices that it allows with their kinds of access.
fn policy(
    rules: &DeviceRules,
    drivers: &str,
) -> Result<(&'static str, Vec<(String, String)>)> {
    let list = DeviceList::of(rules)?;
    match (list.others, list.exceptions.first()) {
        (DeviceVerdict::Deny, _) => {
            let exceptions = list.exceptions.iter();
            let allowed = exceptions.filter_map(|it| allowed(it, drivers).transpose());
            Ok(("strict", allowed.collect::<Result<_>>()?))
        }
        // Everything, if nothing is listed.
        (DeviceVerdict::Allow, None) => Ok(("auto", Vec::new())),
        (DeviceVerdict::Allow, Some(denied)) => Err(inexpressible(denied)),
    }
}

/// Returns an entry of DeviceAllow=. None: no driver has this number, so there is no such
/// device.
///
/// systemd knows a driver by its name, and allows all of its numbers: `char-pts` has eight.
/// The rules that this program sets itself are exact.
fn allowed(rule: &DeviceRule, drivers: &str) -> Result<Option<(String, String)>> {
    let kind = match rule.kind {
        Some(DeviceKind::Block) => "block",
        _ => "char",
    };
    let device = match (rule.major, rule.minor) {
        (None, None) => Some(format!("{kind}-*")),
        (Some(major), None) => {
            driver(kind, major, drivers).map(|name| format!("{kind}-{name}"))
        }
        (Some(major), Some(minor)) => Some(format!("/dev/{kind}/{major}:{minor}")),
        (None, Some(_)) => return Err(inexpressible(rule)),
    };
    Ok(device.map(|device| (device, rule.access.to_string())))
}

/// Finds the name of a driver. The list has a section for each kind of devices.
fn driver<'a>(kind: &str, major: u32, drivers: &'a str) -> Option<&'a str> {
    let title = if kind == "block" { "Block devices:" } else { "Character devices:" };
    let section = drivers.lines().skip_while(|line| *line != title).skip(1);
    let mut section = section.take_while(|line| !line.trim().is_empty());
    section.find_map(|line| {
        let (number, name) = line.trim().split_once(' ')?;
        (number.parse() == Ok(major)).then_some(name)
    })
}

fn inexpressible(rule: &DeviceRule) -> anyhow::Error {
    let what = format!("device rule {rule}: systemd cannot express it");
    let hint = "name each device that is allowed by both numbers, after a rule that denies all";
    Failure::new(what).hint(hint).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_rules::DeviceAccess;

    const DRIVERS: &str = "Character devices:\n  1 mem\n  5 /dev/tty\n136 pts\n137 pts\n\nBlock devices:\n  8 sd\n259 blkext\n";

    fn rule(
        verdict: DeviceVerdict,
        kind: Option<DeviceKind>,
        numbers: (Option<u32>, Option<u32>),
    ) -> DeviceRule {
        let (major, minor) = numbers;
        DeviceRule { verdict, kind, major, minor, access: DeviceAccess::ALL }
    }

    fn told(rules: &[DeviceRule]) -> Result<(String, Vec<String>), String> {
        let (policy, allowed) = policy(&DeviceRules(rules.into()), DRIVERS)
            .map_err(|error| error.to_string())?;
        let entries =
            allowed.iter().map(|(device, access)| format!("{device} {access}"));
        Ok((policy.into(), entries.collect()))
    }

    #[test]
    fn systemd_denies_all_devices_but_those_of_the_rules() {
        use DeviceKind::{Block, Char};
        use DeviceVerdict::{Allow, Deny};
        let nothing = rule(Deny, None, (None, None));
        let strict = |entries: &[&str]| {
            Ok((
                "strict".to_string(),
                entries.iter().map(|it| it.to_string()).collect(),
            ))
        };
        let is = |kind, major, minor, expected: &[&str]| {
            let allowed = rule(Allow, Some(kind), (major, minor));
            assert_eq!(told(&[nothing, allowed]), strict(expected));
        };
        is(Char, Some(1), Some(3), &["/dev/char/1:3 rwm"]);
        is(Char, Some(136), None, &["char-pts rwm"]);
        is(Block, Some(8), None, &["block-sd rwm"]);
        is(Block, None, None, &["block-* rwm"]);
        is(Block, Some(136), None, &[]); // no driver of block devices has this number
        assert_eq!(told(&[nothing]), strict(&[]));
        let all = rule(Allow, None, (None, None));
        assert_eq!(told(&[nothing, all]), Ok(("auto".into(), Vec::new())));
    }

    #[test]
    fn rules_that_systemd_cannot_express_are_refused() {
        use DeviceVerdict::{Allow, Deny};
        let char = Some(DeviceKind::Char);
        let all = rule(Allow, None, (None, None));
        for rules in [
            [all, rule(Deny, char, (Some(1), Some(3)))],
            [rule(Deny, None, (None, None)), rule(Allow, char, (None, Some(3)))],
        ] {
            let error = told(&rules).unwrap_err();
            assert!(error.contains("systemd cannot express it"), "{error}");
        }
    }

    #[test]
    fn the_default_rules_are_told_to_the_systemd_of_this_host() {
        let rules = DeviceRules(DeviceRules::defaults().collect());
        let told = properties(&rules).unwrap();
        let [(policy, Property::Text(strict)), (allow, Property::Pairs(devices))] =
            &told[..]
        else {
            panic!("two properties");
        };
        assert_eq!((policy.as_str(), strict.as_str()), ("DevicePolicy", "strict"));
        assert_eq!(allow, "DeviceAllow");
        for device in ["/dev/char/1:3", "char-pts"] {
            assert!(devices.contains(&(device.into(), "rwm".into())), "{devices:?}");
        }
        assert!(devices.contains(&("block-*".into(), "m".into())), "{devices:?}");
    }
}
