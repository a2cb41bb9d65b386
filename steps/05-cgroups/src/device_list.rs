//! Version 1: the devices controller has one verdict for all devices, and a list of
//! exceptions (cgroup-v1/devices.rst).

use anyhow::Result;
use kit::Failure;

use crate::device_rules::{
    DeviceAccess, DeviceKind, DeviceRule, DeviceRules, DeviceVerdict,
};
use crate::directory::Directory;

/// The rules in the form of version 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DeviceList {
    /// The verdict for all devices that no exception names.
    pub(crate) others: DeviceVerdict,
    /// Rules with the other verdict. No two name the same devices.
    pub(crate) exceptions: Vec<DeviceRule>,
}

/// Writes the rules.
///
/// # Errors
/// When version 1 cannot express the rules, or the kernel refuses one.
pub(crate) fn write(rules: &DeviceRules, cgroup: &Directory) -> Result<()> {
    let list = DeviceList::of(rules)?;
    let (first, then) = match list.others {
        DeviceVerdict::Deny => ("devices.deny", "devices.allow"),
        DeviceVerdict::Allow => ("devices.allow", "devices.deny"),
    };
    // A new cgroup has the list of the cgroup above. If everything is allowed there,
    // nothing has to be written, which a cgroup above could refuse.
    let is_all_allowed =
        || cgroup.read("devices.list").is_ok_and(|it| it.contains("a *:* rwm"));
    if list.others == DeviceVerdict::Deny || !is_all_allowed() {
        cgroup.write("the verdict for all devices", first, "a")?;
    }
    for exception in &list.exceptions {
        cgroup.write("except this device", then, exception)?;
    }
    Ok(())
}

impl DeviceList {
    /// Makes the list.
    ///
    /// # Errors
    /// When a list with one kind of exceptions cannot express the rules.
    pub(crate) fn of(rules: &DeviceRules) -> Result<Self> {
        let mut list =
            DeviceList { others: DeviceVerdict::Deny, exceptions: Vec::new() };
        for rule in &rules.0 {
            list.add(rule)?;
        }
        Ok(list)
    }

    fn add(&mut self, rule: &DeviceRule) -> Result<()> {
        let is_for_all = (rule.kind, rule.major, rule.minor) == (None, None, None);
        if is_for_all && rule.access == DeviceAccess::ALL {
            *self = DeviceList { others: rule.verdict, exceptions: Vec::new() };
            return Ok(());
        }
        let kinds = match rule.kind {
            Some(kind) => vec![kind],
            None => vec![DeviceKind::Block, DeviceKind::Char],
        };
        for kind in kinds {
            let rule = DeviceRule { kind: Some(kind), ..*rule };
            match rule.verdict == self.others {
                true => self.take_back(&rule)?,
                false => self.except(rule),
            }
        }
        Ok(())
    }

    /// Adds an exception.
    fn except(&mut self, rule: DeviceRule) {
        match self.exceptions.iter_mut().find(|it| it.names_same(&rule)) {
            Some(same) => same.access = same.access.union(rule.access),
            None => self.exceptions.push(rule),
        }
    }

    /// Removes exceptions, as far as `rule` names their devices and accesses.
    fn take_back(&mut self, rule: &DeviceRule) -> Result<()> {
        for exception in &mut self.exceptions {
            let is_shared = exception.access.without(rule.access) != exception.access;
            if rule.covers(exception) {
                exception.access = exception.access.without(rule.access);
            } else if is_shared && exception.overlaps(rule) {
                let what = format!(
                    "device rule {rule}: cgroup version 1 cannot except it from the earlier rule {exception}"
                );
                let hint =
                    "name each device that is allowed, instead of a range with *";
                return Err(Failure::new(what).hint(hint).into());
            }
        }
        self.exceptions.retain(|exception| !exception.access.is_empty());
        Ok(())
    }
}

impl DeviceRule {
    /// Returns whether both rules name the same devices.
    fn names_same(&self, other: &DeviceRule) -> bool {
        (self.kind, self.major, self.minor) == (other.kind, other.major, other.minor)
    }

    /// Returns whether the rule names all devices of `other`, which is of one kind.
    fn covers(&self, other: &DeviceRule) -> bool {
        let covers = |all: Option<u32>, one| all.is_none() || all == one;
        self.kind == other.kind
            && covers(self.major, other.major)
            && covers(self.minor, other.minor)
    }

    /// Returns whether some device is named by both.
    fn overlaps(&self, other: &DeviceRule) -> bool {
        let overlaps =
            |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.kind == other.kind
            && overlaps(self.major, other.major)
            && overlaps(self.minor, other.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads rules such as `+c 1:3 rw` and `-a`.
    fn list(rules: &str) -> Result<String, String> {
        let rules = rules.split(", ").map(rule).collect();
        let list = DeviceList::of(&DeviceRules(rules)).map_err(|it| it.to_string())?;
        let exceptions: Vec<_> =
            list.exceptions.iter().map(|it| it.to_string()).collect();
        Ok(format!("{:?}: {}", list.others, exceptions.join(", ")))
    }

    fn rule(text: &str) -> DeviceRule {
        let verdict = match text.starts_with('+') {
            true => DeviceVerdict::Allow,
            false => DeviceVerdict::Deny,
        };
        let mut words = text[1..].split([' ', ':']);
        let kind = match words.next() {
            Some("b") => Some(DeviceKind::Block),
            Some("c") => Some(DeviceKind::Char),
            _ => None,
        };
        let mut number = || words.next().and_then(|word| word.parse().ok());
        let (major, minor) = (number(), number());
        let access = words.next().unwrap_or("rwm").parse().unwrap();
        DeviceRule { verdict, kind, major, minor, access }
    }

    #[test]
    fn exceptions_of_the_same_device_are_one() {
        assert_eq!(list("-a, +c 1:3 r, +c 1:3 w"), Ok("Deny: c 1:3 rw".into()));
        assert_eq!(list("+c 1:3 rwm, -c 1:3 w"), Ok("Deny: c 1:3 rm".into()));
        assert_eq!(list("+c 1:3 rwm, -c *:* rwm"), Ok("Deny: ".into()));
        assert_eq!(list("+c 1:3 rwm, +a, -b 8:0 w"), Ok("Allow: b 8:0 w".into()));
        assert_eq!(list("-a * * m"), Ok("Deny: ".into()));
        assert_eq!(list("+a *:* m"), Ok("Deny: b *:* m, c *:* m".into()));
    }

    #[test]
    fn version_1_cannot_take_a_device_out_of_a_range() {
        let error = list("+c *:* m, -c 1:3 m").unwrap_err();
        assert!(error.contains("device rule c 1:3 m"), "{error}");
        assert_eq!(list("+c *:* m, -c 1:3 rw"), Ok("Deny: c *:* m".into()));
    }
}
