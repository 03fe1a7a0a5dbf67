//! Trace context (W3C Trace Context 1 §3.2): read strictly, passed on in the answer and in the access log.
//!
//! Not here: exporting spans.

use hyper::HeaderMap;
use waag_stdx::entropy::Entropy;

/// A request's trace: the caller's, gone on with a span of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// 16 bytes, not all zero.
    pub trace: [u8; 16],
    /// This request's span.
    pub span: [u8; 8],
    /// Whether the caller records it.
    pub sampled: bool,
}

impl Trace {
    /// The trace that a request names, with a new span; none where it names none or in a wrong form.
    pub(crate) fn of(headers: &HeaderMap, entropy: &dyn Entropy) -> Option<Self> {
        let mut values = headers.get_all("traceparent").iter();
        let text = values.next()?.to_str().ok()?;
        if values.next().is_some() {
            return None;
        }
        let (trace, _, flags) = parse(text)?;
        let mut span = [0; 8];
        entropy.fill(&mut span).ok()?;
        Some(Self { trace, span, sampled: flags & 1 == 1 })
    }

    /// The header's text.
    pub(crate) fn text(&self) -> String {
        let mut out = b"00-".to_vec();
        crate::json::hex(&mut out, &self.trace);
        out.push(b'-');
        crate::json::hex(&mut out, &self.span);
        out.extend_from_slice(if self.sampled { b"-01" } else { b"-00" });
        String::from_utf8(out).unwrap_or_default()
    }
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
        let (trace, span) = (parse(GOOD).unwrap().0, parse(GOOD).unwrap().1);
        assert_eq!(Trace { trace, span, sampled: true }.text(), GOOD);
    }
}
