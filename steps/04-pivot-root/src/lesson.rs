//! The lesson in the help of this step.

use kit::Lesson;

pub const LESSON: Lesson = Lesson {
    step: env!("CARGO_BIN_NAME"),
    chapter: "A root of its own",
    examples: &[
        (
            "cargo run --bin 04-pivot-root -- run ls /",
            "another root file system: ./rootfs",
        ),
        (
            "cargo run --bin 04-pivot-root -- run --explain=04 true",
            "the kernel calls of this step",
        ),
    ],
    adds: &["read_only", "tty"],
};
