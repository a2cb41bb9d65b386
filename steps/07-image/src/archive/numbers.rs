//! Numbers as text, as extended headers have them.

/// Parses a decimal number without sign or blanks.
pub(crate) fn parse_decimal(text: &[u8]) -> Option<u64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()
}

/// Parses a time as pax writes it, like `-1.5`: returns whole seconds, and nanoseconds
/// that count forward from them.
pub(crate) fn parse_time(text: &[u8]) -> Option<(i64, u32)> {
    let (is_negative, text) =
        text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let dot = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let seconds = i64::try_from(parse_decimal(&text[..dot])?).ok()?;
    let fraction = text.get(dot + 1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Nine digits are nanoseconds; no file system keeps more.
    let digits = (0..9)
        .map(|index| fraction.get(index).map_or(0, |digit| u32::from(digit - b'0')));
    let nanoseconds = digits.fold(0, |sum, digit| sum * 10 + digit);
    match (is_negative, nanoseconds) {
        (false, _) => Some((seconds, nanoseconds)),
        (true, 0) => Some((-seconds, 0)),
        (true, _) => Some((-seconds - 1, 1_000_000_000 - nanoseconds)),
    }
}

/// Formats a time as pax writes it.
pub(crate) fn format_time(seconds: i64, nanoseconds: u32) -> String {
    match seconds < 0 && nanoseconds > 0 {
        // -1.5 is 2 seconds before 1970, and half a second forward from there.
        true => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
        false => format!("{seconds}.{nanoseconds:09}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nanoseconds_of_a_time_before_1970_count_forward_too() {
        assert_eq!(parse_time(b"1.5"), Some((1, 500_000_000)));
        assert_eq!(parse_time(b"-1.5"), Some((-2, 500_000_000)));
        assert_eq!(parse_time(b"-1"), Some((-1, 0)));
        assert_eq!(parse_time(b"7.1234567891"), Some((7, 123_456_789)));
    }

    #[test]
    fn format_time_and_parse_time_agree() {
        for (seconds, nanoseconds, text) in [
            (1, 5, "1.000000005"),
            (-2, 500_000_000, "-1.500000000"),
            (-1, 500_000_000, "-0.500000000"),
        ] {
            assert_eq!(format_time(seconds, nanoseconds), text);
            assert_eq!(parse_time(text.as_bytes()), Some((seconds, nanoseconds)));
        }
    }

    #[test]
    fn a_text_that_is_not_a_number_is_refused() {
        for bad in [
            &b""[..],
            b".",
            b"-",
            b"1e9",
            b"+1",
            b" 1",
            b"1.x",
            b"99999999999999999999",
        ] {
            assert_eq!(parse_time(bad), None, "{bad:?}");
        }
        assert_eq!(parse_decimal(b"+1"), None);
    }
}
