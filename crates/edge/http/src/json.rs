//! The few pieces that JSON answers are written from; answers to events are written without a tree of values in between.

/// Appends a string in quotes, escaped as RFC 8259 §7 says.
pub(crate) fn text(out: &mut Vec<u8>, string: &str) {
    out.push(b'"');
    let mut rest = string.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\') {
        let (plain, from) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        let Some((byte, after)) = from.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(br#"\""#),
            b'\\' => out.extend_from_slice(br"\\"),
            b'\n' => out.extend_from_slice(br"\n"),
            other => {
                out.extend_from_slice(br"\u00");
                hex(out, &[*other]);
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Appends bytes as lower-case hexadecimal digits.
pub(crate) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble & 15)).copied().unwrap_or(b'0');
        out.extend_from_slice(&[digit(byte >> 4), digit(*byte)]);
    }
}

/// Appends a number in decimal digits.
pub(crate) fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_a_reader_reads() {
        for string in ["", "a\"b\\c\nd\te\u{0}\u{1f}é\u{7f}", "plain"] {
            let mut out = Vec::new();
            text(&mut out, string);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), string);
        }
        for value in [0, 9, 10, 12_345, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
        }
        let mut out = Vec::new();
        hex(&mut out, &[0, 0xab, 0xff]);
        assert_eq!(out, b"00abff");
    }
}
