//! The lesson in the help of this step.

use kit::Lesson;

pub const LESSON: Lesson = Lesson {
    step: env!("CARGO_BIN_NAME"),
    chapter: "Files that come as an image",
    examples: &[
        (
            "tar -C rootfs -c . | cargo run --bin 07-image -- import - base:1",
            "an image, made of an archive",
        ),
        (
            "cargo run --bin 07-image -- run --image base:1 ls /",
            "its files, and what the command writes is its own",
        ),
        (
            "cargo run --bin 07-image -- run --image base:1 --explain=07 true",
            "the kernel calls of this step",
        ),
        ("cargo run --bin 07-image -- rmi base:1", "and the image is removed"),
    ],
    adds: &["entrypoint", "commit"],
};
