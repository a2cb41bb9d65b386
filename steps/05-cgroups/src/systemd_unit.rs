//! A scope of systemd for a container: systemd makes its cgroup, and knows its limits,
//! which it would otherwise reset.

use std::path::PathBuf;

use anyhow::{Context, Result};
use kit::{Failure, FailureKind, Hint};
use serde::{Deserialize, Serialize};

use crate::controller::{Controller, Version};
use crate::cpuset::CpuList;
use crate::device_allow;
use crate::hierarchy::Hierarchies;
use crate::host_root::is_root_of_host;
use crate::placement::SessionBus;
use crate::resources::Resources;
use crate::scope::{self, Property};
use crate::setting::Setting;
use crate::values::{Cpus, Max};

/// A scope of systemd (systemd.scope(5)), by its slice and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Default))]
pub struct SystemdUnit {
    /// The D-Bus address of the systemd that makes it.
    bus: String,
    /// The slice in which it is: `machine-x.slice`.
    slice: String,
    /// Its name: `kiste-web.scope`.
    name: String,
    /// The further properties that were asked for.
    properties: Vec<(String, UnitProperty)>,
}

/// The value of a property of a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnitProperty {
    /// A text.
    Text(String),
    /// True or false.
    Flag(bool),
    /// A number of 64 bits, without a sign.
    Number(u64),
    /// A number of 32 bits.
    Small(i32),
    /// Several texts.
    Texts(Vec<String>),
}

/// The properties by which systemd knows where the scope's cgroup is, what is in it, and
/// that it is the container's to change: an annotation may not set them.
const OWN: [&str; 6] =
    ["Slice", "PIDs", "PIDFDs", "Delegate", "DelegateControllers", "DelegateSubgroup"];

/// The hint for a host without systemd.
const NO_SYSTEMD: &str = "is systemd running here? Where it is not, choose cgroupfs as the cgroup manager \
                          of the engine";

impl SystemdUnit {
    /// Makes the unit of a container from `linux.cgroupsPath`, which is then
    /// `SLICE:PREFIX:NAME`. Without a path the prefix is `kiste`.
    ///
    /// # Errors
    /// When the path has another form.
    pub fn new(
        bus: SessionBus,
        cgroups_path: Option<&str>,
        id: &str,
        default_slice: &str,
    ) -> Result<Self> {
        let default = format!("{default_slice}:kiste:{id}");
        let path = cgroups_path.filter(|path| !path.is_empty()).unwrap_or(&default);
        let parts: Vec<_> = path.split(':').collect();
        let [slice, prefix, name] = parts[..] else {
            let what =
                format!("cgroupsPath {path:?}: with systemd it is SLICE:PREFIX:NAME");
            let hint = "for instance system.slice:kiste:web";
            return Err(usage(what, hint));
        };
        let slice = if slice.is_empty() { default_slice } else { slice };
        expand(slice)?;
        let is_named = |text: &str| {
            text.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.\\@+".contains(c))
        };
        let name = match prefix {
            "" => format!("{name}.scope"),
            prefix => format!("{prefix}-{name}.scope"),
        };
        if !is_named(&name) {
            let what = format!("cgroupsPath {path:?}: {name:?} is no name of a unit");
            return Err(usage(what, "a name has letters, digits and :-_.\\@+"));
        }
        let slice = slice.to_string();
        Ok(SystemdUnit { bus: bus.0, slice, name, properties: Vec::new() })
    }

    /// Adds the properties of annotations `org.systemd.property.NAME`, whose values are
    /// in the text form of GVariant, as in runc.
    ///
    /// # Errors
    /// When a name or a value is not valid.
    pub fn add_annotations<'a>(
        &mut self,
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<()> {
        for (key, value) in annotations {
            if let Some(name) = key.strip_prefix("org.systemd.property.") {
                self.properties.push(
                    property(name, value)
                        .with_context(|| format!("annotation {key}"))?,
                );
            }
        }
        Ok(())
    }

