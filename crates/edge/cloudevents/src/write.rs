//! An event becomes one JSON object, numbers digit for digit (`CE-3`).
//!
//! Not here: the stored form (`evidence/entry`), pretty printing.
//!
//! A place that is withheld ([`Value::Withheld`]) is left out as an object's member, as an attribute and as the data,
//! and is `null` as an array's element, where leaving it out would move the others. Only an event with an undisclosed
//! or erased part has one, and its reader is told so beside the event.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use waag_model::event::{Data, Event};
use waag_model::value::{Decimal, Object, Value};

/// Bytes of an event's JSON beside its texts, as a first guess.
const FRAME_BYTES: usize = 96;

/// Appends `event` in the JSON event format to `out`, without white space.
///
/// An event that [`crate::read_event`] gave is never longer than what it was read from.
pub fn write_event(event: &Event<'_>, out: &mut Vec<u8>) {
    let data = match &event.data {
        Data::None => DataRef::None,
        Data::Json(body) => DataRef::Json(body),
        Data::Binary(bytes) => DataRef::Binary(bytes),
    };
    let Event { id, source, kind, subject, attributes, .. } = event;
    write_parts(id, source, kind, subject.as_deref(), attributes, data, out);
}

/// An event's data, where it lies.
#[derive(Clone, Copy, Debug)]
pub enum DataRef<'a> {
    /// None.
    None,
    /// A JSON value; withheld as a whole, it is left out.
    Json(&'a Value<'a>),
    /// Bytes.
    Binary(&'a [u8]),
}

