//! A new file system of any type, with the options of an entry.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;
use nix::mount::MsFlags;

use crate::attributes::Attributes;
use crate::detached::Detached;
use crate::entry_target::Cover;
use crate::mount_options::MountOptions;

/// A file system that is mounted for the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFileSystem {
    /// Its type, as in /proc/filesystems.
    pub kind: String,
    /// Its source: a device, or any word for a file system that has none.
    pub source: String,
    /// Options that go before those of the entry.
    pub defaults: Vec<String>,
}

/// The file systems that the kernel itself fills. For them, `ro` is about the mount.
/// For any other, it is about the file system, too: its device is then only read.
const WITHOUT_DEVICE: [&str; 8] =
    ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "overlay"];

/// The longest value of fsconfig(2), in bytes.
const MAX_VALUE: usize = 255;

impl NewFileSystem {
    /// Describes a file system of this type.
    pub fn new(kind: &str, source: Option<&str>) -> Self {
        let source = source.filter(|it| !it.is_empty()).unwrap_or(kind).into();
        NewFileSystem { kind: kind.into(), source, defaults: Vec::new() }
    }

    pub(crate) fn cover(&self) -> Cover {
        match self.kind.as_str() {
            "proc" | "sysfs" => Cover::Kernel,
            _ => Cover::Other,
        }
    }

    /// Gives a tmpfs the mode of the directory that it covers, unless an option says
    /// another.
    pub(crate) fn with_mode_of(
        &self,
        covered: Option<u32>,
        options: &MountOptions,
    ) -> Self {
        let mut file_system = self.clone();
        if let Some(mode) = covered
            && self.kind == "tmpfs"
            && !options.has_data("mode")
        {
            file_system.defaults.push(format!("mode={mode:o}"));
        }
        file_system
    }

    /// Whether only mount(2) can make it: fsconfig(2) takes no longer values, and no
    /// such flags.
    pub(crate) fn needs_old_call(&self, options: &MountOptions) -> bool {
        let is_long = |word: &String| {
            word.split_once('=').is_some_and(|(_, value)| value.len() > MAX_VALUE)
        };
        !options.old_flags.is_empty() || options.data.iter().any(is_long)
    }

    /// Whether it is made writable first: files are still to be made in it.
    pub(crate) fn is_read_only_later(&self, options: &MountOptions) -> bool {
        self.kind == "tmpfs" && options.is_read_only()
    }

    /// Makes a detached mount of it.
    ///
    /// # Errors
    /// As [`Detached::new`].
    pub fn mount(&self, options: &MountOptions) -> Result<Detached> {
        let mut attributes = options.attributes_of_new();
        if self.is_read_only_later(options) {
            attributes -= Attributes::MOUNT_ATTR_RDONLY;
        }
        let words: Vec<_> = self.defaults.iter().chain(&options.data).collect();
        let shown: String = words.iter().map(|word| format!(", {word}")).collect();
        let operands = format_args!("{}{shown}", self.kind);
        Detached::configured(&self.kind, operands, attributes, self.why(), |context| {
            context.set("source", self.source.as_str())?;
            words.iter().try_for_each(|word| context.set_word(word))?;
            options.superblock.iter().try_for_each(|name| context.set_flag(name))?;
            match options.is_read_only()
                && !WITHOUT_DEVICE.contains(&self.kind.as_str())
            {
                true => context.set_flag("ro"),
                false => Ok(()),
            }
        })
    }

    /// Mounts it by mount(2), on the open target.
    pub(crate) fn mount_on(
        &self,
        target: &OwnedFd,
        name: &Path,
        options: &MountOptions,
    ) -> Result<()> {
        let words: Vec<_> =
            self.defaults.iter().chain(&options.data).map(String::as_str).collect();
        let data = words.join(",");
        // proc_pid_fd(5): this leads to the open directory, whatever its path is by now.
        let target = format!("/proc/self/fd/{}", target.as_raw_fd());
        let operands = format_args!("{}, {}", self.kind, name.display());
        kit::call(self.why(), "mount", operands, || {
            nix::mount::mount(
                Some(self.source.as_str()),
                target.as_str(),
                Some(self.kind.as_str()),
                old_flags(options),
                Some(data.as_str()),
            )
        })
        .hint_on(
            Errno::EINVAL,
            "the file system knows no such option: `dmesg` says more",
        )
    }

    fn why(&self) -> &'static str {
        match self.kind.as_str() {
            "proc" => "a /proc that shows this PID namespace",
            "sysfs" => "the kernel's devices",
            "tmpfs" => "a file system in memory",
            "devpts" => "terminals of its own",
            "mqueue" => "for mq_open(3)",
            _ => "a new file system of this type",
        }
    }
}

/// Returns the options as flags of mount(2).
fn old_flags(options: &MountOptions) -> MsFlags {
    const FLAGS: [(Attributes, MsFlags); 6] = [
        (Attributes::MOUNT_ATTR_RDONLY, MsFlags::MS_RDONLY),
        (Attributes::MOUNT_ATTR_NOSUID, MsFlags::MS_NOSUID),
        (Attributes::MOUNT_ATTR_NODEV, MsFlags::MS_NODEV),
        (Attributes::MOUNT_ATTR_NOEXEC, MsFlags::MS_NOEXEC),
        (Attributes::MOUNT_ATTR_NOATIME, MsFlags::MS_NOATIME),
        (Attributes::MOUNT_ATTR_STRICTATIME, MsFlags::MS_STRICTATIME),
    ];
    const MORE: [(Attributes, libc::c_ulong); 2] = [
        (Attributes::MOUNT_ATTR_NODIRATIME, libc::MS_NODIRATIME),
        (Attributes::MOUNT_ATTR_NOSYMFOLLOW, libc::MS_NOSYMFOLLOW),
    ];
    let attributes = options.attributes_of_new();
    let more =
        MORE.map(|(attribute, flag)| (attribute, MsFlags::from_bits_retain(flag)));
    let of_mount = FLAGS.into_iter().chain(more);
    let of_mount = of_mount.filter(|(attribute, _)| attributes.contains(*attribute));
    let of_superblock = options.superblock.iter().map(|name| match *name {
        "sync" => MsFlags::MS_SYNCHRONOUS,
        "dirsync" => MsFlags::MS_DIRSYNC,
        "mand" => MsFlags::MS_MANDLOCK,
        _ => MsFlags::MS_LAZYTIME,
    });
    of_mount
        .map(|(_, flag)| flag)
        .chain(of_superblock)
        .chain(options.old_flags.iter().copied())
        .fold(MsFlags::empty(), |flags, flag| flags | flag)
}
