//! The bytes of an entry: its header, see tar(5), and its content.

use super::{Checksum, Entry};

impl Entry {
    /// Returns the entry, preceded by its PAX header and its GNU long-name entries.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.preceding.clone();
        if !self.pax.is_empty() {
            let header = Entry {
                body: self.pax.clone(),
                ..Entry::of_kind(b'x', "PaxHeaders/x")
            };
            bytes.extend(header.bytes());
        }
        bytes.extend(self.header());
        bytes.extend(&self.body);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn header(&self) -> [u8; 512] {
        let octal = |value: u32| format!("{value:07o}\0").into_bytes();
        let size = self.claimed_size.unwrap_or(self.body.len() as u64);
        let mut fields = vec![
            (0, 100, self.name.clone()),
            (100, 8, octal(self.mode)),
            (108, 8, number(self.owner.0, 8)),
            (116, 8, number(self.owner.1, 8)),
            (124, 12, number(size, 12)),
            (136, 12, number(self.mtime as u64, 12)),
            (156, 1, vec![self.kind]),
        ];
        if self.kind == b'S' {
            fields.push((257, 8, b"ustar  \0".into()));
            fields.push((386, 109, self.link.clone()));
        } else {
            fields.push((157, 100, self.link.clone()));
            fields.push((257, 8, b"ustar\x0000".into()));
            fields.push((329, 8, octal(self.device.0)));
            fields.push((337, 8, octal(self.device.1)));
        }
        let mut header = [0; 512];
        for (at, width, text) in fields {
            write_field(&mut header, at, width, &text);
        }
        self.edits.iter().for_each(|edit| edit(&mut header));
        // The checksum is computed with spaces in its own field.
        header[148..156].fill(b' ');
        let unsigned: i32 = header.iter().map(|byte| i32::from(*byte)).sum();
        let signed = || header.iter().map(|byte| i32::from(byte.cast_signed())).sum();
        let sum = match self.checksum {
            Checksum::Right => unsigned,
            Checksum::Signed => signed(),
            Checksum::Wrong => unsigned + 1,
        };
        write_field(&mut header, 148, 8, format!("{sum:06o}\0 ").as_bytes());
        header
    }
}

fn write_field(header: &mut [u8; 512], at: usize, width: usize, text: &[u8]) {
    let length = text.len().min(width);
    header[at..at + length].copy_from_slice(&text[..length]);
}

/// Writes a number in octal digits. A number that needs more digits than the field has
/// is written in GNU's base-256 encoding, which the first bit marks.
fn number(number: u64, width: usize) -> Vec<u8> {
    let octal = format!("{number:0width$o}\0", width = width - 1);
    if octal.len() <= width {
        return octal.into_bytes();
    }
    // A time before 1970 is a negative number, which is padded with ones.
    let fill = if (number as i64) < 0 { 0xff } else { 0 };
    let mut bytes = vec![fill; width];
    let start = width.saturating_sub(8);
    let digits = number.to_be_bytes();
    bytes[start..].copy_from_slice(&digits[8 - (width - start)..]);
    bytes[0] |= 0x80;
    bytes
}

/// Returns `LENGTH KEY=VALUE\n`. LENGTH counts its own digits, too.
pub fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}
