//! The fields of `--mount`, which are those of a line of CSV.

/// Splits a line of CSV (RFC 4180), as Docker does: a field in quotation marks may have
/// commas, and a doubled mark stands for one.
pub(crate) fn csv_fields(text: &str) -> Result<Vec<String>, String> {
    let (mut fields, mut field) = (Vec::new(), String::new());
    let (mut letters, mut is_quoted) = (text.chars().peekable(), false);
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if is_quoted && matches!(letters.peek(), None | Some(',')) => {
                is_quoted = false;
            }
            '"' if !is_quoted && field.is_empty() => is_quoted = true,
            '"' => {
                return Err(format!(
                    "{text:?}: quotation marks are around a whole option: \"src=/a,b\""
                ));
            }
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            letter => field.push(letter),
        }
    }
    fields.push(field);
    match is_quoted {
        true => Err(format!("{text:?}: the closing quotation mark is missing")),
        false => Ok(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_in_quotation_marks_may_have_commas_and_marks() {
        for (text, fields) in [
            ("", &[""][..]),
            ("a,b=1", &["a", "b=1"]),
            (r#""a,b""c",d"#, &[r#"a,b"c"#, "d"]),
            (r#"a,"","b""#, &["a", "", "b"]),
        ] {
            assert_eq!(csv_fields(text).unwrap(), fields, "{text}");
        }
        for (text, why) in [
            (r#"src="a,b",c"#, "around a whole option"),
            (r#""a"b,c"#, "around a whole option"),
            (r#""a,b"#, "closing quotation mark"),
        ] {
            let message = csv_fields(text).unwrap_err();
            assert!(message.contains(why), "{text}: {message}");
        }
    }
}
