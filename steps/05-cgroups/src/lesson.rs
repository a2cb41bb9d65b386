//! The lesson in the help of this step.

use kit::Lesson;

pub const LESSON: Lesson = Lesson {
    step: env!("CARGO_BIN_NAME"),
    chapter: "Limits of its own",
    examples: &[
        (
            "cargo run --bin 05-cgroups -- run -m 32m --pids-limit 20 --stats true",
            "two limits, and the used resources",
        ),
        (
            "cargo run --bin 05-cgroups -- run --explain=05 -m 32m true",
            "the kernel calls of this step",
        ),
    ],
    adds: &["stats"],
};
