//! The lesson in the help of this step.

use kit::Lesson;

pub const LESSON: Lesson = Lesson {
    step: env!("CARGO_BIN_NAME"),
    chapter: "Files that come as an image",
    examples: &[
        (
            "tar -C rootfs -c . | cargo run --bin 07-image -- import - base:1",
            "an image of an archive",
        ),
        (
            "cargo run --bin 07-image -- run --image base:1 ls /",
            "a container of the image, whose changes are its own",
        ),
        (
            "cargo run --bin 07-image -- run --image base:1 --explain=07 true",
            "the kernel calls of this step",
        ),
        ("cargo run --bin 07-image -- rmi base:1", "removes the image"),
    ],
    adds: &["entrypoint", "commit"],
};
