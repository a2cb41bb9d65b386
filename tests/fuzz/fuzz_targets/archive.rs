//! Whatever bytes come, the reader of archives ends, in bounded memory, with an answer
//! or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = image::read_archive(bytes);
});
