//! The lesson in the help of this step.

use kit::Lesson;

pub(super) const LESSON: Lesson = Lesson {
    step: "10-runtime",
    chapter: "Driven by others",
    examples: &[
        (
            "cargo run --bin 10-runtime -- features",
            "what this runtime can do, as engines ask for it",
        ),
        (
            "cargo run --bin 10-runtime -- list",
            "the containers, which files describe and no daemon",
        ),
    ],
    adds: &["bundle", "detach", "console_socket", "pid_file", "keep"],
};
