//! The content type of a body: there is one at most, and JSON is UTF-8 (RFC 8259 §8.1).
//!
//! What were read by one header or in one encoding, and meant by another, would be recorded as something that nobody sent.
//! Not here: which types a path reads (`events`, `door`, `deliveries`).

use hyper::HeaderMap;
use hyper::header::HeaderValue;

use crate::fault::{Fault, Kind};

/// The content type that the headers tell; empty where they tell none.
///
/// # Errors
/// [`Kind::Header`], [`Kind::HeaderTwice`].
pub(crate) fn told(headers: &HeaderMap) -> Result<&str, Fault> {
    let Some(value) = once(headers, "content-type")? else { return Ok("") };
    value.to_str().map_err(|_| Fault::of(Kind::Header("content-type")))
}

/// The value of a header that has one (RFC 9110 §5.3): of two, another program on the way may have taken the other.
///
/// # Errors
/// [`Kind::HeaderTwice`].
pub(crate) fn once<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h HeaderValue>, Fault> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() { Err(Fault::of(Kind::HeaderTwice(name))) } else { Ok(value) }
}

/// The type without its parameters.
pub(crate) fn essence(media: &str) -> &str {
    media.split(';').next().unwrap_or_default().trim_ascii()
}

/// Whether it is JSON (CloudEvents JSON format §3.1: `json` as subtype or structured suffix).
pub(crate) fn is_json(media: &str) -> bool {
    let essence = essence(media).to_ascii_lowercase();
    essence.split_once('/').is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}

/// Holds a request to `application/json`, which its path reads alone.
///
/// # Errors
/// [`Kind::MediaType`], [`Kind::Charset`]; those of [`told`].
pub(crate) fn json(headers: &HeaderMap) -> Result<(), Fault> {
    let media = told(headers)?;
    if !essence(media).eq_ignore_ascii_case("application/json") {
        return Err(Fault::of(Kind::MediaType("`application/json`")));
    }
    utf_8(media)
}

/// Holds a content type that is read as JSON to the one encoding that JSON has.
///
/// # Errors
/// [`Kind::Charset`].
pub(crate) fn utf_8(media: &str) -> Result<(), Fault> {
    let mut rest = media.split_once(';').map(|(_, parameters)| parameters);
    while let Some(parameters) = rest {
        let (name, value, after) = parameter(parameters);
        // Both are what browsers send for it (WHATWG Encoding §4.2).
        let is_utf_8 = ["utf-8", "utf8"].into_iter().any(|utf_8| value.eq_ignore_ascii_case(utf_8));
        if name.eq_ignore_ascii_case("charset") && !is_utf_8 {
            return Err(Fault::of(Kind::Charset));
        }
        rest = after;
    }
    Ok(())
}

/// The first parameter's name and value, and what follows (RFC 9110 §5.6.6); a quoted string may hold a semicolon.
fn parameter(text: &str) -> (&str, String, Option<&str>) {
    let end = text.find(['=', ';']).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let mut value = String::new();
    let Some(mut rest) = rest.strip_prefix('=').map(str::trim_ascii_start) else {
        return (name.trim_ascii(), value, rest.strip_prefix(';'));
    };
    if let Some(quoted) = rest.strip_prefix('"') {
        let mut chars = quoted.chars();
        while let Some(char) = chars.next() {
            match char {
                '"' => break,
                '\\' => value.extend(chars.next()),
                other => value.push(other),
            }
        }
        rest = chars.as_str();
    }
    let (more, after) = rest.split_once(';').map_or((rest, None), |(more, after)| (more, Some(after)));
    value.push_str(more.trim_ascii());
    (name.trim_ascii(), value, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_that_comes_twice_is_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(told(&headers).unwrap(), "");
        headers.append("content-type", "text/plain".parse().unwrap());
        assert_eq!(told(&headers).unwrap(), "text/plain");
        headers.append("content-type", "text/plain".parse().unwrap());
        assert_eq!(told(&headers).unwrap_err().kind, Kind::HeaderTwice("content-type"));
    }

    #[test]
    fn json_is_in_utf_8_however_that_is_written() {
        for media in [
            "application/json",
            "application/json;",
            "application/json; charset=UTF-8",
            "application/json;CHARSET=\"utf-8\"",
            "application/json; charset = utf8 ; x=1",
            "application/json; x=\"; charset=utf-16\"",
            "application/json; x=\"\\\"; charset=utf-16\"; charset=utf-8",
            "application/json; charsets=utf-16",
        ] {
            assert_eq!(utf_8(media), Ok(()), "{media}");
        }
        for media in [
            "application/json;charset=utf-16",
            "application/json; Charset=\"UTF-16\"",
            "application/json; charset=utf-8; charset=latin1",
            "application/json; x; charset=\"utf-1\\6\"",
            "application/json; x=\"a;b\" ;charset=us-ascii",
            "application/json; charset=\"utf-8\"x",
            "application/json; charset=",
            "application/json; charset",
        ] {
            assert_eq!(utf_8(media).unwrap_err().kind, Kind::Charset, "{media}");
        }
    }
}
