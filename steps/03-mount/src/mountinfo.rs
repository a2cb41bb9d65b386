//! The escapes of mountinfo: proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Replaces `\` and three octal digits, which stand for one byte: in mountinfo space,
/// tab, newline or backslash.
pub fn unescape(text: &[u8]) -> PathBuf {
    let mut parts = text.split(|byte| *byte == b'\\');
    let mut bytes = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let octal = part.get(..3).and_then(|octal| str::from_utf8(octal).ok());
        match octal.and_then(|octal| u8::from_str_radix(octal, 8).ok()) {
            Some(byte) => bytes.extend([&[byte], &part[3..]].concat()),
            None => bytes.extend([b"\\", part].concat()),
        }
    }
    OsString::from_vec(bytes).into()
}
