//! The lesson in the help of this step.

use kit::Lesson;

pub const LESSON: Lesson = Lesson {
    step: env!("CARGO_BIN_NAME"),
    chapter: "Fork, exec, wait",
    examples: &[
        (
            "cargo run --bin 00-exec -- run sh -c 'exit 7'; echo $?",
            "it ends as the command ended: 7",
        ),
        (
            "cargo run --bin 00-exec -- run --explain true",
            "each kernel call, who makes it, and why",
        ),
    ],
    adds: &["pid_file"],
};
