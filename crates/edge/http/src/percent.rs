//! Percent-encoding taken off: of an attribute's header (CloudEvents HTTP binding §3.1.3.2), of a
//! query's pieces, and of a path's elements.
//!
//! `%` has two hexadecimal digits after it (RFC 3986 §2.1) and nothing else; what is decoded is UTF-8.
//! Not here: writing it (`stored`), which headers and parameters there are.

/// What else stands for another character.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Nothing.
    Plain,
    /// A backslash for what comes after it: a quoted string.
    Quoted,
    /// `+` for a space: a form's names and values.
    Query,
}

/// A header's value as an attribute's: quotes and percent-encoding taken off.
pub(crate) fn of_header(value: &str) -> Option<String> {
    match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => decoded(inner, Form::Quoted),
        None => decoded(value, Form::Plain),
    }
}

/// A name or value of a query, as forms and URLs have it.
pub(crate) fn of_query(text: &str) -> Option<String> {
    decoded(text, Form::Query)
}

/// One element of a path.
pub(crate) fn of_path(text: &str) -> Option<String> {
    decoded(text, Form::Plain)
}

fn decoded(text: &str, form: Form) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        bytes.push(match (byte, form) {
            (b'%', _) => {
                let (high, low);
                ([high, low], rest) = rest.split_first_chunk().map(|(two, after)| (*two, after))?;
                digit(high)? << 4 | digit(low)?
            }
            (b'\\', Form::Quoted) => {
                let escaped;
                (escaped, rest) = rest.split_first()?;
                *escaped
            }
            (b'+', Form::Query) => b' ',
            (other, _) => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// By itself, since the readers of numbers take a sign for a digit.
fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_percent_encoding_is_none_in_any_form() {
        for bad in ["%", "%4", "%zz", "%+7", "%-7", "% 7", "%7+", "%é", "%ff", "%C3"] {
            assert_eq!((of_header(bad), of_query(bad)), (None, None), "{bad}");
            assert_eq!(of_header(&format!("\"{bad}\"")), None, "{bad}");
        }
        for (text, header, query) in [
            ("%C3%A9%20a", "é a", "é a"),
            ("%c3%a9+\\a", "é+\\a", "é \\a"),
            ("\"a\\\"%22+\\\\\"", "a\"\"+\\", "\"a\\\"\" \\\\\""),
            ("\"", "\"", "\""),
            ("", "", ""),
        ] {
            let got = (of_header(text), of_query(text));
            assert_eq!(got, (Some(header.to_owned()), Some(query.to_owned())), "{text}");
        }
        assert_eq!(of_header("\"a\\\""), None, "a backslash with nothing behind it");
    }
}
