//! The same JSON, read by a scanner that others wrote (`jiter`): it must take the same inputs for the same values.
//!
//! Only the scanning is theirs. What it leaves open is done again here in the plainest way: encoding, size, depth, count,
//! repeated names, exact numbers.

use std::borrow::Cow;

use jiter::{Jiter, Peek};
use waag_cloudevents::read_value;
use waag_model::limits::{DEPTH_MAX, EVENT_BYTES_MAX, NUMBER_DIGITS_MAX, NUMBER_EXPONENT_MAX, VALUES_MAX};
use waag_model::value::{Decimal, Object, Value};

/// Panics where the two readers differ over `input`; answers whether both took it.
pub(crate) fn agrees_on(input: &[u8]) -> bool {
    let ours = read_value(input).ok();
    let theirs = oracle(input);
    assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(input));
    theirs.is_some()
}

fn oracle(input: &[u8]) -> Option<Value<'static>> {
    if input.len() > EVENT_BYTES_MAX || std::str::from_utf8(input).is_err() {
        return None;
    }
    let mut jiter = Jiter::new(input);
    let peek = jiter.peek().ok()?;
    let mut values = 0;
    let value = value(&mut jiter, input, peek, 0, &mut values)?;
    jiter.finish().ok()?;
    (values <= VALUES_MAX).then_some(value)
}

fn value(
    jiter: &mut Jiter<'_>,
    input: &[u8],
    peek: Peek,
    depth: usize,
    values: &mut usize,
) -> Option<Value<'static>> {
    *values += 1;
    match peek {
        Peek::Null => jiter.known_null().ok().map(|()| Value::Null),
        Peek::True | Peek::False => jiter.known_bool(peek).ok().map(Value::Bool),
        Peek::String => jiter.known_str().ok().map(|text| Value::Text(Cow::Owned(text.to_owned()))),
        Peek::Array | Peek::Object if depth == DEPTH_MAX => None,
        Peek::Array => {
            let mut items = Vec::new();
            let mut next = jiter.known_array().ok()?;
            while let Some(peek) = next {
                items.push(value(jiter, input, peek, depth + 1, values)?);
                next = jiter.array_step().ok()?;
            }
            Some(Value::Array(items))
        }
        Peek::Object => {
            let mut members = Vec::new();
            let mut next = jiter.known_object().ok()?.map(str::to_owned);
            while let Some(name) = next {
                let peek = jiter.peek().ok()?;
                members.push((Cow::Owned(name), value(jiter, input, peek, depth + 1, values)?));
                next = jiter.next_key().ok()?.map(str::to_owned);
            }
            Object::from_members(members).ok().map(Value::Object)
        }
        number if matches!(number.into_inner(), b'-' | b'0'..=b'9') => {
            let from = jiter.current_index();
            jiter.known_number_bytes(number).ok()?;
            std::str::from_utf8(input.get(from..jiter.current_index())?).ok().and_then(exact)
        }
        _ => None,
    }
}

/// A number by the library's own parsing of its digits without the point.
fn exact(text: &str) -> Option<Value<'static>> {
    let lower = text.to_lowercase();
    let (digits, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.trim_start_matches(['-', '0']).len() > NUMBER_DIGITS_MAX {
        return None;
    }
    let significand = all.parse().ok()?;
    if whole.len() == text.len() {
        return Some(Value::Integer(significand));
    }
    let exponent = exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let kept = exponent.abs() <= NUMBER_EXPONENT_MAX;
    kept.then_some(Value::Decimal(Decimal { significand, exponent }))
}
