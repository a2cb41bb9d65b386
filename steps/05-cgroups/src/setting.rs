//! A value that goes into a file of a cgroup, because of an option.

use std::fmt::Display;

use anyhow::Result;
use kit::{Failure, Hint};
use nix::errno::Errno;

use crate::controller::Controller;
use crate::directory::Directory;

/// What an option means in the files of a cgroup.
pub(crate) struct Setting {
    option: &'static str,
    pub controller: Controller,
    /// Files and values. The first file that this kernel has is written.
    files: Vec<(&'static str, String)>,
    absent: Absent,
}

/// What to do where the kernel has no such file.
enum Absent {
    /// The option asked for it: the container does not start.
    Refuse,
    /// It only followed from another option.
    Skip,
}

impl Setting {
    /// `option` is `value` in `file` of `controller`.
    pub(crate) fn new(
        option: &'static str,
        controller: Controller,
        file: &'static str,
        value: impl Display,
    ) -> Self {
        Setting {
            option,
            controller,
            files: vec![(file, value.to_string())],
            absent: Absent::Refuse,
        }
    }

    /// Or `value` in `file`, where this kernel does not have the first.
    pub(crate) fn or(mut self, file: &'static str, value: impl Display) -> Self {
        self.files.push((file, value.to_string()));
        self
    }

    /// Only where this kernel has the file.
    pub(crate) fn where_there(mut self) -> Self {
        self.absent = Absent::Skip;
        self
    }

    /// Writes it.
    pub(crate) fn write(&self, directory: &Directory) -> Result<()> {
        for (file, value) in &self.files {
            match directory.write(self.option, file, value) {
                Err(error) if kit::errno(&error) == Some(Errno::ENOENT) => {}
                written => {
                    return written
                        .hint_on(
                            Errno::EINVAL,
                            "the kernel refuses this value: a cgroup above may allow less",
                        )
                        .hint_on(Errno::EBUSY, "the cgroup already uses more than that")
                        .hint_on(Errno::EACCES, "these cgroups belong to root: use sudo");
                }
            }
        }
        match self.absent {
            Absent::Skip => Ok(()),
            Absent::Refuse => Err(self.absent_file(directory)),
        }
    }

    fn absent_file(&self, directory: &Directory) -> anyhow::Error {
        let controller = self.controller.name(directory.hierarchy().version());
        let files: Vec<_> = self.files.iter().map(|(file, _)| *file).collect();
        let what = format!(
            "{}: the {controller} controller of this kernel has no {} (looked in {})",
            self.option,
            files.join(" or "),
            directory.path().display(),
        );
        Failure::new(what).hint(mend(self.option)).into()
    }
}

/// What makes the file for `option` appear.
pub(crate) fn mend(option: &str) -> &'static str {
    match option {
        "--memory-swap" => {
            "swap is not counted: boot with swapaccount=1, on a kernel with CONFIG_SWAP"
        }
        "--blkio-weight" => {
            "weights need CONFIG_BLK_CGROUP_IOCOST (v2) or the bfq scheduler: `modprobe bfq`, then \
             `echo bfq > /sys/block/DEVICE/queue/scheduler`"
        }
        "--cpus" => "use a kernel with CONFIG_CFS_BANDWIDTH",
        _ => {
            "use a kernel that has it (`05-cgroups doctor` tells what is there), or leave the option out"
        }
    }
}
