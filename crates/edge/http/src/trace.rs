//! Trace context (W3C Trace Context 1 and 2, §3): read strictly, passed on in the answer and in the access log.
//!
//! A request whose `traceparent` is missing or broken has no trace, and its `tracestate` is not looked at; a broken
//! `tracestate` is dropped while the trace goes on. An answer's `traceparent` names the same trace with this door's span
//! and the caller's flags, in version 00; its `tracestate` has the caller's members in their order, as one header, and none
//! of our own, since this door changes nothing that a member could tell.
//! Not here: exporting spans; the attributes `traceparent` and `tracestate` of an event, which are the sender's.

use hyper::HeaderMap;
use waag_stdx::entropy::Entropy;

/// Most members of a `tracestate` (§3.3.1.1).
const MEMBERS_MAX: usize = 32;
/// Longest key and longest value of a member, in characters (§3.3.1.3), so that all of it is bounded.
const MEMBER_TEXT_CHARS_MAX: usize = 256;

/// The caller records the trace.
const SAMPLED: u8 = 1;
/// The trace's id is random in its last 7 bytes (level 2, §3.2.2.5.2).
const RANDOM: u8 = 2;

/// A request's trace: the caller's, gone on with a span of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// 16 bytes, not all zero.
    pub trace: [u8; 16],
    /// The caller's span, not all zero.
    pub parent: [u8; 8],
    /// This request's span.
    pub span: [u8; 8],
    /// Whether the caller records it.
    pub sampled: bool,
    /// Whether the caller says that the trace's id is random.
    pub random: bool,
}

impl Trace {
    /// The trace that a request names, with a new span; none where it names none or in a wrong form.
    pub(crate) fn of(headers: &HeaderMap, entropy: &dyn Entropy) -> Option<Self> {
        let mut values = headers.get_all("traceparent").iter();
        let text = values.next()?.to_str().ok()?;
        if values.next().is_some() {
            return None;
        }
        let (trace, parent, flags) = parse(text)?;
        let mut span = [0; 8];
        entropy.fill(&mut span).ok()?;
        // All zero would be no span at all.
        if span == [0; 8] {
            span = [1; 8];
        }
        Some(Self { trace, parent, span, sampled: flags & SAMPLED != 0, random: flags & RANDOM != 0 })
    }

    /// The header's text.
    pub(crate) fn text(&self) -> String {
        let flags = if self.sampled { SAMPLED } else { 0 } | if self.random { RANDOM } else { 0 };
        let mut out = b"00-".to_vec();
        crate::json::hex(&mut out, &self.trace);
        out.push(b'-');
        crate::json::hex(&mut out, &self.span);
        out.push(b'-');
        crate::json::hex(&mut out, &[flags]);
        String::from_utf8(out).unwrap_or_default()
    }
}

/// The caller's `tracestate` as one header's text, for a request that has a [`Trace`]; none where there is none, or it has
/// a form that it may not have, or nothing in it.
pub(crate) fn state(headers: &HeaderMap) -> Option<String> {
    let mut members: Vec<(&str, &str)> = Vec::new();
    for value in headers.get_all("tracestate") {
        // Several headers are one list, in their order (RFC 9110 §5.3).
        for member in value.to_str().ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            let (key, value) =
                member.split_once('=').filter(|(key, value)| is_key(key) && is_value(value))?;
            // A key may stand once; the leftmost is the newest.
            if !members.iter().any(|(known, _)| *known == key) {
                members.push((key, value));
            }
            if members.len() > MEMBERS_MAX {
                return None;
            }
        }
    }
    let joined: Vec<String> = members.iter().map(|(key, value)| format!("{key}={value}")).collect();
    (!joined.is_empty()).then(|| joined.join(","))
}

fn is_key(key: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    key.len() <= MEMBER_TEXT_CHARS_MAX
        && key.bytes().next().is_some_and(plain)
        && key.bytes().all(|byte| plain(byte) || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@'))
}

/// Printable characters without `,` and `=`; what ends it is no space, since those around a member were taken off.
fn is_value(value: &str) -> bool {
    (1..=MEMBER_TEXT_CHARS_MAX).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

fn parse(text: &str) -> Option<([u8; 16], [u8; 8], u8)> {
    let mut fields = text.split('-');
    let [version] = hex::<1>(fields.next()?)?;
    let (trace, parent) = (hex::<16>(fields.next()?)?, hex::<8>(fields.next()?)?);
    let [flags] = hex::<1>(fields.next()?)?;
    // A later version may have more fields; version 0 has none, and 255 is forbidden.
    let ends = fields.next().is_none() || version != 0;
    (ends && version != 0xff && trace != [0; 16] && parent != [0; 8]).then_some((trace, parent, flags))
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 2 * N || !text.bytes().all(digits) {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_parent_is_read_strictly() {
        let (trace, parent, flags) = parse(GOOD).unwrap();
        assert_eq!((trace[0], parent[7], flags), (0x0a, 0x31, 1));
        assert!(parse(&GOOD.replacen("00", "01", 1)).is_some());
        assert!(parse(&format!("{}-x", GOOD.replacen("00", "01", 1))).is_some());
        for bad in [
            "",
            &format!("{GOOD}-x"),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.to_uppercase(),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            GOOD.trim_start_matches('0'),
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let (trace, span, _) = parse(GOOD).unwrap();
        let told = Trace { trace, parent: span, span, sampled: true, random: false };
        assert_eq!(told.text(), GOOD);
        assert!(Trace { random: true, ..told }.text().ends_with("-03"));
    }

    fn told(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("tracestate", HeaderValue::from_str(value).unwrap());
        }
        state(&headers)
    }

    #[test]
    fn a_trace_state_is_one_list_or_dropped_whole() {
        assert_eq!(told(&["a=1 ,\tb= 2"]).unwrap(), "a=1,b= 2");
        assert_eq!(told(&["", "a=1", ",b=2,,"]).unwrap(), "a=1,b=2");
        assert_eq!(told(&["a=1,b=2,a=3"]).unwrap(), "a=1,b=2");
        let (key, value) = ("k".repeat(256), "v".repeat(256));
        assert_eq!(told(&[&format!("{key}={value}")]).unwrap().len(), 513);
        for bad in ["a", "=1", "a=", "A=1", "@a=1", "a b=1", "a=1=2", "a=\t1", "a=é", "a=1,b"] {
            assert_eq!(told(&[bad]), None, "{bad}");
        }
        assert_eq!(told(&[&format!("{key}k=1")]), None);
        assert_eq!(told(&[&format!("a={value}v")]), None);
        let many = |count: usize| (0..count).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
        assert_eq!(told(&[&many(32)]).unwrap(), many(32));
        assert_eq!(told(&[&many(33)]), None);
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[" , "]), None);
    }
}
