//! Feeds any bytes to the reader of archives, which must end in bounded memory, with a
//! result or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = image::read_archive(bytes);
});
