//! The lesson in the help of this step.

use kit::Lesson;

pub const LESSON: Lesson = Lesson {
    step: env!("CARGO_BIN_NAME"),
    chapter: "Mounts of its own",
    examples: &[
        (
            "cargo run --bin 03-mount -- run -v ./book:/mnt:ro ls /mnt",
            "a directory of the host, read-only; the host does not see the mount",
        ),
        (
            "cargo run --bin 03-mount -- run --explain=03 -v ./book:/mnt:ro true",
            "the kernel calls of this step",
        ),
    ],
    adds: &["propagation", "mount", "tmpfs"],
};
