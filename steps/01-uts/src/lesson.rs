//! The lesson in the help of this step.

use kit::Lesson;

pub const LESSON: Lesson = Lesson {
    step: env!("CARGO_BIN_NAME"),
    chapter: "A name of its own",
    examples: &[
        (
            "cargo run --bin 01-uts -- run --hostname crate uname -n",
            "the command has another host name, and you keep yours",
        ),
        (
            "cargo run --bin 01-uts -- run --explain=01 --hostname crate true",
            "the kernel calls of this step",
        ),
    ],
    adds: &["domainname", "pid_file"],
};
