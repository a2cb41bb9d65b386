//! The lesson in the help of this step.

use kit::Lesson;

pub const LESSON: Lesson = Lesson {
    step: env!("CARGO_BIN_NAME"),
    chapter: "Users of its own",
    examples: &[
        (
            "cargo run --bin 06-user -- run id",
            "root inside; outside it is you: no sudo",
        ),
        (
            "cargo run --bin 06-user -- run --explain=06 true",
            "the kernel calls of this step",
        ),
    ],
    adds: &["userns"],
};
