//! Feeds the reader of archives: it must end, in bounded memory, with or without an
//! error.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = image::read_archive(bytes);
});
