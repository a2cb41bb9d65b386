//! The lesson in the help of this step.

use kit::Lesson;

pub const LESSON: Lesson = Lesson {
    step: env!("CARGO_BIN_NAME"),
    chapter: "Processes of its own",
    examples: &[
        (
            "cargo run --bin 02-pid -- run sh -c 'echo I am process $$'",
            "the command is PID 1",
        ),
        (
            "cargo run --bin 02-pid -- run --explain=02 --init true",
            "the kernel calls of this step: with an init, it is its child",
        ),
    ],
    adds: &["pid_file"],
};
