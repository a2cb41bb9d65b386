//! Files that an archive cannot have. The others are packed without them.

use crate::limits::LONGEST_NAME;
use crate::unpack::Count;

/// The files that are left out.
#[derive(Default)]
pub(super) struct LeftOut {
    /// Files whose names a layer would take for whiteouts.
    pub(super) named_as_whiteouts: Count,
    /// Files whose paths are too long.
    pub(super) too_long: Count,
}

impl LeftOut {
    /// Warns of these files.
    pub(super) fn warn(&self) {
        let warn = |count: &Count, why: &str| {
            if count.number > 0 {
                kit::warn(format_args!(
                    "{} files or directories are left out: {why}; the first: {}",
                    count.number, count.first
                ));
            }
        };
        let why = "names that begin with .wh. are whiteouts in layers";
        warn(&self.named_as_whiteouts, why);
        let longest = LONGEST_NAME - 1;
        warn(&self.too_long, &format!("the longest path has {longest} bytes"));
    }
}
