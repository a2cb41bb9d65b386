//! The lesson in the help of this step.

use kit::Lesson;

pub const LESSON: Lesson = Lesson {
    step: env!("CARGO_BIN_NAME"),
    chapter: "Fork, exec, wait",
    examples: &[
        (
            "cargo run --bin 00-exec -- run sh -c 'exit 7'; echo $?",
            "it exits with the command's code: 7",
        ),
        (
            "cargo run --bin 00-exec -- run --explain true",
            "each kernel call, the process that makes it, and why",
        ),
    ],
    adds: &["pid_file"],
};