    /// Returns the path of its cgroup from the top of each hierarchy.
    ///
    /// # Errors
    /// When there is no such systemd.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        let top = scope::manager_cgroup(&SessionBus(self.bus.clone()))
            .with_context(|| format!("ask systemd at {}", self.bus))
            .hint(NO_SYSTEMD)?;
        let below = expand(&self.slice)?;
        let top = top.trim_matches('/');
        Ok([top, &below, &self.name].iter().filter(|part| !part.is_empty()).collect())
    }

    /// Starts the scope, with a process in it.
    pub(crate) fn start(&self, process: i32, resources: &Resources) -> Result<()> {
        let mut properties = scope::scope_of(process.cast_unsigned());
        properties.push(("DefaultDependencies".into(), Property::Flag(false)));
        properties.push(("Slice".into(), Property::Text(self.slice.clone())));
        properties.extend(limits(resources)?);
        if let Some(rules) = &resources.devices
            && is_root_of_host()
        {
            properties.extend(device_allow::properties(rules)?);
        }
        for (name, value) in &self.properties {
            properties.retain(|(it, _)| it != name);
            properties.push((name.clone(), value.to_dbus()));
        }
        let bus = SessionBus(self.bus.clone());
        scope::start(&bus, &self.name, properties).hint(NO_SYSTEMD)
    }

    /// Tells systemd the new limits of a container.
    pub(crate) fn update(&self, resources: &Resources) -> Result<()> {
        let bus = SessionBus(self.bus.clone());
        scope::set_properties(&bus, &self.name, limits(resources)?).hint(NO_SYSTEMD)
    }
}

/// Returns the path of a slice: `a-b.slice` is in `a.slice` (systemd.slice(5)).
fn expand(slice: &str) -> Result<String> {
    let invalid = || {
        let what = format!("cgroupsPath: {slice:?} is no name of a slice");
        usage(what, "a slice is named as machine.slice or machine-web.slice")
    };
    let name = slice.strip_suffix(".slice").ok_or_else(invalid)?;
    if name == "-" {
        return Ok(String::new());
    }
    let parts: Vec<_> = name.split('-').collect();
    if parts.iter().any(|part| part.is_empty() || part.contains(['/', '\0'])) {
        return Err(invalid());
    }
    let paths =
        (1..=parts.len()).map(|end| format!("{}.slice", parts[..end].join("-")));
    Ok(paths.collect::<Vec<_>>().join("/"))
}

