//! Text as pages and addresses have it: escaped, with nothing in it that hides or reorders the rest, and JSON in lines.
//!
//! Not here: numbers, money and times (`format`).

use waag_model::text::steers;

use super::Html;

/// Deepest indentation of JSON, in levels.
const JSON_INDENT_MAX: usize = 64;
/// Longest list that stays on one line of JSON, in bytes.
const JSON_LINE_BYTES_MAX: usize = 60;

/// The text with the five characters escaped that mean something in HTML.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// Whether a character is not seen where it stands, and may change how others are read.
///
/// Joiners (U+200C, U+200D) are the affair of letters and stay, as do tabs and ends of lines.
fn is_unseen(c: char) -> bool {
    steers(c) && !matches!(c, '\t' | '\n' | '\r' | '\u{200c}' | '\u{200d}')
}

/// The text with a sign for each character that nobody would see; every page goes through here when it is whole.
///
/// Templates have no such character of their own: it is a producer's or a reader's, whatever way it came.
pub(crate) fn visible(text: String) -> String {
    if !text.contains(is_unseen) {
        return text;
    }
    let mut shown = String::with_capacity(text.len().saturating_add(64));
    for c in text.chars() {
        match u32::from(c) {
            _ if !is_unseen(c) => shown.push(c),
            // Unicode has pictures of the first control characters.
            code @ 0..0x20 => shown.push(char::from_u32(0x2400 | code).unwrap_or('\u{fffd}')),
            0x7f => shown.push('\u{2421}'),
            code => shown.push_str(&format!("\\u{{{code:x}}}")),
        }
    }
    shown
}

/// What a form sends back must be what it was given, to the last character: unseen ones are told by their number.
pub(crate) fn sent(text: &str) -> Html {
    let safe = escaped(text);
    let told = |c: char| if is_unseen(c) { format!("&#{};", u32::from(c)) } else { c.to_string() };
    Html(if safe.contains(is_unseen) { safe.chars().map(told).collect() } else { safe })
}

/// A value for an address's query part (RFC 3986): unreserved characters stay, all others are percent-encoded.
pub(crate) fn query_value(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("%{byte:02X}"));
        }
    }
    safe
}

/// JSON set in lines, two spaces a level, short lists of plain values in one; digits, escapes and the order of members
/// stay as they were written.
///
/// Text that is no JSON stays readable, and what it says stays the same.
pub(crate) fn json_in_lines(text: &str) -> String {
    let mut lines = String::with_capacity(text.len().saturating_mul(2));
    let mut depth = 0usize;
    let (mut in_text, mut escaped, mut fresh) = (false, false, false);
    let mut flat_until = 0;
    for (at, c) in text.char_indices() {
        if in_text {
            lines.push(c);
            (in_text, escaped) = (escaped || c != '"', !escaped && c == '\\');
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        if closes {
            depth = depth.saturating_sub(1);
        }
        let is_flat = at < flat_until;
        if c == '[' && !is_flat {
            flat_until = flat_end(text, at);
        }
        // An empty object or array stays on one line.
        if fresh != closes && is_flat {
            lines.push_str(if fresh && lines.ends_with(',') { " " } else { "" });
        } else if fresh != closes {
            lines.push('\n');
            lines.push_str(&"  ".repeat(depth.min(JSON_INDENT_MAX)));
        }
        fresh = false;
        lines.push(c);
        match c {
            '"' => in_text = true,
            '{' | '[' => (depth, fresh) = (depth.saturating_add(1), true),
            ',' => fresh = true,
            ':' => lines.push(' '),
            _ => {}
        }
    }
    lines
}

/// The byte behind a list that begins at a byte, where it is short and has plain values only; otherwise 0.
fn flat_end(text: &str, start: usize) -> usize {
    let list = text.get(start..).unwrap_or("");
    let inside = list.strip_prefix('[').unwrap_or("");
    let end = inside.find(['[', ']', '{', '}', '\\']).filter(|end| *end <= JSON_LINE_BYTES_MAX);
    // An odd number of quotes before it: the bracket stands in a text.
    let closes = |(list, rest): (&str, &str)| rest.starts_with(']') && list.matches('"').count() % 2 == 0;
    let closed = end.filter(|end| inside.split_at_checked(*end).is_some_and(closes));
    closed.map_or(0, |end| start.saturating_add(end).saturating_add(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_an_address_is_percent_encoded() {
        assert_eq!(query_value("a b/é&"), "a%20b%2F%C3%A9%26");
    }

    #[test]
    fn json_keeps_every_digit_and_escape() {
        let text = r#"{"b":1.10,"a":["x\\",{}, [] ,"}\"{"],"n":12345678901234567890.50}"#;
        let lines = json_in_lines(text);
        assert_eq!(
            lines,
            "{\n  \"b\": 1.10,\n  \"a\": [\n    \"x\\\\\",\n    {},\n    [],\n    \"}\\\"{\"\n  ],\n  \"n\": 12345678901234567890.50\n}"
        );
        assert_eq!(json_in_lines(&lines), lines, "set once, it stays");
        let short = json_in_lines(r#"{"a":["EUR" ,"USD"],"b":[{"numeric":[">=",1]}],"c":["]"]}"#);
        assert_eq!(
            short,
            "{\n  \"a\": [\"EUR\", \"USD\"],\n  \"b\": [\n    {\n      \"numeric\": [\">=\", 1]\n    }\n  ],\n  \"c\": [\n    \"]\"\n  ]\n}"
        );
        let long = json_in_lines(&format!("[{}1]", "1,".repeat(40)));
        assert_eq!(long.lines().count(), 43, "a long list has a line for each");
        assert_eq!(json_in_lines("]]}"), "\n]\n]\n}", "what is no JSON does no harm");
    }

    #[test]
    fn no_character_hides_or_reorders_what_is_read() {
        for (text, shown) in [
            ("INV\0-1", "INV\u{2400}-1"),
            ("a\u{202e}b\u{2066}c\u{200f}", "a\\u{202e}b\\u{2066}c\\u{200f}"),
            ("\u{7f}\u{85}\u{feff}\u{200b}", "\u{2421}\\u{85}\\u{feff}\\u{200b}"),
            ("INV\u{ad}-\u{180e}1", "INV\\u{ad}-\\u{180e}1"),
            ("\u{3164}\u{115f}\u{1160}\u{ffa0}", "\\u{3164}\\u{115f}\\u{1160}\\u{ffa0}"),
            (
                "\u{dffff}\u{e0000}\u{e0041}\u{e007f}\u{e0080}",
                "\u{dffff}\\u{e0000}\\u{e0041}\\u{e007f}\u{e0080}",
            ),
            ("\u{ac}\u{ae}\u{180d}\u{115e}\u{1161}", "\u{ac}\u{ae}\u{180d}\u{115e}\u{1161}"),
            ("two\n\tlines\r\n", "two\n\tlines\r\n"),
            (
                "é שלום 5.1\u{202f}% \u{1f469}\u{200d}\u{1f527}",
                "é שלום 5.1\u{202f}% \u{1f469}\u{200d}\u{1f527}",
            ),
            ("", ""),
        ] {
            assert_eq!(visible(text.to_owned()), shown);
        }
        assert_eq!(sent("<\u{202e}>\n").0, "&lt;&#8238;&gt;\n");
        assert_eq!(sent("a\u{ad}\u{e0041}").0, "a&#173;&#917569;");
    }
}