/// Appends the event that these are of, as [`write_event`] does, without putting it together first.
pub fn write_parts(
    id: &str,
    source: &str,
    kind: &str,
    subject: Option<&str>,
    attributes: &Object<'_>,
    data: DataRef<'_>,
    out: &mut Vec<u8>,
) {
    out.reserve(FRAME_BYTES + id.len() + source.len() + kind.len());
    out.extend_from_slice(br#"{"specversion":"1.0","id":"#);
    text(id, out);
    out.extend_from_slice(br#","source":"#);
    text(source, out);
    out.extend_from_slice(br#","type":"#);
    text(kind, out);
    if let Some(subject) = subject {
        out.extend_from_slice(br#","subject":"#);
        text(subject, out);
    }
    for (name, attribute) in attributes.members() {
        if !matches!(attribute, Value::Withheld(_)) {
            out.push(b',');
            text(name, out);
            out.push(b':');
            value(attribute, out);
        }
    }
    match data {
        DataRef::None | DataRef::Json(Value::Withheld(_)) => {}
        DataRef::Json(body) => {
            out.extend_from_slice(br#","data":"#);
            value(body, out);
        }
        DataRef::Binary(bytes) => {
            out.extend_from_slice(br#","data_base64":""#);
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.push(b'"');
        }
    }
    out.push(b'}');
}

/// Appends one JSON value as an event's data has it, without white space.
pub fn write_value(this: &Value<'_>, out: &mut Vec<u8>) {
    value(this, out);
}

fn value(this: &Value<'_>, out: &mut Vec<u8>) {
    match this {
        Value::Null | Value::Withheld(_) => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Integer(integer) => display(integer, out),
        Value::Decimal(number) => decimal(number, out),
        Value::Text(string) => text(string, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                value(item, out);
            }
            out.push(b']');
        }
        Value::Object(object) => {
            out.push(b'{');
            let shown = object.members().iter().filter(|(_, member)| !matches!(member, Value::Withheld(_)));
            for (index, (name, member)) in shown.enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                text(name, out);
                out.push(b':');
                value(member, out);
            }
            out.push(b'}');
        }
    }
}

/// The shorter of the plain form and the one with an exponent; both give back the same digits and exponent.
fn decimal(number: &Decimal, out: &mut Vec<u8>) {
    let digits = number.significand.unsigned_abs().to_string();
    if number.significand < 0 {
        out.push(b'-');
    }
    let scale = usize::try_from(number.exponent.unsigned_abs()).unwrap_or(usize::MAX);
    // Plain: `0.`, zeros and the digits; or the digits and a point.
    let plain = scale.saturating_add(2).max(digits.len() + 1);
    let exponent = number.exponent.to_string();
    if number.exponent >= 0 || plain > digits.len() + 1 + exponent.len() {
        out.extend_from_slice(digits.as_bytes());
        out.push(b'e');
        out.extend_from_slice(exponent.as_bytes());
    } else if let Some((whole, fraction)) =
        digits.len().checked_sub(scale).filter(|whole| *whole > 0).and_then(|at| digits.split_at_checked(at))
    {
        out.extend_from_slice(whole.as_bytes());
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + scale.saturating_sub(digits.len()), b'0');
        out.extend_from_slice(digits.as_bytes());
    }
}

/// A string with what RFC 8259 §7 says must be escaped, and nothing else.
fn text(string: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = string.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\') {
        let (plain, from) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        let Some((byte, after)) = from.split_first() else {
            break;
        };
        match byte {
            b'"' => out.extend_from_slice(br#"\""#),
            b'\\' => out.extend_from_slice(br"\\"),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            b'\t' => out.extend_from_slice(br"\t"),
            0x08 => out.extend_from_slice(br"\b"),
            0x0c => out.extend_from_slice(br"\f"),
            other => out.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn display(this: &i128, out: &mut Vec<u8>) {
    // Writing to memory cannot fail.
    let _ = write!(out, "{this}");
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use waag_model::value::Object;

    use super::*;

    fn written(this: &Value<'_>) -> String {
        let mut out = Vec::new();
        value(this, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_keep_their_digits_in_the_shorter_form() {
        for (significand, exponent, want) in [
            (150, -2, "1.50"),
            (-15, -1, "-1.5"),
            (1, 3, "1e3"),
            (1, 0, "1e0"),
            (15, -2, "0.15"),
            (15, -5, "15e-5"),
            (1, -3, "1e-3"),
            (12, -3, "0.012"),
            (0, -1, "0.0"),
            (0, -2, "0.00"),
            (0, -9, "0e-9"),
            (12_345, -400, "12345e-400"),
            (-7, 400, "-7e400"),
        ] {
            assert_eq!(written(&Value::Decimal(Decimal { significand, exponent })), want);
        }
        assert_eq!(written(&Value::Integer(i128::MIN)), i128::MIN.to_string());
    }

    #[test]
    fn strings_escape_only_what_they_must() {
        let string = "a\"b\\c/d\u{0}\u{1f}\n\r\t\u{8}\u{c}\u{7f}é\u{2028}";
        let want = "\"a\\\"b\\\\c/d\\u0000\\u001f\\n\\r\\t\\b\\f\u{7f}é\u{2028}\"";
        assert_eq!(written(&Value::Text(Cow::Borrowed(string))), want);
    }

    #[test]
    fn a_withheld_place_is_left_out_or_null() {
        let members = vec![
            (Cow::Borrowed("a"), Value::Withheld(1)),
            (Cow::Borrowed("b"), Value::Array(vec![Value::Withheld(1), Value::Integer(1)])),
        ];
        let body = Value::Object(Object::from_members(members).unwrap());
        assert_eq!(written(&body), r#"{"b":[null,1]}"#);
        let mut event = Event {
            id: "1".into(),
            source: "/s".into(),
            kind: "t".into(),
            subject: None,
            attributes: Object::from_members(vec![
                ("x".into(), Value::Withheld(1)),
                ("y".into(), Value::Bool(true)),
            ])
            .unwrap(),
            data: Data::Json(body),
        };
        let mut out = Vec::new();
        write_event(&event, &mut out);
        let want =
            r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","y":true,"data":{"b":[null,1]}}"#;
        assert_eq!(String::from_utf8_lossy(&out), want);
        event.data = Data::Json(Value::Withheld(1));
        out.clear();
        write_event(&event, &mut out);
        assert!(!String::from_utf8_lossy(&out).contains("data"));
    }
}