/// Returns the limits that systemd knows, as properties of a unit
/// (systemd.resource-control(5)).
fn limits(resources: &Resources) -> Result<Vec<(String, Property)>> {
    let found = Hierarchies::detect_all()?;
    let is_on_v2 = |controller| {
        found.hierarchy_of(controller).is_some_and(|it| it.version == Version::V2)
    };
    let limits = &resources.limits;
    let mut properties: Vec<(&str, Property)> = Vec::new();
    let number = |max: Option<Max>| max.map(|max| Property::Number(to_number(max)));
    if is_on_v2(Controller::Memory) {
        let swap =
            limits.swap.map(|it| it.without(limits.memory.unwrap_or(Max::Unlimited)));
        properties.extend(number(limits.memory).map(|it| ("MemoryMax", it)));
        properties
            .extend(number(limits.memory_reservation).map(|it| ("MemoryLow", it)));
        properties.extend(number(swap).map(|it| ("MemorySwapMax", it)));
    } else {
        properties.extend(number(limits.memory).map(|it| ("MemoryLimit", it)));
    }
    if let Some(shares) = limits.cpu_shares {
        properties.push(match is_on_v2(Controller::Cpu) {
            true => ("CPUWeight", Property::Number(shares.weight())),
            false => ("CPUShares", Property::Number(shares.0)),
        });
    }
    if let Some(cpus) = limits.cpus {
        properties.push(("CPUQuotaPerSecUSec", Property::Number(per_second(cpus))));
        if is_on_v2(Controller::Cpu) {
            properties.push(("CPUQuotaPeriodUSec", Property::Number(cpus.period)));
        }
    }
    properties.extend(number(limits.pids).map(|it| ("TasksMax", it)));
    if is_on_v2(Controller::Cpuset) {
        let cpus = limits.cpuset_cpus.as_ref().map(mask);
        properties.extend(cpus.map(|it| ("AllowedCPUs", it)));
        let mems = resources.settings.iter().find_map(|setting| match setting {
            Setting::CpusetMems(list) => list.parse().ok().as_ref().map(mask),
            _ => None,
        });
        properties.extend(mems.map(|it| ("AllowedMemoryNodes", it)));
    }
    Ok(properties.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
}

fn to_number(max: Max) -> u64 {
    match max {
        Max::At(number) => number,
        Max::Unlimited => u64::MAX,
    }
}

/// Returns the CPU time in each second, in microseconds. systemd rounds to 10 ms; it is
/// rounded up here, so that the container does not get less.
fn per_second(cpus: Cpus) -> u64 {
    match cpus.quota {
        Max::Unlimited => u64::MAX,
        Max::At(quota) => {
            (quota.saturating_mul(1_000_000) / cpus.period).next_multiple_of(10_000)
        }
    }
}

/// Returns a set as bits, the first number in the lowest bit of the first byte.
fn mask(list: &CpuList) -> Property {
    let numbers = list.numbers();
    let last = numbers.last().copied().unwrap_or_default() as usize;
    let mut bytes = vec![0; last / 8 + 1];
    for number in numbers {
        bytes[number as usize / 8] |= 1 << (number % 8);
    }
    Property::Bytes(bytes)
}

impl UnitProperty {
    fn to_dbus(&self) -> Property {
        match self {
            UnitProperty::Text(text) => Property::Text(text.clone()),
            UnitProperty::Flag(flag) => Property::Flag(*flag),
            UnitProperty::Number(number) => Property::Number(*number),
            UnitProperty::Small(number) => Property::Small(*number),
            UnitProperty::Texts(texts) => Property::Texts(texts.clone()),
        }
    }
}

/// Parses an annotation. systemd's options in seconds (`TimeoutStopSec`) are properties
/// in microseconds (`TimeoutStopUSec`).
fn property(name: &str, value: &str) -> Result<(String, UnitProperty)> {
    if name.len() < 3 || !name.chars().all(|c| c.is_ascii_alphabetic()) {
        return Err(usage(
            format!("{name:?} is no property"),
            "a name has letters only",
        ));
    }
    if OWN.contains(&name) {
        let what = format!("the runtime itself sets the property {name}");
        return Err(usage(
            what,
            "choose the slice by linux.cgroupsPath: SLICE:PREFIX:NAME",
        ));
    }
    let Some(value) = parse(value.trim()) else {
        let what = format!("{value:?} is no value of a property");
        return Err(usage(what, "'text', true, 5, uint64 5, or ['a', 'b']"));
    };
    let in_seconds = name.strip_suffix("Sec").filter(|it| !it.ends_with('U'));
    Ok(match (in_seconds, value) {
        (Some(name), UnitProperty::Small(seconds)) if seconds >= 0 => {
            let number = u64::from(seconds.cast_unsigned()) * 1_000_000;
            (format!("{name}USec"), UnitProperty::Number(number))
        }
        (Some(name), UnitProperty::Number(seconds)) => {
            let number = seconds.saturating_mul(1_000_000);
            (format!("{name}USec"), UnitProperty::Number(number))
        }
        (_, value) => (name.to_string(), value),
    })
}

/// Parses the text form of a GVariant, as far as units have such properties.
fn parse(text: &str) -> Option<UnitProperty> {
    let quoted = |text: &str| {
        let inner = ['\'', '"']
            .iter()
            .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))?;
        (!inner.contains(['\'', '"', '\\'])).then(|| inner.to_string())
    };
    if let Some(list) = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        let texts = list.split(',').map(|it| quoted(it.trim()));
        return texts.collect::<Option<_>>().map(UnitProperty::Texts);
    }
    if let Some(text) = quoted(text) {
        return Some(UnitProperty::Text(text));
    }
    if let Some(number) = text.strip_prefix("uint64 ") {
        return number.trim().parse().ok().map(UnitProperty::Number);
    }
    match text {
        "true" => Some(UnitProperty::Flag(true)),
        "false" => Some(UnitProperty::Flag(false)),
        number => {
            let number = number.strip_prefix("int32 ").unwrap_or(number);
            number.parse().ok().map(UnitProperty::Small)
        }
    }
}

