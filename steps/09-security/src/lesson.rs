//! The lesson in the help of this step.

use kit::Lesson;

pub const LESSON: Lesson = Lesson {
    step: env!("CARGO_BIN_NAME"),
    chapter: "Locked down",
    examples: &[
        (
            "cargo run --bin 09-security -- run grep -E 'Cap|Seccomp|NoNew' /proc/self/status",
            "the rights of a command, as the kernel keeps them",
        ),
        (
            "cargo run --bin 09-security -- run --explain=09 --cap-drop ALL true",
            "the kernel calls of this step",
        ),
    ],
    adds: &["cap_add", "cap_drop", "security_opt", "privileged"],
};
