//! The lesson in the help of this step.

use kit::Lesson;

pub const LESSON: Lesson = Lesson {
    step: env!("CARGO_BIN_NAME"),
    chapter: "A network of its own",
    examples: &[
        (
            "cargo run --bin 08-network -- run cat /etc/hosts",
            "a name and an address of its own",
        ),
        (
            "cargo run --bin 08-network -- run --explain=08 -p 127.0.0.1:8080:80 true",
            "the kernel calls of this step; port 8080 would lead to it",
        ),
    ],
    adds: &[],
};