fn usage(what: String, hint: &str) -> anyhow::Error {
    Failure::new(what).hint(hint).with_kind(FailureKind::Usage).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(path: Option<&str>) -> Result<(String, String), String> {
        let bus = SessionBus("unix:path=/nowhere".into());
        SystemdUnit::new(bus, path, "web", "system.slice")
            .map(|unit| (unit.slice, unit.name))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_path_is_a_slice_a_prefix_and_a_name() {
        let named = |slice: &str, name: &str| Ok((slice.into(), name.into()));
        assert_eq!(unit(None), named("system.slice", "kiste-web.scope"));
        assert_eq!(unit(Some("a.slice:b:c")), named("a.slice", "b-c.scope"));
        assert_eq!(unit(Some(":b:c")), named("system.slice", "b-c.scope"));
        for bad in ["/a/b", "a:b", "a.slice:b:c:d", "a:b:c", "a.slice:b:c/d"] {
            assert!(unit(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_slice_is_below_the_slices_in_its_name() {
        assert_eq!(expand("a-b-c.slice").unwrap(), "a.slice/a-b.slice/a-b-c.slice");
        assert_eq!(expand("-.slice").unwrap(), "");
        for bad in ["a", "-a.slice", "a--b.slice", "../x.slice", ".slice"] {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn annotations_are_properties_in_the_text_form_of_gvariant() {
        let parsed = |name: &str, value: &str| property(name, value).ok();
        let is = |name: &str, value| Some((name.to_string(), value));
        assert_eq!(
            parsed("CPUWeight", "uint64 7"),
            is("CPUWeight", UnitProperty::Number(7))
        );
        assert_eq!(
            parsed("TimeoutStopSec", "5"),
            is("TimeoutStopUSec", UnitProperty::Number(5_000_000))
        );
        assert_eq!(
            parsed("CollectMode", "'inactive'"),
            is("CollectMode", UnitProperty::Text("inactive".into()))
        );
        let texts = UnitProperty::Texts(vec!["a.service".into(), "b".into()]);
        assert_eq!(parsed("After", "['a.service', 'b']"), is("After", texts));
        for (name, value) in
            [("X", "1"), ("A.b", "1"), ("After", "'"), ("After", "x y")]
        {
            assert_eq!(parsed(name, value), None, "{name} {value}");
        }
    }

    #[test]
    fn no_annotation_moves_the_scope_or_takes_its_cgroup_away() {
        for name in OWN {
            let error = property(name, "'x.slice'").unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_set_of_cpus_is_a_mask_of_bytes() {
        let Property::Bytes(bytes) = mask(&"0,2,9".parse().unwrap()) else { panic!() };
        assert_eq!(bytes, [5, 2]);
    }

    #[test]
    fn without_a_bus_the_error_has_a_hint() {
        let bus = SessionBus("unix:path=/nowhere".into());
        let unit = SystemdUnit::new(bus, None, "web", "system.slice").unwrap();
        let error = unit.path().unwrap_err();
        let failure = Failure::of(&error);
        assert!(failure.to_string().contains("unix:path=/nowhere"), "{failure}");
        assert!(failure.hint_text().unwrap().contains("is systemd running"));
    }
}
