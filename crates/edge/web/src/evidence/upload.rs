//! The body of a form with a file in it (`multipart/form-data`), read strictly: a file, a field, and nothing that is not
//! understood.
//!
//! Source: RFC 7578, RFC 2046 §5.1.1. Not taken: a preamble, an epilogue, transfer encodings, more than the fields that
//! these pages send.

use std::ops::Range;

use memchr::memmem;

/// Most parts of a form.
const PARTS_MAX: usize = 4;
/// Longest head of a part, in bytes.
const HEAD_BYTES_MAX: usize = 4_096;
/// Longest boundary, in bytes (RFC 2046).
const BOUNDARY_BYTES_MAX: usize = 70;

/// One part: the field's name, the file's name where it is a file, and where its content stands in the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) file: Option<String>,
    pub(super) content: Range<usize>,
}

/// The boundary that a content type names.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let mut pieces = content_type.split(';').map(str::trim);
    if !pieces.next()?.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = pieces.find_map(|piece| {
        let (name, value) = piece.split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then_some(value)
    })?;
    let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    let plain = value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    (plain && !value.is_empty() && value.len() <= BOUNDARY_BYTES_MAX).then_some(value)
}

/// The parts of a body; `None` where it is not one.
pub(super) fn parts(body: &[u8], boundary: &str) -> Option<Vec<Part>> {
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(delimiter.as_bytes());
    // The first delimiter stands at the start, without the line break that ends a part.
    let mut at =
        body.starts_with(delimiter.as_bytes().get(2..)?).then(|| delimiter.len().checked_sub(2))??;
    let mut parts = Vec::new();
    loop {
        let rest = body.get(at..)?;
        if rest == b"--\r\n" || rest == b"--" {
            return Some(parts);
        }
        if parts.len() >= PARTS_MAX || !rest.starts_with(b"\r\n") {
            return None;
        }
        let head_at = at.checked_add(2)?;
        let window = body.get(head_at..body.len().min(head_at.checked_add(HEAD_BYTES_MAX)?))?;
        let head_bytes = memmem::find(window, b"\r\n\r\n")?;
        let (name, file) = head(std::str::from_utf8(window.get(..head_bytes)?).ok()?)?;
        let start = head_at.checked_add(head_bytes)?.checked_add(4)?;
        let end = start.checked_add(finder.find(body.get(start..)?)?)?;
        parts.push(Part { name, file, content: start..end });
        at = end.checked_add(delimiter.len())?;
    }
}

/// The names that a part's head tells.
fn head(text: &str) -> Option<(String, Option<String>)> {
    let value = |line: &str, field: &str| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case(field).then(|| value.trim().to_owned())
    };
    let disposition = text.split("\r\n").find_map(|line| value(line, "content-disposition"))?;
    let rest = disposition.strip_prefix("form-data")?;
    Some((parameter(rest, "name")?, parameter(rest, "filename")))
}

/// A quoted parameter; browsers write quotes in it as `%22`.
fn parameter(text: &str, name: &str) -> Option<String> {
    let start = format!("; {name}=\"");
    let (_, rest) = text.split_once(start.as_str())?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"--x\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nabc\r\n\
        --x\r\ncontent-disposition: form-data; name=\"pack\"; filename=\"a.zip\"\r\nContent-Type: application/zip\r\n\r\n\
        PK\r\n--y\r\n\r\n--x--\r\n";

    #[test]
    fn a_form_with_a_file_is_read_byte_for_byte() {
        let parts = parts(BODY, "x").unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].name.as_str(), &parts[0].file), ("token", &None));
        assert_eq!(&BODY[parts[0].content.clone()], b"abc");
        assert_eq!((parts[1].name.as_str(), parts[1].file.as_deref()), ("pack", Some("a.zip")));
        assert_eq!(&BODY[parts[1].content.clone()], b"PK\r\n--y\r\n", "another boundary's line is content");
    }

    #[test]
    fn what_is_cut_short_or_begins_with_something_else_is_none() {
        for end in 0..BODY.len() - 4 {
            assert!(parts(&BODY[..end], "x").is_none(), "cut at {end}");
        }
        assert!(parts(BODY, "z").is_none());
        assert!(parts(&[b" ", BODY].concat(), "x").is_none());
        assert!(parts(&[BODY, b"tail"].concat(), "x").is_none());
        let part = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n";
        let many = |number: usize| format!("{}--x--", part.repeat(number));
        assert_eq!(parts(many(PARTS_MAX).as_bytes(), "x").map(|parts| parts.len()), Some(PARTS_MAX));
        assert!(parts(many(PARTS_MAX + 1).as_bytes(), "x").is_none());
        let long = part.replace("\"a\"", &format!("\"{}\"", "a".repeat(HEAD_BYTES_MAX)));
        assert!(parts(format!("{long}--x--").as_bytes(), "x").is_none());
        assert!(parts(b"--x\r\nContent-Type: a\r\n\r\n\r\n--x--", "x").is_none(), "a part without a name");
    }

    #[test]
    fn the_boundary_is_the_content_types() {
        assert_eq!(boundary("multipart/form-data; boundary=----WebKit1"), Some("----WebKit1"));
        assert_eq!(boundary("Multipart/Form-Data; charset=a; Boundary=\"x y\""), None, "no space");
        assert_eq!(boundary("multipart/form-data; boundary=\"xy\""), Some("xy"));
        for bad in ["", "text/plain; boundary=x", "multipart/form-data", "multipart/form-data; boundary="] {
            assert_eq!(boundary(bad), None, "{bad}");
        }
        assert_eq!(boundary(&format!("multipart/form-data; boundary={}", "x".repeat(71))), None);
    }
}
